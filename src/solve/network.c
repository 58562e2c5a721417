/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/network.h"
#include "base/memory.h"
#include "num/linalg.h"
#include "num/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A matrix in operation. Between populations it is an operator w [N, N] and the outer products met
 * since it was last folded, and so is its velocity under momentum:
 *     W = keep w + (1/N) sum_k past_k y_k x_k^T,      V = lag v + (1/N) sum_k recent_k y_k x_k^T
 * With a thin side w and v are the tables of the images of its known vectors. */
typedef struct Weights {
  double *w, *v; /* v: NULL when there is no velocity, or none that was folded */
  double keep, lag;
  double *root;          /* F of a thin side whose images take up noise, F F^T the inner products */
  int rank;              /* its columns */
  double *x, *y;         /* [history, N] */
  double *past, *recent; /* [history] */
  size_t learned;
} Weights;

enum { FOLD_ROWS = 64 }; /* how many outer products are folded at a time */

struct Network {
  const NetworkPlan *plan;
  const Program *p;
  const Problem *problem;
  size_t N, points, all, outputs, history;
  int member;
  double **fields; /* [variable] -> [rows, N] */
  Weights *weights;
  double *coef;              /* [most rows, history] */
  double *delta;             /* [P, C] */
  double *force;             /* [P, C]: Delta, weighted */
  double *mixing;            /* [mixing_size] */
  double *scaled;            /* [FOLD_ROWS, N] */
  double *start;             /* [R, C]: f at t = 0, subtracted when centred */
  double *f;                 /* [R, C], now */
  double *full;              /* [tangent_size] */
  double **x_past, **y_past; /* [matrix] -> [(T+1) rows, N], with two_time */
  double limit;              /* of the loss: loss_limit */
  NetworkRecord record;
  bool short_of_memory;
};

/* ---- memory ---- */

/* Outer products of a step. */
static size_t batch_of(const NetworkPlan *plan) {
  const Program *p = plan->program;
  size_t most = 0;
  for (int k = 0; k < p->matrix_count; k++)
    if (is_wide_matrix(p, &p->matrices[k]) && training_rows(p, &p->matrices[k]) > most)
      most = training_rows(p, &p->matrices[k]);
  return most;
}

/* The moves of a step. */
static size_t stages_in(const NetworkPlan *plan) {
  return (size_t)stages_of(plan->program, plan->parts);
}

/* Outer products of the whole run. */
static size_t whole_history(const NetworkPlan *plan) {
  return batch_of(plan) * (plan->sizes.steps - 1) * stages_in(plan);
}

/* Enough history that a fold, 2 N^2 operations for each product, costs less than the steps that
 * made it necessary. */
static size_t history_length(const NetworkPlan *plan) {
  size_t batch = batch_of(plan), whole = whole_history(plan);
  size_t room = plan->width / 2 > batch ? plan->width / 2 : batch;
  return whole < room ? (whole ? whole : 1) : room;
}

/* A velocity between populations is folded with its matrix. */
static bool folds_velocity(const NetworkPlan *plan, const Matrix *m) {
  return update_remembers(&plan->program->update) && m->rate != 0 &&
         history_length(plan) < whole_history(plan);
}

double network_bytes(const NetworkPlan *plan) {
  const Program *p = plan->program;
  Sizes z = plan->sizes;
  double N = (double)plan->width, doubles = 0, met = (double)(z.steps * z.all);
  if (plan->code) return condition_bytes(p, plan->width, plan->sizes.steps * stages_in(plan));
  for (int v = 0; v < p->variable_count; v++)
    if (is_wide(p, p->variables[v].space)) doubles += (double)rows_of(p, v) * N;
  doubles += (double)tangent_size(p) + (double)mixing_size(p) +
             (double)most_rows(p) * (double)history_length(plan);
  for (int k = 0; k < p->matrix_count; k++) {
    const Matrix *m = &p->matrices[k];
    double copies = folds_velocity(plan, m) ? 2 : 1;
    doubles += is_wide_matrix(p, m) ? copies * N * N + 2 * N * (double)history_length(plan)
                                    : 2 * (double)thin_vectors(p, m) * N;
    doubles += 2 * (double)(z.steps * z.all * z.all);
    if (plan->two_time && is_level(p, k))
      doubles += 2 * met * met +
                 (double)z.steps * N * (double)(rows_of(p, m->features) + rows_of(p, m->y));
  }
  return 8 * doubles;
}

