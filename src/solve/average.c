/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/average.h"
#include "base/memory.h"
#include "base/team.h"
#include "scalar/exponentials.h"
#include "scalar/kernel.h"
#include "scalar/landmarks.h"
#include "num/clones.h"
#include "num/vecmath.h"
#include "solve/panels.h"

#include <float.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

typedef enum Form { FORM_GENERAL, FORM_CONST, FORM_LINEAR, FORM_RELU, FORM_STEP, FORM_ERF } Form;

/* In standard deviations: beyond REACH the normal density is no double; panels that end at
 * landmarks are made up to NEAR. */
static const double REACH = 38.5, NEAR = 12, CLOSE = 1e-20;
/* What a panel may leave out, relative to the result, in one variable and in two; and what the
 * series may. */
static const double FINE = 1e-13, NESTED = 1e-12, SERIES = 1e-12;
/* Panels around a landmark grow by this factor: the outermost nodes of each still see the next. */
static const double GROWTH = 8;
enum {
  FIRST_ORDER = 64,
  MOST_ORDER = 512,
  MOST_EDGES = 4096,
  LINE_PANELS = 20000,
  PAIR_PANELS = 3000000,
  FEW = 8, /* rows that are not worth the start of threads */
  RUN = 64 /* pairs whose arcs are taken at once */
};

struct Average {
  Form form;
  double factor, slope; /* f = factor form(slope u) */
  bool exponential;
  Exponentials sum;
  Kernel *kernel;
  Landmark marks[MOST_LANDMARKS];
  int mark_count;
  bool smooth;
  Rule rule;
};

static const char too_fast[] = "it grows too fast, or is not finite",
                  too_rough[] = "it is too singular, or varies too fast, to be integrated to nine "
                                "digits";

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

Average *average_new(const Expr *f) {
  Average *a = mem_new(1, sizeof *a);
  a->form = form_of(f, &a->factor, &a->slope);
  a->kernel = kernel_new(f);
  if (a->form != FORM_GENERAL) return a;
  a->exponential = exponentials_of(f, &a->sum);
  a->mark_count = expr_landmarks(f, a->marks);
  a->smooth = expr_is_smooth(f);
  rule_make(&a->rule);
  return a;
}

void average_free(Average *a) {
  if (!a) return;
  kernel_free(a->kernel);
  free(a);
}

/* ---- closed forms ---- */

static double clamp(double c) { return c > 1 ? 1 : c < -1 ? -1 : c; }

/* Pairs of one u of variance uu and deviation su with others, v, of these. */
typedef struct Run {
  size_t m;
  double uu, su;
  const double *vv, *sv, *uv;
} Run;

/* The norms, exactly uu where both are equal (a correlation of 1 - 1e-16 has an angle of 1e-8), and
 * the correlations. */
CLONES static void correlate(const Run *run, double *restrict norm, double *restrict x) {
  size_t m = run->m;
  double uu = run->uu, su = run->su;
  const double *vv = run->vv, *sv = run->sv, *uv = run->uv;
  for (size_t k = 0; k < m; k++) norm[k] = su * sv[k];
  for (size_t k = 0; k < m; k++) norm[k] = uu == vv[k] ? uu : norm[k];
  for (size_t k = 0; k < m; k++) x[k] = norm[k] > 0 ? uv[k] / norm[k] : 0;
  for (size_t k = 0; k < m; k++) x[k] = clamp(x[k]);
}

/* The correlations of saturated fields, with twice = 2 slope^2 and wide = 1 + twice uu. */
CLONES static void saturate(const Run *run, double twice, double wide, double *restrict x) {
  size_t m = run->m;
  const double *vv = run->vv, *uv = run->uv;
  for (size_t k = 0; k < m; k++) x[k] = twice * vv[k];
  for (size_t k = 0; k < m; k++) x[k] = twice * uv[k] / sqrt(wide * (1 + x[k]));
  for (size_t k = 0; k < m; k++) x[k] = clamp(x[k]);
}

