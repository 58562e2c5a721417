/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "num/thin.h"

#include <stdbool.h>

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
enum { DEPTH = 256, LENGTH = 512, HALF = 4, POURED = 8 };

/* A factor of more numbers than NEAR may come from afar, and is asked for while what is before it
 * is at work; by one row or two, which wait for nothing else, where there are more than FAR. */
enum { NEAR = 1 << 12, FAR = 1 << 16 };

static bool from_afar(size_t m, size_t numbers) { return numbers > (m > 2 ? NEAR : FAR); }

/* The first of nearly equal parts. */
static size_t part(size_t all, size_t parts) {
  return parts == 1 ? all : (all + parts - 1) / parts;
}

/* From the middle less n on, a mask of the first n of four, or of eight. */
static const long long quarters[8] = {-1, -1, -1, -1};
static const int eighths[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
#define FIRST(parts, count)                                                                        \
  _mm256_loadu_si256((const __m256i *)(parts + sizeof parts / sizeof *parts / 2 - (count)))

#define INLINE static inline __attribute__((always_inline))
/* It is asked for from the second cache on: the first would wait for few of these at a time. */
#define ASK(from) __builtin_prefetch(from, 0, 2)
#define LINE (64 / sizeof(REAL)) /* numbers in a line of the cache */
#define UNROLL _Pragma("GCC unroll 8")
#define AVX512 __attribute__((target("avx512f")))
#define AVX2 __attribute__((target("avx2,fma")))

#define REAL double
#define LANES 8
#define GROUP 8
#define LOAD_PART(from, count) _mm512_maskz_loadu_pd((__mmask8)((1 << (count)) - 1), from)
#define STORE_PART(to, count, x)                                                                   \
  _mm512_mask_storeu_pd(to, (__mmask8)((1 << (count)) - 1), (__m512d)(x))
#define TILE_ROWS 8
#define DOT_ROWS 4
#define NAME(name) name##_8
#define TARGET AVX512
#include "num/thin_tiles.def"

#define REAL double
#define LANES 4
#define GROUP 4
#define LOAD_PART(from, count) _mm256_maskload_pd(from, FIRST(quarters, count))
#define STORE_PART(to, count, x) _mm256_maskstore_pd(to, FIRST(quarters, count), (__m256d)(x))
#define TILE_ROWS 4
#define DOT_ROWS 3
#define NAME(name) name##_4
#define TARGET AVX2
#include "num/thin_tiles.def"

#define REAL float
#define LANES 16
#define GROUP 8
#define LOAD_PART(from, count) _mm512_maskz_loadu_ps((__mmask16)((1 << (count)) - 1), from)
#define STORE_PART(to, count, x)                                                                   \
  _mm512_mask_storeu_ps(to, (__mmask16)((1 << (count)) - 1), (__m512)(x))
#define TILE_ROWS 8
#define DOT_ROWS 4
#define NAME(name) name##_single_8
#define TARGET AVX512
#include "num/thin_tiles.def"

#define REAL float
#define LANES 8
#define GROUP 4
#define LOAD_PART(from, count) _mm256_maskload_ps(from, FIRST(eighths, count))
#define STORE_PART(to, count, x) _mm256_maskstore_ps(to, FIRST(eighths, count), (__m256)(x))
#define TILE_ROWS 4
#define DOT_ROWS 3
#define NAME(name) name##_single_4
#define TARGET AVX2
#include "num/thin_tiles.def"

static int widest(void) {
  if (__builtin_cpu_supports("avx512f")) return 8;
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? 4 : 0;
}

#define BY_LANES(REAL, suffix)                                                                     \
  void thin_mul##suffix(int lanes, size_t m, size_t n, size_t k, REAL alpha, const REAL *a,        \
                        size_t row, size_t col, const REAL *b, size_t ldb, REAL beta, REAL *c,     \
                        size_t ldc) {                                                              \
    (lanes == 8 ? mul##suffix##_8 : mul##suffix##_4)(m, n, k, alpha, a, row, col, b, ldb, beta, c, \
                                                     ldc);                                         \
  }                                                                                                \
  void thin_mul_bt##suffix(int lanes, size_t m, size_t n, size_t k, REAL alpha, const REAL *a,     \
                           size_t lda, const REAL *b, size_t ldb, REAL beta, REAL *c,              \
                           size_t ldc) {                                                           \
    (lanes == 8 ? mul_bt##suffix##_8 : mul_bt##suffix##_4)(m, n, k, alpha, a, lda, b, ldb, beta,   \
                                                           c, ldc);                                \
  }

BY_LANES(double, )
BY_LANES(float, _single)

#else

static int widest(void) { return 0; }

#define BY_LOOPS(REAL, suffix)                                                                     \
  void thin_mul##suffix(int lanes, size_t m, size_t n, size_t k, REAL alpha, const REAL *a,        \
                        size_t row, size_t col, const REAL *b, size_t ldb, REAL beta, REAL *c,     \
                        size_t ldc) {                                                              \
    (void)lanes;                                                                                   \
    for (size_t i = 0; i < m; i++)                                                                 \
      for (size_t j = 0; j < n; j++) {                                                             \
        REAL sum = 0, *to = &c[i * ldc + j];                                                       \
        for (size_t p = 0; p < k; p++) sum += a[i * row + p * col] * b[p * ldb + j];               \
        *to = beta == 0 ? alpha * sum : alpha * sum + beta * *to;                                  \
      }                                                                                            \
  }                                                                                                \
  void thin_mul_bt##suffix(int lanes, size_t m, size_t n, size_t k, REAL alpha, const REAL *a,     \
                           size_t lda, const REAL *b, size_t ldb, REAL beta, REAL *c,              \
                           size_t ldc) {                                                           \
    for (size_t i = 0; i < m; i++)                                                                 \
      thin_mul##suffix(lanes, n, 1, k, alpha, b, ldb, 1, a + i * lda, 1, beta, c + i * ldc, 1);    \
  }

BY_LOOPS(double, )
BY_LOOPS(float, _single)

#endif

int thin_lanes(size_t m, size_t n, size_t k) {
  size_t shortest = least(least(m, n), k), most = k * n <= CACHED && m * k <= CACHED ? SHORT : FEW;
  return k > 0 && shortest <= most ? widest() : 0;
}
