/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The tokens of the parser's own stream, put on lines again. What stands between two tokens is
 * white space, semicolons and comments; it is read from the text itself. */
#include "base/memory.h"
#include "syntax/format.h"
#include "syntax/tokens.h"

#include "parser.h"

#include <stdlib.h>
#include <string.h>

/* A token. */
typedef struct Piece {
  int kind;
  Span span;
  bool fresh;     /* begins a statement or an entry */
  bool semicolon; /* stands behind one, on the same line */
  bool prefix;    /* a minus sign that is not between two operands */
  bool apart;     /* of the declaration of a matrix: blanks stand around it */
} Piece;

typedef struct Line {
  int first, count; /* its pieces; none on a line with only a comment */
  Span comment;     /* behind them; source NULL: there is none */
  bool blank;       /* an empty line stands before it */
  bool entry;       /* among the entries of a declaration */
  int indent;       /* from where the line `anchor` begins, or from the margin */
  int anchor;       /* -1: the margin */
  bool hangs;       /* moves with what stands behind the = of its anchor */
  int width;        /* of its pieces, without padding */
  int equals;       /* the piece that is its =, if that can be aligned, or -1 */
  int before;       /* width of what stands before that */
  int padding;      /* blanks to be added there */
  int begin;        /* where it begins in the end */
} Line;

typedef struct Bracket {
  char kind;
  bool entries; /* { } of a declaration or variant */
  int line;     /* where it was opened */
  int column;   /* behind it, from the begin of that line */
} Bracket;

typedef struct Layout {
  const char *text;
  Piece *pieces;
  int piece_count;
  Line *lines;
  int line_count;
  bool open; /* the last line may go on */
  Bracket bracket[AST_MAX_DEPTH];
  int depth;
} Layout;

enum { STEP = 2 };

static int width_of(const char *text, size_t length) {
  int width = 0;
  for (size_t i = 0; i < length; i++) width += ((unsigned char)text[i] & 0xc0) != 0x80;
  return width;
}

static int span_width(Span span) {
  return width_of(span.source->text + span.begin, span.end - span.begin);
}

/* The tokens of a text that is known to parse. */
static void read_pieces(Layout *layout, const Source *source) {
  Diags diags = {0};
  Build build = {.source = source, .arena = arena_new(), .diags = &diags};
  Tokens *tokens = tokens_open(&build, START_SCRIPT);
  Value value;
  Span span;
  bool fresh = true, arrow = false;
  int room = 0, last = START_SCRIPT, first = 0;
  tokens_next(&value, &span, tokens);
  for (int kind; (kind = tokens_next(&value, &span, tokens)) != FINISH;) {
    if (kind != NEWLINE) {
      if (layout->piece_count == room)
        layout->pieces =
            mem_grow(layout->pieces, (size_t)(room = 2 * room + 64) * sizeof *layout->pieces);
      bool prefix = kind == '-' && (fresh || !token_ends_operand(last));
      layout->pieces[layout->piece_count++] = (Piece){kind, span, fresh, false, prefix, false};
      if (fresh) first = kind;
      arrow = !fresh && (arrow || kind == ARROW);
      if (first == MATRIX && (kind == ':' || (kind == '(' && arrow && last == NAME)))
        layout->pieces[layout->piece_count - 1].apart = true;
    }
    fresh = kind == NEWLINE;
    last = kind;
  }
  tokens_close(tokens);
  arena_free(build.arena);
  diags_clear(&diags);
}

/* Spaces */

static bool tight(int kind) {
  return kind == '.' || kind == '^' || kind == DOTDOT || kind == TRANSPOSE;
}

static bool opens(int kind) { return kind == '(' || kind == '['; }
static bool closes(int kind) { return kind == ')' || kind == ']'; }

