/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Kinks of activations, for derivatives of averages.
 *
 * The derivative of step(x) is a density at x = 0, which a sample meets with probability zero: in
 * derivatives, and only there, a normal density of width b takes its place. To have it from the
 * ordinary rules, every jump of an expression is replaced by the normal distribution function, the
 * expression is differentiated, and the distribution functions that remain become jumps again.
 *
 * The first step of Adam is a jump as well: u / (sqrt(v) + eps) with v = u^2. A ratio whose
 * denominator is the root of what may vanish, neuron by neuron, is |u| / (sqrt(v) + eps) times the
 * sign of u, which is rounded. */
#ifndef DMF_MACHINE_KINKS_H
#define DMF_MACHINE_KINKS_H

#include "machine/tape.h"

/* How jumps are rounded: over a fraction of how far what crosses them spreads over neurons. Of each
 * argument, whether it is different from neuron to neuron, and how large it is. */
typedef struct Kinks {
  const bool *wide;
  const double *size;
  double fraction;
} Kinks;

/* Whether e jumps or has a kink somewhere. */
bool kinks_has(const Expr *e, const bool *wide);
/* The function of `count` arguments and its derivatives; NULL: no jumps are rounded in them. */
TapeMap *kinks_map(ExprPool *pool, const Expr *e, int count, const Kinks *kinks);
/* Whether the jumps of e can be told. */
bool kinks_round(ExprPool *pool, const Expr *e);

#endif
