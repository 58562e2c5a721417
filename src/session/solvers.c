/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The calls that ask for something to be solved. */
#include "session/session.h"
#include "base/memory.h"
#include "model/build.h"
#include "model/builtins.h"
#include "solve/observe.h"
#include "solve/solve.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static Dmf *session_of(Call *call) { return call->eval->host->self; }

/* Placeholders of a check */

/* Who fills a field: the march, the networks, the lazy limit. */
enum { DMFT = 1, NETS = 2, LAZY = 4 };
typedef enum Extent { PLAIN, LAYERS, GAPS } Extent;
typedef enum Presence { ALWAYS, TESTED, JUDGED, ALIGNED } Presence;

typedef struct FieldRow {
  FieldId id;
  Extent extent;
  int solvers;
  Presence presence;
} FieldRow;

static const FieldRow field_rows[] = {
#define FIELD(id, extent, solvers, presence) {FIELD_##id, extent, solvers, presence},
#include "session/fields.def"
#undef FIELD
};

static const struct {
  const char *name, *axes;
} field_names[FIELD_COUNT] = {
#define FIELD(id, name, axes, about) {name, axes},
#include "solve/fields.def"
#undef FIELD
};

enum { PLACEHOLDER_LIMIT = 1000000 };

static bool present(const FieldRow *row, const Program *program) {
  switch (row->presence) {
  case TESTED: return program->problem->tests > 0;
  case JUDGED: return program->problem->test_targets != NULL;
  case ALIGNED: return observe_aligns(program);
  default: return true;
  }
}

static size_t axis_length(const char *axis, size_t length, Sizes sizes) {
  if (length == 2) return sizes.points; /* mu, nu */
  switch (*axis) {
  case 't':
  case 's': return sizes.steps;
  case 'c': return sizes.outputs;
  case 'n': return sizes.all - sizes.points;
  default: return sizes.all;
  }
}

/* Zeros of the field's shape; NULL when they would be many. */
static Array *placeholder(FieldId id, Sizes sizes) {
  size_t shape[ARRAY_MAX_RANK];
  int rank = 0;
  if (field_size(id, sizes) > PLACEHOLDER_LIMIT) return NULL;
  for (const char *axis = field_names[id].axes; *axis;) {
    size_t length = strcspn(axis, ",");
    bool single = *axis == 'c' && sizes.outputs == 1;
    if (!single) shape[rank++] = axis_length(axis, length, sizes);
    axis += length + (axis[length] == ',');
  }
  return array_new(rank, shape);
}

static Result *placeholders(int solver, const Program *program) {
  Result *result = result_new(solver == NETS ? "simulate" : "dmft");
  Sizes sizes = sizes_of(program);
  for (size_t i = 0; i < sizeof field_rows / sizeof *field_rows; i++) {
    const FieldRow *row = &field_rows[i];
    if (!(row->solvers & solver) || !present(row, program)) continue;
    int last = row->extent == PLAIN  ? 0
               : row->extent == GAPS ? program->layers - 1
                                     : program->layers;
    for (int layer = row->extent != PLAIN; layer <= last; layer++)
      result_add(result, field_names[row->id].name, layer, field_names[row->id].axes, "",
                 placeholder(row->id, sizes), NULL);
  }
  static const char *const attributes[] = {"model", "training", "seed", "seconds", "version"};
  for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++)
    result_note(result, attributes[i], "0");
  if (solver == DMFT) result_note(result, "samples", "0");
  if (solver == NETS) result_note(result, "width", "0");
  if (solver == NETS) result_note(result, "ensemble", "0");
  return result;
}

/* Solving */

static void report_progress(void *sink, const char *stage, int done, int total) {
  (void)sink;
  fprintf(stderr, "\r\033[K%s %d/%d", stage, done, total);
  fflush(stderr);
}

static bool shows_progress(const Dmf *dmf) { return !dmf->config.quiet && isatty(STDERR_FILENO); }

/* The seed of a call: its own, else that of --seed, else the default. */
static bool seed_of(Call *call, int i, uint64_t *seed) {
  double number;
  const Dmf *dmf = session_of(call);
  if (call->eval->dry && !call->args[i]->known) return true;
  if (!call_whole(call, i, 0, 9007199254740992.0, &number)) return false;
  *seed = dmf->config.has_seed && !call->nodes[i] ? dmf->config.seed : (uint64_t)number;
  return true;
}

