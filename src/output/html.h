/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Results for browsers: pieces of HTML that need nothing from elsewhere. */
#ifndef DMF_OUTPUT_HTML_H
#define DMF_OUTPUT_HTML_H

#include "result/result.h"

#include <stdio.h>

/* Writes a text in which nothing is markup. */
void html_escape(FILE *out, const char *text);
/* A text as it is laid out, to be freed. */
char *html_text(const char *text);
/* A result as a card: what was solved and how, its last loss, and its fields; a comparison as a
 * table. To be freed. */
char *html_result(const Result *result);

#endif
