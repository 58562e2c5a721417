/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A host of sessions, for faults.sh: what cannot have its memory gives the status of a limit and
 * says so, and is done again, in the same session as in a new one, with the same numbers to the
 * bit. The host itself allocates nothing, and ends with 99 where something of this does not hold.
 */
#include "dmf.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ATTEMPTS = 12, ROOM = 1 << 16, WRONG = 99 };

/* What was seen in an attempt: numbers as they are printed, and texts. */
typedef struct Seen {
  char text[ROOM];
  size_t length;
} Seen;

static Seen seen, first;
static bool said; /* something was said of memory */

static void wrong(const char *what) {
  fprintf(stderr, "host: %s\n", what);
  _exit(WRONG);
}

static void keep(void *sink, const char *text, size_t length) {
  (void)sink;
  if (length > ROOM - seen.length) wrong("too much is printed");
  memcpy(seen.text + seen.length, text, length);
  seen.length += length;
}

static void hear(void *sink, const DmfDiagnostic *diagnostic) {
  (void)sink;
  if (strstr(diagnostic->message, "out of memory")) said = true;
  fputs(diagnostic->text, stderr);
}

static void keep_array(const DmfArray *array) {
  keep(NULL, (const char *)array->shape, (size_t)array->rank * sizeof *array->shape);
  keep(NULL, (const char *)array->data, array->size * sizeof *array->data);
}

/* A text to be freed; NULL: it could not be had. */
static bool keep_text(char *text) {
  if (text) keep(NULL, text, strlen(text));
  free(text);
  return text != NULL;
}

static int get(Dmf *dmf, const char *expression) {
  DmfArray array;
  int status = dmf_get(dmf, expression, &array);
  if (status == DMF_OK) keep_array(&array);
  if (status != DMF_OK && array.data) wrong("an array in spite of an error");
  dmf_array_free(&array);
  return status;
}

/* A result by all that can be asked of it. */
static int look(Dmf *dmf) {
  DmfValue value, loss;
  int status = dmf_value(dmf, "theory", NULL, &value);
  if (status != DMF_OK) return status;
  status = dmf_value(dmf, "it.loss", &value, &loss);
  if (status == DMF_OK) {
    keep_array(&loss.numbers);
    keep_array(&loss.error);
    status = dmf_put_value(dmf, "curve", &loss);
  }
  if (status == DMF_OK) {
    bool whole = keep_text(dmf_value_text(dmf, &loss, 80));
    whole = keep_text(dmf_value_html(dmf, &value)) && whole;
    if (!whole) status = DMF_LIMIT, said = true;
    for (int i = 0; dmf_value_field(dmf, &value, i); i++)
      keep(NULL, dmf_value_field(dmf, &value, i), 1);
  }
  if (status == DMF_OK) status = dmf_value_draw(dmf, &loss, "loss", "curve.txt");
  dmf_value_free(&loss);
  dmf_value_free(&value);
  return status;
}

/* What editors and notebooks ask. */
static int ask(Dmf *dmf) {
  const char text[] = "print theory.lo";
  for (int i = 0; dmf_complete(dmf, text, sizeof text - 1, i); i++)
    keep_text(strdup(dmf_complete(dmf, text, sizeof text - 1, i)));
  return keep_text(dmf_help(dmf, "gamma")) && keep_text(dmf_who(dmf)) ? DMF_OK : DMF_LIMIT;
}

static int put(Dmf *dmf) {
  static const double points[] = {1, 1, 1, -1, 1, -1, 1, 1};
  return dmf_put(dmf, "points", 2, (size_t[]){2, 4}, points);
}

static int set(Dmf *dmf) { return dmf_set(dmf, "net.gamma=1.5"); }

static int numbers(Dmf *dmf) { return get(dmf, "theory.stderr.loss"); }

static int more(Dmf *dmf) {
  return get(dmf, "[mean(nets.f[-1]), sum(scan), max(again.loss - theory.loss)]");
}

static const char *line; /* of the script, up to its end */

static int run_line(Dmf *dmf) { return dmf_run_text(dmf, "host", line, strcspn(line, "\n")); }

/* Until it is done. */
static void attempt(Dmf *dmf, int (*step)(Dmf *dmf)) {
  size_t before = seen.length;
  for (int i = 0; i < ATTEMPTS; i++) {
    seen.length = before;
    said = false;
    int status = step(dmf);
    if (status == DMF_OK) return;
    if (status != DMF_LIMIT) wrong("a status that is not of memory");
    if (!said) wrong("a limit that nothing was said of");
  }
  wrong("the session does not recover");
}

static void work(Dmf *dmf, const char *script) {
  seen.length = 0;
  attempt(dmf, put);
  attempt(dmf, set);
  for (line = script; *line; line += strcspn(line, "\n") + 1) attempt(dmf, run_line);
  attempt(dmf, numbers);
  attempt(dmf, more);
  attempt(dmf, look);
  attempt(dmf, ask);
}

static Dmf *open_session(void) {
  const DmfConfig config = {
      .print = keep, .diagnose = hear, .quiet = true, .interactive = true, .threads = 1};
  for (int i = 0; i < ATTEMPTS; i++) {
    Dmf *dmf = dmf_open(&config);
    if (dmf) return dmf;
  }
  wrong("no session");
  return NULL;
}

static void read_script(char *script, size_t room) {
  int file = open("host.dmf", O_RDONLY);
  ssize_t length = file < 0 ? -1 : read(file, script, room);
  if (length <= 0 || (size_t)length == room) wrong("host.dmf is not read");
  close(file);
}

int main(void) {
  static char out[1024], err[ROOM], script[ROOM];
  read_script(script, ROOM);
  setvbuf(stdout, out, _IOFBF, sizeof out);
  setvbuf(stderr, err, _IOLBF, sizeof err);
  for (int session = 0; session < 2; session++) {
    Dmf *dmf = open_session();
    work(dmf, script);
    dmf_close(dmf);
    if (session == 0) first = seen;
  }
  if (first.length != seen.length || memcmp(first.text, seen.text, seen.length) != 0)
    wrong("a new session has other numbers");
  unsigned sum = 0;
  for (size_t i = 0; i < seen.length; i++) sum = 31 * sum + (unsigned char)seen.text[i];
  printf("%zu bytes, %08x\n", seen.length, sum);
  return fflush(stdout) == 0 ? 0 : WRONG;
}
