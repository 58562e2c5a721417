/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a session has done so far: its variables, and the script that does it again. */
#include "session/session.h"
#include "base/memory.h"
#include "base/plain.h"
#include "file/io.h"

#include <stdlib.h>
#include <string.h>

char *dmf_who(Dmf *dmf) {
  PLAIN_LOCALE;
  char *text = NULL;
  size_t length;
  FILE *out = mem_stream(&text, &length);
  if (!out) return mem_string("");
  for (int i = 0; i < dmf->user->count; i++) {
    const Binding *binding = &dmf->user->items[i];
    fprintf(out, "%-16s  %s\n", binding->name, value_describe(binding->value));
  }
  mem_stream_end(out);
  return text;
}

void record(Dmf *dmf, Script *script, const char *file) {
  size_t count = (size_t)dmf->record_length + 1;
  dmf->record = mem_grow(dmf->record, count * sizeof *dmf->record);
  dmf->record[dmf->record_length++] = (Record){script, file ? mem_string(file) : NULL};
}

void record_free(Dmf *dmf) {
  for (int i = 0; i < dmf->record_length; i++) free(dmf->record[i].file);
  free(dmf->record);
}

/* ---- the script ---- */

/* The script under way: the statements as they were typed, but for what a script says in another
 * way than the prompt. */
typedef struct Writer {
  const Dmf *dmf;
  FILE *out;
  bool elsewhere;   /* the script goes to another directory than files were named from */
  const char *text; /* of the statements under way, copied up to `at` */
  size_t at;
  const char **declared; /* the datasets, models and trainings so far */
  int declared_count;
} Writer;

static void copy_to(Writer *w, size_t end) {
  fprintf(w->out, "%.*s", (int)(end - w->at), w->text + w->at);
  w->at = end;
}

static void put_string(FILE *out, const char *text) {
  fputc('"', out);
  for (; *text; text++) {
    if (*text == '"' || *text == '\\') fputc('\\', out);
    if (*text == '\n' || *text == '\t')
      fputs(*text == '\n' ? "\\n" : "\\t", out);
    else
      fputc(*text, out);
  }
  fputc('"', out);
}

/* The file as the script has to name it; what is not in this directory keeps its name, as the
 * library does. */
static void put_path(const Writer *w, const char *path) {
  char *whole = w->elsewhere ? realpath(path, NULL) : NULL;
  put_string(w->out, whole ? whole : path);
  free(whole);
}

/* Whether a statement saves something under this name: what reads it finds it where that was. */
static bool saves(const Ast *node, const char *path) {
  if (!node) return false;
  if (node->kind == AST_SAVE)
    return node->kid[1]->kind == AST_STRING && strcmp(node->kid[1]->name, path) == 0;
  bool nested = node->kind == AST_BLOCK || node->kind == AST_FOR || node->kind == AST_WHILE ||
                node->kind == AST_WHEN;
  for (int i = 0; nested && i < node->count; i++)
    if (saves(node->kid[i], path)) return true;
  return false;
}

static bool is_saved(const Dmf *dmf, const char *path) {
  for (int i = 0; i < dmf->record_length; i++)
    if (saves(script_tree(dmf->record[i].script), path)) return true;
  return false;
}

static bool reads(const Writer *w, const Ast *call) {
  const Ast *callee = call->kid[0];
  const Binding *binding = callee->kind == AST_NAME ? scope_find(w->dmf->user, callee->name) : NULL;
  return binding && binding->value->kind == VALUE_BUILTIN &&
         binding->value->builtin.row->flags & BUILTIN_READS;
}

/* The file that a call such as csv("a.csv") names, or NULL. */
static const Ast *file_of(const Writer *w, const Ast *call) {
  if (call->count < 2 || !reads(w, call)) return NULL;
  const Ast *path = call->kid[1];
  for (int i = 1; i < call->count; i++)
    if (call->kid[i]->kind == AST_ARG && strcmp(call->kid[i]->name, "path") == 0)
      path = call->kid[i]->kid[0];
  return path->kind == AST_STRING && !is_saved(w->dmf, path->name) ? path : NULL;
}

/* A script takes a second declaration of a name for a mistake, but not that of a variable. */
static void write_declaration(Writer *w, const Ast *node) {
  int i = 0;
  while (i < w->declared_count && strcmp(w->declared[i], node->name) != 0) i++;
  if (i < w->declared_count) {
    copy_to(w, node->span.begin);
    fprintf(w->out, "%s = 0  # declared anew\n", node->name);
    return;
  }
  w->declared = mem_grow(w->declared, (size_t)(i + 1) * sizeof *w->declared);
  w->declared[w->declared_count++] = node->name;
}

static void write_file(Writer *w, const Ast *node, const char *path, const char *before) {
  copy_to(w, node->span.begin);
  fputs(before, w->out);
  put_path(w, path);
  w->at = node->span.end;
}

