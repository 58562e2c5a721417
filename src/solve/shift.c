/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The mean of a finite network minus that of an infinite one, N (E f_N - f), to leading order.
 *
 * A network of width S is a functional F of S independent neurons (sequential.c), and
 * E F(S) = F + c / S. Two networks A and B of width S, and the one of width 2S made of the neurons
 * of both, differ by
 *
 *     F(A and B) - (F(A) + F(B)) / 2,   of mean -c / (2S)
 *
 * in which what is linear in the neurons cancels: its scatter is of order 1/S like its mean, where
 * that of F itself is of order 1/sqrt(S). */
#include "solve/shift.h"
#include "base/memory.h"
#include "base/team.h"
#include "num/stats.h"
#include "solve/observe.h"
#include "solve/wishart.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Whether it is a shift of something that the program has. */
static bool is_shift(const Program *p, FieldId id) {
  const FieldRow *row = field_row(id);
  return row->kind == KIND_SHIFT && program_observable(p, (int)row->of, 0);
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

static bool take(void *sink, Machine *m, int t) {
  (void)t;
  if (!trace_take(sink, m)) m->status = STATUS_LIMIT;
  return m->status == STATUS_OK;
}

/* What is measured for that. */
static FieldSet measured(const Program *p) {
  FieldSet set = 0;
  for (FieldId id = 0; id < FIELD_COUNT; id++)
    if (is_shift(p, id)) set |= field_bit(field_row(id)->of);
  return set;
}

/* The network of a run as its noise has it. */
static MachinePlan network_of(const ShiftPlan *plan, const MachinePlan *run) {
  MachinePlan network = *run;
  network.program = plan->program;
  network.code = plan->code;
  network.hidden = &sequential;
  network.gamma = plan->gamma;
  network.independent = plan->independent;
  network.steps = plan->program->problem->steps;
  network.stop = plan->stop;
  network.observe = take;
  return network;
}

double shift_run_bytes(const ShiftPlan *plan, const MachinePlan *run) {
  MachinePlan network = network_of(plan, run);
  size_t steps = sizes_of(plan->program).steps;
  return machine_bytes(&network, steps) +
         trace_bytes(plan->program, steps, measured(plan->program), 0);
}

Status shift_measure(const ShiftPlan *plan, const MachinePlan *run, double *whole, double *flops,
                     int *failed_at) {
  Trace record;
  Status status = STATUS_LIMIT;
  const Program *p = plan->program;
  *failed_at = 0;
  if (trace_new(&record, p, sizes_of(p).steps, measured(p), 0)) {
    bool *wanted = trace_wants(&record);
    MachinePlan network = network_of(plan, run);
    Machine m;
    network.wanted = wanted;
    network.sink = &record;
    status = machine_run(&network, &m, failed_at);
    if (status == STATUS_OK) *flops = tape_flops(m.tape);
    if (status == STATUS_OK) machine_free(&m);
    free(wanted);
  }
  for (FieldId id = 0; id < FIELD_COUNT && status == STATUS_OK; id++) {
    size_t n = size_of(p, id);
    if (n) memcpy(whole, trace_find(&record, field_row(id)->of, 0, false), n * sizeof *whole);
    whole += n;
  }
  trace_free(&record);
  return status;
}

/* The network of the neurons first .. first+count-1 of this pair; all fields, one after the other.
 */
static Status run_part(const ShiftPlan *plan, int pair, size_t first, size_t count, double *whole) {
  int failed_at;
  double flops;
  MachinePlan part = {
      .noise = {.kind = NOISE_PLAIN, .first = first, .seed = plan->seed, .number = (uint64_t)pair},
      .columns = count,
      .sized = true,
      .tol = 1e-6};
  return shift_measure(plan, &part, whole, &flops, &failed_at);
}

double shift_bytes(const ShiftPlan *plan) {
  MachinePlan part = {.columns = 2 * plan->width, .sized = true};
  return plan->threads * shift_run_bytes(plan, &part) +
         8.0 * (double)shift_size(plan->program) * (plan->pairs + 2 * plan->threads + 4);
}

static Status run_pair(const ShiftPlan *plan, int pair, double *shift) {
  size_t S = plan->width, n = shift_size(plan->program);
  double *halves = mem_block(2 * n);
  if (!halves) return STATUS_LIMIT;
  Status status = run_part(plan, pair, 0, S, halves);
  if (status == STATUS_OK) status = run_part(plan, pair, S, S, halves + n);
  if (status == STATUS_OK) status = run_part(plan, pair, 0, 2 * S, shift);
  for (size_t i = 0; i < n && status == STATUS_OK; i++)
    shift[i] = -2 * (double)S * (shift[i] - (halves[i] + halves[n + i]) / 2);
  free(halves);
  return status;
}

/* The shifts of all pairs [pairs, whole_size], as far as this process makes them. */
typedef struct Pairs {
  const ShiftPlan *plan;
  double *all;
  _Atomic Status status;
  atomic_int done;
} Pairs;

static void make_pair(void *context, size_t pair) {
  Pairs *pairs = context;
  const ShiftPlan *plan = pairs->plan;
  if (pairs->status != STATUS_OK || !crew_has(plan->crew, (int)pair)) return;
  Status own = run_pair(plan, (int)pair, pairs->all + pair * shift_size(plan->program));
  if (own != STATUS_OK) pairs->status = own;
  int now = ++pairs->done;
  if (plan->progress && team_leads()) plan->progress(plan->sink, "mean shift", now, plan->pairs);
}

/* The mean over pairs and its error, [whole_size]; and what of them moves it, [blocks, whole_size].
 */
static Status run(const ShiftPlan *plan, double *mean, double *error, double **moves,
                  size_t *blocks) {
  size_t n = shift_size(plan->program);
  double *all = mem_block((size_t)plan->pairs * n);
  Moments moments = {0};
  Status status =
      all && moments_start(&moments, n, 2) && moments_divide(&moments, (size_t)plan->pairs)
          ? STATUS_OK
          : STATUS_LIMIT;
  Pairs pairs = {.plan = plan, .all = all, .status = status};
  team_run(plan->threads, (size_t)plan->pairs, make_pair, &pairs);
  status = pairs.status;
  if (crew_any(plan->crew, status != STATUS_OK) && status == STATUS_OK) status = STATUS_LIMIT;
  for (int pair = 0; pair < plan->pairs && status == STATUS_OK; pair++)
    crew_share(plan->crew, pair, all + (size_t)pair * n, n * sizeof *all);
  for (int pair = 0; pair < plan->pairs && status == STATUS_OK; pair++)
    moments_add(&moments, all + (size_t)pair * n);
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
