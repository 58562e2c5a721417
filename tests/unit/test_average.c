/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Gaussian averages of pairs: closed forms, quadrature and panels against each other and against
 * values known in closed form. */
#include "solve/average.h"
#include "check.h"

#include <math.h>

static const double covariances[][3] = {
    {1, 1, 0.3},      {1, 1, 1},      {1, 1, -1}, {2, 0.5, 0.7}, {1, 1, 0.999999},
    {1, 1, -0.99999}, {0.01, 4, 0.1}, {1, 1, 0},  {9, 9, 8},     {0.75, 0.5, 0.2}};
enum { CASES = sizeof covariances / sizeof *covariances };

static double average(const Expr *f, const double *c) {
  Average *a = average_new(f);
  double value = NAN;
  bool fine = average_pair(a, c[0], c[1], c[2], &value);
  average_free(a);
  return fine ? value : NAN;
}

/* The same function in another guise has no closed form, and is integrated. */
static void guises(ExprPool *pool) {
  const Expr *h = expr_arg(pool, 0), *zero = expr_const(pool, 0), *tiny = expr_const(pool, 1e-300);
  const Expr *relu = expr_call(pool, PRIM_RELU, h, NULL, NULL),
             *max = expr_call(pool, PRIM_MAX, h, zero, NULL);
  const Expr *step = expr_call(pool, PRIM_STEP, h, NULL, NULL),
             *above = expr_call(pool, PRIM_LT, zero, h, NULL);
  const Expr *erf_h = expr_call(pool, PRIM_ERF, h, NULL, NULL);
  const Expr *erf_plus =
      expr_call(pool, PRIM_ADD, erf_h, expr_call(pool, PRIM_MUL, tiny, h, NULL), NULL);
  for (int i = 0; i < CASES; i++) {
    const double *c = covariances[i];
    CHECK(fabs(average(relu, c) - average(max, c)) < 1e-12 * (1 + c[0]));
    CHECK(fabs(average(step, c) - average(above, c)) < 1e-12);
    CHECK(fabs(average(erf_h, c) - average(erf_plus, c)) < 1e-12);
  }
}

static void known(ExprPool *pool) {
  const Expr *h = expr_arg(pool, 0), *two = expr_const(pool, 2);
  double unit[] = {1, 1, 1}, c[] = {2, 0.5, 0.7};
  const Expr *square = expr_call(pool, PRIM_POW, h, two, NULL),
             *exponential = expr_call(pool, PRIM_EXP, h, NULL, NULL);
  CHECK(fabs(average(h, c) - 0.7) < 1e-15);
  CHECK(fabs(average(expr_const(pool, 3), c) - 9) < 1e-15);
  CHECK(fabs(average(square, c) - (2 * 0.5 + 2 * 0.7 * 0.7)) < 1e-12);
  CHECK(fabs(average(exponential, c) / exp((2 + 0.5 + 2 * 0.7) / 2) - 1) < 1e-12);
  const Expr *tanh_h = expr_call(pool, PRIM_TANH, h, NULL, NULL);
  CHECK(fabs(average(tanh_h, unit) - 0.39429449) < 1e-8);
  CHECK(fabs(average(expr_diff(pool, tanh_h, 0), unit) - 0.46440290) < 1e-8);
  CHECK(average(tanh_h, (double[]){0, 1, 0}) == 0);
  /* abs: (2/pi) (sqrt(1-c^2) + c asin c) */
  double a[] = {1, 1, 0.6};
  CHECK(fabs(average(expr_call(pool, PRIM_ABS, h, NULL, NULL), a) -
             M_2_PI * (0.8 + 0.6 * asin(0.6))) < 1e-12);
}

/* A kink away from zero, and steep or fast-growing functions. */
static void hard(ExprPool *pool) {
  const Expr *h = expr_arg(pool, 0);
  const Expr *shifted = expr_call(
      pool, PRIM_STEP, expr_call(pool, PRIM_SUB, h, expr_const(pool, 0.7), NULL), NULL, NULL);
  double unit[] = {1, 1, 1};
  CHECK(fabs(average(shifted, unit) - 0.5 * erfc(0.7 / sqrt(2))) < 1e-12);
  const Expr *steep = expr_call(
      pool, PRIM_TANH, expr_call(pool, PRIM_MUL, expr_const(pool, 5), h, NULL), NULL, NULL);
  CHECK(isfinite(average(steep, unit)));
  const Expr *wild = expr_call(pool, PRIM_EXP, expr_call(pool, PRIM_MUL, h, h, NULL), NULL, NULL);
  CHECK(isnan(average(wild, unit)));
  double c[] = {1, 1, 0.5};
  const Expr *root =
      expr_call(pool, PRIM_SQRT, expr_call(pool, PRIM_ABS, h, NULL, NULL), NULL, NULL);
  CHECK(isnan(average(root, c))); /* its slope is infinite at 0 */
  const Expr *fast = expr_call(
      pool, PRIM_SIN, expr_call(pool, PRIM_MUL, expr_const(pool, 50), h, NULL), NULL, NULL);
  CHECK(isnan(average(expr_call(pool, PRIM_ABS, fast, NULL, NULL), c))); /* hundreds of kinks */
  const Expr *clipped = expr_call(pool, PRIM_MAX, expr_const(pool, -1),
                                  expr_call(pool, PRIM_MIN, h, expr_const(pool, 1), NULL), NULL);
  CHECK(fabs(average(clipped, unit) -
             (erf(M_SQRT1_2) - sqrt(2 / M_PI) * exp(-0.5) + erfc(M_SQRT1_2))) < 1e-12);
}

int main(void) {
  ExprPool *pool = expr_pool_new();
  guises(pool);
  known(pool);
  hard(pool);
  expr_pool_free(pool);
  return check_done();
}
