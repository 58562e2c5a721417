/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/initial.h"
#include "base/memory.h"
#include "num/linalg.h"
#include "solve/average.h"

#include <stdlib.h>
#include <string.h>

/* What a variable is at t = 0.
 *   Gaussian:  a sum of independent fields, weight_k times the image of a matrix
 *   function:  expr(base) of one Gaussian variable
 *   backward:  a sum over fields r_k of coefficient_k(base_k) r_k; base -1 for a constant
 *   combined:  rows of a function or of a backward variable; only its covariance is known */
typedef enum Nature { GAUSSIAN, FUNCTION, BACKWARD, COMBINED } Nature;

typedef struct Term {
  int field;               /* index into fields */
  double weight;           /* GAUSSIAN */
  const Expr *coefficient; /* BACKWARD: of argument 0, the base */
  int base;
} Term;

typedef struct Form {
  Nature nature;
  Term *terms;
  int count;
  const Expr *expr;  /* FUNCTION */
  int base;          /* FUNCTION; COMBINED: the variable whose rows these are */
  const RowMap *map; /* COMBINED */
} Form;

/* A Gaussian field that a matrix makes, or rows of one. */
typedef struct Field {
  double *covariance;
  bool lent; /* it is a kernel, too */
  int root;  /* the field itself, or that whose rows it is: such fields are not independent */
} Field;

/* <f(u) f(v)> over all pairs of rows of a Gaussian variable: layers that add to one stream share
 * these. */
typedef struct Known {
  const Expr *f;
  int base;
  size_t rows;
  double *covariance;
  bool lent; /* it is a kernel, too */
} Known;

typedef struct Initial {
  const Program *p;
  size_t R;
  int threads;
  Form *forms; /* [variable] */
  Field *fields;
  int field_count;
  Known *known;
  int known_count;
  InitialKernels *kernels;
  Status status;
  char **why;
} Initial;

static void fail(Initial *s, Status status, const char *format, int variable) {
  if (s->status != STATUS_OK) return;
  s->status = status;
  *s->why = mem_format(format, s->p->variables[variable].name);
}

/* Rows of a variable, for one output. */
static size_t rows(const Initial *s, int variable) {
  return s->R * (size_t)s->p->variables[variable].positions;
}

/* NULL without memory. */
static double *square(size_t n) { return mem_try(n * n, sizeof(double)); }

/* What is NULL because it could not be had. */
static double *held(Initial *s, double *block) {
  if (block || s->status != STATUS_OK) return block;
  s->status = STATUS_LIMIT;
  *s->why = mem_refusal(0);
  return NULL;
}

static int add_field(Initial *s, double *covariance, int root) {
  s->fields = mem_grow(s->fields, (size_t)(s->field_count + 1) * sizeof *s->fields);
  s->fields[s->field_count] = (Field){covariance, false, root < 0 ? s->field_count : root};
  return s->field_count++;
}

/* M C M^T, the covariance of rows that a map combines of each point. Here and below NULL where
 * there was no memory, which the status says. */
static double *combined(Initial *s, const RowMap *map, const double *c) {
  size_t from = s->R * (size_t)map->from, to = s->R * (size_t)map->to, T = (size_t)map->to,
         F = (size_t)map->from;
  double *half = held(s, mem_try(to * from, sizeof *half)), *out = held(s, square(to));
  if (!half || !out || !c) return free(half), free(out), NULL;
  for (size_t i = 0; i < to; i++)
    for (int k = map->begin[i % T]; k < map->begin[i % T + 1]; k++)
      axpy(from, map->weight[k], c + (i / T * F + (size_t)map->source[k]) * from, half + i * from);
  for (size_t i = 0; i < to; i++)
    for (size_t j = 0; j < to; j++)
      for (int k = map->begin[j % T]; k < map->begin[j % T + 1]; k++)
        out[i * to + j] += map->weight[k] * half[i * from + j / T * F + (size_t)map->source[k]];
  free(half);
  return out;
}

/* ---- covariances ---- */

