/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The lazy limit gamma -> 0: kernels stay what they are at initialisation, and f follows the
 * tangent kernel,
 *
 *     steps  f(t) = K c(t), where c moves as a matrix does that takes up w Delta    exact, any loss
 *     flow   df/dt = (eta/P) K Delta; for losses with Delta linear in f solved by the eigenvalues
 * of K, exact at any dt, else by steps of dt
 *
 * Nothing is sampled. */
#include "base/memory.h"
#include "num/linalg.h"
#include "solve/initial.h"
#include "solve/observe.h"
#include "solve/run.h"

#include <lapacke.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Lazy {
  Program *program;
  Sizes sizes;
  Compiled compiled;
  InitialKernels kernels;
  double *K;     /* [R, R] */
  double *f;     /* [T+1, R, C] */
  double *limit; /* [R, C]: f at t = infinity; NULL when it is not known */
  double *scratch;
  int parts; /* of a step of gradient flow: Instant */
} Lazy;

/* K = sum rate G Phi, summed over pairs of positions. What stands in for a gradient under another
 * learning rule does not correlate with it at initialisation: such matrices do not contribute. */
static double *tangent(const Lazy *s) {
  const Program *p = s->program;
  size_t R = s->sizes.all;
  double *K = mem_new(R * R, sizeof *K);
  for (int k = 0; k < p->matrix_count; k++) {
    const Matrix *m = &p->matrices[k];
    if (m->rate == 0 || m->learns != m->y) continue;
    size_t A = (size_t)p->variables[m->x].positions, n = R * A;
    for (size_t i = 0; i < n; i++)
      for (size_t j = 0; j < n; j++)
        K[i / A * R + j / A] += m->rate * s->kernels.x[k][i * n + j] * s->kernels.y[k][i * n + j];
  }
  return K;
}

/* The mean over positions of a kernel, [R, R]; to be freed. */
static double *mean_kernel(const Lazy *s, const double *kernel, int variable) {
  size_t R = s->sizes.all, A = (size_t)s->program->variables[variable].positions;
  double *mean = mem_new(R * R, sizeof *mean);
  for (size_t a = 0; a < R; a++)
    for (size_t b = 0; b < R; b++)
      for (size_t i = 0; i < A; i++)
        mean[a * R + b] += kernel[(a * A + i) * R * A + b * A + i] / (double)A;
  return mean;
}

/* One move of c[P, C] and its velocity from where f is now, which they take to `next`. */
static void move_on(const Lazy *s, Instant now, const double *f, double *c, double *v,
                    double *next) {
  Sizes z = s->sizes;
  size_t n = z.points * z.outputs;
  double *force = s->scratch;
  Move move = move_of(s->program, &(Matrix){.rate = 1}, now, 1);
  training_delta(s->program, &s->compiled, f, force);
  training_force(s->program, now.t, force, force);
  for (size_t i = 0; i < n; i++) {
    v[i] = move.beta * v[i] + force[i];
    c[i] += move.push * v[i] + move.pull * force[i];
  }
  mat_mul(z.all, z.outputs, z.points, 1, s->K, z.all, c, z.outputs, 0, next, z.outputs);
}

/* The steps of f(t) = K c(t). Returns the step at which f diverges, or -1. */
static int iterate(Lazy *s) {
  Sizes z = s->sizes;
  size_t n = z.points * z.outputs, row = z.all * z.outputs;
  double *c = s->scratch + n, *v = c + n, limit;
  int stages = stages_of(s->program, s->parts);
  limit = loss_limit(s->program, &s->compiled, s->f, s->K, INFINITY);
  memset(c, 0, 2 * n * sizeof *c);
  for (size_t t = 0; t + 1 < z.steps; t++) {
    double *next = s->f + (t + 1) * row;
    for (int stage = 0; stage < stages; stage++)
      move_on(s, (Instant){(int)t, stage, s->parts}, stage ? next : s->f + t * row, c, v, next);
    if (has_diverged(s->program, &s->compiled, next, limit)) return (int)t + 1;
  }
  return -1;
}

/* Delta = Delta_0 - c f with a constant c > 0, as for the squared error. */
static bool is_linear_loss(const Program *p, double *c) {
  if (!p->problem->loss) return false;
  const Expr *slope = expr_diff(p->pool, p->delta[0], 0);
  *c = -slope->value;
  return slope->prim == PRIM_CONST && slope->value < 0;
}

