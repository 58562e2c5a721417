/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What every interpreter of a field program does alike: elementwise maps, kernels at equal times,
 * the tangent kernel, the parts of a training step that are small. A vector has n entries: the
 * sample paths of the march, or the neurons of a network; <,> is the mean over them. Functions
 * return the floating point operations of their products. */
#ifndef DMF_SOLVE_STEP_H
#define DMF_SOLVE_STEP_H

#include "field/program.h"
#include "scalar/kernel.h"

#include <stddef.h>

/* The sizes that shape fields and results. */
typedef struct Sizes {
  size_t steps;   /* T + 1 */
  size_t points;  /* P */
  size_t all;     /* R = P + P* */
  size_t outputs; /* C */
} Sizes;

Sizes sizes_of(const Program *program);
bool is_wide(const Program *program, int space);
/* Both sides are populations. */
bool is_wide_matrix(const Program *program, const Matrix *matrix);
/* R A, or R A C for what flows backward, with A positions. */
size_t rows_of(const Program *program, int variable);
/* The rows of y that training sees, P A C: row k goes with row k / C of x. */
size_t training_rows(const Program *program, const Matrix *matrix);
/* The force[P, C] on such a row. */
double force_on(const Program *program, const Matrix *matrix, const double *force, size_t row);
/* The most rows that a wide variable has. */
size_t most_rows(const Program *program);
/* Whether a matrix has two-time responses: between populations, with one output, without positions;
 * and how many layers of a result have them, L-1 or none. */
bool has_responses(const Program *program, int matrix);
int response_layers(const Program *program);
/* Numbers in the workspace of tangent_kernel, and in that of advance_thin. */
size_t tangent_size(const Program *program);
size_t mixing_size(const Program *program);
/* Inner products of the vectors on a matrix's input side; NULL: all ones. */
const double *gram_of(const Program *program, const Matrix *matrix);
/* F [k, k] with F F^T the inner products of the k vectors on a matrix's thin side: the Gram matrix,
 * all ones, or the identity of the outputs. Returns the rank, -1 if the Gram matrix is not positive
 * semidefinite. */
int thin_root(const Program *program, const Matrix *matrix, double *root);
/* Number of vectors on the thin side. */
size_t thin_vectors(const Program *program, const Matrix *matrix);

/* The expressions of a program, compiled. */
typedef struct Compiled {
  Kernel **maps; /* [op_count], NULL where the op is no map */
  Kernel *loss;
  Kernel **delta; /* [C] */
} Compiled;
Compiled compile(const Program *program);
void compiled_free(const Program *program, Compiled *compiled);

/* fields[dst] = map(fields[src], ...), elementwise; a forward argument of a backward map serves all
 * outputs of its point. */
void run_map(const Program *program, const Op *op, const Kernel *map, double *const *fields,
             size_t n);

/* fields[dst] = Delta fields[src], for each point and output. */
void run_weigh(const Program *program, const Op *op, const double *delta, double *const *fields,
               size_t n);

/* fields[dst] = rows of fields[src] combined. */
void run_rows(const Program *program, const Op *op, double *const *fields, size_t n);

/* Row r of a thin matrix's image is row r mod vectors of its table. */
void apply_thin(const Program *program, const Matrix *matrix, const double *table, size_t rows,
                size_t n, double *out);

/* For points with outputs f and targets y [points, C]: ell[points], summed over outputs, and Delta
 * [points, C]; either may be NULL. */
void run_loss(const Program *program, const Compiled *compiled, size_t points, const double *f,
              const double *y, double *ell, double *delta);
/* Delta[P, C] at the predictions f[R, C] of the training. */
void training_delta(const Program *program, const Compiled *compiled, const double *f,
                    double *delta);
/* force[P, C] = w_mu(t) Delta_{mu c} */
void training_force(const Program *program, int t, const double *delta, double *force);

/* W <- keep W + push V, and V <- beta V; what O adds to both is the caller's. V may be NULL when
 * nothing is remembered. */
void advance_table(const Move *move, size_t n, double *w, double *v);

/* One step of the images of a thin matrix, table[vectors, n], and of their velocity (NULL without
 * momentum): images of inputs take up Gram-weighted y, readouts the features. `mixing` is workspace
 * [mixing_size]. */
double advance_thin(const Program *program, const Matrix *matrix, const Move *move,
                    const double *force, double *const *fields, size_t n, double *mixing,
                    double *table, double *velocity);

/* <v v> of a variable over points, [R, R], mean over positions and outputs. */
double equal_time_kernel(const Program *program, int variable, const double *v, size_t n,
                         double *kernel);

/* The tangent kernel sum_m rate_m <y g>_m o Phi_m, g what the matrix learns, summed over pairs of
 * positions, for every pair of outputs, full[R C, R C] (with workspace behind it, tangent_size in
 * all), and its training block, mean over outputs, ntk[P, P], unless NULL. x_kernel[m][R, R] are
 * the kernels of features at this time, NULL entries for thin sides; they are made where x_kernel
 * is NULL. */
double tangent_kernel(const Program *program, double *const *fields, size_t n,
                      double *const *x_kernel, size_t offset, double *full, double *ntk);

/* f[R C] and its velocity, moved by the tangent kernel as a matrix is by its gradients: with plain
 * steps f <- f + rate sum K force, the change of f to leading order in the rate. */
void advance_output(const Program *program, const double *full, const Move *move,
                    const double *force, double *f, double *velocity);

/* Every entry of one forward variable at one step: samples[(number * n + i) * R + row], where the
 * march or network of this number fills in its n entries; or, with `look`, what that makes of all
 * fields. Nothing beyond that step is run. */
typedef struct Snapshot {
  int variable, step;
  double *samples;
  void (*look)(void *sink, int number, double *const *fields, size_t n); /* by several threads */
  void *sink;
} Snapshot;
/* Takes the picture when its time has come; snapshot may be NULL. */
void snapshot_take(const Program *program, const Snapshot *snapshot, int t, int number,
                   double *const *fields, size_t n);

/* The mean loss of the training points at the predictions f[R, C]. */
double training_loss(const Program *program, const Compiled *compiled, const double *f);
/* The loss beyond which training has diverged: DIVERGED times what it is at the start f[R, C], ntk
 * [P, P], times 1 + (K/gamma)^2 for the output of K/gamma that fields of order one can give, as
 * they do on their way to a flatter place when the first steps are too large. gamma = INFINITY
 * where kernels cannot change. No bound where the loss starts at 0. */
enum { DIVERGED = 1000000 };
double loss_limit(const Program *program, const Compiled *compiled, const double *f,
                  const double *ntk, double gamma);
/* Whether the predictions f[R, C] are beyond that limit, or any of them is not below 1e100. */
bool has_diverged(const Program *program, const Compiled *compiled, const double *f, double limit);
/* True while all entries are finite and below 1e100. */
bool is_sane(const double *x, size_t n);

#endif
