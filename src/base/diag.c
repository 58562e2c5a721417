/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/diag.h"
#include "base/memory.h"
#include "base/utf8.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

Source *source_new(const char *name, const char *text, size_t length) {
  Source *source = mem_new(1, sizeof *source);
  source->name = mem_string(name);
  source->text = mem_new(length + 1, 1);
  if (length) memcpy(source->text, text, length);
  source->length = length;
  source->references = 1;
  return source;
}

Source *source_keep(Source *source) {
  if (source) source->references++;
  return source;
}

void source_drop(Source *source) {
  if (!source || --source->references > 0) return;
  free(source->name);
  free(source->text);
  free(source);
}

Span span_join(Span first, Span last) {
  if (!first.source) return last;
  if (last.source != first.source) return first;
  if (last.begin < first.begin) first.begin = last.begin;
  if (last.end > first.end) first.end = last.end;
  return first;
}

static bool starts_character(char byte) { return ((unsigned char)byte & 0xc0) != 0x80; }

static size_t line_start(Span span) {
  size_t at = span.begin;
  while (at > 0 && span.source->text[at - 1] != '\n') at--;
  return at;
}

void span_locate(Span span, int *line, int *column) {
  *line = *column = 1;
  if (!span.source) return;
  size_t start = line_start(span);
  for (size_t i = 0; i < start; i++) *line += span.source->text[i] == '\n';
  for (size_t i = start; i < span.begin; i++) *column += starts_character(span.source->text[i]);
}

void diags_clear(Diags *diags) {
  for (int i = 0; i < diags->count; i++) {
    free(diags->items[i].message);
    free(diags->items[i].hint);
  }
  free(diags->items);
  *diags = (Diags){0};
}

static bool seen(const Diags *diags, Span span, const char *message) {
  for (int i = 0; i < diags->count; i++) {
    const Diag *d = &diags->items[i];
    if (d->span.source == span.source && d->span.begin == span.begin &&
        strcmp(d->message, message) == 0)
      return true;
  }
  return false;
}

static void add(Diags *diags, DiagKind kind, Status status, Span span, const char *hint,
                const char *format, va_list args) {
  char *message = mem_vformat(format, args);
  if (kind != DIAG_NOTE && seen(diags, span, message)) {
    free(message);
    return;
  }
  if (kind == DIAG_ERROR) {
    if (diags->errors == 0) diags->status = status;
    if (diags->errors++ >= DIAG_LIMIT) {
      diags->dropped++;
      free(message);
      return;
    }
  }
  if (diags->count == diags->capacity) {
    diags->capacity = diags->capacity ? 2 * diags->capacity : 8;
    diags->items = mem_grow(diags->items, (size_t)diags->capacity * sizeof *diags->items);
  }
  diags->items[diags->count++] =
      (Diag){kind, status, span, message, hint ? mem_string(hint) : NULL};
}

void diag_error(Diags *diags, Status status, Span span, const char *hint, const char *format, ...) {
  va_list args;
  va_start(args, format);
  add(diags, DIAG_ERROR, status, span, hint, format, args);
  va_end(args);
}

void diag_warning(Diags *diags, Span span, const char *hint, const char *format, ...) {
  va_list args;
  va_start(args, format);
  add(diags, DIAG_WARNING, STATUS_OK, span, hint, format, args);
  va_end(args);
}

void diag_remark(Diags *diags, Span span, const char *hint, const char *format, ...) {
  va_list args;
  va_start(args, format);
  add(diags, DIAG_REMARK, STATUS_OK, span, hint, format, args);
  va_end(args);
}

void diag_note(Diags *diags, Span span, const char *format, ...) {
  va_list args;
  va_start(args, format);
  add(diags, DIAG_NOTE, STATUS_OK, span, NULL, format, args);
  va_end(args);
}

