/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The functions of the language: one table, src/model/builtins.def. */
#ifndef DMF_MODEL_BUILTINS_H
#define DMF_MODEL_BUILTINS_H

#include "model/eval.h"

/* Defines the functions, constants and losses of the language in a scope. */
void builtins_define(Eval *eval, Scope *scope);

/* What a call gives after reporting an error. */
Value *call_broken(Call *call);
const char *call_argument_name(const Call *call, int i);
/* A whole number in least..most; reports and returns false otherwise. */
bool call_whole(Call *call, int i, double least, double most, double *number);
/* The array operation's outcome as a value, or its error at the place of the call. */
Value *call_give(Call *call, Array *array, const char *why);

#define BUILTIN(id, name, signature, flags, about) Value *builtin_##id(Call *call);
#include "model/builtins.def"

#endif
