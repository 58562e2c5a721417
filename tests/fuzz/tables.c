/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the reference of the language has, for the grammars: functions of a group with their
 * arguments, keys and options with a value. So what is added to a table is in generated programs
 * from then on. */
#include "generate.h"

#include <stdlib.h>
#include <string.h>

typedef struct Reference {
  DmfTopic *topics;
  size_t count;
} Reference;

/* Collected once, of a session that stays open. */
static const Reference *reference(void) {
  static Reference all;
  static Dmf *dmf;
  if (dmf) return &all;
  dmf = dmf_open(&(DmfConfig){.quiet = true});
  const DmfTopic *topic;
  for (int i = 0; (topic = dmf_topic(dmf, i)); i++) {
    all.topics = realloc(all.topics, (all.count + 1) * sizeof *all.topics);
    if (!all.topics) abort();
    all.topics[all.count++] = *topic;
  }
  return &all;
}

const char *name_of(Choice *c, unsigned kinds) {
  const Reference *all = reference();
  size_t count = 0, chosen, i = 0;
  for (size_t k = 0; k < all->count; k++) count += kinds >> all->topics[k].kind & 1;
  chosen = (pick(c, 256) * 256 + pick(c, 256)) % count;
  while (!(kinds >> all->topics[i].kind & 1) || chosen--) i++;
  return all->topics[i].name;
}

static bool ends_with(const char *text, const char *end) {
  size_t length = strlen(text), tail = strlen(end);
  return tail <= length && strcmp(text + length - tail, end) == 0;
}

size_t parameters_of(const char *usage, Parameter list[PARAMETERS]) {
  const char *at = strchr(usage, '('), *end = strrchr(usage, ')');
  size_t count = 0;
  for (at = at ? at + 1 : end; at && at < end && count < PARAMETERS;) {
    size_t whole = strcspn(at, ",");
    if (at + whole > end) whole = (size_t)(end - at);
    const char *equals = memchr(at, '=', whole);
    Parameter p = {at, equals ? equals + 2 : NULL, strcspn(at, " .,)"), 0};
    if (equals) p.fallback_length = (size_t)(at + whole - p.fallback);
    list[count++] = p;
    at += whole + strspn(at + whole, ", ");
  }
  return count;
}

/* A word that the reference has for it, or false. */
static bool write_word(Choice *c, const Parameter *p) {
  const Reference *all = reference();
  const char *found[PARAMETERS];
  size_t count = 0;
  for (size_t i = 0; i < all->count && count < PARAMETERS; i++) {
    const char *usage = all->topics[i].usage;
    if (all->topics[i].kind == DMF_VALUE && strncmp(usage, p->name, p->length) == 0 &&
        strncmp(usage + p->length, " = ", 3) == 0)
      found[count++] = usage + p->length + 3;
  }
  if (count) fputs(found[pick(c, count)], c->out);
  return count > 0;
}

/* Words and rules of this name before numbers; seldom what it does not take. */
static void write_value(Choice *c, const Parameter *p, int depth) {
  static const char *const numbers[] = {"1", "2", "0.5", "0.1", "3", "true", "none", "0.9"};
  static const char *const odd[] = {"0",    "-1",         "1e300", "0/0",  "\"x\"",
                                    "1e-9", "[0.1, 0.2]", "1/0",   "tanh", "2^53"};
  size_t way = pick(c, 8);
  if (way == 7)
    write_expression(c, DEEPEST - 1);
  else if (way == 6)
    fputs(odd[pick(c, sizeof odd / sizeof *odd)], c->out);
  else if (way == 5 && p->fallback)
    fwrite(p->fallback, 1, p->fallback_length, c->out);
  else if (!write_word(c, p) && !write_rule(c, p->name, p->length, depth))
    fputs(numbers[pick(c, sizeof numbers / sizeof *numbers)], c->out);
}

static void write_named(Choice *c, const Parameter *p, int depth) {
  fprintf(c->out, "%.*s = ", (int)p->length, p->name);
  write_value(c, p, depth + 1);
}

/* The one of them that stands at a place, or, past the end, how many there are. */
static const DmfTopic *of_group(const char *group, size_t *place) {
  const Reference *all = reference();
  size_t count = 0;
  for (size_t i = 0; i < all->count; i++) {
    const DmfTopic *topic = &all->topics[i];
    if (topic->kind != DMF_LIBRARY && ends_with(topic->group, group) && count++ == *place)
      return topic;
  }
  *place = count;
  return NULL;
}

static const DmfTopic *choose(Choice *c, const char *group) {
  size_t count = SIZE_MAX;
  of_group(group, &count);
  if (!count) abort(); /* the grammar names a group that there is not */
  size_t place = pick(c, count);
  return of_group(group, &place);
}

void write_name(Choice *c, const char *group) { fputs(choose(c, group)->name, c->out); }

void write_call(Choice *c, const char *group, int depth) {
  enum { OPTIONS = 4 };
  const DmfTopic *topic = choose(c, group);
  Parameter list[PARAMETERS];
  size_t count = parameters_of(topic->usage, list), needed = 0;
  const char *between = "";
  fprintf(c->out, "%s(", topic->name);
  for (; needed < count && !list[needed].fallback; needed++, between = ", ") {
    fputs(between, c->out);
    write_value(c, &list[needed], depth + 1);
  }
  for (size_t more = needed < count ? pick(c, OPTIONS) : 0; more; more--, between = ", ") {
    fputs(between, c->out);
    write_named(c, &list[needed + pick(c, count - needed)], depth);
  }
  fputc(')', c->out);
}

void write_option(Choice *c, const char *function, int depth) {
  const Reference *all = reference();
  Parameter list[PARAMETERS];
  for (size_t i = 0; i < all->count; i++) {
    if (all->topics[i].kind != DMF_FUNCTION || strcmp(all->topics[i].name, function) != 0) continue;
    size_t count = parameters_of(all->topics[i].usage, list), needed = 0;
    while (needed < count && !list[needed].fallback) needed++;
    if (needed == count) abort(); /* the grammar wants options of what has none */
    write_named(c, &list[needed + pick(c, count - needed)], depth);
    return;
  }
  abort();
}

void write_entry(Choice *c, const char *group, int depth) {
  const DmfTopic *topic = choose(c, group);
  const char *shown = strstr(topic->usage, " = ");
  bool known = shown && topic->kind == DMF_KEY && !strstr(shown, "...");
  write_named(c,
              &(Parameter){topic->name, known ? shown + 3 : NULL, strlen(topic->name),
                           known ? strlen(shown + 3) : 0},
              depth);
}
