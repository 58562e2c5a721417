/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fluctuations of order 1/N over initialisations (theory.md section 6, Fluctuations): the march in
 * its sequential form is run once, and read backward from every observable; N times a covariance is
 * the inner product of the influences of the neurons.
 *
 * neurons.h says which neurons; those of different replicates are independent (or two grids), and
 * their scatter is the error; or two runs in different coordinates. In derivatives, kinks of
 * activations are rounded over small distances, which are extrapolated to zero. */
#include "base/memory.h"
#include "num/linalg.h"
#include "solve/flow.h"
#include "solve/neurons.h"
#include "solve/condition.h"
#include "solve/initial.h"
#include "solve/observe.h"
#include "solve/run.h"
#include "solve/shift.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PASSES = 3 };

/* One way of rounding kinks. */
typedef struct Pass {
  ConditionCode code;
  Condition run[MOST_REPLICATES];
} Pass;

typedef struct Fluctuate {
  Program *program;
  SolveOptions options;
  Sizes z;
  bool lazy;
  Neurons neurons;
  Frame frame[2]; /* of coordinates, one for each replicate */
  int passes;
  Pass pass[MAX_PASSES];
  Compiled compiled;
  Status status;
  int failed_at;
  int done, total; /* tasks, for progress */
} Fluctuate;

/* ---- the forward runs ---- */

static ConditionPlan plan_of(const Fluctuate *s, const ConditionCode *code, int replicate) {
  ConditionPlan plan = {.program = s->program,
                        .code = code,
                        .noise = neurons_noise(&s->neurons, s->options.seed, replicate),
                        .weights = neurons_weights(&s->neurons, replicate),
                        .gamma = s->program->problem->gamma,
                        .tol = 1e-2,
                        .improve = s->neurons.method == SAMPLES,
                        .lazy = s->lazy,
                        .pinned = true,
                        .record = true,
                        .parts = s->options.parts,
                        .steps = s->program->problem->steps,
                        .stop = s->options.stop};
  if (s->neurons.method == COORDINATES) {
    plan.frame = &s->frame[replicate];
    /* numbers carry a factor sqrt(S): another S changes all rounding */
    plan.noise.S = plan.frame->columns + (size_t)replicate;
  }
  return plan;
}

/* What is left out of a basis is an error of that order. The second run, of a coarser basis and
 * other rounding, is there for its difference from the first. */
static const double frame_tol[2] = {1e-8, 1e-7};

static Status scout(const Fluctuate *s, int replicate, Frame *frame, int *failed_at) {
  ConditionPlan plan = plan_of(s, &s->pass[0].code, replicate);
  plan.frame = NULL;
  plan.tol = frame_tol[replicate];
  plan.record = false;
  Status status;
  plan.noise.S = s->neurons.columns;
  do {
    *failed_at = 0;
    status = condition_scout(&plan, frame, failed_at);
    plan.noise.S *= 2;
  } while (status == STATUS_LIMIT && *failed_at < 0);
  return status;
}

static void scout_all(Fluctuate *s) {
#pragma omp parallel for schedule(dynamic, 1) num_threads(s->options.threads)
  for (int i = 0; i < s->neurons.replicates; i++) {
    int failed_at = 0;
    Status status = scout(s, i, &s->frame[i], &failed_at);
    if (status != STATUS_OK) {
#pragma omp critical
      {
        s->status = status;
        s->failed_at = failed_at;
      }
    }
  }
}

/* The widths over which kinks are rounded, as fractions of what they read, and the weights that
 * extrapolate to zero width to second order; and to first order, for the error. */
static const double fraction[MAX_PASSES] = {0.1, 0.2, 0.4},
                    weight[MAX_PASSES] = {8. / 3, -2, 1. / 3}, first_order[MAX_PASSES] = {2, -1, 0};

/* Kinks are rounded over a fraction of what they read, as it is at t = 0. */
static Status compile_rounded(Fluctuate *s) {
  const Program *p = s->program;
  ConditionCode plain = condition_compile(p, NULL);
  ConditionPlan plan = plan_of(s, &plain, 0);
  plan.steps = 0;
  plan.record = false;
  Condition run;
  Status status = condition_run(&plan, &run, &s->failed_at);
  condition_code_free(p, &plain);
  if (status != STATUS_OK) return status;
  double *rounding = mem_new((size_t)p->op_count, sizeof *rounding);
  for (s->passes = 0; s->passes < MAX_PASSES; s->passes++) {
    for (int i = 0; i < p->op_count; i++) {
      double scale = p->ops[i].kind == OP_MAP ? run.scale[p->ops[i].src[0]] : 0;
      rounding[i] = fraction[s->passes] * (scale > 0 ? scale : 1);
    }
    s->pass[s->passes].code = condition_compile(p, rounding);
  }
  free(rounding);
  condition_free(p, &run);
  return STATUS_OK;
}

static void run_all(Fluctuate *s) {
  int tasks = s->passes * s->neurons.replicates;
#pragma omp parallel for schedule(dynamic, 1) num_threads(s->options.threads)
  for (int i = 0; i < tasks; i++) {
    Pass *pass = &s->pass[i / s->neurons.replicates];
    ConditionPlan plan = plan_of(s, &pass->code, i % s->neurons.replicates);
    int failed_at = 0;
    Status status = condition_run(&plan, &pass->run[i % s->neurons.replicates], &failed_at);
    if (status != STATUS_OK) {
#pragma omp critical
      {
        s->status = status;
        s->failed_at = failed_at;
      }
    }
  }
}

