/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "scalar/landmarks.h"
#include "base/memory.h"
#include "scalar/kernel.h"

#include <math.h>
#include <stdlib.h>

typedef struct Search {
  Landmark *found;
  int count;
  bool *seen; /* [id] */
  ExprPool *pool;
} Search;

static void add(Search *s, double place, double width) {
  if (!isfinite(place) || !isfinite(width) || s->count == MOST_LANDMARKS) return;
  for (int i = 0; i < s->count; i++)
    if (s->found[i].place == place && s->found[i].width == width) return;
  s->found[s->count++] = (Landmark){place, width};
}

/* e = slope h + shift */
static bool is_affine(const Expr *e, double *slope, double *shift) {
  double a[2], b[2];
  for (int i = 0; i < prim_arity(e->prim); i++)
    if (i > 1 || !is_affine(e->arg[i], &a[i], &b[i])) return false;
  switch (e->prim) {
  case PRIM_CONST: *slope = 0, *shift = e->value; return true;
  case PRIM_ARG: *slope = 1, *shift = 0; return true;
  case PRIM_NEG: *slope = -a[0], *shift = -b[0]; return true;
  case PRIM_ADD: *slope = a[0] + a[1], *shift = b[0] + b[1]; return true;
  case PRIM_SUB: *slope = a[0] - a[1], *shift = b[0] - b[1]; return true;
  case PRIM_MUL: *slope = b[0] * a[1] + a[0] * b[1], *shift = b[0] * b[1]; break;
  case PRIM_DIV: *slope = a[0] / b[1], *shift = b[0] / b[1]; break;
  default: return false;
  }
  return e->prim == PRIM_MUL ? a[0] == 0 || a[1] == 0 : a[1] == 0;
}

static double at(const Kernel *kernel, double u) {
  double value;
  kernel_run(kernel, 1, (const double *[]){&u}, &value);
  return value;
}

/* The last number at which the sign is that of `low`, and its neighbour. */
static double bisect(const Kernel *kernel, double low, double high) {
  bool sign = at(kernel, low) > 0;
  for (;;) {
    double middle = 0.5 * (low + high);
    if (middle <= low || middle >= high) return high;
    if ((at(kernel, middle) > 0) == sign)
      low = middle;
    else
      high = middle;
  }
}

static int ascending(const void *x, const void *y) {
  double a = *(const double *)x, b = *(const double *)y;
  return (a > b) - (a < b);
}

/* Roots of what is not affine: between points that lie ever farther from the landmarks known. */
static void search_roots(Search *s, const Expr *e) {
  enum { OCTAVES_DOWN = 6, OCTAVES = 46 };
  Kernel *kernel = kernel_new(e);
  int known = s->count, n = 0;
  double *grid = mem_new((size_t)(known + 1) * 2 * OCTAVES + (size_t)known + 1, sizeof *grid);
  for (int i = 0; i <= known; i++) {
    Landmark mark = i < known ? s->found[i] : (Landmark){0, 1};
    grid[n++] = mark.place;
    for (int k = 0; k < OCTAVES; k++) {
      double away = ldexp(mark.width, k - OCTAVES_DOWN);
      grid[n++] = mark.place - away;
      grid[n++] = mark.place + away;
    }
  }
  qsort(grid, (size_t)n, sizeof *grid, ascending);
  for (int i = 0; i + 1 < n; i++) {
    double low = at(kernel, grid[i]), high = at(kernel, grid[i + 1]);
    if ((low > 0) == (high > 0) || isnan(low) || isnan(high)) continue;
    add(s, bisect(kernel, grid[i], grid[i + 1]), (grid[i + 1] - grid[i]) / fabs(high - low));
  }
  free(grid);
  kernel_free(kernel);
}

static void read_by(Search *s, const Expr *e) {
  double slope, shift;
  if (!is_affine(e, &slope, &shift))
    search_roots(s, e);
  else if (slope != 0)
    add(s, -shift / slope, 1 / fabs(slope));
}

/* A product of two affine functions is stationary near its zeros. */
static void read_factors(Search *s, const Expr *e) {
  double slope, shift;
  for (int i = 0; i < 2 && e->arg[0]->prim != PRIM_CONST; i++)
    if (is_affine(e->arg[i], &slope, &shift)) read_by(s, e->arg[i]);
}

static void visit(Search *s, const Expr *e) {
  if (s->seen[e->id]) return;
  s->seen[e->id] = true;
  for (int i = 0; i < prim_arity(e->prim); i++) visit(s, e->arg[i]);
  switch (e->prim) {
  case PRIM_CONST:
  case PRIM_ARG:
  case PRIM_NEG:
  case PRIM_ADD:
  case PRIM_SUB: break;
  case PRIM_MUL: read_factors(s, e); break;
  case PRIM_DIV: read_by(s, e->arg[1]); break;
  case PRIM_MIN:
  case PRIM_MAX:
  case PRIM_LT:
  case PRIM_LE:
  case PRIM_EQ: read_by(s, expr_call(s->pool, PRIM_SUB, e->arg[0], e->arg[1], NULL)); break;
  default: read_by(s, e->arg[0]);
  }
}

/* A copy of e in another pool. */
static const Expr *transplant(ExprPool *pool, const Expr *e, const Expr **copies) {
  if (copies[e->id]) return copies[e->id];
  const Expr *arg[3] = {NULL}, *copy;
  for (int i = 0; i < prim_arity(e->prim); i++) arg[i] = transplant(pool, e->arg[i], copies);
  if (e->prim == PRIM_CONST)
    copy = expr_const(pool, e->value);
  else if (e->prim == PRIM_ARG)
    copy = expr_arg(pool, e->index);
  else
    copy = expr_call(pool, e->prim, arg[0], arg[1], arg[2]);
  return copies[e->id] = copy;
}

int expr_landmarks(const Expr *e, Landmark landmarks[MOST_LANDMARKS]) {
  Search s = {.found = landmarks, .pool = expr_pool_new()};
  const Expr **copies = mem_new(e->id + 1, sizeof *copies);
  e = transplant(s.pool, e, copies);
  free(copies);
  s.seen = mem_new(e->id + 1, sizeof *s.seen);
  visit(&s, e);
  free(s.seen);
  expr_pool_free(s.pool);
  return s.count;
}
