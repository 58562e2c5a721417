/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What may be typed at a place of a text: fields after a dot, keys in a declaration, arguments in a
 * call and what they take, options of a plot, files; else names and words. */
#include "session/session.h"
#include "base/memory.h"
#include "base/plain.h"
#include "model/declare.h"
#include "model/system.h"

#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEEPEST = 64 };

/* An opened bracket, and where the name or the statement before it begins. */
typedef struct Opener {
  char bracket;
  size_t at, segment; /* the statement it stands in begins at `segment` */
  int commas;         /* inside, up to the place */
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

/* The innermost opened bracket; NULL where none is, or so many are that it is not known. */
static Opener *innermost(Place *place) {
  return place->depth && place->depth <= DEEPEST ? &place->open[place->depth - 1] : NULL;
}

static void separate(Place *place, size_t at) {
  Opener *open = innermost(place);
  if (open) open->commas++;
  place->segment = at + 1;
  bool ends = !place->depth || (open && open->bracket == '{');
  if (ends && place->text[at] != ',') place->statement = at + 1;
}

static void read_bracket(Place *place, size_t at) {
  char c = place->text[at];
  if (strchr("([{", c)) {
    if (place->depth < DEEPEST) place->open[place->depth] = (Opener){c, at, place->statement, 0};
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
    const Opener *open = innermost(&place);
    bool inside = open && open->bracket != '{';
    if (place.comment || place.string) {
      if (place.string && c == '\\') i++;
      if (c == '"' && !place.comment) place.string = false;
      if (c == '\n') place.comment = place.string = false; /* a string ends with its line, too */
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

/* Arguments come in the order of their call, and what fits best before what else there is. */
enum { RANK_BEST = -1, RANK_NAME = 1000 };

/* Copies the texts; `about` may be NULL. */
static void offer_ranked(Dmf *dmf, int rank, const char *text, const char *about) {
  size_t count = (size_t)dmf->candidate_count + 1;
  dmf->candidates = mem_grow(dmf->candidates, count * sizeof *dmf->candidates);
  dmf->candidates[dmf->candidate_count++] =
      (Candidate){mem_string(text), about ? mem_string(about) : NULL, rank};
}

static void offer(Dmf *dmf, const char *text) { offer_ranked(dmf, RANK_BEST, text, NULL); }

static const Value *variable(const Place *place, const char *name) {
  const Binding *binding = scope_find(place->dmf->user, name);
  return binding ? binding->value : NULL;
}

static char *between(const char *text, size_t begin, size_t end) {
  return mem_format("%.*s", (int)(end - begin), text + begin);
}

/* The topic of this kind and name, or NULL. */
static const DmfTopic *topic_of(Dmf *dmf, DmfKind kind, const char *name) {
  const DmfTopic *topic;
  for (int i = 0; (topic = topic_at(dmf, i)); i++)
    if (topic->kind == kind && strcmp(topic->name, name) == 0) return topic;
  return NULL;
}

/* NAME. or NAME.stderr. before the word. */
static void offer_fields(const Place *place) {
  size_t end = place->word - 1, begin = word_before(place->text, &end);
  char *name = between(place->text, begin, end);
  bool errors = strcmp(name, "stderr") == 0 && begin > 0 && place->text[begin - 1] == '.';
  if (errors) {
    end = begin - 1;
    begin = word_before(place->text, &end);
    free(name);
    name = between(place->text, begin, end);
  }
  const Value *value = variable(place, name);
  const char **fields = value ? value_fields(value, errors) : NULL;
  bool keys = value && value->kind == VALUE_DECLARED;
  for (int i = 0; fields && fields[i]; i++) {
    const DmfTopic *topic = topic_of(place->dmf, keys ? DMF_KEY : DMF_FIELD, fields[i]);
    offer_ranked(place->dmf, i, fields[i], topic ? topic->about : NULL);
  }
  const Value *optimizer = keys && value->declared.kind == DECLARED_TRAINING
                               ? value->declared.slot[TRAINING_OPTIMIZER]
                               : NULL;
  for (int i = 0; optimizer && optimizer->kind == VALUE_OPTIMIZER &&
                  i < optimizer->optimizer.builtin->builtin.signature->count;
       i++)
    offer(place->dmf, optimizer->optimizer.builtin->builtin.signature->list[i].name);
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

/* The name before the `with` that stands before the innermost brace, to be freed; NULL when there
 * is none. */
static char *varied(const Place *place) {
  size_t end = place->open[place->depth - 1].at, begin = word_before(place->text, &end);
  if (end - begin != 4 || strncmp(place->text + begin, "with", 4) != 0) return NULL;
  end = begin;
  begin = word_before(place->text, &end);
  return between(place->text, begin, end);
}

/* Whether the innermost brace holds the keys of a declaration or a variant: of which kind, or -1.
 */
static int keys_of(const Place *place) {
  const Opener *open = &place->open[place->depth - 1];
  char *first = word_at(place->text, open->segment), *name = varied(place);
  int kind = -1;
  for (DeclaredKind k = DECLARED_DATASET; k <= DECLARED_TRAINING; k++)
    if (strcmp(declared_kind_name(k), first) == 0) kind = (int)k;
  if (name) kind = declared_kind(place, name);
  free(first);
  free(name);
  return kind;
}

/* An argument or a key with its default and its meaning. */
static void offer_argument(const Place *place, int rank, const char *name, const char *fallback,
                           const char *meaning) {
  char *argument = mem_format("%s = ", name), *about = NULL;
  if (fallback && meaning)
    about = mem_format("%s: %s", fallback, meaning);
  else if (fallback || meaning)
    about = mem_string(fallback ? fallback : meaning);
  offer_ranked(place->dmf, rank, argument, about);
  free(argument);
  free(about);
}

/* How a default of a builtin is written, to be freed; NULL for one that is required. */
static char *fallback_text(const Value *fallback) {
  if (!fallback) return NULL;
  if (fallback->kind == VALUE_STRING) return mem_format("\"%s\"", fallback->string);
  if (fallback->kind == VALUE_NUMBER) return mem_number(fallback->number);
  return mem_string("none");
}

static const char *argument_meaning(const Place *place, const char *name) {
  const DmfTopic *topic = topic_of(place->dmf, DMF_ARGUMENT, name);
  return topic ? topic->about : NULL;
}

/* Whether the call at hand has argument i already, by its name or by its place. */
static bool is_given(const Place *place, int i, const char *name) {
  const Opener *open = &place->open[place->depth - 1];
  size_t begin = open->at + 1;
  int depth = 0, position = 0;
  bool given = false;
  for (size_t at = begin; at < place->word && !given; at++) {
    char c = place->text[at];
    depth += strchr("([{", c) ? 1 : strchr(")]}", c) ? -1 : 0;
    if (c != ',' || depth) continue;
    char *first = word_at(place->text, begin);
    size_t behind = begin;
    while (isspace((unsigned char)place->text[behind])) behind++;
    behind += strlen(first);
    while (isspace((unsigned char)place->text[behind])) behind++;
    bool named = *first && place->text[behind] == '=' && place->text[behind + 1] != '=';
    given = named ? strcmp(first, name) == 0 : position++ == i;
    free(first);
    begin = at + 1;
  }
  return given;
}

static void offer_signature(const Place *place, const Signature *signature, bool call) {
  for (int i = 0; i < signature->count; i++) {
    if (call && is_given(place, i, signature->list[i].name)) continue;
    char *fallback = fallback_text(signature->list[i].fallback);
    offer_argument(place, i, signature->list[i].name, fallback,
                   argument_meaning(place, signature->list[i].name));
    free(fallback);
  }
}

/* What the call of an optimizer takes. */
static void offer_parameters(const Place *place, const Value *optimizer) {
  if (optimizer && optimizer->kind == VALUE_OPTIMIZER)
    offer_signature(place, optimizer->optimizer.builtin->builtin.signature, false);
}

/* The declaration that a value was made by, where it has parameters; or NULL. */
static const Ast *function_of(const Value *value) {
  switch (value ? value->kind : VALUE_NONE) {
  case VALUE_FUNCTION:
  case VALUE_LAYER: return value->function;
  case VALUE_ACTIVATION: return value->activation.node;
  default: return NULL;
  }
}

/* Where the parameters begin among the children of a declaration; before them, of a function that
 * is one of a family, stand those it is a function of. */
static int first_parameter(const Ast *node) {
  return node->kind == AST_FUNCTION ? (int)node->number : 0;
}

static int parameters_of(const Ast *node) {
  if (node->kind == AST_CLOSURE) return (int)node->number;
  return node->count - (node->kind == AST_LAYER ? 2 : 1) - first_parameter(node);
}

static const Ast *parameter_at(const Ast *node, int i) {
  return node->kid[first_parameter(node) + i];
}

/* The name that the innermost parenthesis calls, to be freed; empty for plain parentheses. */
static char *callee_of(const Place *place) {
  size_t end = place->open[place->depth - 1].at, begin = word_before(place->text, &end);
  return between(place->text, begin, end);
}

/* The arguments of the call that the innermost parenthesis opens. */
static void offer_arguments(const Place *place) {
  char *name = callee_of(place);
  const Value *value = variable(place, name);
  const Ast *node = function_of(value);
  free(name);
  if (value && value->kind == VALUE_BUILTIN) offer_signature(place, value->builtin.signature, true);
  for (int i = 0; node && i < parameters_of(node); i++) {
    const Ast *parameter = parameter_at(node, i);
    if (is_given(place, i, parameter->name)) continue;
    char *fallback = parameter->count ? ast_source(parameter->kid[0]) : NULL;
    offer_argument(place, i, parameter->name, fallback, argument_meaning(place, parameter->name));
    free(fallback);
  }
}

/* The keys of a declaration; of a variant of a training also what its optimizer takes. */
static void offer_keys(const Place *place, DeclaredKind kind) {
  char *name = varied(place);
  const Value *value = name ? variable(place, name) : NULL;
  for (int i = 0; declared_key(kind, i); i++) {
    const DmfTopic *topic = topic_of(place->dmf, DMF_KEY, declared_key(kind, i));
    offer_ranked(place->dmf, i, declared_key(kind, i), topic ? topic->about : NULL);
  }
  if (name && kind == DECLARED_TRAINING && value && value->kind == VALUE_DECLARED)
    offer_parameters(place, value->declared.slot[TRAINING_OPTIMIZER]);
  free(name);
}

/* The keys of the system before `with`, with what they are there; false where it is none. */
static bool offer_system_keys(const Place *place) {
  char *name = varied(place);
  const Value *value = name ? variable(place, name) : NULL;
  free(name);
  if (!value || value->kind != VALUE_SYSTEM) return false;
  const char **keys = system_keys(value);
  for (int i = 0; keys[i]; i++) {
    const Span at = value->dynamics.place[i];
    char *source =
        at.source ? mem_format("%.*s", (int)(at.end - at.begin), at.source->text + at.begin) : NULL;
    offer_argument(place, i, keys[i], source, NULL);
    free(source);
  }
  free(keys);
  return true;
}

/* What an argument or a key takes */

static bool is_result(const Value *value, const char *kind) {
  return value->kind == VALUE_RESULT && (!kind || strcmp(value->result->kind, kind) == 0);
}

static bool is_declared(const Value *value, DeclaredKind kind) {
  return value->kind == VALUE_DECLARED && value->declared.kind == kind;
}

/* Whether a value may be given to an argument or a key of this name. */
static bool suits(const Value *value, const char *argument) {
  bool builtin = value->kind == VALUE_BUILTIN;
  int flags = builtin ? value->builtin.row->flags : 0;
  if (strcmp(argument, "dataset") == 0)
    return is_declared(value, DECLARED_DATASET) || system_is_data(value);
  if (strcmp(argument, "model") == 0) return is_declared(value, DECLARED_MODEL);
  if (strcmp(argument, "training") == 0) return is_declared(value, DECLARED_TRAINING);
  if (strcmp(argument, "loss") == 0) return value->kind == VALUE_LOSS;
  if (strcmp(argument, "optimizer") == 0 || strcmp(argument, "other") == 0)
    return flags & BUILTIN_OPTIMIZER;
  if (strcmp(argument, "theory") == 0) return is_result(value, "dmft");
  if (strcmp(argument, "noise") == 0) return is_result(value, "fluctuations");
  if (strcmp(argument, "result") == 0)
    return is_result(value, "dmft") || is_result(value, "simulate");
  if (strcmp(argument, "activation") == 0 || strcmp(argument, "phi") == 0)
    return value->kind == VALUE_ACTIVATION || flags & BUILTIN_ELEMENTWISE;
  if (strcmp(argument, "layers") == 0)
    return value->kind == VALUE_LAYER || value->kind == VALUE_CHAIN || flags & BUILTIN_LAYER;
  return false;
}

/* Names of the session and the language whose values suit; how many. */
static int offer_suiting(const Place *place, const char *argument) {
  const char **names = scope_names(place->dmf->user);
  int count = 0;
  for (int i = 0; names[i]; i++) {
    const Value *value = variable(place, names[i]);
    if (!suits(value, argument)) continue;
    bool called = value->kind == VALUE_BUILTIN && value->builtin.row->flags & BUILTIN_OPTIMIZER;
    char *text = mem_format("%s%s", names[i], called ? "(" : "");
    const DmfTopic *topic = topic_of(place->dmf, DMF_FUNCTION, names[i]);
    if (!topic) topic = topic_of(place->dmf, DMF_CONSTANT, names[i]);
    offer_ranked(place->dmf, RANK_BEST, text, topic ? topic->about : NULL);
    free(text);
    count++;
  }
  free(names);
  return count;
}

/* The words of the list that an argument or a key takes; inside a string without its quotes. */
static int offer_words(const Place *place, const char *argument) {
  const DmfTopic *topic;
  int count = 0;
  for (int i = 0; (topic = topic_at(place->dmf, i)); i++) {
    const char *equals = topic->kind == DMF_VALUE ? strstr(topic->usage, " = ") : NULL;
    size_t length = equals ? (size_t)(equals - topic->usage) : 0;
    if (!equals || strncmp(topic->usage, argument, length) != 0 || argument[length]) continue;
    bool quoted = equals[3] == '"';
    if (place->string && !quoted) continue;
    offer_ranked(place->dmf, count++, place->string ? topic->name : equals + 3, topic->about);
  }
  return count;
}

/* Whether a usage has the argument with the default true or false. */
static bool shows_truth(const char *usage, const char *argument) {
  size_t length = strlen(argument);
  for (const char *at = strstr(usage, argument); at; at = strstr(at + 1, argument)) {
    bool whole = (at == usage || !is_word(at[-1])) && strncmp(at + length, " = ", 3) == 0;
    const char *value = at + length + 3;
    if (whole && (strncmp(value, "true", 4) == 0 || strncmp(value, "false", 5) == 0)) return true;
  }
  return false;
}

static bool is_truth(const Place *place, const char *argument) {
  bool truth = strcmp(argument, "fresh") == 0; /* which has no default of its own */
  const DmfTopic *topic;
  for (int i = 0; !truth && (topic = topic_at(place->dmf, i)); i++)
    truth = shows_truth(topic->usage, argument);
  return truth;
}

/* What may be given to an argument or a key of this name; false when there is no list of it. */
static bool offer_values(const Place *place, const char *argument) {
  int count = offer_words(place, argument);
  if (place->string) return count > 0;
  count += offer_suiting(place, argument);
  if (is_truth(place, argument)) {
    offer(place->dmf, "true");
    offer(place->dmf, "false");
    count += 2;
  }
  return count > 0;
}

/* NAME of "NAME = " before the word, to be freed; NULL when there is nothing of the kind. */
static char *assigned(const Place *place) {
  size_t end = place->word - (place->string && place->word > 0);
  while (end > place->segment && isspace((unsigned char)place->text[end - 1])) end--;
  if (end == place->segment || place->text[--end] != '=') return NULL;
  size_t begin = word_before(place->text, &end);
  bool first = begin < end && blank_between(place->text, place->segment, begin);
  return first ? between(place->text, begin, end) : NULL;
}

/* The parameter at hand of a call: the one that is named, else the one whose turn it is; -1 when
 * there is none. */
static int parameter_of(const Place *place, const char *const *names, int count) {
  char *named = assigned(place);
  int which = named ? -1 : place->open[place->depth - 1].commas;
  for (int i = 0; named && i < count; i++)
    if (strcmp(names[i], named) == 0) which = i;
  free(named);
  return which < count ? which : -1;
}

/* What the parameter takes whose turn it is in the innermost call. */
static bool offer_positional(const Place *place) {
  char *name = callee_of(place);
  const Value *value = variable(place, name);
  int at = place->open[place->depth - 1].commas;
  const Ast *node = function_of(value);
  const char *parameter = NULL;
  if (value && value->kind == VALUE_BUILTIN && at < value->builtin.signature->count)
    parameter = value->builtin.signature->list[at].name;
  if (node && at < parameters_of(node)) parameter = parameter_at(node, at)->name;
  free(name);
  return parameter && offer_values(place, parameter);
}

static bool in_statement(const Place *place, const char *word) {
  char *first = word_at(place->text, place->statement);
  bool same = strcmp(first, word) == 0;
  free(first);
  return same;
}

/* Where the body of the system begins that is being written; 0: there is none. */
static size_t body_of_system(const Place *place) {
  for (int i = 0; i < place->depth && i < DEEPEST; i++) {
    char *first = word_at(place->text, place->open[i].segment);
    bool system = place->open[i].bracket == '{' && strcmp(first, "system") == 0;
    free(first);
    if (system) return place->open[i].at + 1;
  }
  return 0;
}

/* Whether a name that ends at `end` is declared there: assigned, or in a list of populations or
 * matrices. */
static bool declares(const Place *place, const char *first, size_t end) {
  while (place->text[end] == ' ') end++;
  bool assigned = place->text[end] == '=' && place->text[end + 1] != '=';
  bool lists = strcmp(first, "population") == 0 || strcmp(first, "matrix") == 0;
  return assigned || (lists && strchr(",:\n;}[", place->text[end]));
}

/* What the lines of the system before the word have declared. */
static void offer_declared(const Place *place) {
  size_t at = body_of_system(place), statement = at;
  while (at && at < place->word) {
    char c = place->text[at];
    if (strchr("\n;{", c)) statement = at + 1;
    if (c == '#')
      while (at < place->word && place->text[at] != '\n') at++;
    size_t begin = at;
    while (at < place->word && is_word(place->text[at])) at++;
    if (at == begin) {
      at += at < place->word && c != '#';
      continue;
    }
    char *first = word_at(place->text, statement), *name = between(place->text, begin, at);
    if (!isdigit((unsigned char)*name) && declares(place, first, at)) offer(place->dmf, name);
    free(first);
    free(name);
  }
}

static bool among(const char *word, const char *const *words) {
  while (*words && strcmp(*words, word) != 0) words++;
  return *words;
}

/* What may stand at a place: a statement, a value, or what goes on behind a value. */
typedef enum Turn { TURN_STATEMENT, TURN_VALUE, TURN_OPERATOR } Turn;

/* Words behind a value; words that begin one; and words that values follow. All others begin a
 * statement. */
static const char *const joints[] = {"and",  "or", "then", "else", "in",
                                     "with", "of", "to",   "for",  NULL};
static const char *const starts[] = {"if", "not", NULL};
static const char *const openers[] = {"print",  "plot",  "save",   "report",  "assert",
                                      "return", "while", "import", "observe", NULL};

/* Behind a name, a number, a string or a closed bracket stand operators; behind them, and the words
 * that join, values again. */
static Turn turn_of(const Place *place) {
  if (blank_between(place->text, place->statement, place->word)) return TURN_STATEMENT;
  size_t end = place->word, begin = word_before(place->text, &end);
  char *word = between(place->text, begin, end);
  char last = end ? place->text[end - 1] : 0;
  bool value = *word && !among(word, joints) && !among(word, starts) && !among(word, openers);
  bool closed = !*word && last && strchr(")]}'\"", last);
  free(word);
  return value || closed ? TURN_OPERATOR : TURN_VALUE;
}

static bool has_turn(Turn turn, const char *word) {
  if (strcmp(word, "for") == 0) return turn != TURN_VALUE;
  if (strcmp(word, "if") == 0) return turn != TURN_OPERATOR;
  if (among(word, starts)) return turn == TURN_VALUE;
  return turn == (among(word, joints) ? TURN_OPERATOR : TURN_STATEMENT);
}

/* A name of the user as it was written, as γ1, to be freed; NULL where that is the name itself. */
static char *written_name(const Place *place, const Binding *binding) {
  Span span = binding->span;
  if (!span.source || span.end <= span.begin) return NULL;
  char *text = between(span.source->text, span.begin, span.end);
  char *name = name_spelled(place->dmf, text);
  bool other = name && strcmp(name, binding->name) == 0 && strcmp(text, name) != 0;
  free(name);
  if (other) return text;
  free(text);
  return NULL;
}

/* Both ways to write it go on from what is typed; before anything is, the user's own. */
static void offer_own(const Place *place, const Binding *binding) {
  char *written = written_name(place, binding);
  if (written) offer_ranked(place->dmf, RANK_NAME, written, NULL);
  if (!written || place->word < place->cursor)
    offer_ranked(place->dmf, RANK_NAME, binding->name, NULL);
  free(written);
}

/* Where nothing is typed yet, what the session has and what solves; else everything; words of the
 * grammar where they may stand. */
static void offer_names(const Place *place) {
  bool empty = place->word == place->cursor;
  Turn turn = turn_of(place);
  const Scope *user = place->dmf->user;
  const char **names = scope_names(user);
  for (int i = 0; names[i] && !(empty && turn == TURN_OPERATOR); i++) {
    const Binding *own = scope_own(user, names[i]);
    if (own) {
      offer_own(place, own);
      continue;
    }
    const DmfTopic *topic = topic_of(place->dmf, DMF_FUNCTION, names[i]);
    bool solver = topic && strcmp(topic->group, "Solvers") == 0;
    if (empty && !solver) continue;
    offer_ranked(place->dmf, RANK_NAME, names[i], topic ? topic->about : NULL);
  }
  const DmfTopic *topic;
  for (int i = 0; (topic = topic_at(place->dmf, i)); i++)
    if (topic->kind == DMF_KEYWORD && has_turn(turn, topic->name))
      offer_ranked(place->dmf, RANK_NAME, topic->name, topic->usage);
  free(names);
}

static void offer_library(const Place *place) {
  const DmfTopic *topic;
  for (int i = 0; (topic = topic_at(place->dmf, i)); i++)
    if (topic->kind == DMF_LIBRARY) offer_ranked(place->dmf, RANK_BEST, topic->name, topic->about);
}

/* \gamma stands for γ. */
static void offer_letter(const Place *place) {
  char *name = between(place->text, place->word + 1, place->cursor), *letter = greek_text(name);
  if (strcmp(letter, name) != 0) offer(place->dmf, letter);
  free(letter);
  free(name);
}

/* Files */

/* The endings of the files that a function reads, ending with NULL; NULL when it reads none. */
static const char *const *endings_of(const char *function) {
  static const char
      *const csv[] = {".csv", ".txt", ".tsv", ".dat", ".gz", NULL},
             *const npy[] = {".npy", NULL}, *const hdf5[] = {".h5", ".hdf5", ".mat", NULL},
             *const idx[] = {"ubyte", ".idx", ".gz", NULL}, *const bin[] = {".bin", ".gz", NULL};
  static const struct {
    const char *function;
    const char *const *endings;
  } rows[] = {{"csv", csv}, {"npy", npy},     {"hdf5", hdf5},         {"load", hdf5},
              {"idx", idx}, {"cifar10", bin}, {"cifar10_labels", bin}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (strcmp(rows[i].function, function) == 0) return rows[i].endings;
  return NULL;
}

static bool ends_with(const char *name, const char *const *endings) {
  size_t length = strlen(name);
  for (; *endings; endings++) {
    size_t end = strlen(*endings);
    if (length > end && strcmp(name + length - end, *endings) == 0) return true;
  }
  return false;
}

/* A file that can be read, or a directory, of the directory that the name so far leads to. */
static void offer_file(const Place *place, const char *typed, const char *directory,
                       const char *name, const char *const *endings) {
  struct stat about;
  char *path = mem_format("%s/%s", directory, name);
  bool there = stat(path, &about) == 0, inner = there && S_ISDIR(about.st_mode);
  if (*name != '.' && (inner || (there && S_ISREG(about.st_mode) && ends_with(name, endings) &&
                                 access(path, R_OK) == 0))) {
    char *text = mem_format("%s%s%s", typed, name, inner ? "/" : "");
    offer(place->dmf, text);
    free(text);
  }
  free(path);
}

/* The directory that a name so far leads to: from that of the script which was read last. */
static char *directory_of(const Dmf *dmf, const char *typed) {
  Span span = {.source = dmf->script_count ? dmf->scripts[dmf->script_count - 1]->source : NULL};
  return session_beside(span, *typed ? typed : ".");
}

static void offer_files(const Place *place, size_t begin, const char *const *endings) {
  char *typed = between(place->text, begin, place->cursor), *slash = strrchr(typed, '/');
  if (slash)
    slash[1] = 0;
  else
    *typed = 0;
  char *path = directory_of(place->dmf, typed);
  DIR *directory = opendir(path);
  for (struct dirent *entry; directory && (entry = readdir(directory));)
    offer_file(place, typed, path, entry->d_name, endings);
  if (directory) closedir(directory);
  free(path);
  free(typed);
}

/* Where the word begins; in a string it goes back to its quote. */
static size_t word_begin(const Place *place) {
  size_t begin = place->word;
  while (place->string && place->text[begin - 1] != '"') begin--;
  return begin;
}

static bool is_in_call(const Place *place) {
  return place->depth && place->depth <= DEEPEST && place->open[place->depth - 1].bracket == '(';
}

/* In a string: files of an import or of a function that reads them, words of an argument. */
static void offer_in_string(const Place *place) {
  if (in_statement(place, "import")) return offer_library(place);
  Place quoted = *place;
  quoted.word = word_begin(place);
  char *argument = assigned(&quoted);
  bool found = argument && offer_values(&quoted, argument);
  free(argument);
  if (found || !is_in_call(place)) return;
  char *function = callee_of(place);
  const char *const *endings = endings_of(function);
  if (endings) offer_files(place, quoted.word, endings);
  free(function);
}

/* Behind an arrow, or a factor in a chain, stand layers. */
static bool offer_chain(const Place *place) {
  size_t end = place->word;
  while (end > 0 && isspace((unsigned char)place->text[end - 1])) end--;
  bool arrow = end > 1 && strncmp(place->text + end - 2, "->", 2) == 0;
  return arrow && offer_values(place, "layers");
}

/* What the call, the declaration or the statement asks for at the place; false where any value may
 * stand, or nothing is known about it. */
static bool offer_asked(const Place *place, bool begins, char bracket) {
  int kind = bracket == '{' ? keys_of(place) : -1;
  if (kind >= 0 && begins) return offer_keys(place, (DeclaredKind)kind), true;
  if (bracket == '{' && begins && offer_system_keys(place)) return true;
  bool plot = !bracket && in_statement(place, "plot");
  char *argument = kind >= 0 || bracket == '(' || plot ? assigned(place) : NULL;
  if (argument) {
    bool found = offer_values(place, argument);
    free(argument);
    return found;
  }
  if (bracket == '(' && begins) {
    offer_positional(place);
    int before = place->dmf->candidate_count;
    offer_arguments(place);
    return place->word == place->cursor && place->dmf->candidate_count > before;
  }
  if (!bracket && begins && in_statement(place, "plot"))
    for (int i = 0; plot_options[i]; i++)
      offer_argument(place, i, plot_options[i], NULL, argument_meaning(place, plot_options[i]));
  return false;
}

static void offer_all(const Place *place) {
  bool begins = blank_between(place->text, place->segment, place->word);
  char bracket =
      place->depth && place->depth <= DEEPEST ? place->open[place->depth - 1].bracket : 0;
  size_t at = place->word;
  if (place->comment) return;
  if (place->string) return offer_in_string(place);
  if (at < place->cursor && place->text[at] == '\\') return offer_letter(place);
  if (at > 0 && place->text[at - 1] == '.' && (at < 2 || place->text[at - 2] != '.'))
    return offer_fields(place);
  if (offer_chain(place) || offer_asked(place, begins, bracket)) return;
  offer_declared(place);
  offer_names(place);
}

/* The list */

static int by_rank(const void *a, const void *b) {
  const Candidate *x = a, *y = b;
  if (x->rank != y->rank) return x->rank < y->rank ? -1 : 1;
  return strcmp(x->text, y->text);
}

static bool is_listed(const Dmf *dmf, int count, const char *text) {
  for (int i = 0; i < count; i++)
    if (strcmp(dmf->candidates[i].text, text) == 0) return true;
  return false;
}

static void candidate_free(Candidate *candidate) {
  free(candidate->text);
  free(candidate->about);
}

/* Keeps those that go on as the word begins, sorted, each once. */
static void choose(const Place *place) {
  Dmf *dmf = place->dmf;
  size_t begin = word_begin(place);
  bool letter = !place->string && begin < place->cursor && place->text[begin] == '\\';
  int kept = 0;
  if (dmf->candidate_count)
    qsort(dmf->candidates, (size_t)dmf->candidate_count, sizeof *dmf->candidates, by_rank);
  for (int i = 0; i < dmf->candidate_count; i++) {
    Candidate candidate = dmf->candidates[i];
    bool fits = letter || strncmp(candidate.text, place->text + begin, place->cursor - begin) == 0;
    if (fits && !is_listed(dmf, kept, candidate.text))
      dmf->candidates[kept++] = candidate;
    else
      candidate_free(&candidate);
  }
  dmf->candidate_count = kept;
}

void candidates_free(Dmf *dmf) {
  for (int i = 0; i < dmf->candidate_count; i++) candidate_free(&dmf->candidates[i]);
  free(dmf->candidates);
  dmf->candidates = NULL;
  dmf->candidate_count = 0;
}

const char *dmf_complete(Dmf *dmf, const char *text, size_t cursor, int i) {
  PLAIN_LOCALE;
  if (i == 0) {
    Place place = find_place(dmf, text, strnlen(text, cursor));
    candidates_free(dmf);
    topics_collect(dmf);
    offer_all(&place);
    choose(&place);
  }
  return i >= 0 && i < dmf->candidate_count ? dmf->candidates[i].text : NULL;
}

const char *dmf_complete_about(Dmf *dmf, int i) {
  return i >= 0 && i < dmf->candidate_count ? dmf->candidates[i].about : NULL;
}

size_t dmf_word(Dmf *dmf, const char *text, size_t cursor) {
  PLAIN_LOCALE;
  Place place = find_place(dmf, text, strnlen(text, cursor));
  return word_begin(&place);
}

/* Calls */

/* The names of the parameters, to be freed; *count of them. */
static const char **parameter_names(const Value *value, int *count) {
  const Ast *node = function_of(value);
  const Signature *signature = value->kind == VALUE_BUILTIN ? value->builtin.signature : NULL;
  *count = signature ? signature->count : node ? parameters_of(node) : 0;
  const char **names = mem_new((size_t)*count + 1, sizeof *names);
  for (int i = 0; i < *count; i++)
    names[i] = signature ? signature->list[i].name : parameter_at(node, i)->name;
  return names;
}

bool dmf_call(Dmf *dmf, const char *text, size_t cursor, DmfCall *call) {
  PLAIN_LOCALE;
  Place place = find_place(dmf, text, strnlen(text, cursor));
  *call = (DmfCall){.parameter = -1};
  if (!is_in_call(&place) || place.comment) return false;
  char *name = callee_of(&place);
  const Value *value = variable(&place, name);
  bool known = value && (value->kind == VALUE_BUILTIN || function_of(value));
  if (known) {
    int count;
    const char **names = parameter_names(value, &count);
    topics_collect(dmf);
    help_call(dmf, name, value, call);
    call->parameter = parameter_of(&place, names, count);
    free(names);
  }
  free(name);
  return known;
}
