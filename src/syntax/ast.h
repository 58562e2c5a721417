/* SPDX-License-Identifier: GPL-3.0-or-later */
/* clang-format off */
/* The syntax tree. A tree lives in the arena of its Script; nodes are never changed after parsing.
 *
 * The kinds, with what `name`, `number` and the children `kid[0..count)` hold:
 *
 * expressions
 *   NUMBER   number
 *   STRING   name = the text, escapes resolved (may be empty)
 *   NAME     name (Greek letters already spelled out)
 *   ARRAY    kids = elements
 *   EACH     [kid 0 for name in kid 1]
 *   RANGE    kid 0 .. kid 1, both ends included
 *   UNARY    op, kid 0; op: '-', AST_NOT, '\'' (transpose, postfix)
 *   BINARY   op, kid 0, kid 1; op: one of + - * / ^ @ < > or AST_LE .. AST_OR, AST_ARROW
 *   IF       if kid 0 then kid 1 else kid 2
 *   CALL     kid 0 = callee, kids 1.. = arguments, each an expression or an ARG
 *   ARG      name = kid 0, or kid 1 . name = kid 0 (in a CALL)
 *   INDEX    kid 0 = base, kids 1.. = subscripts, each an expression or a SLICE
 *   SLICE    kid 0 : kid 1, either may be NULL
 *   FIELD    kid 0 . name, name_span
 *   WITH     kid 0 with { kids 1.. = ENTRY }
 *   CLOSURE  function ( kids 0..number-1 = PARAM ) = kid count-1; kids number..count-2 = NAME, what
 *            else its names are, once each, of the nodes below; name = its text
 *
 * statements
 *   BLOCK    kids = statements
 *   ASSIGN   name = kid 0
 *   FUNCTION, ACTIVATION, LOSS
 *            name ( kids 0..count-2 = PARAM ) = kid count-1, of a FUNCTION also a BLOCK
 *   FUNCTION with number > 0
 *            name ( kids number..count-2 = PARAM ) of kids 0..number-1 = PARAM
 *   LAYER    name ( kids 0..count-3 = PARAM ) of kid count-2 = PARAM, kid count-1 = BLOCK
 *   RETURN   kid 0
 *   PARAM    name, kid 0 = default or NULL (count 0 or 1)
 *   DECLARE  op = AST_DATASET, AST_MODEL, AST_TRAINING; name; kids = ENTRY
 *   ENTRY    name = kid 0
 *   IMPORT   name = the file
 *   PRINT    kids = expressions, or ARG for `label = expression`
 *   PLOT     kids 0..count-2 = expressions or ARG, kid count-1 = file expression or NULL
 *   SAVE     kid 0 = value, kid 1 = file expression
 *   REPORT   kids 0..count-2 = expressions or ARG, kid count-1 = file expression
 *   ASSERT   kid 0 = condition, kid 1 = message expression or NULL
 *   FOR      name in kid 0, kid 1 = BLOCK
 *   WHILE    while kid 0, kid 1 = BLOCK
 *   WHEN     if kid 0, kid 1 = BLOCK, kid 2 = BLOCK or WHEN or NULL (the statement `if`)
 *   SYSTEM   name; kids = ASSIGN, POPULATION, MATRIX, STATE, UPDATE, FOR, STEP; op = AST_DATASET of
 *            a dataset that grows, which has ASSIGN, POPULATION, MATRIX, UPDATE
 *   POPULATION
 *            kids = PARAM
 *   MATRIX   kid 0 = BLOCK of PARAM (a default is the number of matrices), kid 1 = BLOCK of two
 *            PARAM (from, to), kid 2 = BLOCK of ARG
 *   STATE, OBSERVE
 *            name = kid 0
 *   UPDATE   op '+' or '*', kid 0 op= kid 1
 *   STEP     kids = ASSIGN, MATRIX, OBSERVE, UPDATE, FOR, EXPRESSION
 *   EXPRESSION
 *            kid 0, alone on its line: shown by the REPL, an error of style elsewhere
 *   BROKEN   a place where parsing failed and recovered; its error is already reported
 */
/* clang-format on */
#ifndef DMF_SYNTAX_AST_H
#define DMF_SYNTAX_AST_H

#include "base/diag.h"
#include "base/memory.h"

