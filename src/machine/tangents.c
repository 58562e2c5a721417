/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The tape read forward: where the neurons of a population hear of others through few averages
 * alone, as in networks of two layers.
 *
 * Averages X = <x y> depend on earlier ones through tables, and these move neurons. With the
 * numbers O of the neurons that X is the mean of,
 *
 *     dX = <dO> + D dX,    D_ij = the mean over neurons of d O_i / d X_j at fixed other averages,
 *
 * D strictly lower triangular in time. What an observable v.X has of influences is then y.O with
 * (1 - D)^T y = v, for all observables at once: the slopes D, along one *direction* for each
 * average that is heard of, are found once, block by block of neurons, which stay in a cache. */
#include "base/memory.h"
#include "machine/block.h"
#include "num/clones.h"
#include "num/linalg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Neurons of a block, and directions that are taken together: their rows fill half of a cache. As
 * do numbers of as many averages for a part of the neurons. */
enum { BLOCK = 64, TOGETHER = 64, MADE = 256, PART = 256 };

/* Entry (row, col) of a table that neurons hear of, and its slope along a direction. */
typedef struct Link {
  size_t row, col, direction;
  double slope;
} Link;

/* An op where neurons hear of a table, argument `arg` of it. */
typedef struct Gate {
  int op, arg;
  size_t first, count; /* its links */
} Gate;

void tangents_free(Tangents *t) {
  if (!t) return;
  free(t->needed);
  free(t->first);
  free(t->gates);
  free(t->links);
  free(t->number);
  free(t->made);
  free(t->slopes);
  free(t);
}

/* ---- what hears of what ---- */

static bool is_average(const TapeOp *op) { return op->kind == AVERAGE || op->kind == AVERAGE_ROWS; }

static int arg_count(const TapeOp *op) {
  if (op->kind == MAP) return op->map->count;
  return op->kind == PRODUCT || op->kind == SOLVE || is_average(op) ? 2 : 1;
}

static View arg_of(const TapeOp *op, int k) { return op->kind == MAP ? op->args[k] : op->arg[k]; }

static bool is_wide(const Tape *tape, View view) { return view.slab >= 0 && !is_table(tape, view); }

/* Whether a wide op hears of this argument, which may vary. */
static bool hears(const Tape *tape, const TapeOp *op, int k) {
  View arg = arg_of(op, k);
  if (arg.slab < 0 || !is_table(tape, arg) || tape->slabs[arg.slab].constant) return false;
  return op->kind != MAP || op->map->slope[k];
}

/* Whether neurons stay apart between averages, and what there is can be read forward. */
static bool is_simple(const Tape *tape) {
  for (int i = 0; i < tape->op_count; i++) {
    const TapeOp *op = &tape->ops[i];
    bool wide = is_wide(tape, op->out);
    if (wide && op->kind != PRODUCT && op->kind != COPY && op->kind != MAP) return false;
    if (wide && op->kind == PRODUCT && op->which & TRANSPOSE_B) return false;
    if (op->kind == CHOLESKY) return false;
  }
  for (int i = 0; i < tape->space_count; i++)
    if (tape->spaces[i].passive) return false;
  return !tape->coordinates && tape->record;
}

void tangents_reach(const Tape *tape, const Observable *observables, size_t count, bool *needed) {
  bool *slab = mem_new((size_t)tape->slab_count + 1, sizeof *slab);
  for (size_t m = 0; m < count; m++)
    for (size_t k = 0; k < observables[m].count; k++)
      slab[observables[m].seeds[k].table.slab] = true;
  for (int i = tape->op_count - 1; i >= 0; i--) {
    const TapeOp *op = &tape->ops[i];
    if (!slab[op->out.slab] || is_wide(tape, op->out)) continue;
    if (is_average(op)) needed[i] = true;
    for (int k = 0; k < arg_count(op) && !is_average(op); k++)
      if (arg_of(op, k).slab >= 0) slab[arg_of(op, k).slab] = true;
  }
  free(slab);
}

/* The links of a gate, while they are found: with averages by op and entry. */
typedef struct Finder {
  Tangents *t;
  const Tape *tape;
  View table;
  size_t *before; /* [op]: numbers in all averages before it */
  bool starved;
} Finder;

/* Room for one more link; false without memory. */
static bool has_next(Finder *f) {
  Tangents *t = f->t;
  if (t->link_count < t->link_room) return true;
  size_t room = 2 * t->link_room + 256;
  Link *links =
      mem_fits((double)room * sizeof *links) ? realloc(t->links, room * sizeof *links) : NULL;
  if (!links) return !(f->starved = true);
  t->links = links;
  t->link_room = room;
  return true;
}

static void take_links(void *sink, int op, const double *bar, size_t stride) {
  Finder *f = sink;
  Tangents *t = f->t;
  View out = f->tape->ops[op].out;
  size_t M = f->table.rows * f->table.cols;
  for (size_t i = 0; i < out.rows * out.cols; i++)
    for (size_t m = 0; m < M; m++) {
      double slope = bar[(i / out.cols * M + m) * stride + i % out.cols];
      if (slope == 0 || !has_next(f)) continue;
      t->links[t->link_count++] =
          (Link){m / f->table.cols, m % f->table.cols, f->before[op] + i, slope};
    }
}

