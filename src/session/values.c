/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Values out of a session, with their errors and axes, and how they look. */
#include "session/session.h"
#include "base/memory.h"
#include "base/plain.h"
#include "output/html.h"

#include <stdlib.h>
#include <string.h>

static DmfValueKind kind_of(const Value *value) {
  switch (value->kind) {
  case VALUE_NUMBER:
  case VALUE_ARRAY: return DMF_NUMBERS;
  case VALUE_STRING: return DMF_TEXT;
  case VALUE_LIST: return DMF_LIST;
  case VALUE_FAMILY: return DMF_LAYERS;
  case VALUE_RESULT: return DMF_RESULT;
  default: return DMF_OTHER;
  }
}

static int length_of(const Value *value) {
  if (value->kind == VALUE_LIST) return value->list.count;
  if (value->kind == VALUE_FAMILY) return result_layers(value->family.result, value->family.name);
  return 0;
}

/* The numbers with their errors and axes; false without memory. */
static bool fill_numbers(Value *value, DmfValue *out) {
  Array *numbers = value_as_array(value);
  if (!numbers) return false;
  array_give(numbers, &out->numbers);
  if (value->error) array_give(array_keep(value->error), &out->error);
  for (int i = 0; value->axes && i < value->axes->count && i < numbers->rank; i++) {
    const Axis *axis = &value->axes->list[i];
    out->axes[i].name = axis->name;
    if (axis->at) array_give(array_keep(axis->at), &out->axes[i].at);
  }
  return true;
}

/* A reference to the value, to be freed; false without memory. */
static bool give(Value *value, DmfValue *out) {
  *out = (DmfValue){.kind = kind_of(value), .length = length_of(value), .truth = value->truth};
  if (out->kind == DMF_NUMBERS && !fill_numbers(value, out)) return false;
  out->text = mem_string(value->kind == VALUE_STRING ? value->string : value_describe(value));
  out->owner = value_keep(value);
  return true;
}

void dmf_value_free(DmfValue *value) {
  dmf_array_free(&value->numbers);
  dmf_array_free(&value->error);
  for (int i = 0; i < DMF_MAX_RANK; i++) dmf_array_free(&value->axes[i].at);
  free((char *)value->text);
  value_drop(value->owner);
  *value = (DmfValue){0};
}

bool value_hand_over(Eval *eval, const Ast *node, Value *value) {
  const Dmf *dmf = eval->host->self;
  DmfValue out;
  if (!dmf->config.show) return false;
  show_errors(eval, value);
  if (eval->halted) return true;
  if (!give(value, &out)) {
    dmf_value_free(&out);
    eval_starve(eval, node->span);
    return true;
  }
  char *expression = ast_source(node);
  dmf->config.show(dmf->config.sink, expression, &out);
  free(expression);
  return true;
}

/* Evaluates with `it` in front of the names of the session; an error was reported, or *out holds
 * the value. */
static void evaluate(Dmf *dmf, const Ast *node, const DmfValue *it, DmfValue *out) {
  session_heed(dmf);
  dmf->unread = 0;
  Eval eval = session_begin(dmf);
  Scope *scope = scope_new(dmf->user);
  if (it) scope_set(scope, "it", it->owner, (Span){0});
  eval.scope = scope;
  Value *value = eval_expression(&eval, node);
  show_errors(&eval, value);
  if (!dmf->diags.errors && !give(value, out)) eval_starve(&eval, node->span);
  session_end(dmf, &eval);
  session_rest(dmf);
  scope_free(scope);
}

int dmf_value(Dmf *dmf, const char *expression, const DmfValue *it, DmfValue *value) {
  PLAIN_LOCALE;
  *value = (DmfValue){0};
  Source *source = source_new("<expression>", expression, strlen(expression));
  Script *script = script_parse_expression(source, &dmf->diags);
  if (script) {
    session_keep(dmf, script);
    evaluate(dmf, script->root, it, value);
  }
  int status = session_conclude(dmf);
  if (script && !script_holds_code(script)) script_drop_tree(script);
  source_drop(source);
  if (status != DMF_OK) dmf_value_free(value);
  return status;
}

/* Takes over nothing; the value is of the heap of an evaluator. */
static int put(Dmf *dmf, const char *name, Value *value, const char *text) {
  char *own = name_spelled(dmf, name);
  if (own) {
    Eval eval = session_begin(dmf);
    eval_assign(&eval, own, value ? value : value_string(&eval.heap, text), (Span){0});
    session_end(dmf, &eval);
  } else {
    diag_error(&dmf->diags, STATUS_USAGE, (Span){0}, NULL, "'%s' cannot be the name of a variable",
               name);
  }
  free(own);
  return session_conclude(dmf);
}

int dmf_put_value(Dmf *dmf, const char *name, const DmfValue *value) {
  PLAIN_LOCALE;
  return put(dmf, name, value->owner, NULL);
}

int dmf_put_text(Dmf *dmf, const char *name, const char *text) {
  PLAIN_LOCALE;
  return put(dmf, name, NULL, text);
}

char *dmf_value_text(Dmf *dmf, const DmfValue *value, int columns) {
  PLAIN_LOCALE;
  (void)dmf;
  return show_text(value->owner, columns);
}

char *dmf_value_html(Dmf *dmf, const DmfValue *value) {
  PLAIN_LOCALE;
  (void)dmf;
  const Value *inner = value->owner;
  if (inner->kind == VALUE_RESULT) return html_result(inner->result);
  char *text = show_text(inner, 100), *html = html_text(text);
  free(text);
  return html;
}

const char *dmf_value_field(Dmf *dmf, const DmfValue *value, int i) {
  if (i == 0) {
    free(dmf->value_fields);
    dmf->value_fields = value_fields(value->owner, false);
  }
  for (int k = 0; dmf->value_fields && k < i; k++)
    if (!dmf->value_fields[k]) return NULL;
  return dmf->value_fields && i >= 0 ? dmf->value_fields[i] : NULL;
}

int dmf_value_draw(Dmf *dmf, const DmfValue *value, const char *name, const char *path) {
  PLAIN_LOCALE;
  char *why = NULL;
  dmf->stop = 0;
  Eval eval = session_begin(dmf);
  Status status = view_picture(&eval, name, value->owner, path, &why);
  if (status != STATUS_OK)
    diag_error(&dmf->diags, status, (Span){0}, NULL, "%s", why ? why : "it could not be drawn");
  session_end(dmf, &eval);
  free(why);
  return session_conclude(dmf);
}
