/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The mean of a finite network minus that of an infinite one, N (E f_N - f), to leading order.
 *
 * A network of width S is a functional F of S independent neurons (condition.h), and
 * E F(S) = F + c / S. Two networks A and B of width S, and the one of width 2S made of the neurons
 * of both, differ by
 *
 *     F(A and B) - (F(A) + F(B)) / 2,   of mean -c / (2S)
 *
 * in which what is linear in the neurons cancels: its scatter is of order 1/S like its mean, where
 * that of F itself is of order 1/sqrt(S). */
#include "solve/shift.h"
#include "base/memory.h"
#include "num/stats.h"
#include "solve/observe.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

/* What one network gives: f [T+1, R, C], the losses [T+1] of training and test points, and the
 * tangent kernel [T+1, P, P]. */
typedef struct Measured {
  double *f, *loss, *test_loss, *ntk;
  double *whole; /* all of them in one block */
} Measured;

static size_t f_size(Sizes z) { return z.steps * z.all * z.outputs; }
static size_t ntk_size(Sizes z) { return z.steps * z.points * z.points; }
static size_t whole_size(Sizes z) { return f_size(z) + 2 * z.steps + ntk_size(z); }

static Measured parts_of(double *whole, Sizes z) {
  double *loss = whole + f_size(z);
  return (Measured){whole, loss, loss + z.steps, loss + 2 * z.steps, whole};
}

static void measure(const ShiftPlan *plan, const Condition *c, double *whole) {
  Sizes z = sizes_of(plan->program);
  Measured m = parts_of(whole, z);
  for (size_t t = 0; t < z.steps; t++) {
    const double *f = tape_data(c->tape, c->f[t]);
    for (size_t i = 0; i < z.all * z.outputs; i++)
      m.f[t * z.all * z.outputs + i] = f[i % z.outputs * z.all + i / z.outputs];
    condition_ntk(plan->program, c, t, m.ntk + t * z.points * z.points);
  }
  observe_loss(plan->program, z, plan->compiled, m.f, m.loss, m.test_loss);
}

/* The network of the neurons first .. first+count-1 of this pair. */
static Status run_part(const ShiftPlan *plan, int pair, size_t first, size_t count, double *whole) {
  ConditionPlan part = {.program = plan->program,
                        .code = plan->code,
                        .noise = {.kind = NOISE_PLAIN,
                                  .S = count,
                                  .first = first,
                                  .seed = plan->seed,
                                  .number = (uint64_t)pair},
                        .gamma = plan->gamma,
                        .tol = 1e-6,
                        .parts = plan->parts,
                        .lazy = plan->lazy,
                        .steps = plan->program->problem->steps,
                        .stop = plan->stop};
  Condition run;
  int failed_at;
  Status status = condition_run(&part, &run, &failed_at);
  if (status != STATUS_OK) return status;
  measure(plan, &run, whole);
  condition_free(plan->program, &run);
  return STATUS_OK;
}

double shift_bytes(const ShiftPlan *plan) {
  Sizes z = sizes_of(plan->program);
  size_t moves = z.steps * (size_t)stages_of(plan->program, plan->parts);
  return plan->threads * condition_bytes(plan->program, 2 * plan->width, plan->lazy ? 1 : moves) +
         8.0 * (double)whole_size(z) * (plan->pairs + 2 * plan->threads + 4);
}

static Status run_pair(const ShiftPlan *plan, int pair, double *shift) {
  size_t S = plan->width, n = whole_size(sizes_of(plan->program));
  double *halves = mem_block(2 * n);
  if (!halves) return STATUS_LIMIT;
  Status status = run_part(plan, pair, 0, S, halves);
  if (status == STATUS_OK) status = run_part(plan, pair, S, S, halves + n);
  if (status == STATUS_OK) status = run_part(plan, pair, 0, 2 * S, shift);
  for (size_t i = 0; i < n && status == STATUS_OK; i++)
    shift[i] = -2 * (double)S * (shift[i] - (halves[i] + halves[n + i]) / 2);
  free(halves);
  return status;
}

Status shift_run(const ShiftPlan *plan, double *mean, double *error) {
  size_t n = whole_size(sizes_of(plan->program));
  double *shifts = mem_block((size_t)plan->pairs * n);
  Moments moments = {0};
  Status status = shifts && moments_start(&moments, n, 2) ? STATUS_OK : STATUS_LIMIT;
  int done = 0;
#pragma omp parallel for schedule(dynamic, 1) num_threads(plan->threads)
  for (int pair = 0; pair < plan->pairs; pair++) {
    if (status != STATUS_OK) continue;
    Status own = run_pair(plan, pair, shifts + (size_t)pair * n);
    if (own != STATUS_OK) {
#pragma omp critical
      status = own;
    }
    int now;
#pragma omp atomic capture
    now = ++done;
    if (plan->progress && omp_get_thread_num() == 0)
      plan->progress(plan->sink, "mean shift", now, plan->pairs);
  }
  for (int pair = 0; pair < plan->pairs && status == STATUS_OK; pair++)
    moments_add(&moments, shifts + (size_t)pair * n);
  if (status == STATUS_OK) moments_mean(&moments, mean, error);
  moments_free(&moments);
  free(shifts);
  return status;
}

static bool fill_f(Result *result, Sizes z, const double *mean, const double *error) {
  size_t n = f_size(z);
  double *split = mem_block(2 * n + 2), *e = split + n,
         *test = split + z.steps * z.points * z.outputs,
         *test_e = e + z.steps * z.points * z.outputs;
  if (!split) return false;
  observe_split(z, mean, split, test);
  observe_split(z, error, e, test_e);
  bool fine = field_fill(result, FIELD_MEAN_SHIFT_F, 0, z, split, e);
  if (fine && z.all > z.points)
    fine = field_fill(result, FIELD_MEAN_SHIFT_F_TEST, 0, z, test, test_e);
  free(split);
  return fine;
}

Status shift_solve(const ShiftPlan *plan, Result *result) {
  Sizes z = sizes_of(plan->program);
  size_t n = whole_size(z);
  double *mean = mem_block(n), *error = mem_block(n);
  Status status = mean && error ? shift_run(plan, mean, error) : STATUS_LIMIT;
  if (status == STATUS_OK) {
    Measured m = parts_of(mean, z), e = parts_of(error, z);
    bool fine = fill_f(result, z, m.f, e.f) &&
                field_fill(result, FIELD_MEAN_SHIFT_LOSS, 0, z, m.loss, e.loss) &&
                field_fill(result, FIELD_MEAN_SHIFT_NTK, 0, z, m.ntk, e.ntk);
    if (fine && plan->program->problem->test_targets)
      fine = field_fill(result, FIELD_MEAN_SHIFT_TEST_LOSS, 0, z, m.test_loss, e.test_loss);
    if (!fine) status = STATUS_LIMIT;
  }
  free(mean);
  free(error);
  return status;
}

void shift_promise(const Program *program, Result *result) {
  Sizes z = sizes_of(program);
  field_promise(result, FIELD_MEAN_SHIFT_F, 0);
  if (z.all > z.points) field_promise(result, FIELD_MEAN_SHIFT_F_TEST, 0);
  field_promise(result, FIELD_MEAN_SHIFT_LOSS, 0);
  if (program->problem->test_targets) field_promise(result, FIELD_MEAN_SHIFT_TEST_LOSS, 0);
  field_promise(result, FIELD_MEAN_SHIFT_NTK, 0);
}
