/* SPDX-License-Identifier: GPL-3.0-or-later */
/* `simulate`: an ensemble of networks that differ in their initial weights alone. Members are
 * trained in parallel and counted in order, so that sums do not depend on the number of threads. */
#include "base/memory.h"
#include "num/linalg.h"
#include "num/stats.h"
#include "solve/batch.h"
#include "solve/flow.h"
#include "solve/observe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PROBED = 8 }; /* members of a probe */

/* An observable under way, and its moments. */
typedef struct Slot {
  FieldId mean, variance; /* FIELD_COUNT: none */
  int layer;
  bool pairs; /* over pairs of times */
  Moments moments;
  FieldId covariance; /* of what the variance is of, or FIELD_COUNT */
  size_t side;        /* numbers that it pairs */
  double *members;    /* [member, side]: these, where pairs are wanted */
} Slot;

typedef struct Ensemble {
  Program *program;  /* as it was lowered */
  Program *complete; /* as it is run */
  SolveOptions options;
  Sizes sizes;
  MachineCode code;
  size_t width;
  FieldSet wanted; /* of this run */
  Batch batch;     /* of members */
  Slot *slots;
  int slot_count;
  double *scratch;
} Ensemble;

/* ---- what is measured of a member ---- */

/* Of kernels, the variances at equal time and point. */
static bool is_diagonal(const Slot *slot) { return slot->mean == FIELD_COUNT; }

/* The value of a slot, [field_size]; `scratch` may hold it. */
static const double *measure(const Ensemble *e, const Slot *slot, const Trace *r, double *scratch) {
  if (!is_diagonal(slot)) return trace_find(r, slot->mean, slot->layer, slot->pairs);
  size_t R = e->sizes.all, P = e->sizes.points;
  const double *kernel = trace_find(r, field_row(slot->variance)->of, slot->layer, false);
  for (size_t t = 0; t < e->sizes.steps; t++)
    for (size_t a = 0; a < P; a++) scratch[t * P + a] = kernel[(t * R + a) * R + a];
  return scratch;
}

static void add_slot(Ensemble *e, FieldId mean, FieldId variance, int layer) {
  bool pairs = mean != FIELD_COUNT && field_is_late(mean);
  e->slots = mem_grow(e->slots, (size_t)(e->slot_count + 1) * sizeof *e->slots);
  Slot *slot = &e->slots[e->slot_count++];
  *slot = (Slot){.mean = mean, .variance = variance, .layer = layer, .pairs = pairs};
  slot->covariance = variance == FIELD_COUNT
                         ? FIELD_COUNT
                         : field_that_is(KIND_COVARIANCE, field_row(variance)->of);
  if (slot->covariance != FIELD_COUNT) slot->side = field_side(slot->covariance, e->sizes);
}

/* The values of the program that networks give, and their variances. */
static void choose_slots(Ensemble *e) {
  const Program *p = e->complete;
  for (FieldId id = 0; id < FIELD_COUNT; id++)
    for (int l = field_first(id); l <= field_last(id, p); l++) {
      bool measured = field_row(id)->kind == KIND_VALUE && program_observable(p, (int)id, l);
      if (!measured || !(field_row(id)->solvers & FROM_NETS)) continue;
      FieldId variance = field_that_is(KIND_VARIANCE, id);
      add_slot(e, id, field_is_late(id) ? FIELD_COUNT : variance, l);
      if (field_is_late(id)) add_slot(e, FIELD_COUNT, variance, l);
    }
}

static bool wants(const Ensemble *e, FieldId id) { return e->wanted & field_bit(id); }

/* Whether this run measures it, and whether it keeps what all members have. */
static bool is_wanted(const Ensemble *e, const Slot *slot) {
  return wants(e, slot->mean) || wants(e, slot->variance) || wants(e, slot->covariance);
}

static bool is_kept(const Ensemble *e, const Slot *slot) {
  return slot->side && wants(e, slot->covariance);
}

/* What the slots are measured from. */
static FieldSet values_of(const Ensemble *e) {
  FieldSet values = 0;
  for (int i = 0; i < e->slot_count; i++) {
    const Slot *slot = &e->slots[i];
    FieldId id = is_diagonal(slot) ? field_row(slot->variance)->of : slot->mean;
    if (is_wanted(e, slot)) values |= field_bit(id);
  }
  return values;
}