static void forget_runs(Fluctuate *s) {
  for (int k = 0; k < s->passes; k++)
    for (int j = 0; j < s->neurons.replicates; j++)
      if (s->pass[k].run[j].tape) condition_free(s->program, &s->pass[k].run[j]);
}

/* An upper bound of what the tapes hold. */
static double forward_bytes(const Fluctuate *s) {
  double runs = s->neurons.replicates * (s->neurons.kinks ? MAX_PASSES : 1);
  size_t moves = s->z.steps * (size_t)stages_of(s->program, s->options.parts);
  return runs * condition_bytes(s->program, s->neurons.columns, s->lazy ? 1 : moves);
}

static Status explain(Fluctuate *s, char **why) {
  switch (s->status) {
  case STATUS_OK: break;
  case STATUS_INTERRUPTED: *why = mem_format("interrupted"); break;
  case STATUS_NUMERICS:
    return run_diverged(why, "training", s->failed_at, s->program, s->options.threads);
  default: return run_refuse(why, forward_bytes(s));
  }
  return s->status;
}

/* <x^4> of every row of a wide field, summed, over the neurons of one run. */
static double fourth_moment(const Fluctuate *s, int replicate, View field) {
  const Tape *tape = s->pass[0].run[replicate].tape;
  const double *x = tape_data(tape, field), *w = neurons_weights(&s->neurons, replicate);
  double sum = 0;
  for (size_t r = 0; r < field.rows; r++, x += tape_stride(tape, field))
    for (size_t i = 0; i < s->neurons.columns; i++) sum += w[i] * x[i] * x[i] * x[i] * x[i];
  return sum;
}

/* Variances of kernels are averages of fourth powers, of twice the frequencies: how far the grids
 * disagree about those, of all that the matrices meet at step t, relative to them. */
static double fourth_moments_differ(const Fluctuate *s, size_t t) {
  const Program *p = s->program;
  const Condition *run = s->pass[0].run;
  double worst = 0;
  for (int k = 0; k < 2 * p->matrix_count; k++) {
    const Matrix *m = &p->matrices[k / 2];
    bool x = k % 2 == 0;
    if (m->x < 0 || !is_wide(p, x ? m->from : m->to)) continue;
    double moment[2];
    for (int j = 0; j < 2; j++)
      moment[j] = fourth_moment(s, j, (x ? run[j].x_field : run[j].y_field)[k / 2][t]);
    worst = fmax(worst, fabs(moment[0] - moment[1]) / (fabs(moment[0]) + 1e-300));
  }
  return worst;
}

/* How far two grids disagree about f or the tangent kernel, relative to their largest entries, or
 * about what the variances are made of. */
static double grids_differ(const Fluctuate *s) {
  if (s->neurons.method != GRID) return 0;
  const Condition *a = &s->pass[0].run[0], *b = &s->pass[0].run[1];
  size_t P = s->z.points, count = s->z.all * s->z.outputs;
  double *ntk = mem_new(2 * P * P, sizeof *ntk), worst = 0;
  for (size_t t = 0; t < s->z.steps; t++) {
    const double *f = tape_data(a->tape, a->f[t]), *g = tape_data(b->tape, b->f[t]);
    for (size_t i = 0; i < count; i++) worst = fmax(worst, fabs(f[i] - g[i]));
    condition_ntk(s->program, a, t, ntk);
    condition_ntk(s->program, b, t, ntk + P * P);
    for (size_t i = 0; i < P * P; i++)
      worst = fmax(worst, fabs(ntk[i] - ntk[P * P + i]) / (fabs(ntk[0]) + 1e-300));
    worst = fmax(worst, fourth_moments_differ(s, t));
  }
  free(ntk);
  return worst;
}

/* Relative to its largest entry, how far the tangent kernel at t = 0 is from what it is known to
 * be: neurons that miss what the activation does miss it there. 0 where it is not known. */
static double initial_mismatch(const Fluctuate *s) {
  const Program *p = s->program;
  InitialKernels kernels;
  char *unknown = NULL;
  if (initial_kernels(p, s->options.threads, &kernels, &unknown) != STATUS_OK) {
    free(unknown);
    return 0;
  }
  size_t P = s->z.points, R = s->z.all;
  double *exact = initial_tangent(p, &kernels), worst = 0, largest = 0;
  double *mean = mem_new(2 * P * P, sizeof *mean), *part = mean + P * P;
  for (int k = 0; k < s->passes; k++)
    for (int j = 0; j < s->neurons.replicates; j++) {
      condition_ntk(p, &s->pass[k].run[j], 0, part);
      axpy(P * P, (s->passes > 1 ? weight[k] : 1) / s->neurons.replicates, part, mean);
    }
  for (size_t a = 0; a < P; a++)
    for (size_t b = 0; b < P; b++) {
      largest = fmax(largest, fabs(exact[a * R + b]));
      worst = fmax(worst, fabs(exact[a * R + b] - mean[a * P + b]));
    }
  free(exact);
  free(mean);
  initial_free(p, &kernels);
  return largest > 0 ? worst / largest : 0;
}

/* Grids that miss something, and cannot be refined, give way to samples; where those miss it too,
 * nothing is known. */
