/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Odd values in the place of every argument of every function, of every key of declarations, of
 * options of the command, and where statements take a value (limits.def): each ends with a
 * documented status, an error has one message at a place, what is solved with status 0 has no nan,
 * nothing crashes, and what takes long can be interrupted. Functions, their arguments and keys come
 * from the reference, so new ones are tried from then on.
 *
 * limits [--all] [PATTERN]: with --all every value in every place, as `make validate` does; else
 * some of them in each. A pattern of names chooses, and then what was run is shown with how it
 * ended. */
#undef main
#include "generate.h"

#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

int dmf_main(int argc, char **argv);

static const char preamble[] =
    "dataset d { inputs = [[1, 1, 1, -1], [1, -1, 1, 1]]; targets = [1, -1]; "
    "test_inputs = [[1, 1, 1, 1]]; test_targets = [1] }\n"
    "dataset dp { inputs = reshape(0..11, 2, 3, 2) / 4; targets = [1, -1] }\n"
    "dataset g { population D, P = 2; inputs = gaussian(points = P, dim = D); "
    "targets = inputs @ normal(D) }\n"
    "model m { layers = input -> dense(tanh) -> readout; gamma = 2; width = 4 }\n"
    "model mp { layers = input -> dense(tanh) -> readout; width = 4 }\n"
    "model mg { layers = input -> dense(linear) -> readout; proportion = 1 }\n"
    "training tr { dataset = d; optimizer = gd(eta = 0.1); steps = 2 }\n"
    "training tp { dataset = dp; optimizer = gd(eta = 0.1); steps = 2 }\n"
    "training tg { dataset = g; optimizer = gd(eta = 0.1); steps = 2 }\n"
    "system s { population n; matrix J : n -> n; state x = normal(n); "
    "step { observe o = dot(x, x); x = tanh(J @ x) } }\n"
    "th = dmft(m, tr, samples = 64)\nnoise = fluctuations(th, samples = 1024)\n"
    "kernels = propagate(m, depth = 12, samples = 200)\nfunction twice(x) = "
    "2 * x\n"
    "import \"std/systems.dmf\"\nimport \"std/observables.dmf\"\nimport \"std/propagation.dmf\"\n"
    "import \"std/design.dmf\"\n";

/* The last two are other things than numbers; the first few are tried everywhere. */
static const char *const values[] = {
    "nan",    "-1",    "1e300", "\"abc\"", "0",    "inf",   "[]",   "0.5", "1e9", "none",
    "[1, 2]", "twice", "-inf",  "1e-300",  "2^53", "[nan]", "true", "m",   "th",  "-1e300"};
/* What the command line has in their place. */
static const char *const words[] = {"nan", "-1",  "1e300",  "abc",  "0",    "inf", "",
                                    "0.5", "1e9", "[1, 2]", "0x10", "-inf", "."};

enum {
  VALUES = sizeof values / sizeof *values,
  WORDS = sizeof words / sizeof *words,
  TEXT = 2048,
  FEW = 7,      /* in each place a seventh of the values, unless all are asked for */
  PLAIN = 120,  /* seconds of a processor for what has no odd value */
  PATIENCE = 20 /* seconds of a processor between an interrupt and its end */
};

/* What the children of this program tell it, and what they do now. */
typedef struct Shared {
  long passed, failed, late;
  char now[TEXT];
} Shared;

static Shared *shared;
static bool all, shown;
static const char *pattern;
static Dmf *dmf;
static unsigned turn; /* of the values in a place */

/* ---- one statement ---- */

typedef struct Told {
  int errors, placed, line, column;
  bool twice;
  char first[TEXT];
} Told;

static Told told;

static void listen(void *sink, const DmfDiagnostic *diagnostic) {
  (void)sink;
  if (strcmp(diagnostic->severity, "error") != 0) return;
  bool again = told.errors && told.line == diagnostic->line && told.column == diagnostic->column;
  told.twice |= again && strcmp(told.first, diagnostic->message) == 0;
  if (!told.errors++) {
    snprintf(told.first, sizeof told.first, "%s", diagnostic->message);
    told.line = diagnostic->line;
    told.column = diagnostic->column;
  }
  told.placed +=
      diagnostic->file && diagnostic->line > 0 && diagnostic->column > 0 && *diagnostic->message;
}

static FILE *results;
static char *printed;
static size_t length;

static void on_time(int signal_number) {
  (void)signal_number;
  dmf_interrupt(dmf);
}

