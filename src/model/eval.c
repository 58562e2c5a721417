/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Statements. */
#include "model/eval.h"
#include "base/crew.h"
#include "base/memory.h"
#include "base/plain.h"
#include "base/reserve.h"
#include "base/work.h"
#include "model/declare.h"
#include "model/forward.h"
#include "model/system.h"
#include "syntax/habits.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Errors */

bool eval_affords(const Eval *eval, double numbers) { return !eval->dry || work_spend(numbers); }

static Value *report(Eval *eval, Status status, Span span, const char *hint, const char *format,
                     va_list list) {
  if (eval->dry && status == STATUS_LIMIT && work_refused())
    return value_new(&eval->heap, VALUE_UNKNOWN);
  char *message = mem_vformat(format, list);
  diag_error(eval->diags, status, span, hint, "%s", message);
  free(message);
  eval->halted |= !eval->dry || status == STATUS_INTERRUPTED;
  return value_new(&eval->heap, VALUE_BROKEN);
}

Value *eval_error(Eval *eval, Span span, const char *hint, const char *format, ...) {
  va_list list;
  va_start(list, format);
  Value *broken = report(eval, STATUS_SCRIPT, span, hint, format, list);
  va_end(list);
  return broken;
}

Value *eval_fail(Eval *eval, Status status, Span span, const char *hint, const char *format, ...) {
  va_list list;
  va_start(list, format);
  Value *broken = report(eval, status, span, hint, format, list);
  va_end(list);
  return broken;
}

Value *eval_starve(Eval *eval, Span span) {
  if (work_stopped()) return eval_fail(eval, STATUS_INTERRUPTED, span, NULL, "interrupted");
  char *refusal = mem_refusal(0);
  Value *broken = eval_fail(eval, STATUS_LIMIT, span, NULL, "%s", refusal);
  free(refusal);
  return broken;
}

Value *eval_unknown(Eval *eval, Span span, const char *name, const char *const *candidates,
                    const char *format, ...) {
  va_list list;
  va_start(list, format);
  const char *habit = habit_word(name);
  Value *broken = report(eval, STATUS_SCRIPT, span, habit ? habit : suggest_hint(name, candidates),
                         format, list);
  va_end(list);
  return broken;
}

Value *eval_array(Eval *eval, Span span, Array *array, const char *why, bool known) {
  if (!array) {
    if (!why) return eval_starve(eval, span);
    if (!known && array_failure() == STATUS_NUMERICS) return value_new(&eval->heap, VALUE_UNKNOWN);
    return eval_fail(eval, array_failure(), span, NULL, "%s", why);
  }
  Value *value = value_array(&eval->heap, array);
  value->known = known;
  return value;
}

/* Assignment, and what a check cannot decide */

static void remember_doubtful(Eval *eval, const char *name) {
  if (eval->doubtful_count == eval->doubtful_capacity) {
    eval->doubtful_capacity = eval->doubtful_capacity ? 2 * eval->doubtful_capacity : 16;
    eval->doubtful =
        mem_grow(eval->doubtful, (size_t)eval->doubtful_capacity * sizeof *eval->doubtful);
  }
  eval->doubtful[eval->doubtful_count++] = mem_string(name);
}

static Scope *names_of(const Eval *eval) { return eval->local ? eval->local : eval->globals; }

void eval_assign(Eval *eval, const char *name, Value *value, Span span) {
  if (eval->halted || !*name) return; /* of `repeat`, which has no name */
  scope_set(names_of(eval), name, value, span);
  forward_name(eval, value, name);
  if (eval->doubt) remember_doubtful(eval, name);
}

