/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What networks do in the mean, to order 1/N, where neurons hear of others through averages alone.
 *
 * The averages X of N neurons are those of infinitely many at the same X, and e(X), the mean over
 * the N of what they differ by there. With F(a) what an observable is when a is added to the
 * averages as they are made, F(e(X)) is what it is in the network, and to second order in 1/sqrt(N)
 *
 *     N (E F - F(0)) = F' <dO_i/dX Y_i> + 1/2 F'' : C,     C = Cov O_i = N Cov e
 *
 * for the numbers O_i of a neuron that X is the mean of, and its influences Y_i on X: it hears of
 * its own (tangents.c). F is the tape once more, with a added; F' and F'' are differences, F''
 * along the eigenvectors of C for those averages that observables do not just follow. */
#include "base/memory.h"
#include "machine/block.h"
#include "num/linalg.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct Replay {
  Tape *tape;
  const Observable *observables;
  size_t count;
  const volatile sig_atomic_t *stop;
  bool *written;  /* [slab]: by operations; what others hold is given */
  double *middle; /* [count]: F(0) */
} Replay;

/* ---- once more ---- */

/* A tape with the blocks of another, and what is given in them. */
static Tape *begin(const Replay *r) {
  const Tape *tape = r->tape;
  Tape *copy = tape_new(tape->spaces, tape->space_count, tape->weights, false, true);
  for (int i = 0; i < tape->slab_count && !copy->failed; i++) {
    const Slab *slab = &tape->slabs[i];
    View view = slab->space == TABLE ? tape_table(copy, slab->rows, slab->cols, slab->constant)
                                     : tape_wide(copy, slab->space, slab->rows, slab->constant);
    if (copy->failed || r->written[i]) continue;
    memcpy(tape_data(copy, view), slab->value, slab->rows * slab->stride * sizeof(double));
    copy->slabs[i].blank = false;
  }
  return copy;
}

/* Whether an operation can be done again. */
static bool repeats(const TapeOp *op) { return op->kind != CHOLESKY && op->kind != SOLVE; }

static void repeat(Tape *copy, const TapeOp *op) {
  View a = op->arg[0], b = op->arg[1];
  switch (op->kind) {
  case PRODUCT: tape_product(copy, op->out, op->alpha, a, b, op->which); break;
  case AVERAGE: tape_average(copy, op->out, op->alpha, a, b, op->group); break;
  case AVERAGE_ROWS: tape_average_rows(copy, op->out, op->alpha, a, b); break;
  case COPY: tape_copy(copy, op->out, op->alpha, a); break;
  case MAP: tape_map(copy, op->out, op->map, op->args); break;
  case RESHAPE: tape_reshape(copy, op->out, a); break;
  case LSE: tape_lse(copy, op->out, a); break;
  case SOFTMAX: tape_softmax(copy, op->out, a, (size_t)op->by); break;
  default: tape_shift(copy, op->out, a, op->by);
  }
}

static double value_of(const Tape *tape, const Observable *o) {
  double sum = 0;
  for (const Seed *s = o->seeds; s < o->seeds + o->count; s++)
    sum += s->weight * tape_data(tape, s->table)[s->row * tape_stride(tape, s->table) + s->col];
  return sum;
}

/* F(by a) [count], of numbers a (NULL: 0). False if memory ran out, or *stop became nonzero. */
static bool replay(const Replay *r, double by, const double *a, double *F) {
  const Tape *tape = r->tape;
  const size_t *first = tape->tangents->first;
  Tape *copy = begin(r);
  bool stopped = false;
  for (int i = 0; i < tape->op_count && !copy->failed && !stopped; i++) {
    View out = tape->ops[i].out;
    repeat(copy, &tape->ops[i]);
    for (size_t x = first[i]; x < first[i + 1] && a && !copy->failed; x++) {
      size_t k = x - first[i];
      tape_data(copy, out)[k / out.cols * tape_stride(copy, out) + k % out.cols] += by * a[x];
    }
    stopped = r->stop && *r->stop;
  }
  bool fine = !copy->failed && !stopped;
  tape_count(tape, tape_flops(copy));
  for (size_t m = 0; m < r->count && fine; m++) F[m] = value_of(copy, &r->observables[m]);
  tape_free(copy);
  return fine;
}

