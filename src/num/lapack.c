/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "num/lapack.h"
#include "base/memory.h"
#include "num/blas.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

static const int ask = -1;

static int at_least_one(size_t n) { return n ? (int)n : 1; }

/* What is row-major here is column-major there. */
static void transpose(size_t n, double *a) {
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j < i; j++) {
      double x = a[i * n + j];
      a[i * n + j] = a[j * n + i];
      a[j * n + i] = x;
    }
}

int lapack_eigen(bool vectors, char triangle, size_t n, double *a, double *values) {
  const char *job = vectors ? "V" : "N";
  int size = (int)n, lda = at_least_one(n), integers, info = -1;
  double length;
  const Blas *blas = blas_take();
  transpose(n, a);
  blas->dsyevd(job, &triangle, &size, a, &lda, values, &length, &ask, &integers, &ask, &info, 1, 1);
  int doubles = (int)length;
  double *work = mem_room((size_t)length);
  int *iwork = mem_try((size_t)integers, sizeof *iwork);
  info = -1;
  if (work && iwork)
    blas->dsyevd(job, &triangle, &size, a, &lda, values, work, &doubles, iwork, &integers, &info, 1,
                 1);
  blas_give();
  free(work);
  free(iwork);
  if (vectors) transpose(n, a);
  return info;
}

int lapack_lu(size_t n, double *a, int *pivots) {
  int size = (int)n, lda = at_least_one(n), info;
  transpose(n, a);
  blas_take()->dgetrf(&size, &size, a, &lda, pivots, &info);
  blas_give();
  transpose(n, a);
  return info;
}

/* The largest sum of sizes in a column. */
static double norm_of(size_t n, const double *a) {
  double norm = 0;
  for (size_t j = 0; j < n; j++) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += fabs(a[i * n + j]);
    norm = fmax(norm, sum);
  }
  return norm;
}

int lapack_solve(size_t n, double *a, size_t count, double *x) {
  int size = (int)n, lda = at_least_one(n), columns = (int)count, info = -1;
  int *pivots = mem_try(2 * n, sizeof *pivots);
  double *work = mem_room(4 * n), *b = mem_room(n * count), norm = norm_of(n, a), reciprocal = 0;
  const Blas *blas = blas_take();
  if (pivots && work && b) {
    transpose(n, a);
    blas->dgetrf(&size, &size, a, &lda, pivots, &info);
    if (info == 0)
      blas->dgecon("1", &size, a, &lda, &norm, &reciprocal, work, pivots + n, &info, 1);
    if (info == 0 && !(reciprocal >= DBL_EPSILON)) info = 1;
  }
  if (info == 0) {
    for (size_t i = 0; i < n * count; i++) b[i % count * n + i / count] = x[i];
    blas->dgetrs("N", &size, &columns, a, &lda, pivots, b, &lda, &info, 1);
    for (size_t i = 0; i < n * count; i++) x[i] = b[i % count * n + i / count];
  }
  blas_give();
  free(pivots);
  free(work);
  free(b);
  return info;
}

/* Of the transpose, A^T = V^T S U^T. */
int lapack_svd(size_t m, size_t n, double *a, double *values, double *u, double *v) {
  size_t smaller = m < n ? m : n;
  const char *job = u ? "S" : "N";
  int rows = (int)n, cols = (int)m, lda = at_least_one(n), ldu = lda, ldv = at_least_one(smaller),
      info = -1;
  int *iwork = mem_try(8 * smaller, sizeof *iwork);
  double length = 0;
  if (!iwork) return -1;
  const Blas *blas = blas_take();
  blas->dgesdd(job, &rows, &cols, a, &lda, values, v, &ldu, u, &ldv, &length, &ask, iwork, &info,
               1);
  int doubles = (int)length;
  double *work = mem_room((size_t)length);
  info = -1;
  if (work)
    blas->dgesdd(job, &rows, &cols, a, &lda, values, v, &ldu, u, &ldv, work, &doubles, iwork, &info,
                 1);
  blas_give();
  free(work);
  free(iwork);
  return info;
}

int lapack_least(size_t m, size_t n, double *a, size_t count, double *b, double rcond) {
  size_t longest = m > n ? m : n;
  int rows = (int)m, cols = (int)n, sides = (int)count, lda = at_least_one(m),
      ldb = at_least_one(longest), rank, info = -1;
  int *pivots = mem_try(n, sizeof *pivots);
  double length = 0;
  if (!pivots) return -1;
  const Blas *blas = blas_take();
  blas->dgelsy(&rows, &cols, &sides, a, &lda, b, &ldb, pivots, &rcond, &rank, &length, &ask, &info);
  int doubles = (int)length;
  double *work = mem_room((size_t)length);
  info = -1;
  if (work)
    blas->dgelsy(&rows, &cols, &sides, a, &lda, b, &ldb, pivots, &rcond, &rank, work, &doubles,
                 &info);
  blas_give();
  free(work);
  free(pivots);
  return info;
}