static Status hold_to_start(Fluctuate *s, char **why) {
  static const double OF_GRIDS = 1e-2, OF_SAMPLES = 0.1;
  if (s->neurons.method == COORDINATES) return STATUS_OK;
  if (s->neurons.method == GRID && (grids_differ(s) > OF_GRIDS || initial_mismatch(s) > OF_GRIDS)) {
    forget_runs(s);
    neurons_sample(&s->neurons, s->options.samples);
    if (forward_bytes(s) > mem_available()) return run_refuse(why, forward_bytes(s));
    run_all(s);
    if (s->status != STATUS_OK) return explain(s, why);
  }
  double miss = s->neurons.method == SAMPLES ? initial_mismatch(s) : 0;
  if (miss <= OF_SAMPLES) return STATUS_OK;
  *why = mem_format("the tangent kernel at the start comes out wrong by %.0f %%: an activation "
                    "changes over distances that are small against its field",
                    100 * miss);
  return STATUS_NUMERICS;
}

static Status forward(Fluctuate *s, char **why) {
  static const double SAME = 1e-9;
  if (!neurons_choose(&s->neurons, s->program, s->lazy, s->options.samples))
    return run_refuse(why, 16 * (double)s->neurons.columns * (s->neurons.axes + 1));
  if (s->neurons.method == SAMPLES && s->options.probe) s->neurons.replicates = 1;
  if (s->neurons.method != COORDINATES && forward_bytes(s) > mem_available())
    return run_refuse(why, forward_bytes(s));
  if (has_kinks(s->program)) {
    s->status = compile_rounded(s);
    if (s->status != STATUS_OK) return explain(s, why);
  } else {
    s->passes = 1;
    s->pass[0].code = condition_compile(s->program, NULL);
  }
  if (s->neurons.method == COORDINATES) {
    scout_all(s);
    if (s->status != STATUS_OK) return explain(s, why);
    s->neurons.columns = s->frame[0].columns;
  }
  run_all(s);
  while (s->status == STATUS_OK && grids_differ(s) > SAME && neurons_refine(&s->neurons)) {
    forget_runs(s);
    run_all(s);
  }
  return s->status == STATUS_OK ? hold_to_start(s, why) : explain(s, why);
}

/* ---- observables ---- */

enum { MOST_SEEDS = 4 };

/* Which numbers are asked for: `count` of them, number i at time `time(i)`. */
typedef struct Family {
  size_t count;
  FieldId id;
  int layer;
} Family;

static const View *phi_of(const Fluctuate *s, const Condition *c, int layer, size_t t) {
  return &c->phi_kernel[s->program->phi_matrix[layer]][t];
}

static const View *g_of(const Fluctuate *s, const Condition *c, int layer, size_t t) {
  return &c->y_kernel[s->program->phi_matrix[layer - 1]][t];
}

static double entry(const Condition *c, View table, size_t row, size_t col) {
  return tape_data(c->tape, table)[row * tape_stride(c->tape, table) + col];
}

/* dK = sum of dg phi + g dphi. */
static size_t seed_ntk(const Fluctuate *s, const Condition *c, size_t t, size_t a, size_t b,
                       Seed *seeds) {
  NtkTerm *terms = mem_new(condition_ntk_terms(s->program), sizeof *terms);
  size_t n = 0, count = condition_ntk_expand(s->program, c, t, a, b, terms);
  for (size_t i = 0; i < count; i++) {
    const NtkTerm *e = &terms[i];
    if (e->g_table.slab >= 0)
      seeds[n++] = (Seed){e->g_table, e->g_row, e->g_col, e->factor * e->phi};
    if (e->phi_table.slab >= 0)
      seeds[n++] = (Seed){e->phi_table, e->phi_row, e->phi_col, e->factor * e->g};
  }
  free(terms);
  return n;
}

/* The mean of the diagonal entries of a kernel that belong to point a. */
static size_t seed_diagonal(const Fluctuate *s, View kernel, size_t a, Seed *seeds) {
  size_t n = kernel.rows / s->z.all;
  for (size_t i = 0; i < n; i++) seeds[i] = (Seed){kernel, a * n + i, a * n + i, 1.0 / (double)n};
  return n;
}

/* d loss / d f(t) [P C] */
static void loss_slope(const Fluctuate *s, const Condition *c, size_t t, double *slope) {
  size_t C = s->z.outputs, batch = s->z.points * C;
  double *f = mem_new(batch, sizeof *f);
  for (size_t k = 0; k < batch; k++) f[k] = entry(c, c->f[t], k % C, k / C);
  run_loss(s->program, &s->compiled, s->z.points, f, s->program->problem->targets->data, NULL,
           slope);
  for (size_t k = 0; k < batch; k++) slope[k] /= -(double)s->z.points;
  free(f);
}

static size_t seed_loss(const Fluctuate *s, const Condition *c, size_t t, Seed *seeds) {
  size_t C = s->z.outputs, batch = s->z.points * C;
  double *slope = mem_new(batch, sizeof *slope);
  loss_slope(s, c, t, slope);
  for (size_t k = 0; k < batch; k++) seeds[k] = (Seed){c->f[t], k % C, k / C, slope[k]};
  free(slope);
  return batch;
}

/* <y g> is no symmetric kernel where a matrix learns something else than its gradient. */
static bool ntk_is_symmetric(const Program *p) {
  for (int k = 0; k < p->matrix_count; k++)
    if (p->matrices[k].rate != 0 && p->matrices[k].learns != p->matrices[k].y) return false;
  return true;
}

/* How many numbers a family has, over all times: of a symmetric kernel the lower triangle. */
static size_t family_size(const Fluctuate *s, FieldId id) {
  Sizes z = s->z;
  switch (id) {
  case FIELD_F: return z.steps * z.all * z.outputs;
  case FIELD_VAR_NTK:
    return z.steps *
           (ntk_is_symmetric(s->program) ? z.points * (z.points + 1) / 2 : z.points * z.points);
  default: return field_size(id, z);
  }
}

