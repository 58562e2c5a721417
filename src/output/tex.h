/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef DMF_OUTPUT_TEX_H
#define DMF_OUTPUT_TEX_H

/* The text as LaTeX sets it, to be freed: Greek letters and raised digits in mathematics, _{...}
 * and
 * ^{...} below and above the line, all else literally. */
char *tex_text(const char *text);

#endif
