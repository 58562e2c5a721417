/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Calls: arguments to parameters, builtins, functions and activations. */
#include "model/advice.h"
#include "model/axes.h"
#include "model/eval.h"
#include "base/memory.h"
#include "model/draws.h"
#include "model/forward.h"
#include "model/trail.h"
#include "model/system.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* Signatures of builtins */

static Value *parse_fallback(Heap *heap, const char *text) {
  if (strcmp(text, "none") == 0) return value_new(heap, VALUE_NONE);
  if (strcmp(text, "true") == 0) return value_number(heap, 1);
  if (*text != '"') return value_number(heap, strtod(text, NULL));
  Value *value = value_string(heap, text + 1);
  value->string[strlen(value->string) - 1] = 0;
  return value;
}

static Signature *signature_new(Heap *heap, const char *text) {
  Signature *signature = mem_new(1, sizeof *signature);
  char *copy = mem_string(text), *rest = copy, *part;
  while ((part = strsep(&rest, ","))) {
    while (*part == ' ') part++;
    if (!*part) continue;
    size_t count = (size_t)signature->count + 1;
    signature->list = mem_grow(signature->list, count * sizeof *signature->list);
    Parameter *parameter = &signature->list[signature->count++];
    char *equals = strstr(part, " = "), *dots = strstr(part, "...");
    *parameter = (Parameter){0};
    if (equals) parameter->fallback = value_keep(parse_fallback(heap, equals + 3));
    if (equals) *equals = 0;
    if (dots) *dots = 0;
    signature->variadic |= dots != NULL;
    parameter->name = mem_string(part);
  }
  free(copy);
  return signature;
}

void eval_define(Eval *eval, Scope *scope, const Builtin *rows) {
  for (; rows->name; rows++) {
    if (!*rows->name) continue;
    Value *value = value_new(&eval->heap, VALUE_BUILTIN);
    value->builtin.row = rows;
    value->builtin.signature = signature_new(&eval->heap, rows->signature);
    scope_set(scope, rows->name, value, (Span){0});
  }
}

/* Arguments */

/* What a call gives: by parameter, NULL where nothing was given. */
typedef struct Arguments {
  Value **values;
  Span *places;
  const Ast **nodes;
  int count;    /* parameters, or more when variadic */
  bool broken;  /* an error was reported here or in an argument */
  bool unknown; /* an argument has not even a type */
  bool known;   /* all arguments are known */
} Arguments;

typedef struct Formals {
  const char *callee;
  const char **names; /* ends with NULL */
  int count;
  bool variadic;
} Formals;

static void arguments_free(Arguments *arguments) {
  free(arguments->values);
  free(arguments->places);
  free(arguments->nodes);
}

static int named_slot(Eval *eval, const Ast *node, const Formals *formals, Arguments *arguments) {
  for (int i = 0; i < formals->count && node->count == 1; i++)
    if (strcmp(formals->names[i], node->name) == 0) return i;
  arguments->broken = true;
  if (node->count > 1) {
    char *name = ast_source(node->kid[1]),
         *hint = mem_format("a variant is written %s with { %s = ... }", name, node->name);
    eval_error(eval, node->kid[1]->span, hint, "'%s' has no argument '%s.%s'", formals->callee,
               name, node->name);
    free(name);
    free(hint);
    return -1;
  }
  char *advice = advice_for_argument(node, formals->names, arguments->values, arguments->nodes);
  if (advice)
    eval_error(eval, node->name_span, advice, "'%s' has no argument '%s'", formals->callee,
               node->name);
  else
    eval_unknown(eval, node->name_span, node->name, formals->names, "'%s' has no argument '%s'",
                 formals->callee, node->name);
  free(advice);
  return -1;
}

