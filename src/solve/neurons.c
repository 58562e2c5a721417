/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/neurons.h"
#include "machine/machine.h"
#include "base/memory.h"
#include "num/linalg.h"
#include "num/random.h"

#include <math.h>
#include <stdlib.h>

enum { FIRST_COORDINATES = 64, MAX_AXES = 3 };

/* Training at a temperature brings new noise at every step. */
static bool is_shaken(const Program *p, bool lazy) { return p->update.temperature > 0 && !lazy; }

/* Those of a matrix from the inputs or to the outputs; all of its vectors where nobody can tell,
 * without memory or in the middle of an interrupt. */
static int thin_directions(const Program *p, const Matrix *m) {
  size_t n = thin_vectors(p, m);
  double *root = mem_try(n * n, sizeof *root);
  int rank = root ? thin_root(p, m, root) : MAT_STARVED;
  free(root);
  return rank == MAT_STARVED ? (int)n : rank > 0 ? rank : 0;
}

/* The most directions of noise that a population can have; -1 when they grow with time. */
static int noise_directions(const Program *p, bool lazy) {
  int most = 0;
  if (is_shaken(p, lazy) || program_has_law(p, false)) return -1;
  for (int space = 0; space < p->space_count; space++) {
    int count = 0;
    for (int k = 0; k < p->matrix_count; k++) {
      const Matrix *m = &p->matrices[k];
      if (is_wide_matrix(p, m)) {
        if (!lazy && (m->to == space || m->from == space)) return -1;
        if (m->to == space && m->x >= 0) count += (int)rows_of(p, m->x);
        if (m->from == space) count += (int)rows_of(p, m->y);
      } else if (m->to == space || m->from == space) {
        count += thin_directions(p, m);
      }
    }
    if (is_wide(p, space) && count > most) most = count;
  }
  return most;
}

/* Node number i of a grid along axis k, from its middle. */
static double place_of(size_t i, int k, size_t n) {
  for (; k > 0; k--) i /= n;
  return (double)(i % n) - (double)(n / 2);
}

/* A uniform grid with normal weights, its nodes at (i + offset) spacing: for functions that are
 * analytic in a strip the trapezoidal rule converges exponentially. A wave of frequency m / spacing
 * is a constant on the grid, exp(2 pi i m offset): between two grids shifted by the golden section
 * of the spacing it differs for every m. Around kinks, two spacings are compared. */
static bool make_grid(Neurons *s, int which, double spacing, size_t n, double offset,
                      const size_t *node) {
  double *grid = s->grid[which] = mem_block((size_t)s->axes * s->columns),
         *weights = s->weights[which] = mem_block(s->columns), total = 0;
  if (!grid || !weights) return false;
  for (size_t i = 0; i < s->columns; i++) {
    double square = 0;
    for (int k = 0; k < s->axes; k++) {
      double x = (place_of(node[i], k, n) + offset) * spacing;
      grid[(size_t)k * s->columns + i] = x;
      square += x * x;
    }
    weights[i] = exp(-square / 2);
    total += weights[i];
  }
  for (size_t i = 0; i < s->columns; i++) weights[i] /= total;
  return true;
}

/* The nodes of a cube of n^axes without its corners: what lies beyond a ball weighs as little as
 * what lies beyond the faces. */
static size_t *nodes_of(int axes, size_t n, size_t *count) {
  static const double BALL = 1.1; /* its radius, against half a side */
  size_t cube = 1;
  for (int k = 0; k < axes; k++) cube *= n;
  size_t *node = mem_new(cube, sizeof *node);
  *count = 0;
  for (size_t i = 0; i < cube; i++) {
    double square = 0, most = BALL * (double)n / 2;
    for (int k = 0; k < axes; k++) square += pow(place_of(i, k, n) + 0.5, 2);
    if (square <= most * most) node[(*count)++] = i;
  }
  return node;
}

static void forget_grids(Neurons *s) {
  for (int k = 0; k < 2; k++) {
    free(s->grid[k]);
    free(s->weights[k]);
    s->grid[k] = s->weights[k] = NULL;
  }
}

static bool make_grids(Neurons *s, int axes) {
  /* by number of axes; finer where a kink must be resolved, and no node where it is at the start */
  static const double spacing[2][MAX_AXES + 1] = {{.2, .2, .25, .5}, {.04, .04, .06, .2}};
  static const double reach[MAX_AXES + 1] = {8, 8, 8, 7};
  double h = spacing[s->kinks][axes] / s->fineness;
  size_t n = 2 * (size_t)ceil(reach[axes] / h), *node = nodes_of(axes, n, &s->columns);
  s->method = GRID;
  s->replicates = 2;
  s->axes = axes;
  bool fine =
      make_grid(s, 0, h, n, 0.5, node) &&
      make_grid(s, 1, s->kinks ? 0.8 * h : h, n, s->kinks ? 0.5 : 0.5 - (sqrt(5) - 1) / 2, node);
  free(node);
  return fine;
}

/* Whether all outputs are read back from so many nodes, over half of the steps on average, within
 * some seconds: of the grids that a run begins with, as they are read forward where that can be; of
 * finer ones, which are for the last digits, a tenth of these. */
