/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "machine/machine.h"
#include "base/memory.h"
#include "base/reserve.h"
#include "field/observable.h"
#include "machine/axes.h"
#include "machine/framed.h"
#include "machine/kinks.h"
#include "machine/tails.h"
#include "num/linalg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- maps ---- */

_Static_assert((int)TAPE_MAX_ARGS > (int)OP_MAX_ARGS, "a map has the arguments of its op, and one");

/* Which arguments of a map are different from neuron to neuron. */
static void find_wide(const Program *p, const Op *op, bool *wide) {
  for (int k = 0; k < op->src_count; k++) {
    int space = p->variables[op->src[k]].space;
    wide[k] = space >= 0 && is_wide(p, space);
  }
}

bool machine_has_kinks(const Program *p) {
  for (int i = 0; i < p->op_count; i++) {
    if (p->ops[i].kind != OP_MAP) continue;
    bool wide[TAPE_MAX_ARGS];
    find_wide(p, &p->ops[i], wide);
    if (kinks_has(p->ops[i].expr, wide)) return true;
  }
  return false;
}

bool machine_rounds(const Program *p) {
  for (int i = 0; i < p->op_count; i++)
    if (p->ops[i].kind == OP_MAP && !kinks_round(p->pool, p->ops[i].expr)) return false;
  return true;
}

/* The map of op i where it is not read backward. What an activation has made of one of its
 * arguments it need not make again, but has as an argument: the slope of tanh is 1 - x^2. */
static TapeMap *plain_map(const Program *p, int i, int *known) {
  const Op *op = &p->ops[i];
  const Expr *e = op->expr;
  for (int k = 0; k < p->forward_count && k < i && e == op->expr && p->problem; k++) {
    const Op *other = &p->ops[k];
    for (int a = 0; a < op->src_count && other->kind == OP_MAP && other->src_count == 1; a++) {
      if (op->src[a] != other->src[0] || expr_is_linear(other->expr) || e != op->expr) continue;
      const Expr *own = expr_arg(p->pool, a), *made = expr_substitute(p->pool, other->expr, &own);
      e = expr_replace(p->pool, e, made, expr_arg(p->pool, op->src_count));
      *known = other->dst;
    }
  }
  if (e == op->expr) *known = -1;
  return tape_map_new(e, NULL, op->src_count + (*known >= 0));
}

/* The map of op i, and its derivatives. */
static TapeMap *sloped_map(const Program *p, int i, const Rounded *rounded) {
  const Op *op = &p->ops[i];
  bool wide[TAPE_MAX_ARGS];
  double size[TAPE_MAX_ARGS];
  Kinks kinks = {wide, size, rounded ? rounded->fraction : 0};
  find_wide(p, op, wide);
  for (int k = 0; k < op->src_count; k++) size[k] = rounded ? rounded->size[op->src[k]] : 0;
  return kinks_map(p->pool, op->expr, op->src_count, rounded ? &kinks : NULL);
}

MachineCode machine_compile(const Program *p, bool slopes, const Rounded *rounded) {
  const Expr *times =
      expr_call(p->pool, PRIM_MUL, expr_arg(p->pool, 0), expr_arg(p->pool, 1), NULL);
  MachineCode code = {mem_new((size_t)p->op_count + 1, sizeof *code.maps),
                      mem_new((size_t)p->op_count + 1, sizeof *code.known),
                      kinks_map(p->pool, times, 2, NULL)};
  for (int i = 0; i < p->op_count; i++) {
    const Op *op = &p->ops[i];
    code.known[i] = -1;
    if (op->kind != OP_MAP) continue;
    code.maps[i] = slopes ? sloped_map(p, i, rounded) : plain_map(p, i, &code.known[i]);
  }
  return code;
}

void machine_code_free(const Program *p, MachineCode *code) {
  for (int i = 0; i < p->op_count; i++) tape_map_free(code->maps[i]);
  tape_map_free(code->times);
  free(code->maps);
  free(code->known);
}

/* ---- what is needed ---- */

/* Whether an op changes a matrix, and makes nothing else. */
static bool is_change(OpKind kind) {
  return kind == OP_OUTER || kind == OP_DECAY || kind == OP_REDRAW;
}

/* Marks the ops that make what is read, and what these read. */
static void mark(const Program *p, bool *read, bool *marked) {
  for (bool more = true; more;) {
    more = false;
    for (int i = p->op_count - 1; i >= 0; i--) {
      const Op *op = &p->ops[i];
      bool acts = op->kind == OP_LEARN || is_change(op->kind);
      if (marked[i] || !(acts || read[op->dst])) continue;
      more = marked[i] = true;
      for (int k = 0; k < op->src_count; k++) read[op->src[k]] = true;
      for (int k = 0; k < p->matrix_count && op->kind == OP_LEARN; k++)
        if (p->matrices[k].weights == op->matrix && p->matrices[k].x >= 0)
          read[p->matrices[k].x] = read[p->matrices[k].learns] = true;
    }
  }
}

/* Of a system: states that something reads, what changes matrices, and what is observed. */
static void find_needed_of_system(Machine *m) {
  const System *s = m->p->system;
  bool *read = mem_new((size_t)m->p->variable_count + 1, sizeof *read);
  for (int i = 0; i < s->field_count; i++)
    read[s->fields[i].variable] = read[s->fields[i].other] = true;
  mark(m->p, read, m->needed);
  free(read);
}

