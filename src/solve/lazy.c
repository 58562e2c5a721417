/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The lazy limit gamma -> 0: kernels stay what they are at initialisation, and f follows the
 * tangent kernel,
 *
 *     steps  f(t) = f(0) + K c(t), where c moves as a matrix does that takes up w Delta
 *     flow   df/dt = (eta/P) K Delta; for losses with Delta linear in f solved by the eigenvalues
 *            of K, exact at any dt, else integrated
 *
 * f(0) = 0 in the mean, and nothing is sampled, unless layers mix fields: mixed.h. In the
 * parameterization of the tangent kernel an output that is not centred starts at a Gaussian f(0) of
 * order one, whose covariance is the kernel of what the readout reads. Results are then means over
 * f(0): f is that of f(0) = 0 where Delta is linear in f, and the losses gain the variance of f,
 * which is a sum over the columns of a root of the covariance; of other losses pairs +-f(0) are
 * drawn. */
#include "base/memory.h"
#include "num/lapack.h"
#include "num/linalg.h"
#include "num/random.h"
#include "num/stats.h"
#include "machine/machine.h"
#include "solve/lazy.h"
#include "solve/mixed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What is one number at every time, where a program has it. */
enum { LOSS, TEST_LOSS, ACCURACY, TEST_ACCURACY, CURVES };
static const FieldId curve_ids[CURVES] = {FIELD_LOSS, FIELD_TEST_LOSS, FIELD_ACCURACY,
                                          FIELD_TEST_ACCURACY};

typedef struct Lazy {
  Program *program, *complete; /* as it was lowered, and with its outputs */
  Sizes sizes;
  MachineCode code;
  Machine errors, curve[CURVES]; /* as functions of f [R, C] */
  InitialKernels kernels;
  bool borrowed; /* the kernels are those of the caller */
  double *K;     /* [R, R] */
  double *start; /* [R, C]: f(0) */
  double *f;     /* [T+1, R, C], from there */
  double *scratch;
  int parts; /* of a step of gradient flow: Instant */
  /* where Delta = Delta_0 - c f: the eigenbasis of K on the training points, and f at t = infinity
   * [R, C], NULL when it is not known */
  bool linear;
  double c, *U, *lambda, *limit;
  bool late; /* that f is known to exist, and waits until somebody asks for it */
  /* the means over f(0), as outcome_of has them, with their errors where f(0) was drawn */
  double *mean, *error;
  double limit_loss[2]; /* of training and test points */
  bool starved;         /* something of these could not be had */
} Lazy;

/* The mean over positions of a kernel, [R, R]; to be freed; NULL without memory. */
static double *mean_kernel(const Program *p, const double *kernel, int variable) {
  size_t R = sizes_of(p).all, A = (size_t)p->variables[variable].positions;
  double *mean = kernel ? mem_try(R * R, sizeof *mean) : NULL;
  for (size_t a = 0; mean && a < R; a++)
    for (size_t b = 0; b < R; b++)
      for (size_t i = 0; i < A; i++)
        mean[a * R + b] += kernel[(a * A + i) * R * A + b * A + i] / (double)A;
  return mean;
}

double *lazy_kernel(const Program *p, const InitialKernels *kernels, FieldId id, int layer) {
  int k = p->phi_matrix[id == FIELD_PHI ? layer : layer - 1];
  const Matrix *m = &p->matrices[k];
  if (id != FIELD_PHI) return mean_kernel(p, kernels->y[k], m->y);
  return mean_kernel(p, kernels->features[k] ? kernels->features[k] : kernels->x[k], m->features);
}

/* Delta [P, C] at f [R, C]. */
static void errors_of(Lazy *s, const double *f, double *delta) {
  machine_call(&s->errors, s->complete->f, f, s->complete->delta, delta);
}

static const ProgramObservable *curve_of(const Lazy *s, int k) {
  return program_observable(s->complete, (int)curve_ids[k], 0);
}

/* A curve at f [R, C]; 0 where there is none. */
static double curve_at(Lazy *s, int k, const double *f) {
  double value = 0;
  if (curve_of(s, k))
    machine_call(&s->curve[k], s->complete->f, f, curve_of(s, k)->variable, &value);
  return value;
}

/* The factor of the force F [P, C] under a norm sqrt(F' K F) of the gradient. */
static double scale_of(const Lazy *s, const double *force) {
  Sizes z = s->sizes;
  const Update *update = &s->program->update;
  double square = 1e-300;
  for (size_t a = 0; a < z.points; a++)
    for (size_t b = 0; b < z.points; b++)
      square += s->K[a * z.all + b] * dot(z.outputs, force + a * z.outputs, force + b * z.outputs);
  return update->normalized ? 1 / sqrt(square) : fmin(1, update->clip / sqrt(square));
}

