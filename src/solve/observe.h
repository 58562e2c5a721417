/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Observables that both solvers derive from what they measured, and the one place that knows the
 * names, shapes and descriptions of result fields. */
#ifndef DMF_SOLVE_OBSERVE_H
#define DMF_SOLVE_OBSERVE_H

#include "field/observable.h"
#include "result/result.h"
#include "field/program.h"

#include <stdint.h>

/* Whether it is one of the two-time fields, which may be left to result_complete. */
bool field_is_late(FieldId id);
/* The shape that the axes of a field spell out; its rank. */
int field_shape(FieldId id, Sizes sizes, size_t shape[ARRAY_MAX_RANK]);
/* Numbers in a field of this kind. */
size_t field_size(FieldId id, Sizes sizes);
/* Numbers that a field of covariances pairs: it is [side, side]. */
size_t field_side(FieldId id, Sizes sizes);
/* Adds a field to the result, copying value and error [field_size] (either may be NULL). Layer 0
 * for plain fields. False if memory ran out. */
bool field_add(Result *result, FieldId id, int layer, Sizes sizes, const double *value,
               const double *error);
/* Whether it is among those of a result, without a value. */
bool field_is_missing(const Result *result, FieldId id, int layer);
/* Declares a field that result_complete will compute. */
void field_promise(Result *result, FieldId id, int layer);
/* What lacked memory for a part leaves nothing of the field: who asks again would take values
 * without errors, or errors without their scatter, for all that there is. Gives `fine`. */
bool field_whole(ResultField *field, bool fine);
/* Fills a field of this shape, copying value and, if it is `known`, the error (NULL: zeros). False
 * if memory ran out. */
bool field_put(ResultField *field, int rank, const size_t shape[], const double *value,
               const double *error, bool known);
/* Fills a promised field, copying; an exact result without error gets errors of zero. False if
 * memory ran out. */
bool field_fill(Result *result, FieldId id, int layer, Sizes sizes, const double *value,
                const double *error);

/* Whether a field keeps the moves of its replicates (result/scatter.h). */
bool field_has_moves(FieldId id, Sizes sizes);
/* Keeps them with a filled field, copying: moves [runs, size] of weight 1 / runs, rows apart by
 * `stride`, of these runs of a solver of this kind. False if memory ran out. */
bool field_blocks(ResultField *field, const char *kind, uint64_t seed, int runs,
                  const double *moves, size_t stride);
/* The same where, with `common`, one more row stands behind them, of what all its runs have in
 * common, and with `tails` one of what they did not meet. */
bool field_moves(ResultField *field, const char *kind, uint64_t seed, int runs, const double *moves,
                 bool common, bool tails);

/* Adds t, and the notes that every result carries (model, training, gamma, ...). */
bool observe_start(Result *result, const Program *program, Sizes sizes);

/* From predictions f[steps, all, outputs]: f of the training points and of the test points. */
void observe_split(Sizes sizes, const double *f, double *train, double *test);

#endif
