/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/condition.h"
#include "base/memory.h"
#include "solve/carrier.h"
#include "solve/rounding.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- maps ---- */

bool condition_rounds(const Program *p) {
  for (int i = 0; i < p->op_count; i++)
    if (p->ops[i].kind == OP_MAP && !rounding_applies(p->pool, p->ops[i].expr)) return false;
  return true;
}

ConditionCode condition_compile(const Program *p, const double *rounding) {
  int C = p->problem->outputs;
  ConditionCode code = {mem_new((size_t)p->op_count, sizeof *code.maps),
                        mem_new((size_t)C, sizeof *code.delta)};
  for (int c = 0; c < C; c++) code.delta[c] = rounding_map(p->pool, p->delta[c], 2 * C, 0);
  for (int i = 0; i < p->op_count; i++)
    if (p->ops[i].kind == OP_MAP)
      code.maps[i] =
          rounding_map(p->pool, p->ops[i].expr, p->ops[i].src_count, rounding ? rounding[i] : 0);
  return code;
}

void condition_code_free(const Program *p, ConditionCode *code) {
  for (int i = 0; i < p->op_count; i++) tape_map_free(code->maps[i]);
  for (int c = 0; c < p->problem->outputs; c++) tape_map_free(code->delta[c]);
  free(code->maps);
  free(code->delta);
}

/* ---- noise ---- */

static int collect_blocks(Run *r, int space, NoiseBlock *blocks) {
  int n = 0;
  for (int k = 0; k < r->p->matrix_count; k++) {
    const Matrix *m = &r->p->matrices[k];
    const Carrier *c = &r->carrier[k];
    const View views[] = {
        m->to == space ? c->x.noise : (View){0}, m->from == space ? c->y.noise : (View){0},
        m->from == space ? c->x.q : (View){0}, m->to == space ? c->y.q : (View){0}};
    for (size_t i = 0; i < sizeof views / sizeof *views; i++)
      if (views[i].rows)
        blocks[n++] = (NoiseBlock){tape_data(r->tape, views[i]), (int)views[i].rows};
  }
  return n;
}

/* `count` more rows of noise on a population, behind the rows that `noise` has. */
static void draw(Run *r, int space, View *noise, size_t count) {
  size_t S = r->plan->noise.S, before = noise->rows;
  NoiseBlock *blocks = mem_new(4 * (size_t)r->p->matrix_count, sizeof *blocks);
  int n = collect_blocks(r, space, blocks), taken = 0;
  for (int i = 0; i < n; i++) taken += blocks[i].count;
  View grown = tape_grow(r->tape, *noise, count);
  if (!tape_failed(r->tape)) {
    double *rows = tape_data(r->tape, view_rows(grown, before, count));
    for (size_t i = 0; i < count; i++)
      if (!noise_row(&r->plan->noise, space, r->out->noise_count[space]++, rows + i * S))
        r->exhausted = true;
    if (r->plan->improve && count && (size_t)taken < S - S / 5) {
      n = collect_blocks(r, space, blocks); /* the block may have moved */
      noise_condition(rows, count, S, blocks, n, true);
    }
    *noise = grown;
  }
  free(blocks);
}

/* ---- matrices ---- */

/* x = L q + rest, with new directions in q where they are needed; returns L [rows, q.rows]. */
static View meet(Run *r, View *q, int space, View x, View *rest) {
  Tape *tape = r->tape;
  size_t rows = x.rows, rank = q->rows;
  View L = tape_table(tape, rows, rank + rows, false), old = view_cols(L, 0, rank);
  View residual = tape_wide(tape, population(r->p, space), rows, false);
  *rest = tape_wide(tape, population(r->p, space), rows, false);
  if (tape_failed(tape)) return old;
  tape_copy(tape, residual, 1, x);
  if (rank) {
    tape_average(tape, old, 1, x, *q);
    tape_product(tape, residual, -1, old, *q, false);
  }
  double threshold = r->plan->tol * r->plan->tol * tape_largest(tape, x);
  size_t fresh = tape_extend(tape, q, residual, threshold, view_cols(L, rank, rows));
  View new = view_cols(L, rank, fresh);
  tape_copy(tape, *rest, 1, residual);
  tape_product(tape, *rest, -1, new, view_rows(*q, rank, fresh), false);
  return view_cols(L, 0, rank + fresh);
}

