/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The field program as people read it. */
#include "base/memory.h"
#include "field/program.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_matrices(FILE *out, const Program *p) {
  fprintf(out, "matrices\n");
  for (int i = 0; i < p->matrix_count; i++) {
    const Matrix *m = &p->matrices[i];
    if (m->weights != i) {
      fprintf(out, "  %-6s %s %s\n", m->name,
              m->averaged     ? "the average over steps of"
              : is_tied(p, m) ? "the transpose of"
                              : "the same as",
              p->matrices[m->weights].name);
      continue;
    }
    fprintf(out, "  %-6s %s → %s, %s%s(%g, %g), ", m->name, p->spaces[m->from].name,
            p->spaces[m->to].name, m->law == LAW_NORMAL ? "entries " : law_names[m->law],
            m->law == LAW_NORMAL ? "N" : " entries ", m->mean, m->sigma * m->sigma);
    if (m->start) fprintf(out, "times the square of the scale of each input, ");
    if (m->symmetric)
      fprintf(out, "symmetry %g\n", m->tau);
    else if (p->system)
      fprintf(out, "independent\n");
    else if (m->rate == 0)
      fprintf(out, "frozen\n");
    else if (m->rate == 1)
      fprintf(out, "trained\n");
    else
      fprintf(out, "trained at rate %g\n", m->rate);
  }
}

/* rate eta dt, with an eta of its own where muon leaves a matrix to another optimizer */
static void print_rate(FILE *out, const Program *p, const Matrix *m, double rate) {
  bool other = update_for(p, m)->polar.on && !is_wide_matrix(p, m);
  if (rate != 1) fprintf(out, "%g ", rate);
  fprintf(out, "η%s%s", other ? "'" : "", p->problem->optimizer == OPT_FLOW ? " dt" : "");
  if (m->group) fprintf(out, "%d", m->group);
}

/* Sigma Delta y x^T over the uses, with the weights of the points that are not 1/P, and what scales
 * all. */
static void print_direction(FILE *out, const Program *p, const Matrix *m) {
  char *sum = mem_string("");
  int uses = 0;
  for (int k = m->weights; k < p->matrix_count; k++) {
    const Matrix *use = &p->matrices[k];
    if (use->weights != m->weights || use->x < 0) continue;
    bool tied = is_tied(p, use);
    mem_append(&sum, "%s%s %sᵀ", uses++ ? " + " : "",
               p->variables[tied ? use->x : use->learns].name,
               p->variables[tied ? use->learns : use->x].name);
  }
  fprintf(out, uses > 1 ? "%sΣ %sΔ (%s)\n" : "%sΣ %sΔ %s\n", update_scales(&p->update) ? "s " : "",
          p->update.weight ? "w " : "", sum);
  free(sum);
}

static void print_decay(FILE *out, const Program *p, const Matrix *m) {
  fprintf(out, "%-4s *= 1 - λ ", m->name);
  print_rate(out, p, m, m->decay);
  fprintf(out, "\n");
}

/* Entry by entry: the moments of O, and what they make of it. */
static void print_entrywise(FILE *out, const Program *p, const Matrix *m) {
  const Psi *psi = &update_for(p, m)->psi;
  const char *name = m->name;
  char *factor = m->factor == 1 ? mem_string("") : mem_format("%g ", m->factor);
  fprintf(out, "O%-3s = %s", name, factor);
  if (!p->update.weight) fprintf(out, "(1/%d) ", p->problem->points);
  print_direction(out, p, m);
  bool mean = psi->beta1 != 0, root = psi->kind == PSI_ROOT,
       mixed = !root && (psi->beta1 < psi->beta2 || psi->beta1 > psi->beta2); /* with O, by Lion */
  if (mean && !mixed) fprintf(out, "M%-3s = β1 M%s + (1 - β1) O%s\n", name, name, name);
  if (root) fprintf(out, "Q%-3s = β2 Q%s + (1 - β2) O%s²\n", name, name, name);
  if (update_for(p, m)->decay > 0) print_decay(out, p, m);
  fprintf(out, "%-4s += (", name);
  print_rate(out, p, m, m->rate / m->factor);
  fprintf(out, " γ) ");
  if (mixed)
    fprintf(out, "sign(β1 M%s + (1 - β1) O%s)\nM%-3s = β2 M%s + (1 - β2) O%s\n", name, name, name,
            name, name);
  else if (!root)
    fprintf(out, "sign(%s%s)\n", mean ? "M" : "O", name);
  else
    fprintf(out, psi->corrected ? "%s%s / %s / (√(Q%s / %s) + ε)\n" : "%s%s%.0s / (√Q%s%.0s + ε)\n",
            mean ? "M" : "O", name, "(1 - β1^(t+1))", name, "(1 - β2^(t+1))");
  free(factor);
}

