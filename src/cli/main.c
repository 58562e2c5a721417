/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command: options, what to run, and the exit status. */
#include "cli/claim.h"
#include "cli/json.h"
#include "cli/lsp.h"
#include "cli/progress.h"
#include "cli/repl.h"
#include "cli/signals.h"
#include "dmf.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <limits.h>
#include <malloc.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

typedef enum Option {
#define OPTION(id, letter, name, argument, help) OPTION_##id,
#include "cli/options.def"
  OPTION_COUNT
} Option;

typedef enum Command {
  COMMAND_RUN,
#define COMMAND(id, name, argument, help) COMMAND_##id,
#include "cli/options.def"
  COMMAND_COUNT
} Command;

static const struct {
  char letter;
  const char *name, *argument, *help;
} option_table[] = {
#define OPTION(id, letter, name, argument, help) {letter, name, argument, help},
#include "cli/options.def"
};

static const struct {
  const char *name, *argument, *help;
} command_table[] = {
    {"", "[FILE]", NULL}, /* no command: run */
#define COMMAND(id, name, argument, help) {name, argument, help},
#include "cli/options.def"
};

/* What the command line asked for. */
typedef struct Request {
  DmfConfig config;
  Progress progress;
  int voice; /* of a process that does not lead: standard error as it was */
  Command command;
  char **words; /* after the command: files, or the name to explain */
  int word_count;
  char *code;      /* all -e texts, a line each; or NULL */
  char **settings; /* into argv */
  int setting_count;
  double memory; /* bytes that it is bounded to; 0: not */
  bool help, version, latex;
  bool check, rewrite;   /* of fmt; rewrite is its -i */
  const char *reference; /* what --reference asks for; or NULL */
} Request;

/* A usage error: its message ends with where help is. */
static int usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int usage_error(const char *format, ...) {
  va_list args;
  va_start(args, format);
  fputs("dmf: ", stderr);
  vfprintf(stderr, format, args);
  fputs("\nTry 'dmf --help'.\n", stderr);
  va_end(args);
  return DMF_USAGE;
}

static void print_help(FILE *stream) {
  fputs(
      "Usage: dmf [OPTION]... [FILE]\n"
      "       dmf COMMAND [OPTION]... ARGUMENT\n\n"
      "Runs a dmf script: mean-field theory of neural networks, and networks to hold it against.\n"
      "Without FILE, reads standard input; on a terminal, statement by statement.\n\nCommands:\n",
      stream);
  for (int i = COMMAND_RUN + 1; i < COMMAND_COUNT; i++)
    fprintf(stream, "  %-9s %-16s %s\n", command_table[i].name, command_table[i].argument,
            command_table[i].help);
  fputs("\nOptions:\n", stream);
  for (int i = 0; i < OPTION_COUNT; i++) {
    char left[64], letter[] = {'-', option_table[i].letter, ',', 0};
    snprintf(left, sizeof left, "%3s --%s%s%s", option_table[i].letter ? letter : "",
             option_table[i].name, option_table[i].argument ? " " : "",
             option_table[i].argument ? option_table[i].argument : "");
    fprintf(stream, "  %-26s %s\n", left, option_table[i].help);
  }
  fputs("\nExit status: 0 done, 1 error in the script, 2 wrong usage, 3 numerics failed,\n"
        "4 assertion failed, 5 file error, 6 limit refused, 130 interrupted.\n\n"
        "  dmf script.dmf --set net.gamma=2     dmf -e 'print sqrt(2)'     man dmf-language\n",
        stream);
}

/* ---- reading the command line ---- */

static bool read_number(const char *text, unsigned long long most, unsigned long long *number) {
  char *end;
  errno = 0;
  *number = strtoull(text, &end, 10);
  return text[0] >= '0' && text[0] <= '9' && !*end && !errno && *number <= most;
}

/* A number of bytes, in thousands, millions, ... with a letter behind it. */
static bool read_size(const char *text, double *bytes) {
  static const char units[] = "kMGT";
  char *end;
  *bytes = strtod(text, &end);
  const char *unit = *end ? strchr(units, *end) : NULL;
  if (unit) end++;
  for (const char *each = units; unit && each <= unit; each++) *bytes *= 1000;
  return text[0] >= '0' && text[0] <= '9' && !strpbrk(text, "xX") && !*end && *bytes >= 1 &&
         isfinite(*bytes);
}

