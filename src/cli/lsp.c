/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/claim.h"
#include "cli/lsp.h"
#include "cli/signals.h"
#include "dmf.h"

#include <ctype.h>
#include <jansson.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct Server {
  json_t *documents; /* texts by uri */
  FILE *nowhere;     /* for what scripts would print */
  bool asked_to_end;
  bool done;
} Server;

/* Numbers of the protocol. */
enum { SYNC_FULL = 1, PARSE_ERROR = -32700, INVALID_REQUEST = -32600, NO_SUCH_METHOD = -32601 };

/* Messages */

static void refuse(json_t *id, int code, const char *message);

/* The length that the header of the next message announces; false at the end of the input. */
static bool read_header(size_t *length) {
  static const char name[] = "Content-Length:";
  char line[256]; /* of a longer one the rest passes for more lines, which mean nothing */
  *length = 0;
  while (fgets(line, sizeof line, stdin)) {
    if (line[strspn(line, "\r\n")] == 0) return true;
    if (!strncasecmp(line, name, sizeof name - 1))
      *length = strtoul(line + sizeof name - 1, NULL, 10);
  }
  return false;
}

static void skip(size_t length) {
  char piece[BUFSIZ];
  for (size_t got; length > 0; length -= got) {
    got = fread(piece, 1, length < sizeof piece ? length : sizeof piece, stdin);
    if (got == 0) return;
  }
}

/* The body of the next message, to be freed; NULL at the end of the input. One that is too long is
 * passed over. */
static char *read_body(size_t *length) {
  enum { MOST = 1 << 28 };
  while (read_header(length)) {
    char *body = *length <= MOST ? malloc(*length + 1) : NULL;
    if (body && fread(body, 1, *length, stdin) == *length) return body[*length] = 0, body;
    if (!body) {
      skip(*length);
      refuse(NULL, INVALID_REQUEST, "this message is too long");
    }
    free(body);
  }
  return NULL;
}

/* Takes over the message. */
static void send_message(json_t *message) {
  json_object_set_new(message, "jsonrpc", json_string("2.0"));
  char *body = json_dumps(message, JSON_COMPACT);
  if (body) printf("Content-Length: %zu\r\n\r\n%s", strlen(body), body);
  fflush(stdout);
  free(body);
  json_decref(message);
}

/* Takes over the result; NULL is null. */
static void respond(json_t *id, json_t *result) {
  send_message(json_pack("{s:O, s:o}", "id", id, "result", result ? result : json_null()));
}

static void refuse(json_t *id, int code, const char *message) {
  send_message(
      json_pack("{s:O?, s:{s:i, s:s}}", "id", id, "error", "code", code, "message", message));
}

/* Places: the protocol counts lines and UTF-16 units from 0, a session lines and characters from 1.
 * The lines of a session end with a line feed, those of the protocol also with a carriage return.
 */

static const char *line_end(const char *at) { return at + strcspn(at, "\r\n"); }

/* The beginning of the next line, or the end of the text. */
static const char *next_line(const char *at) {
  at = line_end(at);
  return at + (at[0] == '\r' && at[1] == '\n' ? 2 : *at != 0);
}

/* The byte after `at` that begins the next character, and how many UTF-16 units lie between. */
static const char *next_character(const char *at, int *units) {
  *units = (unsigned char)*at >= 0xf0 ? 2 : 1;
  for (at++; ((unsigned char)*at & 0xc0) == 0x80;) at++;
  return at;
}

/* The place in a text, as the protocol writes it. */
static json_t *position_of(const char *text, const char *place) {
  int line = 0, units = 0, step;
  for (const char *next; *line_end(text) && (next = next_line(text)) <= place; line++) text = next;
  for (; text < place; units += step) text = next_character(text, &step);
  return json_pack("{s:i, s:i}", "line", line, "character", units);
}

