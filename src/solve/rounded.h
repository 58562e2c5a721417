/* SPDX-License-Identifier: GPL-3.0-or-later */
/* In derivatives the kinks of a program are rounded over small distances, which are extrapolated to
 * zero: one pass for each distance. */
#ifndef DMF_SOLVE_ROUNDED_H
#define DMF_SOLVE_ROUNDED_H

#include "machine/machine.h"

enum { MAX_PASSES = 3 };

/* The codes of the passes, *passes of them: one where there are no kinks. They round over fractions
 * of what crosses a jump in a recorded run of this plan, which needs no code, at its first step
 * where that is not 0. */
Status rounded_compile(MachinePlan plan, bool kinks, MachineCode code[MAX_PASSES], int *passes,
                       int *failed_at);
/* The weight of a pass in what is extrapolated. */
double rounded_share(int passes, int pass);
/* Of parts[pass][run][n], the mean over independent runs of what is extrapolated, its standard
 * error by their scatter (0 of one run), and by what the last order of the extrapolation changes
 * it, each [n]; `moves` [run, n], unless NULL, takes how far each of several runs is from the mean,
 * in units of the error. */
void rounded_mean(int passes, int runs, const double *parts, size_t n, double *value, double *error,
                  double *last, double *moves);

#endif
