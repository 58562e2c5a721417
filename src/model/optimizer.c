/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/optimizer.h"
#include "base/memory.h"
#include "model/builtins.h"
#include "num/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- arguments ---- */

static bool wrong(Call *call, int i, const char *wanted) {
  eval_error(call->eval, call->places[i], NULL, "'%s' must be %s, not %s",
             call_argument_name(call, i), wanted, value_describe(call->args[i]));
  return false;
}

/* Positive and finite; of a vector of steps some may be 0. */
static bool positive(Eval *eval, Span span, const char *name, const Value *value) {
  bool vector = value->kind == VALUE_ARRAY;
  for (size_t k = 0, count = vector ? value->array->size : 1; k < count && value->known; k++) {
    double x = vector ? value->array->data[k] : value->number;
    if (isfinite(x) && (vector ? x >= 0 : x > 0)) continue;
    eval_error(eval, span, NULL,
               vector ? "'%s' must be finite and not negative, and one entry is %g"
                      : "'%s' must be positive and finite, not %g",
               name, x);
    return false;
  }
  return true;
}

static bool sound_eta(Call *call, int i) {
  const Value *value = call->args[i];
  if (eval_is_activation(value)) return true;
  if (value->kind != VALUE_NUMBER && !(value->kind == VALUE_ARRAY && value->array->rank == 1))
    return wrong(call, i, "a number, a vector of steps or a function of the step");
  return positive(call->eval, call->places[i], "eta", value);
}

static bool sound_dt(Call *call, int i) {
  if (call->args[i]->kind != VALUE_NUMBER) return wrong(call, i, "a number");
  return positive(call->eval, call->places[i], "dt", call->args[i]);
}

static bool sound_beta(Call *call, int i) {
  const Value *value = call->args[i];
  if (value->kind != VALUE_NUMBER) return wrong(call, i, "a number");
  if (!value->known || (value->number >= 0 && value->number < 1)) return true;
  eval_error(call->eval, call->places[i], NULL, "'%s' must be from 0 to below 1, not %g",
             call_argument_name(call, i), value->number);
  return false;
}

static bool sound_amount(Call *call, int i) {
  const Value *value = call->args[i];
  if (value->kind != VALUE_NUMBER) return wrong(call, i, "a number");
  if (!value->known || (isfinite(value->number) && value->number >= 0)) return true;
  eval_error(call->eval, call->places[i], NULL, "'%s' must be finite and not negative, not %g",
             call_argument_name(call, i), value->number);
  return false;
}

static bool whole(Call *call, int i, double least, double most) {
  double number;
  return !call->args[i]->known || call_whole(call, i, least, most, &number);
}

static bool sound_schedule(Call *call, int i) {
  const Value *value = call->args[i];
  bool sound = value->kind == VALUE_LIST || (value->kind == VALUE_ARRAY && value->array->rank == 2);
  return sound || wrong(call, i, "for each step a vector of points");
}

/* sgd(eta, schedule) is understood: lists of points are no size of a minibatch. */
static bool is_schedule(const Value *value) {
  return value->kind == VALUE_LIST || value->kind == VALUE_ARRAY;
}

/* A minibatch that is a part of a dataset that grows. */
static bool is_share(const Value *value) {
  return value->kind == VALUE_NUMBER && value->known && value->number > 0 && value->number < 1;
}

static bool sound(Call *call, int i) {
  const char *name = call_argument_name(call, i);
  if (call->args[i]->kind == VALUE_NONE) return true;
  if (strcmp(name, "eta") == 0) return sound_eta(call, i);
  if (strcmp(name, "dt") == 0) return sound_dt(call, i);
  if (strcmp(name, "other") == 0) return true; /* builtin_muon has looked */
  if (strncmp(name, "beta", 4) == 0) return sound_beta(call, i);
  if (strcmp(name, "exact") == 0 || strcmp(name, "fresh") == 0 || strcmp(name, "nesterov") == 0)
    return whole(call, i, 0, 1);
  if (strcmp(name, "eps") == 0 || strcmp(name, "weight_decay") == 0) return sound_amount(call, i);
  if (strcmp(name, "seed") == 0) return whole(call, i, 0, 9007199254740992.0);
  if (strcmp(name, "schedule") == 0 || is_schedule(call->args[i])) return sound_schedule(call, i);
  if (strcmp(name, "batch") == 0 && is_share(call->args[i])) return true;
  return whole(call, i, 1, 1e9);
}

