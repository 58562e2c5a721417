/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The infinite-width solver: independent replicates of the march, their mean, and its error.
 *
 * The samples are split into REPLICATES marches that share nothing but the program, so that their
 * scatter is an honest error of all that a march does at random to its numbers, responses and
 * feedback included. What is common to them the scatter does not show: the noise of a march biases
 * it by rank/paths, and directions that are dropped are dropped by all. So each has a companion of
 * COARSER times fewer paths and COARSER times the tolerance, a fraction of the cost, from the same
 * seed; the difference tells the bias (doubt.h). */
#include "base/memory.h"
#include "num/random.h"
#include "solve/doubt.h"
#include "solve/flow.h"
#include "solve/march.h"
#include "solve/observe.h"
#include "solve/perturb.h"
#include "solve/run.h"

#include <limits.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

enum {
  REPLICATES = MOST_MARCHES,
  FEWER_REPLICATES = 6,
  FEWEST_PATHS = FEWEST_SAMPLES / 2,
  FIRST_COORDINATES = 64,
  COARSER = 4,
  COARSEST_PATHS = FEWEST_PATHS / 2
};

_Static_assert((int)REPLICATES <= (int)MOST_REPLICATES, "the error of all replicates is stated");

/* Where noise and fields take up most of sample space, noise is no longer made orthogonal to them,
 * and what follows from a small basis does not hold. */
static const double FULL = 0.9;

/* Operations that the solver spends on its own account to get out of that: a second or so. */
static const double AFFORDABLE = 2e10;

/* One solve. */
typedef struct Solve {
  Program *program;
  SolveOptions options;
  Sizes sizes;
  MarchPlan plan, coarse;           /* of a replicate, and of its companion */
  int replicates, companions, done; /* steps done, by all marches */
  MarchRecord record[REPLICATES], companion[REPLICATES];
  Compiled compiled;
  /* of the failed march with the lowest number */
  Status status;
  int failed_at, failed_march;
} Solve;

static int marches(const Solve *s) { return s->replicates + s->companions; }

/* Of march number j: the replicates, then their companions. */
static MarchRecord *record_of(Solve *s, int j) {
  return j < s->replicates ? &s->record[j] : &s->companion[j - s->replicates];
}

static bool progress(void *sink, int t) {
  Solve *s = sink;
  (void)t;
  if (s->options.stop && *s->options.stop) return false;
  int done;
#pragma omp atomic capture
  done = ++s->done;
  if (s->options.progress && omp_get_thread_num() == 0)
    s->options.progress(s->options.sink, "dmft", done, marches(s) * (int)s->sizes.steps);
  return true;
}

/* ---- fields and their errors ---- */

typedef struct Derive {
  const Solve *solve;
  FieldId id;
} Derive;

static void derive_f(const void *context, const double *f, double *out) {
  const Derive *d = context;
  Sizes z = d->solve->sizes;
  double *train = mem_new(field_size(FIELD_F, z), sizeof *train),
         *test = mem_new(field_size(FIELD_F_TEST, z) + 1, sizeof *test);
  observe_split(z, f, train, test);
  memcpy(out, d->id == FIELD_F ? train : test, field_size(d->id, z) * sizeof *out);
  free(train);
  free(test);
}

static void derive_loss(const void *context, const double *f, double *out) {
  const Derive *d = context;
  double *other = mem_new(d->solve->sizes.steps, sizeof *other);
  bool train = d->id == FIELD_LOSS;
  observe_loss(d->solve->program, d->solve->sizes, &d->solve->compiled, f, train ? out : other,
               train ? other : out);
  free(other);
}

static void derive_delta(const void *context, const double *f, double *out) {
  const Derive *d = context;
  observe_delta(d->solve->program, d->solve->sizes, &d->solve->compiled, f, out);
}

static void derive_alignment(const void *context, const double *kernel, double *out) {
  const Derive *d = context;
  observe_alignment(d->solve->program, d->solve->sizes, kernel, out);
}

