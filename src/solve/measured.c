/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The networks of a group have S, 2S, 4S neurons, and u_k is the mean over those of width 2^k S.
 * With M groups
 *
 *     a_k = 4S Var(u_k) = 2^k S Var(f) at that width = V + c / (2^k S) + d / (2^k S)^2 ...
 *
 * since four networks of independent neurons vary as one of all of them does but for what is not
 * linear in the neurons. So the a_k have their scatter in common, and the extrapolation of second
 * order, (8 a_2 - 6 a_1 + a_0) / 3, has hardly more of it than each. What its last order
 * contributes is added to the error, since networks as narrow as these may be far from the limit.
 * In shifts of means what is linear cancels. */
#include "solve/measured.h"
#include "base/memory.h"
#include "num/stats.h"
#include "solve/observe.h"
#include "solve/shift.h"
#include "solve/united.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LEVELS = 2, WIDTHS = LEVELS + 1, FEWEST_GROUPS = 16 };

/* Weights of the widths S, 2S, 4S in variances, and of what the last order gives them; in shifts
 * times S, from 2 c_12 - c_01 with c_01 = 2S (u_0 - u_1), c_12 = 4S (u_1 - u_2). */
static const double square_weight[WIDTHS] = {1. / 3, -2, 8. / 3},
                    square_last[WIDTHS] = {1. / 3, -1, 2. / 3}, shift_weight[WIDTHS] = {-2, 10, -8},
                    shift_last[WIDTHS] = {-2, 6, -4};

/* What is read of networks: a field, or with `diagonal` a kernel at equal time and point. */
typedef struct Part {
  FieldId of;
  int layer;
  bool diagonal;
  size_t first, count;
} Part;

typedef struct Measured {
  Program *program, *complete; /* as it was lowered, and as networks */
  SolveOptions options;
  Sizes z;
  MachineCode code;
  United plan;
  Part *parts;
  int part_count;
  const Slopes *of; /* sums of fields that are read instead, and of what may be wrong about them */
  double *means;    /* [groups, WIDTHS, plan.size] */
  double filled;    /* bytes of the fields that are made of them, at most */
  double flops;
} Measured;

bool is_measured(const Origin *origin) {
  const Program *p = origin->program;
  if (p->system || solve_is_tangent(p, &origin->options)) return false;
  bool lazy = solve_is_lazy(p, &origin->options);
  return lazy || !follows_gradients(p) || !machine_rounds(p);
}

/* ---- what is read ---- */

static void read_parts(const void *context, const Trace *trace, double *numbers) {
  const Measured *m = context;
  size_t R = m->z.all, P = m->z.points;
  for (int k = 0; k < m->part_count; k++) {
    const Part *part = &m->parts[k];
    const double *data = trace_find(trace, part->of, part->layer, false);
    double *out = numbers + part->first;
    for (size_t i = 0; i < part->count; i++)
      out[i] = part->diagonal ? data[(i / P * R + i % P) * R + i % P] : data[i];
  }
}

static void read_sums(const void *context, const Trace *trace, double *numbers) {
  const Measured *m = context;
  size_t n = m->plan.size / 2;
  for (size_t i = 0; i < n; i++) {
    numbers[i] = numbers[n + i] = 0;
    for (size_t k = 0; k < m->of[i].count; k++) {
      const Slope *s = &m->of[i].list[k];
      double x =
          trace_find(trace, s->field.id, s->field.layer, field_is_late(s->field.id))[s->entry];
      numbers[i] += s->slope * x;
      numbers[n + i] += s->doubt * x;
    }
  }
}

static size_t part_size(const Measured *m, FieldId of) {
  FieldId variance = field_that_is(KIND_VARIANCE, of);
  return field_size(variance == FIELD_COUNT ? of : variance, m->z);
}

