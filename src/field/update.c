/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From the optimizer of a problem to what a step does to a matrix. */
#include "base/memory.h"
#include "field/program.h"

#include <math.h>
#include <string.h>

enum { STAGES = 3 };

static Psi psi_of(const Problem *problem) {
  Psi psi = {
      .beta1 = problem->beta1, .beta2 = problem->beta2, .eps = problem->eps, .c1 = 1, .c2 = 1};
  switch (problem->optimizer == OPT_MUON ? problem->other : problem->optimizer) {
  case OPT_ADAM:
  case OPT_ADAMW: psi.corrected = true; /* fall through */
  case OPT_RMSPROP: psi.kind = PSI_ROOT; break;
  case OPT_SIGNUM: psi.beta2 = psi.beta1; /* fall through */
  case OPT_LION: psi.kind = PSI_SIGN; break;
  case OPT_GD:
  case OPT_FLOW:
  case OPT_MOMENTUM:
  case OPT_NESTEROV:
  case OPT_UNDERDAMPED:
  case OPT_SGD:
  case OPT_ONLINE:
  case OPT_MUON:
  case OPT_GROUPS:
  case OPT_NORMALIZED: break;
  }
  return psi;
}

Update update_of(const Problem *problem) {
  bool flow = problem->optimizer == OPT_FLOW;
  return (Update){.steps = problem->steps,
                  .eta = problem->eta,
                  .dt = flow ? problem->dt : 1,
                  .weight = problem->batch,
                  .momentum = problem->beta,
                  .nesterov = problem->nesterov || problem->optimizer == OPT_NESTEROV,
                  .clip = problem->clip,
                  .normalized = problem->optimizer == OPT_NORMALIZED,
                  .decay = problem->decay,
                  .temperature = problem->temperature,
                  .average = problem->ema,
                  .inert = problem->optimizer == OPT_UNDERDAMPED,
                  .flow = flow,
                  .psi = psi_of(problem),
                  .polar = {problem->optimizer == OPT_MUON, problem->exact, problem->polar_eps},
                  .other_rate = problem->other_eta};
}

double update_rate(const Update *update, int t) { return update->eta[t] * update->dt; }

int stages_of(const Program *program, int parts) {
  return program->update.flow ? STAGES * parts : 1;
}

bool update_remembers(const Update *update) {
  return update->momentum > 0 || update->flow || update->inert;
}

bool move_remembers(const Move *move) { return move->push != 0 || move->beta != 0; }

bool update_scales(const Update *update) { return update->normalized || update->clip > 0; }

bool is_entrywise(const Program *program) { return program->update.psi.kind != PSI_ITSELF; }

const Update *update_for(const Program *p, const Matrix *matrix) {
  return matrix->group ? &p->groups[matrix->group - 1] : &p->update;
}

bool moves_by_entries(const Program *p, const Matrix *matrix) {
  const Update *update = update_for(p, matrix);
  return update->psi.kind != PSI_ITSELF && !(update->polar.on && is_wide_matrix(p, matrix));
}

static bool is_along(const Update *update) {
  return update->psi.kind == PSI_ITSELF && !update->polar.on;
}

bool follows_gradients(const Program *p) {
  bool all = is_along(&p->update);
  for (int k = 0; k < p->group_count; k++) all = all && is_along(&p->groups[k]);
  return all;
}

static bool is_standard(const Program *program) {
  return program->problem->parameterization == PARAM_STANDARD;
}

/* The operator s W / sqrt(fan) of each part of a sum, with the factor s in front, gains s eta gamma
 * times a polar factor; in the standard parameterization s W gains s eta times it. */
static Move polar_move(const Program *program, const Matrix *matrix, double eta, double decay,
                       double gamma) {
  const Update *update = update_for(program, matrix);
  double scale = is_standard(program) ? gamma : 1;
  Move move = {.beta = update->momentum,
               .keep = 1 - decay,
               .push = eta * matrix->decay * gamma / scale * matrix->factor,
               .nesterov = update->nesterov,
               .polar = update->polar};
  move.polar.eps /= matrix->factor * scale * standard_ratio(program);
  return move;
}

/* The factor in front of a matrix scales the gradients of its entries, and what these do. In the
 * standard parameterization, where gamma = 1 / sqrt(r N), entries W and w of operators and of f = w
 * . x move by eta psi(- d loss / dW): what O is in units of these, and what the steps are in units
 * of eta gamma, which is one for readouts. */
