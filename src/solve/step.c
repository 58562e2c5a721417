/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/step.h"
#include "base/memory.h"
#include "num/linalg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

Sizes sizes_of(const Program *program) {
  const Problem *p = program->problem;
  return (Sizes){(size_t)p->steps + 1, (size_t)p->points, (size_t)(p->points + p->tests),
                 (size_t)p->outputs};
}

bool is_wide(const Program *p, int space) { return p->spaces[space].kind == SPACE_WIDE; }

bool is_wide_matrix(const Program *p, const Matrix *m) {
  return is_wide(p, m->from) && is_wide(p, m->to);
}

size_t rows_of(const Program *p, int variable) {
  Sizes z = sizes_of(p);
  const Variable *v = &p->variables[variable];
  return z.all * (size_t)v->positions * (v->backward ? z.outputs : 1);
}

static size_t positions_of(const Program *p, const Matrix *m) {
  return (size_t)p->variables[m->y].positions;
}

size_t training_rows(const Program *p, const Matrix *m) {
  Sizes z = sizes_of(p);
  return z.points * positions_of(p, m) * z.outputs;
}

double force_on(const Program *p, const Matrix *m, const double *force, size_t row) {
  size_t C = sizes_of(p).outputs;
  return force[row / (positions_of(p, m) * C) * C + row % C];
}

size_t most_rows(const Program *p) {
  size_t most = 0;
  for (int v = 0; v < p->variable_count; v++)
    if (is_wide(p, p->variables[v].space) && rows_of(p, v) > most) most = rows_of(p, v);
  return most;
}

bool has_responses(const Program *p, int matrix) {
  const Matrix *m = &p->matrices[matrix];
  return is_wide_matrix(p, m) && m->features == m->x && p->variables[m->x].positions == 1 &&
         p->problem->outputs == 1;
}

int response_layers(const Program *p) {
  for (int l = 1; l < p->layers; l++)
    if (!has_responses(p, p->phi_matrix[l])) return 0;
  return p->layers - 1;
}

static size_t square(size_t n) { return n * n; }

size_t tangent_size(const Program *p) {
  Sizes z = sizes_of(p);
  size_t most = 0;
  for (int k = 0; k < p->matrix_count; k++) {
    const Matrix *m = &p->matrices[k];
    size_t own = m->x < 0 ? 0 : square(rows_of(p, m->y)) + square(rows_of(p, m->x));
    if (own > most) most = own;
  }
  return square(z.all * z.outputs) + most;
}

size_t mixing_size(const Program *p) {
  size_t most = 0;
  for (int k = 0; k < p->matrix_count; k++) {
    const Matrix *m = &p->matrices[k];
    if (p->spaces[m->from].kind != SPACE_INPUT) continue;
    size_t own = thin_vectors(p, m) * training_rows(p, m);
    if (own > most) most = own;
  }
  return most;
}

const double *gram_of(const Program *p, const Matrix *m) {
  const Array *gram = p->spaces[m->from].gram;
  return gram ? gram->data : NULL;
}

size_t thin_vectors(const Program *p, const Matrix *m) {
  Sizes z = sizes_of(p);
  return p->spaces[m->from].kind == SPACE_INPUT ? rows_of(p, m->x) : z.outputs;
}

int thin_root(const Program *p, const Matrix *m, double *root) {
  size_t k = thin_vectors(p, m);
  if (gram_of(p, m)) return mat_root(k, gram_of(p, m), root);
  bool input = p->spaces[m->from].kind == SPACE_INPUT;
  memset(root, 0, k * k * sizeof *root);
  for (size_t i = 0; i < k; i++) root[i * k + (input ? 0 : i)] = 1;
  return input ? 1 : (int)k;
}

