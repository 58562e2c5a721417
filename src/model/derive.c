/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Derivatives of the step of a system, as further acts of it.
 *
 * Backward, for `descend`: of a loss, the adjoint of a vector x on population a is x~ = N_a
 * dloss/dx and that of numbers m is m~ = dloss/dm. With rho = N_a / N_b of W : b -> a,
 *
 *     z = W x        x~ += W' z~ / rho,   W -= eta outer(z~, x)
 *     s = W' y       y~ += rho W s~,      W -= eta rho outer(y, s~)
 *     m = <x y>      x~ += m~ y,          y~ += m~ x
 *     u = f(x, m)    x~ += f_x u~,        m~ += <f_m u~>
 *
 * so that dW = -eta rho dloss/dW, and dv = -eta N_a dloss/dv of a vector v. */
#include "model/derive.h"
#include "base/memory.h"
#include "model/builtins.h"
#include "model/descent.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- expressions ---- */

static size_t rows_in(Shape shape) { return shape.rank ? shape.size[0] : 1; }

const Expr *made(Builder *b, ActKind kind, Shape shape, Act act, int count, const int *src) {
  act.kind = kind;
  act.dst = new_variable(b, NULL, shape);
  return variable(b, add_act(b, act, count, src));
}

static int ones(Builder *b, size_t count) {
  return hold_full(b, (Shape){.rank = 1, .size = {count}}, 1);
}

/* Numbers [rows, cols] that are 1 at (i, i + first), or transposed. */
static int selection(Builder *b, size_t rows, size_t cols, size_t first, bool transpose) {
  Shape shape = {.rank = 2, .size = {transpose ? cols : rows, transpose ? rows : cols}};
  const char *why = NULL;
  Array *array = array_full(2, shape.size, 0, &why);
  for (size_t i = 0; array && i < rows; i++)
    array->data[transpose ? (i + first) * rows + i : i * cols + i + first] = 1;
  return hold_made(b, shape, array, why);
}

static const Expr *product(Builder *b, int table, int x, bool transpose, Shape shape) {
  return made(b, ACT_PRODUCT, shape, (Act){.transpose = transpose}, 2, (int[]){table, x});
}

static bool same_size(Shape x, Shape y) {
  bool same = x.rank == y.rank;
  for (int i = 0; same && i < x.rank; i++) same = x.size[i] == y.size[i];
  return same;
}

/* Sums along the axes that have length 1 in the target. */
static const Expr *folded(Builder *b, const Expr *e, Shape shape, Shape target) {
  for (int axis = 0; axis < 2; axis++) {
    if (shape.size[axis] == target.size[axis]) continue;
    Shape line = {.rank = 2, .size = {axis ? shape.size[1] : 1, axis ? 1 : shape.size[0]}};
    int v = hold(b, e), all = hold_full(b, line, 1);
    shape.size[axis] = 1;
    e = axis ? product(b, v, all, false, shape) : product(b, all, v, false, shape);
  }
  return e;
}

const Expr *gathered(Builder *b, const Expr *e, Shape target) {
  Shape shape = shape_of(b, e);
  if (same_size(shape, target)) return e;
  int v = hold(b, e);
  if (shape.rank == 2 && target.rank == 2) return folded(b, e, shape, target);
  if (shape.rank == 2 && target.rank == 1)
    return product(b, v, ones(b, shape.size[1]), false, target);
  if (shape.rank == 2) {
    Shape cols = {.population = NO_POPULATION, .rank = 1, .size = {shape.size[1]}};
    v = hold(b, product(b, v, ones(b, shape.size[0]), true, cols));
    shape = cols;
  }
  target.population = shape.population;
  return product(b, ones(b, shape.size[0]), v, true, target);
}

const Expr *averaged(Builder *b, const Expr *x, const Expr *y, Shape shape) {
  int src[2] = {hold(b, x), y ? hold(b, y) : -1};
  shape.population = NO_POPULATION;
  return made(b, ACT_AVERAGE, shape, (Act){0}, y ? 2 : 1, src);
}

/* ---- backward ---- */

/* What is known of the loss: the adjoint of each variable, or NULL. */
typedef struct Backward {
  Builder *b;
  const Expr **bar;
  bool *lives;   /* depends on a parameter */
  double *rates; /* [matrix]: of those that are parameters, in units of the rate; 0: it is none */
  int end;       /* of the acts that are read backward */
} Backward;

