/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fluctuations of systems of finite size, to order 1/N: the theory is run once more, recorded, and
 * read backward from what it observes; N times a variance is the mean square of the influences of
 * the neurons (tape.h). Independent replicates give the error. */
#include "base/memory.h"
#include "base/team.h"
#include "num/linalg.h"
#include "num/random.h"
#include "solve/neurons.h"
#include "solve/rounded.h"
#include "solve/run.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { REPLICATES = 8, CHUNK = 16, USUAL = 16000 };

static const double TOLERANCE = 1e-3;

/* Variances of order one that are below this are rounding: what is observed does not vary. */
static const double ROUNDING = 1e-24;

typedef struct Noise {
  const Program *program;
  SolveOptions options;
  size_t T, paths;
  int passes;
  MachineCode code[MAX_PASSES];
  uint32_t *sobol;
  double **variance; /* [replicate][field after field, T size] */
  size_t total;      /* numbers of all fields */
  Status status;
  int failed_at;
} Noise;

static const SystemField *field_of(const Noise *s, int field) {
  return &s->program->system->fields[field];
}

static bool is_pairs(const Noise *s, int field) { return field_of(s, field)->form != FORM_VALUE; }

/* Numbers of a step that have variances. */
static size_t field_size(const Noise *s, int field) {
  const Variable *v = &s->program->variables[field_of(s, field)->variable];
  if (is_pairs(s, field)) return s->T * s->T <= MOST_VARYING_PAIRS ? s->T : 0;
  return (size_t)v->rows * (size_t)v->cols;
}

static MachinePlan plan_of(const Noise *s, const MachineCode *code, int replicate) {
  return (MachinePlan){.program = s->program,
                       .code = code,
                       .hidden = &sequential,
                       .noise = {.kind = NOISE_SOBOL,
                                 .seed = s->options.seed,
                                 .number = (uint64_t)replicate,
                                 .sobol = s->sobol},
                       .columns = s->paths,
                       .gamma = 1,
                       .tol = TOLERANCE,
                       .improve = true,
                       .record = true,
                       .steps = (int)s->T - 1,
                       .stop = s->options.stop};
}

/* The sum of y_i y_{i+k} over a ring and over |k| <= reach. Since the y have mean zero, all k
 * together give nothing: what the mean takes away is given back. */
static double sum_neighbours(size_t n, const double *y, size_t reach) {
  double sum = dot(n, y, y);
  for (size_t k = 1; k <= reach; k++) sum += 2 * (dot(n - k, y, y + k) + dot(k, y, y + n - k));
  return reach ? sum / (1 - (2 * (double)reach + 1) / (double)n) : sum;
}

/* N times a variance: neurons are independent but for those that shifts up to step t bring
 * together. */
static double variance_of(const Noise *s, const Machine *m, const double *influence, size_t t) {
  const Program *p = s->program;
  double sum = 0;
  for (int space = 0; space < p->space_count; space++) {
    size_t n = tape_columns(m->tape, m->population[space]);
    sum += sum_neighbours(n, influence, run_reach(p, space) * (t + 1));
    influence += n;
  }
  return sum;
}

/* Adds share times the variances of observables of step t. */
static bool add_squares(const Noise *s, const Machine *m, const Observable *observables, int mark,
                        size_t t, size_t count, double share, double *variance) {
  size_t size = tape_influence_size(m->tape);
  double *influences = mem_block(count * size);
  bool fine =
      influences && tape_influences(m->tape, mark, observables, count, s->options.stop, influences);
  for (size_t k = 0; k < count && fine; k++)
    variance[k] += share * variance_of(s, m, influences + k * size, t);
  free(influences);
  return fine;
}

/* Of numbers first .. first + count of a table. */
static bool read_some(const Noise *s, const Machine *m, View table, size_t t, size_t first,
                      size_t count, double share, double *variance) {
  Seed seeds[CHUNK];
  Observable observables[CHUNK];
  for (size_t k = 0; k < count; k++) {
    seeds[k] = (Seed){table, (first + k) / table.cols, (first + k) % table.cols, 1};
    observables[k] = (Observable){&seeds[k], 1};
  }
  return add_squares(s, m, observables, m->mark[t], t, count, share, variance + first);
}

