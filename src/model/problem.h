/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A checked model, training and data set: what the language hands to the lowering. Every number has
 * been validated; nothing here refers to the syntax any more, except spans for messages. */
#ifndef DMF_MODEL_PROBLEM_H
#define DMF_MODEL_PROBLEM_H

#include "base/diag.h"
#include "num/array.h"
#include "scalar/expr.h"

#include <stdbool.h>

/* Positions on a line (height 1) or in a plane. */
typedef struct Grid {
  int height, width;
  bool plane;
} Grid;

int grid_size(Grid grid);
/* The positions on which a window stands. */
Grid grid_strided(Grid grid, int stride);
/* The positions of windows that lie inside, every stride-th; none where a window does not fit. */
Grid grid_pooled(Grid grid, int window, int stride);

/* The forward pass of one layer of the chain, as steps that each make a variable: 0 is what enters,
 * i + 1 what step i gives. */
typedef enum StepKind {
  STEP_APPLY,   /* a matrix on a variable */
  STEP_APPLY_T, /* its transpose */
  STEP_BIAS,    /* a matrix on the constant 1 */
  STEP_CODES,   /* a matrix on the unit vectors of the positions of a variable */
  STEP_MAP,     /* elementwise */
  STEP_TABLE,   /* known numbers for every position, or pair of positions, the same at all points */
  STEP_AVERAGE, /* a number for each row: the average over neurons of one variable, or of two */
  STEP_GRAM,    /* a table: the averages over neurons of two variables at all pairs of positions */
  STEP_SOFTMAX, /* of a table, along its last axis */
  STEP_BLEND,   /* positions of a variable mixed by a table: sum_q A_pq x_q */
  STEP_BATCH,   /* the mean over the training points and positions, at every point and position */
  STEP_POOL,    /* the mean, or the largest, over positions, or over those of windows */
  STEP_AT,      /* one position */
  STEP_DROP,    /* without a share of its neurons, drawn at every step, at training points */
  STEP_FLATTEN  /* all positions together: what acts next has weights for each of them */
} StepKind;

typedef struct LayerStep {
  StepKind kind;
  int matrix;   /* index into the layer's matrices */
  int source;   /* the variable, but for STEP_BIAS and STEP_MAP; STEP_BLEND: the table */
  int other;    /* STEP_AVERAGE: the variable that multiplies it, or -1; STEP_GRAM, STEP_BLEND */
  int position; /* STEP_AT */
  bool causal;  /* STEP_SOFTMAX: position p sees positions up to p */
  double share; /* STEP_DROP: of the neurons that are left out, below 1 */
  bool most;    /* STEP_POOL: the largest, of each neuron */
  int window;   /* STEP_POOL: pixels on a side, 0 for all positions */
  int stride;   /* STEP_POOL, of its windows */
  Array *table; /* STEP_TABLE: [positions, 1 or positions], which the layer owns */
  const Expr *expr; /* STEP_MAP: argument i stands for variable i */
} LayerStep;

/* Initial entries of variance 1 before they are scaled. Orthogonal matrices are uniformly
 * distributed among these, times the root of their size. */
typedef enum Law { LAW_NORMAL, LAW_UNIFORM, LAW_SIGN, LAW_ORTHOGONAL, LAWS } Law;
extern const char *const law_names[LAWS + 1];

typedef struct LayerMatrix {
  char *name;
  double sigma; /* standard deviation of the initial entries, where they keep fields of order one */
  Array *scales; /* [D], times sigma, that of each input, or of each channel of them; NULL: 1 */
  Law law;
  double mean;   /* of the initial entries, of readouts on data that grow */
  bool tied;     /* of a readout: its weights are those of the matrix on the inputs */
  double rate;   /* multiplies the learning rate; 0: frozen */
  double factor; /* a number in front of the matrix */
  double
      ratio; /* it makes a field of ratio N neurons; 0: of as many as what it is added to, or N */
  int parts; /* it is one of so many that act as one matrix on all that they act on together */
  /* of a convolution: pixels on a side of the window, 0 for a matrix on whole vectors; it is
   * centred on every stride-th position, and what lies outside comes from the other side or is 0 */
  int window, stride, dilation; /* pixels of the window are `dilation` apart */
  bool circular;
} LayerMatrix;

typedef struct Layer {
  LayerMatrix *matrices;
  int matrix_count;
  LayerStep *steps;
  int step_count;
  int result;   /* the variable that leaves */
  bool readout; /* its one matrix goes to the outputs, and the chain ends */
  Span span;
} Layer;

