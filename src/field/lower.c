/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From a checked problem to its field program. Each layer states its forward pass in a few lines;
 * the backward pass is derived from those by reverse-mode differentiation, and the updates follow
 * from which variables each matrix meets on its two sides. */
#include "base/memory.h"
#include "field/program.h"

#include <stdlib.h>
#include <string.h>

static int add_space(Program *p, SpaceKind kind, char *name, const Array *gram) {
  p->spaces = mem_grow(p->spaces, (size_t)(p->space_count + 1) * sizeof *p->spaces);
  p->spaces[p->space_count] = (Space){kind, name, gram};
  return p->space_count++;
}

static int add_variable(Program *p, char *name, int space, bool backward) {
  p->variables = mem_grow(p->variables, (size_t)(p->variable_count + 1) * sizeof *p->variables);
  p->variables[p->variable_count] = (Variable){name, space, backward};
  return p->variable_count++;
}

static int add_matrix(Program *p, char *name, int from, int to, double sigma, double rate) {
  p->matrices = mem_grow(p->matrices, (size_t)(p->matrix_count + 1) * sizeof *p->matrices);
  p->matrices[p->matrix_count] = (Matrix){.name = name,
                                          .from = from,
                                          .to = to,
                                          .sigma = sigma,
                                          .rate = rate,
                                          .decay = rate,
                                          .x = -1,
                                          .y = -1,
                                          .learns = -1};
  return p->matrix_count++;
}

static int emit(Program *p, Op op) {
  p->ops = mem_grow(p->ops, (size_t)(p->op_count + 1) * sizeof *p->ops);
  p->ops[p->op_count++] = op;
  return op.dst;
}

static int emit_apply(Program *p, char *name, int matrix, int x) {
  p->matrices[matrix].x = x;
  int dst = add_variable(p, name, p->matrices[matrix].to, false);
  return emit(p, (Op){.kind = OP_APPLY, .dst = dst, .matrix = matrix, .src = {x}, .src_count = 1});
}

static int emit_map(Program *p, char *name, const Expr *expr, int count, const int *src) {
  bool backward = false;
  for (int i = 0; i < count; i++) backward = backward || p->variables[src[i]].backward;
  Op op = {.kind = OP_MAP, .expr = expr, .src_count = count};
  for (int i = 0; i < count; i++) op.src[i] = src[i];
  op.dst = add_variable(p, name, p->variables[src[0]].space, backward);
  return emit(p, op);
}

/* The sum of variables, any number of them; takes over the name. */
static int emit_sum(Program *p, char *name, int count, const int *src) {
  if (count > OP_MAX_ARGS) {
    int all[count - OP_MAX_ARGS + 1];
    all[0] = emit_sum(p, mem_string(name), OP_MAX_ARGS, src);
    for (int i = OP_MAX_ARGS; i < count; i++) all[i - OP_MAX_ARGS + 1] = src[i];
    return emit_sum(p, name, count - OP_MAX_ARGS + 1, all);
  }
  const Expr *sum = expr_arg(p->pool, 0);
  for (int i = 1; i < count; i++)
    sum = expr_call(p->pool, PRIM_ADD, sum, expr_arg(p->pool, i), NULL);
  return emit_map(p, name, sum, count, src);
}

/* What the layers have built so far: the variable that leaves the last one, and counters for
 * names. */
typedef struct Chain {
  Program *p;
  int x;     /* the signal */
  int ones;  /* the constant input of the biases, -1 until needed */
  int depth; /* matrices so far, biases not counted */
  int maps;  /* activations so far */
} Chain;

static int bias_input(Chain *chain) {
  if (chain->ones < 0) {
    int space = add_space(chain->p, SPACE_INPUT, mem_string("1"), NULL);
    chain->ones = add_variable(chain->p, mem_string("1"), space, false);
    emit(chain->p, (Op){.kind = OP_INPUT, .dst = chain->ones});
  }
  return chain->ones;
}

/* Everything on space `b` lives on `a` from now on. */
static void merge_spaces(Program *p, int a, int b) {
  for (int v = 0; v < p->variable_count; v++)
    if (p->variables[v].space == b) p->variables[v].space = a;
  for (int m = 0; m < p->matrix_count; m++) {
    if (p->matrices[m].from == b) p->matrices[m].from = a;
    if (p->matrices[m].to == b) p->matrices[m].to = a;
  }
}

