/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The whole of our unit testing: CHECK counts, check_done sums up. One test program is one file, so
 * the counters may be static. */
#ifndef DMF_TESTS_CHECK_H
#define DMF_TESTS_CHECK_H

#include <errno.h>
#include <stdio.h>

#pragma GCC diagnostic ignored "-Wvla" /* what tests work on is small */

static int check_passed, check_failed;

#define CHECK(condition)                                                                           \
  do {                                                                                             \
    if (condition) {                                                                               \
      check_passed++;                                                                              \
    } else {                                                                                       \
      check_failed++;                                                                              \
      fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                      \
    }                                                                                              \
  } while (0)

/* Prints the counts; the exit status of the program. */
static inline int check_done(void) {
  printf("%s: %d passed, %d failed\n", program_invocation_short_name, check_passed, check_failed);
  return check_failed > 0;
}

#endif
