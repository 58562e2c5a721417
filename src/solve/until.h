/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Training until it settles. */
#ifndef DMF_SOLVE_UNTIL_H
#define DMF_SOLVE_UNTIL_H

#include "solve/solve.h"

typedef Status SolveOnce(Program *program, const SolveOptions *options, Result **result,
                         char **why);

/* Solves a program whose problem says `until` for the steps that it takes for the loss to change by
 * less in ten of them in a row, at most its own steps, which become these. How many is found from
 * the first replicates or members alone, so that all have as many. *change becomes what the loss of
 * these changes by in the last step: not below `until` where training has not settled. */
Status solve_until(SolveOnce *solver, Program *program, const SolveOptions *options, double *change,
                   Result **result, char **why);

#endif
