/* SPDX-License-Identifier: GPL-3.0-or-later */
/* W *= k, with a number k that the step computes. W is c times a matrix V of the system, with a
 * number c that is carried along: W x = c V x, what W takes up V takes up over c, and where W is
 * multiplied c is. All else, gradients and tangents, sees acts that it knows. */
#include "model/acts.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

int carry_one(Builder *b) {
  Shape shape = {.population = NO_POPULATION};
  int before = b->system->act_count, one = hold_full(b, shape, 1);
  bring_forward(b, before);
  return carry(b, shape, one);
}

int measure_of(const Builder *b, int matrix) {
  for (int k = 0; k < b->measure_count; k++)
    if (b->measures[k][0] == matrix) return b->measures[k][1];
  return -1;
}

/* op(x, c) of two variables, into `dst`. */
static void combine(Builder *b, int dst, Prim op, int x, int c) {
  ExprPool *pool = b->eval->pool;
  const Expr *e = expr_call(pool, op, expr_arg(pool, x), expr_arg(pool, c), NULL);
  add_act(b, (Act){.kind = ACT_MAP, .dst = dst, .expr = e}, 2, (int[]){x, c});
}

static int combined(Builder *b, Prim op, int x, int c) {
  int dst = new_variable(b, NULL, b->system->variables[x].shape);
  combine(b, dst, op, x, c);
  return dst;
}

/* The act once more, in terms of V; *c is its measure now. */
static void measured(Builder *b, Act act, int *c) {
  Shape number = {.population = NO_POPULATION};
  int image;
  switch (act.kind) {
  case ACT_APPLY:
  case ACT_APPLY_T:
    image = new_variable(b, NULL, b->system->variables[act.dst].shape);
    add_act(b, (Act){.kind = act.kind, .dst = image, .matrix = act.matrix}, 1, act.src);
    combine(b, act.dst, PRIM_MUL, image, *c);
    break;
  case ACT_OUTER: {
    int src[] = {combined(b, PRIM_DIV, act.src[0], *c), act.src[1]};
    add_act(b, (Act){.kind = act.kind, .dst = -1, .matrix = act.matrix}, 2, src);
    break;
  }
  case ACT_REDRAW:
    *c = hold_full(b, number, 1);
    add_act(b, act, 0, NULL);
    break;
  default: /* ACT_DECAY */
    if (act.count)
      *c = combined(b, PRIM_MUL, act.src[0], *c);
    else
      add_act(b, act, 0, NULL);
  }
}

static bool changes_or_acts(const Act *act, int matrix) {
  bool use = act->kind == ACT_APPLY || act->kind == ACT_APPLY_T || act->kind == ACT_OUTER ||
             act->kind == ACT_DECAY || act->kind == ACT_REDRAW;
  return use && act->matrix == matrix;
}

static void measure(Builder *b, int matrix) {
  System *s = b->system;
  int state = carry_one(b), c = state, first = s->start_count, count = s->act_count - first;
  Act *own = mem_new((size_t)count + 1, sizeof *own);
  memcpy(own, s->acts + first, (size_t)count * sizeof *own);
  s->act_count = first;
  for (int i = 0; i < count; i++) {
    if (changes_or_acts(&own[i], matrix)) {
      measured(b, own[i], &c);
      free(own[i].src);
    } else {
      s->acts = mem_more(s->acts, s->act_count, sizeof *s->acts);
      s->acts[s->act_count++] = own[i];
    }
  }
  free(own);
  carry_on(b, state, expr_arg(b->eval->pool, c));
  b->measures = mem_grow(b->measures, (size_t)(b->measure_count + 1) * sizeof *b->measures);
  b->measures[b->measure_count][0] = matrix;
  b->measures[b->measure_count++][1] = b->carried_count - 1;
}

void measure_matrices(Builder *b) {
  const System *s = b->system;
  for (int k = 0; k < s->matrix_count; k++) {
    bool computed = false;
    for (int i = s->start_count; i < s->act_count; i++)
      computed |= s->acts[i].kind == ACT_DECAY && s->acts[i].matrix == k && s->acts[i].count;
    if (computed) measure(b, k);
  }
}
