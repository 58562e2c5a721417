/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "machine/polar.h"
#include "base/memory.h"
#include "machine/outer.h"
#include "num/lapack.h"
#include "num/linalg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NEWTON_STEPS = 5 };

/* X <- a X + (b A + c A^2) X, A = X X^T, for [n, k]; A, B [n, n] and next [n, k] are workspace. */
static void newton_step(size_t n, size_t k, double *X, double *A, double *B, double *next) {
  static const double a = 3.4445, b = -4.7750, c = 2.0315;
  mat_mul_bt(n, n, k, 1, X, k, X, k, 0, A, n);
  memcpy(B, A, n * n * sizeof *A);
  mat_mul(n, n, n, c, A, n, A, n, b, B, n);
  memcpy(next, X, n * k * sizeof *X);
  mat_mul(n, k, n, 1, B, n, X, k, a, next, k);
  memcpy(X, next, n * k * sizeof *X);
}

static Status newton(size_t n, size_t k, double *X) {
  double norm = sqrt(dot(n * k, X, X)), *A = mem_block(n * n + 1), *B = mem_block(n * n + 1),
         *next = mem_block(n * k + 1);
  bool fine = A && B && next;
  for (size_t i = 0; i < n * k && norm > 0; i++) X[i] /= norm;
  for (int step = 0; step < NEWTON_STEPS && fine && norm > 0; step++)
    newton_step(n, k, X, A, B, next);
  free(A);
  free(B);
  free(next);
  return fine ? STATUS_OK : STATUS_LIMIT;
}

static Status exact(double floor, size_t n, size_t k, double *X) {
  static const double cut = 1e-6;
  size_t rank = n < k ? n : k;
  double *U = mem_block(n * rank + 1), *s = mem_block(rank + 1), *Vt = mem_block(rank * k + 1);
  Status status = U && s && Vt ? STATUS_OK : STATUS_LIMIT;
  if (status == STATUS_OK && lapack_svd(n, k, X, s, U, Vt) != 0) status = STATUS_NUMERICS;
  for (size_t i = 0; status == STATUS_OK && i < n * rank; i++) {
    double size = s[i % rank];
    U[i] *= size > cut * s[0] ? size / hypot(size, floor) : 0;
  }
  if (status == STATUS_OK) mat_mul(n, k, rank, 1, U, rank, Vt, k, 0, X, k);
  free(U);
  free(s);
  free(Vt);
  return status;
}

Status polar_factor(const Polar *polar, double floor, size_t rows, size_t cols, double *v) {
  return polar->exact ? exact(floor, rows, cols, v) : newton(rows, cols, v);
}

/* ---- matrices of real numbers ---- */

/* W <- keep W + push polar(V), with V <- beta V + O and O_ij = sum y_i x_j. */
typedef struct Orthogonal {
  int root;
  size_t to, from;
  double *w, *v, *step; /* [to, from]: operator entries, momentum, workspace */
  double *average;      /* of w, or NULL */
  double *y;            /* [outer_rows, to]: workspace */
} Orthogonal;

static void end(void *state) {
  Orthogonal *o = state;
  free(o->w);
  free(o->v);
  free(o->average);
  free(o->step);
  free(o->y);
  free(o);
}

static void *begin(Machine *m, int k) {
  const Matrix *matrix = &m->p->matrices[k];
  size_t to = tape_columns(m->tape, m->population[matrix->to]),
         from = tape_columns(m->tape, m->population[matrix->from]), n = to * from;
  Orthogonal *o = mem_new(1, sizeof *o);
  bool averaged = m->p->update.average > 0;
  *o = (Orthogonal){k,
                    to,
                    from,
                    mem_block(n),
                    mem_block(n),
                    mem_block(n),
                    averaged ? mem_block(n) : NULL,
                    mem_block(outer_rows(m->p, k) * to + 1)};
  if (o->w && o->v && o->step && o->y && (o->average || !averaged)) {
    dense_initial(m, k, o->w);
    if (averaged) memcpy(o->average, o->w, n * sizeof *o->w);
    return o;
  }
  end(o);
  return NULL;
}

static void apply(Machine *m, void *state, int use, bool back, View x, View out) {
  const Orthogonal *o = state;
  const double *w = m->p->matrices[use].averaged ? o->average : o->w;
  if (tape_failed(m->tape)) return;
  size_t ldi = tape_stride(m->tape, x), ldo = tape_stride(m->tape, out);
  const double *in = tape_data(m->tape, x);
  double *image = tape_data(m->tape, out);
  m->flops += back ? mat_mul(x.rows, o->from, o->to, 1, in, ldi, w, o->from, 1, image, ldo)
                   : mat_mul_bt(x.rows, o->to, o->from, 1, in, ldi, w, o->from, 1, image, ldo);
}

/* step = O + beta V */
static void look_ahead(const Orthogonal *o, double beta, const Outer *products, int uses) {
  for (int k = 0; k < uses; k++)
    mat_mul_at(o->to, o->from, products[k].rows, 1, products[k].y, products[k].ldy, products[k].x,
               products[k].ldx, k ? 1 : beta, o->step, o->from);
}

static void learn(Machine *m, void *state, const Move *move, const View *force, int uses) {
  Orthogonal *o = state;
  size_t to = o->to, from = o->from, n = to * from;
  Outer *products = mem_new((size_t)uses + 1, sizeof *products);
  outer_products(m, o->root, force, uses, o->y, products);
  for (int k = 0; k < uses; k++)
    mat_mul_at(to, from, products[k].rows, 1, products[k].y, products[k].ldy, products[k].x,
               products[k].ldx, k ? 1 : move->beta, o->v, from);
  memcpy(o->step, o->v, n * sizeof *o->v);
  if (move->nesterov) look_ahead(o, move->beta, products, uses);
  free(products);
  double floor = move->polar.eps * sqrt((double)to * (double)from);
  Status status = polar_factor(&move->polar, floor, to, from, o->step);
  if (status != STATUS_OK) m->status = status;
  for (size_t i = 0; i < n; i++) o->w[i] = move->keep * o->w[i] + move->push * o->step[i];
  entries_average(n, move->average, o->w, o->average);
}

static int blocks(const Machine *m, const void *state, int space, NoiseBlock *out) {
  (void)m, (void)state, (void)space, (void)out;
  return 0;
}

static double bytes(const Program *p, int matrix, double S, double steps, bool record) {
  const Matrix *m = &p->matrices[matrix];
  double from = S * p->spaces[m->from].ratio, to = S * p->spaces[m->to].ratio;
  (void)steps, (void)record;
  return 8 * ((p->update.average > 0 ? 5 : 4) * from * to + 2 * to * to +
              (double)outer_rows(p, matrix) * to);
}

const MatrixKind polar_dense = {"polar", begin, apply, learn, blocks, end, bytes, NULL, NULL, NULL};
