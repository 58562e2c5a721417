/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/learn.h"
#include "base/memory.h"
#include "model/declare.h"
#include "model/descent.h"
#include "model/forward.h"
#include "model/optimizer.h"
#include "model/proportion.h"
#include "num/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NOTHING = -1 };

/* ---- the dataset ---- */

/* What the lines of a dataset give. */
typedef struct Points {
  int inputs, targets;           /* a matrix; a vector on its points, or rows for several outputs */
  int test_inputs, test_targets; /* or NOTHING */
} Points;

static Shape numbers_of(int rank, size_t rows, size_t cols) {
  return (Shape){.population = NO_POPULATION, .rank = rank, .size = {rows, cols}};
}

static const Binding *line(const Builder *b, const char *name) {
  return scope_own(b->eval->scope, name);
}

/* The matrix of this name, NOTHING without it, -2 after reporting. */
static int matrix_named(Builder *b, const char *name) {
  const Binding *binding = line(b, name);
  if (!binding) return NOTHING;
  const Value *value = binding->value;
  bool whole =
      value->kind == VALUE_MATRIX && !value->matrix.transposed && value->matrix.factor == 1;
  if (whole) return value->matrix.index;
  eval_error(b->eval, binding->span, "inputs = gaussian(points = P, dim = D)",
             "'%s' of a dataset that grows must be a matrix from its dimensions to its points",
             name);
  return -2;
}

/* The vector of this name on the points of these inputs, or rows of them. */
static int vector_named(Builder *b, const char *name, int inputs) {
  const Binding *binding = line(b, name);
  if (!binding) return NOTHING;
  const Value *value = binding->value;
  const System *s = b->system;
  Shape shape = value->kind == VALUE_SYMBOL ? shape_of(b, value->symbol) : numbers_of(0, 0, 0);
  int points = s->matrices[inputs].to;
  if (is_vector(shape) && shape.population == points) return hold(b, value->symbol);
  eval_error(b->eval, binding->span, "such as targets = sign(inputs @ normal(D))",
             "'%s' must be a vector on the points '%s', or rows of them", name,
             s->populations[points].name);
  return -2;
}

static bool lacks(Builder *b, const char *name) {
  eval_error(b->eval, b->system->span, NULL, "dataset '%s' lacks '%s'", b->system->name, name);
  return false;
}

/* Whether targets and those of tests are for the same outputs; reports otherwise. */
static bool alike(Builder *b, int targets, int test_targets) {
  Shape x = b->system->variables[targets].shape, y = b->system->variables[test_targets].shape;
  if (x.rank == y.rank && (x.rank == 0 || x.size[0] == y.size[0])) return true;
  eval_error(b->eval, line(b, "test_targets")->span, NULL,
             "'test_targets' and 'targets' have different numbers of outputs");
  return false;
}

static bool read_points(Builder *b, Points *p) {
  *p = (Points){matrix_named(b, "inputs"), NOTHING, NOTHING, NOTHING};
  if (p->inputs == NOTHING) return lacks(b, "inputs");
  p->test_inputs = matrix_named(b, "test_inputs");
  if (p->inputs < 0 || p->test_inputs < NOTHING) return false;
  p->targets = vector_named(b, "targets", p->inputs);
  if (p->targets == NOTHING) return lacks(b, "targets");
  const System *s = b->system;
  if (p->test_inputs != NOTHING &&
      s->matrices[p->inputs].from != s->matrices[p->test_inputs].from) {
    eval_error(b->eval, line(b, "test_inputs")->span, NULL,
               "'test_inputs' and 'inputs' have different dimensions");
    return false;
  }
  if (line(b, "test_targets") && p->test_inputs == NOTHING) {
    eval_error(b->eval, line(b, "test_targets")->span, NULL,
               "'test_targets' without 'test_inputs'");
    return false;
  }
  p->test_targets =
      p->test_inputs == NOTHING ? NOTHING : vector_named(b, "test_targets", p->test_inputs);
  return p->targets >= 0 && p->test_targets >= NOTHING &&
         (p->test_targets == NOTHING || alike(b, p->targets, p->test_targets));
}

bool learn_data_sound(Builder *b, void *unused) {
  Points points;
  (void)unused;
  return read_points(b, &points);
}

bool learn_grows(const Value *training) {
  if (training->kind != VALUE_DECLARED || training->declared.kind != DECLARED_TRAINING)
    return false;
  return system_is_data(training->declared.slot[TRAINING_DATASET]);
}

/* ---- the network ---- */

/* Weights of one layer: rows on the dimensions of the inputs, or numbers. */
typedef struct Weights {
  bool drawn;
  int first, state; /* the variable of the start, and of the step */
  double rate, fan; /* the entries that a neuron reads, for numbers */
  bool wide;
} Weights;

typedef struct Learner {
  Builder *b;
  const Declared *model, *training;
  Layer *layers;
  int layer_count, width;
  double gamma;
  bool mup, early; /* early: the pass is that of the weights as they start */
  Points points;
  size_t outputs;    /* rows of the targets; 0: they are a vector */
  Weights **weights; /* [layer][matrix] */
  Proportion *wide;  /* widths that grow with the data, or NULL */
  int vector[2];     /* that the network is then: of the start, and of the step */
} Learner;

