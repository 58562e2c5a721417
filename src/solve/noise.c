/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fluctuations of systems of finite size, to order 1/N: the theory is run once more, recorded, and
 * read backward from numbers that are sums over entries of what it observes; N times a covariance
 * is the inner product of the influences of the neurons (tape.h). Independent replicates give the
 * error. */
#include "solve/noise.h"
#include "base/memory.h"
#include "num/linalg.h"
#include "num/random.h"
#include "solve/checkpoint.h"
#include "solve/neurons.h"
#include "solve/observe.h"
#include "solve/rehearse.h"
#include "solve/rounded.h"
#include "solve/run.h"

#include <limits.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { REPLICATES = 8, CHUNK = 16, USUAL = 16000 };

static const double TOLERANCE = 1e-3;

/* Variances of order one that are below this are rounding: what is observed does not vary. */
static const double ROUNDING = 1e-24;

typedef struct Noise Noise;
typedef struct Reader Reader;

struct Noise {
  Program *program;
  SolveOptions options;
  size_t T, paths;
  int passes;
  MachineCode code[MAX_PASSES];
  uint32_t *sobol;
  /* [count]: what is asked of a run, and what it is asked for; false if memory ran out */
  bool (*read)(Reader *reader, double *numbers);
  const void *asked;
  uint64_t asks;       /* tells apart what is asked */
  size_t count, reads; /* numbers, and those of a run that are read, not known from others */
  double kept;         /* influences that a reader keeps */
  double *parts;       /* [pass][replicate][count] */
  double flops[REPLICATES];
  bool finished[REPLICATES];
  int replicates; /* that are there, the first of the parts of each pass */
  atomic_int done;
  Status status;
  int failed_at;
};

/* A run that is read, and which tables between two times it has been given: [field], NULL or
 * [T, T], one more than the number of a block, 0 where there is none. */
struct Reader {
  Noise *s;
  Machine *m;
  int **between;
};

static const SystemField *field_of(const Noise *s, int field) {
  return &s->program->system->fields[field];
}

static bool is_pairs(const Noise *s, int field) { return field_of(s, field)->form != FORM_VALUE; }

/* Numbers of a step. */
static size_t step_size(const Noise *s, int field) {
  const Variable *v = &s->program->variables[field_of(s, field)->variable];
  return is_pairs(s, field) ? s->T : (size_t)v->rows * (size_t)v->cols;
}

/* Whether a field has the variances of all its numbers. */
static bool has_variances(const Noise *s, int field) {
  size_t T = (size_t)s->options.steps;
  return !is_pairs(s, field) || T * T <= MOST_VARYING_PAIRS;
}

static MachinePlan plan_of(const Noise *s, const MachineCode *code, int replicate) {
  return (MachinePlan){.program = s->program,
                       .code = code,
                       .hidden = &sequential,
                       .noise = {.kind = NOISE_SOBOL,
                                 .seed = s->options.seed,
                                 .number = (uint64_t)replicate,
                                 .sobol = s->sobol},
                       .columns = s->paths,
                       .gamma = 1,
                       .tol = TOLERANCE,
                       .improve = true,
                       .record = true,
                       .steps = (int)s->T - 1,
                       .stop = s->options.stop};
}

/* The sum of y_i z_{i+k} over a ring and over |k| <= reach. Since the y have mean zero, all k
 * together give nothing: what the mean takes away is given back. */
static double sum_neighbours(size_t n, const double *y, const double *z, size_t reach) {
  double sum = dot(n, y, z);
  for (size_t k = 1; k <= reach; k++)
    sum +=
        dot(n - k, y, z + k) + dot(k, z, y + n - k) + dot(n - k, z, y + k) + dot(k, y, z + n - k);
  return reach ? sum / (1 - (2 * (double)reach + 1) / (double)n) : sum;
}

/* N times a covariance: neurons are independent but for those that shifts up to step t bring
 * together. */
static double covary(const Reader *r, const double *first, const double *second, size_t t) {
  const Program *p = r->s->program;
  double sum = 0;
  for (int space = 0; space < p->space_count; space++) {
    size_t n = tape_columns(r->m->tape, r->m->population[space]);
    sum += sum_neighbours(n, first, second, run_reach(p, space) * (t + 1));
    first += n;
    second += n;
  }
  return sum;
}

/* ---- numbers as sums over entries of fields ---- */