static int pairs_of(const Ensemble *e) {
  for (int i = 0; i < e->slot_count; i++)
    if (e->slots[i].pairs && is_wanted(e, &e->slots[i])) return TRACE_KERNELS;
  return 0;
}

static size_t slot_size(const Ensemble *e, const Slot *slot) {
  return field_size(slot->mean != FIELD_COUNT ? slot->mean : slot->variance, e->sizes);
}

/* Whether the moves of its fields are kept. */
static bool has_moves(const Ensemble *e, const Slot *slot) {
  return e->options.ensemble > 1 &&
         field_has_moves(slot->mean != FIELD_COUNT ? slot->mean : slot->variance, e->sizes);
}

/* ---- memory ---- */

static MachinePlan plan_of(const Ensemble *e, int member) {
  const Problem *p = e->program->problem;
  const Snapshot *snapshot = e->batch.snapshot;
  double neurons = (double)e->width * standard_ratio(e->program),
         gamma = p->parameterization == PARAM_MUP ? p->gamma : 1 / sqrt(neurons);
  return (MachinePlan){
      .program = e->complete,
      .code = &e->code,
      .hidden = run_kind(&e->options),
      .noise = {.kind = NOISE_PLAIN, .seed = e->options.seed, .number = (uint64_t)member},
      .columns = e->width,
      .sized = true,
      .gamma = gamma,
      .tol = e->options.conditioned ? 1e-7 : 1e-8,
      .steps = snapshot ? snapshot->step : p->steps,
      .stop = e->options.stop};
}

static double bytes_needed(const void *ensemble) {
  const Ensemble *e = ensemble;
  double doubles = 0, members = e->options.ensemble;
  for (int i = 0; i < e->slot_count; i++) {
    const Slot *slot = &e->slots[i];
    double side = (double)slot->side;
    if (is_wanted(e, slot)) doubles += 7 * (double)slot_size(e, slot);
    if (is_wanted(e, slot) && has_moves(e, slot))
      doubles += 4 * MOMENT_BLOCKS * (double)slot_size(e, slot);
    if (is_kept(e, slot)) doubles += side * (3 * members + (5 + 2 * MOMENT_BLOCKS) * side);
  }
  MachinePlan plan = plan_of(e, 0);
  double member = machine_bytes(&plan, e->sizes.steps) +
                  trace_bytes(e->complete, e->sizes.steps, e->batch.values, e->batch.pairs);
  return 8 * doubles + member * batch_threads(&e->batch);
}

static bool reserve(void *ensemble) {
  Ensemble *e = ensemble;
  size_t largest = 2 * e->sizes.steps;
  bool fine = true;
  for (int i = 0; i < e->slot_count && fine; i++) {
    Slot *slot = &e->slots[i];
    size_t size = slot_size(e, slot);
    if (!is_wanted(e, slot)) continue;
    if (!slot->pairs && size > largest) largest = size;
    fine = moments_start(&slot->moments, size, slot->variance == FIELD_COUNT ? 2 : 4);
    if (fine && has_moves(e, slot))
      fine = moments_divide(&slot->moments, (size_t)e->options.ensemble);
    if (is_kept(e, slot)) slot->members = mem_block(slot->side * (size_t)e->options.ensemble);
    fine = fine && (!is_kept(e, slot) || slot->members);
  }
  e->scratch = mem_block(largest);
  return fine && e->scratch;
}

/* ---- running ---- */

static RunEnd run_member(void *ensemble, int member, Trace *trace) {
  Ensemble *e = ensemble;
  return batch_measure(&e->batch, member, plan_of(e, member), trace);
}

/* What a slot has of a member, and of outputs the first for the covariance. */
static void count_slot(Slot *slot, int member, const double *value, size_t size) {
  moments_add(&slot->moments, value);
  for (size_t i = 0; i < slot->side && slot->members; i++)
    slot->members[(size_t)member * slot->side + i] = value[i * (size / slot->side)];
}

