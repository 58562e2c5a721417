/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The calls that ask for something to be solved. */
#include "session/session.h"
#include "base/memory.h"
#include "field/equations.h"
#include "model/build.h"
#include "model/builtins.h"
#include "model/digest.h"
#include "model/trail.h"
#include "num/blas.h"
#include "solve/observe.h"
#include "solve/run.h"
#include "solve/solve.h"
#include "session/systems.h"
#include "solve/until.h"

#include <limits.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static Dmf *session_of(Call *call) { return call->eval->host->self; }

/* Placeholders of a check */

enum { DMFT = FROM_DMFT, NETS = FROM_NETS, LAZY = FROM_LAZY, NOISE = FROM_NOISE, AT = FROM_AT };

/* Which results have an attribute; a check knows whether it will be a number. */
enum { TEXT, NUMBER };
static const struct {
  const char *name;
  int kind, solvers;
} attribute_rows[] = {
#define ATTRIBUTE(name, kind, solvers, about) {name, kind, solvers},
#include "session/attributes.def"
#undef ATTRIBUTE
};

enum { PLACEHOLDER_LIMIT = 1000000 };

static const char *kind_of(int solver) {
  switch (solver) {
  case NETS: return "simulate";
  case NOISE: return "fluctuations";
  case AT: return "at";
  default: return "dmft";
  }
}

/* Whether layers are repeated without end: of that limit fields with layers are not known. */
static bool is_deep(const Program *program) { return program->problem->depth > 0; }

/* Whether a solver gives a field: at a width the classes of several outputs would take how these
 * vary together. */
static bool gives(int solver, FieldId id, const Program *program) {
  bool many = solver == AT && field_jumps(id) && program->problem->outputs > 1;
  return field_row(id)->solvers & solver && field_is_present(id, program) && !many;
}

/* The fields that a solver gives, without their values. */
static Result *promised(int solver, Program *program, const SolveOptions *options) {
  Result *result = result_new(kind_of(solver));
  run_origin(result, program, options);
  for (FieldId id = 0; id < FIELD_COUNT; id++) {
    if (!gives(solver, id, program)) continue;
    if (is_deep(program) && field_row(id)->extent != EXTENT_PLAIN) continue;
    for (int layer = field_first(id); layer <= field_last(id, program); layer++)
      field_promise(result, id, layer);
  }
  return result;
}

static FieldId field_id(const char *name) {
  FieldId id = 0;
  while (id < FIELD_COUNT && strcmp(field_row(id)->name, name) != 0) id++;
  return id;
}

/* Zeros of the fields' shapes, but steps as they will be; no values where they would be many. */
static Result *placeholders(int solver, Program *program, const SolveOptions *options) {
  Result *result = promised(solver, program, options);
  Sizes sizes = sizes_of(program);
  for (int i = 0; i < result->field_count; i++) {
    size_t shape[ARRAY_MAX_RANK];
    FieldId id = field_id(result->fields[i].name);
    if (field_size(id, sizes) > PLACEHOLDER_LIMIT) continue;
    Array *value = array_new(field_shape(id, sizes, shape), shape);
    for (size_t k = 0; value && id == FIELD_T && k < value->size; k++) value->data[k] = (double)k;
    result->fields[i].value = value;
  }
  for (size_t i = 0; i < sizeof attribute_rows / sizeof *attribute_rows; i++)
    if (attribute_rows[i].solvers & solver)
      result_note(result, attribute_rows[i].name, attribute_rows[i].kind == TEXT ? "?" : "0");
  if (is_deep(program)) result_note(result, "depths", "?");
  return result;
}

/* Whether a field says how networks differ. */
static bool is_of_many(const FieldRow *row) {
  return row->kind == KIND_VARIANCE || row->kind == KIND_COVARIANCE;
}

static const char fourth_moments[] =
    "between populations fourth moments of entries that are not normal shift the mean of narrow "
    "networks, which this version does not know";

static const char *lack(const FieldRow *row, int solver, const Result *result) {
  const char *ensemble = result_attribute(result, "ensemble");
  FieldId id = (FieldId)(row - field_row(0));
  if (result_attribute(result, "depths") && row->extent != EXTENT_PLAIN)
    return "without end there are no numbers of layers: take a depth, as in 16 * residual(tanh)";
  if (row->solvers == LAZY && solver == DMFT) {
    const char *why = solve_lacks_limit(result);
    if (why) return why;
  } else if (!(row->solvers & solver))
    return solver == NOISE && field_jumps(id)
               ? "shares of points jump and have no variance of order 1/N: 'at' has their means"
           : solver == NOISE      ? "ask the theory itself"
           : row->solvers & NOISE ? "'fluctuations' of the theory gives it"
           : row->solvers == AT   ? "'at' gives it"
           : solver == AT         ? "ask the theory, or its fluctuations"
           : row->solvers == LAZY ? "'dmft' with closure = \"ntk\" gives it"
           : solver == DMFT       ? "it belongs to networks of finite width"
                                  : "only 'dmft' gives it";
  if (row->kind == KIND_SHIFT && solver == NOISE &&
      program_has_law(((const Origin *)result->origin)->program, true))
    return fourth_moments;
  if (is_of_many(row) && ensemble && strcmp(ensemble, "1") == 0)
    return "one network alone has no variance: ensemble = 2 or more";
  switch (row->presence) {
  case PRESENT_TESTED: return "the dataset has no test points";
  case PRESENT_JUDGED: return "the dataset has no 'test_targets'";
  case PRESENT_ALIGNED: return "all targets are equal";
  case PRESENT_AVERAGED: return "weights are averaged where the training has the key 'ema'";
  case PRESENT_AVERAGED_TESTED: return "it takes the key 'ema' of the training, and test points";
  case PRESENT_AVERAGED_JUDGED: return "it takes the key 'ema' of the training, and 'test_targets'";
  case PRESENT_CLASSED:
  case PRESENT_EXAMINED:
    if (solver == AT && field_is_present(id, ((const Origin *)result->origin)->program))
      return "of several outputs it would take how they vary together";
    return "the targets do not say classes";
  default: return row->extent == EXTENT_GAPS ? run_lacks_responses(result) : NULL;
  }
}

const char *solver_lacks(const Result *result, const char *name) {
  int solver = 0;
  for (int kind = DMFT; kind <= AT; kind *= 2)
    if (strcmp(result->kind, kind_of(kind)) == 0) solver |= kind == LAZY ? DMFT : kind;
  for (FieldId id = 0; id < FIELD_COUNT; id++)
    if (solver && strcmp(field_row(id)->name, name) == 0)
      return lack(field_row(id), solver, result);
  return NULL;
}

