/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tangents of the step of a system, as further acts of it: the derivative of everything along a
 * direction that is carried on, with the same matrices, each behind the act that it is of.
 *
 * For `lyapunov` the direction is random at the start, and brought back to length one in every
 * step. What matrices have learned is part of it, measured by what it makes of the vectors that
 * they met in the step; their twins hold 1 / c of it, with a number c that is carried along. For a
 * response to a field f the direction is zero at the start, and f moves by fresh noise z(s) of unit
 * variance in every step s. Then <dx(t) z(s)> is the mean over neurons of dx_i(t) / df_i(s): what
 * other neurons, and other times, add has mean zero. What a matrix has learned moves, too: its twin
 * dW takes up dy x^T + y dx^T where W takes up y x^T. */
#include "model/derive.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Forward {
  Builder *b;
  const Tangent *tangent;
  const Expr **dot; /* [variable]: its derivative along the direction, or NULL */
  bool *jumps;      /* [variable]: it has jumps where it has a derivative */
  int *twin;        /* [matrix]: what it has learned moves by this one, or -1 */
  const Expr *kick; /* z, or NULL */
  int measure;      /* c, or -1 */
} Forward;

/* Numbers that move serve all neurons, rows, or entries of what they are combined with. */
static const Expr *stretched(Builder *b, const Expr *e, Shape shape) {
  Shape own = shape_of(b, e);
  bool fits = own.population == shape.population && own.rank == shape.rank;
  for (int i = 0; i < own.rank && fits; i++) fits = own.size[i] == shape.size[i];
  if (fits) return e;
  if (is_vector(shape)) return times(b, e, made(b, ACT_FILL, shape, (Act){.number = 1}, 0, NULL));
  return times(b, e, variable(b, hold_full(b, shape, 1)));
}

static const Expr *along_map(Forward *f, const Act *act) {
  Builder *b = f->b;
  const Expr *sum = NULL;
  for (int i = 0; i < act->count; i++) {
    int v = act->src[i];
    const Expr *slope = f->dot[v] ? expr_diff(b->eval->pool, act->expr, v) : NULL;
    bool flat = slope && slope->prim == PRIM_CONST && slope->value == 0;
    if (flat) f->jumps[act->dst] = true;
    if (slope && !flat) sum = sum_of(b, sum, times(b, slope, f->dot[v]));
  }
  return sum ? stretched(b, sum, own_shape(b, act->dst)) : NULL;
}

/* The same act with its source i replaced by the derivative of it. */
static const Expr *replaced(Forward *f, const Act *act, int i) {
  if (!f->dot[act->src[i]]) return NULL;
  int src[2] = {act->src[0], act->count > 1 ? act->src[1] : -1};
  Act copy = *act;
  src[i] = hold(f->b, f->dot[act->src[i]]);
  copy.src = NULL;
  return made(f->b, act->kind, own_shape(f->b, act->dst), copy, act->count, src);
}

static int zeros_like(Builder *b, int v) {
  Shape shape = own_shape(b, v);
  if (is_vector(shape)) return hold(b, made(b, ACT_FILL, shape, (Act){0}, 0, NULL));
  return hold_full(b, shape, 0);
}

static const Expr *along_stack(Forward *f, const Act *act) {
  Builder *b = f->b;
  int *src = mem_new((size_t)act->count + 1, sizeof *src);
  bool any = false;
  for (int i = 0; i < act->count; i++) {
    const Expr *dot = f->dot[act->src[i]];
    any |= dot != NULL;
    src[i] = dot ? hold(b, dot) : zeros_like(b, act->src[i]);
  }
  const Expr *e =
      any ? made(b, ACT_STACK, own_shape(b, act->dst), (Act){0}, act->count, src) : NULL;
  free(src);
  return e;
}

static const Expr *along_lse(Forward *f, const Act *act) {
  Builder *b = f->b;
  int x = act->src[0];
  Shape xs = own_shape(b, x), os = own_shape(b, act->dst);
  if (!f->dot[x]) return NULL;
  Shape rows = os.rank ? (Shape){NO_POPULATION, 2, {os.size[0], xs.size[0] / os.size[0]}} : xs;
  int dx = hold(b, f->dot[x]), v = x;
  if (os.rank) {
    v = hold(b, made(b, ACT_RESHAPE, rows, (Act){0}, 1, &x));
    dx = hold(b, made(b, ACT_RESHAPE, rows, (Act){0}, 1, &dx));
  }
  const Expr *share = expr_call(
      b->eval->pool, PRIM_EXP, two(b, PRIM_SUB, variable(b, v), variable(b, act->dst)), NULL, NULL);
  return gathered(b, times(b, share, variable(b, dx)), os);
}

