/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "scalar/expr.h"
#include "base/memory.h"

#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
  const char *name;
  int arity;
} prims[PRIM_COUNT] = {
    [PRIM_CONST] = {"const", 0},
    [PRIM_ARG] = {"arg", 0},
#define PRIM(id, name, arity, about) [PRIM_##id] = {name, arity},
#include "scalar/prim.def"
#undef PRIM
};

int prim_arity(Prim prim) { return prims[prim].arity; }
const char *prim_name(Prim prim) { return prims[prim].name; }

double prim_eval(Prim prim, double x, double y, double z) {
  switch (prim) {
  case PRIM_NEG: return -x;
  case PRIM_ADD: return x + y;
  case PRIM_SUB: return x - y;
  case PRIM_MUL: return x * y;
  case PRIM_DIV: return x / y;
  case PRIM_POW: return pow(x, y);
  case PRIM_MIN: return x < y || isnan(x) ? x : y;
  case PRIM_MAX: return x > y || isnan(x) ? x : y;
  case PRIM_LT: return x < y;
  case PRIM_LE: return x <= y;
  case PRIM_EQ: return x == y;
  case PRIM_SELECT: return x != 0 ? y : z;
  case PRIM_ABS: return fabs(x);
  case PRIM_SIGN: return (x > 0) - (x < 0);
  case PRIM_STEP: return x > 0;
  case PRIM_RELU: return x > 0 || isnan(x) ? x : 0;
  case PRIM_EXP: return exp(x);
  case PRIM_LOG: return log(x);
  case PRIM_SQRT: return sqrt(x);
  case PRIM_SIN: return sin(x);
  case PRIM_COS: return cos(x);
  case PRIM_TAN: return tan(x);
  case PRIM_ATAN: return atan(x);
  case PRIM_SINH: return sinh(x);
  case PRIM_COSH: return cosh(x);
  case PRIM_TANH: return tanh(x);
  case PRIM_ERF: return erf(x);
  case PRIM_SIGMOID: return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
  case PRIM_SOFTPLUS: return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
  case PRIM_CONST:
  case PRIM_ARG:
  case PRIM_COUNT: break;
  }
  return NAN;
}

/* The pool: nodes in an arena, found again through an open hash table. */
struct ExprPool {
  Arena *arena;
  const Expr **table;
  unsigned capacity, count;
};

ExprPool *expr_pool_new(void) {
  ExprPool *pool = mem_new(1, sizeof *pool);
  pool->arena = arena_new();
  pool->capacity = 1024;
  pool->table = mem_new(pool->capacity, sizeof *pool->table);
  return pool;
}

void expr_pool_free(ExprPool *pool) {
  if (!pool) return;
  arena_free(pool->arena);
  free(pool->table);
  free(pool);
}