/* Which of a record's blocks holds a kernel or response of layer l. */
typedef double **Pick(MarchRecord *record, const Program *p, int l);
static double **pick_f(MarchRecord *r, const Program *p, int l) {
  (void)p, (void)l;
  return &r->f;
}
static double **pick_ntk(MarchRecord *r, const Program *p, int l) {
  (void)p, (void)l;
  return &r->ntk;
}
static double **pick_phi(MarchRecord *r, const Program *p, int l) {
  return &r->x_kernel[p->phi_matrix[l]];
}
static double **pick_phi_history(MarchRecord *r, const Program *p, int l) {
  return &r->x_history[p->phi_matrix[l]];
}
static double **pick_g_history(MarchRecord *r, const Program *p, int l) {
  return &r->y_history[p->phi_matrix[l - 1]];
}
static double **pick_a(MarchRecord *r, const Program *p, int l) {
  return &r->x_response[p->phi_matrix[l]];
}
static double **pick_b(MarchRecord *r, const Program *p, int l) {
  return &r->y_response[p->phi_matrix[l]];
}

/* The largest basis of all replicates. */
static int rank_of(const Solve *s) {
  int rank = 0;
  for (int j = 0; j < s->replicates; j++)
    if (s->record[j].rank > rank) rank = s->record[j].rank;
  return rank;
}

static double flops_of(const Solve *s) {
  double flops = 0;
  for (int j = 0; j < s->replicates; j++) flops += s->record[j].flops + s->companion[j].flops;
  return flops;
}

/* Whether the bases fill sample space: then it is not the tolerance that ends them. */
static bool is_full(const Solve *s) {
  return !s->program->linear && rank_of(s) > FULL * (double)s->plan.paths;
}

/* Which share of the difference between fine and coarse marches the fine ones are off by. Between
 * full bases nothing is known of an order, and all of it counts. */
static double bias_share(const Solve *s) {
  return is_full(s) ? 1 : 1 / ((double)s->plan.paths / (double)s->coarse.paths - 1);
}

/* The n numbers of a block, of all replicates. */
static Replicates collect(Solve *s, Pick *pick, int l, size_t n) {
  Replicates r = {
      .count = s->replicates, .companions = s->companions, .n = n, .share = bias_share(s)};
  for (int j = 0; j < s->replicates; j++) r.fine[j] = *pick(&s->record[j], s->program, l);
  for (int j = 0; j < s->companions; j++) r.coarse[j] = *pick(&s->companion[j], s->program, l);
  return r;
}

/* Adds a field that is derived from a block of n numbers for each time. */
static bool add(Solve *s, Result *result, FieldId id, int layer, Derivation *derivation, Pick *pick,
                size_t n) {
  size_t m = field_size(id, s->sizes);
  Replicates measured = collect(s, pick, layer, s->sizes.steps * n);
  Grouping times = grouping_of_times(s->sizes.steps, m / s->sizes.steps);
  double *value = mem_block(m), *error = mem_block(m);
  bool fine = value && error &&
              doubt(&measured, derivation, &(Derive){s, id}, m, &times, value, error) &&
              field_add(result, id, layer, s->sizes, value, error);
  free(value);
  free(error);
  return fine;
}

static bool add_small(Solve *s, Result *result) {
  Sizes z = s->sizes;
  size_t n = z.all * z.outputs;
  bool fine = add(s, result, FIELD_F, 0, derive_f, pick_f, n) &&
              add(s, result, FIELD_LOSS, 0, derive_loss, pick_f, n) &&
              add(s, result, FIELD_DELTA, 0, derive_delta, pick_f, n) &&
              add(s, result, FIELD_NTK, 0, NULL, pick_ntk, z.points * z.points);
  if (fine && z.all > z.points) fine = add(s, result, FIELD_F_TEST, 0, derive_f, pick_f, n);
  if (fine && s->program->problem->test_targets)
    fine = add(s, result, FIELD_TEST_LOSS, 0, derive_loss, pick_f, n);
  for (int l = 1; fine && l <= s->program->layers && observe_aligns(s->program); l++)
    fine = add(s, result, FIELD_ALIGNMENT, l, derive_alignment, pick_phi, z.all * z.all);
  return fine;
}

/* The large fields, layer by layer; each is filled and its blocks are freed at once. */
static const struct {
  FieldId id;
  Pick *pick;
  bool response;
} large[] = {{FIELD_PHI, pick_phi_history, false},
             {FIELD_G, pick_g_history, false},
             {FIELD_A, pick_a, true},
             {FIELD_B, pick_b, true}};
enum { LARGE = sizeof large / sizeof *large };

static int layers_of(const Program *p, int k) {
  return large[k].response ? response_layers(p) : p->layers;
}

/* Both resolutions may have dropped the same. What is dropped of two fields overlaps by up to tol^2
 * of the largest fields, and the kernels of all times but the first are made of what was kept. */