/* f(tau) = K_* U g(lambda, tau) U^T Delta_0 with g = (1 - e^{-c lambda tau}) / (c lambda), tau the
 * integrated rate; tau = infinity projects on the range of K. */
static void spectral(const Lazy *s, const double *U, const double *lambda, double c, double tau,
                     double *out) {
  Sizes z = s->sizes;
  size_t P = z.points, C = z.outputs;
  double *start = s->scratch, *mode = start + P * C, *f0 = mode + P * C;
  memset(f0, 0, P * C * sizeof *f0);
  run_loss(s->program, &s->compiled, P, f0, s->program->problem->targets->data, NULL, start);
  mat_mul_at(P, C, P, 1, U, P, start, C, 0, mode, C);
  for (size_t k = 0; k < P; k++) {
    double rate = c * lambda[k], least = 1e-12 * c * lambda[P - 1], gain = tau;
    if (isinf(tau))
      gain = rate > least ? 1 / rate : 0;
    else if (rate != 0)
      gain = -expm1(-rate * tau) / rate;
    for (size_t i = 0; i < C; i++) mode[k * C + i] *= gain;
  }
  mat_mul(P, C, P, 1, U, P, mode, C, 0, start, C);
  mat_mul(z.all, C, P, 1, s->K, z.all, start, C, 0, out, C);
}

/* eta/P, or eta dt/P */
static double mean_rate(const Lazy *s, size_t t) {
  return s->program->update.rate[t] / (double)s->sizes.points;
}

/* Solves a linear loss in the eigenbasis of the training kernel: all times when `flow`, and t =
 * infinity, where gd and flow agree as long as gd is stable. */
static bool diagonalise(Lazy *s, double c, bool flow) {
  Sizes z = s->sizes;
  size_t P = z.points;
  double *U = mem_new(P * P, sizeof *U), *lambda = mem_new(P, sizeof *lambda), tau = 0;
  for (size_t a = 0; a < P; a++) memcpy(U + a * P, s->K + a * z.all, P * sizeof *U);
  bool fine = LAPACKE_dsyevd(LAPACK_ROW_MAJOR, 'V', 'U', (int)P, U, (int)P, lambda) == 0;
  for (size_t t = 0; fine && flow && t < z.steps; t++) {
    spectral(s, U, lambda, c, tau, s->f + t * z.all * z.outputs);
    if (t + 1 < z.steps) tau += mean_rate(s, t);
  }
  double largest = 0;
  for (size_t t = 0; t + 1 < z.steps; t++) largest = fmax(largest, mean_rate(s, t));
  const Update *update = &s->program->update;
  bool stable = largest * c * lambda[P - 1] < 2 && !update->weight && update->momentum == 0;
  if (fine && (flow || stable)) {
    s->limit = mem_new(z.all * z.outputs, sizeof *s->limit);
    spectral(s, U, lambda, c, INFINITY, s->limit);
  }
  free(U);
  free(lambda);
  return fine;
}

/* ---- results ---- */

/* A kernel [R, R] that does not depend on time, as [T+1, R, T+1, R]; it is freed. */
static bool fill_static(const Lazy *s, Result *result, FieldId id, int layer, double *kernel) {
  Sizes z = s->sizes;
  size_t n = z.steps * z.all;
  double *all = mem_block(n * n);
  for (size_t a = 0; all && a < n; a++)
    for (size_t t = 0; t < z.steps; t++)
      memcpy(all + a * n + t * z.all, kernel + (a % z.all) * z.all, z.all * sizeof *all);
  bool fine = all && field_fill(result, id, layer, z, all, NULL);
  free(all);
  free(kernel);
  return fine;
}

static double *phi_of(const Lazy *s, int l) {
  int k = s->program->phi_matrix[l];
  const double *features = s->kernels.features[k];
  return mean_kernel(s, features ? features : s->kernels.x[k], s->program->matrices[k].features);
}

static double *g_of(const Lazy *s, int l) {
  int k = s->program->phi_matrix[l - 1];
  return mean_kernel(s, s->kernels.y[k], s->program->matrices[k].y);
}

