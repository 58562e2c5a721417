/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From a system to its program: act by act, and what follows from the whole: what stays from step
 * to step, what is computed once, which matrices respond, whether all is linear. */
#include "base/memory.h"
#include "field/emit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void add_variables(Program *p) {
  const System *s = p->system;
  for (int i = 0; i < s->population_count; i++) {
    int space = add_space(p, SPACE_WIDE, mem_string(s->populations[i].name), NULL);
    p->spaces[space].ratio = s->populations[i].ratio;
  }
  for (int i = 0; i < s->matrix_count; i++) {
    const SystemMatrix *m = &s->matrices[i];
    int k = add_matrix(p, mem_string(m->name), m->from, m->to, m->sigma, 0);
    p->matrices[k].symmetric = m->symmetric;
    p->matrices[k].tau = m->tau;
  }
  for (int i = 0; i < s->variable_count; i++) {
    Shape shape = s->variables[i].shape;
    bool wide = shape.population != NO_POPULATION;
    int v = add_variable(p, mem_string(s->variables[i].name), wide ? shape.population : NO_SPACE,
                         false, 1);
    p->variables[v].rows = shape.rank > 0 ? (int)shape.size[0] : 1;
    p->variables[v].cols = shape.rank > 1 ? (int)shape.size[1] : 1;
  }
}

static int add_constant(Program *p, const Array *numbers, int variable) {
  const Variable *v = &p->variables[variable];
  size_t count = (size_t)p->constant_count + 1;
  p->constants = mem_grow(p->constants, count * sizeof *p->constants);
  Constant *c = &p->constants[p->constant_count];
  *c = (Constant){(size_t)v->rows, (size_t)v->cols, 0, false,
                  mem_new(numbers->size + 1, sizeof *c->numbers)};
  memcpy(c->numbers, numbers->data, numbers->size * sizeof *numbers->data);
  return p->constant_count++;
}

/* Maps have their arguments in the order of their sources. */
static const Expr *renumbered(Program *p, const Act *act) {
  int most = 0;
  for (int i = 0; i < act->count; i++)
    if (act->src[i] > most) most = act->src[i];
  const Expr **with = mem_new((size_t)most + 1, sizeof *with);
  for (int i = 0; i < act->count; i++) with[act->src[i]] = expr_arg(p->pool, i);
  const Expr *expr = expr_substitute(p->pool, act->expr, with);
  free(with);
  return expr;
}

/* A part of a stack as the rows that it contributes. */
static int as_rows(Program *p, int src, int dst) {
  const Variable *own = &p->variables[src], *whole = &p->variables[dst];
  if (whole->space != NO_SPACE || own->cols == whole->cols) return src;
  int row = add_table(p, mem_string("row"), 1, (size_t)whole->cols);
  return emit(p, op_of_one(OP_RESHAPE, row, src));
}

static int rows_in(const Program *p, const int *parts, int count) {
  int rows = 0;
  for (int i = 0; i < count; i++) rows += p->variables[parts[i]].rows;
  return rows;
}

/* Parts one below the other: of more than an op takes, some are joined before. */
static void emit_stack(Program *p, int dst, int count, const int *src) {
  int *parts = mem_new((size_t)count + 1, sizeof *parts);
  for (int i = 0; i < count; i++) parts[i] = as_rows(p, src[i], dst);
  while (count > OP_MAX_ARGS) {
    Variable like = p->variables[dst];
    int joined = add_variable(p, mem_string("rows"), like.space, false, 1);
    p->variables[joined].rows = rows_in(p, parts, OP_MAX_ARGS);
    p->variables[joined].cols = like.cols;
    parts[0] = emit(p, op_of_many(OP_STACK, joined, OP_MAX_ARGS, parts));
    for (int i = OP_MAX_ARGS; i < count; i++) parts[i - OP_MAX_ARGS + 1] = parts[i];
    count -= OP_MAX_ARGS - 1;
  }
  emit(p, op_of_many(OP_STACK, dst, count, parts));
  free(parts);
}

/* What makes a variable; NULL where it moves on from step to step. */
static const Act *maker_of(const System *s, int variable) {
  const Act *maker = NULL;
  for (int i = 0; i < s->act_count; i++) {
    if (s->acts[i].dst != variable) continue;
    if (maker || s->acts[i].kind == ACT_SET) return NULL;
    maker = &s->acts[i];
  }
  return maker;
}

static bool counts_up(const Act *act) {
  if (!act || act->kind != ACT_NUMBERS || act->numbers->rank != 1) return false;
  for (size_t i = 0; i < act->numbers->size; i++)
    if (fabs(act->numbers->data[i] - (double)i) > 0) return false;
  return true;
}