static void add_dropped(Sizes z, double tol, const double *kernel, double *error) {
  size_t n = z.steps * z.all;
  double *size = mem_new(n, sizeof *size);
  for (size_t i = 0; i < n; i++) {
    size_t first = i / z.all * z.all;
    for (size_t k = first; k < first + z.all; k++) size[i] = fmax(size[i], kernel[k * n + k]);
    size[i] = tol * sqrt(size[i]);
  }
  for (size_t i = 0; i < n; i++)
    for (size_t k = 0; k < n; k++)
      if (i >= z.all || k >= z.all) error[i * n + k] = hypot(error[i * n + k], size[i] * size[k]);
  free(size);
}

static bool fill_field(Solve *s, Result *result, int k, int l) {
  size_t m = field_size(large[k].id, s->sizes);
  Replicates measured = collect(s, large[k].pick, l, m);
  Grouping pairs = grouping_of_pairs(s->sizes.steps, s->sizes.all);
  double *value = mem_block(m), *error = mem_block(m),
         unit = large[k].response ? 1 / s->program->problem->gamma : 1;
  bool fine = value && error && doubt(&measured, NULL, NULL, m, &pairs, value, error);
  if (fine && !large[k].response) add_dropped(s->sizes, s->plan.tol, value, error);
  for (size_t i = 0; fine && i < m; i++) {
    value[i] *= unit;
    error[i] *= fabs(unit);
  }
  fine = fine && field_fill(result, large[k].id, l, s->sizes, value, error);
  free(value);
  free(error);
  return fine;
}

static void drop_block(Solve *s, Pick *pick, int l) {
  for (int j = 0; j < marches(s); j++) {
    double **block = pick(record_of(s, j), s->program, l);
    free(*block);
    *block = NULL;
  }
}

static bool fill_large(Solve *s, Result *result) {
  bool fine = true;
  for (int k = 0; k < LARGE; k++)
    for (int l = 1; fine && l <= layers_of(s->program, k); l++) {
      fine = fill_field(s, result, k, l);
      drop_block(s, large[k].pick, l);
    }
  return fine;
}

/* ---- running ---- */

static double two_time_bytes(const Solve *s) {
  double n = (double)(s->sizes.steps * s->sizes.all), kernels = 0;
  for (int k = 0; k < LARGE; k++) kernels += layers_of(s->program, k);
  return 8 * n * n * kernels * (marches(s) + 2);
}

/* An upper bound: every basis as large as sample space or history allow. */
static double march_bytes(const Solve *s, size_t paths) {
  const Program *p = s->program;
  Sizes z = s->sizes;
  double S = (double)paths, steps = (double)z.steps, most = (double)most_rows(p),
         moves = steps * stages_of(p, s->plan.parts);
  double doubles = 4 * most * S + (double)tangent_size(p) + (double)mixing_size(p);
  for (int v = 0; v < p->variable_count; v++)
    if (is_wide(p, p->variables[v].space)) doubles += 2 * (double)rows_of(p, v) * S;
  for (int k = 0; k < p->matrix_count; k++) {
    const Matrix *m = &p->matrices[k];
    double rank = fmin(moves * (double)rows_of(p, m->y), S);
    doubles += is_wide_matrix(p, m) ? 2 * 4 * rank * S + 3 * rank * rank + 4 * most * rank
                                    : 4 * (double)thin_vectors(p, m) * S;
  }
  double row = steps * (double)(z.all * z.all), record = 2 * row * p->matrix_count;
  int parallel = s->options.threads < s->replicates ? s->options.threads : s->replicates;
  double summary = row * (double)(z.outputs * z.outputs) * (marches(s) + 12);
  return 8 * (doubles * parallel + record * (marches(s) + parallel) + summary);
}

static void run_march(Solve *s, int j) {
  int replicate = j % s->replicates, failed_at;
  MarchRecord *record = record_of(s, j);
  const MarchPlan *plan = j < s->replicates ? &s->plan : &s->coarse;
  Status status = s->options.closure == CLOSURE_PERTURBATIVE
                      ? perturb_run(plan, replicate, record, &failed_at)
                      : march_run(plan, replicate, record, &failed_at);
  if (status == STATUS_OK) return;
#pragma omp critical
  if (s->status == STATUS_OK || j < s->failed_march) {
    s->status = status;
    s->failed_at = failed_at;
    s->failed_march = j;
  }
}

