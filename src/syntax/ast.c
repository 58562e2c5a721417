/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/memory.h"
#include "syntax/build.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Kids *kids_add(Build *build, Kids *kids, Ast *node) {
  if (kids->count == kids->capacity) {
    Ast **old = kids->item;
    kids->capacity *= 2;
    kids->item = arena_alloc(build->arena, (size_t)kids->capacity * sizeof *kids->item);
    memcpy(kids->item, old, (size_t)kids->count * sizeof *old);
  }
  kids->item[kids->count++] = node;
  return kids;
}

Kids *kids_of(Build *build, int count, ...) {
  Kids *kids = arena_alloc(build->arena, sizeof *kids);
  kids->capacity = count > 0 ? count : 1;
  kids->item = arena_alloc(build->arena, (size_t)kids->capacity * sizeof *kids->item);
  va_list nodes;
  va_start(nodes, count);
  for (int i = 0; i < count; i++) kids->item[i] = va_arg(nodes, Ast *);
  va_end(nodes);
  kids->count = count;
  return kids;
}

Kids *kids_prepend(Build *build, Ast *node, Kids *kids) {
  kids_add(build, kids, node);
  memmove(kids->item + 1, kids->item, (size_t)(kids->count - 1) * sizeof *kids->item);
  kids->item[0] = node;
  return kids;
}

void build_too_deep(Build *build, Span span) {
  diag_error(build->diags, STATUS_SCRIPT, span, "name its parts on lines of their own",
             "the expression is nested too deeply");
}

/* What a node adds to the height. Where the grammar recurses without a bracket, a step counts so
 * much that AST_MAX_DEPTH of them reach the limit. */
static int weight(const Ast *node) {
  bool recursive = node->kind == AST_IF || node->kind == AST_WHEN || node->kind == AST_CLOSURE ||
                   (node->kind == AST_UNARY && node->op != '\'') ||
                   (node->kind == AST_BINARY && node->op == '^');
  return recursive ? AST_MAX_HEIGHT / AST_MAX_DEPTH : 1;
}

static bool holds_statements(const Ast *node) {
  return node->kind == AST_BLOCK || node->kind == AST_DECLARE || node->kind == AST_SYSTEM ||
         node->kind == AST_STEP;
}

static int tallest(const Ast *node) {
  int height = 0;
  for (int i = 0; i < node->count; i++) {
    const Ast *kid = node->kid[i];
    if (!kid || (kid->kind == AST_BROKEN && holds_statements(node))) continue;
    if (kid->height > height) height = kid->height;
  }
  return height;
}

static void break_node(Ast *node) {
  *node = (Ast){.kind = AST_BROKEN, .span = node->span, .height = AST_MAX_HEIGHT + 1};
}

/* Gives a node its children and its height. */
static Ast *seal(Build *build, Ast *node, Kids *kids) {
  node->kid = kids->item;
  node->count = kids->count;
  int below = tallest(node);
  node->height = below + weight(node);
  if (node->height <= AST_MAX_HEIGHT) return node;
  if (below <= AST_MAX_HEIGHT) build_too_deep(build, node->span);
  break_node(node);
  return node;
}

static Ast *leaf(Build *build, AstKind kind, Span span) {
  Ast *node = arena_alloc(build->arena, sizeof *node);
  node->kind = kind;
  node->span = span;
  node->height = 1;
  return node;
}

Ast *build_node(Build *build, AstKind kind, Span span, Kids *kids) {
  return seal(build, leaf(build, kind, span), kids);
}

Ast *build_named(Build *build, AstKind kind, Span span, Name name, Kids *kids) {
  Ast *node = leaf(build, kind, span);
  node->name = name.text;
  node->name_span = name.span;
  return kids ? seal(build, node, kids) : node;
}

Ast *build_repeat(Build *build, Span span, Span word, Ast *count, Ast *block) {
  Kids *range = kids_of(build, 2, build_number(build, count->span, 1), count);
  Ast *all = build_node(build, AST_RANGE, count->span, range);
  return build_named(build, AST_FOR, span, (Name){.text = "", .span = word},
                     kids_of(build, 2, all, block));
}

Ast *build_op(Build *build, AstKind kind, Span span, int op, Kids *kids) {
  Ast *node = leaf(build, kind, span);
  node->op = op;
  return seal(build, node, kids);
}

Ast *build_declare(Build *build, Span span, int op, Name name, Kids *entries) {
  Ast *node = build_named(build, AST_DECLARE, span, name, entries);
  node->op = op;
  return node;
}

