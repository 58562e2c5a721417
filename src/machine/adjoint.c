/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The tape read backward.
 *
 * One reading is for M observables. The derivative with respect to a block lies in bar[slab],
 * [row][observable][column], so that rows times observables are the rows of one matrix, and
 * observables times columns the columns of another. Derivatives with respect to wide blocks carry a
 * factor 1/w_i: those with respect to a table are then averages over neurons. */
#include "base/memory.h"
#include "machine/block.h"
#include "num/linalg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A block given back, for the next of its size. */
typedef struct Spare {
  double *value;
  size_t size;
} Spare;

typedef struct Reading {
  const Tape *tape;
  size_t M;
  double **bar;
  double *influence; /* [M][space][S], or [M][fresh row][S] of coordinates */
  Spare *spare;      /* blocks given back: every step wants the same ones */
  int spare_count, spare_room;
  double *work, *weighing;
  size_t work_room, weighing_room;
  double flops;
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
    if (r->spare[i].size != size) continue;
    double *block = r->spare[i].value;
    r->spare[i] = r->spare[--r->spare_count];
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
  }
  r->spare[r->spare_count++] = (Spare){r->bar[slab], bar_size(r, slab)};
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

/* The same, or NULL for a constant. */
static double *wanted(Reading *r, View view) {
  return r->tape->slabs[view.slab].constant ? NULL : bar(r, view);
}

/* out[(i, m), k] += alpha <x[(i, m)] y_k>: the derivative of a table. */
static void reduce(Reading *r, double alpha, const double *x, size_t nx, View y, double *out,
                   size_t ldo) {
  const Tape *tape = r->tape;
  double *scratch =
      tape->weights ? room(r, &r->weighing, &r->weighing_room, y.rows * y.cols) : NULL;
  if (!r->failed)
    r->flops += average_rows(tape, tape_space(tape, y), alpha, x, nx, y.cols, tape_data(tape, y),
                             y.rows, 1, 1, out, ldo, scratch);
}

static void reverse_product_wide(Reading *r, const TapeOp *op) {
  const Tape *tape = r->tape;
  View a = op->arg[0], b = op->arg[1], out = op->out;
  size_t S = b.cols, M = r->M, la = tape_stride(tape, a);
  bool flip = op->which & TRANSPOSE_A;
  const double *dout = bar(r, out), *A = tape_data(tape, a);
  double *da = wanted(r, a), *db = wanted(r, b);
  if (r->failed) return;
  if (db && flip)
    r->flops += mat_mul(b.rows, M * S, out.rows, op->alpha, A, la, dout, M * S, 1, db, M * S);
  else if (db)
    r->flops += mat_mul_at(b.rows, M * S, out.rows, op->alpha, A, la, dout, M * S, 1, db, M * S);
  if (da && !flip) reduce(r, op->alpha, dout, a.rows * M, b, da, la);
  if (!da || !flip) return;
  double *t = work(r, out.rows * M * b.rows);
  if (r->failed) return;
  memset(t, 0, out.rows * M * b.rows * sizeof *t);
  reduce(r, op->alpha, dout, out.rows * M, b, t, b.rows);
  for (size_t i = 0; i < out.rows; i++)
    for (size_t m = 0; m < M; m++)
      for (size_t k = 0; k < b.rows; k++) da[(k * M + m) * la + i] += t[(i * M + m) * b.rows + k];
}