static bool add_layers(Lazy *s, Result *result) {
  Sizes z = s->sizes;
  double *kernel = mem_new(z.steps * z.all * z.all, sizeof *kernel),
         *curve = mem_new(z.steps, sizeof *curve);
  bool fine = true;
  for (int l = 1; fine && l <= s->program->layers; l++) {
    double *phi = phi_of(s, l);
    for (size_t t = 0; t < z.steps; t++)
      memcpy(kernel + t * z.all * z.all, phi, z.all * z.all * sizeof *kernel);
    free(phi);
    if (observe_aligns(s->program)) {
      observe_alignment(s->program, z, kernel, curve);
      fine = field_add(result, FIELD_ALIGNMENT, l, z, curve, NULL);
    }
    field_promise(result, FIELD_PHI, l);
    field_promise(result, FIELD_G, l);
  }
  free(kernel);
  free(curve);
  return fine;
}

static bool add_limit(Lazy *s, Result *result) {
  Sizes z = s->sizes;
  if (!s->limit) return true;
  Sizes one = {1, z.points, z.all, z.outputs};
  double train, test;
  observe_loss(s->program, one, &s->compiled, s->limit, &train, &test);
  bool fine = field_add(result, FIELD_F_INFINITY, 0, z, s->limit, NULL) &&
              field_add(result, FIELD_LOSS_INFINITY, 0, z, &train, NULL);
  if (fine && z.all > z.points)
    fine = field_add(result, FIELD_F_TEST_INFINITY, 0, z, s->limit + z.points * z.outputs, NULL);
  if (fine && s->program->problem->test_targets)
    fine = field_add(result, FIELD_TEST_LOSS_INFINITY, 0, z, &test, NULL);
  return fine;
}

static bool add_curves(Lazy *s, Result *result) {
  Sizes z = s->sizes;
  size_t P = z.points;
  double *train = mem_new(field_size(FIELD_F, z), sizeof *train),
         *test = mem_new(field_size(FIELD_F_TEST, z) + z.steps, sizeof *test);
  double *ntk = mem_new(field_size(FIELD_NTK, z), sizeof *ntk);
  observe_split(z, s->f, train, test);
  bool fine = field_add(result, FIELD_F, 0, z, train, NULL);
  if (fine && z.all > P) fine = field_add(result, FIELD_F_TEST, 0, z, test, NULL);
  observe_loss(s->program, z, &s->compiled, s->f, train, test);
  fine = fine && field_add(result, FIELD_LOSS, 0, z, train, NULL);
  if (fine && s->program->problem->test_targets)
    fine = field_add(result, FIELD_TEST_LOSS, 0, z, test, NULL);
  observe_delta(s->program, z, &s->compiled, s->f, train);
  fine = fine && field_add(result, FIELD_DELTA, 0, z, train, NULL);
  for (size_t t = 0; t < z.steps; t++)
    for (size_t a = 0; a < P; a++) memcpy(ntk + (t * P + a) * P, s->K + a * z.all, P * sizeof *ntk);
  fine = fine && field_add(result, FIELD_NTK, 0, z, ntk, NULL);
  free(train);
  free(test);
  free(ntk);
  return fine;
}

/* ---- running ---- */

static Status start(Lazy *s, Program *program, int threads, char **why) {
  *s = (Lazy){.program = program, .sizes = sizes_of(program)};
  Sizes z = s->sizes;
  double kernels = 0,
         curves = 4 * (double)z.steps * (double)(z.all * z.outputs + z.points * z.points);
  for (int k = 0; k < program->op_count; k++) {
    int v = program->ops[k].dst;
    kernels += 4 * pow((double)z.all * program->variables[v].positions, 2);
  }
  double bytes = 8 * (kernels + curves);
  if (bytes > mem_available()) return run_refuse(why, bytes);
  s->compiled = compile(program);
  Status status = initial_kernels(program, threads, &s->kernels, why);
  if (status != STATUS_OK) return status;
  s->K = tangent(s);
  s->f = mem_new(z.steps * z.all * z.outputs, sizeof *s->f);
  s->scratch = mem_new(3 * z.points * z.outputs, sizeof *s->scratch);
  return STATUS_OK;
}

