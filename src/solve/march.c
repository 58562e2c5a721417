/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/march.h"
#include "base/memory.h"
#include "num/linalg.h"
#include "solve/basis.h"
#include "solve/noise.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A matrix in operation. On a thin side the vectors are known and few, so the matrix is kept as the
 * table of their images, and the basis of that side holds no directions, only the noise the table
 * started from. */
typedef struct Carrier {
  Basis x, y, features;       /* features: where they are not x, and wanted */
  double *learned;            /* M [x.capacity, y.capacity], wide matrices */
  double *table, *free_table; /* [vectors, S], thin ones */
  double *velocity;           /* of M or of the table, where the update remembers */
  double *root;               /* thin ones: F [vectors, vectors], F F^T the inner products */
  double *spread; /* [moves + 1]: standard deviation of the random part of W: sigma, as decay and
                     noise leave it */
  double *response[2]; /* gamma A and gamma B, per step [rows, rank], packed, for two_time */
  size_t response_used[2], response_capacity[2];
} Carrier;

typedef struct March {
  const MarchPlan *plan;
  const Program *p;
  const Problem *problem;
  MarchRecord *record;
  size_t S, points, all, outputs; /* paths, P, P + P*, C */
  size_t rows;                    /* most rows of a variable */
  int steps, t;
  int stages, stage;      /* of a step; measured is what stage 0 meets */
  double **value, **free; /* [variable] -> [rows, S]: a variable on all paths, and its free twin */
  Carrier *carrier;       /* [matrix] */
  NoiseSource noise;
  int *noise_count; /* [space]: noise rows drawn so far on a population */
  double *work;     /* [most rows, S] */
  double *coef;     /* [most rows, coef_capacity] */
  size_t coef_capacity;
  double *delta;  /* [P, C] */
  double *force;  /* [P, C]: Delta, weighted */
  double *f;      /* [R, C], now */
  double *pace;   /* [R, C]: the velocity of f, where the tangent kernel moves it */
  double *mixing; /* [mixing_size]: how the images of an input matrix take up gradients */
  double limit;   /* of the loss: loss_limit */
  Status status;
} March;

static void fail(March *m, Status status) {
  if (m->status == STATUS_OK) m->status = status;
}

static void poll(March *m) {
  if (m->plan->stop && *m->plan->stop) fail(m, STATUS_INTERRUPTED);
}

static double *want(March *m, size_t count) {
  double *block = mem_block(count);
  if (!block) fail(m, STATUS_LIMIT);
  return block;
}

/* ---- noise ---- */

static void reserve_coef(March *m, size_t capacity) {
  if (capacity <= m->coef_capacity) return;
  free(m->coef);
  m->coef_capacity = 2 * capacity;
  m->coef = want(m, m->rows * m->coef_capacity);
}

/* The sides of matrix k that lie on a population: the one whose noise acts there, and the one whose
 * vectors are fields of it. NULL where there is none. */
static Basis *noise_on(March *m, int k, int space, int side) {
  const Matrix *matrix = &m->p->matrices[k];
  if ((side == 0 ? matrix->to : matrix->from) != space) return NULL;
  return side == 0 ? &m->carrier[k].x : &m->carrier[k].y;
}

static Basis *fields_on(March *m, int k, int space, int side) {
  const Matrix *matrix = &m->p->matrices[k];
  if ((side == 0 ? matrix->from : matrix->to) != space || !is_wide_matrix(m->p, matrix))
    return NULL;
  return side == 0 ? &m->carrier[k].x : &m->carrier[k].y;
}

static int fields_rank(March *m, int space) {
  int rank = 0;
  for (int k = 0; k < 2 * m->p->matrix_count; k++) {
    const Basis *basis = fields_on(m, k / 2, space, k % 2);
    if (basis) rank += basis->rank;
  }
  return rank;
}

/* Fresh noise rows on population `space`, for `basis`, of which `rank` rows are there. They have
 * mean zero and unit variance, and are orthogonal to the earlier noise there and to the fields so
 * far: fresh noise is independent of both, and what holds for the average over neurons is made to
 * hold for the average over paths. A later response <x eps> then has sampling error only from the
 * part of x that is new. Each condition costs a direction of sample space, and is kept while a
 * fifth is left free. */
