/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Indexing, and the fields of results and declarations. */
#include "model/advice.h"
#include "model/axes.h"
#include "model/declare.h"
#include "model/eval.h"
#include "model/forward.h"
#include "model/trail.h"
#include "model/system.h"
#include "base/memory.h"
#include "syntax/habits.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Subscripts evaluated: what array_index takes, and what is still unknown about them. */
typedef struct Subscripts {
  Subscript list[ARRAY_MAX_RANK];
  Value *values[ARRAY_MAX_RANK]; /* of those that are no slices */
  int count;
  bool broken;
  bool symbolic; /* the first is known from step to step of a system */
  bool vague;    /* a bound or a mask is unknown: the shape of the outcome is, too */
  bool known;
} Subscripts;

static bool slice_bound(Eval *eval, const Ast *node, double *bound, Subscripts *subscripts) {
  if (!node) return false;
  Value *value = eval_expression(eval, node);
  if (value->kind == VALUE_NUMBER) {
    *bound = value->number;
    subscripts->vague |= !value->known;
  } else if (value->kind == VALUE_UNKNOWN) {
    subscripts->vague = true;
  } else {
    if (value->kind != VALUE_BROKEN)
      eval_error(eval, node->span, NULL, "a slice goes between numbers, not %s",
                 value_describe(value));
    subscripts->broken = true;
  }
  return true;
}

static void subscript(Eval *eval, const Ast *node, Subscripts *subscripts) {
  Subscript *s = &subscripts->list[subscripts->count++];
  *s = (Subscript){.kind = SUBSCRIPT_SLICE};
  if (node->kind == AST_SLICE) {
    s->has_begin = slice_bound(eval, node->kid[0], &s->begin, subscripts);
    s->has_end = slice_bound(eval, node->kid[1], &s->end, subscripts);
    return;
  }
  Value *value = eval_expression(eval, node);
  subscripts->values[subscripts->count - 1] = value;
  subscripts->known &= value->known;
  switch (value->kind) {
  case VALUE_BROKEN: subscripts->broken = true; break;
  case VALUE_UNKNOWN: subscripts->vague = true; break;
  case VALUE_NUMBER:
    s->kind = SUBSCRIPT_AT;
    s->at = value->number;
    if (!value->truth) break;
    eval_error(eval, node->span, "a mask is an array, such as x > 0",
               "a single truth value is no index");
    subscripts->broken = true;
    break;
  case VALUE_ARRAY:
    s->kind = value->truth ? SUBSCRIPT_MASK : SUBSCRIPT_LIST;
    s->list = value->array;
    break;
  case VALUE_SYMBOL:
    subscripts->symbolic = eval->system && subscripts->count == 1;
    if (subscripts->symbolic) break; /* fall through */
  default:
    eval_error(eval, node->span, NULL,
               "an index is a number, an array of numbers or a slice, not %s",
               value_describe(value));
    subscripts->broken = true;
  }
}

/* The field of a result, completed when it had been left out; NULL after reporting, or when a check
 * has no placeholder for it. */
static ResultField *field_of(Eval *eval, Span span, Result *result, const char *name, int layer) {
  bool settled = eval->dry || !result->busy;
  ResultField *field = settled ? result_find(result, name, layer) : NULL;
  if (eval->dry) eval->host->foresee(eval, span, result, name);
  if (eval->dry || (field && field->value)) return field->value ? field : NULL;
  char *why = NULL;
  Status status = eval->host->complete(eval, result, name, &why);
  if (status != STATUS_OK)
    eval_fail(eval, status, span, NULL, "%s", why ? why : "the field could not be computed");
  else if (!(field = result_find(result, name, layer))->value)
    eval_fail(eval, STATUS_NUMERICS, span, NULL, "this result holds no '%s'", name);
  free(why);
  return status == STATUS_OK && field->value ? field : NULL;
}

/* One network alone: nothing says how much another one would differ. */
static bool is_single(const Result *result) {
  const char *ensemble = result_attribute(result, "ensemble");
  return ensemble && strcmp(ensemble, "1") == 0;
}

