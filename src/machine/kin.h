/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Matrices that are Gaussian together with a random matrix, entry by entry: its velocity and its
 * average over the steps, where noise enters them. In a step they become
 *
 *     V <- beta V - drag W + kick Xi,   W <- keep W + push V + noise Xi,   A <- average A + (1 -
 * average) W
 *
 * with one Xi of independent entries, so that they are L Z, with three independent matrices Z. What
 * they learn is apart from this. */
#ifndef DMF_MACHINE_KIN_H
#define DMF_MACHINE_KIN_H

#include "field/program.h"

typedef enum Relative { KIN_WEIGHTS, KIN_VELOCITY, KIN_AVERAGE, KIN } Relative;

/* Whether the matrices of a program have kin of their own: else velocity and average are made of
 * the same start. */
bool kin_there(const Program *program, const Matrix *matrix);

/* What each becomes: of W, V, A and Xi. */
typedef struct KinStep {
  double of[KIN][KIN + 1];
} KinStep;
KinStep kin_step(const Move *move);
/* L [KIN, KIN], lower triangular, one step on. */
void kin_advance(const KinStep *step, double root[KIN][KIN]);

#endif
