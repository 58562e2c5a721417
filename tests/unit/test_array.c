/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/memory.h"
#include "base/work.h"
#include "num/arrayops.h"

#include "check.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const char *why;

/* An array from its shape and elements. */
static Array *make(int rank, const size_t *shape, const double *data) {
  Array *a = array_new(rank, shape);
  memcpy(a->data, data, a->size * sizeof *data);
  return a;
}

#define VECTOR(...)                                                                                \
  make(1, (size_t[]){sizeof((double[]){__VA_ARGS__}) / sizeof(double)}, (double[]){__VA_ARGS__})
#define MATRIX(m, n, ...) make(2, (size_t[]){m, n}, (double[]){__VA_ARGS__})

static bool near(double a, double b) {
  return (isnan(a) && isnan(b)) || a == b || fabs(a - b) <= 1e-12 * (1 + fabs(b));
}

/* Compares and drops both. */
static bool same(Array *a, Array *b) {
  bool equal = a && b && a->rank == b->rank && a->size == b->size;
  for (int i = 0; equal && i < a->rank; i++) equal = a->shape[i] == b->shape[i];
  for (size_t i = 0; equal && i < a->size; i++) equal = near(a->data[i], b->data[i]);
  array_drop(a);
  array_drop(b);
  return equal;
}

/* True when the call failed with this kind and a message holding `part`. */
static bool failed(Array *a, Status status, const char *part) {
  if (a) return array_drop(a), false;
  if (array_failure() == status && strstr(why, part)) return true;
  return printf("  got status %d: %s\n", array_failure(), why), false;
}

static double add(double a, double b) { return a + b; }

static void test_elementwise(void) {
  Array *v = VECTOR(1, 4, 9), *m = MATRIX(2, 3, 0, 1, 2, 3, 4, 5), *c = MATRIX(2, 1, 10, 20);
  Array *s = array_scalar(2), *four = VECTOR(1, 2, 3, 4), *none = array_new(1, (size_t[]){0});
  CHECK(same(array_map(v, sqrt, &why), VECTOR(1, 2, 3)));
  CHECK(same(array_map(s, sqrt, &why), array_scalar(sqrt(2))));
  CHECK(same(array_zip(v, s, add, &why), VECTOR(3, 6, 11)));
  CHECK(same(array_zip(s, s, add, &why), array_scalar(4)));
  CHECK(same(array_zip(m, v, add, &why), MATRIX(2, 3, 1, 5, 11, 4, 8, 14)));
  CHECK(same(array_zip(v, m, add, &why), MATRIX(2, 3, 1, 5, 11, 4, 8, 14)));
  CHECK(same(array_zip(c, v, add, &why), MATRIX(2, 3, 11, 14, 19, 21, 24, 29)));
  CHECK(same(array_zip(none, s, add, &why), array_keep(none)));
  CHECK(
      failed(array_zip(v, four, add, &why), STATUS_SCRIPT, "shapes [3] and [4] do not broadcast"));
  CHECK(failed(array_zip(none, v, add, &why), STATUS_SCRIPT, "shapes [0] and [3]"));
  Array *where = VECTOR(1, 0, 1);
  CHECK(same(array_select(where, v, s, &why), VECTOR(1, 2, 9)));
  CHECK(same(array_select(where, m, v, &why), MATRIX(2, 3, 0, 4, 2, 3, 4, 5)));
  CHECK(failed(array_select(s, v, four, &why), STATUS_SCRIPT, "shapes [3] and [4]"));
  Array *all[] = {v, m, c, s, four, none, where};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) array_drop(all[i]);
}

static Subscript at(double i) { return (Subscript){.kind = SUBSCRIPT_AT, .at = i}; }

static Subscript slice(double begin, double end) {
  return (Subscript){.kind = SUBSCRIPT_SLICE,
                     .has_begin = !isnan(begin),
                     .has_end = !isnan(end),
                     .begin = begin,
                     .end = end};
}

static Subscript list(const Array *places) {
  return (Subscript){.kind = SUBSCRIPT_LIST, .list = places};
}

