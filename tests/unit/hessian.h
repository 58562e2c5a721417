/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fluctuations at order 1/N by the route of arXiv:2304.03408: the Hessian of the action at its
 * saddle point, built as a dense matrix and inverted. An oracle for tests and a bar for speed; it
 * shares no code with the solvers.
 *
 * A deep linear network with L hidden layers learns one point with |x|^2 = D and target y. Order
 * parameters have T+1 times; the action is
 *
 *   S = (1/2) sum_l (H^l . Hh^l + G^l . Gh^l) - gamma^2 sum_l tr A^l B^l + Fh . F
 *       + Dh . (Delta - y + f[F]) + sum_l log Z_l
 *
 * with conjugates Xh, and Z_l the Gaussian integral over the fields of a neuron of layer l. Its
 * exponent is quadratic in them, so that derivatives of log Z_l are contractions (Wick) of the
 * propagator of the neuron, with conjugates of kernels symmetric by construction. N times the
 * covariance of all order parameters is -(d^2 S)^-1, of dimension (6 L - 2) (T+1)^2 + 4 (T+1). */
#ifndef DMF_TESTS_HESSIAN_H
#define DMF_TESTS_HESSIAN_H

#include <stdbool.h>
#include <stddef.h>

typedef struct DeepLinear {
  int depth, steps; /* L, T */
  double gamma, eta, target;
  bool uncentered;
} DeepLinear;

/* Means of the saddle point, and N times variances and covariances. */
typedef struct Fluctuations {
  size_t dimension;                          /* of the Hessian */
  double *f, *ntk, *var_f, *cov_f, *var_ntk; /* [T+1]; cov_f [T+1, T+1] */
  double *Phi, *G;                           /* [L, T+1], equal times */
  double *cov_Phi, *cov_G;                   /* [L, T+1, T+1], of these */
} Fluctuations;

/* False if a matrix is singular. The answer is to be freed either way. */
bool hessian_fluctuations(const DeepLinear *net, Fluctuations *answer);
void hessian_free(Fluctuations *answer);

#endif