static void add_part(Measured *m, FieldId of, int layer) {
  m->parts = mem_more(m->parts, m->part_count, sizeof *m->parts);
  m->parts[m->part_count++] = (Part){of, layer, field_is_late(of), m->plan.size, part_size(m, of)};
  m->plan.size += part_size(m, of);
  m->plan.asks = checkpoint_key(checkpoint_key(m->plan.asks, of), (uint64_t)layer);
  m->plan.values |= field_bit(of);
}

/* ---- running ---- */

/* Networks of the least width have this many neurons in every population, and more than points. */
static size_t narrowest(const Program *p) {
  enum { LEAST = 32, LEAST_OF_ALL = 16, MOST = 256 };
  size_t S = LEAST;
  double ratio = 1;
  for (int k = 0; k < p->space_count; k++)
    if (is_wide(p, k)) ratio = fmin(ratio, p->spaces[k].ratio);
  Sizes z = sizes_of(p);
  while (S < MOST && ((double)S * ratio < LEAST_OF_ALL || S < 2 * z.points * z.outputs)) S *= 2;
  return S;
}

/* About how many operations the largest network of a group takes. */
static double work_of(const Program *p, size_t neurons) {
  double work = 0, N = (double)neurons;
  for (int k = 0; k < p->matrix_count; k++) {
    const Matrix *m = &p->matrices[k];
    if (m->x < 0 || !is_wide_matrix(p, m)) continue;
    double rows = (double)rows_of(p, m->x);
    work += (8 * rows + 16) * N * N * p->spaces[m->from].ratio * p->spaces[m->to].ratio;
  }
  return work * (double)sizes_of(p).steps;
}

/* As many groups as are asked for by their neurons, or for errors of variances of some percent,
 * within a minute or two. */
static int groups_of(const Measured *m, size_t S) {
  static const double FEWEST = 128, MOST = 1024, AFFORDABLE = 3e11;
  enum { PROBED = 16 };
  if (m->options.probe) return PROBED;
  if (m->options.samples) return m->options.samples / (int)(4 * S);
  double work = work_of(m->program, 4 * S) + 1;
  return (int)fmax(FEWEST, fmin(MOST, AFFORDABLE / work));
}

static void prepare(Measured *m, const Origin *origin, const SolveOptions *options) {
  /* apart from the numbers of members of ensembles and of pairs, below 2^24 (random_stream) */
  static const uint64_t FIRST = (uint64_t)1 << 23;
  Program *program = origin->program;
  *m = (Measured){.program = program, .options = *options, .z = sizes_of(program)};
  m->options.closure = origin->options.closure;
  m->options.parts = origin->options.parts;
  bool independent = m->options.closure == CLOSURE_GRADIENT_INDEPENDENCE;
  m->complete =
      program_complete(program, (Reading){.integrates = independent, .parts = m->options.parts});
  m->code = machine_compile(m->complete, false, NULL);
  size_t S = narrowest(program);
  m->plan = (United){.program = m->complete,
                     .code = &m->code,
                     .options = &m->options,
                     .gamma = solve_gamma(program, &m->options),
                     .independent = independent,
                     .width = S,
                     .levels = LEVELS,
                     .groups = groups_of(m, S),
                     .first = FIRST,
                     .read = read_parts,
                     .context = m,
                     .stage = "fluctuations",
                     .flops = &m->flops};
}

static void clean(Measured *m) {
  machine_code_free(m->complete, &m->code);
  program_drop(m->complete);
  free(m->parts);
  free(m->means);
}

static double neurons(const Measured *m) { return 4 * (double)m->plan.width; }

static double bytes_needed(const Measured *m) { return united_bytes(&m->plan) + m->filled; }

static Status refuse(const Measured *m, char **why) { return run_refuse(why, bytes_needed(m)); }

