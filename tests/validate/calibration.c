/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Are the errors that dmft prints those it makes? Over many seeds, the deviation of f, loss, ntk
 * and Phi from a converged answer is taken in units of the printed standard error. Its root mean
 * square is one where errors are honest; outside [0.6, 1.5] the program fails. Takes some minutes.
 *
 * Usage: calibration [SEEDS [PROBLEM]], to go on from a problem by its number, from 0 */
#include "../unit/problem.h"

#include <unistd.h>

enum { SEEDS = 40, REFERENCES = 16, REFERENCE_SAMPLES = 64000, LAYERS = 3 };
enum { F, LOSS, NTK, PHI, KINDS = PHI + LAYERS };
static const double LOWEST = 0.6, HIGHEST = 1.5;

static int processors(void) {
  long n = sysconf(_SC_NPROCESSORS_ONLN);
  return n > 0 ? (int)n : 1;
}

static Result *solve(Program *program, int samples, uint64_t seed) {
  return solve_or_die(solve_dmft, program,
                      (SolveOptions){.samples = samples, .seed = seed, .threads = processors()});
}

static const Array *value_of(Result *result, int kind) {
  return kind == F      ? field_of(result, "f", 0)
         : kind == LOSS ? field_of(result, "loss", 0)
         : kind == NTK  ? field_of(result, "ntk", 0)
                        : field_of(result, "Phi", kind - PHI + 1);
}

static const Array *doubt_of(Result *result, int kind) {
  return kind == F      ? error_of(result, "f", 0)
         : kind == LOSS ? error_of(result, "loss", 0)
         : kind == NTK  ? error_of(result, "ntk", 0)
                        : error_of(result, "Phi", kind - PHI + 1);
}

/* The mean over many large runs with seeds of their own, and its variance. */
typedef struct Reference {
  int kinds;
  double *mean[KINDS], *variance[KINDS];
} Reference;

static Reference reference_of(Program *program) {
  Reference r = {.kinds = PHI + program->layers};
  for (int j = 0; j < REFERENCES; j++) {
    Result *result = solve(program, REFERENCE_SAMPLES, 100000 + (uint64_t)j);
    for (int k = 0; k < r.kinds; k++) {
      const Array *x = value_of(result, k);
      if (!r.mean[k]) r.mean[k] = mem_block(x->size);
      if (!r.variance[k]) r.variance[k] = mem_block(x->size);
      for (size_t i = 0; i < x->size; i++) {
        double d = x->data[i] - r.mean[k][i];
        r.mean[k][i] += d / (j + 1);
        r.variance[k][i] +=
            d * (x->data[i] - r.mean[k][i]) / ((double)REFERENCES * (REFERENCES - 1));
      }
    }
    result_drop(result);
  }
  return r;
}

static void reference_free(Reference *r) {
  for (int k = 0; k < r->kinds; k++) {
    free(r->mean[k]);
    free(r->variance[k]);
  }
}

/* Sums of squared deviations over entries that are known only up to an error; what is exact (f at
 * t = 0) must agree to rounding. */
typedef struct Tally {
  double squares, entries;
  bool broken;
} Tally;

static void count(Tally *tally, const Array *x, const Array *error, const double *mean,
                  const double *variance) {
  for (size_t i = 0; i < x->size; i++) {
    double d = x->data[i] - mean[i], unit = error->data[i] * error->data[i] + variance[i];
    if (unit > 1e-24) {
      tally->squares += d * d / unit;
      tally->entries++;
    } else if (fabs(d) > 1e-10) {
      tally->broken = true;
    }
  }
}

static double rms(const Tally *tally) {
  return tally->broken ? INFINITY : sqrt(tally->squares / fmax(1, tally->entries));
}

/* Prints one line; false if a number is out of bounds. */
static bool calibrate(Program *program, const Reference *reference, int samples, int seeds) {
  Tally tally[PHI + 1] = {{0}};
  for (int s = 0; s < seeds; s++) {
    Result *result = solve(program, samples, (uint64_t)s);
    for (int k = 0; k < reference->kinds; k++)
      count(&tally[k < PHI ? k : PHI], value_of(result, k), doubt_of(result, k), reference->mean[k],
            reference->variance[k]);
    result_drop(result);
  }
  bool fine = true;
  printf("%9d", samples);
  for (int k = 0; k <= PHI; k++) {
    double z = rms(&tally[k]);
    bool within = z >= LOWEST && z <= HIGHEST;
    printf("%8.2f%c", z, within ? ' ' : '!');
    fine = fine && within;
  }
  printf("\n");
  fflush(stdout);
  return fine;
}

int main(int argc, char **argv) {
  int seeds = argc > 1 ? atoi(argv[1]) : SEEDS, skip = argc > 2 ? atoi(argv[2]) : 0;
  int failures = 0, lines = 0;
  static const Prim maps[] = {PRIM_TANH, PRIM_RELU};
  static const double gammas[] = {0.2, 1, 3};
  static const int samples[] = {2000, 8000};
  ExprPool *pool = expr_pool_new();
  printf("rms deviation in units of the printed error, %d seeds (! outside %.1f to %.1f)\n", seeds,
         LOWEST, HIGHEST);
  printf("phi   L gamma   samples       f     loss      ntk      Phi\n");
  for (int m = 0; m < 2; m++)
    for (int depth = 2; depth <= LAYERS; depth++)
      for (int g = 0; g < 3; g++) {
        if (skip-- > 0) continue;
        Program *program = recipe_program(pool, (Recipe){.phi = maps[m],
                                                         .depth = depth,
                                                         .points = 3,
                                                         .tests = 1,
                                                         .steps = 20,
                                                         .gamma = gammas[g],
                                                         .eta = 0.2});
        Reference reference = reference_of(program);
        for (int s = 0; s < 2; s++, lines++) {
          printf("%s  %d %5.1f ", prim_name(maps[m]), depth, gammas[g]);
          failures += !calibrate(program, &reference, samples[s], seeds);
        }
        reference_free(&reference);
        program_drop(program);
      }
  expr_pool_free(pool);
  printf("calibration: %d passed, %d failed\n", lines - failures, failures);
  return failures > 0;
}
