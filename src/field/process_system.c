/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The mean-field theory of a system as mathematics: its program, in which what a matrix makes of a
 * vector has become a Gaussian source, what the matrix answers to what it met before, and what it
 * has taken up. */
#include "base/memory.h"
#include "field/equations.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Sheet {
  const Program *p;
  FILE *out;
  bool latex;
  const char **names; /* [variable] */
  Arena *arena;       /* of names and parts of rows */
} Sheet;

/* A name as mathematics: letters are italic, digits behind a letter an index. */
static const char *symbol(const Sheet *s, const char *name) {
  if (!s->latex || !name[1]) return name;
  if (isalpha((unsigned char)name[0]) && isdigit((unsigned char)name[1]))
    return arena_format(s->arena, "%c_{%s}", name[0], name + 1);
  const char *text = "\\mathit{";
  for (; *name; name++)
    text = arena_format(s->arena, strchr("_[]#", *name) ? "%s\\%c" : "%s%c", text, *name);
  return arena_format(s->arena, "%s}", text);
}

static void title(const Sheet *s, const char *text) {
  fprintf(s->out, s->latex ? "\\section*{%s}\n" : "%s\n\n", text);
}

static void row(const Sheet *s, const char *left, const char *right) {
  if (s->latex)
    fprintf(s->out, "\\begin{equation*}\n%s = %s\n\\end{equation*}\n", left, right);
  else
    fprintf(s->out, "  %s = %s\n", left, right);
}

/* <x(t) y(s)>, in this notation. */
static const char *average(const Sheet *s, const char *x, const char *y) {
  return arena_format(s->arena, s->latex ? "\\langle %s(t)\\, %s(s) \\rangle" : "<%s(t) %s(s)>", x,
                      y);
}

static const char *source_of(const Sheet *s, const char *name) {
  return arena_format(s->arena, s->latex ? "\\eta_{%s}" : "η_%s", name);
}

/* The response of what a matrix meets to the source of another of its results. */
static const char *response(const Sheet *s, const char *met, const char *source) {
  return arena_format(s->arena,
                      s->latex ? "\\left\\langle \\frac{\\partial %s(t)}{\\partial %s(s)} "
                                 "\\right\\rangle"
                               : "<∂%s(t)/∂%s(s)>",
                      met, source);
}

/* c as it stands in front of something, with a gap behind it where it is not 1. */
static const char *factor(const Sheet *s, double c) {
  return c < 1 || c > 1 ? arena_format(s->arena, "%g ", c) : "";
}

static const Op *applies(const Program *p, int i) {
  const Op *op = &p->ops[i];
  return is_product(op) ? op : NULL;
}

static double ratio_of(const Program *p, const Matrix *m) {
  return p->spaces[m->to].ratio / p->spaces[m->from].ratio;
}

/* What the decays of a matrix in a step leave of it, of those before this op of the step. */
static double left_before(const Program *p, int matrix, const Op *end) {
  double left = 1;
  for (const Op *op = p->ops + p->start_count; op < end; op++)
    if (op->kind == OP_DECAY && op->matrix == matrix) left *= op->factor;
  return left;
}

/* left^(t+s) of a step, as it stands in a product, where a matrix decays. */
static const char *decayed(const Sheet *s, int matrix, const char *times) {
  double left = left_before(s->p, matrix, s->p->ops + s->p->op_count);
  if (!(left < 1 || left > 1)) return "";
  return arena_format(s->arena, s->latex ? "%g^{%s}\\, " : "%g^(%s) ", left, times);
}

/* What the matrix answers to its other results: with independent entries the transposed ones, of a
 * symmetric one all, with tau. */
