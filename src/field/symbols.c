/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "field/symbols.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const Place here = {"{mu}", "c", "t", "p"}, there = {"{alpha}", "c'", "s", "q"},
            still = {"{mu}", "c", NULL, "p"};

/* ---- what exists ---- */

bool is_product(const Op *op) { return op->kind == OP_APPLY || op->kind == OP_APPLY_T; }

bool is_number(const Program *p, int v) { return p->variables[v].space == NO_SPACE; }

/* What is used more than once, and by which other uses. */
bool acts_again(const Program *p, int matrix) {
  for (int k = 0; k < p->matrix_count; k++)
    if (k != matrix && p->matrices[k].weights == p->matrices[matrix].weights) return true;
  return false;
}

static void find_apply(Anatomy *a, const Op *op) {
  const Matrix *m = &a->p->matrices[op->matrix];
  bool forward = op->kind == OP_APPLY, wide = is_wide_matrix(a->p, m);
  int met = op->src[0];
  bool *responds = forward ? &a->responds_x[op->matrix] : &a->responds_y[op->matrix];
  bool closed = a->frozen || a->closure == CLOSURE_GRADIENT_INDEPENDENCE;
  *responds = !closed && (forward ? m->responds_x : m->responds_y);
  a->carries[op->dst] = a->carries[met];
  a->drifts[op->dst] = !a->frozen && (m->rate != 0 || *responds);
  a->depends[op->dst] = a->drifts[op->dst];
  a->instant[op->dst] = wide && a->instant[met];
}

static void find_map(Anatomy *a, const Op *op) {
  bool backward = a->p->variables[op->dst].backward;
  if (op->kind == OP_WEIGH) a->carries[op->dst] = a->drifts[op->dst] = true; /* as Delta does */
  for (int i = 0; i < op->src_count; i++) {
    int src = op->src[i];
    bool across = backward && !a->p->variables[src].backward && !is_number(a->p, src);
    a->carries[op->dst] |= a->carries[src];
    a->drifts[op->dst] |= a->drifts[src];
    if (op->kind == OP_AVERAGE) continue;
    a->depends[op->dst] |= a->depends[src] || across;
    a->instant[op->dst] |= a->instant[src] || across;
  }
}

Anatomy anatomy_of(Writer *w, const Program *p, Closure closure) {
  Anatomy a = {.w = w, .p = p, .closure = closure, .frozen = closure == CLOSURE_NTK};
  bool **variables[] = {&a.carries, &a.drifts, &a.depends, &a.instant};
  bool **matrices[] = {&a.responds_x, &a.responds_y};
  for (int i = 0; i < 4; i++) *variables[i] = mem_new((size_t)p->variable_count, sizeof(bool));
  for (int i = 0; i < 2; i++) *matrices[i] = mem_new((size_t)p->matrix_count, sizeof(bool));
  for (int i = 0; i < p->op_count; i++) {
    const Op *op = &p->ops[i];
    if (op->kind == OP_INPUT) a.carries[op->dst] = p->spaces[p->variables[op->dst].space].data;
    if (is_product(op))
      find_apply(&a, op);
    else if (op->src_count)
      find_map(&a, op);
  }
  return a;
}

bool is_expanded(const Anatomy *a) { return a->closure == CLOSURE_PERTURBATIVE; }

void anatomy_free(Anatomy *a) {
  bool *blocks[] = {a->carries, a->drifts, a->depends, a->instant, a->responds_x, a->responds_y};
  for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) free(blocks[i]);
}

const Op *op_of(const Program *p, int matrix, OpKind kind) {
  for (int i = 0; i < p->op_count; i++)
    if (p->ops[i].kind == kind && p->ops[i].matrix == matrix) return &p->ops[i];
  return NULL;
}

bool is_wide_variable(const Program *p, int v) { return is_wide(p, p->variables[v].space); }

