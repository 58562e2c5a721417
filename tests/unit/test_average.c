/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Gaussian averages of pairs: closed forms, series and nested panels against each other, against
 * values known in closed form, and against GSL's rules. */
#include "scalar/kernel.h"
#include "solve/average.h"
#include "check.h"

#include <gsl/gsl_integration.h>
#include <gsl/gsl_sf_gamma.h>
#include <gsl/gsl_sf_hyperg.h>
#include <math.h>

static const double covariances[][3] = {
    {1, 1, 0.3},      {1, 1, 1},      {1, 1, -1}, {2, 0.5, 0.7}, {1, 1, 0.999999},
    {1, 1, -0.99999}, {0.01, 4, 0.1}, {1, 1, 0},  {9, 9, 8},     {0.75, 0.5, 0.2}};
enum { CASES = sizeof covariances / sizeof *covariances };

static double average(const Expr *f, const double *c) {
  Average *a = average_new(f);
  double cov[] = {c[0], c[2], c[2], c[1]}, out[4];
  const char *fault = average_kernel(a, 2, cov, 1, out);
  average_free(a);
  return fault ? NAN : out[1];
}

/* Of one variable, at this variance. */
static double square(const Expr *f, double variance) {
  return average(f, (double[]){variance, variance, variance});
}

static const Expr *call(ExprPool *pool, Prim prim, const Expr *x, const Expr *y) {
  return expr_call(pool, prim, x, y, NULL);
}

