/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The single-site process: what one neuron of a population sees. Gaussian fields, what the matrices
 * around it answer and learn, elementwise maps. */
#include "base/memory.h"
#include "field/symbols.h"

#include <stdlib.h>

static void row_of_source(const Anatomy *a, const Op *op) {
  const Matrix *m = &a->p->matrices[op->matrix];
  put_source(a, op, here);
  row_piece(a->w);
  bool wide = is_wide_variable(a->p, op->src[0]) && !a->frozen;
  put(a->w, wide ? "{sim} {GP}(0, " : "{sim} {N}(0, ");
  if (is_unit(a, op->src[0])) {
    put_expr(a->w, expr_const(a->p->pool, m->sigma * m->sigma), NULL);
  } else {
    put_variance(a, m);
    put_kernel(a, op->src[0], here, there, WHOLE);
  }
  put(a->w, ")");
  row_end(a->w);
}

/* What a sum over the rows of a variable runs over, beside times. */
static const char *points_of(const Anatomy *a, int variable) {
  bool positions = a->p->variables[variable].positions > 1;
  if (!a->carries[variable]) return positions ? "q" : NULL;
  return positions ? "{alpha},q" : "{alpha}";
}

/* What the matrix answers and what it has learned, along the vectors of the partner; order k of the
 * expansion takes order k - 1 of them. `joint` stands before the first piece. */
static void pieces_of_drift(const Anatomy *a, const Op *op, int order, const char *joint) {
  const Matrix *m = &a->p->matrices[op->matrix];
  bool forward = op->kind == OP_APPLY, whole = order == WHOLE;
  int met = op->src[0], partner = forward ? m->y : m->x, zeroth = whole ? WHOLE : 0,
      lower = whole ? WHOLE : order - 1;
  bool seed = a->p->variables[met].backward && !is_wide_variable(a->p, met);
  bool moves = whole || lower == 0 || a->drifts[partner];
  if (moves && (forward ? a->responds_x : a->responds_y)[op->matrix]) {
    row_piece(a->w);
    put(a->w, "%s ", joint);
    joint = "+";
    if (decays(a, m)) put(a->w, "a(t){ }");
    put_variance(a, m);
    if (whole) put(a->w, "{gamma}{ }");
    put_sum(a, !forward && a->instant[met] ? "s{le}t" : "s<t", points_of(a, partner),
            a->p->variables[partner].backward ? output_index(a, "c'") : NULL);
    put_response(a, op->matrix, forward, zeroth);
    put(a->w, "{ }");
    put_variable(a, partner, there, lower);
  }
  if (moves && m->rate != 0 && !a->frozen) {
    Place past = there;
    if (seed) past.output = here.output;
    row_piece(a->w);
    put(a->w, "%s ", joint);
    put_rate(a, m->rate, whole, "", NULL);
    put_sum(a, "s<t", a->p->variables[partner].positions > 1 ? "{alpha},q" : "{alpha}",
            seed ? NULL : output_index(a, "c'"));
    put_summed_rate(a, "s");
    put_weight(a, past);
    put_delta(a, past, zeroth);
    put(a->w, "{ }");
    if (!is_unit(a, met) && !seed) {
      put_kernel(a, met, here, there, zeroth);
      put(a->w, "{ }");
    }
    put_variable(a, partner, past, lower);
  }
}

/* Order k of f(v0 + gamma v1 + gamma^2 v2), arguments in the order v0..., v1..., v2... */
static const Expr *expanded(const Anatomy *a, const Op *op, int order) {
  ExprPool *pool = a->p->pool;
  const Expr *sum = expr_const(pool, 0);
  int n = op->src_count;
  for (int i = 0; i < n && order > 0; i++) {
    if (!a->drifts[op->src[i]]) continue;
    const Expr *slope = expr_diff(pool, op->expr, i);
    sum = expr_call(pool, PRIM_ADD, sum,
                    expr_call(pool, PRIM_MUL, slope, expr_arg(pool, order * n + i), NULL), NULL);
    for (int j = 0; j <= i && order == 2; j++) {
      if (!a->drifts[op->src[j]]) continue;
      const Expr *bend = expr_diff(pool, slope, j), *xi = expr_arg(pool, n + i),
                 *xj = expr_arg(pool, n + j);
      const Expr *square = i == j ? expr_call(pool, PRIM_POW, xi, expr_const(pool, 2), NULL)
                                  : expr_call(pool, PRIM_MUL, xj, xi, NULL);
      if (i == j) bend = expr_call(pool, PRIM_MUL, expr_const(pool, 0.5), bend, NULL);
      sum = expr_call(pool, PRIM_ADD, sum, expr_call(pool, PRIM_MUL, bend, square, NULL), NULL);
    }
  }
  return order > 0 ? sum : op->expr;
}

