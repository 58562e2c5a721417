/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Field programs built without the language, for tests and measurements of the solvers. */
#ifndef DMF_TESTS_PROBLEM_H
#define DMF_TESTS_PROBLEM_H

#include "base/memory.h"
#include "field/program.h"
#include "num/random.h"
#include "solve/solve.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What differs from test to test; zeros mean what the comments say. */
typedef struct Recipe {
  Prim phi;                          /* PRIM_CONST: linear */
  double scale;                      /* phi(h) = phi(scale h) / scale; 0: 1 */
  int depth;                         /* L */
  int points, tests, outputs, steps; /* outputs 0: 1 */
  const double *gram;                /* [P + P*, P + P*]; NULL: of sphere_points(all, SPHERE_DIM) */
  const double *targets;             /* [P, C]; NULL: 1, -1, 1, ... */
  double gamma, eta;                 /* gamma 0: 1 */
  double dt;                         /* > 0: gradient flow */
  bool uncentered;
  OptimizerKind optimizer; /* where dt is 0 */
  double beta, decay;
  double beta1, beta2, eps;
  OptimizerKind other; /* of muon, with its rate */
  double other_eta;
  Rule rule;
  const double *batch; /* [steps, P] */
  double ratio[3];     /* of layers 1, 2, 3; 0: 1 */
  bool tied;           /* the matrices into layers 2 and 3 are one */
  int window;          /* of a convolution in front, which sees the first entries */
  int branches; /* residual layers x + W phi(x) / sqrt(branches) behind the others; and phi */
} Recipe;

enum { SPHERE_DIM = 20 };

/* Points [count, dim] with |x|^2 = dim; to be freed. */
static inline double *sphere_points(size_t count, size_t dim) {
  double *x = mem_block(count * dim);
  random_normals(1, random_stream(200, 0, 0, 0), 0, count * dim, x);
  for (size_t a = 0; a < count; a++) {
    double norm = 0;
    for (size_t i = 0; i < dim; i++) norm += x[a * dim + i] * x[a * dim + i];
    for (size_t i = 0; i < dim; i++) x[a * dim + i] *= sqrt((double)dim / norm);
  }
  return x;
}

static inline Array *recipe_gram(const Recipe *r, size_t all) {
  Array *gram = array_new(2, (size_t[]){all, all});
  double *x = sphere_points(all, SPHERE_DIM);
  for (size_t i = 0; i < all * all; i++) {
    for (int k = 0; k < SPHERE_DIM && !r->gram; k++)
      gram->data[i] +=
          x[i / all * SPHERE_DIM + (size_t)k] * x[i % all * SPHERE_DIM + (size_t)k] / SPHERE_DIM;
    if (r->gram) gram->data[i] = r->gram[i];
  }
  free(x);
  return gram;
}

static inline const Expr *recipe_phi(ExprPool *pool, const Recipe *r) {
  const Expr *h = expr_arg(pool, 0), *a = expr_const(pool, r->scale ? r->scale : 1);
  if (r->phi == PRIM_CONST) return h;
  const Expr *phi = expr_call(pool, r->phi, expr_call(pool, PRIM_MUL, a, h, NULL), NULL, NULL);
  return expr_call(pool, PRIM_DIV, phi, a, NULL);
}

static inline void recipe_branch(ExprPool *pool, const Recipe *r, Layer *layer, bool last) {
  double share = 1 / sqrt(r->branches);
  LayerMatrix matrix = {mem_string("W"), .sigma = 1, .rate = 1, .factor = share, .parts = 1};
  int w = layer_matrix(layer, matrix),
      x = layer_step(layer, (LayerStep){.kind = STEP_MAP, .expr = recipe_phi(pool, r)}),
      branch = layer_step(layer, (LayerStep){.kind = STEP_APPLY, .matrix = w, .source = x});
  const Expr *sum = expr_call(pool, PRIM_ADD, expr_arg(pool, 0), expr_arg(pool, branch), NULL);
  if (last) sum = expr_substitute(pool, recipe_phi(pool, r), &sum);
  layer->result = layer_step(layer, (LayerStep){.kind = STEP_MAP, .expr = sum});
}