static void draw_rows(March *m, int space, const Basis *basis, int rank, double *rows,
                      size_t count) {
  for (size_t i = 0; i < count; i++)
    if (!noise_row(&m->noise, space, m->noise_count[space]++, rows + i * m->S))
      fail(m, STATUS_LIMIT);
  if (m->p->linear || count == 0) return;
  size_t noise = (size_t)m->noise_count[space], room = m->S - m->S / 5;
  bool fields = noise + (size_t)fields_rank(m, space) < room;
  NoiseBlock *blocks = mem_new(4 * (size_t)m->p->matrix_count, sizeof *blocks);
  int n = 0;
  for (int k = 0; k < 2 * m->p->matrix_count; k++) {
    const Basis *eps = noise < room ? noise_on(m, k / 2, space, k % 2) : NULL;
    const Basis *q = fields ? fields_on(m, k / 2, space, k % 2) : NULL;
    if (eps) blocks[n++] = (NoiseBlock){eps->eps, eps == basis ? rank : eps->rank};
    if (q) blocks[n++] = (NoiseBlock){q->q, q->rank};
  }
  m->record->flops += noise_condition(rows, count, m->S, blocks, n, noise < room);
  free(blocks);
}

/* The last `count` noise rows of the basis. */
static void draw_noise(March *m, int space, Basis *basis, int count) {
  int rank = basis->rank - count;
  draw_rows(m, space, basis, rank, basis->eps + (size_t)rank * m->S, (size_t)count);
}

/* ---- matrices ---- */

static bool has_velocity(const March *m, const Matrix *matrix) {
  return update_remembers(&m->p->update) && matrix->rate != 0;
}

/* The table M or its velocity, for the bases as they are now; its rows had `old` columns. */
static void widen(March *m, const Carrier *c, double **table, size_t old) {
  size_t columns = (size_t)c->y.capacity;
  double *wider = want(m, (size_t)c->x.capacity * columns);
  if (!wider) return;
  for (size_t i = 0; i < (size_t)c->x.rank && old; i++)
    memcpy(wider + i * columns, *table + i * old, (size_t)c->y.rank * sizeof *wider);
  free(*table);
  *table = wider;
}

/* Room for what `rows` more vectors on either side may add, M included. */
static bool reserve(March *m, const Matrix *matrix, Carrier *c, Basis *side, size_t rows) {
  int old_x = c->x.capacity, old_y = c->y.capacity;
  bool noise = is_wide_matrix(m->p, matrix);
  if (!basis_reserve(side, (int)rows, m->rows, m->S, 1, noise)) {
    fail(m, STATUS_LIMIT);
    return false;
  }
  reserve_coef(m, (size_t)(c->x.capacity > c->y.capacity ? c->x.capacity : c->y.capacity));
  if (!noise || (old_x == c->x.capacity && old_y == c->y.capacity)) return m->status == STATUS_OK;
  widen(m, c, &c->learned, (size_t)old_y);
  if (has_velocity(m, matrix)) widen(m, c, &c->velocity, (size_t)old_y);
  return m->status == STATUS_OK;
}

/* Keeps this step's response coefficients [rows, rank] for the two-time responses. */
static void record_response(March *m, Carrier *c, int which, const double *coef, size_t stride,
                            size_t rows, size_t rank) {
  size_t needed = c->response_used[which] + rows * rank;
  if (needed > c->response_capacity[which]) {
    double *larger = want(m, 2 * needed);
    if (!larger) return;
    if (c->response[which])
      memcpy(larger, c->response[which], c->response_used[which] * sizeof *larger);
    free(c->response[which]);
    c->response[which] = larger;
    c->response_capacity[which] = 2 * needed;
  }
  for (size_t r = 0; r < rows; r++)
    memcpy(c->response[which] + c->response_used[which] + r * rank, coef + r * stride,
           rank * sizeof *coef);
  c->response_used[which] = needed;
}

/* coef = <x - x_free, eps>, the response of x in the basis of what the other side met, but for the
 * spread of the matrix where it acts. */
