/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fluctuations of deep linear networks against the inverted Hessian of the action. */
#include "check.h"
#include "hessian.h"
#include "problem.h"

static ExprPool *pool;

static Result *solve_noise(Recipe recipe) {
  Program *program = recipe_program(pool, recipe);
  Result *theory = solve_or_die(solve_dmft, program, (SolveOptions){0});
  Result *noise = fluctuations_or_die(theory, 1);
  result_drop(theory);
  program_drop(program);
  return noise;
}

/* The largest difference from the oracle, in units of the largest entry. */
static double distance(const Array *a, const double *b) {
  double worst = 0, peak = 0;
  for (size_t i = 0; i < a->size; i++) {
    worst = fmax(worst, fabs(a->data[i] - b[i]));
    peak = fmax(peak, fabs(b[i]));
  }
  return worst / peak;
}

static void check_net(DeepLinear net, double near) {
  const double gram = 1;
  Result *noise = solve_noise((Recipe){.depth = net.depth,
                                       .points = 1,
                                       .steps = net.steps,
                                       .gram = &gram,
                                       .targets = &net.target,
                                       .gamma = net.gamma,
                                       .eta = net.eta,
                                       .uncentered = net.uncentered});
  Fluctuations oracle;
  CHECK(hessian_fluctuations(&net, &oracle));
  double error = 0;
  error = fmax(error, distance(field_of(noise, "var_f", 0), oracle.var_f));
  error = fmax(error, distance(field_of(noise, "cov_f", 0), oracle.cov_f));
  error = fmax(error, distance(field_of(noise, "var_ntk", 0), oracle.var_ntk));
  size_t times = (size_t)net.steps + 1;
  for (int l = 1; l <= net.depth; l++) {
    size_t first = (size_t)(l - 1) * times;
    error = fmax(error, distance(field_of(noise, "var_Phi", l), oracle.var_Phi + first));
    error = fmax(error, distance(field_of(noise, "var_G", l), oracle.var_G + first));
  }
  CHECK(error < near);
  if (error >= near)
    fprintf(stderr, "  L = %d, gamma = %g%s: %.1e\n", net.depth, net.gamma,
            net.uncentered ? ", uncentered" : "", error);
  hessian_free(&oracle);
  result_drop(noise);
}

int main(void) {
  openblas_set_num_threads(1);
  pool = expr_pool_new();
  static const double gammas[] = {0.5, 1, 3};
  for (int depth = 1; depth <= 3; depth++)
    for (int i = 0; i < 3; i++)
      for (int kind = 0; kind < 2; kind++)
        check_net((DeepLinear){.depth = depth,
                               .steps = 6 - depth,
                               .gamma = gammas[i],
                               .eta = 0.05,
                               .target = 0.8,
                               .uncentered = kind == 1},
                  1e-8);
  /* of smaller steps more directions are too small to be kept */
  check_net((DeepLinear){.depth = 3, .steps = 7, .gamma = 1, .eta = 0.015, .target = 1}, 1e-6);
  expr_pool_free(pool);
  return check_done();
}
