/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The infinite-width solver: independent replicates of a run over sample paths and their companions
 * (batch.h), their mean, and its error. */
#include "base/memory.h"
#include "num/random.h"
#include "solve/batch.h"
#include "solve/enough.h"
#include "solve/flow.h"
#include "solve/lazy.h"
#include "solve/observe.h"
#include "solve/perturb.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { REPLICATES = MOST_RUNS, FEWER_REPLICATES = 6 };

_Static_assert((int)REPLICATES <= (int)MOST_REPLICATES, "the error of all replicates is stated");

/* Operations that the solver spends on its own account to get out of that: a second or so. */
static const double AFFORDABLE = 2e10;

/* One solve. */
typedef struct Solve {
  Program *program;  /* as it was lowered */
  Program *complete; /* as it is run */
  SolveOptions options;
  Sizes sizes;
  MachineCode code;
  Batch batch;
  int pairs;      /* what is wanted over pairs of times */
  FieldSet later; /* small fields that wait until somebody asks for them */
} Solve;

/* ---- what is measured ---- */

/* Whether a value of the program follows from another one by tables alone. */
static bool follows(const Program *p, int wanted, int given) {
  bool *read = mem_new((size_t)p->variable_count, sizeof *read), alone = true;
  read[wanted] = true;
  for (int i = p->op_count - 1; i >= 0 && alone; i--) {
    const Op *op = &p->ops[i];
    if (op->dst < 0 || op->dst == given || !read[op->dst]) continue;
    alone = op->kind == OP_MAP || op->kind == OP_CONST || op->kind == OP_MIX ||
            op->kind == OP_BLOCK || op->kind == OP_LSE || op->kind == OP_RESHAPE ||
            op->kind == OP_SOFTMAX || op->kind == OP_SUMS;
    for (int k = 0; k < op->src_count; k++) read[op->src[k]] = true;
  }
  alone = alone && read[given];
  free(read);
  return alone;
}

/* What runs measure of a field of one time: that which it follows from, or itself. */
static FieldId measured_for(const Program *p, const ProgramObservable *o) {
  static const FieldId given[] = {FIELD_F, FIELD_F_EMA, FIELD_F_TEST_EMA, FIELD_PHI};
  for (size_t i = 0; i < sizeof given / sizeof *given; i++) {
    const ProgramObservable *from = program_observable(p, (int)given[i], o->layer);
    if (from && follows(p, o->variable, from->variable)) return given[i];
  }
  return (FieldId)o->field;
}

/* Whether it is a field of one time that theories have. */
static bool is_small(const ProgramObservable *o) {
  const FieldRow *row = field_row((FieldId)o->field);
  return row->kind == KIND_VALUE && row->solvers & FROM_DMFT && !field_is_late((FieldId)o->field);
}

/* Of the small fields those that nothing else hangs on, and that take longer than others. */
static const FieldId leisurely = FIELD_ALIGNMENT;

/* The large fields, layer by layer. */
static const struct {
  FieldId id;
  int group;
} large[] = {{FIELD_PHI, TRACE_KERNELS},
             {FIELD_G, TRACE_KERNELS},
             {FIELD_A, TRACE_RESPONSES},
             {FIELD_B, TRACE_RESPONSES}};
enum { LARGE = sizeof large / sizeof *large };

static bool is_response(int k) { return large[k].group == TRACE_RESPONSES; }

static int layers_of(const Program *p, int k) {
  return field_is_present(large[k].id, p) ? field_last(large[k].id, p) : 0;
}

static bool is_wanted(const Solve *s, int k) { return large[k].group & s->pairs; }

/* What runs measure for all of these. */
static FieldSet measured_by(const Solve *s) {
  FieldSet measured = 0;
  const Program *p = s->complete;
  for (int i = 0; i < p->observable_count; i++)
    if (is_small(&p->observables[i]) && !(s->later & field_bit((FieldId)p->observables[i].field)))
      measured |= field_bit(measured_for(p, &p->observables[i]));
  for (int k = 0; k < LARGE; k++)
    if (is_wanted(s, k)) measured |= field_bit(large[k].id);
  return measured;
}

/* ---- fields and their errors ---- */

/* An observable as a function of a value x [T+1, n]: itself, or what follows from it. */
typedef struct Derive {
  const Solve *solve;
  const ProgramObservable *wanted;
  int given; /* the variable of x */
  Machine *function;
} Derive;

