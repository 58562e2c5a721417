/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/build.h"
#include "base/memory.h"
#include "model/data.h"
#include "model/declare.h"
#include "model/forward.h"
#include "model/optimizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const law_names[LAWS + 1] = {"normal", "uniform", "sign", "orthogonal"};

int grid_size(Grid grid) { return grid.height * grid.width; }

Grid grid_strided(Grid grid, int stride) {
  Grid out = grid;
  if (grid.plane) out.height = (grid.height + stride - 1) / stride;
  out.width = (grid.width + stride - 1) / stride;
  return out;
}

Grid grid_pooled(Grid grid, int window, int stride) {
  Grid out = grid;
  if (grid.plane) out.height = grid.height < window ? 0 : (grid.height - window) / stride + 1;
  out.width = grid.width < window ? 0 : (grid.width - window) / stride + 1;
  return out;
}

/* Those of inputs [points, D], [points, positions, channels] or [points, height, width, channels].
 */
static Grid grid_of_inputs(const Array *inputs) {
  if (inputs->rank == 3) return (Grid){1, (int)inputs->shape[1], false};
  if (inputs->rank == 4) return (Grid){(int)inputs->shape[1], (int)inputs->shape[2], true};
  return (Grid){1, 1, false};
}

void layer_clear(Layer *layer) {
  for (int k = 0; k < layer->matrix_count; k++) {
    free(layer->matrices[k].name);
    array_drop(layer->matrices[k].scales);
  }
  for (int i = 0; i < layer->step_count; i++) array_drop(layer->steps[i].table);
  free(layer->matrices);
  free(layer->steps);
  *layer = (Layer){0};
}

void layers_free(Layer *layers, int count) {
  for (int i = 0; layers && i < count; i++) layer_clear(&layers[i]);
  free(layers);
}

int layer_matrix(Layer *layer, LayerMatrix matrix) {
  size_t count = (size_t)layer->matrix_count + 1;
  layer->matrices = mem_grow(layer->matrices, count * sizeof *layer->matrices);
  layer->matrices[layer->matrix_count] = matrix;
  return layer->matrix_count++;
}

int layer_step(Layer *layer, LayerStep step) {
  layer->steps = mem_grow(layer->steps, (size_t)(layer->step_count + 1) * sizeof *layer->steps);
  layer->steps[layer->step_count++] = step;
  return layer->step_count;
}

/* Whether a step is made of two variables, `source` and `other`. */
static bool step_joins(const LayerStep *step) {
  return (step->kind == STEP_AVERAGE && step->other >= 0) || step->kind == STEP_GRAM ||
         step->kind == STEP_BLEND;
}

/* Whether a step is made of this variable. */
static bool reads(const LayerStep *step, int variable) {
  if (step->kind == STEP_MAP) return expr_depends(step->expr, variable);
  if (step->kind == STEP_BIAS || step->kind == STEP_TABLE) return false;
  return step->source == variable || (step_joins(step) && step->other == variable);
}

bool *layer_needs(const Layer *layer) {
  bool *needed = mem_new((size_t)layer->step_count + 1, sizeof *needed);
  if (layer->result > 0) needed[layer->result - 1] = true;
  for (int i = layer->step_count - 1; i >= 0; i--) {
    const LayerStep *step = &layer->steps[i];
    if (!needed[i]) continue;
    for (int v = 1; v <= i; v++) needed[v - 1] = needed[v - 1] || reads(step, v);
  }
  return needed;
}

void problem_free(Problem *problem) {
  if (!problem) return;
  for (int k = 0; k < problem->group_count; k++) {
    free(problem->groups[k].eta);
    free(problem->groups[k].other_eta);
  }
  free(problem->groups);
  free(problem->group);
  array_drop(problem->gram);
  array_drop(problem->vectors);
  array_drop(problem->inputs);
  array_drop(problem->targets);
  array_drop(problem->test_targets);
  layers_free(problem->layers, problem->layer_count);
  free(problem->eta);
  free(problem->batch);
  free(problem->other_eta);
  free(problem->model_name);
  free(problem->training_name);
  free(problem->dataset_name);
  free(problem);
}

static Parameterization parameterization_of(const char *word) {
  if (strcmp(word, "ntk") == 0) return PARAM_NTK;
  return strcmp(word, "standard") == 0 ? PARAM_STANDARD : PARAM_MUP;
}

static Rule rule_of(const Value *word) {
  static const char *const names[] = {[RULE_FEEDBACK_ALIGNMENT] = "feedback_alignment",
                                      [RULE_DIRECT_FEEDBACK_ALIGNMENT] =
                                          "direct_feedback_alignment",
                                      [RULE_HEBB] = "hebb"};
  for (int rule = RULE_FEEDBACK_ALIGNMENT; rule <= RULE_HEBB; rule++)
    if (word->kind == VALUE_STRING && strcmp(word->string, names[rule]) == 0) return (Rule)rule;
  return RULE_BACKPROP;
}

