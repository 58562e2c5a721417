/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/axes.h"
#include "model/declare.h"
#include "model/system.h"
#include "model/eval.h"
#include "model/trail.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A field of a result for which another stands in, as it was before. */
static bool is_stale(const Eval *eval, const Value *value) {
  return eval->standin && value_is_numeric(value) && value->source == eval->standin->result;
}

/* Whether this name in one key of a declaration is that of another. */
static bool is_beside(const Eval *eval, const Ast *node) {
  bool inside = false, named = false;
  for (int i = 0; i < eval->entry_count; i++) {
    const Ast *entry = eval->entries[i];
    if (entry->kind != AST_ENTRY) continue;
    inside |= entry->span.source == node->span.source && entry->span.begin <= node->span.begin &&
              node->span.end <= entry->span.end;
    named |= strcmp(entry->name, node->name) == 0;
  }
  return inside && named;
}

static Value *lookup(Eval *eval, const Ast *node) {
  Binding *binding = scope_meant(eval->scope, node->name, node->span.source);
  if (binding && is_stale(eval, binding->value))
    return eval_error(eval, node->span, "write the field itself, such as theory.loss",
                      "'%s' holds numbers that do not fluctuate with their result", node->name);
  if (binding) return binding->value;
  if (eval->blind) return value_new(&eval->heap, VALUE_BROKEN);
  if (is_beside(eval, node))
    return eval_error(eval, node->span,
                      "keys do not see each other: give the value a name before the declaration",
                      "unknown name '%s'", node->name);
  const char **names = scope_names(eval->scope);
  Value *broken =
      eval_unknown(eval, node->span, node->name, names, "unknown name '%s'", node->name);
  free(names);
  return broken;
}

/* The elements of a literal, and what they have in common. */
typedef struct Elements {
  Value **items;
  int count;
  bool broken, unknown, known, numeric, truth;
} Elements;

/* With room for so many; items is NULL without memory for them. */
static Elements elements_new(size_t room) {
  return (Elements){
      .items = mem_try(room, sizeof(Value *)), .known = true, .numeric = true, .truth = true};
}

static void element_add(Elements *e, Value *item) {
  e->items[e->count++] = item;
  e->broken |= item->kind == VALUE_BROKEN;
  e->unknown |= item->kind == VALUE_UNKNOWN;
  e->known &= item->known;
  e->numeric &= value_is_numeric(item);
  e->truth &= item->truth;
}

/* Numbers or arrays as one array; NULL when they have different shapes, or (array_failure) for want
 * of memory. */
static Array *stack(int count, Value *const *items) {
  Array **parts = mem_new((size_t)count, sizeof *parts);
  for (int i = 0; i < count; i++) parts[i] = value_as_array(items[i]);
  const char *why;
  Array *stacked = array_stack((size_t)count, (const Array *const *)parts, &why);
  for (int i = 0; i < count; i++) array_drop(parts[i]);
  free(parts);
  return stacked;
}

static Value *stack_again(Eval *eval, const Trail *trail, Value **args) {
  Array *stacked = stack(trail->count, args);
  if (stacked) return value_array(&eval->heap, stacked);
  return array_failure() == STATUS_LIMIT ? eval_starve(eval, (Span){0})
                                         : value_new(&eval->heap, VALUE_BROKEN);
}

/* Elements become an array when they are numbers or arrays of one shape, else a list. */
static Value *assemble(Eval *eval, Span span, Elements *e) {
  bool whole = !e->broken && !e->unknown, tried = whole && e->numeric;
  Array *stacked = tried ? stack(e->count, e->items) : NULL;
  Value *value;
  if (tried && !stacked && array_failure() == STATUS_LIMIT) {
    value = eval_starve(eval, span);
  } else if (!whole) {
    value = value_new(&eval->heap, e->broken ? VALUE_BROKEN : VALUE_UNKNOWN);
  } else if (stacked) {
    value = value_array(&eval->heap, stacked);
    value->known = e->known;
    value->truth = e->truth && e->count > 0;
    axes_stack(value, e->count, e->items);
    trail_note(eval, value, stack_again, 0, e->count, e->items);
  } else {
    value = value_new(&eval->heap, VALUE_LIST);
    value->known = e->known;
    value->list.items = mem_new((size_t)e->count, sizeof *e->items);
    value->list.count = e->count;
    for (int i = 0; i < e->count; i++) value->list.items[i] = value_keep(e->items[i]);
  }
  free(e->items);
  return value;
}

