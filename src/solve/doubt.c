/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/doubt.h"
#include "base/memory.h"
#include "solve/run.h"

#include <math.h>
#include <stdlib.h>

Grouping grouping_of_times(size_t steps, size_t entries) {
  return (Grouping){
      .outer = steps, .outer_stride = entries, .inner = 1, .rows = 1, .columns = entries};
}

Grouping grouping_of_pairs(size_t steps, size_t points) {
  size_t row = steps * points;
  return (Grouping){.outer = steps,
                    .outer_stride = points * row,
                    .inner = steps,
                    .inner_stride = points,
                    .rows = points,
                    .row_stride = row,
                    .columns = points};
}

/* The squares of what may be wrong with an entry. Noise is what the scatter of the bias itself
 * makes of nothing, tails what heavy averages may be off by. */
enum { SCATTER, BIAS, NOISE, TAILS, PARTS };
typedef struct Parts {
  double of[PARTS];
} Parts;

typedef struct Doubt {
  const Replicates *replicates;
  Derivation *derivation;
  const void *context;
  size_t m;
  double *mean, *shift;         /* [n]: of the replicates; what they are off by */
  double *at, *direction, *out; /* [n], [n], [m]: workspace */
  double *value;                /* [m] */
  double *moves;                /* [doubt_moves, m], or NULL */
  Parts *parts;                 /* [m] */
} Doubt;

int doubt_moves(const Replicates *r) { return r->count + (r->leans ? 2 : 1); }

static double off_by(const Replicates *r, int j, size_t i) {
  return r->share * (r->fine[j][i] - r->coarse[j][i]);
}

/* The variance of a mean over n, from the squares of deviations. */
static double of_mean(double squares, int n) { return n > 1 ? squares / (n * (n - 1.0)) : 0; }

static double leans_by(const Replicates *r, int j, size_t i) {
  return r->lean[j][i] - r->fine[j][i];
}

double doubt_tails(const Replicates *r, size_t i) {
  double squares = 0;
  for (int j = 0; j < r->leans; j++) squares += pow(leans_by(r, j, i), 2) / r->leans;
  return sqrt(squares);
}

/* Entry i as it was measured. */
static Parts parts_of(const Replicates *r, size_t i, double *mean, double *shift) {
  double scatter = 0, noise = 0;
  *mean = *shift = 0;
  for (int j = 0; j < r->count; j++) *mean += r->fine[j][i] / r->count;
  for (int j = 0; j < r->count; j++) {
    double x = r->fine[j][i] - *mean;
    scatter += x * x;
  }
  for (int j = 0; j < r->companions; j++) *shift += off_by(r, j, i) / r->companions;
  for (int j = 0; j < r->companions; j++) {
    double x = off_by(r, j, i) - *shift;
    noise += x * x;
  }
  return (Parts){{of_mean(scatter, r->count), *shift * *shift, of_mean(noise, r->companions),
                  pow(doubt_tails(r, i), 2)}};
}

/* ---- derived entries ---- */

/* How much farther than the error a derivation is taken: a kink that lies at a distance of one or
 * two errors is then seen by some of the few directions. */
static const double REACH = 2;

/* Adds to a part weight * (change of the value when the mean moves by `direction`)^2, the mean over
 * both signs; `move` takes what of it changes sign, or is NULL. */
static void respond(Doubt *d, const double *direction, double weight, int which, double *move) {
  for (int side = -1; side <= 1; side += 2) {
    for (size_t i = 0; i < d->replicates->n; i++)
      d->at[i] = d->mean[i] + side * REACH * direction[i];
    d->derivation(d->context, d->at, d->out);
    for (size_t i = 0; i < d->m; i++) {
      double change = (d->out[i] - d->value[i]) / REACH;
      d->parts[i].of[which] += 0.5 * weight * change * change;
      if (move) move[i] += side * change / 2;
    }
  }
}

static double *moves_of(const Doubt *d, int j) {
  return d->moves ? d->moves + (size_t)j * d->m : NULL;
}

/* Each replicate is a direction, (x_j - mean) / sqrt(count - 1): their mean square is the variance
 * of the mean. */
