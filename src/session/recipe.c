/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From a solver's call to the script that makes its result again. The script says what the values
 * of the arguments are, not how the user came by them: loops, imports and files are behind them,
 * layers and losses are written out, and arrays go along by name. Reading it is the work of
 * load.c. */
#include "session/session.h"
#include "base/memory.h"
#include "model/builtins.h"
#include "model/declare.h"
#include "model/forward.h"
#include "model/optimizer.h"
#include "model/system.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A layer or a loss that has its name in the script. */
typedef struct Definition {
  char *body;
  const char *name;
} Definition;

typedef struct Writer {
  const Scope *base;      /* the names of the language keep their meaning */
  const Layer *layers;    /* of the chain */
  Array *rates;           /* the learning rate of each step */
  Array *other_rates;     /* of the optimizer in another one, or NULL */
  const Problem *problem; /* whose groups have rates of their own; or NULL */
  char *text;
  ResultRecipe *recipe;
  Definition *definitions;
  int definition_count;
  char **taken;
  int taken_count;
  bool sayable, starved;
} Writer;

/* Names */

static bool is_taken(const Writer *w, const char *name) {
  if (scope_find(w->base, name)) return true;
  for (int i = 0; i < w->taken_count; i++)
    if (strcmp(w->taken[i], name) == 0) return true;
  return false;
}

static bool is_part(char c) { return isalnum((unsigned char)c) || c == '_'; }

/* A name like the wish, which may go on behind a name ("squash(a = 2)"). Kept by the writer. */
static const char *take_name(Writer *w, const char *wish) {
  int length = 0;
  while (is_part(wish[length])) length++;
  bool good = length && !isdigit((unsigned char)*wish);
  char *stem = good ? mem_format("%.*s", length, wish) : mem_string("own");
  char *name = mem_string(stem);
  for (int number = 2; is_taken(w, name); number++) {
    free(name);
    name = mem_format("%s_%d", stem, number);
  }
  free(stem);
  size_t count = (size_t)w->taken_count + 1;
  w->taken = mem_grow(w->taken, count * sizeof *w->taken);
  return w->taken[w->taken_count++] = name;
}

/* Values */

static const char *array_name(Writer *w, const char *wish, Array *array) {
  const char *name = take_name(w, wish);
  recipe_add(w->recipe, name, array_keep(array));
  return name;
}

static const char *declaration(Writer *w, const Declared *declared);
static const char *system_name(Writer *w, const Value *system);

/* The texts joined as a list; they are freed, and so is the list to be. */
static char *list_of(char **items, size_t count) {
  char *text = mem_string("[");
  for (size_t i = 0; i < count; i++) {
    mem_append(&text, "%s%s", i ? ", " : "", items[i]);
    free(items[i]);
  }
  mem_append(&text, "]");
  free(items);
  return text;
}

static bool is_short(const Array *array) {
  enum { SHORT = 16 };
  bool short_vector = array->rank == 1 && array->size > 0 && array->size <= SHORT;
  for (size_t i = 0; short_vector && i < array->size; i++)
    if (!isfinite(array->data[i])) return false;
  return short_vector;
}

static char *list_or_name(Writer *w, const char *name, Array *array) {
  if (!is_short(array)) return mem_string(array_name(w, name, array));
  char **items = mem_new(array->size, sizeof *items);
  for (size_t i = 0; i < array->size; i++) items[i] = mem_number(array->data[i]);
  return list_of(items, array->size);
}

/* The value of an argument or a key of this name; to be freed. */
static char *optimizer_text(Writer *w, const Optimizer *optimizer, bool inner);

static char *value_text(Writer *w, const char *name, const Value *value) {
  switch (value->kind) {
  case VALUE_NONE: return mem_string("none");
  case VALUE_NUMBER: return mem_number(value->number);
  case VALUE_STRING: return mem_format("\"%s\"", value->string);
  case VALUE_ARRAY: return list_or_name(w, name, value->array);
  case VALUE_DECLARED: return mem_string(declaration(w, &value->declared));
  case VALUE_OPTIMIZER: return optimizer_text(w, &value->optimizer, true);
  case VALUE_SYSTEM: return mem_string(system_name(w, value));
  case VALUE_LIST: {
    char **items = mem_new((size_t)value->list.count + 1, sizeof *items);
    for (int i = 0; i < value->list.count; i++)
      items[i] = value_text(w, name, value->list.items[i]);
    return list_of(items, (size_t)value->list.count);
  }
  default: w->sayable = false; return mem_string("");
  }
}

