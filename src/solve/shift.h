/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The shift of means at order 1/N. */
#ifndef DMF_SOLVE_SHIFT_H
#define DMF_SOLVE_SHIFT_H

#include "result/result.h"
#include "solve/recorded.h"
#include "solve/united.h"

/* Declares the fields mean_shift_f, mean_shift_loss, mean_shift_ntk of a result. */
void shift_promise(const Program *program, Result *result);
/* The plan of groups of networks: one that says the program, and what networks of it are like, the
 * number of groups and the width of the narrowest, S, of which a group has eight. */
United shift_groups(United networks);
/* Fills the fields; of a `linear` program, a function of averages of noise alone, as wishart.h has
 * it; and of what hears of averages alone from the runs of its fluctuations (NULL: none). */
Status shift_solve(const United *groups, bool linear, Recorded *recorded, Result *result);
/* Whether the runs of fluctuations tell them; reads them from a short one over `few` neurons. */
bool shift_reads(const Recorded *s, Recorded *few);
/* Adds to a plan what else tells them. */
void shift_plan(const United *groups, bool linear, SolvePlan *plan);

#endif