static Status run(Measured *m, char **why) {
  int failed_at = 0;
  if (m->plan.groups < FEWEST_GROUPS) {
    *why = mem_format("samples = %d is too few: at least %g, of %d groups of networks of %zu, %zu "
                      "and %zu neurons",
                      m->options.samples, FEWEST_GROUPS * neurons(m), FEWEST_GROUPS, m->plan.width,
                      2 * m->plan.width, 4 * m->plan.width);
    return STATUS_SCRIPT;
  }
  bool refused = !mem_fits(bytes_needed(m));
  if (!refused) m->means = mem_block((size_t)m->plan.groups * WIDTHS * m->plan.size + 1);
  if (crew_any(m->options.crew, !m->means)) return refuse(m, why);
  Status status = united_run(&m->plan, m->means, &failed_at);
  switch (status) {
  case STATUS_OK: return STATUS_OK;
  case STATUS_INTERRUPTED: *why = mem_string("interrupted"); return status;
  case STATUS_NUMERICS:
    return run_diverged(why, "training", failed_at, m->program, m->options.threads);
  default: return refuse(m, why);
  }
}

/* ---- what is made of it ---- */

/* Over the groups, which come one after the other. */
typedef struct Tally {
  double sum, squares, last, blocks[MOMENT_BLOCKS];
} Tally;

static size_t block_size(const Measured *m) {
  return ((size_t)m->plan.groups + MOMENT_BLOCKS - 1) / MOMENT_BLOCKS;
}

static int block_count(const Measured *m) {
  return (int)(((size_t)m->plan.groups + block_size(m) - 1) / block_size(m));
}

static void count(const Measured *m, Tally *tally, size_t group, double q, double last) {
  tally->sum += q;
  tally->squares += q * q;
  tally->last += last;
  tally->blocks[group / block_size(m)] += q;
}

/* The mean over groups and its error; what leaving out a block does (moments_moves) goes to moves,
 * unless NULL, rows of them apart by `stride`. */
static void finish(const Measured *m, const Tally *tally, double *value, double *error,
                   double *moves, size_t stride) {
  double M = (double)m->plan.groups, mean = tally->sum / M;
  int B = block_count(m);
  *value = mean;
  *error = hypot(sqrt(fmax(0, tally->squares / M - mean * mean) / (M - 1)), tally->last / M);
  for (int b = 0; b < B && moves; b++) {
    double begin = (double)b * (double)block_size(m), own = fmin((double)block_size(m), M - begin);
    moves[(size_t)b * stride] =
        sqrt(B - 1.0) * (mean - (tally->sum - tally->blocks[b]) / (M - own));
  }
}

static double *mean_at(const Measured *m, size_t group, int width) {
  return m->means + (group * WIDTHS + (size_t)width) * m->plan.size;
}

/* The means over groups [WIDTHS, size], from which deviations are taken. */
static double *centre(const Measured *m) {
  size_t n = WIDTHS * m->plan.size, M = (size_t)m->plan.groups;
  double *mean = mem_block(n + 1);
  for (size_t g = 0; g < M && mean; g++)
    for (size_t i = 0; i < n; i++) mean[i] += m->means[g * n + i] / (double)M;
  return mean;
}

/* N Cov of the numbers i and j. */
static void tally_product(const Measured *m, const double *mean, size_t i, size_t j, Tally *tally) {
  size_t n = m->plan.size, M = (size_t)m->plan.groups;
  double scale = neurons(m) * (double)M / ((double)M - 1);
  for (size_t g = 0; g < M; g++) {
    double q = 0, last = 0;
    for (int k = 0; k < WIDTHS; k++) {
      const double *u = mean_at(m, g, k), *centre = mean + (size_t)k * n;
      double product = (u[i] - centre[i]) * (u[j] - centre[j]);
      q += square_weight[k] * product;
      last += square_last[k] * product;
    }
    count(m, tally, g, scale * q, scale * last);
  }
}

