/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/influences.h"
#include "base/memory.h"
#include "base/team.h"
#include "num/linalg.h"
#include "solve/checkpoint.h"
#include "solve/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* <y g> is no symmetric kernel where a matrix learns something else than its gradient. */
static bool ntk_is_symmetric(const Program *p) {
  for (int k = 0; k < p->matrix_count; k++)
    if (p->matrices[k].rate != 0 && p->matrices[k].learns != p->matrices[k].y) return false;
  return true;
}

Family family_of(const Recorded *s, FieldId id, int layer, bool whole) {
  Sizes z = s->z;
  Family family = {field_size(id, z), id, layer, false, NULL};
  if (whole || id != FIELD_VAR_NTK || !ntk_is_symmetric(s->program)) return family;
  family.count = z.steps * (z.points * (z.points + 1) / 2);
  family.triangle = true;
  return family;
}

/* The entry that is number i of a family at its time. */
static Seed seed(const Recorded *s, const Machine *m, const Family *family, size_t t, size_t i) {
  const Program *p = s->complete;
  const ProgramObservable *o = program_observable(p, (int)field_row(family->id)->of, family->layer);
  View table = recorded_value(m, o->variable, t);
  size_t row = i / table.cols, col = i % table.cols;
  if (family->id == FIELD_VAR_PHI || family->id == FIELD_VAR_G) row = col = i;
  if (family->triangle) { /* the lower triangle in order */
    row = 0;
    while (i > row) i -= ++row;
    col = i;
  }
  return (Seed){table, (size_t)o->first + row, col, 1};
}

/* The second run in coordinates is read at some steps only, these and the last. */
static size_t check_stride(const Recorded *s) {
  enum { CHECKS = 8 };
  size_t stride = (s->z.steps - 1) / CHECKS;
  return stride ? stride : 1;
}

static bool checks_only(const Recorded *s, const Family *family, int replicate) {
  return s->neurons.method == COORDINATES && replicate == 1 && !family->sums;
}

/* How many numbers of a family are read from a run, and the k-th of them. */
static size_t numbers_read(const Recorded *s, const Family *family, int replicate) {
  size_t last = s->z.steps - 1, stride = check_stride(s);
  if (!checks_only(s, family, replicate)) return family->count;
  return family->count / s->z.steps * ((last + stride - 1) / stride + 1);
}

static size_t number_read(const Recorded *s, const Family *family, int replicate, size_t k) {
  if (!checks_only(s, family, replicate)) return k;
  size_t per_step = family->count / s->z.steps, t = k / per_step * check_stride(s);
  return (t < s->z.steps ? t : s->z.steps - 1) * per_step + k % per_step;
}

static size_t influence_size(const Recorded *s, size_t run) { return s->facts[run].influence; }

enum { MOST_CHUNK = 64 };

/* Of the derivatives of an observable, the part that is in use at a time. */
static double bytes_of_one(const Recorded *s) {
  const RunFacts *first = &s->facts[0];
  double rows = 4.0 * first->rank * s->program->matrix_count +
                2.0 * (double)most_rows(s->program) * s->program->variable_count;
  return 8 * rows * (double)first->columns + 8 * (double)first->influence;
}

/* Observables that are read together, which share the slopes of maps: as many as keep their
 * derivatives in a cache. */
static size_t chunk_size(const Recorded *s) {
  double size = 32e6 / bytes_of_one(s) / (s->thinned > 0 ? s->thinned : 1);
  return size < 1 ? 1 : size > MOST_CHUNK ? MOST_CHUNK : (size_t)size;
}

double spread_reading_bytes(Recorded *s) {
  bool exact = s->neurons.method == COORDINATES; /* of these, what is recorded is mostly tables */
  double tables = exact ? recorded_bytes(s) / (double)recorded_count(s) : 0;
  return (double)chunk_size(s) * (bytes_of_one(s) + tables);
}

/* The observables of these numbers of a run, with room for a seed each; from which mark they are
 * read. */
