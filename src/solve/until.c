/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/until.h"

#include <math.h>

/* Steps of the first attempt; each has twice as many as the last, and costs no more than all that
 * follow. */
enum { FIRST = 32 };
/* Steps in a row in which the loss has to change by less: where it turns it does so in a few. */
enum { STILL = 10 };

/* The end of the first such steps, or 0; *change is that of the last one that was looked at. */
static int end_of(const Result *result, double until, double *change) {
  const Array *loss = result_find(result, "loss", 0)->value;
  int still = 0;
  for (size_t t = 1; t < loss->size; t++) {
    *change = fabs(loss->data[t] - loss->data[t - 1]);
    still = *change < until ? still + 1 : 0;
    if (still == STILL) return (int)t;
  }
  return 0;
}

Status solve_until(SolveOnce *solver, Program *program, const SolveOptions *options, double *change,
                   Result **result, char **why) {
  int most = program->problem->steps, found = 0;
  SolveOptions probe = *options;
  probe.probe = true;
  probe.partial = false;
  Status status = STATUS_OK;
  for (int steps = FIRST; status == STATUS_OK && !found; steps *= 2) {
    bool last = steps >= most || steps > most / 2;
    program_shorten(program, last ? most : steps);
    Result *attempt = NULL;
    status = solver(program, &probe, &attempt, why);
    if (status == STATUS_OK) found = end_of(attempt, program->problem->until, change);
    result_drop(attempt);
    if (last) break;
  }
  if (found) program_shorten(program, found);
  return status == STATUS_OK ? solver(program, options, result, why) : status;
}
