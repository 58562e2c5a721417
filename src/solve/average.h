/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Averages over pairs of Gaussian variables, to AVERAGE_ACCURACY or not at all. */
#ifndef DMF_SOLVE_AVERAGE_H
#define DMF_SOLVE_AVERAGE_H

#include "scalar/expr.h"

#include <stddef.h>

/* The largest error of <f(u) f(v)> that is let through, relative to the root of <f(u)^2> <f(v)^2>.
 * It is the sum of what the rule states panel by panel; the error itself is mostly near rounding.
 */
static const double AVERAGE_ACCURACY = 1e-9;

/* A function of one argument, prepared for averaging. */
typedef struct Average Average;

Average *average_new(const Expr *f);
void average_free(Average *average);

/* out[a, b] = <f(u_a) f(u_b)> for zero-mean Gaussians with the covariance [n, n]. Returns NULL, or
 * why an average is not known, as the end of a sentence; the numbers do not depend on the threads.
 *   closed forms   multiples of linear, relu, step and erf(c u) (arc-cosine and arcsine kernels),
 *                  and sums of products of polynomials, exponentials, sines and Gaussians
 *   Hermite series f(sqrt(q) z) = sum c_k(q) h_k(z):  <f f> = sum c_k(q) c_k(q') rho^k; what is
 *                  left out is less than |rho|^K times the root of what both lack of <f^2>
 *   nested rule    where that is not enough: near |rho| = 1, for kinks and wide fields
 * One-dimensional averages are adaptive and start from the landmarks of f. */
const char *average_kernel(const Average *average, size_t n, const double *covariance, int threads,
                           double *out);

#endif
