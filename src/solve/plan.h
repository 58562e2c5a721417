/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a solve will take, before it runs. How many directions a field takes up, and with it most of
 * the work, is not known beforehand: the first run is begun, for a part of a second, and what is
 * left of it is taken to go on as its last steps did. A solve that is under way tells of its
 * progress by the same measure. */
#ifndef DMF_SOLVE_PLAN_H
#define DMF_SOLVE_PLAN_H

#include "machine/machine.h"
#include "solve/solve.h"

/* The time and the operations when each of the first steps was measured, as many as were `seen`. */
typedef struct Pace {
  double start, *seconds, *flops; /* [T+1] */
  int seen;
} Pace;

/* Of one run: what it would take to its last step. */
typedef struct RunCost {
  double flops, seconds;
} RunCost;

/* What a run comes to at a step, from what it came to at those that were `seen`, [seen]: steps
 * beyond go on as the last quarter of them. Where none was, as many as steps. */
double plan_at(const double *at, int seen, int step);

/* Begins a run as `plan` says, but for its observer. False where that fails, without memory or
 * because it diverges at once. The pace is to be freed in any case. */
bool plan_pace(const MachinePlan *plan, Pace *pace);
void pace_free(Pace *pace);
bool plan_run(const MachinePlan *plan, RunCost *cost);
/* Seconds of this thread alone: what others do on the machine does not count. */
double plan_clock(void);

#endif
