/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What may come from outside, fed with bytes: each target takes them as one kind of input, and
 * aborts when what must hold does not. Sanitizers see the rest. */
#ifndef DMF_TESTS_TARGETS_H
#define DMF_TESTS_TARGETS_H

#include "dmf.h"

#include <stddef.h>
#include <stdint.h>

typedef struct Target {
  const char *name, *about;
  void (*run)(const uint8_t *data, size_t size);
} Target;

/* All targets; the last one has no name. */
extern const Target targets[];
const Target *target_find(const char *name); /* NULL: there is none */

/* Once before the first input: a scratch directory, little memory, small files, no privileges, no
 * terminal. */
void targets_prepare(void);

/* Whether a status is one that the manual lists. */
bool target_documented(int status);

/* generate.c: a program made of the names of the language, one choice for each byte; every
 * statement must end with a documented status, and an error with a message at a place. */
void target_program(const uint8_t *data, size_t size);
/* systems.c: the same with systems, data that grow, functions of several lines, pictures and files.
 */
void target_system(const uint8_t *data, size_t size);
/* editor.c: messages of an editor about such programs; every request must be answered. */
void target_editor(const uint8_t *data, size_t size);

#endif