Ast *build_dataset(Build *build, Span span, Name name, Kids *facts) {
  bool grows = false;
  for (int i = 0; i < facts->count; i++) {
    AstKind kind = facts->item[i]->kind;
    grows |= kind == AST_POPULATION || kind == AST_MATRIX || kind == AST_UPDATE;
  }
  if (!grows) return build_declare(build, span, AST_DATASET, name, facts);
  for (int i = 0; i < facts->count; i++)
    if (facts->item[i]->kind == AST_ENTRY) facts->item[i]->kind = AST_ASSIGN;
  Ast *node = build_named(build, AST_SYSTEM, span, name, facts);
  node->op = AST_DATASET;
  return node;
}

Ast *build_family(Build *build, Span span, Name name, Kids *arguments, Kids *parameters,
                  Ast *body) {
  double count = arguments->count;
  for (int i = 0; i < parameters->count; i++) kids_add(build, arguments, parameters->item[i]);
  Ast *node = build_named(build, AST_FUNCTION, span, name, kids_add(build, arguments, body));
  node->number = count;
  return node;
}

static bool holds_name(const Kids *kids, const char *name) {
  for (int i = 0; i < kids->count; i++)
    if (strcmp(kids->item[i]->name, name) == 0) return true;
  return false;
}

/* Adds the names below a node that are not there yet. */
static void add_names(Build *build, Kids *kids, Ast *node) {
  if (!node) return;
  if (node->kind == AST_NAME && !holds_name(kids, node->name)) kids_add(build, kids, node);
  for (int i = 0; i < node->count; i++) add_names(build, kids, node->kid[i]);
}

Ast *build_closure(Build *build, Span span, Kids *parameters, Ast *body) {
  int count = parameters->count;
  for (int i = 0; i < count; i++) add_names(build, parameters, parameters->item[i]);
  add_names(build, parameters, body);
  Ast *node = build_node(build, AST_CLOSURE, span, kids_add(build, parameters, body));
  char *text = ast_source(node);
  node->name = arena_copy(build->arena, text, strlen(text));
  node->name_span = span;
  node->number = count;
  free(text);
  return node;
}

Ast *build_number(Build *build, Span span, double number) {
  Ast *node = leaf(build, AST_NUMBER, span);
  node->number = number;
  return node;
}

Ast *build_string(Build *build, Span span, const char *text) {
  Ast *node = leaf(build, AST_STRING, span);
  node->name = text;
  return node;
}

Ast *build_import(Build *build, Span span, const char *file) {
  Ast *node = leaf(build, AST_IMPORT, span);
  node->name = file;
  return node;
}

Ast *build_group(Ast *node, Span span) {
  node->span = span;
  return node;
}

const char *ast_operator(int op) {
  static _Thread_local char single[2];
  switch (op) {
  case AST_LE: return "<=";
  case AST_GE: return ">=";
  case AST_EQ: return "==";
  case AST_NE: return "!=";
  case AST_AND: return "and";
  case AST_OR: return "or";
  case AST_NOT: return "not";
  case AST_ARROW: return "->";
  case AST_DATASET: return "dataset";
  case AST_MODEL: return "model";
  case AST_TRAINING: return "training";
  }
  single[0] = (char)op;
  return single;
}

static const char *const heads[] = {
    [AST_ARRAY] = "array",
    [AST_EACH] = "each",
    [AST_RANGE] = "..",
    [AST_IF] = "if",
    [AST_CALL] = "call",
    [AST_ARG] = "=",
    [AST_INDEX] = "index",
    [AST_SLICE] = ":",
    [AST_FIELD] = ".",
    [AST_WITH] = "with",
    [AST_CLOSURE] = "closure",
    [AST_BLOCK] = "block",
    [AST_ASSIGN] = "=",
    [AST_FUNCTION] = "function",
    [AST_ACTIVATION] = "activation",
    [AST_LOSS] = "loss",
    [AST_LAYER] = "layer",
    [AST_RETURN] = "return",
    [AST_SYSTEM] = "system",
    [AST_POPULATION] = "population",
    [AST_MATRIX] = "matrix",
    [AST_STATE] = "state",
    [AST_UPDATE] = "update",
    [AST_STEP] = "step",
    [AST_OBSERVE] = "observe",
    [AST_PARAM] = "param",
    [AST_ENTRY] = "=",
    [AST_IMPORT] = "import",
    [AST_PRINT] = "print",
    [AST_PLOT] = "plot",
    [AST_SAVE] = "save",
    [AST_REPORT] = "report",
    [AST_ASSERT] = "assert",
    [AST_FOR] = "for",
    [AST_WHILE] = "while",
    [AST_WHEN] = "when",
    [AST_EXPRESSION] = "show",
    [AST_BROKEN] = "broken",
};