static void place(Eval *eval, const Ast *node, const Formals *formals, int slot,
                  Arguments *arguments) {
  const Ast *expression = node->kind == AST_ARG ? node->kid[0] : node;
  Value *value = eval_expression(eval, expression);
  arguments->broken |= value->kind == VALUE_BROKEN;
  arguments->unknown |= value->kind == VALUE_UNKNOWN;
  arguments->known &= value->known;
  if (slot < 0) return;
  if (arguments->values[slot]) {
    eval_error(eval, node->span, NULL, "argument '%s' of '%s' is given twice", formals->names[slot],
               formals->callee);
    diag_note(eval->diags, arguments->places[slot], "first given here");
    arguments->broken = true;
    return;
  }
  arguments->values[slot] = value;
  arguments->places[slot] = expression->span;
  arguments->nodes[slot] = expression;
}

/* Evaluates the arguments of a call and puts each to its parameter. */
static Arguments bind(Eval *eval, const Ast *call, const Formals *formals) {
  size_t room = (size_t)(formals->count + call->count);
  Arguments arguments = {.values = mem_new(room, sizeof(Value *)),
                         .places = mem_new(room, sizeof(Span)),
                         .nodes = mem_new(room, sizeof(Ast *)),
                         .count = formals->count,
                         .known = true};
  int next = 0;
  for (int i = 1; i < call->count; i++) {
    const Ast *node = call->kid[i];
    int slot = -1;
    if (node->kind == AST_ARG) {
      slot = named_slot(eval, node, formals, &arguments);
    } else if (next < formals->count || formals->variadic) {
      slot = next++;
      if (next > arguments.count) arguments.count = next;
    } else if (next++ == formals->count) {
      eval_error(eval, node->span, NULL, "'%s' takes at most %d argument%s", formals->callee,
                 formals->count, formals->count == 1 ? "" : "s");
      arguments.broken = true;
    }
    place(eval, node, formals, slot, &arguments);
  }
  return arguments;
}

static void missing(Eval *eval, Span span, const Formals *formals, int slot, Arguments *arguments) {
  if (arguments->broken) return;
  eval_error(eval, span, NULL, "'%s' needs its argument '%s'", formals->callee,
             formals->names[slot]);
  arguments->broken = true;
}

/* Builtins */

static void fill_defaults(Eval *eval, Span span, const Signature *signature, const Formals *formals,
                          Arguments *arguments) {
  for (int i = 0; i < signature->count; i++) {
    if (arguments->values[i]) continue;
    arguments->places[i] = span;
    arguments->values[i] = signature->list[i].fallback;
    if (!arguments->values[i]) missing(eval, span, formals, i, arguments);
  }
}

/* Whether a check must leave the call out: the shape of what it gives is not known. */
static bool undecided(const Builtin *row, const Arguments *arguments) {
  if (arguments->unknown) return true;
  bool vague = false;
  for (int i = 0; i < arguments->count; i++)
    vague |= arguments->values[i]->kind == VALUE_NUMBER && !arguments->values[i]->known;
  return vague && (row->flags & BUILTIN_SIZES);
}

/* Optimizers remember their call: a variant of a training may make it with another argument. */

static void remember_call(Value *value, Value *builtin, Value *const *args, const Span *places) {
  Optimizer *optimizer = &value->optimizer;
  size_t count = (size_t)builtin->builtin.signature->count;
  optimizer->builtin = value_keep(builtin);
  optimizer->args = mem_new(count, sizeof *optimizer->args);
  optimizer->places = mem_new(count, sizeof *optimizer->places);
  for (size_t i = 0; i < count; i++) {
    optimizer->args[i] = value_keep(args[i]);
    optimizer->places[i] = places[i];
  }
}

/* Functions whose outcome follows from the numbers among their arguments. */
static bool leaves_trail(const Builtin *row) {
  return !(row->flags & (BUILTIN_SHAPES | BUILTIN_READS | BUILTIN_SETTLED));
}

/* The slot of the parameter `axis`, or -1. */
static int axis_slot(const Signature *signature) {
  for (int i = 0; i < signature->count; i++)
    if (strcmp(signature->list[i].name, "axis") == 0) return i;
  return -1;
}