/* In a system vectors and its numbers make rows. */
static Value *of_system(Eval *eval, Span span, Value *value) {
  return eval->system && value->kind == VALUE_LIST ? system_list(eval, span, value) : value;
}

static Value *literal(Eval *eval, const Ast *node) {
  Elements e = elements_new((size_t)node->count);
  if (!e.items) return eval_starve(eval, node->span);
  for (int i = 0; i < node->count; i++) element_add(&e, eval_expression(eval, node->kid[i]));
  return of_system(eval, node->span, assemble(eval, node->span, &e));
}

/* [expression for x in values]: x is a name of the expression alone. */
static Value *each(Eval *eval, const Ast *node) {
  Value *values = eval_expression(eval, node->kid[1]);
  long long count = eval_length(eval, values, node->kid[1]->span);
  if (count < 0)
    return value_new(&eval->heap, values->kind == VALUE_UNKNOWN ? VALUE_UNKNOWN : VALUE_BROKEN);
  if (!eval_affords(eval, (double)count)) return value_new(&eval->heap, VALUE_UNKNOWN);
  Elements e = elements_new((size_t)count);
  if (!e.items) return eval_starve(eval, node->span);
  Scope *outer = eval->scope;
  eval->scope = scope_new(outer);
  for (long long i = 0; i < count && !e.broken && !e.unknown; i++) {
    size_t mark = eval->heap.count;
    Value *element = eval_element(eval, node->kid[1]->span, values, i);
    scope_set(eval->scope, node->name, element, node->name_span);
    Value *value = eval_expression(eval, node->kid[0]);
    heap_release(&eval->heap, mark, value);
    element_add(&e, value);
  }
  scope_free(eval->scope);
  eval->scope = outer;
  return of_system(eval, node->span, assemble(eval, node->span, &e));
}

static Value *range(Eval *eval, const Ast *node) {
  Value *end[2];
  for (int i = 0; i < 2; i++) end[i] = eval_expression(eval, node->kid[i]);
  for (int i = 0; i < 2; i++) {
    if (end[i]->kind == VALUE_BROKEN) return end[i];
    if (end[i]->kind != VALUE_NUMBER && end[i]->kind != VALUE_UNKNOWN)
      return eval_error(eval, node->kid[i]->span, NULL, "a range goes between numbers, not %s",
                        value_describe(end[i]));
  }
  if (!end[0]->known || !end[1]->known) return value_new(&eval->heap, VALUE_UNKNOWN);
  const char *why;
  Array *array = array_range(end[0]->number, end[1]->number, 1, &why);
  return eval_array(eval, node->span, array, why, true);
}

/* The branch that is not taken, of which nothing is said. */
static Value *aside(Eval *eval, const Ast *node) {
  Diags muted = {0}, *own = eval->diags;
  unsigned draws = eval->draws;
  eval->diags = &muted;
  eval->aside = true;
  Value *value = eval_expression(eval, node);
  eval->aside = false;
  eval->diags = own;
  eval->draws = draws;
  eval->halted = eval_stops(eval);
  diags_clear(&muted);
  return value;
}

/* What one sampled number chooses: within its error it could be the other branch. Of that one no
 * further branch is looked at aside, since recursions end where they are sure. */
static Value *decided(Eval *eval, const Ast *node, Value *condition, bool truth) {
  Value *taken = eval_expression(eval, node->kid[truth ? 1 : 2]);
  if (!condition->trail || eval->dry || eval->aside || !value_is_numeric(taken)) return taken;
  const Array *error = trail_error(eval, condition);
  if (!error || error->data[0] == 0) return taken;
  bool known = !isnan(error->data[0]);
  Value *other = known ? aside(eval, node->kid[truth ? 2 : 1]) : taken;
  if (!value_is_numeric(other)) other = value_number(&eval->heap, NAN);
  return eval_decide(eval, condition, taken, other, truth);
}