static void measure_response(March *m, const Matrix *matrix, const Basis *other, bool forward,
                             int x, size_t rows) {
  size_t S = m->S, far = (size_t)other->rank;
  memset(m->coef, 0, rows * far * sizeof *m->coef);
  if (m->plan->independent || !(forward ? matrix->responds_x : matrix->responds_y)) return;
  for (size_t i = 0; i < rows * S; i++) m->work[i] = m->value[x][i] - m->free[x][i];
  m->record->flops +=
      mat_mul_bt(rows, far, S, 1 / (double)S, m->work, S, other->eps, S, 0, m->coef, far);
}

static size_t moves_done(const March *m) {
  return (size_t)m->t * (size_t)m->stages + (size_t)m->stage;
}

/* A matrix between populations meets variable x on the side `own`; `out` is its image, on the other
 * side.
 *     free = s L eps_own,   out = free + (s <x - x_free, eps_other> + L M) q_other
 * with M as learned when going forward and its transpose when going backward. */
static void apply_wide(March *m, const Matrix *matrix, Carrier *c, bool forward, int x, int out) {
  size_t rows = rows_of(m->p, x);
  Basis *own = forward ? &c->x : &c->y, *other = forward ? &c->y : &c->x;
  int noise_space = forward ? matrix->to : matrix->from;
  double spread = c->spread[moves_done(m)], *flops = &m->record->flops;
  if (!reserve(m, matrix, c, own, rows)) return;
  int fresh = basis_meet(own, m->value[x], rows, m->S, m->plan->tol, m->work, flops);
  draw_noise(m, noise_space, own, fresh);
  bool recorded =
      m->plan->two_time && m->stage == 0 && is_level(m->p, (int)(matrix - m->p->matrices));
  if (recorded && !basis_record(own, rows, m->t)) fail(m, STATUS_LIMIT);

  size_t S = m->S, rank = (size_t)own->rank, stride = (size_t)own->capacity;
  *flops += mat_mul(rows, S, rank, spread, own->now, stride, own->eps, S, 0, m->free[out], S);
  memcpy(m->value[out], m->free[out], rows * S * sizeof(double));

  size_t far = (size_t)other->rank, width = (size_t)other->capacity;
  if (far) {
    measure_response(m, matrix, other, forward, x, rows);
    if (recorded) record_response(m, c, forward ? 0 : 1, m->coef, far, rows, far);
    if (forward)
      *flops +=
          mat_mul(rows, far, rank, 1, own->now, stride, c->learned, width, spread, m->coef, far);
    else
      *flops += mat_mul_bt(rows, far, rank, 1, own->now, stride, c->learned, stride, spread,
                           m->coef, far);
    *flops += mat_mul(rows, S, far, 1, m->coef, far, other->q, S, 1, m->value[out], S);
  }
}

/* What the matrix learns, when that is not what it met, in the basis of its target side. */
static void meet_learned(March *m, const Matrix *matrix, Carrier *c) {
  size_t rows = rows_of(m->p, matrix->learns);
  if (matrix->learns == matrix->y || !reserve(m, matrix, c, &c->y, rows)) return;
  int fresh = basis_meet(&c->y, m->value[matrix->learns], rows, m->S, m->plan->tol, m->work,
                         &m->record->flops);
  draw_noise(m, matrix->from, &c->y, fresh);
}

/* table += rate L_x^T force L_y, which is O in the bases. */
static void take_up_wide(March *m, const Matrix *matrix, const Carrier *c, double rate,
                         double *table) {
  size_t C = m->outputs, batch = training_rows(m->p, matrix), rx = (size_t)c->x.rank,
         ry = (size_t)c->y.rank;
  for (size_t k = 0; k < batch; k++) {
    double force = force_on(m->p, matrix, m->force, k);
    if (force == 0) continue;
    const double *x = c->x.now + (k / C) * (size_t)c->x.capacity,
                 *y = c->y.now + k * (size_t)c->y.capacity;
    for (size_t i = 0; i < rx; i++)
      axpy(ry, rate * force * x[i], y, table + i * (size_t)c->y.capacity);
  }
  m->record->flops += 2.0 * (double)(batch * rx * ry);
}

