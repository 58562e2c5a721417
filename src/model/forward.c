/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/forward.h"
#include "base/memory.h"
#include "model/builtins.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_MATRICES = 64, MOST_PIXELS = 1000, MOST_POSITIONS = 1000000 };

/* The forward pass of a layer under way. A variable is the symbol expr_arg(its index), so that all
 * that scripts do with numbers makes elementwise maps of variables. */
typedef struct Forward {
  Layer layer;
  const Link *link; /* NULL in a check of the body alone */
  bool inputs;      /* what enters are the inputs, not yet neurons */
  bool apart;       /* matrices act on every position of the inputs, not on all together */
  Grid enters;      /* positions of what enters */
  int depth;        /* how many layers of its kind the chain has */
  bool used[MOST_MATRICES];
  bool broken;
} Forward;

/* ---- positions ---- */

const Grid nominal_grid = {1, 4, false};
static const Grid single = {1, 1, false};

static Grid larger(Grid a, Grid b) { return grid_size(b) > grid_size(a) ? b : a; }

/* Positions of what a step gives, from those of the variables before it. */
static Grid grid_of_step(const Forward *f, const LayerStep *step, const Grid *grids, int count) {
  Grid grid = single;
  switch (step->kind) {
  case STEP_APPLY: {
    const LayerMatrix *m = &f->layer.matrices[step->matrix];
    if (m->window) return grid_strided(grids[step->source], m->stride);
    return f->inputs && step->source == 0 ? single : grids[step->source];
  }
  case STEP_MAP:
    for (int v = 0; v < count; v++)
      if (expr_depends(step->expr, v)) grid = larger(grid, grids[v]);
    return grid;
  case STEP_AVERAGE:
    return step->other < 0 ? grids[step->source] : larger(grids[step->source], grids[step->other]);
  case STEP_APPLY_T:
  case STEP_CODES:
  case STEP_GRAM:
  case STEP_SOFTMAX:
  case STEP_BATCH:
  case STEP_BLEND:
  case STEP_DROP: return grids[step->source];
  case STEP_POOL:
    return step->window ? grid_pooled(grids[step->source], step->window, step->stride) : single;
  case STEP_TABLE: return (Grid){1, (int)step->table->shape[0], false};
  case STEP_BIAS:
  case STEP_AT:
  case STEP_FLATTEN: break;
  }
  return single;
}

/* The positions of the first `count` variables, to be freed. */
static Grid *grids_of(const Forward *f, int count) {
  Grid *grids = mem_new((size_t)count, sizeof *grids);
  grids[0] = f->enters;
  for (int i = 0; i + 1 < count; i++)
    grids[i + 1] = grid_of_step(f, &f->layer.steps[i], grids, i + 1);
  return grids;
}

static Grid grid_of(const Forward *f, int variable) {
  Grid *grids = grids_of(f, variable + 1), grid = grids[variable];
  free(grids);
  return grid;
}

/* ---- matrices ---- */

/* Where a wrong number was given: behind a parameter of the layer it is the chain that is at fault.
 */
static Span origin(Call *call, int i, const char **name) {
  const Link *link = call->eval->forward ? call->eval->forward->link : NULL;
  *name = call_argument_name(call, i);
  for (int k = 0; link && k < link->count; k++)
    if (link->args[k] == call->args[i]) {
      if (link->maker->kind == VALUE_LAYER) *name = link->maker->function->kid[k]->name;
      return link->places[k];
    }
  return call->places[i];
}

/* A finite number >= 0; reports otherwise. What a check does not know passes. */
static bool magnitude(Call *call, int i, double *number) {
  const Value *value = call->args[i];
  const char *name;
  Span place = origin(call, i, &name);
  *number = 1;
  if (value->kind == VALUE_NUMBER && !value->known) return true;
  if (value->kind != VALUE_NUMBER) {
    eval_error(call->eval, place, NULL, "'%s' must be a number, not %s", name,
               value_describe(value));
    return false;
  }
  *number = value->number;
  if (isfinite(*number) && *number >= 0) return true;
  eval_error(call->eval, place, NULL, "'%s' must be finite and at least 0, not %g", name, *number);
  return false;
}

/* True or false; reports otherwise. */
static bool truth(Call *call, int i, bool *yes) {
  const Value *value = call->args[i];
  const char *name;
  Span place = origin(call, i, &name);
  *yes = value->kind == VALUE_NUMBER && value->number != 0;
  if (value->kind == VALUE_NUMBER && (!value->known || value->number == *yes)) return true;
  eval_error(call->eval, place, NULL, "'%s' must be true or false, not %s", name,
             value_describe(value));
  return false;
}

/* A standard deviation for each of several inputs: numbers >= 0; reports otherwise. */
static bool scales_of(Call *call, int i, Array **scales) {
  const char *name;
  Span place = origin(call, i, &name);
  const Array *list = call->args[i]->array;
  bool sound = list->rank == 1 && list->size > 0;
  for (size_t k = 0; sound && k < list->size && call->args[i]->known; k++)
    sound = isfinite(list->data[k]) && list->data[k] >= 0;
  if (sound)
    *scales = array_keep(call->args[i]->array);
  else
    eval_error(call->eval, place, "one number for each dimension of the inputs",
               "'%s' must be a number, or a list of numbers that are at least 0", name);
  return sound;
}

static int argument_of(const Call *call, const char *name) {
  int i = 0;
  while (strcmp(call_argument_name(call, i), name) != 0) i++;
  return i;
}

/* The law of the initial entries; reports what is none. */
static bool law_of(Call *call, Law *law) {
  int i = argument_of(call, "law");
  const Value *value = call->args[i];
  const char *name;
  Span place = origin(call, i, &name);
  if (value->kind != VALUE_STRING) {
    eval_error(call->eval, place, "\"normal\", \"uniform\", \"sign\" or \"orthogonal\"",
               "'%s' must be a string, not %s", name, value_describe(value));
    return false;
  }
  int k = 0;
  while (k < LAWS && strcmp(law_names[k], value->string) != 0) k++;
  *law = k < LAWS ? (Law)k : LAW_NORMAL;
  if (k == LAWS)
    eval_unknown(call->eval, place, value->string, law_names, "unknown law '%s' of weights",
                 value->string);
  return k < LAWS;
}

