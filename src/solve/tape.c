/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/tape.h"
#include "base/memory.h"
#include "num/linalg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TABLE = -1 };

typedef struct Slab {
  int space; /* or TABLE */
  bool constant, fresh;
  size_t rows, cols, capacity;
  double *value;
  int birth; /* operations recorded before it */
} Slab;

typedef enum TapeKind {
  PRODUCT,
  AVERAGE,
  COPY,
  MAP,
  MULTIPLY,
  OUTER,
  CONTRACT,
  WEIGH,
  CHOLESKY,
  SOLVE
} TapeKind;

typedef struct TapeOp {
  TapeKind kind;
  View out, arg[3];
  double alpha;
  bool transposed;
  size_t group, divisor[4];
  const TapeMap *map;
  View *args; /* of the map */
} TapeOp;

/* See tape_fresh. */
typedef struct Fresh {
  View rows, known_rows;
  int *axis, *known;
} Fresh;

struct Tape {
  size_t S, passive; /* the last `passive` columns are in no average */
  const double *weights;
  int spaces;
  bool coordinates, record, failed;
  Slab *slabs;
  int slab_count, slab_room;
  TapeOp *ops;
  int op_count, op_room;
  Fresh *fresh;
  size_t fresh_count;
  double bytes;
};

/* ---- blocks ---- */

TapeMap *tape_map_new(const Expr *value, const Expr *const *slope, int count) {
  TapeMap *map = mem_new(1, sizeof *map);
  *map = (TapeMap){kernel_new(value), mem_new((size_t)count, sizeof *map->slope), count};
  for (int k = 0; k < count; k++)
    if (slope[k]->prim != PRIM_CONST || slope[k]->value != 0) map->slope[k] = kernel_new(slope[k]);
  return map;
}

void tape_map_free(TapeMap *map) {
  if (!map) return;
  for (int k = 0; k < map->count; k++)
    if (map->slope[k]) kernel_free(map->slope[k]);
  kernel_free(map->value);
  free(map->slope);
  free(map);
}

Tape *tape_new(size_t columns, const double *weights, int spaces, bool coordinates, bool record) {
  Tape *tape = mem_new(1, sizeof *tape);
  *tape = (Tape){.S = columns,
                 .weights = weights,
                 .spaces = spaces,
                 .coordinates = coordinates,
                 .record = record};
  return tape;
}

void tape_free(Tape *tape) {
  if (!tape) return;
  for (int i = 0; i < tape->slab_count; i++) free(tape->slabs[i].value);
  for (int i = 0; i < tape->op_count; i++) free(tape->ops[i].args);
  free(tape->slabs);
  free(tape->ops);
  for (size_t i = 0; i < tape->fresh_count; i++) {
    free(tape->fresh[i].axis);
    free(tape->fresh[i].known);
  }
  free(tape->fresh);
  free(tape);
}

void tape_add_passive(Tape *tape, size_t columns) {
  tape->S += columns;
  tape->passive += columns;
}

void tape_drop(Tape *tape, View view) {
  if (tape->record) return;
  Slab *slab = &tape->slabs[view.slab];
  tape->bytes -= 8 * (double)(slab->capacity * slab->cols);
  free(slab->value);
  slab->value = NULL;
}

bool tape_failed(const Tape *tape) { return tape->failed; }
double tape_bytes(const Tape *tape) { return tape->bytes; }
int tape_mark(const Tape *tape) { return tape->op_count; }

static View new_slab(Tape *tape, int space, size_t rows, size_t cols, bool constant) {
  if (tape->slab_count == tape->slab_room) {
    tape->slab_room = 2 * tape->slab_room + 64;
    tape->slabs = mem_grow(tape->slabs, (size_t)tape->slab_room * sizeof *tape->slabs);
  }
  double *value = mem_block(rows * cols + 1);
  if (!value) tape->failed = true;
  tape->bytes += 8 * (double)(rows * cols);
  tape->slabs[tape->slab_count] =
      (Slab){space, constant, false, rows, cols, rows, value, tape->op_count};
  return (View){tape->slab_count++, 0, rows, 0, cols};
}

View tape_wide(Tape *tape, int space, size_t rows, bool constant) {
  return new_slab(tape, space, rows, tape->S, constant);
}

View tape_table(Tape *tape, size_t rows, size_t cols, bool constant) {
  return new_slab(tape, TABLE, rows, cols, constant);
}

View tape_fresh(Tape *tape, int space, size_t rows, const int *axis, View known_rows,
                const int *known) {
  View view = tape_wide(tape, space, rows, false);
  tape->slabs[view.slab].fresh = true;
  tape->fresh = mem_grow(tape->fresh, (tape->fresh_count + 1) * sizeof *tape->fresh);
  Fresh *fresh = &tape->fresh[tape->fresh_count++];
  *fresh =
      (Fresh){view, known_rows, mem_new(rows + 1, sizeof *axis), mem_new(rows + 1, sizeof *known)};
  for (size_t i = 0; i < rows && !tape->failed; i++) {
    fresh->axis[i] = axis[i];
    fresh->known[i] = known ? known[i] : 0;
    tape_data(tape, view_rows(view, i, 1))[axis[i]] = sqrt((double)(tape->S - tape->passive));
  }
  return view;
}