static ExprPool *pool_of(const Learner *l) { return l->b->eval->pool; }
static const Expr *variable(const Learner *l, int v) { return expr_arg(pool_of(l), v); }
static const Expr *number(const Learner *l, double x) { return expr_const(pool_of(l), x); }

static const Expr *two(const Learner *l, Prim prim, const Expr *x, const Expr *y) {
  return expr_call(pool_of(l), prim, x, y, NULL);
}

static const Expr *scaled(const Learner *l, double factor, const Expr *x) {
  return two(l, PRIM_MUL, number(l, factor), x);
}

static int made(Learner *l, ActKind kind, Shape shape, Act act, int count, const int *src) {
  act.kind = kind;
  act.dst = new_variable(l->b, NULL, shape);
  return add_act(l->b, act, count, src);
}

/* Gives a variable the name that equations and programs show. */
static int called(Learner *l, int v, const char *stem, int index) {
  char **name = &l->b->system->variables[v].name;
  free(*name);
  *name = index < 0 ? mem_string(stem) : mem_format("%s%d", stem, index);
  return v;
}

static bool refuse(Learner *l, Span span, const char *what) {
  eval_error(l->b->eval, span, NULL, "%s", what);
  return false;
}

/* Numbers as weights start: the same in every network, for they are few. */
static int drawn(Learner *l, Shape shape, double mean, double sigma, int layer, int matrix) {
  const char *why = NULL;
  Array *numbers = array_full(shape.rank, shape.size, 0, &why);
  if (numbers)
    random_normals(0, random_stream(RANDOM_WEIGHTS, (uint64_t)layer, (uint64_t)matrix, 0), 0,
                   numbers->size, numbers->data);
  for (size_t i = 0; numbers && i < numbers->size; i++)
    numbers->data[i] = mean + sigma * numbers->data[i];
  return hold_made(l->b, shape, numbers, why);
}

/* Vectors as weights start. */
static int drawn_rows(Learner *l, Shape shape, double mean, double sigma) {
  if (!(sigma > 0)) return made(l, ACT_FILL, shape, (Act){.number = mean}, 0, NULL);
  const Expr *z = variable(l, made(l, ACT_NORMAL, shape, (Act){0}, 0, NULL));
  return hold(l->b, two(l, PRIM_ADD, scaled(l, sigma, z), number(l, mean)));
}

/* The weights of a matrix for the step under way, drawn when it acts for the first time. */
static int weights_of(Learner *l, int layer, int matrix, bool wide, Shape shape) {
  Weights *w = &l->weights[layer][matrix];
  const LayerMatrix *m = &l->layers[layer].matrices[matrix];
  if (!w->drawn) {
    *w = (Weights){.drawn = true, .rate = m->rate, .wide = wide, .fan = 1};
    if (shape.rank == 2 && !l->layers[layer].readout) w->fan = (double)shape.size[1];
    w->first = wide ? drawn_rows(l, shape, m->mean, m->sigma)
                    : drawn(l, shape, m->mean, m->sigma, layer, matrix);
    w->state = m->rate > 0 ? carry(l->b, shape, w->first) : w->first;
    called(l, w->state, m->name, layer);
  }
  return l->b->step && !l->early ? w->state : w->first;
}

/* A layer under way: its variables, the inputs among them as NULL. */
typedef struct Pass {
  Learner *l;
  int index; /* of the layer */
  int inputs;
  const Expr **v;
} Pass;

static size_t neurons(const Pass *p, const Expr *x) {
  Shape shape = shape_of(p->l->b, x);
  return shape.rank ? shape.size[0] : 1;
}

/* W x / sqrt(D) of the inputs; the readout of the inputs themselves is a single vector, or as many
 * as there are outputs. */
static const Expr *apply_inputs(Pass *p, int which, size_t to) {
  Learner *l = p->l;
  const Layer *layer = &l->layers[p->index];
  const LayerMatrix *m = &layer->matrices[which];
  const SystemMatrix *inputs = &l->b->system->matrices[p->inputs];
  Shape rows = {.population = inputs->from, .rank = !layer->readout || l->outputs, .size = {to}};
  int w = weights_of(l, p->index, which, true, rows);
  rows.population = inputs->to;
  int h = made(l, ACT_APPLY, rows, (Act){.matrix = p->inputs}, 1, &w);
  called(l, h, l->b->step ? "h" : "h0_", p->index + 1);
  double gamma = layer->readout && l->mup ? l->gamma : 1;
  return scaled(l, m->factor / sqrt(m->parts) / gamma, variable(l, h));
}

