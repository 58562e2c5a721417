/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A random matrix of a linear program in coordinates. The directions of sequential.c need not move
 * with the fields: a first run, the scout, finds orthonormal directions that span the means of all
 * fields of all times, and they are then constants, in coordinates that are orthonormal at any N.
 * The image of each starts as
 *
 *     chi = sigma n + sigma <q_x m> q_y / sqrt(rho)
 *     xi  = sigma sqrt(rho) m + rho sigma <q_y n> q_x
 *
 * with n and m as tape_fresh has them and rho = N_to / N_from, and learns as the image of a known
 * input does. What fluctuates out of these directions has images that no mean sees, but they
 * return, since W W^T = sigma^2 and W^T W = rho sigma^2 there: with the response A_ab of x_a to
 * what is added to W^T y_b,
 *
 *     W x_a = <x_a q_x> chi + <rest xi> q_y / rho + sigma^2 sum over earlier b of A_ab (rest of
 * y_b)
 *
 * and the same with x and y exchanged, where rho takes the place of 1/rho and of sigma^2 stands rho
 * sigma^2. Responses are numbers of the mean, measured by a second run of the scout with a column
 * for every vector that a matrix met. Nothing is divided by the size of what a field adds to a
 * basis, so directions can be kept down to rounding.
 *
 * Where the backward pass meets a matrix of its own (`independent`), an image is sigma n or sigma
 * sqrt(rho) m alone, nothing of it is known, and nothing returns. */
#include "machine/framed.h"
#include "base/memory.h"
#include "num/linalg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Side {
  FrameSide *frame;
  View q, image, velocity;
  View past;         /* all that was met [rows, S] ... */
  size_t met, calls; /* ... so far */
} Side;

typedef struct Framed {
  const Matrix *matrix;
  double rho;
  double share; /* what weight decay has left of the initial matrix */
  Side x, y;
} Framed;

/* ---- the start ---- */

/* A side's directions, on their population. */
static Side new_side(Machine *m, int space, FrameSide *frame) {
  size_t columns = m->plan.frame->columns;
  int population = m->population[space];
  Side side = {.frame = frame, .velocity = NO_VIEW};
  side.q = tape_keep(m->tape, tape_wide(m->tape, population, frame->rank, true));
  side.past = tape_keep(m->tape, tape_wide(m->tape, population, frame->met, false));
  for (size_t i = 0; i < frame->rank && !tape_failed(m->tape); i++)
    axpy(columns, sqrt((double)m->plan.columns), frame->q + i * columns,
         tape_data(m->tape, view_rows(side.q, i, 1)));
  if ((int)frame->rank > m->rank) m->rank = (int)frame->rank;
  return side;
}

/* sigma n + cross <q_x m> q_y, or the same with x and y exchanged; 0: no cross term. */
static void make_images(Machine *m, Side *own, View noise, double sigma, const Side *other,
                        View other_noise, double cross) {
  own->image = tape_keep(m->tape, tape_same(m->tape, noise));
  tape_copy(m->tape, own->image, sigma, noise);
  if (cross == 0) return;
  View overlap = tape_table(m->tape, own->q.rows, other->q.rows, false);
  tape_average(m->tape, overlap, cross, own->q, other_noise, 1);
  tape_product(m->tape, own->image, 1, overlap, other->q, AS_IS);
}

static void *begin(Machine *m, int k) {
  const Matrix *matrix = &m->p->matrices[k];
  FrameSide *x = &m->plan.frame->x[k], *y = &m->plan.frame->y[k];
  double rho = m->p->spaces[matrix->to].ratio / m->p->spaces[matrix->from].ratio,
         sigma = matrix->sigma, root = sqrt(rho), cross = m->plan.independent ? 0 : sigma;
  const int *known_x = m->plan.independent ? NULL : x->known,
            *known_y = m->plan.independent ? NULL : y->known;
  int from = m->population[matrix->from], to = m->population[matrix->to];
  Framed *s = mem_new(1, sizeof *s);
  *s = (Framed){.matrix = matrix,
                .rho = rho,
                .share = 1,
                .x = new_side(m, matrix->from, x),
                .y = new_side(m, matrix->to, y)};
  View n = tape_fresh(m->tape, to, x->rank, x->axis, s->y.q, known_x),
       o = tape_fresh(m->tape, from, y->rank, y->axis, s->x.q, known_y);
  make_images(m, &s->x, n, sigma, &s->y, o, cross / root);
  make_images(m, &s->y, o, sigma * root, &s->x, n, cross * rho);
  return s;
}