/* Closes the gaps that merging left, and numbers the populations. */
static void renumber_spaces(Program *p) {
  int count = 0, wide = 0;
  for (int s = 0; s < p->space_count; s++) {
    bool lives = false;
    for (int v = 0; v < p->variable_count && !lives; v++) lives = p->variables[v].space == s;
    if (!lives) {
      free(p->spaces[s].name);
      continue;
    }
    if (p->spaces[s].kind == SPACE_WIDE) {
      free(p->spaces[s].name);
      p->spaces[s].name = mem_format("n%d", ++wide);
    }
    merge_spaces(p, count, s);
    p->spaces[count++] = p->spaces[s];
  }
  p->space_count = count;
}

/* One layer on its way into the program: variable i of the layer is at[i]. */
typedef struct Lowering {
  Chain *chain;
  const Layer *layer;
  int *at;
} Lowering;

static bool was_met(const Program *p, int x) {
  for (int m = 0; m < p->matrix_count; m++)
    if (p->matrices[m].x == x) return true;
  return false;
}

/* What a matrix makes is a field h of its own, or, when it is summed with others, a part of one. */
static const char *name_of_image(const Layer *layer, int variable) {
  for (int i = 0; i < layer->step_count; i++)
    if (layer->steps[i].kind == STEP_MAP && expr_is_linear(layer->steps[i].expr) &&
        expr_depends(layer->steps[i].expr, variable))
      return "a";
  return "h";
}

/* The letters that a name begins with. */
static char *stem_of(const char *name) {
  size_t length = strcspn(name, "0123456789_");
  return length ? mem_format("%.*s", (int)length, name) : mem_string("W");
}

static int lower_apply(Lowering *l, const LayerStep *step, int variable) {
  Chain *chain = l->chain;
  Program *p = chain->p;
  const LayerMatrix *source = &l->layer->matrices[step->matrix];
  int x = l->at[step->source];
  int to = l->layer->readout ? add_space(p, SPACE_OUTPUT, mem_string("out"), NULL)
                             : add_space(p, SPACE_WIDE, mem_string("n"), NULL);
  bool level = !was_met(p, x);
  char *stem = stem_of(source->name);
  int matrix = add_matrix(p, mem_format("%s%d", stem, chain->depth), p->variables[x].space, to,
                          source->sigma, source->rate);
  free(stem);
  if (level) {
    p->phi_matrix = mem_grow(p->phi_matrix, (size_t)(p->layers + 1) * sizeof *p->phi_matrix);
    p->phi_matrix[p->layers++] = matrix;
  }
  chain->depth++;
  if (l->layer->readout) p->readout = matrix;
  char *name = l->layer->readout
                   ? mem_string("f")
                   : mem_format("%s%d", name_of_image(l->layer, variable), chain->depth);
  return emit_apply(p, name, matrix, x);
}

static int lower_bias(Lowering *l, const LayerStep *step) {
  Chain *chain = l->chain;
  Program *p = chain->p;
  const LayerMatrix *source = &l->layer->matrices[step->matrix];
  int one = bias_input(chain), to = add_space(p, SPACE_WIDE, mem_string("n"), NULL);
  int matrix = add_matrix(p, mem_format("b%d", chain->depth), p->variables[one].space, to,
                          source->sigma, source->rate);
  return emit_apply(p, mem_format("v%d", chain->depth), matrix, one);
}

static int lower_map(Lowering *l, const LayerStep *step, int variable) {
  Chain *chain = l->chain;
  Program *p = chain->p;
  const Expr *with[variable];
  int src[OP_MAX_ARGS], count = 0;
  for (int v = 0; v < variable; v++) {
    with[v] = NULL;
    if (!expr_depends(step->expr, v)) continue;
    if (count == OP_MAX_ARGS) return -1;
    with[v] = expr_arg(p->pool, count);
    src[count++] = l->at[v];
  }
  for (int i = 1; i < count; i++)
    if (p->variables[src[i]].space != p->variables[src[0]].space)
      merge_spaces(p, p->variables[src[0]].space, p->variables[src[i]].space);
  char *name = expr_is_linear(step->expr) ? mem_format("h%d", chain->depth)
                                          : mem_format("x%d", ++chain->maps);
  return emit_map(p, name, expr_substitute(p->pool, step->expr, with), count, src);
}

