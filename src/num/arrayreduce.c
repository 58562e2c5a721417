/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reductions and other work along one axis. An array is seen as lines along that axis: element j of
 * a line stands `stride` after element j - 1. */
#include "base/memory.h"
#include "base/work.h"
#include "num/arrayfail.h"
#include "num/arrayops.h"
#include "num/linalg.h"

#include <math.h>
#include <stdlib.h>

/* All of these leave off when somebody wants out; who calls them asks at the end. */
typedef struct Line {
  const double *data;
  size_t count, stride;
} Line;

static double at(Line x, size_t i) { return x.data[i * x.stride]; }

static double sum(Line x) {
  long double total = 0;
  for (size_t i = 0; i < x.count && work_goes_on(i); i++) total += at(x, i);
  return (double)total;
}

static double product(Line x) {
  double total = 1;
  for (size_t i = 0; i < x.count && work_goes_on(i); i++) total *= at(x, i);
  return total;
}

static double variance(Line x) {
  double mean = sum(x) / (double)x.count;
  long double total = 0;
  for (size_t i = 0; i < x.count && work_goes_on(i); i++)
    total += (long double)(at(x, i) - mean) * (at(x, i) - mean);
  return (double)(total / x.count);
}

/* m4 / m2^2 - 3. */
static double kurtosis(Line x) {
  double mean = sum(x) / (double)x.count;
  long double second = 0, fourth = 0;
  for (size_t i = 0; i < x.count && work_goes_on(i); i++) {
    long double square = (long double)(at(x, i) - mean) * (at(x, i) - mean);
    second += square;
    fourth += square * square;
  }
  return (double)(fourth * x.count / (second * second) - 3);
}

static double count_true(Line x) {
  size_t count = 0;
  for (size_t i = 0; i < x.count && work_goes_on(i); i++) count += at(x, i) != 0;
  return (double)count;
}

/* Place of the first NaN, else of the greatest sign * x. */
static size_t extreme(Line x, double sign) {
  size_t best = 0;
  for (size_t i = 0; i < x.count && work_goes_on(i); i++) {
    if (isnan(at(x, i))) return i;
    if (sign * at(x, i) > sign * at(x, best)) best = i;
  }
  return best;
}

static double reduce(Line x, Reduction reduction) {
  switch (reduction) {
  case REDUCE_SUM: return sum(x);
  case REDUCE_MEAN: return sum(x) / (double)x.count;
  case REDUCE_STD: return sqrt(variance(x));
  case REDUCE_VAR: return variance(x);
  case REDUCE_KURTOSIS: return kurtosis(x);
  case REDUCE_MIN: return at(x, extreme(x, -1));
  case REDUCE_MAX: return at(x, extreme(x, 1));
  case REDUCE_PROD: return product(x);
  case REDUCE_ANY: return count_true(x) > 0;
  case REDUCE_ALL: return count_true(x) == (double)x.count;
  case REDUCE_ARGMIN: return (double)extreme(x, -1);
  case REDUCE_ARGMAX: return (double)extreme(x, 1);
  }
  return NAN;
}

/* Of the finite elements, nan where there are none; `room` and `places` hold as many as the line.
 */
static double reduce_finite(Line x, Reduction reduction, double *room, size_t *places) {
  size_t count = 0;
  for (size_t i = 0; i < x.count && work_goes_on(i); i++) {
    if (!isfinite(at(x, i))) continue;
    places[count] = i;
    room[count++] = at(x, i);
  }
  if (!count && reduction != REDUCE_SUM && reduction != REDUCE_PROD) return NAN;
  double outcome = reduce((Line){room, count, 1}, reduction);
  bool place = reduction == REDUCE_ARGMIN || reduction == REDUCE_ARGMAX;
  return place ? (double)places[(size_t)outcome] : outcome;
}

static bool reducible(const Array *a, size_t count, Reduction reduction, const char **why) {
  static const char *const needs_one[] = {
      [REDUCE_MEAN] = "mean",     [REDUCE_STD] = "std",          [REDUCE_VAR] = "var",
      [REDUCE_MIN] = "min",       [REDUCE_MAX] = "max",          [REDUCE_ARGMIN] = "argmin",
      [REDUCE_ARGMAX] = "argmax", [REDUCE_KURTOSIS] = "kurtosis"};
  if (reduction == REDUCE_ANY || reduction == REDUCE_ALL) return array_decided(a, why);
  if (count || !needs_one[reduction]) return true;
  array_fail(why, STATUS_SCRIPT, "%s of nothing: the array is empty", needs_one[reduction]);
  return false;
}

