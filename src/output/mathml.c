/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "output/mathml.h"
#include "base/memory.h"
#include "output/html.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A piece of LaTeX that is being read, up to `end`. */
typedef struct Piece {
  const char *at, *end;
} Piece;

static const struct {
  const char *name, *element, *text;
} commands[] = {
    {"alpha", "mi", "α"},  {"beta", "mi", "β"},       {"gamma", "mi", "γ"},
    {"delta", "mi", "δ"},  {"varepsilon", "mi", "ε"}, {"epsilon", "mi", "ε"},
    {"eta", "mi", "η"},    {"kappa", "mi", "κ"},      {"lambda", "mi", "λ"},
    {"mu", "mi", "μ"},     {"nu", "mi", "ν"},         {"xi", "mi", "ξ"},
    {"rho", "mi", "ρ"},    {"sigma", "mi", "σ"},      {"tau", "mi", "τ"},
    {"phi", "mi", "φ"},    {"chi", "mi", "χ"},        {"psi", "mi", "ψ"},
    {"omega", "mi", "ω"},  {"theta", "mi", "θ"},      {"pi", "mi", "π"},
    {"Gamma", "mi", "Γ"},  {"Delta", "mi", "Δ"},      {"Theta", "mi", "Θ"},
    {"Lambda", "mi", "Λ"}, {"Xi", "mi", "Ξ"},         {"Sigma", "mi", "Σ"},
    {"Phi", "mi", "Φ"},    {"Pi", "mi", "Π"},         {"Psi", "mi", "Ψ"},
    {"Omega", "mi", "Ω"},  {"ell", "mi", "ℓ"},        {"partial", "mi", "∂"},
    {"infty", "mi", "∞"},  {"top", "mo", "⊤"},        {"sum", "mo", "∑"},
    {"cdot", "mo", "·"},   {"times", "mo", "×"},      {"odot", "mo", "⊙"},
    {"circ", "mo", "∘"},   {"sim", "mo", "∼"},        {"leftarrow", "mo", "←"},
    {"to", "mo", "→"},     {"le", "mo", "≤"},         {"ge", "mo", "≥"},
    {"ne", "mo", "≠"},     {"langle", "mo", "⟨"},     {"rangle", "mo", "⟩"},
    {"dots", "mo", "…"},   {"in", "mo", "∈"},         {"pm", "mo", "±"},
    {"approx", "mo", "≈"}, {"perp", "mo", "⊥"},
};

static void put(FILE *out, const char *element, const char *text, size_t length) {
  char *copy = mem_format("%.*s", (int)length, text);
  fprintf(out, "<%s>", element);
  html_escape(out, copy);
  fprintf(out, "</%s>", element);
  free(copy);
}

static bool begins(const Piece *piece, const char *text) {
  size_t length = strlen(text);
  return (size_t)(piece->end - piece->at) >= length && strncmp(piece->at, text, length) == 0;
}

static void skip_blanks(Piece *piece) {
  while (piece->at < piece->end && isspace((unsigned char)*piece->at)) piece->at++;
}

/* What stands in braces, else the next character or command; it is passed over. */
static Piece argument(Piece *piece) {
  skip_blanks(piece);
  Piece inner = {piece->at, piece->at};
  if (piece->at == piece->end) return inner;
  if (*piece->at != '{') {
    if (*piece->at++ == '\\')
      while (piece->at < piece->end && isalpha((unsigned char)*piece->at)) piece->at++;
    inner.end = piece->at;
    return inner;
  }
  inner.at = ++piece->at;
  for (int depth = 1; piece->at < piece->end; piece->at++) {
    depth += *piece->at == '{' ? 1 : *piece->at == '}' ? -1 : 0;
    if (!depth) break;
  }
  inner.end = piece->at;
  if (piece->at < piece->end) piece->at++;
  return inner;
}

static void put_row(FILE *out, Piece piece);

static void put_group(FILE *out, Piece piece) {
  fputs("<mrow>", out);
  put_row(out, piece);
  fputs("</mrow>", out);
}

/* A word in which letters may be escaped: "weight\_decay". */
static void put_word(FILE *out, const char *element, Piece piece) {
  fprintf(out, "<%s>", element);
  for (; piece.at < piece.end; piece.at++)
    if (*piece.at == ' ')
      fputs("&#160;", out); /* a blank at an end would be lost */
    else if (*piece.at != '\\')
      html_escape(out, (char[]){*piece.at, 0});
  fprintf(out, "</%s>", element);
}

static bool is_command(const char *name, size_t length, const char *wanted) {
  return strlen(wanted) == length && strncmp(name, wanted, length) == 0;
}

/* \name that takes no argument: a symbol of the table, a function, a space. */
static void put_symbol(FILE *out, const char *name, size_t length) {
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
    if (strlen(commands[i].name) == length && strncmp(commands[i].name, name, length) == 0) {
      put(out, commands[i].element, commands[i].text, strlen(commands[i].text));
      return;
    }
  if (is_command(name, length, "quad"))
    fputs("<mspace width=\"1em\"/>", out);
  else
    put(out, "mi", name, length);
}