/* The images of the directions of `own` behind the first `before`: see the head of condition.h. */
static void make_images(Run *r, const Matrix *m, Side *own, const Side *other, int space,
                        size_t before) {
  Tape *tape = r->tape;
  size_t fresh = own->q.rows - before;
  if (!fresh) return;
  draw(r, space, &own->noise, fresh);
  own->image = tape_grow(tape, own->image, fresh);
  if (tape_failed(tape) || r->exhausted) return;
  own->known = mem_grow(own->known, own->q.rows * sizeof *own->known);
  for (size_t i = before; i < own->q.rows; i++) own->known[i] = (int)other->q.rows;
  View image = view_rows(own->image, before, fresh), noise = view_rows(own->noise, before, fresh);
  tape_copy(tape, image, m->sigma, noise);
  if (!other->q.rows) return;
  View overlap = tape_table(tape, fresh, other->q.rows, false);
  tape_average(tape, overlap, 1, view_rows(own->q, before, fresh), other->image);
  tape_average(tape, overlap, -m->sigma, noise, other->q);
  tape_product(tape, image, 1, overlap, other->q, false);
}

static void apply_wide(Run *r, const Matrix *m, Carrier *c, bool forward, View x, View out) {
  Tape *tape = r->tape;
  Side *own = forward ? &c->x : &c->y, *other = forward ? &c->y : &c->x;
  size_t before = own->q.rows;
  View rest, L = meet(r, &own->q, forward ? m->from : m->to, x, &rest), M = c->learned;
  make_images(r, m, own, other, forward ? m->to : m->from, before);
  if (forward)
    c->x_now = L;
  else
    c->y_now = L;
  if (tape_failed(tape) || r->exhausted) return;
  tape_product(tape, out, c->share, L, own->image, false);
  if (!other->q.rows) return;
  View mixed = tape_table(tape, x.rows, other->q.rows, false);
  tape_average(tape, mixed, c->share, rest, other->image);
  if (M.rows)
    tape_product(tape, view_cols(mixed, 0, forward ? M.cols : M.rows), 1,
                 view_cols(L, 0, forward ? M.rows : M.cols), M, !forward);
  tape_product(tape, out, 1, mixed, other->q, false);
}

View moved_on(Run *r, View next, View w, double keep, View v, double push) {
  if (w.rows && keep != 0)
    tape_copy(r->tape, view_cols(view_rows(next, 0, w.rows), 0, w.cols), keep, w);
  if (v.rows && push != 0)
    tape_copy(r->tape, view_cols(view_rows(next, 0, v.rows), 0, v.cols), push, v);
  return next;
}

/* V <- beta V + O, W <- keep W + push V + pull O with O = sum force y x^T in the bases. */
static void learn_wide(Run *r, const Matrix *m, Carrier *c, const Move *move, View force) {
  Tape *tape = r->tape;
  if (r->plan->frame) {
    frame_learn(r, m, c, move, force);
    return;
  }
  if (m->learns != m->y) {
    size_t before = c->y.q.rows;
    View rest;
    c->y_now = meet(r, &c->y.q, m->to, r->field[m->learns], &rest);
    make_images(r, m, &c->y, &c->x, m->from, before);
    if (tape_failed(tape) || r->exhausted) return;
  }
  size_t batch = training_rows(r->p, m);
  View x = view_rows(c->x_now, 0, batch / r->z.outputs), y = view_rows(c->y_now, 0, batch),
       none = {0};
  if (!x.cols || !y.cols) return;
  if (move->push != 0) {
    View next = tape_table(tape, x.cols, y.cols, false);
    c->velocity = moved_on(r, next, c->velocity, move->beta, none, 0);
    tape_outer(tape, c->velocity, 1, force, x, y);
  }
  View next = tape_table(tape, x.cols, y.cols, false);
  c->learned = moved_on(r, next, c->learned, move->keep, c->velocity, move->push);
  if (move->pull != 0) tape_outer(tape, c->learned, move->pull, force, x, y);
  c->share *= move->keep;
}

