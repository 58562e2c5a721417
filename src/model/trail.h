/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How numbers follow from sampled ones. A value that was computed from fields of results remembers
 * the operation and where its arguments came from. When somebody asks for its error, the operations
 * are done again with the fields off by each direction of their scatter (result/scatter.h), so that
 * errors come with all correlations; functions know nothing of it. */
#ifndef DMF_MODEL_TRAIL_H
#define DMF_MODEL_TRAIL_H

#include "model/eval.h"

/* What an operation makes of arguments like those it had; NULL stands where one was fixed. What
 * lacked memory says so (eval_starve); other values that are broken have no error. */
typedef Value *Again(Eval *eval, const Trail *trail, Value **args);

/* An argument: where it came from, or, when it is not sampled, itself. */
typedef struct TrailPart {
  Trail *trail;
  Value *value;
} TrailPart;

struct Trail {
  int references;
  /* of sampled numbers: value, errors, and how they are off; scale and rest fit the one to the
   * other
   */
  Array *value, *error, *scale, *rest;
  Scatter *scatter;
  /* of computed ones */
  Again *again;
  int op; /* of whose meaning `again` knows */
  Subscript *subscripts;
  int subscript_count;
  TrailPart *parts;
  int count;
  int depth;     /* of operations behind one another */
  int mark;      /* a number while an error is computed */
  bool networks; /* those of networks, entry by entry: see trail_is_of_networks */
};

/* Says that these numbers are sampled. Takes over the references; without a scatter the errors of
 * different numbers are independent, without errors nothing is known of them. */
void trail_begin(Value *value, Array *error, Scatter *scatter);
/* Whether all that is sampled about the value are numbers of networks, and no fewer than the value
 * has entries: it is data, as 0.1 * nets.loss, and not a curve through them, as a + b * x. */
bool trail_is_of_networks(const Value *value);
/* Remembers how the value was computed, if an argument is sampled; gives the value. */
Value *trail_note(Eval *eval, Value *value, Again *again, int op, int count, Value *const *args);
/* The same of a part of an array; values[i] is the subscript where it is a number or a list, else
 * NULL. */
Value *trail_note_part(Eval *eval, Value *value, Value *base, int count, const Subscript *list,
                       Value *const *values);
Trail *trail_keep(Trail *trail);
void trail_drop(Trail *trail); /* NULL is allowed, as above */

/* The standard errors, which the value keeps; NULL where nothing was sampled, and where no memory
 * is left or the user wants out: then the evaluator is halted, and who would show, save or hand out
 * the value without them does not. What happens to be no number when arguments are off has nan. */
const Array *trail_error(Eval *eval, Value *value);
/* Replaces what lies behind the value by its errors and their scatter; may halt, too. */
void trail_settle(Eval *eval, Value *value);

#endif
