/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/claim.h"
#include "cli/lsp.h"
#include "cli/navigate.h"
#include "cli/places.h"
#include "cli/signals.h"
#include "dmf.h"

#include <ctype.h>
#include <jansson.h>
#include <signal.h>
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
enum {
  SYNC_FULL = 1,
  PARSE_ERROR = -32700,
  INVALID_REQUEST = -32600,
  NO_SUCH_METHOD = -32601,
  REQUEST_FAILED = -32803
};

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
    char *body = *length <= MOST ? claim(malloc(*length + 1)) : NULL;
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
  return claim(dmf_open(&config));
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
  json_t *abilities = json_pack(
      "{s:s, s:i, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:{s:[s, s, s]}, s:{s:[s, s]}, s:{s:o, s:b}}",
      "positionEncoding", "utf-16", "textDocumentSync", SYNC_FULL, "hoverProvider", 1,
      "documentFormattingProvider", 1, "definitionProvider", 1, "referencesProvider", 1,
      "renameProvider", 1, "documentSymbolProvider", 1, "codeActionProvider", 1,
      "completionProvider", "triggerCharacters", ".", "(", "\"", "signatureHelpProvider",
      "triggerCharacters", "(", ",", "semanticTokensProvider", "legend", navigate_legend(), "full",
      1);
  return json_pack("{s:o, s:{s:s, s:s}}", "capabilities", abilities, "serverInfo", "name", "dmf",
                   "version", dmf_version());
}

/* The text without the line of the cursor, which is seldom finished. */
static char *without_line(const char *text, const char *at) {
  char *rest = claim(strdup(text)), *here = rest + (at - text);
  while (here > rest && here[-1] != '\n') here--;
  for (; *here && *here != '\n'; here++) *here = ' ';
  return rest;
}

/* A session that has learned the names of the text, but for the line of the cursor, where one is
 * given. */
static Dmf *open_learned(const Server *server, json_t *params, const char *text, const char *at) {
  DmfConfig config = {
      .results = server->nowhere, .diagnose = collect, .quiet = true, .learns = true, .threads = 1};
  Dmf *dmf = claim(dmf_open(&config));
  const char *uri;
  document_of(server, params, &uri);
  char *rest = at ? without_line(text, at) : claim(strdup(text)), *path = path_of(uri);
  check_text(dmf, path, rest, strlen(rest));
  free(path);
  free(rest);
  return dmf;
}

static json_t *hover(const Server *server, json_t *params) {
  const char *text, *end = cursor(server, params, &text), *begin = end;
  if (!end) return NULL;
  while (begin > text && is_name_byte(begin[-1])) begin--;
  while (is_name_byte(*end)) end++;
  bool behind_dot = begin > text && begin[-1] == '.';
  begin -= behind_dot;
  char *name = strndup(begin, (size_t)(end - begin));
  Dmf *dmf = open_learned(server, params, text, NULL);
  char *help = behind_dot ? NULL : navigate_hover(dmf, text, end);
  if (!help && name && name[behind_dot]) help = dmf_help(dmf, name);
  json_t *result = help ? json_pack("{s:{s:s, s:o}}", "contents", "kind", "plaintext", "value",
                                    text_json("%s", help))
                        : NULL;
  dmf_close(dmf);
  free(help);
  free(name);
  return result;
}

/* The kind of an item of a completion. */
static int item_kind(const DmfTopic *topic) {
  static const int kinds[] = {[DMF_KEYWORD] = 14,  [DMF_KEY] = 10,      [DMF_FUNCTION] = 3,
                              [DMF_FIELD] = 5,     [DMF_CONSTANT] = 21, [DMF_LIBRARY] = 17,
                              [DMF_OPERATOR] = 24, [DMF_ARGUMENT] = 10, [DMF_VALUE] = 12};
  enum { VARIABLE = 6 };
  return topic ? kinds[topic->kind] : VARIABLE;
}

static const DmfTopic *topic_named(Dmf *dmf, const char *name) {
  const DmfTopic *topic;
  for (int i = 1; (topic = dmf_topic(dmf, i)); i++)
    if (!strcmp(topic->name, name)) return topic;
  return NULL;
}

/* Adds what may stand at a place, in this order, with what is known about it. */
static void offer(Dmf *dmf, json_t *list, const char *name, const char *about) {
  const DmfTopic *topic = topic_named(dmf, name);
  json_t *item = json_pack("{s:s, s:i, s:o}", "label", name, "kind", item_kind(topic), "sortText",
                           text_json("%05zu", json_array_size(list)));
  if (topic && topic->kind == DMF_FUNCTION)
    json_object_set_new(item, "detail", text_json("%s", topic->usage));
  if (about) json_object_set_new(item, "documentation", text_json("%s", about));
  json_array_append_new(list, item);
}

