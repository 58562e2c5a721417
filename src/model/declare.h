/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Declarations (datasets, models, trainings): their keys and the checks of their values; and chains
 * of layers. */
#ifndef DMF_MODEL_DECLARE_H
#define DMF_MODEL_DECLARE_H

#include "model/eval.h"

/* The slots of a declared value: DATASET_INPUTS, MODEL_GAMMA, TRAINING_STEPS, ... */
enum {
#define DATASET_KEY(id, ...) DATASET_##id,
#include "model/keys.def"
};
enum {
#define MODEL_KEY(id, ...) MODEL_##id,
#include "model/keys.def"
};
enum {
#define TRAINING_KEY(id, ...) TRAINING_##id,
#include "model/keys.def"
};

/* The name of a key of a kind of declaration, in the order of the slots; NULL past the end. */
const char *declared_key(DeclaredKind kind, int index);

/* Whether a script declares this name for the second time, which is reported. */
bool declared_before(Eval *eval, const Ast *node);
/* Evaluates a declaration and gives its name the value. */
void declare(Eval *eval, const Ast *node);
/* net with { gamma = 2 } */
Value *declare_variant(Eval *eval, const Ast *node);
/* The variant with one key replaced by a value, which is checked at `span`; broken after reporting.
 */
Value *declare_replace(Eval *eval, const Value *declared, const char *key, Span key_span,
                       Value *value, Span span);
/* The value of a key, as in net.gamma. */
Value *declared_field(Eval *eval, const Ast *node, Value *value);

/* a -> b */
Value *chain_join(Eval *eval, const Ast *node, Value *a, Value *b);
/* n * chain */
Value *chain_repeat(Eval *eval, const Ast *node, Value *times, Value *chain);
/* What a chain may have, and the refusal of more. */
enum { MAX_LAYERS = 10000 };
Value *chain_exceeds(Eval *eval, Span span);
/* Whether a value is a chain with layers that are repeated without end, as by inf * chain. */
bool chain_is_endless(const Value *chain);
/* The chain of a model, such layers repeated so often; NULL after reporting: with depth 0 there are
 * to be none. */
const Chain *chain_within(Eval *eval, const Declared *model, Span place, int depth);

#endif
