/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The variance of an expression of fields, by the delta method. The expression is evaluated again
 * and again with other numbers in the place of the fields that it reads: which entries matter is
 * found by halving, and the slope of each by central differences at three distances, extrapolated,
 * from which an error and a kink are told. */
#include "session/session.h"
#include "base/memory.h"
#include "model/trail.h"
#include "session/systems.h"
#include "solve/observe.h"
#include "solve/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Distances, relative to an entry or the root mean square of its field: the first, and how many
 * times a smaller one is tried until the slope is that sure. */
static const double FARTHEST = 1. / 64, CLOSER = 1. / 16, SURE = 1e-9;
enum { TRIES = 6, LEVELS = 3 };

/* A slope that is less sure than that is none. */
static const double UNSURE = 1e-3;

/* An expression as a function of the fields of a theory. */
typedef struct Function {
  Eval *eval;
  const Ast *node;
  Result *theory;
  Standin standin;
  size_t n;          /* numbers that it gives */
  double *now;       /* [n]: at the theory's values */
  double *up, *down; /* [n] */
  Slopes *slopes;    /* [n] */
} Function;

/* Its numbers, [n]. False after reporting. */
static bool evaluate(Function *f, double *out) {
  Eval *eval = f->eval;
  size_t mark = eval->heap.count;
  Standin *outer = eval->standin;
  eval->standin = &f->standin;
  const Value *value = eval_expression(eval, f->node);
  eval->standin = outer;
  Array *array = value_as_array(value);
  bool fits = array && array->size == f->n;
  if (fits) memcpy(out, array->data, f->n * sizeof *out);
  if (!fits && !eval->halted)
    eval_error(eval, f->node->span, NULL, "the shape of this changes with the fields");
  array_drop(array);
  heap_release(&eval->heap, mark, NULL);
  return fits;
}

/* Evaluates it with an entry at x + h and at x - h, in `up` and `down`. */
static bool evaluate_around(Function *f, double *entry, double h) {
  double x = *entry;
  *entry = x + h;
  bool fine = evaluate(f, f->up);
  *entry = x - h;
  fine = fine && evaluate(f, f->down);
  *entry = x;
  return fine;
}

/* The slopes [n] by differences over h, h/2 and h/4, which have errors of even powers of h, and
 * what may be wrong with them: the last correction, rounding, and the difference of the slopes on
 * both sides, as far as it does not vanish with h. */
static bool differentiate(Function *f, double *entry, double h, double *slope, double *doubt) {
  static const double limit[LEVELS] = {1. / 7, -10. / 7, 16. / 7};
  size_t n = f->n;
  double *d = mem_new(2 * LEVELS * n, sizeof *d), *bend = d + LEVELS * n;
  bool fine = true;
  for (int k = 0; k < LEVELS && fine; k++, h /= 2) {
    fine = evaluate_around(f, entry, h);
    for (size_t i = 0; i < n && fine; i++) {
      d[k * n + i] = (f->up[i] - f->down[i]) / (2 * h);
      bend[k * n + i] = (f->up[i] - f->now[i] - (f->now[i] - f->down[i])) / h;
    }
  }
  for (size_t i = 0; i < n && fine; i++) {
    double first = (4 * d[n + i] - d[i]) / 3, second = (4 * d[2 * n + i] - d[n + i]) / 3, kink = 0;
    for (int k = 0; k < LEVELS; k++) kink += limit[k] * bend[k * n + i];
    slope[i] = (16 * second - first) / 15;
    doubt[i] = fabs(slope[i] - second) + fabs(kink);
    if (!isfinite(doubt[i])) doubt[i] = INFINITY;
  }
  free(d);
  return fine;
}

static double largest(size_t n, const double *x) {
  double most = 0;
  for (size_t i = 0; i < n; i++) most = fmax(most, fabs(x[i]));
  return most;
}

static void add_slope(Slopes *slopes, Slope slope) {
  slopes->list = mem_grow(slopes->list, (slopes->count + 1) * sizeof *slopes->list);
  slopes->list[slopes->count++] = slope;
}

/* A field whose entries are varied. */
typedef struct Varied {
  NoiseField field;
  Array *array; /* in the place of the field */
  double size;  /* root mean square */
} Varied;

static double distance(const Varied *v, size_t entry) {
  return FARTHEST * fmax(fabs(v->array->data[entry]), v->size);
}

