/* SPDX-License-Identifier: GPL-3.0-or-later */
/* As many samples as an error that is asked for takes. */
#ifndef DMF_SOLVE_ENOUGH_H
#define DMF_SOLVE_ENOUGH_H

#include "solve/solve.h"

/* Runs a solver with more and more samples until the stated error is no larger than options->error,
 * with options->most at most, or as far as the memory goes; the result is that of the last call,
 * and its attribute `error` what was asked for. */
typedef Status EnoughSolver(Program *program, const SolveOptions *options, Result **result,
                            char **why);
Status enough_solve(EnoughSolver *solver, Program *program, const SolveOptions *options,
                    Result **result, char **why);

/* That the error is larger than what was asked for, a sentence to be freed; or NULL. */
char *enough_caution(const Result *result);

#endif
