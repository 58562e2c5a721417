/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/memory.h"
#include "base/plain.h"
#include "base/work.h"
#include "file/file.h"
#include "file/io.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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

/* The first of this character (' ' stands for any white space) outside quotes, or the end. */
static const char *find(Piece p, char wanted) {
  for (const char *at = p.begin; at < p.end; at++) {
    const char *close = *at == '"' ? memchr(at + 1, '"', (size_t)(p.end - at - 1)) : NULL;
    if (close)
      at = close;
    else if (wanted == ' ' ? isspace((unsigned char)*at) : *at == wanted)
      return at;
  }
  return p.end;
}

/* The next line that is not blank or a comment, without either; false at the end. */
static bool next_line(Reader *r, Piece *line) {
  while (r->at < r->end) {
    const char *stop = memchr(r->at, '\n', (size_t)(r->end - r->at));
    if (!stop) stop = r->end;
    *line = trim((Piece){r->at, find((Piece){r->at, stop}, '#')});
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
  const char *stop = find(*line, r->separator);
  *field = trim((Piece){line->begin, stop});
  if (field->end - field->begin >= 2 && *field->begin == '"' && field->end[-1] == '"')
    *field = trim((Piece){field->begin + 1, field->end - 1});
  line->begin = stop < line->end ? stop + 1 : NULL;
  bool blank = r->separator == ' ';
  while (blank && line->begin && isspace((unsigned char)*line->begin)) line->begin++;
  return true;
}

static char separator_of(Piece line) {
  return find(line, ';') < line.end ? ';' : find(line, ',') < line.end ? ',' : ' ';
}

/* Fortran's numbers have a D before the exponent; `letter` is where it stands. */
static bool read_fortran(Piece field, const char *letter, double *value) {
  if (letter == field.begin || letter == field.end || !strchr("dD", *letter) ||
      !(isdigit((unsigned char)letter[-1]) || letter[-1] == '.'))
    return false;
  char *text = mem_format("%.*s", (int)(field.end - field.begin), field.begin), *stop;
  text[letter - field.begin] = 'e';
  *value = strtod(text, &stop);
  bool good = !*stop;
  free(text);
  return good;
}

/* strtod knows 0x10 and nan(7) as well, which are no numbers of scripts either. */
static bool is_foreign(Piece field) {
  for (const char *c = field.begin; c < field.end; c++)
    if (*c == 'x' || *c == 'X' || *c == '(') return true;
  return false;
}

/* The text is terminated, and a field is followed by a separator, a line's end or that terminator,
 * none of which belongs to a number. */
static bool read_number(Piece field, double *value) {
  char *stop;
  if (field.begin == field.end || is_foreign(field)) return false;
  *value = strtod(field.begin, &stop);
  return stop == field.end || read_fortran(field, stop, value);
}

static size_t count_fields(const Reader *r, Piece line) {
  size_t count = 0;
  Piece field;
  while (work_goes_on(count) && next_field(r, &line, &field)) count++;
  return count;
}

/* Headers */

/* What tables hold in place of a number. */
static bool is_value(Piece field) {
  static const char *const words[] = {"na",  "n/a",     "null", "none", "nil",
                                      "nat", "missing", "true", "false"};
  size_t length = (size_t)(field.end - field.begin);
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (strlen(words[i]) == length && strncasecmp(words[i], field.begin, length) == 0) return true;
  return false;
}

/* The name of a column begins with a letter or '_'. Letters outside ASCII are told by the first
 * byte of their UTF-8: Latin to Hebrew, and those of East Asia; signs such as a minus are not
 * among them. */
static bool is_name(Piece field) {
  if (field.begin == field.end || is_value(field)) return false;
  unsigned char c = (unsigned char)*field.begin;
  return isalpha(c) || c == '_' || (c >= 0xc3 && c <= 0xd7) || (c >= 0xe3 && c <= 0xed);
}

static Status bad_field(const Reader *r, size_t column, Piece field, const char *what, char **why) {
  int shown = field.end - field.begin < 24 ? (int)(field.end - field.begin) : 24;
  return file_fail(why, r->path, STATUS_FILE, "line %zu, column %zu: '%.*s' %s", r->line,
                   column + 1, shown, field.begin, what);
}

/* Whether it is a number but for commas. */
static bool has_commas(Piece field) {
  double value;
  char text[64] = "", *to = text; /* no number is longer */
  if (field.end - field.begin >= (ptrdiff_t)sizeof text) return false;
  for (const char *c = field.begin; c < field.end; c++)
    if (*c != ',') *to++ = *c;
  return read_number((Piece){text, to}, &value);
}

/* Reports a field that is not a number; `otherwise` says what it could have been. */
static Status not_number(const Reader *r, size_t column, Piece field, const char *otherwise,
                         char **why) {
  const char *what = is_value(field)
                         ? "is not a number (nan can stand for what is missing, 1 and 0 for truth)"
                     : has_commas(field) ? "has a comma: numbers have a decimal point, and nothing "
                                           "between thousands"
                                         : otherwise;
  return bad_field(r, column, field, what, why);
}

static bool has_number(const Reader *r, Piece line) {
  Piece field;
  double value;
  while (next_field(r, &line, &field))
    if (read_number(field, &value)) return true;
  return false;
}

/* Names, at least one, and empty fields; between blanks the names may be of several words. */
static Status check_header(const Reader *r, Piece line, char **why) {
  Piece field, rest = line;
  bool named = false;
  for (size_t i = 0; next_field(r, &rest, &field); i++) {
    bool empty = field.begin == field.end;
    bool fits = is_name(field) || empty || (r->separator == ' ' && i && !is_value(field));
    named |= !empty;
    if (!fits)
      return not_number(r, i, field,
                        "is neither a number nor the name of a column (a line that begins with # "
                        "is passed over)",
                        why);
  }
  return named ? STATUS_OK
               : bad_field(r, 0, (Piece){line.begin, line.begin}, "is not a number", why);
}

/* Where blanks separate, they may stand in names as well. */
static bool header_fits(Reader r, Piece header, size_t columns) {
  if (count_fields(&r, header) == columns) return true;
  if (r.separator != ' ') return false;
  r.separator = '\t';
  return columns == 1 || count_fields(&r, header) == columns;
}

/* Rows */

static Status read_row(const Reader *r, Piece line, size_t columns, double *row, char **why) {
  size_t count = count_fields(r, line);
  if (count != columns)
    return file_fail(why, r->path, STATUS_FILE,
                     "line %zu has %zu fields, the lines before have %zu", r->line, count, columns);
  Piece field;
  for (size_t i = 0; i < columns && work_goes_on(i) && next_field(r, &line, &field); i++) {
    if (!read_number(field, &row[i])) return not_number(r, i, field, "is not a number", why);
    bool word = strchr("iI", field.begin[strspn(field.begin, "+-")]);
    if (isinf(row[i]) && !word) return bad_field(r, i, field, "is too large for a number", why);
  }
  return STATUS_OK;
}

/* Stands before the first row of numbers, which it leaves to be read; *header is the line before
 * it, empty where there is none. */
static Status begin(Reader *r, size_t *columns, Piece *header, char **why) {
  Piece line;
  Reader before = *r, names = *r;
  if (!next_line(r, &line))
    return file_fail(why, r->path, STATUS_FILE, "the file holds no numbers");
  before.separator = r->separator = separator_of(line);
  *header = (Piece){line.begin, line.begin};
  if (!has_number(r, line)) {
    Status status = check_header(r, line, why);
    if (status) return status;
    *header = line;
    names = before = *r;
    if (!next_line(r, &line))
      return file_fail(why, r->path, STATUS_FILE, "the file holds no numbers below its header");
    before.separator = r->separator = separator_of(line);
  }
  *columns = count_fields(r, line);
  if (header->begin < header->end && !header_fits(names, *header, *columns))
    return file_fail(why, r->path, STATUS_FILE, "line %zu has %zu fields, the header has %zu",
                     r->line, *columns, count_fields(&names, *header));
  *r = before;
  return STATUS_OK;
}

static size_t count_lines(Reader r) {
  size_t count = 0;
  Piece line;
  while (work_goes_on(count) && next_line(&r, &line)) count++;
  return count;
}

static Status read_rows(Reader *r, Array **array, Piece *header, char **why) {
  size_t columns = 0;
  Status status = begin(r, &columns, header, why);
  if (status) return status;
  size_t shape[2] = {count_lines(*r), columns};
  status = file_new_array(r->path, columns == 1 ? 1 : 2, shape, array, why);
  Piece line;
  for (size_t i = 0; !status && i < shape[0] && work_goes_on(i) && next_line(r, &line); i++)
    status = read_row(r, line, columns, (*array)->data + i * columns, why);
  return status;
}

Status file_csv_reader(const char *path, FileBytes bytes, void *context, Array **array,
                       char **why) {
  const char *text = (const char *)bytes.data;
  size_t mark = bytes.length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
  Reader reader = {.path = path, .at = text + mark, .end = text + bytes.length};
  if (strlen(text) < bytes.length)
    return file_fail(why, path, STATUS_FILE, "byte %zu is zero: this is not text", strlen(text));
  Piece header;
  Status status = read_rows(&reader, array, &header, why);
  char **names = context;
  if (!status && header.begin < header.end)
    *names = mem_format("%.*s", (int)(header.end - header.begin), header.begin);
  return status;
}

Status file_read_csv(const char *path, Array **array, char **header, char **why) {
  *header = NULL;
  return file_read(path, file_csv_reader, header, array, why);
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
  Piece all = {name, end};
  return !*end && is_name(all) && !read_number(all, &number) ? name : "x";
}

static Status put_rows(FILE *stream, void *context, char **why) {
  const Table *table = context;
  const Array *a = table->array;
  const char *name = column_name(table->name);
  size_t columns = a->rank == 2 ? a->shape[1] : 1;
  if (a->rank < 2) fprintf(stream, "%s\n", name);
  for (size_t j = 0; a->rank == 2 && j < columns; j++)
    fprintf(stream, "%s_%zu%c", name, j, j + 1 < columns ? ',' : '\n');
  for (size_t i = 0; i < a->size && work_goes_on(i); i++) {
    fprintf(stream, "%.17g", plain_number(a->data[i]));
    fputc((i + 1) % columns ? ',' : '\n', stream);
  }
  return work_stopped() ? file_stop(why) : STATUS_OK;
}

Status file_write_array_csv(const char *path, const char *name, const Array *array, char **why) {
  return file_replace_stream(path, put_rows, &(Table){name, array}, why);
}

/* Arrays with errors, and with places along their axes */

static void put_axis_name(FILE *stream, const Axes *axes, int i) {
  const char *name = i < axes->count ? axes->list[i].name : NULL;
  if (name && column_name(name) == name)
    fputs(name, stream);
  else
    fprintf(stream, "axis_%d", i);
}

/* Every number on a line of its own, behind the places that it has along the axes. */
static void put_long(FILE *stream, const ResultField *field) {
  const Array *a = field->value;
  for (int i = 0; i < a->rank; i++) {
    put_axis_name(stream, field->along, i);
    fputc(',', stream);
  }
  fprintf(stream, field->error ? "%s,stderr\n" : "%s\n", column_name(field->name));
  for (size_t k = 0; k < a->size && work_goes_on(k); k++) {
    size_t below = a->size;
    for (int i = 0; i < a->rank; i++) {
      const Array *at = i < field->along->count ? field->along->list[i].at : NULL;
      size_t rest = k % below;
      below /= a->shape[i];
      size_t place = rest / below;
      fprintf(stream, "%.17g,", at ? plain_number(at->data[place]) : (double)place);
    }
    fprintf(stream, "%.17g", plain_number(a->data[k]));
    if (field->error) fprintf(stream, ",%.17g", plain_number(field->error->data[k]));
    fputc('\n', stream);
  }
}

/* Rows as they are, every number with its error behind it. */
static void put_pairs(FILE *stream, const ResultField *field) {
  const Array *a = field->value;
  const char *name = column_name(field->name);
  size_t columns = a->rank == 2 ? a->shape[1] : 1;
  if (a->rank < 2) fprintf(stream, "%s,stderr\n", name);
  for (size_t j = 0; a->rank == 2 && j < columns; j++)
    fprintf(stream, "%s_%zu,stderr_%zu%c", name, j, j, j + 1 < columns ? ',' : '\n');
  for (size_t i = 0; i < a->size && work_goes_on(i); i++) {
    fprintf(stream, "%.17g,%.17g", plain_number(a->data[i]), plain_number(field->error->data[i]));
    fputc((i + 1) % columns ? ',' : '\n', stream);
  }
}

typedef struct LongTable {
  const ResultField *field;
  const char *origin;
} LongTable;

static Status put_field_long(FILE *stream, void *context, char **why) {
  const LongTable *table = context;
  for (const char *line = table->origin; line && *line; line += strspn(line, "\r\n")) {
    int length = (int)strcspn(line, "\r\n");
    fprintf(stream, "# %.*s\n", length, line);
    line += length;
  }
  put_long(stream, table->field);
  return work_stopped() ? file_stop(why) : STATUS_OK;
}

static Status put_field_pairs(FILE *stream, void *context, char **why) {
  put_pairs(stream, context);
  return work_stopped() ? file_stop(why) : STATUS_OK;
}

Status file_write_field_csv(const char *path, const ResultField *field, bool is_long,
                            const char *origin, char **why) {
  if (!is_long && !field->error) return file_write_array_csv(path, field->name, field->value, why);
  if (is_long) return file_replace_stream(path, put_field_long, &(LongTable){field, origin}, why);
  return file_replace_stream(path, put_field_pairs, (void *)field, why);
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
    fputc(',', stream);
    fprintf(stream, "%.17g", plain_number(field->value->data[k]));
    if (!field->error) continue;
    fputc(',', stream);
    fprintf(stream, "%.17g", plain_number(field->error->data[k]));
  }
}

static Status put_curves(FILE *stream, void *context, char **why) {
  const Result *result = context;
  const ResultField *t = result_find(result, "t", 0);
  fputs("t", stream);
  for (int i = 0; i < result->field_count; i++)
    if (&result->fields[i] != t && belongs(&result->fields[i], t->value->size))
      put_names(stream, &result->fields[i]);
  for (size_t time = 0; time < t->value->size && !work_stopped(); time++) {
    fputc('\n', stream);
    fprintf(stream, "%.17g", plain_number(t->value->data[time]));
    for (int i = 0; i < result->field_count; i++)
      if (&result->fields[i] != t && belongs(&result->fields[i], t->value->size))
        put_values(stream, &result->fields[i], time);
  }
  fputc('\n', stream);
  return work_stopped() ? file_stop(why) : STATUS_OK;
}

Status file_write_result_csv(const char *path, Result *result, char **why) {
  const ResultField *t = result_find(result, "t", 0);
  if (!t || !t->value || !t->value->size)
    return file_fail(why, path, STATUS_FILE, "a %s result has no curves for .csv: use .h5 or .json",
                     result->kind);
  return file_replace_stream(path, put_curves, result, why);
}
