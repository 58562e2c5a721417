/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a recipe may say. A file comes from anywhere, and its recipe is evaluated when it is loaded
 * and when it is checked: it holds declarations of plain values and one solver call, as recipe.c
 * writes them, and nothing that computes, repeats, reads or shows. */
#include "session/session.h"

#include <string.h>

typedef struct Confine {
  const Scope *base;
  const Ast *root;
  const ResultRecipe *recipe;
  bool body;   /* inside a layer or a loss, where names are variables of a symbolic expression */
  bool system; /* inside a system, which may have named arrays as well */
} Confine;

static bool is_own_layer(const Confine *c, const char *name) {
  for (int i = 0; i < c->root->count; i++)
    if (c->root->kid[i]->kind == AST_LAYER && strcmp(c->root->kid[i]->name, name) == 0) return true;
  return false;
}

static bool is_array(const Confine *c, const char *name) {
  for (int i = 0; i < c->recipe->array_count; i++)
    if (strcmp(c->recipe->arrays[i].name, name) == 0) return true;
  return false;
}

static bool may_call(const Confine *c, const Ast *callee) {
  if (callee->kind != AST_NAME) return false;
  if (is_own_layer(c, callee->name)) return !c->body;
  const Binding *known = scope_find(c->base, callee->name);
  int flags = BUILTIN_ELEMENTWISE | BUILTIN_LAYER | BUILTIN_OPTIMIZER | BUILTIN_SAYS |
              (c->body ? BUILTIN_AVERAGES : 0) | (c->system ? BUILTIN_DYNAMICS : 0);
  return known && known->value->kind == VALUE_BUILTIN && known->value->builtin.row->flags & flags;
}

/* A chain, and a layer so many times; in a body all that is arithmetic. */
static bool may_join(const Confine *c, const Ast *node) {
  if (c->body) return node->op != AST_ARROW;
  return node->op == AST_ARROW || (node->op == '*' && node->kid[0]->kind == AST_NUMBER);
}

static bool may_stand(const Confine *c, const Ast *node) {
  switch (node->kind) {
  case AST_NUMBER:
  case AST_STRING:
  case AST_ARRAY:
  case AST_ARG: return true;
  case AST_NAME: return !c->body || c->system || !is_array(c, node->name);
  case AST_UNARY:
    return node->op == '-' || (c->body && node->op == '\'') || (c->system && node->op == AST_NOT);
  case AST_BINARY: return may_join(c, node);
  case AST_INDEX:
  case AST_IF:
  case AST_BLOCK:
  case AST_ASSIGN:
  case AST_RETURN:
  case AST_PARAM: return c->body;
  case AST_SLICE:
  case AST_RANGE:
  case AST_POPULATION:
  case AST_MATRIX:
  case AST_STATE:
  case AST_UPDATE:
  case AST_STEP:
  case AST_OBSERVE:
  case AST_EXPRESSION: return c->system;
  case AST_ENTRY: return !c->body;
  case AST_CALL: return may_call(c, node->kid[0]);
  default: return false;
  }
}

/* The first node of the tree that may not stand there, or NULL. */
static const Ast *trespass(const Confine *c, const Ast *node) {
  if (!node) return NULL;
  if (!may_stand(c, node)) return node;
  const Ast *found = NULL;
  for (int i = 0; i < node->count && !found; i++) found = trespass(c, node->kid[i]);
  return found;
}

static const Ast *trespass_below(const Confine *c, const Ast *node) {
  const Ast *found = NULL;
  for (int i = 0; i < node->count && !found; i++) found = trespass(c, node->kid[i]);
  return found;
}

/* NAME = KIND(...), the call that gave the result. */
static const Ast *trespass_in_call(const Confine *c, const Ast *node, const char *kind) {
  const Ast *call = node->kind == AST_ASSIGN ? node->kid[0] : NULL;
  if (!call || call->kind != AST_CALL || call->kid[0]->kind != AST_NAME ||
      strcmp(call->kid[0]->name, kind) != 0)
    return node;
  return trespass_below(c, call);
}

const Ast *recipe_trespass(const Scope *base, const Script *script, const Result *result) {
  Confine c = {base, script->root, &result->recipe, false, false};
  const Ast *found = script->root->count ? NULL : script->root;
  for (int i = 0; i < script->root->count && !found; i++) {
    const Ast *node = script->root->kid[i];
    c.system = node->kind == AST_SYSTEM;
    c.body = c.system || node->kind == AST_LAYER || node->kind == AST_LOSS;
    if (i + 1 == script->root->count)
      found = trespass_in_call(&c, node, result->kind);
    else
      found = c.body || node->kind == AST_DECLARE ? trespass_below(&c, node) : node;
  }
  return found;
}