/* out = A B: dA = dout B^T and dB = A^T dout, or what transposes make of them. */
static void reverse_product_table(Reading *r, const TapeOp *op) {
  const Tape *tape = r->tape;
  View a = op->arg[0], b = op->arg[1], out = op->out;
  size_t M = r->M, la = tape_stride(tape, a), lb = tape_stride(tape, b),
         lo = tape_stride(tape, out), n = out.rows, c = out.cols;
  size_t k = op->which & TRANSPOSE_A ? a.rows : a.cols;
  const double *A = tape_data(tape, a), *B = tape_data(tape, b), *dout = bar(r, out);
  double *da = wanted(r, a), *db = wanted(r, b);
  for (size_t m = 0; m < M && !r->failed; m++) {
    const double *d = dout + m * lo;
    double *ma = da ? da + m * la : NULL, *mb = db ? db + m * lb : NULL;
    if (op->which & TRANSPOSE_A) {
      if (da) r->flops += mat_mul_bt(k, n, c, op->alpha, B, lb, d, M * lo, 1, ma, M * la);
      if (db) r->flops += mat_mul(k, c, n, op->alpha, A, la, d, M * lo, 1, mb, M * lb);
    } else if (op->which & TRANSPOSE_B) {
      if (da) r->flops += mat_mul(n, k, c, op->alpha, d, M * lo, B, lb, 1, ma, M * la);
      if (db) r->flops += mat_mul_at(c, k, n, op->alpha, d, M * lo, A, la, 1, mb, M * lb);
    } else {
      if (da) r->flops += mat_mul_bt(n, k, c, op->alpha, d, M * lo, B, lb, 1, ma, M * la);
      if (db) r->flops += mat_mul_at(k, c, n, op->alpha, A, la, d, M * lo, 1, mb, M * lb);
    }
  }
}

/* Where the influence of a population begins. */
static size_t influence_offset(const Tape *tape, int space) {
  size_t n = 0;
  for (int i = 0; i < space; i++) n += tape->spaces[i].columns;
  return n;
}

/* What an average adds to the influences: x_i times t = (d observable / d <x y>) y_i. */
static void add_influence(Reading *r, View a, const double *t) {
  const Tape *tape = r->tape;
  size_t S = a.cols, M = r->M, n = tape_influence_size(tape),
         offset = influence_offset(tape, tape_space(tape, a));
  const double *A = tape_data(tape, a);
  for (size_t m = 0; m < M; m++) {
    double *y = r->influence + m * n + offset;
    for (size_t i = 0; i < a.rows; i++)
      for (size_t s = 0; s < S; s++) y[s] += A[i * S + s] * t[(i * M + m) * S + s];
  }
  r->flops += 2 * (double)(a.rows * M * S);
}

static void reverse_average(Reading *r, const TapeOp *op) {
  const Tape *tape = r->tape;
  View a = op->arg[0], b = op->arg[1], out = op->out;
  size_t S = a.cols, M = r->M, lo = tape_stride(tape, out), G = op->group;
  double alpha = op->alpha / (double)G;
  const double *dout = bar(r, out), *A = tape_data(tape, a), *B = tape_data(tape, b);
  double *da = wanted(r, a), *db = wanted(r, b), *t = work(r, a.rows * M * S);
  if (r->failed) return;
  for (size_t g = 0; g < G; g++) {
    /* rows (i, m) of the result stand at (i G + g, m) */
    size_t runs = G == 1 ? 1 : out.rows, rows = out.rows * M / runs;
    for (size_t i = 0; i < runs; i++)
      r->flops += mat_mul(rows, S, out.cols, alpha, dout + i * rows * lo, lo, B + g * S, G * S, 0,
                          t + (i * G + g) * M * S, S);
    for (size_t m = 0; m < M && db; m++)
      r->flops += mat_mul_at(out.cols, S, out.rows, alpha, dout + m * lo, M * lo, A + g * S, G * S,
                             1, db + (g * M + m) * S, G * M * S);
  }
  if (!tape->coordinates) add_influence(r, a, t);
  if (da) axpy(a.rows * M * S, 1, t, da);
}

/* Of row r of alpha <x y> for observable m, with `d` the derivative with respect to it. */
static void reverse_row(Reading *r, const TapeOp *op, size_t row, size_t m, double *da, double *db,
                        double *influence) {
  const Tape *tape = r->tape;
  View a = op->arg[0], b = op->arg[1];
  size_t S = a.cols, rows = op->out.rows, i = serving(a.rows, rows, row),
         j = b.slab >= 0 ? serving(b.rows, rows, row) : 0;
  const double *x = tape_data(tape, view_rows(a, i, 1)),
               *y = b.slab >= 0 ? tape_data(tape, view_rows(b, j, 1)) : NULL;
  double d = op->alpha * bar(r, op->out)[(row * r->M + m) * tape_stride(tape, op->out)];
  for (size_t s = 0; s < S; s++) {
    double t = y ? y[s] : 1;
    influence[s] += d * x[s] * t;
    if (da) da[(i * r->M + m) * S + s] += d * t;
    if (db) db[(j * r->M + m) * S + s] += d * x[s];
  }
}