/* False if memory ran out. */
static bool find_links(Finder *f, int op, int arg) {
  Tangents *t = f->t;
  View table = f->table = arg_of(&f->tape->ops[op], arg);
  size_t M = table.rows * table.cols, first = t->link_count;
  Seed *seeds = mem_new(M + 1, sizeof *seeds);
  Observable *entries = mem_new(M + 1, sizeof *entries);
  for (size_t m = 0; m < M; m++) {
    seeds[m] = (Seed){table, m / table.cols, m % table.cols, 1};
    entries[m] = (Observable){&seeds[m], 1};
  }
  bool fine = tape_read_tables(f->tape, op, entries, M, take_links, f) && !f->starved;
  t->gates = mem_more(t->gates, (int)t->gate_count, sizeof *t->gates);
  t->gates[t->gate_count++] = (Gate){op, arg, first, t->link_count - first};
  free(seeds);
  free(entries);
  return fine;
}

/* Tables that neurons hear of are small, or reading them costs more than it spares. */
static bool find_gates(Finder *f) {
  for (int i = 0; i < f->tape->op_count; i++) {
    const TapeOp *op = &f->tape->ops[i];
    for (int k = 0; k < arg_count(op) && is_wide(f->tape, op->out); k++) {
      View arg = arg_of(op, k);
      if (!hears(f->tape, op, k)) continue;
      if (arg.rows * arg.cols > TAPE_HEARD || !find_links(f, i, k)) return false;
    }
  }
  return true;
}

/* The averages that are heard of become directions; *before* counts all averages. */
static void number_directions(Tangents *t, const Tape *tape, const size_t *before) {
  size_t all = before[tape->op_count];
  size_t *direction = mem_new(all + 1, sizeof *direction);
  for (size_t k = 0; k < t->link_count; k++) direction[t->links[k].direction] = 1;
  t->number = mem_new(all + 1, sizeof *t->number);
  t->made = mem_new(all + 1, sizeof *t->made);
  for (int i = 0; i < tape->op_count; i++)
    for (size_t x = before[i]; x < before[i + 1]; x++) {
      if (!direction[x]) continue;
      t->needed[i] = true;
      t->made[t->directions] = i;
      t->number[t->directions] = x;
      direction[x] = t->directions++;
    }
  for (size_t k = 0; k < t->link_count; k++)
    t->links[k].direction = direction[t->links[k].direction];
  free(direction);
}

/* Now averages that are not needed count no more. */
static void number_averages(Tangents *t, const Tape *tape, const size_t *before) {
  t->first = mem_new((size_t)tape->op_count + 1, sizeof *t->first);
  for (int i = 0; i < tape->op_count; i++) {
    View out = tape->ops[i].out;
    t->first[i + 1] = t->first[i] + (t->needed[i] ? out.rows * out.cols : 0);
  }
  t->numbers = t->first[tape->op_count];
  for (size_t d = 0; d < t->directions; d++)
    t->number[d] += t->first[t->made[d]] - before[t->made[d]];
}

/* ---- the numbers of neurons ---- */

CLONES static void add_scaled(size_t n, double alpha, const double *restrict x,
                              double *restrict y) {
  for (size_t i = 0; i < n; i++) y[i] += alpha * x[i];
}

CLONES static void add_products(size_t n, double alpha, const double *restrict x,
                                const double *restrict y, double *restrict to) {
  for (size_t i = 0; i < n; i++) to[i] += alpha * x[i] * y[i];
}

/* Neurons start .. start + width of a population, of which numbers are made. */
typedef struct Part {
  const Tape *tape;
  int space;
  size_t start, width;
} Part;

static const double *row_of(const Part *p, View view, size_t row) {
  return tape_data(p->tape, view) + row * tape_stride(p->tape, view) + p->start;
}

/* The numbers of neurons that number i of an average is the mean of. */
static void make_numbers(const Part *p, const TapeOp *op, size_t i, double *to) {
  View a = op->arg[0], b = op->arg[1], out = op->out;
  bool rows = op->kind == AVERAGE_ROWS;
  size_t G = rows ? 1 : op->group, r = i / out.cols, c = i % out.cols;
  memset(to, 0, p->width * sizeof *to);
  if (tape_space(p->tape, a) != p->space) return;
  for (size_t g = 0; g < G; g++) {
    const double *x = row_of(p, a, rows ? serving(a.rows, out.rows, r) : r * G + g);
    if (b.slab < 0)
      add_scaled(p->width, op->alpha, x, to);
    else
      add_products(p->width, op->alpha / (double)G, x,
                   row_of(p, b, rows ? serving(b.rows, out.rows, r) : c * G + g), to);
  }
}

/* Number i of the average that an op makes. */
typedef struct Term {
  int op;
  size_t i;
} Term;

/* Of these numbers of averages (NULL: the first n). */
static Term *terms_of(const Tape *tape, const size_t *number, size_t n) {
  const Tangents *t = tape->tangents;
  Term *all = mem_new(t->numbers + 1, sizeof *all), *terms = mem_new(n + 1, sizeof *terms);
  for (int op = 0; op < tape->op_count; op++)
    for (size_t x = t->first[op]; x < t->first[op + 1]; x++) all[x] = (Term){op, x - t->first[op]};
  for (size_t k = 0; k < n; k++) terms[k] = all[number ? number[k] : k];
  free(all);
  return terms;
}

static double weight_of(const Tape *tape, int space, size_t neuron) {
  return tape->weights ? tape->weights[neuron] : 1 / (double)tape->spaces[space].columns;
}

