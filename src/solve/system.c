/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Systems: replicates of a run over sample paths, with companions of fewer paths that tell the bias
 * (as in dmft.c), or an ensemble of systems of finite size. */
#include "base/memory.h"
#include "base/team.h"
#include "machine/tails.h"
#include "num/random.h"
#include "num/linalg.h"
#include "num/stats.h"
#include "solve/doubt.h"
#include "solve/enough.h"
#include "solve/plan.h"
#include "solve/run.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
  REPLICATES = MOST_RUNS,
  FEWER_REPLICATES = 4,
  FEWEST_PATHS = FEWEST_SAMPLES / 2,
  FIRST_COORDINATES = 64,
  COARSER = 4
};

/* Directions that stand out by less of their vector are dropped; the error is of second order in
 * it. Of linear systems nothing is. */
static const double TOLERANCE = 1e-3, EXACT = 1e-10;

/* Noise on a population, with all that it is orthogonal to, should take up no more of sample space:
 * what is left of it is then still like independent numbers. */
static const double CROWDED = 0.25;

/* What a run observes. */
typedef struct Record {
  double **value; /* [field]: [T, size], or [T, T] */
  double *
      *history[2]; /* [side][field]: of two times the vectors met, [T, rows, neurons], or NULL */
  size_t *columns; /* [field] */
  double flops;
  int rank;
} Record;

typedef struct Solve {
  const Program *program;
  SolveOptions options;
  MachineCode code;
  size_t T;
  bool sized;
  size_t paths[2]; /* of a replicate, and of its companion; the size of systems */
  uint32_t *sobol[2];
  double tol[2];
  int replicates, companions, leans;
  atomic_int done;
  Record *records; /* [room]: of replicates, companions, and replicates that lean */
  int room;
  Tails *tails[REPLICATES]; /* what replicates see of heavy averages */
  Lean *lean;               /* what comes of it, or NULL */
  Status status;
  int failed_at, failed_run, failed_rank;
} Solve;

typedef struct Run {
  Solve *solve;
  Record *record;
} Run;

/* ---- what is observed ---- */

static const SystemField *field_of(const Program *p, int i) { return &p->system->fields[i]; }

static bool is_pairs(const Program *p, int i) { return field_of(p, i)->form != FORM_VALUE; }

/* What is met at t (0), and at s (1). */
static int side_of(const Program *p, int i, int side) {
  return side ? field_of(p, i)->other : field_of(p, i)->variable;
}

/* A history serves both sides where they are one. */
static bool has_side(const Program *p, int i, int side) {
  return is_pairs(p, i) && (!side || field_of(p, i)->other != field_of(p, i)->variable);
}

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

static int runs_of(const Solve *s) { return s->replicates + s->companions + s->leans; }

static bool record_new(const Solve *s, Record *r, size_t paths) {
  const Program *p = s->program;
  size_t fields = (size_t)p->system->field_count;
  *r = (Record){.value = mem_new(fields, sizeof *r->value),
                .history = {mem_new(fields, sizeof(double *)), mem_new(fields, sizeof(double *))},
                .columns = mem_new(fields, sizeof *r->columns)};
  bool fine = true;
  for (int i = 0; i < (int)fields && fine; i++) {
    const Variable *v = &p->variables[field_of(p, i)->variable];
    r->value[i] = mem_block(s->T * step_size(p, i, s->T));
    fine = r->value[i] != NULL;
    if (!is_pairs(p, i)) continue;
    r->columns[i] = machine_columns(paths, s->sized ? p->spaces[v->space].ratio : 1);
    for (int side = 0; side < 2 && has_side(p, i, side); side++) {
      r->history[side][i] = mem_block(s->T * (size_t)v->rows * r->columns[i]);
      fine = fine && r->history[side][i];
    }
  }
  return fine;
}

static void forget_history(const Solve *s, Record *r) {
  for (int side = 0; side < 2; side++) {
    for (int i = 0; i < s->program->system->field_count && r->history[side]; i++)
      free(r->history[side][i]);
    free(r->history[side]);
    r->history[side] = NULL;
  }
}

static void record_free(const Solve *s, Record *r) {
  forget_history(s, r);
  for (int i = 0; i < s->program->system->field_count && r->value; i++) free(r->value[i]);
  free(r->value);
  free(r->columns);
  *r = (Record){0};
}