/* (sin theta + (pi - theta) cos theta) / 2 pi times the norm, by factor. */
CLONES static void arc_cosines(size_t m, double factor, const double *restrict norm,
                               const double *restrict x, const double *restrict arc,
                               double *restrict out) {
  double rest[RUN];
  for (size_t k = 0; k < m; k++) out[k] = sqrt((1 - x[k]) * (1 + x[k]));
  for (size_t k = 0; k < m; k++) rest[k] = (M_PI - arc[k]) * x[k];
  for (size_t k = 0; k < m; k++) out[k] = factor * norm[k] * (out[k] + rest[k]) / (2 * M_PI);
}

/* out[k] = <f(u) f(v_k)> for at most RUN pairs. */
static void closed_forms(const Average *a, const Run *run, double *out) {
  double f2 = a->factor * a->factor, twice = 2 * a->slope * a->slope;
  double norm[RUN], x[RUN] = {0}, arc[RUN];
  size_t m = run->m;
  switch (a->form) {
  case FORM_CONST:
    for (size_t k = 0; k < m; k++) out[k] = f2;
    break;
  case FORM_LINEAR:
    for (size_t k = 0; k < m; k++) out[k] = f2 * run->uv[k];
    break;
  case FORM_STEP:
    correlate(run, norm, x);
    vec_acos(m, x, arc);
    for (size_t k = 0; k < m; k++) out[k] = norm[k] > 0 ? f2 * ((M_PI - arc[k]) / (2 * M_PI)) : 0;
    break;
  case FORM_RELU:
    correlate(run, norm, x);
    vec_acos(m, x, arc);
    arc_cosines(m, f2 * a->slope * a->slope, norm, x, arc, out);
    break;
  case FORM_ERF:
    saturate(run, twice, 1 + twice * run->uu, x);
    vec_asin(m, x, arc);
    for (size_t k = 0; k < m; k++) out[k] = f2 * (M_2_PI * arc[k]);
    break;
  case FORM_GENERAL: break;
  }
}

/* ---- along a line ---- */

/* Ends of panels along y of a function f(centre + scale y). */
typedef struct Edges {
  double at[MOST_EDGES];
  int count;
} Edges;

static void add_edge(Edges *edges, double y) {
  if (fabs(y) < NEAR && edges->count < MOST_EDGES) edges->at[edges->count++] = y;
}

/* Around every landmark, at distances that grow from its width, or from `least`. */
static void add_marks(const Average *a, double centre, double scale, double least, Edges *edges) {
  for (int i = 0; i < a->mark_count && scale != 0; i++) {
    double y = (a->marks[i].place - centre) / scale;
    double width = fmin(a->marks[i].width, least) / fabs(scale);
    add_edge(edges, y);
    for (; width < NEAR + fabs(y) && width > DBL_MIN; width *= GROWTH) {
      add_edge(edges, y - width);
      add_edge(edges, y + width);
    }
  }
}

/* Where there are no landmarks: panels on which a normal density is resolved. */
static void add_plain(Edges *edges) {
  static const double plain[] = {1.5, 4.5, 8.5};
  enum { COUNT = sizeof plain / sizeof *plain };
  for (int i = 0; i <= COUNT; i++) {
    double y = i < COUNT ? plain[i] : REACH;
    edges->at[edges->count++] = y;
    edges->at[edges->count++] = -y;
  }
}

static int ascending(const void *x, const void *y) {
  double a = *(const double *)x, b = *(const double *)y;
  return (a > b) - (a < b);
}

/* In order, and no two so near that nothing happens between them. */
static void sort_edges(Edges *edges) {
  int kept = 1;
  qsort(edges->at, (size_t)edges->count, sizeof *edges->at, ascending);
  for (int i = 1; i < edges->count; i++)
    if (edges->at[i] - edges->at[kept - 1] > CLOSE) edges->at[kept++] = edges->at[i];
  edges->count = kept;
}

