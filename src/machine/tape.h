/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Calculations with the neurons of populations, which can be recorded and read backward.
 *
 * A block of numbers is *wide*, [rows, S] with one column for each neuron of a population, or a
 * *table* of a few numbers. Neurons speak to each other through averages alone: tables are made of
 * wide blocks by <x y> = sum_i w_i x_i y_i, and wide blocks of tables by products. An observable is
 * a function of tables. Read backward from it, the tape gives its derivative with respect to the
 * weight w_i of every neuron: the *influence* of the neuron,
 *
 *     Y_i = sum over averages C = <x y> of (d observable / d C) x_i y_i
 *
 * and by the delta method, N times the variance of the observable over networks is the sum over
 * populations of the variance of Y over neurons, to leading order (theory.md section 6,
 * Fluctuations); a population of r N neurons counts with 1/r.
 *
 * In the Gaussian basis of a linear program a column is no neuron but a coordinate along a
 * direction of the population, orthonormal at any N, and <x y> a sum of products of coordinates.
 * What fluctuates is where fresh noise points (tape_fresh), and the influence of an observable is
 * its derivative with respect to that.
 *
 * A tape that does not record keeps only blocks that were asked to stay: tape_sweep frees the
 * others, and their memory serves the next step.
 *
 * A block must be complete before it is used: operations add to their output, which is zero at
 * first, and what reads a block backward sees its final value. */
#ifndef DMF_MACHINE_TAPE_H
#define DMF_MACHINE_TAPE_H

#include "base/pieces.h"
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

/* No block. */
#define NO_VIEW ((View){.slab = -1})

/* An elementwise function of several blocks, and its derivatives (none where they vanish, or when
 * the tape will not be read backward). */
typedef struct TapeMap {
  Kernel *value, **slope;
  int count;
} TapeMap;
/* What a map takes at most: the arguments of an op, and a number that belongs to it. */
enum { TAPE_MAX_ARGS = 10 };
/* `slope` NULL: no derivatives. */
TapeMap *tape_map_new(const Expr *value, const Expr *const *slope, int count);
void tape_map_free(TapeMap *map);

/* A population on the tape: S columns, and the size ratio that its neurons stand for. The last
 * `passive` columns are in no average, and are not recorded. */
typedef struct TapeSpace {
  size_t columns;
  double ratio;
  size_t passive;
} TapeSpace;

/* Averages are taken with `weights` [S] (NULL: 1/S; not copied), for which all populations must
 * have S columns, as for `coordinates`: columns are coordinates then. Without `record` the tape
 * only calculates. */
Tape *tape_new(const TapeSpace *spaces, int count, const double *weights, bool coordinates,
               bool record);
void tape_free(Tape *tape);
/* True once memory ran out; further calls then do nothing. */
bool tape_failed(const Tape *tape);
/* Floating point operations of its products, and of those that read it. */
double tape_flops(const Tape *tape);
/* Counts operations of what reads a tape. */
void tape_count(const Tape *tape, double flops);
/* The columns of a population, all of them. */
size_t tape_columns(const Tape *tape, int space);
/* Population of a wide block, -1 for a table. */
int tape_space(const Tape *tape, View view);

/* Blocks of zeros. Constants have no derivative. */
View tape_wide(Tape *tape, int space, size_t rows, bool constant);
View tape_table(Tape *tape, size_t rows, size_t cols, bool constant);
/* A wide block in single precision, but where the tape records, or has weights: rows that many
 * others meet, which are the second factor of products and averages, or are copied, grow and take
 * directions. Products with them, and what is written to them, are in single precision. */
View tape_narrow(Tape *tape, int space, size_t rows, bool constant);
/* In coordinates: fresh Gaussian vectors n_i of the N neurons of a population, in order, each of
 * which points along its own new coordinate axis[i], but for fluctuations of order 1/N,
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
/* A constant table of these numbers [rows, cols]. */
View tape_constant(Tape *tape, size_t rows, size_t cols, const double *numbers);
/* `rows` more rows of zeros for the block of a view of all its rows so far, whose view of all rows
 * is then returned. Pointers into the block become invalid. */
View tape_grow(Tape *tape, View whole, size_t rows);
/* The block of a view stays until it is dropped. */
View tape_keep(Tape *tape, View view);
void tape_drop(Tape *tape, View view);
/* Frees the blocks made since the last sweep that are not to stay; nothing when recording. */
void tape_sweep(Tape *tape);
/* What a tape holds that does not record, after a sweep: where views of it lie, too. A tape that is
 * to take all of another is emptied first. */
