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
/* The squared standard error of a variance of n samples with this excess kurtosis, in units of its
 * square: 2/r = kurtosis/n + 2/(n-1), times r (r + 4) / ((r - 2) (r - 4)), as of r degrees of
 * freedom. With the factor deviations in units of the error have unit variance: where few samples
 * happen to agree, so that the variance is small, the error is small as well. */
double variance_doubt(double n, double kurtosis);
/* The excess kurtosis of n samples, from unbiased cumulants: with sums of squares of deviations of
 * two numbers, of their products and of the squares of these, cum(x, x, y, y) / (var(x) var(y)).
 * Zero for fewer than four samples, or where nothing varies; n, about the most that n samples can
 * have, where it leaves the numbers. */
double excess_kurtosis(double n, double xx, double yy, double xy, double xxyy);
/* What is made of that of an entry and of its mean over all entries, which counts as much as the
 * entry for 32 samples and more for fewer: in these a number that is far out makes the variance
 * larger, too, and the ratio smaller, so that of heavy tails 16 show a third. Not below that of
 * normal numbers. */
double likely_kurtosis(double n, double own, double mean);
/* scale * unbiased variance, and its standard error (variance_doubt of the likely_kurtosis). Zero
 * for one sample. */
void moments_variance(const Moments *moments, double scale, double *variance, double *error);
/* What each block does to the mean, or with scale > 0 to the variance, in units of the error: the
 * jackknife's sqrt(B - 1) (all - without one), of which the mean square over the B blocks is the
 * squared error. [B, size], to be freed; NULL if the memory cannot be had. */
double *moments_moves(const Moments *moments, double scale);

#endif
