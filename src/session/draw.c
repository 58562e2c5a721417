/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From the items of a `plot` statement to curves or a heat map. */
#include "session/session.h"
#include "base/memory.h"
#include "output/plot.h"

#include <stdlib.h>
#include <string.h>

/* A picture under construction: curves, and the columns they point into. */
typedef struct Drawing {
  PlotCurve *curves;
  int count;
  double **columns;
  int column_count;
  char **labels;
} Drawing;

static double *column(Drawing *drawing, size_t count) {
  size_t columns = (size_t)drawing->column_count + 1;
  drawing->columns = mem_grow(drawing->columns, columns * sizeof *drawing->columns);
  return drawing->columns[drawing->column_count++] = mem_new(count, sizeof(double));
}

static void drawing_free(Drawing *drawing) {
  for (int i = 0; i < drawing->column_count; i++) free(drawing->columns[i]);
  for (int i = 0; i < drawing->count; i++) free(drawing->labels[i]);
  free(drawing->columns);
  free(drawing->labels);
  free(drawing->curves);
}

/* The numbers that are drawn upward. */
static const Array *heights(const Item *item) {
  return item->value->kind == VALUE_CURVE ? item->value->curve.y : item->value->array;
}

/* The times of the result that the value was read from, when its first axis is time. */
static const Array *times_of(const Value *value) {
  if (value->kind == VALUE_CURVE) return NULL;
  const ResultField *field = value->source ? result_find(value->source, "t", 0) : NULL;
  const Array *t = field ? field->value : NULL;
  return t && t->rank == 1 && t->size == value->array->shape[0] ? t : NULL;
}

/* What the heights of item i stand over, NULL for the index: the x of a curve; the times of its own
 * result; a plain array goes along with the times of the
 * fields it is drawn with. */
static const Array *places_for(const Item *items, int count, int i) {
  bool curve = items[i].value->kind == VALUE_CURVE;
  const Array *own = curve ? items[i].value->curve.x : times_of(items[i].value);
  for (int k = 0; !own && k < count; k++) {
    const Array *t = times_of(items[k].value);
    if (t && t->size == heights(&items[i])->shape[0]) own = t;
  }
  return own;
}

static const char *name_of(const Item *item) {
  bool own = item->value->kind == VALUE_CURVE && item->value->curve.label;
  return own ? item->value->curve.label : item->name;
}

/* What is drawn, whoever computed it: "loss" of theory.loss and nets.loss. */
static const char *quantity(const Item *item) {
  const char *name = name_of(item), *dot = strchr(name, '.');
  return dot && !item->labelled && item->value->kind != VALUE_CURVE ? dot + 1 : name;
}

static size_t curves_of(const Array *array) { return array->rank == 2 ? array->shape[1] : 1; }

/* The colour of an item's first curve: its own, or that of the first item of the same quantity. */
static int color_of(const Item *items, int i) {
  int color = 1;
  if (items[i].value->kind == VALUE_CURVE && items[i].value->curve.color)
    return items[i].value->curve.color;
  for (int k = 0; k < i; k++) {
    if (strcmp(quantity(&items[k]), quantity(&items[i])) == 0) return color;
    color += (int)curves_of(heights(&items[k]));
  }
  return color;
}

/* Entry `which` of every row, as a column of its own. */
static double *strided(Drawing *drawing, const Array *array, size_t which) {
  size_t rows = array->shape[0], width = curves_of(array);
  double *data = column(drawing, rows);
  for (size_t i = 0; i < rows; i++) data[i] = array->data[i * width + which];
  return data;
}

static PlotStyle style_of(const Value *value) {
  bool networks = value->source && strcmp(value->source->kind, "simulate") == 0;
  switch (value->kind == VALUE_CURVE ? value->curve.style : CURVE_AUTO) {
  case CURVE_LINE: return PLOT_LINE;
  case CURVE_DASHED: return PLOT_DASHED;
  case CURVE_POINTS: return PLOT_POINTS;
  default: return networks ? PLOT_POINTS : PLOT_LINE;
  }
}

