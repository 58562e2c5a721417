/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Systems: their keys, and from their body to their acts. */
#include "model/acts.h"
#include "base/memory.h"
#include "model/builtins.h"
#include "model/declare.h"
#include "model/learn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void system_free(System *s) {
  if (!s) return;
  for (int i = 0; i < s->population_count; i++) free(s->populations[i].name);
  for (int i = 0; i < s->matrix_count; i++) free(s->matrices[i].name);
  for (int i = 0; i < s->variable_count; i++) free(s->variables[i].name);
  for (int i = 0; i < s->act_count; i++) {
    free(s->acts[i].src);
    array_drop(s->acts[i].numbers);
  }
  for (int i = 0; i < s->field_count; i++) {
    free(s->fields[i].name);
    free(s->fields[i].about);
  }
  free(s->populations);
  free(s->matrices);
  free(s->variables);
  free(s->acts);
  free(s->fields);
  free(s->name);
  free(s);
}

/* ---- keys ---- */

/* Whether an expression mentions one of the names. */
static bool mentions(const Ast *node, const char *const *names, int count) {
  if (!node) return false;
  for (int i = 0; i < count && node->kind == AST_NAME; i++)
    if (strcmp(node->name, names[i]) == 0) return true;
  for (int i = 0; i < node->count; i++)
    if (mentions(node->kid[i], names, count)) return true;
  return false;
}

static void add_names(const Ast *const *nodes, int count, const char **names, int *length) {
  for (int i = 0; i < count; i++) names[(*length)++] = nodes[i]->name;
}

static int most_names(const Ast *node) {
  int count = node->kind == AST_PARAM || node->name ? 1 : 0;
  for (int i = 0; i < node->count; i++)
    if (node->kid[i]) count += most_names(node->kid[i]);
  return count + 1;
}

/* The statements of a declaration that are keys: assignments that mention no population, no matrix,
 * and no vector; to be freed. What is assigned otherwise is a vector that stays as it is. */
static const Ast **keys_of(const Ast *node, int *count) {
  const Ast **keys = mem_new((size_t)node->count + 1, sizeof *keys);
  const char **names = mem_new((size_t)most_names(node) + 1, sizeof *names);
  int taken = 0;
  *count = 0;
  for (int i = 0; i < node->count; i++) {
    const Ast *part = node->kid[i];
    const Ast *const *kids = (const Ast *const *)part->kid;
    if (part->kind == AST_POPULATION) add_names(kids, part->count, names, &taken);
    if (part->kind == AST_MATRIX)
      add_names((const Ast *const *)kids[0]->kid, kids[0]->count, names, &taken);
    if (part->kind == AST_STATE) names[taken++] = part->name;
    if (part->kind != AST_ASSIGN) continue;
    if (mentions(part->kid[0], names, taken))
      names[taken++] = part->name;
    else
      keys[(*count)++] = part;
  }
  free(names);
  return keys;
}

const char **system_keys(const Value *system) {
  int count;
  const Ast **keys = keys_of(system->dynamics.node, &count);
  const char **names = mem_new((size_t)count + 1, sizeof *names);
  for (int i = 0; i < count; i++) names[i] = keys[i]->name;
  free(keys);
  return names;
}

static Dynamics *dynamics_of(Value *value, const Ast *node, int count) {
  size_t room = (size_t)count + 1;
  value->dynamics = (Dynamics){.node = node,
                               .key = mem_new(room, sizeof(Value *)),
                               .place = mem_new(room, sizeof(Span)),
                               .given = mem_new(room, sizeof(bool)),
                               .count = count};
  return &value->dynamics;
}

/* A key keeps one value: the last of this name. */
static bool is_repeated(Eval *eval, const Ast *const *keys, int i) {
  for (int k = 0; k < i; k++) {
    if (strcmp(keys[k]->name, keys[i]->name) != 0) continue;
    eval_error(eval, keys[i]->name_span, NULL, "key '%s' is given twice", keys[i]->name);
    diag_note(eval->diags, keys[k]->name_span, "first given here");
    return true;
  }
  return false;
}

/* Computes the keys that are not given; of a variant (`base`) those that mention what changed.
 * False when something is broken. */
static bool compute_keys(Eval *eval, Dynamics *d, const Dynamics *base) {
  int count, changed = 0;
  const Ast **keys = keys_of(d->node, &count);
  const char **names = mem_new((size_t)count + 1, sizeof *names);
  Scope *caller = eval->scope;
  bool sound = true;
  eval->scope = scope_new(eval->globals);
  for (int i = 0; i < count; i++) {
    const Ast *expression = keys[i]->kid[0];
    bool stays = base && !mentions(expression, names, changed);
    Value *value = d->given[i] ? d->key[i] : stays ? base->key[i] : NULL;
    if (!base) sound &= !is_repeated(eval, keys, i);
    if (!value) d->place[i] = expression->span;
    if (!value) value = eval_expression(eval, expression);
    if (!base || value != base->key[i]) names[changed++] = keys[i]->name;
    if (!d->key[i]) d->key[i] = value_keep(value);
    sound &= value->kind != VALUE_BROKEN;
    scope_set(eval->scope, keys[i]->name, value, keys[i]->name_span);
  }
  scope_free(eval->scope);
  eval->scope = caller;
  free(names);
  free(keys);
  return sound;
}

