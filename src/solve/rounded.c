/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/rounded.h"
#include "base/memory.h"
#include "solve/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The widths, as fractions of what crosses a jump. */
static const double fraction[MAX_PASSES] = {0.1, 0.2, 0.4};
/* The weights that extrapolate to no rounding, to second order; and to first order. */
static const double rounded_weight[MAX_PASSES] = {8. / 3, -2, 1. / 3},
                    rounded_first_order[MAX_PASSES] = {2, -1, 0};

double rounded_share(int passes, int pass) { return passes > 1 ? rounded_weight[pass] : 1; }

Status rounded_compile(MachinePlan plan, bool kinks, MachineCode code[MAX_PASSES], int *passes,
                       int *failed_at) {
  const Program *p = plan.program;
  *passes = 1;
  if (!kinks) {
    code[0] = machine_compile(p, true, NULL);
    return STATUS_OK;
  }
  MachineCode plain = machine_compile(p, true, NULL);
  Machine run;
  plan.code = &plain;
  plan.sizes = true;
  Status status = machine_run(&plan, &run, failed_at);
  for (*passes = 0; *passes < MAX_PASSES && status == STATUS_OK; ++*passes)
    code[*passes] = machine_compile(p, true, &(Rounded){run.scale, fraction[*passes]});
  machine_code_free(p, &plain);
  if (status == STATUS_OK) machine_free(&run);
  return status;
}

void rounded_mean(int passes, int runs, const double *parts, size_t n, double *value, double *error,
                  double *last, double *moves) {
  double *x = mem_new((size_t)runs, sizeof *x);
  for (size_t i = 0; i < n; i++) {
    double mean = 0, squares = 0;
    last[i] = 0;
    for (int j = 0; j < runs; j++) {
      x[j] = 0;
      for (int k = 0; k < passes; k++) {
        double part = parts[(size_t)(k * runs + j) * n + i];
        x[j] += rounded_share(passes, k) * part;
        last[i] += passes > 1 ? (rounded_weight[k] - rounded_first_order[k]) * part / runs : 0;
      }
      mean += x[j] / runs;
    }
    for (int j = 0; j < runs; j++) squares += (x[j] - mean) * (x[j] - mean);
    value[i] = mean;
    error[i] = runs > 1 ? sqrt(squares / runs / (runs - 1)) * run_student(runs) : 0;
    for (int j = 0; j < runs && runs > 1 && moves; j++)
      moves[(size_t)j * n + i] = (x[j] - mean) / sqrt(runs - 1.0);
  }
  free(x);
}
