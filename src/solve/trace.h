/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What one run of the machine measured: the values of observables at all times, and, where they are
 * wanted, kernels and responses over pairs of times. */
#ifndef DMF_SOLVE_TRACE_H
#define DMF_SOLVE_TRACE_H

#include "base/pieces.h"
#include "field/observable.h"
#include "machine/machine.h"

/* One observable: [T+1, size], or over pairs of times [T+1, R, T+1, R]; of a system [T, size] or
 * [T, T]. */
typedef struct Entry {
  int field; /* a FieldId, or the number of a field of a system */
  int layer;
  int variable; /* of the program, -1 of pairs; what is measured of it begins at `first` */
  size_t first;
  bool pairs;
  size_t size; /* numbers at one time, or in all of a pair */
  double *data;
} Entry;

typedef struct Trace {
  const Program *program; /* completed */
  size_t steps;           /* T + 1; T of a system */
  size_t taken;           /* of these, so far */
  FieldSet values;        /* wanted at every time */
  int pairs;              /* and over pairs of times */
  bool leans;             /* its averages are off on purpose: machine/tails.h */
  Entry *entries;
  int count;
  double *f;            /* [T+1, R C], training and test points together; of a training */
  StartGradient *start; /* [matrix], of an entrywise optimizer; or NULL */
  double flops;
  int rank;                /* the largest basis */
  struct History *history; /* of the vectors met so far, while the run lasts */
} Trace;

/* Every entry of one forward variable at one step: samples[(number * n + i) * R + row], where the
 * run of this number fills in its n neurons; or, with `look`, what that makes of all fields.
 * Nothing beyond that step is run. */
typedef struct Snapshot {
  int variable, step;
  double *samples;
  /* of n entries, with rows ld apart; called by several threads */
  void (*look)(void *sink, int number, double *const *fields, size_t n, size_t ld);
  void *sink;
} Snapshot;

/* What may be wanted over pairs of times; A and B where matrices have responses. */
enum { TRACE_KERNELS = 1, TRACE_RESPONSES = 2 };

/* Room for the observables of a program that are among `values`, and for what is wanted over pairs
 * of times; of a system for all that it observes. False if memory ran out. */
bool trace_new(Trace *trace, const Program *program, size_t steps, FieldSet values, int pairs);
void trace_free(Trace *trace);
/* Bytes of the same. */
double trace_bytes(const Program *program, size_t steps, FieldSet values, int pairs);
/* Bytes of the vectors that a system's fields of two times are made of, while a run of so many
 * paths lasts; `sized`: neurons of populations of their own sizes. */
double trace_history_bytes(const Program *program, size_t steps, size_t paths, bool sized);
/* What a run is to compute for a record, [variable]; to be freed. */
bool *trace_wants(const Trace *trace);
/* Takes the values of this step. False if memory ran out. */
bool trace_take(Trace *trace, Machine *m);
/* Makes what follows from the whole run. */
Status trace_finish(Trace *trace);
/* Makes it a trace of fewer steps, all of them taken; of a system with what follows from these. */
Status trace_cut(Trace *trace, size_t steps);
/* All that was measured, of a run that is over or under way, where there is room for it
 * (trace_new). */
void trace_pieces(Trace *trace, Piece *piece, void *sink);
/* The numbers of an observable, or NULL. */
double *trace_find(const Trace *trace, int field, int layer, bool pairs);

/* Takes the picture when its time has come; snapshot may be NULL. */
void snapshot_take(const Snapshot *snapshot, const Machine *m, int number);

#endif
