/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Operations of systems on symbols: what shape they have, and which acts they are. */
#include "model/acts.h"
#include "base/memory.h"
#include "model/builtins.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ARGUMENTS = 8, MOST_ROWS = 1000000 };

/* ---- shapes ---- */

bool is_vector(Shape shape) { return shape.population != NO_POPULATION; }

/* Numbers in a row of neurons, or all numbers. */
static size_t shape_size(Shape shape) {
  size_t size = 1;
  for (int i = 0; i < shape.rank; i++) size *= shape.size[i];
  return size;
}

static bool same_size(Shape x, Shape y) {
  bool same = x.rank == y.rank;
  for (int i = 0; same && i < x.rank; i++) same = x.size[i] == y.size[i];
  return same;
}

/* Tables of numbers that are alike but for axes of length 1, along which they are repeated. */
static bool stretches(Shape x, Shape y, Shape *joined) {
  bool fits = x.rank == 2 && y.rank == 2 && !is_vector(x) && !is_vector(y);
  for (int i = 0; i < 2 && fits; i++) {
    fits = x.size[i] == y.size[i] || x.size[i] == 1 || y.size[i] == 1;
    joined->size[i] = x.size[i] == 1 ? y.size[i] : x.size[i];
  }
  return fits;
}

static char *shape_text(const Builder *b, Shape shape) {
  char *text = is_vector(shape)
                   ? mem_format("%s on %s", shape.rank ? "rows of vectors" : "a vector",
                                b->system->populations[shape.population].name)
                   : mem_string(shape.rank ? "numbers" : "a number");
  if (shape.rank == 1) mem_append(&text, is_vector(shape) ? " (%zu)" : " [%zu]", shape.size[0]);
  if (shape.rank == 2) mem_append(&text, " [%zu, %zu]", shape.size[0], shape.size[1]);
  return text;
}

bool shape_join(const Builder *b, Shape x, Shape y, Shape *joined, char **why) {
  bool both = is_vector(x) && is_vector(y);
  bool fits = x.rank == 0 || y.rank == 0 || same_size(x, y);
  if ((is_vector(x) && y.rank == 2) || (is_vector(y) && x.rank == 2)) fits = false;
  *joined = x.rank >= y.rank ? x : y;
  joined->population = is_vector(x) ? x.population : y.population;
  fits = fits || stretches(x, y, joined);
  if (fits && !(both && x.population != y.population)) return true;
  char *one = shape_text(b, x), *other = shape_text(b, y);
  *why = mem_format("%s cannot be combined with %s", one, other);
  free(one);
  free(other);
  return false;
}

Shape shape_of(const Builder *b, const Expr *e) {
  Shape shape = {.population = NO_POPULATION};
  if (e->prim == PRIM_ARG) return b->system->variables[e->index].shape;
  for (int i = 0; i < prim_arity(e->prim); i++) {
    char *why = NULL;
    shape_join(b, shape, shape_of(b, e->arg[i]), &shape, &why);
    free(why);
  }
  return shape;
}

/* ---- acts ---- */

int new_variable(Builder *b, const char *name, Shape shape) {
  System *s = b->system;
  s->variables = mem_more(s->variables, s->variable_count, sizeof *s->variables);
  char *own = name ? mem_string(name) : mem_format("v%d", s->variable_count);
  s->variables[s->variable_count] = (SystemVariable){own, shape};
  return s->variable_count++;
}

int add_act(Builder *b, Act act, int count, const int *src) {
  System *s = b->system;
  s->acts = mem_more(s->acts, s->act_count, sizeof *s->acts);
  act.count = count;
  act.src = mem_new((size_t)count + 1, sizeof *act.src);
  for (int i = 0; i < count; i++) act.src[i] = src[i];
  s->acts[s->act_count++] = act;
  return act.dst;
}

/* The variables in an expression, into list [at most `room`]; how many there are. */
static int variables_of(const Expr *e, int *list, int count, int room) {
  if (e->prim == PRIM_ARG) {
    for (int i = 0; i < count; i++)
      if (list[i] == e->index) return count;
    if (count < room) list[count] = e->index;
    return count + 1;
  }
  for (int i = 0; i < prim_arity(e->prim) && count <= room; i++)
    count = variables_of(e->arg[i], list, count, room);
  return count;
}

/* An expression of few variables: operands that have their part of too many become variables. */
static const Expr *shortened(Builder *b, const Expr *e) {
  int list[MOST_ARGUMENTS], arity = prim_arity(e->prim);
  if (variables_of(e, list, 0, MOST_ARGUMENTS) <= MOST_ARGUMENTS) return e;
  const Expr *arg[3] = {NULL};
  for (int i = 0; i < arity; i++) {
    bool heavy = variables_of(e->arg[i], list, 0, MOST_ARGUMENTS) > MOST_ARGUMENTS / arity;
    arg[i] = heavy ? expr_arg(b->eval->pool, hold(b, e->arg[i])) : e->arg[i];
  }
  return expr_call(b->eval->pool, e->prim, arg[0], arg[1], arg[2]);
}

/* Where the variable of an expression is noted. */
static int *noted(Builder *b, const Expr *e) {
  if (e->id >= b->held_room) {
    unsigned room = 2 * e->id + 64;
    b->held = mem_grow(b->held, room * sizeof *b->held);
    memset(b->held + b->held_room, 0, (room - b->held_room) * sizeof *b->held);
    b->held_room = room;
  }
  return &b->held[e->id];
}

int hold(Builder *b, const Expr *e) {
  if (e->prim == PRIM_ARG) return e->index;
  e = shortened(b, e);
  if (*noted(b, e)) return *noted(b, e) - 1;
  int list[MOST_ARGUMENTS], count = variables_of(e, list, 0, MOST_ARGUMENTS);
  if (count == 0) {
    Array *number = array_scalar(e->value);
    int variable = hold_numbers(b, number);
    array_drop(number);
    return variable;
  }
  int dst = new_variable(b, NULL, shape_of(b, e));
  *noted(b, e) = dst + 1;
  return add_act(b, (Act){.kind = ACT_MAP, .dst = dst, .expr = e}, count, list);
}

