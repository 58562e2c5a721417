/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The solvers that read a field program, and what they need from outside. They print nothing and
 * know no places: a status and a sentence go back to the caller, who knows which line of the script
 * asked. */
#ifndef DMF_SOLVE_SOLVE_H
#define DMF_SOLVE_SOLVE_H

#include "base/crew.h"
#include "base/status.h"
#include "field/observable.h"
#include "result/result.h"

#include <signal.h>
#include <stdint.h>

enum { FEWEST_SAMPLES = 32 };

typedef struct SolveOptions {
  int threads; /* > 0; the numbers do not depend on it */
  uint64_t seed;
  const Crew *crew;              /* that shares the work, or NULL */
  struct Checkpoint *checkpoint; /* that keeps the runs which are done (checkpoint.h), or NULL */
  const volatile sig_atomic_t *stop; /* becomes nonzero when the user wants out */
  /* Told of steps that are done, and of the share of the work that lies behind, 0 where steps are
   * alike; NULL: silent */
  void (*progress)(void *sink, const char *stage, int done, int total, double work);
  void *sink;
  int parts; /* of a step of gradient flow (Instant); 0: as many as its error asks for (flow.h) */
  int first_parts; /* the first to try; 0: 1 */
  bool probe;      /* the first few replicates or members alone, to see what the parts do to them */
  /* dmft */
  int samples;    /* sample paths in all, at least FEWEST_SAMPLES */
  int replicates; /* of these samples; 0: chosen */
  Closure closure;
  double tol;   /* rank truncation, relative to the fields; 0: chosen from gamma */
  double error; /* of f, stated, that is asked for: samples grow until it is no larger; 0: none */
  int most;     /* but not beyond these samples */
  /* simulate */
  int steps;       /* of a system */
  int width;       /* N */
  int ensemble;    /* members, > 1 for error bars */
  FieldSet unread; /* fields that may wait until somebody asks for them */
  /* when stopped, the members that are done (two or more), the replicates that are done, or the
   * steps of these so far make a result */
  bool partial;
  bool conditioned; /* products of matrices are sampled as they are met; the same law */
  bool single;      /* matrices are in single precision, where their optimizer is plain */
} SolveOptions;

/* Whether these options ask for the lazy limit; and whether it is that of f moving by a constant
 * tangent kernel, which is solved without a machine. Other programs are run at solve_gamma, which
 * else is their own. */
bool solve_is_lazy(const Program *program, const SolveOptions *options);
bool solve_is_tangent(const Program *program, const SolveOptions *options);
double solve_gamma(const Program *program, const SolveOptions *options);

/* Why solve_dmft would refuse these options, known before anything is solved; NULL when it would
 * not. */
const char *solve_refuses(const Program *program, const SolveOptions *options);

/* The infinite-width saddle point of a program: kernels, responses, predictions at t = 0..T, with
 * errors; exact when every map is affine. theory.md section 2, Infinite width. Where so few samples
 * are asked for that the fields fill sample space, twice as many are taken, while that costs
 * little. With options->error, samples grow until no stated error of f or f_test is larger, or
 * until there are `most`, or no memory for more. On failure *result is NULL and *why (to be freed)
 * says what went wrong and at which step. With `partial`, STATUS_INTERRUPTED may come with a
 * result, of fewer replicates, or of fewer steps, as *why then says; the program has these steps
 * then. */
Status solve_dmft(Program *program, const SolveOptions *options, Result **result, char **why);

/* The limit of infinite depth of programs that each stand behind `deeper` of the one before, from
 * what solve_dmft says of them: deep.h. Options are its options. STATUS_NUMERICS where f does not
 * settle as the depth grows. */
Status solve_deep(Program *program, const SolveOptions *options, Result **result, char **why);

/* As solve_refuses, of solve_system. */
const char *solve_system_refuses(const Program *program, const SolveOptions *options);
/* The mean-field theory of a system, and an ensemble of systems of finite size: what it observes at
 * t = 0 .. steps - 1, with errors; of systems also N times the variances. Exact where the program
 * is linear. Failures are told as above. */
Status solve_system(Program *program, const SolveOptions *options, Result **result, char **why);
Status solve_system_networks(Program *program, const SolveOptions *options, Result **result,
                             char **why);
/* Fields of two times have variances as long as they have no more numbers. */
enum { MOST_VARYING_PAIRS = 4096 };
/* The fields that these give, without values; `sized`: of systems of finite size. */
Result *solve_system_promise(const Program *program, const SolveOptions *options, bool sized);
/* Adds N times the variance of one of its fields, without values. */
ResultField *solve_system_variance(Result *result, const Program *program, int field);
/* Adds the steps; false if the memory cannot be had. */
bool solve_system_times(Result *result, size_t steps);
/* The shape of a field over all steps; its rank. */
int solve_system_shape(const Program *program, int field, size_t steps,
                       size_t shape[ARRAY_MAX_RANK]);

/* What a solve takes on this machine: an upper bound of its memory, and about how many operations
 * and seconds (plan.h); these are 0 where nothing is sampled or trained, or nothing is known of
 * them. Gradient flow takes several times as much, as its error asks for. */
