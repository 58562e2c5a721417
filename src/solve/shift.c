/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The mean of a finite network minus that of an infinite one, N (E f_N - f), to leading order.
 *
 * Of networks of width S as functionals F of their neurons (united.h), E F(S) = F + c / S. Two, A
 * and B, of width S, and the one of width 2S made of the neurons of both, differ by
 *
 *     F(A and B) - (F(A) + F(B)) / 2,   of mean -c / (2S)
 *
 * in which what is linear in the neurons cancels: its scatter is of order 1/S like its mean, where
 * that of F itself is of order 1/sqrt(S). */
#include "solve/shift.h"
#include "base/memory.h"
#include "num/stats.h"
#include "solve/observe.h"
#include "solve/united.h"
#include "solve/wishart.h"

#include <stdlib.h>
#include <string.h>

/* Whether it is a shift of something that the program has. */
static bool is_shift(const Program *p, FieldId id) {
  const FieldRow *row = field_row(id);
  return row->kind == KIND_SHIFT && program_observable(p, (int)row->of, 0) &&
         field_is_present(id, p);
}

/* Numbers of a shift, 0 of other fields. */
static size_t size_of(const Program *p, FieldId id) {
  return is_shift(p, id) ? field_size(id, sizes_of(p)) : 0;
}

size_t shift_size(const Program *p) {
  size_t n = 0;
  for (FieldId id = 0; id < FIELD_COUNT; id++) n += size_of(p, id);
  return n;
}

/* What is measured for that. */
static FieldSet measured(const Program *p) {
  FieldSet set = 0;
  for (FieldId id = 0; id < FIELD_COUNT; id++)
    if (is_shift(p, id)) set |= field_bit(field_row(id)->of);
  return set;
}

/* All shifted fields of a network, one after the other. */
static void read_fields(const void *context, const Trace *record, double *numbers) {
  const Program *p = context;
  for (FieldId id = 0; id < FIELD_COUNT; id++) {
    size_t n = size_of(p, id);
    if (n) memcpy(numbers, trace_find(record, field_row(id)->of, 0, false), n * sizeof *numbers);
    numbers += n;
  }
}

static United united_of(const ShiftPlan *plan) {
  return (United){.program = plan->program,
                  .code = plan->code,
                  .gamma = plan->gamma,
                  .independent = plan->independent,
                  .width = plan->width,
                  .levels = 1,
                  .groups = plan->pairs,
                  .seed = plan->seed,
                  .values = measured(plan->program),
                  .size = shift_size(plan->program),
                  .read = read_fields,
                  .context = plan->program,
                  .stage = "mean shift",
                  .crew = plan->crew,
                  .threads = plan->threads,
                  .stop = plan->stop,
                  .progress = plan->progress,
                  .sink = plan->sink};
}

double shift_run_bytes(const ShiftPlan *plan, const MachinePlan *run) {
  United united = united_of(plan);
  return united_run_bytes(&united, run);
}

Status shift_measure(const ShiftPlan *plan, const MachinePlan *run, double *whole, double *flops,
                     int *failed_at) {
  United united = united_of(plan);
  return united_measure(&united, run, whole, flops, failed_at);
}

double shift_bytes(const ShiftPlan *plan) {
  United united = united_of(plan);
  return united_bytes(&united);
}

/* The mean over pairs and its error, [shift_size]; and what of them moves it, [blocks, shift_size].
 */
static Status run(const ShiftPlan *plan, double *mean, double *error, double **moves,
                  size_t *blocks) {
  United united = united_of(plan);
  size_t n = united.size;
  int failed_at;
  double *all = mem_block(2 * (size_t)plan->pairs * n + 1);
  Moments moments = {0};
  bool fine = all && moments_start(&moments, n, 2) && moments_divide(&moments, (size_t)plan->pairs);
  Status status = crew_any(plan->crew, !fine) ? STATUS_LIMIT : united_run(&united, all, &failed_at);
  for (int pair = 0; pair < plan->pairs && status == STATUS_OK; pair++) {
    double *halves = all + 2 * (size_t)pair * n, *whole = halves + n;
    for (size_t i = 0; i < n; i++) halves[i] = -2 * (double)plan->width * (whole[i] - halves[i]);
    moments_add(&moments, halves);
  }
  if (status == STATUS_OK) {
    moments_mean(&moments, mean, error);
    *blocks = moments_blocks(&moments);
    if (!(*moves = moments_moves(&moments, 0))) status = STATUS_LIMIT;
  }
  moments_free(&moments);
  free(all);
  return status;
}

/* Keeps how blocks of pairs move a filled field. */
static bool add_moves(const ShiftPlan *plan, Result *result, FieldId id, const double *moves,
                      size_t blocks) {
  Sizes z = sizes_of(plan->program);
  size_t shape[ARRAY_MAX_RANK], whole = shift_size(plan->program);
  int rank = field_shape(id, z, shape);
  Scatter *scatter = scatter_new();
  bool fine = true;
  for (size_t j = 0; j < blocks && fine; j++) {
    Array *move = array_new(rank, shape);
    fine = move != NULL;
    if (!fine) break;
    memcpy(move->data, moves + j * whole, move->size * sizeof *moves);
    scatter_add(scatter, scatter_id("mean shift", plan->seed, (int)blocks, (int)j),
                1.0 / (double)blocks, move);
  }
  result_find(result, field_row(id)->name, 0)->scatter = scatter;
  return fine;
}

/* The shifts of a linear program without sampling, where that is not too long; else from pairs. */
static Status find(const ShiftPlan *plan, double *mean, double *error, double **moves,
                   size_t *blocks) {
  bool done = false;
  Status status = plan->linear ? wishart_shift(plan, mean, error, &done) : STATUS_OK;
  if (status != STATUS_OK || done) return status;
  bool refused = crew_any(plan->crew, !mem_fits(shift_bytes(plan)));
  return refused ? STATUS_LIMIT : run(plan, mean, error, moves, blocks);
}

Status shift_solve(const ShiftPlan *plan, Result *result) {
  const Program *p = plan->program;
  Sizes z = sizes_of(p);
  size_t n = shift_size(p), first = 0, blocks = 0;
  double *mean = mem_block(n), *error = mem_block(n), *moves = NULL;
  Status status = mean && error ? find(plan, mean, error, &moves, &blocks) : STATUS_LIMIT;
  for (FieldId id = 0; id < FIELD_COUNT && status == STATUS_OK; first += size_of(p, id++)) {
    if (!is_shift(p, id)) continue;
    bool fine = field_fill(result, id, 0, z, mean + first, error + first);
    if (fine && moves && field_has_moves(id, z))
      fine = add_moves(plan, result, id, moves + first, blocks);
    if (!fine) status = STATUS_LIMIT;
  }
  free(mean);
  free(error);
  free(moves);
  return status;
}

void shift_promise(const Program *p, Result *result) {
  for (FieldId id = 0; id < FIELD_COUNT; id++)
    if (is_shift(p, id)) field_promise(result, id, 0);
}
