/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/memory.h"
#include "base/work.h"
#include "num/arrayfail.h"
#include "num/arrayops.h"
#include "num/blas.h"
#include "num/lapack.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static Array *refuse(const char *what, const char *wants, const Array *a, const char **why) {
  char text[ARRAY_SHAPE_TEXT];
  return array_fail(why, STATUS_SCRIPT, "%s takes %s, not an array of shape %s", what, wants,
                    array_shape_text(a, text));
}

static Array *copy(const Array *a, const char **why) {
  Array *out = array_fresh(a->rank, a->shape, why);
  if (out) work_copy(out->data, a->data, a->size);
  return array_whole(out, why);
}

/* LAPACK's counts are int, and its leading dimensions at least 1. */
static bool fits(const Array *a, const char **why) {
  for (int i = 0; i < a->rank; i++)
    if (a->shape[i] > INT_MAX) return array_fail(why, STATUS_LIMIT, "the array is too long"), false;
  return true;
}

/* Factorizations take more time than the numbers they give, as products do (WORK_PRODUCTS). These
 * are how many of their multiplications, of all those of a naive loop, count as one number. */
enum { FACTOR_PER_NUMBER = 32, EIGEN_PER_NUMBER = 4 };

bool array_multiplies(double numbers, const char **why) {
  char *reason = NULL;
  if (!array_affords(numbers, why)) return false;
  Status status = blas_ready(&reason);
  if (status == STATUS_LIMIT) work_spend(DBL_MAX); /* a check goes on without */
  if (status != STATUS_OK) array_fail(why, status, "%s", reason);
  free(reason);
  return status == STATUS_OK;
}

static bool affords_cubes(size_t n, size_t count, int per_number, const char **why) {
  return array_multiplies((double)n * (double)n * (double)n * (double)count / per_number, why);
}

static int leading(size_t columns) { return columns ? (int)columns : 1; }

static bool all_finite(const char *what, const Array *a, const char **why) {
  for (size_t i = 0; i < a->size && work_goes_on(i); i++)
    if (!isfinite(a->data[i]))
      return array_fail(why, STATUS_NUMERICS, "%s of an array that is not finite", what), false;
  return !array_stops(why);
}

static bool factorizable(const char *what, const Array *a, const char **why) {
  if (a->rank != 2) return refuse(what, "a matrix", a, why), false;
  return fits(a, why) && all_finite(what, a, why);
}

static bool square(const char *what, const Array *a, const char **why) {
  if (a->rank != 2 || a->shape[0] != a->shape[1])
    return refuse(what, "a square matrix", a, why), false;
  return factorizable(what, a, why);
}

/* A stack [..., n, n]: matrix i lies n^2 i numbers in. */
typedef struct Stack {
  size_t n, count;
} Stack;

static bool stack_of(const char *what, const Array *a, Stack *stack, const char **why) {
  if (a->rank < 2 || a->shape[a->rank - 1] != a->shape[a->rank - 2])
    return refuse(what, "square matrices", a, why), false;
  *stack = (Stack){a->shape[a->rank - 1], 1};
  for (int i = 0; i + 2 < a->rank; i++) stack->count *= a->shape[i];
  return fits(a, why);
}

static size_t at_most(size_t n, double most) { return (double)n <= most ? n : (size_t)most; }

/* The rows and columns of a tile of C[m, n], whose numbers take k multiplications each: as square
 * as can be, and all of C where there is patience for that. */
static void tile_of(size_t m, size_t n, double k, size_t *rows, size_t *cols) {
  enum { ROUND = 16 }; /* two vectors of eight */
  *rows = m;
  *cols = n;
  if ((double)m * (double)n * k <= work_patience()) return;
  double room = fmax(ROUND * ROUND, work_patience() / k);
  *rows = at_most(m, floor(sqrt(room) / ROUND) * ROUND);
  *cols = at_most(n, fmax(ROUND, floor(room / (double)*rows)));
}

/* A[m, k] B[k, n], tile by tile; a tile has all of k, so that the sums stay whole. */
static void multiply(size_t m, size_t n, size_t k, const double *a, const double *b, double *c) {
  size_t rows, cols;
  tile_of(m, n, (double)k, &rows, &cols);
  for (size_t i = 0; i < m; i += rows)
    for (size_t j = 0; j < n && !work_stopped(); j += cols) {
      int height = (int)(m - i < rows ? m - i : rows), width = (int)(n - j < cols ? n - j : cols);
      blas_take()->dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, height, width, (int)k, 1,
                         a + i * k, leading(k), b + j, leading(n), 0, c + i * n + j, leading(n));
      blas_give();
    }
}