/* W x, of the inputs or of neurons. */
static bool apply(Pass *p, const LayerStep *step, const Expr **image) {
  Learner *l = p->l;
  const Layer *layer = &l->layers[p->index];
  const LayerMatrix *m = &layer->matrices[step->matrix];
  const Expr *x = p->v[step->source];
  size_t from = x ? neurons(p, x) : 0;
  double exact = m->ratio > 0 ? m->ratio * l->width : x ? (double)from : l->width;
  if (exact < 1 || fabs(exact - round(exact)) > 1e-9)
    return refuse(l, layer->span, "the neurons of a layer must be a whole number");
  if (m->window) return proportion_refuses_windows(l->b->eval, layer);
  size_t to = layer->readout ? l->outputs : (size_t)round(exact);
  if (!x) {
    *image = apply_inputs(p, step->matrix, to);
    return true;
  }
  Shape shape = to ? numbers_of(2, to, from) : numbers_of(1, from, 0);
  Shape own = {.population = shape_of(l->b, x).population, .rank = to > 0, .size = {to}};
  int src[] = {weights_of(l, p->index, step->matrix, false, shape), hold(l->b, x)};
  *image = variable(l, made(l, ACT_PRODUCT, own, (Act){.transpose = !to}, 2, src));
  double scale = !layer->readout ? sqrt((double)from * m->parts)
                 : l->mup        ? l->gamma * l->width
                                 : sqrt((double)from);
  *image = scaled(l, m->factor / scale, *image);
  return true;
}

/* <x>, or <x y>, over neurons: a vector on the points. */
static const Expr *average(Pass *p, const Expr *x, const Expr *y) {
  Learner *l = p->l;
  int v = hold(l->b, y ? two(l, PRIM_MUL, x, y) : x);
  Shape shape = l->b->system->variables[v].shape;
  size_t count = shape.size[0];
  int src[] = {hold_full(l->b, numbers_of(1, count, 0), 1 / (double)count), v};
  shape.rank = 0;
  return variable(l, made(l, ACT_PRODUCT, shape, (Act){.transpose = true}, 2, src));
}

/* The bias that makes variable `v`, of as many neurons as what else the map reads. */
static bool bias(Pass *p, const LayerStep *map, int v) {
  Learner *l = p->l;
  const Layer *layer = &l->layers[p->index];
  for (int i = 0; i < v + layer->step_count && !p->v[v]; i++) {
    if (i > layer->step_count || !p->v[i] || !expr_depends(map->expr, i)) continue;
    Shape shape = shape_of(l->b, p->v[i]);
    if (shape.rank != 1) continue;
    int matrix = layer->steps[v - 1].matrix;
    p->v[v] = variable(l, weights_of(l, p->index, matrix, false, numbers_of(1, shape.size[0], 0)));
  }
  return p->v[v] || refuse(l, layer->span, "a bias is added to a field");
}

static bool map(Pass *p, const LayerStep *step, int count, const Expr **image) {
  Learner *l = p->l;
  const Layer *layer = &l->layers[p->index];
  Shape joined = numbers_of(0, 0, 0);
  for (int i = 0; i < count; i++) {
    if (!expr_depends(step->expr, i)) continue;
    if (i > 0 && layer->steps[i - 1].kind == STEP_BIAS && !bias(p, step, i)) return false;
    char *why = NULL;
    bool fits = shape_join(l->b, joined, shape_of(l->b, p->v[i]), &joined, &why);
    free(why);
    if (!fits) return refuse(l, layer->span, "this layer combines fields of different widths");
  }
  const Expr *e = expr_substitute(pool_of(l), step->expr, p->v);
  bool constant = e->prim == PRIM_CONST && joined.population != NO_POPULATION;
  *image = variable(l, constant ? made(l, ACT_FILL, joined, (Act){.number = e->value}, 0, NULL)
                                : hold(l->b, e));
  return true;
}

/* Whether a variable is more than a bias that is added to nothing; refuses otherwise. */
static bool is_made(Pass *p, int v) {
  const Layer *layer = &p->l->layers[p->index];
  return v <= 0 || p->v[v] || refuse(p->l, layer->span, "a bias is added to a field");
}

static bool run_step(Pass *p, int i) {
  const Layer *layer = &p->l->layers[p->index];
  const LayerStep *step = &layer->steps[i];
  const Expr **image = &p->v[i + 1];
  bool reads = step->kind == STEP_APPLY || step->kind == STEP_AVERAGE;
  if (reads && (!is_made(p, step->source) || !is_made(p, step->other))) return false;
  switch (step->kind) {
  case STEP_APPLY: return apply(p, step, image);
  case STEP_BIAS: return true; /* where it is added */
  case STEP_MAP: return map(p, step, i + 1, image);
  case STEP_AVERAGE:
    *image = average(p, p->v[step->source], step->other < 0 ? NULL : p->v[step->other]);
    return true;
  default: break;
  }
  return refuse(p->l, layer->span,
                "on data that grow there are dense layers, residual ones, activations and norms of "
                "layers");
}

/* The vector that a network is whose widths grow with the data, as it is now. */
static int vector_of(Learner *l) {
  int *v = &l->vector[l->b->step];
  if (*v == NOTHING)
    *v = called(l, hold(l->b, proportion_vector(l->b, l->wide, l->layers, l->layer_count)),
                l->b->step ? "v" : "v0", NOTHING);
  return *v;
}

