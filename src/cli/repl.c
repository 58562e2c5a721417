/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The loop itself, then its two ways of reading a line: with readline, and without. */
#include "cli/repl.h"
#include "cli/signals.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef HAVE_READLINE
#include <readline/history.h>
#include <readline/readline.h>
#endif

typedef enum LineEnd { LINE_READ, LINE_INTERRUPTED, LINE_EOF } LineEnd;

typedef struct Repl {
  Dmf *dmf;
  bool terminal;
  char *history; /* its file; NULL: none is kept */
  char *pending; /* the statement so far, ending with a newline; NULL between statements */
  int blanks;    /* empty lines at its end */
  int status;    /* of the first statement that failed */
} Repl;

static LineEnd read_line(Repl *repl, char **line);
static void remember(Repl *repl, const char *statement);

static bool is_blank(const char *text) { return !text[strspn(text, " \t\r\n")]; }

static bool is_word(const char *line, const char *word) {
  line += strspn(line, " \t");
  size_t length = strlen(word);
  return !strncmp(line, word, length) && is_blank(line + length);
}

static bool leaves(const char *line) {
  return is_word(line, "quit") || is_word(line, "exit") || is_word(line, ":quit") ||
         is_word(line, ":q");
}

static void drop_pending(Repl *repl) {
  free(repl->pending);
  repl->pending = NULL;
  repl->blanks = 0;
}

static void append(Repl *repl, const char *line) {
  char *joined;
  if (asprintf(&joined, "%s%s\n", repl->pending ? repl->pending : "", line) < 0) abort();
  repl->blanks = is_blank(line) ? repl->blanks + 1 : 0;
  free(repl->pending);
  repl->pending = joined;
}

/* Runs what has been read so far; it stays pending while it is unfinished. */
static void run_pending(Repl *repl) {
  signals_watch(repl->dmf);
  int status = dmf_run_text(repl->dmf, "<input>", repl->pending, strlen(repl->pending));
  signals_release();
  fflush(stdout);
  if (status == DMF_INCOMPLETE && repl->blanks < 2) return;
  remember(repl, repl->pending);
  drop_pending(repl);
  if (status > DMF_OK && !repl->status) repl->status = status;
}

static void help(void) {
  puts("Statements run as soon as they are complete; an expression alone shows its value.\n"
       "  help NAME, ?NAME   what a name means; help alone lists all names\n"
       "  :quit              leave, as do quit, exit and Ctrl-D\n"
       "Ctrl-C drops the line, or stops a running solver and keeps all variables. Two empty lines\n"
       "drop an unfinished statement. Tab completes names. The language: man dmf-language.");
}

/* The name that `help NAME`, `?NAME` or `NAME?` asks about, in `line` itself, empty for a bare
 * `help` or `?`; NULL when the line is nothing of the kind. */
static char *asked_name(char *line) {
  char *name = line + strspn(line, " \t"), *end = name + strlen(name);
  while (end > name && isspace((unsigned char)end[-1])) *--end = 0;
  if (*name == '?') return name + 1 + strspn(name + 1, " \t");
  if (end > name && end[-1] == '?' && !strpbrk(name, " \t\"#")) return end[-1] = 0, name;
  if (is_word(name, "help")) return end;
  bool asks = !strncmp(name, "help", 4) && isblank((unsigned char)name[4]);
  name += asks ? 4 + strspn(name + 4, " \t") : 0;
  return asks && !strpbrk(name, "=+*/^") ? name : NULL;
}

static bool run_help(Repl *repl, char *line) {
  char *name = asked_name(line);
  if (!name) return false;
  char *text = dmf_help(repl->dmf, *name ? name : NULL);
  if (text)
    fputs(text, stdout);
  else
    fprintf(stderr, "dmf: nothing is known about '%s'; 'help' alone lists all names\n", name);
  free(text);
  return true;
}

static bool run_meta(Repl *repl, char *line) {
  if (run_help(repl, line)) return true;
  line += strspn(line, " \t");
  if (*line != ':') return false;
  if (is_word(line, ":help") || is_word(line, ":h"))
    help();
  else
    fprintf(stderr, "dmf: unknown command '%s'; there are :help and :quit\n", line);
  return true;
}

int repl_run(Dmf *dmf) {
  Repl repl = {.dmf = dmf, .terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)};
  LineEnd end;
  char *line;
  if (repl.terminal) printf("dmf %s. :help says more, :quit leaves.\n", dmf_version());
  while ((end = read_line(&repl, &line)) != LINE_EOF) {
    if (end == LINE_INTERRUPTED) {
      drop_pending(&repl);
      continue;
    }
    bool leave = !repl.pending && leaves(line);
    if (!leave && (repl.pending || !is_blank(line)) && (repl.pending || !run_meta(&repl, line))) {
      append(&repl, line);
      run_pending(&repl);
    }
    free(line);
    if (leave) break;
  }
  if (repl.pending && !repl.terminal) {
    fputs("dmf: the input ends inside a statement\n", stderr);
    if (!repl.status) repl.status = DMF_SCRIPT;
  }
  drop_pending(&repl);
  free(repl.history);
  return repl.terminal ? DMF_OK : repl.status;
}