static void add_code(Request *request, const char *code) {
  char *joined;
  if (asprintf(&joined, "%s%s\n", request->code ? request->code : "", code) < 0) abort();
  free(request->code);
  request->code = joined;
}

static bool use_color(void) {
  const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
  return isatty(STDERR_FILENO) && !(no_color && *no_color) && term && strcmp(term, "dumb");
}

static int set_color(DmfConfig *config, const char *when) {
  if (!strcmp(when, "always"))
    config->color = true;
  else if (!strcmp(when, "never"))
    config->color = false;
  else if (!strcmp(when, "auto"))
    config->color = use_color();
  else
    return usage_error("--color is auto, always or never, not '%s'", when);
  return DMF_OK;
}

static int set_progress(Request *request, const char *how) {
  request->progress.lines = !strcmp(how, "lines");
  request->config.quiet = !strcmp(how, "none");
  return request->progress.lines || request->config.quiet || !strcmp(how, "auto")
             ? DMF_OK
             : usage_error("--progress is auto, lines or none, not '%s'", how);
}

static int set_memory(Request *request, const char *size) {
  if (!read_size(size, &request->memory))
    return usage_error("--memory is a number of bytes, such as 500M or 4G, not '%s'", size);
  dmf_limit_memory(request->memory);
  return DMF_OK;
}

static int set_option(Request *request, Option option, char *argument) {
  DmfConfig *config = &request->config;
  unsigned long long number;
  switch (option) {
  case OPTION_EVAL: add_code(request, argument); break;
  case OPTION_INTERACTIVE: config->interactive = true; break;
  case OPTION_SET: request->settings[request->setting_count++] = argument; break;
  case OPTION_SEED:
    if (!read_number(argument, 1ULL << 53, &config->seed))
      return usage_error("--seed is a whole number from 0 to 2^53, not '%s'", argument);
    config->has_seed = true;
    break;
  case OPTION_THREADS:
    if (!read_number(argument, 4096, &number) || !number)
      return usage_error("--threads is a number from 1 to 4096, not '%s'", argument);
    config->threads = (int)number;
    break;
  case OPTION_MEMORY: return set_memory(request, argument);
  case OPTION_OUT:
    if (!*argument) return usage_error("--out needs the name of a directory");
    config->out = argument;
    break;
  case OPTION_PARTIAL: config->partial = true; break;
  case OPTION_JSON: config->json = true; break;
  case OPTION_CHECK: request->check = true; break;
  case OPTION_LATEX: request->latex = true; break;
  case OPTION_QUIET: config->quiet = true; break;
  case OPTION_PROGRESS: return set_progress(request, argument);
  case OPTION_COLOR: return set_color(config, argument);
  case OPTION_REFERENCE:
    if (strcmp(argument, "man") && strcmp(argument, "words") && strcmp(argument, "keys"))
      return usage_error("--reference is man, words or keys, not '%s'", argument);
    request->reference = argument;
    break;
  case OPTION_HELP: request->help = true; break;
  case OPTION_VERSION: request->version = true; break;
  case OPTION_COUNT: break;
  }
  return DMF_OK;
}

static int unknown_option(const char *word) {
  const char *names[OPTION_COUNT + 1] = {NULL}, *near = NULL;
  for (int i = 0; i < OPTION_COUNT; i++) names[i] = option_table[i].name;
  if (!strncmp(word, "--", 2)) {
    char *name = strndup(word + 2, strcspn(word + 2, "="));
    near = name ? dmf_suggest(name, names) : NULL;
    free(name);
  }
  return near ? usage_error("unknown option '%s'; did you mean '--%s'?", word, near)
              : usage_error("unknown option '%s'", word);
}

/* getopt_long accepts unambiguous beginnings of names; scripts that rely on those break when an
 * option is added, so only whole names pass. */
