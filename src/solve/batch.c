/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/batch.h"
#include "base/memory.h"
#include "base/team.h"
#include "num/random.h"
#include "solve/checkpoint.h"
#include "solve/plan.h"
#include "solve/underway.h"

#include <math.h>
#include <stdlib.h>

static int all_runs(const Batch *b) { return b->replicates + b->companions + b->leans; }

static bool is_companion(const Batch *b, int j) {
  return j >= b->replicates && j < b->replicates + b->companions;
}

/* Linear programs are exact, and one run has no scatter. */
static bool watches(const Batch *b) {
  return b->watched && !b->program->linear && b->replicates > 1;
}

/* Runs that lean where averages turn out to be heavy. */
static int most_leans(const Batch *b) {
  if (!watches(b)) return 0;
  return b->replicates < MOST_LEANS ? b->replicates : MOST_LEANS;
}

int batch_most_runs(const Batch *b) { return b->replicates + b->companions + most_leans(b); }

double batch_tails_bytes(const Batch *b) {
  return watches(b) ? b->replicates * tails_bytes(b->program, b->steps, b->fine.paths) : 0;
}

int batch_replicate(const Batch *b, int j) {
  int rest = j - b->replicates;
  return rest < 0 ? j : rest < b->companions ? rest : rest - b->companions;
}

const Resolution *batch_resolution(const Batch *b, int j) {
  return is_companion(b, j) ? &b->coarse : &b->fine;
}

void batch_resolve(Batch *b, size_t paths, double tol) {
  enum { COARSEST_PATHS = FEWEST_PATHS / 2 };
  b->fine = (Resolution){paths, tol, NULL};
  b->coarse = (Resolution){paths / COARSER > COARSEST_PATHS ? paths / COARSER : COARSEST_PATHS,
                           COARSER * tol, NULL};
}

/* All of it is set but for trace, end and what follows; `most` runs are to come. False without
 * memory. */
static bool start(Batch *b, int most) {
  Checkpoint *checkpoint = b->options->checkpoint;
  b->order = checkpoint ? checkpoint->batches++ : 0;
  b->trace = mem_try((size_t)most + 1, sizeof *b->trace);
  b->end = mem_try((size_t)most + 1, sizeof *b->end);
  b->taken = mem_try((size_t)most + 1, sizeof *b->taken);
  b->room = b->trace ? most : 0;
  b->pace = mem_try(b->steps + 1, sizeof *b->pace);
  b->ahead = most_leans(b);
  return b->trace && b->end && b->taken;
}

/* What so many runs take, beside what they measure. */
static double bytes_of_runs(const Batch *b, int count) {
  return (double)count * (double)(sizeof *b->trace + sizeof *b->end + sizeof *b->taken);
}

static void forget(Batch *b) {
  for (int j = 0; j < b->room; j++) trace_free(&b->trace[j]);
}

static void forget_tails(Batch *b) {
  for (int j = 0; j < MOST_RUNS; j++) {
    tails_free(b->tails[j]);
    b->tails[j] = NULL;
  }
  lean_free(b->lean);
  b->lean = NULL;
}

void batch_free(Batch *b) {
  forget(b);
  forget_tails(b);
  free(b->trace);
  free(b->end);
  free(b->taken);
  free(b->pace);
  free(b->fine.sobol);
  free(b->coarse.sobol);
}

/* ---- progress ---- */

/* The work of a run, where that of a replicate is one. */
static double share_of(const Batch *b, int j) {
  return is_companion(b, j) ? (double)b->coarse.paths / (double)b->fine.paths : 1;
}

/* What a run has behind it, of its share. */
static double behind(const Batch *b, int j) {
  int steps = (int)b->steps, taken = b->taken[j], passes = b->passes ? b->passes : 1;
  double pass = plan_at(b->pace, b->seen, steps - 1),
         now = taken % steps ? plan_at(b->pace, b->seen, taken % steps - 1) : 0;
  return share_of(b, j) * fmin(1, (taken / steps + now / pass) / passes);
}

