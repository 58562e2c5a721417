/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A kernel is the list of distinct nodes of its expression, operands first. It runs over chunks
 * that stay in the first-level cache: one register of CHUNK doubles for each node, each instruction
 * one loop over a chunk. */
#include "scalar/kernel.h"
#include "base/memory.h"
#include "num/clones.h"
#include "num/vecmath.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Instruction {
  Prim prim;
  double value;
  int operand[3]; /* registers, or the argument's index for PRIM_ARG */
} Instruction;

struct Kernel {
  int count;
  Instruction code[];
};

enum { REGISTER_BYTES = 256 * 1024, LONGEST_CHUNK = 512 };

/* Nodes of the expression, operands first; `place` has, by their ids, where they are, from 1. */
static int collect(const Expr *e, const Expr **nodes, int count, int *place) {
  if (place[e->id]) return count;
  for (int i = 0; i < prim_arity(e->prim); i++) count = collect(e->arg[i], nodes, count, place);
  nodes[count] = e;
  return place[e->id] = count + 1;
}

Kernel *kernel_new(const Expr *e) {
  const Expr **nodes = mem_new(e->id + 1, sizeof *nodes);
  int *place = mem_new(e->id + 1, sizeof *place);
  int count = collect(e, nodes, 0, place);
  Kernel *kernel = mem_new(1, sizeof *kernel + (size_t)count * sizeof kernel->code[0]);
  kernel->count = count;
  for (int i = 0; i < count; i++) {
    Instruction *in = &kernel->code[i];
    *in = (Instruction){.prim = nodes[i]->prim, .value = nodes[i]->value};
    if (in->prim == PRIM_ARG) in->operand[0] = nodes[i]->index;
    for (int k = 0; k < prim_arity(in->prim); k++) in->operand[k] = place[nodes[i]->arg[k]->id] - 1;
    bool square = in->prim == PRIM_POW && nodes[i]->arg[1]->prim == PRIM_CONST;
    if (square && nodes[i]->arg[1]->value == 2)
      in->prim = PRIM_MUL, in->operand[1] = in->operand[0];
  }
  free(place);
  free(nodes);
  return kernel;
}

void kernel_free(Kernel *kernel) { free(kernel); }

#define EACH(value)                                                                                \
  for (size_t i = 0; i < n; i++) out[i] = (value);                                                 \
  break

/* The loops of one operation each, so that no processor's clone may contract a product and a sum.
 */
CLONES static void simple(Prim prim, size_t n, const double *restrict x, const double *restrict y,
                          const double *restrict z, double *restrict out) {
  switch (prim) {
  case PRIM_NEG: EACH(-x[i]);
  case PRIM_ADD: EACH(x[i] + y[i]);
  case PRIM_SUB: EACH(x[i] - y[i]);
  case PRIM_MUL: EACH(x[i] * y[i]);
  case PRIM_DIV: EACH(x[i] / y[i]);
  case PRIM_LT: EACH(x[i] < y[i]);
  case PRIM_LE: EACH(x[i] <= y[i]);
  case PRIM_EQ: EACH(x[i] == y[i]);
  case PRIM_SELECT: EACH(x[i] != 0 ? y[i] : z[i]);
  case PRIM_ABS: EACH(fabs(x[i]));
  case PRIM_STEP: EACH(x[i] > 0);
  case PRIM_RELU: EACH(x[i] > 0 || x[i] != x[i] ? x[i] : 0);
  case PRIM_SQRT: EACH(sqrt(x[i]));
  default: EACH(prim_eval(prim, x[i], y[i], z[i]));
  }
}

static void vec_sigmoid(size_t n, const double *x, double *out) {
  for (size_t i = 0; i < n; i++) out[i] = -fabs(x[i]);
  vec_exp(n, out, out);
  for (size_t i = 0; i < n; i++) out[i] = (x[i] >= 0 ? 1 : out[i]) / (1 + out[i]);
}

static void vec_softplus(size_t n, const double *x, double *out) {
  for (size_t i = 0; i < n; i++) out[i] = -fabs(x[i]);
  vec_exp(n, out, out);
  vec_log1p(n, out, out);
  for (size_t i = 0; i < n; i++) out[i] += x[i] > 0 ? x[i] : 0;
}