/* Interrupts by the processor time that a statement takes, until it ends; 0: no more. */
static void watch(double seconds) {
  long whole = (long)seconds, rest = (long)((seconds - (double)whole) * 1e6);
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  rlim_t end = (rlim_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec + whole + PATIENCE);
  setrlimit(RLIMIT_CPU, &(struct rlimit){end, RLIM_INFINITY});
  setitimer(ITIMER_PROF, &(struct itimerval){{0, seconds > 0 ? 100000 : 0}, {whole, rest}}, NULL);
}

static int nans(const char *text) {
  int count = 0;
  while ((text = strstr(text, "nan"))) count++, text++;
  return count;
}

/* What is wrong with how it ended, or NULL. */
static const char *wrong(int status, const char *text) {
  bool solved = strstr(text, "dmft(") || strstr(text, "simulate(");
  if (!target_documented(status)) return "the status is not documented";
  if (status > DMF_OK && status != DMF_INTERRUPTED && !told.errors) return "no message";
  if (told.twice) return "the same message twice";
  if (told.errors != told.placed) return "an error without a place";
  if (status == DMF_OK && told.errors) return "an error, and status 0";
  if (status == DMF_OK && solved && nans(text) && !strstr(text, "failed = "))
    return "nan is taken for a number";
  if (status == DMF_OK && solved && nans(printed) > nans(text))
    return "nan beyond labels, and status 0";
  return NULL;
}

/* A statement; one that is plain has no odd values and ends with status 0. */
static void run(const char *text, bool plain) {
  snprintf(shared->now, TEXT, "%s", text);
  told = (Told){0};
  rewind(results);
  struct timeval before, after;
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  before = used.ru_utime;
  watch(plain ? PLAIN : all ? 3 : 1);
  int status = dmf_run_text(dmf, "limits", text, strlen(text));
  watch(0);
  getrusage(RUSAGE_SELF, &used);
  after = used.ru_utime;
  fputc(0, results);
  fflush(results);
  const char *why = plain && status ? "it does not work without odd values" : wrong(status, text);
  shared->late += status == DMF_INTERRUPTED;
  if (why || shown) {
    double seconds =
        (double)(after.tv_sec - before.tv_sec) + 1e-6 * (double)(after.tv_usec - before.tv_usec);
    printf("%s%s\n  status %d, %d errors: %s\n  in %.2f s printed: %.300s\n", why ? "FAIL " : "",
           why ? why : "", status, told.errors, told.first, seconds, printed);
    printf("  %s\n", text);
  }
  ++*(why ? &shared->failed : &shared->passed);
}

/* ---- statements ---- */

typedef struct Site {
  const char *name, *text;
} Site;

static const Site sites[] = {
#define SITE(name, statements) {name, statements},
#include "limits.def"
};
static const Site groups[] = {
#define GROUP(title, statements) {title, statements},
#include "limits.def"
};
static const Site bases[] = {
#define BASE(argument, value) {argument, value},
#include "limits.def"
};
static const char *const places[] = {
#define PLACE(statements) statements,
#include "limits.def"
};

#define COUNT(list) (sizeof(list) / sizeof *(list))

static const char *find(const Site *list, size_t count, const char *name, size_t bytes) {
  for (size_t i = 0; i < count; i++)
    if (strlen(list[i].name) == bytes && memcmp(list[i].name, name, bytes) == 0)
      return list[i].text;
  return NULL;
}

/* The text with another one in the place of each sign. */
static void put_for(char out[TEXT], const char *text, char sign, const char *what) {
  FILE *file = fmemopen(out, TEXT, "w");
  for (; *text; text++)
    if (*text == sign)
      fputs(what, file);
    else
      fputc(*text, file);
  fclose(file);
  out[TEXT - 1] = 0;
}

static void try_places(const char *text) {
  char whole[TEXT];
  for (int i = 0; i < VALUES; i++) {
    if (!all && (turn + (unsigned)i) % FEW) continue;
    put_for(whole, text, '&', values[i]);
    run(whole, false);
  }
  turn++;
}

/* The end of an argument or of the list of them. */
static const char *argument_end(const char *at) {
  int depth = 0;
  for (; *at; at++) {
    if (*at == '"') {
      at = strchr(at + 1, '"');
      if (!at) abort();
    } else if (strchr("([{", *at))
      depth++;
    else if (strchr(")]}", *at) && depth-- == 0)
      return at;
    else if (*at == ',' && depth == 0)
      return at;
  }
  return at;
}

/* The arguments of the first call of a function, in which others are put: from behind its
 * parenthesis on. */
