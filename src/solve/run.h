/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What surrounds the work of every solver: the clock, the refusal of too large requests, and results
 * that can complete themselves by running again. */
#ifndef DMF_SOLVE_RUN_H
#define DMF_SOLVE_RUN_H

#include "solve/solve.h"

/* What a result was made from. */
typedef struct Origin {
  Program *program;
  SolveOptions options;
} Origin;

/* A result that remembers its origin (a reference to the program is taken). */
Result *run_result(const char *kind, Program *program, const SolveOptions *options);
/* STATUS_LIMIT, with the bytes in *why. */
Status run_refuse(char **why, double bytes);
double run_clock(void);

#endif
