/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/places.h"
#include "cli/claim.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Places: the protocol counts lines and UTF-16 units from 0, a session lines and characters from 1.
 * The lines of a session end with a line feed, those of the protocol also with a carriage return.
 */

static const char *line_end(const char *at) { return at + strcspn(at, "\r\n"); }

/* The beginning of the next line, or the end of the text. */
static const char *next_line(const char *at) {
  at = line_end(at);
  return at + (at[0] == '\r' && at[1] == '\n' ? 2 : *at != 0);
}

/* The byte after `at` that begins the next character, and how many UTF-16 units lie between. */
static const char *next_character(const char *at, int *units) {
  *units = (unsigned char)*at >= 0xf0 ? 2 : 1;
  for (at++; ((unsigned char)*at & 0xc0) == 0x80;) at++;
  return at;
}

/* The place in a text, as the protocol writes it. */
static json_t *position_of(const char *text, const char *place) {
  int line = 0, units = 0, step;
  for (const char *next; *line_end(text) && (next = next_line(text)) <= place; line++) text = next;
  for (; text < place; units += step) text = next_character(text, &step);
  return json_pack("{s:i, s:i}", "line", line, "character", units);
}

json_t *position(const char *text, int line, int column) {
  const char *at = text;
  int step;
  for (const char *next; line > 1 && (next = strchr(at, '\n')); line--) at = next + 1;
  for (; column > 1 && *at && *at != '\n'; column--) at = next_character(at, &step);
  return position_of(text, at);
}

const char *place_at(const char *text, json_int_t line, json_int_t character) {
  for (; line > 0 && *text; line--) text = next_line(text);
  const char *end = line_end(text), *next;
  for (int step; text < end; text = next, character -= step) {
    next = next_character(text, &step);
    if (character < step) break;
  }
  return text;
}

json_t *range_of(const char *text, size_t begin, size_t end) {
  return json_pack("{s:o, s:o}", "start", position_of(text, text + begin), "end",
                   position_of(text, text + end));
}

bool is_name_byte(char byte) {
  return isalnum((unsigned char)byte) || byte == '_' || (unsigned char)byte >= 0x80;
}

json_t *text_json(const char *format, ...) {
  char *text = NULL;
  va_list list;
  va_start(list, format);
  if (vasprintf(&text, format, list) < 0) text = claim(NULL);
  va_end(list);
  json_t *json = json_string(text);
  for (char *at = text; !json && *at; at++)
    if ((unsigned char)*at >= 0x80) *at = '?';
  if (!json) json = json_string(text);
  free(text);
  return json;
}