static int key_index(const Dynamics *d, const char *name) {
  int count, index = -1;
  const Ast **keys = keys_of(d->node, &count);
  for (int i = 0; i < count; i++)
    if (strcmp(keys[i]->name, name) == 0) index = i;
  free(keys);
  return index;
}

static void give_key(Dynamics *d, int index, Value *value, Span span) {
  value_drop(d->key[index]);
  d->key[index] = value_keep(value);
  d->place[index] = span;
  d->given[index] = true;
}

static Value *unknown_key(Eval *eval, const Value *system, const char *name, Span span) {
  const char **names = system_keys(system);
  Value *broken = eval_unknown(eval, span, name, names, "%s '%s' has no key '%s'",
                               system_kind(system), system->dynamics.node->name, name);
  free(names);
  return broken;
}

/* A copy whose keys are still to be computed, but for those that were given. */
static Value *copy_of(Eval *eval, const Value *base) {
  const Dynamics *old = &base->dynamics;
  Value *value = value_new(&eval->heap, VALUE_SYSTEM);
  Dynamics *d = dynamics_of(value, old->node, old->count);
  for (int i = 0; i < old->count; i++) {
    d->place[i] = old->place[i];
    if (old->given[i]) give_key(d, i, old->key[i], old->place[i]);
  }
  return value;
}

static Value *finished(Eval *eval, Value *value, const Value *base) {
  bool sound = compute_keys(eval, &value->dynamics, base ? &base->dynamics : NULL);
  return sound ? value : value_new(&eval->heap, VALUE_BROKEN);
}

Value *system_replace(Eval *eval, const Value *base, const char *key, Span key_span, Value *with,
                      Span span) {
  int index = key_index(&base->dynamics, key);
  if (index < 0) return unknown_key(eval, base, key, key_span);
  Value *value = copy_of(eval, base);
  give_key(&value->dynamics, index, with, span);
  return finished(eval, value, base);
}

Value *system_variant(Eval *eval, const Ast *node, const Value *base) {
  Value *value = copy_of(eval, base);
  for (int i = 1; i < node->count; i++) {
    const Ast *entry = node->kid[i];
    if (entry->kind != AST_ENTRY) return value_new(&eval->heap, VALUE_BROKEN);
    int index = key_index(&base->dynamics, entry->name);
    if (index < 0) return unknown_key(eval, base, entry->name, entry->name_span);
    give_key(&value->dynamics, index, eval_expression(eval, entry->kid[0]), entry->kid[0]->span);
  }
  return finished(eval, value, base);
}

Value *system_key(Eval *eval, const Ast *node, const Value *system) {
  int index = key_index(&system->dynamics, node->name);
  if (index < 0) return unknown_key(eval, system, node->name, node->name_span);
  return system->dynamics.key[index];
}

/* ---- populations, matrices, states ---- */

static void bind(Builder *b, const char *name, Value *value, Span span) {
  if (*name) scope_set(b->eval->scope, name, value, span);
}

/* Whether a name is still free; reports otherwise. */
static bool is_new(Builder *b, const Ast *node) {
  const Binding *own = scope_own(b->eval->scope, node->name);
  if (!own) return true;
  eval_error(b->eval, node->name_span, NULL, "'%s' is declared twice", node->name);
  diag_note(b->eval->diags, own->span, "first declared here");
  return false;
}

/* A finite number; false after reporting, or where it is not known. */
static bool number_of(Builder *b, const Ast *node, const char *what, double *number) {
  Value *value = eval_expression(b->eval, node);
  b->vague |= value->kind == VALUE_UNKNOWN || (value->kind == VALUE_NUMBER && !value->known);
  *number = 1;
  if (value->kind == VALUE_NUMBER && !value->known) return true;
  if (value->kind == VALUE_NUMBER && isfinite(value->number)) {
    *number = value->number;
    return true;
  }
  if (value->kind == VALUE_NUMBER)
    eval_error(b->eval, node->span, NULL, "%s must be finite, not %g", what, value->number);
  else if (value->kind != VALUE_BROKEN && value->kind != VALUE_UNKNOWN)
    eval_error(b->eval, node->span, NULL, "%s must be a number, not %s", what,
               value_describe(value));
  return false;
}

