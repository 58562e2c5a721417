/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The field program: one training step of a network as a short straight-line program over vectors.
 * It is the one intermediate form of dmf; every solver is an interpreter of it, and nothing behind
 * it knows the name of an architecture.
 *
 * Spaces. A vector lives on a space: a population of N neurons (wide), the inputs (known only
 * through their Gram matrix), or the C outputs. The sides of a matrix that are not wide are *thin*:
 * finitely many known vectors with a known Gram matrix.
 *
 * Variables carry one vector per row; rows are the points mu (training, then test), with positions
 * the pairs (mu, p), and for what flows backward (mu, c) or (mu, p, c); what stands last runs
 * fastest. A matrix acts on every row alike. OP_ROWS combines rows of one point: a convolution is a
 * sum of matrices, one for each pixel of the window, that act on shifted rows. Other variables are
 * tables of plain numbers: outputs and errors [(mu, c), 1], kernels [a, b], losses [1, 1]; those of
 * pairs of rows of one block of rows, a point, are [(mu, p), q]: OP_GRAM makes them, and OP_BLEND
 * combines the rows q by them to rows p.
 *
 * The program of a system has no inputs, no outputs and no Update: a start, which runs once, and a
 * step. Its variables have rows of their own, and matrices meet whatever their ops say.
 *
 * Scaling. Matrices are operators that keep fields of order one: W between populations carries
 * 1/sqrt(N), from the inputs 1/sqrt(D), and the readout gives f = w . x / (gamma N). Everything
 * that flows backward is gamma N times a derivative of f (g and z of theory.md section 1, The
 * network). In these units the direction of descent of every trained matrix is
 *
 *     O(t) = sum_{mu,c} w_mu(t) Delta_{mu c} g_{mu c} <x_mu, .>
 *
 * with <,> the inner product of its source space: x.x'/N, the Gram matrix, or delta_cc', and
 * w_mu(t) the share of the point in the mean loss. What a step makes of it is the program's Update.
 */
#ifndef DMF_FIELD_PROGRAM_H
#define DMF_FIELD_PROGRAM_H

#include "model/dynamics.h"
#include "model/problem.h"

typedef enum SpaceKind { SPACE_WIDE, SPACE_INPUT, SPACE_OUTPUT } SpaceKind;

enum { NO_SPACE = -1 }; /* of a table */

typedef struct Space {
  SpaceKind kind;
  char *name;
  double ratio; /* SPACE_WIDE: it has ratio N neurons */
  bool data;    /* SPACE_INPUT: of the data, not the constant input that feeds a bias */
  /* SPACE_INPUT: inner products of its vectors, [rows, rows] of the variable on it. NULL means all
   * ones, or of data that nothing computes with them: a check leaves out what is much work */
  Array *gram;
  Array
      *vectors; /* SPACE_INPUT: the vectors themselves, [rows, D], where they are known; or NULL */
  int units;    /* SPACE_INPUT: behind these rows, in both, stand so many more: sqrt(D) times the
                   unit vectors, whose images a tied readout takes to the outputs */
} Space;

