/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Adaptive quadrature on panels. A panel of Gauss-Legendre nodes is halved until the trailing
 * Legendre coefficients of what is integrated say that the nodes resolve it; they are the error. */
#ifndef DMF_SOLVE_PANELS_H
#define DMF_SOLVE_PANELS_H

#include <stdbool.h>
#include <stddef.h>

enum { PANEL_NODES = 24, PANEL_TAIL = 4 };

typedef struct Rule {
  double x[PANEL_NODES], w[PANEL_NODES]; /* on [-1, 1] */
  double tail[PANEL_TAIL][PANEL_NODES];  /* the coefficients of the highest degrees */
} Rule;
void rule_make(Rule *rule);

typedef struct Quadrature {
  const Rule *rule;
  /* g[PANEL_NODES] at x */
  void (*integrand)(void *context, const double *x, double *g);
  /* a panel that is done, with weights; NULL: none of interest */
  void (*take)(void *context, const double *x, const double *g, double half);
  void *context;
  double tolerance; /* of a panel */
  double longest;   /* panels are cut to this length first; 0: no matter */
  int panels;       /* that may still be made: past it, panels are taken as they are */
  /* out */
  double value, error;
  bool finite;
} Quadrature;

/* Integrates over the panels between edges[count], ascending. value, error and finite are set. */
void quadrature_run(Quadrature *q, const double *edges, int count);

#endif
