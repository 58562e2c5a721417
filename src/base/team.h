/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tasks that several threads share out. Those who wait for others sleep: a thread that spins takes
 * the processor from who works on it, and its time is counted. */
#ifndef DMF_BASE_TEAM_H
#define DMF_BASE_TEAM_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

/* task(context, i) for all i < count, by the caller and up to threads - 1 others, as many as the
 * system gives; each takes the next i when it is done with one. Tasks begin in their order. */
void team_run(int threads, size_t count, void (*task)(void *context, size_t number), void *context);
/* A thread with a stack that suits whatever a script says, also where RLIMIT_STACK is small.
 * Nonzero, as pthread_create has it, where the system gives none. */
int team_begin(pthread_t *thread, void *(*run)(void *context), void *context);
/* Whether the calling thread is none of these others: such as may tell of progress. */
bool team_leads(void);

#endif
