/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/declare.h"
#include "base/memory.h"
#include "model/advice.h"
#include "model/data.h"
#include "model/forward.h"
#include "model/optimizer.h"
#include "model/system.h"

#include <ctype.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Keys */

typedef enum KeyType {
  KEY_ARRAY,
  KEY_CHAIN,
  KEY_WORD,     /* one of `words` */
  KEY_POSITIVE, /* a finite number > 0 */
  KEY_COUNT,    /* a whole number >= 1 */
  KEY_AMOUNT,   /* a finite number >= 0 */
  KEY_SHARE,    /* a number between 0 and 1 */
  KEY_TRUTH,
  KEY_DATASET,
  KEY_LOSS,
  KEY_OPTIMIZER
} KeyType;

typedef struct Key {
  const char *name;
  KeyType type;
  bool required;
  const char *fallback; /* a number, a word, or a name of the language; NULL: none */
  const char *words;    /* "a b | c": those after the bar are not part of this version */
} Key;

static const Key dataset_keys[] = {
#define DATASET_KEY(id, name, type, required, fallback, words, about)                              \
  {name, type, required, fallback, words},
#include "model/keys.def"
    {0},
};

static const Key model_keys[] = {
#define MODEL_KEY(id, name, type, required, fallback, words, about)                                \
  {name, type, required, fallback, words},
#include "model/keys.def"
    {0},
};

static const Key training_keys[] = {
#define TRAINING_KEY(id, name, type, required, fallback, words, about)                             \
  {name, type, required, fallback, words},
#include "model/keys.def"
    {0},
};

static const Key *const tables[] = {
    [DECLARED_DATASET] = dataset_keys,
    [DECLARED_MODEL] = model_keys,
    [DECLARED_TRAINING] = training_keys,
};

const char *declared_key(DeclaredKind kind, int index) { return tables[kind][index].name; }

static void key_names(DeclaredKind kind, const char *names[DECLARED_MAX_KEYS + 1]) {
  int i = 0;
  for (; tables[kind][i].name; i++) names[i] = tables[kind][i].name;
  names[i] = NULL;
}

static int key_find(DeclaredKind kind, const char *name) {
  for (int i = 0; tables[kind][i].name; i++)
    if (strcmp(tables[kind][i].name, name) == 0) return i;
  return -1;
}

/* Checks of one value, each giving the value to keep or a broken one after reporting */

typedef struct Slot {
  Eval *eval;
  const Key *key;
  Span span;
} Slot;

static Value *refuse(Slot slot, const char *wanted, const Value *value) {
  KeyType type = slot.key->type;
  const char *hint = type == KEY_CHAIN       ? "input -> dense(tanh) -> readout"
                     : type == KEY_LOSS      ? "a name without quotes, such as mse"
                     : type == KEY_OPTIMIZER ? "such as gd(eta = 0.1)"
                                             : NULL;
  return eval_error(slot.eval, slot.span, hint, "'%s' must be %s, not %s", slot.key->name, wanted,
                    value_describe(value));
}

static Value *check_word(Slot slot, const char *word) {
  char *copy = mem_string(slot.key->words), *rest = copy, *part;
  const char *names[8] = {NULL};
  int count = 0;
  bool later = false;
  Value *value = NULL;
  while (!value && (part = strsep(&rest, " "))) {
    if (strcmp(part, "|") == 0) {
      later = true;
    } else if (strcmp(part, word) == 0) {
      value = later ? eval_error(slot.eval, slot.span, NULL,
                                 "the %s '%s' is not part of this version", slot.key->name, word)
                    : value_string(&slot.eval->heap, word);
    } else if (!later) {
      names[count++] = part;
    }
  }
  if (!value)
    value =
        eval_unknown(slot.eval, slot.span, word, names, "unknown %s '%s'", slot.key->name, word);
  free(copy);
  return value;
}

static Value *check_positive(Slot slot, Value *value) {
  if (value->kind != VALUE_NUMBER) return refuse(slot, "a number", value);
  if (value->known && !(value->number > 0 && isfinite(value->number)))
    return eval_error(slot.eval, slot.span, NULL, "'%s' must be positive and finite, not %g",
                      slot.key->name, value->number);
  return value;
}

