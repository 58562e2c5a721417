/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "syntax/tokens.h"

#include "syntax/lexeme.h"
#include "parser.h"

#define YYSTYPE Value
#define YYLTYPE Span
#include "lexer.h"

#include <stdlib.h>
#include <string.h>

/* A token as scanned, with the separators before it folded in. */
typedef struct Token {
  int kind;
  Span span;
  Value value;
  uint32_t column;
  bool newline, semicolon; /* before it */
  Span gap;                /* the first separator before it */
} Token;

typedef struct Bracket {
  char kind;
  bool entries;    /* { } of name = value entries rather than of statements */
  uint32_t indent; /* column of the first token of its line */
  Span span;
} Bracket;

enum { AHEAD = 3 };

struct Tokens {
  Build *build;
  yyscan_t scanner;
  Span at;         /* of the token scanned last */
  uint32_t line;   /* where its line begins */
  uint32_t indent; /* column of the first token of the current line */
  int start;
  Token ahead[AHEAD]; /* scanned, not yet delivered */
  int waiting;
  bool broken;   /* the separator before ahead[0] has been delivered */
  Token last;    /* delivered last, with its kind as delivered */
  int before;    /* the kind delivered before that */
  int statement; /* the kind of the token that began the current statement */
  Span begin;    /* its place */
  Bracket open[AST_MAX_DEPTH];
  int depth, depth_before; /* now, and before the last token */
  bool recovering;         /* skip, and deliver RESUME */
  bool close_brace;        /* then act as if `}` stood here */
  bool stopped;            /* read no further */
  bool ending;             /* close all braces in silence */
};

Tokens *tokens_open(Build *build, int start) {
  enum { MARK = 3 };
  Tokens *tokens = mem_new(1, sizeof *tokens);
  const Source *source = build->source;
  uint32_t skip = strncmp(source->text, "\xef\xbb\xbf", MARK) == 0 ? MARK : 0;
  tokens->build = build;
  tokens->start = start;
  tokens->at = (Span){source, skip, skip};
  tokens->line = skip;
  dmf_yylex_init_extra(build, &tokens->scanner);
  dmf_yy_scan_bytes(source->text + skip, (int)(source->length - skip), tokens->scanner);
  return tokens;
}

void tokens_close(Tokens *tokens) {
  dmf_yylex_destroy(tokens->scanner);
  free(tokens);
}

static void scan(Tokens *tokens, Token *token) {
  *token = (Token){.newline = tokens->at.begin == tokens->at.end};
  for (;;) {
    int kind = tokens->stopped ? 0 : dmf_yylex(&token->value, &tokens->at, tokens->scanner);
    if (kind == NEWLINE) tokens->line = tokens->at.end;
    if (kind != NEWLINE && kind != SEMICOLON) {
      token->kind = kind ? kind : FINISH;
      break;
    }
    if (!token->gap.source) token->gap = tokens->at;
    token->newline |= kind == NEWLINE;
    token->semicolon |= kind == SEMICOLON;
  }
  if (token->kind == FINISH) {
    uint32_t end = (uint32_t)tokens->build->source->length;
    tokens->at = (Span){tokens->build->source, end, end};
  }
  token->span = tokens->at;
  token->column = tokens->at.begin - tokens->line;
}

static Token *peek(Tokens *tokens, int index) {
  while (tokens->waiting <= index) scan(tokens, &tokens->ahead[tokens->waiting++]);
  return &tokens->ahead[index];
}

static void drop(Tokens *tokens) {
  tokens->waiting--;
  memmove(tokens->ahead, tokens->ahead + 1, (size_t)tokens->waiting * sizeof(Token));
  tokens->broken = false;
}

/* Words that are names wherever they cannot be keywords. */
static bool soft(int kind) {
  switch (kind) {
  case REPEAT:
  case TO:
  case DATASET:
  case MODEL:
  case TRAINING:
  case ACTIVATION:
  case LOSS:
  case FUNCTION:
  case LAYER:
  case SYSTEM:
  case POPULATION:
  case MATRIX:
  case STATE:
  case MOVES:
  case OBSERVE:
  case REPORT:
  case OF: return true;
  }
  return false;
}

static bool begins_statement(int kind) {
  switch (kind) {
  case DATASET:
  case MODEL:
  case TRAINING:
  case ACTIVATION:
  case LOSS:
  case FUNCTION:
  case LAYER:
  case SYSTEM:
  case IMPORT:
  case PRINT:
  case PLOT:
  case SAVE:
  case REPORT:
  case ASSERT:
  case FOR:
  case WHILE:
  case RETURN:
  case IF: return true;
  }
  return false;
}

static bool declares(int kind) { return kind == DATASET || kind == MODEL || kind == TRAINING; }

/* After these a newline does not end the statement, and a text is not finished. */
static bool awaits_more(int kind) {
  switch (kind) {
  case '+':
  case '-':
  case '*':
  case '/':
  case '^':
  case '@':
  case '<':
  case '>':
  case ',':
  case LE:
  case GE:
  case EQ:
  case NE:
  case AND:
  case OR:
  case NOT:
  case ARROW:
  case DOTDOT:
  case THEN:
  case ELSE: return true;
  }
  return false;
}

