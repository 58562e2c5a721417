/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "check.h"
#include "num/stats.h"
#include "result/scatter.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static Array *vector(size_t n, const double *x) {
  Array *a = array_new(1, &n);
  memcpy(a->data, x, n * sizeof *x);
  return a;
}

/* Blocks of samples move the mean by its standard error, in the mean square; blocks of one sample
 * exactly, and the variance by the jackknife's error. */
static void test_moments(void) {
  static const double x[] = {1, 3, 2, 7, 4, 4.5};
  enum { N = sizeof x / sizeof *x };
  Moments m;
  double mean, error, variance, of_variance, squares = 0, jackknife = 0;
  CHECK(moments_start(&m, 1, 4) && moments_divide(&m, N));
  for (int i = 0; i < N; i++) moments_add(&m, &x[i]);
  CHECK(moments_blocks(&m) == N);
  moments_mean(&m, &mean, &error);
  moments_variance(&m, 2, &variance, &of_variance);
  double *move = moments_moves(&m, 0), *of_square = moments_moves(&m, 2);
  for (size_t k = 0; k < N; k++) {
    squares += move[k] * move[k] / N;
    CHECK(fabs(move[k] - ((x[k] - mean) / sqrt(N - 1.0))) < 1e-12);
    jackknife += of_square[k] * of_square[k] / N;
  }
  CHECK(fabs(sqrt(squares) - (error)) < 1e-12);
  /* the error allows for the agreement of so few by chance */
  CHECK(sqrt(jackknife) > 0.1 * of_variance && sqrt(jackknife) < of_variance);
  free(move);
  free(of_square);
  moments_free(&m);
}

/* Unequal blocks: the last has what is left, and what an ensemble lacks that was stopped is no
 * block. */
static void test_blocks(void) {
  Moments m;
  double x = 0, sum = 0;
  CHECK(moments_start(&m, 1, 2) && moments_divide(&m, 100));
  for (int i = 0; i < 45; i++, x += 1) moments_add(&m, &x);
  CHECK(moments_blocks(&m) == 7);
  double *move = moments_moves(&m, 0);
  for (size_t k = 0; k < 7; k++) {
    sum += move[k];
    CHECK(isfinite(move[k]));
  }
  CHECK(fabs(sum) < 10);
  free(move);
  moments_free(&m);
}

static void test_scale(void) {
  Scatter *s = scatter_new();
  scatter_add(s, 1, 0.5, vector(3, (double[]){1, 2, 0}));
  scatter_add(s, 2, 0.5, vector(3, (double[]){-1, 2, 0}));
  Array *error = vector(3, (double[]){3, 2, 5}), *rest = NULL;
  Array *scale = scatter_scale(s, error, &rest);
  CHECK(fabs(scale->data[0] - (3)) < 1e-15);
  CHECK(fabs(scale->data[1] - (1)) < 1e-15);
  CHECK(rest && rest->data[0] == 0);
  CHECK(fabs(0.5 * pow(rest->data[2], 2) - (25)) < 1e-14);
  array_drop(scale);
  array_drop(rest);
  array_drop(error);
  scatter_drop(s);
}

/* Errors alone: every number moves by its own, with signs that have nothing to do with each other,
 * and the same ones the next time. */
static void test_independent(void) {
  size_t n = 4096;
  Array *value = array_new(1, &n), *error = array_new(1, &n);
  for (size_t i = 0; i < n; i++) error->data[i] = 1 + (double)i / 100;
  Scatter *a = scatter_independent(value, error), *b = scatter_independent(value, error);
  double product = 0;
  for (int k = 0; k < a->count; k++) {
    CHECK(a->list[k].id == b->list[k].id);
    for (size_t i = 0; i < n; i++) {
      CHECK(fabs(a->list[k].move->data[i]) == error->data[i]);
      CHECK(a->list[k].move->data[i] == b->list[k].move->data[i]);
      if (i) product += copysign(1, a->list[k].move->data[i] * a->list[k].move->data[i - 1]);
    }
  }
  CHECK(fabs(product) < 5 * sqrt((double)n * a->count));
  scatter_drop(b);
  error->data[0] = 2;
  b = scatter_independent(value, error);
  CHECK(a->list[0].id != b->list[0].id);
  scatter_drop(a);
  scatter_drop(b);
  b = scatter_independent(value, NULL);
  CHECK(b->count == 1 && isnan(b->list[0].move->data[0]));
  scatter_drop(b);
  array_drop(value);
  array_drop(error);
}

static void test_text(void) {
  Scatter *s = scatter_new();
  scatter_add(s, UINT64_MAX - 1, 0.125, vector(2, (double[]){1, -2}));
  scatter_add(s, scatter_id("dmft", 3, 8, 1), 1, vector(2, (double[]){0.1, 3}));
  Array *like = vector(2, (double[]){0, 0}), *other = vector(3, (double[]){0, 0, 0}),
        *moves = scatter_stack(s);
  char *text = scatter_text(s);
  Scatter *back = scatter_unstack(moves, text, like);
  CHECK(back && back->count == 2 && back->list[0].id == UINT64_MAX - 1);
  CHECK(back && scatter_find(back, scatter_id("dmft", 3, 8, 1))->move->data[1] == 3);
  CHECK(!scatter_unstack(moves, text, other));
  CHECK(!scatter_unstack(moves, "ff 0.5", like));
  CHECK(!scatter_unstack(moves, "ff 0.5 x", like));
  CHECK(!scatter_unstack(moves, "ff nan 1 1", like));
  CHECK(scatter_id("dmft", 3, 8, 1) != scatter_id("dmft", 4, 8, 1));
  scatter_drop(back);
  scatter_drop(s);
  array_drop(moves);
  array_drop(like);
  array_drop(other);
  free(text);
}

int main(void) {
  test_moments();
  test_blocks();
  test_scale();
  test_independent();
  test_text();
  return check_done();
}