int hold_made(Builder *b, Shape shape, Array *numbers, const char *why) {
  if (!numbers) {
    b->vague = true;
    eval_fail(b->eval, STATUS_LIMIT, b->system->span, NULL, "%s", why);
  }
  shape.population = NO_POPULATION;
  int dst = new_variable(b, NULL, shape);
  return add_act(b, (Act){.kind = ACT_NUMBERS, .dst = dst, .numbers = numbers}, 0, NULL);
}

int hold_full(Builder *b, Shape shape, double number) {
  const char *why = NULL;
  Array *numbers = array_full(shape.rank, shape.size, number, &why);
  return hold_made(b, shape, numbers, why);
}

int hold_numbers(Builder *b, Array *numbers) {
  Shape shape = {.rank = numbers->rank};
  for (int i = 0; i < numbers->rank; i++) shape.size[i] = numbers->shape[i];
  return hold_made(b, shape, array_keep(numbers), NULL);
}

Value *symbol_of(Builder *b, int variable) {
  Value *value = value_new(&b->eval->heap, VALUE_SYMBOL);
  value->symbol = expr_arg(b->eval->pool, variable);
  return value;
}

/* Vectors, or numbers, as the rows of one; NULL after reporting. */
static const Expr *listed(Builder *b, Span span, const Value *list) {
  int count = list->list.count, *parts = mem_new((size_t)count + 1, sizeof *parts);
  bool sound = true;
  Shape row = {.population = NO_POPULATION};
  for (int i = 0; i < count && sound; i++) {
    const Expr *e = expression_of(b, span, list->list.items[i]);
    parts[i] = e ? hold(b, e) : -1;
    Shape shape = e ? b->system->variables[parts[i]].shape : row;
    bool alike = i == 0 || (shape.population == row.population && same_size(shape, row));
    row = shape;
    sound = e && alike && row.rank <= (is_vector(row) ? 0 : 1);
    if (e && !sound)
      eval_error(b->eval, span, NULL,
                 "the parts of a list are vectors, or numbers, that are alike");
  }
  Shape shape = {row.population, row.rank + 1, {(size_t)count, row.size[0]}};
  const Expr *e = NULL;
  if (sound)
    e = expr_arg(
        b->eval->pool,
        add_act(b, (Act){.kind = ACT_STACK, .dst = new_variable(b, NULL, shape)}, count, parts));
  free(parts);
  return e;
}

const Expr *expression_of(Builder *b, Span span, const Value *value) {
  switch (value->kind) {
  case VALUE_SYMBOL: return value->symbol;
  case VALUE_NUMBER: return expr_const(b->eval->pool, value->number);
  case VALUE_ARRAY:
    if (value->array->rank <= 2) return expr_arg(b->eval->pool, hold_numbers(b, value->array));
    eval_error(b->eval, span, NULL, "numbers of a system have at most two axes");
    return NULL;
  case VALUE_LIST: return listed(b, span, value);
  case VALUE_UNKNOWN: b->vague = true; return NULL;
  case VALUE_BROKEN: return NULL;
  default:
    eval_error(b->eval, span,
               value->kind == VALUE_MATRIX ? "a matrix acts on a vector: J @ x" : NULL,
               "a system computes with vectors and numbers, not with %s", value_describe(value));
    return NULL;
  }
}

/* What a failed operand leaves. */
static Value *nothing(Builder *b, const Value *x, const Value *y) {
  bool unknown = x->kind == VALUE_UNKNOWN || (y && y->kind == VALUE_UNKNOWN);
  bool broken = x->kind == VALUE_BROKEN || (y && y->kind == VALUE_BROKEN);
  return value_new(&b->eval->heap, unknown && !broken ? VALUE_UNKNOWN : VALUE_BROKEN);
}

/* ---- elementwise ---- */

static Value *symbol(Builder *b, Span span, const Expr *expr) {
  if (expr_is_endless(expr))
    return eval_fail(b->eval, STATUS_LIMIT, span, NULL, "a function of too many operations");
  Value *value = value_new(&b->eval->heap, VALUE_SYMBOL);
  value->symbol = expr;
  return value;
}

/* Whether expressions go together, and in which shape; reports otherwise. */
static bool joins(Builder *b, Span span, const Expr *x, const Expr *y, Shape *joined) {
  Shape one = shape_of(b, x), other = shape_of(b, y);
  char *why = NULL;
  bool fits = shape_join(b, one, other, joined, &why);
  bool apart = is_vector(one) && is_vector(other) && one.population != other.population;
  if (!fits)
    eval_error(b->eval, span,
               apart
                   ? "a matrix takes a vector to another population, and dot or mean make numbers "
                     "of it"
                   : NULL,
               "%s", why);
  free(why);
  return fits;
}

/* 0 * x is a vector, or as many numbers, though nothing of x is left in it. */
static Value *whole(Builder *b, Span span, Shape shape, const Expr *e) {
  if (e->prim != PRIM_CONST || !(is_vector(shape) || shape.rank)) return symbol(b, span, e);
  if (!is_vector(shape)) return symbol_of(b, hold_full(b, shape, e->value));
  Act act = {.kind = ACT_FILL, .dst = new_variable(b, NULL, shape), .number = e->value};
  return symbol_of(b, add_act(b, act, 0, NULL));
}

