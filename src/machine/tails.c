/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "machine/tails.h"
#include "machine/block.h"
#include "base/memory.h"
#include "num/random.h"

#include <gsl/gsl_cdf.h>
#include <gsl/gsl_randist.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* How many of the largest terms of a run are looked at. Fewer leave the growth of terms uncertain,
 * more are not in the tail. */
enum { LARGEST = 6, FEWEST_TERMS = 2 * LARGEST };

/* Of the terms of a row of an average, or of the squares of a row. */
typedef struct Seen {
  double low;        /* log of the smallest of the largest terms; NAN where there are too few */
  double rise;       /* sum over the larger ones of the log of their ratio to it */
  double mean, size; /* of the terms, and of their absolute values */
} Seen;

struct Tails {
  const Program *program;
  size_t steps, rows; /* of all averages */
  size_t *first;      /* [op]: its rows among them */
  Seen *seen;         /* [steps, rows] */
  size_t paths;
  double *start; /* [outputs, paths]: terms of the outputs at the start, and room for one more */
};

struct Lean {
  size_t rows;
  size_t *first;
  double *growth;    /* [steps, rows]: terms grow as this power of a normal number */
  double *mean;      /* [steps, rows] */
  double *deviation; /* [steps, rows]: what the mean may be off by */
  bool guesses;
};

/* ---- which averages ---- */

/* What is averaged: the terms of each row, or the squares of rows; of a table of pairs of rows
 * those of both sides, or of one where they are the same; of what a matrix meets, as its image is
 * as large as this; and the terms of outputs. */
static bool applies(const Program *p, const Op *op) {
  return (op->kind == OP_APPLY || op->kind == OP_APPLY_T) &&
         is_wide_matrix(p, &p->matrices[op->matrix]);
}

/* f = <x w> / gamma */
static bool reads(const Program *p, const Op *op) {
  return op->kind == OP_APPLY && is_wide_variable(p, op->src[0]) &&
         !is_wide(p, p->matrices[op->matrix].to);
}

static bool is_average(const Program *p, const Op *op) {
  bool table = op->kind == OP_AVERAGE || op->kind == OP_MOMENT;
  return applies(p, op) || reads(p, op) || (table && is_wide(p, p->variables[op->src[0]].space));
}

static size_t rows_seen(const Program *p, const Op *op) {
  if (!is_average(p, op)) return 0;
  if (op->kind == OP_AVERAGE) return rows_of(p, op->dst);
  if (reads(p, op)) return rows_of(p, op->src[0]) * sizes_of(p).outputs;
  if (op->kind != OP_MOMENT) return rows_of(p, op->src[0]);
  return rows_of(p, op->src[0]) + (op->src[0] == op->src[1] ? 0 : rows_of(p, op->src[1]));
}

static size_t *number_rows(const Program *p, size_t *all) {
  size_t *first = mem_new((size_t)p->op_count + 1, sizeof *first);
  *all = 0;
  for (int i = 0; i < p->op_count; i++) {
    first[i] = *all;
    *all += rows_seen(p, &p->ops[i]);
  }
  return first;
}

/* Rows of what the network says, from which that of the start is taken off. */
static size_t rows_of_output(const Program *p) { return p->system ? 0 : rows_of(p, p->output); }

double tails_bytes(const Program *p, size_t steps, size_t paths) {
  size_t rows = 0;
  for (int i = 0; i < p->op_count; i++) rows += rows_seen(p, &p->ops[i]);
  return (double)(steps * rows * sizeof(Seen)) +
         (double)((rows_of_output(p) + 1) * paths * sizeof(double));
}

Tails *tails_new(const Program *p, size_t steps, size_t paths) {
  Tails *tails = mem_new(1, sizeof *tails);
  *tails = (Tails){.program = p, .steps = steps, .paths = paths};
  tails->first = number_rows(p, &tails->rows);
  double *block = mem_block((steps * tails->rows * sizeof(Seen)) / sizeof(double) + 1);
  tails->seen = (Seen *)block;
  tails->start = mem_block((rows_of_output(p) + 1) * paths);
  if (block && tails->start) return tails;
  tails_free(tails);
  return NULL;
}