/* The seeds of number i of a family; returns its time. */
static size_t seed(const Fluctuate *s, const Condition *c, const Family *family, size_t i,
                   Seed *seeds, size_t *count) {
  Sizes z = s->z;
  size_t per_step = family_size(s, family->id) / z.steps, t = i / per_step, a = i % per_step;
  switch (family->id) {
  case FIELD_F:
  case FIELD_VAR_F:
    seeds[0] = (Seed){c->f[t], a % z.outputs, a / z.outputs, 1};
    *count = 1;
    return t;
  case FIELD_VAR_F_TEST:
    seeds[0] = (Seed){c->f[t], a % z.outputs, z.points + a / z.outputs, 1};
    *count = 1;
    return t;
  case FIELD_VAR_LOSS: *count = seed_loss(s, c, t, seeds); return t;
  case FIELD_VAR_NTK: {
    size_t b = 0;
    if (ntk_is_symmetric(s->program))
      while (a > b) a -= ++b; /* the lower triangle in order */
    else
      b = a / z.points, a %= z.points;
    *count = seed_ntk(s, c, t, b, a, seeds);
    return t;
  }
  case FIELD_VAR_PHI:
    *count = seed_diagonal(s, *phi_of(s, c, family->layer, t), a, seeds);
    return t;
  default: *count = seed_diagonal(s, *g_of(s, c, family->layer, t), a, seeds); return t;
  }
}

static size_t most_seeds(const Fluctuate *s) {
  size_t most = 2 * condition_ntk_terms(s->program), batch = s->z.points * s->z.outputs;
  if (batch > most) most = batch;
  for (int v = 0; v < s->program->variable_count; v++) {
    size_t rows = rows_of(s->program, v) / s->z.all;
    if (rows > most) most = rows;
  }
  return most;
}

/* The second run in coordinates is read at some steps only, these and the last. */
static size_t check_stride(const Fluctuate *s) {
  enum { CHECKS = 8 };
  size_t stride = (s->z.steps - 1) / CHECKS;
  return stride ? stride : 1;
}

static bool checks_only(const Fluctuate *s, int replicate) {
  return s->neurons.method == COORDINATES && replicate == 1;
}

/* How many numbers of a family are read from a run, and the k-th of them. */
static size_t numbers_read(const Fluctuate *s, const Family *family, int replicate) {
  size_t last = s->z.steps - 1, stride = check_stride(s);
  if (!checks_only(s, replicate)) return family->count;
  return family->count / s->z.steps * ((last + stride - 1) / stride + 1);
}

static size_t number_read(const Fluctuate *s, const Family *family, int replicate, size_t k) {
  if (!checks_only(s, replicate)) return k;
  size_t per_step = family->count / s->z.steps, t = k / per_step * check_stride(s);
  return (t < s->z.steps ? t : s->z.steps - 1) * per_step + k % per_step;
}

/* What is done with the influence of a number in one run. */
typedef void Use(void *sink, int pass, int replicate, size_t number, const double *influence,
                 size_t size);

enum { MOST_CHUNK = 64 };

/* Observables that are read together: as many as keep their derivatives in a cache of
 * some 4 MB. */
static size_t chunk_size(const Fluctuate *s) {
  const Condition *c = &s->pass[0].run[0];
  double rows = 4.0 * c->rank * s->program->matrix_count +
                2.0 * (double)most_rows(s->program) * s->program->variable_count;
  double size =
      4e6 / (8 * rows * (double)s->neurons.columns + 8 * (double)tape_influence_size(c->tape));
  return size < 1 ? 1 : size > MOST_CHUNK ? MOST_CHUNK : (size_t)size;
}

static bool read_chunk(Fluctuate *s, const Condition *c, const Family *family,
                       const size_t *numbers, size_t count, double *influences) {
  size_t most = most_seeds(s);
  Seed *seeds = mem_new(count * most, sizeof *seeds);
  Observable *observables = mem_new(count, sizeof *observables);
  size_t last = 0;
  for (size_t k = 0; k < count; k++) {
    size_t n = 0, t = seed(s, c, family, numbers[k], seeds + k * most, &n);
    observables[k] = (Observable){seeds + k * most, n};
    if (t > last) last = t;
  }
  bool fine =
      tape_influences(c->tape, c->mark[last], observables, count, s->options.stop, influences);
  free(observables);
  free(seeds);
  return fine;
}

/* Reads every number of a family from every run; the order of use is that of threads, and `use`
 * must not depend on it. */
static Status read_family(Fluctuate *s, const Family *family, Use *use, void *sink, char **why) {
  size_t chunk = chunk_size(s), chunks = (family->count + chunk - 1) / chunk;
  size_t runs = (size_t)(s->passes * s->neurons.replicates);
  s->done = 0;
  s->total = (int)(chunks * runs);
#pragma omp parallel for schedule(dynamic, 1) num_threads(s->options.threads)
  for (size_t i = 0; i < chunks * runs; i++) {
    int pass = (int)(i % runs) / s->neurons.replicates,
        replicate = (int)(i % runs) % s->neurons.replicates;
    const Condition *c = &s->pass[pass].run[replicate];
    size_t size = tape_influence_size(c->tape), numbers[MOST_CHUNK], count = 0,
           all = numbers_read(s, family, replicate);
    for (size_t k = i / runs * chunk; count < chunk && k < all; k++)
      numbers[count++] = number_read(s, family, replicate, k);
    if (s->status != STATUS_OK || !count) continue;
    double *influences = mem_block(count * size);
    if (influences && read_chunk(s, c, family, numbers, count, influences)) {
      for (size_t k = 0; k < count; k++)
        use(sink, pass, replicate, numbers[k], influences + k * size, size);
    } else {
#pragma omp critical
      s->status = s->options.stop && *s->options.stop ? STATUS_INTERRUPTED : STATUS_LIMIT;
    }
    free(influences);
    int done;
#pragma omp atomic capture
    done = ++s->done;
    if (s->options.progress && omp_get_thread_num() == 0)
      s->options.progress(s->options.sink, "fluctuations", done, s->total);
  }
  return explain(s, why);
}

