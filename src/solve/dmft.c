/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The infinite-width solver: independent replicates of the march, their mean, and its standard
 * error.
 *
 * The samples are split into REPLICATES marches that share nothing but the program, so that their
 * scatter is an honest error of all that a march does to its numbers, responses and feedback
 * included. Observables that are not linear in what a march measures (losses, alignments) are taken
 * of the mean, with the jackknife for their error. */
#include "base/memory.h"
#include "num/random.h"
#include "solve/flow.h"
#include "solve/march.h"
#include "solve/observe.h"
#include "solve/perturb.h"
#include "solve/run.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

enum {
  REPLICATES = MOST_MARCHES,
  FEWER_REPLICATES = 6,
  FEWEST_PATHS = FEWEST_SAMPLES / 2,
  FIRST_COORDINATES = 64
};

/* One solve. */
typedef struct Solve {
  Program *program;
  SolveOptions options;
  Sizes sizes;
  MarchPlan plan;
  int replicates, done; /* steps done, by all replicates */
  MarchRecord record[REPLICATES];
  Compiled compiled;
  /* of the failed replicate with the lowest number */
  Status status;
  int failed_at, failed_replicate;
} Solve;

static bool progress(void *sink, int t) {
  Solve *s = sink;
  (void)t;
  if (s->options.stop && *s->options.stop) return false;
  int done;
#pragma omp atomic capture
  done = ++s->done;
  if (s->options.progress && omp_get_thread_num() == 0)
    s->options.progress(s->options.sink, "dmft", done, s->replicates * (int)s->sizes.steps);
  return true;
}

/* ---- the error of the mean ---- */

typedef struct Derive {
  const Solve *solve;
  int layer;
  FieldId id;
} Derive;

typedef void Derivation(const Derive *derive, const double *x, double *out);

/* out = derive(mean of x_j) and its jackknife error, for x_j [n], out [m]. */
static void jackknife(const Derive *derive, Derivation *derivation, int replicates, size_t n,
                      const double *const *x, size_t m, double *value, double *error) {
  double *mean = mem_new(n, sizeof *mean), *part = mem_new(n, sizeof *part);
  double *out = mem_new(m * (size_t)replicates, sizeof *out);
  for (int j = 0; j < replicates; j++)
    for (size_t i = 0; i < n; i++) mean[i] += x[j][i] / replicates;
  derivation(derive, mean, value);
  for (int j = 0; j < replicates && replicates > 1; j++) {
    for (size_t i = 0; i < n; i++) part[i] = mean[i] + (mean[i] - x[j][i]) / (replicates - 1);
    derivation(derive, part, out + (size_t)j * m);
  }
  for (size_t i = 0; i < m && replicates > 1; i++) {
    double centre = 0, sum = 0;
    for (int j = 0; j < replicates; j++) centre += out[(size_t)j * m + i] / replicates;
    for (int j = 0; j < replicates; j++) sum += pow(out[(size_t)j * m + i] - centre, 2);
    error[i] = sqrt(sum * (replicates - 1) / replicates) * run_student(replicates);
  }
  free(mean);
  free(part);
  free(out);
}

/* run_moderate for [t, a, s, b], over the points of each pair of times. */
static void moderate_pairs(Sizes z, double *error) {
  size_t R = z.all, row = z.steps * R;
  for (size_t t = 0; t < z.steps; t++)
    for (size_t s = 0; s < z.steps; s++) {
      double *now = error + t * R * row + s * R, pool = 0;
      for (size_t a = 0; a < R; a++)
        for (size_t b = 0; b < R; b++)
          pool += now[a * row + b] * now[a * row + b] / (double)(R * R);
      for (size_t a = 0; a < R; a++)
        for (size_t b = 0; b < R; b++)
          now[a * row + b] = sqrt((now[a * row + b] * now[a * row + b] + pool) / 2);
    }
}