static const char *with_responses(const Sheet *s, const Op *op, const char *text) {
  const Program *p = s->p;
  const Matrix *m = &p->matrices[op->matrix];
  for (int i = 0; i < p->op_count; i++) {
    const Op *other = applies(p, i);
    if (!other || other->matrix != op->matrix) continue;
    bool turned = other->kind != op->kind;
    double c = m->sigma * m->sigma * (m->symmetric && !turned ? m->tau : 1) *
               (op->kind == OP_APPLY_T ? ratio_of(p, m) : 1) * left_before(p, op->matrix, op) *
               left_before(p, op->matrix, other);
    if ((!m->symmetric && !turned) || !(fabs(c) > 0)) continue;
    text = arena_format(
        s->arena, s->latex ? "%s + %s\\sum_{s \\le t} %s%s\\, %s(s)" : "%s + %sΣ_{s≤t} %s%s %s(s)",
        text, factor(s, c), decayed(s, op->matrix, "t+s"),
        response(s, s->names[op->src[0]], source_of(s, s->names[other->dst])),
        s->names[other->src[0]]);
  }
  return text;
}

static const char *with_learned(const Sheet *s, const Op *op, const char *text) {
  const Program *p = s->p;
  bool back = op->kind == OP_APPLY_T;
  for (int i = 0; i < p->op_count; i++) {
    const Op *other = &p->ops[i];
    if (other->kind != OP_OUTER || other->matrix != op->matrix) continue;
    double c = (back ? ratio_of(p, &p->matrices[op->matrix]) : 1) * left_before(p, op->matrix, op) /
               left_before(p, op->matrix, other);
    const char *past = other > op ? (s->latex ? "s < t" : "s<t") : s->latex ? "s \\le t" : "s≤t";
    text = arena_format(s->arena,
                        s->latex ? "%s + %s\\sum_{%s} %s%s\\, %s(s)" : "%s + %sΣ_{%s} %s%s %s(s)",
                        text, factor(s, c), past, decayed(s, op->matrix, "t-s"),
                        average(s, s->names[op->src[0]], s->names[other->src[back ? 0 : 1]]),
                        s->names[other->src[back ? 1 : 0]]);
  }
  return text;
}

static void write_apply(const Sheet *s, const Op *op) {
  const char *name = s->names[op->dst];
  row(s, name, with_learned(s, op, with_responses(s, op, source_of(s, name))));
}

static void write_map(const Sheet *s, const Op *op) {
  const char *names[OP_MAX_ARGS];
  for (int i = 0; i < op->src_count; i++) names[i] = s->names[op->src[i]];
  char *text = s->latex ? expr_latex(op->expr, names) : expr_print(op->expr, names);
  row(s, s->names[op->dst], text);
  free(text);
}

/* "a, b, c", the sources of an op. */
static const char *sources_of(const Sheet *s, const Op *op) {
  const char *list = "";
  for (int i = 0; i < op->src_count; i++)
    list = arena_format(s->arena, "%s%s%s", list, i ? ", " : "", s->names[op->src[i]]);
  return list;
}

/* "2", or "2:5" of several. */
static const char *range(const Sheet *s, int first, int count) {
  return count == 1 ? arena_format(s->arena, "%d", first)
                    : arena_format(s->arena, "%d:%d", first, first + count);
}

/* Rows of a variable, and columns where they are not all. */
static const char *part_of(const Sheet *s, const Op *op) {
  const char *a = s->names[op->src[0]];
  const Variable *whole = &s->p->variables[op->src[0]], *part = &s->p->variables[op->dst];
  if (op->src_count > 1) return arena_format(s->arena, "%s[%s]", a, s->names[op->src[1]]);
  const char *rows = range(s, op->first[0], part->rows);
  if (part->cols == whole->cols) return arena_format(s->arena, "%s[%s]", a, rows);
  return arena_format(s->arena, "%s[%s, %s]", a, rows, range(s, op->first[1], part->cols));
}

