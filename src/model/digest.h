/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What an expression depends on, as one number: its text, and the values of all names that it and
 * the functions it calls mention. Equal digests mean equal numbers in this and in later sessions,
 * also when comments, layout or other parts of the script have changed. */
#ifndef DMF_MODEL_DIGEST_H
#define DMF_MODEL_DIGEST_H

#include "model/eval.h"

#include <stdint.h>

typedef struct Digest {
  const Eval *eval;
  const Scope *scope; /* where names are looked up: in functions the globals */
  uint64_t hash;
  const void **seen; /* what was met before counts by its place in this list */
  int seen_count;
  const char **names; /* all names that were looked up */
  int name_count;
  bool reads; /* a file is read when the expression is evaluated: the digest cannot know it */
} Digest;

/* An empty digest; names are looked up as the evaluator would now. */
Digest digest_begin(const Eval *eval);
void digest_end(Digest *digest);
void digest_text(Digest *digest, const char *text);
void digest_value(Digest *digest, const Value *value);
void digest_expression(Digest *digest, const Ast *node);
bool digest_mentions(const Digest *digest, const char *name);

#endif