static void derive_f(const Derive *d, const double *f, double *out) {
  Sizes z = d->solve->sizes;
  double *train = mem_new(field_size(FIELD_F, z), sizeof *train),
         *test = mem_new(field_size(FIELD_F_TEST, z) + 1, sizeof *test);
  observe_split(z, f, train, test);
  memcpy(out, d->id == FIELD_F ? train : test, field_size(d->id, z) * sizeof *out);
  free(train);
  free(test);
}

static void derive_loss(const Derive *d, const double *f, double *out) {
  double *other = mem_new(d->solve->sizes.steps, sizeof *other);
  bool train = d->id == FIELD_LOSS;
  observe_loss(d->solve->program, d->solve->sizes, &d->solve->compiled, f, train ? out : other,
               train ? other : out);
  free(other);
}

static void derive_delta(const Derive *d, const double *f, double *out) {
  observe_delta(d->solve->program, d->solve->sizes, &d->solve->compiled, f, out);
}

static void derive_same(const Derive *d, const double *x, double *out) {
  memcpy(out, x, field_size(d->id, d->solve->sizes) * sizeof *out);
}

static void derive_alignment(const Derive *d, const double *kernel, double *out) {
  observe_alignment(d->solve->program, d->solve->sizes, kernel, out);
}

static bool add(Solve *s, Result *result, FieldId id, int layer, Derivation *derivation, size_t n,
                const double *const *x) {
  size_t m = field_size(id, s->sizes);
  double *value = mem_new(m, sizeof *value), *error = mem_new(m, sizeof *error);
  jackknife(&(Derive){s, layer, id}, derivation, s->replicates, n, x, m, value, error);
  run_moderate(s->sizes.steps, m / s->sizes.steps, NULL, error);
  bool fine = field_add(result, id, layer, s->sizes, value, error);
  free(value);
  free(error);
  return fine;
}

/* ---- results ---- */

/* Which of a record's blocks holds a kernel or response of layer l. */
typedef double **Pick(MarchRecord *record, const Program *p, int l);
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

static void collect(Solve *s, Pick *pick, int l, const double **x) {
  for (int j = 0; j < s->replicates; j++) x[j] = *pick(&s->record[j], s->program, l);
}

