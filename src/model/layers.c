/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Chains of layers. */
#include "model/builtins.h"
#include "model/declare.h"
#include "model/forward.h"
#include "base/memory.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_chain(Eval *eval, const Ast *node, const Value *value) {
  if (value->kind == VALUE_CHAIN) return true;
  const char *hint = eval_is_activation(value) ? "a layer with its activation: dense(tanh)" : NULL;
  eval_error(eval, node->span, hint, "'->' joins layers, not %s", value_describe(value));
  return false;
}

static void append(Chain *chain, const Chain *more) {
  size_t count = (size_t)(chain->count + more->count);
  chain->links = mem_grow(chain->links, count * sizeof *chain->links);
  for (int i = 0; i < more->count; i++) chain->links[chain->count++] = value_keep(more->links[i]);
}

static bool finished(const Chain *chain) {
  return chain->count && link_ends(chain->links[chain->count - 1]);
}

Value *chain_join(Eval *eval, const Ast *node, Value *a, Value *b) {
  if (a->kind == VALUE_BROKEN || b->kind == VALUE_BROKEN)
    return value_new(&eval->heap, VALUE_BROKEN);
  if (a->kind == VALUE_UNKNOWN || b->kind == VALUE_UNKNOWN)
    return value_new(&eval->heap, VALUE_UNKNOWN);
  if (!is_chain(eval, node->kid[0], a) || !is_chain(eval, node->kid[1], b))
    return value_new(&eval->heap, VALUE_BROKEN);
  if (b->chain.input)
    return eval_error(eval, node->kid[1]->span, NULL,
                      "'input' stands only at the start of a chain");
  if (finished(&a->chain))
    return eval_error(eval, node->kid[1]->span, NULL, "nothing follows the readout of a chain");
  Value *value = value_new(&eval->heap, VALUE_CHAIN);
  value->chain.input = a->chain.input;
  append(&value->chain, &a->chain);
  append(&value->chain, &b->chain);
  return value;
}

static bool is_endless(const Chain *chain) {
  for (int i = 0; i < chain->count; i++)
    if (chain->links[i]->link.endless) return true;
  return false;
}

static Value *link_copy(Eval *eval, const Link *from) {
  Value *value = value_new(&eval->heap, VALUE_LINK);
  value->link = *from;
  value->link.maker = value_keep(from->maker);
  value->link.text = mem_string(from->text);
  value->link.args = mem_new((size_t)from->count + 1, sizeof(Value *));
  value->link.places = mem_new((size_t)from->count + 1, sizeof(Span));
  for (int i = 0; i < from->count; i++) {
    value->link.args[i] = from->args[i] ? value_keep(from->args[i]) : NULL;
    value->link.places[i] = from->places[i];
  }
  return value;
}

/* inf * chain: one group, whose first link says so. */
static Value *chain_endless(Eval *eval, const Ast *node, const Chain *chain) {
  if (is_endless(chain))
    return eval_error(eval, node->span, NULL, "these layers are repeated without end already");
  Value *value = value_new(&eval->heap, VALUE_CHAIN);
  append(&value->chain, chain);
  Value *first = link_copy(eval, &chain->links[0]->link);
  first->link.endless = chain->count;
  value_drop(value->chain.links[0]);
  value->chain.links[0] = value_keep(first);
  return value;
}

Value *chain_exceeds(Eval *eval, Span span) {
  return eval_fail(eval, STATUS_LIMIT, span, NULL, "more than %d layers", MAX_LAYERS);
}

/* A chain with these repeated so often. */
static Value *chain_of_depth(Eval *eval, const Chain *chain, int depth) {
  Value *value = value_new(&eval->heap, VALUE_CHAIN);
  value->chain.input = chain->input;
  for (int i = 0, count; i < chain->count; i += count) {
    int endless = chain->links[i]->link.endless;
    count = endless ? endless : 1;
    const Chain group = {.links = chain->links + i, .count = count};
    for (int k = 0; k < (endless ? depth : 1); k++) append(&value->chain, &group);
  }
  return value;
}

const Chain *chain_within(Eval *eval, const Declared *model, Span place, int depth) {
  const Value *layers = model->slot[MODEL_LAYERS];
  if (!chain_is_endless(layers)) return &layers->chain;
  if (depth) return &chain_of_depth(eval, &layers->chain, depth)->chain;
  eval_error(eval, place, "a number in the place of inf, as in 16 * residual(tanh)",
             "the layers of '%s' are repeated without end: of that limit 'dmft' alone knows, where "
             "data are given",
             model->name);
  return NULL;
}

bool chain_is_endless(const Value *chain) {
  return chain->kind == VALUE_CHAIN && is_endless(&chain->chain);
}

Value *chain_repeat(Eval *eval, const Ast *node, Value *times, Value *chain) {
  if (times->kind == VALUE_CHAIN)
    return eval_error(eval, node->span, "input -> dense(tanh) -> readout",
                      "layers are joined by '->', not by '*'");
  if (times->kind != VALUE_NUMBER)
    return eval_error(eval, node->span, NULL, "a layer is repeated by a number, not by %s",
                      value_describe(times));
  if (!times->known) return value_new(&eval->heap, VALUE_UNKNOWN);
  double n = times->number;
  if (!(n >= 1) || n != floor(n))
    return eval_error(eval, node->span, NULL, "a layer is repeated 1, 2, 3, ... times, not %g", n);
  if (chain->chain.input || finished(&chain->chain))
    return eval_error(eval, node->span, NULL, "'%s' cannot be repeated",
                      chain->chain.input ? "input" : "readout");
  if (isinf(n) || is_endless(&chain->chain)) return chain_endless(eval, node, &chain->chain);
  if (n * chain->chain.count > MAX_LAYERS) return chain_exceeds(eval, node->span);
  Value *value = value_new(&eval->heap, VALUE_CHAIN);
  for (int i = 0; i < (int)n; i++) append(&value->chain, &chain->chain);
  return value;
}
