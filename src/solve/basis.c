/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/basis.h"
#include "base/memory.h"
#include "num/linalg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void basis_free(Basis *basis) {
  free(basis->q);
  free(basis->eps);
  free(basis->now);
  free(basis->history);
  free(basis->rank_at);
  *basis = (Basis){0};
}

/* A larger copy of a block of rows, or NULL. */
static double *enlarged(double *old, size_t rows, size_t capacity, size_t paths) {
  double *block = mem_block(capacity * paths);
  if (block && old) memcpy(block, old, rows * paths * sizeof *block);
  return block;
}

int basis_reserve(Basis *basis, int more, size_t rows, size_t paths, int directions, int noise) {
  if (basis->rank + more <= basis->capacity) return 1;
  int capacity =
      2 * basis->capacity > basis->rank + more ? 2 * basis->capacity : basis->rank + more;
  double *q = directions ? enlarged(basis->q, (size_t)basis->rank, (size_t)capacity, paths) : NULL;
  double *eps = noise ? enlarged(basis->eps, (size_t)basis->rank, (size_t)capacity, paths) : NULL;
  double *now = mem_block(rows * (size_t)capacity);
  if ((directions && !q) || (noise && !eps) || !now) {
    free(q);
    free(eps);
    free(now);
    return 0;
  }
  for (size_t r = 0; r < rows && basis->rank; r++)
    memcpy(now + r * (size_t)capacity, basis->now + r * (size_t)basis->capacity,
           (size_t)basis->rank * sizeof *now);
  free(basis->q);
  free(basis->eps);
  free(basis->now);
  basis->q = q;
  basis->eps = eps;
  basis->now = now;
  basis->capacity = capacity;
  return 1;
}

static size_t largest_row(const double *x, size_t rows, size_t paths, double *norm2) {
  size_t best = 0;
  *norm2 = -1;
  for (size_t r = 0; r < rows; r++) {
    double n = dot(paths, x + r * paths, x + r * paths) / (double)paths;
    if (n > *norm2) {
      *norm2 = n;
      best = r;
    }
  }
  return best;
}

/* v made orthogonal to the basis once more (the residual it comes from is small against the vectors
 * it was computed from) and of unit norm. */
static void polish(const Basis *basis, double *v, size_t paths, double *flops) {
  double c[basis->rank + 1];
  size_t rank = (size_t)basis->rank;
  *flops += mat_mul_bt(1, rank, paths, 1.0 / (double)paths, v, paths, basis->q, paths, 0, c, rank);
  *flops += mat_mul(1, paths, rank, -1, c, rank, basis->q, paths, 1, v, paths);
  double scale = sqrt((double)paths / dot(paths, v, v));
  for (size_t i = 0; i < paths; i++) v[i] *= scale;
}

int basis_meet(Basis *basis, const double *x, size_t rows, size_t paths, double tol,
               double *residual, double *flops) {
  size_t rank = (size_t)basis->rank, stride = (size_t)basis->capacity;
  double mean = 1.0 / (double)paths, norm2;
  double *now = basis->now;
  largest_row(x, rows, paths, &norm2);
  double threshold = tol * tol * norm2;
  memcpy(residual, x, rows * paths * sizeof *x);
  if (rank) {
    *flops += mat_mul_bt(rows, rank, paths, mean, x, paths, basis->q, paths, 0, now, stride);
    *flops += mat_mul(rows, paths, rank, -1, now, stride, basis->q, paths, 1, residual, paths);
  }
  int fresh = 0;
  for (; fresh < (int)rows; fresh++) {
    size_t r = largest_row(residual, rows, paths, &norm2);
    if (!(norm2 > threshold)) break;
    double *v = basis->q + (size_t)basis->rank * paths;
    memcpy(v, residual + r * paths, paths * sizeof *v);
    polish(basis, v, paths, flops);
    for (size_t k = 0; k < rows; k++) {
      double c = dot(paths, residual + k * paths, v) * mean;
      now[k * stride + (size_t)basis->rank] = c;
      axpy(paths, -c, v, residual + k * paths);
    }
    basis->rank++;
  }
  *flops += 6.0 * (double)rows * (double)paths * fresh;
  return fresh;
}

int basis_record(Basis *basis, size_t rows, int t) {
  size_t rank = (size_t)basis->rank, needed = basis->history_used + rows * rank;
  if (needed > basis->history_capacity) {
    size_t capacity = 2 * needed;
    double *larger = enlarged(basis->history, basis->history_used, capacity, 1);
    if (!larger) return 0;
    free(basis->history);
    basis->history = larger;
    basis->history_capacity = capacity;
  }
  for (size_t r = 0; r < rows && rank; r++)
    memcpy(basis->history + basis->history_used + r * rank,
           basis->now + r * (size_t)basis->capacity, rank * sizeof(double));
  basis->history_used = needed;
  basis->rank_at = mem_grow(basis->rank_at, (size_t)(t + 1) * sizeof *basis->rank_at);
  basis->rank_at[t] = basis->rank;
  return 1;
}

void basis_coordinates(const Basis *basis, size_t rows, int steps, double *out) {
  size_t rank = (size_t)basis->rank;
  const double *from = basis->history;
  memset(out, 0, (size_t)steps * rows * rank * sizeof *out);
  for (int t = 0; t < steps; t++)
    for (size_t r = 0; r < rows; r++) {
      if (basis->rank_at[t]) memcpy(out, from, (size_t)basis->rank_at[t] * sizeof *out);
      from += basis->rank_at[t];
      out += rank;
    }
}