/* The outputs of such a network. */
static const Expr *forward_wide(Learner *l, int inputs) {
  int v = vector_of(l);
  Shape points = l->b->system->variables[v].shape;
  points.population = l->b->system->matrices[inputs].to;
  return variable(l, made(l, ACT_APPLY, points, (Act){.matrix = inputs}, 1, &v));
}

/* The outputs at the points of a matrix, a vector; NULL after reporting. */
static const Expr *forward(Learner *l, int inputs) {
  const Expr *x = NULL;
  if (l->wide) return forward_wide(l, inputs);
  for (int i = 0; i < l->layer_count; i++) {
    const Layer *layer = &l->layers[i];
    Pass pass = {l, i, inputs, mem_new((size_t)layer->step_count + 2, sizeof(const Expr *))};
    bool sound = true;
    pass.v[0] = x;
    for (int k = 0; k < layer->step_count && sound; k++) sound = run_step(&pass, k);
    sound = sound && is_made(&pass, layer->result);
    x = pass.v[layer->result];
    free(pass.v);
    if (!sound) return NULL;
  }
  return x;
}

/* ---- training ---- */

static double slot_number(const Declared *declared, int slot, double fallback) {
  const Value *value = declared->slot[slot];
  return value && value->kind == VALUE_NUMBER && value->known ? value->number : fallback;
}

/* The mean over points of a vector, or of the product of two, summed over rows. */
static int mean_of(Learner *l, int x, int y) {
  size_t rows =
      l->b->system->variables[x].shape.rank ? l->b->system->variables[x].shape.size[0] : 0;
  int mean =
      made(l, ACT_AVERAGE, numbers_of(rows > 0, rows, 0), (Act){0}, y < 0 ? 1 : 2, (int[]){x, y});
  if (!rows) return mean;
  int src[] = {hold_full(l->b, numbers_of(1, rows, 0), 1), mean};
  return made(l, ACT_PRODUCT, numbers_of(0, 0, 0), (Act){.transpose = true}, 2, src);
}

/* One of the rows. */
static const Expr *row_of(Learner *l, const Expr *x, size_t k) {
  int src = hold(l->b, x);
  Shape shape = {.population = l->b->system->variables[src].shape.population};
  return variable(l, made(l, ACT_PART, shape, (Act){.first = {k, 0}}, 1, &src));
}

/* log sum_c exp f_c - sum_c y_c f_c, the sum being made output by output, so that none is too
 * large. */
static const Expr *cross_entropy(Learner *l, const Expr *f, const Expr *y) {
  const Expr *sum = NULL, *part = NULL;
  for (size_t c = 0; c < l->outputs; c++) {
    const Expr *own = row_of(l, f, c), *hit = two(l, PRIM_MUL, row_of(l, y, c), own);
    part = part ? two(l, PRIM_ADD, part, hit) : hit;
    const Expr *more =
        !sum ? NULL : expr_call(pool_of(l), PRIM_SOFTPLUS, two(l, PRIM_SUB, own, sum), NULL, NULL);
    sum = variable(l, hold(l->b, sum ? two(l, PRIM_ADD, sum, more) : own));
    part = variable(l, hold(l->b, part));
  }
  return two(l, PRIM_SUB, sum, part);
}

/* ell(f, y), the mean over points: of mse as an inner product, which linear networks are exact in.
 */
static int loss_of(Learner *l, const Expr *f, int targets, const Expr *weight) {
  const Value *loss = l->training->slot[TRAINING_LOSS];
  ExprPool *pool = pool_of(l);
  const Expr *y = variable(l, targets), *one = number(l, 1), *ell;
  if (loss->loss.expr) {
    const Expr *slope = expr_diff(pool, loss->loss.expr, 0), *args[] = {f, y};
    if (expr_diff(pool, slope, 0) == one && expr_is_linear(slope) && !weight) {
      int r = hold(l->b, expr_substitute(pool, slope, args));
      return hold(l->b, scaled(l, 0.5, variable(l, mean_of(l, r, r))));
    }
    ell = expr_substitute(pool, loss->loss.expr, args);
  } else {
    ell = cross_entropy(l, f, y);
  }
  return mean_of(l, hold(l->b, weight ? two(l, PRIM_MUL, weight, ell) : ell), NOTHING);
}

static void observe(Learner *l, const char *name, const char *about, int variable) {
  add_field(l->b, name, about, FORM_VALUE, variable);
}

/* Whether the targets of the script are signs, as a look at how they are made tells. */
static bool are_signs(const Learner *l) {
  const Value *loss = l->training->slot[TRAINING_LOSS];
  if (strcmp(loss->loss.name, "logistic") == 0 || strcmp(loss->loss.name, "hinge") == 0)
    return true;
  for (int i = 0; i < l->b->system->act_count; i++) {
    const Act *act = &l->b->system->acts[i];
    if (act->dst == l->points.targets) return act->kind == ACT_MAP && act->expr->prim == PRIM_SIGN;
  }
  return false;
}

