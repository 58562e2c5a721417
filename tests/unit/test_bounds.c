/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a solve is said to take, against what it takes: the linker leads every allocation of dmf's
 * own code through the functions below (Makefile.am), which keep the most that was held at once. */
#include "check.h"
#include "problem.h"
#include "solve/numbers.h"
#include "solve/plan.h"
#include "solve/recorded.h"

#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>

static atomic_llong held, most;

/* Blocks of numbers that are not small; the one of this number, from 1, is refused. */
static long large, refused_large;

static void count(const void *block, long long sign) {
  long long now = sign * (long long)malloc_usable_size((void *)block);
  now += atomic_fetch_add(&held, now);
  for (long long before = most; now > before && !atomic_compare_exchange_weak(&most, &before, now);)
    ;
}

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t number, size_t bytes);
void *__real_realloc(void *block, size_t bytes);
int __real_posix_memalign(void **block, size_t alignment, size_t bytes);
void __real_free(void *block);

void *__wrap_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes) {
  void *block = __real_malloc(bytes);
  count(block, 1);
  return block;
}

void *__wrap_calloc(size_t number, size_t bytes);
void *__wrap_calloc(size_t number, size_t bytes) {
  void *block = __real_calloc(number, bytes);
  count(block, 1);
  return block;
}

void *__wrap_realloc(void *block, size_t bytes);
void *__wrap_realloc(void *block, size_t bytes) {
  count(block, -1);
  void *moved = __real_realloc(block, bytes);
  count(moved ? moved : block, 1);
  return moved;
}

int __wrap_posix_memalign(void **block, size_t alignment, size_t bytes);
int __wrap_posix_memalign(void **block, size_t alignment, size_t bytes) {
  enum { LARGE = 1 << 16 };
  if (bytes >= LARGE && ++large == refused_large) return ENOMEM;
  int refused = __real_posix_memalign(block, alignment, bytes);
  if (!refused) count(*block, 1);
  return refused;
}

void __wrap_free(void *block);
void __wrap_free(void *block) {
  count(block, -1);
  __real_free(block);
}

static ExprPool *pool;

typedef Status Solver(Program *program, const SolveOptions *options, Result **result, char **why);
typedef void Planner(Program *program, const SolveOptions *options, SolvePlan *plan);

/* The bound holds, and of one thread, where what is held at once does not depend on chance, it is
 * no more than `slack` times what was taken: bases are bounded by histories, and hold less. */
static void check_bound(Solver *solve, Planner *foresee, Recipe recipe, SolveOptions options,
                        double slack) {
  for (options.threads = 1; options.threads <= 2; options.threads++) {
    Program *program = recipe_program(pool, recipe);
    SolvePlan plan;
    foresee(program, &options, &plan);
    long long before = most = held;
    result_drop(solve_or_die(solve, program, options));
    double taken = (double)(most - before);
    CHECK(taken > 0);
    CHECK(plan.bytes >= taken);
    CHECK(options.threads > 1 || plan.bytes <= slack * taken);
    program_drop(program);
  }
}

/* Operations are those that a result counts, but for what basis the runs come to; those of runs
 * that lean are among them. */
static void check_flops(Recipe recipe, SolveOptions options, double off) {
  Program *program = recipe_program(pool, recipe);
  SolvePlan plan;
  solve_plan_dmft(program, &options, &plan);
  Result *result = solve_or_die(solve_dmft, program, options);
  double flops = result_number(result, "flops", 0);
  CHECK(flops > 0 && fabs(plan.flops / flops - 1) < off);
  result_drop(result);
  program_drop(program);
}

/* Of the lazy limit, those of K times the weights of the errors in every step. */
static void check_lazy(Recipe recipe, SolveOptions options) {
  Program *program = recipe_program(pool, recipe);
  SolvePlan plan;
  solve_plan_dmft(program, &options, &plan);
  CHECK(plan.flops == 2.0 * recipe.points * (recipe.points + recipe.tests) * recipe.steps);
  program_drop(program);
}

/* The same of runs that are recorded: what they hold in the end, and before. */
static void check_recorded(Recipe recipe, double slack) {
  Program *program = recipe_program(pool, recipe);
  Recorded s;
  char *why = NULL;
  recorded_prepare(&s, program, &(SolveOptions){.threads = 1, .samples = 1024});
  long long before = most = held;
  CHECK(recorded_run(&s, &why) == STATUS_OK);
  double taken = (double)(most - before), bytes = recorded_bytes(&s);
  CHECK(taken > 0 && bytes >= taken && bytes <= slack * taken);
  free(why);
  recorded_free(&s);
  program_drop(program);
}

/* Fluctuations: what they take at once, and a field that is asked for later; operations to the
 * share `off`. */