View tape_same(Tape *tape, View view) {
  return new_slab(tape, tape->slabs[view.slab].space, view.rows, view.cols, false);
}

View tape_grow(Tape *tape, View whole, size_t rows) {
  Slab *slab = &tape->slabs[whole.slab];
  if (slab->rows + rows > slab->capacity) {
    size_t capacity =
        2 * slab->capacity > slab->rows + rows ? 2 * slab->capacity : slab->rows + rows;
    double *value = mem_block(capacity * slab->cols + 1);
    if (!value || tape->failed) {
      free(value);
      tape->failed = true;
      return whole;
    }
    memcpy(value, slab->value, slab->rows * slab->cols * sizeof *value);
    free(slab->value);
    tape->bytes += 8 * (double)((capacity - slab->capacity) * slab->cols);
    slab->value = value;
    slab->capacity = capacity;
  }
  slab->rows += rows;
  whole.rows = slab->rows;
  return whole;
}

View view_rows(View view, size_t first, size_t rows) {
  view.row += first;
  view.rows = rows;
  return view;
}

View view_cols(View view, size_t first, size_t cols) {
  view.col += first;
  view.cols = cols;
  return view;
}

size_t tape_stride(const Tape *tape, View view) { return tape->slabs[view.slab].cols; }

double *tape_data(const Tape *tape, View view) {
  return tape->slabs[view.slab].value + view.row * tape_stride(tape, view) + view.col;
}

static bool is_table(const Tape *tape, View view) { return tape->slabs[view.slab].space == TABLE; }

/* out += <x y^T> over neurons, x [nx rows, ldx apart]. `scratch` [ny, S] serves weights. */
static void average_rows(const Tape *tape, double alpha, const double *x, size_t nx, size_t ldx,
                         const double *y, size_t ny, double *out, size_t ldo, double *scratch) {
  size_t S = tape->S;
  if (tape->weights) {
    for (size_t r = 0; r < ny; r++)
      for (size_t i = 0; i < S; i++) scratch[r * S + i] = tape->weights[i] * y[r * S + i];
    mat_mul_bt(nx, ny, S, alpha, x, ldx, scratch, S, 1, out, ldo);
  } else {
    S -= tape->passive;
    mat_mul_bt(nx, ny, S, alpha / (double)S, x, ldx, y, tape->S, 1, out, ldo);
  }
}

static double *weighing_room(const Tape *tape, size_t rows) {
  return tape->weights ? mem_block(rows * tape->S) : NULL;
}

/* ---- forward ---- */

static TapeOp *record(Tape *tape, TapeKind kind, View out, double alpha) {
  if (tape->op_count == tape->op_room) {
    tape->op_room = 2 * tape->op_room + 256;
    tape->ops = mem_grow(tape->ops, (size_t)tape->op_room * sizeof *tape->ops);
  }
  TapeOp *op = &tape->ops[tape->record ? tape->op_count++ : tape->op_count];
  *op = (TapeOp){.kind = kind, .out = out, .alpha = alpha};
  return op;
}

void tape_product(Tape *tape, View out, double alpha, View a, View b, bool transposed) {
  if (tape->failed || !a.rows || !a.cols) return;
  TapeOp *op = record(tape, PRODUCT, out, alpha);
  op->arg[0] = a;
  op->arg[1] = b;
  op->transposed = transposed;
  double *o = tape_data(tape, out), *A = tape_data(tape, a), *B = tape_data(tape, b);
  size_t lo = tape_stride(tape, out), la = tape_stride(tape, a), lb = tape_stride(tape, b);
  if (transposed)
    mat_mul_bt(out.rows, out.cols, a.cols, alpha, A, la, B, lb, 1, o, lo);
  else
    mat_mul(out.rows, out.cols, a.cols, alpha, A, la, B, lb, 1, o, lo);
}

void tape_average(Tape *tape, View out, double alpha, View a, View b) {
  if (tape->failed || !a.rows || !b.rows) return;
  TapeOp *op = record(tape, AVERAGE, out, alpha);
  op->arg[0] = a;
  op->arg[1] = b;
  double *scratch = weighing_room(tape, b.rows);
  average_rows(tape, alpha, tape_data(tape, a), a.rows, tape->S, tape_data(tape, b), b.rows,
               tape_data(tape, out), tape_stride(tape, out), scratch);
  free(scratch);
}