/* ---- errors ---- */

/* In coordinates: the numbers [steps, n, others, m] of the first run, and by how much those of the
 * second differ, at most, at the nearest steps that were read before and after. */
static void compare_runs(const Fluctuate *s, const double *first, size_t n, size_t others, size_t m,
                         double *value, double *error) {
  size_t steps = s->z.steps, stride = check_stride(s), row = n * others * m;
  const double *second = first + steps * row;
  double *most = mem_new(steps * others, sizeof *most);
  for (size_t i = 0; i < steps * row; i++) {
    double *own = &most[i / row * others + i / m % others], d = fabs(first[i] - second[i]);
    bool read = (i / row % stride == 0 || i / row == steps - 1) &&
                (i / m % others % stride == 0 || i / m % others == others - 1);
    if (read && !(d <= *own)) *own = d;
  }
  for (size_t i = 0; i < steps * row; i++) {
    size_t t = i / row, u = i / m % others, t0 = t - t % stride, u0 = u - u % stride,
           t1 = t0 + stride < steps ? t0 + stride : steps - 1,
           u1 = u0 + stride < others ? u0 + stride : others - 1;
    value[i] = first[i];
    error[i] = fmax(fmax(most[t0 * others + u0], most[t0 * others + u1]),
                    fmax(most[t1 * others + u0], most[t1 * others + u1]));
  }
  free(most);
}

/* Mean over replicates and its error [n], of part[pass][replicate][n] extrapolated over passes; of
 * variances, the error of an entry is averaged with those of the others at its time. Half of what
 * the last order of the extrapolation contributes is added to the error. */
static void combine(const Fluctuate *s, const double *parts, size_t n, bool variances,
                    double *value, double *error) {
  int R = s->neurons.replicates;
  if (s->neurons.method == COORDINATES && variances)
    compare_runs(s, parts, n / s->z.steps, 1, 1, value, error);
  else if (s->neurons.method == COORDINATES)
    compare_runs(s, parts, s->z.points, s->z.steps, s->z.points, value, error);
  if (s->neurons.method == COORDINATES) return;
  double *last = mem_new(n, sizeof *last);
  memset(error, 0, n * sizeof *error);
  for (size_t i = 0; i < n; i++) {
    double x[MOST_REPLICATES] = {0}, mean = 0, squares = 0;
    for (int j = 0; j < R; j++) {
      for (int k = 0; k < s->passes; k++) {
        double part = parts[(size_t)(k * R + j) * n + i];
        x[j] += s->passes > 1 ? weight[k] * part : part;
        last[i] += s->passes > 1 ? (weight[k] - first_order[k]) * part / R : 0;
      }
      mean += x[j] / R;
    }
    for (int j = 0; j < R; j++) squares += (x[j] - mean) * (x[j] - mean);
    value[i] = mean;
    if (R > 1) error[i] = sqrt(squares / R / (R - 1)) * run_student(R);
  }
  if (R > 1) run_moderate(s->z.steps, n / s->z.steps, variances ? value : NULL, error);
  for (size_t i = 0; i < n; i++) error[i] = hypot(error[i], last[i] / 2);
  free(last);
}

static bool fill(Fluctuate *s, Result *result, FieldId id, int layer, const double *value,
                 const double *error) {
  return field_fill(result, id, layer, s->z, value, error);
}

/* ---- f ---- */

/* Influences of every f, [replicate][(T+1) R C, size] for each pass: their Gram matrix is N Cov. */
typedef struct Influences {
  const Fluctuate *s;
  double *block[MAX_PASSES][MOST_REPLICATES];
} Influences;

static void keep(void *sink, int pass, int replicate, size_t number, const double *influence,
                 size_t size) {
  double *block = ((Influences *)sink)->block[pass][replicate];
  memcpy(block + number * size, influence, size * sizeof *block);
}

/* d loss / d f(t), [T+1][R C], zero beyond the training points. */
static double *loss_slopes(const Fluctuate *s, const Condition *c) {
  Sizes z = s->z;
  size_t row = z.all * z.outputs;
  double *slopes = mem_new(z.steps * row, sizeof *slopes);
  for (size_t t = 0; t < z.steps; t++) loss_slope(s, c, t, slopes + t * row);
  return slopes;
}

typedef struct Parts {
  double *var, *cov, *loss; /* [pass][replicate][...] */
} Parts;

