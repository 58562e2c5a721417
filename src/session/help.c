/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is known about the names of the language: every table that defines some also says what they
 * mean, and functions of scripts have their comments. From here it goes to `help`, to the manual
 * and to editors. */
#include "session/session.h"
#include "base/memory.h"
#include "base/plain.h"
#include "output/text.h"
#include "solve/observe.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Collecting */

/* A line of a table; one without a name heads the lines after it. */
typedef struct Row {
  DmfKind kind;
  const char *group, *name, *signature, *about;
} Row;

#define HEAD(title) {.group = title},

static const Row words[] = {
#define KEYWORD(token, word, usage, about)                                                         \
  {DMF_KEYWORD, "Words of the grammar", word, usage, about},
#include "syntax/keywords.def"
};

static const Row functions[] = {HEAD("Elementwise functions")
#define PRIM(id, name, arity, about) {DMF_FUNCTION, NULL, arity == 1 ? name : "", "x", about},
#include "scalar/prim.def"
#undef PRIM
#define GROUP(title) HEAD(title)
#define BUILTIN(id, name, signature, flags, about) {DMF_FUNCTION, NULL, name, signature, about},
#define CONSTANT(name, value, about) {DMF_CONSTANT, NULL, name, NULL, about},
#define WORD(name, about) {DMF_CONSTANT, NULL, name, NULL, about},
#include "model/builtins.def"
                                    HEAD("Solvers")
#define SOLVER(name, signature, flags, about) {DMF_FUNCTION, NULL, #name, signature, about},
#include "session/solvers.def"
};

/* argument or NULL, name, usage, about */
static const struct {
  DmfKind kind;
  const char *argument, *name, *usage, *about;
} more_rows[] = {
#define OPERATOR(name, usage, about) {DMF_OPERATOR, NULL, name, usage, about},
#include "session/arguments.def"
#define ARGUMENT(name, about) {DMF_ARGUMENT, NULL, name, name, about},
#include "session/arguments.def"
#define VALUE(argument, word, about) {DMF_VALUE, argument, word, NULL, about},
#include "session/arguments.def"
};

/* The options of plot: what each takes, its words or NULL. */
static const struct {
  const char *name, *takes;
  const char *const *words;
  const char *about;
} plots[] = {
#define OPTION(name, takes, member, words, about) {name, #takes, words, about},
#include "model/plot.def"
#undef OPTION
};

static const struct {
  const char *name, *code;
} examples[] = {
#define EXAMPLE(name, code) {name, code},
#include "session/examples.def"
};

const char *dmf_examples_begin(void) {
  return "dataset pair { inputs = [[1, 1, 1, -1], [1, -1, 1, 1]]; targets = [1, -1] }\n"
         "model net { layers = input -> 2 * dense(tanh) -> readout; gamma = 2; width = 64 }\n"
         "training descent { dataset = pair; optimizer = gd(eta = 0.1); steps = 10 }\n"
         "theory = dmft(net, descent, samples = 400)\n"
         "nets = simulate(net, descent, ensemble = 4)\n"
         "noise = fluctuations(theory)\n"
         "x = [3, 1, 2]; A = [[2, 1], [1, 3]]\n";
}

/* Functions of one number are all used alike. */
static const char *example_of(Dmf *dmf, const DmfTopic *topic) {
  bool named =
      topic->kind == DMF_FUNCTION || topic->kind == DMF_KEYWORD || topic->kind == DMF_CONSTANT;
  for (size_t i = 0; named && i < sizeof examples / sizeof *examples; i++)
    if (strcmp(examples[i].name, topic->name) == 0) return examples[i].code;
  bool alike = strcmp(topic->group, "Elementwise functions") == 0 ||
               strcmp(topic->group, "std/activations.dmf") == 0;
  if (!named || !alike) return NULL;
  return arena_format(dmf->topic_arena, "print %s([0.5, 1, 2])", topic->name);
}

static void add(Dmf *dmf, DmfTopic topic) {
  topic.example = example_of(dmf, &topic);
  size_t count = (size_t)dmf->topic_count + 1;
  dmf->topics = mem_grow(dmf->topics, count * sizeof *dmf->topics);
  dmf->topics[dmf->topic_count++] = topic;
}

