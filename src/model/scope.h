/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Names and what they stand for. Scopes are stacked: a name that a scope does not hold is looked
 * up in its parent. */
#ifndef DMF_MODEL_SCOPE_H
#define DMF_MODEL_SCOPE_H

#include "model/value.h"

typedef struct Binding Binding;
struct Binding {
  char *name;
  Value *value;
  Span span;         /* where the name was given its value */
  Binding *shadowed; /* what library files called by it before another text did, or NULL */
};

typedef struct Scope Scope;
struct Scope {
  Scope *parent;
  Binding *items; /* in order of their first assignment */
  int count, capacity;
  int *buckets; /* open addressing: index into items + 1, or 0 */
  int bucket_count;
};

Scope *scope_new(Scope *parent);
void scope_free(Scope *scope); /* not its parents */

/* Sets a name in this scope itself. */
void scope_set(Scope *scope, const char *name, Value *value, Span span);
/* The binding in this scope itself, or NULL; valid until the next scope_set. */
Binding *scope_own(const Scope *scope, const char *name);
/* The binding in this scope or the nearest parent that has it, or NULL. */
Binding *scope_find(const Scope *scope, const char *name);
/* What a name means in a text. In a library file it is what the file itself calls by it, else what
 * another such file or the language (the outermost scope) does, and what a script calls by the same
 * only where they do not. */
Binding *scope_meant(const Scope *scope, const char *name, const Source *text);
/* Every name visible from here, ending with NULL; the array is to be freed, the names are not. */
const char **scope_names(const Scope *scope);

#endif