/* The part of the points, and outputs, at which f y < 0; where f is 0, one half. */
static int error_of(Learner *l, const Expr *f, int targets) {
  const Expr *sign =
      expr_call(pool_of(l), PRIM_SIGN, two(l, PRIM_MUL, f, variable(l, targets)), NULL, NULL);
  double part = l->outputs ? 0.5 / (double)l->outputs : 0.5;
  int wrong = hold(l->b, scaled(l, part, two(l, PRIM_SUB, number(l, 1), sign)));
  return mean_of(l, wrong, NOTHING);
}

/* The part of the points whose class has not the largest output; of equal ones each has its part.
 */
static int miss_of(Learner *l, const Expr *f, int targets) {
  const Expr *most = NULL, *sum = NULL, *hits = NULL;
  for (size_t c = 0; c < l->outputs; c++) {
    const Expr *own = row_of(l, f, c);
    most = variable(l, hold(l->b, most ? two(l, PRIM_MAX, most, own) : own));
  }
  for (size_t c = 0; c < l->outputs; c++) {
    const Expr *leads = variable(l, hold(l->b, two(l, PRIM_LE, most, row_of(l, f, c))));
    const Expr *hit = two(l, PRIM_MUL, row_of(l, variable(l, targets), c), leads);
    sum = variable(l, hold(l->b, sum ? two(l, PRIM_ADD, sum, leads) : leads));
    hits = variable(l, hold(l->b, hits ? two(l, PRIM_ADD, hits, hit) : hit));
  }
  const Expr *miss = two(l, PRIM_SUB, number(l, 1), two(l, PRIM_DIV, hits, sum));
  return mean_of(l, hold(l->b, miss), NOTHING);
}

static void observe_points(Learner *l, const Expr *f, const Expr *f_test) {
  const Points *p = &l->points;
  bool signs = are_signs(l), judged = f_test && p->test_targets != NOTHING;
  bool classes = !l->training->slot[TRAINING_LOSS]->loss.expr;
  int (*wrong)(Learner * l, const Expr *f, int targets) = classes ? miss_of : error_of;
  observe(l, "loss", "the mean of the loss over the training points",
          loss_of(l, f, p->targets, NULL));
  if (judged)
    observe(l, "test_loss", "the mean of the loss over the test points",
            loss_of(l, f_test, p->test_targets, NULL));
  if (!signs && !classes) return;
  observe(l, "error", "the part of the training points whose sign, or class, is wrong",
          wrong(l, f, p->targets));
  if (judged)
    observe(l, "test_error", "the part of the test points whose sign, or class, is wrong",
            wrong(l, f_test, p->test_targets));
}

/* The weights of the first layer; NULL where the inputs meet none. */
static const Weights *first_weights(const Learner *l) {
  for (int i = 0; i < l->layer_count; i++)
    for (int k = 0; k < l->layers[i].matrix_count; k++)
      if (l->weights[i][k].drawn && l->weights[i][k].wide) return &l->weights[i][k];
  return NULL;
}

/* Overlaps of the first layer: with itself, and with the vectors that the dataset names. */
static void observe_overlaps(Learner *l) {
  Builder *b = l->b;
  const Weights *w = first_weights(l);
  if (!w && !l->wide) return;
  int own = w ? w->state : vector_of(l);
  Shape rows = b->system->variables[own].shape;
  Shape pairs = numbers_of(2 * rows.rank, rows.size[0], rows.size[0]);
  observe(l, "q", "overlaps w_k . w_l / D of the first weights",
          made(l, ACT_GRAM, pairs, (Act){0}, 2, (int[]){own, own}));
  const Scope *scope = b->eval->scope;
  for (int i = 0; i < scope->count; i++) {
    const Value *value = scope->items[i].value;
    Shape shape = value->kind == VALUE_SYMBOL ? shape_of(b, value->symbol) : numbers_of(0, 0, 0);
    if (shape.population != rows.population) continue;
    int v = hold(b, value->symbol);
    char *name = mem_format("m_%s", scope->items[i].name),
         *about = mem_format("overlaps w_k . %s / D of the first weights", scope->items[i].name);
    Shape pair =
        numbers_of(rows.rank + shape.rank, rows.rank ? rows.size[0] : shape.size[0], shape.size[0]);
    int order[] = {rows.rank ? own : v, rows.rank ? v : own};
    observe(l, name, about, made(l, ACT_GRAM, pair, (Act){0}, 2, order));
    free(name);
    free(about);
  }
}

/* Whether every step has points of its own. */
static bool is_fresh(const Declared *training) {
  const Value *optimizer = training->slot[TRAINING_OPTIMIZER],
              *fresh = optimizer_parameter(optimizer, "fresh");
  return optimizer->optimizer.kind == OPT_ONLINE ||
         (fresh && fresh->kind == VALUE_NUMBER && fresh->known && fresh->number > 0);
}

/* The share of the points of a minibatch, 1 without. */
static double batch_share(Learner *l) {
  const Value *optimizer = l->training->slot[TRAINING_OPTIMIZER];
  const Value *batch = optimizer_parameter(optimizer, "batch");
  return batch && batch->kind == VALUE_NUMBER && batch->known ? batch->number : 1;
}