static void count_member(void *ensemble, int member, const Trace *trace) {
  Ensemble *e = ensemble;
  for (int i = 0; i < e->slot_count; i++) {
    Slot *slot = &e->slots[i];
    if (is_wanted(e, slot))
      count_slot(slot, member, measure(e, slot, trace, e->scratch), slot_size(e, slot));
  }
}

static Status explain(const void *ensemble, char **why) {
  const Ensemble *e = ensemble;
  const RunEnd *end = &e->batch.failure;
  switch (end->status) {
  case STATUS_OK: break;
  case STATUS_INTERRUPTED:
    *why = mem_format("interrupted after %d of %d networks", e->batch.failed, e->options.ensemble);
    break;
  case STATUS_NUMERICS: {
    char *who = mem_format("training of network %d", e->batch.failed);
    run_diverged(why, who, end->failed_at, e->program, e->options.threads);
    free(who);
    break;
  }
  default: *why = mem_format("out of memory");
  }
  return end->status;
}

static void prepare(Ensemble *e, Program *program, const SolveOptions *options, FieldSet wanted) {
  *e = (Ensemble){.program = program,
                  .options = *options,
                  .sizes = sizes_of(program),
                  .width = (size_t)options->width,
                  .wanted = wanted};
  if (options->probe && e->options.ensemble > PROBED) e->options.ensemble = PROBED;
  e->complete = program_complete(program, (Reading){.parts = options->parts});
  e->code = machine_compile(e->complete, false, NULL);
  choose_slots(e);
  e->batch = (Batch){.program = e->complete,
                     .options = &e->options,
                     .stage = "simulate",
                     .run = run_member,
                     .bytes = bytes_needed,
                     .begin = reserve,
                     .explain = explain,
                     .solve = e,
                     .steps = e->sizes.steps,
                     .values = values_of(e),
                     .pairs = pairs_of(e),
                     .replicates = e->options.ensemble};
}

static void clean(Ensemble *e) {
  for (int i = 0; i < e->slot_count; i++) {
    moments_free(&e->slots[i].moments);
    free(e->slots[i].members);
  }
  free(e->slots);
  batch_free(&e->batch);
  machine_code_free(e->complete, &e->code);
  program_drop(e->complete);
  free(e->scratch);
}

/* ---- results ---- */

static bool fill(Ensemble *e, Result *result, const Slot *slot, FieldId id, bool variance) {
  size_t shape[ARRAY_MAX_RANK];
  int rank = field_shape(id, e->sizes, shape);
  return run_moments(&slot->moments, &e->options, variance,
                     result_find(result, field_row(id)->name, slot->layer), rank, shape);
}

/* How blocks of members move covariances, N m / (m - 1) times the mean products [side, side] of
 * deviations d [members, side]: as in moments_moves, by what is left without them. */
static bool fill_covariance_moves(const Ensemble *e, Result *result, const Slot *slot,
                                  const double *d, const double *mean) {
  size_t n = slot->side, members = (size_t)e->options.ensemble, each = slot->moments.block_size,
         blocks = moments_blocks(&slot->moments);
  if (blocks < 2 || !field_has_moves(slot->covariance, e->sizes)) return true;
  double *moves = mem_block(blocks * n * n), m = (double)members;
  for (size_t k = 0; moves && k < blocks; k++) {
    size_t begin = k * each, own = begin + each < members ? each : members - begin;
    double *move = moves + k * n * n,
           scale = sqrt((double)blocks - 1) * (double)e->width * m / (m - 1);
    mat_mul_at(n, n, own, 1, d + begin * n, n, d + begin * n, n, 0, move, n);
    for (size_t i = 0; i < n * n; i++)
      move[i] = scale * (mean[i] - (mean[i] * m - move[i]) / (m - (double)own));
  }
  ResultField *field = result_find(result, field_row(slot->covariance)->name, slot->layer);
  bool fine =
      moves && field_blocks(field, result->kind, e->options.seed, (int)blocks, moves, n * n);
  free(moves);
  return field_whole(field, fine);
}