/* Solving */

void solver_progress(void *sink, const char *stage, int done, int total, double work) {
  const DmfConfig *config = &((const Dmf *)sink)->config;
  if (config->work) config->work(config->sink, work > 0 ? work : (double)done / total);
  config->progress(config->sink, stage, done, total);
}

void solver_progress_end(const Dmf *dmf) { dmf->config.progress(dmf->config.sink, NULL, 0, 0); }

bool solver_shows_progress(const Dmf *dmf) { return dmf->config.progress && !dmf->config.quiet; }

/* Where runs are kept, or NULL: warns where some could not be. */
static void warn_of_loss(Eval *eval, Span span, Checkpoint *checkpoint) {
  if (!checkpoint) return;
  char *why = crew_text(session_crew(eval->host->self), atomic_exchange(&checkpoint->why, NULL));
  if (why) diag_warning(eval->diags, span, NULL, "runs that are done are not kept: %s", why);
  free(why);
}

Status solver_complete(Eval *eval, Result *result, const char *name, char **why) {
  Dmf *dmf = eval->host->self;
  while (result->busy) pthread_cond_wait(&dmf->idle, &dmf->lock);
  result->busy = true;
  pthread_mutex_unlock(&dmf->lock);
  Status status = result_complete(result, name, why);
  pthread_mutex_lock(&dmf->lock);
  status = session_settle(dmf, status, why);
  result->busy = false;
  pthread_cond_broadcast(&dmf->idle);
  if (!eval->worker && solver_shows_progress(dmf)) solver_progress_end(dmf);
  if (status == STATUS_OK) warn_of_loss(eval, (Span){0}, run_kept(result));
  return status;
}

/* The seed of a call: its own, else that of --seed, else the default. */
bool solver_seed(Call *call, int i, uint64_t *seed) {
  double number;
  const Dmf *dmf = session_of(call);
  if (dmf->config.has_seed && !call->nodes[i])
    call->args[i] = value_number(&call->eval->heap, (double)dmf->config.seed);
  if (call->eval->dry && !call->args[i]->known) return true;
  if (!call_whole(call, i, 0, 9007199254740992.0, &number)) return false;
  *seed = (uint64_t)number;
  return true;
}

bool solver_count(Call *call, int i, double least, int *count) {
  double number = least;
  if (call->args[i]->known && !call_whole(call, i, least, INT_MAX / 2, &number)) return false;
  *count = (int)number;
  return true;
}

bool solver_can_compute(Call *call) {
  const Dmf *dmf = session_of(call);
  char *why = NULL;
  if (call->eval->dry && !dmf->planning) return true;
  Status status = blas_ready(&why);
  if (status != STATUS_OK) eval_fail(call->eval, status, call->span, NULL, "%s", why);
  free(why);
  return status == STATUS_OK;
}

/* The lowered program of a call, or NULL; errors were reported unless a check lacks the sizes.
 * `depth` is that of layers that are repeated without end, which are refused if it is 0. */
static Program *program_of(Call *call, int depth) {
  Eval *eval = call->eval;
  if (!solver_can_compute(call)) return NULL;
  Problem *problem =
      problem_build(eval, call->args[0], call->places[0], call->args[1], call->places[1], depth);
  if (!problem) return NULL;
  int before = eval->diags->errors;
  Program *program = program_lower(problem, eval->pool, eval->diags);
  if (eval->diags->errors == before) return program;
  diag_note(eval->diags, call->span, "in this call of '%s'", call->row->name);
  eval->halted |= !eval->dry;
  return program;
}

/* Why the equations of a theory are not written; or NULL. */
static const char *refuses_equations(const Program *program, const SolveOptions *options) {
  return equations_refuse(program, solve_is_lazy(program, options));
}

/* Adds the equations of a call to those of the script, each only once. */
static void add_equations(Dmf *dmf, const Program *program, const SolveOptions *options) {
  Closure closure = options->closure;
  bool theory = !solve_refuses(program, options) && !refuses_equations(program, options);
  char *text = equations_print(program, closure, theory, dmf->latex), *all = dmf->equations;
  if (!strstr(all, text)) {
    dmf->equations = mem_format("%s%s%s", all, *all ? "\n" : "", text);
    free(all);
  }
  free(text);
}

char *solver_equations(const Result *result) {
  const Origin *origin = result->origin;
  bool theory = origin && strcmp(result->kind, "dmft") == 0;
  if (theory && origin->program->system) return equations_of_system(origin->program, true);
  if (!theory || refuses_equations(origin->program, &origin->options)) return NULL;
  return equations_print(origin->program, origin->options.closure, true, true);
}

/* What the session gives every solver. */
void solver_surround(const Eval *eval, SolveOptions *options) {
  Dmf *dmf = eval->host->self;
  options->threads = eval->threads;
  options->crew = session_crew(dmf);
  options->stop = &dmf->stop;
  options->progress = !eval->worker && solver_shows_progress(dmf) ? solver_progress : NULL;
  options->sink = dmf;
  options->partial = (eval->interactive || dmf->config.partial) && !eval->worker;
  options->unread = dmf->unread;
}

/* What has not left all bounds (has_diverged) may be on its way there. */
static void warn_of_growth(Call *call, const Result *result) {
  enum { GROWN = 1000 };
  const ResultField *loss = result_find(result, "loss", 0);
  if (!loss || !loss->value) return;
  double first = loss->value->data[0], last = loss->value->data[loss->value->size - 1];
  if (first > 0 && last > GROWN * first)
    diag_warning(call->eval->diags, call->span, "a smaller learning rate may help",
                 "the loss ends at %.2g times its start", last / first);
}

bool solver_keeps(Call *call, int i, Checkpoint *checkpoint, SolveOptions *options) {
  Eval *eval = call->eval;
  int before = eval->diags->errors;
  if (call->args[i]->kind == VALUE_NONE) return true;
  if (session_of(call)->loading) {
    eval_error(eval, call->places[i], NULL, "what is read from a file keeps nothing in others");
    return false;
  }
  char *path = files_directory(eval, call->args[i], call_argument_name(call, i), call->places[i]);
  if (!path) return eval->diags->errors == before && eval->dry;
  checkpoint->directory = value_string(&eval->heap, path)->string;
  options->checkpoint = checkpoint;
  call->args[i] = value_new(&eval->heap, VALUE_NONE); /* where runs are kept changes no number */
  free(path);
  return true;
}

/* A result says what it came to, but not all of the program that it came from. */
static void digest_origin(Digest *digest, const Value *value) {
  const Origin *origin = value->kind == VALUE_RESULT ? value->result->origin : NULL;
  char *text = origin ? program_print(origin->program, NULL) : NULL;
  if (text) digest_text(digest, text);
  free(text);
}

