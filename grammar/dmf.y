/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The grammar. It knows the shapes of the language, not the names of options. An error takes the
 * parser to the nearest list of statements or entries, where RESUME tells that the token stream has
 * skipped the rest of the one at fault. */
%define api.prefix {dmf_yy}
%define api.pure full
%define api.value.type {Value}
%define api.location.type {Span}
%define parse.error custom
%define parse.lac full
%locations
%expect 0
%lex-param {Tokens *tokens}
%parse-param {Tokens *tokens} {Build *build}

%code requires {
#include "base/memory.h"
#include "syntax/build.h"
#include "syntax/habits.h"
#include "syntax/tokens.h"

#include <stdlib.h>
}

%code {
/* Without memory the parser would take its stack for full. */
#define YYMALLOC(size) mem_new(size, 1)
#define YYFREE free
#undef yylex
#define yylex tokens_next
#define YYLLOC_DEFAULT(whole, part, count)                                                         \
  ((whole) = (count) ? span_join(YYRHSLOC(part, 1), YYRHSLOC(part, count))                         \
                     : after(YYRHSLOC(part, 0)))
#define NODE(kind, ...) build_node(build, kind, yyloc, __VA_ARGS__)
#define NAMED(kind, name, ...) build_named(build, kind, yyloc, name, __VA_ARGS__)
#define REPEATED(place, count, block) build_repeat(build, yyloc, place, count, block)
#define OP(kind, op, ...) build_op(build, kind, yyloc, op, __VA_ARGS__)
#define UNARY(op, kid) OP(AST_UNARY, op, KIDS(1, kid))
#define BINARY(op, left, right) OP(AST_BINARY, op, KIDS(2, left, right))
#define KIDS(...) kids_of(build, __VA_ARGS__)
#define ADD(kids, node) kids_add(build, kids, node)
#define PREPEND(node, kids) kids_prepend(build, node, kids)
#define NO_NODE ((Ast *)NULL)

static Span after(Span span) { return (Span){span.source, span.end, span.end}; }
static void dmf_yyerror(Span *span, Tokens *tokens, Build *build, const char *message);
}

%initial-action { @$ = (Span){build->source, 0, 0}; }

%token START_SCRIPT START_EXPRESSION RESUME BAD SEMICOLON
%token FINISH "end of input" NEWLINE "end of line"
%token <name> NAME "a name"
%token <number> NUMBER "a number"
%token <text> STRING "a string"
%token AND "'and'" OR "'or'" NOT "'not'" IF "'if'" THEN "'then'" ELSE "'else'" FOR "'for'" IN "'in'"
%token WITH "'with'" IMPORT "'import'" PRINT "'print'" PLOT "'plot'" SAVE "'save'" REPORT "'report'"
%token ASSERT "'assert'" TO "'to'" DATASET "'dataset'" MODEL "'model'" TRAINING "'training'"
%token ACTIVATION "'activation'" LOSS "'loss'" FUNCTION "'function'" LAYER "'layer'" OF "'of'"
%token RETURN "'return'" WHILE "'while'" REPEAT "'repeat'"
%token SYSTEM "'system'" POPULATION "'population'" MATRIX "'matrix'"
%token STATE "'state'" MOVES "'step'" OBSERVE "'observe'" GAIN "'+='" SCALE "'*='"
%token ARROW "'->'" DOTDOT "'..'" LE "'<='" GE "'>='" EQ "'=='" NE "'!='" TRANSPOSE "a single quote"

%precedence LISTED
%precedence ','
%left ARROW
%precedence ELSE
%left OR
%left AND
%precedence NOT
%nonassoc '<' '>' LE GE EQ NE
%nonassoc DOTDOT
%left '+' '-'
%left '*' '/' '@'
%precedence NEGATIVE
%right '^'

