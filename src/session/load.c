/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Results from files. The recipe that lies with a result is read like a script, in a scope of its
 * own over that of the language; when its solver call comes up, nothing is solved: the fields from
 * the file take the place of what it gave, and the call gives them their origin. */
#include "session/session.h"
#include "base/memory.h"
#include "base/work.h"
#include "file/file.h"
#include "file/io.h"
#include "model/trail.h"

#include <stdlib.h>
#include <string.h>

static const Ast *no_override(Eval *eval, const char *name, const char *key) {
  (void)eval, (void)name, (void)key;
  return NULL;
}

/* A check evaluates everything and touches nothing outside. */
static void read_recipe(Dmf *dmf, const Script *script, const ResultRecipe *recipe, Diags *diags) {
  Host host = dmf->host;
  host.override = no_override;
  Scope *scope = scope_new(dmf->base);
  Eval eval = {.pool = dmf->pool,
               .diags = diags,
               .host = &host,
               .globals = scope,
               .scope = scope,
               .stop = &dmf->stop,
               .threads = session_threads(dmf),
               .dry = true};
  for (int i = 0; i < recipe->array_count; i++) {
    Value *value = value_array(&eval.heap, array_keep(recipe->arrays[i].array));
    scope_set(scope, recipe->arrays[i].name, value, (Span){0});
  }
  eval_block(&eval, script->root);
  eval_end(&eval);
  scope_free(scope);
}

static void read_confined(Dmf *dmf, const Script *script, Result *result, Diags *diags) {
  const Ast *found = recipe_trespass(dmf->base, script, result);
  if (found) {
    diag_error(diags, STATUS_SCRIPT, found->span, NULL,
               "it holds more than declarations and one solver call");
    return;
  }
  dmf->loading = result;
  read_recipe(dmf, script, &result->recipe, diags);
  dmf->loading = NULL;
}

/* Gives the result its origin; STATUS_FILE when the recipe does not fit it. */
static Status restore(Dmf *dmf, Result *result, const char *path, char **why) {
  Diags diags = {0};
  Script *script = NULL;
  const ResultRecipe *recipe = &result->recipe;
  Source *source = source_new(path, recipe->text, strlen(recipe->text));
  source->recipe = true;
  if (script_parse(source, false, &script, &diags) == PARSE_OK)
    read_confined(dmf, script, result, &diags);
  source_drop(source);
  if (script) session_keep(dmf, script);
  bool good = result->origin && !diags.errors;
  bool own = !diags.errors || diags.status == STATUS_SCRIPT;
  Status status = good             ? STATUS_OK
                  : work_refused() ? STATUS_LIMIT /* of a check, which leaves it at that */
                  : own            ? STATUS_FILE
                                   : diags.status;
  if (!good)
    file_fail(why, path, status, "the recipe of the result is damaged%s%s", diags.count ? ": " : "",
              diags.count ? diags.items[0].message : "");
  diags_clear(&diags);
  return status;
}

static bool is_csv(const char *path) {
  size_t length = strlen(path);
  if (length > 3 && strcmp(path + length - 3, ".gz") == 0) length -= 3;
  return length > 4 && strncmp(path + length - 4, ".csv", 4) == 0;
}

static Status read_result(Dmf *dmf, const char *path, Result **result, char **why) {
  if (is_csv(path)) return file_read_field_csv(path, result, why);
  Status status = file_read_result(path, result, why);
  if (status || !(*result)->recipe.text) return status;
  status = restore(dmf, *result, path, why);
  if (!status) return STATUS_OK;
  result_drop(*result);
  *result = NULL;
  return status;
}

/* An array that was saved by itself, with its errors and axes; takes over the result. */
static Value *numbers_of(Eval *eval, Result *result) {
  const ResultField *field = &result->fields[0];
  Value *value = value_array(&eval->heap, array_keep(field->value));
  value->error = array_keep(field->error);
  if (field->error) trail_begin(value, array_keep(field->error), scatter_keep(field->scatter));
  if (field->along && value->kind == VALUE_ARRAY) {
    value->axes = field->along;
    value->axes->references++;
  }
  result_drop(result);
  return value;
}

static bool is_array(const Result *result) {
  return strcmp(result->kind, "array") == 0 && result->field_count == 1;
}

Value *load(Call *call) {
  Eval *eval = call->eval;
  Dmf *dmf = eval->host->self;
  const Value *name = call->args[0];
  if (name->kind != VALUE_STRING)
    return eval_error(eval, call->places[0], NULL, "'path' must be a string, not %s",
                      value_describe(name));
  if (!name->known) return value_new(&eval->heap, VALUE_UNKNOWN);
  if (!*name->string)
    return eval_fail(eval, STATUS_FILE, call->places[0], NULL, "the name of the file is empty");
  bool unknown;
  char *path = files_saved(eval, call->places[0], name->string, &unknown), *why = NULL;
  Result *result = NULL;
  Value *value;
  if (unknown) {
    value = value_new(&eval->heap, VALUE_UNKNOWN);
  } else {
    Status status = read_result(dmf, path, &result, &why);
    value = result && is_array(result) ? numbers_of(eval, result)
            : result                   ? value_result(&eval->heap, result)
                                       : eval_fail(eval, status, call->places[0], NULL, "%s", why);
    value->known &= !eval->dry;
  }
  free(why);
  free(path);
  return value;
}