/* The part of a population from a neuron on, of at most so many. */
static Part part_from(const Tape *tape, int space, size_t start, size_t most) {
  size_t left = tape->spaces[space].columns - start;
  return (Part){tape, space, start, left < most ? left : most};
}

/* The numbers of a part for the averages of a term, as they differ from their mean; zeros where
 * these are of another population. */
static void make_centered(const Part *p, Term term, double mean, double *to) {
  const TapeOp *op = &p->tape->ops[term.op];
  make_numbers(p, op, term.i, to);
  if (tape_space(p->tape, op->arg[0]) != p->space) return;
  for (size_t i = 0; i < p->width; i++) to[i] -= mean;
}

static void find_means(const Tape *tape, const Term *terms, size_t n, double *mean) {
  double to[PART];
  memset(mean, 0, n * sizeof *mean);
  for (int space = 0; space < tape->space_count; space++)
    for (size_t start = 0; start < tape->spaces[space].columns; start += PART) {
      Part part = part_from(tape, space, start, PART);
      for (size_t k = 0; k < n; k++) {
        make_numbers(&part, &tape->ops[terms[k].op], terms[k].i, to);
        for (size_t i = 0; i < part.width; i++)
          mean[k] += weight_of(tape, space, start + i) * to[i];
      }
    }
}

bool tangents_scatter(const Tape *tape, const size_t *number, size_t n, double *C) {
  Term *terms = terms_of(tape, number, n);
  double *mean = mem_block(n + 1), *rows = mem_room(2 * (n + 1) * PART),
         *weighted = rows ? rows + n * PART : NULL;
  if (mean && rows) find_means(tape, terms, n, mean);
  for (int space = 0; space < tape->space_count && mean && rows; space++)
    for (size_t start = 0; start < tape->spaces[space].columns; start += PART) {
      Part part = part_from(tape, space, start, PART);
      for (size_t k = 0; k < n; k++) {
        make_centered(&part, terms[k], mean[k], rows + k * PART);
        for (size_t i = 0; i < part.width; i++)
          weighted[k * PART + i] = rows[k * PART + i] * weight_of(tape, space, start + i);
      }
      tape_count(tape, mat_mul_bt(n, n, part.width, 1 / tape->spaces[space].ratio, rows, PART,
                                  weighted, PART, 1, C, n));
    }
  bool fine = mean && rows;
  free(terms);
  free(mean);
  free(rows);
  return fine;
}

/* ---- along directions ---- */

/* Blocks of one population along the directions first .. first + count, or along one in which every
 * neuron hears of averages that are off by numbers of its own: of a slab [row][direction][BLOCK],
 * of which the first has[slab] are there, and others are zero. */
typedef struct Pass {
  const Tape *tape;
  Tangents *t;
  int space;
  const bool *moves; /* [op]: what it makes is needed */
  const int *last;   /* [slab]: the last op that needs it */
  size_t start, width, first, count;
  double *own; /* [direction][BLOCK], or NULL */
  double *to;  /* [number][across] */
  size_t across;
  double **value;
  size_t *has;
  double **spare; /* blocks given back, and their rows */
  size_t *spare_rows;
  int spare_count;
  double *room; /* [rows of the largest op][BLOCK] */
  double *half; /* of the largest square average, [row][column][direction] */
  double flops;
  bool failed;
} Pass;

CLONES static void put_scaled(size_t n, double alpha, const double *restrict x,
                              double *restrict y) {
  for (size_t i = 0; i < n; i++) y[i] = alpha * x[i];
}

CLONES static void add_slopes(size_t n, const double *restrict slope, const double *restrict x,
                              double *restrict y) {
  for (size_t m = 0; m < n; m++)
    for (size_t i = 0; i < BLOCK; i++) y[m * BLOCK + i] += slope[i] * x[m * BLOCK + i];
}

CLONES static void put_slopes(size_t n, const double *restrict slope, const double *restrict x,
                              double *restrict y) {
  for (size_t m = 0; m < n; m++)
    for (size_t i = 0; i < BLOCK; i++) y[m * BLOCK + i] = slope[i] * x[m * BLOCK + i];
}

static double *take_block(Pass *p, size_t rows) {
  for (int i = p->spare_count - 1; i >= 0; i--) {
    if (p->spare_rows[i] != rows) continue;
    double *block = p->spare[i];
    p->spare[i] = p->spare[--p->spare_count];
    p->spare_rows[i] = p->spare_rows[p->spare_count];
    return block;
  }
  double *block = mem_room(rows * TOGETHER * BLOCK);
  if (!block) p->failed = true;
  return block;
}

static void give_block(Pass *p, int slab) {
  if (!p->value[slab]) return;
  p->spare = mem_more(p->spare, p->spare_count, sizeof *p->spare);
  p->spare_rows = mem_more(p->spare_rows, p->spare_count, sizeof *p->spare_rows);
  p->spare[p->spare_count] = p->value[slab];
  p->spare_rows[p->spare_count++] = p->tape->slabs[slab].rows;
  p->value[slab] = NULL;
  p->has[slab] = 0;
}

static double *tangent(const Pass *p, View view, size_t row) {
  return p->value[view.slab] + (view.row + row) * TOGETHER * BLOCK;
}