typedef enum Parameterization { PARAM_MUP, PARAM_NTK, PARAM_STANDARD } Parameterization;
typedef enum OptimizerKind {
  OPT_GD,
  OPT_FLOW,
  OPT_MOMENTUM,
  OPT_NESTEROV,
  OPT_UNDERDAMPED,
  OPT_SGD,
  OPT_ONLINE,
  OPT_ADAM,
  OPT_ADAMW,
  OPT_RMSPROP,
  OPT_SIGNUM,
  OPT_LION,
  OPT_MUON,
  OPT_GROUPS,
  OPT_NORMALIZED
} OptimizerKind;

/* Where a matrix stands, which may decide how it moves. */
typedef enum Role { ROLE_INPUT, ROLE_HIDDEN, ROLE_READOUT, ROLE_BIAS, ROLES } Role;

/* What takes the place of the gradient in the updates of hidden matrices. */
typedef enum Rule {
  RULE_BACKPROP,
  RULE_FEEDBACK_ALIGNMENT,
  RULE_DIRECT_FEEDBACK_ALIGNMENT,
  RULE_HEBB
} Rule;

typedef struct Problem {
  /* data: points are the training points, then the test points */
  int points;     /* P > 0 */
  int tests;      /* P* >= 0 */
  int outputs;    /* C > 0 */
  int dimension;  /* D of the inputs; 0 where only their Gram matrix is known */
  Array *gram;    /* [P+P*, P+P*], x_mu . x_alpha / D */
  Array *vectors; /* [P+P*, D], the inputs; NULL where only their Gram matrix is known */
  Array *inputs; /* [P+P*, height, width, channels] (height 1 on a line); NULL: without positions */
  bool plane;    /* the inputs have height and width */
  Array *targets;      /* [P, C] */
  Array *test_targets; /* [P*, C] or NULL */
  /* the network, conventions of theory.md section 1, The network; see dmf-language(7) */
  Layer *layers; /* the last one is the readout */
  int layer_count;
  int depth; /* how often layers stand in it that the script repeats without end; 0: it has none */
  Parameterization parameterization;
  double gamma; /* feature-learning strength, > 0 */
  int width;    /* N; 0 when the script gave none */
  bool centered;
  /* training */
  /* ell(f, y), summed over the outputs: argument 0 is f, argument 1 is y; NULL: the cross entropy
   * of their softmax */
  const Expr *loss;
  Rule rule;
  double rho; /* of feedback alignment: the correlation of F with the initial weights, 0 to 1 */
  OptimizerKind optimizer;
  int steps;     /* T */
  double until;  /* the change of the loss in a step below which it ends before; 0: it does not */
  double *eta;   /* [T]: learning rate of each step */
  double dt;     /* flow only: the time of a step */
  double beta;   /* what the velocity keeps of itself, 0 <= beta < 1 */
  bool nesterov; /* muon looks ahead */
  double clip;   /* the largest norm of the gradient; 0: any */
  /* entrywise optimizers: what the mean of O and that of O^2 keep of themselves, and what is added
   * to the root */
  double beta1, beta2, eps;
  /* muon: how matrices that are not between populations move, at which rates [T] (beta1 and so on
   * are theirs), and its polar factors */
  OptimizerKind other;
  double *other_eta, polar_eps;
  bool exact;
  /* matrices that move in ways of their own, each as of a problem of which only the optimizer is
   * there: group[layer * ROLES + role] is 0, or k + 1 for groups[k]; NULL: all are 0 */
  struct Problem *groups;
  int group_count;
  int *group;
  double decay;       /* lambda of the weight decay, >= 0 */
  double temperature; /* of the noise that a step adds to the weights, >= 0 */
  double ema;    /* what averages of the weights keep of themselves in a step; 0: there are none */
  double *batch; /* [T, P], the share of each point in the mean loss of each step, or NULL */
  /* names, for printing and provenance */
  char *model_name, *training_name, *dataset_name;
  Span model_span, training_span;
} Problem;

void problem_free(Problem *problem);
void layer_clear(Layer *layer);
void layers_free(Layer *layers, int count);

/* Building a layer: adds a matrix (the name is taken over), and steps, which give their variable.
 */
int layer_matrix(Layer *layer, LayerMatrix matrix);
int layer_step(Layer *layer, LayerStep step);
/* Whether what leaves is made of each step [step_count]; to be freed. */
bool *layer_needs(const Layer *layer);

#endif
