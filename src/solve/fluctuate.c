/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fluctuations of order 1/N over initialisations (theory.md section 6, Fluctuations): the march in
 * its sequential form is run once, and read backward from every observable; N times a covariance is
 * the inner product of the influences of the neurons.
 *
 * neurons.h says which neurons; those of different replicates are independent (or two grids), and
 * their scatter is the error; or two runs in different coordinates. In derivatives, kinks of
 * activations are rounded over small distances, which are extrapolated to zero. */
#include "base/memory.h"
#include "solve/flow.h"
#include "solve/influences.h"
#include "solve/measured.h"
#include "solve/noise.h"
#include "solve/numbers.h"
#include "solve/rehearse.h"
#include "solve/run.h"
#include "solve/shift.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- variances and covariances ---- */

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

/* Room for how far replicates are off, where that is kept. */
static double *new_moves(const Spread *q) {
  bool kept = spread_runs(q) > 1 && field_has_moves(q->family.id, q->s->z);
  return kept ? mem_block((size_t)spread_runs(q) * q->family.count) : NULL;
}

static bool add_moves(const Spread *q, Result *result, double *moves) {
  size_t P = q->s->z.points, n = q->family.count, all = q->s->z.steps * P * P;
  int runs = spread_runs(q);
  uint64_t seed = q->s->options.seed;
  if (!moves) return true;
  ResultField *field = result_find(result, field_row(q->family.id)->name, q->family.layer);
  if (!q->family.triangle) return field_blocks(field, result->kind, seed, runs, moves, n);
  double *full = mem_block((size_t)runs * all);
  for (int j = 0; j < runs && full; j++)
    mirror(moves + (size_t)j * n, q->s->z.steps, P, full + (size_t)j * all);
  bool fine = full && field_blocks(field, result->kind, seed, runs, full, all);
  free(full);
  return field_whole(field, fine);
}

static bool fill_variances(const Spread *q, Result *result) {
  size_t n = q->family.count, P = q->s->z.points, steps = q->s->z.steps, all = steps * P * P;
  double *value = mem_block(2 * n), *moves = new_moves(q);
  bool fine = value != NULL;
  if (fine) spread_variances(q, steps, value, value + n, moves);
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
  fine = fine && add_moves(q, result, moves);
  free(moves);
  free(value);
  return fine;
}

static bool fill_covariances(const Spread *q, Result *result, FieldId pairs) {
  size_t n = q->side * q->side;
  int runs = spread_runs(q);
  bool kept = runs > 1 && field_has_moves(pairs, q->s->z);
  double *value = mem_block(2 * n), *moves = kept ? mem_block((size_t)runs * n) : NULL;
  bool fine = value && (moves || !kept) && spread_covariances(q, q, value, value + n, moves) &&
              fill(q, result, pairs, value, value + n);
  if (fine && kept)
    fine = field_blocks(result_find(result, field_row(pairs)->name, q->family.layer), result->kind,
                        q->s->options.seed, runs, moves, n);
  free(value);
  free(moves);
  return fine;
}

/* The variances `id` of a layer, where they are not known, and with `pairs` (FIELD_COUNT: none) the
 * covariances of the same numbers. */
static Status solve_spread(Recorded *s, Result *result, FieldId id, int layer, FieldId pairs,
                           char **why) {
  Spread q;
  size_t side = pairs == FIELD_COUNT ? 0 : field_side(pairs, s->z);
  Status status = spread_read(&q, s, family_of(s, id, layer, false), side, true, why);
  bool fine = status == STATUS_OK;
  if (fine && field_is_missing(result, id, layer)) fine = fill_variances(&q, result);
  if (fine && side) fine = fill_covariances(&q, result, pairs);
  if (!fine && status == STATUS_OK) status = run_refuse(why, spread_bytes(&q, side));
  spread_free(&q);
  return status;
}

/* ---- the whole ---- */

/* Adds operations to those of a result. */
static void count(Result *result, double flops) {
  result_note(result, "flops", "%.17g", result_number(result, "flops", 0) + flops);
}

/* Groups of networks, the wider of which keep apart all that a matrix met, and as many of them as
 * have errors of some percent of the scatter. */
