/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The mean of a finite network minus that of an infinite one, N (E f_N - f), to leading order.
 *
 * Of networks of width S as functionals F of their neurons (united.h), E F(S) = F + c/S + d/S^2.
 * Two, A and B, of width S, and the one of width 2S made of the neurons of both, differ by
 *
 *     F(A and B) - (F(A) + F(B)) / 2,   of mean -c / (2S) - 3d / (4S^2)
 *
 * in which what is linear in the neurons cancels: its scatter is of order 1/S like its mean, where
 * that of F itself is of order 1/sqrt(S). With u_k the mean over networks of 2^k blocks of S
 * neurons, a group of eight tells the shift twice,
 *
 *     wide = 8 S (u_2 - u_3) = c + (3/8) d/S,    narrow = 2 S (u_0 - u_1) = c + (3/2) d/S,
 *
 * of which a third of the difference is what wide ones are off by.
 *
 * Where neurons hear of others through averages alone, and no map has a kink, there are no
 * networks: the runs of which fluctuations are read tell the shift (machine/replay.c). */
#include "solve/shift.h"
#include "base/memory.h"
#include "base/team.h"
#include "num/linalg.h"
#include "num/stats.h"
#include "solve/checkpoint.h"
#include "solve/observe.h"
#include "solve/run.h"
#include "solve/wishart.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Whether it is a shift of something that the program has. */
static bool is_shift(const Program *p, FieldId id) {
  const FieldRow *row = field_row(id);
  return row->kind == KIND_SHIFT && program_observable(p, (int)row->of, 0) &&
         field_is_present(id, p);
}

/* Numbers of a shift, 0 of other fields. */
static size_t size_of(const Program *p, FieldId id, Sizes z) {
  return is_shift(p, id) ? field_size(id, z) : 0;
}

/* Numbers in all shifts of a program. */
static size_t whole_size(const Program *p, Sizes z) {
  size_t n = 0;
  for (FieldId id = 0; id < FIELD_COUNT; id++) n += size_of(p, id, z);
  return n;
}

/* What is measured for that. */
static FieldSet measured(const Program *p) {
  FieldSet set = 0;
  for (FieldId id = 0; id < FIELD_COUNT; id++)
    if (is_shift(p, id)) set |= field_bit(field_row(id)->of);
  return set;
}

/* All shifted fields of a network, one after the other. */
static void read_fields(const void *context, const Trace *record, double *numbers) {
  const Program *p = context;
  for (FieldId id = 0; id < FIELD_COUNT; id++) {
    size_t n = size_of(p, id, sizes_of(p));
    if (n) memcpy(numbers, trace_find(record, field_row(id)->of, 0, false), n * sizeof *numbers);
    numbers += n;
  }
}

enum { LEVELS = 3, WIDTHS = LEVELS + 1 };

/* What the means u_k, times S, make of wide networks, and of narrow ones less wide ones. */
static const double wide_weight[WIDTHS] = {0, 0, 8, -8}, more_weight[WIDTHS] = {2, -2, -8, 8};

United shift_groups(United networks) {
  networks.levels = LEVELS;
  networks.values = measured(networks.program);
  networks.size = whole_size(networks.program, sizes_of(networks.program));
  networks.read = read_fields;
  networks.context = networks.program;
  networks.stage = "mean shift";
  return networks;
}

/* What groups come to. */
typedef struct Sampled {
  double *mean, *error; /* [size] */
  double *moves;        /* what blocks of groups move the mean by, [blocks, size], or NULL */
  size_t blocks;
} Sampled;

/* The moments over groups of S sum_k (wide_weight_k - share more_weight_k) u_k, or where there is
 * no share [size] of what narrow networks have more. */
static bool gather(const United *u, const double *all, const double *share, Moments *moments) {
  size_t n = u->size;
  double *one = mem_block(n + 1), S = (double)u->width;
  bool fine =
      one && moments_start(moments, n, 2) && (!share || moments_divide(moments, (size_t)u->groups));
  for (int g = 0; g < u->groups && fine; g++) {
    memset(one, 0, n * sizeof *one);
    for (size_t k = 0; k < WIDTHS; k++, all += n)
      for (size_t i = 0; i < n; i++)
        one[i] +=
            S * (share ? wide_weight[k] - share[i] * more_weight[k] : more_weight[k]) * all[i];
    moments_add(moments, one);
  }
  free(one);
  return fine;
}

/* In place of what narrow networks have more, and of the noise in that: the share of it that is
 * taken off, and what may be wrong with that. As of normal numbers it is a third as far as it
 * stands out of the noise in all numbers of a field at a time; of what is taken off, half may come
 * from orders behind. */
static void judge(const Program *p, double *more, double *noise) {
  static const double OFF = 1. / 3, BEHIND = 0.5;
  size_t steps = sizes_of(p).steps;
  for (FieldId id = 0; id < FIELD_COUNT; id++)
    for (size_t t = 0, n = size_of(p, id, sizes_of(p)) / steps; t < steps && n;
         t++, more += n, noise += n) {
      double squares = dot(n, more, more), own = fmax(0, squares - dot(n, noise, noise)),
             share = own > 0 ? own / squares : 0;
      for (size_t i = 0; i < n; i++) {
        noise[i] = OFF * hypot(BEHIND * share * more[i], noise[i] * sqrt(share * (1 - share)));
        more[i] = OFF * share;
      }
    }
}