static void add_population(Builder *b, const Ast *node) {
  System *s = b->system;
  double ratio = 1;
  if (!is_new(b, node)) return;
  if (node->count && !number_of(b, node->kid[0], "the size of a population", &ratio)) ratio = 1;
  if (!(ratio > 0)) {
    eval_error(b->eval, node->kid[0]->span, "population data = 2 has 2 N neurons",
               "the size of a population, in units of N, must be positive, not %g", ratio);
    ratio = 1;
  }
  s->populations =
      mem_grow(s->populations, (size_t)(s->population_count + 1) * sizeof *s->populations);
  s->populations[s->population_count] = (SystemPopulation){mem_string(node->name), ratio};
  Value *value = value_new(&b->eval->heap, VALUE_POPULATION);
  value->population = s->population_count++;
  bind(b, node->name, value, node->name_span);
}

static int population_of(Builder *b, const Ast *node) {
  const Binding *binding = scope_find(b->eval->scope, node->name);
  if (binding && binding->value->kind == VALUE_POPULATION) return binding->value->population;
  eval_error(b->eval, node->name_span, "population NAME", "'%s' is no population", node->name);
  return -1;
}

/* sigma and symmetry; false after reporting. */
static bool take_traits(Builder *b, const Ast *traits, SystemMatrix *m) {
  static const char *const names[] = {"sigma", "symmetry", NULL};
  for (int i = 0; i < traits->count; i++) {
    const Ast *node = traits->kid[i];
    double number;
    if (node->kind != AST_ARG || node->count != 1) {
      eval_error(b->eval, node->span, "(sigma = 1, symmetry = 1)", "a trait is name = value");
      return false;
    }
    bool sigma = strcmp(node->name, "sigma") == 0;
    if (!sigma && strcmp(node->name, "symmetry") != 0) {
      eval_unknown(b->eval, node->name_span, node->name, names, "a matrix has no trait '%s'",
                   node->name);
      return false;
    }
    if (!number_of(b, node->kid[0], node->name, &number)) return false;
    bool fits = sigma ? number >= 0 : fabs(number) <= 1;
    if (!fits) {
      eval_error(b->eval, node->kid[0]->span, NULL, "'%s' must be %s, not %g", node->name,
                 sigma ? "at least 0" : "from -1 to 1", number);
      return false;
    }
    *(sigma ? &m->sigma : &m->tau) = number;
    m->symmetric |= !sigma;
    if (!sigma && m->from != m->to) {
      eval_error(b->eval, node->span, "matrix J : cells -> cells (symmetry = 1)",
                 "a matrix between two populations has no symmetry");
      return false;
    }
  }
  return true;
}

Value *new_matrix(Builder *b, const char *name, SystemMatrix matrix) {
  System *s = b->system;
  matrix.name = mem_string(name);
  s->matrices = mem_grow(s->matrices, (size_t)(s->matrix_count + 1) * sizeof *s->matrices);
  s->matrices[s->matrix_count] = matrix;
  Value *value = value_new(&b->eval->heap, VALUE_MATRIX);
  value->matrix.index = s->matrix_count++;
  value->matrix.factor = 1;
  return value;
}

/* W, or W[K]: a list of K matrices. */
static void add_matrix(Builder *b, const Ast *node, SystemMatrix matrix) {
  enum { MOST = 1000 };
  double count = 1;
  if (!is_new(b, node)) return;
  if (node->count && !number_of(b, node->kid[0], "the number of matrices", &count)) return;
  if (!(count >= 1 && count <= MOST && count == floor(count))) {
    eval_error(b->eval, node->kid[0]->span, NULL, "the number of matrices is 1 .. %d, not %g", MOST,
               count);
    return;
  }
  Value *value = NULL;
  if (!node->count) {
    value = new_matrix(b, node->name, matrix);
  } else {
    value = value_new(&b->eval->heap, VALUE_LIST);
    value->list.items = mem_new((size_t)count, sizeof(Value *));
    for (; value->list.count < (int)count; value->list.count++) {
      char *name = mem_format("%s[%d]", node->name, value->list.count);
      value->list.items[value->list.count] = value_keep(new_matrix(b, name, matrix));
      free(name);
    }
  }
  bind(b, node->name, value, node->name_span);
}

static void add_matrices(Builder *b, const Ast *node) {
  const Ast *names = node->kid[0], *ends = node->kid[1];
  SystemMatrix matrix = {
      .from = population_of(b, ends->kid[0]), .to = population_of(b, ends->kid[1]), .sigma = 1};
  bool sound = matrix.from >= 0 && matrix.to >= 0 && take_traits(b, node->kid[2], &matrix);
  if (sound && b->step && matrix.symmetric) {
    eval_error(b->eval, node->kid[2]->span, NULL,
               "a matrix that is drawn in every step has no symmetry");
    sound = false;
  }
  int before = b->system->matrix_count;
  for (int i = 0; i < names->count; i++)
    if (sound)
      add_matrix(b, names->kid[i], matrix);
    else
      bind(b, names->kid[i]->name, value_new(&b->eval->heap, VALUE_BROKEN),
           names->kid[i]->name_span);
  for (int k = before; b->step && k < b->system->matrix_count; k++)
    add_act(b, (Act){.kind = ACT_REDRAW, .dst = -1, .matrix = k}, 0, NULL);
}