static United groups_of(const Recorded *s, const Program *networks, const MachineCode *code) {
  enum { NARROWEST = 64, WIDEST = 512, FEWEST = 64, MOST = 1024, PROBED = 8 };
  size_t met = s->z.steps * most_rows(s->program);
  United groups = shift_groups((United){.program = networks,
                                        .code = code,
                                        .options = &s->options,
                                        .gamma = s->program->problem->gamma,
                                        .independent = recorded_is_independent(s),
                                        .width = NARROWEST});
  while (groups.width < WIDEST && 2 * groups.width < met) groups.width *= 2;
  groups.groups = FEWEST + 4 * s->options.samples / (int)groups.width;
  if (groups.groups > MOST) groups.groups = MOST;
  if (s->options.probe) groups.groups = PROBED;
  return groups;
}

static Status solve_shift(Recorded *s, Result *result, char **why) {
  double flops = 0;
  Program *networks = program_complete(s->program, recorded_reading(s, false));
  MachineCode code = machine_compile(networks, false, NULL);
  United groups = groups_of(s, networks, &code);
  double bytes = united_bytes(&groups);
  groups.flops = &flops;
  s->status = shift_solve(&groups, s->neurons.method == COORDINATES, s, result);
  count(result, flops);
  machine_code_free(networks, &code);
  program_drop(networks);
  return s->status == STATUS_LIMIT ? run_refuse(why, bytes) : recorded_explain(s, why);
}

/* Whether it is the variance of something that the program has. */
static bool is_variance(const Recorded *s, FieldId id, int layer) {
  const FieldRow *row = field_row(id);
  return row->kind == KIND_VARIANCE && row->solvers & FROM_NOISE &&
         program_observable(s->complete, (int)row->of, layer);
}

/* The covariances of what these are the variances of, or FIELD_COUNT. */
static FieldId pairs_of(FieldId variances) {
  return field_that_is(KIND_COVARIANCE, field_row(variances)->of);
}

/* Whether a field is asked for by this name (NULL: all), and not there. */
static bool is_asked(const Result *result, const char *name, FieldId id, int layer) {
  return field_is_missing(result, id, layer) && (!name || strcmp(name, field_row(id)->name) == 0);
}

static Status solve_spreads(Recorded *s, Result *result, const char *name, char **why) {
  Status status = STATUS_OK;
  for (FieldId id = 0; id < FIELD_COUNT; id++)
    for (int l = field_first(id); l <= field_last(id, s->program) && status == STATUS_OK; l++) {
      if (!is_variance(s, id, l)) continue;
      bool pairs = is_asked(result, name, pairs_of(id), l);
      if (pairs || is_asked(result, name, id, l))
        status = solve_spread(s, result, id, l, pairs ? pairs_of(id) : FIELD_COUNT, why);
    }
  return status;
}

static bool is_shift(const char *name) { return strncmp(name, "mean_shift", 10) == 0; }

static Status solve_named(Recorded *s, Result *result, const char *name, char **why) {
  Status status = solve_spreads(s, result, name, why);
  if (status == STATUS_OK && (!name || is_shift(name)) &&
      field_is_missing(result, FIELD_MEAN_SHIFT_F, 0))
    status = solve_shift(s, result, why);
  return status;
}

/* The runs are repeated: they are cheap against reading them. */
static Status complete(Result *result, const char *name, char **why) {
  const Origin *origin = result->origin;
  Recorded s;
  recorded_prepare(&s, origin->program, &origin->options);
  Status status = recorded_run(&s, why);
  if (status == STATUS_OK) status = solve_named(&s, result, name, why);
  if (status == STATUS_OK) count(result, recorded_flops(&s));
  recorded_free(&s);
  return status;
}

static void promise(const Recorded *s, Result *result) {
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
  if (origin->program->system) return noise_refuses(origin->program);
  Closure closure = origin->options.closure;
  if (closure == CLOSURE_PERTURBATIVE)
    return "the perturbative closure belongs to no network that could fluctuate: solve with "
           "another one";
  const Problem *problem = origin->program->problem;
  if (solve_is_lazy(origin->program, &origin->options) && !problem->centered)
    return "in the lazy limit the output at the start is of order one at any width: with "
           "centered = true its fluctuations are of order 1/N";
  return NULL;
}

