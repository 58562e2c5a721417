/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What an optimizer makes of the gradients of vectors and numbers, in the step of a system. For the
 * files that make systems alone. */
#ifndef DMF_MODEL_DESCENT_H
#define DMF_MODEL_DESCENT_H

#include "model/acts.h"

/* A step of an optimizer. */
typedef struct Descent {
  OptimizerKind kind;
  const Expr *eta; /* a number: the rate of this step */
  double beta, beta1, beta2, eps;
  double decay; /* a step multiplies by 1 - eta decay */
} Descent;

/* What one parameter makes of it: with g the adjoint, the optimizer sees O = -in g, moves by psi of
 * it, and x gains rate eta out psi, for psi = O so that x gains -rate eta in out g. */
typedef struct Units {
  double in, out, rate;
} Units;

/* The rate of the step t: the entry t of rates, and behind them the last. */
const Expr *descent_rate(Builder *b, const Array *rates);
/* A rate, or an optimizer, as the argument i of a call; false after reporting. */
bool descent_of_call(Call *call, int i, Descent *descent);
/* Fills in the memories and the decay that an optimizer has; false where it is none that moves a
 * vector by its own gradients. */
bool descent_fill(const Value *optimizer, Descent *descent);
/* What x becomes, of whose shape the adjoint is. What the optimizer remembers is carried. */
const Expr *descent_move(Builder *b, const Descent *d, Units units, const Expr *x, const Expr *g);
/* Whether a step is the rate times what descends. */
bool descent_is_plain(const Descent *d);
/* derive.c: matrices descend the number `top`, in units of their own (of rate 0: it stays), as by
 * the call of `descend`; *gradient is the adjoint of a vector `state` (-1: none), or NULL. Why it
 * cannot be so, or NULL. */
const char *system_move(Builder *b, int top, const Descent *d, const Units *units, int count,
                        int state, const Expr **gradient);

#endif