Array *array_reduce(const Array *a, Reduction reduction, const char **why) {
  if (!reducible(a, a->size, reduction, why)) return NULL;
  Array *out = array_fresh(0, NULL, why);
  if (out) out->data[0] = reduce((Line){a->data, a->size, 1}, reduction);
  return array_whole(out, why);
}

/* The lines of an array along an axis: line k begins at offset(k). */
typedef struct Lines {
  size_t count, length, stride;
} Lines;

static Lines lines_along(const Array *a, int axis) {
  Lines lines = {1, a->shape[axis], 1};
  for (int i = 0; i < a->rank; i++) {
    if (i != axis) lines.count *= a->shape[i];
    if (i > axis) lines.stride *= a->shape[i];
  }
  return lines;
}

static size_t offset(Lines lines, size_t k) {
  return k / lines.stride * lines.stride * lines.length + k % lines.stride;
}

Array *array_reduce_axis(const Array *a, Reduction reduction, double axis, const char **why) {
  int along = array_axis(a, axis, why);
  if (along < 0 || !reducible(a, a->shape[along], reduction, why)) return NULL;
  size_t shape[ARRAY_MAX_RANK];
  int rank = 0;
  for (int i = 0; i < a->rank; i++)
    if (i != along) shape[rank++] = a->shape[i];
  Array *out = array_fresh(rank, shape, why);
  if (!out) return NULL;
  Lines lines = lines_along(a, along);
  for (size_t k = 0; k < out->size && !work_stopped(); k++)
    out->data[k] =
        reduce((Line){a->data + offset(lines, k), lines.length, lines.stride}, reduction);
  return array_whole(out, why);
}

Array *array_reduce_finite(const Array *a, Reduction reduction, const double *axis,
                           const char **why) {
  int along = axis ? array_axis(a, *axis, why) : 0, rank = 0;
  size_t shape[ARRAY_MAX_RANK];
  if (along < 0) return NULL;
  for (int i = 0; axis && i < a->rank; i++)
    if (i != along) shape[rank++] = a->shape[i];
  Lines lines = axis ? lines_along(a, along) : (Lines){1, a->size, 1};
  double *room = array_scratch(lines.length + 1, sizeof *room, why);
  size_t *places = room ? array_scratch(lines.length + 1, sizeof *places, why) : NULL;
  Array *out = places ? array_fresh(rank, shape, why) : NULL;
  for (size_t k = 0; out && k < out->size && !work_stopped(); k++)
    out->data[k] = reduce_finite((Line){a->data + offset(lines, k), lines.length, lines.stride},
                                 reduction, room, places);
  free(room);
  free(places);
  return array_whole(out, why);
}

/* An element takes the time of so many numbers to find its place. */
static const double SORT_NUMBERS = 10;

typedef struct Ranked {
  double value;
  size_t place;
} Ranked;

static int by_value(const void *a, const void *b) {
  const Ranked *x = a, *y = b;
  if (isnan(x->value) != isnan(y->value)) return isnan(x->value) ? 1 : -1;
  if (x->value != y->value && !isnan(x->value)) return x->value < y->value ? -1 : 1;
  return x->place < y->place ? -1 : x->place > y->place;
}

/* The sorted halves [0, middle) and [middle, count) of `from`, merged into `to`. */
static void merge(const Ranked *from, size_t middle, size_t count, Ranked *to) {
  size_t a = 0, b = middle;
  for (size_t i = 0; i < count && work_goes_on(i); i++)
    to[i] = b == count || (a < middle && by_value(&from[a], &from[b]) < 0) ? from[a++] : from[b++];
}

/* By the C library as far as it takes no time, then by merging. `room` is for as many. The order is
 * the same in any way, since no two are equal. Gives where they are. */