%type <node> signal step line statement when otherwise block entry_line expr primary item argument subscript bound
%type <node> param part move fact
%type <kids> lines parts moves facts names matrix_names traits steps entries items exprs arguments argument_list subscripts params own_params param_list signals
%type <code> declarer definer

%%

start:
  START_SCRIPT lines FINISH             { build->root = build_node(build, AST_BLOCK, @2, $2); }
| START_EXPRESSION expr FINISH          { build->root = $2; }
| START_EXPRESSION error RESUME FINISH
;

lines:
  line                                  { $$ = $1 ? KIDS(1, $1) : KIDS(0); }
| lines NEWLINE line                    { $$ = $3 ? ADD($1, $3) : $1; }
;

line:
  %empty                                { $$ = NULL; }
| statement
| error RESUME                          { yyerrok; $$ = NODE(AST_BROKEN, KIDS(0)); }
;

block: '{' lines '}'                    { $$ = NODE(AST_BLOCK, $2); };

statement:
  NAME '=' expr                         { $$ = NAMED(AST_ASSIGN, $1, KIDS(1, $3)); }
| expr                                  { $$ = NODE(AST_EXPRESSION, KIDS(1, $1)); }
| IMPORT STRING                         { $$ = build_import(build, @$, $2); }
| PRINT items                           { $$ = NODE(AST_PRINT, $2); }
| PLOT items                            { $$ = NODE(AST_PLOT, ADD($2, NULL)); }
| PLOT items TO expr                    { $$ = NODE(AST_PLOT, ADD($2, $4)); }
| SAVE expr TO expr                     { $$ = NODE(AST_SAVE, KIDS(2, $2, $4)); }
| REPORT items TO expr                  { $$ = NODE(AST_REPORT, ADD($2, $4)); }
| ASSERT expr                           { $$ = NODE(AST_ASSERT, KIDS(2, $2, NO_NODE)); }
| ASSERT expr ',' expr                  { $$ = NODE(AST_ASSERT, KIDS(2, $2, $4)); }
| FOR NAME IN expr block                { $$ = NAMED(AST_FOR, $2, KIDS(2, $4, $5)); }
| REPEAT expr block                     { $$ = REPEATED(@1, $2, $3); }
| WHILE expr block                      { $$ = NODE(AST_WHILE, KIDS(2, $2, $3)); }
| RETURN expr                           { $$ = NODE(AST_RETURN, KIDS(1, $2)); }
| when
| declarer NAME '{' entries '}'         { $$ = build_declare(build, @$, $1, $2, $4); }
| DATASET NAME '{' facts '}'            { $$ = build_dataset(build, @$, $2, $4); }
| definer NAME '(' params ')' '=' expr  { $$ = NAMED((AstKind)$1, $2, ADD($4, $7)); }
| definer NAME '(' params ')' block     { $$ = NAMED((AstKind)$1, $2, ADD($4, $6)); }
| FUNCTION NAME '(' params ')' '=' expr { $$ = NAMED(AST_FUNCTION, $2, ADD($4, $7)); }
| FUNCTION NAME '(' params ')' block    { $$ = NAMED(AST_FUNCTION, $2, ADD($4, $6)); }
| FUNCTION NAME '(' params ')' OF signals '=' expr
                                        { $$ = build_family(build, @$, $2, $7, $4, $9); }
| FUNCTION NAME '(' params ')' OF signals block
                                        { $$ = build_family(build, @$, $2, $7, $4, $8); }
| SYSTEM NAME '{' parts '}'            { $$ = NAMED(AST_SYSTEM, $2, $4); }
| LAYER NAME own_params OF signal '{' steps '}'
                                        { $$ = NAMED(AST_LAYER, $2, ADD(ADD($3, $5), build_node(build, AST_BLOCK, @7, $7))); }
;

signals:
  signal                                { $$ = KIDS(1, $1); }
| signals ',' signal                    { $$ = ADD($1, $3); }
;

signal: NAME                            { $$ = NAMED(AST_PARAM, $1, NULL); };

