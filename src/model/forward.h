/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Layers as the script declares them: `layer NAME(parameters) of x { ... return ... }`. Their
 * bodies are evaluated with a symbol for each variable, and what comes out is the forward pass. */
#ifndef DMF_MODEL_FORWARD_H
#define DMF_MODEL_FORWARD_H

#include "model/eval.h"

/* Gives a name its layer. */
void declare_layer(Eval *eval, const Ast *node);
/* Checks the body of a declared layer, whatever its arguments. */
void check_layer(Eval *eval, const Ast *node);
/* dense(tanh): a chain of one link. In the body of a layer layer_norm(x) is what it makes of x. */
Value *call_layer(Eval *eval, const Ast *node, Value *layer);
/* Whether a link is the readout, which ends a chain. */
bool link_ends(const Value *link);

/* The forward passes of the links of a chain that reaches from input to readout, in order, to be
 * freed with layers_free; NULL after reporting. */
Layer *chain_layers(Eval *eval, const Chain *chain, Grid inputs);
/* In a check, which does not know the inputs: so many positions. */
extern const Grid nominal_grid;
/* What a chain makes of a variable of the layer under way: dense(tanh)(x). */
Value *forward_chain(Eval *eval, Span span, const Value *chain, Value *x);
/* A matrix of the layer under way is called what the name says that it is given to. */
void forward_name(Eval *eval, const Value *value, const char *name);

/* W @ x, W', and c * W. */
Value *forward_apply(Eval *eval, Span span, Value *matrix, Value *x);
Value *forward_transpose(Eval *eval, Span span, const Value *matrix);
Value *forward_scale(Eval *eval, Span span, const Value *matrix, const Value *factor);
/* <x>, or <x y> (y not NULL), over neurons, of variables of the layer under way. */
Value *forward_average(Call *call, const Value *x, const Value *y);
/* The variance of the first argument over neurons, or its root, the standard deviation. */
Value *forward_spread(Call *call, bool root);
/* <x_p y_q> over neurons, at all pairs of positions. */
Value *forward_gram(Call *call, const Value *x, const Value *y);
/* The softmax of the table that is the first argument, along its last axis: dot(x, y) means
 * gram(x, y) there. */
Value *forward_softmax(Call *call);
/* Known numbers, an array of rank 2, as a table of pairs of positions, or a number for each. */
Value *forward_table(Eval *eval, Span span, const Value *numbers);
/* A @ x: the positions of x mixed by a table. */
Value *forward_blend(Eval *eval, Span span, const Value *table, const Value *x);
/* x[position] of a variable; negative ones count from the last. Of the inputs a matrix has to
 * follow.
 */
Value *forward_position(Eval *eval, Span span, const Value *x, double position);

#endif