static bool count_of(Call *call, int i, double least, int *count) {
  double number = least;
  if (call->args[i]->known && !call_whole(call, i, least, INT_MAX / 2, &number)) return false;
  *count = (int)number;
  return true;
}

/* The lowered program of a call, or NULL; errors were reported unless a check lacks the sizes. */
static Program *program_of(Call *call) {
  Eval *eval = call->eval;
  Problem *problem =
      problem_build(eval, call->args[0], call->places[0], call->args[1], call->places[1]);
  if (!problem) return NULL;
  int before = eval->diags->errors;
  Program *program = program_lower(problem, eval->pool, eval->diags);
  if (eval->diags->errors == before) return program;
  diag_note(eval->diags, call->span, "in this call of '%s'", call->row->name);
  eval->halted |= !eval->dry;
  return program;
}

static void print_program(Call *call, const Program *program) {
  Dmf *dmf = session_of(call);
  char *text = program_print(program);
  size_t length = strlen(text);
  fprintf(dmf->results, "%s%s", text, length && text[length - 1] == '\n' ? "" : "\n");
  free(text);
}

typedef Status (*Solver)(Program *, const SolveOptions *, Result **, char **);

static Value *solve(Call *call, Program *program, Solver solver, SolveOptions options) {
  Dmf *dmf = session_of(call);
  options.threads = dmf->threads;
  options.stop = &dmf->stop;
  options.progress = shows_progress(dmf) ? report_progress : NULL;
  Result *result = NULL;
  char *why = NULL;
  fflush(dmf->results);
  Status status = solver(program, &options, &result, &why);
  if (options.progress) fputs("\r\033[K", stderr);
  Value *value;
  if (status == STATUS_OK) {
    result_note(result, "version", "%s", dmf_version());
    value = value_result(&call->eval->heap, result);
  } else {
    const char *fallback = status == STATUS_INTERRUPTED ? "interrupted" : "the solver failed";
    value = eval_fail(call->eval, status, call->span, NULL, "%s", why ? why : fallback);
  }
  free(why);
  return value;
}

/* Checks a call, or solves it. */
static Value *ask(Call *call, int kind, Solver solver, SolveOptions options) {
  Eval *eval = call->eval;
  int before = eval->diags->errors;
  Program *program = program_of(call);
  if (!program)
    return eval->diags->errors > before ? call_broken(call) : value_new(&eval->heap, VALUE_UNKNOWN);
  options.width = program->problem->width;
  bool lazy = options.closure == CLOSURE_NTK || program->problem->parameterization == PARAM_NTK;
  if (kind == DMFT && lazy) kind = LAZY;
  Value *value;
  if (eval->diags->errors > before) {
    value = call_broken(call);
  } else if (kind == NETS && !options.width) {
    value = eval_error(eval, call->places[0], "such as width = 512",
                       "model '%s' gives no 'width' to simulate", program->problem->model_name);
  } else if (!eval->dry) {
    value = solve(call, program, solver, options);
  } else {
    if (session_of(call)->lowering) print_program(call, program);
    value = value_result(&eval->heap, placeholders(kind, program));
    value->known = false;
  }
  program_drop(program);
  return value;
}

static bool closure_of(Call *call, int i, Closure *closure) {
  static const char *const names[] = {"full", "ntk", "gradient_independence", "perturbative", NULL};
  const Value *value = call->args[i];
  if (value->kind != VALUE_STRING) {
    eval_error(call->eval, call->places[i], NULL, "'closure' must be a string, not %s",
               value_describe(value));
    return false;
  }
  for (int k = 0; value->known && names[k]; k++)
    if (strcmp(value->string, names[k]) == 0) {
      *closure = (Closure)k;
      return true;
    }
  if (value->known)
    eval_unknown(call->eval, call->places[i], value->string, names, "unknown closure '%s'",
                 value->string);
  return !value->known;
}

