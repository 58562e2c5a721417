/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "field/notation.h"
#include "base/memory.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct Writer {
  bool latex;
  bool aligned, open; /* inside a group of rows; the last line is not followed by a blank one */
  FILE *document, *now;
  char *text, *piece_text;
  size_t length, piece_length;
  char **pieces; /* of the row so far */
  int count;
};

/* How wide a line of rows may be, in characters that leave ink. */
static int line_width(const Writer *w) { return w->latex ? 68 : 78; }

static const struct {
  const char *name, *text, *latex;
} symbols[] = {
    {"<", "⟨", "\\langle "},
    {">", "⟩", "\\rangle "},
    {"Delta", "Δ", "\\Delta "},
    {"GP", "GP", "\\mathcal{GP}"},
    {"N", "N", "\\mathcal{N}"},
    {"Phi", "Φ", "\\Phi "},
    {"Pi", "Π", "\\Pi "},
    {"alpha", "α", "\\alpha "},
    {"d", "∂", "\\partial "},
    {"delta", "δ", "\\delta "},
    {"dot", "·", "\\cdot "},
    {"ell", "ℓ", "\\ell "},
    {"epsilon", "ε", "\\varepsilon "},
    {"eta", "η", "\\eta "},
    {"gamma", "γ", "\\gamma "},
    {"le", "≤", "\\le "},
    {"loss", "L", "\\mathcal{L}"},
    {"Xi", "Ξ", "\\Xi "},
    {"beta", "β", "\\beta "},
    {"kappa", "κ", "\\kappa "},
    {"lambda", "λ", "\\lambda "},
    {"sigma", "σ", "\\sigma "},
    {"mu", "μ", "\\mu "},
    {"sim", "~", "\\sim "},
    {"sqrt", "√", "\\sqrt "},
    {"sum", "Σ", "\\sum"},
    {"tau", "τ", "\\tau "},
    {"to", "←", "\\leftarrow "},
    {"top", "ᵀ", "{}^{\\top}"},
    {"limit", "→", "\\to "},
    {"squared", "²", "^2"},
    {"quad", "", "\\quad "},
    {"dots", "...", "\\dots"},
    {" ", " ", "\\, "},
    {"[", "(", "{"},
    {"]", ")", "}"},
    {"psi", "ψ", "\\psi "},
    {"xi", "ξ", "\\xi "},
    {"omega", "ω", "\\omega "},
    {"perp", "⊥", "\\perp "},
};

/* "{name}" as the writer's style has it; what is no name stays. */
static void put_symbols(const Writer *w, FILE *out, const char *pattern) {
  while (*pattern) {
    size_t length = *pattern == '{' ? strcspn(pattern, "}") : 0;
    size_t i = 0, count = sizeof symbols / sizeof *symbols;
    while (i < count && (strlen(symbols[i].name) + 1 != length ||
                         strncmp(symbols[i].name, pattern + 1, length - 1)))
      i++;
    if (length && i < count) {
      fputs(w->latex ? symbols[i].latex : symbols[i].text, out);
      pattern += length + 1;
    } else {
      fputc(*pattern++, out);
    }
  }
}

/* Characters that leave ink: of LaTeX, commands count as one, braces and scripts as none. */
static int ink(const Writer *w, const char *text) {
  int count = 0;
  for (; *text; text++) {
    if (w->latex && *text == '\\' && text[1]) {
      text++;
      while (isalpha((unsigned char)text[1])) text++;
      count++;
    } else if (!w->latex || !strchr("{}^_& ", *text)) {
      count += ((unsigned char)*text & 0xc0) != 0x80;
    }
  }
  return count;
}

static void open_piece(Writer *w) { w->now = mem_stream(&w->piece_text, &w->piece_length); }

static void insert_piece(Writer *w, int at, char *piece) {
  w->pieces = mem_grow(w->pieces, (size_t)(w->count + 1) * sizeof *w->pieces);
  memmove(w->pieces + at + 1, w->pieces + at, (size_t)(w->count - at) * sizeof *w->pieces);
  w->pieces[at] = piece;
  w->count++;
}

