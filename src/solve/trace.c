/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Kernels over pairs of times are products of coordinates in an orthonormal basis of all that was
 * met, or of the fields themselves; responses follow from their products with the noise of a
 * matrix. */
#include "solve/trace.h"
#include "base/memory.h"
#include "num/linalg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The coordinates of a variable at all times in a basis that grows, or the entries themselves. */
typedef struct Coordinates {
  View q;       /* the basis, where no matrix keeps one */
  double count; /* <x x> = L L^T / count */
  size_t rows;
  double **L;    /* [T+1]: [rows, rank[t]] */
  size_t *rank;  /* [T+1] */
  double *whole; /* of entries: L of all times, one behind the other */
} Coordinates;

/* Of one matrix: its features and y; and, for responses, x and y as it met them, and the products
 * of x with the noise of y, of y with that of x. Of a field of a system: what is met at t, and at
 * s. */
enum { FEATURES, BACKWARD, MET_X, MET_Y, TO_Y, TO_X, COORDINATES };
enum { AT_T, AT_S };
typedef struct Past {
  Coordinates of[COORDINATES];
} Past;

struct History {
  Past *past; /* [matrix], or [field] of a system */
  int count;
};

/* ---- entries ---- */

static void add_entry(Trace *r, Entry entry) {
  r->entries = mem_grow(r->entries, (size_t)(r->count + 1) * sizeof *r->entries);
  r->entries[r->count++] = entry;
}

/* Rows and columns of each time in what is made over pairs of times. */
static size_t points_of(const Program *p) { return p->system ? 1 : sizes_of(p).all; }

static size_t pairs_size(const Program *p, size_t steps) {
  size_t n = steps * points_of(p);
  return n * n;
}

static size_t outputs_of(const Program *p) { return p->system ? 0 : rows_of(p, p->f); }

static void list_fields(Trace *r) {
  const Program *p = r->program;
  for (int i = 0; i < p->system->field_count; i++) {
    const SystemField *field = &p->system->fields[i];
    bool pairs = field->form != FORM_VALUE;
    size_t own = rows_of(p, field->variable) * (size_t)p->variables[field->variable].cols;
    add_entry(r, (Entry){i, 0, pairs ? -1 : field->variable, 0, pairs,
                         pairs ? pairs_size(p, r->steps) : own, NULL});
  }
}

static void list_observables(Trace *r) {
  const Program *p = r->program;
  for (int i = 0; i < p->observable_count; i++) {
    const ProgramObservable *o = &p->observables[i];
    if (!(r->values & field_bit((FieldId)o->field))) continue;
    size_t cols = (size_t)p->variables[o->variable].cols;
    add_entry(r, (Entry){o->field, o->layer, o->variable, (size_t)o->first * cols, false,
                         (size_t)o->rows * cols, NULL});
  }
  size_t size = pairs_size(p, r->steps);
  for (int l = 1; l <= p->layers && r->pairs & TRACE_KERNELS; l++)
    for (size_t k = 0; k < 2; k++) {
      FieldId id = k ? FIELD_G : FIELD_PHI;
      if (r->values & field_bit(id) && field_is_present(id, p))
        add_entry(r, (Entry){id, l, -1, 0, true, size, NULL});
    }
  for (int l = 1; l <= response_layers(p) && r->pairs & TRACE_RESPONSES; l++) {
    add_entry(r, (Entry){FIELD_A, l, -1, 0, true, size, NULL});
    add_entry(r, (Entry){FIELD_B, l, -1, 0, true, size, NULL});
  }
}

static void list_entries(Trace *r) {
  if (r->program->system)
    list_fields(r);
  else
    list_observables(r);
}

/* What is met at t, and at s; one history serves both where they are one. */
static int side_of(const SystemField *field, int side) {
  return side ? field->other : field->variable;
}

static bool has_side(const SystemField *field, int side) {
  return field->form != FORM_VALUE && (side == AT_T || field->other != field->variable);
}

double trace_history_bytes(const Program *p, size_t steps, size_t paths, bool sized) {
  double numbers = 0;
  for (int k = 0; k < 2 * p->system->field_count; k++) {
    const SystemField *field = &p->system->fields[k / 2];
    if (!has_side(field, k % 2)) continue;
    const Variable *v = &p->variables[side_of(field, k % 2)];
    double columns = (double)paths * (sized ? p->spaces[v->space].ratio : 1);
    numbers += (double)steps * v->rows * columns;
  }
  return 8 * numbers;
}