static void reverse_average_rows(Reading *r, const TapeOp *op) {
  View a = op->arg[0], b = op->arg[1];
  double *da = wanted(r, a), *db = b.slab >= 0 ? wanted(r, b) : NULL;
  size_t n = tape_influence_size(r->tape),
         offset = influence_offset(r->tape, tape_space(r->tape, a));
  for (size_t row = 0; row < op->out.rows && !r->failed; row++)
    for (size_t m = 0; m < r->M; m++)
      reverse_row(r, op, row, m, da, db, r->influence + m * n + offset);
}

static void reverse_copy(Reading *r, const TapeOp *op) {
  View in = op->arg[0], out = op->out;
  const double *dout = bar(r, out);
  double *din = wanted(r, in);
  size_t M = r->M, lo = tape_stride(r->tape, out), li = tape_stride(r->tape, in);
  for (size_t k = 0; k < out.rows && din && !r->failed; k++)
    for (size_t m = 0; m < M; m++)
      axpy(out.cols, op->alpha, dout + (k * M + m) * lo, din + (k % in.rows * M + m) * li);
}

static void reverse_shift(Reading *r, const TapeOp *op) {
  View in = op->arg[0], out = op->out;
  const double *dout = bar(r, out);
  double *din = wanted(r, in);
  size_t n = out.cols;
  for (size_t k = 0; k < out.rows * r->M && din && !r->failed; k++)
    for (size_t i = 0; i < n; i++) din[k * n + shifted(i, op->by, n)] += dout[k * n + i];
}

/* darg += slope dout along one row of the result, for one observable. */
static void add_slope(const Reading *r, const TapeOp *op, View arg, const double *slope,
                      const double *d, double *to) {
  const Tape *tape = r->tape;
  size_t n = op->out.cols;
  if (arg.cols == n) {
    for (size_t s = 0; s < n; s++) to[s] += slope[s] * d[s];
  } else if (is_table(tape, op->out)) {
    for (size_t s = 0; s < n; s++) to[serving(arg.cols, n, s)] += slope[s] * d[s];
  } else { /* a number for the whole row: an average over neurons */
    double sum = 0;
    for (size_t s = 0; s < n; s++)
      sum += slope[s] * d[s] * (tape->weights ? tape->weights[s] : 1.0 / (double)n);
    *to += sum;
  }
}

static void reverse_map(Reading *r, const TapeOp *op) {
  const Tape *tape = r->tape;
  View out = op->out;
  size_t n = out.cols, M = r->M, lo = tape_stride(tape, out);
  double *slope = work(r, out.rows * n);
  const double *dout = bar(r, out);
  for (int k = 0; k < op->map->count && !r->failed; k++) {
    View arg = op->args[k];
    double *darg = op->map->slope[k] ? wanted(r, arg) : NULL;
    if (!darg || r->failed) continue;
    run_kernel(tape, op, op->map->slope[k], slope, op->out.cols);
    size_t la = tape_stride(tape, arg);
    for (size_t i = 0; i < out.rows; i++)
      for (size_t m = 0; m < M; m++)
        add_slope(r, op, arg, slope + i * n, dout + (i * M + m) * lo,
                  darg + (serving(arg.rows, out.rows, i) * M + m) * la);
  }
}

static void reverse_reshape(Reading *r, const TapeOp *op) {
  View in = op->arg[0], out = op->out;
  size_t M = r->M, lo = tape_stride(r->tape, out), li = tape_stride(r->tape, in);
  const double *dout = bar(r, out);
  double *din = wanted(r, in);
  for (size_t m = 0; m < M && din && !r->failed; m++)
    for (size_t i = 0; i < out.rows * out.cols; i++)
      din[(i / in.cols * M + m) * li + i % in.cols] +=
          dout[(i / out.cols * M + m) * lo + i % out.cols];
}

