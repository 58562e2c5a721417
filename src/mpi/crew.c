/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A crew by MPI. This file is a module of its own, loaded where mpirun has started the process
 * (session/crew.c): MPI brings a hundred libraries, which nobody else should wait for. An error of
 * MPI, as the end of another process, ends them all. */
#include "base/crew.h"

#include <mpi.h>

static void share(int from, void *data, size_t bytes) {
  const size_t most = (size_t)1 << 30; /* MPI counts in int */
  for (char *at = data; bytes > 0;) {
    size_t part = bytes < most ? bytes : most;
    MPI_Bcast(at, (int)part, MPI_BYTE, from, MPI_COMM_WORLD);
    at += part;
    bytes -= part;
  }
}

static void leave(void) { MPI_Finalize(); }

/* Joins the others; false if there are none, or MPI does not start. */
bool crew_join(Crew *crew);
bool crew_join(Crew *crew) {
  int level;
  if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level) != MPI_SUCCESS) return false;
  *crew = (Crew){.share = share, .leave = leave};
  MPI_Comm machine;
  MPI_Comm_rank(MPI_COMM_WORLD, &crew->rank);
  MPI_Comm_size(MPI_COMM_WORLD, &crew->size);
  MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &machine);
  MPI_Comm_size(machine, &crew->neighbours);
  MPI_Comm_free(&machine);
  return true;
}
