/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/average.h"
#include "base/memory.h"

#include <gsl/gsl_integration.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef enum Form { FORM_GENERAL, FORM_CONST, FORM_LINEAR, FORM_RELU, FORM_STEP, FORM_ERF } Form;

/* MOST_PANELS has room for the cuts of all kinks and their surroundings. */
enum { MOST_SWITCHES = 16, MOST_KINKS = 128, NODES = 24, MOST_PANELS = 2048 };

struct Average {
  Form form;
  double factor, slope; /* f = factor form(slope u) */
  Kernel *kernel;
  /* the functions whose sign decides between smooth branches of f */
  Kernel *switches[MOST_SWITCHES];
  int switch_count;
  bool integrable;           /* few enough kinks, and panels between them converge */
  double x[NODES], w[NODES]; /* Gauss-Legendre on [-1, 1] */
};

/* ---- preparation ---- */

static bool is_arg(const Expr *e) { return e->prim == PRIM_ARG; }

static bool is_multiple(const Expr *e, double *slope) {
  *slope = 1;
  if (is_arg(e)) return true;
  if (e->prim == PRIM_NEG) {
    bool fine = is_multiple(e->arg[0], slope);
    *slope = -*slope;
    return fine;
  }
  if (e->prim != PRIM_MUL || e->arg[0]->prim != PRIM_CONST || !is_arg(e->arg[1])) return false;
  *slope = e->arg[0]->value;
  return true;
}

static Form form_of(const Expr *e, double *factor, double *slope) {
  *factor = *slope = 1;
  if (e->prim == PRIM_CONST) {
    *factor = e->value;
    return FORM_CONST;
  }
  if (is_multiple(e, factor)) return FORM_LINEAR;
  if (e->prim == PRIM_MUL && e->arg[0]->prim == PRIM_CONST) {
    *factor = e->arg[0]->value;
    e = e->arg[1];
  }
  if (e->prim == PRIM_RELU && is_multiple(e->arg[0], slope)) return FORM_RELU;
  if (e->prim == PRIM_STEP && is_multiple(e->arg[0], slope)) return FORM_STEP;
  if (e->prim == PRIM_ERF && is_multiple(e->arg[0], slope)) return FORM_ERF;
  return FORM_GENERAL;
}

static void add_switch(Average *a, ExprPool *pool, const Expr *x, const Expr *y) {
  const Expr *s = y ? expr_call(pool, PRIM_SUB, x, y, NULL) : x;
  if (s->prim == PRIM_CONST) return;
  if (a->switch_count < MOST_SWITCHES)
    a->switches[a->switch_count++] = kernel_new(s);
  else
    a->integrable = false;
}

/* Finds the switches. The expressions built here live in a pool of their own. */
static void find_switches(Average *a, ExprPool *pool, const Expr *e) {
  for (int i = 0; i < prim_arity(e->prim); i++) find_switches(a, pool, e->arg[i]);
  switch (e->prim) {
  case PRIM_RELU:
  case PRIM_STEP:
  case PRIM_ABS:
  case PRIM_SIGN: add_switch(a, pool, e->arg[0], NULL); break;
  case PRIM_MIN:
  case PRIM_MAX:
  case PRIM_LT:
  case PRIM_LE:
  case PRIM_EQ: add_switch(a, pool, e->arg[0], e->arg[1]); break;
  default: break;
  }
}

/* A copy of e in another pool. */
static const Expr *transplant(ExprPool *pool, const Expr *e) {
  if (e->prim == PRIM_CONST) return expr_const(pool, e->value);
  if (e->prim == PRIM_ARG) return expr_arg(pool, e->index);
  const Expr *arg[3] = {NULL};
  for (int i = 0; i < prim_arity(e->prim); i++) arg[i] = transplant(pool, e->arg[i]);
  return expr_call(pool, e->prim, arg[0], arg[1], arg[2]);
}

void average_free(Average *a) {
  if (!a) return;
  kernel_free(a->kernel);
  for (int i = 0; i < a->switch_count; i++) kernel_free(a->switches[i]);
  free(a);
}

/* ---- closed forms ---- */

static double clamp(double c) { return c > 1 ? 1 : c < -1 ? -1 : c; }

