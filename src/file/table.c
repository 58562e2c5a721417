/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Arrays from tables in long form: a column for every axis, the number, its error. */
#include "base/memory.h"
#include "base/work.h"
#include "file/file.h"
#include "file/io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Table {
  const char *path;
  const Array *numbers; /* [rows, columns] */
  char **names;         /* of the columns */
  size_t rows, columns;
  bool sampled; /* the last column is the error of the one before it */
  int rank;
  size_t shape[ARRAY_MAX_RANK];
} Table;

static double entry(const Table *t, size_t row, size_t column) {
  return t->numbers->data[row * t->columns + column];
}

/* The names between the commas of a header, each to be freed, as many as there are columns. */
static char **names_of(const char *header, size_t columns) {
  char **names = mem_new(columns, sizeof *names), *copy = mem_string(header), *rest = copy, *part;
  for (size_t i = 0; i < columns; i++) {
    part = strsep(&rest, ",");
    names[i] = mem_string(part ? part : "");
  }
  free(copy);
  return names;
}

static void free_names(Table *t) {
  for (size_t i = 0; i < t->columns; i++) free(t->names[i]);
  free(t->names);
}

/* How many places an axis has, of which each stands in so many rows before the next follows; it
 * begins again behind the last. */
static size_t places(const Table *t, int axis, size_t each) {
  size_t count = 1;
  while (count * each < t->rows && work_goes_on(count) &&
         entry(t, count * each, (size_t)axis) != entry(t, 0, (size_t)axis))
    count++;
  return count;
}

/* The shape, from the last axis, which runs fastest, to the first; false where the rows are not
 * those of all places in their order. */
static bool find_shape(Table *t) {
  size_t each = 1;
  for (int axis = t->rank - 1; axis >= 0; axis--) {
    t->shape[axis] = places(t, axis, each);
    each *= t->shape[axis];
  }
  bool whole = each == t->rows;
  each = 1;
  for (int axis = t->rank - 1; axis >= 0 && whole; axis--) {
    for (size_t row = 0; row < t->rows && whole && work_goes_on(row); row++)
      whole =
          entry(t, row, (size_t)axis) == entry(t, row / each % t->shape[axis] * each, (size_t)axis);
    each *= t->shape[axis];
  }
  return whole;
}

/* What runs along an axis; an axis that had no places has its numbers counted from 0. */
static Axis axis_of(const Table *t, int axis) {
  char unnamed[32];
  size_t each = 1, count = t->shape[axis];
  for (int i = axis + 1; i < t->rank; i++) each *= t->shape[i];
  snprintf(unnamed, sizeof unnamed, "axis_%d", axis);
  Axis found = {NULL, array_new(1, &count)};
  bool counted = strcmp(t->names[axis], unnamed) == 0;
  for (size_t k = 0; found.at && k < count && work_goes_on(k); k++) {
    found.at->data[k] = entry(t, k * each, (size_t)axis);
    counted &= found.at->data[k] == (double)k;
  }
  if (!counted) return found.name = mem_string(t->names[axis]), found;
  array_drop(found.at);
  return (Axis){NULL, NULL};
}

static Array *column(const Table *t, size_t which) {
  Array *array = array_new(t->rank, t->shape);
  for (size_t row = 0; array && row < t->rows && work_goes_on(row); row++)
    array->data[row] = entry(t, row, which);
  return array;
}

static Status make_result(const Table *t, Result **result, char **why) {
  size_t value = (size_t)t->rank;
  Array *numbers = column(t, value), *error = t->sampled ? column(t, value + 1) : NULL;
  if (!numbers || (t->sampled && !error)) {
    array_drop(numbers);
    array_drop(error);
    return file_starve(why, t->path, 0);
  }
  *result = result_new("array");
  result_add(*result, t->names[value], 0, "", "", numbers, error);
  ResultField *field = &(*result)->fields[0];
  field->along = axes_new(t->rank);
  for (int i = 0; i < t->rank; i++) field->along->list[i] = axis_of(t, i);
  return STATUS_OK;
}

static Status read_table(Table *t, Result **result, char **why) {
  size_t last = t->columns - 1;
  t->sampled = last > 0 && strcmp(t->names[last], "stderr") == 0;
  size_t axes = last - t->sampled;
  t->rank = axes <= ARRAY_MAX_RANK ? (int)axes : 0;
  if (t->rank && find_shape(t)) return make_result(t, result, why);
  return file_fail(why, t->path, STATUS_FILE,
                   "an array in long form has a column for every axis, then one for the number, "
                   "and lines for all "
                   "places in their order");
}

/* Other tables may look like one in long form, which begins with what made it. */
static Status read_marked(const char *path, FileBytes bytes, void *context, Array **array,
                          char **why) {
  static const char mark[] = "# dmf ";
  size_t length = sizeof mark - 1;
  if (bytes.length >= length && memcmp(bytes.data, mark, length) == 0)
    return file_csv_reader(path, bytes, context, array, why);
  return file_fail(why, path, STATUS_FILE,
                   "it is no array that dmf saved with its axes: 'csv' reads it as a table");
}

Status file_read_field_csv(const char *path, Result **result, char **why) {
  Array *numbers = NULL;
  char *header = NULL;
  *result = NULL;
  Status status = file_read(path, read_marked, &header, &numbers, why);
  if (status != STATUS_OK) return status;
  bool table = header && numbers->rank == 2;
  Table t = {.path = path,
             .numbers = numbers,
             .rows = numbers->shape[0],
             .columns = table ? numbers->shape[1] : 0};
  if (table) {
    t.names = names_of(header, t.columns);
    status = read_table(&t, result, why);
    free_names(&t);
  } else
    status = file_fail(why, path, STATUS_FILE,
                       "an array in long form has names for its columns, and two or more of them");
  array_drop(numbers);
  free(header);
  if (!work_stopped()) return status;
  result_drop(*result);
  *result = NULL;
  return file_stop(why);
}
