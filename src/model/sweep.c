/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/sweep.h"
#include "model/system.h"
#include "model/axes.h"
#include "base/memory.h"
#include "model/declare.h"
#include "model/digest.h"
#include "model/trail.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Scopes in which names have the values of a point */

/* What the evaluator had before. */
typedef struct Before {
  Scope *globals, *scope;
} Before;

/* Lays a scope over the globals, which the bodies of functions see, and copies a local one onto it.
 */
static Before enter(Eval *eval) {
  Before before = {eval->globals, eval->scope};
  eval->globals = eval->scope = scope_new(before.globals);
  if (before.scope == before.globals) return before;
  eval->scope = scope_new(eval->globals);
  for (int i = 0; i < before.scope->count; i++) {
    const Binding *binding = &before.scope->items[i];
    scope_set(eval->scope, binding->name, binding->value, binding->span);
  }
  return before;
}

static void leave(Eval *eval, Before before) {
  if (eval->scope != eval->globals) scope_free(eval->scope);
  scope_free(eval->globals);
  eval->globals = before.globals;
  eval->scope = before.scope;
}

/* A local name stays local. */
static void replace(Eval *eval, const char *name, Value *value, Span span) {
  bool local = eval->scope != eval->globals && scope_own(eval->scope, name);
  scope_set(local ? eval->scope : eval->globals, name, value, span);
}

/* Trainings hold their dataset: those that hold the old one get the new one. */
static void replace_dataset(Eval *eval, const Value *old, Value *new, Span span) {
  for (const Scope *scope = eval->scope; scope; scope = scope->parent)
    for (int i = scope->count - 1; i >= 0; i--) {
      const Binding *binding = &scope->items[i];
      const Value *value = binding->value;
      if (value->kind != VALUE_DECLARED || value->declared.kind != DECLARED_TRAINING ||
          value->declared.slot[TRAINING_DATASET] != old ||
          scope_find(eval->scope, binding->name)->value != value)
        continue;
      Value *training = declare_replace(eval, value, "dataset", span, new, span);
      replace(eval, binding->name, training, binding->span);
    }
}

/* Gives the swept name its i-th value, which stands where the one before did, also for the
 * functions of the file that gave it; false after reporting. */
static bool apply(const SweepAxis *axis, Eval *eval, int i) {
  const Ast *node = axis->argument;
  Span span = node->kid[0]->span;
  Value *value = eval_element(eval, span, axis->values, i);
  if (value->kind == VALUE_BROKEN) return false;
  const Binding *binding = scope_find(eval->scope, axis->name);
  Span place = binding ? binding->span : node->name_span;
  if (node->count == 1) {
    replace(eval, axis->name, value, place);
    return true;
  }
  Value *old = binding->value;
  Value *new = declare_replace(eval, old, node->name, node->name_span, value, span);
  if (new->kind == VALUE_BROKEN) return false;
  replace(eval, axis->name, new, place);
  bool declared = new->kind == VALUE_DECLARED;
  if (declared ? new->declared.kind == DECLARED_DATASET : system_is_data(new))
    replace_dataset(eval, old, new, span);
  return true;
}

/* The index of a point along an axis. */
static int index_along(const Sweep *sweep, int point, int axis) {
  for (int k = sweep->axis_count - 1; k > axis; k--) point /= sweep->axes[k].count;
  return point % sweep->axes[axis].count;
}

int sweep_end(const Sweep *sweep, int axis) {
  int point = sweep->axes[axis].count - 1;
  for (int k = axis + 1; k < sweep->axis_count; k++) point *= sweep->axes[k].count;
  return point;
}

static bool apply_all(const Sweep *sweep, Eval *eval, int point) {
  bool sound = true;
  for (int k = 0; k < sweep->axis_count && sound; k++)
    sound = apply(&sweep->axes[k], eval, index_along(sweep, point, k));
  return sound;
}

/* Points */

Value *sweep_point(const Sweep *sweep, Eval *eval, int point) {
  Before before = enter(eval);
  Value *value = apply_all(sweep, eval, point) ? eval_expression(eval, sweep->expression)
                                               : value_new(&eval->heap, VALUE_BROKEN);
  leave(eval, before);
  if (value_is_numeric(value) || value->kind == VALUE_BROKEN || value->kind == VALUE_UNKNOWN)
    return value;
  const char *hint = value->kind == VALUE_RESULT ? "one of its fields, such as .loss" : NULL;
  return eval_error(eval, sweep->expression->span, hint,
                    "a sweep gathers numbers and arrays, not %s", value_describe(value));
}