/* The axes of a field, times with their steps; with a single output the last is left out. */
static Axes *field_axes(const Result *result, const ResultField *field) {
  const ResultField *t = result_find(result, "t", 0);
  Axes *axes = axes_new(0);
  for (const char *name = field->axes; *name && axes->count < field->value->rank;) {
    size_t length = strcspn(name, ",");
    bool time = length == 1 && (*name == 't' || *name == 's');
    Axis *axis = &axes->list[axes->count];
    axis->name = mem_format("%.*s", (int)length, name);
    if (time && t && t->value && t->value->size == field->value->shape[axes->count])
      axis->at = array_keep(t->value);
    axes->count++;
    name += length + (name[length] == ',');
  }
  return axes;
}

/* What stands in for a field, as a bare array or number; NULL where nothing does. */
static Value *field_standin(Eval *eval, const Result *result, const ResultField *field) {
  Standin *standin = eval->standin;
  if (!standin || standin->result != result) return NULL;
  long i = field - result->fields;
  standin->read[i] = true;
  Array *array = standin->values[i] ? standin->values[i] : field->value;
  Value *value = value_array(&eval->heap, array_keep(array));
  value->known = !eval->dry;
  return value;
}

/* A field as a value that remembers its result and its errors. */
static Value *field_value(Eval *eval, Span span, Result *result, const char *name, int layer,
                          bool errors) {
  ResultField *field = field_of(eval, span, result, name, layer);
  if (!field) return value_new(&eval->heap, eval->dry ? VALUE_UNKNOWN : VALUE_BROKEN);
  if (errors && !field->error && is_single(result) && strcmp(name, "t") != 0)
    return eval_error(eval, span, "ask for ensemble = 2 or more",
                      "a single network has no standard errors");
  Value *other = errors ? NULL : field_standin(eval, result, field);
  if (other) return other;
  Array *array = array_keep(errors ? field->error : field->value);
  if (!array) array = array_new(field->value->rank, field->value->shape);
  if (!array) return eval_starve(eval, span);
  Value *value = value_array(&eval->heap, array);
  value->known = !eval->dry;
  value->source = result_keep(result);
  value->error = errors ? NULL : array_keep(field->error);
  bool sampled = !errors && !eval->dry && !result->exact && strcmp(name, "t") != 0;
  if (sampled && (field->error || is_single(result))) {
    trail_begin(value, array_keep(field->error), scatter_keep(field->scatter));
    value->trail->networks = strcmp(result->kind, "simulate") == 0;
  }
  value->field = mem_string(field->name);
  value->layer = layer;
  if (value->kind == VALUE_ARRAY) value->axes = field_axes(result, field);
  return value;
}

/* Whether the masks among the subscripts, which `nodes` hold, have the shapes of their axes;
 * reports otherwise. */
static bool masks_fit(Eval *eval, Ast *const *nodes, const Array *array, int count,
                      const Subscript *list) {
  const char *why;
  for (int i = 0, axis = 0; i < count; i++) {
    bool mask = list[i].kind == SUBSCRIPT_MASK;
    if (mask && axis <= array->rank && !array_mask_fits(array, axis, list[i].list, &why)) {
      eval_error(eval, nodes[i]->span, NULL, "%s", why);
      return false;
    }
    axis += mask ? list[i].list->rank : 1;
  }
  return true;
}

/* `values`: of the subscripts, or NULL. */
static Value *part(Eval *eval, Span span, Value *base, int count, const Subscript *list,
                   Value *const *values, bool known) {
  const char *why = NULL;
  Array *array = array_index(base->array, count, list, &why);
  if (!array && !known) return value_new(&eval->heap, VALUE_UNKNOWN);
  Value *value = eval_array(eval, span, array, why, base->known && known);
  if (value->kind == VALUE_BROKEN) return value;
  value->source = result_keep(base->source);
  value->field = base->field ? mem_string(base->field) : NULL;
  value->layer = base->layer;
  value->truth = base->truth;
  if (base->error && !(value->error = array_index(base->error, count, list, &why)))
    return eval_array(eval, span, NULL, why, base->known && known);
  axes_index(value, base, count, list);
  return trail_note_part(eval, value, base, count, list, values);
}

Value *eval_part(Eval *eval, Span span, Value *base, int count, const Subscript *list, bool known) {
  return part(eval, span, base, count, list, NULL, known);
}

/* The part that the subscripts behind the first `skipped` ones choose. How many elements a mask
 * chooses that a check does not know, is not known either. */
