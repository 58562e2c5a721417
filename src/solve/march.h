/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The causal march: one pass t = 0..T over a field program at infinite width (theory.md section 3,
 * The march).
 *
 * Each population is S sample paths of one neuron; a variable is an array [rows, S], and an average
 * over neurons is an average over paths. A matrix between populations is never formed. All that the
 * run can know of it are its products with the vectors it met, so it keeps orthonormal bases of
 * those vectors, q on each side, and fresh Gaussian noise eps for each basis vector:
 *
 *     W   x = sigma L_x eps_x + (sigma <x eps_y> + L_x M) q_y        x = L_x q_x
 *     W^T y = sigma L_y eps_y + (sigma <y eps_x> + L_y M^T) q_x      y = L_y q_y
 *
 * The first term is the Gaussian field u or r, whose covariance is the kernel <x x>. <x eps_y> is
 * the response of x to r, by Gaussian integration by parts: it is gamma A of the theory in this
 * basis, and <y eps_x> is gamma B, its equal-time part included. M is the learned part of the
 * matrix, and its velocity under momentum is another such table. Weight decay leaves the share a(t)
 * of the initial matrix: a sigma takes the place of sigma. Everything heavy is a product of [rows,
 * rank] and [rank, S] blocks.
 *
 * Alongside each variable runs its *free* twin, the same program with noise alone. Free forward
 * fields are independent of every r, free backward fields are linear in r: their products with the
 * noise have mean zero, and are subtracted from every response and from f as control variates.
 *
 * Linear programs need no sampling: a path is then a coordinate in the basis of all noise drawn so
 * far, each new noise vector a new coordinate, and the averages are exact sums. */
#ifndef DMF_SOLVE_MARCH_H
#define DMF_SOLVE_MARCH_H

#include "base/status.h"
#include "solve/solve.h"
#include "solve/step.h"

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

/* What all replicates of one solve share. */
typedef struct MarchPlan {
  const Program *program;
  size_t paths;     /* S */
  double gamma;     /* the problem's, unless the closure expands in it */
  int parts;        /* of a step of gradient flow: Instant */
  bool independent; /* gradient independence: no responses, f from the tangent kernel */
  double tol;       /* a direction is kept when it stands out by tol times the largest field */
  bool two_time;    /* keep what the two-time kernels and responses need */
  uint64_t seed;
  const uint32_t *sobol; /* [SOBOL_DIMS, S] */
  const Compiled *compiled;
  const Snapshot *snapshot;          /* or NULL */
  const volatile sig_atomic_t *stop; /* polled within a step; NULL: never */
  /* called at the start of each step; returns false to stop */
  bool (*step)(void *sink, int t);
  void *sink;
} MarchPlan;

/* What one replicate measured. R = points + tests. Kernels of matrix m: x_kernel[m] is <x x> of its
 * features, y_kernel[m] <y y> on its target side, at equal times, means over positions and outputs.
 */
typedef struct MarchRecord {
  double *f;         /* [T+1, R, C] */
  double *ntk;       /* [T+1, P, P] (mean over outputs) */
  double **x_kernel; /* [matrix] -> [T+1, R, R]; NULL for thin sides */
  double **y_kernel; /* [matrix] -> [T+1, R, R] (mean over outputs) */
  /* with two_time: */
  double **x_history, **y_history; /* [matrix] -> [T+1, R, T+1, R] */
  double **x_response,
      **y_response; /* gamma A, gamma B of matrix m, same shape; wide matrices only */
  double flops;
  int rank; /* the largest basis */
} MarchRecord;

/* Runs replicate number `replicate`. On failure *failed_at is the step and the record is empty;
 * STATUS_LIMIT means that memory ran out, or, for linear programs, that S is too small for the
 * coordinates needed (*failed_at is then -1). */
Status march_run(const MarchPlan *plan, int replicate, MarchRecord *record, int *failed_at);
void march_record_free(const Program *program, MarchRecord *record);

/* The replicates of the march of solve_dmft, up to the step of a snapshot, which sees each: at most
 * MOST_MARCHES, of so many paths. */
enum { MOST_MARCHES = 8 };
Status solve_march_to(Program *program, const SolveOptions *options, Snapshot *snapshot,
                      size_t *paths, int *replicates, char **why);

#endif