/* Writes a definition, `head` between its name and its body, which is taken over; each only once.
 * Gives its name. */
static const char *define(Writer *w, const char *kind, const char *wish, const char *head,
                          char *body) {
  for (int i = 0; i < w->definition_count; i++) {
    if (strcmp(w->definitions[i].body, body) != 0) continue;
    free(body);
    return w->definitions[i].name;
  }
  const char *name = take_name(w, wish);
  mem_append(&w->text, "%s %s%s%s\n", kind, name, head, body);
  size_t count = (size_t)w->definition_count + 1;
  w->definitions = mem_grow(w->definitions, count * sizeof *w->definitions);
  w->definitions[w->definition_count++] = (Definition){body, name};
  return name;
}

/* The text of an expression; to be freed. */
static char *expression(Writer *w, const Expr *expr, const char *const *names) {
  char *text = expr_source(expr, names);
  w->sayable &= text != NULL;
  return text ? text : mem_string("");
}

static const char *loss_name(Writer *w, const Value *loss) {
  const Binding *own = scope_find(w->base, loss->loss.name);
  bool builtin = own && own->value->kind == VALUE_LOSS && own->value->loss.expr == loss->loss.expr;
  if (builtin) return own->name;
  return define(w, "loss", loss->loss.name,
                "(f, y) = ", expression(w, loss->loss.expr, (const char *[]){"f", "y"}));
}

/* Layers */

/* A layer is written step by step, with the numbers that came of its arguments: v1, v2, ... are
 * its variables, x the one that enters. */
typedef struct LayerWriter {
  Writer *w;
  const Layer *layer;
  const char **names; /* of the variables */
  char *body;
  int matrices; /* written so far */
} LayerWriter;

static void add_line(LayerWriter *l, const char *name, char *value) {
  mem_append(&l->body, "  %s = %s\n", name, value);
  free(value);
}

/* A list of numbers; to be freed. */
static char *numbers(const Array *list) {
  char *text = mem_string("[");
  for (size_t i = 0; i < list->size; i++)
    mem_append(&text, "%s%.17g", i ? ", " : "", list->data[i]);
  mem_append(&text, "]");
  return text;
}

/* A list of lists of them; to be freed. */
static char *rows(const Array *table) {
  char **lists = mem_new(table->shape[0], sizeof *lists);
  for (size_t i = 0; i < table->shape[0]; i++) {
    Array row = {.size = table->shape[1], .data = table->data + i * table->shape[1]};
    lists[i] = numbers(&row);
  }
  return list_of(lists, table->shape[0]);
}

/* A matrix, a bias, or codes of what stands `first`; to be freed. */
static char *weights(const char *maker, const char *first, const LayerMatrix *matrix) {
  char *sigma = matrix->scales ? numbers(matrix->scales) : mem_number(matrix->sigma),
       *rate = mem_number(matrix->rate);
  char *text = mem_format("%s(%s%s, %s)", maker, first, sigma, rate);
  if (matrix->window) {
    text[strlen(text) - 1] = 0;
    mem_append(&text, ", window = %d, padding = \"%s\", stride = %d)", matrix->window,
               matrix->circular ? "circular" : "zero", matrix->stride);
  }
  if (matrix->ratio > 0) {
    char *ratio = mem_number(matrix->ratio);
    text[strlen(text) - 1] = 0;
    mem_append(&text, ", width = %s)", ratio);
    free(ratio);
  }
  if (matrix->parts > 1 || matrix->dilation > 1) {
    text[strlen(text) - 1] = 0;
    mem_append(&text, ", parts = %d, dilation = %d)", matrix->parts,
               matrix->dilation > 1 ? matrix->dilation : 1);
  }
  if (matrix->law != LAW_NORMAL) {
    text[strlen(text) - 1] = 0;
    mem_append(&text, ", law = \"%s\")", law_names[matrix->law]);
  }
  free(sigma);
  free(rate);
  return text;
}

/* Those before `end` that are not written yet: the order of matrices is that in which they are
 * declared, and a bias is declared where it stands. */