/* The standard deviation, which is argument `first`, or, where this may be, several of them, the
 * rate, 0 without `train`, and the law. */
static bool weights_of(Call *call, int first, bool several, LayerMatrix *m) {
  bool train;
  several = several && call->args[first]->kind == VALUE_ARRAY;
  m->sigma = 1;
  bool sound = (several ? scales_of(call, first, &m->scales) : magnitude(call, first, &m->sigma)) &
               magnitude(call, argument_of(call, "rate"), &m->rate) &
               truth(call, argument_of(call, "train"), &train) & law_of(call, &m->law);
  if (sound && !train) m->rate = 0;
  return sound;
}

/* The size of what a matrix makes, in units of the width of the model: positive, or none. */
static bool ratio_of(Call *call, double *ratio) {
  int i = argument_of(call, "width");
  const char *name;
  Span place = origin(call, i, &name);
  *ratio = 0;
  if (call->args[i]->kind == VALUE_NONE) return true;
  if (!magnitude(call, i, ratio)) return false;
  if (*ratio > 0) return true;
  eval_error(call->eval, place, "width = 2 is twice as many neurons as the model's width",
             "'%s' must be a positive number, in units of the model's width", name);
  return false;
}

/* A function that layers use is checked by itself, too. */
static Value *outside(Call *call) {
  bool unknown = !call->eval->forward && call->eval->doubt;
  return value_new(&call->eval->heap, unknown ? VALUE_UNKNOWN : VALUE_BROKEN);
}

static Forward *forward_of(Call *call) {
  if (!call->eval->forward && !call->eval->doubt)
    eval_error(call->eval, call->span, "layer NAME(...) of x { W = matrix() ... }",
               "'%s' belongs in the body of a layer", call->row->name);
  return call->eval->forward;
}

static int new_matrix(Call *call, const char *name, LayerMatrix matrix) {
  Layer *layer = &call->eval->forward->layer;
  matrix.name = mem_string(name);
  matrix.factor = 1;
  if (layer->matrix_count < MOST_MATRICES) return layer_matrix(layer, matrix);
  free(matrix.name);
  array_drop(matrix.scales);
  eval_error(call->eval, call->span, NULL, "a layer has at most %d matrices", MOST_MATRICES);
  return -1;
}

/* A whole number of pixels, at least 1; reports otherwise. */
static bool pixels(Call *call, int i, int *number) {
  const Value *value = call->args[i];
  const char *name;
  Span place = origin(call, i, &name);
  *number = 1;
  if (value->kind == VALUE_NUMBER && !value->known) return true;
  double n = value->kind == VALUE_NUMBER ? value->number : 0;
  if (n >= 1 && n <= MOST_PIXELS && n == floor(n)) {
    *number = (int)n;
    return true;
  }
  eval_error(call->eval, place, NULL, "'%s' must be a whole number from 1 to %d", name,
             MOST_PIXELS);
  return false;
}

/* window, padding, stride from argument 3 on; they are sound without a window, too */
static bool window_of(Call *call, LayerMatrix *matrix) {
  static const char *const paddings[] = {"circular", "zero", NULL};
  const Value *padding = call->args[4];
  const char *name;
  Span place = origin(call, 4, &name);
  if (padding->kind != VALUE_STRING) {
    eval_error(call->eval, place, "\"circular\" or \"zero\"", "'%s' must be a string, not %s", name,
               value_describe(padding));
    return false;
  }
  matrix->circular = strcmp(padding->string, "circular") == 0;
  if (!matrix->circular && strcmp(padding->string, "zero") != 0) {
    eval_unknown(call->eval, place, padding->string, paddings, "unknown padding '%s'",
                 padding->string);
    return false;
  }
  bool whole = call->args[3]->kind == VALUE_NONE, sound = whole || pixels(call, 3, &matrix->window);
  sound &= pixels(call, 5, &matrix->stride) &
           pixels(call, argument_of(call, "dilation"), &matrix->dilation);
  if (whole) {
    matrix->circular = false;
    matrix->stride = matrix->dilation = 1;
  }
  return sound;
}

Value *builtin_matrix(Call *call) {
  LayerMatrix matrix = {.stride = 1, .dilation = 1, .parts = 1};
  if (!forward_of(call) || !weights_of(call, 0, true, &matrix) || !window_of(call, &matrix) ||
      !ratio_of(call, &matrix.ratio) || !pixels(call, argument_of(call, "parts"), &matrix.parts)) {
    array_drop(matrix.scales);
    return outside(call);
  }
  int index = new_matrix(call, "W", matrix);
  if (index < 0) return call_broken(call);
  Value *value = value_new(&call->eval->heap, VALUE_MATRIX);
  value->matrix.index = index;
  value->matrix.factor = 1;
  return value;
}

static const Expr *field_of(Eval *eval, Span span, const char *what, const Value *value);
static int map_step(Eval *eval, Span span, const Expr *e);

static Value *variable(Eval *eval, int index) {
  Value *value = value_new(&eval->heap, VALUE_SYMBOL);
  value->symbol = expr_arg(eval->pool, index);
  return value;
}

Value *builtin_bias(Call *call) {
  Forward *f = forward_of(call);
  LayerMatrix matrix = {.parts = 1};
  if (!f || !weights_of(call, 0, false, &matrix)) return outside(call);
  if (matrix.sigma == 0) return value_number(&call->eval->heap, 0);
  int index = new_matrix(call, "b", matrix);
  if (index < 0) return call_broken(call);
  f->used[index] = true;
  return variable(call->eval,
                  layer_step(&f->layer, (LayerStep){.kind = STEP_BIAS, .matrix = index}));
}

Value *builtin_codes(Call *call) {
  Eval *eval = call->eval;
  LayerMatrix matrix = {.parts = 1};
  if (!forward_of(call) || !weights_of(call, 1, false, &matrix)) return outside(call);
  const Expr *e = field_of(eval, call->places[0],
                           "codes are for the positions of what enters the layer", call->args[0]);
  if (!e) return call_broken(call);
  int source = map_step(eval, call->span, e), index = new_matrix(call, "C", matrix);
  if (index < 0) return call_broken(call);
  Forward *f = eval->forward;
  f->used[index] = true;
  return variable(
      eval,
      layer_step(&f->layer, (LayerStep){.kind = STEP_CODES, .matrix = index, .source = source}));
}