steps:
  step                                  { $$ = $1 ? KIDS(1, $1) : KIDS(0); }
| steps NEWLINE step                    { $$ = $3 ? ADD($1, $3) : $1; }
;

step:
  %empty                                { $$ = NULL; }
| NAME '=' expr                         { $$ = NAMED(AST_ASSIGN, $1, KIDS(1, $3)); }
| RETURN expr                           { $$ = NODE(AST_RETURN, KIDS(1, $2)); }
| FOR NAME IN expr '{' steps '}'        { $$ = NAMED(AST_FOR, $2, KIDS(2, $4, build_node(build, AST_BLOCK, @5, $6))); }
| REPEAT expr '{' steps '}'             { $$ = REPEATED(@1, $2, build_node(build, AST_BLOCK, @3, $4)); }
| error RESUME                          { yyerrok; $$ = NODE(AST_BROKEN, KIDS(0)); }
;

parts:
  part                                  { $$ = $1 ? KIDS(1, $1) : KIDS(0); }
| parts NEWLINE part                    { $$ = $3 ? ADD($1, $3) : $1; }
;

part:
  %empty                                { $$ = NULL; }
| NAME '=' expr                         { $$ = NAMED(AST_ASSIGN, $1, KIDS(1, $3)); }
| POPULATION param_list                 { $$ = NODE(AST_POPULATION, $2); }
| MATRIX matrix_names ':' names traits  { $$ = NODE(AST_MATRIX, KIDS(3, build_node(build, AST_BLOCK, @2, $2), build_node(build, AST_BLOCK, @4, $4), build_node(build, AST_BLOCK, @5, $5))); }
| STATE NAME '=' expr                   { $$ = NAMED(AST_STATE, $2, KIDS(1, $4)); }
| primary GAIN expr                     { $$ = OP(AST_UPDATE, '+', KIDS(2, $1, $3)); }
| primary SCALE expr                    { $$ = OP(AST_UPDATE, '*', KIDS(2, $1, $3)); }
| FOR NAME IN expr '{' parts '}'        { $$ = NAMED(AST_FOR, $2, KIDS(2, $4, build_node(build, AST_BLOCK, @5, $6))); }
| REPEAT expr '{' parts '}'             { $$ = REPEATED(@1, $2, build_node(build, AST_BLOCK, @3, $4)); }
| MOVES '{' moves '}'                   { $$ = NODE(AST_STEP, $3); }
| error RESUME                          { yyerrok; $$ = NODE(AST_BROKEN, KIDS(0)); }
;

names:
  signal ARROW signal                   { $$ = KIDS(2, $1, $3); }
;

matrix_names:
  param                                 { $$ = KIDS(1, $1); }
| NAME '[' expr ']'                     { $$ = KIDS(1, build_named(build, AST_PARAM, @$, $1, KIDS(1, $3))); }
| matrix_names ',' param                { $$ = ADD($1, $3); }
| matrix_names ',' NAME '[' expr ']'    { $$ = ADD($1, build_named(build, AST_PARAM, @3, $3, KIDS(1, $5))); }
;

traits:
  %empty                                { $$ = KIDS(0); }
| '(' items ')'                         { $$ = $2; }
;

moves:
  move                                  { $$ = $1 ? KIDS(1, $1) : KIDS(0); }
| moves NEWLINE move                    { $$ = $3 ? ADD($1, $3) : $1; }
;

move:
  %empty                                { $$ = NULL; }
