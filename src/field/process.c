/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The single-site process: what one neuron of a population sees. Gaussian fields, what the matrices
 * around it answer and learn, elementwise maps. */
#include "base/memory.h"
#include "field/symbols.h"

#include <math.h>
#include <stdlib.h>

/* Of readouts; of what is heated it decays as the initial weights do. */
static void put_source_mean(const Anatomy *a, const Matrix *m, double mean) {
  put(a->w, "%g", mean);
  if (mean != 0 && is_heated(a, m) && decays(a, m)) put(a->w, "{ }a(t)");
  put(a->w, ", ");
}

/* Noise in the weights sees inputs as they are: C is that of an entry whose scale is 1. */
static void put_seen_covariance(const Anatomy *a, int matrix) {
  const Matrix *m = &a->p->matrices[matrix];
  bool heated = is_heated(a, m);
  if (heated) {
    put_variance(a, m, 1);
    put_kernel(a, m->x, here, there, WHOLE);
    put(a->w, " + ");
  }
  put_factor(a, m->sigma * m->sigma);
  if (heated && decays(a, m)) put(a->w, "a(t)a(s){ }");
  if (heated) put(a->w, "(");
  put_seen(a, matrix, here, there);
  if (!heated) return;
  put(a->w, " - ");
  put_kernel(a, m->x, here, there, WHOLE);
  put(a->w, ")");
}

/* "~ U(mean, variance)" of one entry, times the root of the share. */
static void put_drawn(const Anatomy *a, const Matrix *m, double share) {
  put(a->w, m->law == LAW_SIGN ? "{sim} S(%g, " : "{sim} U(%g, ", sqrt(share) * m->mean);
  put_expr(a->w, expr_const(a->p->pool, share * m->sigma * m->sigma), NULL);
  put(a->w, ")");
}

/* Noise of a temperature beside initial entries that are not normal. */
static void put_added_noise(const Anatomy *a, const Op *op, double share) {
  const Matrix *m = &a->p->matrices[op->matrix];
  put(a->w, " + {GP}(0, ");
  put_factor(a, share);
  put(a->w, "[C(t,s) - ");
  if (decays(a, m))
    put_factor(a, m->sigma * m->sigma);
  else
    put(a->w, "%g", m->sigma * m->sigma);
  put(a->w, decays(a, m) ? "a(t)a(s)]" : "]");
  if (!is_unit(a, op->src[0])) {
    put(a->w, "{ }");
    put_kernel(a, op->src[0], here, there, WHOLE);
  }
  put(a->w, "),");
}

/* A source that is no Gaussian field, made of entries of a law of their own. */
static void row_of_drawn(const Anatomy *a, const Op *op, double share) {
  const Matrix *m = &a->p->matrices[op->matrix];
  bool data = op->kind == OP_APPLY && a->p->spaces[m->from].data, heated = is_heated(a, m);
  put_source(a, op, here);
  if (!data && !heated) {
    row_piece(a->w);
  } else {
    row_equals(a->w);
    if (heated && decays(a, m)) put(a->w, "a(t){ }");
    if (data) put_fraction(a->w, "1", "{sqrt}D");
    if (data) put_sum(a, "", "j", NULL);
    put(a->w, "w");
    put_below(a->w, data ? "j" : "");
    if (data) put(a->w, "{ }");
    if (data) put_entry(a, m->x, "j", here);
    if (heated)
      put_added_noise(a, op, share);
    else
      put(a->w, ",");
    row_piece(a->w);
    put(a->w, "{quad}w");
    put_below(a->w, data ? "j" : "");
    put(a->w, " ");
  }
  put_drawn(a, m, share);
  row_end(a->w);
}

/* <x x'> of what is orthogonal to all that an orthogonal matrix has met, in one step. */
static void put_rest(const Anatomy *a, int v) {
  Place other = there;
  other.time = here.time;
  put_average(a, (Field){v, here, WHOLE}, (Field){v, other, WHOLE});
  put_below(a->w, "{perp}");
}

