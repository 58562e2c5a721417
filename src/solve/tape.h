/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Calculations with the neurons of populations, recorded so that they can be read backward.
 *
 * A block of numbers is *wide*, [rows, S] with one column for each neuron of a population, or a
 * *table* of a few numbers. Neurons speak to each other through averages alone: tables are made of
 * wide blocks by <x y> = sum_i w_i x_i y_i, and wide blocks of tables by products. An observable is
 * a function of tables. Read backward from it, the tape gives its derivative with respect to the
 * weight w_i of every neuron: the *influence* of the neuron,
 *
 *     Y_i = sum over averages C = <x y> of (d observable / d C) x_i y_i
 *
 * and by the delta method, N times the variance of the observable over networks of N neurons is the
 * sum over populations of the variance of Y over neurons, to leading order (theory.md section 6,
 * Fluctuations).
 *
 * In the Gaussian basis of a linear program a column is no neuron but a coordinate along a
 * direction of the population, orthonormal at any N, and <x y> a sum of products of coordinates.
 * What fluctuates is where fresh noise points (tape_fresh), and the influence of an observable is
 * its derivative with respect to that.
 *
 * A block must be complete before it is used: operations add to their output, and what reads a
 * block backward sees its final value. */
#ifndef DMF_SOLVE_TAPE_H
#define DMF_SOLVE_TAPE_H

#include "scalar/kernel.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct Tape Tape;

/* Part of a block: rows row .. row+rows, columns col .. col+cols. Wide ones span all columns. */
typedef struct View {
  int slab;
  size_t row, rows, col, cols;
} View;

/* An elementwise function of several blocks, and its derivatives (none where they vanish). */
typedef struct TapeMap {
  Kernel *value, **slope;
  int count;
} TapeMap;
TapeMap *tape_map_new(const Expr *value, const Expr *const *slope, int count);
void tape_map_free(TapeMap *map);

/* S columns, averaged with `weights` [S] (NULL: 1/S; not copied); `spaces` populations, numbered
 * from 0. `coordinates`: columns are coordinates. Without `record` the tape only calculates. */
Tape *tape_new(size_t columns, const double *weights, int spaces, bool coordinates, bool record);
void tape_free(Tape *tape);
/* More columns, that are in no average; before there are blocks, and not to be recorded. */
void tape_add_passive(Tape *tape, size_t columns);
/* True once memory ran out; further calls then do nothing. */
bool tape_failed(const Tape *tape);
double tape_bytes(const Tape *tape); /* held by its blocks */

/* Blocks of zeros. Constants have no derivative. */
View tape_wide(Tape *tape, int space, size_t rows, bool constant);
View tape_table(Tape *tape, size_t rows, size_t cols, bool constant);
/* In coordinates: fresh Gaussian vectors n_i of N neurons, in order, each of which points along its
 * own new coordinate axis[i], but for fluctuations of order 1/N,
 *
 *     sqrt(N) (n_i - e_axis) = sum over coordinates before axis[i] of g e + g / sqrt(2) e_axis
 *
 * with independent normal g (the last, since the square of the length is chi^2); and without the
 * part along the first known[i] rows of `known_rows`, where the vector is known already. A NULL
 * `known`: nothing is. */
View tape_fresh(Tape *tape, int space, size_t rows, const int *axis, View known_rows,
                const int *known);
/* A block of zeros like a view, on the same population. */
View tape_same(Tape *tape, View view);
/* `rows` more rows of zeros for the block of a view of all its rows so far, whose view of all rows
 * is then returned. Pointers into the block become invalid. */
View tape_grow(Tape *tape, View whole, size_t rows);
/* A block will not be used again: without `record` its memory is given back. */
void tape_drop(Tape *tape, View view);
View view_rows(View view, size_t first, size_t rows);
View view_cols(View view, size_t first, size_t cols);
/* The first number of a view; rows are tape_stride apart. */
double *tape_data(const Tape *tape, View view);
size_t tape_stride(const Tape *tape, View view);

/* out += alpha A B, with a table A, and B wide, or a table or its transpose. */
void tape_product(Tape *tape, View out, double alpha, View a, View b, bool transposed);
/* out += alpha <a b^T>: the table of all pairs of rows of two wide blocks. */
void tape_average(Tape *tape, View out, double alpha, View a, View b);
/* out[r] += alpha in[r mod in.rows]. */
void tape_copy(Tape *tape, View out, double alpha, View in);
/* out = map(args), elementwise. An argument with fewer rows serves `group` successive rows of out
 * with each of its own. */
void tape_map(Tape *tape, View out, const TapeMap *map, const View *args, size_t group);
/* Tables: out[i, j] += alpha a[i/a_row, j/a_col] b[i/b_row, j/b_col]; a_row = 0 takes entry j of
 * a^T in order for a. */
void tape_multiply(Tape *tape, View out, double alpha, View a, size_t a_row, size_t a_col, View b,
                   size_t b_row, size_t b_col);
/* Tables: out[i, j] += alpha sum_k c_k x[k/C, i] y[k, j], for the entries c_k of c^T in order and
 * C = y.rows / x.rows. */
void tape_outer(Tape *tape, View out, double alpha, View c, View x, View y);
/* Tables: entry i of out^T += alpha sum_k a[i, k] b_k, with the entries b_k of b^T, in order. */
void tape_contract(Tape *tape, View out, double alpha, View a, View b);
/* Wide: out[r] += a_r in[r/C] for the entries a_r of the table a^T in order, C = a.rows. */
void tape_weigh(Tape *tape, View out, View a, View in);
/* Gram-Schmidt in order of the rows of wide `residual`, which are orthogonal to the rows of `basis`
 * already: appends to the block `basis` a direction for every row that stands out by more than
 * `threshold` (its mean square), writes the coordinates of all rows in the new directions into the
 * columns of `coordinates` (as many as rows), and returns the number of directions. */
size_t tape_extend(Tape *tape, View *basis, View residual, double threshold, View coordinates);

/* The largest mean square of the rows of a wide view. */
double tape_largest(const Tape *tape, View view);

/* How much is recorded: a place from which to read backward. */
int tape_mark(const Tape *tape);

/* An observable: sum of weight times the entry (row, col) of a table. */
typedef struct Seed {
  View table;
  size_t row, col;
  double weight;
} Seed;
typedef struct Observable {
  const Seed *seeds;
  size_t count;
} Observable;

/* Numbers in the influence of one observable. */
size_t tape_influence_size(const Tape *tape);
/* The influences of `count` observables, [count, tape_influence_size], such that N times the
 * covariance of two observables is the inner product of their influences. Reads backward from
 * `mark`. Several threads may read one tape. False if memory ran out, or *stop became nonzero. */
bool tape_influences(const Tape *tape, int mark, const Observable *observables, size_t count,
                     const volatile sig_atomic_t *stop, double *influences);

#endif
