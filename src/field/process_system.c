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

static bool at_start(const Program *p, const Op *op) { return op < p->ops + p->start_count; }

/* Whether a step makes this variable, or gives it another value. */
static bool moves(const Program *p, int variable) {
  for (int i = p->start_count; i < p->op_count; i++)
    if (p->ops[i].dst == variable) return true;
  return false;
}

/* A variable as an op meets it at this time: of the start there is one, and of a state it is the
 * first. */
static const char *met_at(const Sheet *s, const Op *op, int variable, const char *time) {
  if (at_start(s->p, op)) time = moves(s->p, variable) ? "0" : NULL;
  return time ? arena_format(s->arena, "%s(%s)", s->names[variable], time) : s->names[variable];
}

/* <x y>, in this notation. */
static const char *average(const Sheet *s, const char *x, const char *y) {
  return arena_format(s->arena, s->latex ? "\\langle %s\\, %s \\rangle" : "<%s %s>", x, y);
}

static const char *source_of(const Sheet *s, const char *name) {
  return arena_format(s->arena, s->latex ? "\\eta_{%s}" : "η_%s", name);
}

/* The source of what a product gives, at this time. */
static const char *source_at(const Sheet *s, const Op *op, const char *time) {
  const char *source = source_of(s, s->names[op->dst]);
  return at_start(s->p, op) ? source : arena_format(s->arena, "%s(%s)", source, time);
}

/* The response of what a matrix meets to the source of another of its results. */
static const char *response(const Sheet *s, const char *met, const char *source) {
  return arena_format(s->arena,
                      s->latex ? "\\left\\langle \\frac{\\partial %s}{\\partial %s} "
                                 "\\right\\rangle"
                               : "<∂%s/∂%s>",
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

/* What the decays of a matrix between two ops leave of it. */
static double left_between(int matrix, const Op *from, const Op *to) {
  double left = 1;
  for (const Op *op = from; op < to; op++)
    if (op->kind == OP_DECAY && op->matrix == matrix) left *= op->factor;
  return left;
}

/* What a step leaves of a matrix. */
static double left_by_step(const Program *p, int matrix) {
  return left_between(matrix, p->ops + p->start_count, p->ops + p->op_count);
}

/* What is left of the matrix as it was drawn when an op of the start meets it, or one of step 0. */
static double left_of_drawn(const Program *p, const Op *op) {
  return left_between(op->matrix, p->ops, op);
}

/* left^times of a step, as it stands in a product, where a matrix decays. */
static const char *decayed(const Sheet *s, int matrix, const char *times) {
  double left = left_by_step(s->p, matrix);
  if (!*times || !(left < 1 || left > 1)) return "";
  return arena_format(s->arena, s->latex ? "%g^{%s}\\, " : "%g^(%s) ", left, times);
}

/* The steps that two ops, at t and s, have behind them. */
static const char *steps_of(const Sheet *s, const Op *a, const Op *b) {
  bool first = at_start(s->p, a), second = at_start(s->p, b);
  return first ? (second ? "" : "s") : second ? "t" : "t+s";
}

static const char *until(const Sheet *s) { return s->latex ? "s \\le t" : "s≤t"; }
static const char *before(const Sheet *s) { return s->latex ? "s < t" : "s<t"; }

/* One more summand of a row, over past times where the ones that it sums are of the step. */
static const char *with_term(const Sheet *s, const char *text, double c, const char *times,
                             const char *decay, const char *term) {
  const char *sum = !times     ? ""
                    : s->latex ? arena_format(s->arena, "\\sum_{%s} ", times)
                               : arena_format(s->arena, "Σ_{%s} ", times);
  return fabs(c) > 0 ? arena_format(s->arena, "%s + %s%s%s%s", text, factor(s, c), sum, decay, term)
                     : text;
}

static const char *product(const Sheet *s, const char *a, const char *b) {
  return arena_format(s->arena, s->latex ? "%s\\, %s" : "%s %s", a, b);
}

/* What the matrix answers to its other results: with independent entries the transposed ones, of a
 * symmetric one all, with tau. */
static const char *with_responses(const Sheet *s, const Op *op, const char *text) {
  const Program *p = s->p;
  const Matrix *m = &p->matrices[op->matrix];
  for (int i = 0; i < p->op_count; i++) {
    const Op *other = applies(p, i);
    bool sums = other && !at_start(p, other);
    if (!other || other->matrix != op->matrix || (at_start(p, op) && other >= op)) continue;
    bool turned = other->kind != op->kind;
    double c = m->sigma * m->sigma * (m->symmetric && !turned ? m->tau : 1) *
               (op->kind == OP_APPLY_T ? ratio_of(p, m) : 1) * left_of_drawn(p, op) *
               left_of_drawn(p, other);
    if (!m->symmetric && !turned) continue;
    const char *answer = response(s, met_at(s, op, op->src[0], "t"), source_at(s, other, "s"));
    text = with_term(s, text, c, sums ? until(s) : NULL,
                     decayed(s, op->matrix, steps_of(s, op, other)),
                     product(s, answer, met_at(s, other, other->src[0], "s")));
  }
  return text;
}

/* What a product at t gains of what the matrix took up in the other op at this time. */
static const char *gain(const Sheet *s, const Op *op, const Op *other, const char *time) {
  bool back = op->kind == OP_APPLY_T;
  const char *met = met_at(s, op, op->src[0], "t");
  return product(s, average(s, met, met_at(s, other, other->src[!back], time)),
                 met_at(s, other, other->src[back], time));
}

/* What the matrix has taken up in the other op, as this one meets it: at the start once, in the
 * step again and again, of which ever less is left. A matrix that each step empties has the last.
 */
static const char *with_taken_up(const Sheet *s, const Op *op, const Op *other, const char *text) {
  const Program *p = s->p;
  const Op *first = p->ops + p->start_count, *end = p->ops + p->op_count;
  bool once = at_start(p, other), earlier = other < op;
  double left = left_by_step(p, op->matrix),
         c = op->kind == OP_APPLY_T ? ratio_of(p, &p->matrices[op->matrix]) : 1,
         same = c * left_between(op->matrix, other, op),
         last = c * left_between(op->matrix, other, end) * left_between(op->matrix, first, op);
  if (once)
    return with_term(s, text, same, NULL, decayed(s, op->matrix, at_start(p, op) ? "" : "t"),
                     gain(s, op, other, "s"));
  if (fabs(left) > 0)
    return with_term(s, text, earlier ? same : last / left, earlier ? until(s) : before(s),
                     decayed(s, op->matrix, "t-s"), gain(s, op, other, "s"));
  if (earlier) text = with_term(s, text, same, NULL, "", gain(s, op, other, "t"));
  return with_term(s, text, last, NULL, "", gain(s, op, other, "t-1"));
}

static const char *with_learned(const Sheet *s, const Op *op, const char *text) {
  const Program *p = s->p;
  for (int i = 0; i < p->op_count; i++) {
    const Op *other = &p->ops[i];
    if (other->kind != OP_OUTER || other->matrix != op->matrix) continue;
    if (!at_start(p, op) || other < op) text = with_taken_up(s, op, other, text);
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
                 left_of_drawn(p, a) * left_of_drawn(p, b);
      const char *met = average(s, met_at(s, a, a->src[0], "t"), met_at(s, b, b->src[0], "s"));
      const char *decay = decayed(s, a->matrix, steps_of(s, a, b));
      row(s, average(s, source_at(s, a, "t"), source_at(s, b, "s")),
          fabs(c) > 0 ? arena_format(s->arena, "%s%s%s", factor(s, c), decay, met) : "0");
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