/* One move of c[P, C] and its velocity from where f is now, which they take to `next`. */
static void move_on(Lazy *s, Instant now, const double *f, double *c, double *v, double *next) {
  Sizes z = s->sizes;
  size_t n = z.points * z.outputs;
  double *force = s->scratch;
  Move move = move_of(s->program, &(Matrix){.rate = 1}, now, 1);
  const double *weight = s->program->update.weight;
  errors_of(s, f, force);
  for (size_t i = 0; i < n; i++) {
    size_t mu = i / z.outputs;
    force[i] *= weight ? weight[(size_t)now.t * z.points + mu] : 1 / (double)z.points;
  }
  double scale = update_scales(&s->program->update) ? scale_of(s, force) : 1;
  for (size_t i = 0; i < n; i++) {
    force[i] *= scale;
    v[i] = move.beta * v[i] + force[i];
    c[i] += move.push * v[i] + move.pull * force[i];
  }
  memcpy(next, s->start, z.all * z.outputs * sizeof *next);
  mat_mul(z.all, z.outputs, z.points, 1, s->K, z.all, c, z.outputs, 1, next, z.outputs);
}

/* The steps of f. Returns the step at which it diverges, or -1. */
static int iterate(Lazy *s) {
  Sizes z = s->sizes;
  size_t n = z.points * z.outputs, row = z.all * z.outputs;
  double *c = s->scratch + n, *v = c + n, limit;
  int stages = stages_of(s->program, s->parts);
  memcpy(s->f, s->start, row * sizeof *s->f);
  limit = DIVERGED * curve_at(s, LOSS, s->f);
  memset(c, 0, 2 * n * sizeof *c);
  for (size_t t = 0; t + 1 < z.steps; t++) {
    double *next = s->f + (t + 1) * row;
    for (int stage = 0; stage < stages; stage++)
      move_on(s, (Instant){(int)t, stage, s->parts}, stage ? next : s->f + t * row, c, v, next);
    double loss = curve_at(s, LOSS, next);
    if (!isfinite(loss) || (limit > 0 && loss > limit)) return (int)t + 1;
  }
  return -1;
}

/* Delta = Delta_0 - c f with a constant c > 0, as for the squared error. */
static bool is_linear_loss(const Program *p, double *c) {
  if (!p->problem->loss) return false;
  ExprPool *pool = expr_pool_new();
  const Expr *of[] = {expr_arg(pool, 0), expr_arg(pool, 1)};
  const Expr *ell = expr_substitute(pool, p->problem->loss, of),
             *slope = expr_diff(pool, expr_diff(pool, ell, 0), 0);
  bool constant = slope->prim == PRIM_CONST && slope->value > 0;
  *c = slope->value;
  expr_pool_free(pool);
  return constant;
}

/* f(tau) = f(0) + K_* U g(lambda, tau) U^T Delta(0) with g = (1 - e^{-c lambda tau}) / (c lambda),
 * tau the integrated rate; tau = infinity projects on the range of K. */
static void spectral(Lazy *s, double tau, double *out) {
  Sizes z = s->sizes;
  size_t P = z.points, C = z.outputs;
  double *start = s->scratch, *mode = start + P * C;
  errors_of(s, s->start, start);
  mat_mul_at(P, C, P, 1, s->U, P, start, C, 0, mode, C);
  for (size_t k = 0; k < P; k++) {
    double rate = s->c * s->lambda[k], least = 1e-12 * s->c * s->lambda[P - 1], gain = tau;
    if (isinf(tau))
      gain = rate > least ? 1 / rate : 0;
    else if (rate != 0)
      gain = -expm1(-rate * tau) / rate;
    for (size_t i = 0; i < C; i++) mode[k * C + i] *= gain;
  }
  mat_mul(P, C, P, 1, s->U, P, mode, C, 0, start, C);
  memcpy(out, s->start, z.all * C * sizeof *out);
  mat_mul(z.all, C, P, 1, s->K, z.all, start, C, 1, out, C);
}

/* eta/P, or eta dt/P */
static double mean_rate(const Lazy *s, size_t t) {
  return update_rate(&s->program->update, (int)t) / (double)s->sizes.points;
}

/* Whether a field may wait until somebody asks for it. */
static bool is_late(const Lazy *s, FieldSet unread, FieldId id) {
  return !s->borrowed && unread & field_bit(id);
}

static double largest_rate(const Lazy *s) {
  double largest = 0;
  for (size_t t = 0; t + 1 < s->sizes.steps; t++) largest = fmax(largest, mean_rate(s, t));
  return largest;
}

static bool has_starts(const Program *p) {
  return p->problem->parameterization == PARAM_NTK && !p->problem->centered;
}

