/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Arrays into a session and out of it. */
#include "session/session.h"
#include "base/memory.h"
#include "base/plain.h"

#include <stdlib.h>
#include <string.h>

_Static_assert((int)DMF_MAX_RANK == (int)ARRAY_MAX_RANK, "the ranks of arrays inside and outside");

void array_give(Array *array, DmfArray *out) {
  *out = (DmfArray){.rank = array->rank, .size = array->size, .data = array->data, .owner = array};
  memcpy(out->shape, array->shape, (size_t)array->rank * sizeof *out->shape);
}

/* The value as an array, or NULL after reporting. */
static Array *evaluate(Dmf *dmf, const Ast *node) {
  session_heed(dmf);
  Eval eval = session_begin(dmf);
  const Value *value = eval_expression(&eval, node);
  Array *array = value_as_array(value);
  if (!array && value_is_numeric(value))
    eval_starve(&eval, node->span);
  else if (!array && !dmf->diags.errors)
    eval_error(&eval, node->span, "a field of it, such as theory.loss",
               "this is %s, neither a number nor an array", value_describe(value));
  session_end(dmf, &eval);
  session_rest(dmf);
  return array;
}

int dmf_get(Dmf *dmf, const char *expression, DmfArray *array) {
  PLAIN_LOCALE;
  *array = (DmfArray){0};
  Source *source = source_new("<expression>", expression, strlen(expression));
  Script *script = script_parse_expression(source, &dmf->diags);
  Array *numbers = script ? evaluate(dmf, script->root) : NULL;
  if (script) session_keep(dmf, script);
  int status = session_conclude(dmf);
  if (script && !script_holds_code(script)) script_drop_tree(script);
  source_drop(source);
  if (status == DMF_OK)
    array_give(numbers, array);
  else
    array_drop(numbers);
  return status;
}

void dmf_array_free(DmfArray *array) {
  array_drop(array->owner);
  *array = (DmfArray){0};
}

char *name_spelled(Dmf *dmf, const char *name) {
  Source *source = source_new("<name>", name, strlen(name));
  Script *script = script_parse_expression(source, &dmf->diags);
  bool good = script && script->root->kind == AST_NAME;
  char *text = good ? mem_string(script->root->name) : NULL;
  source_drop(source);
  script_free(script);
  diags_clear(&dmf->diags);
  return text;
}

static void assign(Dmf *dmf, const char *name, Array *array) {
  Eval eval = session_begin(dmf);
  eval_assign(&eval, name, value_array(&eval.heap, array), (Span){0});
  session_end(dmf, &eval);
}

static void starve(Dmf *dmf, const char *name) {
  char *refusal = mem_refusal(0);
  diag_error(&dmf->diags, STATUS_LIMIT, (Span){0}, NULL, "'%s': %s", name, refusal);
  free(refusal);
}

int dmf_put(Dmf *dmf, const char *name, int rank, const size_t *shape, const double *data) {
  PLAIN_LOCALE;
  char *own = name_spelled(dmf, name);
  bool sound = rank >= 0 && rank <= DMF_MAX_RANK;
  Array *array = own && sound ? array_new(rank, shape) : NULL;
  if (!own)
    diag_error(&dmf->diags, STATUS_USAGE, (Span){0}, NULL, "'%s' cannot be the name of a variable",
               name);
  else if (!sound)
    diag_error(&dmf->diags, STATUS_USAGE, (Span){0}, NULL, "an array has 0 to %d axes, not %d",
               DMF_MAX_RANK, rank);
  else if (!array)
    starve(dmf, name);
  if (array) {
    memcpy(array->data, data, array->size * sizeof *data);
    assign(dmf, own, array);
  }
  free(own);
  return session_conclude(dmf);
}
