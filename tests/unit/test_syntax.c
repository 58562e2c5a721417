/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "check.h"
#include "syntax/ast.h"

#include <stdlib.h>
#include <string.h>

typedef struct Reading {
  Source *source;
  Script *script;
  Diags diags;
  ParseOutcome outcome;
} Reading;

static Reading read_bytes(const char *text, size_t length, bool interactive) {
  Reading reading = {.source = source_new("test.dmf", text, length)};
  reading.outcome = script_parse(reading.source, interactive, &reading.script, &reading.diags);
  return reading;
}

static void forget(Reading *reading) {
  diags_clear(&reading->diags);
  script_free(reading->script);
  source_drop(reading->source);
}

/* Whether `text` parses without error to a script of the statements `tree`. */
static bool gives(const char *text, const char *tree) {
  Reading reading = read_bytes(text, strlen(text), false);
  char *want = mem_format(*tree ? "(block %s)" : "(block%s)", tree);
  char *got = ast_print(reading.script->root);
  bool same = reading.outcome == PARSE_OK && reading.diags.count == 0 && strcmp(got, want) == 0;
  if (!same) fprintf(stderr, "%s\n  got  %s\n  want %s\n", text, got, want);
  if (!same) diags_print(&reading.diags, stderr, false);
  free(want);
  free(got);
  forget(&reading);
  return same;
}

/* The same for one expression. */
static bool means(const char *text, const char *tree) {
  char *statement = mem_format("(show %s)", tree);
  bool same = gives(text, statement);
  free(statement);
  return same;
}

/* All messages of a text, one a line: line:column: message [hint]. */
static char *complaints(const Diags *diags) {
  char *text = NULL;
  size_t length;
  FILE *out = open_memstream(&text, &length);
  for (int i = 0; i < diags->count; i++) {
    const Diag *diag = &diags->items[i];
    int line, column;
    span_locate(diag->span, &line, &column);
    fprintf(out, "%d:%d: %s", line, column, diag->message);
    if (diag->hint) fprintf(out, " [%s]", diag->hint);
    putc('\n', out);
  }
  fclose(out);
  return text;
}

/* Whether a text is refused with exactly these messages. */
static bool fails(const char *text, const char *messages) {
  Reading reading = read_bytes(text, strlen(text), false);
  char *got = complaints(&reading.diags);
  bool same = reading.outcome == PARSE_ERROR && reading.script->root && strcmp(got, messages) == 0;
  if (!same) fprintf(stderr, "%s\n got:\n%s want:\n%s", text, got, messages);
  free(got);
  forget(&reading);
  return same;
}

static ParseOutcome typed(const char *text) {
  Reading reading = read_bytes(text, strlen(text), true);
  ParseOutcome outcome = reading.outcome;
  if (outcome != PARSE_ERROR && reading.diags.count > 0) outcome = PARSE_ERROR;
  forget(&reading);
  return outcome;
}

static char *repeat(const char *first, const char *part, int times, const char *last) {
  size_t length = strlen(part);
  char *text = mem_new(strlen(first) + (size_t)times * length + strlen(last) + 1, 1), *to = text;
  to = stpcpy(to, first);
  for (int i = 0; i < times; i++) to = stpcpy(to, part);
  strcpy(to, last);
  return text;
}

/* Whether `times` repetitions of `part` parse; if not, the only message must be that of depth. */
static bool fits(const char *first, const char *part, int times, const char *last) {
  char *text = repeat(first, part, times, last);
  Reading reading = read_bytes(text, strlen(text), false);
  bool ok = reading.outcome == PARSE_OK;
  CHECK(ok || (reading.diags.errors == 1 && strstr(reading.diags.items[0].message, "too deeply")));
  CHECK(!ok || reading.script->root->height <= AST_MAX_HEIGHT);
  free(text);
  forget(&reading);
  return ok;
}

static void test_literals(void) {
  CHECK(gives("", ""));
  CHECK(gives("\n# nothing\n;;\n", ""));
  CHECK(means("1", "1"));
  CHECK(means(".5", "0.5"));
  CHECK(means("1.", "1"));
  CHECK(means("2e-3", "0.002"));
  CHECK(means("1.e2", "100"));
  CHECK(means("0..9", "(.. 0 9)"));
  CHECK(means("0.5..1.5", "(.. 0.5 1.5)"));
  CHECK(means("\"a\\n\\t\\\"\\\\b\"", "\"a\\n\\t\\\"\\\\b\""));
  CHECK(means("\"\"", "\"\""));
  CHECK(means("\"# no comment\" # but this", "\"# no comment\""));
  CHECK(gives("\xef\xbb\xbfx = 1\r\ny = 2\r\n", "(= x 1) (= y 2)"));
}

