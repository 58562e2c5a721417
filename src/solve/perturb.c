/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/perturb.h"

#include <math.h>
#include <stddef.h>

bool perturb_applies(const Program *program) {
  for (int i = 0; i < program->op_count; i++)
    if (program->ops[i].kind == OP_MAP && !expr_is_smooth(program->ops[i].expr)) return false;
  return true;
}

enum { NODES = 6 };

static double node_gamma(const MarchPlan *plan, int k) {
  double a = (plan->program->linear ? 0.02 : 0.2) / (plan->program->layers + 1);
  return (k % 2 ? -a : a) * (k / 2 + 1);
}

/* The weight of node k in q0 + gamma^2 q2. */
static double node_weight(const MarchPlan *plan, int k) {
  double square[3], gamma = plan->gamma;
  for (int i = 0; i < 3; i++) square[i] = pow(node_gamma(plan, 2 * i), 2);
  double x = square[k / 2], y = square[(k / 2 + 1) % 3], z = square[(k / 2 + 2) % 3];
  return 0.5 * (y * z - gamma * gamma * (y + z)) / ((x - y) * (x - z));
}

/* The blocks of a record in two families: what is even in gamma, and the responses, which are
 * recorded as gamma A and are odd. Visits each with its length. */
typedef void Visit(double *x, const double *y, size_t n, double weight);

static void scale(double *x, const double *y, size_t n, double weight) {
  (void)y;
  for (size_t i = 0; i < n; i++) x[i] *= weight;
}

static void add(double *x, const double *y, size_t n, double weight) {
  for (size_t i = 0; i < n; i++) x[i] += weight * y[i];
}

static void visit(const Program *p, MarchRecord *r, const MarchRecord *other, Visit *act,
                  double even, double odd) {
  Sizes z = sizes_of(p);
  size_t kernel = z.steps * z.all * z.all;
  act(r->f, other->f, z.steps * z.all * z.outputs, even);
  act(r->ntk, other->ntk, z.steps * z.points * z.points, even);
  double **x[] = {r->x_kernel,  r->y_kernel,   r->x_history,
                  r->y_history, r->x_response, r->y_response};
  double **y[] = {other->x_kernel,  other->y_kernel,   other->x_history,
                  other->y_history, other->x_response, other->y_response};
  for (int b = 0; b < 6; b++)
    for (int k = 0; k < p->matrix_count; k++)
      if (x[b][k]) act(x[b][k], y[b][k], b < 2 ? kernel : kernel * z.steps, b < 4 ? even : odd);
}

Status perturb_run(const MarchPlan *plan, int replicate, MarchRecord *record, int *failed_at) {
  const Program *p = plan->program;
  *record = (MarchRecord){0};
  for (int k = 0; k < NODES; k++) {
    MarchPlan small = *plan;
    MarchRecord node;
    small.gamma = node_gamma(plan, k);
    Status status = march_run(&small, replicate, &node, failed_at);
    if (status != STATUS_OK) {
      if (record->f) march_record_free(p, record);
      return status;
    }
    double weight = node_weight(plan, k);
    visit(p, &node, &node, scale, weight, weight * plan->gamma / small.gamma);
    if (record->f) {
      visit(p, record, &node, add, 1, 1);
      record->flops += node.flops;
      march_record_free(p, &node);
    } else {
      *record = node;
    }
  }
  return STATUS_OK;
}