static bool continues_line(int kind) { return kind == ELSE || kind == THEN || kind == ARROW; }

bool token_ends_operand(int kind) {
  switch (kind) {
  case NAME:
  case NUMBER:
  case STRING:
  case TRANSPOSE:
  case ')':
  case ']':
  case '}': return true;
  }
  return false;
}

static bool keyword(int kind) {
  if (soft(kind) || begins_statement(kind) || continues_line(kind)) return true;
  return kind == AND || kind == OR || kind == NOT || kind == IN || kind == WITH;
}

static const Bracket *innermost(const Tokens *tokens) {
  return tokens->depth > 0 ? &tokens->open[tokens->depth - 1] : NULL;
}

/* Whether the separator before the next token ends a statement. */
static bool separates(const Tokens *tokens, const Token *token) {
  const Bracket *bracket = innermost(tokens);
  if (tokens->broken || !token->gap.source) return false;
  if (token->semicolon) return true;
  if (tokens->start == START_EXPRESSION || (bracket && bracket->kind != '{')) return false;
  return !continues_line(token->kind) && !awaits_more(tokens->last.kind);
}

static bool at_statement(const Tokens *tokens, const Token *token) {
  const Bracket *bracket = innermost(tokens);
  int last = tokens->last.kind;
  if (last != NEWLINE && last != '{' && last != RESUME && last != START_SCRIPT) return false;
  return !bracket || !bracket->entries || (token->newline && token->column <= bracket->indent);
}

/* Whether the next token begins a line of a dataset that grows. */
static bool at_fact(const Tokens *tokens, const Token *token) {
  const Bracket *bracket = innermost(tokens);
  bool begins = tokens->last.kind == NEWLINE || tokens->last.kind == '{';
  return begins && bracket && bracket->entries && tokens->statement == DATASET &&
         (token->kind == POPULATION || token->kind == MATRIX);
}

/* Whether the next token, a soft word, is a keyword here. */
static bool acts(Tokens *tokens, const Token *token) {
  if (token->kind == TO) return token_ends_operand(tokens->last.kind);
  if (token->kind == OF)
    return tokens->statement == LAYER ? tokens->last.kind == ')' || tokens->last.kind == NAME
                                      : tokens->statement == FUNCTION && tokens->last.kind == ')';
  const Token *next = peek(tokens, 1);
  if (token->kind == FUNCTION && next->kind == '(' && !next->gap.source) return true;
  if (next->gap.source || (!at_statement(tokens, token) && !at_fact(tokens, token))) return false;
  if (token->kind == REPEAT && next->kind == NUMBER) return true;
  return next->kind == NAME || soft(next->kind) || begins_statement(next->kind) ||
         ((declares(token->kind) || token->kind == MOVES) && next->kind == '{');
}

/* Decides what the next token is to the parser. */
static void resolve(Tokens *tokens) {
  Token *token = peek(tokens, 0);
  bool name = keyword(token->kind) &&
              (tokens->last.kind == '.' || (soft(token->kind) && !acts(tokens, token)));
  if (name) {
    token->kind = NAME;
    token->value.name = lexeme_word(tokens->build, token->span);
  }
}

static bool closes(int bracket, int kind) {
  return (bracket == '(' && kind == ')') || (bracket == '[' && kind == ']') ||
         (bracket == '{' && kind == '}');
}

/* The number of brackets up to and including the innermost brace. */
static int brace_level(const Tokens *tokens, int depth) {
  while (depth > 0 && tokens->open[depth - 1].kind != '{') depth--;
  return depth;
}

/* Opens or closes the bracket that `token` is, never one of the outer `floor` brackets. A brace
 * also closes what was left open in it. */
static void nest(Tokens *tokens, const Token *token, int floor) {
  int kind = token->kind;
  if (kind == '(' || kind == '[' || kind == '{') {
    if (tokens->depth == AST_MAX_DEPTH) {
      if (!tokens->stopped) build_too_deep(tokens->build, token->span);
      tokens->stopped = true;
      return;
    }
    bool entries = kind == '{' && (tokens->last.kind == WITH || declares(tokens->statement));
    tokens->open[tokens->depth++] = (Bracket){(char)kind, entries, tokens->indent, token->span};
  }
  int level = kind == '}' ? brace_level(tokens, tokens->depth) : tokens->depth;
  if (level > floor && closes(tokens->open[level - 1].kind, kind)) tokens->depth = level - 1;
}

/* Delivers a token that the grammar needs and the text does not hold. */
static int insert(Tokens *tokens, int kind, Span span, Span *place) {
  tokens->before = tokens->last.kind;
  tokens->last = (Token){.kind = kind, .span = span};
  tokens->depth_before = tokens->depth;
  *place = span;
  return kind;
}

static Span empty_place(Span before) { return (Span){before.source, before.begin, before.begin}; }

