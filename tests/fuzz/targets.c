/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "targets.h"
#include "base/memory.h"
#include "cli/lsp.h"
#include "cli/repl.h"
#include "file/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* The command, whose main is renamed for these programs. */
int dmf_main(int argc, char **argv);

/* A sanitizer that finds something must not end with a status of the manual. */
const char *__asan_default_options(void);
const char *__ubsan_default_options(void);
const char *__lsan_default_suppressions(void);
const char *__asan_default_options(void) {
  return "exitcode=99:allocator_may_return_null=1:detect_leaks=1";
}
const char *__ubsan_default_options(void) { return "exitcode=99:print_stacktrace=1"; }

/* libhdf5 forgets what it has read of a damaged file. */
const char *__lsan_default_suppressions(void) { return "leak:libhdf5"; }

static FILE *nowhere;

bool target_documented(int status) {
  return (status >= DMF_OK && status <= DMF_LIMIT) || status == DMF_INTERRUPTED;
}

static void demand(bool condition) {
  if (!condition) abort();
}

static Dmf *open_quietly(bool interactive) {
  return dmf_open(&(DmfConfig){.results = nowhere,
                               .diagnostics = nowhere,
                               .quiet = true,
                               .threads = 1,
                               .interactive = interactive});
}

/* A session for what leaves nothing in it: opening one takes longer than most inputs. */
static Dmf *shared_session(void) {
  enum { USES = 100 };
  static Dmf *dmf;
  static int uses;
  if (dmf && ++uses % USES) return dmf;
  dmf_close(dmf);
  return dmf = open_quietly(false);
}

/* The bytes as a text with a NUL behind. */
static char *text_of(const uint8_t *data, size_t size) {
  char *text = mem_new(size + 1, 1);
  if (size) memcpy(text, data, size);
  return text;
}

/* The layout of a text that parses does so again, and is its own layout. */
static void script(const uint8_t *data, size_t size) {
  char *text = text_of(data, size), *once = NULL, *twice = NULL;
  Dmf *dmf = shared_session();
  demand(target_documented(dmf_check_text(dmf, "script", text, size)));
  if (dmf_format_text(dmf, "script", text, size, &once) == DMF_OK) {
    demand(dmf_format_text(dmf, "layout", once, strlen(once), &twice) == DMF_OK);
    demand(strcmp(once, twice) == 0);
  }
  free(text);
  free(once);
  free(twice);
}

/* Every place of a text, before, inside and behind it. */
static void completion(const uint8_t *data, size_t size) {
  char *text = text_of(data, size);
  Dmf *dmf = shared_session();
  size_t step = strlen(text) / 16 + 1;
  for (size_t cursor = 0; cursor <= strlen(text) + step; cursor += step)
    for (int i = 0; dmf_complete(dmf, text, cursor, i); i++) continue;
  free(dmf_help(dmf, text));
  free(text);
}

/* Standard input holds the bytes, and standard output and error are lost. */
static void with_streams(const uint8_t *data, size_t size, void (*run)(void)) {
  FILE *streams[] = {stdin, stdout, stderr};
  char *text = text_of(data, size);
  stdin = fmemopen(text, size ? size : 1, "r");
  demand(stdin != NULL);
  stdout = stderr = nowhere;
  run();
  fclose(stdin);
  stdin = streams[0];
  stdout = streams[1];
  stderr = streams[2];
  free(text);
}

static void run_prompt(void) {
  Dmf *dmf = open_quietly(true);
  demand(target_documented(repl_run(dmf, NULL)));
  dmf_close(dmf);
}

static void run_server(void) { demand(target_documented(lsp_run())); }

static void prompt(const uint8_t *data, size_t size) { with_streams(data, size, run_prompt); }
static void server(const uint8_t *data, size_t size) { with_streams(data, size, run_server); }

/* Lines are the words of a command line. In a child, which the command may end. */
static void options(const uint8_t *data, size_t size) {
  enum { MOST = 32 };
  char *text = text_of(data, size), *rest = text, *words[MOST + 2] = {"dmf"};
  int count = 1, state = 0;
  while (count <= MOST && (words[count] = strsep(&rest, "\n"))) count++;
  words[count] = NULL;
  pid_t child = fork();
  demand(child >= 0);
  if (child == 0) {
    dup2(fileno(nowhere), STDOUT_FILENO);
    dup2(fileno(nowhere), STDERR_FILENO);
    _exit(dmf_main(count, words));
  }
  pid_t gone;
  while ((gone = waitpid(child, &state, 0)) < 0 && errno == EINTR)
    continue; /* the fuzzer's clock */
  demand(gone == child && WIFEXITED(state) && target_documented(WEXITSTATUS(state)));
  free(text);
}

static const char *spill(const uint8_t *data, size_t size, const char *path) {
  int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0666);
  demand(fd >= 0 && write(fd, data, size) == (ssize_t)size && close(fd) == 0);
  return path;
}

