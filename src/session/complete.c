/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What may be typed at a place of a text: fields after a dot, keys in a declaration, arguments in a
 * call, options of a plot, files of the library in an import; else names and words. */
#include "session/session.h"
#include "base/memory.h"
#include "base/plain.h"
#include "model/declare.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 64 };

/* An opened bracket, and where the name or the statement before it begins. */
typedef struct Opener {
  char bracket;
  size_t at, segment; /* the text since the last separator inside begins at `segment` */
} Opener;

typedef struct Place {
  Dmf *dmf;
  const char *text;
  size_t cursor, word;       /* the word begins here */
  size_t statement, segment; /* so does the statement, and what follows the last separator in it */
  Opener open[DEEPEST];
  int depth;
  bool comment, string;
} Place;

/* Reading the text */

static bool is_word(char c) {
  return isalnum((unsigned char)c) || c == '_' || c == '\\' || ((unsigned char)c & 0x80);
}

static void separate(Place *place, size_t at) {
  place->segment = at + 1;
  bool ends = !place->depth || place->open[place->depth - 1].bracket == '{';
  if (ends && place->text[at] != ',') place->statement = at + 1;
}

static void read_bracket(Place *place, size_t at) {
  char c = place->text[at];
  if (strchr("([{", c)) {
    if (place->depth < DEEPEST) place->open[place->depth] = (Opener){c, at, place->statement};
    place->depth++;
    place->segment = at + 1;
    if (c == '{') place->statement = at + 1;
  } else if (place->depth > 0) {
    place->depth--;
    if (place->depth < DEEPEST) place->statement = place->open[place->depth].segment;
  }
}

static Place find_place(Dmf *dmf, const char *text, size_t cursor) {
  Place place = {.dmf = dmf, .text = text, .cursor = cursor, .word = cursor};
  for (size_t i = 0; i < cursor; i++) {
    char c = text[i];
    bool inside = place.depth && strchr("([", place.open[(place.depth - 1) % DEEPEST].bracket);
    if (place.comment || place.string) {
      if (place.string && c == '\\') i++;
      if (c == '\n') place.comment = false;
      if (c == '"' && !place.comment) place.string = false;
      if (place.comment || place.string || c == '"') continue;
    }
    if (c == '#') place.comment = true;
    if (c == '"') place.string = true;
    if (strchr("()[]{}", c)) read_bracket(&place, i);
    if (c == ',' || ((c == '\n' || c == ';') && !inside)) separate(&place, i);
  }
  while (place.word > 0 && is_word(text[place.word - 1])) place.word--;
  return place;
}

static bool blank_between(const char *text, size_t from, size_t to) {
  for (; from < to; from++)
    if (!isspace((unsigned char)text[from])) return false;
  return true;
}

/* The word that ends at `end`, after blanks; its beginning, or `end` when there is none. */
static size_t word_before(const char *text, size_t *end) {
  while (*end > 0 && isspace((unsigned char)text[*end - 1])) --*end;
  size_t begin = *end;
  while (begin > 0 && is_word(text[begin - 1])) begin--;
  return begin;
}

static char *word_at(const char *text, size_t from) {
  while (isspace((unsigned char)text[from])) from++;
  size_t end = from;
  while (is_word(text[end])) end++;
  return mem_format("%.*s", (int)(end - from), text + from);
}

/* Candidates */

static void offer(Dmf *dmf, const char *text) {
  size_t count = (size_t)dmf->candidate_count + 1;
  dmf->candidates = mem_grow(dmf->candidates, count * sizeof *dmf->candidates);
  dmf->candidates[dmf->candidate_count++] = mem_string(text);
}

static const Value *variable(const Place *place, const char *name) {
  const Binding *binding = scope_find(place->dmf->user, name);
  return binding ? binding->value : NULL;
}

/* NAME. or NAME.stderr. before the word. */
static void offer_fields(const Place *place) {
  size_t end = place->word - 1, begin = word_before(place->text, &end);
  char *name = mem_format("%.*s", (int)(end - begin), place->text + begin);
  bool errors = strcmp(name, "stderr") == 0 && begin > 0 && place->text[begin - 1] == '.';
  if (errors) {
    end = begin - 1;
    begin = word_before(place->text, &end);
    free(name);
    name = mem_format("%.*s", (int)(end - begin), place->text + begin);
  }
  const Value *value = variable(place, name);
  const char **fields = value ? value_fields(value, errors) : NULL;
  for (int i = 0; fields && fields[i]; i++) offer(place->dmf, fields[i]);
  free(fields);
  free(name);
}

/* What a text declares or a session knows under a name: -1 if that is no declaration. */
static int declared_kind(const Place *place, const char *name) {
  const Value *value = variable(place, name);
  if (value && value->kind == VALUE_DECLARED) return (int)value->declared.kind;
  for (DeclaredKind kind = DECLARED_DATASET; kind <= DECLARED_TRAINING; kind++) {
    char *declaration = mem_format("%s %s", declared_kind_name(kind), name);
    bool found = strstr(place->text, declaration) != NULL;
    free(declaration);
    if (found) return (int)kind;
  }
  return -1;
}

/* Whether the innermost brace holds the keys of a declaration or a variant: of which kind, or -1.
 */
static int keys_of(const Place *place) {
  const Opener *open = &place->open[place->depth - 1];
  char *first = word_at(place->text, open->segment);
  int kind = -1;
  for (DeclaredKind k = DECLARED_DATASET; k <= DECLARED_TRAINING; k++)
    if (strcmp(declared_kind_name(k), first) == 0) kind = (int)k;
  free(first);
  size_t end = open->at, begin = word_before(place->text, &end);
  if (end - begin == 4 && strncmp(place->text + begin, "with", 4) == 0) {
    end = begin;
    begin = word_before(place->text, &end);
    char *name = mem_format("%.*s", (int)(end - begin), place->text + begin);
    kind = declared_kind(place, name);
    free(name);
  }
  return kind;
}

