/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/rounded.h"
#include "base/memory.h"

#include <stdlib.h>

/* The widths, as fractions of what a kink reads. */
static const double fraction[MAX_PASSES] = {0.1, 0.2, 0.4};
const double rounded_weight[MAX_PASSES] = {8. / 3, -2, 1. / 3},
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
  MachineCode plain = machine_compile(p, false, NULL);
  Machine run;
  plan.code = &plain;
  plan.steps = 0;
  plan.record = false;
  Status status = machine_run(&plan, &run, failed_at);
  double *rounding = mem_new((size_t)p->op_count, sizeof *rounding);
  for (*passes = 0; *passes < MAX_PASSES && status == STATUS_OK; ++*passes) {
    for (int i = 0; i < p->op_count; i++) {
      double scale = p->ops[i].kind == OP_MAP ? run.scale[p->ops[i].src[0]] : 0;
      rounding[i] = fraction[*passes] * (scale > 0 ? scale : 1);
    }
    code[*passes] = machine_compile(p, true, rounding);
  }
  free(rounding);
  machine_code_free(p, &plain);
  if (status == STATUS_OK) machine_free(&run);
  return status;
}