Value *forward_scale(Eval *eval, Span span, const Value *matrix, const Value *factor) {
  double number = factor->known ? factor->number : 1;
  if (!isfinite(number))
    return eval_error(eval, span, NULL, "the number before a matrix must be finite, not %g",
                      number);
  Value *value = value_new(&eval->heap, VALUE_MATRIX);
  value->matrix = matrix->matrix;
  value->matrix.factor *= number;
  value->literal = factor->literal;
  return value;
}

/* Whether a layer is under way; reports otherwise. */
static bool in_layer(Eval *eval, Span span) {
  if (!eval->forward) eval_error(eval, span, NULL, "a matrix acts in the body of its layer");
  return eval->forward != NULL;
}

Value *forward_transpose(Eval *eval, Span span, const Value *matrix) {
  if (!in_layer(eval, span)) return value_new(&eval->heap, VALUE_BROKEN);
  if (eval->forward->layer.matrices[matrix->matrix.index].window)
    return eval_error(eval, span, NULL, "a convolution has no transpose in this version");
  Value *value = value_new(&eval->heap, VALUE_MATRIX);
  value->matrix = matrix->matrix;
  value->matrix.transposed = !matrix->matrix.transposed;
  return value;
}

/* ---- maps ---- */

static int highest_variable(const Expr *e) {
  int highest = e->prim == PRIM_ARG ? e->index : -1;
  for (int i = 0; i < prim_arity(e->prim); i++) {
    int below = highest_variable(e->arg[i]);
    if (below > highest) highest = below;
  }
  return highest;
}

static int count_variables(const Expr *e) {
  int count = 0, last = highest_variable(e);
  for (int i = 0; i <= last; i++) count += expr_depends(e, i);
  return count;
}

/* Whether it is a multiple of one operand. */
static bool is_multiple(const Expr *e) {
  return e->prim == PRIM_NEG || (e->prim == PRIM_MUL && e->arg[0]->prim == PRIM_CONST) ||
         (e->prim == PRIM_DIV && e->arg[1]->prim == PRIM_CONST);
}

/* Sums of several variables inside an expression become variables of their own: fields add to a
 * field, and functions act on one, or on multiples of it. */
static const Expr *name_sums(Eval *eval, Span span, const Expr *e) {
  if (expr_is_linear(e) && !is_multiple(e) && count_variables(e) > 1)
    return expr_arg(eval->pool, map_step(eval, span, e));
  const Expr *arg[3] = {NULL};
  int arity = prim_arity(e->prim);
  for (int i = 0; i < arity; i++) arg[i] = name_sums(eval, span, e->arg[i]);
  return arity ? expr_call_whole(eval->pool, e->prim, arg[0], arg[1], arg[2]) : e;
}

/* Whether a variable is the inputs, or one position of them. */
static bool is_input(const Forward *f, int variable) {
  if (!f->inputs || variable <= 0) return f->inputs && variable == 0;
  const LayerStep *step = &f->layer.steps[variable - 1];
  return step->kind == STEP_AT && step->source == 0;
}

static bool has_input(const Forward *f, const Expr *e) {
  for (int v = highest_variable(e); v >= 0; v--)
    if (expr_depends(e, v) && is_input(f, v)) return true;
  return false;
}

/* Reports, once for each layer, what works on neurons and meets inputs. */
static void refuse_inputs(Eval *eval, Span span, bool meets) {
  Forward *f = eval->forward;
  if (!f->inputs || !meets || f->broken) return;
  f->broken = true;
  eval_error(eval, f->link ? f->link->span : span, "dense(linear) makes neurons of the inputs",
             "'%s' cannot stand before the first dense layer: it is for neurons",
             f->link && f->link->maker->kind == VALUE_LAYER ? f->link->maker->function->name
                                                            : "this");
}

/* Of as many variables as an operation of a program takes: the widest parts of what has more become
 * variables of their own. */
static const Expr *narrowed(Eval *eval, Span span, const Expr *e) {
  enum { MOST_VARIABLES = 8 };
  if (count_variables(e) <= MOST_VARIABLES) return e;
  const Expr *arg[3] = {NULL};
  int arity = prim_arity(e->prim), widest = 0;
  for (int i = 0; i < arity; i++) arg[i] = e->arg[i];
  for (int i = 1; i < arity; i++)
    if (count_variables(arg[i]) > count_variables(arg[widest])) widest = i;
  arg[widest] = expr_arg(eval->pool, map_step(eval, span, arg[widest]));
  return narrowed(eval, span, expr_call_whole(eval->pool, e->prim, arg[0], arg[1], arg[2]));
}

/* The variable that holds the expression. */
static int map_step(Eval *eval, Span span, const Expr *e) {
  Forward *f = eval->forward;
  if (e->prim == PRIM_ARG) return e->index;
  if (!expr_is_linear(e)) e = name_sums(eval, span, e);
  e = narrowed(eval, span, e);
  if (e->prim == PRIM_ARG) return e->index;
  for (int i = 0; i < f->layer.step_count; i++)
    if (f->layer.steps[i].kind == STEP_MAP && f->layer.steps[i].expr == e) return i + 1;
  refuse_inputs(eval, span, has_input(f, e));
  return layer_step(&f->layer, (LayerStep){.kind = STEP_MAP, .expr = e});
}

/* The variable of a step that is no map: the same step is taken once. */
static int known_step(Layer *layer, LayerStep step) {
  for (int i = 0; i < layer->step_count; i++) {
    const LayerStep *own = &layer->steps[i];
    if (own->kind == step.kind && own->matrix == step.matrix && own->source == step.source &&
        own->other == step.other && own->position == step.position && own->causal == step.causal)
      return i + 1;
  }
  return layer_step(layer, step);
}

/* The expression that a value stands for, or NULL after reporting. */
static const Expr *field_of(Eval *eval, Span span, const char *what, const Value *value) {
  if (value->kind == VALUE_SYMBOL) return value->symbol;
  if (value->kind != VALUE_BROKEN && value->kind != VALUE_UNKNOWN)
    eval_error(eval, span, NULL, "%s, not %s", what, value_describe(value));
  return NULL;
}

static bool is_zero(const Value *value) {
  return value->kind == VALUE_NUMBER && value->known && value->number == 0;
}