static bool affords(const Neurons *s, double columns, bool finer) {
  static const double BACKWARD = 7e8, FORWARD = 4e9;
  return columns * s->outputs * s->outputs <= (finer || !s->forward ? BACKWARD : FORWARD);
}

static double next_fineness(const Neurons *s) { return s->fineness < 1 ? 1 : 2 * s->fineness; }

bool neurons_can_refine(const Neurons *s, bool rough) {
  static const double MOST_NODES = 200000;
  double columns = (double)s->columns * pow(next_fineness(s) / s->fineness, s->axes);
  if (s->method != GRID || s->kinks || columns > MOST_NODES) return false;
  return rough || affords(s, columns, true);
}

bool neurons_refine(Neurons *s) {
  forget_grids(s);
  s->fineness = next_fineness(s);
  return make_grids(s, s->axes);
}

static bool fits_grid(const Program *program, int axes) {
  return axes >= 0 && axes <= (machine_has_kinks(program) ? 2 : MAX_AXES);
}

static bool has_wide_matrix(const Program *p) {
  for (int k = 0; k < p->matrix_count; k++)
    if (is_wide_matrix(p, &p->matrices[k])) return true;
  return false;
}

/* Whether coordinates will do. The directions of a matrix between populations are found beforehand,
 * and do not know of noise that it takes up later. */
static bool fits_coordinates(const Program *p, bool lazy) {
  return p->linear && !(has_wide_matrix(p) && is_shaken(p, lazy));
}

bool neurons_read_forward(const Program *program) {
  Sizes z = sizes_of(program);
  return !has_wide_matrix(program) && z.all * z.points <= TAPE_HEARD;
}

bool neurons_are_sampled(const Program *program, bool lazy) {
  return !fits_coordinates(program, lazy) && !fits_grid(program, noise_directions(program, lazy));
}

bool neurons_choose(Neurons *s, const Program *program, bool lazy, int samples) {
  static const double COARSE = 0.7;
  int axes = noise_directions(program, lazy);
  Sizes z = sizes_of(program);
  *s = (Neurons){.method = COORDINATES,
                 .columns = FIRST_COORDINATES,
                 .replicates = 2,
                 .kinks = machine_has_kinks(program),
                 .fineness = 1,
                 .forward = neurons_read_forward(program),
                 .outputs = lazy ? 0 : (double)(z.steps * z.all * z.outputs)};
  if (fits_coordinates(program, lazy)) return true;
  if (fits_grid(program, axes)) {
    if (!make_grids(s, axes)) return false;
    if (s->kinks || affords(s, (double)s->columns, false)) return true;
    forget_grids(s);
    s->fineness = COARSE;
    return make_grids(s, axes);
  }
  neurons_sample(s, samples);
  return true;
}

void neurons_sample(Neurons *s, int samples) {
  forget_grids(s);
  s->method = SAMPLES;
  s->axes = 0;
  s->replicates = MOST_REPLICATES;
  s->columns = (size_t)(samples + MOST_REPLICATES - 1) / MOST_REPLICATES;
  s->sobol = sobol_points(s->columns);
}

/* Every so many-th node of a grid, from the middle of what comes before the next. */
static bool thin_out(Neurons *few, const Neurons *of) {
  size_t n = few->columns, stride = of->columns / n;
  double *grid = few->grid[0] = mem_block((size_t)of->axes * n + 1),
         *weights = few->weights[0] = mem_block(n), total = 0;
  if (!grid || !weights) return false;
  for (size_t i = 0; i < n; i++) {
    size_t node = i * stride + stride / 2;
    for (int k = 0; k < of->axes; k++)
      grid[(size_t)k * n + i] = of->grid[0][(size_t)k * of->columns + node];
    total += weights[i] = of->weights[0][node];
  }
  for (size_t i = 0; i < n; i++) weights[i] /= total;
  return true;
}

bool neurons_few(Neurons *few, const Neurons *of, size_t columns) {
  *few = *of;
  few->sobol = NULL;
  for (int k = 0; k < 2; k++) few->grid[k] = few->weights[k] = NULL;
  if (of->method == COORDINATES) return true;
  few->replicates = 1;
  if (columns < of->columns) few->columns = columns;
  if (of->method == GRID) return thin_out(few, of);
  few->sobol = sobol_points(few->columns);
  return true;
}

void neurons_free(Neurons *s) {
  forget_grids(s);
  free(s->sobol);
}

NoiseSource neurons_noise(const Neurons *s, uint64_t seed, int replicate) {
  bool grid = s->method == GRID;
  return (NoiseSource){.kind = s->method == COORDINATES ? NOISE_COORDINATES
                               : grid                   ? NOISE_GRID
                                                        : NOISE_SOBOL,
                       .seed = seed,
                       .number = (uint64_t)replicate,
                       .sobol = s->sobol,
                       .grid = grid ? s->grid[replicate] : NULL,
                       .axes = s->axes};
}

const double *neurons_weights(const Neurons *s, int replicate) {
  return s->method == GRID ? s->weights[replicate] : NULL;
}
