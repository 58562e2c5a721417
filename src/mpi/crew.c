/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A crew by MPI. This file is a module of its own, loaded where mpirun has started the process
 * (session/crew.c): MPI brings a hundred libraries, which nobody else should wait for. An error of
 * MPI, as the end of another process, ends them all. */
#include "base/crew.h"

#include <limits.h>
#include <mpi.h>
#include <pthread.h>
#include <time.h>

/* What is said at the end, whatever else is under way. */
static MPI_Comm ends = MPI_COMM_NULL;

/* ---- interruptions ---- */

/* Who is asked to stop tells all, by a thread that listens for that (without it, where MPI is not
 * made for threads, each stops by itself). Then all have to end at one place of the script, since
 * who has begun to share something waits for the others: each says how many things it has shared
 * when it waits, for the others there or for leave to end, and all go on to the largest of these
 * numbers. */
enum { WANTED, COME, END };
typedef struct Notice {
  int kind, work, count;
} Notice;

/* Times between looks at what others say, and at what they said. */
static const struct timespec PAUSE = {.tv_nsec = 5000000}, MOMENT = {.tv_nsec = 1000000};

static struct {
  pthread_mutex_t lock;
  pthread_t thread;
  MPI_Comm comm;
  int rank, size;
  bool listens, over;
  volatile sig_atomic_t *stop; /* of the work under way, the number `work` */
  int work, early, came;       /* asked to stop before it began here; where this one has come */
  int count;                   /* things shared in it */
  bool waits, told;
  int last; /* the count at which it ends; -1: not known */
  /* of process 0: the last work that was to stop, and those that have come in it */
  int wanted, arrived, furthest;
} watched = {.lock = PTHREAD_MUTEX_INITIALIZER, .comm = MPI_COMM_NULL, .last = -1};

static void send(int to, Notice notice) {
  MPI_Send(&notice, sizeof notice, MPI_BYTE, to, 0, watched.comm);
}

static void send_all(Notice notice) {
  for (int i = 1; i < watched.size; i++) send(i, notice);
}

static void hear(Notice notice);

static void say(Notice notice) {
  if (watched.rank == 0)
    hear(notice);
  else
    send(0, notice);
}

static void come(int work, int count) {
  watched.came = work;
  say((Notice){COME, work, count});
}

/* Somebody wants to stop this work, which may be over here, or still to come. */
static void heed(int work) {
  if (work > watched.work) {
    watched.early = work;
  } else if (work == watched.work && watched.stop) {
    watched.told = true;
    *watched.stop = 1;
  } else if (watched.came < work) {
    come(work, INT_MAX);
  }
}

static void want(int work) {
  if (work <= watched.wanted) return;
  watched.wanted = work;
  watched.arrived = watched.furthest = 0;
  send_all((Notice){WANTED, work, 0});
  heed(work);
}

static void gather_there(Notice notice) {
  if (notice.work != watched.wanted) return;
  if (notice.count > watched.furthest) watched.furthest = notice.count;
  if (++watched.arrived < watched.size) return;
  if (notice.work == watched.work) watched.last = watched.furthest;
  send_all((Notice){END, notice.work, watched.furthest});
}

static void hear(Notice notice) {
  if (notice.kind == COME)
    gather_there(notice);
  else if (notice.kind == END && notice.work == watched.work)
    watched.last = notice.count;
  else if (notice.kind == WANTED && watched.rank == 0)
    want(notice.work);
  else if (notice.kind == WANTED)
    heed(notice.work);
}

/* What others have said, and what there is to say. */
static void look(void) {
  for (int there = 1; there;) {
    Notice notice;
    MPI_Iprobe(MPI_ANY_SOURCE, 0, watched.comm, &there, MPI_STATUS_IGNORE);
    if (!there) break;
    MPI_Recv(&notice, sizeof notice, MPI_BYTE, MPI_ANY_SOURCE, 0, watched.comm, MPI_STATUS_IGNORE);
    hear(notice);
  }
  if (!watched.stop || !*watched.stop) return;
  if (!watched.told) {
    watched.told = true;
    say((Notice){WANTED, watched.work, 0});
  }
  if (watched.waits && watched.came < watched.work) come(watched.work, watched.count);
}

static void *listen(void *nothing) {
  for (bool over = false; !over;) {
    pthread_mutex_lock(&watched.lock);
    look();
    over = watched.over;
    pthread_mutex_unlock(&watched.lock);
    nanosleep(&PAUSE, NULL);
  }
  return nothing;
}

