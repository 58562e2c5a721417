/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The names of a text, and where each is defined: for editors. */
#include "session/session.h"
#include "base/memory.h"
#include "base/plain.h"

#include <stdlib.h>
#include <string.h>

/* Names that are defined, innermost last. Those of the text as a whole are collected first: a
 * function may use what is defined behind it. */
typedef struct Known {
  const char *name;
  DmfRole role;
  size_t origin;
} Known;

typedef struct Walk {
  Dmf *dmf;
  Known *known;
  int known_count, outermost; /* so many of them are of the whole text */
} Walk;

static void learn(Walk *walk, const Ast *node, DmfRole role) {
  if (!*node->name) return; /* of `repeat` */
  size_t count = (size_t)walk->known_count + 1;
  walk->known = mem_grow(walk->known, count * sizeof *walk->known);
  walk->known[walk->known_count++] = (Known){node->name, role, node->name_span.begin};
}

/* The innermost, and of several definitions in one place the first. */
static const Known *find(const Walk *walk, const char *name) {
  const Known *found = NULL;
  for (int i = walk->known_count - 1; i >= 0; i--) {
    if (found && i < walk->outermost && found - walk->known >= walk->outermost) break;
    if (strcmp(walk->known[i].name, name) == 0) found = &walk->known[i];
  }
  return found;
}

static DmfRole role_of(const Ast *node) {
  switch (node->kind) {
  case AST_FUNCTION: return DMF_IS_FUNCTION;
  case AST_ACTIVATION: return DMF_IS_ACTIVATION;
  case AST_LOSS: return DMF_IS_LOSS;
  case AST_LAYER: return DMF_IS_LAYER;
  case AST_PARAM: return DMF_IS_PARAMETER;
  case AST_STATE: return DMF_IS_STATE;
  case AST_SYSTEM: return node->op == AST_DATASET ? DMF_IS_DATASET : DMF_IS_MODEL;
  case AST_DECLARE:
    return node->op == AST_DATASET ? DMF_IS_DATASET
           : node->op == AST_MODEL ? DMF_IS_MODEL
                                   : DMF_IS_TRAINING;
  default: return DMF_IS_VARIABLE;
  }
}

static bool has_own_names(const Ast *node) {
  return node->kind == AST_FUNCTION || node->kind == AST_ACTIVATION || node->kind == AST_LOSS ||
         node->kind == AST_LAYER || node->kind == AST_SYSTEM || node->kind == AST_EACH ||
         node->kind == AST_CLOSURE;
}

/* The populations or the matrices that a line of a system names. */
static void learn_all(Walk *walk, const Ast *parameters, DmfRole role) {
  for (int i = 0; i < parameters->count; i++) learn(walk, parameters->kid[i], role);
}

/* What the statements below a node define, but for what is a name of functions alone. */
static void collect(Walk *walk, const Ast *node) {
  bool own = has_own_names(node);
  if ((own && node->kind != AST_EACH && node->kind != AST_CLOSURE) || node->kind == AST_DECLARE ||
      node->kind == AST_ASSIGN || node->kind == AST_FOR || node->kind == AST_STATE)
    learn(walk, node, role_of(node));
  if (node->kind == AST_POPULATION) learn_all(walk, node, DMF_IS_POPULATION);
  if (node->kind == AST_MATRIX) learn_all(walk, node->kid[0], DMF_IS_MATRIX);
  for (int i = 0; !own && i < node->count; i++)
    if (node->kid[i]) collect(walk, node->kid[i]);
}

static DmfName *add(Walk *walk, DmfRole role, Span span, size_t origin) {
  Dmf *dmf = walk->dmf;
  size_t count = (size_t)dmf->name_count + 1;
  dmf->names = mem_grow(dmf->names, count * sizeof *dmf->names);
  dmf->names[dmf->name_count] = (DmfName){role, span.begin, span.end, origin, false, false, 0, 0};
  return &dmf->names[dmf->name_count++];
}

/* A name that the statement gives its meaning. */
static void define_by(Walk *walk, const Ast *node, DmfRole role, Span statement) {
  const Known *known = find(walk, node->name);
  bool outermost = known && known - walk->known < walk->outermost;
  DmfName *name = add(walk, role, node->name_span, known ? known->origin : node->name_span.begin);
  name->defines = true;
  name->outermost = outermost;
  name->from = statement.begin;
  name->to = statement.end;
}

static void define(Walk *walk, const Ast *node) {
  if (!*node->name) return;
  define_by(walk, node, role_of(node), node->span);
}

static void use(Walk *walk, const char *word, Span span) {
  const Known *known = find(walk, word);
  add(walk, known ? known->role : DMF_IS_KNOWN, span, known ? known->origin : SIZE_MAX);
}

static void visit(Walk *walk, const Ast *node);

