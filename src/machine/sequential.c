/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A random matrix that is never formed: what it does to the vectors it meets, one after the other,
 * given what it did to those before (Gaussian conditioning). Exact at any number S of neurons, so
 * that it samples networks of width S without S x S matrices; and with overlaps of neurons in place
 * of response functions, so that the whole is a chain of averages over neurons, which the tape can
 * read backward.
 *
 * Of W from population b to a, with rho = N_a / N_b, orthonormal directions q_x of what it met
 * forward, and q_y of what it met backward, in order of creation,
 *
 *     W   q_x = chi = s n + (<q_x xi> / rho - s <q_y n>) q_y             over earlier q_y
 *     W^T q_y = xi  = s' m + (rho <q_y chi> - s' <q_x m>) q_x            over earlier q_x
 *
 * with fresh noise n, m, s = sigma and s' = sigma sqrt(rho). Then W x = L_x chi + L_x M q_y and
 * W^T y = L_y xi + rho L_y M^T q_x, for x = L_x q_x and y = L_y q_y, with the learned part M. The
 * overlaps <q_y n> and <q_x m> have mean zero, but they fluctuate. Of a direction too small to be
 * kept, what is known of its image remains: <rest xi> q_y / rho for the rest of x; the error is
 * then of second order in its size.
 *
 * Of an orthogonal matrix sigma W the directions on both sides are pairs, W q_x = q_y and W^T q_y =
 * q_x: a new one on one side has a partner that is uniformly distributed among the directions
 * orthogonal to those on the other, made of fresh noise. What one side meets is then known on the
 * other, and there are no images besides. */
#include "base/memory.h"
#include "machine/axes.h"
#include "machine/kin.h"
#include "machine/machine.h"
#include "machine/polar.h"
#include "num/linalg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One side: directions met there, their images on the other side, and the noise in these. */
typedef struct Side {
  View q, image, noise;
  View kin[KIN]; /* images by the velocity and the average, where they are random in a way of their
                    own */
  int *known;    /* [image.rows]: directions that the other side had before */
  size_t met;    /* vectors met so far */
} Side;

typedef struct Sequential {
  const Matrix *matrix;
  double rho;    /* N_to / N_from */
  double spread; /* standard deviation of the entries of the random part, as decay and noise leave
                    it   but for `share` */
  double share;  /* what decay has left of it since */
  double mean_share; /* of the average over the steps */
  bool kin;          /* there are kin, and no shares; L of these */
  double root[KIN][KIN];
  bool transposed;             /* it acts backward somewhere */
  bool responds_x, responds_y; /* what it meets on that side depends on its own noise */
  Side x, y;
  View *x_now, *y_now;     /* [use]: coordinates of what was met last */
  View *x_noise, *y_noise; /* [use]: the noise in the images of the other side by then */
  View learned, velocity;  /* M [x.q.rows, y.q.rows] as of the last update, and its velocity */
  View mean_learned;       /* its average over the steps */
} Sequential;

static bool acts_backward(const Program *p, int matrix) {
  for (int i = 0; i < p->op_count; i++)
    if (p->ops[i].kind == OP_APPLY_T && p->matrices[p->ops[i].matrix].weights == matrix)
      return true;
  return false;
}

/* Whether what a matrix meets on a side can respond: always where it is used more than once, and
 * where the overlaps, whose mean is zero if not, are to fluctuate. */
static bool responds(const Machine *m, int root, bool back) {
  const Matrix *matrix = &m->p->matrices[root];
  if (m->plan.independent) return false;
  for (int k = root + 1; k < m->p->matrix_count; k++)
    if (m->p->matrices[k].weights == root) return true;
  return m->plan.record || !m->plan.improve || (back ? matrix->responds_y : matrix->responds_x);
}

static Side new_side(Machine *m, int from, int to) {
  Tape *tape = m->tape;
  return (Side){tape_keep(tape, machine_rows(m, from, 0, false)),
                tape_keep(tape, machine_rows(m, to, 0, false)),
                tape_keep(tape, machine_rows(m, to, 0, true)),
                {NO_VIEW, tape_keep(tape, machine_rows(m, to, 0, false)),
                 tape_keep(tape, machine_rows(m, to, 0, false))},
                NULL,
                0};
}