/* <x(t) y(s)> of every row, with a share of 1/rows. */
static View between(Reader *r, int f, size_t t, size_t s) {
  size_t T = r->s->T;
  const View *x = r->m->past[field_of(r->s, f)->variable],
             *y = r->m->past[field_of(r->s, f)->other];
  if (!r->between[f]) r->between[f] = mem_new(T * T, sizeof **r->between);
  int *known = &r->between[f][t * T + s];
  View table = {.slab = *known - 1, .rows = x[t].rows, .cols = 1};
  if (*known) return table;
  table = tape_table(r->m->tape, x[t].rows, 1, false);
  if (!tape_failed(r->m->tape))
    tape_average_rows(r->m->tape, table, 1.0 / (double)x[t].rows, x[t], y[s]);
  *known = table.slab + 1;
  return table;
}

/* Seeds of some numbers: from which step and mark they are read. */
typedef struct Spots {
  Seed *seeds;
  size_t count, last;
  bool made; /* tables that the run itself did not make */
} Spots;

/* The entry of a field, in the order of its axes. */
static void add_spot(Reader *r, Spots *spots, const Slope *slope, double weight) {
  int f = slope->field.id, v = field_of(r->s, f)->variable;
  size_t n = step_size(r->s, f), t = slope->entry / n, k = slope->entry % n;
  if (t > spots->last) spots->last = t;
  if (!is_pairs(r->s, f)) {
    View table = r->m->past[v][t];
    spots->seeds[spots->count++] = (Seed){table, k / table.cols, k % table.cols, weight};
    return;
  }
  if (field_of(r->s, f)->form == FORM_RESPONSE && k > t) return;
  if (k > spots->last) spots->last = k;
  spots->made = true;
  View table = between(r, f, t, k);
  for (size_t i = 0; i < table.rows; i++)
    spots->seeds[spots->count++] = (Seed){table, i, 0, weight};
}

static size_t most_seeds(const Noise *s, const Slopes *of, size_t count) {
  size_t seeds = 0;
  for (size_t i = 0; i < count; i++)
    for (size_t k = 0; k < of[i].count; k++) {
      int f = of[i].list[k].field.id;
      seeds += is_pairs(s, f) ? rows_of(s->program, field_of(s, f)->variable) : 1;
    }
  return seeds;
}

/* The influences [count, size] of numbers, or with `doubts` of what may be wrong with them, which
 * look at no step after *last. NULL if memory ran out, or the user wants out. */
static double *influences_of(Reader *r, const Slopes *of, size_t count, bool doubts, size_t *last) {
  Spots spots = {.seeds = mem_new(most_seeds(r->s, of, count) + 1, sizeof(Seed))};
  Observable observables[CHUNK];
  for (size_t i = 0; i < count; i++) {
    size_t first = spots.count;
    for (size_t k = 0; k < of[i].count; k++)
      add_spot(r, &spots, &of[i].list[k], doubts ? of[i].list[k].doubt : of[i].list[k].slope);
    observables[i] = (Observable){spots.seeds + first, spots.count - first};
  }
  Tape *tape = r->m->tape;
  double *influences = mem_block(count * tape_influence_size(tape));
  bool fine = influences && !tape_failed(tape) &&
              tape_influences(tape, spots.made ? tape_mark(tape) : r->m->mark[spots.last],
                              observables, count, r->s->options.stop, influences);
  free(spots.seeds);
  if (!fine) free(influences);
  *last = spots.last;
  return fine ? influences : NULL;
}

static void tell_progress(Noise *s, size_t count) {
  double total = (double)s->reads * s->passes * REPLICATES;
  s->done += (int)count;
  if (total < INT_MAX) run_tell(&s->options, "fluctuations", s->done, (int)total, 0);
}

/* N times the variances of numbers. */
static bool read_variances(Reader *r, const Slopes *of, size_t count, bool doubts,
                           double *variance) {
  size_t size = tape_influence_size(r->m->tape), last;
  for (size_t first = 0; first < count; first += CHUNK) {
    size_t some = count - first < CHUNK ? count - first : CHUNK;
    double *influences = influences_of(r, of + first, some, doubts, &last);
    if (!influences) return false;
    for (size_t k = 0; k < some; k++)
      variance[first + k] = covary(r, influences + k * size, influences + k * size, last);
    free(influences);
    tell_progress(r->s, some);
  }
  return true;
}

