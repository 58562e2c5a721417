/* SPDX-License-Identifier: GPL-3.0-or-later */
/* In coordinates (linear programs) the directions of condition.h need not move with the fields. A
 * first run, the scout, finds orthonormal directions that span the means of all fields of all
 * times; they are then constants, in coordinates that are orthonormal at any N. The image of each
 * starts as
 *
 *     chi = sigma n + sigma <q_x m> q_y,     xi = sigma m + sigma <q_y n> q_x
 *
 * with n and m as tape_fresh has them, and learns as the image of a known input does. What
 * fluctuates out of these directions has images that no mean sees, but they return, since W W^T is
 * one there: with the response A_ab of x_a to what is added to W^T y_b,
 *
 *     W x_a = <x_a q_x> chi + <rest xi> q_y + sum over earlier b of A_ab (rest of y_b)
 *
 * and the same with x and y exchanged. Responses are numbers of the mean, measured by a second run
 * of the scout with a column for every vector that a matrix met. Nothing is divided by the size of
 * what a field adds to a basis, so directions can be kept down to rounding. */
#ifndef DMF_SOLVE_FRAME_H
#define DMF_SOLVE_FRAME_H

#include "field/program.h"

#include <stddef.h>

/* What a scout found of one side of a matrix between populations: directions q [rank, columns] in
 * the coordinates that are in use; the new coordinate that the image of each brought, on the other
 * side; how many directions the other side had before; and for each move the responses of what is
 * met here to the images of all that the other side met before, [rows, rows before]. */
typedef struct FrameSide {
  double *q;
  int *axis, *known;
  size_t rank;
  double **response; /* [moves] */
} FrameSide;
typedef struct Frame {
  FrameSide *x, *y; /* [matrix] */
  size_t columns, moves;
} Frame;
void frame_free(const Program *program, Frame *frame);

#endif