Value *system_prim(Eval *eval, Span span, Prim prim, Value *a, Value *c) {
  Builder *b = eval->system;
  const Expr *x = expression_of(b, span, a), *y = c && x ? expression_of(b, span, c) : NULL;
  if (!x || (c && !y)) return nothing(b, a, c);
  Shape shape = shape_of(b, x);
  if (y && !joins(b, span, x, y, &shape)) return value_new(&eval->heap, VALUE_BROKEN);
  return whole(b, span, shape, expr_call(eval->pool, prim, x, y, NULL));
}

Value *system_map(Eval *eval, Span span, const Expr *image, const Value *x) {
  return whole(eval->system, span, shape_of(eval->system, x->symbol), image);
}

Value *system_choose(Eval *eval, Span span, Value *condition, Value *yes, Value *no) {
  Builder *b = eval->system;
  const Expr *c = expression_of(b, span, condition), *x = expression_of(b, span, yes),
             *y = expression_of(b, span, no);
  if (!c || !x || !y) return nothing(b, yes, no);
  Shape by_x, by_y, joined;
  char *why = NULL;
  if (!joins(b, span, c, x, &by_x) || !joins(b, span, c, y, &by_y) ||
      !joins(b, span, x, y, &joined))
    return value_new(&eval->heap, VALUE_BROKEN);
  shape_join(b, by_x, by_y, &joined, &why);
  free(why);
  return whole(b, span, joined, expr_call(eval->pool, PRIM_SELECT, c, x, y));
}

/* ---- products ---- */

static Shape row_shape(Shape shape) {
  return (Shape){.population = shape.population,
                 .rank = shape.rank ? shape.rank - 1 : 0,
                 .size = {shape.size[1]}};
}

static Value *apply_matrix(Builder *b, Span span, const Value *matrix, const Value *x) {
  Eval *eval = b->eval;
  if (x->kind == VALUE_MATRIX)
    return eval_error(eval, span, "set the brackets so that a matrix meets a vector: A @ (B @ x)",
                      "a product of matrices without a vector");
  const Expr *e = expression_of(b, span, x);
  if (!e) return nothing(b, x, NULL);
  const SystemMatrix *m = &b->system->matrices[matrix->matrix.index];
  bool back = matrix->matrix.transposed;
  int from = back ? m->to : m->from, to = back ? m->from : m->to;
  Shape shape = shape_of(b, e);
  if (shape.population != from) {
    char *text = shape_text(b, shape);
    Value *broken = eval_error(eval, span, NULL, "%s%s acts on vectors on %s, not on %s", m->name,
                               back ? "'" : "", b->system->populations[from].name, text);
    free(text);
    return broken;
  }
  int src = hold(b, e);
  shape.population = to;
  int dst = new_variable(b, NULL, shape);
  Act act = {.kind = back ? ACT_APPLY_T : ACT_APPLY, .dst = dst, .matrix = matrix->matrix.index};
  Value *image = symbol_of(b, add_act(b, act, 1, &src));
  int twin = twin_of(b, act.matrix);
  if (twin >= 0) {
    act.matrix = twin;
    act.dst = new_variable(b, NULL, shape);
    image = system_prim(eval, span, PRIM_ADD, image, symbol_of(b, add_act(b, act, 1, &src)));
  }
  if (matrix->matrix.factor == 1) return image;
  return system_prim(eval, span, PRIM_MUL, value_number(&eval->heap, matrix->matrix.factor), image);
}

static int product_act(Builder *b, int numbers, int x, bool transpose, Shape shape) {
  int dst = new_variable(b, NULL, shape);
  return add_act(b, (Act){.kind = ACT_PRODUCT, .dst = dst, .transpose = transpose}, 2,
                 (int[]){numbers, x});
}

/* A @ x: rows combined by numbers, or products of numbers. */
static Value *combine(Builder *b, Span span, const Value *left, const Value *right) {
  const Expr *e = expression_of(b, span, left), *f = e ? expression_of(b, span, right) : NULL;
  if (!e || !f) return nothing(b, left, right);
  Shape a = shape_of(b, e), x = shape_of(b, f);
  bool fits = !is_vector(a) && a.rank > 0 && x.rank > 0 && a.size[a.rank - 1] == x.size[0];
  if (!fits) {
    char *one = shape_text(b, a), *other = shape_text(b, x);
    Value *broken = eval_error(b->eval, span, is_vector(a) ? "vectors are combined with *" : NULL,
                               "%s cannot multiply %s", one, other);
    free(one);
    free(other);
    return broken;
  }
  if (a.rank == 1 && x.rank == 2) /* a row from the left: x^T a */
    return symbol_of(
        b, product_act(b, hold(b, f), hold(b, e), true, (Shape){NO_POPULATION, 1, {x.size[1]}}));
  Shape shape = row_shape(x);
  if (a.rank == 2 && x.rank == 2) shape = (Shape){NO_POPULATION, 2, {a.size[0], x.size[1]}};
  if (a.rank == 2 && x.rank == 1) shape = (Shape){x.population, 1, {a.size[0]}};
  return symbol_of(b, product_act(b, hold(b, e), hold(b, f), a.rank == 1, shape));
}

static bool is_of_system(const Value *value) {
  return value->kind == VALUE_SYMBOL || value->kind == VALUE_POPULATION ||
         value->kind == VALUE_TERM;
}

Value *system_product(Eval *eval, Span span, Value *a, Value *x) {
  Builder *b = eval->system;
  if (a->kind == VALUE_MATRIX) return apply_matrix(b, span, a, x);
  if (x->kind == VALUE_MATRIX)
    return eval_error(eval, span, "W' @ x is the transpose on a vector",
                      "a matrix acts on what stands behind it");
  return combine(b, span, a, x);
}