static void advance_wide(March *m, const Matrix *matrix, Carrier *c, const Move *move) {
  meet_learned(m, matrix, c);
  if (m->status != STATUS_OK) return;
  size_t columns = (size_t)c->y.capacity;
  for (size_t i = 0; i < (size_t)c->x.rank; i++)
    advance_table(move, (size_t)c->y.rank, c->learned + i * columns,
                  c->velocity ? c->velocity + i * columns : NULL);
  take_up_wide(m, matrix, c, move->push + move->pull, c->learned);
  if (c->velocity) take_up_wide(m, matrix, c, 1, c->velocity);
}

/* The initial images: sigma F eps for the Gram matrix F F^T of an input space, sigma eps_c for the
 * outputs. */
static void start_thin(March *m, const Matrix *matrix, Carrier *c) {
  bool input = is_wide(m->p, matrix->to);
  size_t vectors = thin_vectors(m->p, matrix);
  Basis *thin = input ? &c->x : &c->y;
  double *root = c->root = want(m, vectors * vectors);
  c->table = want(m, vectors * m->S);
  c->free_table = want(m, vectors * m->S);
  if (has_velocity(m, matrix)) c->velocity = want(m, vectors * m->S);
  if (m->status == STATUS_OK) {
    int rank = thin_root(m->p, matrix, root);
    if (rank < 0) fail(m, STATUS_NUMERICS);
    reserve_coef(m, vectors);
    if (!basis_reserve(thin, (int)vectors, 1, m->S, 0, 1)) fail(m, STATUS_LIMIT);
    thin->rank = rank < 0 ? 0 : rank;
  }
  if (m->status == STATUS_OK) {
    size_t rank = (size_t)thin->rank;
    draw_noise(m, input ? matrix->to : matrix->from, thin, thin->rank);
    mat_mul(vectors, m->S, rank, matrix->sigma, root, vectors, thin->eps, m->S, 0, c->table, m->S);
    memcpy(c->free_table, c->table, vectors * m->S * sizeof *c->table);
  }
}

/* ---- noise of the training ---- */

/* Rows of noise that a step renews, a block at a time: eps <- old eps + fresh xi, with squares that
 * add to one. When they are the noise of a table, it takes up xi too. The same vectors are met by a
 * matrix whose random part is an Ornstein-Uhlenbeck process, and <x eps> is then the response
 * weighted with its correlation over time, as it should be. */
static void renew(March *m, int space, Basis *basis, double old, double fresh, const Carrier *table,
                  size_t vectors, double noise) {
  size_t block = m->all * m->outputs, S = m->S;
  for (size_t first = 0; first < (size_t)basis->rank && m->status == STATUS_OK; first += block) {
    size_t count = (size_t)basis->rank - first < block ? (size_t)basis->rank - first : block;
    draw_rows(m, space, basis, basis->rank, m->work, count);
    double *const tables[] = {table ? table->table : NULL, table ? table->free_table : NULL};
    for (int i = 0; i < 2 && table; i++)
      mat_mul(vectors, S, count, noise, table->root + first, vectors, m->work, S, 1, tables[i], S);
    double *eps = basis->eps + first * S;
    for (size_t i = 0; i < count * S; i++) eps[i] = old * eps[i] + fresh * m->work[i];
  }
}

static void shake(March *m, const Matrix *matrix, Carrier *c, const Move *move) {
  const double *spread = c->spread + moves_done(m);
  double next = spread[1], old = move->keep * spread[0] / next, fresh = move->noise / next;
  if (is_wide_matrix(m->p, matrix)) {
    renew(m, matrix->to, &c->x, old, fresh, NULL, 0, 0);
    renew(m, matrix->from, &c->y, old, fresh, NULL, 0, 0);
  } else {
    bool input = is_wide(m->p, matrix->to);
    renew(m, input ? matrix->to : matrix->from, input ? &c->x : &c->y, old, fresh, c,
          thin_vectors(m->p, matrix), move->noise);
  }
}

/* ---- one step ---- */