#define INDEX(a, ...)                                                                              \
  array_index(a, (int)(sizeof((Subscript[]){__VA_ARGS__}) / sizeof(Subscript)),                    \
              (Subscript[]){__VA_ARGS__}, &why)

static void test_index(void) {
  Array *v = VECTOR(10, 11, 12, 13), *m = MATRIX(3, 2, 0, 1, 2, 3, 4, 5), *s = array_scalar(7);
  Array *places = VECTOR(-1, 0, 0), *grid = MATRIX(1, 2, 2, 1), *bad = VECTOR(0, 3),
        *half = VECTOR(0.5);
  CHECK(same(INDEX(v, at(0)), array_scalar(10)));
  CHECK(same(INDEX(v, at(-1)), array_scalar(13)));
  CHECK(same(INDEX(v, slice(1, 3)), VECTOR(11, 12)));
  CHECK(same(INDEX(v, slice(NAN, -1)), VECTOR(10, 11, 12)));
  CHECK(same(INDEX(v, slice(-2, NAN)), VECTOR(12, 13)));
  CHECK(same(INDEX(v, slice(-9, 99)), array_keep(v)));
  CHECK(same(INDEX(v, slice(3, 1)), array_new(1, (size_t[]){0})));
  CHECK(same(INDEX(m, at(1)), VECTOR(2, 3)));
  CHECK(same(INDEX(m, slice(NAN, NAN), at(-1)), VECTOR(1, 3, 5)));
  CHECK(same(INDEX(m, at(2), at(0)), array_scalar(4)));
  CHECK(same(INDEX(m, list(places)), MATRIX(3, 2, 4, 5, 0, 1, 0, 1)));
  CHECK(same(INDEX(m, list(places), at(1)), VECTOR(5, 1, 1)));
  CHECK(same(INDEX(m, list(grid), at(0)), MATRIX(1, 2, 4, 2)));
  CHECK(same(array_index(s, 0, NULL, &why), array_scalar(7)));
  CHECK(same(array_index(m, 0, NULL, &why), array_keep(m)));
  CHECK(failed(INDEX(v, at(4)), STATUS_SCRIPT, "index 4 is out of range for axis 0 of size 4"));
  CHECK(failed(INDEX(v, at(-5)), STATUS_SCRIPT, "index -5 is out of range"));
  CHECK(failed(INDEX(m, at(0), at(2)), STATUS_SCRIPT, "axis 1 of size 2"));
  CHECK(failed(INDEX(m, list(bad)), STATUS_SCRIPT, "index 3 is out of range for axis 0 of size 3"));
  CHECK(failed(INDEX(m, list(half)), STATUS_SCRIPT, "index 0.5 is not a whole number"));
  CHECK(failed(INDEX(m, slice(NAN, NAN), list(half)), STATUS_SCRIPT, "not a whole number"));
  CHECK(failed(INDEX(v, at(NAN)), STATUS_SCRIPT, "not a whole number"));
  CHECK(failed(INDEX(v, at(1e300)), STATUS_SCRIPT, "not a whole number"));
  CHECK(failed(INDEX(v, slice(0.5, 2)), STATUS_SCRIPT, "slice bound 0.5"));
  CHECK(failed(INDEX(v, at(0), at(0)), STATUS_SCRIPT, "2 subscripts for an array of shape [4]"));
  CHECK(failed(INDEX(s, at(0)), STATUS_SCRIPT, "1 subscripts for an array of shape []"));
  Array *all[] = {v, m, s, places, grid, bad, half};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) array_drop(all[i]);
}