static double *want(Network *n, size_t count) {
  double *block = mem_block(count);
  if (!block) n->short_of_memory = true;
  return block;
}

static double **table(const Program *p) {
  return mem_new((size_t)p->matrix_count, sizeof(double *));
}

static void allocate_matrix(Network *n, int k) {
  const Program *p = n->p;
  const Matrix *m = &p->matrices[k];
  Sizes z = n->plan->sizes;
  size_t kernel = z.steps * z.all * z.all, length = z.steps * n->N;
  Weights *w = &n->weights[k];
  if (n->plan->code) {
    /* nothing to hold */
  } else if (is_wide_matrix(p, m)) {
    w->w = want(n, n->N * n->N);
    size_t history = m->rate != 0 ? n->history : 0;
    w->x = want(n, history * n->N);
    w->y = want(n, history * n->N);
    w->past = want(n, history);
    w->recent = want(n, history);
    if (folds_velocity(n->plan, m)) w->v = want(n, n->N * n->N);
  } else {
    size_t vectors = thin_vectors(p, m);
    w->root = p->update.temperature > 0 && m->rate != 0 ? want(n, vectors * vectors) : NULL;
    w->rank = w->root ? thin_root(p, m, w->root) : 0;
    w->w = want(n, vectors * n->N);
    if (update_remembers(&p->update) && m->rate != 0) w->v = want(n, thin_vectors(p, m) * n->N);
  }
  if (m->x < 0) return;
  bool two_time = n->plan->two_time && is_level(p, k);
  if (is_wide(p, m->from)) n->record.x_kernel[k] = want(n, kernel);
  if (is_wide(p, m->to)) n->record.y_kernel[k] = want(n, kernel);
  if (two_time && is_wide(p, m->from)) {
    n->x_past[k] = want(n, rows_of(p, m->features) * length);
    n->record.x_history[k] = want(n, z.steps * kernel);
  }
  if (two_time && is_wide(p, m->to)) {
    n->y_past[k] = want(n, rows_of(p, m->y) * length);
    n->record.y_history[k] = want(n, z.steps * kernel);
  }
}

Network *network_new(const NetworkPlan *plan) {
  Network *n = mem_new(1, sizeof *n);
  const Program *p = plan->program;
  Sizes z = plan->sizes;
  *n = (Network){.plan = plan,
                 .p = p,
                 .problem = p->problem,
                 .N = plan->width,
                 .points = z.points,
                 .all = z.all,
                 .outputs = z.outputs,
                 .history = history_length(plan)};
  n->record = (NetworkRecord){
      .x_kernel = table(p), .y_kernel = table(p), .x_history = table(p), .y_history = table(p)};
  n->x_past = table(p);
  n->y_past = table(p);
  n->weights = mem_new((size_t)p->matrix_count, sizeof *n->weights);
  n->fields = mem_new((size_t)p->variable_count, sizeof *n->fields);
  size_t rows = z.all * z.outputs;
  for (int v = 0; v < p->variable_count; v++)
    if (is_wide(p, p->variables[v].space) && !plan->code)
      n->fields[v] = want(n, rows_of(n->p, v) * n->N);
  for (int k = 0; k < p->matrix_count; k++) allocate_matrix(n, k);
  n->record.f = want(n, z.steps * rows);
  n->record.ntk = want(n, z.steps * z.points * z.points);
  n->coef = want(n, most_rows(p) * n->history);
  n->delta = want(n, z.points * z.outputs);
  n->force = want(n, z.points * z.outputs);
  n->mixing = want(n, mixing_size(p));
  n->scaled = want(n, FOLD_ROWS * n->N);
  n->start = want(n, rows);
  n->f = want(n, rows);
  n->full = want(n, tangent_size(p));
  if (!n->short_of_memory) return n;
  network_free(n);
  return NULL;
}

static void free_table(double **blocks, int count) {
  for (int k = 0; k < count; k++) free(blocks[k]);
  free(blocks);
}