static int observables_of(const Recorded *s, size_t run, const Family *family,
                          const size_t *numbers, size_t count, Seed *seeds, Observable *out) {
  const Machine *m = recorded_of(s, run);
  const Sums *sums = family->sums;
  size_t last = 0, per_step = family->count / s->z.steps;
  for (size_t k = 0; k < count && sums; k++) {
    size_t first = sums->first[numbers[k]];
    out[k] = (Observable){sums->seeds[run] + first, sums->first[numbers[k] + 1] - first};
  }
  for (size_t k = 0; k < count && !sums; k++) {
    size_t t = numbers[k] / per_step;
    seeds[k] = seed(s, m, family, t, numbers[k] % per_step);
    out[k] = (Observable){&seeds[k], 1};
    if (t > last) last = t;
  }
  return sums ? sums->mark[run] : m->mark[last];
}

static bool read_chunk(Recorded *s, size_t run, const Family *family, const size_t *numbers,
                       size_t count, double *influences) {
  Seed *seeds = mem_new(count, sizeof *seeds);
  Observable *observables = mem_new(count, sizeof *observables);
  int mark = observables_of(s, run, family, numbers, count, seeds, observables);
  bool fine = tape_influences(recorded_of(s, run)->tape, mark, observables, count, s->options.stop,
                              influences);
  free(observables);
  free(seeds);
  return fine;
}

/* Of a number in one run, where its square goes, and its influence if that is kept, or NULL. */
static double *square_of(const Spread *q, size_t run, size_t number) {
  return &q->var[run * q->family.count + number];
}

static double *place_of(const Spread *q, size_t run, size_t number, size_t size) {
  bool kept = q->side && number % q->stride == 0;
  return kept ? q->kept[run] + number / q->stride * size : NULL;
}

/* Takes these numbers of a run; false where that failed. */
static bool take_chunk(Recorded *s, const Spread *q, size_t run, const size_t *numbers,
                       size_t count) {
  size_t size = influence_size(s, run);
  double *influences = mem_block(count * size);
  bool fine = influences && read_chunk(s, run, &q->family, numbers, count, influences);
  for (size_t k = 0; k < count && fine; k++) {
    const double *influence = influences + k * size;
    double *place = place_of(q, run, numbers[k], size);
    *square_of(q, run, numbers[k]) = dot(size, influence, influence);
    if (place) memcpy(place, influence, size * sizeof *influence);
  }
  free(influences);
  return fine;
}

/* A family that is read from all runs: chunks of its numbers are tasks, those of a run one after
 * the other. */
typedef struct Reader {
  Recorded *s;
  Spread *q;
  size_t chunks;                 /* of a run */
  size_t first;                  /* of the runs under way */
  atomic_int left[MOST_RECORDS]; /* chunks of a run that are not read yet */
  bool found[MOST_RECORDS];      /* runs that a checkpoint had */
} Reader;

/* The part of a crew that task i is. */
static int part_of(const Reader *r, size_t i) {
  return recorded_part(r->s, i / r->chunks, i % r->chunks);
}

/* Which numbers task i reads, and of which run. */
static size_t numbers_of(const Reader *r, size_t i, size_t *run, size_t *numbers) {
  const Recorded *s = r->s;
  const Family *family = &r->q->family;
  size_t chunk = chunk_size(s), count = 0;
  *run = i / r->chunks;
  int replicate = (int)*run % s->neurons.replicates;
  size_t all = numbers_read(s, family, replicate);
  for (size_t k = i % r->chunks * chunk; count < chunk && k < all; k++)
    numbers[count++] = number_read(s, family, replicate, k);
  return count;
}

/* What a task takes, as a plan has it: the steps behind its numbers are read backward. */
static int steps_of(const Reader *r, size_t i) {
  const Family *family = &r->q->family;
  size_t run, numbers[MOST_CHUNK], count = numbers_of(r, i, &run, numbers),
                                   per_step = family->count / r->s->z.steps;
  if (family->sums || !count) return count ? (int)r->s->z.steps : 0;
  return (int)(numbers[count - 1] / per_step) + 1;
}

/* ---- runs that are done ---- */

