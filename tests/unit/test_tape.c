/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Readings of the tape against divided differences: a calculation that has every operation in it is
 * run again with the weight of one neuron changed. */
#include "num/random.h"
#include "machine/tape.h"
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { S = 70, ROWS = 4, SPACES = 2 };
static const TapeSpace spaces[SPACES] = {{S, 1, 0}, {S, 1, 0}};

typedef struct Maps {
  TapeMap *tanh, *product;
} Maps;

static TapeMap *map_of(ExprPool *pool, const Expr *e, int count) {
  const Expr *slope[3];
  for (int k = 0; k < count; k++) slope[k] = expr_diff(pool, e, k);
  return tape_map_new(e, slope, count);
}

static Maps make_maps(ExprPool *pool) {
  const Expr *tanh = expr_call(pool, PRIM_TANH, expr_arg(pool, 0), NULL, NULL);
  const Expr *scaled = expr_call(pool, PRIM_MUL, tanh, expr_arg(pool, 1), NULL);
  return (Maps){map_of(pool, tanh, 1), map_of(pool, scaled, 2)};
}

static View noise(Tape *tape, int space, unsigned stream, size_t rows) {
  View view = tape_wide(tape, space, rows, true);
  for (size_t r = 0; r < rows; r++)
    random_normals(7, stream, r * S, S, tape_data(tape, view_rows(view, r, 1)));
  return view;
}

/* Two populations that meet each other's directions, or without `bases` averages alone; the results
 * are two tables. */
static void calculate(Tape *tape, const Maps *maps, bool bases, View *first, View *second) {
  View u = noise(tape, 0, 1, ROWS), r = noise(tape, 1, 2, ROWS);
  View x = tape_wide(tape, 0, ROWS, false), q = tape_wide(tape, 0, 0, false);
  tape_map(tape, x, maps->tanh, &u);
  View L = tape_table(tape, ROWS, 2 * ROWS, false);
  double squares[ROWS];
  tape_squares(tape, x, squares);
  size_t k = bases ? tape_extend(tape, &q, x, 1e-3, squares, view_cols(L, 0, ROWS)) : ROWS;
  if (!bases) tape_average(tape, view_cols(L, 0, ROWS), 1, x, x, 1);
  L = view_cols(L, 0, k);

  View h = tape_wide(tape, 1, ROWS, false), g = tape_wide(tape, 1, ROWS, false);
  tape_product(tape, h, 0.7, L, view_rows(r, 0, k), AS_IS);
  tape_map(tape, g, maps->product, (View[]){h, view_rows(r, 0, 2)});
  View G = tape_table(tape, ROWS, ROWS, false), mixed = tape_table(tape, ROWS, ROWS, false);
  tape_average(tape, G, 1.5, g, h, 1);
  tape_product(tape, mixed, 1, G, L, TRANSPOSE_B);

  /* a table as a number for every row, a row for every column, groups of rows, other shapes */
  View c = tape_table(tape, ROWS, 1, false), column = tape_table(tape, 1, ROWS, false);
  View row = view_rows(G, 1, 1);
  tape_product(tape, column, 2, row, mixed, AS_IS);
  tape_reshape(tape, c, column);
  View y = tape_wide(tape, 0, ROWS, false), z = tape_same(tape, y);
  tape_product(tape, y, 1, mixed, x, TRANSPOSE_A);
  tape_copy(tape, y, 0.5, view_rows(x, 1, 2));
  tape_average_rows(tape, c, 0.6, y, view_rows(x, 0, 2));
  tape_average_rows(tape, c, 0.4, x, x);
  tape_average_rows(tape, c, -0.8, view_rows(x, 1, 2), NO_VIEW);
  tape_map(tape, z, maps->product, (View[]){y, c});
  *first = tape_table(tape, ROWS, ROWS, false);
  tape_average(tape, *first, 1, z, x, 1);
  if (bases) { /* directions that averages have a part in, and what lies along them */
    View M = tape_table(tape, ROWS, ROWS, false), known = tape_table(tape, ROWS, k, false),
         bent = tape_same(tape, z), rest = tape_same(tape, z);
    tape_map(tape, bent, maps->tanh, &z);
    tape_average(tape, known, 1, bent, q, 1);
    tape_copy(tape, rest, 1, bent);
    tape_product(tape, rest, -1, known, q, AS_IS);
    tape_squares(tape, bent, squares);
    size_t more = tape_extend(tape, &q, rest, 0.02, squares, M);
    CHECK(more > 0);
    View along = tape_wide(tape, 0, more, false);
    tape_map(tape, along, maps->tanh, (View[]){view_rows(q, k, more)});
    tape_average(tape, view_cols(*first, 0, more), 0.5, x, along, 1);
  }
  View soft = tape_table(tape, ROWS, ROWS, false), causal = tape_table(tape, ROWS, ROWS, false);
  tape_softmax(tape, soft, G, 0);
  tape_softmax(tape, causal, mixed, 2);
  tape_product(tape, *first, 0.5, soft, causal, TRANSPOSE_B);
  View T = tape_table(tape, ROWS, ROWS, false), sums = tape_table(tape, 2, 1, false);
  tape_map(tape, T, maps->product, (View[]){G, column});
  tape_lse(tape, sums, c);
  View pairs = tape_table(tape, 2, 2, false), v = tape_table(tape, 2, 1, false),
       w = tape_table(tape, 1, 2, false);
  tape_average(tape, pairs, 0.7, z, x, 2);
  tape_product(tape, v, 1, pairs, sums, TRANSPOSE_A);
  tape_reshape(tape, w, v);
  *second = tape_table(tape, 1, ROWS, false);
  tape_product(tape, *second, 0.3, w, view_rows(T, 1, 2), AS_IS);
}

