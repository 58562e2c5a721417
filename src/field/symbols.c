/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "field/symbols.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const Place here = {"{mu}", "c", "t", "p", "p'"}, there = {"{alpha}", "c'", "s", "q", "q'"},
            still = {"{mu}", "c", NULL, "p", "p'"};

/* ---- what exists ---- */

bool is_number(const Program *p, int v) { return p->variables[v].space == NO_SPACE; }

/* A mean over the training points, by known numbers. */
static bool is_batch_mean(const Program *p, const Op *op) {
  for (int i = 0; i < p->op_count && op->kind == OP_BLEND; i++)
    if (p->ops[i].dst == op->src[0]) return p->ops[i].kind == OP_CONST;
  return false;
}

bool is_idle(const Program *p, const Op *op) {
  bool read = op->dst == p->output;
  for (int i = 0; i < p->op_count; i++)
    for (int k = is_batch_mean(p, &p->ops[i]); k < p->ops[i].src_count; k++)
      read |= p->ops[i].src[k] == op->dst;
  for (int k = 0; k < p->matrix_count; k++)
    read |= p->matrices[k].y == op->dst || p->matrices[k].learns == op->dst;
  return !read;
}

/* Known numbers that are the same at all points. */
static bool is_alike(const Program *p, const Op *op) {
  const Constant *c = &p->constants[op->constant];
  size_t points = sizes_of(p).all, n = c->rows * c->cols / points;
  for (size_t i = n; c->numbers && i < points * n; i++)
    if (fabs(c->numbers[i] - c->numbers[i % n]) > 0) return false;
  return true;
}

bool is_pairs(const Program *p, int v) { return is_number(p, v) && p->variables[v].cols > 1; }

bool is_moved(const Anatomy *a, const Op *product, int variable) {
  return a->moved[(product - a->p->ops) * a->p->variable_count + variable];
}

bool is_polar(const Anatomy *a, const Matrix *m) {
  return a->p->update.polar.on && is_wide_matrix(a->p, m);
}

bool has_polar(const Anatomy *a) {
  for (int m = 0; m < a->p->matrix_count; m++)
    if (is_polar(a, &a->p->matrices[m])) return true;
  return false;
}

bool is_orthogonal(const Matrix *m) { return m->law == LAW_ORTHOGONAL; }

bool is_drawn(const Program *p, const Matrix *m) {
  return m->law != LAW_NORMAL && !is_orthogonal(m) && !is_wide_matrix(p, m);
}

bool moves_apart(const Anatomy *a) {
  return a->frozen && (!follows_gradients(a->p) || a->p->group_count > 0);
}

bool is_by_entries(const Anatomy *a, const Matrix *m) {
  return is_entrywise(a->p) && !is_polar(a, m);
}

/* What is used more than once, and by which other uses. */
bool acts_again(const Program *p, int matrix) {
  for (int k = 0; k < p->matrix_count; k++)
    if (k != matrix && p->matrices[k].weights == p->matrices[matrix].weights) return true;
  return false;
}

static void find_apply(Anatomy *a, const Op *op) {
  const Matrix *m = &a->p->matrices[op->matrix];
  bool forward = op->kind == OP_APPLY;
  int met = op->src[0];
  bool *responds = forward ? &a->responds_x[op->matrix] : &a->responds_y[op->matrix];
  bool closed = a->frozen || a->closure == CLOSURE_GRADIENT_INDEPENDENCE;
  *responds = !closed && !is_orthogonal(m) && (forward ? m->responds_x : m->responds_y);
  a->carries[op->dst] = a->carries[met];
  a->drifts[op->dst] = !a->frozen && (m->rate != 0 || *responds || is_orthogonal(m));
}

/* A copy of what flows forward, with a row for each output. */
static bool is_copy(const Program *p, const Op *op) {
  return op->kind == OP_MAP && op->src_count == 1 && op->expr->prim == PRIM_ARG &&
         p->variables[op->dst].backward && !p->variables[op->src[0]].backward;
}

