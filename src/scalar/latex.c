/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Expressions in the notation of LaTeX (amsmath). */
#include "base/memory.h"
#include "scalar/expr.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How tightly what is written at the top of an expression binds. */
enum { LOOSE, SUM, PRODUCT, SIGNED, POWER, ATOM };

static int strength(const Expr *e) {
  switch (e->prim) {
  case PRIM_SELECT:
  case PRIM_LT:
  case PRIM_LE:
  case PRIM_EQ: return LOOSE;
  case PRIM_ADD:
  case PRIM_SUB: return SUM;
  case PRIM_MUL: return PRODUCT;
  case PRIM_NEG: return SIGNED;
  case PRIM_CONST: return e->value < 0 ? SIGNED : ATOM;
  case PRIM_POW:
  case PRIM_EXP: return POWER;
  default: return ATOM;
  }
}

/* The name of a function that stands before its argument; NULL for those with a form of their own.
 */
static const char *function(Prim prim) {
  switch (prim) {
  case PRIM_MIN: return "\\min";
  case PRIM_MAX: return "\\max";
  case PRIM_SIGN: return "\\operatorname{sgn}";
  case PRIM_STEP: return "\\Theta";
  case PRIM_RELU: return "\\operatorname{relu}";
  case PRIM_LOG: return "\\log";
  case PRIM_SIN: return "\\sin";
  case PRIM_COS: return "\\cos";
  case PRIM_TAN: return "\\tan";
  case PRIM_ATAN: return "\\arctan";
  case PRIM_SINH: return "\\sinh";
  case PRIM_COSH: return "\\cosh";
  case PRIM_TANH: return "\\tanh";
  case PRIM_ERF: return "\\operatorname{erf}";
  case PRIM_SIGMOID: return "\\operatorname{sigmoid}";
  case PRIM_SOFTPLUS: return "\\operatorname{softplus}";
  default: return NULL;
  }
}

static void write(FILE *out, const Expr *e, const char *const *names, int context);

static void write_number(FILE *out, double value) {
  char text[32];
  snprintf(text, sizeof text, "%.12g", value);
  char *exponent = strchr(text, 'e');
  if (!isfinite(value)) {
    fputs(isnan(value) ? "\\mathrm{nan}" : value > 0 ? "\\infty" : "-\\infty", out);
  } else if (exponent) {
    *exponent = 0;
    fprintf(out, "%s \\cdot 10^{%d}", text, atoi(exponent + 1));
  } else {
    fputs(text, out);
  }
}

static void write_infix(FILE *out, const Expr *e, const char *const *names, const char *op,
                        int left, int right) {
  write(out, e->arg[0], names, left);
  fputs(op, out);
  write(out, e->arg[1], names, right);
}

static void write_fraction(FILE *out, const Expr *top, const Expr *bottom, double divisor,
                           const char *const *names) {
  fputs("\\frac{", out);
  write(out, top, names, LOOSE);
  fputs("}{", out);
  if (bottom)
    write(out, bottom, names, LOOSE);
  else
    write_number(out, divisor);
  fputc('}', out);
}

static void write_arguments(FILE *out, const Expr *e, const char *const *names) {
  fputs("\\left(", out);
  for (int i = 0; i < prim_arity(e->prim); i++) {
    if (i) fputs(", ", out);
    write(out, e->arg[i], names, LOOSE);
  }
  fputs("\\right)", out);
}

static void write_power(FILE *out, const Expr *e, const char *const *names) {
  const Expr *base = e->arg[0];
  const char *name = function(base->prim);
  bool inside = name && e->arg[1]->prim == PRIM_CONST && e->arg[1]->value > 0;
  bool raised = base->prim == PRIM_ARG && strchr(names[base->index], '^');
  if (inside)
    fputs(name, out);
  else if (raised)
    fprintf(out, "\\left(%s\\right)", names[base->index]);
  else
    write(out, base, names, ATOM);
  fputs("^{", out);
  write(out, e->arg[1], names, LOOSE);
  fputc('}', out);
  if (inside) write_arguments(out, base, names);
}

/* Division by a whole number is stored as a product with its inverse, a square at times as x x. */
static void write_product(FILE *out, const Expr *e, const char *const *names) {
  const Expr *x = e->arg[0], two = {.prim = PRIM_CONST, .value = 2},
             square = {.prim = PRIM_POW, .arg = {x, &two}};
  double divisor = x->prim == PRIM_CONST ? 1 / x->value : 0;
  if (divisor > 1 && divisor < 1000 && fabs(divisor - rint(divisor)) < 1e-9)
    write_fraction(out, e->arg[1], NULL, rint(divisor), names);
  else if (x == e->arg[1])
    write_power(out, &square, names);
  else
    write_infix(out, e, names, e->arg[1]->prim == PRIM_CONST ? " \\cdot " : "\\, ", PRODUCT,
                PRODUCT);
}

static void write_around(FILE *out, const Expr *e, const char *const *names, const char *open,
                         const char *close) {
  fputs(open, out);
  write(out, e->arg[0], names, LOOSE);
  fputs(close, out);
}

static void write_cases(FILE *out, const Expr *e, const char *const *names) {
  fputs("\\begin{cases} ", out);
  write(out, e->arg[1], names, LOOSE);
  fputs(" & \\text{if } ", out);
  write(out, e->arg[0], names, LOOSE);
  fputs(" \\\\ ", out);
  write(out, e->arg[2], names, LOOSE);
  fputs(" & \\text{otherwise} \\end{cases}", out);
}

static void write_open(FILE *out, const Expr *e, const char *const *names) {
  switch (e->prim) {
  case PRIM_CONST: write_number(out, e->value); break;
  case PRIM_ARG: fputs(names[e->index], out); break;
  case PRIM_NEG:
    fputc('-', out);
    write(out, e->arg[0], names, SIGNED);
    break;
  case PRIM_ADD: write_infix(out, e, names, " + ", SUM, SUM); break;
  case PRIM_SUB: write_infix(out, e, names, " - ", SUM, PRODUCT); break;
  case PRIM_MUL: write_product(out, e, names); break;
  case PRIM_DIV: write_fraction(out, e->arg[0], e->arg[1], 0, names); break;
  case PRIM_POW: write_power(out, e, names); break;
  case PRIM_LT: write_infix(out, e, names, " < ", SUM, SUM); break;
  case PRIM_LE: write_infix(out, e, names, " \\le ", SUM, SUM); break;
  case PRIM_EQ: write_infix(out, e, names, " = ", SUM, SUM); break;
  case PRIM_SELECT: write_cases(out, e, names); break;
  case PRIM_ABS: write_around(out, e, names, "\\left|", "\\right|"); break;
  case PRIM_EXP: write_around(out, e, names, "e^{", "}"); break;
  case PRIM_SQRT: write_around(out, e, names, "\\sqrt{", "}"); break;
  default: fputs(function(e->prim), out); write_arguments(out, e, names);
  }
}

static void write(FILE *out, const Expr *e, const char *const *names, int context) {
  bool parens = strength(e) < context;
  if (parens) fputs("\\left(", out);
  write_open(out, e, names);
  if (parens) fputs("\\right)", out);
}

char *expr_latex(const Expr *e, const char *const *names) {
  char *text = NULL;
  size_t length = 0;
  FILE *out = mem_stream(&text, &length);
  write(out, e, names, LOOSE);
  mem_stream_end(out);
  return text;
}