/* What the updates need, and what besides the observer, and the judge of divergence, need. */
static void find_needed(Machine *m) {
  const Program *p = m->p;
  if (p->system) {
    find_needed_of_system(m);
    return;
  }
  bool *read = mem_new((size_t)p->variable_count + 1, sizeof *read);
  read[p->f] = true;
  mark(p, read, m->trains);
  memcpy(m->needed, m->trains, (size_t)p->op_count * sizeof *m->needed);
  for (int i = 0; i < p->observable_count; i++) {
    const ProgramObservable *o = &p->observables[i];
    if (!m->plan.wanted || o->field == FIELD_LOSS) read[o->variable] = true;
  }
  for (int v = 0; v < p->variable_count && m->plan.wanted; v++) read[v] |= m->plan.wanted[v];
  mark(p, read, m->needed);
  free(read);
}

double *machine_room(Machine *m, size_t count) {
  if (count > m->room_size) {
    m->room_size = 2 * count;
    m->room = mem_grow(m->room, m->room_size * sizeof *m->room);
  }
  return m->room;
}

/* ---- noise ---- */

NoiseBlock machine_block(const Machine *m, View rows) {
  const float *single = tape_single(m->tape, rows);
  return (NoiseBlock){single ? NULL : tape_data(m->tape, rows), single, tape_stride(m->tape, rows),
                      (int)rows.rows};
}

View machine_rows(Machine *m, int space, size_t rows, bool constant) {
  return (m->plan.single ? tape_narrow : tape_wide)(m->tape, space, rows, constant);
}

double machine_number(const MachinePlan *plan) {
  return plan->single ? sizeof(float) : sizeof(double);
}

/* Those of a matrix, or behind all matrices of the lead. */
static int blocks_of(const Machine *m, int k, int space, NoiseBlock *blocks) {
  const MatrixKind *kind = k < m->p->matrix_count && m->state[k] ? machine_kind(&m->plan, k) : NULL;
  if (kind) return kind->blocks ? kind->blocks(m, m->state[k], space, blocks) : 0;
  View lead = m->lead[space];
  if (k < m->p->matrix_count || lead.slab < 0 || !lead.rows) return 0;
  *blocks = machine_block(m, lead);
  return 1;
}

/* What fresh noise on a population is to be orthogonal to, and the most rows of a block of that; or
 * -1 where rows are `most` or more in all: many layers that share a population soon fill it. */
static int collect_blocks(const Machine *m, int space, size_t most, NoiseBlock *blocks,
                          size_t *widest) {
  int n = 0;
  size_t taken = 0;
  for (int k = 0; k <= m->p->matrix_count && taken < most; k++)
    for (int end = n + blocks_of(m, k, space, blocks + n); n < end; n++) {
      size_t rank = (size_t)blocks[n].count;
      taken += rank;
      if (rank > *widest) *widest = rank;
    }
  return taken < most ? n : -1;
}

/* `count` rows of noise on a population, S numbers each, are made orthogonal to all of that, when a
 * fifth of sample space is left free; whether they were. */
static bool improve(Machine *m, int space, double *rows, size_t count, size_t S, size_t ld) {
  size_t widest = 0;
  int n = collect_blocks(m, space, S - S / 5, m->blocks, &widest);
  if (n < 0) return false;
  double *c = machine_room(m, count * widest);
  m->flops += noise_condition(rows, count, S, ld, m->blocks, n, c);
  return true;
}

/* Of a population of another size, neurons begin elsewhere. */
static NoiseSource source_of(const Machine *m, int space) {
  NoiseSource source = m->plan.noise;
  if (m->plan.sized && source.first)
    source.first = machine_columns(source.first, m->p->spaces[space].ratio);
  return source;
}

bool machine_draw(Machine *m, int space, View *noise, size_t count) {
  NoiseSource source = source_of(m, space);
  size_t S = tape_columns(m->tape, m->population[space]), before = noise->rows;
  View grown = tape_grow(m->tape, *noise, count), fresh = view_rows(grown, before, count), drawn;
  bool improved = false, rounded = !tape_failed(m->tape) && tape_single(m->tape, fresh);
  drawn = rounded ? tape_wide(m->tape, m->population[space], count, true) : fresh;
  if (tape_failed(m->tape)) return improved;
  size_t ld = tape_stride(m->tape, drawn);
  double *rows = tape_data(m->tape, drawn);
  for (size_t i = 0; i < count; i++)
    if (!noise_row(&source, S, space, m->noise_count[space]++, rows + i * ld)) m->exhausted = true;
  if (m->plan.improve && count) improved = improve(m, space, rows, count, S, ld);
  if (rounded) tape_copy(m->tape, fresh, 1, drawn);
  *noise = grown;
  return improved;
}

/* Known noise, but for coordinates: each row there is a new axis. */
View machine_noise(Machine *m, int space, size_t count) {
  int population = m->population[space], first = m->noise_count[space];
  if (m->plan.axes) return axes_noise(m, space, count);
  if (m->plan.noise.kind != NOISE_COORDINATES) {
    View noise = tape_wide(m->tape, population, 0, true);
    machine_draw(m, space, &noise, count);
    return noise;
  }
  m->noise_count[space] += (int)count;
  m->exhausted = m->exhausted || (size_t)m->noise_count[space] > m->plan.columns;
  int *axis = mem_new(count + 1, sizeof *axis);
  for (size_t i = 0; i < count; i++) axis[i] = first + (int)i;
  View noise = tape_fresh(m->tape, population, m->exhausted ? 0 : count, axis, NO_VIEW, NULL);
  free(axis);
  return noise;
}