/* A matrix on the inputs, or on one position of them, acts on every position in the same way if
 * one is chosen, or if the chain goes on to work with them: a window of one pixel. The variable
 * that it acts on; -1 after reporting. */
static int input_of(Eval *eval, Span span, LayerMatrix *m, bool used, int source) {
  Forward *f = eval->forward;
  if (!is_input(f, source) || (source == 0 && (m->window || !f->apart))) return source;
  if (source > 0 && (used ? m->window != 1 : m->window > 1)) {
    eval_error(eval, span, NULL, "the matrix '%s' acts on one position of the inputs, and on more",
               m->name);
    return -1;
  }
  m->window = m->stride = m->dilation = 1;
  return 0;
}

Value *forward_apply(Eval *eval, Span span, Value *matrix, Value *x) {
  Forward *f = eval->forward;
  if (!in_layer(eval, span)) return value_new(&eval->heap, VALUE_BROKEN);
  if (is_zero(x)) return x;
  const Expr *e =
      field_of(eval, span, "a matrix acts on what enters the layer or is made of it", x);
  int index = matrix->matrix.index;
  if (x->kind == VALUE_UNKNOWN) f->used[index] = true;
  if (!e) return value_new(&eval->heap, x->kind == VALUE_UNKNOWN ? VALUE_UNKNOWN : VALUE_BROKEN);
  int source = map_step(eval, span, e);
  StepKind kind = matrix->matrix.transposed ? STEP_APPLY_T : STEP_APPLY;
  double factor = matrix->matrix.factor;
  LayerMatrix *m = &f->layer.matrices[index];
  if (kind == STEP_APPLY_T) refuse_inputs(eval, span, is_input(f, source));
  int at = source, used = f->used[index];
  source = input_of(eval, span, m, used, source);
  if (source < 0) return value_new(&eval->heap, VALUE_BROKEN);
  if (!used) m->factor = factor != 0 || matrix->literal ? factor : 1;
  f->used[index] = true;
  int made = known_step(&f->layer, (LayerStep){.kind = kind, .matrix = index, .source = source});
  if (at != source)
    made = known_step(
        &f->layer,
        (LayerStep){.kind = STEP_AT, .source = made, .position = f->layer.steps[at - 1].position});
  Value *image = variable(eval, made);
  if (factor == m->factor) return image;
  if (m->factor == 0)
    return eval_error(eval, span, NULL,
                      "the matrix '%s' has the number 0 before it where it acts first", m->name);
  image->symbol = expr_call_whole(eval->pool, PRIM_MUL, expr_const(eval->pool, factor / m->factor),
                                  image->symbol, NULL);
  return image;
}

/* A step of one variable, or of two, that works on neurons. */
static Value *joined(Eval *eval, const Span *places, Span span, const char *what, LayerStep step,
                     const Value *x, const Value *y) {
  const Expr *e = field_of(eval, places[0], what, x);
  const Expr *other = y ? field_of(eval, places[1], what, y) : NULL;
  if (!e || (y && !other)) return value_new(&eval->heap, VALUE_BROKEN);
  step.source = map_step(eval, span, e);
  step.other = y ? map_step(eval, span, other) : -1;
  Forward *f = eval->forward;
  refuse_inputs(eval, span, is_input(f, step.source) || is_input(f, step.other));
  return variable(eval, known_step(&f->layer, step));
}

Value *forward_average(Call *call, const Value *x, const Value *y) {
  if (!forward_of(call)) return outside(call);
  return joined(call->eval, call->places, call->span,
                "an average over neurons is of what enters the layer or is made of it",
                (LayerStep){.kind = STEP_AVERAGE}, x, y);
}

Value *forward_spread(Call *call, bool root) {
  Eval *eval = call->eval;
  Value *mean = forward_average(call, call->args[0], NULL);
  Value *less = eval_prim(eval, call->span, PRIM_SUB, call->args[0], mean);
  Value *variance = less->kind == VALUE_SYMBOL ? forward_average(call, less, less) : less;
  return root ? eval_prim(eval, call->span, PRIM_SQRT, variance, NULL) : variance;
}

Value *forward_gram(Call *call, const Value *x, const Value *y) {
  if (!forward_of(call)) return outside(call);
  return joined(call->eval, call->places, call->span,
                "averages over neurons are of what enters the layer or is made of it",
                (LayerStep){.kind = STEP_GRAM}, x, y);
}

/* A table of scores: dot(x, y) of two variables is there that of all pairs of positions, gram(x,
 * y), unless there is such a table already. Where there are none of two, dot(x, x) is. */
static const Expr *of_pairs(Eval *eval, const Expr *e) {
  Layer *layer = &eval->forward->layer;
  int count = highest_variable(e) + 1, distinct = 0;
  for (int v = 1; v < count; v++) {
    const LayerStep *step = &layer->steps[v - 1];
    if (!expr_depends(e, v)) continue;
    if (step->kind == STEP_GRAM) return e;
    distinct += step->kind == STEP_AVERAGE && step->other >= 0 && step->other != step->source;
  }
  const Expr **with = mem_new((size_t)count, sizeof *with);
  for (int v = 0; v < count; v++) {
    with[v] = expr_arg(eval->pool, v);
    LayerStep step = v ? layer->steps[v - 1] : (LayerStep){.kind = STEP_MAP};
    bool pairs = step.kind == STEP_AVERAGE && step.other >= 0 && expr_depends(e, v) &&
                 (!distinct || step.other != step.source);
    step.kind = STEP_GRAM;
    if (pairs) with[v] = expr_arg(eval->pool, known_step(layer, step));
  }
  const Expr *table = expr_substitute_whole(eval->pool, e, with);
  free(with);
  return table;
}

Value *forward_softmax(Call *call) {
  bool causal;
  if (!forward_of(call) || !truth(call, 1, &causal)) return outside(call);
  Value *table = value_new(&call->eval->heap, VALUE_SYMBOL);
  table->symbol = of_pairs(call->eval, call->args[0]->symbol);
  return joined(call->eval, call->places, call->span, "the softmax is of a table of pairs",
                (LayerStep){.kind = STEP_SOFTMAX, .causal = causal}, table, NULL);
}

