/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A kind of matrix and a value of the program that stand in no list of the tree, made as HACKING.md
 * says: the machine runs both, and asks neither for its name. */
#include "check.h"
#include "field/emit.h"
#include "field/observable.h"
#include "machine/machine.h"
#include "problem.h"

enum { STEPS = 4, POINTS = 3, WIDTH = 12 };

/* ---- a matrix of entries, and nothing else ---- */

typedef struct Plain {
  const Matrix *own;
  size_t to, from;
  double *w; /* [to, from] */
} Plain;

static void *begin(Machine *m, int matrix) {
  const Matrix *own = &m->p->matrices[matrix];
  Plain *s = mem_new(1, sizeof *s);
  s->own = own;
  s->to = tape_columns(m->tape, m->population[own->to]);
  s->from = tape_columns(m->tape, m->population[own->from]);
  s->w = mem_block(s->to * s->from);
  dense_initial(m, matrix, s->w);
  return s;
}

static void apply(Machine *m, void *state, int use, bool back, View x, View out) {
  const Plain *s = state;
  (void)use;
  for (size_t r = 0; r < x.rows; r++) {
    const double *in = tape_data(m->tape, view_rows(x, r, 1));
    double *to = tape_data(m->tape, view_rows(out, r, 1));
    for (size_t i = 0; i < s->to; i++)
      for (size_t j = 0; j < s->from; j++)
        to[back ? j : i] += s->w[i * s->from + j] * in[back ? i : j];
  }
}

/* The uses of this matrix, one here, in plain gradient descent. */
static void learn(Machine *m, void *state, const Move *move, const View *force, int uses) {
  const Plain *s = state;
  CHECK(uses == 1);
  for (size_t r = 0; r < force->rows; r++) {
    double f = *tape_data(m->tape, view_rows(*force, r, 1));
    const double *x = tape_data(m->tape, view_rows(m->value[s->own->x], r, 1)),
                 *y = tape_data(m->tape, view_rows(m->value[s->own->learns], r, 1));
    for (size_t i = 0; i < s->to; i++)
      for (size_t j = 0; j < s->from; j++)
        s->w[i * s->from + j] += move->pull * f * y[i] * x[j] / (double)s->from;
  }
}

static int blocks(const Machine *m, const void *state, int space, NoiseBlock *out) {
  (void)m, (void)state, (void)space, (void)out;
  return 0;
}

static void end(void *state) {
  free(((Plain *)state)->w);
  free(state);
}

static double bytes(const MachinePlan *plan, int matrix, double S, double steps) {
  (void)plan, (void)matrix, (void)steps;
  return 8 * S * S;
}

static const MatrixKind plain = {"plain", begin, apply, learn, blocks, end,
                                 bytes,   NULL,  NULL,  NULL,  NULL};

/* ---- runs ---- */

typedef struct Seen {
  int square; /* the variable <x x> of the second layer */
  double f[STEPS + 1][POINTS], mean[STEPS + 1][POINTS], phi[STEPS + 1][POINTS * POINTS];
} Seen;

static bool look(void *sink, Machine *m, int t) {
  Seen *seen = sink;
  machine_read(m, m->p->f, seen->f[t]);
  machine_read(m, seen->square, seen->mean[t]);
  machine_read(m, program_observable(m->p, FIELD_PHI, 2)->variable, seen->phi[t]);
  return true;
}

static void run(Program *program, const MatrixKind *kind, Seen *seen) {
  Program *complete = program_complete(program, (Reading){.parts = 1});
  MachineCode code = machine_compile(complete, false, NULL);
  bool *wanted = mem_new((size_t)complete->variable_count, sizeof *wanted);
  wanted[seen->square] = wanted[program_observable(complete, FIELD_PHI, 2)->variable] = true;
  MachinePlan plan = {.program = complete,
                      .code = &code,
                      .hidden = kind,
                      .noise = {.kind = NOISE_PLAIN, .seed = 5},
                      .columns = WIDTH,
                      .sized = true,
                      .gamma = program->problem->gamma,
                      .wanted = wanted,
                      .steps = STEPS,
                      .observe = look,
                      .sink = seen};
  Machine m;
  int failed_at;
  CHECK(machine_run(&plan, &m, &failed_at) == STATUS_OK);
  machine_free(&m);
  free(wanted);
  machine_code_free(complete, &code);
  program_drop(complete);
}

int main(void) {
  ExprPool *pool = expr_pool_new();
  Program *program = recipe_program(pool, (Recipe){.phi = PRIM_TANH,
                                                   .depth = 3,
                                                   .points = POINTS,
                                                   .steps = STEPS,
                                                   .gamma = 1.5,
                                                   .eta = 0.3});
  int x = program->matrices[program->phi_matrix[2]].features;
  Seen own = {.square = emit_average(program, mem_string("square"), 1, 2, (int[]){x, x})},
       known = own;
  run(program, &plain, &own);
  run(program, &dense, &known);
  double moved = 0;
  for (int t = 0; t <= STEPS; t++)
    for (int a = 0; a < POINTS; a++) {
      CHECK(fabs(own.f[t][a] - known.f[t][a]) < 1e-13);
      CHECK(fabs(own.mean[t][a] - own.phi[t][a * POINTS + a]) < 1e-14);
      moved = fmax(moved, fabs(own.f[t][a] - own.f[0][a]));
    }
  CHECK(moved > 0.01);
  program_drop(program);
  expr_pool_free(pool);
  return check_done();
}