static bool is_paired(const Matrix *matrix) { return matrix->law == LAW_ORTHOGONAL; }

static void *begin(Machine *m, int k) {
  const Program *p = m->p;
  const Matrix *matrix = &p->matrices[k];
  size_t uses = (size_t)p->matrix_count;
  int from = m->population[matrix->from], to = m->population[matrix->to];
  Sequential *s = mem_new(1, sizeof *s);
  *s = (Sequential){.matrix = matrix,
                    .rho = p->spaces[matrix->to].ratio / p->spaces[matrix->from].ratio,
                    .spread = matrix->sigma,
                    .share = is_paired(matrix) ? matrix->sigma : 1,
                    .mean_share = is_paired(matrix) ? matrix->sigma : 1,
                    .kin = kin_there(p, matrix),
                    .root = {{matrix->sigma}, {0}, {matrix->sigma}},
                    .transposed = acts_backward(p, k),
                    .responds_x = responds(m, k, false),
                    .responds_y = responds(m, k, true),
                    .x = new_side(m, from, to),
                    .y = new_side(m, to, from),
                    .x_now = mem_new(uses, sizeof(View)),
                    .y_now = mem_new(uses, sizeof(View)),
                    .x_noise = mem_new(uses, sizeof(View)),
                    .y_noise = mem_new(uses, sizeof(View)),
                    .learned = NO_VIEW,
                    .mean_learned = NO_VIEW,
                    .velocity = NO_VIEW};
  return s;
}

static void end(void *state) {
  Sequential *s = state;
  free(s->x.known);
  free(s->y.known);
  free(s->x_now);
  free(s->y_now);
  free(s->x_noise);
  free(s->y_noise);
  free(s);
}

static int blocks(const Machine *m, const void *state, int space, NoiseBlock *out) {
  const Sequential *s = state;
  bool to = s->matrix->to == space, from = s->matrix->from == space;
  const View views[] = {to ? s->x.noise : NO_VIEW, from ? s->y.noise : NO_VIEW,
                        from ? s->x.q : NO_VIEW, to ? s->y.q : NO_VIEW};
  int n = 0;
  for (size_t i = 0; i < sizeof views / sizeof *views; i++)
    if (views[i].slab >= 0 && views[i].rows) out[n++] = machine_block(m, views[i]);
  return n;
}

View machine_meet(Machine *m, View *q, View x, View *rest) {
  Tape *tape = m->tape;
  size_t rows = x.rows, rank = q->rows;
  int space = tape_space(tape, x);
  View L = tape_table(tape, rows, rank + rows, false), old = view_cols(L, 0, rank);
  View residual = tape_wide(tape, space, rows, false);
  *rest = NO_VIEW;
  if (tape_failed(tape)) return old;
  double *squares = machine_room(m, rows);
  tape_squares(tape, x, squares);
  tape_copy(tape, residual, 1, x);
  if (rank) {
    tape_average(tape, old, 1, x, *q, 1);
    tape_product(tape, residual, -1, old, *q, AS_IS);
  }
  size_t fresh = tape_extend(tape, q, residual, m->plan.tol, squares, view_cols(L, rank, rows));
  if (fresh < rows) {
    *rest = tape_wide(tape, space, rows, false);
    if (tape_failed(tape)) return old;
    tape_copy(tape, *rest, 1, residual);
    tape_product(tape, *rest, -1, view_cols(L, rank, fresh), view_rows(*q, rank, fresh), AS_IS);
  }
  if ((int)q->rows > m->rank) m->rank = (int)q->rows;
  return view_cols(L, 0, rank + fresh);
}

/* Of one of the kin on a side. */
static View *relative(Side *side, int which) {
  return which == KIN_WEIGHTS ? &side->image : &side->kin[which];
}

