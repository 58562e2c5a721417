/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the two grammars of programs share: choices by bytes, and the session that runs them. */
#ifndef DMF_TESTS_GENERATE_H
#define DMF_TESTS_GENERATE_H

#include "targets.h"

#include <stdio.h>

typedef struct Choice {
  const uint8_t *data;
  size_t left;
  Dmf *dmf;
  FILE *out;
} Choice;

/* What a grammar begins with, how it writes a statement, and what it does behind one that ran
 * (NULL: nothing). */
typedef struct Grammar {
  const char *preamble;
  void (*statement)(Choice *c);
  void (*behind)(Dmf *dmf);
} Grammar;

/* 0 .. count-1; the first alternative where the input has ended. */
size_t pick(Choice *c, size_t count);
/* An expression of any names that the language knows; at depth DEEPEST one that has no parts. */
enum { DEEPEST = 4 };
void write_expression(Choice *c, int depth);
void write_key(Choice *c);

/* A part "name = default" of the signature of a function, of so many bytes */
typedef struct Parameter {
  const char *name, *fallback; /* NULL: it must be given */
  size_t length, fallback_length;
} Parameter;

enum { PARAMETERS = 32 };

/* Those of "name(a, b = 1)"; words in quotes hold no comma. */
size_t parameters_of(const char *usage, Parameter list[PARAMETERS]);

/* systems.c: one of the forms of a rule; false when there is no such rule. */
bool write_rule(Choice *c, const char *name, size_t length, int depth);

/* tables.c: from the reference of the language. A group is named by the end of its title, as in
 * "Optimizers", "a training", "std/layers.dmf": one of its names; one of its functions with
 * arguments; "name = value" of one of its keys or options. Of a function "name = value" for one of
 * the arguments that it may be given. */
const char *name_of(Choice *c, unsigned kinds); /* any of these kinds, a bit each */
void write_name(Choice *c, const char *group);
void write_call(Choice *c, const char *group, int depth);
void write_entry(Choice *c, const char *group, int depth);
void write_option(Choice *c, const char *function, int depth);

/* Runs statement after statement in an interactive session, and aborts where the end of one is not
 * documented, or an error has no place. */
void run_grammar(const Grammar *grammar, const uint8_t *data, size_t size);

#endif
