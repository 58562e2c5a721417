/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What `print` writes, and how the REPL shows the value of an expression. */
#include "session/session.h"
#include "base/memory.h"
#include "base/plain.h"
#include "file/file.h"
#include "model/declare.h"
#include "model/system.h"
#include "model/trail.h"
#include "output/text.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static Dmf *session_of(Eval *eval) { return eval->host->self; }

/* The number that remembers its standard error, as "0.01234 ± 0.00004", else, or where the error is
 * rounding, with ten digits. To be freed. */
char *show_number(const Value *value) {
  double error = value->error && !value->truth ? value->error->data[0] : 0;
  bool whole = value->number == floor(value->number) && fabs(value->number) < 1e15;
  if (!(error > 1e-14 * fabs(value->number)) || !isfinite(error) || !isfinite(value->number))
    return mem_format(whole ? "%.0f" : "%.10g", plain_number(value->number));
  int decimals = 1 - (int)floor(log10(error));
  if (decimals > 12) return mem_format("%.10g ± %.2g", value->number, error);
  if (decimals < 0) decimals = 0;
  return mem_format("%.*f ± %.*f", decimals, value->number, decimals, error);
}

/* Values in words, for what is neither a number nor an array; to be freed. */

/* `inner`: the links of a group that is repeated without end. */
static char *links_text(const char *start, Value *const *links, int count, bool inner) {
  char *text = mem_string(start);
  for (int i = 0, run; i < count; i += run) {
    const Link *link = &links[i]->link;
    run = 1;
    mem_append(&text, "%s", *text ? " -> " : "");
    if (link->endless && !inner) {
      run = link->endless;
      char *group = links_text("", links + i, run, true);
      mem_append(&text, run > 1 ? "inf * (%s)" : "inf * %s", group);
      free(group);
      continue;
    }
    while (i + run < count && !links[i + run]->link.endless &&
           !strcmp(links[i + run]->link.text, link->text))
      run++;
    if (run > 1) mem_append(&text, "%d * ", run);
    mem_append(&text, "%s", link->text);
  }
  return text;
}

static char *chain_text(const Chain *chain) {
  return links_text(chain->input ? "input" : "", chain->links, chain->count, false);
}

static char *brief(const Value *value);

static char *optimizer_text(const Optimizer *optimizer) {
  const Builtin *row = optimizer->builtin->builtin.row;
  const Signature *signature = optimizer->builtin->builtin.signature;
  char *text = mem_format("%s(", row->name);
  const char *joint = "";
  for (int i = 0; i < signature->count; i++) {
    if (optimizer->args[i]->kind == VALUE_NONE) continue;
    char *entry = brief(optimizer->args[i]);
    mem_append(&text, "%s%s = %s", joint, signature->list[i].name, entry);
    free(entry);
    joint = ", ";
  }
  mem_append(&text, ")");
  return text;
}

/* Its name, and the parameters that a call gave it. */
static char *activation_text(const Value *value) {
  const Ast *node = value->activation.node;
  char *text = mem_string(value->activation.name);
  if (value_is_closure(value)) return text;
  int given = 0;
  for (int i = 0; node && value->activation.bound && i + 2 < node->count; i++) {
    if (!value->activation.bound[i]) continue;
    char *entry = brief(value->activation.bound[i]);
    mem_append(&text, "%s%s = %s", given++ ? ", " : "(", node->kid[i + 1]->name, entry);
    free(entry);
  }
  if (given) mem_append(&text, ")");
  return text;
}

/* A value on one line, as a key of a card. */
static char *brief(const Value *value) {
  switch (value->kind) {
  case VALUE_NUMBER: return show_number(value);
  case VALUE_STRING: return mem_string(value->string);
  case VALUE_CHAIN: return chain_text(&value->chain);
  case VALUE_OPTIMIZER: return optimizer_text(&value->optimizer);
  case VALUE_LOSS: return mem_string(value->loss.name);
  case VALUE_DECLARED: return mem_string(value->declared.name);
  case VALUE_SYSTEM: return mem_string(value->dynamics.node->name);
  case VALUE_ACTIVATION: return activation_text(value);
  case VALUE_FUNCTION: return mem_string(value->function->name);
  case VALUE_BUILTIN: return mem_string(value->builtin.row->name);
  default: return mem_string(value_describe(value));
  }
}

static char *card_text(const Declared *declared) {
  char *text = mem_format("%s %s", declared_kind_name(declared->kind), declared->name);
  for (int i = 0; declared_key(declared->kind, i); i++) {
    if (!declared->slot[i]) continue;
    const char *key = declared_key(declared->kind, i);
    bool truth = declared->kind == DECLARED_MODEL && i == MODEL_CENTERED;
    char *value = truth ? mem_string(declared->slot[i]->number != 0 ? "true" : "false")
                        : brief(declared->slot[i]);
    mem_append(&text, "\n  %-16s = %s", key, value);
    free(value);
  }
  return text;
}