Compiled compile(const Program *p) {
  size_t outputs = sizes_of(p).outputs;
  Compiled c = {mem_new((size_t)p->op_count, sizeof *c.maps), kernel_new(p->loss),
                mem_new(outputs, sizeof *c.delta)};
  for (size_t k = 0; k < outputs; k++) c.delta[k] = kernel_new(p->delta[k]);
  for (int i = 0; i < p->op_count; i++)
    if (p->ops[i].kind == OP_MAP) c.maps[i] = kernel_new(p->ops[i].expr);
  return c;
}

void compiled_free(const Program *p, Compiled *c) {
  for (int i = 0; i < p->op_count; i++) kernel_free(c->maps[i]);
  free(c->maps);
  kernel_free(c->loss);
  for (size_t k = 0; k < sizes_of(p).outputs; k++) kernel_free(c->delta[k]);
  free(c->delta);
}

void run_map(const Program *p, const Op *op, const Kernel *map, double *const *fields, size_t n) {
  size_t rows = rows_of(p, op->dst), C = sizes_of(p).outputs;
  size_t runs = p->variables[op->dst].backward && C > 1 ? rows : 1, length = rows * n / runs;
  for (size_t r = 0; r < runs; r++) {
    const double *args[OP_MAX_ARGS];
    for (int k = 0; k < op->src_count; k++) {
      size_t row = runs == 1 ? 0 : p->variables[op->src[k]].backward ? r : r / C;
      args[k] = fields[op->src[k]] + row * n;
    }
    kernel_run(map, length, args, fields[op->dst] + r * length);
  }
}

void run_weigh(const Program *p, const Op *op, const double *delta, double *const *fields,
               size_t n) {
  Sizes z = sizes_of(p);
  for (size_t r = 0; r < z.all * z.outputs; r++) {
    const double *from = fields[op->src[0]] + r / z.outputs * n;
    double *to = fields[op->dst] + r * n, factor = r < z.points * z.outputs ? delta[r] : 0;
    for (size_t i = 0; i < n; i++) to[i] = factor * from[i];
  }
}

void run_rows(const Program *p, const Op *op, double *const *fields, size_t n) {
  const RowMap *map = &p->row_maps[op->rows];
  Sizes z = sizes_of(p);
  size_t C = p->variables[op->dst].backward ? z.outputs : 1, width = C * n;
  const double *from = fields[op->src[0]];
  double *to = fields[op->dst];
  for (size_t a = 0; a < z.all; a++, from += (size_t)map->from * width)
    for (int i = 0; i < map->to; i++, to += width) {
      memset(to, 0, width * sizeof *to);
      for (int k = map->begin[i]; k < map->begin[i + 1]; k++)
        axpy(width, map->weight[k], from + (size_t)map->source[k] * width, to);
    }
}

void apply_thin(const Program *p, const Matrix *m, const double *table, size_t rows, size_t n,
                double *out) {
  size_t vectors = thin_vectors(p, m);
  for (size_t r = 0; r < rows; r++) memcpy(out + r * n, table + (r % vectors) * n, n * sizeof *out);
}

enum { LOSS_BLOCK = 4096 };

void run_loss(const Program *p, const Compiled *compiled, size_t points, const double *f,
              const double *y, double *ell, double *delta) {
  size_t C = sizes_of(p).outputs, chunk = LOSS_BLOCK / (2 * C) ? LOSS_BLOCK / (2 * C) : 1;
  double columns[2 * C * chunk], column[chunk];
  const double *args[2 * C];
  for (size_t k = 0; k < 2 * C; k++) args[k] = columns + k * chunk;
  for (size_t first = 0; first < points; first += chunk) {
    size_t n = points - first < chunk ? points - first : chunk;
    for (size_t i = 0; i < n * C; i++) {
      columns[i % C * chunk + i / C] = f[first * C + i];
      columns[(C + i % C) * chunk + i / C] = y[first * C + i];
    }
    if (ell) kernel_run(compiled->loss, n, args, ell + first);
    for (size_t c = 0; c < C && delta; c++) {
      kernel_run(compiled->delta[c], n, args, column);
      for (size_t i = 0; i < n; i++) delta[(first + i) * C + c] = column[i];
    }
  }
}