static bool is_by_entries(OptimizerKind kind) {
  return kind == OPT_ADAM || kind == OPT_ADAMW || kind == OPT_RMSPROP || kind == OPT_SIGNUM ||
         kind == OPT_LION;
}

static Value *optimizer(Call *call, OptimizerKind kind) {
  bool fine = true;
  for (int i = 0; i < call->count; i++) fine &= sound(call, i);
  if (!fine) return call_broken(call);
  Value *value = value_new(&call->eval->heap, VALUE_OPTIMIZER);
  value->optimizer.kind = kind;
  return value;
}

Value *builtin_gd(Call *call) { return optimizer(call, OPT_GD); }
Value *builtin_flow(Call *call) { return optimizer(call, OPT_FLOW); }
Value *builtin_momentum(Call *call) { return optimizer(call, OPT_MOMENTUM); }
Value *builtin_nesterov(Call *call) { return optimizer(call, OPT_NESTEROV); }
Value *builtin_underdamped(Call *call) { return optimizer(call, OPT_UNDERDAMPED); }
Value *builtin_adam(Call *call) { return optimizer(call, OPT_ADAM); }
Value *builtin_adamw(Call *call) { return optimizer(call, OPT_ADAMW); }
Value *builtin_lion(Call *call) { return optimizer(call, OPT_LION); }
Value *builtin_normalized(Call *call) { return optimizer(call, OPT_NORMALIZED); }
Value *builtin_rmsprop(Call *call) { return optimizer(call, OPT_RMSPROP); }

/* Whether an argument of an optimizer says something: it is there, and not 0. */
static bool says(const Value *optimizer, const char *name) {
  const Value *value = optimizer_parameter(optimizer, name);
  if (!value || value->kind == VALUE_NONE) return false;
  return value->kind != VALUE_NUMBER || !value->known || value->number > 0;
}

Value *builtin_muon(Call *call) {
  const Value *other = call->args[2];
  OptimizerKind kind = other->kind == VALUE_OPTIMIZER ? other->optimizer.kind : OPT_MUON;
  if (kind != OPT_GD && !is_by_entries(kind))
    return eval_error(call->eval, call->places[2], "such as other = gd(eta = 0.1)",
                      "'other' must be gd, adam, rmsprop, signum or lion, not %s",
                      kind == OPT_MUON ? value_describe(other) : "another optimizer");
  if (says(other, "weight_decay"))
    return eval_error(call->eval, call->places[2], "adam, and the key weight_decay",
                      "weights decay alike under muon and 'other'");
  if (says(other, "batch"))
    return eval_error(call->eval, call->places[2], "muon(..., batch = 2)",
                      "muon and 'other' see the same minibatches");
  return optimizer(call, OPT_MUON);
}

/* Whether one of several optimizers can be that of a group of matrices. */
static bool suits_group(Call *call, int i, const Value *value, bool first) {
  OptimizerKind kind = value->kind == VALUE_OPTIMIZER ? value->optimizer.kind : OPT_GROUPS;
  const char *why = value->kind != VALUE_OPTIMIZER ? "groups move by optimizers"
                    : kind == OPT_GROUPS           ? "groups have no groups in them"
                    : kind == OPT_FLOW || kind == OPT_NORMALIZED
                        ? "gradient flow and normalized gradients are of all weights together"
                    : !first && (kind == OPT_SGD || kind == OPT_ONLINE || says(value, "batch"))
                        ? "all groups see the same minibatches: those of 'other'"
                        : NULL;
  if (why)
    eval_error(call->eval, call->places[i],
               "such as groups(adam(0.03), hidden = muon(0.1, 0.9, other = adam(0.03)))",
               "'%s': %s", call_argument_name(call, i), why);
  return !why;
}

