/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What stands behind the passes of a program: the output and its error, losses, kernels, the
 * tangent kernel, alignments, and the updates, all as values of the program. */
#include "base/memory.h"
#include "field/emit.h"
#include "field/observable.h"
#include "field/rows.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ARGUMENTS = 64 };

typedef struct Tail {
  Program *p;
  Reading how;
  Sizes z;
  int targets; /* [P C, 1] */
  int *x, *G;  /* [matrix]: <x x>, or -1 */
  int share;   /* w_mu(t) [P, 1] */
  int centred; /* of the targets: their inner products, with their norm, once that is not 0 */
  double norm;
  const Expr *argument[MOST_ARGUMENTS]; /* of this program's pool, once they are needed */
} Tail;

/* ---- expressions ---- */

static const Expr *call(Tail *k, Prim prim, const Expr *x, const Expr *y) {
  return expr_call(k->p->pool, prim, x, y, NULL);
}

static const Expr *arg(Tail *k, int i) { return expr_arg(k->p->pool, i); }

static const Expr *number(Tail *k, double value) { return expr_const(k->p->pool, value); }

/* factor a_0 a_1 ... of `count` arguments */
static const Expr *product(Tail *k, double factor, int count) {
  const Expr *e = number(k, factor);
  for (int i = 0; i < count; i++) e = call(k, PRIM_MUL, e, arg(k, i));
  return e;
}

/* An expression of the base in the pool of this program. */
static const Expr *own(Tail *k, const Expr *e) {
  for (int i = 0; i < MOST_ARGUMENTS && !k->argument[MOST_ARGUMENTS - 1]; i++)
    k->argument[i] = expr_arg(k->p->pool, i);
  return expr_substitute(k->p->pool, e, k->argument);
}

/* ---- values ---- */

/* The value of these numbers, if there is one. */
static int known(const Program *p, size_t rows, size_t cols, const double *numbers) {
  for (int i = 0; i < p->op_count; i++) {
    if (p->ops[i].kind != OP_CONST) continue;
    const Constant *c = &p->constants[p->ops[i].constant];
    if (!c->steps && c->rows == rows && c->cols == cols && c->numbers &&
        memcmp(c->numbers, numbers, rows * cols * sizeof *numbers) == 0)
      return p->ops[i].dst;
  }
  return -1;
}

/* Takes over the numbers; NULL: there was no memory for them, and what is to run the program has
 * none either. */
static int constant(Tail *k, const char *name, size_t steps, size_t rows, size_t cols,
                    double *numbers) {
  Program *p = k->p;
  int value = steps || !numbers ? -1 : known(p, rows, cols, numbers);
  if (value >= 0) {
    free(numbers);
    return value;
  }
  return emit_constant(p, mem_string(name), steps, rows, cols, numbers);
}

/* rows x cols times one number */
static int all_equal(Tail *k, const char *name, size_t rows, size_t cols, double value) {
  double *numbers = mem_try(rows * cols, sizeof *numbers);
  for (size_t i = 0; numbers && i < rows * cols; i++) numbers[i] = value;
  return constant(k, name, 0, rows, cols, numbers);
}

static int copied(Tail *k, const char *name, const Array *array, size_t rows, size_t cols) {
  double *numbers = mem_try(rows * cols, sizeof *numbers);
  if (numbers) memcpy(numbers, array->data, rows * cols * sizeof *numbers);
  return constant(k, name, 0, rows, cols, numbers);
}

static size_t cols_of(const Program *p, int v) { return (size_t)p->variables[v].cols; }

/* An elementwise map of tables, of the shape of the first. */
static int map(Tail *k, char *name, const Expr *e, int count, const int *src) {
  int dst = add_table(k->p, name, rows_of(k->p, src[0]), cols_of(k->p, src[0]));
  return emit_map_to(k->p, dst, e, count, src);
}

static int mix(Tail *k, char *name, int a, bool flip_a, int b, bool flip_b) {
  const Program *p = k->p;
  size_t rows = flip_a ? cols_of(p, a) : rows_of(p, a),
         cols = flip_b ? rows_of(p, b) : cols_of(p, b);
  Op op = op_of_two(OP_MIX, add_table(k->p, name, rows, cols), a, b);
  op.transpose_a = flip_a;
  op.transpose_b = flip_b;
  return emit(k->p, op);
}