/* The variable that is the index where numbers are 1 at an index, and 0 elsewhere; else -1. */
static int index_of(const System *s, int numbers) {
  const Act *map = maker_of(s, numbers);
  const Expr *e = map && map->kind == ACT_MAP && map->expr->prim == PRIM_EQ ? map->expr : NULL;
  if (!e || e->arg[0]->prim != PRIM_ARG || e->arg[1]->prim != PRIM_ARG) return -1;
  bool chooses = counts_up(maker_of(s, e->arg[0]->index)) &&
                 s->variables[e->arg[1]->index].shape.rank == 0 &&
                 s->variables[e->arg[1]->index].shape.population == NO_POPULATION;
  return chooses ? e->arg[1]->index : -1;
}

/* Rows times numbers that choose one: that row, whose cost is not that of all. False where it is
 * another product. */
static bool emit_row(Program *p, const Act *act) {
  if (act->kind != ACT_PRODUCT || !act->transpose) return false;
  const System *s = p->system;
  int left = index_of(s, act->src[0]), index = left < 0 ? index_of(s, act->src[1]) : left,
      rows = act->src[left < 0 ? 0 : 1];
  if (index < 0 || p->variables[act->src[left < 0 ? 1 : 0]].rows != p->variables[rows].rows)
    return false;
  Variable like = p->variables[rows];
  bool stands = like.space == NO_SPACE && p->variables[act->dst].cols != like.cols;
  int row = stands ? add_table(p, mem_string("row"), 1, (size_t)like.cols) : act->dst;
  emit(p, op_of_two(OP_BLOCK, row, rows, index));
  if (stands) emit(p, op_of_one(OP_RESHAPE, act->dst, row));
  return true;
}

static void lower_act(Program *p, const Act *act) {
  static const OpKind kinds[] = {
      [ACT_NORMAL] = OP_NOISE,    [ACT_FILL] = OP_FILL,       [ACT_NUMBERS] = OP_CONST,
      [ACT_CLOCK] = OP_CLOCK,     [ACT_APPLY] = OP_APPLY,     [ACT_APPLY_T] = OP_APPLY_T,
      [ACT_MAP] = OP_MAP,         [ACT_AVERAGE] = OP_AVERAGE, [ACT_GRAM] = OP_MOMENT,
      [ACT_PRODUCT] = OP_MIX,     [ACT_PART] = OP_BLOCK,      [ACT_STACK] = OP_STACK,
      [ACT_RESHAPE] = OP_RESHAPE, [ACT_LSE] = OP_LSE,         [ACT_SHIFT] = OP_SHIFT,
      [ACT_SET] = OP_SET,         [ACT_OUTER] = OP_OUTER,     [ACT_DECAY] = OP_DECAY,
      [ACT_REDRAW] = OP_REDRAW};
  if (act->kind == ACT_STACK) {
    emit_stack(p, act->dst, act->count, act->src);
    return;
  }
  if (emit_row(p, act)) return;
  Op op = op_of_many(kinds[act->kind], act->dst, act->count, act->src);
  op.matrix = act->matrix;
  op.factor = act->number;
  op.first[0] = (int)act->first[0];
  op.first[1] = (int)act->first[1];
  op.transpose_a = act->transpose;
  op.group = 1;
  if (act->kind == ACT_MAP) op.expr = renumbered(p, act);
  if (act->kind == ACT_AVERAGE) op.factor = 1;
  if (act->kind == ACT_NUMBERS) op.constant = add_constant(p, act->numbers, act->dst);
  if (act->kind == ACT_SHIFT) op.first[0] = (int)act->number;
  emit(p, op);
}

/* ---- what follows ---- */

/* Leaves out what nothing reads: neither a field, nor a change of a matrix, nor a state that is
 * read. */
static void prune(Program *p) {
  bool *read = mem_new((size_t)p->variable_count + 1, sizeof *read),
       *kept = mem_new((size_t)p->op_count + 1, sizeof *kept);
  for (int i = 0; i < p->system->field_count; i++)
    read[p->system->fields[i].variable] = read[p->system->fields[i].other] = true;
  for (bool more = true; more;) {
    more = false;
    for (int i = p->op_count - 1; i >= 0; i--) {
      const Op *op = &p->ops[i];
      if (kept[i] || (op->dst >= 0 && !read[op->dst])) continue;
      more = kept[i] = true;
      for (int k = 0; k < op->src_count; k++) read[op->src[k]] = true;
    }
  }
  int count = 0, start = 0;
  for (int i = 0; i < p->op_count; i++) {
    if (i == p->start_count) start = count;
    if (kept[i]) p->ops[count++] = p->ops[i];
  }
  p->start_count = p->start_count == p->op_count ? count : start;
  p->op_count = count;
  free(read);
  free(kept);
}