Value *builtin_groups(Call *call) {
  bool fine = suits_group(call, 0, call->args[0], true);
  for (int i = 1; i <= ROLES && fine; i++)
    if (call->args[i]->kind != VALUE_NONE) fine = suits_group(call, i, call->args[i], false);
  const Value *layers = call->args[ROLES + 1];
  if (fine && layers->kind != VALUE_NONE && layers->kind != VALUE_LIST)
    fine = wrong(call, ROLES + 1, "a list of optimizers, one for each layer that has weights");
  for (int k = 0; fine && layers->kind == VALUE_LIST && k < layers->list.count; k++)
    fine = suits_group(call, ROLES + 1, layers->list.items[k], false);
  if (!fine) return call_broken(call);
  Value *value = value_new(&call->eval->heap, VALUE_OPTIMIZER);
  value->optimizer.kind = OPT_GROUPS;
  return value;
}

Value *builtin_signum(Call *call) { return optimizer(call, OPT_SIGNUM); }

Value *builtin_sgd(Call *call) {
  bool drawn = call->args[1]->kind != VALUE_NONE, given = call->args[3]->kind != VALUE_NONE;
  if (drawn == given)
    return eval_error(call->eval, call->span, "sgd(eta, batch = 2) or sgd(eta, schedule = ...)",
                      drawn ? "'schedule' takes the place of 'batch'"
                            : "sgd needs the size of its minibatches, or their schedule");
  return optimizer(call, OPT_SGD);
}

Value *builtin_online(Call *call) { return optimizer(call, OPT_ONLINE); }

/* ---- in a training ---- */

typedef struct Argument {
  Value *value; /* NULL: not given */
  Span span;
} Argument;

static Argument argument(const Optimizer *optimizer, const char *name) {
  const Signature *signature = optimizer->builtin->builtin.signature;
  for (int i = 0; i < signature->count; i++)
    if (strcmp(signature->list[i].name, name) == 0 && optimizer->args[i]->kind != VALUE_NONE)
      return (Argument){optimizer->args[i], optimizer->places[i]};
  return (Argument){NULL, {0}};
}

static Argument schedule_of(const Optimizer *optimizer) {
  Argument batch = argument(optimizer, "batch");
  return batch.value && is_schedule(batch.value) ? batch : argument(optimizer, "schedule");
}

static Argument batch_size(const Optimizer *optimizer) {
  Argument batch = argument(optimizer, "batch");
  return batch.value && is_schedule(batch.value) ? (Argument){NULL, {0}} : batch;
}

/* The value of an argument, 0 if there is none; not a number in a check that does not know it. */
static double number(const Optimizer *optimizer, const char *name) {
  const Value *value = argument(optimizer, name).value;
  return !value ? 0 : value->known ? value->number : NAN;
}

/* Whether no point comes twice. */
static bool is_fresh(const Optimizer *optimizer) {
  return optimizer->kind == OPT_ONLINE || number(optimizer, "fresh") > 0;
}

