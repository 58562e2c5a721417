/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The network of finite width and its training, as a program states them. */
#include "base/memory.h"
#include "field/symbols.h"

#include <stdlib.h>

/* The root of the number of entries that a product with the matrix sums over: "" where it is one.
 */
static const char *root_of_sum(const Anatomy *a, const Matrix *m) {
  const Space *from = &a->p->spaces[m->from];
  if (from->kind == SPACE_WIDE) return "{sqrt}N";
  return from->data ? "{sqrt}D" : "";
}

static void put_weights(const Anatomy *a, int matrix) {
  put_matrix(a, matrix);
  if (is_readout(a->p, matrix) && output_index(a, "c")) put_below(a->w, "c");
}

static void put_apply(const Anatomy *a, const Op *op) {
  const Matrix *m = &a->p->matrices[op->matrix];
  const char *root = root_of_sum(a, m);
  bool readout = is_readout(a->p, op->matrix), forward = op->kind == OP_APPLY;
  if (readout && forward) put_fraction(a->w, "1", "{gamma} N");
  if (*root && !readout) put_fraction(a->w, "1", root);
  put_weights(a, op->matrix);
  if (!forward && !readout) put(a->w, "{top}");
  if (!*root || (readout && !forward)) return;
  put(a->w, readout ? " {dot} " : "{ }");
  put_variable(a, op->src[0], still, WHOLE);
}

static void row_of_network(const Anatomy *a, const Op *op) {
  if (op->kind == OP_INPUT || op->kind == OP_SEED) return;
  if (is_wide_variable(a->p, op->dst))
    put_variable(a, op->dst, still, WHOLE);
  else
    put_output(a, "f", still, WHOLE);
  row_piece(a->w);
  put(a->w, "= ");
  if (op->kind == OP_MAP)
    put_map(a, op, op->expr, still, WHOLE, 1);
  else if (op->kind == OP_ROWS)
    put_rows(a, op, still, WHOLE);
  else
    put_apply(a, op);
  row_end(a->w);
}

/* The matrix, or under this letter its direction of descent or its velocity. */
static void put_moved(const Anatomy *a, int matrix, const char *letter) {
  if (!letter) return put_weights(a, matrix);
  const char *name = a->p->matrices[matrix].name;
  put(a->w, "%s", letter);
  put_above(a->w, *name == 'W' ? "%s" : "b%s", suffix_of(name));
  if (is_readout(a->p, matrix) && output_index(a, "c")) put_below(a->w, "c");
}

/* What decay leaves of the matrix. */
static void put_kept(const Anatomy *a, int matrix) {
  const Matrix *m = &a->p->matrices[matrix];
  if (decays(a, m)) {
    put(a->w, "(1 - {lambda}{ }");
    if (m->decay != 1) put(a->w, "%g{ }", m->decay);
    put(a->w, "{eta}%s%s){ }", eta_varies(a->p->problem) ? "(t)" : "",
        a->p->problem->optimizer == OPT_FLOW ? "{ }dt" : "");
  }
  put_weights(a, matrix);
}

/* 1 / (P below), without P where points have their own weights. */
static void put_direction_rate(const Anatomy *a, const char *below) {
  char *bottom = mem_format("%s%s", a->p->update.weight ? "" : "P", below);
  const char *divisor = bottom + (*bottom == ' ');
  if (*divisor) put_fraction(a->w, "1", divisor);
  free(bottom);
}

static void rows_of_velocity(const Anatomy *a, int matrix) {
  const Matrix *m = &a->p->matrices[matrix];
  bool ahead = a->p->update.nesterov;
  if (ahead) {
    put_moved(a, matrix, "V");
    row_piece(a->w);
    put(a->w, "{to} {beta}{ }");
    put_moved(a, matrix, "V");
    put(a->w, " + ");
    put_moved(a, matrix, "O");
    row_end(a->w);
  }
  put_weights(a, matrix);
  row_piece(a->w);
  put(a->w, "{to} ");
  put_kept(a, matrix);
  put(a->w, " + ");
  if (m->rate != 1) put(a->w, "%g{ }", m->rate);
  put(a->w, "{eta}%s{gamma}{ }%s", eta_varies(a->p->problem) ? "(t)" : "", ahead ? "(" : "");
  if (ahead) {
    put_moved(a, matrix, "O");
    put(a->w, " + {beta}{ }");
  }
  put_moved(a, matrix, "V");
  if (ahead) put(a->w, ")");
  row_end(a->w);
}

static void row_of_update(const Anatomy *a, int matrix) {
  const Matrix *m = &a->p->matrices[matrix];
  bool readout = is_readout(a->p, matrix);
  const char *root = readout ? "" : root_of_sum(a, m);
  char *below = mem_format(*root ? " %s" : "%s", root);
  if (m->rate == 0) return free(below);
  const Place there_now = {there.point, "c", NULL, there.position};
  bool velocity = a->p->update.momentum > 0, ahead = velocity && a->p->update.nesterov;
  put_moved(a, matrix, velocity ? (ahead ? "O" : "V") : NULL);
  row_piece(a->w);
  if (ahead) {
    put(a->w, "= ");
  } else if (velocity) {
    put(a->w, "{to} {beta}{ }");
    put_moved(a, matrix, "V");
    put(a->w, " + ");
  } else {
    put(a->w, "{to} ");
    put_kept(a, matrix);
    put(a->w, " + ");
  }
  if (velocity)
    put_direction_rate(a, below);
  else
    put_rate(a, m->rate, true, below, "t");
  put_sum(a, "", "{alpha}", readout ? NULL : output_index(a, "c"));
  put_weight(a, there_now);
  put_delta(a, there_now, WHOLE);
  put(a->w, "{ }");
  if (!readout) put_variable(a, m->y, there_now, WHOLE);
  if (!readout && *root) put(a->w, "{ }");
  if (*root || readout) put_variable(a, m->x, there_now, WHOLE);
  if (*root) put(a->w, "{top}");
  row_end(a->w);
  free(below);
  if (velocity) rows_of_velocity(a, matrix);
}

