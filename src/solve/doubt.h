/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a sampled number does not know of itself: the error that is stated with the mean over
 * independent replicates of a calculation.
 *
 * Two parts add in squares. The replicates scatter. And each of them is off in the same way, by
 * what finite resolution does to it. Replicates are therefore repeated at a coarser resolution, and
 * a bias of first order is known from the difference; what of it stands out from its own scatter is
 * part of the error. Where averages have heavy tails, replicates agree by not having met them, and
 * the error is no smaller than what the tails can do. */
#ifndef DMF_SOLVE_DOUBT_H
#define DMF_SOLVE_DOUBT_H

#include <stdbool.h>
#include <stddef.h>

enum { MOST_REPLICATES = 8, MOST_LEANS = 4 };

/* What `count` replicates measured, arrays of n numbers; and the first `companions` of them at a
 * coarser resolution (none: nothing is said of the bias). The bias is `share` times the difference:
 * 1 / (ratio - 1), where it is of first order, and the resolution `ratio` times coarser. And the
 * first `leans` of them with every heavy average off by what it may be (machine/tails.h). */
typedef struct Replicates {
  int count, companions, leans;
  size_t n;
  const double *fine[MOST_REPLICATES], *coarse[MOST_REPLICATES], *lean[MOST_LEANS];
  double share;
} Replicates;

/* Makes out [m] of x [n]. */
typedef void Derivation(const void *context, const double *x, double *out);

/* How the entries of an array fall into groups that share the causes of their errors: group (i, k)
 * of outer x inner has the entries i * outer_stride + k * inner_stride + a * row_stride + b,
 * a < rows, b < columns. */
typedef struct Grouping {
  size_t outer, outer_stride, inner, inner_stride, rows, row_stride, columns;
} Grouping;
/* [steps, entries], one group for each time. */
Grouping grouping_of_times(size_t steps, size_t entries);
/* [steps, points, steps, points], one group for each pair of times. */
Grouping grouping_of_pairs(size_t steps, size_t points);

/* value [m] = derivation of the mean over replicates, and its stated error [m]; without a
 * derivation m = n, and the value is the mean itself. The derivation is taken at distances of the
 * order of the error, so that a kink or a flat piece within reach is seen. `moves`, unless NULL:
 * [doubt_moves, m], zeroed, takes how far each replicate, the bias, and last, where there are runs
 * that lean, heavy tails move the value (result/scatter.h; weights 1 / count, 1 and 1). False: no
 * memory. */
bool doubt(const Replicates *replicates, Derivation *derivation, const void *context, size_t m,
           const Grouping *grouping, double *value, double *error, double *moves);
/* The rows of `moves`: one for each replicate, one for the bias, and one for heavy tails if runs
 * lean. */
int doubt_moves(const Replicates *replicates);
/* How much of the error of entry i, as it was measured, is due to heavy tails. */
double doubt_tails(const Replicates *replicates, size_t i);

#endif