/* What is known at t = infinity. */
static const FieldId limits[] = {FIELD_F_INFINITY, FIELD_F_TEST_INFINITY, FIELD_LOSS_INFINITY,
                                 FIELD_TEST_LOSS_INFINITY};

/* Whether the limit of descent waits: where it is surely stable, since no eigenvalue exceeds the
 * largest sum of a row of K. */
static bool limit_waits(const Lazy *s, FieldSet unread) {
  const Update *update = &s->program->update;
  bool plain = s->linear && !update->flow && !update_scales(update) && !update->weight &&
               update->momentum == 0 && !has_starts(s->program);
  for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
    plain = plain && is_late(s, unread, limits[i]);
  double most = 0;
  for (size_t a = 0; plain && a < s->sizes.points; a++) {
    double sum = 0;
    for (size_t b = 0; b < s->sizes.points; b++) sum += fabs(s->K[a * s->sizes.all + b]);
    most = fmax(most, sum);
  }
  return plain && largest_rate(s) * s->c * most < 2;
}

/* Prepares a linear loss. At t = infinity gd and flow agree as long as gd is stable. */
static Status diagonalise(Lazy *s) {
  Sizes z = s->sizes;
  size_t P = z.points;
  s->U = mem_try(P * P, sizeof *s->U);
  s->lambda = mem_new(P, sizeof *s->lambda);
  for (size_t a = 0; a < P && s->U; a++) memcpy(s->U + a * P, s->K + a * z.all, P * sizeof *s->U);
  int failed = s->U ? lapack_eigen(true, 'U', P, s->U, s->lambda) : -1;
  if (failed) return mat_status(failed < 0 ? MAT_STARVED : MAT_FAILED);
  const Update *update = &s->program->update;
  bool stable =
      largest_rate(s) * s->c * s->lambda[P - 1] < 2 && !update->weight && update->momentum == 0;
  if (!update_scales(update) && (update->flow || stable))
    s->limit = mem_new(z.all * z.outputs, sizeof *s->limit);
  return STATUS_OK;
}

/* Whether f is known at all times by the eigenvalues. */
static bool is_solved(const Program *p, bool linear) {
  return linear && p->update.flow && !update_scales(&p->update);
}

/* f at all times from s->start. Returns the step at which it diverges, or -1. */
static int trace(Lazy *s) {
  Sizes z = s->sizes;
  bool solved = is_solved(s->program, s->linear);
  double tau = 0;
  if (s->limit) spectral(s, INFINITY, s->limit);
  for (size_t t = 0; solved && t < z.steps; t++) {
    spectral(s, tau, s->f + t * z.all * z.outputs);
    if (t + 1 < z.steps) tau += mean_rate(s, t);
  }
  return solved ? -1 : iterate(s);
}

/* ---- means over f(0) ---- */

/* f [T+1, R, C], curves [T+1], and Delta [T+1, P, C]. */
typedef struct Outcome {
  double *f, *curve[CURVES], *delta;
} Outcome;

static Outcome outcome_of(Sizes z, double *block) {
  double *first = block + z.steps * z.all * z.outputs;
  Outcome o = {.f = block, .delta = first + CURVES * z.steps};
  for (size_t k = 0; k < CURVES; k++) o.curve[k] = first + k * z.steps;
  return o;
}

static size_t outcome_size(Sizes z) { return z.steps * ((z.all + z.points) * z.outputs + CURVES); }

static void measure(Lazy *s, double *block) {
  Sizes z = s->sizes;
  Outcome o = outcome_of(z, block);
  size_t row = z.all * z.outputs;
  memcpy(o.f, s->f, z.steps * row * sizeof *o.f);
  for (size_t t = 0; t < z.steps; t++) {
    for (int k = 0; k < CURVES; k++) o.curve[k][t] = curve_at(s, k, s->f + t * row);
    errors_of(s, s->f + t * row, o.delta + t * z.points * z.outputs);
  }
}

/* A root F [R, R] of the covariance of f(0), the same for every output: F F^T = sum of sigma^2
 * <x x> over the readouts; NULL where f(0) = 0. Its rank, negative if there is none (num/linalg.h),
 * goes to *rank. */
static double *start_root(const Lazy *s, int *rank) {
  const Program *p = s->program;
  size_t R = s->sizes.all;
  if (!has_starts(p)) return NULL;
  double *covariance = mem_try(R * R, sizeof *covariance), *root = mem_try(R * R, sizeof *root);
  *rank = MAT_STARVED;
  for (int k = 0; k < p->matrix_count && covariance; k++)
    if (is_readout(p, k))
      axpy(R * R,
           p->matrices[k].sigma * p->matrices[k].sigma / p->spaces[p->matrices[k].from].ratio,
           s->kernels.x[k], covariance);
  if (covariance && root) *rank = mat_root(R, covariance, root);
  free(covariance);
  return root;
}

