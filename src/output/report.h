/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The frame of a page: its style and script, which need nothing from elsewhere. */
#ifndef DMF_OUTPUT_REPORT_H
#define DMF_OUTPUT_REPORT_H

#include <stdio.h>

/* Everything before and behind the body of a page. */
void report_begin(FILE *out, const char *title);
void report_end(FILE *out);

#endif