/* Makes an output hold the first n directions, zeros where it had none. */
static void extend(Pass *p, View out, size_t n) {
  int slab = out.slab;
  if (!p->value[slab]) p->value[slab] = take_block(p, p->tape->slabs[slab].rows);
  for (size_t r = 0; r < p->tape->slabs[slab].rows && !p->failed && p->has[slab] < n; r++)
    memset(p->value[slab] + (r * TOGETHER + p->has[slab]) * BLOCK, 0,
           (n - p->has[slab]) * BLOCK * sizeof(double));
  if (p->has[slab] < n) p->has[slab] = n;
}

/* Whether a whole block is written for the first time: nothing has to be zero before. */
static bool begins(Pass *p, View out, size_t n) {
  int slab = out.slab;
  if (p->value[slab] || out.rows != p->tape->slabs[slab].rows) return false;
  p->value[slab] = take_block(p, out.rows);
  p->has[slab] = n;
  return true;
}

/* The neurons of the block in a row, and zeros behind them. */
static void load(const Pass *p, View view, size_t row, double *to) {
  const double *from = tape_data(p->tape, view) + row * tape_stride(p->tape, view) + p->start;
  memcpy(to, from, p->width * sizeof *to);
  for (size_t i = p->width; i < BLOCK; i++) to[i] = 0;
}

static void copy_forward(Pass *p, const TapeOp *op) {
  View in = op->arg[0], out = op->out;
  size_t n = p->has[in.slab];
  if (!n) return;
  bool put = begins(p, out, n);
  if (!put) extend(p, out, n);
  for (size_t r = 0; r < out.rows && !p->failed; r++)
    (put ? put_scaled : add_scaled)(n * BLOCK, op->alpha, tangent(p, in, r % in.rows),
                                    tangent(p, out, r));
}

/* Links of a gate to the directions of the pass: calls `each` with its number there. */
static const Gate *gate_of(const Pass *p, int op, int arg) {
  const Tangents *t = p->t;
  size_t low = 0, high = t->gate_count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    const Gate *g = &t->gates[middle];
    if (g->op < op || (g->op == op && g->arg < arg))
      low = middle + 1;
    else
      high = middle;
  }
  return low < t->gate_count && t->gates[low].op == op && t->gates[low].arg == arg ? &t->gates[low]
                                                                                   : NULL;
}

/* The part d of a link's direction in the pass; false where it belongs to another. */
static bool in_pass(const Pass *p, const Link *link, size_t *d) {
  *d = p->own ? 0 : link->direction - p->first;
  return p->own || (link->direction >= p->first && *d < p->count);
}

/* The links to directions of the pass, and how many of these are there after them. */
static size_t links_of(const Pass *p, const Gate *gate, const Link **links, size_t *count) {
  size_t most = 0;
  *count = 0;
  *links = gate ? p->t->links + gate->first : NULL;
  for (size_t k = 0; gate && k < gate->count; k++) {
    size_t d;
    if (!in_pass(p, &(*links)[k], &d)) continue;
    *count = gate->count;
    if (d >= most) most = d + 1;
  }
  return most;
}

/* Adds what neurons of these slopes hear through a link, to a row of all directions. */
static void add_link(const Pass *p, const Link *link, double alpha, const double *slope,
                     double *row) {
  size_t d;
  if (!in_pass(p, link, &d)) return;
  if (p->own)
    add_products(BLOCK, alpha * link->slope, slope, p->own + link->direction * BLOCK, row);
  else
    add_scaled(BLOCK, alpha * link->slope, slope, row + d * BLOCK);
}

static void product_forward(Pass *p, const TapeOp *op, int number) {
  View a = op->arg[0], b = op->arg[1], out = op->out;
  bool flip = op->which & TRANSPOSE_A;
  size_t la = tape_stride(p->tape, a), n = p->has[b.slab], links;
  const Link *link;
  size_t more = links_of(p, gate_of(p, number, 0), &link, &links);
  if (!n && !more) return;
  extend(p, out, n > more ? n : more);
  const double *A = tape_data(p->tape, a);
  if (n && !p->failed)
    p->flops += (flip ? mat_mul_at : mat_mul)(out.rows, n * BLOCK, b.rows, op->alpha, A, la,
                                              tangent(p, b, 0), TOGETHER * BLOCK, 1,
                                              tangent(p, out, 0), TOGETHER * BLOCK);
  for (size_t k = 0; k < links && !p->failed; k++) {
    size_t row = flip ? link[k].col : link[k].row, col = flip ? link[k].row : link[k].col;
    load(p, b, col, p->room);
    add_link(p, &link[k], op->alpha, p->room, tangent(p, out, row));
  }
}

/* The slopes of a map in argument k, for the neurons of the block, [out.rows][BLOCK]. */
static void slopes_of(const Pass *p, const TapeOp *op, int k, double *slopes) {
  const Tape *tape = p->tape;
  View out = op->out;
  double *spread = mem_new((size_t)op->map->count * BLOCK, sizeof *spread);
  for (size_t r = 0; r < out.rows; r++) {
    const double *args[TAPE_MAX_ARGS];
    for (int j = 0; j < op->map->count; j++) {
      View a = op->args[j];
      const double *row = tape_data(tape, a) + serving(a.rows, out.rows, r) * tape_stride(tape, a);
      double *own = spread + (size_t)j * BLOCK;
      for (size_t i = 0; i < p->width && is_table(tape, a); i++) own[i] = *row;
      args[j] = is_table(tape, a) ? own : row + p->start;
    }
    kernel_run(op->map->slope[k], p->width, args, slopes + r * BLOCK);
    for (size_t i = p->width; i < BLOCK; i++) slopes[r * BLOCK + i] = 0;
  }
  free(spread);
}

