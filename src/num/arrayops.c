/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "num/arrayops.h"
#include "base/memory.h"
#include "base/work.h"
#include "num/arrayfail.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local struct {
  Status status;
  char text[512];
} failure;

Status array_failure(void) { return failure.status; }

Array *array_fail(const char **why, Status status, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(failure.text, sizeof failure.text, format, args);
  va_end(args);
  failure.status = status;
  *why = failure.text;
  return NULL;
}

bool array_stops(const char **why) {
  if (!work_stopped()) return false;
  array_fail(why, STATUS_INTERRUPTED, "interrupted");
  return true;
}

Array *array_whole(Array *array, const char **why) {
  if (!array || !array_stops(why)) return array;
  array_drop(array);
  return NULL;
}

static char *shape_text(int rank, const size_t *shape, char text[ARRAY_SHAPE_TEXT]) {
  int used = sprintf(text, "[");
  for (int i = 0; i < rank; i++) used += sprintf(text + used, i ? ", %zu" : "%zu", shape[i]);
  sprintf(text + used, "]");
  return text;
}

char *array_shape_text(const Array *a, char text[ARRAY_SHAPE_TEXT]) {
  return shape_text(a->rank, a->shape, text);
}

bool array_affords(double numbers, const char **why) {
  if (work_spend(numbers)) return true;
  array_fail(why, STATUS_LIMIT, "%g numbers are too many for a check", numbers);
  return false;
}

Array *array_fresh(int rank, const size_t *shape, const char **why) {
  char text[ARRAY_SHAPE_TEXT];
  if (array_stops(why)) return NULL;
  if (rank > ARRAY_MAX_RANK)
    return array_fail(why, STATUS_SCRIPT, "an array of %d axes (at most %d are possible)", rank,
                      ARRAY_MAX_RANK);
  double bytes = sizeof(double);
  for (int i = 0; i < rank; i++) bytes *= (double)shape[i];
  Array *fresh = NULL;
  bool fits = mem_fits(bytes);
  if (fits && !array_affords(bytes / sizeof(double), why)) return NULL;
  if (fits) fresh = array_new(rank, shape);
  if (fresh) return fresh;
  char *refusal = mem_refusal(bytes);
  array_fail(why, STATUS_LIMIT, "an array of shape %s: %s", shape_text(rank, shape, text), refusal);
  free(refusal);
  return NULL;
}

Array *array_starve(double bytes, const char **why) {
  if (array_stops(why)) return NULL;
  char *refusal = mem_refusal(bytes);
  array_fail(why, STATUS_LIMIT, "%s", refusal);
  free(refusal);
  return NULL;
}

void *array_scratch(size_t count, size_t size, const char **why) {
  double bytes = (double)count * (double)size;
  void *block = mem_fits(bytes) ? mem_try(count, size) : NULL;
  return block ? block : (void *)array_starve(bytes, why);
}

/* True when the value is a whole number that indexes and counts can hold. */
static bool is_whole(double value) { return trunc(value) == value && fabs(value) < 1e15; }

int array_axis(const Array *a, double axis, const char **why) {
  char text[ARRAY_SHAPE_TEXT];
  double place = axis < 0 ? axis + a->rank : axis;
  if (is_whole(axis) && place >= 0 && place < a->rank) return (int)place;
  array_fail(why, STATUS_SCRIPT, "an array of shape %s has no axis %g", array_shape_text(a, text),
             axis);
  return -1;
}

static Array *mismatch(const Array *a, const Array *b, const char *what, const char **why) {
  char text[2][ARRAY_SHAPE_TEXT];
  return array_fail(why, STATUS_SCRIPT, "shapes %s and %s %s", array_shape_text(a, text[0]),
                    array_shape_text(b, text[1]), what);
}

/* Elementwise. Operands are walked together through the joint shape: where an operand is repeated,
 * its stride is 0. */

typedef struct Operand {
  size_t at, stride[ARRAY_MAX_RANK];
} Operand;

typedef struct Walk {
  int rank, count;
  size_t shape[ARRAY_MAX_RANK], index[ARRAY_MAX_RANK];
  Operand operands[3];
} Walk;

static void walk_on(Walk *w) {
  for (int axis = w->rank - 1; axis >= 0; axis--) {
    bool more = ++w->index[axis] < w->shape[axis];
    for (int k = 0; k < w->count; k++) {
      Operand *o = &w->operands[k];
      o->at += o->stride[axis];
      if (!more) o->at -= o->stride[axis] * w->shape[axis];
    }
    if (more) return;
    w->index[axis] = 0;
  }
}