/* The share of the work of this process that is done: steps count by their operations, as they do
 * in plans, of which later ones have more. */
static double work_done(const Batch *b) {
  double companions = b->companions ? b->companions * share_of(b, b->replicates) : 0,
         done = b->over * crew_size(b->options->crew),
         all = b->replicates + b->leans + b->ahead + companions;
  for (int j = b->first; j < b->first + b->count; j++)
    done += behind(b, j) * crew_size(b->options->crew);
  return fmin(1, done / all);
}

/* What the first thread sees of its steps is its own: others neither write nor read it. */
static void tell(Batch *b, bool over) {
  const SolveOptions *o = b->options;
  if (!o->progress || !team_leads()) return;
  int runs = all_runs(b) + b->ahead, total = runs * (int)b->steps * (b->passes ? b->passes : 1);
  bool whole = over && b->first + b->count == runs && !run_stopped(o);
  run_tell(o, b->stage, whole ? total : b->done, total, work_done(b));
}

/* ---- one run ---- */

/* A run under way. */
typedef struct Taking {
  Batch *batch;
  int number;
  Trace *trace;
  Underway underway;
  int before; /* steps of the run that were taken before this pass */
} Taking;

/* A step counts for something where nothing is multiplied, too. Without memory for that, all count
 * alike. */
static void see_pace(Batch *b, int j, const Machine *m, int t) {
  static const double OF_A_STEP = 1e4;
  if (!b->pace || !team_leads() || t < b->seen) return;
  b->pace[t] = (tape_flops(m->tape) + m->flops + OF_A_STEP * (t + 1)) / share_of(b, j);
  b->seen = t + 1;
}

static bool take(void *sink, Machine *m, int t) {
  Taking *taking = sink;
  Batch *b = taking->batch;
  if (!trace_take(taking->trace, m)) m->status = STATUS_LIMIT;
  snapshot_take(b->snapshot, m, taking->number);
  b->taken[taking->number]++;
  b->done++;
  see_pace(b, taking->number, m, t);
  tell(b, false);
  return m->status == STATUS_OK;
}

static bool begin_trace(const Batch *b, Trace *trace) {
  return trace_new(trace, b->program, b->steps, b->values, b->pairs);
}

/* What the machine is to compute, [variable]; of a system it knows that. */
static bool *wanted_by(const Batch *b, const Trace *trace) {
  if (b->program->system || !trace->program) return NULL;
  bool *wanted = trace_wants(trace);
  for (int v = 0; v < b->program->variable_count && b->snapshot && b->snapshot->look; v++)
    wanted[v] = true;
  return wanted;
}

/* That of a solve, and what tells apart the runs in it. */
static uint64_t key_of(const Batch *b, int j) {
  const uint64_t parts[] = {(uint64_t)b->order,
                            (uint64_t)j,
                            b->steps,
                            b->fine.paths,
                            b->coarse.paths,
                            b->values,
                            (uint64_t)b->replicates,
                            (uint64_t)b->companions,
                            (uint64_t)b->pairs};
  uint64_t key = b->options->checkpoint->key;
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) key = checkpoint_key(key, parts[i]);
  return key;
}

/* Where the state of a run is kept that is under way. */
static uint64_t part_of(const Batch *b, int j) {
  static const uint64_t UNDER_WAY = 1;
  return checkpoint_key(key_of(b, j), UNDER_WAY);
}

static Underway underway_of(Batch *b, int j, const MachinePlan *plan, Trace *trace, int before) {
  Checkpoint *checkpoint = b->snapshot ? NULL : b->options->checkpoint;
  return (Underway){.checkpoint = checkpoint,
                    .key = checkpoint ? part_of(b, j) : 0,
                    .plan = {plan->columns, (size_t)plan->steps, (size_t)before},
                    .trace = trace};
}

static Tails *tails_of(const Batch *b, int j) {
  return b->watched && j < b->replicates ? b->tails[j] : NULL;
}

