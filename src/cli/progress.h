/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How far the solver is: a line that renews itself on a terminal; in a log plain lines, one at the
 * first word of a solver and then one a minute. */
#ifndef DMF_CLI_PROGRESS_H
#define DMF_CLI_PROGRESS_H

#include <stdbool.h>

typedef struct Progress {
  bool lines; /* for a log */
  const char *stage;
  double begin, shown;     /* when the stage began, and the last line was written; 0: none yet */
  int first, last;         /* steps when the stage began, and when it was last heard of */
  double first_work, work; /* the share of the work that was done, then and now */
} Progress;

/* To be called as `work`, and as `progress` of DmfConfig, with a Progress as its sink. */
void progress_work(void *sink, double share);
void progress_tell(void *sink, const char *stage, int done, int total);

#endif