void network_free(Network *n) {
  if (!n) return;
  int matrices = n->p->matrix_count;
  for (int k = 0; k < matrices; k++) {
    free(n->weights[k].w);
    free(n->weights[k].v);
    free(n->weights[k].root);
    free(n->weights[k].past);
    free(n->weights[k].recent);
    free(n->weights[k].x);
    free(n->weights[k].y);
  }
  free(n->weights);
  free_table(n->fields, n->p->variable_count);
  free_table(n->x_past, matrices);
  free_table(n->y_past, matrices);
  free_table(n->record.x_kernel, matrices);
  free_table(n->record.y_kernel, matrices);
  free_table(n->record.x_history, matrices);
  free_table(n->record.y_history, matrices);
  free(n->record.f);
  free(n->record.ntk);
  free(n->coef);
  free(n->delta);
  free(n->force);
  free(n->mixing);
  free(n->scaled);
  free(n->start);
  free(n->f);
  free(n->full);
  free(n);
}

const NetworkRecord *network_record(const Network *n) { return &n->record; }

/* ---- weights ---- */

/* sigma F eps, for the images of a thin matrix. */
static bool initial_images(const NetworkPlan *plan, const Matrix *m, uint64_t stream,
                           double *weights) {
  size_t vectors = thin_vectors(plan->program, m), N = plan->width;
  double *root = mem_new(vectors * vectors, sizeof *root), *eps = mem_new(vectors * N, sizeof *eps);
  int rank = thin_root(plan->program, m, root);
  if (rank >= 0) {
    random_normals(plan->seed, stream, 0, (size_t)rank * N, eps);
    mat_mul(vectors, N, (size_t)rank, m->sigma, root, vectors, eps, N, 0, weights, N);
  }
  free(eps);
  free(root);
  return rank >= 0;
}

bool network_initial(const NetworkPlan *plan, int member, int matrix, double *weights) {
  const Matrix *m = &plan->program->matrices[matrix];
  uint64_t stream = random_stream(RANDOM_WEIGHTS, (uint64_t)member, (uint64_t)matrix, 0);
  if (!is_wide_matrix(plan->program, m)) return initial_images(plan, m, stream, weights);
  size_t N = plan->width;
  double scale = m->sigma / sqrt((double)N);
  random_normals(plan->seed, stream, 0, N * N, weights);
  for (size_t i = 0; i < N * N; i++) weights[i] *= scale;
  return true;
}

/* out = W x, forward or transposed, [rows, N]. */
static void apply_wide(Network *n, const Weights *w, bool forward, const double *x, size_t rows,
                       double *out) {
  size_t N = n->N, k = w->learned;
  const double *own = forward ? w->x : w->y, *other = forward ? w->y : w->x;
  if (forward)
    mat_mul_bt(rows, N, N, w->keep, x, N, w->w, N, 0, out, N);
  else
    mat_mul(rows, N, N, w->keep, x, N, w->w, N, 0, out, N);
  if (!k) return;
  mat_mul_bt(rows, k, N, 1.0 / (double)N, x, N, own, N, 0, n->coef, k);
  for (size_t i = 0; i < rows * k; i++) n->coef[i] *= w->past[i % k];
  mat_mul(rows, N, k, 1, n->coef, k, other, N, 1, out, N);
}

/* into <- keep into + (1/N) sum_k share_k y_k x_k^T */
static void fold_into(const Network *n, const Weights *w, double keep, const double *share,
                      double *into) {
  size_t N = n->N;
  for (size_t first = 0; first < w->learned; first += FOLD_ROWS) {
    size_t rows = w->learned - first < FOLD_ROWS ? w->learned - first : FOLD_ROWS;
    for (size_t i = 0; i < rows * N; i++) n->scaled[i] = share[first + i / N] * w->y[first * N + i];
    mat_mul_at(N, N, rows, 1.0 / (double)N, n->scaled, N, w->x + first * N, N, keep, into, N);
    keep = 1;
  }
}

static void fold(const Network *n, Weights *w) {
  fold_into(n, w, w->keep, w->past, w->w);
  if (w->v) fold_into(n, w, w->lag, w->recent, w->v);
  w->keep = w->lag = 1;
  w->learned = 0;
}