/* Code that may run never, once or often: what it assigns is not known after it. */
static void block_in_doubt(Eval *eval, const Ast *block) {
  Scope *names = names_of(eval);
  int start = eval->doubtful_count;
  eval->doubt++;
  eval_statement(eval, block);
  eval->doubt--;
  for (int i = start; i < eval->doubtful_count; i++) {
    Binding *binding = scope_own(names, eval->doubtful[i]);
    if (binding->value->kind >= VALUE_NUMBER && binding->value->kind <= VALUE_LIST)
      scope_set(names, binding->name, value_new(&eval->heap, VALUE_UNKNOWN), binding->span);
  }
  if (eval->doubt) return;
  while (eval->doubtful_count) free(eval->doubtful[--eval->doubtful_count]);
}

static bool is_nan(const Value *value) {
  return value->kind == VALUE_NUMBER && value->known && isnan(value->number);
}

int eval_truth(Eval *eval, Value *value, Span span) {
  if (value->kind == VALUE_BROKEN || value->kind == VALUE_UNKNOWN) return -1;
  if (is_nan(value))
    return eval_fail(eval, STATUS_NUMERICS, span, "isfinite(x) asks for numbers that are none",
                     "nan is neither true nor false"),
           -1;
  if (value->kind == VALUE_NUMBER) return value->known ? value->number != 0 : -1;
  eval_error(eval, span, value->kind == VALUE_ARRAY ? "use all() or any()" : NULL,
             "a condition must be a number, not %s", value_describe(value));
  return -1;
}

/* Statements that declare */

/* Bodies are checked at the end: functions may call one another, whichever is declared first. */
static void check_later(Eval *eval, const Ast *function) {
  size_t count = (size_t)eval->function_count + 1;
  eval->functions = mem_grow(eval->functions, count * sizeof *eval->functions);
  eval->functions[eval->function_count++] = function;
}

bool eval_distinct_parameters(Eval *eval, const Ast *node) {
  for (int i = 0; i + 1 < node->count; i++)
    for (int k = 0; k < i; k++)
      if (strcmp(node->kid[i]->name, node->kid[k]->name) == 0) {
        eval_error(eval, node->kid[i]->name_span, NULL, "'%s' has two parameters '%s'", node->name,
                   node->kid[i]->name);
        return false;
      }
  return true;
}

static void assign_broken(Eval *eval, const Ast *node) {
  eval_assign(eval, node->name, value_new(&eval->heap, VALUE_BROKEN), node->name_span);
}

/* The lines of a function compute, and show nothing; in loops and choices there is no return. */
static bool sound_lines(Eval *eval, const Ast *node) {
  switch (node->kind) {
  case AST_ASSIGN:
  case AST_ASSERT:
  case AST_BROKEN: return true;
  case AST_BLOCK:
  case AST_FOR:
  case AST_WHILE:
  case AST_WHEN: break;
  case AST_RETURN:
    eval_error(eval, node->span, NULL, "the 'return' of a function is its last line");
    return false;
  default:
    eval_error(eval, node->span, "assignments, 'for', 'while', 'if', 'assert' and 'return' may",
               "this cannot stand in a function");
    return false;
  }
  for (int i = 0; i < node->count; i++) {
    const Ast *kid = node->kid[i];
    bool line =
        node->kind == AST_BLOCK || (kid && (kid->kind == AST_BLOCK || kid->kind == AST_WHEN));
    if (line && !sound_lines(eval, kid)) return false;
  }
  return true;
}

/* Whether the block of a function ends with its one return; reports otherwise. */
static bool sound_block(Eval *eval, const Ast *node) {
  const Ast *body = node->kid[node->count - 1];
  if (body->kind != AST_BLOCK) return true;
  const Ast *last = body->count ? body->kid[body->count - 1] : NULL;
  for (int i = 0; i + 1 < body->count; i++)
    if (!sound_lines(eval, body->kid[i])) return false;
  if (last && (last->kind == AST_RETURN || last->kind == AST_BROKEN)) return true;
  eval_error(eval, node->name_span, "function NAME(x) { y = x^2; return y + 1 }",
             "the lines of '%s' do not end with 'return'", node->name);
  return false;
}