static Ranked *sort_line(Ranked *line, Ranked *room, size_t count) {
  for (size_t i = 0; i < count && work_goes_on(i); i += WORK_BLOCK)
    qsort(line + i, count - i < WORK_BLOCK ? count - i : WORK_BLOCK, sizeof *line, by_value);
  for (size_t half = WORK_BLOCK; half < count && !work_stopped(); half *= 2) {
    for (size_t i = 0; i < count; i += 2 * half) {
      size_t rest = count - i, whole = rest < 2 * half ? rest : 2 * half;
      merge(line + i, half < whole ? half : whole, whole, room + i);
    }
    Ranked *sorted = room;
    room = line;
    line = sorted;
  }
  return line;
}

/* Sorts the lines into `out`; `ranked` and `room` have room for one. */
static void sort_lines(const Array *a, Lines lines, bool places, Ranked *ranked, Ranked *room,
                       Array *out) {
  for (size_t k = 0; k < lines.count && !work_stopped(); k++) {
    size_t from = offset(lines, k);
    for (size_t i = 0; i < lines.length && work_goes_on(i); i++)
      ranked[i] = (Ranked){a->data[from + i * lines.stride], i};
    const Ranked *sorted = sort_line(ranked, room, lines.length);
    for (size_t i = 0; i < lines.length && work_goes_on(i); i++)
      out->data[from + i * lines.stride] = places ? (double)sorted[i].place : sorted[i].value;
  }
}

static Array *sort_along(const Array *a, double axis, bool places, const char **why) {
  int along = array_axis(a, axis, why);
  bool affordable = along >= 0 && array_affords(SORT_NUMBERS * (double)a->size, why);
  Array *out = affordable ? array_fresh(a->rank, a->shape, why) : NULL;
  if (!out || !out->size) return out;
  Lines lines = lines_along(a, along);
  size_t merged = lines.length > WORK_BLOCK ? lines.length : 0;
  Ranked *ranked = array_scratch(lines.length, sizeof *ranked, why),
         *room = ranked ? array_scratch(merged, sizeof *room, why) : NULL;
  if (room) {
    sort_lines(a, lines, places, ranked, room, out);
    out = array_whole(out, why);
  } else {
    array_drop(out);
    out = NULL;
  }
  free(ranked);
  free(room);
  return out;
}

Array *array_sort(const Array *a, double axis, const char **why) {
  return sort_along(a, axis, false, why);
}

Array *array_argsort(const Array *a, double axis, const char **why) {
  return sort_along(a, axis, true, why);
}

Array *array_cumsum(const Array *a, double axis, const char **why) {
  int along = array_axis(a, axis, why);
  Array *out = along < 0 ? NULL : array_fresh(a->rank, a->shape, why);
  if (!out || !out->size) return out;
  Lines lines = lines_along(a, along);
  for (size_t k = 0; k < lines.count && !work_stopped(); k++) {
    long double total = 0;
    for (size_t i = 0, p = offset(lines, k); i < lines.length && work_goes_on(i);
         i++, p += lines.stride)
      out->data[p] = (double)(total += a->data[p]);
  }
  return array_whole(out, why);
}

Array *array_diff(const Array *a, double axis, const char **why) {
  int along = array_axis(a, axis, why);
  if (along < 0) return NULL;
  size_t shape[ARRAY_MAX_RANK];
  for (int i = 0; i < a->rank; i++) shape[i] = a->shape[i];
  if (shape[along]) shape[along]--;
  Array *out = array_fresh(a->rank, shape, why);
  if (!out || !out->size) return out;
  Lines from = lines_along(a, along), to = lines_along(out, along);
  for (size_t k = 0; k < to.count && !work_stopped(); k++) {
    const double *x = a->data + offset(from, k);
    double *y = out->data + offset(to, k);
    for (size_t i = 0; i < to.length && work_goes_on(i); i++)
      y[i * to.stride] = x[(i + 1) * from.stride] - x[i * from.stride];
  }
  return array_whole(out, why);
}

static double interpolate(double x, const double *xs, const double *ys, size_t count) {
  if (isnan(x)) return x;
  if (x <= xs[0]) return ys[0];
  if (x >= xs[count - 1]) return ys[count - 1];
  size_t low = 0, high = count - 1;
  while (high - low > 1) {
    size_t middle = low + (high - low) / 2;
    *(xs[middle] <= x ? &low : &high) = middle;
  }
  return ys[low] + (x - xs[low]) / (xs[high] - xs[low]) * (ys[high] - ys[low]);
}