static void visit_kids(Walk *walk, const Ast *node) {
  for (int i = 0; i < node->count; i++)
    if (node->kid[i]) visit(walk, node->kid[i]);
}

/* A function, a layer or brackets: what they define is known inside alone. */
static void visit_inner(Walk *walk, const Ast *node) {
  int outer = walk->known_count;
  if (node->kind == AST_EACH) {
    learn(walk, node, DMF_IS_VARIABLE);
    define(walk, node);
  }
  for (int i = 0; i < node->count; i++) {
    const Ast *kid = node->kid[i];
    if (kid->kind == AST_PARAM) learn(walk, kid, DMF_IS_PARAMETER);
    if (kid->kind == AST_BLOCK || node->kind == AST_SYSTEM) collect(walk, kid);
  }
  for (int i = 0; i < node->count; i++) {
    bool again = node->kind == AST_CLOSURE && i >= node->number && i + 1 < node->count;
    if (!again) visit(walk, node->kid[i]);
  }
  walk->known_count = outer;
}

/* NAME = value in a call: the name of an argument, or behind a dot a key. */
static void visit_argument(Walk *walk, const Ast *node) {
  add(walk, node->count > 1 ? DMF_IS_FIELD : DMF_IS_ARGUMENT, node->name_span, SIZE_MAX);
  visit_kids(walk, node);
}

/* Populations, or matrices, and what their sizes are made of. */
static void visit_all(Walk *walk, const Ast *list, DmfRole role, Span statement) {
  for (int i = 0; i < list->count; i++) {
    define_by(walk, list->kid[i], role, statement);
    visit_kids(walk, list->kid[i]);
  }
}

static void visit_matrix(Walk *walk, const Ast *node) {
  visit_all(walk, node->kid[0], DMF_IS_MATRIX, node->span);
  for (int i = 0; i < node->kid[1]->count; i++)
    use(walk, node->kid[1]->kid[i]->name, node->kid[1]->kid[i]->name_span);
  visit(walk, node->kid[2]);
}

/* What a system observes has its name in results alone. */
static void visit_observed(Walk *walk, const Ast *node) {
  DmfName *name = add(walk, DMF_IS_FIELD, node->name_span, SIZE_MAX);
  name->defines = true;
  name->from = node->span.begin;
  name->to = node->span.end;
  visit_kids(walk, node);
}

static void visit(Walk *walk, const Ast *node) {
  switch (node->kind) {
  case AST_NAME: use(walk, node->name, node->span); break;
  case AST_FUNCTION:
  case AST_ACTIVATION:
  case AST_LOSS:
  case AST_LAYER:
  case AST_SYSTEM:
    define(walk, node);
    visit_inner(walk, node);
    break;
  case AST_POPULATION: visit_all(walk, node, DMF_IS_POPULATION, node->span); break;
  case AST_MATRIX: visit_matrix(walk, node); break;
  case AST_EACH:
  case AST_CLOSURE: visit_inner(walk, node); break;
  case AST_PARAM:
  case AST_DECLARE:
  case AST_ASSIGN:
  case AST_FOR:
  case AST_STATE:
    define(walk, node);
    visit_kids(walk, node);
    break;
  case AST_ARG: visit_argument(walk, node); break;
  case AST_OBSERVE: visit_observed(walk, node); break;
  case AST_ENTRY:
    add(walk, DMF_IS_KEY, node->name_span, SIZE_MAX);
    visit_kids(walk, node);
    break;
  case AST_FIELD:
    visit_kids(walk, node);
    add(walk, DMF_IS_FIELD, node->name_span, SIZE_MAX);
    break;
  default: visit_kids(walk, node);
  }
}

static int by_place(const void *a, const void *b) {
  const DmfName *x = a, *y = b;
  return x->begin < y->begin ? -1 : x->begin > y->begin;
}

static void read_names(Dmf *dmf, const char *text, size_t length) {
  Source *source = source_new("<input>", text, length);
  Script *script = NULL;
  Walk walk = {.dmf = dmf};
  script_parse(source, false, &script, &dmf->diags);
  free(dmf->names);
  dmf->names = NULL;
  dmf->name_count = 0;
  if (script && script->root) {
    collect(&walk, script->root);
    walk.outermost = walk.known_count;
    visit(&walk, script->root);
  }
  if (dmf->name_count) qsort(dmf->names, (size_t)dmf->name_count, sizeof *dmf->names, by_place);
  free(walk.known);
  script_free(script);
  source_drop(source);
  diags_clear(&dmf->diags);
}

const DmfName *dmf_name(Dmf *dmf, const char *text, size_t length, int i) {
  PLAIN_LOCALE;
  if (i == 0) read_names(dmf, text, length);
  return i >= 0 && i < dmf->name_count ? &dmf->names[i] : NULL;
}