static double closed_form(const Average *a, double uu, double vv, double uv) {
  double k2 = a->slope * a->slope, norm = sqrt(uu * vv),
         theta = norm > 0 ? acos(clamp(uv / norm)) : M_PI / 2;
  switch (a->form) {
  case FORM_CONST: return 1;
  case FORM_LINEAR: return uv;
  case FORM_STEP: return norm > 0 ? (M_PI - theta) / (2 * M_PI) : 0;
  case FORM_RELU: return k2 * norm * (sin(theta) + (M_PI - theta) * cos(theta)) / (2 * M_PI);
  case FORM_ERF:
    return M_2_PI * asin(clamp(2 * k2 * uv / sqrt((1 + 2 * k2 * uu) * (1 + 2 * k2 * vv))));
  case FORM_GENERAL: break;
  }
  return NAN;
}

/* ---- smooth functions ---- */

static const double RANGE = 12; /* in standard deviations */

/* sum over the grid of step h of weight(x) f(mean + scale x) */
static double line(const Average *a, double h, int half, double mean, double scale) {
  double u[2 * half + 1], f[2 * half + 1], sum = 0;
  for (int i = -half; i <= half; i++) u[i + half] = mean + scale * h * i;
  kernel_run(a->kernel, (size_t)(2 * half + 1), (const double *[]){u}, f);
  for (int i = -half; i <= half; i++) sum += exp(-0.5 * h * h * i * i) * f[i + half];
  return sum * h / sqrt(2 * M_PI);
}

/* u = sqrt(uu) x, v = slope x + spread y */
static double trapezoid(const Average *a, double h, double uu, double slope, double spread) {
  int half = (int)(RANGE / h);
  double u[2 * half + 1], f[2 * half + 1], sum = 0;
  for (int i = -half; i <= half; i++) u[i + half] = sqrt(uu) * h * i;
  kernel_run(a->kernel, (size_t)(2 * half + 1), (const double *[]){u}, f);
  for (int i = -half; i <= half; i++) {
    double weight = exp(-0.5 * h * h * i * i);
    if (spread > 0)
      sum += weight * f[i + half] * line(a, h, half, slope * h * i, spread);
    else {
      double v = slope * h * i, g;
      kernel_run(a->kernel, 1, (const double *[]){&v}, &g);
      sum += weight * f[i + half] * g;
    }
  }
  return sum * h / sqrt(2 * M_PI);
}

static bool smooth_pair(const Average *a, double uu, double slope, double spread, double *value) {
  double before = trapezoid(a, 0.5, uu, slope, spread);
  for (double h = 0.25; h > 0.02; h /= 2) {
    *value = trapezoid(a, h, uu, slope, spread);
    /* halving the step squares the error */
    if (fabs(*value - before) <= 1e-7 * fabs(*value) + 1e-12) return isfinite(*value);
    before = *value;
  }
  return false;
}

/* ---- functions with kinks ---- */

static double at(const Kernel *kernel, double u) {
  double value;
  kernel_run(kernel, 1, (const double *[]){&u}, &value);
  return value;
}

static double bisect(const Kernel *s, double low, double high) {
  bool sign = at(s, low) > 0;
  for (;;) {
    double middle = 0.5 * (low + high);
    if (middle <= low || middle >= high) break;
    if ((at(s, middle) > 0) == sign)
      low = middle;
    else
      high = middle;
  }
  return high;
}

/* Where a switch changes sign within [-limit, limit]. */
static int find_kinks(const Average *a, double limit, double *kinks) {
  enum { GRID = 2000 };
  int count = 0;
  for (int k = 0; k < a->switch_count; k++) {
    double last = -limit;
    for (int i = 1; i <= GRID; i++) {
      double u = -limit + 2 * limit * i / GRID;
      bool changes = (at(a->switches[k], last) > 0) != (at(a->switches[k], u) > 0);
      if (changes && count < MOST_KINKS) kinks[count++] = bisect(a->switches[k], last, u);
      last = u;
    }
  }
  return count;
}

static int ascending(const void *x, const void *y) {
  double a = *(const double *)x, b = *(const double *)y;
  return (a > b) - (a < b);
}

/* Panels of [low, high], cut at the given places and no longer than `longest`. */
static int cut(double low, double high, double longest, const double *places, int count,
               double *edges) {
  int n = 0, pieces = (int)ceil((high - low) / longest);
  for (int i = 0; i <= pieces && n < MOST_PANELS; i++) edges[n++] = low + (high - low) * i / pieces;
  for (int i = 0; i < count && n < MOST_PANELS; i++)
    if (places[i] > low && places[i] < high) edges[n++] = places[i];
  qsort(edges, (size_t)n, sizeof *edges, ascending);
  return n;
}