static void test_making(void) {
  CHECK(same(array_eye(2, &why), MATRIX(2, 2, 1, 0, 0, 1)));
  CHECK(same(array_full(1, (size_t[]){2}, 3, &why), VECTOR(3, 3)));
  CHECK(same(array_linspace(0, 1, 5, &why), VECTOR(0, 0.25, 0.5, 0.75, 1)));
  CHECK(same(array_linspace(3, 9, 1, &why), VECTOR(3)));
  CHECK(same(array_linspace(3, 9, 0, &why), array_new(1, (size_t[]){0})));
  CHECK(same(array_logspace(-1, 1, 3, &why), VECTOR(0.1, 1, 10)));
  CHECK(same(array_range(0, 3, 1, &why), VECTOR(0, 1, 2, 3)));
  CHECK(same(array_range(0, 0.3, 0.1, &why), VECTOR(0, 0.1, 0.2, 0.3)));
  CHECK(same(array_range(0, 2.5, 1, &why), VECTOR(0, 1, 2)));
  CHECK(same(array_range(2, 0, -1, &why), VECTOR(2, 1, 0)));
  CHECK(same(array_range(2, 0, 1, &why), array_new(1, (size_t[]){0})));
  CHECK(failed(array_range(0, INFINITY, 1, &why), STATUS_SCRIPT, "no range"));
  CHECK(failed(array_range(0, 1, 0, &why), STATUS_SCRIPT, "no range"));
  CHECK(failed(array_range(0, 1e300, 1, &why), STATUS_LIMIT, "too long"));
  CHECK(failed(array_range(0, 1e13, 1, &why), STATUS_LIMIT, "GB"));
  CHECK(failed(array_range(1, (double)SIZE_MAX + 2, 1, &why), STATUS_LIMIT,
               sizeof(size_t) > 4 ? "too long" : "GB"));
  CHECK(failed(array_eye(SIZE_MAX, &why), STATUS_LIMIT, "GB"));
  mem_set_limit(4e6);
  CHECK(failed(array_eye(1000, &why), STATUS_LIMIT,
               "shape [1000, 1000]: out of memory: this takes 8000000 bytes"));
  mem_set_limit(0);
}

/* Whether an allowance of so many numbers is enough, and one less is not. */
static bool costs(double numbers, Array *made) {
  array_drop(made);
  return work_allow(work_unlimited).left == 1e9 - numbers;
}

static bool refused(Array *made) {
  return !made && array_failure() == STATUS_LIMIT && work_refused();
}

static void test_work(void) {
  const Work large = {1e9, false};
  Array *m = array_eye(100, &why), *v = array_range(0, 99, 1, &why);
  work_allow((Work){100, false});
  CHECK(refused(array_range(0, 100, 1, &why)));
  CHECK(refused(array_range(0, 1e9, 1, &why)));
  Array *fits = array_range(0, 99, 1, &why);
  CHECK(fits && refused(array_range(0, 0, 1, &why)));
  array_drop(fits);
  work_allow(large);
  CHECK(!work_refused() && costs(100, array_range(0, 99, 1, &why)));
  work_allow(large);
  CHECK(costs(100 + 1000, array_sort(v, 0, &why)));
  work_allow(large);
  CHECK(costs(1e4 + 1e6 / 128, array_matmul(m, m, &why)));
  work_allow(large);
  CHECK(costs(1e4 + 1e4 + 1e6 / 32, array_inverse(m, &why)));
  work_allow(large);
  CHECK(costs(1e4 + 1 + 1e6 / 32, array_det(m, &why)));
  work_allow(large);
  CHECK(costs(1e4 + 100 + 1e6 / 4, array_eigenvalues(m, &why)));
  work_allow(large);
  CHECK(costs(1e4 + 100 + 1e6 / 4, array_svd(m, &why)));
  array_drop(m);
  array_drop(v);
}

