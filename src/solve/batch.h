/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Runs of the machine side by side, each with a trace of what it measured: the replicates of a
 * theory, or the members of an ensemble. Threads and processes share them out, and what they say is
 * taken in the order of their numbers, so that it does not depend on who made them.
 *
 * The replicates of a theory share nothing but the program, so that their scatter is an honest
 * error of all that a run does at random to its numbers, responses and feedback included. What is
 * common to them the scatter does not show: the noise of a run biases it by rank/paths, and
 * directions that are dropped are dropped by all. So each has a companion of COARSER times fewer
 * paths and COARSER times the tolerance, a fraction of the cost, from the same seed; the difference
 * tells the bias (doubt.h). */
#ifndef DMF_SOLVE_BATCH_H
#define DMF_SOLVE_BATCH_H

#include "machine/tails.h"
#include "solve/doubt.h"
#include "solve/run.h"
#include "solve/trace.h"

#include <stdatomic.h>

enum { FEWEST_PATHS = FEWEST_SAMPLES / 2, FIRST_COORDINATES = 64, COARSER = 4 };

/* How finely a replicate is resolved. */
typedef struct Resolution {
  size_t paths;
  double tol;
  uint32_t *sobol; /* [SOBOL_DIMS, paths] */
} Resolution;

typedef struct Batch Batch;
/* Makes run number j: by batch_measure. */
typedef RunEnd BatchRun(void *solve, int j, Trace *trace);

struct Batch {
  const Program *program;      /* as it is run */
  const SolveOptions *options; /* of the solve that it is part of */
  const char *stage;           /* for progress */
  BatchRun *run;
  /* an upper bound of what runs and traces hold; room for what is made of them, or NULL (false
   * without memory); and why there is no result: the status of the failure, with *why */
  double (*bytes)(const void *solve);
  bool (*begin)(void *solve);
  Status (*explain)(const void *solve, char **why);
  void *solve;              /* for these */
  size_t steps;             /* that a run takes */
  FieldSet values;          /* of its trace, */
  int pairs;                /* and what of it is over pairs of times */
  const Snapshot *snapshot; /* or NULL */
  bool salvages;            /* a run that is interrupted keeps its trace */
  bool watched;             /* replicates look for averages that are heavy */
  /* runs are numbered in this order; members are replicates */
  int replicates, companions, leans, ahead; /* the last: what may have to lean yet */
  Resolution fine, coarse;                  /* of a replicate, and of its companion */
  Tails *tails[MOST_RUNS];                  /* what replicates see of heavy averages, */
  Lean *lean;                               /* and what comes of it, or NULL */
  Trace *trace;                             /* [room] */
  RunEnd *end;                              /* [room] */
  int room;
  int order;       /* among those of the solve */
  int passes;      /* of the machine, that a run is made of; 0: one */
  atomic_int done; /* steps, of all runs */
  /* for progress: steps that each run has taken [room], the operations of one by its steps, as far
   * as the first thread has seen them, and the share of runs that are over */
  atomic_int *taken;
  double *pace;
  int seen;
  double over;
  int first, count; /* runs that are being made */
  RunEnd failure;   /* that of the failed run with the lowest number, */
  int failed;       /* and this number */
};

/* Sets the paths of the replicates of a theory, and their tolerance, and the companions'. */
void batch_resolve(Batch *batch, size_t paths, double tol);
void batch_free(Batch *batch);
/* How many runs there may be, with those that lean; and the bytes of what replicates see of heavy
 * averages. */
int batch_most_runs(const Batch *batch);
double batch_tails_bytes(const Batch *batch);
/* Of run number j. */
const Resolution *batch_resolution(const Batch *batch, int j);
/* The replicate that it has its random numbers from. */
int batch_replicate(const Batch *batch, int j);

/* The runs of a theory. Of a linear program as many coordinates as it takes, found by doubling. A
 * companion that diverges where its replicate does not leaves the bias unknown. */
Status batch_theory(Batch *batch, char **why);
/* Takes an interrupted theory for one of fewer replicates, if two of them are done (one of a linear
 * program), or else of the steps that the first two have taken, to which the traces are cut: *why
 * says of what, in place of what it said. The steps; 0 where there are none. */
size_t batch_salvage(Batch *batch, char **why);
/* All members: each is counted in its order, so that sums do not depend on the number of threads or
 * of processes, and forgotten; up to the first that fails, number batch->failed. */
typedef void BatchCount(void *solve, int member, const Trace *trace);
Status batch_members(Batch *batch, BatchCount *count, char **why);
/* Takes an interrupted ensemble for one of the members that are done, if these are two or more:
 * *why says of how many, in place of what it said. How many; 0 where there are too few. */
int batch_members_done(const Batch *batch, char **why);
/* How many runs there are at a time in this process. */
int batch_threads(const Batch *batch);
/* One run by this plan, which need not say who observes; without success the trace is empty, unless
 * it is salvaged. */
RunEnd batch_measure(Batch *batch, int j, MachinePlan plan, Trace *trace);

/* What all runs of a theory measured of a field, n numbers, and the share of the bias; of f at all
 * points. `pairs`: over pairs of times. */
Replicates batch_collect(const Batch *batch, int field, int layer, bool pairs, size_t n);
/* Whether the error of a field is due to heavy averages, and a guess. */
bool batch_guesses(const Batch *batch, const Replicates *measured, const double *value,
                   const double *error);
/* The largest basis of all replicates. */
int batch_rank(const Batch *batch);
/* What a plan knows beyond its bytes, from the pace of run 0 by `first`: nothing where these do not
 * fit. */
void batch_plan(const Batch *batch, MachinePlan first, SolvePlan *plan);
/* Operations of all runs. */
double batch_flops(const Batch *batch);
/* Says of a result what it was sampled by, and what it cost. */
void batch_note_samples(const Batch *batch, Result *result);
void batch_note_members(const Batch *batch, Result *result, double seconds);
void batch_note_cost(const Batch *batch, Result *result, double seconds);

#endif
