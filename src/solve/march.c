/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/march.h"
#include "base/memory.h"
#include "num/linalg.h"
#include "num/random.h"
#include "scalar/kernel.h"
#include "solve/basis.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A variable on all sample paths, and its free twin. */
typedef struct Field {
  double *value, *free; /* [rows, S] */
} Field;

/* A matrix in operation. On a thin side the vectors are known and few, so the matrix is kept as the
 * table of their images, and the basis of that side holds no directions, only the noise the table
 * started from. */
typedef struct Carrier {
  Basis x, y;
  double *learned;            /* M [x.capacity, y.capacity], wide matrices */
  double *table, *free_table; /* [vectors, S], thin ones */
  double *response[2];        /* gamma A and gamma B, per step [rows, rank], packed, for two_time */
  size_t response_used[2], response_capacity[2];
} Carrier;

typedef struct March {
  const MarchPlan *plan;
  const Program *p;
  const Problem *problem;
  MarchRecord *record;
  size_t S, points, all, outputs; /* paths, P, P + P*, C */
  int steps, t, replicate;
  Field *field;      /* [variable] */
  Carrier *carrier;  /* [matrix] */
  int *noise_count;  /* [space]: noise rows drawn so far on a population */
  double *work;      /* [most rows, S] */
  double *coef;      /* [most rows, coef_capacity] */
  size_t coef_capacity;
  double *delta;     /* [P, C] */
  double *mixing;    /* [R, P C]: how the images of an input matrix take up gradients */
  Status status;
} March;

static bool wide(const March *m, int space) { return m->p->spaces[space].kind == SPACE_WIDE; }

static bool wide_matrix(const March *m, const Matrix *matrix) {
  return wide(m, matrix->from) && wide(m, matrix->to);
}

static size_t rows_of(const March *m, int variable) {
  return m->p->variables[variable].backward ? m->all * m->outputs : m->all;
}

static void fail(March *m, Status status) {
  if (m->status == STATUS_OK) m->status = status;
}

static double *want(March *m, size_t count) {
  double *block = mem_block(count);
  if (!block) fail(m, STATUS_LIMIT);
  return block;
}

/* ---- noise ---- */

/* Row i of the coordinate basis, scaled so that <e e> = 1. */
static void coordinate_noise(March *m, int space, double *row) {
  int k = m->noise_count[space]++;
  memset(row, 0, m->S * sizeof *row);
  if ((size_t)k >= m->S)
    fail(m, STATUS_LIMIT);
  else
    row[k] = sqrt((double)m->S);
}

static void sampled_noise(March *m, int space, double *row) {
  int k = m->noise_count[space]++;
  uint64_t stream = random_stream(1, (uint64_t)m->replicate, (uint64_t)space, (uint64_t)k);
  if (k < SOBOL_DIMS)
    sobol_normals(m->plan->sobol + (size_t)k * m->S, m->S, m->plan->seed, stream, row);
  else
    random_normals(m->plan->seed, stream, 0, m->S, row);
}

static void remove_mean(double *row, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) sum += row[i];
  for (size_t i = 0; i < n; i++) row[i] -= sum / (double)n;
}

/* rows -= (rows v^T / S) v for the orthonormal vectors v[rank, S]. */
static void project_out(March *m, const double *v, int rank, double *rows, size_t count) {
  if (!v || !rank) return;
  double *c = m->coef;
  size_t k = (size_t)rank;
  m->record->flops += mat_mul_bt(count, k, m->S, 1.0 / (double)m->S, rows, m->S, v, m->S, 0, c, k);
  m->record->flops += mat_mul(count, m->S, k, -1, c, k, v, m->S, 1, rows, m->S);
}

static void orthonormalise(March *m, double *rows, size_t count) {
  for (size_t i = 0; i < count; i++) {
    double *row = rows + i * m->S;
    for (size_t j = 0; j < i; j++)
      axpy(m->S, -dot(m->S, rows + j * m->S, row) / (double)m->S, rows + j * m->S, row);
    double scale = sqrt((double)m->S / dot(m->S, row, row));
    for (size_t s = 0; s < m->S; s++) row[s] *= scale;
  }
}