static void print_update(FILE *out, const Program *p, const Matrix *m) {
  const Update *update = update_for(p, m);
  bool polar = update->polar.on && is_wide_matrix(p, m);
  if (moves_by_entries(p, m)) {
    print_entrywise(out, p, m);
    return;
  }
  bool velocity = polar || (update->momentum > 0 && !update->polar.on) || update->inert;
  char *share = p->update.weight ? mem_string("") : mem_format("/%d", p->problem->points);
  if (velocity) {
    fprintf(out, "O%-3s = ", m->name);
    if (*share) fprintf(out, "(1%s) ", share);
    print_direction(out, p, m);
    fprintf(out, "V%-3s = β V%s + O%s", m->name, m->name, m->name);
    if (update->inert && update->decay > 0) fprintf(out, " - (λ / γ) %s", m->name);
    if (update->inert && update->temperature > 0) fprintf(out, " + √(2 (1 - β) T / η) Ξ / γ");
    fprintf(out, "\n");
  }
  if (update->decay > 0 && !update->inert) print_decay(out, p, m);
  if (update->temperature > 0 && !update->inert) {
    fprintf(out, "%-4s += √(2 T ", m->name);
    print_rate(out, p, m, m->rate);
    fprintf(out, ") Ξ\n");
  }
  fprintf(out, "%-4s += (", m->name);
  print_rate(out, p, m, polar ? m->decay * m->factor : m->rate);
  fprintf(out, " γ%s) ", velocity ? "" : share);
  if (!velocity)
    print_direction(out, p, m);
  else if (update->nesterov)
    fprintf(out, "%s(O%s + β V%s)\n", polar ? "polar" : "", m->name, m->name);
  else
    fprintf(out, polar ? "polar(V%s)\n" : "V%s\n", m->name);
  free(share);
}

/* A number that a script computes while it runs is not known here. */
static void print_number(FILE *out, const char *name, double value) {
  if (isnan(value))
    fprintf(out, "%s, ", name);
  else
    fprintf(out, "%s = %g, ", name, value);
}

static void print_optimizer(FILE *out, const Problem *problem) {
  bool constant = true;
  for (int t = 1; t < problem->steps; t++)
    constant = constant && !(fabs(problem->eta[t] - problem->eta[0]) > 0);
  if (constant)
    print_number(out, "η", problem->eta[0]);
  else
    fprintf(out, "η = %g ... %g, ", problem->eta[0], problem->eta[problem->steps - 1]);
  if (problem->optimizer == OPT_FLOW) print_number(out, "dt", problem->dt);
  if (problem->beta != 0) print_number(out, "β", problem->beta);
  if (problem->other_eta) print_number(out, "η'", problem->other_eta[0]);
  if (problem->exact) fprintf(out, "exact polar factors, ");
  if (problem->polar_eps != 0) print_number(out, "ε of them", problem->polar_eps);
  if (problem->beta1 != 0) print_number(out, "β1", problem->beta1);
  if (problem->beta2 != 0) print_number(out, "β2", problem->beta2);
  if (problem->eps != 0) print_number(out, "ε", problem->eps);
  if (problem->decay != 0) print_number(out, "λ", problem->decay);
}

static void print_parameters(FILE *out, const Problem *problem) {
  print_number(out, "γ", problem->gamma);
  print_optimizer(out, problem);
  if (problem->temperature != 0) print_number(out, "T", problem->temperature);
  if (problem->ema != 0) print_number(out, "ema", problem->ema);
  fprintf(out, "t = 0..%d\n", problem->steps);
  for (int k = 0; k < problem->group_count; k++) {
    fprintf(out, "of η%d: ", k + 1);
    print_optimizer(out, &problem->groups[k]);
    fprintf(out, "t = 0..%d\n", problem->steps);
  }
}

char *program_print_update(const Program *p, int matrix) {
  char *text = NULL;
  size_t length = 0;
  FILE *out = mem_stream(&text, &length);
  print_update(out, p, &p->matrices[matrix]);
  mem_stream_end(out);
  return text;
}

/* Every line as a remark, long ones to where they are known by. */
static void print_remarks(FILE *out, char *text) {
  enum { LONGEST = 100 };
  char *rest;
  for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
    fprintf(out, "# %.*s%s\n", LONGEST, line, strlen(line) > LONGEST ? " ..." : "");
}

/* What stands before the text of a model. */
static void print_summary(FILE *out, const Program *p) {
  char *text = NULL;
  size_t length = 0;
  FILE *plain = mem_stream(&text, &length);
  print_parameters(plain, p->problem);
  print_matrices(plain, p);
  mem_stream_end(plain);
  print_remarks(out, text);
  free(text);
}

char *program_print(Program *base, const char *name) {
  char *text = NULL;
  size_t length = 0;
  FILE *out = mem_stream(&text, &length);
  Program *p = base->system ? program_keep(base) : program_complete(base, (Reading){.parts = 1});
  const Problem *problem = p->problem;
  const char *why;
  if (!name) name = problem ? problem->model_name : p->system->name;
  char *body = program_write(p, &why);
  if (why) fprintf(out, "# as a system it cannot be written: %s\n", why);
  if (problem)
    fprintf(out, "# %s, trained by %s on %s: dmft(%s, steps = %d)\n", problem->model_name,
            problem->training_name, problem->dataset_name, name, problem->steps + 1);
  if (problem) print_summary(out, p);
  if (why)
    print_remarks(out, body);
  else
    fprintf(out, "system %s {\n%s}\n", name, body);
  free(body);
  program_drop(p);
  mem_stream_end(out);
  return text;
}