/* All that the numbers of a call follow from. */
static uint64_t key_of(const Call *call) {
  Digest digest = digest_begin(call->eval);
  digest_text(&digest, dmf_version());
  digest_text(&digest, call->row->name);
  for (int i = 0; i < call->count; i++) {
    digest_value(&digest, call->args[i]);
    digest_origin(&digest, call->args[i]);
  }
  uint64_t key = digest.hash;
  digest_end(&digest);
  return key;
}

void solver_sign(const Call *call, SolveOptions *options) {
  if (options->checkpoint) options->checkpoint->key = key_of(call);
}

/* Whether all processes make the same call: the files that they read, and their settings, may
 * differ, and what is shared of different solves would mean nothing. */
static bool is_common(const Call *call) {
  const Crew *crew = session_crew(call->eval->host->self);
  if (crew_size(crew) == 1) return true;
  uint64_t own = key_of(call), first = own;
  crew_share(crew, 0, &first, sizeof first);
  return !crew_any(crew, first != own);
}

void solver_keeping(Call *call, const SolveOptions *options) {
  warn_of_loss(call->eval, call->span, options->checkpoint);
}

Value *solver_report(Call *call, Status status, const char *why, bool kept) {
  if (status == STATUS_LIMIT && !why) return eval_starve(call->eval, call->span);
  const char *fallback = status == STATUS_INTERRUPTED ? "interrupted" : "the solver failed";
  Value *value = eval_fail(call->eval, status, call->span, NULL, "%s", why ? why : fallback);
  if (status == STATUS_INTERRUPTED && kept)
    diag_note(call->eval->diags, call->span, "the same call goes on from the runs that are done");
  return value;
}

/* What all processes have: an interruption leaves all a result, or none. */
static Status settle(Dmf *dmf, Status status, Result **result, char **why) {
  Status failure = session_settle(dmf, *result ? STATUS_OK : status, why);
  if (failure == STATUS_OK) return status;
  result_drop(*result);
  *result = NULL;
  return failure;
}

/* The result as a value, with the recipe of so many steps of what was solved, or without. */
static Value *with_recipe(Call *call, const Program *program, size_t steps, Result *result) {
  bool known = program && program->problem;
  Value *value = value_result(&call->eval->heap, result);
  bool whole = !known || recipe_write(call, program->problem, steps, &result->recipe);
  return whole ? value : eval_starve(call->eval, call->span);
}

/* What an interruption left: what follows the call sees it, too, or its solvers do, in every
 * process.
 */
static Value *take_partial(Call *call, const Program *program, size_t steps, Result *result,
                           const char *what) {
  Dmf *dmf = session_of(call);
  dmf->stop = 1;
  if (dmf->config.partial) session_watch(dmf, call->eval->stop = &dmf->calm);
  result_note(result, "version", "%s", dmf_version());
  session_note(dmf, call->row->name, what);
  diag_warning(call->eval->diags, call->span, NULL, "interrupted: the result is of %s", what);
  return with_recipe(call, program, steps, result);
}

/* With --partial an interruption that comes too late to shorten a result ends the script no sooner
 * than an earlier one would: at the next solver. */
static void go_on(Call *call) {
  Dmf *dmf = session_of(call);
  if (!dmf->config.partial || call->eval->worker || call->eval->stop == &dmf->calm) return;
  if (!session_stops(dmf)) return;
  session_watch(dmf, call->eval->stop = &dmf->calm);
  diag_warning(call->eval->diags, call->span, NULL,
               "interrupted: this result is whole; the script ends at the next solver");
}

/* Runs a solver of a program, or with none the fluctuations of a theory. */
Value *solver_run(Call *call, Program *program, Solver solver, const Result *theory,
                  SolveOptions options) {
  Dmf *dmf = session_of(call);
  Result *result = NULL;
  char *why = NULL;
  size_t steps = program && program->problem ? (size_t)program->problem->steps : 0;
  if (solver && !is_common(call))
    return eval_error(
        call->eval, call->span, NULL,
        "the processes do not all make the same call here: a file that they read, or a "
        "setting, is not the same for all");
  solver_sign(call, &options);
  fflush(dmf->results);
  pthread_mutex_unlock(&dmf->lock);
  double until = program && program->problem ? program->problem->until : 0, change = 0;
  Status status = !solver     ? solve_fluctuations(theory, &options, &result, &why)
                  : until > 0 ? solve_until(solver, program, &options, &change, &result, &why)
                              : solver(program, &options, &result, &why);
  pthread_mutex_lock(&dmf->lock);
  status = settle(dmf, status, &result, &why);
  if (options.progress) solver_progress_end(dmf);
  solver_keeping(call, &options);
  Value *value;
  if (status == STATUS_OK) {
    result_note(result, "version", "%s", dmf_version());
    if (solver) warn_of_growth(call, result);
    if (until > 0 && change >= until)
      diag_warning(call->eval->diags, call->span, "more steps, or a larger 'until'",
                   "after %d steps the loss still changes by %.2g in one", program->problem->steps,
                   change);
    value = with_recipe(call, solver ? program : NULL, steps, result);
    go_on(call);
  } else if (result) {
    value = take_partial(call, program, steps, result, why);
  } else {
    value = solver_report(call, status, why, options.checkpoint != NULL);
  }
  free(why);
  return value;
}

/* A call in the recipe of a result from a file gives this very result, which has here its origin.
 * What was not saved can be computed. */
static Value *adopt(Call *call, int kind, Program *program, SolveOptions options) {
  Result *result = session_of(call)->loading;
  bool shorter = result_attribute(result, "incomplete") || program->problem->until > 0;
  const char *steps = shorter ? result_attribute(result, "steps") : NULL;
  if (steps && atoi(steps) > 0 && atoi(steps) < program->problem->steps)
    program_shorten(program, atoi(steps));
  Result *wanted = promised(kind, program, &options);
  Sizes sizes = sizes_of(program);
  bool fits = !result->origin && strcmp(result->kind, wanted->kind) == 0;
  bool alone = kind == NETS && options.ensemble == 1;
  for (int i = 0; fits && i < wanted->field_count; i++) {
    const ResultField *field = &wanted->fields[i];
    const ResultField *own = result_find(result, field->name, field->layer);
    FieldId id = field_id(field->name);
    Array shape;
    shape.rank = field_shape(id, sizes, shape.shape);
    if (own)
      fits = array_same_shape(own->value, &shape);
    else if (!(alone && is_of_many(field_row(id))))
      field_promise(result, id, field->layer);
  }
  result_drop(wanted);
  if (!fits)
    return eval_error(call->eval, call->span, NULL, "the fields are not those of this call");
  if (kind == NETS)
    solve_networks_origin(result, program, &options);
  else
    solve_dmft_origin(result, program, &options);
  return value_result(&call->eval->heap, result_keep(result));
}