static double record_bytes(const Solve *s, size_t paths, bool history) {
  const Program *p = s->program;
  double doubles = 0, T = (double)s->T;
  for (int i = 0; i < p->system->field_count; i++) {
    const Variable *v = &p->variables[field_of(p, i)->variable];
    doubles += T * (double)step_size(p, i, s->T);
    for (int side = 0; side < 2 && history && has_side(p, i, side); side++)
      doubles += T * v->rows * (double)paths * (s->sized ? p->spaces[v->space].ratio : 1);
  }
  return 8 * doubles;
}

static bool take(void *sink, Machine *m, int t) {
  Run *run = sink;
  Solve *s = run->solve;
  for (int i = 0; i < m->p->system->field_count; i++) {
    size_t size = rows_of(m->p, side_of(m->p, i, 0)) * run->record->columns[i];
    for (int side = 0; side < 2 && has_side(m->p, i, side); side++)
      machine_read(m, side_of(m->p, i, side), run->record->history[side][i] + (size_t)t * size);
    if (!is_pairs(m->p, i))
      machine_read(m, side_of(m->p, i, 0),
                   run->record->value[i] + (size_t)t * step_size(m->p, i, s->T));
  }
  int done = ++s->done;
  if (s->options.progress && team_leads())
    s->options.progress(s->options.sink, s->sized ? "simulate" : "dmft", done,
                        runs_of(s) * (int)s->T);
  return true;
}

/* C(t, s) = <x(t) y(s)>, the mean over rows. */
static void finish_pairs(const Solve *s, Record *r) {
  const Program *p = s->program;
  for (int i = 0; i < p->system->field_count; i++) {
    if (!is_pairs(p, i)) continue;
    size_t T = s->T, rows = rows_of(p, side_of(p, i, 0)), n = r->columns[i];
    const double *x = r->history[0][i], *y = has_side(p, i, 1) ? r->history[1][i] : x;
    for (size_t k = 0; k < rows; k++)
      mat_mul_bt(T, T, n, 1.0 / (double)(n * rows), x + k * n, rows * n, y + k * n, rows * n, k > 0,
                 r->value[i], T);
    for (size_t t = 0; t < T && field_of(p, i)->form == FORM_RESPONSE; t++)
      memset(r->value[i] + t * T + t + 1, 0, (T - t - 1) * sizeof(double));
  }
  forget_history(s, r);
}

/* ---- running ---- */

static MachinePlan plan_of(const Solve *s, int run) {
  const Program *p = s->program;
  int lean = run - s->replicates - s->companions;
  bool coarse = run >= s->replicates && lean < 0;
  int number = lean >= 0 ? lean : coarse ? run - s->replicates : run;
  return (MachinePlan){.program = p,
                       .code = &s->code,
                       .hidden = !s->sized || s->options.conditioned ? &sequential : &dense,
                       .noise = {.kind = s->sized    ? NOISE_PLAIN
                                         : p->linear ? NOISE_COORDINATES
                                                     : NOISE_SOBOL,
                                 .seed = s->options.seed,
                                 .number = (uint64_t)number,
                                 .sobol = s->sobol[coarse]},
                       .columns = s->paths[coarse],
                       .sized = s->sized,
                       .gamma = 1,
                       .tol = s->tol[coarse],
                       .improve = !s->sized && !p->linear,
                       .tails = run < s->replicates && !s->sized ? s->tails[run] : NULL,
                       .lean = lean >= 0 ? s->lean : NULL,
                       .leaning = lean,
                       .steps = (int)s->T - 1,
                       .stop = s->options.stop,
                       .observe = take};
}

static RunEnd run_once(Solve *s, int number) {
  Record *r = &s->records[number];
  Run run = {s, r};
  MachinePlan plan = plan_of(s, number);
  Machine m;
  plan.sink = &run;
  RunEnd end = {.status = STATUS_LIMIT};
  if (!record_new(s, r, plan.columns)) return end;
  uint32_t *points = run_own_order(s->program, &plan.noise, plan.columns);
  if (points) plan.noise.sobol = points;
  end.status = machine_run(&plan, &m, &end.failed_at);
  end.rank = m.rank;
  free(points);
  if (end.status != STATUS_OK) return end;
  r->flops = tape_flops(m.tape) + m.flops;
  r->rank = m.rank;
  finish_pairs(s, r);
  machine_free(&m);
  return end;
}

/* Runs from number first on. */
typedef struct Attempt {
  Solve *s;
  int first;
  RunEnd *outcome;
} Attempt;

