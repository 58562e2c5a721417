/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/data.h"
#include "base/memory.h"
#include "model/declare.h"
#include "model/draws.h"

#include <limits.h>
#include <math.h>
#include <string.h>

/* What a dataset must satisfy, beyond the types of its keys. */
typedef struct Data {
  Eval *eval;
  Value *const *slots;
  const Span *places;
} Data;

/* The array of a key, or NULL when it is not given or its shape is not known. */
static const Array *array_of(Data data, int key) {
  const Value *value = data.slots[key];
  return value && value->kind == VALUE_ARRAY ? value->array : NULL;
}

static bool vague(Data data, int key) {
  return data.slots[key] && data.slots[key]->kind == VALUE_UNKNOWN;
}

static void place_text(const Array *array, size_t at, char *text, size_t size) {
  size_t stride = array->size, used = 0;
  text[0] = 0;
  for (int i = 0; i < array->rank && used < size; i++) {
    stride /= array->shape[i];
    used += (size_t)snprintf(text + used, size - used, i ? ", %zu" : "%zu", at / stride);
    at %= stride;
  }
}

static bool all_finite(Data data, int key) {
  const Array *array = array_of(data, key);
  if (!array || !data.slots[key]->known) return true;
  for (size_t i = 0; i < array->size; i++) {
    if (isfinite(array->data[i])) continue;
    char where[160];
    place_text(array, i, where, sizeof where);
    eval_error(data.eval, data.places[key], NULL, "%s[%s] is not finite",
               declared_key(DECLARED_DATASET, key), where);
    return false;
  }
  return true;
}

static bool wrong(Data data, int key, const char *hint, const char *text) {
  eval_error(data.eval, data.places[key], hint, "%s", text);
  return false;
}

static size_t dimension(const Array *inputs) {
  size_t d = 1;
  for (int i = 1; i < inputs->rank; i++) d *= inputs->shape[i];
  return d;
}

static bool check_points(Data data, int key) {
  const Array *a = array_of(data, key);
  if (!a) return true;
  const char *name = declared_key(DECLARED_DATASET, key);
  if (a->rank < 2) {
    eval_error(data.eval, data.places[key], "one row for each point: [[1, 0], [0, 1]]",
               "'%s' must be [points, dimensions], not %s", name, value_describe(data.slots[key]));
    return false;
  }
  if (key == DATASET_INPUTS && a->size == 0)
    return wrong(data, key, NULL, "'inputs' holds no numbers");
  return all_finite(data, key);
}

static bool check_inputs(Data data) {
  if (!check_points(data, DATASET_INPUTS) || !check_points(data, DATASET_TEST_INPUTS)) return false;
  const Array *inputs = array_of(data, DATASET_INPUTS),
              *tests = array_of(data, DATASET_TEST_INPUTS);
  if (!inputs || !tests || dimension(inputs) == dimension(tests)) return true;
  eval_error(data.eval, data.places[DATASET_TEST_INPUTS], NULL,
             "'test_inputs' have %zu dimensions, but 'inputs' have %zu", dimension(tests),
             dimension(inputs));
  return false;
}

/* Targets are [points] or [points, outputs]. */
static bool check_targets(Data data, int key, const char *of, size_t points, bool counted) {
  const Array *a = array_of(data, key);
  if (!a) return true;
  const char *name = declared_key(DECLARED_DATASET, key);
  if (a->rank > 2 || a->size == 0) {
    eval_error(data.eval, data.places[key], NULL,
               "'%s' must be [points] or [points, outputs], not %s", name,
               value_describe(data.slots[key]));
    return false;
  }
  if (counted && a->shape[0] != points) {
    eval_error(data.eval, data.places[key], NULL,
               "'%s' must hold one entry for each of the %zu %s, not %zu", name, points, of,
               a->shape[0]);
    return false;
  }
  return all_finite(data, key);
}

static size_t outputs_of(const Array *targets) {
  return targets->rank == 2 ? targets->shape[1] : 1;
}

static bool check_symmetry(Data data, const Array *gram, double *largest) {
  size_t n = gram->shape[0];
  *largest = 0;
  for (size_t i = 0; i < gram->size; i++) *largest = fmax(*largest, fabs(gram->data[i]));
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j < i; j++)
      if (fabs(gram->data[i * n + j] - gram->data[j * n + i]) > 1e-10 * *largest) {
        eval_error(data.eval, data.places[DATASET_GRAM], NULL,
                   "'gram' is not symmetric: entries [%zu, %zu] and [%zu, %zu] differ", i, j, j, i);
        return false;
      }
  return true;
}

