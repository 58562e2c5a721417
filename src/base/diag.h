/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Source texts, places in them, and the messages that point there. Diagnostics are collected while
 * a stage works and printed once, in source order, as
 *
 *     script.dmf:12:7: error: unknown key 'gama' of model 'net'
 *        12 |   gama = 2
 *           |   ^~~~
 *           = did you mean 'gamma'?
 *
 * This room knows nothing of the language. */
#ifndef DMF_BASE_DIAG_H
#define DMF_BASE_DIAG_H

#include "base/status.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* A text and its name. Sources are shared by everything that was read from them: source_keep and
 * source_drop count the references. */
typedef struct Source {
  char *name; /* as the user gave it: "net.dmf", "<input>", "--set" */
  char *text; /* `length` bytes and a terminating NUL; may hold NUL bytes */
  size_t length;
  bool library; /* an imported file, in which names of the language are not those of a script */
  bool recipe;  /* what a result says of itself, where a 0 may be that of a parameter */
  int references;
} Source;

Source *source_new(const char *name, const char *text, size_t length);
Source *source_keep(Source *source);
void source_drop(Source *source);

/* The bytes [begin, end) of a source; `source` NULL means "no place". Lines and columns are found
 * when a message is printed. */
typedef struct Span {
  const Source *source;
  uint32_t begin, end;
} Span;

Span span_join(Span first, Span last);
/* Line and column from 1; columns count characters of UTF-8, not bytes. */
void span_locate(Span span, int *line, int *column);

typedef enum DiagKind { DIAG_ERROR, DIAG_WARNING, DIAG_REMARK, DIAG_NOTE } DiagKind;

const char *diag_kind_name(DiagKind kind); /* "error", "warning", "remark", "note" */

typedef struct Diag {
  DiagKind kind;
  Status status;
  Span span;
  char *message;
  char *hint; /* or NULL */
} Diag;

/* Collected messages. At most DIAG_LIMIT errors are kept; the rest are counted. The same message
 * at the same place is kept once. */
typedef struct Diags {
  Diag *items;
  int count, capacity;
  int errors, dropped;
  Status status; /* of the first error, STATUS_OK if none */
} Diags;

enum { DIAG_LIMIT = 20 };

void diags_clear(Diags *diags);
/* Adds an error. `hint` may be NULL. */
void diag_error(Diags *diags, Status status, Span span, const char *hint, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
void diag_warning(Diags *diags, Span span, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* What was taken for granted, and is right most of the time. */
void diag_remark(Diags *diags, Span span, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* A further line for the last message, such as the place of an earlier declaration. */
void diag_note(Diags *diags, Span span, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Moves all messages of `from` behind those of `to`. */
void diags_join(Diags *to, Diags *from);
/* Visits all in order of their place; notes stay behind their message. */
void diags_visit(const Diags *diags, void (*visit)(const Diag *diag, void *context), void *context);
/* One message as it is printed, to be freed. */
char *diag_text(const Diag *diag, bool color);
/* Prints all in that order, with source line and caret; `color` adds terminal colours. */
void diags_print(const Diags *diags, FILE *stream, bool color);

/* The candidate nearest to `name`: two slips of the hand away at most, one where the name is short;
 * NULL if there is none. `candidates` ends with NULL. */
const char *suggest(const char *name, const char *const *candidates);
/* "did you mean 'x'?" for the nearest candidate, else "one of: a, b, c" when there are at most 20,
 * else NULL. The text lives until the next call on this thread. */
const char *suggest_hint(const char *name, const char *const *candidates);

#endif