/* What the vectors of a thin matrix take up: images of inputs Gram-weighted y, readouts features.
 */
static void take_up(Run *r, const Matrix *m, const Carrier *c, double rate, View force,
                    View table) {
  Tape *tape = r->tape;
  size_t batch = training_rows(r->p, m);
  if (!is_wide(r->p, m->to)) {
    tape_product(tape, table, rate, force, view_rows(r->field[m->x], 0, r->z.points), false);
    return;
  }
  View mixing = tape_table(tape, thin_vectors(r->p, m), batch, false);
  tape_multiply(tape, mixing, rate, force, 0, 1, c->gram, 1, r->z.outputs);
  tape_product(tape, table, 1, mixing, view_rows(r->field[m->learns], 0, batch), false);
}

static void learn_thin(Run *r, const Matrix *m, Carrier *c, const Move *move, View force) {
  Tape *tape = r->tape;
  if (move->push != 0) {
    View next = tape_same(tape, c->table), none = {0};
    c->velocity = moved_on(r, next, c->velocity, move->beta, none, 0);
    take_up(r, m, c, 1, force, c->velocity);
  }
  if (move->keep != 1 || move->push != 0)
    c->table =
        moved_on(r, tape_same(tape, c->table), c->table, move->keep, c->velocity, move->push);
  if (move->pull != 0) take_up(r, m, c, move->pull, force, c->table);
}

/* Fresh noise of a population for the images of the vectors on a thin side. */
static View draw_thin(Run *r, int space, size_t rank) {
  View noise = tape_wide(r->tape, population(r->p, space), 0, true);
  if (!r->plan->frame) {
    draw(r, space, &noise, rank);
    return noise;
  }
  int *axis = mem_new(rank + 1, sizeof *axis);
  for (size_t i = 0; i < rank; i++) axis[i] = r->out->noise_count[space]++;
  noise = tape_fresh(r->tape, population(r->p, space), rank, axis, noise, NULL);
  free(axis);
  return noise;
}

/* The initial images sigma F n of the vectors on a thin side. */
static Status start_thin(Run *r, const Matrix *m, Carrier *c) {
  Tape *tape = r->tape;
  bool input = is_wide(r->p, m->to);
  int space = input ? m->to : m->from;
  size_t vectors = thin_vectors(r->p, m);
  double *root = mem_new(vectors * vectors, sizeof *root);
  int rank = thin_root(r->p, m, root);
  Side *side = input ? &c->x : &c->y;
  c->table = tape_wide(tape, population(r->p, space), vectors, false);
  side->noise = draw_thin(r, space, rank > 0 ? (size_t)rank : 0);
  View F = tape_table(tape, vectors, vectors, true);
  if (rank >= 0 && !tape_failed(tape)) {
    memcpy(tape_data(tape, F), root, vectors * vectors * sizeof *root);
    tape_product(tape, c->table, m->sigma, view_cols(F, 0, (size_t)rank), side->noise, false);
  }
  free(root);
  return rank < 0 ? STATUS_NUMERICS : STATUS_OK;
}

/* What a matrix knows before the first step. */
static Status start(Run *r, int k) {
  Tape *tape = r->tape;
  const Matrix *m = &r->p->matrices[k];
  Carrier *c = &r->carrier[k];
  c->share = 1;
  if (is_wide_matrix(r->p, m) && r->plan->frame) {
    frame_start(r, k);
    return STATUS_OK;
  }
  if (is_wide_matrix(r->p, m)) {
    int from = population(r->p, m->from), to = population(r->p, m->to);
    c->x = (Side){.q = tape_wide(tape, from, 0, false),
                  .image = tape_wide(tape, to, 0, false),
                  .noise = tape_wide(tape, to, 0, true)};
    c->y = (Side){.q = tape_wide(tape, to, 0, false),
                  .image = tape_wide(tape, from, 0, false),
                  .noise = tape_wide(tape, from, 0, true)};
    return STATUS_OK;
  }
  if (is_wide(r->p, m->to)) {
    const double *gram = gram_of(r->p, m);
    size_t vectors = thin_vectors(r->p, m);
    c->gram = tape_table(tape, vectors, vectors, true);
    for (size_t i = 0; i < vectors * vectors && !tape_failed(tape); i++)
      tape_data(tape, c->gram)[i] = gram ? gram[i] : 1;
  }
  return start_thin(r, m, c);
}

