/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/memory.h"
#include "base/plain.h"
#include "base/work.h"
#include "num/arrayops.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  VECTOR_WHOLE = 200, /* vectors up to this length and */
  ROWS_WHOLE = 24,    /* matrices up to this many rows and */
  PAGES_WHOLE = 6,    /* this many matrices of a higher rank are shown whole, */
  EDGE = 3,           /* of longer ones the first and last few */
  CELL = 64,
  FEWEST_DIGITS = 6, /* of every number, */
  SPREAD_DIGITS = 3, /* of the differences between numbers, */
  MOST_DIGITS = 12   /* but no more of the numbers for their sake */
};

/* Whole numbers below this are exact and shown whole, others show all before the point below that;
 * differences below the last, relative to the numbers, are rounding. */
static const double WHOLE_BELOW = 1e15, POINT_BELOW = 1e10, ROUNDING = 1e-12;

/* Which of `count` entries are shown: all, or `head` at the front and `tail` at the back. */
typedef struct Window {
  size_t count, head, tail;
} Window;

static Window window(size_t count, size_t whole, size_t head, size_t tail) {
  return count <= whole || count <= head + tail ? (Window){count, count, 0}
                                                : (Window){count, head, tail};
}

static bool elided(Window w) { return w.head + w.tail < w.count; }

/* Steps of a window: i runs from 0; the entry after the head may be the gap. */
static size_t steps(Window w) { return w.head + elided(w) + w.tail; }

static bool is_gap(Window w, size_t i) { return elided(w) && i == w.head; }

static size_t entry(Window w, size_t i) { return i < w.head ? i : w.count - steps(w) + i; }

/* What the numbers of an array have in common: their range, and whether all are whole. */
typedef struct Extent {
  double low, high, most;
  bool whole;
} Extent;

static Extent extent_of(const Array *a) {
  Extent e = {INFINITY, -INFINITY, 0, true};
  for (size_t i = 0; i < a->size && work_goes_on(i); i++) {
    double x = a->data[i];
    if (!isfinite(x)) continue;
    e.low = fmin(e.low, x);
    e.high = fmax(e.high, x);
    e.most = fmax(e.most, fabs(x));
    e.whole &= x == floor(x);
  }
  return e;
}

/* Significant digits for the numbers of an array: all of whole numbers, all before the point of
 * others that a number alone has, and SPREAD_DIGITS of what tells them apart, unless that is
 * rounding. */
static int digits_for(const Array *a) {
  Extent e = extent_of(a);
  double limit = e.whole ? WHOLE_BELOW : POINT_BELOW;
  int digits = FEWEST_DIGITS, spread = 0;
  if (e.most >= 1 && e.most < limit) digits = (int)floor(log10(e.most)) + 1;
  if (e.high - e.low > ROUNDING * e.most)
    spread = (int)ceil(log10(e.most / (e.high - e.low))) + SPREAD_DIGITS;
  if (spread > MOST_DIGITS) spread = MOST_DIGITS;
  if (!e.whole && spread > digits) digits = spread;
  return digits < FEWEST_DIGITS ? FEWEST_DIGITS : digits;
}

/* How the numbers of an array are written; `error` belongs to `data`, or is NULL. */
typedef struct Style {
  int digits;
  const double *data, *error;
} Style;

/* Relative to the number, an error that is rounding. */
static const double NO_ERROR = 1e-14;

/* 0.1234(56): the last two digits are off by 56; 12.3(4.5), and 1.23(45)e-09. */
static int uncertain_cell(char text[CELL], double x, double error) {
  enum { FINEST = -7, COARSEST = 6 };
  int last = (int)floor(log10(error)) - 1, power = (int)floor(log10(fmax(fabs(x), error)));
  if (error >= 99.5 * pow(10, last)) last++;
  bool plain = last >= FINEST && last <= COARSEST;
  int shift = plain ? 0 : power, decimals = shift > last ? shift - last : 0;
  double unit = pow(10, shift), step = pow(10, last), off = round(error / step) * step / unit,
         number = fabs(x) < step / 2 ? 0 : x / unit;
  int length = off < 1
                   ? snprintf(text, CELL, "%.*f(%.0f)", decimals, number, off * pow(10, decimals))
                   : snprintf(text, CELL, "%.*f(%.*f)", decimals, number, decimals, off);
  return plain ? length : length + snprintf(text + length, CELL - (size_t)length, "e%+03d", power);
}

static int cell(char text[CELL], const double *at, const Style *style) {
  double error = style->error ? style->error[at - style->data] : 0;
  if (error > NO_ERROR * fabs(*at) && isfinite(error) && isfinite(*at))
    return uncertain_cell(text, *at, error);
  return snprintf(text, CELL, "%.*g", style->digits, plain_number(*at));
}

static int widest(const double *row, Window w, const Style *style, int least) {
  char text[CELL];
  for (size_t i = 0; i < steps(w); i++) {
    int width = is_gap(w, i) ? 0 : cell(text, row + entry(w, i), style);
    if (width > least) least = width;
  }
  return least;
}

static void put_cell(FILE *out, const double *row, Window w, size_t i, const Style *style,
                     int width) {
  char text[CELL];
  if (is_gap(w, i))
    fprintf(out, "%*s", width, "...");
  else
    cell(text, row + entry(w, i), style), fprintf(out, "%*s", width, text);
}

static size_t total_width(const double *row, size_t count, const Style *style) {
  char text[CELL];
  size_t total = 2;
  for (size_t i = 0; i < count; i++) total += (size_t)cell(text, row + i, style) + 2;
  return total;
}

