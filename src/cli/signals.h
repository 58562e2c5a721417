/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Ctrl-C. While a session is watched, the first SIGINT asks it to stop at its next step and a
 * second one ends the process; so does SIGXCPU, which comes when RLIMIT_CPU is reached. */
#ifndef DMF_CLI_SIGNALS_H
#define DMF_CLI_SIGNALS_H

#include "dmf.h"

void signals_watch(Dmf *dmf);
/* Back to what the signals did before. */
void signals_release(void);
/* Whether the processor time was up; and says so, with the status of a limit. */
bool signals_late(void);
int signals_refuse(void);

/* Asks the session to stop in so many seconds; 0: no longer. */
void signals_limit(Dmf *dmf, unsigned seconds);

#endif