Value *forward_table(Eval *eval, Span span, const Value *numbers) {
  Layer *layer = &eval->forward->layer;
  const Array *array = numbers->array;
  if (array->rank != 2 || array->shape[0] > MOST_POSITIONS || array->shape[1] > MOST_POSITIONS)
    return eval_error(eval, span, "reshape(v, -1, 1) has a number for each position",
                      "numbers of a layer are a table of pairs of positions, or [positions, 1], "
                      "not an array of rank %d",
                      array->rank);
  for (int i = 0; i < layer->step_count; i++)
    if (layer->steps[i].kind == STEP_TABLE && array_same_shape(layer->steps[i].table, array) &&
        memcmp(layer->steps[i].table->data, array->data, array->size * sizeof *array->data) == 0)
      return variable(eval, i + 1);
  LayerStep step = {.kind = STEP_TABLE, .table = array_keep(numbers->array)};
  return variable(eval, layer_step(layer, step));
}

Value *forward_blend(Eval *eval, Span span, const Value *table, const Value *x) {
  if (!in_layer(eval, span)) return value_new(&eval->heap, VALUE_BROKEN);
  return joined(eval, (Span[]){span, span}, span, "a table A @ x mixes positions of a variable",
                (LayerStep){.kind = STEP_BLEND}, table, x);
}

Value *forward_position(Eval *eval, Span span, const Value *x, double position) {
  if (!eval->forward)
    return eval_error(eval, span, NULL, "positions are chosen in the body of a layer");
  if (!(fabs(position) < MOST_POSITIONS && position == floor(position)))
    return eval_error(eval, span, NULL, "a position is a whole number, not %g", position);
  int source = map_step(eval, span, x->symbol), count = grid_size(grid_of(eval->forward, source));
  if (position < -count) position = count; /* which is none, either */
  if (position < 0) position += count;
  refuse_inputs(eval, span, source > 0 && is_input(eval->forward, source));
  return variable(eval, known_step(&eval->forward->layer, (LayerStep){STEP_AT, .source = source,
                                                                      .position = (int)position}));
}

Value *builtin_positions(Call *call) {
  Eval *eval = call->eval;
  if (!forward_of(call)) return outside(call);
  const Expr *e =
      field_of(eval, call->places[0],
               "positions are those of what enters the layer or is made of it", call->args[0]);
  if (!e) return call_broken(call);
  int count = grid_size(grid_of(eval->forward, map_step(eval, call->span, e)));
  return value_number(&eval->heap, count);
}

/* A step from one variable, of the argument of a call. */
static Value *step_from(Call *call, LayerStep step) {
  Eval *eval = call->eval;
  if (!forward_of(call)) return outside(call);
  const Expr *e = field_of(eval, call->places[0],
                           "this takes what enters the layer or is made of it", call->args[0]);
  if (!e) return call_broken(call);
  Forward *f = eval->forward;
  step.source = map_step(eval, call->span, e);
  bool whole = step.kind == STEP_FLATTEN && step.source == 0;
  refuse_inputs(eval, call->span, is_input(f, step.source) && !whole);
  return variable(eval, layer_step(&f->layer, step));
}

/* The window, 0 for all positions, and the stride, which is the window if it is 0. */
static bool pooling_window(Call *call, LayerStep *step) {
  bool whole = is_zero(call->args[2]), touch = is_zero(call->args[3]);
  bool sound =
      (whole || pixels(call, 2, &step->window)) & (touch || pixels(call, 3, &step->stride));
  if (whole) step->window = 0;
  if (whole || touch) step->stride = step->window;
  return sound;
}

Value *builtin_pooled(Call *call) {
  static const char *const kinds[] = {"mean", "max", NULL};
  const Value *kind = call->args[1];
  const char *name, *word = kind->kind == VALUE_STRING ? kind->string : NULL;
  Span place = origin(call, 1, &name);
  LayerStep step = {.kind = STEP_POOL, .most = word && strcmp(word, "max") == 0};
  if (!word)
    return eval_error(call->eval, place, "\"mean\" or \"max\"", "'%s' must be a string, not %s",
                      name, value_describe(kind));
  if (!step.most && strcmp(word, "mean") != 0)
    return eval_unknown(call->eval, place, word, kinds, "unknown %s of pooling '%s'", name, word);
  return pooling_window(call, &step) ? step_from(call, step) : call_broken(call);
}

Value *builtin_batch_mean(Call *call) { return step_from(call, (LayerStep){.kind = STEP_BATCH}); }

Value *builtin_flattened(Call *call) { return step_from(call, (LayerStep){.kind = STEP_FLATTEN}); }

Value *builtin_dropped(Call *call) {
  LayerStep step = {.kind = STEP_DROP};
  const char *name;
  Span place = origin(call, 1, &name);
  if (!magnitude(call, 1, &step.share)) return call_broken(call);
  if (!call->args[1]->known) step.share = 0;
  if (step.share < 1) return step_from(call, step);
  return eval_error(call->eval, place, "0.1 leaves out a tenth of the neurons",
                    "'%s' must be below 1, not %g", name, step.share);
}

/* ---- bodies ---- */

void forward_name(Eval *eval, const Value *value, const char *name) {
  if (!eval->forward || value->kind != VALUE_MATRIX) return;
  LayerMatrix *m = &eval->forward->layer.matrices[value->matrix.index];
  free(m->name);
  m->name = mem_string(name);
}

static bool run_steps(Eval *eval, const Ast *body, Value **result);

/* A layer is written out: no more than this. */
static bool is_endless(Eval *eval, Span span) {
  enum { MOST_STEPS = 10000 };
  if (eval->forward->layer.step_count <= MOST_STEPS) return false;
  eval_fail(eval, STATUS_LIMIT, span, NULL, "a layer of more than %d operations", MOST_STEPS);
  return true;
}

/* Once for each element; once in a check of the body alone, when they are not known. */
static bool run_loop(Eval *eval, const Ast *loop, Value **result) {
  Value *values = eval_expression(eval, loop->kid[0]);
  int before = eval->diags->errors;
  long long count = eval_length(eval, values, loop->kid[0]->span);
  if (values->kind == VALUE_BROKEN || eval->diags->errors > before) return false;
  for (long long i = 0; i < (count < 0 ? 1 : count); i++) {
    if (eval_interrupted(eval, loop->span) || !eval_affords(eval, EXPRESSION_WORK)) return false;
    if (is_endless(eval, loop->span)) return false;
    Value *value = count < 0 ? value_new(&eval->heap, VALUE_UNKNOWN)
                             : eval_element(eval, loop->kid[0]->span, values, i);
    if (*loop->name) scope_set(eval->scope, loop->name, value, loop->name_span);
    if (!run_steps(eval, loop->kid[1], result)) return false;
  }
  return true;
}