double trace_bytes(const Program *p, size_t steps, FieldSet values, int pairs) {
  Trace r = {.program = p, .steps = steps, .values = values, .pairs = pairs};
  list_entries(&r);
  double numbers = 0;
  for (int i = 0; i < r.count; i++)
    numbers += (double)r.entries[i].size * (r.entries[i].pairs ? 1 : (double)steps);
  free(r.entries);
  return 8 * numbers;
}

static Coordinates new_coordinates(size_t steps) {
  return (Coordinates){
      NO_VIEW, 1, 0, mem_new(steps, sizeof(double *)), mem_new(steps, sizeof(size_t)), NULL};
}

static void free_coordinates(Coordinates *c, size_t steps) {
  for (size_t t = 0; t < steps && !c->whole; t++) free(c->L[t]);
  free(c->whole);
  free(c->L);
  free(c->rank);
}

static void begin_history(Trace *r) {
  const Program *p = r->program;
  r->history = mem_new(1, sizeof *r->history);
  r->history->count = p->system ? p->system->field_count : p->matrix_count;
  r->history->past = mem_new((size_t)r->history->count, sizeof(Past));
  for (int k = 0; k < r->history->count; k++)
    for (int i = 0; i < COORDINATES; i++) r->history->past[k].of[i] = new_coordinates(r->steps);
}

bool trace_new(Trace *r, const Program *p, size_t steps, FieldSet values, int pairs) {
  *r = (Trace){.program = p, .steps = steps, .values = values, .pairs = pairs};
  list_entries(r);
  r->f = mem_block(steps * outputs_of(p) + 1);
  bool fine = r->f != NULL;
  for (int i = 0; i < r->count; i++) {
    Entry *e = &r->entries[i];
    e->data = mem_block(e->size * (e->pairs ? 1 : steps) + 1);
    pairs |= e->pairs;
    fine = fine && e->data;
  }
  if (pairs) begin_history(r);
  return fine;
}

static void forget_history(Trace *r) {
  for (int k = 0; r->history && k < r->history->count; k++) {
    for (int i = 0; i < COORDINATES; i++) free_coordinates(&r->history->past[k].of[i], r->steps);
  }
  if (r->history) free(r->history->past);
  free(r->history);
  r->history = NULL;
}

void trace_free(Trace *r) {
  forget_history(r);
  for (int i = 0; i < r->count; i++) free(r->entries[i].data);
  free(r->f);
  free(r->start);
  free(r->entries);
  *r = (Trace){0};
}

/* What of a run under way is there; without memory less than there was. */
static void show_coordinates(const Trace *r, Coordinates *c, Piece *piece, void *sink) {
  unsigned char whole = c->whole != NULL;
  views_pieces(&c->q, 1, piece, sink);
  piece(sink, &c->count, sizeof c->count);
  piece(sink, &c->rows, sizeof c->rows);
  piece(sink, c->rank, r->taken * sizeof *c->rank);
  piece(sink, &whole, sizeof whole);
  if (!c->rows) return;
  size_t size = c->rows * c->rank[0];
  if (whole && !c->whole) c->whole = mem_block(r->steps * size + 1);
  for (size_t t = 0; t < r->taken; t++) {
    if (!c->L[t] && !whole) c->L[t] = mem_block(c->rows * c->rank[t] + 1);
    if (c->whole) c->L[t] = c->whole + t * size;
    if (c->L[t]) piece(sink, c->L[t], c->rows * c->rank[t] * sizeof **c->L);
  }
}

static void show_history(Trace *r, Piece *piece, void *sink) {
  if (r->taken == r->steps) forget_history(r);
  for (int k = 0; r->history && k < r->history->count; k++)
    for (int i = 0; i < COORDINATES; i++)
      show_coordinates(r, &r->history->past[k].of[i], piece, sink);
}

