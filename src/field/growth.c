/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How the entries of variables grow, at most, with the normal numbers that they are made of: as
 * which power. Of bounded functions it is 0, of linear ones and of rectifiers 1, of products the
 * sum; of exponentials it is none. What matrices take up goes back into their images, so that
 * powers above 1 become larger with every step. */
#include "base/memory.h"
#include "field/program.h"

#include <math.h>
#include <stdlib.h>

/* Powers of more than this are seen as such: functions near their slope at infinity are not. */
static const double LINEAR = 1.2;

typedef struct Growth {
  const Program *p;
  double *of;    /* [variable] */
  double *taken; /* [matrix]: of what its updates are made of */
} Growth;

/* |f| with arguments of this size, of one sign, and one of them 0. */
static double size_at(const Growth *g, const Op *op, double scale, int sign, int zero) {
  double args[OP_MAX_ARGS];
  for (int i = 0; i < op->src_count; i++)
    args[i] = i == zero ? 0 : sign * pow(scale, g->of[op->src[i]]);
  return fabs(expr_eval(op->expr, args));
}

/* The power by which a function grows between two sizes of its arguments that are both far out. */
static double map_growth(const Growth *g, const Op *op) {
  static const double near = 16, far = 64;
  double most = 0;
  for (int sign = -1; sign <= 1; sign += 2)
    for (int zero = -1; zero < op->src_count; zero++) {
      double b = size_at(g, op, far, sign, zero);
      if (!isfinite(b)) return INFINITY;
      if (b > 0) most = fmax(most, log(b / size_at(g, op, near, sign, zero)) / log(far / near));
    }
  return most;
}

static double most_of_sources(const Growth *g, const Op *op) {
  double most = 0;
  for (int i = 0; i < op->src_count; i++)
    if (is_wide_variable(g->p, op->src[i])) most = fmax(most, g->of[op->src[i]]);
  return most;
}

static double growth_after(const Growth *g, const Op *op) {
  if (op->kind == OP_MAP) return map_growth(g, op);
  if (op->kind == OP_NOISE) return 1;
  if (!is_product(op)) return most_of_sources(g, op);
  return fmax(1, g->taken[g->p->matrices[op->matrix].weights]);
}

/* What the matrix of this op takes up: of a training, all uses of it with what they met. */
static void take_up(Growth *g, const Op *op) {
  double *taken = &g->taken[g->p->matrices[op->matrix].weights];
  if (op->kind == OP_OUTER) *taken = fmax(*taken, most_of_sources(g, op));
  for (int k = 0; op->kind == OP_LEARN && k < g->p->matrix_count; k++) {
    const Matrix *m = &g->p->matrices[k];
    if (m->weights != g->p->matrices[op->matrix].weights) continue;
    const int met[] = {m->x, m->learns};
    for (int side = 0; side < 2; side++)
      if (met[side] >= 0 && is_wide_variable(g->p, met[side]))
        *taken = fmax(*taken, g->of[met[side]]);
  }
}

static bool is_averaging(const Op *op) {
  return op->kind == OP_AVERAGE || op->kind == OP_MOMENT || is_product(op);
}

/* One step. Whether something is averaged that grows faster than normal numbers. */
static bool take_step(Growth *g) {
  bool heavy = false;
  for (const Op *op = g->p->ops; op < g->p->ops + g->p->op_count && !heavy; op++) {
    if (op->kind == OP_OUTER || op->kind == OP_LEARN) take_up(g, op);
    if (op->dst >= 0 && is_wide_variable(g->p, op->dst))
      g->of[op->dst] = fmax(g->of[op->dst], growth_after(g, op));
    heavy = is_averaging(op) && most_of_sources(g, op) > LINEAR;
  }
  return heavy;
}

bool program_grows(const Program *p) {
  enum { STEPS = 3 }; /* from a readout to the first layer, and back */
  Growth g = {p, mem_new((size_t)p->variable_count + 1, sizeof(double)),
              mem_new((size_t)p->matrix_count + 1, sizeof(double))};
  bool heavy = false;
  for (int t = 0; t < STEPS && !heavy; t++) heavy = take_step(&g);
  free(g.of);
  free(g.taken);
  return heavy;
}