static void find_map(Anatomy *a, const Op *op) {
  if (is_copy(a->p, op)) a->same[op->dst] = op->src[0];
  if (op->kind == OP_WEIGH) a->carries[op->dst] = a->drifts[op->dst] = true; /* as Delta does */
  for (int i = 0; i < op->src_count; i++) {
    a->carries[op->dst] |= a->carries[op->src[i]];
    a->drifts[op->dst] |= a->drifts[op->src[i]];
  }
}

/* Whether the noise of a product moves what another op makes of its arguments, through what a
 * matrix answers at equal times too: W^T y = r + sum <dy / du> x. */
static bool passes_on(const Anatomy *a, const Op *source, const Op *op) {
  const Program *p = a->p;
  if (is_number(p, op->dst)) return false;
  for (int i = 0; i < op->src_count && !is_product(op); i++)
    if (is_moved(a, source, op->src[i])) return true;
  for (const Op *other = p->ops; is_product(op) && other < op; other++)
    if (is_product(other) && other->kind != op->kind &&
        p->matrices[other->matrix].weights == p->matrices[op->matrix].weights &&
        is_moved(a, other, op->src[0]) && is_moved(a, source, other->src[0]))
      return true;
  return false;
}

static void find_moved(Anatomy *a) {
  const Program *p = a->p;
  a->moved = mem_new((size_t)p->op_count * (size_t)p->variable_count, sizeof *a->moved);
  for (const Op *op = p->ops; op < p->ops + p->op_count; op++)
    for (const Op *source = p->ops; source <= op; source++)
      if (is_product(source))
        a->moved[(source - p->ops) * p->variable_count + op->dst] =
            source == op || passes_on(a, source, op);
}

Anatomy anatomy_of(Writer *w, const Program *p, Closure closure) {
  Anatomy a = {.w = w,
               .p = p,
               .optimizer = p->problem,
               .closure = closure,
               .frozen = closure == CLOSURE_NTK};
  bool **variables[] = {&a.carries, &a.drifts}, **matrices[] = {&a.responds_x, &a.responds_y};
  for (int i = 0; i < 2; i++) *variables[i] = mem_new((size_t)p->variable_count, sizeof(bool));
  for (int i = 0; i < 2; i++) *matrices[i] = mem_new((size_t)p->matrix_count, sizeof(bool));
  a.same = mem_new((size_t)p->variable_count, sizeof *a.same);
  for (int v = 0; v < p->variable_count; v++) a.same[v] = v;
  for (int i = 0; i < p->op_count; i++) {
    const Op *op = &p->ops[i];
    if (op->kind == OP_INPUT) a.carries[op->dst] = p->spaces[p->variables[op->dst].space].data;
    if (op->kind == OP_CONST) a.carries[op->dst] = !is_alike(p, op);
    if (op->kind == OP_NOISE) a.carries[op->dst] = a.drifts[op->dst] = true;
    if (is_product(op))
      find_apply(&a, op);
    else if (op->src_count)
      find_map(&a, op);
  }
  find_moved(&a);
  return a;
}

Anatomy anatomy_for(const Anatomy *a, const Matrix *m, Program *own) {
  const Program *p = a->p;
  Anatomy same = *a;
  if (!m->group) return same;
  *own = *p;
  own->update = p->groups[m->group - 1];
  own->update.weight = p->update.weight;
  own->update.clip = p->update.clip;
  same.p = own;
  same.optimizer = &p->problem->groups[m->group - 1];
  return same;
}

void write_groups(const Anatomy *a, WriteGroup *write) {
  const Program *p = a->p;
  for (int group = 0; group <= p->group_count; group++) {
    const Matrix *first = NULL;
    char *names = mem_string("");
    for (int k = 0; k < p->matrix_count; k++) {
      const Matrix *m = &p->matrices[k];
      if (m->group != group || m->rate == 0 || m->weights != k) continue;
      mem_append(&names, "%s%s", first ? ", " : "", m->name);
      first = first ? first : m;
    }
    Program own;
    Anatomy of = first ? anatomy_for(a, first, &own) : *a;
    if (first || !p->group_count) write(&of, p->group_count ? names : NULL);
    free(names);
  }
}

bool is_expanded(const Anatomy *a) { return a->closure == CLOSURE_PERTURBATIVE; }