/* sum_c x^2 of points first .. end-1, mean over the points */
static double mean_square(Sizes z, const double *a, const double *b, size_t first, size_t end) {
  double sum = 0;
  for (size_t i = first * z.outputs; i < end * z.outputs; i++) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return end > first ? sum / (double)(end - first) : 0;
}

/* The chance that output `own` is the largest, or that one output has the sign of its class, where
 * outputs are independent normal numbers of these means and one deviation: int Dx prod_c P(f_c <
 * f_own), by the trapezoidal rule, which is exact to rounding on the whole line. */
static double chance(size_t outputs, const double *mean, size_t own, double deviation) {
  enum { POINTS = 201 };
  const double reach = 10;
  if (outputs == 1) return erfc((own ? -1 : 1) * mean[0] / (deviation * sqrt(2))) / 2;
  double sum = 0, step = 2 * reach / (POINTS - 1);
  for (int i = 0; i < POINTS; i++) {
    double x = i * step - reach, product = step * exp(-x * x / 2) / sqrt(2 * M_PI);
    for (size_t c = 0; c < outputs; c++)
      if (c != own) product *= erfc(-(x + (mean[own] - mean[c]) / deviation) / sqrt(2)) / 2;
    sum += product;
  }
  return sum;
}

/* Accuracies where f scatters about its mean with these variances [T+1, R]. */
static void scatter_classes(Lazy *s, Outcome mean, const double *variance) {
  Sizes z = s->sizes;
  for (int test = 0; test < 2; test++) {
    int k = test ? TEST_ACCURACY : ACCURACY;
    if (!curve_of(s, k)) continue;
    const Problem *p = s->program->problem;
    const double *y = (test ? p->test_targets : p->targets)->data;
    size_t first = test ? z.points : 0, count = test ? z.all - z.points : z.points;
    for (size_t t = 0; t < z.steps; t++) {
      double sum = 0;
      for (size_t a = 0; a < count; a++)
        sum += chance(z.outputs, mean.f + (t * z.all + first + a) * z.outputs,
                      class_of(y + a * z.outputs, z.outputs),
                      sqrt(variance[t * z.all + first + a] + 1e-300));
      mean.curve[k][t] = sum / (double)count;
    }
  }
}

/* Where Delta is linear in f, f - <f> is linear in f(0), and ell has the constant curvature c: a
 * column of F adds (c/2) (f - <f>)^2 to the loss, for f from f(0) = that column, and f - <f> to the
 * deviations of every output, which are independent. */
static int add_columns(Lazy *s, const double *root, int rank) {
  Sizes z = s->sizes;
  Outcome mean = outcome_of(z, s->mean);
  size_t row = z.all * z.outputs;
  double *variance = mem_try(z.steps * z.all, sizeof *variance);
  double *limit = s->limit ? mem_new(row, sizeof *limit) : NULL;
  int failed_at = -1;
  if ((s->starved = !variance)) return free(limit), failed_at;
  if (limit) memcpy(limit, s->limit, row * sizeof *limit);
  for (int k = 0; k < rank && failed_at < 0; k++) {
    for (size_t i = 0; i < row; i++) s->start[i] = root[i / z.outputs * z.all + (size_t)k];
    failed_at = trace(s);
    for (size_t t = 0; t < z.steps; t++) {
      const double *f = s->f + t * row, *centre = mean.f + t * row;
      mean.curve[LOSS][t] += s->c / 2 * mean_square(z, f, centre, 0, z.points);
      mean.curve[TEST_LOSS][t] += s->c / 2 * mean_square(z, f, centre, z.points, z.all);
      for (size_t a = 0; a < z.all; a++) {
        double off = f[a * z.outputs] - centre[a * z.outputs];
        variance[t * z.all + a] += off * off;
      }
    }
    for (int test = 0; test < 2 && limit; test++)
      s->limit_loss[test] +=
          s->c / 2 * mean_square(z, s->limit, limit, test ? z.points : 0, test ? z.all : z.points);
  }
  if (failed_at < 0) scatter_classes(s, mean, variance);
  if (limit) memcpy(s->limit, limit, row * sizeof *limit);
  free(variance);
  free(limit);
  return failed_at;
}

static int pairs_of(const SolveOptions *options) {
  return (options->samples > FEWEST_SAMPLES ? options->samples : FEWEST_SAMPLES) / 2;
}

