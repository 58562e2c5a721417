/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Products of blocks of which one side is short. A matrix product of the BLAS copies its factors
 * into an order of its own first, which for a few rows takes longer than the product; here they are
 * read where they are. For processors with wide fused multiply-add; the bits of a result depend on
 * the shape and on the processor alone. */
#ifndef DMF_NUM_THIN_H
#define DMF_NUM_THIN_H

#include <stddef.h>

/* Numbers in the vectors that the functions below work with for C[m, n] over k > 0: 8, 4, or 0
 * where they cannot run, or are not worth it; twice as many in single precision. Fewer than that
 * will do as well. */
int thin_lanes(size_t m, size_t n, size_t k);
/* C[m, n] = alpha A[m, k] B[k, n] + beta C, with entry (i, p) of A at a[i * row + p * col]. */
void thin_mul(int lanes, size_t m, size_t n, size_t k, double alpha, const double *a, size_t row,
              size_t col, const double *b, size_t ldb, double beta, double *c, size_t ldc);
/* C[m, n] = alpha A[m, k] B[n, k]^T + beta C. */
void thin_mul_bt(int lanes, size_t m, size_t n, size_t k, double alpha, const double *a, size_t lda,
                 const double *b, size_t ldb, double beta, double *c, size_t ldc);
/* The same in single precision. */
void thin_mul_single(int lanes, size_t m, size_t n, size_t k, float alpha, const float *a,
                     size_t row, size_t col, const float *b, size_t ldb, float beta, float *c,
                     size_t ldc);
void thin_mul_bt_single(int lanes, size_t m, size_t n, size_t k, float alpha, const float *a,
                        size_t lda, const float *b, size_t ldb, float beta, float *c, size_t ldc);

#endif