/* ---- what may be asked ---- */

/* Up to CHUNK of `count` entries of a field from number `first` on, as numbers; how many. */
static size_t entries(int f, size_t first, size_t count, Slope slope[CHUNK], Slopes of[CHUNK]) {
  size_t some = count < CHUNK ? count : CHUNK;
  for (size_t i = 0; i < some; i++) {
    slope[i] = (Slope){{f, 0}, first + i, 1, 0};
    of[i] = (Slopes){&slope[i], 1};
  }
  return some;
}

/* The variances of `count` entries of a field from number `first` on. */
static bool read_entries(Reader *r, int f, size_t first, size_t count, double *variance) {
  Slope slope[CHUNK];
  Slopes of[CHUNK];
  bool fine = true;
  for (size_t k = 0; k < count && fine; k += CHUNK) {
    size_t some = entries(f, first + k, count - k, slope, of);
    fine = read_variances(r, of, some, false, variance + k);
  }
  return fine;
}

static bool is_symmetric(const Noise *s, int f) {
  return is_pairs(s, f) && field_of(s, f)->other == field_of(s, f)->variable;
}

/* Variances of two times of a vector with itself are symmetric; of a response there are none ahead.
 */
static bool is_half(const Noise *s, int f) {
  return is_symmetric(s, f) || field_of(s, f)->form == FORM_RESPONSE;
}

/* The variances [T, size] of a field. */
static bool read_field(Reader *r, int f, double *variance) {
  size_t T = r->s->T, n = step_size(r->s, f);
  bool same = is_symmetric(r->s, f), half = is_half(r->s, f), fine = true;
  for (size_t t = 0; t < T && fine; t++) {
    double *row = variance + t * n;
    memset(row, 0, n * sizeof *row);
    fine = read_entries(r, f, t * n, half ? t + 1 : n, row);
    for (size_t k = 0; k < t && same; k++) variance[k * n + t] = row[k];
  }
  return fine;
}

/* The variances of all fields that have them, one after the other. */
static bool read_fields(Reader *r, double *variance) {
  bool fine = true;
  for (int f = 0; f < r->s->program->system->field_count && fine; f++) {
    if (!has_variances(r->s, f)) continue;
    fine = read_field(r, f, variance);
    variance += r->s->T * step_size(r->s, f);
  }
  return fine;
}

/* Of numbers, and then of what may be wrong with them. */
static bool read_numbers(Reader *r, double *variance) {
  size_t n = r->s->count / 2;
  return read_variances(r, r->s->asked, n, false, variance) &&
         read_variances(r, r->s->asked, n, true, variance + n);
}

/* The influences of all numbers of a field, [T size, influence], or NULL. */
static double *keep_influences(Reader *r, int f) {
  size_t size = tape_influence_size(r->m->tape), n = r->s->T * step_size(r->s, f), last;
  Slope slope[CHUNK];
  Slopes of[CHUNK];
  double *all = mem_block(n * size);
  bool fine = all != NULL;
  for (size_t k = 0; k < n && fine; k += CHUNK) {
    size_t some = entries(f, k, n - k, slope, of);
    double *own = influences_of(r, of, some, false, &last);
    fine = own != NULL;
    if (fine) memcpy(all + k * size, own, some * size * sizeof *own);
    free(own);
  }
  if (fine) return all;
  free(all);
  return NULL;
}

/* At which step a number of a field is there. */
static size_t step_of(const Noise *s, int f, size_t number) {
  size_t n = step_size(s, f), t = number / n, k = number % n;
  return is_pairs(s, f) && k > t ? k : t;
}

/* Of all numbers of one field with all of another. */
static bool read_pair(Reader *r, double *covariance) {
  const NoiseField *pair = r->s->asked;
  int f = pair[0].id, g = pair[1].id;
  size_t size = tape_influence_size(r->m->tape), n = r->s->T * step_size(r->s, f),
         others = r->s->T * step_size(r->s, g);
  double *x = keep_influences(r, f), *y = f == g ? x : keep_influences(r, g);
  for (size_t i = 0; i < n && x && y; i++)
    for (size_t k = 0; k < others; k++) {
      size_t t = step_of(r->s, f, i), s = step_of(r->s, g, k);
      *covariance++ = covary(r, x + i * size, y + k * size, t > s ? t : s);
    }
  bool fine = x && y;
  if (y != x) free(y);
  free(x);
  tell_progress(r->s, r->s->reads);
  return fine;
}

