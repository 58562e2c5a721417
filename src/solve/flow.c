/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/flow.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A step that is unstable in so many parts is refused. */
enum { MOST_PARTS = 64 };
/* The error of the integrator that is small enough, relative to the largest entry of a field. */
static const double small_enough = 1e-3;
/* A larger difference is not taken for sampling noise. */
static const double could_be_noise = 0.05;
/* Halving the parts of a method of third order leaves an eighth of its error: the difference d of
 * two runs is 7/8 of the error of the first and seven times that of the second. */
static const double of_coarse = 8. / 7, of_fine = 1. / 7;

static bool is_flow(const Program *program) { return program->update.flow; }

bool flow_chooses(const Program *program, const SolveOptions *options) {
  return is_flow(program) && options->parts == 0;
}

SolveOptions flow_plain(const Program *program, const SolveOptions *options) {
  SolveOptions plain = *options;
  if (flow_chooses(program, options)) plain.parts = 1;
  return plain;
}

/* The fields whose error is to be small: of theories and networks, and of fluctuations. */
static const char *const judged[] = {"f", "ntk", "var_f"};

/* The largest max |a - b| / max |b| of these fields, where they are there. */
static double distance(const Result *a, const Result *b) {
  double worst = 0;
  for (size_t k = 0; k < sizeof judged / sizeof *judged; k++) {
    const ResultField *x = result_find(a, judged[k], 0), *y = result_find(b, judged[k], 0);
    double most = 0, largest = 0;
    if (!x || !y || !x->value || !y->value) continue;
    for (size_t i = 0; i < x->value->size; i++) {
      most = fmax(most, fabs(x->value->data[i] - y->value->data[i]));
      largest = fmax(largest, fabs(y->value->data[i]));
    }
    if (largest > 0) worst = fmax(worst, most / largest);
  }
  return worst;
}

/* error <- |(error, factor (fine - coarse))| for every field that has an error, but for those whose
 * names are in `known`. */
static void add_error(Result *result, const Result *coarse, const Result *fine, double factor,
                      const bool *known) {
  for (int i = 0; i < result->field_count; i++) {
    const ResultField *field = &result->fields[i];
    const ResultField *a = result_find(coarse, field->name, field->layer),
                      *b = result_find(fine, field->name, field->layer);
    if ((known && known[i]) || !field->error || !a || !b || !a->value || !b->value) continue;
    Array *move = field->scatter ? array_new(field->value->rank, field->value->shape) : NULL;
    for (size_t k = 0; k < field->error->size; k++) {
      double off = factor * (b->value->data[k] - a->value->data[k]);
      field->error->data[k] = hypot(field->error->data[k], off);
      if (move) move->data[k] = off;
    }
    /* what the integrator does is common to all runs of its kind */
    if (move) scatter_add(field->scatter, scatter_id(result->kind, 0, 0, 1), 1, move);
  }
}

typedef struct Probe {
  FlowSolver *solver;
  Program *program;
  SolveOptions options; /* of the coarse run */
  Result *coarse, *fine;
} Probe;

static Probe probe_new(FlowSolver *solver, Program *program, const SolveOptions *options) {
  Probe probe = {.solver = solver, .program = program, .options = *options};
  probe.options.probe = true;
  probe.options.partial = false;
  return probe;
}

static void probe_clear(Probe *probe) {
  result_drop(probe->coarse);
  result_drop(probe->fine);
}

static Status run_in(const Probe *probe, int parts, Result **result, char **why) {
  SolveOptions options = probe->options;
  options.parts = parts;
  return probe->solver(probe->program, &options, result, why);
}

/* The first parts that are stable. */
static Status run_stable(Probe *probe, char **why) {
  int first = probe->options.first_parts;
  for (int parts = first > 1 ? first : 1;; parts *= 2) {
    probe->options.parts = parts;
    Status status = run_in(probe, parts, &probe->coarse, why);
    if (status != STATUS_NUMERICS || parts >= MOST_PARTS) return status;
    free(*why);
    *why = NULL;
  }
}

/* Halves the parts until the difference is small, or no longer falls: what is left is then sampling
 * noise, which the longer parts had as well. */
static Status refine(Probe *probe, char **why) {
  double last = INFINITY;
  Result *before = NULL;
  Status status = run_stable(probe, why);
  while (status == STATUS_OK) {
    int next = 2 * probe->options.parts;
    status = run_in(probe, next, &probe->fine, why);
    if (status != STATUS_OK) break;
    double now = of_coarse * distance(probe->coarse, probe->fine);
    if (last < could_be_noise && now > last / 2) {
      result_drop(probe->fine);
      probe->fine = probe->coarse;
      probe->coarse = before;
      probe->options.parts /= 2;
      return STATUS_OK;
    }
    if (now <= small_enough || next >= MOST_PARTS) break;
    last = now;
    result_drop(before);
    before = probe->coarse;
    probe->coarse = probe->fine;
    probe->fine = NULL;
    probe->options.parts = next;
  }
  result_drop(before);
  return status;
}

