/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The equations of the field room, which are written in LaTeX, as MathML: what browsers set by
 * themselves. */
#ifndef DMF_OUTPUT_MATHML_H
#define DMF_OUTPUT_MATHML_H

#include <stdio.h>

/* Headings, paragraphs and aligned rows, as equations_print writes them. */
void mathml_write(FILE *out, const char *latex);

#endif