static int block(Tail *k, char *name, int v, size_t row, size_t rows, size_t col, size_t cols) {
  if (row == 0 && col == 0 && rows == rows_of(k->p, v) && cols == cols_of(k->p, v)) {
    free(name);
    return v;
  }
  Op op = op_of_one(OP_BLOCK, add_table(k->p, name, rows, cols), v);
  op.first[0] = (int)row;
  op.first[1] = (int)col;
  return emit(k->p, op);
}

/* One for each pair and group: kernels are those of the tangent kernel, too. */
static int moment(Tail *k, char *name, int x, int y, int group) {
  for (int i = 0; i < k->p->op_count; i++) {
    const Op *op = &k->p->ops[i];
    bool same = op->kind == OP_MOMENT && op->src[0] == x && op->src[1] == y && op->group == group;
    if (!same) continue;
    free(name);
    return op->dst;
  }
  size_t rows = rows_of(k->p, x) / (size_t)group, cols = rows_of(k->p, y) / (size_t)group;
  Op op = op_of_two(OP_MOMENT, add_table(k->p, name, rows, cols), x, y);
  op.group = group;
  return emit(k->p, op);
}

static void set(Tail *k, int state, int value) { emit(k->p, op_of_one(OP_SET, state, value)); }

/* A state, which is what `value` is at t = 0. */
static int state(Tail *k, const char *name, int value) {
  int v = add_table(k->p, mem_string(name), rows_of(k->p, value), cols_of(k->p, value));
  set(k, v, value);
  k->p->ops[k->p->op_count - 1].once = true;
  return v;
}

/* The sum of all entries. */
static int total(Tail *k, const char *name, int v, double factor) {
  int rows = all_equal(k, "1", 1, rows_of(k->p, v), factor),
      sum = mix(k, mem_string(name), rows, false, v, false);
  if (cols_of(k->p, v) == 1) return sum;
  int cols = all_equal(k, "1", cols_of(k->p, v), 1, 1);
  return mix(k, mem_string(name), sum, false, cols, false);
}

static void observe(Tail *k, int field, int layer, int variable, size_t first, size_t rows) {
  Program *p = k->p;
  size_t count = (size_t)p->observable_count + 1;
  p->observables = mem_grow(p->observables, count * sizeof *p->observables);
  p->observables[p->observable_count++] =
      (ProgramObservable){field, layer, variable, (int)first, (int)rows};
}

static void observe_all(Tail *k, int field, int layer, int variable) {
  observe(k, field, layer, variable, 0, rows_of(k->p, variable));
}

/* ---- outputs and errors ---- */

static int log_sums(Tail *k, int f) {
  size_t rows = rows_of(k->p, f) / k->z.outputs;
  return emit(k->p, op_of_one(OP_LSE, add_table(k->p, mem_string("lse"), rows, 1), f));
}

/* ell of every output; and Delta = - d ell / d f: y - softmax(f) sum y for the cross entropy. */
static int losses(Tail *k, int f, int y) {
  const Expr *ell = k->p->problem->loss;
  if (ell) return map(k, mem_string("ell"), own(k, ell), 2, (int[]){f, y});
  const Expr *e = call(k, PRIM_MUL, arg(k, 1), call(k, PRIM_SUB, arg(k, 2), arg(k, 0)));
  return map(k, mem_string("ell"), e, 3, (int[]){f, y, log_sums(k, f)});
}

static int errors(Tail *k, int f) {
  const Expr *ell = k->p->problem->loss;
  int y = k->targets;
  if (ell) {
    const Expr *slope = expr_diff(k->p->pool, own(k, ell), 0);
    return map(k, mem_string("Δ"), call(k, PRIM_NEG, slope, NULL), 2, (int[]){f, y});
  }
  size_t P = k->z.points, C = k->z.outputs;
  double *sums = mem_new(P, sizeof *sums);
  for (size_t i = 0; i < P * C; i++) sums[i / C] += k->p->problem->targets->data[i];
  int sum = constant(k, "Σy", 0, P, 1, sums);
  const Expr *softmax = call(k, PRIM_EXP, call(k, PRIM_SUB, arg(k, 0), arg(k, 2)), NULL);
  const Expr *e = call(k, PRIM_SUB, arg(k, 1), call(k, PRIM_MUL, arg(k, 3), softmax));
  return map(k, mem_string("Δ"), e, 4, (int[]){f, y, log_sums(k, f), sum});
}

/* Delta of these outputs, weighted as in the loss of step t. */
static int force_of(Tail *k, int delta) {
  return map(k, mem_string("F"), product(k, 1, 2), 2, (int[]){delta, k->share});
}

