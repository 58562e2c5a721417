/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A matrix that meets finitely many known vectors: from the inputs, of which only inner products
 * are known, to the outputs, or of a bias. It is the table of their images, which start as sigma F
 * n with F F^T the inner products, readouts with their mean added, and take up what is learned.
 * Entries that are not normal make of the vectors themselves what their law says.
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
  View units;           /* [vectors, C]: inner products with those of a tied readout, or none */
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
  double *numbers = mem_try(vectors * batch, sizeof *numbers);
  for (size_t i = 0; numbers && i < vectors * batch; i++)
    numbers[i] = gram ? gram[i / batch * vectors + i % batch / C] : 1;
  View view = tape_keep(m->tape, tape_constant(m->tape, vectors, batch, numbers));
  free(numbers);
  return view;
}

static View unit_table(Machine *m, const Matrix *matrix) {
  const double *gram = gram_of(m->p, matrix);
  size_t vectors = thin_vectors(m->p, matrix), C = (size_t)m->p->spaces[matrix->from].units;
  double *numbers = mem_try(vectors * C, sizeof *numbers);
  for (size_t i = 0; numbers && i < vectors * C; i++)
    numbers[i] = gram[i / C * vectors + (vectors - C) + i % C];
  View view = tape_keep(m->tape, tape_constant(m->tape, vectors, C, numbers));
  free(numbers);
  return view;
}

/* F, of its full size in the blocks of `vectors` columns that thin_root fills. */
static View root_table(Machine *m, const Matrix *matrix) {
  size_t vectors = thin_vectors(m->p, matrix);
  double *root = mem_try(vectors * vectors, sizeof *root);
  int rank = root ? thin_root(m->p, matrix, root) : MAT_STARVED;
  if (rank < 0) m->status = mat_status(rank);
  View view = tape_keep(m->tape, tape_constant(m->tape, vectors, vectors, root));
  free(root);
  return view_cols(view, 0, rank < 0 ? 0 : (size_t)rank);
}

/* Rows of F for the trained vectors, one for each output. */
static View trained_table(Machine *m, const Boundary *b) {
  size_t rank = b->root.cols, batch = training_rows(m->p, b->matrix), C = sizes_of(m->p).outputs;
  double *rows = mem_try(batch * rank + 1, sizeof *rows);
  for (size_t i = 0; rows && i < batch; i++)
    memcpy(rows + i * rank, tape_data(m->tape, view_rows(b->root, i / C, 1)), rank * sizeof *rows);
  View view = tape_keep(m->tape, tape_constant(m->tape, batch, rank, rows));
  free(rows);
  return view;
}

/* Whether two products by F, which is a root of the inner products that it learns with, cost less
 * than one by F F^T. */
