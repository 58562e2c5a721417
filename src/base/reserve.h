/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A reserve of memory, so that a process that hosts sessions outlives the moment when a small
 * allocation fails: what cannot have its few bytes takes them from here, the work that runs ends
 * with the status of a limit when it next looks, and the reserve is filled again. It is of the
 * process, as memory is; all of this may be called from several threads. */
#ifndef DMF_BASE_RESERVE_H
#define DMF_BASE_RESERVE_H

#include <stdbool.h>
#include <stddef.h>

/* A session holds the reserve; when the last lets go of it, it is freed. False when it cannot be
 * had; then it is not held. */
bool reserve_hold(void);
void reserve_drop(void);

/* A block of at least so many bytes, which mean nothing, for free(); NULL when there is none. */
void *reserve_take(size_t bytes);
/* Gives a part back to the system, for what others allocate; false when there is none. */
bool reserve_release(void);

/* Fills up again what was taken. False when that is not possible: memory is short, and the work
 * that runs has to end. Costs nothing while nothing was taken. */
bool reserve_fill(void);

#endif