static int trained(Tail *k, int f) {
  return block(k, mem_string("f.train"), f, 0, k->z.points * k->z.outputs, 0, 1);
}

static void complete_outputs(Tail *k) {
  Program *p = k->p;
  Sizes z = k->z;
  size_t batch = z.points * z.outputs, all = z.all * z.outputs;
  int raw = p->output;
  k->targets = copied(k, "y", p->problem->targets, batch, 1);
  if (k->how.lazy) {
    p->f = state(k, "fc", all_equal(k, "0", all, 1, 0));
  } else {
    p->f = raw;
    if (p->problem->centered || (k->how.theory && starts_at_zero(p))) {
      Op start = op_of_one(OP_START, add_table(p, mem_string("f0"), all, 1), raw);
      start.once = true;
      emit(p, start);
      p->f = map(k, mem_string("fc"), call(k, PRIM_SUB, arg(k, 0), arg(k, 1)), 2,
                 (int[]){raw, start.dst});
      p->ops[p->op_count - 1].once = k->how.integrates;
    }
    if (k->how.integrates) p->f = state(k, "fi", p->f);
  }
  p->delta = errors(k, trained(k, p->f));
}

/* ---- classes ---- */

size_t class_of(const double *y, size_t outputs) {
  if (outputs == 1) return y[0] > 0;
  size_t largest = 0;
  for (size_t c = 1; c < outputs; c++)
    if (y[c] > y[largest]) largest = c;
  return largest;
}

/* Whether every row of y says a class by the same two numbers, and how many classes there are. */
static bool says_classes(const Array *y, size_t outputs, size_t *classes) {
  size_t first = class_of(y->data, outputs), other = outputs > 1 && first == 0;
  double high = outputs == 1 ? fabs(y->data[0]) : y->data[first],
         low = outputs == 1 ? -high : y->data[other];
  bool said = high > low;
  *classes = 1;
  for (size_t i = 0; i < y->size && said; i++) {
    const double *row = y->data + i / outputs * outputs;
    size_t own = class_of(row, outputs);
    bool up = outputs == 1 ? own : own == i % outputs;
    said = y->data[i] == (up ? high : low);
    if (own != first) *classes = 2;
  }
  return said;
}

bool program_classes(const Program *p, bool test) {
  const Problem *q = p->problem;
  size_t outputs = (size_t)q->outputs, classes, any;
  return says_classes(q->targets, outputs, &classes) && classes > 1 &&
         (!test || (q->test_targets && says_classes(q->test_targets, outputs, &any)));
}

/* The mean over n points, of counts exactly. */
static int mean_over(Tail *k, const char *name, int v, size_t n) {
  const Expr *e = call(k, PRIM_DIV, arg(k, 0), number(k, (double)n));
  int sum = total(k, "count", v, 1);
  return map(k, mem_string(name), e, 1, &sum);
}

/* A gap between outputs in units of which the largest is the only one. */
static const double SHARP = 1e-12;

/* The share of rows of f whose class the outputs say: by sign, or the largest; outputs that are
 * equal are as good as a guess among them. */
static int accuracy(Tail *k, const char *name, int f, const Array *targets) {
  Program *p = k->p;
  size_t C = k->z.outputs, n = rows_of(p, f) / C;
  if (C == 1) {
    const Expr *sign = call(k, PRIM_SIGN, product(k, 1, 2), NULL);
    const Expr *right = call(k, PRIM_MUL, number(k, 0.5), call(k, PRIM_ADD, number(k, 1), sign));
    int y = copied(k, "y", targets, n, 1);
    return mean_over(k, name, map(k, mem_string("right"), right, 2, (int[]){f, y}), n);
  }
  double *classes = mem_try(n * C, sizeof *classes);
  for (size_t a = 0; classes && a < n; a++) classes[a * C + class_of(targets->data + a * C, C)] = 1;
  int table = emit(p, op_of_one(OP_RESHAPE, add_table(p, mem_string("f.rows"), n, C), f));
  int sharp = map(k, mem_string("f.sharp"), product(k, 1 / SHARP, 1), 1, &table);
  int said = emit_softmax(p, mem_string("said"), 1, false, sharp);
  int own = constant(k, "class", 0, n, C, classes);
  int right = map(k, mem_string("right"), product(k, 1, 2), 2, (int[]){said, own});
  return mean_over(k, name, right, n);
}

static int test_targets(Tail *k) {
  return copied(k, "y.test", k->p->problem->test_targets, (k->z.all - k->z.points) * k->z.outputs,
                1);
}