Array *array_interp(const Array *x, const Array *xs, const Array *ys, const char **why) {
  char text[2][ARRAY_SHAPE_TEXT];
  if (xs->rank != 1 || ys->rank != 1 || xs->size != ys->size || !xs->size)
    return array_fail(why, STATUS_SCRIPT,
                      "interp takes two vectors of one length as its points, not shapes %s and %s",
                      array_shape_text(xs, text[0]), array_shape_text(ys, text[1]));
  for (size_t i = 1; i < xs->size && work_goes_on(i); i++)
    if (!(xs->data[i - 1] < xs->data[i]))
      return array_fail(why, STATUS_SCRIPT, "the points of interp do not ascend at index %zu", i);
  Array *out = array_fresh(x->rank, x->shape, why);
  if (!out) return NULL;
  for (size_t i = 0; i < x->size && work_goes_on(i); i++)
    out->data[i] = interpolate(x->data[i], xs->data, ys->data, xs->size);
  return array_whole(out, why);
}

Array *array_softmax(const Array *a, bool causal, const char **why) {
  size_t n = a->rank ? a->shape[a->rank - 1] : 0;
  if (!a->rank) return array_fail(why, STATUS_SCRIPT, "softmax takes an array, not a number");
  if (causal && (a->rank < 2 || a->shape[a->rank - 2] != n)) {
    char text[ARRAY_SHAPE_TEXT];
    return array_fail(why, STATUS_SCRIPT,
                      "a causal softmax takes square matrices, not an array of shape %s",
                      array_shape_text(a, text));
  }
  Array *out = array_fresh(a->rank, a->shape, why);
  for (size_t i = 0; out && i < a->size && !work_stopped(); i += n)
    softmax(n, causal ? i / n % n + 1 : n, a->data + i, out->data + i);
  return array_whole(out, why);
}

/* Between neighbours of the sorted numbers, as the graph of the order statistics has it. */
static double quantile(const Array *sorted, double q) {
  double place = q * (double)(sorted->size - 1);
  size_t low = (size_t)place, high = low + (low + 1 < sorted->size);
  if (isnan(sorted->data[sorted->size - 1])) return NAN;
  return sorted->data[low] + (place - (double)low) * (sorted->data[high] - sorted->data[low]);
}

Array *array_quantile(const Array *a, const Array *q, const char **why) {
  if (!a->size) return array_fail(why, STATUS_SCRIPT, "quantile of nothing: the array is empty");
  for (size_t i = 0; i < q->size && work_goes_on(i); i++)
    if (!(q->data[i] >= 0 && q->data[i] <= 1))
      return array_fail(why, STATUS_SCRIPT, "a quantile lies between 0 and 1, not at %g",
                        q->data[i]);
  Array *flat = array_reshape(a, 1, (const double[]){-1}, why);
  Array *sorted = flat ? array_sort(flat, 0, why) : NULL;
  Array *out = sorted ? array_fresh(q->rank, q->shape, why) : NULL;
  for (size_t i = 0; out && i < out->size && work_goes_on(i); i++)
    out->data[i] = quantile(sorted, q->data[i]);
  array_drop(flat);
  array_drop(sorted);
  return array_whole(out, why);
}

Array *array_histogram(const Array *a, size_t bins, double low, double high, const char **why) {
  if (!(low < high) || !isfinite(high - low))
    return array_fail(why, STATUS_SCRIPT,
                      "a histogram goes from a low to a high end, not from %g to %g", low, high);
  Array *out = array_fresh(2, (const size_t[]){bins, 2}, why);
  if (!out) return NULL;
  double width = (high - low) / (double)bins, weight = 1 / (width * (double)a->size);
  for (size_t i = 0; i < bins && work_goes_on(i); i++)
    out->data[2 * i] = low + width * ((double)i + 0.5);
  for (size_t i = 0; i < a->size && work_goes_on(i); i++) {
    double place = floor((a->data[i] - low) / width);
    if (a->data[i] == high) place = (double)bins - 1;
    if (place >= 0 && place < (double)bins) out->data[2 * (size_t)place + 1] += weight;
  }
  return array_whole(out, why);
}
