/* SPDX-License-Identifier: GPL-3.0-or-later */
/* sweep(expression, net.gamma = [1, 2], seed = 0..9): the expression at every combination of values
 * that take the place of keys of declarations, or of names. Here is what a point is and what
 * becomes of the values; the session decides where and when the points are evaluated. */
#ifndef DMF_MODEL_SWEEP_H
#define DMF_MODEL_SWEEP_H

#include "model/eval.h"

#include <stdint.h>

typedef struct SweepAxis {
  const Ast *argument; /* NAME.KEY = values, or NAME = values */
  const char *name;    /* of what is replaced */
  char *label;         /* "net.gamma", "seed" */
  Value *values;       /* an array, whose first axis is gone through, or a list */
  int count;           /* > 0 */
} SweepAxis;

typedef struct Sweep {
  Span span;
  const Ast *expression;
  SweepAxis axes[ARRAY_MAX_RANK];
  int axis_count;
  int points;        /* the product of the counts; the last axis is the fastest */
  const Ast *resume; /* the argument of this name, or NULL */
  const Ast *failed; /* likewise */
} Sweep;

/* Evaluates the values of a call of `sweep` and checks them, each in its place; NULL after
 * reporting, or without a report when a check does not know them. */
Sweep *sweep_new(Eval *eval, const Ast *call);
void sweep_free(Sweep *sweep);

/* The expression at a point: a number or an array, or a broken value after reporting. The evaluator
 * may be another one than that of sweep_new. */
Value *sweep_point(const Sweep *sweep, Eval *eval, int point);
/* The point with the last value of one axis and the first ones of all others. */
int sweep_end(const Sweep *sweep, int axis);
/* The digest of the expression at a point (model/digest.h) joined to `salt`; *reads says that the
 * expression reads files, which the digest cannot know. */
uint64_t sweep_digest(const Sweep *sweep, Eval *eval, int point, const char *salt, bool *reads);
/* "net.gamma = 2, seed = 3", to be freed. */
char *sweep_place(const Sweep *sweep, int point);

/* Whether the value of a point has the shape of that of point 0; reports otherwise. */
bool sweep_agrees(const Sweep *sweep, Eval *eval, const Value *first, const Value *value,
                  int point);
/* The values of all points, numbers or arrays, as one array [axes..., what the expression gives],
 * with its axes, and as source a result of the kind from which `like`, the value of some point, was
 * read. Reports the first point whose value has another shape than that of point 0. */
Value *sweep_gather(const Sweep *sweep, Eval *eval, Value *const *points, const Value *like);

#endif
