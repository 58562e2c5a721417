/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Kernels at initialisation, in the limit of infinite width, without sampling. At t = 0 every
 * product of a matrix with a vector is a fresh Gaussian field, so a population's forward variables
 * are functions of Gaussian variables and its backward ones are linear in them: all kernels are
 * averages over pairs of Gaussians. */
#ifndef DMF_SOLVE_INITIAL_H
#define DMF_SOLVE_INITIAL_H

#include "base/status.h"
#include "field/program.h"

/* For each matrix, <x x> on its source side and <y y> on its target side over all rows [R A, R A]
 * (per output for backward ones: different outputs are uncorrelated), thin sides included. */
typedef struct InitialKernels {
  double **x, **y;   /* [matrix] */
  double **features; /* [matrix]: of its features; NULL where they are x, or no level's */
  /* [matrix * matrix]: <x x'> [R A, R A'] and <y y'> between two uses k < l of one matrix, at
   * k * matrices + l; NULL elsewhere, and throughout without samples */
  double **cross_x, **cross_y;
} InitialKernels;

/* No kernels, yet. */
InitialKernels initial_tables(const Program *program);
/* Status STATUS_SCRIPT when a map mixes Gaussian fields in a way that is no function of one of
 * them, STATUS_NUMERICS when an average is not known; *why then names the variable. STATUS_LIMIT
 * without memory. */
Status initial_kernels(const Program *program, int threads, InitialKernels *kernels, char **why);
/* The same kernels as averages over the n entries of all fields at t = 0, whose rows are ld apart;
 * false without memory. */
bool initial_measure(const Program *program, double *const *fields, size_t n, size_t ld,
                     InitialKernels *kernels);
/* The tangent kernel, sum rate G Phi over matrices, pairs of their uses and pairs of positions, [R,
 * R]; to be freed; NULL without memory.
 * What stands in for a gradient under another learning rule does not correlate with it at
 * initialisation: such matrices do not contribute. */
double *initial_tangent(const Program *program, const InitialKernels *kernels);
void initial_free(const Program *program, InitialKernels *kernels);

#endif