/* The mean over pairs +-f(0), and its error. */
static Status draw_starts(Lazy *s, const double *root, int rank, const SolveOptions *options,
                          int *failed_at) {
  Sizes z = s->sizes;
  size_t n = outcome_size(z), R = z.all, C = z.outputs;
  double *eps = mem_new(R * C, sizeof *eps), *pair = mem_try(2 * n, sizeof *pair);
  Moments moments;
  s->error = mem_try(n, sizeof *s->error);
  bool fine = moments_start(&moments, n, 2) && pair && s->error, stopped = false;
  for (int k = 0; fine && !stopped && *failed_at < 0 && k < pairs_of(options); k++) {
    random_normals(options->seed, random_stream(RANDOM_OUTPUTS, 0, 0, 0), (size_t)k * R * C,
                   (size_t)rank * C, eps);
    mat_mul(R, C, (size_t)rank, 1, root, R, eps, C, 0, s->start, C);
    for (int sign = 0; sign < 2 && *failed_at < 0; sign++) {
      *failed_at = trace(s);
      measure(s, pair + (size_t)sign * n);
      for (size_t i = 0; i < R * C; i++) s->start[i] = -s->start[i];
    }
    for (size_t i = 0; i < n; i++) pair[i] = (pair[i] + pair[n + i]) / 2;
    moments_add(&moments, pair);
    stopped = options->stop && *options->stop;
  }
  if (fine) moments_mean(&moments, s->mean, s->error);
  moments_free(&moments);
  free(eps);
  free(pair);
  return stopped ? STATUS_INTERRUPTED : fine ? STATUS_OK : STATUS_LIMIT;
}

static void judge_limit(Lazy *s) {
  for (int test = 0; test < 2; test++)
    s->limit_loss[test] = curve_at(s, test ? TEST_LOSS : LOSS, s->limit);
}

/* Says why, of what is neither done nor diverged. */
static Status leave_off(Status status, char **why) {
  if (status == STATUS_INTERRUPTED) *why = mem_string("interrupted");
  if (status == STATUS_LIMIT) *why = mem_string("out of memory");
  return status;
}

static Status solve_means(Lazy *s, const SolveOptions *options, char **why) {
  Sizes z = s->sizes;
  s->linear = is_linear_loss(s->program, &s->c);
  s->late = limit_waits(s, options->unread);
  int rank = 0;
  Status status = s->linear && !s->late ? diagonalise(s) : STATUS_OK;
  if (status == STATUS_LIMIT || status == STATUS_INTERRUPTED) return leave_off(status, why);
  int failed_at = status == STATUS_OK ? trace(s) : 0;
  if (!(s->mean = mem_try(outcome_size(z), sizeof *s->mean))) return leave_off(STATUS_LIMIT, why);
  double *root = failed_at < 0 ? start_root(s, &rank) : NULL;
  if (rank == MAT_STARVED) return free(root), leave_off(mat_status(rank), why);
  status = STATUS_OK;
  measure(s, s->mean);
  if (s->limit) judge_limit(s);
  if (rank < 0)
    failed_at = 0;
  else if (root && s->linear)
    failed_at = add_columns(s, root, rank);
  else if (root)
    status = draw_starts(s, root, rank, options, &failed_at);
  free(root);
  if (failed_at >= 0) return run_diverged(why, "training", failed_at, s->program, options->threads);
  return leave_off(status, why);
}

/* ---- results ---- */

/* What does not depend on f(0) has no error, in a result that has drawn it, too. */
static bool put(Result *result, FieldId id, int layer, Sizes z, const double *value) {
  bool fine = field_fill(result, id, layer, z, value, NULL);
  ResultField *field = result_find(result, field_row(id)->name, layer);
  if (fine && !field->error) field->error = array_new(field->value->rank, field->value->shape);
  return fine && field->error;
}

/* A kernel [R, R] that does not depend on time, as [T+1, R, T+1, R]; NULL if memory ran out. */
static double *repeated(Sizes z, const double *kernel) {
  size_t n = z.steps * z.all;
  double *all = mem_block(n * n);
  for (size_t a = 0; all && a < n; a++)
    for (size_t t = 0; t < z.steps; t++)
      memcpy(all + a * n + t * z.all, kernel + (a % z.all) * z.all, z.all * sizeof *all);
  return all;
}

bool lazy_fill(Result *result, Sizes z, FieldId id, int layer, const double *kernel,
               const double *error) {
  double *all = repeated(z, kernel), *errors = error ? repeated(z, error) : NULL;
  bool fine = all && (errors || !error);
  if (fine)
    fine = error ? field_fill(result, id, layer, z, all, errors) : put(result, id, layer, z, all);
  free(all);
  free(errors);
  return fine;
}