static void show_tails(const Batch *b, int j, Piece *piece, void *sink) {
  if (tails_of(b, j)) tails_pieces(tails_of(b, j), piece, sink);
}

static void show_more(void *of, Piece *piece, void *sink) {
  const Taking *taking = of;
  Batch *b = taking->batch;
  show_tails(b, taking->number, piece, sink);
}

/* Of a run that goes on from the middle the steps before are taken. */
static void go_on(void *sink, Machine *m) {
  Taking *taking = sink;
  Batch *b = taking->batch;
  underway_pause(&taking->underway, m);
  if (m->status != STATUS_OK) return;
  int found = taking->before + m->t - b->taken[taking->number];
  b->taken[taking->number] += found;
  b->done += found;
}

static RunEnd measure(Taking *taking, MachinePlan plan) {
  Batch *b = taking->batch;
  Trace *trace = taking->trace;
  RunEnd end = {.status = STATUS_LIMIT};
  if (!begin_trace(b, trace)) return end;
  trace->leans = plan.lean != NULL;
  bool *wanted = wanted_by(b, trace);
  plan.wanted = wanted;
  plan.observe = take;
  plan.pause = go_on;
  plan.sink = taking;
  Machine m;
  end.status = machine_run(&plan, &m, &end.failed_at);
  end.rank = m.rank;
  free(wanted);
  if (end.status == STATUS_OK) {
    trace->start = m.start;
    m.start = NULL;
    end.status = trace_finish(trace);
    machine_free(&m);
  }
  return end;
}

RunEnd batch_measure(Batch *b, int j, MachinePlan plan, Trace *trace) {
  int before = b->taken[j];
  Taking taking = {b, j, trace, underway_of(b, j, &plan, trace, before), before};
  plan.tails = tails_of(b, j);
  plan.leaning = j - b->replicates - b->companions;
  plan.lean = plan.leaning < 0 ? NULL : b->lean;
  taking.underway.more = show_more;
  taking.underway.of = &taking;
  RunEnd end = measure(&taking, plan);
  if (taking.underway.broken) {
    trace_free(trace);
    taking.underway.checkpoint = NULL;
    end = measure(&taking, plan);
  }
  if (end.status == STATUS_LIMIT) b->taken[j] = before; /* it may be repeated, with more columns */
  bool kept = end.status == STATUS_INTERRUPTED && b->salvages;
  if (end.status != STATUS_OK && !kept) trace_free(trace);
  return end;
}

/* ---- what was made before, or elsewhere ---- */

/* A run that is done. */
typedef struct Done {
  Batch *batch;
  int number;
} Done;

static void show_run(void *of, Piece *piece, void *sink) {
  const Done *done = of;
  Batch *b = done->batch;
  piece(sink, &b->end[done->number].rank, sizeof b->end->rank);
  trace_pieces(&b->trace[done->number], piece, sink);
  show_tails(b, done->number, piece, sink);
}

static bool recall(Batch *b, int j) {
  Done done = {b, j};
  int steps = (int)b->steps * (b->passes ? b->passes : 1);
  if (!begin_trace(b, &b->trace[j]) ||
      !checkpoint_read(b->options->checkpoint, key_of(b, j), show_run, &done)) {
    trace_free(&b->trace[j]);
    return false;
  }
  b->taken[j] = steps;
  b->done += steps;
  return true;
}

/* Makes a run, or finds it where it is kept. */
static void make(Batch *b, int j) {
  Checkpoint *checkpoint = b->snapshot ? NULL : b->options->checkpoint;
  b->end[j] = (RunEnd){.status = STATUS_OK};
  bool found = checkpoint && recall(b, j);
  if (!found) b->end[j] = b->run(b->solve, j, &b->trace[j]);
  if (checkpoint && !found && b->end[j].status == STATUS_OK)
    checkpoint_write(checkpoint, key_of(b, j), show_run, &(Done){b, j});
  if (checkpoint && b->end[j].status != STATUS_INTERRUPTED)
    checkpoint_drop(checkpoint, part_of(b, j));
}

