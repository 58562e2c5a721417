/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A matrix of real numbers, [N_to, N_from] operator entries, and the outer products that it learned
 * since they were last folded into them, so that a step costs two thin products rather than an
 * update of all entries; and so its velocity under momentum:
 *
 *     W = keep w + (1/N_from) sum_k past_k y_k x_k^T,   V = lag v + (1/N_from) sum_k recent_k y_k
 * x_k^T
 *
 * Decay and momentum act on the coefficients of the products. All of it is there in double and in
 * single precision; the tape is in double precision, whose rows the latter rounds where they meet
 * the matrix. */
#include "base/memory.h"
#include "machine/machine.h"
#include "num/linalg.h"
#include "num/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FOLD_ROWS = 64 }; /* how many outer products are folded at a time */

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

/* A row of the independent initial entries, of variance 1. */
static void draw_row(const Machine *m, int k, size_t i, size_t from, double *row) {
  uint64_t stream =
      random_stream(RANDOM_WEIGHTS, m->plan.noise.number, (uint64_t)k, (uint64_t)m->drawn[k]);
  random_normals(m->plan.noise.seed, stream, i * from, from, row);
  noise_of_law(m->p->matrices[k].law, from, row);
}

/* Rows of normal numbers that are made orthonormal one after the other are uniformly distributed
 * among these; entries have variance 1. To be freed; NULL without memory. */
static double *draw_orthogonal(const Machine *m, int k, size_t n) {
  double *w = mem_block(n * n);
  for (size_t i = 0; w && i < n; i++) draw_row(m, k, i, n, w + i * n);
  if (w) mat_orthonormal(n, n, w);
  for (size_t i = 0; w && i < n * n; i++) w[i] *= sqrt((double)n);
  return w;
}

#define REAL double
#define AXPY axpy
#define NAME(name) name
#include "machine/dense.def"

#define REAL float
#define AXPY axpy_single
#define NAME(name) name##_single
#include "machine/dense.def"

bool dense_initial(const Machine *m, int k, double *entries) {
  const Matrix *matrix = &m->p->matrices[k];
  size_t to = tape_columns(m->tape, m->population[matrix->to]),
         from = tape_columns(m->tape, m->population[matrix->from]);
  double *row = mem_new(from, sizeof *row);
  bool fine = initial(m, k, to, from, from, row, entries);
  free(row);
  return fine;
}

static bool is_mean(const Machine *m, int use, bool averages) {
  return m->p->matrices[use].averaged && averages;
}

static void apply(Machine *m, void *state, int use, bool back, View in, View out) {
  const Dense *d = state;
  if (tape_failed(m->tape)) return;
  m->flops += image(d, back, is_mean(m, use, d->average), in.rows, tape_data(m->tape, in),
                    tape_stride(m->tape, in), tape_data(m->tape, out), tape_stride(m->tape, out));
}

/* Rows of the tape, with `ld` numbers from one to the next. */
static const float *rounded(const Machine *m, View rows, size_t ld, float *to) {
  for (size_t r = 0; r < rows.rows; r++) {
    const double *x = tape_data(m->tape, view_rows(rows, r, 1));
    for (size_t i = 0; i < rows.cols; i++) to[r * ld + i] = (float)x[i];
  }
  return to;
}

static void apply_single(Machine *m, void *state, int use, bool back, View in, View out) {
  const Dense_single *d = state;
  if (tape_failed(m->tape)) return;
  size_t ldi = mat_stride_single(in.cols), ldo = mat_stride_single(out.cols);
  m->flops += image_single(d, back, is_mean(m, use, d->average), in.rows,
                           rounded(m, in, ldi, d->in), ldi, d->out, ldo);
  for (size_t r = 0; r < out.rows; r++) {
    double *y = tape_data(m->tape, view_rows(out, r, 1));
    for (size_t i = 0; i < out.cols; i++) y[i] = d->out[r * ldo + i];
  }
}

static void take(Machine *m, void *state, View y, View x) {
  Dense *d = state;
  if (tape_failed(m->tape)) return;
  mat_mul_at(d->to, d->from, x.rows, 1.0 / (double)d->from, tape_data(m->tape, y),
             tape_stride(m->tape, y), tape_data(m->tape, x), tape_stride(m->tape, x), 1, d->w,
             d->ldfrom);
}

static void take_single(Machine *m, void *state, View y, View x) {
  Dense_single *d = state;
  if (tape_failed(m->tape)) return;
  mat_mul_at_single(d->to, d->from, x.rows, (float)(1.0 / (double)d->from),
                    rounded(m, y, d->ldto, d->out), d->ldto, rounded(m, x, d->ldfrom, d->in),
                    d->ldfrom, 1, d->w, d->ldfrom);
}

const MatrixKind dense = {"dense", begin, apply, learn,  NULL,  end,
                          bytes,   take,  decay, redraw, pieces};
const MatrixKind dense_single = {"dense in single precision",
                                 begin_single,
                                 apply_single,
                                 learn_single,
                                 NULL,
                                 end_single,
                                 bytes_single,
                                 take_single,
                                 decay_single,
                                 redraw_single,
                                 pieces_single};
