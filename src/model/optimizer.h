/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Optimizers: the arguments of gd, flow, momentum, ... and what they mean for a training of so many
 * steps on so many points. */
#ifndef DMF_MODEL_OPTIMIZER_H
#define DMF_MODEL_OPTIMIZER_H

#include "model/eval.h"

/* Whether an optimizer suits a training; reports what does not. points = 0: not known yet. */
bool optimizer_check(Eval *eval, const Optimizer *optimizer, size_t steps, size_t points);
/* Fills in the optimizer of a problem whose steps and points are known; false after reporting. */
bool optimizer_fill(Eval *eval, const Optimizer *optimizer, Problem *problem);

/* The learning rates of so many steps, [steps], to be dropped; NULL after reporting. */
Array *optimizer_rates(Eval *eval, const Optimizer *optimizer, size_t steps);

#endif
