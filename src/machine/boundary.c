/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A matrix that meets finitely many known vectors: from the inputs, of which only inner products
 * are known, to the outputs, or of a bias. It is the table of their images, which start as sigma F
 * n with F F^T the inner products, readouts with their mean added, and take up what is learned.
 * Under an entrywise optimizer the
 * table is what is left of the start, and what the learned entries E [S, D], or [C, S], make of the
 * vectors themselves. */
#include "base/memory.h"
#include "machine/entries.h"
#include "machine/machine.h"
#include "num/linalg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Boundary {
  const Matrix *matrix;
  bool input;           /* from the inputs, rather than to the outputs */
  int space;            /* the population of the images */
  View table, velocity; /* [vectors, S] */
  View average;         /* of the table over the steps, or none */
  View root;            /* F [vectors, rank], constant */
  View noise;           /* n [rank, S] */
  View gram;            /* [vectors, P A C]: inner products with the trained vectors, one for each
                           output; or none, where there are fewer directions than vectors */
  View trained;         /* [P A C, rank]: then, rows of F for the trained vectors */
  Entries *e;           /* learned ones, or NULL */
  double *ones;         /* the vectors that a bias meets */
  View start;           /* their table at the start */
  double share;         /* what decay has left of it */
} Boundary;

static View gram_table(Machine *m, const Matrix *matrix) {
  const Program *p = m->p;
  const double *gram = gram_of(p, matrix);
  size_t vectors = thin_vectors(p, matrix), batch = training_rows(p, matrix),
         C = sizes_of(p).outputs;
  double *numbers = mem_new(vectors * batch, sizeof *numbers);
  for (size_t i = 0; i < vectors * batch; i++)
    numbers[i] = gram ? gram[i / batch * vectors + i % batch / C] : 1;
  View view = tape_keep(m->tape, tape_constant(m->tape, vectors, batch, numbers));
  free(numbers);
  return view;
}

/* F, of its full size in the blocks of `vectors` columns that thin_root fills. */
static View root_table(Machine *m, const Matrix *matrix) {
  size_t vectors = thin_vectors(m->p, matrix);
  double *root = mem_new(vectors * vectors, sizeof *root);
  int rank = thin_root(m->p, matrix, root);
  if (rank < 0) m->status = rank == MAT_STARVED ? STATUS_LIMIT : STATUS_NUMERICS;
  View view = tape_keep(m->tape, tape_constant(m->tape, vectors, vectors, root));
  free(root);
  return view_cols(view, 0, rank < 0 ? 0 : (size_t)rank);
}

/* Rows of F for the trained vectors, one for each output. */
static View trained_table(Machine *m, const Boundary *b) {
  size_t rank = b->root.cols, batch = training_rows(m->p, b->matrix), C = sizes_of(m->p).outputs;
  double *rows = mem_new(batch * rank + 1, sizeof *rows);
  for (size_t i = 0; i < batch; i++)
    memcpy(rows + i * rank, tape_data(m->tape, view_rows(b->root, i / C, 1)), rank * sizeof *rows);
  View view = tape_keep(m->tape, tape_constant(m->tape, batch, rank, rows));
  free(rows);
  return view;
}

/* Whether two products by F cost less than one by F F^T. */
static bool is_short(const Program *p, const Matrix *matrix, size_t rank) {
  size_t vectors = thin_vectors(p, matrix), batch = training_rows(p, matrix);
  return rank * (vectors + batch) < vectors * batch;
}

static void end(void *state) {
  Boundary *b = state;
  if (b->e) entries_free(b->e);
  free(b->e);
  free(b->ones);
  free(b);
}

/* The learned entries, from the inputs [S, D], or to the outputs [C, S]; false without memory. */
static bool begin_entries(Machine *m, Boundary *b) {
  size_t S = tape_columns(m->tape, m->population[b->space]), D,
         rows = thin_vectors(m->p, b->matrix);
  vectors_of(m->p, b->matrix, &D);
  b->ones = mem_block(rows);
  for (size_t i = 0; b->ones && i < rows; i++) b->ones[i] = 1;
  b->e = mem_new(1, sizeof *b->e);
  return (b->input ? entries_new(b->e, S, D, false) : entries_new(b->e, b->table.rows, S, false)) &&
         b->ones;
}

/* table += mean, everywhere */
static void add_mean(Machine *m, const Boundary *b) {
  View ones = tape_wide(m->tape, m->population[b->space], b->table.rows, false);
  if (tape_failed(m->tape)) return;
  double *one = tape_data(m->tape, ones);
  for (size_t i = 0; i < ones.rows * ones.cols; i++) one[i] = 1;
  tape_copy(m->tape, b->table, b->matrix->mean, ones);
}

