/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Gives every target its corpus, each input in a process of its own: replay [FILE...]. The
 * directory of a file has the name of its target. `replay --targets` lists them, `replay
 * --dictionary` what texts are made of, in the form of libFuzzer and AFL++. */
#undef main
#include "targets.h"
#include "../unit/check.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static uint8_t *read_whole(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  uint8_t *data = NULL;
  *size = 0;
  for (size_t got = 1; file && got; *size += got) {
    data = realloc(data, *size + 65536);
    got = data ? fread(data + *size, 1, 65536, file) : 0;
  }
  if (file) fclose(file);
  return data;
}

/* In the child: does not come back. */
static void give(const char *path) {
  char *copy = strdup(path), *slash = copy ? strrchr(copy, '/') : NULL;
  if (!slash) _exit(2);
  *slash = 0;
  const char *name = strrchr(copy, '/') ? strrchr(copy, '/') + 1 : copy;
  const Target *target = target_find(name);
  size_t size;
  uint8_t *data = read_whole(path, &size);
  if (!target || !data) _exit(2);
  targets_prepare();
  alarm(600); /* a hang: no machine needs so long */
  target->run(data, size);
  free(data);
  free(copy);
  exit(0);
}

static void replay(const char *path) {
  int state = 0;
  fflush(NULL);
  pid_t child = fork();
  if (child == 0) give(path);
  bool good = child > 0 && waitpid(child, &state, 0) == child && state == 0;
  if (!good) fprintf(stderr, "FAIL %s\n", path);
  CHECK(good);
}

static void put_word(const char *before, const char *word) {
  printf("\"%s", before);
  for (; *word; word++) printf(strchr("\"\\", *word) ? "\\%c" : "%c", *word);
  puts("\"");
}

/* The names of the language, the words that they take, and those of the command line. */
static int put_dictionary(void) {
  Dmf *dmf = dmf_open(&(DmfConfig){.quiet = true});
  const DmfTopic *topic;
  for (int i = 0; (topic = dmf_topic(dmf, i)); i++)
    put_word("", topic->kind == DMF_VALUE ? topic->usage : topic->name);
  dmf_close(dmf);
#define OPTION(id, letter, name, argument, help) put_word("--", name);
#define COMMAND(id, name, argument, help) put_word("", name);
#include "cli/options.def"
  return 0;
}

static int put_targets(void) {
  for (const Target *target = targets; target->name; target++) puts(target->name);
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "--targets") == 0) return put_targets();
  if (argc == 2 && strcmp(argv[1], "--dictionary") == 0) return put_dictionary();
  for (int i = 1; i < argc; i++) replay(argv[i]);
  if (argc > 1) return check_done();
  const char *source = getenv("srcdir");
  for (const Target *target = targets; target->name; target++) {
    char pattern[4096];
    glob_t found = {0};
    snprintf(pattern, sizeof pattern, "%s/tests/fuzz/corpus/%s/*", source ? source : ".",
             target->name);
    CHECK(glob(pattern, 0, NULL, &found) == 0); /* no target is without inputs */
    for (size_t i = 0; i < found.gl_pathc; i++) replay(found.gl_pathv[i]);
    globfree(&found);
  }
  return check_done();
}
