/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The read-evaluate-print loop: statements are read from standard input, with editing, history and
 * completion when it is a terminal. */
#ifndef DMF_CLI_REPL_H
#define DMF_CLI_REPL_H

#include "dmf.h"

/* `loaded` (or NULL) is the script that has been run before, which :reload runs again. Returns when
 * the input ends or the user leaves: DMF_OK at a terminal, else the status of the first statement
 * that failed. */
int repl_run(Dmf *dmf, const char *loaded);

#endif