void training_delta(const Program *p, const Compiled *compiled, const double *f, double *delta) {
  run_loss(p, compiled, sizes_of(p).points, f, p->problem->targets->data, NULL, delta);
}

void training_force(const Program *p, int t, const double *delta, double *force) {
  Sizes z = sizes_of(p);
  const double *weight = p->update.weight ? p->update.weight + (size_t)t * z.points : NULL;
  for (size_t k = 0; k < z.points * z.outputs; k++)
    force[k] = delta[k] * (weight ? weight[k / z.outputs] : 1 / (double)z.points);
}

void advance_table(const Move *move, size_t n, double *w, double *v) {
  if (!v && move->keep == 1) return;
  for (size_t i = 0; v && i < n; i++) v[i] *= move->beta;
  for (size_t i = 0; i < n; i++) w[i] = move->keep * w[i] + (v ? move->push * v[i] : 0);
}

/* table += rate O */
static double take_up(const Program *p, const Matrix *m, double rate, const double *force,
                      double *const *fields, size_t n, double *mixing, double *table) {
  size_t C = sizes_of(p).outputs, batch = training_rows(p, m), vectors = thin_vectors(p, m);
  if (is_wide(p, m->to)) {
    const double *gram = gram_of(p, m);
    for (size_t a = 0; a < vectors; a++)
      for (size_t k = 0; k < batch; k++)
        mixing[a * batch + k] =
            rate * force_on(p, m, force, k) * (gram ? gram[a * vectors + k / C] : 1);
    return mat_mul(vectors, n, batch, 1, mixing, batch, fields[m->learns], n, 1, table, n);
  }
  for (size_t k = 0; k < batch; k++)
    axpy(n, rate * force[k], fields[m->x] + (k / C) * n, table + (k % C) * n);
  return 2.0 * (double)(batch * n);
}

double advance_thin(const Program *p, const Matrix *m, const Move *move, const double *force,
                    double *const *fields, size_t n, double *mixing, double *table,
                    double *velocity) {
  double flops = 0;
  advance_table(move, thin_vectors(p, m) * n, table, velocity);
  flops += take_up(p, m, move->push + move->pull, force, fields, n, mixing, table);
  if (velocity) flops += take_up(p, m, 1, force, fields, n, mixing, velocity);
  return flops;
}

double equal_time_kernel(const Program *p, int variable, const double *v, size_t n,
                         double *kernel) {
  size_t R = sizes_of(p).all, C = rows_of(p, variable) / R;
  double flops = 0;
  for (size_t c = 0; c < C; c++)
    flops += mat_mul_bt(R, R, n, 1.0 / (double)(n * C), v + c * n, C * n, v + c * n, C * n, c > 0,
                        kernel, R);
  return flops;
}

/* <y g> of every pair of rows and outputs, for what the matrix meets and what it learns. */
static double output_kernel(const Program *p, const Matrix *m, double *const *fields, size_t n,
                            double *kernel) {
  size_t rows = rows_of(p, m->y), C = sizes_of(p).outputs;
  if (is_wide(p, m->to))
    return mat_mul_bt(rows, rows, n, 1.0 / (double)n, fields[m->y], n, fields[m->learns], n, 0,
                      kernel, rows);
  for (size_t a = 0; a < rows; a++)
    for (size_t b = 0; b < rows; b++) kernel[a * rows + b] = a % C == b % C;
  return 0;
}

/* full += rate G Phi; phi[rows, rows] NULL: all ones. */
static void add_tangent(const Program *p, const Matrix *m, const double *g, const double *phi,
                        double *full) {
  size_t C = sizes_of(p).outputs, A = positions_of(p, m), all = sizes_of(p).all;
  size_t rows = all * C, deep = all * A * C, wide = all * A;
  for (size_t i = 0; i < deep; i++)
    for (size_t j = 0; j < deep; j++) {
      size_t a = i / (A * C) * C + i % C, b = j / (A * C) * C + j % C;
      full[a * rows + b] += m->rate * g[i * deep + j] * (phi ? phi[i / C * wide + j / C] : 1);
    }
}

