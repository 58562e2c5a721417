/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One network of width N, trained step by step exactly as the program says. Matrices between
 * populations are matrices; what they learned is kept as the outer products it is made of, and
 * folded into the matrix when those become many, so that a step costs two thin products rather than
 * an update of N x N numbers. Decay and momentum act on the coefficients of the products. */
#ifndef DMF_SOLVE_NETWORK_H
#define DMF_SOLVE_NETWORK_H

#include "base/status.h"
#include "solve/condition.h"

#include <stddef.h>
#include <stdint.h>

/* What all members of an ensemble share. */
typedef struct NetworkPlan {
  const Program *program;
  Sizes sizes;
  size_t width; /* N */
  double gamma; /* of the problem; 1/sqrt(N) in the NTK parameterization */
  uint64_t seed;
  int parts; /* of a step of gradient flow: Instant */
  bool two_time;
  const Compiled *compiled;
  const ConditionCode *code; /* not NULL: no matrix is formed, its products are sampled as they are
                                met, given those before (condition.h): the same law */
  const Snapshot *snapshot;  /* or NULL; sizes.steps is then the step of the snapshot + 1 */
  bool (*step)(void *sink, int t); /* false: stop */
  void *sink;
} NetworkPlan;

/* What one member measured: as MarchRecord, but of one network. Blocks are reused from member to
 * member. */
typedef struct NetworkRecord {
  double *f;         /* [T+1, R, C] */
  double *ntk;       /* [T+1, P, P], mean over outputs */
  double **x_kernel; /* [matrix] -> [T+1, R, R]; NULL on thin sides */
  double **y_kernel;
  double **x_history, **y_history; /* [matrix] -> [T+1, R, T+1, R], with two_time */
} NetworkRecord;

typedef struct Network Network;

/* Room for a network, its history and its record; NULL if the memory cannot be had. */
Network *network_new(const NetworkPlan *plan);
void network_free(Network *network);
/* Draws the weights of this member and trains it. On failure *failed_at is the step. */
Status network_run(Network *network, int member, int *failed_at);
const NetworkRecord *network_record(const Network *network);
/* Bytes that one network takes. */
double network_bytes(const NetworkPlan *plan);

/* The initial weights, as drawn: a matrix between populations as operator entries [N, N] (target,
 * source), that is sigma N(0,1)/sqrt(N); the images of an input matrix [R, N], sigma F N(0,1) with
 * F F^T the Gram matrix; a readout [C, N]. False if the Gram matrix is not positive semidefinite.
 */
bool network_initial(const NetworkPlan *plan, int member, int matrix, double *weights);

#endif