static void write_string(FILE *out, const char *text) {
  putc('"', out);
  for (; *text; text++) {
    if (*text == '"' || *text == '\\') putc('\\', out);
    if (*text == '\n' || *text == '\t')
      fputs(*text == '\n' ? "\\n" : "\\t", out);
    else
      putc(*text, out);
  }
  putc('"', out);
}

static void write_node(FILE *out, const Ast *node) {
  if (!node) {
    putc('_', out);
    return;
  }
  switch (node->kind) {
  case AST_NUMBER: fprintf(out, "%.15g", node->number); return;
  case AST_STRING: write_string(out, node->name); return;
  case AST_NAME: fputs(node->name, out); return;
  default: break;
  }
  fprintf(out, "(%s", node->op ? ast_operator(node->op) : heads[node->kind]);
  if (node->kind == AST_IMPORT) {
    putc(' ', out);
    write_string(out, node->name);
  } else if (node->name && node->kind != AST_FIELD && node->kind != AST_CLOSURE) {
    fprintf(out, " %s", node->name);
  }
  for (int i = 0; i < node->count; i++) {
    putc(' ', out);
    write_node(out, node->kid[i]);
  }
  if (node->kind == AST_FIELD) fprintf(out, " %s", node->name);
  putc(')', out);
}

char *ast_print(const Ast *node) {
  char *text = NULL;
  size_t length;
  FILE *out = mem_stream(&text, &length);
  if (!out) return mem_string("");
  write_node(out, node);
  mem_stream_end(out);
  return text;
}

/* The end of the string literal that begins at `at`. */
static const char *string_end(const char *at, const char *end) {
  for (at++; at < end && *at != '"'; at++)
    if (*at == '\\' && at + 1 < end) at++;
  return at < end ? at + 1 : end;
}

/* Past the white space and comments at `at`. */
static const char *blank_end(const char *at, const char *end) {
  while (at < end && strchr(" \t\r\n\f\v#", *at)) {
    const char *line = *at == '#' ? memchr(at, '\n', (size_t)(end - at)) : at + 1;
    at = line ? line : end;
  }
  return at;
}

char *ast_source(const Ast *node) {
  const char *text = node->span.source ? node->span.source->text : "";
  const char *at = text + node->span.begin, *end = text + node->span.end;
  char *copy = mem_new((size_t)(end - at) + 1, 1), *to = copy;
  while (at < end) {
    const char *next = blank_end(at, end);
    if (next > at) {
      *to++ = ' ';
    } else {
      next = *at == '"' ? string_end(at, end) : at + 1;
      to = mempcpy(to, at, (size_t)(next - at));
    }
    at = next;
  }
  return copy;
}

/* Comments */

static const char *past_blanks(const char *at) { return at + strspn(at, " \t"); }

static const char *next_line(const char *at) {
  const char *end = strchr(at, '\n');
  return end ? end + 1 : at + strlen(at);
}

/* What stands behind the marks of the comments that begin `count` lines from `line` on. */
static char *comment_text(const char *line, int count) {
  char *text = mem_string("");
  for (; count > 0; count--, line = next_line(line)) {
    const char *at = past_blanks(past_blanks(line) + 1);
    int length = (int)strcspn(at, "\r\n");
    char *longer = mem_format("%s%s%.*s", text, *text ? " " : "", length, at);
    free(text);
    text = longer;
  }
  return text;
}

/* The number of comment lines from `line` on. */
static int comment_lines(const char *line) {
  int count = 0;
  for (; *past_blanks(line) == '#'; line = next_line(line)) count++;
  return count;
}

char *ast_comment(const Ast *node) {
  const char *text = node->span.source->text, *behind = past_blanks(text + node->span.end);
  if (*behind == '#') return comment_text(behind, 1);
  const char *line = text + node->span.begin, *first = NULL;
  int count = 0;
  while (line > text && line[-1] != '\n') line--;
  while (line > text) {
    for (line--; line > text && line[-1] != '\n';) line--;
    if (*past_blanks(line) != '#') break;
    first = line;
    count++;
  }
  return comment_text(first, count);
}

char *source_comment(const Source *source) {
  return comment_text(source->text, comment_lines(source->text));
}
