/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/memory.h"
#include "file/file.h"
#include "file/io.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Reading */

/* A stretch of the file's text. */
typedef struct Piece {
  const char *begin, *end;
} Piece;

typedef struct Reader {
  const char *path;
  const char *at, *end;
  size_t line;    /* number of the line last read, from 1 */
  char separator; /* ' ' stands for runs of blanks and tabs */
} Reader;

static Piece trim(Piece p) {
  while (p.begin < p.end && isspace((unsigned char)*p.begin)) p.begin++;
  while (p.begin < p.end && isspace((unsigned char)p.end[-1])) p.end--;
  return p;
}

/* The next line that is not blank or a comment, without either; false at the end. */
static bool next_line(Reader *r, Piece *line) {
  while (r->at < r->end) {
    const char *stop = memchr(r->at, '\n', (size_t)(r->end - r->at));
    if (!stop) stop = r->end;
    const char *comment = memchr(r->at, '#', (size_t)(stop - r->at));
    *line = trim((Piece){r->at, comment ? comment : stop});
    r->at = stop < r->end ? stop + 1 : stop;
    r->line++;
    if (line->begin < line->end) return true;
  }
  return false;
}

/* Cuts the first field off a line; false when none is left. After the last field `begin` is NULL.
 */
static bool next_field(const Reader *r, Piece *line, Piece *field) {
  if (!line->begin) return false;
  const char *stop = line->begin;
  bool blank = r->separator == ' ';
  while (stop < line->end && (blank ? !isspace((unsigned char)*stop) : *stop != r->separator))
    stop++;
  *field = trim((Piece){line->begin, stop});
  if (field->end - field->begin >= 2 && *field->begin == '"' && field->end[-1] == '"')
    *field = trim((Piece){field->begin + 1, field->end - 1});
  line->begin = stop < line->end ? stop + 1 : NULL;
  while (blank && line->begin && isspace((unsigned char)*line->begin)) line->begin++;
  return true;
}

static char separator_of(Piece line) {
  size_t length = (size_t)(line.end - line.begin);
  return memchr(line.begin, ';', length) ? ';' : memchr(line.begin, ',', length) ? ',' : ' ';
}

/* The text is terminated, and a field is followed by a separator, a line's end or that terminator,
 * none of which belongs to a number. */
static bool read_number(Piece field, double *value) {
  char *stop;
  if (field.begin == field.end) return false;
  *value = strtod(field.begin, &stop);
  return stop == field.end;
}

static size_t count_fields(const Reader *r, Piece line) {
  size_t count = 0;
  Piece field;
  while (next_field(r, &line, &field)) count++;
  return count;
}

static bool is_header(const Reader *r, Piece line) {
  Piece field;
  double value;
  while (next_field(r, &line, &field))
    if (read_number(field, &value)) return false;
  return true;
}

static Status bad_field(const Reader *r, size_t column, Piece field, const char *what, char **why) {
  int shown = field.end - field.begin < 24 ? (int)(field.end - field.begin) : 24;
  return file_fail(why, r->path, STATUS_FILE, "line %zu, column %zu: '%.*s' %s", r->line,
                   column + 1, shown, field.begin, what);
}

static Status read_row(const Reader *r, Piece line, size_t columns, double *row, char **why) {
  size_t count = count_fields(r, line);
  if (count != columns)
    return file_fail(why, r->path, STATUS_FILE,
                     "line %zu has %zu fields, the lines before have %zu", r->line, count, columns);
  Piece field;
  for (size_t i = 0; next_field(r, &line, &field); i++) {
    if (!read_number(field, &row[i])) return bad_field(r, i, field, "is not a number", why);
    if (!isfinite(row[i])) return bad_field(r, i, field, "is not finite", why);
  }
  return STATUS_OK;
}

/* Stands before the first row of numbers, which it leaves to be read. */
static Status begin(Reader *r, size_t *columns, char **why) {
  Piece line;
  Reader before = *r;
  if (!next_line(r, &line))
    return file_fail(why, r->path, STATUS_FILE, "the file holds no numbers");
  before.separator = r->separator = separator_of(line);
  if (is_header(r, line)) {
    before = *r;
    if (!next_line(r, &line))
      return file_fail(why, r->path, STATUS_FILE, "the file holds no numbers below its header");
    before.separator = separator_of(line);
  }
  *r = before;
  *columns = count_fields(r, line);
  return STATUS_OK;
}

static size_t count_lines(Reader r) {
  size_t count = 0;
  Piece line;
  while (next_line(&r, &line)) count++;
  return count;
}

static Status read_rows(Reader *r, Array **array, char **why) {
  size_t columns = 0;
  Status status = begin(r, &columns, why);
  if (status) return status;
  size_t shape[2] = {count_lines(*r), columns};
  status = file_new_array(r->path, columns == 1 ? 1 : 2, shape, array, why);
  Piece line;
  for (double *row = status ? NULL : (*array)->data; !status && next_line(r, &line); row += columns)
    status = read_row(r, line, columns, row, why);
  return status;
}

