/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Results as text for people. */
#ifndef DMF_OUTPUT_TEXT_H
#define DMF_OUTPUT_TEXT_H

#include "result/result.h"

#include <stdio.h>

/* What `print` shows of a result, lines without a final newline, to be freed: for most kinds a card
 * (kind, attributes, final loss, and one line for each field with its shape); for "compare" an
 * aligned table of max |a - b|, rms z and max |z|. */
char *text_result(const Result *result, int columns);

/* Writes a text in lines of at most `columns` characters, each after `indent` blanks, broken
 * between words; ends with a newline. */
void text_wrap(FILE *out, const char *text, int indent, int columns);

/* Columns and lines of the terminal behind `stream`, or 80 and 24. */
int text_columns(FILE *stream);
int text_lines(FILE *stream);

#endif
