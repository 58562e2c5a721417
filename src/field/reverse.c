/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reverse mode: the backward pass of a program from its forward pass. */
#include "field/reverse.h"
#include "base/memory.h"
#include "field/emit.h"
#include "field/rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What is derived through one use of a variable is a part of its adjoint, gamma N
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

/* Every trained matrix between populations and to the outputs becomes a sum of two: its start,
 * which stays, and what it learns, from 0. Feedback that is aligned with the start then is a use of
 * it. */
static void split_starts(Program *p) {
  Op *ops = p->ops;
  int count = p->op_count;
  p->ops = NULL;
  p->op_count = 0;
  for (int i = 0; i < count; i++) {
    Matrix own = p->matrices[ops[i].matrix];
    if (ops[i].kind != OP_APPLY || !is_wide(p, own.from) || own.rate == 0) {
      emit(p, ops[i]);
      continue;
    }
    const char *name = p->variables[ops[i].dst].name;
    int grown = add_matrix(p, mem_format("%s+", own.name), own.from, own.to, 0, 0);
    own.name = p->matrices[grown].name;
    own.weights = grown;
    own.sigma = 0;
    own.grown = true;
    own.law = LAW_NORMAL;
    p->matrices[grown] = own;
    p->matrices[ops[i].matrix].rate = p->matrices[ops[i].matrix].decay = 0;
    int parts[] = {emit_apply(p, mem_format("%s.0", name), ops[i].matrix, ops[i].src[0]),
                   emit_apply(p, mem_format("%s.+", name), grown, ops[i].src[0])};
    const Expr *sum =
        expr_call(p->pool, PRIM_ADD, expr_arg(p->pool, 0), expr_arg(p->pool, 1), NULL);
    emit_map_to(p, ops[i].dst, sum, 2, parts);
  }
  free(ops);
  p->forward_count = p->op_count;
}

/* A frozen matrix of its own statistics that takes the place of a transpose: from the same
 * variable, or for direct feedback straight from the outputs, with unit entries. */
static int feedback_matrix(const Reverse *r, int matrix, int y) {
  Program *p = r->p;
  Matrix own = p->matrices[matrix];
  bool direct = r->rule == RULE_DIRECT_FEEDBACK_ALIGNMENT;
  char *name = mem_format("F%s", own.name + strcspn(own.name, "0123456789"));
  int feedback = add_matrix(p, name, own.from, direct ? p->variables[y].space : own.to,
                            direct ? 1 : own.sigma, 0);
  if (!direct) p->matrices[feedback].law = own.law;
  p->matrices[feedback].y = p->matrices[feedback].learns = y;
  return feedback;
}

/* W^T y, for what is passed on through the op, under a name that goes on with `part`. */
static int pass_back(Reverse *r, const Op *op, int by, int y, const char *part) {
  Program *p = r->p;
  char *name = backward_name(r, op->src[0]);
  int dst = add_variable(p, mem_format("%s%s", name, part), p->matrices[by].from, true,
                         p->variables[y].positions);
  free(name);
  return emit_product(p, OP_APPLY_T, dst, by, y);
}

/* (rho W^T + sqrt(1 - rho^2) F^T) y, with the start W of the matrix, which is used once more. */
static int aligned_feedback(Reverse *r, const Op *op, int y) {
  Program *p = r->p;
  double rho = p->problem->rho;
  Matrix start = p->matrices[op->matrix];
  int again = add_matrix(p, mem_string(start.name), start.from, start.to, start.sigma, 0);
  p->matrices[again].weights = start.weights;
  p->matrices[again].y = p->matrices[again].learns = y;
  int parts[] = {pass_back(r, op, again, y, ".0"),
                 pass_back(r, op, feedback_matrix(r, op->matrix, y), y, ".F")};
  const double share[] = {rho, sqrt(1 - rho * rho)};
  const Expr *sum = NULL;
  for (int i = 0; i < 2; i++) {
    const Expr *part =
        expr_call(p->pool, PRIM_MUL, expr_const(p->pool, share[i]), expr_arg(p->pool, i), NULL);
    sum = sum ? expr_call(p->pool, PRIM_ADD, sum, part, NULL) : part;
  }
  return emit_map(p, backward_name(r, op->src[0]), sum, 2, parts);
}