void trace_pieces(Trace *r, Piece *piece, void *sink) {
  const Program *p = r->program;
  size_t matrices = (size_t)p->matrix_count;
  unsigned char start = r->start != NULL;
  for (int i = 0; i < r->count; i++) {
    Entry *e = &r->entries[i];
    piece(sink, e->data, e->size * (e->pairs ? 1 : r->steps) * sizeof *e->data);
  }
  piece(sink, r->f, r->steps * outputs_of(p) * sizeof *r->f);
  piece(sink, &r->taken, sizeof r->taken);
  piece(sink, &r->flops, sizeof r->flops);
  piece(sink, &r->rank, sizeof r->rank);
  piece(sink, &start, sizeof start);
  if (start && !r->start) r->start = mem_new(matrices, sizeof *r->start);
  if (start) piece(sink, r->start, matrices * sizeof *r->start);
  show_history(r, piece, sink);
}

double *trace_find(const Trace *r, int field, int layer, bool pairs) {
  for (int i = 0; i < r->count; i++) {
    const Entry *e = &r->entries[i];
    if (e->field == field && e->layer == layer && e->pairs == pairs) return e->data;
  }
  return NULL;
}

bool *trace_wants(const Trace *r) {
  const Program *p = r->program;
  bool *wanted = mem_new((size_t)p->variable_count + 1, sizeof *wanted);
  for (int i = 0; i < r->count; i++)
    if (r->entries[i].variable >= 0) wanted[r->entries[i].variable] = true;
  return wanted;
}

/* ---- taking ---- */

static void copy_rows(const Machine *m, View x, double *out) {
  for (size_t r = 0; r < x.rows && x.cols; r++)
    memcpy(out + r * x.cols, tape_data(m->tape, view_rows(x, r, 1)), x.cols * sizeof *out);
}

static bool keep_table(Coordinates *c, const Machine *m, View table) {
  size_t t = (size_t)m->t;
  c->rank[t] = table.cols;
  c->rows = table.rows;
  c->L[t] = mem_block(table.rows * table.cols + 1);
  if (c->L[t]) copy_rows(m, table, c->L[t]);
  return c->L[t] != NULL;
}

/* The entries themselves: as many directions as neurons. */
static bool keep_entries(Coordinates *c, const Machine *m, View x, size_t steps) {
  size_t t = (size_t)m->t, size = x.rows * x.cols;
  if (!c->whole) c->whole = mem_block(steps * size + 1);
  if (!c->whole) return false;
  c->count = (double)x.cols;
  c->rank[t] = x.cols;
  c->rows = x.rows;
  c->L[t] = c->whole + t * size;
  copy_rows(m, x, c->L[t]);
  return true;
}

/* Whether a matrix acts in the run: what nothing needs is not computed. */
static bool acts(const Machine *m, int matrix, bool back) {
  for (int i = 0; i < m->p->op_count; i++) {
    const Op *op = &m->p->ops[i];
    if (op->kind == (back ? OP_APPLY_T : OP_APPLY) && op->matrix == matrix) return m->needed[i];
  }
  return false;
}

/* Whether fields stay in few directions, as they do where matrices move along gradients. */
static bool has_bases(const Machine *m) {
  bool all = m->plan.hidden == &sequential;
  for (int k = 0; k < m->p->matrix_count; k++)
    if (is_wide_matrix(m->p, &m->p->matrices[k]) && m->p->matrices[k].rate != 0)
      all = all && !moves_by_entries(m->p, &m->p->matrices[k]);
  return all;
}

/* The coordinates of a variable: in the basis of a matrix that met it, or in one of our own. */
static bool take_coordinates(const Trace *r, Coordinates *c, Machine *m, int use, bool back,
                             int variable) {
  const Matrix *matrix = &m->p->matrices[use];
  bool met = machine_kind(&m->plan, matrix->weights) == &sequential && acts(m, use, back) &&
             variable == (back ? matrix->y : matrix->x);
  if (met) return keep_table(c, m, sequential_met(m, use, back).L);
  View x = m->value[variable], rest;
  if (!has_bases(m)) return keep_entries(c, m, x, r->steps);
  if (c->q.slab < 0)
    c->q = tape_keep(m->tape, tape_wide(m->tape, tape_space(m->tape, x), 0, false));
  return keep_table(c, m, machine_meet(m, &c->q, x, &rest));
}