/* A line of a plan; that of a sweep counts for all its points. */
static void put_plan(const Eval *eval, Span span, const char *what, const SolvePlan *plan) {
  Dmf *dmf = eval->host->self;
  int line, column;
  span_locate(span, &line, &column);
  double times = dmf->planned.times;
  fprintf(dmf->results, "%s:%d: %-8s %10.3g MB", span.source->name, line, what, plan->bytes * 1e-6);
  if (plan->seconds > 0)
    fprintf(dmf->results, " %10.3g Gflop %10.2g s", times * plan->flops * 1e-9,
            times * plan->seconds);
  if (times > 1) fprintf(dmf->results, ", %g times", times);
  if (plan->error > 0) fprintf(dmf->results, ", more until the error is %g", plan->error);
  fputc('\n', dmf->results);
  dmf->planned.calls++;
  dmf->planned.flops += times * plan->flops;
  dmf->planned.seconds += times * plan->seconds;
}

void solver_plan(Call *call, Program *program, bool networks, const SolveOptions *options) {
  SolveOptions quiet = *options;
  SolvePlan plan;
  quiet.progress = NULL;
  if (program->system)
    solve_plan_system(program, &quiet, networks, &plan);
  else
    (networks ? solve_plan_networks : solve_plan_dmft)(program, &quiet, &plan);
  bool sampled =
      !networks && !program->linear && (program->system || !solve_is_tangent(program, options));
  plan.error = sampled ? options->error : 0;
  put_plan(call->eval, call->span, call->row->name, &plan);
}

void solver_plan_fluctuations(Call *call, const Result *theory, SolveOptions *options,
                              const NoiseAsked *asked) {
  SolvePlan plan;
  solve_plan_fluctuations(theory, options, asked, &plan);
  put_plan(call->eval, call->span, call->row->name, &plan);
}

/* Which fields were asked for stands in a note of the placeholder. */
void solver_foresee(Eval *eval, Span span, Result *result, const char *name) {
  const Dmf *dmf = eval->host->self;
  const Origin *origin = result->origin;
  static const char asked[] = "asked for";
  if (!dmf->planning || !origin || strcmp(result->kind, "fluctuations") != 0) return;
  const char *before = result_attribute(result, asked);
  char *own = mem_format(" %s ", strncmp(name, "mean_shift", 10) == 0 ? "mean_shift" : name);
  bool known = before && strstr(before, own);
  if (!known) {
    char *all = mem_format("%s%s", before ? before : "", own);
    SolveOptions options = origin->options;
    SolvePlan plan;
    result_note(result, asked, "%s", all);
    free(all);
    solve_plan_fluctuations(result, &options, &(NoiseAsked){.name = name}, &plan);
    if (plan.bytes > 0) put_plan(eval, span, name, &plan);
  }
  free(own);
}

/* The depths at which layers without end are solved: 8, 16, 32, and where nothing is sampled 64. */
enum { FIRST_DEPTH = 8, DEPTHS = 3, EXACT_DEPTHS = 4 };

/* Gives a program with such layers those of larger depth. */
static void deepen(Call *call, Program *program, bool exact) {
  int count = call->eval->dry && !session_of(call)->planning ? 1 : exact ? EXACT_DEPTHS : DEPTHS;
  for (int k = 1; k < count && program; k++, program = program->deeper)
    program->deeper = program_of(call, FIRST_DEPTH << k);
}

/* Why the limit of infinite depth cannot be taken of it; NULL: it can. */
static const char *refuses_depth(const Program *program) {
  if (program->problem->until > 0)
    return "training 'until' it settles may take other steps at every depth: layers without end "
           "need a number of steps";
  return NULL;
}

/* Why a call asks for what is not there; NULL: it does not. */
static const char *refuses_call(int kind, const Program *program, const SolveOptions *options) {
  if (kind != NETS) return solve_refuses(program, options);
  if (!options->conditioned || !program_has_law(program, true)) return NULL;
  return "conditioning draws what normal or orthogonal matrices do: other entries between "
         "populations, which have the same limit, are those of method = \"trained\"";
}

/* Checks a call, or solves it. */
static Value *ask(Call *call, int kind, Solver solver, SolveOptions options) {
  Eval *eval = call->eval;
  int before = eval->diags->errors;
  Program *program = program_of(call, kind == DMFT ? FIRST_DEPTH : 0);
  if (!program)
    return eval->diags->errors > before ? call_broken(call) : value_new(&eval->heap, VALUE_UNKNOWN);
  Dmf *dmf = session_of(call);
  options.width = program->problem->width;
  solver_surround(eval, &options);
  if (kind == DMFT && solve_is_tangent(program, &options)) kind = LAZY;
  const char *refusal = refuses_call(kind, program, &options);
  bool deep = is_deep(program);
  if (!refusal && deep) refusal = refuses_depth(program);
  if (deep) deepen(call, program, kind == LAZY || program->linear);
  if (!refusal && kind != NETS && dmf->equations) refusal = refuses_equations(program, &options);
  Value *value;
  if (eval->diags->errors > before) {
    value = call_broken(call);
  } else if (refusal) {
    value = eval_error(eval, call->span, NULL, "%s", refusal);
  } else if (kind == NETS && !options.width) {
    value = eval_error(eval, call->places[0], "such as width = 512",
                       "model '%s' gives no 'width' to simulate", program->problem->model_name);
  } else if (dmf->loading) {
    value = adopt(call, kind, program, options);
  } else if (!eval->dry) {
    value = solver_run(call, program, deep ? solve_deep : solver, NULL, options);
  } else {
    if (dmf->lowered) session_lower(dmf, program);
    for (Program *p = program; p && dmf->planning; p = p->deeper)
      solver_plan(call, p, kind == NETS, &options);
    if (dmf->equations && !deep) add_equations(dmf, program, &options);
    value = value_result(&eval->heap, placeholders(kind, program, &options));
    value->known = false;
  }
  program_drop(program);
  return value;
}

/* Which of the words (a list that ends with NULL) an argument is, -1 after reporting; 0 in a check
 * that does not know. */
static int word_of(Call *call, int i, const char *const *words) {
  const char *name = call_argument_name(call, i);
  const Value *value = call->args[i];
  if (value->kind != VALUE_STRING) {
    eval_error(call->eval, call->places[i], NULL, "'%s' must be a string, not %s", name,
               value_describe(value));
    return -1;
  }
  for (int k = 0; value->known && words[k]; k++)
    if (strcmp(value->string, words[k]) == 0) return k;
  if (!value->known) return 0;
  eval_unknown(call->eval, call->places[i], value->string, words, "unknown %s '%s'", name,
               value->string);
  return -1;
}

