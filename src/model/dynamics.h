/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The dynamics of a system: what the language hands to the lowering, with every number checked. */
#ifndef DMF_MODEL_DYNAMICS_H
#define DMF_MODEL_DYNAMICS_H

#include "base/diag.h"
#include "num/array.h"
#include "scalar/expr.h"

#include <stdbool.h>

typedef struct SystemPopulation {
  char *name;
  double ratio; /* it has ratio N neurons */
} SystemPopulation;

/* Entries of variance sigma^2 over the neurons of `from`, independent, or with `symmetric` such
 * that (i, j) and (j, i) have correlation tau, and the diagonal variance (1 + tau) sigma^2 / N. */
typedef struct SystemMatrix {
  char *name;
  int from, to; /* populations */
  double sigma, tau;
  bool symmetric;
} SystemMatrix;

enum { NO_POPULATION = -1 }; /* in place of a population */

/* What a variable, or an expression, is: a vector (rank 0) or rows of them (rank 1), or numbers of
 * rank 0, 1 or 2. */
typedef struct Shape {
  int population; /* or NO_POPULATION */
  int rank;
  size_t size[2];
} Shape;

typedef struct SystemVariable {
  char *name;
  Shape shape;
} SystemVariable;

typedef enum ActKind {
  ACT_NORMAL,  /* fresh normal noise */
  ACT_FILL,    /* a vector of equal entries */
  ACT_NUMBERS, /* known numbers */
  ACT_CLOCK,   /* the step t */
  ACT_APPLY,   /* W src */
  ACT_APPLY_T, /* W^T src */
  ACT_MAP,     /* expr, of the variables that its arguments name */
  ACT_AVERAGE, /* <src_0>, or <src_0 src_1> row by row */
  ACT_GRAM,    /* <src_0 src_1> of all pairs of rows */
  ACT_PRODUCT, /* src_0 src_1 with numbers src_0, transposed or not */
  ACT_PART,    /* from first[0] and first[1] on */
  ACT_STACK,   /* the rows of all sources, one below the other */
  ACT_RESHAPE, /* the same numbers */
  ACT_LSE,     /* log of the sum of exp along the last axis */
  ACT_SHIFT,   /* neuron i gets what neuron i - number has */
  ACT_SET,     /* the state dst becomes src_0, at the end of a step */
  ACT_OUTER,   /* W += sum over rows of src_0 src_1^T / N_from */
  ACT_DECAY,   /* W *= number; while a step is built, of a source: W *= src_0 */
  ACT_REDRAW   /* W is drawn anew */
} ActKind;

typedef struct Act {
  ActKind kind;
  int dst, matrix;
  int *src, count;
  const Expr *expr;
  Array *numbers;
  double number;
  size_t first[2];
  bool transpose;
  bool along; /* belongs to a tangent of the step */
} Act;

typedef enum FieldForm {
  FORM_VALUE,    /* numbers of every step */
  FORM_TWO_TIME, /* <x(t) y(s)> of two vectors, the mean over their rows */
  FORM_RESPONSE  /* the same of what moves along and what moves it: 0 for s > t */
} FieldForm;

/* What is observed. */
typedef struct SystemField {
  char *name, *about;
  FieldForm form;
  int variable, other; /* x and y; both the same of values */
} SystemField;

typedef struct System {
  char *name;
  Span span;
  SystemPopulation *populations;
  int population_count;
  SystemMatrix *matrices;
  int matrix_count;
  SystemVariable *variables;
  int variable_count;
  Act *acts;
  int act_count, start_count; /* acts[0 .. start_count) are the start, the others the step */
  SystemField *fields;
  int field_count;
  size_t most_steps; /* of known numbers that the step chooses by t; 0: nothing says */
} System;

void system_free(System *system);

#endif