static void add_rows(Dmf *dmf, const Row *rows, size_t count) {
  const char *group = NULL;
  for (const Row *row = rows; row < rows + count; row++) {
    if (row->group) group = row->group;
    if (!row->name || !*row->name) continue;
    const char *usage = row->name;
    if (row->kind == DMF_KEYWORD) usage = row->signature;
    if (row->kind == DMF_FUNCTION)
      usage = arena_format(dmf->topic_arena, "%s(%s)", row->name, row->signature);
    add(dmf, (DmfTopic){row->kind, group, row->name, usage, row->about, NULL, NULL});
  }
}

static void add_key(Dmf *dmf, const char *group, const char *name, bool required,
                    const char *fallback, const char *about) {
  const char *usage = arena_format(dmf->topic_arena, "%s = %s%s", name, fallback ? fallback : "...",
                                   required || fallback ? "" : ", optional");
  add(dmf, (DmfTopic){DMF_KEY, group, name, usage, about, NULL, NULL});
}

static void add_keys(Dmf *dmf) {
#define DATASET_KEY(id, name, type, required, fallback, words, about)                              \
  add_key(dmf, "Keys of a dataset", name, required, fallback, about);
#include "model/keys.def"
#define MODEL_KEY(id, name, type, required, fallback, words, about)                                \
  add_key(dmf, "Keys of a model", name, required, fallback, about);
#include "model/keys.def"
#define TRAINING_KEY(id, name, type, required, fallback, words, about)                             \
  add_key(dmf, "Keys of a training", name, required, fallback, about);
#include "model/keys.def"
}

/* "[T+1, Q]" for the axes "t,a"; outputs are left out, as they are when there is one. */
static const char *shape_text(Arena *arena, const char *axes) {
  const char *text = "";
  while (*axes) {
    size_t length = strcspn(axes, ",");
    const char *extent = *axes == 't' || *axes == 's' ? "T+1"
                         : *axes == 'c'               ? NULL
                         : length == 2                ? "P"
                         : *axes == 'n'               ? "P*"
                                                      : "Q";
    if (extent) text = arena_format(arena, "%s%s%s", text, *text ? ", " : "", extent);
    axes += length + (axes[length] == ',');
  }
  return arena_format(arena, "[%s]", text);
}

static void add_field(Dmf *dmf, FieldId id) {
  const FieldRow *row = field_row(id);
  const char *usage = arena_format(dmf->topic_arena, "%s%s  %s", row->name,
                                   row->extent == EXTENT_PLAIN ? "" : "[l]",
                                   shape_text(dmf->topic_arena, row->axes));
  add(dmf, (DmfTopic){DMF_FIELD, "Fields of a result", row->name, usage, row->about, NULL, NULL});
}

static void add_fields(Dmf *dmf) {
  for (FieldId id = 0; id < FIELD_COUNT; id++) add_field(dmf, id);
#define ATTRIBUTE(name, kind, solvers, about)                                                      \
  add(dmf, (DmfTopic){DMF_FIELD, "Fields of a result", name, name, about, NULL, NULL});
#include "session/attributes.def"
#undef ATTRIBUTE
}

/* "name(x, k = 2)" of a function that a script declares. */
static const char *declared_usage(Arena *arena, const Ast *node) {
  bool closure = node->kind == AST_CLOSURE;
  const char *text = arena_format(arena, "%s(", closure ? "function" : node->name);
  int parameters = closure                   ? (int)node->number
                   : node->kind == AST_LAYER ? node->count - 2
                                             : node->count - 1;
  int first = node->kind == AST_FUNCTION ? (int)node->number : 0;
  for (int i = first; i < parameters; i++) {
    const Ast *parameter = node->kid[i];
    char *fallback = parameter->count ? ast_source(parameter->kid[0]) : NULL;
    text = arena_format(arena, "%s%s%s%s%s", text, i > first ? ", " : "", parameter->name,
                        fallback ? " = " : "", fallback ? fallback : "");
    free(fallback);
  }
  return arena_format(arena, "%s)", text);
}

static void add_declared(Dmf *dmf, const Ast *node, const char *group, const char *import) {
  char *comment = ast_comment(node);
  Arena *arena = dmf->topic_arena;
  add(dmf, (DmfTopic){DMF_FUNCTION, group, arena_copy(arena, node->name, strlen(node->name)),
                      declared_usage(arena, node), arena_copy(arena, comment, strlen(comment)),
                      import, NULL});
  free(comment);
}

static bool declares_function(const Ast *node) {
  return node->kind == AST_FUNCTION || node->kind == AST_ACTIVATION || node->kind == AST_LOSS ||
         node->kind == AST_LAYER;
}

