/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Opening and closing a session, and running texts in it. */
#include "session/session.h"
#include "model/system.h"
#include "base/memory.h"
#include "base/plain.h"
#include "base/reserve.h"
#include "base/work.h"
#include "field/equations.h"
#include "model/builtins.h"
#include "model/declare.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void dmf_limit_memory(double bytes) { mem_set_limit(bytes); }

double dmf_free_memory(void) { return mem_available(); }

const char *dmf_version(void) { return PACKAGE_VERSION; }

/* Evaluators */

static const Ast * override(Eval *eval, const char *name, const char *key) {
  Dmf *dmf = eval->host->self;
  const Ast *last = NULL;
  for (int i = 0; i < dmf->setting_count; i++) {
    Setting *setting = &dmf->settings[i];
    if (strcmp(setting->name, name) != 0 || strcmp(setting->key, key) != 0) continue;
    setting->used = true;
    last = setting->value->root;
  }
  return last;
}

static Eval evaluator(Dmf *dmf, Scope *globals, bool dry) {
  dmf->pass++;
  return (Eval){.pool = dmf->pool,
                .diags = &dmf->diags,
                .host = &dmf->host,
                .globals = globals,
                .scope = globals,
                .stop = &dmf->stop,
                .crew = session_crew(dmf),
                .dry = dry,
                .threads = session_threads(dmf),
                .interactive = dmf->config.interactive};
}

static bool stops(void *self) {
  const Dmf *dmf = self;
  return dmf->stop && crew_halts(session_crew(dmf));
}

Watch session_watch(Dmf *dmf, const volatile sig_atomic_t *stop) {
  return work_watch(stop == &dmf->stop ? (Watch){stops, dmf, WORK_PATIENCE} : (Watch){0});
}

Eval session_begin(Dmf *dmf) {
  pthread_mutex_lock(&dmf->lock);
  session_watch(dmf, &dmf->stop);
  return evaluator(dmf, dmf->user, false);
}

void session_end(Dmf *dmf, Eval *eval) {
  eval_end(eval);
  pthread_mutex_unlock(&dmf->lock);
}

/* Opening and closing */

static int positive_variable(const char *name) {
  const char *text = getenv(name);
  int n = text ? atoi(text) : 0;
  return n > 0 ? n : 0;
}

/* Processes of a crew that may all run anywhere on their machine take their part of it. */
static int default_threads(const Dmf *dmf) {
  int n = positive_variable("DMF_THREADS");
  if (!n) n = positive_variable("OMP_NUM_THREADS");
  cpu_set_t set;
  if (!n && sched_getaffinity(0, sizeof set, &set) == 0) {
    n = CPU_COUNT(&set);
    if (n == sysconf(_SC_NPROCESSORS_ONLN)) n /= dmf_crew_neighbours(dmf->config.crew);
  }
  return n > 0 ? n : 1;
}

int session_threads(const Dmf *dmf) {
  return dmf->config.threads > 0 ? dmf->config.threads : default_threads(dmf);
}

DmfConfig *dmf_config(Dmf *dmf) { return &dmf->config; }

static void hand_over(const Diag *diag, void *context) {
  const Dmf *dmf = context;
  char *text = diag_text(diag, dmf->config.color);
  DmfDiagnostic diagnostic = {.severity = diag_kind_name(diag->kind),
                              .message = diag->message,
                              .hint = diag->hint,
                              .text = text};
  if (diag->span.source) {
    Span end = {diag->span.source, diag->span.end, diag->span.end};
    diagnostic.file = diag->span.source->name;
    span_locate(diag->span, &diagnostic.line, &diagnostic.column);
    span_locate(end, &diagnostic.end_line, &diagnostic.end_column);
  }
  dmf->config.diagnose(dmf->config.sink, &diagnostic);
  free(text);
}