Value *system_transpose(Eval *eval, Span span, Value *a) {
  Builder *b = eval->system;
  if (a->kind == VALUE_MATRIX) {
    Value *value = value_new(&eval->heap, VALUE_MATRIX);
    value->matrix = a->matrix;
    value->matrix.transposed = !a->matrix.transposed;
    return value;
  }
  const Expr *e = expression_of(b, span, a);
  Shape shape = e ? shape_of(b, e) : (Shape){0};
  if (!e) return nothing(b, a, NULL);
  if (is_vector(shape))
    return eval_error(eval, span, "dot(x, y) is the average of a product over neurons",
                      "vectors are not transposed");
  if (shape.rank < 2) return a;
  const char *why = NULL;
  Array *unit = array_eye(shape.size[0], &why);
  int eye = hold_made(b, (Shape){.rank = 2, .size = {shape.size[0], shape.size[0]}}, unit, why);
  return symbol_of(b, product_act(b, hold(b, e), eye, true,
                                  (Shape){NO_POPULATION, 2, {shape.size[1], shape.size[0]}}));
}

/* ---- parts ---- */

static int reshaped(Builder *b, int variable, Shape shape) {
  int dst = new_variable(b, NULL, shape);
  return add_act(b, (Act){.kind = ACT_RESHAPE, .dst = dst}, 1, &variable);
}

/* first .. first + count of an axis; false after reporting. */
static bool range_of(Builder *b, Span span, const Subscript *s, size_t length, size_t *first,
                     size_t *count) {
  double n = (double)length, begin = s->kind == SUBSCRIPT_AT ? s->at : s->has_begin ? s->begin : 0;
  double end = s->kind == SUBSCRIPT_AT ? 0 : s->has_end ? s->end : n;
  if (begin < 0) begin += n;
  if (end < 0) end += n;
  if (s->kind == SUBSCRIPT_AT) end = begin + 1;
  if (end > n && s->kind != SUBSCRIPT_AT) end = n;
  bool whole = begin == floor(begin) && end == floor(end);
  if (whole && begin >= 0 && end <= n && end > begin) {
    *first = (size_t)begin;
    *count = (size_t)(end - begin);
    return true;
  }
  if (s->kind == SUBSCRIPT_AT)
    eval_error(b->eval, span, NULL, "index %g is not among 0..%zu", s->at, length - 1);
  else
    eval_error(b->eval, span, NULL, "this part is empty");
  return false;
}

Value *system_part(Eval *eval, Span span, Value *base, int count, const Subscript *list) {
  Builder *b = eval->system;
  Shape shape = shape_of(b, base->symbol), part = shape;
  size_t first[2] = {0, 0};
  part.rank = 0;
  if (count > shape.rank)
    return eval_error(eval, span, shape.rank ? NULL : "neurons have no numbers: mean(x), dot(x, y)",
                      shape.rank ? "too many indices" : "this has no rows to choose from");
  for (int i = 0; i < shape.rank; i++) {
    Subscript all = {.kind = SUBSCRIPT_SLICE};
    const Subscript *s = i < count ? &list[i] : &all;
    size_t length = 0;
    if (s->kind != SUBSCRIPT_AT && s->kind != SUBSCRIPT_SLICE)
      return eval_error(eval, span, NULL, "rows are chosen by a number or a slice");
    if (!range_of(b, span, s, shape.size[i], &first[i], &length))
      return value_new(&eval->heap, VALUE_BROKEN);
    if (s->kind == SUBSCRIPT_SLICE) part.size[part.rank++] = length;
    shape.size[i] = length;
  }
  int src = hold(b, base->symbol), dst = new_variable(b, NULL, shape);
  Act act = {.kind = ACT_PART, .dst = dst, .first = {first[0], first[1]}};
  int chosen = add_act(b, act, 1, &src);
  b->system->variables[chosen].shape.rank = shape.rank;
  if (is_vector(shape)) /* a row of one is a vector */
    b->system->variables[chosen].shape.rank = part.rank;
  return symbol_of(b, !is_vector(shape) && part.rank < shape.rank ? reshaped(b, chosen, part)
                                                                  : chosen);
}

/* Known numbers of any axes as a table of their first axis and all others; their shape behind the
 * first is *row. NULL after reporting. */
static const Expr *as_table(Builder *b, Span span, Array *numbers, Shape *row) {
  enum { MOST_AXES = 3 };
  size_t first = numbers->rank ? numbers->shape[0] : 0;
  double flat[2] = {(double)first, 1};
  *row = (Shape){.population = NO_POPULATION, .rank = numbers->rank - 1};
  if (first == 0 || numbers->rank > MOST_AXES) {
    eval_error(b->eval, span, NULL, "numbers that are chosen by the step have 1 to %d axes",
               MOST_AXES);
    return NULL;
  }
  for (int i = 0; i < row->rank; i++) flat[1] *= (double)(row->size[i] = numbers->shape[i + 1]);
  const char *why = NULL;
  Array *table = array_reshape(numbers, row->rank ? 2 : 1, flat, &why);
  Shape shape = {.rank = row->rank ? 2 : 1, .size = {first, (size_t)flat[1]}};
  return expr_arg(b->eval->pool, hold_made(b, shape, table, why));
}

/* Known numbers at t have to be there at all steps. */
static void note_steps(Builder *b, const Expr *index, size_t length) {
  System *s = b->system;
  for (int i = 0; i < s->act_count; i++)
    if (s->acts[i].kind == ACT_CLOCK && index->prim == PRIM_ARG && index->index == s->acts[i].dst &&
        (!s->most_steps || length < s->most_steps))
      s->most_steps = length;
}

/* The shape of so many numbers. */
static Shape counted(size_t count) { return (Shape){.rank = 1, .size = {count}}; }

/* Rows times numbers that are 1 at the index, and 0 elsewhere; of which the program takes the row
 * alone. */
