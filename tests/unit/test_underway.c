/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A run that goes on from its state in the middle takes the same steps, bit by bit, as one that was
 * never interrupted; of every kind of matrix that models have. */
#include "check.h"
#include "field/observable.h"
#include "machine/machine.h"
#include "model/system.h"
#include "problem.h"
#include "session/session.h"

enum { STEPS = 6, MIDDLE = 3, POINTS = 3, WIDTH = 64 };

/* The state of a run, and what it sees. */
typedef struct Leg {
  unsigned char *state;
  size_t size, at;
  bool resumes;
  int steps;
  double f[STEPS + 1][POINTS], phi[STEPS + 1][POINTS * POINTS];
} Leg;

static void keep(void *sink, void *data, size_t bytes) {
  Leg *leg = sink;
  leg->state = mem_grow(leg->state, leg->size + bytes + 1);
  memcpy(leg->state + leg->size, data, bytes);
  leg->size += bytes;
}

static void find(void *sink, void *data, size_t bytes) {
  Leg *leg = sink;
  CHECK(leg->at + bytes <= leg->size);
  if (leg->at + bytes <= leg->size) memcpy(data, leg->state + leg->at, bytes);
  leg->at += bytes;
}

static void between(void *sink, Machine *m) {
  Leg *leg = sink;
  CHECK(machine_shows(m));
  if (leg->resumes && m->t == 0)
    machine_pieces(m, find, leg);
  else if (!leg->resumes && m->t == MIDDLE)
    machine_pieces(m, keep, leg);
}

static bool look(void *sink, Machine *m, int t) {
  Leg *leg = sink;
  leg->steps++;
  if (m->p->system) {
    machine_read(m, m->p->system->fields[0].variable, leg->f[t]);
    return true;
  }
  machine_read(m, m->p->f, leg->f[t]);
  machine_read(m, program_observable(m->p, FIELD_PHI, 2)->variable, leg->phi[t]);
  return true;
}

static void run(const Program *complete, const MatrixKind *kind, bool single, Leg *leg) {
  MachineCode code = machine_compile(complete, false, NULL);
  bool paths = kind == &sequential;
  MachinePlan plan = {.program = complete,
                      .code = &code,
                      .hidden = kind,
                      .noise = {.kind = NOISE_PLAIN, .seed = 5},
                      .columns = WIDTH,
                      .sized = !paths,
                      .improve = paths,
                      .single = single,
                      .tol = 1e-6,
                      .gamma = complete->system ? 1 : complete->problem->gamma,
                      .steps = STEPS,
                      .observe = look,
                      .pause = between,
                      .sink = leg};
  Machine m;
  int failed_at;
  CHECK(machine_run(&plan, &m, &failed_at) == STATUS_OK);
  machine_free(&m);
  machine_code_free(complete, &code);
}

/* The state of a run is all of it: what goes on from there sees what comes behind. */
static void halves(const Program *complete, const MatrixKind *kind, bool single) {
  Leg whole = {0}, half = {.resumes = true};
  run(complete, kind, single, &whole);
  half.state = whole.state;
  half.size = whole.size;
  run(complete, kind, single, &half);
  CHECK(half.at == half.size && half.size > 0);
  CHECK(whole.steps == STEPS + 1 && half.steps == STEPS + 1 - MIDDLE);
  CHECK(memcmp(whole.f[MIDDLE], half.f[MIDDLE], sizeof whole.f - MIDDLE * sizeof *whole.f) == 0);
  CHECK(memcmp(whole.phi[MIDDLE], half.phi[MIDDLE],
               sizeof whole.phi - MIDDLE * sizeof *whole.phi) == 0);
  CHECK(memcmp(whole.f[MIDDLE], whole.f[STEPS], sizeof *whole.f) != 0);
  free(whole.state);
}

static void trains(Recipe recipe, const MatrixKind *kind, bool single) {
  recipe.phi = PRIM_TANH;
  recipe.depth = 3;
  recipe.points = POINTS;
  recipe.steps = STEPS;
  recipe.gamma = 1.5;
  ExprPool *pool = expr_pool_new();
  Program *program = recipe_program(pool, recipe),
          *complete = program_complete(program, (Reading){.parts = 1});
  halves(complete, kind, single);
  program_drop(complete);
  program_drop(program);
  expr_pool_free(pool);
}

/* A system s, with a matrix that is drawn anew in every step. */
static void moves(const MatrixKind *kind) {
  static const char script[] = "system s {\n"
                               " population cells\n"
                               " matrix J : cells -> cells (symmetry = 1)\n"
                               " state x = normal(cells)\n"
                               " step {\n"
                               "  matrix R : cells -> cells\n"
                               "  x = J @ tanh(x) + R @ x\n"
                               "  observe C = dot(x, x)\n"
                               " }\n"
                               "}\n";
  Dmf *dmf = dmf_open(&(DmfConfig){.quiet = true});
  CHECK(dmf_run_text(dmf, "<input>", script, strlen(script)) == DMF_OK);
  Eval eval = session_begin(dmf);
  System *system = system_build(&eval, scope_find(dmf->user, "s")->value);
  session_end(dmf, &eval);
  CHECK(system);
  Program *p = program_of_system(system);
  halves(p, kind, false);
  program_drop(p);
  dmf_close(dmf);
}

int main(void) {
  const Recipe recipes[] = {
      {.eta = 0.3},
      {.eta = 0.3, .optimizer = OPT_MOMENTUM, .beta = 0.9, .decay = 0.01, .ratio = {1, 2, 0.5}},
      {.eta = 0.3, .optimizer = OPT_MOMENTUM, .beta = 0.5, .tied = true},
      {.eta = 0.1, .optimizer = OPT_ADAM, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8},
      {.eta = 0.3, .dt = 0.1},
  };
  const MatrixKind *const kinds[] = {&sequential, &dense, &dense_single};
  for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++)
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) trains(recipes[i], kinds[k], false);
  trains(recipes[1], &sequential, true);
  moves(&sequential);
  moves(&dense);
  return check_done();
}