typedef struct SolvePlan {
  double bytes, flops, seconds;
  double error; /* that is asked for, which may take more samples than are planned; 0: none */
} SolvePlan;
void solve_plan_dmft(Program *program, const SolveOptions *options, SolvePlan *plan);
void solve_plan_networks(Program *program, const SolveOptions *options, SolvePlan *plan);
/* A field that fluctuates. */
typedef struct NoiseField {
  int id;    /* the FieldId of the field itself; its place among what a system observes */
  int layer; /* 0 of a plain one */
} NoiseField;
/* What is asked of fluctuations: what they have at once; or by its `name` a field that comes later;
 * or covariances of two fields; or variances of n numbers that read fields. */
typedef struct NoiseAsked {
  const char *name;
  const NoiseField *fields;
  int count;
  size_t n; /* 0: covariances */
} NoiseAsked;
/* Of fluctuations around a theory, which need not be solved. Samples that are to be chosen become
 * those that are. */
void solve_plan_fluctuations(const Result *theory, SolveOptions *options, const NoiseAsked *asked,
                             SolvePlan *plan);
/* Of a system, in theory or `sized`. */
void solve_plan_system(Program *program, const SolveOptions *options, bool sized, SolvePlan *plan);

/* What to know of a result of solve_dmft beside its errors, a sentence to be freed; or NULL. */
char *solve_caution(const Result *result);
/* What a result in single precision has in double for all that, a sentence to be freed; or NULL. */
char *solve_precision_caution(const Result *result);

/* The lazy limit of a program: kernels at initialisation by quadrature or closed form, f by the
 * tangent kernel. solve_dmft calls it for CLOSURE_NTK and the NTK parameterization. Nothing is
 * sampled, unless in the latter f(0) has to be drawn (lazy.c), or layers mix fields (mixed.h). */
Status solve_lazy(Program *program, const SolveOptions *options, Result **result, char **why);

/* The learning rate beyond which plain gradient descent on a loss with Delta linear in f is
 * unstable as long as kernels are those of initialisation, 2 P / (c lambda) with the largest
 * eigenvalue of the tangent kernel; INFINITY where that is not known. */
double solve_stable_rate(Program *program, int threads);

/* Why a result of solve_dmft has no f at t = infinity; NULL where it has. */
const char *solve_lacks_limit(const Result *theory);

/* An ensemble of networks of width N, trained step by step as the program says: means, ensemble
 * errors, and N-scaled variances. theory.md section 5, Networks. With `partial`, STATUS_INTERRUPTED
 * may come with a result, that of a smaller ensemble, as *why then says. */
Status solve_networks(Program *program, const SolveOptions *options, Result **result, char **why);

/* Give a result that lies ready (it was read from a file) the origin that the solvers above give
 * theirs: it can then complete itself and have its samples taken. Nothing is solved. */
void solve_dmft_origin(Result *result, Program *program, const SolveOptions *options);
void solve_lazy_origin(Result *result, Program *program, const SolveOptions *options);
void solve_networks_origin(Result *result, Program *program, const SolveOptions *options);
/* Fluctuations over initialisations at order 1/N around a result of solve_dmft or solve_system: N
 * times variances and covariances (theory.md section 6, Fluctuations), of systems of what they
 * observe. options->samples = 0 chooses.
 * solve_refuses_fluctuations says why there are none, or NULL. */
const char *solve_refuses_fluctuations(const Result *theory);
Status solve_fluctuations(const Result *theory, const SolveOptions *options, Result **result,
                          char **why);

/* N times the covariance, with its error, of any two fields that have variances: of the numbers
 * that these are of, [axes of the variances of a, then of b], in a result of solve_fluctuations.
 * The runs are repeated. */
/* The field of a theory by this name and layer; false where its fluctuations are not known. */
bool solve_fluctuates(const Program *program, const char *name, int layer, NoiseField *field);
const char *solve_noise_name(const Program *program, NoiseField field);
int solve_covariance_shape(const Result *noise, NoiseField a, NoiseField b,
                           size_t shape[ARRAY_MAX_RANK]);
Status solve_covariance(const Result *noise, NoiseField a, NoiseField b, Array **value,
                        Array **error, char **why);

/* How a number depends on an entry of a field of a theory, and by how much that may be wrong. */
typedef struct Slope {
  NoiseField field;
  size_t entry;
  double slope, doubt;
} Slope;
/* A number as its slopes with respect to fields. */
typedef struct Slopes {
  Slope *list;
  size_t count;
} Slopes;
/* N times the variances [n] of n such numbers around a result of solve_dmft, with their errors: the
 * delta method. Options are those of solve_fluctuations. */
Status solve_variances(const Result *theory, const SolveOptions *options, const Slopes *of,
                       size_t n, double *value, double *error, char **why);

/* Networks of finite width, to order 1/N, from a theory and its fluctuations (whose mean shift is
 * computed if it has not been): means, standard deviations, the loss as bias and variance. */
Status solve_predict(const Result *theory, Result *noise, double width, Result **result,
                     char **why);

/* The samples of the field h that the nonlinearity of hidden layer l = 1..L reads at a step 0..T of
 * a result: [samples, points + tests], the sample paths of all replicates of a dmft result, the
 * neurons of all members of a simulate result. The run is repeated up to that step. STATUS_SCRIPT
 * where the result has no samples (it was solved exactly), STATUS_LIMIT with the bytes. */
Status solve_preactivations(Result *result, int layer, int step, Array **samples, char **why);

#endif
