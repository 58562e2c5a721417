/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "machine/axes.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>

NoiseAxes noise_axes_new(const Program *p) {
  size_t spaces = (size_t)p->space_count, lists = 2 * (size_t)p->matrix_count;
  return (NoiseAxes){.known_of = mem_new(spaces + 1, sizeof(int)),
                     .count = mem_new(spaces + 1, sizeof(int)),
                     .size = mem_new(spaces + 1, sizeof(double *)),
                     .list = mem_new(lists + 1, sizeof(AxisList)),
                     .spaces = p->space_count,
                     .lists = (int)lists};
}

void noise_axes_free(NoiseAxes *axes) {
  for (int i = 0; i < axes->spaces; i++) free(axes->size[i]);
  for (int i = 0; i < axes->lists; i++) free(axes->list[i].axis);
  free(axes->known_of);
  free(axes->count);
  free(axes->size);
  free(axes->list);
  *axes = (NoiseAxes){0};
}

/* A new axis of the first run. */
static int add_axis(NoiseAxes *axes, int space, double size) {
  int axis = axes->count[space]++;
  axes->size[space] = mem_grow(axes->size[space], ((size_t)axis + 1) * sizeof(double));
  axes->size[space][axis] = size;
  return axis;
}

/* Noise along an axis, tilted: rows e_i and by e_i + sqrt(1 - by^2) e_j have the overlap by. */
static void put_axis(Machine *m, int space, int axis, double *row) {
  const Tilt *tilt = m->plan.tilt;
  double unit = sqrt((double)m->plan.columns);
  if ((size_t)axis >= m->plan.columns) {
    m->exhausted = true;
    return;
  }
  bool tilted = tilt && tilt->space == space && tilt->j == axis;
  row[axis] = unit;
  if (tilted && tilt->i == axis) {
    row[axis] = unit * sqrt(1 + tilt->by);
  } else if (tilted) {
    row[tilt->i] = unit * tilt->by;
    row[axis] = unit * sqrt(1 - tilt->by * tilt->by);
  }
}

static View new_noise(Machine *m, int space, View noise, const int *axis, size_t count) {
  size_t before = noise.rows;
  View grown = tape_grow(m->tape, noise, count);
  for (size_t k = 0; k < count && !tape_failed(m->tape); k++)
    put_axis(m, space, axis[k], tape_data(m->tape, view_rows(grown, before + k, 1)));
  return grown;
}

View axes_noise(Machine *m, int space, size_t count) {
  NoiseAxes *axes = m->plan.axes;
  int *axis = mem_new(count + 1, sizeof *axis);
  for (size_t k = 0; k < count; k++) {
    if (!axes->known) axes->known_of[space] = add_axis(axes, space, 1) + 1;
    axis[k] = m->noise_count[space]++;
  }
  View noise = new_noise(m, space, tape_wide(m->tape, m->population[space], 0, true), axis, count);
  free(axis);
  return noise;
}

/* The axis of a vector that was met: of the first run, or behind its axes. */
static int axis_of(Machine *m, NoiseOf of, int space, double size) {
  NoiseAxes *axes = m->plan.axes;
  AxisList *list = &axes->list[2 * of.matrix + of.back];
  if (!axes->known) {
    list->axis = mem_grow(list->axis, (of.met + 1) * sizeof *list->axis);
    while (list->count <= of.met) list->axis[list->count++] = -1;
    m->noise_count[space]++;
    return list->axis[of.met] = add_axis(axes, space, size);
  }
  if (of.met < list->count && list->axis[of.met] >= 0) return list->axis[of.met];
  return axes->count[space] - axes->known_of[space] + m->noise_count[space]++;
}

bool axes_draw(Machine *m, NoiseOf of, View *noise, size_t fresh) {
  const Matrix *matrix = &m->p->matrices[of.matrix];
  int space = of.back ? matrix->from : matrix->to, *axis = mem_new(fresh + 1, sizeof *axis);
  const Extended *from = tape_extended(m->tape);
  for (size_t k = 0; k < fresh && !tape_failed(m->tape); k++)
    axis[k] = axis_of(m, (NoiseOf){of.matrix, of.back, of.met + from[k].row}, space, from[k].size);
  *noise = new_noise(m, space, *noise, axis, fresh);
  free(axis);
  return false;
}
