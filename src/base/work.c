/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/work.h"

#include <math.h>
#include <string.h>

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

static _Thread_local Watch watched;

Watch work_watch(Watch watch) {
  Watch before = watched;
  watched = watch;
  return before;
}

Watch work_watched(void) { return watched; }

bool work_stopped(void) { return watched.stops && watched.stops(watched.context); }

double work_patience(void) { return watched.stops ? watched.patience : INFINITY; }

void work_copy(double *to, const double *from, size_t count) {
  for (size_t i = 0; i < count && (!i || !work_stopped()); i += WORK_BLOCK)
    memcpy(to + i, from + i, (count - i < WORK_BLOCK ? count - i : WORK_BLOCK) * sizeof *to);
}
