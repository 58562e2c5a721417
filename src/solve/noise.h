/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fluctuations of what systems observe, to order 1/N. Options are those of solve_fluctuations, with
 * the steps; failures are told as there. */
#ifndef DMF_SOLVE_NOISE_H
#define DMF_SOLVE_NOISE_H

#include "solve/solve.h"

/* Why there are none of a system; NULL where there are. */
const char *noise_refuses(const Program *program);
/* N times the variances of all that is observed. */
Status noise_fluctuations(Program *program, const SolveOptions *options, Result **result,
                          char **why);
/* N times the variances of n numbers, and of what may be wrong with them, [2 n], and their errors.
 */
Status noise_variances(Program *program, const SolveOptions *options, const Slopes *of, size_t n,
                       double *value, double *error, char **why);
/* N times the covariances of two fields, [all numbers of a, all of b], and their errors. */
Status noise_covariance(Program *program, const SolveOptions *options, NoiseField a, NoiseField b,
                        double *value, double *error, char **why);
/* What that takes, or what else is asked. */
void noise_plan(Program *program, const SolveOptions *options, const NoiseAsked *asked,
                SolvePlan *plan);

#endif
