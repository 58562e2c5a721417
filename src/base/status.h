/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How a piece of work ended. The values are the exit statuses of the command, so that a status
 * travels from the deepest numerical routine to the shell without translation. */
#ifndef DMF_BASE_STATUS_H
#define DMF_BASE_STATUS_H

typedef enum Status {
  STATUS_OK = 0,
  STATUS_SCRIPT = 1,       /* syntax, name, type or shape in the script */
  STATUS_USAGE = 2,        /* the command line */
  STATUS_NUMERICS = 3,     /* diverged, not finite, not definite */
  STATUS_ASSERT = 4,       /* an assertion failed, or a tolerance was missed */
  STATUS_FILE = 5,         /* a file could not be read or written */
  STATUS_LIMIT = 6,        /* memory or time refused */
  STATUS_INTERRUPTED = 130 /* Ctrl-C */
} Status;

#endif