static void attempt_one(void *context, size_t i) {
  Attempt *a = context;
  Solve *s = a->s;
  bool stopped = s->options.stop && *s->options.stop;
  RunEnd *own = &a->outcome[i];
  *own = (RunEnd){.status = STATUS_INTERRUPTED};
  if (!stopped) *own = run_once(s, a->first + (int)i);
  if (own->status != STATUS_OK) record_free(s, &s->records[a->first + (int)i]);
}

/* Runs first .. first + count. */
static void run_several(Solve *s, int first, int count) {
  RunEnd outcome[count];
  Attempt attempt = {s, first, outcome};
  team_run(s->options.threads, (size_t)count, attempt_one, &attempt);
  RunEnd failure = run_first_failure(outcome, count, &s->failed_run);
  s->status = failure.status;
  s->failed_at = failure.failed_at;
  s->failed_rank = failure.rank;
}

static Status explain(const Solve *s, char **why) {
  switch (s->status) {
  case STATUS_OK: break;
  case STATUS_INTERRUPTED: *why = mem_format("interrupted at step %d", s->failed_at); break;
  case STATUS_NUMERICS:
    *why = mem_format("the system diverges: what it observes is not finite at step %d%s",
                      s->failed_at, s->failed_at > 0 ? "; a smaller step of time may help" : "");
    if (!s->sized && !s->program->linear)
      run_filled(why, s->failed_rank, s->paths[s->failed_run >= s->replicates], s->replicates);
    break;
  default: *why = mem_format("out of memory at step %d", s->failed_at);
  }
  return s->status;
}

static double bytes_needed(const Solve *s) {
  MachinePlan plan = plan_of(s, 0);
  int runs = runs_of(s);
  double parallel = fmin(s->options.threads, runs), noise = 0;
  for (int i = s->program->start_count; i < s->program->op_count && plan.improve; i++)
    if (s->program->ops[i].kind == OP_NOISE)
      noise += 8 * (double)s->T * (double)rows_of(s->program, s->program->ops[i].dst) *
               (double)s->paths[0];
  return (machine_bytes(&plan, s->T) + noise + record_bytes(s, s->paths[0], true)) * parallel +
         (s->sized ? 0 : tails_bytes(s->program, s->T) * s->replicates) +
         record_bytes(s, s->paths[0], false) * (s->sized ? 6 + parallel : runs + 4);
}

static void forget_tails(Solve *s) {
  for (int j = 0; j < REPLICATES; j++) {
    tails_free(s->tails[j]);
    s->tails[j] = NULL;
  }
  lean_free(s->lean);
  s->lean = NULL;
}

static void clean(Solve *s) {
  for (int j = 0; j < s->room && s->records; j++) record_free(s, &s->records[j]);
  free(s->records);
  forget_tails(s);
  free(s->sobol[0]);
  free(s->sobol[1]);
  machine_code_free(s->program, &s->code);
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
  *s = (Solve){.program = program, .options = *options, .T = (size_t)options->steps};
  s->code = machine_compile(program, false, NULL);
  bool roomy = options->samples * CROWDED / REPLICATES >= demand(s);
  int replicates = program->linear ? 1 : roomy ? REPLICATES : FEWER_REPLICATES;
  if (options->samples / FEWEST_PATHS < replicates) replicates = options->samples / FEWEST_PATHS;
  s->replicates = replicates > 1 || program->linear ? replicates : 2;
  s->companions = program->linear ? 0 : s->replicates;
  s->paths[0] = program->linear ? FIRST_COORDINATES
                                : (size_t)((options->samples + replicates - 1) / replicates);
  s->paths[1] = s->paths[0] / COARSER > FEWEST_PATHS / 2 ? s->paths[0] / COARSER : FEWEST_PATHS / 2;
  s->tol[0] = options->tol > 0 ? options->tol : program->linear ? EXACT : TOLERANCE;
  s->tol[1] = s->tol[0] * COARSER;
  for (int k = 0; k < 2 && !program->linear; k++) s->sobol[k] = sobol_points(s->paths[k]);
  s->room = s->replicates + s->companions + MOST_LEANS;
  s->records = mem_new((size_t)s->room, sizeof *s->records);
}

static bool see_tails(Solve *s) {
  bool fine = true;
  forget_tails(s);
  for (int j = 0; j < s->replicates && !s->program->linear; j++)
    fine = (s->tails[j] = tails_new(s->program, s->T)) != NULL && fine;
  return fine;
}

