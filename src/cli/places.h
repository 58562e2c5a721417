/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Places of texts in the Language Server Protocol, and texts in its messages. */
#ifndef DMF_CLI_PLACES_H
#define DMF_CLI_PLACES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* The same of a place that a session tells. */
json_t *position(const char *text, int line, int column);
/* What lies between two bytes of a text. */
json_t *range_of(const char *text, size_t begin, size_t end);
/* A place of the protocol in a text: past the end of a line at its end, past the last line at the
 * end of the text, inside a character before it. */
const char *place_at(const char *text, json_int_t line, json_int_t character);

/* Whether a byte may be part of a name. */
bool is_name_byte(char byte);
/* A text made of names and pieces of files, with a mark for every byte of one that is no UTF-8. */
json_t *text_json(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
