/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Averages over one or two Gaussian variables, to near machine precision. */
#ifndef DMF_SOLVE_AVERAGE_H
#define DMF_SOLVE_AVERAGE_H

#include "scalar/kernel.h"

#include <stdbool.h>

/* A function of one argument, prepared for averaging. */
typedef struct Average Average;

Average *average_new(const Expr *f);
void average_free(Average *average);

/* <f(u) f(v)> for zero-mean Gaussians with <u u> = uu, <v v> = vv, <u v> = uv. Closed forms for
 * multiples of linear, relu, step and erf(c u) (arc-cosine and arcsine kernels); otherwise the
 * trapezoidal rule, which converges exponentially for smooth f, and for functions with kinks
 * Gauss-Legendre panels between them. False when the average does not converge (a function that
 * is singular, has too many kinks, or grows too fast). Relative accuracy about 1e-12. Safe to call
 * from several threads. */
bool average_pair(const Average *average, double uu, double vv, double uv, double *value);

#endif
