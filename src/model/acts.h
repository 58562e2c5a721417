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
  int *carried, *next; /* further states, which no name stands for, and what each becomes */
  int carried_count;
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

/* A matrix of the system; its value. */
Value *new_matrix(Builder *b, const char *name, SystemMatrix matrix);
/* Observes numbers under this name. */
void add_field(Builder *b, const char *name, const char *about, FieldForm form, int variable);
/* The step begins: what is added to the start from now on stands before it. The step t. */
void begin_acts(Builder *b);
const Expr *clock_of(const Builder *b);
/* A state of this shape that starts as the variable `first` of the start does, or as zeros (-1). */
int carry(Builder *b, Shape shape, int first);
/* What it becomes at the end of the step. */
void carry_on(Builder *b, int state, const Expr *next);
void end_acts(Builder *b);

/* A dataset that grows, and behind its acts, which are a start, what `extend` adds; NULL as of
 * system_build, or where `extend` gives false. */
System *system_extended(Eval *eval, const Value *dataset, bool (*extend)(Builder *b, void *sink),
                        void *sink);

/* derive.c: the adjoints of these variables (NULL: it does not depend on one) for the number `top`,
 * to be freed. */
const Expr **system_gradients(Builder *b, int top, int count, const int *variables);
/* derive.c: the call of `descend`; how the direction of numbers begins; and the derivative of a
 * step along directions, one for each state, which become `next`: adds what carries them on, and
 * the growth of their length as the variable of a field. */
Value *system_descend(Call *call);
int system_direction(Builder *b, Shape shape);
void system_lyapunov(Builder *b, const int *directions, const int *next, int field);

#endif
