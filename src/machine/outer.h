/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The gradients of a matrix between populations as sums of products y x^T over its uses. */
#ifndef DMF_MACHINE_OUTER_H
#define DMF_MACHINE_OUTER_H

#include "machine/entries.h"
#include "machine/machine.h"

/* Rows of x that training sees, over the uses. */
size_t outer_rows(const Program *program, int root);
/* Fills in products[uses] of sum over uses of force y x^T, where y [outer_rows, N_to] takes what
 * the forces make of backward fields. */
void outer_products(const Machine *m, int root, const View *force, int uses, double *y,
                    Outer *products);

#endif
