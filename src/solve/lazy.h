/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The lazy limit with given kernels: what its two callers share, that with kernels by quadrature
 * (lazy.c) and that with sampled ones (mixed.c). */
#ifndef DMF_SOLVE_LAZY_H
#define DMF_SOLVE_LAZY_H

#include "solve/initial.h"
#include "solve/observe.h"
#include "solve/run.h"

/* solve_lazy with these kernels, or with those of initial_kernels where `given` is NULL: then
 * STATUS_SCRIPT says that it cannot tell them. */
Status lazy_solve(Program *program, const SolveOptions *options, const InitialKernels *given,
                  Result **result, char **why);
/* Phi[l] or G[l] at t = 0, mean over positions, [R, R]; to be freed. */
double *lazy_kernel(const Program *program, const InitialKernels *kernels, FieldId id, int layer);
/* Fills the promised two-time field of a kernel that does not depend on time, and its error (NULL:
 * none). False if memory ran out. */
bool lazy_fill(Result *result, Sizes sizes, FieldId id, int layer, const double *kernel,
               const double *error);

/* An upper bound of what a lazy solve holds. */
double lazy_bytes(const Program *program);
/* About how many operations its products take. */
double lazy_flops(const Program *program, const SolveOptions *options);

#endif