/* f at centre + scale y */
static void values(const Average *a, double centre, double scale, const double *y, double *f) {
  double u[PANEL_NODES];
  for (int i = 0; i < PANEL_NODES; i++) u[i] = centre + scale * y[i];
  kernel_run(a->kernel, PANEL_NODES, (const double *[]){u}, f);
}

static double at(const Average *a, double u) {
  double f;
  kernel_run(a->kernel, 1, (const double *[]){&u}, &f);
  return f;
}

static double density(double x) { return exp(-0.5 * x * x) / sqrt(2 * M_PI); }

/* ---- one variable: <f^2> and the Hermite series ---- */

/* f(root z) = sum c_k h_k(z), h_k orthonormal under the normal distribution. */
typedef struct Series {
  double variance, root, square, size; /* square = <f^2>, size its root */
  double error;                        /* of square */
  int order;
  double *c;    /* [order] */
  double *rest; /* [order + 1]: the root of what the sum of the first c_k^2 lacks of <f^2>, or of
                   rounding */
  const char *fault;
} Series;

/* The nodes of a resolved grid: places, weights, f times the root of the density. */
typedef struct Nodes {
  const Average *a;
  double root, largest;
  size_t count, room;
  double *z, *w, *g;
} Nodes;

static void rooted(void *context, const double *z, double *g) {
  const Nodes *nodes = context;
  values(nodes->a, 0, nodes->root, z, g);
  for (int i = 0; i < PANEL_NODES; i++) g[i] *= sqrt(density(z[i]));
}

static void keep_nodes(void *context, const double *z, const double *g, double half) {
  Nodes *nodes = context;
  if (nodes->count + PANEL_NODES > nodes->room) {
    nodes->room = 2 * nodes->room + PANEL_NODES;
    nodes->z = mem_grow(nodes->z, nodes->room * sizeof *nodes->z);
    nodes->w = mem_grow(nodes->w, nodes->room * sizeof *nodes->w);
    nodes->g = mem_grow(nodes->g, nodes->room * sizeof *nodes->g);
  }
  for (int i = 0; i < PANEL_NODES; i++, nodes->count++) {
    nodes->largest = fmax(nodes->largest, fabs(g[i]));
    nodes->z[nodes->count] = z[i];
    nodes->w[nodes->count] = half * nodes->a->rule.w[i];
    nodes->g[nodes->count] = g[i];
  }
}

static double square_of(const Nodes *nodes) {
  double sum = 0;
  for (size_t i = 0; i < nodes->count; i++) sum += nodes->w[i] * nodes->g[i] * nodes->g[i];
  return sum;
}

/* Collects nodes between landmarks; `order` functions h_k times the root of the density, of
 * wavelength 2 pi / sqrt(order) at least, have six nodes or more in each. */
static Quadrature collect(Nodes *nodes, double tolerance, int order) {
  Edges edges = {.count = 0};
  add_plain(&edges);
  add_marks(nodes->a, 0, nodes->root, INFINITY, &edges);
  sort_edges(&edges);
  nodes->count = 0;
  nodes->largest = 0;
  Quadrature q = {.rule = &nodes->a->rule,
                  .integrand = rooted,
                  .take = keep_nodes,
                  .context = nodes,
                  .tolerance = tolerance,
                  .longest = order ? 8 * M_PI / sqrt(order) : 0,
                  .panels = LINE_PANELS};
  quadrature_run(&q, edges.at, edges.count);
  return q;
}

/* Whether nothing of f lies beyond REACH. */
static bool ends(const Nodes *nodes) {
  double most =
      fmax(fabs(at(nodes->a, REACH * nodes->root)), fabs(at(nodes->a, -REACH * nodes->root)));
  return most * sqrt(density(REACH)) <= 1e-8 * nodes->largest;
}

/* Leaves out nodes that say nothing: most of the far panels. */
static void thin_out(Nodes *nodes) {
  size_t kept = 0;
  for (size_t i = 0; i < nodes->count; i++) {
    if (fabs(nodes->g[i]) < 1e-20 * nodes->largest) continue;
    nodes->z[kept] = nodes->z[i];
    nodes->w[kept] = nodes->w[i];
    nodes->g[kept++] = nodes->g[i];
  }
  nodes->count = kept;
}

