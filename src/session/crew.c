/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sessions that mpirun started side by side. */
#include "session/session.h"
#include "base/memory.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

struct DmfCrew {
  Crew crew;
};

/* Variables that launchers give the processes that they start: the number of them. */
static const char *const launchers[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS",
                                        NULL};

static bool is_launched(void) {
  for (int i = 0; launchers[i]; i++) {
    const char *count = getenv(launchers[i]);
    if (count && atoi(count) > 1) return true;
  }
  return false;
}

DmfCrew *dmf_crew_join(char **why) {
  *why = NULL;
  if (!is_launched()) return NULL;
  char *path = import_installed("dmf-mpi.so");
  void *module = dlopen(path, RTLD_NOW | RTLD_GLOBAL); /* what MPI loads looks for MPI there */
  void *join = module && access(path, F_OK) == 0 ? dlsym(module, "crew_join") : NULL;
  DmfCrew *crew = mem_new(1, sizeof *crew);
  bool (*call)(Crew *) = NULL;
  memcpy(&call, &join, sizeof call);
  if (!join)
    *why = mem_format("this dmf was built without MPI (./configure --with-mpi): %s", dlerror());
  else if (!call(&crew->crew))
    *why = mem_string("MPI does not start");
  free(path);
  if (!*why) return crew;
  free(crew);
  return NULL;
}

bool dmf_crew_leads(const DmfCrew *crew) { return !crew || crew_leads(&crew->crew); }

int dmf_crew_neighbours(const DmfCrew *crew) { return crew ? crew->crew.neighbours : 1; }

void dmf_crew_leave(DmfCrew *crew) {
  if (!crew) return;
  crew->crew.leave();
  free(crew);
}

Crew *session_crew(const Dmf *dmf) { return dmf->config.crew ? &dmf->config.crew->crew : NULL; }

bool session_leads(const Dmf *dmf) { return crew_leads(session_crew(dmf)); }

Status session_agree(const Dmf *dmf, Status status, char **why) {
  crew_share(session_crew(dmf), 0, &status, sizeof status);
  if (status != STATUS_OK && !*why) *why = mem_string("another process could not write it");
  return status;
}
