/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/mixed.h"
#include "base/memory.h"
#include "num/linalg.h"
#include "solve/lazy.h"

#include <math.h>
#include <stdlib.h>

/* The kernels that replicates measured. */
typedef struct Sampled {
  Program *program;
  InitialKernels replicate[MOST_RUNS];
  int count;
  size_t paths;
  bool starved; /* a kernel could not be had */
} Sampled;

/* ---- sets of kernels ---- */

static void look(void *sink, int number, double *const *fields, size_t n, size_t ld) {
  Sampled *s = sink;
  if (!initial_measure(s->program, fields, n, ld, &s->replicate[number])) s->starved = true;
}

static Status sample(Program *program, const SolveOptions *options, Sampled *s, char **why) {
  static const double TOL = 1e-4; /* of a run that ends before directions can feed back */
  *s = (Sampled){.program = program};
  if (options->samples < FEWEST_SAMPLES) {
    *why = mem_format("samples = %d is too few: at least %d", options->samples, FEWEST_SAMPLES);
    return STATUS_SCRIPT;
  }
  SolveOptions full = *options;
  full.closure = CLOSURE_FULL;
  if (full.tol == 0 && !program_reuses(program) && starts_at_zero(program)) full.tol = TOL;
  Snapshot snapshot = {.variable = -1, .step = 0, .look = look, .sink = s};
  Status status = solve_paths_to(program, &full, &snapshot, &s->paths, &s->count, why);
  return status == STATUS_OK && s->starved ? run_refuse(why, 0) : status;
}

static void release(Sampled *s) {
  for (int j = 0; j < MOST_RUNS; j++)
    if (s->replicate[j].x) initial_free(s->program, &s->replicate[j]);
}

/* The tables [rows, cols] of a matrix or, as the last two, of a pair of uses. */
enum { TABLES = 5, OF_PAIRS = 3 };

static double **tables_of(const InitialKernels *kernels, int which) {
  double **const all[TABLES] = {kernels->x, kernels->y, kernels->features, kernels->cross_x,
                                kernels->cross_y};
  return all[which];
}

static size_t table_size(const Program *p, int which, int index) {
  bool pair = which >= OF_PAIRS, y = which % OF_PAIRS == 1;
  size_t size = 1;
  for (int side = 0; side < 2; side++) {
    int k = !pair ? index : side ? index % p->matrix_count : index / p->matrix_count;
    const Matrix *m = &p->matrices[k];
    int variable = which == 2 ? m->features : y ? m->y : m->x;
    size *= sizes_of(p).all * (size_t)p->variables[variable].positions;
  }
  return size;
}

/* The mean over all replicates but one (-1: over all); NULL stands for what could not be had. */
static InitialKernels mean_without(const Sampled *s, int without) {
  const Program *p = s->program;
  double weight = 1.0 / (without < 0 ? s->count : s->count - 1);
  InitialKernels mean = initial_tables(p);
  for (int which = 0; which < TABLES; which++)
    for (int i = 0; i < p->matrix_count * (which < OF_PAIRS ? 1 : p->matrix_count); i++) {
      if (!tables_of(&s->replicate[0], which)[i]) continue;
      size_t n = table_size(p, which, i);
      double *out = tables_of(&mean, which)[i] = mem_try(n, sizeof *out);
      for (int j = 0; j < s->count && out; j++)
        if (j != without) axpy(n, weight, tables_of(&s->replicate[j], which)[i], out);
    }
  return mean;
}

/* ---- the jackknife ---- */

/* The error of n numbers whose values without each replicate are given, entry i at times
 * i / (n / steps). */
static void jackknife(int count, size_t steps, size_t n, const double *const *without,
                      double *error) {
  for (size_t i = 0; i < n; i++) {
    double mean = 0, squares = 0;
    for (int j = 0; j < count; j++) mean += without[j][i] / count;
    for (int j = 0; j < count; j++) squares += pow(without[j][i] - mean, 2);
    error[i] = hypot(error[i], sqrt(squares * (count - 1) / count) * run_student(count));
  }
  run_moderate(steps, n / steps, NULL, error);
}

