/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The loss of a point as an expression of all its outputs and targets. */
#include "base/memory.h"
#include "field/program.h"

/* log(e^a + e^b), without overflow; its derivatives are sigmoids. */
static const Expr *log_add(ExprPool *pool, const Expr *a, const Expr *b) {
  const Expr *gap = expr_call(pool, PRIM_SUB, a, b, NULL);
  return expr_call(pool, PRIM_ADD, b, expr_call(pool, PRIM_SOFTPLUS, gap, NULL, NULL), NULL);
}

/* - sum_c y_c log(e^{f_c} / sum_k e^{f_k}) */
static const Expr *cross_entropy(ExprPool *pool, int outputs) {
  const Expr *all = expr_arg(pool, 0), *sum = expr_const(pool, 0);
  for (int c = 1; c < outputs; c++) all = log_add(pool, all, expr_arg(pool, c));
  for (int c = 0; c < outputs; c++) {
    const Expr *log = expr_call(pool, PRIM_SUB, all, expr_arg(pool, c), NULL);
    const Expr *term = expr_call(pool, PRIM_MUL, expr_arg(pool, outputs + c), log, NULL);
    sum = expr_call(pool, PRIM_ADD, sum, term, NULL);
  }
  return sum;
}

void lower_loss(Program *p) {
  ExprPool *pool = p->pool;
  const Expr *ell = p->problem->loss, *slope = ell ? expr_diff(pool, ell, 0) : NULL;
  int outputs = p->problem->outputs;
  p->loss = ell ? expr_const(pool, 0) : cross_entropy(pool, outputs);
  p->delta = mem_new((size_t)outputs, sizeof *p->delta);
  for (int c = 0; c < outputs; c++) {
    const Expr *own[] = {expr_arg(pool, c), expr_arg(pool, outputs + c)};
    if (ell) p->loss = expr_call(pool, PRIM_ADD, p->loss, expr_substitute(pool, ell, own), NULL);
    const Expr *down = ell ? expr_substitute(pool, slope, own) : expr_diff(pool, p->loss, c);
    p->delta[c] = expr_call(pool, PRIM_NEG, down, NULL, NULL);
  }
}