/* The mean loss of outputs f of so many points. */
static void observe_loss(Tail *k, int field, const char *name, int f, int y, size_t points) {
  observe_all(k, field, 0, total(k, name, losses(k, f, y), 1.0 / (double)points));
}

static void observe_outputs(Tail *k) {
  Program *p = k->p;
  Sizes z = k->z;
  size_t batch = z.points * z.outputs, all = z.all * z.outputs;
  observe(k, FIELD_F, 0, p->f, 0, batch);
  if (all > batch) observe(k, FIELD_F_TEST, 0, p->f, batch, all - batch);
  observe_loss(k, FIELD_LOSS, "loss", trained(k, p->f), k->targets, z.points);
  if (p->problem->test_targets) {
    int f = block(k, mem_string("f.test"), p->f, batch, all - batch, 0, 1);
    observe_loss(k, FIELD_TEST_LOSS, "test_loss", f, test_targets(k), z.all - z.points);
    if (program_classes(p, true))
      observe_all(k, FIELD_TEST_ACCURACY, 0,
                  accuracy(k, "test_accuracy", f, p->problem->test_targets));
  }
  if (program_classes(p, false))
    observe_all(k, FIELD_ACCURACY, 0,
                accuracy(k, "accuracy", trained(k, p->f), p->problem->targets));
  observe_all(k, FIELD_DELTA, 0, p->delta);
}

/* The same of the network of averaged weights, whose output starts where that of the weights does.
 */
static void observe_averages(Tail *k) {
  Program *p = k->p;
  size_t batch = k->z.points * k->z.outputs, tests = k->z.all * k->z.outputs - batch;
  int raw = p->output, f = emit_averaged(p), start = -1;
  for (int i = 0; i < p->op_count; i++)
    if (p->ops[i].kind == OP_START && p->ops[i].src[0] == raw) start = p->ops[i].dst;
  if (start >= 0)
    f = map(k, mem_string("fc.mean"), call(k, PRIM_SUB, arg(k, 0), arg(k, 1)), 2,
            (int[]){f, start});
  int train = block(k, mem_string("f.mean.train"), f, 0, batch, 0, 1);
  observe_all(k, FIELD_F_EMA, 0, train);
  observe_loss(k, FIELD_LOSS_EMA, "loss.mean", train, k->targets, k->z.points);
  if (!tests) return;
  int test = block(k, mem_string("f.mean.test"), f, batch, tests, 0, 1);
  observe_all(k, FIELD_F_TEST_EMA, 0, test);
  if (!p->problem->test_targets) return;
  observe_loss(k, FIELD_TEST_LOSS_EMA, "test_loss.mean", test, test_targets(k),
               k->z.all - k->z.points);
}

/* ---- kernels ---- */

static int group_of(const Program *p, int variable) {
  return (int)(rows_of(p, variable) / sizes_of(p).all);
}

/* The inner products of the centred targets, a table [P, P], and its norm. */
static void centre_targets(Tail *k) {
  size_t P = k->z.points, C = k->z.outputs;
  const double *y = k->p->problem->targets->data;
  double *target = mem_try(P * P, sizeof *target), *mean = mem_new(C, sizeof *mean);
  for (size_t i = 0; i < P * C; i++) mean[i % C] += y[i] / (double)P;
  for (size_t a = 0; target && a < P; a++)
    for (size_t b = 0; b < P; b++) {
      for (size_t c = 0; c < C; c++)
        target[a * P + b] += (y[a * C + c] - mean[c]) * (y[b * C + c] - mean[c]);
      k->norm += target[a * P + b] * target[a * P + b];
    }
  free(mean);
  k->norm = sqrt(k->norm);
  k->centred = constant(k, "Yc", 0, P, P, target);
}

/* The centred alignment of the training block of a kernel with the targets,
 * Tr(Kc Yc) / (|Kc| |Yc|). */