/* c_k = sum over nodes of w g times h_k's root-weighted values, by the recurrence
 * sqrt(k+1) h_{k+1} = z h_k - sqrt(k) h_{k-1}. Returns what the sum of the squares lacks. */
static double project(const Nodes *nodes, Series *series) {
  size_t n = nodes->count;
  double *before = mem_new(3 * n + 1, sizeof *before), *now = before + n, *wg = now + n;
  for (size_t i = 0; i < n; i++) {
    now[i] = sqrt(density(nodes->z[i]));
    wg[i] = nodes->w[i] * nodes->g[i];
  }
  series->c = mem_grow(series->c, (size_t)series->order * sizeof *series->c);
  series->rest = mem_grow(series->rest, (size_t)(series->order + 1) * sizeof *series->rest);
  double left = series->square, least = FINE * series->square;
  for (int k = 0; k < series->order; k++) {
    double sum = 0, down = sqrt(k), up = 1 / sqrt(k + 1);
    for (size_t i = 0; i < n; i++) {
      sum += wg[i] * now[i];
      double next = (nodes->z[i] * now[i] - down * before[i]) * up;
      before[i] = now[i];
      now[i] = next;
    }
    series->c[k] = sum;
    series->rest[k] = sqrt(fmax(left, least));
    left -= sum * sum;
  }
  series->rest[series->order] = sqrt(fmax(left, least));
  series->size = sqrt(series->square);
  free(before);
  return left;
}

/* The order grows until the series is complete; that of a function with kinks never is. */
static void expand(const Average *a, double variance, Series *s) {
  Nodes nodes = {.a = a, .root = sqrt(variance)};
  *s = (Series){.variance = variance, .root = nodes.root};
  collect(&nodes, INFINITY, 0);
  double scale = sqrt(square_of(&nodes));
  for (s->order = a->smooth ? FIRST_ORDER : MOST_ORDER;; s->order *= 2) {
    Quadrature q = collect(&nodes, FINE * scale, s->order);
    s->square = square_of(&nodes);
    s->error = 2 * q.error * nodes.largest;
    if (!q.finite || !isfinite(s->square) || !ends(&nodes)) s->fault = too_fast;
    if (!s->fault && s->error > AVERAGE_ACCURACY * s->square) s->fault = too_rough;
    if (s->fault) break;
    thin_out(&nodes);
    double lacks = project(&nodes, s);
    if (lacks <= FINE * s->square || s->order >= MOST_ORDER) break;
  }
  free(nodes.z);
  free(nodes.w);
  free(nodes.g);
}

/* ---- two variables ---- */

/* u = root x, v = slope x + spread y, x and y standard normal; spread 0: one variable. */
typedef struct Pair {
  const Average *a;
  double root, slope, spread;
  double scale, other; /* what the result and f(v) are measured by */
  double centre;       /* of v, given x */
  double error;        /* of inner integrals, times their weight */
  int panels;          /* that may still be made */
  bool finite;
} Pair;

static void inner_integrand(void *context, const double *y, double *g) {
  const Pair *pair = context;
  values(pair->a, pair->centre, pair->spread, y, g);
  for (int i = 0; i < PANEL_NODES; i++) g[i] *= density(y[i]);
}

/* <f(v)> given x, to be multiplied by weight. */
static double inner_average(Pair *pair, double x, double weight) {
  enum { INNER_PANELS = 2000 };
  pair->centre = pair->slope * x;
  if (pair->spread == 0) return at(pair->a, pair->centre);
  Edges edges;
  edges.count = 0;
  add_plain(&edges);
  add_marks(pair->a, pair->centre, pair->spread, INFINITY, &edges);
  sort_edges(&edges);
  int panels = pair->panels < INNER_PANELS ? pair->panels : INNER_PANELS;
  Quadrature q = {.rule = &pair->a->rule,
                  .integrand = inner_integrand,
                  .context = pair,
                  .tolerance = 0.1 * NESTED * fmin(pair->scale / fabs(weight), 1e3 * pair->other),
                  .panels = panels};
  quadrature_run(&q, edges.at, edges.count);
  pair->panels -= panels - q.panels;
  pair->finite = pair->finite && q.finite;
  pair->error = fmax(pair->error, fabs(weight) * q.error);
  return q.value;
}