static void hand_over_dropped(const Dmf *dmf) {
  if (!dmf->diags.dropped) return;
  char *message = mem_format("%d more errors", dmf->diags.dropped);
  dmf->config.diagnose(dmf->config.sink,
                       &(DmfDiagnostic){.severity = "note", .message = message, .text = message});
  free(message);
}

/* Prints the messages collected, or hands them over, and forgets them. */
static void report(Dmf *dmf) {
  if (dmf->config.diagnose) {
    diags_visit(&dmf->diags, hand_over, dmf);
    hand_over_dropped(dmf);
  } else {
    diags_print(&dmf->diags, dmf->diagnostics, dmf->config.color);
  }
  diags_clear(&dmf->diags);
}

static void open_scopes(Dmf *dmf) {
  dmf->base = scope_new(NULL);
  Eval eval = evaluator(dmf, dmf->base, false);
  eval.interactive = false;
  builtins_define(&eval, dmf->base);
  eval_define(&eval, dmf->base, solver_rows);
  import_prelude(&eval);
  eval_end(&eval);
  dmf->library = dmf->diags.errors ? dmf->diags.status : STATUS_OK;
  report(dmf);
  dmf->user = scope_new(dmf->base);
}

static ssize_t hand_out(void *cookie, const char *text, size_t length) {
  const Dmf *dmf = cookie;
  dmf->config.print(dmf->config.sink, text, length);
  return (ssize_t)length;
}

/* Where scripts print: a call-back behaves like a stream, so that nothing else has to know. */
static FILE *results_of(Dmf *dmf) {
  if (dmf->config.print)
    return mem_insist(fopencookie(dmf, "w", (cookie_io_functions_t){.write = hand_out}));
  return dmf->config.results ? dmf->config.results : stdout;
}

Dmf *dmf_open(const DmfConfig *config) {
  PLAIN_LOCALE;
  if (!reserve_hold()) return NULL;
  Dmf *dmf = mem_new(1, sizeof *dmf);
  if (config) dmf->config = *config;
  dmf->results = results_of(dmf);
  dmf->diagnostics = dmf->config.diagnostics ? dmf->config.diagnostics : stderr;
  dmf->out = dmf->config.out ? mem_string(dmf->config.out) : NULL;
  dmf->pictures = dmf->config.pictures ? mem_string(dmf->config.pictures) : NULL;
  dmf->pool = expr_pool_new();
  pthread_mutex_init(&dmf->lock, NULL);
  pthread_cond_init(&dmf->idle, NULL);
  dmf->host =
      (Host){dmf,        show_print, draw_plot,  files_save,   report_results,  show_value,
             import_run, override,   files_read, solver_lacks, solver_complete, solver_foresee};
  open_scopes(dmf);
  return dmf;
}

static void settings_free(Dmf *dmf) {
  for (int i = 0; i < dmf->setting_count; i++) {
    script_free(dmf->settings[i].target);
    script_free(dmf->settings[i].value);
  }
  free(dmf->settings);
}

void dmf_close(Dmf *dmf) {
  if (!dmf) return;
  scope_free(dmf->user);
  scope_free(dmf->base);
  diags_clear(&dmf->diags);
  settings_free(dmf);
  files_free(dmf);
  sweep_forget(dmf);
  candidates_free(dmf);
  record_free(dmf);
  imports_free(dmf);
  for (int i = 0; i < dmf->script_count; i++) script_free(dmf->scripts[i]);
  free(dmf->scripts);
  topics_free(dmf);
  free(dmf->out);
  free(dmf->partial);
  free(dmf->pictures);
  free(dmf->value_fields);
  free(dmf->names);
  if (dmf->config.print) fclose(dmf->results);
  expr_pool_free(dmf->pool);
  pthread_cond_destroy(&dmf->idle);
  pthread_mutex_destroy(&dmf->lock);
  free(dmf);
  reserve_drop();
}