/* The same of a place that a session tells. */
static json_t *position(const char *text, int line, int column) {
  const char *at = text;
  int step;
  for (const char *next; line > 1 && (next = strchr(at, '\n')); line--) at = next + 1;
  for (; column > 1 && *at && *at != '\n'; column--) at = next_character(at, &step);
  return position_of(text, at);
}

/* A place of the protocol in a text: past the end of a line at its end, past the last line at the
 * end of the text, inside a character before it. */
static const char *place_at(const char *text, json_int_t line, json_int_t character) {
  for (; line > 0 && *text; line--) text = next_line(text);
  const char *end = line_end(text), *next;
  for (int step; text < end; text = next, character -= step) {
    next = next_character(text, &step);
    if (character < step) break;
  }
  return text;
}

static const json_t *document_of(const Server *server, json_t *params, const char **uri) {
  *uri = NULL;
  json_unpack(params, "{s:{s:s}}", "textDocument", "uri", uri);
  return *uri ? json_object_get(server->documents, *uri) : NULL;
}

/* Where the cursor of a request stands in its document; NULL when the request names no document or
 * no place. */
static const char *cursor(const Server *server, json_t *params, const char **text) {
  json_int_t line = -1, character = -1;
  const char *uri;
  *text = json_string_value(document_of(server, params, &uri));
  json_unpack(params, "{s:{s:I, s:I}}", "position", "line", &line, "character", &character);
  return *text && line >= 0 && character >= 0 ? place_at(*text, line, character) : NULL;
}

static bool is_word(char byte) {
  return isalnum((unsigned char)byte) || byte == '_' || (unsigned char)byte >= 0x80;
}

/* The path of a file's uri, to be freed; the uri itself when it is another kind. */
static char *path_of(const char *uri) {
  if (strncmp(uri, "file://", 7) != 0) return claim(strdup(uri));
  char *path = claim(strdup(uri + 7)), *to = path;
  for (const char *at = path; *at; at++) {
    char digits[3] = {0};
    bool code = *at == '%' && isxdigit((unsigned char)at[1]) && isxdigit((unsigned char)at[2]);
    if (code) memcpy(digits, at + 1, 2);
    *to++ = code ? (char)strtol(digits, NULL, 16) : *at;
    if (code) at += 2;
  }
  *to = 0;
  return path;
}

/* A text made of names and pieces of files, with a mark for every byte of one that is no UTF-8. */
static json_t *text_json(const char *format, ...) __attribute__((format(printf, 1, 2)));
static json_t *text_json(const char *format, ...) {
  char *text = NULL;
  va_list list;
  va_start(list, format);
  if (vasprintf(&text, format, list) < 0) text = claim(NULL);
  va_end(list);
  json_t *json = json_string(text);
  for (char *at = text; !json && *at; at++)
    if ((unsigned char)*at >= 0x80) *at = '?';
  if (!json) json = json_string(text);
  free(text);
  return json;
}

/* Checking */

/* What a check collects. */
typedef struct Findings {
  const char *path, *text;
  json_t *list;
} Findings;

/* The protocol's: error, warning, information. */
static int severity_of(const DmfDiagnostic *d) {
  return !strcmp(d->severity, "error") ? 1 : !strcmp(d->severity, "warning") ? 2 : 3;
}

/* A note, which stays with the message before it. */
static bool append_note(json_t *list, const DmfDiagnostic *d) {
  json_t *last = json_array_get(list, json_array_size(list) - 1);
  if (!last || strcmp(d->severity, "note")) return false;
  const char *before = json_string_value(json_object_get(last, "message"));
  json_t *longer = d->file ? text_json("%s\n%s:%d: %s", before, d->file, d->line, d->message)
                           : text_json("%s\n%s", before, d->message);
  json_object_set_new(last, "message", longer);
  return true;
}

