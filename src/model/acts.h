/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A system under way: its acts are added here, one after the other. For the files that make systems
 * alone. */
#ifndef DMF_MODEL_ACTS_H
#define DMF_MODEL_ACTS_H

#include "model/system.h"

/* The system whose body is evaluated. */
typedef struct Builder {
  System *system;
  Eval *eval;
  bool step;          /* its step, rather than its start */
  bool vague;         /* a check does not know all of it */
  int *states;        /* variables that are carried on */
  const Ast **places; /* where they are declared */
  bool *assigned;     /* in the step */
  int *held;          /* [expression's id]: the variable that holds it, plus one, or 0 */
  unsigned held_room;
  int *directions; /* what carries on a derivative of each; NULL: nothing does */
  int exponent;    /* the field that is the growth of these, or -1 */
  int state_count;
} Builder;

Shape shape_of(const Builder *b, const Expr *e);
bool is_vector(Shape shape);
/* Numbers in a row of neurons, or all numbers. */
size_t shape_size(Shape shape);
/* What the elementwise combination of two is; false where they do not go together: *why, to be
 * freed, says it. */
bool shape_join(const Builder *b, Shape x, Shape y, Shape *joined, char **why);

int new_variable(Builder *b, const char *name, Shape shape);
/* Adds an act with these sources and gives its dst. */
int add_act(Builder *b, Act act, int count, const int *src);
/* The variable that holds the expression. */
int hold(Builder *b, const Expr *e);
/* A variable of known numbers (a copy is kept). */
int hold_numbers(Builder *b, Array *numbers);
Value *symbol_of(Builder *b, int variable);
/* The expression of a symbol, a number, or an array of at most two axes; NULL after reporting. */
const Expr *expression_of(Builder *b, Span span, const Value *value);

/* derive.c: the call of `descend`; how the direction of numbers begins; and the derivative of a
 * step along directions, one for each state, which become `next`: adds what carries them on, and
 * the growth of their length as the variable of a field. */
Value *system_descend(Call *call);
int system_direction(Builder *b, Shape shape);
void system_lyapunov(Builder *b, const int *directions, const int *next, int field);

#endif