/* Whether what takes the place of a view may lie there already: nothing of it is lost, and nobody
 * reads it backward. */
static bool stays(const Machine *m, double keep) {
  return !m->plan.record && !(keep < 1 || keep > 1);
}

View machine_move_on(Machine *m, View w, double keep, View v, double push) {
  bool same = stays(m, keep);
  View next = same ? w : tape_keep(m->tape, tape_same(m->tape, w));
  if (keep != 0 && !same) tape_copy(m->tape, next, keep, w);
  if (v.slab >= 0 && push != 0) tape_copy(m->tape, next, push, v);
  if (!same) tape_drop(m->tape, w);
  return next;
}

View machine_table_on(Machine *m, size_t rows, size_t cols, View w, double keep, View v,
                      double push) {
  Tape *tape = m->tape;
  bool same = w.slab >= 0 && w.rows == rows && w.cols == cols && stays(m, keep);
  View next = same ? w : tape_keep(tape, tape_table(tape, rows, cols, false));
  if (w.slab >= 0 && keep != 0 && !same)
    tape_copy(tape, view_cols(view_rows(next, 0, w.rows), 0, w.cols), keep, w);
  if (v.slab >= 0 && push != 0)
    tape_copy(tape, view_cols(view_rows(next, 0, v.rows), 0, v.cols), push, v);
  if (!same) tape_drop(tape, w);
  return next;
}

/* ---- operations ---- */

static View new_value(Machine *m, int v) {
  const Variable *variable = &m->p->variables[v];
  if (is_wide(m->p, variable->space))
    return tape_wide(m->tape, m->population[variable->space], rows_of(m->p, v), false);
  return tape_table(m->tape, m->times * rows_of(m->p, v), (size_t)variable->cols, false);
}

static void run_rows(Machine *m, const Op *op, View out) {
  const RowMap *map = &m->p->row_maps[op->rows];
  size_t C = m->p->variables[op->dst].backward ? sizes_of(m->p).outputs : 1,
         from = (size_t)map->from, to = (size_t)map->to;
  View in = m->value[op->src[0]];
  for (size_t a = 0; a < out.rows / (to * C); a++)
    for (size_t i = 0; i < to; i++)
      for (int k = map->begin[i]; k < map->begin[i + 1]; k++)
        tape_copy(m->tape, view_rows(out, (a * to + i) * C, C), map->weight[k],
                  view_rows(in, (a * from + (size_t)map->source[k]) * C, C));
}

static View block_rows(View all, size_t blocks, size_t k) {
  size_t rows = all.rows / blocks;
  return view_rows(all, k * rows, rows);
}

static void run_gram(Machine *m, const Op *op, View out) {
  size_t blocks = (size_t)op->blocks;
  for (size_t k = 0; k < blocks; k++)
    tape_average(m->tape, block_rows(out, blocks, k), op->factor,
                 block_rows(m->value[op->src[0]], blocks, k),
                 block_rows(m->value[op->src[1]], blocks, k), 1);
}

/* Of rows (p, c) those of output c of C, in a block of their own; all of them where C = 1. */
static View rows_of_output(Machine *m, View rows, size_t C, size_t c) {
  if (C == 1) return rows;
  View own = tape_same(m->tape, view_rows(rows, 0, rows.rows / C));
  for (size_t p = 0; p < own.rows; p++)
    tape_copy(m->tape, view_rows(own, p, 1), 1, view_rows(rows, p * C + c, 1));
  return own;
}

/* out += factor A^T x within a block, where A, or x, may have a row for each output. */
static void blend_back(Machine *m, double factor, View a, View x, View out) {
  size_t C = out.rows / a.cols;
  for (size_t c = 0; c < C; c++) {
    View table = rows_of_output(m, a, a.rows >= x.rows ? C : 1, c),
         rows = rows_of_output(m, x, x.rows >= a.rows ? C : 1, c), part = out;
    if (C > 1) part = tape_same(m->tape, view_rows(out, 0, a.cols));
    tape_product(m->tape, part, factor, table, rows, TRANSPOSE_A);
    for (size_t q = 0; q < a.cols && C > 1; q++)
      tape_copy(m->tape, view_rows(out, q * C + c, 1), 1, view_rows(part, q, 1));
  }
}

static void run_blend(Machine *m, const Op *op, View out) {
  size_t blocks = (size_t)op->blocks;
  for (size_t k = 0; k < blocks; k++) {
    View a = block_rows(m->value[op->src[0]], blocks, k),
         x = block_rows(m->value[op->src[1]], blocks, k), own = block_rows(out, blocks, k);
    if (op->transpose_a)
      blend_back(m, op->factor, a, x, own);
    else
      tape_product(m->tape, own, op->factor, a, x, AS_IS);
  }
}

static void run_sums(Machine *m, View in, View out) {
  double *ones = mem_new(in.cols, sizeof *ones);
  for (size_t k = 0; k < in.cols; k++) ones[k] = 1;
  tape_product(m->tape, out, 1, in, tape_constant(m->tape, in.cols, 1, ones), AS_IS);
  free(ones);
}

/* The field that a backward variable is blended from, by a table that flows backward; -1 for
 * others.
 */