/* Dots of a range or a field must not run into a number. */
static bool dots_meet(const char *text, const Piece *a, const Piece *b) {
  return (a->kind == NUMBER && b->kind == '.') ||
         (a->kind == NUMBER && b->kind == DOTDOT && text[a->span.end - 1] == '.') ||
         (a->kind == DOTDOT && b->kind == NUMBER && text[b->span.begin] == '.');
}

/* Whether a blank stands between neighbours on a line. */
static bool spaced(const Layout *layout, const Piece *a, const Piece *b) {
  if (b->semicolon || b->apart || (a->apart && a->kind == ':')) return true;
  if (opens(a->kind) || closes(b->kind) || b->kind == ',' || a->prefix) return false;
  if (opens(b->kind) && a->kind == FUNCTION) return false;
  if (opens(b->kind)) return !token_ends_operand(a->kind) && !tight(a->kind) && a->kind != ':';
  if (b->kind == ':') return a->kind == ',';
  if (tight(a->kind) && a->kind != TRANSPOSE) return dots_meet(layout->text, a, b);
  if (tight(b->kind)) return dots_meet(layout->text, a, b);
  return a->kind != ':';
}

/* The width of a piece with what stands before it on its line. */
static int advance(const Layout *layout, const Line *line, int i) {
  const Piece *piece = &layout->pieces[i];
  int width = span_width(piece->span) + piece->semicolon;
  return width + (i > line->first && spaced(layout, piece - 1, piece));
}

/* Lines */

static bool declares(int kind) { return kind == DATASET || kind == MODEL || kind == TRAINING; }

/* Whether the brace encloses entries: those of a declaration, or of a variant. */
static bool holds_entries(const Layout *layout, int i) {
  const Piece *piece = &layout->pieces[i];
  return (i > 0 && piece[-1].kind == WITH) || (i > 1 && declares(piece[-2].kind));
}

static const Bracket *innermost(const Layout *layout) {
  return layout->depth > 0 ? &layout->bracket[layout->depth - 1] : NULL;
}

/* Whether the line that begins with piece i goes on with a statement begun before. */
static bool continues(const Layout *layout, int i) {
  const Piece *piece = &layout->pieces[i];
  const Bracket *bracket = innermost(layout);
  if (piece->fresh || i == 0) return false;
  if (bracket && bracket->entries && piece[-1].kind == ',') return false;
  return !(piece->kind == ELSE && piece[-1].kind == '}');
}

/* Where a line begins: with piece i, or with a comment before it. */
static void indent(const Layout *layout, Line *line, int i, bool comment) {
  const Bracket *bracket = innermost(layout);
  int kind = i < layout->piece_count ? layout->pieces[i].kind : FINISH;
  line->anchor = bracket ? bracket->line : -1;
  if (!comment && (closes(kind) || kind == '}')) return;
  if (bracket && bracket->kind != '{') {
    line->hangs = bracket->column > 0;
    line->indent = line->hangs ? bracket->column : STEP;
    return;
  }
  bool inside = kind != '}' && kind != FINISH;
  line->indent = (bracket ? STEP : 0) + (inside && continues(layout, i) ? STEP : 0);
}

static Line *new_line(Layout *layout, bool blank, int i, bool comment) {
  layout->lines = mem_grow(layout->lines, (size_t)(layout->line_count + 1) * sizeof(Line));
  Line *line = &layout->lines[layout->line_count++];
  const Bracket *bracket = innermost(layout);
  *line = (Line){.first = i, .blank = blank, .equals = -1};
  line->entry = bracket && bracket->entries;
  indent(layout, line, i, comment);
  layout->open = true;
  return line;
}

static Span comment_at(const Source *source, uint32_t at) {
  Span span = {source, at, at};
  while (span.end < source->length && source->text[span.end] != '\n') span.end++;
  while (strchr(" \t\r\f\v", source->text[span.end - 1])) span.end--;
  return span;
}

/* Reads what stands before piece i, from `at` on: comments get their places, and the piece its line
 * unless it goes on with the last one. */
