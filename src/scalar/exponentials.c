/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "scalar/exponentials.h"

#include <float.h>
#include <math.h>

static bool add_term(Exponentials *sum, Exponential term) {
  for (int i = 0; i < sum->count; i++) {
    Exponential *own = &sum->term[i];
    if (own->slope != term.slope || own->square != term.square || own->power != term.power)
      continue;
    own->factor += term.factor;
    return true;
  }
  if (sum->count == MOST_EXPONENTIALS || term.power > MOST_POWER) return false;
  sum->term[sum->count++] = term;
  return true;
}

static bool add_scaled(Exponentials *sum, const Exponentials *x, double complex scale) {
  bool fine = true;
  for (int i = 0; fine && i < x->count; i++) {
    Exponential term = x->term[i];
    term.factor *= scale;
    fine = add_term(sum, term);
  }
  return fine;
}

static bool multiply(const Exponentials *x, const Exponentials *y, Exponentials *product) {
  Exponentials out = {0};
  for (int i = 0; i < x->count; i++)
    for (int j = 0; j < y->count; j++) {
      const Exponential *a = &x->term[i], *b = &y->term[j];
      if (!add_term(&out, (Exponential){a->factor * b->factor, a->slope + b->slope,
                                        a->square + b->square, a->power + b->power}))
        return false;
    }
  *product = out;
  return true;
}

static bool raise(const Exponentials *x, const Expr *power, Exponentials *out) {
  double n = power->prim == PRIM_CONST ? power->value : -1;
  if (!(n >= 1 && n <= MOST_POWER && n == floor(n))) return false;
  *out = *x;
  for (int i = 1; i < (int)n; i++)
    if (!multiply(out, x, out)) return false;
  return true;
}

/* sum += scale exp(unit x) for a polynomial x; only its constant may be of degree 2 and complex
 * units. */
static bool exponentiate(Exponentials *sum, const Exponentials *x, double complex unit,
                         double complex scale) {
  double complex coefficient[3] = {0};
  for (int i = 0; i < x->count; i++) {
    const Exponential *t = &x->term[i];
    if (t->square != 0 || t->slope != 0 || t->power > 2) return false;
    coefficient[t->power] += unit * t->factor;
  }
  if (cimag(coefficient[2]) != 0) return false;
  return add_term(
      sum, (Exponential){scale * cexp(coefficient[0]), coefficient[1], creal(coefficient[2]), 0});
}

bool exponentials_of(const Expr *e, Exponentials *sum) {
  Exponentials x = {0}, y = {0};
  *sum = (Exponentials){0};
  if (e->prim == PRIM_CONST) return add_term(sum, (Exponential){.factor = e->value});
  if (e->prim == PRIM_ARG) return add_term(sum, (Exponential){.factor = 1, .power = 1});
  int arity = prim_arity(e->prim);
  if (arity > 2 || !exponentials_of(e->arg[0], &x)) return false;
  if (arity == 2 && e->prim != PRIM_POW && !exponentials_of(e->arg[1], &y)) return false;
  switch (e->prim) {
  case PRIM_NEG: return add_scaled(sum, &x, -1);
  case PRIM_ADD: return add_scaled(sum, &x, 1) && add_scaled(sum, &y, 1);
  case PRIM_SUB: return add_scaled(sum, &x, 1) && add_scaled(sum, &y, -1);
  case PRIM_MUL: return multiply(&x, &y, sum);
  case PRIM_POW: return raise(&x, e->arg[1], sum);
  case PRIM_EXP: return exponentiate(sum, &x, 1, 1);
  case PRIM_SINH: return exponentiate(sum, &x, 1, 0.5) && exponentiate(sum, &x, -1, -0.5);
  case PRIM_COSH: return exponentiate(sum, &x, 1, 0.5) && exponentiate(sum, &x, -1, 0.5);
  case PRIM_COS: return exponentiate(sum, &x, I, 0.5) && exponentiate(sum, &x, -I, 0.5);
  case PRIM_SIN: return exponentiate(sum, &x, I, -0.5 * I) && exponentiate(sum, &x, -I, 0.5 * I);
  default: return false;
  }
}

/* <x^m y^n> of two Gaussians with these means and covariances, by Stein's lemma. */
static double complex moment(int m, int n, double complex mx, double complex my, double xx,
                             double xy, double yy) {
  double complex table[MOST_POWER + 1][MOST_POWER + 1];
  for (int i = 0; i <= m; i++)
    for (int j = 0; j <= n; j++) {
      if (i == 0 && j == 0)
        table[i][j] = 1;
      else if (i == 0)
        table[i][j] = my * table[0][j - 1] + (j > 1 ? (j - 1) * yy * table[0][j - 2] : 0);
      else
        table[i][j] = mx * table[i - 1][j] + (i > 1 ? (i - 1) * xx * table[i - 2][j] : 0) +
                      (j > 0 ? j * xy * table[i - 1][j - 1] : 0);
    }
  return table[m][n];
}

/* One pair of terms: with A = diag(a, b) their squares, the measure becomes a Gaussian of
 * covariance S = (1 - 2 Sigma A)^-1 Sigma and mean S (p, r), of weight det(1 - 2 Sigma A)^(-1/2)
 * exp((p, r) S (p, r) / 2). */
static bool pair_of(const Exponential *s, const Exponential *t, double uu, double vv, double uv,
                    double complex *value) {
  double a = s->square, b = t->square, rest = fmax(uu * vv - uv * uv, 0);
  double det = 1 - 2 * a * uu - 2 * b * vv + 4 * a * b * rest;
  if (!(det > 0) || !(1 - a * uu - b * vv > 0)) return false;
  double xx = (uu - 2 * b * rest) / det, xy = uv / det, yy = (vv - 2 * a * rest) / det;
  double complex p = s->slope, r = t->slope;
  *value = s->factor * t->factor * cexp((xx * p * p + 2 * xy * p * r + yy * r * r) / 2) /
           sqrt(det) * moment(s->power, t->power, xx * p + xy * r, xy * p + yy * r, xx, xy, yy);
  return isfinite(creal(*value)) && isfinite(cimag(*value));
}

bool exponentials_pair(const Exponentials *f, double uu, double vv, double uv, double *value,
                       double *rounding) {
  enum { OPERATIONS = 16 };
  double complex sum = 0, part;
  double size = 0;
  for (int i = 0; i < f->count; i++)
    for (int j = 0; j < f->count; j++) {
      if (!pair_of(&f->term[i], &f->term[j], uu, vv, uv, &part)) return false;
      sum += part;
      size += cabs(part);
    }
  *value = creal(sum);
  *rounding = OPERATIONS * DBL_EPSILON * size;
  return true;
}