/* Whether each run is read by the process that made it. */
static bool reads_whole(const Recorded *s) {
  int size = crew_size(s->options.crew);
  return size == 1 || (s->neurons.method != GRID && (size_t)size <= recorded_count(s));
}

static uint64_t key_of(const Reader *r, size_t run) {
  const Recorded *s = r->s;
  const Family *family = &r->q->family;
  const uint64_t parts[] = {family->id,
                            (uint64_t)family->layer,
                            family->triangle,
                            family->count,
                            family->sums ? family->sums->key : 0,
                            r->q->side,
                            run,
                            recorded_count(s),
                            s->neurons.method,
                            s->facts[run].columns,
                            (uint64_t)s->options.parts,
                            s->z.steps};
  return checkpoint_keys(s->options.checkpoint->key, parts, sizeof parts / sizeof *parts);
}

/* What is made of a run. */
typedef struct Made {
  const Spread *q;
  size_t run;
} Made;

static void show_made(void *of, Piece *piece, void *sink) {
  const Made *made = of;
  const Spread *q = made->q;
  piece(sink, q->var + made->run * q->family.count, q->family.count * sizeof *q->var);
  if (q->side) piece(sink, q->gram[made->run], q->side * q->side * sizeof(double));
}

static bool keeps(const Reader *r) {
  return r->s->options.checkpoint && r->q->own && reads_whole(r->s);
}

static void find_run(Reader *r, size_t run) {
  if (keeps(r) && recorded_makes(r->s, run))
    r->found[run] =
        checkpoint_read(r->s->options.checkpoint, key_of(r, run), show_made, &(Made){r->q, run});
}

/* Operations with what was read of a run. */
static void count(const Recorded *s, size_t run, double flops) {
  if (recorded_makes(s, run)) tape_count(recorded_of(s, run)->tape, flops);
}

/* A run whose numbers were all read. */
static void end_run(Reader *r, size_t run) {
  const Spread *q = r->q;
  size_t size = influence_size(r->s, run);
  if (q->gram[run])
    count(r->s, run,
          mat_mul_bt(q->side, q->side, size, 1, q->kept[run], size, q->kept[run], size, 0,
                     q->gram[run], q->side));
  if (keeps(r))
    checkpoint_write(r->s->options.checkpoint, key_of(r, run), show_made, &(Made){q, run});
}

static void read_next(void *context, size_t next) {
  Reader *r = context;
  Recorded *s = r->s;
  size_t i = r->first * r->chunks + next, run, numbers[MOST_CHUNK],
         count = numbers_of(r, i, &run, numbers);
  if (s->status != STATUS_OK || !count || !crew_has(s->options.crew, part_of(r, i))) return;
  bool stopped = run_stopped(&s->options);
  if (stopped || (!r->found[run] && !take_chunk(s, r->q, run, numbers, count)))
    s->status = run_stopped(&s->options) ? STATUS_INTERRUPTED : STATUS_LIMIT;
  if (!r->found[run] && --r->left[run] == 0 && s->status == STATUS_OK) end_run(r, run);
  s->behind += steps_of(r, i);
  run_tell(&s->options, "fluctuations", ++s->done, s->total,
           (double)s->behind * crew_size(s->options.crew) / s->steps);
}

/* What the process of task i has read, all get. */
static void share_task(const Reader *r, size_t i) {
  const Recorded *s = r->s;
  const Spread *q = r->q;
  size_t run, numbers[MOST_CHUNK], count = numbers_of(r, i, &run, numbers),
                                   size = influence_size(s, run);
  for (size_t k = 0; k < count; k++) {
    double *place = q->gram[run] ? NULL : place_of(q, run, numbers[k], size);
    crew_share(s->options.crew, part_of(r, i), square_of(q, run, numbers[k]), sizeof(double));
    if (place) crew_share(s->options.crew, part_of(r, i), place, size * sizeof *place);
  }
  if (q->gram[run] && i % r->chunks == 0)
    crew_share(s->options.crew, part_of(r, i), q->gram[run], q->side * q->side * sizeof(double));
}

