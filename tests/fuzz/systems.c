/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Odd but well-formed systems, data that grow, functions of several lines, pictures and files. In a
 * form <name> stands for one of the forms of a rule, at the greatest depth for the first of them,
 * and <any GROUP>, <one GROUP>, <entry GROUP>, <option FUNCTION> for what the reference has
 * (tables.c). What the language prints of a system, it has to read. */
#include "generate.h"

#include <stdlib.h>
#include <string.h>

static const char preamble[] =
    "dataset d { inputs = [[1, 1, 1, -1], [1, -1, 1, 1]]; targets = [1, -1]; "
    "test_inputs = [[1, 1, 1, 1]]; test_targets = [1] }\n"
    "dataset g { k = 2; population D, P = k; inputs = gaussian(points = P, dim = D); "
    "targets = inputs @ normal(D) }\n"
    "model m { layers = input -> dense(tanh) -> readout; gamma = 2; width = 2 }\n"
    "model n { layers = input -> dense(erf) -> readout(mean = 1); width = 2 }\n"
    "training tr { dataset = d; optimizer = gd(eta = 0.1); steps = 3 }\n"
    "training tg { dataset = g; optimizer = gd(eta = 0.1); steps = 2 }\n"
    "system s { k = 1; population a, b = 2; matrix W : a -> b; matrix J : a -> a; state x = "
    "normal(a); "
    "step { observe o = dot(x, x); x = J @ tanh(x) } }\n"
    "function fall(t) = 0.1 / (1 + t)\nv = [1, 2, 3]\n"
    "th = dmft(m, tr, samples = 64)\nne = simulate(m, tr, ensemble = 2)\n"
    "ts = dmft(s, steps = 3, samples = 64)\n"
    "fam = sweep(dmft(m, tr, samples = 64).loss, m.gamma = [1, 2])\n";

typedef struct Rule {
  const char *name;
  const char *forms[64];
} Rule;

#define RULE(name, ...) {name, {__VA_ARGS__}},
static const Rule rules[] = {
#include "systems.def"
};

static const Rule *rule_of(const char *name, size_t length) {
  for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
    if (strlen(rules[i].name) == length && memcmp(rules[i].name, name, length) == 0)
      return &rules[i];
  return NULL;
}

/* The sign behind which a word ends, where that is a rule; else NULL: a comparison. */
static const char *word_end(const char *form) {
  static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ/. ";
  const char *end = form + 1 + strspn(form + 1, letters);
  return *form == '<' && *end == '>' && end > form + 1 ? end : NULL;
}

static void expand(Choice *c, const char *name, size_t length, int depth);

static void write_form(Choice *c, const char *form, int depth) {
  for (const char *end; *form; form++)
    if ((end = word_end(form))) {
      expand(c, form + 1, (size_t)(end - form - 1), depth + 1);
      form = end;
    } else
      fputc(*form, c->out);
}

bool write_rule(Choice *c, const char *name, size_t length, int depth) {
  enum { DEEP = 6 };
  const Rule *rule = rule_of(name, length);
  size_t count = 0;
  if (!rule) return false;
  while (count < sizeof rule->forms / sizeof *rule->forms && rule->forms[count]) count++;
  write_form(c, rule->forms[depth < DEEP ? pick(c, count) : 0], depth);
  return true;
}

static const struct {
  const char *word;
  void (*write)(Choice *c, const char *of, int depth);
} derived[] = {{"any ", write_call}, {"entry ", write_entry}, {"option ", write_option}};

static void expand(Choice *c, const char *name, size_t length, int depth) {
  char what[64];
  if (write_rule(c, name, length, depth)) return;
  snprintf(what, sizeof what, "%.*s", (int)length, name);
  if (strcmp(what, "expression") == 0) write_expression(c, DEEPEST - 1);
  if (strcmp(what, "key") == 0) write_key(c);
  if (strncmp(what, "one ", 4) == 0) write_name(c, what + 4);
  for (size_t i = 0; i < sizeof derived / sizeof *derived; i++)
    if (strncmp(what, derived[i].word, strlen(derived[i].word)) == 0)
      derived[i].write(c, what + strlen(derived[i].word), depth);
}

static void statement(Choice *c) { write_form(c, "<statement>", 0); }

/* What ir prints of a system is one. */
static void read_print(Dmf *dmf, const char *asked) {
  DmfValue text;
  if (dmf_value(dmf, asked, NULL, &text) != DMF_OK) return;
  if (text.kind == DMF_TEXT && strncmp(text.text, "system ", 7) == 0) {
    int status = dmf_check_text(dmf, "print", text.text, strlen(text.text));
    if (status != DMF_OK && status != DMF_INTERRUPTED) {
      fprintf(stderr, "status %d of what %s prints:\n%s\n", status, asked, text.text);
      abort();
    }
  }
  dmf_value_free(&text);
}

static void read_prints(Dmf *dmf) {
  read_print(dmf, "ir(s)");
  read_print(dmf, "ir(n, tr)");
}

void target_system(const uint8_t *data, size_t size) {
  run_grammar(&(Grammar){preamble, statement, read_prints}, data, size);
}
