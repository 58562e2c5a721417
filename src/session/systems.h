/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the calls of solvers share, and those that are about systems. */
#ifndef DMF_SESSION_SYSTEMS_H
#define DMF_SESSION_SYSTEMS_H

#include "session/session.h"
#include "solve/checkpoint.h"
#include "solve/solve.h"

typedef Status (*Solver)(Program *, const SolveOptions *, Result **, char **);

/* The seed of a call: its own, else that of --seed, else the default. False after reporting. */
bool solver_seed(Call *call, int i, uint64_t *seed);
/* A whole number that is at least `least`; false after reporting. */
bool solver_count(Call *call, int i, double least, int *count);
/* A standard error that is asked for, 0 for none; false after reporting. */
bool solver_error(Call *call, int i, double *error);
/* Whether there is all that a solver computes with, OpenBLAS; a check, which computes nothing, does
 * not ask. False after reporting. */
bool solver_can_compute(Call *call);
/* The precision that an argument asks for; false after reporting. */
bool solver_precision(Call *call, int i, SolveOptions *options);
/* What of a theory is kept; false after reporting. */
bool solver_closure(Call *call, int i, Closure *closure);
/* How networks are simulated, by the arguments of these numbers; false after reporting. */
bool solver_networks(Call *call, int method, int precision, SolveOptions *options);
/* Has the runs of a call kept in the directory that argument i names, if it names one; the
 * checkpoint lasts as long as the call. False after reporting. */
bool solver_keeps(Call *call, int i, Checkpoint *checkpoint, SolveOptions *options);
/* Names the runs of a call that are kept by all that its numbers follow from; and when it is over
 * warns where some could not be kept. */
void solver_sign(const Call *call, SolveOptions *options);
void solver_keeping(Call *call, const SolveOptions *options);
/* Why there is no result; with `kept` runs, what an interrupted call goes on from. */
Value *solver_report(Call *call, Status status, const char *why, bool kept);
/* What the session gives every solver. */
void solver_surround(const Eval *eval, SolveOptions *options);
/* Runs a solver of a program, or with none the fluctuations of a theory. */
Value *solver_run(Call *call, Program *program, Solver solver, const Result *theory,
                  SolveOptions options);

/* Prints a program for `dmf ir`. */
void session_lower(Dmf *dmf, Program *program);

/* A line of `dmf plan`. */
void solver_plan(Call *call, Program *program, bool networks, const SolveOptions *options);
/* The same of what is asked of fluctuations around a theory; samples become those that are chosen.
 */
void solver_plan_fluctuations(Call *call, const Result *theory, SolveOptions *options,
                              const NoiseAsked *asked);

/* Whether a call is about a system: its first argument is one, or its training learns a dataset
 * that grows. */
bool system_is_asked(const Call *call);
/* Whether a call with a training gives no steps of its own; false after reporting. */
bool training_has_steps(Call *call);
/* The calls of dmft, simulate, ir and equations about a system. */
Value *system_dmft(Call *call);
Value *system_simulate(Call *call);
Value *system_ir(Call *call);
Value *system_equations(Call *call);
/* That of fluctuations, with a theory of a system. */
Value *system_fluctuations(Call *call, SolveOptions options);

#endif