void tape_copy(Tape *tape, View out, double alpha, View in) {
  if (tape->failed) return;
  record(tape, COPY, out, alpha)->arg[0] = in;
  for (size_t r = 0; r < out.rows; r++)
    axpy(out.cols, alpha, tape_data(tape, view_rows(in, r % in.rows, 1)),
         tape_data(tape, view_rows(out, r, 1)));
}

static size_t map_row(View arg, View out, size_t r, size_t group) {
  return arg.rows == out.rows ? r : r / group;
}

/* dst [out.rows, cols] = kernel(args). */
static void run_kernel(const Tape *tape, const TapeOp *op, const Kernel *kernel, double *dst) {
  View out = op->out;
  bool whole = true;
  for (int k = 0; k < op->map->count; k++) whole = whole && op->args[k].rows == out.rows;
  size_t runs = whole ? 1 : out.rows, length = out.rows * out.cols / runs;
  for (size_t r = 0; r < runs; r++) {
    const double *args[op->map->count];
    for (int k = 0; k < op->map->count; k++)
      args[k] = tape_data(tape, op->args[k]) +
                (whole ? 0 : map_row(op->args[k], out, r, op->group)) * out.cols;
    kernel_run(kernel, length, args, dst + r * length);
  }
}

void tape_map(Tape *tape, View out, const TapeMap *map, const View *args, size_t group) {
  if (tape->failed) return;
  TapeOp *op = record(tape, MAP, out, 1);
  op->args = mem_new((size_t)map->count, sizeof *args);
  memcpy(op->args, args, (size_t)map->count * sizeof *args);
  op->map = map;
  op->group = group;
  run_kernel(tape, op, map->value, tape_data(tape, out));
  if (!tape->record) free(op->args);
}

/* Where an argument of tape_multiply is read. */
static size_t entry_row(View v, const size_t *divisor, size_t i, size_t j) {
  return divisor[0] ? i / divisor[0] : j % v.rows;
}

static size_t entry_col(View v, const size_t *divisor, size_t j) {
  return divisor[0] ? j / divisor[1] : j / v.rows;
}

void tape_multiply(Tape *tape, View out, double alpha, View a, size_t a_row, size_t a_col, View b,
                   size_t b_row, size_t b_col) {
  if (tape->failed) return;
  TapeOp *op = record(tape, MULTIPLY, out, alpha);
  op->arg[0] = a;
  op->arg[1] = b;
  memcpy(op->divisor, (size_t[]){a_row, a_col, b_row, b_col}, sizeof op->divisor);
  const double *A = tape_data(tape, a), *B = tape_data(tape, b);
  size_t la = tape_stride(tape, a), lb = tape_stride(tape, b), lo = tape_stride(tape, out);
  double *o = tape_data(tape, out);
  for (size_t i = 0; i < out.rows; i++)
    for (size_t j = 0; j < out.cols; j++) {
      size_t ai = entry_row(a, op->divisor, i, j), aj = entry_col(a, op->divisor, j);
      o[i * lo + j] += alpha * A[ai * la + aj] * B[i / b_row * lb + j / b_col];
    }
}

/* Entry k of v^T in order: where it is in a block of `copies` of each row. */
static size_t entry_of(const Tape *tape, View v, size_t k, size_t copies, size_t copy) {
  return (k % v.rows * copies + copy) * tape_stride(tape, v) + k / v.rows;
}

void tape_contract(Tape *tape, View out, double alpha, View a, View b) {
  if (tape->failed) return;
  TapeOp *op = record(tape, CONTRACT, out, alpha);
  op->arg[0] = a;
  op->arg[1] = b;
  for (size_t i = 0; i < a.rows; i++)
    for (size_t k = 0; k < a.cols; k++)
      tape_data(tape, out)[entry_of(tape, out, i, 1, 0)] +=
          alpha * tape_data(tape, view_rows(a, i, 1))[k] *
          tape_data(tape, b)[entry_of(tape, b, k, 1, 0)];
}

void tape_weigh(Tape *tape, View out, View a, View in) {
  if (tape->failed) return;
  TapeOp *op = record(tape, WEIGH, out, 1);
  op->arg[0] = a;
  op->arg[1] = in;
  for (size_t r = 0; r < a.rows * a.cols; r++)
    axpy(tape->S, tape_data(tape, a)[entry_of(tape, a, r, 1, 0)],
         tape_data(tape, view_rows(in, r / a.rows, 1)), tape_data(tape, view_rows(out, r, 1)));
}

void tape_outer(Tape *tape, View out, double alpha, View c, View x, View y) {
  if (tape->failed) return;
  TapeOp *op = record(tape, OUTER, out, alpha);
  op->arg[0] = c;
  op->arg[1] = x;
  op->arg[2] = y;
  size_t group = y.rows / x.rows, lo = tape_stride(tape, out);
  for (size_t k = 0; k < y.rows; k++) {
    double ck = alpha * tape_data(tape, c)[entry_of(tape, c, k, 1, 0)];
    const double *xk = tape_data(tape, view_rows(x, k / group, 1)),
                 *yk = tape_data(tape, view_rows(y, k, 1));
    double *o = tape_data(tape, out);
    for (size_t i = 0; i < x.cols; i++) axpy(y.cols, ck * xk[i], yk, o + i * lo);
  }
}

