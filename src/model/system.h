/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Systems as the script declares them: `system NAME { ... step { ... } }`. Their body is evaluated
 * with a symbol for each vector and each average, and what comes out is the dynamics as a list of
 * acts, which the field room lowers to a program.
 *
 * A variable is a vector on a population, or rows of vectors, or numbers; an expression of
 * variables is the symbol expr_arg(index), so that all that scripts do with numbers makes
 * elementwise maps. */
#ifndef DMF_MODEL_SYSTEM_H
#define DMF_MODEL_SYSTEM_H

#include "model/dynamics.h"
#include "model/eval.h"

/* Gives a name its system; a check looks whether it is sound. */
void declare_system(Eval *eval, const Ast *node);
/* rnn with { g = 2 } */
Value *system_variant(Eval *eval, const Ast *node, const Value *base);
/* The system with one key replaced; broken after reporting. */
Value *system_replace(Eval *eval, const Value *base, const char *key, Span key_span, Value *value,
                      Span span);
/* The value of a key. */
Value *system_key(Eval *eval, const Ast *node, const Value *system);
/* Whether it is a dataset that grows: it has no step, and is learned (model/learn.h). */
bool system_is_data(const Value *value);
/* "system", or "dataset" */
const char *system_kind(const Value *system);
/* The names of its keys, ending with NULL; to be freed. */
const char **system_keys(const Value *system);
/* The dynamics of a system; NULL after reporting, or where a check does not know all of it. */
System *system_build(Eval *eval, const Value *system);

/* ---- for the operators and functions of the language, on symbols of the system under way ---- */

Value *system_prim(Eval *eval, Span span, Prim prim, Value *a, Value *b);
/* What a function makes of the symbol x, as an expression. */
Value *system_map(Eval *eval, Span span, const Expr *image, const Value *x);
Value *system_choose(Eval *eval, Span span, Value *condition, Value *yes, Value *no);
/* W @ x, A @ x, and so on. */
Value *system_product(Eval *eval, Span span, Value *a, Value *b);
Value *system_transpose(Eval *eval, Span span, Value *a);
/* x[k], A[i, j], with slices. */
Value *system_part(Eval *eval, Span span, Value *base, int count, const Subscript *list);
/* x[i], where i is a number that follows from the step: rows, or known numbers. */
Value *system_pick(Eval *eval, Span span, Value *base, const Value *index);
/* c * outer(y, x), -outer(y, x) */
Value *system_scale_term(Eval *eval, Span span, Value *term, Value *factor);
/* sum, mean, dot, zeros, ones, outer of a system; NULL where the call is no matter of one. */
Value *system_call(Call *call);
/* A list of vectors, or of numbers, as their rows; a list without any as it is. */
Value *system_list(Eval *eval, Span span, Value *list);

#endif