static void test_greek(void) {
  CHECK(means("αβγδεζηθικλμνξοπρσςτυφχψω",
              "alphabetagammadeltaepsilonzetaetathetaiotakappalambdamunuxiomicronpirhosigmasigma"
              "tauupsilonphichipsiomega"));
  CHECK(means("ΑΩΦΔΣ", "AlphaOmegaPhiDeltaSigma"));
  CHECK(means("ϕ + ϵ + ϑ", "(+ (+ phi epsilon) theta)"));
  CHECK(means("σ_w + var_Φ + γ₀ + x₁₂", "(+ (+ (+ sigma_w var_Phi) gamma0) x12)"));
  CHECK(gives("γ = gamma", "(= gamma gamma)"));
}

static void test_precedence(void) {
  CHECK(means("-2^2", "(- (^ 2 2))"));
  CHECK(means("2^-1", "(^ 2 (- 1))"));
  CHECK(means("2^3^4", "(^ 2 (^ 3 4))"));
  CHECK(means("a^b'", "(^ a (' b))"));
  CHECK(means("a - b - c", "(- (- a b) c)"));
  CHECK(means("a / b * c @ d", "(@ (* (/ a b) c) d)"));
  CHECK(means("a + b * c", "(+ a (* b c))"));
  CHECK(means("0 .. n - 1", "(.. 0 (- n 1))"));
  CHECK(means("not a == b and c or d", "(or (and (not (== a b)) c) d)"));
  CHECK(means("if a then b else c + 1", "(if a b (+ c 1))"));
  CHECK(means("if a then b else c -> d", "(-> (if a b c) d)"));
  CHECK(means("function(x) = x + a", "(closure (param x) a (+ x a))"));
  CHECK(means("f(function(x, k = b) = x * k, 3)",
              "(call f (closure (param x) (param k b) b (* x k)) 3)"));
  CHECK(means("function(x) = x -> d", "(-> (closure (param x) x) d)"));
  CHECK(means("input -> 2 * dense(tanh) -> readout",
              "(-> (-> input (* 2 (call dense tanh))) readout)"));
  CHECK(means("(a + b) * c", "(* (+ a b) c)"));
  CHECK(means("-x.y[0](1)'", "(- (' (call (index (. x y) 0) 1)))"));
  CHECK(means("a + net with { gamma = 2 }", "(+ a (with net (= gamma 2)))"));
}

static void test_postfix(void) {
  CHECK(means("x[0, :, 2:5, -1, :3, 4:]", "(index x 0 (: _ _) (: 2 5) (- 1) (: _ 3) (: 4 _))"));
  CHECK(means("f()", "(call f)"));
  CHECK(means("f(x, k = 3,\n)", "(call f x (= k 3))"));
  CHECK(means("f(x, net.a = 3)", "(call f x (= a 3 net))"));
  CHECK(means("[]", "(array)"));
  CHECK(means("[\n [1, 2],\n [3, 4],\n]", "(array (array 1 2) (array 3 4))"));
  CHECK(means("theory.loss.if.dataset", "(. (. (. theory loss) if) dataset)"));
  CHECK(means("net with { gamma = 2, width = 64; a = 1\n b = 2\n }",
              "(with net (= gamma 2) (= width 64) (= a 1) (= b 2))"));
}

static void test_statements(void) {
  CHECK(gives("import \"std/a.dmf\"", "(import \"std/a.dmf\")"));
  CHECK(gives("print a, label = b", "(print a (= label b))"));
  CHECK(gives("plot x", "(plot x _)"));
  CHECK(gives("plot a, b = c to \"f.svg\"", "(plot a (= b c) \"f.svg\")"));
  CHECK(gives("save v to \"f\" + \"g\"", "(save v (+ \"f\" \"g\"))"));
  CHECK(gives("assert a < b\nassert c, \"why\"", "(assert (< a b) _) (assert c \"why\")"));
  CHECK(gives("for x in [1] { print x; y = x }", "(for x (array 1) (block (print x) (= y x)))"));
  CHECK(gives("if a { }", "(when a (block) _)"));
  CHECK(gives("if a {\n b = 1\n}\nelse if c { d }\nelse\n{ e }\nf",
              "(when a (block (= b 1)) (when c (block (show d)) (block (show e)))) (show f)"));
  CHECK(gives("dataset d {\n inputs = [1,\n 2] # x\n\n targets = 3,\n}",
              "(dataset d (= inputs (array 1 2)) (= targets 3))"));
  CHECK(
      gives("model m { a = 1, b = 2 }; training t { }", "(model m (= a 1) (= b 2)) (training t)"));
  CHECK(gives("activation phi(h, a = 0.4) = tanh(a*h)/a",
              "(activation phi (param h) (param a 0.4) (/ (call tanh (* a h)) a))"));
  CHECK(gives("loss l(f, y) = (f - y)^2", "(loss l (param f) (param y) (^ (- f y) 2))"));
  CHECK(gives("function f() = 1", "(function f 1)"));
}