/* A number, or a harmless one in a check that does not know it. */
static double number_of(const Value *value) {
  return value && value->kind == VALUE_NUMBER && value->known ? value->number : 1;
}

/* A number that is only calculated with: not a number in a check that does not know it. */
static double number_or_nan(const Value *value) {
  bool unknown = value && value->kind == VALUE_NUMBER && !value->known;
  return unknown ? NAN : number_of(value);
}

/* That of a key without a default: 0 where it is not given. */
static double amount_or_none(const Value *value) { return value ? number_or_nan(value) : 0; }

/* Whether there are neurons, and a mean of the readout's weights goes with the parameterization;
 * reports otherwise. */
static bool is_network(Eval *eval, const Layer *layers, int count, Parameterization units) {
  const Layer *readout = &layers[count - 1];
  double mean = readout->matrices[0].mean;
  bool neurons = false;
  for (int i = 0; i + 1 < count; i++) neurons |= layers[i].matrix_count > 0;
  if (!neurons) {
    eval_error(eval, readout->span, "input -> dense(tanh) -> readout",
               "the chain needs at least one dense layer, but for data that grow");
    return false;
  }
  if (readout->matrices[0].tied && units == PARAM_STANDARD) {
    eval_error(eval, readout->span, "parameterization = mup",
               "in the standard parameterization weights on the inputs and those of the readout "
               "start with different variances, and are not the same");
    return false;
  }
  if (!(fabs(mean) > 0) || units != PARAM_STANDARD) return true;
  eval_error(eval, readout->span, "parameterization = mup",
             "in the standard parameterization readout weights are of order 1/sqrt(N), and with a "
             "mean of order one they have no such size");
  return false;
}

static bool fill_model(Eval *eval, const Declared *model, const Chain *chain, Grid inputs,
                       Problem *problem) {
  if (model->slot[MODEL_PROPORTION]) {
    eval_error(eval, model->place[MODEL_PROPORTION], "width = 256",
               "a 'proportion' of widths to D is for data that grow");
    return false;
  }
  problem->layers = chain_layers(eval, chain, inputs);
  problem->layer_count = problem->layers ? chain->count : 0;
  const Value *word = model->slot[MODEL_PARAMETERIZATION];
  problem->parameterization =
      parameterization_of(word->kind == VALUE_STRING ? word->string : "mup");
  problem->gamma = number_or_nan(model->slot[MODEL_GAMMA]);
  problem->width = model->slot[MODEL_WIDTH] ? (int)number_of(model->slot[MODEL_WIDTH]) : 0;
  problem->centered = number_of(model->slot[MODEL_CENTERED]) != 0;
  problem->model_name = mem_string(model->name);
  problem->model_span = model->span;
  return problem->layers &&
         is_network(eval, problem->layers, problem->layer_count, problem->parameterization);
}

static void fill_training(const Declared *training, Problem *problem) {
  problem->loss = training->slot[TRAINING_LOSS]->loss.expr;
  problem->steps = (int)training->slot[TRAINING_STEPS]->number;
  problem->until = amount_or_none(training->slot[TRAINING_UNTIL]);
  problem->decay = number_or_nan(training->slot[TRAINING_WEIGHT_DECAY]);
  problem->temperature = number_or_nan(training->slot[TRAINING_TEMPERATURE]);
  problem->ema = amount_or_none(training->slot[TRAINING_EMA]);
  problem->clip = amount_or_none(training->slot[TRAINING_CLIP]);
  problem->rho = amount_or_none(training->slot[TRAINING_RHO]);
  problem->rule = rule_of(training->slot[TRAINING_RULE]);
  problem->training_name = mem_string(training->name);
  problem->training_span = training->span;
}

/* Whether the targets suit the cross entropy. */
static bool are_classes(Eval *eval, const Problem *problem, bool known, Span span) {
  const char *hint = "targets = one_hot(labels, classes); for two classes +-1 there is 'logistic'";
  size_t C = (size_t)problem->outputs;
  if (C == 1) {
    eval_error(eval, span, hint, "cross_entropy needs an output for each class, not one output");
    return false;
  }
  for (int mu = 0; mu < problem->points && known; mu++) {
    const double *y = problem->targets->data + (size_t)mu * C;
    double sum = 0, least = 0;
    for (size_t c = 0; c < C; c++) sum += y[c], least = fmin(least, y[c]);
    if (fabs(sum - 1) < 1e-6 && least >= 0) continue;
    eval_error(eval, span, hint, "the targets of point %d are no probabilities of classes", mu);
    return false;
  }
  return true;
}

static const Value *declared_argument(Eval *eval, Span span, const Value *value,
                                      DeclaredKind kind) {
  if (value->kind == VALUE_DECLARED && value->declared.kind == kind) return value;
  eval_error(eval, span, NULL, "this must be a %s, not %s", declared_kind_name(kind),
             value_describe(value));
  return NULL;
}