static void row_of_map(const Anatomy *a, const Op *op, int order) {
  const Place bare = {NULL, NULL, NULL, NULL}, place = order == WHOLE ? here : bare;
  put_variable(a, op->dst, place, order);
  row_piece(a->w);
  put(a->w, "= ");
  if (op->kind == OP_ROWS)
    put_rows(a, op, place, order);
  else if (order == WHOLE)
    put_map(a, op, op->expr, place, WHOLE, 1);
  else
    put_map(a, op, expanded(a, op, order), place, 0, 3);
  row_end(a->w);
}

static void row_of_product(const Anatomy *a, const Op *op, int order) {
  put_variable(a, op->dst, here, order);
  if (order <= 0) {
    row_piece(a->w);
    put(a->w, "= ");
    if (decays(a, &a->p->matrices[op->matrix])) put(a->w, "a(t){ }");
    put_source(a, op, here);
  }
  if (order != 0) pieces_of_drift(a, op, order, order == WHOLE ? "+" : "=");
  row_end(a->w);
}

static void rows_of_process(const Anatomy *a, const Op *op) {
  int first = is_expanded(a) ? 0 : WHOLE, last = is_expanded(a) && a->drifts[op->dst] ? 2 : first;
  for (int order = first; order <= last; order++)
    (op->kind == OP_MAP || op->kind == OP_ROWS ? row_of_map : row_of_product)(a, op, order);
}

static bool lives_on(const Anatomy *a, const Op *op, int space) {
  return a->p->variables[op->dst].space == space && op->kind != OP_INPUT && op->kind != OP_SEED;
}

static void write_population(const Anatomy *a, int space) {
  const Program *p = a->p;
  write_prose(a->w, "Population %s, Gaussian sources, independent of each other:",
              suffix_of(p->spaces[space].name));
  for (int i = 0; i < p->op_count; i++)
    if (lives_on(a, &p->ops[i], space) && p->ops[i].kind != OP_MAP && p->ops[i].kind != OP_ROWS)
      row_of_source(a, &p->ops[i]);
  write_prose(a->w, "and its fields:");
  for (int i = 0; i < p->op_count; i++)
    if (lives_on(a, &p->ops[i], space)) rows_of_process(a, &p->ops[i]);
}

/* What is left at step t of what step s did, and of the initial weights. */
static void write_memory(const Anatomy *a) {
  const Update *update = &a->p->update;
  const char *eta = eta_varies(a->p->problem) ? "{eta}(t)" : "{eta}",
             *dt = a->p->problem->optimizer == OPT_FLOW ? "dt" : "";
  char *keep = update->decay > 0 ? mem_format("(1 - {lambda}%s%s)", eta, dt) : mem_string("");
  const char *push = update->momentum == 0 ? "[s = t]"
                     : update->nesterov    ? "({beta}^{t-s+1} + [s = t])"
                                           : "{beta}^{t-s}";
  char *added = mem_format("%s%s{ }%s", eta, dt, push);
  write_prose(a->w,
              "Of what step s does, the share c(t,s) is left at step t: $c(t+1,s) = %sc(t,s) + %s$ "
              "for $s {le} t$, and $c(s,s) = 0$.",
              keep, added);
  if (update->decay > 0)
    write_prose(a->w,
                "Of the initial weights the share a(t) is left: $a(0) = 1$, $a(t+1) = %sa(t)$. In "
                "a layer of "
                "another rate that rate multiplies ${lambda}$.",
                keep);
  free(keep);
  free(added);
}

void write_process(const Anatomy *a) {
  const Program *p = a->p;
  write_heading(a->w, "One neuron of each population");
  if (has_memory(a) && !a->frozen) write_memory(a);
  for (int s = 0; s < p->space_count; s++)
    if (p->spaces[s].kind == SPACE_WIDE) write_population(a, s);
  if (a->frozen) return;
  if (is_expanded(a)) write_prose(a->w, "Elementwise maps are written for one point and time.");
  if (p->problem->tests)
    write_prose(
        a->w,
        "Sums over ${alpha}$ run over the training points. Test points are further ${mu}$ that "
        "leave "
        "no memory%s.",
        p->linear
            ? ""
            : ": of the sums over ${alpha}$ they have only the term ${alpha} = {mu}$ of their own "
              "response at equal times, where there is one");
  if (p->linear)
    write_prose(a->w, "Every map is linear: all fields are Gaussian and the averages are exact "
                      "sums, without sampling. "
                      "What flows backward is the same for every point and carries no ${mu}$.");
}
