/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/proportion.h"
#include "base/memory.h"
#include "model/derive.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NOTHING = -1 };

static bool refuse(Builder *b, Span span, const char *what) {
  eval_error(b->eval, span, NULL, "%s", what);
  return false;
}

/* ---- populations and matrices ---- */

/* The neurons of a layer of this size, in units of D: as many of others are these. */
static int neurons_of(Builder *b, double ratio, int inputs) {
  System *s = b->system;
  int count = 0;
  for (int i = 0; i < s->population_count; i++) {
    bool own = strncmp(s->populations[i].name, "neurons", 7) == 0;
    count += own;
    if (own && i > inputs && fabs(s->populations[i].ratio - ratio) < 1e-12 * ratio) return i;
  }
  char *name = count ? mem_format("neurons_%d", count + 1) : mem_string("neurons");
  s->populations =
      mem_grow(s->populations, (size_t)(s->population_count + 1) * sizeof *s->populations);
  s->populations[s->population_count] = (SystemPopulation){name, ratio};
  return s->population_count++;
}

/* Whether the map is linear in the fields before it, with their numbers as coefficients. */
static bool is_linear(Builder *b, const Expr *e, int count) {
  double *zeros = mem_new((size_t)count + 1, sizeof *zeros);
  bool linear = !(fabs(expr_eval(e, zeros)) > 0);
  for (int i = 0; i < count && linear; i++)
    linear = expr_diff(b->eval->pool, e, i)->prim == PRIM_CONST;
  free(zeros);
  return linear;
}

bool proportion_refuses_windows(Eval *eval, const Layer *layer) {
  eval_error(eval, layer->span,
             "a filter of windows that grow is a system: matrix X[Q] : window -> data, X[q] @ w",
             "data that grow have no positions");
  return false;
}

static bool place_matrix(Builder *b, Proportion *p, const Layer *layer, int index, int k,
                         int inputs) {
  const LayerStep *step = &layer->steps[k];
  const LayerMatrix *m = &layer->matrices[step->matrix];
  double base = p->nu * b->system->populations[inputs].ratio;
  int from = p->neurons[index][step->source];
  if (m->window) return proportion_refuses_windows(b->eval, layer);
  if (m->scales || p->matrix[index][step->matrix] != NOTHING)
    return refuse(b, layer->span,
                  "where widths grow with the data a matrix acts once, on all inputs alike");
  int to = m->ratio > 0 || from == inputs
               ? neurons_of(b, base * (m->ratio > 0 ? m->ratio : 1), inputs)
               : from;
  SystemMatrix matrix = {.from = from, .to = to, .sigma = m->sigma};
  char *name = mem_format("%s%d", m->name, index + 1);
  p->matrix[index][step->matrix] = new_matrix(b, name, matrix)->matrix.index;
  free(name);
  p->neurons[index][k + 1] = to;
  return true;
}

static bool place_map(Builder *b, Proportion *p, const Layer *layer, int index, int k) {
  const Expr *e = layer->steps[k].expr;
  int own = NOTHING;
  if (!is_linear(b, e, k + 1))
    return refuse(b, layer->span,
                  "layers whose widths grow with the data are linear, without biases: what bends "
                  "has a 'width' of few neurons");
  for (int i = 0; i <= k; i++) {
    if (!expr_depends(e, i)) continue;
    int other = p->neurons[index][i];
    if (other == NOTHING || (own != NOTHING && own != other))
      return refuse(b, layer->span,
                    other == NOTHING ? "layers whose widths grow with the data have no biases"
                                     : "this layer combines fields of different widths");
    own = other;
  }
  p->neurons[index][k + 1] = own;
  return true;
}

static bool place_layer(Builder *b, Proportion *p, const Layer *layer, int index, int inputs) {
  for (int k = 0; k < layer->step_count; k++) {
    const LayerStep *step = &layer->steps[k];
    p->neurons[index][k + 1] = NOTHING;
    if (step->kind == STEP_BIAS) continue;
    if (step->kind != STEP_APPLY && step->kind != STEP_MAP)
      return refuse(b, layer->span,
                    "layers whose widths grow with the data are linear: dense(linear), "
                    "residual(linear)");
    bool sound = step->kind == STEP_APPLY ? place_matrix(b, p, layer, index, k, inputs)
                                          : place_map(b, p, layer, index, k);
    if (!sound) return false;
  }
  return true;
}

static void place_readout(Builder *b, Proportion *p, const LayerMatrix *m, Shape shape) {
  const Expr *w = number(b, m->mean);
  if (m->sigma > 0)
    w = two(b, PRIM_ADD, w,
            times(b, number(b, m->sigma), made(b, ACT_NORMAL, shape, (Act){0}, 0, NULL)));
  else
    w = made(b, ACT_FILL, shape, (Act){.number = m->mean}, 0, NULL);
  p->readout[0] = hold(b, w);
  p->readout[1] = m->rate > 0 ? carry(b, shape, p->readout[0]) : p->readout[0];
  char **name = &b->system->variables[p->readout[1]].name;
  free(*name);
  *name = mem_string("w");
}