static void close_piece(Writer *w) {
  mem_stream_end(w->now);
  insert_piece(w, w->count, w->piece_text);
}

static void leave_rows(Writer *w) {
  if (w->aligned && w->latex) fputs("\n\\end{align*}\n", w->document);
  w->aligned = false;
}

/* A blank line before what comes next in a text, unless there is one. */
static void part(Writer *w) {
  if (w->open && !w->latex) fputc('\n', w->document);
  w->open = false;
}

Writer *writer_open(bool latex) {
  Writer *w = mem_new(1, sizeof *w);
  w->latex = latex;
  w->document = mem_stream(&w->text, &w->length);
  open_piece(w);
  return w;
}

char *writer_close(Writer *w) {
  leave_rows(w);
  mem_stream_end(w->document);
  mem_stream_end(w->now);
  free(w->piece_text);
  free(w->pieces);
  char *text = w->text;
  free(w);
  return text;
}

/* The pattern filled in and its symbols set; to be freed. */
static char *formatted(const Writer *w, const char *format, va_list args) {
  char *pattern = mem_vformat(format, args), *text = NULL;
  size_t length = 0;
  FILE *out = mem_stream(&text, &length);
  put_symbols(w, out, pattern);
  mem_stream_end(out);
  free(pattern);
  return text;
}

#define FORMATTED(w, format, text)                                                                 \
  va_list args;                                                                                    \
  va_start(args, format);                                                                          \
  char *text = formatted(w, format, args);                                                         \
  va_end(args)

void write_heading(Writer *w, const char *format, ...) {
  FORMATTED(w, format, text);
  leave_rows(w);
  part(w);
  if (w->latex)
    fprintf(w->document, "\n\\section*{%s}\n", text);
  else
    fprintf(w->document, "%s\n\n", text);
  free(text);
}

/* Words of text filled into lines. */
static void fill(FILE *out, const Writer *w, char *text) {
  int column = 0;
  for (char *word = strtok(text, " \n"), *next; word; word = next) {
    next = strtok(NULL, " \n");
    int width = ink(w, word);
    if (column && column + 1 + width > line_width(w)) {
      fputc('\n', out);
      column = 0;
    }
    fprintf(out, column ? " %s" : "%s", word);
    column += width + (column > 0);
  }
  fputc('\n', out);
}

void write_prose(Writer *w, const char *format, ...) {
  FORMATTED(w, format, text);
  leave_rows(w);
  part(w);
  w->open = true;
  if (w->latex) {
    fprintf(w->document, "\n%s\n", text);
  } else {
    char *to = text;
    for (const char *from = text; *from; from++)
      if (*from != '$') *to++ = *from;
    *to = 0;
    fill(w->document, w, text);
  }
  free(text);
}

void row_piece(Writer *w) {
  close_piece(w);
  open_piece(w);
}

void row_equals(Writer *w) {
  row_piece(w);
  put(w, "= ");
}

/* A piece at `column`, broken at its spaces where it is wider than a line; the column behind it. */
static int lay_piece(Writer *w, char *piece, int column, int indent) {
  bool wide = indent + ink(w, piece) > line_width(w);
  if (wide && column > indent) fprintf(w->document, "\n%*s", column = indent, "");
  for (char *word = strtok(piece, wide ? " " : "\n"); word;
       word = strtok(NULL, wide ? " " : "\n")) {
    int width = ink(w, word);
    if (column + 1 + width > line_width(w) && column > indent)
      fprintf(w->document, "\n%*s", column = indent, "");
    if (column != indent) fputc(' ', w->document);
    fputs(word, w->document);
    column += width + (column != indent);
  }
  return column;
}

static void lay_text(Writer *w) {
  int indent = ink(w, w->pieces[0]) + 3, column = indent - 1;
  fprintf(w->document, "  %s", w->pieces[0]);
  for (int i = 1; i < w->count; i++) column = lay_piece(w, w->pieces[i], column, indent);
  fputc('\n', w->document);
}

