/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The runs of which fluctuations are read: the machine in its sequential form, recorded, over the
 * neurons that neurons.h chooses, one pass for each way of rounding kinks (rounded.h). */
#ifndef DMF_SOLVE_RECORDED_H
#define DMF_SOLVE_RECORDED_H

#include "machine/framed.h"
#include "solve/neurons.h"
#include "solve/plan.h"
#include "solve/rounded.h"
#include "solve/solve.h"

#include <stdatomic.h>

enum { MOST_RECORDS = MAX_PASSES * MOST_REPLICATES };

/* What all processes know of a run, whichever made it. */
typedef struct RunFacts {
  int rank;
  size_t columns, influence; /* numbers in the influence of one observable */
} RunFacts;

typedef struct Recorded {
  Program *program;  /* as it was lowered */
  Program *complete; /* as it is run */
  SolveOptions options;
  Sizes z;
  bool lazy;
  Neurons neurons;
  Frame frame[2]; /* of coordinates, one for each replicate */
  int passes;
  MachineCode code[MAX_PASSES];
  Machine run[MAX_PASSES][MOST_REPLICATES]; /* that this process makes */
  RunFacts facts[MOST_RECORDS];
  _Atomic Status status;
  int failed_at;
  /* for progress: steps of runs, tasks, and the steps that these read backward; and these in all */
  atomic_int recorded, done, behind;
  int total, steps;
  /* of runs for plans: operations of the first, [steps], or NULL; how many neurons those will have
   * for each of these, or 0 */
  double *pace, thinned;
} Recorded;

/* For a program and options, of which no run is made yet. */
void recorded_prepare(Recorded *s, Program *program, const SolveOptions *options);
/* All runs; grids are refined, or give way to samples, where they miss something. */
Status recorded_run(Recorded *s, char **why);
void recorded_free(Recorded *s);
/* For plans: the neurons that runs will have, as far as their first steps tell. */
Status recorded_survey(Recorded *s, char **why);
/* A pass of one replicate over so many steps and neurons, unless there are fewer; false where that
 * fails. To be ended in any case, before what it is of is freed. */
bool recorded_begin(Recorded *few, const Recorded *of, size_t steps, size_t columns);
void recorded_end(Recorded *few);
/* The pace of a run over all neurons (plan.h). */
bool recorded_pace(Recorded *s, Pace *pace);
/* Where one of several processes has failed, all have. */
void recorded_agree(Recorded *s);
/* The status, and *why where it is not STATUS_OK. */
Status recorded_explain(Recorded *s, char **why);
/* Operations of all runs, and of what was read of them, in all processes. */
double recorded_flops(const Recorded *s);
/* An upper bound of what the tapes hold. */
double recorded_bytes(Recorded *s);
/* Whether the backward pass meets matrices of its own. */
bool recorded_is_independent(const Recorded *s);
/* How the program is completed, as theory or as a network. */
Reading recorded_reading(const Recorded *s, bool theory);
/* Runs are passes times replicates. Several processes share them out, but for those of two grids,
 * which are compared: whether this one makes a run, and which part of the crew reads number
 * `chunk` of what is read from it. */
size_t recorded_count(const Recorded *s);
bool recorded_makes(const Recorded *s, size_t run);
int recorded_part(const Recorded *s, size_t run, size_t chunk);
const Machine *recorded_of(const Recorded *s, size_t run);
/* The value of a program at a time of a run. */
View recorded_value(const Machine *m, int variable, size_t t);
#endif