/* A value as a variable with this name; -1 where it is none. */
static int named(Builder *b, Span span, const char *name, Value *value) {
  const Expr *e = expression_of(b, span, value);
  if (!e) return -1;
  int before = b->system->variable_count, variable = hold(b, e);
  SystemVariable *own = &b->system->variables[variable];
  if (variable >= before || (own->name[0] == 'v' && own->name[1] >= '0' && own->name[1] <= '9')) {
    free(own->name);
    own->name = mem_string(name);
  }
  return variable;
}

static void add_state(Builder *b, const Ast *node) {
  size_t count = (size_t)b->state_count + 1;
  if (!is_new(b, node)) return;
  Value *value = eval_expression(b->eval, node->kid[0]);
  int first = named(b, node->kid[0]->span, node->name, value);
  if (first < 0) {
    bind(b, node->name,
         value_new(&b->eval->heap, value->kind == VALUE_UNKNOWN ? VALUE_UNKNOWN : VALUE_BROKEN),
         node->name_span);
    return;
  }
  int state = new_variable(b, node->name, b->system->variables[first].shape);
  add_act(b, (Act){.kind = ACT_SET, .dst = state}, 1, &first);
  b->states = mem_grow(b->states, count * sizeof *b->states);
  b->places = mem_grow(b->places, count * sizeof *b->places);
  b->assigned = mem_grow(b->assigned, count * sizeof *b->assigned);
  b->states[b->state_count] = state;
  b->assigned[b->state_count] = false;
  b->places[b->state_count++] = node;
  bind(b, node->name, symbol_of(b, first), node->name_span);
}

/* ---- statements ---- */

/* A matrix that a function made is called as the line that made it. */
static void name_matrix(Builder *b, const Value *value, const char *name) {
  SystemMatrix *m = &b->system->matrices[value->matrix.index];
  if (strcmp(m->name, "gaussian") != 0) return;
  free(m->name);
  m->name = mem_string(name);
}

/* Populations and matrices keep their names, and are no values; reports otherwise. */
static bool may_assign(Builder *b, const Ast *node, const Value *value) {
  const Binding *own = scope_own(b->eval->scope, node->name);
  ValueKind old = own ? own->value->kind : VALUE_NONE;
  if (old == VALUE_MATRIX || old == VALUE_POPULATION) {
    eval_error(b->eval, node->name_span, "matrices change by += and *=", "'%s' is %s of the system",
               node->name, old == VALUE_MATRIX ? "a matrix" : "a population");
    return false;
  }
  if (value->kind != VALUE_POPULATION) return true;
  eval_error(b->eval, node->kid[0]->span, "normal(cells), zeros(cells)",
             "a population is no vector");
  return false;
}

static void assign(Builder *b, const Ast *node) {
  Value *value = eval_expression(b->eval, node->kid[0]);
  if (!may_assign(b, node, value)) return;
  for (int i = 0; i < b->state_count && b->step; i++)
    if (strcmp(b->places[i]->name, node->name) == 0) b->assigned[i] = true;
  if (value->kind == VALUE_SYMBOL) {
    int variable = named(b, node->kid[0]->span, node->name, value);
    value = variable < 0 ? value_new(&b->eval->heap, VALUE_BROKEN) : symbol_of(b, variable);
  }
  if (value->kind == VALUE_MATRIX) name_matrix(b, value, node->name);
  b->vague |= value->kind == VALUE_UNKNOWN;
  bind(b, node->name, value, node->name_span);
}

/* W *= keep, by a number that is known, or in the step by one that is computed there. */
static void keep_part(Builder *b, const Ast *node, const Value *value, Act act) {
  const Expr *e = value->kind == VALUE_SYMBOL ? value->symbol : NULL;
  Shape shape = e ? shape_of(b, e) : (Shape){.population = NO_POPULATION};
  if (is_vector(shape) || shape.rank) {
    eval_error(b->eval, node->span, "W *= 1 - 0.1 * dot(x, x)",
               "what a matrix is multiplied by must be a number, not vectors or tables");
  } else if (e && !b->step) {
    eval_error(b->eval, node->span, NULL,
               "at the start a matrix is multiplied by known numbers: by what is computed in the "
               "step");
  } else if (e) {
    int keep = hold(b, e);
    add_act(b, act, 1, &keep);
  } else if (number_of(b, node, "what a matrix is multiplied by", &act.number)) {
    add_act(b, act, 0, NULL);
  }
}