void tails_free(Tails *tails) {
  if (!tails) return;
  free(tails->first);
  free(tails->seen);
  free(tails->start);
  free(tails);
}

void tails_pieces(Tails *tails, Piece *piece, void *sink) {
  piece(sink, tails->seen, tails->steps * tails->rows * sizeof *tails->seen);
  piece(sink, tails->start, rows_of_output(tails->program) * tails->paths * sizeof *tails->start);
}

/* ---- what is seen ---- */

/* Of the terms x y, or x where y is NULL. */
static Seen see(const double *x, const double *y, size_t n) {
  double top[LARGEST] = {0}, sum = 0, sizes = 0;
  for (size_t i = 0; i < n; i++) {
    double term = y ? x[i] * y[i] : x[i], size = fabs(term);
    sum += term;
    sizes += size;
    if (!(size > top[LARGEST - 1])) continue;
    int k = LARGEST - 1;
    for (; k > 0 && top[k - 1] < size; k--) top[k] = top[k - 1];
    top[k] = size;
  }
  Seen seen = {.low = NAN, .mean = sum / (double)n, .size = sizes / (double)n};
  if (n < FEWEST_TERMS || !(top[LARGEST - 1] > 0) || !isfinite(top[0])) return seen;
  seen.low = log(top[LARGEST - 1]);
  for (int k = 0; k < LARGEST - 1; k++) seen.rise += log(top[k]) - seen.low;
  return seen;
}

static const double *row_of(const Machine *m, View x, size_t rows, size_t r) {
  return tape_data(m->tape, view_rows(x, serving(x.rows, rows, r), 1));
}

/* Of each row with each output's weights; of f itself what it has gained since the start, as that
 * is what there is of it at infinite width. */
static void see_outputs(Tails *tails, Seen *now, const Machine *m, const Op *op, View x) {
  View w = boundary_rows(m, op->matrix);
  bool gains = op->dst == m->p->output;
  double *term = tails->start + rows_of_output(m->p) * tails->paths;
  for (size_t i = 0; i < x.rows * w.rows; i++) {
    const double *a = row_of(m, x, x.rows, i / w.rows), *b = row_of(m, w, w.rows, i % w.rows);
    double *start = gains ? tails->start + i * tails->paths : NULL;
    for (size_t k = 0; k < x.cols; k++) term[k] = a[k] * b[k];
    if (gains && m->t == 0) memcpy(start, term, x.cols * sizeof *term);
    for (size_t k = 0; gains && k < x.cols; k++) term[k] -= start[k];
    now[i] = see(term, NULL, x.cols);
  }
}

void tails_see(Tails *tails, const Machine *m, int op) {
  const Op *o = &tails->program->ops[op];
  if (!is_average(tails->program, o) || tape_failed(m->tape)) return;
  Seen *now = tails->seen + (size_t)m->t * tails->rows + tails->first[op];
  View x = m->value[o->src[0]], y = o->src_count > 1 ? m->value[o->src[1]] : NO_VIEW;
  if (o->kind == OP_AVERAGE) {
    size_t rows = rows_of(tails->program, o->dst);
    for (size_t r = 0; r < rows; r++)
      *now++ = see(row_of(m, x, rows, r), y.slab >= 0 ? row_of(m, y, rows, r) : NULL, x.cols);
    return;
  }
  if (reads(tails->program, o)) {
    see_outputs(tails, now, m, o, x);
    return;
  }
  int sides = o->kind != OP_MOMENT || o->src[0] == o->src[1] ? 1 : 2;
  for (int side = 0; side < sides; side++) {
    View z = side ? y : x;
    for (size_t r = 0; r < z.rows; r++) {
      const double *row = row_of(m, z, z.rows, r);
      *now++ = see(row, row, z.cols);
    }
  }
}

/* ---- what follows ---- */

/* Beyond which growth a tail is heavy: that of the square of a normal number is 2, of its
 * exponential about 2.5 to 3. Then the scatter of replicates has no variance itself that a few of
 * them would show. */
