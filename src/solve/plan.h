/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a solve will take, before it runs. How many directions a field takes up, and with it most of
 * the work, is not known beforehand: the first run is begun, for a part of a second, and what is
 * left of it is taken to go on as its last steps did. */
#ifndef DMF_SOLVE_PLAN_H
#define DMF_SOLVE_PLAN_H

#include "machine/machine.h"
#include "solve/solve.h"

/* Of one run: what it would take to its last step. */
typedef struct RunCost {
  double flops, seconds;
} RunCost;

/* Begins a run as `plan` says, but for its observer. False where that fails, without memory or
 * because it diverges at once. */
bool plan_run(const MachinePlan *plan, RunCost *cost);

#endif