/* W += c * outer(y, x) */
static void take_up(Builder *b, Span span, const Value *value, Act act) {
  Eval *eval = b->eval;
  const SystemMatrix *m = &b->system->matrices[act.matrix];
  if (value->kind == VALUE_UNKNOWN) {
    b->vague = true;
    return;
  }
  if (value->kind != VALUE_TERM || value->term.kind != TERM_OUTER) {
    eval_error(eval, span, "W += c * outer(y, x)", "a matrix takes up outer products, not %s",
               value->kind == VALUE_SYMBOL ? "vectors or numbers" : value_describe(value));
    return;
  }
  int src[2], ends[2] = {m->to, m->from};
  for (int i = 0; i < 2; i++) {
    Shape shape = shape_of(b, value->term.of[i]);
    if (shape.population != ends[i]) {
      eval_error(eval, span, NULL, "'%s' leads from %s to %s: its outer products are outer(%s, %s)",
                 m->name, b->system->populations[m->from].name, b->system->populations[m->to].name,
                 b->system->populations[m->to].name, b->system->populations[m->from].name);
      return;
    }
    src[i] = hold(b, value->term.of[i]);
  }
  add_act(b, act, 2, src);
}

static void update(Builder *b, const Ast *node) {
  Eval *eval = b->eval;
  Value *target = eval_expression(eval, node->kid[0]), *value = eval_expression(eval, node->kid[1]);
  Span span = node->kid[1]->span;
  if (target->kind == VALUE_BROKEN || value->kind == VALUE_BROKEN) return;
  if (target->kind != VALUE_MATRIX || target->matrix.transposed) {
    eval_error(eval, node->kid[0]->span, "write it out, as in x = x + 1",
               "only matrices are updated with '%s='", ast_operator(node->op));
    return;
  }
  Act act = {
      .kind = node->op == '*' ? ACT_DECAY : ACT_OUTER, .matrix = target->matrix.index, .dst = -1};
  if (node->op == '*') {
    if (twin_of(b, target->matrix.index) >= 0)
      eval_error(eval, span, NULL, "a matrix with momentum does not decay");
    else
      keep_part(b, node->kid[1], value, act);
    return;
  }
  take_up(b, span, value, act);
}

void add_field(Builder *b, const char *name, const char *about, FieldForm form, int variable) {
  System *s = b->system;
  s->fields = mem_grow(s->fields, (size_t)(s->field_count + 1) * sizeof *s->fields);
  s->fields[s->field_count++] =
      (SystemField){mem_string(name), mem_string(about), form, variable, variable};
}

/* observe NAME = expression; its field. */
static SystemField *add_observed(Builder *b, const Ast *node, FieldForm form, int variable) {
  char *source = ast_source(node->kid[0]);
  add_field(b, node->name, source, form, variable);
  free(source);
  return &b->system->fields[b->system->field_count - 1];
}

static void add_tangent(Builder *b, const Ast *node, const Term *term) {
  Tangent tangent = {.span = node->kid[0]->span,
                     .field = b->system->field_count,
                     .grows = term->kind == TERM_EXPONENT,
                     .of = term->of[0] ? hold(b, term->of[0]) : -1,
                     .to = term->of[1] ? hold(b, term->of[1]) : -1};
  for (int i = 0; i < b->tangent_count && tangent.grows; i++)
    if (b->tangents[i].grows) {
      eval_error(b->eval, tangent.span, NULL, "a system has one largest exponent");
      return;
    }
  b->tangents = mem_grow(b->tangents, (size_t)(b->tangent_count + 1) * sizeof *b->tangents);
  b->tangents[b->tangent_count++] = tangent;
  add_observed(b, node, tangent.grows ? FORM_VALUE : FORM_RESPONSE, -1);
}

static void observe_term(Builder *b, const Ast *node, const Term *term) {
  if (term->kind != TERM_TWO_TIME) {
    add_tangent(b, node, term);
    return;
  }
  int x = hold(b, term->of[0]), y = hold(b, term->of[1]);
  add_observed(b, node, FORM_TWO_TIME, x)->other = y;
}

static void observe(Builder *b, const Ast *node) {
  static const char *const taken[] = {"t", "stderr", "exact", NULL};
  Eval *eval = b->eval;
  Value *value = eval_expression(eval, node->kid[0]);
  for (int i = 0; taken[i]; i++)
    if (strcmp(taken[i], node->name) == 0) {
      eval_error(eval, node->name_span, NULL, "every result has a '%s' of its own", node->name);
      return;
    }
  for (int i = 0; i < b->system->field_count; i++)
    if (strcmp(b->system->fields[i].name, node->name) == 0) {
      eval_error(eval, node->name_span, NULL, "'%s' is observed twice", node->name);
      return;
    }
  if (value->kind == VALUE_TERM && value->term.kind != TERM_OUTER) {
    observe_term(b, node, &value->term);
    return;
  }
  const Expr *e = expression_of(b, node->kid[0]->span, value);
  if (!e) return;
  if (is_vector(shape_of(b, e))) {
    eval_error(eval, node->kid[0]->span, "mean(x), dot(x, x), or two_time(x)",
               "what is observed are numbers: averages over neurons");
    return;
  }
  int variable = hold(b, e);
  add_observed(b, node, FORM_VALUE, variable);
}

