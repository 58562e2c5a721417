/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "syntax/lexeme.h"

#include "base/utf8.h"
#include "parser.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *spelling(Span span) { return span.source->text + span.begin; }
static int width(Span span) { return (int)(span.end - span.begin); }

int lexeme_number(Build *build, Span span, const char *text, Value *value) {
  value->number = strtod(text, NULL);
  if (isinf(value->number))
    diag_error(build->diags, STATUS_SCRIPT, span, "the largest number is about 1.8e308",
               "the number is too large");
  return NUMBER;
}

int lexeme_run_on(Build *build, Span span, Value *value) {
  diag_error(build->diags, STATUS_SCRIPT, span, "a product is written with '*', as in 2 * x",
             "'%.*s' is neither a number nor a name", width(span), spelling(span));
  value->number = 0;
  return NUMBER;
}

int lexeme_string(Build *build, Span span, Value *value) {
  static const char letters[] = "nt\"\\", meanings[] = "\n\t\"\\";
  const char *at = spelling(span) + 1, *end = span.source->text + span.end - 1;
  char *text = arena_alloc(build->arena, (size_t)(end - at) + 1), *to = text;
  for (; at < end; at++) {
    if (*at != '\\') {
      *to++ = *at;
      continue;
    }
    const char *escape = strchr(letters, *++at);
    if (escape) {
      *to++ = meanings[escape - letters];
      continue;
    }
    uint32_t code, begin = (uint32_t)(at - 1 - span.source->text);
    uint32_t length = (uint32_t)utf8_decode(at, (size_t)(end - at), &code);
    diag_error(build->diags, STATUS_SCRIPT, (Span){span.source, begin, begin + 1 + length},
               "strings know \\n \\t \\\" \\\\", "unknown escape '\\%.*s' in a string", (int)length,
               at);
  }
  value->text = text;
  return STRING;
}

/* The Greek letters from alpha on, in the order of Unicode (which has two forms of sigma). */
static const char *const greek[] = {
    "alpha", "beta",   "gamma",   "delta", "epsilon", "zeta",    "eta",  "theta", "iota",
    "kappa", "lambda", "mu",      "nu",    "xi",      "omicron", "pi",   "rho",   "sigma",
    "sigma", "tau",    "upsilon", "phi",   "chi",     "psi",     "omega"};

/* Other forms of the same letters. */
static const struct {
  uint32_t code;
  const char *name;
} variants[] = {
    {0x3d1, "theta"},   {0x3d5, "phi"}, {0x3d6, "pi"},     {0x3f0, "kappa"},  {0x3f1, "rho"},
    {0x3f5, "epsilon"}, {0xb5, "mu"},   {0x2126, "Omega"}, {0x2206, "Delta"},
};

enum {
  ALPHA = 0x3b1,
  OMEGA = 0x3c9,
  CAPITAL_ALPHA = 0x391,
  CAPITAL_OMEGA = 0x3a9,
  NO_CAPITAL = 0x3a2,
  SUBSCRIPT_ZERO = 0x2080,
  SUBSCRIPT_NINE = 0x2089,
  LETTER_BYTES = 8
};

/* How a character outside ASCII is spelled in a name; false if it cannot be part of one. */
static bool spell(uint32_t code, char letter[LETTER_BYTES]) {
  const char *name = NULL;
  bool capital = code >= CAPITAL_ALPHA && code <= CAPITAL_OMEGA && code != NO_CAPITAL;
  if (capital) name = greek[code - CAPITAL_ALPHA];
  if (code >= ALPHA && code <= OMEGA) name = greek[code - ALPHA];
  for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
    if (variants[i].code == code) name = variants[i].name;
  memset(letter, 0, LETTER_BYTES);
  if (code >= SUBSCRIPT_ZERO && code <= SUBSCRIPT_NINE)
    letter[0] = (char)('0' + (code - SUBSCRIPT_ZERO));
  else if (name)
    memcpy(letter, name, strnlen(name, LETTER_BYTES - 1));
  if (capital) letter[0] = (char)toupper(letter[0]);
  return letter[0];
}

/* The code of the letter that a word spells, 0 if it is none. */
static uint32_t spelled(const char *word, size_t length) {
  char small[LETTER_BYTES] = {0};
  if (length >= LETTER_BYTES) return 0;
  memcpy(small, word, length);
  small[0] = (char)tolower(small[0]);
  for (size_t i = sizeof greek / sizeof *greek; i-- > 0;) /* the usual sigma comes second */
    if (strcmp(greek[i], small) == 0)
      return (uint32_t)(isupper((unsigned char)*word) ? CAPITAL_ALPHA : ALPHA) + (uint32_t)i;
  return 0;
}

