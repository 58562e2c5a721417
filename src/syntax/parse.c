/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "syntax/build.h"
#include "base/utf8.h"
#include "syntax/lexeme.h"
#include "syntax/tokens.h"

#include "parser.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Whether the text can be read at all; reports the first reason why not. */
static bool readable(const Source *source, Diags *diags) {
  if (source->length >= INT_MAX) {
    diag_error(diags, STATUS_LIMIT, (Span){source, 0, 0}, NULL, "the text is longer than 2 GB");
    return false;
  }
  uint32_t code, length = (uint32_t)source->length;
  for (uint32_t at = 0, step; at < length; at += step) {
    step = (uint32_t)utf8_decode(source->text + at, length - at, &code);
    if (step > 0 && code != 0) continue;
    diag_error(diags, STATUS_SCRIPT, (Span){source, at, at + 1}, "scripts are text in UTF-8",
               step ? "the text holds a NUL byte" : "the text is not valid UTF-8");
    return false;
  }
  return true;
}

static Script *script_new(Source *source) {
  Script *script = mem_new(1, sizeof *script);
  script->source = source_keep(source);
  script->arena = arena_new();
  return script;
}

void script_free(Script *script) {
  if (!script) return;
  arena_free(script->arena);
  source_drop(script->source);
  free(script);
}

void script_drop_tree(Script *script) {
  arena_free(script->arena);
  script->arena = NULL;
  script->root = NULL;
}

static bool holds_code(const Ast *node) {
  if (!node) return false;
  if (node->kind == AST_FUNCTION || node->kind == AST_ACTIVATION || node->kind == AST_LAYER ||
      node->kind == AST_SYSTEM || node->kind == AST_CLOSURE)
    return true;
  for (int i = 0; i < node->count; i++)
    if (holds_code(node->kid[i])) return true;
  return false;
}

bool script_holds_code(const Script *script) { return holds_code(script->root); }

/* Parses the source of `script` and sets its root, NULL if the parser did not reach the end. */
static ParseOutcome parse(Script *script, int start, bool interactive, Diags *diags) {
  Build build = {.source = script->source,
                 .arena = script->arena,
                 .diags = diags,
                 .errors = diags->errors,
                 .interactive = interactive};
  if (!readable(script->source, diags)) return PARSE_ERROR;
  Tokens *tokens = tokens_open(&build, start);
  dmf_yyparse(tokens, &build);
  tokens_close(tokens);
  script->root = build.root;
  if (diags->errors > build.errors) return PARSE_ERROR;
  return build.unfinished ? PARSE_INCOMPLETE : PARSE_OK;
}

static Ast *empty_block(Script *script) {
  Ast *root = arena_alloc(script->arena, sizeof *root);
  *root = (Ast){.kind = AST_BLOCK, .span = {script->source, 0, 0}, .height = 1};
  return root;
}

ParseOutcome script_parse(Source *source, bool interactive, Script **script, Diags *diags) {
  *script = script_new(source);
  ParseOutcome outcome = parse(*script, START_SCRIPT, interactive, diags);
  if (!(*script)->root) (*script)->root = empty_block(*script);
  return outcome;
}

const Ast *script_tree(Script *script) {
  if (script->root) return script->root;
  Diags diags = {0};
  script->arena = arena_new();
  parse(script, START_SCRIPT, true, &diags);
  diags_clear(&diags);
  return script->root ? script->root : (script->root = empty_block(script));
}

Script *script_parse_expression(Source *source, Diags *diags) {
  Script *script = script_new(source);
  if (parse(script, START_EXPRESSION, false, diags) == PARSE_OK) return script;
  script_free(script);
  return NULL;
}