static void place(Layout *layout, const Source *source, uint32_t at, int i) {
  bool end = i == layout->piece_count, semicolon = false;
  uint32_t until = end ? (uint32_t)source->length : layout->pieces[i].span.begin;
  int newlines = layout->line_count ? 0 : 1;
  while (at < until) {
    if (source->text[at] == '#') {
      Span comment = comment_at(source, at);
      Line *line = layout->open ? &layout->lines[layout->line_count - 1]
                                : new_line(layout, newlines > 1, i, true);
      line->comment = comment;
      newlines = 0;
      while (at < until && source->text[at] != '\n') at++;
      continue;
    }
    semicolon |= source->text[at] == ';';
    if (source->text[at] == '\n') {
      layout->open = false;
      newlines++;
    }
    at++;
  }
  if (end) return;
  layout->pieces[i].semicolon = layout->open && semicolon && layout->pieces[i].kind != '}';
  if (!layout->open) new_line(layout, newlines > 1, i, false);
}

/* An = that may be aligned is the first one of an assignment, an entry or a definition, outside of
 * brackets. */
static bool alignable(const Layout *layout, const Line *line, int i) {
  const Piece *first = &layout->pieces[line->first];
  int floor = innermost(layout) ? innermost(layout)->line : -1;
  bool starts = first->kind == NAME || first->kind == FUNCTION || first->kind == ACTIVATION ||
                first->kind == LOSS;
  return layout->pieces[i].kind == '=' && line->equals < 0 && starts &&
         !continues(layout, line->first) && floor < layout->line_count - 1;
}

/* Puts piece i at the end of the last line. */
static void put(Layout *layout, int i) {
  Line *line = &layout->lines[layout->line_count - 1];
  int kind = layout->pieces[i].kind;
  if (alignable(layout, line, i)) {
    line->equals = i;
    line->before = line->width;
  }
  line->width += advance(layout, line, i);
  line->count++;
  if (opens(kind) || kind == '{') {
    bool last = i + 1 == layout->piece_count ||
                memchr(layout->text + layout->pieces[i].span.end, '\n',
                       layout->pieces[i + 1].span.begin - layout->pieces[i].span.end);
    layout->bracket[layout->depth++] =
        (Bracket){(char)kind, kind == '{' && holds_entries(layout, i), layout->line_count - 1,
                  last ? 0 : line->width};
  }
  if (closes(kind) || kind == '}') layout->depth--;
}