/* False after reporting. */
static bool lower_layer(Chain *chain, const Layer *layer, Diags *diags) {
  Lowering l = {chain, layer, mem_new((size_t)layer->step_count + 1, sizeof *l.at)};
  bool fine = true;
  l.at[0] = chain->x;
  for (int i = 0; i < layer->step_count && fine; i++) {
    const LayerStep *step = &layer->steps[i];
    switch (step->kind) {
    case STEP_APPLY: l.at[i + 1] = lower_apply(&l, step, i + 1); break;
    case STEP_BIAS: l.at[i + 1] = lower_bias(&l, step); break;
    case STEP_MAP: l.at[i + 1] = lower_map(&l, step, i + 1); break;
    }
    fine = l.at[i + 1] >= 0;
  }
  if (fine)
    chain->x = l.at[layer->result];
  else
    diag_error(diags, STATUS_LIMIT, layer->span, "name its parts on lines of their own",
               "an expression of this layer combines more than %d variables", OP_MAX_ARGS);
  free(l.at);
  return fine;
}

/* Reverse mode. What is derived through one use of a variable is a part of its adjoint, gamma N
 * df/dv; where several uses meet, the parts add. */
typedef struct Parts {
  int *list, count;
} Parts;

typedef struct Reverse {
  Program *p;
  Parts *parts; /* [variable] */
  int seed;     /* the unit vectors of the outputs */
  Rule rule;    /* how it passes a matrix: by its transpose, or by what stands in for it */
} Reverse;

/* g and z for gradients by h and x, p and q for what stands in for them under another rule. */
static char *backward_name(const Reverse *r, int variable) {
  const char *name = r->p->variables[variable].name;
  bool gradient = r->rule == RULE_BACKPROP;
  switch (name[0]) {
  case 'h': return mem_format("%c%s", gradient ? 'g' : 'p', name + 1);
  case 'x': return mem_format("%c%s", gradient ? 'z' : 'q', name + 1);
  default: return mem_format("%c%s", gradient ? 'd' : 'c', name);
  }
}

static void accumulate(Reverse *r, int variable, int part) {
  Parts *parts = &r->parts[variable];
  parts->list = mem_grow(parts->list, (size_t)(parts->count + 1) * sizeof *parts->list);
  parts->list[parts->count++] = part;
}

/* Parts of a sum that would bear its name: z is made of d, d', ... and g of k, k', ... */
static void rename_parts(Program *p, const Parts *parts, const char *sum) {
  char *name = mem_format("%c%s", *sum == 'g' ? 'k' : 'd', sum + 1);
  for (int i = 0; i < parts->count; i++) {
    Variable *part = &p->variables[parts->list[i]];
    if (strcmp(part->name, sum) != 0) continue;
    free(part->name);
    part->name = name;
    name = mem_format("%s'", name);
  }
  free(name);
}

/* The variable that holds the adjoint, or -1. All uses have been seen. */
static int adjoint_of(Reverse *r, int variable) {
  Parts *parts = &r->parts[variable];
  if (parts->count == 0) return -1;
  if (parts->count > 1) {
    char *name = backward_name(r, variable);
    rename_parts(r->p, parts, name);
    parts->list[0] = emit_sum(r->p, name, parts->count, parts->list);
    parts->count = 1;
  }
  return parts->list[0];
}

/* A frozen matrix of its own statistics that takes the place of a transpose: from the same
 * variable, or for direct feedback straight from the outputs, with unit entries. */
static int feedback_matrix(const Reverse *r, int matrix, int y) {
  Program *p = r->p;
  const Matrix *own = &p->matrices[matrix];
  bool direct = r->rule == RULE_DIRECT_FEEDBACK_ALIGNMENT;
  char *name = mem_format("F%s", own->name + strcspn(own->name, "0123456789"));
  int feedback = add_matrix(p, name, own->from, direct ? p->variables[y].space : own->to,
                            direct ? 1 : own->sigma, 0);
  p->matrices[feedback].y = p->matrices[feedback].learns = y;
  return feedback;
}