/* A message about another file, such as an imported one, stands at the top of this one. */
static void collect(void *sink, const DmfDiagnostic *d) {
  Findings *findings = sink;
  if (!findings || append_note(findings->list, d)) return;
  bool here = d->file && !strcmp(d->file, findings->path);
  int line = here ? d->line : 1, column = here ? d->column : 1;
  json_t *message = text_json("%s%s%s", d->message, d->hint ? "\n" : "", d->hint ? d->hint : "");
  if (d->file && !here) {
    json_t *place = text_json("%s:%d: %s", d->file, d->line, json_string_value(message));
    json_decref(message);
    message = place;
  }
  json_array_append_new(
      findings->list,
      json_pack("{s:{s:o, s:o}, s:i, s:s, s:o}", "range", "start",
                position(findings->text, line, column), "end",
                position(findings->text, here ? d->end_line : 1, here ? d->end_column : 1),
                "severity", severity_of(d), "source", "dmf", "message", message));
}

/* A session of its own for each piece of work, so that nothing stays; `findings` may be NULL. */
static Dmf *open_session(const Server *server, Findings *findings) {
  DmfConfig config = {.results = server->nowhere,
                      .diagnose = collect,
                      .sink = findings,
                      .quiet = true,
                      .threads = 1};
  return dmf_open(&config);
}

/* A script that would keep a check busy is interrupted after a while. */
static void check_text(Dmf *dmf, const char *path, const char *text, size_t length) {
  enum { SECONDS = 5 };
  signals_limit(dmf, SECONDS);
  dmf_check_text(dmf, path, text, length);
  signals_limit(NULL, 0);
}

static void check(const Server *server, const char *uri) {
  const json_t *document = json_object_get(server->documents, uri);
  const char *text = json_string_value(document);
  char *path = path_of(uri);
  Findings findings = {path, text ? text : "", json_array()};
  Dmf *dmf = open_session(server, &findings);
  if (text) check_text(dmf, path, text, json_string_length(document));
  dmf_close(dmf);
  free(path);
  send_message(json_pack("{s:s, s:{s:s, s:o}}", "method", "textDocument/publishDiagnostics",
                         "params", "uri", uri, "diagnostics", findings.list));
}

/* Requests */

static json_t *initialize(void) {
  return json_pack("{s:{s:s, s:i, s:b, s:b, s:{s:[s]}}, s:{s:s, s:s}}", "capabilities",
                   "positionEncoding", "utf-16", "textDocumentSync", SYNC_FULL, "hoverProvider", 1,
                   "documentFormattingProvider", 1, "completionProvider", "triggerCharacters", ".",
                   "serverInfo", "name", "dmf", "version", dmf_version());
}

static json_t *hover(const Server *server, json_t *params) {
  const char *text, *end = cursor(server, params, &text), *begin = end;
  if (!end) return NULL;
  while (begin > text && is_word(begin[-1])) begin--;
  while (is_word(*end)) end++;
  char *name = strndup(begin, (size_t)(end - begin));
  Dmf *dmf = open_session(server, NULL);
  check_text(dmf, "", text, strlen(text));
  char *help = name && *name ? dmf_help(dmf, name) : NULL;
  json_t *result = help ? json_pack("{s:{s:s, s:o}}", "contents", "kind", "plaintext", "value",
                                    text_json("%s", help))
                        : NULL;
  dmf_close(dmf);
  free(help);
  free(name);
  return result;
}

/* What the language knows, by name, as items of a completion; behind a dot, fields and keys alone.
 */
static json_t *known_items(Dmf *dmf, bool behind_dot) {
  static const int kinds[] = {[DMF_KEYWORD] = 14,  [DMF_KEY] = 10,      [DMF_FUNCTION] = 3,
                              [DMF_FIELD] = 5,     [DMF_CONSTANT] = 21, [DMF_LIBRARY] = 17,
                              [DMF_OPERATOR] = 24, [DMF_ARGUMENT] = 10, [DMF_VALUE] = 12};
  json_t *known = json_object();
  const DmfTopic *topic;
  for (int i = 0; (topic = dmf_topic(dmf, i)); i++)
    if (behind_dot ? topic->kind == DMF_FIELD || topic->kind == DMF_KEY
                   : topic->kind != DMF_OPERATOR)
      json_object_set_new(known, topic->name,
                          json_pack("{s:s, s:i, s:s, s:s}", "label", topic->name, "kind",
                                    kinds[topic->kind], "detail", topic->usage, "documentation",
                                    topic->about));
  return known;
}

