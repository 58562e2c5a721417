/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Products of row-major blocks, by OpenBLAS. A block is a pointer, and how many numbers there
 * are from one row to the next. The scheduler of threads is ours: OpenBLAS runs with one thread, so
 * that sums keep their order. Each function returns the floating point operations it took (2 m n k,
 * or half of that). */
#ifndef DMF_NUM_LINALG_H
#define DMF_NUM_LINALG_H

#include "base/status.h"

#include <stddef.h>

/* C[m, n] = alpha A[m, k] B[k, n] + beta C */
double mat_mul(size_t m, size_t n, size_t k, double alpha, const double *a, size_t lda,
               const double *b, size_t ldb, double beta, double *c, size_t ldc);
/* C[m, n] = alpha A[m, k] B[n, k]^T + beta C: inner products of rows; C is symmetric to the bit
 * where A is B and beta is 0. */
double mat_mul_bt(size_t m, size_t n, size_t k, double alpha, const double *a, size_t lda,
                  const double *b, size_t ldb, double beta, double *c, size_t ldc);
/* C[m, n] = alpha A[k, m]^T B[k, n] + beta C */
double mat_mul_at(size_t m, size_t n, size_t k, double alpha, const double *a, size_t lda,
                  const double *b, size_t ldb, double beta, double *c, size_t ldc);
/* The same in single precision, but for that symmetry. */
double mat_mul_single(size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda,
                      const float *b, size_t ldb, float beta, float *c, size_t ldc);
double mat_mul_bt_single(size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda,
                         const float *b, size_t ldb, float beta, float *c, size_t ldc);
double mat_mul_at_single(size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda,
                         const float *b, size_t ldb, float beta, float *c, size_t ldc);
/* Products with B in single precision, in which they are taken: A is rounded for them, and they are
 * added to C (beta = 1) or take its place (beta = 0). */
double mat_mul_mixed(size_t m, size_t n, size_t k, double alpha, const double *a, size_t lda,
                     const float *b, size_t ldb, double beta, double *c, size_t ldc);
double mat_mul_bt_mixed(size_t m, size_t n, size_t k, double alpha, const double *a, size_t lda,
                        const float *b, size_t ldb, double beta, double *c, size_t ldc);
/* y = x in the other precision. */
void narrow(size_t n, const double *x, float *y);
void widen(size_t n, const float *x, double *y);
/* How far apart rows of `cols` numbers best are: the kernels read vectors that each lie in one line
 * of the cache, and many rows at a time, which an odd number of lines spreads over its sets. */
size_t mat_stride(size_t cols);
size_t mat_stride_single(size_t cols);
double dot(size_t n, const double *x, const double *y);
/* y += a x */
void axpy(size_t n, double a, const double *x, double *y);
void axpy_single(size_t n, float a, const float *x, float *y);

/* exp(x_k) over the sum of exp(x_j) for the first `count` of n numbers, and 0 beyond. */
void softmax(size_t n, size_t count, const double *x, double *out);

/* How these two fail: LAPACK finds no answer, or there is no memory for it. */
enum { MAT_FAILED = -1, MAT_STARVED = -2 };
/* What that means, which these give for want of memory, and where somebody wants out
 * (base/work.h): STATUS_NUMERICS, STATUS_LIMIT or STATUS_INTERRUPTED; STATUS_OK of all else. */
Status mat_status(int outcome);

/* A factor F[n, rank] of a symmetric positive semidefinite A[n, n] = F F^T; eigenvalues below
 * 1e-14 of the largest are left out. Returns the rank, or MAT_FAILED if A has an eigenvalue below
 * -1e-8 of the largest or is not finite, or MAT_STARVED. F has n columns of storage. */
int mat_root(size_t n, const double *a, double *f);

/* The smallest x[k] with A[m, k] x = b[m] (least squares when there is none), for `count`
 * right-hand sides: X[count, k], B[count, m], all row major. Singular directions below rcond are
 * left out. Returns 0, MAT_FAILED or MAT_STARVED. */
int mat_solve_least(size_t m, size_t k, const double *a, size_t lda, size_t count, const double *b,
                    size_t ldb, double rcond, double *x, size_t ldx);

/* The rows of w [m, n], m <= n and independent, made orthonormal, each to those before it (the
 * method of Gram and Schmidt, twice, so that they are to rounding). */
void mat_orthonormal(size_t m, size_t n, double *w);

#endif
