/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A square random matrix whose entries (i, j) and (j, i) have correlation tau, and whose diagonal
 * has variance 1 + tau, conditioned on what it meets as in sequential.c. One set of orthonormal
 * directions q serves both sides; of them, in order of creation,
 *
 *     W q_k = chi_k = s n_k + sum_{j<k} [tau <q_k chi_j> + (sqrt(1 - tau^2) - 1) s <q_j n_k>] q_j
 *                           + (sqrt(1 + tau) - 1) s <q_k n_k> q_k
 *     W x = L chi + tau <rest chi> q                                     x = L q + rest
 *
 * with fresh noise n and s = sigma. For tau = 1 and -1 the transpose is tau W. In between, a matrix
 * whose transpose acts is the sum of a symmetric and an antisymmetric one,
 * W = sqrt((1 + tau)/2) S + sqrt((1 - tau)/2) A, each with directions of its own. What it has
 * learned is a table in the first directions. */
#include "base/memory.h"
#include "machine/machine.h"

#include <math.h>
#include <stdlib.h>

typedef struct Half {
  double tau, share; /* W has `share` of it */
  View q, image, noise;
} Half;

typedef struct Mirror {
  const Matrix *matrix;
  double share; /* what decay has left */
  Half half[2];
  int halves;
  View learned; /* M [q.rows, q.rows] of the first half: W x gains L M q */
} Mirror;

static bool acts_backward(const Program *p, int matrix) {
  for (int i = 0; i < p->op_count; i++)
    if (p->ops[i].kind == OP_APPLY_T && p->ops[i].matrix == matrix) return true;
  return false;
}

static Half new_half(Machine *m, int space, double tau, double share) {
  Tape *tape = m->tape;
  return (Half){tau, share, tape_keep(tape, machine_rows(m, space, 0, false)),
                tape_keep(tape, machine_rows(m, space, 0, false)),
                tape_keep(tape, machine_rows(m, space, 0, true))};
}

static void *begin(Machine *m, int k) {
  const Matrix *matrix = &m->p->matrices[k];
  int space = m->population[matrix->to];
  double tau = matrix->tau;
  bool two = fabs(tau) < 1 && acts_backward(m->p, k);
  Mirror *s = mem_new(1, sizeof *s);
  *s = (Mirror){.matrix = matrix, .share = 1, .halves = two ? 2 : 1, .learned = NO_VIEW};
  s->half[0] = new_half(m, space, two ? 1 : tau, two ? sqrt((1 + tau) / 2) : 1);
  if (two) s->half[1] = new_half(m, space, -1, sqrt((1 - tau) / 2));
  return s;
}

static void end(void *state) { free(state); }

static int blocks(const Machine *m, const void *state, int space, NoiseBlock *out) {
  const Mirror *s = state;
  int n = 0;
  for (int h = 0; h < s->halves && s->matrix->to == space; h++) {
    const View views[] = {s->half[h].noise, s->half[h].q};
    for (int i = 0; i < 2; i++)
      if (views[i].rows) out[n++] = machine_block(m, views[i]);
  }
  return n;
}

/* The image of direction k, those before it being there; see the head. */
static void make_image(Machine *m, Half *half, double spread, size_t k, bool orthogonal) {
  Tape *tape = m->tape;
  double tau = half->tau;
  bool fluctuates = !orthogonal || m->plan.record;
  View q = view_rows(half->q, k, 1), n = view_rows(half->noise, k, 1),
       image = view_rows(half->image, k, 1), before = view_rows(half->q, 0, k);
  tape_copy(tape, image, spread, n);
  if (k) {
    View overlap = tape_table(tape, 1, k, false);
    if (fabs(tau) > 0 && !m->plan.independent)
      tape_average(tape, overlap, tau, q, view_rows(half->image, 0, k), 1);
    if (fluctuates) tape_average(tape, overlap, (sqrt(1 - tau * tau) - 1) * spread, n, before, 1);
    tape_product(tape, image, 1, overlap, before, AS_IS);
  }
  if (!fluctuates) return;
  View own = tape_table(tape, 1, 1, false);
  tape_average(tape, own, (sqrt(1 + tau) - 1) * spread, n, q, 1);
  tape_product(tape, image, 1, own, q, AS_IS);
}