/* d(W x) = W dx + dW x */
static const Expr *along_product(Forward *f, const Act *act) {
  const Expr *e = replaced(f, act, 0);
  if (f->twin[act->matrix] < 0) return e;
  Act own = {.matrix = f->twin[act->matrix]};
  const Expr *moved = made(f->b, act->kind, own_shape(f->b, act->dst), own, 1, act->src);
  if (f->measure >= 0) moved = times(f->b, variable(f->b, f->measure), moved);
  return sum_of(f->b, e, moved);
}

static const Expr *along(Forward *f, const Act *act) {
  switch (act->kind) {
  case ACT_MAP: return along_map(f, act);
  case ACT_STACK: return along_stack(f, act);
  case ACT_LSE: return along_lse(f, act);
  case ACT_AVERAGE:
  case ACT_GRAM:
  case ACT_PRODUCT:
    return sum_of(f->b, replaced(f, act, 0), act->count > 1 ? replaced(f, act, 1) : NULL);
  case ACT_APPLY:
  case ACT_APPLY_T: return along_product(f, act);
  case ACT_PART:
  case ACT_RESHAPE:
  case ACT_SHIFT: return replaced(f, act, 0);
  default: return NULL;
  }
}

/* dW += dy x^T + y dx^T, dW *= keep */
static void along_change(Forward *f, const Act *act) {
  int twin = f->twin[act->matrix];
  if (twin < 0) return;
  Act own = {.kind = act->kind, .matrix = twin, .dst = -1, .number = act->number};
  if (act->kind == ACT_REDRAW) own.kind = ACT_DECAY; /* by 0: a new matrix has no derivative */
  if (own.kind == ACT_DECAY) add_act(f->b, own, 0, NULL);
  for (int i = 0; i < act->count; i++) {
    const Expr *dot = f->dot[act->src[i]];
    int src[2] = {act->src[0], act->src[1]};
    if (!dot) continue;
    if (f->measure >= 0) dot = two(f->b, PRIM_DIV, dot, variable(f->b, f->measure));
    src[i] = hold(f->b, dot);
    add_act(f->b, own, 2, src);
  }
}

/* Numbers move by means over neurons of what moves at random: nothing that a response sees. */
static bool moves(const Forward *f, int v) {
  return f->tangent->grows || is_vector(own_shape(f->b, v));
}

static void follow(Forward *f, const Act *act) {
  Builder *b = f->b;
  int dst = act->dst;
  if (act->kind == ACT_OUTER || act->kind == ACT_DECAY || act->kind == ACT_REDRAW)
    along_change(f, act);
  if (dst < 0 || act->kind == ACT_SET || !moves(f, dst)) return;
  for (int i = 0; i < act->count; i++) f->jumps[dst] |= f->jumps[act->src[i]];
  const Expr *e = along(f, act);
  if (dst == f->tangent->to) e = sum_of(b, e, f->kick);
  if (e) f->dot[dst] = variable(b, hold(b, e));
}

static bool is_made(const Act *acts, int count, int v) {
  for (int i = 0; i < count; i++)
    if (acts[i].dst == v) return true;
  return false;
}

/* The noise that moves a field, from the beginning where the step does not make it. */
static void kick_off(Forward *f, bool now) {
  Builder *b = f->b;
  int to = f->tangent->to;
  f->kick = made(b, ACT_NORMAL, own_shape(b, to), (Act){0}, 0, NULL);
  if (now) f->dot[to] = variable(b, hold(b, sum_of(b, f->dot[to], f->kick)));
}

/* The step once more, each act with what moves along behind it; the first of them is the clock.
 * Expressions that are held already may be so only later. */
static void follow_step(Forward *f) {
  Builder *b = f->b;
  System *s = b->system;
  int first = s->start_count, count = s->act_count - first, to = f->tangent->to;
  Act *own = mem_new((size_t)count + 1, sizeof *own);
  memcpy(own, s->acts + first, (size_t)count * sizeof *own);
  s->act_count = first;
  if (b->held) memset(b->held, 0, b->held_room * sizeof *b->held);
  for (int i = 0; i < count; i++) {
    s->acts = mem_more(s->acts, s->act_count, sizeof *s->acts);
    s->acts[s->act_count++] = own[i];
    int mark = s->act_count;
    if (!own[i].along) follow(f, &own[i]);
    if (i == 0 && to >= 0) kick_off(f, !is_made(own, count, to));
    for (int k = mark; k < s->act_count; k++) s->acts[k].along = true;
  }
  free(own);
}

/* ---- the direction ---- */

/* The states of a step, with and without a name, what they become (-1: they stay), and what carries
 * on their derivatives (-1: nothing does). */
typedef struct States {
  int *state, *next, *direction;
  int count;
} States;

