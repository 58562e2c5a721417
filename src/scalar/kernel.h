/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Expressions compiled for whole vectors: the elementwise machine. */
#ifndef DMF_SCALAR_KERNEL_H
#define DMF_SCALAR_KERNEL_H

#include "scalar/expr.h"

#include <stddef.h>

typedef struct Kernel Kernel;

/* Compiles one expression of its arguments 0, 1, .... */
Kernel *kernel_new(const Expr *e);
void kernel_free(Kernel *kernel);
/* out[i] = e(args[0][i], args[1][i], ...) for i < n. `out` may be one of the arguments. Safe to
 * call from several threads at once. */
void kernel_run(const Kernel *kernel, size_t n, const double *const *args, double *out);

/* The same for rows of n numbers that are step[k] apart in argument k, and ldo in `out`. */
void kernel_run_rows(const Kernel *kernel, size_t rows, size_t n, const double *const *args,
                     const size_t *step, double *out, size_t ldo);

#endif