static void declare_function(Eval *eval, const Ast *node) {
  if (!eval_distinct_parameters(eval, node) || !sound_block(eval, node)) {
    assign_broken(eval, node);
    return;
  }
  Value *value = value_new(&eval->heap, VALUE_FUNCTION);
  value->function = node;
  eval_assign(eval, node->name, value, node->name_span);
  if (eval->dry) check_later(eval, node);
}

/* What a name stands for that only the text around it knows; NULL for one of all. */
static const Binding *find_local(const Eval *eval, const char *name) {
  const Binding *found = NULL;
  for (const Scope *scope = eval->scope; scope && scope != eval->globals && !found;
       scope = scope->parent)
    found = scope_own(scope, name);
  return found;
}

static bool checked_later(const Eval *eval, const Ast *function) {
  for (int i = 0; i < eval->function_count; i++)
    if (eval->functions[i] == function) return true;
  return false;
}

Value *eval_closure(Eval *eval, const Ast *node) {
  if (!eval_distinct_parameters(eval, node)) return value_new(&eval->heap, VALUE_BROKEN);
  Value *value = value_new(&eval->heap, VALUE_ACTIVATION);
  value->activation.name = mem_string(node->name);
  value->activation.node = node;
  value->activation.bound = mem_new((size_t)node->count, sizeof(Value *));
  for (int i = (int)node->number; i + 1 < node->count; i++) {
    const Binding *local = find_local(eval, node->kid[i]->name);
    if (local) value->activation.bound[i - 1] = value_keep(local->value);
  }
  if (eval->dry && eval->scope == eval->globals && !checked_later(eval, node))
    check_later(eval, node);
  return value;
}

static bool has_default(const Ast *parameter) { return parameter->count > 0; }

/* The body of an activation whose parameters all have defaults, as dense(NAME) would use it. */
static bool check_activation(Eval *eval, const Ast *node) {
  if (node->kind != AST_ACTIVATION) return false;
  for (int i = 1; i + 1 < node->count; i++)
    if (!has_default(node->kid[i])) return false;
  Value *value = value_new(&eval->heap, VALUE_ACTIVATION);
  value->activation.name = mem_string(node->name);
  value->activation.node = node;
  eval_activation(eval, node->name_span, value);
  return true;
}

static void check_function(Eval *eval, const Ast *node) {
  if (node->kind == AST_LAYER) return check_layer(eval, node);
  if (check_activation(eval, node)) return;
  Value **args = mem_new((size_t)node->count, sizeof *args);
  for (int i = 0; i + 1 < node->count; i++)
    args[i] = node->kid[i]->kind == AST_PARAM ? value_new(&eval->heap, VALUE_UNKNOWN) : NULL;
  eval->doubt++;
  eval_body(eval, node, args, node->name_span);
  eval->doubt--;
  free(args);
}

void eval_end(Eval *eval) {
  for (int i = 0; i < eval->function_count; i++) check_function(eval, eval->functions[i]);
  heap_free(&eval->heap);
  free(eval->functions);
  free(eval->doubtful);
}

/* Whether the body of `what` is an expression, which can be differentiated; reports otherwise. */
static bool is_one_expression(Eval *eval, const Ast *node, const char *what) {
  const Ast *body = node->kid[node->count - 1];
  if (body->kind == AST_BLOCK)
    eval_error(eval, node->name_span, "write NAME(h) = expression; it may call functions",
               "%s is one expression", what);
  return body->kind != AST_BLOCK;
}

static void declare_activation(Eval *eval, const Ast *node) {
  if (node->count < 2)
    eval_error(eval, node->name_span, "activation NAME(h) = ...",
               "an activation needs an argument");
  if (node->count < 2 || !eval_distinct_parameters(eval, node) ||
      !is_one_expression(eval, node, "an activation")) {
    assign_broken(eval, node);
    return;
  }
  Value *value = value_new(&eval->heap, VALUE_ACTIVATION);
  value->activation.name = mem_string(node->name);
  value->activation.node = node;
  eval_assign(eval, node->name, value, node->name_span);
  if (eval->dry) check_later(eval, node);
}

