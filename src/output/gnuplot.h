/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef DMF_OUTPUT_GNUPLOT_H
#define DMF_OUTPUT_GNUPLOT_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

/* Runs gnuplot on a script and gives what it writes to its standard output (to be freed).
 * `*missing` tells that there is no such program, which fails with STATUS_FILE like any complaint
 * of gnuplot;
 * `*why` is to be freed. */
Status gnuplot_run(const char *script, size_t length, char **output, size_t *size, bool *missing,
                   char **why);

#endif