bool solver_closure(Call *call, int i, Closure *closure) {
  static const char *const names[] = {"full", "ntk", "gradient_independence", "perturbative", NULL};
  int which = word_of(call, i, names);
  *closure = which < 0 ? CLOSURE_FULL : (Closure)which;
  return which >= 0;
}

/* A training, which a model needs and a system has not; false after reporting. */
static bool has_training(Call *call) {
  if (call->args[1]->kind != VALUE_NONE) return true;
  eval_error(call->eval, call->span, NULL, "'%s' needs its argument 'training'", call->row->name);
  return false;
}

bool solver_error(Call *call, int i, double *error) {
  const Value *value = call->args[i];
  bool fine = value->kind == VALUE_NUMBER && (!value->known || value->number >= 0);
  if (!fine)
    eval_error(call->eval, call->places[i], "0 asks for none, and takes the samples that are given",
               "'error' must be a number that is not negative");
  *error = fine && value->known ? value->number : 0;
  return fine;
}

bool solver_precision(Call *call, int i, SolveOptions *options) {
  static const char *const precisions[] = {"double", "single", NULL};
  int which = word_of(call, i, precisions);
  options->single = which == 1;
  return which >= 0;
}

/* A sentence, which is freed, or NULL. */
static void warn(Call *call, char *caution) {
  if (caution) diag_warning(call->eval->diags, call->span, NULL, "%s", caution);
  free(caution);
}

static Value *warn_of_precision(Call *call, Value *value) {
  bool solved = value->kind == VALUE_RESULT && !call->eval->dry && !session_of(call)->loading;
  if (solved) warn(call, solve_precision_caution(value->result));
  return value;
}

static Value *dmft(Call *call) {
  SolveOptions options = {0};
  Checkpoint checkpoint = {0};
  if (system_is_asked(call)) return system_dmft(call);
  if (!has_training(call) || !training_has_steps(call)) return call_broken(call);
  const Value *tol = call->args[5];
  bool sound = solver_count(call, 2, FEWEST_SAMPLES, &options.samples) &
               solver_seed(call, 3, &options.seed) & solver_closure(call, 4, &options.closure);
  sound &= solver_error(call, 7, &options.error) &
           solver_count(call, 8, FEWEST_SAMPLES, &options.most) &
           solver_keeps(call, 9, &checkpoint, &options) & solver_precision(call, 10, &options);
  if (tol->kind != VALUE_NUMBER || (tol->known && !(tol->number >= 0 && tol->number < 1))) {
    eval_error(call->eval, call->places[5], "0 lets the solver choose",
               "'tol' must be a number from 0 to 1");
    sound = false;
  }
  if (!sound) return call_broken(call);
  options.tol = tol->number;
  Value *value = ask(call, DMFT, solve_dmft, options);
  bool solved = value->kind == VALUE_RESULT && !session_of(call)->loading;
  if (solved) warn(call, solve_caution(value->result));
  return warn_of_precision(call, value);
}

/* Below the least width the expansion has broken down; a model may give no width (0). */
static void warn_of_width(Call *call, const Result *noise, double width) {
  const char *least = result_attribute(noise, "least_width");
  if (!least || width == 0 || !(strtod(least, NULL) > width)) return;
  diag_warning(call->eval->diags, call->span, NULL,
               "networks of width %g fluctuate as much as the targets are large: the expansion in "
               "1/N needs a width well above %s",
               width, least);
}

static const char of_a_depth[] =
    "this is the limit of infinite depth, which has neither samples nor networks: take the theory "
    "at a depth, as of 16 * residual(tanh)";

/* What a check knows of fluctuations; those of a placeholder have the options that are asked for,
 * to plan what comes later. */
static Value *foreseen(Call *call, const Result *theory, SolveOptions options) {
  const Origin *origin = theory->origin;
  options.closure = origin->options.closure;
  options.parts = origin->options.parts;
  if (session_of(call)->planning)
    solver_plan_fluctuations(call, theory, &options, &(NoiseAsked){0});
  Value *value = value_result(&call->eval->heap, placeholders(NOISE, origin->program, &options));
  value->known = false;
  return value;
}

static Value *fluctuations(Call *call) {
  Eval *eval = call->eval;
  const Value *from = call->args[0];
  SolveOptions options = {0};
  Checkpoint checkpoint = {0};
  if (from->kind == VALUE_UNKNOWN) return value_new(&eval->heap, VALUE_UNKNOWN);
  if (from->kind != VALUE_RESULT)
    return eval_error(eval, call->places[0], NULL, "'fluctuations' takes a result of dmft, not %s",
                      value_describe(from));
  if (!(solver_count(call, 1, 0, &options.samples) & solver_seed(call, 2, &options.seed) &
        solver_keeps(call, 4, &checkpoint, &options)))
    return call_broken(call);
  if (result_attribute(from->result, "system")) return system_fluctuations(call, options);
  if (result_attribute(from->result, "depths"))
    return eval_error(eval, call->places[0], NULL, "%s", of_a_depth);
  const char *refusal = solve_refuses_fluctuations(from->result);
  if (refusal) return eval_error(eval, call->places[0], NULL, "%s", refusal);
  bool expression = call->args[3]->kind != VALUE_NONE;
  solver_surround(eval, &options);
  if (expression) return slopes_call(call, call->nodes[3], from->result, call->args[3], options);
  if (eval->dry) return foreseen(call, from->result, options);
  const Origin *origin = from->result->origin;
  Value *value = solver_run(call, NULL, NULL, from->result, options);
  int width = origin->program->problem->width;
  if (value->kind == VALUE_RESULT) warn_of_width(call, value->result, width);
  return value;
}

/* What a system observes, as a hint, to be freed. */
static char *observed(const System *system) {
  char *hint = mem_string("one of: ");
  for (int i = 0; i < system->field_count; i++)
    mem_append(&hint, "%s%s", i ? ", " : "", system->fields[i].name);
  return hint;
}