/* The slopes with respect to one entry, over the distance at which they are surest. */
static bool find_slope(Function *f, Varied *v, size_t entry) {
  size_t n = f->n;
  double *best = mem_new(4 * n, sizeof *best), *doubt = best + n, *slope = best + 2 * n,
         *other = best + 3 * n, h = distance(v, entry);
  bool fine = true, sure = false;
  for (int k = 0; k < TRIES && fine && !sure; k++, h *= CLOSER) {
    fine = differentiate(f, &v->array->data[entry], h, slope, other);
    if (k > 0 && !(largest(n, other) < largest(n, doubt))) continue;
    memcpy(best, slope, n * sizeof *best);
    memcpy(doubt, other, n * sizeof *doubt);
    sure = largest(n, doubt) <= SURE * largest(n, best);
  }
  for (size_t i = 0; i < n && fine; i++)
    if (best[i] != 0 || doubt[i] != 0)
      add_slope(&f->slopes[i], (Slope){v->field, entry, best[i], doubt[i]});
  free(best);
  return fine;
}

/* Whether the expression changes when the entries begin .. end all do, one way or the other, each
 * by a share of its distance of its own. False in *fine after reporting. */
static bool depends(Function *f, Varied *v, size_t begin, size_t end, bool *fine) {
  static const double GOLDEN = 0.6180339887498949;
  size_t count = end - begin;
  double *x = v->array->data + begin, *before = mem_new(count, sizeof *before);
  memcpy(before, x, count * sizeof *before);
  bool changes = false;
  for (int sign = -1; sign <= 1 && *fine && !changes; sign += 2) {
    for (size_t i = 0; i < count; i++)
      x[i] += sign * (0.5 + fmod(GOLDEN * (double)i, 0.5)) * distance(v, begin + i);
    *fine = evaluate(f, f->up);
    changes = *fine && memcmp(f->up, f->now, f->n * sizeof *f->up) != 0;
    memcpy(x, before, count * sizeof *before);
  }
  free(before);
  return changes;
}

/* The slopes with respect to the entries begin .. end, those that there are. */
static bool find_slopes(Function *f, Varied *v, size_t begin, size_t end) {
  bool fine = true;
  if (!depends(f, v, begin, end, &fine) || !fine) return fine;
  if (end - begin == 1) return find_slope(f, v, begin);
  size_t half = begin + (end - begin) / 2;
  return find_slopes(f, v, begin, half) && find_slopes(f, v, half, end);
}

static const Program *program_of(const Function *f) {
  return ((const Origin *)f->theory->origin)->program;
}

/* Slopes with respect to a field of the theory. */
static bool vary_field(Function *f, int number) {
  const ResultField *own = &f->theory->fields[number];
  const Array *field = own->value;
  Varied v = {{0}, array_new(field->rank, field->shape), 0};
  solve_fluctuates(program_of(f), own->name, own->layer, &v.field);
  if (!v.array) {
    eval_starve(f->eval, f->node->span);
    return false;
  }
  memcpy(v.array->data, field->data, field->size * sizeof *field->data);
  for (size_t i = 0; i < field->size; i++)
    v.size += field->data[i] * field->data[i] / (double)field->size;
  v.size = v.size > 0 ? sqrt(v.size) : 1;
  f->standin.values[number] = v.array;
  bool fine = find_slopes(f, &v, 0, field->size);
  f->standin.values[number] = NULL;
  array_drop(v.array);
  return fine;
}

/* Whether all that was read fluctuates in ways that are known; reports otherwise. */
static bool reads_well(const Function *f) {
  NoiseField known;
  int count = 0;
  for (int i = 0; i < f->standin.count; i++) {
    const ResultField *field = &f->theory->fields[i];
    if (!f->standin.read[i] || strcmp(field->name, "t") == 0) continue;
    count++;
    if (solve_fluctuates(program_of(f), field->name, field->layer, &known)) continue;
    bool jumps = !program_of(f)->system && field_jumps((FieldId)known.id);
    eval_error(f->eval, f->node->span, jumps ? "at(theory, noise, width) has its mean" : NULL,
               jumps ? "'%s' jumps, and has no variance of order 1/N"
                     : "how '%s' fluctuates is not known",
               field->name);
    return false;
  }
  if (count) return true;
  const System *system = program_of(f)->system;
  const char *name = system && system->field_count ? system->fields[0].name : "loss";
  char *hint = mem_format("such as of = mean(theory.%s[10:]) / theory.%s[0]", name, name);
  eval_error(f->eval, f->node->span, hint, "this reads no field of the theory");
  free(hint);
  return false;
}

/* Whether the slopes are there; reports otherwise. */
static bool has_slopes(const Function *f) {
  for (size_t i = 0; i < f->n; i++) {
    const Slopes *slopes = &f->slopes[i];
    double most = 0;
    for (size_t k = 0; k < slopes->count; k++) most = fmax(most, fabs(slopes->list[k].slope));
    for (size_t k = 0; k < slopes->count; k++) {
      const Slope *slope = &slopes->list[k];
      if (slope->doubt <= UNSURE * most) continue;
      eval_fail(f->eval, STATUS_NUMERICS, f->node->span, NULL,
                "this has no slope with respect to entry %zu of '%s': at a kink nothing is linear",
                slope->entry, solve_noise_name(program_of(f), slope->field));
      return false;
    }
  }
  return true;
}

