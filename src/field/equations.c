/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The walk over a program that writes its theory: one row for each op, whatever the architecture. A
 * matrix W between populations that meets x forward and y backward acts as
 *     W x   = u + (responses of x) y + (what W has learned: kernels of x) y
 *     W^T y = r + (responses of y) x + (kernels of y) x
 * with Gaussian fields u and r whose covariances are the kernels of x and y. */
#include "field/equations.h"
#include "base/memory.h"
#include "field/symbols.h"

#include <math.h>
#include <stdlib.h>

/* ---- order parameters ---- */

static void put_expansion(const Anatomy *a, int v) {
  static const int orders[3][2] = {{1, 1}, {0, 2}, {2, 0}};
  put_average(a, (Field){v, here, 0}, (Field){v, there, 0});
  for (int i = 0; i < 3 && a->drifts[v]; i++) {
    row_piece(a->w);
    put(a->w, "+ {gamma}");
    put_above(a->w, "2");
    put_average(a, (Field){v, here, orders[i][0]}, (Field){v, there, orders[i][1]});
  }
}

static void row_of_kernel(const Anatomy *a, int v) {
  bool seed = is_seed(a->p, v);
  if ((is_unit(a, v) && !seed) || is_code(a, v)) return;
  put_kernel_name(a, v, here, there, WHOLE);
  row_equals(a->w);
  if (seed) {
    if (is_unit(a, v))
      put(a->w, "1");
    else
      put_kernel(a, v, here, there, WHOLE);
  } else if (!is_wide_variable(a->p, v)) {
    put_fraction(a->w, "1", "D");
    put_variable(a, v, here, WHOLE);
    put(a->w, " {dot} ");
    put_variable(a, v, there, WHOLE);
    put_words(a->w, ", given");
  } else if (is_expanded(a)) {
    put_expansion(a, v);
  } else {
    put_average(a, (Field){v, here, WHOLE}, (Field){v, there, WHOLE});
  }
  row_end(a->w);
}

/* What the initial entries of a matrix see of the inputs. */
static void row_of_seen(const Anatomy *a, int matrix) {
  int x = a->p->matrices[matrix].x;
  put_seen(a, matrix, here, there);
  row_equals(a->w);
  put_fraction(a->w, "1", "D");
  put_sum(a, "", "j", NULL);
  put(a->w, "{sigma}");
  put_below(a->w, "j");
  put_above(a->w, "2");
  put(a->w, "{ }");
  put_entry(a, x, "j", here);
  put(a->w, "{ }");
  put_entry(a, x, "j", there);
  put_words(a->w, ", given");
  row_end(a->w);
}

static void row_of_response(const Anatomy *a, int matrix, bool x_side) {
  const Matrix *m = &a->p->matrices[matrix];
  const Op *noise = op_of(a->p, matrix, x_side ? OP_APPLY_T : OP_APPLY);
  int order = is_expanded(a) ? 1 : WHOLE, own = x_side ? m->x : m->y;
  put_response(a, matrix, x_side, is_expanded(a) ? 0 : WHOLE);
  row_equals(a->w);
  if (order == WHOLE) put_fraction(a->w, "1", "{gamma}");
  put_mean_slope(a, own, order, noise);
  put(a->w, ",");
  row_piece(a->w);
  put(a->w, is_moved(a, noise, own) ? "{quad}s {le} t" : "{quad}s < t");
  row_end(a->w);
}

/* Nothing is met by what never acts on that side. */
static bool met_before(const Anatomy *a, int matrix, int v) {
  if (v < 0) return true;
  for (int k = 0; k < matrix; k++) {
    const Matrix *m = &a->p->matrices[k];
    if ((m->x >= 0 && a->same[m->x] == a->same[v]) || (m->y >= 0 && a->same[m->y] == a->same[v]))
      return true;
  }
  return false;
}

/* Averages in layers, what follows of them, and their adjoints. */
static void write_numbers(const Anatomy *a) {
  if (program_averages(a->p) && !a->p->couples)
    write_prose(a->w, "Averages in layers, numbers for each point%s:",
                program_compares(a->p) ? " or each pair of its positions" : "");
  for (int i = 0; i < a->p->op_count; i++) {
    const Op *op = &a->p->ops[i];
    if (!is_number(a->p, op->dst) || is_idle(a->p, op)) continue;
    put_variable(a, op->dst, here, WHOLE);
    row_equals(a->w);
    put_made(a, op, here, WHOLE);
    row_end(a->w);
  }
}

