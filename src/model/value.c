/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/value.h"
#include "base/memory.h"
#include "model/trail.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

Value *value_keep(Value *value) {
  if (value) value->references++;
  return value;
}

static void signature_free(Signature *signature) {
  if (!signature) return;
  for (int i = 0; i < signature->count; i++) {
    free(signature->list[i].name);
    value_drop(signature->list[i].fallback);
  }
  free(signature->list);
  free(signature);
}

static void drop_activation(Value *value) {
  free(value->activation.name);
  if (!value->activation.bound) return;
  for (int i = 0; i < value->activation.node->count; i++) value_drop(value->activation.bound[i]);
  free(value->activation.bound);
}

static void drop_optimizer(Optimizer *optimizer) {
  int count = optimizer->builtin ? optimizer->builtin->builtin.signature->count : 0;
  for (int i = 0; i < count; i++) value_drop(optimizer->args[i]);
  value_drop(optimizer->builtin);
  free(optimizer->args);
  free(optimizer->places);
}

static void drop_declared(Declared *declared) {
  free(declared->name);
  for (int i = 0; i < DECLARED_MAX_KEYS; i++) value_drop(declared->slot[i]);
}

static void drop_dynamics(Dynamics *dynamics) {
  for (int i = 0; i < dynamics->count; i++) value_drop(dynamics->key[i]);
  free(dynamics->key);
  free(dynamics->place);
  free(dynamics->given);
}

static void drop_link(Link *link) {
  value_drop(link->maker);
  for (int i = 0; i < link->count; i++) value_drop(link->args[i]);
  free(link->args);
  free(link->places);
  free(link->text);
}

static void drop_contents(Value *value) {
  switch (value->kind) {
  case VALUE_ARRAY: array_drop(value->array); break;
  case VALUE_STRING: free(value->string); break;
  case VALUE_LIST:
    for (int i = 0; i < value->list.count; i++) value_drop(value->list.items[i]);
    free(value->list.items);
    break;
  case VALUE_BUILTIN: signature_free(value->builtin.signature); break;
  case VALUE_ACTIVATION: drop_activation(value); break;
  case VALUE_LOSS: free(value->loss.name); break;
  case VALUE_CHAIN:
    for (int i = 0; i < value->chain.count; i++) value_drop(value->chain.links[i]);
    free(value->chain.links);
    break;
  case VALUE_LINK: drop_link(&value->link); break;
  case VALUE_OPTIMIZER: drop_optimizer(&value->optimizer); break;
  case VALUE_DECLARED: drop_declared(&value->declared); break;
  case VALUE_SYSTEM: drop_dynamics(&value->dynamics); break;
  case VALUE_RESULT:
  case VALUE_STDERR: result_drop(value->result); break;
  case VALUE_CURVE:
    array_drop(value->curve.x);
    array_drop(value->curve.y);
    free(value->curve.label);
    break;
  case VALUE_FAMILY:
    result_drop(value->family.result);
    free(value->family.name);
    break;
  default: break;
  }
}

void value_drop(Value *value) {
  if (!value || --value->references > 0) return;
  drop_contents(value);
  trail_drop(value->trail);
  result_drop(value->source);
  array_drop(value->error);
  axes_drop(value->axes);
  free(value->field);
  free(value);
}

static void heap_add(Heap *heap, Value *value) {
  if (heap->count == heap->capacity) {
    heap->capacity = heap->capacity ? 2 * heap->capacity : 64;
    heap->items = mem_grow(heap->items, heap->capacity * sizeof *heap->items);
  }
  heap->items[heap->count++] = value;
}

void heap_release(Heap *heap, size_t mark, Value *result) {
  value_keep(result);
  while (heap->count > mark) value_drop(heap->items[--heap->count]);
  if (result) heap_add(heap, result);
}

void heap_keep(Heap *heap, Value *value) { heap_add(heap, value_keep(value)); }

void heap_free(Heap *heap) {
  heap_release(heap, 0, NULL);
  free(heap->items);
  *heap = (Heap){0};
}

Value *value_new(Heap *heap, ValueKind kind) {
  Value *value = mem_new(1, sizeof *value);
  value->references = 1;
  value->kind = kind;
  value->known = kind != VALUE_UNKNOWN;
  heap_add(heap, value);
  return value;
}

Value *value_number(Heap *heap, double number) {
  Value *value = value_new(heap, VALUE_NUMBER);
  value->number = isnan(number) ? NAN : number; /* its sign means nothing, but would be printed */
  return value;
}