/* Beyond this many outputs their variances wait until they are asked for, and beyond so many their
 * covariances. */
enum { MANY_OUTPUTS = 2048, FEW_PAIRS = 512 };

enum { FEWEST_FLUCTUATING = 1024, MOST_CHOSEN = 65536, FEWEST_CHOSEN = 4096 };

/* What a result has at once. */
static Status solve_outputs(Recorded *s, Result *result, char **why) {
  Sizes z = sizes_of(s->program);
  bool pairs = z.steps * z.points <= FEW_PAIRS;
  if (z.steps * z.all * z.outputs > MANY_OUTPUTS) return STATUS_OK;
  Status status = solve_spread(s, result, FIELD_VAR_F, 0, pairs ? FIELD_COV_F : FIELD_COUNT, why);
  if (status == STATUS_OK && field_is_missing(result, FIELD_VAR_F_TEST, 0))
    status = solve_spread(s, result, FIELD_VAR_F_TEST, 0, FIELD_COUNT, why);
  if (status == STATUS_OK) status = solve_spread(s, result, FIELD_VAR_LOSS, 0, FIELD_COUNT, why);
  return status;
}

/* As many sample paths as a second or so allows, where all of f is read back at a cost of (rows
 * met)^3 for each, or forward at (rows met)^2, of which an operation takes longer; and as what is
 * recorded of them leaves to others of a small machine. */
static int choose_samples(Program *program, const SolveOptions *options) {
  static const double MOST_BYTES = 4e9, BACKWARD = 1e9, FORWARD = 5e8;
  SolveOptions alone = *options;
  alone.crew = NULL;
  Recorded s;
  recorded_prepare(&s, program, &alone);
  bool kinks = machine_has_kinks(program), forward = !s.lazy && neurons_read_forward(program);
  double met = (double)(s.z.steps * s.z.all * s.z.outputs),
         each = forward ? (kinks ? MAX_PASSES : 1) * met * met : met * met * met;
  int samples = MOST_CHOSEN;
  for (; samples > FEWEST_CHOSEN; samples /= 2) {
    s.neurons = (Neurons){.method = SAMPLES,
                          .replicates = MOST_REPLICATES,
                          .columns = (size_t)samples / MOST_REPLICATES,
                          .kinks = kinks};
    if (samples * each <= (forward ? FORWARD : BACKWARD) && recorded_bytes(&s) <= MOST_BYTES) break;
  }
  recorded_free(&s);
  return samples;
}

static void note(const Recorded *s, Result *r, double seconds) {
  static const char *const methods[] = {"coordinates", "quadrature", "samples"};
  result_note(r, "method", "%s", methods[s->neurons.method]);
  if (s->neurons.method == SAMPLES) {
    result_note(r, "samples", "%zu", s->neurons.columns * (size_t)s->neurons.replicates);
    result_note(r, "seed", "%llu", (unsigned long long)s->options.seed);
  }
  result_note(r, "rank", "%d", s->facts[0].rank);
  run_note_least_width(r, s->program);
  count(r, recorded_flops(s));
  result_note(r, "seconds", "%.6g", seconds);
}

/* Whether an interruption leaves a result: what it lacks is computed when it is asked for. */
static bool is_of_use(const Result *r, const SolveOptions *options, Status status, char **why) {
  bool some = status == STATUS_INTERRUPTED && options->partial;
  if (!some || field_is_missing(r, FIELD_VAR_F, 0)) return false;
  free(*why);
  *why = mem_string("the variances of f");
  return true;
}

static Status solve(Program *program, const SolveOptions *options, Result **result, char **why) {
  *result = NULL;
  if (flow_chooses(program, options))
    return flow_solve(solve, !neurons_are_sampled(program, solve_is_tangent(program, options)),
                      program, options, result, why);
  double start = run_clock();
  Recorded s;
  recorded_prepare(&s, program, options);
  Status status = recorded_run(&s, why);
  Result *r = result_new("fluctuations");
  run_origin(r, s.program, options);
  run_keep(r, options->checkpoint);
  r->exact = s.neurons.method == COORDINATES;
  if (!observe_start(r, s.program, s.z)) status = run_refuse(why, 0);
  promise(&s, r);
  if (status == STATUS_OK) status = solve_outputs(&s, r, why);
  bool some = is_of_use(r, options, status, why);
  if (some) result_note(r, "incomplete", "%s", *why);
  if (status == STATUS_OK || some) {
    note(&s, r, run_clock() - start);
    r->complete = complete;
    *result = r;
  } else {
    result_drop(r);
  }
  recorded_free(&s);
  return status;
}