static void run_op(March *m, int i) {
  const Op *op = &m->p->ops[i];
  if (!is_wide(m->p, m->p->variables[op->dst].space)) return;
  if (op->kind == OP_WEIGH) {
    run_weigh(m->p, op, m->delta, m->value, m->S);
    run_weigh(m->p, op, m->delta, m->free, m->S);
  }
  if (op->kind == OP_ROWS) {
    run_rows(m->p, op, m->value, m->S);
    run_rows(m->p, op, m->free, m->S);
  }
  if (op->kind == OP_MAP) {
    run_map(m->p, op, m->plan->compiled->maps[i], m->value, m->S);
    run_map(m->p, op, m->plan->compiled->maps[i], m->free, m->S);
  }
  if (op->kind != OP_APPLY && op->kind != OP_APPLY_T) return;
  const Matrix *matrix = &m->p->matrices[op->matrix];
  Carrier *c = &m->carrier[op->matrix];
  bool forward = op->kind == OP_APPLY;
  size_t rows = rows_of(m->p, op->dst);
  if (is_wide_matrix(m->p, matrix)) {
    apply_wide(m, matrix, c, forward, op->src[0], op->dst);
  } else {
    apply_thin(m->p, matrix, c->table, rows, m->S, m->value[op->dst]);
    apply_thin(m->p, matrix, c->free_table, rows, m->S, m->free[op->dst]);
  }
}

/* Kernels of this step: those of the matrices, and their sum, the NTK. */
static void measure_kernels(March *m, double *full) {
  size_t offset = (size_t)m->t * m->all * m->all;
  MarchRecord *r = m->record;
  for (int k = 0; k < m->p->matrix_count; k++) {
    const Matrix *matrix = &m->p->matrices[k];
    if (r->x_kernel[k])
      r->flops += equal_time_kernel(m->p, matrix->features, m->value[matrix->features], m->S,
                                    r->x_kernel[k] + offset);
    if (r->y_kernel[k])
      r->flops +=
          equal_time_kernel(m->p, matrix->y, m->value[matrix->y], m->S, r->y_kernel[k] + offset);
  }
  r->flops += tangent_kernel(m->p, m->value, m->S, r->x_kernel, offset, full,
                             r->ntk + (size_t)m->t * m->points * m->points);
}

/* f = sum of <z x> / gamma over the readouts, less its free twin, whose mean is zero. */
static void measure_f(March *m, double *f) {
  size_t C = m->outputs, S = m->S, count = m->all * C;
  memset(f, 0, count * sizeof *f);
  for (int k = 0; k < m->p->matrix_count; k++) {
    if (!is_readout(m->p, k)) continue;
    const Carrier *c = &m->carrier[k];
    const double *x = m->value[m->p->matrices[k].x], *twin = m->free[m->p->matrices[k].x];
    for (size_t i = 0; i < count; i++)
      f[i] += (dot(S, c->table + i % C * S, x + i / C * S) -
               dot(S, c->free_table + i % C * S, twin + i / C * S)) /
              (m->plan->gamma * (double)S);
  }
}

/* Without responses <z x> / gamma is wrong at order one (it misses what lower layers learn), so f
 * is then the integral of the tangent kernel, from f = 0. */
static void train(March *m, const double *full) {
  Instant now = {m->t, m->stage, m->plan->parts};
  training_force(m->p, m->t, m->delta, m->force);
  if (m->plan->independent) {
    Move move = move_of(m->p, &(Matrix){.rate = 1}, now, 1);
    advance_output(m->p, full, &move, m->force, m->f, m->pace);
  }
  for (int k = 0; k < m->p->matrix_count; k++) {
    const Matrix *matrix = &m->p->matrices[k];
    Carrier *c = &m->carrier[k];
    if (matrix->rate == 0) continue;
    Move move = move_of(m->p, matrix, now, m->plan->gamma);
    if (is_wide_matrix(m->p, matrix)) {
      advance_wide(m, matrix, c, &move);
    } else {
      m->record->flops += advance_thin(m->p, matrix, &move, m->force, m->value, m->S, m->mixing,
                                       c->table, c->velocity);
      advance_table(&(Move){.keep = move.keep}, thin_vectors(m->p, matrix) * m->S, c->free_table,
                    NULL);
    }
    if (move.noise > 0) shake(m, matrix, c, &move);
  }
}

/* What a step is judged by, and recorded of it: all that stage 0 met. */
static void measure(March *m, double *full) {
  size_t kernel = m->points * m->points, outputs = m->all * m->outputs;
  const double *ntk = m->record->ntk + (size_t)m->t * kernel;
  measure_kernels(m, full);
  memcpy(m->record->f + (size_t)m->t * outputs, m->f, outputs * sizeof *m->f);
  if (m->t == 0) m->limit = loss_limit(m->p, m->plan->compiled, m->f, ntk, m->plan->gamma);
  if (has_diverged(m->p, m->plan->compiled, m->f, m->limit) || !is_sane(ntk, kernel))
    fail(m, STATUS_NUMERICS);
}

