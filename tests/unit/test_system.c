/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Systems without their responses: the theory is then wrong wherever a matrix meets what it made,
 * which shows that the numbers of tests/theory/system_*.dmf rest on them. */
#include "check.h"
#include "machine/machine.h"
#include "model/system.h"
#include "num/random.h"
#include "session/session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char relax[] = "system s {\n"
                            " population cells\n"
                            " matrix J : cells -> cells (symmetry = 1)\n"
                            " state x = normal(cells)\n"
                            " step {\n"
                            "  observe C = dot(x, x)\n"
                            "  x = x + 0.2 * (-x + 1.5 * (J @ tanh(x)))\n"
                            " }\n"
                            "}\n";

static const char logistic[] = "system s {\n"
                               " population features, data = 2\n"
                               " matrix X : features -> data\n"
                               " u = normal(features)\n"
                               " state w = zeros(features)\n"
                               " y = sign(X @ u)\n"
                               " step {\n"
                               "  f = X @ w\n"
                               "  observe m = dot(w, u)\n"
                               "  w = 0.7 * w + 0.5 * (X' @ (y * sigmoid(-y * f)))\n"
                               " }\n"
                               "}\n";

static const char amp[] = "system s {\n"
                          " population signal, rows = 0.5\n"
                          " matrix A : signal -> rows\n"
                          " u = normal(signal) * (uniform(signal) < 0.1)\n"
                          " y = (A @ u) / sqrt(0.5) + 0.05 * normal(rows)\n"
                          " state x = zeros(signal)\n"
                          " state z = y\n"
                          " step {\n"
                          "  observe mse = dot(x - u, x - u)\n"
                          "  r = x + (A' @ z) / sqrt(0.5)\n"
                          "  s = 1.3 * sqrt(dot(z, z))\n"
                          "  x = sign(r) * relu(abs(r) - s)\n"
                          "  z = y - (A @ x) / sqrt(0.5) + z * (mean(abs(r) > s) / 0.5)\n"
                          " }\n"
                          "}\n";

static const char species[] = "system s {\n"
                              " population species\n"
                              " matrix A : species -> species (sigma = 0.8, symmetry = 0.5)\n"
                              " state x = abs(normal(species))\n"
                              " step {\n"
                              "  observe M = mean(x)\n"
                              "  x = x * exp(0.1 * (1 - x - 4 * mean(x) + A @ x))\n"
                              " }\n"
                              "}\n";

static bool take(void *sink, Machine *m, int t) {
  (void)t;
  machine_read(m, m->p->system->fields[0].variable, sink);
  return true;
}

/* What the system s of a script observes at the last of so many steps, with 2000 paths. */
static double last_of(const char *script, int steps, bool independent) {
  enum { PATHS = 2000 };
  Dmf *dmf = dmf_open(&(DmfConfig){.quiet = true});
  CHECK(dmf_run_text(dmf, "<input>", script, strlen(script)) == DMF_OK);
  Eval eval = session_begin(dmf);
  System *system = system_build(&eval, scope_find(dmf->user, "s")->value);
  session_end(dmf, &eval);
  CHECK(system);
  Program *p = program_of_system(system);
  MachineCode code = machine_compile(p, false, NULL);
  uint32_t *sobol = sobol_points(PATHS);
  double value = NAN;
  Machine m;
  int failed_at;
  MachinePlan plan = {.program = p,
                      .code = &code,
                      .hidden = &sequential,
                      .noise = {.kind = NOISE_SOBOL, .sobol = sobol},
                      .columns = PATHS,
                      .gamma = 1,
                      .tol = 1e-3,
                      .improve = true,
                      .independent = independent,
                      .steps = steps - 1,
                      .observe = take,
                      .sink = &value};
  CHECK(machine_run(&plan, &m, &failed_at) == STATUS_OK);
  machine_free(&m);
  free(sobol);
  machine_code_free(p, &code);
  program_drop(p);
  dmf_close(dmf);
  return value;
}

int main(void) {
  CHECK(fabs(last_of(relax, 31, false) - 4.20) < 0.15);
  CHECK(fabs(last_of(relax, 31, true) - 4.20) > 1);
  CHECK(fabs(last_of(logistic, 60, false) - 0.683928) < 3e-3);
  CHECK(fabs(last_of(logistic, 60, true) - 0.683928) > 0.05);
  CHECK(fabs(last_of(amp, 6, false) - 0.005253) < 1e-3);
  CHECK(fabs(last_of(amp, 6, true) - 0.005253) > 0.1);
  CHECK(fabs(last_of(species, 41, false) - 0.2131) < 2e-3);
  CHECK(fabs(last_of(species, 41, true) - 0.2131) > 5e-3);
  return check_done();
}