/* The options of fluctuations around a result: as asked for, and of the theory. */
static Status choose_options(const Origin *origin, const SolveOptions *options,
                             SolveOptions *chosen, char **why) {
  int given = origin->options.samples;
  SolveOptions own = *options;
  own.closure = origin->options.closure;
  own.first_parts = origin->whole ? origin->options.parts / 2 : origin->options.parts;
  own.samples = options->samples ? options->samples : choose_samples(origin->program, &own);
  if (!options->samples && given > own.samples) own.samples = given;
  *chosen = own;
  if (own.samples >= FEWEST_FLUCTUATING) return STATUS_OK;
  *why = mem_format("samples = %d is too few: at least %d", own.samples, FEWEST_FLUCTUATING);
  return STATUS_SCRIPT;
}

/* Of a system the theory has its steps. */
static SolveOptions of_system(const Origin *origin, const SolveOptions *options) {
  SolveOptions own = *options;
  own.steps = origin->options.steps;
  return own;
}

Status solve_fluctuations(const Result *theory, const SolveOptions *options, Result **result,
                          char **why) {
  const Origin *origin = theory->origin;
  SolveOptions chosen;
  *result = NULL;
  if (origin->program->system) {
    chosen = of_system(origin, options);
    return noise_fluctuations(origin->program, &chosen, result, why);
  }
  if (is_measured(origin)) return measured_solve(origin, options, result, why);
  Status status = choose_options(origin, options, &chosen, why);
  return status == STATUS_OK ? solve(origin->program, &chosen, result, why) : status;
}

/* ---- plans ---- */

/* What is to be done with runs, and how large it came out at the last trial. */
typedef struct Errand {
  Recorded *s;
  const NoiseAsked *asked;
  bool reads; /* shifts are read from the runs */
  size_t steps, averages, heard;
  RunFacts facts;
} Errand;

static size_t size_of_field(const void *recorded, NoiseField field) {
  return field_size((FieldId)field.id, ((const Recorded *)recorded)->z);
}

/* Numbers that are asked for besides fields of a result. */
static Status run_numbers(const NoiseAsked *asked, Recorded *few, char **why) {
  size_t n = asked->n ? asked->n : numbers_pairs(few, asked->fields);
  double *value = mem_block(2 * n);
  Slopes *of = asked->n ? slopes_like(asked, size_of_field, few) : NULL;
  Status status = STATUS_LIMIT;
  if (value && of) status = numbers_vary(few, of, n, value, value + n, why);
  if (value && !of) status = numbers_covary(few, asked->fields, value, value + n, why);
  free(of);
  free(value);
  return status;
}

static Status run_errand(Errand *e, Recorded *few, Result *result) {
  const char *name = e->asked->name;
  char *why = NULL;
  Status status = STATUS_OK;
  if (e->asked->fields)
    status = run_numbers(e->asked, few, &why);
  else if (!name)
    status = solve_outputs(few, result, &why);
  else if (is_shift(name))
    e->reads = shift_reads(e->s, few);
  else
    status = solve_spreads(few, result, name, &why);
  free(why);
  return status;
}

/* Numbers besides fields are read from the last step. */
static bool is_read_at(const NoiseAsked *asked, size_t t, size_t steps) {
  return !asked->n || t + 1 == steps;
}