static Value *check_count(Slot slot, Value *value) {
  if (value->kind != VALUE_NUMBER) return refuse(slot, "a whole number", value);
  double n = value->number;
  if (value->known && !(n >= 1 && n <= INT_MAX / 2 && n == floor(n)))
    return eval_error(slot.eval, slot.span, NULL,
                      "'%s' must be a whole number from 1 to %d, not %g", slot.key->name,
                      INT_MAX / 2, n);
  return value;
}

static Value *check_amount(Slot slot, Value *value) {
  if (value->kind != VALUE_NUMBER) return refuse(slot, "a number", value);
  if (value->known && !(value->number >= 0 && isfinite(value->number)))
    return eval_error(slot.eval, slot.span, NULL, "'%s' must be finite and not negative, not %g",
                      slot.key->name, value->number);
  return value;
}

static Value *check_share(Slot slot, Value *value) {
  if (value->kind != VALUE_NUMBER) return refuse(slot, "a number", value);
  if (value->known && !(value->number > 0 && value->number < 1))
    return eval_error(slot.eval, slot.span, NULL, "'%s' must be between 0 and 1, not %g",
                      slot.key->name, value->number);
  return value;
}

static Value *check_truth(Slot slot, Value *value) {
  if (value->kind != VALUE_NUMBER || (value->known && value->number != 0 && value->number != 1))
    return refuse(slot, "true or false", value);
  return value;
}

static Value *check_chain(Slot slot, Value *value) {
  Eval *eval = slot.eval;
  if (value->kind != VALUE_CHAIN) return refuse(slot, "a chain from input to readout", value);
  const Chain *chain = &value->chain;
  if (!chain->input)
    return eval_error(eval, slot.span, "input -> ... -> readout",
                      "the chain must start at 'input'");
  if (!chain->count || !link_ends(chain->links[chain->count - 1]))
    return eval_error(eval, slot.span, "input -> ... -> readout",
                      "the chain must end with 'readout'");
  Layer *layers = chain_layers(eval, chain, nominal_grid);
  if (!layers) return value_new(&eval->heap, VALUE_BROKEN);
  layers_free(layers, chain->count);
  return value;
}

static Value *check_array(Slot slot, Value *value) {
  if (value->kind == VALUE_LIST)
    return eval_error(slot.eval, slot.span, value_list_hint(value),
                      "'%s' must be an array, not a list", slot.key->name);
  if (value->kind != VALUE_ARRAY) return refuse(slot, "an array", value);
  return value;
}

static Value *check_kind(Slot slot, Value *value, ValueKind kind, const char *wanted) {
  return value->kind == kind ? value : refuse(slot, wanted, value);
}

static Value *check_optimizer(Slot slot, Value *value) {
  if (value->kind == VALUE_BUILTIN)
    return eval_error(slot.eval, slot.span, "such as gd(eta = 0.1)",
                      "the optimizer needs its arguments");
  return check_kind(slot, value, VALUE_OPTIMIZER, "an optimizer");
}

static Value *check_dataset_slot(Slot slot, Value *value) {
  bool fixed = value->kind == VALUE_DECLARED && value->declared.kind == DECLARED_DATASET;
  return fixed || system_is_data(value) ? value : refuse(slot, "a dataset", value);
}

static Value *check_slot(Slot slot, Value *value) {
  if (value->kind == VALUE_BROKEN || value->kind == VALUE_UNKNOWN) return value;
  switch (slot.key->type) {
  case KEY_ARRAY: return check_array(slot, value);
  case KEY_CHAIN: return check_chain(slot, value);
  case KEY_WORD:
    return value->kind == VALUE_STRING ? check_word(slot, value->string)
                                       : refuse(slot, "a word", value);
  case KEY_POSITIVE: return check_positive(slot, value);
  case KEY_COUNT: return check_count(slot, value);
  case KEY_AMOUNT: return check_amount(slot, value);
  case KEY_SHARE: return check_share(slot, value);
  case KEY_TRUTH: return check_truth(slot, value);
  case KEY_DATASET: return check_dataset_slot(slot, value);
  case KEY_LOSS: return check_kind(slot, value, VALUE_LOSS, "a loss");
  case KEY_OPTIMIZER: return check_optimizer(slot, value);
  }
  return value;
}

/* Entries */