/* An axis may be named; false after reporting. */
static bool resolve_axis(Eval *eval, const Signature *signature, Arguments *arguments) {
  int slot = axis_slot(signature);
  Value *axis = slot < 0 || arguments->broken ? NULL : arguments->values[slot];
  if (!axis || axis->kind != VALUE_STRING || arguments->values[0]->kind == VALUE_UNKNOWN)
    return true;
  int found = axes_find(arguments->values[0], axis->string);
  if (found >= 0) return arguments->values[slot] = value_number(&eval->heap, found), true;
  const char **names = axes_names(arguments->values[0]);
  eval_unknown(eval, arguments->places[slot], axis->string, names, "the array has no axis '%s'",
               axis->string);
  free(names);
  return false;
}

/* The axes of what a function gives, as far as its row tells. */
static void follow_axes(Value *value, const Builtin *row, const Signature *signature,
                        const Arguments *arguments) {
  int slot = axis_slot(signature);
  const Value *axis = slot >= 0 ? arguments->values[slot] : NULL;
  if (arguments->count == 0) return;
  if (row->flags & (BUILTIN_ELEMENTWISE | BUILTIN_PLACES))
    axes_follow(value, arguments->count, arguments->values);
  else if (row->flags & BUILTIN_LEADS)
    axes_lead(value, arguments->values[0]);
  else if (axis && axis->kind == VALUE_NUMBER && axis->known)
    axes_reduce(value, arguments->values[0], axis->number);
  else if (axis) /* of several arrays, such as min(x, y) */
    axes_follow(value, arguments->count, arguments->values);
}

static Value *run_again(Eval *eval, const Trail *trail, Value **args);

/* Remembers a call: its arguments, and the function. */
static void note_builtin(Eval *eval, Value *value, Value *callee, const Arguments *arguments) {
  if (!leaves_trail(callee->builtin.row)) return;
  size_t count = (size_t)arguments->count;
  Value **args = mem_new(count + 1, sizeof *args);
  memcpy(args, arguments->values, count * sizeof *args);
  args[count] = callee;
  trail_note(eval, value, run_again, 0, arguments->count + 1, args);
  free(args);
}

/* A descent gives the names of its arguments other values, while the old ones are still read. */
static Value *run_in_system(Call *call) {
  for (int i = 0; i < call->count; i++)
    if (call->args[i]) heap_keep(&call->eval->heap, call->args[i]);
  return system_call(call);
}

static Value *run_builtin(Eval *eval, Span span, Value *callee, Arguments *arguments) {
  const Builtin *row = callee->builtin.row;
  if (arguments->broken) return value_new(&eval->heap, VALUE_BROKEN);
  if (!resolve_axis(eval, callee->builtin.signature, arguments))
    return value_new(&eval->heap, VALUE_BROKEN);
  if (undecided(row, arguments)) return value_new(&eval->heap, VALUE_UNKNOWN);
  Call call = {.eval = eval,
               .row = row,
               .signature = callee->builtin.signature,
               .span = span,
               .args = arguments->values,
               .places = arguments->places,
               .nodes = arguments->nodes,
               .count = arguments->count};
  Value *value = eval->system ? run_in_system(&call) : NULL;
  if (!value) value = row->run(&call);
  if (value->kind == VALUE_OPTIMIZER)
    remember_call(value, callee, arguments->values, arguments->places);
  follow_axes(value, row, callee->builtin.signature, arguments);
  note_builtin(eval, value, callee, arguments);
  return arguments->known || (row->flags & BUILTIN_SHAPES) ? value
                                                           : value_forget(&eval->heap, value);
}