/* v made orthogonal to `rank` rows once more, and of unit norm: the residual that it comes from is
 * small against the vectors it was computed from. */
static void polish(const Tape *tape, const double *q, size_t rank, double *v) {
  size_t S = tape->S;
  double *c = mem_new(rank + 1, sizeof *c), norm2 = 0;
  double *scratch = weighing_room(tape, rank + 1);
  average_rows(tape, 1, v, 1, S, q, rank, c, rank + 1, scratch);
  mat_mul(1, S, rank, -1, c, rank, q, S, 1, v, S);
  average_rows(tape, 1, v, 1, S, v, 1, &norm2, 1, scratch);
  for (size_t i = 0; i < S; i++) v[i] /= sqrt(norm2);
  free(scratch);
  free(c);
}

/* Recorded as A = <B B^T>, A = C C^T, q = C^{-1} B for the rows B that give directions, whose
 * coordinates are the rows of C, and <x q> for the others. */
static void record_extension(Tape *tape, View q, View residual, const size_t *picked, View coords) {
  size_t k = q.rows;
  View B = tape_wide(tape, tape->slabs[residual.slab].space, k, false);
  View A = tape_table(tape, k, k, false), C = tape_table(tape, k, k, false);
  if (tape->failed) return;
  for (size_t j = 0; j < k; j++) {
    tape_copy(tape, view_rows(B, j, 1), 1, view_rows(residual, picked[j], 1));
    memcpy(tape_data(tape, view_rows(C, j, 1)), tape_data(tape, view_rows(coords, picked[j], 1)),
           (j + 1) * sizeof(double));
  }
  tape_average(tape, A, 1, B, B);
  record(tape, CHOLESKY, C, 1)->arg[0] = A;
  TapeOp *op = record(tape, SOLVE, q, 1);
  op->arg[0] = C;
  op->arg[1] = B;
  for (size_t r = 0, j = 0; r < residual.rows; r++) {
    View row = view_rows(coords, r, 1);
    memset(tape_data(tape, row), 0, k * sizeof(double));
    if (j < k && picked[j] == r)
      tape_copy(tape, row, 1, view_rows(C, j++, 1));
    else
      tape_average(tape, row, 1, view_rows(residual, r, 1), q);
  }
}

size_t tape_extend(Tape *tape, View *basis, View residual, double threshold, View coordinates) {
  size_t S = tape->S, rows = residual.rows, k = 0, before = basis->rows;
  double *rest = mem_block(rows * S), *scratch = weighing_room(tape, rows);
  size_t *picked = mem_new(rows, sizeof *picked), stride = tape_stride(tape, coordinates);
  if (!rest) tape->failed = true;
  if (!tape->failed) memcpy(rest, tape_data(tape, residual), rows * S * sizeof *rest);
  for (size_t r = 0; r < rows && !tape->failed && before + k < S; r++) {
    double norm2 = 0;
    average_rows(tape, 1, rest + r * S, 1, S, rest + r * S, 1, &norm2, 1, scratch);
    if (!(norm2 > threshold)) continue;
    *basis = tape_grow(tape, *basis, 1);
    if (tape->failed) break;
    double *q = tape_data(tape, *basis), *v = q + (before + k) * S;
    memcpy(v, rest + r * S, S * sizeof *v);
    polish(tape, q, before + k, v);
    for (size_t i = 0; i < rows; i++) {
      double c = 0;
      average_rows(tape, 1, rest + i * S, 1, S, v, 1, &c, 1, scratch);
      tape_data(tape, coordinates)[i * stride + k] = c;
      axpy(S, -c, v, rest + i * S);
    }
    picked[k++] = r;
  }
  if (k && !tape->failed && tape->record)
    record_extension(tape, view_rows(*basis, before, k), residual, picked,
                     view_cols(coordinates, 0, k));
  free(picked);
  free(scratch);
  free(rest);
  return k;
}

double tape_largest(const Tape *tape, View view) {
  double largest = 0;
  size_t S = tape->S;
  for (size_t r = 0; r < view.rows && !tape->failed; r++) {
    const double *v = tape_data(tape, view_rows(view, r, 1));
    double norm2 = 0;
    for (size_t i = 0; i < S; i++)
      norm2 += v[i] * v[i] * (tape->weights ? tape->weights[i] : 1.0 / (double)S);
    if (norm2 > largest) largest = norm2;
  }
  return largest;
}

/* ---- backward ---- */

/* One reading of the tape for M observables. The derivative with respect to a block lies in
 * bar[slab], [row][observable][column], so that rows times observables are the rows of one matrix,
 * and observables times columns the columns of another. Derivatives with respect to wide blocks
 * carry a factor 1/w_i: those with respect to a table are then averages over neurons. */
