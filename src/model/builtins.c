/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The functions of the language on numbers, arrays and strings. */
#include "model/axes.h"
#include "model/builtins.h"
#include "model/forward.h"
#include "model/trail.h"
#include "base/memory.h"
#include "base/plain.h"
#include "base/work.h"
#include "num/arrayfail.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Arguments and results */

const char *call_argument_name(const Call *call, int i) {
  int last = call->signature->count - 1;
  return call->signature->list[i < last ? i : last].name;
}

Value *call_broken(Call *call) { return value_new(&call->eval->heap, VALUE_BROKEN); }

bool call_whole(Call *call, int i, double least, double most, double *number) {
  const Value *value = call->args[i];
  *number = value->kind == VALUE_NUMBER ? value->number : NAN;
  if (*number >= least && *number <= most && *number == floor(*number)) return true;
  const char *name = call_argument_name(call, i);
  if (value->kind == VALUE_NUMBER && value->number > most)
    eval_error(call->eval, call->places[i], NULL, "'%s' must be at most %.10g, not %.10g", name,
               most, value->number);
  else if (value->kind == VALUE_NUMBER)
    eval_error(call->eval, call->places[i], NULL,
               "'%s' must be a whole number of at least %g, not %g", name, least, value->number);
  else
    eval_error(call->eval, call->places[i], NULL, "'%s' must be a number, not %s", name,
               value_describe(value));
  return false;
}

static bool known(const Call *call) {
  for (int i = 0; i < call->count; i++)
    if (!call->args[i]->known) return false;
  return true;
}

Value *call_give(Call *call, Array *array, const char *why) {
  return eval_array(call->eval, call->span, array, why, known(call));
}

static Value *number(Call *call, double x) { return value_number(&call->eval->heap, x); }

static bool given(const Call *call, int i) { return call->args[i]->kind != VALUE_NONE; }

/* An argument as an array that is read once, to be dropped; NULL after reporting. */
static Array *take(Call *call, int i) {
  const Value *value = call->args[i];
  Array *array = value_as_array(value);
  if (array && work_spend((double)array->size)) return array;
  array_drop(array);
  if (value_is_numeric(value))
    eval_starve(call->eval, call->span);
  else if (value->kind == VALUE_SYMBOL && call->eval->system)
    eval_error(call->eval, call->span, "averages over neurons are mean(x), dot(x, y), gram(x, y)",
               "'%s' cannot be used on what a system computes", call->row->name);
  else if (value->kind == VALUE_SYMBOL && call->eval->forward)
    eval_error(call->eval, call->span,
               "over neurons there are mean(x), std(x), dot(x, y), and over positions pooled(x)",
               "'%s' works on arrays, not on a variable of a layer", call->row->name);
  else if (value->kind == VALUE_SYMBOL)
    eval_error(call->eval, call->span,
               "an activation is made of arithmetic, if, and functions such as tanh",
               "'%s' cannot be used inside an activation", call->row->name);
  else
    eval_error(call->eval, call->places[i], value_list_hint(value),
               "'%s' works on numbers and arrays, not on %s", call->row->name,
               value_describe(value));
  return NULL;
}

static Value *unary(Call *call, Array *(*f)(const Array *, const char **)) {
  Array *x = take(call, 0);
  if (!x) return call_broken(call);
  const char *why = NULL;
  Array *array = f(x, &why);
  array_drop(x);
  return call_give(call, array, why);
}

static Value *binary(Call *call, Array *(*f)(const Array *, const Array *, const char **)) {
  Array *x = take(call, 0), *y = x ? take(call, 1) : NULL, *array = NULL;
  const char *why = NULL;
  if (y) array = f(x, y, &why);
  array_drop(x);
  array_drop(y);
  return y ? call_give(call, array, why) : call_broken(call);
}

static Value *mapped(Call *call, double (*f)(double)) {
  Array *x = take(call, 0);
  if (!x) return call_broken(call);
  const char *why = NULL;
  Array *array = array_map(x, f, &why);
  array_drop(x);
  return call_give(call, array, why);
}

/* Elements of the first `count` arguments in other places: truth values if those are. */
static Value *moved(const Call *call, int count, Value *value) {
  bool truth = count > 0;
  for (int i = 0; i < count; i++) truth &= call->args[i]->truth;
  return truth ? value_truth(value) : value;
}