static Value *run_again(Eval *eval, const Trail *trail, Value **args) {
  size_t count = (size_t)trail->count - 1;
  Arguments arguments = {.values = args,
                         .places = mem_new(count, sizeof(Span)),
                         .nodes = mem_new(count, sizeof(Ast *)),
                         .count = (int)count,
                         .known = true};
  Value *value = run_builtin(eval, (Span){0}, args[count], &arguments);
  free(arguments.places);
  free(arguments.nodes);
  return value;
}

static int parameter_index(const Value *optimizer, const char *name) {
  const Value *builtin = optimizer->optimizer.builtin;
  for (int i = 0; i < builtin->builtin.signature->count; i++)
    if (strcmp(builtin->builtin.signature->list[i].name, name) == 0) return i;
  return -1;
}

Value *optimizer_parameter(const Value *optimizer, const char *name) {
  int index = parameter_index(optimizer, name);
  return index < 0 ? NULL : optimizer->optimizer.args[index];
}

Value *optimizer_with(Eval *eval, const Value *optimizer, const char *name, Value *value,
                      Span span) {
  const Optimizer *old = &optimizer->optimizer;
  const Signature *signature = old->builtin->builtin.signature;
  size_t count = (size_t)signature->count;
  int index = parameter_index(optimizer, name);
  Arguments arguments = {.values = mem_new(count, sizeof(Value *)),
                         .places = mem_new(count, sizeof(Span)),
                         .nodes = mem_new(count, sizeof(Ast *)),
                         .count = signature->count,
                         .known = true};
  memcpy(arguments.values, old->args, count * sizeof *arguments.values);
  memcpy(arguments.places, old->places, count * sizeof *arguments.places);
  arguments.values[index] = value;
  arguments.places[index] = span;
  arguments.broken = value->kind == VALUE_BROKEN;
  arguments.unknown = value->kind == VALUE_UNKNOWN;
  Value *made = run_builtin(eval, span, old->builtin, &arguments);
  arguments_free(&arguments);
  return made;
}

/* Leaves the mark of a call without a seed. */
static void mark_draws(Eval *eval, const Formals *formals, const Arguments *arguments) {
  for (int i = 0; i < formals->count; i++)
    if (!arguments->values[i] && strcmp(formals->names[i], "seed") == 0)
      eval->draws |= draws_mark(formals->callee);
}

static Formals formals_of(const Builtin *row, const Signature *signature) {
  Formals formals = {row->name, mem_new((size_t)signature->count + 1, sizeof(char *)),
                     signature->count, signature->variadic};
  for (int i = 0; i < signature->count; i++) formals.names[i] = signature->list[i].name;
  return formals;
}

static Value *call_builtin(Eval *eval, const Ast *node, Value *callee) {
  const Builtin *row = callee->builtin.row;
  const Signature *signature = callee->builtin.signature;
  Formals formals = formals_of(row, signature);
  Arguments arguments = bind(eval, node, &formals);
  mark_draws(eval, &formals, &arguments);
  fill_defaults(eval, node->span, signature, &formals, &arguments);
  Value *value = run_builtin(eval, node->span, callee, &arguments);
  arguments_free(&arguments);
  free(formals.names);
  return value;
}

static bool needs_arguments(const Ast *layer) {
  for (int i = 0; i + 2 < layer->count; i++)
    if (!layer->kid[i]->count) return true;
  return false;
}

Value *eval_call_bare(Eval *eval, const Ast *node, Value *callee) {
  const Ast bare = {.kind = AST_CALL, .span = node->span, .count = 1};
  if (callee->kind == VALUE_BUILTIN && (callee->builtin.row->flags & BUILTIN_LAYER))
    return call_builtin(eval, &bare, callee);
  if (callee->kind == VALUE_LAYER && !needs_arguments(callee->function))
    return call_layer(eval, &bare, callee);
  return callee;
}

/* Functions and activations of the script */

static bool under_way(const Eval *eval, const Ast *function) {
  for (const Frame *frame = eval->frames; frame; frame = frame->up)
    if (frame->function == function) return true;
  return false;
}

