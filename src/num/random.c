/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "num/random.h"
#include "num/calm.h"
#include "num/clones.h"
#include "base/memory.h"
#include "base/work.h"
#include "num/vecmath.h"

/* Philox multiplies two words of 64 bits; a machine of 32 does it by their halves. Of those of 64
 * its header knows some. */
#ifdef __SIZEOF_INT128__
#define R123_USE_GNU_UINT128 1
#else
#define R123_USE_MULHILO64_ASM 0
#define R123_USE_MULHILO64_C99 1
#endif
#include <Random123/philox.h>
#include <gsl/gsl_cdf.h>
#include <gsl/gsl_qrng.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Four numbers come from one counter; `block` is the index divided by four. */
static inline void philox_block(uint64_t seed, uint64_t stream, uint64_t block, uint64_t out[4]) {
  philox4x64_key_t key = {{seed, stream}};
  philox4x64_ctr_t counter = {{block, 0, 0, 0}};
  philox4x64_ctr_t bits = philox4x64(counter, key);
  for (int i = 0; i < 4; i++) out[i] = bits.v[i];
}

void random_bits(uint64_t seed, uint64_t stream, size_t first, size_t count, uint64_t *out) {
  uint64_t four[4];
  for (size_t i = 0, next; i < count; i = next) {
    size_t skip = (first + i) % 4;
    next = i + 4 - skip < count ? i + 4 - skip : count;
    if (next - i == 4) {
      philox_block(seed, stream, (first + i) / 4, out + i);
      continue;
    }
    philox_block(seed, stream, (first + i) / 4, four);
    for (size_t k = i; k < next; k++) out[k] = four[skip + k - i];
  }
}

/* Uniform in (0, 1): the half step keeps the logarithm of Box-Muller finite. The bits are those
 * behind the point of a number from 1 to 2. */
static inline double open_unit(uint64_t bits) {
  uint64_t word = (uint64_t)0x3ff << 52 | bits >> 12;
  double x;
  memcpy(&x, &word, sizeof x);
  return x - 1 + 0x1p-53;
}

enum { BATCH = 512 };

/* Pairs of words as u and 2 v. */
CLONES static void split_pairs(size_t pairs, const uint64_t *restrict words,
                               double *restrict radius, double *restrict angle) {
  for (size_t i = 0; i < pairs; i++) {
    radius[i] = open_unit(words[2 * i]);
    angle[i] = 2 * open_unit(words[2 * i + 1]);
  }
}

CLONES static void join_pairs(size_t pairs, const double *restrict radius,
                              const double *restrict sine, const double *restrict cosine,
                              double *restrict out) {
  for (size_t i = 0; i < pairs; i++) {
    double r = sqrt(-2 * radius[i]);
    out[2 * i] = r * cosine[i];
    out[2 * i + 1] = r * sine[i];
  }
}

/* Normals 4*block .. of BATCH/4 consecutive blocks: pairs (u, v) give sqrt(-2 log u) cos, sin(2 pi
 * v). */
static void normal_batch(uint64_t seed, uint64_t stream, uint64_t block, size_t blocks,
                         double *out) {
  uint64_t words[BATCH];
  double radius[BATCH / 2], angle[BATCH / 2], sine[BATCH / 2], cosine[BATCH / 2];
  size_t pairs = 2 * blocks;
  for (size_t b = 0; b < blocks; b++) philox_block(seed, stream, block + b, words + 4 * b);
  split_pairs(pairs, words, radius, angle);
  vec_log(pairs, radius, radius);
  vec_sincospi(pairs, angle, sine, cosine);
  join_pairs(pairs, radius, sine, cosine, out);
}