/* "f", or "Phi[2]". False after reporting. */
static bool noise_field_of(Call *call, int i, const Program *program, NoiseField *field) {
  const Value *value = call->args[i];
  const char *text = value->kind == VALUE_STRING ? value->string : "";
  size_t length = strcspn(text, "[");
  char end = 0;
  int layer = 0, read = text[length] ? sscanf(text + length, "[%d%c", &layer, &end) : 2;
  bool whole = !text[length] || (read == 2 && end == ']' && text[strlen(text) - 1] == ']');
  char *name = mem_format("%.*s", (int)length, text);
  bool has = whole && solve_fluctuates(program, name, layer, field);
  FieldId variance = has && !program->system ? field_that_is(KIND_VARIANCE, (FieldId)field->id) : 0;
  free(name);
  if (has && (program->system || (variance != FIELD_COUNT && field_row(variance)->solvers & NOISE)))
    return true;
  char *hint = program->system ? observed(program->system)
                               : mem_string("covariance(noise, \"loss\", \"Phi[2]\")");
  eval_error(call->eval, call->places[i], hint,
             "'%s' must name a field of this theory that has variances",
             call_argument_name(call, i));
  free(hint);
  return false;
}

static Status covary(Call *call, const Result *noise, const NoiseField *field, Array **numbers,
                     Array **error, char **why) {
  Dmf *dmf = session_of(call);
  pthread_mutex_unlock(&dmf->lock);
  Status status = solve_covariance(noise, field[0], field[1], numbers, error, why);
  pthread_mutex_lock(&dmf->lock);
  status = session_settle(dmf, status, why);
  if (!call->eval->worker && solver_shows_progress(dmf)) solver_progress_end(dmf);
  return status;
}

/* N times the covariance of two fields. */
static Value *covariance(Call *call) {
  Eval *eval = call->eval;
  const Value *from = call->args[0];
  NoiseField field[2];
  if (from->kind == VALUE_UNKNOWN) return value_new(&eval->heap, VALUE_UNKNOWN);
  if (from->kind != VALUE_RESULT || strcmp(from->result->kind, "fluctuations") != 0 ||
      !from->result->origin)
    return eval_error(eval, call->places[0], NULL, "'noise' must be a result of fluctuations");
  if (!call->args[1]->known || !call->args[2]->known) return value_new(&eval->heap, VALUE_UNKNOWN);
  const Program *program = ((const Origin *)from->result->origin)->program;
  if (!noise_field_of(call, 1, program, &field[0]) || !noise_field_of(call, 2, program, &field[1]))
    return call_broken(call);
  size_t shape[ARRAY_MAX_RANK], size = 1;
  int rank = solve_covariance_shape(from->result, field[0], field[1], shape);
  for (int i = 0; i < rank; i++) size *= shape[i];
  SolveOptions options = ((const Origin *)from->result->origin)->options;
  if (eval->dry && session_of(call)->planning)
    solver_plan_fluctuations(call, from->result, &options,
                             &(NoiseAsked){.fields = field, .count = 2});
  if (eval->dry && size > PLACEHOLDER_LIMIT) return value_new(&eval->heap, VALUE_UNKNOWN);
  Array *numbers = NULL, *error = NULL;
  char *why = NULL;
  Status status = STATUS_OK;
  if (eval->dry)
    numbers = array_new(rank, shape);
  else
    status = covary(call, from->result, field, &numbers, &error, &why);
  Value *value = status == STATUS_OK && numbers ? value_array(&eval->heap, numbers)
                 : why ? eval_fail(eval, status, call->span, NULL, "%s", why)
                       : eval_starve(eval, call->span);
  if (status == STATUS_OK && numbers) value->known = !eval->dry;
  value->error = array_keep(error);
  if (error) trail_begin(value, error, NULL);
  free(why);
  return value;
}

static Value *at(Call *call) {
  Eval *eval = call->eval;
  const Value *theory = call->args[0], *noise = call->args[1];
  static const char *const kinds[] = {"dmft", "fluctuations"};
  double width = 1;
  for (int i = 0; i < 2; i++) {
    const Value *from = call->args[i];
    if (from->kind == VALUE_UNKNOWN) return value_new(&eval->heap, VALUE_UNKNOWN);
    if (from->kind != VALUE_RESULT || strcmp(from->result->kind, kinds[i]) != 0)
      return eval_error(eval, call->places[i], "at(theory, fluctuations(theory), 512)",
                        "'%s' must be a result of %s", call_argument_name(call, i), kinds[i]);
  }
  if (result_attribute(theory->result, "system"))
    return eval_error(eval, call->places[0], "var_NAME / N of its fluctuations is a variance",
                      "'at' takes a theory of a model: of a system no mean shift is known");
  if (call->args[2]->known && !call_whole(call, 2, 1, 1e15, &width)) return call_broken(call);
  const Origin *a = theory->result->origin, *b = noise->result->origin;
  if (!a || !b || (!eval->dry && a->program != b->program))
    return eval_error(eval, call->places[1], NULL,
                      "these fluctuations are not those of this theory");
  if (program_has_law(a->program, true))
    return eval_error(eval, call->places[0], NULL, "%s", fourth_moments);
  Value *value;
  if (eval->dry) {
    solver_foresee(eval, call->span, noise->result, "mean_shift_f");
    value = value_result(&eval->heap, placeholders(AT, b->program, &b->options));
    value->known = false;
    return value;
  }
  Result *result = NULL;
  char *why = NULL;
  Status status = solver_complete(eval, noise->result, "mean_shift_f", &why);
  if (status == STATUS_OK)
    status = solve_predict(theory->result, noise->result, width, &result, &why);
  value = status == STATUS_OK ? value_result(&eval->heap, result)
                              : eval_fail(eval, status, call->span, NULL, "%s", why);
  if (status == STATUS_OK) warn_of_width(call, noise->result, width);
  free(why);
  return value;
}

bool solver_networks(Call *call, int method, int precision, SolveOptions *options) {
  static const char *const methods[] = {"trained", "conditioned", NULL};
  int how = word_of(call, method, methods);
  bool sound = how >= 0 && solver_precision(call, precision, options);
  options->conditioned = how == 1;
  if (how == 1 && options->single)
    eval_error(call->eval, call->places[precision], "method = \"trained\"",
               "networks whose matrices are not formed are in double precision");
  return sound && !(how == 1 && options->single);
}

/* The size of a system, or of data that grow; false after reporting. */
static bool has_no_size(Call *call) {
  if (call->args[6]->kind == VALUE_NONE) return true;
  eval_error(call->eval, call->places[6], "net with { width = 512 }",
             "'size' is that of a system, or of data that grow; a model has its width");
  return false;
}

static Value *simulate(Call *call) {
  SolveOptions options = {0};
  Checkpoint checkpoint = {0};
  if (system_is_asked(call)) return system_simulate(call);
  if (!has_training(call) || !training_has_steps(call) || !has_no_size(call))
    return call_broken(call);
  bool sound = solver_count(call, 2, 1, &options.ensemble) & solver_seed(call, 3, &options.seed) &
               solver_networks(call, 4, 7, &options) & solver_keeps(call, 8, &checkpoint, &options);
  return sound ? warn_of_precision(call, ask(call, NETS, solve_networks, options))
               : call_broken(call);
}

