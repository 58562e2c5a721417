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
void write_optimizer(Choice *c, int depth);
void write_key(Choice *c);

/* Runs statement after statement in an interactive session, and aborts where the end of one is not
 * documented, or an error has no place. */
void run_grammar(const Grammar *grammar, const uint8_t *data, size_t size);

#endif