static bool axis_of(Call *call, int i, double *axis) {
  return call_whole(call, i, -ARRAY_MAX_RANK, ARRAY_MAX_RANK, axis);
}

static bool switch_of(Call *call, int i, bool *on) {
  const Value *value = call->args[i];
  *on = value->kind == VALUE_NUMBER && value->number != 0;
  if (value->kind == VALUE_NUMBER) return true;
  eval_error(call->eval, call->places[i], NULL, "'%s' must be true or false, not %s",
             call_argument_name(call, i), value_describe(value));
  return false;
}

static Value *along(Call *call, Array *(*f)(const Array *, double, const char **)) {
  double axis;
  Array *x = axis_of(call, 1, &axis) ? take(call, 0) : NULL;
  if (!x) return call_broken(call);
  const char *why = NULL;
  Array *array = f(x, axis, &why);
  array_drop(x);
  return call_give(call, array, why);
}

/* The slot behind that of the axis says whether only finite elements count. */
static Value *reduce(Call *call, Reduction reduction, int axis_slot) {
  double axis = 0;
  bool all = !given(call, axis_slot), finite = false;
  if (!all && !axis_of(call, axis_slot, &axis)) return call_broken(call);
  if (axis_slot + 1 < call->signature->count && !switch_of(call, axis_slot + 1, &finite))
    return call_broken(call);
  Array *x = take(call, 0);
  if (!x) return call_broken(call);
  const char *why = NULL;
  Array *array = finite ? array_reduce_finite(x, reduction, all ? NULL : &axis, &why)
                 : all  ? array_reduce(x, reduction, &why)
                        : array_reduce_axis(x, reduction, axis, &why);
  array_drop(x);
  return call_give(call, array, why);
}

/* Elementwise */

static Value *elementwise(Call *call) {
  return eval_prim(call->eval, call->span, call->row->prim, call->args[0], NULL);
}

Value *builtin_linear(Call *call) {
  Value *x = call->args[0];
  if (x->kind == VALUE_SYMBOL || value_is_numeric(x)) return x;
  array_drop(take(call, 0));
  return call_broken(call);
}

static double is_finite(double x) { return isfinite(x) != 0; }
/* The remainder is exact, where x / y may have lost all digits after the point. */
static double modulo(double x, double y) {
  double rest = fmod(x, y);
  return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest;
}
static Array *zip_modulo(const Array *x, const Array *y, const char **why) {
  return array_zip(x, y, modulo, why);
}

Value *builtin_floor(Call *call) { return mapped(call, floor); }
Value *builtin_ceil(Call *call) { return mapped(call, ceil); }
Value *builtin_round(Call *call) { return mapped(call, round); }
Value *builtin_isfinite(Call *call) { return value_truth(mapped(call, is_finite)); }
Value *builtin_mod(Call *call) { return binary(call, zip_modulo); }

/* Reductions and sorting */

static Value *extreme(Call *call, Prim prim, Reduction reduction) {
  if (given(call, 1)) return eval_prim(call->eval, call->span, prim, call->args[0], call->args[1]);
  return reduce(call, reduction, 2);
}

Value *builtin_min(Call *call) { return extreme(call, PRIM_MIN, REDUCE_MIN); }
Value *builtin_max(Call *call) { return extreme(call, PRIM_MAX, REDUCE_MAX); }
Value *builtin_sum(Call *call) { return reduce(call, REDUCE_SUM, 1); }
/* Whether it is of a variable of a layer, over its neurons. */
static bool is_variable(const Call *call) {
  return call->args[0]->kind == VALUE_SYMBOL && !given(call, 1);
}

Value *builtin_mean(Call *call) {
  if (is_variable(call)) return forward_average(call, call->args[0], NULL);
  return reduce(call, REDUCE_MEAN, 1);
}
Value *builtin_until(Call *call) {
  return eval_error(call->eval, call->span, "steps = until(change(loss) < 1e-8, most = 5000)",
                    "until(...) is how long a training takes");
}