static double functional(const double *weights, const Maps *maps, const double *mix) {
  Tape *tape = tape_new(spaces, SPACES, weights, false, false);
  View first, second;
  calculate(tape, maps, true, &first, &second);
  double value = 0;
  for (int i = 0; i < ROWS * ROWS; i++) value += mix[i] * tape_data(tape, first)[i];
  for (size_t i = 0; i < second.cols; i++) value += mix[i] * tape_data(tape, second)[i];
  tape_free(tape);
  return value;
}

/* sum over populations of w_i Y_i^2 is w_i (dX / dw_i)^2 only where they do not share neurons: here
 * neuron i of one population is independent of neuron i of the other, so both are changed at once
 * and the influences add. */
static void influences_are_derivatives(const Maps *maps) {
  double weights[S], mix[ROWS * ROWS], influence[SPACES * S], total = 0;
  for (int i = 0; i < S; i++) total += weights[i] = 1 + 0.5 * sin(i);
  for (int i = 0; i < S; i++) weights[i] /= total;
  random_normals(9, 3, 0, ROWS * ROWS, mix);

  Tape *tape = tape_new(spaces, SPACES, weights, false, true);
  View first, second;
  calculate(tape, maps, true, &first, &second);
  Seed seeds[2 * ROWS * ROWS];
  size_t count = 0;
  for (size_t i = 0; i < ROWS * ROWS; i++)
    seeds[count++] = (Seed){first, i / ROWS, i % ROWS, mix[i]};
  for (size_t i = 0; i < second.cols; i++) seeds[count++] = (Seed){second, 0, i, mix[i]};
  CHECK(tape_influence_size(tape) == SPACES * S);
  CHECK(tape_influences(tape, tape_mark(tape), &(Observable){seeds, count}, 1, NULL, influence));

  double slope[S], mean = 0;
  for (int i = 0; i < S; i++) {
    double up[S], down[S], e = 1e-5;
    memcpy(up, weights, sizeof up);
    memcpy(down, weights, sizeof down);
    up[i] += e;
    down[i] -= e;
    slope[i] = (functional(up, maps, mix) - functional(down, maps, mix)) / (2 * e);
    mean += weights[i] * slope[i];
  }
  for (int i = 0; i < S; i++) {
    double wanted = sqrt(weights[i]) * (slope[i] - mean), got = influence[i] + influence[S + i];
    CHECK(fabs(got - wanted) < 1e-6 * (1 + fabs(wanted)));
  }
  tape_free(tape);
}