/* ---- one step ---- */

static void combine_rows(Run *r, const Op *op, View out) {
  const RowMap *map = &r->p->row_maps[op->rows];
  size_t C = r->p->variables[op->dst].backward ? r->z.outputs : 1, from = (size_t)map->from,
         to = (size_t)map->to;
  View in = r->field[op->src[0]];
  for (size_t a = 0; a < r->z.all; a++)
    for (size_t i = 0; i < to; i++)
      for (int k = map->begin[i]; k < map->begin[i + 1]; k++)
        tape_copy(r->tape, view_rows(out, (a * to + i) * C, C), map->weight[k],
                  view_rows(in, (a * from + (size_t)map->source[k]) * C, C));
}

static void run_op(Run *r, int i) {
  const Op *op = &r->p->ops[i];
  Tape *tape = r->tape;
  if (!is_wide(r->p, r->p->variables[op->dst].space)) return;
  View *out = &r->field[op->dst];
  if (r->plan->frame && out->rows) tape_drop(tape, *out);
  *out = tape_wide(tape, population(r->p, r->p->variables[op->dst].space), rows_of(r->p, op->dst),
                   false);
  if (op->kind == OP_ROWS) {
    combine_rows(r, op, *out);
  } else if (op->kind == OP_WEIGH) {
    tape_weigh(tape, *out, r->delta, r->field[op->src[0]]);
  } else if (op->kind == OP_MAP) {
    View args[OP_MAX_ARGS];
    for (int k = 0; k < op->src_count; k++) args[k] = r->field[op->src[k]];
    tape_map(tape, *out, r->plan->code->maps[i], args, r->z.outputs);
  } else if (op->kind == OP_APPLY || op->kind == OP_APPLY_T) {
    const Matrix *m = &r->p->matrices[op->matrix];
    Carrier *c = &r->carrier[op->matrix];
    bool forward = op->kind == OP_APPLY;
    if (is_wide_matrix(r->p, m) && r->plan->frame)
      frame_apply(r, m, forward, op->src[0], *out);
    else if (is_wide_matrix(r->p, m))
      apply_wide(r, m, c, forward, r->field[op->src[0]], *out);
    else
      tape_copy(tape, *out, 1, c->table);
  }
}

static View kernel_of(Run *r, View a, View b) {
  View kernel = tape_table(r->tape, a.rows, b.rows, false);
  tape_average(r->tape, kernel, 1, a, b);
  return kernel;
}

static void measure_kernels(Run *r) {
  for (int k = 0; k < r->p->matrix_count; k++) {
    const Matrix *m = &r->p->matrices[k];
    Condition *out = r->out;
    View none = {.slab = -1}, *x = &out->x_kernel[k][r->t], *y = &out->y_kernel[k][r->t],
         *g = &out->g_kernel[k][r->t], *phi = &out->phi_kernel[k][r->t];
    *x = *y = *g = *phi = none;
    if (m->x < 0) continue;
    out->x_field[k][r->t] = r->field[m->features];
    out->y_field[k][r->t] = r->field[m->y];
    if (is_wide(r->p, m->from)) {
      *x = *phi = kernel_of(r, r->field[m->x], r->field[m->x]);
      if (m->features != m->x) *phi = kernel_of(r, r->field[m->features], r->field[m->features]);
    }
    if (is_wide(r->p, m->to)) {
      *y = *g = kernel_of(r, r->field[m->y], r->field[m->y]);
      if (m->learns != m->y) *g = kernel_of(r, r->field[m->y], r->field[m->learns]);
    }
  }
}

