/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Runs of a solve that are done, each in a file of its own, so that a solve that was killed goes on
 * from there, and how far those are that are not. The file is named by all that the run follows
 * from, and ends with a seal: one of another solve is never found, and one that was cut off or
 * changed is no loss, since its run is made again. Numbers are as they lie in memory: files are for
 * the same kind of machine. */
#ifndef DMF_SOLVE_CHECKPOINT_H
#define DMF_SOLVE_CHECKPOINT_H

#include "base/pieces.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct Checkpoint {
  const char *directory;
  uint64_t key;        /* of the solve: all that its numbers follow from */
  int batches;         /* that were begun */
  _Atomic(char *) why; /* a file could not be written; NULL: all could */
} Checkpoint;

/* Shows the pieces of a run. */
typedef void CheckpointPieces(void *of, Piece *piece, void *sink);

/* A key that follows from another and from a number, and from several. */
uint64_t checkpoint_key(uint64_t key, uint64_t number);
uint64_t checkpoint_keys(uint64_t key, const uint64_t *numbers, size_t count);
/* The number with the bits of this one. */
uint64_t checkpoint_bits(double number);
/* Fills in the pieces of the run of this key. False where there is no such file, or no sound one.
 */
bool checkpoint_read(const Checkpoint *checkpoint, uint64_t key, CheckpointPieces *show, void *of);
/* Keeps them; the reason why it cannot is the checkpoint's. Several threads may call. */
void checkpoint_write(Checkpoint *checkpoint, uint64_t key, CheckpointPieces *show, void *of);
/* The same of a run that comes to so many numbers; nothing is there, or kept, where `checkpoint` is
 * NULL. */
bool checkpoint_find(const Checkpoint *checkpoint, uint64_t key, double *numbers, size_t count);
void checkpoint_keep(Checkpoint *checkpoint, uint64_t key, const double *numbers, size_t count);

/* Removes the file of this key, if there is one. */
void checkpoint_drop(const Checkpoint *checkpoint, uint64_t key);

#endif