/* A companion that fails leaves the bias unknown. */
static void drop_companions(Solve *s) {
  for (int j = s->replicates; j < runs_of(s); j++) record_free(s, &s->records[j]);
  s->status = STATUS_OK;
  s->companions = 0;
}

/* Where averages have heavy tails, replicates once more, leaning. Those from the first on that
 * fails, as where a mean of squares becomes negative, say nothing. */
static void run_leaning(Solve *s) {
  int first = runs_of(s), count = s->replicates < MOST_LEANS ? s->replicates : MOST_LEANS;
  if (s->status != STATUS_OK || s->program->linear) return;
  s->lean = lean_new(s->tails, s->replicates, s->paths[0]);
  if (!s->lean) return;
  s->leans = count;
  run_several(s, first, count);
  if (s->status == STATUS_NUMERICS) {
    s->leans = s->failed_run;
    s->status = STATUS_OK;
  }
}

/* Linear programs: as many coordinates as it takes, found by doubling. */
static Status run_theory(Solve *s, char **why) {
  for (;; s->paths[0] *= 2) {
    double bytes = bytes_needed(s);
    if (!mem_fits(bytes) || !see_tails(s)) return run_refuse(why, bytes);
    run_several(s, 0, runs_of(s));
    if (s->status == STATUS_NUMERICS && s->failed_run >= s->replicates) drop_companions(s);
    run_leaning(s);
    bool more = s->program->linear && s->status == STATUS_LIMIT && s->failed_at < 0;
    if (!more) return explain(s, why);
  }
}

static Array *array_of(const Program *p, int i, size_t T, const double *data) {
  size_t shape[ARRAY_MAX_RANK];
  Array *array = array_new(solve_system_shape(p, i, T, shape), shape);
  if (array && data) memcpy(array->data, data, array->size * sizeof *data);
  return array;
}

/* How runs (or blocks of members), with `common` all of them together, and with `tails` what they
 * did not meet, move a field: [runs, n], [n], [n]. Fields of very many numbers keep none. */
static bool add_moves(const Solve *s, ResultField *field, const char *kind, int i, int runs,
                      const double *moves, const double *common, const double *tails) {
  const Program *p = s->program;
  size_t n = s->T * step_size(p, i, s->T);
  Scatter *scatter = scatter_new();
  bool fine = true;
  for (int j = 0; j < runs + 2 && fine; j++) {
    const double *own = j < runs ? moves + (size_t)j * n : j == runs ? common : tails;
    uint64_t id =
        j == runs ? scatter_id(kind, 0, 0, 0) : scatter_id(kind, s->options.seed, runs, j);
    if (!own) continue;
    Array *move = array_of(p, i, s->T, own);
    if (move) scatter_add(scatter, id, j < runs ? 1.0 / runs : 1, move);
    fine = move != NULL;
  }
  field->scatter = scatter;
  return fine;
}

/* Whether the error of a field is due to heavy tails, and a guess. */
static bool hangs(const Solve *s, const Replicates *r, const double *value, const double *error) {
  if (!s->lean || !lean_guesses(s->lean)) return false;
  for (size_t i = 0; i < r->n; i++)
    if (doubt_tails(r, i) > fmax(error[i] / 2, fabs(value[i]) / 4)) return true;
  return s->leans == 0;
}

/* The mean of the replicates and its error. */
static bool fill_theory(Solve *s, Result *result, int i) {
  const Program *p = s->program;
  bool pairs = is_pairs(p, i);
  size_t size = step_size(p, i, s->T), n = s->T * size;
  Replicates r = {.count = s->replicates,
                  .companions = s->companions,
                  .leans = s->leans,
                  .n = n,
                  .share = 1 / ((double)s->paths[0] / (double)s->paths[1] - 1)};
  for (int j = 0; j < s->replicates; j++) r.fine[j] = s->records[j].value[i];
  for (int j = 0; j < s->companions; j++) r.coarse[j] = s->records[s->replicates + j].value[i];
  for (int j = 0; j < s->leans; j++)
    r.lean[j] = s->records[s->replicates + s->companions + j].value[i];
  Grouping grouping = pairs ? grouping_of_pairs(s->T, 1) : grouping_of_times(s->T, size);
  double *value = mem_block(n), *error = mem_block(n);
  bool keeps = !p->linear && n <= SCATTER_LARGEST && s->replicates > 1;
  double *moves = keeps ? mem_insist(mem_block((size_t)doubt_moves(&r) * n)) : NULL,
         *common = moves ? moves + (size_t)s->replicates * n : NULL;
  bool fine = value && error;
  if (fine && p->linear) memcpy(value, r.fine[0], n * sizeof *value);
  if (fine && !p->linear) fine = doubt(&r, NULL, NULL, n, &grouping, value, error, moves);
  ResultField *field = result_find(result, field_of(p, i)->name, 0);
  if (fine) field->value = array_of(p, i, s->T, value);
  if (fine) field->error = array_of(p, i, s->T, error);
  if (fine && !result_attribute(result, "tails") && hangs(s, &r, value, error))
    result_note(result, "tails", "%s", field->name);
  if (fine && moves)
    fine = add_moves(s, field, result->kind, i, s->replicates, moves, s->companions ? common : NULL,
                     s->leans ? common + n : NULL);
  free(value);
  free(error);
  free(moves);
  return fine && field->value && field->error;
}

