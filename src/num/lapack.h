/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Factors of row-major matrices, by the LAPACK that is part of OpenBLAS. It is called by its
 * Fortran names: the C interface comes as a library of its own, which would bring a second LAPACK
 * and BLAS into the process. Each function returns 0, what LAPACK says of its failure, or -1
 * without memory, and where somebody wants out (base/work.h). LAPACK itself does not look for that:
 * what there is no patience for is done by a child of the process, which is ended then. It gives
 * the same numbers, and needs the arrays twice. */
#ifndef DMF_NUM_LAPACK_H
#define DMF_NUM_LAPACK_H

#include <stdbool.h>
#include <stddef.h>

/* The eigenvalues of a symmetric A[n, n], of which one triangle ('L' or 'U') is read, ascending;
 * `vectors`: A becomes the eigenvectors, as columns. */
int lapack_eigen(bool vectors, char triangle, size_t n, double *a, double *values);
/* A[n, n] becomes its LU factors; rows i and pivots[i] - 1 were exchanged, one after the other.
 * Positive where a pivot vanishes. */
int lapack_lu(size_t n, double *a, int *pivots);
/* X[n, count] becomes A^-1 X, and A is overwritten. Positive where A is singular to working
 * precision. */
int lapack_solve(size_t n, double *a, size_t count, double *x);
/* A[m, n] = U S V, with U[m, r], V[r, n] and r = min(m, n); A is overwritten. The singular values
 * alone where u is NULL. */
int lapack_svd(size_t m, size_t n, double *a, double *values, double *u, double *v);
/* The smallest X[n, count] nearest to A X = B, column by column: A[n][m] and B[count][max(m, n)]
 * are given as lists of columns, and X comes in the place of B. Directions below rcond are left
 * out. */
int lapack_least(size_t m, size_t n, double *a, size_t count, double *b, double rcond);

#endif