static void row_of_source(const Anatomy *whole, const Op *op) {
  const Matrix *m = &whole->p->matrices[op->matrix];
  Program group;
  const Anatomy own = anatomy_for(whole, m, &group), *a = &own;
  double share = op->kind == OP_APPLY_T ? backward_share(a->p, m) : 1;
  bool moves = is_heated(a, m) || (is_wide_variable(a->p, op->src[0]) && !a->frozen);
  if (is_drawn(a->p, m)) return row_of_drawn(a, op, share);
  put_source(a, op, here);
  row_piece(a->w);
  put(a->w, moves && !is_orthogonal(m) ? "{sim} {GP}(" : "{sim} {N}(");
  put_source_mean(a, m, op->kind == OP_APPLY_T ? sqrt(share) * m->mean : 0);
  if (m->start && op->kind == OP_APPLY) {
    put_seen_covariance(a, op->matrix);
  } else if (is_orthogonal(m)) {
    put_variance(a, m, share);
    put_rest(a, op->src[0]);
  } else if (!is_unit(a, op->src[0])) {
    put_variance(a, m, share);
    put_kernel(a, op->src[0], here, there, WHOLE);
  } else if (is_heated(a, m)) {
    put_factor(a, share);
    put(a->w, "C(t,s)");
  } else {
    put_expr(a->w, expr_const(a->p->pool, share * m->sigma * m->sigma), NULL);
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

/* What the matrix answers to the noise of a use of it, by A or B; where it acts again, or nothing
 * moves, by the derivative itself. */
static void piece_of_answer(const Anatomy *a, const Op *op, int use, int order) {
  const Matrix *m = &a->p->matrices[op->matrix], *other = &a->p->matrices[use];
  bool forward = op->kind == OP_APPLY, again = a->frozen || acts_again(a->p, op->matrix);
  const Op *noise = op_of(a->p, use, forward ? OP_APPLY_T : OP_APPLY);
  int met = op->src[0], partner = a->same[forward ? other->y : other->x];
  if (decays(a, m) && !is_heated(a, m)) put(a->w, "a%s(t){ }", prime_of(a, m));
  double share = forward ? 1 : backward_share(a->p, m);
  if (is_heated(a, m))
    put_factor(a, share);
  else
    put_variance(a, m, share);
  if (order == WHOLE && !again) put(a->w, "{gamma}{ }");
  put_sum(a,
          a->frozen                 ? ""
          : is_moved(a, noise, met) ? "s{le}t"
                                    : "s<t",
          points_of(a, partner), a->p->variables[partner].backward ? output_index(a, "c'") : NULL);
  if (is_heated(a, m)) put_variance(a, m, 1);
  if (again) {
    put_mean_slope(a, met, WHOLE, noise);
  } else {
    put_response(a, op->matrix, forward, order == WHOLE ? WHOLE : 0);
  }
  put(a->w, "{ }");
  put_variable(a, partner, there, order == WHOLE ? WHOLE : order - 1);
}

/* What an entrywise optimizer has learned: an average over the other population of psi, times the
 * vector that the matrix meets. */
static void piece_of_entries(const Anatomy *a, const Op *op) {
  const Matrix *m = &a->p->matrices[op->matrix];
  bool forward = op->kind == OP_APPLY, wide = is_wide_matrix(a->p, m);
  bool readout = !is_wide(a->p, m->to), constant = is_unit(a, m->x) && !readout;
  double share = forward ? 1 : readout ? 1 / a->p->spaces[m->from].ratio : backward_share(a->p, m);
  bool code = is_code(a, m->x);
  put_factor(a, m->rate / (code ? 1 : m->factor) * share);
  put_steps(a, m, true, NULL);
  if (is_tied(a->p, m)) put_fraction(a->w, "1", "{sqrt}D");
  if (wide) put(a->w, "{<}");
  if (!wide && !readout && !constant && !code) put_fraction(a->w, "1", "D");
  put_letter(a, "{psi}", op->matrix);
  put(a->w, "(s)");
  if (readout || constant) return;
  put(a->w, wide ? "{ }" : " {dot} ");
  put_variable(a, op->src[0], here, WHOLE);
  if (wide) put(a->w, "{>}");
}

/* What the polar factors have learned: tables Pi between what a matrix met on both sides. As a real
 * matrix a polar factor is sum_ab y_a Pi_ab x_b^T / sqrt(N_to N_from). */
static void piece_of_polar(const Anatomy *a, const Op *op) {
  const Matrix *m = &a->p->matrices[op->matrix];
  bool forward = op->kind == OP_APPLY;
  double share = forward ? 1 : backward_share(a->p, m),
         ratio = a->p->spaces[m->to].ratio / a->p->spaces[m->from].ratio;
  put_factor(a, m->decay * m->factor * share / sqrt(ratio));
  put_steps(a, m, true, NULL);
  put_sum(a, "a,b", NULL, NULL);
  put_letter(a, "{Pi}", op->matrix);
  put_below(a->w, "ab");
  put(a->w, "(s){ }{<}");
  put_indexed(a, forward ? m->x : m->learns, forward ? "b" : "a");
  put(a->w, "{ }");
  put_variable(a, op->src[0], here, WHOLE);
  put(a->w, "{>}{ }");
  put_indexed(a, forward ? m->learns : m->x, forward ? "a" : "b");
}

static bool has_matrix_again(const Program *p) {
  bool again = false;
  for (int m = 0; m < p->matrix_count; m++) again |= acts_again(p, m);
  return again;
}

/* What initial entries of these laws are. */
static void write_laws(const Anatomy *a) {
  const Program *p = a->p;
  bool has[] = {
      [LAW_NORMAL] = false, [LAW_UNIFORM] = false, [LAW_SIGN] = false, [LAW_ORTHOGONAL] = false};
  for (int m = 0; m < p->matrix_count; m++)
    has[p->matrices[m].law] |= is_drawn(p, &p->matrices[m]) || is_orthogonal(&p->matrices[m]);
  if (has[LAW_UNIFORM])
    write_prose(a->w,
                "Independent numbers $w {sim} U(m, v)$ are uniform, of mean m and variance v.");
  if (has[LAW_SIGN])
    write_prose(a->w, "Independent numbers $w {sim} S(m, v)$ are $m + {sqrt}v$ or $m - {sqrt}v$.");
  if (has[LAW_ORTHOGONAL])
    write_prose(
        a->w,
        "An orthogonal matrix W, as it starts, is ${sqrt}v$ times a rotation, v being the variance "
        "of its entries. Of all that it has met so far ${xi}_a$ is $x$, or what it made as its "
        "transpose of $y$, and ${omega}_a$ is $W x$, or $v y$. Of what these span it makes what it "
        "made before, with $J$ the inverse of ${<}{xi}_a{ }{xi}_b{>}$ where that does not vanish; "
        "and of the rest, which is orthogonal to all ${xi}$, or as its transpose to all ${omega}$, "
        "and has the averages ${<}x x'{>}_{perp}$, a new Gaussian source.");
}

/* Whether Gaussian sources of one matrix have the covariances of what it met. */
static bool has_shared_sources(const Program *p) {
  bool any = false;
  for (int m = 0; m < p->matrix_count; m++)
    any |= acts_again(p, m) && !is_orthogonal(&p->matrices[m]);
  return any;
}

/* The column of the matrix on the inputs that an output reads is a source there, too. */
static void write_tied(const Anatomy *a, const Matrix *m) {
  if (is_drawn(a->p, m))
    write_prose(a->w, "Of the matrix on the inputs, whose column c is read by output c, $w_c$ is "
                      "$r_c$ times the readout's width in units of N.");
  else
    write_prose(a->w,
                "Of the matrix on the inputs, whose column c is read by output c, they have "
                "${<}u_{mu} r_c{>} = (1/{sqrt}D){ }x_{c{mu}}$ times it, over the readout's width "
                "in units of N.");
}

static void write_polar_table(const Anatomy *a) {
  const Update *update = &a->p->update;
  const char *share = update->momentum == 0 ? "[s' = s]{ }"
                      : update->nesterov    ? "({beta}^{s-s'+1} + [s' = s]){ }"
                                            : "{beta}^{s-s'}{ }";
  const char *scale = update_scales(update) ? "{kappa}(s'){ }" : "";
  bool outputs = output_index(a, "c"), positions = program_spreads(a->p);
  write_prose(
      a->w,
      "${Pi}(s) = G^{-1/2}{ }polar(G^{1/2} D(s){ }{Phi}^{1/2}){ }{Phi}^{-1/2}$ is what the polar "
      "factor of a matrix is between the x and g it has met: a and b are a step $s' {le} s$, a "
      "training point ${alpha}$%s%s, ${Phi}_{ab} = {<}x_a x_b{>}$, $G_{ab} = {<}g_a g_b{>}$, and "
      "D(s) has $%s%s%s{Delta}_%s(s')$ where step%s are the same.%s Powers leave out "
      "directions "
      "that vanish.",
      positions ? ", a position" : "", outputs ? ", and of g an output c" : "", share, scale,
      update->weight ? "w_{alpha}(s'){ }" : "(1/P){ }", outputs ? "{{alpha}c}" : "{alpha}",
      positions ? ", point and position" : " and point",
      update->polar.eps > 0 ? " Here n n' = 1." : "");
  if (has_matrix_again(a->p))
    write_prose(a->w, "Where a matrix acts again, a and b are a place where it acts, too: $x_b$ "
                      "and $g_a$ are what it met there, and D(s) has numbers where the places are "
                      "the same.");
}

/* What psi is made of. */
static void write_entries(const Anatomy *a) {
  const char *s = a->frozen ? "" : "(s)";
  write_prose(
      a->w,
      "${psi}(s)$ is what the optimizer makes of $O$ up to step s, with $O(s) = %s%s{sum}_{alpha} "
      "%s{Delta}_{alpha}(s){ }g_{alpha}%s{ }x_{alpha}%s$%s %s.",
      update_scales(&a->p->update) ? "{kappa}(s){ }" : "", a->p->update.weight ? "" : "(1/P) ",
      a->p->update.weight ? "w_{alpha}(s){ }" : "", s, s,
      program_spreads(a->p) || has_matrix_again(a->p)
          ? ", summed over the positions and places where the matrix acts,"
          : "",
      a->frozen ? "of a neuron and an input on its two sides, over which the averages with it run"
                : "of the neuron at hand and one of the population on the other side of the "
                  "matrix, over which the average with it runs");
}

/* What it has learned along a use. */
static void piece_of_learning(const Anatomy *a, const Op *op, int use, int order) {
  const Matrix *m = &a->p->matrices[op->matrix], *other = &a->p->matrices[use];
  bool forward = op->kind == OP_APPLY, whole = order == WHOLE;
  bool apart = is_tied(a->p, m) != is_tied(a->p, other); /* the neurons' side of it is another */
  int met = op->src[0], partner = a->same[forward != apart ? other->learns : other->x];
  bool seed = is_seed(a->p, met) && !apart;
  Place past = there;
  if (seed) past.output = here.output;
  double share = apart     ? 1 / a->p->spaces[(forward ? other : m)->from].ratio
                 : forward ? 1
                           : backward_share(a->p, m);
  put_rate(a, m, m->rate * share, whole, "", NULL);
  put_sum(a, "s<t", a->p->variables[partner].positions > 1 ? "{alpha},q" : "{alpha}",
          seed ? NULL : output_index(a, "c'"));
  put_summed_rate(a, m, "s");
  put_weight(a, past);
  put_force(a, op->matrix, past, whole ? WHOLE : 0);
  if (!is_unit(a, met) && !seed) {
    put_overlap(a, met, forward != apart ? other->x : other->learns, whole ? WHOLE : 0);
    put(a->w, "{ }");
  }
  put_variable(a, partner, past, whole ? WHOLE : order - 1);
}

/* Whether a matrix answers to the noise of a use of it. Where nothing moves, it does to that of
 * what it met as the transpose on the same way, forward or backward; the slopes of gradients with
 * what flows forward have mean zero, unless a readout has not. */
static bool answers(const Anatomy *a, const Op *op, int use) {
  bool forward = op->kind == OP_APPLY, mean = !starts_at_zero(a->p);
  if (is_orthogonal(&a->p->matrices[op->matrix])) return false;
  if (use == op->matrix && !(a->frozen && mean))
    return (forward ? a->responds_x : a->responds_y)[use];
  if (!is_wide_matrix(a->p, &a->p->matrices[use])) return false;
  const Op *noise = op_of(a->p, use, forward ? OP_APPLY_T : OP_APPLY);
  if (!a->frozen) return true;
  const Variable *v = a->p->variables;
  return noise && (mean || v[op->src[0]].backward == v[noise->dst].backward) &&
         is_moved(a, noise, op->src[0]);
}

/* What a matrix does besides its noise, along all its uses; order k of the expansion takes order
 * k - 1 of their vectors. `joint` stands before the first piece. Whether there is one. */
static bool pieces_of_drift(const Anatomy *a, const Op *op, int order, const char *joint) {
  bool forward = op->kind == OP_APPLY, any = false;
  for (int use = 0; use < a->p->matrix_count; use++) {
    const Matrix *m = &a->p->matrices[use];
    if (m->weights != a->p->matrices[op->matrix].weights) continue;
    for (int learned = 0; learned < 2; learned++) {
      int partner = !forward ? m->x : learned ? m->learns : m->y;
      bool moves = partner >= 0 && (order == WHOLE || order == 1 || a->drifts[partner]);
      bool polar = learned && is_polar(a, m), entries = learned && is_by_entries(a, m);
      if ((polar || entries) && use != op->matrix) continue;
      bool there_is = learned ? m->rate != 0 && !a->frozen : answers(a, op, use);
      if (!moves || !there_is) continue;
      row_piece(a->w);
      put(a->w, "%s ", any ? "+" : joint);
      any = true;
      if (polar || entries)
        (polar ? piece_of_polar : piece_of_entries)(a, op);
      else
        (learned ? piece_of_learning : piece_of_answer)(a, op, use, order);
    }
  }
  return any;
}

/* What an orthogonal matrix makes of what it knows: something, if it acted before in the step, or
 * in an earlier one. */
static void piece_of_known(const Anatomy *a, const Op *op) {
  const Matrix *m = &a->p->matrices[op->matrix];
  bool forward = op->kind == OP_APPLY, before = !a->frozen;
  for (const Op *other = a->p->ops; other < op; other++)
    before |= is_product(other) && a->p->matrices[other->matrix].weights == m->weights;
  if (!before) return;
  row_piece(a->w);
  put(a->w, "+ %s%s%s", decays(a, m) ? "a" : "", decays(a, m) ? prime_of(a, m) : "",
      decays(a, m) ? "(t){ }" : "");
  put_sum(a, "a,b", NULL, NULL);
  put(a->w, "{<}");
  put_variable(a, op->src[0], here, WHOLE);
  put(a->w, "{ }");
  put_letter(a, forward ? "{xi}" : "{omega}", op->matrix);
  put_below(a->w, "a");
  put(a->w, "{>}{ }");
  put_letter(a, "J", op->matrix);
  put_below(a->w, "ab");
  put(a->w, "{ }");
  put_letter(a, forward ? "{omega}" : "{xi}", op->matrix);
  put_below(a->w, "b");
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

/* Order k of a table times rows. */
static void row_of_blend(const Anatomy *a, const Op *op, int order) {
  const char *joint = "= ";
  put_variable(a, op->dst, here, order);
  for (int first = 0; first <= order; first++) {
    bool there_is =
        (first == 0 || a->drifts[op->src[0]]) && (first == order || a->drifts[op->src[1]]);
    if (!there_is) continue;
    row_piece(a->w);
    put(a->w, "%s", joint);
    joint = "+ ";
    put_blend(a, op, here, first, order - first);
  }
  row_end(a->w);
}

static void row_of_map(const Anatomy *a, const Op *op, int order) {
  const Place bare = {0}, place = order == WHOLE ? here : bare;
  if (op->kind == OP_BLEND && order != WHOLE) return row_of_blend(a, op, order);
  put_variable(a, op->dst, place, order);
  row_equals(a->w);
  if (order == WHOLE || op->kind == OP_ROWS)
    put_made(a, op, place, order);
  else
    put_map(a, op, expanded(a, op, order), place, 0, 3);
  row_end(a->w);
}

static void row_of_product(const Anatomy *whole, const Op *op, int order) {
  Program group;
  const Anatomy own = anatomy_for(whole, &whole->p->matrices[op->matrix], &group), *a = &own;
  put_variable(a, op->dst, here, order);
  if (order <= 0) {
    row_equals(a->w);
    const Matrix *m = &a->p->matrices[op->matrix];
    if (decays(a, m) && !is_heated(a, m)) put(a->w, "a%s(t){ }", prime_of(a, m));
    put_source(a, op, here);
    if (is_orthogonal(m)) piece_of_known(a, op);
  }
  bool more = order != 0 && pieces_of_drift(a, op, order, order == WHOLE ? "+" : "=");
  if (order > 0 && !more) {
    row_piece(a->w);
    put(a->w, "= 0");
  }
  row_end(a->w);
}

static void rows_of_process(const Anatomy *a, const Op *op) {
  int first = is_expanded(a) ? 0 : WHOLE, last = is_expanded(a) && a->drifts[op->dst] ? 2 : first;
  for (int order = first; order <= last; order++)
    (is_product(op) ? row_of_product : row_of_map)(a, op, order);
}

static bool lives_on(const Anatomy *a, const Op *op, int space) {
  return a->p->variables[op->dst].space == space && op->kind != OP_INPUT && op->kind != OP_SEED &&
         !is_idle(a->p, op) && a->same[op->dst] == op->dst;
}

static void write_population(const Anatomy *a, int space) {
  const Program *p = a->p;
  write_prose(a->w, "Population %s, Gaussian sources, %s:", suffix_of(p->spaces[space].name),
              has_matrix_again(p) ? "those of different matrices independent"
                                  : "independent of each other");
  for (int i = 0; i < p->op_count; i++)
    if (lives_on(a, &p->ops[i], space) && is_product(&p->ops[i])) row_of_source(a, &p->ops[i]);
  write_prose(a->w, "and its fields:");
  for (int i = 0; i < p->op_count; i++)
    if (lives_on(a, &p->ops[i], space)) rows_of_process(a, &p->ops[i]);
}

/* Whether noise has another covariance than the initial weights, whose share is then of use. */
static bool starts_apart(const Program *p) {
  bool apart = !starts_at_zero(p);
  for (int m = 0; m < p->matrix_count; m++)
    apart |= p->matrices[m].start != NULL || is_drawn(p, &p->matrices[m]);
  return apart;
}

/* Underdamped: v and w are the velocities of the shares c and a. */
static void write_inert_memory(const Anatomy *a, const char *eta) {
  const Update *update = &a->p->update;
  bool slows = update->momentum > 0;
  write_prose(
      a->w,
      "Of what step s does, the share c(t,s) is left at step t: $c(t+1,s) = c(t,s) + %s{ }v(t,s)$ "
      "with $v(t,s) = [s = t]%s%s$ for $s {le} t$, from $c(s,s) = 0$ and $v(s-1,s) = 0$; of the "
      "initial weights the share a(t): $a(t+1) = a(t) + %s{ }w(t)$ with $w(t) = %s%s$, from $a(0) "
      "= "
      "1$ and $w(-1) = 0$. In a layer of another rate that rate multiplies ${lambda}$.",
      eta, update->decay > 0 ? " - {lambda}c(t,s)" : "", slows ? " + {beta}v(t-1,s)" : "", eta,
      update->decay > 0 ? "-{lambda}a(t)" : "0", slows ? " + {beta}w(t-1)" : "");
  if (update->temperature > 0)
    write_prose(
        a->w,
        "The random part of an entry has the covariance $C(t,s) = {sigma}{squared}a(t)a(s) + "
        "2%sT{ }{sum}_{r<s,t} c(t,r)c(s,r)/%s$, with its initial variance "
        "${sigma}{squared}$. In a layer of another rate that rate multiplies T.",
        slows ? "(1 - {beta})" : "", eta_varies(a, NULL) ? "{eta}(r)" : "{eta}");
}

static void write_initial_memory(const Anatomy *a, const char *keep) {
  write_prose(a->w,
              "Of the initial weights the share a(t) is left: $a(0) = 1$, $a(t+1) = %sa(t)$. In "
              "a layer of another rate that rate multiplies ${lambda}$.%s",
              keep,
              a->p->update.polar.on ? " The shares c'(t,s) and a'(t) are those of ${eta}'$." : "");
}

/* What is left at step t of what step s did, and of the initial weights. */
static void write_memory(const Anatomy *a) {
  const Update *update = &a->p->update;
  const char *eta = eta_varies(a, NULL) ? "{eta}(t)" : "{eta}", *dt = a->p->update.flow ? "dt" : "";
  if (update->inert && (update->decay > 0 || update->temperature > 0))
    return write_inert_memory(a, eta);
  char *keep = update->decay > 0 ? mem_format("(1 - {lambda}%s%s)", eta, dt) : mem_string("");
  const char *push = update->momentum == 0 || update->polar.on ? "[s = t]"
                     : update->nesterov                        ? "({beta}^{t-s+1} + [s = t])"
                                                               : "{beta}^{t-s}";
  char *added = mem_format("%s%s{ }%s", eta, dt, push);
  write_prose(a->w,
              "Of what step s does, the share c(t,s) is left at step t: $c(t+1,s) = %sc(t,s) + %s$ "
              "for $s {le} t$, and $c(s,s) = 0$.",
              keep, added);
  if (update->temperature > 0)
    write_prose(a->w,
                "The random part of an entry has the covariance C(t,s): $C(0,0)$ is its initial "
                "variance, $C(t+1,s) = %sC(t,s)$ for $s {le} t$, and $C(t+1,t+1) = "
                "%sC(t+1,t) + 2{eta}%s%sT$. In a layer of another rate that rate multiplies "
                "${eta}$.",
                keep, keep, eta_varies(a, NULL) ? "(t)" : "", dt);
  if (update->decay > 0 && (update->temperature == 0 || starts_apart(a->p)))
    write_initial_memory(a, keep);
  free(keep);
  free(added);
}

static void write_optimizer(const Anatomy *a, const char *names) {
  bool entries = is_entrywise(a->p), polar = has_polar(a),
       memory = (has_memory(a) || a->p->update.temperature > 0) && (!a->frozen || moves_apart(a));
  if (names && (entries || polar || memory)) write_prose(a->w, "Of %s:", names);
  if (entries) write_entries(a);
  if (polar) write_polar_table(a);
  if (memory) write_memory(a);
}

void write_process(const Anatomy *a) {
  const Program *p = a->p;
  write_heading(a->w, "One neuron of each population");
  write_groups(a, write_optimizer);
  for (int s = 0; s < p->space_count; s++)
    if (p->spaces[s].kind == SPACE_WIDE) write_population(a, s);
  write_laws(a);
  if (has_shared_sources(p))
    write_prose(a->w, "Sources of one matrix that acts again, as $u$ of several $x$, have the "
                      "covariances ${<}x x'{>}$ of what it meets at any two of its places, times "
                      "the variance of an entry.");
  for (int m = 0; m < p->matrix_count; m++)
    if (is_tied(p, &p->matrices[m])) write_tied(a, &p->matrices[m]);
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