/* Two observables read together are read as each alone, and a stop is heeded. */
static void readings_do_not_mix(const Maps *maps) {
  Tape *tape = tape_new(spaces, SPACES, NULL, false, true);
  View first, second;
  calculate(tape, maps, true, &first, &second);
  Seed a = {first, 1, 2, 1}, b = {second, 0, 1, -2};
  Observable both[] = {{&a, 1}, {&b, 1}};
  double together[2 * SPACES * S], alone[SPACES * S];
  volatile sig_atomic_t stop = 0;
  CHECK(tape_influences(tape, tape_mark(tape), both, 2, &stop, together));
  for (int k = 0; k < 2; k++) {
    CHECK(tape_influences(tape, tape_mark(tape), &both[k], 1, &stop, alone));
    for (int i = 0; i < SPACES * S; i++)
      CHECK(fabs(alone[i] - together[k * SPACES * S + i]) < 1e-12);
  }
  stop = 1;
  CHECK(!tape_influences(tape, tape_mark(tape), both, 2, &stop, together));
  tape_free(tape);
}

/* What is read forward is what is read backward, but for rounding, and for all that is made of the
 * same averages; other observables, and those that neurons hear of too much for, are read backward.
 */
static void forward_is_backward(const Maps *maps, const double *weights) {
  enum { ASKED = 3, SIZE = SPACES * S };
  Tape *tape = tape_new(spaces, SPACES, weights, false, true);
  View first, second;
  calculate(tape, maps, false, &first, &second);
  Seed seeds[] = {{first, 1, 2, 1}, {second, 0, 1, -2}, {first, 3, 0, 0.5}};
  Observable asked[ASKED] = {{seeds, 2}, {seeds + 1, 1}, {seeds + 2, 1}};
  double backward[ASKED * SIZE], forward[ASKED * SIZE], off = 0, most = 0;
  int mark = tape_mark(tape);
  volatile sig_atomic_t stop = 0;
  CHECK(tape_influences(tape, mark, asked, ASKED, &stop, backward));
  CHECK(tape_read_forward(tape, asked, ASKED, 1, &stop));
  CHECK(tape_influences(tape, mark, asked, ASKED, &stop, forward));
  CHECK(memcmp(forward, backward, sizeof forward) == 0);
  CHECK(tape_read_forward(tape, &asked[1], 1, SIZE, &stop));
  CHECK(tape_influences(tape, mark, &asked[2], 1, &stop, forward));
  CHECK(tape_influences(tape, mark, &asked[2], 1, &stop, backward + 2 * SIZE));
  CHECK(memcmp(forward, backward + 2 * SIZE, SIZE * sizeof *forward) == 0);
  CHECK(tape_read_forward(tape, asked, ASKED, SIZE, &stop));
  CHECK(tape_influences(tape, mark, asked, ASKED, &stop, forward));
  CHECK(memcmp(forward, backward, sizeof forward) != 0);
  for (int i = 0; i < ASKED * SIZE; i++) {
    off = fmax(off, fabs(forward[i] - backward[i]));
    most = fmax(most, fabs(backward[i]));
  }
  CHECK(off < 1e-13 * most);
  tape_free(tape);
}

static void both_ways(const Maps *maps) {
  double weights[S], total = 0;
  for (int i = 0; i < S; i++) total += weights[i] = 1 + 0.5 * sin(i);
  for (int i = 0; i < S; i++) weights[i] /= total;
  forward_is_backward(maps, NULL);
  forward_is_backward(maps, weights);
}

/* x = a n_0 + b n_1 with fresh noise in coordinates: N Var <x x> = 2 (a^2 + b^2)^2 over the size
 * ratio of the population; and 2 a^4 + 2 b^4 when n_1 is known to be orthogonal to e_0. */
