/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Counter-based random numbers (Philox 4x64-10): a number is a function of its key and its index,
 * so the same seed gives the same numbers for any thread count and any order of evaluation. */
#ifndef DMF_NUM_RANDOM_H
#define DMF_NUM_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Numbers first .. first+count-1 of the stream named (seed, stream), standard normal
 * (Box-Muller). */
void random_normals(uint64_t seed, uint64_t stream, size_t first, size_t count, double *out);
/* The same indices of the stream as 64 random bits. */
void random_bits(uint64_t seed, uint64_t stream, size_t first, size_t count, uint64_t *out);

/* The numbers 0 .. n-1 in random order, from the start of the stream; left off when somebody wants
 * out (base/work.h). */
void random_permutation(uint64_t seed, uint64_t stream, size_t n, double *order);

/* Who draws; below 256. */
typedef enum RandomPurpose {
#define STREAM(id, number, about) RANDOM_##id = number,
#include "num/streams.def"
} RandomPurpose;

/* Numbers of distinct purposes must not share a stream: packs who asks, and up to three indices,
 * into a stream name. a < 2^24, b < 2^16, c < 2^16. */
uint64_t random_stream(RandomPurpose purpose, uint64_t a, uint64_t b, uint64_t c);
/* The stream of a purpose that a word tells from others of that purpose; "" is that of the indices
 * 0, 0, 0. */
uint64_t random_stream_named(RandomPurpose purpose, const char *word);

/* The first `count` points of the Sobol sequence in SOBOL_DIMS dimensions, as integers below
 * 2^SOBOL_BITS, [dim * count + point]; to be freed; NULL without memory. */
enum { SOBOL_DIMS = 40, SOBOL_BITS = 30 };
uint32_t *sobol_points(size_t count);
/* One row of such a table, digitally shifted by random bits (which makes it uniform, and
 * independent of other shifts) and mapped to standard normals. */
void sobol_normals(const uint32_t *row, size_t count, uint64_t seed, uint64_t stream, double *out);

#endif