/* What the process of a run has of it, all have then. */
static void share(Batch *b, int j) {
  const Crew *crew = b->options->crew;
  crew_share(crew, j, &b->end[j], sizeof b->end[j]);
  if (crew_size(crew) == 1 || b->end[j].status != STATUS_OK) return;
  bool fine = crew_has(crew, j) || begin_trace(b, &b->trace[j]);
  if (crew_any(crew, !fine))
    b->end[j].status = STATUS_LIMIT;
  else
    show_run(&(Done){b, j}, crew_share_piece, &(CrewPart){crew, j});
}

/* ---- all of them ---- */

/* Runs first .. first + count of a batch, in their turn. */
typedef struct Part {
  Batch *batch;
  int first, count, turn;
} Part;

static void run_next(void *context, size_t i) {
  const Part *part = context;
  Batch *b = part->batch;
  int j = part->first + ((int)i + part->turn) % part->count;
  if (!crew_has(b->options->crew, j)) return;
  if (run_stopped(b->options))
    b->end[j] = (RunEnd){.status = STATUS_INTERRUPTED};
  else
    make(b, j);
}

/* Makes runs first .. first + count, from number first + turn on and then around; all processes
 * have then the traces of those before the first that fails: b->failure, whose status it returns.
 */
static Status run_some(Batch *b, int first, int count, int turn) {
  Part part = {b, first, count, turn};
  b->first = first;
  b->count = count;
  team_run(b->options->threads, (size_t)count, run_next, &part);
  tell(b, true); /* where others took every run, the first thread has not */
  for (int j = first; j < first + count; j++) b->over += behind(b, j);
  b->failure = (RunEnd){.status = STATUS_OK};
  for (int j = first; j < first + count && b->failure.status == STATUS_OK; j++) {
    share(b, j);
    b->failure = b->end[j];
    b->failed = j;
  }
  return b->failure.status;
}

int batch_threads(const Batch *b) {
  int threads = b->options->threads, runs = all_runs(b);
  return threads < runs ? threads : runs;
}

Status batch_members(Batch *b, BatchCount *count, char **why) {
  const Crew *crew = b->options->crew;
  int together = batch_threads(b), all = b->replicates;
  double bytes = b->bytes(b->solve) + bytes_of_runs(b, all);
  if (crew_any(crew, !mem_fits(bytes) || !b->begin(b->solve) || !start(b, all)))
    return run_refuse(why, bytes);
  crew_share(crew, 0, &together, sizeof together);
  together *= crew_size(crew);
  for (int first = 0; first < all && b->failure.status == STATUS_OK; first += together) {
    int some = all - first < together ? all - first : together;
    run_some(b, first, some, 0);
    for (int j = first; j < first + some; j++) {
      if (b->failure.status == STATUS_OK || j < b->failed) count(b->solve, j, &b->trace[j]);
      trace_free(&b->trace[j]);
    }
  }
  return b->explain(b->solve, why);
}

int batch_members_done(const Batch *b, char **why) {
  bool some = b->failure.status == STATUS_INTERRUPTED && b->options->partial && b->failed > 1;
  if (!some) return 0;
  free(*why);
  *why = mem_format("%d of %d networks", b->failed, b->replicates);
  return b->failed;
}

/* ---- theories ---- */

static void drop_companions(Batch *b) {
  for (int j = b->replicates; j < all_runs(b); j++) trace_free(&b->trace[j]);
  b->failure.status = STATUS_OK;
  b->companions = 0;
}

static bool see_tails(Batch *b) {
  bool fine = true, look = watches(b);
  forget_tails(b);
  for (int j = 0; j < b->replicates && look; j++)
    fine = (b->tails[j] = tails_new(b->program, b->steps, b->fine.paths)) != NULL && fine;
  return fine;
}

/* Where averages have heavy tails, replicates once more, leaning. Those from the first on that
 * fails, as where a mean of squares becomes negative, say nothing. */