Value *builtin_std(Call *call) {
  if (call->eval->forward && is_variable(call)) return forward_spread(call, true);
  return reduce(call, REDUCE_STD, 1);
}
Value *builtin_var(Call *call) {
  if (call->eval->forward && is_variable(call)) return forward_spread(call, false);
  return reduce(call, REDUCE_VAR, 1);
}
Value *builtin_kurtosis(Call *call) { return reduce(call, REDUCE_KURTOSIS, 1); }
Value *builtin_prod(Call *call) { return reduce(call, REDUCE_PROD, 1); }
Value *builtin_any(Call *call) { return value_truth(reduce(call, REDUCE_ANY, 1)); }
Value *builtin_all(Call *call) { return value_truth(reduce(call, REDUCE_ALL, 1)); }
Value *builtin_argmin(Call *call) { return reduce(call, REDUCE_ARGMIN, 1); }
Value *builtin_argmax(Call *call) { return reduce(call, REDUCE_ARGMAX, 1); }
Value *builtin_sort(Call *call) { return along(call, array_sort); }
Value *builtin_argsort(Call *call) { return along(call, array_argsort); }
Value *builtin_cumsum(Call *call) { return along(call, array_cumsum); }
Value *builtin_diff(Call *call) { return along(call, array_diff); }

/* Distributions */

Value *builtin_quantile(Call *call) { return binary(call, array_quantile); }

/* An end of the histogram: as given, or the extreme of the elements. */
static bool bin_end(Call *call, int i, const Array *x, Reduction reduction, double *end) {
  if (given(call, i)) {
    *end = call->args[i]->number;
    if (call->args[i]->kind == VALUE_NUMBER) return true;
    eval_error(call->eval, call->places[i], NULL, "'%s' must be a number, not %s",
               call_argument_name(call, i), value_describe(call->args[i]));
    return false;
  }
  const char *why = NULL;
  Array *extreme = array_reduce(x, reduction, &why);
  if (!extreme) return call_give(call, NULL, why), false;
  *end = extreme->data[0];
  array_drop(extreme);
  return true;
}

Value *builtin_histogram(Call *call) {
  double bins, low, high;
  Array *x = call_whole(call, 1, 1, 1e7, &bins) ? take(call, 0) : NULL;
  if (!x) return call_broken(call);
  Value *value = call_broken(call);
  if (bin_end(call, 2, x, REDUCE_MIN, &low) && bin_end(call, 3, x, REDUCE_MAX, &high)) {
    /* numbers that are all the same, or those of a check, have no range of their own */
    if (low == high || !known(call)) low -= 0.5, high = low + 1;
    const char *why = NULL;
    Array *counts = array_histogram(x, (size_t)bins, low, high, &why);
    value = call_give(call, counts, why);
  }
  array_drop(x);
  return value;
}

/* Errors */

/* What is not sampled has errors of zero; in a check, all have. */
Value *builtin_standard_error(Call *call) {
  Array *x = take(call, 0), *error = NULL;
  if (!x) return call_broken(call);
  const Array *known_error = trail_error(call->eval, call->args[0]);
  error = known_error ? array_keep((Array *)known_error) : array_new(x->rank, x->shape);
  array_drop(x);
  if (call->eval->halted) return array_drop(error), call_broken(call);
  return call_give(call, error, NULL);
}

Value *builtin_plain(Call *call) {
  Array *x = take(call, 0);
  return x ? call_give(call, x, NULL) : call_broken(call);
}

/* Curves for plot */

static Array *part_of(const Array *table, Subscript columns, const char **why) {
  const Subscript part[] = {{.kind = SUBSCRIPT_SLICE}, columns};
  return array_index(table, 2, part, why);
}

/* The argument that holds y: the second, or the only one; NULL without either. */
static Value *series(const Call *call) {
  return given(call, 1) ? call->args[1] : given(call, 0) ? call->args[0] : NULL;
}

/* What y itself runs over, else 0, 1, ...; NULL without memory. */
static Array *places_of(const Value *value, const Array *y) {
  const Array *at = value->axes && value->axes->count ? value->axes->list[0].at : NULL;
  size_t count = y->rank ? y->shape[0] : 1;
  const char *why;
  return at && at->rank == 1 && at->size == count ? array_keep((Array *)at)
                                                  : array_range(0, (double)count - 1, 1, &why);
}

/* x and y of a curve: from two arguments, the columns of one, or one that is y. */
static bool coordinates(Call *call, Value *curve, bool table) {
  const char *why = NULL;
  if (table) {
    Array *both = take(call, 0);
    if (!both) return false;
    Subscript rest = {.kind = SUBSCRIPT_SLICE, .has_begin = true, .begin = 1};
    if (both->shape[1] == 2) rest = (Subscript){.kind = SUBSCRIPT_AT, .at = 1};
    curve->curve.x = part_of(both, (Subscript){.kind = SUBSCRIPT_AT}, &why);
    curve->curve.y = part_of(both, rest, &why);
    array_drop(both);
  } else {
    curve->curve.y = take(call, given(call, 1) ? 1 : 0);
    if (!curve->curve.y) return false;
    bool alone = !given(call, 0) || !given(call, 1);
    curve->curve.x = alone ? places_of(series(call), curve->curve.y) : take(call, 0);
    if (alone && !curve->curve.x) eval_starve(call->eval, call->span);
  }
  if (why) call_give(call, NULL, why);
  return curve->curve.x && curve->curve.y;
}

