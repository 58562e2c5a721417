/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Whether memory stays flat: a prompt with ten thousand statements, an editor with a thousand
 * edits, a program with a thousand sessions. Growth is taken from the first tenth to the end, when
 * whatever is kept on purpose once is there. */
#include "cli/lsp.h"
#include "dmf.h"

#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STATEMENTS = 10000, EDITS = 1000, SESSIONS = 1000, TENTH = 10, FILES = 10 };

/* What the prompt keeps of a statement for :save, and for messages about it: its text and its name,
 * which with their structures are 180 bytes, and of a function, one in sixteen here, a tree of 1.6
 * kB. */
static const double KEPT_BYTES = 300;
/* What lists have grown by that double now and then. */
static const double ROOM_BYTES = 1 << 18;
/* What the allocator may need to come to rest. */
static const double RESTLESS_BYTES = 2e6;

static FILE *nowhere;
static int failed;

static double resident(pid_t process) {
  char path[64];
  double pages = 0;
  snprintf(path, sizeof path, "/proc/%ld/statm", (long)process);
  FILE *file = fopen(path, "r");
  if (!file || fscanf(file, "%*f %lf", &pages) != 1) failed++;
  if (file) fclose(file);
  return pages * (double)sysconf(_SC_PAGE_SIZE);
}

static void judge(const char *what, int count, double before, double after, double allowed) {
  double growth = after - before;
  bool flat = growth <= allowed;
  printf("%-34s %6.1f MB, %+7.2f MB (%+.0f bytes each)%s\n", what, after / 1e6, growth / 1e6,
         growth / (count - count / TENTH), flat ? "" : "  grows");
  fflush(stdout);
  failed += !flat;
}

static Dmf *open_session(bool interactive) {
  return dmf_open(&(DmfConfig){.results = nowhere,
                               .diagnostics = nowhere,
                               .quiet = true,
                               .threads = 1,
                               .interactive = interactive});
}

static void run(Dmf *dmf, const char *text) { dmf_run_text(dmf, "soak", text, strlen(text)); }

static const char problem[] =
    "dataset d { inputs = [[1, 1, 1, -1], [1, -1, 1, 1]]; targets = [1, -1] }\n"
    "model m { layers = input -> dense(tanh) -> readout; gamma = 2; width = 4 }\n"
    "training t { dataset = d; optimizer = gd(eta = 0.1); steps = 2 }\n";

/* Of each kind one: numbers, arrays, errors, functions, solvers, files, sweeps, questions. */
static void type(Dmf *dmf, int i) {
  static const char *const forms[] = {"x = %d",
                                      "print [x, %d]*2",
                                      "y = gaussian(20, 20, seed = %d)",
                                      "print nmae + %d",
                                      "function f(h) = h + %d",
                                      "r = dmft(m, t, samples = 64, seed = %d)",
                                      "n = simulate(m, t, ensemble = 2, seed = %d).loss",
                                      "print sum(y) + f(%d)",
                                      "save [1, %d] to \"soak.npy\"",
                                      "z = npy(\"soak.npy\") + %d",
                                      "s = sweep(k + %d, k = [1, 2, 3])",
                                      "print sum(inv(y + %d*eye(20)))",
                                      "plot [1, %d] to \"soak.txt\"",
                                      "for i in 1..3 { x = i + %d }",
                                      "print tanh(%d",
                                      "str(%d)"};
  char text[200];
  snprintf(text, sizeof text, forms[i % (int)(sizeof forms / sizeof *forms)], i % 1000);
  run(dmf, text);
  dmf_complete(dmf, text, strlen(text), 0);
}

/* Bytes that this process has allocated and not freed. */
static double allocated(void) {
  struct mallinfo2 now = mallinfo2();
  return (double)now.uordblks + (double)now.hblkhd;
}