static bool add_small(Solve *s, Result *result) {
  Sizes z = s->sizes;
  const double *f[REPLICATES], *ntk[REPLICATES], *phi[REPLICATES];
  for (int j = 0; j < s->replicates; j++) {
    f[j] = s->record[j].f;
    ntk[j] = s->record[j].ntk;
  }
  size_t n = z.steps * z.all * z.outputs;
  bool fine = add(s, result, FIELD_F, 0, derive_f, n, f) &&
              add(s, result, FIELD_LOSS, 0, derive_loss, n, f) &&
              add(s, result, FIELD_DELTA, 0, derive_delta, n, f) &&
              add(s, result, FIELD_NTK, 0, derive_same, field_size(FIELD_NTK, z), ntk);
  if (fine && z.all > z.points) fine = add(s, result, FIELD_F_TEST, 0, derive_f, n, f);
  if (fine && s->program->problem->test_targets)
    fine = add(s, result, FIELD_TEST_LOSS, 0, derive_loss, n, f);
  for (int l = 1; fine && l <= s->program->layers && observe_aligns(s->program); l++) {
    collect(s, pick_phi, l, phi);
    fine = add(s, result, FIELD_ALIGNMENT, l, derive_alignment, z.steps * z.all * z.all, phi);
  }
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

static bool fill_large(Solve *s, Result *result) {
  bool fine = true;
  for (int k = 0; k < LARGE; k++)
    for (int l = 1; fine && l <= layers_of(s->program, k); l++) {
      const double *x[REPLICATES];
      collect(s, large[k].pick, l, x);
      size_t m = field_size(large[k].id, s->sizes);
      double *value = mem_block(m), *error = mem_block(m),
             unit = large[k].response ? 1 / s->program->problem->gamma : 1;
      fine = value && error;
      for (size_t i = 0; fine && i < m; i++) {
        double sum = 0, squares = 0;
        for (int j = 0; j < s->replicates; j++) sum += x[j][i];
        for (int j = 0; j < s->replicates; j++) squares += pow(x[j][i] - sum / s->replicates, 2);
        value[i] = unit * sum / s->replicates;
        if (s->replicates > 1)
          error[i] = unit * run_student(s->replicates) *
                     sqrt(squares / s->replicates / (s->replicates - 1));
      }
      if (fine) moderate_pairs(s->sizes, error);
      fine = fine && field_fill(result, large[k].id, l, s->sizes, value, error);
      free(value);
      free(error);
      for (int j = 0; j < s->replicates; j++) {
        free(*large[k].pick(&s->record[j], s->program, l));
        *large[k].pick(&s->record[j], s->program, l) = NULL;
      }
    }
  return fine;
}

/* ---- running ---- */

static double two_time_bytes(const Solve *s) {
  double n = (double)(s->sizes.steps * s->sizes.all), kernels = 0;
  for (int k = 0; k < LARGE; k++) kernels += layers_of(s->program, k);
  return 8 * n * n * kernels * (s->replicates + 2);
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
  double summary = row * (double)(z.outputs * z.outputs) * (s->replicates + 5);
  return 8 * (doubles * parallel + record * (s->replicates + parallel) + summary);
}

static void run_replicates(Solve *s) {
#pragma omp parallel for schedule(dynamic, 1) num_threads(s->options.threads)
  for (int j = 0; j < s->replicates; j++) {
    int failed_at;
    Status status = s->options.closure == CLOSURE_PERTURBATIVE
                        ? perturb_run(&s->plan, j, &s->record[j], &failed_at)
                        : march_run(&s->plan, j, &s->record[j], &failed_at);
    if (status != STATUS_OK) {
#pragma omp critical
      if (s->status == STATUS_OK || j < s->failed_replicate) {
        s->status = status;
        s->failed_at = failed_at;
        s->failed_replicate = j;
      }
    }
  }
}

static void forget_records(Solve *s) {
  for (int j = 0; j < s->replicates; j++)
    if (s->record[j].f) march_record_free(s->program, &s->record[j]);
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
    run_replicates(s);
    if (s->status != STATUS_LIMIT || s->failed_at >= 0) return explain(s, why);
    forget_records(s);
  }
}

static Status run(Solve *s, char **why) {
  double bytes = march_bytes(s, s->plan.paths) + (s->plan.two_time ? two_time_bytes(s) : 0);
  if (s->program->linear) bytes = s->plan.two_time ? two_time_bytes(s) : 0;
  if (bytes > mem_available()) return run_refuse(why, bytes);
  if (s->program->linear) return run_linear(s, why);
  uint32_t *sobol = mem_new(SOBOL_DIMS * s->plan.paths, sizeof *sobol);
  sobol_table(SOBOL_DIMS, s->plan.paths, sobol);
  s->plan.sobol = sobol;
  run_replicates(s);
  free(sobol);
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

void solve_dmft_origin(Result *result, Program *program, const SolveOptions *options) {
  if (is_lazy(program, options)) {
    solve_lazy_origin(result, program, options);
  } else {
    Solve s;
    prepare(&s, program, options, false);
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
  double flops = 0;
  int rank = 0;
  for (int j = 0; j < s->replicates; j++) {
    flops += s->record[j].flops;
    if (s->record[j].rank > rank) rank = s->record[j].rank;
  }
  if (!result->exact) {
    result_note(result, "samples", "%zu", s->plan.paths * (size_t)s->replicates);
    result_note(result, "replicates", "%d", s->replicates);
    result_note(result, "seed", "%llu", (unsigned long long)s->options.seed);
  }
  result_note(result, "closure", "%s", closures[s->options.closure]);
  result_note(result, "tol", "%.17g", s->plan.tol);
  result_note(result, "rank", "%d", rank);
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
  prepare(&s, program, options, false);
  Status status = run(&s, why);
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
