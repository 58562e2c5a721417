/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "hessian.h"
#include "base/memory.h"
#include "num/linalg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Fields of a neuron of one layer: h = u + C g, g = r + D h, and the response fields conjugate to
 * u and r. */
enum { FIELD_H, FIELD_G, FIELD_U, FIELD_R, FIELDS };

typedef struct Saddle {
  const DeepLinear *net;
  size_t n, L;        /* times, layers */
  double *H, *G;      /* [L+2, n, n], of layers 0 .. L+1; H^0 = G^{L+1} = 1 */
  double *A, *B;      /* [L+1, n, n], of layers 1 .. L-1; A^0 = B^L = 0 */
  double *f, *delta;  /* [n] */
  double *propagator; /* [L+1, 4n, 4n], of layers 1 .. L */
} Saddle;

static double *at(const Saddle *s, double *x, size_t layer, size_t t, size_t r) {
  return &x[(layer * s->n + t) * s->n + r];
}

static double *contraction(const Saddle *s, size_t layer, size_t i, size_t j) {
  size_t all = FIELDS * s->n;
  return &s->propagator[(layer * all + i) * all + j];
}

static double kernel(const Saddle *s, size_t t) {
  double sum = 0;
  for (size_t l = 0; l <= s->L; l++) sum += *at(s, s->H, l, t, t) * *at(s, s->G, l + 1, t, t);
  return sum;
}

/* LAPACK's inverse; that of the transpose, as it sees the numbers, is the transpose of the inverse.
 */
extern void dgetrf_(const int *m, const int *n, double *a, const int *lda, int *pivots, int *info);
extern void dgetri_(const int *n, double *a, const int *lda, const int *pivots, double *work,
                    const int *lwork, int *info);

static bool invert(double *a, size_t size) {
  int *pivots = mem_new(size, sizeof *pivots), n = (int)size, length = 64 * n, info;
  double *work = mem_block((size_t)length);
  dgetrf_(&n, &n, a, &n, pivots, &info);
  if (info == 0) dgetri_(&n, a, &n, pivots, work, &length, &info);
  free(work);
  free(pivots);
  return info == 0;
}

/* ---- the saddle point ---- */

/* C(t, r) of a layer; what feeds g into h, past only. D is C of the mirrored network. */
static double feed(const Saddle *s, double *response, double *past, size_t l, size_t k, size_t t,
                   size_t r) {
  double learned = r < t ? s->net->eta * s->delta[r] * *at(s, past, k, t, r) : 0;
  return s->net->gamma * (*at(s, response, l, t, r) + learned);
}

/* Kernels and responses of layer l from those around it: (h, g) = R (u, r). */
static bool visit(Saddle *s, size_t l) {
  size_t n = s->n, m = 2 * n;
  double *R = mem_block(m * m), *S = mem_block(m * m), *X = mem_block(m * m), *Y = mem_block(m * m);
  for (size_t t = 0; t < n; t++) {
    R[t * m + t] = R[(n + t) * m + n + t] = 1;
    for (size_t r = 0; r < n; r++) {
      R[t * m + n + r] = -feed(s, s->A, s->H, l - 1, l - 1, t, r);
      R[(n + t) * m + r] = -feed(s, s->B, s->G, l, l + 1, t, r);
      S[t * m + r] = *at(s, s->H, l - 1, t, r);
      S[(n + t) * m + n + r] = *at(s, s->G, l + 1, t, r);
    }
  }
  bool fine = invert(R, m);
  mat_mul(m, m, m, 1, R, m, S, m, 0, Y, m);
  mat_mul_bt(m, m, m, 1, Y, m, R, m, 0, X, m);
  for (size_t i = 0; i < m; i++)
    for (size_t j = 0; j < m; j++) {
      *contraction(s, l, i, j) = X[i * m + j];
      *contraction(s, l, i, m + j) = *contraction(s, l, m + j, i) = R[i * m + j];
    }
  for (size_t t = 0; t < n; t++)
    for (size_t r = 0; r < n; r++) {
      *at(s, s->H, l, t, r) = X[t * m + r];
      *at(s, s->G, l, t, r) = X[(n + t) * m + n + r];
      if (l < s->L) *at(s, s->A, l, t, r) = R[t * m + n + r] / s->net->gamma;
      if (l > 1) *at(s, s->B, l - 1, t, r) = R[(n + t) * m + r] / s->net->gamma;
    }
  free(R);
  free(S);
  free(X);
  free(Y);
  return fine;
}

/* Later times do not act on earlier ones, so that time t is settled after 2 L sweeps of the layers
 * once the times before it are. */
