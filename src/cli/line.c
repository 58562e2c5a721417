/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/claim.h"
#include "cli/line.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
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

/* Whose names complete; NULL while lines are read plainly. There is one terminal, and readline
 * calls back without an argument. */
static Dmf *editing;

/* Set by Ctrl-C at the prompt. */
static volatile sig_atomic_t interrupted;

static LineEnd read_plain(char **line) {
  size_t capacity = 0;
  *line = NULL;
  errno = 0;
  ssize_t length = getline(line, &capacity, stdin);
  if (length < 0) {
    if (errno == ENOMEM) claim(NULL); /* not the end of what is typed */
    free(*line);
    return LINE_EOF;
  }
  if (length && (*line)[length - 1] == '\n') (*line)[length - 1] = 0;
  return LINE_READ;
}

static void on_interrupt(int signal_number) {
  (void)signal_number;
  interrupted = 1;
}

/* Leaves out the prompts that were copied along, each at the beginning of a line. */
static void drop_prompts(char *text) {
  char *to = text;
  for (bool begins = true; *text; begins = *text++ == '\n') {
    if (begins && (!strncmp(text, "dmf> ", 5) || !strncmp(text, "...> ", 5))) text += 5;
    if (!*text) break;
    *to++ = *text;
  }
  *to = 0;
}

char *line_asked(char *line) {
  static const char word[] = "help";
  size_t length = sizeof word - 1;
  char *name = line + strspn(line, " \t"), *end = name + strlen(name);
  while (end > name && isspace((unsigned char)end[-1])) end--;
  if (*name == '?') return *end = 0, name + 1 + strspn(name + 1, " \t");
  if (end > name && end[-1] == '?' && !strpbrk(name, " \t\n\"#")) return end[-1] = 0, name;
  if (strncmp(name, word, length) != 0 || (name[length] && !isspace((unsigned char)name[length])))
    return NULL;
  name += length + strspn(name + length, " \t");
  if (name >= end) return end;
  /* otherwise a variable of this name is at work */
  bool one = name + strcspn(name, " \t\n") >= end;
  return one || !strpbrk(name, "=+*/^") ? (*end = 0, name) : NULL;
}

static LineEnd read_terminal(const char *prompt, char **line);

LineEnd line_read(const char *prompt, char **line) {
  LineEnd end = editing ? read_terminal(prompt, line) : read_plain(line);
  if (end == LINE_READ) drop_prompts(*line);
  return end;
}

static LineEnd read_edited(const char *prompt, char **line);

static LineEnd read_terminal(const char *prompt, char **line) {
  struct sigaction action = {.sa_handler = on_interrupt}, before;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, &before);
  interrupted = 0;
  LineEnd end = read_edited(prompt, line);
  sigaction(SIGINT, &before, NULL);
  if (!interrupted) return end;
  if (end == LINE_READ) free(*line);
  clearerr(stdin);
  putchar('\n');
  return LINE_INTERRUPTED;
}

#ifndef HAVE_READLINE

void line_edit(Dmf *dmf, const char *const *commands) {
  (void)commands;
  editing = dmf;
}

static LineEnd read_edited(const char *prompt, char **line) {
  fputs(prompt, stdout);
  fflush(stdout);
  LineEnd end = read_plain(line);
  if (end == LINE_EOF && !interrupted) putchar('\n');
  return end;
}

void line_remember(const char *statement) { (void)statement; }

#else

static char *line_done;
static bool done;
static char *history_path; /* NULL: none is kept */
static const char *const *command_names;

static void on_line(char *line) {
  rl_callback_handler_remove();
  line_done = line;
  done = true;
}

/* ---- completion ---- */

static bool is_command(void) { return rl_line_buffer[strspn(rl_line_buffer, " \t")] == ':'; }

static char *next_command(const char *text, int again) {
  static int i;
  const char *name;
  if (!again) i = 0;
  while ((name = command_names[i++]))
    if (!strncmp(name, text, strlen(text))) return strdup(name);
  return NULL;
}

static char *next_name(const char *text, int again) {
  static int i;
  (void)text;
  if (!again) i = 0;
  const char *name = dmf_complete(editing, rl_line_buffer, (size_t)rl_point, i++);
  return name ? strdup(name) : NULL;
}

