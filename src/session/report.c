/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A page about results: whether they agree, what was solved, and how it looks. */
#include "output/report.h"
#include "base/memory.h"
#include "file/io.h"
#include "output/figure.h"
#include "output/html.h"
#include "output/mathml.h"
#include "session/session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of so many numbers hardly one lies farther apart by chance, in units of the errors. */
static const double FAR = 5;
/* Points of a field that are drawn, and points and times of a kernel. */
enum { MOST_POINTS = 4, MOST_ROWS = 24, MOST_TIMES = 25 };

typedef struct Report {
  Eval *eval;
  const Item *items;
  int count;
  FILE *out;
} Report;

static Result *result_of(const Report *report, int i) { return report->items[i].value->result; }

static bool is_kind(const Result *result, const char *kind) {
  return strcmp(result->kind, kind) == 0;
}

/* Verdict */

/* The largest deviation of a comparison in units of its error, and the field it is of. */
static double farthest(const Result *comparison, const char **field) {
  double most = 0;
  *field = "";
  for (int i = 0; i < comparison->field_count; i++) {
    double z = comparison->fields[i].value->data[2];
    if (!isfinite(z) || z <= most) continue;
    most = z;
    *field = comparison->fields[i].name;
  }
  return most;
}

static void put_pair(const Report *report, int i, int k) {
  Result *comparison = solver_compared(report->eval, result_of(report, i), result_of(report, k));
  if (!comparison) return;
  const char *field, *a = report->items[i].name, *b = report->items[k].name;
  double z = farthest(comparison, &field);
  fprintf(report->out, "<p class=\"%s\"><strong>", z < FAR ? "good" : "bad");
  html_escape(report->out, a);
  fputs(" and ", report->out);
  html_escape(report->out, b);
  if (z < FAR)
    fprintf(report->out,
            " agree within their errors</strong>: the largest deviation, of %s, is %.1f", field, z);
  else
    fprintf(report->out, " differ</strong>: %s deviates by %.1f", field, z);
  fputs(" standard errors.</p>\n", report->out);
  char *table = html_result(comparison);
  fputs(table, report->out);
  free(table);
  result_drop(comparison);
}

static void put_verdict(const Report *report) {
  fputs("<h2>Theory and networks</h2>\n", report->out);
  for (int i = 0; i < report->count; i++)
    for (int k = 0; k < report->count; k++)
      if (!is_kind(result_of(report, i), "simulate") && is_kind(result_of(report, k), "simulate"))
        put_pair(report, i, k);
}

/* Curves */

/* The field of a result as an item, of some axes only its point; false where it has none. */
static bool item_of(const Report *report, int i, const char *name, int layer, int point,
                    Item *item) {
  Result *result = result_of(report, i);
  Value *value = view_field(report->eval, result, name, layer);
  if (!value || value->kind != VALUE_ARRAY) return false;
  const Subscript list[] = {{.kind = SUBSCRIPT_SLICE}, {.kind = SUBSCRIPT_AT, .at = point}};
  if (value->array->rank == 2 && point >= 0 && (size_t)point < value->array->shape[1])
    value = eval_part(report->eval, (Span){0}, value, 2, list, true);
  if (value->kind != VALUE_ARRAY || value->array->rank != 1) return false;
  char *index = layer ? mem_format("[%d]", layer) : mem_string("");
  char *text = point < 0 ? mem_format("%s.%s%s", report->items[i].name, name, index)
                         : mem_format("%s.%s%s[:, %d]", report->items[i].name, name, index, point);
  item->name = value_string(&report->eval->heap, text)->string;
  item->value = value;
  free(text);
  free(index);
  return true;
}

/* A figure of what all results have under this name. */
static void put_curves(const Report *report, const char *name, int layer, int points) {
  Item *items = mem_new((size_t)report->count * (size_t)points, sizeof *items);
  int count = 0;
  for (int point = points > 1 ? 0 : -1; point < (points > 1 ? points : 0); point++)
    for (int i = 0; i < report->count; i++)
      count += item_of(report, i, name, layer, point, &items[count]);
  if (count) draw_figure(&(PlotPart){.items = items, .count = count}, report->out);
  free(items);
}

/* Each field once, in the order of the results: over time, and of some points. */
static void put_all_curves(const Report *report) {
  fputs("<h2>Curves</h2>\n<div class=\"figures\">\n", report->out);
  for (int i = 0; i < report->count; i++) {
    const Result *result = result_of(report, i);
    for (int k = 0; k < result->field_count; k++) {
      const ResultField *field = &result->fields[k];
      bool seen = strcmp(field->name, "t") == 0 || !field->value || field->axes[0] != 't' ||
                  strncmp(field->name, "cov_", 4) == 0;
      for (int j = 0; j < i; j++)
        seen |= result_find(result_of(report, j), field->name, field->layer) != NULL;
      if (seen || field->value->rank > 2) continue;
      size_t points = field->value->rank == 2 ? field->value->shape[1] : 1;
      put_curves(report, field->name, field->layer,
                 points == 1 && field->value->rank == 2 ? 1 : (int)fmin(points, MOST_POINTS));
    }
  }
  fputs("</div>\n", report->out);
}