/* The same of directions that have noise already, where the matrix has kin. */
static void make_kin(Machine *m, const Sequential *s, Side *own, const Side *other, bool back,
                     size_t before, size_t fresh) {
  Tape *tape = m->tape;
  size_t far = other->image.rows;
  int space = back ? s->matrix->from : s->matrix->to;
  double unit = back ? sqrt(s->rho) : 1, cross = back ? s->rho : 1 / s->rho;
  View z[KIN] = {view_rows(own->noise, before, fresh)}, q = view_rows(other->q, 0, far);
  for (int k = 1; k < KIN; k++) {
    z[k] = machine_rows(m, m->population[space], 0, true);
    machine_draw(m, space, &z[k], fresh);
  }
  for (int k = 0; k < KIN && !tape_failed(tape) && !m->exhausted; k++) {
    View *all = relative(own, k), noise = tape_same(tape, z[0]);
    if (k != KIN_WEIGHTS) *all = tape_grow(tape, *all, fresh);
    View image = view_rows(*all, before, fresh);
    for (int j = 0; j <= k; j++)
      if (s->root[k][j] != 0) tape_copy(tape, noise, unit * s->root[k][j], z[j]);
    tape_copy(tape, image, 1, noise);
    if (!far || !(back ? s->responds_y : s->responds_x)) continue;
    View overlap = tape_table(tape, fresh, far, false), met = *relative((Side *)other, k);
    tape_average(tape, overlap, cross, view_rows(own->q, before, fresh), met, 1);
    tape_average(tape, overlap, -1, noise, q, 1);
    tape_product(tape, image, 1, overlap, q, AS_IS);
  }
}

/* The partners of directions of an orthogonal matrix. */
static void make_partners(Machine *m, const Sequential *s, Side *own, Side *other, bool back) {
  Tape *tape = m->tape;
  size_t far = other->q.rows, fresh = own->q.rows - far;
  int space = back ? s->matrix->from : s->matrix->to;
  View noise = tape_wide(tape, m->population[space], 0, true);
  if (fresh) machine_draw(m, space, &noise, fresh);
  if (fresh && !tape_failed(tape) && !m->exhausted) {
    View rest = tape_same(tape, noise), L = tape_table(tape, fresh, far + fresh, false);
    tape_copy(tape, rest, 1, noise);
    if (far) {
      tape_average(tape, view_cols(L, 0, far), -1, noise, other->q, 1);
      tape_product(tape, rest, 1, view_cols(L, 0, far), other->q, AS_IS);
    }
    double *ones = mem_new(fresh, sizeof *ones);
    for (size_t i = 0; i < fresh; i++) ones[i] = 1;
    size_t made = tape_extend(tape, &other->q, rest, 0, ones, view_cols(L, far, fresh));
    free(ones);
    if (made < fresh) m->exhausted = true;
  }
  own->image = other->q;
  other->image = own->q;
}

/* The images of the directions of `own` that have none yet; see the head. */
static void make_images(Machine *m, const Sequential *s, Side *own, Side *other, bool back) {
  if (is_paired(s->matrix)) {
    make_partners(m, s, own, other, back);
    return;
  }
  Tape *tape = m->tape;
  size_t before = own->image.rows, fresh = own->q.rows - before, far = other->image.rows;
  const Matrix *matrix = s->matrix;
  double spread = s->spread * (back ? sqrt(s->rho) : 1), cross = back ? s->rho : 1 / s->rho;
  if (!fresh) return;
  bool orthogonal =
      m->plan.axes ? axes_draw(m, (NoiseOf){matrix->weights, back, own->met}, &own->noise, fresh)
                   : machine_draw(m, back ? matrix->from : matrix->to, &own->noise, fresh);
  own->image = tape_grow(tape, own->image, fresh);
  if (tape_failed(tape) || m->exhausted) return;
  own->known = mem_grow(own->known, own->image.rows * sizeof *own->known);
  for (size_t i = before; i < own->image.rows; i++) own->known[i] = (int)far;
  if (s->kin) {
    make_kin(m, s, own, other, back, before, fresh);
    return;
  }
  View image = view_rows(own->image, before, fresh), noise = view_rows(own->noise, before, fresh);
  tape_copy(tape, image, spread, noise);
  if (!far || !(back ? s->responds_y : s->responds_x)) return;
  View overlap = tape_table(tape, fresh, far, false), q = view_rows(other->q, 0, far);
  tape_average(tape, overlap, cross, view_rows(own->q, before, fresh), other->image, 1);
  /* nothing where noise is made orthogonal, but it fluctuates */
  if (!orthogonal || m->plan.record) tape_average(tape, overlap, -spread, noise, q, 1);
  tape_product(tape, image, 1, overlap, q, AS_IS);
}

