/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/axes.h"
#include "model/declare.h"
#include "model/eval.h"
#include "model/forward.h"
#include "model/trail.h"
#include "model/system.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Plain functions of one and two numbers for each primitive, for array_map and array_zip. */
#define PRIM(id, name, arity, about)                                                               \
  static double one_##id(double x) { return prim_eval(PRIM_##id, x, 0, 0); }                       \
  static double two_##id(double x, double y) { return prim_eval(PRIM_##id, x, y, 0); }
#include "scalar/prim.def"
#undef PRIM

static double (*const ones[PRIM_COUNT])(double) = {
#define PRIM(id, name, arity, about) [PRIM_##id] = one_##id,
#include "scalar/prim.def"
#undef PRIM
};

static double (*const twos[PRIM_COUNT])(double, double) = {
#define PRIM(id, name, arity, about) [PRIM_##id] = two_##id,
#include "scalar/prim.def"
#undef PRIM
};

static bool is_scalar(const Value *value) {
  return value->kind == VALUE_NUMBER || value->kind == VALUE_SYMBOL;
}

static const Expr *as_expr(Eval *eval, const Value *value) {
  return value->kind == VALUE_SYMBOL ? value->symbol : expr_const(eval->pool, value->number);
}

/* An operation on symbols and numbers, of which `of` may be NULL behind the first. A parameter of a
 * layer times a variable is one, also when it is 0; a 0 that the body writes, such as the state
 * that a loop begins from, makes a number. */
static Value *symbol(Eval *eval, Span span, Prim prim, Value *const of[3]) {
  const Expr *e[3] = {NULL};
  bool zero = false;
  for (int i = 0; i < 3 && of[i]; i++) {
    e[i] = as_expr(eval, of[i]);
    zero = zero || (of[i]->literal && of[i]->number == 0);
  }
  const Expr *expr = eval->forward && !zero ? expr_call_whole(eval->pool, prim, e[0], e[1], e[2])
                                            : expr_call(eval->pool, prim, e[0], e[1], e[2]);
  if (expr_is_endless(expr))
    return eval_fail(eval, STATUS_LIMIT, span, NULL, "a function of too many operations");
  if (zero && expr->prim == PRIM_CONST) {
    Value *value = value_number(&eval->heap, expr->value);
    value->literal = true;
    return value;
  }
  Value *value = value_new(&eval->heap, VALUE_SYMBOL);
  value->symbol = expr;
  return value;
}

static Value *broken_or_unknown(Eval *eval, const Value *a, const Value *b) {
  bool broken = a->kind == VALUE_BROKEN || (b && b->kind == VALUE_BROKEN);
  bool unknown = a->kind == VALUE_UNKNOWN || (b && b->kind == VALUE_UNKNOWN);
  if (broken) return value_new(&eval->heap, VALUE_BROKEN);
  return unknown ? value_new(&eval->heap, VALUE_UNKNOWN) : NULL;
}

/* In the body of a layer an array that meets a variable is a table of its positions. */
static Value *tabled(Eval *eval, Span span, Value *value, const Value *other) {
  bool meets =
      eval->forward && value && value->kind == VALUE_ARRAY && other && other->kind == VALUE_SYMBOL;
  return meets ? forward_table(eval, span, value) : value;
}

/* An elementwise primitive on numbers, arrays or symbols; `b` is NULL for one argument. */
Value *eval_prim(Eval *eval, Span span, Prim prim, Value *a, Value *b) {
  Value *early = broken_or_unknown(eval, a, b);
  if (early) return early;
  if (a->kind == VALUE_SYMBOL || (b && b->kind == VALUE_SYMBOL)) {
    if (eval->system) return system_prim(eval, span, prim, a, b);
    Value *first = a;
    a = tabled(eval, span, a, b);
    b = tabled(eval, span, b, first);
    if ((early = broken_or_unknown(eval, a, b))) return early;
    if (!is_scalar(a) || (b && !is_scalar(b)))
      return eval_error(eval, span, NULL, "cannot combine %s with %s", value_describe(a),
                        value_describe(b));
    return symbol(eval, span, prim, (Value *[]){a, b, NULL});
  }
  const Value *odd = !value_is_numeric(a) ? a : b && !value_is_numeric(b) ? b : NULL;
  if (odd)
    return eval_error(eval, span, value_list_hint(odd),
                      "'%s' works on numbers and arrays, not on %s", prim_name(prim),
                      value_describe(odd));
  bool known = a->known && (!b || b->known);
  if (a->kind == VALUE_NUMBER && (!b || b->kind == VALUE_NUMBER)) {
    Value *value = value_number(&eval->heap, prim_eval(prim, a->number, b ? b->number : 0, 0));
    value->known = known;
    value->literal = a->literal && (!b || b->literal);
    return value;
  }
  const char *why = NULL;
  Array *x = value_as_array(a), *y = b ? value_as_array(b) : NULL;
  Array *array = b ? array_zip(x, y, twos[prim], &why) : array_map(x, ones[prim], &why);
  array_drop(x);
  array_drop(y);
  return eval_array(eval, span, array, why, known);
}