/* out += weight_k^2 Cov_k, summed: the covariance of a Gaussian variable */
static void gaussian_covariance(const Initial *s, const Form *form, size_t n, double *out) {
  for (int k = 0; k < form->count; k++) {
    const double *field = s->fields[form->terms[k].field].covariance;
    for (size_t i = 0; out && field && i < n * n; i++)
      out[i] += form->terms[k].weight * form->terms[k].weight * field[i];
  }
}

/* out[a, b] = <f(u_a) f(u_b)> for a Gaussian u with the given covariance. */
static void function_covariance(Initial *s, const Expr *f, size_t R, const double *cov, double *out,
                                int variable) {
  if (!out || !cov) return;
  Average *average = average_new(f);
  const char *fault = average_kernel(average, R, cov, s->threads, out);
  average_free(average);
  if (fault && s->status == STATUS_OK) {
    s->status = STATUS_NUMERICS;
    *s->why = mem_format("the Gaussian average of %s squared is not known: %s",
                         s->p->variables[variable].name, fault);
  }
}

/* Whether a Gaussian variable is one field as it is. */
static bool is_field(const Form *form) { return form->count == 1 && form->terms[0].weight == 1; }

/* The covariance of f(base); base -1 stands for a constant. */
static Known *known_covariance(Initial *s, const Expr *f, int base, int variable) {
  for (int i = 0; i < s->known_count; i++)
    if (s->known[i].f == f && s->known[i].base == base && s->known[i].rows == rows(s, variable))
      return &s->known[i];
  size_t n = rows(s, base >= 0 ? base : variable);
  const Form *form = base >= 0 ? &s->forms[base] : NULL;
  bool whole = form && is_field(form);
  double *out = held(s, square(n)), *sum = whole ? NULL : held(s, square(n));
  if (form && !whole) gaussian_covariance(s, form, n, sum);
  function_covariance(s, f, n, whole ? s->fields[form->terms[0].field].covariance : sum, out,
                      variable);
  free(sum);
  s->known = mem_grow(s->known, (size_t)(s->known_count + 1) * sizeof *s->known);
  s->known[s->known_count++] = (Known){f, base, n, out, false};
  return &s->known[s->known_count - 1];
}

/* The covariance of a function of a Gaussian variable; as a `kernel`, which outlives what is known,
 * without a copy if it is the first. */
static double *covariance_of_function(Initial *s, int variable, bool kernel) {
  const Form *form = &s->forms[variable];
  size_t width = rows(s, variable);
  Known *known = known_covariance(s, form->expr, form->base, variable);
  if (kernel && !known->lent) {
    known->lent = true;
    return known->covariance;
  }
  double *copy = known->covariance ? held(s, square(width)) : NULL;
  return copy ? memcpy(copy, known->covariance, width * width * sizeof *copy) : NULL;
}

static double *covariance(Initial *s, int variable, bool kernel) {
  const Form *form = &s->forms[variable];
  if (form->nature == FUNCTION) return covariance_of_function(s, variable, kernel);
  size_t width = rows(s, variable), n = width * width;
  double *out = form->nature == COMBINED ? NULL : held(s, square(width));
  switch (form->nature) {
  case GAUSSIAN: gaussian_covariance(s, form, width, out); break;
  case FUNCTION: break;
  case BACKWARD:
    for (int k = 0; k < form->count; k++) {
      const Term *term = &form->terms[k];
      const double *factor =
                       known_covariance(s, term->coefficient, term->base, variable)->covariance,
                   *field = s->fields[term->field].covariance;
      for (size_t i = 0; out && factor && field && i < n; i++) out[i] += factor[i] * field[i];
    }
    break;
  case COMBINED: {
    double *inner = covariance(s, form->base, false);
    out = combined(s, form->map, inner);
    free(inner);
  }
  }
  return out;
}

/* ---- maps ---- */

/* The slopes of a linear expression. */
static double slope_of(const Expr *e, int count, int argument) {
  double unit[OP_MAX_ARGS] = {0};
  if (argument < count) unit[argument] = 1;
  return expr_eval(e, unit);
}