static void apply(Machine *m, void *state, int use, bool back, View x, View out) {
  Sequential *s = state;
  Tape *tape = m->tape;
  Side *own = back ? &s->y : &s->x, *other = back ? &s->x : &s->y;
  bool mean = m->p->matrices[use].averaged;
  double cross = back ? s->rho : 1 / s->rho, share = mean ? s->mean_share : s->share;
  View rest, L = machine_meet(m, &own->q, x, &rest), M = mean ? s->mean_learned : s->learned;
  make_images(m, s, own, other, back);
  own->met += x.rows;
  View image = own->image, far = other->image;
  if (mean && s->kin) image = own->kin[KIN_AVERAGE], far = other->kin[KIN_AVERAGE];
  *(back ? &s->y_now[use] : &s->x_now[use]) = L;
  *(back ? &s->y_noise[use] : &s->x_noise[use]) = other->noise;
  if (tape_failed(tape) || m->exhausted) return;
  tape_product(tape, out, share, L, image, AS_IS);
  if (!other->q.rows) return;
  View mixed = tape_table(tape, x.rows, other->q.rows, false);
  if (rest.slab >= 0 && far.rows && !is_paired(s->matrix) && (back ? s->responds_y : s->responds_x))
    tape_average(tape, view_cols(mixed, 0, far.rows), share * cross, rest, far, 1);
  if (M.slab >= 0)
    tape_product(tape, view_cols(mixed, 0, back ? M.rows : M.cols), back ? s->rho : 1,
                 view_cols(L, 0, back ? M.cols : M.rows), M, back ? TRANSPOSE_B : AS_IS);
  tape_product(tape, out, 1, mixed, other->q, AS_IS);
}

/* table += rate sum force x^T y in the bases, over the uses. */
static void take_up(Machine *m, const Sequential *s, double rate, const View *force, View table) {
  Tape *tape = m->tape;
  const Program *p = m->p;
  for (int use = s->matrix->weights, k = 0; use < p->matrix_count; use++) {
    const Matrix *matrix = &p->matrices[use];
    if (matrix->weights != s->matrix->weights || matrix->x < 0) continue;
    View f = force[k++];
    size_t batch = f.rows, C = sizes_of(p).outputs;
    bool forward = rows_per_x(p, matrix) == C; /* else it is y that flows forward */
    View x = view_rows(s->x_now[use], 0, forward ? batch / C : batch),
         y = view_rows(s->y_now[use], 0, forward ? batch : batch / C);
    if (!x.cols || !y.cols) continue;
    View weighted = tape_table(tape, batch, forward ? x.cols : y.cols, false);
    tape_map(tape, weighted, m->plan.code->times, (View[]){forward ? x : y, f});
    tape_product(tape, view_cols(view_rows(table, 0, x.cols), 0, y.cols), rate,
                 forward ? weighted : x, forward ? y : weighted, TRANSPOSE_A);
  }
}

/* Whether the transpose met what comes to this use: where nothing asks for the image it did not. */
static bool met_backward(const Machine *m, int use) {
  const bool *run = m->stage ? m->trains : m->needed;
  for (int i = 0; i < m->p->op_count; i++)
    if (m->p->ops[i].kind == OP_APPLY_T && m->p->ops[i].matrix == use) return run[i];
  return false;
}

/* What the matrix learns, where that is not what it met. */
static void meet_learned(Machine *m, Sequential *s) {
  const Program *p = m->p;
  for (int use = s->matrix->weights; use < p->matrix_count; use++) {
    const Matrix *matrix = &p->matrices[use];
    if (matrix->weights != s->matrix->weights || matrix->learns < 0) continue;
    if (matrix->learns == matrix->y && met_backward(m, use)) continue;
    View rest, y = m->value[matrix->learns];
    s->y_now[use] = machine_meet(m, &s->y.q, y, &rest);
    if (s->transposed || is_paired(s->matrix)) make_images(m, s, &s->y, &s->x, true);
    s->y.met += y.rows;
  }
}