/* The functions of a file of the standard library, behind what the file says of itself. */
static void add_library(Dmf *dmf, const char *directory, const char *file) {
  char *path = mem_format("%s/%s", directory, file), *why = NULL;
  Source *source = source_read(path, path, true, &why);
  Diags diags = {0};
  Script *script = NULL;
  const char *name = arena_format(dmf->topic_arena, "std/%s", file);
  if (source && script_parse(source, false, &script, &diags) == PARSE_OK) {
    int before = dmf->topic_count;
    char *about = source_comment(source);
    const char *usage = arena_format(dmf->topic_arena, "import \"%s\"", name);
    add(dmf, (DmfTopic){DMF_LIBRARY, name, name, usage,
                        arena_copy(dmf->topic_arena, about, strlen(about)), NULL, NULL});
    free(about);
    for (int i = 0; i < script->root->count; i++) {
      const Ast *node = script->root->kid[i];
      if (declares_function(node))
        add_declared(dmf, node, name, scope_own(dmf->base, node->name) ? NULL : name);
    }
    if (dmf->topic_count == before + 1) dmf->topic_count = before; /* it declares nothing */
  }
  script_free(script);
  source_drop(source);
  diags_clear(&diags);
  free(path);
  free(why);
}

static int is_script(const struct dirent *entry) {
  size_t length = strlen(entry->d_name);
  return length > 4 && strcmp(entry->d_name + length - 4, ".dmf") == 0;
}

static void add_libraries(Dmf *dmf) {
  char *directory = import_installed("std");
  struct dirent **files = NULL;
  int count = 0;
  while (directory && (count = scandir(directory, &files, is_script, alphasort)) < 0 &&
         errno == ENOMEM)
    mem_relieve();
  for (int i = 0; i < count; i++) {
    add_library(dmf, directory, files[i]->d_name);
    free(files[i]);
  }
  free(files);
  free(directory);
}

/* A word without the quotes around it. */
static const char *bare_word(Arena *arena, const char *word) {
  return *word == '"' ? arena_copy(arena, word + 1, strlen(word) - 2) : word;
}

static void add_more(Dmf *dmf, DmfKind kind, const char *group) {
  for (size_t i = 0; i < sizeof more_rows / sizeof *more_rows; i++) {
    if (more_rows[i].kind != kind) continue;
    const char *name = bare_word(dmf->topic_arena, more_rows[i].name), *usage = more_rows[i].usage;
    if (!usage)
      usage = arena_format(dmf->topic_arena, "%s = %s", more_rows[i].argument, more_rows[i].name);
    add(dmf, (DmfTopic){kind, group, name, usage, more_rows[i].about, NULL, NULL});
  }
}

/* How an option is written, by what it takes. */
static const char *option_usage(Arena *arena, const char *name, const char *takes) {
  const char *form = strcmp(takes, "SWITCH") == 0   ? "true"
                     : strcmp(takes, "LIMITS") == 0 ? "[low, high]"
                     : strcmp(takes, "PLACES") == 0 ? "x"
                                                    : "\"...\"";
  return arena_format(arena, "%s = %s", name, form);
}

/* The options of plot, or the words that they take. */
static void add_plots(Dmf *dmf, bool words, const char *group) {
  for (size_t i = 0; i < sizeof plots / sizeof *plots; i++) {
    Arena *arena = dmf->topic_arena;
    if (!words)
      add(dmf, (DmfTopic){DMF_ARGUMENT, group, plots[i].name,
                          option_usage(arena, plots[i].name, plots[i].takes), plots[i].about, NULL,
                          NULL});
    for (const char *const *word = plots[i].words; words && word && *word; word++)
      add(dmf, (DmfTopic){DMF_VALUE, group, *word,
                          arena_format(arena, "%s = \"%s\"", plots[i].name, *word),
                          arena_format(arena, "of plot: %s", plots[i].about), NULL, NULL});
  }
}

void topics_free(Dmf *dmf) {
  free(dmf->topics);
  if (dmf->topic_arena) arena_free(dmf->topic_arena);
  dmf->topics = NULL;
  dmf->topic_count = 0;
  dmf->topic_arena = NULL;
}

void topics_collect(Dmf *dmf) {
  topics_free(dmf);
  dmf->topic_arena = arena_new();
  add_rows(dmf, words, sizeof words / sizeof *words);
  add_more(dmf, DMF_OPERATOR, "Operators and signs");
  add_keys(dmf);
  add_more(dmf, DMF_VALUE, "Words that keys and arguments take");
  add_plots(dmf, true, "Words that keys and arguments take");
  add_rows(dmf, functions, sizeof functions / sizeof *functions);
  add_more(dmf, DMF_ARGUMENT, "Arguments");
  add_plots(dmf, false, "Options of plot");
  add_fields(dmf);
  add_libraries(dmf);
}

