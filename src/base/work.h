/* SPDX-License-Identifier: GPL-3.0-or-later */
/* An allowance of work. A check computes what a script computes as long as that is little, so that
 * it ends soon whatever the script says; what would be more is refused, and left to the run. The
 * unit is a number that is computed. The allowance belongs to a thread, because what computes does
 * not know for whom. */
#ifndef DMF_BASE_WORK_H
#define DMF_BASE_WORK_H

#include <stdbool.h>

/* Multiplications of a matrix product that count as one number, of all those of a naive loop. */
enum { WORK_PRODUCTS = 128 };

typedef struct Work {
  double left;  /* units */
  bool refused; /* something was more than there was left */
} Work;

/* What a thread has that was given nothing else. */
extern const Work work_unlimited;

/* Gives this thread an allowance; returns the one it had. */
Work work_allow(Work work);
/* Takes so much from the allowance. False when less is left: then nothing is taken. */
bool work_spend(double units);
/* Whether something was refused since the allowance was given. */
bool work_refused(void);

#endif