static void run_leaning(Batch *b) {
  int first = all_runs(b), count = most_leans(b);
  if (!tails_of(b, 0)) return;
  b->lean = lean_new(b->tails, b->replicates, b->fine.paths);
  b->ahead = 0;
  if (!b->lean) {
    tell(b, true);
    return;
  }
  b->leans = count;
  if (run_some(b, first, count, 0) != STATUS_NUMERICS) return;
  b->leans = b->failed - first;
  b->failure.status = STATUS_OK;
}

/* Companions come first: an interruption then leaves replicates with theirs. */
Status batch_theory(Batch *b, char **why) {
  bool linear = b->program->linear, again = true;
  int most = all_runs(b) + MOST_LEANS;
  if (crew_any(b->options->crew, !start(b, most))) return run_refuse(why, bytes_of_runs(b, most));
  for (; again; b->fine.paths *= again ? 2 : 1) {
    double bytes = b->bytes(b->solve);
    bool refused = !mem_fits(bytes) || !see_tails(b);
    if (crew_any(b->options->crew, refused)) return run_refuse(why, bytes);
    if (!linear) b->fine.sobol = sobol_points(b->fine.paths);
    if (!linear) b->coarse.sobol = sobol_points(b->coarse.paths);
    run_some(b, 0, all_runs(b), b->replicates);
    if (b->failure.status == STATUS_NUMERICS && b->failed >= b->replicates) drop_companions(b);
    if (b->failure.status == STATUS_OK) run_leaning(b);
    again = linear && b->failure.status == STATUS_LIMIT && b->failure.failed_at < 0;
    if (again) forget(b);
  }
  return b->explain(b->solve, why);
}

/* How many of these runs, from the first on, have come so far. */
static int come_to(const Trace *traces, int count, size_t steps) {
  int n = 0;
  while (n < count && traces[n].taken >= steps) n++;
  return n;
}

/* How far the runs of other processes came. */
static void share_progress(Batch *b) {
  for (int j = 0; j < all_runs(b); j++) {
    crew_share(b->options->crew, j, &b->trace[j].taken, sizeof b->trace->taken);
    crew_share(b->options->crew, j, &b->trace[j].flops, sizeof b->trace->flops);
  }
}

/* Cuts a trace to so many steps in the process that has it; then all have it. */
static bool cut(Batch *b, int j, size_t steps) {
  const Crew *crew = b->options->crew;
  Trace *trace = &b->trace[j];
  bool fine;
  if (crew_has(crew, j)) {
    fine = trace_cut(trace, steps) == STATUS_OK;
  } else {
    trace_free(trace);
    fine = trace_new(trace, b->program, steps, b->values, b->pairs);
  }
  if (crew_any(crew, !fine)) return false;
  if (crew_size(crew) > 1) trace_pieces(trace, crew_share_piece, &(CrewPart){crew, j});
  return true;
}

/* Behind fewer replicates than there were come their companions. */
static void keep_companions(Batch *b, int before) {
  for (int k = 0; k < b->companions; k++) {
    Trace own = b->trace[before + k];
    b->trace[before + k] = b->trace[b->replicates + k];
    b->trace[b->replicates + k] = own;
  }
}

size_t batch_salvage(Batch *b, char **why) {
  int least = b->program->linear ? 1 : 2, wanted = b->replicates;
  size_t all = b->steps, steps = all, first = b->program->system ? 0 : 1;
  if (b->failure.status != STATUS_INTERRUPTED || !b->salvages || wanted < least) return 0;
  share_progress(b);
  if (come_to(b->trace, wanted, all) < least)
    steps = b->trace[0].taken < b->trace[least - 1].taken ? b->trace[0].taken
                                                          : b->trace[least - 1].taken;
  if (steps < 2) return 0;
  b->replicates = come_to(b->trace, wanted, steps);
  b->companions = come_to(b->trace + wanted,
                          b->companions < b->replicates ? b->companions : b->replicates, steps);
  b->leans = 0;
  bool fine = true;
  for (int j = 0; j < all_runs(b) && fine; j++)
    fine = cut(b, j < b->replicates ? j : wanted + j - b->replicates, steps);
  if (!fine) return 0;
  keep_companions(b, wanted);
  free(*why);
  *why = steps < all ? mem_format("%zu of %zu steps", steps - first, all - first)
                     : mem_format("%d of %d replicates", b->replicates, wanted);
  return steps;
}