static void add_curve(Drawing *drawing, const Item *item, const double *x, size_t which,
                      int color) {
  const Value *value = item->value;
  const Array *y = heights(item);
  size_t width = curves_of(y), count = (size_t)drawing->count + 1;
  drawing->curves = mem_grow(drawing->curves, count * sizeof *drawing->curves);
  drawing->labels = mem_grow(drawing->labels, count * sizeof *drawing->labels);
  char *label = width > 1 && *name_of(item) ? mem_format("%s, %zu", name_of(item), which)
                                            : mem_string(name_of(item));
  drawing->labels[drawing->count] = label;
  bool exact = value->source && value->source->exact;
  drawing->curves[drawing->count++] =
      (PlotCurve){.label = *label ? label : NULL,
                  .count = y->shape[0],
                  .x = x,
                  .y = strided(drawing, y, which),
                  .error = value->error && !exact ? strided(drawing, value->error, which) : NULL,
                  .style = style_of(value),
                  .color = color};
}

static void add_item(Drawing *drawing, const Item *items, int count, int i) {
  const Array *y = heights(&items[i]), *places = places_for(items, count, i);
  double *x = column(drawing, y->shape[0]);
  for (size_t k = 0; k < y->shape[0]; k++) x[k] = places ? places->data[k] : (double)k;
  for (size_t which = 0; which < curves_of(y); which++)
    add_curve(drawing, &items[i], x, which, color_of(items, i) + (int)which);
}

/* A check passes over what it does not know. */
static bool drawable(Eval *eval, const Item *items, int count) {
  for (int i = 0; i < count; i++) {
    const Value *value = items[i].value;
    bool empty = value->kind == VALUE_ARRAY && value->array->size == 0;
    if (value->kind != VALUE_ARRAY || (value->array->rank <= 2 && !empty)) continue;
    eval_error(eval, items[i].node->span, empty ? NULL : "choose a part of it: x[0], x[:, 0]",
               "cannot plot %s", value_describe(value));
    return false;
  }
  return true;
}

static Plot plot_of(Drawing *drawing, const Item *items, int count) {
  Plot plot = {0};
  const Value *first = items[0].value;
  if (count == 1 && first->kind == VALUE_ARRAY && first->array->rank == 2 && !times_of(first)) {
    plot.heat = first->array;
    plot.title = items[0].name;
    return plot;
  }
  bool timed = true, alike = true;
  for (int i = 0; i < count; i++) {
    add_item(drawing, items, count, i);
    timed &= items[i].value->kind != VALUE_CURVE && places_for(items, count, i);
    alike &= strcmp(quantity(&items[i]), quantity(&items[0])) == 0;
  }
  plot.x_label = timed ? "t" : NULL;
  plot.y_label = alike ? quantity(&items[0]) : NULL;
  plot.curves = drawing->curves;
  plot.curve_count = drawing->count;
  return plot;
}

static void apply_look(const PlotLook *look, Plot *plot) {
  if (look->title) plot->title = look->title;
  if (look->x_label) plot->x_label = look->x_label;
  if (look->y_label) plot->y_label = look->y_label;
  plot->x_log = look->x_log;
  plot->y_log = look->y_log;
}

static Status draw(const Dmf *dmf, const Item *items, int count, const PlotLook *look,
                   const char *target, char **why) {
  Drawing drawing = {0};
  Plot plot = plot_of(&drawing, items, count);
  apply_look(look, &plot);
  Status status = target ? plot_write(&plot, target, why) : plot_draw(&plot, dmf->results, why);
  drawing_free(&drawing);
  return status;
}

void draw_plot(Eval *eval, const Item *items, int count, const PlotLook *look, const char *path,
               Span span) {
  const Dmf *dmf = eval->host->self;
  if (!drawable(eval, items, count)) return;
  char *target = path ? files_target(eval, path, span) : NULL, *why = NULL;
  if (path && !target) return;
  Status status = target ? plot_check_target(target, &why) : STATUS_OK;
  if (status == STATUS_OK && !eval->dry) status = draw(dmf, items, count, look, target, &why);
  if (status != STATUS_OK)
    eval_fail(eval, status, span, NULL, "%s", why ? why : "the plot could not be drawn");
  free(why);
  free(target);
}
