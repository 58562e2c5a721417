/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/initial.h"
#include "base/memory.h"
#include "solve/average.h"

#include <stdlib.h>
#include <string.h>

/* What a variable is at t = 0.
 *   Gaussian:  a sum of independent fields, weight_k times the image of a matrix
 *   function:  expr(base) of one Gaussian variable
 *   backward:  a sum over fields r_k of coefficient_k(base_k) r_k; base -1 for a constant */
typedef enum Nature { GAUSSIAN, FUNCTION, BACKWARD } Nature;

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
  const Expr *expr; /* FUNCTION */
  int base;
} Form;

/* <f(u) f(v)> over all pairs of rows of a Gaussian variable: layers that add to one stream share
 * these. */
typedef struct Known {
  const Expr *f;
  int base;
  double *covariance;
} Known;

typedef struct Initial {
  const Program *p;
  size_t R;
  int threads;
  Form *forms; /* [variable] */
  Known *known;
  int known_count;
  double **fields; /* [op]: the covariance [R, R] of the field that an application makes */
  InitialKernels *kernels;
  Status status;
  char **why;
} Initial;

static void fail(Initial *s, Status status, const char *format, int variable) {
  if (s->status != STATUS_OK) return;
  s->status = status;
  *s->why = mem_format(format, s->p->variables[variable].name);
}

static double *square(const Initial *s) { return mem_new(s->R * s->R, sizeof(double)); }

/* ---- covariances ---- */

/* out += weight_k^2 Cov_k, summed: the covariance of a Gaussian variable */
static void gaussian_covariance(const Initial *s, const Form *form, double *out) {
  for (int k = 0; k < form->count; k++)
    for (size_t i = 0; i < s->R * s->R; i++)
      out[i] += form->terms[k].weight * form->terms[k].weight * s->fields[form->terms[k].field][i];
}

/* out[a, b] = <f(u_a) f(u_b)> for a Gaussian u with the given covariance. */
static void function_covariance(Initial *s, const Expr *f, const double *cov, double *out,
                                int variable) {
  Average *average = average_new(f);
  size_t R = s->R;
  bool fine = true;
#pragma omp parallel for schedule(dynamic, 1) num_threads(s->threads) reduction(&& : fine)
  for (size_t a = 0; a < R; a++)
    for (size_t b = 0; b <= a; b++) {
      fine =
          average_pair(average, cov[a * R + a], cov[b * R + b], cov[a * R + b], &out[a * R + b]) &&
          fine;
      out[b * R + a] = out[a * R + b];
    }
  average_free(average);
  if (!fine)
    fail(s, STATUS_NUMERICS,
         "the Gaussian average of %s squared does not converge: it is singular, has too many "
         "kinks, or grows too fast",
         variable);
}

/* The covariance of f(base); base -1 stands for a constant. */
static const double *known_covariance(Initial *s, const Expr *f, int base, int variable) {
  for (int i = 0; i < s->known_count; i++)
    if (s->known[i].f == f && s->known[i].base == base) return s->known[i].covariance;
  double *out = square(s), *inner = square(s);
  if (base >= 0) gaussian_covariance(s, &s->forms[base], inner);
  function_covariance(s, f, inner, out, variable);
  free(inner);
  s->known = mem_grow(s->known, (size_t)(s->known_count + 1) * sizeof *s->known);
  s->known[s->known_count++] = (Known){f, base, out};
  return out;
}