typedef struct Reading {
  const Tape *tape;
  size_t M;
  double **bar;
  double *influence; /* [M][space][S], or [M][fresh row][S] of coordinates */
  double *
      *spare; /* blocks given back, of spare_size numbers each: every step wants the same ones */
  size_t *spare_size;
  int spare_count, spare_room;
  double *work, *weighing;
  size_t work_room, weighing_room;
  bool failed;
} Reading;

static double *room(Reading *r, double **block, size_t *had, size_t count) {
  if (count <= *had) return *block;
  free(*block);
  *block = mem_block(count);
  *had = *block ? count : 0;
  if (!*block) r->failed = true;
  return *block;
}

static double *work(Reading *r, size_t count) { return room(r, &r->work, &r->work_room, count); }

static bool touched(const Reading *r, View view) { return r->bar[view.slab] != NULL; }

static size_t bar_size(const Reading *r, int slab) {
  return r->tape->slabs[slab].rows * r->tape->slabs[slab].cols * r->M + 1;
}

static double *zeros(Reading *r, size_t size) {
  for (int i = r->spare_count - 1; i >= 0; i--) {
    if (r->spare_size[i] != size) continue;
    double *block = r->spare[i];
    r->spare[i] = r->spare[--r->spare_count];
    r->spare_size[i] = r->spare_size[r->spare_count];
    memset(block, 0, size * sizeof *block);
    return block;
  }
  return mem_block(size);
}

/* The block of a slab is not wanted any more. */
static void give_back(Reading *r, int slab) {
  if (!r->bar[slab] || r->tape->slabs[slab].fresh) return;
  if (r->spare_count == r->spare_room) {
    r->spare_room = 2 * r->spare_room + 16;
    r->spare = mem_grow(r->spare, (size_t)r->spare_room * sizeof *r->spare);
    r->spare_size = mem_grow(r->spare_size, (size_t)r->spare_room * sizeof *r->spare_size);
  }
  r->spare_size[r->spare_count] = bar_size(r, slab);
  r->spare[r->spare_count++] = r->bar[slab];
  r->bar[slab] = NULL;
}

/* Derivatives with respect to the view, allocated when first wanted. */
static double *bar(Reading *r, View view) {
  const Slab *slab = &r->tape->slabs[view.slab];
  double **block = &r->bar[view.slab];
  if (!*block) *block = zeros(r, bar_size(r, view.slab));
  if (!*block) r->failed = true;
  return *block ? *block + view.row * r->M * slab->cols + view.col : NULL;
}

static bool wanted(const Reading *r, View view) { return !r->tape->slabs[view.slab].constant; }

/* out[(i, m), k] += alpha <x[(i, m)] y_k>: the derivative of a table. */
static void reduce(Reading *r, double alpha, const double *x, size_t nx, View y, double *out,
                   size_t ldo) {
  const Tape *tape = r->tape;
  double *scratch =
      tape->weights ? room(r, &r->weighing, &r->weighing_room, y.rows * tape->S) : NULL;
  if (!r->failed)
    average_rows(tape, alpha, x, nx, tape->S, tape_data(tape, y), y.rows, out, ldo, scratch);
}

static void reverse_product_wide(Reading *r, const TapeOp *op) {
  const Tape *tape = r->tape;
  View a = op->arg[0], b = op->arg[1], out = op->out;
  size_t S = tape->S, M = r->M, la = tape_stride(tape, a);
  const double *dout = bar(r, out), *A = tape_data(tape, a);
  double *da = wanted(r, a) ? bar(r, a) : NULL, *db = wanted(r, b) ? bar(r, b) : NULL;
  if (r->failed) return;
  if (db) mat_mul_at(a.cols, M * S, a.rows, op->alpha, A, la, dout, M * S, 1, db, M * S);
  if (da) reduce(r, op->alpha, dout, a.rows * M, b, da, la);
}

static void reverse_product_table(Reading *r, const TapeOp *op) {
  const Tape *tape = r->tape;
  View a = op->arg[0], b = op->arg[1], out = op->out;
  size_t M = r->M, la = tape_stride(tape, a), lb = tape_stride(tape, b),
         lo = tape_stride(tape, out);
  const double *A = tape_data(tape, a), *B = tape_data(tape, b), *dout = bar(r, out);
  double *da = wanted(r, a) ? bar(r, a) : NULL, *db = wanted(r, b) ? bar(r, b) : NULL;
  for (size_t m = 0; m < M && !r->failed; m++) {
    const double *d = dout + m * lo;
    size_t n = out.rows, c = out.cols, k = a.cols;
    if (op->transposed) {
      if (da) mat_mul(n, k, c, op->alpha, d, M * lo, B, lb, 1, da + m * la, M * la);
      if (db) mat_mul_at(c, k, n, op->alpha, d, M * lo, A, la, 1, db + m * lb, M * lb);
    } else {
      if (da) mat_mul_bt(n, k, c, op->alpha, d, M * lo, B, lb, 1, da + m * la, M * la);
      if (db) mat_mul_at(k, c, n, op->alpha, A, la, d, M * lo, 1, db + m * lb, M * lb);
    }
  }
}