/* ---- running ---- */

static double *part_of(const Noise *s, int pass, int replicate) {
  return s->parts + (size_t)(pass * REPLICATES + replicate) * s->count;
}

static bool read_run(Noise *s, Machine *m, double *numbers) {
  int fields = s->program->system->field_count;
  Reader r = {s, m, mem_new((size_t)fields, sizeof *r.between)};
  bool fine = s->read(&r, numbers);
  for (int f = 0; f < fields; f++) free(r.between[f]);
  free(r.between);
  return fine;
}

/* What a run is kept by. */
static uint64_t key_of(const Noise *s, int pass, int replicate) {
  const uint64_t parts[] = {s->asks, (uint64_t)pass, (uint64_t)replicate, s->T, s->paths, s->count};
  Checkpoint *checkpoint = s->options.checkpoint;
  return checkpoint ? checkpoint_keys(checkpoint->key, parts, sizeof parts / sizeof *parts) : 0;
}

/* One that was kept is not made again. */
static RunEnd run_pass(Noise *s, int pass, int replicate) {
  RunEnd end = {.status = STATUS_OK};
  double *own = part_of(s, pass, replicate);
  uint64_t key = key_of(s, pass, replicate);
  if (checkpoint_find(s->options.checkpoint, key, own, s->count)) {
    tell_progress(s, s->reads);
    return end;
  }
  MachinePlan plan = plan_of(s, &s->code[pass], replicate);
  uint32_t *points = run_own_order(s->program, &plan.noise, plan.columns);
  Machine m;
  end.status = machine_run(&plan, &m, &end.failed_at);
  free(points);
  if (end.status != STATUS_OK) return end;
  if (!read_run(s, &m, own))
    end.status = run_stopped(&s->options) ? STATUS_INTERRUPTED : STATUS_LIMIT;
  s->flops[replicate] += tape_flops(m.tape) + m.flops;
  machine_free(&m);
  if (end.status == STATUS_OK) checkpoint_keep(s->options.checkpoint, key, own, s->count);
  return end;
}

/* Replicates are shared out among processes. */
static RunEnd run_one(void *noise, int replicate) {
  Noise *s = noise;
  RunEnd end = {.status = STATUS_OK};
  int passes = crew_has(s->options.crew, replicate) ? s->passes : 0;
  for (int k = 0; k < passes && end.status == STATUS_OK; k++) end = run_pass(s, k, replicate);
  s->finished[replicate] = passes && end.status == STATUS_OK;
  return end;
}

/* What the process of a replicate has of it, all get. */
static void share(Noise *s, int j) {
  const Crew *crew = s->options.crew;
  crew_share(crew, j, &s->finished[j], sizeof s->finished[j]);
  crew_share(crew, j, &s->flops[j], sizeof s->flops[j]);
  for (int k = 0; k < s->passes && s->finished[j]; k++)
    crew_share(crew, j, part_of(s, k, j), s->count * sizeof(double));
}

/* Those that are done come first. */
static void gather(Noise *s) {
  s->replicates = 0;
  for (int j = 0; j < REPLICATES; j++) {
    if (!s->finished[j]) continue;
    for (int k = 0; k < s->passes && s->replicates < j; k++)
      memcpy(part_of(s, k, s->replicates), part_of(s, k, j), s->count * sizeof(double));
    s->replicates++;
  }
  size_t some = (size_t)s->replicates * s->count;
  for (int k = 1; k < s->passes && s->replicates < REPLICATES; k++)
    memmove(s->parts + (size_t)k * some, part_of(s, k, 0), some * sizeof(double));
}

static void run_all(Noise *s) {
  RunEnd end = run_each(&s->options, REPLICATES, run_one, s);
  bool some = end.status == STATUS_INTERRUPTED && s->options.partial;
  for (int j = 0; j < REPLICATES && (some || end.status == STATUS_OK); j++) share(s, j);
  gather(s);
  s->status = end.status;
  s->failed_at = end.failed_at;
}

const char *noise_refuses(const Program *p) {
  return machine_rounds(p) ? NULL : "a map has too many jumps to be rounded";
}