/* A function of the step and of their number, at this number of them: a function of the step. */
static Value *with_steps(Eval *eval, Value *eta, size_t steps) {
  const Ast *node = eta->kind == VALUE_FUNCTION     ? eta->function
                    : eta->kind == VALUE_ACTIVATION ? eta->activation.node
                                                    : NULL;
  Value **bound = eta->kind == VALUE_ACTIVATION ? eta->activation.bound : NULL;
  bool second = node && node->count > 2 && node->kid[1]->kind == AST_PARAM &&
                !node->kid[1]->count && !(bound && bound[0]);
  if (!second) return eta;
  Value *value = value_new(&eval->heap, VALUE_ACTIVATION);
  value->activation.name = mem_string(node->name);
  value->activation.node = node;
  value->activation.bound = mem_new((size_t)node->count, sizeof(Value *));
  value->activation.bound[0] = value_keep(value_number(&eval->heap, (double)steps));
  for (int i = 1; bound && i + 2 < node->count; i++)
    value->activation.bound[i] = value_keep(bound[i]);
  return value;
}

/* The learning rates as a number or a vector: a function is taken at the steps 0 .. T-1. NULL after
 * reporting. */
static const Value *rates(Eval *eval, const Optimizer *optimizer, size_t steps) {
  Value *eta = argument(optimizer, "eta").value;
  Span span = argument(optimizer, "eta").span;
  if (eval_is_activation(eta)) {
    const char *why = NULL;
    Array *t = array_range(0, (double)steps - 1, 1, &why);
    if (!t) return eval_fail(eval, STATUS_LIMIT, span, NULL, "%s", why), NULL;
    eta = eval_apply(eval, span, with_steps(eval, eta, steps), value_array(&eval->heap, t));
    if (eta->kind == VALUE_BROKEN) return NULL;
    bool numbers = eta->kind == VALUE_NUMBER || eta->kind == VALUE_ARRAY;
    if (!numbers && eta->kind != VALUE_UNKNOWN) {
      eval_error(eval, span, NULL, "'eta' must give a number for each step, not %s",
                 value_describe(eta));
      return NULL;
    }
    if (numbers && !positive(eval, span, "eta", eta)) return NULL;
  }
  if (eta->kind != VALUE_ARRAY || (eta->array->rank == 1 && eta->array->size == steps)) return eta;
  eval_error(eval, span, NULL, "'eta' has %zu entries for %zu steps", eta->array->size, steps);
  return NULL;
}

/* The points of the minibatch of a step: a row of an array, or an element of a list. */
typedef struct Batch {
  const double *points;
  size_t count;
} Batch;

static Batch batch_of(const Value *schedule, size_t t) {
  if (schedule->kind == VALUE_ARRAY) {
    size_t width = schedule->array->shape[1];
    return (Batch){schedule->array->data + t * width, width};
  }
  const Value *item = schedule->list.items[t];
  if (item->kind == VALUE_NUMBER) return (Batch){&item->number, 1};
  if (item->kind != VALUE_ARRAY || item->array->rank != 1) return (Batch){NULL, 0};
  return (Batch){item->array->data, item->array->size};
}

static bool check_schedule(Eval *eval, Argument given, size_t steps, size_t points) {
  const Value *schedule = given.value;
  Span span = given.span;
  bool array = schedule->kind == VALUE_ARRAY;
  size_t count = array ? schedule->array->shape[0] : (size_t)schedule->list.count;
  if (count != steps) {
    eval_error(eval, span, NULL, "'schedule' has %zu minibatches for %zu steps", count, steps);
    return false;
  }
  for (size_t t = 0; t < steps; t++) {
    Batch batch = batch_of(schedule, t);
    if (batch.count == 0) {
      eval_error(eval, span, "such as [[0, 1], [2], [0, 2]]",
                 "the minibatch of step %zu is not a vector of points", t);
      return false;
    }
    for (size_t i = 0; i < batch.count && schedule->known && points; i++) {
      double mu = batch.points[i];
      if (mu >= 0 && mu < (double)points && mu == floor(mu)) continue;
      eval_error(eval, span, "points count from 0", "step %zu trains on point %g of %zu", t, mu,
                 points);
      return false;
    }
  }
  return true;
}