static bool is_word(const Key *key, const char *word) {
  size_t length = strlen(word);
  for (const char *at = key->words; (at = strstr(at, word)); at += length)
    if ((at == key->words || at[-1] == ' ') && (!at[length] || at[length] == ' ')) return true;
  return false;
}

/* The name that an entry rests on: `gd`, or the function of `gd(eta = 1)`. NULL if there is none.
 */
static const Ast *head_of(const Ast *node) {
  if (node->kind == AST_CALL) node = node->kid[0];
  return node->kind == AST_NAME ? node : NULL;
}

/* An optimizer or a loss that is not known, among those that are. */
static Value *unknown_choice(Eval *eval, const Key *key, const Ast *head) {
  const char **names = key->type == KEY_LOSS ? advice_losses(eval) : advice_optimizers(eval);
  Value *broken = eval_error(eval, head->span, suggest_hint(head->name, names), "unknown %s '%s'",
                             key->name, head->name);
  free(names);
  return broken;
}

/* sign(eta = 0.1) as an optimizer is signum: the sign of a number has no rate. */
static Value *signs(Eval *eval, const Ast *node) {
  Ast name = *node->kid[0], call = *node;
  Ast **kids = mem_new((size_t)node->count, sizeof *kids);
  memcpy(kids, node->kid, (size_t)node->count * sizeof *kids);
  name.name = "signum";
  kids[0] = &name;
  call.kid = kids;
  Value *value = eval_expression(eval, &call);
  free(kids);
  return value;
}

/* A word is taken as it is written: no variable stands behind `mup`. */
static Value *entry_value(Eval *eval, const Key *key, const Ast *node) {
  const Ast *head = head_of(node);
  bool choice = key->type == KEY_OPTIMIZER || key->type == KEY_LOSS;
  if (head && choice && !eval->blind && !scope_find(eval->scope, head->name))
    return unknown_choice(eval, key, head);
  const Binding *sign = head ? scope_find(eval->scope, "sign") : NULL;
  if (head && key->type == KEY_OPTIMIZER && node->kind == AST_CALL &&
      strcmp(head->name, "sign") == 0 && sign && sign->value->kind == VALUE_BUILTIN)
    return signs(eval, node);
  if (!head || key->type != KEY_WORD) return eval_expression(eval, node);
  if (node->kind == AST_CALL && is_word(key, head->name))
    return eval_error(eval, node->span, "it is a word alone", "the %s '%s' takes no arguments",
                      key->name, head->name);
  return value_string(&eval->heap, head->name);
}

/* The unchecked values of a declaration, under way. */
typedef struct Draft {
  DeclaredKind kind;
  const char *name;
  Span span;
  Value *slot[DECLARED_MAX_KEYS];
  Span place[DECLARED_MAX_KEYS];
  unsigned draws[DECLARED_MAX_KEYS]; /* marks that evaluating it left (model/draws.h) */
  bool broken;
} Draft;

static void put_value(Eval *eval, Draft *draft, int index, Value *value, Span span) {
  Slot slot = {eval, &tables[draft->kind][index], span};
  draft->slot[index] = check_slot(slot, value);
  draft->place[index] = span;
}

static bool is_called(const Ast *node, const char *name) {
  return node->kind == AST_CALL && node->kid[0]->kind == AST_NAME &&
         strcmp(node->kid[0]->name, name) == 0;
}

/* Whether the steps of a training are until(change(loss) < 1e-8, most = 5000). */
static bool is_until(const Draft *draft, int index, const Ast *node) {
  return draft->kind == DECLARED_TRAINING && index == TRAINING_STEPS && is_called(node, "until");
}

/* An argument of a call that is not evaluated, by position or by name; NULL if it is not there. */
static const Ast *argument(const Ast *node, int position, const char *name) {
  for (int i = 1; i < node->count; i++) {
    const Ast *kid = node->kid[i];
    if (kid->kind == AST_ARG ? strcmp(kid->name, name) == 0 : i == position)
      return kid->kind == AST_ARG ? kid->kid[0] : kid;
  }
  return NULL;
}

/* The number that the change of the loss comes below, in until(change(loss) < number, ...); NULL
 * after reporting. */