/* What all numbers of a family ask of a run is read forward, where that is less work: a direction
 * costs a quarter of a number, and other families, which are seldom not read, ask of the same. */
enum { DIRECTIONS_A_NUMBER = 6 };

/* Of runs that a checkpoint had, too: how later ones are read does not depend on that. */
static void prepare_run(void *context, size_t next) {
  Reader *r = context;
  Recorded *s = r->s;
  size_t run = r->first + next;
  const Family *family = &r->q->family;
  if (s->status != STATUS_OK || !recorded_makes(s, run)) return;
  size_t count = numbers_read(s, family, (int)run % s->neurons.replicates),
         *numbers = mem_new(count + 1, sizeof *numbers);
  for (size_t k = 0; k < count; k++)
    numbers[k] = number_read(s, family, (int)run % s->neurons.replicates, k);
  Seed *seeds = mem_new(count + 1, sizeof *seeds);
  Observable *observables = mem_new(count + 1, sizeof *observables);
  observables_of(s, run, family, numbers, count, seeds, observables);
  if (!tape_read_forward(recorded_of(s, run)->tape, observables, count, DIRECTIONS_A_NUMBER * count,
                         s->options.stop))
    s->status = run_stopped(&s->options) ? STATUS_INTERRUPTED : STATUS_LIMIT;
  free(observables);
  free(seeds);
  free(numbers);
  find_run(r, run);
}

/* Of as many runs at a time as there are threads: what is read forward may be large, and goes with
 * the last number of a run. */
static void read_runs(Reader *r) {
  const Recorded *s = r->s;
  size_t runs = recorded_count(s),
         threads = s->options.threads > 1 ? (size_t)s->options.threads : 1;
  for (size_t count; r->first < runs; r->first += count) {
    count = runs - r->first < threads ? runs - r->first : threads;
    team_run(s->options.threads, count, prepare_run, r);
    team_run(s->options.threads, count * r->chunks, read_next, r);
    for (size_t run = r->first; run < r->first + count; run++)
      if (recorded_makes(s, run)) tape_forget_forward(recorded_of(s, run)->tape);
  }
}

/* Reads every number of a family from every run, in whatever order. */
static Status read_family(Recorded *s, Spread *q, char **why) {
  size_t chunk = chunk_size(s), runs = recorded_count(s);
  Reader r = {.s = s, .q = q, .chunks = (q->family.count + chunk - 1) / chunk};
  size_t tasks = r.chunks * runs;
  s->done = 0;
  s->behind = s->steps = 0;
  s->total = (int)tasks;
  for (size_t i = 0; i < tasks; i++) {
    int steps = steps_of(&r, i);
    s->steps += steps;
    if (steps) r.left[i / r.chunks]++;
  }
  read_runs(&r);
  recorded_agree(s);
  for (size_t i = 0; i < tasks && s->status == STATUS_OK && crew_size(s->options.crew) > 1; i++)
    share_task(&r, i);
  return recorded_explain(s, why);
}

/* ---- errors ---- */

/* In coordinates: the numbers [steps, n, others, m] of the first run, and by how much those of the
 * second differ, at most, at the nearest steps that were read before and after. */
static void compare_runs(const Recorded *s, size_t steps, const double *first, size_t n,
                         size_t others, size_t m, double *value, double *error) {
  size_t stride = check_stride(s), row = n * others * m;
  const double *second = first + steps * row;
  double *most = mem_new(steps * others, sizeof *most);
  for (size_t i = 0; i < steps * row; i++) {
    double *own = &most[i / row * others + i / m % others], d = fabs(first[i] - second[i]);
    bool read = (i / row % stride == 0 || i / row == steps - 1) &&
                (i / m % others % stride == 0 || i / m % others == others - 1);
    if (read && !(d <= *own)) *own = d;
  }
  for (size_t i = 0; i < steps * row; i++) {
    size_t t = i / row, u = i / m % others, t0 = t - t % stride, u0 = u - u % stride,
           t1 = t0 + stride < steps ? t0 + stride : steps - 1,
           u1 = u0 + stride < others ? u0 + stride : others - 1;
    value[i] = first[i];
    error[i] = fmax(fmax(most[t0 * others + u0], most[t0 * others + u1]),
                    fmax(most[t1 * others + u0], most[t1 * others + u1]));
  }
  free(most);
}

