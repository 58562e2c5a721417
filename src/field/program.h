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
 * fastest. A matrix acts on every row alike. Only OP_ROWS combines rows, those of one point: a
 * convolution is a sum of matrices, one for each pixel of the window, that act on shifted rows.
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

#include "model/problem.h"

typedef enum SpaceKind { SPACE_WIDE, SPACE_INPUT, SPACE_OUTPUT } SpaceKind;

typedef struct Space {
  SpaceKind kind;
  char *name;
  /* SPACE_INPUT: inner products of its vectors, [rows, rows] of the variable on it; NULL means all
   * ones (the constant input that feeds a bias) */
  Array *gram;
} Space;

typedef struct Matrix {
  char *name;
  int from, to; /* spaces */
  double sigma; /* standard deviation of the initial entries, in operator units */
  double rate;  /* multiplies the learning rate of what it takes up; 0 when frozen */
  double decay; /* multiplies the learning rate of its decay */
  int x, y; /* the variables it meets forward (source side, -1: never) and backward (target side) */
  int learns; /* g, the variable that its updates take up with x: y, or a learning rule's stand-in
               */
  /* what it meets on that side depends, neuron by neuron, on its own noise: W x responds to W^T y
   */
  bool responds_x, responds_y;
  int features; /* the variable that x holds rows of: x itself, or what it was shifted from */
  int fan_in;   /* entries of the vectors that a neuron reads, times N for a population */
} Matrix;

typedef struct Variable {
  char *name;
  int space;
  bool backward; /* rows (mu, p, c) rather than (mu, p) */
  int positions; /* A >= 1 */
} Variable;

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
  OP_INPUT,   /* dst = the data vectors (or the constant input) */
  OP_SEED,    /* dst = the unit vectors of the output space: where the backward pass starts */
  OP_APPLY,   /* dst = W src */
  OP_APPLY_T, /* dst = W^T src */
  OP_MAP,     /* dst = expr(src_0, src_1, ...), elementwise */
  OP_ROWS,    /* dst = rows of src_0 combined */
  OP_WEIGH    /* dst = Delta src: a backward variable from a forward one; 0 at test points */
} OpKind;

enum { OP_MAX_ARGS = 8 };

typedef struct Op {
  OpKind kind;
  int dst;
  int matrix;           /* OP_APPLY, OP_APPLY_T */
  int src[OP_MAX_ARGS]; /* OP_APPLY, OP_APPLY_T: src[0] */
  int src_count;
  const Expr *expr; /* OP_MAP: of its src_count arguments */
  int rows;         /* OP_ROWS: the row map */
} Op;

/* How training moves every trained matrix at step t = 0..T-1, with eta_t the learning rate times
 * the rate of the matrix:
 *
 *     V <- beta V + O(t)                                      V = 0 at first
 *     W <- (1 - lambda eta_t) W + eta_t gamma V               or O(t) + beta V with nesterov
 *            + sqrt(2 eta_t T) Xi(t)       entries as of an initial matrix of sigma 1, fresh each
 * step
 *
 * In the units of the network it is theta <- (1 - eta_t lambda) theta - eta_t gamma^2 N v.
 *
 * Gradient flow, dW/dtau = eta gamma O - lambda eta W over a time dt, is integrated in `parts`
 * steps of the Runge-Kutta method of third order that needs no more than V (J. H. Williamson,
 * J. Comput. Phys. 35, 48, 1980; the decay, which is linear, is taken out exactly). It has three
 * stages, each a move with gradients of its own. */
typedef struct Update {
  int steps;
  double *rate;         /* [T]: eta, or eta dt of gradient flow */
  const double *weight; /* w [T, P], each row of sum 1; NULL: 1/P throughout */
  double momentum;      /* beta */
  bool nesterov;
  double decay;       /* lambda */
  double temperature; /* T */
  bool flow;
} Update;

/* A move within the training: stage 0 .. stages_of - 1 of the step t = 0 .. T-1, of which an
 * integrator makes `parts`. */
typedef struct Instant {
  int t, stage, parts;
} Instant;

typedef struct Program {
  int references;
  Problem *problem; /* owned: data, training, names */
  ExprPool *pool;   /* of the expressions; belongs to the session */

  Space *spaces;
  int space_count;
  Matrix *matrices; /* in order of use, biases behind the matrix of their layer */
  int matrix_count;
  Variable *variables;
  int variable_count;
  RowMap *row_maps;
  int row_map_count;
  Op *ops; /* the step: forward pass, then backward pass */
  int op_count;
  int forward_count;  /* ops[0..forward_count) are the forward pass, after which f is known */
  int gradient_count; /* ops up to here make gradients; what follows serves the learning rule */

  /* f = sum of <z, x> / gamma over the readouts, the matrices to the outputs: their transposed
   * fields and the features they read */
  Update update;
  const Expr *loss;   /* of one point: arguments f_0 .. f_{C-1}, y_0 .. y_{C-1} */
  const Expr **delta; /* [C]: Delta_c = - d loss / d f_c */
  int layers;         /* L: kernels Phi[1..L], G[1..L] */
  int *phi_matrix;    /* [L+1]: a matrix whose features have the kernel Phi[l], and whose y is that
                         of G[l+1]; entry 0 the input matrix */
  bool linear;        /* every map is linear in its fields: no sampling is needed */
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
 *     V <- beta V + O,   W <- keep W + push V + pull O + noise Xi        (the new V)
 *
 * Where update_remembers is false beta = push = 0, and no V is needed. */
typedef struct Move {
  double beta, keep, push, pull, noise;
} Move;

/* The moves that make up a step: one, or those of gradient flow in so many parts. */
int stages_of(const Program *program, int parts);
bool update_remembers(const Update *update);
/* A move of a matrix, gamma being the interpreter's. */
Move move_of(const Program *program, const Matrix *matrix, Instant at, double gamma);
/* The Update of a checked problem; its rates are owned. */
Update update_of(const Problem *problem);
/* Fills in the loss of a program whose problem and pool are set. */
void lower_loss(Program *program);
/* Finds out which matrices respond, once all ops are there. */
void find_responses(Program *program);

/* Lowers a checked problem; takes over the problem. Errors (what this version has no layer for) are
 * added to diags with the layer's place, and NULL is returned. */
Program *program_lower(Problem *problem, ExprPool *pool, Diags *diags);
/* Whether a matrix takes features to the outputs. */
bool is_readout(const Program *program, int matrix);
/* Whether kernels of a result are those of this matrix. */
bool is_level(const Program *program, int matrix);
Program *program_keep(Program *program);
void program_drop(Program *program);

/* The program as text; to be freed. */
char *program_print(const Program *program);

#endif