typedef struct Matrix {
  char *name;
  int from, to;  /* spaces */
  double sigma;  /* standard deviation of the initial entries, in operator units */
  Array *start;  /* of a matrix from the inputs whose initial entries have scales of their own: the
                    inner products that they see, or NULL */
  double mean;   /* their mean, of a matrix to the outputs, the same for all of them */
  Law law;       /* of the matrix whose entries it is */
  double rate;   /* multiplies the learning rate of what it takes up; 0 when frozen */
  double decay;  /* multiplies the learning rate of its decay: the rate that a script gives it */
  bool grown;    /* what another one has learned, apart from its start: feedback passes it by */
  double factor; /* a positive number in front of it, which is part of sigma, and squared of rate */
  int group;     /* 0: it moves by the program's update; or k + 1, by that of group k */
  int weights;   /* the matrix whose entries it is: itself, or an earlier one that is used again */
  bool averaged; /* a use of the average of the entries over the steps so far, not of these */
  /* the variables it meets forward (source side, -1: never) and backward (target side); of a
   * transpose in the forward pass y flows forward, with its rows once for each output, and x
   * backward */
  int x, y;
  int learns; /* g, the variable that its updates take up with x: y, or a learning rule's stand-in
               */
  int force; /* of a completed program: the weights of the rows of g, -1 where nothing is learned */
  /* what it meets on that side depends, neuron by neuron, on its own noise: W x responds to W^T y
   */
  bool responds_x, responds_y;
  int features;   /* the variable that x holds rows of: x itself, or what it was shifted from */
  bool symmetric; /* of a system: entries (i, j) and (j, i) have correlation tau */
  double tau;
  int fan_in; /* entries of the vectors that a neuron reads, times N for a population */
} Matrix;

typedef struct Variable {
  char *name;
  int space;      /* or NO_SPACE */
  bool backward;  /* rows (mu, p, c) rather than (mu, p) */
  bool uniform;   /* its rows are the same at all points */
  int positions;  /* A >= 1 */
  int rows, cols; /* of a table; rows of all variables of a system */
} Variable;

/* Known numbers, [rows, cols] at all times, or [steps, rows, cols] from step to step, or from move
 * to move (Instant). */
typedef struct Constant {
  size_t rows, cols, steps; /* steps 0: at all times */
  bool moves;
  double *numbers;
} Constant;

/* Rows of one point from rows of one point: row p of the result is the sum of weight[k] times row
 * source[k] over begin[p] <= k < begin[p+1]. */
typedef struct RowMap {
  int to, from; /* positions of the result, and of what it is made of */
  int *begin;   /* [to + 1] */
  int *source;
  double *weight;
  char *about, *back; /* for people, behind the variable: "at p + 1", and of the transposed map */
} RowMap;

typedef enum OpKind {
#define OP(id, back, pure) OP_##id,
#include "field/ops.def"
#undef OP
} OpKind;

/* Maps of a layer have one argument less: their derivatives are multiplied by the adjoint. */
enum { OP_MAX_ARGS = 9 };

typedef struct Op {
  OpKind kind;
  int dst;
  int matrix;           /* OP_APPLY, OP_APPLY_T, OP_LEARN */
  int src[OP_MAX_ARGS]; /* OP_APPLY, OP_APPLY_T: src[0] */
  int src_count;
  const Expr *expr;              /* OP_MAP: of its src_count arguments */
  int rows;                      /* OP_ROWS: the row map */
  int constant;                  /* OP_CONST */
  int group;                     /* OP_MOMENT: rows of a group */
  double factor;                 /* OP_AVERAGE, OP_GRAM, OP_BLEND, OP_FILL, OP_DECAY */
  int blocks;                    /* OP_GRAM, OP_BLEND, OP_SOFTMAX: how many blocks of rows */
  bool causal;                   /* OP_SOFTMAX */
  int first[2];                  /* OP_BLOCK: its first row and column */
  bool transpose_a, transpose_b; /* OP_MIX; of OP_BLEND that of src_0 */
  bool once;                     /* at t = 0 only; what it makes stays */
} Op;

/* A result field as a value of the program. */
typedef struct ProgramObservable {
  int field; /* a FieldId */
  int layer; /* 0 for plain fields */
  int variable;
  int first, rows; /* its rows of the variable */
} ProgramObservable;

/* How a program is completed: what stands behind its passes. */
typedef struct Reading {
  bool theory;     /* at infinite width: f starts at its mean, zero */
  bool integrates; /* f follows the tangent kernel rather than the weights */
  bool lazy;       /* kernels and fields stay what they are at t = 0 */
  int parts;       /* of a step of gradient flow: Instant */
} Reading;

