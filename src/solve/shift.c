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

/* Numbers in all shifts of a program. */
static size_t whole_size(const Program *p) {
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

United shift_pairs(United networks) {
  networks.levels = 1;
  networks.values = measured(networks.program);
  networks.size = whole_size(networks.program);
  networks.read = read_fields;
  networks.context = networks.program;
  networks.stage = "mean shift";
  return networks;
}

/* The mean over pairs and its error, [size]; and what of them moves it, [blocks, size]. */
static Status run(const United *pairs, double *mean, double *error, double **moves,
                  size_t *blocks) {
  size_t n = pairs->size;
  int failed_at, count = pairs->groups;
  double *all = mem_block(2 * (size_t)count * n + 1);
  Moments moments = {0};
  bool fine = all && moments_start(&moments, n, 2) && moments_divide(&moments, (size_t)count);
  Status status =
      crew_any(pairs->options->crew, !fine) ? STATUS_LIMIT : united_run(pairs, all, &failed_at);
  for (int pair = 0; pair < count && status == STATUS_OK; pair++) {
    double *halves = all + 2 * (size_t)pair * n, *whole = halves + n;
    for (size_t i = 0; i < n; i++) halves[i] = -2 * (double)pairs->width * (whole[i] - halves[i]);
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

/* The shifts of a linear program without sampling, where that is not too long; else from pairs. */
static Status find(const United *pairs, bool linear, double *mean, double *error, double **moves,
                   size_t *blocks) {
  bool done = false;
  Status status = linear ? wishart_shift(pairs, mean, error, &done) : STATUS_OK;
  if (status != STATUS_OK || done) return status;
  bool refused = crew_any(pairs->options->crew, !mem_fits(united_bytes(pairs)));
  return refused ? STATUS_LIMIT : run(pairs, mean, error, moves, blocks);
}

Status shift_solve(const United *pairs, bool linear, Result *result) {
  const Program *p = pairs->program;
  Sizes z = sizes_of(p);
  size_t n = pairs->size, first = 0, blocks = 0;
  double *mean = mem_block(n), *error = mem_block(n), *moves = NULL;
  Status status = mean && error ? find(pairs, linear, mean, error, &moves, &blocks) : STATUS_LIMIT;
  for (FieldId id = 0; id < FIELD_COUNT && status == STATUS_OK; first += size_of(p, id++)) {
    if (!is_shift(p, id)) continue;
    bool fine = field_fill(result, id, 0, z, mean + first, error + first);
    if (fine && moves && field_has_moves(id, z))
      fine = field_blocks(result_find(result, field_row(id)->name, 0), "mean shift",
                          pairs->options->seed, (int)blocks, moves + first, n);
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
