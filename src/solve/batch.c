/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/batch.h"
#include "base/memory.h"
#include "base/team.h"
#include "solve/checkpoint.h"
#include "solve/plan.h"

#include <math.h>
#include <stdlib.h>

int batch_runs(const Batch *b) { return b->replicates + b->companions + b->leans; }

bool batch_is_companion(const Batch *b, int j) {
  return j >= b->replicates && j < b->replicates + b->companions;
}

const Resolution *batch_resolution(const Batch *b, int j) {
  return batch_is_companion(b, j) ? &b->coarse : &b->fine;
}

const Crew *batch_crew(const Batch *b) { return b->snapshot ? NULL : b->options->crew; }

void batch_start(Batch *b, int most) {
  Checkpoint *checkpoint = b->options->checkpoint;
  b->order = checkpoint ? checkpoint->batches++ : 0;
  b->room = most;
  b->trace = mem_new((size_t)most + 1, sizeof *b->trace);
  b->end = mem_new((size_t)most + 1, sizeof *b->end);
  b->taken = mem_new((size_t)most + 1, sizeof *b->taken);
  b->pace = mem_new(b->steps + 1, sizeof *b->pace);
}

void batch_forget(Batch *b) {
  for (int j = 0; j < b->room; j++) trace_free(&b->trace[j]);
}

void batch_free(Batch *b) {
  batch_forget(b);
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
  return batch_is_companion(b, j) ? (double)b->coarse.paths / (double)b->fine.paths : 1;
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
         done = b->over * crew_size(batch_crew(b)), all = b->replicates + b->leans + companions;
  for (int j = b->first; j < b->first + b->count; j++)
    done += behind(b, j) * crew_size(batch_crew(b));
  return fmin(1, done / all);
}

static void tell(Batch *b, bool over) {
  const SolveOptions *o = b->options;
  int runs = batch_runs(b), total = runs * (int)b->steps * (b->passes ? b->passes : 1),
      done = b->done * crew_size(batch_crew(b));
  if (!o->progress || !team_leads()) return;
  bool whole = over && b->first + b->count == runs && !(o->stop && *o->stop);
  if (done > total || whole) done = total;
  o->progress(o->sink, b->stage, done, total, work_done(b));
}

/* ---- one run ---- */

/* A run under way. */
typedef struct Taking {
  Batch *batch;
  int number;
  Trace *trace;
} Taking;

/* A step counts for something where nothing is multiplied, too. */
static void see_pace(Batch *b, int j, const Machine *m, int t) {
  static const double OF_A_STEP = 1e4;
  if (t < b->seen || !team_leads()) return;
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

RunEnd batch_measure(Batch *b, int j, MachinePlan plan, Trace *trace) {
  RunEnd end = {.status = STATUS_LIMIT};
  int before = b->taken[j];
  if (begin_trace(b, trace)) {
    Taking taking = {b, j, trace};
    bool *wanted = wanted_by(b, trace);
    plan.wanted = wanted;
    plan.observe = take;
    plan.sink = &taking;
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
  if (b->more) b->more(b->solve, done->number, piece, sink);
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
  if (checkpoint && recall(b, j)) return;
  b->end[j] = b->run(b->solve, j, &b->trace[j]);
  if (checkpoint && b->end[j].status == STATUS_OK)
    checkpoint_write(checkpoint, key_of(b, j), show_run, &(Done){b, j});
}

/* What the process of a run has of it, all have then. */
static void share(Batch *b, int j) {
  const Crew *crew = batch_crew(b);
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
  if (!crew_has(batch_crew(b), j)) return;
  if (b->options->stop && *b->options->stop)
    b->end[j] = (RunEnd){.status = STATUS_INTERRUPTED};
  else
    make(b, j);
}

Status batch_run(Batch *b, int first, int count, int turn) {
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
  int threads = b->options->threads, runs = batch_runs(b);
  return threads < runs ? threads : runs;
}

Status batch_members(Batch *b, BatchCount *count) {
  const Crew *crew = batch_crew(b);
  int together = batch_threads(b), all = b->replicates;
  crew_share(crew, 0, &together, sizeof together);
  together *= crew_size(crew);
  batch_start(b, all);
  for (int first = 0; first < all && b->failure.status == STATUS_OK; first += together) {
    int some = all - first < together ? all - first : together;
    batch_run(b, first, some, 0);
    for (int j = first; j < first + some; j++) {
      if (b->failure.status == STATUS_OK || j < b->failed) count(b->solve, j, &b->trace[j]);
      trace_free(&b->trace[j]);
    }
  }
  return b->failure.status;
}

/* ---- what they say ---- */

Replicates batch_collect(const Batch *b, BatchNumbers *numbers, int field, int layer, size_t n) {
  Replicates r = {.count = b->replicates,
                  .companions = b->companions,
                  .leans = b->leans,
                  .n = n,
                  .share = 1 / ((double)b->fine.paths / (double)b->coarse.paths - 1)};
  for (int j = 0; j < b->replicates; j++) r.fine[j] = numbers(&b->trace[j], field, layer);
  const Trace *rest = b->trace + b->replicates;
  for (int j = 0; j < b->companions; j++) r.coarse[j] = numbers(&rest[j], field, layer);
  for (int j = 0; j < b->leans; j++) r.lean[j] = numbers(&rest[b->companions + j], field, layer);
  return r;
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
  first.wanted = wanted;
  if (fine && plan_run(&first, &cost)) {
    double ratio = b->companions ? (double)b->coarse.paths / (double)b->fine.paths : 0,
           runs = b->replicates + b->companions * ratio;
    plan->flops = cost.flops * runs;
    plan->seconds = cost.seconds * runs / batch_threads(b);
  }
  free(wanted);
  trace_free(&trace);
}

void batch_note_samples(const Batch *b, Result *result) {
  if (result->exact) return;
  result_note(result, "samples", "%zu", b->fine.paths * (size_t)b->replicates);
  result_note(result, "replicates", "%d", b->replicates);
  result_note(result, "seed", "%llu", (unsigned long long)b->options->seed);
}

void batch_note_cost(const Batch *b, Result *result, double seconds) {
  result_note(result, "flops", "%.17g", batch_flops(b));
  result_note(result, "seconds", "%.6g", seconds);
}