/* <x m> with the noise m in the images of the other side. */
static bool take_response(Coordinates *c, Machine *m, int use, bool back) {
  const Matrix *matrix = &m->p->matrices[use];
  View x = m->value[back ? matrix->y : matrix->x], noise = sequential_met(m, use, back).noise;
  View table = tape_table(m->tape, x.rows, noise.rows, false);
  if (noise.rows) tape_average(m->tape, table, 1, x, noise, 1);
  return !tape_failed(m->tape) && keep_table(c, m, table);
}

/* Whether a response is asked of this matrix, or of another use of it. */
static bool is_asked(const Program *p, int use) {
  for (int l = 1; l <= response_layers(p); l++)
    if (p->matrices[response_matrix(p, l)].weights == p->matrices[use].weights &&
        p->matrices[use].x >= 0)
      return true;
  return false;
}

static bool take_responses(Coordinates *c, Machine *m, int use) {
  return keep_table(&c[MET_X], m, sequential_met(m, use, false).L) &&
         keep_table(&c[MET_Y], m, sequential_met(m, use, true).L) &&
         take_response(&c[TO_Y], m, use, false) && take_response(&c[TO_X], m, use, true);
}

static bool take_fields(Trace *r, const Machine *m) {
  const System *s = r->program->system;
  bool fine = true;
  for (int k = 0; k < 2 * s->field_count && fine; k++)
    if (has_side(&s->fields[k / 2], k % 2))
      fine = keep_entries(&r->history->past[k / 2].of[k % 2], m,
                          m->value[side_of(&s->fields[k / 2], k % 2)], r->steps);
  return fine;
}

static bool take_history(Trace *r, Machine *m) {
  const Program *p = r->program;
  bool fine = true;
  if (p->system) return take_fields(r, m);
  for (int k = 0; k < p->matrix_count && fine; k++) {
    const Matrix *matrix = &p->matrices[k];
    Coordinates *c = r->history->past[k].of;
    bool level = is_level(p, k);
    if (level && is_wide(p, matrix->from))
      fine = take_coordinates(r, &c[FEATURES], m, k, false, matrix->features);
    if (level && fine && is_wide(p, matrix->to))
      fine = take_coordinates(r, &c[BACKWARD], m, k, true, matrix->y);
    if (fine && r->pairs & TRACE_RESPONSES && is_asked(p, k)) fine = take_responses(c, m, k);
  }
  return fine;
}

bool trace_take(Trace *r, Machine *m) {
  for (int i = 0; i < r->count; i++) {
    const Entry *e = &r->entries[i];
    if (e->variable < 0) continue;
    View x = m->value[e->variable];
    if (x.slab < 0) return false;
    copy_rows(m, view_rows(x, e->first / x.cols, e->size / x.cols),
              e->data + (size_t)m->t * e->size);
  }
  if (!r->program->system)
    machine_read(m, r->program->f, r->f + (size_t)m->t * outputs_of(r->program));
  r->taken = (size_t)m->t + 1;
  r->flops = tape_flops(m->tape) + m->flops;
  r->rank = m->rank;
  return !r->history || take_history(r, m);
}

/* ---- pairs of times ---- */

/* The coordinates of all times in the whole basis, [(T+1) rows, rank]; to be freed unless they are
 * c->whole. */
static double *unfolded(const Trace *r, const Coordinates *c, size_t rows) {
  if (c->whole) return c->whole;
  size_t rank = c->rank[r->steps - 1];
  double *L = mem_block(r->steps * rows * rank + 1);
  for (size_t t = 0; t < r->steps && L; t++)
    for (size_t i = 0; i < rows; i++)
      memcpy(L + (t * rows + i) * rank, c->L[t] + i * c->rank[t], c->rank[t] * sizeof *L);
  return L;
}

/* <x y> over all steps, averaged over positions and outputs. */
static bool multiply(const Trace *r, const Coordinates *x, const Coordinates *y, size_t rows,
                     double *product) {
  size_t R = points_of(r->program), C = rows / R, n = r->steps * R, rank = x->rank[r->steps - 1];
  double *L = unfolded(r, x, rows), *M = x == y ? L : unfolded(r, y, rows);
  for (size_t k = 0; k < C && L && M; k++)
    mat_mul_bt(n, n, rank, 1 / (x->count * (double)C), L + k * rank, C * rank, M + k * rank,
               C * rank, k > 0, product, n);
  bool fine = L && M;
  if (M != y->whole && M != L) free(M);
  if (L != x->whole) free(L);
  return fine;
}