static void end(void *state) { free(state); }

/* ---- a step ---- */

/* Rows of x less what lies along q, into `rest`; returns <x q>. */
static View outside(Machine *m, View x, View q, View rest) {
  View L = tape_table(m->tape, x.rows, q.rows, false);
  tape_average(m->tape, L, 1, x, q, 1);
  tape_copy(m->tape, rest, 1, x);
  tape_product(m->tape, rest, -1, L, q, AS_IS);
  return L;
}

static size_t event_column(const Machine *m, const Side *side) {
  return m->plan.columns + side->frame->event;
}

/* Zeros [rows, cols], which grow with the square of the steps; NULL without memory. */
static double *square(size_t rows, size_t cols) {
  bool fits = mem_fits(8 * (double)rows * (double)cols);
  return fits ? mem_try(rows * cols + 1, sizeof(double)) : NULL;
}

/* Responses [rows, other->met] of x to what the other side met, measured in its passive columns. */
static void measure_responses(Machine *m, Side *own, const Side *other, View x) {
  double **response = &own->frame->response[own->frame->calls++];
  *response = square(x.rows, other->met);
  if (!*response) m->status = STATUS_LIMIT;
  for (size_t a = 0; a < x.rows && *response && !tape_failed(m->tape); a++)
    axpy(other->met, 1, tape_data(m->tape, view_rows(x, a, 1)) + event_column(m, other),
         *response + a * other->met);
}

/* out += weight times responses of x times what is outside in the other side's past. */
static void add_returning(Machine *m, double weight, const double *response, const Side *other,
                          View x, View out) {
  if (!other->met || tape_failed(m->tape)) return;
  View A = tape_constant(m->tape, x.rows, other->met, response), back = tape_same(m->tape, out),
       rest = tape_same(m->tape, out);
  tape_product(m->tape, back, 1, A, view_rows(other->past, 0, other->met), AS_IS);
  outside(m, back, other->q, rest);
  tape_copy(m->tape, out, weight, rest);
}

/* x joins the past of its side; its image has a column of its own when responses are measured. */
static void remember(Machine *m, double share, Side *own, View x, View image) {
  for (size_t a = 0; a < x.rows && m->plan.frame->measures && !tape_failed(m->tape); a++)
    tape_data(m->tape, view_rows(image, a, 1))[event_column(m, own) + own->met + a] += share;
  tape_copy(m->tape, view_rows(own->past, own->met, x.rows), 1, x);
  own->met += x.rows;
}

/* What W makes of the rest of x, which no mean sees; see the head. */
static void add_outside(Machine *m, Framed *s, bool back, View x, View rest, View out) {
  Side *own = back ? &s->y : &s->x, *other = back ? &s->x : &s->y;
  double sigma = s->matrix->sigma, square = sigma * sigma * (back ? s->rho : 1);
  View mixed = tape_table(m->tape, x.rows, other->q.rows, false);
  tape_average(m->tape, mixed, back ? s->rho : 1 / s->rho, rest, other->image, 1);
  tape_product(m->tape, out, 1, mixed, other->q, AS_IS);
  if (m->plan.frame->measures) measure_responses(m, own, other, x);
  add_returning(m, square * s->share, own->frame->response[own->calls++], other, x, out);
  remember(m, s->share, own, x, out);
}

static void apply_rows(Machine *m, Framed *s, bool back, View x, View out) {
  Side *own = back ? &s->y : &s->x;
  View rest = tape_same(m->tape, x), L = outside(m, x, own->q, rest);
  tape_product(m->tape, out, 1, L, own->image, AS_IS);
  if (!m->plan.independent) add_outside(m, s, back, x, rest, out);
}

/* How many times the rows that differ does a use meet. */
static size_t repeated(const Program *p, int use, bool back) {
  const Matrix *matrix = &p->matrices[use];
  return p->variables[back ? matrix->y : matrix->x].uniform ? sizes_of(p).all : 1;
}

