/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "machine/outer.h"
#include "num/linalg.h"

#include <string.h>

size_t outer_rows(const Program *p, int root) {
  size_t rows = 0;
  for (int k = root; k < p->matrix_count; k++)
    if (p->matrices[k].weights == root && p->matrices[k].x >= 0)
      rows += training_rows(p, &p->matrices[k]) / sizes_of(p).outputs;
  return rows;
}

/* sum_c force_{mu c} y_{mu c}, [rows of x, S_to]. */
static void weigh(const Machine *m, const Matrix *use, View force, size_t to, double *out) {
  size_t C = sizes_of(m->p).outputs;
  const double *f = tape_data(m->tape, force), *y = tape_data(m->tape, m->value[use->learns]);
  size_t ld = tape_stride(m->tape, m->value[use->learns]);
  memset(out, 0, force.rows / C * to * sizeof *out);
  for (size_t k = 0; k < force.rows; k++) axpy(to, f[k], y + k * ld, out + k / C * to);
}

void outer_products(const Machine *m, int root, const View *force, int uses, double *y,
                    Outer *products) {
  const Program *p = m->p;
  for (int use = root, k = 0; use < p->matrix_count && k < uses; use++) {
    const Matrix *matrix = &p->matrices[use];
    size_t to = tape_columns(m->tape, m->population[matrix->to]);
    if (matrix->weights != root || matrix->x < 0) continue;
    size_t rows = force[k].rows / sizes_of(p).outputs;
    weigh(m, matrix, force[k], to, y);
    View x = m->value[matrix->x];
    products[k++] = (Outer){y, tape_data(m->tape, x), rows, to, tape_stride(m->tape, x)};
    y += rows * to;
  }
}