/* A companion that diverges where its replicate does not leaves the bias unknown. */
static void run_marches(Solve *s) {
  int count = marches(s);
#pragma omp parallel for schedule(dynamic, 1) num_threads(s->options.threads)
  for (int j = 0; j < count; j++) run_march(s, j);
  if (s->status == STATUS_NUMERICS && s->failed_march >= s->replicates) {
    s->status = STATUS_OK;
    s->companions = 0;
  }
}

static void forget_records(Solve *s) {
  for (int j = 0; j < 2 * s->replicates; j++)
    if (record_of(s, j)->f) march_record_free(s->program, record_of(s, j));
}

static Status explain(const Solve *s, char **why) {
  switch (s->status) {
  case STATUS_OK: break;
  case STATUS_INTERRUPTED:
    *why = mem_format("interrupted at step %d of %zu", s->failed_at, s->sizes.steps - 1);
    break;
  case STATUS_NUMERICS:
    return run_diverged(why, "training", s->failed_at, s->program, s->options.threads);
  default: *why = mem_format("out of memory at step %d", s->failed_at);
  }
  return s->status;
}

/* Linear programs: as many coordinates as it takes, found by doubling. */
static Status run_linear(Solve *s, char **why) {
  for (s->plan.paths = FIRST_COORDINATES;; s->plan.paths *= 2) {
    double bytes = march_bytes(s, s->plan.paths);
    if (bytes > mem_available()) return run_refuse(why, bytes);
    s->status = STATUS_OK;
    run_marches(s);
    if (s->status != STATUS_LIMIT || s->failed_at >= 0) return explain(s, why);
    forget_records(s);
  }
}

static uint32_t *sobol_points(size_t paths) {
  uint32_t *points = mem_new(SOBOL_DIMS * paths, sizeof *points);
  sobol_table(SOBOL_DIMS, paths, points);
  return points;
}

static Status run(Solve *s, char **why) {
  double bytes = march_bytes(s, s->plan.paths) + (s->plan.two_time ? two_time_bytes(s) : 0);
  if (s->program->linear) bytes = s->plan.two_time ? two_time_bytes(s) : 0;
  if (bytes > mem_available()) return run_refuse(why, bytes);
  if (s->program->linear) return run_linear(s, why);
  uint32_t *fine = sobol_points(s->plan.paths), *coarse = sobol_points(s->coarse.paths);
  s->plan.sobol = fine;
  s->coarse.sobol = coarse;
  run_marches(s);
  free(fine);
  free(coarse);
  return explain(s, why);
}

/* A dropped direction biases f by its share of the feature movement, which is of order gamma; the
 * bias, about 0.05 tol, is to stay well below the sampling error, which falls a little faster than
 * 1/sqrt(samples). In the lazy limit f moves through drifts, and truncation does not touch it. */
static double automatic_tol(const Program *program, const SolveOptions *options) {
  double gamma = program->problem->gamma, movement = gamma < 0.1 ? 1 : gamma < 1 ? gamma : 1;
  if (program->linear) return 1e-10;
  if (options->closure == CLOSURE_PERTURBATIVE)
    return 1e-3; /* second differences of small movements */
  return 0.01 * movement * sqrt(2000.0 / options->samples);
}

/* What the noise of a march adds to its fields biases it by rank/S. Where the bases may grow to the
 * order of S, fewer and larger replicates are better, though their scatter says less. */
static int replicates_for(const Program *program, const SolveOptions *options) {
  if (program->linear) return 1;
  int rank = (int)fmin(1e6, 2.0 * (double)(sizes_of(program).steps * most_rows(program)));
  int replicates = options->samples / REPLICATES >= rank ? REPLICATES : FEWER_REPLICATES;
  return options->samples / FEWEST_PATHS < replicates ? options->samples / FEWEST_PATHS
                                                      : replicates;
}

/* The scatter of a probe is not asked for, nor its bias. What two times take does not become less
 * with the paths: there, half as many companions do. */