/* On one line as it comes if that fits, else as a grid of equal cells. */
static void put_vector(FILE *out, const double *row, size_t count, const Style *style,
                       int columns) {
  Window w = window(count, VECTOR_WHOLE, 2 * EDGE, 2 * EDGE);
  bool one_line =
      !elided(w) && count <= VECTOR_WHOLE && total_width(row, count, style) <= (size_t)columns + 2;
  int width = one_line ? 0 : widest(row, w, style, 3);
  int per_line = one_line || columns < width + 4 ? (int)count + 1 : (columns - 1) / (width + 2);
  fputc('[', out);
  for (size_t i = 0; i < steps(w); i++) {
    if (i) fputs(i % (size_t)per_line ? ", " : ",\n ", out);
    put_cell(out, row, w, i, style, width);
  }
  fputc(']', out);
}

static int matrix_width(const double *data, Window rows, Window row, const Style *style) {
  int width = 1;
  for (size_t i = 0; i < steps(rows); i++)
    if (!is_gap(rows, i)) width = widest(data + entry(rows, i) * row.count, row, style, width);
  return width;
}

static void put_row(FILE *out, const double *row, Window w, const Style *style, int width) {
  fputc('[', out);
  for (size_t i = 0; i < steps(w); i++) {
    if (i) fputs(", ", out);
    put_cell(out, row, w, i, style, width);
  }
  fputc(']', out);
}

/* Columns that fit beside each other, if cells are `width` wide. */
static Window fitting(size_t count, int columns, int width) {
  size_t room = columns > width + 6 ? (size_t)(columns - 4) / (size_t)(width + 2) : 1;
  if (room < 2 * EDGE + 1) room = 2 * EDGE + 1;
  return window(count, room, room - EDGE - 1, EDGE);
}

static void put_matrix(FILE *out, const double *data, Window rows, Window row, const Style *style) {
  int width = matrix_width(data, rows, row, style);
  if (elided(row) && width < 3) width = 3;
  fputc('[', out);
  for (size_t i = 0; i < steps(rows); i++) {
    if (i) fputs(",\n ", out);
    if (is_gap(rows, i))
      fputs("...", out);
    else
      put_row(out, data + entry(rows, i) * row.count, row, style, width);
  }
  fputc(']', out);
}

static Window matrix_rows(const Array *a) {
  return window(a->shape[a->rank - 2], ROWS_WHOLE, EDGE, EDGE);
}

static Window matrix_columns(const Array *a, const Style *style, int columns) {
  Window rows = matrix_rows(a), all = window(a->shape[a->rank - 1], ROWS_WHOLE, EDGE, EDGE);
  return fitting(all.count, columns, matrix_width(a->data, rows, all, style));
}

/* "[2, 0, :, :]" for the k-th matrix. */
static void put_page_name(FILE *out, const Array *a, size_t k) {
  size_t index[ARRAY_MAX_RANK];
  for (int axis = a->rank - 3; axis >= 0; k /= a->shape[axis--]) index[axis] = k % a->shape[axis];
  fputc('[', out);
  for (int axis = 0; axis < a->rank - 2; axis++) fprintf(out, "%zu, ", index[axis]);
  fputs(":, :] =\n", out);
}

static void put_pages(FILE *out, const Array *a, const Style *style, int columns) {
  Window rows = matrix_rows(a), row = matrix_columns(a, style, columns);
  size_t page = rows.count * row.count;
  Window pages = window(a->size / page, PAGES_WHOLE, EDGE - 1, 1);
  for (size_t i = 0; i < steps(pages); i++) {
    if (i) fputc('\n', out);
    if (is_gap(pages, i)) {
      fputs("...", out);
      continue;
    }
    put_page_name(out, a, entry(pages, i));
    put_matrix(out, a->data + entry(pages, i) * page, rows, row, style);
  }
}

static Style style_of(const Array *a, const Array *error) {
  return (Style){digits_for(a), a->data, error ? error->data : NULL};
}

bool array_shown_whole(const Array *a, const Array *error, int columns) {
  Style style = style_of(a, error);
  if (a->rank < 2 || !a->size) return a->size <= VECTOR_WHOLE;
  return !elided(matrix_rows(a)) && !elided(matrix_columns(a, &style, columns)) &&
         a->size <= PAGES_WHOLE * a->shape[a->rank - 2] * a->shape[a->rank - 1];
}

static void put_array(FILE *out, const Array *a, const Array *error, int columns) {
  char text[ARRAY_SHAPE_TEXT];
  const Style own = style_of(a, error), *style = &own;
  if (!a->size) {
    fprintf(out, "%s empty", array_shape_text(a, text));
    return;
  }
  switch (a->rank) {
  case 0: put_cell(out, a->data, window(1, 1, 0, 0), 0, style, 0); break;
  case 1: put_vector(out, a->data, a->size, style, columns); break;
  case 2: put_matrix(out, a->data, matrix_rows(a), matrix_columns(a, style, columns), style); break;
  default: put_pages(out, a, style, columns);
  }
}

char *array_numbers(const Array *a, const Array *error, int columns) {
  char *text = NULL;
  size_t length;
  FILE *out = mem_stream(&text, &length);
  if (!out) return strdup("");
  put_array(out, a, error, columns);
  mem_stream_end(out);
  return text;
}

char *array_text(const Array *a, const Array *error, int columns) {
  char shape[ARRAY_SHAPE_TEXT], *text = array_numbers(a, error, columns);
  if (array_shown_whole(a, error, columns)) return text;
  char *headed = mem_format("%s\n%s", array_shape_text(a, shape), text);
  free(text);
  return headed;
}