static void refuse(Initial *s, int variable) {
  fail(s, STATUS_SCRIPT,
       "%s mixes several Gaussian fields: its kernel at initialisation needs sampling", variable);
}

/* Adds a term of variable `variable`; what is already there of its field is added to. */
static void add_term(Initial *s, Form *form, Term term, int variable) {
  ExprPool *pool = s->p->pool;
  for (int i = 0; i < form->count; i++) {
    Term *own = &form->terms[i];
    if (own->field != term.field && s->fields[own->field].root == s->fields[term.field].root)
      refuse(s, variable);
    if (own->field != term.field) continue;
    if (own->base != term.base && own->base >= 0 && term.base >= 0) refuse(s, variable);
    own->weight += term.weight;
    own->coefficient = expr_call(pool, PRIM_ADD, own->coefficient, term.coefficient, NULL);
    if (own->base < 0) own->base = term.base;
    return;
  }
  form->terms = mem_grow(form->terms, (size_t)(form->count + 1) * sizeof *form->terms);
  form->terms[form->count++] = term;
}

static void map_gaussian(Initial *s, const Op *op, Form *out) {
  out->nature = GAUSSIAN;
  for (int i = 0; i < op->src_count; i++) {
    const Form *in = &s->forms[op->src[i]];
    double slope = slope_of(op->expr, op->src_count, i);
    for (int k = 0; k < in->count; k++) {
      Term term = in->terms[k];
      term.weight *= slope;
      add_term(s, out, term, op->dst);
    }
  }
}

/* The forward arguments of an expression as functions of one base; -1 if there is none. -2 if they
 * have different ones, or it depends on backward arguments, whose with[i] is NULL; then it has no
 * substitute. */
static int common_base(Initial *s, const Op *op, const Expr *e, const Expr **with) {
  int base = -1;
  for (int i = 0; i < op->src_count; i++) {
    const Form *in = &s->forms[op->src[i]];
    with[i] = NULL;
    if (in->nature == BACKWARD && expr_depends(e, i)) return -2;
    if (in->nature == BACKWARD) continue;
    with[i] = in->nature == FUNCTION ? in->expr : expr_arg(s->p->pool, 0);
    if (!expr_depends(e, i)) continue;
    int own = in->nature == FUNCTION ? in->base : op->src[i];
    if (base >= 0 && base != own) return -2;
    base = own;
  }
  return base;
}

static void map_function(Initial *s, const Op *op, Form *out) {
  const Expr *with[OP_MAX_ARGS];
  out->nature = FUNCTION;
  out->base = common_base(s, op, op->expr, with);
  if (out->base >= 0)
    out->expr = expr_substitute(s->p->pool, op->expr, with);
  else
    refuse(s, op->dst);
}

/* sum_i d(expr)/d(backward argument i) times what that argument is */
static void map_backward(Initial *s, const Op *op, Form *out) {
  ExprPool *pool = s->p->pool;
  out->nature = BACKWARD;
  for (int i = 0; i < op->src_count; i++) {
    const Form *in = &s->forms[op->src[i]];
    if (in->nature != BACKWARD) continue;
    const Expr *slope = expr_diff(pool, op->expr, i), *with[OP_MAX_ARGS];
    int base = common_base(s, op, slope, with);
    if (base == -2) return refuse(s, op->dst);
    slope = expr_substitute(pool, slope, with);
    for (int k = 0; k < in->count; k++) {
      Term term = in->terms[k];
      if (base >= 0 && term.base >= 0 && term.base != base) refuse(s, op->dst);
      if (base >= 0) term.base = base;
      term.coefficient = expr_call(pool, PRIM_MUL, slope, term.coefficient, NULL);
      add_term(s, out, term, op->dst);
    }
  }
}

