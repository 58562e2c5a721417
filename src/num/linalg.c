/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "num/linalg.h"
#include "base/memory.h"
#include "base/work.h"
#include "num/blas.h"
#include "num/clones.h"
#include "num/lapack.h"
#include "num/thin.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Up to so many multiplications any kernel takes longer to choose than to run. */
enum { TINY = 64 };

#define REAL double
#define NAME(name) name
#define GEMM dgemm
#define THIN thin_mul
#define THIN_BT thin_mul_bt
#include "num/products.def"

#define REAL float
#define NAME(name) name##_single
#define GEMM sgemm
#define THIN thin_mul_single
#define THIN_BT thin_mul_bt_single
#include "num/products.def"

/* Half the work for A A^T. Below this size the products of small matrices are faster than that. */
enum { SQUARE = 64 };

static double square(size_t m, size_t k, double alpha, const double *a, size_t lda, double *c,
                     size_t ldc) {
  double flops = (double)m * (double)(m + 1) * (double)k;
  if (m < SQUARE) {
    flops = product(CblasNoTrans, CblasTrans, m, m, k, alpha, a, lda, a, lda, 0, c, ldc);
  } else {
    blas_take()->dsyrk(CblasRowMajor, CblasLower, CblasNoTrans, (int)m, (int)k, alpha, a, (int)lda,
                       0, c, (int)ldc);
    blas_give();
  }
  for (size_t i = 0; i < m; i++)
    for (size_t j = 0; j < i; j++) c[j * ldc + i] = c[i * ldc + j];
  return flops;
}