static bool settle(Saddle *s) {
  const DeepLinear *net = s->net;
  bool fine = true;
  for (size_t l = 0; l <= s->L + 1; l++)
    for (size_t i = 0; i < s->n * s->n; i++)
      s->H[l * s->n * s->n + i] = s->G[l * s->n * s->n + i] = 1;
  for (size_t t = 0; t < s->n && fine; t++) {
    for (size_t i = 0; i < 2 * s->L * s->L && fine; i++) fine = visit(s, 1 + i % s->L);
    s->f[t] = *contraction(s, s->L, t, s->n + t) / net->gamma;
    s->delta[t] = net->target - s->f[t];
  }
  return fine;
}

/* ---- the Hessian ---- */

/* Order parameters, kernels and responses by layer and [n, n], then [n] each. */
enum { H, H_HAT, G, G_HAT, KERNELS };
enum { DELTA, DELTA_HAT, F, F_HAT, CURVES };

static size_t of_kernel(const Saddle *s, size_t l, int kind, size_t t, size_t r) {
  return (((l - 1) * KERNELS + (size_t)kind) * s->n + t) * s->n + r;
}

static size_t of_response(const Saddle *s, size_t l, bool backward, size_t t, size_t r) {
  return ((s->L * KERNELS + (l - 1) * 2 + backward) * s->n + t) * s->n + r;
}

static size_t of_curve(const Saddle *s, int kind, size_t t) {
  return ((s->L * KERNELS + (s->L - 1) * 2) * s->n + (size_t)kind) * s->n + t;
}

/* One term of the derivative of a neuron's exponent -E by an order parameter: weight x_i x_j. */
typedef struct Term {
  size_t parameter, i, j;
  double weight;
} Term;

typedef struct Terms {
  size_t count;
  Term *list;
} Terms;

static void add(Terms *terms, size_t parameter, size_t i, size_t j, double weight) {
  terms->list[terms->count++] = (Term){parameter, i, j, weight};
}

/* E = h Hh h / 2 + g Gh g / 2 + Fh h g / gamma - u H u / 2 - r G r / 2 + u (h - C g) + r (g - D h)
 * with the kernels H of the layer below, G of that above, and u, r the response fields. */
static void collect(const Saddle *s, size_t l, Terms *terms) {
  size_t n = s->n;
  double gamma = s->net->gamma, rate = gamma * s->net->eta;
  terms->count = 0;
  for (size_t t = 0; t < n; t++) {
    size_t h = t, g = n + t, u = 2 * n + t, r = 3 * n + t;
    if (l == s->L) add(terms, of_curve(s, F_HAT, t), h, g, -1 / gamma);
    for (size_t p = 0; p < n; p++) {
      bool past = p < t;
      add(terms, of_kernel(s, l, H_HAT, t, p), h, p, -0.5);
      add(terms, of_kernel(s, l, G_HAT, t, p), g, n + p, -0.5);
      if (l > 1) {
        add(terms, of_kernel(s, l - 1, H, t, p), u, 2 * n + p, 0.5);
        add(terms, of_response(s, l - 1, false, t, p), u, n + p, gamma);
        if (past) add(terms, of_kernel(s, l - 1, H, t, p), u, n + p, rate * s->delta[p]);
      }
      if (l < s->L) {
        add(terms, of_kernel(s, l + 1, G, t, p), r, 3 * n + p, 0.5);
        add(terms, of_response(s, l, true, t, p), r, p, gamma);
        if (past) add(terms, of_kernel(s, l + 1, G, t, p), r, p, rate * s->delta[p]);
      }
      if (past) {
        add(terms, of_curve(s, DELTA, p), u, n + p, rate * *at(s, s->H, l - 1, t, p));
        add(terms, of_curve(s, DELTA, p), r, p, rate * *at(s, s->G, l + 1, t, p));
      }
    }
  }
}

static void couple(double *hessian, size_t size, size_t i, size_t j, double value) {
  hessian[i * size + j] += value;
  hessian[j * size + i] += value;
}

/* d^2 log Z_l: the covariances of the terms. The second derivatives of E itself have mean zero,
 * being responses of the past to the future. */
static void add_neuron(const Saddle *s, size_t l, Terms *terms, double *hessian, size_t size) {
  collect(s, l, terms);
  for (size_t a = 0; a < terms->count; a++)
    for (size_t b = 0; b < terms->count; b++) {
      Term x = terms->list[a], y = terms->list[b];
      hessian[x.parameter * size + y.parameter] +=
          x.weight * y.weight *
          (*contraction(s, l, x.i, y.i) * *contraction(s, l, x.j, y.j) +
           *contraction(s, l, x.i, y.j) * *contraction(s, l, x.j, y.i));
    }
}

