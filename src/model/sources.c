/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where data come from: random points, files, and the usual preparations. */
#include "model/builtins.h"
#include "num/random.h"

#include <math.h>
#include <string.h>

/* Random points */

enum { PURPOSE_DATA = 0xda7a };

static Array *normal_points(Call *call, const char **why) {
  double points, dim, seed;
  if (!call_whole(call, 0, 0, 1e9, &points) || !call_whole(call, 1, 1, 1e9, &dim) ||
      !call_whole(call, 2, 0, 9007199254740992.0, &seed))
    return NULL;
  size_t shape[] = {(size_t)points, (size_t)dim};
  Array *array = array_full(2, shape, 0, why);
  if (array)
    random_normals((uint64_t)seed, random_stream(PURPOSE_DATA, 0, 0, 0), 0, array->size,
                   array->data);
  return array;
}

/* Scales the rows of [P, D] to |x|^2 = D; the index of a row that is zero, or P. */
static size_t scale_rows(Array *array) {
  size_t rows = array->shape[0], dim = rows ? array->size / rows : 0;
  for (size_t i = 0; i < rows; i++) {
    double *x = array->data + i * dim, square = 0;
    for (size_t j = 0; j < dim; j++) square += x[j] * x[j];
    if (!(square > 0)) return i;
    double scale = sqrt((double)dim / square);
    for (size_t j = 0; j < dim; j++) x[j] *= scale;
  }
  return rows;
}

Value *builtin_gaussian(Call *call) {
  const char *why = NULL;
  Array *array = normal_points(call, &why);
  return array || why ? call_give(call, array, why) : call_broken(call);
}

Value *builtin_sphere(Call *call) {
  const char *why = NULL;
  Array *array = normal_points(call, &why);
  if (array) scale_rows(array);
  return array || why ? call_give(call, array, why) : call_broken(call);
}

Value *builtin_whitened(Call *call) {
  double points;
  if (!call_whole(call, 0, 1, 1e7, &points)) return call_broken(call);
  const char *why = NULL;
  Array *array = array_eye((size_t)points, &why);
  for (size_t i = 0; array && i < array->size; i++) array->data[i] *= sqrt(points);
  return call_give(call, array, why);
}

/* Preparations */

/* A writable copy of the argument, which must have rows; NULL after reporting. */
static Array *copy_rows(Call *call) {
  const Value *x = call->args[0];
  if (x->kind != VALUE_ARRAY || x->array->rank < 2) {
    eval_error(call->eval, call->places[0], NULL, "'%s' works on [points, dimensions], not on %s",
               call->row->name, value_describe(x));
    return NULL;
  }
  Array *copy = array_new(x->array->rank, x->array->shape);
  if (copy)
    memcpy(copy->data, x->array->data, copy->size * sizeof *copy->data);
  else
    eval_fail(call->eval, STATUS_LIMIT, call->span, NULL, "not enough memory");
  return copy;
}

Value *builtin_normalize(Call *call) {
  Array *array = copy_rows(call);
  if (!array) return call_broken(call);
  size_t zero = scale_rows(array);
  if (zero == array->shape[0] || !call->args[0]->known) return call_give(call, array, NULL);
  array_drop(array);
  return eval_error(call->eval, call->places[0], NULL, "row %zu is zero and has no direction",
                    zero);
}

/* A column without variance becomes zero. */
static void standardize_column(Array *array, size_t column) {
  size_t rows = array->shape[0], width = array->size / rows;
  double mean = 0, square = 0, *x = array->data + column;
  for (size_t i = 0; i < rows; i++) mean += x[i * width] / (double)rows;
  for (size_t i = 0; i < rows; i++) square += (x[i * width] - mean) * (x[i * width] - mean);
  double deviation = sqrt(square / (double)rows);
  for (size_t i = 0; i < rows; i++)
    x[i * width] = deviation > 1e-12 * fabs(mean) ? (x[i * width] - mean) / deviation : 0;
}

Value *builtin_standardize(Call *call) {
  Array *array = copy_rows(call);
  if (!array) return call_broken(call);
  size_t width = array->shape[0] ? array->size / array->shape[0] : 0;
  for (size_t j = 0; j < width; j++) standardize_column(array, j);
  return call_give(call, array, NULL);
}

Value *builtin_one_hot(Call *call) {
  double classes;
  const Value *labels = call->args[0];
  if (!call_whole(call, 1, 1, 1e6, &classes)) return call_broken(call);
  if (labels->kind != VALUE_ARRAY || labels->array->rank != 1)
    return eval_error(call->eval, call->places[0], NULL, "'labels' must be a vector, not %s",
                      value_describe(labels));
  size_t shape[] = {labels->array->size, (size_t)classes};
  const char *why = NULL;
  Array *array = array_full(2, shape, 0, &why);
  for (size_t i = 0; array && labels->known && i < shape[0]; i++) {
    double label = labels->array->data[i];
    if (!(label >= 0 && label < classes && label == floor(label))) {
      array_drop(array);
      return eval_error(call->eval, call->places[0], NULL, "labels[%zu] = %g is not one of 0..%g",
                        i, label, classes - 1);
    }
    array->data[i * shape[1] + (size_t)label] = 1;
  }
  return call_give(call, array, why);
}

/* Files */

static Value *read_file(Call *call) {
  for (int i = 0; i < call->count; i++)
    if (call->args[i]->kind != VALUE_STRING)
      return eval_error(call->eval, call->places[i], NULL, "'%s' must be a string, not %s",
                        call_argument_name(call, i), value_describe(call->args[i]));
  for (int i = 0; i < call->count; i++)
    if (!call->args[i]->known) return value_new(&call->eval->heap, VALUE_UNKNOWN);
  if (!*call->args[0]->string)
    return eval_fail(call->eval, STATUS_FILE, call->places[0], NULL,
                     "the name of the file is empty");
  Array *array =
      call->eval->host->read(call->eval, call->places[0], call->row->name, call->args[0]->string,
                             call->count > 1 ? call->args[1]->string : NULL);
  return array ? value_array(&call->eval->heap, array) : call_broken(call);
}

Value *builtin_csv(Call *call) { return read_file(call); }
Value *builtin_npy(Call *call) { return read_file(call); }
Value *builtin_hdf5(Call *call) { return read_file(call); }
Value *builtin_idx(Call *call) { return read_file(call); }
Value *builtin_cifar10(Call *call) { return read_file(call); }
Value *builtin_cifar10_labels(Call *call) { return read_file(call); }