/* Of <x(t) y(s)>, the mean over rows, for `count` s from `first` on. */
static bool read_pairs(const Noise *s, Machine *m, int f, size_t t, size_t first, size_t count,
                       double share, double *variance) {
  const View *x = m->past[field_of(s, f)->variable], *y = m->past[field_of(s, f)->other];
  size_t n = x[t].rows;
  Seed *seeds = mem_new(count * n, sizeof *seeds);
  Observable observables[CHUNK];
  for (size_t k = 0; k < count; k++) {
    View table = tape_table(m->tape, n, 1, false);
    if (!tape_failed(m->tape))
      tape_average_rows(m->tape, table, 1.0 / (double)n, x[t], y[first + k]);
    for (size_t r = 0; r < n; r++) seeds[k * n + r] = (Seed){table, r, 0, 1};
    observables[k] = (Observable){seeds + k * n, n};
  }
  bool fine = !tape_failed(m->tape) &&
              add_squares(s, m, observables, tape_mark(m->tape),
                          t > first + count ? t : first + count, count, share, variance + first);
  free(seeds);
  return fine;
}

/* The variances [T, T] of a field of two times. One of a vector with itself is symmetric; of a
 * response there are none ahead. */
static bool read_table(const Noise *s, Machine *m, int f, double share, double *variance) {
  const SystemField *field = field_of(s, f);
  bool same = field->other == field->variable, fine = true;
  size_t T = s->T;
  double *row = mem_new(T, sizeof *row);
  for (size_t t = 0; t < T && fine; t++) {
    size_t count = same || field->form == FORM_RESPONSE ? t + 1 : T;
    memset(row, 0, T * sizeof *row);
    for (size_t k = 0; k < count && fine; k += CHUNK)
      fine = read_pairs(s, m, f, t, k, count - k < CHUNK ? count - k : CHUNK, share, row);
    for (size_t k = 0; k < count; k++) variance[t * T + k] += row[k];
    for (size_t k = 0; k < t && same; k++) variance[k * T + t] += row[k];
  }
  free(row);
  return fine;
}

static bool read_run(const Noise *s, Machine *m, double share, double *variance) {
  bool fine = true;
  for (int f = 0; f < s->program->system->field_count && fine; f++) {
    size_t n = field_size(s, f);
    int v = field_of(s, f)->variable;
    if (n && is_pairs(s, f)) fine = read_table(s, m, f, share, variance);
    for (size_t t = 0; t < s->T && n && !is_pairs(s, f); t++)
      for (size_t k = 0; k < n && fine; k += CHUNK)
        fine = read_some(s, m, m->past[v][t], t, k, n - k < CHUNK ? n - k : CHUNK, share,
                         variance + t * n);
    variance += s->T * n;
  }
  return fine;
}

static RunEnd run_one(const Noise *s, int replicate) {
  RunEnd end = {.status = STATUS_OK};
  for (int k = 0; k < s->passes && end.status == STATUS_OK; k++) {
    MachinePlan plan = plan_of(s, &s->code[k], replicate);
    uint32_t *points = run_own_order(s->program, &plan.noise, plan.columns);
    if (points) plan.noise.sobol = points;
    Machine m;
    end.status = machine_run(&plan, &m, &end.failed_at);
    free(points);
    if (end.status != STATUS_OK) break;
    bool fine = read_run(s, &m, rounded_share(s->passes, k), s->variance[replicate]);
    bool stopped = s->options.stop && *s->options.stop;
    if (!fine) end.status = stopped ? STATUS_INTERRUPTED : STATUS_LIMIT;
    machine_free(&m);
  }
  return end;
}

typedef struct Attempt {
  const Noise *s;
  RunEnd end[REPLICATES];
} Attempt;

static void attempt_one(void *context, size_t j) {
  Attempt *attempt = context;
  attempt->end[j] = run_one(attempt->s, (int)j);
}

static void run_all(Noise *s) {
  Attempt attempt = {.s = s};
  team_run(s->options.threads, REPLICATES, attempt_one, &attempt);
  RunEnd first = run_first_failure(attempt.end, REPLICATES, NULL);
  s->status = first.status;
  s->failed_at = first.failed_at;
}

const char *solve_system_refuses_fluctuations(const Program *p) {
  return machine_rounds(p) ? NULL : "a map has too many jumps to be rounded";
}

static Status explain(const Noise *s, char **why) {
  switch (s->status) {
  case STATUS_OK: break;
  case STATUS_INTERRUPTED: *why = mem_string("interrupted"); break;
  case STATUS_NUMERICS: *why = mem_format("the system diverges at step %d", s->failed_at); break;
  default: *why = mem_string("out of memory");
  }
  return s->status;
}

