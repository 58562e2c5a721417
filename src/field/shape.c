/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How large the parts of a program are. */
#include "field/program.h"
#include "num/linalg.h"

#include <string.h>

Sizes sizes_of(const Program *program) {
  const Problem *p = program->problem;
  return (Sizes){(size_t)p->steps + 1, (size_t)p->points, (size_t)(p->points + p->tests),
                 (size_t)p->outputs};
}

bool is_wide(const Program *p, int space) {
  return space != NO_SPACE && p->spaces[space].kind == SPACE_WIDE;
}

bool is_wide_matrix(const Program *p, const Matrix *m) {
  return is_wide(p, m->from) && is_wide(p, m->to);
}

double tangent_share(const Program *p, const Matrix *m) {
  return is_wide(p, m->to) ? p->spaces[m->to].ratio : 1 / p->spaces[m->from].ratio;
}

double backward_share(const Program *p, const Matrix *m) {
  double from = p->spaces[m->from].ratio;
  return is_wide(p, m->to) ? p->spaces[m->to].ratio / from : 1 / (from * from);
}

size_t rows_of(const Program *p, int variable) {
  const Variable *v = &p->variables[variable];
  if (v->space == NO_SPACE) return (size_t)v->rows;
  bool output = p->spaces[v->space].kind == SPACE_OUTPUT;
  return sizes_of(p).all * (size_t)v->positions * (v->backward || output ? sizes_of(p).outputs : 1);
}

static size_t positions_of(const Program *p, const Matrix *m) {
  return (size_t)p->variables[m->y].positions;
}

size_t training_rows(const Program *p, const Matrix *m) {
  Sizes z = sizes_of(p);
  return z.points * positions_of(p, m) * z.outputs;
}

size_t rows_per_x(const Program *p, const Matrix *m) {
  return p->variables[m->x].backward ? 1 : sizes_of(p).outputs;
}

size_t most_rows(const Program *p) {
  size_t most = 0;
  for (int v = 0; v < p->variable_count; v++)
    if (is_wide(p, p->variables[v].space) && rows_of(p, v) > most) most = rows_of(p, v);
  return most;
}

bool has_responses(const Program *p, int matrix) {
  const Matrix *m = &p->matrices[matrix];
  for (int k = 0; k < p->matrix_count; k++)
    if (k != matrix && p->matrices[k].weights == m->weights) return false;
  return is_wide_matrix(p, m) && m->features == m->x && p->variables[m->x].positions == 1 &&
         p->problem->outputs == 1 && follows_gradients(p);
}

int response_layers(const Program *p) {
  for (int l = 1; l < p->layers; l++)
    if (!has_responses(p, p->phi_matrix[l])) return 0;
  return p->layers - 1;
}

const double *gram_of(const Program *p, const Matrix *m) {
  const Array *gram = p->spaces[m->from].gram;
  return gram ? gram->data : NULL;
}

size_t thin_vectors(const Program *p, const Matrix *m) {
  Sizes z = sizes_of(p);
  return p->spaces[m->from].kind == SPACE_INPUT ? rows_of(p, m->x) : z.outputs;
}

const double *vectors_of(const Program *p, const Matrix *m, size_t *dimension) {
  const Array *vectors = p->spaces[m->from].vectors;
  *dimension = vectors ? vectors->shape[1] : 1;
  return vectors ? vectors->data : NULL;
}

int thin_root(const Program *p, const Matrix *m, double *root) {
  size_t k = thin_vectors(p, m);
  if (gram_of(p, m)) return mat_root(k, gram_of(p, m), root);
  bool input = p->spaces[m->from].kind == SPACE_INPUT;
  memset(root, 0, k * k * sizeof *root);
  for (size_t i = 0; i < k; i++) root[i * k + (input ? 0 : i)] = 1;
  return input ? 1 : (int)k;
}