static void write_order_parameters(const Anatomy *a) {
  const Program *p = a->p;
  bool responses = false, constant = false, codes = false;
  write_heading(a->w, "Order parameters");
  write_prose(
      a->w,
      a->frozen
          ? "Averages over the neurons of a population at initialisation, which nothing moves:"
          : "Averages over the neurons of a population, that is over its single-site process:");
  for (int m = 0; m < p->matrix_count; m++) {
    if (!met_before(a, m, p->matrices[m].x)) row_of_kernel(a, p->matrices[m].x);
    if (p->matrices[m].start && p->matrices[m].weights == m) row_of_seen(a, m);
    bool code = p->matrices[m].x >= 0 && is_code(a, p->matrices[m].x);
    const Space *from = &p->spaces[p->matrices[m].from];
    codes |= code;
    constant |= from->kind == SPACE_INPUT && !from->data && !code;
  }
  for (int m = 0; m < p->matrix_count; m++)
    if (!met_before(a, m, p->matrices[m].y)) row_of_kernel(a, p->matrices[m].y);
  if (constant) write_prose(a->w, "The constant input of the biases has kernel 1.");
  if (codes)
    write_prose(a->w, "The unit vectors $e_p$ of positions have the kernel ${delta}_{pq}$.");
  write_numbers(a);
  for (int m = 0; m < p->matrix_count; m++)
    responses |= !acts_again(p, m) && (a->responds_x[m] || a->responds_y[m]);
  if (responses)
    write_prose(a->w,
                "Responses to the noise of a matrix that is met on both sides by populations:");
  for (int m = 0; m < p->matrix_count; m++) {
    if (acts_again(p, m)) continue;
    if (a->responds_x[m]) row_of_response(a, m, true);
    if (a->responds_y[m]) row_of_response(a, m, false);
  }
}

/* ---- tangent kernel, output ---- */

static void put_tangent_name(const Anatomy *a, const char *times) {
  const char *c = output_index(a, "c");
  put(a->w, "K");
  put_below(a->w, c ? "{mu}c,{alpha}c'" : "{mu}{alpha}");
  if (!a->frozen) put(a->w, "(%s)", times);
}

/* Whether the neurons' side of one use is that of the unit vectors of the other. */
static bool is_apart(const Anatomy *a, const Matrix *m, const Matrix *n) {
  return is_tied(a->p, m) != is_tied(a->p, n);
}

static double tangent_rate(const Anatomy *a, const Matrix *m, const Matrix *n) {
  return m->rate * (is_apart(a, m, n) ? 1 : tangent_share(a->p, m));
}

/* What a pair of uses of a matrix adds, but for its rate. */
static void put_tangent(const Anatomy *a, const Matrix *m, const Matrix *n) {
  if (a->p->variables[m->y].positions > 1) put_sum(a, "", "p,q", NULL);
  if (is_apart(a, m, n)) {
    bool tied = is_tied(a->p, m);
    put_overlap(a, tied ? m->x : m->y, tied ? n->learns : n->x, WHOLE);
    put(a->w, "{ }");
    put_overlap(a, tied ? m->y : m->x, tied ? n->x : n->learns, WHOLE);
    return;
  }
  bool readout = !is_wide(a->p, m->to), unit = readout && is_unit(a, m->y);
  if (!unit) put_overlap(a, m->y, n->learns, WHOLE);
  if (!unit && !is_unit(a, m->x)) put(a->w, "{ }");
  if (!is_unit(a, m->x)) put_overlap(a, m->x, n->x, WHOLE);
}

/* What stands in for a gradient does not correlate with it at initialisation. */
static bool is_tangent(const Anatomy *a, const Matrix *m, const Matrix *n) {
  bool apart = a->frozen && n->learns != n->y;
  return m->weights == n->weights && m->rate != 0 && m->x >= 0 && n->x >= 0 && !apart;
}

static void row_of_tangent(const Anatomy *a) {
  const Matrix *matrices = a->p->matrices;
  int count = a->p->matrix_count;
  bool first = true;
  put_tangent_name(a, "t,s");
  for (int i = 0; i < count * count; i++) {
    const Matrix *m = &matrices[i / count], *n = &matrices[i % count];
    if (!is_tangent(a, m, n)) continue;
    row_piece(a->w);
    put(a->w, first ? "= " : "+ ");
    first = false;
    put_factor(a, tangent_rate(a, m, n));
    put_tangent(a, m, n);
  }
  if (first) {
    row_piece(a->w);
    put(a->w, "= 0");
  }
  row_end(a->w);
}