/* What an optimizer makes of the history of an entry O_ij(t), entry by entry:
 *
 *     m <- beta1 m + (1 - beta1) O,   v <- beta2 v + (1 - beta2) O^2        m = v = 0 at first
 *     psi = (m / c1) / (sqrt(v / c2) + eps)                                 0 where m = 0
 *
 * with c = 1 - beta^(t+1) for moments that are corrected for their start, or 1; or
 *
 *     psi = sign(beta1 m + (1 - beta1) O),   m <- beta2 m + (1 - beta2) O */
typedef enum PsiKind { PSI_ITSELF /* psi = O */, PSI_ROOT, PSI_SIGN } PsiKind;
typedef struct Psi {
  PsiKind kind;
  double beta1, beta2, eps;
  bool corrected;
  double c1, c2; /* of a move */
} Psi;

/* Muon: matrices between populations move by eta gamma times the polar factor of V, as operators;
 * their singular values become 1, exactly or by Newton-Schulz steps. */
typedef struct Polar {
  bool on, exact;
  double eps; /* of exact ones: singular values s of entries of order one become s / hypot(s, eps
                 sqrt(N_to N_from)) */
} Polar;

/* How training moves every trained matrix at step t = 0..T-1, with eta_t the learning rate times
 * the rate of the matrix:
 *
 *     V <- beta V + O(t)                                      V = 0 at first
 *     W <- (1 - lambda eta_t) W + eta_t gamma V               or O(t) + beta V with nesterov
 *            + sqrt(2 eta_t T) Xi(t)       entries as of an initial matrix of sigma 1, fresh each
 * step
 *
 * Underdamped, the decay and the noise enter V, and W <- W + eta_t gamma V:
 *
 *     V <- beta V + O(t) - (lambda / gamma) W + sqrt(2 (1 - beta) T / eta_t) / gamma Xi(t)
 *
 * In the units of the network it is theta <- (1 - eta_t lambda) theta - eta_t gamma^2 N v.
 *
 * An entrywise optimizer has psi(O_ij, and what it was before) in the place of V, where O has
 * entries O_ij = sum w Delta g_i x_j: -gamma N sqrt(fan) d loss / d theta of the weight theta, with
 * fan the fan-in, or 1 for readouts and biases. theta moves by eta gamma psi / sqrt(fan).
 *
 * Averages of the weights are A <- average A + (1 - average) W behind each step, from A = W.
 *
 * The gradients of a step may be scaled together first, by what their norm says,
 *
 *     n = gamma sqrt(N) |d loss / d theta|,   n^2 = sum w Delta w' Delta' K,   K <g g'> <x x'>
 * summed
 *
 * over trained matrices: by min(1, clip / n), or by 1 / n.
 *
 * Gradient flow, dW/dtau = eta gamma O - lambda eta W over a time dt, is integrated in `parts`
 * steps of the Runge-Kutta method of third order that needs no more than V (J. H. Williamson,
 * J. Comput. Phys. 35, 48, 1980; the decay, which is linear, is taken out exactly). It has three
 * stages, each a move with gradients of its own. */
typedef struct Update {
  int steps;
  const double *eta;    /* [T] */
  double dt;            /* what a step of gradient flow takes; 1 of others */
  const double *weight; /* w [T, P], each row of sum 1; NULL: 1/P throughout */
  double momentum;      /* beta */
  bool nesterov;
  double clip; /* 0: none */
  bool normalized;
  double decay;       /* lambda */
  double temperature; /* T */
  bool inert;         /* underdamped */
  double average; /* what averages of the weights keep of themselves in a step; 0: there are none */
  bool flow;
  Psi psi; /* of an entrywise optimizer, without momentum, temperature, or flow */
  /* of matrices between populations, with the momentum; others move by psi at rates of their own */
  Polar polar;
  double *other_rate; /* [T], or NULL */
} Update;