static int alignment(Tail *k, int kernel) {
  size_t P = k->z.points;
  if (!k->norm) centre_targets(k);
  int K = block(k, mem_string("Phi.train"), kernel, 0, P, 0, P);
  int share = all_equal(k, "1/P", P, 1, 1.0 / (double)P);
  int row = mix(k, mem_string("k"), K, false, share, false);
  int col = mix(k, mem_string("k'"), share, true, K, false);
  int both = mix(k, mem_string("k."), share, true, row, false);
  const Expr *e = call(k, PRIM_SUB, call(k, PRIM_SUB, arg(k, 0), arg(k, 1)),
                       call(k, PRIM_SUB, arg(k, 2), arg(k, 3)));
  int centred = map(k, mem_string("Kc"), e, 4, (int[]){K, row, col, both});
  int inner =
      total(k, "KY", map(k, mem_string("KcYc"), product(k, 1, 2), 2, (int[]){centred, k->centred}),
            1 / k->norm);
  int square =
      total(k, "KK", map(k, mem_string("Kc2"), product(k, 1, 2), 2, (int[]){centred, centred}), 1);
  e = call(k, PRIM_DIV, arg(k, 0), call(k, PRIM_SQRT, arg(k, 1), NULL));
  return map(k, mem_string("alignment"), e, 2, (int[]){inner, square});
}

bool program_aligns(const Program *p) {
  const Array *y = p->problem->targets;
  size_t outputs = (size_t)p->problem->outputs;
  for (size_t i = outputs; i < y->size; i++)
    if (y->data[i] != y->data[i % outputs]) return true;
  return false;
}

static void complete_levels(Tail *k) {
  Program *p = k->p;
  for (int l = 1; l <= p->layers; l++) {
    int x = p->matrices[p->phi_matrix[l]].features, y = p->matrices[p->phi_matrix[l - 1]].y;
    int phi = moment(k, mem_format("Phi%d", l), x, x, group_of(p, x));
    observe_all(k, FIELD_PHI, l, phi);
    if (!p->couples)
      observe_all(k, FIELD_G, l, moment(k, mem_format("G%d", l), y, y, group_of(p, y)));
    if (program_aligns(p)) observe_all(k, FIELD_ALIGNMENT, l, alignment(k, phi));
  }
}

/* Inner products of known vectors: of those that two uses of a matrix meet, or of these with the
 * unit vectors of a tied readout, at every row. */
static int thin_kernel(Tail *k, const Matrix *m, const Matrix *n) {
  const Program *p = k->p;
  const Matrix *root = &p->matrices[m->weights];
  const double *gram = gram_of(p, root);
  bool tied = is_tied(p, m) || is_tied(p, n);
  size_t all = thin_vectors(p, root), C = k->z.outputs,
         units = all - (size_t)p->spaces[root->from].units, rows = rows_of(p, tied ? m->y : m->x),
         cols = rows_of(p, tied ? n->y : n->x);
  if (!gram) return tied ? all_equal(k, "1", rows, cols, 1) : all_equal(k, "1", 1, 1, 1);
  double *numbers = mem_try(rows * cols, sizeof *numbers);
  for (size_t i = 0; numbers && i < rows * cols; i++) {
    size_t a = i / cols, b = i % cols;
    if (tied) a = is_tied(p, m) ? units + a % C : a / C;
    if (tied) b = is_tied(p, n) ? units + b % C : b / C;
    numbers[i] = gram[a * all + b];
  }
  return constant(k, "K0", 0, rows, cols, numbers);
}

/* <x x'> of two uses of a matrix, or the inner products of known vectors. */
static int x_kernel(Tail *k, const Matrix *m, const Matrix *n) {
  if (!is_wide(k->p, m->from)) return thin_kernel(k, m, n);
  return moment(k, mem_format("X%s", m->name), m->x, n->x, 1);
}

/* A table of pairs of rows with this value where their outputs are the same, and else 0. */
static int same_output(Tail *k, const char *name, size_t rows, double value) {
  double *numbers = mem_try(rows * rows, sizeof *numbers);
  for (size_t a = 0; numbers && a < rows; a++)
    for (size_t b = a % k->z.outputs; b < rows; b += k->z.outputs) numbers[a * rows + b] = value;
  return constant(k, name, 0, rows, rows, numbers);
}

/* <y g'>, or the identity of the outputs. */
static int g_kernel(Tail *k, const Matrix *m, const Matrix *n) {
  const Program *p = k->p;
  if (is_wide(p, m->to)) return moment(k, mem_format("Y%s", m->name), m->y, n->learns, 1);
  return same_output(k, "1", rows_of(p, m->y), 1);
}

/* What a matrix on the inputs and a tied readout, which has its entries, share: averages of g with
 * what the readout reads, times inputs of the outputs' channels. */