static void declare_loss(Eval *eval, const Ast *node) {
  bool sound = eval_distinct_parameters(eval, node) && is_one_expression(eval, node, "a loss");
  const Expr *expr = sound ? eval_loss(eval, node) : NULL;
  Value *value = value_new(&eval->heap, expr ? VALUE_LOSS : VALUE_BROKEN);
  if (expr) {
    value->loss.name = mem_string(node->name);
    value->loss.expr = expr;
  }
  eval_assign(eval, node->name, value, node->name_span);
}

/* Statements that show */

/* Evaluates what is to be shown; false when something is broken. */
static bool items_of(Eval *eval, const Ast *node, int count, Item *items) {
  bool sound = true;
  for (int i = 0; i < count; i++) {
    const Ast *kid = node->kid[i];
    bool labelled = kid->kind == AST_ARG;
    const Ast *expression = labelled ? kid->kid[0] : kid;
    Value *value = eval_expression(eval, expression);
    sound &= value->kind != VALUE_BROKEN;
    if (value->kind == VALUE_SYMBOL) sound = false;
    items[i] = (Item){expression, labelled ? mem_string(kid->name) : ast_source(expression),
                      labelled, value};
  }
  return sound;
}

static void items_free(Item *items, int count) {
  for (int i = 0; i < count; i++) free((char *)items[i].name);
  free(items);
}

static void print(Eval *eval, const Ast *node) {
  Item *items = mem_new((size_t)node->count, sizeof *items);
  bool sound = items_of(eval, node, node->count, items);
  if (sound && !eval->dry) eval->host->print(eval, items, node->count);
  items_free(items, node->count);
}

/* The text of a file name; NULL when it is none, or not known. */
static const char *name_of_file(Eval *eval, const Ast *node, const Value *value) {
  if (value->kind == VALUE_STRING) return value->string;
  if (value->kind != VALUE_BROKEN && value->kind != VALUE_UNKNOWN)
    eval_error(eval, node->span, NULL, "a file name is a string, not %s", value_describe(value));
  return NULL;
}

static const char *file_name(Eval *eval, const Ast *node, bool *certain) {
  const Value *value = eval_expression(eval, node);
  *certain = value->known && value->kind == VALUE_STRING;
  return name_of_file(eval, node, value);
}

/* Whether the item may be plotted; reports otherwise. */
static bool plottable(Eval *eval, const Item *item) {
  ValueKind kind = item->value->kind;
  if (kind == VALUE_ARRAY || kind == VALUE_CURVE || kind == VALUE_UNKNOWN || kind == VALUE_BROKEN)
    return true;
  const char *hint = kind == VALUE_RESULT   ? "one of its fields, such as .loss"
                     : kind == VALUE_FAMILY ? "one layer of it, with indices: [1, :, 0, -1, 0]"
                                            : value_list_hint(item->value);
  eval_error(eval, item->node->span, hint, "cannot plot %s", value_describe(item->value));
  return false;
}

/* Sorts items into panels and their options: `panel = "title"` begins a panel, unless the one
 * before it is still empty. The panels share the room of `drawn`. Returns how many there are. */
static int parts_of(Eval *eval, const Item *items, int count, Item *drawn, PlotPart *parts) {
  PlotPart *part = parts;
  *part = (PlotPart){.items = drawn};
  for (int i = 0; i < count; i++) {
    bool option = plot_is_option(&items[i]);
    if (option && strcmp(items[i].name, "panel") == 0 && part->count)
      *++part = (PlotPart){.items = drawn};
    if (option) {
      plot_take_option(eval, &items[i], part);
    } else {
      *drawn++ = items[i];
      part->count++;
    }
  }
  return (int)(part - parts) + 1;
}