/* A move within the training: stage 0 .. stages_of - 1 of the step t = 0 .. T-1, of which an
 * integrator makes `parts`. */
typedef struct Instant {
  int t, stage, parts;
} Instant;

typedef struct Program {
  int references;   /* of a completed program: 1 */
  Problem *problem; /* owned: data, training, names; NULL of a system */
  System *system;   /* owned: what is observed; NULL of a training */
  int start_count;  /* ops[0..start_count) are the start of a system */
  ExprPool *pool;   /* of the expressions; belongs to the session */

  Space *spaces;
  int space_count;
  Matrix *matrices; /* in order of use, biases behind the matrix of their layer */
  int matrix_count;
  Variable *variables;
  int variable_count;
  RowMap *row_maps;
  int row_map_count;
  Constant *constants;
  int constant_count;
  Op *ops; /* the step: forward pass, then backward pass */
  int op_count;
  int forward_count;  /* ops[0..forward_count) are the forward pass, after which f is known */
  int gradient_count; /* ops up to here make gradients; what follows serves the learning rule */
  int output;         /* the variable f, as the weights make it */

  /* of a completed program: */
  struct Program *base;   /* what it was made from, and shares its parts with, or NULL */
  struct Program *deeper; /* owned: the same with layers that are repeated without end standing in
                             it twice as often; or NULL */
  Reading how;
  /* ops from here on: the backward pass, what is measured, and what prepares the next step */
  int backward_first, measure_first, train_first;
  ProgramObservable *observables;
  int observable_count;
  int f, delta, tangent; /* variables; [R C, 1], [P C, 1], [R C, R C] */

  /* f = sum of <z, x> / gamma over the readouts, the matrices to the outputs: their transposed
   * fields and the features they read */
  Update update;
  Update *groups; /* of matrices that move in ways of their own */
  int group_count;
  int layers;      /* L: kernels Phi[1..L], G[1..L] */
  int *phi_matrix; /* [L+1]: a matrix whose features have the kernel Phi[l], and whose y is that
                      of G[l+1]; entry 0 the input matrix */
  bool linear;     /* every map is linear in its fields: no sampling is needed */
  /* Outputs depend on the fields of other points, by means over a batch: what flows backward is
   * then the sum of the derivatives of all outputs, each times its error, and O is a sum of g x^T.
   * There is no tangent kernel of products of averages. */
  bool couples;
} Program;

/* How the saddle point is closed (theory.md section 4, Approximations). */
typedef enum Closure {
  CLOSURE_FULL,
  CLOSURE_NTK,                   /* gamma -> 0: kernels frozen */
  CLOSURE_GRADIENT_INDEPENDENCE, /* A = B = 0, f from the increments of the tangent kernel */
  CLOSURE_PERTURBATIVE           /* leading order in gamma^2 around the lazy limit */
} Closure;

/* A step of one matrix as what an interpreter does with the tables that hold W and V:
 *
 *     V <- beta V + O - drag W + kick Xi,   W <- keep W + push V + pull O + noise Xi    (the new V)
 *
 * Where update_remembers is false beta = push = 0, and no V is needed. An entrywise optimizer has
 * psi(factor O) in the place of O, and pull is that of psi. */
typedef struct Move {
  double beta, keep, push, pull, noise, factor, drag, kick;
  double average; /* what the average of W then keeps of itself; 1 between steps, and where there is
                     none */
  bool nesterov;  /* with polar: it takes O + beta V */
  Psi psi;
  Polar polar; /* on: push is that of the polar factor of V, as an operator */
} Move;

/* The moves that make up a step: one, or those of gradient flow in so many parts. */
int stages_of(const Program *program, int parts);
bool update_remembers(const Update *update);
/* Whether there is a V in a move, be it that W does not feel it now: a learning rate may be 0. */
bool move_remembers(const Move *move);
/* Whether the gradients of a step are scaled by their norm. */
bool update_scales(const Update *update);
/* Whether weights learn along gradients and all at one rate: the tangent kernel knows their norm.
 */