/* Mean over replicates and its error [n], of part[pass][replicate][n] extrapolated over passes; the
 * error of an entry is averaged with those of the others at its time. The numbers [steps, ..] are
 * variances (side 0), or covariances [.., side]. Half of what the last order of the extrapolation
 * contributes is added to the error. `moves` [replicate, n], unless NULL, takes how far each is
 * from the mean, in units of the error. */
static void combine(const Recorded *s, const double *parts, size_t steps, size_t n, size_t side,
                    double *value, double *error, double *moves) {
  int R = s->neurons.replicates;
  if (s->neurons.method == COORDINATES) {
    size_t m = side ? side / steps : 1, others = side ? steps : 1;
    compare_runs(s, steps, parts, n / steps / others / m, others, m, value, error);
    return;
  }
  double *last = mem_new(n, sizeof *last);
  rounded_mean(s->passes, R, parts, n, value, error, last, moves);
  if (R > 1) run_moderate(steps, n / steps, side ? NULL : value, error);
  for (size_t i = 0; i < n; i++) error[i] = hypot(error[i], last[i] / 2);
  free(last);
}

/* ---- variances and covariances ---- */

double spread_bytes(const Spread *q, size_t other) {
  double side = (double)q->side, count = (double)q->family.count,
         all = 2 * side * (double)other + 4 * count;
  for (size_t i = 0; i < recorded_count(q->s); i++)
    all += count + side * ((double)other + (double)influence_size(q->s, i));
  return 8 * all;
}

void spread_free(Spread *q) {
  for (size_t i = 0; i < recorded_count(q->s); i++) {
    free(q->kept[i]);
    free(q->gram[i]);
  }
  free(q->var);
}

Status spread_read(Spread *q, Recorded *s, Family family, size_t side, bool own, char **why) {
  *q = (Spread){
      .s = s, .family = family, .side = side, .stride = side ? family.count / side : 1, .own = own};
  size_t runs = recorded_count(s);
  double bytes = spread_bytes(q, side);
  if (crew_any(s->options.crew, !mem_fits(bytes))) return run_refuse(why, bytes);
  bool fine = (q->var = mem_block(runs * family.count)) != NULL;
  for (size_t i = 0; i < runs && side && fine; i++)
    fine = (q->kept[i] = mem_block(side * influence_size(s, i))) != NULL;
  for (size_t i = 0; i < runs && side && fine && own && reads_whole(s); i++)
    fine = (q->gram[i] = mem_block(side * side)) != NULL;
  if (crew_any(s->options.crew, !fine)) return run_refuse(why, bytes);
  return read_family(s, q, why);
}

int spread_runs(const Spread *q) {
  return q->s->neurons.method == COORDINATES ? 1 : q->s->neurons.replicates;
}

void spread_variances(const Spread *q, size_t steps, double *value, double *error, double *moves) {
  combine(q->s, q->var, steps, q->family.count, 0, value, error, moves);
}

/* In a run, the inner products of influences. */
bool spread_covariances(const Spread *x, const Spread *y, double *value, double *error,
                        double *moves) {
  const Recorded *s = x->s;
  size_t runs = recorded_count(s), n = x->side * y->side;
  double *parts = mem_block(runs * n);
  for (size_t i = 0; i < runs && parts; i++) {
    size_t size = influence_size(s, i);
    if (x == y && x->gram[i])
      memcpy(parts + i * n, x->gram[i], n * sizeof *parts);
    else
      count(s, i,
            mat_mul_bt(x->side, y->side, size, 1, x->kept[i], size, y->kept[i], size, 0,
                       parts + i * n, y->side));
  }
  if (parts) combine(s, parts, s->z.steps, n, y->side, value, error, moves);
  if (parts && x == y) run_symmetrize(x->side, error);
  free(parts);
  return parts != NULL;
}
