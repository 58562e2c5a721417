/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How sampled numbers may be off together. A scatter lists directions, changes of all numbers x of
 * an array by about their standard error, that are independent of one another: the squared standard
 * error of any function g of them is
 *
 *   sum_k weight_k (|g(x + move_k) - g(x)|^2 + |g(x - move_k) - g(x)|^2) / 2.
 *
 * Directions are those of replicates, or of blocks of members, and what is common to all runs. Each
 * has an id; numbers of other arrays whose directions have the same id move along. */
#ifndef DMF_RESULT_SCATTER_H
#define DMF_RESULT_SCATTER_H

#include "num/array.h"

#include <stdint.h>

typedef struct Direction {
  uint64_t id;
  double weight;
  Array *move; /* of the shape of the numbers */
} Direction;

typedef struct Scatter {
  int references, count;
  Direction *list;
} Scatter;

/* Arrays with more numbers than this keep no scatter: it takes as many numbers as there are
 * replicates for each of them. */
enum { SCATTER_LARGEST = 1 << 17 };

Scatter *scatter_new(void);
Scatter *scatter_keep(Scatter *scatter);
void scatter_drop(Scatter *scatter); /* NULL is allowed, as above */
/* Takes over the move. */
void scatter_add(Scatter *scatter, uint64_t id, double weight, Array *move);
/* The direction of this id, or NULL. */
const Direction *scatter_find(const Scatter *scatter, uint64_t id);

/* Of direction `number` among those of this kind ("dmft", ...), seed and count. */
uint64_t scatter_id(const char *kind, uint64_t seed, int count, int number);

/* A scatter of numbers of which the errors alone are known: their signs are drawn, independent from
 * number to number, in a few directions whose ids follow from the errors. Without `error` nothing
 * is known of them, and the moves are nan. NULL when there is no memory. */
Scatter *scatter_independent(const Array *value, const Array *error);

/* The moves as one array [direction, shape of the numbers], and the ids and weights as a text, to
 * be freed; and back. NULL when there is no memory, too high a rank, or when array and text do not
 * make a scatter of numbers of this shape. */
Array *scatter_stack(const Scatter *scatter);
char *scatter_text(const Scatter *scatter);
Scatter *scatter_unstack(const Array *moves, const char *text, const Array *like);

/* By which factor each number of the moves is to be multiplied so that the errors of the numbers
 * themselves are these; NULL when there is no memory. Where nothing moves, `*rest`, a move of its
 * own that joins the first direction, has the error; NULL where everything does. */
Array *scatter_scale(const Scatter *scatter, const Array *error, Array **rest);

#endif