static void apply(Machine *m, void *state, int use, bool back, View x, View out) {
  size_t times = repeated(m->p, use, back), rows = x.rows / times;
  if (times == 1) {
    apply_rows(m, state, back, x, out);
    return;
  }
  View own = tape_same(m->tape, view_rows(out, 0, rows));
  apply_rows(m, state, back, view_rows(x, 0, rows), own);
  tape_copy(m->tape, out, 1, own);
}

/* What one use of the matrix takes up: sum of y <x .> over pairs of rows. */
typedef struct Gradient {
  View x, y;
} Gradient;

/* sum_mu force_mu y_mu <x_mu .>: force x and y, or sum_mu force_mu x_mu and y where that is the
 * same at all points. */
static Gradient gradient_of(Machine *m, const Matrix *use, View force) {
  Tape *tape = m->tape;
  const Variable *learns = &m->p->variables[use->learns];
  size_t batch = force.rows, C = rows_per_x(m->p, use);
  View x = view_rows(m->value[use->x], 0, batch / C);
  bool once = learns->uniform && learns->positions == 1;
  View weighted = tape_wide(tape, tape_space(tape, x), once ? C : batch, false);
  if (once) {
    View square = tape_table(tape, batch / C, C, false);
    tape_reshape(tape, square, force);
    tape_product(tape, weighted, 1, square, x, TRANSPOSE_A);
  } else {
    tape_map(tape, weighted, m->plan.code->times, (View[]){x, force});
  }
  return (Gradient){weighted, view_rows(m->value[use->learns], 0, weighted.rows)};
}

/* image += rate O q for the directions q of a side, with pairs <q met> taken. */
static void take_up(Machine *m, const Side *side, double rate, const Gradient *gradient, int uses,
                    bool back, View image) {
  for (int k = 0; k < uses; k++) {
    View met = back ? gradient[k].y : gradient[k].x, taken = back ? gradient[k].x : gradient[k].y,
         mixing = tape_table(m->tape, side->q.rows, met.rows, false);
    tape_average(m->tape, mixing, 1, side->q, met, 1);
    tape_product(m->tape, image, rate, mixing, taken, AS_IS);
  }
}

static void learn_side(Machine *m, Side *side, const Move *move, double cross,
                       const Gradient *gradient, int uses, bool back) {
  if (!side->q.rows) return;
  if (move_remembers(move)) {
    if (side->velocity.slab < 0)
      side->velocity = tape_keep(m->tape, tape_same(m->tape, side->image));
    side->velocity = machine_move_on(m, side->velocity, move->beta, NO_VIEW, 0);
    take_up(m, side, cross, gradient, uses, back, side->velocity);
  }
  side->image = machine_move_on(m, side->image, move->keep, side->velocity, move->push);
  if (move->pull != 0) take_up(m, side, move->pull * cross, gradient, uses, back, side->image);
}

static void learn(Machine *m, void *state, const Move *move, const View *force, int uses) {
  Framed *s = state;
  const Program *p = m->p;
  Gradient *gradient = mem_new((size_t)uses + 1, sizeof *gradient);
  for (int use = s->matrix->weights, k = 0; use < p->matrix_count && k < uses; use++) {
    const Matrix *matrix = &p->matrices[use];
    if (matrix->weights != s->matrix->weights || matrix->x < 0) continue;
    gradient[k] = gradient_of(m, matrix, force[k]);
    k++;
  }
  learn_side(m, &s->x, move, 1, gradient, uses, false);
  learn_side(m, &s->y, move, s->rho, gradient, uses, true);
  s->share *= move->keep;
  free(gradient);
}

static double bytes(const MachinePlan *plan, int matrix, double S, double steps) {
  const Program *p = plan->program;
  double rows = (double)rows_of(p, p->matrices[matrix].y), met = rows * (steps + 1),
         rank = fmin(met, S);
  return 8 * (4 * rank * S + 2 * met * S + met * met +
              (plan->record ? steps : 1) * (2 * rank * S + 6 * rows * S));
}

const MatrixKind framed = {"framed", begin, apply, learn, NULL, end, bytes, NULL, NULL, NULL, NULL};

/* ---- the scout ---- */

size_t framed_passive(const Frame *frame, int space) {
  return frame->measures ? frame->events[space] : 0;
}

