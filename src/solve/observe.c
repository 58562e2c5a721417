/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/observe.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool field_is_late(FieldId id) { return strstr(field_row(id)->axes, ",s") != NULL; }

int field_shape(FieldId id, Sizes sizes, size_t shape[ARRAY_MAX_RANK]) {
  int rank = 0;
  for (const char *axis = field_row(id)->axes; *axis;
       axis += strcspn(axis, ",") + (strchr(axis, ',') != NULL)) {
    switch (*axis) {
    case 't':
    case 's': shape[rank++] = sizes.steps; break;
    case 'm': shape[rank++] = sizes.points; break;
    case 'a':
    case 'b': shape[rank++] = sizes.all; break;
    case 'c':
      if (sizes.outputs > 1) shape[rank++] = sizes.outputs;
      break;
    case 'n':
      shape[rank++] = strncmp(axis, "nu", 2) == 0 ? sizes.points : sizes.all - sizes.points;
      break;
    }
  }
  return rank;
}

size_t field_size(FieldId id, Sizes sizes) {
  size_t shape[ARRAY_MAX_RANK], size = 1;
  int rank = field_shape(id, sizes, shape);
  for (int i = 0; i < rank; i++) size *= shape[i];
  return size;
}

size_t field_side(FieldId id, Sizes sizes) {
  size_t shape[ARRAY_MAX_RANK], side = 1;
  int rank = field_shape(id, sizes, shape);
  for (int i = 0; i < rank / 2; i++) side *= shape[i];
  return side;
}

static Array *array_of(int rank, const size_t shape[], const double *data) {
  Array *array = array_new(rank, shape);
  if (array && data) memcpy(array->data, data, array->size * sizeof *data);
  return array;
}

bool field_add(Result *result, FieldId id, int layer, Sizes sizes, const double *value,
               const double *error) {
  field_promise(result, id, layer);
  return field_fill(result, id, layer, sizes, value, error);
}

bool field_is_missing(const Result *result, FieldId id, int layer) {
  const ResultField *field =
      id == FIELD_COUNT ? NULL : result_find(result, field_row(id)->name, layer);
  return field && !field->value;
}

void field_promise(Result *result, FieldId id, int layer) {
  result_add(result, field_row(id)->name, layer, field_row(id)->axes, field_row(id)->about, NULL,
             NULL);
}

bool field_whole(ResultField *field, bool fine) {
  if (fine) return true;
  array_drop(field->value);
  array_drop(field->error);
  scatter_drop(field->scatter);
  field->value = field->error = NULL;
  field->scatter = NULL;
  return false;
}

bool field_put(ResultField *field, int rank, const size_t shape[], const double *value,
               const double *error, bool known) {
  field_whole(field, false);
  field->value = array_of(rank, shape, value);
  field->error = known ? array_of(rank, shape, error) : NULL;
  return field_whole(field, field->value && (!known || field->error));
}

bool field_fill(Result *result, FieldId id, int layer, Sizes sizes, const double *value,
                const double *error) {
  size_t shape[ARRAY_MAX_RANK];
  int rank = field_shape(id, sizes, shape);
  return field_put(result_find(result, field_row(id)->name, layer), rank, shape, value, error,
                   error || result->exact);
}

bool field_has_moves(FieldId id, Sizes sizes) { return field_size(id, sizes) <= SCATTER_LARGEST; }

static bool add_move(Scatter *scatter, const Array *like, uint64_t id, double weight,
                     const double *data) {
  Array *move = array_new(like->rank, like->shape);
  if (!move) return false;
  memcpy(move->data, data, move->size * sizeof *data);
  scatter_add(scatter, id, weight, move);
  return true;
}

bool field_blocks(ResultField *field, const char *kind, uint64_t seed, int runs,
                  const double *moves, size_t stride) {
  Scatter *scatter = scatter_new();
  bool fine = true;
  for (int j = 0; j < runs && fine; j++)
    fine = add_move(scatter, field->value, scatter_id(kind, seed, runs, j), 1.0 / runs,
                    moves + (size_t)j * stride);
  scatter_drop(field->scatter);
  field->scatter = scatter;
  return field_whole(field, fine);
}

bool field_moves(ResultField *field, const char *kind, uint64_t seed, int runs, const double *moves,
                 bool common, bool tails) {
  const Array *like = field->value;
  const double *more = moves + (size_t)runs * like->size;
  bool fine = field_blocks(field, kind, seed, runs, moves, like->size);
  return fine &&
         field_whole(
             field,
             (!common || add_move(field->scatter, like, scatter_id(kind, 0, 0, 0), 1, more)) &&
                 (!tails || add_move(field->scatter, like, scatter_id(kind, seed, runs, runs + 1),
                                     1, more + like->size)));
}

bool observe_start(Result *result, const Program *program, Sizes sizes) {
  const Problem *p = program->problem;
  result_note(result, "model", "%s", p->model_name);
  result_note(result, "training", "%s", p->training_name);
  result_note(result, "dataset", "%s", p->dataset_name);
  result_note(result, "gamma", "%.17g", p->gamma);
  result_note(result, "steps", "%d", p->steps);
  if (!field_add(result, FIELD_T, 0, sizes, NULL, NULL)) return false;
  double *t = result_find(result, "t", 0)->value->data;
  for (size_t i = 0; i < sizes.steps; i++) t[i] = (double)i;
  return true;
}

void observe_split(Sizes z, const double *f, double *train, double *test) {
  size_t row = z.all * z.outputs, head = z.points * z.outputs;
  for (size_t t = 0; t < z.steps; t++) {
    memcpy(train + t * head, f + t * row, head * sizeof *f);
    if (row > head) memcpy(test + t * (row - head), f + t * row + head, (row - head) * sizeof *f);
  }
}