static void write_matrices(LayerWriter *l, int end) {
  for (; l->matrices < end; l->matrices++) {
    char *name = mem_format("W%d", l->matrices);
    add_line(l, name, weights("matrix", "", &l->layer->matrices[l->matrices]));
    free(name);
  }
}

/* W @ x, with the number before the matrix; to be freed. */
static char *product(const LayerWriter *l, const LayerStep *step) {
  double factor = l->layer->matrices[step->matrix].factor;
  char *number = mem_number(factor), *front = mem_format("%s * ", number);
  char *text = mem_format("%sW%d%s @ %s", factor == 1 ? "" : front, step->matrix,
                          step->kind == STEP_APPLY_T ? "'" : "", l->names[step->source]);
  free(number);
  free(front);
  return text;
}

/* To be freed. */
static char *pooling(const LayerStep *step, const char *source) {
  const char *kind = step->most ? "max" : "mean";
  if (!step->window) return mem_format("pooled(%s, \"%s\")", source, kind);
  return mem_format("pooled(%s, \"%s\", %d, %d)", source, kind, step->window, step->stride);
}

static void write_step(LayerWriter *l, const char *name, const LayerStep *step) {
  const char *source = l->names[step->source];
  switch (step->kind) {
  case STEP_APPLY:
  case STEP_APPLY_T:
    write_matrices(l, step->matrix + 1);
    add_line(l, name, product(l, step));
    break;
  case STEP_BIAS:
    write_matrices(l, step->matrix);
    add_line(l, name, weights("bias", "", &l->layer->matrices[l->matrices++]));
    break;
  case STEP_CODES: {
    char *first = mem_format("%s, ", source);
    write_matrices(l, step->matrix);
    add_line(l, name, weights("codes", first, &l->layer->matrices[l->matrices++]));
    free(first);
    break;
  }
  case STEP_MAP: add_line(l, name, expression(l->w, step->expr, l->names)); break;
  case STEP_TABLE: add_line(l, name, rows(step->table)); break;
  case STEP_AVERAGE:
    add_line(l, name,
             step->other < 0 ? mem_format("mean(%s)", source)
                             : mem_format("dot(%s, %s)", source, l->names[step->other]));
    break;
  case STEP_GRAM:
    add_line(l, name, mem_format("gram(%s, %s)", source, l->names[step->other]));
    break;
  case STEP_SOFTMAX:
    add_line(l, name, mem_format("softmax(%s%s)", source, step->causal ? ", causal = true" : ""));
    break;
  case STEP_BLEND: add_line(l, name, mem_format("%s @ %s", source, l->names[step->other])); break;
  case STEP_BATCH: add_line(l, name, mem_format("batch_mean(%s)", source)); break;
  case STEP_AT: add_line(l, name, mem_format("%s[%d]", source, step->position)); break;
  case STEP_POOL: add_line(l, name, pooling(step, source)); break;
  case STEP_DROP: add_line(l, name, mem_format("dropped(%s, %.17g)", source, step->share)); break;
  case STEP_FLATTEN: add_line(l, name, mem_format("flattened(%s)", source)); break;
  }
}

/* What stands in a chain for the layer. */
static const char *layer_name(Writer *w, const char *wish, const Layer *layer) {
  size_t count = (size_t)layer->step_count + 1;
  LayerWriter l = {w, layer, mem_new(count, sizeof *l.names), mem_string(" {\n"), 0};
  char **names = mem_new(count, sizeof *names);
  for (size_t i = 0; i < count; i++)
    l.names[i] = names[i] = i ? mem_format("v%zu", i) : mem_string("x");
  for (int i = 0; i < layer->step_count; i++) write_step(&l, names[i + 1], &layer->steps[i]);
  mem_append(&l.body, "  return %s\n}", names[layer->result]);
  for (size_t i = 0; i < count; i++) free(names[i]);
  free(names);
  free(l.names);
  return define(w, "layer", wish, "() of x", l.body);
}

static char *readout_text(const Layer *layer) {
  char *sigma = mem_number(layer->matrices[0].sigma), *rate = mem_number(layer->matrices[0].rate);
  char *mean = mem_number(layer->matrices[0].mean);
  bool plain = !(fabs(layer->matrices[0].mean) > 0);
  char *text = layer->matrices[0].tied
                   ? mem_string("readout(tied = true)")
                   : mem_format("readout(sigma_w = %s, rate = %s%s%s)", sigma, rate,
                                plain ? "" : ", mean = ", plain ? "" : mean);
  if (layer->matrices[0].law != LAW_NORMAL) {
    text[strlen(text) - 1] = 0;
    mem_append(&text, ", law = \"%s\")", law_names[layer->matrices[0].law]);
  }
  free(sigma);
  free(rate);
  free(mean);
  return text;
}