| NAME '=' expr                         { $$ = NAMED(AST_ASSIGN, $1, KIDS(1, $3)); }
| OBSERVE NAME '=' expr                 { $$ = NAMED(AST_OBSERVE, $2, KIDS(1, $4)); }
| MATRIX matrix_names ':' names traits  { $$ = NODE(AST_MATRIX, KIDS(3, build_node(build, AST_BLOCK, @2, $2), build_node(build, AST_BLOCK, @4, $4), build_node(build, AST_BLOCK, @5, $5))); }
| primary GAIN expr                     { $$ = OP(AST_UPDATE, '+', KIDS(2, $1, $3)); }
| primary SCALE expr                    { $$ = OP(AST_UPDATE, '*', KIDS(2, $1, $3)); }
| FOR NAME IN expr '{' moves '}'        { $$ = NAMED(AST_FOR, $2, KIDS(2, $4, build_node(build, AST_BLOCK, @5, $6))); }
| REPEAT expr '{' moves '}'             { $$ = REPEATED(@1, $2, build_node(build, AST_BLOCK, @3, $4)); }
| expr                                  { $$ = NODE(AST_EXPRESSION, KIDS(1, $1)); }
| error RESUME                          { yyerrok; $$ = NODE(AST_BROKEN, KIDS(0)); }
;

when: IF expr block otherwise           { $$ = NODE(AST_WHEN, KIDS(3, $2, $3, $4)); };

otherwise:
  %empty                                { $$ = NULL; }
| ELSE block                            { $$ = $2; }
| ELSE when                             { $$ = $2; }
;

declarer:
  MODEL                                 { $$ = AST_MODEL; }
| TRAINING                              { $$ = AST_TRAINING; }
;

entries:
  entry_line                            { $$ = $1 ? KIDS(1, $1) : KIDS(0); }
| entries separator entry_line          { $$ = $3 ? ADD($1, $3) : $1; }
;

facts:
  fact                                  { $$ = $1 ? KIDS(1, $1) : KIDS(0); }
| facts separator fact                  { $$ = $3 ? ADD($1, $3) : $1; }
;

fact:
  %empty                                { $$ = NULL; }
| NAME '=' expr                         { $$ = NAMED(AST_ENTRY, $1, KIDS(1, $3)); }
| POPULATION param_list  %prec LISTED   { $$ = NODE(AST_POPULATION, $2); }
| MATRIX matrix_names ':' names traits  { $$ = NODE(AST_MATRIX, KIDS(3, build_node(build, AST_BLOCK, @2, $2), build_node(build, AST_BLOCK, @4, $4), build_node(build, AST_BLOCK, @5, $5))); }
| primary GAIN expr                     { $$ = OP(AST_UPDATE, '+', KIDS(2, $1, $3)); }
| error RESUME                          { yyerrok; $$ = NODE(AST_BROKEN, KIDS(0)); }
;

separator: NEWLINE | ',';

entry_line:
  %empty                                { $$ = NULL; }
| NAME '=' expr                         { $$ = NAMED(AST_ENTRY, $1, KIDS(1, $3)); }
| error RESUME                          { yyerrok; $$ = NODE(AST_BROKEN, KIDS(0)); }
;

definer:
  ACTIVATION                            { $$ = AST_ACTIVATION; }
| LOSS                                  { $$ = AST_LOSS; }
;

params: %empty                          { $$ = KIDS(0); } | param_list;
own_params: %empty                      { $$ = KIDS(0); } | '(' params ')' { $$ = $2; };

param_list:
  param                                 { $$ = KIDS(1, $1); }
| param_list ',' param                  { $$ = ADD($1, $3); }
;

param:
  NAME                                  { $$ = NAMED(AST_PARAM, $1, NULL); }
| NAME '=' expr                         { $$ = NAMED(AST_PARAM, $1, KIDS(1, $3)); }
;

items:
  item                                  { $$ = KIDS(1, $1); }
| items ',' item                        { $$ = ADD($1, $3); }
;

item:
  expr
| NAME '=' expr                         { $$ = NAMED(AST_ARG, $1, KIDS(1, $3)); }
;

exprs:
  expr                                  { $$ = KIDS(1, $1); }
| exprs ',' expr                        { $$ = ADD($1, $3); }
;

comma: %empty | ',';

expr:
  primary
