/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A program whose decimal sign is a comma gets, and may give, the same texts as any other. */
#include "dmf.h"
#include "check.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char directory[256];

static const char script[] =
    "dataset one { gram = [[1, 0.25], [0.25, 1]]; targets = [1.5, -0.5] }\n"
    "model net { layers = input -> dense(tanh) -> readout; gamma = 0.5 }\n"
    "training fit { dataset = one; optimizer = gd(eta = 0.25); steps = 3 }\n"
    "theory = dmft(net, fit, samples = 64, seed = 1)\n"
    "print theory.loss, 1.5, [0.5, 1.25], theory.ntk[0], str(0.1) + \" text\"\n"
    "print sweep(dmft(net, fit, samples = 64).loss[-1], net.gamma = [0.25, 0.75, 1.5])\n"
    "print sweep(dmft(net, fit).loss[-1] + (str(k - k + 0.5) == \"0.5\"), k = 1..40)\n"
    "function damped(x, a = 0.5) = a * x\n"
    "z = 1.5\n"
    "print leaky_relu(-1)\n"
    "save theory to \"r.h5\"\n"
    "save theory to \"r.json\"\n"
    "save theory to \"r.csv\"\n"
    "save [0.5, 1.25] to \"x.csv\"\n"
    "plot theory.loss, logy = true to \"p.txt\"\n"
    "plot theory.loss, theory.f, panel = \"k\", theory.ntk[0] to \"p.svg\"\n"
    "again = load(\"r.h5\")\n"
    "print again.G[1][0, 0, 0, 0] - theory.G[1][0, 0, 0, 0], csv(\"x.csv\")\n"
    "print equations(net, fit)\n"
    "print ir(net, fit)\n"
    "dmft(net, fit, tol = -0.5)\n";

/* Every function of a session that reads or writes a text, into the stream. */
static void work(FILE *out, bool json) {
  DmfConfig config = {.results = out,
                      .diagnostics = out,
                      .quiet = true,
                      .json = json,
                      .threads = 2,
                      .interactive = true,
                      .out = directory};
  Dmf *dmf = dmf_open(&config);
  CHECK(dmf_run_text(dmf, "<input>", script, sizeof script - 1) == DMF_SCRIPT);
  CHECK(dmf_set(dmf, "net.gamma=1.75") == DMF_OK && dmf_set(dmf, "net.gamma=0.5x") != DMF_OK);
  const char *good = strstr(script, "print equations");
  CHECK(dmf_run_text(dmf, "<input>", script, (size_t)(good - script)) == DMF_OK);
  DmfArray numbers;
  CHECK(dmf_get(dmf, "[1.5, again.gamma, -0.5 < 0.25]", &numbers) == DMF_OK);
  for (size_t i = 0; i < numbers.size; i++) fwrite(&numbers.data[i], sizeof(double), 1, out);
  dmf_array_free(&numbers);
  CHECK(dmf_get(dmf, "inv([[0.5, 0.5], [0.5, 0.5]])[0.5]", &numbers) != DMF_OK);
  CHECK(dmf_put(dmf, "y", 1, (size_t[]){2}, (double[]){0.5, 1.5}) == DMF_OK);
  CHECK(dmf_run_text(dmf, "<input>", "y", 1) == DMF_OK);
  CHECK(!dmf_unfinished(dmf, "1.5") && dmf_unfinished(dmf, "[1.5,"));
  char *texts[] = {dmf_who(dmf), dmf_help(dmf, "gamma"), dmf_help(dmf, "damped"), dmf_manual(dmf),
                   NULL};
  CHECK(dmf_format_text(dmf, "<input>", "x=0.5", 5, &texts[4]) == DMF_OK);
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    fprintf(out, "%s\n", texts[i] ? texts[i] : "");
    free(texts[i]);
  }
  for (int i = 0; dmf_topic(dmf, i); i++) fprintf(out, "%s\n", dmf_topic(dmf, i)->usage);
  char *path = NULL;
  CHECK(asprintf(&path, "%s/session.dmf", directory) > 0);
  CHECK(dmf_save_session(dmf, path) == DMF_SCRIPT); /* it lacks what was put */
  CHECK(dmf_check_file(dmf, path) == DMF_OK && dmf_format_file(dmf, path, DMF_FORMAT_PRINT) == 0);
  free(path);
  dmf_close(dmf);
}