/* Variances of one run from the influences of its f. */
static void summarise(const Fluctuate *s, const Condition *c, const double *block, size_t size,
                      bool covariance, double *var, double *cov, double *loss) {
  Sizes z = s->z;
  size_t row = z.all * z.outputs, n = z.steps * row, m = z.steps * z.points;
  double *slopes = loss_slopes(s, c), *sum = mem_new(size, sizeof *sum);
  for (size_t i = 0; i < n; i++) var[i] = dot(size, block + i * size, block + i * size);
  for (size_t t = 0; t < z.steps; t++) {
    memset(sum, 0, size * sizeof *sum);
    for (size_t k = 0; k < z.points * z.outputs; k++)
      axpy(size, slopes[t * row + k], block + (t * row + k) * size, sum);
    loss[t] = dot(size, sum, sum);
  }
  /* first output, training points */
  for (size_t t = 0; t < z.steps && covariance; t++)
    for (size_t u = 0; u < z.steps; u++)
      mat_mul_bt(z.points, z.points, size, 1, block + t * row * size, z.outputs * size,
                 block + u * row * size, z.outputs * size, 0, cov + t * z.points * m + u * z.points,
                 m);
  free(sum);
  free(slopes);
}

static bool fill_f(Fluctuate *s, Result *result, const Parts *parts, bool covariance) {
  Sizes z = s->z;
  size_t row = z.all * z.outputs, n = z.steps * row, m = z.steps * z.points;
  double *value = mem_block(n), *error = mem_block(n), *split = mem_block(2 * n + 2),
         *square = covariance ? mem_block(2 * m * m) : NULL;
  bool fine = value && error && split && (!covariance || square);
  if (fine) {
    combine(s, parts->var, n, true, value, error);
    double *test = split + z.steps * z.points * z.outputs, *e = split + n,
           *test_e = e + z.steps * z.points * z.outputs;
    observe_split(z, value, split, test);
    observe_split(z, error, e, test_e);
    fine = fill(s, result, FIELD_VAR_F, 0, split, e);
    if (fine && z.all > z.points) fine = fill(s, result, FIELD_VAR_F_TEST, 0, test, test_e);
    combine(s, parts->loss, z.steps, true, value, error);
    fine = fine && fill(s, result, FIELD_VAR_LOSS, 0, value, error);
  }
  if (fine && covariance) {
    combine(s, parts->cov, m * m, false, square, square + m * m);
    fine = fill(s, result, FIELD_COV_F, 0, square, square + m * m);
  }
  free(value);
  free(error);
  free(split);
  free(square);
  return fine;
}

/* Bases of different replicates may differ in rank. */
static size_t largest_influence(const Fluctuate *s) {
  size_t largest = 0;
  for (int j = 0; j < s->neurons.replicates; j++) {
    size_t size = tape_influence_size(s->pass[0].run[j].tape);
    if (size > largest) largest = size;
  }
  return largest;
}

static double f_bytes(const Fluctuate *s, bool covariance) {
  double n = (double)(s->z.steps * s->z.all * s->z.outputs), m = (double)(s->z.steps * s->z.points);
  double runs = s->passes * s->neurons.replicates;
  double size = (double)largest_influence(s);
  return 8 * (runs * (n * size + n + (covariance ? m * m : 0)) + 2 * m * m);
}

static Status solve_f(Fluctuate *s, Result *result, bool covariance, char **why) {
  Sizes z = s->z;
  size_t n = z.steps * z.all * z.outputs, m = z.steps * z.points, largest = largest_influence(s);
  size_t runs = (size_t)(s->passes * s->neurons.replicates);
  double bytes = f_bytes(s, covariance);
  if (bytes > mem_available()) return run_refuse(why, bytes);
  Influences influences = {.s = s};
  Parts parts = {mem_block(runs * n), covariance ? mem_block(runs * m * m) : NULL,
                 mem_block(runs * z.steps)};
  bool fine = parts.var && parts.loss && (parts.cov || !covariance);
  for (size_t i = 0; i < runs; i++) {
    double *block = mem_block(n * largest);
    fine = fine && block;
    influences.block[i / (size_t)s->neurons.replicates][i % (size_t)s->neurons.replicates] = block;
  }
  Status status = fine ? read_family(s, &(Family){n, FIELD_F, 0}, keep, &influences, why)
                       : run_refuse(why, bytes);
  for (size_t i = 0; i < runs; i++) {
    size_t k = i / (size_t)s->neurons.replicates, j = i % (size_t)s->neurons.replicates;
    if (status == STATUS_OK)
      summarise(s, &s->pass[k].run[j], influences.block[k][j],
                tape_influence_size(s->pass[k].run[j].tape), covariance, parts.var + i * n,
                parts.cov ? parts.cov + i * m * m : NULL, parts.loss + i * z.steps);
    free(influences.block[k][j]);
  }
  if (status == STATUS_OK && !fill_f(s, result, &parts, covariance))
    status = run_refuse(why, bytes);
  free(parts.var);
  free(parts.cov);
  free(parts.loss);
  return status;
}

/* ---- kernels ---- */

typedef struct Squares {
  const Fluctuate *s;
  size_t n;
  double *part; /* [pass][replicate][n] */
} Squares;

static void square(void *sink, int pass, int replicate, size_t number, const double *influence,
                   size_t size) {
  Squares *q = sink;
  q->part[(size_t)(pass * q->s->neurons.replicates + replicate) * q->n + number] =
      dot(size, influence, influence);
}

