/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the language does with arrays: elementwise work with broadcasting, indexing, shapes,
 * reductions, linear algebra, and text for people. All functions return a new reference (or NULL)
 * and leave their arguments alone. On failure `*why` is one line for the author of the script, in
 * storage of this thread that lives until its next failure; array_failure() tells its kind. An axis
 * may be negative, counting from the last. Broadcasting is NumPy's: shapes are aligned at their
 * last axes, and an axis of 1 is repeated. */
#ifndef DMF_NUM_ARRAYOPS_H
#define DMF_NUM_ARRAYOPS_H

#include "base/status.h"
#include "num/array.h"

/* The kind of this thread's last failure: STATUS_SCRIPT (shapes, indices, arguments),
 * STATUS_NUMERICS (singular, not symmetric, no convergence), STATUS_LIMIT (memory) or
 * STATUS_INTERRUPTED: all look for that as they work (base/work.h). */
Status array_failure(void);

/* Elementwise */

Array *array_map(const Array *a, double (*f)(double), const char **why);
Array *array_zip(const Array *a, const Array *b, double (*f)(double, double), const char **why);
/* 1 where the element is not zero, else 0. What asks for truth fails at NaN, which has none. */
Array *array_truth(const Array *a, const char **why);
/* Elements of `yes` where `condition` is true, else of `no`; all three broadcast. */
Array *array_select(const Array *condition, const Array *yes, const Array *no, const char **why);

/* Indexing */

typedef enum SubscriptKind {
  SUBSCRIPT_AT,    /* x[at]: removes the axis */
  SUBSCRIPT_SLICE, /* x[begin:end]: clipped to the axis, as in Python */
  SUBSCRIPT_LIST,  /* x[list]: the axis is replaced by the axes of the list */
  SUBSCRIPT_MASK   /* x[list]: as many axes as the list has, by one over its true elements */
} SubscriptKind;

/* One subscript. Positions are numbers of the script: whole, and negative from the end. */
typedef struct Subscript {
  SubscriptKind kind;
  double at;
  bool has_begin, has_end;
  double begin, end;
  const Array *list;
} Subscript;

/* Subscripts of the first axes, each on its own (two lists select a grid); the remaining axes stay
 * whole. Out of range, not whole, a mask of another shape, or more subscripts than axes: an error.
 */
Array *array_index(const Array *a, int count, const Subscript *subscripts, const char **why);
/* Whether a mask has the shape of the axes from `axis` on. */
bool array_mask_fits(const Array *a, int axis, const Array *mask, const char **why);

/* Making arrays */

Array *array_full(int rank, const size_t *shape, double value, const char **why);
Array *array_eye(size_t n, const char **why);
/* `count` numbers from `begin` to `end`, both included; logspace gives 10 to these powers. */
Array *array_linspace(double begin, double end, size_t count, const char **why);
Array *array_logspace(double begin, double end, size_t count, const char **why);
/* first, first + step, ... up to and including `last`; empty when it lies the other way. */
Array *array_range(double first, double last, double step, const char **why);
/* `count` arrays of one shape [...] as one of shape [count, ...]; none gives the empty vector. */
Array *array_stack(size_t count, const Array *const *parts, const char **why);
/* Joined along axis 0; numbers count as vectors of length 1. */
Array *array_concat(size_t count, const Array *const *parts, const char **why);

/* Shape */

/* The same elements in row-major order; one entry of `shape` may be -1 and is then inferred. */
Array *array_reshape(const Array *a, int rank, const double *shape, const char **why);
/* Axes in reverse order. */
Array *array_transpose(const Array *a, const char **why);
/* A vector becomes a diagonal matrix; of a matrix the diagonal is taken. */
Array *array_diag(const Array *a, const char **why);

/* Reductions. Of an empty array, sum and any give 0, prod and all 1, and the others fail. std and
 * var are those of the population (divided by n, as in NumPy). NaN propagates; any and all fail at
 * it. */

typedef enum Reduction {
  REDUCE_SUM,
  REDUCE_MEAN,
  REDUCE_STD,
  REDUCE_VAR,
  REDUCE_KURTOSIS, /* in excess of a Gaussian's: 0 for one */
  REDUCE_MIN,
  REDUCE_MAX,
  REDUCE_PROD,
  REDUCE_ANY,
  REDUCE_ALL,
  REDUCE_ARGMIN, /* the first place of the least; over all axes: its row-major position */
  REDUCE_ARGMAX
} Reduction;