/* The lines of a body, up to a `return`, whose value is the result; false after reporting. */
static bool run_steps(Eval *eval, const Ast *body, Value **result) {
  for (int i = 0; i < body->count && !*result; i++) {
    const Ast *step = body->kid[i];
    if (step->kind == AST_BROKEN) return false;
    if (step->kind == AST_FOR) {
      if (!run_loop(eval, step, result)) return false;
      continue;
    }
    Value *value = eval_expression(eval, step->kid[0]);
    if (value->kind == VALUE_BROKEN) return false;
    if (step->kind == AST_RETURN) {
      *result = value;
    } else {
      forward_name(eval, value, step->name);
      scope_set(eval->scope, step->name, value, step->name_span);
    }
  }
  return true;
}

/* Runs the body; the value of `return`, or NULL after reporting. */
static Value *run_body(Eval *eval, const Ast *body) {
  Value *result = NULL;
  if (!run_steps(eval, body, &result)) return NULL;
  if (!result)
    eval_error(eval, body->span, "such as: return tanh(W @ x)", "the layer returns nothing");
  return result;
}

static bool bind_parameters(Eval *eval, const Ast *node, Value *const *args) {
  for (int i = 0; i + 2 < node->count; i++) {
    const Ast *parameter = node->kid[i];
    Value *value = args[i];
    if (!value && parameter->count) {
      value = eval_expression(eval, parameter->kid[0]);
      value->literal = false;
    }
    if (!value) value = value_new(&eval->heap, VALUE_UNKNOWN); /* in a check of the body alone */
    if (value->kind == VALUE_BROKEN) return false;
    scope_set(eval->scope, parameter->name, value, parameter->name_span);
  }
  return true;
}

/* Whether what leaves the layer is made with every matrix; a check that knows too little of the
 * body asks only whether they act. */
static bool all_used(Eval *eval, const Ast *node, bool known) {
  Forward *f = eval->forward;
  bool *needed = layer_needs(&f->layer), *used = mem_new(MOST_MATRICES, sizeof *used);
  for (int i = 0; i < f->layer.step_count; i++) {
    const LayerStep *step = &f->layer.steps[i];
    bool acts = step->kind == STEP_APPLY || step->kind == STEP_APPLY_T || step->kind == STEP_BIAS ||
                step->kind == STEP_CODES;
    if (acts && needed[i]) used[step->matrix] = true;
  }
  int unused = 0;
  while (unused < f->layer.matrix_count && (known ? used : f->used)[unused]) unused++;
  free(needed);
  free(used);
  if (unused == f->layer.matrix_count) return true;
  eval_error(eval, node->name_span,
             grid_size(f->enters) > 1 ? "a matrix acts as W @ x"
                                      : "there is one position: inputs [points, positions, "
                                        "channels] have more",
             "the layer '%s' does not use its matrix '%s'", node->name,
             f->layer.matrices[unused].name);
  return false;
}

/* Where the names of a body are looked up: a layer of the language does not see what a script calls
 * its own things. */
static Scope *home_of(const Eval *eval, const Ast *node) {
  Scope *base = eval->globals;
  while (base->parent) base = base->parent;
  const Binding *own = scope_own(base, node->name);
  bool built_in = own && own->value->kind == VALUE_LAYER && own->value->function == node;
  return built_in ? base : eval->globals;
}

/* The forward pass of a declared layer into eval->forward; `depth` is how many of its kind the
 * chain has. */
static bool run_layer(Eval *eval, const Ast *node, Value *const *args, int depth) {
  Forward *f = eval->forward;
  const Ast *x = node->kid[node->count - 2], *body = node->kid[node->count - 1];
  Scope *caller = eval->scope;
  size_t mark = eval->heap.count;
  eval->scope = scope_new(home_of(eval, node));
  f->depth = depth;
  scope_set(eval->scope, "depth", value_number(&eval->heap, depth), node->name_span);
  scope_set(eval->scope, x->name, variable(eval, 0), x->name_span);
  Value *value = bind_parameters(eval, node, args) ? run_body(eval, body) : NULL;
  const Expr *e =
      value ? field_of(eval, body->span, "a layer returns a variable made of what enters", value)
            : NULL;
  if (e) f->layer.result = map_step(eval, body->span, e);
  if (e) refuse_inputs(eval, body->span, f->layer.result > 0 && is_input(f, f->layer.result));
  scope_free(eval->scope);
  eval->scope = caller;
  heap_release(&eval->heap, mark, NULL);
  return e && !f->broken && all_used(eval, node, eval->doubt == 0);
}

/* ---- links and chains ---- */

/* A chain of one link, made by this value of a layer or builtin with these arguments; `node` is the
 * call as written. */
static Value *link_new(Eval *eval, const Ast *node, Value *maker, Value *const *args,
                       const Span *places, int count) {
  Value *link = value_new(&eval->heap, VALUE_LINK), *chain = value_new(&eval->heap, VALUE_CHAIN);
  link->link = (Link){.maker = value_keep(maker),
                      .args = mem_new((size_t)count + 1, sizeof(Value *)),
                      .places = mem_new((size_t)count + 1, sizeof(Span)),
                      .count = count,
                      .span = node->span,
                      .text = ast_source(node)};
  for (int i = 0; i < count; i++) {
    link->link.args[i] = value_keep(args[i]);
    link->link.places[i] = places[i];
  }
  chain->chain.links = mem_new(1, sizeof(Value *));
  chain->chain.links[0] = value_keep(link);
  chain->chain.count = 1;
  return chain;
}

bool link_ends(const Value *link) { return link->link.maker->kind == VALUE_BUILTIN; }

Value *builtin_readout(Call *call) {
  Scope *base = call->eval->globals;
  while (base->parent) base = base->parent;
  const Ast bare = {.kind = AST_NAME, .span = call->span};
  return link_new(call->eval, &bare, scope_own(base, call->row->name)->value, call->args,
                  call->places, call->count);
}