/* The mean over replicates, and its error. */
static bool fill(const Noise *s, Result *result) {
  size_t at = 0;
  bool fine = true;
  for (int f = 0; f < s->program->system->field_count && fine; f++) {
    size_t shape[ARRAY_MAX_RANK], n = s->T * field_size(s, f);
    if (!n) continue;
    const SystemField *field = &s->program->system->fields[f];
    int rank = solve_system_shape(s->program, f, s->T, shape);
    Array *value = array_new(rank, shape), *error = array_new(rank, shape);
    fine = value && error;
    for (size_t i = 0; i < n && fine; i++) {
      double sum = 0, squares = 0;
      for (int j = 0; j < REPLICATES; j++) sum += s->variance[j][at + i] / REPLICATES;
      for (int j = 0; j < REPLICATES; j++) squares += pow(s->variance[j][at + i] - sum, 2);
      if (!(sum > ROUNDING)) continue;
      value->data[i] = sum;
      error->data[i] = sqrt(squares / (REPLICATES * (REPLICATES - 1.0))) * run_student(REPLICATES);
    }
    char *name = mem_format("var_%s", field->name),
         *about = mem_format("N times the variance of %s over systems", field->name);
    result_add(result, name, 0,
               is_pairs(s, f) ? "t,s"
               : rank == 1    ? "t"
               : rank == 2    ? "t,k"
                              : "t,k,l",
               about, value, error);
    free(name);
    free(about);
    at += n;
  }
  return fine;
}

static Status report(const Noise *s, double start, Result **result, char **why) {
  Result *r = result_new("fluctuations");
  result_note(r, "system", "%s", s->program->system->name);
  result_note(r, "steps", "%zu", s->T);
  bool fine = solve_system_times(r, s->T) && fill(s, r);
  result_note(r, "samples", "%zu", s->paths * REPLICATES);
  result_note(r, "seed", "%llu", (unsigned long long)s->options.seed);
  result_note(r, "seconds", "%.6g", run_clock() - start);
  return run_finish(r, fine, 0, result, why);
}

/* So many samples that there are many more neurons than shifts bring together; 0 without shifts. */
static int least_samples(const Program *p, int steps) {
  enum { FEWEST_STRETCHES = 8 };
  size_t reach = 0;
  for (int space = 0; space < p->space_count; space++)
    if (run_reach(p, space) > reach) reach = run_reach(p, space);
  double least = FEWEST_STRETCHES * (2.0 * (double)reach * steps + 1) * REPLICATES;
  return !reach ? 0 : least < INT_MAX ? (int)least : INT_MAX;
}

/* As many as are asked for, or enough; 0 where those are too few: *why. */
static int chosen_samples(const Program *p, const SolveOptions *options, char **why) {
  int least = least_samples(p, options->steps);
  if (options->samples <= 0) return least > USUAL ? least : USUAL;
  if (options->samples >= least) return options->samples;
  *why = mem_format("shifts bring neurons together over many neighbours: at least samples = %d",
                    least);
  return 0;
}

Status solve_system_fluctuations(const Program *program, const SolveOptions *options,
                                 Result **result, char **why) {
  double start = run_clock();
  int samples = chosen_samples(program, options, why);
  Noise s = {.program = program,
             .options = *options,
             .T = (size_t)options->steps,
             .paths = (size_t)(samples / REPLICATES > 32 ? samples / REPLICATES : 32)};
  *result = NULL;
  if (!samples) return STATUS_SCRIPT;
  s.sobol = sobol_points(s.paths);
  for (int f = 0; f < program->system->field_count; f++) s.total += s.T * field_size(&s, f);
  s.variance = mem_new(REPLICATES, sizeof *s.variance);
  for (int j = 0; j < REPLICATES; j++) s.variance[j] = mem_new(s.total + 1, sizeof **s.variance);
  s.status =
      rounded_compile(plan_of(&s, NULL, 0), has_kinks(program), s.code, &s.passes, &s.failed_at);
  if (s.status == STATUS_OK) run_all(&s);
  Status status = explain(&s, why);
  if (status == STATUS_OK) status = report(&s, start, result, why);
  for (int j = 0; j < REPLICATES; j++) free(s.variance[j]);
  free(s.variance);
  free(s.sobol);
  for (int k = 0; k < s.passes; k++) machine_code_free(program, &s.code[k]);
  return status;
}