/* What an average adds to the influences: x_i times t = (d observable / d <x y>) y_i. */
static void add_influence(Reading *r, View a, const double *t) {
  const Tape *tape = r->tape;
  size_t S = tape->S, M = r->M, n = tape_influence_size(tape);
  size_t space = (size_t)tape->slabs[a.slab].space;
  const double *A = tape_data(tape, a);
  for (size_t m = 0; m < M; m++) {
    double *y = r->influence + m * n + space * S;
    for (size_t i = 0; i < a.rows; i++)
      for (size_t s = 0; s < S; s++) y[s] += A[i * S + s] * t[(i * M + m) * S + s];
  }
}

static void reverse_average(Reading *r, const TapeOp *op) {
  const Tape *tape = r->tape;
  View a = op->arg[0], b = op->arg[1], out = op->out;
  size_t S = tape->S, M = r->M, lo = tape_stride(tape, out);
  const double *dout = bar(r, out);
  double *da = wanted(r, a) ? bar(r, a) : NULL, *db = wanted(r, b) ? bar(r, b) : NULL;
  double *t = work(r, a.rows * M * S);
  if (r->failed) return;
  mat_mul(a.rows * M, S, b.rows, op->alpha, dout, lo, tape_data(tape, b), S, 0, t, S);
  if (!tape->coordinates) add_influence(r, a, t);
  if (da) axpy(a.rows * M * S, 1, t, da);
  for (size_t m = 0; m < M && db; m++)
    mat_mul_at(b.rows, S, a.rows, op->alpha, dout + m * lo, M * lo, tape_data(tape, a), S, 1,
               db + m * S, M * S);
}

static void reverse_copy(Reading *r, const TapeOp *op) {
  View in = op->arg[0], out = op->out;
  if (!wanted(r, in)) return;
  const double *dout = bar(r, out);
  double *din = bar(r, in);
  size_t M = r->M, lo = tape_stride(r->tape, out), li = tape_stride(r->tape, in);
  for (size_t k = 0; k < out.rows && !r->failed; k++)
    for (size_t m = 0; m < M; m++)
      axpy(out.cols, op->alpha, dout + (k * M + m) * lo, din + (k % in.rows * M + m) * li);
}

static void reverse_map(Reading *r, const TapeOp *op) {
  const Tape *tape = r->tape;
  View out = op->out;
  size_t n = out.cols, M = r->M, lo = tape_stride(tape, out);
  double *slope = work(r, out.rows * n);
  const double *dout = bar(r, out);
  for (int k = 0; k < op->map->count && !r->failed; k++) {
    View arg = op->args[k];
    if (!op->map->slope[k] || !wanted(r, arg)) continue;
    double *darg = bar(r, arg);
    if (r->failed) return;
    run_kernel(tape, op, op->map->slope[k], slope);
    for (size_t i = 0; i < out.rows; i++)
      for (size_t m = 0; m < M; m++) {
        const double *d = dout + (i * M + m) * lo;
        double *to = darg + (map_row(arg, out, i, op->group) * M + m) * tape_stride(tape, arg);
        for (size_t s = 0; s < n; s++) to[s] += slope[i * n + s] * d[s];
      }
  }
}

static void reverse_multiply(Reading *r, const TapeOp *op) {
  const Tape *tape = r->tape;
  View out = op->out;
  size_t M = r->M, lo = tape_stride(tape, out);
  const double *dout = bar(r, out);
  for (int k = 0; k < 2; k++) {
    View own = op->arg[k], other = op->arg[1 - k];
    if (!wanted(r, own)) continue;
    const size_t *mine = op->divisor + 2 * k, *its = op->divisor + 2 * (1 - k);
    double *d = bar(r, own);
    const double *value = tape_data(tape, other);
    size_t l = tape_stride(tape, own), lv = tape_stride(tape, other);
    for (size_t i = 0; i < out.rows && !r->failed; i++)
      for (size_t m = 0; m < M; m++)
        for (size_t j = 0; j < out.cols; j++)
          d[(entry_row(own, mine, i, j) * M + m) * l + entry_col(own, mine, j)] +=
              op->alpha * value[entry_row(other, its, i, j) * lv + entry_col(other, its, j)] *
              dout[(i * M + m) * lo + j];
  }
}

