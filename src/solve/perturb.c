/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/perturb.h"

#include <math.h>
#include <stddef.h>

bool perturb_applies(const Program *program) {
  for (int i = 0; i < program->op_count; i++)
    if (program->ops[i].kind == OP_MAP && !expr_is_smooth(program->ops[i].expr)) return false;
  return true;
}

static double node_gamma(const Program *program, int k) {
  double a = (program->linear ? 0.02 : 0.2) / (program->layers + 1);
  return (k % 2 ? -a : a) * (k / 2 + 1);
}

/* The weight of node k in q0 + gamma^2 q2. */
static double node_weight(const Program *program, int k) {
  double square[3], gamma = program->problem->gamma;
  for (int i = 0; i < 3; i++) square[i] = pow(node_gamma(program, 2 * i), 2);
  double x = square[k / 2], y = square[(k / 2 + 1) % 3], z = square[(k / 2 + 2) % 3];
  return 0.5 * (y * z - gamma * gamma * (y + z)) / ((x - y) * (x - z));
}

/* sum (or, for the first, in place) of what is even in gamma, and of the responses, which are
 * recorded as gamma A and are odd. */
static void accumulate(Trace *sum, const Trace *node, double even, double odd) {
  size_t outputs = sum->steps * rows_of(sum->program, sum->program->f);
  for (size_t k = 0; k < outputs; k++)
    sum->f[k] = (sum == node ? 0 : sum->f[k]) + even * node->f[k];
  for (int i = 0; i < sum->count; i++) {
    Entry *to = &sum->entries[i];
    bool response = to->field == FIELD_A || to->field == FIELD_B;
    double weight = response ? odd : even, keep = sum == node ? 0 : 1;
    size_t n = to->size * (to->pairs ? 1 : sum->steps);
    for (size_t k = 0; k < n; k++)
      to->data[k] = keep * to->data[k] + weight * node->entries[i].data[k];
  }
}

RunEnd perturb_run(const Program *program, RunAt *run, void *sink, Trace *record) {
  RunEnd end = {.status = STATUS_OK};
  *record = (Trace){0};
  for (int k = 0; k < PERTURB_NODES; k++) {
    double gamma = node_gamma(program, k), weight = node_weight(program, k);
    Trace node, *whole = k == 0 ? record : &node;
    end = run(sink, gamma, whole);
    if (end.status != STATUS_OK) {
      if (k > 0) trace_free(record);
      return end;
    }
    accumulate(record, whole, weight, weight * program->problem->gamma / gamma);
    if (k == 0) continue;
    record->flops += node.flops;
    trace_free(&node);
  }
  return end;
}
