/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How large the parts of a program are. */
#include "field/program.h"
#include "num/linalg.h"

#include <math.h>
#include <string.h>

bool is_tied(const Program *p, const Matrix *m) {
  const Matrix *root = &p->matrices[m->weights];
  return p->spaces[m->to].kind == SPACE_OUTPUT && p->spaces[root->from].kind == SPACE_INPUT;
}

static bool has_lasting_law(const Program *p, const Matrix *m) {
  Law law = p->matrices[m->weights].law;
  return law == LAW_ORTHOGONAL || (law != LAW_NORMAL && !is_wide_matrix(p, m));
}

bool program_has_law(const Program *p, bool narrow) {
  for (int k = 0; k < p->matrix_count; k++) {
    const Matrix *m = &p->matrices[k];
    bool lasts = has_lasting_law(p, m);
    if (narrow ? p->matrices[m->weights].law != LAW_NORMAL && !lasts : lasts) return true;
  }
  return false;
}

/* Vectors of a tied readout are part of what it reads. */
bool starts_at_zero(const Program *p) {
  for (int k = 0; k < p->matrix_count; k++)
    if (fabs(p->matrices[k].mean) > 0 || is_tied(p, &p->matrices[k])) return false;
  return true;
}

Sizes sizes_of(const Program *program) {
  const Problem *p = program->problem;
  if (!p) return (Sizes){0};
  return (Sizes){(size_t)p->steps + 1, (size_t)p->points, (size_t)(p->points + p->tests),
                 (size_t)p->outputs};
}

bool is_wide(const Program *p, int space) {
  return space != NO_SPACE && p->spaces[space].kind == SPACE_WIDE;
}

bool is_wide_variable(const Program *p, int v) { return is_wide(p, p->variables[v].space); }

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
  if (v->space == NO_SPACE || !p->problem) return (size_t)v->rows;
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
    if (is_wide_variable(p, v) && rows_of(p, v) > most) most = rows_of(p, v);
  return most;
}

/* Whether the rows of x are those of the features: themselves, or each in its place. */
static bool is_straight(const Program *p, const Matrix *m) {
  for (int i = 0; i < p->op_count && m->x != m->features; i++) {
    const Op *op = &p->ops[i];
    if (op->dst != m->x || op->kind != OP_ROWS || op->src[0] != m->features) continue;
    const RowMap *map = &p->row_maps[op->rows];
    bool same = map->to == map->from;
    for (int k = 0; k < map->to && same; k++)
      same = map->begin[k + 1] == k + 1 && map->source[k] == k && map->weight[k] == 1;
    return same;
  }
  return m->x == m->features;
}

bool is_product(const Op *op) { return op->kind == OP_APPLY || op->kind == OP_APPLY_T; }

const Op *op_of(const Program *p, int matrix, OpKind kind) {
  for (int i = 0; i < p->op_count; i++)
    if (p->ops[i].kind == kind && p->ops[i].matrix == matrix) return &p->ops[i];
  return NULL;
}

/* Whether a matrix, or another use of it, acts as its transpose in the forward pass. */
static bool is_transposed(const Program *p, const Matrix *m) {
  for (int i = 0; i < p->forward_count; i++)
    if (p->ops[i].kind == OP_APPLY_T && p->matrices[p->ops[i].matrix].weights == m->weights)
      return true;
  return false;
}

int response_matrix(const Program *p, int layer) {
  const Matrix *level = &p->matrices[p->phi_matrix[layer]];
  for (int k = 0; k < p->matrix_count; k++) {
    const Matrix *m = &p->matrices[k];
    if (m->x >= 0 && m->features == level->features && m->to == level->to && is_wide_matrix(p, m) &&
        is_straight(p, m) && !is_transposed(p, m) && m->law != LAW_ORTHOGONAL &&
        p->problem->outputs == 1 && follows_gradients(p) && !update_for(p, m)->inert)
      return k;
  }
  return -1;
}

int response_layers(const Program *p) {
  if (p->couples) return 0;
  for (int l = 1; l < p->layers; l++)
    if (response_matrix(p, l) < 0) return 0;
  return p->layers - 1;
}

const char *lacks_responses(const Program *p) {
  bool inert = p->update.inert;
  for (int k = 0; k < p->group_count; k++) inert = inert || p->groups[k].inert;
  if (response_layers(p) > 0) return NULL;
  if (!follows_gradients(p))
    return "its optimizer does not follow gradients: what an entry learned is no sum of fields, "
           "and does not respond through these alone";
  if (p->layers < 2) return "the chain has a single layer";
  for (int k = 0; k < p->matrix_count; k++)
    if (p->matrices[k].law == LAW_ORTHOGONAL)
      return "an orthogonal matrix takes back what it gave, and does not only respond to noise";
  if (inert) return "the noise and the decay of its optimizer enter the velocity";
  if (p->couples) return "points depend on each other, by means over a batch";
  if (p->problem->outputs > 1) return "there are several outputs";
  return "between two layers no matrix acts forward alone on all positions as they are: there is a "
         "stride, a pool or a transpose";
}

const double *gram_of(const Program *p, const Matrix *m) {
  const Array *gram = p->spaces[m->from].gram;
  return gram ? gram->data : NULL;
}

size_t thin_vectors(const Program *p, const Matrix *m) {
  Sizes z = sizes_of(p);
  const Space *from = &p->spaces[m->from];
  return from->kind == SPACE_INPUT ? rows_of(p, m->x) + (size_t)from->units : z.outputs;
}

const double *vectors_of(const Program *p, const Matrix *m, size_t *dimension) {
  const Array *vectors = p->spaces[m->from].vectors;
  *dimension = vectors ? vectors->shape[1] : 1;
  return vectors ? vectors->data : NULL;
}

/* As the initial entries see them, which differs where these have scales of their own. */
static const double *start_gram_of(const Program *p, const Matrix *m) {
  return m->start ? m->start->data : gram_of(p, m);
}

int thin_root(const Program *p, const Matrix *m, double *root) {
  size_t k = thin_vectors(p, m);
  if (start_gram_of(p, m)) return mat_root(k, start_gram_of(p, m), root);
  bool input = p->spaces[m->from].kind == SPACE_INPUT;
  memset(root, 0, k * k * sizeof *root);
  for (size_t i = 0; i < k; i++) root[i * k + (input ? 0 : i)] = 1;
  return input ? 1 : (int)k;
}
