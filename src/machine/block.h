/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a tape is made of; for its forward part (tape.c) and its backward part (adjoint.c) alone. */
#ifndef DMF_MACHINE_BLOCK_H
#define DMF_MACHINE_BLOCK_H

#include "machine/tape.h"

#include <stdatomic.h>

enum { TABLE = -1 };

typedef struct Slab {
  int space; /* or TABLE */
  bool constant, stays, fresh;
  bool single;                         /* wide: its numbers are floats, as many as it says */
  bool blank;                          /* not written yet: its numbers count as zeros */
  size_t rows, cols, stride, capacity; /* rows that there is room for */
  double *value;
  int birth; /* operations recorded before it */
} Slab;

typedef enum TapeKind {
  PRODUCT,
  AVERAGE,
  AVERAGE_ROWS,
  COPY,
  MAP,
  RESHAPE,
  LSE,
  SOFTMAX,
  SHIFT,
  CHOLESKY,
  SOLVE
} TapeKind;

typedef struct TapeOp {
  TapeKind kind;
  View out, arg[2];
  double alpha;
  Transpose which;
  size_t group;
  int by; /* of a shift; the period of a softmax */
  const TapeMap *map;
  const View *args; /* of the map; its own when recorded */
} TapeOp;

/* What was recorded of tape_fresh. */
typedef struct Fresh {
  View rows, known_rows;
  int *axis, *known;
} Fresh;

/* Small blocks are cut from chunks, of which the tape has as many as it needs; the last has so many
 * numbers left. */
typedef struct Chunks {
  double **list;
  int count, room;
  size_t left;
} Chunks;

/* What was read forward (tangents.c): averages that are needed are numbered, those that neurons
 * hear of are directions. */
typedef struct Tangents {
  bool *needed;  /* [op]: averages whose slopes are known */
  size_t *first; /* [op]: numbers in such averages before it */
  size_t numbers;
  struct Gate *gates;
  struct Link *links;
  size_t gate_count, link_count, link_room;
  size_t *number; /* [direction]: which average it is */
  int *made;      /* [direction]: the op of that */
  size_t directions;
  double *slopes; /* [number][direction]; where `alone` of directions [direction][direction] */
  bool alone;
} Tangents;

/* Blocks given back, by classes of sizes. Sizes follow the ranks of bases, which grow by a little
 * from step to step: those of a class, an eighth of an octave, take each other's memory. */
enum { CLASSES = 8 * 64 };
typedef struct Spares {
  double **blocks;
  int count, room;
} Spares;

struct Tape {
  TapeSpace *spaces;
  int space_count;
  const double *weights;
  bool coordinates, record, failed;
  Slab *slabs;
  int slab_count, slab_room;
  int *made, made_count, made_room;  /* slabs since the last sweep */
  int *holes, hole_count, hole_room; /* slabs without a block, for the next */
  TapeOp *ops;
  int op_count, op_room;
  Fresh *fresh;
  size_t fresh_count;
  Chunks chunks;
  Spares spares[CLASSES];
  Extended *extended; /* of the last extension */
  size_t extended_room;
  Tangents *tangents; /* or NULL */
  double flops;
  atomic_llong *read; /* operations of what reads it, in several threads */
};

bool is_table(const Tape *tape, View view);
/* i - by on a ring of n. */
size_t shifted(size_t i, int by, size_t n);
/* out[i, j] = beta out[i, j] + (alpha / group) sum_g <x[i group + g] y[j group + g]> over the
 * neurons of a population: the one place where they are summed. x has nx rows that are ldx apart, y
 * ny rows of a wide block; out [nx / group, ny / group]. `scratch`, as large as y, serves weights.
 * Returns the operations.
 */
double average_rows(const Tape *tape, int space, double alpha, const double *x, size_t nx,
                    size_t ldx, const double *y, size_t ny, size_t group, double beta, double *out,
                    size_t ldo, double *scratch);
/* dst [out.rows, out.cols], with rows ldd apart, = kernel(arguments of the map). */
void run_kernel(const Tape *tape, const TapeOp *op, const Kernel *kernel, double *dst, size_t ldd);
/* The row, and column, of an argument that serves row r, or column c, of a block of `rows`. */
size_t serving(size_t own, size_t all, size_t r);

/* Takes what observables ask of the average that op number `op` makes: its entry (i, j), for
 * observable m, is at (i M + m) stride + j. */
typedef void TakeAverage(void *sink, int op, const double *bar, size_t stride);
/* Reads observables backward through tables alone, to the averages that these are made of, from the
 * last to the first. False if memory ran out. */
bool tape_read_tables(const Tape *tape, int mark, const Observable *observables, size_t count,
                      TakeAverage *take, void *sink);
/* Whether observables are made of averages that were read forward; and their influences then, but
 * for what finish_influence does, added to zeros. */
bool tangents_cover(const Tape *tape, const Observable *observables, size_t count);
bool tangents_influences(const Tape *tape, int mark, const Observable *observables, size_t count,
                         double *influences);
void tangents_free(Tangents *t);
/* Of a tape that was read forward, for what follows: also the averages that observables are made of
 * are numbered now, but the slopes are those of directions alone. False if memory ran out. */
bool tangents_widen(Tape *tape, const Observable *observables, size_t count);
/* The covariances over neurons C[n, n], zeros at first, of what these numbers are the means of,
 * with a population of r N neurons counting with 1/r; and what averages move by, moved[numbers],
 * zeros at first, when every neuron is moved by its own influences: <dO_i/dX Y_i>. False if memory
 * ran out, or *stop became nonzero. */
bool tangents_scatter(const Tape *tape, const size_t *number, size_t n, double *C);
bool tangents_own(const Tape *tape, const volatile sig_atomic_t *stop, double *moved);
/* needed[op] for the averages that tables of observables are made of, by tables alone. */
void tangents_reach(const Tape *tape, const Observable *observables, size_t count, bool *needed);

#endif
