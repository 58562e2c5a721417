/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The page dmf-stdlib(7): the topics of help.c in mdoc. */
#include "session/session.h"
#include "base/memory.h"
#include "base/plain.h"

#include <stdlib.h>
#include <string.h>

static void put_escaped(FILE *out, char letter) {
  if (letter == '\\')
    fputs("\\e", out);
  else if (letter == '"')
    fputs("\\(dq", out);
  else if (letter == '-')
    fputs("\\-", out);
  else if (letter == '\'')
    fputs("\\(aq", out);
  else
    fputc(letter, out);
}

/* An argument of a macro. The empty character keeps a name from being read as a macro itself. */
static void put_argument(FILE *out, const char *text, size_t length) {
  fputs(" \"\\&", out);
  for (size_t i = 0; i < length; i++) put_escaped(out, text[i]);
  fputc('"', out);
}

/* Whether a sentence or a part of one ends at `at`; the dots of formulas stand alone or in rows. */
static bool ends_part(const char *at, const char *text) {
  bool dot = *at == '.' && at > text && at[-1] != '.' && at[-1] != ' ';
  return (dot || *at == ';') && at[1] == ' ';
}

/* Running text, a line for each part. */
static void put_text(FILE *out, const char *text) {
  bool begin = true;
  for (const char *at = text; *at; at++) {
    if (begin && strchr(".'", *at)) fputs("\\&", out);
    begin = ends_part(at, text);
    put_escaped(out, *at);
    if (!begin) continue;
    fputc('\n', out);
    at++;
  }
  fputc('\n', out);
}

/* "name(a, b = 1)" as a function with its arguments, anything else as it stands. */
static void put_usage(FILE *out, const DmfTopic *topic) {
  const char *open = strchr(topic->usage, '('), *at = open ? open + 1 : NULL;
  if (topic->kind != DMF_FUNCTION || !open) {
    fputs(".It Li", out);
    put_argument(out, topic->usage, strlen(topic->usage));
  } else {
    fprintf(out, ".It Fn %s", topic->name);
    while (*at && *at != ')') {
      size_t length = strcspn(at, ",)");
      put_argument(out, at, length);
      at += length + strspn(at + length, ", ");
    }
  }
  fputc('\n', out);
}

static void put_example(FILE *out, const DmfTopic *topic) {
  if (!topic->example) return;
  fputs(".Bd -literal -offset indent -compact\n\\&", out);
  for (const char *at = topic->example; *at; at++) put_escaped(out, *at);
  fputs("\n.Ed\n", out);
}

static const char preamble[] =
    ".\\\" Made by dmf --reference man; see src/session/manual.c.\n"
    ".Dd November 22, 2026\n.Dt DMF-STDLIB 7\n.Os\n"
    ".Sh NAME\n.Nm dmf-stdlib\n.Nd every name of the language of dmf scripts\n"
    ".Sh DESCRIPTION\n"
    "The words, keys, functions and fields that scripts are made of; their grammar, and the\n"
    "conventions of the network, are in\n.Xr dmf-language 7 .\n"
    ".Ic dmf help Ar name\nsays the same about one of them, as does\n.Li ?\\& Ns Ar name\n"
    "at the prompt.\n"
    ".Pp\n"
    "In shapes, T is the number of steps, P that of the training points, P* that of the test\n"
    "points, and Q = P + P*; l counts layers from 1.\n"
    "With C > 1 outputs, fields of the output have a last axis C.\n"
    "An argument with a default may be left out;\n.Li none\nstands for no value.\n"
    ".Pp\nExamples are statements; they stand behind these:\n"
    ".Bd -literal -offset indent\n";

char *dmf_manual(Dmf *dmf) {
  PLAIN_LOCALE;
  char *text = NULL;
  size_t length;
  FILE *out = mem_stream(&text, &length);
  if (!out) return mem_string("");
  const DmfTopic *topic;
  const char *group = "";
  fputs(preamble, out);
  for (const char *at = dmf_examples_begin(); *at; at++)
    if (*at == '\n')
      fputc('\n', out);
    else
      put_escaped(out, *at);
  fputs(".Ed\n", out);
  for (int i = 0; (topic = dmf_topic(dmf, i)); i++) {
    if (strcmp(group, topic->group) != 0) {
      fprintf(out, "%s.Sh %s\n", *group ? ".El\n" : "", topic->group);
      if (topic->kind == DMF_LIBRARY) put_text(out, topic->about);
      fputs(".Bl -tag -width Ds -compact\n", out);
      group = topic->group;
    }
    if (topic->kind == DMF_LIBRARY) continue;
    put_usage(out, topic);
    put_text(out, topic->about);
    put_example(out, topic);
  }
  fprintf(out, "%s.Sh SEE ALSO\n.Xr dmf 1 ,\n.Xr dmf-language 7\n", *group ? ".El\n" : "");
  mem_stream_end(out);
  return text;
}