static Place start_of(Place place) {
  place.time = "0";
  return place;
}

/* The averages over the readouts' two fields, with `joint` before the first and `sign` before the
 * others. */
static void pieces_of_output(const Anatomy *a, Place place, const char *joint, const char *sign) {
  for (int k = 0; k < a->p->matrix_count; k++) {
    if (!is_readout(a->p, k)) continue;
    char *ratio = mem_format("%g", a->p->spaces[a->p->matrices[k].from].ratio);
    row_piece(a->w);
    put(a->w, "%s ", joint);
    joint = sign;
    put_fraction(a->w, ratio, "{gamma}");
    put_average(a, (Field){op_of(a->p, k, OP_APPLY_T)->dst, place, WHOLE},
                (Field){a->p->matrices[k].x, place, WHOLE});
    free(ratio);
  }
}

static void put_tangent_sum(const Anatomy *a, const char *time) {
  put_sum(a, "", "{alpha}", output_index(a, "c'"));
  const Place past = {.point = there.point, .output = there.output, .time = time},
              start = start_of(here);
  put_weight(a, past);
  put_tangent_name(a, "t,t");
  put(a->w, "{ }");
  put_delta(a, past, WHOLE);
  put(a->w, ",");
  row_piece(a->w);
  put(a->w, "{quad}");
  put_output(a, "f", start, WHOLE);
  if (starts_at_zero(a->p) || a->p->problem->centered)
    put(a->w, " = 0");
  else
    pieces_of_output(a, start, "=", "+");
}

/* Frozen kernels under momentum: every step of the past moves f by its share. */
static void row_of_past(const Anatomy *a) {
  put_output(a, "f", here, WHOLE);
  row_equals(a->w);
  put_rate(a, NULL, 1, false, "", NULL);
  put_sum(a, "s<t", "{alpha}", output_index(a, "c'"));
  put_summed_rate(a, NULL, "s");
  put_weight(a, there);
  put_tangent_name(a, "t,s");
  put(a->w, "{ }");
  put_delta(a, there, WHOLE);
  row_end(a->w);
  write_prose(a->w,
              a->p->update.nesterov
                  ? "with $c(t+1,s) = c(t,s) + {eta}(t)({beta}^{t-s+1} + [s = t])$ for $s {le} t$ "
                    "and $c(s,s) = 0$."
                  : "with $c(t+1,s) = c(t,s) + {eta}(t){ }{beta}^{t-s}$ for $s {le} t$ and "
                    "$c(s,s) = 0$.");
}

static void row_of_increment(const Anatomy *a) {
  put_output(a, "f", (Place){.point = here.point, .output = here.output, .time = "t+1"}, WHOLE);
  row_equals(a->w);
  put_output(a, "f", here, WHOLE);
  row_piece(a->w);
  put(a->w, "+ ");
  put_rate(a, NULL, 1, false, "", "t");
  put_tangent_sum(a, "t");
  row_end(a->w);
}

/* ---- steps of matrices in the lazy limit ---- */

/* By gradients: a pair of uses of a matrix. */
static void piece_by_gradients(const Anatomy *a, const Matrix *m, const Matrix *n) {
  put_rate(a, m, tangent_rate(a, m, n), false, "", NULL);
  put_sum(a, "s<t", "{alpha}", output_index(a, "c'"));
  put_summed_rate(a, m, "s");
  put_weight(a, there);
  put_delta(a, there, WHOLE);
  put(a->w, "{ }");
  put_tangent(a, m, n);
}

static const char *positions_of(const Anatomy *a, const Matrix *m) {
  return a->p->variables[m->y].positions > 1 ? "p" : NULL;
}

