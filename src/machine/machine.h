/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The machine that runs a completed field program: one step loop, for sample paths at infinite
 * width, for networks, and for networks without matrices, recorded or not.
 *
 * The values of a program are blocks on a tape. What a random matrix does to the vectors it meets
 * is the matter of its *kind*, a struct of functions; the machine knows no more of a matrix. */
#ifndef DMF_MACHINE_MACHINE_H
#define DMF_MACHINE_MACHINE_H

#include "base/status.h"
#include "field/program.h"
#include "machine/noise.h"
#include "machine/tape.h"

#include <signal.h>

typedef struct Machine Machine;
typedef struct MachinePlan MachinePlan;

enum { MOST_BLOCKS = 4 };

/* What a random matrix is. `state` is what `begin` made. */
typedef struct MatrixKind {
  const char *name;
  /* The matrix at the start; NULL if memory ran out or the machine failed. */
  void *(*begin)(Machine *m, int matrix);
  /* out += W x, or W^T x when `back`. Every use of the matrix says which it is. */
  void (*apply)(Machine *m, void *state, int use, bool back, View x, View out);
  /* One step: V <- beta V + O - drag W + kick Xi, W <- keep W + push V + pull O + noise Xi, with O
   * the sum over uses k of force_k y x^T. */
  void (*learn)(Machine *m, void *state, const Move *move, const View *force, int uses);
  /* The rows that noise on a population is made orthogonal to, at most MOST_BLOCKS; their number.
   * NULL: none. */
  int (*blocks)(const Machine *m, const void *state, int space, NoiseBlock *blocks);
  void (*end)(void *state);
  /* Bytes that it takes, an upper bound, in `steps` steps with this many columns. */
  double (*bytes)(const MachinePlan *plan, int matrix, double columns, double steps);
  /* Of systems: W += sum over rows of y x^T / N_from, of as many rows; and W *= keep.
   * NULL: none. */
  void (*take)(Machine *m, void *state, View y, View x);
  void (*decay)(Machine *m, void *state, double keep);
  /* Of systems: a new matrix in the place of this one; NULL: none. */
  void (*redraw)(Machine *m, void *state, int matrix);
  /* What `state` holds beside the tape, between steps (machine_pieces). NULL: it is not known. */
  void (*pieces)(Machine *m, void *state, Piece *piece, void *sink);
} MatrixKind;

extern const MatrixKind mirrored; /* sequential, of a symmetric matrix */
extern const MatrixKind sequential, dense, dense_single, framed, entrywise_dense, entrywise_paths;

/* The maps of a program, compiled. */
typedef struct MachineCode {
  TapeMap **maps; /* [op_count] */
  int *known;     /* [op_count]: a variable that the map has as one more argument, or -1 */
  TapeMap *times; /* a_0 a_1 */
} MachineCode;
/* How jumps are rounded: over a fraction of what crosses them, given the size [variable] of
 * everything. */
typedef struct Rounded {
  const double *size;
  double fraction;
} Rounded;
/* `slopes`: the tape will be read backward. Jumps are then rounded (NULL: none is) in derivatives
 * alone: what a derivative at each sample misses are the samples that cross a jump. */
MachineCode machine_compile(const Program *program, bool slopes, const Rounded *rounded);
void machine_code_free(const Program *program, MachineCode *code);
/* Whether a map of the program has a kink or jump (kinks.h). */
bool machine_has_kinks(const Program *program);
/* Whether every kink of the program can be rounded. */
bool machine_rounds(const Program *program);

/* In place of 0: kernels move by gamma^2, and by gamma times the error of their samples, which is
 * nothing then, and f by what is left of the rounding of products of fields, over gamma. */
#define LAZY_GAMMA 1e-6

