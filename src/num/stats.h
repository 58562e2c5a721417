/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Running moments of arrays, entry by entry, with the errors of mean and variance. Samples are
 * added one after the other, in the caller's order: the sums do not depend on who computed them. */
#ifndef DMF_NUM_STATS_H
#define DMF_NUM_STATS_H

#include <stdbool.h>
#include <stddef.h>

/* Sums of powers of (x - first sample): the shift keeps the variance of nearly constant entries
 * from cancelling. */
typedef struct Moments {
  size_t size, count;
  int order; /* 2: mean and its error; 4: the variance and its error too */
  double *first;
  double *sum[4];
  size_t block_size; /* samples in a block, or 0 */
  double *blocks;    /* [block, order / 2, size]: the first sums over the samples of each */
} Moments;

/* False if the memory cannot be had. */
bool moments_start(Moments *moments, size_t size, int order);
/* Keeps the sums of blocks of samples apart, of `count` that are to come: MOMENT_BLOCKS of them at
 * the most. To be said before the first; false if the memory cannot be had. */
enum { MOMENT_BLOCKS = 16 };
bool moments_divide(Moments *moments, size_t count);
/* How many blocks there are; 0 where they are not kept apart. */
size_t moments_blocks(const Moments *moments);
void moments_add(Moments *moments, const double *x);
void moments_free(Moments *moments);

/* Mean, and its standard error s / sqrt(n) (zero for one sample). */
void moments_mean(const Moments *moments, double *mean, double *error);
/* scale * unbiased variance, and its standard error from the fourth moment,
 * scale * sqrt((m4 - m2^2 (n-3)/(n-1)) / n). Zero for one sample. */
void moments_variance(const Moments *moments, double scale, double *variance, double *error);
/* What each block does to the mean, or with scale > 0 to the variance, in units of the error: the
 * jackknife's sqrt(B - 1) (all - without one), of which the mean square over the B blocks is the
 * squared error. [B, size], to be freed; NULL if the memory cannot be had. */
double *moments_moves(const Moments *moments, double scale);

#endif