/* ---- what they say ---- */

static const double *numbers(const Trace *trace, int field, int layer, bool pairs) {
  bool f = !trace->program->system && field == FIELD_F;
  return f ? trace->f : trace_find(trace, field, layer, pairs);
}

Replicates batch_collect(const Batch *b, int field, int layer, bool pairs, size_t n) {
  Replicates r = {.count = b->replicates,
                  .companions = b->companions,
                  .leans = b->leans,
                  .n = n,
                  .share = 1 / ((double)b->fine.paths / (double)b->coarse.paths - 1)};
  for (int j = 0; j < b->replicates; j++) r.fine[j] = numbers(&b->trace[j], field, layer, pairs);
  const Trace *rest = b->trace + b->replicates;
  for (int j = 0; j < b->companions; j++) r.coarse[j] = numbers(&rest[j], field, layer, pairs);
  for (int j = 0; j < b->leans; j++)
    r.lean[j] = numbers(&rest[b->companions + j], field, layer, pairs);
  return r;
}

bool batch_guesses(const Batch *b, const Replicates *measured, const double *value,
                   const double *error) {
  if (!b->lean || !lean_guesses(b->lean)) return false;
  for (size_t i = 0; i < measured->n; i++)
    if (doubt_tails(measured, i) > fmax(error[i] / 2, fabs(value[i]) / 4)) return true;
  return b->leans == 0;
}

int batch_rank(const Batch *b) {
  int rank = 0;
  for (int j = 0; j < b->replicates; j++)
    if (b->trace[j].rank > rank) rank = b->trace[j].rank;
  return rank;
}

double batch_flops(const Batch *b) {
  double flops = 0;
  for (int j = 0; j < b->room; j++) flops += b->trace[j].flops;
  return flops;
}

void batch_plan(const Batch *b, MachinePlan first, SolvePlan *plan) {
  Trace trace = {0};
  RunCost cost;
  bool fine = mem_fits(plan->bytes) && begin_trace(b, &trace), *wanted = wanted_by(b, &trace);
  uint32_t *sobol = fine && first.noise.kind == NOISE_SOBOL ? sobol_points(first.columns) : NULL;
  first.noise.sobol = sobol;
  first.tails = fine && watches(b) ? tails_new(b->program, b->steps, first.columns) : NULL;
  first.wanted = wanted;
  if (fine && plan_run(&first, &cost)) {
    double ratio = b->companions ? (double)b->coarse.paths / (double)b->fine.paths : 0,
           runs = b->replicates + most_leans(b) + b->companions * ratio;
    plan->flops = cost.flops * runs;
    plan->seconds = cost.seconds * runs / batch_threads(b);
  }
  tails_free(first.tails);
  free(sobol);
  free(wanted);
  trace_free(&trace);
}

void batch_note_samples(const Batch *b, Result *result) {
  if (result->exact) return;
  result_note(result, "samples", "%zu", b->fine.paths * (size_t)b->replicates);
  result_note(result, "replicates", "%d", b->replicates);
  result_note(result, "seed", "%llu", (unsigned long long)b->options->seed);
}

void batch_note_members(const Batch *b, Result *result, double seconds) {
  result_note(result, "width", "%d", b->options->width);
  result_note(result, "ensemble", "%d", b->options->ensemble);
  result_note(result, "seed", "%llu", (unsigned long long)b->options->seed);
  if (b->options->single) result_note(result, "precision", "single");
  result_note(result, "seconds", "%.6g", seconds);
}

void batch_note_cost(const Batch *b, Result *result, double seconds) {
  result_note(result, "flops", "%.17g", batch_flops(b));
  result_note(result, "seconds", "%.6g", seconds);
}
