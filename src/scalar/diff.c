/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Symbolic differentiation: the chain rule over the primitives. */
#include "scalar/expr.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>

typedef struct Diff {
  ExprPool *pool;
  int index;
  const Expr **memo; /* by node id: shared subexpressions are differentiated once */
} Diff;

static const Expr *c(Diff *d, double value) { return expr_const(d->pool, value); }
static const Expr *f1(Diff *d, Prim p, const Expr *x) {
  return expr_call(d->pool, p, x, NULL, NULL);
}
static const Expr *f2(Diff *d, Prim p, const Expr *x, const Expr *y) {
  return expr_call(d->pool, p, x, y, NULL);
}
static const Expr *mul(Diff *d, const Expr *x, const Expr *y) { return f2(d, PRIM_MUL, x, y); }
static const Expr *sub(Diff *d, const Expr *x, const Expr *y) { return f2(d, PRIM_SUB, x, y); }
static const Expr *square(Diff *d, const Expr *x) { return f2(d, PRIM_POW, x, c(d, 2)); }

/* The derivative of a primitive of one argument, at x; e is the primitive itself at x. */
static const Expr *outer(Diff *d, const Expr *e) {
  const Expr *x = e->arg[0];
  switch (e->prim) {
  case PRIM_NEG: return c(d, -1);
  case PRIM_ABS: return f1(d, PRIM_SIGN, x);
  case PRIM_RELU: return f1(d, PRIM_STEP, x);
  case PRIM_EXP: return e;
  case PRIM_LOG: return f2(d, PRIM_DIV, c(d, 1), x);
  case PRIM_SQRT: return f2(d, PRIM_DIV, c(d, 0.5), e);
  case PRIM_SIN: return f1(d, PRIM_COS, x);
  case PRIM_COS: return f1(d, PRIM_NEG, f1(d, PRIM_SIN, x));
  case PRIM_TAN: return f2(d, PRIM_ADD, c(d, 1), square(d, e));
  case PRIM_ATAN: return f2(d, PRIM_DIV, c(d, 1), f2(d, PRIM_ADD, c(d, 1), square(d, x)));
  case PRIM_SINH: return f1(d, PRIM_COSH, x);
  case PRIM_COSH: return f1(d, PRIM_SINH, x);
  case PRIM_TANH: return sub(d, c(d, 1), square(d, e));
  case PRIM_ERF: return mul(d, c(d, M_2_SQRTPI), f1(d, PRIM_EXP, f1(d, PRIM_NEG, square(d, x))));
  case PRIM_SIGMOID: return mul(d, e, sub(d, c(d, 1), e));
  case PRIM_SOFTPLUS: return f1(d, PRIM_SIGMOID, x);
  default: return c(d, 0); /* sign, step and comparisons are flat between their jumps */
  }
}

static const Expr *diff(Diff *d, const Expr *e);

/* x^y: the constant exponent is by far the usual case and must not take log x of negative x. */
static const Expr *power(Diff *d, const Expr *e) {
  const Expr *x = e->arg[0], *y = e->arg[1];
  const Expr *by_base = mul(d, mul(d, y, f2(d, PRIM_POW, x, sub(d, y, c(d, 1)))), diff(d, x));
  if (!expr_depends(y, d->index)) return by_base;
  return f2(d, PRIM_ADD, by_base, mul(d, mul(d, e, f1(d, PRIM_LOG, x)), diff(d, y)));
}

static const Expr *quotient(Diff *d, const Expr *x, const Expr *y) { return f2(d, PRIM_DIV, x, y); }

/* z y' / y, without y where it is a root, a power or an exponential. */
static const Expr *by_logarithm(Diff *d, const Expr *z, const Expr *y) {
  const Expr *q = y->arg[0];
  switch (y->prim) {
  case PRIM_EXP: return mul(d, z, diff(d, q));
  case PRIM_SQRT: return quotient(d, mul(d, mul(d, c(d, 0.5), z), diff(d, q)), q);
  case PRIM_POW:
    if (expr_depends(y->arg[1], d->index)) break;
    return quotient(d, mul(d, mul(d, y->arg[1], z), diff(d, q)), q);
  default: break;
  }
  return quotient(d, mul(d, z, diff(d, y)), y);
}

static const Expr *rule(Diff *d, const Expr *e) {
  const Expr *x = e->arg[0], *y = e->arg[1];
  switch (e->prim) {
  case PRIM_CONST: return c(d, 0);
  case PRIM_ARG: return c(d, e->index == d->index);
  case PRIM_ADD: return f2(d, PRIM_ADD, diff(d, x), diff(d, y));
  case PRIM_SUB: return sub(d, diff(d, x), diff(d, y));
  case PRIM_MUL: return f2(d, PRIM_ADD, mul(d, x, diff(d, y)), mul(d, diff(d, x), y));
  case PRIM_DIV: return sub(d, quotient(d, diff(d, x), y), by_logarithm(d, e, y));
  case PRIM_POW: return power(d, e);
  case PRIM_MIN:
    return expr_call(d->pool, PRIM_SELECT, f2(d, PRIM_LT, x, y), diff(d, x), diff(d, y));
  case PRIM_MAX:
    return expr_call(d->pool, PRIM_SELECT, f2(d, PRIM_LT, y, x), diff(d, x), diff(d, y));
  case PRIM_LT:
  case PRIM_LE:
  case PRIM_EQ: return c(d, 0);
  case PRIM_SELECT: return expr_call(d->pool, PRIM_SELECT, x, diff(d, y), diff(d, e->arg[2]));
  default: return mul(d, outer(d, e), diff(d, x));
  }
}

static const Expr *diff(Diff *d, const Expr *e) {
  if (!d->memo[e->id]) d->memo[e->id] = rule(d, e);
  return d->memo[e->id];
}

const Expr *expr_diff(ExprPool *pool, const Expr *e, int index) {
  /* operands have smaller ids than their users, and only nodes of e are visited */
  Diff d = {pool, index, mem_new(e->id + 1, sizeof(const Expr *))};
  const Expr *result = diff(&d, e);
  free(d.memo);
  return result;
}
