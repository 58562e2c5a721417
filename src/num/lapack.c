/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "num/lapack.h"
#include "base/memory.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

/* Fortran passes the lengths of texts behind the other arguments. */
extern void dsyevd_(const char *job, const char *uplo, const int *n, double *a, const int *lda,
                    double *w, double *work, const int *lwork, int *iwork, const int *liwork,
                    int *info, size_t, size_t);
extern void dgetrf_(const int *m, const int *n, double *a, const int *lda, int *pivots, int *info);
extern void dgetrs_(const char *trans, const int *n, const int *nrhs, const double *a,
                    const int *lda, const int *pivots, double *b, const int *ldb, int *info,
                    size_t);
extern void dgecon_(const char *norm, const int *n, const double *a, const int *lda,
                    const double *anorm, double *rcond, double *work, int *iwork, int *info,
                    size_t);
extern void dgesdd_(const char *job, const int *m, const int *n, double *a, const int *lda,
                    double *s, double *u, const int *ldu, double *vt, const int *ldvt, double *work,
                    const int *lwork, int *iwork, int *info, size_t);
extern void dgelsy_(const int *m, const int *n, const int *nrhs, double *a, const int *lda,
                    double *b, const int *ldb, int *pivots, const double *rcond, int *rank,
                    double *work, const int *lwork, int *info);

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
  transpose(n, a);
  dsyevd_(job, &triangle, &size, a, &lda, values, &length, &ask, &integers, &ask, &info, 1, 1);
  int doubles = (int)length;
  double *work = mem_room((size_t)length);
  int *iwork = mem_try((size_t)integers, sizeof *iwork);
  info = -1;
  if (work && iwork)
    dsyevd_(job, &triangle, &size, a, &lda, values, work, &doubles, iwork, &integers, &info, 1, 1);
  free(work);
  free(iwork);
  if (vectors) transpose(n, a);
  return info;
}

int lapack_lu(size_t n, double *a, int *pivots) {
  int size = (int)n, lda = at_least_one(n), info;
  transpose(n, a);
  dgetrf_(&size, &size, a, &lda, pivots, &info);
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
  if (pivots && work && b) {
    transpose(n, a);
    dgetrf_(&size, &size, a, &lda, pivots, &info);
    if (info == 0) dgecon_("1", &size, a, &lda, &norm, &reciprocal, work, pivots + n, &info, 1);
    if (info == 0 && !(reciprocal >= DBL_EPSILON)) info = 1;
  }
  if (info == 0) {
    for (size_t i = 0; i < n * count; i++) b[i % count * n + i / count] = x[i];
    dgetrs_("N", &size, &columns, a, &lda, pivots, b, &lda, &info, 1);
    for (size_t i = 0; i < n * count; i++) x[i] = b[i % count * n + i / count];
  }
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
  dgesdd_(job, &rows, &cols, a, &lda, values, v, &ldu, u, &ldv, &length, &ask, iwork, &info, 1);
  int doubles = (int)length;
  double *work = mem_room((size_t)length);
  info = -1;
  if (work)
    dgesdd_(job, &rows, &cols, a, &lda, values, v, &ldu, u, &ldv, work, &doubles, iwork, &info, 1);
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
  dgelsy_(&rows, &cols, &sides, a, &lda, b, &ldb, pivots, &rcond, &rank, &length, &ask, &info);
  int doubles = (int)length;
  double *work = mem_room((size_t)length);
  info = -1;
  if (work)
    dgelsy_(&rows, &cols, &sides, a, &lda, b, &ldb, pivots, &rcond, &rank, work, &doubles, &info);
  free(work);
  free(pivots);
  return info;
}
