/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The lazy limit of layers that mix several Gaussian fields: gates, a residual branch behind a
 * nonlinear layer, matrices that act again. Their kernels at initialisation are averages over
 * sample paths, and everything else follows from those as in lazy.h. Replicates are independent; a
 * result is that of their mean kernels, and its errors are the jackknife's over the replicates. */
#ifndef DMF_SOLVE_MIXED_H
#define DMF_SOLVE_MIXED_H

#include "result/result.h"
#include "solve/solve.h"

Status mixed_solve(Program *program, const SolveOptions *options, Result **result, char **why);
/* The two-time kernels of such a result. */
Status mixed_complete(Result *result, char **why);

#endif
