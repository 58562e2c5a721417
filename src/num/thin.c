/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "num/thin.h"

#if defined __x86_64__
#include <immintrin.h>
#endif

/* Up to this many rows no copy of the other factor pays. A factor of more numbers than this does
 * not stay in the cache of one core, and is read once for every tile of rows. */
enum { SHORT = 64, FEW = 8, CACHED = 1 << 20 };

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

#if defined __x86_64__

/* Of the longer factor at most DEPTH rows are walked through at a time, or at most LENGTH numbers
 * of a group of rows: what a column of tiles reads of it stays in the first cache. */
enum { DEPTH = 256, LENGTH = 512 };

/* From 4 - n on, a mask of the first n of four. */
static const long long parts[8] = {-1, -1, -1, -1};

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")

#define LANES 8
#define TILE_ROWS 8
#define NAME(name) name##_8
#define TARGET __attribute__((target("avx512f")))
#include "num/thin_tiles.def"

#define LANES 4
#define TILE_ROWS 4
#define NAME(name) name##_4
#define TARGET __attribute__((target("avx2,fma")))
#include "num/thin_tiles.def"

static int widest(void) {
  if (__builtin_cpu_supports("avx512f")) return 8;
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? 4 : 0;
}

void thin_mul(int lanes, size_t m, size_t n, size_t k, double alpha, const double *a, size_t row,
              size_t col, const double *b, size_t ldb, double beta, double *c, size_t ldc) {
  (lanes == 8 ? mul_8 : mul_4)(m, n, k, alpha, a, row, col, b, ldb, beta, c, ldc);
}

void thin_mul_bt(int lanes, size_t m, size_t n, size_t k, double alpha, const double *a, size_t lda,
                 const double *b, size_t ldb, double beta, double *c, size_t ldc) {
  (lanes == 8 ? mul_bt_8 : mul_bt_4)(m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

#else

static int widest(void) { return 0; }

void thin_mul(int lanes, size_t m, size_t n, size_t k, double alpha, const double *a, size_t row,
              size_t col, const double *b, size_t ldb, double beta, double *c, size_t ldc) {
  (void)lanes;
  for (size_t i = 0; i < m; i++)
    for (size_t j = 0; j < n; j++) {
      double sum = 0, *to = &c[i * ldc + j];
      for (size_t p = 0; p < k; p++) sum += a[i * row + p * col] * b[p * ldb + j];
      *to = beta == 0 ? alpha * sum : alpha * sum + beta * *to;
    }
}

void thin_mul_bt(int lanes, size_t m, size_t n, size_t k, double alpha, const double *a, size_t lda,
                 const double *b, size_t ldb, double beta, double *c, size_t ldc) {
  for (size_t i = 0; i < m; i++)
    thin_mul(lanes, n, 1, k, alpha, b, ldb, 1, a + i * lda, 1, beta, c + i * ldc, 1);
}

#endif

int thin_lanes(size_t m, size_t n, size_t k) {
  size_t shortest = least(least(m, n), k), most = k * n <= CACHED && m * k <= CACHED ? SHORT : FEW;
  return k > 0 && shortest <= most ? widest() : 0;
}