static void prepare(Solve *s, Program *program, const SolveOptions *options, bool two_time) {
  *s = (Solve){.program = program, .options = *options, .sizes = sizes_of(program)};
  int replicates = replicates_for(program, options);
  s->replicates = options->probe ? 1 : replicates;
  MarchPlan *plan = &s->plan;
  *plan = (MarchPlan){.program = program,
                      .two_time = two_time,
                      .seed = options->seed,
                      .stop = options->stop,
                      .step = progress};
  plan->sink = s;
  plan->paths = program->linear ? FIRST_COORDINATES
                                : (size_t)((options->samples + replicates - 1) / replicates);
  plan->parts = options->parts;
  plan->gamma = program->problem->gamma;
  plan->independent = options->closure == CLOSURE_GRADIENT_INDEPENDENCE;
  plan->tol = options->tol > 0 ? options->tol : automatic_tol(program, options);
  s->compiled = compile(program);
  plan->compiled = &s->compiled;
  bool biased = !program->linear && !options->probe;
  s->companions = !biased ? 0 : two_time ? s->replicates / 2 : s->replicates;
  s->coarse = *plan;
  s->coarse.paths = plan->paths / COARSER;
  if (s->coarse.paths < COARSEST_PATHS) s->coarse.paths = COARSEST_PATHS;
  s->coarse.tol = COARSER * plan->tol;
}

static void clean(Solve *s) {
  forget_records(s);
  compiled_free(s->program, &s->compiled);
}

/* ---- the large fields on demand ---- */

/* The march is deterministic: running it again with the histories kept gives the two-time fields of
 * the same solution. */
static Status complete(Result *result, const char *name, char **why) {
  (void)name; /* they come together */
  Origin *origin = result->origin;
  Solve s;
  prepare(&s, origin->program, &origin->options, true);
  Status status = run(&s, why);
  if (status == STATUS_OK && !fill_large(&s, result)) status = run_refuse(why, two_time_bytes(&s));
  clean(&s);
  if (status == STATUS_OK) result->complete = NULL;
  return status;
}

Status solve_march_to(Program *program, const SolveOptions *options, Snapshot *snapshot,
                      size_t *paths, int *replicates, char **why) {
  Solve s;
  prepare(&s, program, options, false);
  s.sizes.steps = (size_t)snapshot->step + 1;
  s.plan.snapshot = snapshot;
  s.companions = 0;
  Status status = run(&s, why);
  *paths = s.plan.paths;
  *replicates = s.replicates;
  clean(&s);
  return status;
}

/* The same march up to one step. */
static Status retake(const Origin *origin, Snapshot *snapshot, char **why) {
  size_t paths;
  int replicates;
  return solve_march_to(origin->program, &origin->options, snapshot, &paths, &replicates, why);
}

/* What a result of this solve goes back to. */
static void give_origin(const Solve *s, Result *result) {
  run_origin(result, s->program, &s->options);
  if (s->options.closure != CLOSURE_PERTURBATIVE)
    run_sampled(result, s->plan.paths * (size_t)s->replicates, retake);
  result->complete = complete;
}

static bool is_lazy(const Program *program, const SolveOptions *options) {
  return options->closure == CLOSURE_NTK || program->problem->parameterization == PARAM_NTK;
}

/* Whether what is deterministic has nothing beyond its probe. */
static bool is_probed_whole(const Program *program, const SolveOptions *options) {
  return program->linear || is_lazy(program, options);
}

/* The samples that a result of these options was made from: asked for, doubled as often as the
 * bases filled sample space. */
static int samples_of(const Result *result, const SolveOptions *options) {
  const char *taken = result_attribute(result, "samples");
  int samples = options->samples;
  while (taken && samples > 0 && 2.0 * samples <= strtod(taken, NULL)) samples *= 2;
  return samples;
}

void solve_dmft_origin(Result *result, Program *program, const SolveOptions *options) {
  if (is_lazy(program, options)) {
    solve_lazy_origin(result, program, options);
  } else {
    Solve s;
    SolveOptions taken = *options;
    taken.samples = samples_of(result, options);
    prepare(&s, program, &taken, false);
    give_origin(&s, result);
    clean(&s);
  }
  flow_origin(solve_dmft, is_probed_whole(program, options), result);
}

static void promise_large(Solve *s, Result *result) {
  for (int k = 0; k < LARGE; k++)
    for (int l = 1; l <= layers_of(s->program, k); l++) field_promise(result, large[k].id, l);
}

static void note_run(Solve *s, Result *result, double seconds) {
  static const char *const closures[] = {"full", "ntk", "gradient_independence", "perturbative"};
  double flops = flops_of(s);
  if (!result->exact) {
    result_note(result, "samples", "%zu", s->plan.paths * (size_t)s->replicates);
    result_note(result, "replicates", "%d", s->replicates);
    result_note(result, "seed", "%llu", (unsigned long long)s->options.seed);
  }
  result_note(result, "closure", "%s", closures[s->options.closure]);
  result_note(result, "tol", "%.17g", s->plan.tol);
  result_note(result, "rank", "%d", rank_of(s));
  if (!s->program->linear && !s->options.probe && !s->companions)
    result_note(result, "bias", "unknown");
  result_note(result, "flops", "%.17g", flops);
  result_note(result, "seconds", "%.6g", seconds);
}