/* 1 / share on a random part of the points, anew in every step; NULL: all of them. */
static const Expr *minibatch(Learner *l) {
  double share = batch_share(l);
  if (share >= 1) return NULL;
  Shape shape = {.population = l->b->system->variables[l->points.targets].shape.population};
  const Expr *z = variable(l, made(l, ACT_NORMAL, shape, (Act){0}, 0, NULL));
  const Expr *below =
      two(l, PRIM_LT, expr_call(pool_of(l), PRIM_ERF, scaled(l, M_SQRT1_2, z), NULL, NULL),
          number(l, 2 * share - 1));
  return scaled(l, 1 / share, below);
}

/* What moves, in order; the list is to be freed. */
static const Weights **trained(const Learner *l, int *count) {
  const Weights **list = NULL;
  *count = 0;
  for (int i = 0; i < l->layer_count; i++)
    for (int k = 0; k < l->layers[i].matrix_count; k++) {
      const Weights *w = &l->weights[i][k];
      if (!w->drawn || !(w->rate > 0)) continue;
      list = mem_grow(list, (size_t)(*count + 1) * sizeof *list);
      list[(*count)++] = w;
    }
  return list;
}

/* sqrt(2 eta T) z is added. */
static const Expr *warmed(Learner *l, const Weights *w, const Expr *eta, const Expr *x) {
  double temperature = slot_number(l->training, TRAINING_TEMPERATURE, 0);
  if (!(temperature > 0)) return x;
  Shape shape = l->b->system->variables[w->state].shape;
  const Expr *z = variable(l, made(l, ACT_NORMAL, shape, (Act){0}, 0, NULL));
  const Expr *size =
      expr_call(pool_of(l), PRIM_SQRT, scaled(l, 2 * temperature * w->rate, eta), NULL, NULL);
  return two(l, PRIM_ADD, x, two(l, PRIM_MUL, size, z));
}

/* Every trained weight moves. With g = D d loss / d w of the first layer, and g = d loss / d theta
 * of numbers, theta <- theta - eta gamma^2 N g; optimizers by entries see O = -gamma N sqrt(n) g.
 */
static void move_all(Learner *l, int top, const Descent *d) {
  int count;
  const Weights **moving = trained(l, &count);
  int *states = mem_new((size_t)count + 1, sizeof *states);
  for (int i = 0; i < count; i++) states[i] = moving[i]->state;
  const Expr **g = system_gradients(l->b, top, count, states);
  for (int i = 0; i < count; i++) {
    double root = moving[i]->wide ? 1 : sqrt(moving[i]->fan);
    Units units = {.in = l->mup ? l->gamma * l->width * root : root,
                   .out = l->mup ? l->gamma / root : 1 / root,
                   .rate = moving[i]->rate};
    const Expr *x = variable(l, states[i]);
    if (g[i]) x = descent_move(l->b, d, units, x, g[i]);
    carry_on(l->b, states[i], warmed(l, moving[i], d->eta, x));
  }
  free(g);
  free(states);
  free(moving);
}

/* The rate of the step: a number where it does not change. NULL after reporting. */
static const Expr *rate_of(Learner *l) {
  const Value *optimizer = l->training->slot[TRAINING_OPTIMIZER];
  size_t steps = (size_t)slot_number(l->training, TRAINING_STEPS, 1);
  Array *rates = optimizer_rates(l->b->eval, &optimizer->optimizer, steps);
  if (!rates) return NULL;
  bool constant = true;
  for (size_t t = 1; t < steps; t++) constant &= rates->data[t] == rates->data[0];
  const Expr *rate = constant ? number(l, rates->data[0]) : descent_rate(l->b, rates);
  array_drop(rates);
  return rate;
}

/* f, less f(0) where the model is centered: a variable of the start, or NOTHING at fresh points. */
static const Expr *outputs(Learner *l, int inputs, int start, const char *name) {
  const Expr *f = forward(l, inputs);
  l->early = start == NOTHING;
  if (slot_number(l->model, MODEL_CENTERED, 1) > 0)
    f = two(l, PRIM_SUB, f, l->early ? forward(l, inputs) : variable(l, start));
  l->early = false;
  return variable(l, called(l, hold(l->b, f), name, -1));
}

/* What the dataset has, and the populations of widths that grow with it; false after reporting. */
static bool prepare(Learner *l) {
  Builder *b = l->b;
  if (!read_points(b, &l->points)) return false;
  Shape targets = b->system->variables[l->points.targets].shape;
  l->outputs = targets.rank ? targets.size[0] : 0;
  if (!l->outputs && !l->training->slot[TRAINING_LOSS]->loss.expr)
    return refuse(l, l->training->place[TRAINING_LOSS],
                  "cross_entropy has an output for each class: targets with a row for each");
  int dimensions = b->system->matrices[l->points.inputs].from;
  return !l->wide ||
         proportion_begin(b, l->wide, l->layers, l->layer_count, dimensions, l->outputs);
}

