/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Small memory that the command must have: without it there is no answer that could be right. */
#ifndef DMF_CLI_CLAIM_H
#define DMF_CLI_CLAIM_H

#include "dmf.h"

#include <stdio.h>
#include <stdlib.h>

/* What was allocated, never NULL: the process ends with the status of a limit instead. */
static inline void *claim(void *block) {
  if (block) return block;
  fputs("dmf: out of memory\n", stderr);
  exit(DMF_LIMIT);
}

#endif