static void reserve_coef(March *m, size_t capacity) {
  if (capacity <= m->coef_capacity) return;
  free(m->coef);
  m->coef_capacity = 2 * capacity;
  m->coef = want(m, m->all * m->outputs * m->coef_capacity);
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
  if ((side == 0 ? matrix->from : matrix->to) != space || !wide_matrix(m, matrix)) return NULL;
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

/* Fills the last `count` noise rows of `basis`, which act on population `space`. They have mean zero
 * and unit variance, and are orthogonal to the earlier noise there and to the fields so far: fresh
 * noise is independent of both, and what holds for the average over neurons is made to hold for the
 * average over paths. A later response <x eps> then has sampling error only from the part of x that
 * is new. Each condition costs a direction of sample space, and is kept while a fifth is left free. */
static void draw_noise(March *m, int space, Basis *basis, int count) {
  int rank = basis->rank - count;
  double *rows = basis->eps + (size_t)rank * m->S;
  for (int i = 0; i < count; i++)
    if (m->p->linear)
      coordinate_noise(m, space, rows + (size_t)i * m->S);
    else
      sampled_noise(m, space, rows + (size_t)i * m->S);
  if (m->p->linear || count == 0) return;
  for (int i = 0; i < count; i++) remove_mean(rows + (size_t)i * m->S, m->S);
  size_t noise = (size_t)m->noise_count[space], room = m->S - m->S / 5;
  bool fields = noise + (size_t)fields_rank(m, space) < room;
  /* the two families overlap, so one pass over both leaves the first a little oblique */
  for (int sweep = 0; sweep < 2; sweep++)
    for (int k = 0; k < 2 * m->p->matrix_count; k++) {
      const Basis *eps = noise < room ? noise_on(m, k / 2, space, k % 2) : NULL;
      const Basis *q = fields ? fields_on(m, k / 2, space, k % 2) : NULL;
      if (eps) project_out(m, eps->eps, eps == basis ? rank : eps->rank, rows, (size_t)count);
      if (q) project_out(m, q->q, q->rank, rows, (size_t)count);
    }
  orthonormalise(m, rows, (size_t)count);
}

/* ---- matrices ---- */

/* Room for what `rows` more vectors on either side may add, M included. */
static bool reserve(March *m, const Matrix *matrix, Carrier *c, Basis *side, size_t rows) {
  int old_x = c->x.capacity, old_y = c->y.capacity;
  bool noise = wide_matrix(m, matrix);
  if (!basis_reserve(side, (int)rows, m->all * m->outputs, m->S, 1, noise)) {
    fail(m, STATUS_LIMIT);
    return false;
  }
  reserve_coef(m, (size_t)(c->x.capacity > c->y.capacity ? c->x.capacity : c->y.capacity));
  if (!noise || (old_x == c->x.capacity && old_y == c->y.capacity)) return m->status == STATUS_OK;
  double *learned = want(m, (size_t)c->x.capacity * (size_t)c->y.capacity);
  if (!learned) return false;
  for (int i = 0; i < c->x.rank && old_y; i++)
    memcpy(learned + (size_t)i * (size_t)c->y.capacity, c->learned + (size_t)i * (size_t)old_y,
           (size_t)c->y.rank * sizeof *learned);
  free(c->learned);
  c->learned = learned;
  return m->status == STATUS_OK;
}

/* Keeps this step's response coefficients [rows, rank] for the two-time responses. */
static void record_response(March *m, Carrier *c, int which, const double *coef, size_t stride, size_t rows,
                            size_t rank) {
  size_t needed = c->response_used[which] + rows * rank;
  if (needed > c->response_capacity[which]) {
    double *larger = want(m, 2 * needed);
    if (!larger) return;
    if (c->response[which]) memcpy(larger, c->response[which], c->response_used[which] * sizeof *larger);
    free(c->response[which]);
    c->response[which] = larger;
    c->response_capacity[which] = 2 * needed;
  }
  for (size_t r = 0; r < rows; r++)
    memcpy(c->response[which] + c->response_used[which] + r * rank, coef + r * stride, rank * sizeof *coef);
  c->response_used[which] = needed;
}

/* A matrix between populations meets x on the side `own`; out = its image, on the other side.
 *     free = sigma L eps_own,   out = free + (sigma <x - x_free, eps_other> + L M) q_other
 * with M as learned when going forward and its transpose when going backward. */
static void apply_wide(March *m, const Matrix *matrix, Carrier *c, bool forward, const Field *x, size_t rows,
                       Field *out) {
  Basis *own = forward ? &c->x : &c->y, *other = forward ? &c->y : &c->x;
  int noise_space = forward ? matrix->to : matrix->from;
  double *flops = &m->record->flops;
  if (!reserve(m, matrix, c, own, rows)) return;
  int fresh = basis_meet(own, x->value, rows, m->S, m->plan->tol, m->work, flops);
  draw_noise(m, noise_space, own, fresh);
  if (m->plan->two_time && !basis_record(own, rows, m->t)) fail(m, STATUS_LIMIT);

  size_t S = m->S, rank = (size_t)own->rank, stride = (size_t)own->capacity;
  *flops += mat_mul(rows, S, rank, matrix->sigma, own->now, stride, own->eps, S, 0, out->free, S);
  memcpy(out->value, out->free, rows * S * sizeof(double));

  size_t far = (size_t)other->rank, width = (size_t)other->capacity;
  if (far) {
    for (size_t i = 0; i < rows * S; i++) m->work[i] = x->value[i] - x->free[i];
    *flops += mat_mul_bt(rows, far, S, matrix->sigma / (double)S, m->work, S, other->eps, S, 0, m->coef, far);
    if (m->plan->two_time) record_response(m, c, forward ? 0 : 1, m->coef, far, rows, far);
    if (forward)
      *flops += mat_mul(rows, far, rank, 1, own->now, stride, c->learned, width, 1, m->coef, far);
    else
      *flops += mat_mul_bt(rows, far, rank, 1, own->now, stride, c->learned, stride, 1, m->coef, far);
    *flops += mat_mul(rows, S, far, 1, m->coef, far, other->q, S, 1, out->value, S);
  }
}

/* A thin matrix: look the images up. Backward rows (mu, c) from the output side are w_c. */
static void apply_thin(March *m, const Matrix *matrix, Carrier *c, size_t rows, Field *out) {
  size_t vectors = m->p->spaces[matrix->from].kind == SPACE_INPUT ? m->all : m->outputs;
  for (size_t r = 0; r < rows; r++) {
    size_t from = (r % vectors) * m->S, to = r * m->S;
    memcpy(out->value + to, c->table + from, m->S * sizeof(double));
    memcpy(out->free + to, c->free_table + from, m->S * sizeof(double));
  }
}

static const double *gram_of(const March *m, const Matrix *matrix) {
  const Array *gram = m->p->spaces[matrix->from].gram;
  return gram ? gram->data : NULL;
}

static double gram_at(const double *gram, size_t all, size_t a, size_t b) { return gram ? gram[a * all + b] : 1; }

/* M += c L_x^T Delta L_y, or the same for a table of images. */
static void update(March *m, const Matrix *matrix, Carrier *c, double rate) {
  size_t S = m->S, C = m->outputs;
  if (wide_matrix(m, matrix)) {
    size_t rx = (size_t)c->x.rank, ry = (size_t)c->y.rank;
    for (size_t mu = 0; mu < m->points; mu++)
      for (size_t i = 0; i < C; i++) {
        const double *x = c->x.now + mu * (size_t)c->x.capacity;
        const double *y = c->y.now + (mu * C + i) * (size_t)c->y.capacity;
        for (size_t k = 0; k < rx; k++)
          axpy(ry, rate * m->delta[mu * C + i] * x[k], y, c->learned + k * (size_t)c->y.capacity);
      }
    m->record->flops += 2.0 * (double)(m->points * C * rx * ry);
  } else if (wide(m, matrix->to)) {
    const double *y = m->field[matrix->y].value, *gram = gram_of(m, matrix);
    double *a = m->mixing;
    for (size_t mu = 0; mu < m->all; mu++)
      for (size_t k = 0; k < m->points * C; k++)
        a[mu * m->points * C + k] = rate * gram_at(gram, m->all, mu, k / C) * m->delta[k];
    m->record->flops += mat_mul(m->all, S, m->points * C, 1, a, m->points * C, y, S, 1, c->table, S);
  } else {
    for (size_t i = 0; i < C; i++)
      for (size_t mu = 0; mu < m->points; mu++)
        axpy(S, rate * m->delta[mu * C + i], m->field[matrix->x].value + mu * S, c->table + i * S);
    m->record->flops += 2.0 * (double)(m->points * C * S);
  }
}

/* F with F F^T the inner products of a thin side's vectors: their Gram matrix, all ones for the
 * constant input of a bias, the identity for the outputs. Returns the rank. */
static size_t thin_root(March *m, const Matrix *matrix, size_t vectors, double *root) {
  const Space *from = &m->p->spaces[matrix->from];
  if (from->gram) {
    int rank = mat_root(vectors, from->gram->data, root);
    if (rank < 0) fail(m, STATUS_NUMERICS);
    return rank < 0 ? 0 : (size_t)rank;
  }
  bool input = from->kind == SPACE_INPUT;
  for (size_t k = 0; k < vectors; k++) root[k * vectors + (input ? 0 : k)] = 1;
  return input ? 1 : vectors;
}

/* The initial images: sigma F eps for the Gram matrix F F^T of an input space, sigma eps_c for the
 * outputs. */
static void start_thin(March *m, const Matrix *matrix, Carrier *c) {
  bool input = !wide(m, matrix->from);
  size_t vectors = input ? m->all : m->outputs, rank = vectors;
  double *root = want(m, vectors * vectors);
  Basis *thin = input ? &c->x : &c->y;
  c->table = want(m, vectors * m->S);
  c->free_table = want(m, vectors * m->S);
  if (m->status == STATUS_OK) {
    rank = thin_root(m, matrix, vectors, root);
    reserve_coef(m, rank);
    if (!basis_reserve(thin, (int)rank, 1, m->S, 0, 1)) fail(m, STATUS_LIMIT);
  }
  if (m->status == STATUS_OK) {
    thin->rank = (int)rank;
    draw_noise(m, input ? matrix->to : matrix->from, thin, (int)rank);
    mat_mul(vectors, m->S, rank, matrix->sigma, root, vectors, thin->eps, m->S, 0, c->table, m->S);
    memcpy(c->free_table, c->table, vectors * m->S * sizeof *c->table);
  }
  free(root);
}

/* ---- one step ---- */

static void run_map(March *m, const Op *op, const Kernel *kernel) {
  bool out_backward = m->p->variables[op->dst].backward;
  size_t rows = rows_of(m, op->dst), C = m->outputs;
  /* a forward argument of a backward map serves all outputs c of its point */
  size_t runs = out_backward && C > 1 ? rows : 1, length = rows * m->S / runs;
  for (int twin = 0; twin < 2; twin++)
    for (size_t r = 0; r < runs; r++) {
      const double *args[OP_MAX_ARGS];
      for (int k = 0; k < op->src_count; k++) {
        const Field *f = &m->field[op->src[k]];
        size_t row = runs == 1 ? 0 : m->p->variables[op->src[k]].backward ? r : r / C;
        args[k] = (twin ? f->free : f->value) + row * m->S;
      }
      Field *out = &m->field[op->dst];
      kernel_run(kernel, length, args, (twin ? out->free : out->value) + r * length);
    }
}

static void run_op(March *m, int i) {
  const Op *op = &m->p->ops[i];
  if (op->kind == OP_MAP) {
    run_map(m, op, m->plan->kernels[i]);
    return;
  }
  if (op->kind != OP_APPLY && op->kind != OP_APPLY_T) return;
  const Matrix *matrix = &m->p->matrices[op->matrix];
  Carrier *c = &m->carrier[op->matrix];
  bool forward = op->kind == OP_APPLY;
  if (wide_matrix(m, matrix))
    apply_wide(m, matrix, c, forward, &m->field[op->src[0]], rows_of(m, op->src[0]), &m->field[op->dst]);
  else if (op->matrix != m->p->readout || !forward)
    apply_thin(m, matrix, c, rows_of(m, op->dst), &m->field[op->dst]);
}

/* <x x> of a variable on a population, over points; the mean over outputs for backward ones. */
static void equal_time(March *m, int variable, double *kernel) {
  size_t R = m->all, C = rows_of(m, variable) / R, S = m->S;
  const double *x = m->field[variable].value;
  for (size_t c = 0; c < C; c++)
    m->record->flops += mat_mul_bt(R, R, S, 1.0 / (double)(S * C), x + c * S, C * S, x + c * S, C * S, c > 0, kernel, R);
}

/* G_{mu c, alpha c'} of all outputs, [P C, P C]; <y y> on the output space is the identity in c. */
static void output_kernel(March *m, const Matrix *matrix, double *kernel) {
  size_t n = m->all * m->outputs;
  if (wide(m, matrix->to)) {
    const double *y = m->field[matrix->y].value;
    m->record->flops += mat_mul_bt(n, n, m->S, 1.0 / (double)m->S, y, m->S, y, m->S, 0, kernel, n);
  } else {
    for (size_t a = 0; a < n; a++)
      for (size_t b = 0; b < n; b++) kernel[a * n + b] = a % m->outputs == b % m->outputs;
  }
}

static double x_kernel_at(March *m, int matrix, size_t a, size_t b) {
  const double *kernel = m->record->x_kernel[matrix];
  if (kernel) return kernel[((size_t)m->t * m->all + a) * m->all + b];
  return gram_at(gram_of(m, &m->p->matrices[matrix]), m->all, a, b);
}

/* The tangent kernel sum_m rate_m G_m o Phi_m at this step, [(R C), (R C)]. */
static void tangent_kernel(March *m, double *ntk, double *g) {
  size_t C = m->outputs, n = m->all * C;
  memset(ntk, 0, n * n * sizeof *ntk);
  for (int k = 0; k < m->p->matrix_count; k++) {
    const Matrix *matrix = &m->p->matrices[k];
    if (matrix->rate == 0) continue;
    output_kernel(m, matrix, g);
    for (size_t a = 0; a < n; a++)
      for (size_t b = 0; b < n; b++) ntk[a * n + b] += matrix->rate * g[a * n + b] * x_kernel_at(m, k, a / C, b / C);
  }
}

/* Kernels of this step: those of the matrices, and their sum, the NTK. */
static void measure_kernels(March *m, double *full) {
  size_t R = m->all, C = m->outputs, P = m->points;
  for (int k = 0; k < m->p->matrix_count; k++) {
    const Matrix *matrix = &m->p->matrices[k];
    if (wide(m, matrix->from)) equal_time(m, matrix->x, m->record->x_kernel[k] + (size_t)m->t * R * R);
    if (wide(m, matrix->to)) equal_time(m, matrix->y, m->record->y_kernel[k] + (size_t)m->t * R * R);
  }
  tangent_kernel(m, full, full + R * C * R * C);
  double *ntk = m->record->ntk + (size_t)m->t * P * P;
  for (size_t a = 0; a < P; a++)
    for (size_t b = 0; b < P; b++)
      for (size_t c = 0; c < C; c++) ntk[a * P + b] += full[(a * C + c) * R * C + b * C + c] / (double)C;
}

/* f = <z x> / gamma, less its free twin, whose mean is zero. With the flow, f is instead the
 * integral of the tangent kernel, filled in by advance_flow. */
static void measure_f(March *m) {
  const Matrix *readout = &m->p->matrices[m->p->readout];
  const Carrier *c = &m->carrier[m->p->readout];
  const Field *x = &m->field[readout->x];
  double *f = m->record->f + (size_t)m->t * m->all * m->outputs, unit = m->problem->gamma * (double)m->S;
  for (size_t mu = 0; mu < m->all; mu++)
    for (size_t k = 0; k < m->outputs; k++)
      f[mu * m->outputs + k] = (dot(m->S, c->table + k * m->S, x->value + mu * m->S) -
                                dot(m->S, c->free_table + k * m->S, x->free + mu * m->S)) / unit;
}

/* f(t+1) = f(t) + (eta dt / P) sum K Delta */
static void advance_flow(March *m, const double *full, double rate) {
  size_t C = m->outputs, n = m->all * C, trained = m->points * C;
  const double *f = m->record->f + (size_t)m->t * n;
  double *next = m->record->f + (size_t)(m->t + 1) * n;
  for (size_t a = 0; a < n; a++) next[a] = f[a] + rate * dot(trained, full + a * n, m->delta);
}

static bool all_finite(const double *x, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (!(fabs(x[i]) < 1e100)) return false;
  return true;
}

static void one_step(March *m, double *full) {
  bool flow = m->problem->optimizer == OPT_FLOW;
  size_t n = m->all * m->outputs, trained = m->points * m->outputs;
  for (int i = 0; i < m->p->op_count && m->status == STATUS_OK; i++) run_op(m, i);
  if (m->status != STATUS_OK) return;
  measure_kernels(m, full);
  if (!flow) measure_f(m);
  double *f = m->record->f + (size_t)m->t * n;
  if (!all_finite(f, n) || !all_finite(m->record->ntk + (size_t)m->t * m->points * m->points, m->points * m->points)) {
    fail(m, STATUS_NUMERICS);
    return;
  }
  if (m->t == m->steps) return;
  kernel_run(m->plan->delta, trained, (const double *[]){f, m->problem->targets->data}, m->delta);
  double rate = m->problem->eta[m->t] * (flow ? m->problem->dt : 1) / (double)m->points;
  if (flow) advance_flow(m, full, rate);
  for (int k = 0; k < m->p->matrix_count; k++)
    if (m->p->matrices[k].rate != 0)
      update(m, &m->p->matrices[k], &m->carrier[k], rate * m->problem->gamma * m->p->matrices[k].rate);
}

/* For two_time, the sides of thin matrices that lie on a population need a basis too. */
static void meet_ends(March *m) {
  for (int k = 0; k < m->p->matrix_count; k++) {
    const Matrix *matrix = &m->p->matrices[k];
    if (wide_matrix(m, matrix)) continue;
    bool from = wide(m, matrix->from);
    Basis *side = from ? &m->carrier[k].x : &m->carrier[k].y;
    int variable = from ? matrix->x : matrix->y;
    size_t rows = rows_of(m, variable);
    if (!basis_reserve(side, (int)rows, m->all * m->outputs, m->S, 1, 0)) fail(m, STATUS_LIMIT);
    if (m->status != STATUS_OK) return;
    basis_meet(side, m->field[variable].value, rows, m->S, m->plan->tol, m->work, &m->record->flops);
    if (!basis_record(side, rows, m->t)) fail(m, STATUS_LIMIT);
  }
}

/* ---- two-time kernels and responses ---- */

/* L L^T over all steps, [n, n] with n = (T+1) R, averaged over outputs; equal-time blocks are the
 * exact averages, which truncation did not touch. */
static double *two_time_kernel(March *m, const Basis *basis, int variable, const double *equal) {
  size_t rows = rows_of(m, variable), C = rows / m->all, R = m->all, rank = (size_t)basis->rank;
  size_t steps = (size_t)m->steps + 1, n = steps * R;
  double *kernel = want(m, n * n), *L = want(m, steps * rows * rank);
  if (m->status == STATUS_OK) {
    basis_coordinates(basis, rows, m->steps + 1, L);
    for (size_t c = 0; c < C; c++)
      m->record->flops += mat_mul_bt(n, n, rank, 1.0 / (double)C, L + c * rank, C * rank, L + c * rank, C * rank, c > 0, kernel, n);
    for (size_t t = 0; t < steps; t++)
      for (size_t a = 0; a < R; a++)
        memcpy(kernel + (t * R + a) * n + t * R, equal + (t * R + a) * R, R * sizeof *kernel);
  }
  free(L);
  return kernel;
}

/* The response R(a, b) = <dx_a / dr_b> from its coefficients rho = <x eps> = R sigma L, where L are
 * the coordinates of the vectors b met before (or, for B, up to) a's step: the smallest solution,
 * since R is defined only by its action on those vectors. */
static double *two_time_response(March *m, const Carrier *c, int which, double sigma) {
  const Basis *other = which == 0 ? &c->y : &c->x;
  size_t R = m->all, steps = (size_t)m->steps + 1, n = steps * R, rank = (size_t)other->rank;
  double *response = want(m, n * n), *L = want(m, n * rank), *Lt = want(m, n * rank), *rhs = want(m, R * rank);
  if (m->status == STATUS_OK) {
    basis_coordinates(other, R, m->steps + 1, L);
    const double *rho = c->response[which];
    for (size_t t = which == 0 ? 1 : 0; t < steps; t++) {
      size_t met = which == 0 ? t : t + 1, now = (size_t)other->rank_at[met - 1];
      for (size_t k = 0; k < R * now; k++) rhs[k] = rho[k] / (sigma * sigma);
      for (size_t k = 0; k < now; k++)
        for (size_t b = 0; b < met * R; b++) Lt[k * met * R + b] = L[b * rank + k];
      if (mat_solve_least(now, met * R, Lt, met * R, R, rhs, now, 1e-9, response + t * R * n, n)) fail(m, STATUS_NUMERICS);
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
    if (wide(m, matrix->from)) r->x_history[k] = two_time_kernel(m, &c->x, matrix->x, r->x_kernel[k]);
    if (wide(m, matrix->to)) r->y_history[k] = two_time_kernel(m, &c->y, matrix->y, r->y_kernel[k]);
    if (wide_matrix(m, matrix) && m->outputs == 1 && m->status == STATUS_OK) {
      r->x_response[k] = two_time_response(m, c, 0, matrix->sigma);
      r->y_response[k] = two_time_response(m, c, 1, matrix->sigma);
    }
  }
}

/* ---- the whole ---- */

static void allocate(March *m) {
  const Program *p = m->p;
  size_t steps = (size_t)m->steps + 1, R = m->all;
  MarchRecord *r = m->record;
  r->f = want(m, steps * R * m->outputs);
  r->ntk = want(m, steps * m->points * m->points);
  double ***tables[] = {&r->x_kernel, &r->y_kernel, &r->x_history, &r->y_history, &r->x_response, &r->y_response};
  for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) *tables[i] = mem_new((size_t)p->matrix_count, sizeof(double *));
  for (int k = 0; k < p->matrix_count; k++) {
    if (wide(m, p->matrices[k].from)) r->x_kernel[k] = want(m, steps * R * R);
    if (wide(m, p->matrices[k].to)) r->y_kernel[k] = want(m, steps * R * R);
  }
  m->field = mem_new((size_t)p->variable_count, sizeof *m->field);
  for (int v = 0; v < p->variable_count; v++)
    if (wide(m, p->variables[v].space)) {
      m->field[v].value = want(m, rows_of(m, v) * m->S);
      m->field[v].free = want(m, rows_of(m, v) * m->S);
    }
  m->carrier = mem_new((size_t)p->matrix_count, sizeof *m->carrier);
  m->noise_count = mem_new((size_t)p->space_count, sizeof *m->noise_count);
  m->work = want(m, R * m->outputs * m->S);
  m->delta = want(m, m->points * m->outputs);
  m->mixing = want(m, R * m->points * m->outputs);
}

static void release(March *m) {
  for (int v = 0; v < m->p->variable_count; v++) {
    free(m->field[v].value);
    free(m->field[v].free);
  }
  for (int k = 0; k < m->p->matrix_count; k++) {
    Carrier *c = &m->carrier[k];
    basis_free(&c->x);
    basis_free(&c->y);
    free(c->learned);
    free(c->table);
    free(c->free_table);
    free(c->response[0]);
    free(c->response[1]);
  }
  free(m->field);
  free(m->carrier);
  free(m->noise_count);
  free(m->work);
  free(m->coef);
  free(m->delta);
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
  March m = {.plan = plan, .p = plan->program, .problem = problem, .record = record, .S = plan->paths,
             .points = (size_t)problem->points, .all = (size_t)(problem->points + problem->tests),
             .outputs = (size_t)problem->outputs, .steps = problem->steps, .replicate = replicate};
  allocate(&m);
  size_t n = m.all * m.outputs;
  double *full = want(&m, 2 * n * n);
  for (int k = 0; k < m.p->matrix_count && m.status == STATUS_OK; k++)
    if (!wide_matrix(&m, &m.p->matrices[k])) start_thin(&m, &m.p->matrices[k], &m.carrier[k]);
  for (m.t = 0; m.t <= m.steps && m.status == STATUS_OK; m.t++) {
    if (!plan->step(plan->sink, m.t)) fail(&m, STATUS_INTERRUPTED);
    if (m.status == STATUS_OK) one_step(&m, full);
    if (m.status == STATUS_OK && plan->two_time) meet_ends(&m);
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
  double **tables[] = {r->x_kernel, r->y_kernel, r->x_history, r->y_history, r->x_response, r->y_response};
  for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
    for (int k = 0; tables[i] && k < program->matrix_count; k++) free(tables[i][k]);
    free(tables[i]);
  }
  free(r->f);
  free(r->ntk);
  *r = (MarchRecord){0};
}
