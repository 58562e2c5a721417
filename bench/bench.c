/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How fast the solvers are on this machine, held against how fast it multiplies matrices. Every
 * problem runs in a process of its own, so that its peak memory is its own. Times are processor
 * seconds, those of all threads, which others on the machine do not change; the best of three, or
 * of as many as half a second has; operations and memory are also those that a plan foretells from
 * the first steps.
 *
 * Usage: bench [THREADS] */
#include "../tests/unit/hessian.h"
#include "../tests/unit/problem.h"
#include "alternate.h"

#include "num/blas.h"
#include "num/linalg.h"

#include <malloc.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { REPEATS = 3, GEMM_SIZE = 1536 };
static const double ENOUGH = 0.5;

/* What a measuring process reports. */
typedef struct Measure {
  double seconds, flops;
  SolvePlan plan;
} Measure;

typedef struct Task Task;
typedef Measure Run(const Task *task, int threads);
struct Task {
  const char *name;
  Run *run;
  Recipe recipe;
  SolveOptions options;
};

static int processors(void) {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

/* ---- what is measured, in the child ---- */

static double busy(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A large square matrix product. */
static Measure multiply(const Task *task, int threads) {
  (void)task;
  size_t n = GEMM_SIZE;
  double *a = mem_block(n * n), *b = mem_block(n * n), *c = mem_block(n * n);
  blas_now()->set_threads(threads);
  random_normals(1, 1, 0, n * n, a);
  random_normals(1, 2, 0, n * n, b);
  mat_mul(n, n, n, 1, a, n, b, n, 0, c, n);
  double start = busy(), flops = mat_mul(n, n, n, 1, a, n, b, n, 0, c, n);
  Measure measure = {.seconds = busy() - start, .flops = flops};
  free(a);
  free(b);
  free(c);
  return measure;
}

/* How much of the fluctuations is asked for: what they have at once, which is that of outputs; the
 * tangent kernel, too; or all that the inverse of a Hessian tells: of f, of the tangent kernel, and
 * of kernels of one time. */
typedef enum Noise { NO_NOISE, OUTPUTS, OUTPUTS_AND_NTK, OUTPUTS_AND_KERNELS } Noise;

/* The next field that is asked for by name, or NULL. */
static const char *asked(Noise noise, int i) {
  static const char *const names[] = {"var_ntk", "cov_f", "cov_Phi", "cov_G"};
  int count = noise == OUTPUTS_AND_KERNELS ? 4 : noise == OUTPUTS_AND_NTK ? 1 : 0;
  return i < count ? names[i] : NULL;
}

static Result *fluctuations_of(Result *theory, Noise noise, int threads) {
  Result *fluctuations = fluctuations_or_die(theory, threads);
  char *why = NULL;
  for (int i = 0; asked(noise, i); i++)
    if (result_complete(fluctuations, asked(noise, i), &why) != STATUS_OK) exit(1);
  result_drop(theory);
  return fluctuations;
}

/* What they are planned to take, in all fields. */
static void add_plans(const Result *theory, Noise noise, int threads, SolvePlan *plan) {
  SolveOptions options = {.threads = threads};
  for (int i = -1; i < 0 || asked(noise, i); i++) {
    SolvePlan more;
    NoiseAsked field = {.name = i < 0 ? NULL : asked(noise, i)};
    solve_plan_fluctuations(theory, &options, &field, &more);
    plan->bytes = fmax(plan->bytes, more.bytes);
    plan->flops += more.flops;
    plan->seconds += more.seconds;
  }
}

/* In place of a theory. */
static void add_fluctuations(Result **result, Noise noise, int threads, Measure *measure) {
  add_plans(*result, noise, threads, &measure->plan);
  double start = busy();
  *result = fluctuations_of(*result, noise, threads);
  measure->seconds += busy() - start;
  measure->flops += result_number(*result, "flops", 0);
}

/* A solver, followed by the fluctuations of what it answers if there is `noise`. */
static Measure solve(const Task *task, Solver *solver, Noise noise, int threads) {
  ExprPool *pool = expr_pool_new();
  Program *program = recipe_program(pool, task->recipe);
  SolveOptions options = task->options;
  options.threads = threads;
  Measure measure = {0};
  (solver == solve_networks ? solve_plan_networks : solve_plan_dmft)(program, &options,
                                                                     &measure.plan);
  double start = busy();
  Result *result = solve_or_die(solver, program, options);
  measure.seconds = busy() - start;
  measure.flops = result_number(result, "flops", measure.plan.flops);
  if (noise) add_fluctuations(&result, noise, threads, &measure);
  result_drop(result);
  program_drop(program);
  expr_pool_free(pool);
  return measure;
}

static Measure theory(const Task *task, int threads) {
  return solve(task, solve_dmft, NO_NOISE, threads);
}

static Measure networks(const Task *task, int threads) {
  return solve(task, solve_networks, NO_NOISE, threads);
}

static Measure noise(const Task *task, int threads) {
  return solve(task, solve_dmft, OUTPUTS_AND_KERNELS, threads);
}

static Measure noise_of_outputs(const Task *task, int threads) {
  return solve(task, solve_dmft, OUTPUTS, threads);
}

static Measure noise_of_ntk(const Task *task, int threads) {
  return solve(task, solve_dmft, OUTPUTS_AND_NTK, threads);
}

/* The dense route to the fluctuations of a deep linear network. */
static Measure hessian(const Task *task, int threads) {
  const Recipe *r = &task->recipe;
  DeepLinear net = {.depth = r->depth, .steps = r->steps, .gamma = 1, .eta = r->eta, .target = 1};
  openblas_set_num_threads(threads);
  Fluctuations answer;
  double start = busy();
  if (!hessian_fluctuations(&net, &answer)) exit(1);
  Measure measure = {.seconds = busy() - start, .flops = 2 * pow((double)answer.dimension, 3)};
  hessian_free(&answer);
  return measure;
}

static void run_child(const Task *task, int threads, int to) {
  Measure best = {.seconds = INFINITY};
  double spent = 0;
  for (int i = 0; i < REPEATS || spent < ENOUGH; i++) {
    Measure measure = task->run(task, threads);
    spent += measure.seconds;
    if (measure.seconds < best.seconds) best = measure;
  }
  _exit(write(to, &best, sizeof best) != sizeof best);
}

/* ---- the table, in the parent ---- */

/* Runs a task in a process; false if it failed. */
static bool measure(const Task *task, int threads, Measure *best, double *megabytes) {
  int ends[2], status;
  struct rusage usage;
  if (pipe(ends)) return false;
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) run_child(task, threads, ends[1]);
  close(ends[1]);
  bool fine = child > 0 && read(ends[0], best, sizeof *best) == sizeof *best;
  close(ends[0]);
  if (child > 0 && wait4(child, &status, 0, &usage) == child)
    *megabytes = (double)usage.ru_maxrss / 1024;
  return fine;
}

static double rate_of_products(int threads) {
  Measure best;
  double megabytes;
  Task product = {.name = "product", .run = multiply};
  if (!measure(&product, threads, &best, &megabytes)) return NAN;
  double rate = best.flops / best.seconds * threads * 1e-9;
  printf("matrix product %d x %d, %2d thread%s  %8.1f GF/s\n", GEMM_SIZE, GEMM_SIZE, threads,
         threads > 1 ? "s" : " ", rate);
  return rate;
}

/* Of a script that names the loss alone. */
#define UNREAD (~((FieldSet)1 << FIELD_LOSS))

static const Task tasks[] = {
    {"dmft tanh L=2 P=4 T=30, 1000 samples",
     theory,
     {.phi = PRIM_TANH, .depth = 2, .points = 4, .steps = 30, .eta = 0.3},
     {.samples = 1000, .unread = UNREAD}},
    {"dmft tanh L=2 P=4 T=30, 8000 samples",
     theory,
     {.phi = PRIM_TANH, .depth = 2, .points = 4, .steps = 30, .eta = 0.3},
     {.samples = 8000, .unread = UNREAD}},
    {"dmft tanh L=3 P=10 T=100, 4000 samples",
     theory,
     {.phi = PRIM_TANH, .depth = 3, .points = 10, .steps = 100, .eta = 0.3},
     {.samples = 4000, .unread = UNREAD}},
    {"the same in single precision",
     theory,
     {.phi = PRIM_TANH, .depth = 3, .points = 10, .steps = 100, .eta = 0.3},
     {.samples = 4000, .unread = UNREAD, .single = true}},
    {"dmft tanh L=2 P=10 T=300, 4000 samples",
     theory,
     {.phi = PRIM_TANH, .depth = 2, .points = 10, .steps = 300, .eta = 0.3},
     {.samples = 4000, .unread = UNREAD}},
    {"the same in single precision",
     theory,
     {.phi = PRIM_TANH, .depth = 2, .points = 10, .steps = 300, .eta = 0.3},
     {.samples = 4000, .unread = UNREAD, .single = true}},
    {"dmft tanh L=2 P=20 T=60, 2000 samples",
     theory,
     {.phi = PRIM_TANH, .depth = 2, .points = 20, .steps = 60, .eta = 0.5},
     {.samples = 2000, .unread = UNREAD}},
    {"dmft relu L=2 P=4 T=30, 8000 samples",
     theory,
     {.phi = PRIM_RELU, .depth = 2, .points = 4, .steps = 30, .eta = 0.3},
     {.samples = 8000, .unread = UNREAD}},
    {"dmft tanh, 64 residual layers P=4 T=20",
     theory,
     {.phi = PRIM_TANH, .depth = 1, .branches = 64, .points = 4, .steps = 20, .eta = 0.3},
     {.samples = 2400, .unread = UNREAD}},
    {"dmft linear L=3 P=1 T=300, exact",
     theory,
     {.depth = 3, .points = 1, .steps = 300, .eta = 0.02},
     {0}},
    {"simulate tanh N=512 L=2 P=4 T=30, 400 nets",
     networks,
     {.phi = PRIM_TANH, .depth = 2, .points = 4, .steps = 30, .eta = 0.3},
     {.width = 512, .ensemble = 400}},
    {"simulate tanh N=2048 L=2 P=4 T=30, 4 nets",
     networks,
     {.phi = PRIM_TANH, .depth = 2, .points = 4, .steps = 30, .eta = 0.3},
     {.width = 2048, .ensemble = 4}},
    {"simulate tanh N=512 L=2 P=500 T=20, 4 nets",
     networks,
     {.phi = PRIM_TANH, .depth = 2, .points = 500, .steps = 20, .eta = 0.3},
     {.width = 512, .ensemble = 4, .unread = UNREAD}},
    {"simulate N=512 P=4 T=30, 400 nets, loss",
     networks,
     {.phi = PRIM_TANH, .depth = 2, .points = 4, .steps = 30, .eta = 0.3},
     {.width = 512, .ensemble = 400, .unread = UNREAD}},
    {"the same in single precision",
     networks,
     {.phi = PRIM_TANH, .depth = 2, .points = 4, .steps = 30, .eta = 0.3},
     {.width = 512, .ensemble = 400, .unread = UNREAD, .single = true}},
    {"simulate N=2048 P=4 T=30, 4 nets, loss",
     networks,
     {.phi = PRIM_TANH, .depth = 2, .points = 4, .steps = 30, .eta = 0.3},
     {.width = 2048, .ensemble = 4, .unread = UNREAD}},
    {"the same in single precision",
     networks,
     {.phi = PRIM_TANH, .depth = 2, .points = 4, .steps = 30, .eta = 0.3},
     {.width = 2048, .ensemble = 4, .unread = UNREAD, .single = true}},
    {"simulate N=512 P=500, 4 nets, single",
     networks,
     {.phi = PRIM_TANH, .depth = 2, .points = 500, .steps = 20, .eta = 0.3},
     {.width = 512, .ensemble = 4, .unread = UNREAD, .single = true}},
    {"lazy relu ten layers P=40 T=30, exact",
     theory,
     {.phi = PRIM_RELU, .depth = 10, .points = 40, .steps = 30, .eta = 0.3},
     {.closure = CLOSURE_NTK, .unread = UNREAD}},
    {"lazy relu L=3 P=500 T=30, exact",
     theory,
     {.phi = PRIM_RELU, .depth = 3, .points = 500, .steps = 30, .eta = 0.3},
     {.closure = CLOSURE_NTK, .unread = UNREAD}},
    {"fluctuations linear L=3 P=1 T=300, exact",
     noise,
     {.depth = 3, .points = 1, .steps = 300, .eta = 0.0015},
     {0}},
    {"fluctuations tanh L=1 P=1+1 T=250, outputs",
     noise_of_outputs,
     {.phi = PRIM_TANH, .depth = 1, .points = 1, .tests = 1, .steps = 250, .eta = 0.05},
     {.samples = 2000}},
    {"fluctuations tanh L=1 P=4 T=40",
     noise,
     {.phi = PRIM_TANH, .depth = 1, .points = 4, .steps = 40, .eta = 0.1},
     {.samples = 2000}},
    {"fluctuations tanh L=1 P=20 T=40, and ntk",
     noise_of_ntk,
     {.phi = PRIM_TANH, .depth = 1, .points = 20, .steps = 40, .eta = 0.5},
     {.samples = 1000}},
    {"fluctuations tanh L=2 P=2 T=8",
     noise,
     {.phi = PRIM_TANH, .depth = 2, .points = 2, .steps = 8, .eta = 0.3},
     {.samples = 2000}},
};

/* ---- two routes to fluctuations ---- */

static const double one = 1;

static bool time_of(Run *run, int steps, double *seconds, int threads) {
  double megabytes;
  Measure best;
  Task task = {.run = run,
               .recipe = {.depth = 3, .points = 1, .steps = steps, .gram = &one, .eta = 0.015}};
  bool fine = measure(&task, threads, &best, &megabytes);
  *seconds = best.seconds;
  return fine;
}

/* The Hessian has of the order of (T + 1)^2 rows, its inverse takes a time of (T + 1)^6; beyond T =
 * 10 that is extrapolated. */
static bool race(int threads) {
  static const int steps[] = {6, 8, 10, 30};
  printf("\nN Var of three hidden linear layers, one point\n"
         "   T   inverse of the Hessian   fluctuations        ratio   (seconds)\n");
  double dense = 0, fast;
  for (int i = 0; i < 4; i++) {
    bool built = steps[i] <= 10;
    if (!time_of(noise, steps[i], &fast, threads)) return false;
    if (built && !time_of(hessian, steps[i], &dense, threads)) return false;
    if (!built) dense *= pow((steps[i] + 1.0) / (steps[i - 1] + 1.0), 6);
    printf("%4d %14.3f %-13s %9.4f %12.0f\n", steps[i], dense, built ? "" : "(as (T+1)^6)", fast,
           dense / fast);
  }
  return true;
}

/* ---- two routes to the saddle point ---- */

enum { RACE_POINTS = 4, RACE_STEPS = 30, RACE_OUTPUTS = (RACE_STEPS + 1) * RACE_POINTS };

static const Recipe raced = {
    .phi = PRIM_TANH, .depth = 2, .points = RACE_POINTS, .steps = RACE_STEPS, .eta = 0.3};

/* f by the solver, [RACE_OUTPUTS]; the seconds. */
static double by_theory(int samples, uint64_t seed, double *f) {
  ExprPool *pool = expr_pool_new();
  Program *program = recipe_program(pool, raced);
  SolveOptions options = {.samples = samples, .seed = seed, .unread = UNREAD};
  double start = busy();
  Result *result = solve_or_die(solve_dmft, program, options);
  double seconds = busy() - start;
  memcpy(f, field_of(result, "f", 0)->data, RACE_OUTPUTS * sizeof *f);
  result_drop(result);
  program_drop(program);
  expr_pool_free(pool);
  return seconds;
}

static double by_alternation(const double *gram, unsigned seed, double *f) {
  static const double targets[RACE_POINTS] = {1, -1, 1, -1};
  Alternation how = {.points = RACE_POINTS,
                     .steps = RACE_STEPS,
                     .gram = gram,
                     .targets = targets,
                     .gamma = 1,
                     .eta = raced.eta,
                     .samples = 4000,
                     .paths = 1000,
                     .rounds = 12,
                     .damping = 0.3,
                     .seed = seed};
  double start = busy();
  alternate(&how, f);
  return busy() - start;
}

/* The errors of both fall as one over the root of their time, or faster: what they cost for equal
 * ones is compared by seconds times the square of the error. */
static void race_alternation(void) {
  enum { SEEDS = 2, SAMPLES = 1000, REFERENCE = 200000 };
  double exact[RACE_OUTPUTS], f[RACE_OUTPUTS], seconds[2] = {0}, square[2] = {0};
  by_theory(REFERENCE, 99, exact);
  Array *gram = recipe_gram(&raced, RACE_POINTS);
  for (int k = 0; k < 2 * SEEDS; k++) {
    int which = k % 2;
    unsigned seed = (unsigned)k / 2 + 1;
    double taken = which ? by_alternation(gram->data, seed, f) : by_theory(SAMPLES, seed, f);
    seconds[which] += taken / SEEDS;
    for (int i = 0; i < RACE_OUTPUTS; i++)
      square[which] += (f[i] - exact[i]) * (f[i] - exact[i]) / (SEEDS * RACE_OUTPUTS);
  }
  array_drop(gram);
  printf("\nf of two hidden layers of tanh, P=4 T=30, one thread      seconds   rms error\n"
         "alternation over all times, 4000 paths, 12 rounds     %11.3f %11.4f\n"
         "dmft, %d samples                                    %11.4f %11.4f\n"
         "ratio of seconds at equal error                       %11.0f\n",
         seconds[1], sqrt(square[1]), SAMPLES, seconds[0], sqrt(square[0]),
         seconds[1] * square[1] / (seconds[0] * square[0]));
}

/* bench [THREADS [PART OF A NAME]]: all, or the cases of such names. */
int main(int argc, char **argv) {
  enum { LARGEST = 1 << 28, KEPT = 1 << 30 };
  mallopt(M_MMAP_THRESHOLD, LARGEST); /* as the command does */
  mallopt(M_TRIM_THRESHOLD, KEPT);
  int threads = argc > 1 ? atoi(argv[1]) : processors();
  if (threads < 1) threads = 1;
  double rate = rate_of_products(1);
  if (threads > 1) rate = rate_of_products(threads);
  printf("\n%d thread%s%*s seconds      Gflop       GF/s  of product    peak MB    planned: Gflop, "
         "MB, seconds\n",
         threads, threads > 1 ? "s" : " ", 35, "");
  for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++) {
    Measure best;
    double megabytes = 0;
    if (argc > 2 && !strstr(tasks[i].name, argv[2])) continue;
    if (!measure(&tasks[i], threads, &best, &megabytes)) {
      printf("%-43s failed\n", tasks[i].name);
      return 1;
    }
    double speed = best.flops / best.seconds * threads * 1e-9;
    printf("%-43s %9.4f ", tasks[i].name, best.seconds);
    if (best.flops > 0)
      printf("%10.3f %10.2f %10.1f%%", best.flops * 1e-9, speed, 100 * speed / rate);
    else
      printf("%33s", "not counted");
    printf(" %10.0f", megabytes);
    if (best.plan.bytes > 0)
      printf(" %18.3f %8.0f %9.4f", best.plan.flops * 1e-9, best.plan.bytes * 1e-6,
             best.plan.seconds * threads);
    printf("\n");
  }
  if (argc > 2) return 0;
  if (!race(threads)) {
    printf("the race failed\n");
    return 1;
  }
  race_alternation();
  return 0;
}
