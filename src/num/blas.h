/* SPDX-License-Identifier: GPL-3.0-or-later */
/* OpenBLAS, loaded when it is first needed. For each product that is under way it has a buffer of
 * its own, and keeps it; where it cannot have one it asks for ever, as each of its threads does
 * when it is loaded. So it is loaded without threads, which would have nothing to do either, and
 * nobody begins a product for which there is no room: whoever is about to compute asks blas_ready
 * first, and what products are one too many wait for others to end. */
#ifndef DMF_NUM_BLAS_H
#define DMF_NUM_BLAS_H

#include "base/status.h"

#include <cblas.h>
#include <stddef.h>

/* Fortran passes the lengths of texts behind the other arguments. */
void dsyevd_(const char *job, const char *uplo, const int *n, double *a, const int *lda, double *w,
             double *work, const int *lwork, int *iwork, const int *liwork, int *info, size_t,
             size_t);
void dgetrf_(const int *m, const int *n, double *a, const int *lda, int *pivots, int *info);
void dgetrs_(const char *trans, const int *n, const int *nrhs, const double *a, const int *lda,
             const int *pivots, double *b, const int *ldb, int *info, size_t);
void dgecon_(const char *norm, const int *n, const double *a, const int *lda, const double *anorm,
             double *rcond, double *work, int *iwork, int *info, size_t);
void dgesdd_(const char *job, const int *m, const int *n, double *a, const int *lda, double *s,
             double *u, const int *ldu, double *vt, const int *ldvt, double *work, const int *lwork,
             int *iwork, int *info, size_t);
void dgelsy_(const int *m, const int *n, const int *nrhs, double *a, const int *lda, double *b,
             const int *ldb, int *pivots, const double *rcond, int *rank, double *work,
             const int *lwork, int *info);

typedef struct Blas {
#define BLAS(own, name) __typeof__(name) *own;
#include "num/blas.def"
} Blas;

/* Loads OpenBLAS, with room for one product. Otherwise STATUS_LIMIT, or STATUS_FILE where it is not
 * installed any more, and why, to be freed. */
Status blas_ready(char **why);

/* The functions, to be called between these two; those of vectors, ddot, daxpy and saxpy, also
 * outside.
 * Without OpenBLAS, and where nobody asked blas_ready, blas_now and blas_take end the process. */
const Blas *blas_now(void);
const Blas *blas_take(void);
void blas_give(void);

/* Between these two nobody is within a product, so that the process may fork: a child that computes
 * would wait for ever for what another thread had locked. Who calls it has not taken. */
void blas_still(void);
void blas_go_on(void);
/* The same in the child, where no other thread is, but what one of them had locked may stay so. */
void blas_begin_alone(void);

#endif
