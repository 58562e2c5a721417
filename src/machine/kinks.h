/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Kinks of activations, for derivatives of averages.
 *
 * The derivative of step(x) is a density at x = 0, which a sample meets with probability zero: in
 * derivatives, and only there, a normal density of width b takes its place. To have it from the
 * ordinary rules, every jump of an expression is replaced by the normal distribution function, the
 * expression is differentiated, and the distribution functions that remain become jumps again. */
#ifndef DMF_MACHINE_KINKS_H
#define DMF_MACHINE_KINKS_H

#include "machine/tape.h"

/* The function of `count` arguments and its derivatives, jumps in them of this width; 0: none are
 * rounded. */
TapeMap *kinks_map(ExprPool *pool, const Expr *e, int count, double width);
/* Whether the jumps of e can be told. */
bool kinks_round(ExprPool *pool, const Expr *e);

#endif