static Digest digest_of(const Sweep *sweep, Eval *eval, int point) {
  Before before = enter(eval);
  apply_all(sweep, eval, point);
  Digest digest = digest_begin(eval);
  digest_expression(&digest, sweep->expression);
  leave(eval, before);
  return digest;
}

uint64_t sweep_digest(const Sweep *sweep, Eval *eval, int point, const char *salt, bool *reads) {
  Digest digest = digest_of(sweep, eval, point);
  digest_text(&digest, salt);
  uint64_t hash = digest.hash;
  *reads = digest.reads;
  digest_end(&digest);
  return hash;
}

static char *value_text(const SweepAxis *axis, int i) {
  const Value *values = axis->values;
  const Value *item = values->kind == VALUE_LIST ? values->list.items[i] : NULL;
  if (values->kind == VALUE_ARRAY && values->array->rank == 1)
    return mem_format("%g", values->array->data[i]);
  if (item && item->kind == VALUE_NUMBER) return mem_format("%g", item->number);
  if (item && item->kind == VALUE_STRING) return mem_format("\"%s\"", item->string);
  if (item && item->kind == VALUE_DECLARED) return mem_string(item->declared.name);
  return mem_format("value %d", i);
}

char *sweep_place(const Sweep *sweep, int point) {
  char *text = mem_string("");
  for (int k = 0; k < sweep->axis_count; k++) {
    const SweepAxis *axis = &sweep->axes[k];
    char *value = value_text(axis, index_along(sweep, point, k));
    char *longer = mem_format("%s%s%s = %s", text, k ? ", " : "", axis->label, value);
    free(value);
    free(text);
    text = longer;
  }
  return text;
}

/* The arguments of the call */

static bool is_declared(Eval *eval, const Ast *argument, const Ast *target) {
  const Binding *binding = target->kind == AST_NAME ? scope_find(eval->scope, target->name) : NULL;
  const Value *value = binding ? binding->value : eval_expression(eval, target);
  if (binding && (value->kind == VALUE_DECLARED || value->kind == VALUE_SYSTEM)) return true;
  if (value->kind != VALUE_BROKEN && value->kind != VALUE_UNKNOWN)
    eval_error(eval, target->span, NULL,
               "'%s' is swept, but this is not the name of a dataset, model, training or system",
               argument->name);
  return false;
}

/* How many values; 0 after reporting, or when a check does not know. */
static int count_values(Eval *eval, const SweepAxis *axis) {
  const Value *values = axis->values;
  Span span = axis->argument->kid[0]->span;
  size_t count = values->kind == VALUE_LIST    ? (size_t)values->list.count
                 : values->kind == VALUE_ARRAY ? values->array->shape[0]
                                               : 0;
  if (count > INT_MAX / 2)
    return eval_fail(eval, STATUS_LIMIT, span, NULL, "the sweep has too many points"), 0;
  if (count || values->kind == VALUE_BROKEN || values->kind == VALUE_UNKNOWN) return (int)count;
  if (values->kind == VALUE_LIST || values->kind == VALUE_ARRAY)
    eval_error(eval, span, NULL, "'%s' is swept over nothing", axis->label);
  else
    eval_error(eval, span, "such as [0.5, 1, 2] or 0..9",
               "'%s' is swept over an array or a list, not %s", axis->label,
               value_describe(values));
  return 0;
}

static bool read_axis(Eval *eval, const Ast *argument, SweepAxis *axis) {
  const Ast *target = argument->count > 1 ? argument->kid[1] : NULL;
  axis->argument = argument;
  bool sound = !target || is_declared(eval, argument, target);
  axis->name = target && sound ? target->name : argument->name;
  axis->label = target && sound ? mem_format("%s.%s", target->name, argument->name)
                                : mem_string(argument->name);
  axis->values = value_keep(eval_expression(eval, argument->kid[0]));
  axis->count = sound ? count_values(eval, axis) : 0;
  return axis->count > 0;
}