| expr ARROW expr                       { $$ = BINARY(AST_ARROW, $1, $3); }
| IF expr THEN expr ELSE expr           { $$ = NODE(AST_IF, KIDS(3, $2, $4, $6)); }
| FUNCTION '(' param_list ')' '=' expr %prec ELSE
                                        { $$ = build_closure(build, @$, $3, $6); }
| expr OR expr                          { $$ = BINARY(AST_OR, $1, $3); }
| expr AND expr                         { $$ = BINARY(AST_AND, $1, $3); }
| NOT expr                              { $$ = UNARY(AST_NOT, $2); }
| expr '<' expr                         { $$ = BINARY('<', $1, $3); }
| expr '>' expr                         { $$ = BINARY('>', $1, $3); }
| expr LE expr                          { $$ = BINARY(AST_LE, $1, $3); }
| expr GE expr                          { $$ = BINARY(AST_GE, $1, $3); }
| expr EQ expr                          { $$ = BINARY(AST_EQ, $1, $3); }
| expr NE expr                          { $$ = BINARY(AST_NE, $1, $3); }
| expr DOTDOT expr                      { $$ = NODE(AST_RANGE, KIDS(2, $1, $3)); }
| expr '+' expr                         { $$ = BINARY('+', $1, $3); }
| expr '-' expr                         { $$ = BINARY('-', $1, $3); }
| expr '*' expr                         { $$ = BINARY('*', $1, $3); }
| expr '/' expr                         { $$ = BINARY('/', $1, $3); }
| expr '@' expr                         { $$ = BINARY('@', $1, $3); }
| '-' expr %prec NEGATIVE               { $$ = UNARY('-', $2); }
| expr '^' expr                         { $$ = BINARY('^', $1, $3); }
;

primary:
  NUMBER                                { $$ = build_number(build, @$, $1); }
| STRING                                { $$ = build_string(build, @$, $1); }
| NAME                                  { $$ = NAMED(AST_NAME, $1, NULL); }
| '(' expr ')'                          { $$ = build_group($2, @$); }
| '[' ']'                               { $$ = NODE(AST_ARRAY, KIDS(0)); }
| '[' exprs comma ']'                   { $$ = NODE(AST_ARRAY, $2); }
| '[' expr FOR NAME IN expr ']'         { $$ = NAMED(AST_EACH, $4, KIDS(2, $2, $6)); }
| primary '(' arguments ')'             { $$ = NODE(AST_CALL, PREPEND($1, $3)); }
| primary '[' subscripts ']'            { $$ = NODE(AST_INDEX, PREPEND($1, $3)); }
| primary '.' NAME                      { $$ = NAMED(AST_FIELD, $3, KIDS(1, $1)); }
| primary TRANSPOSE                     { $$ = UNARY('\'', $1); }
| primary WITH '{' entries '}'          { $$ = NODE(AST_WITH, PREPEND($1, $4)); }
;

arguments: %empty                       { $$ = KIDS(0); } | argument_list comma;

argument_list:
  argument                              { $$ = KIDS(1, $1); }
| argument_list ',' argument            { $$ = ADD($1, $3); }
;

argument:
  item
| primary '.' NAME '=' expr             { $$ = NAMED(AST_ARG, $3, KIDS(2, $5, $1)); }
;

subscripts:
  subscript                             { $$ = KIDS(1, $1); }
| subscripts ',' subscript              { $$ = ADD($1, $3); }
;

subscript:
  expr
| bound ':' bound                       { $$ = NODE(AST_SLICE, KIDS(2, $1, $3)); }
;

bound: %empty                           { $$ = NULL; } | expr;

%%

/* Which tokens to name in "expected X, found Y". Those that begin an operand are called "a value",
 * those that begin a statement "a statement"; the operators that could go on are left out. */
typedef struct Expected {
  yysymbol_kind_t kind[YYNTOKENS];
  int count;
  bool statement, operand; /* one may begin here */
  bool complete;           /* an expression may end here */
} Expected;

