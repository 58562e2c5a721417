/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/descent.h"
#include "model/builtins.h"

#include <math.h>

/* ---- expressions ---- */

static const Expr *number(Builder *b, double x) { return expr_const(b->eval->pool, x); }

static const Expr *two(Builder *b, Prim prim, const Expr *x, const Expr *y) {
  return expr_call(b->eval->pool, prim, x, y, NULL);
}

static const Expr *one(Builder *b, Prim prim, const Expr *x) {
  return expr_call(b->eval->pool, prim, x, NULL, NULL);
}

static const Expr *scaled(Builder *b, double factor, const Expr *x) {
  return two(b, PRIM_MUL, number(b, factor), x);
}

static const Expr *kept(Builder *b, const Expr *e) { return expr_arg(b->eval->pool, hold(b, e)); }

/* share m + (1 - share) x, carried on as m; gives the new one. */
static const Expr *averaged(Builder *b, double share, double gain, const Expr *x) {
  int memory = carry(b, shape_of(b, x), -1);
  const Expr *m = expr_arg(b->eval->pool, memory);
  const Expr *next = kept(b, two(b, PRIM_ADD, scaled(b, share, m), scaled(b, gain, x)));
  carry_on(b, memory, next);
  return next;
}

/* 1 - share^(t + 1) */
static const Expr *filled(Builder *b, double share) {
  const Expr *count = two(b, PRIM_ADD, clock_of(b), number(b, 1));
  return two(b, PRIM_SUB, number(b, 1), two(b, PRIM_POW, number(b, share), count));
}

const Expr *descent_rate(Builder *b, const Array *rates) {
  ExprPool *pool = b->eval->pool;
  size_t count = rates->size;
  const char *why = NULL;
  const Shape steps = {.rank = 1, .size = {count}};
  Array *range = array_range(0, (double)count - 1, 1, &why);
  int index = hold_made(b, steps, range, why);
  const Expr *now = two(b, PRIM_MIN, clock_of(b), number(b, (double)count - 1));
  const Expr *entry = two(b, PRIM_EQ, expr_arg(pool, index), kept(b, now));
  Array *own = array_keep((Array *)rates);
  int chosen = hold(b, two(b, PRIM_MUL, entry, expr_arg(pool, hold_numbers(b, own))));
  int sum = new_variable(b, NULL, (Shape){.population = NO_POPULATION});
  add_act(b, (Act){.kind = ACT_PRODUCT, .dst = sum, .transpose = true}, 2,
          (int[]){hold_full(b, steps, 1), chosen});
  array_drop(own);
  return expr_arg(pool, sum);
}

/* ---- optimizers ---- */

static double parameter(const Value *optimizer, const char *name) {
  const Value *value = optimizer_parameter(optimizer, name);
  return value && value->kind == VALUE_NUMBER && value->known ? value->number : 0;
}

bool descent_fill(const Value *optimizer, Descent *d) {
  d->kind = optimizer->optimizer.kind;
  d->beta = parameter(optimizer, "beta");
  d->beta1 = parameter(optimizer, "beta1");
  d->beta2 = parameter(optimizer, "beta2");
  d->eps = parameter(optimizer, "eps");
  d->decay = parameter(optimizer, "weight_decay");
  if (d->kind == OPT_RMSPROP) d->beta2 = d->beta;
  return d->kind != OPT_FLOW && d->kind != OPT_NORMALIZED && d->kind != OPT_MUON &&
         d->kind != OPT_UNDERDAMPED && d->kind != OPT_GROUPS;
}

/* The rate of an optimizer: a number, an array, or a function of the step. NULL after reporting. */
static const Expr *rate_of(Call *call, int i, const Value *eta) {
  Eval *eval = call->eval;
  Builder *b = eval->system;
  if (eta->kind == VALUE_ARRAY) return descent_rate(b, eta->array);
  if (!eval_is_activation((Value *)eta)) return expression_of(b, call->places[i], eta);
  Value *t = value_new(&eval->heap, VALUE_SYMBOL);
  t->symbol = clock_of(b);
  return expression_of(b, call->places[i], eval_apply(eval, call->places[i], (Value *)eta, t));
}

