/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The program as a system of the language, which is read back as any other: what `ir` prints.
 *
 * Every variable has a name of its own. Vectors are rows of vectors, also a single one, and tables
 * have two axes. Inputs are the rows of a root of their Gram matrix, so that a matrix from them is
 * a state, the rows of its images under unit vectors; one to the outputs is its rows. What a matrix
 * takes up in a step stands at the end of it. What no system says stands there as a remark, and is
 * the reason that the text is not one. */
#include "base/memory.h"
#include "field/observable.h"
#include "field/program.h"
#include "num/linalg.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef struct Text {
  const Program *p;
  Arena *arena;                    /* of names and parts of lines */
  const char **variable, **matrix; /* names */
  const char **velocity;           /* [matrix]: what is taken from it again, or NULL */
  const char **taken;
  int taken_count;
  char *keys, *states, *lines; /* numbers, what is carried, and the lines under way */
  bool *declared;              /* [variable]: a state that has its line */
  const char **values;         /* names and values of the keys so far, in pairs */
  int value_count;
  const char *why; /* there is no such system, or NULL */
} Text;

/* ---- names ---- */

/* What the lines call, and what stands for something in a step. */
static bool is_spoken(const char *name) {
  static const char *const words[] = {
      "mix",     "gram",    "outer",   "dot",        "mean",     "normal", "zeros", "ones",
      "reshape", "softmax", "shift",   "mod",        "floor",    "t",      "N",     "state",
      "matrix",  "step",    "observe", "population", "two_time", "if",     "then",  "else",
      "for",     "in",      "and",     "or",         "not",      "of",     "to",    "with",
      "return",  "none",    "nan",     "inf",        "stderr",   "pi"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (strcmp(words[i], name) == 0) return true;
  for (int i = 0; i < PRIM_COUNT; i++)
    if (strcmp(prim_name((Prim)i), name) == 0) return true;
  return false;
}

static bool is_taken(const Text *w, const char *name) {
  for (int i = 0; i < w->taken_count; i++)
    if (strcmp(w->taken[i], name) == 0) return true;
  return is_spoken(name);
}

static void take(Text *w, const char *name) {
  w->taken = mem_grow(w->taken, (size_t)(w->taken_count + 1) * sizeof *w->taken);
  w->taken[w->taken_count++] = name;
}

/* Letters, digits and _ of the wish, as a name that is free. */
static const char *name_like(Text *w, const char *wish) {
  if (strcmp(wish, "1") == 0) wish = "one";
  if (strcmp(wish, "1/P") == 0) wish = "share";
  char *stem = mem_string("");
  for (const char *c = wish; *c; c++) {
    if (isalnum((unsigned char)*c) || *c == '_') mem_append(&stem, "%c", *c);
    if (*c == '\'') mem_append(&stem, "_");
    if (strncmp(c, "Δ", 2) == 0) mem_append(&stem, "delta");
    if (strncmp(c, "β", 2) == 0) mem_append(&stem, "beta");
  }
  const char *letter = !*stem || isdigit((unsigned char)*stem) ? "c" : "",
             *name = arena_format(w->arena, "%s%s", letter, stem);
  for (int number = 2; is_taken(w, name); number++)
    name = arena_format(w->arena, "%s%s_%d", letter, stem, number);
  free(stem);
  take(w, name);
  return name;
}

static const char *number(Text *w, double x) {
  char *text = mem_number(x);
  const char *kept = arena_format(w->arena, "%s", text);
  free(text);
  return kept;
}

/* c * as it stands in front. */
static const char *times(Text *w, const char *c) {
  return strcmp(c, "1") == 0 ? "" : arena_format(w->arena, "%s * ", c);
}

static const char *scale(Text *w, double c) { return times(w, number(w, c)); }

/* ---- lines ---- */

static void line(Text *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void line(Text *w, const char *format, ...) {
  va_list list;
  va_start(list, format);
  char *text = mem_vformat(format, list);
  va_end(list);
  mem_append(&w->lines, "    %s\n", text);
  free(text);
}

static void refuse(Text *w, const char *why) {
  if (!w->why) w->why = why;
}

static const char *named(const Text *w, int v) { return w->variable[v]; }

static bool wide(const Text *w, int v) { return is_wide_variable(w->p, v); }

static size_t rows(const Text *w, int v) { return rows_of(w->p, v); }

/* Of a table; a vector has one column for this purpose. */
static size_t cols(const Text *w, int v) {
  return wide(w, v) ? 1 : (size_t)w->p->variables[v].cols;
}

/* ---- numbers ---- */

static bool are_known(size_t n, const double *x) {
  for (size_t i = 0; i < n; i++)
    if (!isfinite(x[i])) return false;
  return true;
}

/* [[..], [..]] of all digits; what is nan was not known when the program was made. */
static const char *literal(Text *w, size_t m, size_t n, const double *x) {
  char *text = NULL;
  size_t length = 0;
  FILE *out = mem_stream(&text, &length);
  bool known = are_known(m * n, x);
  fputc('[', out);
  for (size_t i = 0; i < m && known; i++) {
    fputs(i ? ", [" : "[", out);
    for (size_t k = 0; k < n; k++) fprintf(out, "%s%s", k ? ", " : "", number(w, x[i * n + k]));
    fputc(']', out);
  }
  mem_stream_end(out);
  const char *kept = arena_format(w->arena, known ? "%s]" : "%sknown]", text);
  if (!known) refuse(w, "its numbers are known when the script runs");
  free(text);
  return kept;
}

static bool are_equal(size_t n, const double *x) {
  for (size_t i = 1; i < n; i++)
    if (fabs(x[i] - x[0]) > 0) return false;
  return n > 0 && isfinite(x[0]);
}

/* Numbers [m, n] as an expression. */
static const char *numbers(Text *w, size_t m, size_t n, const double *x) {
  if (!are_equal(m * n, x)) return literal(w, m, n, x);
  if (*x == 0) return arena_format(w->arena, "zeros(%zu, %zu)", m, n);
  return arena_format(w->arena, "%sones(%zu, %zu)", scale(w, *x), m, n);
}

/* A key of the system, and its name: one for each value. */
static const char *key(Text *w, const char *wish, const char *value) {
  for (int i = 0; i < w->value_count; i++)
    if (strcmp(w->values[2 * i + 1], value) == 0) return w->values[2 * i];
  const char *name = name_like(w, wish);
  w->values = mem_grow(w->values, 2 * (size_t)(w->value_count + 1) * sizeof *w->values);
  w->values[2 * w->value_count] = name;
  w->values[2 * w->value_count++ + 1] = value;
  mem_append(&w->keys, "  %s = %s\n", name, value);
  return name;
}

/* Where row i of m belongs to row i / (m / n) of n: a table [m, n]. */
static const char *spread(Text *w, size_t m, size_t n) {
  return arena_format(w->arena, "1 * (floor(reshape(0..%zu, %zu, 1) / %zu) == 0..%zu)", m - 1, m,
                      m / n, n - 1);
}

/* x with each of its rows m / n times. */
static const char *spread_rows(Text *w, const char *x, size_t n, size_t m) {
  if (m == n) return x;
  return arena_format(w->arena, "(%s @ %s)", key(w, "spread", spread(w, m, n)), x);
}

/* ---- matrices from the inputs and to the outputs ---- */

static const Matrix *matrix_of(const Text *w, const Op *op) { return &w->p->matrices[op->matrix]; }

static bool from_inputs(const Text *w, const Matrix *m) {
  return !is_wide(w->p, m->from) && w->p->spaces[m->from].kind == SPACE_INPUT;
}

/* The rows of a root of the Gram matrix from `first` on, without gaps, to be freed; *rank is 0
 * where the inputs are not known yet. */
static double *root_rows(const Text *w, const Matrix *m, size_t first, size_t *rank) {
  size_t n = thin_vectors(w->p, m);
  double *root = mem_new(n * n, sizeof *root);
  int found = thin_root(w->p, m, root);
  *rank = found > 0 ? (size_t)found : 0;
  for (size_t i = first; i < n && found > 0; i++)
    memmove(root + (i - first) * *rank, root + i * n, *rank * sizeof *root);
  return root;
}

/* These, as the value of a variable on the inputs. */
static void write_inputs(Text *w, const Op *op) {
  for (int k = 0; k < w->p->matrix_count; k++) {
    const Matrix *m = &w->p->matrices[k];
    if (m->x != op->dst || !from_inputs(w, m)) continue;
    size_t rank;
    double *root = root_rows(w, m, 0, &rank);
    if (rank)
      mem_append(&w->keys, "  %s = %s\n", named(w, op->dst),
                 numbers(w, rows_of(w->p, m->x), rank, root));
    else
      refuse(w, "its inputs are known when the script runs");
    free(root);
    return;
  }
}

/* The unit vectors that a tied readout takes to the outputs. */
static const char *units(Text *w, const Matrix *m) {
  const Matrix *root = &w->p->matrices[m->weights];
  size_t rank, count = (size_t)w->p->spaces[root->from].units;
  double *last = root_rows(w, root, rows_of(w->p, root->x), &rank);
  const char *name = key(w, "units", numbers(w, count, rank ? rank : 1, last));
  free(last);
  return name;
}

/* What a matrix has for the outputs: its rows, or the images of unit vectors. */
static const char *to_outputs(Text *w, const Matrix *m, const char *W) {
  return is_tied(w->p, m) ? arena_format(w->arena, "(%s @ %s)", units(w, m), W) : W;
}

/* Unit vectors of the outputs, for each point. */
static void write_seed(Text *w, const Op *op) {
  size_t C = sizes_of(w->p).outputs, n = rows(w, op->dst);
  mem_append(&w->keys, "  %s = 1 * (mod(reshape(0..%zu, %zu, 1), %zu) == 0..%zu)\n",
             named(w, op->dst), n - 1, n, C, C - 1);
}

static size_t thin_rank(const Text *w, const Matrix *m) {
  size_t n = thin_vectors(w->p, m);
  double *root = mem_new(n * n, sizeof *root);
  int rank = thin_root(w->p, m, root);
  free(root);
  return rank > 0 ? (size_t)rank : 1;
}

/* Whether a matrix is one of the step, drawn anew in every one. */
static bool is_redrawn(const Text *w, int matrix) {
  for (int i = w->p->start_count; i < w->p->op_count; i++)
    if (w->p->ops[i].kind == OP_REDRAW && w->p->ops[i].matrix == matrix) return true;
  return false;
}

static void write_redraw(Text *w, const Op *op) {
  const Matrix *m = matrix_of(w, op);
  for (int i = 0; i < w->p->start_count; i++)
    if (is_product(&w->p->ops[i]) && w->p->ops[i].matrix == op->matrix)
      refuse(w, "a matrix that is drawn anew acts at the start, too");
  line(w, "matrix %s : %s -> %s (sigma = %s)", w->matrix[op->matrix], w->p->spaces[m->from].name,
       w->p->spaces[m->to].name, number(w, m->sigma));
}

static void declare_matrices(Text *w, char **out) {
  for (int k = 0; k < w->p->matrix_count; k++) {
    const Matrix *m = &w->p->matrices[k];
    if (m->weights != k || is_redrawn(w, k)) continue;
    const char *sigma = number(w, m->sigma);
    if (m->law != LAW_NORMAL) refuse(w, "its initial weights are not normal");
    if (is_wide_matrix(w->p, m)) {
      mem_append(out, "  matrix %s : %s -> %s (sigma = %s", w->matrix[k],
                 w->p->spaces[m->from].name, w->p->spaces[m->to].name, sigma);
      if (m->symmetric) mem_append(out, ", symmetry = %s", number(w, m->tau));
      mem_append(out, ")\n");
      if (w->velocity[k])
        mem_append(out, "  matrix %s : %s -> %s (sigma = 0)\n", w->velocity[k],
                   w->p->spaces[m->from].name, w->p->spaces[m->to].name);
    } else if (m->x >= 0 || !from_inputs(w, m)) {
      const Space *space = &w->p->spaces[is_wide(w->p, m->to) ? m->to : m->from];
      mem_append(&w->states, "  %s%s = %snormal(%s, %zu)", op_of(w->p, k, OP_LEARN) ? "state " : "",
                 w->matrix[k], times(w, sigma), space->name, thin_rank(w, m));
      if (fabs(m->mean) > 0) mem_append(&w->states, " + %s", number(w, m->mean));
      mem_append(&w->states, "\n");
      if (m->start) refuse(w, "its initial weights have scales of their own");
    }
  }
}

static void write_apply(Text *w, const Op *op) {
  const Matrix *m = matrix_of(w, op);
  const char *x = named(w, op->src[0]), *dst = named(w, op->dst),
             *W = w->matrix[m->averaged ? op->matrix : m->weights];
  bool back = op->kind == OP_APPLY_T, input = from_inputs(w, m);
  if (is_wide_matrix(w->p, m)) {
    const char *V = w->velocity[m->weights], *t = back ? "'" : "";
    if (V)
      line(w, "%s = %s%s @ %s - %s%s @ %s", dst, W, t, x, V, t, x);
    else
      line(w, "%s = %s%s @ %s", dst, W, t, x);
  } else if (input || back) {
    if (back) W = to_outputs(w, m, W);
    const char *share = scale(w, input ? 1 : 1 / w->p->spaces[m->from].ratio);
    line(w, "%s = %s%s%s @ %s%s", dst, share, *share ? "(" : "", x, W, *share ? ")" : "");
  } else {
    line(w, "%s = reshape(%sgram(%s, %s), %zu, 1)", dst, scale(w, 1 / w->p->problem->gamma), x,
         to_outputs(w, m, W), rows(w, op->dst));
  }
}

/* ---- elementwise ---- */

/* An argument of a map as it stands there: numbers beside vectors are a list, and what has fewer
 * rows or columns is spread. */
static const char *argument(Text *w, int v, int dst) {
  size_t m = rows(w, dst), n = cols(w, dst), own = rows(w, v), width = cols(w, v);
  const char *text =
      own == m || (own == 1 && !wide(w, dst)) ? named(w, v) : spread_rows(w, named(w, v), own, m);
  if (wide(w, v)) return text;
  if (wide(w, dst)) return arena_format(w->arena, "%s[:, 0]", text);
  if (width == n || width == 1) return text;
  return arena_format(w->arena, "(%s @ %s')", text, key(w, "spread", spread(w, n, width)));
}

/* A map as text; what it does not depend on gives its shape. To be freed. */
static char *map_text(const Op *op, const char *const *args) {
  char *text = expr_source(op->expr, args);
  for (int i = 0; i < op->src_count && text; i++) {
    if (expr_depends(op->expr, i)) continue;
    char *longer = mem_format("(%s) + 0 * %s", text, args[i]);
    free(text);
    text = longer;
  }
  return text;
}

static void write_map(Text *w, const Op *op) {
  const char *args[OP_MAX_ARGS];
  for (int i = 0; i < op->src_count; i++) args[i] = argument(w, op->src[i], op->dst);
  char *text = map_text(op, args);
  if (!text) refuse(w, "a map has too many terms, or numbers that are not finite");
  bool whole = op->src_count > 0; /* a number alone is not yet a table */
  if (whole)
    line(w, "%s = %s", named(w, op->dst), text ? text : "0");
  else
    line(w, "%s = %s * ones(%zu, %zu)", named(w, op->dst), text ? text : "0", rows(w, op->dst),
         cols(w, op->dst));
  free(text);
}

/* ---- tables ---- */

static void write_constant(Text *w, const Op *op) {
  const Constant *c = &w->p->constants[op->constant];
  size_t n = c->rows * c->cols, all = c->steps ? c->steps : 1;
  if (c->moves) refuse(w, "a step of gradient flow has several moves");
  if (!c->steps) {
    mem_append(&w->keys, "  %s = %s\n", named(w, op->dst),
               numbers(w, c->rows, c->cols, c->numbers));
    return;
  }
  char *text = NULL; /* what is after the last move is not used */
  size_t length = 0;
  FILE *out = mem_stream(&text, &length);
  for (size_t t = 0; t <= all; t++) {
    const double *now = c->numbers + (t < all ? t : all - 1) * n;
    fprintf(out, "%s%s", t ? ", " : "[", literal(w, c->rows, c->cols, now));
  }
  mem_stream_end(out);
  line(w, "%s = %s[t]", named(w, op->dst),
       key(w, named(w, op->dst), arena_format(w->arena, "%s]", text)));
  free(text);
}

/* [m, n] that is 1 where rows and columns have the same number mod k, or with `blocks` are in the
 * same of so many blocks. */
static const char *same_place(Text *w, size_t m, size_t n, size_t k) {
  return arena_format(w->arena, "1 * (mod(reshape(0..%zu, %zu, 1), %zu) == mod(0..%zu, %zu))",
                      m - 1, m, k, n - 1, k);
}

static const char *same_block(Text *w, size_t m, size_t n, size_t blocks) {
  return arena_format(w->arena,
                      "1 * (floor(reshape(0..%zu, %zu, 1) / %zu) == floor((0..%zu) / %zu))", m - 1,
                      m, m / blocks, n - 1, n / blocks);
}

static void write_moment(Text *w, const Op *op) {
  const char *x = named(w, op->src[0]), *y = named(w, op->src[1]), *dst = named(w, op->dst);
  size_t m = rows(w, op->src[0]), n = rows(w, op->src[1]), group = (size_t)op->group;
  if (group == 1) {
    line(w, "%s = gram(%s, %s)", dst, x, y);
    return;
  }
  const char *mask = key(w, "same", same_place(w, m, n, group)),
             *left = key(w, "spread", spread(w, m, m / group)),
             *right = key(w, "spread", spread(w, n, n / group));
  line(w, "%s = %s' @ (gram(%s, %s) * %s) @ %s / %zu", dst, left, x, y, mask, right, group);
}

/* Pairs of rows of one block: of the table of all pairs, the blocks on its diagonal side by side.
 */
static void write_gram(Text *w, const Op *op) {
  const char *x = named(w, op->src[0]), *y = named(w, op->src[1]), *dst = named(w, op->dst);
  size_t m = rows(w, op->src[0]), n = rows(w, op->src[1]), blocks = (size_t)op->blocks;
  const char *c = scale(w, op->factor);
  if (blocks == 1) {
    line(w, "%s = %sgram(%s, %s)", dst, c, x, y);
  } else {
    const char *mask = key(w, "same", same_block(w, m, n, blocks)),
               *fold = key(w, "fold", same_place(w, n, n / blocks, n / blocks));
    line(w, "%s = %s((gram(%s, %s) * %s) @ %s)", dst, c, x, y, mask, fold);
  }
}

static void write_blend(Text *w, const Op *op) {
  int a = op->src[0], x = op->src[1];
  size_t blocks = (size_t)op->blocks, m = rows(w, a), n = cols(w, a) * blocks;
  bool plain =
      rows(w, x) == (op->transpose_a ? m : n) && rows(w, op->dst) == (op->transpose_a ? n : m);
  if (!plain) refuse(w, "tables of pairs have a row for each output");
  const char *A = named(w, a), *t = op->transpose_a ? "'" : "", *dst = named(w, op->dst);
  const char *c = scale(w, op->factor);
  if (blocks == 1) {
    line(w, "%s = %s(%s%s @ %s)", dst, c, A, t, named(w, x));
  } else {
    const char *mask = key(w, "same", same_block(w, m, n, blocks)),
               *fold = key(w, "fold", same_place(w, n, n / blocks, n / blocks));
    line(w, "%s = %s(((%s @ %s') * %s)%s @ %s)", dst, c, A, fold, mask, t, named(w, x));
  }
}

/* What a row does not see is far below what it sees. */
static void write_softmax(Text *w, const Op *op) {
  size_t m = rows(w, op->dst), n = cols(w, op->dst);
  if (!op->causal) {
    line(w, "%s = softmax(%s)", named(w, op->dst), named(w, op->src[0]));
    return;
  }
  const char *seen =
      key(w, "hidden",
          arena_format(w->arena, "-1e300 * (0..%zu > mod(reshape(0..%zu, %zu, 1), %zu))", n - 1,
                       m - 1, m, m / (size_t)op->blocks));
  line(w, "%s = softmax(%s + %s)", named(w, op->dst), named(w, op->src[0]), seen);
}

/* Rows of one point from rows of one point, for every point and output. */
static void write_rows(Text *w, const Op *op) {
  const RowMap *map = &w->p->row_maps[op->rows];
  size_t to = (size_t)map->to, from = (size_t)map->from, m = rows(w, op->dst),
         n = rows(w, op->src[0]),
         C = w->p->variables[op->dst].backward ? sizes_of(w->p).outputs : 1;
  double *table = mem_new(to * from, sizeof *table);
  for (size_t i = 0; i < to; i++)
    for (int k = map->begin[i]; k < map->begin[i + 1]; k++)
      table[i * from + (size_t)map->source[k]] += map->weight[k];
  const char *one = key(w, "rows", numbers(w, to, from, table));
  free(table);
  const char *all = arena_format(
      w->arena, "%s[mod(floor((0..%zu) / %zu), %zu)][:, mod(floor((0..%zu) / %zu), %zu)]", one,
      m - 1, C, to, n - 1, C, from);
  const char *whole = key(w, "map",
                          arena_format(w->arena, "%s * (%s) * (%s)", all,
                                       same_block(w, m, n, m / (to * C)), same_place(w, m, n, C)));
  line(w, "# %s %s", w->p->variables[op->src[0]].name, map->about);
  line(w, "%s = %s @ %s", named(w, op->dst), whole, named(w, op->src[0]));
}

/* log of the sum of exp over the outputs of a point, from that of the first. */
static void write_lse(Text *w, const Op *op) {
  size_t m = rows(w, op->dst), n = rows(w, op->src[0]) * cols(w, op->src[0]) / m;
  const char *x = name_like(w, "outputs"), *dst = named(w, op->dst);
  line(w, "%s = reshape(%s, %zu, %zu)", x, named(w, op->src[0]), m, n);
  line(w, "%s = %s[:, 0:1] + log(exp(%s - %s[:, 0:1]) @ ones(%zu, 1))", dst, x, x, x, n);
}

static void write_average(Text *w, const Op *op) {
  size_t m = rows(w, op->dst);
  const char *dst = named(w, op->dst), *c = scale(w, op->factor),
             *x = spread_rows(w, named(w, op->src[0]), rows(w, op->src[0]), m);
  if (op->src_count > 1)
    line(w, "%s = reshape(%sdot(%s, %s), %zu, 1)", dst, c, x,
         spread_rows(w, named(w, op->src[1]), rows(w, op->src[1]), m), m);
  else
    line(w, "%s = reshape(%smean(%s), %zu, 1)", dst, c, x, m);
}

static void write_block(Text *w, const Op *op) {
  size_t m = rows(w, op->dst), n = cols(w, op->dst);
  const char *x = named(w, op->src[0]), *dst = named(w, op->dst);
  if (op->src_count > 1 && wide(w, op->dst))
    line(w, "%s = [%s[%s[0, 0]]]", dst, x, named(w, op->src[1]));
  else if (op->src_count > 1)
    line(w, "%s = reshape(%s[%s[0, 0]], %zu, %zu)", dst, x, named(w, op->src[1]), m, n);
  else if (wide(w, op->dst))
    line(w, "%s = %s[%d:%zu]", dst, x, op->first[0], (size_t)op->first[0] + m);
  else
    line(w, "%s = %s[%d:%zu, %d:%zu]", dst, x, op->first[0], (size_t)op->first[0] + m, op->first[1],
         (size_t)op->first[1] + n);
}

/* The sum of the parts, each in its rows. */
static void write_stack(Text *w, const Op *op) {
  size_t m = rows(w, op->dst), first = 0;
  const char *sum = "";
  for (int i = 0; i < op->src_count; i++) {
    size_t own = rows(w, op->src[i]);
    const char *place = arena_format(w->arena, "1 * (reshape(0..%zu, %zu, 1) == %zu..%zu)", m - 1,
                                     m, first, first + own - 1);
    sum = arena_format(w->arena, "%s%s%s @ %s", sum, i ? " + " : "", key(w, "place", place),
                       named(w, op->src[i]));
    first += own;
  }
  line(w, "%s = %s", named(w, op->dst), sum);
}

static void write_fill(Text *w, const Op *op) {
  const Variable *v = &w->p->variables[op->dst];
  bool zero = !(fabs(op->factor) > 0);
  const char *c = zero ? "" : scale(w, op->factor), *made = zero ? "zeros" : "ones";
  if (wide(w, op->dst))
    line(w, "%s = %s%s(%s, %zu)", named(w, op->dst), c, made, w->p->spaces[v->space].name,
         rows(w, op->dst));
  else
    line(w, "%s = %s%s(%zu, %zu)", named(w, op->dst), c, made, rows(w, op->dst), cols(w, op->dst));
}

/* ---- states ---- */

/* A table that is carried, zero at first. */
static void declare_table(Text *w, int v) {
  if (w->declared[v]) return;
  w->declared[v] = true;
  mem_append(&w->states, "  state %s = zeros(%zu, %zu)\n", named(w, v), rows(w, v), cols(w, v));
}

static void write_set(Text *w, const Op *op, bool start) {
  const char *dst = named(w, op->dst), *x = named(w, op->src[0]);
  if (start) {
    mem_append(&w->lines, "  state %s = %s\n", dst, x);
    w->declared[op->dst] = true;
    return;
  }
  if (!w->declared[op->dst]) declare_table(w, op->dst);
  if (op->once)
    line(w, "%s = if t < 1 then %s else %s", dst, x, dst);
  else
    line(w, "%s = %s", dst, x);
}

/* ---- learning ---- */

/* A coefficient of the moves, a number or numbers at t. */
static const char *coefficient(Text *w, const Matrix *m, const char *name, size_t offset) {
  size_t T = (size_t)w->p->problem->steps;
  double *x = coefficients_of(w->p, m, 1, w->p->problem->gamma, offset);
  const char *all = literal(w, 1, T + 1, x), *text;
  if (are_equal(T + 1, x)) {
    text = number(w, x[0]);
  } else {
    all = arena_format(w->arena, "%.*s", (int)strlen(all) - 2, all + 1);
    text = arena_format(w->arena, "%s[t]", key(w, name, all));
  }
  free(x);
  return text;
}

/* force y and x of a use, for the rows that training sees. */
static void write_uses(Text *w, const Matrix *m, const char **y, const char **x) {
  const Program *p = w->p;
  size_t batch = rows(w, m->force), C = sizes_of(p).outputs;
  bool forward = rows_per_x(p, m) == C;
  size_t ny = forward ? batch : batch / C, nx = forward ? batch / C : batch;
  const char *own = named(w, m->learns), *met = named(w, m->x);
  if (ny < rows(w, m->learns)) own = arena_format(w->arena, "%s[0:%zu]", own, ny);
  if (nx < rows(w, m->x)) met = arena_format(w->arena, "%s[0:%zu]", met, nx);
  const char *whole = spread_rows(w, own, ny, batch);
  *x = spread_rows(w, met, nx, batch);
  *y = arena_format(w->arena, "%s[:, 0] * %s", named(w, m->force), whole);
}

/* O of a matrix from the inputs, or to the outputs, as rows. */
static const char *thin_direction(Text *w, int root) {
  const Program *p = w->p;
  const char *sum = "", *y, *x;
  for (int k = root; k < p->matrix_count; k++) {
    const Matrix *m = &p->matrices[k];
    if (m->weights != root || m->x < 0) continue;
    const char *plus = *sum ? " + " : "";
    if (from_inputs(w, m)) {
      write_uses(w, m, &y, &x);
      sum = arena_format(w->arena, "%s%s%s' @ (%s)", sum, plus, x, y);
    } else {
      size_t C = sizes_of(p).outputs, n = rows(w, m->force) / C;
      const char *part = n < rows(w, m->x) ? arena_format(w->arena, "[0:%zu]", n) : "",
                 *tied = is_tied(p, m) ? arena_format(w->arena, "%s' @ ", units(w, m)) : "";
      sum = arena_format(w->arena, "%s%s%sreshape(%s%s, %zu, %zu)' @ %s%s", sum, plus, tied,
                         scale(w, 1 / p->spaces[m->from].ratio), named(w, m->force), n, C,
                         named(w, m->x), part);
    }
  }
  return sum;
}

static void learn_thin(Text *w, int k) {
  const Matrix *m = &w->p->matrices[k];
  const char *W = w->matrix[k], *own = thin_direction(w, k),
             *keep = coefficient(w, m, "keep", offsetof(Move, keep)),
             *pull = coefficient(w, m, "rate", offsetof(Move, pull)),
             *push = coefficient(w, m, "push", offsetof(Move, push)),
             *noise = coefficient(w, m, "noise", offsetof(Move, noise)),
             *space = w->p->spaces[is_wide(w->p, m->to) ? m->to : m->from].name,
             *next = arena_format(w->arena, "%s%s", times(w, keep), W);
  if (strcmp(push, "0") != 0) {
    const char *beta = coefficient(w, m, "beta", offsetof(Move, beta)),
               *V = name_like(w, arena_format(w->arena, "V%s", W));
    mem_append(&w->states, "  state %s = zeros(%s, %zu)\n", V, space, thin_rank(w, m));
    line(w, "%s = %s * %s + %s", V, beta, V, own);
    next = arena_format(w->arena, "%s + %s * %s", next, push, V);
  }
  if (strcmp(pull, "0") != 0) next = arena_format(w->arena, "%s + %s * (%s)", next, pull, own);
  if (strcmp(noise, "0") != 0)
    next = arena_format(w->arena, "%s + %s * normal(%s, %zu)", next, noise, space, thin_rank(w, m));
  line(w, "%s = %s", W, next);
}

/* A coefficient that stays; false where it changes in time. */
static bool constant(Text *w, const Matrix *m, size_t offset, double *c) {
  const char *text = coefficient(w, m, "rate", offset);
  *c = strtod(text, NULL);
  return !strchr(text, '[');
}

/* += of every use, times a number, to the matrix of this name. */
static void add_uses(Text *w, int root, const char *W, const char *rate) {
  const Program *p = w->p;
  for (int k = root; k < p->matrix_count; k++) {
    if (p->matrices[k].weights != root || p->matrices[k].x < 0) continue;
    const char *y, *x;
    write_uses(w, &p->matrices[k], &y, &x);
    line(w, "%s += outer(%s * %s, %s)", W, rate, y, x);
  }
}

static void decay_by(Text *w, const char *W, double keep) {
  const char *text = number(w, keep);
  if (strcmp(text, "1") != 0) line(w, "%s *= %s", W, text);
}

static const char varies[] = "the decay or the velocity of its matrices changes in time";

/* Of V <- beta V + O, W <- keep W + push V + pull O what was taken up n steps ago has the part
 * push (keep^n - beta^n) / (keep - beta): a matrix that keeps less one that falls by beta. Why that
 * cannot be said, or NULL. */
static const char *learn_with_velocity(Text *w, int root, const char *V) {
  const Matrix *m = &w->p->matrices[root];
  double keep, push, pull, beta;
  bool stays =
      constant(w, m, offsetof(Move, keep), &keep) && constant(w, m, offsetof(Move, push), &push) &&
      constant(w, m, offsetof(Move, pull), &pull) && constant(w, m, offsetof(Move, beta), &beta);
  double c = stays ? push / (keep - beta) : 0;
  if (!stays) return varies;
  if (!isfinite(c)) return "its matrices decay as their velocity does";
  decay_by(w, w->matrix[root], keep);
  add_uses(w, root, w->matrix[root], number(w, keep * c + pull));
  decay_by(w, V, beta);
  add_uses(w, root, V, number(w, beta * c));
  return NULL;
}

static const char *learn_wide(Text *w, int root) {
  const Program *p = w->p;
  const Matrix *m = &p->matrices[root];
  double keep;
  if (p->update.temperature > 0) return "noise shakes its matrices";
  if (w->velocity[root]) return learn_with_velocity(w, root, w->velocity[root]);
  if (!constant(w, m, offsetof(Move, keep), &keep)) return varies;
  const char *pull = coefficient(w, m, "rate", offsetof(Move, pull));
  decay_by(w, w->matrix[root], keep);
  if (strcmp(pull, "0") != 0) add_uses(w, root, w->matrix[root], pull);
  return NULL;
}

static const char *learn_any(Text *w, int root) {
  const Program *p = w->p;
  if (!follows_gradients(p)) return "its matrices move entry by entry, or by what all entries are";
  if (p->update.flow) return "a step of gradient flow has several moves";
  if (p->update.average > 0) return "it averages its weights";
  if (is_wide_matrix(p, &p->matrices[root])) return learn_wide(w, root);
  learn_thin(w, root);
  return NULL;
}

static void write_learn(Text *w, const Op *op) {
  const char *why = learn_any(w, op->matrix);
  if (!why) return;
  refuse(w, why);
  char *text = program_print_update(w->p, op->matrix), *rest;
  for (char *one = strtok_r(text, "\n", &rest); one; one = strtok_r(NULL, "\n", &rest))
    line(w, "# %s", one);
  free(text);
}

/* ---- the whole ---- */

static void write_mix(Text *w, const Op *op) {
  line(w, "%s = %s%s @ %s%s", named(w, op->dst), named(w, op->src[0]), op->transpose_a ? "'" : "",
       named(w, op->src[1]), op->transpose_b ? "'" : "");
}

static void write_start(Text *w, const Op *op) {
  const char *dst = named(w, op->dst);
  declare_table(w, op->dst);
  line(w, "%s = if t < 1 then %s else %s", dst, named(w, op->src[0]), dst);
}

static void write_noise(Text *w, const Op *op) {
  line(w, "%s = normal(%s, %zu)", named(w, op->dst),
       w->p->spaces[w->p->variables[op->dst].space].name, rows(w, op->dst));
}

static void write_op(Text *w, const Op *op, bool start) {
  const char *dst = op->dst >= 0 ? named(w, op->dst) : "",
             *a = op->src_count ? named(w, op->src[0]) : "",
             *b = op->src_count > 1 ? named(w, op->src[1]) : "";
  switch (op->kind) {
  case OP_INPUT: write_inputs(w, op); break;
  case OP_SEED: write_seed(w, op); break;
  case OP_APPLY:
  case OP_APPLY_T: write_apply(w, op); break;
  case OP_MAP: write_map(w, op); break;
  case OP_ROWS: write_rows(w, op); break;
  case OP_CONST: write_constant(w, op); break;
  case OP_MOMENT: write_moment(w, op); break;
  case OP_AVERAGE: write_average(w, op); break;
  case OP_GRAM: write_gram(w, op); break;
  case OP_BLEND: write_blend(w, op); break;
  case OP_SOFTMAX: write_softmax(w, op); break;
  case OP_SUMS: line(w, "%s = %s @ ones(%zu, 1)", dst, a, cols(w, op->src[0])); break;
  case OP_MIX: write_mix(w, op); break;
  case OP_BLOCK: write_block(w, op); break;
  case OP_LSE: write_lse(w, op); break;
  case OP_START: write_start(w, op); break;
  case OP_SET: write_set(w, op, start); break;
  case OP_NOISE: write_noise(w, op); break;
  case OP_FILL: write_fill(w, op); break;
  case OP_CLOCK: line(w, "%s = zeros(1, 1) + t", dst); break;
  case OP_SHIFT: line(w, "%s = shift(%s, %d)", dst, a, op->first[0]); break;
  case OP_STACK: write_stack(w, op); break;
  case OP_RESHAPE:
    line(w, "%s = reshape(%s, %zu, %zu)", dst, a, rows(w, op->dst), cols(w, op->dst));
    break;
  case OP_OUTER: line(w, "%s += outer(%s, %s)", w->matrix[op->matrix], a, b); break;
  case OP_DECAY: decay_by(w, w->matrix[op->matrix], op->factor); break;
  case OP_REDRAW: write_redraw(w, op); break;
  case OP_LEARN: write_learn(w, op); break;
  case OP_WEIGH: refuse(w, "it is not completed"); break;
  }
}

/* The numbers of a field, as many axes as it has. */
static void observe_numbers(Text *w, const char *name, int v, int first, size_t count, int rank) {
  const char *part =
      count < rows(w, v) ? arena_format(w->arena, "%d:%zu", first, (size_t)first + count) : ":";
  if (rank == 2 && count == rows(w, v))
    line(w, "observe %s = %s", name, named(w, v));
  else if (rank == 0)
    line(w, "observe %s = %s[0, 0]", name, named(w, v));
  else
    line(w, rank == 1 ? "observe %s = %s[%s, 0]" : "observe %s = %s[%s, :]", name, named(w, v),
         part);
}

static void write_observable(Text *w, const ProgramObservable *o) {
  const FieldRow *row = field_row((FieldId)o->field);
  size_t C = strstr(row->axes, ",c") ? sizes_of(w->p).outputs : 1;
  const char *name = o->layer ? arena_format(w->arena, "%s%d", row->name, o->layer) : row->name;
  if (C > 1)
    line(w, "observe %s = reshape(%s[%d:%d, 0], %zu, %zu)", name, named(w, o->variable), o->first,
         o->first + o->rows, (size_t)o->rows / C, C);
  else
    observe_numbers(w, name, o->variable, o->first, (size_t)o->rows,
                    cols(w, o->variable) > 1 ? 2 : rows(w, o->variable) > 1);
}

static void write_fields(Text *w) {
  const System *s = w->p->system;
  for (int i = 0; i < s->field_count; i++) {
    const SystemField *f = &s->fields[i];
    if (f->form == FORM_VALUE)
      observe_numbers(w, f->name, f->variable, 0, rows(w, f->variable),
                      s->variables[f->variable].shape.rank);
    else
      line(w, "observe %s = two_time(%s, %s)", f->name, named(w, f->variable), named(w, f->other));
  }
}

static void name_all(Text *w) {
  const Program *p = w->p;
  for (int i = 0; i < p->space_count; i++) take(w, p->spaces[i].name);
  for (int k = 0; k < p->matrix_count; k++) w->matrix[k] = name_like(w, p->matrices[k].name);
  for (int k = 0; k < p->matrix_count && p->problem; k++)
    if (update_remembers(&p->update) && is_wide_matrix(p, &p->matrices[k]) && op_of(p, k, OP_LEARN))
      w->velocity[k] = name_like(w, arena_format(w->arena, "V%s", p->matrices[k].name));
  for (int v = 0; v < p->variable_count; v++) w->variable[v] = name_like(w, p->variables[v].name);
}

/* The lines of these ops, taken from the text; to be freed. */
static char *lines_of(Text *w, int first, int end, bool start) {
  for (int i = first; i < end; i++) write_op(w, &w->p->ops[i], start);
  char *lines = w->lines;
  w->lines = mem_string("");
  return lines;
}

static void declare_populations(Text *w, char **out) {
  const Program *p = w->p;
  int count = 0;
  for (int i = 0; i < p->space_count; i++) {
    const Space *s = &p->spaces[i];
    if (s->kind != SPACE_WIDE) continue;
    mem_append(out, "%s%s", count++ ? ", " : "  population ", s->name);
    if (s->ratio < 1 || s->ratio > 1) mem_append(out, " = %s", number(w, s->ratio));
  }
  mem_append(out, "\n");
}

/* A part of the step under its title. */
static void add_part(Text *w, char **step, const char *title, int first, int end) {
  char *lines = lines_of(w, first, end, false);
  if (*lines && w->p->problem) mem_append(step, "    # %s\n", title);
  mem_append(step, "%s", lines);
  free(lines);
}

/* The step up to where all is measured, what is observed, and what prepares the next step. */
static char *write_step(Text *w) {
  const Program *p = w->p;
  char *step = mem_string("");
  if (p->system) {
    add_part(w, &step, "", p->start_count, p->train_first);
    write_fields(w);
  } else {
    add_part(w, &step, "forward", 0, p->forward_count);
    add_part(w, &step, "outputs", p->forward_count, p->backward_first);
    add_part(w, &step, "backward, in units of gamma N df", p->backward_first, p->gradient_count);
    add_part(w, &step, "learning rule, in place of gradients", p->gradient_count, p->measure_first);
    add_part(w, &step, "measured", p->measure_first, p->train_first);
    for (int i = 0; i < p->observable_count; i++) write_observable(w, &p->observables[i]);
  }
  add_part(w, &step, "observed", 0, 0);
  add_part(w, &step, "update", p->train_first, p->op_count);
  return step;
}

static char *write_body(Text *w) {
  const Program *p = w->p;
  char *start = lines_of(w, 0, p->system ? p->start_count : 0, true), *head = mem_string("");
  char *step = write_step(w);
  declare_populations(w, &head);
  declare_matrices(w, &head);
  char *body = mem_format("%s%s%s%s  step {\n%s  }\n", w->keys, head, w->states, start, step);
  free(start);
  free(head);
  free(step);
  return body;
}

char *program_write(const Program *p, const char **why) {
  Text w = {.p = p,
            .arena = arena_new(),
            .variable = mem_new((size_t)p->variable_count + 1, sizeof(char *)),
            .matrix = mem_new((size_t)p->matrix_count + 1, sizeof(char *)),
            .velocity = mem_new((size_t)p->matrix_count + 1, sizeof(char *)),
            .keys = mem_string(""),
            .states = mem_string(""),
            .lines = mem_string(""),
            .declared = mem_new((size_t)p->variable_count + 1, sizeof(bool))};
  if (p->problem && p->problem->parameterization == PARAM_STANDARD)
    refuse(&w, "in the standard parameterization what it computes depends on its width");
  name_all(&w);
  char *body = write_body(&w);
  free(w.values);
  free(w.taken);
  free(w.variable);
  free(w.matrix);
  free(w.velocity);
  free(w.keys);
  free(w.states);
  free(w.lines);
  free(w.declared);
  arena_free(w.arena);
  *why = w.why;
  return body;
}