static void clean(Lazy *s) {
  if (s->kernels.x) initial_free(s->program, &s->kernels);
  if (s->compiled.maps) compiled_free(s->program, &s->compiled);
  free(s->K);
  free(s->f);
  free(s->limit);
  free(s->scratch);
}

const char *solve_lacks_limit(const Result *theory) {
  const Origin *origin = theory->origin;
  const char *closure = result_attribute(theory, "closure");
  bool lazy = closure && strcmp(closure, "ntk") == 0;
  if (origin && origin->program->problem->parameterization == PARAM_NTK) lazy = true;
  if (origin && origin->options.closure == CLOSURE_NTK) lazy = true;
  if (!lazy) return "it belongs to the lazy limit: closure = \"ntk\"";
  if (result_find(theory, "f_infinity", 0) || !origin) return NULL;
  double c;
  const Program *p = origin->program;
  if (!is_linear_loss(p, &c)) return "it is known for losses with Delta linear in f, such as mse";
  if (p->update.momentum > 0 || p->update.weight)
    return "it is known for gradient descent on all points, without momentum";
  return "the learning rate is unstable, and f has no limit";
}

double solve_stable_rate(Program *program, int threads) {
  const Update *update = &program->update;
  bool plain = !update->weight && update->momentum == 0 && update->decay == 0;
  double c, bound = INFINITY;
  char *why = NULL;
  Lazy s = {0};
  if (plain && program->problem->optimizer != OPT_FLOW &&
      start(&s, program, threads, &why) == STATUS_OK && is_linear_loss(program, &c)) {
    size_t P = s.sizes.points;
    double *lambda = mem_new(P, sizeof *lambda);
    for (size_t a = 0; a < P; a++) memmove(s.K + a * P, s.K + a * s.sizes.all, P * sizeof *s.K);
    if (LAPACKE_dsyevd(LAPACK_ROW_MAJOR, 'N', 'U', (int)P, s.K, (int)P, lambda) == 0)
      bound = 2 * (double)P / (c * lambda[P - 1]);
    free(lambda);
  }
  free(why);
  clean(&s);
  return bound;
}

static Status complete(Result *result, const char *name, char **why) {
  (void)name; /* they come together */
  Origin *origin = result->origin;
  Lazy s;
  Status status = start(&s, origin->program, origin->options.threads, why);
  double n = (double)(s.sizes.steps * s.sizes.all), bytes = 16 * n * n * origin->program->layers;
  if (status == STATUS_OK && bytes > mem_available()) status = run_refuse(why, bytes);
  for (int l = 1; status == STATUS_OK && l <= origin->program->layers; l++)
    if (!fill_static(&s, result, FIELD_PHI, l, phi_of(&s, l)) ||
        !fill_static(&s, result, FIELD_G, l, g_of(&s, l)))
      status = run_refuse(why, bytes);
  clean(&s);
  if (status == STATUS_OK) result->complete = NULL;
  return status;
}

void solve_lazy_origin(Result *result, Program *program, const SolveOptions *options) {
  run_origin(result, program, options);
  result->complete = complete;
}

Status solve_lazy(Program *program, const SolveOptions *options, Result **result, char **why) {
  *result = NULL;
  double began = run_clock(), c;
  Lazy s;
  Status status = start(&s, program, options->threads, why);
  s.parts = options->parts;
  if (status == STATUS_OK) {
    bool flow = program->problem->optimizer == OPT_FLOW, linear = is_linear_loss(program, &c);
    int failed_at = flow && linear ? -1 : iterate(&s);
    if (linear && !diagonalise(&s, c, flow)) failed_at = 0;
    if (failed_at >= 0)
      status = run_diverged(why, "training", failed_at, program, options->threads);
  }
  if (status == STATUS_OK) {
    Result *r = result_new("dmft");
    r->exact = true;
    solve_lazy_origin(r, program, options);
    bool fine = observe_start(r, program, s.sizes) && add_curves(&s, r) && add_layers(&s, r) &&
                add_limit(&s, r);
    result_note(r, "closure", "ntk");
    result_note(r, "seconds", "%.6g", run_clock() - began);
    if (fine)
      *result = r;
    else {
      result_drop(r);
      *why = mem_string("out of memory");
      status = STATUS_LIMIT;
    }
  }
  clean(&s);
  return status;
}