/* By psi, averaged over the neurons on both sides. */
static void piece_by_entries(const Anatomy *a, const Matrix *m) {
  bool wide = is_wide_matrix(a->p, m), readout = !is_wide(a->p, m->to),
       constant = is_unit(a, m->x) && !readout, code = is_code(a, m->x);
  double share = readout ? 1 : a->p->spaces[m->to].ratio;
  put_factor(a, m->rate / (code ? 1 : m->factor) * share);
  put_steps(a, m, false, positions_of(a, m));
  if (is_tied(a->p, m)) put_fraction(a->w, "1", "{sqrt}D");
  if (!wide && !readout && !constant && !code) put_fraction(a->w, "1", "D");
  put(a->w, "{<}");
  if (!readout) put_variable(a, m->y, here, WHOLE);
  if (!readout) put(a->w, "{ }");
  put_letter(a, "{psi}", m->weights);
  if (readout && output_index(a, "c")) put_below(a->w, "c");
  put(a->w, "(s)");
  if (!constant) put(a->w, wide || readout ? "{ }" : " {dot} ");
  if (!constant) put_variable(a, m->x, here, WHOLE);
  put(a->w, "{>}");
}

/* By polar factors. */
static void piece_by_polar(const Anatomy *a, const Matrix *m) {
  double to = a->p->spaces[m->to].ratio, from = a->p->spaces[m->from].ratio;
  put_factor(a, m->decay * m->factor * sqrt(to * from));
  put_steps(a, m, false, positions_of(a, m));
  put_sum(a, "a,b", NULL, NULL);
  put_letter(a, "{Pi}", m->weights);
  put_below(a->w, "ab");
  put(a->w, "(s)");
  for (int side = 0; side < 2; side++) {
    put(a->w, "{ }{<}");
    put_indexed(a, side ? m->x : m->learns, side ? "b" : "a");
    put(a->w, "{ }");
    put_variable(a, side ? m->x : m->y, here, WHOLE);
    put(a->w, "{>}");
  }
}

/* Where f is linear in the weights it gains <g dW x> of every use of a matrix. */
static void row_of_moves(const Anatomy *whole) {
  const Program *p = whole->p;
  const char *joint = "= ";
  put_output(whole, "f", here, WHOLE);
  for (int i = 0; i < p->matrix_count * p->matrix_count; i++) {
    const Matrix *m = &p->matrices[i / p->matrix_count], *n = &p->matrices[i % p->matrix_count];
    Program group;
    const Anatomy own = anatomy_for(whole, m, &group), *a = &own;
    bool polar = is_polar(a, m), whole_matrix = polar || is_by_entries(a, m);
    if (whole_matrix ? m != n || m->rate == 0 || m->x < 0 : !is_tangent(a, m, n)) continue;
    row_piece(a->w);
    put(a->w, "%s", joint);
    joint = "+ ";
    if (whole_matrix)
      (polar ? piece_by_polar : piece_by_entries)(a, m);
    else
      piece_by_gradients(a, m, n);
  }
  if (*joint == '=') row_equals(whole->w);
  if (*joint == '=') put(whole->w, "0");
  row_end(whole->w);
}

/* Gradient flow, for a time tau. */
static void row_of_flow(const Anatomy *a) {
  put(a->w, "d");
  put_output(a, "f", still, WHOLE);
  put(a->w, "/d{tau}");
  row_equals(a->w);
  put_fraction(a->w, eta_varies(a, NULL) ? "{eta}({tau})" : "{eta}", "P");
  put_tangent_sum(a, a->frozen ? NULL : "t");
  put(a->w, ",{quad} {tau} = t{ }dt");
  row_end(a->w);
}

/* Less what it is at the start, where that is not zero and the output is centred. */
static void row_of_average_output(const Anatomy *a) {
  bool less = !starts_at_zero(a->p) && a->p->problem->centered;
  put_output(a, "f", here, WHOLE);
  pieces_of_output(a, here, "=", "+");
  if (less) pieces_of_output(a, start_of(here), "-", "-");
  row_end(a->w);
}

/* Steps of their own size, whatever the tangent kernel. */
static bool has_steps(const Anatomy *a) {
  return a->p->update.temperature > 0 || !follows_gradients(a->p);
}

/* n^2 of the gradient, by the tangent kernel where that has all matrices at one rate. */
static void row_of_norm(const Anatomy *a) {
  const Place other = {.point = there.point, .output = there.output, .time = here.time};
  const char *outputs = output_index(a, "c,c'");
  put(a->w, "n(t)");
  put_above(a->w, "2");
  row_equals(a->w);
  if (!a->p->update.weight) put_fraction(a->w, "1", "P{squared}");
  put_sum(a, "", "{mu},{alpha}", outputs);
  put_share(a, here);
  put_delta(a, here, WHOLE);
  put(a->w, "{ }");
  put_share(a, other);
  put_delta(a, other, WHOLE);
  put(a->w, "{ }");
  put_tangent_name(a, "t,t");
  row_end(a->w);
  if (!tangent_is_norm(a->p))
    write_prose(a->w,
                "with, in this row, the kernel $K$ of what the weights learn: every matrix at "
                "rate 1, and $g$ of the learning rule on both sides.");
}