static void advance_wide(Network *n, const Matrix *m, Weights *w, const Move *move) {
  size_t N = n->N, C = n->outputs;
  size_t batch = training_rows(n->p, m);
  if (w->learned + batch > n->history) fold(n, w);
  for (size_t k = 0; k < w->learned; k++) {
    w->recent[k] *= move->beta;
    w->past[k] = move->keep * w->past[k] + move->push * w->recent[k];
  }
  w->keep *= move->keep;
  w->lag *= move->beta;
  if (w->v && w->lag != 0) {
    advance_table(&(Move){.beta = 1, .keep = w->keep, .push = move->push * w->lag}, N * N, w->w,
                  w->v);
    w->keep = 1;
  }
  for (size_t k = 0; k < batch; k++) {
    double force = force_on(n->p, m, n->force, k);
    if (force == 0) continue;
    double *x = w->x + w->learned * N, *y = w->y + w->learned * N;
    memcpy(x, n->fields[m->x] + (k / C) * N, N * sizeof *x);
    const double *from = n->fields[m->learns] + k * N;
    for (size_t i = 0; i < N; i++) y[i] = force * from[i];
    w->past[w->learned] = move->push + move->pull;
    w->recent[w->learned++] = 1;
  }
}

/* What move number t adds at a temperature: the entries of one more matrix. */
static void shake(Network *n, int k, size_t t, double noise) {
  const Matrix *m = &n->p->matrices[k];
  Weights *w = &n->weights[k];
  bool wide = is_wide_matrix(n->p, m);
  size_t N = n->N, rows = wide ? N : (size_t)w->rank, vectors = thin_vectors(n->p, m);
  uint64_t stream = random_stream(RANDOM_LANGEVIN, (uint64_t)n->member, (uint64_t)k, 0);
  if (wide) advance_table(&(Move){.keep = w->keep}, N * N, w->w, NULL);
  w->keep = 1;
  for (size_t i = 0; i < rows; i++) {
    random_normals(n->plan->seed, stream, (t * rows + i) * N, N, n->scaled);
    if (wide) axpy(N, noise / sqrt((double)N), n->scaled, w->w + i * N);
    for (size_t v = 0; v < vectors && !wide; v++)
      axpy(N, noise * w->root[v * vectors + i], n->scaled, w->w + v * N);
  }
}

/* ---- one step ---- */

static void run_op(Network *n, int i) {
  const Op *op = &n->p->ops[i];
  if (!is_wide(n->p, n->p->variables[op->dst].space)) return;
  if (op->kind == OP_WEIGH) run_weigh(n->p, op, n->delta, n->fields, n->N);
  if (op->kind == OP_MAP) run_map(n->p, op, n->plan->compiled->maps[i], n->fields, n->N);
  if (op->kind == OP_ROWS) run_rows(n->p, op, n->fields, n->N);
  if (op->kind != OP_APPLY && op->kind != OP_APPLY_T) return;
  const Matrix *m = &n->p->matrices[op->matrix];
  const Weights *w = &n->weights[op->matrix];
  bool forward = op->kind == OP_APPLY;
  size_t rows = rows_of(n->p, op->dst);
  if (is_wide_matrix(n->p, m))
    apply_wide(n, w, forward, n->fields[op->src[0]], rows, n->fields[op->dst]);
  else
    apply_thin(n->p, m, w->w, rows, n->N, n->fields[op->dst]);
}

static void measure_kernels(Network *n, size_t t) {
  size_t offset = t * n->all * n->all;
  NetworkRecord *r = &n->record;
  for (int k = 0; k < n->p->matrix_count; k++) {
    const Matrix *m = &n->p->matrices[k];
    if (r->x_kernel[k])
      equal_time_kernel(n->p, m->features, n->fields[m->features], n->N, r->x_kernel[k] + offset);
    if (r->y_kernel[k])
      equal_time_kernel(n->p, m->y, n->fields[m->y], n->N, r->y_kernel[k] + offset);
  }
  tangent_kernel(n->p, n->fields, n->N, r->x_kernel, offset, n->full,
                 r->ntk + t * n->points * n->points);
}

/* f = sum of w . x / (gamma N) over the readouts, less its value at t = 0 when the output is
 * centred. */
static void measure_f(Network *n, bool first) {
  size_t C = n->outputs, N = n->N, count = n->all * C;
  double *f = n->f;
  memset(f, 0, count * sizeof *f);
  for (int k = 0; k < n->p->matrix_count; k++) {
    if (!is_readout(n->p, k)) continue;
    const double *w = n->weights[k].w, *x = n->fields[n->p->matrices[k].x];
    for (size_t i = 0; i < count; i++)
      f[i] += dot(N, w + i % C * N, x + i / C * N) / (n->plan->gamma * (double)N);
  }
  for (size_t i = 0; i < count; i++) {
    if (first) n->start[i] = n->problem->centered ? f[i] : 0;
    f[i] -= n->start[i];
  }
}