static const char *call_of(const char *text, const char *name) {
  size_t bytes = strlen(name);
  for (const char *at = text; (at = strstr(at, name)); at++) {
    bool begins = at == text || !strchr("abcdefghijklmnopqrstuvwxyz_.0123456789", at[-1]);
    if (begins && at[bytes] == '(') return at + bytes + 1;
  }
  return NULL;
}

/* Odd values for the sign in a call, which stands in a form. */
static void try_in(const char *form, const char *call) {
  char whole[TEXT];
  put_for(whole, form, '%', call);
  try_places(whole);
}

/* A call in the place of the sign in a form: as it is, then each argument that stands there, then
 * each that does not. */
static void try_call(const char *form, const char *text, const char *name, const Parameter *list,
                     size_t count) {
  char whole[TEXT];
  bool given[PARAMETERS] = {false};
  size_t place = 0;
  const char *at = call_of(text, name), *end = at;
  if (!at) abort();
  put_for(whole, form, '%', text);
  run(whole, true);
  while (*end != ')') {
    end = argument_end(at);
    const char *equals = memchr(at, '=', (size_t)(end - at));
    bool named = equals && equals[1] == ' ' && equals[-1] == ' ' &&
                 strspn(at, "abcdefghijklmnopqrstuvwxyz_0123456789") == (size_t)(equals - 1 - at);
    if (named) {
      for (size_t i = 0; i < count; i++)
        given[i] |= strncmp(at, list[i].name, list[i].length) == 0 && at[list[i].length] == ' ';
      at = equals + 2;
    } else if (place < count)
      given[place++] = true;
    if (at == end) break;
    snprintf(whole, sizeof whole, "%.*s&%s", (int)(at - text), text, end);
    try_in(form, whole);
    at = end + 1 + strspn(end + 1, " ");
  }
  const char *between = end[-1] == '(' ? "" : ", ";
  for (size_t i = 0; i < count; i++) {
    if (given[i] || !list[i].fallback) continue;
    snprintf(whole, sizeof whole, "%.*s%s%.*s = &%s", (int)(end - text), text, between,
             (int)list[i].length, list[i].name, end);
    try_in(form, whole);
  }
}

/* NAME(a, b) with all that must be given. */
static void put_call(char out[TEXT], const char *name, const Parameter *list, size_t count) {
  int used = snprintf(out, TEXT, "%s(", name);
  for (size_t i = 0; i < count && !list[i].fallback; i++) {
    const char *base = find(bases, COUNT(bases), list[i].name, list[i].length);
    used += snprintf(out + used, TEXT - (size_t)used, "%s%s", i ? ", " : "", base ? base : "x");
  }
  snprintf(out + used, TEXT - (size_t)used, ")");
}

static void try_function(const DmfTopic *topic) {
  Parameter list[PARAMETERS];
  char call[TEXT];
  size_t count = parameters_of(topic->usage, list), found = 0;
  for (size_t i = 0; i < COUNT(sites); i++)
    if (strcmp(sites[i].name, topic->name) == 0) {
      try_call("%", sites[i].text, topic->name, list, count);
      found++;
    }
  const char *form = find(groups, COUNT(groups), topic->group, strlen(topic->group));
  put_call(call, topic->name, list, count);
  if (!found && form)
    try_call(form, call, topic->name, list, count);
  else if (!found && topic->example && call_of(topic->example, topic->name))
    try_call("%", topic->example, topic->name, list, count);
  else if (!found && count && strcmp(topic->group, "std/losses.dmf") != 0) {
    printf("FAIL %s has neither an example nor a row in limits.def\n", topic->usage);
    shared->failed++;
  }
}

static void try_key(const DmfTopic *topic) {
  static const Site forms[] = {
      {"Keys of a dataset",
       "print dmft(m, tr with { dataset = d with { % = & } }, samples = 32).loss[-1]"},
      {"Keys of a model", "print dmft(m with { % = & }, tr, samples = 32).loss[-1], simulate(m "
                          "with { % = & }, tr, ensemble = 2).loss[-1]"},
      {"Keys of a training", "print dmft(m, tr with { % = & }, samples = 32).loss[-1], simulate(m, "
                             "tr with { % = & }, ensemble = 2).loss[-1]"},
  };
  char text[TEXT];
  const char *form = find(forms, COUNT(forms), topic->group, strlen(topic->group));
  if (!form) abort();
  put_for(text, form, '%', topic->name);
  try_places(text);
}