static int tied_term(Tail *k, const Matrix *m, const Matrix *n, double rate) {
  const Program *p = k->p;
  int a = is_tied(p, m) ? m->x : m->y, b = is_tied(p, n) ? n->x : n->learns;
  int X = thin_kernel(k, m, n), G = moment(k, mem_format("Y%s", m->name), a, b, 1);
  return map(k, mem_string("GX"), product(k, rate, 2), 2, (int[]){X, G});
}

/* rate <y g> o <x x> of two uses of a matrix */
static int term_of(Tail *k, const Matrix *m, const Matrix *n, double rate) {
  const Program *p = k->p;
  if (is_tied(p, m) != is_tied(p, n)) return tied_term(k, m, n, rate);
  int G = g_kernel(k, m, n), X = x_kernel(k, m, n);
  return map(k, mem_string("GX"), product(k, rate * tangent_share(p, m), 2), 2, (int[]){G, X});
}

/* The table that adds the positions of each point, [R C, R A C]. */
static int adder(Tail *k, size_t R, size_t A, size_t C) {
  double *numbers = mem_try(R * C * R * A * C, sizeof *numbers);
  for (size_t i = 0; numbers && i < R * A * C; i++)
    numbers[(i / (A * C) * C + i % C) * (R * A * C) + i] = 1;
  return constant(k, "E", 0, R * C, R * A * C, numbers);
}

/* A kernel of rows (mu, p, c) summed over pairs of positions. */
static int summed(Tail *k, int kernel, size_t A, size_t B) {
  size_t R = k->z.all, C = k->z.outputs;
  if (A > 1) kernel = mix(k, mem_string("K.p"), adder(k, R, A, C), false, kernel, false);
  if (B > 1) kernel = mix(k, mem_string("K.q"), kernel, false, adder(k, R, B, C), true);
  return kernel;
}

/* K = sum rate <y g> o <x x> over trained matrices, and over pairs of their uses; or `learned`,
 * with the norm of what the weights learn, by <g g'> of that and all rates alike. */
static int kernel_of_weights(Tail *k, const char *name, bool learned) {
  Program *p = k->p;
  size_t rows = k->z.all * k->z.outputs;
  int *parts = mem_new((size_t)(p->matrix_count * p->matrix_count) + 1, sizeof *parts), count = 0;
  for (int i = 0; i < p->matrix_count; i++)
    for (int j = 0; j < p->matrix_count; j++) {
      Matrix m = p->matrices[i], n = p->matrices[j];
      if (m.weights != n.weights || m.rate == 0 || m.x < 0 || n.x < 0) continue;
      double rate = learned ? m.rate / m.decay : m.rate;
      if (learned) m.y = m.learns;
      int term = term_of(k, &m, &n, rate);
      parts[count++] =
          summed(k, term, (size_t)p->variables[m.y].positions, (size_t)p->variables[n.y].positions);
    }
  int kernel = count > 1    ? emit_sum(p, mem_string(name), count, parts)
               : count == 1 ? parts[0]
                            : all_equal(k, "0", rows, rows, 0);
  free(parts);
  return kernel;
}

static void complete_tangent(Tail *k) {
  Program *p = k->p;
  size_t P = k->z.points, C = k->z.outputs;
  p->tangent = kernel_of_weights(k, "K", false);
  int ntk = block(k, mem_string("K.train"), p->tangent, 0, P * C, 0, P * C);
  if (C > 1) {
    int mask = same_output(k, "1/C", P * C, 1.0 / (double)C);
    ntk = map(k, mem_string("Kcc"), product(k, 1, 2), 2, (int[]){ntk, mask});
    int add = adder(k, P, C, 1);
    ntk = mix(k, mem_string("Kc"), add, false, ntk, false);
    ntk = mix(k, mem_string("ntk"), ntk, false, add, true);
  }
  observe_all(k, FIELD_NTK, 0, ntk);
}

/* ---- the step ---- */

/* A coefficient of every move: what that does to a table that takes up `own` as a matrix takes up
 * its gradients. */
static int schedule(Tail *k, const char *name, size_t coefficient) {
  int moves = stages_of(k->p, k->how.parts) * k->p->problem->steps;
  double *numbers = coefficients_of(k->p, &(Matrix){.rate = 1}, k->how.parts, 1, coefficient);
  int c = constant(k, name, (size_t)moves, 1, 1, numbers);
  k->p->constants[k->p->constant_count - 1].moves = true;
  return c;
}

