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
static double newton_step(size_t n, size_t k, double *X, double *A, double *B, double *next) {
  static const double a = 3.4445, b = -4.7750, c = 2.0315;
  double flops = mat_mul_bt(n, n, k, 1, X, k, X, k, 0, A, n);
  flops += mat_mul_bt(n, n, n, c, A, n, A, n, 0, B, n); /* A A^T, A being symmetric */
  axpy(n * n, b, A, B);
  memcpy(next, X, n * k * sizeof *X);
  flops += mat_mul(n, k, n, 1, B, n, X, k, a, next, k);
  memcpy(X, next, n * k * sizeof *X);
  return flops;
}

/* to [k, n] becomes the transpose of X [n, k], by squares that fit the cache. */
static void transpose(size_t n, size_t k, const double *X, double *to) {
  enum { SIDE = 16 };
  for (size_t i0 = 0; i0 < n; i0 += SIDE)
    for (size_t j0 = 0; j0 < k; j0 += SIDE)
      for (size_t i = i0; i < n && i < i0 + SIDE; i++)
        for (size_t j = j0; j < k && j < j0 + SIDE; j++) to[j * n + i] = X[i * k + j];
}

/* A tall matrix by its transpose, so that A is on its short side. */
static Status newton(size_t n, size_t k, double *X, double *flops) {
  bool tall = n > k;
  size_t low = tall ? k : n, wide = tall ? n : k;
  if (!mem_fits(8 * (double)low * (2 * (double)low + (tall ? 2 : 1) * (double)wide)))
    return STATUS_LIMIT;
  double norm = sqrt(dot(n * k, X, X)), *A = mem_block(low * low + 1),
         *B = mem_block(low * low + 1), *next = mem_block(n * k + 1),
         *turned = tall ? mem_block(n * k + 1) : X;
  bool fine = A && B && next && turned;
  for (size_t i = 0; i < n * k && norm > 0; i++) X[i] /= norm;
  if (fine && tall) transpose(n, k, X, turned);
  for (int step = 0; step < NEWTON_STEPS && fine && norm > 0; step++)
    *flops += newton_step(low, wide, turned, A, B, next);
  if (fine && tall) transpose(low, wide, turned, X);
  free(A);
  free(B);
  free(next);
  if (tall) free(turned);
  return fine ? STATUS_OK : STATUS_LIMIT;
}

static Status exact(double floor, size_t n, size_t k, double *X, double *flops) {
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
  if (status == STATUS_OK) *flops += mat_mul(n, k, rank, 1, U, rank, Vt, k, 0, X, k);
  free(U);
  free(s);
  free(Vt);
  return status;
}

Status polar_factor(const Polar *polar, double floor, size_t rows, size_t cols, double *v,
                    double *flops) {
  return polar->exact ? exact(floor, rows, cols, v, flops) : newton(rows, cols, v, flops);
}
