/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "session/systems.h"
#include "field/equations.h"
#include "base/memory.h"
#include "model/builtins.h"
#include "model/declare.h"
#include "model/learn.h"
#include "model/system.h"
#include "solve/run.h"

#include <stdlib.h>
#include <string.h>

/* The argument of this name, by its position. */
static int argument(const Call *call, const char *name) {
  int i = 0;
  while (strcmp(call->signature->list[i].name, name) != 0) i++;
  return i;
}

static bool given(const Call *call, int i) { return call->args[i]->kind != VALUE_NONE; }

bool system_is_asked(const Call *call) {
  return call->args[0]->kind == VALUE_SYSTEM || learn_grows(call->args[1]);
}

bool training_has_steps(Call *call) {
  int steps = argument(call, "steps");
  if (!given(call, steps)) return true;
  eval_error(call->eval, call->places[steps], NULL, "the training says how many steps it takes");
  return false;
}

/* A training has its steps: what is observed is so after 0 .. T of them. */
static bool training_steps(Call *call, SolveOptions *options) {
  const Value *own = call->args[1]->declared.slot[TRAINING_STEPS];
  if (!training_has_steps(call)) return false;
  options->steps = own->kind == VALUE_NUMBER && own->known ? (int)own->number + 1 : 1;
  return true;
}

/* The steps, and that nothing is given which is for models; false after reporting. */
static bool steps_of(Call *call, SolveOptions *options) {
  int steps = argument(call, "steps");
  if (call->args[0]->kind != VALUE_SYSTEM) return training_steps(call, options);
  if (given(call, 1)) {
    eval_error(call->eval, call->places[1], "dmft(NAME, steps = 100)",
               "a system is not trained: it has no argument 'training'");
    return false;
  }
  if (!given(call, steps)) {
    eval_error(call->eval, call->span, "dmft(NAME, steps = 100)", "'%s' of a system needs 'steps'",
               call->row->name);
    return false;
  }
  return solver_count(call, steps, 1, &options->steps);
}

/* The system of a call, or the one that a model is. */
static System *system_of(Call *call) {
  Value **args = call->args;
  if (args[0]->kind != VALUE_SYSTEM)
    return learn_build(call->eval, args[0], call->places[0], args[1], call->places[1]);
  if (!system_is_data(args[0])) return system_build(call->eval, args[0]);
  eval_error(call->eval, call->places[0], "dmft(model, training)",
             "a dataset is learned by a model: it has no dynamics of its own");
  return NULL;
}

/* The program of the system of a call; NULL after reporting, or where a check does not know it. */
static Program *program_of(Call *call) {
  int before = call->eval->diags->errors;
  if (!solver_can_compute(call)) return NULL;
  System *system = system_of(call);
  if (system) return program_of_system(system);
  if (call->eval->diags->errors > before) {
    diag_note(call->eval->diags, call->span, "in this call of '%s'", call->row->name);
    call->eval->halted |= !call->eval->dry;
  }
  return NULL;
}

enum { PLACEHOLDER_LIMIT = 1000000 };

/* Zeros of the fields' shapes; none where they would be many. */
static Value *placeholders(Call *call, Program *program, const SolveOptions *options, bool sized) {
  Result *result = solve_system_promise(program, options, sized);
  run_origin(result, program, options);
  for (int i = 0; i < result->field_count; i++) {
    size_t shape[ARRAY_MAX_RANK], size = 1;
    ResultField *field = &result->fields[i];
    const char *name =
        strncmp(field->name, "var_", 4) == 0 && sized ? field->name + 4 : field->name;
    for (int k = 0; k < program->system->field_count; k++) {
      if (strcmp(program->system->fields[k].name, name) != 0 || field->value) continue;
      int rank = solve_system_shape(program, k, (size_t)options->steps, shape);
      for (int d = 0; d < rank; d++) size *= shape[d];
      if (size <= PLACEHOLDER_LIMIT) field->value = array_new(rank, shape);
    }
  }
  static const char *const numbers[] = {"seed", "seconds", "samples", "replicates", "tol",
                                        "rank", "flops",   "width",   "ensemble"};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    result_note(result, numbers[i], "0");
  result_note(result, "version", "?");
  result_note(result, "precision", "?");
  Value *value = value_result(&call->eval->heap, result);
  value->known = false;
  return value;
}

/* Whether the numbers that the system reads at t last for these steps; reports otherwise. */
static bool lasts(Call *call, const Program *program, int steps) {
  size_t most = program->system->most_steps;
  if (!most || (size_t)steps <= most) return true;
  eval_error(call->eval, call->places[argument(call, "steps")], NULL,
             "system '%s' reads numbers at t that it has for %zu steps, not for %d",
             program->system->name, most, steps);
  return false;
}