/* The alignment of a kernel with the targets, the same at all times. */
static bool fill_alignment(Lazy *s, Result *result, int layer, const double *phi) {
  const ProgramObservable *o = program_observable(s->complete, FIELD_ALIGNMENT, layer);
  if (!o) return true;
  int given = program_observable(s->complete, FIELD_PHI, layer)->variable;
  double *curve = mem_new(s->sizes.steps, sizeof *curve);
  Machine function;
  machine_function(&function, s->complete, &s->code, given, o->variable, 1);
  machine_call(&function, given, phi, o->variable, curve);
  bool fine = !machine_failed(&function);
  machine_free(&function);
  for (size_t t = 1; t < s->sizes.steps; t++) curve[t] = curve[0];
  fine = fine && put(result, FIELD_ALIGNMENT, layer, s->sizes, curve);
  free(curve);
  return fine;
}

static bool fill_alignments(Lazy *s, Result *result) {
  bool fine = true;
  for (int l = 1; fine && l <= s->program->layers; l++) {
    double *phi = lazy_kernel(s->program, &s->kernels, FIELD_PHI, l);
    fine = phi && fill_alignment(s, result, l, phi);
    free(phi);
  }
  return fine;
}

static bool add_layers(Lazy *s, Result *result, FieldSet unread) {
  for (int l = 1; l <= s->program->layers; l++) {
    if (program_observable(s->complete, FIELD_ALIGNMENT, l))
      field_promise(result, FIELD_ALIGNMENT, l);
    field_promise(result, FIELD_PHI, l);
    field_promise(result, FIELD_G, l);
  }
  return is_late(s, unread, FIELD_ALIGNMENT) || fill_alignments(s, result);
}

static void promise_limit(const Lazy *s, Result *result) {
  field_promise(result, FIELD_F_INFINITY, 0);
  field_promise(result, FIELD_LOSS_INFINITY, 0);
  if (s->sizes.all > s->sizes.points) field_promise(result, FIELD_F_TEST_INFINITY, 0);
  if (s->program->problem->test_targets) field_promise(result, FIELD_TEST_LOSS_INFINITY, 0);
}

static bool fill_limit(const Lazy *s, Result *result) {
  Sizes z = s->sizes;
  bool fine = put(result, FIELD_F_INFINITY, 0, z, s->limit) &&
              put(result, FIELD_LOSS_INFINITY, 0, z, &s->limit_loss[0]);
  if (fine && z.all > z.points)
    fine = put(result, FIELD_F_TEST_INFINITY, 0, z, s->limit + z.points * z.outputs);
  if (fine && s->program->problem->test_targets)
    fine = put(result, FIELD_TEST_LOSS_INFINITY, 0, z, &s->limit_loss[1]);
  return fine;
}

static bool add_limit(const Lazy *s, Result *result) {
  if (s->limit || s->late) promise_limit(s, result);
  return !s->limit || fill_limit(s, result);
}

/* The limit that was left out. */
static bool find_limit(Lazy *s, Result *result) {
  s->linear = is_linear_loss(s->program, &s->c);
  if (diagonalise(s) != STATUS_OK || !s->limit) return false;
  spectral(s, INFINITY, s->limit);
  judge_limit(s);
  return fill_limit(s, result);
}

/* f as that of the training points and that of the test points. */
static bool add_outputs(const Lazy *s, Result *result, Outcome mean, Outcome error) {
  Sizes z = s->sizes;
  size_t n = z.steps * z.all * z.outputs;
  double *split = mem_try(2 * n, sizeof *split);
  if (!split) return false;
  double *test = split + field_size(FIELD_F, z), *errors = split + n,
         *test_errors = errors + field_size(FIELD_F, z);
  observe_split(z, mean.f, split, test);
  observe_split(z, error.f, errors, test_errors);
  bool fine = field_add(result, FIELD_F, 0, z, split, errors);
  if (fine && z.all > z.points) fine = field_add(result, FIELD_F_TEST, 0, z, test, test_errors);
  free(split);
  return fine;
}

/* The tangent kernel, the same at all times. */
static bool fill_tangent(const Lazy *s, Result *result) {
  Sizes z = s->sizes;
  size_t P = z.points;
  if (!put(result, FIELD_NTK, 0, z, NULL)) return false;
  double *ntk = result_find(result, field_row(FIELD_NTK)->name, 0)->value->data;
  for (size_t i = 0; i < z.steps * P; i++)
    memcpy(ntk + i * P, s->K + i % P * z.all, P * sizeof *ntk);
  return true;
}