bool tangent_is_norm(const Program *program);
/* Whether weights move by psi of their own history, those between populations unless polar; of the
 * program's update. */
bool is_entrywise(const Program *program);
/* What moves a matrix, and whether that is psi of the history of its entries. */
const Update *update_for(const Program *program, const Matrix *matrix);
bool moves_by_entries(const Program *program, const Matrix *matrix);
/* Whether all of them move along gradients, present and past. */
bool follows_gradients(const Program *program);
/* A move of a matrix, gamma being the interpreter's. */
Move move_of(const Program *program, const Matrix *matrix, Instant at, double gamma);
/* A coefficient, its offset in Move, of all moves in turn, and that of the last one once more; to
 * be freed; NULL without memory. */
double *coefficients_of(const Program *program, const Matrix *matrix, int parts, double gamma,
                        size_t coefficient);
/* The Update of a checked problem, which has its numbers. */
Update update_of(const Problem *problem);
/* eta of step t, or eta dt of gradient flow. */
double update_rate(const Update *update, int t);
/* Training ends after the first `steps` of its steps. */
void program_shorten(Program *program, int steps);
/* Find out which matrices respond, and which variables are uniform, once all ops are there. */
void find_responses(Program *program);
void find_uniform(Program *program);

/* Lowers a checked problem; takes over the problem. Errors (what this version has no layer for) are
 * added to diags with the layer's place, and NULL is returned. */
Program *program_lower(Problem *problem, ExprPool *pool, Diags *diags);
/* Lowers a system; takes it over. Variables and matrices have the same numbers in both. */
Program *program_of_system(System *system);
/* Matrix `again` becomes a further use of the entries of `matrix`, which stands before it: the
 * populations that it leads from and to become those of that one. */
void program_tie(Program *program, int matrix, int again);
/* Whether some matrix is used more than once, or as its transpose. */
bool program_reuses(const Program *program);
/* Whether averages over neurons stand in its passes. */
bool program_averages(const Program *program);
/* Whether random numbers are drawn in its passes, as for neurons that are left out. */
bool program_draws(const Program *program);
/* Whether points have several positions somewhere. */
bool program_spreads(const Program *program);
/* Whether tables of pairs of rows stand in its passes. */
bool program_compares(const Program *program);
/* Whether a matrix takes features to the outputs. */
bool is_readout(const Program *program, int matrix);
/* In the standard parameterization the ratio r of the population that the readout reads: the
 * program is that of gamma = 1 / sqrt(r N), so that f = w . x with weights of variance 1 / fan-in;
 * 1 in the others. */
double standard_ratio(const Program *program);
/* Whether kernels of a result are those of this matrix. */
bool is_level(const Program *program, int matrix);
Program *program_keep(Program *program);
void program_drop(Program *program);

/* The program with all that stands behind its passes: outputs, errors and losses, kernels, the
 * tangent kernel and alignments as values, and the updates. It keeps the base. */
Program *program_complete(Program *base, Reading how);
/* Whether the targets of two points differ: the alignment of a kernel with them is then defined. */
bool program_aligns(const Program *program);
/* Whether the targets, with `test` those of the test points too, say classes: a sign of one output,
 * or one of several outputs, by the same two numbers for all points; and not all the same class. */
bool program_classes(const Program *program, bool test);
/* The class that the targets of one point say: of one output, whether it is positive. */
size_t class_of(const double *targets, size_t outputs);
/* The observable of a field and layer; NULL if the program has none. */
const ProgramObservable *program_observable(const Program *program, int field, int layer);

/* ---- shapes ---- */

/* The sizes that shape fields and results. */
typedef struct Sizes {
  size_t steps;   /* T + 1 */
  size_t points;  /* P */
  size_t all;     /* R = P + P* */
  size_t outputs; /* C */
} Sizes;