static bool broadcastable(const Array *a, const Array *b) {
  for (int i = 1; i <= a->rank && i <= b->rank; i++) {
    size_t n = a->shape[a->rank - i], m = b->shape[b->rank - i];
    if (n != m && n != 1 && m != 1) return false;
  }
  return true;
}

static void widen(Walk *w, const Array *a) {
  for (int i = 0; i < a->rank; i++)
    if (a->shape[i] != 1) w->shape[w->rank - a->rank + i] = a->shape[i];
}

static void set_strides(Walk *w, Operand *o, const Array *a) {
  size_t stride = 1;
  for (int i = a->rank - 1; i >= 0; i--) {
    o->stride[w->rank - a->rank + i] = a->shape[i] == 1 ? 0 : stride;
    stride *= a->shape[i];
  }
}

/* Prepares the walk and gives the array to fill. */
static Array *walk_begin(Walk *w, int count, const Array *const *arrays, const char **why) {
  *w = (Walk){.count = count};
  for (int k = 0; k < count; k++) {
    for (int j = 0; j < k; j++)
      if (!broadcastable(arrays[j], arrays[k]))
        return mismatch(arrays[j], arrays[k], "do not broadcast", why);
    if (arrays[k]->rank > w->rank) w->rank = arrays[k]->rank;
  }
  for (int i = 0; i < w->rank; i++) w->shape[i] = 1;
  for (int k = 0; k < count; k++) widen(w, arrays[k]);
  for (int k = 0; k < count; k++) set_strides(w, &w->operands[k], arrays[k]);
  return array_fresh(w->rank, w->shape, why);
}

Array *array_map(const Array *a, double (*f)(double), const char **why) {
  Array *out = array_fresh(a->rank, a->shape, why);
  if (!out) return NULL;
  for (size_t i = 0; i < out->size && work_goes_on(i); i++) out->data[i] = f(a->data[i]);
  return array_whole(out, why);
}

Array *array_zip(const Array *a, const Array *b, double (*f)(double, double), const char **why) {
  Walk w;
  Array *out = walk_begin(&w, 2, (const Array *const[]){a, b}, why);
  if (!out) return NULL;
  for (size_t i = 0; i < out->size && work_goes_on(i); i++, walk_on(&w))
    out->data[i] = f(a->data[w.operands[0].at], b->data[w.operands[1].at]);
  return array_whole(out, why);
}

bool array_decided(const Array *a, const char **why) {
  for (size_t i = 0; i < a->size && work_goes_on(i); i++)
    if (isnan(a->data[i])) {
      array_fail(why, STATUS_NUMERICS, "nan is neither true nor false");
      return false;
    }
  return !array_stops(why);
}

Array *array_truth(const Array *a, const char **why) {
  Array *out = array_decided(a, why) ? array_fresh(a->rank, a->shape, why) : NULL;
  for (size_t i = 0; out && i < out->size && work_goes_on(i); i++) out->data[i] = a->data[i] != 0;
  return array_whole(out, why);
}

Array *array_select(const Array *condition, const Array *yes, const Array *no, const char **why) {
  Walk w;
  if (!array_decided(condition, why)) return NULL;
  Array *out = walk_begin(&w, 3, (const Array *const[]){condition, yes, no}, why);
  if (!out) return NULL;
  for (size_t i = 0; i < out->size && work_goes_on(i); i++, walk_on(&w))
    out->data[i] = condition->data[w.operands[0].at] != 0 ? yes->data[w.operands[1].at]
                                                          : no->data[w.operands[2].at];
  return array_whole(out, why);
}

/* Indexing. Each subscript becomes the list of offsets that it picks along its axis; a mask takes
 * several axes as one. */

typedef struct Pick {
  size_t size, count, *offsets;
} Pick;

static bool resolve(double index, int axis, size_t size, size_t *place, const char **why) {
  if (!is_whole(index)) {
    array_fail(why, STATUS_SCRIPT, "index %g is not a whole number", index);
    return false;
  }
  double at = index < 0 ? index + (double)size : index;
  if (at < 0 || at >= (double)size) {
    array_fail(why, STATUS_SCRIPT, "index %.0f is out of range for axis %d of size %zu", index,
               axis, size);
    return false;
  }
  *place = (size_t)at;
  return true;
}

