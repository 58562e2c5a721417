/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The program as a system of the language, which is read back as any other: what `ir` prints.
 *
 * Every variable has a name of its own. Vectors are rows of vectors, also a single one, and tables
 * have two axes. Inputs are the rows of a root of their Gram matrix, so that a matrix from them is
 * a state, the rows of its images under unit vectors; one to the outputs is its rows. What a matrix
 * takes up in a step stands at the end of it. */
#include "base/memory.h"
#include "field/observable.h"
#include "field/program.h"
#include "num/linalg.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

typedef struct Text {
  const Program *p;
  char **variable, **matrix; /* names */
  char **velocity;           /* [matrix]: what is taken from it again, or NULL */
  char **taken;
  int taken_count;
  char *keys, *states, *lines; /* numbers, what is carried, and the lines under way */
  bool *declared;              /* [variable]: a state that has its line */
  char **values;               /* names and values of the keys so far, in pairs */
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

/* Letters, digits and _ of the wish, as a name that is free; kept by the text. */
static const char *name_like(Text *w, const char *wish) {
  if (strcmp(wish, "1") == 0) wish = "one";
  if (strcmp(wish, "1/P") == 0) wish = "share";
  char *stem = mem_string(""), *name;
  for (const char *c = wish; *c; c++) {
    if (isalnum((unsigned char)*c) || *c == '_') mem_append(&stem, "%c", *c);
    if (*c == '\'') mem_append(&stem, "_");
    if (strncmp(c, "Δ", 2) == 0) mem_append(&stem, "delta");
    if (strncmp(c, "β", 2) == 0) mem_append(&stem, "beta");
  }
  if (!*stem || isdigit((unsigned char)*stem)) {
    char *whole = mem_format("c%s", stem);
    free(stem);
    stem = whole;
  }
  name = mem_string(stem);
  for (int number = 2; is_taken(w, name); number++) {
    free(name);
    name = mem_format("%s_%d", stem, number);
  }
  free(stem);
  w->taken = mem_grow(w->taken, (size_t)(w->taken_count + 1) * sizeof *w->taken);
  return w->taken[w->taken_count++] = name;
}

/* c * as it stands in front; to be freed. */
static char *times(const char *c) {
  return strcmp(c, "1") == 0 ? mem_string("") : mem_format("%s * ", c);
}

static char *scale(double c) {
  char *number = mem_number(c), *text = times(number);
  free(number);
  return text;
}

static void add_number(char **text, const char *before, double x) {
  char *number = mem_number(x);
  mem_append(text, "%s%s", before, number);
  free(number);
}

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

static bool wide(const Text *w, int v) { return is_wide(w->p, w->p->variables[v].space); }

static size_t rows(const Text *w, int v) { return rows_of(w->p, v); }

/* Of a table; a vector has one column for this purpose. */
static size_t cols(const Text *w, int v) {
  return wide(w, v) ? 1 : (size_t)w->p->variables[v].cols;
}

/* ---- numbers ---- */

/* [[..], [..]] of all digits; what is nan was not known when the program was made. */
static char *literal(Text *w, size_t m, size_t n, const double *x) {
  char *text = mem_string("[");
  for (size_t i = 0; i < m; i++) {
    mem_append(&text, i ? ", [" : "[");
    for (size_t k = 0; k < n; k++) {
      char *number = mem_number(x[i * n + k]);
      if (!isfinite(x[i * n + k])) refuse(w, "its numbers are known when the script runs");
      mem_append(&text, "%s%s", k ? ", " : "", number);
      free(number);
    }
    mem_append(&text, "]");
  }
  mem_append(&text, "]");
  return text;
}

static bool are_equal(size_t n, const double *x) {
  for (size_t i = 1; i < n; i++)
    if (fabs(x[i] - x[0]) > 0) return false;
  return n > 0 && isfinite(x[0]);
}

/* Numbers [m, n] as an expression; to be freed. */
static char *numbers(Text *w, size_t m, size_t n, const double *x) {
  if (!are_equal(m * n, x)) return literal(w, m, n, x);
  if (*x == 1 || *x == 0) return mem_format("%s(%zu, %zu)", *x == 1 ? "ones" : "zeros", m, n);
  char *number = mem_number(*x);
  char *text = mem_format("%s * ones(%zu, %zu)", number, m, n);
  free(number);
  return text;
}

/* A key of the system, and its name: one for each value. */
static const char *key(Text *w, const char *wish, char *value) {
  for (int i = 0; i < w->value_count; i++)
    if (strcmp(w->values[2 * i + 1], value) == 0) {
      free(value);
      return w->values[2 * i];
    }
  const char *name = name_like(w, wish);
  w->values = mem_grow(w->values, 2 * (size_t)(w->value_count + 1) * sizeof *w->values);
  w->values[2 * w->value_count] = (char *)name;
  w->values[2 * w->value_count++ + 1] = mem_string(value);
  mem_append(&w->keys, "  %s = %s\n", name, value);
  free(value);
  return name;
}

/* Where row i of m belongs to row i / (m / n) of n: a table [m, n]. */
static char *spread(size_t m, size_t n) {
  return mem_format("1 * (floor(reshape(0..%zu, %zu, 1) / %zu) == 0..%zu)", m - 1, m, m / n, n - 1);
}

/* x with each of its rows m / n times. */
static char *spread_rows(Text *w, const char *x, size_t n, size_t m) {
  if (m == n) return mem_string(x);
  return mem_format("(%s @ %s)", key(w, "spread", spread(m, n)), x);
}

/* ---- matrices from the inputs and to the outputs ---- */

static const Matrix *matrix_of(const Text *w, const Op *op) { return &w->p->matrices[op->matrix]; }

static bool from_inputs(const Text *w, const Matrix *m) {
  return !is_wide(w->p, m->from) && w->p->spaces[m->from].kind == SPACE_INPUT;
}

/* The rows of a root of the Gram matrix, as the value of a variable on the inputs. */
static void write_inputs(Text *w, const Op *op) {
  for (int k = 0; k < w->p->matrix_count; k++) {
    const Matrix *m = &w->p->matrices[k];
    if (m->x != op->dst || !from_inputs(w, m)) continue;
    size_t n = thin_vectors(w->p, m);
    double *root = mem_new(n * n, sizeof *root);
    int rank = thin_root(w->p, m, root);
    for (size_t i = 0; i < n && rank > 0; i++)
      memmove(root + i * (size_t)rank, root + i * n, (size_t)rank * sizeof *root);
    if (rank > 0)
      mem_append(&w->keys, "  %s = ", named(w, op->dst));
    else
      refuse(w, "its inputs are known when the script runs");
    char *text = rank > 0 ? numbers(w, n, (size_t)rank, root) : mem_string("");
    mem_append(&w->keys, rank > 0 ? "%s\n" : "%s", text);
    free(text);
    free(root);
    return;
  }
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

static bool learns(const Text *w, int matrix) {
  for (int i = 0; i < w->p->op_count; i++)
    if (w->p->ops[i].kind == OP_LEARN && w->p->ops[i].matrix == matrix) return true;
  return false;
}

/* Whether a matrix is one of the step, drawn anew in every one. */
static bool is_redrawn(const Text *w, int matrix) {
  for (int i = w->p->start_count; i < w->p->op_count; i++)
    if (w->p->ops[i].kind == OP_REDRAW && w->p->ops[i].matrix == matrix) return true;
  return false;
}

static void write_redraw(Text *w, const Op *op) {
  const Matrix *m = matrix_of(w, op);
  char *sigma = mem_number(m->sigma);
  for (int i = 0; i < w->p->start_count; i++)
    if (w->p->ops[i].dst >= 0 && w->p->ops[i].matrix == op->matrix &&
        (w->p->ops[i].kind == OP_APPLY || w->p->ops[i].kind == OP_APPLY_T))
      refuse(w, "a matrix that is drawn anew acts at the start, too");
  line(w, "matrix %s : %s -> %s (sigma = %s)", w->matrix[op->matrix], w->p->spaces[m->from].name,
       w->p->spaces[m->to].name, sigma);
  free(sigma);
}

static void declare_matrices(Text *w, char **out) {
  for (int k = 0; k < w->p->matrix_count; k++) {
    const Matrix *m = &w->p->matrices[k];
    if (m->weights != k || is_redrawn(w, k)) continue;
    char *sigma = mem_number(m->sigma);
    if (is_wide_matrix(w->p, m)) {
      mem_append(out, "  matrix %s : %s -> %s (sigma = %s", w->matrix[k],
                 w->p->spaces[m->from].name, w->p->spaces[m->to].name, sigma);
      if (m->symmetric) add_number(out, ", symmetry = ", m->tau);
      mem_append(out, ")\n");
      if (w->velocity[k])
        mem_append(out, "  matrix %s : %s -> %s (sigma = 0)\n", w->velocity[k],
                   w->p->spaces[m->from].name, w->p->spaces[m->to].name);
    } else if (m->x >= 0 || !from_inputs(w, m)) {
      const Space *space = &w->p->spaces[is_wide(w->p, m->to) ? m->to : m->from];
      char *spread = times(sigma);
      mem_append(&w->states, "  %s%s = %snormal(%s, %zu)", learns(w, k) ? "state " : "",
                 w->matrix[k], spread, space->name, thin_rank(w, m));
      if (fabs(m->mean) > 0) add_number(&w->states, " + ", m->mean);
      mem_append(&w->states, "\n");
      if (m->start) refuse(w, "its initial weights have scales of their own");
      free(spread);
    }
    free(sigma);
  }
}

static void write_apply(Text *w, const Op *op) {
  const Matrix *m = matrix_of(w, op);
  const char *x = named(w, op->src[0]), *W = w->matrix[m->weights], *dst = named(w, op->dst);
  bool back = op->kind == OP_APPLY_T, input = from_inputs(w, m);
  if (m->averaged) refuse(w, "it averages its weights");
  if (is_wide_matrix(w->p, m)) {
    const char *V = w->velocity[m->weights], *t = back ? "'" : "";
    if (V)
      line(w, "%s = %s%s @ %s - %s%s @ %s", dst, W, t, x, V, t, x);
    else
      line(w, "%s = %s%s @ %s", dst, W, t, x);
  } else if (input || back) {
    char *share = scale(input ? 1 : 1 / w->p->spaces[m->from].ratio);
    line(w, "%s = %s%s%s @ %s%s", dst, share, *share ? "(" : "", x, W, *share ? ")" : "");
    free(share);
  } else {
    char *c = scale(1 / w->p->problem->gamma);
    line(w, "%s = reshape(%sgram(%s, %s), %zu, 1)", dst, c, x, W, rows(w, op->dst));
    free(c);
  }
}

/* ---- elementwise ---- */

/* An argument of a map as it stands there: numbers beside vectors are a list, and what has fewer
 * rows or columns is spread. */
static char *argument(Text *w, int v, int dst) {
  size_t m = rows(w, dst), n = cols(w, dst), own = rows(w, v), width = cols(w, v);
  char *text = own == m || (own == 1 && !wide(w, dst)) ? mem_string(named(w, v))
                                                       : spread_rows(w, named(w, v), own, m);
  if (wide(w, v)) return text;
  if (wide(w, dst)) {
    mem_append(&text, "[:, 0]");
  } else if (width != n && width != 1) {
    char *whole = mem_format("(%s @ %s')", text, key(w, "spread", spread(n, width)));
    free(text);
    text = whole;
  }
  return text;
}

static void write_map(Text *w, const Op *op) {
  char *args[OP_MAX_ARGS];
  for (int i = 0; i < op->src_count; i++) args[i] = argument(w, op->src[i], op->dst);
  char *text = expr_source(op->expr, (const char *const *)args);
  if (!text) refuse(w, "a map has too many terms, or numbers that are not finite");
  bool whole = op->src_count > 0; /* a number alone is not yet a table */
  if (whole)
    line(w, "%s = %s", named(w, op->dst), text ? text : "0");
  else
    line(w, "%s = %s * ones(%zu, %zu)", named(w, op->dst), text ? text : "0", rows(w, op->dst),
         cols(w, op->dst));
  for (int i = 0; i < op->src_count; i++) free(args[i]);
  free(text);
}

/* ---- tables ---- */

static void write_constant(Text *w, const Op *op) {
  const Constant *c = &w->p->constants[op->constant];
  size_t n = c->rows * c->cols, all = c->steps ? c->steps : 1;
  if (c->moves) refuse(w, "a step has several moves");
  if (!c->steps) {
    char *text = numbers(w, c->rows, c->cols, c->numbers);
    mem_append(&w->keys, "  %s = %s\n", named(w, op->dst), text);
    free(text);
    return;
  }
  char *text = mem_string("["); /* what is after the last move is not used */
  for (size_t t = 0; t <= all; t++) {
    char *one = literal(w, c->rows, c->cols, c->numbers + (t < all ? t : all - 1) * n);
    mem_append(&text, "%s%s", t ? ", " : "", one);
    free(one);
  }
  mem_append(&text, "]");
  line(w, "%s = %s[t]", named(w, op->dst), key(w, named(w, op->dst), text));
}

/* [m, n] that is 1 where rows and columns have the same number mod k, or with `blocks` are in the
 * same of so many blocks. */
static char *same_place(size_t m, size_t n, size_t k) {
  return mem_format("1 * (mod(reshape(0..%zu, %zu, 1), %zu) == mod(0..%zu, %zu))", m - 1, m, k,
                    n - 1, k);
}

static char *same_block(size_t m, size_t n, size_t blocks) {
  return mem_format("1 * (floor(reshape(0..%zu, %zu, 1) / %zu) == floor((0..%zu) / %zu))", m - 1, m,
                    m / blocks, n - 1, n / blocks);
}

static void write_moment(Text *w, const Op *op) {
  const char *x = named(w, op->src[0]), *y = named(w, op->src[1]), *dst = named(w, op->dst);
  size_t m = rows(w, op->src[0]), n = rows(w, op->src[1]), group = (size_t)op->group;
  if (group == 1) {
    line(w, "%s = gram(%s, %s)", dst, x, y);
    return;
  }
  const char *mask = key(w, "same", same_place(m, n, group)),
             *left = key(w, "spread", spread(m, m / group)),
             *right = key(w, "spread", spread(n, n / group));
  line(w, "%s = %s' @ (gram(%s, %s) * %s) @ %s / %zu", dst, left, x, y, mask, right, group);
}

/* Pairs of rows of one block: of the table of all pairs, the blocks on its diagonal side by side.
 */
static void write_gram(Text *w, const Op *op) {
  const char *x = named(w, op->src[0]), *y = named(w, op->src[1]), *dst = named(w, op->dst);
  size_t m = rows(w, op->src[0]), n = rows(w, op->src[1]), blocks = (size_t)op->blocks;
  char *c = scale(op->factor);
  if (blocks == 1) {
    line(w, "%s = %sgram(%s, %s)", dst, c, x, y);
  } else {
    const char *mask = key(w, "same", same_block(m, n, blocks)),
               *fold = key(w, "fold", same_place(n, n / blocks, n / blocks));
    line(w, "%s = %s((gram(%s, %s) * %s) @ %s)", dst, c, x, y, mask, fold);
  }
  free(c);
}

static void write_blend(Text *w, const Op *op) {
  int a = op->src[0], x = op->src[1];
  size_t blocks = (size_t)op->blocks, m = rows(w, a), n = cols(w, a) * blocks;
  bool plain =
      rows(w, x) == (op->transpose_a ? m : n) && rows(w, op->dst) == (op->transpose_a ? n : m);
  if (!plain) refuse(w, "tables of pairs have a row for each output");
  const char *A = named(w, a), *t = op->transpose_a ? "'" : "", *dst = named(w, op->dst);
  char *c = scale(op->factor);
  if (blocks == 1) {
    line(w, "%s = %s(%s%s @ %s)", dst, c, A, t, named(w, x));
  } else {
    const char *mask = key(w, "same", same_block(m, n, blocks)),
               *fold = key(w, "fold", same_place(n, n / blocks, n / blocks));
    line(w, "%s = %s(((%s @ %s') * %s)%s @ %s)", dst, c, A, fold, mask, t, named(w, x));
  }
  free(c);
}

/* What a row does not see is far below what it sees. */
static void write_softmax(Text *w, const Op *op) {
  size_t m = rows(w, op->dst), n = cols(w, op->dst);
  if (!op->causal) {
    line(w, "%s = softmax(%s)", named(w, op->dst), named(w, op->src[0]));
    return;
  }
  const char *seen = key(w, "hidden",
                         mem_format("-1e300 * (0..%zu > mod(reshape(0..%zu, %zu, 1), %zu))", n - 1,
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
  char *i = mem_format("0..%zu", m - 1), *j = mem_format("0..%zu", n - 1);
  char *all = mem_format("%s[mod(floor((%s) / %zu), %zu)][:, mod(floor((%s) / %zu), %zu)]", one, i,
                         C, to, j, C, from);
  char *same = same_block(m, n, m / (to * C)), *output = same_place(m, n, C);
  const char *whole = key(w, "map", mem_format("%s * (%s) * (%s)", all, same, output));
  line(w, "# %s %s", w->p->variables[op->src[0]].name, map->about);
  line(w, "%s = %s @ %s", named(w, op->dst), whole, named(w, op->src[0]));
  free(i);
  free(j);
  free(all);
  free(same);
  free(output);
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
  char *x = spread_rows(w, named(w, op->src[0]), rows(w, op->src[0]), m), *c = scale(op->factor);
  if (op->src_count > 1) {
    char *y = spread_rows(w, named(w, op->src[1]), rows(w, op->src[1]), m);
    line(w, "%s = reshape(%sdot(%s, %s), %zu, 1)", named(w, op->dst), c, x, y, m);
    free(y);
  } else {
    line(w, "%s = reshape(%smean(%s), %zu, 1)", named(w, op->dst), c, x, m);
  }
  free(x);
  free(c);
}

static void write_block(Text *w, const Op *op) {
  size_t m = rows(w, op->dst), n = cols(w, op->dst);
  const char *x = named(w, op->src[0]), *dst = named(w, op->dst);
  if (wide(w, op->dst))
    line(w, "%s = %s[%d:%zu]", dst, x, op->first[0], (size_t)op->first[0] + m);
  else
    line(w, "%s = %s[%d:%zu, %d:%zu]", dst, x, op->first[0], (size_t)op->first[0] + m, op->first[1],
         (size_t)op->first[1] + n);
}

/* The sum of the parts, each in its rows. */
static void write_stack(Text *w, const Op *op) {
  size_t m = rows(w, op->dst), first = 0;
  char *sum = mem_string("");
  for (int i = 0; i < op->src_count; i++) {
    size_t own = rows(w, op->src[i]);
    char *place =
        mem_format("1 * (reshape(0..%zu, %zu, 1) == %zu..%zu)", m - 1, m, first, first + own - 1);
    mem_append(&sum, "%s%s @ %s", i ? " + " : "", key(w, "place", place), named(w, op->src[i]));
    first += own;
  }
  line(w, "%s = %s", named(w, op->dst), sum);
  free(sum);
}

static void write_fill(Text *w, const Op *op) {
  const Variable *v = &w->p->variables[op->dst];
  bool zero = !(fabs(op->factor) > 0);
  char *c = scale(zero ? 1 : op->factor);
  const char *made = zero ? "zeros" : "ones";
  if (wide(w, op->dst))
    line(w, "%s = %s%s(%s, %zu)", named(w, op->dst), c, made, w->p->spaces[v->space].name,
         rows(w, op->dst));
  else
    line(w, "%s = %s%s(%zu, %zu)", named(w, op->dst), c, made, rows(w, op->dst), cols(w, op->dst));
  free(c);
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

/* A coefficient of the moves, a number or numbers at t; to be freed. */
typedef double Coefficient(const Move *move);
static double keep_of(const Move *move) { return move->keep; }
static double pull_of(const Move *move) { return move->pull; }
static double beta_of(const Move *move) { return move->beta; }
static double push_of(const Move *move) { return move->push; }
static double noise_of(const Move *move) { return move->noise; }

static char *coefficient(Text *w, const Matrix *m, const char *name, Coefficient *value) {
  size_t T = (size_t)w->p->problem->steps;
  double *x = mem_new(T + 1, sizeof *x);
  for (size_t t = 0; t <= T; t++) {
    Move move = move_of(w->p, m, (Instant){(int)(t < T ? t : T - 1), 0, 1}, w->p->problem->gamma);
    x[t] = value(&move);
  }
  char *all = literal(w, 1, T + 1, x), *text = NULL;
  if (are_equal(T + 1, x))
    text = mem_number(x[0]);
  else
    text = mem_format("%s[t]", key(w, name, mem_format("%.*s", (int)strlen(all) - 2, all + 1)));
  free(all);
  free(x);
  return text;
}

/* force y and x of a use, for the rows that training sees. */
static void write_uses(Text *w, const Matrix *m, char **y, char **x) {
  const Program *p = w->p;
  size_t batch = rows(w, m->force), C = sizes_of(p).outputs;
  bool forward = rows_per_x(p, m) == C;
  size_t ny = forward ? batch : batch / C, nx = forward ? batch / C : batch;
  char *own = mem_format(ny < rows(w, m->learns) ? "%s[0:%zu]" : "%s", named(w, m->learns), ny),
       *met = mem_format(nx < rows(w, m->x) ? "%s[0:%zu]" : "%s", named(w, m->x), nx);
  char *whole = spread_rows(w, own, ny, batch);
  *x = spread_rows(w, met, nx, batch);
  *y = mem_format("%s[:, 0] * %s", named(w, m->force), whole);
  free(own);
  free(met);
  free(whole);
}

/* O of a matrix from the inputs, or to the outputs, as rows; to be freed. */
static char *thin_direction(Text *w, int root) {
  const Program *p = w->p;
  char *sum = mem_string("");
  for (int k = root; k < p->matrix_count; k++) {
    const Matrix *m = &p->matrices[k];
    if (m->weights != root || m->x < 0) continue;
    if (*sum) mem_append(&sum, " + ");
    char *y, *x;
    if (from_inputs(w, m)) {
      write_uses(w, m, &y, &x);
      mem_append(&sum, "%s' @ (%s)", x, y);
      free(y);
      free(x);
    } else {
      size_t C = sizes_of(p).outputs, n = rows(w, m->force) / C;
      char *share = scale(1 / p->spaces[m->from].ratio);
      mem_append(&sum, "reshape(%s%s, %zu, %zu)' @ %s", share, named(w, m->force), n, C,
                 named(w, m->x));
      free(share);
      if (n < rows(w, m->x)) mem_append(&sum, "[0:%zu]", n);
    }
  }
  return sum;
}

static void learn_thin(Text *w, int k) {
  const Matrix *m = &w->p->matrices[k];
  const char *W = w->matrix[k];
  char *own = thin_direction(w, k), *keep = coefficient(w, m, "keep", keep_of),
       *pull = coefficient(w, m, "rate", pull_of), *push = coefficient(w, m, "push", push_of),
       *noise = coefficient(w, m, "noise", noise_of);
  const Space *space = &w->p->spaces[is_wide(w->p, m->to) ? m->to : m->from];
  char *kept = times(keep), *next = mem_format("%s%s", kept, W);
  if (strcmp(push, "0") != 0) {
    char *beta = coefficient(w, m, "beta", beta_of), *wish = mem_format("V%s", W);
    const char *V = name_like(w, wish);
    mem_append(&w->states, "  state %s = zeros(%s, %zu)\n", V, space->name, thin_rank(w, m));
    line(w, "%s = %s * %s + %s", V, beta, V, own);
    mem_append(&next, " + %s * %s", push, V);
    free(beta);
    free(wish);
  }
  if (strcmp(pull, "0") != 0) mem_append(&next, " + %s * (%s)", pull, own);
  if (strcmp(noise, "0") != 0)
    mem_append(&next, " + %s * normal(%s, %zu)", noise, space->name, thin_rank(w, m));
  line(w, "%s = %s", W, next);
  free(own);
  free(kept);
  free(keep);
  free(pull);
  free(push);
  free(noise);
  free(next);
}

/* c * as a factor, of numbers that stay; false after refusing. */
static bool constant(Text *w, const Matrix *m, Coefficient *value, double *c) {
  char *text = coefficient(w, m, "rate", value);
  bool stays = !strchr(text, '[');
  if (stays) *c = strtod(text, NULL);
  if (!stays) refuse(w, "the decay or the velocity of its matrices changes in time");
  free(text);
  return stays;
}

/* += of every use, times a number, to the matrix of this name. */
static void add_uses(Text *w, int root, const char *W, const char *rate) {
  const Program *p = w->p;
  for (int k = root; k < p->matrix_count; k++) {
    if (p->matrices[k].weights != root || p->matrices[k].x < 0) continue;
    char *y, *x;
    write_uses(w, &p->matrices[k], &y, &x);
    line(w, "%s += outer(%s * %s, %s)", W, rate, y, x);
    free(y);
    free(x);
  }
}

static void add_constant(Text *w, int root, const char *W, double rate) {
  char *number = mem_number(rate);
  add_uses(w, root, W, number);
  free(number);
}

static void decay_by(Text *w, const char *W, double keep) {
  char *number = mem_number(keep);
  if (strcmp(number, "1") != 0) line(w, "%s *= %s", W, number);
  free(number);
}

/* Of V <- beta V + O, W <- keep W + push V + pull O what was taken up n steps ago has the part
 * push (keep^n - beta^n) / (keep - beta): a matrix that keeps less one that falls by beta. */
static void learn_with_velocity(Text *w, int root, const char *V) {
  const Matrix *m = &w->p->matrices[root];
  double keep, push, pull, beta;
  if (!constant(w, m, keep_of, &keep) || !constant(w, m, push_of, &push) ||
      !constant(w, m, pull_of, &pull) || !constant(w, m, beta_of, &beta))
    return;
  double c = push / (keep - beta);
  if (!isfinite(c)) refuse(w, "its matrices decay as their velocity does");
  decay_by(w, w->matrix[root], keep);
  add_constant(w, root, w->matrix[root], keep * c + pull);
  decay_by(w, V, beta);
  add_constant(w, root, V, beta * c);
}

static void learn_wide(Text *w, int root) {
  const Program *p = w->p;
  const Matrix *m = &p->matrices[root];
  double keep = 1;
  if (p->update.temperature > 0) refuse(w, "noise shakes its matrices");
  if (w->velocity[root]) {
    learn_with_velocity(w, root, w->velocity[root]);
    return;
  }
  if (!constant(w, m, keep_of, &keep)) return;
  char *pull = coefficient(w, m, "rate", pull_of);
  decay_by(w, w->matrix[root], keep);
  if (strcmp(pull, "0") != 0) add_uses(w, root, w->matrix[root], pull);
  free(pull);
}

static void write_learn(Text *w, const Op *op) {
  const Program *p = w->p;
  if (!follows_gradients(p))
    refuse(w, "its matrices move entry by entry, or by what all entries are");
  if (p->update.flow) refuse(w, "a step of gradient flow has several moves");
  if (p->update.average > 0) refuse(w, "it averages its weights");
  if (w->why) return;
  if (is_wide_matrix(p, matrix_of(w, op)))
    learn_wide(w, op->matrix);
  else
    learn_thin(w, op->matrix);
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
  if (rank == 2 && count == rows(w, v)) {
    line(w, "observe %s = %s", name, named(w, v));
    return;
  }
  char *part =
      count < rows(w, v) ? mem_format("%d:%zu", first, (size_t)first + count) : mem_string(":");
  if (rank == 0)
    line(w, "observe %s = %s[0, 0]", name, named(w, v));
  else if (rank == 1)
    line(w, "observe %s = %s[%s, 0]", name, named(w, v), part);
  else
    line(w, "observe %s = %s[%s, :]", name, named(w, v), part);
  free(part);
}

static void write_observable(Text *w, const ProgramObservable *o) {
  const FieldRow *row = field_row((FieldId)o->field);
  size_t C = strstr(row->axes, ",c") ? sizes_of(w->p).outputs : 1;
  char *name = o->layer ? mem_format("%s%d", row->name, o->layer) : mem_string(row->name);
  if (C > 1)
    line(w, "observe %s = reshape(%s[%d:%d, 0], %zu, %zu)", name, named(w, o->variable), o->first,
         o->first + o->rows, (size_t)o->rows / C, C);
  else
    observe_numbers(w, name, o->variable, o->first, (size_t)o->rows,
                    cols(w, o->variable) > 1   ? 2
                    : rows(w, o->variable) > 1 ? 1
                                               : 0);
  free(name);
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
  for (int i = 0; i < p->space_count; i++) {
    w->taken = mem_grow(w->taken, (size_t)(w->taken_count + 1) * sizeof *w->taken);
    w->taken[w->taken_count++] = mem_string(p->spaces[i].name);
  }
  for (int k = 0; k < p->matrix_count; k++)
    w->matrix[k] = (char *)name_like(w, p->matrices[k].name);
  for (int k = 0; k < p->matrix_count && p->problem; k++) {
    bool moves = update_remembers(&p->update) && is_wide_matrix(p, &p->matrices[k]) && learns(w, k);
    char *wish = mem_format("V%s", p->matrices[k].name);
    if (moves) w->velocity[k] = (char *)name_like(w, wish);
    free(wish);
  }
  for (int v = 0; v < p->variable_count; v++)
    w->variable[v] = (char *)name_like(w, p->variables[v].name);
}

/* The lines of these ops, taken from the text; to be freed. */
static char *lines_of(Text *w, int first, int end, bool start) {
  for (int i = first; i < end && !w->why; i++) write_op(w, &w->p->ops[i], start);
  char *lines = w->lines;
  w->lines = mem_string("");
  return lines;
}

static void declare_populations(const Program *p, char **out) {
  int count = 0;
  for (int i = 0; i < p->space_count; i++) {
    const Space *s = &p->spaces[i];
    if (s->kind != SPACE_WIDE) continue;
    mem_append(out, "%s%s", count++ ? ", " : "  population ", s->name);
    if (s->ratio < 1 || s->ratio > 1) add_number(out, " = ", s->ratio);
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
  declare_populations(p, &head);
  declare_matrices(w, &head);
  char *body = mem_format("%s%s%s%s  step {\n%s  }\n", w->keys, head, w->states, start, step);
  free(start);
  free(head);
  free(step);
  return body;
}

char *program_write(const Program *p, const char **why) {
  Text w = {.p = p,
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
  char *body = w.why ? mem_string("") : write_body(&w);
  for (int i = 0; i < w.taken_count; i++) free(w.taken[i]);
  for (int i = 0; i < w.value_count; i++) free(w.values[2 * i + 1]);
  free(w.values);
  free(w.taken);
  free(w.variable);
  free(w.matrix);
  free(w.velocity);
  free(w.keys);
  free(w.states);
  free(w.lines);
  free(w.declared);
  *why = w.why;
  if (!w.why) return body;
  free(body);
  return NULL;
}