static bool matching(Call *call, const Value *curve) {
  const Array *x = curve->curve.x, *y = curve->curve.y, *error = curve->error;
  char text[2][ARRAY_SHAPE_TEXT];
  bool sound = x->rank == 1 && (y->rank == 1 || y->rank == 2) && y->shape[0] == x->size && y->size;
  if (!sound)
    eval_error(call->eval, call->span,
               "x is a vector, y has an entry or a row for each of its elements",
               "shapes %s and %s make no curve", array_shape_text(x, text[0]),
               array_shape_text(y, text[1]));
  else if (error &&
           (error->rank != y->rank || error->size != y->size || error->shape[0] != y->shape[0]))
    eval_error(call->eval, call->places[2], NULL, "the errors have shape %s, and y has %s",
               array_shape_text(error, text[0]), array_shape_text(y, text[1])),
        sound = false;
  return sound;
}

static bool text_argument(Call *call, int i, const char **text) {
  *text = NULL;
  if (!given(call, i)) return true;
  *text = call->args[i]->kind == VALUE_STRING ? call->args[i]->string : NULL;
  if (*text) return true;
  eval_error(call->eval, call->places[i], NULL, "'%s' must be a string, not %s",
             call_argument_name(call, i), value_describe(call->args[i]));
  return false;
}

static bool style_argument(Call *call, int i, CurveStyle *style) {
  static const char *const names[] = {"auto", "line", "dashed", "points", NULL};
  const char *text;
  if (!text_argument(call, i, &text)) return false;
  for (int k = 0; text && names[k]; k++)
    if (strcmp(names[k], text) == 0) return *style = (CurveStyle)k, true;
  if (!text || !call->args[i]->known) return true;
  eval_unknown(call->eval, call->places[i], text, names, "unknown style '%s'", text);
  return false;
}

/* The name of what x was read from, or of what y runs over without one. */
static Axes *curve_axes(const Value *x, const Value *y) {
  const char *name = x ? x->field : y->axes && y->axes->count ? y->axes->list[0].name : NULL;
  if (!name) return NULL;
  Axes *axes = axes_new(1);
  axes->list[0].name = mem_string(name);
  return axes;
}

/* The errors that were given, else those that y has. */
static Array *curve_errors(Call *call, bool table) {
  if (given(call, 2)) return take(call, 2);
  return table ? NULL : array_keep((Array *)trail_error(call->eval, series(call)));
}

/* What y was read from lends the curve its errors, its style and its name. */
Value *builtin_curve(Call *call) {
  Value *curve = value_new(&call->eval->heap, VALUE_CURVE), *y = series(call);
  const char *label;
  double color = 0;
  if (!y) return eval_error(call->eval, call->span, "curve(x, y)", "a curve needs a 'y'");
  const Array *first = y->kind == VALUE_ARRAY ? y->array : NULL;
  bool table = !given(call, 1) && first && first->rank == 2 && first->shape[1] > 1;
  if (!coordinates(call, curve, table)) return call_broken(call);
  curve->source = result_keep(y->source);
  if (!table) curve->axes = curve_axes(given(call, 1) && given(call, 0) ? call->args[0] : NULL, y);
  if (!table && y->field) {
    curve->field = mem_string(y->field);
    curve->layer = y->layer;
  }
  curve->error = curve_errors(call, table);
  if ((given(call, 2) && !curve->error) || call->eval->halted) return call_broken(call);
  bool sound = matching(call, curve) & text_argument(call, 3, &label) &
               style_argument(call, 4, &curve->curve.style);
  if (given(call, 5)) sound &= call_whole(call, 5, 1, 8, &color);
  if (!sound) return call_broken(call);
  if (curve->curve.style == CURVE_AUTO && trail_is_of_networks(y))
    curve->curve.style = CURVE_POINTS;
  curve->curve.label = label ? mem_string(label) : NULL;
  curve->curve.color = (int)color;
  return curve;
}