static void add_bar(Backward *r, int v, const Expr *e) {
  if (!r->lives[v] || !e) return;
  e = gathered(r->b, e, own_shape(r->b, v));
  r->bar[v] = variable(r->b, hold(r->b, sum_of(r->b, r->bar[v], e)));
}

static void back_map(Backward *r, const Act *act, const Expr *bar) {
  Builder *b = r->b;
  Shape out = own_shape(b, act->dst);
  for (int i = 0; i < act->count; i++) {
    int v = act->src[i];
    if (!r->lives[v]) continue;
    const Expr *e = times(b, expr_diff(b->eval->pool, act->expr, v), bar);
    bool crosses = is_vector(out) && !is_vector(own_shape(b, v));
    if (e->prim == PRIM_CONST && e->value == 0) continue;
    add_bar(r, v, crosses ? averaged(b, e, NULL, out) : e);
  }
}

/* A vector of ones, or rows, on a population. */
static const Expr *constant_vector(Builder *b, Shape shape) {
  shape.rank = 0;
  return made(b, ACT_FILL, shape, (Act){.number = 1}, 0, NULL);
}

static void back_average(Backward *r, const Act *act, const Expr *bar) {
  Builder *b = r->b;
  for (int i = 0; i < act->count; i++) {
    const Expr *other = act->count > 1 ? variable(b, act->src[1 - i])
                                       : constant_vector(b, own_shape(b, act->src[0]));
    add_bar(r, act->src[i], times(b, bar, other));
  }
}

/* <x_i y_j>, where y may be a single vector. */
static void back_gram(Backward *r, const Act *act, const Expr *bar) {
  Builder *b = r->b;
  int x = act->src[0], y = act->src[1], m = hold(b, bar);
  Shape xs = own_shape(b, x), ys = own_shape(b, y);
  if (!ys.rank) {
    add_bar(r, x, times(b, bar, variable(b, y)));
    add_bar(r, y, xs.rank ? product(b, m, x, true, ys) : times(b, bar, variable(b, x)));
    return;
  }
  add_bar(r, x, product(b, m, y, false, xs));
  add_bar(r, y, product(b, m, x, true, ys));
}

/* out = A x or A^T x */
static void back_product(Backward *r, const Act *act, const Expr *bar) {
  Builder *b = r->b;
  int a = act->src[0], x = act->src[1], o = hold(b, bar);
  Shape as = own_shape(b, a), xs = own_shape(b, x), os = own_shape(b, act->dst);
  if (r->lives[x]) { /* of one row in the result: the rows of A times it */
    bool single = !os.rank || (as.rank == 1 && act->transpose);
    add_bar(r, x,
            single && as.rank == 1 ? times(b, variable(b, a), bar)
                                   : product(b, a, o, !act->transpose, xs));
  }
  if (!r->lives[a]) return;
  int left = act->transpose ? x : o, right = act->transpose ? o : x;
  if (is_vector(xs)) {
    bool swap = as.rank == 1;
    add_bar(r, a, made(b, ACT_GRAM, as, (Act){0}, 2, (int[]){swap ? x : left, swap ? o : right}));
    return;
  }
  if (as.rank == 1 && xs.rank == 1) {
    add_bar(r, a, times(b, bar, variable(b, x)));
    return;
  }
  if (xs.rank == 1) { /* A x = o: o x^T, by the unit matrix of one column */
    Shape column = {.population = NO_POPULATION, .rank = 2, .size = {xs.size[0], 1}};
    Shape row = {.population = NO_POPULATION, .rank = 2, .size = {1, 0}};
    int l = left, q = right;
    row.size[1] = own_shape(b, q).size[0];
    column.size[0] = own_shape(b, l).size[0];
    l = hold(b, made(b, ACT_RESHAPE, column, (Act){0}, 1, &l));
    q = hold(b, made(b, ACT_RESHAPE, row, (Act){0}, 1, &q));
    add_bar(r, a, product(b, l, q, false, as));
    return;
  }
  Shape turned = {.population = NO_POPULATION, .rank = 2, .size = {0, 0}};
  Shape rs = own_shape(b, right);
  turned.size[0] = rs.size[1];
  turned.size[1] = rs.size[0];
  int unit = selection(b, rs.size[0], rs.size[0], 0, false);
  add_bar(r, a, product(b, left, hold(b, product(b, right, unit, true, turned)), false, as));
}