static Value *choose_array(Eval *eval, Span span, Value *condition, Value *yes, Value *no) {
  const char *why = NULL;
  Array *c = value_as_array(condition), *a = value_as_array(yes), *b = value_as_array(no);
  Array *array = array_select(c, a, b, &why);
  array_drop(c);
  array_drop(a);
  array_drop(b);
  Value *value = eval_array(eval, span, array, why, condition->known && yes->known && no->known);
  return yes->truth && no->truth ? value_truth(value) : value;
}

static Value *choose(Eval *eval, Span span, Value *condition, Value *yes, Value *no) {
  Value *early = broken_or_unknown(eval, yes, no);
  if (early) return early;
  bool of_system = eval->system && (condition->kind == VALUE_SYMBOL || yes->kind == VALUE_SYMBOL ||
                                    no->kind == VALUE_SYMBOL);
  if (of_system && value_is_numeric(condition) + (condition->kind == VALUE_SYMBOL))
    return system_choose(eval, span, condition, yes, no);
  const Value *variable = condition->kind == VALUE_SYMBOL ? condition
                          : yes->kind == VALUE_SYMBOL     ? yes
                                                          : no;
  condition = tabled(eval, span, condition, variable);
  yes = tabled(eval, span, yes, variable);
  no = tabled(eval, span, no, variable);
  if (condition->kind == VALUE_BROKEN || (early = broken_or_unknown(eval, yes, no)))
    return early ? early : condition;
  if (condition->kind == VALUE_SYMBOL) {
    if (!is_scalar(yes) || !is_scalar(no))
      return eval_error(eval, span, NULL, "both branches must be numbers here, not %s",
                        value_describe(is_scalar(yes) ? no : yes));
    return symbol(eval, span, PRIM_SELECT, (Value *[]){condition, yes, no});
  }
  if (condition->kind != VALUE_ARRAY) return value_new(&eval->heap, VALUE_UNKNOWN);
  if (!value_is_numeric(yes) || !value_is_numeric(no))
    return eval_error(eval, span, "use all() or any() for one decision about an array",
                      "an array condition chooses between numbers and arrays");
  return choose_array(eval, span, condition, yes, no);
}

static Value *choose_again(Eval *eval, const Trail *trail, Value **args) {
  (void)trail;
  return choose(eval, (Span){0}, args[0], args[1], args[2]);
}

/* if condition then yes else no, where the condition is an array, a symbol, or not known. */
Value *eval_choose(Eval *eval, Span span, Value *condition, Value *yes, Value *no) {
  Value *args[] = {condition, yes, no}, *value = choose(eval, span, condition, yes, no);
  axes_follow(value, 3, args);
  return trail_note(eval, value, choose_again, 0, 3, args);
}

static Value *decide_again(Eval *eval, const Trail *trail, Value **args) {
  Array *condition = value_as_array(args[0]);
  double truth = condition ? condition->data[0] : NAN;
  array_drop(condition);
  if (isnan(truth)) return value_number(&eval->heap, NAN);
  return args[(truth != 0) == trail->op ? 1 : 2];
}

Value *eval_decide(Eval *eval, Value *condition, Value *taken, Value *other, bool truth) {
  Value *args[] = {condition, taken, other}, *value;
  value = taken->kind == VALUE_ARRAY ? value_array(&eval->heap, array_keep(taken->array))
                                     : value_number(&eval->heap, taken->number);
  value->truth = taken->truth;
  axes_follow(value, 1, &taken);
  return trail_note(eval, value, decide_again, truth, 3, args);
}

static Value *negated(Eval *eval, Span span, Value *truth) {
  return eval_prim(eval, span, PRIM_EQ, truth, value_number(&eval->heap, 0));
}

/* The truth of a number, an array or a symbol. */
static Value *truth_of(Eval *eval, Span span, Value *value) {
  if (value->kind == VALUE_SYMBOL) return negated(eval, span, negated(eval, span, value));
  const char *why = NULL;
  Array *x = value_as_array(value), *truth = array_truth(x, &why);
  array_drop(x);
  return value_truth(eval_array(eval, span, truth, why, value->known));
}