static void keep_past(Network *n, size_t t) {
  for (int k = 0; k < n->p->matrix_count; k++) {
    const Matrix *m = &n->p->matrices[k];
    if (m->x < 0) continue;
    size_t x = rows_of(n->p, m->features) * n->N, y = rows_of(n->p, m->y) * n->N;
    if (n->x_past[k]) memcpy(n->x_past[k] + t * x, n->fields[m->features], x * sizeof(double));
    if (n->y_past[k]) memcpy(n->y_past[k] + t * y, n->fields[m->y], y * sizeof(double));
  }
}

static void train(Network *n, Instant now) {
  size_t number = (size_t)now.t * stages_in(n->plan) + (size_t)now.stage;
  training_force(n->p, now.t, n->delta, n->force);
  for (int k = 0; k < n->p->matrix_count; k++) {
    const Matrix *m = &n->p->matrices[k];
    Weights *w = &n->weights[k];
    if (m->rate == 0) continue;
    Move move = move_of(n->p, m, now, n->plan->gamma);
    if (is_wide_matrix(n->p, m))
      advance_wide(n, m, w, &move);
    else
      advance_thin(n->p, m, &move, n->force, n->fields, n->N, n->mixing, w->w, w->v);
    if (move.noise > 0) shake(n, k, number, move.noise);
  }
}

/* STATUS_NUMERICS when what the record holds of step t says that training has diverged. */
static Status judge(Network *n, size_t t) {
  const double *f = n->record.f + t * n->all * n->outputs;
  size_t kernel = n->points * n->points;
  const double *ntk = n->record.ntk + t * kernel;
  if (t == 0) n->limit = loss_limit(n->p, n->plan->compiled, f, ntk, n->plan->gamma);
  bool diverged = has_diverged(n->p, n->plan->compiled, f, n->limit) || !is_sane(ntk, kernel);
  return diverged ? STATUS_NUMERICS : STATUS_OK;
}

/* What is recorded of a step: all that its first stage met. */
static Status measure(Network *n, size_t t) {
  size_t outputs = n->all * n->outputs;
  memcpy(n->record.f + t * outputs, n->f, outputs * sizeof *n->f);
  measure_kernels(n, t);
  if (n->plan->two_time) keep_past(n, t);
  snapshot_take(n->p, n->plan->snapshot, (int)t, n->member, n->fields, n->N);
  return judge(n, t);
}

/* The moves of a step; the last step has none, and is only measured. */
static Status one_step(Network *n, size_t t) {
  bool last = t + 1 == n->plan->sizes.steps;
  int stages = last ? 1 : (int)stages_in(n->plan);
  for (int stage = 0; stage < stages; stage++) {
    for (int i = 0; i < n->p->op_count; i++) {
      if (i == n->p->forward_count) {
        measure_f(n, t == 0 && stage == 0);
        training_delta(n->p, n->plan->compiled, n->f, n->delta);
      }
      run_op(n, i);
    }
    if (stage == 0 && measure(n, t) != STATUS_OK) return STATUS_NUMERICS;
    if (!last) train(n, (Instant){(int)t, stage, n->plan->parts});
  }
  return STATUS_OK;
}

/* V V^T / N over all times for each position and output, averaged. */
static void two_time(Network *n, int variable, const double *past, double *kernel) {
  size_t C = rows_of(n->p, variable) / n->all, total = n->plan->sizes.steps * n->all, N = n->N;
  for (size_t c = 0; c < C; c++)
    mat_mul_bt(total, total, N, 1.0 / (double)(N * C), past + c * N, C * N, past + c * N, C * N,
               c > 0, kernel, total);
}

/* ---- without matrices ---- */

/* The kernel of points, mean over what else counts rows. */
static void take_kernel(const Condition *c, View from, size_t all, double *kernel) {
  size_t n = from.rows / all, stride = tape_stride(c->tape, from);
  const double *block = tape_data(c->tape, from);
  for (size_t a = 0; a < all; a++)
    for (size_t b = 0; b < all; b++) {
      double sum = 0;
      for (size_t i = 0; i < n; i++) sum += block[(a * n + i) * stride + b * n + i];
      kernel[a * all + b] = sum / (double)n;
    }
}