static void statements(Builder *b, const Ast *block);

/* What a system does in a step, or at its start, is written out: no more than this. */
static bool is_endless(Builder *b, Span span) {
  enum { MOST_ACTS = 100000 };
  if (b->system->act_count <= MOST_ACTS || b->eval->halted) return b->eval->halted;
  eval_fail(b->eval, STATUS_LIMIT, span, "rows of vectors, or more steps, in place of a loop",
            "a system of more than %d operations", MOST_ACTS);
  return b->eval->halted = true;
}

static void loop(Builder *b, const Ast *node) {
  enum { ROUND = 100 }; /* numbers that a round counts as in a check */
  Eval *eval = b->eval;
  Value *values = value_keep(eval_expression(eval, node->kid[0]));
  long long count = eval_length(eval, values, node->kid[0]->span);
  b->vague |= values->kind == VALUE_UNKNOWN || !values->known;
  for (long long i = 0; i < count && !is_endless(b, node->span); i++) {
    size_t mark = eval->heap.count;
    if ((b->vague |= !eval_affords(eval, ROUND))) break;
    bind(b, node->name, eval_element(eval, node->kid[0]->span, values, i), node->name_span);
    statements(b, node->kid[1]);
    heap_release(&eval->heap, mark, NULL);
  }
  value_drop(values);
}

static void alone(Builder *b, const Ast *node) {
  Value *value = eval_expression(b->eval, node->kid[0]);
  if (value->kind != VALUE_BROKEN && value->kind != VALUE_NONE && value->kind != VALUE_UNKNOWN)
    eval_error(b->eval, node->span, "observe NAME = ...", "this value is not used");
}

static void run_step(Builder *b, const Ast *node);

static void statement(Builder *b, const Ast *node) {
  switch (node->kind) {
  case AST_POPULATION:
    for (int i = 0; i < node->count; i++) add_population(b, node->kid[i]);
    break;
  case AST_MATRIX: add_matrices(b, node); break;
  case AST_STATE: add_state(b, node); break;
  case AST_ASSIGN: assign(b, node); break;
  case AST_UPDATE: update(b, node); break;
  case AST_OBSERVE: observe(b, node); break;
  case AST_FOR: loop(b, node); break;
  case AST_STEP: run_step(b, node); break;
  case AST_EXPRESSION: alone(b, node); break;
  default: break;
  }
}

static void statements(Builder *b, const Ast *block) {
  for (int i = 0; i < block->count && !eval_interrupted(b->eval, block->kid[i]->span); i++)
    statement(b, block->kid[i]);
}

/* What moves along with the step. */
static void follow_tangents(Builder *b, const int *next) {
  bool moves = false;
  int memories = b->carried_count;
  for (int i = 0; i < b->state_count; i++) moves |= b->assigned[i];
  for (int k = 0; k < b->tangent_count; k++) {
    Tangent *tangent = &b->tangents[k];
    tangent->memories = memories;
    if (tangent->grows && !moves) {
      eval_error(b->eval, tangent->span, NULL, "an exponent is that of states, and no state moves");
      return;
    }
    system_tangent(b, &b->tangents[k], next);
  }
}

/* ---- states without a name ---- */

void begin_acts(Builder *b) {
  Shape number = {.population = NO_POPULATION};
  b->step = true;
  b->system->start_count = b->system->act_count;
  add_act(b, (Act){.kind = ACT_CLOCK, .dst = new_variable(b, "t", number)}, 0, NULL);
}

const Expr *clock_of(const Builder *b) {
  return expr_arg(b->eval->pool, b->system->acts[b->system->start_count].dst);
}

void bring_acts(Builder *b, int first, int at) {
  System *s = b->system;
  size_t count = (size_t)(s->act_count - first);
  Act *moved = mem_new(count + 1, sizeof *moved);
  memcpy(moved, s->acts + first, count * sizeof *moved);
  memmove(s->acts + (size_t)at + count, s->acts + at, (size_t)(first - at) * sizeof *moved);
  memcpy(s->acts + at, moved, count * sizeof *moved);
  free(moved);
}

void bring_forward(Builder *b, int first) {
  int count = b->system->act_count - first;
  bring_acts(b, first, b->system->start_count);
  b->system->start_count += count;
}

int carry(Builder *b, Shape shape, int first) {
  int state = new_variable(b, NULL, shape), before = b->system->act_count;
  if (first < 0 && is_vector(shape)) {
    first = add_act(b, (Act){.kind = ACT_FILL, .dst = new_variable(b, NULL, shape)}, 0, NULL);
  } else if (first < 0) {
    first = hold_full(b, shape, 0);
  }
  add_act(b, (Act){.kind = ACT_SET, .dst = state}, 1, &first);
  if (b->step) bring_forward(b, before);
  return state;
}

