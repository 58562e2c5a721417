/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/plan.h"
#include "base/memory.h"

#include <stdlib.h>
#include <time.h>

/* Seconds that a run is given to show its pace. */
static const double BUDGET = 0.4;

double plan_clock(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool look(void *sink, Machine *m, int t) {
  Pace *pace = sink;
  pace->seconds[t] = plan_clock() - pace->start;
  pace->flops[t] = tape_flops(m->tape) + m->flops;
  pace->seen = t + 1;
  return pace->seconds[t] < BUDGET;
}

double plan_at(const double *at, int seen, int step) {
  int last = seen - 1, first = last - last / 4 - 1;
  if (step < seen) return at[step];
  if (last < 0) return step + 1;
  if (last == 0) return at[0] * (step + 1);
  if (first < 0) first = 0;
  return at[last] + (at[last] - at[first]) / (last - first) * (step - last);
}

bool plan_pace(const MachinePlan *plan, Pace *pace) {
  size_t steps = (size_t)plan->steps + 1;
  *pace = (Pace){.start = plan_clock(),
                 .seconds = mem_try(steps, sizeof *pace->seconds),
                 .flops = mem_try(steps, sizeof *pace->flops)};
  MachinePlan begun = *plan;
  begun.observe = look;
  begun.sink = pace;
  Machine m;
  int failed_at;
  bool fits = pace->seconds && pace->flops;
  if (fits && machine_run(&begun, &m, &failed_at) == STATUS_OK) machine_free(&m);
  return pace->seen > 0;
}

void pace_free(Pace *pace) {
  free(pace->seconds);
  free(pace->flops);
}

bool plan_run(const MachinePlan *plan, RunCost *cost) {
  Pace pace;
  bool seen = plan_pace(plan, &pace);
  if (seen)
    *cost = (RunCost){plan_at(pace.flops, pace.seen, plan->steps),
                      plan_at(pace.seconds, pace.seen, plan->steps)};
  pace_free(&pace);
  return seen;
}