static void put_command(FILE *out, Piece *piece) {
  const char *name = ++piece->at;
  if (piece->at < piece->end && !isalpha((unsigned char)*name)) { /* \, and escaped signs */
    piece->at++;
    if (*name == ',')
      fputs("<mspace width=\"0.17em\"/>", out);
    else
      put(out, "mo", name, 1);
    return;
  }
  while (piece->at < piece->end && isalpha((unsigned char)*piece->at)) piece->at++;
  size_t length = (size_t)(piece->at - name);
  bool is_text = is_command(name, length, "text");
  if (is_command(name, length, "left") || is_command(name, length, "right")) {
    put(out, "mo", piece->at, piece->at < piece->end); /* the bracket behind it */
    piece->at += piece->at < piece->end;
  } else if (is_command(name, length, "frac")) {
    fputs("<mfrac>", out);
    put_group(out, argument(piece));
    put_group(out, argument(piece));
    fputs("</mfrac>", out);
  } else if (is_command(name, length, "sqrt")) {
    fputs("<msqrt>", out);
    put_row(out, argument(piece));
    fputs("</msqrt>", out);
  } else if (is_text || is_command(name, length, "operatorname") ||
             is_command(name, length, "mathrm") || is_command(name, length, "mathcal")) {
    put_word(out, is_text ? "mtext" : "mi", argument(piece));
  } else {
    put_symbol(out, name, length);
  }
}

/* One symbol, number or group. */
static void put_atom(FILE *out, Piece *piece) {
  const char *from = piece->at;
  if (*from == '\\') {
    put_command(out, piece);
  } else if (*from == '{') {
    put_group(out, argument(piece));
  } else if (isdigit((unsigned char)*from)) {
    while (piece->at < piece->end && (isdigit((unsigned char)*piece->at) || *piece->at == '.'))
      piece->at++;
    put(out, "mn", from, (size_t)(piece->at - from));
  } else {
    for (piece->at++; piece->at < piece->end && ((unsigned char)*piece->at & 0xc0) == 0x80;)
      piece->at++;
    bool letter = isalpha((unsigned char)*from) || (unsigned char)*from >= 0x80;
    if (strchr("()[]|", *from))
      fprintf(out, "<mo stretchy=\"false\">%c</mo>", *from); /* \left and \right stretch */
    else if (*from == '-')
      fputs("<mo>−</mo>", out);
    else
      put(out, letter ? "mi" : "mo", from, (size_t)(piece->at - from));
  }
}

/* Whether a script of this kind follows; it is passed over. */
static bool script(Piece *piece, char sign, Piece *inner) {
  if (piece->at == piece->end || *piece->at != sign) return false;
  piece->at++;
  *inner = argument(piece);
  return true;
}

/* An atom with what stands above and below it, in either order. */
static void put_scripted(FILE *out, Piece *piece) {
  char *atom = NULL;
  size_t length;
  Piece above = {0}, below = {0};
  FILE *aside = mem_stream(&atom, &length);
  put_atom(aside, piece);
  mem_stream_end(aside);
  bool up = script(piece, '^', &above), down = script(piece, '_', &below);
  if (!up) up = script(piece, '^', &above);
  const char *element = up && down ? "msubsup" : up ? "msup" : down ? "msub" : NULL;
  if (element) fprintf(out, "<%s>", element);
  fputs(atom, out);
  if (down) put_group(out, below);
  if (up) put_group(out, above);
  if (element) fprintf(out, "</%s>", element);
  free(atom);
}

static void put_row(FILE *out, Piece piece) {
  for (skip_blanks(&piece); piece.at < piece.end; skip_blanks(&piece)) put_scripted(out, &piece);
}

/* The rows of an align environment: sides before and behind the ampersand. */
static void put_aligned(FILE *out, Piece piece) {
  fputs("<math display=\"block\"><mtable columnalign=\"right left\" displaystyle=\"true\">\n", out);
  while (piece.at < piece.end) {
    const char *row = strstr(piece.at, "\\\\\n");
    Piece line = {piece.at, row && row < piece.end ? row : piece.end};
    const char *side = memchr(line.at, '&', (size_t)(line.end - line.at));
    fputs("<mtr><mtd style=\"text-align:right\">", out);
    put_row(out, (Piece){line.at, side ? side : line.at});
    fputs("</mtd><mtd style=\"text-align:left\">", out);
    put_row(out, (Piece){side ? side + 1 : line.at, line.end});
    fputs("</mtd></mtr>\n", out);
    piece.at = line.end + (line.end < piece.end ? 2 : 0);
    skip_blanks(&piece);
  }
  fputs("</mtable></math>\n", out);
}

/* Running text, with mathematics between dollar signs. */
static void put_prose(FILE *out, Piece piece) {
  fputs("<p>", out);
  for (bool math = false; piece.at < piece.end; math = !math) {
    const char *dollar = memchr(piece.at, '$', (size_t)(piece.end - piece.at));
    Piece part = {piece.at, dollar ? dollar : piece.end};
    if (math) {
      fputs("<math>", out);
      put_row(out, part);
      fputs("</math>", out);
    } else {
      for (; part.at < part.end; part.at++)
        if (*part.at != '\\') html_escape(out, (char[]){*part.at, 0});
    }
    piece.at = dollar ? dollar + 1 : piece.end;
  }
  fputs("</p>\n", out);
}

void mathml_write(FILE *out, const char *latex) {
  static const char begin[] = "\\begin{align*}", end[] = "\\end{align*}", heading[] = "\\section*";
  Piece piece = {latex, latex + strlen(latex)};
  for (skip_blanks(&piece); piece.at < piece.end; skip_blanks(&piece)) {
    if (begins(&piece, heading)) {
      piece.at += sizeof heading - 1;
      put_word(out, "h3", argument(&piece));
      fputc('\n', out);
      continue;
    }
    bool aligned = begins(&piece, begin);
    const char *stop = strstr(piece.at, aligned ? end : "\n\n");
    const char *next = aligned ? NULL : strstr(piece.at, begin);
    if (next && (!stop || next < stop)) stop = next;
    Piece part = {piece.at, stop ? stop : piece.end};
    if (aligned) part.at += sizeof begin - 1;
    if (aligned)
      put_aligned(out, part);
    else
      put_prose(out, part);
    piece.at = stop ? stop + (aligned ? sizeof end - 1 : 0) : piece.end;
  }
}