/* Whether there is something in every panel, and all of it may be plotted. */
static bool plottables(Eval *eval, const Ast *node, const PlotPart *parts, int count) {
  bool sound = true;
  for (int i = 0; i < count; i++) {
    for (int k = 0; k < parts[i].count; k++) sound &= plottable(eval, &parts[i].items[k]);
    if (parts[i].count) continue;
    eval_error(eval, node->span, NULL, i ? "the last panel is empty" : "nothing is given to plot");
    sound = false;
  }
  return sound;
}

static void plot(Eval *eval, const Ast *node) {
  int count = node->count - 1;
  const Ast *file = node->kid[count];
  Item *items = mem_new((size_t)count, sizeof *items),
       *drawn = mem_new((size_t)count, sizeof *drawn);
  PlotPart *parts = mem_new((size_t)count, sizeof *parts);
  bool sound = items_of(eval, node, count, items);
  int panels = parts_of(eval, items, count, drawn, parts);
  sound &= plottables(eval, node, parts, panels);
  Value *names = file ? eval_expression(eval, file) : NULL;
  int files = names && names->kind == VALUE_LIST ? names->list.count : 1;
  for (int i = 0; i < files; i++) {
    const Value *name = names && names->kind == VALUE_LIST ? names->list.items[i] : names;
    const char *path = name ? name_of_file(eval, file, name) : NULL;
    if (sound && !eval->halted && (path || !file))
      eval->host->plot(eval, parts, panels, path, file ? file->span : node->span);
  }
  free(parts);
  free(drawn);
  items_free(items, count);
}

static void save(Eval *eval, const Ast *node) {
  Value *value = eval_expression(eval, node->kid[0]);
  bool certain;
  const char *path = file_name(eval, node->kid[1], &certain);
  bool unknown = value->kind == VALUE_UNKNOWN || value->kind == VALUE_BROKEN;
  if (!value_is_numeric(value) && value->kind != VALUE_RESULT && !unknown) {
    const char *hint = value_list_hint(value);
    eval_error(eval, node->kid[0]->span, hint ? hint : "save a result or an array",
               "cannot save %s", value_describe(value));
    return;
  }
  if (eval->halted || (!path && !eval->dry)) return;
  char *name = ast_source(node->kid[0]);
  eval->host->save(eval, value, name, path, certain, node->kid[1]->span);
  free(name);
}

/* Whether a report can be about it; reports otherwise. */
static bool reportable(Eval *eval, const Item *item) {
  ValueKind kind = item->value->kind;
  if (kind == VALUE_RESULT || kind == VALUE_UNKNOWN || kind == VALUE_BROKEN) return true;
  eval_error(eval, item->node->span, "such as a theory, networks, or fluctuations",
             "a report is about results, not %s", value_describe(item->value));
  return false;
}

static void report_on(Eval *eval, const Ast *node) {
  int count = node->count - 1;
  const Ast *file = node->kid[count];
  Item *items = mem_new((size_t)count, sizeof *items);
  bool certain, sound = items_of(eval, node, count, items);
  for (int i = 0; i < count; i++) {
    sound &= reportable(eval, &items[i]);
    sound &= items[i].value->kind == VALUE_RESULT; /* not known in a check: nothing to look at */
  }
  const char *path = file_name(eval, file, &certain);
  if (sound && path && !eval->halted) eval->host->report(eval, items, count, path, file->span);
  items_free(items, count);
}

static bool is_comparison(const Ast *node) {
  return node->kind == AST_BINARY &&
         (node->op == '<' || node->op == '>' || (node->op >= AST_LE && node->op <= AST_NE));
}

static void refute(Eval *eval, const Ast *node, const Value *message, const Value *const sides[2]) {
  char *source = ast_source(node->kid[0]), *hint = NULL;
  if (sides[0] && sides[0]->kind == VALUE_NUMBER && sides[1]->kind == VALUE_NUMBER)
    hint = mem_format("left side %.10g, right side %.10g", plain_number(sides[0]->number),
                      plain_number(sides[1]->number));
  eval_fail(eval, STATUS_ASSERT, node->kid[0]->span, hint, "assertion failed: %s",
            message && message->kind == VALUE_STRING ? message->string : source);
  free(hint);
  free(source);
}