/* How a program is run. */
struct MachinePlan {
  const Program *program; /* completed */
  const MachineCode *code;
  /* matrices between populations: sequential, dense or dense_single are those that the optimizer of
   * each needs */
  const MatrixKind *hidden;
  NoiseSource noise;
  size_t columns;        /* S, of every population; with `sized` of one of ratio 1 */
  bool sized;            /* populations have their own numbers of neurons, ratio times as many */
  const double *weights; /* of the neurons; NULL: equal */
  double gamma;
  double tol;       /* sequential: directions that stand out by less of their field are dropped */
  bool single;      /* sequential: bases and noise are in single precision */
  bool improve;     /* sequential: noise is made orthogonal to earlier noise and fields */
  bool independent; /* sequential: without responses */
  struct Frame *frame;    /* framed: see framed.h */
  struct NoiseAxes *axes; /* sequential, in coordinates: which axis noise takes (axes.h), or NULL */
  const struct Tilt *tilt; /* and how that is tilted, or NULL */
  struct Tails *tails;     /* that is to see the terms of averages, or NULL: tails.h */
  const struct Lean *lean; /* what averages are off by in this run, or NULL */
  int leaning;             /* the number of such a run */
  bool record;
  bool fixed_start;   /* OP_START takes the value at t = 0 as known: it does not fluctuate */
  const bool *wanted; /* [variable]: besides what training needs; NULL: all observables */
  int steps;          /* T */
  bool sizes;         /* with record: what is 0 at the start has its scale from later steps */
  const volatile sig_atomic_t *stop;
  /* Called when the values of step t are there; false to stop. */
  bool (*observe)(void *sink, Machine *m, int t);
  /* Called before step m->t, where machine_pieces are all that there is of the run; or NULL */
  void (*pause)(void *sink, Machine *m);
  void *sink;
};

/* Of the entries O_ij of an entrywise optimizer at the first step: the root of their mean square,
 * and the most that it could be if rows did not cancel; 0 for other matrices. */
typedef struct StartGradient {
  double size, bound;
} StartGradient;

struct Machine {
  MachinePlan plan;
  const Program *p;
  Tape *tape;
  View *value;        /* [variable], of this step */
  View **past;        /* [variable][T+1]: observables, and what matrices meet, when recording */
  int *mark;          /* [T+1]: the tape's mark when the values of each step are there */
  void **state;       /* [matrix] */
  int *population;    /* [space]: as the tape numbers them, -1 where it is none */
  int *noise_count;   /* [space] */
  int *drawn;         /* [matrix]: how many times it was drawn anew */
  View *lead;         /* [space]: noise of a system that later noise is made orthogonal to */
  View *force;        /* [matrix]: of the uses of one that learns */
  NoiseBlock *blocks; /* what noise is made orthogonal to */
  double *room;       /* see machine_room */
  size_t room_size;
  double *scale; /* [variable]: root mean square at t = 0 of the largest row, or largest number */
  bool *trains;  /* [op]: what training needs */
  bool *needed;  /* [op] */
  int t, stage;
  double limit;         /* of the loss, beyond which training has diverged */
  size_t times;         /* of tables that are one below the other: machine_function */
  int rank;             /* the largest basis */
  StartGradient *start; /* [matrix] */
  double flops;         /* beside the tape's */
  bool exhausted;       /* no more noise */
  Status status;
};

/* Training has diverged when the loss exceeds DIVERGED times what it is at the start, times 1 +
 * (K/gamma)^2 for the output of K/gamma that fields of order one can give, as they do on their way
 * to a flatter place when the first steps are too large (not in the lazy limit, where kernels
 * cannot change, as at LAZY_GAMMA); or when an output is not below 1e100. No bound where the loss
 * starts at 0. */
enum { DIVERGED = 1000000 };

/* Runs the program. On failure the machine is empty but for its rank; *failed_at is the step.
 * STATUS_LIMIT: memory, or, with coordinates or a grid, too few columns for the noise (*failed_at
 * is then -1). */
Status machine_run(const MachinePlan *plan, Machine *machine, int *failed_at);
/* Only the matrices as they are before the first step; machine->status says whether. */
void machine_start(const MachinePlan *plan, Machine *machine);
void machine_free(Machine *machine);
/* The state of a run between two steps, from which another of the same plan goes on with the same
 * bits: before its first step what is shown takes the place of all that it has. Not every run has
 * one: machine_shows. */