static bool perform(void *sink, size_t steps, size_t columns, Trial *trial) {
  Errand *e = sink;
  Recorded few;
  Result *result = result_new("fluctuations");
  double start = plan_clock();
  bool fine = recorded_begin(&few, e->s, steps, columns);
  *trial = (Trial){.flops = few.pace[steps - 1],
                   .seconds = (plan_clock() - start) / (double)recorded_count(&few)};
  for (size_t t = 0; t < steps; t++)
    trial->behind += is_read_at(e->asked, t, steps) ? few.pace[t] : 0;
  if (fine) {
    double before = recorded_flops(&few);
    promise(&few, result);
    start = plan_clock();
    fine = run_errand(e, &few, result) == STATUS_OK;
    trial->read_seconds = plan_clock() - start;
    trial->read_flops = recorded_flops(&few) - before;
    tape_forward_size(few.run[0][0].tape, &e->averages, &e->heard);
    e->facts = few.facts[0];
    e->steps = steps;
  }
  recorded_end(&few);
  result_drop(result);
  return fine;
}

/* Whether a result has this field at once. */
static bool comes_at_once(const Recorded *s, const char *name) {
  Sizes z = s->z;
  bool some = z.steps * z.all * z.outputs <= MANY_OUTPUTS, pairs = z.steps * z.points <= FEW_PAIRS;
  const char *f = field_row(FIELD_VAR_F)->name, *test = field_row(FIELD_VAR_F_TEST)->name,
             *loss = field_row(FIELD_VAR_LOSS)->name, *both = field_row(FIELD_COV_F)->name;
  return some && (strcmp(name, f) == 0 || strcmp(name, test) == 0 || strcmp(name, loss) == 0 ||
                  (pairs && strcmp(name, both) == 0));
}

/* Bytes of what is made of the influences of a field. */
static double spread_of(const Recorded *s, FieldId id, int layer, FieldId pairs) {
  size_t side = pairs == FIELD_COUNT ? 0 : field_side(pairs, s->z);
  Spread q = {.s = s, .family = family_of(s, id, layer, false), .side = side};
  return spread_bytes(&q, side);
}

static double spreads_of(const Recorded *s, const NoiseAsked *asked) {
  const char *name = asked->name;
  if (asked->fields)
    return asked->n ? numbers_bytes(s, asked->n) : numbers_pair_bytes(s, asked->fields);
  bool few = s->z.steps * s->z.points <= FEW_PAIRS;
  double most = 0;
  for (FieldId id = 0; id < FIELD_COUNT; id++) {
    FieldId pairs = pairs_of(id);
    bool at_once = !name && (id == FIELD_VAR_F || id == FIELD_VAR_LOSS || id == FIELD_VAR_F_TEST),
         both = name ? pairs != FIELD_COUNT && strcmp(name, field_row(pairs)->name) == 0
                     : id == FIELD_VAR_F && few,
         own = at_once || (name && strcmp(name, field_row(id)->name) == 0);
    for (int l = field_first(id); l <= field_last(id, s->program) && (own || both); l++)
      if (is_variance(s, id, l)) most = fmax(most, spread_of(s, id, l, both ? pairs : FIELD_COUNT));
  }
  return most;
}

/* Coordinates grow with the steps. As many as there are, and once more up to twice as many, among
 * which they were found. */
static double bytes_of_coordinates(Recorded *s, const Errand *e, double more) {
  size_t columns = (size_t)ceil(more * (double)e->facts.columns), first = s->neurons.columns;
  s->neurons.columns = 2 * columns > first ? 2 * columns : first;
  double found = recorded_bytes(s) / (double)recorded_count(s);
  s->neurons.columns = columns;
  for (size_t i = 0; i < recorded_count(s); i++)
    s->facts[i] =
        (RunFacts){e->facts.rank, columns, (size_t)ceil(more * more * (double)e->facts.influence)};
  return found + recorded_bytes(s);
}

/* Averages grow with the steps. */
static double bytes_of(Recorded *s, const Errand *e, double threads) {
  double more = (double)s->z.steps / (double)e->steps, runs = (double)recorded_count(s),
         together = fmin(threads, runs), averages = more * (double)e->averages;
  bool exact = s->neurons.method == COORDINATES, grid = s->neurons.method == GRID;
  double all = exact ? bytes_of_coordinates(s, e, more) : recorded_bytes(s),
         forward = runs * 8 * averages * more * (double)e->heard,
         nodes = grid ? 16 * (double)s->neurons.columns * (s->neurons.axes + 1) : 0;
  if (e->reads) /* once more, and how averages scatter */
    return nodes + forward + all * (1 + together / runs) + 16 * together * averages * averages;
  return nodes + forward + all + spreads_of(s, e->asked) + threads * spread_reading_bytes(s);
}

