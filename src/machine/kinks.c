/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "machine/kinks.h"

#include <math.h>

enum { MOST_JUMPS = 16 };

typedef struct Rounding {
  ExprPool *pool;
  double width;
  const Expr *round[MOST_JUMPS], *sharp[MOST_JUMPS];
  int count;
  bool failed;
} Rounding;

static const Expr *call(Rounding *r, Prim prim, const Expr *x, const Expr *y) {
  return expr_call(r->pool, prim, x, y, NULL);
}

/* (1 + erf(x / (b sqrt 2))) / 2 for step(x) */
static const Expr *rounded_step(Rounding *r, const Expr *x) {
  const Expr *scaled = call(r, PRIM_MUL, expr_const(r->pool, 1 / (r->width * sqrt(2))), x);
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

static const Expr *rounded(Rounding *r, const Expr *e) {
  if (expr_is_smooth(e)) return e;
  const Expr *arg[3] = {NULL, NULL, NULL};
  for (int k = 0; k < prim_arity(e->prim); k++) arg[k] = rounded(r, e->arg[k]);
  switch (e->prim) {
  case PRIM_STEP: return rounded_step(r, arg[0]);
  case PRIM_SIGN:
    return call(r, PRIM_SUB, call(r, PRIM_MUL, expr_const(r->pool, 2), rounded_step(r, arg[0])),
                expr_const(r->pool, 1));
  case PRIM_LT:
  case PRIM_LE: return rounded_step(r, call(r, PRIM_SUB, arg[1], arg[0]));
  case PRIM_EQ: return expr_const(r->pool, 0);
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

TapeMap *kinks_map(ExprPool *pool, const Expr *e, int count, double width) {
  const Expr *slope[count];
  Rounding r = {.pool = pool, .width = width};
  const Expr *smooth = width > 0 ? rounded(&r, e) : e;
  for (int k = 0; k < count; k++) slope[k] = sharpened(&r, expr_diff(pool, smooth, k));
  return tape_map_new(e, slope, count);
}

bool kinks_round(ExprPool *pool, const Expr *e) {
  Rounding r = {.pool = pool, .width = 1};
  rounded(&r, e);
  return !r.failed;
}
