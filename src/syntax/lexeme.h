/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From the characters of a token to its value. Each function reports what is wrong with the lexeme
 * at its exact place and returns the token to go on with; BAD makes the parser skip the statement
 * without a further message. */
#ifndef DMF_SYNTAX_LEXEME_H
#define DMF_SYNTAX_LEXEME_H

#include "syntax/build.h"

/* A number; one that is infinite in double precision is an error. */
int lexeme_number(Build *build, Span span, const char *text, Value *value);
/* A number that runs into a name, such as 2x. */
int lexeme_run_on(Build *build, Span span, Value *value);
/* A string with its quotes; resolves \n \t \" \\. */
int lexeme_string(Build *build, Span span, Value *value);
/* A keyword, or a name: Greek letters are spelled out, subscript digits become digits. */
int lexeme_name(Build *build, Span span, Value *value);
/* The name that stands in the source at `span`, which is plain ASCII. */
Name lexeme_word(Build *build, Span span);
/* An operator of other languages: an error with the hint, then read as `token`. */
int lexeme_foreign(Build *build, Span span, const char *hint, int token);
/* A string without its closing quote. */
int lexeme_unclosed(Build *build, Span span);
/* Characters that mean nothing. */
int lexeme_stray(Build *build, Span span);

#endif