static uint64_t bits_of(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static uint64_t hash_of(const Expr *e) {
  uint64_t h = (uint64_t)e->prim * 0x9e3779b97f4a7c15u;
  h = (h ^ bits_of(e->value)) * 0xbf58476d1ce4e5b9u;
  h = (h ^ (uint64_t)e->index) * 0x94d049bb133111ebu;
  for (int i = 0; i < 3; i++) h = (h ^ (e->arg[i] ? e->arg[i]->id + 1u : 0u)) * 0x9e3779b97f4a7c15u;
  return h ^ h >> 29;
}

static bool same(const Expr *a, const Expr *b) {
  return a->prim == b->prim && bits_of(a->value) == bits_of(b->value) && a->index == b->index &&
         a->arg[0] == b->arg[0] && a->arg[1] == b->arg[1] && a->arg[2] == b->arg[2];
}

static unsigned slot_of(const ExprPool *pool, const Expr *e) {
  unsigned slot = (unsigned)(hash_of(e) & (pool->capacity - 1));
  while (pool->table[slot] && !same(pool->table[slot], e)) slot = (slot + 1) & (pool->capacity - 1);
  return slot;
}

static void grow(ExprPool *pool) {
  const Expr **old = pool->table;
  unsigned capacity = pool->capacity;
  pool->capacity *= 2;
  pool->table = mem_new(pool->capacity, sizeof *pool->table);
  for (unsigned i = 0; i < capacity; i++)
    if (old[i]) pool->table[slot_of(pool, old[i])] = old[i];
  free(old);
}

static const Expr *intern(ExprPool *pool, Expr e) {
  unsigned slot = slot_of(pool, &e);
  if (pool->table[slot]) return pool->table[slot];
  if (2 * pool->count >= pool->capacity) {
    grow(pool);
    slot = slot_of(pool, &e);
  }
  Expr *node = arena_alloc(pool->arena, sizeof *node);
  e.id = pool->count++;
  e.terms = 1;
  e.leaves = e.prim == PRIM_ARG;
  for (int i = 0; i < prims[e.prim].arity; i++) {
    e.terms += e.arg[i]->terms;
    e.leaves += e.arg[i]->leaves;
    if (e.depth <= e.arg[i]->depth) e.depth = e.arg[i]->depth + 1;
  }
  *node = e;
  return pool->table[slot] = node;
}

const Expr *expr_const(ExprPool *pool, double value) {
  return intern(pool, (Expr){.prim = PRIM_CONST, .value = value == 0 ? 0 : value});
}

const Expr *expr_arg(ExprPool *pool, int index) {
  return intern(pool, (Expr){.prim = PRIM_ARG, .index = index});
}

static bool is(const Expr *e, double value) { return e->prim == PRIM_CONST && e->value == value; }

/* c * (d * e) = (c d) * e and e * (d * e') = d * (e * e'): constants first. */
static const Expr *multiply(ExprPool *pool, const Expr *x, const Expr *y) {
  if (y->prim == PRIM_CONST && x->prim != PRIM_CONST) {
    const Expr *swap = x;
    x = y;
    y = swap;
  }
  if (is(x, 0)) return x;
  if (is(x, 1)) return y;
  if (is(x, -1)) return expr_call(pool, PRIM_NEG, y, NULL, NULL);
  if (x->prim == PRIM_CONST && y->prim == PRIM_MUL && y->arg[0]->prim == PRIM_CONST)
    return multiply(pool, expr_const(pool, x->value * y->arg[0]->value), y->arg[1]);
  if (y->prim == PRIM_MUL && y->arg[0]->prim == PRIM_CONST && x->prim != PRIM_CONST)
    return multiply(pool, y->arg[0], multiply(pool, x, y->arg[1]));
  if (x->prim == PRIM_MUL && x->arg[0]->prim == PRIM_CONST)
    return multiply(pool, x->arg[0], multiply(pool, x->arg[1], y));
  if (x->prim == PRIM_NEG)
    return expr_call(pool, PRIM_NEG, multiply(pool, x->arg[0], y), NULL, NULL);
  if (y->prim == PRIM_NEG)
    return expr_call(pool, PRIM_NEG, multiply(pool, x, y->arg[0]), NULL, NULL);
  return intern(pool, (Expr){.prim = PRIM_MUL, .arg = {x, y}});
}

/* The simplified form of an operation on simplified operands, or NULL when it stays as it is. The
 * rules are those that keep derivatives short; 0 * inf is taken as 0, as differentiation means it.
 */
static const Expr *simplify(ExprPool *pool, Prim prim, const Expr *x, const Expr *y,
                            const Expr *z) {
  switch (prim) {
  case PRIM_NEG: return x->prim == PRIM_NEG ? x->arg[0] : NULL;
  case PRIM_ADD:
    if (is(x, 0)) return y;
    if (is(y, 0)) return x;
    if (y->prim == PRIM_NEG) return expr_call(pool, PRIM_SUB, x, y->arg[0], NULL);
    if (x->prim == PRIM_NEG) return expr_call(pool, PRIM_SUB, y, x->arg[0], NULL);
    return NULL;
  case PRIM_SUB:
    if (is(y, 0)) return x;
    if (is(x, 0)) return expr_call(pool, PRIM_NEG, y, NULL, NULL);
    if (x == y) return expr_const(pool, 0);
    if (y->prim == PRIM_NEG) return expr_call(pool, PRIM_ADD, x, y->arg[0], NULL);
    return NULL;
  case PRIM_MUL: return multiply(pool, x, y);
  case PRIM_DIV:
    if (is(x, 0)) return x;
    if (is(y, 1)) return x;
    if (y->prim == PRIM_CONST && y->value != 0)
      return multiply(pool, expr_const(pool, 1 / y->value), x);
    return NULL;
  case PRIM_POW:
    if (is(y, 0)) return expr_const(pool, 1);
    if (is(y, 1)) return x;
    return NULL;
  case PRIM_SELECT:
    if (x->prim == PRIM_CONST) return x->value != 0 ? y : z;
    return y == z ? y : NULL;
  default: return NULL;
  }
}

const Expr *expr_call(ExprPool *pool, Prim prim, const Expr *x, const Expr *y, const Expr *z) {
  const Expr *arg[3] = {x, y, z};
  bool constant = true;
  for (int i = 0; i < prims[prim].arity; i++) constant = constant && arg[i]->prim == PRIM_CONST;
  if (constant)
    return expr_const(pool, prim_eval(prim, x->value, y ? y->value : 0, z ? z->value : 0));
  const Expr *simple = simplify(pool, prim, x, y, z);
  return simple ? simple : intern(pool, (Expr){.prim = prim, .arg = {x, y, z}});
}

const Expr *expr_call_whole(ExprPool *pool, Prim prim, const Expr *x, const Expr *y,
                            const Expr *z) {
  const Expr *arg[3] = {x, y, z}, *e = expr_call(pool, prim, x, y, z);
  double leaves = 0;
  for (int i = 0; i < prims[prim].arity; i++) leaves += arg[i]->leaves;
  return e->leaves < leaves ? intern(pool, (Expr){.prim = prim, .arg = {x, y, z}}) : e;
}

typedef const Expr *(*Calls)(ExprPool *, Prim, const Expr *, const Expr *, const Expr *);

static const Expr *substitute(ExprPool *pool, const Expr *e, const Expr *const *with, Calls calls) {
  if (e->prim == PRIM_CONST) return expr_const(pool, e->value);
  if (e->prim == PRIM_ARG) return with[e->index];
  const Expr *arg[3] = {NULL};
  for (int i = 0; i < prims[e->prim].arity; i++) arg[i] = substitute(pool, e->arg[i], with, calls);
  return calls(pool, e->prim, arg[0], arg[1], arg[2]);
}

const Expr *expr_substitute(ExprPool *pool, const Expr *e, const Expr *const *with) {
  return substitute(pool, e, with, expr_call);
}

const Expr *expr_substitute_whole(ExprPool *pool, const Expr *e, const Expr *const *with) {
  return substitute(pool, e, with, expr_call_whole);
}

const Expr *expr_replace(ExprPool *pool, const Expr *e, const Expr *part, const Expr *with) {
  if (e == part) return with;
  if (e->prim == PRIM_CONST || e->prim == PRIM_ARG) return e;
  const Expr *arg[3] = {NULL};
  for (int i = 0; i < prims[e->prim].arity; i++) arg[i] = expr_replace(pool, e->arg[i], part, with);
  return expr_call(pool, e->prim, arg[0], arg[1], arg[2]);
}

bool expr_is_endless(const Expr *e) {
  enum { MOST_TERMS = 1000000, DEEPEST = 4000 };
  return e->terms > MOST_TERMS || e->depth > DEEPEST;
}

bool expr_depends(const Expr *e, int index) {
  if (e->prim == PRIM_ARG) return e->index == index;
  for (int i = 0; i < prims[e->prim].arity; i++)
    if (expr_depends(e->arg[i], index)) return true;
  return false;
}

bool expr_is_linear(const Expr *e) {
  switch (e->prim) {
  case PRIM_ARG: return true;
  case PRIM_CONST: return e->value == 0;
  case PRIM_NEG: return expr_is_linear(e->arg[0]);
  case PRIM_ADD:
  case PRIM_SUB: return expr_is_linear(e->arg[0]) && expr_is_linear(e->arg[1]);
  case PRIM_MUL: return e->arg[0]->prim == PRIM_CONST && expr_is_linear(e->arg[1]);
  case PRIM_DIV: return e->arg[1]->prim == PRIM_CONST && expr_is_linear(e->arg[0]);
  default: return false;
  }
}

bool expr_is_smooth(const Expr *e) {
  switch (e->prim) {
  case PRIM_RELU:
  case PRIM_STEP:
  case PRIM_ABS:
  case PRIM_SIGN:
  case PRIM_MIN:
  case PRIM_MAX:
  case PRIM_LT:
  case PRIM_LE:
  case PRIM_EQ: return false;
  default: break;
  }
  for (int i = 0; i < prims[e->prim].arity; i++)
    if (!expr_is_smooth(e->arg[i])) return false;
  return true;
}

/* Values by node; `known` NULL: each is computed as often as it is asked for. */
typedef struct Values {
  double *of;
  bool *known;
} Values;

static double value_of(const Expr *e, const double *args, Values values) {
  if (e->prim == PRIM_CONST) return e->value;
  if (e->prim == PRIM_ARG) return args[e->index];
  if (values.known && values.known[e->id]) return values.of[e->id];
  double x[3] = {0};
  for (int i = 0; i < prims[e->prim].arity; i++) x[i] = value_of(e->arg[i], args, values);
  double value = prim_eval(e->prim, x[0], x[1], x[2]);
  if (values.known) {
    values.of[e->id] = value;
    values.known[e->id] = true;
  }
  return value;
}

/* High derivatives share so much that it has to be computed once. */
double expr_eval(const Expr *e, const double *args) {
  enum { FEW_TERMS = 1000 };
  if (e->terms <= FEW_TERMS) return value_of(e, args, (Values){NULL, NULL});
  Values values = {mem_new(e->id + 1, sizeof *values.of), mem_new(e->id + 1, sizeof *values.known)};
  double value = value_of(e, args, values);
  free(values.of);
  free(values.known);
  return value;
}

/* Binding strength of an operator in the notation of the language. */
static int strength(const Expr *e) {
  switch (e->prim) {
  case PRIM_SELECT: return 0;
  case PRIM_LT:
  case PRIM_LE:
  case PRIM_EQ: return 1;
  case PRIM_ADD:
  case PRIM_SUB: return 2;
  case PRIM_MUL:
  case PRIM_DIV: return 3;
  case PRIM_NEG: return 4;
  case PRIM_POW: return 5;
  case PRIM_CONST: return e->value < 0 ? 4 : 6;
  default: return 6;
  }
}

/* Under way to text. */
typedef struct Writer {
  FILE *out;
  const char *const *names;
  bool exact;  /* all digits of constants */
  long budget; /* terms that may still be written; shared subexpressions are written each time */
} Writer;

static void write(Writer *w, const Expr *e, int context);

static void write_infix(Writer *w, const Expr *e, const char *op) {
  int own = strength(e);
  bool right_first = e->prim == PRIM_POW, chains = own > 1; /* comparisons do not */
  write(w, e->arg[0], right_first || !chains ? own + 1 : own);
  fputs(op, w->out);
  bool plain = e->prim == PRIM_ADD || e->prim == PRIM_MUL || right_first;
  write(w, e->arg[1], plain ? own : own + 1);
}

static void write_call(Writer *w, const Expr *e) {
  fprintf(w->out, "%s(", prims[e->prim].name);
  for (int i = 0; i < prims[e->prim].arity; i++) {
    if (i) fputs(", ", w->out);
    write(w, e->arg[i], 0);
  }
  fputc(')', w->out);
}

static void write_const(Writer *w, double value) {
  char *exact = w->exact ? mem_number(value) : NULL;
  if (exact)
    fputs(exact, w->out);
  else
    fprintf(w->out, "%.12g", value);
  free(exact);
  if (w->exact && !isfinite(value)) w->budget = -1;
}

static void write_open(Writer *w, const Expr *e) {
  switch (e->prim) {
  case PRIM_CONST: write_const(w, e->value); break;
  case PRIM_ARG: fputs(w->names[e->index], w->out); break;
  case PRIM_NEG:
    fputc('-', w->out);
    write(w, e->arg[0], strength(e));
    break;
  case PRIM_ADD: write_infix(w, e, " + "); break;
  case PRIM_SUB: write_infix(w, e, " - "); break;
  case PRIM_MUL: write_infix(w, e, "*"); break;
  case PRIM_DIV: write_infix(w, e, "/"); break;
  case PRIM_POW: write_infix(w, e, "^"); break;
  case PRIM_LT: write_infix(w, e, " < "); break;
  case PRIM_LE: write_infix(w, e, " <= "); break;
  case PRIM_EQ: write_infix(w, e, " == "); break;
  case PRIM_SELECT:
    fputs("if ", w->out);
    write(w, e->arg[0], 0);
    fputs(" then ", w->out);
    write(w, e->arg[1], 0);
    fputs(" else ", w->out);
    write(w, e->arg[2], 0);
    break;
  default: write_call(w, e);
  }
}

static void write(Writer *w, const Expr *e, int context) {
  if (--w->budget < 0) return;
  bool parens = strength(e) < context;
  if (parens) fputc('(', w->out);
  write_open(w, e);
  if (parens) fputc(')', w->out);
}

char *expr_print(const Expr *e, const char *const *names) {
  char *text = NULL;
  size_t length = 0;
  Writer w = {mem_stream(&text, &length), names, false, LONG_MAX};
  write(&w, e, 0);
  mem_stream_end(w.out);
  return text;
}

char *expr_source(const Expr *e, const char *const *names) {
  enum { MOST_TERMS = 10000 };
  char *text = NULL;
  size_t length = 0;
  Writer w = {mem_stream(&text, &length), names, true, MOST_TERMS};
  write(&w, e, 0);
  mem_stream_end(w.out);
  if (w.budget >= 0) return text;
  free(text);
  return NULL;
}
