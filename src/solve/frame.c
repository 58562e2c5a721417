/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/frame.h"
#include "base/memory.h"
#include "num/linalg.h"
#include "solve/carrier.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- a step ---- */

/* Rows of x less what lies along q, into `rest`; returns <x q>. */
static View outside(Run *r, View x, View q, View rest) {
  View L = tape_table(r->tape, x.rows, q.rows, false);
  if (tape_failed(r->tape)) return L;
  tape_average(r->tape, L, 1, x, q);
  tape_copy(r->tape, rest, 1, x);
  tape_product(r->tape, rest, -1, L, q, false);
  return L;
}

/* The responses of x, in the columns of the other side's past. */
static void measure_responses(Run *r, double weight, const Side *other, View x, double *response) {
  for (size_t a = 0; a < x.rows && !tape_failed(r->tape); a++)
    axpy(other->met, weight, tape_data(r->tape, view_rows(x, a, 1)) + other->event,
         response + a * other->met);
}

/* out += responses of x times what is outside in the other side's past. */
static void add_returning(Run *r, const double *response, const Side *other, View x, View out) {
  Tape *tape = r->tape;
  if (!other->met) return;
  View A = tape_table(tape, x.rows, other->met, true), back = tape_same(tape, out);
  if (tape_failed(tape)) return;
  memcpy(tape_data(tape, A), response, x.rows * other->met * sizeof *response);
  tape_product(tape, back, 1, A, view_rows(other->past, 0, other->met), false);
  outside(r, back, other->q, out);
  tape_drop(tape, back);
}

/* x joins the past of its side; its image has a column of its own when responses are measured. */
static void remember(Run *r, double weight, Side *own, View x, View image) {
  if (tape_failed(r->tape)) return;
  for (size_t a = 0; a < x.rows && r->plan->responses; a++)
    tape_data(r->tape, view_rows(image, a, 1))[own->event + own->met + a] += weight;
  tape_copy(r->tape, view_rows(own->past, own->met, x.rows), 1, x);
  own->met += x.rows;
}

/* A matrix in a frame: see the head of frame.h. */
static void apply_framed(Run *r, const Matrix *m, Carrier *c, bool forward, View x, View out) {
  Tape *tape = r->tape;
  Side *own = forward ? &c->x : &c->y, *other = forward ? &c->y : &c->x;
  const FrameSide *frame = (forward ? r->plan->frame->x : r->plan->frame->y) + (m - r->p->matrices);
  View rest = tape_same(tape, x), L = outside(r, x, own->q, rest),
       mixed = tape_table(tape, x.rows, other->q.rows, false);
  if (tape_failed(tape)) return;
  tape_average(tape, mixed, 1, rest, other->image);
  tape_product(tape, out, 1, L, own->image, false);
  tape_product(tape, out, 1, mixed, other->q, false);
  tape_drop(tape, rest);
  double **response = &frame->response[r->made];
  if (r->plan->responses) {
    *response = mem_new(x.rows * other->met + 1, sizeof **response);
    measure_responses(r, m->sigma * c->share, other, x, *response);
  }
  add_returning(r, *response, other, x, out);
  remember(r, m->sigma * c->share, own, x, out);
}

/* The same for what is the same at all points, once. */
static void apply_uniform(Run *r, const Matrix *m, Carrier *c, bool forward, View x, View out) {
  size_t points = r->z.all;
  View own = tape_same(r->tape, view_rows(out, 0, out.rows / points));
  apply_framed(r, m, c, forward, view_rows(x, 0, x.rows / points), own);
  tape_copy(r->tape, out, 1, own);
  tape_drop(r->tape, own);
}

void frame_apply(Run *r, const Matrix *m, bool forward, int variable, View out) {
  Carrier *c = &r->carrier[m - r->p->matrices];
  (r->uniform[variable] ? apply_uniform : apply_framed)(r, m, c, forward, r->field[variable], out);
}

