/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The network of finite width and its training, as a program states them. */
#include "base/memory.h"
#include "field/symbols.h"

#include <stdio.h>
#include <stdlib.h>

/* The root of the number of entries that a product with the matrix sums over, into `root`: "" where
 * it is one. */
enum { ROOT = 32 };
static void root_of_sum(const Anatomy *a, const Matrix *m, char root[ROOT]) {
  const Space *from = &a->p->spaces[m->from];
  if (from->kind != SPACE_WIDE)
    snprintf(root, ROOT, "%s", from->data ? "{sqrt}D" : "");
  else if (from->ratio == 1)
    snprintf(root, ROOT, "{sqrt}N");
  else
    snprintf(root, ROOT, "{sqrt}{[}%gN{]}", from->ratio);
}

static void put_weights(const Anatomy *a, int matrix) {
  put_matrix(a, matrix);
  if (!is_wide(a->p, a->p->matrices[matrix].to) && output_index(a, "c")) put_below(a->w, "c");
}

static void put_apply(const Anatomy *a, const Op *op) {
  const Matrix *m = &a->p->matrices[op->matrix];
  bool readout = !is_wide(a->p, m->to), forward = op->kind == OP_APPLY;
  double ratio = a->p->spaces[m->from].ratio;
  char root[ROOT], *below = ratio == 1 ? mem_string("{gamma} N") : mem_format("%g{gamma} N", ratio);
  root_of_sum(a, m, root);
  if (readout && forward) put_fraction(a->w, "1", below);
  if (readout && !forward) put_factor(a, 1 / ratio);
  free(below);
  if (*root && !readout) put_fraction(a->w, "1", root);
  put_weights(a, op->matrix);
  if (!forward && !readout) put(a->w, "{top}");
  if ((!*root && !is_code(a, m->x)) || (readout && !forward)) return;
  put(a->w, readout ? " {dot} " : "{ }");
  put_variable(a, op->src[0], still, WHOLE);
}

static void row_of_network(const Anatomy *a, const Op *op) {
  if (op->kind == OP_INPUT || op->kind == OP_SEED || is_idle(a->p, op) ||
      a->same[op->dst] != op->dst)
    return;
  if (is_wide_variable(a->p, op->dst) || is_number(a->p, op->dst))
    put_variable(a, op->dst, still, WHOLE);
  else
    put_output(a, "f", still, WHOLE);
  row_equals(a->w);
  if (is_product(op))
    put_apply(a, op);
  else
    put_made(a, op, still, WHOLE);
  row_end(a->w);
}

/* The matrix, or under this letter its direction of descent or its velocity. */
static void put_moved(const Anatomy *a, int matrix, const char *letter) {
  if (!letter) return put_weights(a, matrix);
  put_letter(a, letter, matrix);
  if (is_readout(a->p, matrix) && output_index(a, "c")) put_below(a->w, "c");
}

/* What decay leaves of the matrix. */
static void put_kept(const Anatomy *a, int matrix) {
  const Matrix *m = &a->p->matrices[matrix];
  if (decays(a, m) && !a->p->update.inert) {
    put(a->w, "(1 - {lambda}{ }");
    if (m->decay != 1) put(a->w, "%g{ }", m->decay);
    put(a->w, "%s%s%s){ }", eta_of(a, m), eta_varies(a, m) ? "(t)" : "",
        a->p->update.flow ? "{ }dt" : "");
  }
  put_weights(a, matrix);
}

/* "W <- ", what is left of it, and " + ". */
static void begin_step(const Anatomy *a, int matrix) {
  put_weights(a, matrix);
  row_piece(a->w);
  put(a->w, "{to} ");
  put_kept(a, matrix);
  put(a->w, " + ");
}

/* What belongs to a matrix under this letter keeps the part beta of itself: "V <- beta V + ". */
static void begin_memory(const Anatomy *a, int matrix, const char *letter, const char *beta) {
  put_moved(a, matrix, letter);
  row_piece(a->w);
  put(a->w, "{to} %s{ }", beta);
  put_moved(a, matrix, letter);
  put(a->w, " + ");
}

