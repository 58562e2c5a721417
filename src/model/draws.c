/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/draws.h"
#include "model/declare.h"

#include <math.h>
#include <string.h>

/* Functions that draw numbers for each point. What a `task` draws may be its weights, which targets
 * and test targets share. */
static const struct {
  const char *name;
  bool task;
} sources[] = {
    {"sphere", true}, {"gaussian", true}, {"noisy", false}, {"flip", false}, {"relabel", false}};

enum { SOURCES = sizeof sources / sizeof *sources };

static const char seed_hint[] = "give one of them a seed of its own, such as seed = 1";

unsigned draws_mark(const char *function) {
  for (unsigned i = 0; i < SOURCES; i++)
    if (strcmp(sources[i].name, function) == 0) return 1u << i;
  return 0;
}

static bool is_targets(int key) { return key == DATASET_TARGETS || key == DATASET_TEST_TARGETS; }

/* The first function that both keys draw with; NULL if there is none. */
static const char *shared(const unsigned marks[], int a, int b) {
  bool tasks = is_targets(a) && is_targets(b);
  for (unsigned i = 0; i < SOURCES; i++)
    if ((marks[a] & marks[b] & 1u << i) && !(tasks && sources[i].task)) return sources[i].name;
  return NULL;
}

static bool all_whole(const double *x, size_t count) {
  size_t i = 0;
  while (i < count && x[i] == floor(x[i])) i++;
  return i == count;
}

/* Whether every test point is the training point of its number, as far as there are both. One array
 * in both places is meant so, and whole numbers were not drawn. */
static bool repeated(const Value *inputs, const Value *tests) {
  bool arrays = inputs && tests && inputs->kind == VALUE_ARRAY && tests->kind == VALUE_ARRAY;
  if (!arrays || !inputs->known || !tests->known || inputs->array == tests->array) return false;
  size_t most = inputs->array->size, count = tests->array->size;
  if (count < most) most = count;
  return memcmp(inputs->array->data, tests->array->data, most * sizeof(double)) == 0 &&
         !all_whole(tests->array->data, most);
}

void draws_check(Eval *eval, Value *const slots[], const Span places[], const unsigned marks[]) {
  bool told = false;
  for (int b = 0; eval->dry && declared_key(DECLARED_DATASET, b); b++)
    for (int a = 0; a < b; a++) {
      const char *name = shared(marks, a, b);
      if (!name) continue;
      told |= a == DATASET_INPUTS && b == DATASET_TEST_INPUTS;
      diag_warning(eval->diags, places[b], seed_hint,
                   "'%s' and '%s' are made of the same random numbers: '%s' has no seed in both",
                   declared_key(DECLARED_DATASET, a), declared_key(DECLARED_DATASET, b), name);
    }
  if (eval->dry && !told && repeated(slots[DATASET_INPUTS], slots[DATASET_TEST_INPUTS]))
    diag_warning(eval->diags, places[DATASET_TEST_INPUTS], seed_hint,
                 "the test points are training points: both begin with the same numbers");
}
