/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A growing orthonormal basis of the vectors that a matrix met on one side, built by Gram-Schmidt
 * on the sample paths themselves (which is accurate to rounding where a Cholesky factor of their
 * kernel is accurate to its square root). The inner product is <x y> = (1/S) sum over paths. */
#ifndef DMF_SOLVE_BASIS_H
#define DMF_SOLVE_BASIS_H

#include "base/status.h"

#include <stddef.h>

typedef struct Basis {
  double *q;   /* [capacity, S], the first `rank` rows orthonormal; NULL on a thin side */
  double *eps; /* [capacity, S], one row of noise for each direction; NULL if not wanted */
  int rank, capacity;
  double *now; /* [rows, capacity]: coordinates of the vectors met last */
  /* what was met, step after step, when asked for: step t has rows * rank_at[t] numbers */
  double *history;
  size_t history_used, history_capacity;
  int *rank_at;
} Basis;

void basis_free(Basis *basis);

/* Room for `more` further directions; false if the memory cannot be had. `noise` says whether rows
 * of eps are wanted, `directions` whether q is. */
int basis_reserve(Basis *basis, int more, size_t rows, size_t paths, int directions, int noise);

/* Extends the basis until each of the `rows` vectors x[rows, S] is represented to within
 * tol * (largest norm among them), taking the vector that stands out most first; leaves the
 * coordinates in `now`. `residual` is workspace [rows, S]. Returns the number of new directions.
 * Room for `rows` more directions must be reserved. flops is added to. */
int basis_meet(Basis *basis, const double *x, size_t rows, size_t paths, double tol,
               double *residual, double *flops);

/* Appends `now` to the history, as step t; false if the memory cannot be had. */
int basis_record(Basis *basis, size_t rows, int t);

/* The coordinates of all that was met, dense: [steps * rows, rank] into `out`. */
void basis_coordinates(const Basis *basis, size_t rows, int steps, double *out);

#endif