/* v <- beta v + own, x <- x + push v + pull own, for states x and v. */
static void advance(Tail *k, int x, int v, int own) {
  int beta = schedule(k, "β", offsetof(Move, beta)),
      push = schedule(k, "push", offsetof(Move, push)),
      pull = schedule(k, "pull", offsetof(Move, pull));
  const Expr *e = call(k, PRIM_ADD, call(k, PRIM_MUL, arg(k, 1), arg(k, 0)), arg(k, 2));
  int fast = map(k, mem_string("v+"), e, 3, (int[]){v, beta, own});
  e = call(k, PRIM_ADD, arg(k, 0),
           call(k, PRIM_ADD, call(k, PRIM_MUL, arg(k, 2), arg(k, 1)),
                call(k, PRIM_MUL, arg(k, 4), arg(k, 3))));
  int next = map(k, mem_string("x+"), e, 5, (int[]){x, fast, push, own, pull});
  set(k, v, fast);
  set(k, x, next);
}

static int rest(Tail *k, const char *name, int like) {
  return state(k, name, all_equal(k, "0", rows_of(k->p, like), 1, 0));
}

bool tangent_is_norm(const Program *p) {
  for (int i = 0; i < p->matrix_count; i++) {
    const Matrix *m = &p->matrices[i];
    if (m->rate != 0 && m->x >= 0 && (m->learns != m->y || m->decay < 1 || m->decay > 1))
      return false;
  }
  return true;
}

/* The force over the norm of the gradient, n = sqrt(F' K F), or times what is left of it under the
 * clip. */
static int scaled_force(Tail *k, int force) {
  static const double least = 1e-300; /* what a norm of 0 counts as */
  Program *p = k->p;
  size_t rows = k->z.points * k->z.outputs;
  if (!update_scales(&p->update)) return force;
  int kernel = tangent_is_norm(p) ? p->tangent : kernel_of_weights(k, "K.n", true);
  int K = block(k, mem_string("K.n"), kernel, 0, rows, 0, rows);
  int square = mix(k, mem_string("n2"), force, true,
                   mix(k, mem_string("KF"), K, false, force, false), false);
  const Expr *n = call(k, PRIM_SQRT, call(k, PRIM_MAX, arg(k, 0), number(k, least)), NULL);
  const Expr *scale = p->update.normalized ? call(k, PRIM_DIV, number(k, 1), n)
                                           : call(k, PRIM_MIN, number(k, 1),
                                                  call(k, PRIM_DIV, number(k, p->update.clip), n));
  int s = map(k, mem_string("s"), scale, 1, &square);
  int all = mix(k, mem_string("s."), all_equal(k, "1", rows, 1, 1), false, s, false);
  return map(k, mem_string("F.s"), product(k, 1, 2), 2, (int[]){force, all});
}

/* In the lazy limit f = K c, where c moves as a matrix does that takes up the force. */
static void train_lazily(Tail *k, int K) {
  int force = scaled_force(k, force_of(k, k->p->delta)), c = rest(k, "c", force),
      v = rest(k, "v", force);
  advance(k, c, v, force);
  set(k, k->p->f, mix(k, mem_string("Kc"), K, false, c, false));
}

/* The force on every position of a point. */
static int spread_force(Tail *k, int force, size_t positions) {
  if (positions == 1) return force;
  k->p->variables[force].backward = true; /* its rows are (mu, c) */
  return emit_rows(k->p, mem_string("F.p"), row_map_spread((int)positions), force);
}

/* Where what flows backward has the errors in it already, there are the shares alone. */
static int force_on(Tail *k, int use, int force) {
  if (!k->p->couples || is_readout(k->p, use)) return force;
  return all_equal(k, "1/P", k->z.points * k->z.outputs, 1, 1.0 / (double)k->z.points);
}

/* The uses of a matrix on as many positions have one force. */
static void learn(Tail *k, int root, int force) {
  Program *p = k->p;
  Op op = {.kind = OP_LEARN, .dst = -1, .matrix = root};
  int own[OP_MAX_ARGS]; /* the force that each of its sources was made of */
  for (int i = root; i < p->matrix_count; i++) {
    Matrix *m = &p->matrices[i];
    if (m->weights != root || m->x < 0) continue;
    int positions = p->variables[m->y].positions, known = 0, on = force_on(k, i, force);
    while (known < op.src_count &&
           (own[known] != on || p->variables[op.src[known]].positions != positions))
      known++;
    if (known == op.src_count) {
      own[known] = on;
      op.src[op.src_count++] = spread_force(k, on, (size_t)positions);
    }
    m->force = op.src[known];
  }
  emit(p, op);
}

