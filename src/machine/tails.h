/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Averages over sample paths whose terms have heavy tails, such as <exp(2 x)>.
 *
 * Their error is that of the few largest terms, and of those that are larger still and were not
 * met. Replicates cannot tell it: without such a term they agree with each other. What they have
 * seen of their largest terms can: it says how terms grow with the quantile of a normal number, and
 * by that how far the mean over all of them may be off. Runs that lean add this much to every heavy
 * average; what they observe instead shows what becomes of it. Averages whose terms grow no faster
 * than the square of a normal number, as kernels of Gaussian fields do, are left alone. */
#ifndef DMF_MACHINE_TAILS_H
#define DMF_MACHINE_TAILS_H

#include "base/pieces.h"
#include "machine/machine.h"

/* What one run over so many paths saw: the largest terms of each average at each step. */
typedef struct Tails Tails;
/* NULL if memory ran out. */
Tails *tails_new(const Program *program, size_t steps, size_t paths);
/* The bytes of it. */
double tails_bytes(const Program *program, size_t steps, size_t paths);
void tails_free(Tails *tails); /* NULL is allowed */
/* All that it has seen. */
void tails_pieces(Tails *tails, Piece *piece, void *sink);
/* Of the average that this operation has just made. */
void tails_see(Tails *tails, const Machine *m, int op);

/* By how much the mean over these runs, of so many paths each, may be off. NULL where no average is
 * heavy. */
typedef struct Lean Lean;
Lean *lean_new(Tails *const *runs, int count, size_t paths);
void lean_free(Lean *lean); /* NULL is allowed */
/* Whether one of them may be off by so large a part of itself that this is a guess: it hangs on
 * terms that hardly any sample meets. */
bool lean_guesses(const Lean *lean);
/* Adds it to what this operation has just made, a table or an image, in run number `number` that
 * leans: in the first all averages grow; in the others each goes its own way, up or down. */
void lean_add(const Lean *lean, int number, const Machine *m, int op, View out);

#endif