static void make_images(Machine *m, const Mirror *s, Half *half) {
  size_t before = half->image.rows, fresh = half->q.rows - before;
  if (!fresh) return;
  bool orthogonal = machine_draw(m, s->matrix->to, &half->noise, fresh);
  half->image = tape_grow(m->tape, half->image, fresh);
  for (size_t k = before; k < half->q.rows && !tape_failed(m->tape) && !m->exhausted; k++)
    make_image(m, half, s->matrix->sigma, k, orthogonal);
}

/* out += c (L chi + tau <rest chi> q) */
static View apply_half(Machine *m, const Mirror *s, Half *half, double c, View x, View out) {
  Tape *tape = m->tape;
  View rest, L = machine_meet(m, &half->q, x, &rest);
  make_images(m, s, half);
  if (tape_failed(tape) || m->exhausted) return L;
  tape_product(tape, out, c, L, half->image, AS_IS);
  if (rest.slab < 0 || !(fabs(half->tau) > 0) || m->plan.independent) return L;
  View overlap = tape_table(tape, x.rows, half->image.rows, false);
  tape_average(tape, overlap, c * half->tau, rest, half->image, 1);
  tape_product(tape, out, 1, overlap, half->q, AS_IS);
  return L;
}

static void apply(Machine *m, void *state, int use, bool back, View x, View out) {
  Mirror *s = state;
  View first = NO_VIEW;
  (void)use;
  for (int h = 0; h < s->halves && !tape_failed(m->tape) && !m->exhausted; h++) {
    Half *half = &s->half[h];
    double sign = back ? half->tau : 1;
    View L = apply_half(m, s, half, sign * half->share * s->share, x, out);
    if (h == 0) first = L;
  }
  View M = s->learned;
  if (M.slab < 0 || tape_failed(m->tape) || m->exhausted) return;
  View mixed = tape_table(m->tape, x.rows, M.cols, false);
  tape_product(m->tape, mixed, 1, view_cols(first, 0, M.rows), M, back ? TRANSPOSE_B : AS_IS);
  tape_product(m->tape, out, 1, mixed, view_rows(s->half[0].q, 0, M.cols), AS_IS);
}

static void take(Machine *m, void *state, View y, View x) {
  Mirror *s = state;
  machine_take(m, &s->learned, &s->half[0].q, &s->half[0].q, x, y);
}

static void decay(Machine *m, void *state, double keep) {
  Mirror *s = state;
  s->share *= keep;
  machine_decay(m, &s->learned, keep);
}

static double bytes(const MachinePlan *plan, int matrix, double S, double steps) {
  const Program *p = plan->program;
  double rows = (double)most_rows(p), rank = fmin(steps * rows, S);
  (void)matrix;
  return 2 * 2 * 3 * rank * S * machine_number(plan) +
         8 * (plan->record ? steps : 1) * (3 * rank * rank + 4 * rows * S);
}

static void pieces(Machine *m, void *state, Piece *piece, void *sink) {
  Mirror *s = state;
  (void)m;
  piece(sink, &s->share, sizeof s->share);
  views_pieces(&s->learned, 1, piece, sink);
  for (int h = 0; h < s->halves; h++) {
    views_pieces(&s->half[h].q, 1, piece, sink);
    views_pieces(&s->half[h].image, 1, piece, sink);
    views_pieces(&s->half[h].noise, 1, piece, sink);
  }
}

const MatrixKind mirrored = {"mirrored", begin, apply, NULL, blocks, end,
                             bytes,      take,  decay, NULL, pieces};
