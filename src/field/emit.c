/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "field/emit.h"
#include "base/memory.h"

#include <stdlib.h>

int add_space(Program *p, SpaceKind kind, char *name, Array *gram) {
  p->spaces = mem_grow(p->spaces, (size_t)(p->space_count + 1) * sizeof *p->spaces);
  p->spaces[p->space_count] = (Space){.kind = kind, .name = name, .ratio = 1, .gram = gram};
  return p->space_count++;
}

int add_variable(Program *p, char *name, int space, bool backward, int positions) {
  p->variables = mem_grow(p->variables, (size_t)(p->variable_count + 1) * sizeof *p->variables);
  p->variables[p->variable_count] = (Variable){
      .name = name, .space = space, .backward = backward, .positions = positions, .cols = 1};
  return p->variable_count++;
}

int add_matrix(Program *p, char *name, int from, int to, double sigma, double rate) {
  p->matrices = mem_grow(p->matrices, (size_t)(p->matrix_count + 1) * sizeof *p->matrices);
  p->matrices[p->matrix_count] = (Matrix){.name = name,
                                          .from = from,
                                          .to = to,
                                          .sigma = sigma,
                                          .rate = rate,
                                          .decay = rate,
                                          .factor = 1,
                                          .fan_in = 1,
                                          .weights = p->matrix_count,
                                          .x = -1,
                                          .y = -1,
                                          .learns = -1,
                                          .force = -1,
                                          .features = -1};
  return p->matrix_count++;
}

int add_table(Program *p, char *name, size_t rows, size_t cols) {
  int v = add_variable(p, name, NO_SPACE, false, 1);
  p->variables[v].rows = (int)rows;
  p->variables[v].cols = (int)cols;
  return v;
}

int emit(Program *p, Op op) {
  p->ops = mem_grow(p->ops, (size_t)(p->op_count + 1) * sizeof *p->ops);
  p->ops[p->op_count++] = op;
  return op.dst;
}

Op op_of_many(OpKind kind, int dst, int count, const int *src) {
  Op op = {.kind = kind, .dst = dst, .src_count = count};
  for (int i = 0; i < count; i++) op.src[i] = src[i];
  return op;
}

Op op_of_one(OpKind kind, int dst, int src) { return op_of_many(kind, dst, 1, &src); }

Op op_of_two(OpKind kind, int dst, int a, int b) { return op_of_many(kind, dst, 2, (int[]){a, b}); }

int emit_product(Program *p, OpKind kind, int dst, int matrix, int src) {
  Op op = op_of_one(kind, dst, src);
  op.matrix = matrix;
  return emit(p, op);
}

int emit_map_to(Program *p, int dst, const Expr *expr, int count, const int *src) {
  Op op = op_of_many(OP_MAP, dst, count, src);
  op.expr = expr;
  return emit(p, op);
}

int emit_apply(Program *p, char *name, int matrix, int x) {
  p->matrices[matrix].x = x;
  int dst = add_variable(p, name, p->matrices[matrix].to, false, p->variables[x].positions);
  return emit_product(p, OP_APPLY, dst, matrix, x);
}

/* The argument whose shape the result of a map has: fields come before tables, which serve all
 * neurons, and tables with more rows before those with fewer. */
static int shape_of(const Program *p, int count, const int *src) {
  int lead = src[0];
  for (int i = 1; i < count; i++) {
    const Variable *own = &p->variables[lead], *v = &p->variables[src[i]];
    if (own->space == NO_SPACE && (v->space != NO_SPACE || v->rows > own->rows)) lead = src[i];
  }
  return lead;
}

int emit_map(Program *p, char *name, const Expr *expr, int count, const int *src) {
  bool backward = false;
  for (int i = 0; i < count; i++) backward = backward || p->variables[src[i]].backward;
  Variable like = p->variables[shape_of(p, count, src)];
  for (int i = 0; i < count && like.space == NO_SPACE; i++)
    if (p->variables[src[i]].cols > like.cols) like.cols = p->variables[src[i]].cols;
  int dst = add_variable(p, name, like.space, backward, like.positions);
  p->variables[dst].rows = like.rows;
  p->variables[dst].cols = like.cols;
  return emit_map_to(p, dst, expr, count, src);
}