void diags_join(Diags *to, Diags *from) {
  for (int i = 0; i < from->count; i++) {
    const Diag *d = &from->items[i];
    switch (d->kind) {
    case DIAG_ERROR: diag_error(to, d->status, d->span, d->hint, "%s", d->message); break;
    case DIAG_WARNING: diag_warning(to, d->span, d->hint, "%s", d->message); break;
    case DIAG_REMARK: diag_remark(to, d->span, d->hint, "%s", d->message); break;
    case DIAG_NOTE: diag_note(to, d->span, "%s", d->message); break;
    }
  }
  diags_clear(from);
}

/* Terminal colours, or empty strings. */
typedef struct Ink {
  const char *bold, *kind, *caret, *off;
} Ink;

static Ink ink_for(DiagKind kind, bool color) {
  if (!color) return (Ink){"", "", "", ""};
  const char *tint = kind == DIAG_ERROR     ? "\033[1;31m"
                     : kind == DIAG_WARNING ? "\033[1;35m"
                                            : "\033[1;36m";
  return (Ink){"\033[1m", tint, "\033[1;32m", "\033[0m"};
}

/* What names of files and texts of scripts hold must not reach the terminal as commands: but for
 * `kept` control characters, and what is no text, are shown as '?'. */
static void print_plain(const char *text, size_t length, const char *kept, FILE *stream) {
  for (size_t i = 0; i < length;) {
    int shown = utf8_shown(text + i, length - i);
    size_t step = shown ? (size_t)shown : 1;
    bool plain = shown || (text[i] && strchr(kept, text[i]));
    if (plain)
      fwrite(text + i, 1, step, stream);
    else
      fputc('?', stream);
    i += step;
  }
}

/* The line that holds the span and a caret under it. A tab is echoed in the margin so that the
 * caret stays below its text. */
static void print_excerpt(Span span, int line, Ink ink, FILE *stream) {
  const char *text = span.source->text;
  size_t start = line_start(span), end = span.begin;
  while (end < span.source->length && text[end] != '\n') end++;
  size_t shown = end - start > 400 ? start + 400 : end;
  if (span.begin > shown) return;
  fprintf(stream, "%5d | ", line);
  print_plain(text + start, shown - start, "\t", stream);
  fprintf(stream, "\n      | ");
  for (size_t i = start; i < span.begin; i++)
    if (starts_character(text[i])) fputc(text[i] == '\t' ? '\t' : ' ', stream);
  fprintf(stream, "%s^", ink.caret);
  for (size_t i = span.begin + 1; i < span.end && i < shown; i++)
    if (starts_character(text[i])) fputc('~', stream);
  fprintf(stream, "%s\n", ink.off);
}

const char *diag_kind_name(DiagKind kind) {
  static const char *const names[] = {"error", "warning", "remark", "note"};
  return names[kind];
}

static void print_one(const Diag *d, bool color, FILE *stream) {
  Ink ink = ink_for(d->kind, color);
  int line = 0, column = 0;
  if (d->span.source) {
    span_locate(d->span, &line, &column);
    fputs(ink.bold, stream);
    print_plain(d->span.source->name, strlen(d->span.source->name), "", stream);
    fprintf(stream, ":%d:%d: ", line, column);
  } else {
    fprintf(stream, "%sdmf: ", ink.bold);
  }
  fprintf(stream, "%s%s:%s ", ink.kind, diag_kind_name(d->kind), ink.off);
  print_plain(d->message, strlen(d->message), "\n\t", stream);
  fputc('\n', stream);
  if (d->span.source) print_excerpt(d->span, line, ink, stream);
  if (d->hint) {
    fputs("      = ", stream);
    print_plain(d->hint, strlen(d->hint), "\n\t", stream);
    fputc('\n', stream);
  }
}

char *diag_text(const Diag *diag, bool color) {
  char *text = NULL;
  size_t length;
  FILE *stream = mem_stream(&text, &length);
  print_one(diag, color, stream);
  mem_stream_end(stream);
  return text;
}

typedef struct Order {
  const Diag *head;
  int index;
} Order;

