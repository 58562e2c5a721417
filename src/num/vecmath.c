/* SPDX-License-Identifier: GPL-3.0-or-later */
/* SLEEF's `finz` functions give equal bits for 1, 4 and 8 lanes, so the widest set of the processor
 * may be taken, and a few numbers computed as a vector of them. They need fused multiply-add; a
 * processor without it gets the plain C variants (whose last bits differ). The header sleef.h hides
 * wide functions unless the whole file is compiled for them, hence the declarations here. */
#include "num/vecmath.h"
#include "num/clones.h"

#include <math.h>

#if defined __x86_64__
#include <immintrin.h>
#define WIDE8 __attribute__((target("avx512f")))
#define WIDE4 __attribute__((target("avx2,fma")))

static int lanes(void) {
  if (__builtin_cpu_supports("avx512f")) return 8;
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? 4 : 1;
}

/* What is left behind whole vectors is the first part of one more. From 4 - n on, a mask of the
 * first n of four. */
static const long long parts[8] = {-1, -1, -1, -1};
#define FIRST4(n) _mm256_loadu_si256((const __m256i *)(parts + 4 - (n)))
#define FIRST8(n) ((__mmask8)((1 << (n)) - 1))

/* One function vec_NAME from SLEEF's NAME, with accuracy u10 or u35. */
#define VECTORISE(NAME, ULP)                                                                       \
  WIDE8 extern __m512d Sleef_finz_##NAME##d8_##ULP##avx512f(__m512d);                              \
  WIDE4 extern __m256d Sleef_finz_##NAME##d4_##ULP##avx2(__m256d);                                 \
  extern double Sleef_cinz_##NAME##d1_##ULP##purec(double);                                        \
  WIDE8 static void NAME##_wide8(size_t n, const double *x, double *out) {                         \
    size_t i = 0;                                                                                  \
    for (; i + 8 <= n; i += 8)                                                                     \
      _mm512_storeu_pd(out + i, Sleef_finz_##NAME##d8_##ULP##avx512f(_mm512_loadu_pd(x + i)));     \
    if (i < n)                                                                                     \
      _mm512_mask_storeu_pd(                                                                       \
          out + i, FIRST8(n - i),                                                                  \
          Sleef_finz_##NAME##d8_##ULP##avx512f(_mm512_maskz_loadu_pd(FIRST8(n - i), x + i)));      \
  }                                                                                                \
  WIDE4 static void NAME##_wide4(size_t n, const double *x, double *out) {                         \
    size_t i = 0;                                                                                  \
    for (; i + 4 <= n; i += 4)                                                                     \
      _mm256_storeu_pd(out + i, Sleef_finz_##NAME##d4_##ULP##avx2(_mm256_loadu_pd(x + i)));        \
    if (i < n)                                                                                     \
      _mm256_maskstore_pd(                                                                         \
          out + i, FIRST4(n - i),                                                                  \
          Sleef_finz_##NAME##d4_##ULP##avx2(_mm256_maskload_pd(x + i, FIRST4(n - i))));            \
  }                                                                                                \
  void vec_##NAME(size_t n, const double *x, double *out) {                                        \
    int width = lanes();                                                                           \
    if (width == 8)                                                                                \
      NAME##_wide8(n, x, out);                                                                     \
    else if (width == 4)                                                                           \
      NAME##_wide4(n, x, out);                                                                     \
    else                                                                                           \
      for (size_t i = 0; i < n; i++) out[i] = Sleef_cinz_##NAME##d1_##ULP##purec(x[i]);            \
  }

#else
#define VECTORISE(NAME, ULP)                                                                       \
  extern double Sleef_cinz_##NAME##d1_##ULP##purec(double);                                        \
  void vec_##NAME(size_t n, const double *x, double *out) {                                        \
    for (size_t i = 0; i < n; i++) out[i] = Sleef_cinz_##NAME##d1_##ULP##purec(x[i]);              \
  }
#endif

VECTORISE(exp, u10)
VECTORISE(log, u35)
VECTORISE(log1p, u10)
VECTORISE(sin, u35)
VECTORISE(cos, u35)
VECTORISE(tan, u35)
VECTORISE(atan, u35)
VECTORISE(acos, u10)
VECTORISE(asin, u10)
VECTORISE(sinh, u35)
VECTORISE(cosh, u35)
VECTORISE(tanh, u35)
VECTORISE(erf, u10)

/* x = turns / 2 + angle / pi, and turns modulo 4. */
CLONES static void reduce(size_t n, const double *restrict x, double *restrict angle,
                          double *restrict quarter) {
  for (size_t i = 0; i < n; i++) {
    double turns = nearbyint(2 * x[i]);
    angle[i] = M_PI * (x[i] - turns / 2);
    quarter[i] = turns - 4 * floor(turns / 4);
  }
}

/* sin and cos, so many quarters of a turn on. */
CLONES static void turn(size_t n, const double *restrict quarter, const double *restrict s,
                        const double *restrict c, double *restrict sine, double *restrict cosine) {
  for (size_t i = 0; i < n; i++) {
    double q = quarter[i], si = s[i], co = c[i];
    double along = q == 1 || q == 3 ? co : si, across = q == 1 || q == 3 ? si : co;
    sine[i] = q >= 2 ? -along : along;
    cosine[i] = q == 1 || q == 2 ? -across : across;
  }
}

/* sin and cos of pi x, reduced to |x| <= 1/4 first, where no digits are lost. x >= 0 is what
 * Box-Muller needs, but any finite x is right. */
void vec_sincospi(size_t n, const double *x, double *sine, double *cosine) {
  enum { CHUNK = 256 };
  double angle[CHUNK], s[CHUNK], c[CHUNK], quarter[CHUNK];
  for (size_t start = 0; start < n; start += CHUNK) {
    size_t m = n - start < CHUNK ? n - start : CHUNK;
    reduce(m, x + start, angle, quarter);
    vec_sin(m, angle, s);
    vec_cos(m, angle, c);
    turn(m, quarter, s, c, sine + start, cosine + start);
  }
}

/* Integer powers, the common case, stay exact and cheap; libm does the rest. */
void vec_pow(size_t n, const double *x, const double *y, double *out) {
  for (size_t i = 0; i < n; i++) {
    if (y[i] == 2)
      out[i] = x[i] * x[i];
    else if (y[i] == 3)
      out[i] = x[i] * x[i] * x[i];
    else
      out[i] = pow(x[i], y[i]);
  }
}
