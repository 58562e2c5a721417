/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "output/text.h"
#include "base/memory.h"
#include "base/plain.h"
#include "num/arrayops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

int text_columns(FILE *stream) {
  struct winsize size = {0};
  return ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

static int characters(const char *text, size_t length) {
  int count = 0;
  for (size_t i = 0; i < length; i++) count += ((unsigned char)text[i] & 0xc0) != 0x80;
  return count;
}

void text_wrap(FILE *out, const char *text, int indent, int columns) {
  int column = 0;
  for (text += strspn(text, " "); *text; text += strspn(text, " ")) {
    size_t length = strcspn(text, " ");
    int width = characters(text, length);
    bool fits = column > 0 && column + 1 + width <= columns;
    if (fits)
      fputc(' ', out);
    else
      fprintf(out, "%s%*s", column ? "\n" : "", indent, "");
    column = (fits ? column + 1 : indent) + width;
    fwrite(text, 1, length, out);
    text += length;
  }
  fputc('\n', out);
}

int text_lines(FILE *stream) {
  struct winsize size = {0};
  return ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_row > 0 ? size.ws_row : 24;
}

/* Prints at most `room` bytes of a text, and "..." in place of what is cut. */
static void put_cut(FILE *out, const char *text, int room) {
  int length = (int)strlen(text);
  if (length <= room)
    fputs(text, out);
  else if (room > 3)
    fprintf(out, "%.*s...", room - 3, text);
}

/* "f", "Phi[2]", or "Phi[1..2]" for all layers of one name. To be freed. */
static char *field_name(const ResultField *field, int layers) {
  if (!field->layer) return mem_string(field->name);
  return layers > 1 ? mem_format("%s[1..%d]", field->name, layers)
                    : mem_format("%s[%d]", field->name, field->layer);
}

/* Comparison */

static void put_z(FILE *out, double z) {
  if (isfinite(z))
    fprintf(out, "  %9.2f", z);
  else
    fprintf(out, "  %9s", "-");
}

static bool is_summary(const ResultField *field) {
  return field->value && field->value->size == 3 && strcmp(field->axes, "summary") == 0;
}

static void put_comparison(FILE *out, const Result *result) {
  fprintf(out, "%-12s  %12s  %9s  %9s", "", "max |a - b|", "rms z", "max |z|");
  for (int i = 0; i < result->field_count; i++) {
    const ResultField *field = &result->fields[i];
    if (!is_summary(field)) continue;
    char *name = field_name(field, 0);
    fprintf(out, "\n%-12s  %12.4g", name, field->value->data[0]);
    put_z(out, field->value->data[1]);
    put_z(out, field->value->data[2]);
    free(name);
  }
}

/* Card */

/* Attributes are texts with 17 digits where they are numbers; people are shown fewer. */
static void put_attribute(FILE *out, const ResultAttribute *attribute, int columns) {
  char *end;
  double value = strtod(attribute->value, &end);
  if (strchr(attribute->value, '\n')) return;
  fprintf(out, "\n  %-12s", attribute->name);
  if (end == attribute->value || *end || fabs(value) >= 1e6)
    put_cut(out, attribute->value, columns - 15);
  else
    fprintf(out, "%.6g", plain_number(value));
}

static void put_heading(FILE *out, const Result *result) {
  const char *model = result_attribute(result, "model"),
             *training = result_attribute(result, "training");
  fputs(result->kind, out);
  if (model) fprintf(out, " of %s", model);
  if (training) fprintf(out, " trained by %s", training);
  if (result->exact) fputs(" (exact)", out);
}

static bool in_heading(const ResultAttribute *attribute) {
  return strcmp(attribute->name, "model") == 0 || strcmp(attribute->name, "training") == 0;
}

static void put_final_loss(FILE *out, const Result *result) {
  const ResultField *loss = result_find(result, "loss", 0);
  if (!loss || !loss->value || !loss->value->size) return;
  size_t last = loss->value->size - 1;
  fprintf(out, "\n  %-12s%.6g", "final loss", plain_number(loss->value->data[last]));
  if (loss->error && loss->error->data[last] > 0) fprintf(out, " ± %.2g", loss->error->data[last]);
}

/* The largest standard error of the output. */
static void put_error(FILE *out, const Result *result) {
  const ResultField *f = result_find(result, "f", 0);
  double most = 0;
  for (size_t i = 0; f && f->error && i < f->error->size; i++) most = fmax(most, f->error->data[i]);
  if (most > 0) fprintf(out, "\n  %-12sf ± %.2g or less", "error", most);
}

static void put_field(FILE *out, const Result *result, const ResultField *field, int columns) {
  char shape[ARRAY_SHAPE_TEXT] = "when asked for";
  char *name = field_name(field, result_layers(result, field->name));
  if (field->value) array_shape_text(field->value, shape);
  fprintf(out, "\n  %-16s  %-18s  ", name, shape);
  put_cut(out, field->about, columns - 40);
  free(name);
}

static void put_card(FILE *out, const Result *result, int columns) {
  put_heading(out, result);
  for (int i = 0; i < result->attribute_count; i++)
    if (!in_heading(&result->attributes[i])) put_attribute(out, &result->attributes[i], columns);
  put_final_loss(out, result);
  put_error(out, result);
  fprintf(out, "\n  %-16s  shape", "field");
  for (int i = 0; i < result->field_count; i++)
    if (result->fields[i].layer <= 1) put_field(out, result, &result->fields[i], columns);
}

char *text_result(const Result *result, int columns) {
  char *text = NULL;
  size_t length;
  FILE *out = mem_stream(&text, &length);
  if (!out) return mem_string(result->kind);
  if (strcmp(result->kind, "compare") == 0)
    put_comparison(out, result);
  else
    put_card(out, result, columns);
  mem_stream_end(out);
  return text;
}
