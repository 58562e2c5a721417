/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/enough.h"
#include "base/memory.h"
#include "solve/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_output(const ResultField *field) {
  return strcmp(field->name, field_row(FIELD_F)->name) == 0 ||
         strcmp(field->name, field_row(FIELD_F_TEST)->name) == 0;
}

/* The largest stated error of f and f_test, or of all that a system observes, at any time and
 * point. */
static double largest_error(const Result *result) {
  bool system = !result_find(result, field_row(FIELD_F)->name, 0);
  double most = 0;
  for (int k = 0; k < result->field_count; k++) {
    const ResultField *field = &result->fields[k];
    bool counts = field->error && (system || is_output(field));
    for (size_t i = 0; counts && i < field->error->size; i++)
      most = fmax(most, field->error->data[i]);
  }
  return most;
}

static double samples_of(const Result *result) {
  return result_number(result, "samples", INFINITY);
}

/* The samples that the error falls to what is asked for with, after this result of fewer; no more
 * than `most`. Errors fall somewhat faster than 1/sqrt(samples). */
static int samples_towards(const Result *result, const SolveOptions *options) {
  static const double order = 0.6, margin = 1.1, least = 1.5, largest = 16;
  double ratio = margin * pow(largest_error(result) / options->error, 1 / order);
  double samples = samples_of(result) * fmin(fmax(ratio, least), largest);
  return samples < options->most ? (int)samples : options->most;
}

/* What there is of an interrupted search: the last result that was whole. */
static void note_interruption(Result *result, char **why) {
  free(*why);
  *why = mem_format("%g samples", samples_of(result));
  result_note(result, "incomplete", "%s", *why);
}

Status enough_solve(EnoughSolver *solver, Program *program, const SolveOptions *options,
                    Result **result, char **why) {
  SolveOptions now = *options;
  double start = run_clock();
  Result *before = NULL;
  Status status = solver(program, &now, result, why);
  while (status == STATUS_OK && largest_error(*result) > options->error) {
    now.samples = samples_towards(*result, options);
    if (now.samples <= samples_of(*result)) break;
    result_drop(before);
    before = *result;
    *result = NULL;
    now.partial = false;
    status = solver(program, &now, result, why);
  }
  if (status == STATUS_LIMIT && before) {
    free(*why);
    *why = NULL;
    *result = result_keep(before);
    status = STATUS_OK;
  }
  if (status == STATUS_INTERRUPTED && before && options->partial) {
    *result = result_keep(before);
    note_interruption(*result, why);
  }
  result_drop(before);
  if (status == STATUS_OK) result_note(*result, "error", "%.17g", options->error);
  if (status == STATUS_OK) result_note(*result, "seconds", "%.6g", run_clock() - start);
  return status;
}

char *enough_caution(const Result *result) {
  double asked = result_number(result, "error", INFINITY), stated = largest_error(result);
  return stated > asked
             ? mem_format("the stated error is %.2g with %g samples, above the %.3g that "
                          "is asked for; a larger `most` allows for more",
                          stated, samples_of(result), asked)
             : NULL;
}
