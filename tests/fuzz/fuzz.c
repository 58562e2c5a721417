/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The entry of libFuzzer and AFL++. DMF_FUZZ names the target. */
#include "targets.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const Target *target;
  if (!target) {
    const char *name = getenv("DMF_FUZZ");
    target = target_find(name ? name : "");
    if (!target) {
      fputs("DMF_FUZZ names no target\n", stderr);
      exit(2);
    }
    targets_prepare();
  }
  target->run(data, size);
  return 0;
}
