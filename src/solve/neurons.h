/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Over which neurons fluctuations are averaged. */
#ifndef DMF_SOLVE_NEURONS_H
#define DMF_SOLVE_NEURONS_H

#include "machine/noise.h"
#include "field/program.h"

enum { MOST_REPLICATES = 8 };

/* Coordinates, where the program is linear: exact but for rounding, which two runs in different
 * bases tell. Nodes of a grid, where no
 * population has more than three directions of noise: two grids, whose difference tells the error.
 * Else sample paths, in replicates. */
typedef struct Neurons {
  enum { COORDINATES, GRID, SAMPLES } method;
  size_t columns;
  int replicates;
  bool kinks;
  int axes;
  double fineness;              /* of the grids, relative to the usual ones */
  double outputs;               /* that are read back from every node, at all steps */
  bool forward;                 /* they can be read forward */
  double *grid[2], *weights[2]; /* [axes, columns], [columns] */
  uint32_t *sobol;
} Neurons;

/* Whether neurons_choose comes to sample paths. */
bool neurons_are_sampled(const Program *program, bool lazy);
/* Whether runs of a program can be read forward (tape.h), as it is when populations meet no
 * matrices of their own and tables that neurons hear of are small. */
bool neurons_read_forward(const Program *program);
/* Chooses for a program, in its lazy limit or not, and this many samples, should it come to that.
 * Where reading the outputs back from all nodes of the usual grids takes more than some seconds,
 * the grids are coarser at first. False if memory ran out. With coordinates the columns are a first
 * guess. */
bool neurons_choose(Neurons *neurons, const Program *program, bool lazy, int samples);
/* Whether finer grids are of use, not too much, and, unless these are too `rough` to tell anything,
 * take no more than some seconds. */
bool neurons_can_refine(const Neurons *neurons, bool rough);
/* Makes the grids finer; false if memory ran out, and then there are none. */
bool neurons_refine(Neurons *neurons);
/* Takes sample paths in place of what was chosen. */
void neurons_sample(Neurons *neurons, int samples);
/* One replicate of at most so many of their columns, to see what is done with them; of coordinates
 * both, as they are. False if memory ran out. */
bool neurons_few(Neurons *few, const Neurons *of, size_t columns);
void neurons_free(Neurons *neurons);
NoiseSource neurons_noise(const Neurons *neurons, uint64_t seed, int replicate);
/* [columns], or NULL: all equal. */
const double *neurons_weights(const Neurons *neurons, int replicate);

#endif