/* From sums [n, n] over members of products of deviations, and of products of squares of these, the
 * squared errors of covariances: (var_i var_j + cov_ij^2)/(m - 1) for normal numbers, and more
 * where the kurtosis, averaged as for variances, is larger. The part of it that is due to both
 * being one number is as uncertain as that of a variance. */
static void doubt_covariances(size_t n, double m, const double *sums, double *squares) {
  double mean = 0;
  for (size_t i = 0; i < n * n; i++) {
    double xx = sums[i / n * (n + 1)], yy = sums[i % n * (n + 1)];
    squares[i] = excess_kurtosis(m, xx, yy, sums[i], squares[i]);
    mean += squares[i] / (double)(n * n);
  }
  for (size_t i = 0; i < n * n; i++) {
    double both = sums[i / n * (n + 1)] * sums[i % n * (n + 1)],
           kurtosis = likely_kurtosis(m, squares[i], mean),
           one = both > 0 ? fmin(1, sums[i] * sums[i] / both) : 0,
           normal = (1 + one) / (m - 1) + kurtosis / m;
    squares[i] =
        both / ((m - 1) * (m - 1)) * ((1 - one) * normal + one * variance_doubt(m, kurtosis));
  }
}

/* N Cov(x_i, x_j), with its error. */
static bool fill_covariance(Ensemble *e, Result *result, const Slot *slot) {
  size_t n = slot->side, members = (size_t)e->options.ensemble;
  double *cov = mem_block(n * n), *error = mem_block(n * n), *d = mem_block(n * members),
         *squares = mem_block(n * members), *mean = mem_block(n * n);
  bool fine = cov && error && d && squares && mean;
  double m = (double)members, N = (double)e->width;
  for (size_t i = 0; fine && i < n; i++) {
    double centre = 0;
    for (size_t k = 0; k < members; k++) centre += slot->members[k * n + i] / m;
    for (size_t k = 0; k < members; k++) d[k * n + i] = slot->members[k * n + i] - centre;
  }
  if (fine) {
    mat_mul_at(n, n, members, 1 / m, d, n, d, n, 0, mean, n);
    for (size_t i = 0; i < n * members; i++) squares[i] = d[i] * d[i];
    mat_mul_at(n, n, members, 1, squares, n, squares, n, 0, error, n);
    mat_mul_at(n, n, members, 1, d, n, d, n, 0, cov, n);
    doubt_covariances(n, m, cov, error);
    for (size_t i = 0; i < n * n; i++) {
      error[i] = N * sqrt(error[i]);
      cov[i] = mean[i] * N * m / (m - 1);
    }
    run_symmetrize(n, error);
    fine = field_fill(result, slot->covariance, slot->layer, e->sizes, cov, error) &&
           fill_covariance_moves(e, result, slot, d, mean);
  }
  free(squares);
  free(mean);
  free(cov);
  free(error);
  free(d);
  return fine;
}

/* The fields of this run. A single member has no variances. */
static bool fill_fields(Ensemble *e, Result *result) {
  bool fine = true, sampled = e->options.ensemble > 1;
  for (int i = 0; fine && i < e->slot_count; i++) {
    const Slot *slot = &e->slots[i];
    if (wants(e, slot->mean)) fine = fill(e, result, slot, slot->mean, false);
    if (fine && sampled && wants(e, slot->variance))
      fine = fill(e, result, slot, slot->variance, true);
    if (fine && sampled && is_kept(e, slot)) fine = fill_covariance(e, result, slot);
  }
  return fine;
}

static void promise_fields(Ensemble *e, Result *result) {
  bool sampled = e->options.ensemble > 1;
  for (int i = 0; i < e->slot_count; i++) {
    const Slot *slot = &e->slots[i];
    if (slot->mean != FIELD_COUNT) field_promise(result, slot->mean, slot->layer);
    if (slot->variance != FIELD_COUNT && sampled)
      field_promise(result, slot->variance, slot->layer);
    if (slot->side && sampled) field_promise(result, slot->covariance, slot->layer);
  }
}

