/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What bounds memory: each bound just below and just above what is asked for. */
#include "base/memory.h"
#include "num/arrayops.h"

#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MB = 1000000 };
static const double SLACK =
    20.0 * MB; /* what the process may take meanwhile, buffers and the like */

static double pages(int field) {
  double value[6] = {0};
  FILE *file = fopen("/proc/self/statm", "r");
  if (file) {
    CHECK(fscanf(file, "%lf %lf %lf %lf %lf %lf", &value[0], &value[1], &value[2], &value[3],
                 &value[4], &value[5]) == 6);
    fclose(file);
  }
  return value[field] * (double)sysconf(_SC_PAGE_SIZE);
}

/* Whether an array of so many bytes is had, or refused with these words. */
static bool had(double bytes) {
  const char *why = NULL;
  Array *array = array_full(1, (size_t[]){(size_t)(bytes / sizeof(double))}, 0, &why);
  array_drop(array);
  return array != NULL;
}

static bool refused(double bytes, const char *where) {
  const char *why = NULL;
  Array *array = array_full(1, (size_t[]){(size_t)(bytes / sizeof(double))}, 0, &why);
  bool right = !array && array_failure() == STATUS_LIMIT && strstr(why, where);
  array_drop(array);
  return right;
}

static void test_limit(void) {
  mem_set_limit(pages(1) + 200.0 * MB);
  CHECK(fabs(mem_available() - 200.0 * MB) < SLACK);
  CHECK(strcmp(mem_left().where, "under --memory") == 0);
  CHECK(had(200.0 * MB - 2 * SLACK));
  CHECK(refused(200.0 * MB + 2 * SLACK, "free under --memory"));
  mem_set_limit(1);
  CHECK(mem_available() == 0 && had(1000) &&
        refused(2.0 * MB, "but 0 bytes are free under --memory"));
  mem_set_limit(0);
  CHECK(mem_available() > 0);
}

static void test_rlimit(int resource, int field, const char *where) {
  struct rlimit before, limit;
  CHECK(getrlimit((__rlimit_resource_t)resource, &before) == 0);
  limit = before;
  limit.rlim_cur = (rlim_t)(pages(field) + 200.0 * MB);
  CHECK(setrlimit((__rlimit_resource_t)resource, &limit) == 0);
  CHECK(fabs(mem_available() - 200.0 * MB) < SLACK);
  CHECK(strcmp(mem_left().where, where) == 0);
  CHECK(had(200.0 * MB - 2 * SLACK));
  CHECK(refused(200.0 * MB + 2 * SLACK, where));
  CHECK(setrlimit((__rlimit_resource_t)resource, &before) == 0);
}

static void put(const char *directory, const char *file, const char *text) {
  char path[300];
  snprintf(path, sizeof path, "%s/%s", directory, file);
  FILE *stream = fopen(path, "w");
  CHECK(stream && fputs(text, stream) >= 0 && fclose(stream) == 0);
}

static void make(const char *root, const char *directory, char path[200]) {
  snprintf(path, 200, "%s%s", root, directory);
  CHECK(mkdir(path, 0777) == 0);
}

static void test_groups(void) {
  char root[] = "/tmp/dmf-groups.XXXXXX", path[200], command[100], list[100];
  CHECK(mkdtemp(root) != NULL);
  snprintf(list, sizeof list, "%s/list", root);
  put(root, "list", "0::/a/b\n");
  CHECK(room_in_groups(list, root) == INFINITY);
  CHECK(room_in_groups("/nowhere", root) == INFINITY);
  make(root, "/a", path);
  put(path, "memory.max", "1000\n");
  put(path, "memory.current", "300\n");
  CHECK(room_in_groups(list, root) == 700);
  make(root, "/a/b", path);
  put(path, "memory.max", "max\n");
  put(path, "memory.current", "200\n");
  CHECK(room_in_groups(list, root) == 700);
  put(path, "memory.max", "500\n");
  CHECK(room_in_groups(list, root) == 300);
  put(path, "memory.stat", "anon 7\ninactive_file_x 1\ninactive_file 50\n");
  CHECK(room_in_groups(list, root) == 350);
  put(root, "memory.max", "1000\n");
  put(root, "memory.current", "1200\n");
  CHECK(room_in_groups(list, root) == -200);
  put(root, "list", "0::/elsewhere/../..\n");
  CHECK(room_in_groups(list, root) <= -200);
  make(root, "/memory", path);
  make(root, "/memory/c", path);
  put(root, "list", "12:cpu,cpuacct:/a\n4:memory:/c\n1:name=systemd:/x\n");
  put(path, "memory.limit_in_bytes", "9000\n");
  put(path, "memory.usage_in_bytes", "8000\n");
  put(path, "memory.stat", "cache 1\ntotal_inactive_file 500\n");
  CHECK(room_in_groups(list, root) == 1500);
  put(root, "list", "4:hugetlb,memory:/c/d\n");
  CHECK(room_in_groups(list, root) == 1500);
  put(root, "list", "4:memoryless:/c\n");
  CHECK(room_in_groups(list, root) == INFINITY);
  snprintf(command, sizeof command, "rm -r '%s'", root);
  CHECK(system(command) == 0);
}

/* A list that grows one by one keeps what it holds, also when it was cut between. */
static void test_more(void) {
  int *list = NULL, count = 0, kept = 0;
  for (int i = 0; i < 1000; i++) {
    if (i == 700) count = 33;
    list = mem_more(list, count, sizeof *list);
    list[count] = count;
    count++;
  }
  for (int i = 0; i < count; i++) kept += list[i] == i;
  CHECK(count == 333 && kept == 333);
  free(list);
}

int main(void) {
  test_more();
  test_limit();
  test_rlimit(RLIMIT_AS, 0, "under RLIMIT_AS");
  test_rlimit(RLIMIT_DATA, 5, "under RLIMIT_DATA");
  test_groups();
  return check_done();
}