static bool check_batch(Eval *eval, const Optimizer *optimizer, size_t steps, size_t points) {
  Argument batch = batch_size(optimizer);
  double size = batch.value->number, all = size * (double)steps;
  if (!batch.value->known || !points) return true;
  if (is_share(batch.value)) {
    eval_error(eval, batch.span, NULL,
               "a share of the points is for datasets that grow: "
               "here a minibatch has a whole number of them");
    return false;
  }
  if (is_fresh(optimizer) && all > (double)points) {
    eval_error(eval, batch.span, "such as inputs = gaussian(points = steps * batch, dim = ...)",
               "%zu steps on %g fresh points each need %g points, and the dataset has %zu", steps,
               size, all, points);
    return false;
  }
  if (size <= (double)points) return true;
  eval_error(eval, batch.span, NULL, "a minibatch of %g from %zu points", size, points);
  return false;
}

/* Optimizer i of the groups of one, in the order of its arguments; NULL past the last. *place is
 * the role that it is for, or ROLES plus the number of the layer. */
static const Value *group_at(const Optimizer *optimizer, int i, int *place) {
  for (int role = 0; role < ROLES; role++) {
    const Value *value = optimizer->args[1 + role];
    *place = role;
    if (value->kind != VALUE_NONE && i-- == 0) return value;
  }
  const Value *layers = optimizer->args[1 + ROLES];
  *place = ROLES + i;
  return layers->kind == VALUE_LIST && i < layers->list.count ? layers->list.items[i] : NULL;
}

bool optimizer_check(Eval *eval, const Optimizer *optimizer, size_t steps, size_t points) {
  if (optimizer->kind == OPT_GROUPS) {
    const Value *group = NULL;
    int place;
    bool fine = optimizer_check(eval, &optimizer->args[0]->optimizer, steps, points);
    for (int i = 0; fine && (group = group_at(optimizer, i, &place)); i++)
      fine = optimizer_check(eval, &group->optimizer, steps, points);
    return fine;
  }
  if (!rates(eval, optimizer, steps)) return false;
  const Value *other = argument(optimizer, "other").value;
  if (other && !rates(eval, &other->optimizer, steps)) return false;
  Argument schedule = schedule_of(optimizer), batch = batch_size(optimizer);
  if (schedule.value) return check_schedule(eval, schedule, steps, points);
  return !batch.value || check_batch(eval, optimizer, steps, points);
}

/* Random permutations of the points one after the other, cut into minibatches: the shares [T, P].
 */
static bool draw_batches(size_t batch, uint64_t seed, size_t steps, size_t points, double *share) {
  uint64_t epoch = 0;
  size_t left = 0;
  double *order = mem_block(points);
  if (!order) return false;
  for (size_t i = 0; i < steps * batch; i++) {
    if (left == 0) {
      random_permutation(seed, random_stream(RANDOM_BATCHES, epoch++, 0, 0), points, order);
      left = points;
    }
    share[i / batch * points + (size_t)order[--left]] += 1 / (double)batch;
  }
  free(order);
  return true;
}

/* Every point at most once, in the order of the dataset or, with a seed, in a random one. */
static bool fresh_batches(size_t batch, const Value *seed, size_t steps, size_t points,
                          double *share) {
  double *order = mem_block(points);
  if (!order) return false;
  for (size_t i = 0; i < points; i++) order[i] = (double)i;
  if (seed)
    random_permutation((uint64_t)seed->number, random_stream(RANDOM_FRESH, 0, 0, 0), points, order);
  for (size_t i = 0; i < steps * batch; i++)
    share[i / batch * points + (size_t)order[i]] += 1 / (double)batch;
  free(order);
  return true;
}

static void given_batches(const Value *schedule, size_t steps, size_t points, double *share) {
  for (size_t t = 0; t < steps; t++) {
    Batch batch = batch_of(schedule, t);
    for (size_t i = 0; i < batch.count; i++)
      share[t * points + (size_t)batch.points[i]] += 1 / (double)batch.count;
  }
}

/* The shares of the points in the minibatches; those of a check that does not know them are 0.
 * False when there is no memory for them. */
