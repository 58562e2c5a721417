/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where a function of one argument may change abruptly, read off its expression: quadrature that
 * starts there misses nothing however wide the range is. */
#ifndef DMF_SCALAR_LANDMARKS_H
#define DMF_SCALAR_LANDMARKS_H

#include "scalar/expr.h"

/* A zero of what a nonlinear primitive reads (a kink of relu, the middle of tanh, a pole), and the
 * distance over which what it reads changes by one. */
typedef struct Landmark {
  double place, width;
} Landmark;

enum { MOST_LANDMARKS = 64 };

/* The landmarks of e, a function of argument 0: exact to rounding where a primitive reads an affine
 * function, else by changes of sign on a scale that grows by the factor 2 away from the landmarks
 * of what it reads. Not all where there are more than MOST_LANDMARKS. Returns how many. */
int expr_landmarks(const Expr *e, Landmark landmarks[MOST_LANDMARKS]);

#endif
