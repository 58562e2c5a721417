/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/rehearse.h"

#include <math.h>

/* Seconds that trials may take, where each takes up to eight times as long as the one before. */
static const double BUDGET = 0.5, LONGER = 8;

/* As it grew between the last two trials, as a power of the steps. */
static double grown(double before, double last, size_t n0, size_t n, size_t steps) {
  if (!(before > 0 && last > before)) return last * (double)steps / (double)n;
  double power = log(last / before) / log((double)n / (double)n0);
  return last * pow((double)steps / (double)n, power);
}

/* What is done with a run for each operation behind its steps: it goes to a limit as one over the
 * steps. */
static double settled(const Trial *before, const Trial *last, size_t n0, size_t n, size_t steps) {
  static const double MOST = 2;
  double now = last->read_flops / last->behind;
  if (!(before->behind > 0)) return now;
  double then = before->read_flops / before->behind,
         slope = (then - now) / (1 / (double)n0 - 1 / (double)n),
         at = now + slope * (1 / (double)steps - 1 / (double)n);
  return fmin(fmax(at, now / MOST), now * MOST);
}

/* The operations behind each of the steps, summed over what is read there. */
static double behind(const Stage *stage) {
  const Pace *pace = stage->pace;
  double sum = 0;
  for (size_t t = 0; t < stage->steps; t++)
    sum += (stage->reads ? stage->reads[t] : 1) * plan_at(pace->flops, pace->seen, (int)t);
  return sum;
}

static void extend(const Trial *before, const Trial *last, size_t n0, size_t n, const Stage *stage,
                   Trial *whole) {
  size_t steps = stage->steps;
  const Pace *pace = stage->pace;
  *whole = *last;
  if (pace) {
    whole->flops = plan_at(pace->flops, pace->seen, (int)steps - 1);
    whole->seconds = plan_at(pace->seconds, pace->seen, (int)steps - 1);
    whole->behind = behind(stage);
  } else if (n < steps) {
    whole->flops = grown(before->flops, last->flops, n0, n, steps);
    whole->seconds = grown(before->seconds, last->seconds, n0, n, steps);
    whole->behind = grown(before->behind, last->behind, n0, n, steps);
  }
  double share = whole->behind / last->behind;
  whole->read_flops = whole->behind * settled(before, last, n0, n, steps);
  whole->read_seconds *= last->read_flops > 0 ? whole->read_flops / last->read_flops : share;
}

/* Operations grow with the neurons, but for those of tables. */
static bool perform_few(Perform *perform, void *sink, const Stage *stage, size_t steps,
                        Trial *trial) {
  enum { FEW = 256, OF_A_ROW = 4 };
  size_t few = OF_A_ROW * stage->rows > FEW ? OF_A_ROW * stage->rows : FEW, all = stage->columns;
  if (!stage->pace || 2 * few >= all) return perform(sink, steps, all, trial);
  Trial half;
  if (!perform(sink, steps, few, &half) || !perform(sink, steps, 2 * few, trial)) return false;
  double more = (double)all / (double)few - 2, read = trial->read_flops;
  trial->flops += more * (trial->flops - half.flops);
  trial->behind += more * (trial->behind - half.behind);
  trial->read_flops += more * (trial->read_flops - half.read_flops);
  trial->read_seconds *= read > 0 ? trial->read_flops / read : (double)all / (double)(2 * few);
  return true;
}

bool rehearse(Perform *perform, void *sink, const Stage *stage, Trial *whole) {
  Trial before = {0}, last = {0}, next;
  size_t n0 = 0, n = 0;
  double spent = 0;
  while (n < stage->steps && (n < 2 || spent * LONGER < BUDGET)) {
    size_t more = n ? 2 * n - 1 : 2;
    if (more < n + 1) more = n + 1;
    if (more > stage->steps) more = stage->steps;
    double start = plan_clock();
    if (!perform_few(perform, sink, stage, more, &next)) return false;
    spent = plan_clock() - start;
    before = last;
    last = next;
    n0 = n;
    n = more;
  }
  if (!(last.behind > 0)) return false;
  extend(&before, &last, n0, n, stage, whole);
  return true;
}