static bool check_definite(Data data, const Array *gram) {
  double largest;
  if (!data.slots[DATASET_GRAM]->known) return true;
  if (!all_finite(data, DATASET_GRAM) || !check_symmetry(data, gram, &largest)) return false;
  const char *why;
  Array *values = array_eigenvalues(gram, &why);
  if (!values) {
    eval_fail(data.eval, array_failure(), data.places[DATASET_GRAM], NULL, "%s", why);
    return false;
  }
  double least = values->data[0];
  array_drop(values);
  if (least >= -1e-8 * largest) return true;
  eval_error(data.eval, data.places[DATASET_GRAM], "no inputs have these inner products",
             "'gram' has the negative eigenvalue %g", least);
  return false;
}

static bool check_gram(Data data) {
  const Array *gram = array_of(data, DATASET_GRAM), *targets = array_of(data, DATASET_TARGETS);
  for (int key = DATASET_INPUTS; key <= DATASET_TEST_INPUTS; key += DATASET_TEST_INPUTS)
    if (data.slots[key]) {
      eval_error(data.eval, data.places[key], "give one of them", "'gram' takes the place of '%s'",
                 declared_key(DECLARED_DATASET, key));
      return false;
    }
  if (!gram) return true;
  if (gram->rank != 2 || gram->shape[0] != gram->shape[1] || gram->size == 0)
    return wrong(data, DATASET_GRAM, NULL, "'gram' must be a square matrix");
  if (!check_targets(data, DATASET_TARGETS, "", 0, false)) return false;
  if (targets && targets->shape[0] > gram->shape[0]) {
    eval_error(data.eval, data.places[DATASET_TARGETS], NULL,
               "'targets' are for %zu points, but 'gram' has %zu", targets->shape[0],
               gram->shape[0]);
    return false;
  }
  return check_definite(data, gram);
}

/* Points and test points, as far as they are known. */
static bool check_tests(Data data) {
  const Array *targets = array_of(data, DATASET_TARGETS),
              *test_targets = array_of(data, DATASET_TEST_TARGETS);
  const Array *tests = array_of(data, DATASET_TEST_INPUTS), *gram = array_of(data, DATASET_GRAM);
  if (!data.slots[DATASET_TEST_TARGETS]) return true;
  if (!data.slots[DATASET_TEST_INPUTS] && !data.slots[DATASET_GRAM])
    return wrong(data, DATASET_TEST_TARGETS, NULL, "'test_targets' without 'test_inputs'");
  size_t count = gram && targets ? gram->shape[0] - targets->shape[0] : tests ? tests->shape[0] : 0;
  bool counted = (gram && targets) || tests;
  if (!check_targets(data, DATASET_TEST_TARGETS, "test points", count, counted)) return false;
  if (!targets || !test_targets || outputs_of(targets) == outputs_of(test_targets)) return true;
  eval_error(data.eval, data.places[DATASET_TEST_TARGETS], NULL,
             "'test_targets' have %zu outputs, but 'targets' have %zu", outputs_of(test_targets),
             outputs_of(targets));
  return false;
}

bool data_check(Eval *eval, Value *const slots[], const Span places[], const unsigned draws[]) {
  Data data = {eval, slots, places};
  if (slots[DATASET_GRAM]) {
    if (!check_gram(data)) return false;
  } else {
    const Array *inputs = array_of(data, DATASET_INPUTS);
    if (!check_inputs(data)) return false;
    if (!check_targets(data, DATASET_TARGETS, "inputs", inputs ? inputs->shape[0] : 0,
                       inputs && !vague(data, DATASET_INPUTS)))
      return false;
  }
  if (!check_tests(data)) return false;
  draws_check(eval, slots, places, draws);
  return true;
}

/* The array as [rows, rest]. */
static Array *flatten(const Array *a, const char **why) {
  double shape[] = {(double)a->shape[0], (double)(a->rank > 1 ? dimension(a) : 1)};
  return array_reshape(a, 2, shape, why);
}

/* Training and test inputs, [points, D]. */
static Array *vectors_of(const Array *inputs, const Array *tests, const char **why) {
  Array *parts[2] = {flatten(inputs, why), tests ? flatten(tests, why) : NULL};
  Array *all = parts[0] && (!tests || parts[1])
                   ? array_concat(tests ? 2 : 1, (const Array *const *)parts, why)
                   : NULL;
  array_drop(parts[0]);
  array_drop(parts[1]);
  return all;
}