/* Numbers of each point are of the output's kind. */
static SpaceKind kind_of(const Anatomy *a, int variable) {
  if (is_number(a->p, variable)) return SPACE_OUTPUT;
  return a->p->spaces[a->p->variables[variable].space].kind;
}

static bool is_constant_input(const Anatomy *a, int variable) {
  return kind_of(a, variable) == SPACE_INPUT && !a->p->spaces[a->p->variables[variable].space].data;
}

bool is_unit(const Anatomy *a, int variable) {
  return is_constant_input(a, variable) ||
         (kind_of(a, variable) == SPACE_OUTPUT && a->p->problem->outputs == 1);
}

/* ---- names and numbers of things ---- */

const char *suffix_of(const char *name) { return name + strcspn(name, "0123456789"); }

/* Which l the matrix has in Phi[l], or -1. */
static int level_of(const Anatomy *a, int matrix) {
  for (int l = 0; l <= a->p->layers; l++)
    if (a->p->phi_matrix[l] == matrix) return l;
  return -1;
}

/* The superscript of a kernel: l of Phi[l] or G[l], else the name of the variable. */
static char *kernel_label(const Anatomy *a, int variable) {
  for (int l = 0; l <= a->p->layers; l++) {
    const Matrix *m = &a->p->matrices[a->p->phi_matrix[l]];
    if (m->features == variable) return mem_format("%d", l);
    if (m->y == variable) return mem_format("%d", l + 1);
  }
  return mem_string(a->p->variables[variable].name);
}

const char *output_index(const Anatomy *a, const char *output) {
  return a->p->problem->outputs > 1 ? output : NULL;
}

/* point and output of a row of a variable */
static char *row_index(const Anatomy *a, int variable, Place place) {
  const char *output = a->p->variables[variable].backward ? output_index(a, place.output) : NULL;
  const char *position = a->p->variables[variable].positions > 1 ? place.position : NULL;
  return mem_format("%s%s%s", a->carries[variable] && place.point ? place.point : "",
                    position ? position : "", output ? output : "");
}

void put_order(const Anatomy *a, const char *label, int order) {
  if (order == WHOLE)
    put_above(a->w, "%s", label);
  else
    put_above(a->w, "%s(%d)", label, order);
}

static void put_times(const Anatomy *a, Place one, Place other) {
  if (a->frozen || !one.time) return;
  if (other.time)
    put(a->w, "(%s,%s)", one.time, other.time);
  else
    put(a->w, "(%s)", one.time);
}

void put_variable(const Anatomy *a, int variable, Place place, int order) {
  const char *name = a->p->variables[variable].name, *suffix = suffix_of(name);
  char *index = row_index(a, variable, place);
  put(a->w, "%.*s", (int)(suffix - name), name);
  put_order(a, suffix, order);
  put_below(a->w, "%s", index);
  if (kind_of(a, variable) == SPACE_WIDE || is_number(a->p, variable)) put_times(a, place, still);
  free(index);
}

void put_kernel_name(const Anatomy *a, int variable, Place one, Place other, int order) {
  char *label = kernel_label(a, variable), *first = row_index(a, variable, one),
       *second = row_index(a, variable, other);
  bool backward = a->p->variables[variable].backward, wide = is_wide_variable(a->p, variable);
  put(a->w, backward ? "G" : "{Phi}");
  put_order(a, label, wide ? order : WHOLE);
  put_below(a->w, backward && wide && output_index(a, "c") ? "%s,%s" : "%s%s", first, second);
  if (wide) put_times(a, one, other);
  free(label);
  free(first);
  free(second);
}

void put_kernel(const Anatomy *a, int variable, Place one, Place other, int order) {
  if (kind_of(a, variable) != SPACE_OUTPUT) return put_kernel_name(a, variable, one, other, order);
  put(a->w, "{delta}");
  put_below(a->w, "%s%s", one.output, other.output);
}