/* What a reader gave: an array, or a reason. */
static void judge(Status status, Array *array, char *why) {
  demand(status == STATUS_OK ? array && !why : !array && why && *why);
  array_drop(array);
  free(why);
}

static void csv(const uint8_t *data, size_t size) {
  Array *array = NULL;
  char *header = NULL, *why = NULL;
  Status status = file_read_csv(spill(data, size, "in.csv"), &array, &header, &why);
  judge(status, array, why);
  free(header);
  Result *result = NULL;
  why = NULL;
  status = file_read_field_csv(spill(data, size, "in.csv"), &result, &why);
  judge(status, result ? array_keep(result->fields[0].value) : NULL, why);
  result_drop(result);
}

static void read_with(const char *path, Status (*read)(const char *, Array **, char **)) {
  Array *array = NULL;
  char *why = NULL;
  Status status = read(path, &array, &why);
  judge(status, array, why);
}

static void npy(const uint8_t *data, size_t size) {
  read_with(spill(data, size, "in.npy"), file_read_npy);
}
static void idx(const uint8_t *data, size_t size) {
  read_with(spill(data, size, "in.idx"), file_read_idx);
}
static void cifar(const uint8_t *data, size_t size) {
  const char *path = spill(data, size, "in.bin");
  read_with(path, file_read_cifar10);
  read_with(path, file_read_cifar10_labels);
}
static void hdf5(const uint8_t *data, size_t size) {
  Array *array = NULL;
  char *why = NULL;
  Status status = file_read_hdf5(spill(data, size, "in.h5"), "/value", &array, &why);
  judge(status, array, why);
}

static void load(const uint8_t *data, size_t size) {
  static const char text[] =
      "r = load(\"load.h5\")\nprint r\nprint r.loss, r.f, r.stderr.loss\n"
      "print compare(r, r)\nsave r to \"out.csv\"\nplot r.loss to \"out.txt\"\n";
  spill(data, size, "load.h5");
  Dmf *dmf = open_quietly(false);
  demand(target_documented(dmf_run_text(dmf, "load", text, sizeof text - 1)));
  dmf_close(dmf);
}

const Target targets[] = {
    {"script", "a script, checked and laid out", script},
    {"program", "choices of a grammar, run statement by statement", target_program},
    {"system", "choices of a grammar of systems, data that grow and pictures", target_system},
    {"completion", "a text that is completed at every place", completion},
    {"prompt", "lines typed at the prompt", prompt},
    {"server", "messages of an editor", server},
    {"editor", "choices of a grammar of an editor's messages", target_editor},
    {"options", "words of the command line, a line each", options},
    {"csv", "a table", csv},
    {"npy", "a NumPy array", npy},
    {"idx", "a file in the format of MNIST", idx},
    {"cifar", "a batch of CIFAR-10", cifar},
    {"hdf5", "an HDF5 file", hdf5},
    {"load", "a saved result", load},
    {0},
};

const Target *target_find(const char *name) {
  const Target *target = targets;
  while (target->name && strcmp(target->name, name) != 0) target++;
  return target->name ? target : NULL;
}

static char directory[] = "/tmp/dmf-fuzz.XXXXXX";

static void clear_directory(void) {
  char command[64];
  snprintf(command, sizeof command, "rm -rf '%s'", directory);
  if (chdir("/") == 0) (void)!system(command);
}

/* Gives the scratch directory to nobody, with the standard library beside this program, which
 * nobody may not read where it lies; in a source that is read-only its copy could not be removed.
 */
static void take_library(uid_t nobody) {
  char own[PATH_MAX], command[2 * PATH_MAX];
  ssize_t length = readlink("/proc/self/exe", own, sizeof own - 1);
  demand(length > 0);
  own[length] = 0;
  *strrchr(own, '/') = 0;
  snprintf(command, sizeof command,
           "cp -RL '%s/std' '%s' && chown -R %d:%d '%s' && chmod -R u+w '%s'", own, directory,
           (int)nobody, (int)nobody, directory, directory);
  demand(system(command) == 0 && setenv("DMF_PATH", directory, 1) == 0);
}

/* What an input may write goes to a scratch directory, and nobody's rights do not reach far. */
static void retreat(void) {
  enum { NOBODY = 65534 };
  demand(mkdtemp(directory) && chdir(directory) == 0);
  atexit(clear_directory);
  setenv("HOME", directory, 1);
  setenv("XDG_STATE_HOME", directory, 1);
  if (geteuid() != 0) return;
  take_library(NOBODY);
  demand(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
}

void targets_prepare(void) {
  const struct rlimit files = {8 << 20, 8 << 20};
  retreat();
  setrlimit(RLIMIT_FSIZE, &files);
  signal(SIGXFSZ, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  setenv("DMF_GNUPLOT", "true", 1);
  setenv("OMP_NUM_THREADS", "1", 1);
  nowhere = fopen("/dev/null", "r+");
  demand(nowhere && dup2(fileno(nowhere), STDIN_FILENO) == STDIN_FILENO);
  dmf_limit_memory(1e9);
}