/* d lse / d in = softmax(in) */
static void reverse_lse(Reading *r, const TapeOp *op) {
  const Tape *tape = r->tape;
  View in = op->arg[0], out = op->out;
  size_t M = r->M, lo = tape_stride(tape, out), li = tape_stride(tape, in),
         group = in.rows / out.rows;
  const double *dout = bar(r, out), *x = tape_data(tape, in), *y = tape_data(tape, out);
  double *din = wanted(r, in);
  for (size_t i = 0; i < in.rows && din && !r->failed; i++)
    for (size_t m = 0; m < M; m++)
      din[(i * M + m) * li] += exp(x[i * li] - y[i / group * lo]) * dout[(i / group * M + m) * lo];
}

/* din = a (da - sum a da) along each row: where a is 0 nothing comes back. */
static void reverse_softmax(Reading *r, const TapeOp *op) {
  const Tape *tape = r->tape;
  View in = op->arg[0], out = op->out;
  size_t M = r->M, lo = tape_stride(tape, out), li = tape_stride(tape, in);
  const double *dout = bar(r, out), *a = tape_data(tape, out);
  double *din = wanted(r, in);
  for (size_t i = 0; i < out.rows && din && !r->failed; i++)
    for (size_t m = 0; m < M; m++) {
      const double *d = dout + (i * M + m) * lo, *row = a + i * lo;
      double *to = din + (i * M + m) * li, sum = dot(out.cols, row, d);
      for (size_t k = 0; k < out.cols; k++) to[k] += row[k] * (d[k] - sum);
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
  size_t k = op->out.rows, n = r->M * op->out.cols;
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
  case AVERAGE_ROWS: reverse_average_rows(r, op); break;
  case COPY: reverse_copy(r, op); break;
  case MAP: reverse_map(r, op); break;
  case RESHAPE: reverse_reshape(r, op); break;
  case LSE: reverse_lse(r, op); break;
  case SOFTMAX: reverse_softmax(r, op); break;
  case SHIFT: reverse_shift(r, op); break;
  case CHOLESKY: reverse_cholesky(r, op); break;
  case SOLVE: reverse_solve(r, op); break;
  }
}

size_t tape_influence_size(const Tape *tape) {
  if (!tape->coordinates) return influence_offset(tape, tape->space_count);
  size_t n = 0;
  for (size_t k = 0; k < tape->fresh_count; k++)
    n += tape->fresh[k].rows.rows * tape->fresh[k].rows.cols;
  return n;
}

/* Derivatives with respect to row i of fresh noise, d [M, S], as influences, `size` apart: those
 * before its axis, its length, and nothing along what is known; see tape_fresh. */
static void read_row(Reading *r, const Fresh *fresh, size_t i, const double *d, double *out,
                     size_t size) {
  const Tape *tape = r->tape;
  size_t S = fresh->rows.cols, M = r->M, axis = (size_t)fresh->axis[i],
         known = (size_t)fresh->known[i];
  double scale = 1 / sqrt((double)S * tape->spaces[tape_space(tape, fresh->rows)].ratio),
         *c = work(r, M * known + 1);
  if (r->failed) return;
  for (size_t m = 0; m < M; m++) {
    axpy(axis, scale, d + m * S, out + m * size);
    out[m * size + axis] = scale / sqrt(2) * d[m * S + axis];
  }
  if (!known) return;
  const double *q = tape_data(tape, fresh->known_rows);
  r->flops += mat_mul_bt(M, known, S, 1 / (double)S, out, size, q, S, 0, c, known);
  r->flops += mat_mul(M, S, known, -1, c, known, q, S, 1, out, size);
}

static void read_fresh(Reading *r) {
  const Tape *tape = r->tape;
  double *out = r->influence;
  for (size_t k = 0; k < tape->fresh_count; k++) {
    const Fresh *fresh = &tape->fresh[k];
    size_t S = fresh->rows.cols;
    const double *d = r->bar[fresh->rows.slab];
    for (size_t i = 0; i < fresh->rows.rows; i++, out += S)
      if (d) read_row(r, fresh, i, d + i * r->M * S, out, tape_influence_size(tape));
  }
}

