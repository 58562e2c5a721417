/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Mathematics written once and set twice: as text for a terminal of 80 columns, or as LaTeX.
 * Symbols are named in braces, "{gamma}", and looked up in one table. A document is made of
 * headings, paragraphs and rows; a row is a left side and pieces ("= ...", "+ ...") that are broken
 * into lines between pieces. */
#ifndef DMF_FIELD_NOTATION_H
#define DMF_FIELD_NOTATION_H

#include "scalar/expr.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct Writer Writer;
Writer *writer_open(bool latex);
/* The finished document, to be freed; frees the writer. */
char *writer_close(Writer *w);

void write_heading(Writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A paragraph, filled; mathematics between dollar signs. */
void write_prose(Writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Rows: write into the left side, begin each piece, the first as a rule with "= ", end the row. */
void row_piece(Writer *w);
void row_equals(Writer *w);
void row_end(Writer *w);

/* Into the row: symbols, words, expressions, and what stands above, below and in
 * fractions. Empty superscripts and subscripts vanish. */
void put(Writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void put_words(Writer *w, const char *words);
void put_above(Writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void put_below(Writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void put_fraction(Writer *w, const char *top, const char *bottom);
void put_expr(Writer *w, const Expr *e, const char *const *names);

/* A name that the user chose, as it may stand in a paragraph; to be freed. */
char *writer_name(const Writer *w, const char *name);

/* What is put from here on is kept apart; the second gives it as a string, to be freed. */
typedef struct Aside {
  void *stream;
  char *text;
  size_t length;
} Aside;
void aside_begin(Writer *w, Aside *aside);
char *aside_end(Writer *w, Aside *aside);

#endif