/* Adds the errors of all fields of a result; those that are lacking without a replicate have
 * none that is known. */
static void add_errors(Result *result, Result *const *without, int count, size_t steps) {
  for (int i = 0; i < result->field_count; i++) {
    ResultField *field = &result->fields[i];
    const double *parts[MOST_RUNS];
    bool known = field->value && field->error;
    for (int j = 0; known && j < count; j++) {
      const ResultField *part = result_find(without[j], field->name, field->layer);
      known = part && part->value;
      if (known) parts[j] = part->value->data;
    }
    if (!known) continue;
    size_t n = field->value->size;
    bool timed = field->value->rank > 0 && field->value->shape[0] == steps;
    jackknife(count, timed ? steps : 1, n, parts, field->error->data);
  }
}

Status mixed_solve(Program *program, const SolveOptions *options, Result **result, char **why) {
  double began = run_clock();
  Sampled s;
  Result *without[MOST_RUNS] = {NULL};
  Status status = sample(program, options, &s, why);
  for (int j = -1; status == STATUS_OK && j < s.count; j++) {
    InitialKernels kernels = mean_without(&s, j);
    status = lazy_solve(program, options, &kernels, j < 0 ? result : &without[j], why);
    initial_free(program, &kernels);
  }
  if (status == STATUS_OK) {
    add_errors(*result, without, s.count, sizes_of(program).steps);
    (*result)->exact = false;
    result_note(*result, "samples", "%zu", s.paths * (size_t)s.count);
    result_note(*result, "replicates", "%d", s.count);
    result_note(*result, "seed", "%llu", (unsigned long long)options->seed);
    result_note(*result, "seconds", "%.6g", run_clock() - began);
  } else {
    result_drop(*result);
    *result = NULL;
  }
  for (int j = 0; j < s.count; j++) result_drop(without[j]);
  release(&s);
  return status;
}

/* ---- two-time kernels ---- */

static bool fill(Result *result, const Sampled *s, const InitialKernels *mean,
                 const InitialKernels *without, FieldId id, int layer) {
  Sizes z = sizes_of(s->program);
  double *value = lazy_kernel(s->program, mean, id, layer), *parts[MOST_RUNS],
         *error = mem_try(z.all * z.all, sizeof *error);
  bool fine = value && error;
  for (int j = 0; j < s->count; j++) {
    parts[j] = lazy_kernel(s->program, &without[j], id, layer);
    fine &= parts[j] != NULL;
  }
  if (fine) jackknife(s->count, 1, z.all * z.all, (const double *const *)parts, error);
  fine = fine && lazy_fill(result, z, id, layer, value, error);
  for (int j = 0; j < s->count; j++) free(parts[j]);
  free(value);
  free(error);
  return fine;
}

Status mixed_complete(Result *result, char **why) {
  const Origin *origin = result->origin;
  Program *program = origin->program;
  Sampled s;
  InitialKernels mean, without[MOST_RUNS];
  Status status = sample(program, &origin->options, &s, why);
  if (status != STATUS_OK) {
    release(&s);
    return status;
  }
  mean = mean_without(&s, -1);
  for (int j = 0; j < s.count; j++) without[j] = mean_without(&s, j);
  bool fine = true;
  for (int l = 1; fine && l <= program->layers; l++)
    fine = fill(result, &s, &mean, without, FIELD_PHI, l) &&
           fill(result, &s, &mean, without, FIELD_G, l);
  for (int j = 0; j < s.count; j++) initial_free(program, &without[j]);
  initial_free(program, &mean);
  release(&s);
  Sizes z = sizes_of(program);
  return fine ? STATUS_OK : run_refuse(why, 16 * pow((double)(z.steps * z.all), 2));
}
