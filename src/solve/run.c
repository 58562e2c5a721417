/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/run.h"
#include "base/memory.h"

#include <stdlib.h>
#include <time.h>

static void drop_origin(void *origin) {
  program_drop(((Origin *)origin)->program);
  free(origin);
}

Result *run_result(const char *kind, Program *program, const SolveOptions *options) {
  Result *result = result_new(kind);
  result->origin = mem_new(1, sizeof(Origin));
  *(Origin *)result->origin = (Origin){program_keep(program), *options};
  result->drop_origin = drop_origin;
  return result;
}

Status run_refuse(char **why, double bytes) {
  *why = mem_format("this takes about %.4g bytes (%.3g GB), and %.3g GB are available", bytes, bytes * 1e-9,
                    mem_available() * 1e-9);
  return STATUS_LIMIT;
}

double run_clock(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
