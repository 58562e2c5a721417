/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "alternate.h"

#include "base/memory.h"
#include "num/linalg.h"
#include "num/random.h"
#include "num/vecmath.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Everything over pairs (t, mu) of times and points, n of them, is an [n, n] table; fields are
 * [n, S]. What is drawn comes in, what is averaged goes out. */
typedef struct Order {
  double *Phi1, *G2; /* kernels that fields are drawn from */
  double *A, *B;     /* responses dphi(h1) / dr1 and dg2 / du2, over gamma */
  double *f;         /* [n] */
} Order;

/* One layer: h = u + C g and z = r + D phi(h), row block by row block; C and D [n, n] are causal.
 * Slopes phi' and phi'' z are kept for the responses. */
typedef struct Layer {
  size_t n, P, S;
  const double *C, *D;
  double *h, *z, *phi, *g; /* [n, S] */
  double *slope, *curve;   /* [n, S] */
} Layer;

static double *table(size_t rows, size_t cols) { return mem_insist(mem_block(rows * cols + 1)); }

static void propagate(const Layer *l) {
  size_t P = l->P, S = l->S, m = P * S;
  for (size_t a = 0; a < l->n; a += P) {
    double *h = l->h + a * S, *z = l->z + a * S, *phi = l->phi + a * S, *g = l->g + a * S,
           *slope = l->slope + a * S, *curve = l->curve + a * S;
    if (a) mat_mul(P, S, a, 1, l->C + a * l->n, l->n, l->g, S, 1, h, S);
    vec_tanh(m, h, phi);
    mat_mul(P, S, a + P, 1, l->D + a * l->n, l->n, l->phi, S, 1, z, S);
    for (size_t i = 0; i < m; i++) {
      slope[i] = 1 - phi[i] * phi[i];
      curve[i] = -2 * phi[i] * slope[i] * z[i];
      g[i] = slope[i] * z[i];
    }
  }
}

/* Adds d phi_a / d r_b (`up`), or d g_a / d u_b, of path s. X and Y [n, n] take dphi and dg. */
static void respond(const Layer *l, size_t s, bool up, double *X, double *Y, double *sum) {
  size_t n = l->n, P = l->P;
  for (size_t a = 0; a < n; a += P) {
    double *dphi = X + a * n, *dg = Y + a * n;
    memset(dphi, 0, P * n * sizeof *dphi);
    memset(dg, 0, P * n * sizeof *dg);
    if (a) mat_mul(P, n, a, 1, l->C + a * n, n, Y, n, 0, dphi, n); /* dh */
    for (size_t k = 0; k < P && !up; k++) dphi[k * n + a + k] += 1;
    for (size_t k = 0; k < P; k++)
      for (size_t b = 0; b < n; b++) {
        dg[k * n + b] = l->curve[(a + k) * l->S + s] * dphi[k * n + b];
        dphi[k * n + b] *= l->slope[(a + k) * l->S + s];
      }
    for (size_t k = 0; k < P; k++) {
      double *dz = sum + n * n;
      mat_mul(1, n, a + P, 1, l->D + (a + k) * n, n, X, n, 0, dz, n);
      if (up) dz[a + k] += 1;
      for (size_t b = 0; b < n; b++) dg[k * n + b] += l->slope[(a + k) * l->S + s] * dz[b];
    }
  }
  for (size_t i = 0; i < n * n; i++) sum[i] += up ? X[i] : Y[i];
}

/* to = damping to + (1 - damping) share sum */
static void mix(double damping, size_t n, const double *sum, double share, double *to) {
  for (size_t i = 0; i < n; i++) to[i] = damping * to[i] + (1 - damping) * share * sum[i];
}

static void responses(const Alternation *how, const Layer *l, bool up, double *to) {
  size_t n = l->n;
  double *X = table(n, n), *Y = table(n, n), *sum = table(n + 1, n);
  for (size_t s = 0; s < how->paths; s++) respond(l, s, up, X, Y, sum);
  mix(how->damping, n * n, sum, 1 / (how->gamma * (double)how->paths), to);
  free(X);
  free(Y);
  free(sum);
}

/* Rows of normal numbers with the covariance K [n, n]. */
static void draw(const Alternation *how, unsigned stream, const double *K, size_t n, double *out) {
  double *root = table(n, n), *noise = table(n, how->samples);
  int rank = mat_root(n, K, root);
  if (rank < 0) exit(1);
  random_normals(how->seed, stream, 0, (size_t)rank * how->samples, noise);
  mat_mul(n, how->samples, (size_t)rank, 1, root, n, noise, how->samples, 0, out, how->samples);
  free(root);
  free(noise);
}