static bool is_whole_name(const char *word, const char *name) {
  size_t length = strlen(name);
  return strncmp(word, "--", 2) ||
         (!strncmp(word + 2, name, length) && strchr("=", word[2 + length]));
}

static int bad_option(int found, const char *word) {
  char letter[] = {'-', (char)optopt, 0};
  if (found == ':') return usage_error("option '%s' needs an argument", word);
  if (optopt >= 256)
    return usage_error("option '--%s' takes no argument", option_table[optopt - 256].name);
  return unknown_option(optopt ? letter : word);
}

static int read_options(Request *request, int argc, char **argv) {
  struct option longs[OPTION_COUNT + 1] = {{0}};
  char shorts[2 * OPTION_COUNT + 2] = ":", *next = shorts + 1;
  for (int i = 0; i < OPTION_COUNT; i++) {
    int has = option_table[i].argument ? required_argument : no_argument;
    longs[i] = (struct option){option_table[i].name, has, NULL, 256 + i};
    if (!option_table[i].letter) continue;
    *next++ = option_table[i].letter;
    if (has) *next++ = ':';
  }

  opterr = 0;
  int found, status = DMF_OK;
  while (!status && (found = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
    if (found == '?' || found == ':') return bad_option(found, argv[optind - 1]);
    if (found < 256) {
      int i = 0;
      while (option_table[i].letter != found) i++;
      found = 256 + i;
    }
    const char *word = argv[optind - (optarg && optarg == argv[optind - 1] ? 2 : 1)];
    if (!is_whole_name(word, option_table[found - 256].name)) return unknown_option(word);
    status = set_option(request, (Option)(found - 256), optarg);
  }
  return status;
}

static int too_many_words(char **words) {
  const char *names[COMMAND_COUNT] = {NULL};
  for (int i = COMMAND_RUN + 1; i < COMMAND_COUNT; i++) names[i - 1] = command_table[i].name;
  const char *near = dmf_suggest(words[0], names);
  return near ? usage_error("unknown command '%s'; did you mean '%s'?", words[0], near)
              : usage_error("one script at a time: '%s', '%s'", words[0], words[1]);
}

/* Options that belong to one command. */
static int check_options(Request *request) {
  const char *name = command_table[request->command].name;
  bool format = request->command == COMMAND_FORMAT;
  request->rewrite = format && request->config.interactive;
  request->config.interactive &= !format;
  if (request->latex && request->command != COMMAND_EQUATIONS)
    return usage_error("--latex goes with the command 'equations'");
  if (request->check && !format) return usage_error("--check goes with the command 'fmt'");
  if (request->command == COMMAND_RUN) return DMF_OK;
  if (request->code || request->config.interactive)
    return usage_error("'%s' does not go with -e or -i", name);
  return DMF_OK;
}

/* The words that are not options: a command, its files, both or neither. */
static int read_words(Request *request, char **words, int count) {
  for (int i = COMMAND_RUN + 1; count && i < COMMAND_COUNT; i++)
    if (!strcmp(words[0], command_table[i].name)) request->command = (Command)i;
  const char *name = command_table[request->command].name,
             *argument = command_table[request->command].argument;
  if (request->command != COMMAND_RUN) words++, count--;
  if (!count && *argument && *argument != '[') return usage_error("'%s' needs a file", name);
  if (count && !*argument) return usage_error("'%s' takes no file", name);
  if (count > 1 && !strstr(argument, "...")) return too_many_words(words);
  if (count && request->code) return usage_error("-e and a file, '%s': which one?", words[0]);
  request->words = words;
  request->word_count = count;
  return check_options(request);
}

/* ---- doing it ---- */

static int unknown_name(Dmf *dmf, const char *name) {
  int count = 0;
  while (dmf_topic(dmf, count)) count++;
  const char **names = claim(calloc((size_t)count + 1, sizeof *names));
  for (int i = 0; i < count; i++) names[i] = dmf_topic(dmf, i)->name;
  const char *near = dmf_suggest(name, names);
  free(names);
  fprintf(stderr, "dmf: nothing is known about '%s'%s%s%s\n", name, near ? "; did you mean '" : "",
          near ? near : "", near ? "'?" : "");
  return DMF_USAGE;
}

static int explain(Dmf *dmf, const char *name) {
  char *text = dmf_help(dmf, name);
  if (text) fputs(text, stdout);
  free(text);
  return text ? DMF_OK : unknown_name(dmf, name);
}

/* Every name behind its kind, a line each, for those who make editors know them. */
static void print_words(Dmf *dmf) {
  static const char *const kinds[] = {
      [DMF_KEYWORD] = "keyword", [DMF_KEY] = "key",           [DMF_FUNCTION] = "function",
      [DMF_FIELD] = "field",     [DMF_CONSTANT] = "constant", [DMF_LIBRARY] = "library"};
  const DmfTopic *topic;
  for (int i = 0; (topic = dmf_topic(dmf, i)); i++)
    if (topic->kind <= DMF_LIBRARY) printf("%s %s\n", kinds[topic->kind], topic->name);
}

/* The words that a key takes, each behind a blank. */
static void print_values(Dmf *dmf, const char *key) {
  size_t length = strlen(key);
  const DmfTopic *topic;
  for (int i = 1; (topic = dmf_topic(dmf, i)); i++)
    if (topic->kind == DMF_VALUE && !strncmp(topic->usage, key, length) &&
        topic->usage[length] == ' ')
      printf(" %s", topic->name);
}

/* Every key behind the kind of its declaration, and the words that it takes, for shells. */
static void print_keys(Dmf *dmf) {
  const DmfTopic *topic;
  for (int i = 0; (topic = dmf_topic(dmf, i)); i++) {
    if (topic->kind != DMF_KEY) continue;
    printf("%s %s", strrchr(topic->group, ' ') + 1, topic->name);
    print_values(dmf, topic->name);
    putchar('\n');
  }
}

static int print_reference(Dmf *dmf, const char *what) {
  if (!strcmp(what, "words")) return print_words(dmf), DMF_OK;
  if (!strcmp(what, "keys")) return print_keys(dmf), DMF_OK;
  char *page = dmf_manual(dmf);
  fputs(page, stdout);
  free(page);
  return DMF_OK;
}

static int run_stream(Dmf *dmf, FILE *stream, const char *name) {
  enum { LONGEST = 1 << 26 };
  size_t length = 0, got, capacity = 0;
  char *text = NULL;
  do {
    if (length == capacity) text = claim(realloc(text, capacity = 2 * capacity + 65536));
    got = fread(text + length, 1, capacity - length, stream);
    length += got;
  } while (got && length <= LONGEST);
  int status = DMF_FILE;
  if (length > LONGEST)
    fprintf(stderr, "dmf: %s is too large for a script\n", name);
  else if (ferror(stream))
    fprintf(stderr, "dmf: %s: %s\n", name, strerror(errno));
  else
    status = dmf_run_text(dmf, name, text, length);
  free(text);
  return status;
}

static int run_file(Dmf *dmf, const Request *request, const char *file) {
  DmfFormat format = request->check     ? DMF_FORMAT_CHECK
                     : request->rewrite ? DMF_FORMAT_REWRITE
                                        : DMF_FORMAT_PRINT;
  if (!strcmp(file, "-")) file = "/dev/stdin";
  switch (request->command) {
  case COMMAND_CHECK: return dmf_check_file(dmf, file);
  case COMMAND_FORMAT: return dmf_format_file(dmf, file, format);
  case COMMAND_IR: return dmf_ir_file(dmf, file);
  case COMMAND_PLAN: return dmf_plan_file(dmf, file);
  case COMMAND_EQUATIONS: return dmf_equations_file(dmf, file, request->latex);
  default: return dmf_run_file(dmf, file);
  }
}

/* Whatever stands before the REPL, or is all there is. */
static int run_batch(Dmf *dmf, const Request *request) {
  const char *first = request->word_count ? request->words[0] : "-";
  if (request->code)
    return dmf_run_text(dmf, "<command line>", request->code, strlen(request->code));
  if (!strcmp(first, "-") && request->command == COMMAND_RUN)
    return run_stream(dmf, stdin, "<stdin>");
  int status = run_file(dmf, request, first);
  for (int i = 1; i < request->word_count; i++) {
    int next = run_file(dmf, request, request->words[i]);
    if (!status) status = next;
  }
  return status;
}

/* More than any status: the processor time of one of several processes was up. */
enum { LATE = 200 };

/* Who waits for its script to come through a pipe is simply ended. */
static void watch(Dmf *dmf, const Request *request) {
  bool comes = !request->code && (!request->word_count || !strcmp(request->words[0], "-"));
  if (comes)
    signals_watch(dmf);
  else
    signals_watch_script(dmf, request->config.crew != NULL);
}

static int run_session(Dmf *dmf, const Request *request) {
  int status = DMF_OK;
  if (request->reference) return print_reference(dmf, request->reference);
  if (request->command == COMMAND_EXPLAIN)
    return explain(dmf, request->word_count ? request->words[0] : NULL);
  for (int i = 0; i < request->setting_count && !status; i++)
    status = dmf_set(dmf, request->settings[i]);
  if (status) return status;
  if (request->code || request->word_count || !request->config.interactive) {
    watch(dmf, request);
    status = run_batch(dmf, request);
    if (!request->config.crew) signals_release();
    if (status == DMF_INTERRUPTED && signals_late())
      return request->config.crew ? LATE : signals_refuse();
    if (status == DMF_INCOMPLETE) fputs("dmf: the script ends inside a statement\n", stderr);
  }
  const char *loaded =
      request->word_count && strcmp(request->words[0], "-") ? request->words[0] : NULL;
  return request->config.interactive && status != DMF_INTERRUPTED ? repl_run(dmf, loaded)
                                                                  : signals_status(status);
}

/* A process that does not lead says nothing, unless it fails alone: its messages are kept, and
 * `voice` is where they go then. */
static void be_silent(Request *request) {
  fflush(stderr);
  int kept = memfd_create("messages", MFD_CLOEXEC);
  request->voice = dup(STDERR_FILENO);
  bool heard = kept >= 0 && dup2(kept, STDERR_FILENO) >= 0;
  if (kept >= 0) close(kept);
  if (!(freopen("/dev/null", "w", stdout) && (heard || freopen("/dev/null", "w", stderr)))) abort();
}

static void speak(const Request *request) {
  char text[BUFSIZ];
  ssize_t length;
  fflush(stderr);
  lseek(STDERR_FILENO, 0, SEEK_SET);
  while ((length = read(STDERR_FILENO, text, sizeof text)) > 0)
    if (write(request->voice, text, (size_t)length) != length) return;
}

/* The status of all processes; where this one fails and others go on, it says so and ends them. */
static int leave_crew(const Request *request, int status) {
  DmfCrew *crew = request->config.crew;
  bool leads = dmf_crew_leads(crew);
  int worst = status, told = 0;
  bool all = dmf_crew_gather(crew, &worst, &told);
  if (!all && status == LATE) status = signals_refuse();
  if (!leads && status && !told) speak(request);
  if (!all) dmf_crew_end(crew, status);
  dmf_crew_leave(crew);
  if (leads && worst == LATE) worst = signals_refuse();
  return leads ? worst : DMF_OK; /* mpirun ends all when the first one ends badly */
}

/* Where mpirun started others beside this process, they share the work and the memory of their
 * machine, and one shows and writes. */
static bool join_crew(Request *request) {
  char *why = NULL;
  DmfCrew *crew = dmf_crew_join(&why);
  if (why) fprintf(stderr, "dmf: %s\n", why);
  bool script = request->code || (request->word_count && strcmp(request->words[0], "-") != 0);
  bool fine = !why && (!crew || (script && !request->config.interactive));
  if (!why && !fine && dmf_crew_leads(crew))
    fputs("dmf: several processes run a script that is a file\n", stderr);
  free(why);
  request->config.crew = crew;
  if (!dmf_crew_leads(crew)) {
    be_silent(request);
    request->config.progress = NULL;
  }
  if (crew && !request->memory) dmf_limit_memory(dmf_free_memory() / dmf_crew_neighbours(crew));
  return fine;
}

static int run_request(Request *request) {
  if (request->help) return print_help(stdout), DMF_OK;
  if (request->version) return printf("dmf %s\n", dmf_version()), DMF_OK;
  bool anything = request->code || request->word_count || request->reference || request->command;
  if (!anything && isatty(STDIN_FILENO)) request->config.interactive = true;
  if (request->command == COMMAND_SERVER) return lsp_run();
  if (request->command == COMMAND_CHECK && request->config.json)
    request->config.diagnose = json_diagnostic;
  if (request->progress.lines || isatty(STDERR_FILENO)) {
    request->config.progress = progress_tell;
    request->config.work = progress_work;
    request->config.sink = &request->progress;
  }
  bool runs = request->command == COMMAND_RUN && !request->reference;
  if (runs && !join_crew(request)) return DMF_USAGE;
  Dmf *dmf = claim(dmf_open(&request->config));
  int status = run_session(dmf, request);
  dmf_close(dmf);
  return request->config.crew ? leave_crew(request, status) : status;
}

/* Results that did not reach standard output are an error, however well the script ended. A status
 * other than 0 has been explained already. */
static int close_output(int status) {
  bool bad = ferror(stdout);
  errno = 0;
  if ((fclose(stdout) == EOF || bad) && status == DMF_OK) {
    fprintf(stderr, "dmf: cannot write to standard output%s%s\n", errno ? ": " : "",
            errno ? strerror(errno) : "");
    status = DMF_FILE;
  }
  return status;
}

/* With a standard stream closed, the next file opened would take its place and receive the results;
 * something that refuses writing sits there instead. */
static void hold_standard_streams(void) {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
    if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
      (void)!open("/dev/null", fd == STDOUT_FILENO ? O_RDONLY : O_RDWR);
}

/* Blocks of a run serve the next one: to give them back and to have them cleared again takes a
 * third of the time of small runs. */
static void keep_memory(void) {
  enum { LARGEST = 1 << 28, KEPT = 1 << 30 };
  mallopt(M_MMAP_THRESHOLD, LARGEST);
  mallopt(M_TRIM_THRESHOLD, KEPT);
}

/* What is nested as deeply as a script may nest it takes less than the least; a smaller bound
 * grows, where it may. */
static bool has_stack(void) {
  enum { LEAST = 2 << 20, USUAL = 8 << 20 };
  struct rlimit stack;
  if (getrlimit(RLIMIT_STACK, &stack) != 0 || stack.rlim_cur >= USUAL) return true;
  stack.rlim_cur = stack.rlim_max < USUAL ? stack.rlim_max : USUAL;
  if (setrlimit(RLIMIT_STACK, &stack) == 0 && stack.rlim_cur >= LEAST) return true;
  fprintf(stderr, "dmf: out of memory: a stack of %ju bytes, RLIMIT_STACK, where %d are needed\n",
          (uintmax_t)stack.rlim_cur, LEAST);
  return false;
}

static void *claim_bytes(size_t size) { return claim(malloc(size)); }

/* Who ends the process but main has run out of memory: OpenBLAS, with a status of its own. */
static void leave(int status, void *ended) {
  if (*(bool *)ended || status == DMF_LIMIT) return;
  fflush(NULL);
  fputs("dmf: out of memory\n", stderr);
  _exit(DMF_LIMIT);
}

int main(int argc, char **argv) {
  static bool ended;
  on_exit(leave, &ended);
  hold_standard_streams();
  keep_memory();
  json_set_alloc_funcs(claim_bytes, free);
  signal(SIGXFSZ, SIG_IGN); /* a file at the limit of its size is then an error like a full disk */
  setvbuf(stdout, NULL, _IOLBF, 0);
  Request request = {.config = {.color = use_color()}};
  request.settings = claim(calloc((size_t)argc, sizeof *request.settings));
  int status = has_stack() ? read_options(&request, argc, argv) : DMF_LIMIT;
  if (!status && !request.help && !request.version)
    status = read_words(&request, argv + optind, argc - optind);
  if (!status) status = run_request(&request);
  free(request.settings);
  free(request.code);
  status = close_output(status);
  ended = true;
  return status;
}
