/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The options of `plot`: src/model/plot.def. */
#include "model/eval.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

typedef enum Takes { TEXT, SWITCH, LIMITS, PLACES, WORD } Takes;

const char *const plot_legends[] = {"top",         "right",        "top left", "top right",
                                    "bottom left", "bottom right", "none",     NULL};
const char *const plot_colors[] = {"viridis", "magma", "gray", "diverging", NULL};
const char *const plot_sizes[] = {"screen", "column", "page", NULL};

static const struct {
  const char *name;
  Takes takes;
  size_t at;
  const char *const *words;
} options[] = {
#define OPTION(name, takes, member, words, about) {name, takes, offsetof(PlotPart, member), words},
#include "model/plot.def"
#undef OPTION
};

const char *const plot_options[] = {
#define OPTION(name, takes, member, words, about) name,
#include "model/plot.def"
#undef OPTION
    NULL};

enum { OPTIONS = sizeof options / sizeof *options };

static int option_of(const char *name) {
  int i = 0;
  while (i < OPTIONS && strcmp(options[i].name, name) != 0) i++;
  return i;
}

bool plot_is_option(const Item *item) {
  int i = item->labelled ? option_of(item->name) : OPTIONS;
  ValueKind kind = item->value->kind;
  bool scalar = kind == VALUE_STRING || kind == VALUE_NUMBER;
  bool array = kind == VALUE_ARRAY || kind == VALUE_UNKNOWN || kind == VALUE_LIST;
  bool wants_array = i < OPTIONS && (options[i].takes == LIMITS || options[i].takes == PLACES);
  return item->labelled && (scalar || (array && wants_array));
}

static void wrong(Eval *eval, const Item *item, const char *wanted) {
  eval_error(eval, item->node->span, NULL, "'%s' must be %s, not %s", item->name, wanted,
             value_describe(item->value));
}

static void take_limits(Eval *eval, const Item *item, PlotLimits *limits) {
  const Value *value = item->value;
  const double *ends = value->kind == VALUE_ARRAY ? value->array->data : NULL;
  if (value->kind == VALUE_UNKNOWN || (ends && !value->known)) return;
  if (!ends || value->array->rank != 1 || value->array->size != 2)
    wrong(eval, item, "two numbers, such as [0, 1]");
  else if (!(isfinite(ends[0]) && isfinite(ends[1]) && ends[0] < ends[1]))
    eval_error(eval, item->node->span, NULL,
               "'%s' goes from a lower to a higher number, not from "
               "%g to %g",
               item->name, ends[0], ends[1]);
  else
    *limits = (PlotLimits){true, ends[0], ends[1]};
}

static void take_places(Eval *eval, const Item *item, const Value **places) {
  const Value *value = item->value;
  bool vector = value->kind == VALUE_ARRAY && value->array->rank == 1;
  if (vector || value->kind == VALUE_NUMBER)
    *places = value;
  else if (value->kind != VALUE_UNKNOWN)
    wrong(eval, item, "a number or a vector");
}

static void take_word(Eval *eval, const Item *item, const char *const *words, const char **word) {
  const char *text = item->value->string;
  for (int i = 0; words[i]; i++)
    if (strcmp(words[i], text) == 0) *word = words[i];
  if (!*word && item->value->known)
    eval_unknown(eval, item->node->span, text, words, "'%s' cannot be \"%s\"", item->name, text);
}

void plot_take_option(Eval *eval, const Item *item, PlotPart *part) {
  int i = option_of(item->name);
  const Value *value = item->value;
  if (i == OPTIONS) {
    eval_unknown(eval, item->node->span, item->name, plot_options,
                 "cannot plot %s, and 'plot' has no option '%s'", value_describe(value),
                 item->name);
    return;
  }
  void *member = (char *)part + options[i].at;
  Takes takes = options[i].takes;
  bool text = takes == TEXT || takes == WORD;
  if (text && value->kind != VALUE_STRING)
    wrong(eval, item, "a string");
  else if (takes == SWITCH && value->kind != VALUE_NUMBER)
    wrong(eval, item, "true or false");
  else if (takes == TEXT)
    *(const char **)member = value->string;
  else if (takes == WORD)
    take_word(eval, item, options[i].words, member);
  else if (takes == SWITCH)
    *(PlotSwitch *)member = value->number != 0 ? SWITCH_ON : SWITCH_OFF;
  else if (takes == LIMITS)
    take_limits(eval, item, member);
  else
    take_places(eval, item, member);
}