/* ---- lines without editing ---- */

static LineEnd read_plain(char **line) {
  size_t capacity = 0;
  *line = NULL;
  ssize_t length = getline(line, &capacity, stdin);
  if (length < 0) {
    free(*line);
    return LINE_EOF;
  }
  if (length && (*line)[length - 1] == '\n') (*line)[length - 1] = 0;
  return LINE_READ;
}

/* Set by Ctrl-C at the prompt. */
static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number) {
  (void)signal_number;
  interrupted = 1;
}

static LineEnd read_prompted(Repl *repl, const char *prompt, char **line);

static LineEnd read_line(Repl *repl, char **line) {
  if (!repl->terminal) return read_plain(line);
  struct sigaction action = {.sa_handler = on_interrupt}, before;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, &before);
  interrupted = 0;
  LineEnd end = read_prompted(repl, repl->pending ? "...> " : "dmf> ", line);
  sigaction(SIGINT, &before, NULL);
  if (!interrupted) return end;
  if (end == LINE_READ) free(*line);
  clearerr(stdin);
  putchar('\n');
  return LINE_INTERRUPTED;
}

#ifndef HAVE_READLINE

static LineEnd read_prompted(Repl *repl, const char *prompt, char **line) {
  (void)repl;
  fputs(prompt, stdout);
  fflush(stdout);
  LineEnd end = read_plain(line);
  if (end == LINE_EOF && !interrupted) putchar('\n');
  return end;
}

static void remember(Repl *repl, const char *statement) { (void)repl, (void)statement; }

#else

/* ---- lines with readline ---- */

/* readline calls back without an argument: the line it has read, whether it has, and the session
 * whose names complete. */
static char *line_read;
static bool line_done;
static Dmf *completing;

static void on_line(char *line) {
  rl_callback_handler_remove();
  line_read = line;
  line_done = true;
}

static char *next_name(const char *text, int again) {
  static int i;
  const char *name;
  if (!again) i = 0;
  while ((name = dmf_name(completing, i++)))
    if (!strncmp(name, text, strlen(text))) return strdup(name);
  return NULL;
}

/* Names of the language, but files inside a string. */
static char **complete(const char *text, int start, int end) {
  bool quoted = false;
  (void)end;
  for (int i = 0; i < start; i++)
    if (rl_line_buffer[i] == '"' && (!i || rl_line_buffer[i - 1] != '\\')) quoted = !quoted;
  rl_completion_append_character = 0;
  if (quoted) return NULL;
  rl_attempted_completion_over = 1;
  return rl_completion_matches(text, next_name);
}

/* $XDG_STATE_HOME/dmf/history with its directories; NULL if there is no place for it. */
static char *history_file(void) {
  const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
  char *path;
  if (state && *state == '/') {
    if (asprintf(&path, "%s/dmf/history", state) < 0) return NULL;
  } else if (!home || !*home || asprintf(&path, "%s/.local/state/dmf/history", home) < 0) {
    return NULL;
  }
  for (char *slash = path + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
    *slash = 0;
    mkdir(path, 0700);
  }
  int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (file >= 0) return close(file), path;
  free(path);
  return NULL;
}

static void start_readline(Repl *repl) {
  completing = repl->dmf;
  rl_readline_name = "dmf";
  rl_attempted_completion_function = complete;
  rl_completer_word_break_characters = " \t\n\"'`@$><=;|&{}()[]+-*/^,.:!?";
  rl_persistent_signal_handlers = 1;
  /* With time stamps between them, entries of several lines stay whole in the file. */
  history_comment_char = '#';
  history_write_timestamps = 1;
  repl->history = history_file();
  using_history();
  stifle_history(5000);
  if (repl->history) read_history(repl->history);
}

/* One entry for each statement, on disk at once. Repetitions are kept once. */
static void remember(Repl *repl, const char *statement) {
  if (!repl->terminal) return;
  char *entry = strdup(statement);
  if (!entry) abort();
  for (size_t n = strlen(entry); n && isspace((unsigned char)entry[n - 1]);) entry[--n] = 0;
  HIST_ENTRY *last = history_length ? history_get(history_base + history_length - 1) : NULL;
  if (*entry && !(last && !strcmp(last->line, entry))) {
    add_history(entry);
    if (repl->history) append_history(1, repl->history);
  }
  free(entry);
}

/* Feeds readline key by key, so that a Ctrl-C is seen between two keys. */
static LineEnd read_prompted(Repl *repl, const char *prompt, char **line) {
  if (!completing) start_readline(repl);
  line_done = false;
  rl_callback_handler_install(prompt, on_line);
  while (!line_done && !interrupted) {
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    int ready = poll(&input, 1, -1);
    if (ready > 0)
      rl_callback_read_char();
    else if (ready < 0 && errno == EINTR)
      rl_check_signals();
    else
      break;
  }
  if (!line_done) rl_callback_handler_remove();
  *line = line_done ? line_read : NULL;
  if (*line) return LINE_READ;
  /* at the end of input readline goes to a new line itself, but only with bracketed paste */
  if (!interrupted && strcmp(rl_variable_value("enable-bracketed-paste"), "on")) putchar('\n');
  return LINE_EOF;
}

#endif