static double *covariance(Initial *s, int variable) {
  const Form *form = &s->forms[variable];
  double *out = square(s);
  size_t n = s->R * s->R;
  switch (form->nature) {
  case GAUSSIAN: gaussian_covariance(s, form, out); break;
  case FUNCTION:
    memcpy(out, known_covariance(s, form->expr, form->base, variable), n * sizeof *out);
    break;
  case BACKWARD:
    for (int k = 0; k < form->count; k++) {
      const Term *term = &form->terms[k];
      const double *factor = known_covariance(s, term->coefficient, term->base, variable),
                   *field = s->fields[term->field];
      for (size_t i = 0; i < n; i++) out[i] += factor[i] * field[i];
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

static void add_term(Form *form, Term term) {
  form->terms = mem_grow(form->terms, (size_t)(form->count + 1) * sizeof *form->terms);
  form->terms[form->count++] = term;
}

static void map_gaussian(Initial *s, const Op *op, Form *out) {
  out->nature = GAUSSIAN;
  for (int i = 0; i < op->src_count; i++) {
    const Form *in = &s->forms[op->src[i]];
    double slope = slope_of(op->expr, op->src_count, i);
    for (int k = 0; k < in->count; k++) {
      add_term(out, in->terms[k]);
      out->terms[out->count - 1].weight *= slope;
    }
  }
}

/* The forward arguments of an expression as functions of one base; -1 if there is none, -2 if they
 * have different ones. with[i] is NULL for backward arguments. */
static int common_base(Initial *s, const Op *op, const Expr *e, const Expr **with) {
  int base = -1;
  for (int i = 0; i < op->src_count; i++) {
    const Form *in = &s->forms[op->src[i]];
    with[i] = NULL;
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
    fail(s, STATUS_SCRIPT,
         "%s mixes several Gaussian fields: its kernel at initialisation needs sampling", op->dst);
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
    slope = expr_substitute(pool, slope, with);
    for (int k = 0; k < in->count; k++) {
      Term term = in->terms[k];
      if (base == -2 || (base >= 0 && term.base >= 0 && term.base != base))
        fail(s, STATUS_SCRIPT,
             "%s mixes several Gaussian fields: its kernel at initialisation needs sampling",
             op->dst);
      if (base >= 0) term.base = base;
      term.coefficient = expr_call(pool, PRIM_MUL, slope, term.coefficient, NULL);
      add_term(out, term);
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
  }
  if (backward)
    map_backward(s, op, out);
  else if (gaussian)
    map_gaussian(s, op, out);
  else
    map_function(s, op, out);
}

/* ---- applications ---- */

static double *thin_kernel(const Initial *s, const Matrix *m, bool input) {
  double *kernel = square(s);
  const double *gram = input ? gram_of(s->p, m) : NULL;
  for (size_t i = 0; i < s->R * s->R; i++) kernel[i] = gram ? gram[i] : 1;
  return kernel;
}

/* The image of a vector with this kernel: a Gaussian field, variance times sigma^2. */
static void run_apply(Initial *s, int i, bool forward) {
  const Op *op = &s->p->ops[i];
  const Matrix *m = &s->p->matrices[op->matrix];
  double **kernel = forward ? &s->kernels->x[op->matrix] : &s->kernels->y[op->matrix];
  bool thin = !is_wide(s->p, forward ? m->from : m->to);
  *kernel = thin ? thin_kernel(s, m, forward) : covariance(s, op->src[0]);
  s->fields[i] = square(s);
  for (size_t k = 0; k < s->R * s->R; k++) s->fields[i][k] = m->sigma * m->sigma * (*kernel)[k];
  Form *out = &s->forms[op->dst];
  *out = (Form){.nature = forward ? GAUSSIAN : BACKWARD, .base = -1};
  add_term(out, (Term){i, 1, expr_const(s->p->pool, 1), -1});
}

/* The y kernels of matrices that are never applied backward: those from the inputs. */
static void finish_kernels(Initial *s) {
  for (int k = 0; k < s->p->matrix_count && s->status == STATUS_OK; k++)
    if (!s->kernels->y[k] && s->p->matrices[k].x >= 0)
      s->kernels->y[k] = covariance(s, s->p->matrices[k].y);
}

Status initial_kernels(const Program *p, int threads, InitialKernels *kernels, char **why) {
  Initial s = {.p = p, .R = sizes_of(p).all, .threads = threads, .kernels = kernels, .why = why};
  s.forms = mem_new((size_t)p->variable_count, sizeof *s.forms);
  s.fields = mem_new((size_t)p->op_count, sizeof *s.fields);
  *kernels = (InitialKernels){mem_new((size_t)p->matrix_count, sizeof(double *)),
                              mem_new((size_t)p->matrix_count, sizeof(double *))};
  for (int i = 0; i < p->gradient_count && s.status == STATUS_OK; i++) switch (p->ops[i].kind) {
    case OP_MAP: run_map_form(&s, &p->ops[i]); break;
    case OP_APPLY: run_apply(&s, i, true); break;
    case OP_APPLY_T: run_apply(&s, i, false); break;
    case OP_INPUT:
    case OP_SEED:
    case OP_WEIGH: break;
    }
  finish_kernels(&s);
  for (int i = 0; i < p->op_count; i++) free(s.fields[i]);
  for (int v = 0; v < p->variable_count; v++) free(s.forms[v].terms);
  for (int i = 0; i < s.known_count; i++) free(s.known[i].covariance);
  free(s.fields);
  free(s.forms);
  free(s.known);
  if (s.status != STATUS_OK) initial_free(p, kernels);
  return s.status;
}

void initial_free(const Program *p, InitialKernels *kernels) {
  for (int k = 0; k < p->matrix_count; k++) {
    free(kernels->x[k]);
    free(kernels->y[k]);
  }
  free(kernels->x);
  free(kernels->y);
  *kernels = (InitialKernels){0};
}
