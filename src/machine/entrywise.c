/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Matrices whose entries move by their own histories, psi(O_ij):
 *
 *     W x += (1/N_from) sum_j E_ij x_j,   W^T y += (1/N_from) sum_i E_ij y_i,   E <- keep E + pull
 * psi
 *
 * In networks the start is in the entries. Among sample paths it is conditioned as in sequential.c,
 * and E is a table over pairs of paths, S_to x S_from, in which N_to stands for S_to. That is
 * exact: psi is a function of what the matrix has met, so that the start, given its images so far,
 * knows no more of E than they do.
 *
 * In networks, matrices that move by polar factors have the same tables, of which the moments are
 * the velocity and what is made of it. */
#include "base/memory.h"
#include "machine/entries.h"
#include "machine/machine.h"
#include "machine/polar.h"
#include "num/linalg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Entrywise {
  int root;
  void *start; /* of `sequential`, or NULL */
  double back; /* what sums over the S_to rows count: rho S_from / S_to */
  Entries e;   /* in operator units, over S_from */
  double *y;   /* [most rows of all uses, S_to]: workspace */
} Entrywise;

/* Rows of x that training sees, over the uses. */
static size_t outer_rows(const Program *p, int root) {
  size_t rows = 0;
  for (int k = root; k < p->matrix_count; k++)
    if (p->matrices[k].weights == root && p->matrices[k].x >= 0)
      rows += training_rows(p, &p->matrices[k]) / sizes_of(p).outputs;
  return rows;
}

/* sum_c force_{mu c} y_{mu c}, [rows of x, S_to]. */
static void weigh(const Machine *m, const Matrix *use, View force, size_t to, double *out) {
  size_t C = sizes_of(m->p).outputs;
  const double *f = tape_data(m->tape, force), *y = tape_data(m->tape, m->value[use->learns]);
  size_t ld = tape_stride(m->tape, m->value[use->learns]);
  memset(out, 0, force.rows / C * to * sizeof *out);
  for (size_t k = 0; k < force.rows; k++) axpy(to, f[k], y + k * ld, out + k / C * to);
}

/* Fills in products[uses] of sum over uses of force y x^T, where y [outer_rows, N_to] takes what
 * the forces make of backward fields. */
static void outer_products(const Machine *m, int root, const View *force, int uses, double *y,
                           Outer *products) {
  const Program *p = m->p;
  for (int use = root, k = 0; use < p->matrix_count && k < uses; use++) {
    const Matrix *matrix = &p->matrices[use];
    size_t to = tape_columns(m->tape, m->population[matrix->to]);
    if (matrix->weights != root || matrix->x < 0) continue;
    size_t rows = force[k].rows / sizes_of(p).outputs;
    weigh(m, matrix, force[k], to, y);
    View x = m->value[matrix->x];
    products[k++] = (Outer){y, tape_data(m->tape, x), rows, to, tape_stride(m->tape, x)};
    y += rows * to;
  }
}

static void end(void *state) {
  Entrywise *w = state;
  if (w->start) sequential.end(w->start);
  entries_free(&w->e);
  free(w->y);
  free(w);
}

static Entrywise *begin_entries(Machine *m, int k) {
  const Matrix *matrix = &m->p->matrices[k];
  size_t to = tape_columns(m->tape, m->population[matrix->to]),
         from = tape_columns(m->tape, m->population[matrix->from]);
  Entrywise *w = mem_new(1, sizeof *w);
  *w = (Entrywise){.root = k, .back = 1, .y = mem_block(outer_rows(m->p, k) * to + 1)};
  if (entries_new(&w->e, to, from, m->p->update.average > 0) && w->y) return w;
  end(w);
  return NULL;
}

static void *begin_dense(Machine *m, int k) {
  Entrywise *w = begin_entries(m, k);
  if (!w) return NULL;
  if (!dense_initial(m, k, w->e.w)) return end(w), NULL;
  if (w->e.average) memcpy(w->e.average, w->e.w, w->e.to * w->e.from * sizeof *w->e.w);
  return w;
}

static void *begin_paths(Machine *m, int k) {
  const Program *p = m->p;
  const Matrix *matrix = &p->matrices[k];
  Entrywise *w = begin_entries(m, k);
  if (!w) return NULL;
  w->back = p->spaces[matrix->to].ratio / p->spaces[matrix->from].ratio * (double)w->e.from /
            (double)w->e.to;
  w->start = sequential.begin(m, k);
  return w;
}

