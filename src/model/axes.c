/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/axes.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

Axis axis_copy(const Axis *axis) {
  return (Axis){axis->name ? mem_string(axis->name) : NULL, array_keep(axis->at)};
}

static void axis_clear(Axis *axis) {
  free(axis->name);
  array_drop(axis->at);
  *axis = (Axis){0};
}

static bool open(const Value *value) { return value->kind == VALUE_ARRAY && !value->axes; }

static bool has_axes(const Value *value) { return value->kind == VALUE_ARRAY && value->axes; }

/* Axes of which nothing is known are none. */
static void give(Value *value, Axes *axes) {
  for (int i = 0; i < axes->count; i++)
    if (axes->list[i].name) {
      value->axes = axes;
      return;
    }
  axes_drop(axes);
}

static bool same_places(const Array *a, const Array *b) {
  return a && b && array_same_shape(a, b) &&
         memcmp(a->data, b->data, a->size * sizeof *a->data) == 0;
}

/* Joins what two arguments say of an axis. */
static void agree(Axis *axis, const Axis *other, bool first) {
  if (first || !axis->name) {
    axis_clear(axis);
    *axis = axis_copy(other);
  } else if (other->name && strcmp(axis->name, other->name) != 0) {
    axis_clear(axis);
  } else if (other->name && !same_places(axis->at, other->at)) {
    array_drop(axis->at);
    axis->at = NULL;
  }
}

void axes_follow(Value *value, int count, Value *const *args) {
  if (!open(value)) return;
  Axes *axes = axes_new(value->array->rank);
  bool seen[ARRAY_MAX_RANK] = {false};
  for (int k = 0; k < count; k++) {
    const Value *arg = args[k];
    if (!arg || !has_axes(arg)) continue;
    int shift = value->array->rank - arg->array->rank;
    for (int i = 0; i < arg->axes->count && shift >= 0; i++) {
      if (arg->array->shape[i] != value->array->shape[i + shift] || !arg->axes->list[i].name)
        continue;
      agree(&axes->list[i + shift], &arg->axes->list[i], !seen[i + shift]);
      seen[i + shift] = true;
    }
  }
  give(value, axes);
}

void axes_reduce(Value *value, const Value *arg, double axis) {
  if (!open(value) || !has_axes(arg)) return;
  int rank = arg->array->rank, gone = (int)(axis < 0 ? axis + rank : axis),
      lost = rank - value->array->rank;
  if (lost < 0 || lost > 1) return;
  Axes *axes = axes_new(value->array->rank);
  for (int i = 0, to = 0; i < arg->axes->count; i++) {
    if (i == gone && lost) continue;
    axes->list[to] = axis_copy(&arg->axes->list[i]);
    if (i == gone) axis_clear(&axes->list[to]);
    to++;
  }
  give(value, axes);
}

void axes_lead(Value *value, const Value *arg) {
  if (!open(value) || !has_axes(arg)) return;
  Axes *axes = axes_new(value->array->rank);
  for (int i = 0; i < axes->count && i < arg->axes->count && i + 2 < arg->array->rank; i++)
    axes->list[i] = axis_copy(&arg->axes->list[i]);
  give(value, axes);
}

void axes_multiply(Value *value, const Value *a, const Value *b) {
  if (!open(value)) return;
  Axes *axes = axes_new(value->array->rank);
  bool left = a->kind == VALUE_ARRAY && a->array->rank == 2;
  if (left && has_axes(a) && a->axes->count) axes->list[0] = axis_copy(&a->axes->list[0]);
  bool right = b->kind == VALUE_ARRAY && b->array->rank == 2;
  if (right && has_axes(b) && b->axes->count == 2)
    axes->list[axes->count - 1] = axis_copy(&b->axes->list[1]);
  give(value, axes);
}

void axes_reverse(Value *value, const Value *arg) {
  if (!open(value) || !has_axes(arg)) return;
  Axes *axes = axes_new(value->array->rank);
  for (int i = 0; i < arg->axes->count; i++)
    axes->list[axes->count - 1 - i] = axis_copy(&arg->axes->list[i]);
  give(value, axes);
}

static bool lists(const Subscript *s) {
  return s->kind == SUBSCRIPT_LIST || s->kind == SUBSCRIPT_MASK;
}

void axes_index(Value *value, const Value *base, int count, const Subscript *list) {
  if (!open(value) || !has_axes(base)) return;
  for (int i = 0; i < count; i++)
    if (lists(&list[i]) && list[i].list->rank != 1) return;
  Axes *left = axes_new(0);
  for (int i = 0; i < base->axes->count; i++) {
    const Axis *axis = &base->axes->list[i];
    const Subscript *s = i < count ? &list[i] : NULL;
    const char *why;
    if (s && s->kind == SUBSCRIPT_AT) continue;
    Axis *to = &left->list[left->count++];
    *to = axis_copy(axis);
    if (!s || !axis->at) continue;
    array_drop(to->at);
    to->at = array_index(axis->at, 1, s, &why);
  }
  give(value, left);
}

void axes_stack(Value *value, int count, Value *const *args) {
  if (!open(value)) return;
  Axes *axes = axes_new(value->array->rank);
  for (int k = 0; k < count; k++)
    for (int i = 0; i + 1 < axes->count; i++) {
      const Axis none = {0}, *own = has_axes(args[k]) && i < args[k]->axes->count
                                        ? &args[k]->axes->list[i]
                                        : &none;
      agree(&axes->list[i + 1], own, k == 0);
    }
  give(value, axes);
}

/* ---- by name ---- */

static bool ends_in(const char *name, const char *last) {
  const char *dot = strrchr(name, '.');
  return dot && strcmp(dot + 1, last) == 0;
}

int axes_find(const Value *value, const char *name) {
  int found = -1, alike = 0;
  if (!has_axes(value)) return -1;
  for (int i = 0; i < value->axes->count; i++) {
    const char *own = value->axes->list[i].name;
    if (own && strcmp(own, name) == 0) return i;
    if (!own || !ends_in(own, name)) continue;
    found = i;
    alike++;
  }
  return alike == 1 ? found : -1;
}

const char **axes_names(const Value *value) {
  const char **names = mem_new(ARRAY_MAX_RANK + 1, sizeof *names);
  int count = 0;
  for (int i = 0; has_axes(value) && i < value->axes->count; i++)
    if (value->axes->list[i].name) names[count++] = value->axes->list[i].name;
  return names;
}