void anatomy_free(Anatomy *a) {
  bool *blocks[] = {a->carries, a->drifts, a->moved, a->responds_x, a->responds_y};
  for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) free(blocks[i]);
  free(a->same);
}

bool is_seed(const Program *p, int v) {
  return p->variables[v].backward && !is_wide_variable(p, v);
}

/* Numbers of each point are of the output's kind. */
static SpaceKind kind_of(const Anatomy *a, int variable) {
  if (is_number(a->p, variable)) return SPACE_OUTPUT;
  return a->p->spaces[a->p->variables[variable].space].kind;
}

static bool is_constant_input(const Anatomy *a, int variable) {
  return kind_of(a, variable) == SPACE_INPUT &&
         !a->p->spaces[a->p->variables[variable].space].data && !is_code(a, variable);
}

bool is_code(const Anatomy *a, int variable) {
  const Variable *v = &a->p->variables[variable];
  return kind_of(a, variable) == SPACE_INPUT && !a->p->spaces[v->space].data && v->positions > 1;
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
    if (a->same[m->features] == variable) return mem_format("%d", l);
    if (m->y == variable) return mem_format("%d", l + 1);
  }
  return mem_string(a->p->variables[variable].name);
}

const char *output_index(const Anatomy *a, const char *output) {
  return a->p->problem->outputs > 1 ? output : NULL;
}

/* point, position and output of a row of a variable */
static char *row_index(const Anatomy *a, int variable, Place place) {
  const Variable *v = &a->p->variables[a->same[variable]];
  const char *output = v->backward ? output_index(a, place.output) : NULL,
             *position = v->positions > 1 ? place.position : NULL,
             *column = is_pairs(a->p, variable) ? place.column : NULL;
  return mem_format("%s%s%s%s", a->carries[variable] && place.point ? place.point : "",
                    position ? position : "", column ? column : "", output ? output : "");
}

/* Below, an entry before it. */
static void put_row_index(const Anatomy *a, const char *entry, int variable, Place place) {
  char *index = row_index(a, variable, place);
  put_below(a->w, "%s%s", entry, index);
  free(index);
}