/* Each program once, and each under a name of its own. */
void session_lower(Dmf *dmf, Program *program) {
  char *text = program_print(program, NULL), *before = dmf->lowered, *name = NULL;
  const char *own = program->system ? program->system->name : program->problem->model_name;
  bool known = strstr(before, text) != NULL, taken = !known;
  for (int number = 1; taken; number++) {
    free(name);
    name = number > 1 ? mem_format("%s_%d", own, number) : mem_string(own);
    char *head = mem_format("\nsystem %s {", name);
    taken = strstr(before, head) != NULL;
    free(head);
  }
  if (name && strcmp(name, own) != 0) {
    free(text);
    text = program_print(program, name);
  }
  if (!known) {
    fprintf(dmf->results, "%s%s", *before ? "\n" : "", text);
    dmf->lowered = mem_format("%s\n%s", before, text);
    free(before);
  }
  free(name);
  free(text);
}

/* Adds the equations of a system to those of the script, each only once. */
static void add_equations(Dmf *dmf, const Program *program) {
  char *text = equations_of_system(program, dmf->latex), *all = dmf->equations;
  if (!strstr(all, text)) {
    dmf->equations = mem_format("%s%s%s", all, *all ? "\n" : "", text);
    free(all);
  }
  free(text);
}

/* A call in the recipe of a result from a file gives this very result, which has here its origin.
 */
static Value *adopt(Call *call, Program *program, SolveOptions options, bool sized) {
  Result *result = ((Dmf *)call->eval->host->self)->loading;
  const char *steps =
      result_attribute(result, "incomplete") ? result_attribute(result, "steps") : NULL;
  if (steps && atoi(steps) > 0 && atoi(steps) < options.steps) options.steps = atoi(steps);
  bool fits = !result->origin && strcmp(result->kind, sized ? "simulate" : "dmft") == 0;
  for (int i = 0; fits && i < program->system->field_count; i++) {
    const ResultField *own = result_find(result, program->system->fields[i].name, 0);
    Array shape;
    shape.rank = solve_system_shape(program, i, (size_t)options.steps, shape.shape);
    fits = !own || array_same_shape(own->value, &shape);
  }
  if (!fits)
    return eval_error(call->eval, call->span, NULL, "the fields are not those of this call");
  run_origin(result, program, &options);
  return value_result(&call->eval->heap, result_keep(result));
}

static Value *ask(Call *call, bool sized, SolveOptions options) {
  Eval *eval = call->eval;
  int before = eval->diags->errors;
  bool known = call->args[argument(call, "steps")]->known && options.steps > 0;
  Program *program = program_of(call);
  if (!program)
    return eval->diags->errors > before ? call_broken(call) : value_new(&eval->heap, VALUE_UNKNOWN);
  solver_surround(eval, &options);
  Dmf *dmf = eval->host->self;
  Value *value;
  const char *refusal = sized ? NULL : solve_system_refuses(program, &options);
  if (refusal) eval_error(eval, call->span, NULL, "%s", refusal);
  if (refusal || (known && !lasts(call, program, options.steps))) {
    program_drop(program);
    return call_broken(call);
  }
  if (dmf->loading)
    value = adopt(call, program, options, sized);
  else if (!eval->dry)
    value = solver_run(call, program, sized ? solve_system_networks : solve_system, NULL, options);
  else if (!known || options.steps > PLACEHOLDER_LIMIT)
    value = value_new(&eval->heap, VALUE_UNKNOWN);
  else
    value = placeholders(call, program, &options, sized);
  if (!eval->dry && !dmf->loading && value->kind == VALUE_RESULT)
    recipe_write_system(call, program, options.steps, value->result);
  if (eval->dry && dmf->lowered) session_lower(dmf, program);
  if (eval->dry && dmf->planning && known) solver_plan(call, program, sized, &options);
  if (eval->dry && dmf->equations) add_equations(dmf, program);
  program_drop(program);
  return value;
}

Value *system_dmft(Call *call) {
  SolveOptions options = {0};
  Checkpoint checkpoint = {0};
  int tol = argument(call, "tol"), closure = argument(call, "closure");
  bool sound = steps_of(call, &options) &&
               solver_count(call, argument(call, "samples"), FEWEST_SAMPLES, &options.samples) &&
               solver_seed(call, argument(call, "seed"), &options.seed) &&
               solver_error(call, argument(call, "error"), &options.error) &&
               solver_count(call, argument(call, "most"), FEWEST_SAMPLES, &options.most) &&
               solver_keeps(call, argument(call, "checkpoint"), &checkpoint, &options) &&
               solver_precision(call, argument(call, "precision"), &options);
  sound = sound && solver_closure(call, closure, &options.closure);
  const Value *t = call->args[tol];
  if (sound && (t->kind != VALUE_NUMBER || (t->known && !(t->number >= 0 && t->number < 1)))) {
    eval_error(call->eval, call->places[tol], "0 lets the solver choose",
               "'tol' must be a number from 0 to 1");
    sound = false;
  }
  if (sound && options.closure != CLOSURE_FULL) {
    eval_error(call->eval, call->places[closure], NULL, "a system has the full theory alone");
    sound = false;
  }
  if (!sound) return call_broken(call);
  options.tol = t->number;
  Value *value = ask(call, false, options);
  char *caution = value->kind == VALUE_RESULT ? solve_caution(value->result) : NULL;
  if (caution) diag_warning(call->eval->diags, call->span, NULL, "%s", caution);
  free(caution);
  return value;
}

