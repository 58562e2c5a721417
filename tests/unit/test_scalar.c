/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Scalar functions: vector evaluation against libm, derivatives against finite differences and
 * closed forms, the simplifier's identities. */
#include "base/memory.h"
#include "check.h"
#include "scalar/kernel.h"
#include "scalar/landmarks.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static ExprPool *pool;

static const Expr *num(double value) { return expr_const(pool, value); }
static const Expr *arg(int index) { return expr_arg(pool, index); }
static const Expr *call(Prim prim, const Expr *x, const Expr *y, const Expr *z) {
  return expr_call(pool, prim, x, y, z);
}
static const Expr *add(const Expr *x, const Expr *y) { return call(PRIM_ADD, x, y, NULL); }
static const Expr *sub(const Expr *x, const Expr *y) { return call(PRIM_SUB, x, y, NULL); }
static const Expr *mul(const Expr *x, const Expr *y) { return call(PRIM_MUL, x, y, NULL); }
static const Expr *over(const Expr *x, const Expr *y) { return call(PRIM_DIV, x, y, NULL); }
static const Expr *power(const Expr *x, const Expr *y) { return call(PRIM_POW, x, y, NULL); }
static const Expr *f1(Prim prim, const Expr *x) { return call(prim, x, NULL, NULL); }
static const Expr *of_args(Prim prim) { return call(prim, arg(0), arg(1), arg(2)); }

static void run(const Expr *e, size_t n, const double *const *args, double *out) {
  Kernel *kernel = kernel_new(e);
  kernel_run(kernel, n, args, out);
  kernel_free(kernel);
}

/* ---- values ---- */

/* Distance in units of the last place of b; 0 also where both are NaN or the same infinity. */
static double ulps(double a, double b) {
  if (a == b || (isnan(a) && isnan(b))) return 0;
  double unit = nextafter(fabs(b), INFINITY) - fabs(b);
  return fabs(a - b) / unit;
}

enum { GRID = 2003 };

static void test_values(void) {
  static double x[GRID], y[GRID], z[GRID], out[GRID];
  for (int i = 0; i < GRID; i++) {
    x[i] = -5 + 10 * (i + 0.37) / GRID;
    y[i] = 4 * sin(1.7 * i);
    z[i] = cos(2.9 * i);
  }
  /* equal arguments and zeros, where comparisons and selections turn over */
  for (int i = 0; i < GRID; i += 7) y[i] = x[i];
  for (int i = 0; i < GRID; i += 11) x[i] = 0;
  for (Prim p = PRIM_ARG + 1; p < PRIM_COUNT; p++) {
    run(of_args(p), GRID, (const double *[]){x, y, z}, out);
    double worst = 0;
    for (int i = 0; i < GRID; i++)
      worst = fmax(worst, ulps(out[i], prim_eval(p, x[i], y[i], z[i])));
    CHECK(worst <= 4);
    if (worst > 4) fprintf(stderr, "  %s: %g units in the last place\n", prim_name(p), worst);
  }
}

/* NaN and infinity pass through as prim_eval says, at every place of a vector. */
static void test_extremes(void) {
  static const double odd[] = {NAN,    INFINITY, -INFINITY, 0,  -0.0, 1e300,
                               -1e300, 1e-300,   1,         -1, 800,  -800};
  enum { N = sizeof odd / sizeof *odd, PAIRS = N * N };
  double x[PAIRS], y[PAIRS], z[PAIRS], out[PAIRS];
  for (int i = 0; i < PAIRS; i++) {
    x[i] = odd[i / N];
    y[i] = odd[i % N];
    z[i] = 0.5;
  }
  for (Prim p = PRIM_ARG + 1; p < PRIM_COUNT; p++) {
    /* SLEEF promises no accuracy for the trigonometric functions of huge numbers */
    bool periodic = p == PRIM_SIN || p == PRIM_COS || p == PRIM_TAN;
    run(of_args(p), PAIRS, (const double *[]){x, y, z}, out);
    int wrong = 0;
    for (int i = 0; i < PAIRS; i++) {
      if (periodic && fabs(x[i]) > 1e3 && !isinf(x[i])) continue;
      if (ulps(out[i], prim_eval(p, x[i], y[i], z[i])) > 4) {
        if (!wrong++)
          fprintf(stderr, "  %s(%g, %g) = %g, not %g\n", prim_name(p), x[i], y[i], out[i],
                  prim_eval(p, x[i], y[i], z[i]));
      }
    }
    CHECK(wrong == 0);
  }
}