static const double HEAVY = 2.4;

/* Terms that are not this heavy are left to the scatter where replicates agree to so small a part
 * of what they may be off by: the average is then not as free as its terms. */
static const double HEAVIER = 4, FREE = 0.1;

/* The part of an average that it may be off by, beyond which that is a guess. */
static const double GUESS = 0.25;

/* Terms in the tail, from what all runs saw: exp(low + (slope (z - z_0) + growth log(z / z_0)) / 2)
 * at the quantile z. Terms that are powers or exponentials of a normal number lie on either side.
 */
typedef struct Tail {
  double low, slope, growth, z0;
} Tail;

static double term_at(const Tail *tail, double z) {
  return exp(tail->low + (tail->slope * (z - tail->z0) + tail->growth * log(z / tail->z0)) / 2);
}

/* <(term - term at z)^2> beyond z, where one term of the sample stands for all. */
static double missed(const Tail *tail, double z) {
  enum { PARTS = 400 };
  double far = 12 + 2 * tail->slope, width = far / PARTS, least = term_at(tail, z), sum = 0;
  for (int k = 0; k < PARTS; k++) {
    double at = z + (k + 0.5) * width, more = term_at(tail, at) - least;
    sum += width * gsl_ran_ugaussian_pdf(at) * more * more;
  }
  return sum;
}

static double quantile(double rank, double count) {
  return gsl_cdf_ugaussian_Qinv((rank - 0.5) / count);
}

/* From row i of all runs. */
static Tail tail_of(Tails *const *runs, int count, size_t paths, size_t i) {
  Tail tail = {.z0 = quantile(LARGEST, (double)paths)};
  double rise = 0, steps = 0, logs = 0;
  for (int j = 0; j < count; j++) {
    tail.low += runs[j]->seen[i].low / count;
    rise += runs[j]->seen[i].rise / count;
  }
  for (int k = 1; k < LARGEST; k++) {
    double z = quantile(k, (double)paths);
    steps += z - tail.z0;
    logs += log(z / tail.z0);
  }
  tail.slope = rise / steps;
  tail.growth = rise / logs;
  return tail;
}

/* The root mean square of the replicates about their mean. */
static double scatter_of(Tails *const *runs, int count, size_t i) {
  double mean = 0, squares = 0;
  for (int j = 0; j < count; j++) mean += runs[j]->seen[i].mean / count;
  for (int j = 0; j < count; j++) squares += pow(runs[j]->seen[i].mean - mean, 2);
  return sqrt(squares / (count * (count - 1.0)));
}

/* Of row i of all steps; whether it is heavy. */
static bool learn(Lean *lean, Tails *const *runs, int count, size_t paths, size_t i) {
  for (int j = 0; j < count; j++)
    if (isnan(runs[j]->seen[i].low)) return false;
  Tail tail = tail_of(runs, count, paths, i);
  double all = (double)paths * count;
  if (tail.growth < HEAVY / 2) return false;
  double deviation = sqrt(missed(&tail, quantile(1, all)) / all);
  bool bound = tail.growth < HEAVIER && scatter_of(runs, count, i) < FREE * deviation;
  if (bound) return false;
  double size = 0;
  for (int j = 0; j < count; j++) {
    lean->mean[i] += runs[j]->seen[i].mean / count;
    size += runs[j]->seen[i].size / count;
  }
  lean->guesses = lean->guesses || (tail.growth > HEAVY && deviation > GUESS * size);
  lean->growth[i] = tail.growth;
  lean->deviation[i] = deviation;
  return tail.growth > HEAVY;
}