static bool is_offered(const json_t *list, const char *name, size_t length) {
  size_t i;
  json_t *item;
  json_array_foreach(list, i, item) {
    const char *label = json_string_value(json_object_get(item, "label"));
    if (strlen(label) == length && !strncmp(label, name, length)) return true;
  }
  return false;
}

/* The words of a text, but for its comments, that go on as the one from `begin` to `end` does. */
static void offer_words(Dmf *dmf, json_t *list, const char *text, const char *begin,
                        const char *end) {
  for (const char *word = text, *behind; *word; word = behind) {
    if (*word == '#') word += strcspn(word, "\n");
    if (!*word) return;
    for (behind = word + 1; is_name_byte(*word) && is_name_byte(*behind);) behind++;
    bool name = is_name_byte(*word) && !isdigit((unsigned char)*word) && word != begin;
    if (!name || strncmp(word, begin, (size_t)(end - begin))) continue;
    if (is_offered(list, word, (size_t)(behind - word))) continue;
    char *copy = claim(strndup(word, (size_t)(behind - word)));
    offer(dmf, list, copy, NULL);
    free(copy);
  }
}

/* Behind the dot of what a broken text does not tell, all fields and keys. */
static void offer_members(Dmf *dmf, json_t *list, const char *begin, const char *end) {
  const DmfTopic *topic;
  for (int i = 1; (topic = dmf_topic(dmf, i)); i++) {
    bool member = topic->kind == DMF_FIELD || topic->kind == DMF_KEY;
    if (member && !strncmp(topic->name, begin, (size_t)(end - begin)) &&
        !is_offered(list, topic->name, strlen(topic->name)))
      offer(dmf, list, topic->name, topic->about);
  }
}

/* What a session would offer that has checked the rest of the text; and a word that has been begun
 * may be any other of the text. */
static json_t *completion(const Server *server, json_t *params) {
  const char *text, *end = cursor(server, params, &text), *begin = end, *name;
  if (!end) return NULL;
  while (begin > text && is_name_byte(begin[-1])) begin--;
  bool behind_dot = begin > text && begin[-1] == '.';
  Dmf *dmf = open_learned(server, params, text, end);
  json_t *list = json_array();
  dmf_topic(dmf, 0);
  for (int i = 0; (name = dmf_complete(dmf, text, (size_t)(end - text), i)); i++)
    offer(dmf, list, name, dmf_complete_about(dmf, i));
  if (behind_dot && !json_array_size(list)) offer_members(dmf, list, begin, end);
  if (!behind_dot && begin < end) offer_words(dmf, list, text, begin, end);
  dmf_close(dmf);
  return list;
}

/* The parameters of "name(a, b = 1)", each as it is written. */
static json_t *parameters_of(const char *usage) {
  json_t *list = json_array();
  const char *at = strchr(usage, '(');
  for (at = at ? at + 1 : ""; *at && *at != ')';) {
    size_t length = 0;
    for (int depth = 0; at[length] && (depth || !strchr(",)", at[length])); length++)
      depth += strchr("([", at[length]) ? 1 : strchr(")]", at[length]) ? -1 : 0;
    json_array_append_new(list, json_pack("{s:s%}", "label", at, length));
    at += length + strspn(at + length, ", ");
  }
  return list;
}

/* The call that the cursor stands in. */
static json_t *signature(const Server *server, json_t *params) {
  const char *text, *at = cursor(server, params, &text);
  DmfCall call;
  if (!at) return NULL;
  Dmf *dmf = open_learned(server, params, text, at);
  json_t *result = NULL;
  if (dmf_call(dmf, text, (size_t)(at - text), &call)) {
    json_t *one =
        json_pack("{s:o, s:o, s:o}", "label", text_json("%s", call.usage), "documentation",
                  text_json("%s", call.about), "parameters", parameters_of(call.usage));
    result = json_pack("{s:[o], s:i, s:i}", "signatures", one, "activeSignature", 0,
                       "activeParameter", call.parameter < 0 ? 1000 : call.parameter);
  }
  dmf_close(dmf);
  return result;
}

/* What a message suggests in place of what it is about: "did you mean 'loss'?" */
static json_t *correction(const char *uri, json_t *diagnostic) {
  static const char question[] = "did you mean '";
  const char *message = json_string_value(json_object_get(diagnostic, "message"));
  const char *word = message ? strstr(message, question) : NULL;
  if (!word) return NULL;
  word += sizeof question - 1;
  size_t length = strcspn(word, "'");
  if (strncmp(word + length, "'?", 2) != 0) return NULL;
  json_t *edit = json_pack("{s:O, s:s%}", "range", json_object_get(diagnostic, "range"), "newText",
                           word, length);
  return json_pack("{s:o, s:s, s:b, s:[O], s:{s:{s:[o]}}}", "title",
                   text_json("write '%.*s'", (int)length, word), "kind", "quickfix", "isPreferred",
                   1, "diagnostics", diagnostic, "edit", "changes", uri, edit);
}

