/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Momentum of matrices that descend at one rate. W - W(0) is the sum over former steps s of
 * -eta (1 - beta^(t - s)) / (1 - beta) G(s), G what a step of descent takes up, and so it is that
 * of two matrices that act together: W takes up G / (1 - beta), and its twin V, which starts
 * without entries, first keeps the part beta of itself and then takes up -beta G / (1 - beta), or
 * -beta^2 with Nesterov's look ahead. */
#include "model/acts.h"
#include "base/memory.h"
#include "model/builtins.h"

#include <stdlib.h>
#include <string.h>

static bool acts_on(const Act *act, int matrix) {
  return act->matrix == matrix && (act->kind == ACT_APPLY || act->kind == ACT_APPLY_T);
}

/* Behind a use of the matrix its twin acts, and the image is the sum. */
static void join_twin(Builder *b, int i, int twin) {
  System *s = b->system;
  Act use = s->acts[i];
  Shape shape = s->variables[use.dst].shape;
  int parts[2] = {new_variable(b, NULL, shape), new_variable(b, NULL, shape)}, src = use.src[0];
  const Expr *sum = expr_call(b->eval->pool, PRIM_ADD, expr_arg(b->eval->pool, parts[0]),
                              expr_arg(b->eval->pool, parts[1]), NULL);
  int end = s->act_count;
  s->acts[i].dst = parts[0];
  add_act(b, (Act){.kind = use.kind, .dst = parts[1], .matrix = twin}, 1, &src);
  add_act(b, (Act){.kind = ACT_MAP, .dst = use.dst, .expr = sum}, 2, parts);
  bring_acts(b, end, i + 1);
}

int twin_of(const Builder *b, int matrix) {
  for (int k = 0; k < b->twin_count; k++)
    if (b->twins[k][0] == matrix) return b->twins[k][1];
  return -1;
}

int twin_new(Builder *b, int matrix) {
  System *s = b->system;
  SystemMatrix own = s->matrices[matrix];
  for (int i = s->start_count; i < s->act_count; i++)
    if (s->acts[i].kind == ACT_DECAY && s->acts[i].matrix == matrix) return -1;
  if (own.symmetric || twin_of(b, matrix) >= 0) return -1;
  char *name = mem_format("%s velocity", own.name);
  SystemMatrix blank = {.from = own.from, .to = own.to, .sigma = 0};
  int twin = new_matrix(b, name, blank)->matrix.index;
  free(name);
  for (int i = s->start_count; i < s->act_count; i++)
    if (acts_on(&s->acts[i], matrix)) join_twin(b, i, twin);
  b->twins = mem_grow(b->twins, (size_t)(b->twin_count + 1) * sizeof *b->twins);
  b->twins[b->twin_count][0] = matrix;
  b->twins[b->twin_count++][1] = twin;
  return twin;
}