/* A superscript, with the order of an expansion behind it. */
static void put_order(const Anatomy *a, const char *label, int order) {
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

void put_name(const Anatomy *a, const char *name, int order) {
  const char *suffix = suffix_of(name);
  put(a->w, "%.*s", (int)(suffix - name), name);
  put_order(a, suffix, order);
}

void put_variable(const Anatomy *a, int variable, Place place, int order) {
  put_name(a, is_code(a, variable) ? "e" : a->p->variables[a->same[variable]].name, order);
  put_row_index(a, "", variable, place);
  bool moves = is_number(a->p, variable) ? a->drifts[variable] : kind_of(a, variable) == SPACE_WIDE;
  if (moves) put_times(a, place, still);
}

void put_entry(const Anatomy *a, int variable, const char *entry, Place place) {
  put_name(a, a->p->variables[a->same[variable]].name, WHOLE);
  put_row_index(a, entry, variable, place);
}

void put_indexed(const Anatomy *a, int variable, const char *index) {
  put_name(a, a->p->variables[a->same[variable]].name, WHOLE);
  put_below(a->w, "%s", index);
}

void put_kernel_name(const Anatomy *a, int variable, Place one, Place other, int order) {
  variable = a->same[variable];
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
  bool code = is_code(a, variable);
  if (!code && kind_of(a, variable) != SPACE_OUTPUT)
    return put_kernel_name(a, variable, one, other, order);
  put(a->w, "{delta}");
  put_below(a->w, "%s%s", code ? one.position : one.output, code ? other.position : other.output);
}

void put_seen(const Anatomy *a, int matrix, Place one, Place other) {
  const Matrix *m = &a->p->matrices[matrix];
  char *first = row_index(a, m->x, one), *second = row_index(a, m->x, other);
  put_letter(a, "S", matrix);
  put_below(a->w, "%s%s", first, second);
  free(first);
  free(second);
}

/* What an input has of the unit vector of an output whose weights are those of the inputs. */
static void put_component(const Anatomy *a, int input, Place place, const char *output) {
  put_fraction(a->w, "1", "{sqrt}D");
  put_entry(a, input, output, place);
}

void put_overlap(const Anatomy *a, int v, int w, int order) {
  if (a->same[v] == a->same[w]) return put_kernel(a, v, here, there, order);
  if (is_seed(a->p, v)) return put_component(a, w, there, here.output);
  if (is_seed(a->p, w)) return put_component(a, v, here, there.output);
  put_average(a, (Field){v, here, order}, (Field){w, there, order});
}

void put_average(const Anatomy *a, Field one, Field other) {
  put(a->w, "{<}");
  put_variable(a, one.variable, one.place, one.order);
  if (other.variable >= 0) {
    put(a->w, "{ }");
    put_variable(a, other.variable, other.place, other.order);
  }
  put(a->w, "{>}");
}

void put_mean_slope(const Anatomy *a, int variable, int order, const Op *noise) {
  put(a->w, "{<}{d}");
  put_variable(a, variable, here, order);
  put(a->w, " / {d}");
  put_source(a, noise, there);
  put(a->w, "{>}");
}

void put_matrix(const Anatomy *a, int matrix) {
  put_name(a, a->p->matrices[a->p->matrices[matrix].weights].name, WHOLE);
}

void put_letter(const Anatomy *a, const char *letter, int matrix) {
  const char *name = a->p->matrices[a->p->matrices[matrix].weights].name;
  put(a->w, "%s", letter);
  put_above(a->w, "%s", *name == 'W' ? suffix_of(name) : name);
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
  if (is_constant_input(a, met)) {
    put_matrix(a, op->matrix);
  } else {
    put(a->w, op->kind == OP_APPLY ? "u" : "r");
    put_above(a->w, "%s", source_label(a, op));
  }
  put_row_index(a, "", met, place);
  if (kind_of(a, met) == SPACE_WIDE || is_heated(a, &a->p->matrices[op->matrix]))
    put_times(a, place, still);
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

void put_variance(const Anatomy *a, const Matrix *m, double share) {
  put_factor(a, is_heated(a, m) ? share : share * m->sigma * m->sigma);
  if (is_heated(a, m)) put(a->w, "C(t,s){ }");
}

static bool moves_otherwise(const Anatomy *a, const Matrix *m) {
  return m && a->p->update.polar.on && !is_polar(a, m);
}

const char *eta_of(const Anatomy *a, const Matrix *m) {
  return moves_otherwise(a, m) ? "{eta}'" : "{eta}";
}

const char *prime_of(const Anatomy *a, const Matrix *m) { return moves_otherwise(a, m) ? "'" : ""; }

bool eta_varies(const Anatomy *a, const Matrix *m) {
  const double *eta = moves_otherwise(a, m) ? a->optimizer->other_eta : a->optimizer->eta;
  for (int t = 1; t < a->p->problem->steps; t++)
    if (fabs(eta[t] - eta[0]) > 0) return true;
  return false;
}

bool has_memory(const Anatomy *a) {
  const Update *update = &a->p->update;
  return (update->momentum > 0 && !update->polar.on) || update->decay > 0 || update->inert;
}

bool is_heated(const Anatomy *a, const Matrix *m) {
  return a->p->update.temperature > 0 && m->rate != 0;
}

bool decays(const Anatomy *a, const Matrix *m) { return a->p->update.decay > 0 && m->decay != 0; }

void put_rate(const Anatomy *a, const Matrix *m, double rate, bool gamma, const char *below,
              const char *time) {
  bool summed = !time && has_memory(a);
  char *own = rate == 1 ? mem_string("") : mem_format("%g{ }", rate);
  char *eta = summed              ? mem_string("")
              : !eta_varies(a, m) ? mem_string(eta_of(a, m))
              : time              ? mem_format("%s(%s)", eta_of(a, m), time)
                                  : mem_string("");
  const char *dt = a->p->update.flow && !summed ? "{ }dt{ }" : "";
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

void put_summed_rate(const Anatomy *a, const Matrix *m, const char *time) {
  if (has_memory(a))
    put(a->w, "c%s(t,%s){ }", prime_of(a, m), time);
  else if (eta_varies(a, m))
    put(a->w, "%s(%s){ }", eta_of(a, m), time);
}

void put_steps(const Anatomy *a, const Matrix *m, bool gamma, const char *rows) {
  bool plain = !has_memory(a) && !eta_varies(a, m);
  if (plain) put(a->w, "%s", eta_of(a, m));
  if (plain || gamma) put(a->w, gamma ? "{gamma}{ }" : "{ }");
  put_sum(a, "s<t", rows, NULL);
  put_summed_rate(a, m, "s");
}

void put_weight(const Anatomy *a, Place place) {
  if (update_scales(&a->p->update)) put(a->w, "{kappa}");
  if (update_scales(&a->p->update)) put(a->w, place.time ? "(%s){ }" : "{ }", place.time);
  put_share(a, place);
}

void put_force(const Anatomy *a, int matrix, Place place, int order) {
  if (a->p->couples && !is_readout(a->p, matrix)) return;
  put_delta(a, place, order);
  put(a->w, "{ }");
}

void put_share(const Anatomy *a, Place place) {
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

/* exp(s) over its sum along the row, up to the number of the row where it is causal. */
static void put_softmax_of(const Anatomy *a, const Op *op, Place place) {
  Place summed = place;
  if (is_pairs(a->p, op->src[0])) summed.column = "k";
  put(a->w, "exp(");
  put_variable(a, op->src[0], place, WHOLE);
  put(a->w, ") / ");
  put_sum(a, op->causal ? "k{le}p" : "k", NULL, NULL);
  put(a->w, "exp(");
  put_variable(a, op->src[0], summed, WHOLE);
  put(a->w, op->causal ? "),{ }p' {le} p" : ")");
}

/* The mean over the training points, and their positions. */
static void put_batch_mean(const Anatomy *a, int v, Place place) {
  int positions = a->p->variables[v].positions;
  char *count = positions > 1 ? mem_format("%d P", positions) : mem_string("P");
  put_fraction(a->w, "1", count);
  put_sum(a, "", positions > 1 ? "{alpha},q" : "{alpha}", NULL);
  place.point = there.point;
  place.position = there.position;
  put_variable(a, v, place, WHOLE);
  free(count);
}

/* A sum over positions p' of a table times rows, which the transposed one has at (p', p). */
void put_blend(const Anatomy *a, const Op *op, Place place, int first, int second) {
  if (is_batch_mean(a->p, op)) {
    put_batch_mean(a, op->src[1], place);
    return;
  }
  Place table = place, rows = place;
  rows.position = place.column;
  if (op->transpose_a) table.position = place.column, table.column = place.position;
  put_factor(a, op->factor);
  if (is_pairs(a->p, op->src[0])) put_sum(a, place.column, NULL, NULL);
  put_variable(a, op->src[0], table, first);
  put(a->w, "{ }");
  put_variable(a, op->src[1], rows, second);
}

/* <x>, or <x y>; of a table of pairs y is at another position. */
static void put_mean(const Anatomy *a, const Op *op, Place place) {
  Place second = place;
  if (op->kind == OP_GRAM) second.position = place.column;
  put_factor(a, op->factor);
  put_average(a, (Field){op->src[0], place, WHOLE},
              (Field){op->src_count > 1 ? op->src[1] : -1, second, WHOLE});
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
  case OP_CONST: put_words(a->w, "given"); break;
  case OP_NOISE: put(a->w, "{N}(0, 1)"); break;
  case OP_SOFTMAX: put_softmax_of(a, op, place); break;
  case OP_BLEND: put_blend(a, op, place, WHOLE, WHOLE); break;
  case OP_SUMS:
    put_sum(a, place.column, NULL, NULL);
    put_variable(a, op->src[0], place, WHOLE);
    break;
  case OP_AVERAGE:
  case OP_GRAM: put_mean(a, op, place); break;
  default: break; /* in no pass of layers */
  }
}

void put_map(const Anatomy *a, const Op *op, const Expr *expr, Place place, int first, int orders) {
  char **names = argument_names(a, op, place, first, orders);
  put_expr(a->w, expr, (const char *const *)names);
  for (int i = 0; i < op->src_count * orders; i++) free(names[i]);
  free(names);
}
