/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fluctuations of systems of finite size, to order 1/N: the theory is run once more, recorded, and
 * read backward from what it observes; N times a variance is the mean square of the influences of
 * the neurons (tape.h). Independent replicates give the error. In derivatives jumps are rounded
 * over small distances, which are extrapolated to zero. */
#include "base/memory.h"
#include "num/random.h"
#include "solve/neurons.h"
#include "solve/run.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

enum { REPLICATES = 8, PASSES = 3, CHUNK = 16, USUAL = 16000 };

/* The widths over which jumps are rounded, as fractions of what they read, and the weights that
 * extrapolate to zero width. */
static const double fraction[PASSES] = {0.1, 0.2, 0.4}, weight[PASSES] = {8. / 3, -2, 1. / 3};

static const double TOLERANCE = 1e-3;

/* Variances of order one that are below this are rounding: what is observed does not vary. */
static const double ROUNDING = 1e-24;

typedef struct Noise {
  const Program *program;
  SolveOptions options;
  size_t T, paths;
  int passes;
  MachineCode code[PASSES];
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
                       .hidden = machine_hidden(s->program, true),
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

/* Jumps are rounded over a fraction of what they read, as it is at t = 0. */
static Status compile(Noise *s) {
  const Program *p = s->program;
  s->passes = has_kinks(p) ? PASSES : 1;
  if (s->passes == 1) {
    s->code[0] = machine_compile(p, true, NULL);
    return STATUS_OK;
  }
  MachineCode plain = machine_compile(p, false, NULL);
  MachinePlan plan = plan_of(s, &plain, 0);
  plan.steps = 0;
  plan.record = false;
  Machine run;
  Status status = machine_run(&plan, &run, &s->failed_at);
  double *rounding = mem_new((size_t)p->op_count, sizeof *rounding);
  for (int k = 0; k < s->passes; k++) {
    for (int i = 0; i < p->op_count && status == STATUS_OK; i++) {
      double scale = p->ops[i].kind == OP_MAP ? run.scale[p->ops[i].src[0]] : 0;
      rounding[i] = fraction[k] * (scale > 0 ? scale : 1);
    }
    s->code[k] = machine_compile(p, true, rounding);
  }
  free(rounding);
  machine_code_free(p, &plain);
  if (status == STATUS_OK) machine_free(&run);
  return status;
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

static void run_one(Noise *s, int replicate) {
  for (int k = 0; k < s->passes; k++) {
    MachinePlan plan = plan_of(s, &s->code[k], replicate);
    Machine m;
    int failed_at = 0;
    Status status = machine_run(&plan, &m, &failed_at);
    if (status == STATUS_OK) {
      bool fine = read_run(s, &m, s->passes > 1 ? weight[k] : 1, s->variance[replicate]);
      bool stopped = s->options.stop && *s->options.stop;
      if (!fine) status = stopped ? STATUS_INTERRUPTED : STATUS_LIMIT;
      machine_free(&m);
    }
    if (status == STATUS_OK) continue;
#pragma omp critical
    {
      s->status = status;
      s->failed_at = failed_at;
    }
    return;
  }
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

Status solve_system_fluctuations(const Program *program, const SolveOptions *options,
                                 Result **result, char **why) {
  double start = run_clock();
  int samples = options->samples > 0 ? options->samples : USUAL;
  Noise s = {.program = program,
             .options = *options,
             .T = (size_t)options->steps,
             .paths = (size_t)(samples / REPLICATES > 32 ? samples / REPLICATES : 32)};
  *result = NULL;
  s.sobol = mem_new(SOBOL_DIMS * s.paths, sizeof *s.sobol);
  sobol_table(SOBOL_DIMS, s.paths, s.sobol);
  for (int f = 0; f < program->system->field_count; f++) s.total += s.T * field_size(&s, f);
  s.variance = mem_new(REPLICATES, sizeof *s.variance);
  for (int j = 0; j < REPLICATES; j++) s.variance[j] = mem_new(s.total + 1, sizeof **s.variance);
  s.status = compile(&s);
#pragma omp parallel for schedule(dynamic, 1) num_threads(options->threads)
  for (int j = 0; j < REPLICATES; j++)
    if (s.status == STATUS_OK) run_one(&s, j);
  Status status = explain(&s, why);
  if (status == STATUS_OK) {
    Result *r = result_new("fluctuations");
    Array *t = array_new(1, &s.T);
    for (size_t k = 0; t && k < s.T; k++) t->data[k] = (double)k;
    result_note(r, "system", "%s", program->system->name);
    result_note(r, "steps", "%zu", s.T);
    result_add(r, "t", 0, "t", "the step", t, NULL);
    bool fine = t && fill(&s, r);
    result_note(r, "samples", "%zu", s.paths * REPLICATES);
    result_note(r, "seed", "%llu", (unsigned long long)options->seed);
    result_note(r, "seconds", "%.6g", run_clock() - start);
    if (fine)
      *result = r;
    else
      result_drop(r);
    if (!fine) status = STATUS_LIMIT;
  }
  for (int j = 0; j < REPLICATES; j++) free(s.variance[j]);
  free(s.variance);
  free(s.sobol);
  for (int k = 0; k < s.passes; k++)
    if (s.code[k].maps) machine_code_free(program, &s.code[k]);
  return status;
}