static const Ast *least_change(Eval *eval, const Ast *node) {
  const Ast *condition = argument(node, 1, "condition");
  bool sound = condition && condition->kind == AST_BINARY && condition->op == '<' &&
               is_called(condition->kid[0], "change") && condition->kid[0]->count == 2;
  const Ast *what = sound ? condition->kid[0]->kid[1] : NULL;
  if (sound && what->kind == AST_NAME && strcmp(what->name, "loss") == 0) return condition->kid[1];
  eval_error(eval, condition ? condition->span : node->span,
             "until(change(loss) < 1e-8, most = 5000)",
             "training goes on until the change of the loss in a step is below a number");
  return NULL;
}

/* The largest number of steps; NULL after reporting. */
static const Ast *most_steps(Eval *eval, const Ast *node) {
  const Ast *most = node->count == 3 ? argument(node, 2, "most") : NULL;
  if (!most)
    eval_error(eval, node->span, "until(change(loss) < 1e-8, most = 5000)",
               "until(...) needs 'most', a number of steps");
  return most;
}

/* The keys `steps` and `until` in one. */
static void put_until(Eval *eval, Draft *draft, const Ast *node) {
  const Ast *change = least_change(eval, node), *most = change ? most_steps(eval, node) : NULL;
  draft->broken |= !most;
  if (!most) return;
  put_value(eval, draft, TRAINING_STEPS, eval_expression(eval, most), node->span);
  put_value(eval, draft, TRAINING_UNTIL, eval_expression(eval, change), node->span);
}

/* Steps that are a number take the place of all that until(...) said. */
static void forget_until(Draft *draft) {
  Span steps = draft->place[TRAINING_STEPS], until = draft->place[TRAINING_UNTIL];
  if (draft->slot[TRAINING_UNTIL] && steps.source == until.source && steps.begin == until.begin)
    draft->slot[TRAINING_UNTIL] = NULL;
}

static void put(Eval *eval, Draft *draft, int index, const Ast *node) {
  eval->draws = 0;
  if (is_until(draft, index, node)) {
    put_until(eval, draft, node);
    return;
  }
  if (draft->kind == DECLARED_TRAINING && index == TRAINING_STEPS) forget_until(draft);
  put_value(eval, draft, index, entry_value(eval, &tables[draft->kind][index], node), node->span);
  draft->draws[index] = eval->draws;
}

/* The optimizer of a draft, whose parameters stand for keys of the training: eta, as in
 * `descent with { eta = 0.2 }`. NULL when there is none. */
static const Value *optimizer_of(const Draft *draft) {
  const Value *value = draft->kind == DECLARED_TRAINING ? draft->slot[TRAINING_OPTIMIZER] : NULL;
  return value && value->kind == VALUE_OPTIMIZER ? value : NULL;
}

/* Gives the optimizer another value of a parameter; false when it has none of this name. */
static bool put_parameter(Eval *eval, Draft *draft, const char *name, Value *value, Span span) {
  const Value *optimizer = optimizer_of(draft);
  if (!optimizer || !optimizer_parameter(optimizer, name)) return false;
  draft->slot[TRAINING_OPTIMIZER] = optimizer_with(eval, optimizer, name, value, span);
  return true;
}

static void unknown_key(Eval *eval, Draft *draft, const char *name, Span span) {
  const char *names[DECLARED_MAX_KEYS + 1];
  key_names(draft->kind, names);
  char *advice = advice_for_key(eval, draft->kind, name, names);
  const char *kind = declared_kind_name(draft->kind);
  if (advice)
    eval_error(eval, span, advice, "unknown key '%s' of %s '%s'", name, kind, draft->name);
  else
    eval_unknown(eval, span, name, names, "unknown key '%s' of %s '%s'", name, kind, draft->name);
  free(advice);
  draft->broken = true;
}

static void take_entry(Eval *eval, Draft *draft, const Ast *entry, const Ast *seen[]) {
  int index = key_find(draft->kind, entry->name);
  if (index < 0) {
    const Value *optimizer = optimizer_of(draft);
    if (!optimizer || !optimizer_parameter(optimizer, entry->name))
      unknown_key(eval, draft, entry->name, entry->name_span);
    else
      put_parameter(eval, draft, entry->name, eval_expression(eval, entry->kid[0]),
                    entry->kid[0]->span);
  } else if (seen[index]) {
    eval_error(eval, entry->name_span, NULL, "key '%s' is given twice", entry->name);
    diag_note(eval->diags, seen[index]->name_span, "first given here");
    draft->broken = true;
  } else {
    seen[index] = entry;
    put(eval, draft, index, entry->kid[0]);
  }
}