char *greek_text(const char *text) {
  char *written = mem_new(strlen(text) + 1, 1), *to = written;
  bool quoted = false, inside = false;
  while (*text) {
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
    bool ends = !isdigit((unsigned char)text[length]) && !(text[length] & 0x80);
    uint32_t code = quoted || inside || !ends ? 0 : spelled(text, length);
    if (code) { /* two bytes, never longer than the word */
      *to++ = (char)(0xc0 | code >> 6);
      *to++ = (char)(0x80 | (code & 0x3f));
      text += length;
      continue;
    }
    if (!length) length = 1;
    quoted ^= *text == '"';
    memcpy(to, text, length);
    to += length;
    text += length;
    inside = isalnum((unsigned char)text[-1]) || text[-1] == '_' || text[-1] & 0x80;
  }
  return written;
}

/* What to write instead of a character that looks right. */
static const struct {
  uint32_t code;
  const char *hint;
} lookalikes[] = {
    {0x2212, "write '-'"},
    {0x2013, "write '-'"},
    {0x2014, "write '-'"},
    {0xd7, "write '*'"},
    {0xb7, "write '*'"},
    {0x22c5, "write '*'"},
    {0xf7, "write '/'"},
    {0x2264, "write '<='"},
    {0x2265, "write '>='"},
    {0x2260, "write '!='"},
    {0x2192, "write '->'"},
    {0xb2, "write '^2'"},
    {0xb3, "write '^3'"},
    {0x221a, "write 'sqrt'"},
    {0x2297, "write 'outer'"},
    {0xa0, "a no-break space: write an ordinary blank"},
    {0x201c, "strings are written in \"...\""},
    {0x201d, "strings are written in \"...\""},
    {0x2018, "strings are written in \"...\""},
    {0x2019, "strings are written in \"...\""},
    {'?', "write if a then b else c"},
    {'&', "write 'and'"},
    {'|', "write 'or'; the absolute value is abs(x)"},
    {'~', "write 'not'"},
    {0xfeff, "an invisible mark: delete it"},
    {0x200b, "an invisible space: delete it"},
};

int lexeme_stray(Build *build, Span span) {
  uint32_t code;
  const char *hint = NULL;
  int length = utf8_decode(spelling(span), (size_t)width(span), &code);
  for (size_t i = 0; i < sizeof lookalikes / sizeof *lookalikes; i++)
    if (lookalikes[i].code == code) hint = lookalikes[i].hint;
  if (code < ' ' || code == 0x7f || (code >= 0x80 && code <= 0xa0) || code == 0xfeff ||
      code == 0x200b)
    diag_error(build->diags, STATUS_SCRIPT, span, hint, "unexpected character U+%04X", code);
  else
    diag_error(build->diags, STATUS_SCRIPT, span, hint, "unexpected character '%.*s'", length,
               spelling(span));
  return BAD;
}

/* The end of the characters from `at` on that cannot be part of a name. */
static uint32_t stray_end(Span span, uint32_t at) {
  char letter[LETTER_BYTES];
  uint32_t code;
  while (at < span.end && (unsigned char)span.source->text[at] >= 0x80) {
    int length = utf8_decode(span.source->text + at, span.end - at, &code);
    if (spell(code, letter)) break;
    at += (uint32_t)length;
  }
  return at;
}

/* The token of a keyword, or NAME. */
static int keyword(Span span) {
  static const struct {
    int token;
    const char *word;
  } keywords[] = {
#define KEYWORD(token, word, usage, about) {token, word},
#include "syntax/keywords.def"
  };
  size_t length = (size_t)width(span);
  for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
    if (strlen(keywords[i].word) == length && !memcmp(keywords[i].word, spelling(span), length))
      return keywords[i].token;
  return NAME;
}

int lexeme_name(Build *build, Span span, Value *value) {
  const char *text = span.source->text;
  char letter[LETTER_BYTES], *name = arena_alloc(build->arena, 4 * (size_t)width(span) + 1),
                             *to = name;
  int token = keyword(span);
  for (uint32_t at = span.begin, next; at < span.end; at = next) {
    uint32_t code;
    next = at + (uint32_t)utf8_decode(text + at, span.end - at, &code);
    if (code < 0x80) {
      *to++ = (char)code;
    } else if (spell(code, letter) && !(to == name && isdigit(letter[0]))) {
      to = stpcpy(to, letter);
    } else {
      next = stray_end(span, next);
      if (at == span.begin) token = BAD;
      lexeme_stray(build, (Span){span.source, at, next});
    }
  }
  value->name = (Name){name, span};
  return token;
}

Name lexeme_word(Build *build, Span span) {
  return (Name){arena_copy(build->arena, spelling(span), (size_t)width(span)), span};
}

int lexeme_foreign(Build *build, Span span, const char *hint, int token) {
  diag_error(build->diags, STATUS_SCRIPT, span, hint, "'%.*s' is not an operator of the language",
             width(span), spelling(span));
  return token;
}

int lexeme_unclosed(Build *build, Span span) {
  diag_error(build->diags, STATUS_SCRIPT, span,
             "a string ends on the line where it begins; write \\n for a new line",
             "the string has no closing quote");
  return BAD;
}
