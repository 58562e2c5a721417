/* SPDX-License-Identifier: GPL-3.0-or-later */
/* In derivatives the kinks of a program are rounded over small distances, which are extrapolated to
 * zero: one pass for each distance. */
#ifndef DMF_SOLVE_ROUNDED_H
#define DMF_SOLVE_ROUNDED_H

#include "machine/machine.h"

enum { MAX_PASSES = 3 };

/* The weights of the passes that extrapolate to no rounding, to second order; and to first order,
 * for the error. */
extern const double rounded_weight[MAX_PASSES], rounded_first_order[MAX_PASSES];

/* The codes of the passes, *passes of them: one where there are no kinks. They round over fractions
 * of what a kink reads, as it is at t = 0 in a run of this plan, which needs no code. */
Status rounded_compile(MachinePlan plan, bool kinks, MachineCode code[MAX_PASSES], int *passes,
                       int *failed_at);
/* The weight of a pass in what is extrapolated. */
double rounded_share(int passes, int pass);

#endif