/* Y -> sqrt(w / ratio) (Y - <Y>) for neurons. */
static void finish_influence(const Tape *tape, double *influence) {
  for (int space = 0; space < tape->space_count; space++) {
    size_t S = tape->spaces[space].columns;
    double *y = influence + influence_offset(tape, space), mean = 0,
           ratio = tape->spaces[space].ratio;
    for (size_t i = 0; i < S; i++)
      mean += y[i] * (tape->weights ? tape->weights[i] : 1.0 / (double)S);
    for (size_t i = 0; i < S; i++)
      y[i] = (y[i] - mean) * sqrt((tape->weights ? tape->weights[i] : 1.0 / (double)S) / ratio);
  }
}

static void plant(Reading *r, const Observable *observables) {
  for (size_t m = 0; m < r->M; m++)
    for (size_t k = 0; k < observables[m].count; k++) {
      const Seed *seed = &observables[m].seeds[k];
      double *d = bar(r, seed->table);
      size_t stride = tape_stride(r->tape, seed->table);
      if (d) d[(seed->row * r->M + m) * stride + seed->col] += seed->weight;
    }
}

static void clear(Reading *r) {
  for (int i = 0; i < r->tape->slab_count; i++) free(r->bar[i]);
  for (int i = 0; i < r->spare_count; i++) free(r->spare[i].value);
  free(r->bar);
  free(r->spare);
  free(r->work);
  free(r->weighing);
}

bool tape_read_tables(const Tape *tape, int mark, const Observable *observables, size_t count,
                      TakeAverage *take, void *sink) {
  Reading r = {.tape = tape, .M = count};
  r.bar = mem_new((size_t)tape->slab_count + 1, sizeof *r.bar);
  plant(&r, observables);
  int slab = tape->slab_count;
  for (int i = mark - 1; i >= 0 && !r.failed; i--) {
    const TapeOp *op = &tape->ops[i];
    bool average = op->kind == AVERAGE || op->kind == AVERAGE_ROWS;
    if (touched(&r, op->out) && average)
      take(sink, i, bar(&r, op->out), tape_stride(tape, op->out));
    else if (touched(&r, op->out))
      reverse(&r, op);
    for (; slab > 0 && tape->slabs[slab - 1].birth >= i; slab--) give_back(&r, slab - 1);
  }
  tape_count(tape, r.flops);
  clear(&r);
  return !r.failed;
}

static bool read_backward(const Tape *tape, int mark, const Observable *observables, size_t count,
                          const volatile sig_atomic_t *stop, double *influences) {
  Reading r = {.tape = tape, .M = count, .influence = influences};
  r.bar = mem_new((size_t)tape->slab_count + 1, sizeof *r.bar);
  plant(&r, observables);
  int slab = tape->slab_count;
  for (int i = mark - 1; i >= 0 && !r.failed && !(stop && *stop); i--) {
    if (touched(&r, tape->ops[i].out)) reverse(&r, &tape->ops[i]);
    for (; slab > 0 && tape->slabs[slab - 1].birth >= i; slab--) give_back(&r, slab - 1);
  }
  if (tape->coordinates) read_fresh(&r);
  tape_count(tape, r.flops);
  clear(&r);
  return !r.failed && !(stop && *stop);
}

bool tape_influences(const Tape *tape, int mark, const Observable *observables, size_t count,
                     const volatile sig_atomic_t *stop, double *influences) {
  size_t n = tape_influence_size(tape);
  memset(influences, 0, count * n * sizeof *influences);
  bool fine = tangents_cover(tape, observables, count)
                  ? tangents_influences(tape, mark, observables, count, influences)
                  : read_backward(tape, mark, observables, count, stop, influences);
  for (size_t m = 0; m < count && !tape->coordinates; m++)
    finish_influence(tape, influences + m * n);
  return fine;
}
