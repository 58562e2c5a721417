/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The perturbative closure: leading order in gamma^2 around the lazy limit.
 *
 * Every observable is even in gamma, q0 + q2 gamma^2 + ..., and the closure keeps two terms. Both
 * come from runs at gamma = +-a, +-2a, +-3a on the same noise, with all responses kept: the mean
 * over the sign removes odd powers (which only the noise has), and the parabola in gamma^2 through
 * the three nodes gives q0 and q2 up to order a^4: about 1e-8 for linear programs, whose
 * nodes can be closer, below the sampling error for others. The machine stays the only solver. */
#ifndef DMF_SOLVE_PERTURB_H
#define DMF_SOLVE_PERTURB_H

#include "solve/run.h"

/* Runs of the machine that one run of the closure takes. */
enum { PERTURB_NODES = 6 };

/* Whether q2 exists: every map is smooth. */
bool perturb_applies(const Program *program);

/* One run at this gamma. On failure the record is empty. */
typedef RunEnd RunAt(void *sink, double gamma, Trace *record);
/* q0 + gamma^2 q2 at the gamma of the problem; as a run. */
RunEnd perturb_run(const Program *program, RunAt *run, void *sink, Trace *record);

#endif
