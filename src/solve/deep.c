/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The limit of infinite depth. Layers whose branches are of size 1/sqrt(L) or 1/L make a process in
 * continuous depth, of which L of them are a discretisation: fields differ from their limit by a
 * series in 1/L. From depths L, 2L, 4L, ... it is extrapolated to 1/L = 0 by a polynomial through
 * the last of them. Extrapolation multiplies what samples do at random: sampled fields take the
 * last two depths, with the difference to three as the error of the extrapolation; those without
 * sampling error take all depths, with the difference to all but the first. */
#include "base/memory.h"
#include "solve/observe.h"
#include "solve/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_DEPTHS = 6, SAMPLED = 2 };

/* By how much an extrapolation 2 x - y multiplies independent errors of one size. */
static const double AMPLIFIES = 2.2360679774997896;

typedef struct Deep {
  const Program *program[MOST_DEPTHS];
  Result *result[MOST_DEPTHS];
  int count;
} Deep;

/* The weights of the values at the last `used` depths at 1/L = 0 of the polynomial through them. */
static void weights_of(int count, int used, double *weight) {
  for (int j = 0; j < count; j++) {
    weight[j] = j < count - used ? 0 : 1;
    for (int i = count - used; i < count && weight[j] != 0; i++)
      if (i != j) weight[j] *= 1 / (1 - pow(2, i - j));
  }
}

/* One field at all depths. */
typedef struct Layers {
  const ResultField *at[MOST_DEPTHS];
  int count;
  double value[MOST_DEPTHS], rest[MOST_DEPTHS]; /* weights of the value, and of what it is off by */
} Layers;

/* Whether the field is there at all depths, with one shape. */
static bool find(const Deep *d, const ResultField *field, Layers *layers) {
  layers->count = d->count;
  for (int k = 0; k < d->count; k++) {
    const ResultField *own = layers->at[k] = result_find(d->result[k], field->name, field->layer);
    if (!own || !own->value || !array_same_shape(own->value, field->value)) return false;
  }
  return true;
}

static double error_of(const ResultField *field, size_t i) {
  return field->error ? field->error->data[i] : 0;
}

static bool is_sampled(const Layers *layers) {
  double most = 0;
  for (int k = 0; k < layers->count; k++)
    for (size_t i = 0; i < layers->at[k]->value->size; i++)
      most = fmax(most, error_of(layers->at[k], i));
  return most > 0;
}

static void weigh(Layers *layers) {
  bool sampled = is_sampled(layers);
  int n = layers->count;
  double other[MOST_DEPTHS];
  weights_of(n, sampled ? SAMPLED : n, layers->value);
  weights_of(n, sampled ? SAMPLED + 1 : n - 1, other);
  for (int k = 0; k < n; k++) layers->rest[k] = other[k] - layers->value[k];
}

/* sum_k weight_k times the value, or with `errors` the root of the sum of squares. */
static double sum(const Layers *layers, const double *weight, size_t i, bool errors) {
  double total = 0;
  for (int k = 0; k < layers->count; k++)
    total += errors ? pow(weight[k] * error_of(layers->at[k], i), 2)
                    : weight[k] * layers->at[k]->value->data[i];
  return errors ? sqrt(total) : total;
}

/* What the value may be off by, less what its own noise makes of that. */
static double off_by(const Layers *layers, size_t i) {
  double rest = sum(layers, layers->rest, i, false), noise = sum(layers, layers->rest, i, true);
  return fabs(rest) > noise ? copysign(sqrt(rest * rest - noise * noise), rest) : 0;
}

/* Directions of all depths, which have nothing to do with each other, and the rest. */
static Scatter *scatter_of(const Layers *layers, const Array *like) {
  Scatter *scatter = scatter_new();
  for (int k = 0; k <= layers->count; k++) {
    const Scatter *own = k < layers->count ? layers->at[k]->scatter : NULL;
    int count = k == layers->count ? 1 : layers->value[k] != 0 && own ? own->count : 0;
    for (int j = 0; j < count; j++) {
      Array *move = array_new(like->rank, like->shape);
      for (size_t i = 0; move && i < like->size; i++)
        move->data[i] = own ? layers->value[k] * own->list[j].move->data[i] : off_by(layers, i);
      if (!move) return scatter_drop(scatter), NULL;
      uint64_t id = scatter_id("depth", own ? own->list[j].id : 0, layers->count, k);
      scatter_add(scatter, id, own ? own->list[j].weight : 1, move);
    }
  }
  return scatter;
}

