/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How much memory there is room for: the least that any of those leaves who may refuse it. */
#ifndef DMF_BASE_ROOM_H
#define DMF_BASE_ROOM_H

typedef struct Room {
  double bytes;
  const char *where; /* as a message ends: "on this machine", "under RLIMIT_AS", ... */
} Room;

/* The least of what the machine has free, of what the limits of the process leave (RLIMIT_AS,
 * RLIMIT_DATA, see getrlimit(2)), of what its control groups leave, and of `limit`, if that is
 * positive, less what the process has. Never negative. */
Room room_now(double limit);

/* What the control groups leave, of both versions, from the group of the process to the root: the
 * text of `membership`, such as /proc/self/cgroup, names the groups, which lie under `mount`. What
 * the kernel could give back of cached files counts as left. INFINITY where nothing is limited. */
double room_in_groups(const char *membership, const char *mount);

#endif