/* The same bits for a whole vector and for its pieces. */
static void test_cuts(void) {
  static const size_t lengths[] = {0, 1, 7, 511, 512, 513, 2000};
  static double x[2000], y[2000], whole[2000], pieces[2001];
  for (int i = 0; i < 2000; i++) {
    x[i] = 0.1 + 3 * fabs(sin(0.7 * i));
    y[i] = 0.1 + 2 * fabs(cos(1.3 * i));
  }
  for (Prim p = PRIM_ARG + 1; p < PRIM_COUNT; p++) {
    const Expr *e = add(mul(num(0.3), of_args(p)), f1(PRIM_TANH, arg(0)));
    Kernel *kernel = kernel_new(e);
    kernel_run(kernel, 2000, (const double *[]){x, y, x}, whole);
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
      size_t step = lengths[l];
      pieces[step] = -77;
      kernel_run(kernel, step, (const double *[]){x, y, x}, pieces);
      CHECK(memcmp(pieces, whole, step * sizeof *whole) == 0);
      CHECK(pieces[step] == -77);
      for (size_t at = 0; step > 0 && at < 2000; at += step) {
        size_t n = 2000 - at < step ? 2000 - at : step;
        kernel_run(kernel, n, (const double *[]){x + at, y + at, x + at}, pieces + at);
      }
      CHECK(step == 0 || memcmp(pieces, whole, sizeof whole) == 0);
    }
    kernel_free(kernel);
  }
}

static void test_in_place(void) {
  double x[600], expected[600];
  for (int i = 0; i < 600; i++) x[i] = 0.01 * i - 3;
  for (int i = 0; i < 600; i++) expected[i] = x[i] * x[i] + 1;
  run(add(mul(arg(0), arg(0)), num(1)), 600, (const double *[]){x}, x);
  CHECK(memcmp(x, expected, sizeof x) == 0);
  run(num(2.5), 600, NULL, x);
  CHECK(x[0] == 2.5 && x[599] == 2.5);
  double y[3] = {1, 2, 3}, out[3];
  run(arg(1), 3, (const double *[]){x, y}, out);
  CHECK(memcmp(y, out, sizeof y) == 0);
}

/* An expression with so many nodes that its registers do not fit a full chunk. */
static void test_long_expression(void) {
  const Expr *e = arg(0);
  for (int i = 0; i < 3000; i++) e = add(mul(e, num(0.5)), f1(PRIM_COS, arg(0)));
  double x[100], out[100];
  for (int i = 0; i < 100; i++) x[i] = 0.02 * i;
  run(e, 100, (const double *[]){x}, out);
  double worst = 0;
  for (int i = 0; i < 100; i++) worst = fmax(worst, fabs(out[i] - 2 * cos(x[i])));
  CHECK(worst < 1e-14);
}

/* ---- derivatives ---- */

/* The derivative along argument `index` by the central difference of order 8. */
static double difference(const Expr *e, const double *at, int index) {
  static const double weight[] = {4.0 / 5, -1.0 / 5, 4.0 / 105, -1.0 / 280};
  const double h = 2e-3;
  double sum = 0, x[3];
  memcpy(x, at, sizeof x);
  for (int k = 1; k <= 4; k++) {
    x[index] = at[index] + k * h;
    double right = expr_eval(e, x);
    x[index] = at[index] - k * h;
    sum += weight[k - 1] * (right - expr_eval(e, x));
  }
  return sum / h;
}