static const int statement_starts[] = {IMPORT, PLOT, SAVE, REPORT, ASSERT, FOR, REPEAT, WHILE, RETURN, DATASET, MODEL,
                                       TRAINING, ACTIVATION, LOSS, FUNCTION, LAYER, SYSTEM, NUMBER, 0};
static const int operand_starts[] = {NAME, STRING, '(', '[', '-', NOT, IF, FUNCTION, 0};
static const int operators[] = {ARROW, OR, AND, '<', '>', LE, GE, EQ, NE, DOTDOT, '+', '-', '*',
                                '/', '@', '^', '(', '[', '.', TRANSPOSE, WITH, FOR, '=', 0};
static const int comparisons[] = {'<', '>', LE, GE, EQ, NE, 0};
static const int separators[] = {NEWLINE, ',', FINISH, 0};
static const int reserved[] = {AND, OR, NOT, IF, THEN, ELSE, FOR, IN, WITH,
                               WHILE, IMPORT, PRINT, PLOT, SAVE, ASSERT, RETURN, 0};

static bool among(yysymbol_kind_t kind, const int *tokens) {
  for (; *tokens; tokens++)
    if (YYTRANSLATE(*tokens) == kind) return true;
  return false;
}

static bool expects(const Expected *expected, int token) {
  for (int i = 0; i < expected->count; i++)
    if (expected->kind[i] == YYTRANSLATE(token)) return true;
  return false;
}

static Expected expected_in(const yypcontext_t *context) {
  Expected expected = {.count = 0};
  int count = yypcontext_expected_tokens(context, expected.kind, YYNTOKENS);
  expected.count = count > 0 ? count : 0;
  expected.statement = expects(&expected, PRINT);
  expected.operand = expects(&expected, NUMBER);
  expected.complete = expects(&expected, ARROW);
  return expected;
}

/* How an expected token is called, or NULL if it is not worth naming. */
static const char *phrase(const Expected *expected, yysymbol_kind_t kind) {
  bool starts = among(kind, operand_starts);
  if (kind == YYSYMBOL_RESUME) return NULL;
  if (expected->statement && (starts || among(kind, statement_starts))) return NULL;
  if (expected->operand && starts) return NULL;
  if (expected->complete && among(kind, operators)) return NULL;
  if (among(kind, separators) && (expected->operand || expects(expected, NAME))) return NULL;
  if (kind == YYSYMBOL_FINISH && expects(expected, NEWLINE)) return NULL;
  if (kind == YYSYMBOL_PRINT) return "a statement";
  return kind == YYSYMBOL_NUMBER ? "a value" : yysymbol_name(kind);
}

/* "a value", "',' or ')'", "a, b or c"; NULL if nothing is expected. */
static const char *wish(const Expected *expected, Arena *arena) {
  const char *text = NULL, *last = NULL;
  for (int i = 0; i < expected->count; i++) {
    const char *name = phrase(expected, expected->kind[i]);
    if (!name) continue;
    if (last) text = text ? arena_format(arena, "%s, %s", text, last) : last;
    last = name;
  }
  return text ? arena_format(arena, "%s or %s", text, last) : last;
}

/* How the offending token is called: as it stands in the source, unless long or invisible. */
static const char *found_name(yysymbol_kind_t kind, Span span, Arena *arena) {
  enum { LONG = 40 };
  const char *text = span.source->text + span.begin;
  int length = (int)(span.end - span.begin);
  if (kind == YYSYMBOL_NEWLINE && *text == ';') return "';'";
  bool plain = kind != YYSYMBOL_STRING && kind != YYSYMBOL_TRANSPOSE && kind != YYSYMBOL_NEWLINE;
  if (!plain || length == 0 || length > LONG) return yysymbol_name(kind);
  return arena_format(arena, "'%.*s'", length, text);
}

