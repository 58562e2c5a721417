/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How curves and matrices look at the prompt: a picture of characters, and a line that says what it
 * is. */
#include "session/session.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { CURVE_LINES = 12, MAP_LINES = 26, SHORTEST_CURVE = 8, SMALLEST_MAP = 9, NUMBERS = 6 };

static bool is_time(const Value *value, int i) {
  const char *name = value->axes && i < value->axes->count ? value->axes->list[i].name : NULL;
  return name && (strcmp(name, "t") == 0 || strcmp(name, "s") == 0);
}

/* Of an array over times, what there is at the last of them; else the array itself. */
static Value *at_the_end(Eval *eval, Span span, Value *value) {
  int rank = value->array->rank;
  Subscript list[ARRAY_MAX_RANK];
  if (rank < 3) return value;
  for (int i = 0; i < rank; i++)
    list[i] = is_time(value, i) ? (Subscript){.kind = SUBSCRIPT_AT, .at = -1}
                                : (Subscript){.kind = SUBSCRIPT_SLICE};
  return eval_part(eval, span, value, rank, list, true);
}

static bool drawable(const Value *value) {
  if (value->kind == VALUE_CURVE) return true;
  if (value->kind != VALUE_ARRAY) return false;
  const Array *a = value->array;
  if (a->rank == 1) return a->size >= SHORTEST_CURVE;
  return a->rank == 2 && a->shape[0] > 1 && a->shape[1] > 1 && a->size >= SMALLEST_MAP;
}

/* "[61, 6] over t, mu". */
static char *shape_text(const Value *value) {
  char shape[ARRAY_SHAPE_TEXT];
  char *text = mem_string(array_shape_text(value->array, shape));
  for (int i = 0; value->axes && i < value->axes->count; i++) {
    const char *name = value->axes->list[i].name;
    char *more = mem_format("%s%s%s", text, i ? ", " : " over ", name ? name : "?");
    free(text);
    text = more;
  }
  return text;
}

/* The first and the last entry of a vector, with their errors. */
static char *ends_text(Eval *eval, Span span, Value *value) {
  const Subscript first = {.kind = SUBSCRIPT_AT}, last = {.kind = SUBSCRIPT_AT, .at = -1};
  char *from = show_number(eval_part(eval, span, value, 1, &first, true)),
       *to = show_number(eval_part(eval, span, value, 1, &last, true)),
       *text = mem_format(", from %s to %s", from, to);
  free(from);
  free(to);
  return text;
}

static char *caption(Eval *eval, Span span, Value *value, const Value *shown) {
  if (value->kind == VALUE_CURVE) return mem_string("a curve");
  char *shape = shape_text(value),
       *ends = value->array->rank == 1 ? ends_text(eval, span, value)
                                       : mem_string(shown == value ? "" : "; at the end:"),
       *text = mem_format("%s%s", shape, ends);
  free(shape);
  free(ends);
  return text;
}

/* A small map is followed by its numbers. */
static void put_numbers(FILE *out, const Value *shown) {
  const Array *a = shown->kind == VALUE_ARRAY ? shown->array : NULL;
  if (!a || a->rank != 2 || a->shape[0] > NUMBERS || a->shape[1] > NUMBERS) return;
  char *text = array_text(a, NULL, 100);
  fprintf(out, "%s\n", text);
  free(text);
}

bool view_value(Eval *eval, const Ast *node, Value *value) {
  const Dmf *dmf = eval->host->self;
  if (!session_on_terminal(dmf)) return false;
  Value *shown = value->kind == VALUE_ARRAY ? at_the_end(eval, node->span, value) : value;
  if (!drawable(shown)) return false;
  char *picture = NULL, *why = NULL, *name = ast_source(node);
  size_t length;
  FILE *out = mem_stream(&picture, &length);
  bool map = shown->kind == VALUE_ARRAY && shown->array->rank == 2 &&
             is_time(shown, 0) == is_time(shown, 1);
  Item item = {.node = node, .name = name, .value = shown};
  PlotPart part = {.items = &item, .count = 1};
  bool drawn = draw_characters(dmf, &part, out, map ? MAP_LINES : CURVE_LINES, &why) == STATUS_OK;
  mem_stream_end(out);
  if (drawn) {
    char *text = caption(eval, node->span, value, shown);
    fprintf(dmf->results, "= %s\n%s", text, picture);
    put_numbers(dmf->results, shown);
    free(text);
  }
  free(picture);
  free(name);
  free(why);
  return drawn;
}

Value *view_field(Eval *eval, Result *result, const char *name, int layer) {
  const ResultField *field = result_find(result, name, layer), *t = result_find(result, "t", 0);
  if (!field || !field->value) return NULL;
  Value *value = value_array(&eval->heap, array_keep(field->value));
  if (value->kind != VALUE_ARRAY) return value;
  value->source = result_keep(result);
  value->error = array_keep(field->error);
  value->field = mem_string(field->name);
  value->layer = layer;
  value->axes = axes_new(value->array->rank);
  bool timed = field->axes[0] == 't' && t && t->value && t->value->size == field->value->shape[0];
  if (timed) value->axes->list[0] = (Axis){mem_string("t"), array_keep(t->value)};
  return value;
}

/* The losses of a result, of fluctuations theirs, as items of a panel; how many there are. */
static int losses(Eval *eval, Result *result, Item *items) {
  static const char *const names[][2] = {{"loss", "test_loss"}, {"var_loss", "var_test_loss"}};
  int count = 0;
  for (int kind = 0; kind < 2 && !count; kind++)
    for (int i = 0; i < 2; i++) {
      Value *value = view_field(eval, result, names[kind][i], 0);
      if (value && value->kind == VALUE_ARRAY)
        items[count++] = (Item){.name = names[kind][i], .value = value};
    }
  return count;
}

Status view_picture(Eval *eval, const char *name, Value *value, const char *path, char **why) {
  Item items[2] = {{.name = name, .value = value}};
  int count = 0;
  if (value->kind == VALUE_RESULT) {
    count = losses(eval, value->result, items);
  } else if (value->kind == VALUE_ARRAY || value->kind == VALUE_CURVE) {
    if (value->kind == VALUE_ARRAY) items[0].value = at_the_end(eval, (Span){0}, value);
    value = items[0].value;
    count = value->kind == VALUE_CURVE ||
            (value->kind == VALUE_ARRAY && value->array->rank <= 2 && value->array->size > 0);
  }
  if (count) return draw_file(&(PlotPart){.items = items, .count = count}, path, why);
  *why = mem_format("there is nothing to draw in %s", value_describe(value));
  return STATUS_SCRIPT;
}
