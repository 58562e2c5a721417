/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Systems: replicates of a run over sample paths, with companions of fewer paths that tell the bias
 * (batch.h), or an ensemble of systems of finite size. */
#include "base/memory.h"
#include "num/random.h"
#include "num/stats.h"
#include "solve/batch.h"
#include "solve/enough.h"
#include "solve/observe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { REPLICATES = MOST_RUNS, FEWER_REPLICATES = 4 };

/* Directions that stand out by less of their vector are dropped; the error is of second order in
 * it. Of linear systems nothing is. */
static const double TOLERANCE = 1e-3, EXACT = 1e-10;

/* Noise on a population, with all that it is orthogonal to, should take up no more of sample space:
 * what is left of it is then still like independent numbers. */
static const double CROWDED = 0.25;

typedef struct Solve {
  const Program *program;
  SolveOptions options;
  MachineCode code;
  size_t T;
  bool sized;
  Batch batch;
  Moments *moments; /* of systems of finite size, [field] */
} Solve;

/* ---- what is observed ---- */

static const SystemField *field_of(const Program *p, int i) { return &p->system->fields[i]; }

static bool is_pairs(const Program *p, int i) { return field_of(p, i)->form != FORM_VALUE; }

/* Numbers of a field at one step. */
static size_t step_size(const Program *p, int i, size_t T) {
  const Variable *v = &p->variables[field_of(p, i)->variable];
  return is_pairs(p, i) ? T : (size_t)v->rows * (size_t)v->cols;
}

int solve_system_shape(const Program *p, int i, size_t T, size_t shape[ARRAY_MAX_RANK]) {
  Shape own = p->system->variables[field_of(p, i)->variable].shape;
  int rank = 1;
  shape[0] = T;
  if (is_pairs(p, i)) {
    shape[rank++] = T;
    return rank;
  }
  for (int k = 0; k < own.rank; k++) shape[rank++] = own.size[k];
  return rank;
}

static const char *axes_of(const Program *p, int i) {
  static const char *const axes[] = {"t", "t,k", "t,k,l"};
  if (is_pairs(p, i)) return "t,s";
  return axes[p->system->variables[field_of(p, i)->variable].shape.rank];
}

/* ---- running ---- */

static MachinePlan plan_of(const Solve *s, int run) {
  const Program *p = s->program;
  const Batch *b = &s->batch;
  const Resolution *r = batch_resolution(b, run);
  return (MachinePlan){.program = p,
                       .code = &s->code,
                       .hidden = s->sized ? run_kind(&s->options) : &sequential,
                       .noise = {.kind = s->sized    ? NOISE_PLAIN
                                         : p->linear ? NOISE_COORDINATES
                                                     : NOISE_SOBOL,
                                 .seed = s->options.seed,
                                 .number = (uint64_t)batch_replicate(b, run),
                                 .sobol = r->sobol},
                       .columns = r->paths,
                       .sized = s->sized,
                       .gamma = 1,
                       .tol = r->tol,
                       .single = s->options.single && !s->sized,
                       .improve = !s->sized && !p->linear,
                       .steps = (int)s->T - 1,
                       .stop = s->options.stop};
}

static RunEnd run_one(void *solve, int j, Trace *trace) {
  Solve *s = solve;
  MachinePlan plan = plan_of(s, j);
  uint32_t *points = run_own_order(s->program, &plan.noise, plan.columns);
  RunEnd end = batch_measure(&s->batch, j, plan, trace);
  free(points);
  return end;
}

static Status explain(const void *solve, char **why) {
  const Solve *s = solve;
  const Batch *b = &s->batch;
  int step = b->failure.failed_at;
  switch (b->failure.status) {
  case STATUS_OK: break;
  case STATUS_INTERRUPTED: *why = mem_format("interrupted at step %d", step); break;
  case STATUS_NUMERICS:
    *why = mem_format("the system diverges: what it observes is not finite at step %d%s", step,
                      step > 0 ? "; a smaller step of time may help" : "");
    if (!s->sized && !s->program->linear)
      run_filled(why, b->failure.rank, batch_resolution(b, b->failed)->paths, b->replicates);
    break;
  default: *why = mem_format("out of memory at step %d", step);
  }
  return b->failure.status;
}