static bool add_curves(Lazy *s, Result *result, FieldSet unread) {
  Sizes z = s->sizes;
  if (!s->error && !(s->error = mem_try(outcome_size(z), sizeof *s->error))) return false;
  Outcome mean = outcome_of(z, s->mean), error = outcome_of(z, s->error);
  bool fine = add_outputs(s, result, mean, error);
  for (int k = 0; k < CURVES && fine; k++)
    if (curve_of(s, k)) fine = field_add(result, curve_ids[k], 0, z, mean.curve[k], error.curve[k]);
  fine = fine && field_add(result, FIELD_DELTA, 0, z, mean.delta, error.delta);
  field_promise(result, FIELD_NTK, 0);
  return fine && (is_late(s, unread, FIELD_NTK) || fill_tangent(s, result));
}

/* ---- running ---- */

double lazy_bytes(const Program *program) {
  Sizes z = sizes_of(program);
  double kernels = 0,
         curves = 8 * (double)z.steps * (double)(z.all * z.outputs + z.points * z.points);
  for (int k = 0; k < program->op_count; k++) {
    int v = program->ops[k].dst;
    kernels += 4 * pow((double)z.all * program->variables[v].positions, 2);
  }
  return 8 * (kernels + curves);
}

double lazy_flops(const Program *p, const SolveOptions *options) {
  Sizes z = sizes_of(p);
  double c, P = (double)z.points, C = (double)z.outputs, all = 2 * (double)z.all * C * P,
            starts = 1;
  bool linear = is_linear_loss(p, &c), solved = is_solved(p, linear);
  if (has_starts(p)) starts += linear ? (double)z.all : 2 * pairs_of(options);
  double moves = stages_of(p, options->parts) * ((double)z.steps - 1);
  return starts * (solved ? (double)z.steps * (all + 4 * P * P * C) : moves * all);
}

static Status start(Lazy *s, Program *program, const InitialKernels *given, int threads,
                    char **why) {
  *s = (Lazy){.program = program, .sizes = sizes_of(program)};
  Sizes z = s->sizes;
  double bytes = lazy_bytes(program);
  if (!mem_fits(bytes)) return run_refuse(why, bytes);
  s->complete = program_complete(program, (Reading){.theory = true, .lazy = true, .parts = 1});
  s->code = machine_compile(s->complete, false, NULL);
  int f = s->complete->f;
  machine_function(&s->errors, s->complete, &s->code, f, s->complete->delta, 1);
  for (int k = 0; k < CURVES; k++)
    if (curve_of(s, k))
      machine_function(&s->curve[k], s->complete, &s->code, f, curve_of(s, k)->variable, 1);
  s->borrowed = given != NULL;
  Status status = STATUS_OK;
  if (given)
    s->kernels = *given;
  else
    status = initial_kernels(program, threads, &s->kernels, why);
  if (status != STATUS_OK) return status;
  s->K = initial_tangent(program, &s->kernels);
  s->start = mem_new(z.all * z.outputs, sizeof *s->start);
  s->f = mem_try(z.steps * z.all * z.outputs, sizeof *s->f);
  s->scratch = mem_new(3 * z.points * z.outputs, sizeof *s->scratch);
  return s->K && s->f ? STATUS_OK : run_refuse(why, bytes);
}

/* Whether losses or errors were computed without memory, and mean nothing. */
static bool starved(const Lazy *s) {
  bool failed = s->starved || (s->complete && machine_failed(&s->errors));
  for (int k = 0; k < CURVES && s->complete; k++) failed |= machine_failed(&s->curve[k]);
  return failed;
}

static void clean(Lazy *s) {
  if (s->kernels.x && !s->borrowed) initial_free(s->program, &s->kernels);
  if (s->complete) {
    machine_free(&s->errors);
    for (int k = 0; k < CURVES; k++) machine_free(&s->curve[k]);
    machine_code_free(s->complete, &s->code);
    program_drop(s->complete);
  }
  free(s->K);
  free(s->start);
  free(s->f);
  free(s->scratch);
  free(s->U);
  free(s->lambda);
  free(s->limit);
  free(s->mean);
  free(s->error);
}

const char *solve_lacks_limit(const Result *theory) {
  const Origin *origin = theory->origin;
  const char *closure = result_attribute(theory, "closure");
  bool lazy = closure && strcmp(closure, "ntk") == 0;
  if (origin && solve_is_lazy(origin->program, &origin->options)) lazy = true;
  if (!lazy) return "it belongs to the lazy limit: closure = \"ntk\"";
  if (result_find(theory, "f_infinity", 0) || !origin) return NULL;
  double c;
  const Program *p = origin->program;
  if (!is_linear_loss(p, &c)) return "it is known for losses with Delta linear in f, such as mse";
  if (!solve_is_tangent(p, &origin->options) || p->update.momentum > 0 || p->update.weight ||
      update_scales(&p->update))
    return "it is known for gradient descent on all points, without momentum, by gradients as they "
           "are";
  return "the learning rate is unstable, and f has no limit";
}