static void derive(const void *context, const double *x, double *out) {
  const Derive *d = context;
  const Program *p = d->solve->complete;
  size_t n = rows_of(p, d->given) * (size_t)p->variables[d->given].cols,
         cols = (size_t)p->variables[d->wanted->variable].cols,
         m = rows_of(p, d->wanted->variable) * cols, size = (size_t)d->wanted->rows * cols,
         steps = d->solve->sizes.steps, times = d->function->times;
  bool itself = d->wanted->variable == d->given;
  double *all = mem_new(times * m, sizeof *all);
  for (size_t t = 0; t < steps; t += times) {
    size_t first = t + times < steps ? t : steps - times; /* the last ones overlap */
    if (!itself) machine_call(d->function, d->given, x + first * n, d->wanted->variable, all);
    for (size_t k = 0; k < times; k++)
      memcpy(out + (first + k) * size,
             (itself ? x + (first + k) * n : all + k * m) + (size_t)d->wanted->first * cols,
             size * sizeof *out);
  }
  free(all);
}

/* So many times are derived at once that their tables of n numbers stay in the cache. */
static size_t together(const Solve *s, size_t n) {
  enum { CACHED = 2048 };
  size_t times = n < CACHED ? CACHED / n : 1;
  return times < s->sizes.steps ? times : s->sizes.steps;
}

/* Whether the bases fill sample space: then it is not the tolerance that ends them. */
static bool is_full(const Solve *s) {
  return !s->program->linear && run_is_full(batch_rank(&s->batch), (double)s->batch.fine.paths);
}

/* What all runs measured of a field: n numbers. `pairs`: over pairs of times. Between full bases
 * nothing is known of the order of the bias, and all of the difference counts. */
static Replicates collect(const Solve *s, FieldId id, int layer, bool pairs, size_t n) {
  Replicates r = batch_collect(&s->batch, (int)id, layer, pairs, n);
  if (is_full(s)) r.share = 1;
  return r;
}

static size_t moves_of(const Batch *b) { return (size_t)b->replicates + (b->leans ? 2 : 1); }

/* Room for the moves of a field, where they are kept; without them its numbers pass for independent
 * of each other. False without memory. */
static bool new_moves(const Solve *s, FieldId id, double **moves) {
  const Batch *b = &s->batch;
  bool kept = b->replicates > 1 && field_has_moves(id, s->sizes);
  *moves = kept ? mem_block(moves_of(b) * field_size(id, s->sizes)) : NULL;
  return *moves || !kept;
}

/* What single precision may do to all runs alike. */
static void add_rounding(const Solve *s, size_t n, const double *value, double *error) {
  const Batch *b = &s->batch;
  if (s->options.single)
    run_round_paths(n, value, solve_gamma(s->program, &s->options),
                    (double)b->fine.paths * b->replicates, error);
}

static void note_tails(const Solve *s, Result *result, FieldId id, const Replicates *measured,
                       const double *value, const double *error) {
  if (!result_attribute(result, "tails") && batch_guesses(&s->batch, measured, value, error))
    result_note(result, "tails", "%s", field_row(id)->name);
}

static bool add_moves(const Solve *s, Result *result, FieldId id, int layer, const double *moves) {
  const Batch *b = &s->batch;
  return !moves ||
         field_moves(result_find(result, field_row(id)->name, layer), result->kind, s->options.seed,
                     b->replicates, moves, b->companions > 0, b->leans > 0);
}

/* Fills a field that is a function of another, or of itself. */
static bool fill(Solve *s, Result *result, FieldId id, int layer, FieldId from) {
  const Program *p = s->complete;
  size_t m = field_size(id, s->sizes);
  Machine function;
  Derive d = {.solve = s,
              .wanted = program_observable(p, (int)id, layer),
              .given = from == FIELD_F ? p->f : program_observable(p, (int)from, layer)->variable,
              .function = &function};
  size_t n = rows_of(p, d.given) * (size_t)p->variables[d.given].cols;
  Replicates measured = collect(s, from, layer, false, s->sizes.steps * n);
  Grouping times = grouping_of_times(s->sizes.steps, m / s->sizes.steps);
  double *value = mem_block(m), *error = mem_block(m), *moves;
  bool kept = new_moves(s, id, &moves);
  machine_function(&function, p, &s->code, d.given, d.wanted->variable, together(s, n));
  bool fine = kept && value && error &&
              doubt(&measured, derive, &d, m, &times, value, error, moves) &&
              !machine_failed(&function);
  if (fine) add_rounding(s, m, value, error);
  fine = fine && field_fill(result, id, layer, s->sizes, value, error) &&
         add_moves(s, result, id, layer, moves);
  if (fine && d.wanted->variable == d.given) note_tails(s, result, id, &measured, value, error);
  machine_free(&function);
  free(value);
  free(error);
  free(moves);
  return fine;
}

/* The small fields that are there and lack values, but for those that wait. */
static bool fill_small(Solve *s, Result *result) {
  const Program *p = s->complete;
  bool fine = true;
  for (int i = 0; i < p->observable_count && fine; i++) {
    const ProgramObservable *o = &p->observables[i];
    FieldId id = (FieldId)o->field;
    if (is_small(o) && !(s->later & field_bit(id)) && field_is_missing(result, id, o->layer))
      fine = fill(s, result, id, o->layer, measured_for(p, o));
  }
  return fine;
}