static void test_joining(void) {
  Array *a = VECTOR(1, 2), *b = VECTOR(3, 4), *c = VECTOR(5), *s = array_scalar(9);
  Array *m = MATRIX(1, 2, 6, 7);
  CHECK(same(array_stack(2, (const Array *[]){a, b}, &why), MATRIX(2, 2, 1, 2, 3, 4)));
  CHECK(same(array_stack(2, (const Array *[]){s, s}, &why), VECTOR(9, 9)));
  CHECK(same(array_stack(0, NULL, &why), array_new(1, (size_t[]){0})));
  CHECK(failed(array_stack(2, (const Array *[]){a, c}, &why), STATUS_SCRIPT, "[2] and [1]"));
  CHECK(failed(array_stack(2, (const Array *[]){a, s}, &why), STATUS_SCRIPT, "[2] and []"));
  Array *deep = array_new(ARRAY_MAX_RANK, (size_t[]){1, 1, 1, 1, 1, 1, 1, 1});
  CHECK(failed(array_stack(1, (const Array *[]){deep}, &why), STATUS_SCRIPT, "9 axes"));
  CHECK(same(array_concat(3, (const Array *[]){a, s, c}, &why), VECTOR(1, 2, 9, 5)));
  CHECK(same(array_concat(2, (const Array *[]){m, m}, &why), MATRIX(2, 2, 6, 7, 6, 7)));
  CHECK(same(array_concat(0, NULL, &why), array_new(1, (size_t[]){0})));
  CHECK(failed(array_concat(2, (const Array *[]){m, a}, &why), STATUS_SCRIPT, "do not join"));
  CHECK(failed(array_concat(2, (const Array *[]){s, m}, &why), STATUS_SCRIPT, "[1, 2] and []"));
  Array *all[] = {a, b, c, s, m, deep};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) array_drop(all[i]);
}

static void test_shape(void) {
  Array *m = MATRIX(2, 3, 0, 1, 2, 3, 4, 5), *v = VECTOR(1, 2), *none = array_new(1, (size_t[]){0});
  CHECK(same(array_reshape(m, 2, (double[]){3, -1}, &why), MATRIX(3, 2, 0, 1, 2, 3, 4, 5)));
  CHECK(same(array_reshape(m, 1, (double[]){6}, &why), VECTOR(0, 1, 2, 3, 4, 5)));
  CHECK(same(array_reshape(none, 2, (double[]){0, 4}, &why), array_new(2, (size_t[]){0, 4})));
  CHECK(failed(array_reshape(m, 1, (double[]){5}, &why), STATUS_SCRIPT, "[2, 3] (6 elements)"));
  CHECK(failed(array_reshape(m, 2, (double[]){-1, 4}, &why), STATUS_SCRIPT, "does not fit"));
  CHECK(failed(array_reshape(m, 2, (double[]){-1, -1}, &why), STATUS_SCRIPT, "-1 cannot be"));
  CHECK(failed(array_reshape(m, 2, (double[]){-1, 0}, &why), STATUS_SCRIPT, "does not fit"));
  CHECK(failed(array_reshape(m, 1, (double[]){1.5}, &why), STATUS_SCRIPT, "1.5 cannot be"));
  CHECK(failed(array_reshape(m, 3, (double[]){1e14, 1e14, 1e14}, &why), STATUS_SCRIPT,
               "does not fit"));
  CHECK(failed(array_reshape(m, 9, (double[9]){1}, &why), STATUS_SCRIPT, "9 axes"));
  CHECK(same(array_transpose(m, &why), MATRIX(3, 2, 0, 3, 1, 4, 2, 5)));
  CHECK(same(array_transpose(v, &why), VECTOR(1, 2)));
  CHECK(same(array_diag(v, &why), MATRIX(2, 2, 1, 0, 0, 2)));
  CHECK(same(array_diag(m, &why), VECTOR(0, 4)));
  Array *s = array_scalar(1);
  CHECK(failed(array_diag(s, &why), STATUS_SCRIPT, "shape []"));
  Array *all[] = {m, v, none, s};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) array_drop(all[i]);
}