/* What a direction has at first: noise, and numbers no two of which are alike, so that no symmetry
 * of a step keeps it from the one that grows. */
static int first_of(Builder *b, Shape shape) {
  int before = b->system->act_count, v;
  if (is_vector(shape)) {
    v = add_act(b, (Act){.kind = ACT_NORMAL, .dst = new_variable(b, NULL, shape)}, 0, NULL);
  } else {
    const char *why = NULL;
    Array *array = array_full(shape.rank, shape.size, 0, &why);
    for (size_t i = 0; array && i < array->size; i++) array->data[i] = cos(1 + (double)i);
    v = hold_made(b, shape, array, why);
  }
  bring_forward(b, before);
  return v;
}

/* Those of numbers only where a direction grows; the measures of matrices, which are no states of
 * the script, begin with none. */
static States states_of(Builder *b, const Tangent *tangent, const int *next) {
  int count = b->state_count + tangent->memories;
  bool grows = tangent->grows;
  size_t room = (size_t)count + 1;
  States q = {mem_new(room, sizeof *q.state), mem_new(room, sizeof *q.next),
              mem_new(room, sizeof *q.direction), count};
  for (int i = 0; i < count; i++) {
    bool named = i < b->state_count;
    q.state[i] = named ? b->states[i] : b->carried[i - b->state_count];
    q.next[i] = named ? next[i] : b->next[i - b->state_count];
  }
  for (int i = 0; i < count; i++) {
    Shape shape = own_shape(b, q.state[i]);
    bool moved = q.next[i] >= 0 && (grows || is_vector(shape));
    bool begins = grows && i < count - b->measure_count;
    q.direction[i] = moved ? carry(b, shape, begins ? first_of(b, shape) : -1) : -1;
  }
  return q;
}

static void states_free(States *q) {
  free(q->state);
  free(q->next);
  free(q->direction);
}

/* A matrix without entries of its own for each that learns in the step, and their measure. */
static void add_twins(Forward *f) {
  System *s = f->b->system;
  bool any = false;
  for (int i = s->start_count; i < s->act_count; i++) {
    int m = s->acts[i].matrix;
    if (s->acts[i].kind != ACT_OUTER || f->twin[m] >= 0) continue;
    any = true;
    SystemMatrix twin = {.from = s->matrices[m].from, .to = s->matrices[m].to};
    twin.name = mem_format("d%s", s->matrices[m].name);
    s->matrices = mem_grow(s->matrices, (size_t)(s->matrix_count + 1) * sizeof *s->matrices);
    f->twin[m] = s->matrix_count;
    s->matrices[s->matrix_count++] = twin;
  }
  if (any && f->tangent->grows) f->measure = carry_one(f->b);
}

/* The squared length of the direction: of vectors over all populations, in units of N, and of
 * numbers. */
static const Expr *length_of(Builder *b, const Expr *const *parts, int count) {
  const Expr *sum = NULL;
  for (int i = 0; i < count; i++) {
    if (!parts[i]) continue;
    Shape shape = shape_of(b, parts[i]);
    double ratio = is_vector(shape) ? b->system->populations[shape.population].ratio : 1;
    const Expr *square =
        is_vector(shape) ? averaged(b, parts[i], parts[i], shape) : times(b, parts[i], parts[i]);
    square = gathered(b, square, (Shape){.population = NO_POPULATION});
    sum = sum_of(b, sum, times(b, number(b, ratio), square));
  }
  return sum;
}

/* A direction is set at the end of the step, to a variable of its own. */
static void set_direction(Builder *b, int direction, const Expr *e) {
  if (e->prim == PRIM_ARG) {
    int v = e->index;
    e = made(b, ACT_MAP, own_shape(b, v), (Act){.expr = e}, 1, &v);
  }
  carry_on(b, direction, e);
}

/* dW x of a use of the matrix W, as it is after the step; NULL where it does not move. */
static const Expr *moved_image(Forward *f, Act act) {
  Builder *b = f->b;
  Act own = {.matrix = f->twin[act.matrix]};
  Shape shape = own_shape(b, act.dst);
  int k = measure_of(b, act.matrix), end = k < 0 ? -1 : b->next[k];
  const Expr *image = own.matrix < 0 ? NULL : made(b, act.kind, shape, own, 1, act.src);
  if (image) image = times(b, variable(b, f->measure), image);
  if (image && end >= 0) image = times(b, variable(b, end), image);
  if (end < 0 || !f->dot[end]) return image;
  own.matrix = act.matrix;
  return sum_of(b, image, times(b, f->dot[end], made(b, act.kind, shape, own, 1, act.src)));
}

