/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A crew by MPI. This file is a module of its own, loaded where mpirun has started the process
 * (session/crew.c): MPI brings a hundred libraries, which nobody else should wait for. An error of
 * MPI, as the end of another process, ends them all. */
#include "base/crew.h"

#include <mpi.h>
#include <time.h>

/* What is said at the end, whatever else is under way. */
static MPI_Comm ends = MPI_COMM_NULL;

static void share(int from, void *data, size_t bytes) {
  const size_t most = (size_t)1 << 30; /* MPI counts in int */
  for (char *at = data; bytes > 0;) {
    size_t part = bytes < most ? bytes : most;
    MPI_Bcast(at, (int)part, MPI_BYTE, from, MPI_COMM_WORLD);
    at += part;
    bytes -= part;
  }
}

/* Who fails alone would let the others wait for ever. Those who fail alike come at about one time;
 * where they are slower than this, they lose no more than their own words about it. */
static bool gather(int *status, int *leader) {
  static const struct timespec PAUSE = {.tv_nsec = 1000000};
  enum { PAUSES = 3000 };
  int rank, there = 0;
  MPI_Comm_rank(ends, &rank);
  int own[2] = {*status, rank == 0 ? *status : 0}, all[2];
  MPI_Request request;
  MPI_Iallreduce(own, all, 2, MPI_INT, MPI_MAX, ends, &request);
  for (int i = 0; (i < PAUSES || *status == 0) && !there; i++) {
    MPI_Test(&request, &there, MPI_STATUS_IGNORE);
    if (!there) nanosleep(&PAUSE, NULL);
  }
  if (!there) return false;
  *status = all[0];
  *leader = all[1];
  return true;
}

static void end(int status) { MPI_Abort(MPI_COMM_WORLD, status); }

static void leave(void) {
  MPI_Comm_free(&ends);
  MPI_Finalize();
}

/* Joins the others; false if there are none, or MPI does not start. */
bool crew_join(Crew *crew);
bool crew_join(Crew *crew) {
  int level;
  if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level) != MPI_SUCCESS) return false;
  *crew = (Crew){.share = share, .gather = gather, .end = end, .leave = leave};
  MPI_Comm_dup(MPI_COMM_WORLD, &ends);
  MPI_Comm machine;
  MPI_Comm_rank(MPI_COMM_WORLD, &crew->rank);
  MPI_Comm_size(MPI_COMM_WORLD, &crew->size);
  MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &machine);
  MPI_Comm_size(machine, &crew->neighbours);
  MPI_Comm_free(&machine);
  return true;
}
