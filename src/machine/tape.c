/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/memory.h"
#include "machine/block.h"
#include "num/clones.h"
#include "num/linalg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Blocks of fewer numbers are small: none is where a sanitizer is to see where each ends. And
 * numbers in a line of the cache. */
#ifdef __SANITIZE_ADDRESS__
enum { SMALL = 1, LINE = 8 };
#else
enum { SMALL = 1 << 12, LINE = 8 };
#endif

/* ---- blocks ---- */

TapeMap *tape_map_new(const Expr *value, const Expr *const *slope, int count) {
  TapeMap *map = mem_new(1, sizeof *map);
  *map = (TapeMap){kernel_new(value), mem_new((size_t)count + 1, sizeof *map->slope), count};
  for (int k = 0; k < count && slope; k++)
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

Tape *tape_new(const TapeSpace *spaces, int count, const double *weights, bool coordinates,
               bool record) {
  Tape *tape = mem_new(1, sizeof *tape);
  *tape = (Tape){.spaces = mem_new((size_t)count + 1, sizeof *spaces),
                 .space_count = count,
                 .weights = weights,
                 .coordinates = coordinates,
                 .record = record,
                 .read = mem_new(1, sizeof *tape->read)};
  for (int i = 0; i < count; i++) tape->spaces[i] = spaces[i];
  return tape;
}

bool tape_failed(const Tape *tape) { return tape->failed; }
double tape_flops(const Tape *tape) { return tape->flops + (double)*tape->read; }
void tape_count(const Tape *tape, double flops) { *tape->read += (long long)flops; }
int tape_mark(const Tape *tape) { return tape->op_count; }
size_t tape_columns(const Tape *tape, int space) { return tape->spaces[space].columns; }
int tape_space(const Tape *tape, View view) { return tape->slabs[view.slab].space; }
bool is_table(const Tape *tape, View view) { return tape->slabs[view.slab].space == TABLE; }

/* Columns that are in averages. */
static size_t averaged(const Tape *tape, int space) {
  return tape->spaces[space].columns - tape->spaces[space].passive;
}

/* The class of a size, and the room that its blocks have: of small ones a power of two. */
static int class_of(size_t size, size_t *room) {
  int octave = 63 - __builtin_clzll(size | 8), shift = size < SMALL ? octave : octave - 3;
  size_t parts = (size + ((size_t)1 << shift) - 1) >> shift; /* 8 to 16; 1 or 2 of a small block */
  *room = parts << shift;
  return 8 * (octave - 1) + (int)parts;
}

/* So many numbers of a chunk. Larger chunks would take the place that a large block left, so that
 * the next of its size finds none. */
static double *cut(Chunks *chunks, size_t count) {
  enum { CHUNK = 2 * SMALL };
  if (chunks->left < count) {
    if (chunks->count == chunks->room) {
      int room = 2 * chunks->room + 16;
      double **list = realloc(chunks->list, (size_t)room * sizeof *list);
      if (!list) return NULL;
      chunks->list = list;
      chunks->room = room;
    }
    if (!(chunks->list[chunks->count] = mem_room(CHUNK))) return NULL;
    chunks->count++;
    chunks->left = CHUNK;
  }
  return chunks->list[chunks->count - 1] + (CHUNK - (chunks->left -= count)) - count;
}

/* A block of `size` numbers: zeros when recording, else what may be anything. */
static double *take_block(Tape *tape, size_t size) {
  size_t room;
  Spares *spares = &tape->spares[class_of(size, &room)];
  if (spares->count && !tape->record) return spares->blocks[--spares->count];
  if (tape->record) room = (size + LINE - 1) / LINE * LINE;
  double *value = size < SMALL ? cut(&tape->chunks, room) : mem_room(room);
  if (!value)
    tape->failed = true;
  else if (tape->record)
    memset(value, 0, room * sizeof *value);
  return value;
}

static void give_block(Tape *tape, double *value, size_t size) {
  size_t room;
  if (!value) return;
  Spares *spares = &tape->spares[class_of(size, &room)];
  if (spares->count == spares->room) {
    spares->room = 2 * spares->room + 4;
    spares->blocks = mem_grow(spares->blocks, (size_t)spares->room * sizeof *spares->blocks);
  }
  spares->blocks[spares->count++] = value;
}

/* Of a number. */
static size_t bytes_of(const Slab *slab) { return slab->single ? sizeof(float) : sizeof(double); }

/* Of a block for so many rows, in double numbers. */
static size_t room_for(const Slab *slab, size_t rows) {
  return rows * slab->stride * bytes_of(slab) / sizeof(double) + 1;
}

static size_t size_of(const Slab *slab) { return room_for(slab, slab->capacity); }

/* A large block goes back to the system, a small one stays for others. */
static void free_block(Tape *tape, double *value, size_t size) {
  if (size >= SMALL)
    free(value);
  else
    give_block(tape, value, size);
}

void tape_free(Tape *tape) {
  if (!tape) return;
  size_t room;
  for (int i = 0; i < tape->slab_count; i++)
    if (size_of(&tape->slabs[i]) >= SMALL) free(tape->slabs[i].value);
  for (int i = class_of(SMALL, &room); i < CLASSES; i++)
    for (int k = 0; k < tape->spares[i].count; k++) free(tape->spares[i].blocks[k]);
  for (int i = 0; i < CLASSES; i++) free(tape->spares[i].blocks);
  for (int i = 0; i < tape->chunks.count; i++) free(tape->chunks.list[i]);
  free(tape->chunks.list);
  for (int i = 0; i < tape->op_count; i++) free((View *)tape->ops[i].args);
  for (size_t i = 0; i < tape->fresh_count; i++) {
    free(tape->fresh[i].axis);
    free(tape->fresh[i].known);
  }
  free(tape->fresh);
  free(tape->extended);
  tangents_free(tape->tangents);
  free(tape->read);
  free(tape->spaces);
  free(tape->slabs);
  free(tape->made);
  free(tape->holes);
  free(tape->ops);
  free(tape);
}

static void push(int **list, int *count, int *room, int value) {
  if (*count == *room) {
    *room = 2 * *room + 64;
    *list = mem_grow(*list, (size_t)*room * sizeof **list);
  }
  (*list)[(*count)++] = value;
}

/* The block of a slab is given back, and the slab serves another. */
static void give_slab(Tape *tape, int number) {
  Slab *slab = &tape->slabs[number];
  if (!slab->value) return;
  give_block(tape, slab->value, size_of(slab));
  slab->value = NULL;
  push(&tape->holes, &tape->hole_count, &tape->hole_room, number);
}

static int slab_number(Tape *tape) {
  if (tape->hole_count) return tape->holes[--tape->hole_count];
  if (tape->slab_count == tape->slab_room) {
    tape->slab_room = 2 * tape->slab_room + 64;
    tape->slabs = mem_grow(tape->slabs, (size_t)tape->slab_room * sizeof *tape->slabs);
  }
  return tape->slab_count++;
}

/* Of one that is recorded the backward reading packs the rows of all observables. */
static size_t wide_stride(const Tape *tape, int space) {
  size_t columns = tape->spaces[space].columns;
  return tape->record ? columns : mat_stride(columns);
}

static View new_slab(Tape *tape, int space, size_t rows, size_t cols, bool constant, bool single) {
  int number = slab_number(tape);
  Slab *slab = &tape->slabs[number];
  *slab = (Slab){.space = space,
                 .constant = constant,
                 .blank = true,
                 .single = single,
                 .rows = rows,
                 .cols = cols,
                 .stride = space == TABLE ? cols
                           : single       ? mat_stride_single(cols)
                                          : wide_stride(tape, space),
                 .capacity = rows,
                 .birth = tape->op_count};
  slab->value = take_block(tape, size_of(slab));
  if (!tape->record) push(&tape->made, &tape->made_count, &tape->made_room, number);
  return (View){number, 0, rows, 0, cols};
}

View tape_wide(Tape *tape, int space, size_t rows, bool constant) {
  return new_slab(tape, space, rows, tape->spaces[space].columns, constant, false);
}

View tape_narrow(Tape *tape, int space, size_t rows, bool constant) {
  bool single = !tape->record && !tape->weights;
  return new_slab(tape, space, rows, tape->spaces[space].columns, constant, single);
}

View tape_table(Tape *tape, size_t rows, size_t cols, bool constant) {
  return new_slab(tape, TABLE, rows, cols, constant, false);
}

static void record_fresh(Tape *tape, View rows, const int *axis, View known_rows,
                         const int *known) {
  tape->slabs[rows.slab].fresh = true;
  tape->fresh = mem_grow(tape->fresh, (tape->fresh_count + 1) * sizeof *tape->fresh);
  Fresh *fresh = &tape->fresh[tape->fresh_count++];
  *fresh = (Fresh){rows, known_rows, mem_new(rows.rows + 1, sizeof *axis),
                   mem_new(rows.rows + 1, sizeof *known)};
  for (size_t i = 0; i < rows.rows; i++) {
    fresh->axis[i] = axis[i];
    fresh->known[i] = known ? known[i] : 0;
  }
}

View tape_fresh(Tape *tape, int space, size_t rows, const int *axis, View known_rows,
                const int *known) {
  View view = tape_wide(tape, space, rows, false);
  double length = sqrt((double)averaged(tape, space));
  if (tape->record) record_fresh(tape, view, axis, known_rows, known);
  for (size_t i = 0; i < rows && !tape->failed; i++)
    tape_data(tape, view_rows(view, i, 1))[axis[i]] = length;
  return view;
}

View tape_same(Tape *tape, View view) {
  const Slab *like = &tape->slabs[view.slab];
  return new_slab(tape, like->space, view.rows, view.cols, false, like->single);
}

View tape_constant(Tape *tape, size_t rows, size_t cols, const double *numbers) {
  View view = tape_table(tape, rows, cols, true);
  tape->failed |= !numbers;
  if (!tape->failed && rows && cols)
    memcpy(tape_data(tape, view), numbers, rows * cols * sizeof *numbers);
  return view;
}

View tape_keep(Tape *tape, View view) {
  if (view.slab >= 0) tape->slabs[view.slab].stays = true;
  return view;
}

void tape_drop(Tape *tape, View view) {
  if (view.slab >= 0 && !tape->record) give_slab(tape, view.slab);
}

void tape_sweep(Tape *tape) {
  for (int i = 0; i < tape->made_count; i++)
    if (!tape->slabs[tape->made[i]].stays) give_slab(tape, tape->made[i]);
  tape->made_count = 0;
}

/* Blocks of a recording tape are zeros before they are written, others may have been used. */
static void *data_of(const Tape *tape, View view) {
  Slab *slab = &tape->slabs[view.slab];
  if (slab->blank && !tape->record) {
    memset(slab->value, 0, slab->rows * slab->stride * bytes_of(slab));
    slab->blank = false;
  }
  return (char *)slab->value + (view.row * slab->stride + view.col) * bytes_of(slab);
}

double *tape_data(const Tape *tape, View view) { return data_of(tape, view); }

static bool is_single(const Tape *tape, View view) { return tape->slabs[view.slab].single; }

const float *tape_single(const Tape *tape, View view) {
  return is_single(tape, view) ? data_of(tape, view) : NULL;
}

void tape_empty(Tape *tape) {
  for (int i = 0; i < tape->slab_count; i++) give_slab(tape, i);
  tape->slab_count = tape->made_count = tape->hole_count = 0;
}

/* Its numbers, for which there is room where they are written. */
static void show_slab(Tape *tape, Slab *slab, Piece *piece, void *sink) {
  size_t is[] = {slab->value != NULL, (size_t)slab->space, slab->constant, slab->stays,
                 slab->blank,         slab->single,        slab->rows,     slab->cols,
                 slab->stride,        slab->capacity};
  bool there = slab->value != NULL;
  piece(sink, is, sizeof is);
  if (!is[0]) return;
  if (!there) {
    *slab = (Slab){.space = (int)is[1],
                   .constant = is[2],
                   .stays = is[3],
                   .blank = is[4],
                   .single = is[5],
                   .rows = is[6],
                   .cols = is[7],
                   .stride = is[8],
                   .capacity = is[9]};
    slab->value = take_block(tape, size_of(slab));
  }
  size_t row = slab->cols * bytes_of(slab);
  char *at = (char *)slab->value, *lost = at ? NULL : mem_new(row + 1, 1);
  for (size_t r = 0; r < slab->rows && !slab->blank; r++)
    piece(sink, lost ? lost : at + r * slab->stride * bytes_of(slab), row);
  free(lost);
}

void tape_pieces(Tape *tape, Piece *piece, void *sink) {
  int slabs = tape->slab_count, holes = tape->hole_count;
  piece(sink, &slabs, sizeof slabs);
  piece(sink, &holes, sizeof holes);
  piece(sink, &tape->flops, sizeof tape->flops);
  while (tape->slab_count < slabs) {
    int next = slab_number(tape);
    tape->slabs[next] = (Slab){.space = TABLE};
  }
  while (tape->hole_count < holes) push(&tape->holes, &tape->hole_count, &tape->hole_room, 0);
  piece(sink, tape->holes, (size_t)holes * sizeof *tape->holes);
  for (int i = 0; i < slabs; i++) show_slab(tape, &tape->slabs[i], piece, sink);
}

void views_pieces(View *views, size_t count, Piece *piece, void *sink) {
  for (View *v = views; v < views + count; v++) {
    piece(sink, &v->slab, sizeof v->slab); /* one by one: there is padding behind it */
    piece(sink, &v->row, sizeof v->row);
    piece(sink, &v->rows, sizeof v->rows);
    piece(sink, &v->col, sizeof v->col);
    piece(sink, &v->cols, sizeof v->cols);
  }
}

View tape_grow(Tape *tape, View whole, size_t rows) {
  Slab *slab = &tape->slabs[whole.slab];
  if (slab->rows + rows > slab->capacity) {
    size_t capacity =
        2 * slab->capacity > slab->rows + rows ? 2 * slab->capacity : slab->rows + rows;
    double *value = tape->failed ? NULL : take_block(tape, room_for(slab, capacity));
    if (!value) return whole;
    memcpy(value, slab->value, slab->rows * slab->stride * bytes_of(slab));
    free_block(tape, slab->value, size_of(slab));
    slab->value = value;
    slab->capacity = capacity;
  }
  if (slab->rows) data_of(tape, whole);
  slab->blank = false;
  memset((char *)slab->value + slab->rows * slab->stride * bytes_of(slab), 0,
         rows * slab->stride * bytes_of(slab));
  slab->rows += rows;
  whole.rows = slab->rows;
  return whole;
}

size_t tape_stride(const Tape *tape, View view) { return tape->slabs[view.slab].stride; }

/* Where an operation writes, and what is left of what was there: nothing (0) or all (1). */
static void *target(Tape *tape, View out, double *beta) {
  Slab *slab = &tape->slabs[out.slab];
  bool whole = out.rows == slab->rows && out.cols == slab->cols;
  *beta = slab->blank && whole ? 0 : 1;
  void *data = *beta == 0 ? slab->value : data_of(tape, out);
  slab->blank = false;
  return data;
}

/* ---- operations ---- */

double average_rows(const Tape *tape, int space, double alpha, const double *x, size_t nx,
                    size_t ldx, const double *y, size_t ny, size_t group, double beta, double *out,
                    size_t ldo, double *scratch) {
  size_t S = averaged(tape, space), ldy = wide_stride(tape, space);
  double flops = 0;
  if (tape->weights) {
    for (size_t r = 0; r < ny; r++)
      for (size_t i = 0; i < S; i++) scratch[r * ldy + i] = tape->weights[i] * y[r * ldy + i];
    y = scratch;
  } else {
    alpha /= (double)S;
  }
  for (size_t g = 0; g < group; g++)
    flops += mat_mul_bt(nx / group, ny / group, S, alpha / (double)group, x + g * ldx, group * ldx,
                        y + g * ldy, group * ldy, g > 0 ? 1 : beta, out, ldo);
  return flops;
}

static double *weighing_room(const Tape *tape, size_t rows, size_t stride) {
  return tape->weights ? mem_block(rows * stride + 1) : NULL;
}

/* The same with the rows of y, whatever their precision. */
static double average_with(const Tape *tape, double alpha, const double *x, size_t nx, size_t ldx,
                           View y, size_t group, double beta, double *out, size_t ldo,
                           double *scratch) {
  int space = tape_space(tape, y);
  const float *single = tape_single(tape, y);
  if (!single)
    return average_rows(tape, space, alpha, x, nx, ldx, tape_data(tape, y), y.rows, group, beta,
                        out, ldo, scratch);
  size_t S = averaged(tape, space), ld = tape_stride(tape, y);
  double flops = 0, each = alpha / (double)(S * group);
  for (size_t g = 0; g < group; g++)
    flops += mat_mul_bt_mixed(nx / group, y.rows / group, S, each, x + g * ldx, group * ldx,
                              single + g * ld, group * ld, g > 0 ? 1 : beta, out, ldo);
  return flops;
}

/* The rows of a view as double numbers, rows *ld apart; *room is to be freed. */
static const double *double_rows(Tape *tape, View view, size_t *ld, double **room) {
  *ld = tape_stride(tape, view);
  *room = NULL;
  if (!is_single(tape, view)) return tape_data(tape, view);
  const float *rows = tape_single(tape, view);
  *room = mem_room(view.rows * view.cols);
  if (!*room) tape->failed = true;
  for (size_t r = 0; r < view.rows && *room; r++)
    widen(view.cols, rows + r * *ld, *room + r * view.cols);
  *ld = view.cols;
  return *room;
}

/* Where nothing is recorded there is one op, which nobody reads but the map that fills it. */
static TapeOp *record(Tape *tape, TapeKind kind, View out, double alpha) {
  if (tape->op_count == tape->op_room) {
    int room = 2 * tape->op_room + 256;
    TapeOp *ops = realloc(tape->ops, (size_t)room * sizeof *ops);
    tape->failed |= !ops;
    if (!ops && tape->ops) tape->op_count--; /* nothing that follows is read any more */
    if (!ops && !tape->ops) ops = mem_new((size_t)room, sizeof *ops);
    tape->ops = ops ? ops : tape->ops;
    tape->op_room = ops ? room : tape->op_room;
  }
  TapeOp *op = &tape->ops[tape->record ? tape->op_count++ : tape->op_count];
  if (tape->record) *op = (TapeOp){.kind = kind, .out = out, .alpha = alpha, .group = 1};
  return op;
}

static TapeOp *record_two(Tape *tape, TapeKind kind, View out, double alpha, View a, View b) {
  TapeOp *op = record(tape, kind, out, alpha);
  if (tape->record) op->arg[0] = a, op->arg[1] = b;
  return op;
}

static void product_single(Tape *tape, View out, double alpha, View a, View b) {
  const double *A = tape_data(tape, a);
  const float *B = tape_single(tape, b);
  double beta;
  void *o = target(tape, out, &beta);
  size_t lo = tape_stride(tape, out), la = tape_stride(tape, a), lb = tape_stride(tape, b);
  if (is_single(tape, out)) {
    float *rounded = mem_new(a.rows * a.cols, sizeof *rounded);
    for (size_t r = 0; r < a.rows; r++) narrow(a.cols, A + r * la, rounded + r * a.cols);
    tape->flops += mat_mul_single(out.rows, out.cols, a.cols, (float)alpha, rounded, a.cols, B, lb,
                                  (float)beta, o, lo);
    free(rounded);
  } else {
    tape->flops += mat_mul_mixed(out.rows, out.cols, a.cols, alpha, A, la, B, lb, beta, o, lo);
  }
}

void tape_product(Tape *tape, View out, double alpha, View a, View b, Transpose which) {
  size_t inner = which & TRANSPOSE_A ? a.rows : a.cols;
  if (tape->failed || !inner || !out.rows || !out.cols) return;
  record_two(tape, PRODUCT, out, alpha, a, b)->which = which;
  if (is_single(tape, b)) {
    product_single(tape, out, alpha, a, b);
    return;
  }
  const double *A = tape_data(tape, a), *B = tape_data(tape, b);
  double beta, *o = target(tape, out, &beta);
  size_t lo = tape_stride(tape, out), la = tape_stride(tape, a), lb = tape_stride(tape, b);
  double (*product)(size_t, size_t, size_t, double, const double *, size_t, const double *, size_t,
                    double, double *, size_t) = which & TRANSPOSE_A   ? mat_mul_at
                                                : which & TRANSPOSE_B ? mat_mul_bt
                                                                      : mat_mul;
  tape->flops += product(out.rows, out.cols, inner, alpha, A, la, B, lb, beta, o, lo);
}

void tape_average(Tape *tape, View out, double alpha, View a, View b, size_t group) {
  if (tape->failed || !a.rows || !b.rows) return;
  record_two(tape, AVERAGE, out, alpha, a, b)->group = group;
  double *scratch = weighing_room(tape, b.rows, tape_stride(tape, b)), beta,
         *o = target(tape, out, &beta), *room;
  size_t ld;
  const double *x = double_rows(tape, a, &ld, &room);
  if (tape->weights && !scratch) tape->failed = true;
  if (!tape->failed)
    tape->flops += average_with(tape, alpha, x, a.rows, ld, b, group, beta, o,
                                tape_stride(tape, out), scratch);
  free(scratch);
  free(room);
}

CLONES static void scale(size_t n, double alpha, const double *restrict x, double *restrict y) {
  for (size_t i = 0; i < n; i++) y[i] = alpha * x[i];
}

/* Where one of them is in single precision. */
static void copy_single(Tape *tape, View out, double alpha, View in) {
  double beta, *x = mem_new(2 * out.cols, sizeof *x), *y = x + out.cols;
  void *to = target(tape, out, &beta);
  for (size_t r = 0; r < out.rows; r++) {
    View row = view_rows(in, r % in.rows, 1);
    const float *single = tape_single(tape, row);
    float *rounded = is_single(tape, out) ? (float *)to + r * tape_stride(tape, out) : NULL;
    double *sum = rounded ? y : (double *)to + r * tape_stride(tape, out);
    if (single) widen(out.cols, single, x);
    if (rounded && beta != 0) widen(out.cols, rounded, y);
    (beta == 0 ? scale : axpy)(out.cols, alpha, single ? x : tape_data(tape, row), sum);
    if (rounded) narrow(out.cols, sum, rounded);
  }
  free(x);
}

void tape_copy(Tape *tape, View out, double alpha, View in) {
  if (tape->failed || !out.rows || !in.rows) return;
  if (is_single(tape, out) || is_single(tape, in)) {
    copy_single(tape, out, alpha, in);
    return;
  }
  record(tape, COPY, out, alpha)->arg[0] = in;
  const double *from = tape_data(tape, in);
  double beta, *to = target(tape, out, &beta);
  size_t lo = tape_stride(tape, out), li = tape_stride(tape, in);
  for (size_t r = 0; r < out.rows; r++) {
    const double *x = from + r % in.rows * li;
    double *y = to + r * lo;
    if (beta == 0)
      scale(out.cols, alpha, x, y);
    else
      axpy(out.cols, alpha, x, y);
  }
}

size_t serving(size_t own, size_t all, size_t r) { return own == all ? r : r / (all / own); }

static const double *serving_row(const Tape *tape, View view, size_t rows, size_t r) {
  return tape_data(tape, view_rows(view, serving(view.rows, rows, r), 1));
}

void tape_average_rows(Tape *tape, View out, double alpha, View a, View b) {
  if (tape->failed || !out.rows) return;
  record_two(tape, AVERAGE_ROWS, out, alpha, a, b);
  size_t S = averaged(tape, tape_space(tape, a)), lo = tape_stride(tape, out);
  double *o = tape_data(tape, out);
  tape->slabs[out.slab].blank = false;
  for (size_t r = 0; r < out.rows; r++) {
    const double *x = serving_row(tape, a, out.rows, r),
                 *y = b.slab >= 0 ? serving_row(tape, b, out.rows, r) : NULL;
    double sum = 0;
    for (size_t i = 0; i < S; i++)
      sum += x[i] * (y ? y[i] : 1) * (tape->weights ? tape->weights[i] : 1);
    o[r * lo] += alpha * (tape->weights ? sum : sum / (double)S);
  }
}

/* Whether the numbers of a view follow each other without gaps. */
static bool is_dense(const Tape *tape, View view) {
  return view.cols == tape_stride(tape, view) || view.rows == 1;
}

/* Entries of argument `a` that serve those of a row of a block of this shape or, in a block of
 * one column, those down it. */
static void spread(const Tape *tape, View a, View out, size_t row, double *to) {
  bool down = out.cols == 1;
  size_t stride = tape_stride(tape, a), own = down ? a.rows : a.cols,
         each = own ? (down ? out.rows : out.cols) / own : 0, step = down ? stride : 1;
  const double *from = tape_data(tape, a) + (down ? 0 : serving(a.rows, out.rows, row) * stride);
  for (size_t k = 0; k < own; k++, from += step)
    for (size_t i = 0; i < each; i++) *to++ = *from;
}

/* Where all arguments are blocks of the shape of `out`; else false. */
static bool run_alike(const Tape *tape, const TapeOp *op, const Kernel *kernel, double *dst,
                      size_t ldd) {
  View out = op->out;
  const double *args[TAPE_MAX_ARGS];
  size_t step[TAPE_MAX_ARGS];
  bool whole = out.cols == ldd || out.rows == 1;
  for (int k = 0; k < op->map->count; k++) {
    View a = op->args[k];
    if (a.rows != out.rows || a.cols != out.cols) return false;
    args[k] = tape_data(tape, a);
    step[k] = tape_stride(tape, a);
    whole = whole && is_dense(tape, a);
  }
  if (whole)
    kernel_run(kernel, out.rows * out.cols, args, dst);
  else
    kernel_run_rows(kernel, out.rows, out.cols, args, step, dst, ldd);
  return true;
}

void run_kernel(const Tape *tape, const TapeOp *op, const Kernel *kernel, double *dst, size_t ldd) {
  if (run_alike(tape, op, kernel, dst, ldd)) return;
  View out = op->out;
  int count = op->map->count;
  bool column = out.cols == 1, spreads = column;
  for (int k = 0; k < count; k++) spreads = spreads || op->args[k].cols != out.cols;
  size_t runs = column ? 1 : out.rows, length = column ? out.rows : out.cols;
  enum { FEW = 256 };
  double few[FEW], *room = few;
  if (spreads && (size_t)count * length > FEW) room = mem_new((size_t)count * length, sizeof *room);
  for (size_t r = 0; r < runs; r++) {
    const double *args[TAPE_MAX_ARGS];
    for (int k = 0; k < count; k++) {
      View a = op->args[k];
      if (!column && a.cols == out.cols) {
        args[k] = tape_data(tape, a) + serving(a.rows, out.rows, r) * tape_stride(tape, a);
      } else {
        spread(tape, a, out, r, room + (size_t)k * length);
        args[k] = room + (size_t)k * length;
      }
    }
    kernel_run(kernel, length, args, dst + r * ldd);
  }
  if (room != few) free(room);
}

static View *copied(const View *views, int count) {
  View *copy = mem_new((size_t)count + 1, sizeof *copy);
  memcpy(copy, views, (size_t)count * sizeof *copy);
  return copy;
}

void tape_map(Tape *tape, View out, const TapeMap *map, const View *args) {
  if (tape->failed || !out.rows) return;
  TapeOp *op = record(tape, MAP, out, 1);
  op->out = out;
  op->args = args;
  op->map = map;
  for (int k = 0; k < map->count; k++) tape_data(tape, args[k]);
  double beta, *o = target(tape, out, &beta);
  run_kernel(tape, op, map->value, o, tape_stride(tape, out));
  if (tape->record) op->args = copied(args, map->count);
}

void tape_reshape(Tape *tape, View out, View in) {
  if (tape->failed) return;
  record(tape, RESHAPE, out, 1)->arg[0] = in;
  const double *from = tape_data(tape, in);
  double *to = tape_data(tape, out);
  tape->slabs[out.slab].blank = false;
  for (size_t i = 0; i < out.rows * out.cols; i++)
    to[i / out.cols * tape_stride(tape, out) + i % out.cols] +=
        from[i / in.cols * tape_stride(tape, in) + i % in.cols];
}

size_t shifted(size_t i, int by, size_t n) {
  return (size_t)(((long long)i - by % (long long)n + (long long)n) % (long long)n);
}

void tape_shift(Tape *tape, View out, View in, int by) {
  if (tape->failed) return;
  TapeOp *op = record(tape, SHIFT, out, 1);
  op->arg[0] = in;
  op->by = by;
  for (size_t r = 0; r < out.rows; r++) {
    const double *from = tape_data(tape, view_rows(in, r, 1));
    double *to = tape_data(tape, view_rows(out, r, 1));
    for (size_t i = 0; i < out.cols; i++) to[i] += from[shifted(i, by, out.cols)];
  }
}

void tape_lse(Tape *tape, View out, View in) {
  if (tape->failed) return;
  record(tape, LSE, out, 1)->arg[0] = in;
  const double *from = tape_data(tape, in);
  double *to = tape_data(tape, out);
  tape->slabs[out.slab].blank = false;
  size_t group = in.rows / out.rows, li = tape_stride(tape, in);
  for (size_t i = 0; i < out.rows; i++) {
    double most = -INFINITY, sum = 0;
    for (size_t k = 0; k < group; k++) most = fmax(most, from[(i * group + k) * li]);
    for (size_t k = 0; k < group; k++) sum += exp(from[(i * group + k) * li] - most);
    to[i * tape_stride(tape, out)] += most + log(sum);
  }
}

void tape_softmax(Tape *tape, View out, View in, size_t period) {
  if (tape->failed) return;
  TapeOp *op = record(tape, SOFTMAX, out, 1);
  op->arg[0] = in;
  op->by = (int)period;
  const double *from = tape_data(tape, in);
  double beta, *to = target(tape, out, &beta);
  for (size_t r = 0; r < out.rows; r++)
    softmax(out.cols, period ? r % period + 1 : out.cols, from + r * tape_stride(tape, in),
            to + r * tape_stride(tape, out));
}

/* ---- orthonormal directions ---- */

/* Rows made orthogonal to the rows of q once more: what is left of a field may be small
 * against what it was computed from, and directions that are a little oblique make later ones
 * more so. `c` is workspace [rows, q.rows]. */
static void project_again(Tape *tape, View q, double *v, size_t rows, double *c, double *scratch) {
  size_t S = q.cols, ld = wide_stride(tape, tape_space(tape, q)), ldq = tape_stride(tape, q);
  const float *single = tape_single(tape, q);
  if (!q.rows || !rows) return;
  tape->flops += average_with(tape, 1, v, rows, ld, q, 1, 0, c, q.rows, scratch);
  tape->flops += single
                     ? mat_mul_mixed(rows, S, q.rows, -1, c, q.rows, single, ldq, 1, v, ld)
                     : mat_mul(rows, S, q.rows, -1, c, q.rows, tape_data(tape, q), ldq, 1, v, ld);
}

static double mean_square(const Tape *tape, int space, const double *v, double *scratch) {
  double square = 0;
  average_rows(tape, space, 1, v, 1, wide_stride(tape, space), v, 1, 1, 0, &square, 1, scratch);
  return square;
}

/* C[i, j] = <B_i q_j> for j <= i, unrecorded. */
static void lower_product(Tape *tape, View B, View q, View C) {
  size_t k = q.rows;
  double *scratch = weighing_room(tape, k, tape_stride(tape, q)), *c = tape_data(tape, C);
  average_rows(tape, tape_space(tape, q), 1, tape_data(tape, B), k, tape_stride(tape, q),
               tape_data(tape, q), k, 1, 0, c, k, scratch);
  for (size_t i = 0; i < k; i++)
    for (size_t j = i + 1; j < k; j++) c[i * k + j] = 0;
  free(scratch);
}

/* Recorded as A = <B B^T>, A = C C^T, q = C^{-1} B for the rows B that give directions, whose
 * coordinates are the rows of C, and <x q> for the others. */
static void record_extension(Tape *tape, View q, View residual, View coords) {
  const Extended *picked = tape->extended;
  size_t k = q.rows;
  View B = tape_wide(tape, tape->slabs[residual.slab].space, k, false);
  View A = tape_table(tape, k, k, false), C = tape_table(tape, k, k, false);
  if (tape->failed) return;
  for (size_t j = 0; j < k; j++)
    tape_copy(tape, view_rows(B, j, 1), 1, view_rows(residual, picked[j].row, 1));
  tape_average(tape, A, 1, B, B, 1);
  lower_product(tape, B, q, C);
  record(tape, CHOLESKY, C, 1)->arg[0] = A;
  record_two(tape, SOLVE, q, 1, C, B);
  for (size_t r = 0, j = 0; r < residual.rows; r++) {
    View row = view_rows(coords, r, 1);
    if (j < k && picked[j].row == r)
      tape_copy(tape, row, 1, view_rows(C, j++, 1));
    else
      tape_average(tape, row, 1, view_rows(residual, r, 1), q, 1);
  }
}

/* What is left of the rows of a block while directions are taken from it: of those that may give
 * one, as in a wide block; which these are is in tape->extended. */
typedef struct Rest {
  double *rows, *c;
  size_t count, size, c_size;
  double *scratch;
} Rest;

/* Workspace, and its end. */
static double *borrow(Tape *tape, size_t size) {
  double *room = tape->record ? mem_room(size) : take_block(tape, size);
  if (!room) tape->failed = true;
  return room;
}

static void give_back(Tape *tape, double *room, size_t size) {
  if (tape->record)
    free(room);
  else
    give_block(tape, room, size);
}

/* The rows of `residual` that stand out, orthogonal to the basis. */
static bool take_rest(Tape *tape, Rest *rest, View basis, View residual, double tol,
                      const double *scale) {
  size_t S = tape_stride(tape, residual), rows = residual.rows;
  int space = tape_space(tape, residual);
  rest->size = rows * S + 1;
  rest->c_size = rows * (basis.rows + rows) + 1;
  rest->rows = borrow(tape, rest->size);
  rest->c = borrow(tape, rest->c_size);
  rest->scratch = weighing_room(tape, rows + basis.rows + 1, S);
  if (tape->failed) return false;
  for (size_t r = 0; r < rows; r++) {
    const double *row = tape_data(tape, view_rows(residual, r, 1));
    if (!(mean_square(tape, space, row, rest->scratch) > tol * tol * scale[r])) continue;
    memcpy(rest->rows + rest->count * S, row, residual.cols * sizeof *row);
    tape->extended[rest->count++].row = r;
  }
  project_again(tape, basis, rest->rows, rest->count, rest->c, rest->scratch);
  return true;
}

/* One row of a wide block, of either precision, becomes these numbers. */
static void put_row(Tape *tape, View row, const double *numbers) {
  if (is_single(tape, row))
    narrow(row.cols, numbers, data_of(tape, row));
  else
    memcpy(data_of(tape, row), numbers, row.cols * sizeof *numbers);
}

CLONES static void divide(size_t n, double by, double *restrict v) {
  for (size_t i = 0; i < n; i++) v[i] /= by;
}

/* The direction of row i of the rest, behind the first `before` + k of the basis; it leaves the
 * rows behind it. */
static void take_direction(Tape *tape, View *basis, size_t before, size_t k, Rest *rest, size_t i) {
  int space = tape_space(tape, *basis);
  size_t S = basis->cols, ld = wide_stride(tape, space), behind = rest->count - i - 1;
  *basis = tape_grow(tape, *basis, 1);
  if (tape->failed) return;
  View own = view_rows(*basis, before + k, 1);
  double *v = rest->rows + i * ld;
  project_again(tape, view_rows(*basis, before, k), v, 1, rest->c, rest->scratch);
  double size = sqrt(mean_square(tape, space, v, rest->scratch));
  divide(S, size, v);
  put_row(tape, own, v);
  project_again(tape, own, v + ld, behind, rest->c, rest->scratch);
}

size_t tape_extend(Tape *tape, View *basis, View residual, double tol, const double *scale,
                   View coordinates) {
  size_t S = residual.cols, k = 0, before = basis->rows;
  if (tape->failed || !residual.rows) return 0;
  int space = tape_space(tape, residual);
  size_t ld = wide_stride(tape, space);
  Rest rest = {0};
  if (residual.rows > tape->extended_room)
    tape->extended =
        mem_grow(tape->extended, (tape->extended_room = residual.rows) * sizeof(Extended));
  if (take_rest(tape, &rest, *basis, residual, tol, scale))
    for (size_t i = 0; i < rest.count && !tape->failed && before + k < S; i++) {
      size_t row = tape->extended[i].row;
      double square = mean_square(tape, space, rest.rows + i * ld, rest.scratch);
      if (!(square > tol * tol * scale[row])) continue;
      take_direction(tape, basis, before, k, &rest, i);
      tape->extended[k++] = (Extended){row, sqrt(square / scale[row])};
    }
  View q = view_rows(*basis, before, k), found = view_cols(coordinates, 0, k);
  if (k && !tape->failed && tape->record)
    record_extension(tape, q, residual, found);
  else if (k)
    tape_average(tape, found, 1, residual, q, 1);
  give_back(tape, rest.rows, rest.size);
  give_back(tape, rest.c, rest.c_size);
  free(rest.scratch);
  return k;
}

const Extended *tape_extended(const Tape *tape) { return tape->extended; }

void tape_squares(const Tape *tape, View view, double *squares) {
  size_t S = averaged(tape, tape_space(tape, view));
  for (size_t r = 0; r < view.rows && !tape->failed; r++) {
    const double *v = tape_data(tape, view_rows(view, r, 1));
    squares[r] = tape->weights ? 0 : dot(S, v, v) / (double)S;
    for (size_t i = 0; i < S && tape->weights; i++) squares[r] += v[i] * v[i] * tape->weights[i];
  }
}