static bool bind_locals(Eval *eval, const Ast *function, Value **args, Span span) {
  for (int i = 0; i < function->count - 1; i++) {
    const Ast *name = function->kid[i];
    if (name->kind == AST_NAME && args[i])
      scope_set(eval->scope, name->name, args[i], name->name_span);
  }
  for (int i = 0; i < function->count - 1; i++) {
    const Ast *parameter = function->kid[i];
    if (parameter->kind == AST_NAME) continue;
    Value *value = args[i];
    if (!value && parameter->count) value = eval_expression(eval, parameter->kid[0]);
    if (!value) {
      eval_error(eval, span, NULL, "'%s' needs its argument '%s'", function->name, parameter->name);
      return false;
    }
    scope_set(eval->scope, parameter->name, value, parameter->name_span);
  }
  return true;
}

/* What the body of a function sees besides its arguments: those of the prelude the language alone,
 * so that no name of a script gets into their way; all others the globals. */
static Scope *home_of(const Eval *eval, const Ast *function) {
  Scope *base = eval->globals;
  while (base->parent) base = base->parent;
  const Binding *binding = scope_own(base, function->name);
  return binding && binding->span.source == function->name_span.source &&
                 binding->span.begin == function->name_span.begin
             ? base
             : eval->globals;
}

/* The value of a body: an expression, or lines that assign names of their own, of which the last
 * returns it. */
static Value *value_of_body(Eval *eval, const Ast *body) {
  if (body->kind != AST_BLOCK) return eval_expression(eval, body);
  Scope *outer = eval->local;
  int doubtful = eval->doubtful_count;
  eval->local = eval->scope;
  for (int i = 0; i + 1 < body->count && !eval->halted; i++) eval_statement(eval, body->kid[i]);
  const Ast *last = body->kid[body->count - 1];
  Value *value = last->kind == AST_RETURN && !eval->halted ? eval_expression(eval, last->kid[0])
                                                           : value_new(&eval->heap, VALUE_BROKEN);
  heap_release(&eval->heap, eval->heap.count, value); /* it may belong to the names alone */
  eval->local = outer;
  while (eval->doubtful_count > doubtful) free(eval->doubtful[--eval->doubtful_count]);
  return value;
}

static Value *evaluate_body(Eval *eval, const Ast *function, Value **args, Span span) {
  Scope *caller = eval->scope;
  Frame frame = {function, eval->frames};
  eval->scope = scope_new(home_of(eval, function));
  eval->frames = &frame;
  eval->calls++;
  Value *value = bind_locals(eval, function, args, span)
                     ? value_of_body(eval, function->kid[function->count - 1])
                     : value_new(&eval->heap, VALUE_BROKEN);
  eval->calls--;
  eval->frames = frame.up;
  scope_free(eval->scope);
  eval->scope = caller;
  return value;
}

/* Says which call led to an error inside a function, unless the error is at the call itself, or an
 * outer call of a recursion will say it. */
static void note_call(Eval *eval, const Ast *function, Span span) {
  Span error = eval->diags->items[eval->diags->count - 1].span, name = function->name_span;
  bool here = error.source == span.source && error.begin == span.begin;
  bool declaring = span.source == name.source && span.begin == name.begin;
  if (!here && !declaring && !under_way(eval, function))
    diag_note(eval->diags, span, "in this call of '%s'", function->name);
}

Value *eval_body(Eval *eval, const Ast *function, Value **args, Span span) {
  if (eval->calls >= CALL_DEPTH)
    return eval_fail(eval, STATUS_SCRIPT, span, "does the recursion end?",
                     "calls are nested more than %d deep", CALL_DEPTH);
  if (eval->dry && eval->doubt && under_way(eval, function))
    return value_new(&eval->heap, VALUE_UNKNOWN);
  int before = eval->diags->count;
  size_t mark = eval->heap.count;
  Value *value = evaluate_body(eval, function, args, span);
  heap_release(&eval->heap, mark, value);
  if (eval->diags->count > before) note_call(eval, function, span);
  return value;
}