/* The images of the directions on one side take up sum <q met> taken, pairs of rows of the
 * gradient. */
static void learn_side(Run *r, Side *side, const Move *move, View met, View taken) {
  Tape *tape = r->tape;
  View mixing = tape_table(tape, side->q.rows, met.rows, false), none = {0};
  if (!side->q.rows || tape_failed(tape)) return;
  tape_average(tape, mixing, 1, side->q, met);
  if (move->push != 0) {
    View next = tape_same(tape, side->image), old = side->velocity;
    side->velocity = moved_on(r, next, old, move->beta, none, 0);
    if (old.rows) tape_drop(tape, old);
    tape_product(tape, side->velocity, 1, mixing, taken, false);
  }
  View before = side->image;
  side->image =
      moved_on(r, tape_same(tape, before), before, move->keep, side->velocity, move->push);
  tape_drop(tape, before);
  if (move->pull != 0) tape_product(tape, side->image, move->pull, mixing, taken, false);
}

void frame_learn(Run *r, const Matrix *m, Carrier *c, const Move *move, View force) {
  Tape *tape = r->tape;
  size_t C = r->z.outputs, batch = training_rows(r->p, m);
  bool once = r->uniform[m->learns] && positions_of(r->p, m) == 1;
  View met = view_rows(r->field[m->x], 0, batch / C),
       x = tape_wide(tape, population(r->p, m->from), once ? C : batch, false),
       y = view_rows(r->field[m->learns], 0, x.rows);
  if (once)
    tape_product(tape, x, 1, force, met, false);
  else
    tape_weigh(tape, x, force, met);
  learn_side(r, &c->x, move, x, y);
  learn_side(r, &c->y, move, y, x);
  tape_drop(tape, x);
  c->share *= move->keep;
}

/* ---- before and after ---- */

/* The directions of a frame, on their population. */
static View framed_rows(Run *r, int space, const FrameSide *side) {
  size_t columns = r->plan->frame->columns;
  View q = tape_wide(r->tape, population(r->p, space), side->rank, true);
  for (size_t i = 0; i < side->rank && !tape_failed(r->tape); i++)
    axpy(columns, sqrt((double)r->plan->noise.S), side->q + i * columns,
         tape_data(r->tape, view_rows(q, i, 1)));
  return q;
}

/* sigma n + sigma <q_x m> q_y, or the same with x and y exchanged. */
static void framed_images(Run *r, const Matrix *m, Side *own, const Side *other) {
  View overlap = tape_table(r->tape, own->q.rows, other->q.rows, false);
  own->image = tape_same(r->tape, own->noise);
  if (tape_failed(r->tape)) return;
  tape_copy(r->tape, own->image, m->sigma, own->noise);
  tape_average(r->tape, overlap, m->sigma, own->q, other->noise);
  tape_product(r->tape, own->image, 1, overlap, other->q, false);
}

void frame_start(Run *r, int k) {
  const Matrix *m = &r->p->matrices[k];
  const FrameSide *x = &r->plan->frame->x[k], *y = &r->plan->frame->y[k];
  Carrier *c = &r->carrier[k];
  int from = population(r->p, m->from), to = population(r->p, m->to);
  c->x.q = framed_rows(r, m->from, x);
  c->y.q = framed_rows(r, m->to, y);
  c->x.noise = tape_fresh(r->tape, to, x->rank, x->axis, c->y.q, x->known);
  c->y.noise = tape_fresh(r->tape, from, y->rank, y->axis, c->x.q, y->known);
  framed_images(r, m, &c->x, &c->y);
  framed_images(r, m, &c->y, &c->x);
  c->x.past = tape_wide(r->tape, from, c->x.met, false);
  c->y.past = tape_wide(r->tape, to, c->y.met, false);
  c->x.met = c->y.met = 0;
}