static Value *dmft(Call *call) {
  SolveOptions options = {0};
  const Value *tol = call->args[5];
  bool sound = count_of(call, 2, 1, &options.samples) & seed_of(call, 3, &options.seed) &
               closure_of(call, 4, &options.closure);
  if (tol->kind != VALUE_NUMBER || (tol->known && !(tol->number >= 0 && tol->number < 1))) {
    eval_error(call->eval, call->places[5], "0 lets the solver choose",
               "'tol' must be a number from 0 to 1");
    sound = false;
  }
  if (!sound) return call_broken(call);
  options.tol = tol->number;
  return ask(call, DMFT, solve_dmft, options);
}

static Value *simulate(Call *call) {
  SolveOptions options = {0};
  bool sound = count_of(call, 2, 1, &options.ensemble) & seed_of(call, 3, &options.seed);
  return sound ? ask(call, NETS, solve_networks, options) : call_broken(call);
}

static Value *ir(Call *call) {
  Program *program = program_of(call);
  if (!program)
    return call->eval->diags->errors ? call_broken(call)
                                     : value_new(&call->eval->heap, VALUE_UNKNOWN);
  char *text = program_print(program);
  Value *value = value_string(&call->eval->heap, text);
  free(text);
  program_drop(program);
  return value;
}

/* Comparison */

static bool same_shape(const Array *a, const Array *b) {
  return a->rank == b->rank && memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) == 0;
}

/* Whether the fields can be compared; a check does not know the shape of large ones, and a comparison
 * does not solve again to have them. */
static bool match(const ResultField *a, const ResultField *b, bool dry) {
  if (a->value && b->value) return same_shape(a->value, b->value);
  return dry;
}

/* max |a - b|, root mean square of z, max |z|, with z in units of the joint standard error, where
 * there is one. */
static Array *compare_fields(const ResultField *a, const ResultField *b) {
  size_t three = 3, judged = 0;
  Array *summary = array_new(1, &three);
  double squares = 0;
  bool both = a->value && b->value;
  for (size_t i = 0; summary && both && i < a->value->size; i++) {
    double difference = a->value->data[i] - b->value->data[i];
    double ea = a->error ? a->error->data[i] : 0, eb = b->error ? b->error->data[i] : 0;
    double error = hypot(ea, eb);
    summary->data[0] = fmax(summary->data[0], isfinite(difference) ? fabs(difference) : INFINITY);
    if (!(error > 0)) continue;
    double z = difference / error;
    squares += z * z;
    judged++;
    summary->data[2] = fmax(summary->data[2], fabs(z));
  }
  if (summary && judged) summary->data[1] = sqrt(squares / (double)judged);
  return summary;
}

static bool comparable(const char *name) {
  static const char *const names[] = {"f",   "f_test", "loss", "test_loss",
                                      "ntk", "delta",  "Phi",  "G"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp(names[i], name) == 0) return true;
  return false;
}

static Result *compare_results(const Result *a, const Result *b, bool dry) {
  Result *result = result_new("compare");
  for (int i = 0; i < a->field_count; i++) {
    const ResultField *x = &a->fields[i], *y = result_find(b, x->name, x->layer);
    if (!comparable(x->name) || !y || !match(x, y, dry)) continue;
    result_add(result, x->name, x->layer, "summary", "max |a - b|, rms z, max |z|",
               compare_fields(x, y), NULL);
  }
  return result;
}

static Value *compare(Call *call) {
  for (int i = 0; i < 2; i++)
    if (call->args[i]->kind != VALUE_RESULT)
      return eval_error(call->eval, call->places[i], NULL, "'compare' takes two results, not %s",
                        value_describe(call->args[i]));
  Result *result = compare_results(call->args[0]->result, call->args[1]->result, call->eval->dry);
  if (result->field_count) return value_result(&call->eval->heap, result);
  result_drop(result);
  return eval_error(call->eval, call->span, NULL,
                    "the two results have no field of one shape in common");
}

const Builtin solver_rows[] = {
    {"dmft", "model, training, samples = 2000, seed = 0, closure = \"full\", tol = 0",
     "the infinite-width theory of a training", dmft, 0, PRIM_COUNT},
    {"simulate", "model, training, ensemble = 32, seed = 0",
     "an ensemble of networks of the model's width", simulate, 0, PRIM_COUNT},
    {"compare", "a, b", "the differences of two results, in units of their errors", compare, 0,
     PRIM_COUNT},
    {"ir", "model, training", "the lowered field program, as text", ir, 0, PRIM_COUNT},
    {0},
};