static void derive(Doubt *d) {
  const Replicates *r = d->replicates;
  for (size_t i = 0; i < r->n; i++) parts_of(r, i, &d->mean[i], &d->shift[i]);
  d->derivation(d->context, d->mean, d->value);
  for (int j = 0; j < r->count && r->count > 1; j++) {
    double scale = 1 / sqrt(r->count - 1.0);
    for (size_t i = 0; i < r->n; i++) d->direction[i] = scale * (r->fine[j][i] - d->mean[i]);
    respond(d, d->direction, 1.0 / r->count, SCATTER, moves_of(d, j));
  }
  for (int j = 0; j < r->companions && r->companions > 1; j++) {
    double scale = 1 / sqrt(r->companions - 1.0);
    for (size_t i = 0; i < r->n; i++) d->direction[i] = scale * (off_by(r, j, i) - d->shift[i]);
    respond(d, d->direction, 1.0 / r->companions, NOISE, NULL);
  }
  if (r->companions) respond(d, d->shift, 1, BIAS, moves_of(d, r->count));
  for (int j = 0; j < r->leans; j++) {
    for (size_t i = 0; i < r->n; i++) d->direction[i] = leans_by(r, j, i);
    respond(d, d->direction, 1.0 / r->leans, TAILS, j ? NULL : moves_of(d, r->count + 1));
  }
}

/* ---- groups ---- */

/* The moves of entry i as it was measured. */
static void move_entry(const Doubt *d, size_t i, double mean, double shift) {
  const Replicates *r = d->replicates;
  if (!d->moves) return;
  for (int j = 0; j < r->count && r->count > 1; j++)
    d->moves[(size_t)j * d->m + i] = (r->fine[j][i] - mean) / sqrt(r->count - 1.0);
  d->moves[(size_t)r->count * d->m + i] = shift;
  if (r->leans) d->moves[(size_t)(r->count + 1) * d->m + i] = leans_by(r, 0, i);
}

/* How many times its mean square under noise alone is taken off a squared bias: at once, what is no
 * bias would add a fifth of the variance on the average; at twice, a tenth, and what stays hidden
 * is below the scatter. */
static const double CHANCE = 2;

/* Few replicates agree by chance now and then: the variance of an entry is averaged with the mean
 * over its group. So is its bias, of which the share is taken that the group has beyond noise. */
static void combine_group(const Doubt *d, const Grouping *g, size_t base, Parts *parts,
                          double *error) {
  const Replicates *r = d->replicates;
  double student = run_student(r->count), wider = student * student, shift;
  double count = (double)(g->rows * g->columns);
  Parts mean = {0}, *now = parts;
  for (size_t a = 0; a < g->rows; a++)
    for (size_t b = 0; b < g->columns; b++, now++) {
      size_t i = base + a * g->row_stride + b;
      if (d->derivation)
        *now = d->parts[i];
      else
        *now = parts_of(r, i, &d->value[i], &shift), move_entry(d, i, d->value[i], shift);
      for (int k = 0; k < PARTS; k++) mean.of[k] += now->of[k] / count;
    }
  double beyond = mean.of[BIAS] - CHANCE * mean.of[NOISE],
         real = beyond > 0 ? beyond / mean.of[BIAS] : 0;
  now = parts;
  for (size_t a = 0; a < g->rows; a++)
    for (size_t b = 0; b < g->columns; b++, now++) {
      size_t i = base + a * g->row_stride + b;
      double square = (wider * (now->of[SCATTER] + mean.of[SCATTER]) +
                       real * (now->of[BIAS] + mean.of[BIAS])) /
                      2,
             more = now->of[TAILS];
      error[i] = sqrt(square + more);
      if (d->moves) d->moves[(size_t)r->count * d->m + i] *= sqrt(real);
      double *tails = d->moves && r->leans ? d->moves + (size_t)(r->count + 1) * d->m + i : NULL;
      if (tails) *tails = copysign(sqrt(more), *tails);
    }
}

bool doubt(const Replicates *replicates, Derivation *derivation, const void *context, size_t m,
           const Grouping *grouping, double *value, double *error, double *moves) {
  size_t n = derivation ? replicates->n : 0, group = grouping->rows * grouping->columns;
  double *block = mem_block(4 * n + m);
  Doubt d = {.replicates = replicates,
             .derivation = derivation,
             .context = context,
             .m = m,
             .mean = block,
             .shift = block + n,
             .at = block + 2 * n,
             .direction = block + 3 * n,
             .out = block + 4 * n,
             .value = value,
             .moves = moves,
             .parts = derivation ? mem_try(m, sizeof(Parts)) : NULL};
  Parts *parts = mem_try(group, sizeof *parts);
  bool fine = block && parts && (d.parts || !derivation);
  if (fine && derivation) derive(&d);
  for (size_t i = 0; fine && i < grouping->outer; i++)
    for (size_t k = 0; k < grouping->inner; k++)
      combine_group(&d, grouping, i * grouping->outer_stride + k * grouping->inner_stride, parts,
                    error);
  free(block);
  free(d.parts);
  free(parts);
  return fine;
}