static bool add(Result *result, Layers *layers) {
  const ResultField *like = layers->at[layers->count - 1];
  Array *value = array_new(like->value->rank, like->value->shape),
        *error = array_new(like->value->rank, like->value->shape);
  weigh(layers);
  for (size_t i = 0; value && error && i < value->size; i++) {
    value->data[i] = sum(layers, layers->value, i, false);
    error->data[i] = hypot(sum(layers, layers->value, i, true), off_by(layers, i));
  }
  bool kept = value && value->size <= SCATTER_LARGEST, fine = value && error;
  if (!fine) {
    array_drop(value);
    array_drop(error);
    return false;
  }
  ResultField *field =
      result_add(result, like->name, like->layer, like->axes, like->about, value, error);
  if (kept) field->scatter = scatter_of(layers, value);
  return !kept || field->scatter;
}

/* Whether f moves less from depth to depth, as far as its errors at the first of them tell: those
 * beyond do not grow either. */
static bool settles(const Deep *d, double move[2]) {
  static const double falls = 0.75, noise = 4;
  Layers f;
  double doubt = 0;
  move[0] = move[1] = 0;
  if (d->count < 3 || !find(d, result_find(d->result[0], field_row(FIELD_F)->name, 0), &f))
    return true;
  const ResultField *const *last = f.at + d->count - 3;
  for (size_t i = 0; i < last[0]->value->size; i++) {
    for (int k = 0; k < 2; k++)
      move[k] = fmax(move[k], fabs(last[k + 1]->value->data[i] - last[k]->value->data[i]));
    doubt = fmax(doubt, hypot(error_of(last[0], i), error_of(last[1], i)));
  }
  return move[1] <= falls * move[0] + noise * doubt;
}

static Status refuse(const Deep *d, const double move[2], char **why) {
  int last = d->program[d->count - 1]->problem->depth;
  *why =
      mem_format("f does not settle with the depth: it moves by %.2g from depth %d to %d, and by "
                 "%.2g to %d; layers without end need branches of 1/sqrt(depth) or 1/depth",
                 move[0], last / 4, last / 2, move[1], last);
  return STATUS_NUMERICS;
}

static void note(const Deep *d, double error, Result *result) {
  static const char *const own[] = {"seconds", "flops", "rank", "tol", "parts", "error"};
  const Result *last = d->result[d->count - 1];
  char *depths = mem_string("");
  double seconds = 0;
  for (int k = 0; k < d->count; k++) {
    mem_append(&depths, "%s%d", k ? ", " : "", d->program[k]->problem->depth);
    seconds += result_number(d->result[k], own[0], 0);
  }
  for (int i = 0; i < last->attribute_count; i++) {
    bool mine = false;
    for (size_t k = 0; k < sizeof own / sizeof *own; k++)
      mine = mine || strcmp(own[k], last->attributes[i].name) == 0;
    if (!mine) result_note(result, last->attributes[i].name, "%s", last->attributes[i].value);
  }
  result_note(result, "depths", "%s", depths);
  if (error > 0) result_note(result, "error", "%.17g", error);
  result_note(result, own[0], "%.6g", seconds);
  free(depths);
}

/* Fields with layers have other ones at every depth. */
static Status extrapolate(const Deep *d, double error, Result **result, char **why) {
  const Result *last = d->result[d->count - 1];
  Result *limit = result_new("dmft");
  bool fine = true;
  for (int i = 0; i < last->field_count && fine; i++) {
    const ResultField *field = &last->fields[i];
    Layers layers;
    if (field->layer || !field->value || !find(d, field, &layers)) continue;
    if (strcmp(field->name, field_row(FIELD_T)->name) == 0)
      fine = result_add(limit, field->name, 0, field->axes, field->about, array_keep(field->value),
                        NULL);
    else
      fine = add(limit, &layers);
  }
  note(d, error, limit);
  if (fine) {
    *result = limit;
    return STATUS_OK;
  }
  result_drop(limit);
  *why = mem_string("out of memory");
  return STATUS_LIMIT;
}

Status solve_deep(Program *program, const SolveOptions *options, Result **result, char **why) {
  Deep d = {.count = 0};
  SolveOptions own = *options;
  Status status = STATUS_OK;
  double move[2];
  own.partial = false;
  own.error = options->error / AMPLIFIES;
  *result = NULL;
  for (Program *p = program; p && status == STATUS_OK && d.count < MOST_DEPTHS; p = p->deeper) {
    d.program[d.count] = p;
    status = solve_dmft(p, &own, &d.result[d.count], why);
    if (status == STATUS_OK)
      d.count++;
    else if (*why && status != STATUS_INTERRUPTED) {
      char *text = mem_format("at depth %d: %s", p->problem->depth, *why);
      free(*why);
      *why = text;
    }
  }
  if (status == STATUS_OK)
    status =
        settles(&d, move) ? extrapolate(&d, options->error, result, why) : refuse(&d, move, why);
  for (int k = 0; k < d.count; k++) result_drop(d.result[k]);
  return status;
}