/* prim(scale h + shift) */
static const Expr *of(ExprPool *pool, Prim prim, double scale, double shift) {
  const Expr *h = call(pool, PRIM_MUL, expr_const(pool, scale), expr_arg(pool, 0));
  return call(pool, prim, call(pool, PRIM_ADD, h, expr_const(pool, shift)), NULL);
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

/* A kink away from zero, and steep, singular or fast-growing functions. */
static void hard(ExprPool *pool) {
  const Expr *h = expr_arg(pool, 0), *one = expr_const(pool, 1);
  CHECK(fabs(square(of(pool, PRIM_STEP, 1, -0.7), 1) - 0.5 * erfc(0.7 / sqrt(2))) < 1e-12);
  CHECK(isfinite(square(of(pool, PRIM_TANH, 5, 0), 1)));
  CHECK(isnan(square(call(pool, PRIM_EXP, call(pool, PRIM_MUL, h, h), NULL), 1)));
  double c[] = {1, 1, 0.5};
  const Expr *root = call(pool, PRIM_SQRT, call(pool, PRIM_ABS, h, NULL), NULL);
  CHECK(fabs(average(root, c) - M_SQRT2 / M_PI * pow(gsl_sf_gamma(0.75), 2) *
                                    gsl_sf_hyperg_2F1(-0.25, -0.25, 0.5, 0.25)) < 1e-9);
  CHECK(isnan(average(expr_diff(pool, root, 0), c))); /* its square has no average */
  /* hundreds of kinks; the harmonics are 100 and more, and average to nothing */
  CHECK(fabs(average(call(pool, PRIM_ABS, of(pool, PRIM_SIN, 50, 0), NULL), c) -
             4 / (M_PI * M_PI)) < 1e-9);
  const Expr *clipped = call(pool, PRIM_MAX, expr_const(pool, -1), call(pool, PRIM_MIN, h, one));
  CHECK(fabs(square(clipped, 1) - (erf(M_SQRT1_2) - sqrt(2 / M_PI) * exp(-0.5) + erfc(M_SQRT1_2))) <
        1e-12);
}

/* Sums of products of polynomials, exponentials, sines and Gaussians. */
static void exponentials(ExprPool *pool) {
  const Expr *h = expr_arg(pool, 0), *square_h = call(pool, PRIM_MUL, h, h);
  CHECK(fabs(square(of(pool, PRIM_SIN, 25, 0), 1) - 0.5) < 1e-15);
  CHECK(fabs(square(expr_diff(pool, of(pool, PRIM_SIN, 25, 0), 0), 1) / 625 - 0.5) < 1e-15);
  CHECK(fabs(average(of(pool, PRIM_SIN, 1, 0), (double[]){1250, 2500, 1250})) < 1e-200);
  const Expr *bump =
                 call(pool, PRIM_EXP, call(pool, PRIM_MUL, expr_const(pool, -0.5), square_h), NULL),
             *steep =
                 call(pool, PRIM_EXP, call(pool, PRIM_MUL, expr_const(pool, 0.2), square_h), NULL),
             *cube = call(pool, PRIM_POW, h, expr_const(pool, 3));
  CHECK(fabs(average(steep, (double[]){1, 1, 0.5}) - 1 / sqrt(0.2 + 0.16 * 0.75)) < 1e-12);
  for (int i = 0; i < CASES; i++) {
    const double *c = covariances[i], rest = c[0] * c[1] - c[2] * c[2];
    CHECK(fabs(average(bump, c) - 1 / sqrt(1 + c[0] + c[1] + rest)) < 1e-13);
    CHECK(fabs(average(cube, c) - (9 * c[0] * c[1] * c[2] + 6 * pow(c[2], 3))) <
          1e-13 * pow(c[0] * c[1], 1.5) + 1e-15);
  }
}

/* What has a closed form is integrated when a trifle is added that has none. */
static void by_quadrature(ExprPool *pool) {
  const Expr *h = expr_arg(pool, 0),
             *trifle =
                 call(pool, PRIM_MUL, expr_const(pool, 1e-300), call(pool, PRIM_ATAN, h, NULL)),
             *half = call(pool, PRIM_MUL, expr_const(pool, -0.5), call(pool, PRIM_MUL, h, h));
  const Expr *f[] = {of(pool, PRIM_SIN, 25, 0.3),
                     of(pool, PRIM_COS, 3, 1),
                     call(pool, PRIM_EXP, half, NULL),
                     of(pool, PRIM_EXP, 0.5, 0),
                     call(pool, PRIM_MUL, h, of(pool, PRIM_SIN, 2, 0)),
                     of(pool, PRIM_ERF, 4, 0)};
  static const double widths[] = {0.01, 1, 100};
  for (size_t k = 0; k < sizeof f / sizeof *f; k++)
    for (int i = 0; i < CASES; i++)
      for (int w = 0; w < 3; w++) {
        if (f[k]->prim == PRIM_EXP && w == 2 && f[k]->arg[0] != half) continue;
        const double *c = covariances[i], q = widths[w], wide[] = {q * c[0], q * c[1], q * c[2]};
        double scale = sqrt(square(f[k], wide[0]) * square(f[k], wide[1]));
        double here = average(call(pool, PRIM_ADD, f[k], trifle), wide);
        CHECK(fabs(here - average(f[k], wide)) < 1e-10 * scale);
      }
}

typedef struct Line {
  const Kernel *f;
  double sigma;
} Line;

static double density(double h, void *context) {
  const Line *line = context;
  double f;
  kernel_run(line->f, 1, (const double *[]){&h}, &f);
  return f * f * exp(-0.5 * pow(h / line->sigma, 2)) / line->sigma / sqrt(2 * M_PI);
}

/* <f^2> by GSL, between these points. */
static double by_gsl(const Expr *f, double sigma, double *points, size_t count) {
  enum { INTERVALS = 2000 };
  gsl_integration_workspace *work = gsl_integration_workspace_alloc(INTERVALS);
  Kernel *kernel = kernel_new(f);
  Line line = {kernel, sigma};
  double value, error;
  gsl_integration_qagp(&(gsl_function){density, &line}, points, count, 0, 1e-11, INTERVALS, work,
                       &value, &error);
  kernel_free(kernel);
  gsl_integration_workspace_free(work);
  return value;
}

/* Where the weight of a pair lies twenty standard deviations out. */
static void growing(ExprPool *pool) {
  const Expr *f = call(pool, PRIM_MUL, of(pool, PRIM_EXP, 1, 0), of(pool, PRIM_TANH, 1, 0));
  for (double rho = 0.9; rho < 1; rho += 0.033)
    CHECK(fabs(average(f, (double[]){100, 100, 100 * rho}) / exp(100 * (1 + rho)) - 1) < 1e-9);
  CHECK(isnan(square(f, 1e4)));
}

/* Narrow features on wide fields. */
static void narrow(ExprPool *pool) {
  const Expr *h = expr_arg(pool, 0), *one = expr_const(pool, 1);
  const Expr *softsign =
      call(pool, PRIM_DIV, h, call(pool, PRIM_ADD, one, call(pool, PRIM_ABS, h, NULL)));
  const Expr *slope = expr_diff(pool, softsign, 0);
  CHECK(fabs(square(slope, 1e6) - 2.66e-4) < 1e-7);
  static const double sigmas[] = {1, 10, 74, 1000, 1e4};
  for (size_t i = 0; i < sizeof sigmas / sizeof *sigmas; i++) {
    double sigma = sigmas[i], ends[] = {-12 * sigma, -100, -1, 0, 1, 100, 12 * sigma};
    bool wide = sigma > 10;
    double exact = wide ? by_gsl(slope, sigma, ends, 7)
                        : by_gsl(slope, sigma, (double[]){-12 * sigma, 0, 12 * sigma}, 3);
    CHECK(fabs(square(slope, sigma * sigma) / exact - 1) < 1e-9);
  }
  /* a triangle of half-width 0.1 around 0.5 */
  const Expr *away = call(pool, PRIM_ABS, call(pool, PRIM_SUB, h, expr_const(pool, 0.5)), NULL),
             *rest = call(pool, PRIM_SUB, one, call(pool, PRIM_DIV, away, expr_const(pool, 0.1))),
             *triangle = call(pool, PRIM_RELU, rest, NULL);
  for (double v = 1e4; v < 1e13; v *= 100) {
    double p = exp(-0.125 / v) / sqrt(2 * M_PI * v);
    CHECK(fabs(square(triangle, v) / (p * 0.2 / 3) - 1) < 1e-6);
    CHECK(fabs(average(triangle, (double[]){v, v, 0}) / (p * p * 0.01) - 1) < 1e-6);
  }
  /* a smooth window between 5 and 5.01, with edges of 0.001 */
  const Expr *window = call(pool, PRIM_MUL, of(pool, PRIM_SIGMOID, 1000, -5000),
                            of(pool, PRIM_SIGMOID, -1000, 5010));
  double exact = by_gsl(window, 3, (double[]){4.9, 5, 5.01, 5.1}, 4);
  CHECK(fabs(square(window, 9) / exact - 1) < 1e-9);
  /* bumps of width 0.1 around 500, whose exponent or denominator has no zero of first order */
  const Expr *x = call(pool, PRIM_MUL, expr_const(pool, 10),
                       call(pool, PRIM_SUB, h, expr_const(pool, 500))),
             *squares[] = {call(pool, PRIM_MUL, x, x),
                           call(pool, PRIM_POW, x, expr_const(pool, 2))};
  double ends[] = {-5000, 499, 500, 501, 5000};
  for (int i = 0; i < 2; i++) {
    const Expr *bump = call(pool, PRIM_EXP, call(pool, PRIM_NEG, squares[i], NULL), NULL),
               *pole = call(pool, PRIM_DIV, one, call(pool, PRIM_ADD, one, squares[i]));
    bump = call(pool, PRIM_MUL, bump, of(pool, PRIM_TANH, 1, 0));
    CHECK(fabs(square(bump, 1e6) / by_gsl(bump, 1000, ends, 5) - 1) < 1e-9);
    CHECK(fabs(square(pole, 1e6) / by_gsl(pole, 1000, ends, 5) - 1) < 1e-9);
  }
}

static double arcsine(double uu, double vv, double uv) {
  return 2 / M_PI * asin(2 * uv / sqrt((1 + 2 * uu) * (1 + 2 * vv)));
}

static double arc_cosine(double uu, double vv, double uv) {
  double norm = sqrt(uu * vv), angle = acos(fmin(uv / norm, 1));
  return norm * (sin(angle) + (M_PI - angle) * cos(angle)) / 2 / M_PI;
}

/* More rows than are taken at once, of vectors of many lengths at many angles. */
static void many_rows(ExprPool *pool, Prim prim, double (*known)(double, double, double)) {
  enum { ROWS = 150 };
  static double cov[ROWS * ROWS], out[ROWS * ROWS];
  for (int i = 0; i < ROWS; i++)
    for (int j = 0; j < ROWS; j++)
      cov[i * ROWS + j] = (1 + 0.01 * i) * (1 + 0.01 * j) * cos(M_PI / ROWS * (i - j));
  Average *a = average_new(call(pool, prim, expr_arg(pool, 0), NULL));
  CHECK(!average_kernel(a, ROWS, cov, 2, out));
  average_free(a);
  double worst = 0;
  for (int i = 0; i < ROWS; i++)
    for (int j = 0; j < ROWS; j++) {
      int k = i * ROWS + j;
      worst = fmax(worst, fabs(out[k] - known(cov[i * (ROWS + 1)], cov[j * (ROWS + 1)], cov[k])));
    }
  CHECK(worst < 1e-8);
}

int main(void) {
  ExprPool *pool = expr_pool_new();
  guises(pool);
  known(pool);
  hard(pool);
  exponentials(pool);
  by_quadrature(pool);
  growing(pool);
  narrow(pool);
  many_rows(pool, PRIM_ERF, arcsine);
  many_rows(pool, PRIM_RELU, arc_cosine);
  expr_pool_free(pool);
  return check_done();
}
