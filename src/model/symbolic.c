/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Functions of the script as scalar expressions: their body is evaluated with a symbol for its
 * argument. */
#include "model/eval.h"
#include "model/axes.h"
#include "model/system.h"
#include "model/trail.h"
#include "base/memory.h"
#include "base/work.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static Value *argument(Eval *eval, int index) {
  Value *value = value_new(&eval->heap, VALUE_SYMBOL);
  value->symbol = expr_arg(eval->pool, index);
  return value;
}

bool eval_is_activation(const Value *value) {
  switch (value->kind) {
  case VALUE_FUNCTION:
  case VALUE_ACTIVATION: return true;
  case VALUE_BUILTIN: return value->builtin.row->flags & BUILTIN_ELEMENTWISE;
  default: return false;
  }
}

/* What a body gave, as an expression. */
static const Expr *as_expr(Eval *eval, Span span, const char *name, const Value *value) {
  switch (value->kind) {
  case VALUE_SYMBOL: return value->symbol;
  case VALUE_NUMBER: return expr_const(eval->pool, value->number);
  case VALUE_BROKEN:
  case VALUE_UNKNOWN: return NULL;
  default:
    eval_error(eval, span, NULL, "'%s' must give a number for a number, not %s", name,
               value_describe(value));
    return NULL;
  }
}

/* A single elementwise builtin, applied to the symbol as a call in the script would. */
static Value *builtin_of(Eval *eval, Span span, Value *function, Value *x) {
  Value *args[] = {x};
  Call call = {.eval = eval,
               .row = function->builtin.row,
               .signature = function->builtin.signature,
               .span = span,
               .args = args,
               .places = &span,
               .count = 1};
  return function->builtin.row->run(&call);
}

static Value *body_of(Eval *eval, Span span, const Ast *node, Value *first, Value **bound) {
  Value **args = mem_new((size_t)node->count, sizeof *args);
  args[0] = first;
  for (int i = 0; bound && i + 2 < node->count; i++) args[i + 1] = bound[i];
  Value *value = eval_body(eval, node, args, span);
  free(args);
  return value;
}

/* What a function makes of a symbol: of a variable of a layer one, if it is a constant. */
static const Expr *image_of(Eval *eval, const Expr *expr, const Expr *x) {
  if (expr_is_endless(expr)) return expr;
  if (!eval->forward) return expr_substitute(eval->pool, expr, &x);
  const Expr *zero = expr_const(eval->pool, 0), *image;
  image = expr_substitute_whole(eval->pool, expr, &x);
  if (image->leaves > 0) return image;
  x = expr_call_whole(eval->pool, PRIM_MUL, zero, x, NULL);
  return expr_call_whole(eval->pool, PRIM_ADD, x, image, NULL);
}

static Value *evaluate_expr(Eval *eval, Span span, const Expr *expr, Value *x) {
  if (x->kind == VALUE_SYMBOL) {
    const Expr *image = image_of(eval, expr, x->symbol);
    if (expr_is_endless(image))
      return eval_fail(eval, STATUS_LIMIT, span, NULL, "a function of too many operations");
    if (eval->system) return system_map(eval, span, image, x);
    Value *value = value_new(&eval->heap, VALUE_SYMBOL);
    value->symbol = image;
    return value;
  }
  Value *value;
  if (x->kind == VALUE_NUMBER) {
    value = value_number(&eval->heap, expr_eval(expr, &x->number));
  } else {
    enum { ELEMENT_WORK = 20 };
    bool affordable = eval_affords(eval, ELEMENT_WORK * (double)x->array->size);
    Array *array = affordable ? array_new(x->array->rank, x->array->shape) : NULL;
    if (!array) return NULL;
    for (size_t i = 0; i < array->size && work_goes_on(i); i++)
      array->data[i] = expr_eval(expr, &x->array->data[i]);
    if (work_stopped()) return array_drop(array), NULL;
    value = value_array(&eval->heap, array);
  }
  value->known = x->known;
  return value;
}

static Value *apply_again(Eval *eval, const Trail *trail, Value **args) {
  (void)trail;
  Value *value = evaluate_expr(eval, (Span){0}, args[0]->activation.expr, args[1]);
  return value ? value : eval_starve(eval, (Span){0});
}