static bool average(const United *u, const double *all, Sampled *out) {
  size_t n = u->size;
  double *more = mem_block(2 * n + 1), *noise = more ? more + n : NULL;
  Moments moments = {0}, orders = {0};
  bool fine = more && gather(u, all, NULL, &orders);
  if (fine) {
    moments_mean(&orders, more, noise);
    judge(u->program, more, noise);
    fine = gather(u, all, more, &moments);
  }
  if (fine) {
    moments_mean(&moments, out->mean, out->error);
    for (size_t i = 0; i < n; i++) out->error[i] = hypot(out->error[i], noise[i]);
    out->blocks = moments_blocks(&moments);
    out->moves = moments_moves(&moments, 0);
  }
  moments_free(&orders);
  moments_free(&moments);
  free(more);
  return out->moves != NULL;
}

/* ---- without networks ---- */

/* What recorded runs tell of the shifts, [run][size], and what differences may be wrong by. */
typedef struct Expansion {
  Recorded *s;
  size_t size;
  double *shift, *doubt;
  bool done[MOST_RECORDS];
  atomic_int told;
} Expansion;

static Observable *observe_shifted(const Recorded *s, const Machine *m, size_t size, Seed *seed) {
  const Program *p = s->complete;
  Observable *out = mem_new(size + 1, sizeof *out), *next = out;
  for (FieldId id = 0; id < FIELD_COUNT; id++) {
    size_t n = size_of(p, id, s->z), per_step = n / s->z.steps;
    const ProgramObservable *o = n ? program_observable(p, (int)field_row(id)->of, 0) : NULL;
    for (size_t i = 0; i < n; i++, seed++) {
      View table = recorded_value(m, o->variable, i / per_step);
      size_t k = i % per_step;
      *seed = (Seed){table, (size_t)o->first + k / table.cols, k % table.cols, 1};
      *next++ = (Observable){seed, 1};
    }
  }
  return out;
}

static void read_run(Expansion *e, size_t run) {
  Recorded *s = e->s;
  const Machine *m = recorded_of(s, run);
  Seed *seeds = mem_new(e->size + 1, sizeof *seeds);
  Observable *observables = observe_shifted(s, m, e->size, seeds);
  if (!tape_mean_shift(m->tape, observables, e->size, s->options.stop, e->shift + run * e->size,
                       e->doubt + run * e->size, &e->done[run]))
    s->status = run_stopped(&s->options) ? STATUS_INTERRUPTED : STATUS_LIMIT;
  tape_forget_forward(m->tape);
  free(observables);
  free(seeds);
}

/* What a run is kept by. */
static uint64_t key_of(const Expansion *e, size_t run) {
  const Recorded *s = e->s;
  const uint64_t parts[] = {FIELD_MEAN_SHIFT_F,         e->size,           run,
                            recorded_count(s),          s->neurons.method, s->facts[run].columns,
                            (uint64_t)s->options.parts, s->z.steps};
  return checkpoint_keys(s->options.checkpoint->key, parts, sizeof parts / sizeof *parts);
}

/* What a run tells. */
typedef struct Told {
  Expansion *e;
  size_t run;
} Told;

static void show_told(void *of, Piece *piece, void *sink) {
  const Told *told = of;
  Expansion *e = told->e;
  size_t n = e->size, bytes = n * sizeof(double);
  piece(sink, &e->done[told->run], sizeof *e->done);
  piece(sink, e->shift + told->run * n, bytes);
  piece(sink, e->doubt + told->run * n, bytes);
}

/* Each run is read by one process. */
static void expand_run(void *context, size_t run) {
  Expansion *e = context;
  Recorded *s = e->s;
  Checkpoint *checkpoint = s->options.checkpoint;
  Told told = {e, run};
  if (s->status != STATUS_OK || !crew_has(s->options.crew, (int)run)) return;
  if (!checkpoint || !checkpoint_read(checkpoint, key_of(e, run), show_told, &told)) {
    read_run(e, run);
    if (checkpoint && s->status == STATUS_OK)
      checkpoint_write(checkpoint, key_of(e, run), show_told, &told);
  }
  run_tell(&s->options, "mean shift", ++e->told, (int)recorded_count(s), 0);
}
/* Means over runs, and errors of their scatter and of what differences may be wrong by. */
static bool join_runs(const Expansion *e, Sampled *out) {
  const Program *p = e->s->complete;
  size_t n = e->size, first = 0, steps = e->s->z.steps;
  int R = (int)recorded_count(e->s);
  double *last = mem_block(n + 1);
  out->blocks = (size_t)R;
  out->moves = R > 1 ? mem_block(out->blocks * n + 1) : NULL;
  bool fine = last && (out->moves || R == 1);
  if (fine) rounded_mean(1, R, e->shift, n, out->mean, out->error, last, out->moves);
  for (FieldId id = 0; id < FIELD_COUNT && fine && R > 1; first += size_of(p, id++, e->s->z))
    if (size_of(p, id, e->s->z))
      run_moderate(steps, size_of(p, id, e->s->z) / steps, out->mean + first, out->error + first);
  for (size_t i = 0; i < n && fine; i++) {
    double most = 0;
    for (int j = 0; j < R; j++) most = fmax(most, e->doubt[(size_t)j * n + i]);
    out->error[i] = hypot(out->error[i], most);
  }
  free(last);
  return fine;
}