bool descent_of_call(Call *call, int i, Descent *d) {
  const Value *value = call->args[i];
  *d = (Descent){.kind = OPT_GD};
  if (value->kind != VALUE_OPTIMIZER) {
    d->eta = expression_of(call->eval->system, call->places[i], value);
    return d->eta != NULL;
  }
  bool batches = false;
  static const char *const drawn[] = {"batch", "schedule"};
  for (int k = 0; k < 2; k++) {
    const Value *given = optimizer_parameter(value, drawn[k]);
    batches |= given && given->kind != VALUE_NONE;
  }
  if (batches || !descent_fill(value, d)) {
    eval_error(call->eval, call->places[i],
               batches ? "multiply what is averaged by (uniform(data) < share) / share" : NULL,
               batches ? "minibatches of a system are part of its loss"
                       : "'descend' takes gd, momentum, nesterov, adam, adamw, rmsprop, signum or "
                         "lion");
    return false;
  }
  d->eta = rate_of(call, i, optimizer_parameter(value, "eta"));
  return d->eta != NULL;
}

/* psi of O = -in g. */
static const Expr *direction(Builder *b, const Descent *d, const Expr *o) {
  switch (d->kind) {
  case OPT_MOMENTUM: return averaged(b, d->beta, 1, o);
  case OPT_NESTEROV: return two(b, PRIM_ADD, o, scaled(b, d->beta, averaged(b, d->beta, 1, o)));
  case OPT_ADAM:
  case OPT_ADAMW:
  case OPT_RMSPROP: {
    bool adam = d->kind != OPT_RMSPROP;
    const Expr *m = adam ? averaged(b, d->beta1, 1 - d->beta1, o) : o;
    const Expr *v = averaged(b, d->beta2, 1 - d->beta2, kept(b, two(b, PRIM_MUL, o, o)));
    if (adam) m = two(b, PRIM_DIV, m, kept(b, filled(b, d->beta1)));
    if (adam) v = two(b, PRIM_DIV, v, kept(b, filled(b, d->beta2)));
    return two(b, PRIM_DIV, m, two(b, PRIM_ADD, one(b, PRIM_SQRT, v), number(b, d->eps)));
  }
  case OPT_SIGNUM:
    return one(b, PRIM_SIGN, d->beta1 > 0 ? averaged(b, d->beta1, 1 - d->beta1, o) : o);
  case OPT_LION: { /* by the mean before the step, whose memory is beta2 */
    int memory = carry(b, shape_of(b, o), -1);
    const Expr *m = expr_arg(b->eval->pool, memory);
    carry_on(b, memory, two(b, PRIM_ADD, scaled(b, d->beta2, m), scaled(b, 1 - d->beta2, o)));
    return one(b, PRIM_SIGN, two(b, PRIM_ADD, scaled(b, d->beta1, m), scaled(b, 1 - d->beta1, o)));
  }
  default: return o;
  }
}

bool descent_is_plain(const Descent *d) {
  return d->kind == OPT_GD || d->kind == OPT_SGD || d->kind == OPT_ONLINE;
}

const Expr *descent_move(Builder *b, const Descent *d, Units units, const Expr *x, const Expr *g) {
  const Expr *o = scaled(b, -units.in, g),
             *psi = descent_is_plain(d) ? o : direction(b, d, kept(b, o));
  const Expr *gain = two(b, PRIM_MUL, scaled(b, units.rate * units.out, d->eta), psi);
  if (d->decay > 0) {
    const Expr *share = scaled(b, units.rate * d->decay, d->eta);
    x = two(b, PRIM_MUL, two(b, PRIM_SUB, number(b, 1), share), x);
  }
  return kept(b, two(b, PRIM_ADD, x, gain));
}