static inline Program *recipe_program(ExprPool *pool, Recipe r) {
  Problem *p = mem_new(1, sizeof *p);
  size_t outputs = r.outputs ? (size_t)r.outputs : 1, points = (size_t)r.points;
  p->points = r.points;
  p->tests = r.tests;
  p->outputs = (int)outputs;
  p->gram = recipe_gram(&r, points + (size_t)r.tests);
  if (!r.gram) {
    p->vectors = array_new(2, (size_t[]){points + (size_t)r.tests, SPHERE_DIM});
    double *x = sphere_points(points + (size_t)r.tests, SPHERE_DIM);
    memcpy(p->vectors->data, x, p->vectors->size * sizeof *x);
    free(x);
  }
  if (r.window) p->inputs = array_new(4, (size_t[]){p->vectors->shape[0], 1, SPHERE_DIM, 1});
  if (r.window) memcpy(p->inputs->data, p->vectors->data, p->inputs->size * sizeof(double));
  p->targets = array_new(2, (size_t[]){points, outputs});
  for (size_t i = 0; i < points * outputs; i++)
    p->targets->data[i] = r.targets ? r.targets[i] : i / outputs % 2 ? -1 : 1;
  p->layer_count = r.depth + r.branches + 1;
  p->layers = mem_new((size_t)p->layer_count, sizeof *p->layers);
  for (int l = 0; l < r.branches; l++)
    recipe_branch(pool, &r, &p->layers[r.depth + l], l == r.branches - 1);
  for (int l = 0; l <= r.depth; l++) {
    Layer *layer = &p->layers[l < r.depth ? l : l + r.branches];
    LayerMatrix matrix = {mem_string("W"),
                          .sigma = 1,
                          .rate = 1,
                          .factor = 1,
                          .parts = 1,
                          .ratio = l < 3 && l < r.depth ? r.ratio[l] : 0,
                          .window = l == 0 ? r.window : 0,
                          .stride = SPHERE_DIM};
    int w = layer_matrix(layer, matrix);
    layer->result = layer_step(layer, (LayerStep){.kind = STEP_APPLY, .matrix = w});
    layer->readout = l == r.depth;
    const Expr *h = expr_arg(pool, layer->result), *phi = recipe_phi(pool, &r);
    if (layer->readout || phi->prim == PRIM_ARG) continue;
    const Expr *with[] = {h};
    phi = expr_substitute(pool, phi, with);
    layer->result = layer_step(layer, (LayerStep){.kind = STEP_MAP, .expr = phi});
  }
  p->gamma = r.gamma ? r.gamma : 1;
  p->centered = !r.uncentered;
  const Expr *miss = expr_call(pool, PRIM_SUB, expr_arg(pool, 1), expr_arg(pool, 0), NULL);
  const Expr *square = expr_call(pool, PRIM_POW, miss, expr_const(pool, 2), NULL);
  p->loss = expr_call(pool, PRIM_DIV, square, expr_const(pool, 2), NULL);
  p->optimizer = r.dt > 0 ? OPT_FLOW : r.optimizer;
  p->beta = r.beta;
  p->beta1 = r.beta1;
  p->beta2 = r.beta2;
  p->eps = r.eps;
  p->rule = r.rule;
  p->decay = r.decay;
  if (r.batch) {
    p->batch = mem_block((size_t)r.steps * points);
    memcpy(p->batch, r.batch, (size_t)r.steps * points * sizeof *r.batch);
  }
  p->dt = r.dt;
  p->steps = r.steps;
  p->eta = mem_block((size_t)r.steps);
  for (int t = 0; t < r.steps; t++) p->eta[t] = r.eta;
  p->other = r.other;
  if (r.other_eta > 0) p->other_eta = mem_block((size_t)r.steps);
  for (int t = 0; t < r.steps && p->other_eta; t++) p->other_eta[t] = r.other_eta;
  p->model_name = mem_string("model");
  p->training_name = mem_string("training");
  p->dataset_name = mem_string("dataset");
  Diags diags = {0};
  Program *program = program_lower(p, pool, &diags);
  if (r.tied) program_tie(program, program->phi_matrix[1], program->phi_matrix[2]);
  return program;
}

typedef Status Solver(Program *program, const SolveOptions *options, Result **result, char **why);

/* The result, or an end of the program with the reason. */
static inline Result *solve_or_die(Solver *solver, Program *program, SolveOptions options) {
  Result *result;
  char *why = NULL;
  if (!options.threads) options.threads = 1;
  if (solver(program, &options, &result, &why) != STATUS_OK) {
    fprintf(stderr, "%s\n", why);
    exit(1);
  }
  return result;
}

/* The fluctuations of a theory, or an end of the program. */
static inline Result *fluctuations_or_die(const Result *theory, int threads) {
  Result *noise;
  char *why = NULL;
  if (solve_fluctuations(theory, &(SolveOptions){.threads = threads}, &noise, &why) != STATUS_OK) {
    fprintf(stderr, "%s\n", why);
    exit(1);
  }
  return noise;
}

/* A field's values, or its errors. */
static inline const Array *field_of(Result *result, const char *name, int layer) {
  char *why = NULL;
  ResultField *field = result_find(result, name, layer);
  if (field && !field->value && result_complete(result, name, &why) == STATUS_OK)
    field = result_find(result, name, layer);
  if (field && field->value) return field->value;
  fprintf(stderr, "no %s[%d]: %s\n", name, layer, why ? why : "no such field");
  exit(1);
}

static inline const Array *error_of(Result *result, const char *name, int layer) {
  field_of(result, name, layer);
  return result_find(result, name, layer)->error;
}

#endif
