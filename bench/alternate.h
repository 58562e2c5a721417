/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The saddle point of a network of two hidden layers by the published route, arXiv:2205.09653:
 * order parameters over all times are guessed, the fields of sample paths are drawn and propagated
 * with them, averages of those take the place of the guess, and so on with some damping. A bar for
 * speed; it shares no more with the solvers than the matrix product. */
#ifndef DMF_BENCH_ALTERNATE_H
#define DMF_BENCH_ALTERNATE_H

#include <stddef.h>

typedef struct Alternation {
  size_t points, steps;         /* P, T */
  const double *gram, *targets; /* [P, P], [P] */
  double gamma, eta;
  size_t samples, paths; /* S, and those whose responses are followed */
  int rounds;
  double damping; /* the share of the old in the new order parameters */
  unsigned seed;
} Alternation;

/* f [T+1, P] of phi = tanh, by steps of gradient descent; centred. */
void alternate(const Alternation *how, double *f);

#endif
