/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From a checked problem to its field program. Each layer states its forward pass in a few lines;
 * the backward pass is derived from those by reverse-mode differentiation, and the updates follow
 * from which variables each matrix meets on its two sides. */
#include "base/memory.h"
#include "base/work.h"
#include "field/emit.h"
#include "field/reverse.h"
#include "field/rows.h"
#include "num/linalg.h"

#include <gsl/gsl_cdf.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* The inputs as one kind of first layer sees them. */
typedef struct View {
  LayerMatrix window;
  int variable;
} View;

/* The matrices of the program that a matrix of the layer under way became, one for each part of the
 * sum that it is: what acts again has their entries. */
typedef struct Uses {
  int *part, count;
} Uses;

enum { INPUTS = -1 }; /* in place of a variable: the inputs themselves */

/* What the layers have built so far: the signal that leaves the last one, and counters for names.
 */
typedef struct Chain {
  Program *p;
  Diags *diags;
  const Layer *layer; /* under way */
  int x;
  int ones;   /* the constant input of the biases, -1 until needed */
  int depth;  /* matrices so far, biases not counted */
  int maps;   /* activations so far */
  int tables; /* averages and their functions so far */
  Uses *uses; /* [matrix of the layer under way] */
  int out;    /* the space of the outputs */
  View *views;
  int view_count;
  Grid *grids;    /* [variable] */
  bool *joined;   /* [variable]: all positions are one vector to the next matrix */
  bool convolved; /* a window of several pixels has acted */
  bool tied;      /* the readout has the weights of the matrix on the inputs */
  int table_size;
  bool broken;
} Chain;