int session_conclude(Dmf *dmf) {
  work_watch((Watch){0});
  Status status = dmf->diags.errors ? dmf->diags.status : dmf->library;
  bool broken = fflush(dmf->results) != 0 || ferror(dmf->results);
  if (broken && status == STATUS_OK) {
    diag_error(&dmf->diags, STATUS_FILE, (Span){0}, NULL, "cannot write the results: %s",
               strerror(errno));
    status = STATUS_FILE;
  }
  report(dmf);
  fflush(dmf->diagnostics);
  reserve_fill();
  return (int)status;
}

/* Settings */

/* NAME.KEY, in which Greek letters are spelled out; NULL when it is nothing of the kind. */
static Script *setting_target(Dmf *dmf, const char *text, size_t length) {
  Source *source = source_new("--set", text, length);
  Script *target = script_parse_expression(source, &dmf->diags);
  source_drop(source);
  diags_clear(&dmf->diags);
  if (target && target->root->kind == AST_FIELD && target->root->kid[0]->kind == AST_NAME)
    return target;
  script_free(target);
  return NULL;
}

int dmf_set(Dmf *dmf, const char *setting) {
  PLAIN_LOCALE;
  const char *equals = strchr(setting, '=');
  Script *target =
      equals && equals[1] ? setting_target(dmf, setting, (size_t)(equals - setting)) : NULL;
  if (!target) {
    diag_error(&dmf->diags, STATUS_USAGE, (Span){0}, "such as net.gamma=2",
               "--set takes NAME.KEY=VALUE, not '%s'", setting);
    return session_conclude(dmf);
  }
  char *name = mem_format("--set %.*s", (int)(equals - setting), setting);
  Source *source = source_new(name, equals + 1, strlen(equals + 1));
  Script *value = script_parse_expression(source, &dmf->diags);
  int status = DMF_OK;
  if (value) {
    size_t count = (size_t)dmf->setting_count + 1;
    dmf->settings = mem_grow(dmf->settings, count * sizeof *dmf->settings);
    dmf->settings[dmf->setting_count++] =
        (Setting){target, value, target->root->kid[0]->name, target->root->name, false};
  } else {
    script_free(target);
    dmf->diags.status = STATUS_USAGE;
    status = session_conclude(dmf);
  }
  source_drop(source);
  free(name);
  return status;
}

/* The keys that could have been set, for a setting that named none: "net.gamma, ...". */
static char *declared_text(const Scope *scope) {
  char *text = mem_string("");
  for (int i = 0; i < scope->count; i++) {
    const Value *value = scope->items[i].value;
    if (value->kind != VALUE_DECLARED) continue;
    char *more = mem_format("%s%s%s '%s'", text, *text ? ", " : "",
                            declared_kind_name(value->declared.kind), value->declared.name);
    free(text);
    text = more;
  }
  return text;
}

static void check_setting(Dmf *dmf, const Setting *setting, const Scope *scope) {
  const Binding *binding = scope_find(scope, setting->name);
  if (binding && binding->value->kind == VALUE_SYSTEM) {
    const char **keys = system_keys(binding->value);
    diag_error(&dmf->diags, STATUS_USAGE, (Span){0}, suggest_hint(setting->key, keys),
               "--set: %s '%s' has no key '%s'", system_kind(binding->value), setting->name,
               setting->key);
    free(keys);
    return;
  }
  if (binding && binding->value->kind == VALUE_DECLARED) {
    const char *keys[DECLARED_MAX_KEYS + 1] = {NULL};
    for (int i = 0; declared_key(binding->value->declared.kind, i); i++)
      keys[i] = declared_key(binding->value->declared.kind, i);
    diag_error(&dmf->diags, STATUS_USAGE, (Span){0}, suggest_hint(setting->key, keys),
               "--set: a %s has no key '%s'", declared_kind_name(binding->value->declared.kind),
               setting->key);
    return;
  }
  char *declared = declared_text(scope),
       *hint = *declared ? mem_format("declared are %s", declared) : NULL;
  diag_error(&dmf->diags, STATUS_USAGE, (Span){0}, hint, "--set %s.%s: the script declares no '%s'",
             setting->name, setting->key, setting->name);
  free(declared);
  free(hint);
}