/* Whether a check knows enough to build the problem: its sizes and its layers. */
static bool decided(const Declared *declared, const int *slots, int count) {
  for (int i = 0; i < count; i++) {
    const Value *value = declared->slot[slots[i]];
    if (value && (value->kind == VALUE_UNKNOWN || (value->kind == VALUE_NUMBER && !value->known)))
      return false;
  }
  return true;
}

Problem *problem_build(Eval *eval, Value *model_value, Span model_place, Value *training_value,
                       Span training_place, int depth) {
  const Value *m = declared_argument(eval, model_place, model_value, DECLARED_MODEL);
  const Value *t = declared_argument(eval, training_place, training_value, DECLARED_TRAINING);
  if (!m || !t) return NULL;
  const Declared *model = &m->declared, *training = &t->declared;
  if (!decided(model, (int[]){MODEL_LAYERS}, 1) ||
      !decided(training,
               (int[]){TRAINING_DATASET, TRAINING_LOSS, TRAINING_OPTIMIZER, TRAINING_STEPS}, 4))
    return NULL;
  const Declared *dataset = &training->slot[TRAINING_DATASET]->declared;
  if (!decided(dataset,
               (int[]){DATASET_INPUTS, DATASET_TARGETS, DATASET_TEST_INPUTS, DATASET_TEST_TARGETS,
                       DATASET_GRAM},
               5))
    return NULL;
  const Chain *chain = chain_within(eval, &m->declared, model_place, depth);
  if (!chain) return NULL;
  Problem *problem = mem_new(1, sizeof *problem);
  fill_training(training, problem);
  problem->depth = chain_is_endless(model->slot[MODEL_LAYERS]) ? depth : 0;
  bool known = dataset->slot[DATASET_TARGETS]->known;
  const Value *inputs = dataset->slot[DATASET_INPUTS];
  Grid grid =
      inputs && inputs->kind == VALUE_ARRAY ? grid_of_inputs(inputs->array) : (Grid){1, 1, false};
  if (fill_model(eval, model, chain, grid, problem) && data_fill(eval, dataset, problem) &&
      (problem->loss || are_classes(eval, problem, known, training->place[TRAINING_LOSS])) &&
      optimizer_fill(eval, &training->slot[TRAINING_OPTIMIZER]->optimizer, problem))
    return problem;
  problem_free(problem);
  return NULL;
}

/* The chain with its last layer that has weights repeated; NULL after reporting. */
static Value *deepened(Eval *eval, const Chain *chain, int depth, Span place) {
  Layer *layers = chain_layers(eval, chain, nominal_grid);
  if (!layers) return NULL;
  int weighty = 0, last = 0, hidden = chain->count - 1;
  for (int i = 0; i < hidden; i++) {
    if (!layers[i].matrix_count) continue;
    weighty++;
    last = i;
  }
  layers_free(layers, chain->count);
  if (depth < weighty) {
    eval_error(eval, place, NULL, "the chain has %d layers already, more than %d", weighty, depth);
    return NULL;
  }
  int more = depth - weighty;
  if (more > MAX_LAYERS - chain->count) {
    chain_exceeds(eval, place);
    return NULL;
  }
  Value *value = value_new(&eval->heap, VALUE_CHAIN);
  value->chain.input = true;
  value->chain.count = chain->count + more;
  value->chain.links = mem_new((size_t)value->chain.count, sizeof(Value *));
  for (int i = 0; i < value->chain.count; i++)
    value->chain.links[i] = value_keep(chain->links[i <= last         ? i
                                                    : i - more < last ? last
                                                                      : i - more]);
  return value;
}

Problem *problem_untrained(Eval *eval, Value *model_value, Span model_place, const Array *inputs,
                           int depth, Span depth_place) {
  const Value *m = declared_argument(eval, model_place, model_value, DECLARED_MODEL);
  if (!m || !decided(&m->declared, (int[]){MODEL_LAYERS}, 1)) return NULL;
  const Chain *chain = chain_within(eval, &m->declared, model_place, 0);
  if (!chain) return NULL;
  if (depth) {
    const Value *deep = deepened(eval, chain, depth, depth_place);
    if (!deep) return NULL;
    chain = &deep->chain;
  }
  Problem *problem = mem_new(1, sizeof *problem);
  const char *why;
  ExprPool *pool = eval->pool;
  problem->loss = expr_call(pool, PRIM_POW, expr_arg(pool, 0), expr_const(pool, 2), NULL);
  problem->steps = 1;
  problem->eta = mem_block(1);
  problem->training_name = mem_string("none");
  problem->training_span = model_place;
  Grid grid = inputs ? grid_of_inputs(inputs) : (Grid){1, 1, false};
  if (fill_model(eval, &m->declared, chain, grid, problem)) {
    problem->parameterization = PARAM_MUP;
    if (data_points(inputs, problem, &why)) return problem;
    eval_fail(eval, array_failure(), model_place, NULL, "%s", why);
  }
  problem_free(problem);
  return NULL;
}