static void promise_small(const Solve *s, Result *result) {
  const Program *p = s->complete;
  for (FieldId id = 0; id < FIELD_COUNT; id++)
    for (int l = field_first(id); l <= field_last(id, p); l++) {
      const ProgramObservable *o = program_observable(p, (int)id, l);
      if (o && is_small(o)) field_promise(result, id, l);
    }
}

/* Both resolutions may have dropped the same. What is dropped of two fields overlaps by up to tol^2
 * of the largest fields, and the kernels of all times but the first are made of what was kept. */
static void add_dropped(Sizes z, double tol, const double *kernel, double *error) {
  size_t n = z.steps * z.all;
  double *size = mem_new(n, sizeof *size);
  for (size_t i = 0; i < n; i++) {
    size_t first = i / z.all * z.all;
    for (size_t k = first; k < first + z.all; k++) size[i] = fmax(size[i], kernel[k * n + k]);
    size[i] = tol * sqrt(size[i]);
  }
  for (size_t i = 0; i < n; i++)
    for (size_t k = 0; k < n; k++)
      if (i >= z.all || k >= z.all) error[i * n + k] = hypot(error[i * n + k], size[i] * size[k]);
  free(size);
}

static bool fill_field(Solve *s, Result *result, int k, int l) {
  size_t m = field_size(large[k].id, s->sizes);
  Replicates measured = collect(s, large[k].id, l, true, m);
  Grouping pairs = grouping_of_pairs(s->sizes.steps, s->sizes.all);
  double *value = mem_block(m), *error = mem_block(m), *moves,
         unit = is_response(k) ? 1 / solve_gamma(s->program, &s->options) : 1;
  bool fine = new_moves(s, large[k].id, &moves) && value && error &&
              doubt(&measured, NULL, NULL, m, &pairs, value, error, moves);
  if (fine && !is_response(k)) add_dropped(s->sizes, s->batch.fine.tol, value, error);
  if (fine) add_rounding(s, m, value, error);
  for (size_t i = 0; fine && i < m; i++) {
    value[i] *= unit;
    error[i] *= fabs(unit);
  }
  for (size_t i = 0; fine && moves && i < moves_of(&s->batch) * m; i++) moves[i] *= unit;
  fine = fine && field_fill(result, large[k].id, l, s->sizes, value, error) &&
         add_moves(s, result, large[k].id, l, moves);
  free(value);
  free(error);
  free(moves);
  return fine;
}

static bool fill_large(Solve *s, Result *result) {
  bool fine = true;
  for (int k = 0; k < LARGE; k++)
    for (int l = 1; fine && is_wanted(s, k) && l <= layers_of(s->program, k); l++)
      fine = fill_field(s, result, k, l);
  return fine;
}

/* ---- running ---- */

static double two_time_bytes(const Solve *s) {
  double n = (double)(s->sizes.steps * s->sizes.all), kernels = 0;
  for (int k = 0; k < LARGE; k++)
    if (is_wanted(s, k)) kernels += layers_of(s->program, k);
  return 8 * n * n * kernels * (batch_most_runs(&s->batch) + 2);
}

static MachinePlan plan_of(const Solve *s, int j, double gamma) {
  const Program *p = s->program;
  const Batch *b = &s->batch;
  const Resolution *r = batch_resolution(b, j);
  return (MachinePlan){.program = s->complete,
                       .code = &s->code,
                       .hidden = &sequential,
                       .noise = {.kind = p->linear ? NOISE_COORDINATES : NOISE_SOBOL,
                                 .seed = s->options.seed,
                                 .number = (uint64_t)batch_replicate(b, j),
                                 .sobol = r->sobol},
                       .columns = r->paths,
                       .gamma = gamma,
                       .tol = r->tol,
                       .single = s->options.single,
                       .improve = !p->linear,
                       .independent = s->options.closure == CLOSURE_GRADIENT_INDEPENDENCE,
                       .fixed_start = true,
                       .steps = b->snapshot ? b->snapshot->step : p->problem->steps,
                       .stop = s->options.stop};
}

/* An upper bound: every basis as large as sample space or history allow. */
static double bytes_needed(const void *solve) {
  const Solve *s = solve;
  Sizes z = s->sizes;
  int runs = batch_most_runs(&s->batch), replicates = s->batch.replicates,
      parallel = s->options.threads < replicates ? s->options.threads : replicates;
  MachinePlan plan = plan_of(s, 0, 1);
  double row = (double)(z.steps * z.all * z.all * z.outputs * z.outputs),
         pairs = s->program->linear ? 0 : two_time_bytes(s);
  return machine_bytes(&plan, z.steps) * parallel +
         trace_bytes(s->complete, z.steps, s->batch.values, 0) * (runs + parallel) +
         8 * row * (runs + 12) + batch_tails_bytes(&s->batch) + pairs;
}