/* The bilinear terms of the action; the constraint on Delta is taken at Dh = 0. */
static void add_action(const Saddle *s, double *hessian, size_t size) {
  const DeepLinear *net = s->net;
  for (size_t t = 0; t < s->n; t++) {
    size_t hat = of_curve(s, DELTA_HAT, t);
    couple(hessian, size, hat, of_curve(s, DELTA, t), 1);
    couple(hessian, size, of_curve(s, F_HAT, t), of_curve(s, F, t), 1);
    couple(hessian, size, hat, of_curve(s, F, t), 1);
    if (!net->uncentered) couple(hessian, size, hat, of_curve(s, F, 0), -1);
    for (size_t r = 0; r < s->n; r++)
      for (size_t l = 1; l <= s->L; l++) {
        couple(hessian, size, of_kernel(s, l, H, t, r), of_kernel(s, l, H_HAT, t, r), 0.5);
        couple(hessian, size, of_kernel(s, l, G, t, r), of_kernel(s, l, G_HAT, t, r), 0.5);
        if (l < s->L)
          couple(hessian, size, of_response(s, l, false, t, r), of_response(s, l, true, r, t),
                 -net->gamma * net->gamma);
      }
  }
}

/* ---- what is asked ---- */

static double *hessian_of(const Saddle *s, size_t size) {
  double *hessian = mem_block(size * size);
  Terms terms = {.list = mem_new(12 * s->n * s->n, sizeof(Term))};
  for (size_t l = 1; l <= s->L; l++) add_neuron(s, l, &terms, hessian, size);
  add_action(s, hessian, size);
  free(terms.list);
  return hessian;
}

/* K = sum_l H^l G^{l+1} varies by its first derivatives. */
static double variance_of_kernel(const Saddle *s, const double *inverse, size_t size, size_t t) {
  size_t count = 2 * s->L, *which = mem_new(count, sizeof *which);
  double *slope = mem_block(count), sum = 0;
  for (size_t l = 1; l <= s->L; l++) {
    which[2 * l - 2] = of_kernel(s, l, H, t, t);
    which[2 * l - 1] = of_kernel(s, l, G, t, t);
    slope[2 * l - 2] = *at(s, s->G, l + 1, t, t);
    slope[2 * l - 1] = *at(s, s->H, l - 1, t, t);
  }
  for (size_t i = 0; i < count; i++)
    for (size_t j = 0; j < count; j++)
      sum -= slope[i] * slope[j] * inverse[which[i] * size + which[j]];
  free(which);
  free(slope);
  return sum;
}

static void answer_of(const Saddle *s, const double *inverse, Fluctuations *answer) {
  size_t n = s->n, size = answer->dimension;
  for (size_t t = 0; t < n; t++) {
    answer->f[t] = s->f[t];
    answer->ntk[t] = kernel(s, t);
    answer->var_ntk[t] = variance_of_kernel(s, inverse, size, t);
    for (size_t r = 0; r < n; r++)
      answer->cov_f[t * n + r] = -inverse[of_curve(s, DELTA, t) * size + of_curve(s, DELTA, r)];
    answer->var_f[t] = answer->cov_f[t * n + t];
    for (size_t l = 1; l <= s->L; l++) {
      size_t i = (l - 1) * n + t, h = of_kernel(s, l, H, t, t), g = of_kernel(s, l, G, t, t);
      answer->Phi[i] = *at(s, s->H, l, t, t);
      answer->G[i] = *at(s, s->G, l, t, t);
      for (size_t r = 0; r < n; r++) {
        answer->cov_Phi[i * n + r] = -inverse[h * size + of_kernel(s, l, H, r, r)];
        answer->cov_G[i * n + r] = -inverse[g * size + of_kernel(s, l, G, r, r)];
      }
    }
  }
}

bool hessian_fluctuations(const DeepLinear *net, Fluctuations *answer) {
  size_t n = (size_t)net->steps + 1, L = (size_t)net->depth;
  Saddle s = {.net = net,
              .n = n,
              .L = L,
              .H = mem_block((L + 2) * n * n),
              .G = mem_block((L + 2) * n * n),
              .A = mem_block((L + 1) * n * n),
              .B = mem_block((L + 1) * n * n),
              .f = mem_block(n),
              .delta = mem_block(n),
              .propagator = mem_block((L + 1) * 16 * n * n)};
  *answer = (Fluctuations){.dimension = of_curve(&s, CURVES, 0),
                           .f = mem_block(n),
                           .ntk = mem_block(n),
                           .var_f = mem_block(n),
                           .cov_f = mem_block(n * n),
                           .var_ntk = mem_block(n),
                           .Phi = mem_block(L * n),
                           .G = mem_block(L * n),
                           .cov_Phi = mem_block(L * n * n),
                           .cov_G = mem_block(L * n * n)};
  bool fine = settle(&s);
  double *hessian = hessian_of(&s, answer->dimension);
  fine = fine && invert(hessian, answer->dimension);
  if (fine) answer_of(&s, hessian, answer);
  double *owned[] = {hessian, s.H, s.G, s.A, s.B, s.f, s.delta, s.propagator};
  for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) free(owned[i]);
  return fine;
}

void hessian_free(Fluctuations *answer) {
  double *owned[] = {answer->f,   answer->ntk, answer->var_f,   answer->cov_f, answer->var_ntk,
                     answer->Phi, answer->G,   answer->cov_Phi, answer->cov_G};
  for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) free(owned[i]);
}
