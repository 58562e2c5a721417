/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "syntax/habits.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

static const struct {
  const char *word, *hint;
} habits[] = {
#define HABIT(word, hint) {word, hint},
#include "syntax/habits.def"
#undef HABIT
};

static const char *hint_of(const char *word, size_t length) {
  for (size_t i = 0; i < sizeof habits / sizeof *habits; i++)
    if (strlen(habits[i].word) == length && strncasecmp(habits[i].word, word, length) == 0)
      return habits[i].hint;
  return NULL;
}

const char *habit_word(const char *word) { return hint_of(word, strlen(word)); }

static bool in_name(char letter) {
  return isalnum((unsigned char)letter) || letter == '_' || letter & 0x80;
}

/* Bytes of the name that the text begins with. */
static size_t name_length(const char *text, size_t length) {
  size_t n = 0;
  while (n < length && in_name(text[n])) n++;
  return n;
}

const char *habit_start(const char *text) { return hint_of(text, name_length(text, strlen(text))); }

/* Bytes of the bracket that the text begins with, both ends included; 0 when it stays open. */
static size_t bracket_length(const char *text, size_t length) {
  int depth = 0;
  for (size_t n = 0; n < length; n++) {
    depth += strchr("([{", text[n]) != NULL;
    depth -= strchr(")]}", text[n]) != NULL;
    if (!depth) return n + 1;
  }
  return 0;
}

/* Bytes of .name, (...) or [...] at the beginning of the text; 0 when there is none. */
static size_t tail_length(const char *text, size_t length) {
  if (!length) return 0;
  if (*text == '(' || *text == '[') return bracket_length(text, length);
  size_t name = *text == '.' ? name_length(text + 1, length - 1) : 0;
  return name ? name + 1 : 0;
}

const char *habit_target(const char *text, size_t length, Arena *arena) {
  while (length && isspace((unsigned char)text[length - 1])) length--;
  size_t at = name_length(text, length), last = 0, tails = 0;
  for (size_t n; at && (n = tail_length(text + at, length - at)); at += n, tails++) last = at;
  if (!tails || at < length) return NULL;
  int base = (int)last, whole = (int)length;
  switch (text[last]) {
  case '(': return arena_format(arena, "write function %.*s = ...", whole, text);
  case '[':
    return arena_format(
        arena, "arrays do not change: make a new one, as in concat(%.*s[:2], [3], %.*s[3:])", base,
        text, base, text);
  default:
    return arena_format(arena, "what is declared does not change: %.*s = %.*s with { %.*s = ... }",
                        base, text, base, text, whole - base - 1, text + base + 1);
  }
}