/* The chain; equal layers in a row are repeated. To be freed. */
static char *chain_text(Writer *w, const Chain *chain) {
  char *text = mem_string("input");
  const char *name = NULL, *next = NULL;
  int last = chain->count - 1;
  for (int i = 0, run; i < last; i += run) {
    name = next ? next : layer_name(w, chain->links[i]->link.text, &w->layers[i]);
    for (run = 1, next = NULL; i + run < last; run++)
      if ((next = layer_name(w, chain->links[i + run]->link.text, &w->layers[i + run])) != name)
        break;
    if (run > 1)
      mem_append(&text, " -> %d * %s()", run, name);
    else
      mem_append(&text, " -> %s()", name);
  }
  char *readout = readout_text(&w->layers[last]);
  mem_append(&text, " -> %s", readout);
  free(readout);
  return text;
}

static char *optimizer_text(Writer *w, const Optimizer *optimizer, bool inner);
static Array *first_rates(const double *rates, size_t steps);

/* The next of the groups, whose rates are its own; to be freed. */
static char *group_text(Writer *w, const Value *value, int *next) {
  Array *rates = w->rates, *other_rates = w->other_rates;
  const Problem *group = w->problem ? &w->problem->groups[(*next)++] : NULL;
  w->rates = group && rates ? first_rates(group->eta, rates->size) : NULL;
  w->other_rates = group && rates ? first_rates(group->other_eta, rates->size) : NULL;
  w->starved |= group && rates && (!w->rates || (group->other_eta && !w->other_rates));
  char *text = optimizer_text(w, &value->optimizer, false);
  array_drop(w->rates);
  array_drop(w->other_rates);
  w->rates = rates;
  w->other_rates = other_rates;
  return text;
}

static char *groups_text(Writer *w, const Optimizer *optimizer) {
  const Signature *signature = optimizer->builtin->builtin.signature;
  char *first = optimizer_text(w, &optimizer->args[0]->optimizer, false),
       *text = mem_format("groups(%s", first);
  int next = 0;
  free(first);
  for (int i = 1; i < signature->count; i++) {
    const Value *value = optimizer->args[i];
    if (value->kind == VALUE_NONE) continue;
    bool list = value->kind == VALUE_LIST;
    mem_append(&text, ", %s = %s", signature->list[i].name, list ? "[" : "");
    for (int k = 0; k < (list ? value->list.count : 1); k++) {
      char *group = group_text(w, list ? value->list.items[k] : value, &next);
      mem_append(&text, "%s%s", k ? ", " : "", group);
      free(group);
    }
    if (list) mem_append(&text, "]");
  }
  mem_append(&text, ")");
  return text;
}

/* The call of an optimizer. Its rates may come of a function: they are those of the problem. To be
 * freed. */
static char *optimizer_text(Writer *w, const Optimizer *optimizer, bool inner) {
  if (optimizer->kind == OPT_GROUPS) return groups_text(w, optimizer);
  const Signature *signature = optimizer->builtin->builtin.signature;
  char *text = mem_format("%s(", optimizer->builtin->builtin.row->name);
  for (int i = 0; i < signature->count; i++) {
    const char *name = signature->list[i].name;
    const Value *value = optimizer->args[i];
    if (value->kind == VALUE_NONE) continue;
    Array *rates = inner ? w->other_rates : w->rates;
    char *argument = eval_is_activation(value) && rates ? list_or_name(w, name, rates)
                                                        : value_text(w, name, value);
    mem_append(&text, "%s%s = %s", i ? ", " : "", name, argument);
    free(argument);
  }
  mem_append(&text, ")");
  return text;
}

/* What stands behind a key, where words have no quotes; to be freed. */
static char *entry_text(Writer *w, const char *key, const Value *value) {
  switch (value->kind) {
  case VALUE_STRING: return mem_string(value->string);
  case VALUE_CHAIN: return chain_text(w, &value->chain);
  case VALUE_OPTIMIZER: return optimizer_text(w, &value->optimizer, false);
  case VALUE_LOSS: return mem_string(loss_name(w, value));
  default: return value_text(w, key, value);
  }
}

