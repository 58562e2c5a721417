/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fluctuations of systems of finite size, to order 1/N: the theory is run once more, recorded, and
 * read backward from what it observes; N times a variance is the mean square of the influences of
 * the neurons (tape.h). Independent replicates give the error. */
#include "base/memory.h"
#include "num/random.h"
#include "solve/neurons.h"
#include "solve/rounded.h"
#include "solve/run.h"

#include <math.h>
#include <omp.h>
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

static size_t field_size(const Noise *s, int field) {
  const Variable *v = &s->program->variables[s->program->system->fields[field].variable];
  bool pairs = s->program->system->fields[field].form != FORM_VALUE;
  return pairs ? 0 : (size_t)v->rows * (size_t)v->cols;
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

/* Adds share times the mean squares of the influences on numbers first .. first + count of a table.
 */
static bool read_some(const Noise *s, const Machine *m, View table, int mark, size_t first,
                      size_t count, double share, double *variance) {
  Seed seeds[CHUNK];
  Observable observables[CHUNK];
  size_t size = tape_influence_size(m->tape);
  double *influences = mem_block(count * size);
  for (size_t k = 0; k < count; k++) {
    seeds[k] = (Seed){table, (first + k) / table.cols, (first + k) % table.cols, 1};
    observables[k] = (Observable){&seeds[k], 1};
  }
  bool fine =
      influences && tape_influences(m->tape, mark, observables, count, s->options.stop, influences);
  for (size_t k = 0; k < count && fine; k++)
    for (size_t i = 0; i < size; i++)
      variance[first + k] += share * influences[k * size + i] * influences[k * size + i];
  free(influences);
  return fine;
}

static bool read_run(const Noise *s, const Machine *m, double share, double *variance) {
  bool fine = true;
  for (int f = 0; f < s->program->system->field_count; f++) {
    size_t n = field_size(s, f);
    int v = s->program->system->fields[f].variable;
    for (size_t t = 0; t < s->T && n; t++, variance += n)
      for (size_t k = 0; k < n && fine; k += CHUNK)
        fine = read_some(s, m, m->past[v][t], m->mark[t], k, n - k < CHUNK ? n - k : CHUNK, share,
                         variance);
  }
  return fine;
}

static RunEnd run_one(const Noise *s, int replicate) {
  RunEnd end = {.status = STATUS_OK};
  for (int k = 0; k < s->passes && end.status == STATUS_OK; k++) {
    MachinePlan plan = plan_of(s, &s->code[k], replicate);
    Machine m;
    end.status = machine_run(&plan, &m, &end.failed_at);
    if (end.status != STATUS_OK) break;
    bool fine = read_run(s, &m, rounded_share(s->passes, k), s->variance[replicate]);
    bool stopped = s->options.stop && *s->options.stop;
    if (!fine) end.status = stopped ? STATUS_INTERRUPTED : STATUS_LIMIT;
    machine_free(&m);
  }
  return end;
}

static void run_all(Noise *s) {
  RunEnd end[REPLICATES];
#pragma omp parallel for schedule(dynamic, 1) num_threads(s->options.threads)
  for (int j = 0; j < REPLICATES; j++) end[j] = run_one(s, j);
  RunEnd first = run_first_failure(end, REPLICATES, NULL);
  s->status = first.status;
  s->failed_at = first.failed_at;
}

const char *solve_system_refuses_fluctuations(const Program *p) {
  for (int i = 0; i < p->op_count; i++)
    if (p->ops[i].kind == OP_SHIFT)
      return "where a system shifts along a population its neurons are not independent, and their "
             "influences do not add: simulate gives its variances";
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
    result_add(result, name, 0, rank == 1 ? "t" : rank == 2 ? "t,k" : "t,k,l", about, value, error);
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

Status solve_system_fluctuations(const Program *program, const SolveOptions *options,
                                 Result **result, char **why) {
  double start = run_clock();
  int samples = options->samples > 0 ? options->samples : USUAL;
  Noise s = {.program = program,
             .options = *options,
             .T = (size_t)options->steps,
             .paths = (size_t)(samples / REPLICATES > 32 ? samples / REPLICATES : 32)};
  *result = NULL;
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
