/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fluctuations of order 1/N over initialisations (theory.md section 6, Fluctuations): the march in
 * its sequential form is run once, and read backward from every observable; N times a covariance is
 * the inner product of the influences of the neurons.
 *
 * neurons.h says which neurons; those of different replicates are independent (or two grids), and
 * their scatter is the error; or two runs in different coordinates. In derivatives, kinks of
 * activations are rounded over small distances, which are extrapolated to zero. */
#include "base/memory.h"
#include "machine/framed.h"
#include "num/linalg.h"
#include "solve/flow.h"
#include "solve/initial.h"
#include "solve/neurons.h"
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
  MachineCode code;
  Machine run[MOST_REPLICATES];
} Pass;

typedef struct Fluctuate {
  Program *program;  /* as it was lowered */
  Program *complete; /* as it is run */
  SolveOptions options;
  Sizes z;
  bool lazy;
  Neurons neurons;
  Frame frame[2]; /* of coordinates, one for each replicate */
  int passes;
  Pass pass[MAX_PASSES];
  Status status;
  int failed_at;
  int done, total; /* tasks, for progress */
} Fluctuate;

/* Whether the backward pass meets matrices of its own. */
static bool is_independent(const Fluctuate *s) {
  return s->options.closure == CLOSURE_GRADIENT_INDEPENDENCE && !s->lazy;
}

static Reading reading_of(const Fluctuate *s, bool theory) {
  return (Reading){.theory = theory,
                   .integrates = is_independent(s),
                   .lazy = s->lazy,
                   .parts = s->options.parts};
}

/* ---- the forward runs ---- */

/* What a table of pairs sends back to what it is made of may vanish in the mean, as scores of
 * attention do at the start. Among orthogonal noise it would be rounding, but it fluctuates, and
 * what it then multiplies has to be among the directions of a run: plain noise leaves it there. */
static MachinePlan plan_of(Fluctuate *s, const MachineCode *code, int replicate) {
  const Problem *problem = s->program->problem;
  MachinePlan plan = {.program = s->complete,
                      .code = code,
                      .hidden = &sequential,
                      .noise = neurons_noise(&s->neurons, s->options.seed, replicate),
                      .columns = s->neurons.columns,
                      .weights = neurons_weights(&s->neurons, replicate),
                      .gamma = problem->gamma,
                      .tol = 1e-2,
                      .improve = s->neurons.method == SAMPLES && !program_compares(s->program),
                      .independent = is_independent(s),
                      .record = true,
                      /* an uncentred output has mean zero at the start: what it is here is sampling
                         error, but its fluctuation counts */
                      .fixed_start = !problem->centered,
                      .steps = problem->steps,
                      .stop = s->options.stop};
  if (s->neurons.method == COORDINATES && s->frame[replicate].columns) {
    plan.hidden = &framed;
    plan.frame = &s->frame[replicate];
    /* numbers carry a factor sqrt(S): another S changes all rounding */
    plan.columns = plan.frame->columns + (size_t)replicate;
  }
  return plan;
}

/* What is left out of a basis is an error of that order. The second run, of a coarser basis and
 * other rounding, is there for its difference from the first. */
static const double frame_tol[2] = {1e-8, 1e-7};

static Status scout(Fluctuate *s, int replicate, int *failed_at) {
  MachinePlan plan = plan_of(s, &s->pass[0].code, replicate);
  Frame frame;
  plan.tol = frame_tol[replicate];
  Status status = framed_scout(&plan, &frame, failed_at);
  while (status == STATUS_LIMIT && *failed_at < 0) {
    frame_free(&frame);
    plan.columns *= 2;
    status = framed_scout(&plan, &frame, failed_at);
  }
  s->frame[replicate] = frame;
  return status;
}

/* The widths over which kinks are rounded, as fractions of what they read, and the weights that
 * extrapolate to zero width to second order; and to first order, for the error. */
static const double fraction[MAX_PASSES] = {0.1, 0.2, 0.4},
                    weight[MAX_PASSES] = {8. / 3, -2, 1. / 3}, first_order[MAX_PASSES] = {2, -1, 0};

/* Kinks are rounded over a fraction of what they read, as it is at t = 0. */
static Status compile_rounded(Fluctuate *s) {
  const Program *p = s->complete;
  MachineCode plain = machine_compile(p, false, NULL);
  MachinePlan plan = plan_of(s, &plain, 0);
  plan.steps = 0;
  plan.record = false;
  Machine run;
  Status status = machine_run(&plan, &run, &s->failed_at);
  double *rounding = mem_new((size_t)p->op_count, sizeof *rounding);
  for (s->passes = 0; s->passes < MAX_PASSES && status == STATUS_OK; s->passes++) {
    for (int i = 0; i < p->op_count; i++) {
      double scale = p->ops[i].kind == OP_MAP ? run.scale[p->ops[i].src[0]] : 0;
      rounding[i] = fraction[s->passes] * (scale > 0 ? scale : 1);
    }
    s->pass[s->passes].code = machine_compile(p, true, rounding);
  }
  free(rounding);
  machine_code_free(p, &plain);
  if (status == STATUS_OK) machine_free(&run);
  return status;
}