static Status explain(const Noise *s, char **why) {
  switch (s->status) {
  case STATUS_OK: break;
  case STATUS_INTERRUPTED: *why = mem_string("interrupted"); break;
  case STATUS_NUMERICS: *why = mem_format("the system diverges at step %d", s->failed_at); break;
  default: *why = mem_string("out of memory");
  }
  return s->status;
}

/* So many samples that there are many more neurons than shifts bring together; 0 without shifts. */
static int least_samples(const Program *p, int steps) {
  enum { FEWEST_STRETCHES = 8 };
  size_t reach = 0;
  for (int space = 0; space < p->space_count; space++)
    if (run_reach(p, space) > reach) reach = run_reach(p, space);
  double least = FEWEST_STRETCHES * (2.0 * (double)reach * steps + 1) * REPLICATES;
  return !reach ? 0 : least < INT_MAX ? (int)least : INT_MAX;
}

/* As many as are asked for, or enough; 0 where those are too few: *why. */
static int chosen_samples(const Program *p, const SolveOptions *options, char **why) {
  int least = least_samples(p, options->steps);
  if (options->samples <= 0) return least > USUAL ? least : USUAL;
  if (options->samples >= least) return options->samples;
  *why = mem_format("shifts bring neurons together over many neighbours: at least samples = %d",
                    least);
  return 0;
}

/* What runs hold at once, and what is read from all. */
static double bytes_needed(const Noise *s) {
  MachinePlan plan = plan_of(s, NULL, 0);
  double runs = s->options.threads < REPLICATES ? s->options.threads : REPLICATES,
         influence = (double)s->paths * s->program->space_count;
  return runs * (machine_bytes(&plan, s->T) + 8 * s->kept * influence) +
         8 * (double)s->count * REPLICATES * MAX_PASSES;
}

static Status run(Noise *s, char **why) {
  double bytes = bytes_needed(s);
  bool refused = crew_any(s->options.crew, !mem_fits(bytes));
  if (!refused) s->parts = mem_block((size_t)(MAX_PASSES * REPLICATES) * s->count);
  if (crew_any(s->options.crew, !s->parts)) return run_refuse(why, bytes);
  s->status = rounded_compile(plan_of(s, NULL, 0), machine_has_kinks(s->program), s->code,
                              &s->passes, &s->failed_at);
  if (s->status == STATUS_OK) run_all(s);
  return explain(s, why);
}

/* For so many numbers of a program over options->steps; false with *why. */
static bool prepare(Noise *s, Program *program, const SolveOptions *options, char **why) {
  int samples = chosen_samples(program, options, why);
  *s = (Noise){.program = program,
               .options = *options,
               .T = (size_t)options->steps,
               .paths = (size_t)(samples / REPLICATES > 32 ? samples / REPLICATES : 32)};
  if (samples) s->sobol = sobol_points(s->paths);
  return samples > 0;
}

static void clean(Noise *s) {
  free(s->parts);
  free(s->sobol);
  for (int k = 0; k < s->passes; k++) machine_code_free(s->program, &s->code[k]);
}

/* The mean over replicates of all numbers, and its error; `moves` as of rounded_mean. */
static void average(const Noise *s, double *value, double *error, double *moves) {
  double *last = mem_new(s->count + 1, sizeof *last);
  rounded_mean(s->passes, s->replicates, s->parts, s->count, value, error, last, moves);
  for (size_t i = 0; i < s->count; i++) error[i] = hypot(error[i], last[i] / 2);
  free(last);
}

/* ---- results ---- */

/* The variances of a field, which begin at number `at` of all: [count] values, errors, and how each
 * replicate moves them. */
static bool fill_field(const Noise *s, Result *result, int f, double *all, size_t at) {
  size_t shape[ARRAY_MAX_RANK], n = s->T * step_size(s, f);
  int rank = solve_system_shape(s->program, f, s->T, shape);
  double *value = all + at, *error = value + s->count, *moves = error + s->count;
  for (size_t i = 0; i < n; i++)
    if (fabs(value[i]) <= ROUNDING) value[i] = error[i] = 0;
  ResultField *field = solve_system_variance(result, s->program, f);
  return field_put(field, rank, shape, value, error, true) &&
         (n > SCATTER_LARGEST ||
          field_blocks(field, result->kind, s->options.seed, s->replicates, moves, s->count));
}