void machine_pieces(Machine *machine, Piece *piece, void *sink);
bool machine_shows(const Machine *machine);

/* Values that follow from another by tables alone, as losses from outputs: a machine without
 * neurons that computes variable `wanted` [times, rows, cols] from numbers for variable `given`
 * [times, rows, cols], for so many times at once. */
void machine_function(Machine *m, const Program *program, const MachineCode *code, int given,
                      int wanted, size_t times);
void machine_call(Machine *m, int given, const double *numbers, int wanted, double *out);
/* Whether memory ran out in any of the calls: what they gave means nothing. */
bool machine_failed(const Machine *machine);

/* The numbers of a table at the step under way, row by row, [rows, cols]. */
void machine_read(const Machine *machine, int variable, double *out);
/* An upper bound of what a run over `steps` times holds. */
double machine_bytes(const MachinePlan *plan, size_t steps);
/* Neurons of a population that is `ratio` times as large as one of `columns`, at least one. */
size_t machine_columns(size_t columns, double ratio);
/* The kind of a matrix in this plan. */
const MatrixKind *machine_kind(const MachinePlan *plan, int matrix);

/* ---- for matrix kinds ---- */

/* The number of the move under way, and those of the whole run. */
size_t machine_move(const Machine *m);
size_t machine_moves(const Program *program);
/* `count` numbers that mean nothing yet and are the caller's until it is called again; never NULL.
 */
double *machine_room(Machine *m, size_t count);
/* The rows of a view as such a block. */
NoiseBlock machine_block(const Machine *m, View rows);
/* `count` rows of noise on a population behind those of `noise`, made orthogonal to what `blocks`
 * holds of it when the plan says so, and a fifth of sample space is left free; whether it was. */
bool machine_draw(Machine *m, int space, View *noise, size_t count);
/* `count` rows of noise on a population; in coordinates they are known to fluctuate. */
View machine_noise(Machine *m, int space, size_t count);
/* keep w + push v (NO_VIEW: none) in place of w, which is not wanted any more. */
View machine_move_on(Machine *m, View w, double keep, View v, double push);
/* Rows on a population for a matrix to remember: zeros, in the precision of the plan; and the bytes
 * of one such number. */
View machine_rows(Machine *m, int space, size_t rows, bool constant);
double machine_number(const MachinePlan *plan);
/* x = L q + rest, with new directions in the orthonormal q where they are needed; returns L [rows,
 * q.rows]. `rest` is no view where nothing is left. */
View machine_meet(Machine *m, View *q, View x, View *rest);
/* keep w + push v as a new table [rows, cols] that stays: both may be smaller, or no view. w is not
 * wanted any more. */
View machine_table_on(Machine *m, size_t rows, size_t cols, View w, double keep, View v,
                      double push);
/* What a system does to a matrix whose learned part is a table in the directions qx and qy of what
 * it met: the table gains sum over rows of the coordinates of x and y, and is decayed. */
void machine_take(Machine *m, View *learned, View *qx, View *qy, View x, View y);
void machine_decay(Machine *m, View *learned, double keep);
/* What use `use` of a matrix met last: its coordinates in the basis of its side, and the noise of
 * the images on the other side as it was then, whose products with what was met are its response in
 * the other basis. */
typedef struct Met {
  View L, noise;
} Met;
Met sequential_met(const Machine *m, int use, bool back);
/* What a matrix met on a side: directions that have images, the noise in these, and how many
 * directions with images the other side had before each. */
typedef struct MetSide {
  View q, noise;
  const int *known;
} MetSide;
MetSide sequential_side(const Machine *m, int matrix, bool back);

extern const MatrixKind boundary; /* matrices from the inputs, or to the outputs */
/* The images of its vectors, [vectors, S]; and of a use the rows that it sends on, which of a
 * readout are its weights. */
View boundary_table(const Machine *m, int matrix);
View boundary_rows(const Machine *m, int use);
/* The initial entries of a dense matrix, as operator entries [N_to, N_from]. */
bool dense_initial(const Machine *m, int matrix, double *entries);

#endif
