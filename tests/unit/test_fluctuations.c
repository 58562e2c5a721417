/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fluctuations of deep linear networks against the inverted Hessian of the action. */
#include "check.h"
#include "hessian.h"
#include "problem.h"
#include "solve/shift.h"

static ExprPool *pool;

static Result *solve_noise(Recipe recipe) {
  Program *program = recipe_program(pool, recipe);
  Result *theory = solve_or_die(solve_dmft, program, (SolveOptions){.samples = 2000});
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

/* The same of variances, from the diagonal of covariances. */
static double from_diagonal(const Array *a, const double *b) {
  double *diagonal = mem_new(a->size, sizeof *diagonal);
  for (size_t i = 0; i < a->size; i++) diagonal[i] = b[i * (a->size + 1)];
  double worst = distance(a, diagonal);
  free(diagonal);
  return worst;
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
    const double *Phi = oracle.cov_Phi + (size_t)(l - 1) * times * times,
                 *G = oracle.cov_G + (size_t)(l - 1) * times * times;
    error = fmax(error, distance(field_of(noise, "cov_Phi", l), Phi));
    error = fmax(error, distance(field_of(noise, "cov_G", l), G));
    error = fmax(error, from_diagonal(field_of(noise, "var_Phi", l), Phi));
    error = fmax(error, from_diagonal(field_of(noise, "var_G", l), G));
  }
  CHECK(error < near);
  if (error >= near)
    fprintf(stderr, "  L = %d, gamma = %g%s: %.1e\n", net.depth, net.gamma,
            net.uncentered ? ", uncentered" : "", error);
  hessian_free(&oracle);
  result_drop(noise);
}

/* Populations of several sizes, and a matrix that acts twice, against numbers from bases that move
 * with the fields: N Var f and N Var K at t = 1, 2, 3. */
static void check_uses(Recipe recipe, const double var_f[3], const double var_ntk[3]) {
  static const double gram = 1, target = 1;
  recipe.depth = 3;
  recipe.points = 1;
  recipe.steps = 3;
  recipe.gram = &gram;
  recipe.targets = &target;
  recipe.gamma = 1.2;
  recipe.eta = 0.1;
  Result *noise = solve_noise(recipe);
  const double *f = field_of(noise, "var_f", 0)->data, *ntk = field_of(noise, "var_ntk", 0)->data;
  for (int t = 0; t < 3; t++) {
    CHECK(fabs(f[t + 1] / var_f[t] - 1) < 1e-8);
    CHECK(fabs(ntk[t + 1] / var_ntk[t] - 1) < 1e-8);
  }
  result_drop(noise);
}

/* Populations that are all r times as large, trained at r times the rate: as at width r N. */
static void check_size(double r, Recipe recipe) {
  Recipe wide = recipe;
  for (int l = 0; l < 3; l++) wide.ratio[l] = r;
  wide.eta *= r;
  Result *noise = solve_noise(recipe), *more = solve_noise(wide);
  const Array *f = field_of(noise, "var_f", 0), *g = field_of(more, "var_f", 0);
  const Array *k = field_of(noise, "var_ntk", 0), *l = field_of(more, "var_ntk", 0);
  double worst = 0;
  for (size_t i = 0; i < f->size; i++)
    worst = fmax(worst, fabs(g->data[i] * r - f->data[i]) / f->data[f->size - 1]);
  for (size_t i = 0; i < k->size; i++)
    worst = fmax(worst, fabs(l->data[i] * r * r * r - k->data[i]) / k->data[k->size - 1]);
  CHECK(worst < 1e-9);
  result_drop(noise);
  result_drop(more);
}

/* A field with itself, asked for as a pair: the same numbers and errors as the field of these
 * covariances, the error of the integrator of gradient flow among them. */
static void check_pair(Recipe recipe) {
  Result *noise = solve_noise(recipe);
  NoiseField loss = {FIELD_LOSS, 0};
  Array *value = NULL, *error = NULL;
  char *why = NULL;
  CHECK(solve_covariance(noise, loss, loss, &value, &error, &why) == STATUS_OK);
  CHECK(distance(field_of(noise, "cov_loss", 0), value->data) < 1e-12);
  CHECK(distance(error_of(noise, "cov_loss", 0), error->data) < 1e-6);
  array_drop(value);
  array_drop(error);
  result_drop(noise);
}

/* Shifts of means from groups of networks, against those without sampling, over many seeds: the
 * stated errors are those that there are. */
static void check_shift(Recipe recipe) {
  enum { SEEDS = 12, GROUPS = 32 };
  static const char *const names[] = {"mean_shift_f", "mean_shift_loss", "mean_shift_ntk"};
  Program *program = recipe_program(pool, recipe),
          *networks = program_complete(program, (Reading){.theory = false});
  MachineCode code = machine_compile(networks, false, NULL);
  Result *exact = NULL;
  double squares[3] = {0}, count[3] = {0};
  for (uint64_t seed = 0; seed <= SEEDS; seed++) {
    SolveOptions options = {.threads = 1, .seed = seed};
    Result *result = result_new("fluctuations");
    United groups = shift_groups((United){.program = networks,
                                          .code = &code,
                                          .options = &options,
                                          .gamma = program->problem->gamma,
                                          .width = 64,
                                          .groups = GROUPS});
    shift_promise(networks, result);
    CHECK(shift_solve(&groups, !exact, NULL, result) == STATUS_OK);
    for (int k = 0; k < 3 && exact; k++) {
      const Array *known = field_of(exact, names[k], 0), *value = field_of(result, names[k], 0),
                  *error = result_find(result, names[k], 0)->error;
      for (size_t i = 0; i < value->size; i++) {
        if (!(error->data[i] > 1e-12)) continue;
        squares[k] += pow((value->data[i] - known->data[i]) / error->data[i], 2);
        count[k]++;
      }
    }
    if (exact)
      result_drop(result);
    else
      exact = result;
  }
  for (int k = 0; k < 3; k++) {
    double rms = sqrt(squares[k] / count[k]);
    CHECK(count[k] > SEEDS && rms > 0.6 && rms < 1.4);
    if (!(rms > 0.6 && rms < 1.4)) fprintf(stderr, "  %s: rms z %.2f\n", names[k], rms);
  }
  result_drop(exact);
  machine_code_free(networks, &code);
  program_drop(networks);
  program_drop(program);
}

int main(void) {
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
  check_uses((Recipe){.tied = true}, (double[]){0.575696, 1.118280908, 0.6483491946},
             (double[]){110.4686066, 235.5496227, 234.5412561});
  check_uses((Recipe){.ratio = {2, 0.5, 3}}, (double[]){0.05469851852, 0.1970082828, 0.4245514045},
             (double[]){7.181200141, 13.68079599, 25.24634792});
  check_size(2, (Recipe){.depth = 3, .points = 3, .tests = 1, .steps = 5, .eta = 0.1});
  check_size(0.5, (Recipe){.depth = 3,
                           .points = 3,
                           .steps = 5,
                           .eta = 0.1,
                           .tied = true,
                           .optimizer = OPT_MOMENTUM,
                           .beta = 0.5});
  Recipe flowing = {.depth = 2, .points = 2, .steps = 2, .eta = 0.3, .dt = 1};
  check_pair(flowing);
  flowing.phi = PRIM_TANH;
  check_pair(flowing);
  check_shift((Recipe){.depth = 2, .points = 2, .steps = 8, .eta = 0.3});
  check_shift((Recipe){.depth = 3, .points = 1, .steps = 5, .eta = 0.1});
  expr_pool_free(pool);
  return check_done();
}
