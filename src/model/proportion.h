/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Linear networks whose widths grow with the dimension D of their inputs, N = nu D, as points do.
 * No single neuron counts, but the vector of the inputs that all layers are together,
 *
 *     f = v . x / sqrt(D),    v = W_1^T .. W_L^T w / (gamma nu),   or / sqrt(nu_L) for ntk,
 *
 * of which every W^T is a matrix of the system and w a vector on the last neurons; see
 * dmf-language(7). For the files that make systems alone. */
#ifndef DMF_MODEL_PROPORTION_H
#define DMF_MODEL_PROPORTION_H

#include "model/descent.h"
#include "model/problem.h"

typedef struct Proportion {
  double nu, gamma; /* gamma 0: the scaling of the tangent kernel */
  int inputs;       /* the population of dimensions */
  int **matrix;     /* [layer][matrix]: of the system */
  int **neurons;    /* [layer][variable]: the population of each field */
  int readout[2];   /* the variables w of the start, and of the step */
} Proportion;

/* Declares the populations and matrices of these layers on inputs of a population, for a single
 * output (0) or so many; false after reporting what has no such limit. */
bool proportion_begin(Builder *b, Proportion *p, const Layer *layers, int count, int inputs,
                      size_t outputs);
/* v, or rows of such vectors, of the weights as they are now. */
const Expr *proportion_vector(Builder *b, const Proportion *p, const Layer *layers, int count);
/* All weights descend the number `top`; false after reporting at `span`. */
bool proportion_descend(Builder *b, const Proportion *p, const Layer *layers, int count, int top,
                        const Descent *d, Span span);
void proportion_end(Proportion *p, int count);

/* Refuses a convolution of data that grow, false: windows of a fixed size leave D positions to a
 * point, no finite set of fields; those that grow with D are parts of the inputs, each with a
 * matrix of its own. */
bool proportion_refuses_windows(Eval *eval, const Layer *layer);

#endif