/* Gives 0, for what cannot be made. */
static int refuse(Chain *chain, Status status, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static int refuse(Chain *chain, Status status, const char *hint, const char *format, ...) {
  va_list list;
  va_start(list, format);
  char *text = mem_vformat(format, list);
  va_end(list);
  if (!chain->broken) diag_error(chain->diags, status, chain->layer->span, hint, "%s", text);
  chain->broken = true;
  free(text);
  return 0;
}

/* For want of room for so many numbers. */
static void refuse_memory(Chain *chain, double numbers) {
  char *text = mem_refusal(sizeof(double) * numbers);
  refuse(chain, STATUS_LIMIT, NULL, "%s", text);
  free(text);
}

/* Notes how the positions of a new variable lie; gives it back. */
static int placed(Chain *chain, int variable, Grid grid, bool joined) {
  if (variable >= chain->table_size) {
    chain->table_size = 2 * (variable + 1);
    chain->grids = mem_grow(chain->grids, (size_t)chain->table_size * sizeof *chain->grids);
    chain->joined = mem_grow(chain->joined, (size_t)chain->table_size * sizeof *chain->joined);
  }
  chain->grids[variable] = grid;
  chain->joined[variable] = joined;
  return variable;
}

static const Grid single = {1, 1, false};

static int bias_input(Chain *chain) {
  if (chain->ones < 0) {
    int space = add_space(chain->p, SPACE_INPUT, mem_string("1"), NULL);
    chain->ones =
        placed(chain, add_variable(chain->p, mem_string("1"), space, false, 1), single, false);
    emit(chain->p, (Op){.kind = OP_INPUT, .dst = chain->ones});
  }
  return chain->ones;
}

static Grid input_grid(const Problem *problem) {
  const Array *x = problem->inputs;
  return (Grid){(int)x->shape[1], (int)x->shape[2], problem->plane};
}

/* The patches of all points that a window sees, one a row. */
static void cut_patches(const Array *x, Grid grid, const LayerMatrix *m, Array *patches) {
  size_t from = (size_t)grid_size(grid),
         positions = (size_t)grid_size(grid_strided(grid, m->stride));
  size_t taps = (size_t)grid_taps(grid, m->window), channels = x->shape[3], D = taps * channels;
  for (size_t row = 0; row < patches->shape[0]; row++)
    for (size_t k = 0; k < taps; k++) {
      int q = grid_seen(grid, m, (int)k, (int)(row % positions));
      double *patch = patches->data + row * D + k * channels;
      const double *pixel = x->data + (row / positions * from + (size_t)q) * channels;
      if (q >= 0) memcpy(patch, pixel, channels * sizeof *patch);
    }
}

/* Their inner products over the number of entries, which what learns has to have, and the patches
 * themselves. A check, which needs their shapes alone, leaves out what is more work than it may do.
 * False after reporting. */
static bool patch_gram(Chain *chain, const LayerMatrix *m, Array **vectors, Array **gram) {
  const Array *x = chain->p->problem->inputs;
  Grid grid = input_grid(chain->p->problem);
  size_t positions = (size_t)grid_size(grid_strided(grid, m->stride)),
         rows = x->shape[0] * positions;
  size_t D = (size_t)grid_taps(grid, m->window) * x->shape[3];
  double products = (double)rows * (double)rows, numbers = products + (double)rows * (double)D;
  bool fits = mem_fits(sizeof(double) * numbers);
  if (fits && !work_spend(numbers + products * (double)D / WORK_PRODUCTS)) return true;
  *gram = fits ? array_new(2, (size_t[]){rows, rows}) : NULL;
  *vectors = *gram ? array_new(2, (size_t[]){rows, D}) : NULL;
  if (*vectors) {
    cut_patches(x, grid, m, *vectors);
    const double *patches = (*vectors)->data;
    mat_mul_bt(rows, rows, D, 1.0 / (double)D, patches, D, patches, D, 0, (*gram)->data, rows);
    return true;
  }
  char *text = mem_refusal(sizeof(double) * numbers);
  refuse(chain, STATUS_LIMIT, "fewer points, smaller images, or a larger stride",
         "the kernel of %zu patches of %zu points: %s", positions, x->shape[0], text);
  free(text);
  array_drop(*gram);
  return false;
}

/* sqrt(D) times the unit vectors of D inputs stand behind the vectors of a space; false without
 * memory. */
static bool append_units(Space *space, size_t D) {
  size_t rows = space->vectors->shape[0], all = rows + D;
  bool fits = mem_fits(sizeof(double) * (double)all * (double)(all + D));
  Array *vectors = fits ? array_new(2, (size_t[]){all, D}) : NULL,
        *gram = vectors ? array_new(2, (size_t[]){all, all}) : NULL;
  if (!gram) {
    array_drop(vectors);
    return false;
  }
  memcpy(vectors->data, space->vectors->data, rows * D * sizeof(double));
  for (size_t c = 0; c < D; c++) vectors->data[(rows + c) * D + c] = sqrt((double)D);
  mat_mul_bt(all, all, D, 1.0 / (double)D, vectors->data, D, vectors->data, D, 0, gram->data, all);
  array_drop(space->vectors);
  array_drop(space->gram);
  space->vectors = vectors;
  space->gram = gram;
  return true;
}

/* What a tied readout reads with, an output for each of the D inputs that a matrix sees; a check
 * leaves out what is much work. False after reporting. */
static bool add_units(Chain *chain, Space *space, const LayerMatrix *m) {
  const Problem *problem = chain->p->problem;
  int D = m->window ? (int)problem->inputs->shape[3] : problem->dimension;
  space->units = problem->outputs;
  if (D == 0)
    refuse(chain, STATUS_SCRIPT, "give 'inputs' in place of 'gram'",
           "a tied readout needs the inputs themselves, not their inner products alone");
  else if (m->window > 1)
    refuse(chain, STATUS_SCRIPT, "embed",
           "a tied readout has the weights of a matrix on each position, not on windows of %d",
           m->window);
  else if (D != problem->outputs)
    refuse(chain, STATUS_SCRIPT, NULL,
           "a tied readout has an output for each channel of the inputs: %d, but the targets have "
           "%d",
           D, problem->outputs);
  else if (space->vectors && !append_units(space, (size_t)D))
    refuse(chain, STATUS_LIMIT, NULL, "out of memory for the inputs and %d outputs", D);
  return !chain->broken;
}

static bool same_window(const LayerMatrix *a, const LayerMatrix *b) {
  return a->window == b->window &&
         (!a->window ||
          (a->stride == b->stride && a->circular == b->circular && a->dilation == b->dilation));
}

/* The variable of the inputs for a matrix with this window; INPUTS after reporting. */
static int input_for(Chain *chain, const LayerMatrix *m) {
  Program *p = chain->p;
  for (int i = 0; i < chain->view_count; i++)
    if (same_window(&chain->views[i].window, m)) return chain->views[i].variable;
  if (m->window && !p->problem->inputs) {
    refuse(chain, STATUS_SCRIPT, "reshape(x, -1, height, width, channels)",
           "a convolution needs inputs of [points, positions, channels] or [points, height, width, "
           "channels]");
    return INPUTS;
  }
  Array *vectors = NULL, *gram = NULL;
  if (!m->window)
    gram = array_keep(p->problem->gram);
  else if (!patch_gram(chain, m, &vectors, &gram))
    return INPUTS;
  if (!m->window && p->problem->vectors) vectors = array_keep(p->problem->vectors);
  Grid grid = m->window ? grid_strided(input_grid(p->problem), m->stride) : single;
  int space = add_space(p, SPACE_INPUT, mem_string(m->window ? "patches" : "data"), gram);
  p->spaces[space].data = true;
  p->spaces[space].vectors = vectors;
  if (chain->tied && !add_units(chain, &p->spaces[space], m)) return INPUTS;
  int x = add_variable(p, mem_string("x0"), space, false, grid_size(grid));
  chain->views = mem_grow(chain->views, (size_t)(chain->view_count + 1) * sizeof *chain->views);
  chain->views[chain->view_count++] = (View){*m, x};
  return placed(chain, emit(p, (Op){.kind = OP_INPUT, .dst = x}), grid, false);
}

/* Everything on space `b` lives on `a` from now on. */
static void merge_spaces(Program *p, int a, int b) {
  if (p->spaces[a].ratio == 0) p->spaces[a].ratio = p->spaces[b].ratio;
  for (int v = 0; v < p->variable_count; v++)
    if (p->variables[v].space == b) p->variables[v].space = a;
  for (int m = 0; m < p->matrix_count; m++) {
    if (p->matrices[m].from == b) p->matrices[m].from = a;
    if (p->matrices[m].to == b) p->matrices[m].to = a;
  }
}

/* The fields of two spaces are combined, neuron by neuron. */
static void join(Chain *chain, int a, int b) {
  Program *p = chain->p;
  double one = p->spaces[a].ratio, other = p->spaces[b].ratio;
  if (a == b) return;
  if (one > 0 && other > 0 && (one < other || one > other))
    refuse(chain, STATUS_SCRIPT, NULL,
           "this layer combines fields of %g and of %g times as many neurons as the model's width",
           one, other);
  merge_spaces(p, a, b);
}

/* Closes the gaps that merging left, and numbers the populations. */
static void renumber_spaces(Program *p) {
  int count = 0, wide = 0;
  for (int s = 0; s < p->space_count; s++) {
    bool lives = false;
    for (int v = 0; v < p->variable_count && !lives; v++) lives = p->variables[v].space == s;
    if (!lives) {
      free(p->spaces[s].name);
      continue;
    }
    if (p->spaces[s].kind == SPACE_WIDE) {
      free(p->spaces[s].name);
      p->spaces[s].name = mem_format("n%d", ++wide);
    }
    if (p->spaces[s].ratio == 0) p->spaces[s].ratio = 1;
    merge_spaces(p, count, s);
    p->spaces[count++] = p->spaces[s];
  }
  p->space_count = count;
}

static bool was_met(const Program *p, int features) {
  for (int m = 0; m < p->matrix_count; m++)
    if (p->matrices[m].features == features) return true;
  return false;
}

/* What a matrix makes is a field h of its own, or, when it is summed with others, a part of one. */
static const char *name_of_image(const Layer *layer, int variable) {
  for (int i = 0; i < layer->step_count; i++)
    if (layer->steps[i].kind == STEP_MAP && expr_is_linear(layer->steps[i].expr) &&
        expr_depends(layer->steps[i].expr, variable))
      return "a";
  return "h";
}

/* Whether entries of a law of their own can stand where a neuron has few of them; refuses
 * otherwise.
 */
static void admit_law(Chain *chain, const LayerMatrix *m, const Space *from) {
  bool narrow = chain->layer->readout || from->kind != SPACE_WIDE;
  if (!narrow || m->law == LAW_NORMAL) return;
  if (m->law == LAW_ORTHOGONAL)
    refuse(chain, STATUS_SCRIPT,
           "input -> dense(tanh) -> 2 * dense(tanh, law = \"orthogonal\") -> readout",
           "orthogonal matrices are square, between as many neurons: on the inputs and to the "
           "outputs they would have the limit of normal entries");
  else if (m->scales)
    refuse(chain, STATUS_SCRIPT, NULL,
           "entries with standard deviations of their own are normal in this version");
  else if (from->data && !m->window && !chain->p->problem->dimension)
    refuse(chain, STATUS_SCRIPT, "give 'inputs' in place of 'gram'",
           "what weights that are not normal make of the inputs depends on their coordinates: "
           "inner products are not enough");
}

/* The letters that a name begins with. */
static char *stem_of(const char *name) {
  size_t length = strcspn(name, "0123456789_");
  return length ? mem_format("%.*s", (int)length, name) : mem_string("W");
}

/* Entries of the vectors that a neuron reads: all of the inputs, or those of a patch; for
 * populations the positions, each with N neurons. */
static int fan_in(const Problem *problem, const Space *from, const LayerMatrix *m, int parts) {
  if (from->kind == SPACE_WIDE) return parts;
  if (!m->window) return problem->dimension;
  return grid_taps(input_grid(problem), m->window) * (int)problem->inputs->shape[3];
}

/* Part k of a matrix of the layer, which is a sum of `parts`, is this one, or has the entries of
 * the one that acted before. */
static void share_entries(Chain *chain, int which, int k, int parts, int matrix) {
  Program *p = chain->p;
  Uses *uses = &chain->uses[which];
  const char *name = chain->layer->matrices[which].name;
  if (!uses->part) {
    uses->part = mem_new((size_t)parts, sizeof *uses->part);
    uses->count = parts;
    for (int i = 0; i < parts; i++) uses->part[i] = -1;
  }
  if (uses->count == parts && uses->part[k] < 0) {
    uses->part[k] = matrix;
    return;
  }
  int root = uses->count == parts ? uses->part[k] : -1;
  if (root < 0 || p->spaces[p->matrices[root].from].kind != SPACE_WIDE ||
      p->spaces[p->matrices[matrix].from].kind != SPACE_WIDE) {
    refuse(chain, STATUS_SCRIPT, NULL,
           root < 0 ? "the matrix '%s' acts on different numbers of positions"
                    : "the matrix '%s' acts on the inputs, and again",
           name);
    return;
  }
  join(chain, p->matrices[root].from, p->matrices[matrix].from);
  join(chain, p->matrices[root].to, p->matrices[matrix].to);
  p->matrices[matrix].weights = root;
}

/* The inner products of inputs whose entries, channels of every pixel, are multiplied by the scales
 * of a matrix. */
static void give_scales(Chain *chain, const LayerMatrix *source, int matrix) {
  Program *p = chain->p;
  size_t D, rows, scales = source->scales->size;
  const Space *space = &p->spaces[p->matrices[matrix].from];
  const double *x = vectors_of(p, &p->matrices[matrix], &D);
  const char *why = !space->data ? "are for a matrix on the inputs"
                    : !x         ? "need 'inputs', not their Gram matrix alone"
                    : D % scales != 0 || (!source->window && D != scales)
                        ? "are one for each dimension of the inputs"
                        : NULL;
  if (why) {
    refuse(chain, STATUS_SCRIPT, NULL, "the %zu standard deviations of the matrix '%s' %s", scales,
           source->name, why);
    return;
  }
  rows = space->vectors->shape[0];
  double *scaled = mem_try(rows * D, sizeof *scaled);
  Array *start = scaled ? array_new(2, (size_t[]){rows, rows}) : NULL;
  if (!start) {
    free(scaled);
    refuse_memory(chain, (double)rows * (double)(rows + D));
    return;
  }
  for (size_t i = 0; i < rows * D; i++) scaled[i] = source->scales->data[i % scales] * x[i];
  mat_mul_bt(rows, rows, D, 1 / (double)D, scaled, D, scaled, D, 0, start->data, rows);
  p->matrices[matrix].start = start;
  free(scaled);
}

/* The matrix on the inputs, whose entries a tied readout has; -1 after reporting. */
static int embedding(Chain *chain) {
  const Program *p = chain->p;
  int found = -1, count = 0;
  for (int k = 0; k < p->matrix_count; k++) {
    if (!p->spaces[p->matrices[k].from].data) continue;
    found = k;
    count++;
  }
  if (count == 1) return found;
  refuse(chain, STATUS_SCRIPT, NULL,
         "a tied readout has the weights of the one matrix on the inputs, and here are %d", count);
  return -1;
}

/* A population of ratio N neurons; of ratio 0, that of the field it is added to. */
static int add_population(Program *p, double ratio) {
  int space = add_space(p, SPACE_WIDE, mem_string("n"), NULL);
  p->spaces[space].ratio = ratio;
  return space;
}

/* A matrix of the program that is one of the layer, or a part of it. */
static int add_own(Program *p, const LayerMatrix *source, char *name, int from, int to,
                   double sigma, double rate) {
  int matrix = add_matrix(p, name, from, to, sigma, rate);
  p->matrices[matrix].law = source->law;
  p->matrices[matrix].decay = source->rate;
  return matrix;
}

/* Kernels of a level are those of the features of this matrix. */
static void add_level(Program *p, int matrix) {
  p->phi_matrix = mem_grow(p->phi_matrix, (size_t)(p->layers + 1) * sizeof *p->phi_matrix);
  p->phi_matrix[p->layers++] = matrix;
}

/* f_c = <E u_c, x> / gamma, with the matrix E on the inputs, and u_c sqrt(D) times a unit vector.
 */
static int add_tied(Chain *chain, int x) {
  Program *p = chain->p;
  int own = embedding(chain);
  if (own < 0) return 0;
  Matrix root = p->matrices[own];
  join(chain, root.to, p->variables[x].space);
  int matrix = add_matrix(p, mem_format("W%d", chain->depth - 1), p->variables[x].space, chain->out,
                          root.sigma, root.rate);
  p->matrices[matrix].law = root.law;
  p->matrices[matrix].decay = root.decay;
  p->matrices[matrix].factor = root.factor;
  p->matrices[matrix].group = root.group;
  p->matrices[matrix].weights = own;
  p->matrices[matrix].features = x;
  add_level(p, matrix);
  return emit_apply(p, mem_string("f"), matrix, x);
}

/* One matrix of the program on x, which holds rows of `features`; its image. In front of all
 * `parts` of a sum stands 1/sqrt(parts): as an operator s W is a matrix of s times the standard
 * deviation that learns s^2 times as fast, so that what it meets backward is g itself. `part` is ""
 * or ".k". */
static int add_part(Chain *chain, int which, int k, int features, int x, int parts,
                    const char *image, const char *part) {
  Program *p = chain->p;
  const LayerMatrix *source = &chain->layer->matrices[which];
  bool level = !was_met(p, features);
  int from = p->variables[x].space,
      to = chain->layer->readout ? chain->out : add_population(p, source->ratio);
  char *stem = stem_of(source->name);
  parts *= source->parts;
  double s2 = source->factor * source->factor / parts;
  int matrix = add_own(p, source, mem_format("%s%d%s", stem, chain->depth - 1, part), from, to,
                       source->sigma * sqrt(s2), source->rate * s2);
  free(stem);
  p->matrices[matrix].mean = source->mean * sqrt(s2);
  admit_law(chain, source, &p->spaces[from]);
  p->matrices[matrix].factor = source->factor == 0 ? 1 : fabs(source->factor);
  p->matrices[matrix].features = features;
  p->matrices[matrix].fan_in = fan_in(p->problem, &p->spaces[from], source, parts);
  if (source->scales) give_scales(chain, source, matrix);
  share_entries(chain, which, k, parts, matrix);
  if (level) add_level(p, matrix);
  return emit_apply(p, mem_format("%s%s", image, part), matrix, x);
}

/* A sum of matrices, each on some rows of x. */
static int add_parts(Chain *chain, int which, int x, RowMap *maps, int count, char *name) {
  Program *p = chain->p;
  int *images = mem_new((size_t)count, sizeof *images), used = 0;
  const char *image = chain->layer->readout ? "f" : "a";
  char *stem = chain->layer->readout ? mem_string(image) : mem_format("%s%d", image, chain->depth);
  for (int k = 0; k < count; k++) {
    char *part = mem_format(".%d", k);
    if (maps[k].begin[maps[k].to] == 0) { /* it sees nothing but padding */
      row_map_clear(&maps[k]);
    } else {
      int rows = emit_rows(p, mem_format("%s%s", p->variables[x].name, part), maps[k], x);
      images[used++] = add_part(chain, which, k, x, rows, count, stem, part);
    }
    free(part);
  }
  for (int k = 1; k < used; k++)
    join(chain, p->variables[images[0]].space, p->variables[images[k]].space);
  int sum = emit_sum(p, name, used, images);
  free(stem);
  free(images);
  return sum;
}

/* One for each position of x, which the matrix reads together. */
static int add_joined(Chain *chain, int which, int x, char *name) {
  int count = grid_size(chain->grids[x]);
  RowMap *maps = mem_new((size_t)count, sizeof *maps);
  for (int k = 0; k < count; k++) maps[k] = row_map_one(count, k);
  int sum = add_parts(chain, which, x, maps, count, name);
  free(maps);
  return sum;
}

/* Whether a variable has neurons; refuses otherwise. */
static bool is_field(Chain *chain, int x) {
  const Variable *v = &chain->p->variables[x];
  if (v->space == NO_SPACE && v->cols > 1)
    refuse(chain, STATUS_SCRIPT, "A @ x mixes the positions of x by it",
           "a table of pairs of positions has no neurons");
  else if (v->space == NO_SPACE)
    refuse(chain, STATUS_SCRIPT, "it multiplies fields, or is added to them",
           "an average over neurons has no neurons");
  return !chain->broken;
}

/* W' y: the image lives where the matrix comes from. */
static int lower_transposed(Chain *chain, const LayerStep *step, int y) {
  Program *p = chain->p;
  const LayerMatrix *source = &chain->layer->matrices[step->matrix];
  if (!is_field(chain, y)) return 0;
  Grid grid = chain->grids[y];
  if (chain->joined[y])
    return refuse(chain, STATUS_SCRIPT, "pool(\"mean\") in its place",
                  "after 'flatten' a transpose has no vectors of its own to act on");
  int from = add_population(p, 0), to = add_population(p, source->ratio);
  char *stem = stem_of(source->name);
  double s = source->factor / sqrt(source->parts);
  int matrix = add_own(p, source, mem_format("%s%d", stem, chain->depth++), from, to,
                       source->sigma * s, source->rate * s * s);
  free(stem);
  p->matrices[matrix].factor = s == 0 ? 1 : fabs(s);
  share_entries(chain, step->matrix, 0, 1, matrix);
  join(chain, p->matrices[matrix].to, p->variables[y].space);
  int image = add_variable(p, mem_format("h%d", chain->depth), p->matrices[matrix].from, false,
                           grid_size(grid));
  return placed(chain, emit_product(p, OP_APPLY_T, image, matrix, y), grid, false);
}

/* What the readout reads of several positions: their mean. Networks with convolutions differ in
 * that, and have to say it. */
static int readout_rows(Chain *chain, int x) {
  Grid grid = chain->grids[x];
  if (chain->joined[x] || grid_size(grid) == 1) return x;
  if (chain->convolved)
    return refuse(chain, STATUS_SCRIPT, "pool, last or flatten before it",
                  "the readout acts on one vector for each point, not on %d positions",
                  grid_size(grid));
  char *name = mem_format("%s.m", chain->p->variables[x].name);
  Grid line = {1, grid_size(grid), false};
  return placed(chain, emit_rows(chain->p, name, row_map_mean(line, line.width, 1), x), single,
                false);
}

/* The outputs of what leaves the layers, at one position. */
static int lower_readout(Chain *chain, const LayerMatrix *m, int x) {
  x = readout_rows(chain, x);
  if (chain->broken) return 0;
  bool joined = chain->joined[x];
  if (joined && m->tied)
    return refuse(chain, STATUS_SCRIPT, "pool, or last, in its place",
                  "after 'flatten' a readout has weights for each position, and is not tied");
  chain->depth++;
  chain->out = add_space(chain->p, SPACE_OUTPUT, mem_string("out"), NULL);
  int f = joined    ? add_joined(chain, 0, x, mem_string("f"))
          : m->tied ? add_tied(chain, x)
                    : add_part(chain, 0, 0, x, x, 1, "f", "");
  return placed(chain, f, single, false);
}

static int lower_apply(Chain *chain, const LayerStep *step, int x, int variable) {
  const LayerMatrix *m = &chain->layer->matrices[step->matrix];
  bool inputs = x == INPUTS;
  if (inputs) x = input_for(chain, m);
  if (chain->broken || !is_field(chain, x)) return 0;
  if (chain->layer->readout) return lower_readout(chain, m, x);
  chain->convolved |= m->window > 1;
  Grid grid = chain->grids[x];
  bool joined = !inputs && chain->joined[x], window = m->window && !inputs;
  if (joined && window)
    return refuse(chain, STATUS_SCRIPT, NULL,
                  "after 'flatten' there are no positions for a convolution");
  chain->depth++;
  char *name = mem_format("%s%d", name_of_image(chain->layer, variable), chain->depth);
  Grid out = joined ? single : window ? grid_strided(grid, m->stride) : grid;
  int count = joined ? grid_size(grid) : window ? grid_taps(grid, m->window) : 1;
  if (count == 1 && grid_size(out) == grid_size(grid)) {
    int image = add_part(chain, step->matrix, 0, x, x, 1, name, "");
    free(name);
    return placed(chain, image, out, false);
  }
  if (joined) return placed(chain, add_joined(chain, step->matrix, x, name), out, false);
  RowMap *maps = mem_new((size_t)count, sizeof *maps);
  for (int k = 0; k < count; k++) maps[k] = row_map_seen(grid, m, k);
  int sum = add_parts(chain, step->matrix, x, maps, count, name);
  free(maps);
  return placed(chain, sum, out, false);
}

/* What a matrix of the layer makes of an input that is no data, with a number in front of it. */
static int add_numbers(Chain *chain, const LayerStep *step, int input, const char *name,
                       const char *image, double factor) {
  Program *p = chain->p;
  const LayerMatrix *source = &chain->layer->matrices[step->matrix];
  int from = p->variables[input].space, to = add_population(p, 0),
      matrix = add_own(p, source, mem_format("%s%d", name, chain->depth), from, to, source->sigma,
                       source->rate);
  admit_law(chain, source, &p->spaces[from]);
  p->matrices[matrix].features = input;
  p->matrices[matrix].factor = factor;
  return emit_apply(p, mem_format("%s%d", image, chain->depth), matrix, input);
}

static int lower_bias(Chain *chain, const LayerStep *step) {
  return placed(chain, add_numbers(chain, step, bias_input(chain), "b", "v", 1), single, false);
}

/* Unit vectors of so many positions, the same at all points, and their inner products. A vector of
 * A entries is normalised to sqrt(A). A check leaves out what is much work. False without memory.
 */
static bool unit_vectors(Space *space, size_t rows, size_t A) {
  double numbers = (double)rows * (double)(rows + A);
  bool fits = mem_fits(sizeof(double) * numbers);
  if (fits && !work_spend(numbers)) return true;
  space->gram = fits ? array_new(2, (size_t[]){rows, rows}) : NULL;
  space->vectors = space->gram ? array_new(2, (size_t[]){rows, A}) : NULL;
  for (size_t a = 0; space->vectors && a < rows; a++) {
    for (size_t b = a % A; b < rows; b += A) space->gram->data[a * rows + b] = 1;
    space->vectors->data[a * A + a % A] = sqrt((double)A);
  }
  return space->vectors;
}

static int position_vectors(Chain *chain, Grid grid) {
  Program *p = chain->p;
  int A = grid_size(grid), space = add_space(p, SPACE_INPUT, mem_string("codes"), NULL);
  if (!unit_vectors(&p->spaces[space], sizes_of(p).all * (size_t)A, (size_t)A))
    refuse(chain, STATUS_LIMIT, NULL, "out of memory for the codes of %d positions", A);
  int units = add_variable(p, mem_string("u"), space, false, A);
  return placed(chain, emit(p, (Op){.kind = OP_INPUT, .dst = units}), grid, false);
}

/* As an operator a weight is divided by sqrt(A), the root of the entries of a vector, which the
 * factor takes back: a weight is a number that is added, as of a bias. */
static int lower_codes(Chain *chain, const LayerStep *step, int x) {
  const Problem *problem = chain->p->problem;
  Grid grid = x != INPUTS ? chain->grids[x] : problem->inputs ? input_grid(problem) : single;
  int units = position_vectors(chain, grid);
  if (chain->broken) return 0;
  double factor = 1 / sqrt((double)grid_size(grid));
  return placed(chain, add_numbers(chain, step, units, "C", "c", factor), grid, false);
}

/* The variables of a map on one grid: what has a single position stands at all of them. */
static Grid spread(Chain *chain, int count, int *src, bool *joined) {
  Program *p = chain->p;
  Grid grid = single;
  *joined = false;
  for (int i = 0; i < count; i++) {
    if (grid_size(chain->grids[src[i]]) == 1) continue;
    *joined = *joined || chain->joined[src[i]];
    if (grid_size(grid) > 1 && grid_size(grid) != grid_size(chain->grids[src[i]]))
      refuse(chain, STATUS_SCRIPT, NULL, "this layer combines %d positions with %d",
             grid_size(grid), grid_size(chain->grids[src[i]]));
    grid = chain->grids[src[i]];
  }
  for (int i = 0; i < count && grid_size(grid) > 1 && !chain->broken; i++) {
    if (grid_size(chain->grids[src[i]]) > 1) continue;
    char *name = mem_format("%s.p", p->variables[src[i]].name);
    src[i] =
        placed(chain, emit_rows(p, name, row_map_spread(grid_size(grid)), src[i]), grid, false);
  }
  return grid;
}

/* The fields among these live on the same neurons; their number. */
static int join_fields(Chain *chain, int count, const int *src) {
  const Program *p = chain->p;
  int fields = 0, first = 0;
  for (int i = 0; i < count; i++) {
    if (p->variables[src[i]].space == NO_SPACE) continue;
    if (fields++ == 0) first = i;
    join(chain, p->variables[src[first]].space, p->variables[src[i]].space);
  }
  return fields;
}

static bool is_named(const Program *p, const char *name) {
  for (int v = 0; v < p->variable_count; v++)
    if (strcmp(p->variables[v].name, name) == 0) return true;
  return false;
}

/* A sum of fields is a field h, of the number of the last matrix; an activation is x, a number m.
 */
static char *name_of_map(Chain *chain, const Expr *e, bool fields, bool numbers) {
  if (numbers) return mem_format("m%d", ++chain->tables);
  char *name = fields && expr_is_linear(e) ? mem_format("h%d", chain->depth) : NULL;
  if (name && !is_named(chain->p, name)) return name;
  free(name);
  return mem_format("x%d", ++chain->maps);
}

/* What a step computes, as a function of the `count` variables that it depends on, src. NULL after
 * refusing it. */
static const Expr *map_of(Chain *chain, const LayerStep *step, const int *at, int variable,
                          int *src, int *count) {
  ExprPool *pool = chain->p->pool;
  const Expr **with = mem_new((size_t)variable, sizeof *with), *map = NULL;
  for (int v = 0; v < variable && *count < OP_MAX_ARGS; v++) {
    if (!expr_depends(step->expr, v)) continue;
    with[v] = expr_arg(pool, *count);
    src[(*count)++] = at[v];
  }
  if (*count < OP_MAX_ARGS)
    map = expr_substitute(pool, step->expr, with);
  else
    refuse(chain, STATUS_LIMIT, "name its parts on lines of their own",
           "an expression of this layer combines more than %d variables", OP_MAX_ARGS - 1);
  free(with);
  return map;
}

static int lower_map(Chain *chain, const LayerStep *step, const int *at, int variable) {
  Program *p = chain->p;
  int src[OP_MAX_ARGS], count = 0;
  const Expr *map = map_of(chain, step, at, variable, src, &count);
  if (!map) return 0;
  bool joined;
  Grid grid = spread(chain, count, src, &joined);
  if (chain->broken) return 0;
  int fields = join_fields(chain, count, src);
  if (fields && fields < count)
    for (int i = 0; i < count; i++)
      if (p->variables[src[i]].cols > 1) is_field(chain, src[i]);
  if (chain->broken) return 0;
  char *name = name_of_map(chain, step->expr, fields == count, fields == 0);
  return placed(chain, emit_map(p, name, map, count, src), grid, joined);
}

static int lower_average(Chain *chain, const LayerStep *step, const int *at) {
  Program *p = chain->p;
  int count = step->other < 0 ? 1 : 2, src[] = {at[step->source], count > 1 ? at[step->other] : 0};
  for (int i = 0; i < count; i++)
    if (!is_field(chain, src[i])) return 0;
  bool joined;
  Grid grid = spread(chain, count, src, &joined);
  if (joined)
    refuse(chain, STATUS_SCRIPT, "average before 'flatten'",
           "after 'flatten' there is no average of each position");
  join_fields(chain, count, src);
  if (chain->broken) return 0;
  int m = emit_average(p, mem_format("m%d", ++chain->tables), 1, count, src);
  return placed(chain, m, grid, false);
}

/* A table of the pairs of positions p of x and q of y, for each point. */
static int lower_gram(Chain *chain, const LayerStep *step, const int *at) {
  Program *p = chain->p;
  int x = at[step->source], y = at[step->other];
  if (!is_field(chain, x) || !is_field(chain, y)) return 0;
  if (chain->joined[x] || chain->joined[y])
    refuse(chain, STATUS_SCRIPT, "gram before 'flatten'",
           "after 'flatten' there are no positions to compare");
  join(chain, p->variables[x].space, p->variables[y].space);
  if (chain->broken) return 0;
  int m = emit_gram(p, mem_format("m%d", ++chain->tables), (int)sizes_of(p).all, 1, x, y);
  return placed(chain, m, chain->grids[x], false);
}

/* Whether a variable is a table of pairs of positions; refuses otherwise. Of one position it is a
 * number. */
static bool is_pairs(Chain *chain, int table, const char *what) {
  const Variable *v = &chain->p->variables[table];
  if (v->space != NO_SPACE || (v->cols == 1 && v->positions > 1))
    refuse(chain, STATUS_SCRIPT, "gram(x, y) is such a table",
           "%s is of a table of pairs of positions", what);
  return !chain->broken;
}

static int lower_softmax(Chain *chain, const LayerStep *step, int table) {
  Program *p = chain->p;
  if (!is_pairs(chain, table, "the softmax of a layer")) return 0;
  Variable v = p->variables[table];
  if (step->causal && v.positions != v.cols)
    return refuse(chain, STATUS_SCRIPT, NULL,
                  "a causal softmax is of as many positions, not of %d and %d", v.positions,
                  v.cols);
  int a = emit_softmax(p, mem_format("m%d", ++chain->tables), (int)sizes_of(p).all, step->causal,
                       table);
  return placed(chain, a, chain->grids[table], false);
}

/* Known numbers, at every point. */
static int lower_table(Chain *chain, const Array *table) {
  Program *p = chain->p;
  size_t points = sizes_of(p).all, A = table->shape[0], cols = table->shape[1];
  double *numbers = mem_fits(sizeof(double) * (double)points * (double)table->size)
                        ? mem_try(points * table->size, sizeof *numbers)
                        : NULL;
  if (!numbers)
    return refuse(chain, STATUS_LIMIT, NULL, "out of memory for a table of %zu pairs of positions",
                  table->size);
  for (size_t mu = 0; mu < points; mu++)
    memcpy(numbers + mu * table->size, table->data, table->size * sizeof *numbers);
  int dst = emit_constant(p, mem_format("m%d", ++chain->tables), 0, points * A, cols, numbers);
  p->variables[dst].positions = (int)A;
  return placed(chain, dst, (Grid){1, (int)A, false}, false);
}

/* Positions of x combined by known numbers. */
static int lower_mixture(Chain *chain, const Array *table, int x) {
  int A = (int)table->shape[0], count = grid_size(chain->grids[x]);
  if (!is_field(chain, x)) return 0;
  if ((int)table->shape[1] != count || chain->joined[x])
    return refuse(chain, STATUS_SCRIPT, NULL,
                  "a table of %zu columns mixes as many positions, not %d", table->shape[1],
                  chain->joined[x] ? 1 : count);
  char *name = mem_format("x%d", ++chain->maps);
  return placed(chain, emit_rows(chain->p, name, row_map_table(table), x), (Grid){1, A, false},
                false);
}

static int lower_blend(Chain *chain, const LayerStep *step, const int *at) {
  Program *p = chain->p;
  const LayerStep *known = step->source > 0 ? &chain->layer->steps[step->source - 1] : step;
  if (known->kind == STEP_TABLE) return lower_mixture(chain, known->table, at[step->other]);
  int table = at[step->source], x = at[step->other];
  if (!is_pairs(chain, table, "what mixes positions, A @ x,") || !is_field(chain, x)) return 0;
  int cols = p->variables[table].cols, positions = grid_size(chain->grids[x]);
  if (cols != positions || chain->joined[x])
    return refuse(chain, STATUS_SCRIPT, NULL,
                  "a table of %d columns mixes as many positions, not %d", cols,
                  chain->joined[x] ? 1 : positions);
  int dst =
      emit_blend(p, mem_format("x%d", ++chain->maps), (int)sizes_of(p).all, 1, table, false, x);
  return placed(chain, dst, chain->grids[table], false);
}

/* The mean over the training points and all positions, at every row. */
static int lower_batch(Chain *chain, int x) {
  Program *p = chain->p;
  if (!is_field(chain, x)) return 0;
  if (p->problem->batch)
    refuse(chain, STATUS_SCRIPT, "an optimizer without minibatches",
           "means over a batch are those of all training points, not of minibatches");
  Sizes z = sizes_of(p);
  size_t A = (size_t)grid_size(chain->grids[x]), rows = z.all * A, batch = z.points * A;
  double *numbers = mem_fits(sizeof(double) * (double)rows * (double)rows)
                        ? mem_try(rows * rows, sizeof *numbers)
                        : NULL;
  if (!numbers)
    return refuse(chain, STATUS_LIMIT, NULL, "out of memory for means over %zu rows", rows);
  for (size_t i = 0; i < rows * batch; i++)
    numbers[i / batch * rows + i % batch] = 1 / (double)batch;
  int table = emit_constant(p, mem_string("B"), 0, rows, rows, numbers);
  p->variables[table].positions = (int)A;
  p->couples = true;
  char *name = mem_format("%s.b", p->variables[x].name);
  return placed(chain, emit_blend(p, name, 1, 1, table, false, x), chain->grids[x],
                chain->joined[x]);
}

static int lower_position(Chain *chain, const LayerStep *step, int x) {
  Program *p = chain->p;
  int count = grid_size(chain->grids[x]);
  if (step->position >= count || chain->joined[x])
    return refuse(chain, STATUS_SCRIPT, NULL, "there is no position %d here: positions are 0 to %d",
                  step->position, chain->joined[x] ? 0 : count - 1);
  if (count == 1) return x;
  char *name = mem_format("%s.%d", p->variables[x].name, step->position);
  return placed(chain, emit_rows(p, name, row_map_one(count, step->position), x), single, false);
}

/* The largest of variables of one population, neuron by neuron. */
static int largest(Chain *chain, int count, const int *src) {
  Program *p = chain->p;
  int most = src[0];
  for (int done = 1; done < count;) {
    int args[OP_MAX_ARGS - 1] = {most}, n = 1;
    const Expr *e = expr_arg(p->pool, 0);
    for (; n < OP_MAX_ARGS - 1 && done < count; n++) {
      args[n] = src[done++];
      e = expr_call(p->pool, PRIM_MAX, e, expr_arg(p->pool, n), NULL);
    }
    most = emit_map(p, mem_format("x%d", ++chain->maps), e, n, args);
  }
  return most;
}

static int lower_largest(Chain *chain, Grid grid, int window, int stride, int x) {
  Program *p = chain->p;
  int taps = grid_taps(grid, window), *pixels = mem_new((size_t)taps, sizeof *pixels);
  for (int tap = 0; tap < taps; tap++)
    pixels[tap] = emit_rows(p, mem_format("%s.%d", p->variables[x].name, tap),
                            row_map_pixel(grid, window, stride, tap), x);
  int most = largest(chain, taps, pixels);
  free(pixels);
  return most;
}

/* All positions are one window on a line of them. */
static int lower_pool(Chain *chain, const LayerStep *step, int x) {
  Program *p = chain->p;
  Grid grid = chain->grids[x];
  if (chain->joined[x] || grid_size(grid) == 1) return x;
  if (!step->window) grid = (Grid){1, grid_size(grid), false};
  int window = step->window ? step->window : grid.width, stride = step->window ? step->stride : 1;
  Grid out = grid_pooled(grid, window, stride);
  if (grid_size(out) == 0)
    return refuse(chain, STATUS_SCRIPT, NULL, "a window of %d does not fit into %d x %d positions",
                  window, grid.height, grid.width);
  if (step->most) return placed(chain, lower_largest(chain, grid, window, stride, x), out, false);
  char *name = mem_format("%s.m", p->variables[x].name);
  return placed(chain, emit_rows(p, name, row_map_mean(grid, window, stride), x), out, false);
}

/* The same rows, which the next matrix takes together. */
static int lower_flatten(Chain *chain, int x) {
  if (x != INPUTS && grid_size(chain->grids[x]) > 1) chain->joined[x] = true;
  return x;
}

/* 1 at test points, and at training points 1 / (1 - share) where a normal number is above its
 * quantile, 0 elsewhere: [rows] of a variable. */
static int lower_mask(Chain *chain, double share, int x) {
  Program *p = chain->p;
  ExprPool *pool = p->pool;
  int A = p->variables[x].positions;
  size_t rows = rows_of(p, x), batch = sizes_of(p).points * (size_t)A;
  double *numbers = mem_new(rows, sizeof *numbers);
  for (size_t i = 0; i < batch; i++) numbers[i] = 1;
  int train = emit_constant(p, mem_string("train"), 0, rows, 1, numbers);
  p->variables[train].positions = A;
  int noise = add_variable(p, mem_format("n%d", chain->maps), p->variables[x].space, false, A);
  emit(p, (Op){.kind = OP_NOISE, .dst = noise});
  const Expr *above = expr_call(pool, PRIM_SUB, expr_arg(pool, 0),
                                expr_const(pool, gsl_cdf_ugaussian_Pinv(share)), NULL),
             *kept = expr_call(pool, PRIM_DIV, expr_call(pool, PRIM_STEP, above, NULL, NULL),
                               expr_const(pool, 1 - share), NULL),
             *mask = expr_call(pool, PRIM_SELECT, expr_arg(pool, 1), kept, expr_const(pool, 1));
  return emit_map(p, mem_format("m%d", chain->maps), mask, 2, (int[]){noise, train});
}

static int lower_drop(Chain *chain, double share, int x) {
  Program *p = chain->p;
  if (!is_field(chain, x) || share == 0) return x;
  if (p->problem->optimizer == OPT_FLOW)
    return refuse(chain, STATUS_SCRIPT, "gd, or another optimizer with steps",
                  "neurons are left out anew at every step, and a flow has none");
  chain->maps++;
  int src[] = {x, lower_mask(chain, share, x)};
  const Expr *product =
      expr_call(p->pool, PRIM_MUL, expr_arg(p->pool, 0), expr_arg(p->pool, 1), NULL);
  int dst = emit_map(p, mem_format("x%d", chain->maps), product, 2, src);
  return placed(chain, dst, chain->grids[x], chain->joined[x]);
}

/* Whether known numbers are computed with: what they mix alone needs no variable for them. */
static bool is_computed(const Layer *layer, int variable) {
  for (int i = variable; i < layer->step_count; i++) {
    const LayerStep *step = &layer->steps[i];
    if (step->kind == STEP_MAP ? expr_depends(step->expr, variable)
                               : step->kind == STEP_SOFTMAX && step->source == variable)
      return true;
  }
  return false;
}

static void lower_layer(Chain *chain, const Layer *layer) {
  int *at = mem_new((size_t)layer->step_count + 1, sizeof *at);
  chain->layer = layer;
  chain->uses = mem_new((size_t)layer->matrix_count + 1, sizeof *chain->uses);
  at[0] = chain->x;
  bool *needed = layer_needs(layer);
  for (int i = 0; i < layer->step_count && !chain->broken; i++) {
    const LayerStep *step = &layer->steps[i];
    if (!needed[i]) continue;
    int x = at[step->source], *out = &at[i + 1];
    switch (step->kind) {
    case STEP_APPLY: *out = lower_apply(chain, step, x, i + 1); break;
    case STEP_APPLY_T: *out = lower_transposed(chain, step, x); break;
    case STEP_AVERAGE: *out = lower_average(chain, step, at); break;
    case STEP_GRAM: *out = lower_gram(chain, step, at); break;
    case STEP_TABLE: *out = is_computed(layer, i + 1) ? lower_table(chain, step->table) : 0; break;
    case STEP_SOFTMAX: *out = lower_softmax(chain, step, x); break;
    case STEP_BLEND: *out = lower_blend(chain, step, at); break;
    case STEP_BATCH: *out = lower_batch(chain, x); break;
    case STEP_AT: *out = lower_position(chain, step, x); break;
    case STEP_BIAS: *out = lower_bias(chain, step); break;
    case STEP_CODES: *out = lower_codes(chain, step, x); break;
    case STEP_MAP: *out = lower_map(chain, step, at, i + 1); break;
    case STEP_POOL: *out = lower_pool(chain, step, x); break;
    case STEP_FLATTEN: *out = lower_flatten(chain, x); break;
    case STEP_DROP: *out = lower_drop(chain, step->share, x); break;
    }
  }
  chain->x = at[layer->result];
  if (!chain->broken && chain->x != INPUTS) is_field(chain, chain->x);
  for (int k = 0; k < layer->matrix_count; k++) free(chain->uses[k].part);
  free(chain->uses);
  free(needed);
  free(at);
}

/* Weights of variance 1 / fan-in that move by their plain gradient: as operators in the units of
 * this program, whose gamma^2 N is 1 / r (standard_ratio), they learn faster by r times the
 * fan-in. */
static bool learn_by_fan_in(Program *p, Diags *diags) {
  const Problem *problem = p->problem;
  double ratio = standard_ratio(p);
  for (int m = 0; m < p->matrix_count; m++) {
    Matrix *matrix = &p->matrices[m];
    const Space *from = &p->spaces[matrix->from];
    if (from->kind == SPACE_WIDE)
      matrix->rate *= from->ratio * (problem->width ? problem->width : 1);
    matrix->rate *= matrix->fan_in * ratio;
  }
  if (problem->dimension) return true;
  diag_error(
      diags, STATUS_SCRIPT, problem->training_span, "give 'inputs' in place of 'gram'",
      "the standard parameterization needs the dimension of the inputs: it sets how fast the "
      "first layer learns");
  return false;
}

/* Of one that does not follow gradients. */
static const char *name_of(OptimizerKind kind) {
  switch (kind) {
  case OPT_ADAM: return "adam";
  case OPT_ADAMW: return "adamw";
  case OPT_RMSPROP: return "rmsprop";
  case OPT_SIGNUM: return "signum";
  case OPT_LION: return "lion";
  default: return "muon";
  }
}

/* Whether an optimizer that does not follow gradients can move the weights of this program. */
static bool suits_steps(Program *p, Diags *diags) {
  const Problem *problem = p->problem;
  if (problem->parameterization == PARAM_NTK) {
    diag_error(diags, STATUS_SCRIPT, problem->training_span, "parameterization = mup",
               "%s makes steps of a size of its own, whatever the gradient: under the scaling of "
               "the lazy limit they move f by order N",
               name_of(problem->optimizer));
    return false;
  }
  const Matrix *blind = NULL;
  for (int k = 0; k < p->matrix_count && !blind; k++) {
    const Matrix *m = &p->matrices[k];
    if (p->spaces[m->from].data && m->rate != 0 && moves_by_entries(p, m)) blind = m;
  }
  if (problem->vectors || !blind) return true;
  const Problem *own = blind->group ? &problem->groups[blind->group - 1] : problem;
  diag_error(diags, STATUS_SCRIPT, problem->training_span, "give 'inputs' in place of 'gram'",
             "%s moves entry by entry: inner products of the inputs are not enough, their "
             "coordinates matter",
             name_of(own->optimizer == OPT_MUON ? own->other : own->optimizer));
  return false;
}

/* Whether orthogonal matrices are square, and no noise is added to them. */
static bool suits_laws(const Program *p, Diags *diags) {
  for (int k = 0; k < p->matrix_count; k++) {
    const Matrix *m = &p->matrices[k];
    if (m->law != LAW_ORTHOGONAL || m->weights != k) continue;
    double from = p->spaces[m->from].ratio, to = p->spaces[m->to].ratio;
    if (from < to || from > to) {
      diag_error(diags, STATUS_SCRIPT, p->problem->model_span, NULL,
                 "orthogonal matrices are square: the matrix %s is between %g and %g times as many "
                 "neurons as the model's width",
                 m->name, from, to);
      return false;
    }
    const Update *update = update_for(p, m);
    if (m->rate != 0 && (update->temperature > 0 || update->inert)) {
      diag_error(diags, STATUS_SCRIPT, p->problem->training_span, "law = \"normal\"",
                 "at a temperature the noise that a step adds leaves no matrix orthogonal, and "
                 "what it is then is not known in this version");
      return false;
    }
  }
  return true;
}

/* What weights of any law do follows from second moments, but for the fourth moments in
 * fluctuations, and for what orthogonal matrices do there and back. */
static bool all_linear(const Program *p) {
  if (!follows_gradients(p) || !starts_at_zero(p) || program_has_law(p, false)) return false;
  for (int i = 0; i < p->op_count; i++)
    if (p->ops[i].kind == OP_MAP && !expr_is_linear(p->ops[i].expr)) return false;
  return !program_averages(p);
}

/* Whether means over a batch go with the optimizer. */
static bool suits_batches(const Program *p, Diags *diags) {
  if (!p->couples || !update_scales(&p->update)) return true;
  diag_error(
      diags, STATUS_SCRIPT, p->problem->training_span, NULL,
      "where points depend on each other, by means over a batch, the norm of the gradient is "
      "not known in this version: without clipping, not normalized");
  return false;
}

static Role role_of(const Program *p, const Matrix *m) {
  if (p->spaces[m->to].kind == SPACE_OUTPUT) return ROLE_READOUT;
  if (p->spaces[m->from].kind == SPACE_WIDE) return ROLE_HIDDEN;
  return p->spaces[m->from].data ? ROLE_INPUT : ROLE_BIAS;
}

/* That of a tied readout is the group of the matrix on the inputs. */
static int group_of(const Program *p, int layer, const Matrix *m) {
  if (is_tied(p, m)) return p->matrices[m->weights].group;
  return p->problem->group[layer * ROLES + (int)role_of(p, m)];
}

Program *program_lower(Problem *problem, ExprPool *pool, Diags *diags) {
  Program *p = mem_new(1, sizeof *p);
  p->references = 1;
  p->problem = problem;
  p->pool = pool;
  Chain chain = {.p = p, .diags = diags, .ones = -1, .out = -1, .x = INPUTS};
  chain.tied = problem->layers[problem->layer_count - 1].matrices[0].tied;
  for (int i = 0; i < problem->layer_count && !chain.broken; i++) {
    int before = p->matrix_count;
    lower_layer(&chain, &problem->layers[i]);
    for (int k = before; k < p->matrix_count && problem->group; k++)
      p->matrices[k].group = group_of(p, i, &p->matrices[k]);
  }
  free(chain.views);
  free(chain.grids);
  free(chain.joined);
  if (chain.broken) {
    program_drop(p);
    return NULL;
  }
  p->layers--; /* the levels are numbered from 0, the inputs */
  renumber_spaces(p);
  p->forward_count = p->op_count;
  p->output = chain.x;
  bool reached = reverse_program(p, chain.x, diags);
  if (reached && problem->parameterization == PARAM_STANDARD) reached = learn_by_fan_in(p, diags);
  p->update = update_of(problem);
  p->groups = mem_new((size_t)problem->group_count + 1, sizeof *p->groups);
  for (int k = 0; k < problem->group_count; k++) p->groups[k] = update_of(&problem->groups[k]);
  p->group_count = problem->group_count;
  if (reached && !follows_gradients(p)) reached = suits_steps(p, diags);
  if (reached) reached = suits_batches(p, diags) && suits_laws(p, diags);
  find_responses(p);
  find_uniform(p);
  p->linear = all_linear(p);
  if (reached) return p;
  program_drop(p);
  return NULL;
}

void program_tie(Program *p, int matrix, int again) {
  p->matrices[again].weights = p->matrices[matrix].weights;
  merge_spaces(p, p->matrices[matrix].from, p->matrices[again].from);
  merge_spaces(p, p->matrices[matrix].to, p->matrices[again].to);
}

bool program_reuses(const Program *p) {
  for (int m = 0; m < p->matrix_count; m++)
    if (p->matrices[m].weights != m) return true;
  for (int i = 0; i < p->forward_count; i++)
    if (p->ops[i].kind == OP_APPLY_T) return true;
  return false;
}

static bool has_op(const Program *p, OpKind kind) {
  for (int i = 0; i < p->op_count; i++)
    if (p->ops[i].kind == kind) return true;
  return false;
}

bool program_averages(const Program *p) {
  return has_op(p, OP_AVERAGE) || has_op(p, OP_GRAM) || has_op(p, OP_BLEND);
}

bool program_draws(const Program *p) { return has_op(p, OP_NOISE); }

bool program_spreads(const Program *p) {
  for (int v = 0; v < p->variable_count; v++)
    if (p->variables[v].positions > 1) return true;
  return false;
}

bool program_compares(const Program *p) { return has_op(p, OP_GRAM); }

bool is_readout(const Program *p, int matrix) {
  const Matrix *m = &p->matrices[matrix];
  return m->x >= 0 && p->spaces[m->to].kind == SPACE_OUTPUT;
}

double standard_ratio(const Program *p) {
  for (int m = 0; m < p->matrix_count && p->problem->parameterization == PARAM_STANDARD; m++)
    if (p->spaces[p->matrices[m].to].kind == SPACE_OUTPUT)
      return p->spaces[p->matrices[m].from].ratio;
  return 1;
}

bool is_level(const Program *p, int matrix) {
  for (int l = 0; l <= p->layers; l++)
    if (p->phi_matrix[l] == matrix) return true;
  return false;
}

Program *program_keep(Program *program) {
  program->references++;
  return program;
}

/* What a completed program added to its base, and what the two share. */
static void drop_parts(Program *p, const Program *base) {
  for (int i = base ? base->space_count : 0; i < p->space_count; i++) {
    free(p->spaces[i].name);
    array_drop(p->spaces[i].gram);
    array_drop(p->spaces[i].vectors);
  }
  for (int i = base ? base->row_map_count : 0; i < p->row_map_count; i++)
    row_map_clear(&p->row_maps[i]);
  for (int i = base ? base->matrix_count : 0; i < p->matrix_count; i++) {
    free(p->matrices[i].name);
    if (!p->matrices[i].averaged) array_drop(p->matrices[i].start);
  }
  for (int i = base ? base->variable_count : 0; i < p->variable_count; i++)
    free(p->variables[i].name);
  for (int i = base ? base->constant_count : 0; i < p->constant_count; i++)
    free(p->constants[i].numbers);
  if (base) {
    expr_pool_free(p->pool);
    return;
  }
  free(p->phi_matrix);
  free(p->groups);
  if (p->system) expr_pool_free(p->pool);
  system_free(p->system);
  if (p->problem) problem_free(p->problem);
}

void program_drop(Program *p) {
  if (!p || --p->references > 0) return;
  drop_parts(p, p->base);
  program_drop(p->base);
  program_drop(p->deeper);
  free(p->row_maps);
  free(p->spaces);
  free(p->matrices);
  free(p->variables);
  free(p->constants);
  free(p->observables);
  free(p->ops);
  free(p);
}
