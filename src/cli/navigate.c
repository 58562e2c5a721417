/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/navigate.h"
#include "cli/claim.h"
#include "cli/places.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* How the protocol calls what names stand for: as kinds of symbols, and of tokens by their place in
 * the legend. */
static const struct {
  int symbol;
  const char *token;
} kinds[] = {
    [DMF_IS_VARIABLE] = {13, "variable"}, [DMF_IS_PARAMETER] = {13, "parameter"},
    [DMF_IS_FUNCTION] = {12, "function"}, [DMF_IS_ACTIVATION] = {12, "function"},
    [DMF_IS_LOSS] = {12, "function"},     [DMF_IS_LAYER] = {12, "function"},
    [DMF_IS_DATASET] = {23, "struct"},    [DMF_IS_MODEL] = {5, "class"},
    [DMF_IS_TRAINING] = {23, "struct"},   [DMF_IS_KEY] = {7, "property"},
    [DMF_IS_ARGUMENT] = {7, "property"},  [DMF_IS_FIELD] = {7, "property"},
    [DMF_IS_KNOWN] = {13, "variable"},    [DMF_IS_POPULATION] = {10, "struct"},
    [DMF_IS_MATRIX] = {18, "variable"},   [DMF_IS_STATE] = {13, "variable"},
};
static const char *const legend[] = {"variable", "parameter", "function", "struct",
                                     "class",    "property",  NULL};
enum { DECLARATION = 1, LIBRARY = 2 }; /* bits, in the order of their names in the legend */

json_t *navigate_legend(void) {
  json_t *names = json_array();
  for (int i = 0; legend[i]; i++) json_array_append_new(names, json_string(legend[i]));
  return json_pack("{s:o, s:[s, s]}", "tokenTypes", names, "tokenModifiers", "declaration",
                   "defaultLibrary");
}

/* The name at the cursor, or right before it; *found is a copy. */
static bool name_at(Dmf *dmf, const char *text, const char *cursor, DmfName *found) {
  size_t at = (size_t)(cursor - text);
  const DmfName *name;
  for (int i = 0; (name = dmf_name(dmf, text, strlen(text), i)); i++)
    if (name->begin <= at && at <= name->end) return *found = *name, true;
  return false;
}

static json_t *location(const char *uri, const char *text, size_t begin, size_t end) {
  return json_pack("{s:s, s:o}", "uri", uri, "range", range_of(text, begin, end));
}

/* The places of the text that mean what is defined at `origin`. */
static json_t *places_of(Dmf *dmf, const char *uri, const char *text, size_t origin, bool uses,
                         bool definitions) {
  json_t *list = json_array();
  const DmfName *name;
  for (int i = 0; (name = dmf_name(dmf, text, strlen(text), i)); i++)
    if (name->origin == origin && (name->defines ? definitions : uses))
      json_array_append_new(list, location(uri, text, name->begin, name->end));
  return list;
}

json_t *navigate_definition(Dmf *dmf, const char *uri, const char *text, const char *cursor) {
  DmfName name;
  if (!name_at(dmf, text, cursor, &name) || name.origin == SIZE_MAX) return NULL;
  return places_of(dmf, uri, text, name.origin, false, true);
}

json_t *navigate_references(Dmf *dmf, const char *uri, const char *text, const char *cursor,
                            bool definition) {
  DmfName name;
  if (!name_at(dmf, text, cursor, &name) || name.origin == SIZE_MAX) return NULL;
  return places_of(dmf, uri, text, name.origin, true, definition);
}

/* Whether a text is a single name, which is no word of the grammar. */
static bool is_name(Dmf *dmf, const char *text) {
  char *statement = claim(malloc(strlen(text) + 5));
  strcat(strcpy(statement, text), " = 1");
  const DmfName *name = dmf_name(dmf, statement, strlen(statement), 0);
  bool whole = name && name->defines && name->begin == 0 && name->end == strlen(text);
  free(statement);
  return whole;
}