static int blended_from(const Program *p, int variable) {
  for (int i = 0; i < p->op_count; i++)
    if (p->ops[i].dst == variable)
      return p->ops[i].kind == OP_BLEND && p->variables[p->ops[i].src[0]].backward
                 ? p->ops[i].src[1]
                 : -1;
  return -1;
}

/* What comes back to a table of pairs may vanish in the mean, but fluctuate, and then in any
 * combination of the field that it multiplies: in a run that is read backward the matrix meets all
 * of these first, so that the directions of its basis are not those of rounding. */
static void meet_blended(Machine *m, const Op *op, int root) {
  int field = m->plan.record && m->plan.hidden == &sequential ? blended_from(m->p, op->src[0]) : -1;
  if (field < 0 || !is_wide_matrix(m->p, &m->p->matrices[root])) return;
  View x = m->value[field];
  View image = tape_wide(m->tape, m->population[m->p->matrices[root].from], x.rows, false);
  sequential.apply(m, m->state[root], op->matrix, true, x, image);
}

static void run_apply(Machine *m, const Op *op, View out) {
  int root = m->p->matrices[op->matrix].weights;
  if (op->kind == OP_APPLY_T) meet_blended(m, op, root);
  machine_kind(&m->plan, root)
      ->apply(m, m->state[root], op->matrix, op->kind == OP_APPLY_T, m->value[op->src[0]], out);
}

/* Fresh vectors; those of sample paths stay, so that later noise is orthogonal to them. */
static View run_noise(Machine *m, const Op *op) {
  int space = m->p->variables[op->dst].space;
  size_t rows = rows_of(m->p, op->dst), before;
  if (!m->plan.improve) return machine_noise(m, space, rows);
  View *lead = &m->lead[space];
  if (lead->slab < 0) *lead = tape_keep(m->tape, tape_wide(m->tape, m->population[space], 0, true));
  before = lead->rows;
  View noise = *lead;
  machine_draw(m, space, &noise, rows);
  *lead = noise;
  return view_rows(*lead, before, rows);
}

static void run_fill(Machine *m, View out, double number) {
  for (size_t r = 0; r < out.rows; r++) {
    double *x = tape_data(m->tape, view_rows(out, r, 1));
    for (size_t i = 0; i < out.cols; i++) x[i] = number;
  }
}

static void run_stack(Machine *m, const Op *op, View out) {
  size_t row = 0;
  for (int k = 0; k < op->src_count; k++) {
    View part = m->value[op->src[k]];
    tape_copy(m->tape, view_rows(out, row, part.rows), 1, part);
    row += part.rows;
  }
}

/* What changes a matrix. */
static void run_change(Machine *m, const Op *op) {
  const MatrixKind *kind = machine_kind(&m->plan, op->matrix);
  if (op->kind == OP_REDRAW) {
    m->drawn[op->matrix]++;
    kind->redraw(m, m->state[op->matrix], op->matrix);
  } else if (op->kind == OP_DECAY)
    kind->decay(m, m->state[op->matrix], op->factor);
  else
    kind->take(m, m->state[op->matrix], m->value[op->src[0]], m->value[op->src[1]]);
}

static void run_constant(Machine *m, const Op *op, View out) {
  const Constant *c = &m->p->constants[op->constant];
  size_t n = c->rows * c->cols;
  size_t now = c->steps == 0 ? 0 : c->moves ? machine_move(m) : (size_t)m->t;
  if (!c->numbers) m->status = STATUS_LIMIT;
  if (!c->numbers || tape_failed(m->tape) || (c->steps && now >= c->steps)) return;
  for (size_t k = 0; k < m->times; k++)
    memcpy(tape_data(m->tape, out) + k * n, c->numbers + now * n, n * sizeof(double));
}

/* The value at t = 0: as it fluctuates, or as a known number. */
static void run_start(Machine *m, const Op *op, View out) {
  View in = m->value[op->src[0]];
  if (!m->plan.fixed_start)
    tape_copy(m->tape, out, 1, in);
  else
    memcpy(tape_data(m->tape, out), tape_data(m->tape, in), out.rows * sizeof(double));
}

static View part_of(const Op *op, View in, const Variable *dst) {
  View rows = view_rows(in, (size_t)op->first[0], (size_t)dst->rows);
  return dst->space == NO_SPACE ? view_cols(rows, (size_t)op->first[1], (size_t)dst->cols) : rows;
}

/* A row at an index that is a number; none is a row of zeros. */
static View row_of(Machine *m, const Op *op) {
  View out = new_value(m, op->dst), in = m->value[op->src[0]], index = m->value[op->src[1]];
  for (size_t k = 0; k < m->times && !tape_failed(m->tape); k++) {
    View rows = block_rows(in, m->times, k);
    double at = *tape_data(m->tape, block_rows(index, m->times, k));
    if (at >= 0 && at < (double)rows.rows && !(at > floor(at)))
      tape_copy(m->tape, block_rows(out, m->times, k), 1, view_rows(rows, (size_t)at, 1));
  }
  return out;
}

/* Part of a value, as it lies there; parts of several tables are put together. */
static View block_of(Machine *m, const Op *op) {
  if (op->src_count > 1) return row_of(m, op);
  View in = m->value[op->src[0]];
  const Variable *dst = &m->p->variables[op->dst];
  if (m->times == 1) return part_of(op, in, dst);
  View out = new_value(m, op->dst);
  for (size_t k = 0; k < m->times; k++)
    tape_copy(m->tape, block_rows(out, m->times, k), 1,
              part_of(op, block_rows(in, m->times, k), dst));
  return out;
}