static void test_reductions(void) {
  Array *m = MATRIX(2, 3, 3, 1, 2, 0, 5, 4), *holes = VECTOR(1, NAN, 0),
        *none = array_new(1, (size_t[]){0});
  CHECK(same(array_reduce(m, REDUCE_SUM, &why), array_scalar(15)));
  CHECK(same(array_reduce(m, REDUCE_MEAN, &why), array_scalar(2.5)));
  CHECK(same(array_reduce(m, REDUCE_VAR, &why), array_scalar(17.5 / 6)));
  CHECK(same(array_reduce(m, REDUCE_STD, &why), array_scalar(sqrt(17.5 / 6))));
  CHECK(same(array_reduce(m, REDUCE_ARGMAX, &why), array_scalar(4)));
  CHECK(same(array_reduce(m, REDUCE_ANY, &why), array_scalar(1)));
  CHECK(same(array_reduce(m, REDUCE_ALL, &why), array_scalar(0)));
  CHECK(same(array_reduce_axis(m, REDUCE_SUM, 0, &why), VECTOR(3, 6, 6)));
  CHECK(same(array_reduce_axis(m, REDUCE_SUM, -1, &why), VECTOR(6, 9)));
  CHECK(same(array_reduce_axis(m, REDUCE_PROD, 1, &why), VECTOR(6, 0)));
  CHECK(same(array_reduce_axis(m, REDUCE_MIN, 1, &why), VECTOR(1, 0)));
  CHECK(same(array_reduce_axis(m, REDUCE_MAX, 0, &why), VECTOR(3, 5, 4)));
  CHECK(same(array_reduce_axis(m, REDUCE_ARGMIN, 0, &why), VECTOR(1, 0, 0)));
  CHECK(same(array_reduce_axis(holes, REDUCE_SUM, 0, &why), array_scalar(NAN)));
  CHECK(same(array_reduce(holes, REDUCE_MAX, &why), array_scalar(NAN)));
  CHECK(same(array_reduce_finite(holes, REDUCE_SUM, NULL, &why), array_scalar(1)));
  CHECK(same(array_reduce(none, REDUCE_SUM, &why), array_scalar(0)));
  CHECK(same(array_reduce(none, REDUCE_ALL, &why), array_scalar(1)));
  CHECK(failed(array_reduce(none, REDUCE_MAX, &why), STATUS_SCRIPT, "max of nothing"));
  CHECK(failed(array_reduce_axis(none, REDUCE_MEAN, 0, &why), STATUS_SCRIPT, "mean of nothing"));
  CHECK(failed(array_reduce_axis(m, REDUCE_SUM, 2, &why), STATUS_SCRIPT, "has no axis 2"));
  CHECK(failed(array_reduce_axis(m, REDUCE_SUM, 0.5, &why), STATUS_SCRIPT, "has no axis 0.5"));
  array_drop(m);
  array_drop(holes);
  array_drop(none);
}

static void test_along_axis(void) {
  Array *m = MATRIX(2, 3, 3, 1, 2, 0, 5, 4), *v = VECTOR(2, NAN, 1, 2), *s = array_scalar(1);
  CHECK(same(array_sort(m, -1, &why), MATRIX(2, 3, 1, 2, 3, 0, 4, 5)));
  CHECK(same(array_sort(m, 0, &why), MATRIX(2, 3, 0, 1, 2, 3, 5, 4)));
  CHECK(same(array_sort(v, 0, &why), VECTOR(1, 2, 2, NAN)));
  CHECK(same(array_argsort(v, 0, &why), VECTOR(2, 0, 3, 1)));
  CHECK(same(array_cumsum(m, 1, &why), MATRIX(2, 3, 3, 4, 6, 0, 5, 9)));
  CHECK(same(array_cumsum(m, 0, &why), MATRIX(2, 3, 3, 1, 2, 3, 6, 6)));
  CHECK(same(array_diff(m, 1, &why), MATRIX(2, 2, -2, 1, 5, -1)));
  CHECK(same(array_diff(m, 0, &why), MATRIX(1, 3, -3, 4, 2)));
  CHECK(failed(array_sort(s, 0, &why), STATUS_SCRIPT, "shape [] has no axis 0"));
  Array *xs = VECTOR(0, 1, 3), *ys = VECTOR(0, 10, 30), *x = VECTOR(-1, 0.5, 2, 3, 9, NAN);
  CHECK(same(array_interp(x, xs, ys, &why), VECTOR(0, 5, 20, 30, 30, NAN)));
  CHECK(failed(array_interp(x, v, v, &why), STATUS_SCRIPT, "do not ascend at index 1"));
  CHECK(failed(array_interp(x, xs, x, &why), STATUS_SCRIPT, "[3] and [6]"));
  Array *all[] = {m, v, s, xs, ys, x};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) array_drop(all[i]);
}