static void note_theory(const Solve *s, Result *result, double seconds) {
  double flops = 0;
  int rank = 0;
  for (int j = 0; j < runs_of(s); j++) flops += s->records[j].flops;
  for (int j = 0; j < s->replicates; j++)
    if (s->records[j].rank > rank) rank = s->records[j].rank;
  if (!result->exact) {
    result_note(result, "samples", "%zu", s->paths[0] * (size_t)s->replicates);
    result_note(result, "replicates", "%d", s->replicates);
    result_note(result, "seed", "%llu", (unsigned long long)s->options.seed);
  }
  result_note(result, "tol", "%.17g", s->tol[0]);
  result_note(result, "rank", "%d", rank);
  if (!s->program->linear && !s->companions) result_note(result, "bias", "unknown");
  result_note(result, "flops", "%.17g", flops);
  result_note(result, "seconds", "%.6g", seconds);
}

static Status solve_samples(Program *program, const SolveOptions *options, Result **result,
                            char **why) {
  double start = run_clock();
  Solve s;
  prepare_theory(&s, program, options);
  Status status = run_theory(&s, why);
  if (status == STATUS_OK) {
    Result *r = solve_system_promise(program, options, false);
    bool fine = true;
    for (int i = 0; i < program->system->field_count && fine; i++) fine = fill_theory(&s, r, i);
    note_theory(&s, r, run_clock() - start);
    run_origin(r, program, options);
    status = run_finish(r, fine, bytes_needed(&s), result, why);
  }
  clean(&s);
  return status;
}

Status solve_system(Program *program, const SolveOptions *options, Result **result, char **why) {
  *result = NULL;
  if (!program->linear && options->samples < FEWEST_SAMPLES) {
    *why = mem_format("samples = %d is too few: at least %d", options->samples, FEWEST_SAMPLES);
    return STATUS_SCRIPT;
  }
  return options->error > 0 && !program->linear
             ? enough_solve(solve_samples, program, options, result, why)
             : solve_samples(program, options, result, why);
}

/* ---- systems of finite size ---- */

/* The moves of blocks of members; scale 0: of the mean. */
static bool add_blocks(const Solve *s, ResultField *field, int i, const Moments *moments,
                       double scale) {
  size_t blocks = moments_blocks(moments);
  if (!blocks) return true;
  double *moves = moments_moves(moments, scale);
  bool fine = moves && add_moves(s, field, "simulate", i, (int)blocks, moves, NULL, NULL);
  free(moves);
  return fine;
}

/* Mean and N times the variance of a field, with their errors. */
static bool fill_moments(const Solve *s, Result *result, int i, const Moments *moments) {
  const Program *p = s->program;
  size_t n = s->T * step_size(p, i, s->T);
  double *value = mem_block(n), *error = mem_block(n);
  bool fine = value && error, sampled = moments->count > 1;
  char *variance = mem_format("var_%s", field_of(p, i)->name);
  ResultField *field = result_find(result, field_of(p, i)->name, 0);
  if (fine) {
    moments_mean(moments, value, error);
    field->value = array_of(p, i, s->T, value);
    field->error = sampled ? array_of(p, i, s->T, error) : NULL;
    fine = field->value && (!sampled || field->error);
    fine = fine && (!sampled || add_blocks(s, field, i, moments, 0));
  }
  if (fine && sampled) {
    field = result_find(result, variance, 0);
    moments_variance(moments, (double)s->paths[0], value, error);
    field->value = array_of(p, i, s->T, value);
    field->error = array_of(p, i, s->T, error);
    fine = field->value && field->error && add_blocks(s, field, i, moments, (double)s->paths[0]);
  }
  free(variance);
  free(value);
  free(error);
  return fine;
}