static void run_map_form(Initial *s, const Op *op) {
  Form *out = &s->forms[op->dst];
  *out = (Form){.base = -1};
  bool gaussian = expr_is_linear(op->expr), backward = false;
  for (int i = 0; i < op->src_count; i++) {
    gaussian = gaussian && s->forms[op->src[i]].nature == GAUSSIAN;
    backward = backward || s->forms[op->src[i]].nature == BACKWARD;
    if (s->forms[op->src[i]].nature == COMBINED) return refuse(s, op->dst);
  }
  if (backward)
    map_backward(s, op, out);
  else if (gaussian)
    map_gaussian(s, op, out);
  else
    map_function(s, op, out);
}

/* ---- applications ---- */

static double *thin_kernel(const Program *p, const Matrix *m, bool input) {
  size_t n = sizes_of(p).all * (size_t)p->variables[input ? m->x : m->y].positions;
  double *kernel = square(n);
  const double *gram = input ? gram_of(p, m) : NULL;
  for (size_t i = 0; kernel && i < n * n; i++) kernel[i] = gram ? gram[i] : 1;
  return kernel;
}

/* The image of a vector with this kernel: a Gaussian field, variance times sigma^2. */
static void run_apply(Initial *s, const Op *op, bool forward) {
  const Matrix *m = &s->p->matrices[op->matrix];
  double **kernel = forward ? &s->kernels->x[op->matrix] : &s->kernels->y[op->matrix];
  bool thin = !is_wide(s->p, forward ? m->from : m->to);
  *kernel = held(s, thin ? thin_kernel(s->p, m, forward) : covariance(s, op->src[0], true));
  double variance = m->sigma * m->sigma * (forward ? 1 : backward_share(s->p, m));
  size_t n = rows(s, op->src[0]);
  const double *seen = thin && forward && m->start ? m->start->data : *kernel;
  bool lent = variance == 1 && seen == *kernel;
  double *field = lent ? *kernel : held(s, square(n));
  for (size_t k = 0; field && seen && k < n * n && !lent; k++) field[k] = variance * seen[k];
  Form *out = &s->forms[op->dst];
  *out = (Form){.nature = forward ? GAUSSIAN : BACKWARD, .base = -1};
  Term term = {add_field(s, field, -1), 1, expr_const(s->p->pool, 1), -1};
  s->fields[term.field].lent = lent;
  add_term(s, out, term, op->dst);
}

/* Rows of Gaussian fields are Gaussian fields, of their own covariance. */
static void run_rows_form(Initial *s, const Op *op) {
  const RowMap *map = &s->p->row_maps[op->rows];
  const Form *in = &s->forms[op->src[0]];
  Form *out = &s->forms[op->dst];
  bool plain = in->nature == GAUSSIAN || in->nature == BACKWARD;
  for (int k = 0; k < in->count; k++) plain = plain && in->terms[k].coefficient->prim == PRIM_CONST;
  *out = (Form){.nature = COMBINED, .base = op->src[0], .map = map};
  if (!plain) return;
  out->nature = in->nature;
  out->base = -1;
  for (int k = 0; k < in->count; k++) {
    Term term = in->terms[k];
    int root = s->fields[term.field].root;
    term.field = add_field(s, combined(s, map, s->fields[term.field].covariance), root);
    add_term(s, out, term, op->dst);
  }
}

/* The y kernels of matrices that are never applied backward, those from the inputs; and the kernels
 * of features that no matrix meets as they are. */
static void finish_kernels(Initial *s) {
  for (int k = 0; k < s->p->matrix_count && s->status == STATUS_OK; k++) {
    const Matrix *m = &s->p->matrices[k];
    if (m->x < 0) continue;
    if (!s->kernels->y[k]) s->kernels->y[k] = covariance(s, m->y, true);
    if (m->features != m->x && is_level(s->p, k))
      s->kernels->features[k] = covariance(s, m->features, true);
  }
}

InitialKernels initial_tables(const Program *p) {
  size_t count = (size_t)p->matrix_count;
  return (InitialKernels){mem_new(count, sizeof(double *)), mem_new(count, sizeof(double *)),
                          mem_new(count, sizeof(double *)),
                          mem_new(count * count, sizeof(double *)),
                          mem_new(count * count, sizeof(double *))};
}

