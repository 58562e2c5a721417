/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Gradient flow: how many parts of a step the integrator makes, and what its error is. */
#ifndef DMF_SOLVE_FLOW_H
#define DMF_SOLVE_FLOW_H

#include "solve/run.h"

/* Whether a solver has to choose the parts first, by flow_solve. */
bool flow_chooses(const Program *program, const SolveOptions *options);
/* The options of a single run, in steps of one part where nothing is chosen yet. */
SolveOptions flow_plain(const Program *program, const SolveOptions *options);

/* Calls the solver with parts that are halved until a probe of it (options->probe) no longer
 * changes by more than a thousandth, and adds to all errors what the last halving says of the error
 * of the integrator. `whole`: the probe is all that the solver does. A result notes its parts. At a
 * temperature a step has one part: runs with other parts have other noise. */
Status flow_solve(FlowSolver *solver, bool whole, Program *program, const SolveOptions *options,
                  Result **result, char **why);

/* The same for what a result still lacks: it takes the place of `complete`, which its origin then
 * calls. Nothing changes for a result of other optimizers. */
void flow_origin(FlowSolver *solver, bool whole, Result *result);

/* Numbers that are made besides the fields of a result, `value` and `error` [n]. */
typedef Status FlowNumbers(void *sink, const SolveOptions *options, double *value, double *error,
                           char **why);
/* These for a result of this origin; the error of the integrator is added. */
Status flow_numbers(const Origin *origin, FlowNumbers *numbers, void *sink, size_t n, double *value,
                    double *error, char **why);

#endif