static void execute(Prim prim, size_t n, const double *x, const double *y, const double *z,
                    double *out) {
  switch (prim) {
  case PRIM_EXP: vec_exp(n, x, out); break;
  case PRIM_LOG: vec_log(n, x, out); break;
  case PRIM_SIN: vec_sin(n, x, out); break;
  case PRIM_COS: vec_cos(n, x, out); break;
  case PRIM_TAN: vec_tan(n, x, out); break;
  case PRIM_ATAN: vec_atan(n, x, out); break;
  case PRIM_SINH: vec_sinh(n, x, out); break;
  case PRIM_COSH: vec_cosh(n, x, out); break;
  case PRIM_TANH: vec_tanh(n, x, out); break;
  case PRIM_ERF: vec_erf(n, x, out); break;
  case PRIM_POW: vec_pow(n, x, y, out); break;
  case PRIM_SIGMOID: vec_sigmoid(n, x, out); break;
  case PRIM_SOFTPLUS: vec_softplus(n, x, out); break;
  default: simple(prim, n, x, y, z, out);
  }
}

/* For n numbers; of few no more is filled with constants. */
static size_t chunk_for(const Kernel *kernel, size_t n) {
  size_t chunk = REGISTER_BYTES / sizeof(double) / (size_t)kernel->count;
  if (chunk > n) chunk = n;
  return chunk > LONGEST_CHUNK ? LONGEST_CHUNK : chunk < 8 ? 8 : chunk;
}

/* Whether the last instruction may write where the answer goes: it is one, and reads nothing
 * there. */
static bool writes_out(const Kernel *kernel, const double *const *args, const double *out) {
  Prim last = kernel->code[kernel->count - 1].prim;
  bool free = last != PRIM_ARG && last != PRIM_CONST;
  for (int k = 0; k < kernel->count && free; k++)
    free = kernel->code[k].prim != PRIM_ARG || args[kernel->code[k].operand[0]] != out;
  return free;
}

void kernel_run_rows(const Kernel *kernel, size_t rows, size_t n, const double *const *args,
                     const size_t *step, double *out, size_t ldo) {
  enum { FEW = REGISTER_BYTES / sizeof(double), FEW_AT = 256 };
  size_t chunk = chunk_for(kernel, n), count = (size_t)kernel->count;
  double few[FEW], *registers = count * chunk <= FEW ? few : mem_new(count * chunk, sizeof *few);
  const double *few_at[FEW_AT], **at = count <= FEW_AT ? few_at : mem_new(count, sizeof *at);
  bool direct = writes_out(kernel, args, out);
  for (int k = 0; k < kernel->count; k++) {
    double *own = registers + (size_t)k * chunk;
    at[k] = own;
    if (kernel->code[k].prim == PRIM_CONST)
      for (size_t i = 0; i < chunk; i++) own[i] = kernel->code[k].value;
  }
  size_t pieces = (n + chunk - 1) / chunk;
  for (size_t piece = 0; piece < rows * pieces; piece++) {
    size_t r = piece / pieces, start = piece % pieces * chunk;
    size_t m = n - start < chunk ? n - start : chunk;
    double *to = out + r * ldo + start;
    for (int k = 0; k < kernel->count; k++) {
      const Instruction *in = &kernel->code[k];
      int arg = in->operand[0];
      if (in->prim == PRIM_ARG)
        at[k] = args[arg] + (step ? r * step[arg] : 0) + start;
      else if (in->prim != PRIM_CONST)
        execute(in->prim, m, at[in->operand[0]], at[in->operand[1]], at[in->operand[2]],
                direct && k == kernel->count - 1 ? to : registers + (size_t)k * chunk);
    }
    if (!direct) memcpy(to, at[kernel->count - 1], m * sizeof(double));
  }
  if (registers != few) free(registers);
  if (at != few_at) free(at);
}

void kernel_run(const Kernel *kernel, size_t n, const double *const *args, double *out) {
  kernel_run_rows(kernel, 1, n, args, NULL, out, 0);
}