/* keep * old + fresh * xi, as a new block in place of the old one. */
static View renewed(Machine *m, View old, double keep, View xi, double fresh) {
  View next = tape_keep(m->tape, tape_same(m->tape, old));
  tape_copy(m->tape, next, keep, old);
  tape_copy(m->tape, next, fresh, xi);
  tape_drop(m->tape, old);
  return next;
}

/* Noise Xi as a matrix meets it: what it makes of all directions, with the noise in that. */
typedef struct Shaking {
  View n, k; /* fresh noise on both sides */
  View xi;   /* Xi^T q_y, where Xi q_x = n */
} Shaking;

/* The products of Xi with all directions, those of one side given those of the other; false where
 * there is no memory or no more noise. */
static bool shaking(Machine *m, const Sequential *s, Shaking *all) {
  Tape *tape = m->tape;
  const Matrix *matrix = s->matrix;
  View n = machine_rows(m, m->population[matrix->to], 0, true),
       k = machine_rows(m, m->population[matrix->from], 0, true);
  machine_draw(m, matrix->to, &n, s->x.image.rows);
  machine_draw(m, matrix->from, &k, s->y.image.rows);
  if (tape_failed(tape) || m->exhausted) return false;
  View xi = tape_same(tape, k);
  tape_copy(tape, xi, sqrt(s->rho), k);
  if (n.rows && k.rows) {
    View overlap = tape_table(tape, k.rows, n.rows, false), q = view_rows(s->x.q, 0, n.rows);
    tape_average(tape, overlap, s->rho, view_rows(s->y.q, 0, k.rows), n, 1);
    tape_average(tape, overlap, -sqrt(s->rho), k, q, 1);
    tape_product(tape, xi, 1, overlap, q, AS_IS);
  }
  *all = (Shaking){n, k, xi};
  return true;
}

/* The random part takes up noise Xi. What was known of it is known of the sum, and the rest is a
 * Gaussian matrix as before. */
static void shake(Machine *m, Sequential *s, double noise) {
  double old = s->share * s->spread, next = hypot(old, noise);
  Shaking new;
  if (!shaking(m, s, &new)) return;
  s->x.image = renewed(m, s->x.image, s->share, new.n, noise);
  s->y.image = renewed(m, s->y.image, s->share, new.xi, noise);
  s->x.noise = renewed(m, s->x.noise, old / next, new.n, noise / next);
  s->y.noise = renewed(m, s->y.noise, old / next, new.k, noise / next);
  s->spread = next;
  s->share = 1;
}

static void move_side(Machine *m, Side *side, const KinStep *step, View xi) {
  View now[KIN + 1] = {side->image, side->kin[KIN_VELOCITY], side->kin[KIN_AVERAGE], xi};
  for (int i = 0; i < KIN; i++) {
    View next = tape_keep(m->tape, tape_same(m->tape, now[i]));
    for (int k = 0; k <= KIN; k++)
      if (step->of[i][k] != 0) tape_copy(m->tape, next, step->of[i][k], now[k]);
    *relative(side, i) = next;
  }
  for (int i = 0; i < KIN; i++) tape_drop(m->tape, now[i]);
}

/* The random parts of a matrix with kin, one step on. */
static void move_kin(Machine *m, Sequential *s, const Move *move) {
  KinStep step = kin_step(move);
  Shaking new;
  if (!shaking(m, s, &new)) return;
  move_side(m, &s->x, &step, new.n);
  move_side(m, &s->y, &step, new.xi);
  kin_advance(&step, s->root);
}

/* The first gradient is remembered: whether there is one at infinite width. */
static void remember_start(Machine *m, const Sequential *s, const View *force) {
  const Program *p = m->p;
  StartGradient *start = &m->start[s->matrix->weights];
  View V = s->velocity;
  const double *v = tape_data(m->tape, V);
  *start = (StartGradient){.size = sqrt(dot(V.rows * V.cols, v, v))};
  for (int use = s->matrix->weights, k = 0; use < p->matrix_count; use++) {
    const Matrix *matrix = &p->matrices[use];
    if (matrix->weights != s->matrix->weights || matrix->x < 0) continue;
    View f = force[k++], x = s->x_now[use], y = s->y_now[use];
    for (size_t r = 0; r < f.rows; r++) {
      const double *a = tape_data(m->tape, view_rows(x, r / sizes_of(p).outputs, 1)),
                   *b = tape_data(m->tape, view_rows(y, r, 1));
      start->bound += fabs(*tape_data(m->tape, view_rows(f, r, 1))) *
                      sqrt(dot(x.cols, a, a) * dot(y.cols, b, b));
    }
  }
}