/* Of the parameters from number `first` to before `end`. */
static Formals formals_between(const Ast *function, int first, int end) {
  Formals formals = {function->name, mem_new((size_t)(end - first) + 1, sizeof(char *)),
                     end - first, false};
  for (int i = first; i < end; i++) formals.names[i - first] = function->kid[i]->name;
  return formals;
}

static Formals formals_of_parameters(const Ast *function, int count) {
  return formals_between(function, 0, count);
}

static Formals formals_of_function(const Ast *function) {
  return formals_of_parameters(function, function->count - 1);
}

bool eval_arguments(Eval *eval, const Ast *call, const Ast *function, int count, Value ***values,
                    Span **places) {
  Formals formals = formals_of_parameters(function, count);
  Arguments arguments = bind(eval, call, &formals);
  for (int i = 0; i < count; i++)
    if (!arguments.values[i] && !function->kid[i]->count)
      missing(eval, call->span, &formals, i, &arguments);
  *values = arguments.values;
  *places = arguments.places;
  free(arguments.nodes);
  free(formals.names);
  return !arguments.broken && !arguments.unknown;
}

/* A call of `function NAME(parameters) of arguments`: the function of the arguments. */
static Value *call_family(Eval *eval, const Ast *node, const Ast *function) {
  int before = (int)function->number;
  Formals formals = formals_between(function, before, function->count - 1);
  Arguments arguments = bind(eval, node, &formals);
  for (int i = 0; i < formals.count; i++)
    if (!arguments.values[i] && !function->kid[before + i]->count)
      missing(eval, node->span, &formals, i, &arguments);
  Value *value = value_new(&eval->heap, arguments.broken    ? VALUE_BROKEN
                                        : arguments.unknown ? VALUE_UNKNOWN
                                                            : VALUE_ACTIVATION);
  if (value->kind == VALUE_ACTIVATION) {
    value->activation.name = mem_string(function->name);
    value->activation.node = function;
    value->activation.bound = mem_new((size_t)function->count, sizeof(Value *));
    for (int i = 0; i < formals.count; i++)
      value->activation.bound[before - 1 + i] = value_keep(arguments.values[i]);
  }
  arguments_free(&arguments);
  free(formals.names);
  return value;
}

/* The arguments of a function without a name, and behind them what it keeps of the names around it;
 * to be freed. */
static Value **with_kept(const Ast *function, Value **args, Value **kept) {
  Value **all = mem_new((size_t)function->count, sizeof *all);
  for (int i = 0; i + 1 < function->count; i++)
    all[i] = i < (int)function->number ? args[i] : kept[i - 1];
  return all;
}

/* A call of a function of the script; `kept` is NULL for one that has a name. */
static Value *call_function(Eval *eval, const Ast *node, const Ast *function, Value **kept) {
  if (!kept && function->number > 0) return call_family(eval, node, function);
  Formals formals =
      formals_of_parameters(function, kept ? (int)function->number : function->count - 1);
  Arguments arguments = bind(eval, node, &formals);
  mark_draws(eval, &formals, &arguments);
  for (int i = 0; i < formals.count; i++)
    if (!arguments.values[i] && !function->kid[i]->count)
      missing(eval, node->span, &formals, i, &arguments);
  Value *value;
  if (arguments.broken || arguments.unknown) {
    value = value_new(&eval->heap, arguments.broken ? VALUE_BROKEN : VALUE_UNKNOWN);
  } else {
    Value **all = kept ? with_kept(function, arguments.values, kept) : arguments.values;
    value = eval_body(eval, function, all, node->span);
    if (kept) free(all);
  }
  arguments_free(&arguments);
  free(formals.names);
  return value;
}