/* 1 / (P below), without P where points have their own weights. */
static void put_direction_rate(const Anatomy *a, const char *below) {
  char *bottom = mem_format("%s%s", a->p->update.weight ? "" : "P", below);
  const char *divisor = bottom + (*bottom == ' ');
  if (*divisor) put_fraction(a->w, "1", divisor);
  free(bottom);
}

/* Underdamped, decay and noise enter the velocity, of which a step makes rate eta gamma times as
 * much. */
static void put_friction(const Anatomy *a, int matrix) {
  const Matrix *m = &a->p->matrices[matrix];
  if (!a->p->update.inert) return;
  if (decays(a, m)) {
    row_piece(a->w);
    put(a->w, "- ");
    put_factor(a, m->decay / m->rate);
    put_fraction(a->w, "{lambda}", "{gamma}");
    put_weights(a, matrix);
  }
  if (!is_heated(a, m)) return;
  row_piece(a->w);
  put(a->w, "+ ");
  put_fraction(a->w, "1", "{gamma}");
  put(a->w, "{sqrt}{[}2%sT / ", a->p->update.momentum > 0 ? "(1 - {beta})" : "{ }");
  put_factor(a, m->rate * standard_ratio(a->p));
  put(a->w, "{eta}%s{]}{ }{Xi}", eta_varies(a, m) ? "(t)" : "");
}

static void put_noise(const Anatomy *a, const Matrix *m) {
  if (!is_heated(a, m) || a->p->update.inert) return;
  row_piece(a->w);
  put(a->w, "+ {sqrt}{[}");
  put_factor(a, 2 * m->rate / standard_ratio(a->p));
  put(a->w, "{eta}%s%s{ }T{]}{ }{Xi}", eta_varies(a, m) ? "(t)" : "",
      a->p->update.flow ? "{ }dt" : "");
}

/* rate eta(t) gamma, or eta(t) alone where steps are those of h = W x. */
static void put_step(const Anatomy *a, const Matrix *m, double rate, bool bare) {
  put_factor(a, rate);
  put(a->w, "%s%s%s{ }", eta_of(a, m), eta_varies(a, m) ? "(t)" : "", bare ? "" : "{gamma}");
}

/* In the standard parameterization, whose weights are those of h = W x and f = w . x. */
static bool is_standard(const Anatomy *a) {
  return a->p->problem->parameterization == PARAM_STANDARD;
}

static void rows_of_velocity(const Anatomy *a, int matrix) {
  const Matrix *m = &a->p->matrices[matrix];
  bool ahead = a->p->update.nesterov, polar = is_polar(a, m);
  char root[ROOT] = "";
  if (polar) root_of_sum(a, m, root);
  if (ahead) {
    begin_memory(a, matrix, "V", "{beta}");
    put_moved(a, matrix, "O");
    row_end(a->w);
  }
  begin_step(a, matrix);
  put_step(a, m, polar ? m->decay * m->factor : m->rate, polar && is_standard(a));
  put(a->w, "%s%s", root, polar ? " polar(" : ahead ? "(" : "");
  if (ahead) {
    put_moved(a, matrix, "O");
    put(a->w, " + {beta}{ }");
  }
  put_moved(a, matrix, "V");
  if (ahead || polar) put(a->w, ")");
  put_noise(a, m);
  row_end(a->w);
}

