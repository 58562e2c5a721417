/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The stream of tokens between scanner and parser. Here is decided
 *
 *   where a statement ends     which newlines count: not inside ( ) and [ ], not after an operator
 * or a comma, not before `else`, `then` or `->` what a word means          `loss`, `dataset`, `to`,
 * ... are names except where they begin a declaration or name a file; after a dot every word is a
 * name where to go on             after a syntax error the rest of the statement is skipped and the
 *                              token RESUME delivered, which the grammar knows only after `error`
 *
 * The stream begins with START_SCRIPT or START_EXPRESSION and ends with FINISH. */
#ifndef DMF_SYNTAX_TOKENS_H
#define DMF_SYNTAX_TOKENS_H

#include "syntax/build.h"

typedef struct Tokens Tokens;

/* `start` is the first token. The source must be valid UTF-8 without NUL bytes. */
Tokens *tokens_open(Build *build, int start);
void tokens_close(Tokens *tokens);
/* The next token: the parser's yylex. */
int tokens_next(Value *value, Span *span, Tokens *tokens);

/* The parser could not use the last token: skip to where a statement or entry may begin. */
void tokens_resume(Tokens *tokens);
/* Whether a syntax error at the last token says nothing new: its characters were wrong already, or
 * the text was left half read. */
bool tokens_silent(const Tokens *tokens);
/* Whether more text could follow where this one ends: a bracket is open or an operator waits. */
bool tokens_unfinished(const Tokens *tokens);
/* The innermost bracket open before the last token, if that token ends the text, is a closing
 * bracket or begins a line, so that the bracket was probably meant to be closed before. */
bool tokens_opener(const Tokens *tokens, char *bracket, Span *span);
/* The place of the last token. */
Span tokens_place(const Tokens *tokens);
/* The first token of the statement: its kind and its place. */
int tokens_statement(const Tokens *tokens, Span *place);
/* Whether an operand may end with a token of this kind. */
bool token_ends_operand(int kind);

#endif