/* Coordinates grow with the steps; all runs of them are in a trial, of others one. */
static void plan_runs(Recorded *s, Errand *e, double threads, SolvePlan *plan) {
  bool exact = s->neurons.method == COORDINATES;
  double runs = (double)recorded_count(s), read = exact ? 1 : runs;
  Pace pace = {0};
  double *reads = mem_new(s->z.steps, sizeof *reads);
  for (size_t t = 0; t < s->z.steps; t++) reads[t] = is_read_at(e->asked, t, s->z.steps);
  Stage stage = {s->z.steps, s->neurons.columns, most_rows(s->program), exact ? NULL : &pace,
                 reads};
  Trial whole;
  bool fine = exact || recorded_pace(s, &pace);
  if (fine && rehearse(perform, e, &stage, &whole)) {
    plan->flops += runs * whole.flops + read * whole.read_flops;
    plan->seconds +=
        runs * whole.seconds / fmin(threads, runs) + read * whole.read_seconds / threads;
    plan->bytes = bytes_of(s, e, threads);
  }
  free(reads);
  pace_free(&pace);
}

/* Of shifts that runs do not tell. */
static void plan_shift(Recorded *s, int threads, SolvePlan *plan) {
  double held = plan->bytes;
  Program *networks = program_complete(s->program, recorded_reading(s, false));
  MachineCode code = machine_compile(networks, false, NULL);
  United groups = groups_of(s, networks, &code);
  s->options.threads = threads;
  plan->bytes = 0;
  shift_plan(&groups, s->neurons.method == COORDINATES, plan);
  plan->bytes += held;
  machine_code_free(networks, &code);
  program_drop(networks);
}

/* Of what runs tell. */
static void plan_recorded(const Origin *origin, SolveOptions *options, const NoiseAsked *asked,
                          SolvePlan *plan) {
  const char *name = asked->name;
  SolveOptions chosen;
  Recorded s;
  char *why = NULL;
  if (choose_options(origin, options, &chosen, &why) == STATUS_OK) {
    options->samples = chosen.samples;
    chosen.threads = 1;
    recorded_prepare(&s, origin->program, &chosen);
    Errand e = {.s = &s, .asked = asked};
    bool late = !name || !comes_at_once(&s, name);
    if (late && recorded_survey(&s, &why) == STATUS_OK) {
      plan_runs(&s, &e, options->threads, plan);
      if (name && is_shift(name) && !e.reads) plan_shift(&s, options->threads, plan);
    }
    recorded_free(&s);
  }
  free(why);
}

void solve_plan_fluctuations(const Result *theory, SolveOptions *options, const NoiseAsked *asked,
                             SolvePlan *plan) {
  const Origin *origin = theory->origin;
  SolveOptions alone = *options;
  *plan = (SolvePlan){0};
  alone.crew = NULL;
  alone.checkpoint = NULL;
  alone.progress = NULL;
  if (origin->program->system) {
    alone = of_system(origin, &alone);
    if (!asked->name) noise_plan(origin->program, &alone, asked, plan);
  } else if (is_measured(origin)) {
    measured_plan(origin, &alone, asked, plan);
  } else {
    plan_recorded(origin, &alone, asked, plan);
    options->samples = alone.samples;
  }
}

/* ---- covariances of two fields ---- */

typedef struct Pair {
  const Origin *origin;
  NoiseField of[2];
} Pair;

static Status covary_once(void *sink, const SolveOptions *options, double *value, double *error,
                          char **why) {
  const Pair *pair = sink;
  Recorded s;
  recorded_prepare(&s, pair->origin->program, options);
  Status status = recorded_run(&s, why);
  if (status == STATUS_OK) status = numbers_covary(&s, pair->of, value, error, why);
  recorded_free(&s);
  return status;
}