void put_overlap(const Anatomy *a, int v, int w, int order) {
  if (v == w) return put_kernel(a, v, here, there, order);
  put(a->w, "{<}");
  put_variable(a, v, here, order);
  put(a->w, "{ }");
  put_variable(a, w, there, order);
  put(a->w, "{>}");
}

void put_matrix(const Anatomy *a, int matrix) {
  const char *name = a->p->matrices[a->p->matrices[matrix].weights].name, *suffix = suffix_of(name);
  put(a->w, "%.*s", (int)(suffix - name), name);
  put_above(a->w, "%s", suffix);
}

void put_response(const Anatomy *a, int matrix, bool x_side, int order) {
  const Matrix *m = &a->p->matrices[matrix];
  int l = level_of(a, matrix), own = x_side ? m->x : m->y, other = x_side ? m->y : m->x;
  char *label = l < 0 ? mem_string(m->name) : mem_format("%d", l);
  char *first = row_index(a, own, here), *second = row_index(a, other, there);
  put(a->w, x_side ? "A" : "B");
  put_order(a, label, order);
  put_below(a->w, a->p->problem->outputs > 1 && *first && *second ? "%s,%s" : "%s%s", first,
            second);
  put_times(a, here, there);
  free(label);
  free(first);
  free(second);
}

/* The superscript of a source: the number of the field, or its name where two have that number. */
static const char *source_label(const Anatomy *a, const Op *op) {
  const char *name = a->p->variables[op->dst].name;
  for (int i = 0; i < a->p->op_count; i++) {
    const Op *other = &a->p->ops[i];
    if (other < op && other->kind == op->kind &&
        strcmp(suffix_of(a->p->variables[other->dst].name), suffix_of(name)) == 0)
      return name;
  }
  return suffix_of(name);
}

void put_source(const Anatomy *a, const Op *op, Place place) {
  int met = op->src[0];
  char *index = row_index(a, met, place);
  if (is_constant_input(a, met)) {
    put_matrix(a, op->matrix);
  } else {
    put(a->w, op->kind == OP_APPLY ? "u" : "r");
    put_above(a->w, "%s", source_label(a, op));
  }
  put_below(a->w, "%s", index);
  if (kind_of(a, met) == SPACE_WIDE || is_heated(a, &a->p->matrices[op->matrix]))
    put_times(a, place, still);
  free(index);
}

void put_output(const Anatomy *a, const char *symbol, Place place, int order) {
  const char *output = output_index(a, place.output);
  put(a->w, "%s", symbol);
  put_order(a, "", order);
  put_below(a->w, "%s%s", place.point, output ? output : "");
  if (place.time) put(a->w, "(%s)", place.time);
}

void put_delta(const Anatomy *a, Place place, int order) { put_output(a, "{Delta}", place, order); }

void put_sum(const Anatomy *a, const char *times, const char *point, const char *output) {
  const char *parts[] = {times, point, output};
  char *list = mem_string("");
  for (int i = 0; i < 3; i++) {
    if (!parts[i] || !*parts[i]) continue;
    char *longer = mem_format("%s%s%s", list, *list ? "," : "", parts[i]);
    free(list);
    list = longer;
  }
  if (*list) {
    put(a->w, "{sum}");
    put_below(a->w, strpbrk(list, ",<") || strstr(list, "{le}") ? "{%s}" : "%s", list);
    put(a->w, " ");
  }
  free(list);
}

void put_factor(const Anatomy *a, double factor) {
  if (factor == 1) return;
  put_expr(a->w, expr_const(a->p->pool, factor), NULL);
  put(a->w, "{ }");
}

void put_variance(const Anatomy *a, const Matrix *m) {
  if (is_heated(a, m))
    put(a->w, "C(t,s){ }");
  else
    put_factor(a, m->sigma * m->sigma);
}

bool eta_varies(const Problem *problem) {
  for (int t = 1; t < problem->steps; t++)
    if (fabs(problem->eta[t] - problem->eta[0]) > 0) return true;
  return false;
}

