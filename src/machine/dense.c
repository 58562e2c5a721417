/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A matrix of real numbers, [N_to, N_from] operator entries, and the outer products that it learned
 * since they were last folded into them, so that a step costs two thin products rather than an
 * update of all entries; and so its velocity under momentum:
 *
 *     W = keep w + (1/N_from) sum_k past_k y_k x_k^T,   V = lag v + (1/N_from) sum_k recent_k y_k
 * x_k^T
 *
 * Decay and momentum act on the coefficients of the products. */
#include "base/memory.h"
#include "machine/entries.h"
#include "machine/machine.h"
#include "num/linalg.h"
#include "num/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FOLD_ROWS = 64 }; /* how many outer products are folded at a time */

typedef struct Dense {
  const Matrix *matrix;
  size_t to, from;     /* neurons */
  size_t ldto, ldfrom; /* from one row of as many numbers to the next */
  double *w, *v;       /* v: NULL when there is no velocity, or none that was folded */
  double *average;     /* of W, for which every step is folded; or NULL */
  double keep, lag;
  double *x, *y;         /* [history, N] */
  double *past, *recent; /* [history] */
  double *coef, *scaled; /* [most rows, history], [FOLD_ROWS, N_to]: workspace */
  size_t learned, history;
} Dense;

/* Outer products of a step, over the uses. */
static size_t batch_of(const Program *p, int matrix) {
  size_t rows = 0;
  for (int k = 0; k < p->matrix_count; k++)
    if (p->matrices[k].weights == matrix && p->matrices[k].x >= 0)
      rows += training_rows(p, &p->matrices[k]);
  return rows;
}

/* Enough history that a fold, 2 N^2 operations for each product, costs less than the steps that
 * made it necessary. */
static size_t history_length(const Program *p, int matrix, size_t N) {
  size_t batch = batch_of(p, matrix), whole = batch * machine_moves(p);
  size_t room = N / 2 > batch ? N / 2 : batch;
  if (p->matrices[matrix].rate == 0) return 0;
  return whole < room ? whole : room;
}

static bool averages(const Program *p, int matrix) {
  return p->update.average > 0 && p->matrices[matrix].rate != 0;
}

/* A velocity is folded with its matrix. */
static bool folds_velocity(const Program *p, int matrix, size_t N) {
  size_t whole = batch_of(p, matrix) * machine_moves(p);
  const Update *update = update_for(p, &p->matrices[matrix]);
  return update_remembers(update) && p->matrices[matrix].rate != 0 &&
         (averages(p, matrix) || update->inert || history_length(p, matrix, N) < whole);
}

static void end(void *state) {
  Dense *d = state;
  double *const blocks[] = {d->w,    d->v,      d->average, d->x,     d->y,
                            d->past, d->recent, d->coef,    d->scaled};
  for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) free(blocks[i]);
  free(d);
}

/* Rows that follow each other without gaps are moved ld apart. */
static void spread_rows(size_t rows, size_t cols, size_t ld, double *w) {
  for (size_t i = rows; i-- > 0;) memmove(w + i * ld, w + i * cols, cols * sizeof *w);
}

static void *begin(Machine *m, int k) {
  const Program *p = m->p;
  const Matrix *matrix = &p->matrices[k];
  size_t to = tape_columns(m->tape, m->population[matrix->to]),
         from = tape_columns(m->tape, m->population[matrix->from]), ldto = mat_stride(to),
         ldfrom = mat_stride(from), history = history_length(p, k, from);
  Dense *d = mem_new(1, sizeof *d);
  *d = (Dense){.matrix = matrix,
               .to = to,
               .from = from,
               .ldto = ldto,
               .ldfrom = ldfrom,
               .w = mem_block(to * ldfrom),
               .v = folds_velocity(p, k, from) ? mem_block(to * ldfrom) : NULL,
               .average = averages(p, k) ? mem_block(to * ldfrom) : NULL,
               .keep = 1,
               .x = mem_block(history * ldfrom + 1),
               .y = mem_block(history * ldto + 1),
               .past = mem_block(history + 1),
               .recent = mem_block(history + 1),
               .coef = mem_block(most_rows(p) * history + 1),
               .scaled = mem_block(FOLD_ROWS * (ldto > ldfrom ? ldto : ldfrom)),
               .history = history};
  if (d->w && d->x && d->y && d->past && d->recent && d->coef && d->scaled &&
      (d->v || !folds_velocity(p, k, from)) && (d->average || !averages(p, k))) {
    dense_initial(m, k, d->w);
    spread_rows(to, from, ldfrom, d->w);
    if (d->average) memcpy(d->average, d->w, to * ldfrom * sizeof *d->w);
    return d;
  }
  end(d);
  return NULL;
}

