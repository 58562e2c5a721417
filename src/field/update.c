/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From the optimizer of a problem to what a step does to a matrix. */
#include "base/memory.h"
#include "field/program.h"

#include <math.h>

Update update_of(const Problem *problem) {
  bool flow = problem->optimizer == OPT_FLOW;
  Update update = {.steps = problem->steps,
                   .rate = mem_new((size_t)problem->steps, sizeof(double)),
                   .weight = problem->batch,
                   .momentum = problem->beta,
                   .nesterov = problem->optimizer == OPT_NESTEROV,
                   .decay = problem->decay,
                   .temperature = problem->temperature,
                   .integrates = flow && problem->decay == 0 && problem->temperature == 0};
  for (int t = 0; t < problem->steps; t++)
    update.rate[t] = problem->eta[t] * (flow ? problem->dt : 1);
  return update;
}

Move move_of(const Program *program, const Matrix *matrix, int t, double gamma) {
  const Update *update = &program->update;
  double rate = update->rate[t] * matrix->rate, beta = update->momentum;
  bool plain = beta == 0;
  return (Move){.noise = sqrt(2 * rate * update->temperature),
                .beta = beta,
                .keep = 1 - update->decay * update->rate[t] * matrix->decay,
                .push = plain ? 0 : rate * gamma * (update->nesterov ? beta : 1),
                .pull = plain || update->nesterov ? rate * gamma : 0};
}