static Value *conditional(Eval *eval, const Ast *node) {
  Value *condition = eval_expression(eval, node->kid[0]);
  if (condition->kind == VALUE_BROKEN) return condition;
  if (condition->kind == VALUE_ARRAY || condition->kind == VALUE_SYMBOL || !condition->known) {
    eval->doubt++;
    Value *yes = eval_expression(eval, node->kid[1]), *no = eval_expression(eval, node->kid[2]);
    eval->doubt--;
    return eval_choose(eval, node->span, condition, yes, no);
  }
  int truth = eval_truth(eval, condition, node->kid[0]->span);
  if (truth < 0) return value_new(&eval->heap, VALUE_BROKEN);
  return decided(eval, node, condition, truth);
}

/* A @ V @ x in the body of a layer: what stands last is acted on first. */
static Value *acted(Eval *eval, const Ast *node, Value *x) {
  bool product = node->kind == AST_BINARY && node->op == '@';
  Value *a = eval_expression(eval, product ? node->kid[1] : node);
  Value *image = eval_operator(eval, node, '@', a, x);
  return product ? acted(eval, node->kid[0], image) : image;
}

static Value *number(Eval *eval, const Ast *node) {
  Value *value = value_number(&eval->heap, node->number);
  value->literal = eval->forward && node->span.source && !node->span.source->recipe;
  return value;
}

static Value *operation(Eval *eval, const Ast *node) {
  const Ast *left = node->kid[0];
  if (eval->forward && node->op == '@' && left->kind == AST_BINARY && left->op == '@')
    return acted(eval, left, eval_expression(eval, node->kid[1]));
  Value *a = eval_expression(eval, node->kid[0]);
  bool both = node->op == AST_AND || node->op == AST_OR;
  if (both && a->kind == VALUE_NUMBER && a->known && !isnan(a->number) &&
      (a->number != 0) == (node->op == AST_OR))
    return value_truth(value_number(&eval->heap, node->op == AST_OR));
  Value *b = eval_expression(eval, node->kid[1]);
  if (node->op != AST_ARROW) return eval_operator(eval, node, node->op, a, b);
  return chain_join(eval, node, eval_call_bare(eval, node->kid[0], a),
                    eval_call_bare(eval, node->kid[1], b));
}

static Value *evaluate(Eval *eval, const Ast *node) {
  switch (node->kind) {
  case AST_NUMBER: return number(eval, node);
  case AST_STRING: return value_string(&eval->heap, node->name);
  case AST_NAME: return lookup(eval, node);
  case AST_ARRAY: return literal(eval, node);
  case AST_EACH: return each(eval, node);
  case AST_RANGE: return range(eval, node);
  case AST_UNARY:
    return eval_operator(eval, node, node->op, eval_expression(eval, node->kid[0]), NULL);
  case AST_BINARY: return operation(eval, node);
  case AST_IF: return conditional(eval, node);
  case AST_CALL: return eval_call(eval, node);
  case AST_INDEX: return eval_index(eval, node);
  case AST_FIELD: return eval_field(eval, node);
  case AST_WITH: return declare_variant(eval, node);
  case AST_CLOSURE: return eval_closure(eval, node);
  default: return value_new(&eval->heap, VALUE_BROKEN);
  }
}

Value *eval_expression(Eval *eval, const Ast *node) {
  if (eval_interrupted(eval, node->span)) return value_new(&eval->heap, VALUE_BROKEN);
  if (!eval_affords(eval, EXPRESSION_WORK)) return value_new(&eval->heap, VALUE_UNKNOWN);
  if (eval->depth >= EXPRESSION_DEPTH)
    return eval_fail(eval, STATUS_LIMIT, node->span, NULL, "expressions are nested too deeply");
  eval->depth++;
  Value *value = evaluate(eval, node);
  eval->depth--;
  return value;
}