static void back_part(Backward *r, const Act *act, const Expr *bar) {
  Builder *b = r->b;
  int x = act->src[0], o = hold(b, bar);
  Shape xs = own_shape(b, x), os = own_shape(b, act->dst);
  if (os.rank == 2 && os.size[1] < xs.size[1]) { /* columns first */
    Shape wide = {.population = NO_POPULATION, .rank = 2, .size = {os.size[0], xs.size[1]}};
    o = hold(
        b, product(b, o, selection(b, os.size[1], xs.size[1], act->first[1], false), false, wide));
  }
  int back = selection(b, rows_in(os), xs.size[0], act->first[0], true);
  if (!os.rank) { /* a single row */
    Shape column = {.population = NO_POPULATION, .rank = 1, .size = {xs.size[0]}};
    back = hold(b, made(b, ACT_RESHAPE, column, (Act){0}, 1, &back));
    add_bar(r, x, times(b, variable(b, back), variable(b, o)));
    return;
  }
  add_bar(r, x, product(b, back, o, false, xs));
}

static void back_stack(Backward *r, const Act *act, const Expr *bar) {
  Builder *b = r->b;
  int o = hold(b, bar);
  size_t row = 0;
  for (int i = 0; i < act->count; i++) {
    Shape part = own_shape(b, act->src[i]), whole = own_shape(b, act->dst), cut = whole;
    bool rows = part.rank == whole.rank;
    size_t count = rows ? part.size[0] : 1;
    cut.size[0] = count;
    if (!rows && is_vector(whole)) cut.rank = 0;
    const Expr *e = made(b, ACT_PART, cut, (Act){.first = {row, 0}}, 1, &o);
    if (!rows && !is_vector(whole)) {
      int v = hold(b, e);
      e = made(b, ACT_RESHAPE, part, (Act){0}, 1, &v);
    }
    add_bar(r, act->src[i], e);
    row += count;
  }
}

/* x~ += out~ exp(x - out), where the entries of x stand in rows of one out each. */
static void back_lse(Backward *r, const Act *act, const Expr *bar) {
  Builder *b = r->b;
  int x = act->src[0], o = act->dst;
  Shape xs = own_shape(b, x), os = own_shape(b, o), rows = xs;
  if (os.rank)
    rows = (Shape){
        .population = NO_POPULATION, .rank = 2, .size = {os.size[0], xs.size[0] / os.size[0]}};
  int v = os.rank ? hold(b, made(b, ACT_RESHAPE, rows, (Act){0}, 1, &x)) : x;
  const Expr *share = expr_call(b->eval->pool, PRIM_EXP,
                                two(b, PRIM_SUB, variable(b, v), variable(b, o)), NULL, NULL);
  int e = hold(b, times(b, share, bar));
  add_bar(r, x, os.rank ? made(b, ACT_RESHAPE, xs, (Act){0}, 1, &e) : variable(b, e));
}

static double ratio_of(const Builder *b, int matrix) {
  const System *s = b->system;
  return s->populations[s->matrices[matrix].to].ratio /
         s->populations[s->matrices[matrix].from].ratio;
}

/* What the matrix made of o, or its transpose did, before it gained c outer(y, x) / N_from. */
static const Expr *without_outer(Backward *r, const Act *gain, bool transpose, int o,
                                 const Expr *image) {
  Builder *b = r->b;
  int met = gain->src[transpose ? 0 : 1], left = gain->src[transpose ? 1 : 0];
  Shape ms = own_shape(b, met), os = own_shape(b, o), out = shape_of(b, image);
  double share = transpose ? ratio_of(b, gain->matrix) : 1;
  const Expr *part;
  if (ms.rank) {
    bool single = !os.rank;
    Shape pairs = {NO_POPULATION, 2, {os.size[0], ms.size[0]}};
    if (single) pairs = (Shape){NO_POPULATION, 1, {ms.size[0], 0}};
    const Expr *all =
        made(b, ACT_GRAM, pairs, (Act){0}, 2, (int[]){single ? met : o, single ? o : met});
    part = product(b, hold(b, all), left, single, out);
  } else {
    part = times(b, averaged(b, variable(b, o), variable(b, met), os), variable(b, left));
  }
  return sum_of(b, image, times(b, number(b, -share), part));
}