static void check_noise(Recipe recipe, int samples, const char *name, double off, double slack) {
  Program *program = recipe_program(pool, recipe);
  SolveOptions options = {.threads = 1, .samples = samples};
  Result *theory = solve_or_die(solve_dmft, program, options), *noise;
  char *why = NULL;
  SolvePlan first, later;
  solve_plan_fluctuations(theory, &options, &(NoiseAsked){0}, &first);
  solve_plan_fluctuations(theory, &options, &(NoiseAsked){.name = name}, &later);
  long long before = most = held;
  CHECK(solve_fluctuations(theory, &options, &noise, &why) == STATUS_OK);
  double taken = (double)(most - before), flops = result_number(noise, "flops", 0);
  CHECK(first.bytes >= taken && first.bytes <= slack * taken);
  CHECK(flops > 0 && fabs(first.flops / flops - 1) < off);
  before = most = held;
  CHECK(result_complete(noise, name, &why) == STATUS_OK);
  taken = (double)(most - before);
  CHECK(later.bytes >= taken && later.bytes <= slack * taken);
  flops = result_number(noise, "flops", 0) - flops;
  CHECK(flops > 0 && fabs(later.flops / flops - 1) < off);
  result_drop(noise);
  result_drop(theory);
  program_drop(program);
}

/* What else is asked of fluctuations: covariances of two fields, and variances of n numbers that
 * read them. */
static void check_asked(Recipe recipe, int samples, NoiseAsked asked, double off, double slack) {
  Program *program = recipe_program(pool, recipe);
  SolveOptions options = {.threads = 1, .samples = samples};
  Result *theory = solve_or_die(solve_dmft, program, options);
  Recorded s;
  SolvePlan plan;
  char *why = NULL;
  Sizes z = sizes_of(program);
  Slope slope[2];
  for (int k = 0; k < 2; k++)
    slope[k] = (Slope){asked.fields[k], field_size((FieldId)asked.fields[k].id, z) - 1, 1 - k, 0.1};
  Slopes of = {slope, 2};
  solve_plan_fluctuations(theory, &options, &asked, &plan);
  recorded_prepare(&s, program, &options);
  double *numbers = mem_block(1 << 20);
  long long before = most = held;
  CHECK(recorded_run(&s, &why) == STATUS_OK);
  if (asked.n)
    CHECK(numbers_vary(&s, &of, 1, numbers, numbers + 1, &why) == STATUS_OK);
  else
    CHECK(numbers_covary(&s, asked.fields, numbers, numbers + (1 << 19), &why) == STATUS_OK);
  double taken = (double)(most - before), flops = recorded_flops(&s);
  CHECK(plan.bytes >= taken && plan.bytes <= slack * taken);
  CHECK(flops > 0 && fabs(plan.flops / flops - 1) < off);
  free(numbers);
  recorded_free(&s);
  result_drop(theory);
  program_drop(program);
}

/* Fluctuations in whose way one block after the other is refused end by that, or as without. */
static void check_refusals(void) {
  enum { MOST = 1000 };
  Program *program = recipe_program(
      pool, (Recipe){.phi = PRIM_TANH, .depth = 1, .points = 1, .steps = 1, .eta = 0.1});
  Result *theory = solve_or_die(solve_dmft, program, (SolveOptions){.samples = 64});
  const SolveOptions options = {.threads = 1, .samples = 1024};
  Result *whole = fluctuations_or_die(theory, 1);
  double exact = result_find(whole, "var_loss", 0)->value->data[1];
  int struck = 0;
  for (large = refused_large = 0; large >= refused_large && struck < MOST; struck++) {
    Result *result = NULL;
    char *why = NULL;
    refused_large = struck + 1;
    large = 0;
    Status status = solve_fluctuations(theory, &options, &result, &why);
    CHECK(status == STATUS_LIMIT ||
          (status == STATUS_OK && result_find(result, "var_loss", 0)->value->data[1] == exact));
    result_drop(result);
    free(why);
  }
  refused_large = 0;
  CHECK(struck > 10 && struck < MOST);
  result_drop(whole);
  result_drop(theory);
  program_drop(program);
}

/* What a run comes to beyond the steps that were seen: as the last quarter of them went on. */
static void test_extrapolation(void) {
  const double at[] = {1, 2, 3, 4, 5, 6, 8, 10};
  CHECK(plan_at(at, 8, 0) == 1 && plan_at(at, 8, 7) == 10);
  CHECK(plan_at(at, 8, 8) == 12 && plan_at(at, 8, 17) == 30);
  CHECK(plan_at(at, 2, 5) == 6);
  CHECK(plan_at((double[]){3}, 1, 4) == 15);
  CHECK(plan_at(at, 0, 0) == 1 && plan_at(at, 0, 6) == 7);
}

/* Operations and the time of a call are those of its runs, as many at once as there are threads.
 * One run shows its pace to a factor of eight. */
