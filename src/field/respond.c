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
#include "field/program.h"

#include <stdlib.h>

typedef struct Reach {
  const Program *p;
  bool *from; /* [variable]: depends on the noise under study */
} Reach;

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
  for (int k = 0; k < r->p->matrix_count; k++) {
    const Matrix *m = &r->p->matrices[k];
    if (m->weights != own->weights) continue;
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
  while (spread(r)) continue;
  return met >= 0 && r->from[met];
}

void find_responses(Program *p) {
  Reach r = {p, mem_new((size_t)p->variable_count, sizeof *r.from)};
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
      if (*responds || !depends(&r, op, op->kind == OP_APPLY ? m->y : m->x)) continue;
      more = *responds = true;
    }
  }
  free(r.from);
}

void find_uniform(Program *p) {
  for (int i = 0; i < p->op_count; i++) {
    const Op *op = &p->ops[i];
    bool alike = is_product(op) || op->kind == OP_MAP || op->kind == OP_ROWS || op->kind == OP_SEED;
    for (int k = 0; k < op->src_count; k++) alike = alike && p->variables[op->src[k]].uniform;
    p->variables[op->dst].uniform = alike;
  }
}