static void reverse_outer(Reading *r, const TapeOp *op) {
  const Tape *tape = r->tape;
  View c = op->arg[0], x = op->arg[1], y = op->arg[2];
  size_t M = r->M, group = y.rows / x.rows, lo = tape_stride(tape, op->out),
         lx = tape_stride(tape, x), ly = tape_stride(tape, y);
  const double *dout = bar(r, op->out), *X = tape_data(tape, x), *Y = tape_data(tape, y);
  double *dc = bar(r, c), *dx = bar(r, x), *dy = bar(r, y), *right = work(r, x.cols);
  for (size_t m = 0; m < M && !r->failed; m++)
    for (size_t k = 0; k < y.rows; k++) {
      const double *xk = X + k / group * lx, *yk = Y + k * ly;
      double ck = op->alpha * tape_data(tape, c)[entry_of(tape, c, k, 1, 0)], sum = 0;
      for (size_t i = 0; i < x.cols; i++) {
        const double *d = dout + (i * M + m) * lo;
        right[i] = dot(y.cols, d, yk);
        sum += right[i] * xk[i];
        axpy(y.cols, ck * xk[i], d, dy + (k * M + m) * ly);
      }
      axpy(x.cols, ck, right, dx + (k / group * M + m) * lx);
      dc[entry_of(tape, c, k, M, m)] += op->alpha * sum;
    }
}

static void reverse_contract(Reading *r, const TapeOp *op) {
  const Tape *tape = r->tape;
  View a = op->arg[0], b = op->arg[1], out = op->out;
  size_t M = r->M, la = tape_stride(tape, a);
  const double *dout = bar(r, out), *B = tape_data(tape, b);
  double *da = bar(r, a), *db = bar(r, b);
  for (size_t i = 0; i < a.rows && !r->failed; i++)
    for (size_t m = 0; m < M; m++) {
      double d = op->alpha * dout[entry_of(tape, out, i, M, m)];
      const double *A = tape_data(tape, view_rows(a, i, 1));
      for (size_t k = 0; k < a.cols; k++) {
        da[(i * M + m) * la + k] += d * B[entry_of(tape, b, k, 1, 0)];
        db[entry_of(tape, b, k, M, m)] += d * A[k];
      }
    }
}

static void reverse_weigh(Reading *r, const TapeOp *op) {
  const Tape *tape = r->tape;
  View a = op->arg[0], in = op->arg[1];
  size_t S = tape->S, M = r->M;
  const double *dout = bar(r, op->out);
  double *da = bar(r, a), *din = bar(r, in), *t = work(r, M);
  for (size_t k = 0; k < a.rows * a.cols && !r->failed; k++) {
    double weight = tape_data(tape, a)[entry_of(tape, a, k, 1, 0)];
    axpy(M * S, weight, dout + k * M * S, din + k / a.rows * M * S);
    memset(t, 0, M * sizeof *t);
    reduce(r, 1, dout + k * M * S, M, view_rows(in, k / a.rows, 1), t, 1);
    for (size_t m = 0; m < M; m++) da[entry_of(tape, a, k, M, m)] += t[m];
  }
}

/* x <- C^{-T} x for n columns. */
static void solve_transposed(const double *C, size_t k, double *x, size_t n) {
  for (size_t i = k; i-- > 0;) {
    for (size_t j = i + 1; j < k; j++) axpy(n, -C[j * k + i], x + j * n, x + i * n);
    for (size_t s = 0; s < n; s++) x[i * n + s] /= C[i * k + i];
  }
}

/* A = C C^T: dA = C^{-T} Phi(C^T dC) C^{-1} with Phi the lower part, its diagonal halved. */
static void reverse_cholesky(Reading *r, const TapeOp *op) {
  size_t k = op->out.rows, M = r->M;
  const double *C = tape_data(r->tape, op->out), *dC = bar(r, op->out);
  double *dA = bar(r, op->arg[0]), *p = work(r, 2 * k * k), *q = p + k * k;
  for (size_t m = 0; m < M && !r->failed; m++) {
    for (size_t i = 0; i < k; i++)
      for (size_t j = 0; j < k; j++) {
        double sum = 0;
        for (size_t l = i; l < k && j <= i; l++) sum += C[l * k + i] * dC[(l * M + m) * k + j];
        p[i * k + j] = i == j ? sum / 2 : sum;
      }
    solve_transposed(C, k, p, k);
    for (size_t i = 0; i < k; i++)
      for (size_t j = 0; j < k; j++) q[j * k + i] = p[i * k + j];
    solve_transposed(C, k, q, k);
    for (size_t i = 0; i < k; i++)
      for (size_t j = 0; j < k; j++) dA[(i * M + m) * k + j] += (q[i * k + j] + q[j * k + i]) / 2;
  }
}

/* q = C^{-1} B */
static void reverse_solve(Reading *r, const TapeOp *op) {
  const Tape *tape = r->tape;
  size_t k = op->out.rows, n = r->M * tape->S;
  const double *dq = bar(r, op->out);
  double *dC = bar(r, op->arg[0]), *dB = bar(r, op->arg[1]), *t = work(r, k * n);
  if (r->failed) return;
  memcpy(t, dq, k * n * sizeof *t);
  solve_transposed(tape_data(tape, op->arg[0]), k, t, n);
  axpy(k * n, 1, t, dB);
  reduce(r, -1, t, k * r->M, op->out, dC, k);
}

