/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/wishart.h"
#include "base/memory.h"
#include "base/team.h"
#include "machine/axes.h"
#include "num/linalg.h"
#include "solve/plan.h"
#include "solve/run.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Of tilts, at one, two and three times this: beyond it is the order h^6, below it rounding. */
static const double STEP = 0.02;
enum { DISTANCES = 3 };
/* Directions that tilted runs find matter by the square of their size, over that of the step. */
static const double TOL = 1e-6;
enum { FIRST_COLUMNS = 32, MOST_BLOCKS_OF_PAIRS = 64 };

/* The second derivative from the middle and the sums of both sides, of sixth and fourth order. */
static const double sixth[DISTANCES + 1] = {-49. / 18, 3. / 2, -3. / 20, 1. / 90},
                                      fourth[DISTANCES + 1] = {-5. / 2, 4. / 3, -1. / 12, 0};

typedef struct Pair {
  int space, i, j;
  bool weak; /* of a direction hardly larger than those that are left out */
} Pair;

/* What is summed over pairs: the shift, by how much a lower order differs, what weak pairs
 * contribute, and the size of all contributions. */
enum { SHIFT, ORDER, WEAK, SIZE, SUMS };

typedef struct Wishart {
  const United *networks;
  NoiseAxes axes;
  Pair *pairs;
  size_t pair_count, blocks, n, columns;
  double *middle; /* [n] */
  double *sums;   /* [blocks][SUMS][n] */
  double flops;   /* of a run */
  _Atomic Status status;
  atomic_int done;
} Wishart;

/* A run in coordinates, as many as it takes. It finds axes that are not known. */
static Status run(Wishart *s, double tol, const Tilt *tilt, size_t *columns, double *out,
                  double *flops) {
  int failed_at = -1;
  Status status = STATUS_LIMIT;
  for (; status == STATUS_LIMIT && failed_at < 0; *columns *= 2) {
    if (!s->axes.known) {
      noise_axes_free(&s->axes);
      s->axes = noise_axes_new(s->networks->program);
    }
    MachinePlan run = {.noise = {.kind = NOISE_COORDINATES},
                       .columns = *columns,
                       .tol = tol,
                       .axes = &s->axes,
                       .tilt = tilt};
    if (!mem_fits(united_run_bytes(s->networks, &run))) return STATUS_LIMIT;
    status = united_measure(s->networks, &run, out, flops, &failed_at);
  }
  *columns /= 2;
  return status;
}

/* The axes that the mean has, of directions larger than `tol`; and the middle, of all. */
static Status find_axes(Wishart *s, double tol) {
  s->axes.known = false;
  s->columns = FIRST_COLUMNS;
  Status status = run(s, tol, NULL, &s->columns, s->middle, &s->flops);
  s->axes.known = true;
  return status == STATUS_OK ? run(s, TOL, NULL, &s->columns, s->middle, &s->flops) : status;
}

static void find_pairs(Wishart *s, double tol) {
  static const double WEAK_BY = 10;
  size_t count = 0;
  for (int space = 0; space < s->axes.spaces; space++) {
    size_t n = (size_t)s->axes.count[space];
    s->pairs = mem_grow(s->pairs, (count + n * (n + 1) / 2 + 1) * sizeof *s->pairs);
    for (int j = 0; j < s->axes.count[space]; j++)
      for (int i = 0; i <= j; i++) {
        const double *size = s->axes.size[space];
        s->pairs[count++] = (Pair){space, i, j, fmin(size[i], size[j]) < WEAK_BY * tol};
      }
  }
  s->pair_count = count;
}

/* Whether all pairs take a minute or so. */
static bool affords(const Wishart *s) {
  static const double MOST = 3e11, OF_AN_OP = 2000; /* flops, and what an operation costs besides */
  const Program *p = s->networks->program;
  double run = s->flops + OF_AN_OP * p->op_count * (p->problem->steps + 1.0);
  return 2 * DISTANCES * (double)s->pair_count * run <= MOST;
}

/* Smaller and smaller directions are left out, while there is time. */
static Status prepare(Wishart *s, double *tol, bool *done) {
  static const double tols[] = {1e-4, 1e-3, 1e-2};
  Status status = STATUS_OK;
  *done = false;
  for (size_t k = 0; k < sizeof tols / sizeof *tols && status == STATUS_OK && !*done; k++) {
    *tol = tols[k];
    status = find_axes(s, *tol);
    if (status != STATUS_OK) break;
    find_pairs(s, *tol);
    *done = affords(s);
  }
  return (Status)crew_first(s->networks->options->crew, (int)status);
}

