/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/diag.h"
#include "dmf.h"

const char *dmf_suggest(const char *word, const char *const *candidates) {
  return suggest(word, candidates);
}