/* Whether the value of an op is made of its sources and nothing else. */
static const bool is_pure[] = {
#define OP(id, back, pure) pure,
#include "field/ops.def"
#undef OP
};

/* What never changes is computed once; of the start what the step, or a field, reads stays. */
static void find_constants(Program *p) {
  bool *fixed = mem_new((size_t)p->variable_count + 1, sizeof *fixed),
       *read = mem_new((size_t)p->variable_count + 1, sizeof *read);
  for (int i = 0; i < p->system->field_count; i++)
    read[p->system->fields[i].variable] = read[p->system->fields[i].other] = true;
  for (int i = p->start_count; i < p->op_count; i++)
    for (int k = 0; k < p->ops[i].src_count; k++) read[p->ops[i].src[k]] = true;
  for (int i = 0; i < p->op_count; i++) {
    Op *op = &p->ops[i];
    if (op->dst < 0 || op->kind == OP_SET) continue;
    bool constant = i < p->start_count || is_pure[op->kind];
    for (int k = 0; k < op->src_count && i >= p->start_count; k++) constant &= fixed[op->src[k]];
    fixed[op->dst] = constant;
    op->once = constant && (i >= p->start_count || read[op->dst]);
  }
  free(fixed);
  free(read);
}

static void find_matrix_responses(Program *p) {
  for (int k = 0; k < p->matrix_count; k++) {
    bool forward = false, back = false;
    for (int i = 0; i < p->op_count; i++) {
      if (p->ops[i].matrix != k) continue;
      forward |= p->ops[i].kind == OP_APPLY;
      back |= p->ops[i].kind == OP_APPLY_T;
    }
    p->matrices[k].responds_x = p->matrices[k].responds_y = forward && back;
  }
}

/* Whether a jump of the map, between which its slopes are flat, is one in its vectors. */
static bool jumps_in_vectors(const Program *p, const Op *op, const Expr *e) {
  bool jump = e->prim == PRIM_SIGN || e->prim == PRIM_STEP || e->prim == PRIM_LT ||
              e->prim == PRIM_LE || e->prim == PRIM_EQ || e->prim == PRIM_SELECT;
  for (int k = 0; jump && k < op->src_count; k++)
    if (is_wide_variable(p, op->src[k]) &&
        (e->prim == PRIM_SELECT ? expr_depends(e->arg[0], k) : expr_depends(e, k)))
      return true;
  for (int i = 0; i < prim_arity(e->prim); i++)
    if (jumps_in_vectors(p, op, e->arg[i])) return true;
  return false;
}

/* Whether a map is linear in its vectors, with coefficients that are numbers: it has no jumps in
 * them, its slopes do not depend on them, and it vanishes with them, whatever the coefficients. */
static bool is_linear_map(const Program *p, const Op *op) {
  double at[OP_MAX_ARGS];
  if (jumps_in_vectors(p, op, op->expr)) return false;
  for (int i = 0; i < op->src_count; i++) {
    bool wide = is_wide_variable(p, op->src[i]);
    at[i] = wide ? 0 : 1.37 + 0.11 * i;
    if (!wide) continue;
    const Expr *slope = expr_diff(p->pool, op->expr, i);
    for (int k = 0; k < op->src_count; k++)
      if (is_wide_variable(p, op->src[k]) && expr_depends(slope, k)) return false;
  }
  return !(fabs(expr_eval(op->expr, at)) > 0);
}

static bool is_linear(const Program *p) {
  for (int i = 0; i < p->op_count; i++) {
    const Op *op = &p->ops[i];
    bool wide = op->dst >= 0 && is_wide_variable(p, op->dst);
    if (op->kind == OP_MAP && wide && !is_linear_map(p, op)) return false;
    if (op->kind == OP_AVERAGE && op->src_count < 2) return false;
    if (op->kind == OP_SHIFT || (op->kind == OP_FILL && fabs(op->factor) > 0)) return false;
  }
  return true;
}

Program *program_of_system(System *system) {
  Program *p = mem_new(1, sizeof *p);
  *p = (Program){.references = 1,
                 .system = system,
                 .pool = expr_pool_new(),
                 .how = {.theory = true, .parts = 1}};
  add_variables(p);
  for (int i = 0; i < system->act_count; i++) {
    if (i == system->start_count) p->start_count = p->op_count;
    lower_act(p, &system->acts[i]);
  }
  if (system->start_count == system->act_count) p->start_count = p->op_count;
  prune(p);
  p->train_first = p->op_count;
  while (p->train_first > p->start_count && p->ops[p->train_first - 1].kind == OP_SET)
    p->train_first--;
  find_constants(p);
  find_matrix_responses(p);
  p->linear = is_linear(p);
  return p;
}
