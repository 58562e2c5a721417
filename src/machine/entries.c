/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "machine/entries.h"
#include "base/memory.h"
#include "num/clones.h"
#include "num/linalg.h"

#include <math.h>
#include <stdlib.h>

enum { BLOCK_ROWS = 16 }; /* of O at a time, so that it stays in the cache */

bool entries_new(Entries *e, size_t to, size_t from, bool averaged) {
  *e = (Entries){.to = to,
                 .from = from,
                 .w = mem_block(to * from + 1),
                 .mean = mem_block(to * from + 1),
                 .square = mem_block(to * from + 1),
                 .average = averaged ? mem_block(to * from + 1) : NULL,
                 .block = mem_block(BLOCK_ROWS * from + 1)};
  return e->w && e->mean && e->square && (e->average || !averaged) && e->block;
}

void entries_free(Entries *e) {
  free(e->w);
  free(e->mean);
  free(e->square);
  free(e->average);
  free(e->block);
}

void entries_pieces(Entries *e, Piece *piece, void *sink) {
  double *const tables[] = {e->w, e->mean, e->square, e->average};
  for (int i = 0; i < 4; i++)
    if (tables[i]) piece(sink, tables[i], e->to * e->from * sizeof *e->w);
}

double entries_bytes(double to, double from, bool averaged) {
  return 8 * from * ((averaged ? 4 : 3) * to + BLOCK_ROWS);
}

UNFUSED static void average_all(size_t n, double keep, const double *restrict w,
                                double *restrict average) {
  for (size_t i = 0; i < n; i++) average[i] = keep * average[i] + (1 - keep) * w[i];
}

void entries_average(size_t n, double keep, const double *w, double *average) {
  if (average && keep < 1) average_all(n, keep, w, average);
}

/* What a step of move_by_root makes of the moments, all entries alike. Where a root vanishes nothing
 * moves: it is divided by infinity, not passed over, so that the loop goes by vectors. */
typedef struct Root {
  double beta1, beta2, correct, eps, up, keep;
} Root;

UNFUSED static void by_root(size_t n, Root r, const double *restrict O, double *restrict mean,
                            double *restrict square, double *restrict w) {
  for (size_t i = 0; i < n; i++) {
    mean[i] = r.beta1 * mean[i] + (1 - r.beta1) * O[i];
    square[i] = r.beta2 * square[i] + (1 - r.beta2) * O[i] * O[i];
    double root = sqrt(square[i] * r.correct) + r.eps, by = root > 0 ? root : INFINITY;
    w[i] = r.keep * w[i] + r.up * mean[i] / by;
  }
}

static void move_by_root(size_t n, const Move *move, double step, const double *O, double *mean,
                         double *square, double *w) {
  const Psi *psi = &move->psi;
  by_root(n,
          (Root){.beta1 = psi->beta1,
                 .beta2 = psi->beta2,
                 .correct = 1 / psi->c2,
                 .eps = psi->eps,
                 .up = step / psi->c1,
                 .keep = move->keep},
          O, mean, square, w);
}

UNFUSED static void move_by_sign(size_t n, double b1, double b2, double keep, double step,
                                 const double *restrict O, double *restrict mean,
                                 double *restrict w) {
  for (size_t i = 0; i < n; i++) {
    double mixed = b1 * mean[i] + (1 - b1) * O[i];
    mean[i] = b2 * mean[i] + (1 - b2) * O[i];
    w[i] = keep * w[i] + step * ((mixed > 0) - (mixed < 0));
  }
}

double entries_bound(const Entries *e, const Move *move, const Outer *products, int count) {
  double bound = 0;
  for (int k = 0; k < count; k++)
    for (size_t r = 0; r < products[k].rows; r++) {
      const double *y = products[k].y + r * products[k].ldy,
                   *x = products[k].x + r * products[k].ldx;
      bound += sqrt(dot(e->to, y, y) / (double)e->to * dot(e->from, x, x) / (double)e->from);
    }
  return bound * move->factor;
}

double entries_learn(Entries *e, const Move *move, double step, const Outer *products, int count,
                     double *squares) {
  size_t from = e->from;
  double flops = 0, *O = e->block;
  for (size_t i = 0; i < e->to; i += BLOCK_ROWS) {
    size_t rows = e->to - i < BLOCK_ROWS ? e->to - i : BLOCK_ROWS, n = rows * from, at = i * from;
    for (int k = 0; k < count; k++)
      flops += mat_mul_at(rows, from, products[k].rows, move->factor, products[k].y + i,
                          products[k].ldy, products[k].x, products[k].ldx, k > 0, O, from);
    if (squares) *squares += dot(n, O, O);
    if (move->psi.kind == PSI_SIGN)
      move_by_sign(n, move->psi.beta1, move->psi.beta2, move->keep, step, O, e->mean + at,
                   e->w + at);
    else
      move_by_root(n, move, step, O, e->mean + at, e->square + at, e->w + at);
  }
  entries_average(e->to * from, move->average, e->w, e->average);
  return flops;
}