/* A run under way. */
typedef struct Run {
  Solve *solve;
  int number;
} Run;

/* At a strength gamma of feature learning. */
static RunEnd run_at(void *sink, double gamma, Trace *trace) {
  const Run *run = sink;
  return batch_measure(&run->solve->batch, run->number, plan_of(run->solve, run->number, gamma),
                       trace);
}

static RunEnd run_one(void *solve, int j, Trace *trace) {
  Solve *s = solve;
  Run run = {s, j};
  return s->options.closure == CLOSURE_PERTURBATIVE
             ? perturb_run(s->program, run_at, &run, trace)
             : run_at(&run, solve_gamma(s->program, &s->options), trace);
}

/* Takes what batch_salvage left of an interrupted solve. False if that is nothing. */
static bool salvage(Solve *s, char **why) {
  const Batch *b = &s->batch;
  size_t steps = batch_salvage(&s->batch, why);
  if (!steps) return false;
  program_shorten(s->program, (int)steps - 1);
  s->sizes = sizes_of(s->program);
  s->options.replicates = b->replicates;
  s->options.samples = b->replicates * (int)b->fine.paths;
  s->options.tol = b->fine.tol;
  return true;
}

static Status explain(const void *solve, char **why) {
  const Solve *s = solve;
  const Batch *b = &s->batch;
  int step = b->failure.failed_at;
  switch (b->failure.status) {
  case STATUS_OK: break;
  case STATUS_INTERRUPTED:
    *why = mem_format("interrupted at step %d of %zu", step, s->sizes.steps - 1);
    break;
  case STATUS_NUMERICS:
    run_diverged(why, "training", step, s->program, s->options.threads);
    if (!s->program->linear) run_filled(why, b->failure.rank, b->fine.paths, b->replicates);
    break;
  default: *why = mem_format("out of memory at step %d", step);
  }
  return b->failure.status;
}

/* Of linear programs, what two times take stands beside the coordinates. */
static Status run(Solve *s, char **why) {
  double pairs = s->program->linear ? two_time_bytes(s) : 0;
  if (crew_any(s->options.crew, !mem_fits(pairs))) return run_refuse(why, pairs);
  return batch_theory(&s->batch, why);
}

/* A dropped direction biases f by its share of the feature movement, which is of order gamma; the
 * bias, about 0.05 tol, is to stay well below the sampling error, which falls a little faster than
 * 1/sqrt(samples). In the lazy limit f moves through drifts, and truncation does not touch it. */
static double automatic_tol(const Program *program, const SolveOptions *options) {
  double gamma = solve_gamma(program, options), movement = gamma < 0.1 ? 1 : gamma < 1 ? gamma : 1;
  if (program->linear) return 1e-10;
  if (options->closure == CLOSURE_PERTURBATIVE)
    return 1e-3; /* second differences of small movements */
  return 0.01 * movement * sqrt(2000.0 / options->samples);
}

/* What the noise of a run adds to its fields biases it by rank/S. Where the bases may grow to the
 * order of S, fewer and larger replicates are better, though their scatter says less. */
static int replicates_for(const Program *program, const SolveOptions *options) {
  if (program->linear) return 1;
  int rank = (int)fmin(1e6, 2.0 * (double)(sizes_of(program).steps * most_rows(program)));
  int replicates = options->samples / REPLICATES >= rank ? REPLICATES : FEWER_REPLICATES;
  return options->samples / FEWEST_PATHS < replicates ? options->samples / FEWEST_PATHS
                                                      : replicates;
}

/* The scatter of a probe is not asked for, nor its bias. What two times take does not become less
 * with the paths: there, half as many companions do. */
static void prepare(Solve *s, Program *program, const SolveOptions *options, int pairs) {
  *s = (Solve){.program = program,
               .options = *options,
               .sizes = sizes_of(program),
               .pairs = pairs,
               .later = options->unread & field_bit(leisurely)};
  int replicates = options->replicates ? options->replicates : replicates_for(program, options);
  bool biased = !program->linear && !options->probe;
  size_t paths = program->linear ? FIRST_COORDINATES
                                 : (size_t)((options->samples + replicates - 1) / replicates);
  /* without responses <w x> / gamma is wrong at order one (it misses what lower layers learn) */
  bool independent = options->closure == CLOSURE_GRADIENT_INDEPENDENCE;
  s->complete = program_complete(
      program, (Reading){.theory = true, .integrates = independent, .parts = options->parts});
  s->code = machine_compile(s->complete, false, NULL);
  s->batch = (Batch){.program = s->complete,
                     .options = &s->options,
                     .stage = "dmft",
                     .run = run_one,
                     .bytes = bytes_needed,
                     .explain = explain,
                     .solve = s,
                     .steps = s->sizes.steps,
                     .values = measured_by(s),
                     .pairs = pairs,
                     .passes = options->closure == CLOSURE_PERTURBATIVE ? PERTURB_NODES : 1,
                     .watched = options->closure == CLOSURE_FULL && !options->probe &&
                                !solve_is_lazy(program, options) && program_grows(s->complete),
                     .salvages = options->partial && options->closure != CLOSURE_PERTURBATIVE,
                     .replicates = options->probe ? 1 : replicates};
  Batch *b = &s->batch;
  b->companions = !biased ? 0 : pairs ? b->replicates / 2 : b->replicates;
  batch_resolve(b, paths, options->tol > 0 ? options->tol : automatic_tol(program, options));
}

