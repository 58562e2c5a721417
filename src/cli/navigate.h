/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the language server says of the names of a text: where they are defined and used, how they
 * are called instead, what they stand for. All give null where there is nothing to say. */
#ifndef DMF_CLI_NAVIGATE_H
#define DMF_CLI_NAVIGATE_H

#include "dmf.h"

#include <jansson.h>

/* Where the name at the cursor is defined. */
json_t *navigate_definition(Dmf *dmf, const char *uri, const char *text, const char *cursor);
/* Where it is used, and with `definition` where it is defined. */
json_t *navigate_references(Dmf *dmf, const char *uri, const char *text, const char *cursor,
                            bool definition);
/* The edits that give it another name; NULL with *why when it cannot have that. */
json_t *navigate_rename(Dmf *dmf, const char *uri, const char *text, const char *cursor,
                        const char *name, const char **why);
/* What the text defines, as a list, and below its systems what these define. */
json_t *navigate_symbols(Dmf *dmf, const char *text);
/* The first line of the statement inside a function, a layer or a system that gives the name at the
 * cursor its meaning; to be freed. */
char *navigate_hover(Dmf *dmf, const char *text, const char *cursor);
/* What kind of thing each name is, as the protocol packs it; and the names of the kinds. */
json_t *navigate_tokens(Dmf *dmf, const char *text);
json_t *navigate_legend(void);

#endif
