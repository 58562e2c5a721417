/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/numbers.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>

/* ---- covariances of two fields ---- */

FieldId numbers_variances(NoiseField field) {
  return field_that_is(KIND_VARIANCE, (FieldId)field.id);
}

/* The families of two fields; whether they are the same. */
static bool families_of(const Recorded *s, const NoiseField pair[2], Family of[2]) {
  for (int i = 0; i < 2; i++) of[i] = family_of(s, numbers_variances(pair[i]), pair[i].layer, true);
  return of[0].id == of[1].id && of[0].layer == of[1].layer;
}

Status numbers_covary(Recorded *s, const NoiseField pair[2], double *value, double *error,
                      char **why) {
  Spread x = {.s = s}, y = {.s = s};
  Family of[2];
  bool same = families_of(s, pair, of);
  Status status = spread_read(&x, s, of[0], of[0].count, same, why);
  if (status == STATUS_OK && !same) status = spread_read(&y, s, of[1], of[1].count, false, why);
  if (status == STATUS_OK && !spread_covariances(&x, same ? &x : &y, value, error, NULL))
    status = run_refuse(why, spread_bytes(&x, of[1].count));
  spread_free(&x);
  spread_free(&y);
  return status;
}

size_t numbers_pairs(const Recorded *s, const NoiseField pair[2]) {
  Family of[2];
  families_of(s, pair, of);
  return of[0].count * of[1].count;
}

double numbers_pair_bytes(const Recorded *s, const NoiseField pair[2]) {
  Family of[2];
  bool same = families_of(s, pair, of);
  Spread x = {.s = s, .family = of[0], .side = of[0].count},
         y = {.s = s, .family = of[1], .side = of[1].count};
  return spread_bytes(&x, y.side) + (same ? 0 : spread_bytes(&y, 0));
}

/* ---- functions of fields ---- */

/* An entry of a table of a run at one time, or between two. */
typedef struct Spot {
  int variable;
  size_t t, s, row, col;
} Spot;

/* Where an entry of a field, in the order of its axes, is made. */
static Spot spot_of(const Recorded *s, const Slope *slope) {
  const ProgramObservable *o = program_observable(s->complete, slope->field.id, slope->field.layer);
  size_t cols = (size_t)s->complete->variables[o->variable].cols, R = s->z.all, i = slope->entry;
  if (field_is_late((FieldId)slope->field.id)) { /* [t, a, s, b] */
    size_t n = s->z.steps * R, first = i / n, second = i % n;
    return (Spot){o->variable, first / R, second / R, first % R, second % R};
  }
  size_t per_step = (size_t)o->rows * cols, k = i % per_step;
  return (Spot){o->variable, i / per_step, i / per_step, (size_t)o->first + k / cols, k % cols};
}

/* Tables between two times, which a run did not make. */
typedef struct Between {
  Spot spot;
  View table;
} Between;
typedef struct Betweens {
  Between *list;
  size_t count;
} Betweens;

/* <x(t) y(s)> as the program makes <x(t) y(t)>. */
static View between(Machine *m, Betweens *made, Spot spot) {
  for (size_t i = made->count; i-- > 0;) {
    const Spot *own = &made->list[i].spot;
    if (own->variable == spot.variable && own->t == spot.t && own->s == spot.s)
      return made->list[i].table;
  }
  const Op *op = m->p->ops;
  while (op->kind != OP_MOMENT || op->dst != spot.variable) op++;
  View like = recorded_value(m, spot.variable, 0),
       table = tape_keep(m->tape, tape_table(m->tape, like.rows, like.cols, false));
  if (!tape_failed(m->tape))
    tape_average(m->tape, table, 1, recorded_value(m, op->src[0], spot.t),
                 recorded_value(m, op->src[1], spot.s), (size_t)op->group);
  made->list = mem_grow(made->list, (made->count + 1) * sizeof *made->list);
  made->list[made->count++] = (Between){spot, table};
  return table;
}

/* The seeds of n numbers in one run, and of what may be wrong about them. */
static bool add_sums(Recorded *s, size_t run, const Slopes *of, size_t n, Sums *sums) {
  size_t R = (size_t)s->neurons.replicates;
  Machine *m = &s->run[run / R][run % R];
  Betweens made = {NULL, 0};
  Seed *seed = sums->seeds[run] = mem_new(sums->first[2 * n] + 1, sizeof *seed);
  for (size_t i = 0; i < 2 * n; i++)
    for (size_t k = 0; k < of[i % n].count; k++) {
      const Slope *slope = &of[i % n].list[k];
      Spot spot = spot_of(s, slope);
      View table =
          spot.t == spot.s ? recorded_value(m, spot.variable, spot.t) : between(m, &made, spot);
      *seed++ = (Seed){table, spot.row, spot.col, i < n ? slope->slope : slope->doubt};
    }
  sums->mark[run] = tape_mark(m->tape);
  free(made.list);
  return !tape_failed(m->tape);
}

/* The variances [n] of numbers and their errors from those [2 n] of the same, and of what may be
 * wrong with them. */
void numbers_judge(size_t n, const double *both, double *value, double *error) {
  for (size_t i = 0; i < n; i++) {
    value[i] = both[i];
    error[i] = hypot(both[2 * n + i], 2 * sqrt(fabs(both[i] * both[n + i])));
  }
}

/* N Var of n numbers by `sums`, which are twice as many. */
static Status vary(Recorded *s, const Sums *sums, size_t n, double *value, double *error,
                   char **why) {
  Spread q;
  double *both = mem_block(4 * n);
  Status status = spread_read(&q, s, (Family){.count = 2 * n, .sums = sums}, 0, true, why);
  if (status == STATUS_OK && !both) status = run_refuse(why, spread_bytes(&q, 0));
  if (status == STATUS_OK) spread_variances(&q, 1, both, both + 2 * n, NULL);
  if (status == STATUS_OK) numbers_judge(n, both, value, error);
  spread_free(&q);
  free(both);
  return status;
}

Status numbers_vary(Recorded *s, const Slopes *of, size_t n, double *value, double *error,
                    char **why) {
  Sums sums = {.first = mem_new(2 * n + 1, sizeof(size_t)), .key = slopes_key(1, of, n)};
  Status status = STATUS_OK;
  bool fine = true;
  for (size_t i = 0; i < 2 * n; i++) sums.first[i + 1] = sums.first[i] + of[i % n].count;
  for (size_t run = 0; run < recorded_count(s) && fine; run++)
    if (recorded_makes(s, run)) fine = add_sums(s, run, of, n, &sums);
  if (crew_any(s->options.crew, !fine)) status = run_refuse(why, recorded_bytes(s));
  if (status == STATUS_OK) status = vary(s, &sums, n, value, error, why);
  for (size_t run = 0; run < MOST_RECORDS; run++) free(sums.seeds[run]);
  free(sums.first);
  return status;
}

double numbers_bytes(const Recorded *s, size_t n) {
  Spread q = {.s = s, .family = {.count = 2 * n}};
  return spread_bytes(&q, 0);
}