/* The squared lengths of the images of what the step met under what of matrices moves. */
static const Expr *learned_length(Forward *f) {
  Builder *b = f->b;
  const Expr *sum = NULL;
  for (int i = b->system->start_count, end = b->system->act_count; i < end; i++) {
    Act act = b->system->acts[i];
    bool acts = !act.along && (act.kind == ACT_APPLY || act.kind == ACT_APPLY_T);
    const Expr *image = acts ? moved_image(f, act) : NULL;
    if (image) sum = sum_of(b, sum, length_of(b, &image, 1));
  }
  return sum;
}

/* The factor by which the squared length grows: matrices do not move at first. */
static const Expr *length_gain(Forward *f, const Expr *before, const Expr *after) {
  Builder *b = f->b;
  bool moves = f->measure >= 0 || b->measure_count;
  if (moves) after = sum_of(b, after, learned_length(f));
  if (!after) return number(b, 0);
  if (!moves) return two(b, PRIM_DIV, after, before);
  const Expr *first = two(b, PRIM_EQ, clock_of(b), number(b, 0));
  before = expr_call(b->eval->pool, PRIM_SELECT, first, before, number(b, 1));
  return two(b, PRIM_DIV, after, before);
}

/* The growth of the direction, which is brought back to length one. */
static void take_growth(Forward *f, const States *q) {
  Builder *b = f->b;
  size_t room = (size_t)q->count + 1;
  const Expr **from = mem_new(room, sizeof *from), **to = mem_new(room, sizeof *to);
  for (int i = 0; i < q->count; i++) {
    if (q->direction[i] < 0) continue;
    from[i] = variable(b, q->direction[i]);
    to[i] = f->dot[q->next[i]];
  }
  int states = q->count - b->measure_count;
  const Expr *gain = length_gain(f, length_of(b, from, states), length_of(b, to, states));
  const Expr *root = expr_call(b->eval->pool, PRIM_SQRT, gain, NULL, NULL);
  int r = hold(b, root);
  SystemField *field = &b->system->fields[f->tangent->field];
  field->variable = hold(b, expr_call(b->eval->pool, PRIM_LOG, variable(b, r), NULL, NULL));
  field->other = field->variable;
  for (int i = 0; i < q->count; i++)
    if (from[i])
      set_direction(b, q->direction[i],
                    to[i] ? two(b, PRIM_DIV, to[i], variable(b, r))
                          : variable(b, zeros_like(b, q->next[i])));
  if (f->measure >= 0)
    carry_on(b, f->measure, two(b, PRIM_DIV, variable(b, f->measure), variable(b, r)));
  free(from);
  free(to);
}

/* <dx(t) z(s)> */
static void take_response(Forward *f, const States *q) {
  Builder *b = f->b;
  SystemField *field = &b->system->fields[f->tangent->field];
  Shape shape = own_shape(b, f->tangent->of);
  const Expr *moved = f->dot[f->tangent->of];
  field->variable = hold(b, moved ? moved : made(b, ACT_FILL, shape, (Act){0}, 0, NULL));
  field->other = hold(b, f->kick);
  for (int i = 0; i < q->count; i++)
    if (q->direction[i] >= 0 && f->dot[q->next[i]])
      set_direction(b, q->direction[i], f->dot[q->next[i]]);
}

/* Whether all that counts has a derivative; reports otherwise. */
static bool is_smooth(const Forward *f, const States *q) {
  Builder *b = f->b;
  bool jumps = f->tangent->of >= 0 && f->jumps[f->tangent->of];
  for (int i = 0; i < q->count; i++) jumps |= q->next[i] >= 0 && f->jumps[q->next[i]];
  if (jumps)
    eval_error(b->eval, f->tangent->span, "tanh(10 * x) is a smooth sign(x)",
               "the step has jumps, and no derivative where they are");
  return !jumps;
}

void system_tangent(Builder *b, const Tangent *tangent, const int *next) {
  System *s = b->system;
  size_t variables = (size_t)s->variable_count + 1, matrices = (size_t)s->matrix_count + 1;
  Forward f = {b,
               tangent,
               mem_new(variables, sizeof *f.dot),
               mem_new(variables, sizeof *f.jumps),
               mem_new(matrices, sizeof *f.twin),
               NULL,
               -1};
  for (int i = 0; i < s->matrix_count; i++) f.twin[i] = -1;
  add_twins(&f);
  States q = states_of(b, tangent, next);
  for (int i = 0; i < q.count; i++)
    if (q.direction[i] >= 0) f.dot[q.state[i]] = variable(b, q.direction[i]);
  follow_step(&f);
  int mark = s->act_count;
  if (is_smooth(&f, &q)) (tangent->grows ? take_growth : take_response)(&f, &q);
  for (int k = mark; k < s->act_count; k++) s->acts[k].along = true;
  states_free(&q);
  free(f.dot);
  free(f.jumps);
  free(f.twin);
}