static void clean(Solve *s) {
  batch_free(&s->batch);
  machine_code_free(s->complete, &s->code);
  program_drop(s->complete);
}

/* ---- the large fields on demand ---- */

/* Whether a field was left out that is asked for by this name; NULL is any. */
static bool is_asked(const Result *result, const char *name, FieldId id) {
  const char *field = field_row(id)->name;
  return (!name || strcmp(field, name) == 0) && result_lacks(result, field);
}

/* What was left out under this name, and what comes with it. */
static int groups_left(const Result *result, const char *name) {
  int groups = 0;
  for (int k = 0; k < LARGE; k++)
    if (is_asked(result, name, large[k].id)) groups |= large[k].group;
  return groups;
}

/* A run is deterministic: running it again, with the histories kept, gives what was left out of the
 * same solution. */
static Status run_again(Result *result, FieldSet unread, int pairs, char **why) {
  const Origin *origin = result->origin;
  SolveOptions options = origin->options;
  Solve s;
  options.unread = unread;
  prepare(&s, origin->program, &options, pairs);
  Status status = run(&s, why);
  if (status == STATUS_OK && !(fill_small(&s, result) && fill_large(&s, result)))
    status = run_refuse(why, two_time_bytes(&s));
  clean(&s);
  return status;
}

static Status complete(Result *result, const char *name, char **why) {
  int pairs = groups_left(result, name);
  Status status = STATUS_OK;
  if (is_asked(result, name, leisurely)) status = run_again(result, 0, 0, why);
  if (pairs && status == STATUS_OK) status = run_again(result, ALL_FIELDS, pairs, why);
  if (!result_lacks(result, NULL)) result->complete = NULL;
  return status;
}

Status solve_paths_to(Program *program, const SolveOptions *options, Snapshot *snapshot,
                      size_t *paths, int *replicates, char **why) {
  Solve s;
  prepare(&s, program, options, 0);
  s.sizes.steps = s.batch.steps = (size_t)snapshot->step + 1;
  s.batch.snapshot = snapshot;
  s.batch.companions = 0;
  s.batch.watched = false;
  s.options.crew = NULL; /* every process looks at all of them */
  Status status = run(&s, why);
  *paths = s.batch.fine.paths;
  *replicates = s.batch.replicates;
  clean(&s);
  return status;
}

/* The same run up to one step. */
static Status retake(const Origin *origin, Snapshot *snapshot, char **why) {
  size_t paths;
  int replicates;
  return solve_paths_to(origin->program, &origin->options, snapshot, &paths, &replicates, why);
}

/* What a result of this solve goes back to. */
static void give_origin(const Solve *s, Result *result) {
  run_origin(result, s->program, &s->options);
  if (s->options.closure != CLOSURE_PERTURBATIVE)
    run_sampled(result, s->batch.fine.paths, s->batch.replicates, false, retake);
  result->complete = complete;
}

bool solve_is_lazy(const Program *program, const SolveOptions *options) {
  const Problem *problem = program->problem; /* of systems there is none */
  return options->closure == CLOSURE_NTK || (problem && problem->parameterization == PARAM_NTK);
}

static bool is_tied_network(const Program *p) {
  for (int k = 0; k < p->matrix_count; k++)
    if (is_tied(p, &p->matrices[k])) return true;
  return false;
}

/* Whether f moves by a tangent kernel that is known from the start, where kernels are constant. */
static bool has_constant_tangent(const Program *p) {
  bool apart = starts_at_zero(p) || p->problem->outputs == 1; /* outputs do not move each other */
  return follows_gradients(p) && !p->group_count && p->update.average == 0 && !p->couples &&
         (!update_scales(&p->update) || tangent_is_norm(p)) && !is_tied_network(p) && apart;
}

bool solve_is_tangent(const Program *program, const SolveOptions *options) {
  return solve_is_lazy(program, options) && has_constant_tangent(program);
}

double solve_gamma(const Program *program, const SolveOptions *options) {
  bool small = solve_is_lazy(program, options) && !has_constant_tangent(program);
  return small ? LAZY_GAMMA : program->problem->gamma;
}