/* Linear algebra */

Value *builtin_diag(Call *call) { return unary(call, array_diag); }
Value *builtin_trace(Call *call) { return unary(call, array_trace); }
Value *builtin_transpose(Call *call) {
  Value *value = moved(call, 1, unary(call, array_transpose));
  axes_reverse(value, call->args[0]);
  return value;
}
Value *builtin_outer(Call *call) { return binary(call, array_outer); }
Value *builtin_dot(Call *call) {
  if (call->args[0]->kind == VALUE_SYMBOL || call->args[1]->kind == VALUE_SYMBOL)
    return forward_average(call, call->args[0], call->args[1]);
  return binary(call, array_dot);
}
/* x y' over the number of columns. */
static Array *gram_of(const Array *x, const Array *y, const char **why) {
  Array *across = array_transpose(y, why), *products = NULL;
  if (across) products = array_matmul(x, across, why);
  array_drop(across);
  if (!products) return NULL;
  double columns = (double)x->shape[x->rank - 1];
  for (size_t i = 0; i < products->size && work_goes_on(i); i++) products->data[i] /= columns;
  return array_whole(products, why);
}

Value *builtin_gram(Call *call) {
  const Value *y = given(call, 1) ? call->args[1] : call->args[0];
  if (call->args[0]->kind == VALUE_SYMBOL || y->kind == VALUE_SYMBOL)
    return forward_gram(call, call->args[0], y);
  const char *why = NULL;
  Array *a = take(call, 0), *b = !a ? NULL : given(call, 1) ? take(call, 1) : array_keep(a);
  Array *array = a && b ? gram_of(a, b, &why) : NULL;
  bool broken = !a || !b;
  array_drop(a);
  array_drop(b);
  return broken ? call_broken(call) : call_give(call, array, why);
}

Value *builtin_softmax(Call *call) {
  double causal;
  if (call->args[0]->kind == VALUE_SYMBOL) return forward_softmax(call);
  const char *why = NULL;
  Array *x = call_whole(call, 1, 0, 1, &causal) ? take(call, 0) : NULL;
  if (!x) return call_broken(call);
  Array *array = array_softmax(x, causal != 0, &why);
  array_drop(x);
  return call_give(call, array, why);
}

/* What belongs in the body of a system and stands elsewhere, or is given something else. */
static Value *of_systems(Call *call) {
  return eval_error(call->eval, call->span, "system NAME { population cells ... step { ... } }",
                    call->eval->system ? "'%s' works on what a system declares"
                                       : "'%s' belongs in the body of a system",
                    call->row->name);
}
Value *builtin_descend(Call *call) { return of_systems(call); }
Value *builtin_lyapunov(Call *call) { return of_systems(call); }
Value *builtin_normal(Call *call) { return of_systems(call); }
Value *builtin_uniform(Call *call) { return of_systems(call); }
Value *builtin_two_time(Call *call) { return of_systems(call); }
Value *builtin_response(Call *call) { return of_systems(call); }
Value *builtin_mix(Call *call) { return of_systems(call); }
Value *builtin_stack(Call *call) { return of_systems(call); }
Value *builtin_push(Call *call) { return of_systems(call); }
Value *builtin_shift(Call *call) { return of_systems(call); }
Value *builtin_solve(Call *call) { return binary(call, array_solve); }
Value *builtin_inv(Call *call) { return unary(call, array_inverse); }
Value *builtin_det(Call *call) { return unary(call, array_det); }
Value *builtin_eig(Call *call) { return unary(call, array_eigenvalues); }
Value *builtin_eigvec(Call *call) { return unary(call, array_eigenvectors); }
Value *builtin_svd(Call *call) { return unary(call, array_svd); }
Value *builtin_norm(Call *call) { return unary(call, array_norm); }

Value *builtin_interp(Call *call) {
  Array *x = take(call, 0), *xs = x ? take(call, 1) : NULL, *ys = xs ? take(call, 2) : NULL;
  const char *why = NULL;
  Array *array = ys ? array_interp(x, xs, ys, &why) : NULL;
  Value *value = ys ? call_give(call, array, why) : call_broken(call);
  array_drop(x);
  array_drop(xs);
  array_drop(ys);
  return value;
}

/* Shapes. These are known even where the contents are not. */