Value *system_pick(Eval *eval, Span span, Value *base, const Value *index) {
  Builder *b = eval->system;
  const Expr *i = expression_of(b, span, index);
  Shape at = i ? shape_of(b, i) : (Shape){0}, row = {.population = NO_POPULATION};
  if (i && (is_vector(at) || at.rank))
    return eval_error(eval, span, NULL, "an index is a single number");
  bool known = base->kind == VALUE_ARRAY;
  const Expr *e = !i      ? NULL
                  : known ? as_table(b, span, base->array, &row)
                          : expression_of(b, span, base);
  if (!e) return nothing(b, base, index);
  Shape shape = shape_of(b, e);
  if (!shape.rank) return eval_error(eval, span, NULL, "this has no rows to choose from");
  if (known) note_steps(b, i, shape.size[0]);
  const char *why = NULL;
  Array *range = array_range(0, (double)shape.size[0] - 1, 1, &why);
  const Expr *all = expr_arg(eval->pool, hold(b, e)),
             *at_index = expr_arg(eval->pool, hold_made(b, counted(shape.size[0]), range, why)),
             *number = expr_arg(eval->pool, hold(b, i));
  Value *here = symbol(b, span, expr_call(eval->pool, PRIM_EQ, at_index, number, NULL));
  Value *chosen = combine(b, span, here, symbol(b, span, all));
  if (row.rank < 2 || chosen->kind != VALUE_SYMBOL) return chosen;
  return symbol_of(b, reshaped(b, hold(b, chosen->symbol), row));
}

/* ---- functions ---- */

static Value *refused(Call *call, int i, const char *what) {
  Builder *b = call->eval->system;
  const Expr *e = call->args[i]->kind == VALUE_SYMBOL ? call->args[i]->symbol : NULL;
  char *text = e ? shape_text(b, shape_of(b, e)) : mem_string(value_describe(call->args[i]));
  Value *broken = eval_error(call->eval, call->places[i], NULL, "'%s' takes %s, not %s",
                             call->row->name, what, text);
  free(text);
  return broken;
}

/* Rows from argument i on: none, or a number. False after reporting. */
static bool rows_of_call(Call *call, int i, Shape *shape) {
  double rows;
  int given = call->count - i;
  while (given > 0 && call->args[i + given - 1]->kind == VALUE_NONE) given--;
  if (given <= 0) return true;
  if (given > 1) {
    eval_error(call->eval, call->places[i + 1], NULL, "rows of vectors have one axis");
    return false;
  }
  if (!call_whole(call, i, 1, MOST_ROWS, &rows)) return false;
  shape->rank = 1;
  shape->size[0] = (size_t)rows;
  return true;
}

/* normal(cells), normal(cells, K) */
static Value *draw(Call *call) {
  Builder *b = call->eval->system;
  Shape shape = {.population = call->args[0]->kind == VALUE_POPULATION ? call->args[0]->population
                                                                       : NO_POPULATION};
  if (!is_vector(shape)) return refused(call, 0, "a population");
  if (!rows_of_call(call, 1, &shape)) return call_broken(call);
  return symbol_of(
      b, add_act(b, (Act){.kind = ACT_NORMAL, .dst = new_variable(b, NULL, shape)}, 0, NULL));
}

/* gaussian(points = P, dim = D): a matrix from D to P, a row for each point. */
static Value *points(Call *call) {
  const Value *to = call->args[0], *from = call->args[1];
  for (int i = 0; i < 2; i++)
    if (call->args[i]->kind != VALUE_POPULATION) return refused(call, i, "populations");
  for (int i = 2; i < call->count; i++)
    if (call->nodes[i])
      return eval_error(call->eval, call->places[i], NULL,
                        "of populations these are all points, with independent entries");
  SystemMatrix matrix = {.from = from->population, .to = to->population, .sigma = 1};
  return new_matrix(call->eval->system, "gaussian", matrix);
}

/* Phi(z) of normal z. */
static Value *draw_uniform(Call *call) {
  Eval *eval = call->eval;
  Value *z = draw(call);
  if (z->kind != VALUE_SYMBOL) return z;
  const Expr *scaled =
      expr_call(eval->pool, PRIM_MUL, expr_const(eval->pool, M_SQRT1_2), z->symbol, NULL);
  const Expr *phi = expr_call(eval->pool, PRIM_ERF, scaled, NULL, NULL);
  phi = expr_call(eval->pool, PRIM_ADD, expr_const(eval->pool, 1), phi, NULL);
  return symbol(eval->system, call->span,
                expr_call(eval->pool, PRIM_MUL, expr_const(eval->pool, 0.5), phi, NULL));
}

static Value *fill(Call *call, double number) {
  Builder *b = call->eval->system;
  if (call->args[0]->kind != VALUE_POPULATION) return NULL;
  Shape shape = {.population = call->args[0]->population};
  if (!rows_of_call(call, 1, &shape)) return call_broken(call);
  Act act = {.kind = ACT_FILL, .dst = new_variable(b, NULL, shape), .number = number};
  return symbol_of(b, add_act(b, act, 0, NULL));
}

static Value *zeros(Call *call) { return fill(call, 0); }
static Value *ones(Call *call) { return fill(call, 1); }

/* Along the first axis. */
static Value *total(Builder *b, int x, double share) {
  Shape shape = b->system->variables[x].shape;
  if (shape.rank == 2)
    return symbol_of(
        b, product_act(b, x, hold_full(b, counted(shape.size[0]), share), true, row_shape(shape)));
  return symbol_of(
      b, product_act(b, hold_full(b, counted(shape.size[0]), share), x, true, row_shape(shape)));
}