/* What comes back from the outputs times their errors, where points depend on each other. */
static int weighed(Reverse *r, int features, int z) {
  Variable v = r->p->variables[z];
  char *name = mem_format("%s.e", r->p->variables[features].name);
  int dst = add_variable(r->p, name, v.space, true, v.positions);
  return emit(r->p, op_of_one(OP_WEIGH, dst, z));
}

/* Notes what the matrix meets, or under another rule only learns, and passes it on. */
static void reverse_apply(Reverse *r, const Op *op, int y) {
  Program *p = r->p;
  Matrix *matrix = &p->matrices[op->matrix];
  matrix->learns = y;
  if (r->rule == RULE_BACKPROP) matrix->y = y;
  if (p->spaces[matrix->from].kind != SPACE_WIDE) return;
  bool aligned = r->rule == RULE_FEEDBACK_ALIGNMENT && p->problem->rho > 0;
  int by = op->matrix;
  if (r->rule == RULE_DIRECT_FEEDBACK_ALIGNMENT) y = r->seed;
  if (aligned && matrix->grown) return;
  if (aligned) {
    accumulate(r, op->src[0], aligned_feedback(r, op, y));
    return;
  }
  if (r->rule != RULE_BACKPROP) by = feedback_matrix(r, by, y);
  int z = pass_back(r, op, by, y, "");
  accumulate(r, op->src[0], p->couples && y == r->seed ? weighed(r, op->src[0], z) : z);
}

/* The same for a transpose in the forward pass: what flows forward is the y of the matrix, with a
 * row for each output. */
static void reverse_transpose(Reverse *r, const Op *op, int x) {
  Program *p = r->p;
  Matrix *matrix = &p->matrices[op->matrix];
  const Variable *met = &p->variables[op->src[0]];
  int y = add_variable(p, mem_format("%s.c", met->name), met->space, true, met->positions);
  emit_map_to(p, y, expr_arg(p->pool, 0), 1, op->src);
  matrix->x = matrix->features = x;
  matrix->y = matrix->learns = y;
  int dst =
      add_variable(p, backward_name(r, op->src[0]), matrix->to, true, p->variables[x].positions);
  accumulate(r, op->src[0], emit_product(p, OP_APPLY, dst, op->matrix, x));
}

static bool is_table_variable(const Program *p, int variable) {
  return p->variables[variable].space == NO_SPACE;
}

/* The adjoint of a table is gamma df/dt, that of a field gamma N df/dv: what a table does to the
 * ratio N neurons of a field adds up to an average over them times ratio. What a number does to a
 * row of a table adds up along the row. */
static int gathered(Reverse *r, int table, int part) {
  Program *p = r->p;
  const Variable *own = &p->variables[table], *v = &p->variables[part];
  if (v->space == NO_SPACE && v->cols > own->cols)
    return emit_sums(p, backward_name(r, table), part);
  if (v->space == NO_SPACE || own->space != NO_SPACE) return part;
  return emit_average(p, backward_name(r, table), p->spaces[v->space].ratio, 1, &part);
}

/* What each neuron adds to the adjoint of a table. */
static char *of_neurons(char *name) {
  char *longer = mem_format("%s.i", name);
  free(name);
  return longer;
}

/* m = factor <x>, or factor <x y>: the adjoint of x is that of m times factor y / ratio. */
static void reverse_average(Reverse *r, const Op *op, int m) {
  Program *p = r->p;
  for (int k = 0; k < op->src_count; k++) {
    int x = op->src[k], src[] = {m, op->src[op->src_count - 1 - k]};
    const Variable *field = &p->variables[x];
    double factor = op->factor / p->spaces[field->space].ratio;
    const Expr *e =
        expr_call(p->pool, PRIM_MUL, expr_const(p->pool, factor), expr_arg(p->pool, 0), NULL);
    if (op->src_count > 1) e = expr_call(p->pool, PRIM_MUL, e, expr_arg(p->pool, 1), NULL);
    int dst = add_variable(p, backward_name(r, x), field->space, true, field->positions);
    accumulate(r, x, emit_map_to(p, dst, e, op->src_count, src));
  }
}