json_t *navigate_rename(Dmf *dmf, const char *uri, const char *text, const char *cursor,
                        const char *name, const char **why) {
  DmfName old;
  *why = "there is no name of this text";
  if (!name_at(dmf, text, cursor, &old) || old.origin == SIZE_MAX) return NULL;
  *why = "this cannot be a name";
  if (!is_name(dmf, name)) return NULL;
  json_t *places = places_of(dmf, uri, text, old.origin, true, true), *edits = json_array(), *place;
  size_t i;
  json_array_foreach(places, i, place) json_array_append_new(
      edits, json_pack("{s:O, s:s}", "range", json_object_get(place, "range"), "newText", name));
  json_decref(places);
  return json_pack("{s:{s:o}}", "changes", uri, edits);
}

static json_t *symbol_of(const char *text, const DmfName *name) {
  return json_pack("{s:s%, s:i, s:o, s:o}", "name", text + name->begin, name->end - name->begin,
                   "kind", kinds[name->role].symbol, "range", range_of(text, name->from, name->to),
                   "selectionRange", range_of(text, name->begin, name->end));
}

/* Those of a system, or of a dataset that grows, stand below it. */
json_t *navigate_symbols(Dmf *dmf, const char *text) {
  json_t *list = json_array(), *inner = NULL;
  const DmfName *name;
  size_t end = 0;
  for (int i = 0; (name = dmf_name(dmf, text, strlen(text), i)); i++) {
    bool field = name->role == DMF_IS_FIELD;
    if (!name->defines || (name->origin != name->begin && !field)) continue;
    if (!name->outermost && !(inner && name->begin < end)) continue;
    json_t *symbol = symbol_of(text, name);
    json_array_append_new(name->outermost ? list : inner, symbol);
    if (!name->outermost) continue;
    bool body = name->role == DMF_IS_MODEL || name->role == DMF_IS_DATASET;
    inner = body ? json_array() : NULL;
    end = name->to;
    if (inner) json_object_set_new(symbol, "children", inner);
  }
  return list;
}

char *navigate_hover(Dmf *dmf, const char *text, const char *cursor) {
  DmfName asked;
  const DmfName *name;
  if (!name_at(dmf, text, cursor, &asked)) return NULL;
  for (int i = 0; (name = dmf_name(dmf, text, strlen(text), i)); i++) {
    bool same = asked.origin == SIZE_MAX ? name->begin == asked.begin : name->begin == asked.origin;
    if (!same || !name->defines || name->outermost || name->role == DMF_IS_PARAMETER) continue;
    size_t length = name->to - name->from;
    char *line = claim(strndup(text + name->from, length));
    line[strcspn(line, "\n")] = 0;
    return line;
  }
  return NULL;
}

static int legend_index(const char *token) {
  int i = 0;
  while (strcmp(legend[i], token) != 0) i++;
  return i;
}

static json_int_t member(const json_t *place, const char *end, const char *name) {
  return json_integer_value(json_object_get(json_object_get(place, end), name));
}

/* Five numbers for each name: lines and units from the one before, its length, kind and modifiers.
 */
json_t *navigate_tokens(Dmf *dmf, const char *text) {
  json_t *data = json_array();
  json_int_t last_line = 0, last_unit = 0;
  const DmfName *name;
  for (int i = 0; (name = dmf_name(dmf, text, strlen(text), i)); i++) {
    json_t *range = range_of(text, name->begin, name->end);
    json_int_t line = member(range, "start", "line"), unit = member(range, "start", "character");
    int modifiers = (name->defines ? DECLARATION : 0) | (name->role == DMF_IS_KNOWN ? LIBRARY : 0);
    json_int_t numbers[] = {line - last_line, line == last_line ? unit - last_unit : unit,
                            member(range, "end", "character") - unit,
                            legend_index(kinds[name->role].token), modifiers};
    for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++)
      json_array_append_new(data, json_integer(numbers[k]));
    last_line = line;
    last_unit = unit;
    json_decref(range);
  }
  return json_pack("{s:o}", "data", data);
}
