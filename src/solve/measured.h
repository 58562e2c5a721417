/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fluctuations of order 1/N where the influence of a neuron is not read: those of networks that are
 * conditioned on what their matrices meet, in groups of three widths (united.h), extrapolated. */
#ifndef DMF_SOLVE_MEASURED_H
#define DMF_SOLVE_MEASURED_H

#include "solve/run.h"

/* Whether those of a theory of this origin are measured: where entries of matrices, or polar
 * factors, follow their own history, an activation has more kinks than are rounded, or the lazy
 * limit is not that of a constant tangent kernel. */
bool is_measured(const Origin *origin);

/* As solve_fluctuations, solve_covariance of two fields, value and error [side, side], and
 * solve_variances: the numbers of a theory of this origin, and of what may be wrong with them, [2
 * n].
 */
Status measured_solve(const Origin *origin, const SolveOptions *options, Result **result,
                      char **why);
Status measured_covariance(const Origin *origin, NoiseField a, NoiseField b, double *value,
                           double *error, char **why);
Status measured_variances(const Origin *origin, const SolveOptions *options, const Slopes *of,
                          size_t n, double *value, double *error, char **why);
/* As solve_plan_fluctuations. */
void measured_plan(const Origin *origin, const SolveOptions *options, const NoiseAsked *asked,
                   SolvePlan *plan);

#endif
