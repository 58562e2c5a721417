/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/panels.h"
#include "base/memory.h"
#include "num/calm.h"

#include <float.h>
#include <gsl/gsl_integration.h>
#include <math.h>

void rule_make(Rule *rule) {
  calm_begin();
  gsl_integration_glfixed_table *table =
      mem_insist(gsl_integration_glfixed_table_alloc(PANEL_NODES));
  calm_end();
  for (size_t i = 0; i < PANEL_NODES; i++) {
    gsl_integration_glfixed_point(-1, 1, i, &rule->x[i], &rule->w[i], table);
    double before = 1, now = rule->x[i];
    for (int k = 1; k < PANEL_NODES; k++) {
      int tail = k - (PANEL_NODES - PANEL_TAIL);
      if (tail >= 0) rule->tail[tail][i] = (k + 0.5) * rule->w[i] * now;
      double next = ((2 * k + 1) * rule->x[i] * now - k * before) / (k + 1);
      before = now;
      now = next;
    }
  }
  gsl_integration_glfixed_table_free(table);
}

/* The integral over a panel, its error, and the error that rounding makes in any case. */
static double panel(Quadrature *q, double low, double high, double *error, double *rounding,
                    double *x, double *g) {
  double middle = 0.5 * (low + high), half = 0.5 * (high - low), sum = 0, largest = 0;
  for (int i = 0; i < PANEL_NODES; i++) x[i] = middle + half * q->rule->x[i];
  q->integrand(q->context, x, g);
  for (int i = 0; i < PANEL_NODES; i++) {
    sum += q->rule->w[i] * g[i];
    largest = fmax(largest, fabs(g[i]));
    if (!isfinite(g[i])) q->finite = false;
  }
  *error = 0;
  for (int k = 0; k < PANEL_TAIL; k++) {
    double c = 0;
    for (int i = 0; i < PANEL_NODES; i++) c += q->rule->tail[k][i] * g[i];
    *error += half * fabs(c);
  }
  *rounding = PANEL_NODES * DBL_EPSILON * half * largest;
  return half * sum;
}

/* Halves a panel until it is resolved, or no longer a panel to speak of, depth first. */
static void settle(Quadrature *q, double low, double high) {
  enum { MOST_HALVINGS = 60 };
  double shortest = ldexp(high - low, -MOST_HALVINGS);
  double stack[MOST_HALVINGS + 1], x[PANEL_NODES], g[PANEL_NODES], error, rounding;
  int open = 0;
  stack[open++] = high;
  while (open && q->finite) {
    high = stack[open - 1];
    double value = panel(q, low, high, &error, &rounding, x, g), middle = 0.5 * (low + high);
    q->panels--;
    bool done = error <= q->tolerance || error <= rounding || q->panels <= 0 ||
                high - low <= shortest || middle <= low || middle >= high;
    if (!done) {
      stack[open++] = middle;
      continue;
    }
    q->value += value;
    q->error += error;
    if (q->take) q->take(q->context, x, g, 0.5 * (high - low));
    low = high;
    open--;
  }
}

void quadrature_run(Quadrature *q, const double *edges, int count) {
  q->value = q->error = 0;
  q->finite = true;
  for (int i = 0; i + 1 < count; i++) {
    double length = edges[i + 1] - edges[i];
    int pieces = q->longest > 0 ? (int)ceil(length / q->longest) : 1;
    for (int k = 0; k < pieces && length > 0; k++)
      settle(q, edges[i] + length * k / pieces,
             k + 1 < pieces ? edges[i] + length * (k + 1) / pieces : edges[i + 1]);
  }
}