/* x_mu . x_alpha / D; NULL of NULL. */
static Array *gram_of(const Array *vectors, const char **why) {
  Array *across = vectors ? array_transpose(vectors, why) : NULL;
  Array *gram = across ? array_matmul(vectors, across, why) : NULL;
  for (size_t i = 0; gram && i < gram->size; i++) gram->data[i] /= (double)vectors->shape[1];
  array_drop(across);
  return gram;
}

/* Training and test inputs as [points, height, width, channels]; NULL for inputs without positions,
 * or (with *why) for want of memory. */
static Array *positions_of(const Array *inputs, const Array *tests, const char **why) {
  *why = NULL;
  if (!inputs || inputs->rank < 3 || inputs->rank > 4) return NULL;
  bool plane = inputs->rank == 4;
  double shape[] = {-1, plane ? (double)inputs->shape[1] : 1, (double)inputs->shape[plane ? 2 : 1],
                    (double)inputs->shape[plane ? 3 : 2]};
  Array *parts[2] = {array_reshape(inputs, 4, shape, why),
                     tests ? array_reshape(tests, 4, shape, why) : NULL};
  Array *all = parts[0] && (!tests || parts[1])
                   ? array_concat(tests ? 2 : 1, (const Array *const *)parts, why)
                   : NULL;
  array_drop(parts[0]);
  array_drop(parts[1]);
  return all;
}

static bool fill_arrays(Data data, Problem *problem, const char **why) {
  const Array *gram = array_of(data, DATASET_GRAM), *tests = array_of(data, DATASET_TEST_INPUTS);
  const Array *targets = array_of(data, DATASET_TARGETS),
              *expected = array_of(data, DATASET_TEST_TARGETS);
  if (tests && tests->shape[0] == 0) tests = NULL;
  if (!gram) problem->vectors = vectors_of(array_of(data, DATASET_INPUTS), tests, why);
  problem->gram = gram ? array_reshape(gram, 2, (double[]){(double)gram->shape[0], -1}, why)
                       : gram_of(problem->vectors, why);
  if (!problem->gram) return false;
  problem->inputs = positions_of(array_of(data, DATASET_INPUTS), tests, why);
  problem->plane = problem->inputs && array_of(data, DATASET_INPUTS)->rank == 4;
  if (!problem->inputs && *why) return false;
  problem->targets = flatten(targets, why);
  if (expected) problem->test_targets = flatten(expected, why);
  return problem->targets && (!expected || problem->test_targets);
}

bool data_fill(Eval *eval, const Declared *dataset, Problem *problem) {
  Data data = {eval, dataset->slot, dataset->place};
  const char *why = NULL;
  if (!fill_arrays(data, problem, &why)) {
    eval_fail(eval, array_failure(), dataset->span, NULL, "%s", why);
    return false;
  }
  size_t points = problem->targets->shape[0], all = problem->gram->shape[0];
  if (all > INT_MAX) {
    eval_fail(eval, STATUS_LIMIT, dataset->span, NULL, "%zu points are too many", all);
    return false;
  }
  const Array *inputs = array_of(data, DATASET_INPUTS);
  problem->dimension = inputs ? (int)dimension(inputs) : 0;
  problem->points = (int)points;
  problem->tests = (int)(all - points);
  problem->outputs = (int)problem->targets->shape[1];
  problem->dataset_name = mem_string(dataset->name);
  return true;
}

static Array *two_points(void) {
  Array *gram = array_new(2, (size_t[]){2, 2});
  for (size_t i = 0; gram && i < 4; i++) gram->data[i] = i % 3 ? 0.5 : 1;
  return gram;
}

bool data_points(const Array *inputs, Problem *problem, const char **why) {
  *why = "out of memory";
  if (inputs) problem->vectors = vectors_of(inputs, NULL, why);
  problem->gram = inputs ? gram_of(problem->vectors, why) : two_points();
  if (!problem->gram) return false;
  problem->inputs = positions_of(inputs, NULL, why);
  problem->plane = problem->inputs && inputs->rank == 4;
  problem->dimension = inputs ? (int)dimension(inputs) : 0;
  if (!problem->inputs && *why) return false;
  problem->points = (int)problem->gram->shape[0];
  problem->outputs = 1;
  problem->targets = array_new(2, (size_t[]){problem->gram->shape[0], 1});
  problem->dataset_name = mem_string("points");
  *why = "out of memory";
  return problem->targets;
}
