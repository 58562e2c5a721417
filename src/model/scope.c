/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/scope.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

Scope *scope_new(Scope *parent) {
  Scope *scope = mem_new(1, sizeof *scope);
  scope->parent = parent;
  return scope;
}

void scope_free(Scope *scope) {
  if (!scope) return;
  for (int i = 0; i < scope->count; i++) {
    free(scope->items[i].name);
    value_drop(scope->items[i].value);
  }
  free(scope->items);
  free(scope->buckets);
  free(scope);
}

static unsigned hash(const char *name) {
  unsigned h = 2166136261u;
  for (; *name; name++) h = (h ^ (unsigned char)*name) * 16777619u;
  return h;
}

/* The bucket that holds the name, or the empty one where it belongs. */
static int *bucket(const Scope *scope, const char *name) {
  unsigned mask = (unsigned)scope->bucket_count - 1, at = hash(name) & mask;
  while (scope->buckets[at] && strcmp(scope->items[scope->buckets[at] - 1].name, name) != 0)
    at = (at + 1) & mask;
  return &scope->buckets[at];
}

static void rehash(Scope *scope) {
  scope->bucket_count = scope->bucket_count ? 2 * scope->bucket_count : 16;
  free(scope->buckets);
  scope->buckets = mem_new((size_t)scope->bucket_count, sizeof *scope->buckets);
  for (int i = 0; i < scope->count; i++) *bucket(scope, scope->items[i].name) = i + 1;
}

Binding *scope_own(const Scope *scope, const char *name) {
  if (!scope->bucket_count) return NULL;
  int index = *bucket(scope, name);
  return index ? &scope->items[index - 1] : NULL;
}

Binding *scope_meant(const Scope *scope, const char *name, const Source *text) {
  Binding *found = scope_find(scope, name), *own = NULL;
  bool foreign = found && text && text->library && found->span.source != text &&
                 !(found->span.source && found->span.source->library);
  for (; foreign && scope; scope = scope->parent)
    if (!scope->parent) own = scope_own(scope, name);
  return own ? own : found;
}

Binding *scope_find(const Scope *scope, const char *name) {
  for (; scope; scope = scope->parent) {
    Binding *binding = scope_own(scope, name);
    if (binding) return binding;
  }
  return NULL;
}

void scope_set(Scope *scope, const char *name, Value *value, Span span) {
  Binding *binding = scope_own(scope, name);
  value_keep(value);
  if (binding) {
    value_drop(binding->value);
    binding->value = value;
    binding->span = span;
    return;
  }
  if (scope->count == scope->capacity) {
    scope->capacity = scope->capacity ? 2 * scope->capacity : 8;
    scope->items = mem_grow(scope->items, (size_t)scope->capacity * sizeof *scope->items);
  }
  scope->items[scope->count++] = (Binding){mem_string(name), value, span};
  if (2 * scope->count > scope->bucket_count)
    rehash(scope);
  else
    *bucket(scope, name) = scope->count;
}

const char **scope_names(const Scope *scope) {
  int total = 0, at = 0;
  for (const Scope *s = scope; s; s = s->parent) total += s->count;
  const char **names = mem_new((size_t)total + 1, sizeof *names);
  for (const Scope *s = scope; s; s = s->parent)
    for (int i = 0; i < s->count; i++) names[at++] = s->items[i].name;
  return names;
}