/* What moves by the loss at the outputs. */
static bool descend(Learner *l, const Expr *f, const Descent *d) {
  int top = loss_of(l, f, l->points.targets, minibatch(l));
  Span place = l->training->place[TRAINING_OPTIMIZER];
  if (l->wide) return proportion_descend(l->b, l->wide, l->layers, l->layer_count, top, d, place);
  move_all(l, top, d);
  return true;
}

/* The step of the system, behind the lines of the dataset. */
static bool extend(Builder *b, void *sink) {
  Learner *l = sink;
  l->b = b;
  if (!prepare(l)) return false;
  free(b->system->name);
  b->system->name = mem_string(l->model->name);
  bool tested = l->points.test_inputs != NOTHING;
  const Expr *f = forward(l, l->points.inputs), *f_test = NULL;
  if (f && tested) f_test = forward(l, l->points.test_inputs);
  if (!f || (tested && !f_test)) return false;
  int start = hold(b, f), start_test = tested ? hold(b, f_test) : NOTHING;
  begin_acts(b);
  if (is_fresh(l->training)) {
    const Value *dataset = l->training->slot[TRAINING_DATASET];
    system_renew(b, dataset, b->system->matrices[l->points.inputs].to, l->points.test_inputs);
    l->points.targets = vector_named(b, "targets", l->points.inputs);
    if (l->points.targets < 0) return false;
    start = NOTHING;
  }
  Descent d = {.kind = OPT_GD};
  descent_fill(l->training->slot[TRAINING_OPTIMIZER], &d);
  d.decay += slot_number(l->training, TRAINING_WEIGHT_DECAY, 0);
  d.eta = rate_of(l);
  if (!d.eta) return false;
  f = outputs(l, l->points.inputs, start, "f");
  if (tested) f_test = outputs(l, l->points.test_inputs, start_test, "f_test");
  observe_points(l, f, f_test);
  observe_overlaps(l);
  if (!descend(l, f, &d)) return false;
  end_acts(b);
  return true;
}

/* ---- what is not there ---- */

/* Why a training of such data cannot be written as a system, with the key that says so; or NULL. */
static const char *refusal(const Declared *training, int *key) {
  const Value *optimizer = training->slot[TRAINING_OPTIMIZER];
  const Value *batch = optimizer_parameter(optimizer, "batch"),
              *schedule = optimizer_parameter(optimizer, "schedule"),
              *rule = training->slot[TRAINING_RULE];
  Descent d;
  *key = TRAINING_OPTIMIZER;
  if (!descent_fill(optimizer, &d))
    return "on data that grow there are gd, sgd, online, momentum, nesterov, adam, adamw, rmsprop, "
           "signum and lion";
  bool counted = batch && batch->kind == VALUE_NUMBER && batch->known && batch->number >= 1 &&
                 !(is_fresh(training) && batch->number < 2);
  if ((schedule && schedule->kind != VALUE_NONE) || (batch && batch->kind > VALUE_NUMBER) ||
      counted)
    return "a minibatch of data that grow is a share of them, such as batch = 0.1";
  bool twice = d.decay > 0 && slot_number(training, TRAINING_WEIGHT_DECAY, 0) > 0;
  if (twice) return "'weight_decay' is given twice";
  *key = TRAINING_RULE;
  if (rule && rule->kind == VALUE_STRING && strcmp(rule->string, "backprop") != 0)
    return "on data that grow the rule is backprop";
  *key = TRAINING_UNTIL;
  if (training->slot[TRAINING_UNTIL]) return "on data that grow training takes all its steps";
  *key = TRAINING_CLIP;
  if (training->slot[TRAINING_CLIP]) return "on data that grow gradients are not clipped";
  *key = TRAINING_EMA;
  if (training->slot[TRAINING_EMA]) return "on data that grow weights are not averaged";
  return NULL;
}

static bool is_known(const Value *value) {
  return !value || (value->kind != VALUE_UNKNOWN && value->known);
}

/* What a width that grows with the data excludes; false after reporting. */
static bool admits_proportion(Eval *eval, const Declared *model, const Declared *training) {
  Span place = model->place[MODEL_PROPORTION];
  const char *why = NULL;
  if (model->slot[MODEL_WIDTH]) why = "a model has a 'width', or a 'proportion' of its width to D";
  if (model->slot[MODEL_LAYERS]->chain.count == 1)
    why = "a readout of the inputs alone has no neurons whose number is in proportion to D";
  if (slot_number(training, TRAINING_TEMPERATURE, 0) > 0)
    why = "where widths grow with the data there is no temperature";
  if (slot_number(model, MODEL_CENTERED, 1) > 0 && is_fresh(training))
    why = "with points of their own in every step such networks are not centred: centered = false";
  if (why) eval_error(eval, place, NULL, "%s", why);
  return !why;
}

