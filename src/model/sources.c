/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where data come from: random points, files, and the usual preparations. */
#include "model/builtins.h"
#include "base/memory.h"
#include "base/work.h"
#include "num/arrayfail.h"
#include "num/linalg.h"
#include "num/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Random points */

static bool seed_of(Call *call, int i, double *seed) {
  return call_whole(call, i, 0, 9007199254740992.0, seed);
}

/* The stream that the argument `i` names among those of a purpose. */
static bool stream_of(Call *call, int i, RandomPurpose purpose, uint64_t *stream) {
  const Value *word = call->args[i];
  if (word->kind == VALUE_STRING) return *stream = random_stream_named(purpose, word->string), true;
  eval_error(call->eval, call->places[i], "such as stream = \"noise\"",
             "'%s' must be a string, not %s", call_argument_name(call, i), value_describe(word));
  return false;
}

static Array *normal_points(Call *call, RandomPurpose purpose, const char **why) {
  double points, dim, seed;
  uint64_t stream;
  if (!call_whole(call, 0, 0, 1e9, &points) || !call_whole(call, 1, 1, 1e9, &dim) ||
      !seed_of(call, 2, &seed) || !stream_of(call, 3, purpose, &stream))
    return NULL;
  size_t shape[] = {(size_t)points, (size_t)dim};
  Array *array = array_full(2, shape, 0, why);
  for (size_t i = 0; array && i < array->size && !work_stopped(); i += WORK_BLOCK) {
    size_t rest = array->size - i;
    random_normals((uint64_t)seed, stream, i, rest < WORK_BLOCK ? rest : WORK_BLOCK,
                   array->data + i);
  }
  return array_whole(array, why);
}

/* Scales the rows of [P, D] to |x|^2 = D; the index of a row that is zero, or P, or where it was
 * left off because the user wants out. */
static size_t scale_rows(Array *array) {
  size_t rows = array->shape[0], dim = rows ? array->size / rows : 0;
  for (size_t i = 0; i < rows && work_goes_on(i); i++) {
    double *x = array->data + i * dim, square = 0;
    for (size_t j = 0; j < dim && work_goes_on(j + 1); j++) square += x[j] * x[j];
    if (!(square > 0)) return i;
    double scale = sqrt((double)dim / square);
    for (size_t j = 0; j < dim && work_goes_on(j + 1); j++) x[j] *= scale;
  }
  return rows;
}

/* To 1e-10 of its largest entry, as where eigenvalues are taken. */
static bool is_symmetric(const Array *c) {
  size_t n = c->rank == 2 ? c->shape[0] : 0;
  double largest = 0, apart = 0;
  if (!n || c->shape[1] != n) return false;
  for (size_t i = 0; i < n * n && work_goes_on(i); i++) {
    largest = fmax(largest, fabs(c->data[i]));
    apart = fmax(apart, fabs(c->data[i] - c->data[i % n * n + i / n]));
  }
  return apart <= 1e-10 * largest;
}

/* The rows of `points` times a root of the covariance [dim, dim]; NULL after reporting. */
static Array *correlated(Call *call, int i, const Array *points, const char **why) {
  const Value *value = call->args[i];
  size_t P = points->shape[0], n = points->shape[1];
  bool fits =
      value->kind == VALUE_ARRAY && is_symmetric(value->array) && value->array->shape[0] == n;
  if (array_stops(why)) return NULL;
  if (fits && !array_multiplies((double)n * (double)n * (double)(n + P) / WORK_PRODUCTS, why))
    return NULL;
  double *root = fits ? mem_block(n * n) : NULL;
  int rank = root ? mat_root(n, value->array->data, root) : fits ? MAT_STARVED : MAT_FAILED;
  Array *array = rank >= 0 ? array_full(2, points->shape, 0, why) : NULL;
  size_t most = 16 + (size_t)fmin((double)P, work_patience() / ((double)n * (double)n));
  for (size_t k = 0; array && k < P && !work_stopped(); k += most)
    mat_mul_bt(P - k < most ? P - k : most, n, (size_t)rank, 1, points->data + k * n, n, root, n, 0,
               array->data + k * n, n);
  if (rank == MAT_STARVED)
    array_starve(0, why);
  else if (rank < 0)
    eval_error(call->eval, call->places[i], NULL,
               "'covariance' must be symmetric and positive semidefinite, [%zu, %zu], as many as "
               "there are dimensions",
               n, n);
  free(root);
  return array_whole(array, why);
}