static bool fill_kernel(Fluctuate *s, Result *result, const Family *family, const double *part) {
  size_t n = family->count, P = s->z.points;
  double *value = mem_block(n), *error = mem_block(n);
  bool fine = value && error;
  if (fine) combine(s, part, n, true, value, error);
  if (fine && family->id == FIELD_VAR_NTK && ntk_is_symmetric(s->program)) {
    size_t pairs = P * (P + 1) / 2, full = s->z.steps * P * P;
    double *square = mem_block(2 * full);
    fine = square != NULL;
    for (size_t t = 0; fine && t < s->z.steps; t++)
      for (size_t b = 0, i = t * pairs; b < P; b++)
        for (size_t a = 0; a <= b; a++, i++) {
          square[(t * P + a) * P + b] = square[(t * P + b) * P + a] = value[i];
          square[full + (t * P + a) * P + b] = square[full + (t * P + b) * P + a] = error[i];
        }
    fine = fine && fill(s, result, family->id, 0, square, square + full);
    free(square);
  } else if (fine) {
    fine = fill(s, result, family->id, family->layer, value, error);
  }
  free(value);
  free(error);
  return fine;
}

static Status solve_kernel(Fluctuate *s, Result *result, FieldId id, int layer, char **why) {
  Family family = {family_size(s, id), id, layer};
  Squares squares = {s, family.count,
                     mem_block((size_t)(s->passes * s->neurons.replicates) * family.count)};
  double bytes = 8.0 * (double)family.count * s->passes * s->neurons.replicates;
  if (!squares.part) return run_refuse(why, bytes);
  Status status = read_family(s, &family, square, &squares, why);
  if (status == STATUS_OK && !fill_kernel(s, result, &family, squares.part))
    status = run_refuse(why, bytes);
  free(squares.part);
  return status;
}

/* ---- the whole ---- */

static bool is_lazy(const Program *program, const SolveOptions *options) {
  return options->closure == CLOSURE_NTK || program->problem->parameterization == PARAM_NTK;
}

static void prepare(Fluctuate *s, Program *program, const SolveOptions *options) {
  *s = (Fluctuate){.program = program, .options = *options, .z = sizes_of(program)};
  s->lazy = is_lazy(program, options);
  s->compiled = compile(s->program);
}

static void clean(Fluctuate *s) {
  forget_runs(s);
  for (int k = 0; k < s->passes; k++) condition_code_free(s->program, &s->pass[k].code);
  for (int j = 0; j < 2; j++) frame_free(s->program, &s->frame[j]);
  compiled_free(s->program, &s->compiled);
  neurons_free(&s->neurons);
}

/* The fields, in the order in which they are computed when all are wanted. */
static const struct {
  const char *name;
  FieldId id;
  bool layered;
} kernels[] = {{"var_f", FIELD_VAR_F, false},       {"var_f_test", FIELD_VAR_F_TEST, false},
               {"var_loss", FIELD_VAR_LOSS, false}, {"var_ntk", FIELD_VAR_NTK, false},
               {"var_Phi", FIELD_VAR_PHI, true},    {"var_G", FIELD_VAR_G, true}};
enum { KERNELS = sizeof kernels / sizeof *kernels };

static bool is_missing(const Result *result, const char *name, int layer) {
  const ResultField *field = result_find(result, name, layer);
  return field && !field->value;
}

/* Networks wide enough to keep apart all that a matrix met, and pairs of them for errors of some
 * percent of the scatter. */
static Status solve_shift(Fluctuate *s, Result *result, char **why) {
  enum { NARROWEST = 256, WIDEST = 2048, FEWEST_PAIRS = 64, MOST_PAIRS = 1024, PROBED_PAIRS = 8 };
  size_t met = s->z.steps * most_rows(s->program);
  ShiftPlan plan = {.program = s->program,
                    .code = &s->pass[0].code,
                    .compiled = &s->compiled,
                    .gamma = s->program->problem->gamma,
                    .parts = s->options.parts,
                    .lazy = s->lazy,
                    .width = NARROWEST,
                    .seed = s->options.seed,
                    .threads = s->options.threads,
                    .stop = s->options.stop,
                    .progress = s->options.progress,
                    .sink = s->options.sink};
  while (plan.width < WIDEST && plan.width < 2 * met) plan.width *= 2;
  plan.pairs = FEWEST_PAIRS + 16 * s->options.samples / (int)plan.width;
  if (plan.pairs > MOST_PAIRS) plan.pairs = MOST_PAIRS;
  if (s->options.probe) plan.pairs = PROBED_PAIRS;
  double bytes = shift_bytes(&plan);
  if (bytes > mem_available()) return run_refuse(why, bytes);
  s->status = shift_solve(&plan, result);
  return s->status == STATUS_LIMIT ? run_refuse(why, bytes) : explain(s, why);
}

static Status solve_named(Fluctuate *s, Result *result, const char *name, char **why) {
  Status status = STATUS_OK;
  if ((!name || strcmp(name, "cov_f") == 0) && is_missing(result, "cov_f", 0))
    status = solve_f(s, result, true, why);
  for (int k = 0; k < KERNELS; k++) {
    if (name && strcmp(name, kernels[k].name) != 0) continue;
    int first = kernels[k].layered, last = kernels[k].layered ? s->program->layers : 0;
    for (int l = first; l <= last && status == STATUS_OK; l++)
      if (is_missing(result, kernels[k].name, l))
        status = solve_kernel(s, result, kernels[k].id, l, why);
  }
  if (status == STATUS_OK && (!name || strncmp(name, "mean_shift", 10) == 0) &&
      is_missing(result, "mean_shift_f", 0))
    status = solve_shift(s, result, why);
  return status;
}

