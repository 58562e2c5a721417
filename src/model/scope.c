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

/* Frees what a binding shadows. */
static void forget(Binding *shadowed) {
  while (shadowed) {
    Binding *next = shadowed->shadowed;
    value_drop(shadowed->value);
    free(shadowed);
    shadowed = next;
  }
}

void scope_free(Scope *scope) {
  if (!scope) return;
  for (int i = 0; i < scope->count; i++) {
    forget(scope->items[i].shadowed);
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

static bool of_library(const Binding *binding) {
  return binding->span.source && binding->span.source->library;
}

/* Whether the text gave the name its value; a file that was read anew is the same. */
static bool is_by(const Binding *binding, const Source *text) {
  const Source *source = binding->span.source;
  return source == text || (source && text && source->library && text->library &&
                            strcmp(source->name, text->name) == 0);
}

/* Outermost is the language, which has no text. */
Binding *scope_meant(const Scope *scope, const char *name, const Source *text) {
  Binding *found = scope_find(scope, name);
  if (!found || !text || !text->library || is_by(found, text)) return found;
  Binding *other = of_library(found) ? found : NULL;
  for (; scope; scope = scope->parent)
    for (Binding *b = scope_own(scope, name); b; b = b->shadowed) {
      if (is_by(b, text)) return b;
      if (!other && (of_library(b) || !scope->parent)) other = b;
    }
  return other ? other : found;
}

Binding *scope_find(const Scope *scope, const char *name) {
  for (; scope; scope = scope->parent) {
    Binding *binding = scope_own(scope, name);
    if (binding) return binding;
  }
  return NULL;
}

/* Keeps what a library file calls by the name, once for each file, before another text takes it. */
static void shadow(Binding *binding, Span span) {
  if (is_by(binding, span.source)) return;
  if (of_library(binding)) {
    Binding *kept = mem_new(1, sizeof *kept);
    *kept = (Binding){binding->name, value_keep(binding->value), binding->span, binding->shadowed};
    binding->shadowed = kept;
  }
  for (Binding **at = &binding->shadowed; *at; at = &(*at)->shadowed)
    if (is_by(*at, span.source)) {
      Binding *old = *at;
      *at = old->shadowed;
      old->shadowed = NULL;
      forget(old);
      return;
    }
}

void scope_set(Scope *scope, const char *name, Value *value, Span span) {
  Binding *binding = scope_own(scope, name);
  value_keep(value);
  if (binding) {
    shadow(binding, span);
    value_drop(binding->value);
    binding->value = value;
    binding->span = span;
    return;
  }
  if (scope->count == scope->capacity) {
    scope->capacity = scope->capacity ? 2 * scope->capacity : 8;
    scope->items = mem_grow(scope->items, (size_t)scope->capacity * sizeof *scope->items);
  }
  scope->items[scope->count++] = (Binding){mem_string(name), value, span, NULL};
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
