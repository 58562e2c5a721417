/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/recorded.h"
#include "base/memory.h"
#include "num/linalg.h"
#include "solve/initial.h"
#include "solve/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool recorded_is_independent(const Recorded *s) {
  return s->options.closure == CLOSURE_GRADIENT_INDEPENDENCE && !s->lazy;
}

Reading recorded_reading(const Recorded *s, bool theory) {
  return (Reading){.theory = theory,
                   .integrates = recorded_is_independent(s),
                   .lazy = s->lazy,
                   .parts = s->options.parts};
}

/* ---- the forward runs ---- */

/* What a table of pairs sends back to what it is made of may vanish in the mean, as scores of
 * attention do at the start. Among orthogonal noise it would be rounding, but it fluctuates, and
 * what it then multiplies has to be among the directions of a run: plain noise leaves it there. */
static MachinePlan plan_of(Recorded *s, const MachineCode *code, int replicate) {
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
                      .independent = recorded_is_independent(s),
                      .record = true,
                      /* an uncentred output has mean zero at the start: what it is here is sampling
                         error, but its fluctuation counts */
                      .fixed_start = !problem->centered,
                      .steps = (int)s->z.steps - 1,
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

static Status scout(Recorded *s, int replicate, int *failed_at) {
  MachinePlan plan = plan_of(s, &s->code[0], replicate);
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

/* A step of a run is there. */
static bool tell(void *sink, Machine *m, int t) {
  Recorded *s = sink;
  if (s->pace && m == &s->run[0][0]) s->pace[t] = tape_flops(m->tape) + m->flops;
  run_tell(&s->options, "recorded runs", ++s->recorded, (int)(recorded_count(s) * s->z.steps), 0);
  return true;
}

/* Of every pass and replicate. */
static RunEnd run_one(void *recorded, int i) {
  Recorded *s = recorded;
  RunEnd end = {.status = STATUS_OK};
  int pass = i / s->neurons.replicates, replicate = i % s->neurons.replicates;
  if (!recorded_makes(s, (size_t)i)) return end;
  if (s->neurons.method == COORDINATES) end.status = scout(s, replicate, &end.failed_at);
  if (end.status != STATUS_OK) return end;
  MachinePlan plan = plan_of(s, &s->code[pass], replicate);
  Machine *m = &s->run[pass][replicate];
  plan.observe = tell;
  plan.sink = s;
  end.status = machine_run(&plan, m, &end.failed_at);
  if (end.status == STATUS_OK)
    s->facts[i] = (RunFacts){m->rank, m->plan.columns, tape_influence_size(m->tape)};
  return end;
}

void recorded_agree(Recorded *s) {
  s->status = (Status)crew_first(s->options.crew, (int)s->status);
}

static void run_all(Recorded *s) {
  int runs = (int)recorded_count(s);
  s->recorded = 0;
  RunEnd end = run_each(&s->options, runs, run_one, s);
  for (int i = 0; i < runs; i++) crew_share(s->options.crew, i, &s->facts[i], sizeof s->facts[i]);
  s->status = end.status;
  s->failed_at = end.failed_at;
}

static void forget_runs(Recorded *s) {
  for (int k = 0; k < s->passes; k++)
    for (int j = 0; j < s->neurons.replicates; j++) machine_free(&s->run[k][j]);
}

static bool makes_all(const Recorded *s) {
  return s->neurons.method == GRID || crew_size(s->options.crew) == 1;
}

/* Where there are more processes than runs, several make the same. */
bool recorded_makes(const Recorded *s, size_t run) {
  size_t runs = recorded_count(s), size = (size_t)crew_size(s->options.crew);
  if (makes_all(s)) return true;
  size_t rank = (size_t)s->options.crew->rank;
  return size > runs ? rank % runs == run : run % size == rank;
}

int recorded_part(const Recorded *s, size_t run, size_t chunk) {
  size_t runs = recorded_count(s), size = (size_t)crew_size(s->options.crew);
  if (makes_all(s)) return (int)(chunk * runs + run);
  size_t makers = size > runs ? (size - run + runs - 1) / runs : 1;
  return (int)(run + runs * (chunk % makers));
}

double recorded_bytes(Recorded *s) {
  double all = s->neurons.replicates * (s->neurons.kinks ? MAX_PASSES : 1),
         runs = makes_all(s) ? all : ceil(all / crew_size(s->options.crew));
  MachinePlan plan = plan_of(s, NULL, 0);
  return runs * machine_bytes(&plan, s->lazy ? 1 : s->z.steps);
}

Status recorded_explain(Recorded *s, char **why) {
  Status status = s->status;
  switch (status) {
  case STATUS_OK: break;
  case STATUS_INTERRUPTED: *why = mem_format("interrupted"); break;
  case STATUS_NUMERICS:
    return run_diverged(why, "training", s->failed_at, s->program, s->options.threads);
  default: return run_refuse(why, recorded_bytes(s));
  }
  return status;
}

/* The value of a program at a time of a run. */
View recorded_value(const Machine *m, int variable, size_t t) { return m->past[variable][t]; }

static double entry(const Machine *m, View table, size_t row, size_t col) {
  return tape_data(m->tape, table)[row * tape_stride(m->tape, table) + col];
}

/* The largest difference of a table between the two grids, relative to its first entry. */
static double difference(const Recorded *s, int variable, size_t t, bool relative) {
  const Machine *a = &s->run[0][0], *b = &s->run[0][1];
  View x = recorded_value(a, variable, t), y = recorded_value(b, variable, t);
  double worst = 0, unit = relative ? fabs(entry(a, x, 0, 0)) + 1e-300 : 1;
  for (size_t i = 0; i < x.rows; i++)
    for (size_t j = 0; j < x.cols; j++)
      worst = fmax(worst, fabs(entry(a, x, i, j) - entry(b, y, i, j)) / unit);
  return worst;
}

/* <x^4> of every row of a wide field, summed, over the neurons of one run. */
static double fourth_moment(const Recorded *s, int replicate, View field) {
  const Tape *tape = s->run[0][replicate].tape;
  const double *x = tape_data(tape, field), *w = neurons_weights(&s->neurons, replicate);
  double sum = 0;
  for (size_t r = 0; r < field.rows; r++, x += tape_stride(tape, field))
    for (size_t i = 0; i < s->neurons.columns; i++) sum += w[i] * x[i] * x[i] * x[i] * x[i];
  return sum;
}

/* Variances of kernels are averages of fourth powers, of twice the frequencies: how far the grids
 * disagree about those, of all that the matrices meet at step t, relative to them. */
static double fourth_moments_differ(const Recorded *s, size_t t) {
  const Program *p = s->program;
  const Machine *run = s->run[0];
  double worst = 0;
  for (int k = 0; k < 2 * p->matrix_count; k++) {
    const Matrix *m = &p->matrices[k / 2];
    bool x = k % 2 == 0;
    if (m->x < 0 || !is_wide(p, x ? m->from : m->to)) continue;
    double moment[2];
    for (int j = 0; j < 2; j++)
      moment[j] = fourth_moment(s, j, recorded_value(&run[j], x ? m->features : m->y, t));
    worst = fmax(worst, fabs(moment[0] - moment[1]) / (fabs(moment[0]) + 1e-300));
  }
  return worst;
}

/* How far two grids disagree about f or the tangent kernel, relative to their largest entries, or
 * about what the variances are made of. */
static double grids_differ(const Recorded *s) {
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
 * be: neurons that miss what the activation does miss it there. 0 where it is not known,
 * infinite without memory. */
static double initial_mismatch(const Recorded *s) {
  const Program *p = s->program;
  InitialKernels kernels;
  char *unknown = NULL;
  Status status = initial_kernels(p, s->options.threads, &kernels, &unknown);
  double *exact = status == STATUS_OK ? initial_tangent(p, &kernels) : NULL, worst = 0, largest = 0;
  bool starved =
      crew_any(s->options.crew, status == STATUS_LIMIT || (status == STATUS_OK && !exact));
  free(unknown);
  if (starved || status != STATUS_OK) {
    if (status == STATUS_OK) initial_free(p, &kernels);
    free(exact);
    return starved ? INFINITY : 0;
  }
  size_t P = s->z.points, R = s->z.all;
  double *mean = mem_new(P * P, sizeof *mean), *own = mem_new(P * P, sizeof *own);
  int ntk = program_observable(s->complete, FIELD_NTK, 0)->variable;
  for (size_t run = 0; run < recorded_count(s); run++) {
    double share = rounded_share(s->passes, (int)run / s->neurons.replicates);
    const Machine *m = recorded_of(s, run);
    for (size_t i = 0; i < P * P && recorded_makes(s, run); i++)
      own[i] = entry(m, recorded_value(m, ntk, 0), i / P, i % P);
    crew_share(s->options.crew, (int)run, own, P * P * sizeof *own);
    axpy(P * P, share / s->neurons.replicates, own, mean);
  }
  for (size_t a = 0; a < P; a++)
    for (size_t b = 0; b < P; b++) {
      largest = fmax(largest, fabs(exact[a * R + b]));
      worst = fmax(worst, fabs(exact[a * R + b] - mean[a * P + b]));
    }
  free(exact);
  free(mean);
  free(own);
  initial_free(p, &kernels);
  return largest > 0 ? worst / largest : 0;
}

/* Grids that miss something, and cannot be refined, give way to samples; where those miss it too,
 * nothing is known. */
static Status hold_to_start(Recorded *s, char **why) {
  static const double OF_GRIDS = 1e-2, OF_SAMPLES = 0.1;
  if (s->neurons.method == COORDINATES) return STATUS_OK;
  bool differ = s->neurons.method == GRID && grids_differ(s) > OF_GRIDS;
  double miss = differ ? 0 : initial_mismatch(s);
  if (s->neurons.method == GRID && (differ || miss > OF_GRIDS) && !isinf(miss)) {
    forget_runs(s);
    neurons_sample(&s->neurons, s->options.samples);
    if (crew_any(s->options.crew, !mem_fits(recorded_bytes(s))))
      return run_refuse(why, recorded_bytes(s));
    run_all(s);
    if (s->status != STATUS_OK) return recorded_explain(s, why);
    miss = initial_mismatch(s);
  }
  if (miss <= OF_SAMPLES) return STATUS_OK;
  if (isinf(miss)) return run_refuse(why, 0);
  *why = mem_format("the tangent kernel at the start comes out wrong by %.0f %%: an activation "
                    "changes over distances that are small against its field",
                    100 * miss);
  return STATUS_NUMERICS;
}

Status recorded_run(Recorded *s, char **why) {
  static const double SAME = 1e-9, ROUGH = 1e-2;
  if (!neurons_choose(&s->neurons, s->program, s->lazy, s->options.samples))
    return run_refuse(why, 16 * (double)s->neurons.columns * (s->neurons.axes + 1));
  if (s->neurons.method == SAMPLES && s->options.probe) s->neurons.replicates = 1;
  if (s->neurons.method != COORDINATES && crew_any(s->options.crew, !mem_fits(recorded_bytes(s))))
    return run_refuse(why, recorded_bytes(s));
  s->status = rounded_compile(plan_of(s, NULL, 0), machine_has_kinks(s->program), s->code,
                              &s->passes, &s->failed_at);
  if (s->status != STATUS_OK) return recorded_explain(s, why);
  run_all(s);
  for (double off; s->status == STATUS_OK; run_all(s)) {
    if (!((off = grids_differ(s)) > SAME) || !neurons_can_refine(&s->neurons, off > ROUGH)) break;
    forget_runs(s);
    if (crew_any(s->options.crew, !neurons_refine(&s->neurons)))
      return run_refuse(why, recorded_bytes(s));
  }
  return s->status == STATUS_OK ? hold_to_start(s, why) : recorded_explain(s, why);
}

void recorded_prepare(Recorded *s, Program *program, const SolveOptions *options) {
  *s = (Recorded){.program = program, .options = *options, .z = sizes_of(program)};
  s->lazy = solve_is_tangent(program, options);
  s->complete = program_complete(program, recorded_reading(s, true));
}

void recorded_free(Recorded *s) {
  forget_runs(s);
  for (int k = 0; k < s->passes; k++) machine_code_free(s->complete, &s->code[k]);
  program_drop(s->complete);
  for (int j = 0; j < 2; j++) frame_free(&s->frame[j]);
  neurons_free(&s->neurons);
}

double recorded_flops(const Recorded *s) {
  const Crew *crew = s->options.crew;
  double own = 0, all = 0;
  for (size_t run = 0; run < recorded_count(s); run++)
    if (recorded_makes(s, run)) own += tape_flops(recorded_of(s, run)->tape);
  for (int part = 0; part < crew_size(crew); part++) {
    double one = own;
    crew_share(crew, part, &one, sizeof one);
    all += one;
  }
  return all;
}

Status recorded_survey(Recorded *s, char **why) {
  enum { FIRST = 3 };
  size_t steps = s->z.steps;
  if (steps > FIRST) s->z.steps = FIRST;
  Status status = recorded_run(s, why);
  forget_runs(s);
  s->z.steps = steps;
  return status;
}

bool recorded_begin(Recorded *few, const Recorded *of, size_t steps, size_t columns) {
  *few = *of;
  memset(few->run, 0, sizeof few->run);
  memset(few->frame, 0, sizeof few->frame);
  few->passes = 1;
  few->z.steps = steps;
  few->pace = mem_new(steps, sizeof *few->pace);
  bool fine = neurons_few(&few->neurons, &of->neurons, columns);
  few->thinned = (double)of->neurons.columns / (double)few->neurons.columns;
  if (fine) run_all(few);
  return fine && few->status == STATUS_OK;
}

void recorded_end(Recorded *few) {
  forget_runs(few);
  for (int j = 0; j < 2; j++) frame_free(&few->frame[j]);
  neurons_free(&few->neurons);
  free(few->pace);
}

bool recorded_pace(Recorded *s, Pace *pace) {
  MachinePlan plan = plan_of(s, &s->code[0], 0);
  return plan_pace(&plan, pace);
}

size_t recorded_count(const Recorded *s) { return (size_t)(s->passes * s->neurons.replicates); }

const Machine *recorded_of(const Recorded *s, size_t run) {
  size_t R = (size_t)s->neurons.replicates;
  return &s->run[run / R][run % R];
}