static bool fill(const Noise *s, Result *result) {
  double *all = mem_block((2 + REPLICATES) * s->count);
  bool fine = all != NULL;
  size_t at = 0;
  if (fine) average(s, all, all + s->count, all + 2 * s->count);
  for (int f = 0; f < s->program->system->field_count && fine; f++) {
    if (!has_variances(s, f)) continue;
    fine = fill_field(s, result, f, all, at);
    at += s->T * step_size(s, f);
  }
  free(all);
  return fine;
}

static Status report(const Noise *s, Status status, double start, Result **result, char **why) {
  Result *r = result_new("fluctuations");
  result_note(r, "system", "%s", s->program->system->name);
  result_note(r, "steps", "%zu", s->T);
  bool fine = solve_system_times(r, s->T) && fill(s, r);
  double flops = 0;
  for (int j = 0; j < REPLICATES; j++) flops += s->flops[j];
  result_note(r, "flops", "%.17g", flops);
  result_note(r, "samples", "%zu", s->paths * (size_t)s->replicates);
  result_note(r, "seed", "%llu", (unsigned long long)s->options.seed);
  result_note(r, "seconds", "%.6g", run_clock() - start);
  run_origin(r, s->program, &s->options);
  run_keep(r, s->options.checkpoint);
  return run_finish(r, status, fine, 0, result, why);
}

/* Whether an interruption leaves replicates that tell their error: of how many. */
static bool is_of_use(const Noise *s, Status status, char **why) {
  if (status != STATUS_INTERRUPTED || s->replicates < 2) return false;
  free(*why);
  *why = mem_format("%d of %d replicates", s->replicates, REPLICATES);
  return true;
}

/* The variances of all fields. */
static void ask_fields(Noise *s) {
  s->read = read_fields;
  s->count = s->reads = 0;
  for (int f = 0; f < s->program->system->field_count; f++) {
    if (!has_variances(s, f)) continue;
    s->count += s->T * step_size(s, f);
    s->reads += s->T * (is_half(s, f) ? s->T + 1 : 2 * step_size(s, f)) / 2;
  }
}

Status noise_fluctuations(Program *program, const SolveOptions *options, Result **result,
                          char **why) {
  double start = run_clock();
  Noise s;
  *result = NULL;
  if (!prepare(&s, program, options, why)) return STATUS_SCRIPT;
  ask_fields(&s);
  Status status = run(&s, why);
  if (status == STATUS_OK || is_of_use(&s, status, why))
    status = report(&s, status, start, result, why);
  clean(&s);
  return status;
}

/* Covariances of the fields of a pair. */
static void ask_pair(Noise *s, const NoiseField *pair) {
  size_t n = s->T * step_size(s, pair[0].id), others = s->T * step_size(s, pair[1].id);
  s->read = read_pair;
  s->asked = pair;
  s->asks = checkpoint_key(checkpoint_key(2, (uint64_t)pair[0].id), (uint64_t)pair[1].id);
  s->count = s->reads = n * others;
  s->kept = (double)n + (pair[0].id == pair[1].id ? 0 : (double)others);
}

/* Variances of n numbers. */
static void ask_numbers(Noise *s, const Slopes *of, size_t n) {
  s->read = read_numbers;
  s->asked = of;
  s->asks = slopes_key(1, of, n);
  s->count = s->reads = 2 * n;
}

Status noise_variances(Program *program, const SolveOptions *options, const Slopes *of, size_t n,
                       double *value, double *error, char **why) {
  Noise s;
  if (!prepare(&s, program, options, why)) return STATUS_SCRIPT;
  ask_numbers(&s, of, n);
  Status status = run(&s, why);
  if (status == STATUS_OK) average(&s, value, error, NULL);
  clean(&s);
  return status;
}

Status noise_covariance(Program *program, const SolveOptions *options, NoiseField a, NoiseField b,
                        double *value, double *error, char **why) {
  const NoiseField pair[2] = {a, b};
  Noise s;
  if (!prepare(&s, program, options, why)) return STATUS_SCRIPT;
  ask_pair(&s, pair);
  Status status = run(&s, why);
  if (status == STATUS_OK) average(&s, value, error, NULL);
  clean(&s);
  return status;
}

/* ---- plans ---- */

/* How many numbers of a field are read from a step. */
static double reads_of(const Noise *s, int f, size_t t, bool whole) {
  if (!is_pairs(s, f)) return (double)step_size(s, f);
  return is_half(s, f) && !whole ? (double)t + 1 : 2 * (double)t + 1;
}