static Status read_csv(const char *path, FileBytes bytes, Array **array, char **why) {
  const char *text = (const char *)bytes.data;
  size_t mark = bytes.length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
  Reader reader = {.path = path, .at = text + mark, .end = text + bytes.length};
  if (strlen(text) < bytes.length)
    return file_fail(why, path, STATUS_FILE, "byte %zu is zero: this is not text", strlen(text));
  return read_rows(&reader, array, why);
}

Status file_read_csv(const char *path, Array **array, char **why) {
  return file_read(path, read_csv, array, why);
}

/* Writing */

typedef struct Table {
  const char *name;
  const Array *array;
} Table;

/* What can stand in a header, which holds no number; an expression cannot. */
static const char *column_name(const char *name) {
  double number;
  const char *end = name;
  while (isalnum((unsigned char)*end) || *end == '_' || *end == '.') end++;
  bool plain = isalpha((unsigned char)*name) && !*end;
  return plain && !read_number((Piece){name, end}, &number) ? name : "x";
}

static Status put_rows(FILE *stream, void *context, char **why) {
  (void)why;
  const Table *table = context;
  const Array *a = table->array;
  const char *name = column_name(table->name);
  size_t columns = a->rank == 2 ? a->shape[1] : 1;
  if (a->rank < 2) fprintf(stream, "%s\n", name);
  for (size_t j = 0; a->rank == 2 && j < columns; j++)
    fprintf(stream, "%s_%zu%c", name, j, j + 1 < columns ? ',' : '\n');
  for (size_t i = 0; i < a->size; i++)
    fprintf(stream, "%.17g%c", a->data[i], (i + 1) % columns ? ',' : '\n');
  return STATUS_OK;
}

Status file_write_array_csv(const char *path, const char *name, const Array *array, char **why) {
  return file_replace_stream(path, put_rows, &(Table){name, array}, why);
}

/* Axes of curves in t: "t", "t,POINTS" or "t,POINTS,c", but not those of kernels, which have two
 * axes of points, and of two-time fields. */
static bool are_curve_axes(const char *axes) {
  if (strcmp(axes, "t") == 0) return true;
  if (strncmp(axes, "t,", 2) != 0) return false;
  const char *third = strchr(axes + 2, ',');
  return !third || strcmp(third, ",c") == 0;
}

/* Curves of as many times as this result has. */
static bool belongs(const ResultField *field, size_t times) {
  const Array *a = field->value;
  return a && a->rank > 0 && a->shape[0] == times && are_curve_axes(field->axes);
}

static void put_column_name(FILE *stream, const char *prefix, const ResultField *field, size_t k) {
  const Array *a = field->value;
  fprintf(stream, "%s%s", prefix, field->name);
  if (field->layer) fprintf(stream, "_%d", field->layer);
  size_t below = a->size / a->shape[0];
  for (int axis = 1; axis < a->rank; axis++) {
    below /= a->shape[axis];
    fprintf(stream, "_%zu", k / below % a->shape[axis]);
  }
}

static void put_names(FILE *stream, const ResultField *field) {
  size_t width = field->value->size / field->value->shape[0];
  for (size_t k = 0; k < width; k++) {
    fputc(',', stream);
    put_column_name(stream, "", field, k);
    if (!field->error) continue;
    fputc(',', stream);
    put_column_name(stream, "stderr_", field, k);
  }
}

static void put_values(FILE *stream, const ResultField *field, size_t time) {
  size_t width = field->value->size / field->value->shape[0];
  for (size_t k = time * width; k < (time + 1) * width; k++) {
    fprintf(stream, ",%.17g", field->value->data[k]);
    if (field->error) fprintf(stream, ",%.17g", field->error->data[k]);
  }
}

static Status put_curves(FILE *stream, void *context, char **why) {
  (void)why;
  const Result *result = context;
  const ResultField *t = result_find(result, "t", 0);
  fputs("t", stream);
  for (int i = 0; i < result->field_count; i++)
    if (&result->fields[i] != t && belongs(&result->fields[i], t->value->size))
      put_names(stream, &result->fields[i]);
  for (size_t time = 0; time < t->value->size; time++) {
    fprintf(stream, "\n%.17g", t->value->data[time]);
    for (int i = 0; i < result->field_count; i++)
      if (&result->fields[i] != t && belongs(&result->fields[i], t->value->size))
        put_values(stream, &result->fields[i], time);
  }
  fputc('\n', stream);
  return STATUS_OK;
}

Status file_write_result_csv(const char *path, Result *result, char **why) {
  const ResultField *t = result_find(result, "t", 0);
  if (!t || !t->value || !t->value->size)
    return file_fail(why, path, STATUS_FILE, "a %s result has no curves for .csv: use .h5 or .json",
                     result->kind);
  return file_replace_stream(path, put_curves, result, why);
}