/* ---- differences ---- */

/* Of the averages, in units of what they scatter by: beyond it is the fourth order, below it
 * rounding. */
static const double STEP = 2e-3;

/* The first or second derivative of F along a [count], and how much the lower order differs; or of
 * the lower order alone, without that. */
static bool differentiate(const Replay *r, int order, bool rough, const double *a, double *out,
                          double *doubt) {
  size_t n = r->count;
  double *up = mem_block(2 * n + 1), *down = up ? up + n : NULL;
  bool fine = up != NULL;
  for (int k = rough ? 1 : 2; k >= 1 && fine; k--) {
    double h = k * STEP;
    fine = replay(r, h, a, up) && replay(r, -h, a, down);
    for (size_t m = 0; m < n && fine; m++) {
      double near = order == 1 ? (up[m] - down[m]) / (2 * h)
                               : (up[m] - r->middle[m] + (down[m] - r->middle[m])) / (h * h);
      double better = k == 2 || rough ? near : (4 * near - out[m]) / 3;
      doubt[m] = fabs(better - near) + DBL_EPSILON * fabs(r->middle[m]) / pow(h, order);
      out[m] = better;
    }
  }
  free(up);
  return fine;
}

/* ---- what matters ---- */

/* Which numbers matter for more than the value of what observables are a sum of: those that neurons
 * hear of, and those of observables that bend where all others move at once. */
static bool find_bent(const Replay *r, bool *bent) {
  static const double STRAIGHT = 1e-6;
  const Tape *tape = r->tape;
  const Tangents *t = tape->tangents;
  size_t n = r->count, chosen = 0;
  double *a = mem_block(t->numbers + 2 * n + 1), *out = a ? a + t->numbers : NULL;
  Observable *curved = mem_new(n + 1, sizeof *curved);
  bool *needed = mem_new((size_t)tape->op_count + 1, sizeof *needed), fine = a != NULL;
  memset(bent, 0, t->numbers * sizeof *bent);
  for (size_t d = 0; d < t->directions; d++) bent[t->number[d]] = true;
  for (size_t x = 0; x < t->numbers && fine; x++)
    a[x] = bent[x] ? 0 : 1 + 0.5 * sin((double)x); /* no two numbers alike */
  fine = fine && differentiate(r, 2, true, a, out, out + n);
  for (size_t m = 0; m < n && fine; m++)
    if (fabs(out[m]) > STRAIGHT * (1 + fabs(r->middle[m]))) curved[chosen++] = r->observables[m];
  if (fine) tangents_reach(tape, curved, chosen, needed);
  for (int i = 0; i < tape->op_count; i++)
    for (size_t x = t->first[i]; x < t->first[i + 1] && needed[i]; x++) bent[x] = true;
  free(a);
  free(curved);
  free(needed);
  return fine;
}

/* C of n numbers in units of their own scatter, of which it has the squares on its diagonal; 1 of
 * what does not scatter. */
static void normalize(size_t n, double *C, double *unit) {
  for (size_t i = 0; i < n; i++) unit[i] = C[i * n + i] > 0 ? sqrt(C[i * n + i]) : 1;
  for (size_t i = 0; i < n * n; i++) C[i] /= unit[i / n] * unit[i % n];
}

/* What add_bends takes: two squares, and twice that while one of them gives its root. */
static double bends_bytes(const Replay *r, size_t n) {
  double own = (double)n, rest = (double)r->tape->tangents->numbers + 2 * (double)r->count;
  return 8 * (4 * own * own + 8 * own + rest);
}

/* Adds 1/2 F'' : C for n of the numbers. Directions of less than LEAST of the largest are left out:
 * those of the decade above tell what that may be. Of SMALL ones the lower order does. */
