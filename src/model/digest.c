/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/digest.h"
#include "base/memory.h"
#include "model/declare.h"

#include <stdlib.h>
#include <string.h>

Digest digest_begin(const Eval *eval) {
  return (Digest){.eval = eval, .scope = eval->scope, .hash = 0xcbf29ce484222325u};
}

void digest_end(Digest *digest) {
  free(digest->seen);
  free(digest->names);
}

/* FNV-1a over words, with a shift that brings high bits down. */
static void mix(Digest *digest, uint64_t word) {
  digest->hash = (digest->hash ^ word) * 0x100000001b3u;
  digest->hash ^= digest->hash >> 29;
}

static void take_number(Digest *digest, double number) {
  uint64_t word;
  memcpy(&word, &number, sizeof word);
  mix(digest, word);
}

void digest_text(Digest *digest, const char *text) {
  for (; *text; text++) mix(digest, (unsigned char)*text);
  mix(digest, 0);
}

bool digest_mentions(const Digest *digest, const char *name) {
  for (int i = 0; i < digest->name_count; i++)
    if (strcmp(digest->names[i], name) == 0) return true;
  return false;
}

/* Whether this was met before; if so, its place in the list stands for it. */
static bool met(Digest *digest, const void *object) {
  for (int i = 0; i < digest->seen_count; i++)
    if (digest->seen[i] == object) {
      mix(digest, (uint64_t)i);
      return true;
    }
  size_t count = (size_t)digest->seen_count + 1;
  digest->seen = mem_grow(digest->seen, count * sizeof *digest->seen);
  digest->seen[digest->seen_count++] = object;
  return false;
}

static void take_array(Digest *digest, const Array *array) {
  mix(digest, array ? (uint64_t)array->rank : UINT64_MAX);
  if (!array || met(digest, array)) return;
  for (int i = 0; i < array->rank; i++) mix(digest, array->shape[i]);
  for (size_t i = 0; i < array->size; i++) take_number(digest, array->data[i]);
}

static void take_expr(Digest *digest, const Expr *e) {
  mix(digest, e ? (uint64_t)e->prim : UINT64_MAX);
  if (!e || met(digest, e)) return;
  take_number(digest, e->value);
  mix(digest, (uint64_t)e->index);
  for (int i = 0; i < prim_arity(e->prim); i++) take_expr(digest, e->arg[i]);
}

/* Fields of two times may be missing at first and follow from what made the others. */
static void take_result(Digest *digest, const Result *result) {
  digest_text(digest, result->kind);
  for (int i = 0; i < result->attribute_count; i++) {
    const ResultAttribute *attribute = &result->attributes[i];
    if (strcmp(attribute->name, "seconds") == 0) continue;
    digest_text(digest, attribute->name);
    digest_text(digest, attribute->value);
  }
  for (int i = 0; i < result->field_count; i++)
    if (!result->fields[i].layer) take_array(digest, result->fields[i].value);
}

static void take_values(Digest *digest, Value *const *values, int count) {
  mix(digest, (uint64_t)count);
  for (int i = 0; i < count; i++) digest_value(digest, values[i]);
}

/* A declaration of the script, whose body sees the globals. */
static void take_function(Digest *digest, const Ast *node) {
  if (met(digest, node)) return;
  const Scope *scope = digest->scope;
  digest->scope = digest->eval->globals;
  digest_expression(digest, node);
  digest->scope = scope;
}

static void take_activation(Digest *digest, const Value *value) {
  const Ast *node = value->activation.node;
  if (!node) {
    take_expr(digest, value->activation.expr);
    return;
  }
  take_function(digest, node);
  if (value->activation.bound) take_values(digest, value->activation.bound, node->count);
}

static void take_link(Digest *digest, const Value *value) {
  digest_value(digest, value->link.maker);
  take_values(digest, value->link.args, value->link.count);
  mix(digest, (uint64_t)value->link.endless);
}

static void take_matrix(Digest *digest, const Value *value) {
  mix(digest, 2 * (uint64_t)value->matrix.index + value->matrix.transposed);
  take_number(digest, value->matrix.factor);
}

static void take_optimizer(Digest *digest, const Value *value) {
  const Value *builtin = value->optimizer.builtin;
  digest_value(digest, builtin);
  take_values(digest, value->optimizer.args, builtin->builtin.signature->count);
}

static void take_contents(Digest *digest, const Value *value) {
  switch (value->kind) {
  case VALUE_NUMBER: take_number(digest, value->number); break;
  case VALUE_ARRAY: take_array(digest, value->array); break;
  case VALUE_STRING: digest_text(digest, value->string); break;
  case VALUE_LIST: take_values(digest, value->list.items, value->list.count); break;
  case VALUE_SYMBOL: take_expr(digest, value->symbol); break;
  case VALUE_FUNCTION:
  case VALUE_LAYER: take_function(digest, value->function); break;
  case VALUE_BUILTIN: digest_text(digest, value->builtin.row->name); break;
  case VALUE_ACTIVATION: take_activation(digest, value); break;
  case VALUE_LOSS: take_expr(digest, value->loss.expr); break;
  case VALUE_CHAIN: take_values(digest, value->chain.links, value->chain.count); break;
  case VALUE_LINK: take_link(digest, value); break;
  case VALUE_MATRIX: take_matrix(digest, value); break;
  case VALUE_OPTIMIZER: take_optimizer(digest, value); break;
  case VALUE_DECLARED: take_values(digest, value->declared.slot, DECLARED_MAX_KEYS); break;
  case VALUE_SYSTEM:
    take_function(digest, value->dynamics.node);
    take_values(digest, value->dynamics.key, value->dynamics.count);
    break;
  case VALUE_POPULATION: mix(digest, (uint64_t)value->population); break;
  case VALUE_CURVE:
    take_array(digest, value->curve.x);
    take_array(digest, value->curve.y);
    break;
  case VALUE_RESULT:
  case VALUE_STDERR: take_result(digest, value->result); break;
  case VALUE_FAMILY:
    take_result(digest, value->family.result);
    digest_text(digest, value->family.name);
    break;
  case VALUE_TERM:
  case VALUE_BROKEN:
  case VALUE_UNKNOWN:
  case VALUE_NONE: break;
  }
}

void digest_value(Digest *digest, const Value *value) {
  mix(digest, value ? (uint64_t)value->kind : UINT64_MAX);
  if (value && !met(digest, value)) take_contents(digest, value);
}

static void take_name(Digest *digest, const Ast *node) {
  const char *name = node->name;
  digest_text(digest, name);
  size_t count = (size_t)digest->name_count + 1;
  digest->names = mem_grow(digest->names, count * sizeof *digest->names);
  digest->names[digest->name_count++] = name;
  const Binding *binding = scope_meant(digest->scope, name, node->span.source);
  if (!binding) return;
  const Value *value = binding->value;
  digest->reads |= value->kind == VALUE_BUILTIN && (value->builtin.row->flags & BUILTIN_READS);
  digest_value(digest, value);
}

void digest_expression(Digest *digest, const Ast *node) {
  mix(digest, node ? (uint64_t)node->kind : UINT64_MAX);
  if (!node) return;
  if (node->kind == AST_NAME) {
    take_name(digest, node);
    return;
  }
  mix(digest, (uint64_t)node->op);
  take_number(digest, node->number);
  if (node->name) digest_text(digest, node->name);
  mix(digest, (uint64_t)node->count);
  for (int i = 0; i < node->count; i++) digest_expression(digest, node->kid[i]);
}