/* Whether k and l > k are two uses of one matrix. */
static bool is_pair(const Program *p, int k, int l) {
  const Matrix *m = &p->matrices[k], *n = &p->matrices[l];
  return k < l && m->weights == n->weights && m->x >= 0 && n->x >= 0;
}

/* Fields that are not Gaussian, and backward ones that answer to forward ones from the start, as
 * they do if the readout has a mean: <phi'' w>. */
static bool is_left_to_samples(const Program *p) {
  bool bent = false;
  for (int k = 0; k < p->matrix_count; k++) {
    const Matrix *m = &p->matrices[k];
    bent |= m->law != LAW_NORMAL && is_wide(p, m->to) && !is_wide(p, m->from);
  }
  return bent || program_averages(p) || program_reuses(p) || !starts_at_zero(p);
}

Status initial_kernels(const Program *p, int threads, InitialKernels *kernels, char **why) {
  *kernels = (InitialKernels){0};
  if (program_draws(p)) {
    *why = mem_string("neurons that are left out at random are for training, not for propagation");
    return STATUS_SCRIPT;
  }
  if (is_left_to_samples(p)) {
    *why = mem_string("averages in a layer, matrices that act again, readouts with a mean, and "
                      "inputs under weights that are not normal are left to samples");
    return STATUS_SCRIPT;
  }
  Initial s = {.p = p, .R = sizes_of(p).all, .threads = threads, .kernels = kernels, .why = why};
  s.forms = mem_new((size_t)p->variable_count, sizeof *s.forms);
  *kernels = initial_tables(p);
  for (int i = 0; i < p->gradient_count && s.status == STATUS_OK; i++) switch (p->ops[i].kind) {
    case OP_MAP:
      if (is_wide(p, p->variables[p->ops[i].dst].space)) run_map_form(&s, &p->ops[i]);
      break;
    case OP_APPLY: run_apply(&s, &p->ops[i], true); break;
    case OP_APPLY_T: run_apply(&s, &p->ops[i], false); break;
    case OP_ROWS: run_rows_form(&s, &p->ops[i]); break;
    default: break; /* what is known, and what stands behind the passes */
    }
  finish_kernels(&s);
  for (int i = 0; i < s.field_count; i++)
    if (!s.fields[i].lent) free(s.fields[i].covariance);
  for (int v = 0; v < p->variable_count; v++) free(s.forms[v].terms);
  for (int i = 0; i < s.known_count; i++)
    if (!s.known[i].lent) free(s.known[i].covariance);
  free(s.fields);
  free(s.forms);
  free(s.known);
  if (s.status != STATUS_OK) initial_free(p, kernels);
  return s.status;
}

/* <u v>, mean over outputs for what flows backward; what does not is the same for all of them. */
static double *between(const Program *p, int u, int v, double *const *fields, size_t n, size_t ld) {
  size_t all = sizes_of(p).all, outputs = sizes_of(p).outputs,
         U = p->variables[u].backward ? outputs : 1, V = p->variables[v].backward ? outputs : 1,
         C = U > V ? U : V, rows = all * (size_t)p->variables[u].positions,
         cols = all * (size_t)p->variables[v].positions;
  double *kernel = mem_try(rows * cols, sizeof *kernel);
  for (size_t c = 0; kernel && c < C; c++)
    mat_mul_bt(rows, cols, n, 1 / (double)(C * n), fields[u] + c % U * ld, U * ld,
               fields[v] + c % V * ld, V * ld, 1, kernel, cols);
  return kernel;
}

static double *measured(const Program *p, int variable, double *const *fields, size_t n,
                        size_t ld) {
  return between(p, variable, variable, fields, n, ld);
}