static json_t *actions(const Server *server, json_t *params) {
  const char *uri;
  json_t *list = json_array(), *context = json_object_get(params, "context"), *diagnostic;
  size_t i;
  if (!document_of(server, params, &uri)) return list;
  json_array_foreach(json_object_get(context, "diagnostics"), i, diagnostic) {
    json_t *action = correction(uri, diagnostic);
    if (action) json_array_append_new(list, action);
  }
  return list;
}

/* Requests about the name at a place, or all names of a text. */

typedef struct Asked {
  Dmf *dmf;
  const char *uri, *text, *at;
} Asked;

/* False when the request names no document, or with `place` no place in it. */
static bool ask(const Server *server, json_t *params, bool place, Asked *asked) {
  *asked = (Asked){0};
  asked->text = json_string_value(document_of(server, params, &asked->uri));
  if (place) asked->at = cursor(server, params, &asked->text);
  if (!asked->text || (place && !asked->at)) return false;
  asked->dmf = open_session(server, NULL);
  return true;
}

static json_t *definition(const Server *server, json_t *params) {
  Asked a;
  if (!ask(server, params, true, &a)) return NULL;
  json_t *result = navigate_definition(a.dmf, a.uri, a.text, a.at);
  dmf_close(a.dmf);
  return result;
}

static json_t *references(const Server *server, json_t *params) {
  Asked a;
  int with = 0;
  json_unpack(params, "{s:{s:b}}", "context", "includeDeclaration", &with);
  if (!ask(server, params, true, &a)) return NULL;
  json_t *result = navigate_references(a.dmf, a.uri, a.text, a.at, with);
  dmf_close(a.dmf);
  return result;
}

static json_t *symbols(const Server *server, json_t *params) {
  Asked a;
  if (!ask(server, params, false, &a)) return NULL;
  json_t *result = navigate_symbols(a.dmf, a.text);
  dmf_close(a.dmf);
  return result;
}

static json_t *tokens(const Server *server, json_t *params) {
  Asked a;
  if (!ask(server, params, false, &a)) return NULL;
  json_t *result = navigate_tokens(a.dmf, a.text);
  dmf_close(a.dmf);
  return result;
}

/* The one request that may fail. */
static void rename_name(const Server *server, json_t *id, json_t *params) {
  Asked a;
  const char *name = "", *why = "the text is not open";
  json_t *edits = NULL;
  json_unpack(params, "{s:s}", "newName", &name);
  if (ask(server, params, true, &a)) {
    edits = navigate_rename(a.dmf, a.uri, a.text, a.at, name, &why);
    dmf_close(a.dmf);
  }
  if (edits)
    respond(id, edits);
  else
    refuse(id, REQUEST_FAILED, why);
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

/* The requests that are answered with what a function gives. */
static const struct {
  const char *method;
  json_t *(*answer)(const Server *server, json_t *params);
} requests[] = {{"textDocument/hover", hover},
                {"textDocument/completion", completion},
                {"textDocument/signatureHelp", signature},
                {"textDocument/definition", definition},
                {"textDocument/references", references},
                {"textDocument/documentSymbol", symbols},
                {"textDocument/semanticTokens/full", tokens},
                {"textDocument/codeAction", actions},
                {"textDocument/formatting", formatting}};

static void answer(Server *server, const char *method, json_t *id, json_t *params) {
  if (server->asked_to_end) {
    refuse(id, INVALID_REQUEST, "the server was asked to shut down");
    return;
  }
  for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
    if (!strcmp(method, requests[i].method)) {
      respond(id, requests[i].answer(server, params));
      return;
    }
  if (!strcmp(method, "initialize")) {
    respond(id, initialize());
  } else if (!strcmp(method, "textDocument/rename")) {
    rename_name(server, id, params);
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

/* An answer that lacks a part of it would be a wrong one. */
static void *claim_bytes(size_t bytes) { return claim(malloc(bytes)); }

int lsp_run(void) {
  json_set_alloc_funcs(claim_bytes, free);
  Server server = {.documents = json_object(), .nowhere = claim(fopen("/dev/null", "w"))};
  char *body;
  size_t length;
  setvbuf(stdout, NULL, _IOFBF, BUFSIZ);
  while (!server.done && (body = read_body(&length))) {
    mend_escapes(body);
    json_t *message = json_loadb(body, length, JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL);
    handle(&server, message);
    json_decref(message);
    free(body);
  }
  json_decref(server.documents);
  fclose(server.nowhere);
  return server.done && !server.asked_to_end ? DMF_USAGE : DMF_OK;
}