/* Command lines are words between blanks. */
static char *break_characters(void) {
  static char blanks[] = " \t:", operators[] = " \t\n\"'`@$><=;|&{}()[]+-*/^,.:!?";
  return is_command() ? blanks : operators;
}

/* What is known about the candidate, or NULL. */
static const char *about_of(const char *candidate) {
  const char *name;
  for (int i = 0; (name = dmf_complete(editing, rl_line_buffer, (size_t)rl_point, i)); i++)
    if (!strcmp(name, candidate)) return dmf_complete_about(editing, i);
  return NULL;
}

/* How many bytes of a text fit into a line, whole characters. */
static int fitting(const char *text, int room) {
  int length = (int)strlen(text);
  if (length <= room) return length;
  while (room > 0 && ((unsigned char)text[room] & 0xc0) == 0x80) room--;
  return room;
}

/* A few candidates have a line each, with what is known about them; many stand side by side. */
static void show_candidates(char **candidates, int count, int longest) {
  enum { FEW = 16 };
  int rows, columns;
  rl_get_screen_size(&rows, &columns);
  if (is_command() || count > FEW) {
    rl_display_match_list(candidates, count, longest);
  } else {
    for (int i = 1; i <= count; i++) {
      const char *about = about_of(candidates[i]);
      int room = columns - longest - 4;
      if (about && room > 8)
        fprintf(rl_outstream, "\n%-*s  %.*s", longest, candidates[i], fitting(about, room), about);
      else
        fprintf(rl_outstream, "\n%s", candidates[i]);
    }
    fputc('\n', rl_outstream);
  }
  rl_forced_update_display();
}

/* Commands after a colon, and files behind them; files in a string that is nothing of the language;
 * else what the session knows. */
static char **complete(const char *text, int start, int end) {
  (void)end;
  rl_completion_append_character = 0;
  bool command = is_command(), named = command && start > 0 && rl_line_buffer[start - 1] == ':';
  rl_attempted_completion_over = !command || named;
  if (named) rl_completion_append_character = ' ';
  if (command) return named ? rl_completion_matches(text, next_command) : NULL;
  char **names = rl_completion_matches(text, next_name);
  bool quoted = start > 0 && rl_line_buffer[start - 1] == '"';
  rl_sort_completion_matches = !names;
  if (!names && quoted) rl_attempted_completion_over = 0;
  return names;
}

/* ---- statements of several lines ---- */

/* Whether the buffer ends with two empty lines, the sign to give up an unfinished statement. */
static bool given_up(void) {
  int lines = 0;
  for (int i = rl_end; i > 0 && isspace((unsigned char)rl_line_buffer[i - 1]); i--)
    lines += rl_line_buffer[i - 1] == '\n';
  return lines >= 2;
}

static bool unfinished(void) {
  char *text = claim(strdup(rl_line_buffer));
  drop_prompts(text);
  bool more = dmf_unfinished(editing, text) && !line_asked(text);
  free(text);
  return more;
}

static int on_enter(int count, int key) {
  if (is_command() || given_up() || !unfinished()) return rl_point = rl_end, rl_newline(count, key);
  return rl_insert_text("\n");
}

static int line_start(int at) {
  while (at > 0 && rl_line_buffer[at - 1] != '\n') at--;
  return at;
}

static int line_length(int at) { return (int)strcspn(rl_line_buffer + at, "\n"); }

static void move_to(int start, int column) {
  int length = line_length(start);
  rl_point = start + (column < length ? column : length);
}

static int on_up(int count, int key);
static int on_down(int count, int key);

/* Goes on with the search that an arrow has begun: readline begins anew unless its own command was
 * the last one, and would then look for what the line holds by now. */
static int search(rl_command_func_t *command, int count, int key) {
  if (rl_last_func == on_up || rl_last_func == on_down) rl_last_func = command;
  return command(count, key);
}

/* Up and down go from line to line of a statement, and beyond its ends through the history of what
 * begins like it. */