bool has_memory(const Anatomy *a) { return a->p->update.momentum > 0 || a->p->update.decay > 0; }

bool is_heated(const Anatomy *a, const Matrix *m) {
  return a->p->update.temperature > 0 && m->rate != 0;
}

bool decays(const Anatomy *a, const Matrix *m) { return a->p->update.decay > 0 && m->decay != 0; }

void put_rate(const Anatomy *a, double rate, bool gamma, const char *below, const char *time) {
  const Problem *problem = a->p->problem;
  bool summed = !time && has_memory(a);
  char *own = rate == 1 ? mem_string("") : mem_format("%g{ }", rate);
  char *eta = summed                 ? mem_string("")
              : !eta_varies(problem) ? mem_string("{eta}")
              : time                 ? mem_format("{eta}(%s)", time)
                                     : mem_string("");
  const char *dt = problem->optimizer == OPT_FLOW && !summed ? "{ }dt{ }" : "";
  char *top = mem_format("%s%s%s%s", own, eta, dt, gamma ? "{gamma}" : "");
  char *bottom = mem_format("%s%s", a->p->update.weight ? "" : "P", below);
  size_t length = strlen(top);
  if (length > 3 && strcmp(top + length - 3, "{ }") == 0) top[length - 3] = 0;
  const char *divisor = bottom + (*bottom == ' ');
  if (*divisor)
    put_fraction(a->w, *top ? top : "1", divisor);
  else if (*top)
    put(a->w, "%s{ }", top);
  free(own);
  free(eta);
  free(top);
  free(bottom);
}

void put_summed_rate(const Anatomy *a, const char *time) {
  if (has_memory(a))
    put(a->w, "c(t,%s){ }", time);
  else if (eta_varies(a->p->problem))
    put(a->w, "{eta}(%s){ }", time);
}

void put_weight(const Anatomy *a, Place place) {
  if (!a->p->update.weight) return;
  put(a->w, "w");
  put_below(a->w, "%s", place.point);
  if (place.time) put(a->w, "(%s)", place.time);
  put(a->w, "{ }");
}

/* Names of the arguments of a map, their orders in turn: n names for each of `orders`. */
static char **argument_names(const Anatomy *a, const Op *op, Place place, int first, int orders) {
  int n = op->src_count;
  char **names = mem_new((size_t)(n * orders), sizeof *names);
  for (int i = 0; i < n * orders; i++) {
    Aside aside;
    aside_begin(a->w, &aside);
    put_variable(a, op->src[i % n], place, first == WHOLE ? WHOLE : first + i / n);
    names[i] = aside_end(a->w, &aside);
  }
  return names;
}

void put_made(const Anatomy *a, const Op *op, Place place, int order) {
  switch (op->kind) {
  case OP_MAP: put_map(a, op, op->expr, place, WHOLE, 1); break;
  case OP_ROWS:
    put_variable(a, op->src[0], place, order);
    put_words(a->w, " ");
    put_words(a->w, a->p->row_maps[op->rows].about);
    break;
  case OP_WEIGH:
    put_delta(a, place, WHOLE);
    put(a->w, "{ }");
    put_variable(a, op->src[0], place, WHOLE);
    break;
  default:
    put_factor(a, op->factor);
    put(a->w, "{<}");
    for (int i = 0; i < op->src_count; i++) {
      if (i) put(a->w, "{ }");
      put_variable(a, op->src[i], place, WHOLE);
    }
    put(a->w, "{>}");
  }
}

void put_map(const Anatomy *a, const Op *op, const Expr *expr, Place place, int first, int orders) {
  char **names = argument_names(a, op, place, first, orders);
  put_expr(a->w, expr, (const char *const *)names);
  for (int i = 0; i < op->src_count * orders; i++) free(names[i]);
  free(names);
}