static void outer_integrand(void *context, const double *x, double *g) {
  Pair *pair = context;
  values(pair->a, 0, pair->root, x, g);
  for (int i = 0; i < PANEL_NODES; i++) {
    g[i] *= density(x[i]);
    if (g[i] != 0 && pair->panels > 0) g[i] *= inner_average(pair, x[i], g[i]);
  }
}

/* The inner average over v given u has a transition where its mean crosses a landmark, as wide as
 * the landmark and as the spread. */
static const char *nested(Pair *pair, double *value) {
  enum { OUTER_PANELS = 4000 };
  Edges edges = {.count = 0};
  add_plain(&edges);
  add_marks(pair->a, 0, pair->root, INFINITY, &edges);
  add_marks(pair->a, 0, pair->slope, pair->a->smooth || pair->spread == 0 ? INFINITY : pair->spread,
            &edges);
  sort_edges(&edges);
  Quadrature q = {.rule = &pair->a->rule,
                  .integrand = outer_integrand,
                  .context = pair,
                  .tolerance = NESTED * pair->scale,
                  .panels = OUTER_PANELS};
  quadrature_run(&q, edges.at, edges.count);
  *value = q.value;
  if (!q.finite || !pair->finite || !isfinite(q.value)) return too_fast;
  double inner = pair->error * 2 * NEAR;
  return pair->panels <= 0 || q.error + inner > AVERAGE_ACCURACY * pair->scale ? too_rough : NULL;
}

/* sum[k] += c[k] power[k], and power[k] *= rho[k], in three loops: see num/clones.h. */
CLONES static void add_powers(size_t m, const double *restrict c, const double *restrict rho,
                              double *restrict power, double *restrict sum) {
  double term[RUN];
  for (size_t k = 0; k < m; k++) term[k] = c[k] * power[k];
  for (size_t k = 0; k < m; k++) sum[k] += term[k];
  for (size_t k = 0; k < m; k++) power[k] *= rho[k];
}

enum { STRIDE = 16 };

/* Pairs of one u with others: the correlations, and roots of <f(u)^2> <f(v)^2>. */
typedef struct SeriesRun {
  size_t m;
  const Series *u, *v[RUN];
  double rho[RUN], scale[RUN];
} SeriesRun;

/* Terms first .. first + STRIDE - 1 of the pairs that ask for more. Most rows have one variance. */
static void add_terms(const SeriesRun *run, int first, const bool *more, double *power,
                      double *sum) {
  double c[STRIDE][RUN];
  const Series *u = run->u;
  for (size_t k = 0, end; k < run->m; k = end) {
    const Series *v = run->v[k];
    for (end = k + 1; end < run->m && run->v[end] == v && more[end] == more[k];) end++;
    for (int i = 0; i < STRIDE; i++) {
      double product = more[k] ? u->c[first + i] * v->c[first + i] : 0;
      for (size_t at = k; at < end; at++) c[i][at] = product;
    }
  }
  for (int i = 0; i < STRIDE; i++) add_powers(run->m, c[i], run->rho, power, sum);
}

/* The series, as far as they matter; `enough` false where they are not enough. */
static void by_series(const SeriesRun *run, bool *enough, double *sum) {
  bool more[RUN];
  double power[RUN];
  size_t left = run->m;
  for (size_t k = 0; k < run->m; k++) more[k] = true, power[k] = 1, sum[k] = 0;
  for (int first = 0;; first += STRIDE) {
    for (size_t k = 0; k < run->m; k++) {
      const Series *u = run->u, *v = run->v[k];
      if (!more[k]) continue;
      double bound = fabs(power[k]) * u->rest[first] * v->rest[first];
      enough[k] = bound <= SERIES * run->scale[k];
      more[k] = !enough[k] && first < u->order && first < v->order;
      left -= !more[k];
    }
    if (!left) return;
    add_terms(run, first, more, power, sum);
  }
}

