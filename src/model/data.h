/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The arrays of a dataset. */
#ifndef DMF_MODEL_DATA_H
#define DMF_MODEL_DATA_H

#include "model/eval.h"

/* Checks the values of a dataset (by key, see model/declare.h) against one another; reports at
 * `places` and returns false when they do not fit. `draws` are the marks of model/draws.h. */
bool data_check(Eval *eval, Value *const slots[], const Span places[], const unsigned draws[]);
/* Points, tests, outputs, gram and targets of a problem from a checked dataset; false after
 * reporting. */
bool data_fill(Eval *eval, const Declared *dataset, Problem *problem);
/* Fills in the points alone, with targets of 0: these inputs, or where they are NULL two points
 * with |x|^2 = D and an overlap of 1/2. False with *why for want of memory. */
bool data_points(const Array *inputs, Problem *problem, const char **why);

#endif