static Value *of_shape(Call *call, double (*f)(const Array *)) {
  Array *x = take(call, 0);
  if (!x) return call_broken(call);
  Value *value = number(call, f(x));
  array_drop(x);
  return value;
}

static double size_of(const Array *x) { return (double)x->size; }
static double rank_of(const Array *x) { return x->rank; }

Value *builtin_size(Call *call) { return of_shape(call, size_of); }
Value *builtin_rank(Call *call) { return of_shape(call, rank_of); }

Value *builtin_shape(Call *call) {
  Array *x = take(call, 0);
  if (!x) return call_broken(call);
  size_t rank = (size_t)x->rank;
  Array *shape = array_new(1, &rank);
  for (size_t i = 0; shape && i < rank; i++) shape->data[i] = (double)x->shape[i];
  array_drop(x);
  if (!shape) return eval_starve(call->eval, call->span);
  Value *value = value_new(&call->eval->heap, VALUE_ARRAY);
  value->array = shape;
  return value;
}

static size_t characters(const char *text) {
  size_t count = 0;
  for (; *text; text++) count += ((unsigned char)*text & 0xc0) != 0x80;
  return count;
}

Value *builtin_len(Call *call) {
  const Value *x = call->args[0];
  switch (x->kind) {
  case VALUE_STRING: return number(call, (double)characters(x->string));
  case VALUE_LIST: return number(call, x->list.count);
  case VALUE_ARRAY: return number(call, (double)x->array->shape[0]);
  default:
    return eval_error(call->eval, call->places[0], NULL, "%s has no length", value_describe(x));
  }
}

Value *builtin_type(Call *call) {
  return value_string(&call->eval->heap, value_describe(call->args[0]));
}

Value *builtin_str(Call *call) {
  const Value *x = call->args[0];
  double digits = 10;
  if (given(call, 1) && !call_whole(call, 1, 1, 17, &digits)) return call_broken(call);
  if (given(call, 1) && x->kind != VALUE_NUMBER && x->kind != VALUE_UNKNOWN)
    return eval_error(call->eval, call->places[0], NULL,
                      "'digits' are those of a number, not of %s", value_describe(x));
  if (x->kind == VALUE_STRING) return call->args[0];
  char *text = x->kind == VALUE_NUMBER  ? mem_format("%.*g", (int)digits, plain_number(x->number))
               : x->kind == VALUE_ARRAY ? array_text(x->array, NULL, 80)
                                        : mem_string(value_describe(x));
  Value *value = value_string(&call->eval->heap, text);
  free(text);
  return value;
}

/* Making arrays */

/* A shape given as numbers or as one vector, from argument `first` on. */
static int shape_arguments(Call *call, int first, double least, double shape[ARRAY_MAX_RANK]) {
  const Value *only = call->count == first + 1 ? call->args[first] : NULL;
  if (only && only->kind == VALUE_ARRAY && only->array->rank == 1 &&
      only->array->size <= ARRAY_MAX_RANK) {
    for (size_t i = 0; i < only->array->size; i++) shape[i] = only->array->data[i];
    return (int)only->array->size;
  }
  if (call->count - first > ARRAY_MAX_RANK) {
    eval_error(call->eval, call->span, NULL, "an array has at most %d axes", ARRAY_MAX_RANK);
    return -1;
  }
  for (int i = first; i < call->count; i++)
    if (!call_whole(call, i, least, 1e15, &shape[i - first])) return -1;
  return call->count - first;
}

static Value *filled(Call *call, double x) {
  double wanted[ARRAY_MAX_RANK];
  if (!known(call)) return value_new(&call->eval->heap, VALUE_UNKNOWN);
  int rank = shape_arguments(call, 0, 0, wanted);
  if (rank < 0) return call_broken(call);
  size_t shape[ARRAY_MAX_RANK];
  for (int i = 0; i < rank; i++) {
    if (!(wanted[i] >= 0 && wanted[i] <= 1e15 && wanted[i] == floor(wanted[i])))
      return eval_error(call->eval, call->places[0], NULL, "an axis has a whole length, not %g",
                        wanted[i]);
    shape[i] = mem_count(wanted[i]);
  }
  const char *why = NULL;
  Array *array = array_full(rank, shape, x, &why);
  return call_give(call, array, why);
}

Value *builtin_zeros(Call *call) { return filled(call, 0); }
Value *builtin_ones(Call *call) { return filled(call, 1); }