static Status run_one(Fluctuate *s, int pass, int replicate, int *failed_at) {
  Status status = STATUS_OK;
  if (s->neurons.method == COORDINATES) status = scout(s, replicate, failed_at);
  if (status != STATUS_OK) return status;
  MachinePlan plan = plan_of(s, &s->pass[pass].code, replicate);
  return machine_run(&plan, &s->pass[pass].run[replicate], failed_at);
}

static void run_all(Fluctuate *s) {
  int tasks = s->passes * s->neurons.replicates;
#pragma omp parallel for schedule(dynamic, 1) num_threads(s->options.threads)
  for (int i = 0; i < tasks; i++) {
    int failed_at = 0;
    Status status = run_one(s, i / s->neurons.replicates, i % s->neurons.replicates, &failed_at);
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
    for (int j = 0; j < s->neurons.replicates; j++) machine_free(&s->pass[k].run[j]);
}

/* An upper bound of what the tapes hold. */
static double forward_bytes(Fluctuate *s) {
  double runs = s->neurons.replicates * (s->neurons.kinks ? MAX_PASSES : 1);
  MachinePlan plan = plan_of(s, NULL, 0);
  return runs * machine_bytes(&plan, s->lazy ? 1 : s->z.steps);
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

/* The value of a program at a time of a run. */
static View value_at(const Machine *m, int variable, size_t t) { return m->past[variable][t]; }

static double entry(const Machine *m, View table, size_t row, size_t col) {
  return tape_data(m->tape, table)[row * tape_stride(m->tape, table) + col];
}

/* The largest difference of a table between the two grids, relative to its first entry. */
static double difference(const Fluctuate *s, int variable, size_t t, bool relative) {
  const Machine *a = &s->pass[0].run[0], *b = &s->pass[0].run[1];
  View x = value_at(a, variable, t), y = value_at(b, variable, t);
  double worst = 0, unit = relative ? fabs(entry(a, x, 0, 0)) + 1e-300 : 1;
  for (size_t i = 0; i < x.rows; i++)
    for (size_t j = 0; j < x.cols; j++)
      worst = fmax(worst, fabs(entry(a, x, i, j) - entry(b, y, i, j)) / unit);
  return worst;
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
  const Machine *run = s->pass[0].run;
  double worst = 0;
  for (int k = 0; k < 2 * p->matrix_count; k++) {
    const Matrix *m = &p->matrices[k / 2];
    bool x = k % 2 == 0;
    if (m->x < 0 || !is_wide(p, x ? m->from : m->to)) continue;
    double moment[2];
    for (int j = 0; j < 2; j++)
      moment[j] = fourth_moment(s, j, value_at(&run[j], x ? m->features : m->y, t));
    worst = fmax(worst, fabs(moment[0] - moment[1]) / (fabs(moment[0]) + 1e-300));
  }
  return worst;
}

/* How far two grids disagree about f or the tangent kernel, relative to their largest entries, or
 * about what the variances are made of. */
static double grids_differ(const Fluctuate *s) {
  if (s->neurons.method != GRID) return 0;
  const ProgramObservable *ntk = program_observable(s->complete, FIELD_NTK, 0);
  double worst = 0;
  for (size_t t = 0; t < s->z.steps; t++) {
    worst = fmax(worst, difference(s, s->complete->f, t, false));
    if (ntk) worst = fmax(worst, difference(s, ntk->variable, t, true));
    worst = fmax(worst, fourth_moments_differ(s, t));
  }
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
  double *mean = mem_new(P * P, sizeof *mean);
  int ntk = program_observable(s->complete, FIELD_NTK, 0)->variable;
  for (int k = 0; k < s->passes; k++)
    for (int j = 0; j < s->neurons.replicates; j++) {
      const Machine *m = &s->pass[k].run[j];
      double share = (s->passes > 1 ? weight[k] : 1) / s->neurons.replicates;
      for (size_t i = 0; i < P * P; i++)
        mean[i] += share * entry(m, value_at(m, ntk, 0), i / P, i % P);
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
    s->pass[0].code = machine_compile(s->complete, true, NULL);
  }
  run_all(s);
  while (s->status == STATUS_OK && grids_differ(s) > SAME && neurons_refine(&s->neurons)) {
    forget_runs(s);
    run_all(s);
  }
  return s->status == STATUS_OK ? hold_to_start(s, why) : explain(s, why);
}

/* ---- observables ---- */

enum { MOST_RECORDS = MAX_PASSES * MOST_REPLICATES };

/* Numbers as sums over entries of tables: [count], number i has the seeds first[i] .. first[i+1] of
 * a run, which are read backward from its mark. */
typedef struct Sums {
  size_t *first;
  Seed *seeds[MOST_RECORDS];
  int mark[MOST_RECORDS];
} Sums;

/* Which numbers are asked for: those whose variances a field has, at all times; or sums. */
typedef struct Family {
  size_t count; /* over all times */
  FieldId id;   /* of the variances */
  int layer;
  bool triangle;    /* of a symmetric table, of which one triangle will do */
  const Sums *sums; /* or NULL */
} Family;

/* Whether it is the variance of something that the program has. */
static bool is_variance(const Fluctuate *s, FieldId id, int layer) {
  const FieldRow *row = field_row(id);
  return row->kind == KIND_VARIANCE && row->solvers & FROM_NOISE &&
         program_observable(s->complete, (int)row->of, layer);
}

/* <y g> is no symmetric kernel where a matrix learns something else than its gradient. */
static bool ntk_is_symmetric(const Program *p) {
  for (int k = 0; k < p->matrix_count; k++)
    if (p->matrices[k].rate != 0 && p->matrices[k].learns != p->matrices[k].y) return false;
  return true;
}

/* `whole`: with both triangles. */
static Family family_of(const Fluctuate *s, FieldId id, int layer, bool whole) {
  Sizes z = s->z;
  Family family = {field_size(id, z), id, layer, false, NULL};
  if (whole || id != FIELD_VAR_NTK || !ntk_is_symmetric(s->program)) return family;
  family.count = z.steps * (z.points * (z.points + 1) / 2);
  family.triangle = true;
  return family;
}

/* The entry that is number i of a family at its time. */
static Seed seed(const Fluctuate *s, const Machine *m, const Family *family, size_t t, size_t i) {
  const Program *p = s->complete;
  const ProgramObservable *o = program_observable(p, (int)field_row(family->id)->of, family->layer);
  View table = value_at(m, o->variable, t);
  size_t row = i / table.cols, col = i % table.cols;
  if (family->id == FIELD_VAR_PHI || family->id == FIELD_VAR_G) row = col = i;
  if (family->triangle) { /* the lower triangle in order */
    row = 0;
    while (i > row) i -= ++row;
    col = i;
  }
  return (Seed){table, (size_t)o->first + row, col, 1};
}

/* The second run in coordinates is read at some steps only, these and the last. */
static size_t check_stride(const Fluctuate *s) {
  enum { CHECKS = 8 };
  size_t stride = (s->z.steps - 1) / CHECKS;
  return stride ? stride : 1;
}

static bool checks_only(const Fluctuate *s, const Family *family, int replicate) {
  return s->neurons.method == COORDINATES && replicate == 1 && !family->sums;
}

/* How many numbers of a family are read from a run, and the k-th of them. */
static size_t numbers_read(const Fluctuate *s, const Family *family, int replicate) {
  size_t last = s->z.steps - 1, stride = check_stride(s);
  if (!checks_only(s, family, replicate)) return family->count;
  return family->count / s->z.steps * ((last + stride - 1) / stride + 1);
}

static size_t number_read(const Fluctuate *s, const Family *family, int replicate, size_t k) {
  if (!checks_only(s, family, replicate)) return k;
  size_t per_step = family->count / s->z.steps, t = k / per_step * check_stride(s);
  return (t < s->z.steps ? t : s->z.steps - 1) * per_step + k % per_step;
}

/* What is done with the influence of a number in one run. */
typedef void Use(void *sink, size_t run, size_t number, const double *influence, size_t size);

/* Runs are passes times replicates. */
static size_t run_count(const Fluctuate *s) { return (size_t)(s->passes * s->neurons.replicates); }

static const Machine *run_of(const Fluctuate *s, size_t run) {
  size_t R = (size_t)s->neurons.replicates;
  return &s->pass[run / R].run[run % R];
}

static size_t influence_size(const Fluctuate *s, size_t run) {
  return tape_influence_size(run_of(s, run)->tape);
}

enum { MOST_CHUNK = 64 };

/* Observables that are read together: as many as keep their derivatives in a cache of
 * some 4 MB. */
static size_t chunk_size(const Fluctuate *s) {
  const Machine *m = &s->pass[0].run[0];
  double rows = 4.0 * m->rank * s->program->matrix_count +
                2.0 * (double)most_rows(s->program) * s->program->variable_count;
  double size =
      4e6 / (8 * rows * (double)m->plan.columns + 8 * (double)tape_influence_size(m->tape));
  return size < 1 ? 1 : size > MOST_CHUNK ? MOST_CHUNK : (size_t)size;
}

/* The observables of these numbers of a run, with room for a seed each; from which mark they are
 * read. */
static int observables_of(const Fluctuate *s, size_t run, const Family *family,
                          const size_t *numbers, size_t count, Seed *seeds, Observable *out) {
  const Machine *m = run_of(s, run);
  const Sums *sums = family->sums;
  size_t last = 0, per_step = family->count / s->z.steps;
  for (size_t k = 0; k < count && sums; k++) {
    size_t first = sums->first[numbers[k]];
    out[k] = (Observable){sums->seeds[run] + first, sums->first[numbers[k] + 1] - first};
  }
  for (size_t k = 0; k < count && !sums; k++) {
    size_t t = numbers[k] / per_step;
    seeds[k] = seed(s, m, family, t, numbers[k] % per_step);
    out[k] = (Observable){&seeds[k], 1};
    if (t > last) last = t;
  }
  return sums ? sums->mark[run] : m->mark[last];
}

static bool read_chunk(Fluctuate *s, size_t run, const Family *family, const size_t *numbers,
                       size_t count, double *influences) {
  Seed *seeds = mem_new(count, sizeof *seeds);
  Observable *observables = mem_new(count, sizeof *observables);
  int mark = observables_of(s, run, family, numbers, count, seeds, observables);
  bool fine =
      tape_influences(run_of(s, run)->tape, mark, observables, count, s->options.stop, influences);
  free(observables);
  free(seeds);
  return fine;
}

/* Uses these numbers of a run; false where that failed. */
static bool use_chunk(Fluctuate *s, size_t run, const Family *family, const size_t *numbers,
                      size_t count, Use *use, void *sink) {
  size_t size = influence_size(s, run);
  double *influences = mem_block(count * size);
  bool fine = influences && read_chunk(s, run, family, numbers, count, influences);
  for (size_t k = 0; k < count && fine; k++)
    use(sink, run, numbers[k], influences + k * size, size);
  free(influences);
  return fine;
}

/* Reads every number of a family from every run; the order of use is that of threads, and `use`
 * must not depend on it. */
static Status read_family(Fluctuate *s, const Family *family, Use *use, void *sink, char **why) {
  size_t chunk = chunk_size(s), chunks = (family->count + chunk - 1) / chunk, runs = run_count(s);
  s->done = 0;
  s->total = (int)(chunks * runs);
#pragma omp parallel for schedule(dynamic, 1) num_threads(s->options.threads)
  for (size_t i = 0; i < chunks * runs; i++) {
    size_t run = i % runs, numbers[MOST_CHUNK], count = 0;
    int replicate = (int)run % s->neurons.replicates;
    size_t all = numbers_read(s, family, replicate);
    for (size_t k = i / runs * chunk; count < chunk && k < all; k++)
      numbers[count++] = number_read(s, family, replicate, k);
    if (s->status != STATUS_OK || !count) continue;
    if (!use_chunk(s, run, family, numbers, count, use, sink)) {
#pragma omp critical
      s->status = s->options.stop && *s->options.stop ? STATUS_INTERRUPTED : STATUS_LIMIT;
    }
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
static void compare_runs(const Fluctuate *s, size_t steps, const double *first, size_t n,
                         size_t others, size_t m, double *value, double *error) {
  size_t stride = check_stride(s), row = n * others * m;
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

/* Mean over replicates and its error [n], of part[pass][replicate][n] extrapolated over passes; the
 * error of an entry is averaged with those of the others at its time. The numbers [steps, ..] are
 * variances (side 0), or covariances [.., side]. Half of what the last order of the extrapolation
 * contributes is added to the error. */
static void combine(const Fluctuate *s, const double *parts, size_t steps, size_t n, size_t side,
                    double *value, double *error) {
  int R = s->neurons.replicates;
  if (s->neurons.method == COORDINATES) {
    size_t m = side ? side / steps : 1, others = side ? steps : 1;
    compare_runs(s, steps, parts, n / steps / others / m, others, m, value, error);
    return;
  }
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
  if (R > 1) run_moderate(steps, n / steps, side ? NULL : value, error);
  for (size_t i = 0; i < n; i++) error[i] = hypot(error[i], last[i] / 2);
  free(last);
}

/* ---- variances and covariances ---- */

/* What is made of the influences of a family in every run: their squares, and some are kept, every
 * stride-th, where covariances are wanted. */
typedef struct Spread {
  const Fluctuate *s;
  Family family;
  size_t side, stride;        /* how many are kept */
  double *var;                /* [run][count] */
  double *kept[MOST_RECORDS]; /* [side, size] */
} Spread;

static void take(void *sink, size_t run, size_t number, const double *influence, size_t size) {
  Spread *q = sink;
  q->var[run * q->family.count + number] = dot(size, influence, influence);
  if (q->side && number % q->stride == 0)
    memcpy(q->kept[run] + number / q->stride * size, influence, size * sizeof *influence);
}

/* Of the families and, with the sides of covariances, of these. */
static double spread_bytes(const Spread *q, size_t other) {
  double side = (double)q->side, count = (double)q->family.count,
         all = 2 * side * (double)other + 4 * count;
  for (size_t i = 0; i < run_count(q->s); i++)
    all += count + side * ((double)other + (double)influence_size(q->s, i));
  return 8 * all;
}

static void spread_free(Spread *q) {
  for (size_t i = 0; i < run_count(q->s); i++) free(q->kept[i]);
  free(q->var);
}

/* Reads a family, and keeps `side` of its influences. */
static Status spread_read(Spread *q, Fluctuate *s, Family family, size_t side, char **why) {
  *q = (Spread){s, family, side, side ? family.count / side : 1, NULL, {NULL}};
  size_t runs = run_count(s);
  double bytes = spread_bytes(q, side);
  if (bytes > mem_available()) return run_refuse(why, bytes);
  bool fine = (q->var = mem_block(runs * family.count)) != NULL;
  for (size_t i = 0; i < runs && side && fine; i++)
    fine = (q->kept[i] = mem_block(side * influence_size(s, i))) != NULL;
  return fine ? read_family(s, &q->family, take, q, why) : run_refuse(why, bytes);
}

static bool fill(const Spread *q, Result *result, FieldId id, const double *value,
                 const double *error) {
  return field_fill(result, id, q->family.layer, q->s->z, value, error);
}

/* A triangle [n, pairs] as symmetric matrices [n, P, P]. */
static void mirror(const double *triangle, size_t n, size_t P, double *full) {
  for (size_t t = 0; t < n; t++, full += P * P)
    for (size_t b = 0; b < P; b++)
      for (size_t a = 0; a <= b; a++) full[a * P + b] = full[b * P + a] = *triangle++;
}

static bool fill_variances(const Spread *q, Result *result) {
  size_t n = q->family.count, P = q->s->z.points, steps = q->s->z.steps, all = steps * P * P;
  double *value = mem_block(2 * n);
  bool fine = value != NULL;
  if (fine) combine(q->s, q->var, steps, n, 0, value, value + n);
  if (fine && q->family.triangle) {
    double *full = mem_block(2 * all);
    fine = full != NULL;
    if (fine) mirror(value, steps, P, full);
    if (fine) mirror(value + n, steps, P, full + all);
    fine = fine && fill(q, result, q->family.id, full, full + all);
    free(full);
  } else if (fine) {
    fine = fill(q, result, q->family.id, value, value + n);
  }
  free(value);
  return fine;
}

/* N Cov of what two families kept, value and error [x.side, y.side]: in a run, the inner products
 * of influences. */
static bool covary(const Spread *x, const Spread *y, double *value, double *error) {
  const Fluctuate *s = x->s;
  size_t runs = run_count(s), n = x->side * y->side;
  double *parts = mem_block(runs * n);
  for (size_t i = 0; i < runs && parts; i++) {
    size_t size = influence_size(s, i);
    mat_mul_bt(x->side, y->side, size, 1, x->kept[i], size, y->kept[i], size, 0, parts + i * n,
               y->side);
  }
  if (parts) combine(s, parts, s->z.steps, n, y->side, value, error);
  if (parts && x == y) run_symmetrize(x->side, error);
  free(parts);
  return parts != NULL;
}

static bool fill_covariances(const Spread *q, Result *result, FieldId pairs) {
  size_t n = q->side * q->side;
  double *value = mem_block(2 * n);
  bool fine = value && covary(q, q, value, value + n) && fill(q, result, pairs, value, value + n);
  free(value);
  return fine;
}

static bool is_missing(const Result *result, FieldId id, int layer) {
  const ResultField *field =
      id == FIELD_COUNT ? NULL : result_find(result, field_row(id)->name, layer);
  return field && !field->value;
}

/* The variances `id` of a layer, where they are not known, and with `pairs` (FIELD_COUNT: none) the
 * covariances of the same numbers. */
static Status solve_spread(Fluctuate *s, Result *result, FieldId id, int layer, FieldId pairs,
                           char **why) {
  Spread q;
  size_t side = pairs == FIELD_COUNT ? 0 : field_side(pairs, s->z);
  Status status = spread_read(&q, s, family_of(s, id, layer, false), side, why);
  bool fine = status == STATUS_OK;
  if (fine && is_missing(result, id, layer)) fine = fill_variances(&q, result);
  if (fine && side) fine = fill_covariances(&q, result, pairs);
  if (!fine && status == STATUS_OK) status = run_refuse(why, spread_bytes(&q, side));
  spread_free(&q);
  return status;
}

/* ---- the whole ---- */

static bool is_lazy(const Program *program, const SolveOptions *options) {
  return options->closure == CLOSURE_NTK || program->problem->parameterization == PARAM_NTK;
}

static void prepare(Fluctuate *s, Program *program, const SolveOptions *options) {
  *s = (Fluctuate){.program = program, .options = *options, .z = sizes_of(program)};
  s->lazy = is_lazy(program, options);
  s->complete = program_complete(program, reading_of(s, true));
}

static void clean(Fluctuate *s) {
  forget_runs(s);
  for (int k = 0; k < s->passes; k++) machine_code_free(s->complete, &s->pass[k].code);
  program_drop(s->complete);
  for (int j = 0; j < 2; j++) frame_free(&s->frame[j]);
  neurons_free(&s->neurons);
}

/* Networks wide enough to keep apart all that a matrix met, and pairs of them for errors of some
 * percent of the scatter. */
static Status solve_shift(Fluctuate *s, Result *result, char **why) {
  enum { NARROWEST = 256, WIDEST = 2048, FEWEST_PAIRS = 64, MOST_PAIRS = 1024, PROBED_PAIRS = 8 };
  size_t met = s->z.steps * most_rows(s->program);
  Program *networks = program_complete(s->program, reading_of(s, false));
  MachineCode code = machine_compile(networks, false, NULL);
  ShiftPlan plan = {.program = networks,
                    .code = &code,
                    .gamma = s->program->problem->gamma,
                    .independent = is_independent(s),
                    .width = NARROWEST,
                    .seed = s->options.seed,
                    .crew = s->options.crew,
                    .threads = s->options.threads,
                    .stop = s->options.stop,
                    .progress = s->options.progress,
                    .sink = s->options.sink};
  while (plan.width < WIDEST && plan.width < 2 * met) plan.width *= 2;
  plan.pairs = FEWEST_PAIRS + 16 * s->options.samples / (int)plan.width;
  if (plan.pairs > MOST_PAIRS) plan.pairs = MOST_PAIRS;
  if (s->options.probe) plan.pairs = PROBED_PAIRS;
  double bytes = shift_bytes(&plan);
  bool refused = crew_any(plan.crew, bytes > mem_available());
  s->status = refused ? STATUS_LIMIT : shift_solve(&plan, result);
  machine_code_free(networks, &code);
  program_drop(networks);
  return s->status == STATUS_LIMIT ? run_refuse(why, bytes) : explain(s, why);
}

/* The covariances of what these are the variances of, or FIELD_COUNT. */
static FieldId pairs_of(FieldId variances) {
  return field_that_is(KIND_COVARIANCE, field_row(variances)->of);
}

/* Whether a field is asked for by this name (NULL: all), and not there. */
static bool is_asked(const Result *result, const char *name, FieldId id, int layer) {
  return is_missing(result, id, layer) && (!name || strcmp(name, field_row(id)->name) == 0);
}

static Status solve_named(Fluctuate *s, Result *result, const char *name, char **why) {
  Status status = STATUS_OK;
  for (FieldId id = 0; id < FIELD_COUNT; id++)
    for (int l = field_first(id); l <= field_last(id, s->program) && status == STATUS_OK; l++) {
      if (!is_variance(s, id, l)) continue;
      bool pairs = is_asked(result, name, pairs_of(id), l);
      if (pairs || is_asked(result, name, id, l))
        status = solve_spread(s, result, id, l, pairs ? pairs_of(id) : FIELD_COUNT, why);
    }
  if (status == STATUS_OK && (!name || strncmp(name, "mean_shift", 10) == 0) &&
      is_missing(result, FIELD_MEAN_SHIFT_F, 0))
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
  for (FieldId id = 0; id < FIELD_COUNT; id++)
    for (int l = field_first(id); l <= field_last(id, s->program); l++)
      if (is_variance(s, id, l)) {
        field_promise(result, id, l);
        if (pairs_of(id) != FIELD_COUNT) field_promise(result, pairs_of(id), l);
      }
  shift_promise(s->complete, result);
}

const char *solve_refuses_fluctuations(const Result *theory) {
  const Origin *origin = theory->origin;
  if (strcmp(theory->kind, "dmft") != 0) return "fluctuations are those of a result of 'dmft'";
  if (!origin) return run_no_origin;
  Closure closure = origin->options.closure;
  if (!follows_gradients(origin->program))
    return "the influence of a neuron is known under optimizers that follow gradients, not under "
           "those that divide by them; 'simulate' gives N Var f as var_f";
  if (closure == CLOSURE_PERTURBATIVE)
    return "the perturbative closure belongs to no network that could fluctuate: solve with "
           "another one";
  const Problem *problem = origin->program->problem;
  if ((closure == CLOSURE_NTK || problem->parameterization == PARAM_NTK) && !problem->centered)
    return "in the lazy limit the output at the start is of order one at any width: with "
           "centered = true its fluctuations are of order 1/N";
  if (!machine_rounds(origin->program))
    return "an activation has a kink that this version cannot round";
  return NULL;
}

/* Beyond this many outputs their variances wait until they are asked for. */
enum { MANY_OUTPUTS = 2048 };

enum { FEWEST_FLUCTUATING = 1024, MOST_CHOSEN = 65536, FEWEST_CHOSEN = 4096 };

/* What a result has at once. */
static Status solve_outputs(Fluctuate *s, Result *result, char **why) {
  enum { FEW_PAIRS = 512 };
  bool pairs = s->z.steps * s->z.points <= FEW_PAIRS;
  Status status = solve_spread(s, result, FIELD_VAR_F, 0, pairs ? FIELD_COV_F : FIELD_COUNT, why);
  if (status == STATUS_OK && is_missing(result, FIELD_VAR_F_TEST, 0))
    status = solve_spread(s, result, FIELD_VAR_F_TEST, 0, FIELD_COUNT, why);
  if (status == STATUS_OK) status = solve_spread(s, result, FIELD_VAR_LOSS, 0, FIELD_COUNT, why);
  return status;
}

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
  if (status == STATUS_OK && s.z.steps * s.z.all * s.z.outputs <= MANY_OUTPUTS)
    status = solve_outputs(&s, r, why);
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

/* The options of fluctuations around a result: as asked for, and of the theory. */
static Status choose_options(const Origin *origin, const SolveOptions *options,
                             SolveOptions *chosen, char **why) {
  int given = origin->options.samples;
  SolveOptions own = *options;
  own.closure = origin->options.closure;
  own.first_parts = origin->whole ? origin->options.parts / 2 : origin->options.parts;
  own.samples = options->samples ? options->samples : choose_samples(sizes_of(origin->program));
  if (!options->samples && given > own.samples) own.samples = given;
  *chosen = own;
  if (own.samples >= FEWEST_FLUCTUATING) return STATUS_OK;
  *why = mem_format("samples = %d is too few: at least %d", own.samples, FEWEST_FLUCTUATING);
  return STATUS_SCRIPT;
}

Status solve_fluctuations(const Result *theory, const SolveOptions *options, Result **result,
                          char **why) {
  const Origin *origin = theory->origin;
  SolveOptions chosen;
  *result = NULL;
  Status status = choose_options(origin, options, &chosen, why);
  return status == STATUS_OK ? solve(origin->program, &chosen, result, why) : status;
}

/* ---- covariances of two fields ---- */

typedef struct Pair {
  const Origin *origin;
  NoiseField a, b;
} Pair;

/* What the variances of a field are called, which says what they are of. */
static FieldId variances_of(NoiseField field) { return field_that_is(KIND_VARIANCE, field.id); }

static Status covary_once(void *sink, const SolveOptions *options, double *value, double *error,
                          char **why) {
  const Pair *pair = sink;
  Fluctuate s;
  Spread x = {0}, y = {0};
  prepare(&s, pair->origin->program, options);
  Family a = family_of(&s, variances_of(pair->a), pair->a.layer, true),
         b = family_of(&s, variances_of(pair->b), pair->b.layer, true);
  bool same = a.id == b.id && a.layer == b.layer;
  Status status = forward(&s, why);
  x.s = y.s = &s;
  if (status == STATUS_OK) status = spread_read(&x, &s, a, a.count, why);
  if (status == STATUS_OK && !same) status = spread_read(&y, &s, b, b.count, why);
  if (status == STATUS_OK && !covary(&x, same ? &x : &y, value, error))
    status = run_refuse(why, spread_bytes(&x, b.count));
  spread_free(&x);
  spread_free(&y);
  clean(&s);
  return status;
}

int solve_covariance_shape(const Program *program, NoiseField a, NoiseField b,
                           size_t shape[ARRAY_MAX_RANK]) {
  Sizes z = sizes_of(program);
  int rank = field_shape(variances_of(a), z, shape);
  return rank + field_shape(variances_of(b), z, shape + rank);
}

Status solve_covariance(const Result *noise, NoiseField a, NoiseField b, Array **value,
                        Array **error, char **why) {
  const Origin *origin = noise->origin;
  Pair pair = {origin, a, b};
  size_t shape[ARRAY_MAX_RANK];
  int rank = solve_covariance_shape(origin->program, a, b, shape);
  *value = array_new(rank, shape);
  *error = array_new(rank, shape);
  Status status = STATUS_LIMIT;
  if (*value && *error)
    status = flow_numbers(origin, covary_once, &pair, (*value)->size, (*value)->data,
                          (*error)->data, why);
  if (status == STATUS_OK) return status;
  array_drop(*value);
  array_drop(*error);
  *value = *error = NULL;
  return *why ? status : run_refuse(why, 0);
}

/* ---- functions of fields ---- */

bool solve_fluctuates(const Program *program, NoiseField field) {
  return field_row(field.id)->kind == KIND_VALUE && field_is_present(field.id, program) &&
         field.layer >= field_first(field.id) && field.layer <= field_last(field.id, program);
}

/* An entry of a table of a run at one time, or between two. */
typedef struct Spot {
  int variable;
  size_t t, s, row, col;
} Spot;

/* Where an entry of a field, in the order of its axes, is made. */
static Spot spot_of(const Fluctuate *s, const Slope *slope) {
  const ProgramObservable *o =
      program_observable(s->complete, (int)slope->field.id, slope->field.layer);
  size_t cols = (size_t)s->complete->variables[o->variable].cols, R = s->z.all, i = slope->entry;
  if (field_is_late(slope->field.id)) { /* [t, a, s, b] */
    size_t n = s->z.steps * R, first = i / n, second = i % n;
    return (Spot){o->variable, first / R, second / R, first % R, second % R};
  }
  size_t per_step = (size_t)o->rows * cols, k = i % per_step;
  return (Spot){o->variable, i / per_step, i / per_step, (size_t)o->first + k / cols, k % cols};
}

/* Tables between two times, which a run did not make. */
typedef struct Between {
  Spot spot;
  View table;
} Between;
typedef struct Betweens {
  Between *list;
  size_t count;
} Betweens;

/* <x(t) y(s)> as the program makes <x(t) y(t)>. */
static View between(Machine *m, Betweens *made, Spot spot) {
  for (size_t i = made->count; i-- > 0;) {
    const Spot *own = &made->list[i].spot;
    if (own->variable == spot.variable && own->t == spot.t && own->s == spot.s)
      return made->list[i].table;
  }
  const Op *op = m->p->ops;
  while (op->kind != OP_MOMENT || op->dst != spot.variable) op++;
  View like = value_at(m, spot.variable, 0),
       table = tape_keep(m->tape, tape_table(m->tape, like.rows, like.cols, false));
  if (!tape_failed(m->tape))
    tape_average(m->tape, table, 1, value_at(m, op->src[0], spot.t),
                 value_at(m, op->src[1], spot.s), (size_t)op->group);
  made->list = mem_grow(made->list, (made->count + 1) * sizeof *made->list);
  made->list[made->count++] = (Between){spot, table};
  return table;
}

/* The seeds of n numbers in one run, and of what may be wrong about them. */
static bool add_sums(Fluctuate *s, size_t run, const Slopes *of, size_t n, Sums *sums) {
  size_t R = (size_t)s->neurons.replicates;
  Machine *m = &s->pass[run / R].run[run % R];
  Betweens made = {NULL, 0};
  Seed *seed = sums->seeds[run] = mem_new(sums->first[2 * n] + 1, sizeof *seed);
  for (size_t i = 0; i < 2 * n; i++)
    for (size_t k = 0; k < of[i % n].count; k++) {
      const Slope *slope = &of[i % n].list[k];
      Spot spot = spot_of(s, slope);
      View table = spot.t == spot.s ? value_at(m, spot.variable, spot.t) : between(m, &made, spot);
      *seed++ = (Seed){table, spot.row, spot.col, i < n ? slope->slope : slope->doubt};
    }
  sums->mark[run] = tape_mark(m->tape);
  free(made.list);
  return !tape_failed(m->tape);
}

/* N Var of n numbers by `sums`, which are twice as many. */
static Status vary(Fluctuate *s, const Sums *sums, size_t n, double *value, double *error,
                   char **why) {
  Spread q;
  double *both = mem_block(4 * n);
  Status status = spread_read(&q, s, (Family){.count = 2 * n, .sums = sums}, 0, why);
  if (status == STATUS_OK && !both) status = run_refuse(why, spread_bytes(&q, 0));
  if (status == STATUS_OK) combine(s, q.var, 1, 2 * n, 0, both, both + 2 * n);
  for (size_t i = 0; i < n && status == STATUS_OK; i++) {
    value[i] = both[i];
    error[i] = hypot(both[2 * n + i], 2 * sqrt(fabs(both[i] * both[n + i])));
  }
  spread_free(&q);
  free(both);
  return status;
}

/* What the variances of n numbers are asked of. */
typedef struct Numbers {
  const Origin *origin;
  const Slopes *of;
  size_t n;
} Numbers;

static Status vary_once(void *sink, const SolveOptions *options, double *value, double *error,
                        char **why) {
  const Numbers *numbers = sink;
  size_t n = numbers->n;
  Fluctuate s;
  Sums sums = {.first = mem_new(2 * n + 1, sizeof(size_t))};
  for (size_t i = 0; i < 2 * n; i++) sums.first[i + 1] = sums.first[i] + numbers->of[i % n].count;
  prepare(&s, numbers->origin->program, options);
  Status status = forward(&s, why);
  bool fine = status == STATUS_OK;
  for (size_t run = 0; run < run_count(&s) && fine; run++)
    fine = add_sums(&s, run, numbers->of, n, &sums);
  if (status == STATUS_OK && !fine) status = run_refuse(why, forward_bytes(&s));
  if (status == STATUS_OK) status = vary(&s, &sums, n, value, error, why);
  for (size_t run = 0; run < MOST_RECORDS; run++) free(sums.seeds[run]);
  free(sums.first);
  clean(&s);
  return status;
}

Status solve_variances(const Result *theory, const SolveOptions *options, const Slopes *of,
                       size_t n, double *value, double *error, char **why) {
  Origin origin = *(const Origin *)theory->origin;
  int parts = origin.options.parts;
  Status status = choose_options(&origin, options, &origin.options, why);
  if (status != STATUS_OK) return status;
  origin.options.parts = parts;
  origin.whole = origin.options.parts > 1 &&
                 !neurons_are_sampled(origin.program, is_lazy(origin.program, &origin.options));
  Numbers numbers = {&origin, of, n};
  return flow_numbers(&origin, vary_once, &numbers, n, value, error, why);
}