/* sum_m rate_m <y g>_m o Phi_m, [R C, R C]. */
static View tangent(Run *r) {
  Tape *tape = r->tape;
  size_t C = r->z.outputs, rows = r->z.all * C;
  View K = tape_table(tape, rows, rows, false);
  for (int k = 0; k < r->p->matrix_count && !tape_failed(tape); k++) {
    const Matrix *m = &r->p->matrices[k];
    if (m->rate == 0 || m->x < 0) continue;
    View phi = r->out->x_kernel[k][r->t], g = r->out->g_kernel[k][r->t];
    if (phi.slab < 0) phi = r->carrier[k].gram;
    if (g.slab < 0) {
      g = tape_table(tape, rows, rows, true);
      for (size_t a = 0; a < rows && !tape_failed(tape); a++)
        for (size_t b = 0; b < rows; b++) tape_data(tape, g)[a * rows + b] = a % C == b % C;
    }
    size_t A = positions_of(r->p, m);
    View product = A == 1 ? K : tape_table(tape, rows * A, rows * A, false);
    tape_multiply(tape, product, m->rate, g, 1, 1, phi, C, C);
    for (size_t i = 0; i < r->z.all * A && A > 1; i++)
      for (size_t j = 0; j < r->z.all * A; j++)
        tape_copy(tape, view_cols(view_rows(K, i / A * C, C), j / A * C, C), 1,
                  view_cols(view_rows(product, i * C, C), j * C, C));
  }
  return K;
}

/* f = sum of <w x> / gamma over the readouts, less its start. */
static View measure_f(Run *r) {
  Tape *tape = r->tape;
  View f = tape_table(tape, r->z.outputs, r->z.all, false), raw = f;
  bool centered = r->p->problem->centered;
  if (centered) raw = tape_same(tape, f);
  for (int k = 0; k < r->p->matrix_count; k++) {
    const Matrix *m = &r->p->matrices[k];
    if (!is_readout(r->p, k)) continue;
    View w = tape_same(tape, r->carrier[k].table);
    tape_copy(tape, w, 1, r->carrier[k].table);
    tape_average(tape, raw, 1 / r->plan->gamma, w, r->field[m->x]);
  }
  bool first = r->t == 0 && r->stage == 0;
  if (first) r->raw_start = raw;
  if (centered) {
    tape_copy(tape, f, 1, raw);
    tape_copy(tape, f, -1, r->raw_start);
  } else if (r->plan->pinned && !tape_failed(tape)) {
    /* the start has mean zero: what it is here is sampling error, but its fluctuation counts */
    size_t n = r->z.all * r->z.outputs;
    if (first) memcpy(r->start, tape_data(tape, raw), n * sizeof *r->start);
    for (size_t i = 0; i < n; i++) tape_data(tape, f)[i] -= r->start[i];
  }
  return f;
}

static View delta_of(Run *r, View f) {
  size_t C = r->z.outputs, P = r->z.points;
  View delta = tape_table(r->tape, C, P, false);
  View *args = mem_new(2 * C, sizeof *args);
  for (size_t c = 0; c < C; c++) {
    args[c] = view_cols(view_rows(f, c, 1), 0, P);
    args[C + c] = view_rows(r->targets, c, 1);
  }
  for (size_t c = 0; c < C; c++)
    tape_map(r->tape, view_rows(delta, c, 1), r->plan->code->delta[c], args, 1);
  free(args);
  return delta;
}

/* w_mu(t) Delta_mu, [C, P] */
static View force_of(Run *r, View delta) {
  View force = tape_same(r->tape, delta), shares = view_rows(r->shares, (size_t)r->t, 1);
  tape_multiply(r->tape, force, 1, delta, 1, 1, shares, r->z.outputs, 1);
  return force;
}

/* The force on every position of its point, [C, P A]. */
static View at_positions(Run *r, View force, size_t A) {
  if (A == 1) return force;
  View spread = tape_table(r->tape, force.rows, force.cols * A, false);
  View one = tape_table(r->tape, 1, 1, true);
  if (tape_failed(r->tape)) return spread;
  *tape_data(r->tape, one) = 1;
  tape_multiply(r->tape, spread, 1, force, 1, A, one, spread.rows, spread.cols);
  return spread;
}