/* How often a run makes its fields. */
static size_t moves_of(const Run *r) {
  const ConditionPlan *plan = r->plan;
  return plan->lazy ? 1 : (size_t)(plan->steps * stages_of(r->p, plan->parts)) + 1;
}

void frame_find_uniform(Run *r) {
  for (int i = 0; i < r->p->op_count && r->p->linear; i++) {
    const Op *op = &r->p->ops[i];
    if (op->kind == OP_APPLY_T && !is_wide_matrix(r->p, &r->p->matrices[op->matrix])) {
      r->uniform[op->dst] = true;
    } else if (op->kind == OP_APPLY_T || op->kind == OP_MAP || op->kind == OP_ROWS) {
      r->uniform[op->dst] = true;
      for (int k = 0; k < op->src_count; k++)
        r->uniform[op->dst] = r->uniform[op->dst] && r->uniform[op->src[k]];
    }
  }
}

size_t frame_place_events(Run *r) {
  size_t *used = mem_new((size_t)r->p->space_count, sizeof *used), most = 0;
  for (int i = 0; i < r->p->op_count; i++) {
    const Op *op = &r->p->ops[i];
    if (op->kind != OP_APPLY && op->kind != OP_APPLY_T) continue;
    const Matrix *m = &r->p->matrices[op->matrix];
    if (!is_wide_matrix(r->p, m)) continue;
    bool forward = op->kind == OP_APPLY;
    Side *side = forward ? &r->carrier[op->matrix].x : &r->carrier[op->matrix].y;
    int to = forward ? m->to : m->from;
    side->met = moves_of(r) * rows_of(r->p, op->src[0]) / (r->uniform[op->src[0]] ? r->z.all : 1);
    side->event = r->plan->noise.S + used[to];
    used[to] += side->met;
    if (used[to] > most) most = used[to];
  }
  free(used);
  return most;
}

/* What the scout found of one side. */
static FrameSide frame_side(const Run *r, const Side *side, size_t columns) {
  size_t S = r->plan->noise.S, rank = side->q.rows;
  FrameSide f = {mem_new(rank * columns + 1, sizeof *f.q), mem_new(rank + 1, sizeof *f.axis),
                 mem_new(rank + 1, sizeof *f.known), rank,
                 mem_new(moves_of(r), sizeof *f.response)};
  for (size_t i = 0; i < rank; i++) {
    const double *noise = tape_data(r->tape, view_rows(side->noise, i, 1));
    axpy(columns, 1 / sqrt((double)S), tape_data(r->tape, view_rows(side->q, i, 1)),
         f.q + i * columns);
    while (noise[f.axis[i]] == 0) f.axis[i]++;
    f.known[i] = side->known[i];
  }
  return f;
}

void frame_take(const Run *r, Frame *frame) {
  size_t matrices = (size_t)r->p->matrix_count;
  *frame = (Frame){mem_new(matrices, sizeof *frame->x), mem_new(matrices, sizeof *frame->y), 1,
                   moves_of(r)};
  for (int i = 0; i < r->p->space_count; i++)
    if ((size_t)r->out->noise_count[i] > frame->columns)
      frame->columns = (size_t)r->out->noise_count[i];
  for (size_t k = 0; k < matrices; k++) {
    if (!is_wide_matrix(r->p, &r->p->matrices[k])) continue;
    frame->x[k] = frame_side(r, &r->carrier[k].x, frame->columns);
    frame->y[k] = frame_side(r, &r->carrier[k].y, frame->columns);
  }
}

void frame_free(const Program *p, Frame *frame) {
  for (int k = 0; frame->x && k < p->matrix_count; k++)
    for (int i = 0; i < 2; i++) {
      FrameSide *side = i ? &frame->y[k] : &frame->x[k];
      free(side->q);
      free(side->axis);
      free(side->known);
      for (size_t t = 0; side->response && t < frame->moves; t++) free(side->response[t]);
      free(side->response);
    }
  free(frame->x);
  free(frame->y);
  *frame = (Frame){0};
}