static void soak_prompt(void) {
  double before = 0, held = 0;
  Dmf *dmf = open_session(true);
  run(dmf, problem);
  for (int i = 0; i < STATEMENTS; i++) {
    type(dmf, i);
    if (i == STATEMENTS / TENTH) before = resident(getpid()), held = allocated();
  }
  judge("prompt, 10000 statements", STATEMENTS, before, resident(getpid()),
        KEPT_BYTES * STATEMENTS + RESTLESS_BYTES);
  judge("  of which it has allocated", STATEMENTS, held, allocated(),
        KEPT_BYTES * STATEMENTS + ROOM_BYTES);
  dmf_close(dmf);
}

static void soak_sessions(void) {
  double before = 0;
  for (int i = 0; i < SESSIONS; i++) {
    Dmf *dmf = open_session(false);
    run(dmf, problem);
    run(dmf, "print dmft(m, t, samples = 64).loss\nprint nmae\n");
    dmf_close(dmf);
    if (i == SESSIONS / TENTH) before = resident(getpid());
  }
  judge("library, 1000 sessions", SESSIONS, before, resident(getpid()), RESTLESS_BYTES);
}

static void post(FILE *to, const char *body) {
  fprintf(to, "Content-Length: %zu\r\n\r\n%s", strlen(body), body);
  fflush(to);
}

/* Reads an answer and forgets it. */
static void await(FILE *from) {
  char line[256];
  long length = 0;
  while (fgets(line, sizeof line, from) && line[0] != '\r')
    if (strncmp(line, "Content-Length:", 15) == 0) length = strtol(line + 15, NULL, 10);
  while (length-- > 0 && fgetc(from) != EOF) continue;
}

/* An edit, the messages about it, and a completion in it. */
static void edit(FILE *to, FILE *from, int i) {
  char body[600];
  snprintf(body, sizeof body,
           "{\"method\": \"textDocument/didChange\", \"params\": {\"textDocument\": {\"uri\": "
           "\"file:///%d\"}, "
           "\"contentChanges\": [{\"text\": \"x = %d\\nmodel m { layers = input -> dense(tanh) -> "
           "readout }\\n"
           "print y%d, x\\n\"}]}}",
           i % FILES, i, i);
  post(to, body);
  await(from);
  snprintf(body, sizeof body,
           "{\"id\": %d, \"method\": \"textDocument/completion\", \"params\": {\"textDocument\": "
           "{\"uri\": \"file:///%d\"}, \"position\": {\"line\": 1, \"character\": %d}}}",
           i, i % FILES, i % 50);
  post(to, body);
  await(from);
}

static void serve(int in, int out) {
  dup2(in, STDIN_FILENO);
  dup2(out, STDOUT_FILENO);
  for (int fd = STDERR_FILENO + 1; fd < 16; fd++) close(fd);
  _exit(lsp_run());
}

static void soak_server(void) {
  int in[2], out[2];
  double before = 0;
  if (pipe(in) < 0 || pipe(out) < 0) exit(1);
  pid_t server = fork();
  if (server < 0) exit(1);
  if (server == 0) serve(in[0], out[1]);
  close(in[0]);
  close(out[1]);
  FILE *to = fdopen(in[1], "w"), *from = fdopen(out[0], "r");
  for (int i = 0; i < EDITS; i++) {
    edit(to, from, i);
    if (i == EDITS / TENTH) before = resident(server);
  }
  judge("language server, 1000 edits", EDITS, before, resident(server), RESTLESS_BYTES);
  fclose(to);
  fclose(from);
  waitpid(server, NULL, 0);
}

int main(void) {
  char directory[] = "/tmp/dmf-soak.XXXXXX";
  nowhere = fopen("/dev/null", "w");
  if (!nowhere || !mkdtemp(directory) || chdir(directory) != 0) return 1;
  signal(SIGPIPE, SIG_IGN);
  soak_server();
  soak_sessions();
  soak_prompt();
  unlink("soak.npy");
  unlink("soak.txt");
  if (chdir("/") == 0) rmdir(directory);
  printf("soak: %s\n", failed ? "memory grows" : "memory is flat");
  return failed > 0;
}