/* ---- the command ---- */

static void command(const char *option, const char *value) {
  char *arguments[] = {(char *)"dmf",    (char *)option,  (char *)value,
                       (char *)"--eval", (char *)"x = 1", NULL};
  snprintf(shared->now, TEXT, "dmf %s '%s' --eval 'x = 1'", option, value);
  fflush(NULL);
  pid_t child = fork();
  if (child == 0) {
    if (!freopen("out", "w", stdout) || !freopen("err", "w", stderr)) _exit(99);
    alarm(60);
    int status = dmf_main(5, arguments);
    fflush(NULL);
    _exit(status);
  }
  int state = 0;
  waitpid(child, &state, 0);
  char said[TEXT] = "";
  FILE *file = fopen("err", "r");
  size_t bytes = file ? fread(said, 1, sizeof said - 1, file) : 0;
  if (file) fclose(file);
  int status = WIFEXITED(state) ? WEXITSTATUS(state) : -1;
  bool good = target_documented(status) && (status == DMF_OK || bytes);
  if (!good || shown)
    printf("%s%s\n  status %d: %s\n", good ? "" : "FAIL ", shared->now, status, said);
  ++*(good ? &shared->passed : &shared->failed);
}

static void try_options(void) {
#define OPTION(id, letter, name, argument, help) {"--" name, argument},
  static const Site options[] = {
#include "cli/options.def"
  };
  for (size_t i = 0; i < COUNT(options); i++)
    for (size_t k = 0; options[i].text && k < WORDS; k++) command(options[i].name, words[k]);
}

/* ---- all of it, each name in a process of its own ---- */

static bool asked(const char *name) { return !pattern || strstr(name, pattern); }

/* Begins a child, and in the parent waits for its end: whether this is the child. */
static bool apart(void) {
  fflush(NULL);
  pid_t child = fork();
  if (child == 0) return true;
  int state = 0;
  if (child > 0) waitpid(child, &state, 0);
  if (child < 0 || state != 0) {
    printf("FAIL %s %d\n  %s\n", WIFSIGNALED(state) ? "ended by signal" : "ended with",
           WIFSIGNALED(state) ? WTERMSIG(state) : WEXITSTATUS(state), shared->now);
    shared->failed++;
  }
  return false;
}

static void leave(void) {
  fflush(NULL);
  _exit(0);
}

static void try_topics(void) {
  const DmfTopic *topic;
  for (int i = 0; (topic = dmf_topic(dmf, i)); i++) {
    turn++;
    if (!asked(topic->name) || (topic->kind != DMF_FUNCTION && topic->kind != DMF_KEY)) continue;
    if (!apart()) continue;
    (topic->kind == DMF_KEY ? try_key : try_function)(topic);
    leave();
  }
}

/* Those that examples read. */
static void write_files(void) {
  static const char one[] = {0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 7}, image[3073] = {0};
  FILE *file = fopen("images-idx3-ubyte", "wb");
  if (!file || !fwrite(one, sizeof one, 1, file) || fclose(file)) abort();
  file = fopen("data_batch_1.bin", "wb");
  if (!file || !fwrite(image, sizeof image, 1, file) || fclose(file)) abort();
}

static void open_session(void) {
  write_files();
  results = open_memstream(&printed, &length);
  dmf = dmf_open(&(DmfConfig){
      .results = results, .diagnose = listen, .quiet = true, .interactive = true, .threads = 1});
  if (dmf_run_text(dmf, "examples", dmf_examples_begin(), strlen(dmf_examples_begin())) != DMF_OK ||
      dmf_run_text(dmf, "preamble", preamble, strlen(preamble)) != DMF_OK) {
    printf("FAIL the preamble: %s\n", told.first);
    exit(1);
  }
  signal(SIGPROF, on_time);
}

int main(int argc, char **argv) {
  all = argc > 1 && strcmp(argv[1], "--all") == 0;
  pattern = argc > 1 + all ? argv[1 + all] : NULL;
  shown = pattern != NULL;
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  targets_prepare();
  open_session();
  malloc_trim(0); /* children copy what it maps */
  try_topics();
  for (size_t i = 0; i < COUNT(places); i++) {
    turn++;
    if (!asked(places[i]) || !apart()) continue;
    try_places(places[i]);
    leave();
  }
  if (asked("options")) try_options();
  printf("limits of values: %ld passed, %ld failed\n", shared->passed, shared->failed);
  if (shown) printf("%ld interrupted\n", shared->late);
  return shared->failed != 0;
}