static double bytes_needed(const void *solve) {
  const Solve *s = solve;
  const Program *p = s->program;
  const Batch *b = &s->batch;
  MachinePlan plan = plan_of(s, 0);
  double parallel = batch_threads(b), noise = 0, trace = trace_bytes(p, s->T, b->values, 0),
         history = trace_history_bytes(p, s->T, b->fine.paths, s->sized);
  for (int i = p->start_count; i < p->op_count && plan.improve; i++)
    if (p->ops[i].kind == OP_NOISE)
      noise += 8 * (double)s->T * (double)rows_of(p, p->ops[i].dst) * (double)b->fine.paths;
  return (machine_bytes(&plan, s->T) + noise + trace + history) * parallel + batch_tails_bytes(b) +
         trace * (s->sized ? 6 + parallel : batch_most_runs(b));
}

static void clean(Solve *s) {
  for (int i = 0; i < s->program->system->field_count && s->moments; i++)
    moments_free(&s->moments[i]);
  free(s->moments);
  batch_free(&s->batch);
  machine_code_free(s->program, &s->code);
}

/* What theory and systems of finite size have in common. */
static void prepare(Solve *s, Program *program, const SolveOptions *options, bool sized) {
  *s = (Solve){.program = program,
               .options = *options,
               .T = (size_t)options->steps,
               .sized = sized,
               .code = machine_compile(program, false, NULL)};
  s->batch = (Batch){.program = program,
                     .options = &s->options,
                     .stage = sized ? "simulate" : "dmft",
                     .run = run_one,
                     .bytes = bytes_needed,
                     .explain = explain,
                     .solve = s,
                     .steps = s->T,
                     .salvages = options->partial && !sized};
}

/* ---- the theory ---- */

/* Rows that matrices meet and noise draws in a run: what sample space has to hold. */
static double demand(const Solve *s) {
  const Program *p = s->program;
  double rows = 0;
  for (int i = 0; i < p->op_count; i++) {
    const Op *op = &p->ops[i];
    double times = i < p->start_count ? 1 : (double)s->T;
    bool meets = op->kind == OP_APPLY || op->kind == OP_APPLY_T;
    if (meets) rows += 2 * times * (double)rows_of(p, op->src[0]);
    if (op->kind == OP_NOISE) rows += times * (double)rows_of(p, op->dst);
  }
  return rows;
}

static void prepare_theory(Solve *s, Program *program, const SolveOptions *options) {
  prepare(s, program, options, false);
  Batch *b = &s->batch;
  bool roomy = options->samples * CROWDED / REPLICATES >= demand(s), linear = program->linear;
  int replicates = linear ? 1 : roomy ? REPLICATES : FEWER_REPLICATES;
  if (options->samples / FEWEST_PATHS < replicates) replicates = options->samples / FEWEST_PATHS;
  b->watched = program_grows(program);
  b->replicates = replicates > 1 || linear ? replicates : 2;
  b->companions = linear ? 0 : b->replicates;
  batch_resolve(
      b, linear ? FIRST_COORDINATES : (size_t)((options->samples + replicates - 1) / replicates),
      options->tol > 0 ? options->tol
      : linear         ? EXACT
                       : TOLERANCE);
}

/* Whether it is kept how runs, or blocks of members, move a field: not of very many numbers. */
static bool is_kept(size_t n, int runs) { return n <= SCATTER_LARGEST && runs > 1; }