static void one_move(March *m, double *full) {
  for (int i = 0; i < m->p->op_count && m->status == STATUS_OK; i++) {
    if (i == m->p->forward_count) {
      if (!m->plan->independent) measure_f(m, m->f);
      training_delta(m->p, m->plan->compiled, m->f, m->delta);
    }
    run_op(m, i);
    poll(m);
  }
  if (m->status == STATUS_OK && m->stage == 0) measure(m, full);
  if (m->status == STATUS_OK && m->stage > 0 && m->plan->independent)
    m->record->flops += tangent_kernel(m->p, m->value, m->S, NULL, 0, full, NULL);
  if (m->status == STATUS_OK && m->t < m->steps) train(m, full);
}

static void meet_end(March *m, Basis *side, int variable) {
  size_t rows = rows_of(m->p, variable);
  if (m->status == STATUS_OK && !basis_reserve(side, (int)rows, m->rows, m->S, 1, 0))
    fail(m, STATUS_LIMIT);
  if (m->status != STATUS_OK) return;
  basis_meet(side, m->value[variable], rows, m->S, m->plan->tol, m->work, &m->record->flops);
  if (!basis_record(side, rows, m->t)) fail(m, STATUS_LIMIT);
}

/* Whether the basis of a matrix's x side is that of its features. */
static bool meets_features(const March *m, const Matrix *matrix) {
  return is_wide_matrix(m->p, matrix) && matrix->x == matrix->features;
}

/* For two_time, what no matrix between populations meets needs a basis too. */
static void meet_ends(March *m) {
  for (int k = 0; k < m->p->matrix_count; k++) {
    const Matrix *matrix = &m->p->matrices[k];
    Carrier *c = &m->carrier[k];
    if (!is_level(m->p, k)) continue;
    if (is_wide(m->p, matrix->from) && !meets_features(m, matrix))
      meet_end(m, &c->features, matrix->features);
    if (is_wide(m->p, matrix->to) && !is_wide(m->p, matrix->from)) meet_end(m, &c->y, matrix->y);
  }
}

/* The moves of a step; the last step has none, and is only measured. */
static void one_step(March *m, double *full) {
  int count = m->t < m->steps ? m->stages : 1;
  for (m->stage = 0; m->stage < count && m->status == STATUS_OK; m->stage++) {
    one_move(m, full);
    if (m->stage > 0 || m->status != STATUS_OK) continue;
    if (m->plan->two_time) meet_ends(m);
    if (m->status == STATUS_OK)
      snapshot_take(m->p, m->plan->snapshot, m->t, (int)m->noise.number, m->value, m->S);
  }
}

/* ---- two-time kernels and responses ---- */

/* L L^T over all steps, [n, n] with n = (T+1) R, averaged over positions and outputs; equal-time
 * blocks are the exact averages, which truncation did not touch. */
static double *two_time_kernel(March *m, const Basis *basis, int variable, const double *equal) {
  size_t rows = rows_of(m->p, variable), C = rows / m->all, R = m->all, rank = (size_t)basis->rank;
  size_t steps = (size_t)m->steps + 1, n = steps * R;
  double *kernel = want(m, n * n), *L = want(m, steps * rows * rank);
  if (m->status == STATUS_OK) {
    basis_coordinates(basis, rows, m->steps + 1, L);
    for (size_t c = 0; c < C; c++)
      m->record->flops += mat_mul_bt(n, n, rank, 1.0 / (double)C, L + c * rank, C * rank,
                                     L + c * rank, C * rank, c > 0, kernel, n);
    for (size_t t = 0; t < steps; t++)
      for (size_t a = 0; a < R; a++)
        memcpy(kernel + (t * R + a) * n + t * R, equal + (t * R + a) * R, R * sizeof *kernel);
  }
  free(L);
  return kernel;
}

/* The response R(a, b) = <dx_a / dr_b> from its coefficients rho = <x eps> = sigma R L, where L are
 * the coordinates of the vectors b met before (or, for B, up to) a's step: the smallest solution,
 * since R is defined only by its action on those vectors. r is the field of the initial matrix,
 * whatever decay has left of it. */
