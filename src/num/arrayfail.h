/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Shared by the arrayops files: how they fail, and arrays whose size the script chose. */
#ifndef DMF_NUM_ARRAYFAIL_H
#define DMF_NUM_ARRAYFAIL_H

#include "base/status.h"
#include "num/array.h"

/* What was computed, or NULL after failing, when somebody wants out (base/work.h): then it was left
 * half made. NULL stays NULL. */
Array *array_whole(Array *array, const char **why);
/* Whether somebody wants out; fails then. */
bool array_stops(const char **why);

/* Composes the text in this thread's storage, points `*why` at it; returns NULL. */
Array *array_fail(const char **why, Status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Whether so many numbers may be computed (base/work.h); fails with STATUS_LIMIT otherwise. */
bool array_affords(double numbers, const char **why);
/* The same of what products and factors of matrices cost, which OpenBLAS has to be there for. */
bool array_multiplies(double numbers, const char **why);

/* A zeroed array, refused beforehand when it is larger than the memory available, and when somebody
 * wants out. */
Array *array_fresh(int rank, const size_t *shape, const char **why);

/* Fails for want of so many bytes (0: not known how many), and says who bounds them; what
 * was left off because somebody wants out says that. */
Array *array_starve(double bytes, const char **why);

/* `count` zeroed objects of `size` bytes to work with, to be freed; NULL after failing. */
void *array_scratch(size_t count, size_t size, const char **why);

/* Whether every element is true or false; fails at NaN. */
bool array_decided(const Array *a, const char **why);

/* The axis that `axis` (negative from the last) names, or -1 after failing. */
int array_axis(const Array *a, double axis, const char **why);

#endif
