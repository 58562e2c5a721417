/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/claim.h"
#include "cli/repl.h"
#include "cli/line.h"
#include "cli/signals.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct Repl {
  Dmf *dmf;
  bool terminal;
  bool timed;    /* every statement is timed */
  char *pending; /* the statement so far, ending with a newline; NULL between statements */
  char *loaded;  /* the file of the last :load, or NULL */
  int status;    /* of the first statement that failed */
} Repl;

static bool is_blank(const char *text) { return !text[strspn(text, " \t\r\n")]; }

static bool is_word(const char *line, const char *word) {
  line += strspn(line, " \t");
  size_t length = strlen(word);
  return !strncmp(line, word, length) && is_blank(line + length);
}

static void replace(char **text, char *with) {
  free(*text);
  *text = with;
}

static void complain(Repl *repl, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void complain(Repl *repl, const char *format, ...) {
  va_list list;
  va_start(list, format);
  fflush(stdout);
  fputs("dmf: ", stderr);
  vfprintf(stderr, format, list);
  fputc('\n', stderr);
  va_end(list);
  if (!repl->status) repl->status = DMF_USAGE;
}

/* ---- running ---- */

static double seconds(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Runs a text, or a file when `text` is NULL; Ctrl-C stops it. */
static int run(Repl *repl, const char *text, const char *file, bool timed) {
  double wall = seconds(CLOCK_MONOTONIC), processor = seconds(CLOCK_PROCESS_CPUTIME_ID);
  signals_watch(repl->dmf);
  int status =
      text ? dmf_run_text(repl->dmf, "<input>", text, strlen(text)) : dmf_run_file(repl->dmf, file);
  signals_release();
  if (timed && status != DMF_INCOMPLETE)
    printf("%.3g s, %.3g s of all processors\n", seconds(CLOCK_MONOTONIC) - wall,
           seconds(CLOCK_PROCESS_CPUTIME_ID) - processor);
  fflush(stdout);
  if (status > DMF_OK && !repl->status) repl->status = status;
  return status;
}

/* Two empty lines give up an unfinished statement. */
static bool given_up(const char *text) {
  int lines = 0;
  for (size_t n = strlen(text); n && isspace((unsigned char)text[n - 1]); n--)
    lines += text[n - 1] == '\n';
  return lines > 2;
}

/* Runs what has been read so far; it stays pending while it is unfinished. */
static void run_pending(Repl *repl) {
  int status = run(repl, repl->pending, NULL, repl->timed);
  if (status == DMF_INCOMPLETE && !given_up(repl->pending)) return;
  line_remember(repl->pending);
  replace(&repl->pending, NULL);
}

static void append(Repl *repl, const char *line) {
  char *joined;
  if (asprintf(&joined, "%s%s\n", repl->pending ? repl->pending : "", line) < 0) joined = NULL;
  replace(&repl->pending, claim(joined));
}

/* ---- commands ---- */

typedef enum Command {
#define COMMAND(id, name, argument, about) COMMAND_##id,
#include "cli/commands.def"
  COMMAND_COUNT
} Command;

static const struct {
  const char *argument, *about;
} commands[] = {
#define COMMAND(id, name, argument, about) {argument, about},
#include "cli/commands.def"
};

static const char *const command_names[] = {
#define COMMAND(id, name, argument, about) name,
#include "cli/commands.def"
    NULL};

static void help(void) {
  puts("Statements run as soon as they are complete; an expression alone shows its value.");
  for (int i = 0; i < COMMAND_COUNT; i++) {
    int width = printf("  :%s %s", command_names[i], commands[i].argument);
    printf("%*s%s\n", 22 - width, "", commands[i].about);
  }
  puts("Ctrl-C drops the line, or stops a running solver and keeps all variables. Two empty lines\n"
       "drop an unfinished statement. Tab completes names, keys, arguments, fields and files.\n"
       "The language: man dmf-language.");
}

/* The command that a word is the beginning of; COMMAND_COUNT if it is none or several. */
static Command command_of(const char *word, size_t length) {
  Command found = COMMAND_COUNT;
  for (int i = 0; i < COMMAND_COUNT; i++) {
    if (strncmp(command_names[i], word, length) != 0) continue;
    if (!command_names[i][length]) return (Command)i;
    if (found != COMMAND_COUNT) return COMMAND_COUNT;
    found = (Command)i;
  }
  return length ? found : COMMAND_COUNT;
}

static void unknown_command(Repl *repl, const char *word, size_t length) {
  char *name = claim(strndup(word, length));
  const char *near = dmf_suggest(name, command_names);
  if (near)
    complain(repl, "unknown command ':%s'; did you mean ':%s'?", name, near);
  else
    complain(repl, "unknown command ':%s'; ':help' lists them", name);
  free(name);
}

static void load(Repl *repl, const char *file) {
  if (*file) replace(&repl->loaded, claim(strdup(file)));
  if (!repl->loaded)
    complain(repl, "nothing has been loaded yet; ':load FILE' does");
  else if (run(repl, NULL, repl->loaded, repl->timed) == DMF_INCOMPLETE)
    complain(repl, "'%s' ends inside a statement", repl->loaded);
}

static void save(Repl *repl, const char *file) {
  if (!*file) {
    complain(repl, "':save FILE' needs the name of a file");
    return;
  }
  int status = dmf_save_session(repl->dmf, file);
  if (status == DMF_OK) printf("saved as %s\n", file);
  if (!repl->status) repl->status = status;
}

static bool read_number(const char *text, unsigned long long least, unsigned long long most,
                        unsigned long long *number) {
  char *end;
  errno = 0;
  *number = strtoull(text, &end, 10);
  return isdigit((unsigned char)*text) && !*end && !errno && *number >= least && *number <= most;
}

static bool read_switch(const char *text, bool *on) {
  *on = !strcmp(text, "on") || !strcmp(text, "true");
  return *on || !strcmp(text, "off") || !strcmp(text, "false");
}

static void show_settings(const Repl *repl) {
  const DmfConfig *config = dmf_config(repl->dmf);
  if (config->threads)
    printf("threads  %d\n", config->threads);
  else
    puts("threads  auto");
  if (config->has_seed)
    printf("seed     %llu\n", config->seed);
  else
    puts("seed     none");
  printf("time     %s\nquiet    %s\n", repl->timed ? "on" : "off", config->quiet ? "on" : "off");
}

/* NAME VALUE, or NAME.KEY=VALUE as --set has it. */
static void set(Repl *repl, char *text) {
  static const char *const names[] = {"threads", "seed", "time", "quiet", NULL};
  DmfConfig *config = dmf_config(repl->dmf);
  unsigned long long number;
  if (!*text) return show_settings(repl);
  if (strchr(text, '.') && strchr(text, '=')) {
    if (dmf_set(repl->dmf, text) == DMF_OK) puts("holds for what is declared from here on");
    return;
  }
  char *name = text, *value = text + strcspn(text, " \t=");
  if (*value) *value++ = 0;
  value += strspn(value, " \t=");
  if (!strcmp(name, "threads")) {
    bool automatic = !strcmp(value, "auto");
    if (automatic || read_number(value, 1, 4096, &number))
      config->threads = automatic ? 0 : (int)number;
    else
      complain(repl, "threads is a number from 1 to 4096, or auto");
  } else if (!strcmp(name, "seed")) {
    bool none = !strcmp(value, "none");
    if (none || read_number(value, 0, 1ull << 53, &number))
      config->has_seed = !none, config->seed = none ? 0 : number;
    else
      complain(repl, "seed is a whole number from 0 to 2^53, or none");
  } else if (!strcmp(name, "time") || !strcmp(name, "quiet")) {
    bool on;
    if (!read_switch(value, &on))
      complain(repl, "%s is on or off", name);
    else
      *(*name == 't' ? &repl->timed : &config->quiet) = on;
  } else {
    const char *near = dmf_suggest(name, names);
    complain(repl, "no setting '%s'; did you mean '%s'?", name, near ? near : "NAME.KEY=VALUE");
  }
}

static void time_statement(Repl *repl, const char *statement) {
  if (!*statement) {
    repl->timed = !repl->timed;
    printf("statements are %s\n", repl->timed ? "timed" : "no longer timed");
  } else if (run(repl, statement, NULL, true) == DMF_INCOMPLETE) {
    complain(repl, "the statement is unfinished");
  }
}

static void show_variables(const Repl *repl) {
  char *text = dmf_who(repl->dmf);
  fputs(*text ? text : "no variables yet\n", stdout);
  free(text);
}

static bool run_help(Repl *repl, char *line) {
  char *typed = claim(strdup(line)), *name = line_asked(line);
  if (name) line_remember(typed);
  free(typed);
  if (!name) return false;
  char *text = dmf_help(repl->dmf, *name ? name : NULL);
  if (text)
    fputs(text, stdout);
  else
    fprintf(stderr, "dmf: nothing is known about '%s'; 'help' alone lists all names\n", name);
  free(text);
  return true;
}

/* Whether the line is a command, which has then been obeyed; *leave: it was the last. */
static bool run_command(Repl *repl, char *line, bool *leave) {
  char *word = line + strspn(line, " \t");
  *leave = is_word(line, "quit") || is_word(line, "exit");
  if (*leave || run_help(repl, line)) return true;
  if (*word++ != ':') return false;
  size_t length = strcspn(word, " \t\r\n");
  char *argument = word + length + strspn(word + length, " \t\r\n"), *end = strchr(argument, 0);
  while (end > argument && isspace((unsigned char)end[-1])) *--end = 0;
  line_remember(line);
  switch (command_of(word, length)) {
  case COMMAND_HELP: help(); break;
  case COMMAND_WHO: show_variables(repl); break;
  case COMMAND_RELOAD: load(repl, ""); break;
  case COMMAND_LOAD: load(repl, argument); break;
  case COMMAND_SAVE: save(repl, argument); break;
  case COMMAND_SET: set(repl, argument); break;
  case COMMAND_TIME: time_statement(repl, argument); break;
  case COMMAND_QUIT: *leave = true; break;
  case COMMAND_COUNT: unknown_command(repl, word, length); break;
  }
  fflush(stdout);
  return true;
}

/* ---- the loop ---- */

int repl_run(Dmf *dmf, const char *loaded) {
  Repl repl = {.dmf = dmf, .terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)};
  LineEnd end;
  char *line;
  bool leave = false;
  if (loaded) repl.loaded = claim(strdup(loaded));
  if (repl.terminal) {
    printf("dmf %s. :help says more, :quit leaves.\n", dmf_version());
    line_edit(dmf, command_names);
  }
  while (!leave && !signals_late() &&
         (end = line_read(repl.pending ? "...> " : "dmf> ", &line)) != LINE_EOF) {
    if (end == LINE_INTERRUPTED) {
      replace(&repl.pending, NULL);
      continue;
    }
    bool command = !repl.pending && run_command(&repl, line, &leave);
    if (!command && (repl.pending || !is_blank(line))) {
      append(&repl, line);
      run_pending(&repl);
    }
    free(line);
  }
  if (signals_late()) repl.status = signals_refuse();
  if (repl.pending && !repl.terminal && !signals_late()) {
    fputs("dmf: the input ends inside a statement\n", stderr);
    if (!repl.status) repl.status = DMF_SCRIPT;
  }
  free(repl.pending);
  free(repl.loaded);
  return repl.terminal && !signals_late() ? DMF_OK : repl.status;
}