/* What is not true fails, nan too. Only a run judges: an assertion stands in order with what is
 * printed before it. */
static void assertion(Eval *eval, const Ast *node) {
  const Ast *condition = node->kid[0];
  const Value *sides[2] = {NULL, NULL};
  Value *value;
  if (is_comparison(condition)) {
    Value *a = eval_expression(eval, condition->kid[0]),
          *b = eval_expression(eval, condition->kid[1]);
    value = eval_operator(eval, condition, condition->op, a, b);
    sides[0] = a;
    sides[1] = b;
  } else {
    value = eval_expression(eval, condition);
  }
  Value *message = node->kid[1] ? eval_expression(eval, node->kid[1]) : NULL;
  int truth = is_nan(value) ? 0 : eval_truth(eval, value, condition->span);
  if (truth == 0 && !eval->dry) refute(eval, node, message, sides);
}

/* Control */

Value *eval_element(Eval *eval, Span span, const Value *value, long long i) {
  if (value->kind == VALUE_NUMBER) return value_number(&eval->heap, (double)i);
  if (value->kind == VALUE_LIST) return value->list.items[i];
  const Subscript subscript = {.kind = SUBSCRIPT_AT, .at = (double)i};
  return eval_part(eval, span, (Value *)value, 1, &subscript, true);
}

enum { MOST_TURNS = 1000000 };

/* Whether it counts positions or layers: in the body of a layer a loop over it goes from 0. */
static bool is_count(const Eval *eval, const Value *value) {
  double n = value->kind == VALUE_NUMBER ? value->number : -1;
  return eval->forward && ((n >= 0 && n < MOST_TURNS && n == floor(n)) ||
                           (value->kind == VALUE_NUMBER && !value->known));
}

long long eval_length(Eval *eval, const Value *value, Span span) {
  if (is_count(eval, value)) return value->known ? (long long)value->number : -1;
  switch (value->kind) {
  case VALUE_LIST: return value->list.count;
  case VALUE_ARRAY: return (long long)value->array->shape[0];
  case VALUE_BROKEN:
  case VALUE_UNKNOWN: return -1;
  default:
    eval_error(eval, span, "such as [1, 2, 3] or 0..9",
               "a loop goes through an array or a list, not %s", value_describe(value));
    return -1;
  }
}

static void check_loop(Eval *eval, const Ast *node, Value *values, long long count) {
  Value *first =
      count > 0
          ? value_forget(&eval->heap, eval_element(eval, node->kid[0]->span, values, 0))
          : value_new(&eval->heap, values->kind == VALUE_BROKEN ? VALUE_BROKEN : VALUE_UNKNOWN);
  if (count == 0) return;
  eval_assign(eval, node->name, first, node->name_span);
  block_in_doubt(eval, node->kid[1]);
}

/* In a check the block is run once, in doubt, but in what layers and systems are made of. */
static void loop(Eval *eval, const Ast *node) {
  Value *values = value_keep(eval_expression(eval, node->kid[0]));
  long long count = eval_length(eval, values, node->kid[0]->span);
  bool whole = !eval->dry || ((eval->forward || eval->system) && values->known);
  if (!whole) check_loop(eval, node, values, count);
  for (long long i = 0; i < count && whole && eval_affords(eval, 1) && !eval->halted; i++) {
    size_t mark = eval->heap.count;
    eval_assign(eval, node->name, eval_element(eval, node->kid[0]->span, values, i),
                node->name_span);
    eval_block(eval, node->kid[1]);
    heap_release(&eval->heap, mark, NULL);
  }
  value_drop(values);
}