/* Whether a check knows the declarations, and they can be learned; reports what cannot be. */
static bool admits(Eval *eval, const Declared *model, const Declared *training) {
  static const int needed[] = {TRAINING_LOSS, TRAINING_OPTIMIZER, TRAINING_STEPS};
  for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
    if (!is_known(training->slot[needed[i]])) return false;
  if (!is_known(model->slot[MODEL_LAYERS]) || !is_known(model->slot[MODEL_WIDTH]) ||
      !is_known(model->slot[MODEL_GAMMA]) || !is_known(model->slot[MODEL_PROPORTION]))
    return false;
  int key;
  const char *why = refusal(training, &key);
  if (why) {
    eval_error(eval, training->place[key], NULL, "%s", why);
    return false;
  }
  const Value *word = model->slot[MODEL_PARAMETERIZATION];
  if (word->kind == VALUE_STRING && strcmp(word->string, "standard") == 0) {
    eval_error(eval, model->place[MODEL_PARAMETERIZATION], NULL,
               "on data that grow the parameterization is mup or ntk");
    return false;
  }
  if (model->slot[MODEL_PROPORTION]) return admits_proportion(eval, model, training);
  if (model->slot[MODEL_WIDTH] || model->slot[MODEL_LAYERS]->chain.count == 1) return true;
  eval_error(eval, model->span, "such as width = 3",
             "model '%s' gives no 'width': data that grow are learned by so many neurons",
             model->name);
  return false;
}

/* On data that grow neurons are few, and weights normal. */
static bool is_normal(Eval *eval, const Learner *l) {
  for (int i = 0; i < l->layer_count; i++)
    for (int k = 0; k < l->layers[i].matrix_count; k++)
      if (l->layers[i].matrices[k].law != LAW_NORMAL) {
        eval_error(eval, l->layers[i].span, "law = \"normal\"",
                   "on data that grow initial weights are normal in this version");
        return false;
      }
  return true;
}

/* Inputs are as many as the data's dimension there, outputs few. */
static bool has_own_readout(Eval *eval, const Learner *l) {
  const Layer *readout = &l->layers[l->layer_count - 1];
  if (readout->matrices[0].tied)
    eval_error(eval, readout->span, "readout",
               "on data that grow a readout has few outputs, and is not tied to the inputs");
  return !readout->matrices[0].tied;
}

/* Trained numbers are few, and noise on them does not average out. */
static bool stays_sharp(Eval *eval, const Learner *l) {
  if (!(slot_number(l->training, TRAINING_TEMPERATURE, 0) > 0)) return true;
  for (int i = 0; i < l->layer_count; i++)
    for (int k = 0; k < l->layers[i].matrix_count; k++)
      if (i > 0 && l->layers[i].matrices[k].rate > 0) {
        eval_error(eval, l->training->place[TRAINING_TEMPERATURE], "readout(train = false)",
                   "at a temperature only the first layer may learn data that grow: noise on few "
                   "weights does not average out");
        return false;
      }
  return true;
}

static const Declared *declared(Eval *eval, const Value *value, Span place, DeclaredKind kind) {
  if (value->kind == VALUE_DECLARED && value->declared.kind == kind) return &value->declared;
  eval_error(eval, place, NULL, "this must be a %s, not %s", declared_kind_name(kind),
             value_describe(value));
  return NULL;
}

System *learn_build(Eval *eval, const Value *model_value, Span model_place,
                    const Value *training_value, Span training_place) {
  const Declared *model = declared(eval, model_value, model_place, DECLARED_MODEL),
                 *training = declared(eval, training_value, training_place, DECLARED_TRAINING);
  if (!model || !training || !admits(eval, model, training)) return NULL;
  const Chain *chain = chain_within(eval, model, model_place, 0);
  if (!chain) return NULL;
  const Value *word = model->slot[MODEL_PARAMETERIZATION];
  Proportion wide = {.nu = slot_number(model, MODEL_PROPORTION, 0)};
  Learner l = {.model = model,
               .training = training,
               .layers = chain_layers(eval, chain, (Grid){1, 1, false}),
               .layer_count = chain->count,
               .width = (int)slot_number(model, MODEL_WIDTH, 1),
               .gamma = slot_number(model, MODEL_GAMMA, 1),
               .mup = word->kind != VALUE_STRING || strcmp(word->string, "mup") == 0,
               .wide = wide.nu > 0 ? &wide : NULL,
               .vector = {NOTHING, NOTHING}};
  if (!l.layers) return NULL;
  wide.gamma = l.mup ? l.gamma : 0;
  l.weights = mem_new((size_t)l.layer_count, sizeof *l.weights);
  for (int i = 0; i < l.layer_count; i++)
    l.weights[i] = mem_new((size_t)l.layers[i].matrix_count + 1, sizeof **l.weights);
  System *system = NULL;
  if (stays_sharp(eval, &l) && has_own_readout(eval, &l) && is_normal(eval, &l))
    system = system_extended(eval, training->slot[TRAINING_DATASET], extend, &l);
  for (int i = 0; i < l.layer_count; i++) free(l.weights[i]);
  free(l.weights);
  proportion_end(&wide, l.layer_count);
  layers_free(l.layers, l.layer_count);
  return system;
}
