/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/progress.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* Seconds between two lines, on a terminal and in a log, and before a rate means anything. */
static const double RENEWAL = 0.1, INTERVAL = 60, SETTLED = 0.5;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void put_time(double seconds) {
  long s = (long)(seconds + 0.5);
  if (s < 3600)
    fprintf(stderr, "%ld:%02ld", s / 60, s % 60);
  else
    fprintf(stderr, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
}

static void put_line(const Progress *progress, int done, int total, double passed) {
  fprintf(stderr, "%s: %d of %d", progress->stage, done, total);
  double rate = passed > 0 ? (done - progress->first) / passed : 0,
         work = progress->work - progress->first_work;
  if (passed > SETTLED && rate > 0 && work > 0) {
    fprintf(stderr, rate < 10 ? ", %.2g/s, " : ", %.0f/s, ", rate);
    put_time((1 - progress->work) * passed / work);
    fputs(" left", stderr);
  }
}

static void start(Progress *progress, const char *stage, int done, double time) {
  progress->stage = stage;
  progress->begin = time;
  progress->first = done;
  progress->first_work = progress->work;
}

static void clear(Progress *progress) {
  if (!progress->lines && progress->stage) fputs("\r\033[K", stderr);
  progress->stage = NULL;
}

void progress_work(void *sink, double share) { ((Progress *)sink)->work = share; }

void progress_tell(void *sink, const char *stage, int done, int total) {
  Progress *progress = sink;
  double time = now(), gap = progress->lines ? INTERVAL : RENEWAL;
  if (!stage) {
    clear(progress);
    return;
  }
  if (!progress->stage || strcmp(progress->stage, stage) != 0 || done < progress->last)
    start(progress, stage, done, time);
  progress->last = done;
  if (progress->shown > 0 && time - progress->shown < gap) return;
  if (!progress->lines) fputs("\r\033[K", stderr);
  put_line(progress, done, total, time - progress->begin);
  if (progress->lines) fputc('\n', stderr);
  fflush(stderr);
  progress->shown = time;
}