/* Writes a declaration, and before it those it refers to; gives its name. */
static const char *declaration(Writer *w, const Declared *declared) {
  char *body = mem_string("");
  for (int i = 0; declared_key(declared->kind, i); i++) {
    if (!declared->slot[i]) continue;
    const char *key = declared_key(declared->kind, i);
    char *entry = entry_text(w, key, declared->slot[i]);
    mem_append(&body, "  %s = %s\n", key, entry);
    free(entry);
  }
  const char *name = take_name(w, declared->name);
  mem_append(&w->text, "%s %s {\n%s}\n", declared_kind_name(declared->kind), name, body);
  free(body);
  return name;
}

/* Writes a system: its keys as the values that they have, all else as it stands; gives its name. */
static const char *system_name(Writer *w, const Value *system) {
  const Dynamics *d = &system->dynamics;
  const char **keys = system_keys(system);
  char *body = mem_string("");
  for (int i = 0; keys[i]; i++) {
    char *value = value_text(w, keys[i], d->key[i]);
    mem_append(&body, "  %s = %s\n", keys[i], value);
    free(value);
  }
  for (int i = 0; i < d->node->count; i++) {
    const Ast *part = d->node->kid[i];
    bool key = false;
    for (int k = 0; keys[k] && part->kind == AST_ASSIGN; k++)
      key |= strcmp(keys[k], part->name) == 0;
    if (!key)
      mem_append(&body, "  %.*s\n", (int)(part->span.end - part->span.begin),
                 part->span.source->text + part->span.begin);
  }
  free(keys);
  const char *name = take_name(w, d->node->name);
  mem_append(&w->text, "%s %s {\n%s}\n", system_kind(system), name, body);
  free(body);
  return name;
}

/* The call */

/* Its arguments from `first` on, behind those that stand there already; `but` (or NULL) is none of
 * them. */
static void write_call(Writer *w, const Call *call, char *arguments, int first, const char *but) {
  for (int i = first; i < call->count; i++) {
    const char *name = call_argument_name(call, i);
    if (call->args[i]->kind == VALUE_NONE || (but && strcmp(name, but) == 0)) continue;
    char *value = value_text(w, name, call->args[i]);
    mem_append(&arguments, "%s%s = %s", *arguments ? ", " : "", name, value);
    free(value);
  }
  mem_append(&w->text, "%s = %s(%s)\n", take_name(w, "result"), call->row->name, arguments);
  free(arguments);
}

/* The first `steps` of these rates; NULL where there are none, and without memory. */
static Array *first_rates(const double *rates, size_t steps) {
  Array *array = rates ? array_new(1, &steps) : NULL;
  if (array) memcpy(array->data, rates, steps * sizeof *rates);
  return array;
}

/* Whether the tree gives something this name. */
static bool gives(const Ast *node, const char *name) {
  if (!node) return false;
  bool own = node->kind != AST_NAME && node->kind != AST_ARG && node->name &&
             strcmp(node->name, name) == 0;
  for (int i = 0; i < node->count && !own; i++) own = gives(node->kid[i], name);
  return own;
}

/* Whether it has names that are neither of the system nor of the language. */
static bool is_foreign(const Scope *base, const Ast *node, const Ast *system) {
  if (!node) return false;
  if (node->kind == AST_NAME && strcmp(node->name, "t") != 0 && !scope_find(base, node->name) &&
      !gives(system, node->name))
    return true;
  for (int i = 0; i < node->count; i++)
    if (is_foreign(base, node->kid[i], system)) return true;
  return false;
}

/* Whether what was written is what a recipe may say. */
static bool is_confined(const Dmf *dmf, const char *text, Result *result) {
  Diags diags = {0};
  Script *script = NULL;
  Source *source = source_new("recipe", text, strlen(text));
  bool sound = script_parse(source, false, &script, &diags) == PARSE_OK &&
               !recipe_trespass(dmf->base, script, result);
  script_free(script);
  source_drop(source);
  diags_clear(&diags);
  return sound;
}

