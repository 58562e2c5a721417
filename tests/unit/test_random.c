/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Random numbers: functions of their index, moments of the normal distribution, independent
 * streams; Sobol points integrate better than chance. */
#include "base/memory.h"
#include "check.h"
#include "num/random.h"

#include <gsl/gsl_cdf.h>
/* Random123 as machines without products of 128 bits have it */
#define R123_USE_GNU_UINT128 0
#define R123_USE_MULHILO64_ASM 0
#define R123_USE_MULHILO64_C99 1
#include <Random123/philox.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void test_partition(void) {
  enum { N = 3000 };
  static double whole[N], part[N];
  static uint64_t bits[N], some[N];
  static const size_t steps[] = {1, 2, 3, 4, 5, 127, 511, 512, 513, 2048};
  random_normals(7, 11, 0, N, whole);
  random_bits(7, 11, 0, N, bits);
  for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
    for (size_t at = 0; at < N; at += steps[s]) {
      size_t n = N - at < steps[s] ? N - at : steps[s];
      random_normals(7, 11, at, n, part + at);
      random_bits(7, 11, at, n, some + at);
    }
    CHECK(memcmp(whole, part, sizeof whole) == 0);
    CHECK(memcmp(bits, some, sizeof bits) == 0);
  }
}

/* Every machine has the same numbers: products by halves, and the first words of Philox that its
 * authors publish for a key and a counter of zeros. */
static void test_halves(void) {
  uint64_t bits[4 * 64];
  random_bits(0x0123456789abcdef, UINT64_MAX - 3, 0, sizeof bits / sizeof *bits, bits);
  for (uint64_t block = 0; block < sizeof bits / sizeof *bits / 4; block++) {
    philox4x64_key_t key = {{0x0123456789abcdef, UINT64_MAX - 3}};
    philox4x64_ctr_t counter = {{block, 0, 0, 0}}, words = philox4x64(counter, key);
    CHECK(memcmp(words.v, bits + 4 * block, sizeof words.v) == 0);
  }
  random_bits(0, 0, 0, 1, bits);
  CHECK(bits[0] == 0x16554d9eca36314c);
}

static double moment(const double *x, size_t n, int order) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) {
    double power = 1;
    for (int k = 0; k < order; k++) power *= x[i];
    sum += power;
  }
  return sum / (double)n;
}

/* Moments within five of their standard errors: Var x^k = <x^2k> - <x^k>^2. */
static void test_moments(void) {
  enum { N = 1000000 };
  double *x = mem_block(N);
  static const double expected[] = {0, 1, 0, 3, 0, 15}, variance[] = {1, 2, 15, 96, 945, 10170};
  for (uint64_t seed = 0; seed < 3; seed++) {
    random_normals(seed, 1, 0, N, x);
    for (int k = 1; k <= 6; k++)
      CHECK(fabs(moment(x, N, k) - expected[k - 1]) < 5 * sqrt(variance[k - 1] / N));
    double beyond = 0;
    for (size_t i = 0; i < N; i++) beyond += fabs(x[i]) > 3;
    CHECK(fabs(beyond / N - erfc(3 / sqrt(2))) < 5 * sqrt(0.0027 / N));
  }
  free(x);
}

static double correlation(const double *x, const double *y, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) sum += x[i] * y[i];
  return sum / (double)n;
}