static void fresh_noise(bool orthogonal, double ratio) {
  Tape *tape = tape_new(&(TapeSpace){2, ratio, 0}, 1, NULL, true, true);
  View q = tape_wide(tape, 0, 1, true), x = tape_wide(tape, 0, 1, false);
  tape_data(tape, q)[0] = sqrt(2);
  View n = tape_fresh(tape, 0, 2, (int[]){0, 1}, q, orthogonal ? (int[]){0, 1} : NULL);
  View c = tape_table(tape, 1, 2, true), kernel = tape_table(tape, 1, 1, false);
  double a = 0.6, b = -1.1;
  tape_data(tape, c)[0] = a;
  tape_data(tape, c)[1] = b;
  tape_product(tape, x, 1, c, n, AS_IS);
  tape_average(tape, kernel, 1, x, x, 1);
  Seed seed = {kernel, 0, 0, 1};
  double influence[4], var = 0, cross = orthogonal ? 0 : 4 * a * a * b * b;
  CHECK(tape_influence_size(tape) == 4);
  CHECK(tape_influences(tape, tape_mark(tape), &(Observable){&seed, 1}, 1, NULL, influence));
  for (int i = 0; i < 4; i++) var += influence[i] * influence[i];
  CHECK(fabs(ratio * var - 2 * pow(a, 4) - 2 * pow(b, 4) - cross) < 1e-12);
  tape_free(tape);
}

/* Columns in no average: products reach them, averages do not see them. */
static void passive_columns(void) {
  Tape *tape = tape_new(&(TapeSpace){5, 1, 3}, 1, NULL, true, false);
  View x = tape_wide(tape, 0, 1, false), kernel = tape_table(tape, 1, 1, false);
  View two = tape_constant(tape, 1, 1, (double[]){2}), y = tape_same(tape, x);
  for (int i = 0; i < 5; i++) tape_data(tape, x)[i] = i + 1;
  tape_average(tape, kernel, 1, x, x, 1);
  CHECK(fabs(*tape_data(tape, kernel) - 2.5) < 1e-15);
  double square = 0;
  tape_squares(tape, x, &square);
  CHECK(fabs(square - 2.5) < 1e-15);
  tape_product(tape, y, 1, two, x, AS_IS);
  CHECK(tape_columns(tape, 0) == 5 && fabs(tape_data(tape, y)[4] - 10) < 1e-15);
  tape_free(tape);
}

/* A block that was not written yet is zero, though its memory served the extension of a basis. */
static void fresh_blocks_are_zero(bool record) {
  Tape *tape = tape_new(spaces, SPACES, NULL, false, record);
  View x = noise(tape, 0, 1, ROWS), q = tape_wide(tape, 0, 0, false),
       L = tape_table(tape, ROWS, ROWS, false), sum = tape_wide(tape, 0, ROWS, false);
  double squares[ROWS], most = 0;
  tape_squares(tape, x, squares);
  CHECK(tape_extend(tape, &q, x, 1e-3, squares, L) == ROWS);
  View blank = tape_wide(tape, 0, ROWS, false);
  tape_copy(tape, sum, 1, blank);
  for (size_t i = 0; i < S * ROWS; i++)
    most = fmax(most, fabs(tape_data(tape, view_rows(sum, i / S, 1))[i % S]));
  CHECK(most <= 0);
  tape_free(tape);
}

/* A row of mean squares a^2, b^2 along two of the axes. */
static void put_row(Tape *tape, View rows, size_t r, size_t i, double a, size_t j, double b) {
  double *x = tape_data(tape, view_rows(rows, r, 1));
  x[i] += a * sqrt((double)rows.cols);
  x[j] += b * sqrt((double)rows.cols);
}

/* Rows give a direction where what is left of them stands out of tol times what it was computed
 * from: behind those that the basis has, and behind those that they gave before. */