/* Over all elements to a number. */
Array *array_reduce(const Array *a, Reduction reduction, const char **why);
/* Along one axis, which disappears. */
Array *array_reduce_axis(const Array *a, Reduction reduction, double axis, const char **why);

/* The same over finite elements alone, along an axis or, with NULL, over all; nan where there are
 * none, but for sums (0) and products (1). Not for any and all. */
Array *array_reduce_finite(const Array *a, Reduction reduction, const double *axis,
                           const char **why);

/* Along one axis; sorting is ascending and stable, NaN last. */
Array *array_sort(const Array *a, double axis, const char **why);
Array *array_argsort(const Array *a, double axis, const char **why);
Array *array_cumsum(const Array *a, double axis, const char **why);
/* Neighbouring differences; the axis gets shorter by one. */
Array *array_diff(const Array *a, double axis, const char **why);
/* Values at x of the function that is linear between the points (xs, ys) and constant outside;
 * xs must ascend. */
Array *array_interp(const Array *x, const Array *xs, const Array *ys, const char **why);

/* exp(a) over its sum along the last axis; `causal`, row p of each square [..., n, n] is that of
 * its first p + 1 columns, and 0 beyond. */
Array *array_softmax(const Array *a, bool causal, const char **why);

/* The numbers below which a fraction q of all elements lies, with the shape of q; linear between
 * neighbouring elements. */
Array *array_quantile(const Array *a, const Array *q, const char **why);
/* Densities of all elements in equal bins from `low` to `high`: [bins, 2], the centre of each bin
 * and the fraction of all elements in it divided by its width. What lies outside counts among all.
 */
Array *array_histogram(const Array *a, size_t bins, double low, double high, const char **why);

/* Linear algebra. Functions that factorize demand finite entries. */

/* The product of vectors and matrices: [n] [n] -> number, [m,n] [n] -> [m], [m] [m,n] -> [n],
 * [m,k] [k,n] -> [m,n]. */
Array *array_matmul(const Array *a, const Array *b, const char **why);
Array *array_dot(const Array *a, const Array *b, const char **why);   /* two vectors -> number */
Array *array_outer(const Array *a, const Array *b, const char **why); /* [m] [n] -> [m,n] */
/* Of a square matrix, or of each of a stack of them [..., n, n]; likewise below where it says "of
 * each". */
Array *array_trace(const Array *a, const char **why);
/* x with a x = b, for b [n] or [n,k]; fails when a is singular to working precision. */
Array *array_solve(const Array *a, const Array *b, const char **why);
Array *array_inverse(const Array *a, const char **why);
Array *array_det(const Array *a, const char **why); /* of each */
/* Of each real symmetric matrix (to 1e-10 of its largest entry): eigenvalues [n] ascending, and the
 * matrix [n,n] whose columns are the eigenvectors in that order. */
Array *array_eigenvalues(const Array *a, const char **why);
Array *array_eigenvectors(const Array *a, const char **why);
/* Singular values, descending. */
Array *array_svd(const Array *a, const char **why);
/* The root of the sum of squares: 2-norm of a vector, Frobenius norm of a matrix. */
Array *array_norm(const Array *a, const char **why);

/* Text */

enum { ARRAY_SHAPE_TEXT = 24 * ARRAY_MAX_RANK };

/* "[3, 4]"; "[]" for a number. Returns `text`. */
char *array_shape_text(const Array *a, char text[ARRAY_SHAPE_TEXT]);
/* For people, to be freed, lines without a final newline: six digits, or as many as tell the
 * numbers apart; a vector wrapped to `columns`, a matrix in aligned rows, higher ranks as their
 * matrices. What is large is cut to the first and last few entries. With errors of the same shape,
 * or NULL, 0.1234(56) is a number that is off by 0.0056. */
char *array_numbers(const Array *a, const Array *error, int columns);
/* The same; what is cut has its shape on a line before. */
char *array_text(const Array *a, const Array *error, int columns);
bool array_shown_whole(const Array *a, const Array *error, int columns);

#endif