/* N times the shift of the mean of number i. */
static void tally_shift(const Measured *m, size_t i, Tally *tally) {
  double S = (double)m->plan.width;
  for (size_t g = 0; g < (size_t)m->plan.groups; g++) {
    double q = 0, last = 0;
    for (int k = 0; k < WIDTHS; k++) {
      double u = S * (mean_at(m, g, k)[i] - mean_at(m, 0, k)[i]);
      q += shift_weight[k] * u;
      last += shift_last[k] * u;
    }
    count(m, tally, g, q, last);
  }
  for (int k = 0; k < WIDTHS; k++) {
    double M = (double)m->plan.groups, first = S * mean_at(m, 0, k)[i];
    tally->sum += M * shift_weight[k] * first;
    tally->last += M * shift_last[k] * first;
  }
}

/* How an error of so few groups has to be larger: small ones go with small variances. */
static double of_few(const Measured *m) {
  double M = (double)m->plan.groups;
  return sqrt(variance_doubt(M, 0) * (M - 1) / 2);
}

/* N Cov [rows, cols] of the numbers first + i stride of two parts. */
static void covary(const Measured *m, const double *mean, const size_t first[2],
                   const size_t stride[2], size_t rows, size_t cols, double *value, double *error,
                   double *moves) {
  for (size_t i = 0; i < rows * cols; i++) {
    Tally tally = {0};
    tally_product(m, mean, first[0] + i / cols * stride[0], first[1] + i % cols * stride[1],
                  &tally);
    finish(m, &tally, value + i, error + i, moves ? moves + i : NULL, rows * cols);
    error[i] *= of_few(m);
  }
}

/* ---- a result ---- */

typedef enum Quantity { VARIANCES, COVARIANCES, SHIFTS } Quantity;

/* Of the numbers of a part, [n]. */
static void measure(const Measured *m, const Part *part, const double *mean, Quantity what,
                    size_t n, double *value, double *error, double *moves) {
  size_t side = what == COVARIANCES ? (size_t)llround(sqrt((double)n)) : 0;
  size_t first[] = {part->first, part->first}, stride[2];
  if (side) {
    stride[0] = stride[1] = part->count / side;
    covary(m, mean, first, stride, side, side, value, error, moves);
    run_symmetrize(side, error);
    return;
  }
  for (size_t i = 0; i < n; i++) {
    Tally tally = {0};
    if (what == SHIFTS)
      tally_shift(m, part->first + i, &tally);
    else
      tally_product(m, mean, part->first + i, part->first + i, &tally);
    finish(m, &tally, value + i, error + i, moves ? moves + i : NULL, n);
    if (what == VARIANCES) error[i] *= of_few(m);
  }
  run_moderate(m->z.steps, n / m->z.steps, what == VARIANCES ? value : NULL, error);
}

static bool fill(const Measured *m, Result *result, const Part *part, const double *mean,
                 FieldId id, Quantity what) {
  if (!field_is_missing(result, id, part->layer)) return true;
  size_t n = field_size(id, m->z);
  bool kept = field_has_moves(id, m->z);
  double *value = mem_block(2 * n + 1), *moves = kept ? mem_block(MOMENT_BLOCKS * n + 1) : NULL;
  bool fine = value && (moves || !kept);
  if (fine) measure(m, part, mean, what, n, value, value + n, moves);
  fine = fine && field_fill(result, id, part->layer, m->z, value, value + n);
  if (fine && kept)
    fine = field_blocks(result_find(result, field_row(id)->name, part->layer), result->kind,
                        m->options.seed, block_count(m), moves, n);
  free(value);
  free(moves);
  return fine;
}

/* Whether a field of fluctuations is wanted: by its name (shifts come together), or (NULL) if it is
 * small, in which case covariances of f are. */