/* Whether what is deterministic has nothing beyond its probe. */
static bool is_probed_whole(const Program *program, const SolveOptions *options) {
  return program->linear || solve_is_tangent(program, options);
}

/* The samples that a result of these options was made from: as many as an error took, or asked for,
 * doubled as often as the bases filled sample space. */
static int samples_of(const Result *result, const SolveOptions *options) {
  double taken = result_number(result, "samples", 0);
  int samples = options->samples;
  if (taken > 0 && options->error > 0) return (int)fmin(taken, INT_MAX / 4);
  while (samples > 0 && 2.0 * samples <= taken) samples *= 2;
  return samples;
}

/* What an interrupted solve came to. */
static void take_attributes(const Result *result, SolveOptions *options) {
  double replicates = result_number(result, "replicates", 0),
         samples = result_number(result, "samples", 0);
  options->tol = result_number(result, "tol", 0);
  if (!(replicates >= 1 && replicates <= REPLICATES && samples >= FEWEST_PATHS * replicates))
    return;
  options->replicates = (int)replicates;
  options->samples = (int)fmin(samples, INT_MAX / 4);
}

void solve_dmft_origin(Result *result, Program *program, const SolveOptions *options) {
  if (solve_is_tangent(program, options)) {
    solve_lazy_origin(result, program, options);
  } else {
    Solve s;
    SolveOptions taken = *options;
    taken.samples = samples_of(result, options);
    if (result_attribute(result, "incomplete")) take_attributes(result, &taken);
    prepare(&s, program, &taken, 0);
    give_origin(&s, result);
    clean(&s);
  }
  flow_origin(solve_dmft, is_probed_whole(program, options), result);
}

static void promise_large(Solve *s, Result *result) {
  for (int k = 0; k < LARGE; k++)
    for (int l = 1; l <= layers_of(s->program, k); l++) field_promise(result, large[k].id, l);
}

/* The root of the mean square of a matrix's first gradients, over these runs. */
static StartGradient start_of(const Trace *traces, int count, int matrix) {
  StartGradient mean = {0};
  for (int j = 0; j < count; j++) {
    if (!traces[j].start) continue;
    mean.size += pow(traces[j].start[matrix].size, 2) / count;
    mean.bound += pow(traces[j].start[matrix].bound, 2) / count;
  }
  return (StartGradient){sqrt(mean.size), sqrt(mean.bound)};
}

/* The largest first gradients that any matrix could have. */
static double largest_bound(const Solve *s) {
  double most = 0;
  for (int k = 0; k < s->complete->matrix_count; k++)
    most = fmax(most, start_of(s->batch.trace, s->batch.replicates, k).bound);
  return most;
}

/* Whether the first gradient of a matrix vanishes at infinite width, and what optimizers divide by
 * is no larger than what is left of it: by cancellation, to rounding, or as 1/sqrt(S), which tells
 * in the companions. */
static bool vanishes(const Solve *s, int k) {
  static const double rounding = 1e-12, slope = 1.5;
  const Batch *b = &s->batch;
  StartGradient fine = start_of(b->trace, b->replicates, k),
                coarse = start_of(b->trace + b->replicates, b->companions, k);
  const Update *update = update_for(s->complete, &s->complete->matrices[k]);
  bool small = fine.size < rounding * largest_bound(s) || coarse.size > slope * fine.size;
  return small && fine.size > (update->polar.on ? update->polar.eps : update->psi.eps);
}

/* The names of these matrices, to be freed; or NULL. */
static char *vanishing(const Solve *s) {
  const Program *p = s->complete;
  char *names = NULL;
  for (int k = 0; k < p->matrix_count && !follows_gradients(p); k++) {
    if (!vanishes(s, k)) continue;
    if (!names) names = mem_string("");
    mem_append(&names, "%s%s", *names ? ", " : "", p->matrices[k].name);
  }
  return names;
}

static void note_run(Solve *s, Result *result, double seconds) {
  static const char *const closures[] = {"full", "ntk", "gradient_independence", "perturbative"};
  const Batch *b = &s->batch;
  batch_note_samples(b, result);
  result_note(result, "closure", "%s", closures[s->options.closure]);
  if (s->options.single) result_note(result, "precision", "single");
  result_note(result, "tol", "%.17g", b->fine.tol);
  result_note(result, "rank", "%d", batch_rank(b));
  if (!s->program->linear && !s->options.probe && !b->companions)
    result_note(result, "bias", "unknown");
  char *vanish = vanishing(s);
  if (vanish) result_note(result, "vanishing", "%s", vanish);
  free(vanish);
  batch_note_cost(b, result, seconds);
}

/* Why neither an expansion nor the lazy limit follows the program; or NULL. */
static const char *refuse_noise(const Program *program) {
  if (program->update.temperature > 0)
    return "at a temperature the weights move by their noise at any gamma, which no closure but "
           "\"full\" follows";
  if (program_draws(program))
    return "where neurons are left out at random kernels are others at every step: only the full "
           "theory follows them; take it at a small gamma";
  return NULL;
}