static bool add_bends(const Replay *r, const size_t *number, size_t n, double *shift,
                      double *doubt) {
  static const double LEAST = 1e-5, WEAK = 1e-4, SMALL = 0.1;
  size_t all = r->tape->tangents->numbers, m = r->count;
  double *C = mem_block(2 * n * n + n + all + 2 * m + 1);
  if (!C) return false;
  double *root = C + n * n, *unit = root + n * n, *a = unit + n, *out = a + all,
         *most = mem_new(n + 1, sizeof *most), top = 0;
  bool fine = tangents_scatter(r->tape, number, n, C);
  if (fine) normalize(n, C, unit);
  int rank = fine ? mat_root(n, C, root) : 0;
  fine = fine && rank >= 0;
  for (int k = 0; k < rank; k++) {
    for (size_t i = 0; i < n; i++) most[k] += root[i * n + (size_t)k] * root[i * n + (size_t)k];
    top = fmax(top, most[k]);
  }
  for (int k = 0; k < rank && fine; k++) {
    if (most[k] < LEAST * top) continue;
    for (size_t i = 0; i < n; i++) a[number[i]] = unit[i] * root[i * n + (size_t)k];
    fine = differentiate(r, 2, most[k] < SMALL * top, a, out, out + m);
    for (size_t i = 0; i < m && fine; i++) {
      shift[i] += out[i] / 2;
      doubt[i] += out[m + i] / 2 + (most[k] < WEAK * top ? fabs(out[i]) / 2 : 0);
    }
  }
  free(most);
  free(C);
  return fine;
}

/* ---- the whole ---- */

static bool can_replay(const Tape *tape) {
  bool can = tape->tangents != NULL;
  double bytes = 0;
  for (int i = 0; i < tape->op_count && can; i++) can = repeats(&tape->ops[i]);
  for (int i = 0; i < tape->slab_count; i++)
    bytes += 8 * (double)tape->slabs[i].rows * (double)tape->slabs[i].stride;
  return can && mem_fits(bytes);
}

/* Whether the tape once more is what it was. */
static bool repeats_itself(const Replay *r) {
  static const double SAME = 1e-9;
  for (size_t m = 0; m < r->count; m++) {
    double was = value_of(r->tape, &r->observables[m]);
    if (!(fabs(r->middle[m] - was) <= SAME * (1 + fabs(was)))) return false;
  }
  return true;
}

/* Not *done where there is no room for the covariances of what bends. */
static bool expand(const Replay *r, double *shift, double *doubt, bool *done) {
  const Tangents *t = r->tape->tangents;
  double *own = mem_block(t->numbers + 1);
  bool *bent = mem_new(t->numbers + 1, sizeof *bent);
  size_t *number = mem_new(t->numbers + 1, sizeof *number), n = 0;
  bool fine = own && tangents_own(r->tape, r->stop, own) &&
              differentiate(r, 1, false, own, shift, doubt) && find_bent(r, bent);
  for (size_t x = 0; x < t->numbers; x++)
    if (bent[x]) number[n++] = x;
  *done = fine && mem_fits(bends_bytes(r, n));
  fine = fine && (!*done || add_bends(r, number, n, shift, doubt));
  free(own);
  free(bent);
  free(number);
  return fine;
}

bool tape_mean_shift(Tape *tape, const Observable *observables, size_t count,
                     const volatile sig_atomic_t *stop, double *shift, double *doubt, bool *done) {
  *done = false;
  if (!tape_read_forward(tape, NULL, 0, SIZE_MAX, stop)) return false;
  if (!can_replay(tape)) return true;
  if (!tangents_widen(tape, observables, count)) return false;
  Replay r = {tape,
              observables,
              count,
              stop,
              mem_new((size_t)tape->slab_count + 1, sizeof(bool)),
              mem_block(count + 1)};
  for (int i = 0; i < tape->op_count; i++) r.written[tape->ops[i].out.slab] = true;
  bool fine = r.middle && replay(&r, 0, NULL, r.middle);
  if (fine && repeats_itself(&r)) fine = expand(&r, shift, doubt, done);
  free(r.written);
  free(r.middle);
  return fine;
}