static void test_pace(Recipe recipe) {
  Program *program = recipe_program(pool, recipe);
  SolveOptions one = {.width = 20, .ensemble = 1, .threads = 1}, many = one, spread = one;
  many.ensemble = spread.ensemble = 64;
  spread.threads = 64;
  SolvePlan of_one, of_many, of_spread;
  for (int warm = 0; warm < 2; warm++) solve_plan_networks(program, &one, &of_one);
  solve_plan_networks(program, &many, &of_many);
  solve_plan_networks(program, &spread, &of_spread);
  CHECK(of_one.flops > 0 && of_many.flops == 64 * of_one.flops);
  CHECK(of_many.seconds > 8 * of_one.seconds && of_many.seconds < 512 * of_one.seconds);
  CHECK(of_spread.seconds > 0 && of_spread.seconds < 8 * of_one.seconds);
  program_drop(program);
}

int main(void) {
  pool = expr_pool_new();
  const SolveOptions theory = {.samples = 3000}, few = {.samples = 256},
                     parts = {.samples = 3000, .parts = 2},
                     lazy = {.samples = 256, .closure = CLOSURE_NTK},
                     nets = {.width = 200, .ensemble = 8},
                     single = {.width = 200, .ensemble = 8, .single = true},
                     small = {.width = 20, .ensemble = 8};
  const Recipe deep = {
      .phi = PRIM_TANH, .depth = 2, .points = 4, .tests = 2, .steps = 12, .eta = 0.2};
  Recipe points = deep, outputs = deep, flow = deep, linear = deep;
  points.points = 40;
  outputs.outputs = 3;
  flow.dt = 1;
  linear.phi = PRIM_CONST;
  test_extrapolation();
  test_pace(deep);
  Recipe heavy = {.phi = PRIM_EXP, .depth = 1, .points = 2, .steps = 6, .eta = 0.001};
  check_flops(deep, few, 0.15);
  check_flops(heavy, few, 0.02);
  check_lazy(points, lazy);
  check_bound(solve_dmft, solve_plan_dmft, deep, theory, 2.5);
  check_bound(solve_dmft, solve_plan_dmft, points, few, 1.5);
  check_bound(solve_dmft, solve_plan_dmft, outputs, theory, 3.5);
  check_bound(solve_dmft, solve_plan_dmft, flow, parts, 10);
  check_bound(solve_dmft, solve_plan_dmft, linear, few, 6);
  check_bound(solve_dmft, solve_plan_dmft, points, lazy, 3);
  check_bound(solve_networks, solve_plan_networks, deep, nets, 3.5);
  check_bound(solve_networks, solve_plan_networks, deep, single, 3.5);
  check_bound(solve_networks, solve_plan_networks, points, small, 2);
  Recipe two = {.phi = PRIM_TANH, .depth = 1, .points = 1, .steps = 4, .eta = 0.1}, three = two,
         exact = two;
  three.depth = 2;
  three.points = 2;
  exact.phi = PRIM_CONST;
  exact.depth = 2;
  check_noise(two, 1024, "mean_shift_f", 0.1, 6);
  check_noise(three, 1024, "var_ntk", 0.1, 3);
  check_noise(exact, 1024, "var_Phi", 0.3, 3);
  exact.steps = 30;
  check_noise(exact, 1024, "var_Phi", 0.3, 3);
  const NoiseField fields[] = {{FIELD_F, 0}, {FIELD_PHI, 1}};
  const NoiseAsked pair = {.fields = fields, .count = 2},
                   number = {.fields = fields, .count = 2, .n = 1};
  check_asked(two, 1024, pair, 0.15, 6);
  check_asked(two, 1024, number, 0.15, 6);
  check_asked(three, 1024, pair, 0.15, 4);
  check_asked(three, 1024, number, 0.15, 4);
  check_asked(exact, 1024, pair, 0.15, 4);
  check_asked(exact, 1024, number, 0.15, 4);
  Recipe adam = three;
  adam.optimizer = OPT_ADAM;
  adam.beta1 = 0.9;
  adam.beta2 = 0.99;
  adam.eps = 1e-6;
  adam.points = 8;
  adam.steps = 20;
  check_noise(adam, 4096, "cov_loss", 0.15, 3);
  check_noise(three, 1024, "mean_shift_f", 0.15, 6);
  check_noise(exact, 1024, "mean_shift_f", 0.15, 6);
  Recipe runs = deep, inert = deep;
  runs.tests = 0;
  check_recorded(runs, 2);
  runs.depth = 3;
  runs.tied = true;
  check_recorded(runs, 2.5);
  inert = runs;
  inert.optimizer = OPT_UNDERDAMPED;
  inert.beta = 0.5;
  inert.decay = 0.2;
  check_recorded(inert, 2);
  check_refusals();
  expr_pool_free(pool);
  return check_done();
}