/* The runs are repeated: they are cheap against reading them. */
static Status complete(Result *result, const char *name, char **why) {
  const Origin *origin = result->origin;
  Fluctuate s;
  prepare(&s, origin->program, &origin->options);
  Status status = forward(&s, why);
  if (status == STATUS_OK) status = solve_named(&s, result, name, why);
  clean(&s);
  return status;
}

static void promise(const Fluctuate *s, Result *result) {
  field_promise(result, FIELD_VAR_F, 0);
  if (s->z.all > s->z.points) field_promise(result, FIELD_VAR_F_TEST, 0);
  field_promise(result, FIELD_VAR_LOSS, 0);
  field_promise(result, FIELD_COV_F, 0);
  field_promise(result, FIELD_VAR_NTK, 0);
  shift_promise(s->program, result);
  for (int l = 1; l <= s->program->layers; l++) {
    field_promise(result, FIELD_VAR_PHI, l);
    field_promise(result, FIELD_VAR_G, l);
  }
}

const char *solve_refuses_fluctuations(const Result *theory) {
  const Origin *origin = theory->origin;
  if (strcmp(theory->kind, "dmft") != 0) return "fluctuations are those of a result of 'dmft'";
  if (!origin) return run_no_origin;
  Closure closure = origin->options.closure;
  if (closure == CLOSURE_GRADIENT_INDEPENDENCE || closure == CLOSURE_PERTURBATIVE)
    return "this closure is an approximation, and belongs to no network that could fluctuate: "
           "solve with closure = \"full\" or \"ntk\"";
  const Problem *problem = origin->program->problem;
  if (origin->program->update.temperature > 0)
    return "the fluctuations are those over initial weights; the noise of a training at a "
           "temperature "
           "adds its own, which this version does not follow";
  if ((closure == CLOSURE_NTK || problem->parameterization == PARAM_NTK) && !problem->centered)
    return "in the lazy limit the output at the start is of order one at any width: with "
           "centered = true its fluctuations are of order 1/N";
  if (!condition_rounds(origin->program))
    return "an activation has a kink that this version cannot round";
  return NULL;
}

/* Beyond this many outputs their variances wait until they are asked for. */
enum { MANY_OUTPUTS = 2048 };

enum { FEWEST_FLUCTUATING = 1024, MOST_CHOSEN = 65536, FEWEST_CHOSEN = 4096 };

/* As many sample paths as some seconds allow: reading all of f back costs (rows met)^3 for each. */
static int choose_samples(Sizes z) {
  double met = (double)(z.steps * z.all * z.outputs), budget = 1e9 / (met * met * met);
  int samples = MOST_CHOSEN;
  while (samples > FEWEST_CHOSEN && samples > budget) samples /= 2;
  return samples;
}

/* The width at which the standard deviation of f is half the root mean square of the targets. */
static void note_least_width(const Fluctuate *s, Result *r) {
  const Array *var = result_find(r, "var_f", 0)->value, *y = s->program->problem->targets;
  if (!var) return;
  double square = 0, most = 0;
  for (size_t i = 0; i < y->size; i++) square += y->data[i] * y->data[i] / (double)y->size;
  for (size_t i = 0; i < var->size; i++) most = fmax(most, var->data[i]);
  if (square > 0) result_note(r, "least_width", "%.3g", 4 * most / square);
}

static Status solve(Program *program, const SolveOptions *options, Result **result, char **why) {
  *result = NULL;
  if (flow_chooses(program, options))
    return flow_solve(solve, !neurons_are_sampled(program, is_lazy(program, options)), program,
                      options, result, why);
  double start = run_clock();
  Fluctuate s;
  prepare(&s, program, options);
  Status status = forward(&s, why);
  Result *r = result_new("fluctuations");
  run_origin(r, s.program, options);
  r->exact = s.neurons.method == COORDINATES;
  if (!observe_start(r, s.program, s.z)) status = run_refuse(why, 0);
  promise(&s, r);
  size_t outputs = s.z.steps * s.z.all * s.z.outputs;
  if (status == STATUS_OK && outputs <= MANY_OUTPUTS)
    status = solve_f(&s, r, s.z.steps * s.z.points <= 512, why);
  if (status == STATUS_OK) {
    static const char *const methods[] = {"coordinates", "quadrature", "samples"};
    result_note(r, "method", "%s", methods[s.neurons.method]);
    if (s.neurons.method == SAMPLES) {
      result_note(r, "samples", "%zu", s.neurons.columns * (size_t)s.neurons.replicates);
      result_note(r, "seed", "%llu", (unsigned long long)options->seed);
    }
    result_note(r, "rank", "%d", s.pass[0].run[0].rank);
    note_least_width(&s, r);
    result_note(r, "seconds", "%.6g", run_clock() - start);
    r->complete = complete;
    *result = r;
  } else {
    result_drop(r);
  }
  clean(&s);
  return status;
}

Status solve_fluctuations(const Result *theory, const SolveOptions *options, Result **result,
                          char **why) {
  const Origin *origin = theory->origin;
  SolveOptions chosen = *options;
  *result = NULL;
  chosen.closure = origin->options.closure;
  chosen.first_parts = origin->whole ? origin->options.parts / 2 : origin->options.parts;
  if (!chosen.samples) {
    int own = choose_samples(sizes_of(origin->program)), given = origin->options.samples;
    chosen.samples = own > given ? own : given;
  }
  if (chosen.samples < FEWEST_FLUCTUATING) {
    *why = mem_format("samples = %d is too few: at least %d", chosen.samples, FEWEST_FLUCTUATING);
    return STATUS_SCRIPT;
  }
  return solve(origin->program, &chosen, result, why);
}