static Value *index_array(Eval *eval, const Ast *node, Value *base, int skipped,
                          const Subscripts *subscripts) {
  int count = subscripts->count - skipped;
  const Subscript *list = subscripts->list + skipped;
  if (!masks_fit(eval, node->kid + 1 + skipped, base->array, count, list))
    return value_new(&eval->heap, VALUE_BROKEN);
  for (int i = 0; i < count && !subscripts->known; i++)
    if (list[i].kind == SUBSCRIPT_MASK) return value_new(&eval->heap, VALUE_UNKNOWN);
  return part(eval, node->span, base, count, list, subscripts->values + skipped, subscripts->known);
}

static Value *index_list(Eval *eval, const Ast *node, Value *base, const Subscripts *subscripts) {
  const Subscript *s = subscripts->list;
  int count = base->list.count;
  if (subscripts->count != 1 || s->kind != SUBSCRIPT_AT)
    return eval_error(eval, node->span, NULL, "a list takes one number as its index");
  double at = s->at < 0 ? s->at + count : s->at;
  if (!subscripts->known) return value_new(&eval->heap, VALUE_UNKNOWN);
  if (!(at >= 0 && at < count) || at != floor(at))
    return eval_error(eval, node->kid[1]->span, NULL, "index %g is not in a list of %d", s->at,
                      count);
  return base->list.items[(int)at];
}

/* theory.Phi[2], theory.Phi[2, 0, :]: the layer comes first, counted from 1. */
static Value *index_family(Eval *eval, const Ast *node, Value *base, const Subscripts *subscripts) {
  const Subscript *s = subscripts->list;
  const char *name = base->family.name;
  int layers = result_layers(base->family.result, name);
  if (s->kind != SUBSCRIPT_AT)
    return eval_error(eval, node->kid[1]->span, NULL, "the first index of '%s' is a layer", name);
  if (!subscripts->known) return value_new(&eval->heap, VALUE_UNKNOWN);
  if (!(s->at >= 1 && s->at <= layers) || s->at != floor(s->at))
    return eval_error(eval, node->kid[1]->span, NULL, "no layer %g of '%s': layers are 1..%d",
                      s->at, name, layers);
  Value *value =
      field_value(eval, node->span, base->family.result, name, (int)s->at, base->family.errors);
  if (subscripts->count == 1 || value->kind != VALUE_ARRAY) return value;
  return index_array(eval, node, value, 1, subscripts);
}

/* x[t], x[t, 0] in a system: what stands at the first index, and a part of it. */
static Value *pick(Eval *eval, const Ast *node, Value *base, const Subscripts *s) {
  Value *chosen = system_pick(eval, node->span, base, s->values[0]);
  if (s->count == 1 || chosen->kind != VALUE_SYMBOL) return chosen;
  return system_part(eval, node->span, chosen, s->count - 1, s->list + 1);
}

Value *eval_index(Eval *eval, const Ast *node) {
  Value *base = eval_expression(eval, node->kid[0]);
  if (base->kind == VALUE_BROKEN) return base;
  Subscripts subscripts = {.known = true};
  if (node->count - 1 > ARRAY_MAX_RANK)
    return eval_error(eval, node->span, NULL, "%d indices, but no array has more than %d axes",
                      node->count - 1, ARRAY_MAX_RANK);
  for (int i = 1; i < node->count; i++) subscript(eval, node->kid[i], &subscripts);
  if (subscripts.broken) return value_new(&eval->heap, VALUE_BROKEN);
  if (subscripts.vague || base->kind == VALUE_UNKNOWN) return value_new(&eval->heap, VALUE_UNKNOWN);
  if (subscripts.symbolic) return pick(eval, node, base, &subscripts);
  switch (base->kind) {
  case VALUE_ARRAY: return index_array(eval, node, base, 0, &subscripts);
  case VALUE_LIST: return index_list(eval, node, base, &subscripts);
  case VALUE_FAMILY: return index_family(eval, node, base, &subscripts);
  case VALUE_SYMBOL:
    if (eval->system) return system_part(eval, node->span, base, subscripts.count, subscripts.list);
    if (subscripts.count == 1 && subscripts.list[0].kind == SUBSCRIPT_AT)
      return forward_position(eval, node->span, base, subscripts.list[0].at);
    return eval_error(eval, node->span, "x[0] is the first", "a position is one whole number");
  default: return eval_error(eval, node->span, NULL, "cannot index %s", value_describe(base));
  }
}

static bool listed(const char *const *names, const char *name) {
  for (; *names; names++)
    if (strcmp(*names, name) == 0) return true;
  return false;
}