static bool clip(bool given, double bound, size_t missing, size_t size, size_t *place,
                 const char **why) {
  *place = missing;
  if (!given) return true;
  if (!is_whole(bound)) {
    array_fail(why, STATUS_SCRIPT, "slice bound %g is not a whole number", bound);
    return false;
  }
  double at = bound < 0 ? bound + (double)size : bound;
  *place = at < 0 ? 0 : at > (double)size ? size : (size_t)at;
  return true;
}

/* An empty pick with room for so many offsets. */
static bool pick_new(Pick *pick, size_t size, size_t room, const char **why) {
  *pick = (Pick){size, 0, array_scratch(room, sizeof *pick->offsets, why)};
  return pick->offsets != NULL;
}

static bool pick_list(Pick *pick, const double *list, size_t count, int axis, size_t size,
                      const char **why) {
  if (!pick_new(pick, size, count, why)) return false;
  for (; pick->count < count && work_goes_on(pick->count); pick->count++)
    if (!resolve(list[pick->count], axis, size, &pick->offsets[pick->count], why)) return false;
  return !array_stops(why);
}

static bool pick_slice(Pick *pick, const Subscript *s, size_t size, const char **why) {
  size_t begin, end;
  if (!clip(s->has_begin, s->begin, 0, size, &begin, why)) return false;
  if (!clip(s->has_end, s->end, size, size, &end, why)) return false;
  size_t count = begin < end ? end - begin : 0;
  if (!pick_new(pick, size, count, why)) return false;
  for (; pick->count < count && work_goes_on(pick->count); pick->count++)
    pick->offsets[pick->count] = begin + pick->count;
  return !array_stops(why);
}

bool array_mask_fits(const Array *a, int axis, const Array *mask, const char **why) {
  char text[2][ARRAY_SHAPE_TEXT];
  bool fits = mask->rank <= a->rank - axis &&
              memcmp(mask->shape, a->shape + axis, (size_t)mask->rank * sizeof *a->shape) == 0;
  if (!fits)
    array_fail(why, STATUS_SCRIPT,
               "a mask of shape %s does not fit axis %d of an array of shape %s",
               array_shape_text(mask, text[0]), axis, array_shape_text(a, text[1]));
  return fits;
}

static bool pick_mask(Pick *pick, const Array *a, int axis, const Array *mask, const char **why) {
  if (!array_mask_fits(a, axis, mask, why)) return false;
  if (!pick_new(pick, mask->size, mask->size, why)) return false;
  for (size_t i = 0; i < mask->size && work_goes_on(i); i++)
    if (mask->data[i] != 0) pick->offsets[pick->count++] = i;
  return !array_stops(why);
}

/* How many axes of an array the subscript takes. */
static int axes_taken(const Subscript *s) { return s->kind == SUBSCRIPT_MASK ? s->list->rank : 1; }

/* Chooses along an axis and appends the axes that come out of it to the shape. */
static bool choose(Pick *pick, const Subscript *s, const Array *a, int axis, int *rank,
                   size_t *shape, const char **why) {
  size_t size = a->shape[axis];
  switch (s->kind) {
  case SUBSCRIPT_AT: return pick_list(pick, &s->at, 1, axis, size, why);
  case SUBSCRIPT_SLICE:
    if (!pick_slice(pick, s, size, why)) return false;
    shape[(*rank)++] = pick->count;
    return true;
  case SUBSCRIPT_LIST:
    for (int i = 0; i < s->list->rank; i++) shape[(*rank)++] = s->list->shape[i];
    return pick_list(pick, s->list->data, s->list->size, axis, size, why);
  case SUBSCRIPT_MASK:
    if (!pick_mask(pick, a, axis, s->list, why)) return false;
    shape[(*rank)++] = pick->count;
    return true;
  }
  return false;
}

static double *gather(double *to, const double *from, const Pick *picks, int axes, size_t block) {
  if (axes == 0) return work_copy(to, from, block), to + block;
  for (size_t i = 0; i < picks->count && work_goes_on(i); i++)
    to = gather(to, from + picks->offsets[i], picks + 1, axes - 1, block);
  return to;
}