/* f moved by the tangent kernel as a matrix is by its gradients. */
static View moved(Run *r, View K, const Move *move) {
  Tape *tape = r->tape;
  View own = tape_same(tape, r->f), next = tape_same(tape, r->f), none = {0}, old = r->pace;
  tape_contract(tape, own, 1, view_cols(K, 0, r->z.points * r->z.outputs),
                force_of(r, delta_of(r, r->f)));
  r->pace = moved_on(r, tape_same(tape, r->f), old, move->beta, own, 1);
  next = moved_on(r, next, r->f, 1, r->pace, move->push);
  return moved_on(r, next, none, 0, own, move->pull);
}

static void train(Run *r, View K) {
  Instant now = {r->t, r->stage, r->plan->parts};
  if (r->plan->lazy) {
    Move move = move_of(r->p, &(Matrix){.rate = 1}, now, 1);
    r->f = moved(r, K, &move);
    return;
  }
  View force = force_of(r, r->delta);
  for (int k = 0; k < r->p->matrix_count && !tape_failed(r->tape); k++) {
    const Matrix *m = &r->p->matrices[k];
    if (m->rate == 0) continue;
    Move move = move_of(r->p, m, now, r->plan->gamma);
    View spread = at_positions(r, force, positions_of(r->p, m));
    if (is_wide_matrix(r->p, m))
      learn_wide(r, m, &r->carrier[k], &move, spread);
    else
      learn_thin(r, m, &r->carrier[k], &move, spread);
  }
}

static void measure_scale(Run *r) {
  for (int v = 0; v < r->p->variable_count; v++)
    if (is_wide(r->p, r->p->variables[v].space) && r->field[v].rows)
      r->out->scale[v] = sqrt(tape_largest(r->tape, r->field[v]));
}

static void run_ops(Run *r, int first, int end) {
  for (int i = first; i < end && !tape_failed(r->tape) && !r->exhausted; i++) run_op(r, i);
}

/* The fields of this move, and the output, which is known once the forward pass is done. */
static Status make_fields(Run *r, View *K) {
  run_ops(r, 0, r->p->forward_count);
  if (r->exhausted || tape_failed(r->tape)) return STATUS_LIMIT;
  r->f = r->plan->lazy ? tape_table(r->tape, r->z.outputs, r->z.all, false) : measure_f(r);
  r->delta = delta_of(r, r->f);
  run_ops(r, r->p->forward_count, r->p->op_count);
  r->made++;
  if (r->exhausted || tape_failed(r->tape)) return STATUS_LIMIT;
  if (r->stage > 0) return STATUS_OK;
  if (r->t == 0) measure_scale(r);
  measure_kernels(r);
  if (r->plan->lazy) *K = tangent(r);
  return STATUS_OK;
}

static void keep_kernels(Run *r) {
  for (int k = 0; k < r->p->matrix_count; k++) {
    r->out->x_kernel[k][r->t] = r->out->x_kernel[k][0];
    r->out->y_kernel[k][r->t] = r->out->y_kernel[k][0];
    r->out->g_kernel[k][r->t] = r->out->g_kernel[k][0];
    r->out->phi_kernel[k][r->t] = r->out->phi_kernel[k][0];
  }
}

static Status one_move(Run *r, View *K) {
  bool frozen = r->plan->lazy && (r->t > 0 || r->stage > 0);
  Status status = frozen ? STATUS_OK : make_fields(r, K);
  if (frozen && r->stage == 0) keep_kernels(r);
  if (status != STATUS_OK || tape_failed(r->tape)) return STATUS_LIMIT;
  if (r->stage == 0) {
    r->out->f[r->t] = r->f;
    r->out->mark[r->t] = tape_mark(r->tape);
  }
  if (!is_sane(tape_data(r->tape, r->f), r->z.all * r->z.outputs)) return STATUS_NUMERICS;
  if (r->t < r->plan->steps) train(r, *K);
  return r->exhausted || tape_failed(r->tape) ? STATUS_LIMIT : STATUS_OK;
}

/* The moves of a step; the last step has none, and is only measured. */
static Status step(Run *r, View *K) {
  int stages = r->t < r->plan->steps ? stages_of(r->p, r->plan->parts) : 1;
  Status status = STATUS_OK;
  for (r->stage = 0; r->stage < stages && status == STATUS_OK; r->stage++) status = one_move(r, K);
  return status;
}

/* ---- the whole ---- */

static View *views(int count) { return mem_new((size_t)count, sizeof(View)); }