static void directions_stand_out(bool record) {
  Tape *tape = tape_new(&(TapeSpace){8, 1, 0}, 1, NULL, false, record);
  View q = tape_wide(tape, 0, 0, false), x = tape_wide(tape, 0, 2, false),
       y = tape_wide(tape, 0, 4, false), K = tape_table(tape, 2, 2, false),
       L = tape_table(tape, 4, 4, false), Q = tape_table(tape, 3, 3, false);
  put_row(tape, x, 0, 0, 0.7, 0, 0);
  put_row(tape, x, 1, 1, 1.4, 1, 0);
  CHECK(tape_extend(tape, &q, x, 0.1, (double[]){100, 100}, K) == 1);
  CHECK(fabs(tape_data(tape, view_rows(K, 1, 1))[0] - 1.4) < 1e-14);
  put_row(tape, y, 0, 2, 0.7, 2, 0);
  put_row(tape, y, 1, 3, 0.7, 3, 0);
  put_row(tape, y, 2, 3, 0.6, 4, 0.2);
  put_row(tape, y, 3, 3, 0.6, 5, 0.2);
  CHECK(tape_extend(tape, &q, y, 0.1, (double[]){100, 10, 1, 10}, L) == 2 && q.rows == 3);
  static const double wanted[4][2] = {{0, 0}, {0.7, 0}, {0.6, 0.2}, {0.6, 0}};
  for (size_t r = 0; r < 4; r++)
    for (size_t k = 0; k < 2; k++)
      CHECK(fabs(tape_data(tape, view_rows(L, r, 1))[k] - wanted[r][k]) < 1e-14);
  tape_average(tape, Q, 1, q, q, 1);
  for (size_t i = 0; i < 9; i++) CHECK(fabs(tape_data(tape, Q)[i] - (i % 4 == 0)) < 1e-14);
  CHECK(fabs(tape_data(tape, q)[1] - sqrt(8)) < 1e-14);
  tape_free(tape);
}

static void weighted_squares(void) {
  static const double weights[] = {0.5, 0.25, 0.25};
  Tape *tape = tape_new(&(TapeSpace){3, 1, 0}, 1, weights, true, false);
  View x = tape_wide(tape, 0, 2, false);
  for (size_t i = 0; i < 6; i++) tape_data(tape, view_rows(x, i / 3, 1))[i % 3] = (double)i + 1;
  double squares[2];
  tape_squares(tape, x, squares);
  CHECK(fabs(squares[0] - (0.5 + 1 + 2.25)) < 1e-15);
  CHECK(fabs(squares[1] - (8 + 6.25 + 9)) < 1e-14);
  tape_free(tape);
}

/* Rows of a block see columns up to their number; large numbers do not overflow. */
static void softmax_sees_the_past(void) {
  Tape *tape = tape_new(NULL, 0, NULL, false, false);
  View s = tape_constant(tape, 4, 2, (double[]){5, 9, 1000, 1000, -2, 3, 0, log(3)}),
       a = tape_table(tape, 4, 2, false);
  tape_softmax(tape, a, s, 2);
  const double wanted[] = {1, 0, 0.5, 0.5, 1, 0, 0.25, 0.75};
  for (int i = 0; i < 8; i++) CHECK(fabs(tape_data(tape, a)[i] - wanted[i]) < 1e-15);
  tape_free(tape);
}

int main(void) {
  ExprPool *pool = expr_pool_new();
  Maps maps = make_maps(pool);
  influences_are_derivatives(&maps);
  readings_do_not_mix(&maps);
  both_ways(&maps);
  fresh_noise(false, 1);
  fresh_noise(true, 1);
  fresh_noise(false, 0.5);
  passive_columns();
  directions_stand_out(false);
  directions_stand_out(true);
  weighted_squares();
  softmax_sees_the_past();
  fresh_blocks_are_zero(true);
  fresh_blocks_are_zero(false);
  tape_map_free(maps.tanh);
  tape_map_free(maps.product);
  expr_pool_free(pool);
  return check_done();
}
