/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "machine/kinks.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>

enum { MOST_JUMPS = 16 };

typedef struct Rounding {
  ExprPool *pool;
  const bool *wide;   /* or NULL */
  const Kinks *kinks; /* or NULL: over a width of 1 */
  const Expr *round[MOST_JUMPS], *sharp[MOST_JUMPS];
  int count;
  bool failed;
} Rounding;

static const Expr *call(Rounding *r, Prim prim, const Expr *x, const Expr *y) {
  return expr_call(r->pool, prim, x, y, NULL);
}

/* How large something is, and how much of that differs from neuron to neuron. */
typedef struct Size {
  double value, spread;
} Size;

static Size size_of(const Kinks *k, const Expr *e);

static Size size_of_two(const Kinks *k, const Expr *e) {
  Size a = size_of(k, e->arg[0]), b = size_of(k, e->arg[1]);
  double power = pow(a.value, e->arg[1]->value), ratio = b.value > 0 ? a.value / b.value : 0;
  switch (e->prim) {
  case PRIM_MUL: return (Size){a.value * b.value, hypot(a.value * b.spread, a.spread * b.value)};
  case PRIM_DIV:
    return b.value > 0 ? (Size){ratio, hypot(a.spread, ratio * b.spread) / b.value} : (Size){0, 0};
  case PRIM_POW:
    if (e->arg[1]->prim == PRIM_CONST) return (Size){power, a.spread > 0 ? power : 0};
    return a;
  default: return (Size){hypot(a.value, b.value), hypot(a.spread, b.spread)};
  }
}

/* As if parts were independent, and functions not far from the identity. */
static Size size_of(const Kinks *k, const Expr *e) {
  if (e->prim == PRIM_CONST) return (Size){fabs(e->value), 0};
  if (e->prim == PRIM_ARG)
    return (Size){k->size[e->index], k->wide[e->index] ? k->size[e->index] : 0};
  if (prim_arity(e->prim) == 2) return size_of_two(k, e);
  return size_of(k, e->arg[prim_arity(e->prim) - 1]);
}

/* x / (b sqrt 2) for the width b */
static const Expr *in_widths(Rounding *r, const Expr *x, const Expr *sharp) {
  double spread = r->kinks ? size_of(r->kinks, sharp).spread : 1,
         width = r->kinks ? r->kinks->fraction * (spread > 0 ? spread : 1) : 1;
  return call(r, PRIM_MUL, expr_const(r->pool, 1 / (width * sqrt(2))), x);
}

/* (1 + erf(x / (b sqrt 2))) / 2 for step(x), where x is `sharp` with its own jumps rounded. */
static const Expr *rounded_step(Rounding *r, const Expr *x, const Expr *sharp) {
  const Expr *scaled = in_widths(r, x, sharp);
  const Expr *twice = call(r, PRIM_ADD, expr_const(r->pool, 1), call(r, PRIM_ERF, scaled, NULL));
  const Expr *round = call(r, PRIM_MUL, expr_const(r->pool, 0.5), twice);
  if (r->count == MOST_JUMPS) {
    r->failed = true;
  } else {
    r->round[r->count] = round;
    r->sharp[r->count++] = call(r, PRIM_STEP, x, NULL);
  }
  return round;
}

/* Whether something that is not negative may be 0 for some neurons. */
static bool may_vanish(const Expr *e, const bool *wide) {
  switch (e->prim) {
  case PRIM_CONST:
  case PRIM_EXP: return false;
  case PRIM_ARG: return wide[e->index];
  case PRIM_ADD: return may_vanish(e->arg[0], wide) && may_vanish(e->arg[1], wide);
  case PRIM_MUL: return may_vanish(e->arg[0], wide) || may_vanish(e->arg[1], wide);
  default: return prim_arity(e->prim) && may_vanish(e->arg[0], wide);
  }
}

/* Whether e is a ratio by the root of what may vanish, plus a constant or nothing. */
static bool is_sign(const Expr *e, const bool *wide) {
  if (e->prim != PRIM_DIV || !wide) return false;
  const Expr *root = e->arg[1];
  if (root->prim == PRIM_ADD) root = root->arg[root->arg[0]->prim == PRIM_CONST];
  return root->prim == PRIM_SQRT && may_vanish(root->arg[0], wide);
}

/* u / d, d > 0, by the sign of u: the distribution function stays in derivatives, where |u| / d
 * jumps as well. */
static const Expr *rounded_ratio(Rounding *r, const Expr *u, const Expr *d, const Expr *sharp) {
  return call(r, PRIM_MUL, call(r, PRIM_ERF, in_widths(r, u, sharp), NULL),
              call(r, PRIM_DIV, call(r, PRIM_ABS, u, NULL), d));
}

bool kinks_has(const Expr *e, const bool *wide) {
  if (is_sign(e, wide)) return true;
  for (int k = 0; k < prim_arity(e->prim); k++)
    if (kinks_has(e->arg[k], wide)) return true;
  return !expr_is_smooth(e);
}

static const Expr *rounded(Rounding *r, const Expr *e) {
  if (!kinks_has(e, r->wide)) return e;
  const Expr *arg[3] = {NULL, NULL, NULL};
  for (int k = 0; k < prim_arity(e->prim); k++) arg[k] = rounded(r, e->arg[k]);
  switch (e->prim) {
  case PRIM_STEP: return rounded_step(r, arg[0], e->arg[0]);
  case PRIM_SIGN:
    return call(r, PRIM_SUB,
                call(r, PRIM_MUL, expr_const(r->pool, 2), rounded_step(r, arg[0], e->arg[0])),
                expr_const(r->pool, 1));
  case PRIM_LT:
  case PRIM_LE:
    return rounded_step(r, call(r, PRIM_SUB, arg[1], arg[0]),
                        call(r, PRIM_SUB, e->arg[1], e->arg[0]));
  case PRIM_EQ: return expr_const(r->pool, 0);
  case PRIM_DIV:
    if (is_sign(e, r->wide)) return rounded_ratio(r, arg[0], arg[1], e->arg[0]);
    return call(r, PRIM_DIV, arg[0], arg[1]);
  case PRIM_SELECT: /* its condition becomes a probability */
    return call(r, PRIM_ADD, arg[2], call(r, PRIM_MUL, arg[0], call(r, PRIM_SUB, arg[1], arg[2])));
  default: return expr_call(r->pool, e->prim, arg[0], arg[1], arg[2]);
  }
}

static const Expr *sharpened(Rounding *r, const Expr *e) {
  for (int i = 0; i < r->count; i++)
    if (e == r->round[i]) return r->sharp[i];
  const Expr *arg[3] = {NULL, NULL, NULL};
  int arity = prim_arity(e->prim);
  for (int k = 0; k < arity; k++) arg[k] = sharpened(r, e->arg[k]);
  return arity ? expr_call(r->pool, e->prim, arg[0], arg[1], arg[2]) : e;
}

TapeMap *kinks_map(ExprPool *pool, const Expr *e, int count, const Kinks *kinks) {
  const Expr **slope = mem_new((size_t)count, sizeof *slope);
  Rounding r = {.pool = pool, .wide = kinks ? kinks->wide : NULL, .kinks = kinks};
  const Expr *smooth = kinks ? rounded(&r, e) : e;
  for (int k = 0; k < count; k++) slope[k] = sharpened(&r, expr_diff(pool, smooth, k));
  TapeMap *map = tape_map_new(e, slope, count);
  free(slope);
  return map;
}

bool kinks_round(ExprPool *pool, const Expr *e) {
  Rounding r = {.pool = pool};
  rounded(&r, e);
  return !r.failed;
}