static bool fill_batches(const Optimizer *optimizer, Problem *problem) {
  size_t steps = (size_t)problem->steps, points = (size_t)problem->points;
  const Value *schedule = schedule_of(optimizer).value, *batch = batch_size(optimizer).value;
  if (!schedule && !batch) return true;
  problem->batch = mem_block(steps * points);
  if (!problem->batch) return false;
  double seed = number(optimizer, "seed");
  if (schedule && schedule->known) given_batches(schedule, steps, points, problem->batch);
  bool known = batch && batch->known && !isnan(seed);
  if (!known) return true;
  if (is_fresh(optimizer))
    return fresh_batches((size_t)batch->number, argument(optimizer, "seed").value, steps, points,
                         problem->batch);
  return draw_batches((size_t)batch->number, (uint64_t)seed, steps, points, problem->batch);
}

/* The numbers of an entrywise optimizer. False after reporting. */
static bool fill_entrywise(Eval *eval, const Optimizer *optimizer, Problem *problem) {
  if (!is_by_entries(optimizer->kind)) return true;
  problem->beta1 = number(optimizer, "beta1");
  problem->beta2 = number(optimizer, optimizer->kind == OPT_RMSPROP ? "beta" : "beta2");
  problem->eps = number(optimizer, "eps");
  double decay = number(optimizer, "weight_decay");
  if (decay > 0 && problem->decay > 0) {
    eval_error(eval, problem->training_span, "give it once, in the optimizer or as a key",
               "'weight_decay' is given twice");
    return false;
  }
  if (!(decay <= 0)) problem->decay = decay;
  return true;
}

static bool is_cold(Eval *eval, const Optimizer *optimizer, const Problem *problem) {
  if (!is_by_entries(optimizer->kind) && optimizer->kind != OPT_MUON) return true;
  if (problem->temperature > 0) {
    eval_error(eval, problem->training_span, "gd, or temperature = 0",
               "at a temperature weights move by their gradients: what other optimizers make "
               "of them has no Gibbs measure");
    return false;
  }
  return true;
}

/* The rates of every step, [T]; NULL when there is no memory for them. */
static double *rates_of(const Value *eta, size_t steps) {
  double *rate = mem_block(steps);
  for (size_t t = 0; t < steps && rate; t++)
    rate[t] = !eta->known ? NAN : eta->kind == VALUE_ARRAY ? eta->array->data[t] : eta->number;
  return rate;
}

Array *optimizer_rates(Eval *eval, const Optimizer *optimizer, size_t steps) {
  const Value *eta = rates(eval, optimizer, steps);
  double *rate = eta ? rates_of(eta, steps) : NULL;
  Array *array = rate ? array_new(1, &steps) : NULL;
  if (array) memcpy(array->data, rate, steps * sizeof *rate);
  if (eta && !array) eval_starve(eval, argument(optimizer, "eta").span);
  free(rate);
  return array;
}

/* What muon says of matrices between populations, and of others. False after reporting, or without
 * memory. */
static bool fill_muon(Eval *eval, const Optimizer *optimizer, Problem *problem) {
  const Optimizer *other = &argument(optimizer, "other").value->optimizer;
  const Value *eta = rates(eval, other, (size_t)problem->steps);
  if (!eta || !fill_entrywise(eval, other, problem)) return false;
  problem->other = other->kind;
  problem->other_eta = rates_of(eta, (size_t)problem->steps);
  problem->polar_eps = number(optimizer, "eps");
  problem->exact = number(optimizer, "exact") > 0 || problem->polar_eps > 0;
  return problem->other_eta;
}

/* Whether the numbers of all steps fit into the memory that is there, and into what a check may
 * compute; reports otherwise. */
