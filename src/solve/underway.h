/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A run of the machine whose state is kept every so often, so that it goes on from there when it
 * was killed: the machine, and what was seen of it so far. Steps are taken as if nothing had
 * happened, with the same bits. */
#ifndef DMF_SOLVE_UNDERWAY_H
#define DMF_SOLVE_UNDERWAY_H

#include "solve/checkpoint.h"
#include "solve/trace.h"

typedef struct Underway {
  Checkpoint *checkpoint; /* or NULL: nothing is kept */
  uint64_t key;           /* of the run */
  size_t plan[3];         /* which tells apart the passes of a run, and its attempts */
  Trace *trace;
  CheckpointPieces *more; /* what else it has seen, or NULL */
  void *of;
  Machine *machine;
  double kept;  /* operations behind it when it was kept last */
  bool touched; /* the machine and the trace are not those of a start any more ... */
  bool broken;  /* ... nor of the run: it fails, and has to be made without this */
} Underway;

/* To be called before every step (MachinePlan.pause). */
void underway_pause(Underway *underway, Machine *m);

#endif