/* s = factor <x y>, pairs of rows of a block: x takes up s y / ratio, and y takes up s^T x. */
static void reverse_gram(Reverse *r, const Op *op, int s) {
  Program *p = r->p;
  int x = op->src[0], y = op->src[1];
  double factor = op->factor / p->spaces[p->variables[x].space].ratio;
  accumulate(r, x, emit_blend(p, backward_name(r, x), op->blocks, factor, s, false, y));
  accumulate(r, y, emit_blend(p, backward_name(r, y), op->blocks, factor, s, true, x));
}

/* o = factor A v, block by block: A takes up a sum over neurons, v the transpose of A. */
static void reverse_blend(Reverse *r, const Op *op, int o) {
  Program *p = r->p;
  int a = op->src[0], v = op->src[1];
  double ratio = p->spaces[p->variables[v].space].ratio;
  accumulate(r, a, emit_gram(p, backward_name(r, a), op->blocks, op->factor * ratio, o, v));
  accumulate(r, v, emit_blend(p, backward_name(r, v), op->blocks, op->factor, a, true, o));
}

/* a = softmax(s): the adjoint of s is a (d - sum a d), with d that of a. */
static void reverse_softmax(Reverse *r, const Op *op, int d) {
  Program *p = r->p;
  const Expr *a = expr_arg(p->pool, 0), *b = expr_arg(p->pool, 1), *c = expr_arg(p->pool, 2);
  char *name = backward_name(r, op->src[0]);
  int products = emit_map(p, mem_format("%s.a", name), expr_call(p->pool, PRIM_MUL, a, b, NULL), 2,
                          (int[]){op->dst, d});
  int sums = emit_sums(p, mem_format("%s.s", name), products);
  const Expr *e = expr_call(p->pool, PRIM_MUL, a, expr_call(p->pool, PRIM_SUB, b, c, NULL), NULL);
  accumulate(r, op->src[0], emit_map(p, name, e, 3, (int[]){op->dst, d, sums}));
}