static Value *sum(Call *call) {
  Builder *b = call->eval->system;
  Shape shape = shape_of(b, call->args[0]->symbol);
  if (call->args[1]->kind != VALUE_NONE)
    return eval_error(call->eval, call->places[1], NULL,
                      "in a system 'sum' runs over the rows of vectors, or over all numbers");
  if (is_vector(shape) && !shape.rank)
    return eval_error(call->eval, call->places[0], "mean(x) is the average over neurons",
                      "'sum' runs over rows, and this is a single vector");
  if (!shape.rank) return call->args[0];
  Value *value = total(b, hold(b, call->args[0]->symbol), 1);
  return shape.rank == 2 ? total(b, value->symbol->index, 1) : value;
}

static Value *average(Builder *b, int count, const int *src, Shape shape) {
  shape.population = NO_POPULATION;
  return symbol_of(
      b, add_act(b, (Act){.kind = ACT_AVERAGE, .dst = new_variable(b, NULL, shape)}, count, src));
}

static Value *mean(Call *call) {
  Builder *b = call->eval->system;
  Shape shape = shape_of(b, call->args[0]->symbol);
  int x = hold(b, call->args[0]->symbol);
  if (is_vector(shape)) return average(b, 1, &x, shape);
  if (!shape.rank) return call->args[0];
  Value *value = total(b, x, 1 / (double)shape.size[0]);
  return shape.rank == 2 ? total(b, value->symbol->index, 1 / (double)shape.size[1]) : value;
}

/* Two vectors of one population, as variables; false after reporting. */
static bool pair(Call *call, int *src, Shape *shapes) {
  Builder *b = call->eval->system;
  for (int i = 0; i < 2; i++) {
    const Expr *e = expression_of(b, call->places[i], call->args[i]);
    if (!e) return false;
    shapes[i] = shape_of(b, e);
    if (!is_vector(shapes[i]) && call->row->name[0] != 'd') {
      refused(call, i, "vectors");
      return false;
    }
    src[i] = hold(b, e);
  }
  return true;
}

static Value *dot_product(Call *call) {
  Builder *b = call->eval->system;
  int src[2];
  Shape shapes[2], shape;
  char *why = NULL;
  if (!pair(call, src, shapes)) return nothing(b, call->args[0], call->args[1]);
  bool fits = shape_join(b, shapes[0], shapes[1], &shape, &why) &&
              is_vector(shapes[0]) == is_vector(shapes[1]);
  if (!fits) {
    Value *broken = eval_error(call->eval, call->span,
                               "an average over neurons is of one population; a matrix takes a "
                               "vector to another",
                               "%s", why ? why : "'dot' takes two vectors");
    free(why);
    return broken;
  }
  if (is_vector(shape)) return average(b, 2, src, shape);
  Value *product =
      system_prim(call->eval, call->span, PRIM_MUL, symbol_of(b, src[0]), symbol_of(b, src[1]));
  if (product->kind != VALUE_SYMBOL || !shape.rank) return product;
  Value *value = total(b, hold(b, product->symbol), 1);
  return shape.rank == 2 ? total(b, value->symbol->index, 1) : value;
}

static Value *gram(Call *call) {
  Builder *b = call->eval->system;
  if (call->args[1]->kind == VALUE_NONE) call->args[1] = call->args[0];
  int src[2];
  Shape shapes[2], shape = {.population = NO_POPULATION};
  if (!pair(call, src, shapes)) return nothing(b, call->args[0], call->args[1]);
  if (shapes[0].population != shapes[1].population)
    return eval_error(call->eval, call->span, NULL, "an average over neurons is of one population");
  for (int i = 0; i < 2; i++)
    if (shapes[i].rank) shape.size[shape.rank++] = shapes[i].size[0];
  bool swap = !shapes[0].rank;
  int order[] = {src[swap], src[!swap]};
  return symbol_of(
      b, add_act(b, (Act){.kind = ACT_GRAM, .dst = new_variable(b, NULL, shape)}, 2, order));
}

/* c * outer(y, x) of a matrix to come. */
static Value *outer(Call *call) {
  Builder *b = call->eval->system;
  int src[2];
  Shape shapes[2];
  if (!pair(call, src, shapes)) return nothing(b, call->args[0], call->args[1]);
  size_t rows[2];
  for (int i = 0; i < 2; i++) rows[i] = shapes[i].rank ? shapes[i].size[0] : 1;
  if (rows[0] != rows[1] && rows[0] != 1 && rows[1] != 1)
    return eval_error(call->eval, call->span, NULL, "outer of %zu rows and %zu rows", rows[0],
                      rows[1]);
  Value *value = value_new(&call->eval->heap, VALUE_TERM);
  value->term.kind = TERM_OUTER;
  for (int i = 0; i < 2; i++) {
    bool spread = rows[i] > rows[!i]; /* y (sum_k x_k)^T */
    value->term.of[i] = spread ? total(b, src[i], 1)->symbol : expr_arg(call->eval->pool, src[i]);
  }
  return value;
}

/* Two vectors that are alike, the second as the first where it is not given; false after reporting.
 */
static bool alike(Call *call, const Expr **of) {
  Builder *b = call->eval->system;
  if (call->args[1]->kind == VALUE_NONE) call->args[1] = call->args[0];
  for (int i = 0; i < 2; i++) {
    of[i] = expression_of(b, call->places[i], call->args[i]);
    if (!of[i]) return false;
    if (!is_vector(shape_of(b, of[i]))) {
      refused(call, i, "a vector");
      return false;
    }
    of[i] = expr_arg(call->eval->pool, hold(b, of[i]));
  }
  Shape x = shape_of(b, of[0]), y = shape_of(b, of[1]);
  if (x.population == y.population && same_size(x, y)) return true;
  eval_error(call->eval, call->span, NULL,
             "'%s' takes two vectors of one population, or as many rows of them", call->row->name);
  return false;
}

static Value *two_time(Call *call) {
  Value *value = value_new(&call->eval->heap, VALUE_TERM);
  value->term.kind = TERM_TWO_TIME;
  return alike(call, value->term.of) ? value
                                     : nothing(call->eval->system, call->args[0], call->args[1]);
}