int solve_covariance_shape(const Result *noise, NoiseField a, NoiseField b,
                           size_t shape[ARRAY_MAX_RANK]) {
  const Origin *origin = noise->origin;
  const Program *program = origin->program;
  if (program->system) {
    size_t T = (size_t)origin->options.steps;
    int rank = solve_system_shape(program, a.id, T, shape);
    return rank + solve_system_shape(program, b.id, T, shape + rank);
  }
  Sizes z = sizes_of(program);
  int rank = field_shape(numbers_variances(a), z, shape);
  return rank + field_shape(numbers_variances(b), z, shape + rank);
}

Status solve_covariance(const Result *noise, NoiseField a, NoiseField b, Array **value,
                        Array **error, char **why) {
  const Origin *origin = noise->origin;
  Pair pair = {origin, {a, b}};
  size_t shape[ARRAY_MAX_RANK];
  int rank = solve_covariance_shape(noise, a, b, shape);
  *value = array_new(rank, shape);
  *error = array_new(rank, shape);
  Status status = STATUS_LIMIT;
  if (*value && *error && origin->program->system)
    status = noise_covariance(origin->program, &origin->options, a, b, (*value)->data,
                              (*error)->data, why);
  else if (*value && *error && is_measured(origin))
    status = measured_covariance(origin, a, b, (*value)->data, (*error)->data, why);
  else if (*value && *error)
    status = flow_numbers(origin, covary_once, &pair, (*value)->size, (*value)->data,
                          (*error)->data, why);
  if (status == STATUS_OK) return status;
  array_drop(*value);
  array_drop(*error);
  *value = *error = NULL;
  return *why ? status : run_refuse(why, 0);
}

/* ---- functions of fields ---- */

/* The field of a model by this name, or FIELD_COUNT. */
static FieldId id_of(const char *name) {
  FieldId id = 0;
  while (id < FIELD_COUNT && strcmp(field_row(id)->name, name) != 0) id++;
  return id;
}

bool solve_fluctuates(const Program *program, const char *name, int layer, NoiseField *field) {
  const System *system = program->system;
  *field = (NoiseField){system ? 0 : (int)id_of(name), layer};
  if (system) {
    while (field->id < system->field_count && strcmp(system->fields[field->id].name, name) != 0)
      field->id++;
    return field->id < system->field_count && !layer;
  }
  FieldId id = (FieldId)field->id;
  return id < FIELD_COUNT && field_row(id)->kind == KIND_VALUE && !field_jumps(id) &&
         field_is_present(id, program) && layer >= field_first(id) &&
         layer <= field_last(id, program);
}

const char *solve_noise_name(const Program *program, NoiseField field) {
  return program->system ? program->system->fields[field.id].name
                         : field_row((FieldId)field.id)->name;
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
  Recorded s;
  recorded_prepare(&s, numbers->origin->program, options);
  Status status = recorded_run(&s, why);
  if (status == STATUS_OK) status = numbers_vary(&s, numbers->of, numbers->n, value, error, why);
  recorded_free(&s);
  return status;
}

/* The same of a system, or of what is measured. */
static Status vary_others(const Origin *origin, const SolveOptions *options, const Slopes *of,
                          size_t n, double *value, double *error, char **why) {
  SolveOptions own = of_system(origin, options);
  double *both = mem_block(4 * n), *errors = both ? both + 2 * n : NULL;
  if (!both) return run_refuse(why, 32 * (double)n);
  Status status = origin->program->system
                      ? noise_variances(origin->program, &own, of, n, both, errors, why)
                      : measured_variances(origin, options, of, n, both, errors, why);
  if (status == STATUS_OK) numbers_judge(n, both, value, error);
  free(both);
  return status;
}

Status solve_variances(const Result *theory, const SolveOptions *options, const Slopes *of,
                       size_t n, double *value, double *error, char **why) {
  Origin origin = *(const Origin *)theory->origin;
  if (origin.program->system || is_measured(&origin))
    return vary_others(&origin, options, of, n, value, error, why);
  int parts = origin.options.parts;
  Status status = choose_options(&origin, options, &origin.options, why);
  if (status != STATUS_OK) return status;
  origin.options.parts = parts;
  origin.whole =
      origin.options.parts > 1 &&
      !neurons_are_sampled(origin.program, solve_is_tangent(origin.program, &origin.options));
  Numbers numbers = {&origin, of, n};
  return flow_numbers(&origin, vary_once, &numbers, n, value, error, why);
}