/* Independent entries of unit variance become entries (i, j) and (j, i) of correlation tau, with a
 * diagonal of variance 1 + tau. */
static void make_symmetric(size_t n, double tau, double *w) {
  double even = sqrt((1 + tau) / 2), odd = sqrt((1 - tau) / 2);
  for (size_t i = 0; i < n; i++) {
    w[i * n + i] *= sqrt(2) * even;
    for (size_t j = 0; j < i; j++) {
      double a = even * w[i * n + j], b = odd * w[j * n + i];
      w[i * n + j] = a + b;
      w[j * n + i] = a - b;
    }
  }
}

void dense_initial(const Machine *m, int k, double *entries) {
  const Matrix *matrix = &m->p->matrices[k];
  size_t to = tape_columns(m->tape, m->population[matrix->to]),
         from = tape_columns(m->tape, m->population[matrix->from]);
  double scale = matrix->sigma / sqrt((double)from);
  uint64_t stream =
      random_stream(RANDOM_WEIGHTS, m->plan.noise.number, (uint64_t)k, (uint64_t)m->drawn[k]);
  random_normals(m->plan.noise.seed, stream, 0, to * from, entries);
  if (matrix->symmetric) make_symmetric(from, matrix->tau, entries);
  for (size_t i = 0; i < to * from; i++) entries[i] *= scale;
}

static void apply(Machine *m, void *state, int use, bool back, View in, View image) {
  const Dense *d = state;
  if (tape_failed(m->tape)) return;
  bool mean = m->p->matrices[use].averaged && d->average;
  size_t rows = in.rows, own = back ? d->to : d->from, far = back ? d->from : d->to,
         n = mean ? 0 : d->learned;
  size_t ldown = back ? d->ldto : d->ldfrom, ldfar = back ? d->ldfrom : d->ldto,
         ldx = tape_stride(m->tape, in), ldo = tape_stride(m->tape, image);
  const double *x = tape_data(m->tape, in), *met = back ? d->y : d->x, *made = back ? d->x : d->y;
  double *out = tape_data(m->tape, image);
  const double *w = mean ? d->average : d->w;
  double keep = mean ? 1 : d->keep;
  m->flops += back ? mat_mul(rows, far, own, keep, x, ldx, w, d->ldfrom, 0, out, ldo)
                   : mat_mul_bt(rows, far, own, keep, x, ldx, w, d->ldfrom, 0, out, ldo);
  if (!n) return;
  m->flops += mat_mul_bt(rows, n, own, 1.0 / (double)d->from, x, ldx, met, ldown, 0, d->coef, n);
  for (size_t i = 0; i < rows * n; i++) d->coef[i] *= d->past[i % n];
  m->flops += mat_mul(rows, far, n, 1, d->coef, n, made, ldfar, 1, out, ldo);
}

/* into <- keep into + (1/N_from) sum_k share_k y_k x_k^T; returns the operations. */
static double fold_into(const Dense *d, double keep, const double *share, double *into) {
  size_t to = d->to, from = d->from, ldto = d->ldto, ldfrom = d->ldfrom;
  double flops = 0;
  for (size_t first = 0; first < d->learned; first += FOLD_ROWS) {
    size_t rows = d->learned - first < FOLD_ROWS ? d->learned - first : FOLD_ROWS;
    for (size_t i = 0; i < rows * ldto; i++)
      d->scaled[i] = share[first + i / ldto] * d->y[first * ldto + i];
    flops += mat_mul_at(to, from, rows, 1.0 / (double)from, d->scaled, ldto, d->x + first * ldfrom,
                        ldfrom, keep, into, ldfrom);
    keep = 1;
  }
  return flops;
}

static void fold(Machine *m, Dense *d) {
  m->flops += fold_into(d, d->keep, d->past, d->w);
  if (d->v) m->flops += fold_into(d, d->lag, d->recent, d->v);
  d->keep = d->lag = 1;
  d->learned = 0;
}

/* Old products, and what was folded of W and V, one step on. */
static void age(Dense *d, const Move *move) {
  for (size_t k = 0; k < d->learned; k++) {
    d->recent[k] *= move->beta;
    d->past[k] = move->keep * d->past[k] + move->push * d->recent[k];
  }
  d->keep *= move->keep;
  d->lag *= move->beta;
  if (!d->v || d->lag == 0) return;
  for (size_t i = 0; i < d->to * d->ldfrom; i++)
    d->w[i] = d->keep * d->w[i] + move->push * d->lag * d->v[i];
  d->keep = 1;
}

