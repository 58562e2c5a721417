/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sums of terms  factor h^power exp(square h^2 + slope h)  with complex factors and slopes:
 * polynomials, exponentials, sines and cosines, Gaussians, and all their products and derivatives.
 * Their Gaussian averages are known in closed form. */
#ifndef DMF_SCALAR_EXPONENTIALS_H
#define DMF_SCALAR_EXPONENTIALS_H

#include "scalar/expr.h"

#include <complex.h>

typedef struct Exponential {
  double complex factor, slope;
  double square;
  int power;
} Exponential;

enum { MOST_EXPONENTIALS = 24, MOST_POWER = 12 };

typedef struct Exponentials {
  int count;
  Exponential term[MOST_EXPONENTIALS];
} Exponentials;

/* e, a function of argument 0, as such a sum; false where it is none, or a longer one. */
bool exponentials_of(const Expr *e, Exponentials *sum);

/* <f(u) f(v)> for zero-mean Gaussians with <u u> = uu, <v v> = vv, <u v> = uv. False where it is
 * not finite. *rounding bounds the rounding error of the sum. */
bool exponentials_pair(const Exponentials *f, double uu, double vv, double uv, double *value,
                       double *rounding);

#endif