/* A check runs the block once, in doubt. */
static void repeat(Eval *eval, const Ast *node) {
  const Ast *condition = node->kid[0];
  if (eval->dry) {
    eval_truth(eval, eval_expression(eval, condition), condition->span);
    block_in_doubt(eval, node->kid[1]);
    return;
  }
  for (bool goes_on = true; goes_on;) {
    size_t mark = eval->heap.count;
    goes_on = eval_truth(eval, eval_expression(eval, condition), condition->span) == 1;
    if (goes_on) eval_block(eval, node->kid[1]);
    goes_on &= !eval->halted;
    heap_release(&eval->heap, mark, NULL);
  }
}

static void when(Eval *eval, const Ast *node) {
  int truth = eval_truth(eval, eval_expression(eval, node->kid[0]), node->kid[0]->span);
  const Ast *otherwise = node->kid[2];
  if (truth < 0 && eval->dry) {
    block_in_doubt(eval, node->kid[1]);
    if (otherwise) block_in_doubt(eval, otherwise);
  } else if (truth == 1) {
    eval_statement(eval, node->kid[1]);
  } else if (truth == 0 && otherwise) {
    eval_statement(eval, otherwise);
  }
}

static void alone(Eval *eval, const Ast *node) {
  Value *value = eval_expression(eval, node->kid[0]);
  if (value->kind == VALUE_BROKEN) return;
  if (!eval->interactive) {
    if (eval->dry) diag_warning(eval->diags, node->span, "print it?", "this value is not used");
  } else if (!eval->dry) {
    eval->host->show(eval, node->kid[0], value);
  }
}

static void execute(Eval *eval, const Ast *node) {
  switch (node->kind) {
  case AST_BLOCK: eval_block(eval, node); break;
  case AST_ASSIGN:
    eval_assign(eval, node->name, eval_expression(eval, node->kid[0]), node->name_span);
    break;
  case AST_FUNCTION: declare_function(eval, node); break;
  case AST_ACTIVATION: declare_activation(eval, node); break;
  case AST_LOSS: declare_loss(eval, node); break;
  case AST_LAYER:
    declare_layer(eval, node);
    if (eval->dry) check_later(eval, node);
    break;
  case AST_DECLARE: declare(eval, node); break;
  case AST_SYSTEM: declare_system(eval, node); break;
  case AST_IMPORT: eval->host->import(eval, node); break;
  case AST_PRINT: print(eval, node); break;
  case AST_PLOT: plot(eval, node); break;
  case AST_SAVE: save(eval, node); break;
  case AST_REPORT: report_on(eval, node); break;
  case AST_ASSERT: assertion(eval, node); break;
  case AST_FOR: loop(eval, node); break;
  case AST_WHILE: repeat(eval, node); break;
  case AST_WHEN: when(eval, node); break;
  case AST_RETURN:
    eval_error(eval, node->span, NULL, "'return' stands at the end of a function or of a layer");
    break;
  case AST_EXPRESSION: alone(eval, node); break;
  default: break;
  }
}

void eval_statement(Eval *eval, const Ast *node) {
  size_t mark = eval->heap.count;
  execute(eval, node);
  heap_release(&eval->heap, mark, NULL);
}

bool eval_stops(const Eval *eval) { return eval->stop && *eval->stop && crew_halts(eval->crew); }

bool eval_interrupted(Eval *eval, Span span) {
  eval->at = span;
  if (!eval->halted && !reserve_fill()) {
    eval_starve(eval, span);
    return eval->halted = true;
  }
  if (eval->halted || !eval_stops(eval)) return eval->halted;
  eval_fail(eval, STATUS_INTERRUPTED, span, NULL, "interrupted");
  return eval->halted = true;
}

void eval_block(Eval *eval, const Ast *block) {
  for (int i = 0; i < block->count && !eval_interrupted(eval, block->kid[i]->span); i++)
    eval_statement(eval, block->kid[i]);
}