/* d/d(argument i) of the map, times the adjoint y of its result. */
static void reverse_argument(Reverse *r, const Op *op, int i, int y) {
  Program *p = r->p;
  const Expr *slope = expr_diff(p->pool, op->expr, i);
  if (slope->prim == PRIM_CONST && slope->value == 0) return;
  int src[OP_MAX_ARGS], count = 0;
  const Expr *with[OP_MAX_ARGS];
  bool gathers = is_table_variable(p, op->src[i]) && !is_table_variable(p, y);
  if (slope->prim == PRIM_CONST && slope->value == 1) {
    accumulate(r, op->src[i], gathered(r, op->src[i], y));
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
  char *name = backward_name(r, op->src[i]);
  if (gathers) name = of_neurons(name);
  int part = emit_map(p, name, product, count + 1, src);
  accumulate(r, op->src[i], gathered(r, op->src[i], part));
}

static void reverse_map(Reverse *r, const Op *op, int y) {
  for (int k = 0; k < op->src_count; k++) reverse_argument(r, op, k, y);
}

static void reverse_rows(Reverse *r, const Op *op, int y) {
  RowMap map = row_map_transposed(&r->p->row_maps[op->rows]);
  accumulate(r, op->src[0], emit_rows(r->p, backward_name(r, op->src[0]), map, y));
}

static void reverse_nothing(Reverse *r, const Op *op, int y) { (void)r, (void)op, (void)y; }

/* The adjoints of what an op is made of. */
typedef void ReverseOp(Reverse *r, const Op *op, int y);
static ReverseOp *const reverse_op[] = {
#define OP(id, back, pure) reverse_##back,
#include "field/ops.def"
#undef OP
};

static void reverse_pass(Program *p, int f, int seed, Rule rule) {
  int count = p->variable_count;
  Reverse r = {p, mem_new((size_t)count, sizeof *r.parts), seed, rule};
  accumulate(&r, f, seed);
  for (int i = p->forward_count - 1; i >= 0; i--) {
    Op op = p->ops[i];
    int y = adjoint_of(&r, op.dst);
    if (y >= 0) reverse_op[op.kind](&r, &op, y);
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
    matrix->learns = add_variable(p, name, matrix->to, true, 1);
    emit(p, op_of_one(OP_WEIGH, matrix->learns, x));
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
    reverse_pass(p, f, seed, rule);
}

/* A backward variable that is zero for a matrix that no gradient reaches. */
static void carry_nothing(Program *p, int m) {
  Matrix *matrix = &p->matrices[m];
  const Op *forward = op_of(p, m, OP_APPLY);
  Op op = forward ? *forward : *op_of(p, m, OP_APPLY_T);
  const Variable *image = &p->variables[op.dst];
  Reverse r = {.p = p, .parts = mem_new((size_t)p->variable_count, sizeof *r.parts)};
  int zero = add_variable(p, backward_name(&r, op.dst), image->space, true, image->positions);
  emit_map_to(p, zero, expr_const(p->pool, 0), 1, &op.dst);
  matrix->y = matrix->learns = zero;
  if (op.kind == OP_APPLY_T) reverse_transpose(&r, &op, zero);
  free(r.parts[op.src[0]].list);
  free(r.parts);
}

/* [variable] Whether it has a factor that is zero before it on some way up: its map does not depend
 * on it. To be freed. */
static bool *silenced(const Program *p) {
  bool *silent = mem_new((size_t)p->variable_count, sizeof *silent);
  for (int i = p->forward_count - 1; i >= 0; i--) {
    const Op *op = &p->ops[i];
    for (int k = 0; k < op->src_count; k++)
      if (silent[op->dst] || (op->kind == OP_MAP && !expr_depends(op->expr, k)))
        silent[op->src[k]] = true;
  }
  return silent;
}

static bool is_silent(const Program *p, int m) {
  const Op *op = op_of(p, m, OP_APPLY);
  bool *silent = silenced(p), is = silent[(op ? op : op_of(p, m, OP_APPLY_T))->dst];
  free(silent);
  return is;
}

/* Where an activation has zero derivative, no gradient reaches the matrices below. Frozen ones
 * (random features) then carry a backward variable that is zero, as those with a zero before them
 * do; others that are trained are a mistake. */
static bool reach_all(Program *p, Diags *diags) {
  for (int m = 0; m < p->matrix_count; m++) {
    Matrix *matrix = &p->matrices[m];
    if (matrix->y >= 0) continue;
    if (matrix->rate != 0 && !is_silent(p, m)) {
      diag_error(diags, STATUS_SCRIPT, p->problem->model_span,
                 "with train = false its weights stay as drawn: random features",
                 "no gradient reaches %s: an activation above it has zero derivative",
                 matrix->name);
      return false;
    }
    carry_nothing(p, m);
  }
  return true;
}

/* Whether feedback can be aligned with initial weights, which then stand apart; reports otherwise.
 */
static bool aligns_starts(Program *p, Diags *diags) {
  const Problem *problem = p->problem;
  const char *why =
      problem->rule != RULE_FEEDBACK_ALIGNMENT ? "'rho' belongs to rule = feedback_alignment"
      : problem->rho > 1                       ? "'rho' is a correlation, from 0 to 1"
      : problem->decay > 0
          ? "feedback that is aligned with the initial weights needs them: they do not decay"
          : NULL;
  if (why) diag_error(diags, STATUS_SCRIPT, problem->training_span, NULL, "%s", why);
  if (!why) split_starts(p);
  return !why;
}

bool reverse_program(Program *p, int f, Diags *diags) {
  Rule rule = p->problem->rule;
  if ((rule == RULE_HEBB || rule == RULE_DIRECT_FEEDBACK_ALIGNMENT) && program_spreads(p)) {
    diag_error(diags, STATUS_SCRIPT, p->problem->training_span, NULL,
               "this learning rule is for layers without positions");
    return false;
  }
  if (rule != RULE_BACKPROP && program_reuses(p)) {
    diag_error(diags, STATUS_SCRIPT, p->problem->training_span, NULL,
               "this learning rule is for matrices that are used once");
    return false;
  }
  if (p->problem->rho > 0 && !aligns_starts(p, diags)) return false;
  if (rule != RULE_BACKPROP && p->couples) {
    diag_error(diags, STATUS_SCRIPT, p->problem->training_span, NULL,
               "this learning rule is for layers without means over a batch");
    return false;
  }
  int seed = add_variable(p, mem_string("e"), p->variables[f].space, true, 1);
  emit(p, (Op){.kind = OP_SEED, .dst = seed});
  reverse_pass(p, f, seed, RULE_BACKPROP);
  if (!reach_all(p, diags)) return false;
  follow_rule(p, f, seed);
  return true;
}