const char *solve_refuses(const Program *program, const SolveOptions *options) {
  const Update *update = &program->update;
  if (program->problem->parameterization == PARAM_STANDARD)
    return "the standard parameterization has no infinite-width limit: at a learning rate of order "
           "one a step moves f by order N, and at rates of order 1/N the limit is that of "
           "parameterization = ntk; mup has a limit with feature learning";
  if (update->temperature > 0 && (is_lazy(program, options) || options->closure != CLOSURE_FULL))
    return "at a temperature the weights move by their noise at any gamma, which no closure but "
           "\"full\" follows";
  if (is_lazy(program, options))
    return update->decay > 0 ? "weight decay has no lazy limit with constant kernels: the initial "
                               "weights shrink at any gamma, and the kernels with them; take the "
                               "full theory at a small gamma"
                             : NULL;
  if (options->closure == CLOSURE_GRADIENT_INDEPENDENCE &&
      (update->decay > 0 || update->momentum > 0))
    return "gradient independence takes f from the increments of the tangent kernel at one time; "
           "momentum and weight decay change f by the whole past";
  if (options->closure == CLOSURE_PERTURBATIVE && program->problem->rule != RULE_BACKPROP)
    return "the perturbative closure is for backprop: under other rules the fields are not even in "
           "gamma with their noise";
  if (options->closure == CLOSURE_PERTURBATIVE && !perturb_applies(program))
    return "the perturbative closure needs smooth activations: across a kink the first correction "
           "to f is of order |gamma|, not gamma^2";
  return NULL;
}

/* Twice the paths are up to eight times the work, since full bases grow with them. */
static bool can_double(const Solve *s) {
  return 8 * flops_of(s) < AFFORDABLE && s->options.samples <= INT_MAX / 4;
}

/* Doubles the samples while the bases fill sample space and it costs little. */
static Status run_unfilled(Solve *s, Program *program, const SolveOptions *options, char **why) {
  SolveOptions more = *options;
  for (;; more.samples *= 2) {
    prepare(s, program, &more, false);
    Status status = run(s, why);
    if (status != STATUS_OK || more.probe || !is_full(s) || !can_double(s)) return status;
    clean(s);
  }
}

char *solve_caution(const Result *result) {
  const char *rank = result_attribute(result, "rank"),
             *samples = result_attribute(result, "samples"),
             *replicates = result_attribute(result, "replicates");
  if (strcmp(result->kind, "dmft") != 0 || !rank || !samples || !replicates) return NULL;
  double paths = strtod(samples, NULL) / strtod(replicates, NULL);
  if (strtod(rank, NULL) > FULL * paths)
    return mem_format(
        "the fields fill sample space (rank %s of %g paths in each of %s replicates): "
        "the stated errors may be too small; more samples than %s are needed",
        rank, paths, replicates, samples);
  if (result_attribute(result, "bias"))
    return mem_format("with a fraction of the %s samples training diverges: the stated errors lack "
                      "the bias of few samples",
                      samples);
  return NULL;
}

Status solve_dmft(Program *program, const SolveOptions *options, Result **result, char **why) {
  *result = NULL;
  const char *refusal = solve_refuses(program, options);
  if (refusal) {
    *why = mem_string(refusal);
    return STATUS_SCRIPT;
  }
  if (flow_chooses(program, options))
    return flow_solve(solve_dmft, is_probed_whole(program, options), program, options, result, why);
  if (is_lazy(program, options)) return solve_lazy(program, options, result, why);
  if (!program->linear && options->samples < FEWEST_SAMPLES) {
    *why = mem_format("samples = %d is too few: at least %d", options->samples, FEWEST_SAMPLES);
    return STATUS_SCRIPT;
  }
  double start = run_clock();
  Solve s;
  Status status = run_unfilled(&s, program, options, why);
  if (status == STATUS_OK) {
    Result *r = result_new("dmft");
    r->exact = program->linear;
    give_origin(&s, r);
    bool fine = observe_start(r, program, s.sizes) && add_small(&s, r);
    promise_large(&s, r);
    note_run(&s, r, run_clock() - start);
    if (!fine) {
      result_drop(r);
      status = run_refuse(why, two_time_bytes(&s));
    } else {
      *result = r;
    }
  }
  clean(&s);
  return status;
}