const DmfTopic *topic_at(const Dmf *dmf, int i) {
  return i >= 0 && i < dmf->topic_count ? &dmf->topics[i] : NULL;
}

const DmfTopic *dmf_topic(Dmf *dmf, int i) {
  PLAIN_LOCALE;
  if (i == 0) topics_collect(dmf);
  return topic_at(dmf, i);
}

/* Help */

static int help_columns(const Dmf *dmf) {
  int columns = text_columns(dmf->results);
  return columns < 100 ? columns : 100;
}

static void put_topic(FILE *out, const DmfTopic *topic, int columns) {
  fprintf(out, "%s  -- %s\n", topic->usage, topic->group);
  if (*topic->about) text_wrap(out, topic->about, 4, columns);
  if (topic->import) fprintf(out, "    import \"%s\"\n", topic->import);
  if (topic->example) fprintf(out, "    example: %s\n", topic->example);
}

/* All names, group by group. */
static void put_overview(Dmf *dmf, FILE *out) {
  for (int i = 0; i < dmf->topic_count;) {
    const char *group = dmf->topics[i].group, *list = "";
    for (; i < dmf->topic_count && strcmp(dmf->topics[i].group, group) == 0; i++)
      if (dmf->topics[i].kind != DMF_LIBRARY)
        list = arena_format(dmf->topic_arena, "%s%s ", list, dmf->topics[i].name);
    fprintf(out, "%s\n", group);
    text_wrap(out, list, 4, help_columns(dmf));
  }
  fputs("'help NAME' says more about each. A script needs a dataset, a model and a training, then "
        "asks\n"
        "dmft and simulate, and tells by print, compare and plot: begin with those.\n",
        out);
}

/* A name as people may type it: Greek letters, behind a dot, with an index or parentheses. */
static char *plain_name(const char *text) {
  Source *source = source_new("", text, strlen(text));
  Diags diags = {0};
  Script *script = script_parse_expression(source, &diags);
  const Ast *node = script ? script->root : NULL;
  while (node && (node->kind == AST_CALL || node->kind == AST_INDEX)) node = node->kid[0];
  bool named = node && (node->kind == AST_NAME || node->kind == AST_FIELD);
  char *name = mem_string(named ? node->name : text);
  script_free(script);
  source_drop(source);
  diags_clear(&diags);
  return name;
}

/* The statement that gave a name last, in a script of this session; or NULL. */
static const Ast *statement_of(const Dmf *dmf, const char *name) {
  for (int k = dmf->script_count - 1; k >= 0; k--) {
    const Ast *root = script_tree(dmf->scripts[k]);
    for (int i = root->kind == AST_BLOCK ? root->count - 1 : -1; i >= 0; i--) {
      const Ast *node = root->kid[i];
      bool gives = declares_function(node) || node->kind == AST_DECLARE ||
                   node->kind == AST_SYSTEM || node->kind == AST_ASSIGN;
      if (gives && strcmp(node->name, name) == 0) return node;
    }
  }
  return NULL;
}

/* The function that a value is, where a script declares it; or NULL. */
static const Ast *function_of(const Value *value) {
  switch (value ? value->kind : VALUE_NONE) {
  case VALUE_FUNCTION:
  case VALUE_LAYER: return value->function;
  case VALUE_ACTIVATION: return value->activation.node;
  default: return NULL;
  }
}

/* How a name of the session is explained: "f(x)", "model net", "x = y + 1", or the name alone. */
static const char *own_usage(Arena *arena, const Ast *node, const char *name) {
  enum { LONGEST = 60 };
  if (node && declares_function(node)) return declared_usage(arena, node);
  if (node && node->kind == AST_SYSTEM)
    return arena_format(arena, "%s %s", node->op == AST_DATASET ? "dataset" : "system", name);
  if (node && node->kind == AST_DECLARE)
    return arena_format(arena, "%s %s", ast_operator(node->op), name);
  char *source = node ? ast_source(node) : NULL;
  const char *usage =
      arena_format(arena, "%s", source && strlen(source) <= LONGEST ? source : name);
  free(source);
  return usage;
}