/* What averages of the weights make of the fields. */
static void write_averages(const Anatomy *a) {
  double keep = a->p->update.average;
  if (a->frozen)
    write_prose(a->w,
                "Where $f$ is linear in the weights f_ema is the average of $f$ that theirs is: "
                "f_ema at t is $%g{ }{sum}_{0<s{le}t} %g^{t-s}{ }f(s)$.",
                1 - keep, keep);
  else
    write_prose(
        a->w,
        "The averages of the weights are $A(t) = %g^t{ }W(0) + %g{ }{sum}_{0<s{le}t} %g^{t-s}{ "
        "}W(s)$. "
        "The network of these has fields of its own, whose $A x$ is the same average over $s$ of "
        "what "
        "$W(s)$ makes of its $x$: the source $u$, with the covariance ${<}x x'{>}$ of both kinds "
        "of "
        "fields, and the sums above, at time s, with this $x$ in their kernels and responses. From "
        "its "
        "fields at time t follows f_ema as f from those of the weights.",
        keep, 1 - keep, keep);
}

static void write_outputs(const Anatomy *a) {
  bool flow = a->p->update.flow, plain = !has_memory(a) && !a->p->update.weight;
  write_heading(a->w, a->p->couples ? "Output" : "Tangent kernel and output");
  if (!a->p->couples) row_of_tangent(a);
  if (a->closure == CLOSURE_FULL || (is_expanded(a) && has_memory(a))) {
    row_of_average_output(a);
    row_of_delta(a, here);
    if (is_expanded(a))
      write_prose(a->w, "This average, too, is kept to order ${gamma}{squared}$.");
    bool others = a->p->couples || update_scales(&a->p->update) || program_draws(a->p);
    if (!plain || has_steps(a) || others || a->p->group_count) return;
    write_prose(
        a->w,
        flow ? "This $f$ moves by the tangent kernel, $df/d{tau} = ({eta}/P) {sum} K {Delta}$ with "
               "${tau} = t{ }dt$, and sums over $s$ with $dt$ are integrals over time."
             : "This $f$ is exact for steps of any size; its increments are those of the tangent "
               "kernel, $({eta}/P) {sum} K {Delta}$, up to order ${eta}{squared}$.");
    return;
  }
  (moves_apart(a)  ? row_of_moves
   : flow          ? row_of_flow
   : has_memory(a) ? row_of_past
                   : row_of_increment)(a);
  row_of_delta(a, here);
  if (a->p->problem->parameterization == PARAM_NTK && !a->p->problem->centered)
    write_prose(a->w, "That is the mean: untrained, $f$ is Gaussian, with the variance of the "
                      "readout's entries times the kernel of what it reads. Results are means "
                      "over it.");
  if (is_expanded(a) && !flow)
    write_prose(a->w, "Beyond the lazy limit this holds to first order in ${eta}$; what is solved "
                      "for is the term of "
                      "order ${gamma}{squared}$ of the average of $z x / {gamma}$ over the "
                      "readout's two fields.");
}

static void write_output(const Anatomy *a) {
  write_outputs(a);
  if (update_scales(&a->p->update)) row_of_norm(a);
  if (a->p->update.average > 0) write_averages(a);
}

/* ---- the whole ---- */

/* " = value", or nothing for a number that the script computes only while it runs. */
static char *equal_to(double value) {
  return isnan(value) ? mem_string("") : mem_format(" = %g", value);
}

/* ", $name = value$" behind a text, for what there is. */
static void append_parameter(char **text, bool there_is, const char *name, double value) {
  char *equal = equal_to(value);
  if (there_is) mem_append(text, ", $%s%s$", name, equal);
  free(equal);
}

static void write_title(const Anatomy *a) {
  const Problem *problem = a->p->problem;
  const char *const names[3] = {problem->model_name, problem->training_name, problem->dataset_name};
  char *name[3];
  for (int i = 0; i < 3; i++) name[i] = writer_name(a->w, names[i]);
  write_heading(a->w, "Model %s, trained by %s on %s", name[0], name[1], name[2]);
  for (int i = 0; i < 3; i++) free(name[i]);
}