static void take_field(const Condition *c, View from, size_t t, size_t n, double *past) {
  memcpy(past + t * from.rows * n, tape_data(c->tape, from), from.rows * n * sizeof *past);
}

/* Copies what a conditioned run measured into the record. */
static void take_record(Network *n, const Condition *c) {
  Sizes z = n->plan->sizes;
  size_t R = z.all, C = z.outputs;
  for (size_t t = 0; t < z.steps; t++) {
    for (size_t i = 0; i < R * C; i++)
      n->record.f[t * R * C + i] = tape_data(c->tape, c->f[t])[i % C * R + i / C];
    condition_ntk(n->p, c, t, n->record.ntk + t * z.points * z.points);
    for (int k = 0; k < n->p->matrix_count; k++) {
      double *x = n->record.x_kernel[k], *y = n->record.y_kernel[k];
      if (x) take_kernel(c, c->phi_kernel[k][t], R, x + t * R * R);
      if (y) take_kernel(c, c->y_kernel[k][t], R, y + t * R * R);
      if (n->x_past[k]) take_field(c, c->x_field[k][t], t, n->N, n->x_past[k]);
      if (n->y_past[k]) take_field(c, c->y_field[k][t], t, n->N, n->y_past[k]);
    }
  }
}

static Status run_conditioned(Network *n, int member, int *failed_at) {
  const Snapshot *snapshot = n->plan->snapshot;
  ConditionPlan plan = {
      .program = n->p,
      .code = n->plan->code,
      .noise = {.kind = NOISE_PLAIN, .S = n->N, .seed = n->plan->seed, .number = (uint64_t)member},
      .gamma = n->plan->gamma,
      .tol = 1e-7,
      .parts = n->plan->parts,
      .steps = (int)n->plan->sizes.steps - 1};
  Condition run;
  if (!n->plan->step(n->plan->sink, 0)) return STATUS_INTERRUPTED;
  Status status = condition_run(&plan, &run, failed_at);
  if (status != STATUS_OK) return status;
  take_record(n, &run);
  for (size_t t = 0; t < n->plan->sizes.steps && status == STATUS_OK; t++) {
    *failed_at = (int)t;
    status = judge(n, t);
  }
  if (snapshot) {
    for (int v = 0; v < n->p->variable_count; v++)
      n->fields[v] = run.field[v].rows ? tape_data(run.tape, run.field[v]) : NULL;
    snapshot_take(n->p, snapshot, snapshot->step, member, n->fields, n->N);
    memset(n->fields, 0, (size_t)n->p->variable_count * sizeof *n->fields);
  }
  condition_free(n->p, &run);
  return status;
}

static Status run_trained(Network *n, int member, int *failed_at) {
  *failed_at = 0;
  n->member = member;
  for (int k = 0; k < n->p->matrix_count; k++) {
    Weights *w = &n->weights[k];
    w->learned = 0;
    w->keep = 1;
    w->lag = 0;
    if (w->v && !is_wide_matrix(n->p, &n->p->matrices[k]))
      memset(w->v, 0, thin_vectors(n->p, &n->p->matrices[k]) * n->N * sizeof *w->v);
    if (!network_initial(n->plan, member, k, w->w)) return STATUS_NUMERICS;
  }
  for (size_t t = 0; t < n->plan->sizes.steps; t++) {
    *failed_at = (int)t;
    if (!n->plan->step(n->plan->sink, (int)t)) return STATUS_INTERRUPTED;
    Status status = one_step(n, t);
    if (status != STATUS_OK) return status;
  }
  return STATUS_OK;
}

Status network_run(Network *n, int member, int *failed_at) {
  Status status =
      n->plan->code ? run_conditioned(n, member, failed_at) : run_trained(n, member, failed_at);
  for (int k = 0; k < n->p->matrix_count && status == STATUS_OK; k++) {
    const Matrix *m = &n->p->matrices[k];
    if (n->x_past[k]) two_time(n, m->features, n->x_past[k], n->record.x_history[k]);
    if (n->y_past[k]) two_time(n, m->y, n->y_past[k], n->record.y_history[k]);
  }
  return status;
}