static void check_settings(Dmf *dmf, const Scope *scope) {
  if (dmf->diags.errors || dmf->config.interactive) return;
  for (int i = 0; i < dmf->setting_count; i++)
    if (!dmf->settings[i].used) check_setting(dmf, &dmf->settings[i], scope);
}

bool session_on_terminal(const Dmf *dmf) {
  int descriptor = fileno(dmf->results);
  return descriptor >= 0 && isatty(descriptor);
}

/* Running */

typedef enum Task { TASK_RUN, TASK_CHECK, TASK_LOWER, TASK_EQUATIONS, TASK_PLAN } Task;

/* To print programs, equations or plans is the work itself, and has no bounds. */
static void check(Dmf *dmf, const Script *script) {
  bool prints = dmf->lowered || dmf->equations || dmf->planning;
  Work before = work_allow(prints ? work_unlimited : (Work){CHECK_WORK, false});
  Scope *overlay = dmf->config.learns ? dmf->user : scope_new(dmf->user);
  Eval eval = evaluator(dmf, overlay, true);
  for (int i = 0; i < dmf->setting_count; i++) dmf->settings[i].used = false;
  dmf->checked = script->root;
  eval_block(&eval, script->root);
  eval_end(&eval);
  dmf->checked = NULL;
  files_expect_none(dmf);
  if (!work_refused()) check_settings(dmf, overlay);
  if (overlay != dmf->user) scope_free(overlay);
  work_allow(before);
}

/* Whether a call is of a function that reads results as a whole, under its own name. */
static bool reads_whole(const Dmf *dmf, const Ast *node) {
  const Ast *callee = node->kind == AST_CALL ? node->kid[0] : NULL;
  const Binding *binding =
      callee && callee->kind == AST_NAME ? scope_own(dmf->base, callee->name) : NULL;
  return binding && binding->value->kind == VALUE_BUILTIN &&
         binding->value->builtin.row->flags & BUILTIN_WHOLE;
}

/* The fields that a script reads: those behind a dot, and all where it takes results as a whole or
 * runs other scripts. What it reads in ways that are not seen here is computed when it is asked. */
static FieldSet fields_read(const Dmf *dmf, const Ast *node) {
  if (!node) return 0;
  FieldSet read = 0;
  if (node->kind == AST_SAVE || node->kind == AST_REPORT || node->kind == AST_IMPORT ||
      reads_whole(dmf, node))
    return ALL_FIELDS;
  for (FieldId id = 0; id < FIELD_COUNT && node->kind == AST_FIELD; id++)
    if (strcmp(field_row(id)->name, node->name) == 0) read |= field_bit(id);
  for (int i = 0; i < node->count; i++) read |= fields_read(dmf, node->kid[i]);
  return read;
}

static void run(Dmf *dmf, const Script *script) {
  bool open = dmf->config.interactive || dmf->config.json;
  dmf->unread = open ? 0 : ~fields_read(dmf, script->root);
  Eval eval = session_begin(dmf);
  eval_block(&eval, script->root);
  session_end(dmf, &eval);
}

void session_keep(Dmf *dmf, Script *script) {
  size_t count = (size_t)dmf->script_count + 1;
  dmf->scripts = mem_grow(dmf->scripts, count * sizeof *dmf->scripts);
  dmf->scripts[dmf->script_count++] = script;
}

static void print_equations(Dmf *dmf) {
  char *text = dmf->latex ? equations_document(dmf->equations) : mem_string(dmf->equations);
  fputs(text, dmf->results);
  free(text);
  free(dmf->equations);
  dmf->equations = NULL;
}

