/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/work.h"

#include <math.h>

const Work work_unlimited = {INFINITY, false};

static _Thread_local Work allowance = {INFINITY, false};

Work work_allow(Work work) {
  Work before = allowance;
  allowance = work;
  return before;
}

bool work_spend(double units) {
  bool enough = units <= allowance.left;
  if (enough) allowance.left -= units;
  allowance.refused |= !enough;
  return enough;
}

bool work_refused(void) { return allowance.refused; }