/* What may follow the dot: fields, each once, and the attributes. To be freed. */
static const char **result_names(const Result *result, bool errors) {
  size_t room = (size_t)(result->field_count + result->attribute_count) + 3;
  const char **names = mem_new(room, sizeof *names);
  size_t count = 0;
  for (int i = 0; i < result->field_count; i++)
    if (!listed(names, result->fields[i].name)) names[count++] = result->fields[i].name;
  if (errors) return names;
  names[count++] = "stderr";
  names[count++] = "exact";
  for (int i = 0; i < result->attribute_count; i++) names[count++] = result->attributes[i].name;
  return names;
}

const char **value_fields(const Value *value, bool errors) {
  if (value->kind == VALUE_STDERR) return result_names(value->result, true);
  if (value->kind == VALUE_RESULT) return result_names(value->result, errors);
  if (value->kind == VALUE_SYSTEM) return system_keys(value);
  if (value->kind != VALUE_DECLARED) return NULL;
  const char **names = mem_new(DECLARED_MAX_KEYS + 1, sizeof *names);
  for (int i = 0; declared_key(value->declared.kind, i); i++)
    names[i] = declared_key(value->declared.kind, i);
  return names;
}

static Value *attribute_value(Eval *eval, const char *text) {
  char *end;
  double number = strtod(text, &end);
  Value *value =
      *text && !*end ? value_number(&eval->heap, number) : value_string(&eval->heap, text);
  value->known = !eval->dry;
  return value;
}

static Value *result_field(Eval *eval, const Ast *node, Result *result, bool errors) {
  const char *name = node->name;
  if (result_find(result, name, 0)) return field_value(eval, node->span, result, name, 0, errors);
  if (result_layers(result, name)) {
    Value *value = value_new(&eval->heap, VALUE_FAMILY);
    value->family.result = result_keep(result);
    value->family.name = mem_string(name);
    value->family.errors = errors;
    return value;
  }
  if (!errors && strcmp(name, "stderr") == 0) {
    Value *value = value_new(&eval->heap, VALUE_STDERR);
    value->result = result_keep(result);
    return value;
  }
  if (!errors && strcmp(name, "exact") == 0) {
    Value *value = value_number(&eval->heap, result->exact);
    value->known = !eval->dry;
    return value;
  }
  const char *attribute = errors ? NULL : result_attribute(result, name);
  if (attribute) return attribute_value(eval, attribute);
  const char *why = eval->host->lacks(result, name);
  if (why)
    return eval_error(eval, node->name_span, NULL, "this %s result has no '%s': %s", result->kind,
                      name, why);
  const char **names = result_names(result, errors);
  Value *broken = eval_unknown(eval, node->name_span, name, names, "a %s result has no field '%s'",
                               result->kind, name);
  free(names);
  return broken;
}

/* x.stderr */
static Value *error_field(Eval *eval, const Ast *node, Value *base) {
  Array *array = array_keep((Array *)trail_error(eval, base)), *own = value_as_array(base);
  if (!array && own && !eval->halted) array = array_new(own->rank, own->shape);
  array_drop(own);
  if (!array)
    return eval->halted ? value_new(&eval->heap, VALUE_BROKEN) : eval_starve(eval, node->span);
  Value *value = value_array(&eval->heap, array);
  value->known = base->known;
  return value;
}

static Value *no_fields(Eval *eval, const Ast *node, const Value *base) {
  char *advice = value_is_numeric(base) ? advice_for_field(eval, node) : NULL;
  const char *hint = advice ? advice : habit_word(node->name);
  Value *broken = eval_error(eval, node->name_span, hint, "%s has no fields", value_describe(base));
  free(advice);
  return broken;
}

Value *eval_field(Eval *eval, const Ast *node) {
  Value *base = eval_expression(eval, node->kid[0]);
  switch (base->kind) {
  case VALUE_BROKEN:
  case VALUE_UNKNOWN: return base;
  case VALUE_RESULT: return result_field(eval, node, base->result, false);
  case VALUE_STDERR: return result_field(eval, node, base->result, true);
  case VALUE_DECLARED: return declared_field(eval, node, base);
  case VALUE_SYSTEM: return system_key(eval, node, base);
  default:
    if (value_is_numeric(base) && strcmp(node->name, "stderr") == 0)
      return error_field(eval, node, base);
    return no_fields(eval, node, base);
  }
}