/* Names that scripts of the session gave, which no table knows. */
static bool put_own(Dmf *dmf, FILE *out, const char *name) {
  const Binding *binding = scope_own(dmf->user, name);
  const Value *value = binding ? binding->value : NULL;
  const Ast *function = function_of(value), *node = function ? function : statement_of(dmf, name);
  if (!value && !node) return false;
  char *comment = node ? ast_comment(node) : mem_string("");
  const char *group = value && !function ? value_describe(value) : "of this script";
  put_topic(out,
            &(DmfTopic){
                .group = group, .usage = own_usage(dmf->topic_arena, node, name), .about = comment},
            help_columns(dmf));
  free(comment);
  return true;
}

void help_call(Dmf *dmf, const char *name, const Value *value, DmfCall *call) {
  const Ast *function = function_of(value);
  for (int i = 0; i < dmf->topic_count; i++) {
    const DmfTopic *topic = &dmf->topics[i];
    if (topic->kind != DMF_FUNCTION || strcmp(topic->name, name) != 0) continue;
    call->usage = topic->usage;
    call->about = topic->about;
  }
  if (!function || (call->usage && !scope_own(dmf->user, name))) return;
  char *comment = ast_comment(function);
  call->usage = declared_usage(dmf->topic_arena, function);
  call->about = arena_copy(dmf->topic_arena, comment, strlen(comment));
  free(comment);
}

static bool is_word(char letter) { return isalnum((unsigned char)letter) || letter == '_'; }

static bool mentions(const char *usage, const char *name) {
  size_t length = usage ? strlen(name) : 0;
  for (const char *at = usage; length && (at = strstr(at, name)); at += length)
    if ((at == usage || !is_word(at[-1])) && !is_word(at[length])) return true;
  return false;
}

/* The calls that take an argument of this name: all that is known of at most so many, else their
 * names. */
static bool put_calls(Dmf *dmf, FILE *out, const char *name, int most) {
  const char *names = "";
  int count = 0;
  for (int i = 0; i < dmf->topic_count; i++) {
    const DmfTopic *topic = &dmf->topics[i];
    if (topic->kind != DMF_FUNCTION || !mentions(strchr(topic->usage, '('), name)) continue;
    names = arena_format(dmf->topic_arena, "%s%s%s", names, count++ ? ", " : "", topic->name);
  }
  if (count > most) {
    fprintf(out, "%s  -- argument of\n", name);
    text_wrap(out, names, 4, help_columns(dmf));
  }
  for (int i = 0; i < dmf->topic_count && count <= most; i++)
    if (dmf->topics[i].kind == DMF_FUNCTION && mentions(strchr(dmf->topics[i].usage, '('), name))
      put_topic(out, &dmf->topics[i], help_columns(dmf));
  return count > 0;
}

/* ".loss": what the name means behind a dot. */
static bool put_member(Dmf *dmf, FILE *out, const char *name) {
  bool found = false;
  for (int i = 0; i < dmf->topic_count; i++) {
    const DmfTopic *topic = &dmf->topics[i];
    bool member = topic->kind == DMF_FIELD || topic->kind == DMF_KEY;
    if (!member || strcmp(topic->name, name) != 0) continue;
    put_topic(out, topic, help_columns(dmf));
    found = true;
  }
  return found;
}

static bool put_name(Dmf *dmf, FILE *out, const char *name) {
  if (*name == '.' && is_word(name[1])) return put_member(dmf, out, name + 1);
  bool own = put_own(dmf, out, name), found = own;
  for (int i = 0; i < dmf->topic_count; i++) {
    if (strcmp(dmf->topics[i].name, name) != 0 || (own && dmf->topics[i].import)) continue;
    put_topic(out, &dmf->topics[i], help_columns(dmf));
    found = true;
  }
  enum { FEW = 8 };
  for (int i = 0; i < dmf->topic_count; i++)
    if (dmf->topics[i].kind == DMF_ARGUMENT && strcmp(dmf->topics[i].name, name) == 0)
      return put_calls(dmf, out, name, 0) || found;
  return found || put_calls(dmf, out, name, FEW);
}

char *dmf_help(Dmf *dmf, const char *name) {
  PLAIN_LOCALE;
  char *text = NULL;
  size_t length;
  FILE *out = mem_stream(&text, &length);
  if (!out) return NULL;
  bool found = true;
  topics_collect(dmf);
  if (name) {
    char *plain = plain_name(name);
    found = put_name(dmf, out, plain);
    free(plain);
  } else {
    put_overview(dmf, out);
  }
  mem_stream_end(out);
  if (found) return text;
  free(text);
  return NULL;
}