static void run_mix(Machine *m, const Op *op, View out) {
  Transpose which = (op->transpose_a ? TRANSPOSE_A : AS_IS) | (op->transpose_b ? TRANSPOSE_B : 0);
  for (size_t k = 0; k < m->times; k++)
    tape_product(m->tape, block_rows(out, m->times, k), 1,
                 block_rows(m->value[op->src[0]], m->times, k),
                 block_rows(m->value[op->src[1]], m->times, k), which);
}

static void run_map(Machine *m, int i, const Op *op, View out) {
  View args[OP_MAX_ARGS + 1];
  for (int k = 0; k < op->src_count; k++) args[k] = m->value[op->src[k]];
  if (m->plan.code->known[i] >= 0) args[op->src_count] = m->value[m->plan.code->known[i]];
  tape_map(m->tape, out, m->plan.code->maps[i], args);
}

static void compute(Machine *m, int i, const Op *op, View out) {
  const View *a = &m->value[op->src[0]], *b = &m->value[op->src[1]];
  switch (op->kind) {
  case OP_APPLY:
  case OP_APPLY_T: run_apply(m, op, out); break;
  case OP_MAP: run_map(m, i, op, out); break;
  case OP_ROWS: run_rows(m, op, out); break;
  case OP_CONST: run_constant(m, op, out); break;
  case OP_MOMENT: tape_average(m->tape, out, 1, *a, *b, (size_t)op->group); break;
  case OP_AVERAGE:
    tape_average_rows(m->tape, out, op->factor, *a, op->src_count > 1 ? *b : NO_VIEW);
    break;
  case OP_GRAM: run_gram(m, op, out); break;
  case OP_BLEND: run_blend(m, op, out); break;
  case OP_SOFTMAX:
    tape_softmax(m->tape, out, *a, op->causal ? out.rows / (size_t)op->blocks : 0);
    break;
  case OP_SUMS: run_sums(m, *a, out); break;
  case OP_MIX: run_mix(m, op, out); break;
  case OP_LSE: tape_lse(m->tape, out, *a); break;
  case OP_START: run_start(m, op, out); break;
  case OP_FILL: run_fill(m, out, op->factor); break;
  case OP_CLOCK: run_fill(m, out, m->t); break;
  case OP_SHIFT: tape_shift(m->tape, out, *a, op->first[0]); break;
  case OP_STACK: run_stack(m, op, out); break;
  case OP_RESHAPE: tape_reshape(m->tape, out, *a); break;
  case OP_INPUT:
  case OP_SEED:
  case OP_WEIGH:
  case OP_BLOCK:
  case OP_NOISE:
  case OP_OUTER:
  case OP_DECAY:
  case OP_REDRAW:
  case OP_SET:
  case OP_LEARN: break;
  }
}

static void run_learn(Machine *m, const Op *op) {
  View *force = m->force;
  int uses = 0;
  for (int k = op->matrix; k < m->p->matrix_count; k++)
    if (m->p->matrices[k].weights == op->matrix && m->p->matrices[k].x >= 0)
      force[uses++] = m->value[m->p->matrices[k].force];
  const Matrix *matrix = &m->p->matrices[op->matrix];
  Instant now = {m->t, m->stage, m->p->how.parts};
  Move move = move_of(m->p, matrix, now, m->plan.gamma);
  machine_kind(&m->plan, op->matrix)->learn(m, m->state[op->matrix], &move, force, uses);
}

/* What stays from step to step is kept on the tape; of a state the former value is not. */
static void run_set(Machine *m, const Op *op) {
  View next = tape_same(m->tape, m->value[op->src[0]]);
  tape_copy(m->tape, next, 1, m->value[op->src[0]]);
  tape_drop(m->tape, m->value[op->dst]);
  m->value[op->dst] = tape_keep(m->tape, next);
}

static void run_op(Machine *m, int i) {
  const Op *op = &m->p->ops[i];
  bool known = op->kind == OP_CONST && m->p->constants[op->constant].steps == 0;
  bool first = m->t == 0 && m->stage == 0, wanted = m->stage ? m->trains[i] : m->needed[i];
  if (!wanted || ((op->once || known) && !first)) return;
  if (op->kind == OP_LEARN) {
    run_learn(m, op);
    return;
  }
  if (op->kind == OP_SET) {
    run_set(m, op);
    return;
  }
  if (is_change(op->kind)) {
    run_change(m, op);
    return;
  }
  const Variable *dst = &m->p->variables[op->dst];
  if (op->kind == OP_INPUT || op->kind == OP_SEED) return;
  if (op->kind == OP_BLOCK || op->kind == OP_NOISE) {
    View made = op->kind == OP_NOISE ? run_noise(m, op) : block_of(m, op);
    m->value[op->dst] = op->once ? tape_keep(m->tape, made) : made;
    return;
  }
  View out = op->kind == OP_CONST
                 ? tape_table(m->tape, m->times * (size_t)dst->rows, (size_t)dst->cols, true)
                 : new_value(m, op->dst);
  m->value[op->dst] = op->once || known ? tape_keep(m->tape, out) : out;
  if (!tape_failed(m->tape)) compute(m, i, op, out);
  if (m->plan.tails && m->stage == 0) tails_see(m->plan.tails, m, i);
  if (m->plan.lean) lean_add(m->plan.lean, m->plan.leaning, m, i, out);
}

