/* SPDX-License-Identifier: GPL-3.0-or-later */
/* An allowance of work, and the look for an interrupt. A check computes what a script computes as
 * long as that is little, so that it ends soon whatever the script says; what would be more is
 * refused, and left to the run. The unit is a number that is computed. The allowance belongs to a
 * thread, because what computes does not know for whom. So does the watch: a single operation on an
 * array may take minutes, and looks whether somebody wants it to end. */
#ifndef DMF_BASE_WORK_H
#define DMF_BASE_WORK_H

#include <stdbool.h>
#include <stddef.h>

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

/* Whom this thread asks whether it shall end early; nobody where `stops` is NULL. Once it said so
 * it has to stay with that: what looks for it leaves numbers half made, and who asks again at the
 * end learns that they mean nothing. */
typedef struct Watch {
  bool (*stops)(void *context);
  void *context;
  double patience; /* multiplications of matrices between two looks */
} Watch;

/* Some tenths of a second of a product, and a second or two of what finds eigenvalues. */
static const double WORK_PATIENCE = 0x1p31;

/* Gives this thread a watch; returns the one it had. */
Watch work_watch(Watch watch);
Watch work_watched(void);
bool work_stopped(void);
/* That of the watch, or INFINITY. */
double work_patience(void);

/* How many numbers are computed between two looks, some milliseconds, and the condition of a loop
 * over elements i, or over pieces of so many. */
enum { WORK_BLOCK = 1 << 16 };
static inline bool work_goes_on(size_t i) { return i % WORK_BLOCK != 0 || !work_stopped(); }
/* Copies doubles, and looks in between. */
void work_copy(double *to, const double *from, size_t count);

#endif
