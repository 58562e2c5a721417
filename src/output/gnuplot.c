/* SPDX-License-Identifier: GPL-3.0-or-later */
/* gnuplot as a child process. Its three streams are files in memory rather than pipes: nothing can
 * block, and there is no SIGPIPE. */
#include "output/gnuplot.h"
#include "base/memory.h"
#include "base/work.h"
#include "file/io.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static const char *program(void) {
  const char *name = getenv("DMF_GNUPLOT");
  return name && *name ? name : "gnuplot";
}

/* Told to leave out ~/.gnuplot, where the user may have set another output; what else draws in its
 * place need not know this option. */
static bool is_gnuplot(void) {
  const char *slash = strrchr(program(), '/');
  return strncmp(slash ? slash + 1 : program(), "gnuplot", 7) == 0;
}

static bool write_all(int fd, const char *bytes, size_t length) {
  while (length > 0) {
    ssize_t n = write(fd, bytes, length);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes += n;
    length -= (size_t)n;
  }
  return lseek(fd, 0, SEEK_SET) == 0;
}

/* The whole of a memory file as text; NULL when there is no memory for it. */
static char *contents(int fd, size_t *size) {
  off_t end = lseek(fd, 0, SEEK_END);
  char *text = mem_try((size_t)(end > 0 ? end : 0) + 1, 1);
  size_t got = 0;
  while (text && (off_t)got < end) {
    ssize_t n = pread(fd, text + got, (size_t)end - got, (off_t)got);
    if (n <= 0) break;
    got += (size_t)n;
  }
  *size = got;
  return text;
}

/* Looks at it now and then, seldom once it takes long, and ends it when somebody wants out. Returns
 * 0 or an errno; *state is what waitpid says. */
static int await(pid_t child, int *state) {
  enum { FIRST = 100000, LONGEST = 10000000 };
  struct timespec pause = {0, FIRST};
  for (pid_t ended; (ended = waitpid(child, state, WNOHANG)) != child;) {
    if (ended < 0 && errno == ECHILD)
      return *state = 0; /* a host that waits for no child; what it drew is there */
    if (ended < 0 && errno != EINTR) return errno;
    if (work_stopped()) kill(child, SIGKILL);
    nanosleep(&pause, NULL);
    if (pause.tv_nsec < LONGEST) pause.tv_nsec *= 2;
  }
  return 0;
}

/* Returns 0 or an errno; *state is what waitpid says. */
static int spawn(const int streams[3], int *state) {
  posix_spawn_file_actions_t actions;
  char *const arguments[] = {(char *)program(), is_gnuplot() ? "--default-settings" : NULL, NULL};
  pid_t child;
  posix_spawn_file_actions_init(&actions);
  for (int i = 0; i < 3; i++) posix_spawn_file_actions_adddup2(&actions, streams[i], i);
  int failed = posix_spawnp(&child, program(), &actions, NULL, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  return failed ? failed : await(child, state);
}

/* gnuplot echoes the line and a caret before it comes to the point. */
static char *first_complaint(char *text) {
  for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
    line += strspn(line, " \t");
    if (*line && *line != '^' && strncmp(line, "gnuplot>", 8) != 0)
      return strncmp(line, "line ", 5) == 0 && strchr(line, ':') ? strchr(line, ':') + 2 : line;
  }
  return "it gave no reason";
}

static Status judge(int failed, int state, int complaints, bool *missing, char **why) {
  size_t size;
  *missing =
      failed == ENOENT || failed == EACCES || (WIFEXITED(state) && WEXITSTATUS(state) == 127);
  if (!failed && state != 0 && work_stopped()) return file_stop(why);
  if (*missing) {
    *why = mem_format("'%s' cannot be run; pictures need gnuplot (DMF_GNUPLOT names the program)",
                      program());
  } else if (failed) {
    *why = mem_format("gnuplot cannot be started: %s", strerror(failed));
  } else if (state != 0) {
    char *text = contents(complaints, &size);
    *why = mem_format("gnuplot: %s",
                      text ? first_complaint(text) : "not enough memory for its reason");
    free(text);
  } else {
    return STATUS_OK;
  }
  return STATUS_FILE;
}

Status gnuplot_run(const char *script, size_t length, char **output, size_t *size, bool *missing,
                   char **why) {
  int streams[3], state = 0, failed = 0;
  for (int i = 0; i < 3; i++)
    if ((streams[i] = memfd_create("dmf", MFD_CLOEXEC)) < 0) failed = errno;
  if (!failed && !write_all(streams[0], script, length)) failed = errno;
  if (!failed) failed = spawn(streams, &state);
  Status status = judge(failed, state, streams[2], missing, why);
  if (!status && !(*output = contents(streams[1], size))) {
    *why = mem_refusal(0);
    status = STATUS_LIMIT;
  }
  for (int i = 0; i < 3; i++)
    if (streams[i] >= 0) close(streams[i]);
  return status;
}
