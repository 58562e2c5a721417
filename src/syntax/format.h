/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A script in the standard layout. Tokens and comments stay as they are; only the white space
 * between them changes:
 *
 *   lines         stay where the author broke them; empty lines in a row become one
 *   indentation   two blanks for each block and for a statement that goes on; behind an open
 * bracket that does not end its line, under what follows it blanks        one around operators, `=`
 * and `->`; none around ^ .. . : and inside brackets alignment     the `=` of entries in a
 * declaration, and of statements whose author began to align them; comments behind lines keep a
 * column they share, else get one */
#ifndef DMF_SYNTAX_FORMAT_H
#define DMF_SYNTAX_FORMAT_H

#include "syntax/ast.h"

/* The text, to be freed; NULL after a syntax error, which was reported. What comes out has the same
 * tree, and formatting it again changes nothing. */
char *script_format(Source *source, Diags *diags);

#endif
