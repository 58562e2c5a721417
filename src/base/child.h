/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Work that a child of the process does, which can be ended when somebody wants out (base/work.h):
 * what cannot look for that itself, crashes, or ends its process. What it makes comes back through
 * a pipe. */
#ifndef DMF_BASE_CHILD_H
#define DMF_BASE_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* A child has one thread. What another one had locked in its parent stays locked, but for the
 * allocator of the C library, which sees to that; that of AddressSanitizer does not. With it the
 * others have to be asleep, and where they are not there can be no child. */
bool child_possible(void);

/* Begins a child that runs this, writes to `to` and ends by child_quit; *from is where its parent
 * reads. -1 where the system gives none, and errno why. */
pid_t child_begin(void (*run)(void *context, int to), void *context, int *from);
/* Closes that end and waits; how it ended, as waitpid has it, or as if by SIGABRT where a host
 * waits for all children itself. `stop`: it is ended first. */
int child_end(pid_t child, int from, bool stop);

/* In the child: signals are those of a new process, and it dies without a word or a core. */
void child_settle(void);
/* Lowers a limit (see setrlimit(2)), if it is not as low. */
void child_bound(int resource, double amount);
/* The host's own work at exit, and what lies in its streams, are not the child's. */
_Noreturn void child_quit(int status);
/* In the child, which has nobody to tell that the pipe is broken and ends then: its parent never
 * takes what comes after a gap for what is missing. */
void child_put(int to, const void *bytes, size_t length);

/* In the parent: reads so much. False when no more comes, and when somebody wants out. */
bool child_take(int from, void *bytes, size_t length);

#endif
