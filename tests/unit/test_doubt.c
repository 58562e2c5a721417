/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The stated error of a mean over replicates, part by part. */
#include "check.h"
#include "solve/doubt.h"
#include "solve/run.h"

#include <math.h>

enum { COUNT = MOST_REPLICATES };

static bool near(double a, double b) { return fabs(a - b) <= 1e-12 * (1 + fabs(b)); }

/* COUNT replicates of one number, alternately mean + d and mean - d, so that the error of the mean
 * is d / sqrt(COUNT - 1); companions at mean + shift and the same scatter, of the other sign. */
typedef struct One {
  double fine[COUNT], coarse[COUNT];
} One;

static One one(double mean, double d, double shift, double scatter) {
  One x;
  for (int j = 0; j < COUNT; j++) {
    double sign = j % 2 ? 1 : -1;
    x.fine[j] = mean + sign * d;
    x.coarse[j] = x.fine[j] + shift + sign * scatter;
  }
  return x;
}

static Replicates replicates(const One *x, int companions) {
  Replicates r = {.count = COUNT, .companions = companions, .n = 1, .share = 1.0 / 3};
  for (int j = 0; j < COUNT; j++) {
    r.fine[j] = &x->fine[j];
    r.coarse[j] = &x->coarse[j];
  }
  return r;
}

static double error_of(const One *x, int companions, Derivation *derivation, double *value) {
  Replicates r = replicates(x, companions);
  Grouping alone = grouping_of_times(1, 1);
  double error = NAN;
  CHECK(doubt(&r, derivation, NULL, 1, &alone, value, &error, NULL));
  return error;
}

static void same(const void *context, const double *x, double *out) {
  (void)context;
  *out = *x;
}

static void hinge(const void *context, const double *x, double *out) {
  (void)context;
  *out = fmax(0, *x);
}

static void test_scatter_and_bias(void) {
  double value, d = sqrt(COUNT - 1.0), student = run_student(COUNT);
  One scattered = one(5, d, 0, 0), off = one(5, 0, 3, 0), both = one(5, d, 3, 0);
  CHECK(near(error_of(&scattered, COUNT, NULL, &value), student) && near(value, 5));
  /* a resolution four times coarser is off by three more of what the fine one is */
  CHECK(near(error_of(&off, COUNT, NULL, &value), 1) && near(value, 5));
  CHECK(near(error_of(&both, COUNT, NULL, &value), hypot(student, 1)));
  CHECK(near(error_of(&both, COUNT / 2, NULL, &value), hypot(student, 1)));
  CHECK(near(error_of(&both, 0, NULL, &value), student));
  CHECK(near(error_of(&both, COUNT, same, &value), hypot(student, 1)) && near(value, 5));
}

/* A bias is taken in excess of twice the square of its own error: with the scatter 3 d of the
 * difference its error is one. */
static void test_noise_of_bias(void) {
  double value, d = 3 * sqrt(COUNT - 1.0);
  One hidden = one(0, 0, 3 * 1.41, d), seen = one(0, 0, 3 * 2, d);
  CHECK(error_of(&hidden, COUNT, NULL, &value) == 0);
  CHECK(near(error_of(&seen, COUNT, NULL, &value), sqrt(2)));
  CHECK(near(error_of(&seen, COUNT, same, &value), sqrt(2)));
}

/* On a flat piece the error is that of the slope beyond the kink as long as that is in reach, two
 * errors away; half the directions cross it. */
static void test_kink(void) {
  double value, d = sqrt(COUNT - 1.0), student = run_student(COUNT);
  One here = one(0, d, 0, 0), close = one(-1.5, d, 0, 0), far = one(-2.5, d, 0, 0);
  CHECK(near(error_of(&here, 0, hinge, &value), student * sqrt(0.5)) && value == 0);
  CHECK(near(error_of(&close, 0, hinge, &value), student * sqrt(0.5) * 0.25) && value == 0);
  CHECK(error_of(&far, 0, hinge, &value) == 0);
  One off = one(-0.5, 0, 3, 0);
  CHECK(near(error_of(&off, COUNT, hinge, &value), sqrt(0.5) * 0.75) && value == 0);
}

/* An entry shares half its variance with its group. */
static void test_groups(void) {
  enum { STEPS = 2, POINTS = 2, N = STEPS * POINTS * STEPS * POINTS };
  double fine[COUNT][N], value[N], error[N], student = run_student(COUNT);
  Replicates r = {.count = COUNT, .n = N};
  for (int j = 0; j < COUNT; j++) {
    for (int i = 0; i < N; i++) fine[j][i] = i == 2 ? (j % 2 ? 1 : -1) * sqrt(COUNT - 1.0) : 0;
    r.fine[j] = fine[j];
  }
  Grouping pairs = grouping_of_pairs(STEPS, POINTS), times = grouping_of_times(STEPS, N / STEPS);
  CHECK(doubt(&r, NULL, NULL, N, &pairs, value, error, NULL));
  for (int i = 0; i < N; i++) { /* entry 2 is (0 0, 1 0), of the pair of times 0, 1 */
    bool group = i / (N / STEPS) == 0 && i / POINTS % STEPS == 1;
    double squares = (i == 2 ? 1 : 0) + (group ? 1.0 / (POINTS * POINTS) : 0);
    CHECK(near(error[i], student * sqrt(squares / 2)));
  }
  CHECK(doubt(&r, NULL, NULL, N, &times, value, error, NULL));
  for (int i = 0; i < N; i++) {
    double squares = (i == 2 ? 1 : 0) + (i < N / STEPS ? (double)STEPS / N : 0);
    CHECK(near(error[i], student * sqrt(squares / 2)));
  }
}

/* Of an entry and of the one across the diagonal the error is one. */
static void test_symmetry(void) {
  double error[9] = {1, 1, 0, 7, 2, 3, 8, 5, 3};
  run_symmetrize(3, error);
  static const double expected[9] = {1, 5, 0, 5, 2, 0, 0, 0, 3};
  for (int i = 0; i < 9; i++)
    CHECK(near(error[i], i == 2 || i == 6 ? sqrt(32) : i == 5 || i == 7 ? sqrt(17) : expected[i]));
}

int main(void) {
  test_scatter_and_bias();
  test_noise_of_bias();
  test_kink();
  test_groups();
  test_symmetry();
  return check_done();
}
