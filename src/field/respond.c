/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is found out about a program once it is whole.
 *
 * Which matrices respond: whether what a matrix meets on one side was made, neuron by neuron, from
 * the noise that it sent there from the other side. Populations meet through averages alone, so a
 * dependence runs within a population: through maps, through what matrices learned along a field,
 * and through responses themselves.
 *
 * Which variables have the same rows at all points: what flows backward through linear maps. */
#include "base/memory.h"
#include "base/work.h"
#include "field/program.h"

#include <stdlib.h>

typedef struct Reach {
  const Program *p;
  bool *from;       /* [variable]: depends on the noise under study */
  int *first, *use; /* [matrix]: of weights, and after each, of its uses; -1 behind the last */
} Reach;

static Reach reach_new(const Program *p) {
  size_t matrices = (size_t)p->matrix_count + 1;
  Reach r = {p, mem_new((size_t)p->variable_count + 1, sizeof *r.from),
             mem_new(matrices, sizeof *r.first), mem_new(matrices, sizeof *r.use)};
  for (int k = 0; k < p->matrix_count; k++) r.first[k] = -1;
  for (int k = p->matrix_count - 1; k >= 0; k--) {
    int *first = &r.first[p->matrices[k].weights];
    r.use[k] = *first;
    *first = k;
  }
  return r;
}

static bool reach(Reach *r, int from, int to) {
  if (from < 0 || !r->from[from] || r->from[to]) return false;
  return r->from[to] = true;
}

/* The vector that a use of a matrix learned along, on the population where its image by another use
 * arrives: there is one population where the matrix has a thin side. */
static int learned_along(const Program *p, const Matrix *use, bool forward) {
  if (!is_wide_matrix(p, use)) forward = is_wide(p, use->to);
  return forward ? use->learns : use->x;
}

/* Through what all uses of a matrix learned, and met on the other side; what is used more than once
 * responds always. */
static bool spread_by_matrix(Reach *r, const Op *op) {
  const Matrix *own = &r->p->matrices[op->matrix];
  bool forward = op->kind == OP_APPLY, more = false;
  for (int k = r->first[own->weights]; k >= 0 && !r->from[op->dst]; k = r->use[k]) {
    const Matrix *m = &r->p->matrices[k];
    bool responds = m != own || (forward ? m->responds_x : m->responds_y);
    if (m->rate != 0) more |= reach(r, learned_along(r->p, m, forward), op->dst);
    if (responds) more |= reach(r, forward ? m->y : m->x, op->dst);
  }
  return more;
}

/* One round of propagation; false when nothing is new. */
static bool spread(Reach *r) {
  bool more = false;
  for (int i = 0; i < r->p->op_count; i++) {
    const Op *op = &r->p->ops[i];
    if (is_product(op))
      more |= spread_by_matrix(r, op);
    else if (op->dst >= 0 && is_wide_variable(r->p, op->dst))
      for (int k = 0; k < op->src_count; k++) more |= reach(r, op->src[k], op->dst);
  }
  return more;
}

/* Whether `met` depends on the noise that arrives in the result of op. */
static bool depends(Reach *r, const Op *op, int met) {
  for (int v = 0; v < r->p->variable_count; v++) r->from[v] = v == op->dst;
  while (met >= 0 && !r->from[met] && spread(r)) continue;
  return met >= 0 && r->from[met];
}

/* What is left where somebody wants out (base/work.h) does not count. */
void find_responses(Program *p) {
  Reach r = reach_new(p);
  for (int k = 0; k < p->matrix_count; k++)
    if (p->matrices[k].law == LAW_ORTHOGONAL)
      p->matrices[k].responds_x = p->matrices[k].responds_y = true;
  for (bool more = true; more;) {
    more = false;
    for (int i = 0; i < p->op_count; i++) {
      const Op *op = &p->ops[i];
      Matrix *m = &p->matrices[op->matrix];
      if (!is_product(op) || !is_wide_matrix(p, m)) continue;
      bool *responds = op->kind == OP_APPLY ? &m->responds_y : &m->responds_x;
      if (work_stopped()) break;
      if (*responds || !depends(&r, op, op->kind == OP_APPLY ? m->y : m->x)) continue;
      more = *responds = true;
    }
  }
  free(r.from);
  free(r.first);
  free(r.use);
}

void find_uniform(Program *p) {
  for (int i = 0; i < p->op_count; i++) {
    const Op *op = &p->ops[i];
    bool alike = is_product(op) || op->kind == OP_MAP || op->kind == OP_ROWS || op->kind == OP_SEED;
    for (int k = 0; k < op->src_count; k++) alike = alike && p->variables[op->src[k]].uniform;
    p->variables[op->dst].uniform = alike;
  }
}