static void test_newlines(void) {
  CHECK(gives("x = 1 +\n # more\n\n 2\ny = a and\nb", "(= x (+ 1 2)) (= y (and a b))"));
  CHECK(gives("c = input ->\n a\n -> b\nd", "(= c (-> (-> input a) b)) (show d)"));
  CHECK(gives("x = if a\n then b\n else c", "(= x (if a b c))"));
  CHECK(gives("print a,\n b", "(print a b)"));
  CHECK(gives("f(net with {\n a = 1\n b = 2\n},\n 3)",
              "(show (call f (with net (= a 1) (= b 2)) 3))"));
}

static void test_soft_words(void) {
  CHECK(gives("loss", "(show loss)"));
  CHECK(gives("model = loss + to", "(= model (+ loss to))"));
  CHECK(gives("loss(1)", "(show (call loss 1))"));
  CHECK(gives("training t {\n dataset = d\n loss = mse }",
              "(training t (= dataset d) (= loss mse))"));
  CHECK(gives("dense(activation = tanh, to = 1)",
              "(show (call dense (= activation tanh) (= to 1)))"));
  CHECK(gives("model model { model = model }", "(model model (= model model))"));
  CHECK(gives("loss loss(loss) = loss", "(loss loss (param loss) loss)"));
  CHECK(gives("plot to to to", "(plot to to)"));
  CHECK(gives("print loss, loss = loss", "(print loss (= loss loss))"));
  CHECK(gives("layer = 1\nlayer(2)", "(= layer 1) (show (call layer 2))"));
  CHECK(gives("layer s(a, b = 1) of x {\n W = m()\n\n return a(W @ x)\n}\nof = 1",
              "(layer s (param a) (param b 1) (param x) (block (= W (call m)) (return (call a (@ W "
              "x))))) (= of 1)"));
}

static void test_messages(void) {
  CHECK(fails("x = = 3", "1:5: expected a value, found '='\n"));
  CHECK(fails("x 3", "1:3: expected end of line, found '3'\n"));
  CHECK(fails("print", "1:6: expected a value, found end of input\n"));
  CHECK(fails("print \n", "1:7: expected a value, found end of line\n"));
  CHECK(fails("x = 1 + ;", "1:9: expected a value, found ';'\n"));
  CHECK(fails("for if in x { }",
              "1:5: expected a name, found 'if' [this word belongs to the language "
              "and cannot be a name]\n"));
  CHECK(fails("if x = 3 { a }\nelse { b }",
              "1:6: expected 'then' or '{', found '=' [use '==' to compare]\n"));
  CHECK(fails("a < b < c",
              "1:7: comparisons do not chain [join them with 'and', as in a < b and b < c]\n"));
  CHECK(fails("a ** b", "1:3: '**' is not an operator of the language [write '^' for powers]\n"));
  CHECK(fails("a && !b", "1:3: '&&' is not an operator of the language [write 'and']\n"
                         "1:6: '!' is not an operator of the language [write 'not']\n"));
  CHECK(fails("x = 'a'",
              "1:5: expected a value, found a single quote [strings are written in \"...\"]\n"));
  CHECK(fails("import foo", "1:8: expected a string, found 'foo' [import \"file.dmf\"]\n"));
  CHECK(fails("model { a = 1 }", "1:7: expected a name, found '{'\n"));
  CHECK(fails("model m { a: 1 }", "1:12: expected '=', found ':' [write name = value]\n"));
  CHECK(fails("layer r(x) {\n a = (\n}\nx = = 1", "1:12: expected 'of', found '{'\n"
                                                  "4:5: expected a value, found '='\n"));
}