/* "${eta} = 0.1$, ..."; to be freed. */
static char *optimizer_text(const Anatomy *a) {
  const Problem *q = a->optimizer;
  const struct {
    const char *name;
    double value;
  } numbers[] = {{"{beta}", q->beta},   {"{beta}_1", q->beta1}, {"{beta}_2", q->beta2},
                 {"{epsilon}", q->eps}, {"{lambda}", q->decay}, {"T", q->temperature}};
  char *eta = eta_varies(a, NULL) ? mem_string("(t)") : equal_to(q->eta[0]),
       *text = mem_format("${eta}%s$", eta);
  append_parameter(&text, a->p->update.flow, "dt", q->dt);
  append_parameter(&text, q->other_eta, "{eta}'", q->other_eta ? q->other_eta[0] : 0);
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    append_parameter(&text, numbers[i].value != 0, numbers[i].name, numbers[i].value);
  free(eta);
  return text;
}

static void write_own_parameters(const Anatomy *a, const char *names) {
  char *text = optimizer_text(a);
  write_prose(a->w, "Of %s: %s.", names, text);
  free(text);
}

static void write_parameters(const Anatomy *a) {
  const Problem *problem = a->p->problem;
  bool scaled = problem->parameterization != PARAM_MUP;
  double ratio = standard_ratio(a->p);
  char *gamma = !scaled                  ? equal_to(problem->gamma)
                : ratio < 1 || ratio > 1 ? mem_format(" = 1/{sqrt}{[}%gN{]}", ratio)
                                         : mem_string(" = 1/{sqrt}N"),
       *own = a->p->group_count ? NULL : optimizer_text(a);
  char *tests = problem->tests ? mem_format(", %d for tests", problem->tests) : mem_string("");
  char *outputs = problem->outputs > 1
                      ? mem_format("; outputs $c = 1, {dots}, %d$", problem->outputs)
                      : mem_string("");
  write_prose(a->w,
              "${gamma}%s$%s%s; steps $t, s = 0, {dots}, %d$; points ${mu}, {alpha}$: "
              "$P = %d$ for training%s%s.",
              gamma, own ? ", " : "", own ? own : "", problem->steps, problem->points, tests,
              outputs);
  if (!own) write_groups(a, write_own_parameters);
  char *used[] = {gamma, own, tests, outputs};
  for (size_t i = 0; i < sizeof used / sizeof *used; i++) free(used[i]);
}

static void write_closure(const Anatomy *a) {
  switch (a->closure) {
  case CLOSURE_FULL: break;
  case CLOSURE_NTK:
    write_prose(
        a->w,
        "Closure: the lazy limit ${gamma} {limit} 0$. Kernels keep their initial values and $f$ is "
        "linear in the weights.");
    break;
  case CLOSURE_GRADIENT_INDEPENDENCE:
    write_prose(
        a->w,
        "Closure: gradient independence. Forward and backward noise are taken as independent: all "
        "responses are left out, $A = B = 0$, and $f$ follows the tangent kernel.");
    break;
  case CLOSURE_PERTURBATIVE:
    write_prose(
        a->w,
        "Closure: perturbation theory. Fields are expanded in powers of ${gamma}$ around the lazy "
        "limit, the order in brackets; kernels and $f$ are kept to order ${gamma}{squared}$, and "
        "an order (0) "
        "on them means ${gamma} = 0$.");
  }
}

const char *equations_refuse(const Program *p, bool lazy) {
  if (lazy && p->couples)
    return "the equations of this lazy limit are those of the closure \"full\" as gamma goes to 0";
  return NULL;
}

static void write_theory(const Anatomy *a) {
  write_order_parameters(a);
  write_process(a);
  write_output(a);
}

char *equations_print(const Program *p, Closure closure, bool theory, bool latex) {
  if (p->problem->parameterization == PARAM_NTK) closure = CLOSURE_NTK;
  Anatomy a = anatomy_of(writer_open(latex), p, closure);
  write_title(&a);
  write_parameters(&a);
  if (theory) write_closure(&a);
  write_network(&a);
  if (theory) write_theory(&a);
  anatomy_free(&a);
  return writer_close(a.w);
}

char *equations_document(const char *bodies) {
  return mem_format(
      "\\documentclass{article}\n\\usepackage{amsmath}\n\\usepackage[margin=2cm]{geometry}\n"
      "\\allowdisplaybreaks\n\\setlength{\\parindent}{0pt}\n\\begin{document}\n%s\\end{document}\n",
      bodies);
}