/* The polar factor of the velocity, whose singular values among orthonormal directions are those of
 * the operator, divided by sqrt(N_to N_from) where entries are of order one; and M acts on averages
 * over N_from: W x gains (N_from / N_to)^(1/2) L_x M q_y. */
static View polar_table(Machine *m, const Sequential *s, const Move *move, const View *force) {
  View table = tape_same(m->tape, s->velocity);
  if (tape_failed(m->tape)) return table;
  tape_copy(m->tape, table, move->nesterov ? move->beta : 1, s->velocity);
  if (move->nesterov) take_up(m, s, 1, force, table);
  double *numbers = tape_data(m->tape, table);
  size_t n = table.rows * table.cols;
  Status status =
      polar_factor(&move->polar, move->polar.eps, table.rows, table.cols, numbers, &m->flops);
  if (status != STATUS_OK) m->status = status;
  for (size_t i = 0; i < n; i++) numbers[i] /= sqrt(s->rho);
  return table;
}

/* The average over the steps, one step on. */
static void average(Machine *m, Sequential *s, double keep) {
  View M = s->learned;
  s->mean_share = keep * s->mean_share + (1 - keep) * s->share;
  if (M.slab >= 0)
    s->mean_learned = machine_table_on(m, M.rows, M.cols, s->mean_learned, keep, M, 1 - keep);
}

static void learn(Machine *m, void *state, const Move *move, const View *force, int uses) {
  Sequential *s = state;
  (void)uses;
  bool learns = move_remembers(move) || move->pull != 0;
  if (learns) meet_learned(m, s);
  if (tape_failed(m->tape) || m->exhausted) return;
  size_t rows = s->x.q.rows, cols = s->y.q.rows;
  if (rows && cols && (learns || s->learned.slab >= 0)) {
    if (move_remembers(move)) {
      s->velocity =
          machine_table_on(m, rows, cols, s->velocity, move->beta, s->learned, -move->drag);
      take_up(m, s, 1, force, s->velocity);
    }
    if (move->polar.on && m->t == 0 && !tape_failed(m->tape)) remember_start(m, s, force);
    View taken = move->polar.on ? polar_table(m, s, move, force) : s->velocity;
    s->learned = machine_table_on(m, rows, cols, s->learned, move->keep, taken, move->push);
    if (move->pull != 0) take_up(m, s, move->pull, force, s->learned);
  }
  if (s->kin)
    move_kin(m, s, move);
  else
    s->share *= move->keep;
  if (!s->kin && move->noise > 0) shake(m, s, move->noise);
  if (move->average < 1) average(m, s, move->average);
}

Met sequential_met(const Machine *m, int use, bool back) {
  const Sequential *s = m->state[m->p->matrices[use].weights];
  Met met = back ? (Met){s->y_now[use], s->y_noise[use]} : (Met){s->x_now[use], s->x_noise[use]};
  if (!(back ? s->responds_y : s->responds_x)) met.noise.rows = 0;
  return met;
}

MetSide sequential_side(const Machine *m, int matrix, bool back) {
  const Sequential *s = m->state[matrix];
  const Side *side = back ? &s->y : &s->x;
  return (MetSide){view_rows(side->q, 0, side->image.rows), side->noise, side->known};
}

/* How many blocks of all directions a step makes anew, of move_kin() or shake(). */
static double blocks_moved(const Program *p, const Matrix *m) {
  enum { SHAKING = 3 };
  if (kin_there(p, m)) return 2 * KIN + SHAKING;
  return m->rate != 0 && update_for(p, m)->temperature > 0 ? 4 + SHAKING : 0;
}

/* Rows that a matrix meets in a step, wherever it acts. */
static double rows_met(const Program *p, int matrix) {
  double rows = 0;
  for (int use = matrix; use < p->matrix_count; use++) {
    const Matrix *m = &p->matrices[use];
    if (m->weights == matrix) rows += (double)(m->y < 0 ? most_rows(p) : rows_of(p, m->y));
  }
  return rows;
}