/* Where the series is not enough. */
static const char *by_panels(const Average *a, const Series *u, const Series *v, double uv,
                             double scale, double *value) {
  if (v->variance > u->variance) {
    const Series *swap = u;
    u = v;
    v = swap;
  }
  double rest = (u->variance * v->variance - uv * uv) / u->variance;
  Pair pair = {.a = a,
               .root = u->root,
               .slope = uv / u->root,
               .spread = rest > 4 * DBL_EPSILON * v->variance ? sqrt(rest) : 0,
               .scale = scale,
               .other = v->size,
               .panels = PAIR_PANELS,
               .finite = true};
  return nested(&pair, value);
}

/* ---- kernels ---- */

/* The variances of rows, each once, ascending; number[a] is that of row a. Returns how many. */
static size_t distinct(size_t n, const double *cov, double *variances, size_t *number) {
  size_t count = 0;
  for (size_t a = 0; a < n; a++) variances[a] = fmax(cov[a * n + a], 0);
  qsort(variances, n, sizeof *variances, ascending);
  for (size_t a = 0; a < n; a++)
    if (count == 0 || variances[a] != variances[count - 1]) variances[count++] = variances[a];
  for (size_t a = 0; a < n; a++) {
    double own = fmax(cov[a * n + a], 0);
    const double *found = bsearch(&own, variances, count, sizeof own, ascending);
    number[a] = (size_t)(found - variances);
  }
  return count;
}

/* The fault that comes first in this order, whatever the threads. */
static const char *worse(const char *x, const char *y) { return x == too_fast || !y ? x : y; }

/* out[j, i] = out[i, j] for j < i, in squares that stay in the cache. */
static void mirror(size_t n, double *out) {
  for (size_t top = 0; top < n; top += RUN)
    for (size_t left = 0; left <= top; left += RUN)
      for (size_t i = top; i < n && i < top + RUN; i++)
        for (size_t j = left; j < i && j < left + RUN; j++) out[j * n + i] = out[i * n + j];
}

/* Pairs first .. first + m - 1 of row i. */
static const char *series_run(const Average *a, const Series *series, const size_t *number,
                              const double *uv, size_t i, size_t first, size_t m, double *out) {
  SeriesRun run = {.m = m, .u = &series[number[i]]};
  bool enough[RUN];
  const char *fault = NULL;
  for (size_t k = 0; k < m; k++) {
    const Series *u = run.u, *v = run.v[k] = &series[number[first + k]];
    double norm = u == v ? u->variance : u->root * v->root;
    run.scale[k] = u->size * v->size;
    run.rho[k] = norm > 0 ? clamp(uv[k] / norm) : 0;
  }
  by_series(&run, enough, out);
  for (size_t k = 0; k < m && !fault; k++)
    if (!enough[k]) fault = by_panels(a, run.u, run.v[k], uv[k], run.scale[k], &out[k]);
  return fault;
}

/* All pairs of rows by series, and panels where these are not enough. */
typedef struct Integral {
  const Average *a;
  size_t n;
  const double *cov;
  double *variances, *out; /* variances: each once, ascending */
  size_t *number;          /* [n]: of the variance of a row */
  Series *series;          /* of each variance */
  const char **fault;      /* [n]: of a row */
} Integral;

static void expand_next(void *context, size_t i) {
  Integral *s = context;
  expand(s->a, s->variances[i], &s->series[i]);
}

static void integrate_row(void *context, size_t i) {
  Integral *s = context;
  size_t n = s->n;
  for (size_t j = 0; j < i && !s->fault[i]; j += RUN)
    s->fault[i] = series_run(s->a, s->series, s->number, s->cov + i * n + j, i, j,
                             i - j < RUN ? i - j : RUN, s->out + i * n + j);
  s->out[i * n + i] = s->series[s->number[i]].square;
}