static void prepare(Run *r) {
  const Program *p = r->p;
  Condition *out = r->out;
  int steps = r->plan->steps + 1;
  *out = (Condition){.tape = r->tape,
                     .f = views(steps),
                     .x_kernel = mem_new((size_t)p->matrix_count, sizeof *out->x_kernel),
                     .y_kernel = mem_new((size_t)p->matrix_count, sizeof *out->y_kernel),
                     .phi_kernel = mem_new((size_t)p->matrix_count, sizeof *out->phi_kernel),
                     .x_field = mem_new((size_t)p->matrix_count, sizeof *out->x_field),
                     .y_field = mem_new((size_t)p->matrix_count, sizeof *out->y_field),
                     .g_kernel = mem_new((size_t)p->matrix_count, sizeof *out->g_kernel),
                     .mark = mem_new((size_t)steps, sizeof *out->mark),
                     .noise_count = mem_new((size_t)p->space_count, sizeof *out->noise_count),
                     .scale = mem_new((size_t)p->variable_count, sizeof *out->scale)};
  for (int k = 0; k < p->matrix_count; k++) {
    out->x_kernel[k] = views(steps);
    out->y_kernel[k] = views(steps);
    out->g_kernel[k] = views(steps);
    out->phi_kernel[k] = views(steps);
    out->x_field[k] = views(steps);
    out->y_field[k] = views(steps);
  }
  r->field = views(p->variable_count);
  r->start = mem_new(r->z.all * r->z.outputs, sizeof *r->start);
  size_t T = (size_t)r->plan->steps, P = r->z.points, C = r->z.outputs;
  r->targets = tape_table(r->tape, C, P, true);
  r->shares = tape_table(r->tape, T, P, true);
  if (tape_failed(r->tape)) return;
  for (size_t k = 0; k < P * C; k++)
    tape_data(r->tape, r->targets)[k % C * P + k / C] = p->problem->targets->data[k];
  for (size_t i = 0; i < T * P; i++)
    tape_data(r->tape, r->shares)[i] = p->update.weight ? p->update.weight[i] : 1.0 / (double)P;
}

static int largest_rank(const Run *r) {
  size_t rank = 0;
  for (int k = 0; k < r->p->matrix_count; k++) {
    if (r->carrier[k].x.q.rows > rank) rank = r->carrier[k].x.q.rows;
    if (r->carrier[k].y.q.rows > rank) rank = r->carrier[k].y.q.rows;
  }
  return (int)rank;
}

double condition_bytes(const Program *p, size_t columns, size_t steps) {
  double rows = (double)most_rows(p), S = (double)columns, T = (double)steps;
  double rank = rows * T < S ? rows * T : S;
  return 8 * (2.5 * rows * S * T * p->variable_count +
              p->matrix_count * (6 * rank * S + T * (4 * rows * rows + rank * rank)));
}

/* The run, and its frame if that is wanted. */
static Status run_framing(const ConditionPlan *plan, Condition *condition, Frame *frame,
                          int *failed_at) {
  const Program *p = plan->program;
  Run r = {.plan = plan,
           .p = p,
           .out = condition,
           .z = sizes_of(p),
           .carrier = mem_new((size_t)p->matrix_count, sizeof *r.carrier),
           .uniform = mem_new((size_t)p->variable_count, sizeof *r.uniform)};
  frame_find_uniform(&r);
  r.tape = tape_new(plan->noise.S, plan->weights, population(p, p->space_count),
                    plan->noise.kind == NOISE_COORDINATES, plan->record);
  size_t events = plan->frame ? frame_place_events(&r) : 0;
  if (plan->responses) tape_add_passive(r.tape, events);
  prepare(&r);
  Status status = STATUS_OK;
  for (int k = 0; k < p->matrix_count && status == STATUS_OK; k++) status = start(&r, k);
  if (status == STATUS_OK && (r.exhausted || tape_failed(r.tape))) status = STATUS_LIMIT;
  View K = {.slab = -1};
  for (r.t = 0; r.t <= plan->steps && status == STATUS_OK; r.t++) {
    *failed_at = r.t;
    status = plan->stop && *plan->stop ? STATUS_INTERRUPTED : step(&r, &K);
  }
  if (r.exhausted) *failed_at = -1;
  condition->rank = largest_rank(&r);
  condition->field = r.field;
  if (frame && status == STATUS_OK) frame_take(&r, frame);
  for (int k = 0; k < p->matrix_count; k++) {
    free(r.carrier[k].x.known);
    free(r.carrier[k].y.known);
  }
  free(r.carrier);
  free(r.uniform);
  free(r.start);
  if (status != STATUS_OK) condition_free(p, condition);
  return status;
}