static bool is_wanted(const Measured *m, const Result *result, const char *name, FieldId id,
                      int layer) {
  enum { SMALL = 1 << 18 };
  if (!field_is_missing(result, id, layer)) return false;
  const FieldRow *row = field_row(id);
  bool pairs = row->kind == KIND_COVARIANCE;
  if (!name) return field_size(id, m->z) <= SMALL && (!pairs || id == FIELD_COV_F);
  static const char shifts[] = "mean_shift";
  size_t n = sizeof shifts - 1;
  bool both = strncmp(name, shifts, n) == 0 && strncmp(row->name, shifts, n) == 0;
  return both || strcmp(name, row->name) == 0;
}

static const FieldKind kinds[] = {
    [VARIANCES] = KIND_VARIANCE, [COVARIANCES] = KIND_COVARIANCE, [SHIFTS] = KIND_SHIFT};

/* A field, its error and how blocks move it, and the same as workspace. */
static double bytes_of(const Measured *m, FieldId id) {
  return 16 * (double)field_size(id, m->z) * (2 + (field_has_moves(id, m->z) ? MOMENT_BLOCKS : 0));
}

static void choose_parts(Measured *m, const Result *result, const char *name) {
  for (FieldId of = 0; of < FIELD_COUNT; of++)
    for (int l = field_first(of); l <= field_last(of, m->program); l++) {
      bool wanted = false;
      for (Quantity what = VARIANCES; what <= SHIFTS; what++) {
        FieldId id = field_that_is(kinds[what], of);
        if (id == FIELD_COUNT || !is_wanted(m, result, name, id, l)) continue;
        wanted = true;
        m->filled += bytes_of(m, id);
      }
      if (wanted && program_observable(m->complete, (int)of, l)) add_part(m, of, l);
    }
}

/* Fills in what is missing of a result: the fields of this name, or (NULL) small ones. */
static Status fill_in(Measured *m, Result *result, const char *name, char **why) {
  choose_parts(m, result, name);
  Status status = run(m, why);
  if (status != STATUS_OK) return status;
  double *mean = centre(m);
  bool fine = mean != NULL;
  for (int k = 0; k < m->part_count && fine; k++)
    for (Quantity what = VARIANCES; what <= SHIFTS && fine; what++) {
      FieldId id = field_that_is(kinds[what], m->parts[k].of);
      if (id != FIELD_COUNT && is_wanted(m, result, name, id, m->parts[k].layer))
        fine = fill(m, result, &m->parts[k], mean, id, what);
    }
  free(mean);
  return fine ? STATUS_OK : refuse(m, why);
}

static void count_flops(const Measured *m, Result *result) {
  result_note(result, "flops", "%.17g", result_number(result, "flops", 0) + m->flops);
}

static Status complete(Result *result, const char *name, char **why) {
  const Origin *origin = result->origin;
  Measured m;
  prepare(&m, origin, &origin->options);
  Status status = fill_in(&m, result, name ? name : "", why);
  count_flops(&m, result);
  clean(&m);
  return status;
}

/* All fields that variances, covariances and shifts of fields of the program have. */
static void promise(const Measured *m, Result *result) {
  for (FieldId id = 0; id < FIELD_COUNT; id++) {
    const FieldRow *row = field_row(id);
    bool varies = row->kind == KIND_VARIANCE || row->kind == KIND_COVARIANCE;
    for (int l = field_first(id); l <= field_last(id, m->program); l++)
      if (varies && row->solvers & FROM_NOISE && program_observable(m->complete, (int)row->of, l))
        field_promise(result, id, l);
  }
  shift_promise(m->complete, result);
}

Status measured_solve(const Origin *origin, const SolveOptions *options, Result **result,
                      char **why) {
  double start = run_clock();
  Measured m;
  prepare(&m, origin, options);
  Result *r = result_new("fluctuations");
  run_origin(r, m.program, &m.options);
  run_keep(r, options->checkpoint);
  promise(&m, r);
  Status status = observe_start(r, m.program, m.z) ? fill_in(&m, r, NULL, why) : refuse(&m, why);
  result_note(r, "method", "networks");
  result_note(r, "samples", "%g", neurons(&m) * m.plan.groups);
  result_note(r, "seed", "%llu", (unsigned long long)options->seed);
  count_flops(&m, r);
  if (status == STATUS_OK) run_note_least_width(r, m.program);
  result_note(r, "seconds", "%.6g", run_clock() - start);
  r->complete = complete;
  if (status == STATUS_OK)
    *result = r;
  else
    result_drop(r);
  clean(&m);
  return status;
}