static void reverse(Reading *r, const TapeOp *op) {
  switch (op->kind) {
  case PRODUCT:
    if (is_table(r->tape, op->out))
      reverse_product_table(r, op);
    else
      reverse_product_wide(r, op);
    break;
  case AVERAGE: reverse_average(r, op); break;
  case COPY: reverse_copy(r, op); break;
  case MAP: reverse_map(r, op); break;
  case MULTIPLY: reverse_multiply(r, op); break;
  case OUTER: reverse_outer(r, op); break;
  case CONTRACT: reverse_contract(r, op); break;
  case WEIGH: reverse_weigh(r, op); break;
  case CHOLESKY: reverse_cholesky(r, op); break;
  case SOLVE: reverse_solve(r, op); break;
  }
}

size_t tape_influence_size(const Tape *tape) {
  if (!tape->coordinates) return (size_t)tape->spaces * tape->S;
  size_t rows = 0;
  for (size_t k = 0; k < tape->fresh_count; k++) rows += tape->fresh[k].rows.rows;
  return rows * tape->S;
}

/* Derivatives with respect to fresh noise become influences, [M][fresh row][S]: see tape_fresh. */
static void read_fresh(Reading *r) {
  const Tape *tape = r->tape;
  size_t S = tape->S, M = r->M, size = tape_influence_size(tape), row = 0;
  for (size_t k = 0; k < tape->fresh_count; k++) {
    const Fresh *fresh = &tape->fresh[k];
    const double *d = r->bar[fresh->rows.slab];
    for (size_t i = 0; i < fresh->rows.rows; i++, row++) {
      if (!d) continue;
      size_t axis = (size_t)fresh->axis[i], known = (size_t)fresh->known[i];
      double *out = r->influence + row * S, *c = work(r, M * known + 1);
      if (r->failed) return;
      for (size_t m = 0; m < M; m++) {
        axpy(axis, 1 / sqrt((double)S), d + (i * M + m) * S, out + m * size);
        out[m * size + axis] = d[(i * M + m) * S + axis] / sqrt(2 * (double)S);
      }
      if (!known) continue;
      const double *q = tape_data(tape, fresh->known_rows);
      mat_mul_bt(M, known, S, 1 / (double)S, out, size, q, S, 0, c, known);
      mat_mul(M, S, known, -1, c, known, q, S, 1, out, size);
    }
  }
}

/* Y -> sqrt(w) (Y - <Y>) */
static void finish_influence(const Tape *tape, double *influence) {
  size_t S = tape->S;
  for (int space = 0; space < tape->spaces; space++) {
    double *y = influence + (size_t)space * S, mean = 0;
    for (size_t i = 0; i < S; i++)
      mean += y[i] * (tape->weights ? tape->weights[i] : 1.0 / (double)S);
    for (size_t i = 0; i < S; i++)
      y[i] = (y[i] - mean) * sqrt(tape->weights ? tape->weights[i] : 1.0 / (double)S);
  }
}

bool tape_influences(const Tape *tape, int mark, const Observable *observables, size_t count,
                     const volatile sig_atomic_t *stop, double *influences) {
  Reading r = {.tape = tape, .M = count, .influence = influences};
  size_t n = tape_influence_size(tape);
  r.bar = mem_new((size_t)tape->slab_count, sizeof *r.bar);
  memset(influences, 0, count * n * sizeof *influences);
  for (size_t m = 0; m < count; m++)
    for (size_t k = 0; k < observables[m].count; k++) {
      const Seed *seed = &observables[m].seeds[k];
      size_t cols = tape_stride(tape, seed->table);
      double *d = bar(&r, seed->table);
      if (d) d[(seed->row * count + m) * cols + seed->col] += seed->weight;
    }
  int slab = tape->slab_count;
  for (int i = mark - 1; i >= 0 && !r.failed && !(stop && *stop); i--) {
    if (touched(&r, tape->ops[i].out)) reverse(&r, &tape->ops[i]);
    for (; slab > 0 && tape->slabs[slab - 1].birth >= i; slab--) give_back(&r, slab - 1);
  }
  if (tape->coordinates) read_fresh(&r);
  for (size_t m = 0; m < count && !tape->coordinates; m++)
    finish_influence(tape, influences + m * n);
  for (int i = 0; i < tape->slab_count; i++) free(r.bar[i]);
  for (int i = 0; i < r.spare_count; i++) free(r.spare[i]);
  free(r.bar);
  free(r.spare);
  free(r.spare_size);
  free(r.work);
  free(r.weighing);
  return !r.failed && !(stop && *stop);
}