Array *array_index(const Array *a, int count, const Subscript *subscripts, const char **why) {
  char text[ARRAY_SHAPE_TEXT];
  int taken = 0;
  for (int i = 0; i < count; i++) taken += axes_taken(&subscripts[i]);
  if (taken > a->rank)
    return array_fail(why, STATUS_SCRIPT, "%d subscripts for an array of shape %s", taken,
                      array_shape_text(a, text));
  Pick picks[ARRAY_MAX_RANK] = {0};
  size_t shape[(ARRAY_MAX_RANK + 1) * ARRAY_MAX_RANK] = {0}, block = 1;
  int rank = 0;
  bool good = true;
  for (int i = 0, axis = 0; i < count && good; axis += axes_taken(&subscripts[i++]))
    good = choose(&picks[i], &subscripts[i], a, axis, &rank, shape, why);
  for (int i = taken; i < a->rank; i++) block *= shape[rank++] = a->shape[i];
  size_t stride = block;
  for (int i = count - 1; i >= 0 && good; stride *= picks[i--].size)
    for (size_t k = 0; k < picks[i].count && work_goes_on(k); k++) picks[i].offsets[k] *= stride;
  Array *out = good ? array_fresh(rank, shape, why) : NULL;
  if (out && out->size) gather(out->data, a->data, picks, count, block);
  for (int i = 0; i < count; i++) free(picks[i].offsets);
  return array_whole(out, why);
}

/* Making arrays */

Array *array_full(int rank, const size_t *shape, double value, const char **why) {
  Array *out = array_fresh(rank, shape, why);
  if (!out) return NULL;
  for (size_t i = 0; i < out->size && work_goes_on(i); i++) out->data[i] = value;
  return array_whole(out, why);
}

Array *array_eye(size_t n, const char **why) {
  Array *out = array_fresh(2, (size_t[]){n, n}, why);
  if (!out) return NULL;
  for (size_t i = 0; i < n && work_goes_on(i); i++) out->data[i * n + i] = 1;
  return array_whole(out, why);
}

Array *array_linspace(double begin, double end, size_t count, const char **why) {
  Array *out = array_fresh(1, &count, why);
  if (!out) return NULL;
  for (size_t i = 0; i < count && work_goes_on(i); i++) {
    double s = count > 1 ? (double)i / (double)(count - 1) : 0;
    out->data[i] = (1 - s) * begin + s * end;
  }
  return array_whole(out, why);
}

Array *array_logspace(double begin, double end, size_t count, const char **why) {
  Array *out = array_linspace(begin, end, count, why);
  if (!out) return NULL;
  for (size_t i = 0; i < count && work_goes_on(i); i++) out->data[i] = pow(10, out->data[i]);
  return array_whole(out, why);
}

Array *array_range(double first, double last, double step, const char **why) {
  if (!isfinite(first) || !isfinite(last) || !isfinite(step) || step == 0)
    return array_fail(why, STATUS_SCRIPT, "no range from %g to %g in steps of %g", first, last,
                      step);
  /* The last number is included although rounding may have put it a little short. */
  double steps = floor((last - first) / step * (1 + 1e-12) + 1e-10);
  if (steps >= 1e15)
    return array_fail(why, STATUS_LIMIT, "a range of %g numbers is too long", steps + 1);
  Array *out = array_fresh(1, (size_t[]){steps < 0 ? 0 : mem_count(steps + 1)}, why);
  if (!out) return NULL;
  for (size_t i = 0; i < out->size && work_goes_on(i); i++) out->data[i] = first + (double)i * step;
  return array_whole(out, why);
}

static bool same_axes(const Array *a, const Array *b, int from) {
  return a->rank == b->rank &&
         (a->rank <= from || memcmp(a->shape + from, b->shape + from,
                                    (size_t)(a->rank - from) * sizeof *a->shape) == 0);
}

/* Fills the array with the parts, one behind the other. NULL stays NULL. */
static Array *append(Array *out, size_t count, const Array *const *parts, const char **why) {
  double *to = out ? out->data : NULL;
  for (size_t i = 0; out && i < count && work_goes_on(i); to += parts[i++]->size)
    work_copy(to, parts[i]->data, parts[i]->size);
  return array_whole(out, why);
}

Array *array_stack(size_t count, const Array *const *parts, const char **why) {
  if (count == 0) return array_fresh(1, (size_t[]){0}, why);
  size_t shape[ARRAY_MAX_RANK + 1] = {count};
  for (int i = 0; i < parts[0]->rank; i++) shape[i + 1] = parts[0]->shape[i];
  for (size_t i = 1; i < count; i++)
    if (!same_axes(parts[0], parts[i], 0))
      return mismatch(parts[0], parts[i], "do not make one array", why);
  Array *out = array_fresh(parts[0]->rank + 1, shape, why);
  return append(out, count, parts, why);
}