void random_normals(uint64_t seed, uint64_t stream, size_t first, size_t count, double *out) {
  double batch[BATCH];
  while (count > 0) {
    size_t skip = first % 4, blocks = (skip + count + 3) / 4;
    if (blocks > BATCH / 4) blocks = BATCH / 4;
    normal_batch(seed, stream, first / 4, blocks, batch);
    size_t take = 4 * blocks - skip < count ? 4 * blocks - skip : count;
    for (size_t i = 0; i < take; i++) out[i] = batch[skip + i];
    out += take;
    first += take;
    count -= take;
  }
}

uint64_t random_stream(RandomPurpose purpose, uint64_t a, uint64_t b, uint64_t c) {
  return (uint64_t)(purpose & 0xff) << 56 | (a & 0xffffff) << 32 | (b & 0xffff) << 16 |
         (c & 0xffff);
}

/* The hash of Fowler, Noll and Vo (FNV-1a), started at 0 so that "" stays there. Words are few: two
 * of them meet in 56 bits with a chance of 1e-17. */
uint64_t random_stream_named(RandomPurpose purpose, const char *word) {
  uint64_t hash = 0;
  for (; *word; word++) hash = (hash ^ (unsigned char)*word) * 0x100000001b3;
  hash ^= hash >> 56;
  return random_stream(purpose, hash >> 32, hash >> 16, hash);
}

uint32_t *sobol_points(size_t count) {
  double bytes = SOBOL_DIMS * (double)count * sizeof(uint32_t);
  uint32_t *table = mem_fits(bytes) ? mem_try(SOBOL_DIMS * count, sizeof *table) : NULL;
  if (!table) return NULL;
  calm_begin();
  gsl_qrng *sequence = mem_insist(gsl_qrng_alloc(gsl_qrng_sobol, SOBOL_DIMS));
  calm_end();
  double point[SOBOL_DIMS];
  /* GSL leaves out the first point, the origin; the net property of the first 2^k points needs it.
   */
  for (size_t i = 1; i < count && work_goes_on(i); i++) {
    gsl_qrng_get(sequence, point);
    for (int d = 0; d < SOBOL_DIMS; d++)
      table[(size_t)d * count + i] = (uint32_t)(point[d] * (1u << SOBOL_BITS));
  }
  gsl_qrng_free(sequence);
  return table;
}

/* The inverse of the normal distribution to 16 digits by ratios of polynomials (M. J. Wichura,
 * Applied Statistics 37, 477 (1988), algorithm AS 241): where |q| <= CENTRAL, q = p - 1/2, of ROUND
 * - q^2, times q; in the tails of r - SHIFT, r = sqrt(-log min(p, 1 - p)), up to r = FAR. GSL has
 * the same, one number at a time, and what is beyond. */
static const double CENTRAL = 0.425, ROUND = 0.180625, SHIFT = 1.6, FAR = 5;
enum { DEGREE = 7 };
typedef struct Ratio {
  double above[DEGREE + 1], below[DEGREE + 1];
} Ratio;
static const Ratio central = {
    {3.387132872796366608, 133.14166789178437745, 1971.5909503065514427, 13731.693765509461125,
     45921.953931549871457, 67265.770927008700853, 33430.575583588128105, 2509.0809287301226727},
    {1.0, 42.313330701600911252, 687.1870074920579083, 5394.1960214247511077, 21213.794301586595867,
     39307.89580009271061, 28729.085735721942674, 5226.495278852854561}};
static const Ratio outer = {{1.42343711074968357734, 4.6303378461565452959, 5.7694972214606914055,
                             3.64784832476320460504, 1.27045825245236838258, 0.24178072517745061177,
                             0.0227238449892691845833, 7.7454501427834140764e-4},
                            {1.0, 2.05319162663775882187, 1.6763848301838038494,
                             0.68976733498510000455, 0.14810397642748007459,
                             0.0151986665636164571966, 5.475938084995344946e-4,
                             1.05075007164441684324e-9}};