/* Whether nothing is said of the weights of a readout. */
static bool is_bare(const LayerMatrix *m) {
  return m->sigma == 1 && m->rate == 1 && m->mean == 0 && m->law == LAW_NORMAL;
}

/* f = w . x */
static bool run_readout(Eval *eval, const Link *link) {
  Call call = {.eval = eval,
               .row = link->maker->builtin.row,
               .signature = link->maker->builtin.signature,
               .span = link->span,
               .args = link->args,
               .places = link->places,
               .count = link->count};
  Forward *f = eval->forward;
  LayerMatrix matrix = {.factor = 1, .parts = 1};
  int mean = argument_of(&call, "mean");
  if (!weights_of(&call, 0, false, &matrix)) return false;
  if (call.args[mean]->kind != VALUE_NUMBER || !isfinite(call.args[mean]->number)) {
    bool number = call.args[mean]->kind == VALUE_NUMBER;
    eval_error(eval, call.places[mean], NULL, "'mean' must be a finite number, not %s",
               number ? "this one" : value_describe(call.args[mean]));
    return false;
  }
  matrix.mean = call.args[mean]->number;
  if (!truth(&call, argument_of(&call, "tied"), &matrix.tied)) return false;
  if (matrix.tied && !is_bare(&matrix)) {
    eval_error(eval, call.span, "give them to the layer on the inputs",
               "a tied readout has the weights of the matrix on the inputs: 'sigma_w', 'rate', "
               "'train', 'mean' and 'law' are those of that");
    return false;
  }
  matrix.name = mem_string("W");
  layer_matrix(&f->layer, matrix);
  f->layer.result = layer_step(&f->layer, (LayerStep){.kind = STEP_APPLY});
  f->layer.readout = true;
  return true;
}

static bool has_nan(const Value *value) {
  if (!value || !value->known) return false;
  const Array *array = value->kind == VALUE_ARRAY ? value->array : NULL;
  for (size_t i = 0; array && i < array->size; i++)
    if (isnan(array->data[i])) return true;
  return value->kind == VALUE_NUMBER && isnan(value->number);
}

/* What a parameter of this name takes, whatever the layer does with it: a body that asks whether
 * something is > 0 does not notice that it is no number. */
static bool suits(Eval *eval, const Ast *parameter, Span place, Value *value) {
  if (has_nan(value)) {
    eval_error(eval, place, NULL, "'%s' of a layer must not be nan", parameter->name);
    return false;
  }
  return strcmp(parameter->name, "activation") != 0 || !value ||
         eval_activation(eval, place, value) != NULL;
}

static int depth_of(const Chain *chain, const Link *link) {
  int depth = 0;
  for (int i = 0; i < chain->count; i++) depth += chain->links[i]->link.maker == link->maker;
  return depth;
}

static bool makes_neurons(const Layer *layer) {
  for (int i = 0; i < layer->step_count; i++)
    if (layer->steps[i].kind != STEP_FLATTEN) return true;
  return false;
}

static bool run_link(Eval *eval, const Chain *chain, const Link *link) {
  int before = eval->diags->errors;
  bool sound = link->maker->kind == VALUE_BUILTIN
                   ? run_readout(eval, link)
                   : run_layer(eval, link->maker->function, link->args, depth_of(chain, link));
  if (eval->diags->errors > before) {
    Span error = eval->diags->items[eval->diags->count - 1].span;
    bool inside = error.source == link->span.source && error.begin >= link->span.begin &&
                  error.begin <= link->span.end;
    if (!inside) diag_note(eval->diags, link->span, "in this layer");
  }
  return sound;
}

/* Whether the layer is sound by itself, wherever it will stand; reports otherwise. */
static bool try_link(Eval *eval, const Chain *chain) {
  struct Forward *outer = eval->forward;
  Forward forward = {.link = &chain->links[0]->link, .enters = nominal_grid};
  eval->forward = &forward;
  bool sound = run_link(eval, chain, forward.link);
  eval->forward = outer;
  layer_clear(&forward.layer);
  return sound;
}

/* What a layer makes of a variable in the body of another: its lines there, with matrices of their
 * own. `depth` is that of the other. */
static Value *inlined(Eval *eval, Span span, const Ast *node, Value *const *args, Value *x) {
  const Ast *name = node->kid[node->count - 2], *body = node->kid[node->count - 1];
  if (eval->calls >= CALL_DEPTH)
    return eval_fail(eval, STATUS_SCRIPT, span, "does the recursion end?",
                     "calls are nested more than %d deep", CALL_DEPTH);
  Scope *caller = eval->scope;
  Value *depth = value_number(&eval->heap, eval->forward->depth);
  eval->scope = scope_new(home_of(eval, node));
  scope_set(eval->scope, "depth", depth, node->name_span);
  scope_set(eval->scope, name->name, x, name->name_span);
  eval->calls++;
  Value *value = bind_parameters(eval, node, args) ? run_body(eval, body) : NULL;
  eval->calls--;
  scope_free(eval->scope);
  eval->scope = caller;
  return value ? value : value_new(&eval->heap, VALUE_BROKEN);
}

Value *forward_chain(Eval *eval, Span span, const Value *chain, Value *x) {
  for (int i = 0; i < chain->chain.count && x->kind == VALUE_SYMBOL; i++) {
    const Link *link = &chain->chain.links[i]->link;
    if (link->maker->kind != VALUE_LAYER)
      return eval_error(eval, span, NULL, "a readout ends a chain, and makes nothing in a layer");
    x = inlined(eval, span, link->maker->function, link->args, x);
  }
  return x;
}

/* The arguments of a call of a layer, to be freed whatever comes out; false without sound ones. */
static bool layer_arguments(Eval *eval, const Ast *node, const Ast *declaration, Value ***args,
                            Span **places) {
  int count = declaration->count - 2;
  bool sound = eval_arguments(eval, node, declaration, count, args, places);
  for (int i = 0; sound && i < count; i++)
    sound = suits(eval, declaration->kid[i], (*places)[i], (*args)[i]);
  return sound;
}