static void test_products(void) {
  Array *m = MATRIX(2, 3, 0, 1, 2, 3, 4, 5), *v = VECTOR(1, 2, 3), *u = VECTOR(1, 1),
        *s = array_scalar(1);
  Array *wide = array_new(2, (size_t[]){0, 3}), *thin = array_new(2, (size_t[]){3, 0});
  CHECK(same(array_matmul(v, v, &why), array_scalar(14)));
  CHECK(same(array_dot(v, v, &why), array_scalar(14)));
  CHECK(same(array_matmul(m, v, &why), VECTOR(8, 26)));
  CHECK(same(array_matmul(u, m, &why), VECTOR(3, 5, 7)));
  Array *t = array_transpose(m, &why);
  CHECK(same(array_matmul(m, t, &why), MATRIX(2, 2, 5, 14, 14, 50)));
  CHECK(same(array_matmul(wide, thin, &why), array_new(2, (size_t[]){0, 0})));
  CHECK(same(array_matmul(thin, wide, &why), array_new(2, (size_t[]){3, 3})));
  CHECK(same(array_outer(u, v, &why), MATRIX(2, 3, 1, 2, 3, 1, 2, 3)));
  CHECK(failed(array_matmul(m, m, &why), STATUS_SCRIPT,
               "shapes [2, 3] and [2, 3] do not match in @"));
  CHECK(failed(array_matmul(s, m, &why), STATUS_SCRIPT, "@ takes vectors and matrices"));
  CHECK(failed(array_dot(m, v, &why), STATUS_SCRIPT, "dot takes two vectors"));
  CHECK(failed(array_outer(s, v, &why), STATUS_SCRIPT, "outer takes two vectors"));
  Array *all[] = {m, v, u, s, wide, thin, t};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) array_drop(all[i]);
}

static void test_factorizations(void) {
  Array *a = MATRIX(2, 2, 2, 1, 1, 3), *b = VECTOR(3, 5), *m = MATRIX(2, 3, 0, 1, 2, 3, 4, 5);
  Array *singular = MATRIX(2, 2, 1, 2, 2, 4), *holes = MATRIX(2, 2, 1, NAN, NAN, 1);
  Array *none = array_new(2, (size_t[]){0, 0}), *rhs = MATRIX(2, 2, 3, 2, 5, 1);
  CHECK(same(array_solve(a, b, &why), VECTOR(0.8, 1.4)));
  CHECK(same(array_solve(a, rhs, &why), MATRIX(2, 2, 0.8, 1, 1.4, 0)));
  CHECK(same(array_inverse(a, &why), MATRIX(2, 2, 0.6, -0.2, -0.2, 0.4)));
  CHECK(same(array_det(a, &why), array_scalar(5)));
  CHECK(same(array_det(singular, &why), array_scalar(0)));
  CHECK(same(array_det(none, &why), array_scalar(1)));
  CHECK(same(array_inverse(none, &why), array_keep(none)));
  CHECK(same(array_trace(a, &why), array_scalar(5)));
  CHECK(same(array_norm(b, &why), array_scalar(sqrt(34))));
  CHECK(same(array_norm(a, &why), array_scalar(sqrt(15))));
  CHECK(failed(array_solve(singular, b, &why), STATUS_NUMERICS, "singular"));
  CHECK(failed(array_inverse(singular, &why), STATUS_NUMERICS, "singular"));
  CHECK(failed(array_solve(holes, b, &why), STATUS_NUMERICS, "not finite"));
  CHECK(failed(array_solve(m, b, &why), STATUS_SCRIPT, "solve takes a square matrix"));
  CHECK(failed(array_solve(a, holes, &why), STATUS_NUMERICS, "not finite"));
  CHECK(failed(array_det(m, &why), STATUS_SCRIPT, "[2, 3]"));
  CHECK(failed(array_trace(m, &why), STATUS_SCRIPT, "trace takes square matrices"));
  Array *all[] = {a, b, m, singular, holes, none, rhs};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) array_drop(all[i]);
}