Status condition_run(const ConditionPlan *plan, Condition *condition, int *failed_at) {
  return run_framing(plan, condition, NULL, failed_at);
}

Status condition_scout(const ConditionPlan *plan, Frame *frame, int *failed_at) {
  Condition run;
  Status status = run_framing(plan, &run, frame, failed_at);
  if (status != STATUS_OK) return status;
  condition_free(plan->program, &run);
  ConditionPlan responses = *plan;
  responses.frame = frame;
  responses.responses = true;
  responses.noise.S = frame->columns;
  status = run_framing(&responses, &run, NULL, failed_at);
  if (status == STATUS_OK) condition_free(plan->program, &run);
  return status;
}

static double entry(const Tape *tape, View table, size_t row, size_t col) {
  return tape_data(tape, table)[row * tape_stride(tape, table) + col];
}

void condition_ntk(const Program *p, const Condition *c, size_t t, double *ntk) {
  size_t P = sizes_of(p).points;
  NtkTerm *terms = mem_new(condition_ntk_terms(p), sizeof *terms);
  for (size_t a = 0; a < P; a++)
    for (size_t b = 0; b < P; b++) {
      size_t n = condition_ntk_expand(p, c, t, a, b, terms);
      ntk[a * P + b] = 0;
      for (size_t i = 0; i < n; i++) ntk[a * P + b] += terms[i].factor * terms[i].g * terms[i].phi;
    }
  free(terms);
}

size_t condition_ntk_terms(const Program *p) {
  size_t n = 0;
  for (int k = 0; k < p->matrix_count; k++) {
    size_t A = p->matrices[k].x < 0 ? 1 : positions_of(p, &p->matrices[k]);
    n += A * A * sizes_of(p).outputs;
  }
  return n;
}

size_t condition_ntk_expand(const Program *p, const Condition *c, size_t t, size_t a, size_t b,
                            NtkTerm *terms) {
  size_t C = sizes_of(p).outputs, n = 0;
  for (int k = 0; k < p->matrix_count; k++) {
    const Matrix *m = &p->matrices[k];
    if (m->rate == 0 || m->x < 0) continue;
    View phi = c->x_kernel[k][t], g = c->g_kernel[k][t];
    const double *gram = gram_of(p, m);
    size_t A = positions_of(p, m);
    for (size_t i = 0; i < A * A * C; i++) {
      size_t x = a * A + i / C / A, y = b * A + i / C % A, o = i % C;
      NtkTerm term = {m->rate / (double)C, 1, 1, g, phi, x * C + o, y * C + o, x, y};
      if (g.slab >= 0) term.g = entry(c->tape, g, term.g_row, term.g_col);
      if (phi.slab >= 0)
        term.phi = entry(c->tape, phi, x, y);
      else if (gram)
        term.phi = gram[x * thin_vectors(p, m) + y];
      terms[n++] = term;
    }
  }
  return n;
}

void condition_free(const Program *p, Condition *c) {
  for (int k = 0; c->x_kernel && k < p->matrix_count; k++) {
    free(c->x_kernel[k]);
    free(c->y_kernel[k]);
    free(c->g_kernel[k]);
    free(c->phi_kernel[k]);
    free(c->x_field[k]);
    free(c->y_field[k]);
  }
  free(c->x_kernel);
  free(c->y_kernel);
  free(c->g_kernel);
  free(c->phi_kernel);
  free(c->x_field);
  free(c->y_field);
  free(c->field);
  free(c->f);
  free(c->mark);
  free(c->noise_count);
  free(c->scale);
  tape_free(c->tape);
  *c = (Condition){0};
}
