/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Adding to a program. Names are taken over; emit_... add an op and its variable, which they give.
 */
#ifndef DMF_FIELD_EMIT_H
#define DMF_FIELD_EMIT_H

#include "field/program.h"

/* Takes over a reference to the Gram matrix. */
int add_space(Program *p, SpaceKind kind, char *name, Array *gram);
int add_variable(Program *p, char *name, int space, bool backward, int positions);
int add_table(Program *p, char *name, size_t rows, size_t cols);
/* sigma and rate in operator units; the decay goes at the same rate. */
int add_matrix(Program *p, char *name, int from, int to, double sigma, double rate);

int emit(Program *p, Op op);
/* An op of these sources. */
Op op_of_many(OpKind kind, int dst, int count, const int *src);
Op op_of_one(OpKind kind, int dst, int src);
Op op_of_two(OpKind kind, int dst, int a, int b);
/* A product with a matrix, or its transpose; a map. */
int emit_product(Program *p, OpKind kind, int dst, int matrix, int src);
int emit_map_to(Program *p, int dst, const Expr *expr, int count, const int *src);
int emit_apply(Program *p, char *name, int matrix, int x);
/* On the neurons of its fields; a table serves all neurons, and a map of tables alone is one. */
int emit_map(Program *p, char *name, const Expr *expr, int count, const int *src);
/* factor <src_0>, or factor <src_0 src_1>, row by row. */
int emit_average(Program *p, char *name, double factor, int count, const int *src);
/* Known numbers, which are taken over: [rows, cols], or [steps, rows, cols] if there are steps. */
int emit_constant(Program *p, char *name, size_t steps, size_t rows, size_t cols, double *numbers);
/* factor <x y> of all pairs of rows of the same one of so many blocks. */
int emit_gram(Program *p, char *name, int blocks, double factor, int x, int y);
/* factor A x, or factor A^T x, block by block, for a table A of pairs. Where either has a row for
 * each output so has the result. */
int emit_blend(Program *p, char *name, int blocks, double factor, int table, bool transposed,
               int x);
int emit_softmax(Program *p, char *name, int blocks, bool causal, int table);
/* The sum of each row of a table. */
int emit_sums(Program *p, char *name, int table);
/* The sum of any number of variables. */
int emit_sum(Program *p, char *name, int count, const int *src);
/* The forward pass of a completed program once more, with the averages of the weights; f. */
int emit_averaged(Program *p);
/* Takes over the map. */
int emit_rows(Program *p, char *name, RowMap map, int src);

#endif