static void test_spectra(void) {
  Array *a = MATRIX(2, 2, 2, 1, 1, 2), *m = MATRIX(2, 3, 3, 0, 0, 0, 4, 0),
        *skew = MATRIX(2, 2, 0, 1, 2, 0);
  Array *none = array_new(2, (size_t[]){0, 0});
  CHECK(same(array_eigenvalues(a, &why), VECTOR(1, 3)));
  CHECK(same(array_eigenvalues(none, &why), array_new(1, (size_t[]){0})));
  Array *vectors = array_eigenvectors(a, &why), *values = array_eigenvalues(a, &why);
  Array *left = array_matmul(a, vectors, &why), *scale = array_diag(values, &why);
  CHECK(same(left, array_matmul(vectors, scale, &why)));
  CHECK(failed(array_eigenvalues(skew, &why), STATUS_NUMERICS, "symmetric"));
  CHECK(failed(array_eigenvalues(m, &why), STATUS_SCRIPT, "square"));
  CHECK(same(array_svd(m, &why), VECTOR(4, 3)));
  Array *all[] = {a, m, skew, none, vectors, values, scale};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) array_drop(all[i]);
}

static void test_stacks(void) {
  Array *a = MATRIX(2, 2, 2, 1, 1, 2), *b = MATRIX(2, 2, 0, 0, 0, 5),
        *skew = MATRIX(2, 2, 0, 1, 2, 0);
  Array *stack = array_stack(2, (const Array *[]){a, b}, &why);
  Array *uneven = array_stack(2, (const Array *[]){a, skew}, &why);
  Array *none = array_new(3, (size_t[]){2, 0, 0}), *flat = array_new(3, (size_t[]){0, 2, 2});
  CHECK(same(array_trace(stack, &why), VECTOR(4, 5)));
  CHECK(same(array_det(stack, &why), VECTOR(3, 0)));
  CHECK(same(array_eigenvalues(stack, &why), MATRIX(2, 2, 1, 3, 0, 5)));
  CHECK(failed(array_eigenvalues(uneven, &why), STATUS_NUMERICS, "symmetric"));
  CHECK(same(array_det(none, &why), VECTOR(1, 1)));
  CHECK(same(array_eigenvalues(none, &why), array_new(2, (size_t[]){2, 0})));
  CHECK(same(array_trace(flat, &why), array_new(1, (size_t[]){0})));
  Array *all[] = {a, b, skew, stack, uneven, none, flat};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) array_drop(all[i]);
}

static void test_distributions(void) {
  Array *x = VECTOR(0, 0.1, 0.2, 0.9, 1), *one = VECTOR(3), *none = array_new(1, (size_t[]){0});
  Array *q = VECTOR(0, 0.5, 1), *beyond = VECTOR(2);
  CHECK(same(array_histogram(x, 2, 0, 1, &why), MATRIX(2, 2, 0.25, 1.2, 0.75, 0.8)));
  CHECK(same(array_histogram(x, 1, 0.15, 1.15, &why), MATRIX(1, 2, 0.65, 0.6)));
  CHECK(failed(array_histogram(x, 2, 1, 1, &why), STATUS_SCRIPT, "from 1 to 1"));
  CHECK(same(array_quantile(x, q, &why), VECTOR(0, 0.2, 1)));
  CHECK(same(array_quantile(one, q, &why), VECTOR(3, 3, 3)));
  CHECK(failed(array_quantile(none, q, &why), STATUS_SCRIPT, "empty"));
  CHECK(failed(array_quantile(x, beyond, &why), STATUS_SCRIPT, "between 0 and 1"));
  CHECK(failed(array_reduce(none, REDUCE_KURTOSIS, &why), STATUS_SCRIPT, "kurtosis of nothing"));
  Array *all[] = {x, one, none, q, beyond};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) array_drop(all[i]);
}