static bool is_short(const Program *p, const Matrix *matrix, size_t rank) {
  if (matrix->start) return false;
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

/* The vectors themselves over sqrt(D), [vectors, D]: what entries of a law of their own make a sum
 * with; those of the outputs, and of a bias, are unit vectors as F is. */
static View vectors_table(Machine *m, const Matrix *matrix, View root) {
  size_t D, rows = thin_vectors(m->p, matrix);
  const double *x = is_wide(m->p, matrix->to) ? vectors_of(m->p, matrix, &D) : NULL;
  if (!x) return root;
  double *numbers = mem_try(rows * D, sizeof *numbers);
  if (numbers) axpy(rows * D, 1 / sqrt((double)D), x, numbers);
  View view = tape_keep(m->tape, tape_constant(m->tape, rows, D, numbers));
  free(numbers);
  return view;
}

/* Of these entries numbers of the law of the matrix, as a block of its own. */
static View of_law(Machine *m, const Matrix *matrix, View noise) {
  View made = tape_keep(m->tape, tape_wide(m->tape, tape_space(m->tape, noise), noise.rows, true));
  size_t S = noise.cols;
  for (size_t i = 0; i < noise.rows && !tape_failed(m->tape); i++) {
    double *row = tape_data(m->tape, view_rows(made, i, 1));
    memcpy(row, tape_data(m->tape, view_rows(noise, i, 1)), S * sizeof *row);
    noise_of_law(matrix->law, S, row);
  }
  return made;
}

/* table += sigma times what the initial entries make of the vectors. */
static void start_table(Machine *m, Boundary *b) {
  const Matrix *matrix = b->matrix;
  View root = matrix->law == LAW_NORMAL ? b->root : vectors_table(m, matrix, b->root);
  b->noise = tape_keep(m->tape, machine_noise(m, b->space, root.cols));
  if (m->status != STATUS_OK || m->exhausted || tape_failed(m->tape)) return;
  View noise = matrix->law == LAW_NORMAL ? b->noise : of_law(m, matrix, b->noise);
  tape_product(m->tape, b->table, matrix->sigma, root, noise, AS_IS);
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
                  .units = NO_VIEW,
                  .share = 1};
  bool entrywise = moves_by_entries(p, matrix) && matrix->rate != 0;
  if (input && matrix->rate != 0 && !entrywise && m->status == STATUS_OK && !tape_failed(m->tape)) {
    if (is_short(p, matrix, b->root.cols))
      b->trained = trained_table(m, b);
    else
      b->gram = gram_table(m, matrix);
    if (p->spaces[matrix->from].units) b->units = unit_table(m, matrix);
  }
  b->table = tape_keep(m->tape, tape_wide(m->tape, population, thin_vectors(p, matrix), false));
  start_table(m, b);
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

/* Images of the vectors that it meets, or those that go to the outputs, the last. */
View boundary_rows(const Machine *m, int number) {
  const Matrix *use = &m->p->matrices[number];
  const Boundary *b = m->state[use->weights];
  View table = use->averaged && b->average.slab >= 0 ? b->average : b->table;
  size_t C = sizes_of(m->p).outputs;
  if (is_wide(m->p, use->to))
    return view_rows(table, 0, rows_of(m->p, m->p->matrices[use->weights].x));
  return view_rows(table, table.rows - C, C);
}

/* Fields of the inputs, f = w . x / (gamma N_L), or N / N_L times the readout weights. */
static void apply(Machine *m, void *state, int use, bool back, View x, View out) {
  const Boundary *b = state;
  const Matrix *matrix = &m->p->matrices[use];
  Tape *tape = m->tape;
  View table = boundary_rows(m, use);
  if (is_wide(m->p, matrix->to)) {
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
static void take_up_by_root(Machine *m, const Boundary *b, double rate, View force, View y,
                            View table) {
  Tape *tape = m->tape;
  View trained = view_rows(b->trained, 0, force.rows), weighted = tape_same(tape, trained),
       along = tape_wide(tape, m->population[b->space], b->trained.cols, false);
  tape_map(tape, weighted, m->plan.code->times, (View[]){trained, force});
  tape_product(tape, along, 1, weighted, y, TRANSPOSE_A);
  tape_product(tape, table, rate, b->root, along, AS_IS);
}

/* table += rate O of a use: images of inputs take up Gram-weighted y. */
static void take_up_inputs(Machine *m, const Boundary *b, double rate, View force, View y,
                           View table) {
  Tape *tape = m->tape;
  size_t batch = force.rows;
  if (b->trained.slab >= 0) {
    take_up_by_root(m, b, rate, force, y, table);
    return;
  }
  View row = tape_table(tape, 1, batch, false),
       mixing = tape_table(tape, b->gram.rows, batch, false);
  tape_reshape(tape, row, force);
  tape_map(tape, mixing, m->plan.code->times, (View[]){b->gram, row});
  tape_product(tape, table, rate, mixing, y, AS_IS);
}

/* Readouts take up the features, and so do images of inputs where their unit vectors are tied. */
static void take_up_features(Machine *m, const Boundary *b, double rate, View force, View x,
                             View table) {
  Tape *tape = m->tape;
  size_t C = sizes_of(m->p).outputs, rows = force.rows / C;
  View square = tape_table(tape, rows, C, false);
  tape_reshape(tape, square, force);
  rate /= m->p->spaces[b->space].ratio;
  if (!b->input) {
    tape_product(tape, table, rate, square, x, TRANSPOSE_A);
    return;
  }
  View mixing = tape_table(tape, b->units.rows, rows, false);
  tape_product(tape, mixing, 1, b->units, square, TRANSPOSE_B);
  tape_product(tape, table, rate, mixing, x, AS_IS);
}

/* table += rate O, summed over the uses. */
static void take_up(Machine *m, const Boundary *b, double rate, const View *force, View table) {
  const Program *p = m->p;
  size_t C = sizes_of(p).outputs;
  for (int use = b->matrix->weights, k = 0; use < p->matrix_count; use++) {
    const Matrix *matrix = &p->matrices[use];
    if (matrix->weights != b->matrix->weights || matrix->x < 0) continue;
    View f = force[k++];
    if (is_wide(p, matrix->to))
      take_up_inputs(m, b, rate, f, view_rows(m->value[matrix->learns], 0, f.rows), table);
    else
      take_up_features(m, b, rate, f, view_rows(m->value[matrix->x], 0, f.rows / C), table);
  }
}

/* What a use adds to O of learned entries [to, from], y x^T: of inputs y = sum_c force_{mu c}
 * g_{mu c} with the vectors, of a readout force / r with the features, and of a tied one the sum
 * of the features times these, with the unit vectors. `y` is to be freed; NULL without memory. */
static double *weighted_fields(const Machine *m, const Boundary *b, const Matrix *use, View force) {
  size_t C = sizes_of(m->p).outputs, S = b->table.cols;
  double *y = mem_block(force.rows / C * S);
  for (size_t k = 0; y && k < force.rows; k++)
    axpy(S, *tape_data(m->tape, view_rows(force, k, 1)),
         tape_data(m->tape, view_rows(m->value[use->learns], k, 1)), y + k / C * S);
  return y;
}

static double *weighted_features(const Machine *m, const Boundary *b, const Matrix *use,
                                 View force) {
  size_t C = sizes_of(m->p).outputs, S = b->table.cols;
  double *y = mem_block(C * S), share = 1 / m->p->spaces[b->space].ratio;
  for (size_t k = 0; y && k < force.rows; k++)
    axpy(S, share * *tape_data(m->tape, view_rows(force, k, 1)),
         tape_data(m->tape, view_rows(m->value[use->x], k / C, 1)), y + k % C * S);
  return y;
}

static Outer outer_of(const Machine *m, const Boundary *b, const Matrix *use, View force) {
  size_t D, C = sizes_of(m->p).outputs, S = b->table.cols;
  const double *x = vectors_of(m->p, b->matrix, &D);
  if (b->input && is_wide(m->p, use->to))
    return (Outer){weighted_fields(m, b, use, force), x ? x : b->ones, force.rows / C, S, D};
  if (b->input)
    return (Outer){weighted_features(m, b, use, force), x + (b->table.rows - C) * D, C, S, D};
  double *y = mem_block(force.rows);
  if (y) axpy(force.rows, 1 / m->p->spaces[b->space].ratio, tape_data(m->tape, force), y);
  View features = m->value[use->x];
  return (Outer){y, tape_data(m->tape, features), force.rows / C, C,
                 tape_stride(m->tape, features)};
}

/* E <- keep E + pull psi of the products of all uses; false without memory. */
static bool move_entries(Machine *m, Boundary *b, const Move *move, const View *force, int uses) {
  const Program *p = m->p;
  Outer *products = mem_new((size_t)uses, sizeof *products);
  size_t D;
  bool sound = true;
  vectors_of(p, b->matrix, &D);
  for (int use = b->matrix->weights, k = 0; k < uses; use++) {
    const Matrix *matrix = &p->matrices[use];
    if (matrix->weights != b->matrix->weights || matrix->x < 0) continue;
    products[k] = outer_of(m, b, matrix, force[k]);
    sound = products[k++].y && sound;
  }
  if (sound)
    m->flops += entries_learn(b->e, move, b->input ? move->pull / (double)D : move->pull, products,
                              uses, NULL);
  for (int k = 0; k < uses; k++) free((double *)products[k].y);
  free(products);
  return sound;
}

/* What the learned entries make of the vectors, over D for the inputs, joins what is left of the
 * start. */
static void learn_entries(Machine *m, Boundary *b, const Move *move, const View *force, int uses) {
  size_t D, S = b->table.cols, ld;
  const double *x = vectors_of(m->p, b->matrix, &D);
  if (tape_failed(m->tape)) return;
  if (!move_entries(m, b, move, force, uses)) {
    m->status = STATUS_LIMIT;
    return;
  }
  b->share *= move->keep;
  View next = tape_keep(m->tape, tape_same(m->tape, b->table));
  if (b->table.slab != b->start.slab) tape_drop(m->tape, b->table);
  b->table = next;
  if (tape_failed(m->tape)) return;
  double *table = tape_data(m->tape, next);
  ld = tape_stride(m->tape, next);
  axpy(next.rows * ld, b->share, tape_data(m->tape, b->start), table);
  if (b->input)
    mat_mul_bt(next.rows, S, D, 1, x ? x : b->ones, D, b->e->w, D, 1, table, ld);
  else
    for (size_t c = 0; c < next.rows; c++) axpy(S, 1, b->e->w + c * S, table + c * ld);
}

/* table += noise times what a matrix of independent entries makes of the vectors. */
static void shake(Machine *m, const Boundary *b, double noise, View table) {
  View n = machine_noise(m, b->space, b->root.cols);
  if (!m->exhausted) tape_product(m->tape, table, noise, b->root, n, AS_IS);
}

static void learn_itself(Machine *m, Boundary *b, const Move *move, const View *force, int uses) {
  if (b->e) {
    learn_entries(m, b, move, force, uses);
    return;
  }
  if (move_remembers(move)) {
    if (b->velocity.slab < 0) b->velocity = tape_keep(m->tape, tape_same(m->tape, b->table));
    b->velocity = machine_move_on(m, b->velocity, move->beta, b->table, -move->drag);
    if (move->kick > 0) shake(m, b, move->kick, b->velocity);
    take_up(m, b, 1, force, b->velocity);
  }
  b->table = machine_move_on(m, b->table, move->keep, b->velocity, move->push);
  if (move->pull != 0) take_up(m, b, move->pull, force, b->table);
  if (move->noise > 0) shake(m, b, move->noise, b->table);
}

static void learn(Machine *m, void *state, const Move *move, const View *force, int uses) {
  Boundary *b = state;
  learn_itself(m, b, move, force, uses);
  if (move->average < 1)
    b->average = machine_move_on(m, b->average, move->average, b->table, 1 - move->average);
}

static int blocks(const Machine *m, const void *state, int space, NoiseBlock *out) {
  const Boundary *b = state;
  if (b->space != space || !b->noise.rows) return 0;
  *out = machine_block(m, b->noise);
  return 1;
}

static double bytes(const MachinePlan *plan, int matrix, double S, double steps) {
  const Program *p = plan->program;
  const Matrix *m = &p->matrices[matrix];
  double vectors = (double)thin_vectors(p, m), learned = 0;
  size_t D;
  vectors_of(p, m, &D);
  if (moves_by_entries(p, m))
    learned = is_wide(p, m->from) ? entries_bytes(vectors, S, false)
                                  : entries_bytes(S, fmax((double)D, vectors), false);
  if (p->update.average > 0) vectors *= 3. / 2;
  return learned + 8 * (vectors * (vectors + 2 * S) + (plan->record ? steps : 1) * 2 * vectors * S);
}

View boundary_table(const Machine *m, int matrix) {
  return ((const Boundary *)m->state[matrix])->table;
}

static void pieces(Machine *m, void *state, Piece *piece, void *sink) {
  Boundary *b = state;
  View *const views[] = {&b->table, &b->velocity, &b->average, &b->root, &b->noise,
                         &b->gram,  &b->trained,  &b->units,   &b->start};
  (void)m;
  for (size_t i = 0; i < sizeof views / sizeof *views; i++) views_pieces(views[i], 1, piece, sink);
  piece(sink, &b->share, sizeof b->share);
  if (b->e) entries_pieces(b->e, piece, sink);
}

const MatrixKind boundary = {"boundary", begin, apply, learn, blocks, end,
                             bytes,      NULL,  NULL,  NULL,  pieces};