static double *two_time_response(March *m, const Carrier *c, int which, double sigma) {
  const Basis *other = which == 0 ? &c->y : &c->x;
  size_t R = m->all, steps = (size_t)m->steps + 1, n = steps * R, rank = (size_t)other->rank;
  double *response = want(m, n * n), *L = want(m, n * rank), *Lt = want(m, n * rank),
         *rhs = want(m, R * rank);
  if (m->status == STATUS_OK) {
    basis_coordinates(other, R, m->steps + 1, L);
    const double *rho = c->response[which];
    for (size_t t = which == 0 ? 1 : 0; t < steps; t++) {
      size_t met = which == 0 ? t : t + 1, now = (size_t)other->rank_at[met - 1];
      if (now == 0) continue; /* nothing met yet, or nothing but zeros */
      for (size_t k = 0; k < R * now; k++) rhs[k] = sigma > 0 ? rho[k] / sigma : 0;
      for (size_t k = 0; k < now; k++)
        for (size_t b = 0; b < met * R; b++) Lt[k * met * R + b] = L[b * rank + k];
      if (mat_solve_least(now, met * R, Lt, met * R, R, rhs, now, 1e-9, response + t * R * n, n))
        fail(m, STATUS_NUMERICS);
      rho += R * now;
    }
  }
  free(L);
  free(Lt);
  free(rhs);
  return response;
}

static void measure_two_time(March *m) {
  MarchRecord *r = m->record;
  for (int k = 0; k < m->p->matrix_count && m->status == STATUS_OK; k++) {
    const Matrix *matrix = &m->p->matrices[k];
    const Carrier *c = &m->carrier[k];
    if (!is_level(m->p, k)) continue;
    if (is_wide(m->p, matrix->from))
      r->x_history[k] = two_time_kernel(m, meets_features(m, matrix) ? &c->x : &c->features,
                                        matrix->features, r->x_kernel[k]);
    if (is_wide(m->p, matrix->to))
      r->y_history[k] = two_time_kernel(m, &c->y, matrix->y, r->y_kernel[k]);
    if (has_responses(m->p, k) && m->status == STATUS_OK) {
      r->x_response[k] = two_time_response(m, c, 0, matrix->sigma);
      r->y_response[k] = two_time_response(m, c, 1, matrix->sigma);
    }
  }
}

/* ---- the whole ---- */

/* The spread of a matrix through all moves. */
static void follow_spread(March *m, int k) {
  const Matrix *matrix = &m->p->matrices[k];
  size_t moves = (size_t)m->steps * (size_t)m->stages;
  double *spread = m->carrier[k].spread = mem_new(moves + 1, sizeof *spread);
  spread[0] = matrix->sigma;
  for (size_t i = 0; i < moves; i++) {
    Instant at = {(int)i / m->stages, (int)i % m->stages, m->plan->parts};
    Move move = move_of(m->p, matrix, at, m->plan->gamma);
    spread[i + 1] =
        move.noise > 0 ? hypot(move.keep * spread[i], move.noise) : move.keep * spread[i];
  }
}

static void allocate(March *m) {
  const Program *p = m->p;
  size_t steps = (size_t)m->steps + 1, R = m->all;
  MarchRecord *r = m->record;
  r->f = want(m, steps * R * m->outputs);
  r->ntk = want(m, steps * m->points * m->points);
  double ***tables[] = {&r->x_kernel,  &r->y_kernel,   &r->x_history,
                        &r->y_history, &r->x_response, &r->y_response};
  for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
    *tables[i] = mem_new((size_t)p->matrix_count, sizeof(double *));
  for (int k = 0; k < p->matrix_count; k++) {
    bool met = p->matrices[k].x >= 0;
    if (met && is_wide(p, p->matrices[k].from)) r->x_kernel[k] = want(m, steps * R * R);
    if (met && is_wide(p, p->matrices[k].to)) r->y_kernel[k] = want(m, steps * R * R);
  }
  m->value = mem_new((size_t)p->variable_count, sizeof *m->value);
  m->free = mem_new((size_t)p->variable_count, sizeof *m->free);
  for (int v = 0; v < p->variable_count; v++)
    if (is_wide(p, p->variables[v].space)) {
      m->value[v] = want(m, rows_of(m->p, v) * m->S);
      m->free[v] = want(m, rows_of(m->p, v) * m->S);
    }
  m->carrier = mem_new((size_t)p->matrix_count, sizeof *m->carrier);
  for (int k = 0; k < p->matrix_count; k++) follow_spread(m, k);
  m->noise_count = mem_new((size_t)p->space_count, sizeof *m->noise_count);
  m->work = want(m, m->rows * m->S);
  m->delta = want(m, m->points * m->outputs);
  m->force = want(m, m->points * m->outputs);
  m->f = want(m, R * m->outputs);
  m->pace = want(m, R * m->outputs);
  m->mixing = want(m, mixing_size(p));
}