/* What a matrix, or its transpose, made of o before act number `before`, which it has learned
 * from since: what is undone is what acts up to number `end` made of it. */
static const Expr *former_image(Backward *r, int before, int matrix, bool transpose, int o,
                                Shape shape) {
  Builder *b = r->b;
  const Expr *image =
      made(b, transpose ? ACT_APPLY_T : ACT_APPLY, shape, (Act){.matrix = matrix}, 1, &o);
  for (int i = r->end - 1; i > before; i--) {
    Act act = b->system->acts[i];
    if (act.matrix != matrix) continue;
    if (act.kind == ACT_OUTER) image = without_outer(r, &act, transpose, o, image);
    if (act.kind != ACT_DECAY) continue;
    const Expr *keep = act.count ? variable(b, act.src[0]) : number(b, act.number);
    image = variable(b, hold(b, two(b, PRIM_DIV, image, keep)));
  }
  return image;
}

static void back_apply(Backward *r, const Act *act, int at, const Expr *bar) {
  Builder *b = r->b;
  bool back = act->kind == ACT_APPLY_T;
  if (!r->lives[act->src[0]]) return;
  double rho = ratio_of(b, act->matrix);
  const Expr *image =
      former_image(r, at, act->matrix, !back, hold(b, bar), own_shape(b, act->src[0]));
  add_bar(r, act->src[0], times(b, number(b, back ? rho : 1 / rho), image));
}

static void back_act(Backward *r, const Act *act, int at) {
  Builder *b = r->b;
  const Expr *bar = r->bar[act->dst];
  int o;
  switch (act->kind) {
  case ACT_MAP: back_map(r, act, bar); break;
  case ACT_AVERAGE: back_average(r, act, bar); break;
  case ACT_GRAM: back_gram(r, act, bar); break;
  case ACT_PRODUCT: back_product(r, act, bar); break;
  case ACT_PART: back_part(r, act, bar); break;
  case ACT_STACK: back_stack(r, act, bar); break;
  case ACT_RESHAPE:
    o = hold(b, bar);
    add_bar(r, act->src[0], made(b, ACT_RESHAPE, own_shape(b, act->src[0]), (Act){0}, 1, &o));
    break;
  case ACT_LSE: back_lse(r, act, bar); break;
  case ACT_SHIFT:
    o = hold(b, bar);
    add_bar(r, act->src[0],
            made(b, ACT_SHIFT, own_shape(b, act->src[0]), (Act){.number = -act->number}, 1, &o));
    break;
  case ACT_APPLY:
  case ACT_APPLY_T: back_apply(r, act, at, bar); break;
  default: break;
  }
}

/* ---- descend ---- */

/* Whether an act is a use of a matrix that is a parameter. */
static bool is_use(const Backward *r, const Act *act) {
  return (act->kind == ACT_APPLY || act->kind == ACT_APPLY_T) && r->rates[act->matrix] > 0;
}

/* Whether all parameters are matrices, or names of vectors or numbers; reports otherwise. */
static bool sound_parameters(Call *call) {
  for (int i = 2; i < call->count; i++) {
    const Value *value = call->args[i];
    bool named = call->nodes[i] && call->nodes[i]->kind == AST_NAME;
    bool matrix = value->kind == VALUE_MATRIX && !value->matrix.transposed;
    if (matrix || (value->kind == VALUE_SYMBOL && named && value->symbol->prim == PRIM_ARG))
      continue;
    eval_error(call->eval, call->places[i], "descend(loss, eta, W, v)",
               "what descends is a matrix, or the name of a vector");
    return false;
  }
  return true;
}

static Backward backward_new(Builder *b) {
  size_t room = (size_t)b->system->variable_count + 1;
  return (Backward){b, mem_new(room, sizeof(const Expr *)), mem_new(room, sizeof(bool)),
                    mem_new((size_t)b->system->matrix_count + 1, sizeof(double)), 0};
}

static void backward_free(Backward *r) {
  free(r->bar);
  free(r->lives);
  free(r->rates);
}

/* The adjoints of what the number `top` depends on, through the acts of the step so far: `lives` of
 * the parameters and `rates` are set. */