/* The products force y x^T of one use. */
static void take_up(Machine *m, Dense *d, const Matrix *use, const Move *move, View force) {
  size_t C = rows_per_x(m->p, use);
  View met = m->value[use->x], learns = m->value[use->learns];
  const double *f = tape_data(m->tape, force);
  for (size_t k = 0; k < force.rows; k++) {
    if (f[k] == 0) continue;
    const double *x = tape_data(m->tape, view_rows(met, k / C, 1)),
                 *y = tape_data(m->tape, view_rows(learns, k, 1));
    double *to = d->y + d->learned * d->ldto;
    memcpy(d->x + d->learned * d->ldfrom, x, d->from * sizeof *x);
    for (size_t i = 0; i < d->to; i++) to[i] = f[k] * y[i];
    d->past[d->learned] = move->push + move->pull;
    d->recent[d->learned++] = 1;
  }
}

/* w is all of W that is not in the products. */
static void settle(Dense *d) {
  for (size_t i = 0; i < d->to * d->ldfrom && d->keep < 1; i++) d->w[i] *= d->keep;
  d->keep = 1;
}

/* What a step adds at a temperature: the entries of one more matrix. */
static void shake(Machine *m, const Dense *d, int k, double noise, double *into) {
  uint64_t stream = random_stream(RANDOM_LANGEVIN, m->plan.noise.number, (uint64_t)k, 0);
  for (size_t i = 0; i < d->to; i++) {
    random_normals(m->plan.noise.seed, stream, (machine_move(m) * d->to + i) * d->from, d->from,
                   d->scaled);
    axpy(d->from, noise / sqrt((double)d->from), d->scaled, into + i * d->ldfrom);
  }
}

/* One step on where decay and noise enter the velocity, but for what the step learns. */
static void swing(Machine *m, Dense *d, int k, const Move *move) {
  size_t n = d->to * d->ldfrom;
  fold(m, d);
  for (size_t i = 0; i < n; i++) d->v[i] = move->beta * d->v[i] - move->drag * d->w[i];
  if (move->kick > 0) shake(m, d, k, move->kick, d->v);
  axpy(n, move->push, d->v, d->w);
}

static void learn(Machine *m, void *state, const Move *move, const View *force, int uses) {
  Dense *d = state;
  const Program *p = m->p;
  int root = d->matrix->weights;
  (void)uses;
  if (update_for(p, d->matrix)->inert)
    swing(m, d, root, move);
  else
    age(d, move);
  for (int use = root, k = 0; use < p->matrix_count; use++)
    if (p->matrices[use].weights == root && p->matrices[use].x >= 0)
      take_up(m, d, &p->matrices[use], move, force[k++]);
  /* what cannot stay for another step is folded before it is met */
  bool last = machine_move(m) + 1 == machine_moves(p);
  if (!last && d->learned + batch_of(p, root) > d->history) fold(m, d);
  if (move->noise > 0) {
    settle(d);
    shake(m, d, root, move->noise, d->w);
  }
  if (d->average && move->average < 1) {
    fold(m, d);
    settle(d);
    entries_average(d->to * d->ldfrom, move->average, d->w, d->average);
  }
}

static double bytes(const Program *p, int matrix, double S, double steps, bool record) {
  (void)steps, (void)record;
  const Matrix *m = &p->matrices[matrix];
  double from = S * p->spaces[m->from].ratio, to = S * p->spaces[m->to].ratio,
         history = (double)history_length(p, matrix, (size_t)from);
  double copies = 1 + folds_velocity(p, matrix, (size_t)from) + averages(p, matrix);
  from = (double)mat_stride((size_t)from);
  return 8 * (copies * from * to + (from + to + (double)most_rows(p)) * history);
}

static void take(Machine *m, void *state, View y, View x) {
  Dense *d = state;
  if (tape_failed(m->tape)) return;
  mat_mul_at(d->to, d->from, x.rows, 1.0 / (double)d->from, tape_data(m->tape, y),
             tape_stride(m->tape, y), tape_data(m->tape, x), tape_stride(m->tape, x), 1, d->w,
             d->ldfrom);
}

static void decay(Machine *m, void *state, double keep) {
  Dense *d = state;
  (void)m;
  for (size_t i = 0; i < d->to * d->ldfrom; i++) d->w[i] *= keep;
}

static void redraw(Machine *m, void *state, int matrix) {
  Dense *d = state;
  dense_initial(m, matrix, d->w);
  spread_rows(d->to, d->from, d->ldfrom, d->w);
  d->keep = 1;
  d->learned = 0;
}

const MatrixKind dense = {"dense", begin, apply, learn, NULL, end, bytes, take, decay, redraw};
