/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sessions: what stays from one entry to the next, and that two of them do not meet. */
#include "dmf.h"
#include "check.h"

#include <stdlib.h>
#include <string.h>

typedef struct Bench {
  Dmf *dmf;
  char *results, *messages;
  size_t result_size, message_size;
  FILE *out, *err;
} Bench;

/* The streams point into the bench: it must not move. */
static void begin(Bench *b, bool interactive) {
  *b = (Bench){0};
  b->out = open_memstream(&b->results, &b->result_size);
  b->err = open_memstream(&b->messages, &b->message_size);
  DmfConfig config = {
      .results = b->out, .diagnostics = b->err, .quiet = true, .interactive = interactive};
  b->dmf = dmf_open(&config);
}

static void finish(Bench *b) {
  dmf_close(b->dmf);
  fclose(b->out);
  fclose(b->err);
  free(b->results);
  free(b->messages);
}

static int run(Bench *b, const char *text) {
  return dmf_run_text(b->dmf, "<input>", text, strlen(text));
}

static bool has_name(Bench *b, const char *name) {
  for (int i = 0; dmf_name(b->dmf, i); i++)
    if (strcmp(dmf_name(b->dmf, i), name) == 0) return true;
  return false;
}

static void entries(void) {
  Bench b;
  begin(&b, true);
  CHECK(run(&b, "x = 2") == DMF_OK);
  CHECK(run(&b, "x = [1,") == DMF_INCOMPLETE);
  CHECK(run(&b, "x = y + 1") == DMF_SCRIPT);
  CHECK(run(&b, "x = 5; assert x < 1") == DMF_ASSERT);
  CHECK(run(&b, "x") == DMF_OK);
  CHECK(strcmp(b.results, "= 5\n") == 0);
  CHECK(strstr(b.messages, "unknown name 'y'") != NULL);
  CHECK(has_name(&b, "x") && has_name(&b, "dmft") && has_name(&b, "gamma") && !has_name(&b, "y"));
  finish(&b);
}

/* Whatever can be typed has help, and whatever has help says something. */
static void help(void) {
  Bench b;
  begin(&b, true);
  for (int i = 0; dmf_name(b.dmf, i); i++) {
    char *text = dmf_help(b.dmf, dmf_name(b.dmf, i));
    CHECK(text && strstr(text, "\n    "));
    if (!text || !strstr(text, "\n    ")) fprintf(stderr, "no help: %s\n", dmf_name(b.dmf, i));
    free(text);
  }
  const DmfTopic *topic;
  for (int i = 0; (topic = dmf_topic(b.dmf, i)); i++) {
    CHECK(*topic->about && *topic->usage && *topic->group);
    if (!*topic->about) fprintf(stderr, "no meaning: %s\n", topic->name);
  }
  CHECK(!dmf_help(b.dmf, "nothing_of_this_name") && !dmf_help(b.dmf, ""));
  finish(&b);
}

static void apart(void) {
  Bench a, b;
  begin(&a, false);
  begin(&b, false);
  CHECK(run(&a, "x = 1") == DMF_OK);
  CHECK(run(&b, "print x") == DMF_SCRIPT);
  CHECK(run(&a, "function f(y) = x + y") == DMF_OK);
  CHECK(run(&a, "print f(1)") == DMF_OK);
  CHECK(strcmp(a.results, "f(1) = 2\n") == 0);
  CHECK(dmf_set(a.dmf, "nonsense") == DMF_USAGE);
  CHECK(dmf_set(a.dmf, "net.gamma=+") == DMF_USAGE);
  CHECK(dmf_run_file(a.dmf, "/nowhere/at/all.dmf") == DMF_FILE);
  finish(&a);
  finish(&b);
}

int main(void) {
  entries();
  help();
  apart();
  return check_done();
}
