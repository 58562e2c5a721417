/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A checked model, training and data set: what the language hands to the lowering. Every number has
 * been validated; nothing here refers to the syntax any more, except spans for messages. */
#ifndef DMF_MODEL_PROBLEM_H
#define DMF_MODEL_PROBLEM_H

#include "base/diag.h"
#include "num/array.h"
#include "scalar/expr.h"

#include <stdbool.h>

typedef enum LayerKind {
  LAYER_DENSE,    /* h = W x (+ b), x' = phi(h) */
  LAYER_RESIDUAL, /* x' = x + (beta / sqrt(depth)) W phi(x), depth the number of such layers */
  LAYER_ACTIVATE, /* x' = phi(x) */
  LAYER_READOUT   /* f = w . x, ends the chain */
} LayerKind;

/* One layer of the chain, repeats written out. */
typedef struct Layer {
  LayerKind kind;
  const Expr *phi; /* of argument 0; NULL for the readout */
  char *phi_name;  /* as the user wrote it, for printing; NULL for the readout */
  double sigma_w;  /* standard deviation of the initial weights */
  double sigma_b;  /* of the initial biases; 0: no biases */
  double beta;     /* strength of a residual branch */
  bool train;      /* false: weights stay as drawn */
  double rate;     /* multiplies the learning rate */
  Span span;
} Layer;

typedef enum Parameterization { PARAM_MUP, PARAM_NTK, PARAM_STANDARD } Parameterization;
typedef enum OptimizerKind { OPT_GD, OPT_FLOW } OptimizerKind;

typedef struct Problem {
  /* data: points are the training points, then the test points */
  int points;          /* P > 0 */
  int tests;           /* P* >= 0 */
  int outputs;         /* C > 0 */
  Array *gram;         /* [P+P*, P+P*], x_mu . x_alpha / D */
  Array *targets;      /* [P, C] */
  Array *test_targets; /* [P*, C] or NULL */
  /* the network, theory.md section 1 conventions (see dmf-language(7)) */
  Layer *layers;
  int layer_count;
  Parameterization parameterization;
  double gamma; /* feature-learning strength, > 0 */
  int width;    /* N; 0 when the script gave none */
  bool centered;
  /* training */
  const Expr *loss; /* ell(f, y): argument 0 is f, argument 1 is y */
  OptimizerKind optimizer;
  int steps;   /* T */
  double *eta; /* [T]: learning rate of each step */
  double dt;   /* flow only: step of the integrator */
  /* names, for printing and provenance */
  char *model_name, *training_name, *dataset_name;
  Span model_span, training_span;
} Problem;

void problem_free(Problem *problem);

#endif