UNFUSED static void ratios(const Ratio *ratio, size_t n, const double *restrict r,
                           double *restrict out) {
  for (size_t i = 0; i < n; i++) {
    double u = ratio->above[DEGREE], v = ratio->below[DEGREE];
    for (int k = DEGREE - 1; k >= 0; k--) {
      u = r[i] * u + ratio->above[k];
      v = r[i] * v + ratio->below[k];
    }
    out[i] = u / v;
  }
}

/* The values in the tails: those of the `n` numbers p that are listed in `at`. */
static void tail_normals(size_t n, const int *at, const double *p, double *out) {
  double r[BATCH], size[BATCH];
  for (size_t k = 0; k < n; k++) r[k] = sqrt(-log(fmin(p[at[k]], 1 - p[at[k]]))) - SHIFT;
  ratios(&outer, n, r, size);
  for (size_t k = 0; k < n; k++)
    out[at[k]] =
        r[k] > FAR - SHIFT ? gsl_cdf_ugaussian_Pinv(p[at[k]]) : copysign(size[k], p[at[k]] - 0.5);
}

UNFUSED static void find_middle(size_t n, const double *restrict p, double *restrict q,
                                double *restrict r) {
  for (size_t i = 0; i < n; i++) {
    q[i] = p[i] - 0.5;
    r[i] = ROUND - q[i] * q[i];
  }
}

CLONES static void stretch(size_t n, const double *restrict q, double *restrict out) {
  for (size_t i = 0; i < n; i++) out[i] *= q[i];
}

/* Normal numbers of a batch of uniform ones. */
static void inverse_normals(size_t n, const double *p, double *out) {
  double q[BATCH], r[BATCH];
  int at[BATCH];
  size_t tails = 0;
  find_middle(n, p, q, r);
  ratios(&central, n, r, out);
  stretch(n, q, out);
  for (size_t i = 0; i < n; i++) {
    at[tails] = (int)i;
    tails += fabs(q[i]) > CENTRAL;
  }
  tail_normals(tails, at, p, out);
}

/* The table's bits lead, random ones follow: no point repeats, none is 0 or 1. */
CLONES static void scramble(size_t n, const uint32_t *restrict row, uint64_t shift,
                            const uint64_t *restrict bits, double *restrict p) {
  uint64_t turned = shift >> (64 - SOBOL_BITS), most = ((uint64_t)1 << SOBOL_BITS) - 1;
  for (size_t i = 0; i < n; i++)
    p[i] = open_unit(((row[i] ^ turned) & most) << (64 - SOBOL_BITS) | bits[i] >> SOBOL_BITS);
}

void sobol_normals(const uint32_t *row, size_t count, uint64_t seed, uint64_t stream, double *out) {
  uint64_t bits[BATCH], shift;
  double p[BATCH];
  random_bits(seed, stream, 0, 1, &shift);
  for (size_t start = 0; start < count; start += BATCH, out += BATCH) {
    size_t n = count - start < BATCH ? count - start : BATCH;
    random_bits(seed, stream, start + 4, n, bits);
    scramble(n, row + start, shift, bits, p);
    inverse_normals(n, p, out);
  }
}

/* A number below `count` without bias: of the 2^64 words the few that would favour some numbers are
 * passed over. */
static size_t random_below(uint64_t seed, uint64_t stream, size_t count, size_t *next) {
  uint64_t bits, most = UINT64_MAX - (UINT64_MAX % count + 1) % count;
  do random_bits(seed, stream, (*next)++, 1, &bits);
  while (bits > most);
  return (size_t)(bits % count);
}

/* Fisher and Yates, from the last place down. */
void random_permutation(uint64_t seed, uint64_t stream, size_t n, double *order) {
  size_t next = 0;
  for (size_t i = 0; i < n && work_goes_on(i); i++) order[i] = (double)i;
  for (size_t i = n; i > 1 && work_goes_on(i); i--) {
    size_t k = random_below(seed, stream, i, &next);
    double last = order[i - 1];
    order[i - 1] = order[k];
    order[k] = last;
  }
}
