/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Scalar functions as symbolic expressions: activations, losses, and the elementwise maps of the
 * field program. Expressions are immutable and live in a pool that shares equal subexpressions, so
 * pointer equality is equality, and a function and its derivatives share their common parts. */
#ifndef DMF_SCALAR_EXPR_H
#define DMF_SCALAR_EXPR_H

#include <stdbool.h>

typedef enum Prim {
  PRIM_CONST,
  PRIM_ARG,
#define PRIM(id, name, arity, about) PRIM_##id,
#include "scalar/prim.def"
#undef PRIM
  PRIM_COUNT
} Prim;

int prim_arity(Prim prim);
const char *prim_name(Prim prim);
/* The value of a primitive at numbers; unused arguments are ignored. */
double prim_eval(Prim prim, double x, double y, double z);

typedef struct Expr Expr;
struct Expr {
  Prim prim;
  double value;       /* PRIM_CONST */
  int index;          /* PRIM_ARG: which argument of the function, from 0 */
  const Expr *arg[3]; /* operands, in order */
  unsigned id;        /* creation order within the pool: operands come before their users */
  double terms;       /* of its text, where shared subexpressions are written each time */
  double leaves;      /* those of them that are arguments */
  int depth;          /* of the nesting */
};

typedef struct ExprPool ExprPool;
ExprPool *expr_pool_new(void);
void expr_pool_free(ExprPool *pool);

const Expr *expr_const(ExprPool *pool, double value);
const Expr *expr_arg(ExprPool *pool, int index);
/* An operation on existing expressions, simplified (constants folded, x*0, x*1, x+0, --x, ...).
 * Unused operands are NULL. */
const Expr *expr_call(ExprPool *pool, Prim prim, const Expr *x, const Expr *y, const Expr *z);

/* The same, but what is made depends on all that its operands do: 0 * x stays. */
const Expr *expr_call_whole(ExprPool *pool, Prim prim, const Expr *x, const Expr *y, const Expr *z);

/* The derivative with respect to argument `index`. Kinks are differentiated as in the networks
 * that people train: relu' = step, step' = 0, abs' = sign. */
const Expr *expr_diff(ExprPool *pool, const Expr *e, int index);
/* `e` with every argument i replaced by with[i]. */
const Expr *expr_substitute(ExprPool *pool, const Expr *e, const Expr *const *with);
/* The same by expr_call_whole. */
const Expr *expr_substitute_whole(ExprPool *pool, const Expr *e, const Expr *const *with);
/* e with `with` in the place of a part of it, an expression of the same pool. */
const Expr *expr_replace(ExprPool *pool, const Expr *e, const Expr *part, const Expr *with);

/* Whether it is longer or nested deeper than any function that somebody would write: what walks
 * through it would take too long, or too much of the stack. */
bool expr_is_endless(const Expr *e);
bool expr_depends(const Expr *e, int index);
/* True for a sum of multiples of arguments, by its structure: no constant term. */
bool expr_is_linear(const Expr *e);
/* True when no branch, corner or jump occurs in it (relu, abs, step, min, comparisons, ...). */
bool expr_is_smooth(const Expr *e);
double expr_eval(const Expr *e, const double *args);
/* `e` in the notation of the language, arguments named by `names`; to be freed. */
char *expr_print(const Expr *e, const char *const *names);
/* The same with all digits, so that reading it back gives the same function; NULL where no text of
 * sensible length does (a number that is not finite, subexpressions shared over and over). */
char *expr_source(const Expr *e, const char *const *names);
/* The same in LaTeX's mathematics, with amsmath: latex.c. */
char *expr_latex(const Expr *e, const char *const *names);

#endif