/* The slopes of all numbers. False after reporting. */
static bool vary_all(Function *f) {
  bool fine = evaluate(f, f->now) && reads_well(f);
  for (int i = 0; i < f->standin.count && fine; i++)
    if (f->standin.read[i] && strcmp(f->theory->fields[i].name, "t") != 0) fine = vary_field(f, i);
  return fine && has_slopes(f);
}

static Status solve(Call *call, Function *f, SolveOptions *options, Array *value, Array *error,
                    char **why) {
  Dmf *dmf = call->eval->host->self;
  if (!value || !error) return STATUS_LIMIT;
  solver_sign(call, options);
  pthread_mutex_unlock(&dmf->lock);
  Status status =
      solve_variances(f->theory, options, f->slopes, f->n, value->data, error->data, why);
  pthread_mutex_lock(&dmf->lock);
  status = session_settle(dmf, status, why);
  if (options->progress) solver_progress_end(dmf);
  solver_keeping(call, options);
  return status;
}

static Value *variance(Call *call, Function *f, SolveOptions *options, const Array *like) {
  Eval *eval = call->eval;
  if (!vary_all(f)) return value_new(&eval->heap, VALUE_BROKEN);
  Array *numbers = array_new(like->rank, like->shape), *error = array_new(like->rank, like->shape);
  char *why = NULL;
  Status status = solve(call, f, options, numbers, error, &why);
  Value *value;
  if (status == STATUS_OK) {
    value = value_array(&eval->heap, numbers);
    value->error = error;
    trail_begin(value, array_keep(error), NULL);
  } else {
    array_drop(numbers);
    array_drop(error);
    value = solver_report(call, status, why, options->checkpoint != NULL);
  }
  free(why);
  return value;
}

/* A check knows the shape, and what is read. */
static Value *preview(Function *f, const Array *like) {
  Eval *eval = f->eval;
  Standin *outer = eval->standin;
  int before = eval->diags->errors;
  eval->standin = &f->standin;
  eval_expression(eval, f->node);
  eval->standin = outer;
  if (eval->diags->errors > before || !reads_well(f)) return value_new(&eval->heap, VALUE_BROKEN);
  Array *zeros = array_new(like->rank, like->shape);
  Value *value = zeros ? value_array(&eval->heap, zeros) : value_new(&eval->heap, VALUE_UNKNOWN);
  value->known = false;
  return value;
}

/* A line of a plan, for which all numbers read all fields that are read. */
static void plan(Call *call, const Function *f, SolveOptions *options) {
  NoiseField *fields = mem_new((size_t)f->standin.count + 1, sizeof *fields);
  NoiseAsked asked = {.fields = fields, .n = f->n};
  for (int i = 0; i < f->standin.count; i++) {
    const ResultField *field = &f->theory->fields[i];
    if (f->standin.read[i] && strcmp(field->name, "t") != 0)
      solve_fluctuates(program_of(f), field->name, field->layer, &fields[asked.count++]);
  }
  solver_plan_fluctuations(call, f->theory, options, &asked);
  free(fields);
}

Value *slopes_call(Call *call, const Ast *node, Result *theory, const Value *of,
                   SolveOptions options) {
  Eval *eval = call->eval;
  if (of->kind == VALUE_UNKNOWN) return value_new(&eval->heap, VALUE_UNKNOWN);
  if (!value_is_numeric(of))
    return eval_error(eval, node->span, NULL, "'of' must be a number or an array, not %s",
                      value_describe(of));
  Array *like = value_as_array(of);
  size_t n = like->size, fields = (size_t)theory->field_count;
  Function f = {.eval = eval, .node = node, .theory = theory, .n = n};
  f.standin = (Standin){theory, theory->field_count, mem_new(fields, sizeof(Array *)),
                        mem_new(fields, sizeof(bool))};
  f.now = mem_new(3 * n + 1, sizeof *f.now);
  f.up = f.now + n;
  f.down = f.up + n;
  f.slopes = mem_new(n + 1, sizeof *f.slopes);
  Value *value = eval->dry ? preview(&f, like) : variance(call, &f, &options, like);
  const Dmf *dmf = eval->host->self;
  if (dmf->planning && eval->dry && value->kind != VALUE_BROKEN) plan(call, &f, &options);
  for (size_t i = 0; i < n; i++) free(f.slopes[i].list);
  free(f.slopes);
  free(f.now);
  free(f.standin.values);
  free(f.standin.read);
  array_drop(like);
  return value;
}
