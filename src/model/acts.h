/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A system under way: its acts are added here, one after the other. For the files that make systems
 * alone. */
#ifndef DMF_MODEL_ACTS_H
#define DMF_MODEL_ACTS_H

#include "model/system.h"

/* What is asked for of the tangents of a step: how fast a direction grows, or the response of one
 * vector to another. */
typedef struct Tangent {
  Span span;
  int field;
  bool grows;
  int of, to;   /* or -1 */
  int memories; /* carried states of the step itself */
} Tangent;

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
  int state_count;
  int *carried, *next; /* further states, which no name stands for, and what each becomes */
  int carried_count;
  int (*measures)[2]; /* matrices, and the measure of each among the carried, which are the last */
  int measure_count;
  Tangent *tangents;
  int tangent_count;
  int (*twins)[2]; /* matrices with momentum, and the matrix of each that acts along */
  int twin_count;
} Builder;

Shape shape_of(const Builder *b, const Expr *e);
bool is_vector(Shape shape);
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
/* The same of numbers of this shape that were just made, and are taken over. NULL is reported, as
 * `why` says: then there will be no system, and the variable is only looked at for its shape. */
int hold_made(Builder *b, Shape shape, Array *numbers, const char *why);
/* Numbers of this shape that are all equal. */
int hold_full(Builder *b, Shape shape, double number);
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
/* Brings the acts from `first` on, which read nothing of the step, to the end of the start. */
void bring_forward(Builder *b, int first);
/* A state of this shape that starts as the variable `first` of the start does, or as zeros (-1). */
int carry(Builder *b, Shape shape, int first);
/* Brings the acts from `first` on before the one at `at`. */
void bring_acts(Builder *b, int first, int at);
/* velocity.c: the matrix that acts along with one that has momentum, or -1; a new one, -1 where
 * there can be none. */
int twin_of(const Builder *b, int matrix);
int twin_new(Builder *b, int matrix);
/* measure.c: matrices that are multiplied by numbers which the step computes are written as such
 * numbers times matrices that are not. */
void measure_matrices(Builder *b);
/* Where the measure of a matrix is among the carried states, or -1. */
int measure_of(const Builder *b, int matrix);
/* A state that is a number, one at the start. */
int carry_one(Builder *b);
/* What it becomes at the end of the step. */
void carry_on(Builder *b, int state, const Expr *next);
void end_acts(Builder *b);

/* A dataset that grows, and behind its acts, which are a start, what `extend` adds; NULL as of
 * system_build, or where `extend` gives false. */
System *system_extended(Eval *eval, const Value *dataset, bool (*extend)(Builder *b, void *sink),
                        void *sink);

/* In the step: the points of a dataset that grows are others now. Its matrices on them, but for
 * one, are drawn anew, and so is what its lines make of them. */
void system_renew(Builder *b, const Value *dataset, int points, int but);

/* derive.c: the adjoints of these variables (NULL: it does not depend on one) for the number `top`,
 * to be freed. */
const Expr **system_gradients(Builder *b, int top, int count, const int *variables);
/* derive.c: the call of `descend`. */
Value *system_descend(Call *call);
/* tangent.c: adds to the step, in which states become `next` (-1: stay), what moves along with it,
 * and the variables of the field that asks for it. */
void system_tangent(Builder *b, const Tangent *tangent, const int *next);

#endif