static void map_argument(Pass *p, const TapeOp *op, int number, int k) {
  View arg = op->args[k], out = op->out;
  bool wide = !is_table(p->tape, arg);
  size_t n = wide ? p->has[arg.slab] : 0, links = 0;
  const Link *link = NULL;
  size_t more = wide ? 0 : links_of(p, gate_of(p, number, k), &link, &links);
  if (!op->map->slope[k] || (!n && !more)) return;
  bool put = n && begins(p, out, n);
  if (!put) extend(p, out, n > more ? n : more);
  if (!p->failed) slopes_of(p, op, k, p->room);
  for (size_t i = 0; i < out.rows && !p->failed; i++) {
    size_t row = serving(arg.rows, out.rows, i);
    const double *slope = p->room + i * BLOCK;
    if (n) (put ? put_slopes : add_slopes)(n, slope, tangent(p, arg, row), tangent(p, out, i));
    for (size_t l = 0; l < links; l++)
      if (link[l].row == row) add_link(p, &link[l], 1, slope, tangent(p, out, i));
  }
}

/* Row `row` of a view, times what its neurons weigh in an average, and alpha. */
static void weigh(const Pass *p, View view, size_t row, double alpha, double *to) {
  const Tape *tape = p->tape;
  size_t S = tape->spaces[p->space].columns;
  if (view.slab >= 0)
    load(p, view, row, to);
  else
    for (size_t i = 0; i < BLOCK; i++) to[i] = i < p->width;
  for (size_t i = 0; i < p->width; i++)
    to[i] *= alpha * (tape->weights ? tape->weights[p->start + i] : 1 / (double)S);
}

/* to[.., direction] += <dx y> of a row x with the weighted `rows` y; results lie `apart`. */
static void project(Pass *p, View x, size_t row, const double *y, size_t rows, size_t number,
                    size_t apart) {
  p->flops += mat_mul_bt(rows, p->has[x.slab], BLOCK, 1, y, BLOCK, tangent(p, x, row), BLOCK, 1,
                         p->to + number * p->across + p->first, apart * p->across);
}

/* The same of a block with itself: half of it is the other half. */
static void square_forward(Pass *p, const TapeOp *op, int number) {
  View x = op->arg[0];
  size_t G = op->group, R = op->out.rows, n = p->has[x.slab];
  for (size_t g = 0; g < G && n; g++) {
    for (size_t c = 0; c < R; c++)
      weigh(p, x, c * G + g, op->alpha / (double)G, p->room + c * BLOCK);
    for (size_t r = 0; r < R; r++)
      p->flops += mat_mul_bt(R, n, BLOCK, 1, p->room, BLOCK, tangent(p, x, r * G + g), BLOCK, g > 0,
                             p->half + r * R * n, n);
  }
  for (size_t i = 0; i < R * R && n; i++) {
    double *to = p->to + (p->t->first[number] + i) * p->across + p->first;
    add_scaled(n, 1, p->half + i * n, to);
    add_scaled(n, 1, p->half + (i % R * R + i / R) * n, to);
  }
}

static bool is_square(const TapeOp *op) {
  View a = op->arg[0], b = op->arg[1];
  return op->kind == AVERAGE && a.slab == b.slab && a.row == b.row && a.rows == b.rows;
}

static void average_forward(Pass *p, const TapeOp *op, int number) {
  View a = op->arg[0], b = op->arg[1], out = op->out;
  size_t G = op->group, first = p->t->first[number];
  double alpha = op->alpha / (double)G;
  for (size_t g = 0; g < G && p->has[a.slab]; g++) {
    for (size_t c = 0; c < out.cols; c++) weigh(p, b, c * G + g, alpha, p->room + c * BLOCK);
    for (size_t r = 0; r < out.rows; r++)
      project(p, a, r * G + g, p->room, out.cols, first + r * out.cols, 1);
  }
  for (size_t g = 0; g < G && p->has[b.slab]; g++) {
    for (size_t r = 0; r < out.rows; r++) weigh(p, a, r * G + g, alpha, p->room + r * BLOCK);
    for (size_t c = 0; c < out.cols; c++)
      project(p, b, c * G + g, p->room, out.rows, first + c, out.cols);
  }
}

static void average_rows_forward(Pass *p, const TapeOp *op, int number) {
  View a = op->arg[0], b = op->arg[1], out = op->out;
  for (size_t r = 0; r < out.rows; r++) {
    size_t i = serving(a.rows, out.rows, r), j = b.slab >= 0 ? serving(b.rows, out.rows, r) : 0,
           x = p->t->first[number] + r;
    weigh(p, b, j, op->alpha, p->room);
    if (p->has[a.slab]) project(p, a, i, p->room, 1, x, 1);
    if (b.slab < 0 || !p->has[b.slab]) continue;
    weigh(p, a, i, op->alpha, p->room);
    project(p, b, j, p->room, 1, x, 1);
  }
}

static void forward(Pass *p, int number) {
  const TapeOp *op = &p->tape->ops[number];
  switch (op->kind) {
  case COPY: copy_forward(p, op); break;
  case PRODUCT: product_forward(p, op, number); break;
  case AVERAGE: (is_square(op) ? square_forward : average_forward)(p, op, number); break;
  case AVERAGE_ROWS: average_rows_forward(p, op, number); break;
  default:
    for (int k = 0; k < op->map->count; k++) map_argument(p, op, number, k);
  }
}