static Value *compare_strings(Eval *eval, const Ast *node, int op, const Value *a, const Value *b) {
  if (op != AST_EQ && op != AST_NE)
    return eval_error(eval, node->span, "strings can be compared with == and !=, and joined with +",
                      "strings have no such operation");
  Value *value = value_number(&eval->heap, (strcmp(a->string, b->string) == 0) == (op == AST_EQ));
  value->known = a->known && b->known;
  return value_truth(value);
}

static Value *join_strings(Eval *eval, Span span, const Value *a, const Value *b) {
  enum { LONGEST = 1 << 28 };
  size_t length = strlen(a->string) + strlen(b->string);
  if (length > LONGEST)
    return eval_fail(eval, STATUS_LIMIT, span, NULL, "a text of %zu bytes is too long", length);
  if (!eval_affords(eval, (double)length)) return value_new(&eval->heap, VALUE_UNKNOWN);
  char *text = mem_format("%s%s", a->string, b->string);
  Value *value = value_string(&eval->heap, text);
  value->known = a->known && b->known;
  free(text);
  return value;
}

static Value *matrix_product(Eval *eval, Span span, Value *a, Value *b) {
  Value *early = broken_or_unknown(eval, a, b);
  if (early) return early;
  bool of_system = a->kind == VALUE_MATRIX || b->kind == VALUE_MATRIX || a->kind == VALUE_SYMBOL ||
                   b->kind == VALUE_SYMBOL;
  if (eval->system && of_system) return system_product(eval, span, a, b);
  if (a->kind == VALUE_MATRIX) return forward_apply(eval, span, a, b);
  a = tabled(eval, span, a, b);
  if (a->kind == VALUE_BROKEN) return a;
  if (a->kind == VALUE_SYMBOL && eval->forward) return forward_blend(eval, span, a, b);
  const Value *odd = a->kind != VALUE_ARRAY ? a : b->kind != VALUE_ARRAY ? b : NULL;
  if (odd)
    return eval_error(eval, span,
                      odd->kind == VALUE_NUMBER ? "use * for numbers" : value_list_hint(odd),
                      "'@' multiplies arrays, not %s", value_describe(odd));
  const char *why = NULL;
  Array *array = array_matmul(a->array, b->array, &why);
  return eval_array(eval, span, array, why, a->known && b->known);
}

static Value *transpose(Eval *eval, Span span, Value *a) {
  if (eval->system && (a->kind == VALUE_MATRIX || a->kind == VALUE_SYMBOL))
    return system_transpose(eval, span, a);
  if (a->kind == VALUE_MATRIX) return forward_transpose(eval, span, a);
  if (a->kind != VALUE_ARRAY) {
    Value *early = broken_or_unknown(eval, a, NULL);
    if (early || a->kind == VALUE_NUMBER) return early ? early : a;
    return eval_error(eval, span, value_list_hint(a), "cannot transpose %s", value_describe(a));
  }
  const char *why = NULL;
  Array *array = array_transpose(a->array, &why);
  Value *value = eval_array(eval, span, array, why, a->known);
  return a->truth ? value_truth(value) : value;
}

/* The operators that are one primitive, and those of them that compare: `swap` exchanges the sides,
 * `negate` the outcome. */
static const struct {
  int op;
  Prim prim;
  bool compares, swap, negate;
} simple[] = {
    {'+', PRIM_ADD, false, false, false}, {'-', PRIM_SUB, false, false, false},
    {'*', PRIM_MUL, false, false, false}, {'/', PRIM_DIV, false, false, false},
    {'^', PRIM_POW, false, false, false}, {'<', PRIM_LT, true, false, false},
    {'>', PRIM_LT, true, true, false},    {AST_LE, PRIM_LE, true, false, false},
    {AST_GE, PRIM_LE, true, true, false}, {AST_EQ, PRIM_EQ, true, false, false},
    {AST_NE, PRIM_EQ, true, false, true},
};

static bool operable(const Value *value) {
  return value_is_numeric(value) || value->kind == VALUE_SYMBOL;
}

static Value *inoperable(Eval *eval, Span span, int op, const char *hint, const Value *value) {
  if (!hint) hint = value_list_hint(value);
  return eval_error(eval, span, hint, "'%s' works on numbers and arrays, not on %s",
                    ast_operator(op), value_describe(value));
}

/* a and b, a or b: the smaller, or the larger truth. */
static Value *both(Eval *eval, Span span, int op, Value *a, Value *b) {
  a = truth_of(eval, span, a);
  b = truth_of(eval, span, b);
  return value_truth(eval_prim(eval, span, op == AST_AND ? PRIM_MIN : PRIM_MAX, a, b));
}