/* Sum of Delta g x^T over the uses of a matrix. */
static void put_direction(const Anatomy *a, int matrix) {
  bool readout = is_readout(a->p, matrix), first = true, again = acts_again(a->p, matrix);
  const Place at = {.point = there.point, .output = "c", .position = there.position};
  const char *positions = a->p->variables[a->p->matrices[matrix].x].positions > 1 ? "q" : NULL;
  put_sum(a, positions ? "{alpha},q" : "", positions ? NULL : "{alpha}",
          readout ? NULL : output_index(a, "c"));
  put_weight(a, at);
  put_force(a, matrix, at, WHOLE);
  if (again) put(a->w, "(");
  for (int k = matrix; k < a->p->matrix_count; k++) {
    const Matrix *m = &a->p->matrices[k];
    if (m->weights != matrix || m->x < 0) continue;
    bool constant = is_unit(a, m->x) && !readout;
    if (!first) put(a->w, " + ");
    first = false;
    if (is_tied(a->p, m)) {
      put_factor(a, 1 / a->p->spaces[m->from].ratio);
      put(a->w, "{sqrt}D{ }");
      put_variable(a, m->x, at, WHOLE);
      put(a->w, "{ }");
      put_variable(a, m->y, at, WHOLE);
      put(a->w, "{top}");
      continue;
    }
    if (!readout) put_variable(a, m->learns, at, WHOLE);
    if (!readout && !constant) put(a->w, "{ }");
    if (!constant) put_variable(a, m->x, at, WHOLE);
    if (!readout && !constant) put(a->w, "{top}");
  }
  if (again) put(a->w, ")");
}

/* A moment of O, which takes a share of a power of it in every step. */
static void row_of_moment(const Anatomy *a, int matrix, const char *letter, const char *beta,
                          const char *power) {
  begin_memory(a, matrix, letter, beta);
  put(a->w, "(1 - %s){ }%s", beta, *power ? "(" : "");
  put_moved(a, matrix, "O");
  put(a->w, "%s", power);
  row_end(a->w);
}

/* Lion has the sign of a mixture of O with what it remembers, which it then makes of O anew. */
static bool is_mixed(const Psi *psi) {
  return psi->kind == PSI_SIGN && (psi->beta1 < psi->beta2 || psi->beta1 > psi->beta2);
}

/* What an optimizer makes of the moments, entry by entry. */
static void put_psi_of_moments(const Anatomy *a, int matrix) {
  const Psi *psi = &a->p->update.psi;
  const char *mean = psi->beta1 != 0 ? "M" : "O";
  bool mixed = is_mixed(psi);
  if (psi->kind == PSI_SIGN) put(a->w, mixed ? "sign({beta}_1{ }" : "sign(");
  put_moved(a, matrix, mean);
  if (mixed) {
    put(a->w, " + (1 - {beta}_1){ }");
    put_moved(a, matrix, "O");
  }
  if (psi->kind == PSI_SIGN) put(a->w, ")");
  if (psi->kind != PSI_ROOT) return;
  put(a->w, psi->corrected ? " / (1 - {beta}_1^{t+1}) / ({sqrt}{[}" : " / ({sqrt}{[}");
  put_moved(a, matrix, "Q");
  put(a->w, psi->corrected ? " / (1 - {beta}_2^{t+1}){]} + {epsilon})" : "{]} + {epsilon})");
}

static void rows_of_entrywise(const Anatomy *a, int matrix) {
  const Matrix *m = &a->p->matrices[matrix];
  bool readout = is_readout(a->p, matrix);
  char root[ROOT] = "";
  if (!readout) root_of_sum(a, m, root);
  put_moved(a, matrix, "O");
  row_equals(a->w);
  double factor = is_code(a, m->x) ? 1 : m->factor; /* its entries are numbers that are added */
  bool standard = is_standard(a);
  double ratio = standard_ratio(a->p), units = !readout   ? ratio
                                               : standard ? 1
                                                          : 1 / a->p->spaces[m->from].ratio;
  put_factor(a, factor * units);
  if (standard && !readout) put(a->w, "{gamma}{ }");
  put_direction_rate(a, "");
  put_direction(a, matrix);
  row_end(a->w);
  bool mixed = is_mixed(&a->p->update.psi);
  if (a->p->update.psi.beta1 != 0 && !mixed) row_of_moment(a, matrix, "M", "{beta}_1", "");
  if (a->p->update.psi.kind == PSI_ROOT) row_of_moment(a, matrix, "Q", "{beta}_2", "){squared}");
  begin_step(a, matrix);
  put_step(a, m, m->rate / (factor * ratio), standard && !readout);
  if (*root) put_fraction(a->w, "1", root);
  put_psi_of_moments(a, matrix);
  row_end(a->w);
  if (mixed) row_of_moment(a, matrix, "M", "{beta}_2", "");
}

