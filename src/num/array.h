/* SPDX-License-Identifier: GPL-3.0-or-later */
/* N-dimensional arrays of doubles, row major, shared by reference count. An array that is shared is
 * never written to. Functions that can fail return NULL and put a one-line reason (without place,
 * static or thread-local storage) into `*why`. */
#ifndef DMF_NUM_ARRAY_H
#define DMF_NUM_ARRAY_H

#include <stdbool.h>
#include <stddef.h>

enum { ARRAY_MAX_RANK = 8 };

typedef struct Array {
  int references;
  int rank; /* 0: a number */
  size_t shape[ARRAY_MAX_RANK];
  size_t size; /* product of shape */
  double *data;
} Array;

/* A zeroed array; NULL if the memory cannot be had (or the size overflows). */
Array *array_new(int rank, const size_t *shape);
/* Never NULL, as all that is small. */
Array *array_scalar(double value);
Array *array_keep(Array *array);
void array_drop(Array *array); /* NULL is allowed */
bool array_same_shape(const Array *a, const Array *b);

#endif
