/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/run.h"
#include "base/memory.h"
#include "base/team.h"
#include "num/random.h"
#include "solve/observe.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const char run_no_origin[] = "the file of this result does not say how it was made";

static void drop_origin(void *origin) {
  Origin *own = origin;
  program_drop(own->program);
  result_drop(own->coarse);
  result_drop(own->fine);
  if (own->kept) free(own->kept->why);
  free(own->kept);
  free(own);
}

void run_origin(Result *result, Program *program, const SolveOptions *options) {
  result->origin = mem_new(1, sizeof(Origin));
  *(Origin *)result->origin = (Origin){.program = program_keep(program), .options = *options};
  ((Origin *)result->origin)->options.checkpoint = NULL; /* which ends with the call */
  result->drop_origin = drop_origin;
}

void run_keep(Result *result, const Checkpoint *checkpoint) {
  Origin *origin = result->origin;
  if (!checkpoint) return;
  size_t length = strlen(checkpoint->directory) + 1;
  origin->kept = mem_new(1, sizeof *origin->kept + length);
  char *directory = memcpy(origin->kept + 1, checkpoint->directory, length);
  *origin->kept = (Checkpoint){.directory = directory, .key = checkpoint->key};
  origin->options.checkpoint = origin->kept;
}

Checkpoint *run_kept(const Result *result) {
  const Origin *origin = result->origin;
  return origin ? origin->kept : NULL;
}

uint64_t slopes_key(uint64_t key, const Slopes *of, size_t n) {
  for (size_t i = 0; i < n; i++) {
    key = checkpoint_key(key, of[i].count);
    for (size_t k = 0; k < of[i].count; k++) {
      const Slope *s = &of[i].list[k];
      const uint64_t parts[] = {(uint64_t)s->field.id, (uint64_t)s->field.layer, s->entry,
                                checkpoint_bits(s->slope), checkpoint_bits(s->doubt)};
      key = checkpoint_keys(key, parts, sizeof parts / sizeof *parts);
    }
  }
  return key;
}

Slopes *slopes_like(const NoiseAsked *asked, FieldSize *size, const void *of) {
  size_t n = asked->n, count = (size_t)asked->count;
  Slopes *slopes = mem_new(1, n * sizeof *slopes + count * sizeof(Slope));
  Slope *list = (Slope *)(slopes + n);
  for (size_t k = 0; k < count; k++)
    list[k] = (Slope){asked->fields[k], size(of, asked->fields[k]) - 1, 1, 1};
  for (size_t i = 0; i < n; i++) slopes[i] = (Slopes){list, count};
  return slopes;
}

void run_sampled(Result *result, size_t columns, int runs, bool sized, Retake *retake) {
  Origin *origin = result->origin;
  origin->columns = columns;
  origin->runs = runs;
  origin->sized = sized;
  origin->retake = retake;
}

const char *run_lacks_responses(const Result *theory) {
  const Origin *origin = theory->origin;
  return origin ? lacks_responses(origin->program) : "the result was saved without them";
}

Status run_refuse(char **why, double bytes) {
  *why = mem_refusal(bytes);
  return STATUS_LIMIT;
}

Status run_finish(Result *made, Status status, bool fine, double bytes, Result **result,
                  char **why) {
  if (status == STATUS_INTERRUPTED) result_note(made, "incomplete", "%s", *why);
  if (fine) return *result = made, status;
  result_drop(made);
  free(status == STATUS_OK ? NULL : *why);
  return run_refuse(why, bytes);
}

const MatrixKind *run_kind(const SolveOptions *options) {
  return options->conditioned ? &sequential : options->single ? &dense_single : &dense;
}

static double largest(size_t n, const double *x) {
  double most = 0;
  for (size_t i = 0; i < n; i++) most = fmax(most, fabs(x[i]));
  return most;
}

/* Adds to the errors of means over networks, or with a width N of their variances N Var, what
 * single precision may do to all networks alike. What is rounded at random moves members apart, and
 * is in their scatter. That of their mean is a unit of the last place of what a field is at most,
 * and squares of it are in variances. False if memory ran out. */
static bool round_alike(const Moments *moments, double width, const double *value, double *error) {
  size_t n = moments->size;
  double unit = (double)FLT_EPSILON, add = unit * largest(n, value);
  double *mean = width > 0 ? mem_block(2 * n) : NULL;
  if (width > 0 && !mean) return false;
  if (mean) {
    moments_mean(moments, mean, mean + n);
    add += width * pow(unit * largest(n, mean), 2);
  }
  for (size_t i = 0; i < n; i++) error[i] = hypot(error[i], add);
  free(mean);
  return true;
}

static bool add_blocks(const Moments *moments, uint64_t seed, double scale, ResultField *field) {
  int blocks = (int)moments_blocks(moments);
  if (blocks < 2) return true;
  double *moves = moments_moves(moments, scale);
  bool fine = moves && field_blocks(field, "simulate", seed, blocks, moves, moments->size);
  free(moves);
  return field_whole(field, fine);
}

