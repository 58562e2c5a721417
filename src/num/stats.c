/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "num/stats.h"
#include "base/memory.h"

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
  *m = (Moments){0};
}

void moments_add(Moments *m, const double *x) {
  if (m->count++ == 0) memcpy(m->first, x, m->size * sizeof *x);
  for (size_t i = 0; i < m->size; i++) {
    double d = x[i] - m->first[i], power = d;
    for (int k = 0; k < m->order; k++, power *= d) m->sum[k][i] += power;
  }
}

void moments_mean(const Moments *m, double *mean, double *error) {
  double n = (double)m->count;
  for (size_t i = 0; i < m->size; i++) {
    double shift = m->sum[0][i] / n, square = m->sum[1][i] / n - shift * shift;
    mean[i] = m->first[i] + shift;
    error[i] = n > 1 && square > 0 ? sqrt(square / (n - 1)) : 0;
  }
}

void moments_variance(const Moments *m, double scale, double *variance, double *error) {
  double n = (double)m->count;
  for (size_t i = 0; i < m->size; i++) {
    double a = m->sum[0][i] / n, b = m->sum[1][i] / n, c = m->sum[2][i] / n, d = m->sum[3][i] / n;
    double m2 = b - a * a, m4 = d - 4 * a * c + 6 * a * a * b - 3 * a * a * a * a;
    double spread = n > 1 ? m4 - m2 * m2 * (n - 3) / (n - 1) : 0;
    variance[i] = n > 1 && m2 > 0 ? scale * m2 * n / (n - 1) : 0;
    error[i] = spread > 0 ? scale * sqrt(spread / n) : 0;
  }
}