static int insert_brace(Tokens *tokens, Span *place) {
  int kind = insert(tokens, '}', empty_place(peek(tokens, 0)->span), place);
  tokens->close_brace = false;
  tokens->depth = brace_level(tokens, tokens->depth) - 1;
  return kind;
}

static int deliver(Tokens *tokens, Value *value, Span *span) {
  resolve(tokens);
  Token token = *peek(tokens, 0);
  if (token.newline) tokens->indent = token.column;
  if (at_statement(tokens, &token)) {
    tokens->statement = token.kind;
    tokens->begin = token.span;
  }
  tokens->depth_before = tokens->depth;
  nest(tokens, &token, 0);
  drop(tokens);
  if (tokens->stopped && token.kind != FINISH) token.kind = BAD;
  tokens->before = tokens->last.kind;
  tokens->last = token;
  *value = token.value;
  *span = token.span;
  return token.kind;
}

/* Whether the line before `token` ends the skipped statement: outside of brackets opened since, or
 * by its indentation, when a bracket must have been forgotten. */
static bool line_ends(const Tokens *tokens, const Token *token, int floor) {
  if (!token->gap.source || continues_line(token->kind)) return false;
  if (tokens->depth == floor) return true;
  bool braces = brace_level(tokens, tokens->depth) > floor;
  return token->newline && !braces && token->column <= tokens->open[floor].indent &&
         token->kind != ')' && token->kind != ']';
}

static void skip(Tokens *tokens) {
  int floor = brace_level(tokens, tokens->depth);
  for (;; drop(tokens)) {
    const Token *token = peek(tokens, 0);
    bool braces = brace_level(tokens, tokens->depth) > floor;
    if (token->kind == FINISH || (token->kind == '}' && floor > 0 && !braces)) break;
    if (!tokens->broken && line_ends(tokens, token, floor)) break;
    if (token->newline) tokens->indent = token->column;
    nest(tokens, token, floor);
  }
  tokens->depth = floor;
}

static int resume(Tokens *tokens, Span *span) {
  tokens->recovering = false;
  if (!tokens->close_brace && !tokens->ending) skip(tokens);
  tokens->depth = brace_level(tokens, tokens->depth);
  return insert(tokens, RESUME, empty_place(peek(tokens, 0)->span), span);
}

int tokens_next(Value *value, Span *span, Tokens *tokens) {
  if (!tokens->last.kind) return insert(tokens, tokens->start, empty_place(tokens->at), span);
  if (tokens->last.kind == FINISH && !tokens->recovering) return 0;
  if (tokens->recovering) return resume(tokens, span);
  if (tokens->close_brace || (tokens->ending && brace_level(tokens, tokens->depth) > 0))
    return insert_brace(tokens, span);
  Token *token = peek(tokens, 0);
  if (!tokens->ending && separates(tokens, token)) {
    int kind = insert(tokens, NEWLINE, token->gap, span);
    tokens->broken = true;
    return kind;
  }
  return deliver(tokens, value, span);
}

/* A statement at the margin of an unclosed `{` of entries: a `}` was forgotten before it. */
static bool forgot_brace(const Tokens *tokens) {
  const Bracket *bracket = innermost(tokens);
  return bracket && bracket->entries && begins_statement(tokens->last.kind) &&
         tokens->last.newline && tokens->last.column <= bracket->indent;
}

void tokens_resume(Tokens *tokens) {
  int last = tokens->last.kind;
  tokens->recovering = true;
  tokens->depth = tokens->depth_before;
  if (last == FINISH || tokens->start == START_EXPRESSION) tokens->stopped = true;
  if (tokens->stopped) {
    tokens->ending = true;
    tokens->waiting = 0;
    return;
  }
  if (last == NEWLINE) {
    tokens->broken = tokens->depth > brace_level(tokens, tokens->depth);
    return;
  }
  tokens->close_brace = forgot_brace(tokens);
  memmove(tokens->ahead + 1, tokens->ahead, (size_t)tokens->waiting * sizeof(Token));
  tokens->ahead[0] = tokens->last;
  tokens->waiting++;
  tokens->broken = tokens->before == NEWLINE && !tokens->close_brace;
}

bool tokens_silent(const Tokens *tokens) { return tokens->last.kind == BAD || tokens->stopped; }

bool tokens_unfinished(const Tokens *tokens) {
  return tokens->last.kind == FINISH && (tokens->depth_before > 0 || awaits_more(tokens->before));
}

bool tokens_opener(const Tokens *tokens, char *bracket, Span *span) {
  const Token *last = &tokens->last;
  bool late = last->kind == FINISH || last->kind == ')' || last->kind == ']' || last->kind == '}' ||
              last->newline;
  if (!late || tokens->depth_before == 0) return false;
  *bracket = tokens->open[tokens->depth_before - 1].kind;
  *span = tokens->open[tokens->depth_before - 1].span;
  return true;
}

Span tokens_place(const Tokens *tokens) { return tokens->last.span; }

int tokens_statement(const Tokens *tokens, Span *place) {
  *place = tokens->begin;
  return tokens->statement;
}