/* Members run in parallel and are counted in order, so that sums do not depend on the number of
 * threads. */
static void run_members(Solve *s, Moments *moments) {
  int batch = s->options.threads;
  for (int first = 0; first < s->replicates && s->status == STATUS_OK; first += batch) {
    int count = s->replicates - first < batch ? s->replicates - first : batch;
    run_several(s, first, count);
    for (int j = first; j < first + count; j++) {
      for (int i = 0; i < s->program->system->field_count && s->status == STATUS_OK; i++)
        moments_add(&moments[i], s->records[j].value[i]);
      record_free(s, &s->records[j]);
    }
  }
}

static void prepare_networks(Solve *s, Program *program, const SolveOptions *options) {
  *s = (Solve){.program = program,
               .options = *options,
               .T = (size_t)options->steps,
               .sized = true,
               .paths = {(size_t)options->width, (size_t)options->width},
               .tol = {1e-7, 1e-7},
               .replicates = options->ensemble};
  s->code = machine_compile(program, false, NULL);
  s->records = mem_new((size_t)s->replicates, sizeof *s->records);
}

Status solve_system_networks(Program *program, const SolveOptions *options, Result **result,
                             char **why) {
  *result = NULL;
  double start = run_clock();
  size_t fields = (size_t)program->system->field_count;
  Solve s;
  prepare_networks(&s, program, options);
  Moments *moments = mem_new(fields, sizeof *moments);
  double bytes = bytes_needed(&s);
  bool room = mem_fits(bytes);
  for (int i = 0; i < (int)fields && room; i++)
    room = moments_start(&moments[i], s.T * step_size(program, i, s.T), 4) &&
           (options->ensemble < 2 || s.T * step_size(program, i, s.T) > SCATTER_LARGEST ||
            moments_divide(&moments[i], (size_t)options->ensemble));
  if (room) run_members(&s, moments);
  Status status = room ? explain(&s, why) : run_refuse(why, bytes);
  if (status == STATUS_OK) {
    Result *r = solve_system_promise(program, options, true);
    bool fine = true;
    for (int i = 0; i < (int)fields && fine; i++) fine = fill_moments(&s, r, i, &moments[i]);
    result_note(r, "width", "%d", options->width);
    result_note(r, "ensemble", "%d", options->ensemble);
    result_note(r, "seed", "%llu", (unsigned long long)options->seed);
    result_note(r, "seconds", "%.6g", run_clock() - start);
    status = run_finish(r, fine, bytes, result, why);
  }
  for (int i = 0; i < (int)fields; i++) moments_free(&moments[i]);
  free(moments);
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
  while (program->linear && (double)s->paths[0] < demand(s)) s->paths[0] *= 2;
}

void solve_plan_system(Program *program, const SolveOptions *options, bool sized, SolvePlan *plan) {
  Solve s;
  RunCost cost;
  *plan = (SolvePlan){0};
  prepare_plan(&s, program, options, sized);
  plan->bytes = bytes_needed(&s);
  MachinePlan first = plan_of(&s, 0);
  if (mem_fits(plan->bytes) && plan_run(&first, &cost)) {
    int runs = s.replicates + s.companions,
        threads = options->threads < runs ? options->threads : runs;
    double all = s.replicates +
                 (s.companions ? s.companions * ((double)s.paths[1] / (double)s.paths[0]) : 0);
    plan->flops = cost.flops * all;
    plan->seconds = cost.seconds * all / threads;
  }
  clean(&s);
}

/* ---- results ---- */

static const char *axes_of(const Program *p, int i) {
  static const char *const axes[] = {"t", "t,k", "t,k,l"};
  if (is_pairs(p, i)) return "t,s";
  return axes[p->system->variables[field_of(p, i)->variable].shape.rank];
}

bool solve_system_times(Result *r, size_t T) {
  Array *t = array_new(1, &T), *error = r->exact ? array_new(1, &T) : NULL;
  for (size_t k = 0; t && k < T; k++) t->data[k] = (double)k;
  result_add(r, "t", 0, "t", "the step", t, error);
  return t && (error || !r->exact);
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
    if (!sized || options->ensemble < 2) continue;
    char *name = mem_format("var_%s", field->name),
         *about = mem_format("N times the variance of %s over systems", field->name);
    result_add(r, name, 0, axes_of(p, i), about, NULL, NULL);
    free(name);
    free(about);
  }
  return r;
}