Status flow_solve(FlowSolver *solver, bool whole, Program *program, const SolveOptions *options,
                  Result **result, char **why) {
  *result = NULL;
  SolveOptions chosen = *options;
  double start = run_clock();
  if (program->update.temperature > 0) {
    chosen.parts = 1;
    return solver(program, &chosen, result, why);
  }
  Probe probe = probe_new(solver, program, options);
  Status status = refine(&probe, why);
  if (status == STATUS_OK && whole) {
    *result = result_keep(probe.fine);
    ((Origin *)(*result)->origin)->options.probe = false;
  } else if (status == STATUS_OK) {
    chosen.parts = probe.options.parts;
    status = solver(program, &chosen, result, why);
  }
  if (*result) {
    Origin *origin = (*result)->origin;
    add_error(*result, probe.coarse, probe.fine, whole ? of_fine : of_coarse, NULL);
    result_note(*result, "parts", "%d", origin->options.parts);
    result_note(*result, "seconds", "%.6g", run_clock() - start);
    flow_origin(solver, whole, *result);
    if (status == STATUS_OK) { /* else the probes may have other steps */
      origin->coarse = result_keep(probe.coarse);
      origin->fine = whole ? NULL : result_keep(probe.fine);
    }
  }
  probe_clear(&probe);
  return status;
}

/* The probes of a result that was read from a file. */
static Status probe_again(Origin *origin, char **why) {
  int parts = origin->options.parts;
  Probe probe = probe_new(origin->solver, origin->program, &origin->options);
  Status status = run_in(&probe, origin->whole ? parts / 2 : parts, &origin->coarse, why);
  if (status == STATUS_OK && !origin->whole) status = run_in(&probe, 2 * parts, &origin->fine, why);
  return status;
}

/* The error of the fields that were left out. */
static Status complete(Result *result, const char *name, char **why) {
  Origin *origin = result->origin;
  bool *known = mem_new((size_t)result->field_count, sizeof *known);
  for (int i = 0; i < result->field_count; i++) known[i] = result->fields[i].value != NULL;
  Status status = origin->late(result, name, why);
  if (status == STATUS_OK && !origin->coarse) status = probe_again(origin, why);
  if (status == STATUS_OK) status = result_complete(origin->coarse, name, why);
  if (status == STATUS_OK && origin->fine) status = result_complete(origin->fine, name, why);
  if (status == STATUS_OK)
    add_error(result, origin->coarse, origin->fine ? origin->fine : result,
              origin->fine ? of_coarse : of_fine, known);
  if (!result_lacks(result, NULL)) {
    result_drop(origin->coarse);
    result_drop(origin->fine);
    origin->coarse = origin->fine = NULL;
  }
  free(known);
  return status;
}

void flow_origin(FlowSolver *solver, bool whole, Result *result) {
  Origin *origin = result->origin;
  const char *parts = result_attribute(result, "parts");
  if (!is_flow(origin->program)) return;
  if (parts) origin->options.parts = atoi(parts);
  if (origin->options.parts == 0) origin->options.parts = 1;
  if (!result->complete || origin->program->update.temperature > 0) return;
  origin->solver = solver;
  origin->whole = whole;
  origin->late = result->complete;
  result->complete = complete;
}

Status flow_numbers(const Origin *origin, FlowNumbers *numbers, void *sink, size_t n, double *value,
                    double *error, char **why) {
  SolveOptions options = origin->options;
  Status status = numbers(sink, &options, value, error, why);
  if (status != STATUS_OK || !is_flow(origin->program) || origin->program->update.temperature > 0)
    return status;
  double *coarse = mem_block(2 * n), *fine = mem_block(2 * n);
  options.probe = !origin->whole;
  options.parts = origin->whole ? origin->options.parts / 2 : origin->options.parts;
  if (!coarse || !fine) status = STATUS_LIMIT;
  if (status == STATUS_OK) status = numbers(sink, &options, coarse, coarse + n, why);
  options.parts *= 2;
  if (status == STATUS_OK && !origin->whole) status = numbers(sink, &options, fine, fine + n, why);
  const double *better = origin->whole ? value : fine;
  for (size_t i = 0; i < n && status == STATUS_OK; i++)
    error[i] = hypot(error[i], (origin->whole ? of_fine : of_coarse) * (better[i] - coarse[i]));
  free(coarse);
  free(fine);
  return status;
}
