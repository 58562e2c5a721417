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

/* Variables that launchers give the processes that they start: the number of them. The last is that
 * of srun, whatever it speaks to MPI by (PMIx has none of its own). */
static const char *const launchers[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS",
                                        "SLURM_STEP_NUM_TASKS", NULL};

/* The variable that tells of other processes, or NULL. The first that is there decides: mpirun has
 * its helpers started by srun. */
static const char *launcher(void) {
  for (int i = 0; launchers[i]; i++) {
    const char *count = getenv(launchers[i]);
    if (count) return atoi(count) > 1 ? launchers[i] : NULL;
  }
  return NULL;
}

/* Joins the others through the module; *why says what stands against it. */
static bool join(Crew *crew, char **why) {
  char *path = import_installed("dmf-mpi.so");
  void *module =
      path ? dlopen(path, RTLD_NOW | RTLD_GLOBAL) : NULL; /* what MPI loads looks there */
  void *found = module ? dlsym(module, "crew_join") : NULL;
  bool (*call)(Crew *) = NULL;
  memcpy(&call, &found, sizeof call);
  if (!path)
    *why = mem_string("this dmf was built without MPI (./configure --with-mpi)");
  else if (!found)
    *why = mem_string(dlerror());
  else if (!call(crew))
    *why = mem_string("MPI does not start");
  free(path);
  if (!*why && crew->size == 1) {
    crew->leave();
    *why = mem_string("the MPI of this dmf sees one, and that launcher belongs to another MPI");
  }
  return !*why;
}

/* Processes that do not know of each other would each do all of the work and write the same files.
 */
DmfCrew *dmf_crew_join(char **why) {
  *why = NULL;
  const char *variable = launcher();
  if (!variable) return NULL;
  char *reason = NULL;
  DmfCrew *crew = mem_new(1, sizeof *crew);
  if (join(&crew->crew, &reason)) return crew;
  *why = mem_format("one of several processes (%s=%s), but %s; 'env -u %s dmf' is alone", variable,
                    getenv(variable), reason, variable);
  free(reason);
  free(crew);
  return NULL;
}

bool dmf_crew_leads(const DmfCrew *crew) { return !crew || crew_leads(&crew->crew); }

int dmf_crew_neighbours(const DmfCrew *crew) { return crew ? crew->crew.neighbours : 1; }

bool dmf_crew_gather(DmfCrew *crew, int *status, int *leader) {
  return crew->crew.gather(status, leader);
}

void dmf_crew_end(DmfCrew *crew, int status) { crew->crew.end(status); }

void dmf_crew_leave(DmfCrew *crew) {
  if (!crew) return;
  crew->crew.leave();
  free(crew);
}

Crew *session_crew(const Dmf *dmf) { return dmf->config.crew ? &dmf->config.crew->crew : NULL; }

void session_heed(Dmf *dmf) {
  dmf->stop = 0;
  free(dmf->partial);
  dmf->partial = NULL;
  crew_watch(session_crew(dmf), &dmf->stop);
  session_watch(dmf, &dmf->stop);
}

void session_note(Dmf *dmf, const char *function, const char *what) {
  if (!dmf->partial) dmf->partial = mem_string("interrupted:");
  mem_append(&dmf->partial, " the result of %s is of %s;", function, what);
}

void session_rest(Dmf *dmf) { crew_watch(session_crew(dmf), NULL); }

bool session_stops(Dmf *dmf) {
  bool stops = crew_any(session_crew(dmf), dmf->stop);
  if (stops) dmf->stop = 1;
  return stops;
}

bool session_leads(const Dmf *dmf) { return crew_leads(session_crew(dmf)); }

Status session_agree(const Dmf *dmf, Status status, char **why) {
  crew_share(session_crew(dmf), 0, &status, sizeof status);
  if (status != STATUS_OK && !*why) *why = mem_string("another process could not write it");
  return status;
}

Status session_settle(Dmf *dmf, Status status, char **why) {
  const Crew *crew = session_crew(dmf);
  bool fine = status == STATUS_OK;
  if (crew_size(crew) == 1) return status;
  status = (Status)crew_first(crew, (int)status);
  if (status == STATUS_INTERRUPTED) dmf->stop = 1;
  if (status == STATUS_OK) return status;
  if (fine) {
    free(*why);
    *why = NULL;
  }
  *why = crew_text(crew, *why);
  return status;
}