static void make_lines(Layout *layout, const Source *source) {
  uint32_t at = strncmp(source->text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
  for (int i = 0; i <= layout->piece_count; i++) {
    place(layout, source, at, i);
    if (i == layout->piece_count) break;
    put(layout, i);
    at = layout->pieces[i].span.end;
  }
}

static bool ends_open(const Layout *layout, const Line *line) {
  int kind = line->count ? layout->pieces[line->first + line->count - 1].kind : 0;
  return opens(kind) || kind == '{';
}

/* Empty lines go where a bracket opens or closes, and at the beginning. */
static void drop_blanks(Layout *layout) {
  for (int i = 0; i < layout->line_count; i++) {
    Line *line = &layout->lines[i];
    int kind = line->count ? layout->pieces[line->first].kind : 0;
    line->blank &= i > 0 && !ends_open(layout, line - 1) && !closes(kind) && kind != '}';
  }
}

/* Alignment */

/* Whether the author put more than one blank before the = of a line. */
static bool aligned_by_hand(const Layout *layout, const Line *line) {
  const Piece *equals = &layout->pieces[line->equals];
  return equals->span.begin - equals[-1].span.end > 1;
}

/* Whether line b follows in a run of statements of one kind that line a began, or is of the inside
 * of one. */
static bool same_run(const Layout *layout, const Line *a, const Line *b) {
  const Piece *first = &layout->pieces[b->first];
  if (b->blank || !b->count) return false;
  if (b->equals < 0) return !first->fresh;
  return a->entry == b->entry && a->anchor == b->anchor &&
         layout->pieces[a->first].kind == first->kind;
}

static void align_equals(Layout *layout) {
  for (int i = 0, end; i < layout->line_count; i = end) {
    Line *line = &layout->lines[i];
    end = i + 1;
    if (line->equals < 0) continue;
    while (end < layout->line_count && same_run(layout, line, &layout->lines[end])) end++;
    bool align = line->entry;
    int most = 0;
    for (int j = i; j < end; j++) {
      if (layout->lines[j].equals < 0) continue;
      align |= aligned_by_hand(layout, &layout->lines[j]);
      if (layout->lines[j].before > most) most = layout->lines[j].before;
    }
    for (int j = i; align && j < end; j++)
      if (layout->lines[j].equals >= 0) layout->lines[j].padding = most - layout->lines[j].before;
  }
}

static void settle(Layout *layout) {
  for (int i = 0; i < layout->line_count; i++) {
    Line *line = &layout->lines[i];
    const Line *anchor = line->anchor >= 0 ? &layout->lines[line->anchor] : NULL;
    line->begin = line->indent;
    if (anchor) line->begin += anchor->begin + (line->hangs ? anchor->padding : 0);
  }
}

static int line_end(const Line *line) { return line->begin + line->width + line->padding; }

static bool has_tail(const Line *line) { return line->comment.source && line->count > 0; }

static int source_column(Span span) {
  uint32_t at = span.begin;
  while (at > 0 && span.source->text[at - 1] != '\n') at--;
  return width_of(span.source->text + at, span.begin - at);
}

/* The column of the comments behind the lines of a paragraph: theirs, if they share one that is far
 * enough to the right. */
static int comment_column(const Line *lines, int count) {
  int most = 0, shared = -1;
  bool same = true;
  for (int i = 0; i < count; i++) {
    if (!has_tail(&lines[i])) continue;
    int column = source_column(lines[i].comment), end = line_end(&lines[i]);
    same &= shared < 0 || shared == column;
    shared = column;
    if (end > most) most = end;
  }
  return same && shared >= most + 2 ? shared : most + 2;
}

/* Writing */

static void write_span(FILE *out, Span span) {
  fwrite(span.source->text + span.begin, 1, span.end - span.begin, out);
}

static void write_line(FILE *out, const Layout *layout, const Line *line, int comment) {
  fprintf(out, "%*s", line->begin, "");
  for (int i = line->first; i < line->first + line->count; i++) {
    const Piece *piece = &layout->pieces[i];
    if (piece->semicolon) fputc(';', out);
    if (i == line->equals) fprintf(out, "%*s", line->padding, "");
    if (i > line->first && spaced(layout, piece - 1, piece)) fputc(' ', out);
    write_span(out, piece->span);
  }
  if (has_tail(line)) fprintf(out, "%*s", comment - line_end(line), "");
  if (line->comment.source) write_span(out, line->comment);
  fputc('\n', out);
}

static void write_lines(FILE *out, const Layout *layout) {
  for (int i = 0, end; i < layout->line_count; i = end) {
    for (end = i + 1; end < layout->line_count && !layout->lines[end].blank;) end++;
    int comment = comment_column(layout->lines + i, end - i);
    if (i > 0) fputc('\n', out);
    for (int j = i; j < end; j++) write_line(out, layout, &layout->lines[j], comment);
  }
}

char *script_format(Source *source, Diags *diags) {
  Script *script;
  ParseOutcome outcome = script_parse(source, false, &script, diags);
  script_free(script);
  if (outcome != PARSE_OK) return NULL;
  Layout layout = {.text = source->text};
  read_pieces(&layout, source);
  make_lines(&layout, source);
  drop_blanks(&layout);
  align_equals(&layout);
  settle(&layout);
  char *text = NULL;
  size_t length;
  FILE *out = mem_stream(&text, &length);
  if (out) {
    write_lines(out, &layout);
    mem_stream_end(out);
  }
  free(layout.pieces);
  free(layout.lines);
  return text ? text : mem_string("");
}