static char *system_text(const Value *value) {
  const char **keys = system_keys(value);
  char *text = mem_format("%s %s", system_kind(value), value->dynamics.node->name);
  for (int i = 0; keys[i]; i++) {
    char *own = brief(value->dynamics.key[i]);
    mem_append(&text, "\n  %-16s = %s", keys[i], own);
    free(own);
  }
  free(keys);
  return text;
}

static char *list_text(const Value *value);

/* An element of a list, as it could be written. */
static char *item_text(const Value *value) {
  if (value->kind == VALUE_STRING) return mem_format("\"%s\"", value->string);
  if (value->kind == VALUE_LIST) return list_text(value);
  bool vector = value->kind == VALUE_ARRAY && value->array->rank == 1;
  if (vector && !value->array->size) return mem_string("[]");
  bool short_vector = vector && value->array->size <= 8;
  return short_vector ? array_text(value->array, value->error, 1000) : brief(value);
}

static char *list_text(const Value *value) {
  char *text = mem_string("[");
  for (int i = 0; i < value->list.count; i++) {
    char *item = item_text(value->list.items[i]);
    mem_append(&text, "%s%s", i ? ", " : "", item);
    free(item);
  }
  mem_append(&text, "]");
  return text;
}

static char *function_text(const Value *value) {
  if (value->kind == VALUE_BUILTIN)
    return mem_format("%s(%s)  %s", value->builtin.row->name, value->builtin.row->signature,
                      value->builtin.row->about);
  const Ast *node = value->kind == VALUE_FUNCTION ? value->function : value->activation.node;
  return node ? ast_source(node) : mem_string(value->activation.name);
}

/* What is shown of sampled numbers is their error, too. */
void show_errors(Eval *eval, Value *value) {
  trail_error(eval, value);
  for (int i = 0; value->kind == VALUE_LIST && i < value->list.count; i++)
    show_errors(eval, value->list.items[i]);
}

/* Places that are not 0, 1, 2, ... say more than subscripts do. */
static bool telling(const Axis *axis) {
  for (size_t i = 0; axis->name && axis->at && i < axis->at->size; i++)
    if (axis->at->data[i] != (double)i) return true;
  return false;
}

/* "[5, 21], net.gamma = 0.1 .. 5" of an array that is shown cut, else its shape alone. */
static char *heading(const Value *value, bool cut) {
  char shape[ARRAY_SHAPE_TEXT];
  char *text = mem_string(array_shape_text(value->array, shape));
  for (int i = 0; cut && value->axes && i < value->axes->count; i++) {
    const Axis *axis = &value->axes->list[i];
    if (telling(axis))
      mem_append(&text, ", %s = %.6g .. %.6g", axis->name, axis->at->data[0],
                 axis->at->data[axis->at->size - 1]);
  }
  return text;
}

/* An array and its heading, titled with its name; without one, what is cut has a heading alone. */
static char *numbers_text(const Value *value, int columns, const char *name) {
  const Array *error = value->truth ? NULL : value->error;
  bool cut = !array_shown_whole(value->array, error, columns);
  char *text = array_numbers(value->array, error, columns);
  if (!name && !cut) return text;
  char *head = heading(value, cut), *both = name ? mem_format("%s, shape %s:\n%s", name, head, text)
                                                 : mem_format("%s\n%s", head, text);
  free(head);
  free(text);
  return both;
}

char *show_text(const Value *value, int columns) {
  switch (value->kind) {
  case VALUE_ARRAY: return numbers_text(value, columns, NULL);
  case VALUE_RESULT: return text_result(value->result, columns);
  case VALUE_DECLARED: return card_text(&value->declared);
  case VALUE_SYSTEM: return system_text(value);
  case VALUE_LIST: return list_text(value);
  case VALUE_FUNCTION:
  case VALUE_BUILTIN:
  case VALUE_ACTIVATION: return function_text(value);
  case VALUE_FAMILY:
    return mem_format("'%s' of layers 1..%d", value->family.name,
                      result_layers(value->family.result, value->family.name));
  default: return brief(value);
  }
}

static char *value_text(Eval *eval, const Value *value) {
  return show_text(value, text_columns(session_of(eval)->results));
}

/* Plain printing */

static bool on_one_line(const Value *value) {
  return value->kind == VALUE_NUMBER || value->kind == VALUE_STRING;
}

static bool bare(const Item *item) {
  bool literal = item->node->kind == AST_NUMBER || item->value->kind == VALUE_STRING;
  return literal && !item->labelled;
}