/* The mean of the replicates and its error. */
static bool fill_theory(Solve *s, Result *result, int i) {
  const Program *p = s->program;
  const Batch *b = &s->batch;
  size_t size = step_size(p, i, s->T), n = s->T * size, shape[ARRAY_MAX_RANK];
  int rank = solve_system_shape(p, i, s->T, shape);
  Replicates r = batch_collect(b, i, 0, is_pairs(p, i), n);
  Grouping grouping = is_pairs(p, i) ? grouping_of_pairs(s->T, 1) : grouping_of_times(s->T, size);
  double *value = mem_block(n), *error = mem_block(n);
  bool keeps = !p->linear && is_kept(n, b->replicates);
  double *moves = keeps ? mem_block((size_t)doubt_moves(&r) * n) : NULL;
  bool fine = value && error && (moves || !keeps);
  if (fine && p->linear) memcpy(value, r.fine[0], n * sizeof *value);
  if (fine && !p->linear) fine = doubt(&r, NULL, NULL, n, &grouping, value, error, moves);
  if (fine && s->options.single)
    run_round_paths(n, value, 1, (double)b->fine.paths * b->replicates, error);
  ResultField *field = result_find(result, field_of(p, i)->name, 0);
  fine = fine && field_put(field, rank, shape, value, error, true);
  if (fine && !result_attribute(result, "tails") && batch_guesses(b, &r, value, error))
    result_note(result, "tails", "%s", field->name);
  if (fine && moves)
    fine = field_moves(field, result->kind, s->options.seed, b->replicates, moves,
                       b->companions > 0, b->leans > 0);
  free(value);
  free(error);
  free(moves);
  return fine;
}

static void note_theory(const Solve *s, Result *result, double seconds) {
  const Batch *b = &s->batch;
  batch_note_samples(b, result);
  if (s->options.single) result_note(result, "precision", "single");
  result_note(result, "tol", "%.17g", b->fine.tol);
  result_note(result, "rank", "%d", batch_rank(b));
  if (!s->program->linear && !b->companions) result_note(result, "bias", "unknown");
  batch_note_cost(b, result, seconds);
}

static Status solve_samples(Program *program, const SolveOptions *options, Result **result,
                            char **why) {
  double start = run_clock();
  Solve s;
  prepare_theory(&s, program, options);
  Status status = batch_theory(&s.batch, why);
  size_t partial = batch_salvage(&s.batch, why);
  if (partial) s.options.steps = (int)(s.T = partial);
  if (status == STATUS_OK || partial) {
    Result *r = solve_system_promise(program, &s.options, false);
    bool fine = true;
    for (int i = 0; i < program->system->field_count && fine; i++) fine = fill_theory(&s, r, i);
    note_theory(&s, r, run_clock() - start);
    run_origin(r, program, &s.options);
    status = run_finish(r, status, fine, bytes_needed(&s), result, why);
  }
  clean(&s);
  return status;
}

const char *solve_system_refuses(const Program *program, const SolveOptions *options) {
  return options->single ? run_refuse_single(program, options->error) : NULL;
}

Status solve_system(Program *program, const SolveOptions *options, Result **result, char **why) {
  *result = NULL;
  if (!program->linear && options->samples < FEWEST_SAMPLES) {
    *why = mem_format("samples = %d is too few: at least %d", options->samples, FEWEST_SAMPLES);
    return STATUS_SCRIPT;
  }
  const char *refusal = solve_system_refuses(program, options);
  if (refusal) {
    *why = mem_string(refusal);
    return STATUS_SCRIPT;
  }
  return options->error > 0 && !program->linear
             ? enough_solve(solve_samples, program, options, result, why)
             : solve_samples(program, options, result, why);
}

/* ---- systems of finite size ---- */

/* Mean and N times the variance of a field, with their errors. */
static bool fill_moments(const Solve *s, Result *result, int i) {
  const Moments *moments = &s->moments[i];
  const char *name = field_of(s->program, i)->name;
  size_t shape[ARRAY_MAX_RANK];
  int rank = solve_system_shape(s->program, i, s->T, shape);
  char *variance = mem_format("var_%s", name);
  ResultField *of_mean = result_find(result, name, 0),
              *of_variance = result_find(result, variance, 0);
  free(variance);
  return run_moments(moments, &s->options, false, of_mean, rank, shape) &&
         (moments->count < 2 || run_moments(moments, &s->options, true, of_variance, rank, shape));
}