/* `file`: where the source comes from, or NULL. */
static int work(Dmf *dmf, Source *source, const char *file, Task task) {
  Script *script = NULL;
  ParseOutcome outcome = script_parse(source, dmf->config.interactive, &script, &dmf->diags);
  /* an editor wants to know what the sound statements say */
  bool learns = outcome == PARSE_ERROR && dmf->config.learns;
  if (outcome != PARSE_OK && !learns) {
    script_free(script);
    if (outcome == PARSE_ERROR) return session_conclude(dmf);
    diags_clear(&dmf->diags);
    return DMF_INCOMPLETE;
  }
  session_keep(dmf, script);
  session_heed(dmf);
  dmf->text = source;
  dmf->lowered = task == TASK_LOWER ? mem_string("") : NULL;
  dmf->planning = task == TASK_PLAN;
  memset(&dmf->planned, 0, sizeof dmf->planned);
  dmf->planned.times = 1;
  dmf->equations = task == TASK_EQUATIONS ? mem_string("") : NULL;
  check(dmf, script);
  free(dmf->lowered);
  dmf->lowered = NULL;
  if (dmf->equations) print_equations(dmf);
  if (dmf->planned.calls > 1)
    fprintf(dmf->results, "in all %.3g Gflop, %.2g s\n", dmf->planned.flops * 1e-9,
            dmf->planned.seconds);
  bool runs = task == TASK_RUN && !dmf->diags.errors;
  if (runs) {
    report(dmf);
    run(dmf, script);
    if (dmf->config.interactive && !dmf->diags.errors) record(dmf, script, file);
  }
  dmf->text = NULL;
  int status = session_conclude(dmf);
  if (status == DMF_OK && dmf->stop && dmf->config.partial) status = DMF_INTERRUPTED;
  session_rest(dmf);
  bool forgotten = !runs && !dmf->config.learns;
  if (forgotten || !script_holds_code(script)) script_drop_tree(script);
  return status;
}

static int work_file(Dmf *dmf, const char *path, Task what) {
  PLAIN_LOCALE;
  char *why = NULL;
  Source *source = source_read(path, path, false, &why);
  if (!source) {
    diag_error(&dmf->diags, STATUS_FILE, (Span){0}, NULL, "%s", why);
    free(why);
    return session_conclude(dmf);
  }
  int status = work(dmf, source, path, what);
  source_drop(source);
  return status;
}

static int work_text(Dmf *dmf, const char *name, const char *text, size_t length, Task what) {
  PLAIN_LOCALE;
  Source *source = source_new(name, text, length);
  int status = work(dmf, source, NULL, what);
  source_drop(source);
  return status;
}

int dmf_run_text(Dmf *dmf, const char *name, const char *text, size_t length) {
  return work_text(dmf, name, text, length, TASK_RUN);
}

int dmf_check_text(Dmf *dmf, const char *name, const char *text, size_t length) {
  return work_text(dmf, name, text, length, TASK_CHECK);
}

bool dmf_unfinished(Dmf *dmf, const char *text) {
  PLAIN_LOCALE;
  Source *source = source_new("<input>", text, strlen(text));
  Script *script = NULL;
  ParseOutcome outcome = script_parse(source, true, &script, &dmf->diags);
  script_free(script);
  source_drop(source);
  diags_clear(&dmf->diags);
  return outcome == PARSE_INCOMPLETE;
}

int dmf_run_file(Dmf *dmf, const char *path) { return work_file(dmf, path, TASK_RUN); }
int dmf_check_file(Dmf *dmf, const char *path) { return work_file(dmf, path, TASK_CHECK); }
int dmf_ir_file(Dmf *dmf, const char *path) { return work_file(dmf, path, TASK_LOWER); }

int dmf_plan_file(Dmf *dmf, const char *path) { return work_file(dmf, path, TASK_PLAN); }

int dmf_equations_file(Dmf *dmf, const char *path, bool latex) {
  dmf->latex = latex;
  return work_file(dmf, path, TASK_EQUATIONS);
}

void dmf_interrupt(Dmf *dmf) { dmf->stop = 1; }