static void offer_argument(const Place *place, const char *name) {
  char *argument = mem_format("%s = ", name);
  offer(place->dmf, argument);
  free(argument);
}

/* The arguments of the call that the innermost parenthesis opens. */
static void offer_arguments(const Place *place) {
  size_t end = place->open[place->depth - 1].at, begin = word_before(place->text, &end);
  char *name = mem_format("%.*s", (int)(end - begin), place->text + begin);
  const Value *value = variable(place, name);
  free(name);
  if (value && value->kind == VALUE_BUILTIN)
    for (int i = 0; i < value->builtin.signature->count; i++)
      offer_argument(place, value->builtin.signature->list[i].name);
  const Ast *node = !value                            ? NULL
                    : value->kind == VALUE_FUNCTION   ? value->function
                    : value->kind == VALUE_LAYER      ? value->function
                    : value->kind == VALUE_ACTIVATION ? value->activation.node
                                                      : NULL;
  int others = node && node->kind == AST_LAYER ? 2 : 1; /* children that are no parameters */
  int first = value && value->kind == VALUE_FUNCTION ? (int)node->number : 0;
  for (int i = first; node && i + others < node->count; i++)
    offer_argument(place, node->kid[i]->name);
}

static bool in_statement(const Place *place, const char *word) {
  char *first = word_at(place->text, place->statement);
  bool same = strcmp(first, word) == 0;
  free(first);
  return same;
}

static void offer_names(const Place *place) {
  const char **names = scope_names(place->dmf->user);
  const DmfTopic *topic;
  for (int i = 0; names[i]; i++) offer(place->dmf, names[i]);
  for (int i = 0; (topic = dmf_topic(place->dmf, i)); i++)
    if (topic->kind == DMF_KEYWORD) offer(place->dmf, topic->name);
  free(names);
}

static void offer_library(const Place *place) {
  const DmfTopic *topic;
  for (int i = 0; (topic = dmf_topic(place->dmf, i)); i++)
    if (topic->kind == DMF_LIBRARY) offer(place->dmf, topic->name);
}

/* \gamma stands for γ. */
static void offer_letter(const Place *place) {
  char *name =
      mem_format("%.*s", (int)(place->cursor - place->word - 1), place->text + place->word + 1);
  char *letter = greek_text(name);
  if (strcmp(letter, name) != 0) offer(place->dmf, letter);
  free(letter);
  free(name);
}

static void offer_all(const Place *place) {
  bool begins = blank_between(place->text, place->segment, place->word);
  char bracket =
      place->depth && place->depth <= DEEPEST ? place->open[place->depth - 1].bracket : 0;
  size_t at = place->word;
  if (place->comment) return;
  if (place->string) {
    if (in_statement(place, "import")) offer_library(place);
    return;
  }
  if (at < place->cursor && place->text[at] == '\\') return offer_letter(place);
  if (at > 0 && place->text[at - 1] == '.' && (at < 2 || place->text[at - 2] != '.'))
    return offer_fields(place);
  int kind = bracket == '{' && begins ? keys_of(place) : -1;
  if (kind >= 0) {
    for (int i = 0; declared_key((DeclaredKind)kind, i); i++)
      offer(place->dmf, declared_key((DeclaredKind)kind, i));
    return;
  }
  if (bracket == '(' && begins) offer_arguments(place);
  if (!bracket && begins && in_statement(place, "plot"))
    for (int i = 0; plot_options[i]; i++) offer_argument(place, plot_options[i]);
  offer_names(place);
}

/* The list */

static int by_name(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Where the word begins; in a string it goes back to its quote. */
static size_t word_begin(const Place *place) {
  size_t begin = place->word;
  while (place->string && place->text[begin - 1] != '"') begin--;
  return begin;
}

/* Keeps those that go on as the word begins, sorted, each once. */
static void choose(const Place *place) {
  Dmf *dmf = place->dmf;
  size_t begin = word_begin(place);
  bool letter = !place->string && begin < place->cursor && place->text[begin] == '\\';
  int kept = 0;
  if (dmf->candidate_count)
    qsort(dmf->candidates, (size_t)dmf->candidate_count, sizeof *dmf->candidates, by_name);
  for (int i = 0; i < dmf->candidate_count; i++) {
    char *name = dmf->candidates[i];
    bool fits = letter || strncmp(name, place->text + begin, place->cursor - begin) == 0;
    if (fits && (!kept || strcmp(dmf->candidates[kept - 1], name) != 0))
      dmf->candidates[kept++] = name;
    else
      free(name);
  }
  dmf->candidate_count = kept;
}

void candidates_free(Dmf *dmf) {
  for (int i = 0; i < dmf->candidate_count; i++) free(dmf->candidates[i]);
  free(dmf->candidates);
  dmf->candidates = NULL;
  dmf->candidate_count = 0;
}

const char *dmf_complete(Dmf *dmf, const char *text, size_t cursor, int i) {
  PLAIN_LOCALE;
  if (i == 0) {
    Place place = find_place(dmf, text, strnlen(text, cursor));
    candidates_free(dmf);
    offer_all(&place);
    choose(&place);
  }
  return i >= 0 && i < dmf->candidate_count ? dmf->candidates[i] : NULL;
}

size_t dmf_word(Dmf *dmf, const char *text, size_t cursor) {
  PLAIN_LOCALE;
  Place place = find_place(dmf, text, strnlen(text, cursor));
  return word_begin(&place);
}