Lean *lean_new(Tails *const *runs, int count, size_t paths) {
  size_t rows, n = runs[0]->steps * runs[0]->rows;
  bool heavy = false;
  if (count < 2 || paths < FEWEST_TERMS) return NULL;
  Lean *lean = mem_new(1, sizeof *lean);
  lean->first = number_rows(runs[0]->program, &rows);
  lean->rows = rows;
  lean->growth = mem_new(n + 1, sizeof *lean->growth);
  lean->mean = mem_new(n + 1, sizeof *lean->mean);
  lean->deviation = mem_new(n + 1, sizeof *lean->deviation);
  for (size_t i = 0; i < n; i++) heavy = learn(lean, runs, count, paths, i) || heavy;
  if (heavy) return lean;
  lean_free(lean);
  return NULL;
}

bool lean_guesses(const Lean *lean) { return lean->guesses; }

void lean_free(Lean *lean) {
  if (!lean) return;
  free(lean->first);
  free(lean->growth);
  free(lean->mean);
  free(lean->deviation);
  free(lean);
}

/* Up or down, the same at all steps. */
static double way(int number, size_t row) {
  uint64_t bits;
  if (number == 0) return 1;
  random_bits(0, random_stream(RANDOM_TAILS, (uint64_t)number, 0, 0), row, 1, &bits);
  return bits & 1 ? 1 : -1;
}

/* Away from zero. */
static void move_entry(double *entry, double by) { *entry += copysign(by, *entry); }

/* An entry <x y> by no more than the squares of both allow. */
static void add_pairs(const Lean *lean, size_t at, double sign, const Op *op, const Machine *m,
                      View out) {
  size_t group = (size_t)op->group, other = op->src[0] == op->src[1] ? 0 : out.rows * group,
         stride = tape_stride(m->tape, out);
  double *numbers = tape_data(m->tape, out);
  for (size_t a = 0; a < out.rows; a++)
    for (size_t b = 0; b < out.cols; b++)
      for (size_t g = 0; g < group; g++) {
        size_t i = at + a * group + g, k = at + other + b * group + g;
        double by = sqrt(lean->deviation[i] * lean->deviation[k]) / (double)group;
        if (lean->growth[i] + lean->growth[k] > 2 * HEAVY)
          move_entry(&numbers[a * stride + b], sign * by);
      }
}

/* The rows of an image by as much as the size of what has it. */
static void scale_rows(const Lean *lean, size_t at, double sign, const Machine *m, View out) {
  for (size_t r = 0; r < out.rows; r++) {
    double share = lean->mean[at + r] > 0 ? lean->deviation[at + r] / lean->mean[at + r] : 0,
           size = sqrt(fmax(0, 1 + sign * share)), *row = tape_data(m->tape, view_rows(out, r, 1));
    for (size_t i = 0; lean->growth[at + r] > HEAVY && i < out.cols; i++) row[i] *= size;
  }
}

/* Outputs to one side at all times. */
static void add_outputs(const Lean *lean, size_t at, int number, size_t row, const Machine *m,
                        View out) {
  size_t stride = tape_stride(m->tape, out);
  double *numbers = tape_data(m->tape, out);
  for (size_t i = 0; i < out.rows * out.cols; i++)
    if (lean->growth[at + i] > HEAVY)
      numbers[i / out.cols * stride + i % out.cols] +=
          way(number, row + i) * lean->deviation[at + i] / m->plan.gamma;
}

void lean_add(const Lean *lean, int number, const Machine *m, int op, View out) {
  const Op *o = &m->p->ops[op];
  if (!is_average(m->p, o) || tape_failed(m->tape)) return;
  size_t at = (size_t)m->t * lean->rows + lean->first[op], stride = tape_stride(m->tape, out);
  if (reads(m->p, o)) {
    add_outputs(lean, at, number, lean->first[op], m, out);
    return;
  }
  if (o->kind == OP_MOMENT) {
    add_pairs(lean, at, way(number, lean->first[op]), o, m, out);
    return;
  }
  if (o->kind != OP_AVERAGE) {
    scale_rows(lean, at, way(number, lean->first[op]), m, out);
    return;
  }
  for (size_t r = 0; r < out.rows; r++)
    if (lean->growth[at + r] > HEAVY)
      move_entry(&tape_data(m->tape, out)[r * stride],
                 way(number, lean->first[op] + r) * fabs(o->factor) * lean->deviation[at + r]);
}