/* Compares the text of an array and drops it. */
static bool reads(Array *a, int columns, const char *expected) {
  char *text = array_text(a, NULL, columns);
  bool equal = strcmp(text, expected) == 0;
  if (!equal) printf("  got:\n%s\n", text);
  free(text);
  array_drop(a);
  return equal;
}

static void test_text(void) {
  CHECK(reads(array_scalar(0.1), 80, "0.1"));
  CHECK(reads(array_scalar(-0.0), 80, "0"));
  CHECK(reads(VECTOR(1, -1, 0.5), 80, "[1, -1, 0.5]"));
  CHECK(reads(VECTOR(1, 22, 333, 4), 14, "[  1,  22,\n 333,   4]"));
  CHECK(reads(MATRIX(2, 2, 1, 20, -3, 4), 80, "[[ 1, 20],\n [-3,  4]]"));
  CHECK(reads(array_new(2, (size_t[]){0, 3}), 80, "[0, 3] empty"));
  CHECK(reads(array_new(3, (size_t[]){2, 1, 1}), 80, "[0, :, :] =\n[[0]]\n[1, :, :] =\n[[0]]"));
  CHECK(reads(array_range(0, 999, 1, &why), 80,
              "[1000]\n[  0,   1,   2,   3,   4,   5, ..., 994, 995, 996, 997, 998, 999]"));
  Array *big = array_new(4, (size_t[]){30, 30, 30, 30});
  for (int columns = 0; columns < 200; columns += 7) {
    char *text = array_text(big, NULL, columns);
    CHECK(strncmp(text, "[30, 30, 30, 30]\n", 17) == 0 && strlen(text) < 10000);
    free(text);
  }
  array_drop(big);
}

/* No more than so many bytes of addresses besides those in use; 0: as many as before. */
static void allow(double more) {
  static struct rlimit before;
  if (!before.rlim_cur) getrlimit(RLIMIT_AS, &before);
  struct rlimit limit = before;
  double pages = 0;
  FILE *sizes = fopen("/proc/self/statm", "r");
  CHECK(sizes && fscanf(sizes, "%lf", &pages) == 1);
  if (sizes) fclose(sizes);
  if (more > 0) limit.rlim_cur = (rlim_t)(pages * (double)sysconf(_SC_PAGE_SIZE) + more);
  CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
}

#ifdef __SANITIZE_ADDRESS__
enum { SANITIZED = true }; /* a failing allocation ends the process */
#else
enum { SANITIZED = false };
#endif

/* What a refusal says of so many bytes. */
static const char *takes(size_t bytes) {
  static char text[64];
  snprintf(text, sizeof text, "this takes %zu bytes", bytes);
  return text;
}

/* What it takes to sort or to pick is refused like an array. */
static void test_scratch(void) {
  if (SANITIZED) return;
  const size_t n = 4 << 20; /* indices are sizes, which may be smaller than numbers */
  const double bytes = (double)(n * sizeof(double));
  Array *a = array_range(0, (double)n - 1, 1, &why);
  Subscript all = {.kind = SUBSCRIPT_LIST, .list = a}, slice = {.kind = SUBSCRIPT_SLICE};
  allow(1.5 * bytes);
  CHECK(failed(array_argsort(a, 0, &why), STATUS_LIMIT, takes(n * sizeof(struct {
                                                                double value;
                                                                size_t place;
                                                              }))));
  allow(0.5 * bytes);
  CHECK(failed(array_index(a, 1, &all, &why), STATUS_LIMIT, takes(n * sizeof(size_t))));
  CHECK(failed(array_index(a, 1, &slice, &why), STATUS_LIMIT, takes(n * sizeof(size_t))));
  allow(0);
  Array *again = array_index(a, 1, &all, &why);
  CHECK(again && again->size == n);
  array_drop(again);
  array_drop(a);
}

int main(void) {
  test_elementwise();
  test_index();
  test_making();
  test_work();
  test_joining();
  test_shape();
  test_reductions();
  test_along_axis();
  test_products();
  test_factorizations();
  test_spectra();
  test_stacks();
  test_distributions();
  test_text();
  test_scratch();
  return check_done();
}