/* Of averages that lean at equal times, those of other times lean with both. */
static void lean_with(size_t n, size_t R, const double *equal, double *kernel) {
  double *size = mem_new(n, sizeof *size);
  for (size_t i = 0; i < n; i++) {
    double own = kernel[i * n + i], leaning = equal[i * R + i % R];
    size[i] = own > 0 && leaning > 0 ? sqrt(leaning / own) : 1;
  }
  for (size_t i = 0; i < n * n; i++) kernel[i] *= size[i / n] * size[i % n];
  free(size);
}

/* Equal-time blocks of kernels are the exact averages, which truncation did not touch. */
static Status fill_kernel(const Trace *r, const Coordinates *c, int variable, const double *equal,
                          double *kernel) {
  size_t R = points_of(r->program), n = r->steps * R;
  if (!multiply(r, c, c, rows_of(r->program, variable), kernel)) return STATUS_LIMIT;
  if (r->leans) lean_with(n, R, equal, kernel);
  for (size_t t = 0; t < r->steps; t++)
    for (size_t a = 0; a < R; a++)
      memcpy(kernel + (t * R + a) * n + t * R, equal + (t * R + a) * R, R * sizeof *kernel);
  return STATUS_OK;
}

/* C(t, s) of a system; responses vanish ahead. */
static Status fill_pairs(const Trace *r, const Entry *e) {
  const SystemField *field = &r->program->system->fields[e->field];
  const Coordinates *of = r->history->past[e->field].of;
  size_t T = r->steps;
  if (!multiply(r, &of[AT_T], &of[has_side(field, AT_S) ? AT_S : AT_T],
                rows_of(r->program, field->variable), e->data))
    return STATUS_LIMIT;
  for (size_t t = 0; t < T && field->form == FORM_RESPONSE; t++)
    memset(e->data + t * T + t + 1, 0, (T - t - 1) * sizeof *e->data);
  return STATUS_OK;
}

/* What all uses of a matrix met on one side at a step, as columns: L [now, rows], of which rows
 * `*own` and on are of the use `matrix`. Their number. */
static size_t gather(const Trace *r, int matrix, int side, size_t s, size_t now, size_t stride,
                     double *L, size_t *own) {
  const Program *p = r->program;
  size_t rows = 0;
  for (int k = 0; k < p->matrix_count; k++) {
    const Matrix *m = &p->matrices[k];
    if (m->weights != p->matrices[matrix].weights || m->x < 0) continue;
    if (k == matrix) *own = rows;
    const Coordinates *c = &r->history->past[k].of[side];
    size_t count = rows_of(p, side == MET_X ? m->x : m->y), rank = c->rank[s];
    for (size_t i = 0; i < count && L; i++)
      for (size_t j = 0; j < now && j < rank; j++) L[j * stride + rows + i] = c->L[s][i * rank + j];
    rows += count;
  }
  return rows;
}

/* The response R(a, b) = <dx_a / dr_b> from its coefficients rho = <x m> = sigma R L, where L are
 * the coordinates of the vectors b met before (or, for B, up to) a's step: the smallest solution,
 * since R is defined only by its action on those vectors. r is the field of the initial matrix,
 * whatever decay has left of it. With positions: of the mean of x over them, to an addition at all
 * of them; where a matrix acts again, all its uses answer together. */