Array *array_matmul(const Array *a, const Array *b, const char **why) {
  if (a->rank < 1 || a->rank > 2) return refuse("@", "vectors and matrices", a, why);
  if (b->rank < 1 || b->rank > 2) return refuse("@", "vectors and matrices", b, why);
  size_t m = a->rank == 2 ? a->shape[0] : 1, k = a->shape[a->rank - 1];
  size_t n = b->rank == 2 ? b->shape[1] : 1;
  char text[2][ARRAY_SHAPE_TEXT];
  if (b->shape[0] != k)
    return array_fail(why, STATUS_SCRIPT, "shapes %s and %s do not match in @",
                      array_shape_text(a, text[0]), array_shape_text(b, text[1]));
  if (!fits(a, why) || !fits(b, why)) return NULL;
  if (!array_multiplies((double)m * (double)k * (double)n / WORK_PRODUCTS, why)) return NULL;
  size_t shape[2];
  int rank = 0;
  if (a->rank == 2) shape[rank++] = m;
  if (b->rank == 2) shape[rank++] = n;
  Array *out = array_fresh(rank, shape, why);
  if (!out || !out->size) return out;
  multiply(m, n, k, a->data, b->data, out->data);
  return array_whole(out, why);
}

Array *array_dot(const Array *a, const Array *b, const char **why) {
  if (a->rank != 1) return refuse("dot", "two vectors", a, why);
  if (b->rank != 1) return refuse("dot", "two vectors", b, why);
  return array_matmul(a, b, why);
}

Array *array_outer(const Array *a, const Array *b, const char **why) {
  if (a->rank != 1) return refuse("outer", "two vectors", a, why);
  if (b->rank != 1) return refuse("outer", "two vectors", b, why);
  Array *out = array_fresh(2, (size_t[]){a->size, b->size}, why);
  if (!out) return NULL;
  for (size_t i = 0; i < a->size && work_goes_on(i); i++)
    for (size_t j = 0; j < b->size && work_goes_on(j); j++)
      out->data[i * b->size + j] = a->data[i] * b->data[j];
  return array_whole(out, why);
}

Array *array_trace(const Array *a, const char **why) {
  Stack stack;
  if (!stack_of("trace", a, &stack, why)) return NULL;
  Array *out = array_fresh(a->rank - 2, a->shape, why);
  for (size_t k = 0; out && k < stack.count && work_goes_on(k); k++)
    for (size_t i = 0; i < stack.n && work_goes_on(i); i++)
      out->data[k] += a->data[k * stack.n * stack.n + i * (stack.n + 1)];
  return array_whole(out, why);
}

/* Takes over x. */
static Array *solve_in_place(const Array *a, Array *x, const char **why) {
  if (!x || x->size == 0) return x;
  bool affordable = affords_cubes(a->shape[0], 1, FACTOR_PER_NUMBER, why);
  Array *lu = affordable ? copy(a, why) : NULL;
  int failed =
      lu ? lapack_solve(a->shape[0], lu->data, x->rank == 2 ? x->shape[1] : 1, x->data) : 0;
  if (failed < 0) array_starve(0, why);
  if (failed > 0) array_fail(why, STATUS_NUMERICS, "the matrix is singular");
  bool solved = lu && !failed;
  array_drop(lu);
  if (solved) return x;
  array_drop(x);
  return NULL;
}

Array *array_solve(const Array *a, const Array *b, const char **why) {
  char text[2][ARRAY_SHAPE_TEXT];
  if (!square("solve", a, why)) return NULL;
  if (b->rank < 1 || b->rank > 2 || b->shape[0] != a->shape[0])
    return array_fail(why, STATUS_SCRIPT, "shapes %s and %s do not match in solve",
                      array_shape_text(a, text[0]), array_shape_text(b, text[1]));
  if (!fits(b, why) || !all_finite("solve", b, why)) return NULL;
  return solve_in_place(a, copy(b, why), why);
}

Array *array_inverse(const Array *a, const char **why) {
  if (!square("inv", a, why)) return NULL;
  return solve_in_place(a, array_eye(a->shape[0], why), why);
}