/* What an '=' that cannot stand here was meant for. */
static const char *hint_for_equals(Tokens *tokens, Arena *arena) {
  Span begin, place = tokens_place(tokens);
  bool named = tokens_statement(tokens, &begin) == NAME;
  const char *text = place.source->text + begin.begin,
             *hint = named ? habit_target(text, place.begin - begin.begin, arena) : NULL;
  return hint ? hint : "use '==' to compare";
}

/* A comma in plain parentheses. */
static const char *hint_for_comma(Tokens *tokens) {
  Span begin;
  return tokens_statement(tokens, &begin) == PRINT ? "write print x, y without parentheses"
                                                   : "an array is written [x, y]";
}

static const char *hint_for(const Expected *expected, yysymbol_kind_t found, Tokens *tokens,
                            Build *build) {
  Span begin;
  bool equals = found == YYTRANSLATE('=');
  if (found == YYTRANSLATE(GAIN) || found == YYTRANSLATE(SCALE))
    return "write it out, as in x = x + 1";
  if (equals && expected->complete) return hint_for_equals(tokens, build->arena);
  if (found == YYTRANSLATE(',') && expects(expected, ')')) return hint_for_comma(tokens);
  if (found == YYSYMBOL_TRANSPOSE && expected->operand) return "strings are written in \"...\"";
  if (found == YYTRANSLATE(':') && expects(expected, '=')) return "write name = value";
  if (found == YYTRANSLATE(':') && expects(expected, '{')) return "what follows stands in { ... }";
  if (found == YYTRANSLATE(':') && expected->complete) return "a range is written 1..3";
  if (found == YYTRANSLATE(IF) && expected->complete) return "write if a then b else c";
  if (among(found, reserved) && expects(expected, NAME) && !expected->operand)
    return "this word belongs to the language and cannot be a name";
  if (tokens_statement(tokens, &begin) == IMPORT) return "import \"file.dmf\"";
  if (tokens_statement(tokens, &begin) == NAME && expected->complete)
    return habit_start(begin.source->text + begin.begin);
  return NULL;
}

static void note_opener(const Expected *expected, Tokens *tokens, Build *build) {
  char bracket;
  Span span;
  if (build->diags->dropped || !tokens_opener(tokens, &bracket, &span)) return;
  int closer = bracket == '(' ? ')' : bracket == '[' ? ']' : '}';
  bool end = tokens_place(tokens).begin == build->source->length;
  if (end || expects(expected, closer))
    diag_note(build->diags, span, "'%c' was opened here", bracket);
}

static void report(const Expected *expected, yysymbol_kind_t found, Tokens *tokens, Build *build) {
  Span span = tokens_place(tokens);
  const char *want = wish(expected, build->arena), *name = found_name(found, span, build->arena);
  if (expected->complete && among(found, comparisons))
    diag_error(build->diags, STATUS_SCRIPT, span, "join them with 'and', as in a < b and b < c",
               "comparisons do not chain");
  else if (want)
    diag_error(build->diags, STATUS_SCRIPT, span, hint_for(expected, found, tokens, build),
               "expected %s, found %s", want, name);
  else
    diag_error(build->diags, STATUS_SCRIPT, span, NULL, "unexpected %s", name);
  note_opener(expected, tokens, build);
}

static int yyreport_syntax_error(const yypcontext_t *context, Tokens *tokens, Build *build) {
  if (!tokens_silent(tokens)) {
    Expected expected = expected_in(context);
    if (build->interactive && build->diags->errors == build->errors && tokens_unfinished(tokens))
      build->unfinished = true;
    else
      report(&expected, yypcontext_token(context), tokens, build);
  }
  tokens_resume(tokens);
  return 0;
}

/* The one message that bison sends here by itself is that its stack is full. */
static void dmf_yyerror(Span *span, Tokens *tokens, Build *build, const char *message) {
  (void)message, (void)tokens;
  build_too_deep(build, *span);
}
