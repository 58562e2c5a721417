/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Ctrl-C. While a session is watched, the first SIGINT asks it to stop at its next step and a
 * second one ends the process; so does SIGXCPU, which comes when RLIMIT_CPU is reached. */
#ifndef DMF_CLI_SIGNALS_H
#define DMF_CLI_SIGNALS_H

#include "dmf.h"

void signals_watch(Dmf *dmf);
/* The same of a script, which SIGTERM asks to stop, too. As one of several processes also SIGUSR1,
 * which mpirun hands on; launchers send SIGTERM more than once, and only the first counts. */
void signals_watch_script(Dmf *dmf, bool crew);
/* Back to what the signals did before. */
void signals_release(void);
/* What the end by an interruption is called: that of SIGTERM has a status of its own. */
int signals_status(int status);
/* Whether the processor time was up; and says so, with the status of a limit. */
bool signals_late(void);
int signals_refuse(void);

/* Asks the session to stop in so many seconds; 0: no longer. */
void signals_limit(Dmf *dmf, unsigned seconds);

#endif