static void take_entries(Eval *eval, Draft *draft, Ast *const *entries, int count) {
  const Ast *seen[DECLARED_MAX_KEYS] = {NULL};
  Ast *const *outer = eval->entries;
  int outer_count = eval->entry_count;
  eval->entries = entries;
  eval->entry_count = count;
  for (int i = 0; i < count; i++)
    if (entries[i]->kind == AST_ENTRY)
      take_entry(eval, draft, entries[i], seen);
    else
      draft->broken = true;
  eval->entries = outer;
  eval->entry_count = outer_count;
}

static void take_overrides(Eval *eval, Draft *draft) {
  for (int i = 0; tables[draft->kind][i].name; i++) {
    const Ast *node = eval->host->override(eval, draft->name, tables[draft->kind][i].name);
    if (node) put(eval, draft, i, node);
  }
  const Value *optimizer = optimizer_of(draft);
  const Signature *signature =
      optimizer ? optimizer->optimizer.builtin->builtin.signature : &(Signature){0};
  for (int i = 0; i < signature->count; i++) {
    const char *name = signature->list[i].name;
    const Ast *node = eval->host->override(eval, draft->name, name);
    if (node) put_parameter(eval, draft, name, eval_expression(eval, node), node->span);
  }
}

static Value *fallback_value(Eval *eval, const Key *key) {
  if (key->type == KEY_WORD) return value_string(&eval->heap, key->fallback);
  if (isalpha((unsigned char)*key->fallback)) {
    const Scope *base = eval->globals;
    while (base->parent) base = base->parent;
    return scope_own(base, key->fallback)->value;
  }
  return value_number(&eval->heap, strtod(key->fallback, NULL));
}

static void take_defaults(Eval *eval, Draft *draft) {
  char lacking[256] = "";
  for (int i = 0; tables[draft->kind][i].name; i++) {
    const Key *key = &tables[draft->kind][i];
    if (draft->slot[i]) continue;
    draft->place[i] = draft->span;
    if (key->fallback) draft->slot[i] = fallback_value(eval, key);
    size_t used = strlen(lacking);
    if (key->required)
      snprintf(lacking + used, sizeof lacking - used, used ? ", '%s'" : "'%s'", key->name);
  }
  bool data =
      draft->kind == DECLARED_DATASET && !draft->slot[DATASET_INPUTS] && !draft->slot[DATASET_GRAM];
  size_t used = strlen(lacking);
  if (data) snprintf(lacking + used, sizeof lacking - used, used ? ", 'inputs'" : "'inputs'");
  if (!*lacking || draft->broken) return;
  eval_error(eval, draft->span, data ? "or give 'gram'" : NULL, "%s '%s' lacks %s",
             declared_kind_name(draft->kind), draft->name, lacking);
  draft->broken = true;
}

static void check_training(Eval *eval, Draft *draft) {
  const Value *optimizer = draft->slot[TRAINING_OPTIMIZER], *steps = draft->slot[TRAINING_STEPS];
  const Value *dataset = draft->slot[TRAINING_DATASET];
  if (optimizer->kind != VALUE_OPTIMIZER || !steps->known || steps->kind != VALUE_NUMBER) return;
  const Value *targets =
      dataset->kind == VALUE_DECLARED ? dataset->declared.slot[DATASET_TARGETS] : NULL;
  size_t points = targets && targets->kind == VALUE_ARRAY ? targets->array->shape[0] : 0;
  if (!optimizer_check(eval, &optimizer->optimizer, (size_t)steps->number, points))
    draft->broken = true;
}

/* The declared value, or a broken one. */
static Value *finish(Eval *eval, Draft *draft) {
  take_defaults(eval, draft);
  for (int i = 0; i < DECLARED_MAX_KEYS; i++)
    draft->broken |= draft->slot[i] && draft->slot[i]->kind == VALUE_BROKEN;
  if (!draft->broken && draft->kind == DECLARED_TRAINING) check_training(eval, draft);
  if (!draft->broken && draft->kind == DECLARED_DATASET)
    draft->broken = !data_check(eval, draft->slot, draft->place, draft->draws);
  if (draft->broken) return value_new(&eval->heap, VALUE_BROKEN);
  Value *value = value_new(&eval->heap, VALUE_DECLARED);
  Declared *declared = &value->declared;
  declared->kind = draft->kind;
  declared->name = mem_string(draft->name);
  declared->span = draft->span;
  for (int i = 0; i < DECLARED_MAX_KEYS; i++) {
    declared->slot[i] = value_keep(draft->slot[i]);
    declared->place[i] = draft->place[i];
  }
  return value;
}

