/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "machine/kin.h"

#include <math.h>
#include <string.h>

bool kin_there(const Program *p, const Matrix *matrix) {
  const Update *update = update_for(p, matrix);
  bool averages = update->average > 0 && update->temperature > 0;
  return matrix->rate != 0 && (update->inert || averages);
}

KinStep kin_step(const Move *move) {
  double rest = 1 - move->average, V[KIN + 1] = {-move->drag, move->beta, 0, move->kick},
         W[KIN + 1] = {move->keep, 0, 0, move->noise};
  KinStep step = {0};
  for (int k = 0; k <= KIN; k++) {
    W[k] += move->push * V[k]; /* 0 of V where nothing enters it */
    step.of[KIN_WEIGHTS][k] = W[k];
    step.of[KIN_VELOCITY][k] = V[k];
    step.of[KIN_AVERAGE][k] = rest * W[k] + (k == KIN_AVERAGE ? move->average : 0);
  }
  return step;
}

/* The root of a positive semidefinite matrix, columns of rounding left out. */
static void root_of(double C[KIN][KIN], double root[KIN][KIN]) {
  static const double rounding = 1e-13;
  memset(root, 0, sizeof(double[KIN][KIN]));
  for (int j = 0; j < KIN; j++) {
    double left = C[j][j];
    for (int k = 0; k < j; k++) left -= root[j][k] * root[j][k];
    if (left <= rounding * C[j][j]) continue;
    root[j][j] = sqrt(left);
    for (int i = j + 1; i < KIN; i++) {
      double sum = C[i][j];
      for (int k = 0; k < j; k++) sum -= root[i][k] * root[j][k];
      root[i][j] = sum / root[j][j];
    }
  }
}

void kin_advance(const KinStep *step, double root[KIN][KIN]) {
  double own[KIN][KIN + 1] = {{0}}, C[KIN][KIN] = {{0}};
  for (int i = 0; i < KIN; i++) {
    for (int k = 0; k < KIN; k++)
      for (int j = 0; j < KIN; j++) own[i][j] += step->of[i][k] * root[k][j];
    own[i][KIN] = step->of[i][KIN];
  }
  for (int i = 0; i < KIN; i++)
    for (int k = 0; k < KIN; k++)
      for (int j = 0; j <= KIN; j++) C[i][k] += own[i][j] * own[k][j];
  root_of(C, root);
}