/* Each of the first three derivatives against differences of the one before. */
static void check_derivatives(const char *name, const Expr *e, const double *at) {
  for (int index = 0; index < 3; index++) {
    const Expr *below = e;
    for (int order = 1; order <= 3; order++) {
      const Expr *d = expr_diff(pool, below, index);
      double value = expr_eval(d, at), reference = difference(below, at, index);
      bool close = fabs(value - reference) < 1e-9 * (1 + fabs(value));
      CHECK(close);
      if (!close)
        fprintf(stderr, "  %s at (%g, %g, %g), argument %d, order %d: %.15g, not %.15g\n", name,
                at[0], at[1], at[2], index, order, value, reference);
      below = d;
    }
  }
}

static const Expr *gelu(const Expr *h) {
  return over(mul(h, add(num(1), f1(PRIM_ERF, over(h, num(sqrt(2)))))), num(2));
}

static void test_derivatives(void) {
  static const double places[][3] = {
      {0.7, 1.3, 0.4}, {1.2, 0.45, -0.8}, {0.41, 2.2, 1.1}, {1.05, 1.7, 0.3}};
  const Expr *x = arg(0), *y = arg(1), *z = arg(2);
  const struct {
    const char *name;
    const Expr *e;
  } compositions[] = {
      {"tanh(a h)/a", over(f1(PRIM_TANH, mul(num(0.4), x)), num(0.4))},
      {"gelu", gelu(x)},
      {"silu", mul(x, f1(PRIM_SIGMOID, x))},
      {"swish(h, a)", mul(x, f1(PRIM_SIGMOID, mul(y, x)))},
      {"mish", mul(x, f1(PRIM_TANH, f1(PRIM_SOFTPLUS, x)))},
      {"softplus(x y - z)", f1(PRIM_SOFTPLUS, sub(mul(x, y), z))},
      {"select",
       call(PRIM_SELECT, call(PRIM_LT, x, y, NULL), f1(PRIM_EXP, mul(x, z)), power(y, num(3)))},
      {"min of functions", call(PRIM_MIN, f1(PRIM_SIN, x), mul(y, y), NULL)},
      {"max of functions", call(PRIM_MAX, f1(PRIM_SIN, mul(x, z)), f1(PRIM_COS, y), NULL)},
      {"x^3 of a negative", power(f1(PRIM_NEG, x), num(3))},
      {"x^-2.5", power(x, num(-2.5))},
      {"x^y", power(f1(PRIM_EXP, mul(x, z)), y)},
      {"quotient", over(f1(PRIM_ATAN, mul(x, y)), add(num(1), mul(x, x)))},
      {"relu squared", power(f1(PRIM_RELU, x), num(2))},
      {"bump", f1(PRIM_EXP, f1(PRIM_NEG, over(power(x, num(2)), num(2))))},
  };
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    for (Prim p = PRIM_ARG + 1; p < PRIM_COUNT; p++)
      check_derivatives(prim_name(p), of_args(p), places[i]);
    for (size_t k = 0; k < sizeof compositions / sizeof *compositions; k++)
      check_derivatives(compositions[k].name, compositions[k].e, places[i]);
  }
  static const double left[] = {-0.9, -1.4, 0.2};
  for (Prim p = PRIM_NEG; p < PRIM_COUNT; p++)
    if (p != PRIM_LOG && p != PRIM_SQRT && p != PRIM_POW)
      check_derivatives(prim_name(p), of_args(p), left);
}

static const Expr *nth(const Expr *e, int order) {
  return order ? nth(expr_diff(pool, e, 0), order - 1) : e;
}