/* Fewer sample paths of a replicate have a bias, of the order of one over their number, that its
 * scatter does not cover. */
enum { FEWEST_PATHS = 512 };

/* Whether there are runs that may tell. */
static bool may_expand(const Recorded *s) {
  if (!s || s->lazy || s->neurons.kinks || s->neurons.method == COORDINATES) return false;
  return s->neurons.method != SAMPLES || s->neurons.columns >= FEWEST_PATHS;
}

/* From recorded runs, where they can be. */
static Status expand(Recorded *s, size_t size, Sampled *out, bool *done) {
  *done = false;
  if (!may_expand(s)) return STATUS_OK;
  size_t runs = recorded_count(s);
  Expansion e = {.s = s, .size = size, .shift = mem_block(2 * runs * size + 1)};
  if (crew_any(s->options.crew, !e.shift)) s->status = STATUS_LIMIT;
  e.doubt = e.shift ? e.shift + runs * size : NULL;
  if (s->status == STATUS_OK) team_run(s->options.threads, runs, expand_run, &e);
  recorded_agree(s);
  *done = s->status == STATUS_OK;
  for (size_t j = 0; j < runs && s->status == STATUS_OK; j++) {
    crew_share(s->options.crew, (int)j, &e.done[j], sizeof e.done[j]);
    crew_share(s->options.crew, (int)j, e.shift + j * size, size * sizeof *e.shift);
    crew_share(s->options.crew, (int)j, e.doubt + j * size, size * sizeof *e.doubt);
    *done = *done && e.done[j];
  }
  if (*done && !join_runs(&e, out)) s->status = STATUS_LIMIT;
  free(e.shift);
  return s->status;
}

/* ---- the whole ---- */

/* The shifts without networks, where that can be and is not too long; else from groups. */
static Status find(const United *groups, bool linear, Recorded *recorded, Sampled *out) {
  bool done = false;
  int failed_at;
  Status status = linear ? wishart_shift(groups, out->mean, out->error, &done)
                         : expand(recorded, groups->size, out, &done);
  if (status != STATUS_OK || done) return status;
  const Crew *crew = groups->options->crew;
  if (crew_any(crew, !mem_fits(united_bytes(groups)))) return STATUS_LIMIT;
  double *all = mem_block((size_t)groups->groups * WIDTHS * groups->size + 1);
  status = crew_any(crew, !all) ? STATUS_LIMIT : united_run(groups, all, &failed_at);
  if (status == STATUS_OK && !average(groups, all, out)) status = STATUS_LIMIT;
  free(all);
  return status;
}

Status shift_solve(const United *groups, bool linear, Recorded *recorded, Result *result) {
  const Program *p = groups->program;
  Sizes z = sizes_of(p);
  size_t n = groups->size, first = 0;
  Sampled s = {.mean = mem_block(n), .error = mem_block(n)};
  Status status = s.mean && s.error ? find(groups, linear, recorded, &s) : STATUS_LIMIT;
  for (FieldId id = 0; id < FIELD_COUNT && status == STATUS_OK; first += size_of(p, id++, z)) {
    if (!is_shift(p, id)) continue;
    bool fine = field_fill(result, id, 0, z, s.mean + first, s.error + first);
    if (fine && s.moves && field_has_moves(id, z))
      fine = field_blocks(result_find(result, field_row(id)->name, 0), "mean shift",
                          groups->options->seed, (int)s.blocks, s.moves + first, n);
    if (!fine) status = STATUS_LIMIT;
  }
  free(s.mean);
  free(s.error);
  free(s.moves);
  return status;
}

void shift_promise(const Program *p, Result *result) {
  for (FieldId id = 0; id < FIELD_COUNT; id++)
    if (is_shift(p, id)) field_promise(result, id, 0);
}

/* ---- plans ---- */

bool shift_reads(const Recorded *s, Recorded *few) {
  size_t size = whole_size(few->complete, few->z);
  Expansion e = {.s = few, .size = size, .shift = mem_block(2 * size + 1)};
  e.doubt = e.shift ? e.shift + size : NULL;
  if (e.shift && may_expand(s)) expand_run(&e, 0);
  free(e.shift);
  return e.done[0];
}

void shift_plan(const United *groups, bool linear, SolvePlan *plan) {
  if (!linear || !wishart_plan(groups, plan)) united_plan(groups, plan);
}