/* What was left out and comes with the field of this name: all small ones, or all others. */
static FieldSet left_out(const Result *result, const char *name) {
  bool late = false, small = !name;
  FieldSet left = 0;
  for (FieldId id = 0; id < FIELD_COUNT && name; id++)
    if (strcmp(field_row(id)->name, name) == 0) *(field_is_late(id) ? &late : &small) = true;
  for (FieldId id = 0; id < FIELD_COUNT; id++)
    if ((field_is_late(id) ? late || !name : small) && result_lacks(result, field_row(id)->name))
      left |= field_bit(id);
  return left;
}

/* Trains the same networks again. */
static Status complete(Result *result, const char *name, char **why) {
  Origin *origin = result->origin;
  Ensemble e;
  prepare(&e, origin->program, &origin->options, left_out(result, name));
  Status status = batch_members(&e.batch, count_member, why);
  if (status == STATUS_OK && !fill_fields(&e, result)) status = run_refuse(why, bytes_needed(&e));
  clean(&e);
  if (!result_lacks(result, NULL)) result->complete = NULL;
  return status;
}

/* Trains the same networks up to one step; nothing else of them is wanted. */
static Status retake(const Origin *origin, Snapshot *snapshot, char **why) {
  Ensemble e;
  prepare(&e, origin->program, &origin->options, 0);
  e.sizes.steps = e.batch.steps = (size_t)snapshot->step + 1;
  e.batch.snapshot = snapshot;
  e.options.crew = NULL; /* every process looks at all of them */
  Status status = batch_members(&e.batch, count_member, why);
  clean(&e);
  return status;
}

/* What a result of this ensemble goes back to. */
static void give_origin(const Ensemble *e, Result *result) {
  run_origin(result, e->program, &e->options);
  run_sampled(result, e->width, e->options.ensemble, true, retake);
  result->complete = complete;
}

static bool is_probed_whole(const SolveOptions *options) { return options->ensemble <= PROBED; }

void solve_networks_origin(Result *result, Program *program, const SolveOptions *options) {
  Ensemble e;
  SolveOptions taken = *options;
  const char *members = result_attribute(result, "ensemble");
  if (members && result_attribute(result, "incomplete")) taken.ensemble = atoi(members);
  prepare(&e, program, &taken, 0);
  give_origin(&e, result);
  clean(&e);
  flow_origin(solve_networks, is_probed_whole(&taken), result);
}

/* Kernels over pairs of times cost (T P)^2 N for each member; up to this T P they are made at once,
 * beyond it when first asked for. */
enum { SMALL_HISTORY = 512 };

/* What is made at once: what is not known to be unread, and what says how the training went. */
static FieldSet at_once(const SolveOptions *options, Sizes z) {
  FieldSet wanted = ~options->unread | field_bit(FIELD_F) | field_bit(FIELD_LOSS);
  for (FieldId id = 0; id < FIELD_COUNT; id++)
    if (field_is_late(id) && z.steps * z.all > SMALL_HISTORY) wanted &= ~field_bit(id);
  return wanted;
}

Status solve_networks(Program *program, const SolveOptions *options, Result **result, char **why) {
  *result = NULL;
  if (flow_chooses(program, options))
    return flow_solve(solve_networks, is_probed_whole(options), program, options, result, why);
  double start = run_clock();
  Ensemble e;
  prepare(&e, program, options, at_once(options, sizes_of(program)));
  Status status = batch_members(&e.batch, count_member, why);
  int partial = batch_members_done(&e.batch, why);
  if (partial) e.options.ensemble = partial;
  if (status == STATUS_OK || partial) {
    Result *r = result_new("simulate");
    give_origin(&e, r);
    bool fine = observe_start(r, program, e.sizes);
    promise_fields(&e, r);
    fine = fine && fill_fields(&e, r);
    batch_note_members(&e.batch, r, run_clock() - start);
    status = run_finish(r, status, fine, bytes_needed(&e), result, why);
  }
  clean(&e);
  return status;
}

void solve_plan_networks(Program *program, const SolveOptions *options, SolvePlan *plan) {
  *plan = (SolvePlan){0};
  Ensemble e;
  const SolveOptions plain = flow_plain(program, options);
  prepare(&e, program, &plain, at_once(options, sizes_of(program)));
  plan->bytes = bytes_needed(&e);
  batch_plan(&e.batch, plan_of(&e, 0), plan);
  clean(&e);
}