/* How many are read of a step for what is asked. */
static double reads_at(const Noise *s, const NoiseAsked *asked, size_t t) {
  double reads = 0;
  if (asked->n) return t + 1 == s->T;
  for (int k = 0; k < asked->count; k++) reads += reads_of(s, asked->fields[k].id, t, true);
  for (int f = 0; f < s->program->system->field_count && !asked->fields; f++)
    if (has_variances(s, f)) reads += reads_of(s, f, t, false);
  return reads;
}

/* [T] of them, to be freed. */
static double *all_reads(const Noise *s, const NoiseAsked *asked) {
  double *reads = mem_new(s->T, sizeof *reads);
  for (size_t t = 0; t < s->T; t++) reads[t] = reads_at(s, asked, t);
  return reads;
}

/* What runs are planned for. */
typedef struct Errand {
  const Noise *s;
  const NoiseAsked *asked;
  Trial *trial;
} Errand;

static bool look(void *sink, Machine *m, int t) {
  const Errand *e = sink;
  e->trial->flops = tape_flops(m->tape) + m->flops;
  e->trial->behind += e->trial->flops * reads_at(e->s, e->asked, (size_t)t);
  return true;
}

static size_t size_of_field(const void *noise, NoiseField field) {
  const Noise *s = noise;
  return s->T * step_size(s, field.id);
}

/* What is asked of so many steps; what this returns is to be freed. */
static Slopes *ask(Noise *s, const NoiseAsked *asked) {
  Slopes *of = asked->n ? slopes_like(asked, size_of_field, s) : NULL;
  if (of)
    ask_numbers(s, of, asked->n);
  else if (asked->fields)
    ask_pair(s, asked->fields);
  else
    ask_fields(s);
  return of;
}

/* The first replicate, with the numbers that are asked for. */
static bool perform(void *sink, size_t steps, size_t columns, Trial *trial) {
  const Errand *errand = sink;
  Noise s = *errand->s;
  Machine m;
  s.T = steps;
  s.paths = columns;
  s.sobol = sobol_points(columns);
  Slopes *of = ask(&s, errand->asked);
  double *numbers = mem_block(s.count + 1), start = plan_clock();
  MachinePlan plan = plan_of(&s, &s.code[0], 0);
  uint32_t *points = run_own_order(s.program, &plan.noise, plan.columns);
  *trial = (Trial){0};
  plan.observe = look;
  plan.sink = &(Errand){&s, errand->asked, trial};
  bool fine = numbers && machine_run(&plan, &m, &s.failed_at) == STATUS_OK;
  trial->seconds = plan_clock() - start;
  if (fine) {
    double before = tape_flops(m.tape);
    fine = read_run(&s, &m, numbers);
    trial->read_seconds = plan_clock() - start - trial->seconds;
    trial->read_flops = tape_flops(m.tape) - before;
    machine_free(&m);
  }
  free(of);
  free(points);
  free(numbers);
  free(s.sobol);
  return fine;
}

void noise_plan(Program *program, const SolveOptions *options, const NoiseAsked *asked,
                SolvePlan *plan) {
  Noise s;
  char *why = NULL;
  Pace pace = {0};
  Trial whole;
  double threads = options->threads;
  bool fine = prepare(&s, program, options, &why);
  Slopes *of = fine ? ask(&s, asked) : NULL;
  if (fine) plan->bytes = bytes_needed(&s);
  s.options.threads = 1;
  fine = fine && rounded_compile(plan_of(&s, NULL, 0), machine_has_kinks(program), s.code,
                                 &s.passes, &s.failed_at) == STATUS_OK;
  size_t least = (size_t)(least_samples(program, options->steps) / REPLICATES);

  MachinePlan first = plan_of(&s, &s.code[0], 0);
  double *reads = all_reads(&s, asked);
  Errand errand = {&s, asked, NULL};
  size_t rows = most_rows(program);
  Stage stage = {s.T, s.paths, least > rows ? least : rows, &pace, reads};
  if (fine && plan_pace(&first, &pace) && rehearse(perform, &errand, &stage, &whole)) {
    double runs = REPLICATES * s.passes;
    plan->flops += runs * (whole.flops + whole.read_flops);
    plan->seconds += runs * (whole.seconds + whole.read_seconds) / fmin(threads, REPLICATES);
  }
  pace_free(&pace);
  free(reads);
  free(of);
  clean(&s);
  free(why);
}
