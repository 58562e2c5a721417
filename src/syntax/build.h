/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the generated parser works with: the state of one reading, the values of symbols, and the
 * constructors of the tree. Everything is allocated in the arena of the reading, so that nothing
 * has to be released when the parser throws half a statement away. */
#ifndef DMF_SYNTAX_BUILD_H
#define DMF_SYNTAX_BUILD_H

#include "syntax/ast.h"

typedef struct Build {
  const Source *source;
  Arena *arena;
  Diags *diags;
  int errors;       /* those in `diags` when the reading began */
  bool interactive; /* more text may follow */
  bool unfinished;  /* set by the parser when it must */
  Ast *root;        /* set by the parser when the text has been read to its end */
} Build;

typedef struct Name {
  const char *text;
  Span span;
} Name;

/* A list that grows while it is parsed; items may be NULL where the tree allows it. */
typedef struct Kids {
  Ast **item;
  int count, capacity;
} Kids;

/* The value of a grammar symbol. */
typedef union Value {
  double number;
  const char *text;
  Name name;
  int code; /* an operator or a kind of node */
  Ast *node;
  Kids *kids;
} Value;

/* A list of the `count` nodes that follow. */
Kids *kids_of(Build *build, int count, ...);
Kids *kids_add(Build *build, Kids *kids, Ast *node);
/* `node` followed by the items of `kids`. */
Kids *kids_prepend(Build *build, Ast *node, Kids *kids);

/* Constructors. A node that would be taller than AST_MAX_HEIGHT is reported once and becomes
 * BROKEN, together with everything built on it up to its statement. */
Ast *build_node(Build *build, AstKind kind, Span span, Kids *kids);
Ast *build_named(Build *build, AstKind kind, Span span, Name name, Kids *kids);
/* A loop over 1 .. count without a name; `word` is its place. */
Ast *build_repeat(Build *build, Span span, Span word, Ast *count, Ast *block);
Ast *build_op(Build *build, AstKind kind, Span span, int op, Kids *kids);
Ast *build_declare(Build *build, Span span, int op, Name name, Kids *entries);
/* A DECLARE of entries; where populations are among them, a SYSTEM. */
Ast *build_dataset(Build *build, Span span, Name name, Kids *facts);
/* function NAME(parameters) of arguments: a FUNCTION with its arguments before its parameters, and
 * their number in `number`. */
Ast *build_family(Build *build, Span span, Name name, Kids *arguments, Kids *parameters, Ast *body);
/* function(parameters) = body, a CLOSURE. */
Ast *build_closure(Build *build, Span span, Kids *parameters, Ast *body);
Ast *build_number(Build *build, Span span, double number);
Ast *build_string(Build *build, Span span, const char *text);
Ast *build_import(Build *build, Span span, const char *file);
/* A node in parentheses covers them too. */
Ast *build_group(Ast *node, Span span);

/* The one message for whatever is too deep: brackets, trees, the parser's stack. */
void build_too_deep(Build *build, Span span);

#endif
