/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What becomes of the axes of arrays in operations. These functions give a value that was just made
 * the axes that follow from its arguments; what is no array, or has axes, they leave alone. */
#ifndef DMF_MODEL_AXES_H
#define DMF_MODEL_AXES_H

#include "model/value.h"
#include "num/arrayops.h"

Axis axis_copy(const Axis *axis);

/* Element by element, with broadcasting: an axis on which arguments disagree is not known. */
void axes_follow(Value *value, int count, Value *const *args);
/* Without one axis (negative from the last); or, where it is still there, without its places. */
void axes_reduce(Value *value, const Value *arg, double axis);
/* The axes of a stack of matrices; of a matrix product, those that are left of both. */
void axes_lead(Value *value, const Value *arg);
void axes_multiply(Value *value, const Value *a, const Value *b);
void axes_reverse(Value *value, const Value *arg);
/* The part that subscripts choose, each of which takes or leaves one axis. */
void axes_index(Value *value, const Value *base, int count, const Subscript *list);
/* The first axis of a stack is new. */
void axes_stack(Value *value, int count, Value *const *args);

/* The axis of this name, "net.gamma", or "gamma" where no other ends like it; -1 for none. */
int axes_find(const Value *value, const char *name);
/* The names of the axes, ending with NULL, to be freed. */
const char **axes_names(const Value *value);

#endif