static void add_file(FILE *out, const char *name) {
  char *path = NULL, block[4096];
  CHECK(asprintf(&path, "%s/%s", directory, name) > 0);
  FILE *file = fopen(path, "rb");
  CHECK(file != NULL);
  free(path);
  for (size_t got; file && (got = fread(block, 1, sizeof block, file));) fwrite(block, 1, got, out);
  if (file) fclose(file);
}

/* Lines that tell the time that a solver took are left out. */
static void without_seconds(char *text) {
  char *to = text;
  for (char *line = text, *next; *line; line = next) {
    next = strchr(line, '\n');
    next = next ? next + 1 : strchr(line, 0);
    bool timed = memmem(line, (size_t)(next - line), "seconds", 7) != NULL;
    if (!timed) to = (char *)memmove(to, line, (size_t)(next - line)) + (next - line);
  }
  *to = 0;
}

/* All that the work leaves, to be freed. */
static char *record(bool json) {
  static const char *const files[] = {"r.json", "r.csv", "x.csv", "p.txt", "p.svg", "session.dmf"};
  char *text = NULL;
  size_t length;
  FILE *out = open_memstream(&text, &length);
  work(out, json);
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) add_file(out, files[i]);
  fclose(out);
  for (size_t i = 0; i < length; i++)
    if (!text[i]) text[i] = '?'; /* numbers as bytes */
  without_seconds(text);
  return text;
}

/* The place where they differ is shown. */
static bool same(const char *a, const char *b) {
  size_t at = 0;
  while (a[at] && a[at] == b[at]) at++;
  size_t from = at < 60 ? 0 : at - 60;
  if (a[at] || b[at]) fprintf(stderr, "%.90s\n-- and --\n%.90s\n", a + from, b + from);
  return !a[at] && !b[at];
}

/* Makes the locale, which the machine need not have; false where that is not possible. */
static bool speak_german(void) {
  char *command = NULL;
  if (asprintf(&command, "localedef -i de_DE -f UTF-8 '%s/de_DE.UTF-8' >/dev/null 2>&1",
               directory) < 0)
    return false;
  int status = system(command);
  free(command);
  setenv("LOCPATH", directory, 1);
  return status == 0 && setlocale(LC_ALL, "de_DE.UTF-8") &&
         !strcmp(localeconv()->decimal_point, ",");
}

static void clean_up(void) {
  char *command = NULL;
  if (asprintf(&command, "rm -r '%s'", directory) > 0) CHECK(system(command) == 0);
  free(command);
}

int main(void) {
  const char *base = getenv("TMPDIR");
  snprintf(directory, sizeof directory, "%s/dmf-locale-XXXXXX", base ? base : "/tmp");
  if (!mkdtemp(directory)) return perror(directory), 1;
  char *plain[] = {record(false), record(true)};
  setenv("LC_ALL", "de_DE.UTF-8", 1); /* for gnuplot too */
  if (speak_german()) {
    char *german[] = {record(false), record(true)};
    CHECK(same(plain[0], german[0]));
    CHECK(same(plain[1], german[1]));
    CHECK(uselocale(NULL) == LC_GLOBAL_LOCALE && !strcmp(localeconv()->decimal_point, ","));
    free(german[0]);
    free(german[1]);
  } else {
    fprintf(stderr, "localedef cannot make de_DE.UTF-8 (package locales): left out\n");
  }
  free(plain[0]);
  free(plain[1]);
  clean_up();
  return check_done();
}