static void print_short(Eval *eval, const Item *item) {
  FILE *out = session_of(eval)->results;
  char *text = brief(item->value);
  if (bare(item))
    fputs(text, out);
  else
    fprintf(out, "%s = %s", item->name, text);
  free(text);
}

static void print_long(Eval *eval, const Item *item) {
  FILE *out = session_of(eval)->results;
  const Value *value = item->value;
  bool title = item->labelled || item->node->kind != AST_ARRAY;
  char *text = value->kind == VALUE_ARRAY && title
                   ? numbers_text(value, text_columns(out), item->name)
                   : value_text(eval, value);
  if (value->kind == VALUE_RESULT && title) fprintf(out, "%s:\n", item->name);
  fprintf(out, "%s\n", text);
  free(text);
}

static void print_plain(Eval *eval, const Item *items, int count) {
  FILE *out = session_of(eval)->results;
  for (int i = 0; i < count; i++) show_errors(eval, items[i].value);
  for (int i = 0; i < count && !eval->halted; i++) {
    if (!on_one_line(items[i].value)) {
      print_long(eval, &items[i]);
      continue;
    }
    print_short(eval, &items[i]);
    bool last = i + 1 == count || !on_one_line(items[i + 1].value);
    fputs(last ? "\n" : bare(&items[i]) ? "  " : ", ", out);
  }
}

/* JSON lines */

/* Fields of two times are large: they are printed when asked for by name. */
static bool two_times(const ResultField *field) { return strstr(field->axes, ",s") != NULL; }

static void json_field(FILE *out, const char *name, const ResultField *field, const Array *array) {
  char *whole = field->layer ? mem_format("%s.%s[%d]", name, field->name, field->layer)
                             : mem_format("%s.%s", name, field->name);
  file_json_line(out, whole, array);
  free(whole);
}

/* All layers of one field; it may have been left out at first. */
static void json_family(Eval *eval, const Item *item) {
  Result *result = item->value->family.result;
  const char *name = item->value->family.name;
  char *why = NULL;
  Status status = result_complete(result, name, &why);
  if (status != STATUS_OK)
    eval_fail(eval, status, item->node->span, NULL, "%s",
              why ? why : "the field could not be computed");
  free(why);
  for (int layer = 1; status == STATUS_OK && layer <= result_layers(result, name); layer++) {
    const ResultField *field = result_find(result, name, layer);
    Array *array = array_keep(item->value->family.errors ? field->error : field->value);
    char *whole = mem_format("%s[%d]", item->name, layer);
    if (array) file_json_line(session_of(eval)->results, whole, array);
    array_drop(array);
    free(whole);
  }
}

/* One line for each field, or for each field's standard error. */
static void json_result(FILE *out, const char *name, const Result *result, bool errors) {
  for (int i = 0; i < result->field_count; i++) {
    const ResultField *field = &result->fields[i];
    const Array *array = errors ? field->error : field->value;
    if (array && !two_times(field)) json_field(out, name, field, array);
  }
}

static void print_json(Eval *eval, const Item *item) {
  FILE *out = session_of(eval)->results;
  const Value *value = item->value;
  if (value_is_numeric(value)) {
    Array *array = value_as_array(value);
    if (array)
      file_json_line(out, item->name, array);
    else
      eval_starve(eval, item->node->span);
    array_drop(array);
  } else if (value->kind == VALUE_RESULT || value->kind == VALUE_STDERR) {
    json_result(out, item->name, value->result, value->kind == VALUE_STDERR);
  } else if (value->kind == VALUE_FAMILY) {
    json_family(eval, item);
  } else {
    char *text = value_text(eval, value);
    file_json_text(out, item->name, text);
    free(text);
  }
}

void show_print(Eval *eval, const Item *items, int count) {
  FILE *out = session_of(eval)->results;
  if (session_of(eval)->config.json)
    for (int i = 0; i < count; i++) print_json(eval, &items[i]);
  else
    print_plain(eval, items, count);
  if (fflush(out) != 0 || ferror(out))
    eval_fail(eval, STATUS_FILE, items[0].node->span, NULL, "cannot write the results: %s",
              strerror(errno));
}

void show_value(Eval *eval, const Ast *node, Value *value) {
  Dmf *dmf = session_of(eval);
  scope_set(dmf->user, "_", value, node->span);
  if (value_hand_over(eval, node, value)) return;
  if (dmf->config.json) {
    char *name = ast_source(node);
    print_json(eval, &(Item){node, name, false, value});
    free(name);
    return;
  }
  show_errors(eval, value);
  if (eval->halted || view_value(eval, node, value)) return;
  char *text = value_text(eval, value);
  bool lines = strchr(text, '\n') != NULL;
  if (value->kind == VALUE_STRING)
    fprintf(dmf->results, "= \"%s\"\n", text);
  else
    fprintf(dmf->results, lines ? "%s\n" : "= %s\n", text);
  free(text);
}