int emit_constant(Program *p, char *name, size_t steps, size_t rows, size_t cols, double *numbers) {
  p->constants = mem_grow(p->constants, (size_t)(p->constant_count + 1) * sizeof *p->constants);
  p->constants[p->constant_count] = (Constant){rows, cols, steps, false, numbers};
  int dst = add_table(p, name, rows, cols);
  return emit(p, (Op){.kind = OP_CONST, .dst = dst, .constant = p->constant_count++});
}

/* A table with rows like those of a variable. */
static int add_table_like(Program *p, char *name, int like, size_t cols) {
  Variable v = p->variables[like];
  int table = add_table(p, name, rows_of(p, like), cols);
  p->variables[table].backward = v.backward;
  p->variables[table].positions = v.positions;
  return table;
}

int emit_gram(Program *p, char *name, int blocks, double factor, int x, int y) {
  int dst = add_table_like(p, name, x, rows_of(p, y) / (size_t)blocks);
  Op op = op_of_two(OP_GRAM, dst, x, y);
  op.blocks = blocks;
  op.factor = factor;
  return emit(p, op);
}

int emit_blend(Program *p, char *name, int blocks, double factor, int table, bool transposed,
               int x) {
  Variable a = p->variables[table], v = p->variables[x];
  int all = (int)sizes_of(p).all, C = a.backward ? (int)sizes_of(p).outputs : 1,
      rows = transposed ? a.cols * blocks : a.rows / C;
  int dst = add_variable(p, name, v.space, a.backward || v.backward, rows / all);
  Op op = op_of_two(OP_BLEND, dst, table, x);
  op.blocks = blocks;
  op.factor = factor;
  op.transpose_a = transposed;
  return emit(p, op);
}

int emit_softmax(Program *p, char *name, int blocks, bool causal, int table) {
  int dst = add_table_like(p, name, table, (size_t)p->variables[table].cols);
  Op op = op_of_one(OP_SOFTMAX, dst, table);
  op.blocks = blocks;
  op.causal = causal;
  return emit(p, op);
}

int emit_sums(Program *p, char *name, int table) {
  int dst = add_table_like(p, name, table, 1);
  return emit(p, op_of_one(OP_SUMS, dst, table));
}

int emit_average(Program *p, char *name, double factor, int count, const int *src) {
  Variable like = p->variables[src[0]];
  int rows = (int)rows_of(p, src[0]);
  for (int i = 1; i < count; i++) {
    if ((int)rows_of(p, src[i]) > rows) rows = (int)rows_of(p, src[i]);
    like.backward = like.backward || p->variables[src[i]].backward;
  }
  int dst = add_variable(p, name, NO_SPACE, like.backward, like.positions);
  p->variables[dst].rows = rows;
  Op op = op_of_many(OP_AVERAGE, dst, count, src);
  op.factor = factor;
  return emit(p, op);
}

int emit_sum(Program *p, char *name, int count, const int *src) {
  if (count > OP_MAX_ARGS) {
    int *all = mem_new((size_t)(count - OP_MAX_ARGS + 1), sizeof *all);
    all[0] = emit_sum(p, mem_string(name), OP_MAX_ARGS, src);
    for (int i = OP_MAX_ARGS; i < count; i++) all[i - OP_MAX_ARGS + 1] = src[i];
    int sum = emit_sum(p, name, count - OP_MAX_ARGS + 1, all);
    free(all);
    return sum;
  }
  const Expr *sum = expr_arg(p->pool, 0);
  for (int i = 1; i < count; i++)
    sum = expr_call(p->pool, PRIM_ADD, sum, expr_arg(p->pool, i), NULL);
  return emit_map(p, name, sum, count, src);
}

static int add_row_map(Program *p, RowMap map) {
  size_t count = (size_t)p->row_map_count + 1;
  p->row_maps = mem_grow(p->row_maps, count * sizeof *p->row_maps);
  p->row_maps[p->row_map_count] = map;
  return p->row_map_count++;
}

int emit_rows(Program *p, char *name, RowMap map, int src) {
  Variable v = p->variables[src];
  int rows = v.rows / map.from * map.to; /* of a table */
  int dst = add_variable(p, name, v.space, v.backward, map.to);
  p->variables[dst].rows = rows;
  p->variables[dst].cols = v.cols;
  Op op = op_of_one(OP_ROWS, dst, src);
  op.rows = add_row_map(p, map);
  return emit(p, op);
}