typedef enum AstKind {
  AST_NUMBER,
  AST_STRING,
  AST_NAME,
  AST_ARRAY,
  AST_EACH,
  AST_RANGE,
  AST_UNARY,
  AST_BINARY,
  AST_IF,
  AST_CALL,
  AST_ARG,
  AST_INDEX,
  AST_SLICE,
  AST_FIELD,
  AST_WITH,
  AST_CLOSURE,
  AST_BLOCK,
  AST_ASSIGN,
  AST_FUNCTION,
  AST_ACTIVATION,
  AST_LOSS,
  AST_LAYER,
  AST_RETURN,
  AST_SYSTEM,
  AST_POPULATION,
  AST_MATRIX,
  AST_STATE,
  AST_UPDATE,
  AST_STEP,
  AST_OBSERVE,
  AST_PARAM,
  AST_DECLARE,
  AST_ENTRY,
  AST_IMPORT,
  AST_PRINT,
  AST_PLOT,
  AST_SAVE,
  AST_REPORT,
  AST_ASSERT,
  AST_FOR,
  AST_WHILE,
  AST_WHEN,
  AST_EXPRESSION,
  AST_BROKEN
} AstKind;

/* Operators that are not one character, and the three kinds of declaration. */
enum {
  AST_LE = 256,
  AST_GE,
  AST_EQ,
  AST_NE,
  AST_AND,
  AST_OR,
  AST_NOT,
  AST_ARROW,
  AST_DATASET,
  AST_MODEL,
  AST_TRAINING
};

typedef struct Ast Ast;
struct Ast {
  AstKind kind;
  int op;
  Span span;      /* the whole construct */
  Span name_span; /* the name in it, where there is one */
  const char *name;
  double number;
  Ast **kid;
  int count;
  int height; /* of the tree below, or more: never above AST_MAX_HEIGHT in a good tree */
};

/* A parsed text: its tree and the arena that holds it. */
typedef struct Script {
  Source *source;
  Arena *arena;
  Ast *root; /* a BLOCK, or the expression of script_parse_expression */
} Script;

typedef enum ParseOutcome {
  PARSE_OK,
  PARSE_INCOMPLETE, /* the text ends inside an unfinished statement: the REPL reads another line */
  PARSE_ERROR       /* diagnostics were added; the tree holds what could be read */
} ParseOutcome;

/* Parses a whole text and reports every syntax error in it (recovering at statement ends). When
 * `interactive`, an unfinished text is PARSE_INCOMPLETE without a diagnostic. Nesting deeper than
 * AST_MAX_DEPTH is an error, as are a NUL byte and malformed UTF-8. The script keeps a reference to
 * the source. A long chain of operators is a tall tree although nothing in it is nested; trees
 * taller than AST_MAX_HEIGHT are refused too, so that walking one may recurse. */
enum { AST_MAX_DEPTH = 200, AST_MAX_HEIGHT = 5 * AST_MAX_DEPTH };
ParseOutcome script_parse(Source *source, bool interactive, Script **script, Diags *diags);
/* Parses one expression (for --set NAME.KEY=VALUE); NULL after an error. */
Script *script_parse_expression(Source *source, Diags *diags);
void script_free(Script *script);
/* Frees the tree alone: spans still find their text. And has it again, from the text, which parsed
 * before. */
void script_drop_tree(Script *script);
const Ast *script_tree(Script *script);
/* Whether values point into the tree when it has been evaluated: functions, activations and layers
 * do. */
bool script_holds_code(const Script *script);

/* How an operator is written: "<=", "and", "+"; the text lives until the next call on this thread.
 */
const char *ast_operator(int op);
/* The tree as an s-expression, for tests. Free the text with free(). */
char *ast_print(const Ast *node);
/* The source text of a node, comments left out and runs of white space made one blank: the name of
 * a printed value. Free the text with free(). */
char *ast_source(const Ast *node);
/* What the comment behind a statement says, or else the comment lines right above it, as one line
 * without the marks; empty where there is none. Free the text with free(). */
char *ast_comment(const Ast *node);
/* The same for the comment lines at the beginning of a text. */
char *source_comment(const Source *source);

/* A text of the language in which names that spell a Greek letter, alone or up to an underscore,
 * are written with it: gamma as γ, sigma_w as σ_w. Strings stay as they are. To be freed. */
char *greek_text(const char *text);

#endif