/* ---- the steps ---- */

static bool go_on(Machine *m) {
  if (m->status != STATUS_OK) return false;
  if (machine_failed(m)) m->status = STATUS_LIMIT;
  if (m->plan.stop && *m->plan.stop) m->status = STATUS_INTERRUPTED;
  if (!reserve_fill()) m->status = STATUS_LIMIT;
  return m->status == STATUS_OK;
}

static void run_ops(Machine *m, int first, int end) {
  for (int i = first; i < end && go_on(m); i++) run_op(m, i);
  go_on(m);
}

/* The largest of some mean squares, or of numbers squared. */
static double largest_square(Machine *m, View x) {
  bool wide = tape_space(m->tape, x) >= 0;
  const double *numbers = tape_data(m->tape, x);
  double *squares = machine_room(m, x.rows), most = 0;
  if (wide) tape_squares(m->tape, x, squares);
  for (size_t r = 0; r < x.rows; r++) {
    for (size_t c = 0; c < x.cols && !wide; c++)
      most = fmax(most, pow(numbers[r * tape_stride(m->tape, x) + c], 2));
    if (wide) most = fmax(most, squares[r]);
  }
  return most;
}

static void measure_scale(Machine *m) {
  for (int v = 0; v < m->p->variable_count; v++) {
    View x = m->value[v];
    if (x.slab >= 0 && m->scale[v] == 0) m->scale[v] = sqrt(largest_square(m, x));
  }
}

/* True while all entries are finite and below 1e100. */
static bool is_sane(const Machine *m, int variable) {
  View x = m->value[variable];
  const double *f = tape_data(m->tape, x);
  size_t stride = tape_stride(m->tape, x);
  for (size_t i = 0; i < x.rows * x.cols; i++)
    if (!(fabs(f[i / x.cols * stride + i % x.cols]) < 1e100)) return false;
  return true;
}

/* The largest tangent kernel of a point; 0 where it is not known, or cannot change the kernels. */
static double largest_kernel(const Machine *m) {
  const ProgramObservable *ntk = program_observable(m->p, FIELD_NTK, 0);
  View K = ntk ? m->value[ntk->variable] : NO_VIEW;
  double most = 0;
  if (K.slab < 0 || m->p->how.lazy) return 0;
  for (size_t a = 0; a < K.rows; a++)
    most = fmax(most, tape_data(m->tape, K)[a * tape_stride(m->tape, K) + a]);
  return most;
}

/* Of a system whether all that is observed, and all states, are numbers. */
static void judge_system(Machine *m) {
  const System *s = m->p->system;
  for (int i = 0; i < s->field_count; i++)
    if (!is_sane(m, s->fields[i].variable)) m->status = STATUS_NUMERICS;
}

/* STATUS_NUMERICS when training has diverged (see DIVERGED). */
static void judge(Machine *m) {
  if (m->p->system) {
    judge_system(m);
    return;
  }
  int variable = program_observable(m->p, FIELD_LOSS, 0)->variable;
  double loss = *tape_data(m->tape, m->value[variable]);
  if (m->t == 0) {
    double move = m->plan.gamma > LAZY_GAMMA ? largest_kernel(m) / m->plan.gamma : 0;
    m->limit = loss > 0 ? DIVERGED * loss * (1 + move * move) : INFINITY;
  }
  if (!is_sane(m, m->p->f) || !(loss <= m->limit)) m->status = STATUS_NUMERICS;
}

static void remember(Machine *m) {
  m->mark[m->t] = tape_mark(m->tape);
  for (int v = 0; v < m->p->variable_count; v++)
    if (m->past[v]) m->past[v][m->t] = m->value[v];
}

/* What is recorded of a step: all that its first stage met. */
static void measure(Machine *m) {
  judge(m);
  if (m->status != STATUS_OK) return;
  if (m->t == 0 || m->plan.sizes) measure_scale(m);
  remember(m);
  bool fine = !m->plan.observe || m->plan.observe(m->plan.sink, m, m->t);
  if (!fine && m->status == STATUS_OK) m->status = STATUS_INTERRUPTED;
}

size_t machine_moves(const Program *p) {
  return p->problem ? (size_t)(p->problem->steps * stages_of(p, p->how.parts)) : 0;
}

size_t machine_move(const Machine *m) {
  return (size_t)(m->t * stages_of(m->p, m->p->how.parts) + m->stage);
}

/* Where the ops of a step begin: the first step of a system has its start before it. */
static int first_op(const Machine *m) { return m->t > 0 ? m->p->start_count : 0; }

/* The moves of a step; the last step has none, and is only measured. */
static void run_step(Machine *m) {
  bool last = m->t == m->plan.steps;
  int stages = last ? 1 : stages_of(m->p, m->p->how.parts);
  for (m->stage = 0; m->stage < stages && m->status == STATUS_OK; m->stage++) {
    run_ops(m, first_op(m), m->p->train_first);
    if (m->stage == 0 && m->status == STATUS_OK) measure(m);
    if (last || m->status != STATUS_OK) return;
    run_ops(m, m->p->train_first, m->p->op_count);
    tape_sweep(m->tape);
  }
}

/* ---- the whole ---- */

