/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What fluctuations will take. How much of a run is read back, and in which way, is best told by
 * doing it: the first steps are run over few neurons, with all that is asked of them, and again
 * with twice as many steps, for a part of a second. What is done with the runs is then taken to
 * grow as the operations behind each of their steps do. */
#ifndef DMF_SOLVE_REHEARSE_H
#define DMF_SOLVE_REHEARSE_H

#include "solve/plan.h"

/* One run over so many steps: its operations, those behind each of its steps, summed over what is
 * read there, and what reading it took. */
typedef struct Trial {
  double flops, behind, seconds, read_flops, read_seconds;
} Trial;
/* Over so many neurons; false where that fails. */
typedef bool Perform(void *sink, size_t steps, size_t columns, Trial *trial);

/* Over how many steps, and neurons, runs go; how few of these will do in trials, for so many rows
 * of what matrices meet. */
typedef struct Stage {
  size_t steps, columns, rows;
  const Pace *pace;    /* of the first steps over all neurons, or NULL: trials are over all */
  const double *reads; /* [steps]: how much is read at each step; or NULL: as much at each */
} Stage;
/* A run over all steps, and what is done with it, as they will be. False where nothing is known. */
bool rehearse(Perform *perform, void *sink, const Stage *stage, Trial *whole);

#endif