/* Why an expansion does not follow the program, whatever it is; or NULL. */
static const char *refuse_approximation(const Program *program) {
  const Update *update = &program->update;
  const char *noise = refuse_noise(program);
  if (!follows_gradients(program))
    return "this optimizer does not move f by its tangent kernel: its steps have a size of their "
           "own, whatever the gradients, which no closure but \"full\" follows";
  if (program->group_count)
    return "groups of weights with optimizers of their own change the tangent kernel's weights "
           "from "
           "step to step, which only the full theory follows";
  if (noise) return noise;
  if (update->average > 0)
    return "only the full theory has averages of weights; in the lazy limit, where f is linear in "
           "them, f_ema is the same average of f";
  if (program->couples)
    return "where points depend on each other, by means over a batch, only the full theory is "
           "there; take it at a small gamma";
  return NULL;
}

static bool program_is_orthogonal(const Program *p) {
  for (int k = 0; k < p->matrix_count; k++)
    if (p->matrices[k].law == LAW_ORTHOGONAL) return true;
  return false;
}

static bool decays(const Program *p) {
  bool any = p->update.decay > 0;
  for (int k = 0; k < p->group_count; k++) any = any || p->groups[k].decay > 0;
  return any;
}

static const char *refuse_lazy(const Program *program) {
  const Problem *problem = program->problem;
  const char *noise = refuse_noise(program);
  if (noise) return noise;
  if (is_tied_network(program) && !problem->centered)
    return "what a tied readout says from the start is of order 1/gamma: in the lazy limit it is "
           "infinite unless centered = true";
  if (!starts_at_zero(program) && !problem->centered)
    return "with a mean of the readout's weights f(0) is that mean of what it reads, over gamma: "
           "in the lazy limit it is infinite unless centered = true";
  if (decays(program))
    return "weight decay has no lazy limit with constant kernels: the initial weights shrink at "
           "any gamma, and the kernels with them; take the full theory at a small gamma";
  if (problem->parameterization == PARAM_NTK && !problem->centered &&
      !has_constant_tangent(program))
    return "f(0) is of order one under this parameterization, and where f does not move by a "
           "constant tangent kernel its mean over networks is known with centered = true alone";
  return NULL;
}

static const char *refuse_single(const Program *program, const SolveOptions *options) {
  if (solve_is_lazy(program, options))
    return "the lazy limit is in double precision: what f moves by is too small for single";
  if (options->closure == CLOSURE_PERTURBATIVE)
    return "the perturbative closure is in double precision: it takes differences of small "
           "movements";
  return run_refuse_single(program, options->error);
}

static const char *refuse_expansion(const Program *program) {
  if (update_scales(&program->update))
    return "the expansion in gamma is written for gradients as they are, not for clipped or "
           "normalized ones";
  if (program_has_law(program, false))
    return "the perturbative closure is for normal initial weights: others have fourth moments of "
           "their own, and orthogonal ones their inverses";
  if (!starts_at_zero(program))
    return "the perturbative closure is for readouts that start around zero: with a mean the first "
           "correction to f is of order gamma, not gamma^2";
  if (program->problem->rule != RULE_BACKPROP)
    return "the perturbative closure is for backprop: under other rules the fields are not even in "
           "gamma with their noise";
  if (!perturb_applies(program))
    return "the perturbative closure needs smooth activations: across a kink the first correction "
           "to f is of order |gamma|, not gamma^2";
  return NULL;
}

const char *solve_refuses(const Program *program, const SolveOptions *options) {
  const Update *update = &program->update;
  bool lazy = solve_is_lazy(program, options);
  const char *rounds = options->single ? refuse_single(program, options) : NULL;
  if (rounds) return rounds;
  if (program->problem->parameterization == PARAM_STANDARD)
    return "the standard parameterization has no infinite-width limit: at a learning rate of order "
           "one a step moves f by order N, and at rates of order 1/N the limit is that of "
           "parameterization = ntk; mup has a limit with feature learning";
  if (lazy) return refuse_lazy(program);
  const char *why = options->closure != CLOSURE_FULL ? refuse_approximation(program) : NULL;
  if (why) return why;
  if (options->closure != CLOSURE_FULL && program_reuses(program))
    return "where a matrix acts more than once there are the full theory and the closure \"ntk\"";
  if (options->closure == CLOSURE_GRADIENT_INDEPENDENCE && program_is_orthogonal(program))
    return "where what goes backward is independent of what went forward no matrix is orthogonal";
  if (options->closure == CLOSURE_GRADIENT_INDEPENDENCE &&
      (update->decay > 0 || update->momentum > 0))
    return "gradient independence takes f from the increments of the tangent kernel at one time; "
           "momentum and weight decay change f by the whole past";
  return options->closure == CLOSURE_PERTURBATIVE ? refuse_expansion(program) : NULL;
}