/* response(x, to = f): the mean of dx_i(t) / df_i(s). */
static Value *response(Call *call) {
  const Value *to = call->args[1];
  bool named = call->nodes[1] && call->nodes[1]->kind == AST_NAME;
  Value *value = value_new(&call->eval->heap, VALUE_TERM);
  value->term.kind = TERM_RESPONSE;
  if (!call->eval->system->step)
    return eval_error(call->eval, call->span, NULL, "'response' belongs in the step");
  if (to->kind == VALUE_SYMBOL && (!named || to->symbol->prim != PRIM_ARG))
    return eval_error(call->eval, call->places[1], "f = J @ x, and response(x, to = f)",
                      "a response is to a vector that has a name");
  return alike(call, value->term.of) ? value : nothing(call->eval->system, call->args[0], to);
}

Value *system_scale_term(Eval *eval, Span span, Value *term, Value *factor) {
  if (term->kind == VALUE_TERM && term->term.kind != TERM_OUTER)
    return eval_error(eval, span, NULL, "what runs over pairs of times is observed as it is");
  if (term->kind != VALUE_TERM || factor->kind == VALUE_TERM)
    return eval_error(eval, span, "write two updates", "outer products are not multiplied");
  Value *y = value_new(&eval->heap, VALUE_SYMBOL);
  y->symbol = term->term.of[0];
  Value *scaled = system_prim(eval, span, PRIM_MUL, factor, y);
  if (scaled->kind != VALUE_SYMBOL) return scaled;
  Value *value = value_new(&eval->heap, VALUE_TERM);
  value->term = term->term;
  value->term.of[0] = scaled->symbol;
  return value;
}

static Value *shift(Call *call) {
  Builder *b = call->eval->system;
  double number;
  const Expr *e = expression_of(b, call->places[0], call->args[0]);
  if (!e) return nothing(b, call->args[0], NULL);
  if (!is_vector(shape_of(b, e))) return refused(call, 0, "a vector");
  if (!call_whole(call, 1, -1e9, 1e9, &number)) return call_broken(call);
  int src = hold(b, e), dst = new_variable(b, NULL, shape_of(b, e));
  return symbol_of(b, add_act(b, (Act){.kind = ACT_SHIFT, .dst = dst, .number = number}, 1, &src));
}

/* Rows of several, one below the other: each a vector or a number, or with `join` rows of them. */
static Value *stacked(Call *call, int count, const int *parts, Shape row) {
  Builder *b = call->eval->system;
  size_t rows = 0;
  for (int i = 0; i < count; i++) {
    Shape own = b->system->variables[parts[i]].shape;
    rows += own.rank > row.rank ? own.size[0] : 1;
  }
  Shape shape = {.population = row.population, .rank = row.rank + 1, .size = {rows, row.size[0]}};
  int dst = new_variable(b, NULL, shape);
  return symbol_of(b, add_act(b, (Act){.kind = ACT_STACK, .dst = dst}, count, parts));
}

static bool same_shape(Shape x, Shape y) { return x.population == y.population && same_size(x, y); }

static Value *stack(Call *call) {
  Builder *b = call->eval->system;
  int *parts = mem_new((size_t)call->count + 1, sizeof *parts);
  Value *value = NULL;
  Shape row = {.population = NO_POPULATION};
  for (int i = 0; i < call->count && !value; i++) {
    const Expr *e = expression_of(b, call->places[i], call->args[i]);
    if (!e) {
      value = nothing(b, call->args[i], NULL);
      break;
    }
    parts[i] = hold(b, e);
    Shape shape = b->system->variables[parts[i]].shape;
    if (i == 0) row = shape;
    if (row.rank > (is_vector(row) ? 0 : 1))
      value = refused(call, 0, "vectors, or numbers of one axis");
    else if (!same_shape(row, shape))
      value = eval_error(call->eval, call->places[i], NULL, "the parts of a stack are alike");
  }
  if (!value) value = stacked(call, call->count, parts, row);
  free(parts);
  return value;
}

/* The first row goes, and x joins at the end. */
static Value *push(Call *call) {
  Builder *b = call->eval->system;
  const Expr *table = expression_of(b, call->places[0], call->args[0]),
             *e = table ? expression_of(b, call->places[1], call->args[1]) : NULL;
  if (!table || !e) return nothing(b, call->args[0], call->args[1]);
  Shape whole = shape_of(b, table), row = shape_of(b, e);
  if (!whole.rank || !same_shape(row_shape(whole), row))
    return eval_error(call->eval, call->span, NULL,
                      "'push' adds a row to rows that are like it, and drops the first");
  int parts[2] = {-1, hold(b, e)};
  if (whole.size[0] == 1) return stacked(call, 1, parts + 1, row);
  Shape rest = whole;
  rest.size[0]--;
  int src = hold(b, table), dst = new_variable(b, NULL, rest);
  parts[0] = add_act(b, (Act){.kind = ACT_PART, .dst = dst, .first = {1, 0}}, 1, &src);
  return stacked(call, 2, parts, row);
}

/* The shape that the arguments of reshape ask for; an axis of -1 has what the other leaves. */
static bool asked_shape(Call *call, size_t numbers, Shape *shape) {
  double sizes[2], others = 1;
  if (call->count > 3) {
    eval_error(call->eval, call->places[3], NULL, "numbers of a system have at most two axes");
    return false;
  }
  for (int i = 1; i < call->count; i++) {
    if (!call_whole(call, i, -1, MOST_ROWS, &sizes[i - 1])) return false;
    if (sizes[i - 1] > 0) others *= sizes[i - 1];
  }
  *shape = (Shape){.population = NO_POPULATION, .rank = call->count - 1};
  for (int i = 0; i < shape->rank; i++)
    shape->size[i] = sizes[i] < 0 ? numbers / (size_t)others : (size_t)sizes[i];
  return true;
}