static void row_of_update(const Anatomy *whole, int matrix) {
  const Matrix *m = &whole->p->matrices[matrix];
  if (m->rate == 0 || m->weights != matrix) return;
  Program group;
  const Anatomy own = anatomy_for(whole, m, &group), *a = &own;
  if (is_by_entries(a, m)) return rows_of_entrywise(a, matrix);
  bool readout = is_readout(a->p, matrix), polar = is_polar(a, m), inert = a->p->update.inert,
       velocity = polar || inert || (a->p->update.momentum > 0 && !a->p->update.polar.on),
       ahead = velocity && a->p->update.nesterov;
  char root[ROOT] = "";
  if (!readout && !polar) root_of_sum(a, m, root);
  char *below = mem_format(*root ? " %s" : "%s", root);
  if (!velocity) {
    begin_step(a, matrix);
  } else if (!ahead && (polar || a->p->update.momentum > 0)) {
    begin_memory(a, matrix, "V", "{beta}");
  } else {
    put_moved(a, matrix, ahead ? "O" : "V");
    row_piece(a->w);
    put(a->w, ahead ? "= " : "{to} ");
  }
  double share = readout ? 1 / a->p->spaces[m->from].ratio : 1;
  if (velocity) {
    put_factor(a, share);
    put_direction_rate(a, below);
  } else {
    put_rate(a, m, m->rate * share, true, below, "t");
  }
  put_direction(a, matrix);
  put_friction(a, matrix);
  if (!velocity) put_noise(a, m);
  row_end(a->w);
  free(below);
  if (velocity) rows_of_velocity(a, matrix);
}

