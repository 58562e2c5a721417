/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/team.h"
#include "base/memory.h"
#include "base/work.h"

#include <stdatomic.h>
#include <stdlib.h>

typedef struct Team {
  size_t count;
  atomic_size_t next;
  void (*task)(void *context, size_t number);
  void *context;
  Watch watch; /* of who calls, and so of those who help */
} Team;

static _Thread_local bool helps;

bool team_leads(void) { return !helps; }

static void work(Team *team) {
  for (size_t i; (i = atomic_fetch_add(&team->next, 1)) < team->count;)
    team->task(team->context, i);
}

static void *help(void *team) {
  helps = true;
  work_watch(((Team *)team)->watch);
  work(team);
  return NULL;
}

int team_begin(pthread_t *thread, void *(*run)(void *context), void *context) {
  enum { STACK = 16 << 20 };
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, STACK);
  int failed = pthread_create(thread, &attributes, run, context);
  pthread_attr_destroy(&attributes);
  return failed;
}

void team_run(int threads, size_t count, void (*task)(void *context, size_t number),
              void *context) {
  Team team = {.count = count, .task = task, .context = context, .watch = work_watched()};
  size_t wanted = threads > 1 ? (size_t)threads - 1 : 0, started = 0;
  if (wanted + 1 > count) wanted = count ? count - 1 : 0;
  pthread_t *helper = mem_new(wanted, sizeof *helper);
  while (started < wanted && team_begin(&helper[started], help, &team) == 0) started++;
  work(&team);
  while (started > 0) pthread_join(helper[--started], NULL);
  free(helper);
}