/* Numbers in another shape. */
static Value *reshape(Call *call) {
  Builder *b = call->eval->system;
  const Expr *e = expression_of(b, call->places[0], call->args[0]);
  Shape old = e ? shape_of(b, e) : (Shape){0}, shape;
  if (!e) return nothing(b, call->args[0], NULL);
  if (is_vector(old)) return refused(call, 0, "numbers");
  if (!asked_shape(call, shape_size(old), &shape)) return call_broken(call);
  if (shape_size(shape) != shape_size(old))
    return eval_error(call->eval, call->span, NULL, "%zu numbers do not fill this shape",
                      shape_size(old));
  return symbol_of(b, reshaped(b, hold(b, e), shape));
}

static Value *mix(Call *call) {
  return combine(call->eval->system, call->span, call->args[0], call->args[1]);
}

/* exp(x - log sum exp x) along the last axis. */
static Value *softmax(Call *call) {
  Builder *b = call->eval->system;
  if (call->args[1]->number != 0)
    return eval_error(call->eval, call->places[1], "add large negative numbers to what is not seen",
                      "in a system 'softmax' sees all columns");
  Eval *eval = call->eval;
  const Expr *e = expression_of(b, call->places[0], call->args[0]);
  if (!e) return nothing(b, call->args[0], NULL);
  Shape shape = shape_of(b, e);
  if (is_vector(shape) || !shape.rank) return refused(call, 0, "numbers of one axis or two");
  int x = hold(b, e);
  Shape flat = {.population = NO_POPULATION, .rank = 1, .size = {shape_size(shape)}};
  Shape rows = {.population = NO_POPULATION, .rank = shape.rank - 1, .size = {shape.size[0]}};
  int src = shape.rank == 2 ? reshaped(b, x, flat) : x, dst = new_variable(b, NULL, rows);
  int lse = add_act(b, (Act){.kind = ACT_LSE, .dst = dst}, 1, &src);
  const Expr *rest =
      expr_call(eval->pool, PRIM_SUB, expr_arg(eval->pool, x), expr_arg(eval->pool, lse), NULL);
  const Expr *share = expr_call(eval->pool, PRIM_EXP, rest, NULL, NULL);
  int result = new_variable(b, NULL, shape);
  return symbol_of(
      b, add_act(b, (Act){.kind = ACT_MAP, .dst = result, .expr = share}, 2, (int[]){x, lse}));
}

/* The quantile of known numbers at a vector of ranks, as of numbers: between order statistics it is
 * linear, a sum of as many steps. */
static Value *quantile(Call *call) {
  enum { MOST = 1000 };
  Eval *eval = call->eval;
  const Value *from = call->args[0];
  if (from->kind != VALUE_ARRAY || from->array->rank != 1 || call->args[1]->kind != VALUE_SYMBOL)
    return NULL;
  if (from->array->size > MOST)
    return eval_error(eval, call->places[0], NULL, "at most %d quantiles", MOST);
  const char *why = NULL;
  Array *sorted = array_sort(from->array, 0, &why);
  if (!sorted) return call_give(call, NULL, why);
  size_t n = sorted->size;
  ExprPool *pool = eval->pool;
  const Expr *sum = expr_const(pool, sorted->data[0]),
             *at = expr_call(pool, PRIM_MUL, expr_const(pool, (double)n - 1), call->args[1]->symbol,
                             NULL);
  at = expr_arg(pool, hold(eval->system, at));
  for (size_t i = 0; i + 1 < n; i++) {
    const Expr *part = expr_call(pool, PRIM_SUB, at, expr_const(pool, (double)i), NULL);
    part = expr_call(pool, PRIM_MIN, expr_call(pool, PRIM_RELU, part, NULL, NULL),
                     expr_const(pool, 1), NULL);
    part = expr_call(pool, PRIM_MUL, expr_const(pool, sorted->data[i + 1] - sorted->data[i]), part,
                     NULL);
    sum = expr_call(pool, PRIM_ADD, sum, part, NULL);
  }
  array_drop(sorted);
  return symbol(eval->system, call->span, sum);
}

Value *system_list(Eval *eval, Span span, Value *list) {
  bool symbols = false;
  for (int i = 0; i < list->list.count; i++) symbols |= list->list.items[i]->kind == VALUE_SYMBOL;
  if (!symbols) return list;
  const Expr *e = listed(eval->system, span, list);
  return e ? symbol(eval->system, span, e) : value_new(&eval->heap, VALUE_BROKEN);
}

/* The functions of the language that mean something of their own in a system: with one of its
 * values among the arguments. */
static const struct {
  const char *name;
  Value *(*run)(Call *call);
} functions[] = {{"normal", draw},       {"uniform", draw_uniform},
                 {"gaussian", points},   {"zeros", zeros},
                 {"ones", ones},         {"sum", sum},
                 {"mean", mean},         {"dot", dot_product},
                 {"gram", gram},         {"outer", outer},
                 {"two_time", two_time}, {"response", response},
                 {"shift", shift},       {"reshape", reshape},
                 {"stack", stack},       {"push", push},
                 {"quantile", quantile}, {"descend", system_descend},
                 {"mix", mix},           {"softmax", softmax}};

Value *system_call(Call *call) {
  bool own = false;
  if (strcmp(call->row->name, "lyapunov") == 0) {
    Value *value = value_new(&call->eval->heap, VALUE_TERM);
    value->term.kind = TERM_EXPONENT;
    return value;
  }
  for (int i = 0; i < call->count; i++) own |= is_of_system(call->args[i]);
  for (size_t i = 0; own && i < sizeof functions / sizeof *functions; i++)
    if (strcmp(functions[i].name, call->row->name) == 0) return functions[i].run(call);
  return NULL;
}