void carry_on(Builder *b, int state, const Expr *next) {
  size_t count = (size_t)b->carried_count + 1;
  b->carried = mem_grow(b->carried, count * sizeof *b->carried);
  b->next = mem_grow(b->next, count * sizeof *b->next);
  b->carried[b->carried_count] = state;
  b->next[b->carried_count++] = hold(b, next);
}

void end_acts(Builder *b) {
  for (int i = 0; i < b->carried_count; i++)
    add_act(b, (Act){.kind = ACT_SET, .dst = b->carried[i]}, 1, &b->next[i]);
}

/* The step t, and the states as they are at its beginning. */
static void begin_step(Builder *b, const Ast *node) {
  begin_acts(b);
  if (!scope_own(b->eval->scope, "t")) {
    Value *t = value_new(&b->eval->heap, VALUE_SYMBOL);
    t->symbol = clock_of(b);
    bind(b, "t", t, node->span);
  }
  for (int i = 0; i < b->state_count; i++)
    bind(b, b->places[i]->name, symbol_of(b, b->states[i]), b->places[i]->name_span);
}

static bool same(Shape x, Shape y) {
  bool same = x.population == y.population && x.rank == y.rank;
  for (int i = 0; same && i < x.rank; i++) same = x.size[i] == y.size[i];
  return same;
}

/* What a state becomes; -1 after reporting, or where it is not known. */
static int next_of(Builder *b, int i) {
  const Ast *node = b->places[i];
  const Binding *binding = scope_own(b->eval->scope, node->name);
  const Expr *e = expression_of(b, binding->span, binding->value);
  if (!e) return -1;
  int next = hold(b, e);
  if (!same(b->system->variables[next].shape, b->system->variables[b->states[i]].shape)) {
    eval_error(b->eval, binding->span, NULL, "the state '%s' must keep its population and its rows",
               node->name);
    return -1;
  }
  for (int k = 0; k < b->state_count; k++) /* a state that another becomes may change before */
    if (next == b->states[k] && k != i)
      next = add_act(b,
                     (Act){.kind = ACT_MAP,
                           .dst = new_variable(b, NULL, b->system->variables[next].shape),
                           .expr = expr_arg(b->eval->pool, next)},
                     1, &next);
  return next;
}

static void run_step(Builder *b, const Ast *node) {
  if (b->step) {
    eval_error(b->eval, node->span, NULL, "a system has one step");
    return;
  }
  int before = b->eval->diags->errors;
  begin_step(b, node);
  statements(b, node);
  int *next = mem_new((size_t)b->state_count + 1, sizeof *next);
  for (int i = 0; i < b->state_count; i++) next[i] = b->assigned[i] ? next_of(b, i) : -1;
  measure_matrices(b);
  if (b->eval->diags->errors == before) follow_tangents(b, next);
  for (int i = 0; i < b->state_count; i++)
    if (next[i] >= 0) add_act(b, (Act){.kind = ACT_SET, .dst = b->states[i]}, 1, &next[i]);
  end_acts(b);
  free(next);
}

/* Says which states never change, where the system is declared. */
static void warn_of_states(Builder *b) {
  for (int i = 0; i < b->state_count; i++)
    if (!b->assigned[i])
      diag_warning(b->eval->diags, b->places[i]->name_span,
                   "without 'state' it is a vector that stays as it is",
                   "the state '%s' is never assigned in the step", b->places[i]->name);
}

static void bind_keys(Builder *b, const Dynamics *d) {
  int count;
  const Ast **keys = keys_of(d->node, &count);
  for (int i = 0; i < count; i++) bind(b, keys[i]->name, d->key[i], keys[i]->name_span);
  free(keys);
}

/* All statements but the keys, which have their values. */
static void run_body(Builder *b, const Dynamics *d) {
  int count, next = 0, before = b->eval->diags->errors;
  const Ast **keys = keys_of(d->node, &count);
  bind_keys(b, d);
  for (int i = 0; i < d->node->count && !b->eval->halted; i++) {
    const Ast *part = d->node->kid[i];
    if (next < count && part == keys[next])
      next++;
    else if (b->step && part->kind != AST_STEP)
      eval_error(b->eval, part->span, NULL, "the step of a system stands at its end");
    else
      statement(b, part);
  }
  free(keys);
  Span span = d->node->name_span;
  if (d->node->op == AST_DATASET) return;
  if (!b->step && !b->eval->halted)
    eval_error(b->eval, span, "step { observe m = mean(x) ... }", "system '%s' has no step",
               d->node->name);
  else if (!b->system->field_count && !b->vague && b->eval->diags->errors == before)
    eval_error(b->eval, span, "observe m = mean(x), in its step", "system '%s' observes nothing",
               d->node->name);
}