static void run_backward(Backward *r, int top) {
  const System *s = r->b->system;
  int acts = r->end = s->act_count;
  for (int i = s->start_count; i < acts; i++) {
    const Act *act = &s->acts[i];
    if (act->dst < 0 || act->kind == ACT_SET) continue;
    for (int k = 0; k < act->count; k++) r->lives[act->dst] |= r->lives[act->src[k]];
    r->lives[act->dst] |= is_use(r, act);
  }
  r->bar[top] = number(r->b, 1);
  for (int i = acts - 1; i >= s->start_count; i--) {
    Act act = s->acts[i];
    if (act.dst >= 0 && act.kind != ACT_SET && r->bar[act.dst] && r->lives[act.dst])
      back_act(r, &act, i);
  }
}

const Expr **system_gradients(Builder *b, int top, int count, const int *variables) {
  Backward r = backward_new(b);
  const Expr **gradients = mem_new((size_t)count + 1, sizeof *gradients);
  for (int i = 0; i < count; i++) r.lives[variables[i]] = true;
  run_backward(&r, top);
  for (int i = 0; i < count; i++) gradients[i] = r.bar[variables[i]];
  backward_free(&r);
  return gradients;
}

/* -c outer(y, x) for a matrix. */
typedef struct Update {
  int matrix, y, x;
} Update;

/* The updates of the matrices among the parameters, at every use; their number. */
static int find_updates(Backward *r, const Expr *eta, int acts, Update *updates) {
  Builder *b = r->b;
  int count = 0;
  for (int i = b->system->start_count; i < acts; i++) {
    Act act = b->system->acts[i];
    if (act.dst < 0 || !is_use(r, &act) || !r->bar[act.dst]) continue;
    bool back = act.kind == ACT_APPLY_T;
    double rate = -r->rates[act.matrix] * (back ? ratio_of(b, act.matrix) : 1);
    int g = hold(b, times(b, times(b, number(b, rate), eta), r->bar[act.dst]));
    updates[count++] = (Update){act.matrix, back ? act.src[0] : g, back ? g : act.src[0]};
  }
  return count;
}

/* The vectors and numbers move as the optimizer says. False after reporting. */
static bool move_vectors(Backward *r, Call *call, const Descent *d) {
  static const Units units = {.in = 1, .out = 1, .rate = 1};
  Builder *b = r->b;
  for (int i = 2; i < call->count; i++) {
    if (call->args[i]->kind != VALUE_SYMBOL) continue;
    int v = call->args[i]->symbol->index;
    const char *name = call->nodes[i]->name;
    if (!r->bar[v]) {
      eval_error(call->eval, call->places[i], NULL, "the loss does not depend on '%s'", name);
      return false;
    }
    const Expr *next = descent_move(b, d, units, variable(b, v), r->bar[v]);
    for (int k = 0; k < b->state_count; k++)
      if (strcmp(b->places[k]->name, name) == 0) b->assigned[k] = true;
    scope_set(call->eval->scope, name, symbol_of(b, next->index), call->places[i]);
  }
  return true;
}

static bool has_memory(const Descent *d) {
  return d->kind == OPT_MOMENTUM || d->kind == OPT_NESTEROV;
}

/* Why a matrix does not descend so; NULL: it does, and one with momentum has its twin. */
static const char *refusal(Builder *b, const Descent *d, int matrix) {
  bool decays = d->decay > 0, constant = d->eta->prim == PRIM_CONST;
  if (descent_is_plain(d) && decays && !constant)
    return "matrices that decay between populations have one rate for all steps";
  if (descent_is_plain(d)) return NULL;
  if (has_memory(d) && decays) return "a matrix with momentum does not decay";
  if (!has_memory(d))
    return "matrices between populations follow their gradients: they take a rate, gd, momentum or "
           "nesterov";
  if (!constant) return "a matrix with momentum has one rate for all steps";
  return twin_new(b, matrix) < 0
             ? "a matrix with momentum has no symmetry, does not decay, and descends once"
             : NULL;
}

static bool prepare_matrices(Call *call, const Descent *d) {
  for (int i = 2; i < call->count; i++) {
    if (call->args[i]->kind == VALUE_SYMBOL) continue;
    const char *why = refusal(call->eval->system, d, call->args[i]->matrix.index);
    if (!why) continue;
    eval_error(call->eval, call->places[i], "descend(loss, eta, W)", "%s", why);
    return false;
  }
  return true;
}