/* Of matrices between populations: as they move, among sample paths and in networks. */
static const MatrixKind *kind_that_moves(const MachinePlan *plan, const Matrix *m) {
  const Program *p = plan->program;
  bool paths = plan->hidden == &sequential,
       networks = plan->hidden == &dense || plan->hidden == &dense_single;
  if (p->system || (!paths && !networks)) return plan->hidden;
  if (moves_by_entries(p, m)) return paths ? &entrywise_paths : &entrywise_dense;
  return networks && update_for(p, m)->polar.on ? &entrywise_dense : plan->hidden;
}

const MatrixKind *machine_kind(const MachinePlan *plan, int matrix) {
  const Matrix *m = &plan->program->matrices[matrix];
  if (m->symmetric && plan->hidden == &sequential) return &mirrored;
  if (!is_wide_matrix(plan->program, m)) return &boundary;
  return kind_that_moves(plan, m);
}

size_t machine_columns(size_t columns, double ratio) {
  long long n = llround(ratio * (double)columns);
  return n > 1 ? (size_t)n : 1;
}

static TapeSpace population_of(const MachinePlan *plan, int space) {
  double ratio = plan->program->spaces[space].ratio;
  size_t passive = plan->frame ? framed_passive(plan->frame, space) : 0;
  return (TapeSpace){machine_columns(plan->columns, plan->sized ? ratio : 1) + passive, ratio,
                     passive};
}

/* Remembers a variable at all times, when recording. */
static void keep_past(Machine *m, int variable) {
  View **past = &m->past[variable];
  if (m->plan.record && !*past) *past = mem_new((size_t)m->plan.steps + 1, sizeof **past);
}

static void prepare(Machine *m) {
  const Program *p = m->p;
  size_t variables = (size_t)p->variable_count + 1, spaces = (size_t)p->space_count + 1;
  TapeSpace *populations = mem_new(spaces, sizeof *populations);
  int count = 0;
  m->population = mem_new(spaces, sizeof *m->population);
  for (int s = 0; s < p->space_count; s++) {
    m->population[s] = is_wide(p, s) ? count : -1;
    if (is_wide(p, s)) populations[count++] = population_of(&m->plan, s);
  }
  m->tape = tape_new(populations, count, m->plan.weights, m->plan.noise.kind == NOISE_COORDINATES,
                     m->plan.record);
  free(populations);
  m->value = mem_new(variables, sizeof *m->value);
  for (int v = 0; v < p->variable_count; v++) m->value[v] = NO_VIEW;
  m->past = mem_new(variables, sizeof *m->past);
  for (int i = 0; i < p->observable_count; i++) keep_past(m, p->observables[i].variable);
  for (int i = 0; p->system && i < p->system->field_count; i++)
    keep_past(m, p->system->fields[i].variable), keep_past(m, p->system->fields[i].other);
  for (int k = 0; k < p->matrix_count; k++)
    if (p->matrices[k].x >= 0) {
      keep_past(m, p->matrices[k].features);
      keep_past(m, p->matrices[k].y);
    }
  m->mark = mem_new((size_t)m->plan.steps + 1, sizeof *m->mark);
  m->state = mem_new((size_t)p->matrix_count + 1, sizeof *m->state);
  m->force = mem_new((size_t)p->matrix_count + 1, sizeof *m->force);
  m->blocks = mem_new((size_t)(MOST_BLOCKS * p->matrix_count + 2), sizeof *m->blocks);
  m->start = mem_new((size_t)p->matrix_count + 1, sizeof *m->start);
  m->noise_count = mem_new(spaces, sizeof *m->noise_count);
  m->drawn = mem_new((size_t)p->matrix_count + 1, sizeof *m->drawn);
  m->lead = mem_new(spaces, sizeof *m->lead);
  for (int s = 0; s < p->space_count; s++) m->lead[s] = NO_VIEW;
  m->scale = mem_new(variables, sizeof *m->scale);
  m->needed = mem_new((size_t)p->op_count + 1, sizeof *m->needed);
  m->trains = mem_new((size_t)p->op_count + 1, sizeof *m->trains);
  find_needed(m);
}

/* The points of the sequence are made by who runs it, and may have had no memory. */
static void check_points(Machine *m) {
  const NoiseSource *noise = &m->plan.noise;
  if (noise->kind == NOISE_SOBOL && !noise->sobol) m->status = STATUS_LIMIT;
}

static void begin_matrices(Machine *m) {
  for (int k = 0; k < m->p->matrix_count && m->status == STATUS_OK; k++) {
    if (m->p->matrices[k].weights != k) continue;
    m->state[k] = machine_kind(&m->plan, k)->begin(m, k);
    if (m->status == STATUS_OK && (!m->state[k] || m->exhausted || tape_failed(m->tape)))
      m->status = STATUS_LIMIT;
  }
}

void machine_start(const MachinePlan *plan, Machine *m) {
  *m = (Machine){.plan = *plan, .p = plan->program, .times = 1, .status = STATUS_OK};
  prepare(m);
  check_points(m);
  begin_matrices(m);
}

Status machine_run(const MachinePlan *plan, Machine *m, int *failed_at) {
  *failed_at = 0;
  machine_start(plan, m);
  for (m->t = 0; m->t <= plan->steps && m->status == STATUS_OK; m->t++) {
    if (plan->pause) plan->pause(plan->sink, m);
    *failed_at = m->t;
    if (m->status == STATUS_OK) run_step(m);
  }
  Status status = m->status;
  if (m->exhausted) *failed_at = -1;
  int rank = m->rank;
  if (status != STATUS_OK) machine_free(m);
  m->rank = rank;
  return status;
}

