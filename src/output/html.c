/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "output/html.h"
#include "base/memory.h"
#include "base/plain.h"
#include "num/arrayops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void html_escape(FILE *out, const char *text) {
  for (; *text; text++) switch (*text) {
    case '&': fputs("&amp;", out); break;
    case '<': fputs("&lt;", out); break;
    case '>': fputs("&gt;", out); break;
    case '"': fputs("&quot;", out); break;
    default: fputc(*text, out);
    }
}

char *html_text(const char *text) {
  char *html = NULL;
  size_t length;
  FILE *out = mem_stream(&html, &length);
  if (!out) return mem_string("");
  fputs("<pre>", out);
  html_escape(out, text);
  fputs("</pre>", out);
  mem_stream_end(out);
  return html;
}

static void put_row(FILE *out, const char *name, const char *value) {
  fputs("<tr><th style=\"text-align:left\">", out);
  html_escape(out, name);
  fputs("</th><td style=\"text-align:left\">", out);
  html_escape(out, value);
  fputs("</td></tr>\n", out);
}

/* Attributes are texts with 17 digits where they are numbers; people are shown fewer. */
static void put_attribute(FILE *out, const ResultAttribute *attribute) {
  char *end;
  double value = strtod(attribute->value, &end);
  if (strchr(attribute->value, '\n')) return;
  bool number = end != attribute->value && !*end && fabs(value) < 1e6;
  char *text = number ? mem_format("%.6g", plain_number(value)) : mem_string(attribute->value);
  put_row(out, attribute->name, text);
  free(text);
}

static void put_loss(FILE *out, const Result *result) {
  const ResultField *loss = result_find(result, "loss", 0);
  if (!loss || !loss->value || !loss->value->size) return;
  size_t last = loss->value->size - 1;
  bool sampled = loss->error && loss->error->data[last] > 0;
  char *error = sampled ? mem_format(" ± %.2g", loss->error->data[last]) : mem_string("");
  char *text = mem_format("%.6g%s", plain_number(loss->value->data[last]), error);
  put_row(out, "final loss", text);
  free(error);
  free(text);
}

static void put_fields(FILE *out, const Result *result) {
  fputs("<details><summary>fields</summary><table>\n", out);
  for (int i = 0; i < result->field_count; i++) {
    const ResultField *field = &result->fields[i];
    char shape[ARRAY_SHAPE_TEXT] = "when asked for";
    if (field->layer > 1) continue;
    if (field->value) array_shape_text(field->value, shape);
    int layers = result_layers(result, field->name);
    char *name = layers ? mem_format("%s[1..%d]", field->name, layers) : mem_string(field->name);
    char *text = mem_format("%s  %s", shape, field->about);
    put_row(out, name, text);
    free(name);
    free(text);
  }
  fputs("</table></details>\n", out);
}

static void put_card(FILE *out, const Result *result) {
  const char *model = result_attribute(result, "model"),
             *training = result_attribute(result, "training");
  fputs("<strong>", out);
  html_escape(out, result->kind);
  fputs("</strong>", out);
  if (model) fputs(" of <strong>", out), html_escape(out, model), fputs("</strong>", out);
  if (training)
    fputs(" trained by <strong>", out), html_escape(out, training), fputs("</strong>", out);
  fputs(result->exact ? " (exact)\n<table>\n" : "\n<table>\n", out);
  for (int i = 0; i < result->attribute_count; i++) {
    const char *name = result->attributes[i].name;
    if (strcmp(name, "model") != 0 && strcmp(name, "training") != 0)
      put_attribute(out, &result->attributes[i]);
  }
  put_loss(out, result);
  fputs("</table>\n", out);
  put_fields(out, result);
}

static void put_cell(FILE *out, double number, const char *format) {
  fputs("<td style=\"text-align:right\">", out);
  if (isfinite(number))
    fprintf(out, format, number);
  else
    fputc('-', out);
  fputs("</td>", out);
}

static void put_comparison(FILE *out, const Result *result) {
  fputs("<table>\n<tr><th></th><th>max |a &minus; b|</th><th>rms z</th><th>max |z|</th></tr>\n",
        out);
  for (int i = 0; i < result->field_count; i++) {
    const ResultField *field = &result->fields[i];
    if (!field->value || field->value->size != 3 || strcmp(field->axes, "summary") != 0) continue;
    fputs("<tr><th style=\"text-align:left\">", out);
    html_escape(out, field->name);
    if (field->layer) fprintf(out, "[%d]", field->layer);
    fputs("</th>", out);
    put_cell(out, field->value->data[0], "%.4g");
    put_cell(out, field->value->data[1], "%.2f");
    put_cell(out, field->value->data[2], "%.2f");
    fputs("</tr>\n", out);
  }
  fputs("</table>\n", out);
}

char *html_result(const Result *result) {
  char *html = NULL;
  size_t length;
  FILE *out = mem_stream(&html, &length);
  if (!out) return mem_string(result->kind);
  fputs("<div>\n", out);
  if (strcmp(result->kind, "compare") == 0)
    put_comparison(out, result);
  else
    put_card(out, result);
  fputs("</div>", out);
  mem_stream_end(out);
  return html;
}
