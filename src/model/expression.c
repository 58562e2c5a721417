/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/declare.h"
#include "model/eval.h"

#include <stdlib.h>
#include <string.h>

static Value *lookup(Eval *eval, const Ast *node) {
  Binding *binding = scope_find(eval->scope, node->name);
  if (binding) return binding->value;
  if (eval->blind) return value_new(&eval->heap, VALUE_BROKEN);
  const char **names = scope_names(eval->scope);
  Value *broken =
      eval_unknown(eval, node->span, node->name, names, "unknown name '%s'", node->name);
  free(names);
  return broken;
}

/* A literal becomes an array when its elements are numbers or arrays of one shape, else a list. */
static Value *literal(Eval *eval, const Ast *node) {
  Value **items = mem_new((size_t)node->count, sizeof *items);
  bool broken = false, unknown = false, known = true, numeric = true;
  for (int i = 0; i < node->count; i++) {
    items[i] = eval_expression(eval, node->kid[i]);
    broken |= items[i]->kind == VALUE_BROKEN;
    unknown |= items[i]->kind == VALUE_UNKNOWN;
    known &= items[i]->known;
    numeric &= value_is_numeric(items[i]);
  }
  Value *value;
  if (broken || unknown) {
    value = value_new(&eval->heap, broken ? VALUE_BROKEN : VALUE_UNKNOWN);
  } else {
    Array *stacked = NULL;
    if (numeric) {
      Array **parts = mem_new((size_t)node->count, sizeof *parts);
      for (int i = 0; i < node->count; i++) parts[i] = value_as_array(items[i]);
      const char *why;
      stacked = array_stack((size_t)node->count, (const Array *const *)parts, &why);
      for (int i = 0; i < node->count; i++) array_drop(parts[i]);
      free(parts);
    }
    if (stacked) {
      value = value_array(&eval->heap, stacked);
    } else {
      value = value_new(&eval->heap, VALUE_LIST);
      value->list.items = mem_new((size_t)node->count, sizeof *items);
      value->list.count = node->count;
      for (int i = 0; i < node->count; i++) value->list.items[i] = value_keep(items[i]);
    }
    value->known = known;
  }
  free(items);
  return value;
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
  return eval_expression(eval, node->kid[truth ? 1 : 2]);
}

static Value *operation(Eval *eval, const Ast *node) {
  Value *a = eval_expression(eval, node->kid[0]);
  bool both = node->op == AST_AND || node->op == AST_OR;
  if (both && a->kind == VALUE_NUMBER && a->known && (a->number != 0) == (node->op == AST_OR))
    return value_number(&eval->heap, node->op == AST_OR);
  Value *b = eval_expression(eval, node->kid[1]);
  if (node->op != AST_ARROW) return eval_operator(eval, node, node->op, a, b);
  return chain_join(eval, node, eval_call_bare(eval, node->kid[0], a),
                    eval_call_bare(eval, node->kid[1], b));
}

static Value *evaluate(Eval *eval, const Ast *node) {
  switch (node->kind) {
  case AST_NUMBER: return value_number(&eval->heap, node->number);
  case AST_STRING: return value_string(&eval->heap, node->name);
  case AST_NAME: return lookup(eval, node);
  case AST_ARRAY: return literal(eval, node);
  case AST_RANGE: return range(eval, node);
  case AST_UNARY:
    return eval_operator(eval, node, node->op, eval_expression(eval, node->kid[0]), NULL);
  case AST_BINARY: return operation(eval, node);
  case AST_IF: return conditional(eval, node);
  case AST_CALL: return eval_call(eval, node);
  case AST_INDEX: return eval_index(eval, node);
  case AST_FIELD: return eval_field(eval, node);
  case AST_WITH: return declare_variant(eval, node);
  default: return value_new(&eval->heap, VALUE_BROKEN);
  }
}

Value *eval_expression(Eval *eval, const Ast *node) {
  if (eval_interrupted(eval, node->span)) return value_new(&eval->heap, VALUE_BROKEN);
  if (eval->depth >= EXPRESSION_DEPTH)
    return eval_fail(eval, STATUS_LIMIT, node->span, NULL, "expressions are nested too deeply");
  eval->depth++;
  Value *value = evaluate(eval, node);
  eval->depth--;
  return value;
}