bool run_moments(const Moments *moments, const SolveOptions *options, bool variance,
                 ResultField *field, int rank, const size_t shape[]) {
  size_t n = moments->size;
  double *value = mem_block(2 * n), *error = value ? value + n : NULL,
         scale = variance ? options->width : 0;
  bool fine = value != NULL, sampled = moments->count > 1;
  if (fine && variance) moments_variance(moments, scale, value, error);
  if (fine && !variance) moments_mean(moments, value, error);
  if (fine && sampled && options->single) fine = round_alike(moments, scale, value, error);
  fine = fine && field_put(field, rank, shape, value, error, sampled) &&
         add_blocks(moments, options->seed, scale, field);
  free(value);
  return fine;
}

void run_round_paths(size_t n, const double *value, double gamma, double samples, double *error) {
  double unit = (double)FLT_EPSILON,
         add = unit * hypot(largest(n, value), 1 / (gamma * sqrt(samples)));
  for (size_t i = 0; i < n; i++) error[i] = hypot(error[i], add);
}

const char *run_refuse_single(const Program *program, double error) {
  static const double least = 1e-5;
  if (program->linear)
    return "single precision is for theories that are sampled: this one is linear, and solved "
           "exactly";
  if (error > 0 && error < least)
    return "single precision does not do for an error below 1e-05: precision = \"double\"";
  return NULL;
}

/* Runs under way; each notes for itself how it ended. */
typedef struct Runs {
  RunMake *make;
  void *sink;
  RunEnd *end;
} Runs;

static void make_next(void *context, size_t i) {
  const Runs *runs = context;
  runs->end[i] = runs->make(runs->sink, (int)i);
}

RunEnd run_each(const SolveOptions *options, int count, RunMake *make, void *sink) {
  Runs runs = {make, sink, mem_new((size_t)count + 1, sizeof(RunEnd))};
  RunEnd first = {.status = STATUS_OK};
  int own = STATUS_OK; /* what every process makes may fail in one that does not tell of it */
  team_run(options->threads, (size_t)count, make_next, &runs);
  for (int i = 0; i < count && own == STATUS_OK; i++) own = (int)runs.end[i].status;
  for (int i = 0; i < count; i++) {
    crew_share(options->crew, i, &runs.end[i], sizeof *runs.end);
    if (first.status == STATUS_OK) first = runs.end[i];
  }
  if (first.status == STATUS_OK) first.status = (Status)crew_first(options->crew, own);
  free(runs.end);
  return first;
}

void run_tell(const SolveOptions *options, const char *stage, int done, int total, double work) {
  if (!options->progress || !team_leads()) return;
  double all = (double)done * crew_size(options->crew);
  options->progress(options->sink, stage, all < total ? (int)all : total, total, fmin(1, work));
}

bool run_stopped(const SolveOptions *options) { return options->stop && *options->stop; }

bool run_is_full(double rank, double paths) {
  static const double full = 0.9;
  return rank > full * paths;
}

void run_filled(char **why, int rank, size_t paths, int replicates) {
  if (!run_is_full(rank, (double)paths)) return;
  mem_append(why,
             "; by then the fields filled sample space (rank %d of %zu paths in each replicate): "
             "more samples than %zu may do, too",
             rank, paths, paths * (size_t)replicates);
}

Status run_diverged(char **why, const char *who, int step, Program *program, int threads) {
  double bound = step > 0 ? solve_stable_rate(program, threads) : INFINITY, eta = 0;
  for (int t = 0; t < program->problem->steps; t++) eta = fmax(eta, program->problem->eta[t]);
  char *advice = eta > bound
                     ? mem_format("steps are stable at first below eta = %.3g", bound)
                     : mem_string(program->update.flow ? "a shorter dt may help"
                                                       : "a smaller learning rate may help");
  *why = step > 0
             ? mem_format("%s diverges at step %d: the loss is over %g times its start; %s", who,
                          step, (double)DIVERGED, advice)
             : mem_format("%s cannot start: the output or a kernel is not finite at initialisation",
                          who);
  free(advice);
  return STATUS_NUMERICS;
}

