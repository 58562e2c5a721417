/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tables of numbers each of which moves by its own history: what entrywise optimizers need. */
#ifndef DMF_MACHINE_ENTRIES_H
#define DMF_MACHINE_ENTRIES_H

#include "base/pieces.h"
#include "field/program.h"

/* [to, from], with the moments of the gradients that the optimizer has. */
typedef struct Entries {
  size_t to, from;
  double *w, *mean, *square;
  double *average; /* of w, or NULL */
  double *block;   /* some rows of a gradient */
} Entries;

/* A sum over rows of y x^T: y [rows, to], x [rows, from], with rows ldy and ldx apart. */
typedef struct Outer {
  const double *y, *x;
  size_t rows, ldy, ldx;
} Outer;

/* Zeros; false if memory ran out. */
bool entries_new(Entries *entries, size_t to, size_t from, bool averaged);
void entries_free(Entries *entries);
void entries_pieces(Entries *entries, Piece *piece, void *sink);
double entries_bytes(double to, double from, bool averaged);
/* average <- keep average + (1 - keep) w, of n numbers; without an average, nothing. */
void entries_average(size_t n, double keep, const double *w, double *average);
/* w <- keep w + step psi(O), with the psi of the move, O = factor sum of the products. Adds the
 * squares of the O_ij to *squares, if that is not NULL. Returns the floating point operations. */
double entries_learn(Entries *entries, const Move *move, double step, const Outer *products,
                     int count, double *squares);
/* The most that the root of the mean square of the O_ij can be: by what the products are made of.
 */
double entries_bound(const Entries *entries, const Move *move, const Outer *products, int count);

#endif