static void release(March *m) {
  for (int v = 0; v < m->p->variable_count; v++) {
    free(m->value[v]);
    free(m->free[v]);
  }
  for (int k = 0; k < m->p->matrix_count; k++) {
    Carrier *c = &m->carrier[k];
    basis_free(&c->x);
    basis_free(&c->y);
    basis_free(&c->features);
    free(c->learned);
    free(c->table);
    free(c->free_table);
    free(c->velocity);
    free(c->root);
    free(c->spread);
    free(c->response[0]);
    free(c->response[1]);
  }
  free(m->value);
  free(m->free);
  free(m->carrier);
  free(m->noise_count);
  free(m->work);
  free(m->coef);
  free(m->delta);
  free(m->force);
  free(m->f);
  free(m->pace);
  free(m->mixing);
}

static int largest_rank(const March *m) {
  int rank = 0;
  for (int k = 0; k < m->p->matrix_count; k++) {
    if (m->carrier[k].x.rank > rank) rank = m->carrier[k].x.rank;
    if (m->carrier[k].y.rank > rank) rank = m->carrier[k].y.rank;
  }
  return rank;
}

Status march_run(const MarchPlan *plan, int replicate, MarchRecord *record, int *failed_at) {
  const Problem *problem = plan->program->problem;
  *record = (MarchRecord){0};
  March m = {.plan = plan,
             .p = plan->program,
             .problem = problem,
             .record = record,
             .S = plan->paths,
             .points = (size_t)problem->points,
             .all = (size_t)(problem->points + problem->tests),
             .outputs = (size_t)problem->outputs,
             .rows = most_rows(plan->program),
             .steps = plan->snapshot ? plan->snapshot->step : problem->steps,
             .stages = stages_of(plan->program, plan->parts)};
  m.noise = (NoiseSource){.kind = m.p->linear ? NOISE_COORDINATES : NOISE_SOBOL,
                          .S = m.S,
                          .seed = plan->seed,
                          .number = (uint64_t)replicate,
                          .sobol = plan->sobol};
  allocate(&m);
  double *full = want(&m, tangent_size(m.p));
  for (int k = 0; k < m.p->matrix_count && m.status == STATUS_OK; k++)
    if (!is_wide_matrix(m.p, &m.p->matrices[k])) start_thin(&m, &m.p->matrices[k], &m.carrier[k]);
  for (m.t = 0; m.t <= m.steps && m.status == STATUS_OK; m.t++) {
    if (!plan->step(plan->sink, m.t)) fail(&m, STATUS_INTERRUPTED);
    if (m.status == STATUS_OK) one_step(&m, full);
  }
  *failed_at = m.t - 1;
  if (m.status == STATUS_OK && plan->two_time) measure_two_time(&m);
  if (m.status == STATUS_LIMIT && m.p->linear) *failed_at = -1;
  record->rank = largest_rank(&m);
  free(full);
  release(&m);
  if (m.status != STATUS_OK) march_record_free(m.p, record);
  return m.status;
}

void march_record_free(const Program *program, MarchRecord *r) {
  double **tables[] = {r->x_kernel,  r->y_kernel,   r->x_history,
                       r->y_history, r->x_response, r->y_response};
  for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
    for (int k = 0; tables[i] && k < program->matrix_count; k++) free(tables[i][k]);
    free(tables[i]);
  }
  free(r->f);
  free(r->ntk);
  *r = (MarchRecord){0};
}