Value *system_simulate(Call *call) {
  enum { USUAL = 500 };
  SolveOptions options = {.width = USUAL};
  Checkpoint checkpoint = {0};
  int size = argument(call, "size");
  bool sound =
      steps_of(call, &options) &&
      solver_count(call, argument(call, "ensemble"), 1, &options.ensemble) &&
      solver_seed(call, argument(call, "seed"), &options.seed) &&
      (!given(call, size) || solver_count(call, size, 2, &options.width)) &&
      solver_networks(call, argument(call, "method"), argument(call, "precision"), &options) &&
      solver_keeps(call, argument(call, "checkpoint"), &checkpoint, &options);
  return sound ? ask(call, true, options) : call_broken(call);
}

Value *system_equations(Call *call) {
  Eval *eval = call->eval;
  const Value *format = call->args[argument(call, "format")];
  bool latex = format->kind == VALUE_STRING && strcmp(format->string, "latex") == 0;
  int before = eval->diags->errors;
  if (!latex && (format->kind != VALUE_STRING || strcmp(format->string, "text") != 0))
    return eval_error(eval, call->places[argument(call, "format")], NULL,
                      "the equations of a system are \"text\" or \"latex\"");
  Program *program = program_of(call);
  if (!program)
    return eval->diags->errors > before ? call_broken(call) : value_new(&eval->heap, VALUE_UNKNOWN);
  char *text = equations_of_system(program, latex);
  char *whole = latex ? equations_document(text) : mem_string(text);
  Value *value = value_string(&eval->heap, whole);
  free(text);
  free(whole);
  program_drop(program);
  return value;
}

/* The fields of fluctuations without values, of the theory of a check. */
static Value *noise_placeholders(Call *call, const Result *theory, SolveOptions options) {
  Result *result = result_new("fluctuations");
  const Origin *origin = theory->origin;
  options.steps = origin->options.steps;
  run_origin(result, origin->program, &options);
  for (int i = 0; i < theory->field_count; i++) {
    const ResultField *field = &theory->fields[i];
    bool time = strcmp(field->name, "t") == 0;
    bool pairs = strcmp(field->axes, "t,s") == 0;
    if (pairs && field->value && field->value->size > MOST_VARYING_PAIRS) continue;
    char *name = mem_format(time ? "%s" : "var_%s", field->name);
    result_add(result, name, 0, field->axes, field->about, array_keep(field->value), NULL);
    free(name);
  }
  static const char *const numbers[] = {"seed", "seconds", "samples", "steps", "flops"};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    result_note(result, numbers[i], "0");
  result_note(result, "system", "?");
  Value *value = value_result(&call->eval->heap, result);
  value->known = false;
  return value;
}

Value *system_fluctuations(Call *call, SolveOptions options) {
  Eval *eval = call->eval;
  Result *theory = call->args[0]->result;
  if (strcmp(theory->kind, "dmft") != 0)
    return eval_error(eval, call->places[0], "fluctuations(dmft(...))",
                      "'fluctuations' takes a result of dmft");
  const char *refusal = solve_refuses_fluctuations(theory);
  if (refusal) return eval_error(eval, call->places[0], NULL, "%s", refusal);
  solver_surround(eval, &options);
  if (call->args[3]->kind != VALUE_NONE)
    return slopes_call(call, call->nodes[3], theory, call->args[3], options);
  const Dmf *dmf = eval->host->self;
  if (eval->dry && dmf->planning)
    solver_plan_fluctuations(call, theory, &options, &(NoiseAsked){0});
  if (eval->dry) return noise_placeholders(call, theory, options);
  return solver_run(call, NULL, NULL, theory, options);
}

Value *system_ir(Call *call) {
  int before = call->eval->diags->errors;
  Program *program = program_of(call);
  if (!program)
    return call->eval->diags->errors > before ? call_broken(call)
                                              : value_new(&call->eval->heap, VALUE_UNKNOWN);
  char *text = program_print(program, NULL);
  Value *value = value_string(&call->eval->heap, text);
  free(text);
  program_drop(program);
  return value;
}