static void *begin(Machine *m, int k) {
  const Program *p = m->p;
  const Matrix *matrix = &p->matrices[k];
  bool input = is_wide(p, matrix->to);
  int space = input ? matrix->to : matrix->from, population = m->population[space];
  Boundary *b = mem_new(1, sizeof *b);
  *b = (Boundary){.matrix = matrix,
                  .input = input,
                  .space = space,
                  .velocity = NO_VIEW,
                  .average = NO_VIEW,
                  .root = root_table(m, matrix),
                  .gram = NO_VIEW,
                  .trained = NO_VIEW,
                  .share = 1};
  bool entrywise = moves_by_entries(p, matrix) && matrix->rate != 0;
  if (input && matrix->rate != 0 && !entrywise && m->status == STATUS_OK && !tape_failed(m->tape)) {
    if (is_short(p, matrix, b->root.cols))
      b->trained = trained_table(m, b);
    else
      b->gram = gram_table(m, matrix);
  }
  b->table = tape_keep(m->tape, tape_wide(m->tape, population, thin_vectors(p, matrix), false));
  b->noise = tape_keep(m->tape, machine_noise(m, space, b->root.cols));
  if (m->status == STATUS_OK && !m->exhausted)
    tape_product(m->tape, b->table, matrix->sigma, b->root, b->noise, AS_IS);
  if (fabs(matrix->mean) > 0) add_mean(m, b);
  b->start = b->table;
  if (p->update.average > 0 && matrix->rate != 0) {
    b->average = tape_keep(m->tape, tape_same(m->tape, b->table));
    tape_copy(m->tape, b->average, 1, b->table);
  }
  if (!entrywise || begin_entries(m, b)) return b;
  end(b);
  return NULL;
}

/* Fields of the inputs, f = w . x / (gamma N_L), or N / N_L times the readout weights. */
static void apply(Machine *m, void *state, int use, bool back, View x, View out) {
  const Boundary *b = state;
  Tape *tape = m->tape;
  View table = m->p->matrices[use].averaged && b->average.slab >= 0 ? b->average : b->table;
  if (b->input) {
    tape_copy(tape, out, 1, table);
  } else if (back) {
    tape_copy(tape, out, 1 / m->p->spaces[b->space].ratio, table);
  } else {
    View f = tape_table(tape, x.rows, table.rows, false);
    tape_average(tape, f, 1 / m->plan.gamma, x, table, 1);
    tape_reshape(tape, out, f);
  }
}

/* table += rate F (force F_trained)^T y */
static void take_up_by_root(Machine *m, const Boundary *b, double rate, View force, View table) {
  Tape *tape = m->tape;
  View y = view_rows(m->value[b->matrix->learns], 0, force.rows),
       weighted = tape_same(tape, view_rows(b->trained, 0, force.rows)),
       along = tape_wide(tape, m->population[b->space], b->trained.cols, false);
  tape_map(tape, weighted, m->plan.code->times,
           (View[]){view_rows(b->trained, 0, force.rows), force});
  tape_product(tape, along, 1, weighted, y, TRANSPOSE_A);
  tape_product(tape, table, rate, b->root, along, AS_IS);
}

/* table += rate O: images of inputs take up Gram-weighted y, readouts the features. */
static void take_up(Machine *m, const Boundary *b, double rate, View force, View table) {
  Tape *tape = m->tape;
  size_t C = b->table.rows, batch = force.rows;
  if (b->trained.slab >= 0) {
    take_up_by_root(m, b, rate, force, table);
  } else if (b->input) {
    View row = tape_table(tape, 1, batch, false),
         mixing = tape_table(tape, b->gram.rows, batch, false);
    tape_reshape(tape, row, force);
    tape_map(tape, mixing, m->plan.code->times, (View[]){b->gram, row});
    tape_product(tape, table, rate, mixing, view_rows(m->value[b->matrix->learns], 0, batch),
                 AS_IS);
  } else {
    View square = tape_table(tape, batch / C, C, false);
    tape_reshape(tape, square, force);
    tape_product(tape, table, rate / m->p->spaces[b->space].ratio, square,
                 view_rows(m->value[b->matrix->x], 0, batch / C), TRANSPOSE_A);
  }
}

