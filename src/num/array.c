/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "num/array.h"
#include "base/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

Array *array_new(int rank, const size_t *shape) {
  size_t size = 1;
  for (int i = 0; i < rank; i++) {
    if (shape[i] && size > SIZE_MAX / 16 / shape[i]) return NULL;
    size *= shape[i];
  }
  double *data = mem_try(size, sizeof *data); /* zeros that are never touched take no memory */
  if (!data) return NULL;
  Array *array = mem_new(1, sizeof *array);
  array->references = 1;
  array->rank = rank;
  for (int i = 0; i < rank; i++) array->shape[i] = shape[i];
  array->size = size;
  array->data = data;
  return array;
}

Array *array_scalar(double value) {
  Array *array = mem_insist(array_new(0, NULL));
  array->data[0] = value;
  return array;
}

Array *array_keep(Array *array) {
  if (array) array->references++;
  return array;
}

void array_drop(Array *array) {
  if (!array || --array->references > 0) return;
  free(array->data);
  free(array);
}

bool array_same_shape(const Array *a, const Array *b) {
  return a->rank == b->rank && memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) == 0;
}