Array *array_concat(size_t count, const Array *const *parts, const char **why) {
  size_t shape[ARRAY_MAX_RANK] = {0};
  const Array *pattern = NULL;
  for (size_t i = 0; i < count; i++) {
    if (parts[i]->rank > 0 && !pattern) pattern = parts[i];
    shape[0] += parts[i]->rank ? parts[i]->shape[0] : 1;
  }
  int rank = pattern ? pattern->rank : 1;
  for (size_t i = 0; i < count; i++)
    if (parts[i]->rank ? !same_axes(pattern, parts[i], 1) : rank != 1)
      return mismatch(pattern, parts[i], "do not join along axis 0", why);
  for (int i = 1; i < rank; i++) shape[i] = pattern->shape[i];
  Array *out = array_fresh(rank, shape, why);
  return append(out, count, parts, why);
}

/* Shape */

/* Checks the entries of a new shape and fills in the one that is -1. */
static bool infer(const Array *a, int rank, const double *shape, size_t *full, const char **why) {
  int open = -1;
  size_t known = 1;
  for (int i = 0; i < rank; i++) {
    if (shape[i] == -1 && open < 0) {
      open = i;
      continue;
    }
    if (!is_whole(shape[i]) || shape[i] < 0) {
      array_fail(why, STATUS_SCRIPT, "%g cannot be the length of axis %d", shape[i], i);
      return false;
    }
    full[i] = mem_count(shape[i]);
    if (__builtin_mul_overflow(known, full[i], &known))
      known = 0; /* cannot match below unless `a` is empty, and then array_fresh refuses */
  }
  if (open >= 0) full[open] = known ? a->size / known : 0;
  size_t total = open >= 0 ? known * full[open] : known;
  if (total == a->size) return true;
  char text[ARRAY_SHAPE_TEXT];
  array_fail(why, STATUS_SCRIPT, "an array of shape %s (%zu elements) does not fit the new shape",
             array_shape_text(a, text), a->size);
  return false;
}

Array *array_reshape(const Array *a, int rank, const double *shape, const char **why) {
  if (rank > ARRAY_MAX_RANK)
    return array_fail(why, STATUS_SCRIPT, "an array of %d axes (at most %d are possible)", rank,
                      ARRAY_MAX_RANK);
  size_t full[ARRAY_MAX_RANK];
  if (!infer(a, rank, shape, full, why)) return NULL;
  Array *out = array_fresh(rank, full, why);
  return append(out, 1, &a, why);
}

Array *array_transpose(const Array *a, const char **why) {
  Walk w = {.rank = a->rank, .count = 1};
  size_t stride = 1;
  for (int i = 0; i < a->rank; i++) {
    int from = a->rank - 1 - i;
    w.shape[i] = a->shape[from];
    w.operands[0].stride[i] = stride;
    stride *= a->shape[from];
  }
  Array *out = array_fresh(w.rank, w.shape, why);
  if (!out) return NULL;
  for (size_t i = 0; i < out->size && work_goes_on(i); i++, walk_on(&w))
    out->data[i] = a->data[w.operands[0].at];
  return array_whole(out, why);
}

static Array *diagonal_matrix(const Array *a, const char **why) {
  size_t n = a->size;
  Array *out = array_fresh(2, (size_t[]){n, n}, why);
  if (!out) return NULL;
  for (size_t i = 0; i < n && work_goes_on(i); i++) out->data[i * n + i] = a->data[i];
  return array_whole(out, why);
}

Array *array_diag(const Array *a, const char **why) {
  char text[ARRAY_SHAPE_TEXT];
  if (a->rank == 1) return diagonal_matrix(a, why);
  if (a->rank != 2)
    return array_fail(why, STATUS_SCRIPT, "diag takes a vector or a matrix, not shape %s",
                      array_shape_text(a, text));
  size_t n = a->shape[0] < a->shape[1] ? a->shape[0] : a->shape[1];
  Array *out = array_fresh(1, &n, why);
  if (!out) return NULL;
  for (size_t i = 0; i < n && work_goes_on(i); i++) out->data[i] = a->data[i * (a->shape[1] + 1)];
  return array_whole(out, why);
}