static void test_lexemes(void) {
  CHECK(fails(
      "x = 2y",
      "1:5: '2y' is neither a number nor a name [a product is written with '*', as in 2 * x]\n"));
  CHECK(fails("x = \"\\\t\"",
              "1:6: unknown escape '\\\t' in a string [strings know \\n \\t \\\" \\\\]\n"));
  CHECK(fails("x = 1e999", "1:5: the number is too large [the largest number is about 1.8e308]\n"));
  CHECK(fails("x = \"a\\q\"\ny = )",
              "1:7: unknown escape '\\q' in a string [strings know \\n \\t \\\" \\\\]\n"
              "2:5: expected a value, found ')'\n"));
  CHECK(fails("f(\"abc\ny = )",
              "1:3: the string has no closing quote [a string ends on the line where it "
              "begins; write \\n for a new line]\n"
              "2:5: expected a value, found ')'\n"));
  CHECK(fails("a − b + é",
              "1:3: unexpected character '−' [write '-']\n1:9: unexpected character 'é'\n"));
  CHECK(fails("na§§ve = 1", "1:3: unexpected character '§'\n"));
  CHECK(fails("a $ b", "1:3: unexpected character '$'\n"));
  CHECK(fails("// “note”",
              "1:1: '//' is not an operator of the language [a comment begins with '#'; a quotient "
              "rounded down is floor(x / y)]\n"));
  Reading nul = read_bytes("x\0y\0", 4, false);
  CHECK(nul.outcome == PARSE_ERROR && nul.diags.count == 1 && nul.diags.items[0].span.begin == 1);
  forget(&nul);
  CHECK(fails("# \xed\xa0\x80 \xff",
              "1:3: the text is not valid UTF-8 [scripts are text in UTF-8]\n"));
}

static void test_recovery(void) {
  CHECK(fails("print (1 + 2\nx = 3\ny = = 4",
              "2:1: expected ')', found 'x'\n1:7: '(' was opened here\n"
              "3:5: expected a value, found '='\n"));
  CHECK(fails("t = [1\n     2, 3]\ny = )",
              "2:6: expected ',' or ']', found '2'\n1:5: '[' was opened here\n"
              "3:5: expected a value, found ')'\n"));
  CHECK(fails("x = f(\n a b,\n c\n)\ny = )", "2:4: expected ',' or ')', found 'b'\n"
                                             "5:5: expected a value, found ')'\n"));
  CHECK(fails("x = f(a; b)\n", "1:8: expected ',' or ')', found ';'\n"));
  CHECK(fails("model m {\n a = f(1\n}\nx = )",
              "3:1: expected ',' or ')', found '}'\n2:7: '(' was opened here\n"
              "4:5: expected a value, found ')'\n"));
  CHECK(fails("model m {\n a 1\n b = \n}\nx = )", "2:4: expected '=', found '1'\n"
                                                  "3:6: expected a value, found end of line\n"
                                                  "5:5: expected a value, found ')'\n"));
  CHECK(fails("model m {\n a = 1\ntraining t { }\nx = )",
              "3:1: expected a name or '}', found 'training'\n1:9: '{' was opened here\n"
              "4:5: expected a value, found ')'\n"));
  CHECK(fails("}\nx = )",
              "1:1: expected a statement, found '}'\n2:5: expected a value, found ')'\n"));
  CHECK(fails("for x = y {\n print 1\n}\nz = )", "1:7: expected 'in', found '='\n"
                                                 "4:5: expected a value, found ')'\n"));
  CHECK(fails("for x in y {\n print )\n print x\n",
              "2:8: expected a value, found ')'\n"
              "4:1: expected a statement or '}', found end of input\n"
              "1:12: '{' was opened here\n"));
  CHECK(
      fails("x = (1 +\n", "2:1: expected a value, found end of input\n1:5: '(' was opened here\n"));
  CHECK(fails("for a in b { if c { f(net with {",
              "1:33: expected a name or '}', found end of input\n1:32: '{' was opened here\n"));
}

static void test_interactive(void) {
  const char *const open[] = {"f(1,\n",          "x = 1 +\n",           "a ->",
                              "model m {\n",     "for x in y {\n z\n",  "x = [1\n",
                              "a and",           "if a { } else",       "print a,\n # note\n",
                              "x = if a then\n", "f(net with {\n a = 1"};
  const char *const wrong[] = {"print\n", "x =\n", "f(1 2", ")", "\"abc", "(\"abc", "x = ) + ("};
  const char *const done[] = {"", "\n", "x = 1", "if a {\n}\n", "# (", "f(\n1\n)"};
  for (size_t i = 0; i < sizeof open / sizeof *open; i++) CHECK(typed(open[i]) == PARSE_INCOMPLETE);
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) CHECK(typed(wrong[i]) == PARSE_ERROR);
  for (size_t i = 0; i < sizeof done / sizeof *done; i++) CHECK(typed(done[i]) == PARSE_OK);
}