double mat_mul_bt(size_t m, size_t n, size_t k, double alpha, const double *a, size_t lda,
                  const double *b, size_t ldb, double beta, double *c, size_t ldc) {
  bool same = a == b && lda == ldb && m == n && !(beta < 0) && !(beta > 0);
  if (same) return square(m, k, alpha, a, lda, c, ldc);
  return product(CblasNoTrans, CblasTrans, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

double mat_mul_bt_single(size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda,
                         const float *b, size_t ldb, float beta, float *c, size_t ldc) {
  return product_single(CblasNoTrans, CblasTrans, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

CLONES static void narrow_all(size_t n, const double *restrict x, float *restrict y) {
  for (size_t i = 0; i < n; i++) y[i] = (float)x[i];
}

CLONES static void widen_all(size_t n, const float *restrict x, double *restrict y) {
  for (size_t i = 0; i < n; i++) y[i] = x[i];
}

void narrow(size_t n, const double *x, float *y) { narrow_all(n, x, y); }
void widen(size_t n, const float *x, double *y) { widen_all(n, x, y); }

CLONES static void widen_onto(size_t n, const float *restrict x, double *restrict y) {
  for (size_t i = 0; i < n; i++) y[i] += x[i];
}

typedef double ProductSingle(size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda,
                             const float *b, size_t ldb, float beta, float *c, size_t ldc);

/* So many numbers are rounded at a time, but for a few rows: they stay in the cache. */
enum { MIXED_ROOM = 1 << 18, MIXED_ROWS = 8 };

static double mixed(ProductSingle *product, size_t m, size_t n, size_t k, double alpha,
                    const double *a, size_t lda, const float *b, size_t ldb, double beta, double *c,
                    size_t ldc) {
  size_t ld = mat_stride_single(k), ldr = mat_stride_single(n),
         some = MIXED_ROOM / (ld + ldr) > MIXED_ROWS ? MIXED_ROOM / (ld + ldr) : MIXED_ROWS,
         most = m < some ? m : some;
  float *rows = mem_insist(mem_room(most * (ld + ldr) / 2 + 1)), *out = rows + most * ld;
  double flops = 0;
  for (size_t first = 0; first < m; first += most) {
    size_t count = m - first < most ? m - first : most;
    for (size_t r = 0; r < count; r++) narrow(k, a + (first + r) * lda, rows + r * ld);
    flops += product(count, n, k, (float)alpha, rows, ld, b, ldb, 0, out, ldr);
    for (size_t r = 0; r < count; r++)
      (beta == 0 ? widen : widen_onto)(n, out + r * ldr, c + (first + r) * ldc);
  }
  free(rows);
  return flops;
}

double mat_mul_mixed(size_t m, size_t n, size_t k, double alpha, const double *a, size_t lda,
                     const float *b, size_t ldb, double beta, double *c, size_t ldc) {
  return mixed(mat_mul_single, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

double mat_mul_bt_mixed(size_t m, size_t n, size_t k, double alpha, const double *a, size_t lda,
                        const float *b, size_t ldb, double beta, double *c, size_t ldc) {
  return mixed(mat_mul_bt_single, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

enum { LINE = 8 }; /* numbers in a line of the cache */

size_t mat_stride(size_t cols) { return ((cols + LINE - 1) / LINE | 1) * LINE; }

size_t mat_stride_single(size_t cols) { return 2 * mat_stride((cols + 1) / 2); }

double dot(size_t n, const double *x, const double *y) {
  return blas_now()->ddot((int)n, x, 1, y, 1);
}

void axpy(size_t n, double a, const double *x, double *y) {
  blas_now()->daxpy((int)n, a, x, 1, y, 1);
}

void axpy_single(size_t n, float a, const float *x, float *y) {
  blas_now()->saxpy((int)n, a, x, 1, y, 1);
}

void softmax(size_t n, size_t count, const double *x, double *out) {
  double most = -INFINITY, sum = 0;
  /* it looks for an interrupt (base/work.h) behind a block: most are small */
  for (size_t k = 0; k < count && work_goes_on(k + 1); k++) most = fmax(most, x[k]);
  for (size_t k = 0; k < count && work_goes_on(k + 1); k++) sum += out[k] = exp(x[k] - most);
  for (size_t k = 0; k < n && work_goes_on(k + 1); k++) out[k] = k < count ? out[k] / sum : 0;
}

/* L[n, most], by Cholesky's factorization with pivots: A = L L^T to rounding, where A has no more
 * than `most` directions. Returns how many, or -1. */
static int few_directions(size_t n, const double *a, size_t most, double *l) {
  double *left = mem_new(n, sizeof *left), largest = 0;
  for (size_t i = 0; i < n; i++) largest = fmax(largest, left[i] = a[i * n + i]);
  int rank = -1;
  for (size_t r = 0; r <= most && !work_stopped(); r++) {
    size_t p = 0;
    for (size_t i = 1; i < n; i++)
      if (left[i] > left[p]) p = i;
    if (left[p] <= 1e-13 * largest) {
      rank = (int)r;
      break;
    }
    if (r == most) break;
    double pivot = sqrt(left[p]);
    for (size_t i = 0; i < n; i++) {
      double next = (a[p * n + i] - dot(r, l + i * most, l + p * most)) / pivot;
      l[i * most + r] = next;
      left[i] -= next * next;
    }
  }
  for (size_t i = 0; i < n; i++)
    if (!(left[i] >= -1e-8 * largest)) rank = -1;
  free(left);
  return rank;
}

/* Whether A = L L^T, tried on a vector. */
static bool is_square_of(size_t n, const double *a, size_t rank, size_t most, const double *l) {
  double *v = mem_new(n, sizeof *v), *down = mem_new(rank + 1, sizeof *down), worst = 0, scale = 0;
  for (size_t i = 0; i < n; i++) v[i] = cos(1 + (double)i);
  for (size_t i = 0; i < n; i++) axpy(rank, v[i], l + i * most, down);
  for (size_t i = 0; i < n; i++) {
    worst = fmax(worst, fabs(dot(n, a + i * n, v) - dot(rank, l + i * most, down)));
    scale = fmax(scale, a[i * n + i]);
  }
  free(v);
  free(down);
  return worst <= 1e-10 * scale * (double)n;
}

/* The root of a large matrix of few directions, such as that of the patches of images: L V, where
 * V diagonalizes L^T L, which is what the eigenvectors of A give. Returns the rank, or -1. */
static int few_root(size_t n, const double *a, double *f) {
  enum { LARGE = 2000, SHARE = 8 };
  size_t most = n / SHARE;
  double *l = n >= LARGE ? mem_try(n * most, sizeof *l) : NULL;
  int rank = l ? few_directions(n, a, most, l) : -1;
  size_t r = rank > 0 ? (size_t)rank : 0;
  double *v = mem_try(r * r + 1, sizeof *v), *w = mem_new(r + 1, sizeof *w);
  if (!v) r = 0;
  for (size_t i = 0; i < n && r; i++)
    for (size_t j = 0; j < r; j++) axpy(r, l[i * most + j], l + i * most, v + j * r);
  if (!r || !is_square_of(n, a, r, most, l) || lapack_eigen(true, 'U', r, v, w) != 0) rank = -1;
  for (size_t i = 0; i < n && rank > 0; i++)
    for (size_t k = 0; k < r; k++) {
      double sum = 0;
      for (size_t j = 0; j < r; j++) sum += l[i * most + j] * v[j * r + r - 1 - k];
      f[i * n + k] = sum;
    }
  free(l);
  free(v);
  free(w);
  return rank;
}

Status mat_status(int outcome) {
  if (outcome != MAT_FAILED && outcome != MAT_STARVED) return STATUS_OK;
  return outcome == MAT_FAILED ? STATUS_NUMERICS
         : work_stopped()      ? STATUS_INTERRUPTED
                               : STATUS_LIMIT;
}

int mat_root(size_t n, const double *a, double *f) {
  int few = few_root(n, a, f);
  if (few > 0) return few;
  double *w = mem_new(2 * n, sizeof *w), *row = w + n;
  for (size_t i = 0; i < n * n; i++) {
    if (!isfinite(a[i])) {
      free(w);
      return MAT_FAILED;
    }
    f[i] = a[i];
  }
  /* eigenvalues ascend, eigenvectors come as columns */
  int failed = lapack_eigen(true, 'U', n, f, w), rank = failed < 0 ? MAT_STARVED : MAT_FAILED;
  if (failed == 0 && w[0] >= -1e-8 * fabs(w[n - 1])) {
    rank = 0;
    for (size_t k = 0; k < n; k++) rank += w[k] > 1e-14 * w[n - 1] && w[k] > 0;
    for (size_t i = 0; i < n; i++) {
      for (size_t k = 0; k < (size_t)rank; k++) row[k] = f[i * n + n - 1 - k] * sqrt(w[n - 1 - k]);
      memcpy(f + i * n, row, (size_t)rank * sizeof *row);
    }
  }
  free(w);
  return rank;
}

int mat_solve_least(size_t m, size_t k, const double *a, size_t lda, size_t count, const double *b,
                    size_t ldb, double rcond, double *x, size_t ldx) {
  size_t longest = m > k ? m : k;
  double *copy = mem_block(m * k), *side = mem_block(longest * count);
  int status = MAT_STARVED;
  if (copy && side) {
    for (size_t i = 0; i < m; i++)
      for (size_t j = 0; j < k; j++) copy[j * m + i] = a[i * lda + j];
    for (size_t c = 0; c < count; c++) memcpy(side + c * longest, b + c * ldb, m * sizeof *side);
    int failed = lapack_least(m, k, copy, count, side, rcond);
    status = failed < 0 ? MAT_STARVED : failed ? MAT_FAILED : 0;
    for (size_t c = 0; c < count; c++) memcpy(x + c * ldx, side + c * longest, k * sizeof *side);
  }
  free(copy);
  free(side);
  return status;
}

enum { ROWS_AT_ONCE = 32 };

/* Rows first .. first+count-1 less their parts along those before `first`. */
static void leave_out(size_t first, size_t count, size_t n, double *w, double *c) {
  double *rows = w + first * n;
  if (!first) return;
  mat_mul_bt(count, first, n, 1, rows, n, w, n, 0, c, first);
  mat_mul(count, n, first, -1, c, first, w, n, 1, rows, n);
}

void mat_orthonormal(size_t m, size_t n, double *w) {
  double *c = mem_new(ROWS_AT_ONCE * m + 1, sizeof *c);
  for (size_t first = 0; first < m && !work_stopped(); first += ROWS_AT_ONCE) {
    size_t count = m - first < ROWS_AT_ONCE ? m - first : ROWS_AT_ONCE;
    for (int pass = 0; pass < 2; pass++) {
      leave_out(first, count, n, w, c);
      for (size_t i = first; i < first + count; i++) {
        double *row = w + i * n;
        for (size_t j = first; j < i; j++) axpy(n, -dot(n, w + j * n, row), w + j * n, row);
        double size = sqrt(dot(n, row, row));
        for (size_t k = 0; k < n; k++) row[k] /= size;
      }
    }
  }
  free(c);
}
