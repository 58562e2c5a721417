/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The network whose weights are averages over the steps of training: its forward pass is that of
 * the program once more, with uses of the averages, from the first matrix on that has one. */
#include "base/memory.h"
#include "field/emit.h"

#include <stdlib.h>

static int averaged_use(Program *p, int use) {
  int k = add_matrix(p, mem_format("%s.mean", p->matrices[use].name), 0, 0, 0, 0);
  Matrix *m = &p->matrices[k];
  char *name = m->name;
  *m = p->matrices[use];
  m->name = name;
  m->averaged = true;
  m->x = m->y = m->learns = m->force = -1;
  return k;
}

static int averaged_variable(Program *p, int variable) {
  Variable like = p->variables[variable];
  int v =
      add_variable(p, mem_format("%s.mean", like.name), like.space, like.backward, like.positions);
  like.name = p->variables[v].name;
  p->variables[v] = like;
  return v;
}

int emit_averaged(Program *p) {
  int *twin = mem_new((size_t)p->variable_count + 1, sizeof *twin);
  for (int v = 0; v < p->variable_count; v++) twin[v] = v;
  for (int i = 0; i < p->forward_count; i++) {
    Op op = p->ops[i];
    bool acts = is_product(&op), other = acts;
    for (int k = 0; k < op.src_count; k++) {
      other = other || twin[op.src[k]] != op.src[k];
      op.src[k] = twin[op.src[k]];
    }
    if (!other) continue;
    if (acts) op.matrix = averaged_use(p, op.matrix);
    twin[op.dst] = averaged_variable(p, op.dst);
    op.dst = twin[op.dst];
    emit(p, op);
  }
  int output = twin[p->output];
  free(twin);
  return output;
}