/* Twice the paths are up to eight times the work, since full bases grow with them. */
static bool can_double(const Solve *s) {
  return 8 * batch_flops(&s->batch) < AFFORDABLE && s->options.samples <= INT_MAX / 4;
}

/* Doubles the samples while the bases fill sample space and it costs little. */
static Status run_unfilled(Solve *s, Program *program, const SolveOptions *options, char **why) {
  SolveOptions more = *options;
  for (;; more.samples *= 2) {
    prepare(s, program, &more, false);
    Status status = run(s, why);
    if (status != STATUS_OK || more.probe || !is_full(s) || !can_double(s)) return status;
    clean(s);
  }
}

char *solve_caution(const Result *result) {
  const char *rank = result_attribute(result, "rank"),
             *samples = result_attribute(result, "samples"),
             *replicates = result_attribute(result, "replicates");
  if (strcmp(result->kind, "dmft") != 0 || !rank || !samples || !replicates) return NULL;
  double paths = strtod(samples, NULL) / strtod(replicates, NULL);
  const char *vanishing = result_attribute(result, "vanishing");
  if (vanishing)
    return mem_format(
        "at infinite width the first gradient of %s vanishes, and the optimizer makes "
        "steps of order one of what is left of it: there is no limit, unless eps is "
        "larger, such as 0.05",
        vanishing);
  if (run_is_full(strtod(rank, NULL), paths))
    return mem_format(
        "the fields fill sample space (rank %s of %g paths in each of %s replicates): "
        "the stated errors may be too small; more samples than %s are needed",
        rank, paths, replicates, samples);
  const char *tails = result_attribute(result, "tails");
  if (tails)
    return mem_format("%s hangs on averages over terms that hardly any of %s samples meets: its "
                      "stated error is guessed from the largest that were met",
                      tails, samples);
  char *lacks = enough_caution(result);
  if (lacks || result_attribute(result, "system")) return lacks;
  if (result_attribute(result, "bias") && result_attribute(result, "incomplete"))
    return mem_string("this early, the stated errors lack the bias of few samples");
  if (result_attribute(result, "bias"))
    return mem_format("with a fraction of the %s samples training diverges: the stated errors lack "
                      "the bias of few samples",
                      samples);
  return NULL;
}

/* The theory from these samples, or a few more; `partial`, what an interruption leaves of it. */
static Status solve_paths(Program *program, const SolveOptions *options, Result **result,
                          char **why) {
  double start = run_clock();
  Solve s;
  Status status = run_unfilled(&s, program, options, why);
  bool partial = salvage(&s, why);
  if (status == STATUS_OK || partial) {
    Result *r = result_new("dmft");
    r->exact = program->linear;
    give_origin(&s, r);
    bool fine = observe_start(r, program, s.sizes);
    promise_small(&s, r);
    fine = fine && fill_small(&s, r);
    promise_large(&s, r);
    note_run(&s, r, run_clock() - start);
    status = run_finish(r, status, fine, two_time_bytes(&s), result, why);
  }
  clean(&s);
  return status;
}

Status solve_dmft(Program *program, const SolveOptions *options, Result **result, char **why) {
  *result = NULL;
  const char *refusal = solve_refuses(program, options);
  if (refusal) {
    *why = mem_string(refusal);
    return STATUS_SCRIPT;
  }
  if (flow_chooses(program, options))
    return flow_solve(solve_dmft, is_probed_whole(program, options), program, options, result, why);
  if (solve_is_tangent(program, options)) return solve_lazy(program, options, result, why);
  if (!program->linear && options->samples < FEWEST_SAMPLES) {
    *why = mem_format("samples = %d is too few: at least %d", options->samples, FEWEST_SAMPLES);
    return STATUS_SCRIPT;
  }
  bool asked = options->error > 0 && !program->linear && !options->probe;
  return asked ? enough_solve(solve_paths, program, options, result, why)
               : solve_paths(program, options, result, why);
}

/* ---- plans ---- */

void solve_plan_dmft(Program *program, const SolveOptions *options, SolvePlan *plan) {
  *plan = (SolvePlan){0};
  if (solve_is_tangent(program, options)) {
    plan->bytes = lazy_bytes(program);
    plan->flops = lazy_flops(program, options);
    return;
  }
  Solve s;
  const SolveOptions plain = flow_plain(program, options);
  prepare(&s, program, &plain, 0);
  Batch *b = &s.batch;
  /* of linear programs, to the coordinates doubled as often as it takes */
  if (program->linear) b->fine.paths = s.sizes.steps * most_rows(program) + FIRST_COORDINATES;
  plan->bytes = bytes_needed(&s);
  batch_plan(b, plan_of(&s, 0, solve_gamma(program, options)), plan);
  clean(&s);
}