static Move entrywise_move(const Program *program, const Matrix *matrix, double rate, double decay,
                           int t, double gamma) {
  const Psi *psi = &update_for(program, matrix)->psi;
  Move move = {.keep = 1 - decay,
               .pull = rate * gamma / matrix->factor,
               .factor = matrix->factor,
               .psi = *psi};
  double ratio = standard_ratio(program);
  bool readout = program->spaces[matrix->to].kind == SPACE_OUTPUT;
  move.pull /= ratio;
  if (is_standard(program) && readout)
    move.factor = ratio;
  else if (is_standard(program))
    move.factor *= gamma * ratio, move.pull /= gamma;
  if (psi->corrected) {
    move.psi.c1 = 1 - pow(psi->beta1, t + 1);
    move.psi.c2 = 1 - pow(psi->beta2, t + 1);
  }
  return move;
}

/* Stage k of W' = O - a W over one part, in units of it: V <- A_k V + O, W <- W + B_k V for
 * e^{a tau} W, whose derivative knows no decay, at the times c_k. The noise of an
 * Ornstein-Uhlenbeck process is added behind the last stage. */
static Move flow_move(double part, double decay, double temperature, int k, double gamma) {
  static const double A[STAGES] = {0, -5. / 9, -153. / 128},
                      B[STAGES] = {1. / 3, 15. / 16, 8. / 15},
                      c[STAGES + 1] = {0, 1. / 3, 3. / 4, 1};
  double keep = exp(-decay * (c[k + 1] - c[k])), before = k ? exp(-decay * (c[k] - c[k - 1])) : 1,
         lasting = decay > 0 ? -expm1(-2 * decay) / (2 * decay) : 1;
  return (Move){.noise = k == STAGES - 1 ? sqrt(2 * part * temperature * lasting) : 0,
                .beta = A[k] * before,
                .keep = keep,
                .push = keep * B[k] * part * gamma};
}

/* The noise of a step, sqrt(2 (1 - beta) eta T) as it moves weights, and their decay enter V, which
 * moves them at the same step. */
static Move inert_move(double beta, double rate, double decay, double temperature, double gamma) {
  double speed = rate * gamma, noise = sqrt(2 * (1 - beta) * rate * temperature);
  return (Move){.beta = beta,
                .keep = 1,
                .push = speed,
                .drag = speed > 0 ? decay / speed : 0,
                .kick = speed > 0 ? noise / speed : 0};
}

static Move move_itself(const Program *program, const Matrix *matrix, Instant at, double gamma) {
  const Update *update = update_for(program, matrix);
  bool other = update->polar.on && !is_wide_matrix(program, matrix);
  double eta = other ? update->other_rate[at.t] : update_rate(update, at.t),
         rate = eta * matrix->rate, beta = other ? 0 : update->momentum,
         decay = update->decay * eta * matrix->decay,
         temperature = update->temperature / standard_ratio(program); /* of a rate with r in it */
  if (update->polar.on && !other) return polar_move(program, matrix, eta, decay, gamma);
  if (update->flow)
    return flow_move(rate / at.parts, decay / at.parts, temperature, at.stage % STAGES, gamma);
  if (moves_by_entries(program, matrix))
    return entrywise_move(program, matrix, rate, decay, at.t, gamma);
  if (update->inert) return inert_move(beta, rate, decay, temperature, gamma);
  bool plain = beta == 0;
  return (Move){.noise = sqrt(2 * rate * temperature),
                .beta = beta,
                .keep = 1 - decay,
                .push = plain ? 0 : rate * gamma * (update->nesterov ? beta : 1),
                .pull = plain || update->nesterov ? rate * gamma : 0};
}

Move move_of(const Program *program, const Matrix *matrix, Instant at, double gamma) {
  Move move = move_itself(program, matrix, at, gamma);
  bool behind = at.stage == stages_of(program, at.parts) - 1;
  move.average = behind && program->update.average > 0 ? program->update.average : 1;
  return move;
}

double *coefficients_of(const Program *p, const Matrix *matrix, int parts, double gamma,
                        size_t coefficient) {
  int stages = stages_of(p, parts), count = p->problem->steps * stages;
  double *series = mem_try((size_t)count + 1, sizeof *series);
  for (int i = 0; series && i <= count && count; i++) {
    int at = i < count ? i : count - 1;
    Move move = move_of(p, matrix, (Instant){at / stages, at % stages, parts}, gamma);
    memcpy(&series[i], (const char *)&move + coefficient, sizeof *series);
  }
  return series;
}

void program_shorten(Program *p, int steps) { p->update.steps = p->problem->steps = steps; }
