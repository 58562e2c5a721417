/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Processes that run one script side by side, as mpirun starts them: a crew. Each evaluates all of
 * the script; solvers share out the parts that their work is cut into, and what one process makes
 * of a part all get, bit by bit, so that they go on alike. Whoever shares calls in the same order
 * in all processes, from the thread that evaluates.
 *
 * NULL stands for a process of its own: everything is its own part, and nothing is shared. */
#ifndef DMF_BASE_CREW_H
#define DMF_BASE_CREW_H

#include "base/pieces.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct Crew {
  int rank, size;
  int neighbours; /* of them on this machine, itself included */
  bool alone;     /* for a while each works for itself, as at a point of a sweep of its own */
  /* The bytes of process `from` become those of all. */
  void (*share)(int from, void *data, size_t bytes);
  /* A piece of work begins, which this flag asks to stop; NULL: it is over. Once it is raised in
   * one process it is in all. */
  void (*watch)(volatile sig_atomic_t *stop);
  /* The flag is raised: whether this is where all end. It waits for the others to see it, too. */
  bool (*halts)(void);
  /* At the end: true when all have come, with the largest status and that of process 0; false where
   * *status is not 0, and after some seconds others have not come. */
  bool (*gather)(int *status, int *leader);
  void (*end)(int status);
  void (*leave)(void);
} Crew;

/* How many share work now. */
int crew_size(const Crew *crew);
/* Whether a part of some work, counted from 0, is this process's. */
bool crew_has(const Crew *crew, int part);
/* What the process of this part holds becomes what all hold. */
void crew_share(const Crew *crew, int part, void *data, size_t bytes);
/* The same of each of many pieces; `sink` is a CrewPart. */
typedef struct CrewPart {
  const Crew *crew;
  int part;
} CrewPart;
Piece crew_share_piece;
/* A piece of work that the flag asks to stop begins, or with NULL is over. */
void crew_watch(const Crew *crew, volatile sig_atomic_t *stop);
/* Whether who sees the flag raised may end: a process that ended on its own would leave those
 * waiting that are ahead of it, in what they share; it goes on to where they are. */
bool crew_halts(const Crew *crew);
/* Whether this process is the one that shows and writes: the one of part 0. */
bool crew_leads(const Crew *crew);
/* Whether `own` holds in any of the processes. */
bool crew_any(const Crew *crew, bool own);
/* The number of the first process that has one other than 0; 0 where none has. */
int crew_first(const Crew *crew, int own);
/* The text of the first process that has one, in place of their own, which is freed; or NULL. */
char *crew_text(const Crew *crew, char *own);

#endif
