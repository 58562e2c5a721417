/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fresh Gaussian noise on the neurons of a population: rows [S] of unit variance. */
#ifndef DMF_MACHINE_NOISE_H
#define DMF_MACHINE_NOISE_H

#include "model/problem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where the noise of a population comes from. */
typedef struct NoiseSource {
  enum {
    NOISE_PLAIN,       /* independent normal numbers: real neurons */
    NOISE_SOBOL,       /* scrambled Sobol points in the leading rows: sample paths */
    NOISE_COORDINATES, /* row k is the k-th axis of the Gaussian basis, <e e> = 1 */
    NOISE_GRID         /* the axes of a grid of quadrature nodes */
  } kind;
  size_t first; /* NOISE_PLAIN: the neurons from here on of many, of a population of ratio 1 */
  uint64_t seed, number; /* of the replicate, or member */
  const uint32_t *sobol; /* [SOBOL_DIMS, S]; NULL without memory, which ends what it is for */
  const double *grid;    /* [axes, S] */
  int axes;
} NoiseSource;

/* Row number k [S] of population `space`. False if the source has no more. */
bool noise_row(const NoiseSource *source, size_t S, int space, int k, double *row);

/* Normal numbers become numbers of another law, of variance 1; orthogonal matrices are no matter of
 * their entries. */
void noise_of_law(Law law, size_t n, double *numbers);

/* Orthonormal rows that noise is made orthogonal to, ld apart, in one of the precisions. */
typedef struct NoiseBlock {
  const double *rows;
  const float *single; /* or NULL */
  size_t ld;
  int count;
} NoiseBlock;

/* Gives `count` rows of S numbers mean zero, makes them orthogonal to the blocks and to each other,
 * and of unit variance; all rows are ld apart, and c is room for `count` numbers of each row of the
 * largest block. Returns the floating point operations. */
double noise_condition(double *rows, size_t count, size_t S, size_t ld, const NoiseBlock *blocks,
                       int n, double *c);

#endif