bool proportion_begin(Builder *b, Proportion *p, const Layer *layers, int count, int inputs,
                      size_t outputs) {
  int last = count - 1, now = inputs;
  p->inputs = inputs;
  p->matrix = mem_new((size_t)count, sizeof *p->matrix);
  p->neurons = mem_new((size_t)count, sizeof *p->neurons);
  for (int i = 0; i < last; i++) {
    const Layer *layer = &layers[i];
    p->matrix[i] = mem_new((size_t)layer->matrix_count + 1, sizeof(int));
    p->neurons[i] = mem_new((size_t)layer->step_count + 1, sizeof(int));
    for (int k = 0; k < layer->matrix_count; k++) p->matrix[i][k] = NOTHING;
    p->neurons[i][0] = now;
    if (!place_layer(b, p, layer, i, inputs)) return false;
    now = p->neurons[i][layer->result];
    if (now == NOTHING)
      return refuse(b, layer->span, "layers whose widths grow with the data have no biases");
  }
  place_readout(b, p, &layers[last].matrices[0],
                (Shape){.population = now, .rank = outputs > 0, .size = {outputs}});
  return true;
}

void proportion_end(Proportion *p, int count) {
  for (int i = 0; i < count && p->matrix; i++) {
    free(p->matrix[i]);
    free(p->neurons[i]);
  }
  free(p->matrix);
  free(p->neurons);
}

/* ---- the network as one vector ---- */

/* What the vector behind a layer is in front of it: its steps, transposed, from the last on. */
static const Expr *pull(Builder *b, const Proportion *p, const Layer *layer, int index,
                        const Expr *a) {
  const Expr **bar = mem_new((size_t)layer->step_count + 1, sizeof *bar);
  bar[layer->result] = a;
  for (int k = layer->step_count - 1; k >= 0; k--) {
    const LayerStep *step = &layer->steps[k];
    if (!bar[k + 1]) continue;
    if (step->kind == STEP_APPLY) {
      const LayerMatrix *m = &layer->matrices[step->matrix];
      int src = hold(b, bar[k + 1]);
      Shape shape = own_shape(b, src);
      shape.population = p->neurons[index][step->source];
      const Expr *image =
          made(b, ACT_APPLY_T, shape, (Act){.matrix = p->matrix[index][step->matrix]}, 1, &src);
      image = times(b, number(b, m->factor / sqrt(m->parts)), image);
      bar[step->source] = sum_of(b, bar[step->source], image);
      continue;
    }
    for (int i = 0; i <= k; i++)
      if (expr_depends(step->expr, i))
        bar[i] = sum_of(b, bar[i], times(b, expr_diff(b->eval->pool, step->expr, i), bar[k + 1]));
  }
  const Expr *front = bar[0];
  free(bar);
  return front;
}

const Expr *proportion_vector(Builder *b, const Proportion *p, const Layer *layers, int count) {
  const System *s = b->system;
  int neurons = s->variables[p->readout[0]].shape.population;
  double last = s->populations[neurons].ratio / s->populations[p->inputs].ratio,
         factor = p->gamma > 0 ? 1 / (p->gamma * p->nu) : 1 / sqrt(last);
  const LayerMatrix *m = &layers[count - 1].matrices[0];
  const Expr *v = variable(b, p->readout[b->step]);
  v = times(b, number(b, factor * m->factor), v);
  for (int i = count - 2; i >= 0; i--) v = pull(b, p, &layers[i], i, v);
  return v;
}

/* ---- descent ---- */

bool proportion_descend(Builder *b, const Proportion *p, const Layer *layers, int count, int top,
                        const Descent *d, Span span) {
  const System *s = b->system;
  Units *units = mem_new((size_t)s->matrix_count + 1, sizeof *units);
  /* eta gamma^2 N, or eta D, dloss / dtheta; a descent takes N_to of the layer in place of these */
  double dimensions = s->populations[p->inputs].ratio,
         speed = dimensions * (p->gamma > 0 ? p->gamma * p->gamma * p->nu : 1);
  for (int i = 0; i + 1 < count; i++)
    for (int k = 0; k < layers[i].matrix_count; k++) {
      int m = p->matrix[i][k];
      if (m == NOTHING) continue;
      double own = s->populations[s->matrices[m].to].ratio;
      units[m] = (Units){.in = speed / own, .out = 1, .rate = layers[i].matrices[k].rate};
    }
  int neurons = s->variables[p->readout[0]].shape.population;
  Units last = {.in = speed / s->populations[neurons].ratio,
                .out = 1,
                .rate = layers[count - 1].matrices[0].rate};
  const Expr *g = NULL, *x = variable(b, p->readout[1]);
  int state = last.rate > 0 ? p->readout[1] : NOTHING, matrices = s->matrix_count;
  const char *why = system_move(b, top, d, units, matrices, state, &g);
  free(units);
  if (why) return refuse(b, span, why);
  if (last.rate > 0) carry_on(b, p->readout[1], g ? descent_move(b, d, last, x, g) : x);
  return true;
}