void tape_empty(Tape *tape);
void tape_pieces(Tape *tape, Piece *piece, void *sink);
void views_pieces(View *views, size_t count, Piece *piece, void *sink);
static inline View view_rows(View view, size_t first, size_t rows) {
  return (View){view.slab, view.row + first, rows, view.col, view.cols};
}
static inline View view_cols(View view, size_t first, size_t cols) {
  return (View){view.slab, view.row, view.rows, view.col + first, cols};
}
/* The first number of a view; rows are tape_stride apart. */
double *tape_data(const Tape *tape, View view);
size_t tape_stride(const Tape *tape, View view);
/* Of a block in single precision, which has nothing for tape_data; else NULL. */
const float *tape_single(const Tape *tape, View view);

/* out += alpha A B with a table A, and B wide or a table; one of two tables may be
 * transposed. */
typedef enum Transpose { AS_IS = 0, TRANSPOSE_A = 1, TRANSPOSE_B = 2 } Transpose;
void tape_product(Tape *tape, View out, double alpha, View a, View b, Transpose which);
/* out += (alpha / group) sum_g <a[i group + g] b[j group + g]>: the table of all pairs of rows of
 * two wide blocks of one population, or of all pairs of groups of rows. */
void tape_average(Tape *tape, View out, double alpha, View a, View b, size_t group);
/* out += alpha <a b> row by row, or alpha <a> where b is no view: a table of one column. A block
 * with fewer rows serves as many successive ones of out with each of its own. */
void tape_average_rows(Tape *tape, View out, double alpha, View a, View b);
/* out[r] += alpha in[r mod in.rows]. */
void tape_copy(Tape *tape, View out, double alpha, View in);
/* out = map(args), elementwise. An argument with fewer rows or columns serves as many successive
 * ones of out with each of its own; a table with one column is a number for each row. */
void tape_map(Tape *tape, View out, const TapeMap *map, const View *args);
/* Tables: out += the numbers of in, in order, in another shape. */
void tape_reshape(Tape *tape, View out, View in);
/* Wide: neuron i of out gains what neuron i - by of in has, on a ring. */
void tape_shift(Tape *tape, View out, View in, int by);
/* Tables of one column: out[i] = log sum_k exp(in[i group + k]). */
void tape_lse(Tape *tape, View out, View in);
/* Tables: every row of out is the softmax of that row of in; with a `period` only over the columns
 * up to the number of the row in its block of so many rows, and 0 beyond. */
void tape_softmax(Tape *tape, View out, View in, size_t period);
/* Gram-Schmidt in order of the rows of wide `residual`, which are orthogonal to the rows of `basis`
 * already: appends to the block `basis` a direction for every row whose mean square in what is left
 * exceeds tol^2 times scale[row], writes the coordinates of all rows in the new directions into the
 * columns of `coordinates` (as many as rows), and returns the number of directions. */
size_t tape_extend(Tape *tape, View *basis, View residual, double tol, const double *scale,
                   View coordinates);

/* The rows that gave the directions of the last extension, and what of them these are, relative to
 * their scale. */
typedef struct Extended {
  size_t row;
  double size;
} Extended;
const Extended *tape_extended(const Tape *tape);

/* The mean squares of the rows of a wide view, squares[rows]. */
void tape_squares(const Tape *tape, View view, double *squares);

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

/* The largest table that neurons may hear of where they are read forward. */
enum { TAPE_HEARD = 1024 };
/* Reads forward what `count` observables ask of a tape, and keeps it for their influences until
 * that is forgotten: worth it for many of them, where populations meet no matrices of their own.
 * Nothing is kept where that cannot be done, where it would be very large, or where more than
 * `most` averages are heard of by neurons, each of which costs as an observable does. False if
 * memory ran out, or *stop became nonzero. */
bool tape_read_forward(Tape *tape, const Observable *observables, size_t count, size_t most,
                       const volatile sig_atomic_t *stop);
/* Frees what was read forward where that is large beside the tape. */
void tape_forget_forward(Tape *tape);

/* Of what was read forward, and is kept: the averages that observables are made of, and those of
 * them that neurons hear of; the slopes are their product. */
void tape_forward_size(const Tape *tape, size_t *averages, size_t *heard);

/* N times what the means of observables over networks of N neurons differ by from those at infinite
 * N, to leading order [count], for maps without kinks; and what differences may be wrong by. Not
 * *done where neurons meet matrices of their own, or more that cannot be done once more. False if
 * memory ran out, or *stop became nonzero. */
bool tape_mean_shift(Tape *tape, const Observable *observables, size_t count,
                     const volatile sig_atomic_t *stop, double *shift, double *doubt, bool *done);

/* Numbers in the influence of one observable. */
size_t tape_influence_size(const Tape *tape);
/* The influences of `count` observables, [count, tape_influence_size], such that N times the
 * covariance of two observables is the inner product of their influences. Reads backward from
 * `mark`. Several threads may read one tape. False if memory ran out, or *stop became nonzero. */
bool tape_influences(const Tape *tape, int mark, const Observable *observables, size_t count,
                     const volatile sig_atomic_t *stop, double *influences);

#endif