/* Kernels */

/* At equal times, of some points: [times, n, n]; NULL when the field is no kernel, or without
 * memory. */
static Array *maps_of(const ResultField *field, const Array *t, double *times) {
  const Array *a = field->value;
  bool one = a->rank == 3 && a->shape[1] == a->shape[2],
       two = a->rank == 4 && a->shape[0] == a->shape[2] && a->shape[1] == a->shape[3];
  if ((!one && !two) || field->axes[0] != 't' || a->shape[0] != t->size) return NULL;
  size_t steps = a->shape[0], all = a->shape[1], n = all < MOST_ROWS ? all : MOST_ROWS;
  size_t count = steps < MOST_TIMES ? steps : MOST_TIMES, shape[] = {count, n, n};
  Array *maps = array_new(3, shape);
  for (size_t k = 0; maps && k < count; k++) {
    size_t at = count > 1 ? k * (steps - 1) / (count - 1) : 0;
    times[k] = t->data[at];
    const double *from = a->data + (two ? at * all * steps * all + at * all : at * all * all);
    for (size_t i = 0; i < n; i++)
      for (size_t j = 0; j < n; j++)
        maps->data[(k * n + i) * n + j] = from[(two ? i * steps * all : i * all) + j];
  }
  return maps;
}

static void put_kernels(const Report *report) {
  fputs("<h2>Kernels over time</h2>\n<div class=\"figures\">\n", report->out);
  for (int i = 0; i < report->count; i++) {
    const Result *result = result_of(report, i);
    const ResultField *t = result_find(result, "t", 0);
    for (int k = 0; k < result->field_count && t && t->value; k++) {
      const ResultField *field = &result->fields[k];
      double times[MOST_TIMES];
      bool kernel = strcmp(field->name, "ntk") == 0 || strcmp(field->name, "Phi") == 0 ||
                    strcmp(field->name, "G") == 0;
      Array *maps = field->value && kernel ? maps_of(field, t->value, times) : NULL;
      if (!maps) continue;
      char *title = field->layer
                        ? mem_format("%s.%s[%d]", report->items[i].name, field->name, field->layer)
                        : mem_format("%s.%s", report->items[i].name, field->name);
      figure_maps(report->out, title, maps, times);
      free(title);
      array_drop(maps);
    }
  }
  fputs("</div>\n", report->out);
}

/* The page */

static void put_equations(const Report *report) {
  for (int i = 0; i < report->count; i++) {
    char *latex = solver_equations(result_of(report, i));
    if (!latex) continue;
    fputs("<h2>Equations of ", report->out);
    html_escape(report->out, report->items[i].name);
    fputs("</h2>\n", report->out);
    mathml_write(report->out, latex);
    free(latex);
  }
}

static void put_cards(const Report *report) {
  fputs("<h2>Results</h2>\n", report->out);
  for (int i = 0; i < report->count; i++) {
    char *card = html_result(result_of(report, i));
    fputs("<h3>", report->out);
    html_escape(report->out, report->items[i].name);
    fprintf(report->out, "</h3>\n%s\n", card);
    free(card);
  }
}

static Status write_page(FILE *stream, void *context, char **why) {
  Report *report = context;
  const Dmf *dmf = report->eval->host->self;
  const char *model = result_attribute(result_of(report, 0), "model");
  char *title = mem_format("dmf: %s", model ? model : result_of(report, 0)->kind);
  (void)why;
  report->out = stream;
  report_begin(stream, title);
  put_verdict(report);
  put_all_curves(report);
  put_kernels(report);
  put_equations(report);
  put_cards(report);
  fputs("<h2>Script</h2>\n", stream);
  char *script = html_text(dmf->text ? dmf->text->text : "");
  fprintf(stream, "%s\n<p>dmf %s</p>\n", script, dmf_version());
  free(script);
  report_end(stream);
  free(title);
  return STATUS_OK;
}

void report_results(Eval *eval, const Item *items, int count, const char *path, Span span) {
  const char *extension = file_extension(path);
  if (strcmp(extension, "html") != 0) {
    eval_fail(eval, STATUS_FILE, span, "such as \"report.html\"",
              "a report is a page: '%s' does not end in .html", path);
    return;
  }
  char *target = files_target(eval, path, span), *why = NULL;
  Status status = STATUS_OK;
  for (int i = 0; target && !eval->dry && i < count && status == STATUS_OK; i++)
    status = session_complete_small(eval, items[i].value->result, &why);
  Report report = {eval, items, count, NULL};
  if (target && !eval->dry && status == STATUS_OK)
    status = file_replace_stream(target, write_page, &report, &why);
  if (status != STATUS_OK)
    eval_fail(eval, status, span, NULL, "%s", why ? why : "the report could not be written");
  else if (target && !eval->dry)
    files_tell(eval->host->self, target);
  free(why);
  free(target);
}