/* Whether the lines of a system, but for its keys, say all by themselves. */
static bool stands_alone(const Scope *base, const Value *system) {
  const Dynamics *d = &system->dynamics;
  const char **keys = system_keys(system);
  bool alone = true;
  for (int i = 0; i < d->node->count; i++) {
    const Ast *part = d->node->kid[i];
    bool key = false;
    for (int k = 0; keys[k] && part->kind == AST_ASSIGN; k++)
      key |= strcmp(keys[k], part->name) == 0;
    alone &= key || !is_foreign(base, part, d->node);
  }
  free(keys);
  return alone;
}

/* The layers and the rates of a model that learns a dataset which grows; false after reporting. */
static bool take_learner(Writer *w, const Call *call, Layer **layers) {
  const Declared *model = &call->args[0]->declared, *training = &call->args[1]->declared;
  const Value *optimizer = training->slot[TRAINING_OPTIMIZER];
  size_t steps = (size_t)training->slot[TRAINING_STEPS]->number;
  *layers = chain_layers(call->eval, &model->slot[MODEL_LAYERS]->chain, (Grid){1, 1, false});
  w->layers = *layers;
  w->rates = *layers ? optimizer_rates(call->eval, &optimizer->optimizer, steps) : NULL;
  return w->rates;
}

static void writer_end(Writer *w) {
  for (int i = 0; i < w->definition_count; i++) free(w->definitions[i].body);
  for (int i = 0; i < w->taken_count; i++) free(w->taken[i]);
  free(w->definitions);
  free(w->taken);
  array_drop(w->rates);
  array_drop(w->other_rates);
}

/* Takes over the text of the writer if it is what a recipe may say. */
static bool take_text(const Dmf *dmf, const Writer *w, Result *result) {
  bool good = w->sayable && is_confined(dmf, w->text, result);
  if (good) {
    result->recipe.text = w->text;
    return true;
  }
  free(w->text);
  recipe_clear(&result->recipe);
  return false;
}

/* The call as its lines have it; false if they say less than all. */
static bool write_as_it_stands(const Call *call, Result *result) {
  const Dmf *dmf = call->eval->host->self;
  bool learns = call->args[0]->kind != VALUE_SYSTEM;
  Layer *layers = NULL;
  Writer w = {
      .base = dmf->base, .text = mem_string(""), .recipe = &result->recipe, .sayable = true};
  const Value *system = learns ? call->args[1]->declared.slot[TRAINING_DATASET] : call->args[0];
  w.sayable = stands_alone(dmf->base, system) && (!learns || take_learner(&w, call, &layers));
  if (w.sayable) write_call(&w, call, mem_string(""), 0, NULL);
  bool good = take_text(dmf, &w, result);
  writer_end(&w);
  if (layers) layers_free(layers, call->args[0]->declared.slot[MODEL_LAYERS]->chain.count);
  return good;
}

void recipe_write_system(const Call *call, const Program *program, int steps, Result *result) {
  enum { SYSTEM, TRAINING, REST }; /* the arguments */
  if (write_as_it_stands(call, result)) return;
  const Dmf *dmf = call->eval->host->self;
  const char *why;
  char *body = program_write(program, &why);
  Writer w = {
      .base = dmf->base, .text = mem_string(""), .recipe = &result->recipe, .sayable = body};
  const char *name = take_name(&w, program->system->name);
  if (body) mem_append(&w.text, "system %s {\n%s}\n", name, body);
  free(body);
  write_call(&w, call, mem_format("%s, steps = %d", name, steps), REST, "steps");
  take_text(dmf, &w, result);
  writer_end(&w);
}

bool recipe_write(const Call *call, const Problem *problem, size_t steps, ResultRecipe *recipe) {
  const Dmf *dmf = call->eval->host->self;
  if (problem->depth) return true; /* layers without end are not the layers of this problem */
  Array *rates = first_rates(problem->eta, steps),
        *others = rates ? first_rates(problem->other_eta, steps) : NULL;
  if (!rates || (!others && problem->other_eta)) return array_drop(rates), false;
  Writer w = {.base = dmf->base,
              .layers = problem->layers,
              .rates = rates,
              .other_rates = others,
              .problem = problem,
              .text = mem_string(""),
              .recipe = recipe,
              .sayable = true};
  write_call(&w, call, mem_string(""), 0, NULL);
  if (w.sayable)
    recipe->text = w.text;
  else
    free(w.text);
  if (!w.sayable) recipe_clear(recipe);
  writer_end(&w);
  return !w.starved;
}
