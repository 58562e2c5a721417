/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which axis noise takes in coordinates, by what a matrix met when it was drawn. Runs whose fields
 * differ a little then have the same noise at the same places, although one of them may find
 * directions that another lacks. */
#ifndef DMF_MACHINE_AXES_H
#define DMF_MACHINE_AXES_H

#include "machine/machine.h"

/* Of one side of a matrix: the axis of each vector that was met, -1 where that brought none. */
typedef struct AxisList {
  int *axis;
  size_t count;
} AxisList;

typedef struct NoiseAxes {
  bool known;     /* found by a first run, and read from now on: by several threads */
  int *known_of;  /* [space]: thin matrices have the first of the axes */
  int *count;     /* [space]: the axes of the first run; what others meet comes behind these */
  double **size;  /* [space][count]: of a direction, relative to the vector that brought it */
  AxisList *list; /* [2 matrix + back] */
  int spaces, lists;
} NoiseAxes;

/* The sample covariance of noise on a population is not 1: axes i and j have the overlap `by`, or
 * i = j the mean square 1 + by. */
typedef struct Tilt {
  int space, i, j;
  double by;
} Tilt;

/* No axes yet, which the next run of a plan finds. */
NoiseAxes noise_axes_new(const Program *program);
void noise_axes_free(NoiseAxes *axes);

/* Noise of a matrix in images, whose side had met so many vectors before the last ones. */
typedef struct NoiseOf {
  int matrix;
  bool back;
  size_t met;
} NoiseOf;
/* `count` rows of noise on a population for a thin matrix; and of another one, behind those of
 * `noise`, for the last `fresh` directions: false, since nothing is made orthogonal. */
View axes_noise(Machine *m, int space, size_t count);
bool axes_draw(Machine *m, NoiseOf of, View *noise, size_t fresh);

#endif