static void watch(volatile sig_atomic_t *stop) {
  pthread_mutex_lock(&watched.lock);
  if (stop) {
    watched.work++;
    watched.count = 0;
    watched.told = false;
    watched.last = -1;
  } else if (watched.told && watched.came < watched.work) {
    come(watched.work, INT_MAX);
  }
  watched.stop = stop;
  if (stop && watched.early == watched.work) heed(watched.work);
  pthread_mutex_unlock(&watched.lock);
}

/* `waits` for others, `shared` so many more things then. */
static void wait_there(bool waits, int shared) {
  pthread_mutex_lock(&watched.lock);
  watched.waits = waits;
  watched.count += shared;
  pthread_mutex_unlock(&watched.lock);
}

static bool halts(void) {
  if (!watched.listens) return true;
  wait_there(true, 0);
  bool here = false;
  for (bool known = false; !known;) {
    pthread_mutex_lock(&watched.lock);
    known = watched.last >= 0;
    here = watched.count >= watched.last;
    pthread_mutex_unlock(&watched.lock);
    if (!known) nanosleep(&MOMENT, NULL);
  }
  wait_there(false, 0);
  return here;
}

static void stop_listening(void) {
  if (watched.comm == MPI_COMM_NULL) return;
  pthread_mutex_lock(&watched.lock);
  watched.over = true;
  pthread_mutex_unlock(&watched.lock);
  if (watched.listens) pthread_join(watched.thread, NULL);
  watched.listens = false;
  MPI_Comm_free(&watched.comm);
}

/* All listen, or none. */
static void start_listening(const Crew *crew, bool able) {
  int all = able;
  watched.rank = crew->rank;
  watched.size = crew->size;
  MPI_Comm_dup(MPI_COMM_WORLD, &watched.comm);
  watched.listens = able && pthread_create(&watched.thread, NULL, listen, NULL) == 0;
  MPI_Allreduce(&(int){watched.listens}, &all, 1, MPI_INT, MPI_MIN, watched.comm);
  if (!all) stop_listening();
}

/* ---- what is shared ---- */

static void share(int from, void *data, size_t bytes) {
  const size_t most = (size_t)1 << 30; /* MPI counts in int */
  wait_there(true, 1);
  for (char *at = data; bytes > 0;) {
    size_t part = bytes < most ? bytes : most;
    MPI_Bcast(at, (int)part, MPI_BYTE, from, MPI_COMM_WORLD);
    at += part;
    bytes -= part;
  }
  wait_there(false, 0);
}

/* Who fails alone would let the others wait for ever. Those who fail alike come at about one time;
 * where they are slower than this, they lose no more than their own words about it. */
static bool gather(int *status, int *leader) {
  enum { PAUSES = 3000 };
  int rank, there = 0;
  MPI_Comm_rank(ends, &rank);
  int own[2] = {*status, rank == 0 ? *status : 0}, all[2];
  MPI_Request request;
  MPI_Iallreduce(own, all, 2, MPI_INT, MPI_MAX, ends, &request);
  for (int i = 0; (i < PAUSES || *status == 0) && !there; i++) {
    MPI_Test(&request, &there, MPI_STATUS_IGNORE);
    if (!there) nanosleep(&MOMENT, NULL);
  }
  if (!there) return false;
  *status = all[0];
  *leader = all[1];
  return true;
}

static void end(int status) { MPI_Abort(MPI_COMM_WORLD, status); }

static void leave(void) {
  stop_listening();
  MPI_Comm_free(&ends);
  MPI_Finalize();
}

/* Joins the others; false if there are none, or MPI does not start. */
bool crew_join(Crew *crew);
bool crew_join(Crew *crew) {
  int level;
  if (MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, &level) != MPI_SUCCESS) return false;
  *crew = (Crew){
      .share = share, .watch = watch, .halts = halts, .gather = gather, .end = end, .leave = leave};
  MPI_Comm_dup(MPI_COMM_WORLD, &ends);
  MPI_Comm machine;
  MPI_Comm_rank(MPI_COMM_WORLD, &crew->rank);
  MPI_Comm_size(MPI_COMM_WORLD, &crew->size);
  MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &machine);
  MPI_Comm_size(machine, &crew->neighbours);
  MPI_Comm_free(&machine);
  start_listening(crew, level == MPI_THREAD_MULTIPLE);
  return true;
}
