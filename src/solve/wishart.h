/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The shift of means of linear programs, exactly.
 *
 * A network of linear maps of width N is a function F of the averages <n_i n_j> over its neurons of
 * independent noise alone (sequential.c): of Wishart matrices 1 + G / sqrt(r N), one for each
 * population of r N neurons, with independent G_ij = G_ji of variance 1, 2 on the diagonal. So
 *
 *     N (E F - F(1)) = sum over populations of (1/r) (1/2 sum_{i<j} F''_ij + sum_i F''_ii)
 *
 * where F''_ij is the second derivative along the entry <n_i n_j>: differences of runs in
 * coordinates at three distances. A tilted run meets directions that the mean lacks, whose noise is
 * orthogonal to all: nothing of them fluctuates yet, but they return. A direction of relative size
 * s changes the sum by s^2, so small ones are left out. */
#ifndef DMF_SOLVE_WISHART_H
#define DMF_SOLVE_WISHART_H

#include "solve/united.h"

/* The shifts of what is read of networks and what they may be off by, [size]; *done is false where
 * they would take too long, or a tilted run diverges, and nothing is known then. */
Status wishart_shift(const United *networks, double *mean, double *error, bool *done);
/* Adds what that takes to a plan; false where it is not done. */
bool wishart_plan(const United *networks, SolvePlan *plan);

#endif