static void row_of_initial(const Anatomy *a, int matrix) {
  const Matrix *m = &a->p->matrices[matrix];
  put_matrix(a, matrix);
  put_below(a->w, *root_of_sum(a, m) && !is_readout(a->p, matrix) ? "ij" : "i");
  row_piece(a->w);
  put(a->w, "{sim} {N}(0, ");
  put_expr(a->w, expr_const(a->p->pool, m->sigma * m->sigma), NULL);
  put(a->w, ")");
  row_piece(a->w);
  put(a->w, "{quad}");
  if (m->rate == 0) {
    put_words(a->w, "at all times: frozen");
  } else {
    put_words(a->w, "at ");
    put(a->w, "t = 0");
  }
  row_end(a->w);
}

static void put_loss_arguments(const Anatomy *a, const Expr *e, Place place) {
  char *names[2];
  for (int i = 0; i < 2; i++) {
    Aside aside;
    aside_begin(a->w, &aside);
    Place at = place;
    if (i) at.time = NULL;
    put_output(a, i ? "y" : "f", at, WHOLE);
    names[i] = aside_end(a->w, &aside);
  }
  put_expr(a->w, e, (const char *const *)names);
  free(names[0]);
  free(names[1]);
}

/* e^f of an output, as of the softmax */
static void put_exponential(const Anatomy *a, Place place) {
  put(a->w, "exp(");
  put_output(a, "f", place, WHOLE);
  put(a->w, ")");
}

static void put_softmax(const Anatomy *a, Place place) {
  put_exponential(a, place);
  put(a->w, " / ");
  put_sum(a, "", NULL, "k");
  put_exponential(a, (Place){place.point, "k", place.time, NULL});
}

/* y_c - sum_k y_k softmax_c, with targets of sum 1 */
static void put_softmax_delta(const Anatomy *a, Place place) {
  put_output(a, "y", (Place){place.point, place.output, NULL, NULL}, WHOLE);
  put(a->w, " - ");
  put_softmax(a, place);
}

static void rows_of_cross_entropy(const Anatomy *a) {
  put(a->w, "{loss}");
  row_piece(a->w);
  put(a->w, "= -");
  put_fraction(a->w, "1", "P");
  put_sum(a, "", "{mu}", "c");
  put_output(a, "y", still, WHOLE);
  put(a->w, " log(");
  put_softmax(a, still);
  put(a->w, ")");
  row_end(a->w);
  row_of_delta(a, still);
}

void row_of_delta(const Anatomy *a, Place place) {
  put_delta(a, place, WHOLE);
  row_piece(a->w);
  put(a->w, "= ");
  ExprPool *pool = a->p->pool;
  const Expr *ell = a->p->problem->loss;
  if (ell)
    put_loss_arguments(a, expr_call(pool, PRIM_NEG, expr_diff(pool, ell, 0), NULL, NULL), place);
  else
    put_softmax_delta(a, place);
  row_end(a->w);
}

static void rows_of_loss(const Anatomy *a) {
  if (!a->p->problem->loss) return rows_of_cross_entropy(a);
  put(a->w, "{loss}");
  row_piece(a->w);
  put(a->w, "= ");
  put_fraction(a->w, "1", "P");
  put_sum(a, "", "{mu}", output_index(a, "c"));
  put(a->w, "{ell}(");
  put_output(a, "f", still, WHOLE);
  put(a->w, ", ");
  put_output(a, "y", still, WHOLE);
  put(a->w, "),");
  row_piece(a->w);
  put(a->w, "{quad}{ell} = ");
  put_loss_arguments(a, a->p->problem->loss, still);
  row_end(a->w);
  put_delta(a, still, WHOLE);
  row_piece(a->w);
  put(a->w, "= -{d}{ell} / {d}");
  put_output(a, "f", still, WHOLE);
  row_end(a->w);
}

void write_network(const Anatomy *a) {
  const Program *p = a->p;
  write_heading(a->w, "The network and its training");
  for (int i = 0; i < p->op_count; i++) {
    if (i == p->forward_count)
      write_prose(a->w, "Backward, derivatives of $f$ in units of $1/({gamma} N)$:");
    row_of_network(a, &p->ops[i]);
  }
  write_prose(a->w, "Initial entries, independent:");
  for (int m = 0; m < p->matrix_count; m++) row_of_initial(a, m);
  write_prose(
      a->w, p->problem->optimizer == OPT_FLOW ? "Gradient flow, to first order in a short $dt$:"
            : a->p->update.weight ? "A step of gradient descent on a minibatch, in whose mean loss "
                                    "point ${alpha}$ has the weight $w$:"
                                  : "A step of gradient descent:");
  rows_of_loss(a);
  for (int m = 0; m < p->matrix_count; m++) row_of_update(a, m);
}