/* A time of a result, negative ones counted from the last. */
static bool step_of(Call *call, int i, const Result *result, int *step) {
  const ResultField *t = result_find(result, "t", 0);
  double last = t && t->value ? (double)t->value->size - 1 : 0, number = 0;
  if (!call->args[i]->known) return true;
  if (!call_whole(call, i, -last - 1, last, &number)) return false;
  *step = (int)(number < 0 ? number + last + 1 : number);
  return true;
}

/* The samples of a field; how many there are, a check does not know. */
static Value *preactivations(Call *call) {
  Eval *eval = call->eval;
  const Value *from = call->args[0];
  if (from->kind == VALUE_RESULT && result_attribute(from->result, "depths"))
    return eval_error(eval, call->places[0], NULL, "%s", of_a_depth);
  if (from->kind != VALUE_RESULT || !result_layers(from->result, "Phi"))
    return eval_error(eval, call->places[0], NULL,
                      "'preactivations' takes a result of dmft or simulate, not %s",
                      from->kind == VALUE_RESULT ? "a comparison" : value_describe(from));
  double layer = 1;
  int step = 0, layers = result_layers(from->result, "Phi");
  if (call->args[1]->known && !call_whole(call, 1, 1, layers, &layer)) return call_broken(call);
  if (!step_of(call, 2, from->result, &step)) return call_broken(call);
  if (eval->dry) return value_new(&eval->heap, VALUE_UNKNOWN);
  Array *samples = NULL;
  char *why = NULL;
  Dmf *dmf = session_of(call);
  pthread_mutex_unlock(&dmf->lock);
  Status status = solve_preactivations(from->result, (int)layer, step, &samples, &why);
  pthread_mutex_lock(&dmf->lock);
  status = session_settle(dmf, status, &why);
  if (!eval->worker && solver_shows_progress(dmf)) solver_progress_end(dmf);
  Value *value = status == STATUS_OK ? value_array(&eval->heap, samples)
                                     : eval_fail(eval, status, call->span, NULL, "%s", why);
  free(why);
  return value;
}

/* [L, Q, Q]: a kernel of every layer at t = 0, into `to`. False with *why. */
static bool collect_kernels(Result *result, const char *name, size_t Q, double *to, char **why) {
  int layers = result_layers(result, name);
  if (result_complete(result, name, why) != STATUS_OK) return false;
  for (int l = 1; l <= layers; l++) {
    const Array *kernel = result_find(result, name, l)->value;
    for (size_t a = 0; a < Q; a++, to += Q)
      memcpy(to, kernel->data + a * kernel->shape[2] * Q, Q * sizeof *to);
  }
  return true;
}

/* The kernels of the untrained network. */
static Status kernels_of(Program *program, SolveOptions options, Array *kernels, char **why) {
  Result *result = NULL;
  size_t Q = kernels->shape[2], half = kernels->size / 2;
  options.closure = CLOSURE_NTK;
  Status status = solve_dmft(program, &options, &result, why);
  if (status == STATUS_OK && !(collect_kernels(result, "Phi", Q, kernels->data, why) &&
                               collect_kernels(result, "G", Q, kernels->data + half, why)))
    status = STATUS_LIMIT;
  result_drop(result);
  return status;
}

/* The kernels of a program, which is taken over, as a value; a check makes none. */
static Value *untrained(Call *call, Program *program, SolveOptions options) {
  Eval *eval = call->eval;
  Dmf *dmf = session_of(call);
  size_t Q = sizes_of(program).all, shape[] = {2, (size_t)program->layers, Q, Q};
  Array *kernels = array_new(4, shape);
  char *why = NULL;
  Status status = kernels ? STATUS_OK : STATUS_LIMIT;
  if (kernels && !eval->dry) {
    pthread_mutex_unlock(&dmf->lock);
    status = kernels_of(program, options, kernels, &why);
    pthread_mutex_lock(&dmf->lock);
  }
  program_drop(program);
  Value *value;
  if (status == STATUS_OK) {
    value = value_array(&eval->heap, kernels);
    value->known = !eval->dry;
  } else {
    array_drop(kernels);
    value =
        why ? eval_fail(eval, status, call->span, NULL, "%s", why) : eval_starve(eval, call->span);
  }
  free(why);
  return value;
}

static Value *propagate(Call *call) {
  Eval *eval = call->eval;
  int depth = 0, before = eval->diags->errors;
  SolveOptions options = {0};
  const Value *inputs = call->args[2];
  bool given = inputs->kind != VALUE_NONE;
  if (!call->args[1]->known) return value_new(&eval->heap, VALUE_UNKNOWN);
  bool sound = (call->args[1]->kind == VALUE_NONE || solver_count(call, 1, 1, &depth)) &
               solver_count(call, 3, FEWEST_SAMPLES, &options.samples) &
               solver_seed(call, 4, &options.seed) & solver_can_compute(call);
  if (given && (inputs->kind != VALUE_ARRAY || inputs->array->rank < 2 || !inputs->array->size)) {
    eval_error(eval, call->places[2], "one row for each point: [[1, 0], [0, 1]]",
               "'inputs' must be [points, dimensions], not %s", value_describe(inputs));
    sound = false;
  }
  if (!sound) return call_broken(call);
  Problem *problem = problem_untrained(eval, call->args[0], call->places[0],
                                       given ? inputs->array : NULL, depth, call->places[1]);
  Program *program = problem ? program_lower(problem, eval->pool, eval->diags) : NULL;
  if (!program) {
    if (eval->diags->errors == before) return value_new(&eval->heap, VALUE_UNKNOWN);
    eval->halted |= !eval->dry;
    return call_broken(call);
  }
  solver_surround(eval, &options);
  options.progress = NULL;
  return untrained(call, program, options);
}

static Value *ir(Call *call) {
  if (system_is_asked(call)) return system_ir(call);
  if (!has_training(call)) return call_broken(call);
  Program *program = program_of(call, 0);
  if (!program)
    return call->eval->diags->errors ? call_broken(call)
                                     : value_new(&call->eval->heap, VALUE_UNKNOWN);
  char *text = program_print(program, NULL);
  Value *value = value_string(&call->eval->heap, text);
  free(text);
  program_drop(program);
  return value;
}

