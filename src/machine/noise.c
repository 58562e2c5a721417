/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "machine/noise.h"
#include "base/memory.h"
#include "num/linalg.h"
#include "num/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
bool noise_row(const NoiseSource *source, size_t S, int space, int k, double *row) {

  uint64_t stream = random_stream(source->kind == NOISE_PLAIN ? RANDOM_NEURONS : RANDOM_PATHS,
                                  source->number, (uint64_t)space, (uint64_t)k);
  switch (source->kind) {
  case NOISE_COORDINATES:
    memset(row, 0, S * sizeof *row);
    if ((size_t)k >= S) return false;
    row[k] = sqrt((double)S);
    return true;
  case NOISE_GRID:
    if (k >= source->axes) return false;
    memcpy(row, source->grid + (size_t)k * S, S * sizeof *row);
    return true;
  case NOISE_SOBOL:
    if (k < SOBOL_DIMS) {
      sobol_normals(source->sobol + (size_t)k * S, S, source->seed, stream, row);
      return true;
    } /* fall through */
  case NOISE_PLAIN: random_normals(source->seed, stream, source->first, S, row);
  }
  return true;
}

void noise_of_law(Law law, size_t n, double *numbers) {
  for (size_t i = 0; i < n && law == LAW_UNIFORM; i++)
    numbers[i] = sqrt(3) * erf(numbers[i] * M_SQRT1_2);
  for (size_t i = 0; i < n && law == LAW_SIGN; i++) numbers[i] = numbers[i] < 0 ? -1 : 1;
}

static void remove_mean(double *row, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) sum += row[i];
  for (size_t i = 0; i < n; i++) row[i] -= sum / (double)n;
}

double noise_condition(double *rows, size_t count, size_t S, size_t ld, const NoiseBlock *blocks,
                       int n, double *c) {
  double flops = 0;
  for (size_t i = 0; i < count; i++) remove_mean(rows + i * ld, S);
  /* the blocks overlap, so one pass over all leaves the first a little oblique */
  for (int k = 0; k < 2 * n; k++) {
    const NoiseBlock *b = &blocks[k % n];
    const double *v = b->rows;
    const float *w = b->single;
    size_t rank = (size_t)b->count;
    double each = 1.0 / (double)S;
    if (!(v || w) || !rank) continue;
    flops += w ? mat_mul_bt_mixed(count, rank, S, each, rows, ld, w, b->ld, 0, c, rank)
               : mat_mul_bt(count, rank, S, each, rows, ld, v, b->ld, 0, c, rank);
    flops += w ? mat_mul_mixed(count, S, rank, -1, c, rank, w, b->ld, 1, rows, ld)
               : mat_mul(count, S, rank, -1, c, rank, v, b->ld, 1, rows, ld);
  }
  for (size_t i = 0; i < count; i++) {
    double *row = rows + i * ld;
    for (size_t j = 0; j < i; j++)
      axpy(S, -dot(S, rows + j * ld, row) / (double)S, rows + j * ld, row);
    double scale = sqrt((double)S / dot(S, row, row));
    for (size_t s = 0; s < S; s++) row[s] *= scale;
  }
  return flops;
}