/* Adds what a pair contributes; `work` [2][n]. */
static Status add_pair(Wishart *s, const Pair *pair, double *sums, double *work) {
  size_t n = s->n;
  double share = pair->i == pair->j ? 1 : 0.5, *now = work + n,
         ratio = s->networks->program->spaces[pair->space].ratio;
  double unit = share / (ratio * STEP * STEP), *difference = work;
  Status status = STATUS_OK;
  for (size_t i = 0; i < n; i++) difference[i] = unit * sixth[0] * s->middle[i];
  axpy(n, unit * (sixth[0] - fourth[0]), s->middle, sums + ORDER * n);
  for (int k = -DISTANCES; k <= DISTANCES && status == STATUS_OK; k++) {
    if (k == 0) continue;
    Tilt tilt = {pair->space, pair->i, pair->j, k * STEP};
    size_t columns = s->columns;
    double flops;
    status = run(s, TOL, &tilt, &columns, now, &flops);
    axpy(n, unit * sixth[abs(k)], now, difference);
    axpy(n, unit * (sixth[abs(k)] - fourth[abs(k)]), now, sums + ORDER * n);
  }
  axpy(n, 1, difference, sums + SHIFT * n);
  if (pair->weak) axpy(n, 1, difference, sums + WEAK * n);
  for (size_t i = 0; i < n; i++) sums[SIZE * n + i] += fabs(difference[i]);
  return status;
}

static void make_block(void *context, size_t block) {
  Wishart *s = context;
  const SolveOptions *options = s->networks->options;
  double *work = mem_block(2 * s->n);
  Status status = work ? STATUS_OK : STATUS_LIMIT;
  for (size_t k = block; k < s->pair_count && crew_has(options->crew, (int)block); k += s->blocks) {
    if (s->status != STATUS_OK || status != STATUS_OK) break;
    status = add_pair(s, &s->pairs[k], s->sums + block * SUMS * s->n, work);
    run_tell(options, s->networks->stage, ++s->done, (int)s->pair_count, 0);
  }
  if (status != STATUS_OK) s->status = status;
  free(work);
}

static Status make_blocks(Wishart *s) {
  const SolveOptions *options = s->networks->options;
  s->blocks = s->pair_count < MOST_BLOCKS_OF_PAIRS ? s->pair_count : MOST_BLOCKS_OF_PAIRS;
  s->sums = mem_block(s->blocks * SUMS * s->n);
  s->status = s->sums ? STATUS_OK : STATUS_LIMIT;
  team_run(options->threads, s->blocks, make_block, s);
  Status status = (Status)crew_first(options->crew, (int)s->status);
  for (size_t k = 0; k < s->blocks && status == STATUS_OK; k++)
    crew_share(options->crew, (int)k, s->sums + k * SUMS * s->n, SUMS * s->n * sizeof *s->sums);
  return status;
}

/* What weak pairs contribute tells of those that are left out, which are smaller by the square. */
static void finish(const Wishart *s, double tol, double *mean, double *error) {
  static const double LEFT_OUT = 0.1;
  for (size_t i = 0; i < s->n; i++) {
    double sum[SUMS] = {0};
    for (size_t k = 0; k < s->blocks; k++)
      for (int j = 0; j < SUMS; j++) sum[j] += s->sums[(k * SUMS + (size_t)j) * s->n + i];
    mean[i] = sum[SHIFT];
    error[i] = fabs(sum[ORDER]) + LEFT_OUT * fabs(sum[WEAK]) + tol * tol * sum[SIZE];
  }
}

static void clean(Wishart *s) {
  noise_axes_free(&s->axes);
  free(s->pairs);
  free(s->middle);
  free(s->sums);
}

/* Of all pairs, which take about what the middle took. */
static double runs_of(const Wishart *s) { return 2 * DISTANCES * (double)s->pair_count; }

Status wishart_shift(const United *networks, double *mean, double *error, bool *done) {
  Wishart s = {.networks = networks, .n = networks->size};
  double tol;
  s.middle = mem_block(s.n);
  Status status = s.middle ? prepare(&s, &tol, done) : STATUS_LIMIT;
  if (status == STATUS_OK && *done) {
    status = make_blocks(&s);
    if (status == STATUS_OK) finish(&s, tol, mean, error);
    if (networks->flops) *networks->flops += runs_of(&s) * s.flops;
  }
  if (status == STATUS_NUMERICS) {
    status = STATUS_OK;
    *done = false;
  }
  clean(&s);
  return status;
}

bool wishart_plan(const United *networks, SolvePlan *plan) {
  Wishart s = {.networks = networks, .n = networks->size, .middle = mem_block(networks->size)};
  double tol, flops, start;
  bool done = false, fine = s.middle && prepare(&s, &tol, &done) == STATUS_OK && done;
  start = plan_clock();
  if (fine && run(&s, TOL, NULL, &s.columns, s.middle, &flops) == STATUS_OK) {
    plan->flops += runs_of(&s) * flops;
    plan->seconds += runs_of(&s) * (plan_clock() - start) / networks->options->threads;
  }
  clean(&s);
  return fine;
}