static FrameSide frame_side(const Machine *m, int matrix, bool back, size_t columns) {
  MetSide met = sequential_side(m, matrix, back);
  size_t rank = met.q.rows;
  FrameSide f = {.q = square(rank, columns),
                 .axis = mem_new(rank + 1, sizeof *f.axis),
                 .known = mem_new(rank + 1, sizeof *f.known),
                 .rank = rank};
  for (size_t i = 0; i < rank && f.q; i++) {
    const double *noise = tape_data(m->tape, view_rows(met.noise, i, 1));
    axpy(columns, 1 / sqrt((double)m->plan.columns), tape_data(m->tape, view_rows(met.q, i, 1)),
         f.q + i * columns);
    while (noise[f.axis[i]] == 0) f.axis[i]++;
    f.known[i] = met.known[i];
  }
  return f;
}

/* How much each side will have met in the end, in how many calls, and the columns for its events
 * behind those of the others of its population. */
static void place_events(const Program *p, Frame *frame) {
  for (int i = 0; i < p->op_count; i++) {
    const Op *op = &p->ops[i];
    bool back = op->kind == OP_APPLY_T;
    if (!back && op->kind != OP_APPLY) continue;
    int root = p->matrices[op->matrix].weights;
    if (!is_wide_matrix(p, &p->matrices[root])) continue;
    FrameSide *side = back ? &frame->y[root] : &frame->x[root];
    size_t times = op->once ? 1 : machine_moves(p) + 1;
    side->met += times * rows_of(p, op->src[0]) / repeated(p, op->matrix, back);
    side->calls += times;
  }
  for (int k = 0; k < p->matrix_count; k++)
    for (int back = 0; back < 2; back++) {
      FrameSide *side = back ? &frame->y[k] : &frame->x[k];
      size_t *used = &frame->events[back ? p->matrices[k].from : p->matrices[k].to];
      side->event = *used;
      *used += side->met;
      side->response = mem_new(side->calls + 1, sizeof *side->response);
      side->calls = 0;
    }
}

/* False if memory ran out. */
static bool take_frame(const Machine *m, Frame *frame) {
  const Program *p = m->p;
  bool fine = true;
  *frame = (Frame){.matrix_count = p->matrix_count,
                   .x = mem_new((size_t)p->matrix_count + 1, sizeof *frame->x),
                   .y = mem_new((size_t)p->matrix_count + 1, sizeof *frame->y),
                   .columns = 1,
                   .events = mem_new((size_t)p->space_count + 1, sizeof *frame->events)};
  for (int i = 0; i < p->space_count; i++)
    if ((size_t)m->noise_count[i] > frame->columns) frame->columns = (size_t)m->noise_count[i];
  for (int k = 0; k < p->matrix_count; k++) {
    if (p->matrices[k].weights != k || !is_wide_matrix(p, &p->matrices[k])) continue;
    frame->x[k] = frame_side(m, k, false, frame->columns);
    frame->y[k] = frame_side(m, k, true, frame->columns);
    fine = fine && frame->x[k].q && frame->y[k].q;
  }
  place_events(p, frame);
  return fine;
}

Status framed_scout(const MachinePlan *plan, Frame *frame, int *failed_at) {
  MachinePlan scout = *plan;
  Machine m;
  *frame = (Frame){0};
  scout.hidden = &sequential;
  scout.frame = NULL;
  scout.record = false;
  Status status = machine_run(&scout, &m, failed_at);
  if (status != STATUS_OK) return status;
  bool taken = take_frame(&m, frame);
  machine_free(&m);
  *failed_at = 0;
  if (!taken || plan->independent) return taken ? STATUS_OK : STATUS_LIMIT;
  scout.hidden = &framed;
  scout.frame = frame;
  scout.columns = frame->columns;
  frame->measures = true;
  status = machine_run(&scout, &m, failed_at);
  frame->measures = false;
  if (status == STATUS_OK) machine_free(&m);
  return status;
}

static void free_side(FrameSide *side) {
  free(side->q);
  free(side->axis);
  free(side->known);
  for (size_t i = 0; i < side->calls; i++) free(side->response[i]);
  free(side->response);
}

void frame_free(Frame *frame) {
  for (int k = 0; k < frame->matrix_count; k++) {
    free_side(&frame->x[k]);
    free_side(&frame->y[k]);
  }
  free(frame->x);
  free(frame->y);
  free(frame->events);
  *frame = (Frame){0};
}