double tangent_kernel(const Program *p, double *const *fields, size_t n, double *const *x_kernel,
                      size_t offset, double *full, double *ntk) {
  Sizes z = sizes_of(p);
  size_t C = z.outputs, rows = z.all * C;
  double *g = full + rows * rows, flops = 0;
  memset(full, 0, rows * rows * sizeof *full);
  for (int k = 0; k < p->matrix_count; k++) {
    const Matrix *m = &p->matrices[k];
    if (m->rate == 0) continue;
    flops += output_kernel(p, m, fields, n, g);
    const double *phi = gram_of(p, m);
    if (x_kernel && x_kernel[k] && m->features == m->x && positions_of(p, m) == 1) {
      phi = x_kernel[k] + offset;
    } else if (is_wide(p, m->from)) {
      size_t deep = rows_of(p, m->x);
      double *own = g + square(rows_of(p, m->y));
      flops += mat_mul_bt(deep, deep, n, 1.0 / (double)n, fields[m->x], n, fields[m->x], n, 0, own,
                          deep);
      phi = own;
    }
    add_tangent(p, m, g, phi, full);
  }
  for (size_t a = 0; a < z.points && ntk; a++)
    for (size_t b = 0; b < z.points; b++) {
      double sum = 0;
      for (size_t c = 0; c < C; c++) sum += full[(a * C + c) * rows + b * C + c];
      ntk[a * z.points + b] = sum / (double)C;
    }
  return flops;
}

void advance_output(const Program *p, const double *full, const Move *move, const double *force,
                    double *f, double *velocity) {
  Sizes z = sizes_of(p);
  size_t rows = z.all * z.outputs;
  for (size_t a = 0; a < rows; a++) {
    double own = dot(z.points * z.outputs, full + a * rows, force);
    velocity[a] = move->beta * velocity[a] + own;
    f[a] += move->push * velocity[a] + move->pull * own;
  }
}

void snapshot_take(const Program *p, const Snapshot *snapshot, int t, int number,
                   double *const *fields, size_t n) {
  if (!snapshot || t != snapshot->step) return;
  if (snapshot->look) {
    snapshot->look(snapshot->sink, number, fields, n);
    return;
  }
  size_t rows = rows_of(p, snapshot->variable);
  const double *field = fields[snapshot->variable];
  double *samples = snapshot->samples + (size_t)number * n * rows;
  for (size_t r = 0; r < rows; r++)
    for (size_t i = 0; i < n; i++) samples[i * rows + r] = field[r * n + i];
}

double training_loss(const Program *p, const Compiled *compiled, const double *f) {
  size_t points = sizes_of(p).points;
  double sum = 0, *ell = mem_new(points, sizeof *ell);
  run_loss(p, compiled, points, f, p->problem->targets->data, ell, NULL);
  for (size_t mu = 0; mu < points; mu++) sum += ell[mu];
  free(ell);
  return sum / (double)points;
}

double loss_limit(const Program *p, const Compiled *compiled, const double *f, const double *ntk,
                  double gamma) {
  double start = training_loss(p, compiled, f), K = 0;
  size_t points = sizes_of(p).points;
  for (size_t mu = 0; mu < points; mu++) K = fmax(K, ntk[mu * points + mu]);
  return start > 0 ? DIVERGED * start * (1 + pow(K / gamma, 2)) : INFINITY;
}

bool has_diverged(const Program *p, const Compiled *compiled, const double *f, double limit) {
  Sizes z = sizes_of(p);
  return !is_sane(f, z.all * z.outputs) || !(training_loss(p, compiled, f) <= limit);
}

bool is_sane(const double *x, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (!(fabs(x[i]) < 1e100)) return false;
  return true;
}