Value *eval_apply(Eval *eval, Span span, Value *function, Value *x) {
  if (x->kind == VALUE_BROKEN || x->kind == VALUE_UNKNOWN) return x;
  switch (function->kind) {
  case VALUE_BUILTIN: return builtin_of(eval, span, function, x);
  case VALUE_FUNCTION: return body_of(eval, span, function->function, x, NULL);
  default: break;
  }
  if (function->activation.node)
    return body_of(eval, span, function->activation.node, x, function->activation.bound);
  if (x->kind != VALUE_SYMBOL && !value_is_numeric(x))
    return eval_error(eval, span, NULL, "'%s' works on numbers and arrays, not on %s",
                      function->activation.name, value_describe(x));
  Value *value = evaluate_expr(eval, span, function->activation.expr, x);
  if (value) axes_follow(value, 1, &x);
  if (value) trail_note(eval, value, apply_again, 0, 2, (Value *[]){function, x});
  return value ? value : eval_starve(eval, span);
}

static const char *function_name(const Value *value) {
  switch (value->kind) {
  case VALUE_BUILTIN: return value->builtin.row->name;
  case VALUE_FUNCTION: return value->function->name;
  default: return value->activation.name;
  }
}

/* The body of a function of the script; `otherwise` for one of the language. */
static Span body_span(const Value *value, Span otherwise) {
  const Ast *node = value->kind == VALUE_FUNCTION     ? value->function
                    : value->kind == VALUE_ACTIVATION ? value->activation.node
                                                      : NULL;
  return node ? node->kid[node->count - 1]->span : otherwise;
}

const Expr *eval_activation(Eval *eval, Span span, Value *value) {
  if (value->kind == VALUE_BROKEN || value->kind == VALUE_UNKNOWN) return NULL;
  if (!eval_is_activation(value)) {
    const char *hint = "such as tanh, relu, linear, or one declared with 'activation'";
    if (value->kind == VALUE_BUILTIN)
      eval_error(eval, span, hint, "the function '%s' cannot be an activation",
                 function_name(value));
    else
      eval_error(eval, span, hint, "an activation is a function, not %s", value_describe(value));
    return NULL;
  }
  struct Forward *outer = eval->forward;
  struct Builder *system = eval->system;
  eval->system = NULL;
  eval->forward = NULL; /* its argument is a number, not a variable of the layer under way */
  Value *image = eval_apply(eval, span, value, argument(eval, 0));
  eval->forward = outer;
  eval->system = system;
  return as_expr(eval, body_span(value, span), function_name(value), image);
}

const Expr *eval_loss(Eval *eval, const Ast *node) {
  if (node->count != 3) {
    eval_error(eval, node->name_span, "loss NAME(f, y) = ...", "a loss is a function of f and y");
    return NULL;
  }
  Value *args[] = {argument(eval, 0), argument(eval, 1)};
  Value *image = eval_body(eval, node, args, node->name_span);
  return as_expr(eval, node->kid[2]->span, node->name, image);
}

Value *eval_derivative(Call *call) {
  enum { MOST_NODES = 100000 };
  Eval *eval = call->eval;
  double order = call->args[1]->kind == VALUE_NUMBER ? call->args[1]->number : NAN;
  if (!(order >= 0 && order <= 16) || order != floor(order))
    return eval_error(eval, call->places[1], NULL, "the order of a derivative is 0, 1, ..., 16");
  const Expr *expr = eval_activation(eval, call->places[0], call->args[0]);
  if (!expr) return value_new(&eval->heap, VALUE_BROKEN);
  unsigned first = expr->id;
  for (int i = 0; i < (int)order; i++) {
    if (expr->id > first + MOST_NODES)
      return eval_fail(eval, STATUS_LIMIT, call->span, NULL,
                       "the derivative of order %d has too many operations", i);
    expr = expr_diff(eval->pool, expr, 0);
  }
  Value *value = value_new(&eval->heap, VALUE_ACTIVATION);
  value->activation.name =
      mem_format("derivative(%s, %d)", function_name(call->args[0]), (int)order);
  value->activation.expr = expr;
  return value;
}