static bool measure_pairs(const Program *p, double *const *fields, size_t n, size_t ld,
                          InitialKernels *kernels) {
  bool fine = true;
  for (int k = 0; k < p->matrix_count; k++)
    for (int l = k + 1; l < p->matrix_count; l++) {
      const Matrix *a = &p->matrices[k], *b = &p->matrices[l];
      if (!is_pair(p, k, l)) continue;
      int pair = k * p->matrix_count + l;
      kernels->cross_x[pair] = between(p, a->x, b->x, fields, n, ld);
      kernels->cross_y[pair] = between(p, a->y, b->y, fields, n, ld);
      fine &= kernels->cross_x[pair] && kernels->cross_y[pair];
    }
  return fine;
}

bool initial_measure(const Program *p, double *const *fields, size_t n, size_t ld,
                     InitialKernels *kernels) {
  bool fine = true;
  *kernels = initial_tables(p);
  for (int k = 0; k < p->matrix_count; k++) {
    const Matrix *m = &p->matrices[k];
    if (m->x < 0) continue;
    kernels->x[k] =
        is_wide(p, m->from) ? measured(p, m->x, fields, n, ld) : thin_kernel(p, m, true);
    kernels->y[k] = is_wide(p, m->to) ? measured(p, m->y, fields, n, ld) : thin_kernel(p, m, false);
    bool featured = m->features != m->x && is_level(p, k);
    if (featured) kernels->features[k] = measured(p, m->features, fields, n, ld);
    fine &= kernels->x[k] && kernels->y[k] && (kernels->features[k] || !featured);
  }
  return measure_pairs(p, fields, n, ld, kernels) && fine;
}

/* K += share G Phi, summed over pairs of the A and B positions of two uses, [R A, R B]. */
static void add_uses(size_t R, size_t A, size_t B, double share, const double *x, const double *y,
                     bool flip, double *K) {
  for (size_t i = 0; i < R * R && A == 1 && B == 1 && !flip; i++) K[i] += share * x[i] * y[i];
  if (A == 1 && B == 1 && !flip) return;
  for (size_t i = 0; i < R * A; i++)
    for (size_t j = 0; j < R * B; j++) {
      size_t a = i / A, b = j / B;
      K[flip ? b * R + a : a * R + b] += share * x[i * R * B + j] * y[i * R * B + j];
    }
}

double *initial_tangent(const Program *p, const InitialKernels *kernels) {
  size_t R = sizes_of(p).all;
  double *K = mem_try(R * R, sizeof *K);
  for (int k = 0; K && k < p->matrix_count; k++) {
    const Matrix *m = &p->matrices[k];
    if (m->rate == 0 || m->learns != m->y || m->x < 0) continue;
    size_t A = (size_t)p->variables[m->x].positions;
    double share = m->rate * tangent_share(p, m);
    if (!kernels->x[k] || !kernels->y[k]) return free(K), NULL;
    add_uses(R, A, A, share, kernels->x[k], kernels->y[k], false, K);
    for (int l = k + 1; l < p->matrix_count; l++) {
      size_t pair = (size_t)(k * p->matrix_count + l),
             B = is_pair(p, k, l) ? (size_t)p->variables[p->matrices[l].x].positions : 0;
      if (B && (!kernels->cross_x[pair] || !kernels->cross_y[pair])) return free(K), NULL;
      for (int flip = 0; B && flip < 2; flip++)
        add_uses(R, A, B, share, kernels->cross_x[pair], kernels->cross_y[pair], flip, K);
    }
  }
  return K;
}

void initial_free(const Program *p, InitialKernels *kernels) {
  for (int k = 0; k < p->matrix_count; k++) {
    free(kernels->x[k]);
    free(kernels->y[k]);
    free(kernels->features[k]);
  }
  for (int pair = 0; pair < p->matrix_count * p->matrix_count; pair++) {
    free(kernels->cross_x[pair]);
    free(kernels->cross_y[pair]);
  }
  free(kernels->cross_x);
  free(kernels->cross_y);
  free(kernels->features);
  free(kernels->x);
  free(kernels->y);
  *kernels = (InitialKernels){0};
}