static void test_closed_forms(void) {
  const Expr *x = arg(0);
  for (double h = -3; h <= 3; h += 0.23) {
    double t = tanh(h), s = 1 / (1 + exp(-h)), normal = exp(-h * h / 2) / sqrt(2 * M_PI);
    const struct {
      const Expr *e;
      double value;
    } cases[] = {
        {nth(f1(PRIM_TANH, x), 1), 1 - t * t},
        {nth(f1(PRIM_TANH, x), 2), -2 * t * (1 - t * t)},
        {nth(f1(PRIM_TANH, x), 3), (1 - t * t) * (6 * t * t - 2)},
        {nth(gelu(x), 1), (1 + erf(h / sqrt(2))) / 2 + h * normal},
        {nth(gelu(x), 2), (2 - h * h) * normal},
        {nth(gelu(x), 3), (h * h * h - 4 * h) * normal},
        {nth(f1(PRIM_SOFTPLUS, x), 1), s},
        {nth(f1(PRIM_SOFTPLUS, x), 2), s * (1 - s)},
        {nth(f1(PRIM_SOFTPLUS, x), 3), s * (1 - s) * (1 - 2 * s)},
        {nth(f1(PRIM_RELU, x), 1), h > 0},
        {nth(f1(PRIM_RELU, x), 2), 0},
        {nth(f1(PRIM_ABS, x), 1), h > 0 ? 1 : -1},
        {nth(power(x, num(4)), 3), 24 * h},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
      CHECK(fabs(expr_eval(cases[i].e, &h) - cases[i].value) < 1e-13);
  }
}

/* Kinks are differentiated as people train networks: relu'(0) = 0, |.|'(0) = 0. */
static void test_kinks(void) {
  double zero = 0;
  CHECK(expr_eval(nth(f1(PRIM_RELU, arg(0)), 1), &zero) == 0);
  CHECK(expr_eval(nth(f1(PRIM_ABS, arg(0)), 1), &zero) == 0);
  CHECK(nth(f1(PRIM_STEP, arg(0)), 1) == num(0));
}

/* ---- structure ---- */

static void test_identities(void) {
  const Expr *x = arg(0), *y = arg(1);
  const Expr *zero = num(0), *one = num(1), *minus = f1(PRIM_NEG, x);
  CHECK(add(x, zero) == x && add(zero, x) == x && sub(x, zero) == x);
  CHECK(mul(x, one) == x && mul(one, x) == x && mul(x, zero) == zero && mul(zero, x) == zero);
  CHECK(sub(x, x) == zero && sub(zero, x) == minus && mul(num(-1), x) == minus);
  CHECK(f1(PRIM_NEG, minus) == x && add(y, minus) == sub(y, x) && add(minus, y) == sub(y, x));
  CHECK(sub(y, minus) == add(y, x) && mul(minus, y) == f1(PRIM_NEG, mul(x, y)));
  CHECK(over(x, one) == x && over(zero, x) == zero && over(x, num(4)) == mul(num(0.25), x));
  CHECK(power(x, zero) == one && power(x, one) == x);
  CHECK(mul(num(2), mul(num(3), x)) == mul(num(6), x) && mul(x, num(2)) == mul(num(2), x));
  CHECK(f1(PRIM_EXP, zero) == one && add(num(2), num(3)) == num(5));
  CHECK(call(PRIM_SELECT, one, x, y) == x && call(PRIM_SELECT, zero, x, y) == y);
  CHECK(call(PRIM_SELECT, y, x, x) == x);
  CHECK(num(-0.0) == zero && f1(PRIM_TANH, x) == f1(PRIM_TANH, x) && mul(x, y) == mul(x, y));
  CHECK(expr_substitute(pool, add(x, y), (const Expr *[]){y, zero}) == y);
  CHECK(expr_depends(mul(x, y), 1) && !expr_depends(f1(PRIM_TANH, x), 1));
}

static void test_linearity(void) {
  const Expr *x = arg(0), *y = arg(1);
  CHECK(expr_is_linear(x) && expr_is_linear(add(x, y)) &&
        expr_is_linear(sub(mul(num(3), x), over(y, num(7)))));
  CHECK(expr_is_linear(f1(PRIM_NEG, x)) && expr_is_linear(mul(x, num(2))) &&
        expr_is_linear(num(0)));
  CHECK(!expr_is_linear(add(x, num(1))) && !expr_is_linear(num(2)) && !expr_is_linear(mul(x, x)));
  CHECK(!expr_is_linear(mul(x, y)) && !expr_is_linear(f1(PRIM_TANH, x)) &&
        !expr_is_linear(f1(PRIM_RELU, x)));
  CHECK(!expr_is_linear(over(num(1), x)) && !expr_is_linear(f1(PRIM_ABS, x)));
}

static void test_printing(void) {
  const Expr *x = arg(0), *y = arg(1);
  char *text = expr_print(sub(x, sub(mul(num(2), power(y, num(2))), f1(PRIM_TANH, x))),
                          (const char *[]){"h", "z"});
  CHECK(strcmp(text, "h - (2*z^2 - tanh(h))") == 0);
  free(text);
  const Expr *less = expr_call(pool, PRIM_LT, x, y, NULL);
  text = expr_print(expr_call(pool, PRIM_EQ, less, expr_call(pool, PRIM_LE, y, x, NULL), NULL),
                    (const char *[]){"h", "z"});
  CHECK(strcmp(text, "(h < z) == (z <= h)") == 0); /* comparisons do not chain */
  free(text);
}

/* The sum of tanh(x + i) over low <= i < high, in halves. */
static const Expr *ladder(int low, int high) {
  int middle = low + (high - low) / 2;
  return high - low == 1 ? f1(PRIM_TANH, add(arg(0), expr_const(pool, low)))
                         : add(ladder(low, middle), ladder(middle, high));
}

/* Functions of many operations have no more room on the stack than others. */
static void test_long(void) {
  enum { TERMS = 60000 };
  double x = -30000.25, value, sum = 0;
  for (int i = 0; i < TERMS; i++) sum += tanh(x + i);
  run(ladder(0, TERMS), 1, (const double *[]){&x}, &value);
  CHECK(fabs(value - sum) < 1e-9 * TERMS);
}

/* Whether e has one landmark, there, or as many as said with one there. */
static bool marked(const Expr *e, int count, double place, double width) {
  Landmark marks[MOST_LANDMARKS];
  int found = expr_landmarks(e, marks);
  bool there = false;
  for (int i = 0; i < found; i++)
    there |= fabs(marks[i].place - place) < 1e-12 && fabs(marks[i].width / width - 1) < 1e-12;
  return found == count && there;
}

/* What functions read is affine in ways that are written differently, or is not. */
static void test_landmarks(void) {
  const Expr *h = arg(0), *shifted = add(h, num(3));
  CHECK(marked(f1(PRIM_RELU, mul(num(2), shifted)), 1, -3, 0.5));
  CHECK(marked(f1(PRIM_RELU, mul(shifted, num(-2))), 1, -3, 0.5));
  CHECK(marked(f1(PRIM_RELU, add(mul(shifted, num(2)), num(1))), 1, -3.5, 0.5));
  CHECK(marked(f1(PRIM_TANH, over(sub(num(3), h), num(4))), 1, 3, 4));
  CHECK(marked(f1(PRIM_TANH, sub(over(h, num(4)), num(2))), 1, 8, 4));
  CHECK(marked(f1(PRIM_ABS, f1(PRIM_NEG, shifted)), 1, -3, 1));
  CHECK(marked(over(num(1), sub(h, mul(num(3), h))), 1, 0, 0.5));
  CHECK(marked(call(PRIM_LT, mul(num(2), h), num(3), NULL), 1, 1.5, 0.5));
  CHECK(marked(mul(shifted, sub(num(1), h)), 2, -3, 1) && marked(mul(shifted, h), 2, 0, 1));
  const Expr *square = sub(mul(h, h), num(2));
  Landmark marks[MOST_LANDMARKS];
  int count = expr_landmarks(f1(PRIM_SIGN, square), marks), roots = 0;
  for (int i = 0; i < count; i++) roots += fabs(fabs(marks[i].place) - M_SQRT2) < 1e-12;
  CHECK(roots == 2);
}

int main(void) {
  pool = expr_pool_new();
  test_long();
  test_values();
  test_extremes();
  test_cuts();
  test_in_place();
  test_long_expression();
  test_derivatives();
  test_closed_forms();
  test_kinks();
  test_identities();
  test_linearity();
  test_landmarks();
  test_printing();
  expr_pool_free(pool);
  return check_done();
}