/* Adds a name, once, with what is known about it. */
static void offer(json_t *items, json_t *known, const char *name, size_t length) {
  enum { VARIABLE = 6 };
  json_t *label = json_stringn(name, length);
  const char *text = json_string_value(label);
  json_t *item = text ? json_object_get(known, text) : NULL;
  if (item)
    json_object_set(items, text, item);
  else if (text)
    json_object_set_new(items, text, json_pack("{s:s, s:i}", "label", text, "kind", VARIABLE));
  json_decref(label);
}

/* The words of a text that go on as the one from `begin` to `end` does. */
static void offer_words(json_t *items, json_t *known, const char *text, const char *begin,
                        const char *end) {
  for (const char *word = text, *behind; *word; word = behind) {
    for (behind = word + 1; is_word(*word) && is_word(*behind);) behind++;
    bool name = is_word(*word) && !isdigit((unsigned char)*word) && word != begin;
    if (name && !strncmp(word, begin, (size_t)(end - begin)))
      offer(items, known, word, (size_t)(behind - word));
  }
}

/* What a session would offer, and since nothing has been run: any field behind a dot, else the
 * words of the text. */
static json_t *completion(const Server *server, json_t *params) {
  const char *text, *end = cursor(server, params, &text), *begin = end, *name;
  if (!end) return NULL;
  while (begin > text && is_word(begin[-1])) begin--;
  bool behind_dot = begin > text && begin[-1] == '.';
  Dmf *dmf = open_session(server, NULL);
  json_t *known = known_items(dmf, behind_dot), *items = json_object(), *list = json_array(), *item;
  for (int i = 0; (name = dmf_complete(dmf, text, (size_t)(end - text), i)); i++)
    offer(items, known, name, strlen(name));
  if (behind_dot)
    json_object_update(items, known);
  else
    offer_words(items, known, text, begin, end);
  json_object_foreach(items, name, item) json_array_append(list, item);
  dmf_close(dmf);
  json_decref(known);
  json_decref(items);
  return list;
}

/* One edit that replaces the whole text. */
static json_t *formatting(const Server *server, json_t *params) {
  enum { LAST = 0x7fffffff };
  const char *uri;
  const json_t *document = document_of(server, params, &uri);
  const char *text = json_string_value(document);
  char *formatted = NULL;
  Dmf *dmf = open_session(server, NULL);
  if (text) dmf_format_text(dmf, uri, text, json_string_length(document), &formatted);
  dmf_close(dmf);
  json_t *edits = formatted ? json_pack("[{s:{s:{s:i, s:i}, s:{s:i, s:i}}, s:s}]", "range", "start",
                                        "line", 0, "character", 0, "end", "line", LAST, "character",
                                        0, "newText", formatted)
                            : NULL;
  free(formatted);
  return edits;
}

/* Notifications */

static void opened(Server *server, json_t *params) {
  const char *uri = NULL, *text = NULL;
  json_unpack(params, "{s:{s:s, s:s}}", "textDocument", "uri", &uri, "text", &text);
  if (!text) return;
  json_object_set_new(server->documents, uri, json_string(text));
  check(server, uri);
}

/* The whole text comes again; of several changes the last one counts. */
static void changed(Server *server, json_t *params) {
  const char *uri = NULL;
  json_t *changes = json_object_get(params, "contentChanges"), *text;
  json_unpack(params, "{s:{s:s}}", "textDocument", "uri", &uri);
  text = json_object_get(json_array_get(changes, json_array_size(changes) - 1), "text");
  if (!uri || !json_is_string(text)) return;
  json_object_set(server->documents, uri, text);
  check(server, uri);
}