/* Overwrites the matrix. False without memory, or when somebody wants out. */
static bool determinant(double *lu, size_t n, int *pivots, double *product) {
  int failed = n ? lapack_lu(n, lu, pivots) : 0;
  *product = failed ? 0 : 1;
  for (size_t i = 0; i < n && !failed; i++)
    *product *= lu[i * (n + 1)] * (pivots[i] == (int)i + 1 ? 1 : -1);
  return failed >= 0;
}

Array *array_det(const Array *a, const char **why) {
  Stack stack;
  if (!stack_of("det", a, &stack, why) || !all_finite("det", a, why) ||
      !affords_cubes(stack.n, stack.count, FACTOR_PER_NUMBER, why))
    return NULL;
  Array *lu = copy(a, why), *out = lu ? array_fresh(a->rank - 2, a->shape, why) : NULL;
  int *pivots = out ? array_scratch(stack.n, sizeof *pivots, why) : NULL;
  bool good = pivots != NULL;
  for (size_t k = 0; good && k < stack.count; k++)
    good = determinant(lu->data + k * stack.n * stack.n, stack.n, pivots, &out->data[k]);
  if (pivots && !good) array_starve(0, why);
  Array *given = array_keep(good ? out : NULL);
  free(pivots);
  array_drop(lu);
  array_drop(out);
  return given;
}

static bool symmetric(const double *a, size_t n) {
  double largest = 0;
  for (size_t i = 0; i < n * n && work_goes_on(i); i++) largest = fmax(largest, fabs(a[i]));
  for (size_t i = 0; i < n && !work_stopped(); i++)
    for (size_t j = 0; j < i; j++)
      if (fabs(a[i * n + j] - a[j * n + i]) > 1e-10 * largest) return false;
  return true;
}

/* Eigenvalues into `values`; the matrix becomes the eigenvectors if they are wanted. */
static bool diagonalize(bool vectors, double *a, size_t n, double *values, const char **why) {
  if (!symmetric(a, n))
    return array_fail(why, STATUS_NUMERICS, "eig takes a symmetric matrix, and this one is not"),
           false;
  int failed = lapack_eigen(vectors, 'L', n, a, values);
  if (failed == 0) return true;
  if (failed < 0) return array_starve(0, why), false;
  return array_fail(why, STATUS_NUMERICS, "the eigenvalues did not converge"), false;
}

/* Both parts of each eigensystem; the part not wanted is dropped. */
static Array *eigen(const Array *a, bool vectors, const char **why) {
  Stack stack;
  if (!stack_of("eig", a, &stack, why) || !all_finite("eig", a, why) ||
      !affords_cubes(stack.n, stack.count, EIGEN_PER_NUMBER, why))
    return NULL;
  Array *matrix = copy(a, why), *values = matrix ? array_fresh(a->rank - 1, a->shape, why) : NULL;
  bool good = values != NULL;
  for (size_t k = 0; good && stack.n && k < stack.count; k++)
    good = diagonalize(vectors, matrix->data + k * stack.n * stack.n, stack.n,
                       values->data + k * stack.n, why);
  Array *wanted = array_keep(!good ? NULL : vectors ? matrix : values);
  array_drop(matrix);
  array_drop(values);
  return wanted;
}

Array *array_eigenvalues(const Array *a, const char **why) { return eigen(a, false, why); }

Array *array_eigenvectors(const Array *a, const char **why) { return eigen(a, true, why); }

Array *array_svd(const Array *a, const char **why) {
  if (!factorizable("svd", a, why)) return NULL;
  size_t rows = a->shape[0], columns = a->shape[1], n = rows < columns ? rows : columns;
  if (!array_multiplies((double)a->size * (double)n / EIGEN_PER_NUMBER, why)) return NULL;
  Array *work = copy(a, why), *out = array_fresh(1, &n, why);
  int failed = 0;
  if (work && out && n) failed = lapack_svd(rows, columns, work->data, out->data, NULL, NULL);
  bool good = work && out && !failed;
  if (failed < 0) array_starve(0, why);
  if (failed > 0) array_fail(why, STATUS_NUMERICS, "the singular values did not converge");
  array_drop(work);
  if (good) return out;
  array_drop(out);
  return NULL;
}

Array *array_norm(const Array *a, const char **why) {
  Array *out = array_fresh(0, NULL, why);
  if (!out) return NULL;
  for (size_t i = 0; i < a->size && work_goes_on(i); i++)
    out->data[0] = hypot(out->data[0], a->data[i]);
  return array_whole(out, why);
}
