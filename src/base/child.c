/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/child.h"
#include "base/work.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
static bool sleeps(const char *thread) {
  char path[64], state = 'R';
  snprintf(path, sizeof path, "/proc/self/task/%.32s/stat", thread);
  FILE *about = fopen(path, "re");
  if (!about) return true;
  if (fscanf(about, "%*d (%*[^)]) %c", &state) != 1) state = 'R';
  fclose(about);
  return state == 'S';
}

bool child_possible(void) {
  bool alone = true;
  DIR *all = opendir("/proc/self/task");
  for (const struct dirent *one; all && alone && (one = readdir(all));)
    alone = one->d_name[0] == '.' || atoi(one->d_name) == gettid() || sleeps(one->d_name);
  if (all) closedir(all);
  return alone;
}
#else
bool child_possible(void) { return true; }
#endif

/* One thread at a time: the writing end of a pipe must not get into the children of others, where
 * it would hide that its own child has died. */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

pid_t child_begin(void (*run)(void *context, int to), void *context, int *from) {
  int ends[2] = {-1, -1};
  pid_t child = -1;
  pthread_mutex_lock(&turn);
  if (pipe2(ends, O_CLOEXEC) == 0) {
    child = fork();
    if (child == 0) {
      close(ends[0]); /* or it would wait for ever for a parent that reads no more */
      run(context, ends[1]);
      child_quit(0);
    }
    int reason = errno;
    close(ends[1]);
    if (child < 0) close(ends[0]);
    errno = reason;
  }
  pthread_mutex_unlock(&turn);
  *from = ends[0];
  return child;
}

int child_end(pid_t child, int from, bool stop) {
  int end = SIGABRT;
  close(from);
  if (stop) kill(child, SIGTERM);
  while (waitpid(child, &end, 0) < 0 && errno == EINTR) continue;
  return end;
}

void child_bound(int resource, double amount) {
  struct rlimit limit;
  if (getrlimit(resource, &limit) < 0 || amount >= (double)limit.rlim_cur) return;
  limit.rlim_cur = (rlim_t)amount;
  setrlimit(resource, &limit);
}

void child_settle(void) {
  static const int fatal[] = {SIGSEGV, SIGBUS,  SIGABRT, SIGFPE, SIGILL,
                              SIGTERM, SIGXCPU, SIGPIPE, SIGINT};
  for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++) signal(fatal[i], SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  int nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (nothing >= 0) dup2(nothing, STDERR_FILENO);
  child_bound(RLIMIT_CORE, 0);
}

/* What it has counted is its own, in a build that counts the lines that run. */
void child_quit(int status) {
#ifdef COUNTS_LINES
  extern void __gcov_dump(void);
  __gcov_dump();
#endif
  _exit(status);
}

void child_put(int to, const void *bytes, size_t length) {
  for (const char *at = bytes; length > 0;) {
    ssize_t n = write(to, at, length);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) child_quit(EXIT_FAILURE);
    at += n;
    length -= (size_t)n;
  }
}

/* Waits until something comes, or the end; false when somebody wants out, who may be another
 * thread, of which this one hears nothing. */
static bool await(int from) {
  enum { MILLISECONDS = 50 };
  struct pollfd end = {.fd = from, .events = POLLIN};
  while (!work_stopped())
    if (poll(&end, 1, MILLISECONDS) > 0) return true;
  return false;
}

bool child_take(int from, void *bytes, size_t length) {
  for (char *at = bytes; length > 0;) {
    if (!await(from)) return false;
    ssize_t n = read(from, at, length);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    at += n;
    length -= (size_t)n;
  }
  return true;
}
