/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/advice.h"
#include "base/memory.h"
#include "model/declare.h"
#include "syntax/habits.h"

#include <stdlib.h>
#include <string.h>

enum { KINDS = DECLARED_TRAINING + 1 };

static bool has_key(DeclaredKind kind, const char *name) {
  for (int i = 0; declared_key(kind, i); i++)
    if (strcmp(declared_key(kind, i), name) == 0) return true;
  return false;
}

/* ---- who takes an argument ---- */

typedef enum Taker { OPTIMIZER, LAYER, SOLVER, TAKERS } Taker;

static bool is_taker(Taker taker, const Value *value) {
  if (taker == LAYER) return value->kind == VALUE_LAYER;
  if (value->kind != VALUE_BUILTIN) return false;
  const Signature *signature = value->builtin.signature;
  if (taker == OPTIMIZER) return value->builtin.row->flags & BUILTIN_OPTIMIZER;
  return signature->count && strcmp(signature->list[0].name, "model") == 0;
}

/* The place of the parameter among those of a layer or a builtin; -1 if there is none. */
static int place_of(const Value *value, const char *name) {
  bool layer = value->kind == VALUE_LAYER;
  int count = layer ? value->function->count - 2 : value->builtin.signature->count;
  for (int i = 0; i < count; i++) {
    const char *own =
        layer ? value->function->kid[i]->name : value->builtin.signature->list[i].name;
    if (strcmp(own, name) == 0) return i;
  }
  return -1;
}

/* Names the first of the language that takes this argument; to be freed, NULL if there is none. */
static char *taker_of(const Eval *eval, Taker taker, const char *name) {
  const Scope *base = eval->globals;
  while (base->parent) base = base->parent;
  for (int i = 0; i < base->count; i++) {
    const Binding *binding = &base->items[i];
    int place = is_taker(taker, binding->value) ? place_of(binding->value, name) : -1;
    if (place < 0) continue;
    return mem_format("'%s' is an argument, as in %s(%s%s = ...)", name, binding->name,
                      place ? "..., " : "", name);
  }
  return NULL;
}

/* ---- keys and arguments ---- */

char *advice_for_key(Eval *eval, DeclaredKind kind, const char *name, const char *const *names) {
  static const Taker order[KINDS][TAKERS] = {[DECLARED_DATASET] = {SOLVER, OPTIMIZER, LAYER},
                                             [DECLARED_MODEL] = {LAYER, SOLVER, OPTIMIZER},
                                             [DECLARED_TRAINING] = {OPTIMIZER, SOLVER, LAYER}};
  if (habit_word(name) || suggest(name, names)) return NULL;
  for (int other = 0; other < KINDS; other++)
    if ((DeclaredKind)other != kind && has_key((DeclaredKind)other, name))
      return mem_format("'%s' is a key of a %s", name, declared_kind_name((DeclaredKind)other));
  char *advice = NULL;
  for (int i = 0; i < TAKERS && !advice; i++) advice = taker_of(eval, order[kind][i], name);
  return advice;
}

/* Whether `x with { name = ... }` makes sense for what was given as x. */
static bool varies(DeclaredKind kind, const Value *given, const char *name) {
  if (has_key(kind, name)) return true;
  bool training = kind == DECLARED_TRAINING && given && given->kind == VALUE_DECLARED &&
                  given->declared.kind == kind;
  const Value *optimizer = training ? given->declared.slot[TRAINING_OPTIMIZER] : NULL;
  return optimizer && optimizer->kind == VALUE_OPTIMIZER && optimizer_parameter(optimizer, name);
}

static char *variant(const Ast *argument, const char *kind, const Ast *given) {
  char *base = given ? ast_source(given) : mem_string(kind), *value = ast_source(argument->kid[0]),
       *text = mem_format("'%s' is a key of the %s: %s with { %s = %s }", argument->name, kind,
                          base, argument->name, value);
  free(base);
  free(value);
  return text;
}

char *advice_for_argument(const Ast *argument, const char *const *names, Value *const *values,
                          const Ast *const *nodes) {
  const char *name = argument->name;
  if (habit_word(name) || suggest(name, names)) return NULL;
  for (int i = 0; names[i]; i++)
    for (int kind = 0; kind < KINDS; kind++)
      if (strcmp(names[i], declared_kind_name((DeclaredKind)kind)) == 0 &&
          varies((DeclaredKind)kind, values[i], name))
        return variant(argument, names[i], nodes[i]);
  for (int kind = 0; kind < KINDS; kind++)
    if (has_key((DeclaredKind)kind, name))
      return mem_format("'%s' is a key of a %s", name, declared_kind_name((DeclaredKind)kind));
  return NULL;
}

/* ---- fields ---- */

char *advice_for_field(Eval *eval, const Ast *field) {
  const Binding *binding = scope_find(eval->scope, field->name);
  bool function =
      binding && (binding->value->kind == VALUE_BUILTIN || binding->value->kind == VALUE_FUNCTION);
  bool transposed = strcmp(field->name, "T") == 0;
  if (!function && !transposed) return NULL;
  char *base = ast_source(field->kid[0]),
       *text = transposed ? mem_format("write %s'", base)
                          : mem_format("write %s(%s)", field->name, base);
  free(base);
  return text;
}

/* ---- names of a kind ---- */

static const char **names_of(const Eval *eval, bool (*fits)(const Value *value)) {
  int count = 0, room = 1;
  for (const Scope *scope = eval->scope; scope; scope = scope->parent) room += scope->count;
  const char **names = mem_new((size_t)room, sizeof *names);
  for (const Scope *scope = eval->scope; scope; scope = scope->parent)
    for (int i = 0; i < scope->count; i++)
      if (fits(scope->items[i].value)) names[count++] = scope->items[i].name;
  return names;
}

static bool is_optimizer(const Value *value) { return is_taker(OPTIMIZER, value); }
static bool is_loss(const Value *value) { return value->kind == VALUE_LOSS; }

const char **advice_optimizers(const Eval *eval) { return names_of(eval, is_optimizer); }
const char **advice_losses(const Eval *eval) { return names_of(eval, is_loss); }