static Value *equations(Call *call) {
  static const char *const formats[] = {"text", "latex", NULL};
  Closure closure = CLOSURE_FULL;
  if (system_is_asked(call)) return system_equations(call);
  if (!has_training(call)) return call_broken(call);
  int format = word_of(call, 2, formats), before = call->eval->diags->errors;
  if (!solver_closure(call, 3, &closure) || format < 0) return call_broken(call);
  Program *program = program_of(call, 0);
  if (!program)
    return call->eval->diags->errors > before ? call_broken(call)
                                              : value_new(&call->eval->heap, VALUE_UNKNOWN);
  SolveOptions options = {.closure = closure};
  const char *refusal = solve_refuses(program, &options);
  if (!refusal) refusal = refuses_equations(program, &options);
  if (refusal) {
    program_drop(program);
    return eval_error(call->eval, call->span, NULL, "%s", refusal);
  }
  char *text = equations_print(program, closure, true, format);
  char *whole = format ? equations_document(text) : mem_string(text);
  Value *value = value_string(&call->eval->heap, whole);
  free(text);
  free(whole);
  program_drop(program);
  return value;
}

/* Comparison */

/* Whether the fields can be compared; a check does not know the shape of large ones. */
static bool match(const ResultField *a, const ResultField *b, bool dry) {
  if (a->value && b->value) return array_same_shape(a->value, b->value);
  return dry;
}

/* Relative to a value, what rounds in sums over neurons: differences below it are none, and errors
 * judge nothing. */
static const double ROUNDING = 1e-14;

/* N times a variance, or a covariance, that comes of rounding: of a field that var_NAME and
 * cov_NAME are of, where the result has it. 0: it is no variance. */
static double rounding_variance(const Result *result, const ResultField *variance) {
  const char *name = variance->name, *width = result_attribute(result, "width");
  bool spread = strncmp(name, "var_", 4) == 0 || strncmp(name, "cov_", 4) == 0;
  const ResultField *mean = spread ? result_find(result, name + 4, variance->layer) : NULL;
  double largest = 0;
  for (size_t i = 0; mean && mean->value && i < mean->value->size; i++)
    largest = fmax(largest, fabs(mean->value->data[i]));
  return (width ? strtod(width, NULL) : 1) * pow(ROUNDING * largest, 2);
}

/* max |a - b|, root mean square of z, max |z|, with z in units of the joint standard error, where
 * there is one, and that is above `least`. */
static Array *compare_fields(const ResultField *a, const ResultField *b, double least) {
  size_t three = 3, judged = 0;
  Array *summary = array_new(1, &three);
  double squares = 0;
  bool both = a->value && b->value;
  for (size_t i = 0; summary && both && i < a->value->size; i++) {
    double rounding = fmax(least, ROUNDING * fabs(b->value->data[i]));
    double difference = a->value->data[i] - b->value->data[i];
    if (fabs(difference) <= rounding) difference = 0;
    double ea = a->error ? a->error->data[i] : 0, eb = b->error ? b->error->data[i] : 0;
    double error = hypot(ea, eb);
    summary->data[0] = fmax(summary->data[0], isfinite(difference) ? fabs(difference) : INFINITY);
    if (!(error > rounding)) continue;
    double z = difference / error;
    squares += z * z;
    judged++;
    summary->data[2] = fmax(summary->data[2], fabs(z));
  }
  if (summary && judged) summary->data[1] = sqrt(squares / (double)judged);
  return summary;
}

/* What networks give is what theories are held against, but for the shares of points in classes,
 * which jump where f crosses a threshold: networks then differ by 1/sqrt(N), and not as f does. */
static bool comparable(const Result *result, const char *name) {
  if (result_attribute(result, "system")) return strcmp(name, "t") != 0;
  FieldId id = field_id(name);
  return id != FIELD_COUNT && id != FIELD_T && !field_jumps(id) &&
         field_row(id)->solvers & FROM_NETS;
}

static Result *compare_results(const Result *a, const Result *b, bool dry) {
  Result *result = result_new("compare");
  for (int i = 0; i < a->field_count; i++) {
    const ResultField *x = &a->fields[i], *y = result_find(b, x->name, x->layer);
    if (!comparable(a, x->name) || !y || !match(x, y, dry)) continue;
    double least = fmax(rounding_variance(a, x), rounding_variance(b, y));
    result_add(result, x->name, x->layer, "summary", "max |a - b|, rms z, max |z|",
               compare_fields(x, y, least), NULL);
  }
  return result;
}

/* Whether to solve again for fields over pairs of times is cheap. */
static bool is_small(const Result *result) {
  enum { SMALL = 1000 };
  const Origin *origin = result->origin;
  if (!origin || !origin->program->problem) return false;
  Sizes sizes = sizes_of(origin->program);
  return sizes.steps * sizes.all <= SMALL;
}

Status session_complete_small(Eval *eval, Result *result, char **why) {
  return is_small(result) ? solver_complete(eval, result, NULL, why) : STATUS_OK;
}

/* Computes the fields that the other result has as well, and that were left out. */
static bool complete_shared(Call *call, int i) {
  Result *own = call->args[i]->result;
  const Result *other = call->args[1 - i]->result;
  char *why = NULL;
  Status status = STATUS_OK;
  for (int k = 0; k < own->field_count && !call->eval->dry && is_small(own); k++) {
    const ResultField *field = &own->fields[k];
    bool shared = comparable(own, field->name) && result_find(other, field->name, field->layer);
    if (status == STATUS_OK && shared && !field->value)
      status = solver_complete(call->eval, own, field->name, &why);
  }
  if (status != STATUS_OK)
    eval_fail(call->eval, status, call->places[i], NULL, "%s",
              why ? why : "the result is incomplete");
  free(why);
  return status == STATUS_OK;
}

Result *solver_compared(Eval *eval, Result *a, Result *b) {
  Result *result = compare_results(a, b, eval->dry);
  if (result->field_count) return result;
  result_drop(result);
  return NULL;
}

static Value *compare(Call *call) {
  for (int i = 0; i < 2; i++)
    if (call->args[i]->kind != VALUE_RESULT)
      return eval_error(call->eval, call->places[i], NULL, "'compare' takes two results, not %s",
                        value_describe(call->args[i]));
  if (!complete_shared(call, 0) || !complete_shared(call, 1)) return call_broken(call);
  Result *result = compare_results(call->args[0]->result, call->args[1]->result, call->eval->dry);
  if (result->field_count) return value_result(&call->eval->heap, result);
  result_drop(result);
  return eval_error(call->eval, call->span, NULL,
                    "the two results have no field of one shape in common");
}

static Value *sweep(Call *call) { return sweep_call(call); }

const Builtin solver_rows[] = {
#define SOLVER(name, signature, flags, about)                                                      \
  {#name, signature, about, name, (flags) | BUILTIN_SETTLED, PRIM_COUNT},
#include "session/solvers.def"
    {0},
};