/* Takes one argument after the expression; false when it is of no use. */
static bool read_argument(Eval *eval, const Ast *argument, Sweep *sweep) {
  if (argument->kind != AST_ARG) {
    eval_error(eval, argument->span, "name what it replaces: net.gamma = [0.5, 1, 2]",
               "only the expression of a sweep stands without a name");
    return false;
  }
  const Ast **own = strcmp(argument->name, "resume") == 0   ? &sweep->resume
                    : strcmp(argument->name, "failed") == 0 ? &sweep->failed
                                                            : NULL;
  if (argument->count == 1 && own) {
    *own = argument->kid[0];
    return true;
  }
  if (sweep->axis_count == ARRAY_MAX_RANK) {
    eval_error(eval, argument->span, NULL, "a sweep has at most %d axes", ARRAY_MAX_RANK);
    return false;
  }
  SweepAxis *axis = &sweep->axes[sweep->axis_count++];
  if (!read_axis(eval, argument, axis)) return false;
  for (int k = 0; k + 1 < sweep->axis_count; k++)
    if (strcmp(sweep->axes[k].label, axis->label) == 0) {
      eval_error(eval, argument->span, NULL, "'%s' is swept twice", axis->label);
      return false;
    }
  if ((long long)sweep->points * axis->count > INT_MAX / 2) {
    eval_fail(eval, STATUS_LIMIT, argument->span, NULL, "the sweep has too many points");
    return false;
  }
  sweep->points *= axis->count;
  return true;
}

/* Whether every value is one that its key can have; a check leaves out what is too much work. */
static bool check_values(const Sweep *sweep, Eval *eval) {
  enum { VALUE_WORK = 100 };
  bool sound = true;
  for (int k = 0; k < sweep->axis_count; k++)
    for (int i = 0; i < sweep->axes[k].count && sound; i++) {
      if (!eval_affords(eval, VALUE_WORK)) return true;
      if (eval_interrupted(eval, sweep->span)) return false;
      size_t mark = eval->heap.count;
      Before before = enter(eval);
      sound = apply(&sweep->axes[k], eval, i);
      leave(eval, before);
      heap_release(&eval->heap, mark, NULL);
    }
  return sound;
}

/* Whether the names that an expression mentions depend on what an axis replaces: on its name, or on
 * a training that holds the dataset of this name. */
static bool depends(const Digest *digest, const Eval *eval, const SweepAxis *axis) {
  if (digest_mentions(digest, axis->name)) return true;
  const Value *value = scope_find(eval->scope, axis->name)->value;
  for (const Scope *scope = eval->scope; scope; scope = scope->parent)
    for (int i = 0; i < scope->count; i++) {
      const Declared *declared = &scope->items[i].value->declared;
      if (scope->items[i].value->kind == VALUE_DECLARED && declared->kind == DECLARED_TRAINING &&
          declared->slot[TRAINING_DATASET] == value &&
          digest_mentions(digest, scope->items[i].name))
        return true;
    }
  return false;
}

/* Whether the expression depends on all that is swept, and on nothing that a digest does not see.
 */
static bool check_use(const Sweep *sweep, Eval *eval) {
  Before before = enter(eval);
  bool sound = apply_all(sweep, eval, 0);
  Digest digest = digest_begin(eval);
  digest_expression(&digest, sweep->expression);
  for (int k = 0; k < sweep->axis_count && sound; k++) {
    const SweepAxis *axis = &sweep->axes[k];
    sound = depends(&digest, eval, axis);
    if (sound) continue;
    const char *hint = axis->argument->count > 1
                           ? NULL
                           : "a declaration keeps the values it was made with: sweep its key";
    eval_error(eval, axis->argument->span, hint, "the expression does not depend on '%s'",
               axis->name);
  }
  if (sound && sweep->resume && digest.reads) {
    eval_error(eval, sweep->expression->span, "read it into a variable or a dataset before",
               "a sweep that can be resumed must not read files in its expression");
    sound = false;
  }
  digest_end(&digest);
  leave(eval, before);
  return sound;
}

Sweep *sweep_new(Eval *eval, const Ast *call) {
  if (call->count < 2 || call->kid[1]->kind == AST_ARG) {
    eval_error(eval, call->span, "sweep(dmft(net, descent).loss, net.gamma = [0.5, 1, 2])",
               "'sweep' needs an expression first");
    return NULL;
  }
  Sweep *sweep = mem_new(1, sizeof *sweep);
  *sweep = (Sweep){.span = call->span, .expression = call->kid[1], .points = 1};
  bool sound = true;
  for (int i = 2; i < call->count; i++) sound &= read_argument(eval, call->kid[i], sweep);
  if (sound && !sweep->axis_count) {
    eval_error(eval, call->span, "such as net.gamma = [0.5, 1, 2]", "nothing is swept");
    sound = false;
  }
  if (sound && check_values(sweep, eval) && check_use(sweep, eval)) return sweep;
  sweep_free(sweep);
  return NULL;
}

void sweep_free(Sweep *sweep) {
  if (!sweep) return;
  for (int k = 0; k < sweep->axis_count; k++) {
    value_drop(sweep->axes[k].values);
    free(sweep->axes[k].label);
  }
  free(sweep);
}