Value *builtin_eye(Call *call) {
  double n;
  if (!call_whole(call, 0, 0, 1e7, &n)) return call_broken(call);
  const char *why = NULL;
  Array *array = array_eye((size_t)n, &why);
  return call_give(call, array, why);
}

static Value *spaced(Call *call, Array *(*f)(double, double, size_t, const char **)) {
  double count;
  if (!call_whole(call, 2, 1, 1e12, &count)) return call_broken(call);
  for (int i = 0; i < 2; i++)
    if (call->args[i]->kind != VALUE_NUMBER)
      return eval_error(call->eval, call->places[i], NULL, "'%s' must be a number, not %s",
                        call_argument_name(call, i), value_describe(call->args[i]));
  const char *why = NULL;
  Array *array = f(call->args[0]->number, call->args[1]->number, mem_count(count), &why);
  return call_give(call, array, why);
}

Value *builtin_linspace(Call *call) { return spaced(call, array_linspace); }
Value *builtin_logspace(Call *call) { return spaced(call, array_logspace); }

Value *builtin_reshape(Call *call) {
  double shape[ARRAY_MAX_RANK];
  for (int i = 1; i < call->count; i++)
    if (!call->args[i]->known) return value_new(&call->eval->heap, VALUE_UNKNOWN);
  int rank = shape_arguments(call, 1, -1, shape);
  Array *x = rank >= 0 ? take(call, 0) : NULL;
  if (!x) return call_broken(call);
  const char *why = NULL;
  Array *array = array_reshape(x, rank, shape, &why);
  array_drop(x);
  return moved(call, 1, call_give(call, array, why));
}

Value *builtin_concat(Call *call) {
  Array **parts = mem_new((size_t)call->count, sizeof *parts);
  bool sound = true;
  for (int i = 0; i < call->count; i++) sound &= (parts[i] = take(call, i)) != NULL;
  const char *why = NULL;
  Array *array =
      sound ? array_concat((size_t)call->count, (const Array *const *)parts, &why) : NULL;
  for (int i = 0; i < call->count; i++) array_drop(parts[i]);
  free(parts);
  return sound ? moved(call, call->count, call_give(call, array, why)) : call_broken(call);
}

Value *builtin_derivative(Call *call) { return eval_derivative(call); }

/* The table */

static const Builtin rows[] = {
#define BUILTIN(id, name, signature, flags, about)                                                 \
  {name, signature, about, builtin_##id, flags, PRIM_COUNT},
#include "model/builtins.def"
    {0},
};

/* The primitives of one argument, under their own names. */
static const Builtin primitives[] = {
#define PRIM(id, name, arity, about)                                                               \
  {arity == 1 ? name : "", "x", about, elementwise, BUILTIN_ELEMENTWISE, PRIM_##id},
#include "scalar/prim.def"
#undef PRIM
    {0},
};

static void define_truth(Scope *scope, const char *name) {
  value_truth(scope_own(scope, name)->value);
}

static void define_number(Eval *eval, Scope *scope, const char *name, double x) {
  scope_set(scope, name, value_number(&eval->heap, x), (Span){0});
}

static void define_loss(Eval *eval, Scope *scope, const char *name, const Expr *expr) {
  Value *value = value_new(&eval->heap, VALUE_LOSS);
  value->loss.name = mem_string(name);
  value->loss.expr = expr;
  scope_set(scope, name, value, (Span){0});
}

/* (y - f)^2 / 2 */
static const Expr *squared_error(ExprPool *pool) {
  const Expr *delta = expr_call(pool, PRIM_SUB, expr_arg(pool, 1), expr_arg(pool, 0), NULL);
  const Expr *square = expr_call(pool, PRIM_POW, delta, expr_const(pool, 2), NULL);
  return expr_call(pool, PRIM_DIV, square, expr_const(pool, 2), NULL);
}

void builtins_define(Eval *eval, Scope *scope) {
  eval_define(eval, scope, primitives);
  eval_define(eval, scope, rows);
#define CONSTANT(name, value, about) define_number(eval, scope, name, value);
#include "model/builtins.def"
  define_truth(scope, "true");
  define_truth(scope, "causal");
  define_truth(scope, "false");
  define_loss(eval, scope, "mse", squared_error(eval->pool));
  define_loss(eval, scope, "cross_entropy", NULL);
  Value *input = value_new(&eval->heap, VALUE_CHAIN);
  input->chain.input = true;
  scope_set(scope, "input", input, (Span){0});
}