/* sum_c force_{mu c} g_{mu c} for inputs, [rows, S]; force / r for outputs, [P, C]. */
static double *weighted(const Machine *m, const Boundary *b, View force) {
  size_t C = sizes_of(m->p).outputs, S = b->table.cols;
  const double *f = tape_data(m->tape, force);
  double *y = mem_block(b->input ? force.rows / C * S : force.rows);
  if (!y) return NULL;
  if (!b->input) {
    axpy(force.rows, 1 / m->p->spaces[b->space].ratio, f, y);
    return y;
  }
  for (size_t k = 0; k < force.rows; k++)
    axpy(S, f[k], tape_data(m->tape, view_rows(m->value[b->matrix->learns], k, 1)), y + k / C * S);
  return y;
}

/* E <- keep E + pull psi, over D for the inputs; and the table that they then make. */
static void learn_entries(Machine *m, Boundary *b, const Move *move, View force) {
  size_t D, rows = force.rows / sizes_of(m->p).outputs, S = b->table.cols, ldx, ld;
  const double *x = vectors_of(m->p, b->matrix, &D);
  ldx = b->input ? D : tape_stride(m->tape, m->value[b->matrix->x]);
  if (tape_failed(m->tape)) return;
  if (!x) x = b->ones;
  double *y = weighted(m, b, force);
  if (!b->input) x = tape_data(m->tape, m->value[b->matrix->x]);
  if (!y) {
    m->status = STATUS_LIMIT;
    return;
  }
  Outer products = {y, x, rows, b->input ? S : b->table.rows, ldx};
  m->flops +=
      entries_learn(b->e, move, b->input ? move->pull / (double)D : move->pull, &products, 1, NULL);
  free(y);
  b->share *= move->keep;
  View next = tape_keep(m->tape, tape_same(m->tape, b->table));
  if (b->table.slab != b->start.slab) tape_drop(m->tape, b->table);
  b->table = next;
  if (tape_failed(m->tape)) return;
  double *table = tape_data(m->tape, next);
  ld = tape_stride(m->tape, next);
  axpy(next.rows * ld, b->share, tape_data(m->tape, b->start), table);
  if (b->input)
    mat_mul_bt(next.rows, S, D, 1, x, D, b->e->w, D, 1, table, ld);
  else
    for (size_t c = 0; c < next.rows; c++) axpy(S, 1, b->e->w + c * S, table + c * ld);
}

/* table += noise times what a matrix of independent entries makes of the vectors. */
static void shake(Machine *m, const Boundary *b, double noise, View table) {
  View n = machine_noise(m, b->space, b->root.cols);
  if (!m->exhausted) tape_product(m->tape, table, noise, b->root, n, AS_IS);
}

static void learn_itself(Machine *m, Boundary *b, const Move *move, const View *force) {
  if (b->e) {
    learn_entries(m, b, move, *force);
    return;
  }
  if (move_remembers(move)) {
    if (b->velocity.slab < 0) b->velocity = tape_keep(m->tape, tape_same(m->tape, b->table));
    b->velocity = machine_move_on(m, b->velocity, move->beta, b->table, -move->drag);
    if (move->kick > 0) shake(m, b, move->kick, b->velocity);
    take_up(m, b, 1, *force, b->velocity);
  }
  b->table = machine_move_on(m, b->table, move->keep, b->velocity, move->push);
  if (move->pull != 0) take_up(m, b, move->pull, *force, b->table);
  if (move->noise > 0) shake(m, b, move->noise, b->table);
}

static void learn(Machine *m, void *state, const Move *move, const View *force, int uses) {
  Boundary *b = state;
  (void)uses;
  learn_itself(m, b, move, force);
  if (move->average < 1)
    b->average = machine_move_on(m, b->average, move->average, b->table, 1 - move->average);
}

static int blocks(const Machine *m, const void *state, int space, NoiseBlock *out) {
  const Boundary *b = state;
  if (b->space != space || !b->noise.rows) return 0;
  *out = (NoiseBlock){tape_data(m->tape, b->noise), (int)b->noise.rows};
  return 1;
}

static double bytes(const Program *p, int matrix, double S, double steps, bool record) {
  double vectors = (double)thin_vectors(p, &p->matrices[matrix]);
  size_t D;
  vectors_of(p, &p->matrices[matrix], &D);
  if (moves_by_entries(p, &p->matrices[matrix])) vectors += fmax((double)D, vectors) * 3 / 2;
  if (p->update.average > 0) vectors *= 3. / 2;
  return 8 * (vectors * (vectors + 2 * S) + (record ? steps : 1) * 2 * vectors * S);
}

View boundary_table(const Machine *m, int matrix) {
  return ((const Boundary *)m->state[matrix])->table;
}

const MatrixKind boundary = {"boundary", begin, apply, learn, blocks, end, bytes, NULL, NULL, NULL};