static Status fill_response(const Trace *r, int matrix, bool x_side, double *response) {
  const Program *p = r->program;
  const Matrix *m = &p->matrices[matrix];
  const Coordinates *rho = &r->history->past[matrix].of[x_side ? TO_Y : TO_X];
  int side = x_side ? MET_Y : MET_X;
  size_t R = sizes_of(p).all, n = r->steps * R, own = 0, A = rows_of(p, m->x) / R,
         rows = gather(r, matrix, side, 0, 0, 0, NULL, &own), rank = rho->rank[r->steps - 1];
  double *L = mem_block(r->steps * rows * rank + 1), *rhs = mem_block(R * rank + 1),
         *x = mem_block(R * r->steps * rows + 1),
         share = m->sigma > 0 ? 1 / m->sigma / (double)A : 0;
  Status status = L && rhs && x ? STATUS_OK : STATUS_LIMIT;
  for (size_t t = 0; t < r->steps && status == STATUS_OK; t++) {
    size_t now = rho->rank[t], met = x_side ? t : t + 1, width = met * rows;
    if (now == 0) continue; /* nothing met yet, or nothing but zeros */
    memset(rhs, 0, R * now * sizeof *rhs);
    for (size_t i = 0; i < R * A; i++) axpy(now, share, rho->L[t] + i * now, rhs + i / A * now);
    memset(L, 0, now * width * sizeof *L);
    for (size_t s = 0; s < met; s++) gather(r, matrix, side, s, now, width, L + s * rows, &own);
    int failed = mat_solve_least(now, width, L, width, R, rhs, now, 1e-9, x, width);
    if (failed) status = mat_status(failed);
    for (size_t a = 0; a < R; a++)
      for (size_t s = 0; s < met; s++)
        for (size_t b = 0; b < R * A; b++)
          response[(t * R + a) * n + s * R + b / A] += x[a * width + s * rows + own + b];
  }
  free(L);
  free(rhs);
  free(x);
  return status;
}

static Status finish_entry(const Trace *r, const Entry *e) {
  const Program *p = r->program;
  if (p->system) return fill_pairs(r, e);
  bool response = e->field == FIELD_A || e->field == FIELD_B, back = e->field == FIELD_G;
  if (response) return fill_response(r, response_matrix(p, e->layer), e->field == FIELD_A, e->data);
  int k = p->phi_matrix[e->layer - (back ? 1 : 0)];
  const Matrix *matrix = &p->matrices[k];
  return fill_kernel(r, &r->history->past[k].of[back ? BACKWARD : FEATURES],
                     back ? matrix->y : matrix->features, trace_find(r, e->field, e->layer, false),
                     e->data);
}

Status trace_finish(Trace *r) {
  Status status = STATUS_OK;
  for (int i = 0; i < r->count && status == STATUS_OK && r->history; i++)
    if (r->entries[i].pairs) status = finish_entry(r, &r->entries[i]);
  forget_history(r);
  return status;
}

Status trace_cut(Trace *r, size_t steps) {
  size_t all = r->steps;
  for (int i = 0; i < r->count; i++) {
    Entry *e = &r->entries[i];
    if (!e->pairs) continue;
    e->size = pairs_size(r->program, steps);
    for (size_t t = 1; t < steps && !r->history; t++)
      memmove(e->data + t * steps, e->data + t * all, steps * sizeof *e->data);
  }
  r->steps = r->taken = steps;
  return trace_finish(r);
}

/* Shows all wide fields; populations of other sizes than the first have none to show. */
static void show_fields(const Snapshot *snapshot, const Machine *m, int number) {
  const Program *p = m->p;
  double **fields = mem_new((size_t)p->variable_count, sizeof *fields);
  size_t ld = 0;
  for (int v = 0; v < p->variable_count; v++)
    if (m->value[v].slab >= 0 && tape_space(m->tape, m->value[v]) >= 0) {
      fields[v] = tape_data(m->tape, m->value[v]);
      if (tape_space(m->tape, m->value[v]) == 0) ld = tape_stride(m->tape, m->value[v]);
    }
  snapshot->look(snapshot->sink, number, fields, tape_columns(m->tape, 0), ld);
  free(fields);
}

void snapshot_take(const Snapshot *snapshot, const Machine *m, int number) {
  if (!snapshot || m->t != snapshot->step) return;
  if (snapshot->look) {
    show_fields(snapshot, m, number);
    return;
  }
  View x = m->value[snapshot->variable];
  double *samples = snapshot->samples + (size_t)number * x.cols * x.rows;
  const double *field = tape_data(m->tape, x);
  size_t stride = tape_stride(m->tape, x);
  for (size_t r = 0; r < x.rows; r++)
    for (size_t i = 0; i < x.cols; i++) samples[i * x.rows + r] = field[r * stride + i];
}
