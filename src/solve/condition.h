/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The march in sequential form: what a random matrix does to the vectors it meets, one after the
 * other, given what it did to those before (Gaussian conditioning). Exact at any number S of
 * neurons, so that it samples networks of width S without S x S matrices; and with overlaps of
 * neurons in place of response functions, so that the whole is a chain of averages over neurons,
 * which the tape can read backward.
 *
 * With orthonormal directions q_x of what a matrix W met forward, and q_y of what it met backward,
 * in order of creation,
 *
 *     W   q_x = chi = sigma n + (<q_x xi> - sigma <q_y n>) q_y     over earlier q_y
 *     W^T q_y = xi  = sigma m + (<q_y chi> - sigma <q_x m>) q_x    over earlier q_x
 *
 * with fresh noise n, m. Then W x = L_x chi + L_x M q_y and W^T y = L_y xi + L_y M^T q_x, for
 * x = L_x q_x and y = L_y q_y, with the learned part M. The overlaps <q_y n> and <q_x m> have mean
 * zero, but they fluctuate. Of a direction too small to be kept, what is known of its image
 * remains: <rest xi> q_y for the rest of x; the error is then of second order in its size.
 *
 * In coordinates (linear programs) a frame takes the place of these bases: see frame.h. */
#ifndef DMF_SOLVE_CONDITION_H
#define DMF_SOLVE_CONDITION_H

#include "base/status.h"
#include "solve/frame.h"
#include "solve/noise.h"
#include "solve/step.h"
#include "solve/tape.h"

#include <signal.h>

/* The maps of a program for the tape, and Delta. Kinks are rounded over a distance `rounding`
 * [op_count] (NULL: nothing is) in derivatives alone: what a derivative at each sample misses are
 * the samples that cross a kink. */
typedef struct ConditionCode {
  TapeMap **maps;  /* [op_count] */
  TapeMap **delta; /* [C]: of f_0 .. f_{C-1}, y_0 .. y_{C-1} */
} ConditionCode;
ConditionCode condition_compile(const Program *program, const double *rounding);
void condition_code_free(const Program *program, ConditionCode *code);
/* Whether every kink of the program can be rounded. */
bool condition_rounds(const Program *program);

typedef struct ConditionPlan {
  const Program *program;
  const ConditionCode *code;
  NoiseSource noise;
  const double *weights; /* of the neurons; NULL: equal */
  double gamma;
  double tol;         /* directions that stand out by less, relative to the fields, are dropped */
  const Frame *frame; /* coordinates: of the scout; NULL: this is the scout */
  bool responses;     /* measure those of the frame */
  bool improve;       /* noise is made orthogonal to earlier noise and fields */
  bool lazy;          /* kernels stay what they are at t = 0 */
  bool pinned;        /* <z x>(0) / gamma, zero in the mean, is given that value */
  bool record;
  int parts; /* of a step of gradient flow: Instant */
  int steps; /* T */
  const volatile sig_atomic_t *stop;
} ConditionPlan;

/* A run: the tape, and where on it the order parameters are. */
typedef struct Condition {
  Tape *tape;
  View *f;                   /* [T+1]: [C, R] */
  View **x_kernel;           /* [matrix][T+1]: <x x> of all rows; slab -1 on thin sides */
  View **y_kernel;           /* [matrix][T+1]: <y y> */
  View **g_kernel;           /* [matrix][T+1]: <y g>, g what the matrix learns */
  View **phi_kernel;         /* [matrix][T+1]: of the features that x holds rows of */
  View **x_field, **y_field; /* [matrix][T+1]: those features, and what it met backward */
  View *field;               /* [variable], at the last step */
  int *mark;                 /* [T+1]: the tape's mark at the end of each step's measurements */
  int *noise_count;          /* [space] */
  double *scale;             /* [variable]: root mean square at t = 0, of wide variables */
  int rank;
} Condition;

/* An upper bound of what a run of S columns over `steps` moves holds: all fields of all times, and
 * for each matrix its bases with their images and noise. */
double condition_bytes(const Program *program, size_t columns, size_t steps);

/* On failure the condition is empty; *failed_at is the step. STATUS_LIMIT: memory, or, with
 * coordinates or a grid, too few columns for the noise. */
Status condition_run(const ConditionPlan *plan, Condition *condition, int *failed_at);
/* The frame of a linear program; failures as above. */
Status condition_scout(const ConditionPlan *plan, Frame *frame, int *failed_at);
/* The tangent kernel of the training points at step t, [P, P], mean over outputs. */
void condition_ntk(const Program *program, const Condition *condition, size_t t, double *ntk);
/* The entry (a, b) of the same as a sum of factor g phi, each an entry of a table, or a number
 * where the table has slab -1: writes at most condition_ntk_terms of them, and returns how many. */
typedef struct NtkTerm {
  double factor, g, phi;
  View g_table, phi_table;
  size_t g_row, g_col, phi_row, phi_col;
} NtkTerm;
size_t condition_ntk_terms(const Program *program);
size_t condition_ntk_expand(const Program *program, const Condition *condition, size_t t, size_t a,
                            size_t b, NtkTerm *terms);
void condition_free(const Program *program, Condition *condition);

#endif