/* Notes what the matrix meets, or under another rule only learns, and passes it on. */
static void reverse_apply(Reverse *r, const Op *op, int y) {
  Program *p = r->p;
  Matrix *matrix = &p->matrices[op->matrix];
  matrix->learns = y;
  if (r->rule == RULE_BACKPROP) matrix->y = y;
  if (p->spaces[matrix->from].kind != SPACE_WIDE) return;
  int by = op->matrix;
  if (r->rule == RULE_DIRECT_FEEDBACK_ALIGNMENT) y = r->seed;
  if (r->rule != RULE_BACKPROP) by = feedback_matrix(r, by, y);
  int from = p->matrices[by].from;
  int dst = add_variable(p, backward_name(r, op->src[0]), from, true);
  emit(p, (Op){.kind = OP_APPLY_T, .dst = dst, .matrix = by, .src = {y}, .src_count = 1});
  accumulate(r, op->src[0], dst);
}

/* d/d(argument i) of the map, times the adjoint y of its result. */
static void reverse_argument(Reverse *r, const Op *op, int i, int y) {
  Program *p = r->p;
  const Expr *slope = expr_diff(p->pool, op->expr, i);
  if (slope->prim == PRIM_CONST && slope->value == 0) return;
  int src[OP_MAX_ARGS], count = 0;
  const Expr *with[OP_MAX_ARGS];
  if (slope->prim == PRIM_CONST && slope->value == 1) {
    accumulate(r, op->src[i], y);
    return;
  }
  for (int k = 0; k < op->src_count; k++) {
    with[k] = NULL;
    if (!expr_depends(slope, k)) continue;
    with[k] = expr_arg(p->pool, count);
    src[count++] = op->src[k];
  }
  slope = expr_substitute(p->pool, slope, with);
  src[count] = y;
  const Expr *product = expr_call(p->pool, PRIM_MUL, slope, expr_arg(p->pool, count), NULL);
  accumulate(r, op->src[i], emit_map(p, backward_name(r, op->src[i]), product, count + 1, src));
}

static void reverse_program(Program *p, int f, int seed, Rule rule) {
  int count = p->variable_count;
  Reverse r = {p, mem_new((size_t)count, sizeof *r.parts), seed, rule};
  accumulate(&r, f, seed);
  for (int i = p->forward_count - 1; i >= 0; i--) {
    Op op = p->ops[i];
    int y = adjoint_of(&r, op.dst);
    if (y < 0) continue;
    if (op.kind == OP_APPLY) reverse_apply(&r, &op, y);
    if (op.kind == OP_MAP)
      for (int k = 0; k < op.src_count; k++) reverse_argument(&r, &op, k, y);
  }
  for (int v = 0; v < count; v++) free(r.parts[v].list);
  free(r.parts);
}

/* Hebb's rule: the stand-in for the gradient of a field is Delta times the features that the
 * network next makes of that population. */
static void learn_features(Program *p) {
  for (int i = 0; i < p->forward_count; i++) {
    Matrix *matrix = &p->matrices[p->ops[i].matrix];
    if (p->ops[i].kind != OP_APPLY || p->spaces[matrix->to].kind != SPACE_WIDE) continue;
    int next = i + 1;
    while (p->ops[next].kind != OP_APPLY || p->variables[p->ops[next].src[0]].space != matrix->to)
      next++;
    int x = p->ops[next].src[0];
    char *name =
        mem_format("p%s", p->variables[x].name + strcspn(p->variables[x].name, "0123456789"));
    matrix->learns = add_variable(p, name, matrix->to, true);
    emit(p, (Op){.kind = OP_WEIGH, .dst = matrix->learns, .src = {x}, .src_count = 1});
  }
}

/* What stands in for the gradients under the learning rule of the problem. The readout learns by
 * its gradient under all of them. */
static void follow_rule(Program *p, int f, int seed) {
  Rule rule = p->problem->rule;
  p->gradient_count = p->op_count;
  if (rule == RULE_HEBB)
    learn_features(p);
  else if (rule != RULE_BACKPROP)
    reverse_program(p, f, seed, rule);
}

/* Weights of variance 1 / fan-in that move by their plain gradient: as operators in the units of
 * this program they learn faster than those of the NTK parameterization by the fan-in. */
