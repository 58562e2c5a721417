/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/room.h"
#include "base/memory.h"

#include <malloc.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* The machine */

/* MemAvailable counts what the kernel could free; a plain "free pages" figure would refuse requests
 * on a machine whose memory merely caches files. */
static double left_on_machine(void) {
  double kilobytes = 0;
  FILE *info = fopen("/proc/meminfo", "r");
  if (info) {
    char line[128];
    while (fgets(line, sizeof line, info))
      if (sscanf(line, "MemAvailable: %lf kB", &kilobytes) == 1) break;
    fclose(info);
  }
  if (kilobytes > 0) return 1024 * kilobytes;
  return (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGE_SIZE);
}

/* The process */

/* What the process has, in bytes: addresses, resident memory, private data. */
typedef struct Usage {
  double addresses, resident, data;
} Usage;

static Usage usage_now(void) {
  Usage usage = {0};
  FILE *pages = fopen("/proc/self/statm", "r");
  if (!pages) return usage;
  if (fscanf(pages, "%lf %lf %*f %*f %*f %lf", &usage.addresses, &usage.resident, &usage.data) != 3)
    usage = (Usage){0};
  fclose(pages);
  double page = (double)sysconf(_SC_PAGE_SIZE);
  return (Usage){page * usage.addresses, page * usage.resident, page * usage.data};
}

static double left_of_limit(int resource, double used) {
  struct rlimit limit;
  bool bound = getrlimit((__rlimit_resource_t)resource, &limit) == 0;
  return bound && limit.rlim_cur != RLIM_INFINITY ? (double)limit.rlim_cur - used : INFINITY;
}

/* Control groups */

/* A version: its files, and where its hierarchy is mounted. */
typedef struct Version {
  const char *controller; /* in the line that names the group */
  const char *directory, *most, *used, *cached;
} Version;

static const Version versions[] = {
    {"", "", "memory.max", "memory.current", "inactive_file"},
    {"memory", "/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"},
};

/* The number in a file, or behind a name in it; INFINITY when there is none, such as "max". */
static double number_in(const char *directory, const char *file, const char *name) {
  char *path = mem_format("%s/%s", directory, file), line[256];
  FILE *stream = fopen(path, "r");
  size_t length = strlen(name);
  double number = INFINITY;
  free(path);
  while (stream && number == INFINITY && fgets(line, sizeof line, stream))
    if (strncmp(line, name, length) == 0 && (length == 0 || line[length] == ' '))
      sscanf(line + length, "%lf", &number);
  if (stream) fclose(stream);
  return number;
}

static double left_in_group(const Version *version, const char *directory) {
  double most = number_in(directory, version->most, ""),
         used = number_in(directory, version->used, ""),
         cached = number_in(directory, "memory.stat", version->cached);
  if (!isfinite(most) || !isfinite(used)) return INFINITY;
  return most - used + (isfinite(cached) ? cached : 0);
}

/* Of a group and all above it. */
static double left_in_groups(const Version *version, const char *mount, const char *group) {
  char *directory = mem_format("%s%s%s", mount, version->directory, group);
  size_t root = strlen(mount) + strlen(version->directory);
  double left = INFINITY;
  for (char *slash = directory; slash; slash = strrchr(directory + root, '/')) {
    if (slash != directory) *slash = 0;
    left = fmin(left, left_in_group(version, directory));
  }
  free(directory);
  return left;
}

static bool lists(const char *controllers, const char *wanted) {
  size_t length = strlen(wanted);
  for (const char *at = controllers;; at += strcspn(at, ",") + 1) {
    if (strncmp(at, wanted, length) == 0 && (at[length] == ',' || at[length] == 0)) return true;
    if (!strchr(at, ',')) return false;
  }
}

double room_in_groups(const char *membership, const char *mount) {
  FILE *stream = fopen(membership, "r");
  char *line = NULL;
  size_t room = 0;
  double left = INFINITY;
  while (stream && getline(&line, &room, stream) > 0) { /* NUMBER:CONTROLLERS:GROUP */
    line[strcspn(line, "\n")] = 0;
    char *rest = line, *number = strsep(&rest, ":"), *controllers = strsep(&rest, ":");
    for (size_t i = 0; number && controllers && rest && i < sizeof versions / sizeof *versions; i++)
      if (lists(controllers, versions[i].controller))
        left = fmin(left, left_in_groups(&versions[i], mount, rest));
  }
  free(line);
  if (stream) fclose(stream);
  return left;
}

/* All that there are, where a process of 32 bits has less than the machine. */
static const double ADDRESSES = (double)UINTPTR_MAX + 1;

Room room_now(double limit) {
  Usage usage = usage_now();
  double free_blocks = (double)mallinfo2().fordblks; /* freed, and kept for what comes next */
  const Room rooms[] = {
      {left_on_machine(), "on this machine"},
      {ADDRESSES - usage.addresses + free_blocks, "among the addresses"},
      {left_of_limit(RLIMIT_AS, usage.addresses - free_blocks), "under RLIMIT_AS"},
      {left_of_limit(RLIMIT_DATA, usage.data - free_blocks), "under RLIMIT_DATA"},
      {room_in_groups("/proc/self/cgroup", "/sys/fs/cgroup"), "in the control group"},
      {limit > 0 ? limit - usage.resident + free_blocks : INFINITY, "under --memory"},
  };
  Room least = rooms[0];
  for (size_t i = 1; i < sizeof rooms / sizeof *rooms; i++)
    if (rooms[i].bytes < least.bytes) least = rooms[i];
  least.bytes = fmax(least.bytes, 0);
  return least;
}