/* The outcome */

static bool same_shape(const Value *a, const Value *b) {
  if (a->kind != VALUE_ARRAY || b->kind != VALUE_ARRAY) return a->kind == b->kind;
  return array_same_shape(a->array, b->array);
}

bool sweep_agrees(const Sweep *sweep, Eval *eval, const Value *first, const Value *value,
                  int point) {
  if (same_shape(first, value)) return true;
  char *place = sweep_place(sweep, point);
  eval_error(eval, sweep->expression->span, NULL,
             "the expression has another shape at %s than at the first point", place);
  free(place);
  return false;
}

/* All parts in one array of this shape; NULL with *why. */
static Array *stack(int count, Value *const *values, int rank, const double *shape,
                    const char **why) {
  Array **parts = mem_new((size_t)count, sizeof *parts);
  bool sound = true;
  for (int i = 0; i < count; i++) sound &= (parts[i] = value_as_array(values[i])) != NULL;
  Array *flat = sound ? array_stack((size_t)count, (const Array *const *)parts, why) : NULL,
        *stacked = flat ? array_reshape(flat, rank, shape, why) : NULL;
  for (int i = 0; i < count; i++) array_drop(parts[i]);
  array_drop(flat);
  free(parts);
  return stacked;
}

/* The points, and last the shape. */
static Value *stack_again(Eval *eval, const Trail *trail, Value **args) {
  int count = trail->count - 1;
  const Array *shape = args[count]->array;
  const char *why = NULL;
  return eval_array(eval, (Span){0}, stack(count, args, (int)shape->size, shape->data, &why), why,
                    true);
}

/* The shape of all points together. */
static Value *shape_of(const Sweep *sweep, Eval *eval, const Value *first) {
  const Array *own = first->kind == VALUE_ARRAY ? first->array : NULL;
  size_t rank = (size_t)sweep->axis_count + (own ? (size_t)own->rank : 0), next = 0;
  Array *shape = array_new(1, &rank);
  if (!shape) return NULL;
  for (int k = 0; k < sweep->axis_count; k++) shape->data[next++] = sweep->axes[k].count;
  for (int k = 0; own && k < own->rank; k++) shape->data[next++] = (double)own->shape[k];
  return value_array(&eval->heap, shape);
}

/* The array of all points, which follows from them. */
static Value *gathered(const Sweep *sweep, Eval *eval, Value *const *points) {
  size_t count = (size_t)sweep->points;
  Value *shape = shape_of(sweep, eval, points[0]), **args = mem_try(count + 1, sizeof *args);
  const char *why = NULL;
  Array *array = NULL;
  if (shape && args)
    array = stack(sweep->points, points, (int)shape->array->size, shape->array->data, &why);
  Value *value = eval_array(eval, sweep->span, array, why, true);
  if (value->kind == VALUE_ARRAY) {
    memcpy(args, points, count * sizeof *args);
    args[count] = shape;
    trail_note(eval, value, stack_again, 0, (int)count + 1, args);
  }
  free(args);
  return value;
}

/* A swept axis runs over its numbers, or else over 0, 1, ... */
static Array *coordinates(const SweepAxis *axis) {
  const char *why;
  const Value *values = axis->values;
  if (values->kind == VALUE_ARRAY && values->array->rank == 1) return array_keep(values->array);
  return array_range(0, axis->count - 1, 1, &why);
}

static Axes *axes_of(const Sweep *sweep, int rank, const Value *like) {
  Axes *axes = axes_new(rank);
  for (int k = 0; k < sweep->axis_count; k++)
    axes->list[k] = (Axis){mem_string(sweep->axes[k].label), coordinates(&sweep->axes[k])};
  if (like->axes && like->axes->count == rank - sweep->axis_count)
    for (int k = 0; k < like->axes->count; k++)
      axes->list[sweep->axis_count + k] = axis_copy(&like->axes->list[k]);
  return axes;
}

Value *sweep_gather(const Sweep *sweep, Eval *eval, Value *const *points, const Value *like) {
  for (int i = 1; i < sweep->points; i++)
    if (!sweep_agrees(sweep, eval, points[0], points[i], i))
      return value_new(&eval->heap, VALUE_BROKEN);
  Value *value = gathered(sweep, eval, points);
  if (value->kind != VALUE_ARRAY) return value;
  value->axes = axes_of(sweep, value->array->rank, like);
  if (like->source) {
    value->source = result_new(like->source->kind);
    value->source->exact = value->trail == NULL;
    value->field = like->field ? mem_string(like->field) : NULL;
    value->layer = like->layer;
  }
  return value;
}
