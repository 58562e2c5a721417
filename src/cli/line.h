/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reading what a person types: with readline on a terminal, plainly elsewhere. */
#ifndef DMF_CLI_LINE_H
#define DMF_CLI_LINE_H

#include "dmf.h"

typedef enum LineEnd { LINE_READ, LINE_INTERRUPTED, LINE_EOF } LineEnd;

/* Edits lines from here on; names complete as the session knows them, words after a colon as
 * `commands` (a list that ends with NULL). */
void line_edit(Dmf *dmf, const char *const *commands);
/* Reads a line to be freed, without its newline and without prompts that were copied along. With
 * readline, an unfinished statement is gone on with in the same buffer, and the line has several
 * lines. */
LineEnd line_read(const char *prompt, char **line);
/* The name that `help NAME`, `?NAME` or `NAME?` asks about, in `line` itself, empty for a bare
 * `help` or `?`; NULL when the line is nothing of the kind. Such a line is complete, whatever the
 * name: `help @`. */
char *line_asked(char *line);
/* Keeps a statement for the history, on disk at once. */
void line_remember(const char *statement);

#endif