/* attention(x, heads = 2) in a body. */
static Value *call_on(Eval *eval, const Ast *node, const Ast *declaration, Value *x) {
  int before = eval->diags->errors;
  Ast call = *node;
  Ast **kids = mem_new((size_t)node->count, sizeof *kids);
  call.count--;
  kids[0] = node->kid[0];
  for (int i = 1; i < call.count; i++) kids[i] = node->kid[i + 1];
  call.kid = kids;
  Value **args;
  Span *places;
  bool sound = layer_arguments(eval, &call, declaration, &args, &places);
  bool broken = eval->diags->errors > before;
  Value *value = sound ? inlined(eval, node->span, declaration, args, x)
                       : value_new(&eval->heap, broken ? VALUE_BROKEN : VALUE_UNKNOWN);
  free(args);
  free(places);
  free(kids);
  return value;
}

Value *call_layer(Eval *eval, const Ast *node, Value *layer) {
  const Ast *declaration = layer->function;
  int count = declaration->count - 2, before = eval->diags->errors;
  if (eval->forward && node->count > 1 && node->kid[1]->kind != AST_ARG) {
    Value *x = eval_expression(eval, node->kid[1]);
    if (x->kind == VALUE_UNKNOWN || x->kind == VALUE_BROKEN) return x;
    if (x->kind == VALUE_SYMBOL) return call_on(eval, node, declaration, x);
  }
  Value **args;
  Span *places;
  bool sound = layer_arguments(eval, node, declaration, &args, &places);
  bool unknown = !sound && eval->diags->errors == before;
  Value *value = sound ? link_new(eval, node, layer, args, places, count) : NULL;
  if (value && !eval->forward && !try_link(eval, &value->chain)) value = NULL;
  if (!value) value = value_new(&eval->heap, unknown ? VALUE_UNKNOWN : VALUE_BROKEN);
  free(args);
  free(places);
  return value;
}

/* Whether a step works on the positions of neurons, of which there are several. */
static bool is_positional(const Forward *f, const LayerStep *step, const Grid *grids) {
  bool works = step->kind == STEP_GRAM || step->kind == STEP_AT || step->kind == STEP_POOL ||
               (step->kind == STEP_APPLY && f->layer.matrices[step->matrix].window > 1);
  if (step->kind == STEP_TABLE) return step->table->shape[0] > 1;
  bool inputs = f->inputs && step->source == 0, blends = step->kind == STEP_BLEND;
  return (works || blends) && !inputs && grid_size(grids[blends ? step->other : step->source]) > 1;
}

static bool works_on_positions(const Forward *f) {
  const Layer *layer = &f->layer;
  Grid *grids = grids_of(f, layer->step_count + 1);
  bool works = false;
  for (int i = 0; i < layer->step_count; i++) works |= is_positional(f, &layer->steps[i], grids);
  free(grids);
  return works;
}

/* The forward passes of the links; with *apart what acts on the inputs acts on every position of
 * them, and *apart becomes whether a layer works on positions. */
static Layer *layers_of(Eval *eval, const Chain *chain, Grid grid, bool *apart) {
  Layer *layers = mem_new((size_t)chain->count, sizeof *layers);
  bool sound = true, inputs = true, works = false;
  struct Forward *outer = eval->forward;
  for (int i = 0; i < chain->count && sound; i++) {
    const Link *link = &chain->links[i]->link;
    Forward forward = {.link = link, .inputs = inputs, .apart = *apart, .enters = grid};
    eval->forward = &forward;
    sound = run_link(eval, chain, link);
    layers[i] = forward.layer;
    layers[i].span = link->span;
    if (sound) works |= works_on_positions(&forward);
    if (sound) grid = grid_of(&forward, forward.layer.result);
    inputs = inputs && !makes_neurons(&layers[i]);
  }
  eval->forward = outer;
  *apart = works;
  if (sound) return layers;
  layers_free(layers, chain->count);
  return NULL;
}

/* Whether the first layer with steps takes all positions together, as it is told to. */
static bool begins_flat(const Layer *layers, int count) {
  int first = 0;
  while (first + 1 < count && !layers[first].step_count) first++;
  return layers[first].step_count && layers[first].steps[0].kind == STEP_FLATTEN;
}

/* The first layer acts on all positions of the inputs together, unless one behind it works on
 * positions: then on each by itself. */
Layer *chain_layers(Eval *eval, const Chain *chain, Grid grid) {
  bool apart = grid_size(grid) > 1, together = false;
  Layer *layers = layers_of(eval, chain, grid, &apart);
  bool flat = layers && (grid_size(grid) == 1 || !apart || begins_flat(layers, chain->count));
  if (!flat) return layers;
  layers_free(layers, chain->count);
  return layers_of(eval, chain, grid, &together);
}

/* ---- declarations ---- */

/* The loops of a body have no `return`. */
static bool sound_loops(Eval *eval, const Ast *body, bool inside) {
  for (int i = 0; i < body->count; i++) {
    const Ast *step = body->kid[i];
    if (step->kind == AST_RETURN && inside) {
      eval_error(eval, step->span, NULL, "the 'return' of a layer stands behind its loops");
      return false;
    }
    if (step->kind == AST_FOR && !sound_loops(eval, step->kid[1], true)) return false;
  }
  return true;
}

static bool sound_declaration(Eval *eval, const Ast *node) {
  const Ast *body = node->kid[node->count - 1];
  if (!sound_loops(eval, body, false)) return false;
  for (int i = 0; i + 1 < body->count; i++)
    if (body->kid[i]->kind == AST_RETURN) {
      eval_error(eval, body->kid[i + 1]->span, NULL, "nothing follows the 'return' of a layer");
      return false;
    }
  return eval_distinct_parameters(eval, node);
}

void declare_layer(Eval *eval, const Ast *node) {
  bool sound = sound_declaration(eval, node);
  Value *value = value_new(&eval->heap, sound ? VALUE_LAYER : VALUE_BROKEN);
  if (sound) value->function = node;
  eval_assign(eval, node->name, value, node->name_span);
}

void check_layer(Eval *eval, const Ast *node) {
  Forward forward = {.enters = nominal_grid};
  Value **args = mem_new((size_t)node->count, sizeof *args);
  eval->forward = &forward;
  eval->doubt++;
  run_layer(eval, node, args, 1);
  eval->doubt--;
  eval->forward = NULL;
  layer_clear(&forward.layer);
  free(args);
}
