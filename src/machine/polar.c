/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "machine/polar.h"
#include "base/memory.h"
#include "num/lapack.h"
#include "num/linalg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NEWTON_STEPS = 5 };

/* X <- a X + (b A + c A^2) X, A = X X^T, for [n, k]; A, B [n, n] and next [n, k] are workspace. */
static void newton_step(size_t n, size_t k, double *X, double *A, double *B, double *next) {
  static const double a = 3.4445, b = -4.7750, c = 2.0315;
  mat_mul_bt(n, n, k, 1, X, k, X, k, 0, A, n);
  memcpy(B, A, n * n * sizeof *A);
  mat_mul(n, n, n, c, A, n, A, n, b, B, n);
  memcpy(next, X, n * k * sizeof *X);
  mat_mul(n, k, n, 1, B, n, X, k, a, next, k);
  memcpy(X, next, n * k * sizeof *X);
}

static Status newton(size_t n, size_t k, double *X) {
  if (!mem_fits(8 * (double)n * (2 * (double)n + (double)k))) return STATUS_LIMIT;
  double norm = sqrt(dot(n * k, X, X)), *A = mem_block(n * n + 1), *B = mem_block(n * n + 1),
         *next = mem_block(n * k + 1);
  bool fine = A && B && next;
  for (size_t i = 0; i < n * k && norm > 0; i++) X[i] /= norm;
  for (int step = 0; step < NEWTON_STEPS && fine && norm > 0; step++)
    newton_step(n, k, X, A, B, next);
  free(A);
  free(B);
  free(next);
  return fine ? STATUS_OK : STATUS_LIMIT;
}

static Status exact(double floor, size_t n, size_t k, double *X) {
  static const double cut = 1e-6;
  size_t rank = n < k ? n : k;
  if (!mem_fits(8 * (double)rank * (double)(n + k))) return STATUS_LIMIT;
  double *U = mem_block(n * rank + 1), *s = mem_block(rank + 1), *Vt = mem_block(rank * k + 1);
  Status status = U && s && Vt ? STATUS_OK : STATUS_LIMIT;
  int failed = status == STATUS_OK ? lapack_svd(n, k, X, s, U, Vt) : 0;
  if (failed) status = mat_status(failed < 0 ? MAT_STARVED : MAT_FAILED);
  for (size_t i = 0; status == STATUS_OK && i < n * rank; i++) {
    double size = s[i % rank];
    U[i] *= size > cut * s[0] ? size / hypot(size, floor) : 0;
  }
  if (status == STATUS_OK) mat_mul(n, k, rank, 1, U, rank, Vt, k, 0, X, k);
  free(U);
  free(s);
  free(Vt);
  return status;
}

Status polar_factor(const Polar *polar, double floor, size_t rows, size_t cols, double *v) {
  return polar->exact ? exact(floor, rows, cols, v) : newton(rows, cols, v);
}