/* The learned part of a drift, gamma eta / P Delta_b K_ab for earlier b, and the response. */
static double *drift(const Alternation *how, const Order *o, const double *K, size_t stride,
                     const double *response) {
  size_t P = how->points, n = (how->steps + 1) * P;
  double *out = table(n, n);
  for (size_t a = 0; a < n; a++)
    for (size_t b = 0; b < (a / P + 1) * P; b++) {
      double learned = how->targets[b % P] - o->f[b],
             k = stride ? K[a * n + b] : K[a % P * P + b % P];
      out[a * n + b] = b / P < a / P ? how->gamma * how->eta / (double)P * learned * k : 0;
      if (response) out[a * n + b] += how->gamma * response[a * n + b];
    }
  return out;
}

static Layer layer_new(const Alternation *how, double *C, double *D) {
  size_t P = how->points, n = (how->steps + 1) * P, S = how->samples;
  return (Layer){n,           P,           S,           C,           D,          table(n, S),
                 table(n, S), table(n, S), table(n, S), table(n, S), table(n, S)};
}

static void layer_free(const Layer *l) {
  double *const blocks[] = {(double *)l->C, (double *)l->D, l->h,     l->z,
                            l->phi,         l->g,           l->slope, l->curve};
  for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) free(blocks[i]);
}

/* Rows that are the same at all times. */
static void repeat(size_t rows, size_t n, size_t S, double *x) {
  for (size_t a = rows; a < n; a++) memcpy(x + a * S, x + a % rows * S, S * sizeof *x);
}

static void renew(const Alternation *how, const Layer *l, const double *x, double *kernel) {
  double *sum = table(l->n, l->n);
  mat_mul_bt(l->n, l->n, l->S, 1 / (double)l->S, x, l->S, x, l->S, 0, sum, l->n);
  mix(how->damping, l->n * l->n, sum, 1, kernel);
  free(sum);
}

static void first_layer(const Alternation *how, unsigned round, Order *o) {
  Layer l = layer_new(how, drift(how, o, how->gram, 0, NULL), drift(how, o, o->G2, 1, o->B));
  draw(how, 4 * round, how->gram, l.P, l.h);
  repeat(l.P, l.n, l.S, l.h);
  draw(how, 4 * round + 1, o->G2, l.n, l.z);
  propagate(&l);
  renew(how, &l, l.phi, o->Phi1);
  responses(how, &l, true, o->A);
  layer_free(&l);
}

static void second_layer(const Alternation *how, unsigned round, Order *o) {
  static const double one = 1;
  double *ones = table(how->points, how->points);
  for (size_t i = 0; i < how->points * how->points; i++) ones[i] = 1;
  Layer l = layer_new(how, drift(how, o, o->Phi1, 1, o->A), drift(how, o, ones, 0, NULL));
  draw(how, 4 * round + 2, o->Phi1, l.n, l.h);
  draw(how, 4 * round + 3, &one, 1, l.z);
  repeat(1, l.n, l.S, l.z);
  propagate(&l);
  renew(how, &l, l.g, o->G2);
  responses(how, &l, false, o->B);
  for (size_t a = l.n; a-- > 0;) {
    double start = dot(l.S, l.z + a % l.P * l.S, l.phi + a % l.P * l.S),
           now = (dot(l.S, l.z + a * l.S, l.phi + a * l.S) - start) / (how->gamma * (double)l.S);
    mix(how->damping, 1, &now, 1, &o->f[a]);
  }
  free(ones);
  layer_free(&l);
}

void alternate(const Alternation *how, double *f) {
  size_t n = (how->steps + 1) * how->points;
  Order o = {table(n, n), table(n, n), table(n, n), table(n, n), table(n, 1)};
  Alternation start = *how; /* the first kernels are those of fields that learn nothing */
  start.eta = start.damping = 0;
  start.paths = 1;
  for (size_t i = 0; i < n * n; i++) o.G2[i] = 1;
  first_layer(&start, 0, &o);
  memset(o.A, 0, n * n * sizeof *o.A);
  second_layer(&start, 0, &o);
  memset(o.B, 0, n * n * sizeof *o.B);
  for (int round = 1; round <= how->rounds; round++) {
    first_layer(how, (unsigned)round, &o);
    second_layer(how, (unsigned)round, &o);
  }
  memcpy(f, o.f, n * sizeof *f);
  double *const blocks[] = {o.Phi1, o.G2, o.A, o.B, o.f};
  for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) free(blocks[i]);
}
