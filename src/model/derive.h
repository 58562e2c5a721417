/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What derivatives of steps are written with, backward (derive.c) and forward (tangent.c). */
#ifndef DMF_MODEL_DERIVE_H
#define DMF_MODEL_DERIVE_H

#include "model/acts.h"

static inline const Expr *number(Builder *b, double x) { return expr_const(b->eval->pool, x); }
static inline const Expr *variable(Builder *b, int v) { return expr_arg(b->eval->pool, v); }

static inline const Expr *two(Builder *b, Prim prim, const Expr *x, const Expr *y) {
  return expr_call(b->eval->pool, prim, x, y, NULL);
}

static inline const Expr *times(Builder *b, const Expr *x, const Expr *y) {
  return two(b, PRIM_MUL, x, y);
}

/* x + y, where either may be NULL. */
static inline const Expr *sum_of(Builder *b, const Expr *x, const Expr *y) {
  return !x ? y : !y ? x : two(b, PRIM_ADD, x, y);
}

static inline Shape own_shape(const Builder *b, int v) { return b->system->variables[v].shape; }

/* A new act and its variable as an expression. */
const Expr *made(Builder *b, ActKind kind, Shape shape, Act act, int count, const int *src);
/* The sum of the entries that an argument of this shape served. */
const Expr *gathered(Builder *b, const Expr *e, Shape target);
/* <x>, or <x y>, of each row. */
const Expr *averaged(Builder *b, const Expr *x, const Expr *y, Shape shape);

#endif