static void lay_latex(Writer *w) {
  fputs(w->aligned ? " \\\\\n" : "\\begin{align*}\n", w->document);
  int column = ink(w, w->pieces[0]);
  fprintf(w->document, "%s &", w->pieces[0]);
  for (int i = 1; i < w->count; i++) {
    int width = ink(w, w->pieces[i]);
    bool fits = i == 1 || column + width <= line_width(w);
    fprintf(w->document, fits ? " %s" : " \\\\\n &\\quad %s", w->pieces[i]);
    column = fits ? column + width : width;
  }
}

/* The first sum's sign in a piece that stands outside of all brackets, behind its first few
 * characters and of a condition; NULL if there is none. */
static char *outer_sign(char *piece) {
  int depth = 0;
  if (strstr(piece, " then ")) return NULL;
  for (char *c = piece; *c; c++) {
    depth += (strchr("({", *c) != NULL) - (strchr(")}", *c) != NULL);
    depth += (strncmp(c, "\\begin", 6) == 0) - (strncmp(c, "\\end", 4) == 0);
    bool sign =
        c > piece + 3 && depth == 0 && c[0] == ' ' && (c[1] == '+' || c[1] == '-') && c[2] == ' ';
    if (sign) return c;
  }
  return NULL;
}

/* Pieces that are wider than a line become several, where they are sums. */
static void split_pieces(Writer *w) {
  for (int i = 1; i < w->count; i++) {
    char *sign = ink(w, w->pieces[i]) > line_width(w) - 12 ? outer_sign(w->pieces[i]) : NULL;
    if (!sign) continue;
    insert_piece(w, i + 1, mem_string(sign + 1));
    *sign = 0;
  }
}

void row_end(Writer *w) {
  close_piece(w);
  split_pieces(w);
  if (w->latex)
    lay_latex(w);
  else
    lay_text(w);
  w->aligned = w->open = true;
  for (int i = 0; i < w->count; i++) free(w->pieces[i]);
  w->count = 0;
  open_piece(w);
}

void put(Writer *w, const char *format, ...) {
  FORMATTED(w, format, text);
  fputs(text, w->now);
  free(text);
}

void put_words(Writer *w, const char *words) {
  fprintf(w->now, w->latex ? "\\text{%s}" : "%s", words);
}

static void put_raised(FILE *out, const char *text) {
  static const char *const digits[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
  for (; *text; text++)
    if (*text >= '0' && *text <= '9')
      fputs(digits[*text - '0'], out);
    else
      fputs(*text == '(' ? "⁽" : *text == ')' ? "⁾" : "'", out);
}

void put_above(Writer *w, const char *format, ...) {
  FORMATTED(w, format, text);
  if (*text && w->latex)
    fprintf(w->now, "^{%s}", text);
  else if (text[strspn(text, "0123456789()'")])
    fprintf(w->now, "^%s", text);
  else
    put_raised(w->now, text);
  free(text);
}

void put_below(Writer *w, const char *format, ...) {
  FORMATTED(w, format, text);
  if (*text) fprintf(w->now, w->latex ? "_{%s}" : "_%s", text);
  free(text);
}

void put_fraction(Writer *w, const char *top, const char *bottom) {
  if (w->latex)
    put(w, "\\frac{%s}{%s} ", top, bottom);
  else
    put(w, strpbrk(bottom, " ") ? "(%s/(%s)) " : "(%s/%s) ", top, bottom);
}

char *writer_name(const Writer *w, const char *name) {
  char *text = NULL;
  size_t length = 0;
  FILE *out = mem_stream(&text, &length);
  for (; *name; name++) fprintf(out, w->latex && *name == '_' ? "\\%c" : "%c", *name);
  mem_stream_end(out);
  return text;
}

void put_expr(Writer *w, const Expr *e, const char *const *names) {
  char *text = w->latex ? expr_latex(e, names) : expr_print(e, names);
  fputs(text, w->now);
  free(text);
}

void aside_begin(Writer *w, Aside *aside) {
  aside->stream = w->now;
  w->now = mem_stream(&aside->text, &aside->length);
}

char *aside_end(Writer *w, Aside *aside) {
  mem_stream_end(w->now);
  w->now = aside->stream;
  return aside->text;
}