static void test_limits(void) {
  const char *const prefix[] = {"-", "not ", "2^"};
  for (size_t i = 0; i < sizeof prefix / sizeof *prefix; i++) {
    CHECK(fits("x = ", prefix[i], AST_MAX_DEPTH - 2, "1"));
    CHECK(!fits("x = ", prefix[i], AST_MAX_DEPTH + 1, "1"));
    CHECK(!fits("x = ", prefix[i], 100000, "1"));
  }
  CHECK(!fits("if a { }", " else if a { }", AST_MAX_DEPTH + 1, ""));
  CHECK(!fits("x = ", "(", 100000, ""));
  CHECK(!fits("", "for a in b { ", AST_MAX_DEPTH + 1, ""));
  CHECK(fits("x = 1", "+1", AST_MAX_HEIGHT - 10, ""));
  CHECK(!fits("x = 1", "+1", 100000, ""));
  CHECK(!fits("x = a", ".a", 100000, ""));
  CHECK(!fits("x = a", "'", 100000, ""));
  CHECK(fits("", "x = a + 2\n", 100000, ""));
  CHECK(fits("x = [", "1, ", 100000, "]"));
}

static void test_expression(void) {
  Diags diags = {0};
  Source *source = source_new("--set", " 1 + γ ", strlen(" 1 + γ "));
  Script *script = script_parse_expression(source, &diags);
  char *tree = script ? ast_print(script->root) : NULL;
  CHECK(tree && strcmp(tree, "(+ 1 gamma)") == 0);
  free(tree);
  script_free(script);
  source_drop(source);
  const char *const wrong[] = {"",  "1 +", "1 2",    "a = 1",  "print 1",
                               "(", "1)",  "a b; c", "f(}; c", "f(a with { b = }"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    source = source_new("--set", wrong[i], strlen(wrong[i]));
    CHECK(!script_parse_expression(source, &diags) && diags.errors == 1);
    diags_clear(&diags);
    source_drop(source);
  }
}

/* The source text of the first child of the first statement. */
static bool source_is(const char *text, const char *want) {
  Reading reading = read_bytes(text, strlen(text), false);
  char *got = ast_source(reading.script->root->kid[0]->kid[0]);
  bool same = strcmp(got, want) == 0;
  if (!same) fprintf(stderr, "got %s want %s\n", got, want);
  free(got);
  forget(&reading);
  return same;
}

static void test_spans(void) {
  CHECK(source_is("print  theory.loss[60] , 2", "theory.loss[60]"));
  CHECK(source_is("print (γ +\n   1) # end", "(γ + 1)"));
  CHECK(source_is("x = f( a, # first\n  \"b  #  c\" )", "f( a, \"b  #  c\" )"));
  CHECK(source_is("print -a'", "-a'"));
  Reading reading = read_bytes("γ = net.loss", strlen("γ = net.loss"), false);
  const Ast *assign = reading.script->root->kid[0], *field = assign->kid[0];
  CHECK(assign->span.begin == 0 && assign->span.end == 13);
  CHECK(assign->name_span.begin == 0 && assign->name_span.end == 2);
  CHECK(field->name_span.begin == 9 && field->name_span.end == 13);
  forget(&reading);
}

static ssize_t count_write(void *count, const char *text, size_t length) {
  (void)text;
  ++*(int *)count;
  return (ssize_t)length;
}

/* A message reaches a stream that keeps nothing back in one piece. */
static void test_pieces(void) {
  const char *text = "x = \"a\nprint 1 +\n";
  Reading reading = read_bytes(text, strlen(text), false);
  int messages = reading.diags.errors, writes = 0;
  FILE *stream = fopencookie(&writes, "w", (cookie_io_functions_t){.write = count_write});
  CHECK(stream && messages == 2);
  setvbuf(stream, NULL, _IONBF, 0);
  diags_print(&reading.diags, stream, true);
  CHECK(writes == messages);
  fclose(stream);
  forget(&reading);
}

int main(void) {
  test_literals();
  test_greek();
  test_precedence();
  test_postfix();
  test_statements();
  test_newlines();
  test_soft_words();
  test_messages();
  test_lexemes();
  test_recovery();
  test_interactive();
  test_limits();
  test_expression();
  test_spans();
  test_pieces();
  return check_done();
}