Sizes sizes_of(const Program *program);
/* Whether the readouts start around zero, so that the mean of f does at infinite width. */
bool starts_at_zero(const Program *program);
bool is_wide(const Program *program, int space);
bool is_wide_variable(const Program *program, int variable);
/* Whether an op applies a matrix; and the one that applies a matrix so, or learns it, or NULL. */
bool is_product(const Op *op);
const Op *op_of(const Program *program, int matrix, OpKind kind);
/* Both sides are populations. */
bool is_wide_matrix(const Program *program, const Matrix *matrix);
/* What a trained matrix adds to the tangent kernel besides its rate, since that sums over neurons
 * and averages do not: N_to / N, or N / N_L of a readout. */
double tangent_share(const Program *program, const Matrix *matrix);
/* What the variance of its transposed products has besides sigma^2: N_to / N_from, since they sum
 * over N_to neurons; (N / N_L)^2 of a readout, which comes back as N / N_L times itself. */
double backward_share(const Program *program, const Matrix *matrix);
/* R A, or R A C for what flows backward and for outputs, with A positions; or the rows of a table.
 */
size_t rows_of(const Program *program, int variable);
/* The rows of y that training sees, P A C. */
size_t training_rows(const Program *program, const Matrix *matrix);
/* How many rows of y go with a row of x: C, or 1 of a transpose in the forward pass. */
size_t rows_per_x(const Program *program, const Matrix *matrix);
/* Whether averages over neurons may be over terms that grow faster than squares of the normal
 * numbers that they are made of. */
bool program_grows(const Program *program);
/* The most rows that a wide variable has. */
size_t most_rows(const Program *program);
/* The matrix by which layer l = 1 .. L-1 has two-time responses, or -1: between populations, with
 * one output, where what is learned follows from kernels, acting forward alone, and on the features
 * as they are, which of a convolution one of the taps does; and how many layers of a result have
 * them, L-1 or none. */
int response_matrix(const Program *program, int layer);
int response_layers(const Program *program);
/* Why there are none; NULL where there are. */
const char *lacks_responses(const Program *program);
/* Inner products of the vectors on a matrix's input side; NULL: all ones. */
const double *gram_of(const Program *program, const Matrix *matrix);
/* The vectors on a matrix's input side, [k, *dimension]; NULL: not known, or all ones of
 * dimension 1.
 */
const double *vectors_of(const Program *program, const Matrix *matrix, size_t *dimension);
/* F [k, k] with F F^T the inner products of the k vectors on a matrix's thin side, as its initial
 * entries see them: the Gram matrix, all ones, or the identity of the outputs. Returns the rank, -1
 * if the Gram matrix is not positive semidefinite. */
int thin_root(const Program *program, const Matrix *matrix, double *root);
/* Whether some initial entries are not normal, and a limit of many neurons shows it: of a matrix on
 * the inputs or to the outputs, of which a neuron has few, or of an orthogonal one. With `narrow`:
 * whether there are others, whose law networks of finite width show at order 1/N in their mean. */
bool program_has_law(const Program *program, bool narrow);
/* Whether this is a readout whose entries are those of the matrix on the inputs: of that, what it
 * reads is another y, and the unit vectors of the inputs are another x. */
bool is_tied(const Program *program, const Matrix *matrix);
/* Number of vectors on the thin side, with the unit vectors of a tied readout. */
size_t thin_vectors(const Program *program, const Matrix *matrix);

/* The program as text, completed, to be freed: a system of the language of this name (NULL: its
 * own), or where no system says all of it, in remarks. */
char *program_print(Program *base, const char *name);
/* The body of the system that says the same as a completed program, to be freed; what a system
 * cannot say is a remark in it, and *why, which is else NULL. */
char *program_write(const Program *program, const char **why);
/* What a step makes of a matrix, as mathematics, a line each; to be freed. */
char *program_print_update(const Program *program, int matrix);

#endif