/* The activation with these parameters bound. */
static Value *bind_parameters(Eval *eval, const Value *callee, Value **args) {
  int count = callee->activation.node->count;
  Value *value = value_new(&eval->heap, VALUE_ACTIVATION);
  value->activation.name = mem_string(callee->activation.name);
  value->activation.node = callee->activation.node;
  value->activation.bound = mem_new((size_t)count, sizeof(Value *));
  for (int i = 0; i + 2 < count; i++) value->activation.bound[i] = value_keep(args[i + 1]);
  return value;
}

/* phi(h), phi(h, a = 1), or phi(a = 1), which is an activation again. */
static Value *call_activation(Eval *eval, const Ast *node, Value *callee) {
  const Ast *function = callee->activation.node;
  Formals formals = formals_of_function(function);
  Arguments arguments = bind(eval, node, &formals);
  for (int i = 0; i + 2 < function->count; i++)
    if (!arguments.values[i + 1] && callee->activation.bound)
      arguments.values[i + 1] = callee->activation.bound[i];
  Value *value;
  if (arguments.broken)
    value = value_new(&eval->heap, VALUE_BROKEN);
  else if (arguments.unknown)
    value = value_new(&eval->heap, VALUE_UNKNOWN);
  else if (!arguments.values[0])
    value = bind_parameters(eval, callee, arguments.values);
  else
    value = eval_body(eval, function, arguments.values, node->span);
  arguments_free(&arguments);
  free(formals.names);
  return value;
}

/* A derivative has its argument and nothing else. */
static Value *call_expr(Eval *eval, const Ast *node, Value *callee) {
  const char *names[] = {"h", NULL};
  Formals formals = {callee->activation.name, names, 1, false};
  Arguments arguments = bind(eval, node, &formals);
  if (!arguments.values[0]) missing(eval, node->span, &formals, 0, &arguments);
  Value *value = arguments.broken ? value_new(&eval->heap, VALUE_BROKEN)
                                  : eval_apply(eval, node->span, callee, arguments.values[0]);
  arguments_free(&arguments);
  return value;
}

/* A parameter that its function calls was given something else: the caller has to know. */
static Value *not_callable(Eval *eval, const Ast *name, const Value *callee) {
  const Ast *function = eval->frames ? eval->frames->function : NULL;
  for (int i = 0; function && name->kind == AST_NAME && i + 1 < function->count; i++)
    if (strcmp(function->kid[i]->name, name->name) == 0)
      return eval_error(eval, name->span, "function NAME(x) = ... declares one",
                        "'%s' of '%s' must be a function, not %s", name->name, function->name,
                        value_describe(callee));
  return eval_error(eval, name->span, NULL, "%s cannot be called", value_describe(callee));
}

Value *eval_call(Eval *eval, const Ast *node) {
  Value *callee = eval_expression(eval, node->kid[0]);
  switch (callee->kind) {
  case VALUE_BUILTIN:
    return callee->builtin.row->flags & BUILTIN_FORM
               ? callee->builtin.row->run(&(Call){.eval = eval,
                                                  .row = callee->builtin.row,
                                                  .signature = callee->builtin.signature,
                                                  .span = node->span,
                                                  .node = node})
               : call_builtin(eval, node, callee);
  case VALUE_FUNCTION: return call_function(eval, node, callee->function, NULL);
  case VALUE_ACTIVATION:
    if (value_is_closure(callee))
      return call_function(eval, node, callee->activation.node, callee->activation.bound);
    return callee->activation.node ? call_activation(eval, node, callee)
                                   : call_expr(eval, node, callee);
  case VALUE_LAYER: return call_layer(eval, node, callee);
  case VALUE_CHAIN:
    if (!eval->forward || node->count != 2) return not_callable(eval, node->kid[0], callee);
    return forward_chain(eval, node->span, callee, eval_expression(eval, node->kid[1]));
  case VALUE_BROKEN:
  case VALUE_UNKNOWN: return callee;
  default: return not_callable(eval, node->kid[0], callee);
  }
}