static DeclaredKind kind_of(const Ast *node) {
  switch (node->op) {
  case AST_DATASET: return DECLARED_DATASET;
  case AST_MODEL: return DECLARED_MODEL;
  default: return DECLARED_TRAINING;
  }
}

bool declared_before(Eval *eval, const Ast *node) {
  const Binding *first = scope_own(eval->globals, node->name);
  if (eval->interactive || !first) return false;
  if (first->value->kind != VALUE_DECLARED && first->value->kind != VALUE_SYSTEM) return false;
  if (first->span.source != node->name_span.source || first->span.begin == node->name_span.begin)
    return false;
  eval_error(eval, node->name_span, NULL, "'%s' is declared twice", node->name);
  diag_note(eval->diags, first->span, "first declared here");
  return true;
}

void declare(Eval *eval, const Ast *node) {
  bool again = declared_before(eval, node);
  Draft draft = {.kind = kind_of(node), .name = node->name, .span = node->name_span};
  take_entries(eval, &draft, node->kid, node->count);
  take_overrides(eval, &draft);
  Value *value = finish(eval, &draft);
  if (!again) eval_assign(eval, node->name, value, node->name_span);
}

Value *declare_variant(Eval *eval, const Ast *node) {
  Value *base = eval_expression(eval, node->kid[0]);
  if (base->kind == VALUE_BROKEN || base->kind == VALUE_UNKNOWN) return base;
  if (base->kind == VALUE_SYSTEM) return system_variant(eval, node, base);
  if (base->kind != VALUE_DECLARED)
    return eval_error(eval, node->kid[0]->span, NULL,
                      "only a dataset, model, training or system has variants, not %s",
                      value_describe(base));
  const Declared *declared = &base->declared;
  Draft draft = {.kind = declared->kind, .name = declared->name, .span = declared->span};
  memcpy(draft.slot, declared->slot, sizeof draft.slot);
  memcpy(draft.place, declared->place, sizeof draft.place);
  take_entries(eval, &draft, node->kid + 1, node->count - 1);
  return finish(eval, &draft);
}

Value *declare_replace(Eval *eval, const Value *base, const char *key, Span key_span, Value *value,
                       Span span) {
  if (base->kind == VALUE_SYSTEM) return system_replace(eval, base, key, key_span, value, span);
  const Declared *declared = &base->declared;
  Draft draft = {.kind = declared->kind, .name = declared->name, .span = declared->span};
  memcpy(draft.slot, declared->slot, sizeof draft.slot);
  memcpy(draft.place, declared->place, sizeof draft.place);
  int index = key_find(draft.kind, key);
  if (index >= 0)
    put_value(eval, &draft, index, value, span);
  else if (!put_parameter(eval, &draft, key, value, span))
    unknown_key(eval, &draft, key, key_span);
  return finish(eval, &draft);
}

Value *declared_field(Eval *eval, const Ast *node, Value *value) {
  const Declared *declared = &value->declared;
  int index = key_find(declared->kind, node->name);
  const Value *optimizer =
      declared->kind == DECLARED_TRAINING ? declared->slot[TRAINING_OPTIMIZER] : NULL;
  if (index < 0 && optimizer && optimizer->kind == VALUE_OPTIMIZER &&
      optimizer_parameter(optimizer, node->name))
    return optimizer_parameter(optimizer, node->name);
  if (index < 0) {
    const char *names[DECLARED_MAX_KEYS + 1];
    key_names(declared->kind, names);
    return eval_unknown(eval, node->name_span, node->name, names, "a %s has no key '%s'",
                        declared_kind_name(declared->kind), node->name);
  }
  if (declared->slot[index]) return declared->slot[index];
  return eval_error(eval, node->name_span, NULL, "'%s' gives no '%s'", declared->name, node->name);
}