static double bytes(const MachinePlan *plan, int matrix, double S, double steps) {
  const Program *p = plan->program;
  const Matrix *m = &p->matrices[matrix];
  double rows = (double)most_rows(p), met_rows = rows_met(p, matrix),
         rank = fmin(steps * met_rows, S);
  double bases = (kin_there(p, m) ? 2 * 5 : 2 * 3) * rank * S,
         tables = 3 * rank * rank + 4 * rows * rank;
  double met = 4 * rows * S, full = rank / met_rows, ranks = rank * (steps - (full - 1) / 2);
  double moved = plan->record ? blocks_moved(p, m) * ranks * S : 0;
  return (2 * bases + moved) * machine_number(plan) +
         8 * (plan->record ? steps : 1) * (tables + met);
}

void machine_take(Machine *m, View *learned, View *qx, View *qy, View x, View y) {
  View rest, a = machine_meet(m, qx, x, &rest), b = machine_meet(m, qy, y, &rest);
  if (tape_failed(m->tape)) return;
  *learned = machine_table_on(m, qx->rows, qy->rows, *learned, 1, NO_VIEW, 0);
  tape_product(m->tape, view_cols(view_rows(*learned, 0, a.cols), 0, b.cols), 1, a, b, TRANSPOSE_A);
}

void machine_decay(Machine *m, View *learned, double keep) {
  if (learned->slab >= 0)
    *learned = machine_table_on(m, learned->rows, learned->cols, *learned, keep, NO_VIEW, 0);
}

/* Directions need images when something acts on them. */
static void take(Machine *m, void *state, View y, View x) {
  Sequential *s = state;
  machine_take(m, &s->learned, &s->x.q, &s->y.q, x, y);
}

static void decay(Machine *m, void *state, double keep) {
  Sequential *s = state;
  s->share *= keep;
  machine_decay(m, &s->learned, keep);
}

static void drop_side(Machine *m, Side *side) {
  tape_drop(m->tape, side->q);
  tape_drop(m->tape, side->image);
  tape_drop(m->tape, side->noise);
  free(side->known);
}

static void redraw(Machine *m, void *state, int k) {
  Sequential *s = state;
  int from = m->population[s->matrix->from], to = m->population[s->matrix->to];
  (void)k;
  drop_side(m, &s->x);
  drop_side(m, &s->y);
  s->x = new_side(m, from, to);
  s->y = new_side(m, to, from);
  s->learned = NO_VIEW;
  s->spread = s->matrix->sigma;
  s->share = 1;
}

static void show_side(Side *side, Piece *piece, void *sink) {
  views_pieces(&side->q, 1, piece, sink);
  views_pieces(&side->image, 1, piece, sink);
  views_pieces(&side->noise, 1, piece, sink);
  views_pieces(side->kin, KIN, piece, sink);
  piece(sink, &side->met, sizeof side->met);
  unsigned char known = side->known != NULL;
  piece(sink, &known, sizeof known);
  if (!known) return;
  side->known = mem_grow(side->known, side->image.rows * sizeof *side->known);
  piece(sink, side->known, side->image.rows * sizeof *side->known);
}

static void pieces(Machine *m, void *state, Piece *piece, void *sink) {
  Sequential *s = state;
  View *const met[] = {s->x_now, s->y_now, s->x_noise, s->y_noise}, *const learned[] = {
                                                                        &s->learned, &s->velocity,
                                                                        &s->mean_learned};
  show_side(&s->x, piece, sink);
  show_side(&s->y, piece, sink);
  for (size_t i = 0; i < 4; i++) views_pieces(met[i], (size_t)m->p->matrix_count, piece, sink);
  for (size_t i = 0; i < 3; i++) views_pieces(learned[i], 1, piece, sink);
  piece(sink, &s->spread, sizeof s->spread);
  piece(sink, &s->share, sizeof s->share);
  piece(sink, &s->mean_share, sizeof s->mean_share);
  piece(sink, s->root, sizeof s->root);
}

const MatrixKind sequential = {"sequential", begin, apply, learn,  blocks, end,
                               bytes,        take,  decay, redraw, pieces};