static void write_node(Writer *w, const Ast *node) {
  if (!node) return;
  const Ast *file = node->kind == AST_CALL ? file_of(w, node) : NULL;
  if (node->kind == AST_IMPORT) write_file(w, node, node->name, "import ");
  if (node->kind == AST_DECLARE || node->kind == AST_SYSTEM) write_declaration(w, node);
  if (node->kind == AST_SYSTEM) return; /* what stands alone in a step is no print */
  if (node->kind == AST_EXPRESSION) {
    copy_to(w, node->span.begin);
    fputs("print ", w->out);
  }
  if (file) write_file(w, file, file->name, "");
  for (int i = 0; i < node->count && !file; i++) write_node(w, node->kid[i]);
}

static void write_statements(Writer *w, Script *script) {
  size_t length = script->source->length;
  w->text = script->source->text;
  w->at = 0;
  write_node(w, script_tree(script));
  copy_to(w, length);
  if (length && w->text[length - 1] != '\n') fputc('\n', w->out);
}

/* Whether there is something that the setting is about. */
static bool holds(const Dmf *dmf, const Setting *setting) {
  const Binding *binding = scope_own(dmf->user, setting->name);
  return binding &&
         (binding->value->kind == VALUE_DECLARED || binding->value->kind == VALUE_SYSTEM);
}

static void write_header(const Dmf *dmf, FILE *out) {
  fprintf(out, "# dmf %s", dmf_version());
  if (dmf->config.has_seed) fprintf(out, " --seed %llu", dmf->config.seed);
  for (int i = 0; i < dmf->setting_count; i++) {
    const Setting *setting = &dmf->settings[i];
    if (!holds(dmf, setting)) continue;
    fprintf(out, " --set %s.%s='%s'", setting->name, setting->key, setting->value->source->text);
  }
  fputc('\n', out);
}

static Status write_record(FILE *stream, void *context, char **why) {
  (void)why;
  Writer *w = context;
  w->out = stream;
  write_header(w->dmf, stream);
  for (int i = 0; i < w->dmf->record_length; i++) {
    const Record *record = &w->dmf->record[i];
    if (!record->file) {
      write_statements(w, record->script);
      continue;
    }
    fputs("import ", stream);
    put_path(w, record->file);
    fputc('\n', stream);
  }
  return STATUS_OK;
}

/* Whether the file lies in another directory than this one. */
static bool lies_elsewhere(const char *path) {
  const char *slash = strrchr(path, '/');
  if (!slash) return false;
  char *name = mem_format("%.*s/", (int)(slash - path), path), *there = realpath(name, NULL),
       *here = realpath(".", NULL);
  bool elsewhere = !there || !here || strcmp(there, here) != 0;
  free(name);
  free(there);
  free(here);
  return elsewhere;
}

/* ---- its check ---- */

static void first_error(void *sink, const DmfDiagnostic *diagnostic) {
  char **error = sink;
  if (*error || strcmp(diagnostic->severity, "error") != 0) return;
  *error = diagnostic->file
               ? mem_format("%d:%d: %s", diagnostic->line, diagnostic->column, diagnostic->message)
               : mem_string(diagnostic->message);
}

/* The first error of the script in a session of its own, to be freed, or NULL: what came in from
 * elsewhere than from statements, it lacks. */
static char *error_of(const Dmf *dmf, const char *path) {
  char *error = NULL;
  DmfConfig config = dmf->config;
  config.interactive = false;
  config.progress = NULL;
  config.diagnose = first_error;
  config.sink = &error;
  Dmf *fresh = dmf_open(&config);
  if (!fresh) return mem_refusal(0);
  for (int i = 0; i < dmf->setting_count; i++) {
    const Setting *setting = &dmf->settings[i];
    if (!holds(dmf, setting)) continue;
    char *text = mem_format("%s.%s=%s", setting->name, setting->key, setting->value->source->text);
    dmf_set(fresh, text);
    free(text);
  }
  dmf_check_file(fresh, path);
  dmf_close(fresh);
  return error;
}

int dmf_save_session(Dmf *dmf, const char *path) {
  PLAIN_LOCALE;
  char *why = NULL, *error = NULL;
  Writer w = {.dmf = dmf, .elsewhere = lies_elsewhere(path)};
  Status status = file_replace_stream(path, write_record, &w, &why);
  free(w.declared);
  if (status != STATUS_OK)
    fprintf(dmf->diagnostics, "dmf: %s\n", why);
  else if ((error = error_of(dmf, path)))
    fprintf(dmf->diagnostics, "dmf: %s is written, but does not run by itself: %s\n", path, error);
  free(why);
  free(error);
  return (int)(error ? STATUS_SCRIPT : status);
}