Value *value_array(Heap *heap, Array *array) {
  if (array->rank == 0) {
    Value *value = value_number(heap, array->data[0]);
    array_drop(array);
    return value;
  }
  Value *value = value_new(heap, VALUE_ARRAY);
  value->array = array;
  return value;
}

Value *value_string(Heap *heap, const char *text) {
  Value *value = value_new(heap, VALUE_STRING);
  value->string = mem_string(text);
  return value;
}

Value *value_result(Heap *heap, Result *result) {
  Value *value = value_new(heap, VALUE_RESULT);
  value->result = result;
  return value;
}

const char *value_list_hint(const Value *value) {
  if (value->kind != VALUE_LIST) return NULL;
  for (int i = 0; i < value->list.count; i++)
    if (!value_is_numeric(value->list.items[i])) return "an array holds numbers alone";
  return "an array has rows of one length";
}

Value *value_truth(Value *value) {
  value->truth = value_is_numeric(value);
  return value;
}

Value *value_forget(Heap *heap, Value *value) {
  if (!value->known) return value;
  Value *copy;
  switch (value->kind) {
  case VALUE_NUMBER: copy = value_number(heap, value->number); break;
  case VALUE_ARRAY: copy = value_array(heap, array_keep(value->array)); break;
  case VALUE_STRING: copy = value_string(heap, value->string); break;
  case VALUE_LIST: copy = value_new(heap, VALUE_UNKNOWN); break;
  default: return value;
  }
  copy->known = false;
  copy->truth = value->truth;
  return copy;
}

bool value_is_numeric(const Value *value) {
  return value->kind == VALUE_NUMBER || value->kind == VALUE_ARRAY;
}

Array *value_as_array(const Value *value) {
  if (value->kind == VALUE_ARRAY) return array_keep(value->array);
  return value->kind == VALUE_NUMBER ? array_scalar(value->number) : NULL;
}

const char *declared_kind_name(DeclaredKind kind) {
  static const char *const names[] = {"dataset", "model", "training"};
  return names[kind];
}

static void describe_array(const Value *value, char *text, size_t size) {
  const Array *array = value->array;
  size_t used =
      (size_t)snprintf(text, size, "an array of %sshape [", value->truth ? "truth values of " : "");
  for (int i = 0; i < array->rank && used < size; i++)
    used += (size_t)snprintf(text + used, size - used, i ? ", %zu" : "%zu", array->shape[i]);
  if (used < size) snprintf(text + used, size - used, "]");
}

bool value_is_closure(const Value *value) {
  const Ast *node = value->kind == VALUE_ACTIVATION ? value->activation.node : NULL;
  return node && node->kind == AST_CLOSURE;
}

const char *value_describe(const Value *value) {
  enum { ROOM = 160, TURNS = 4 };
  static _Thread_local char texts[TURNS][ROOM];
  static _Thread_local int turn;
  char *text = texts[turn++ % TURNS];
  switch (value->kind) {
  case VALUE_BROKEN: return "something broken";
  case VALUE_UNKNOWN: return "something not known yet";
  case VALUE_NONE: return "nothing";
  case VALUE_NUMBER: return value->truth ? "a truth value" : "a number";
  case VALUE_ARRAY: describe_array(value, text, ROOM); return text;
  case VALUE_STRING: return "a string";
  case VALUE_LIST: return "a list";
  case VALUE_SYMBOL: return "a variable of an activation, a loss, a layer or a system";
  case VALUE_FUNCTION:
  case VALUE_BUILTIN: return "a function";
  case VALUE_ACTIVATION: return value_is_closure(value) ? "a function" : "an activation";
  case VALUE_LOSS: return "a loss";
  case VALUE_LAYER: return "a layer without its arguments";
  case VALUE_CHAIN:
  case VALUE_LINK: return "a chain of layers";
  case VALUE_MATRIX: return "a matrix";
  case VALUE_OPTIMIZER: return "an optimizer";
  case VALUE_DECLARED:
    snprintf(text, ROOM, "a %s", declared_kind_name(value->declared.kind));
    return text;
  case VALUE_SYSTEM: return value->dynamics.node->op == AST_DATASET ? "a dataset" : "a system";
  case VALUE_POPULATION: return "a population";
  case VALUE_TERM:
    return value->term.kind == TERM_OUTER      ? "an outer product"
           : value->term.kind == TERM_EXPONENT ? "an exponent"
                                               : "a table over pairs of times";
  case VALUE_RESULT: return "a result";
  case VALUE_CURVE: return "a curve";
  case VALUE_STDERR: return "the standard errors of a result";
  case VALUE_FAMILY: return "a field with one array for each layer";
  }
  return "a value";
}