/* <f(mean + spread y)>, y standard normal */
static double inner_average(const Average *a, double mean, double spread, const double *kinks,
                            int kink_count, double longest) {
  double edges[MOST_PANELS], sum = 0;
  int n = cut(mean - 9 * spread, mean + 9 * spread, 2 * longest * spread, kinks, kink_count, edges);
  for (int p = 0; p + 1 < n; p++) {
    double middle = 0.5 * (edges[p] + edges[p + 1]), half = 0.5 * (edges[p + 1] - edges[p]),
           u[NODES], f[NODES];
    if (half == 0) continue;
    for (int i = 0; i < NODES; i++) u[i] = middle + half * a->x[i];
    kernel_run(a->kernel, NODES, (const double *[]){u}, f);
    for (int i = 0; i < NODES; i++) {
      double y = (u[i] - mean) / spread;
      sum += half * a->w[i] * f[i] * exp(-0.5 * y * y);
    }
  }
  return sum / (spread * sqrt(2 * M_PI));
}

/* The inner average over v given u has a transition of width spread where its mean crosses a kink,
 * so the outer panels are cut there. Panels are no longer than `longest` standard deviations. */
static bool kinked_pair(const Average *a, double uu, double slope, double spread, double longest,
                        double *value) {
  static const double around[] = {0, -1, 1, -3, 3, -6, 6};
  double root = sqrt(uu), limit = 10 * root + 10 * (fabs(slope) + spread), kinks[MOST_KINKS];
  double places[MOST_KINKS * 9], edges[MOST_PANELS];
  int kink_count = find_kinks(a, limit, kinks), count = 0;
  if (kink_count == MOST_KINKS) return false;
  for (int k = 0; k < kink_count; k++) {
    places[count++] = kinks[k] / root;
    for (size_t i = 0; i < sizeof around / sizeof *around && slope != 0; i++)
      places[count++] = (kinks[k] + around[i] * spread) / slope;
  }
  int n = cut(-9, 9, longest, places, count, edges);
  *value = 0;
  for (int p = 0; p + 1 < n; p++) {
    double middle = 0.5 * (edges[p] + edges[p + 1]), half = 0.5 * (edges[p + 1] - edges[p]);
    for (int i = 0; i < NODES && half > 0; i++) {
      double x = middle + half * a->x[i];
      double other = spread > 0 ? inner_average(a, slope * x, spread, kinks, kink_count, longest)
                                : at(a->kernel, slope * x);
      *value += half * a->w[i] * exp(-0.5 * x * x) * at(a->kernel, root * x) * other;
    }
  }
  *value /= sqrt(2 * M_PI);
  return isfinite(*value);
}

/* Whether halving the panels leaves an average as it is: not so where f or a derivative is
 * singular. */
static bool panels_converge(const Average *a) {
  double coarse, fine;
  return kinked_pair(a, 1, 0.5, sqrt(0.75), 1, &coarse) &&
         kinked_pair(a, 1, 0.5, sqrt(0.75), 0.5, &fine) &&
         fabs(fine - coarse) <= 1e-10 * (1 + fabs(fine));
}

Average *average_new(const Expr *f) {
  Average *a = mem_new(1, sizeof *a);
  a->form = form_of(f, &a->factor, &a->slope);
  a->kernel = kernel_new(f);
  a->integrable = true;
  ExprPool *pool = expr_pool_new();
  find_switches(a, pool, transplant(pool, f));
  expr_pool_free(pool);
  gsl_integration_glfixed_table *table = gsl_integration_glfixed_table_alloc(NODES);
  for (size_t i = 0; i < NODES; i++)
    gsl_integration_glfixed_point(-1, 1, i, &a->x[i], &a->w[i], table);
  gsl_integration_glfixed_table_free(table);
  if (a->form == FORM_GENERAL && a->switch_count)
    a->integrable = a->integrable && panels_converge(a);
  return a;
}

bool average_pair(const Average *a, double uu, double vv, double uv, double *value) {
  if (a->form != FORM_GENERAL) {
    *value = a->factor * a->factor * closed_form(a, uu, vv, uv);
    return true;
  }
  /* the wider variable outside */
  if (vv > uu) {
    double swap = uu;
    uu = vv;
    vv = swap;
  }
  double slope = uu > 0 ? uv / sqrt(uu) : 0, rest = vv - slope * slope;
  double spread = rest > 1e-14 * vv ? sqrt(rest) : 0;
  if (!a->integrable) return false;
  if (uu == 0) {
    *value = at(a->kernel, 0) * at(a->kernel, 0);
    return isfinite(*value);
  }
  return a->switch_count ? kinked_pair(a, uu, slope, spread, 1, value)
                         : smooth_pair(a, uu, slope, spread, value);
}
