/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Whether the parts of a dataset are drawn from the same random numbers because nobody gave them
 * seeds. Calls leave a mark when their seed is the default one; a dataset compares the marks of its
 * keys, and its points. */
#ifndef DMF_MODEL_DRAWS_H
#define DMF_MODEL_DRAWS_H

#include "model/eval.h"

/* The mark of a call of this function that was given no seed; 0 of functions that draw nothing, or
 * whose draws belong together, such as the orders of `shuffle`. */
unsigned draws_mark(const char *function);
/* Warns, in a check, when keys of a dataset (model/declare.h) carry the same mark, or when the test
 * points begin as the points do. */
void draws_check(Eval *eval, Value *const slots[], const Span places[], const unsigned marks[]);

#endif