static bool learn_by_fan_in(Program *p, Diags *diags) {
  const Problem *problem = p->problem;
  for (int m = 0; m < p->matrix_count; m++) {
    Matrix *matrix = &p->matrices[m];
    const Space *from = &p->spaces[matrix->from];
    if (from->kind == SPACE_WIDE) matrix->rate *= problem->width ? problem->width : 1;
    if (from->kind == SPACE_INPUT && from->gram) matrix->rate *= problem->dimension;
  }
  if (problem->dimension) return true;
  diag_error(
      diags, STATUS_SCRIPT, problem->training_span, "give 'inputs' in place of 'gram'",
      "the standard parameterization needs the dimension of the inputs: it sets how fast the "
      "first layer learns");
  return false;
}

static bool all_linear(const Program *p) {
  for (int i = 0; i < p->op_count; i++)
    if (p->ops[i].kind == OP_MAP && !expr_is_linear(p->ops[i].expr)) return false;
  return true;
}

/* Where an activation has zero derivative, no gradient reaches the matrices below. Frozen ones
 * (random features) then carry a backward variable that is zero; trained ones are a mistake. */
static bool reach_all(Program *p, Diags *diags) {
  for (int m = 0; m < p->matrix_count; m++) {
    Matrix *matrix = &p->matrices[m];
    if (matrix->y >= 0) continue;
    if (matrix->rate != 0) {
      diag_error(diags, STATUS_SCRIPT, p->problem->model_span,
                 "with train = false its weights stay as drawn: random features",
                 "no gradient reaches %s: an activation above it has zero derivative",
                 matrix->name);
      return false;
    }
    int image = -1;
    for (int i = 0; i < p->forward_count; i++)
      if (p->ops[i].kind == OP_APPLY && p->ops[i].matrix == m) image = p->ops[i].dst;
    matrix->y = matrix->learns =
        add_variable(p, backward_name(&(Reverse){.p = p}, image), matrix->to, true);
    emit(p, (Op){.kind = OP_MAP,
                 .dst = matrix->y,
                 .expr = expr_const(p->pool, 0),
                 .src = {image},
                 .src_count = 1});
  }
  return true;
}

Program *program_lower(Problem *problem, ExprPool *pool, Diags *diags) {
  Program *p = mem_new(1, sizeof *p);
  p->references = 1;
  p->problem = problem;
  p->pool = pool;
  int input = add_space(p, SPACE_INPUT, mem_string("data"), problem->gram);
  Chain chain = {.p = p, .ones = -1};
  chain.x = emit(p, (Op){.kind = OP_INPUT, .dst = add_variable(p, mem_string("x0"), input, false)});
  bool sound = true;
  for (int i = 0; i < problem->layer_count && sound; i++)
    sound = lower_layer(&chain, &problem->layers[i], diags);
  if (!sound) {
    program_drop(p);
    return NULL;
  }
  p->layers--; /* the levels are numbered from 0, the inputs */
  renumber_spaces(p);
  p->forward_count = p->op_count;
  int seed = add_variable(p, mem_string("e"), p->variables[chain.x].space, true);
  emit(p, (Op){.kind = OP_SEED, .dst = seed});
  reverse_program(p, chain.x, seed, RULE_BACKPROP);
  bool reached = reach_all(p, diags);
  if (reached) follow_rule(p, chain.x, seed);
  if (reached && problem->parameterization == PARAM_STANDARD) reached = learn_by_fan_in(p, diags);
  find_responses(p);
  p->linear = all_linear(p);
  p->update = update_of(problem);
  lower_loss(p);
  if (reached) return p;
  program_drop(p);
  return NULL;
}

Program *program_keep(Program *program) {
  program->references++;
  return program;
}

void program_drop(Program *p) {
  if (!p || --p->references > 0) return;
  for (int i = 0; i < p->space_count; i++) free(p->spaces[i].name);
  for (int i = 0; i < p->matrix_count; i++) free(p->matrices[i].name);
  for (int i = 0; i < p->variable_count; i++) free(p->variables[i].name);
  free(p->spaces);
  free(p->matrices);
  free(p->variables);
  free(p->ops);
  free(p->phi_matrix);
  free(p->update.rate);
  free(p->delta);
  problem_free(p->problem);
  free(p);
}