static Value * not(Eval * eval, Span span, Value *a) {
  Value *early = broken_or_unknown(eval, a, NULL);
  if (early) return early;
  if (!operable(a)) return inoperable(eval, span, AST_NOT, NULL, a);
  return value_truth(negated(eval, span, truth_of(eval, span, a)));
}

static Value *binary(Eval *eval, const Ast *node, int op, Value *a, Value *b) {
  Value *early = broken_or_unknown(eval, a, b);
  if (early) return early;
  bool divides = op == '/' && operable(b) && (a->kind == VALUE_TERM || a->kind == VALUE_MATRIX);
  if (divides) b = eval_prim(eval, node->span, PRIM_DIV, value_number(&eval->heap, 1), b);
  if (divides) op = '*';
  if (op == '*' && a->kind == VALUE_LAYER) a = eval_call_bare(eval, node->kid[0], a);
  if (op == '*' && b->kind == VALUE_LAYER) b = eval_call_bare(eval, node->kid[1], b);
  if (op == '*' && (a->kind == VALUE_CHAIN || b->kind == VALUE_CHAIN))
    return a->kind == VALUE_CHAIN ? chain_repeat(eval, node, b, a) : chain_repeat(eval, node, a, b);
  if (op == '*' && (a->kind == VALUE_TERM || b->kind == VALUE_TERM))
    return a->kind == VALUE_TERM ? system_scale_term(eval, node->span, a, b)
                                 : system_scale_term(eval, node->span, b, a);
  if (op == '*' && a->kind == VALUE_NUMBER && b->kind == VALUE_MATRIX)
    return forward_scale(eval, node->span, b, a);
  if (op == '*' && a->kind == VALUE_MATRIX && b->kind == VALUE_NUMBER)
    return forward_scale(eval, node->span, a, b);
  if (a->kind == VALUE_STRING && b->kind == VALUE_STRING)
    return op == '+' ? join_strings(eval, node->span, a, b) : compare_strings(eval, node, op, a, b);
  bool function = eval_is_activation(a) || eval_is_activation(b);
  bool text = op == '+' && (a->kind == VALUE_STRING || b->kind == VALUE_STRING);
  bool matrix = a->kind == VALUE_MATRIX || b->kind == VALUE_MATRIX;
  if (!operable(a) || !operable(b))
    return inoperable(eval, node->span, op,
                      function ? "call the function: f(x)"
                      : text   ? "str(x) makes text of a number"
                      : matrix ? "a matrix acts on a vector: A @ x + B @ x"
                               : NULL,
                      operable(a) ? b : a);
  if (op == AST_AND || op == AST_OR) return both(eval, node->span, op, a, b);
  for (size_t i = 0; i < sizeof simple / sizeof *simple; i++)
    if (simple[i].op == op) {
      Value *value = simple[i].swap ? eval_prim(eval, node->span, simple[i].prim, b, a)
                                    : eval_prim(eval, node->span, simple[i].prim, a, b);
      if (simple[i].negate) value = negated(eval, node->span, value);
      return simple[i].compares ? value_truth(value) : value;
    }
  return value_new(&eval->heap, VALUE_BROKEN);
}

/* -a of one operand. */
static Value *negative(Eval *eval, Span span, Value *a) {
  Value *early = broken_or_unknown(eval, a, NULL);
  if (early) return early;
  if (a->kind == VALUE_MATRIX) return forward_scale(eval, span, a, value_number(&eval->heap, -1));
  if (a->kind == VALUE_TERM) return system_scale_term(eval, span, a, value_number(&eval->heap, -1));
  return operable(a) ? eval_prim(eval, span, PRIM_NEG, a, NULL)
                     : inoperable(eval, span, '-', NULL, a);
}

static Value *operate(Eval *eval, const Ast *node, int op, Value *a, Value *b) {
  switch (op) {
  case '@': return matrix_product(eval, node->span, a, b);
  case '\'': return transpose(eval, node->span, a);
  case AST_NOT: return not(eval, node->span, a);
  case '-':
    if (!b) return negative(eval, node->span, a);
    break;
  }
  return binary(eval, node, op, a, b);
}

static Value *operate_again(Eval *eval, const Trail *trail, Value **args) {
  const Ast node = {.kind = args[1] ? AST_BINARY : AST_UNARY, .op = trail->op};
  return operate(eval, &node, trail->op, args[0], args[1]);
}

Value *eval_operator(Eval *eval, const Ast *node, int op, Value *a, Value *b) {
  Value *value = operate(eval, node, op, a, b);
  if (op == '@')
    axes_multiply(value, a, b);
  else if (op == '\'')
    axes_reverse(value, a);
  else
    axes_follow(value, 2, (Value *[]){a, b});
  return trail_note(eval, value, operate_again, op, 2, (Value *[]){a, b});
}
