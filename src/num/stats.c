/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "num/stats.h"
#include "base/memory.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool moments_start(Moments *m, size_t size, int order) {
  *m = (Moments){.size = size, .order = order};
  bool fine = (m->first = mem_block(size)) != NULL;
  for (int k = 0; k < order; k++) fine = (m->sum[k] = mem_block(size)) != NULL && fine;
  return fine;
}

void moments_free(Moments *m) {
  free(m->first);
  for (int k = 0; k < 4; k++) free(m->sum[k]);
  free(m->blocks);
  *m = (Moments){0};
}

bool moments_divide(Moments *m, size_t count) {
  m->block_size = (count + MOMENT_BLOCKS - 1) / MOMENT_BLOCKS;
  size_t blocks = (count + m->block_size - 1) / m->block_size;
  return (m->blocks = mem_block(blocks * (size_t)(m->order / 2) * m->size)) != NULL;
}

size_t moments_blocks(const Moments *m) {
  return m->blocks ? (m->count + m->block_size - 1) / m->block_size : 0;
}

static double *block_of(const Moments *m, size_t k) {
  return m->blocks + k * (size_t)(m->order / 2) * m->size;
}

void moments_add(Moments *m, const double *x) {
  double *block = m->blocks ? block_of(m, m->count / m->block_size) : NULL;
  if (m->count++ == 0) memcpy(m->first, x, m->size * sizeof *x);
  for (size_t i = 0; i < m->size; i++) {
    double d = x[i] - m->first[i], power = d;
    for (int k = 0; k < m->order; k++, power *= d) m->sum[k][i] += power;
    if (block) block[i] += d;
    if (block && m->order > 2) block[m->size + i] += d * d;
  }
}

/* Of n samples with these sums of (x - first)^k: the mean less the first, or the variance. */
static double statistic(double sum, double squares, double n, double scale) {
  if (!(scale > 0)) return n > 0 ? sum / n : 0;
  return n > 1 ? scale * (squares - sum * sum / n) / (n - 1) : 0;
}

static void move_by(const Moments *m, double scale, size_t k, double *move) {
  size_t blocks = moments_blocks(m), begin = k * m->block_size, end = begin + m->block_size;
  double n = (double)m->count, rest = n - (double)((end < m->count ? end : m->count) - begin);
  const double *block = block_of(m, k);
  for (size_t i = 0; i < m->size; i++) {
    double square = m->order > 2 ? block[m->size + i] : 0;
    double all = statistic(m->sum[0][i], m->sum[1][i], n, scale),
           without = statistic(m->sum[0][i] - block[i], m->sum[1][i] - square, rest, scale);
    move[i] = sqrt((double)blocks - 1) * (all - without);
  }
}

double *moments_moves(const Moments *m, double scale) {
  size_t blocks = moments_blocks(m);
  double *moves = mem_block(blocks * m->size);
  for (size_t k = 0; moves && k < blocks; k++) move_by(m, scale, k, moves + k * m->size);
  return moves;
}

void moments_mean(const Moments *m, double *mean, double *error) {
  double n = (double)m->count;
  for (size_t i = 0; i < m->size; i++) {
    double shift = m->sum[0][i] / n, square = m->sum[1][i] / n - shift * shift;
    mean[i] = m->first[i] + shift;
    error[i] = n > 1 && square > 0 ? sqrt(square / (n - 1)) : 0;
  }
}

double variance_doubt(double n, double kurtosis) {
  static const double least = 4.5; /* degrees of freedom, where the factor is still a number */
  double freedom = 2 / (kurtosis / n + 2 / (n - 1)), r = fmax(freedom, least);
  return 2 / freedom * r * (r + 4) / ((r - 2) * (r - 4));
}

double excess_kurtosis(double n, double xx, double yy, double xy, double xxyy) {
  double scale = xx * yy / ((n - 1) * (n - 1)), usual = (n - 1) / n * (xx * yy + 2 * xy * xy);
  if (n < 4 || !(scale > 0)) return 0;
  double kurtosis = n * ((n + 1) * xxyy - usual) / ((n - 1) * (n - 2) * (n - 3)) / scale;
  return isfinite(kurtosis) ? kurtosis : n;
}

double likely_kurtosis(double n, double own, double mean) {
  static const double few = 32; /* where half of it is seen */
  return fmax(0, own + few / n * mean);
}

/* Of entry i: the sum of squares of deviations, and the excess kurtosis. */
static double spread_of(const Moments *m, size_t i, double *kurtosis) {
  double n = (double)m->count;
  double a = m->sum[0][i] / n, b = m->sum[1][i] / n, c = m->sum[2][i] / n, d = m->sum[3][i] / n;
  double m2 = b - a * a, m4 = d - 4 * a * c + 6 * a * a * b - 3 * a * a * a * a;
  bool varies = m2 > DBL_EPSILON * b;
  *kurtosis = varies ? excess_kurtosis(n, n * m2, n * m2, n * m2, n * m4) : 0;
  return m2 > 0 ? n * m2 : 0;
}

void moments_variance(const Moments *m, double scale, double *variance, double *error) {
  double n = (double)m->count, mean = 0, own;
  for (size_t i = 0; i < m->size; i++) {
    spread_of(m, i, &own);
    mean += own / (double)m->size;
  }
  for (size_t i = 0; i < m->size; i++) {
    double squares = spread_of(m, i, &own);
    variance[i] = n > 1 ? scale * squares / (n - 1) : 0;
    error[i] = n > 1 ? variance[i] * sqrt(variance_doubt(n, likely_kurtosis(n, own, mean))) : 0;
  }
}
