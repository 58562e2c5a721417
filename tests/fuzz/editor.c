/* SPDX-License-Identifier: GPL-3.0-or-later */
/* An editor that asks odd things of the language server, in well-formed messages: any method, place
 * and id, of programs of the grammar or of broken ones. Every request is answered, once. */
#include "cli/lsp.h"
#include "generate.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGES = 24 };

#define ONE_OF(c, list) (list)[pick(c, sizeof(list) / sizeof *(list))]

static json_t *some_text(Choice *c) {
  static const char *const pieces[] = {
      "é",    "𝛾 = 1\n", "\r\n", "\t",      "\"",     "\"é", "{",  "dmft(",     "x.", "# é\n",
      "\\ga", "\n",      "th.",  "with { ", "model ", "[",   "\r", "import \"", "lo", "𝛾𝛾 "};
  char *text = NULL;
  size_t length = 0, count = 1 + pick(c, 6);
  c->out = open_memstream(&text, &length);
  for (size_t i = 0; i < count; i++)
    if (pick(c, 2))
      fputs(ONE_OF(c, pieces), c->out);
    else
      write_rule(c, "statement", strlen("statement"), 0);
  fclose(c->out);
  json_t *string = json_string(text);
  free(text);
  return string ? string : json_string("");
}

static json_t *number(Choice *c, size_t most) {
  static const json_int_t numbers[] = {0,  1,   2,  3,       7,         20,
                                       99, 400, -1, 1 << 30, INT64_MAX, INT64_MIN};
  return json_integer(pick(c, 4) ? (json_int_t)pick(c, most) : ONE_OF(c, numbers));
}

static json_t *place(Choice *c) {
  return json_pack("{s:o, s:o}", "line", number(c, 3), "character", number(c, 80));
}

static json_t *identity(Choice *c) {
  switch (pick(c, 5)) {
  case 1: return json_string("é");
  case 2: return json_null();
  case 3: return json_real(1.5);
  default: return number(c, 9);
  }
}

/* All that some method wants; each takes what it knows. */
static json_t *parameters(Choice *c, const char *uri) {
  static const char *const names[] = {"x", "2", "", "é", "model", "th", "a b", "s"};
  json_t *range = json_pack("{s:o, s:o}", "start", place(c), "end", place(c));
  json_t *note = json_pack("{s:o, s:s, s:o}", "range", range, "message",
                           "unknown name 'a'; did you mean 'b'?", "code", number(c, 9));
  json_t *list = json_pack("[o]", note), *kind = json_array();
  return json_pack("{s:{s:s, s:o}, s:o, s:[{s:o}], s:s, s:{s:o, s:o, s:b}}", "textDocument", "uri",
                   uri, "text", some_text(c), "position", place(c), "contentChanges", "text",
                   some_text(c), "newName", ONE_OF(c, names), "context", "diagnostics", list,
                   "only", kind, "includeDeclaration", (int)pick(c, 2));
}

static json_t *request(Choice *c) {
  static const char *const methods[] = {"initialize",
                                        "textDocument/hover",
                                        "textDocument/completion",
                                        "textDocument/signatureHelp",
                                        "textDocument/definition",
                                        "textDocument/references",
                                        "textDocument/documentSymbol",
                                        "textDocument/semanticTokens/full",
                                        "textDocument/codeAction",
                                        "textDocument/formatting",
                                        "textDocument/rename",
                                        "textDocument/unknown"};
  const char *method = ONE_OF(c, methods);
  return json_pack("{s:s, s:o, s:o}", "method", method, "id", identity(c), "params",
                   pick(c, 8) == 7 ? number(c, 9)
                                   : parameters(c, pick(c, 8) ? "file:///a.dmf" : "b"));
}

static json_t *note(Choice *c) {
  static const char *const methods[] = {"textDocument/didOpen", "textDocument/didChange",
                                        "textDocument/didChange", "textDocument/didClose"};
  return json_pack("{s:s, s:o}", "method", ONE_OF(c, methods), "params",
                   parameters(c, pick(c, 8) ? "file:///a.dmf" : "b"));
}

/* Writes messages, and returns how many of them want an answer. */
static size_t converse(Choice *c, FILE *out) {
  size_t asked = 0;
  for (int i = 0; i < MESSAGES && c->left; i++) {
    bool asks = i > 0 && pick(c, 4);
    json_t *message = asks ? request(c) : note(c);
    char *body = json_dumps(message, pick(c, 2) ? JSON_ENSURE_ASCII : JSON_COMPACT);
    if (!body) abort();
    if (getenv("DMF_FUZZ_SHOW")) fprintf(stderr, "%s\n", body);
    fprintf(out, "Content-Length: %zu\r\n\r\n%s", strlen(body), body);
    asked += asks;
    free(body);
    json_decref(message);
  }
  return asked;
}

/* How many answers there are; all that the server writes is JSON of the length that it says. */
static size_t answers_of(const char *text) {
  size_t count = 0, length;
  int header;
  for (; *text; text += length) {
    if (sscanf(text, "Content-Length: %zu%n", &length, &header) != 1) abort();
    text += header + strlen("\r\n\r\n");
    json_t *message =
        strlen(text) >= length ? json_loadb(text, length, JSON_ALLOW_NUL, NULL) : NULL;
    if (!message) abort();
    count += json_object_get(message, "id") != NULL;
    json_decref(message);
  }
  return count;
}

void target_editor(const uint8_t *data, size_t size) {
  FILE *in = stdin, *out = stdout;
  char *asked = NULL, *said = NULL;
  size_t asked_length = 0, said_length = 0;
  Choice c = {data, size, NULL, NULL};
  if (!size) return;
  FILE *sheet = open_memstream(&asked, &asked_length);
  size_t requests = converse(&c, sheet);
  fclose(sheet);
  stdin = fmemopen(asked, asked_length, "r");
  stdout = open_memstream(&said, &said_length);
  int status = lsp_run();
  fclose(stdin);
  fclose(stdout);
  stdin = in;
  stdout = out;
  size_t answers = answers_of(said);
  if (status != DMF_OK || answers != requests) {
    fprintf(stderr, "status %d, %zu requests, %zu answers\n", status, requests, answers);
    abort();
  }
  free(asked);
  free(said);
}
