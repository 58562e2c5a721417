/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Frames: what is known beforehand of the directions that the matrices of a linear program meet. */
#ifndef DMF_MACHINE_FRAMED_H
#define DMF_MACHINE_FRAMED_H

#include "machine/machine.h"

/* One side of a matrix between populations: directions q [rank, columns] in the coordinates that
 * are in use; the new coordinate that the image of each brought, on the other side; how many
 * directions the other side had before; how many vectors are met here in all; and, for each call,
 * the responses of the vectors met to the images of all that the other side met before, [rows, rows
 * before]. */
typedef struct FrameSide {
  double *q;
  int *axis, *known;
  size_t rank, met;
  size_t event; /* where responses to its images are measured: a passive column */
  double **response;
  size_t calls;
} FrameSide;

typedef struct Frame {
  int matrix_count;
  FrameSide *x, *y; /* [matrix] */
  size_t columns;   /* coordinates in use */
  size_t *events;   /* [space]: columns that measure responses takes */
  bool measures;    /* it does so in this run */
} Frame;

/* The frame of a linear program, found in two runs of a plan in coordinates, one for directions and
 * one for responses. Failures are those of machine_run; the frame is to be freed in any case. */
Status framed_scout(const MachinePlan *plan, Frame *frame, int *failed_at);
/* The passive columns of a population. */
size_t framed_passive(const Frame *frame, int space);
void frame_free(Frame *frame);

#endif