/* The population of an op that neurons take part in, or TABLE. */
static int space_of(const Tape *tape, const TapeOp *op) {
  View view = is_average(op) ? op->arg[0] : op->out;
  return tape->slabs[view.slab].space;
}

static void pass_block(Pass *p) {
  for (int i = p->t->made[p->first]; i < p->tape->op_count && !p->failed; i++) {
    const TapeOp *op = &p->tape->ops[i];
    if (!p->moves[i] || space_of(p->tape, op) != p->space) continue;
    forward(p, i);
    for (int k = 0; k < arg_count(op); k++)
      if (is_wide(p->tape, arg_of(op, k)) && p->last[arg_of(op, k).slab] == i)
        give_block(p, arg_of(op, k).slab);
  }
  for (int i = 0; i < p->tape->slab_count; i++) give_block(p, i);
  tape_count(p->tape, p->flops);
  p->flops = 0;
}

/* ---- the whole ---- */

/* Which ops make what is needed, and when each wide block is needed last. */
static void find_moves(const Tape *tape, const Tangents *t, bool *moves, int *last) {
  for (int i = 0; i < tape->slab_count; i++) last[i] = -1;
  for (int i = tape->op_count - 1; i >= 0; i--) {
    const TapeOp *op = &tape->ops[i];
    moves[i] = is_average(op) ? t->needed[i] : is_wide(tape, op->out) && last[op->out.slab] >= 0;
    for (int k = 0; k < arg_count(op) && moves[i]; k++) {
      View arg = arg_of(op, k);
      if (is_wide(tape, arg) && last[arg.slab] < 0) last[arg.slab] = i;
    }
  }
}

static size_t most_rows(const Tape *tape) {
  size_t most = 1;
  for (int i = 0; i < tape->slab_count; i++)
    if (tape->slabs[i].space != TABLE && tape->slabs[i].rows > most) most = tape->slabs[i].rows;
  return most;
}

static size_t largest_square(const Tape *tape) {
  size_t most = 0;
  for (int i = 0; i < tape->op_count; i++) {
    size_t n = tape->ops[i].out.rows * tape->ops[i].out.cols;
    if (is_square(&tape->ops[i]) && n > most) most = n;
  }
  return most;
}

static void pass_directions(Pass *p, const volatile sig_atomic_t *stop) {
  size_t left;
  for (p->first = 0; p->first < p->t->directions && !p->failed && !(stop && *stop);
       p->first += p->count) {
    left = p->t->directions - p->first;
    p->count = left < TOGETHER ? left : TOGETHER;
    pass_block(p);
  }
}

/* What averages that are heard of move by in networks where a neuron is what it is, [direction]:
 * its influence on them, over its population's size. */
typedef struct Own {
  const Term *terms;
  const double *mean;
} Own;

static void pass_own(Pass *p, const Own *own) {
  const Tangents *t = p->t;
  Part part = {p->tape, p->space, p->start, p->width};
  for (size_t d = 0; d < t->directions; d++) {
    double *y = p->own + d * BLOCK;
    memset(y, 0, BLOCK * sizeof *y);
    make_centered(&part, own->terms[d], own->mean[d], y);
    for (size_t i = 0; i < p->width; i++) y[i] /= p->tape->spaces[p->space].ratio;
    p->flops +=
        mat_mul(1, BLOCK, d, 1, t->slopes + d * t->directions, d, p->own, BLOCK, 1, y, BLOCK);
  }
  p->first = 0;
  p->count = 1;
  pass_block(p);
}

/* Along all directions, or along the one of neurons' own. */
static bool pass_all(const Tape *tape, Tangents *t, const Own *own, double *to,
                     const volatile sig_atomic_t *stop) {
  size_t slabs = (size_t)tape->slab_count;
  bool *moves = mem_new((size_t)tape->op_count + 1, sizeof *moves);
  int *last = mem_new(slabs + 1, sizeof *last);
  find_moves(tape, t, moves, last);
  Pass p = {.tape = tape,
            .t = t,
            .moves = moves,
            .last = last,
            .own = own ? mem_block(t->directions * BLOCK + 1) : NULL,
            .to = to,
            .across = own ? 1 : t->directions,
            .value = mem_new(slabs + 1, sizeof *p.value),
            .has = mem_new(slabs + 1, sizeof *p.has),
            .room = mem_room((most_rows(tape) + 1) * BLOCK),
            .half = mem_room(largest_square(tape) * TOGETHER + 1)};
  p.failed = !p.room || !p.half || !to || (own && !p.own);
  for (p.space = 0; p.space < tape->space_count; p.space++)
    for (p.start = 0; p.start < tape->spaces[p.space].columns; p.start += BLOCK) {
      size_t left = tape->spaces[p.space].columns - p.start;
      p.width = left < BLOCK ? left : BLOCK;
      if (p.failed || (stop && *stop)) break;
      if (own)
        pass_own(&p, own);
      else
        pass_directions(&p, stop);
    }
  for (int i = 0; i < p.spare_count; i++) free(p.spare[i]);
  free(p.spare);
  free(p.spare_rows);
  free(p.value);
  free(p.has);
  free(p.own);
  free(p.room);
  free(p.half);
  free(last);
  free(moves);
  return !p.failed && !(stop && *stop);
}

static bool find_slopes(const Tape *tape, Tangents *t, const volatile sig_atomic_t *stop) {
  t->slopes = mem_block(t->numbers * t->directions + 1);
  return pass_all(tape, t, NULL, t->slopes, stop);
}