/* Marks the parameters. */
static void mark_parameters(Backward *r, const Call *call) {
  for (int i = 2; i < call->count; i++)
    if (call->args[i]->kind == VALUE_SYMBOL)
      r->lives[call->args[i]->symbol->index] = true;
    else
      r->rates[call->args[i]->matrix.index] = 1;
}

static void add_outer(Builder *b, int matrix, double factor, const Update *u) {
  int y = hold(b, times(b, number(b, factor), variable(b, u->y)));
  add_act(b, (Act){.kind = ACT_OUTER, .dst = -1, .matrix = matrix}, 2, (int[]){y, u->x});
}

/* The matrices take up what descends, and with momentum those that act along; see velocity.c. */
static void move_matrices(Builder *b, const Descent *d, const Update *updates, int count) {
  double beta = has_memory(d) ? d->beta : 0, ahead = d->kind == OPT_NESTEROV ? beta * beta : beta;
  for (int k = 0; k < b->twin_count && has_memory(d); k++) {
    bool own = false;
    for (int i = 0; i < count; i++) own |= updates[i].matrix == b->twins[k][0];
    if (own)
      add_act(b, (Act){.kind = ACT_DECAY, .dst = -1, .matrix = b->twins[k][1], .number = beta}, 0,
              NULL);
  }
  for (int i = 0; i < count; i++) {
    add_outer(b, updates[i].matrix, 1 / (1 - beta), &updates[i]);
    if (has_memory(d))
      add_outer(b, twin_of(b, updates[i].matrix), -ahead / (1 - beta), &updates[i]);
  }
}

const char *system_move(Builder *b, int top, const Descent *d, const Units *units, int count,
                        int state, const Expr **gradient) {
  const char *why = NULL;
  for (int k = 0; k < count && !why; k++)
    if (units[k].rate > 0) why = refusal(b, d, k);
  if (why) return why;
  int acts = b->system->act_count;
  Backward r = backward_new(b);
  for (int k = 0; k < count; k++) r.rates[k] = units[k].in * units[k].out * units[k].rate;
  if (state >= 0) r.lives[state] = true;
  run_backward(&r, top);
  Update *updates = mem_new((size_t)acts + 1, sizeof *updates);
  int uses = find_updates(&r, d->eta, acts, updates);
  for (int k = 0; k < count && d->decay > 0; k++) {
    double keep = 1 - d->eta->value * units[k].rate * d->decay;
    if (units[k].rate > 0)
      add_act(b, (Act){.kind = ACT_DECAY, .dst = -1, .matrix = k, .number = keep}, 0, NULL);
  }
  move_matrices(b, d, updates, uses);
  if (state >= 0) *gradient = r.bar[state];
  free(updates);
  backward_free(&r);
  return NULL;
}

static bool descend(Builder *b, Call *call, const Expr *loss, const Descent *d) {
  int top = hold(b, loss);
  if (!prepare_matrices(call, d)) return false;
  int acts = b->system->act_count;
  Backward r = backward_new(b);
  mark_parameters(&r, call);
  run_backward(&r, top);
  Update *updates = mem_new((size_t)acts + 1, sizeof *updates);
  int count = find_updates(&r, d->eta, acts, updates);
  bool sound = move_vectors(&r, call, d);
  move_matrices(b, d, updates, count);
  free(updates);
  backward_free(&r);
  return sound;
}

Value *system_descend(Call *call) {
  Builder *b = call->eval->system;
  Descent d;
  if (!b->step) return eval_error(call->eval, call->span, NULL, "'descend' belongs in the step");
  const Expr *loss = expression_of(b, call->places[0], call->args[0]);
  if (!loss || !descent_of_call(call, 1, &d)) return call_broken(call);
  Shape shape = shape_of(b, loss), rate = shape_of(b, d.eta);
  if (is_vector(shape) || shape.rank || is_vector(rate) || rate.rank)
    return eval_error(call->eval, call->places[is_vector(rate) || rate.rank ? 1 : 0],
                      "mean(x) is the average over neurons, or of numbers",
                      "a loss and a rate are single numbers");
  if (!sound_parameters(call) || !descend(b, call, loss, &d)) return call_broken(call);
  return value_new(&call->eval->heap, VALUE_NONE);
}
