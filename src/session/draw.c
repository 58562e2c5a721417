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

/* The times of the result that the value was read from, when its first axis is time. */
static const Array *times_of(const Value *value) {
  const ResultField *field = value->source ? result_find(value->source, "t", 0) : NULL;
  const Array *t = field ? field->value : NULL;
  return t && t->rank == 1 && t->size == value->array->shape[0] ? t : NULL;
}

/* A plain array goes along with the times of the fields it is drawn with. */
static const Array *times_for(const Item *items, int count, int i) {
  const Array *own = times_of(items[i].value);
  for (int k = 0; !own && k < count; k++) {
    const Array *t = times_of(items[k].value);
    if (t && t->size == items[i].value->array->shape[0]) own = t;
  }
  return own;
}

/* What is drawn, whoever computed it: "loss" of theory.loss and nets.loss. */
static const char *quantity(const Item *item) {
  const char *dot = strchr(item->name, '.');
  return dot && !item->labelled ? dot + 1 : item->name;
}

static size_t curves_of(const Array *array) { return array->rank == 2 ? array->shape[1] : 1; }

/* The colour of an item's first curve: that of the first item of the same quantity. */
static int color_of(const Item *items, int i) {
  int color = 1;
  for (int k = 0; k < i; k++) {
    if (strcmp(quantity(&items[k]), quantity(&items[i])) == 0) return color;
    color += (int)curves_of(items[k].value->array);
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

static void add_curve(Drawing *drawing, const Item *item, const double *x, size_t which,
                      int color) {
  const Value *value = item->value;
  size_t width = curves_of(value->array), count = (size_t)drawing->count + 1;
  drawing->curves = mem_grow(drawing->curves, count * sizeof *drawing->curves);
  drawing->labels = mem_grow(drawing->labels, count * sizeof *drawing->labels);
  char *label = width > 1 ? mem_format("%s, %zu", item->name, which) : mem_string(item->name);
  drawing->labels[drawing->count] = label;
  bool networks = value->source && strcmp(value->source->kind, "simulate") == 0;
  bool exact = value->source && value->source->exact;
  drawing->curves[drawing->count++] =
      (PlotCurve){.label = label,
                  .count = value->array->shape[0],
                  .x = x,
                  .y = strided(drawing, value->array, which),
                  .error = value->error && !exact ? strided(drawing, value->error, which) : NULL,
                  .style = networks ? PLOT_POINTS : PLOT_LINE,
                  .color = color};
}

static void add_item(Drawing *drawing, const Item *items, int count, int i) {
  const Array *array = items[i].value->array, *t = times_for(items, count, i);
  double *x = column(drawing, array->shape[0]);
  for (size_t k = 0; k < array->shape[0]; k++) x[k] = t ? t->data[k] : (double)k;
  for (size_t which = 0; which < curves_of(array); which++)
    add_curve(drawing, &items[i], x, which, color_of(items, i) + (int)which);
}

static bool drawable(Eval *eval, const Item *items, int count) {
  for (int i = 0; i < count; i++) {
    const Array *array = items[i].value->array;
    if (array->rank <= 2 && array->size > 0) continue;
    eval_error(eval, items[i].node->span, "choose a part of it: x[0], x[:, 0]", "cannot plot %s",
               value_describe(items[i].value));
    return false;
  }
  return true;
}

static Plot plot_of(Drawing *drawing, const Item *items, int count) {
  Plot plot = {0};
  const Value *first = items[0].value;
  if (count == 1 && first->array->rank == 2 && !times_of(first)) {
    plot.heat = first->array;
    plot.title = items[0].name;
    return plot;
  }
  bool timed = true, alike = true;
  for (int i = 0; i < count; i++) {
    add_item(drawing, items, count, i);
    timed &= times_for(items, count, i) != NULL;
    alike &= strcmp(quantity(&items[i]), quantity(&items[0])) == 0;
  }
  plot.x_label = timed ? "t" : NULL;
  plot.y_label = alike ? quantity(&items[0]) : NULL;
  plot.curves = drawing->curves;
  plot.curve_count = drawing->count;
  return plot;
}

void draw_plot(Eval *eval, const Item *items, int count, const char *path, Span span) {
  const Dmf *dmf = eval->host->self;
  if (!drawable(eval, items, count)) return;
  char *target = path ? files_target(eval, path, span) : NULL, *why = NULL;
  if (path && !target) return;
  Drawing drawing = {0};
  Plot plot = plot_of(&drawing, items, count);
  Status status = target ? plot_write(&plot, target, &why) : plot_draw(&plot, dmf->results, &why);
  if (status != STATUS_OK)
    eval_fail(eval, status, span, NULL, "%s", why ? why : "the plot could not be drawn");
  free(why);
  free(target);
  drawing_free(&drawing);
}
