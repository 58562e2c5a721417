/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where a name belongs that was written at another place. */
#ifndef DMF_MODEL_ADVICE_H
#define DMF_MODEL_ADVICE_H

#include "model/eval.h"

/* What a key is that this kind of declaration does not have: a key of another kind, or an argument
 * of an optimizer, a layer or a solver. To be freed; NULL when it is near one of its own keys
 * (`names`), a word of other languages, or nothing at all. */
char *advice_for_key(Eval *eval, DeclaredKind kind, const char *name, const char *const *names);
/* What an argument is that a call does not have, with the parameters `names` and what is known of
 * their values: a key of one of its declarations, or of a declaration at all. To be freed; NULL as
 * above. */
char *advice_for_argument(const Ast *argument, const char *const *names, Value *const *values,
                          const Ast *const *nodes);
/* How the field of a value that has none is written: x' or shape(x). To be freed, or NULL. */
char *advice_for_field(Eval *eval, const Ast *field);
/* The names in scope of all optimizers, or losses, ending with NULL; to be freed. */
const char **advice_optimizers(const Eval *eval);
const char **advice_losses(const Eval *eval);

#endif