void machine_free(Machine *m) {
  const Program *p = m->p;
  if (!p) return;
  for (int k = 0; k < p->matrix_count; k++)
    if (m->state && m->state[k]) machine_kind(&m->plan, k)->end(m->state[k]);
  for (int v = 0; v < p->variable_count && m->past; v++) free(m->past[v]);
  free(m->past);
  free(m->value);
  free(m->mark);
  free(m->state);
  free(m->start);
  free(m->population);
  free(m->noise_count);
  free(m->drawn);
  free(m->lead);
  free(m->force);
  free(m->blocks);
  free(m->room);
  free(m->scale);
  free(m->needed);
  free(m->trains);
  tape_free(m->tape);
  *m = (Machine){.status = STATUS_OK};
}

/* ---- the state of a run ---- */

bool machine_shows(const Machine *m) {
  bool all = !m->plan.record && !m->plan.axes && !m->plan.frame;
  for (int k = 0; k < m->p->matrix_count; k++)
    all = all && (!m->state[k] || machine_kind(&m->plan, k)->pieces);
  return all;
}

void machine_pieces(Machine *m, Piece *piece, void *sink) {
  size_t variables = (size_t)m->p->variable_count, spaces = (size_t)m->p->space_count,
         matrices = (size_t)m->p->matrix_count;
  if (m->t == 0) tape_empty(m->tape);
  tape_pieces(m->tape, piece, sink);
  piece(sink, &m->t, sizeof m->t);
  piece(sink, &m->rank, sizeof m->rank);
  piece(sink, &m->limit, sizeof m->limit);
  piece(sink, &m->flops, sizeof m->flops);
  views_pieces(m->value, variables, piece, sink);
  views_pieces(m->lead, spaces, piece, sink);
  piece(sink, m->noise_count, spaces * sizeof *m->noise_count);
  piece(sink, m->drawn, matrices * sizeof *m->drawn);
  piece(sink, m->scale, variables * sizeof *m->scale);
  piece(sink, m->start, matrices * sizeof *m->start);
  for (int k = 0; k < m->p->matrix_count; k++)
    if (m->state[k]) machine_kind(&m->plan, k)->pieces(m, m->state[k], piece, sink);
}

/* ---- values from values ---- */

void machine_function(Machine *m, const Program *p, const MachineCode *code, int given, int wanted,
                      size_t times) {
  *m = (Machine){.plan = {.program = p, .code = code}, .p = p, .times = times, .status = STATUS_OK};
  m->tape = tape_new(NULL, 0, NULL, false, false);
  m->value = mem_new((size_t)p->variable_count + 1, sizeof *m->value);
  m->needed = mem_new((size_t)p->op_count + 1, sizeof *m->needed);
  for (int v = 0; v < p->variable_count; v++) m->value[v] = NO_VIEW;
  bool *read = mem_new((size_t)p->variable_count + 1, sizeof *read);
  read[wanted] = true;
  for (int i = p->op_count - 1; i >= 0; i--) {
    const Op *op = &p->ops[i];
    if (op->kind == OP_LEARN || op->dst == given || !read[op->dst]) continue;
    m->needed[i] = true;
    for (int k = 0; k < op->src_count; k++) read[op->src[k]] = true;
  }
  free(read);
  m->value[given] = tape_keep(m->tape, tape_table(m->tape, times * rows_of(p, given),
                                                  (size_t)p->variables[given].cols, true));
}

void machine_call(Machine *m, int given, const double *numbers, int wanted, double *out) {
  View x = m->value[given];
  if (!tape_failed(m->tape))
    memcpy(tape_data(m->tape, x), numbers, x.rows * x.cols * sizeof *numbers);
  for (int i = 0; i < m->p->train_first; i++)
    if (m->needed[i]) run_op(m, i);
  if (!tape_failed(m->tape)) machine_read(m, wanted, out);
  tape_sweep(m->tape);
  m->stage = 0;
  m->t = 1; /* known numbers are there */
}

bool machine_failed(const Machine *m) {
  return m->exhausted || m->status == STATUS_LIMIT || (m->tape && tape_failed(m->tape));
}

void machine_read(const Machine *m, int variable, double *out) {
  View x = m->value[variable];
  const double *from = tape_data(m->tape, x);
  size_t stride = tape_stride(m->tape, x), together = stride == x.cols ? x.rows : 1;
  for (size_t r = 0; r < x.rows; r += together)
    memcpy(out + r * x.cols, from + r * stride, together * x.cols * sizeof *out);
}

double machine_bytes(const MachinePlan *plan, size_t steps) {
  const Program *p = plan->program;
  double S = (double)plan->columns, ld = (double)mat_stride(plan->columns), doubles = 0,
         T = (double)steps * stages_of(p, p->how.parts);
  for (int v = 0; v < p->variable_count; v++) {
    bool wide = is_wide(p, p->variables[v].space);
    double own = (double)rows_of(p, v) * (wide ? ld : p->variables[v].cols);
    doubles += own * (plan->record ? T : 1);
  }
  for (int i = 0; i < p->op_count && p->problem && plan->improve; i++)
    if (p->ops[i].kind == OP_NOISE) doubles += T * S * (double)rows_of(p, p->ops[i].dst);
  double bytes = 8 * doubles;
  for (int k = 0; k < p->matrix_count; k++)
    if (p->matrices[k].weights == k) bytes += machine_kind(plan, k)->bytes(plan, k, S, T);
  return bytes;
}