/* Whether a field of this name comes with all that is small. */
static bool comes_at_once(const Measured *m, const Result *result, const char *name) {
  for (FieldId id = 0; id < FIELD_COUNT; id++)
    for (int l = field_first(id); l <= field_last(id, m->program); l++)
      if (is_wanted(m, result, name, id, l) && is_wanted(m, result, NULL, id, l)) return true;
  return false;
}

/* ---- numbers besides ---- */

Status measured_covariance(const Origin *origin, NoiseField a, NoiseField b, double *value,
                           double *error, char **why) {
  Measured m;
  prepare(&m, origin, &origin->options);
  add_part(&m, a.id, a.layer);
  add_part(&m, b.id, b.layer);
  Status status = run(&m, why);
  double *mean = status == STATUS_OK ? centre(&m) : NULL;
  if (mean)
    covary(&m, mean, (size_t[]){m.parts[0].first, m.parts[1].first}, (size_t[]){1, 1},
           m.parts[0].count, m.parts[1].count, value, error, NULL);
  else if (status == STATUS_OK)
    status = refuse(&m, why);
  free(mean);
  clean(&m);
  return status;
}

/* Values of two times are read where a slope is one of theirs. */
static void choose_slopes(Measured *m, const Slopes *of, size_t n) {
  m->of = of;
  m->plan.read = read_sums;
  m->plan.size = 2 * n;
  m->plan.asks = slopes_key(1, of, n);
  for (size_t i = 0; i < n; i++)
    for (size_t k = 0; k < of[i].count; k++) {
      FieldId id = of[i].list[k].field.id;
      m->plan.values |= field_bit(id);
      if (field_is_late(id)) m->plan.pairs = TRACE_KERNELS;
    }
}

Status measured_variances(const Origin *origin, const SolveOptions *options, const Slopes *of,
                          size_t n, double *value, double *error, char **why) {
  Measured m;
  prepare(&m, origin, options);
  choose_slopes(&m, of, n);
  Status status = run(&m, why);
  double *mean = status == STATUS_OK ? centre(&m) : NULL;
  for (size_t i = 0; i < 2 * n && mean; i++)
    covary(&m, mean, (size_t[]){i, i}, (size_t[]){1, 1}, 1, 1, value + i, error + i, NULL);
  if (status == STATUS_OK && !mean) status = refuse(&m, why);
  free(mean);
  clean(&m);
  return status;
}

/* ---- plans ---- */

static size_t size_of_field(const void *measured, NoiseField field) {
  return field_size((FieldId)field.id, ((const Measured *)measured)->z);
}

void measured_plan(const Origin *origin, const SolveOptions *options, const NoiseAsked *asked,
                   SolvePlan *plan) {
  Measured m;
  Result *none = result_new("fluctuations");
  prepare(&m, origin, options);
  promise(&m, none);
  Slopes *of = asked->n ? slopes_like(asked, size_of_field, &m) : NULL;
  if (of) choose_slopes(&m, of, asked->n);
  for (int k = 0; k < asked->count && !of; k++)
    add_part(&m, asked->fields[k].id, asked->fields[k].layer);
  if (!asked->fields && (!asked->name || !comes_at_once(&m, none, asked->name)))
    choose_parts(&m, none, asked->name);
  if (m.plan.size) united_plan(&m.plan, plan);
  plan->bytes += m.filled;
  free(of);
  result_drop(none);
  clean(&m);
}