static void row_of_initial(const Anatomy *a, int matrix) {
  const Matrix *m = &a->p->matrices[matrix];
  char root[ROOT];
  if (m->weights != matrix) return;
  root_of_sum(a, m, root);
  put_matrix(a, matrix);
  put_below(a->w, *root && is_wide(a->p, m->to) ? "ij" : "i");
  row_piece(a->w);
  put(a->w, "{sim} {N}(%g, ", m->mean);
  if (m->start) {
    put_factor(a, m->sigma * m->sigma);
    put(a->w, "{sigma}");
    put_below(a->w, "j");
    put_above(a->w, "2");
  } else {
    put_expr(a->w, expr_const(a->p->pool, m->sigma * m->sigma), NULL);
  }
  put(a->w, ")");
  if (m->law != LAW_NORMAL)
    put_words(a->w, m->law == LAW_ORTHOGONAL ? ", of an orthogonal matrix"
                    : m->law == LAW_SIGN     ? ", or signs of this variance"
                                             : ", or uniform of this variance");
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

/* Targets stay. */
static Place timeless(Place place) {
  place.time = NULL;
  return place;
}

static void put_loss_arguments(const Anatomy *a, const Expr *e, Place place) {
  char *names[2];
  for (int i = 0; i < 2; i++) {
    Aside aside;
    aside_begin(a->w, &aside);
    put_output(a, i ? "y" : "f", i ? timeless(place) : place, WHOLE);
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
  put_exponential(a, (Place){.point = place.point, .output = "k", .time = place.time});
}

/* y_c - sum_k y_k softmax_c, with targets of sum 1 */
static void put_softmax_delta(const Anatomy *a, Place place) {
  put_output(a, "y", timeless(place), WHOLE);
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
  row_equals(a->w);
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
  row_equals(a->w);
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

static void write_polar(const Anatomy *a, const char *names) {
  const Polar *polar = &a->p->update.polar;
  if (!has_polar(a)) return;
  if (names) write_prose(a->w, "Of %s:", names);
  char *size = polar->eps > 0
                   ? mem_format("$s / {sqrt}{[}s{squared} + %g n n'{]}$ in the place of $s$, for n "
                                "rows and n' columns",
                                polar->eps * polar->eps)
                   : mem_string(polar->exact ? "1" : "near 1, by Newton-Schulz steps");
  write_prose(a->w, "polar(V) has the singular vectors of V and singular values %s.", size);
  free(size);
}

/* What scales all gradients of a step. */
static void write_scale(const Anatomy *a) {
  const Update *update = &a->p->update;
  put(a->w, "{kappa}");
  row_piece(a->w);
  if (update->normalized)
    put(a->w, "= 1 / n,");
  else
    put(a->w, "= min(1, %g / n),", update->clip);
  row_piece(a->w);
  put(a->w, "{quad}n = {gamma}{ }{sqrt}N{ }|{d}{loss} / {d}W|");
  put_words(a->w, ", over all trained entries");
  row_end(a->w);
}

static void write_draws(const Anatomy *a) {
  write_prose(
      a->w, "Numbers ${N}(0, 1)$ are drawn anew for every neuron, point and step; $train_{mu}$ is "
            "1 at training points, which alone lose neurons, and 0 at test points.");
}

static bool has_scales(const Program *p) {
  bool any = false;
  for (int m = 0; m < p->matrix_count; m++) any |= p->matrices[m].start != NULL;
  return any;
}

static void write_training(const Anatomy *a) {
  const Program *p = a->p;
  if (p->problem->optimizer == OPT_FLOW)
    write_prose(a->w, "Gradient flow, to first order in a short $dt$:");
  else
    write_prose(a->w, "A step of %s%s:",
                p->update.inert      ? "underdamped dynamics"
                : p->group_count     ? "the optimizers, whose symbols are those of each matrix"
                : p->update.polar.on ? "the optimizer"
                : is_entrywise(p)    ? "the optimizer, entry by entry"
                                     : "gradient descent",
                p->update.weight
                    ? " on a minibatch, in whose mean loss point ${alpha}$ has the weight $w$"
                    : "");
  rows_of_loss(a);
  if (update_scales(&p->update)) write_scale(a);
  for (int m = 0; m < p->matrix_count; m++) row_of_update(a, m);
  if (p->update.average > 0)
    write_prose(a->w,
                "Averages of the weights, behind every step: $A {to} %g A + %g W$, from $A = W$.",
                p->update.average, 1 - p->update.average);
  write_groups(a, write_polar);
  if (p->update.temperature > 0)
    write_prose(a->w, "${Xi}$ has independent normal entries of variance 1, fresh in every step.");
}

void write_network(const Anatomy *a) {
  const Program *p = a->p;
  write_heading(a->w, "The network and its training");
  for (int i = 0; i < p->op_count; i++) {
    if (i == p->forward_count)
      write_prose(a->w, "Backward, derivatives of $f$ in units of $1/({gamma} N)$%s:",
                  program_averages(p) ? ", by averages of $1/{gamma}$" : "");
    if (i == p->gradient_count) write_prose(a->w, "Learning rule, in place of gradients:");
    row_of_network(a, &p->ops[i]);
  }
  if (program_draws(p)) write_draws(a);
  if (p->couples)
    write_prose(a->w, "Points depend on each other: what flows backward is the derivative of all "
                      "outputs, each times its ${Delta}$.");
  write_prose(a->w, "Initial entries, independent%s:",
              has_scales(p) ? ", with the standard deviations ${sigma}_j$ that the layer gives "
                              "its inputs j"
                            : "");
  for (int m = 0; m < p->matrix_count; m++) row_of_initial(a, m);
  write_training(a);
}