bool tangents_own(const Tape *tape, const volatile sig_atomic_t *stop, double *moved) {
  Tangents *t = tape->tangents;
  Term *terms = terms_of(tape, t->number, t->directions);
  double *mean = mem_block(t->directions + 1);
  bool fine = mean != NULL;
  if (fine) find_means(tape, terms, t->directions, mean);
  fine = fine && (!t->directions || pass_all(tape, t, &(Own){terms, mean}, moved, stop));
  free(mean);
  free(terms);
  return fine;
}

bool tangents_cover(const Tape *tape, const Observable *observables, size_t count) {
  const Tangents *t = tape->tangents;
  bool *needed = mem_new((size_t)tape->op_count + 1, sizeof *needed), covered = t && !t->alone;
  if (covered) tangents_reach(tape, observables, count, needed);
  for (int i = 0; i < tape->op_count && covered; i++) covered = !needed[i] || t->needed[i];
  free(needed);
  return covered;
}

/* Whether slopes take little, or little beside what is recorded. */
static bool is_light(const Tape *tape, const Tangents *t) {
  static const double LITTLE = 4e6;
  double recorded = 0;
  for (int i = 0; i < tape->slab_count; i++)
    recorded += (double)tape->slabs[i].rows * (double)tape->slabs[i].cols;
  return (double)t->numbers * (double)t->directions <= fmax(LITTLE, recorded / 4);
}

/* Whether there is room for slopes for a while, and no more of them than a gigabyte. */
static bool has_room(const Tape *tape, const Tangents *t) {
  static const double MOST = 1.25e8;
  double slopes = (double)t->numbers * (double)t->directions;
  return (slopes <= MOST || is_light(tape, t)) && mem_fits(8 * slopes);
}

void tape_forget_forward(Tape *tape) {
  if (!tape->tangents || is_light(tape, tape->tangents)) return;
  tangents_free(tape->tangents);
  tape->tangents = NULL;
}

bool tape_read_forward(Tape *tape, const Observable *observables, size_t count, size_t most,
                       const volatile sig_atomic_t *stop) {
  if (!is_simple(tape) || tangents_cover(tape, observables, count)) return true;
  size_t ops = (size_t)tape->op_count, *before = mem_new(ops + 1, sizeof *before);
  Tangents *t = mem_new(1, sizeof *t);
  t->needed = mem_new(ops + 1, sizeof *t->needed);
  for (size_t i = 0; i < ops; i++) {
    View out = tape->ops[i].out;
    before[i + 1] = before[i] + (is_average(&tape->ops[i]) ? out.rows * out.cols : 0);
  }
  bool simple = find_gates(&(Finder){.t = t, .tape = tape, .before = before}), fine = true;
  if (simple) {
    number_directions(t, tape, before);
    tangents_reach(tape, observables, count, t->needed);
    number_averages(t, tape, before);
    simple = t->directions <= most && has_room(tape, t);
  }
  if (simple) fine = find_slopes(tape, t, stop);
  if (simple && fine) {
    tangents_free(tape->tangents);
    tape->tangents = t;
  } else {
    tangents_free(t);
  }
  free(before);
  return fine;
}

void tape_forward_size(const Tape *tape, size_t *averages, size_t *heard) {
  const Tangents *t = tape->tangents;
  *averages = t ? t->numbers : 0;
  *heard = t ? t->directions : 0;
}

bool tangents_widen(Tape *tape, const Observable *observables, size_t count) {
  Tangents *t = tape->tangents;
  size_t n = t->directions, *old = t->first;
  double *slopes = mem_block(n * n + 1);
  if (!slopes) return false;
  for (size_t d = 0; d < n; d++)
    memcpy(slopes + d * n, t->slopes + t->number[d] * n, n * sizeof *slopes);
  free(t->slopes);
  t->slopes = slopes;
  t->alone = true;
  tangents_reach(tape, observables, count, t->needed);
  number_averages(t, tape, old);
  free(old);
  return true;
}

/* ---- influences ---- */

/* What observables ask of averages, y [row][observable]: of all directions, and behind them of the
 * numbers of other averages that they are made of. */
typedef struct Asked {
  const Tape *tape;
  size_t M;
  size_t *place;  /* [op]: where the numbers of an average are, behind the directions */
  size_t *number; /* [row]: of those behind the directions */
  size_t rows;    /* of these */
  double *y;
} Asked;