double solve_stable_rate(Program *program, int threads) {
  const Update *update = &program->update;
  bool plain = !program->group_count && !update->weight && update->momentum == 0 &&
               update->decay == 0 && follows_gradients(program) && !update_scales(update);
  double c, bound = INFINITY;
  char *why = NULL;
  Lazy s = {0};
  if (plain && program->problem->optimizer != OPT_FLOW &&
      start(&s, program, NULL, threads, &why) == STATUS_OK && is_linear_loss(program, &c)) {
    size_t P = s.sizes.points;
    double *lambda = mem_new(P, sizeof *lambda);
    for (size_t a = 0; a < P; a++) memmove(s.K + a * P, s.K + a * s.sizes.all, P * sizeof *s.K);
    if (lapack_eigen(false, 'U', P, s.K, lambda) == 0) bound = 2 * (double)P / (c * lambda[P - 1]);
    free(lambda);
  }
  free(why);
  clean(&s);
  return bound;
}

static bool fill_layer(const Lazy *s, Result *result, FieldId id, int layer) {
  double *kernel = lazy_kernel(s->program, &s->kernels, id, layer);
  bool fine = kernel && lazy_fill(result, s->sizes, id, layer, kernel, NULL);
  free(kernel);
  return fine;
}

/* Whether a field was left out, and is asked for by this name, or by none. */
static bool asked(const Result *result, FieldId id, const char *name) {
  const char *own = field_row(id)->name;
  return (!name || strcmp(name, own) == 0) && result_lacks(result, own);
}

static bool fill_late(Lazy *s, Result *result, const char *name) {
  bool limit = false;
  for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
    limit = limit || asked(result, limits[i], name);
  bool fine = !asked(result, FIELD_NTK, name) || fill_tangent(s, result);
  fine = fine && (!limit || find_limit(s, result));
  return fine && (!asked(result, FIELD_ALIGNMENT, name) || fill_alignments(s, result));
}

/* The kernels of two times come together. */
static Status complete(Result *result, const char *name, char **why) {
  bool pairs = asked(result, FIELD_PHI, name) || asked(result, FIELD_G, name);
  Origin *origin = result->origin;
  Lazy s;
  Status status = start(&s, origin->program, NULL, origin->options.threads, why);
  bool mixed = status == STATUS_SCRIPT;
  if (mixed) {
    free(*why);
    *why = NULL;
    status = mixed_complete(result, why);
  }
  double n = (double)(s.sizes.steps * s.sizes.all), bytes = 16 * n * n * origin->program->layers;
  if (status == STATUS_OK && !mixed && !fill_late(&s, result, name)) status = run_refuse(why, 0);
  if (status == STATUS_OK && pairs && !mem_fits(bytes)) status = run_refuse(why, bytes);
  for (int l = 1; status == STATUS_OK && pairs && !mixed && l <= origin->program->layers; l++)
    if (!fill_layer(&s, result, FIELD_PHI, l) || !fill_layer(&s, result, FIELD_G, l))
      status = run_refuse(why, bytes);
  clean(&s);
  if (status == STATUS_OK && !result_lacks(result, NULL)) result->complete = NULL;
  return status;
}

void solve_lazy_origin(Result *result, Program *program, const SolveOptions *options) {
  run_origin(result, program, options);
  result->complete = complete;
}

Status lazy_solve(Program *program, const SolveOptions *options, const InitialKernels *given,
                  Result **result, char **why) {
  *result = NULL;
  double began = run_clock();
  Lazy s;
  Status status = start(&s, program, given, options->threads, why);
  s.parts = options->parts;
  if (status == STATUS_OK) status = solve_means(&s, options, why);
  if (status != STATUS_INTERRUPTED && starved(&s)) {
    free(*why);
    status = run_refuse(why, 0);
  }
  if (status == STATUS_OK) {
    Result *r = result_new("dmft");
    r->exact = !s.error;
    solve_lazy_origin(r, program, options);
    if (s.error) result_note(r, "samples", "%d", 2 * pairs_of(options));
    if (s.error) result_note(r, "seed", "%llu", (unsigned long long)options->seed);
    bool fine = observe_start(r, program, s.sizes) && add_curves(&s, r, options->unread) &&
                add_layers(&s, r, options->unread) && add_limit(&s, r);
    result_note(r, "closure", "ntk");
    result_note(r, "seconds", "%.6g", run_clock() - began);
    status = run_finish(r, STATUS_OK, fine, 0, result, why);
  }
  clean(&s);
  return status;
}

Status solve_lazy(Program *program, const SolveOptions *options, Result **result, char **why) {
  Status status = lazy_solve(program, options, NULL, result, why);
  if (status != STATUS_SCRIPT) return status;
  free(*why);
  *why = NULL;
  return mixed_solve(program, options, result, why);
}
