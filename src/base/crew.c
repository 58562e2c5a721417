/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/crew.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

static bool is_shared(const Crew *crew) { return crew && !crew->alone; }

int crew_size(const Crew *crew) { return is_shared(crew) ? crew->size : 1; }

bool crew_has(const Crew *crew, int part) {
  return !is_shared(crew) || part % crew->size == crew->rank;
}

void crew_share(const Crew *crew, int part, void *data, size_t bytes) {
  if (is_shared(crew) && bytes) crew->share(part % crew->size, data, bytes);
}

void crew_share_piece(void *sink, void *data, size_t bytes) {
  const CrewPart *of = sink;
  crew_share(of->crew, of->part, data, bytes);
}

void crew_watch(const Crew *crew, volatile sig_atomic_t *stop) {
  if (crew) crew->watch(stop);
}

bool crew_halts(const Crew *crew) { return !is_shared(crew) || crew->halts(); }

bool crew_leads(const Crew *crew) { return !crew || crew->rank == 0; }

int crew_first(const Crew *crew, int own) {
  int first = 0;
  for (int i = 0; i < crew_size(crew); i++) {
    int theirs = own;
    crew_share(crew, i, &theirs, sizeof theirs);
    if (!first) first = theirs;
  }
  return first;
}

bool crew_any(const Crew *crew, bool own) { return crew_first(crew, own) != 0; }

char *crew_text(const Crew *crew, char *own) {
  int rank = crew ? crew->rank : 0, first = crew_first(crew, own ? rank + 1 : 0) - 1;
  if (crew_size(crew) == 1 || first < 0) return own;
  size_t length = own ? strlen(own) + 1 : 0;
  crew_share(crew, first, &length, sizeof length);
  char *text = mem_new(length, 1);
  if (first == rank) memcpy(text, own, length);
  crew_share(crew, first, text, length);
  free(own);
  return text;
}
