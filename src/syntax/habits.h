/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What people write who come from other languages, and the hint that leads them on. */
#ifndef DMF_SYNTAX_HABITS_H
#define DMF_SYNTAX_HABITS_H

#include "base/memory.h"

/* What is written here in place of the word; NULL when it is none of other languages. */
const char *habit_word(const char *word);
/* The same for the word that a text begins with. */
const char *habit_start(const char *text);
/* What is meant by a statement that begins with `length` bytes of text and goes on with '=': the
 * change of an element or of a key, or a function; NULL when the text is none of these. */
const char *habit_target(const char *text, size_t length, Arena *arena);

#endif