/* All that draws, by its purpose, its indices and its word. */
static void test_streams(void) {
  const uint64_t named[] = {
#define STREAM(id, number, about) random_stream(RANDOM_##id, 0, 0, 0),
#include "num/streams.def"
      random_stream(RANDOM_PATHS, 1, 0, 0),       random_stream(RANDOM_PATHS, 0, 1, 0),
      random_stream(RANDOM_PATHS, 0, 0, 1),       random_stream(RANDOM_PATHS, 0, 1, 1),
      random_stream(RANDOM_PATHS, 70000, 0, 0),   random_stream(RANDOM_PATHS, 0, 0, 65535),
      random_stream_named(RANDOM_GAUSSIAN, "a"),  random_stream_named(RANDOM_GAUSSIAN, "b"),
      random_stream_named(RANDOM_GAUSSIAN, "ab"), random_stream_named(RANDOM_GAUSSIAN, "ba"),
      random_stream_named(RANDOM_SPHERE, "a"),
  };
  enum { N = 100000, STREAMS = sizeof named / sizeof *named };
  static double x[STREAMS][N];
  CHECK(random_stream_named(RANDOM_ORDER, "") == random_stream(RANDOM_ORDER, 0, 0, 0));
  for (int s = 0; s < STREAMS; s++) random_normals(5, named[s], 0, N, x[s]);
  double limit = 5 / sqrt(N);
  for (int s = 0; s < STREAMS; s++)
    for (int r = 0; r < s; r++) {
      CHECK(named[s] != named[r]);
      CHECK(fabs(correlation(x[s], x[r], N)) < limit);
    }
  /* neighbours within a stream, and the same stream under another seed */
  CHECK(fabs(correlation(x[0], x[0] + 1, N - 1)) < limit);
  random_normals(6, named[0], 0, N, x[1]);
  CHECK(fabs(correlation(x[0], x[1], N)) < limit);
}

#ifdef __x86_64__
static const double ROUNDS = 0;
#else
static const double ROUNDS =
    4e-15; /* GSL may have longer numbers, or products that are not rounded */
#endif

/* The first row of Sobol normals, of seed 4 here: GSL's inverse of the normal distribution, at the
 * table's bits, shifted, and random ones behind them; to the last bit on processors where both
 * round every sum. */
static void test_quantiles(const uint32_t *row, double *x, size_t n) {
  uint64_t stream = random_stream(9, 0, 0, 0), *bits = mem_new(n + 4, sizeof *bits);
  size_t same = 0;
  random_bits(4, stream, 0, n + 4, bits);
  sobol_normals(row, n, 4, stream, x);
  for (size_t i = 0; i < n; i++) {
    uint64_t lead = row[i] ^ bits[0] >> (64 - SOBOL_BITS), word = lead << (64 - SOBOL_BITS);
    word |= bits[i + 4] >> SOBOL_BITS;
    double normal = gsl_cdf_ugaussian_Pinv(((double)(word >> 12) + 0.5) / 0x1p52);
    same += fabs(x[i] - normal) <= ROUNDS * fabs(normal);
  }
  CHECK(same == n);
  free(bits);
}

/* Root mean square error of moments of Sobol normals over dimensions and seeds, in units of the
 * error that as many independent samples would make. */
static void test_sobol(void) {
  enum { N = 4096, SEEDS = 5, LEADING = 8 };
  uint32_t *table = sobol_points(N);
  double *x = mem_block((size_t)SOBOL_DIMS * N);
  double first = 0, second = 0, cross = 0;
  for (uint64_t seed = 0; seed < SEEDS; seed++) {
    for (int d = 0; d < SOBOL_DIMS; d++) {
      double *row = x + (size_t)d * N;
      sobol_normals(table + (size_t)d * N, N, seed, random_stream(9, (uint64_t)d, 0, 0), row);
      first += pow(moment(row, N, 1), 2) / (SEEDS * SOBOL_DIMS);
      second += pow(moment(row, N, 2) - 1, 2) / 2 / (SEEDS * SOBOL_DIMS);
    }
    for (int d = 0; d < LEADING; d++)
      for (int e = 0; e < d; e++)
        cross += pow(correlation(x + (size_t)d * N, x + (size_t)e * N, N), 2) /
                 (SEEDS * LEADING * (LEADING - 1) / 2);
  }
  CHECK(sqrt(first * N) < 0.05);
  CHECK(sqrt(second * N) < 0.1);
  CHECK(sqrt(cross * N) < 0.25);

  /* other shifts are other points, and no point is at infinity */
  double other[N];
  sobol_normals(table, N, 0, random_stream(9, 1000, 0, 0), other);
  CHECK(memcmp(x, other, sizeof other) != 0);
  int finite = 0;
  for (size_t i = 0; i < (size_t)SOBOL_DIMS * N; i++) finite += isfinite(x[i]) != 0;
  CHECK(finite == SOBOL_DIMS * N);
  test_quantiles(table, x, N);
  free(x);
  free(table);
}

int main(void) {
  test_halves();
  test_partition();
  test_moments();
  test_streams();
  test_sobol();
  return check_done();
}