static void closed(Server *server, json_t *params) {
  const char *uri = NULL;
  json_unpack(params, "{s:{s:s}}", "textDocument", "uri", &uri);
  if (!uri) return;
  json_object_del(server->documents, uri);
  check(server, uri); /* of nothing: takes the messages away */
}

static void take_note(Server *server, const char *method, json_t *params) {
  if (!strcmp(method, "textDocument/didOpen")) opened(server, params);
  if (!strcmp(method, "textDocument/didChange")) changed(server, params);
  if (!strcmp(method, "textDocument/didClose")) closed(server, params);
  if (!strcmp(method, "exit")) server->done = true;
}

static void answer(Server *server, const char *method, json_t *id, json_t *params) {
  if (server->asked_to_end) {
    refuse(id, INVALID_REQUEST, "the server was asked to shut down");
  } else if (!strcmp(method, "initialize")) {
    respond(id, initialize());
  } else if (!strcmp(method, "textDocument/hover")) {
    respond(id, hover(server, params));
  } else if (!strcmp(method, "textDocument/completion")) {
    respond(id, completion(server, params));
  } else if (!strcmp(method, "textDocument/formatting")) {
    respond(id, formatting(server, params));
  } else if (!strcmp(method, "shutdown")) {
    server->asked_to_end = true;
    respond(id, NULL);
  } else {
    refuse(id, NO_SUCH_METHOD, "dmf does not know this method");
  }
}

/* Whether this is what the protocol calls a message; what answers a request of ours has no method,
 * and there is none. */
static void handle(Server *server, json_t *message) {
  json_t *id = json_object_get(message, "id"), *params = json_object_get(message, "params");
  const char *method = json_string_value(json_object_get(message, "method"));
  bool identified = json_is_string(id) || json_is_number(id) || json_is_null(id);
  if (!message)
    refuse(NULL, PARSE_ERROR, "this is no JSON");
  else if (!method || (id && !identified))
    refuse(identified ? id : NULL, INVALID_REQUEST, "a message has a method, and an id or none");
  else if (id)
    answer(server, method, id, params);
  else
    take_note(server, method, params);
}

/* The code of an escape \uXXXX, or -1 where there is none. */
static int escape_code(const char *at) {
  int code = 0;
  if (at[0] != '\\' || at[1] != 'u') return -1;
  for (int i = 2; i < 6; i++) {
    static const char digits[] = "0123456789abcdef";
    const char *digit = at[i] ? strchr(digits, tolower((unsigned char)at[i])) : NULL;
    if (!digit) return -1;
    code = 16 * code + (int)(digit - digits);
  }
  return code;
}

static bool within(int code, int least, int most) { return code >= least && code <= most; }

/* Half of a surrogate pair, which an editor may send of a broken text, is no character: U+FFFD
 * takes its place. */
static void mend_escapes(char *body) {
  enum { ESCAPE = 6 }; /* bytes */
  for (char *at = body; (at = strchr(at, '\\'));) {
    int code = escape_code(at);
    bool pair = within(code, 0xd800, 0xdbff) && within(escape_code(at + ESCAPE), 0xdc00, 0xdfff);
    if (!pair && within(code, 0xd800, 0xdfff)) memcpy(at, "\\ufffd", ESCAPE);
    at += pair ? 2 * ESCAPE : at[1] ? 2 : 1;
  }
}

int lsp_run(void) {
  Server server = {.documents = json_object(), .nowhere = fopen("/dev/null", "w")};
  char *body;
  size_t length;
  setvbuf(stdout, NULL, _IOFBF, BUFSIZ);
  while (!server.done && server.nowhere && (body = read_body(&length))) {
    mend_escapes(body);
    json_t *message = json_loadb(body, length, JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL);
    handle(&server, message);
    json_decref(message);
    free(body);
  }
  json_decref(server.documents);
  if (server.nowhere) fclose(server.nowhere);
  return server.done && !server.asked_to_end ? DMF_USAGE : DMF_OK;
}
