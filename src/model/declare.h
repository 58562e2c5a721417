/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Declarations (datasets, models, trainings): their keys and the checks of their values; and chains
 * of layers. */
#ifndef DMF_MODEL_DECLARE_H
#define DMF_MODEL_DECLARE_H

#include "model/eval.h"

enum { DATASET_INPUTS, DATASET_TARGETS, DATASET_TEST_INPUTS, DATASET_TEST_TARGETS, DATASET_GRAM };
enum { MODEL_LAYERS, MODEL_PARAMETERIZATION, MODEL_GAMMA, MODEL_WIDTH, MODEL_CENTERED };
enum {
  TRAINING_DATASET,
  TRAINING_LOSS,
  TRAINING_OPTIMIZER,
  TRAINING_STEPS,
  TRAINING_WEIGHT_DECAY,
  TRAINING_RULE
};

/* The name of a key of a kind of declaration, in the order of the slots; NULL past the end. */
const char *declared_key(DeclaredKind kind, int index);

/* Evaluates a declaration and gives its name the value. */
void declare(Eval *eval, const Ast *node);
/* net with { gamma = 2 } */
Value *declare_variant(Eval *eval, const Ast *node);
/* The value of a key, as in net.gamma. */
Value *declared_field(Eval *eval, const Ast *node, Value *value);

/* a -> b */
Value *chain_join(Eval *eval, const Ast *node, Value *a, Value *b);
/* n * chain */
Value *chain_repeat(Eval *eval, const Ast *node, Value *times, Value *chain);

#endif