static int by_place(const void *a, const void *b) {
  const Order *x = a, *y = b;
  const Span *s = &x->head->span, *t = &y->head->span;
  if (s->source == t->source && s->begin != t->begin) return s->begin < t->begin ? -1 : 1;
  return x->index - y->index;
}

void diags_visit(const Diags *diags, void (*visit)(const Diag *diag, void *context),
                 void *context) {
  Order *order = mem_new((size_t)diags->count, sizeof *order);
  int heads = 0;
  for (int i = 0; i < diags->count; i++)
    if (diags->items[i].kind != DIAG_NOTE) order[heads++] = (Order){&diags->items[i], i};
  qsort(order, (size_t)heads, sizeof *order, by_place);
  for (int i = 0; i < heads; i++) {
    int at = order[i].index;
    do visit(&diags->items[at++], context);
    while (at < diags->count && diags->items[at].kind == DIAG_NOTE);
  }
  free(order);
}

typedef struct Printer {
  FILE *stream;
  bool color;
} Printer;

/* In one piece, so that what other processes write does not come between. */
static void print_whole(const Diag *diag, void *context) {
  const Printer *printer = context;
  char *text = diag_text(diag, printer->color);
  fputs(text, printer->stream);
  free(text);
}

void diags_print(const Diags *diags, FILE *stream, bool color) {
  diags_visit(diags, print_whole, &(Printer){stream, color});
  if (diags->dropped) fprintf(stream, "dmf: %d more errors\n", diags->dropped);
}

/* What a slip costs: two letters in the wrong order are a likelier one than another letter, and
 * capitals are hardly any. */
enum { COST_EDIT = 4, COST_SWAP = 3, COST_CASE = 1 };

static int substitution(char a, char b) {
  if (a == b) return 0;
  return tolower((unsigned char)a) == tolower((unsigned char)b) ? COST_CASE : COST_EDIT;
}

static int least_of(int a, int b) { return a < b ? a : b; }

/* Damerau's distance with these costs, for names of ordinary length. */
static int distance(const char *a, const char *b) {
  enum { LONGEST = 48 };
  int n = (int)strlen(a), m = (int)strlen(b);
  if (n > LONGEST || m > LONGEST) return COST_EDIT * LONGEST;
  int d[LONGEST + 1][LONGEST + 1];
  for (int i = 0; i <= n; i++) d[i][0] = COST_EDIT * i;
  for (int j = 0; j <= m; j++) d[0][j] = COST_EDIT * j;
  for (int i = 1; i <= n; i++)
    for (int j = 1; j <= m; j++) {
      int best = d[i - 1][j - 1] + substitution(a[i - 1], b[j - 1]);
      best = least_of(best, least_of(d[i - 1][j], d[i][j - 1]) + COST_EDIT);
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        best = least_of(best, d[i - 2][j - 2] + COST_SWAP);
      d[i][j] = best;
    }
  return d[n][m];
}

/* The cost up to which a name is taken for another: two slips, but one in a short name, and in a
 * single letter its case. */
static int tolerance(const char *name) {
  size_t length = strlen(name);
  return length > 4 ? 2 * COST_EDIT : length > 1 ? COST_EDIT : COST_CASE;
}

const char *suggest(const char *name, const char *const *candidates) {
  const char *best = NULL;
  int least = tolerance(name) + 1;
  for (; *candidates; candidates++) {
    int d = distance(name, *candidates);
    if (d < least) {
      least = d;
      best = *candidates;
    }
  }
  return best;
}

const char *suggest_hint(const char *name, const char *const *candidates) {
  static _Thread_local char text[512];
  const char *near = suggest(name, candidates);
  if (near) {
    snprintf(text, sizeof text, "did you mean '%s'?", near);
    return text;
  }
  int count = 0;
  while (candidates[count]) count++;
  if (count == 0 || count > 20) return NULL;
  int used = snprintf(text, sizeof text, "one of: ");
  for (int i = 0; i < count && used < (int)sizeof text; i++)
    used += snprintf(text + used, sizeof text - (size_t)used, i ? ", %s" : "%s", candidates[i]);
  return text;
}