/* The first direction at or behind a number. */
static size_t direction_from(const Tangents *t, size_t number) {
  size_t low = 0, high = t->directions;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (t->number[middle] < number)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static void take_asked(void *sink, int op, const double *bar, size_t stride) {
  Asked *asked = sink;
  const Tangents *t = asked->tape->tangents;
  View out = asked->tape->ops[op].out;
  size_t M = asked->M, n = out.rows * out.cols, x = t->first[op], d = direction_from(t, x);
  for (size_t i = 0; i < n; i++, x++) {
    bool heard = d < t->directions && t->number[d] == x;
    double *y = asked->y + (heard ? d++ : t->directions + asked->place[op] + i) * M;
    for (size_t m = 0; m < M; m++) y[m] += bar[(i / out.cols * M + m) * stride + i % out.cols];
  }
}

static bool any(size_t n, const double *x) {
  for (size_t i = 0; i < n; i++)
    if (x[i] != 0) return true;
  return false;
}

/* Leaves out the rows of which nothing is asked. */
static void pack(Asked *asked) {
  size_t M = asked->M, rows = 0;
  double *y = asked->y + asked->tape->tangents->directions * M;
  for (size_t k = 0; k < asked->rows; k++) {
    if (!any(M, y + k * M)) continue;
    asked->number[rows] = asked->number[k];
    memmove(y + rows++ * M, y + k * M, M * sizeof *y);
  }
  asked->rows = rows;
}

/* What observables ask; false if memory ran out. */
static bool ask(Asked *asked, int mark, const Observable *observables) {
  const Tape *tape = asked->tape;
  const Tangents *t = tape->tangents;
  bool *needed = mem_new((size_t)tape->op_count + 1, sizeof *needed);
  asked->place = mem_new((size_t)tape->op_count + 1, sizeof *asked->place);
  tangents_reach(tape, observables, asked->M, needed);
  for (int i = 0; i < tape->op_count; i++) {
    asked->place[i] = asked->rows;
    if (needed[i]) asked->rows += t->first[i + 1] - t->first[i];
  }
  asked->number = mem_try(asked->rows + 1, sizeof *asked->number);
  asked->y = mem_block((t->directions + asked->rows) * asked->M + 1);
  bool fine = asked->number && asked->y;
  for (int i = 0; i < tape->op_count && fine; i++)
    for (size_t x = t->first[i]; x < t->first[i + 1] && needed[i]; x++)
      asked->number[asked->place[i] + x - t->first[i]] = x;
  free(needed);
  fine = fine && tape_read_tables(tape, mark, observables, asked->M, take_asked, asked);
  if (fine) pack(asked);
  return fine;
}

/* Hands what is asked of so many numbers on to the first `before` directions, D^T y, with room for
 * TOGETHER rows of D. */
static void hand_on(const Asked *asked, const size_t *number, size_t rows, const double *y,
                    size_t before, double *room) {
  const Tangents *t = asked->tape->tangents;
  for (size_t start = 0; start < rows && before; start += TOGETHER) {
    size_t n = rows - start < TOGETHER ? rows - start : TOGETHER;
    for (size_t k = 0; k < n; k++)
      memcpy(room + k * before, t->slopes + number[start + k] * t->directions,
             before * sizeof *room);
    tape_count(asked->tape, mat_mul_at(before, asked->M, n, 1, room, before, y + start * asked->M,
                                       asked->M, 1, asked->y, asked->M));
  }
}

/* (1 - D)^T y = v in place, from the last average to the first: the first `count` directions, of
 * those behind which nothing is asked, in blocks. */
static bool substitute(Asked *asked, size_t count) {
  const Tangents *t = asked->tape->tangents;
  size_t M = asked->M;
  double *y = asked->y, *room = mem_room(TOGETHER * t->directions + 1);
  if (!room) return false;
  hand_on(asked, asked->number, asked->rows, y + t->directions * M, count, room);
  for (size_t end = count, first; end > 0; end = first) {
    first = end > TOGETHER ? end - TOGETHER : 0;
    for (size_t d = end; d-- > first;)
      for (size_t k = d + 1; k < end; k++)
        axpy(M, t->slopes[t->number[k] * t->directions + d], y + k * M, y + d * M);
    hand_on(asked, t->number + first, end - first, y + first * M, first, room);
  }
  free(room);
  return true;
}

/* Adds y^T O for the numbers O of a part, to rows `size` apart. */
static void add_influences(const Part *p, const Term *terms, const double *y, size_t count,
                           size_t M, double *numbers, double *influences, size_t size) {
  for (size_t start = 0; start < count; start += MADE) {
    size_t n = count - start < MADE ? count - start : MADE;
    for (size_t k = 0; k < n; k++)
      make_numbers(p, &p->tape->ops[terms[start + k].op], terms[start + k].i, numbers + k * PART);
    tape_count(p->tape, mat_mul_at(M, p->width, n, 1, y + start * M, M, numbers, PART, 1,
                                   influences + p->start, size));
  }
}

/* Those of the first `count` directions and of what else is asked for. */
static bool spread_influences(const Asked *asked, size_t count, double *influences) {
  const Tape *tape = asked->tape;
  const Tangents *t = tape->tangents;
  double *numbers = mem_room((size_t)MADE * PART);
  size_t size = tape_influence_size(tape), M = asked->M, offset = 0;
  if (!numbers) return false;
  Term *heard = terms_of(tape, t->number, count),
       *others = terms_of(tape, asked->number, asked->rows);
  for (int space = 0; space < tape->space_count; space++) {
    size_t S = tape->spaces[space].columns;
    for (size_t start = 0; start < S; start += PART) {
      Part part = part_from(tape, space, start, PART);
      add_influences(&part, heard, asked->y, count, M, numbers, influences + offset, size);
      add_influences(&part, others, asked->y + t->directions * M, asked->rows, M, numbers,
                     influences + offset, size);
    }
    offset += S;
  }
  free(heard);
  free(others);
  free(numbers);
  return true;
}

bool tangents_influences(const Tape *tape, int mark, const Observable *observables, size_t count,
                         double *influences) {
  const Tangents *t = tape->tangents;
  Asked asked = {.tape = tape, .M = count};
  size_t before = direction_from(t, t->first[mark]);
  bool fine = ask(&asked, mark, observables) && substitute(&asked, before) &&
              spread_influences(&asked, before, influences);
  free(asked.place);
  free(asked.number);
  free(asked.y);
  return fine;
}