static int on_up(int count, int key) {
  int start = line_start(rl_point);
  if (!start) return search(rl_history_search_backward, count, key);
  move_to(line_start(start - 1), rl_point - start);
  return 0;
}

static int on_down(int count, int key) {
  int start = line_start(rl_point), next = rl_point + line_length(rl_point);
  if (next >= rl_end) return search(rl_history_search_forward, count, key);
  move_to(next + 1, rl_point - start);
  return 0;
}

static int on_home(int count, int key) {
  (void)count, (void)key;
  rl_point = line_start(rl_point);
  return 0;
}

static int on_end(int count, int key) {
  (void)count, (void)key;
  rl_point += line_length(rl_point);
  return 0;
}

static void bind_keys(void) {
  static const struct {
    const char *sequence;
    rl_command_func_t *function;
  } keys[] = {{"\r", on_enter},     {"\n", on_enter},    {"\033[A", on_up},   {"\033OA", on_up},
              {"\033[B", on_down},  {"\033OB", on_down}, {"\033[H", on_home}, {"\033OH", on_home},
              {"\033[1~", on_home}, {"\001", on_home},   {"\033[F", on_end},  {"\033OF", on_end},
              {"\033[4~", on_end},  {"\005", on_end}};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
    rl_bind_keyseq(keys[i].sequence, keys[i].function);
  rl_bind_key_in_map('\r', on_enter, vi_insertion_keymap);
}

/* ---- history ---- */

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

/* An entry that was cut off, when the disk was full or the process ended, does not run into the
 * next one. */
static void end_entry(void) {
  char last = '\n';
  int file = open(history_path, O_RDWR | O_APPEND | O_CLOEXEC);
  if (file < 0) return;
  if (lseek(file, -1, SEEK_END) >= 0 && read(file, &last, 1) == 1 && last != '\n')
    (void)!write(file, "\n", 1);
  close(file);
}

/* Repetitions are kept once. */
void line_remember(const char *statement) {
  if (!editing) return;
  char *entry = claim(strdup(statement));
  for (size_t n = strlen(entry); n && isspace((unsigned char)entry[n - 1]);) entry[--n] = 0;
  HIST_ENTRY *last = history_length ? history_get(history_base + history_length - 1) : NULL;
  if (*entry && !(last && !strcmp(last->line, entry))) {
    add_history(entry);
    if (history_path) {
      end_entry();
      append_history(1, history_path);
    }
  }
  free(entry);
}

/* ---- reading ---- */

void line_edit(Dmf *dmf, const char *const *commands) {
  editing = dmf;
  command_names = commands;
  /* Greek letters are edited as letters where the environment says nothing of characters, too */
  setlocale(LC_CTYPE, "");
  if (MB_CUR_MAX == 1) setlocale(LC_CTYPE, "C.UTF-8");
  rl_readline_name = "dmf";
  rl_attempted_completion_function = complete;
  rl_completion_word_break_hook = break_characters;
  rl_completer_quote_characters = "\"";
  rl_completion_display_matches_hook = show_candidates;
  rl_persistent_signal_handlers = 1;
  /* With time stamps between them, entries of several lines stay whole in the file. */
  history_comment_char = '#';
  history_write_timestamps = 1;
  free(history_path);
  history_path = history_file();
  using_history();
  stifle_history(5000);
  if (history_path) read_history(history_path);
  rl_initialize();
  bind_keys();
}

/* Feeds readline key by key, so that a Ctrl-C is seen between two keys. */
static LineEnd read_edited(const char *prompt, char **line) {
  done = false;
  rl_callback_handler_install(prompt, on_line);
  while (!done && !interrupted) {
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    int ready = poll(&input, 1, -1);
    if (ready > 0)
      rl_callback_read_char();
    else if (ready < 0 && errno == EINTR)
      rl_check_signals();
    else
      break;
  }
  if (!done) rl_callback_handler_remove();
  *line = done ? line_done : NULL;
  if (*line) return LINE_READ;
  /* at the end of input readline goes to a new line itself, but only with bracketed paste */
  if (!interrupted && strcmp(rl_variable_value("enable-bracketed-paste"), "on")) putchar('\n');
  return LINE_EOF;
}

#endif