Value *builtin_gaussian(Call *call) {
  const char *why = NULL;
  Array *array = normal_points(call, RANDOM_GAUSSIAN, &why);
  if (array && call->args[4]->kind != VALUE_NONE) {
    Array *plain = array;
    bool vague = !call->args[4]->known || call->args[4]->kind == VALUE_UNKNOWN;
    array = vague ? array_keep(plain) : correlated(call, 4, plain, &why);
    array_drop(plain);
  }
  return array || why ? call_give(call, array, why) : call_broken(call);
}

Value *builtin_sphere(Call *call) {
  const char *why = NULL;
  Array *array = normal_points(call, RANDOM_SPHERE, &why);
  if (array) scale_rows(array);
  array = array_whole(array, &why);
  return array || why ? call_give(call, array, why) : call_broken(call);
}

Value *builtin_whitened(Call *call) {
  double points;
  if (!call_whole(call, 0, 1, 1e7, &points)) return call_broken(call);
  const char *why = NULL;
  Array *array = array_eye((size_t)points, &why);
  for (size_t i = 0; array && i < array->size && work_goes_on(i); i++)
    array->data[i] *= sqrt(points);
  return call_give(call, array_whole(array, &why), why);
}

Value *builtin_permutation(Call *call) {
  double n, seed;
  uint64_t stream;
  if (!call_whole(call, 0, 0, 1e9, &n) || !seed_of(call, 1, &seed) ||
      !stream_of(call, 2, RANDOM_ORDER, &stream))
    return call_broken(call);
  const char *why = NULL;
  Array *order = array_full(1, (size_t[]){(size_t)n}, 0, &why);
  if (order) random_permutation((uint64_t)seed, stream, order->size, order->data);
  return call_give(call, array_whole(order, &why), why);
}

/* Preparations */

/* How many there are, a check knows only of what it knows. */
Value *builtin_where(Call *call) {
  const Value *condition = call->args[0];
  if (condition->kind != VALUE_ARRAY || condition->array->rank != 1)
    return eval_error(call->eval, call->places[0], "such as labels == 3",
                      "'condition' must be a vector, not %s", value_describe(condition));
  if (!condition->known) return value_new(&call->eval->heap, VALUE_UNKNOWN);
  const char *why = NULL;
  size_t count = condition->array->size;
  Array *truth = array_truth(condition->array, &why);
  Array *places = truth ? array_range(0, (double)count - 1, 1, &why) : NULL;
  const Subscript mask = {.kind = SUBSCRIPT_MASK, .list = truth};
  Array *indices = places ? array_index(places, 1, &mask, &why) : NULL;
  array_drop(truth);
  array_drop(places);
  return call_give(call, indices, why);
}

/* A writable copy of the argument, which must have rows; NULL after reporting. */
static Array *copy_rows(Call *call) {
  const Value *x = call->args[0];
  if (x->kind != VALUE_ARRAY || x->array->rank < 2) {
    eval_error(call->eval, call->places[0], NULL, "'%s' works on [points, dimensions], not on %s",
               call->row->name, value_describe(x));
    return NULL;
  }
  bool affordable = eval_affords(call->eval, (double)x->array->size);
  Array *copy = affordable ? array_new(x->array->rank, x->array->shape) : NULL;
  if (copy)
    work_copy(copy->data, x->array->data, copy->size);
  else
    eval_starve(call->eval, call->span);
  return copy;
}

Value *builtin_normalize(Call *call) {
  Array *array = copy_rows(call);
  if (!array) return call_broken(call);
  const char *why = NULL;
  size_t zero = scale_rows(array);
  if (!(array = array_whole(array, &why))) return call_give(call, NULL, why);
  if (zero == array->shape[0] || !call->args[0]->known) return call_give(call, array, NULL);
  array_drop(array);
  return eval_error(call->eval, call->places[0], NULL, "row %zu is zero and has no direction",
                    zero);
}