static void complete_step(Tail *k) {
  Program *p = k->p;
  Sizes z = k->z;
  size_t T = z.steps - 1;
  size_t all = z.all * z.outputs, batch = z.points * z.outputs;
  int K = p->couples ? -1 : block(k, mem_string("K."), p->tangent, 0, all, 0, batch);
  p->train_first = p->op_count;
  if (p->update.weight) {
    double *numbers = mem_try(T * z.points + 1, sizeof *numbers);
    if (numbers) memcpy(numbers, p->update.weight, T * z.points * sizeof *numbers);
    k->share = constant(k, "w", T, z.points, 1, numbers);
  } else {
    k->share = all_equal(k, "1/P", z.points, 1, 1.0 / (double)z.points);
  }
  if (k->how.lazy) {
    train_lazily(k, K);
    return;
  }
  int force = scaled_force(k, force_of(k, p->delta));
  if (k->how.integrates) {
    int own = mix(k, mem_string("KF"), K, false, force, false);
    advance(k, p->f, rest(k, "v", own), own);
  }
  for (int m = 0; m < p->matrix_count; m++)
    if (p->matrices[m].weights == m && p->matrices[m].rate != 0 && p->matrices[m].x >= 0)
      learn(k, m, force);
}

/* ---- the whole ---- */

static void *copy_of(const void *items, int count, size_t size) {
  void *copy = mem_new((size_t)count + 1, size);
  if (count) memcpy(copy, items, (size_t)count * size);
  return copy;
}

static Program *sharing(Program *base, Reading how) {
  Program *p = mem_new(1, sizeof *p);
  *p = *base;
  p->references = 1;
  p->base = program_keep(base);
  p->deeper = NULL;
  p->pool = expr_pool_new();
  p->spaces = copy_of(base->spaces, base->space_count, sizeof *p->spaces);
  p->matrices = copy_of(base->matrices, base->matrix_count, sizeof *p->matrices);
  p->variables = copy_of(base->variables, base->variable_count, sizeof *p->variables);
  p->constants = copy_of(base->constants, base->constant_count, sizeof *p->constants);
  p->row_maps = copy_of(base->row_maps, base->row_map_count, sizeof *p->row_maps);
  p->how = how;
  p->ops = NULL;
  p->op_count = 0;
  return p;
}

/* Op number i of the base; Delta weighs every row, with zeros for the test points. */
static void carry_over(Tail *k, int i) {
  Program *p = k->p;
  Op op = p->base->ops[i];
  if (op.kind == OP_MAP) op.expr = own(k, op.expr);
  if (op.kind == OP_WEIGH) {
    size_t batch = k->z.points * k->z.outputs, all = k->z.all * k->z.outputs;
    double *numbers = mem_try(all * batch, sizeof *numbers);
    for (size_t a = 0; numbers && a < batch; a++) numbers[a * batch + a] = 1;
    int pad = constant(k, "E", 0, all, batch, numbers);
    op.kind = OP_MAP;
    op.expr = product(k, 1, 2);
    op.src[op.src_count++] = mix(k, mem_string("Δ."), pad, false, p->delta, false);
  }
  emit(p, op);
}

Program *program_complete(Program *base, Reading how) {
  Program *p = sharing(base, how);
  Tail k = {.p = p, .how = how, .z = sizes_of(base)};
  for (int i = 0; i < base->forward_count; i++) carry_over(&k, i);
  p->forward_count = p->op_count;
  complete_outputs(&k);
  p->backward_first = p->op_count;
  for (int i = base->forward_count; i < base->op_count; i++) {
    if (i == base->gradient_count) p->gradient_count = p->op_count;
    carry_over(&k, i);
  }
  if (base->gradient_count == base->op_count) p->gradient_count = p->op_count;
  int last = p->measure_first = p->op_count;
  complete_levels(&k);
  if (!p->couples) complete_tangent(&k);
  for (int i = 0; i < p->op_count && how.lazy; i++)
    if (i < p->forward_count || i >= last || p->ops[i].kind == OP_APPLY_T ||
        is_wide_variable(p, p->ops[i].dst))
      p->ops[i].once = true;
  observe_outputs(&k);
  if (p->update.average > 0 && !how.lazy && !how.integrates) observe_averages(&k);
  complete_step(&k);
  return p;
}

const ProgramObservable *program_observable(const Program *p, int field, int layer) {
  for (int i = 0; i < p->observable_count; i++)
    if (p->observables[i].field == field && p->observables[i].layer == layer)
      return &p->observables[i];
  return NULL;
}