static void apply(Machine *m, void *state, int use, bool back, View x, View out) {
  Entrywise *w = state;
  if (w->start) sequential.apply(m, w->start, use, back, x, out);
  if (tape_failed(m->tape) || m->exhausted) return;
  size_t to = w->e.to, from = w->e.from;
  size_t ldi = tape_stride(m->tape, x), ldo = tape_stride(m->tape, out);
  const double *in = tape_data(m->tape, x);
  const double *entries = m->p->matrices[use].averaged ? w->e.average : w->e.w;
  double *image = tape_data(m->tape, out);
  m->flops += back ? mat_mul(x.rows, from, to, w->back, in, ldi, entries, from, 1, image, ldo)
                   : mat_mul_bt(x.rows, to, from, 1, in, ldi, entries, from, 1, image, ldo);
}

/* table <- beta table + O */
static void add_products(Machine *m, const Entries *e, double beta, const Outer *products, int uses,
                         double *table) {
  for (int k = 0; k < uses; k++)
    m->flops += mat_mul_at(e->to, e->from, products[k].rows, 1, products[k].y, products[k].ldy,
                           products[k].x, products[k].ldx, k ? 1 : beta, table, e->from);
}

/* W <- keep W + push polar(V), with V <- beta V + O, or polar(O + beta V). */
static void take_polar_step(Machine *m, Entries *e, const Move *move, const Outer *products,
                            int uses) {
  size_t n = e->to * e->from;
  add_products(m, e, move->beta, products, uses, e->mean);
  memcpy(e->square, e->mean, n * sizeof *e->mean);
  if (move->nesterov) add_products(m, e, move->beta, products, uses, e->square);
  double floor = move->polar.eps * sqrt((double)e->to * (double)e->from);
  Status status = polar_factor(&move->polar, floor, e->to, e->from, e->square, &m->flops);
  if (status != STATUS_OK) m->status = status;
  for (size_t i = 0; i < n; i++) e->w[i] = move->keep * e->w[i] + move->push * e->square[i];
  entries_average(n, move->average, e->w, e->average);
}

/* The first gradient is remembered: whether there is one at infinite width. */
static void take_step(Machine *m, Entrywise *w, const Move *move, const Outer *products, int uses) {
  if (move->polar.on) {
    take_polar_step(m, &w->e, move, products, uses);
    return;
  }
  double squares = 0, step = move->pull / (double)w->e.from;
  m->flops += entries_learn(&w->e, move, step, products, uses, m->t ? NULL : &squares);
  if (m->t) return;
  m->start[w->root] = (StartGradient){.size = sqrt(squares / ((double)w->e.to * (double)w->e.from)),
                                      .bound = entries_bound(&w->e, move, products, uses)};
}

static void learn(Machine *m, void *state, const Move *move, const View *force, int uses) {
  Entrywise *w = state;
  Outer *products = mem_new((size_t)uses + 1, sizeof *products);
  if (w->start)
    sequential.learn(m, w->start, &(Move){.keep = move->keep, .average = move->average}, force,
                     uses);
  outer_products(m, w->root, force, uses, w->y, products);
  if (!tape_failed(m->tape) && !m->exhausted) take_step(m, w, move, products, uses);
  free(products);
}

static int blocks(const Machine *m, const void *state, int space, NoiseBlock *out) {
  const Entrywise *w = state;
  return w->start ? sequential.blocks(m, w->start, space, out) : 0;
}

static double bytes_dense(const MachinePlan *plan, int matrix, double S, double steps) {
  const Program *p = plan->program;
  const Matrix *m = &p->matrices[matrix];
  double from = S * p->spaces[m->from].ratio, to = S * p->spaces[m->to].ratio;
  (void)steps;
  double low = fmin(to, from), high = fmax(to, from),
         polar = update_for(p, m)->polar.on ? low * (2 * low + (to > from ? 2 : 1) * high) : 0;
  return entries_bytes(to, from, p->update.average > 0) +
         8 * ((double)outer_rows(p, matrix) * to + polar);
}

static double bytes_paths(const MachinePlan *plan, int matrix, double S, double steps) {
  const Program *p = plan->program;
  return sequential.bytes(plan, matrix, S, steps) +
         fmax(bytes_dense(plan, matrix, S, steps), entries_bytes(S, S, p->update.average > 0));
}

static void pieces(Machine *m, void *state, Piece *piece, void *sink) {
  Entrywise *w = state;
  if (w->start) sequential.pieces(m, w->start, piece, sink);
  entries_pieces(&w->e, piece, sink);
}

const MatrixKind entrywise_dense = {"entrywise", begin_dense, apply, learn, blocks, end,
                                    bytes_dense, NULL,        NULL,  NULL,  pieces};
const MatrixKind entrywise_paths = {"entrywise sequential",
                                    begin_paths,
                                    apply,
                                    learn,
                                    blocks,
                                    end,
                                    bytes_paths,
                                    NULL,
                                    NULL,
                                    NULL,
                                    pieces};