/* The mean and the standard deviation of a column of [rows, width]; the deviation is 0 where
 * rounding alone makes it differ from that. */
static void column_moments(const Array *array, size_t column, double *mean, double *deviation) {
  size_t rows = array->shape[0], width = array->size / rows;
  const double *x = array->data + column;
  double square = 0;
  *mean = 0;
  for (size_t i = 0; i < rows && work_goes_on(i); i++) *mean += x[i * width] / (double)rows;
  for (size_t i = 0; i < rows && work_goes_on(i); i++)
    square += (x[i * width] - *mean) * (x[i * width] - *mean);
  *deviation = sqrt(square / (double)rows);
  if (*deviation <= 1e-12 * fabs(*mean)) *deviation = 0;
}

/* Without variance in `like` a column says nothing, and becomes zero. */
static void standardize_column(Array *array, const Array *like, size_t column, size_t width) {
  double mean, deviation, *x = array->data + column;
  column_moments(like, column, &mean, &deviation);
  for (size_t i = 0; i < array->shape[0] && work_goes_on(i); i++)
    x[i * width] = deviation > 0 ? (x[i * width] - mean) / deviation : 0;
}

static size_t row_length(const Array *array) {
  size_t length = 1;
  for (int i = 1; i < array->rank; i++) length *= array->shape[i];
  return length;
}

Value *builtin_standardize(Call *call) {
  const Value *x = call->args[0], *like = call->args[1];
  bool own = like->kind == VALUE_NONE;
  if (!own && (like->kind != VALUE_ARRAY || like->array->rank < 2 || !like->array->shape[0] ||
               (x->kind == VALUE_ARRAY && row_length(like->array) != row_length(x->array))))
    return eval_error(call->eval, call->places[1], NULL,
                      "'like' must have rows as long as those of 'x', not be %s",
                      value_describe(like));
  Array *array = copy_rows(call);
  if (!array) return call_broken(call);
  const char *why = NULL;
  size_t width = array->shape[0] ? row_length(array) : 0;
  for (size_t j = 0; j < width && work_goes_on(j); j++)
    standardize_column(array, own ? array : like->array, j, width);
  return call_give(call, array_whole(array, &why), why);
}

Value *builtin_one_hot(Call *call) {
  double classes;
  const Value *labels = call->args[0];
  if (!call_whole(call, 1, 1, 1e6, &classes)) return call_broken(call);
  int rank = labels->kind == VALUE_ARRAY ? labels->array->rank : 0;
  if (rank < 1 || rank == ARRAY_MAX_RANK)
    return eval_error(call->eval, call->places[0], NULL, "'labels' must be an array, not %s",
                      value_describe(labels));
  size_t shape[ARRAY_MAX_RANK];
  memcpy(shape, labels->array->shape, (size_t)rank * sizeof *shape);
  shape[rank] = (size_t)classes;
  const char *why = NULL;
  Array *array = array_full(rank + 1, shape, 0, &why);
  for (size_t i = 0; array && labels->known && i < labels->array->size && work_goes_on(i); i++) {
    double label = labels->array->data[i];
    if (!(label >= 0 && label < classes && label == floor(label))) {
      array_drop(array);
      return eval_error(call->eval, call->places[0], NULL, "labels[%zu] = %g is not one of 0..%g",
                        i, label, classes - 1);
    }
    array->data[i * shape[rank] + (size_t)label] = 1;
  }
  return call_give(call, array_whole(array, &why), why);
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
  return call->eval->host->read(call->eval, call->places[0], call->row->name, call->args[0]->string,
                                call->count > 1 ? call->args[1]->string : NULL);
}

Value *builtin_csv(Call *call) { return read_file(call); }
Value *builtin_npy(Call *call) { return read_file(call); }
Value *builtin_hdf5(Call *call) { return read_file(call); }
Value *builtin_idx(Call *call) { return read_file(call); }
Value *builtin_cifar10(Call *call) { return read_file(call); }
Value *builtin_cifar10_labels(Call *call) { return read_file(call); }