static void write_plain(const Sheet *s, const Op *op) {
  const char *a = op->src_count ? s->names[op->src[0]] : "",
             *b = op->src_count > 1 ? s->names[op->src[1]] : "", *l = s->latex ? "\\langle " : "<",
             *r = s->latex ? " \\rangle" : ">", *gap = s->latex ? "\\, " : " ";
  const char *text;
  switch (op->kind) {
  case OP_NOISE: text = (s->latex ? "\\mathcal{N}(0, 1)" : "N(0, 1), fresh"); break;
  case OP_FILL: text = arena_format(s->arena, "%g", op->factor); break;
  case OP_CLOCK: text = "t"; break;
  case OP_AVERAGE: text = arena_format(s->arena, "%s%s%s%s%s", l, a, *b ? gap : "", b, r); break;
  case OP_MOMENT:
    text = arena_format(s->arena, "%s%s%s%s%s%s", l, a, gap, b, s->latex ? "^\\top" : "ᵀ", r);
    break;
  case OP_MIX:
    text = arena_format(s->arena, "%s%s%s%s", a,
                        !op->transpose_a ? ""
                        : s->latex       ? "^\\top"
                                         : "ᵀ",
                        gap, b);
    break;
  case OP_SHIFT: text = arena_format(s->arena, "%s, %d neurons on", a, op->first[0]); break;
  case OP_LSE:
    text = arena_format(s->arena, s->latex ? "\\log \\sum e^{%s}" : "log Σ exp %s", a);
    break;
  case OP_STACK: text = arena_format(s->arena, "[%s]", sources_of(s, op)); break;
  case OP_BLOCK: text = part_of(s, op); break;
  case OP_CONST: text = (s->latex ? "\\text{given}" : "given"); break;
  default: text = a;
  }
  row(s, s->names[op->dst], text);
}

static void write_op(const Sheet *s, const Op *op) {
  if (is_product(op))
    write_apply(s, op);
  else if (op->kind == OP_MAP)
    write_map(s, op);
  else if (op->kind == OP_REDRAW)
    row(s, s->p->matrices[op->matrix].name,
        s->latex ? "\\text{drawn anew: its sums have } s = t" : "drawn anew: its sums have s = t");
  else if (op->dst >= 0 &&
           !(op->kind == OP_SET && strcmp(s->names[op->dst], s->names[op->src[0]]) == 0))
    write_plain(s, op);
}

/* The covariances of the sources of one matrix and one direction. */
static void write_sources(const Sheet *s) {
  const Program *p = s->p;
  for (int i = 0; i < p->op_count; i++)
    for (int k = 0; k <= i; k++) {
      const Op *a = applies(p, i), *b = applies(p, k);
      if (!a || !b || a->matrix != b->matrix || a->kind != b->kind) continue;
      const Matrix *m = &p->matrices[a->matrix];
      double c = m->sigma * m->sigma * (a->kind == OP_APPLY_T ? ratio_of(p, m) : 1) *
                 left_before(p, a->matrix, a) * left_before(p, a->matrix, b);
      const char *x = source_of(s, s->names[a->dst]), *y = source_of(s, s->names[b->dst]),
                 *met = average(s, s->names[a->src[0]], s->names[b->src[0]]);
      row(s, average(s, x, y),
          arena_format(s->arena, "%s%s%s", factor(s, c), decayed(s, a->matrix, "t+s"), met));
    }
}

static bool has_matrices(const Program *p) {
  for (int i = 0; i < p->op_count; i++)
    if (applies(p, i)) return true;
  return false;
}

char *equations_of_system(const Program *p, bool latex) {
  char *text = NULL;
  size_t length = 0;
  Sheet s = {p, mem_stream(&text, &length), latex,
             mem_new((size_t)p->variable_count + 1, sizeof(char *)), arena_new()};
  for (int v = 0; v < p->variable_count; v++) s.names[v] = symbol(&s, p->variables[v].name);
  title(&s, arena_format(s.arena, "System %s, one neuron of each population", p->system->name));
  fprintf(s.out, "At the start:\n");
  for (int i = 0; i < p->start_count; i++) write_op(&s, &p->ops[i]);
  fprintf(s.out, latex ? "\nIn step $t$, in order:\n" : "\nIn step t, in order:\n");
  for (int i = p->start_count; i < p->op_count; i++) write_op(&s, &p->ops[i]);
  if (has_matrices(p)) {
    fprintf(s.out, latex ? "\nGaussian sources $\\eta$, of mean zero:\n"
                         : "\nGaussian sources η, of mean zero:\n");
    write_sources(&s);
  }
  free(s.names);
  arena_free(s.arena);
  mem_stream_end(s.out);
  return text;
}