static bool fits(Eval *eval, const Optimizer *optimizer, const Problem *problem) {
  bool batches = schedule_of(optimizer).value || batch_size(optimizer).value;
  double own = 1 + (batches ? problem->points : 0), steps = problem->steps;
  double results = 2 + 2 * (double)problem->points * problem->outputs; /* t, loss, f, delta */
  double bytes = steps * (own + results) * sizeof(double);
  if (mem_fits(bytes) && eval_affords(eval, steps * own)) return true;
  char *refusal = mem_refusal(bytes);
  eval_fail(eval, STATUS_LIMIT, problem->training_span, NULL, "%d steps: %s", problem->steps,
            refusal);
  free(refusal);
  return false;
}

/* The numbers of one group; false after reporting. */
static bool fill_group(Eval *eval, const Value *value, double decay, Problem *problem) {
  size_t count = (size_t)problem->group_count + 1;
  problem->groups = mem_grow(problem->groups, count * sizeof *problem->groups);
  Problem *group = &problem->groups[problem->group_count++];
  *group = (Problem){.steps = problem->steps,
                     .temperature = problem->temperature,
                     .decay = decay,
                     .ema = problem->ema,
                     .training_span = problem->training_span};
  return optimizer_fill(eval, &value->optimizer, group);
}

/* Which group the matrices of every layer are in; false after reporting. */
static bool assign_groups(Eval *eval, const Optimizer *optimizer, Problem *problem) {
  const Value *layers = optimizer->args[1 + ROLES];
  int weighty = 0, listed = layers->kind == VALUE_LIST ? layers->list.count : 0,
      first = problem->group_count - listed + 1, place;
  problem->group = mem_new((size_t)(problem->layer_count * ROLES) + 1, sizeof *problem->group);
  for (int l = 0; l < problem->layer_count; l++) {
    bool weighs = problem->layers[l].matrix_count > 0;
    int own = listed && weighs ? first + weighty : 0;
    for (int role = 0; role < ROLES; role++) problem->group[l * ROLES + role] = own;
    for (int i = 0; group_at(optimizer, i, &place) && place < ROLES; i++)
      problem->group[l * ROLES + place] = i + 1;
    weighty += weighs;
  }
  if (!listed || listed == weighty) return true;
  eval_error(eval, optimizer->places[1 + ROLES], NULL,
             "'layers' has %d optimizers for %d layers with weights", listed, weighty);
  return false;
}

static bool fill_groups(Eval *eval, const Optimizer *optimizer, Problem *problem) {
  double decay = problem->decay;
  const Value *group;
  int place;
  bool fine = optimizer_fill(eval, &optimizer->args[0]->optimizer, problem);
  for (int i = 0; fine && (group = group_at(optimizer, i, &place)); i++)
    fine = fill_group(eval, group, decay, problem);
  return fine && assign_groups(eval, optimizer, problem);
}

bool optimizer_fill(Eval *eval, const Optimizer *optimizer, Problem *problem) {
  if (optimizer->kind == OPT_GROUPS) return fill_groups(eval, optimizer, problem);
  if (!fits(eval, optimizer, problem)) return false;
  size_t steps = (size_t)problem->steps, points = (size_t)problem->points;
  if (!optimizer_check(eval, optimizer, steps, points)) return false;
  const Value *eta = rates(eval, optimizer, steps);
  problem->optimizer = optimizer->kind;
  problem->dt = number(optimizer, "dt");
  problem->beta = number(optimizer, "beta");
  problem->nesterov = number(optimizer, "nesterov") > 0;
  if (is_by_entries(optimizer->kind)) problem->beta = 0;
  if (!is_cold(eval, optimizer, problem) || !fill_entrywise(eval, optimizer, problem)) return false;
  if (optimizer->kind == OPT_MUON && !fill_muon(eval, optimizer, problem)) return false;
  problem->eta = rates_of(eta, steps);
  if (!problem->eta || !fill_batches(optimizer, problem)) {
    eval_starve(eval, problem->training_span);
    return false;
  }
  return true;
}