static void count_member(void *solve, int member, const Trace *trace) {
  Solve *s = solve;
  (void)member;
  for (int i = 0; i < s->program->system->field_count; i++)
    moments_add(&s->moments[i], trace_find(trace, i, 0, is_pairs(s->program, i)));
}

static bool begin_moments(void *solve) {
  Solve *s = solve;
  const Program *p = s->program;
  int members = s->options.ensemble;
  bool fine = true;
  s->moments = mem_new((size_t)p->system->field_count, sizeof *s->moments);
  for (int i = 0; i < p->system->field_count && fine; i++) {
    size_t n = s->T * step_size(p, i, s->T);
    fine = moments_start(&s->moments[i], n, 4) &&
           (!is_kept(n, members) || moments_divide(&s->moments[i], (size_t)members));
  }
  return fine;
}

static void prepare_networks(Solve *s, Program *program, const SolveOptions *options) {
  prepare(s, program, options, true);
  s->batch.begin = begin_moments;
  s->batch.replicates = options->ensemble;
  s->batch.fine = (Resolution){(size_t)options->width, 1e-7, NULL};
}

Status solve_system_networks(Program *program, const SolveOptions *options, Result **result,
                             char **why) {
  *result = NULL;
  double start = run_clock();
  Solve s;
  prepare_networks(&s, program, options);
  Status status = batch_members(&s.batch, count_member, why);
  int partial = batch_members_done(&s.batch, why);
  if (partial) s.options.ensemble = partial;
  if (status == STATUS_OK || partial) {
    Result *r = solve_system_promise(program, &s.options, true);
    bool fine = true;
    for (int i = 0; i < program->system->field_count && fine; i++) fine = fill_moments(&s, r, i);
    batch_note_members(&s.batch, r, run_clock() - start);
    status = run_finish(r, status, fine, bytes_needed(&s), result, why);
  }
  clean(&s);
  return status;
}

/* ---- plans ---- */

/* Of linear systems the coordinates that the directions of all steps take. */
static void prepare_plan(Solve *s, Program *program, const SolveOptions *options, bool sized) {
  if (sized) {
    prepare_networks(s, program, options);
    return;
  }
  prepare_theory(s, program, options);
  while (program->linear && (double)s->batch.fine.paths < demand(s)) s->batch.fine.paths *= 2;
}

void solve_plan_system(Program *program, const SolveOptions *options, bool sized, SolvePlan *plan) {
  Solve s;
  *plan = (SolvePlan){0};
  prepare_plan(&s, program, options, sized);
  plan->bytes = bytes_needed(&s);
  batch_plan(&s.batch, plan_of(&s, 0), plan);
  clean(&s);
}

/* ---- results ---- */

bool solve_system_times(Result *r, size_t T) {
  Array *t = array_new(1, &T), *error = r->exact ? array_new(1, &T) : NULL;
  for (size_t k = 0; t && k < T; k++) t->data[k] = (double)k;
  result_add(r, "t", 0, "t", "the step", t, error);
  return t && (error || !r->exact);
}

ResultField *solve_system_variance(Result *r, const Program *p, int i) {
  const char *of = field_of(p, i)->name;
  char *name = mem_format("var_%s", of),
       *about = mem_format("N times the variance of %s over systems", of);
  ResultField *field = result_add(r, name, 0, axes_of(p, i), about, NULL, NULL);
  free(name);
  free(about);
  return field;
}

Result *solve_system_promise(const Program *p, const SolveOptions *options, bool sized) {
  Result *r = result_new(sized ? "simulate" : "dmft");
  r->exact = !sized && p->linear;
  result_note(r, "system", "%s", p->system->name);
  result_note(r, "steps", "%d", options->steps);
  solve_system_times(r, (size_t)options->steps);
  for (int i = 0; i < p->system->field_count; i++) {
    const SystemField *field = field_of(p, i);
    result_add(r, field->name, 0, axes_of(p, i), field->about, NULL, NULL);
    if (sized && options->ensemble > 1) solve_system_variance(r, p, i);
  }
  return r;
}