double run_clock(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void run_note_least_width(Result *r, const Program *program) {
  const Array *var = result_find(r, "var_f", 0)->value, *y = program->problem->targets;
  if (!var) return;
  double square = 0, most = 0;
  for (size_t i = 0; i < y->size; i++) square += y->data[i] * y->data[i] / (double)y->size;
  for (size_t i = 0; i < var->size; i++) most = fmax(most, var->data[i]);
  if (square > 0) result_note(r, "least_width", "%.3g", 4 * most / square);
}

double run_student(int n) { return n > 3 ? sqrt((n - 1.0) / (n - 3.0)) : 1; }

void run_moderate(size_t steps, size_t entries, const double *value, double *error) {
  for (size_t t = 0; t < steps; t++) {
    double *now = error + t * entries, errors = 0, sizes = 0;
    for (size_t i = 0; i < entries; i++) {
      double size = value ? value[t * entries + i] : 1;
      errors += now[i] * now[i];
      sizes += size * size;
    }
    for (size_t i = 0; i < entries && sizes > 0; i++) {
      double size = value ? value[t * entries + i] : 1;
      now[i] = sqrt((now[i] * now[i] + errors / sizes * size * size) / 2);
    }
  }
}

void run_symmetrize(size_t n, double *error) {
  for (size_t i = 0; i < n; i++)
    for (size_t k = 0; k < i; k++) {
      double a = error[i * n + k], b = error[k * n + i];
      error[i * n + k] = error[k * n + i] = sqrt((a * a + b * b) / 2);
    }
}

/* What the nonlinearity of layer l reads: the argument of the map that makes the features which the
 * next matrix meets, or those features where no nonlinearity makes them. -1 when it reads several
 * fields. */
static int preactivation(const Program *p, int layer) {
  int x = p->matrices[p->phi_matrix[layer]].x;
  for (int i = 0; i < p->forward_count; i++) {
    const Op *op = &p->ops[i];
    if (op->dst != x || op->kind != OP_MAP || expr_is_linear(op->expr)) continue;
    return op->src_count == 1 ? op->src[0] : -1;
  }
  return x;
}

/* Where fields are Gaussian, which covariance they have. */
static char *no_samples(const Program *p, int layer, int step) {
  const char *text =
      "this was solved exactly, and there are no samples: the density is Gaussian, with covariance";
  if (p->linear)
    return mem_format("%s Phi[%d][%d, :, %d, :] where the activation is h itself", text, layer,
                      step, step);
  if (layer == 1) return mem_format("%s sigma_w^2 x.x'/D + sigma_b^2", text);
  return mem_format("%s sigma_w^2 Phi[%d][0, :, 0, :] + sigma_b^2", text, layer - 1);
}

Status solve_preactivations(Result *result, int layer, int step, Array **samples, char **why) {
  *samples = NULL;
  const Origin *origin = result->origin;
  if (!origin) {
    *why = mem_string(run_no_origin);
    return STATUS_SCRIPT;
  }
  if (result->exact) {
    *why = no_samples(origin->program, layer, step);
    return STATUS_SCRIPT;
  }
  if (!origin->retake) {
    *why = mem_string("this closure is no average over sample paths");
    return STATUS_SCRIPT;
  }
  Snapshot snapshot = {.variable = preactivation(origin->program, layer), .step = step};
  if (snapshot.variable < 0) {
    *why = mem_format("the features of layer %d are made of several fields", layer);
    return STATUS_SCRIPT;
  }
  const Program *p = origin->program;
  double ratio = p->spaces[p->variables[snapshot.variable].space].ratio;
  size_t columns = machine_columns(origin->columns, origin->sized ? ratio : 1);
  size_t shape[] = {(size_t)origin->runs * columns, rows_of(p, snapshot.variable)};
  double bytes = 8 * (double)shape[0] * (double)shape[1];
  Array *array = mem_fits(bytes) ? array_new(2, shape) : NULL;
  if (!array) return run_refuse(why, bytes);
  snapshot.samples = array->data;
  Status status = origin->retake(origin, &snapshot, why);
  if (status == STATUS_OK) *samples = array_keep(array);
  array_drop(array);
  return status;
}

size_t run_reach(const Program *p, int space) {
  size_t reach = 0;
  for (int i = 0; i < p->op_count; i++) {
    const Op *op = &p->ops[i];
    if (op->kind == OP_SHIFT && p->variables[op->dst].space == space)
      reach += (size_t)llabs(op->first[0]);
  }
  return reach;
}

uint32_t *run_own_order(const Program *p, NoiseSource *noise, size_t paths) {
  size_t reach = 0;
  for (int space = 0; space < p->space_count; space++) reach += run_reach(p, space);
  if (noise->kind != NOISE_SOBOL || !noise->sobol || !reach) return NULL;
  double *order = mem_try(paths, sizeof *order);
  uint32_t *points = mem_try(SOBOL_DIMS * paths, sizeof *points);
  for (size_t d = 0; d < SOBOL_DIMS && order && points; d++) {
    uint64_t stream = random_stream(RANDOM_NEIGHBOURS, noise->number, d, 0);
    random_permutation(noise->seed, stream, paths, order);
    for (size_t i = 0; i < paths; i++)
      points[d * paths + i] = noise->sobol[d * paths + (size_t)order[i]];
  }
  noise->sobol = order ? points : NULL;
  free(order);
  return points;
}

char *solve_precision_caution(const Result *result) {
  const Origin *origin = result->origin;
  if (!origin || !origin->options.single || !origin->program->problem) return NULL;
  const Program *p = origin->program;
  bool networks = strcmp(result->kind, "simulate") == 0;
  char *names = NULL;
  for (int k = 0; k < p->matrix_count; k++) {
    const Matrix *m = &p->matrices[k];
    bool wide = m->weights == k && is_wide_matrix(p, m),
         whole = networks && update_for(p, m)->polar.on;
    if (!wide || !(whole || moves_by_entries(p, m))) continue;
    if (!names) names = mem_string("");
    mem_append(&names, "%s%s", *names ? ", " : "", m->name);
  }
  if (!names) return NULL;
  char *text = mem_format("the entries of %s have histories of their own under this optimizer, and "
                          "are in double precision",
                          names);
  free(names);
  return text;
}