/* What is added behind the lines of a declaration. */
typedef struct Extension {
  bool (*extend)(Builder *b, void *sink);
  void *sink;
} Extension;

static System *build(Eval *eval, const Value *value, bool declared, Extension more) {
  const Dynamics *d = &value->dynamics;
  int before = eval->diags->errors;
  System *system = mem_new(1, sizeof *system);
  *system = (System){.name = mem_string(d->node->name), .span = d->node->name_span};
  Builder b = {.system = system, .eval = eval}, *outer = eval->system;
  struct Forward *forward = eval->forward;
  Scope *caller = eval->scope;
  size_t mark = eval->heap.count;
  eval->scope = scope_new(eval->globals);
  eval->system = &b;
  eval->forward = NULL;
  run_body(&b, d);
  bool open = eval->diags->errors == before && !eval->halted && !b.vague;
  bool whole = !more.extend || (open && more.extend(&b, more.sink));
  scope_free(eval->scope);
  heap_release(&eval->heap, mark, NULL);
  eval->scope = caller;
  eval->system = outer;
  eval->forward = forward;
  bool sound = whole && eval->diags->errors == before && !b.vague && !eval->halted;
  if (declared && sound) warn_of_states(&b);
  free(b.states);
  free(b.places);
  free(b.assigned);
  free(b.tangents);
  free(b.held);
  free(b.carried);
  free(b.twins);
  free(b.measures);
  free(b.next);
  if (sound) return system;
  system_free(system);
  return NULL;
}

/* Whether a line makes something of what the names stand for, other than the inputs themselves. */
static bool renews(const Ast *part, const char *const *names, int count) {
  if (part->kind == AST_UPDATE) return mentions(part->kid[0], names, count);
  return part->kind == AST_ASSIGN && strcmp(part->name, "inputs") != 0 &&
         mentions(part->kid[0], names, count);
}

void system_renew(Builder *b, const Value *dataset, int points, int but) {
  const Ast *node = dataset->dynamics.node;
  const System *s = b->system;
  const char **names = mem_new((size_t)most_names(node) + 1, sizeof *names);
  int count = 0;
  for (int k = 0; k < s->matrix_count; k++) {
    bool own = s->matrices[k].to == points || s->matrices[k].from == points;
    if (own && k != but) add_act(b, (Act){.kind = ACT_REDRAW, .dst = -1, .matrix = k}, 0, NULL);
  }
  names[count++] = "inputs";
  names[count++] = s->populations[points].name;
  for (int i = 0; i < node->count; i++) {
    if (!renews(node->kid[i], names, count)) continue;
    if (node->kid[i]->kind == AST_ASSIGN) names[count++] = node->kid[i]->name;
    statement(b, node->kid[i]);
  }
  free(names);
}

System *system_build(Eval *eval, const Value *system) {
  return build(eval, system, false, (Extension){0});
}

System *system_extended(Eval *eval, const Value *dataset, bool (*extend)(Builder *b, void *sink),
                        void *sink) {
  return build(eval, dataset, false, (Extension){extend, sink});
}

const char *system_kind(const Value *system) {
  return system_is_data(system) ? "dataset" : "system";
}

bool system_is_data(const Value *value) {
  return value->kind == VALUE_SYSTEM && value->dynamics.node->op == AST_DATASET;
}

/* ---- declarations ---- */

static bool is_broken(const Ast *node) {
  if (!node) return false;
  if (node->kind == AST_BROKEN) return true;
  for (int i = 0; i < node->count; i++)
    if (is_broken(node->kid[i])) return true;
  return false;
}

static void take_overrides(Eval *eval, Dynamics *d) {
  int count;
  const Ast **keys = keys_of(d->node, &count);
  for (int i = 0; i < count; i++) {
    const Ast *node = eval->host->override(eval, d->node->name, keys[i]->name);
    if (node) give_key(d, i, eval_expression(eval, node), node->span);
  }
  free(keys);
}

void declare_system(Eval *eval, const Ast *node) {
  bool again = declared_before(eval, node);
  Value *value = value_new(&eval->heap, is_broken(node) ? VALUE_BROKEN : VALUE_SYSTEM);
  if (value->kind == VALUE_SYSTEM) {
    int count;
    const Ast **keys = keys_of(node, &count);
    free(keys);
    Dynamics *d = dynamics_of(value, node, count);
    take_overrides(eval, d);
    value = finished(eval, value, NULL);
  }
  if (value->kind == VALUE_SYSTEM && eval->dry) {
    int before = eval->diags->errors;
    bool data = system_is_data(value);
    system_free(build(eval, value, true, (Extension){data ? learn_data_sound : NULL, NULL}));
    if (eval->diags->errors > before) value = value_new(&eval->heap, VALUE_BROKEN);
  }
  if (!again) eval_assign(eval, node->name, value, node->name_span);
}