static const char *integrate(const Average *a, size_t n, const double *cov, int threads,
                             double *out) {
  Integral s = {a,    n,
                cov,  mem_new(n, sizeof(double)),
                out,  mem_new(n, sizeof(size_t)),
                NULL, mem_new(n, sizeof(char *))};
  size_t count = distinct(n, cov, s.variances, s.number);
  const char *fault = NULL;
  s.series = mem_new(count, sizeof *s.series);
  team_run(count > FEW ? threads : 1, count, expand_next, &s);
  for (size_t i = 0; i < count; i++) fault = worse(fault, s.series[i].fault);
  if (!fault) {
    team_run(n > FEW ? threads : 1, n, integrate_row, &s);
    for (size_t i = 0; i < n; i++) fault = worse(fault, s.fault[i]);
    mirror(n, out);
  }
  for (size_t i = 0; i < count; i++) {
    free(s.series[i].c);
    free(s.series[i].rest);
  }
  free(s.series);
  free(s.variances);
  free(s.number);
  free(s.fault);
  return fault;
}

/* The pairs of a run; by sums of exponentials where what each loses to rounding is held against the
 * roots of <f^2>, of one with itself (no roots) against what it is. */
static bool closed_run(const Average *a, const Run *run, double root, const double *roots,
                       double *out) {
  bool fine = true;
  double lost = 0;
  if (a->form != FORM_GENERAL) return closed_forms(a, run, out), true;
  for (size_t k = 0; k < run->m && fine; k++)
    fine = exponentials_pair(&a->sum, run->uu, run->vv[k], run->uv[k], &out[k], &lost) &&
           lost <= AVERAGE_ACCURACY * (roots ? root * roots[k] : out[k]);
  return fine;
}

/* All pairs of rows by closed forms. */
typedef struct Rows {
  const Average *a;
  size_t n;
  const double *cov;
  double *variance, *deviation, *root, *out; /* [n]; root: of <f^2> */
  atomic_bool fine;
} Rows;

/* <f^2> of all rows, where they have a closed form. */
static bool closed_squares(Rows *rows) {
  bool fine = true;
  for (size_t i = 0; fine && i < rows->n; i++) {
    double *to = &rows->out[i * rows->n + i], uu = fmax(rows->cov[i * rows->n + i], 0);
    Run run = {1, uu, sqrt(uu), &uu, &rows->deviation[i], &uu};
    rows->variance[i] = uu;
    rows->deviation[i] = run.su;
    fine = closed_run(rows->a, &run, 0, NULL, to);
    rows->root[i] = fine ? sqrt(*to) : 0;
  }
  return fine;
}

/* Row i up to the diagonal. */
static void closed_row(void *context, size_t i) {
  Rows *rows = context;
  const double *vv = rows->variance, *sv = rows->deviation, *uv = rows->cov + i * rows->n;
  for (size_t first = 0; first < i && rows->fine; first += RUN) {
    size_t m = i - first < RUN ? i - first : RUN;
    Run run = {m, vv[i], sv[i], vv + first, sv + first, uv + first};
    double *to = rows->out + i * rows->n + first;
    if (!closed_run(rows->a, &run, rows->root[i], rows->root + first, to)) rows->fine = false;
  }
}

/* Whether the closed form serves for all pairs. */
static bool closed(const Average *a, size_t n, const double *cov, int threads, double *out) {
  double *room = mem_new(3 * n, sizeof *room);
  Rows rows = {a, n, cov, room, room + n, room + 2 * n, out, true};
  rows.fine = closed_squares(&rows);
  team_run(n > FEW ? threads : 1, n, closed_row, &rows);
  mirror(n, out);
  free(room);
  return rows.fine;
}

const char *average_kernel(const Average *a, size_t n, const double *cov, int threads,
                           double *out) {
  if ((a->form != FORM_GENERAL || a->exponential) && closed(a, n, cov, threads, out)) return NULL;
  return integrate(a, n, cov, threads, out);
}
