/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The standard layout: small cases, then every script of the repository, whose tree must not
 * change. */
#include "syntax/format.h"
#include "check.h"

#include <ctype.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

static char *format(const char *text) {
  Diags diags = {0};
  Source *source = source_new("text", text, strlen(text));
  char *formatted = script_format(source, &diags);
  source_drop(source);
  diags_clear(&diags);
  return formatted;
}

static char *tree(const char *text) {
  Diags diags = {0};
  Source *source = source_new("text", text, strlen(text));
  Script *script;
  char *printed = NULL;
  if (script_parse(source, false, &script, &diags) == PARSE_OK) printed = ast_print(script->root);
  script_free(script);
  source_drop(source);
  diags_clear(&diags);
  return printed;
}

static bool same(const char *got, const char *want) {
  bool equal = got && want && strcmp(got, want) == 0;
  if (!equal) fprintf(stderr, "--- got\n%s\n--- want\n%s\n", got ? got : "(nothing)", want);
  return equal;
}

/* What formatting may not touch: everything but white space and semicolons. */
static char *ink(const char *text) {
  char *copy = mem_string(text), *to = copy;
  for (; *text; text++)
    if (!isspace((unsigned char)*text) && *text != ';') *to++ = *text;
  *to = 0;
  return copy;
}

/* Formatting keeps the tree and the comments, and does nothing the second time. */
static bool sound(const char *text) {
  char *once = format(text), *twice = once ? format(once) : NULL;
  char *before = tree(text), *after = once ? tree(once) : NULL;
  char *ink_before = ink(text), *ink_after = ink(once ? once : "");
  bool good = same(after, before) && same(twice, once) && same(ink_after, ink_before);
  free(once);
  free(twice);
  free(before);
  free(after);
  free(ink_before);
  free(ink_after);
  return good;
}

static bool gives(const char *text, const char *want) {
  char *got = format(text);
  bool good = same(got, want) && sound(text);
  free(got);
  return good;
}

static void test_blanks(void) {
  CHECK(gives("", ""));
  CHECK(gives("\n\n", ""));
  CHECK(gives("x=1", "x = 1\n"));
  CHECK(gives("x  =  -  1+2*- 3 ^ - 2", "x = -1 + 2 * -3^-2\n"));
  CHECK(gives("print  ( 1+2 ) , f ( x ,k=3 ) [ 0 , : , 2 : 5 ]'",
              "print (1 + 2), f(x, k = 3)[0, :, 2:5]'\n"));
  CHECK(gives("print a.b . c, 0 .. 9, 1. .. 2, 1 .. .5", "print a.b.c, 0..9, 1. ..2, 1.. .5\n"));
  CHECK(gives("x = a<b and not(c==d)->e", "x = a < b and not (c == d) -> e\n"));
  CHECK(gives("x = y[:-1, (1):]", "x = y[:-1, (1):]\n"));
  CHECK(gives("x = f(a,\n)", "x = f(a,\n)\n"));
  CHECK(gives("x = 0. .t + 1 .t", "x = 0. .t + 1 .t\n"));
  CHECK(gives("a = b' * c'' @ [d']", "a = b' * c'' @ [d']\n"));
  CHECK(gives("x=if a then-b else[c]", "x = if a then -b else [c]\n"));
  CHECK(gives("plot to to to", "plot to to to\n"));
  CHECK(gives("loss = loss(1)[2]", "loss = loss(1)[2]\n"));
  CHECK(gives("γ=\"a  #b\"+σ_w", "γ = \"a  #b\" + σ_w\n"));
  char *marked = format("\xef\xbb\xbfx=1\r\ny=2\r\n");
  CHECK(same(marked, "x = 1\ny = 2\n"));
  free(marked);
}

static void test_lines(void) {
  CHECK(gives("a=1;b=2;\n;c=3", "a = 1; b = 2\nc = 3\n"));
  CHECK(gives("\n\na=1\n\n\n\nb=2\n\n", "a = 1\n\nb = 2\n"));
  CHECK(gives("for x in y {\n\nprint x\n if x { z=1 }\nelse {\nz=2\n}\n\n}\n",
              "for x in y {\n  print x\n  if x { z = 1 }\n  else {\n    z = 2\n  }\n}\n"));
  CHECK(gives("x = a +\n b\n", "x = a +\n  b\n"));
  CHECK(gives("model m {\nlayers = input\n-> a\n-> b\n}",
              "model m {\n  layers = input\n    -> a\n    -> b\n}\n"));
  CHECK(gives("x = f(\na,\n[\n1\n]\n)", "x = f(\n  a,\n  [\n    1\n  ]\n)\n"));
  CHECK(gives("x = f(a,\nb, g(c,\nd))", "x = f(a,\n      b, g(c,\n           d))\n"));
  CHECK(gives("f(net with {\n a = 1\n bb = 2\n},\n 3)",
              "f(net with {\n  a  = 1\n  bb = 2\n},\n  3)\n"));
}

static void test_alignment(void) {
  CHECK(gives("model m { a = 1\nbcd = 2 }", "model m { a = 1\n  bcd = 2 }\n"));
  CHECK(gives("model m {\na = 1\nbcd = 2,\n\ne = 3\n}",
              "model m {\n  a   = 1\n  bcd = 2,\n\n  e = 3\n}\n"));
  CHECK(gives("dataset d {\n inputs = [[1],\n[2]]\n targets = 1\n}",
              "dataset d {\n  inputs  = [[1],\n             [2]]\n  targets = 1\n}\n"));
  CHECK(gives("dataset d {\n inputs = [\n\n1\n\n]\n gram = 1\n}",
              "dataset d {\n  inputs = [\n    1\n  ]\n  gram   = 1\n}\n"));
  CHECK(gives("a = 1\nbcd = 2", "a = 1\nbcd = 2\n"));
  CHECK(gives("a  = 1\nbcd = 2", "a   = 1\nbcd = 2\n"));
  CHECK(gives("y = f(function (x,k=1)=-x*k , 2)", "y = f(function(x, k = 1) = -x * k, 2)\n"));
  CHECK(gives("function f(x)  = x\nfunction gh(x, k = 1) = k\ny = 1",
              "function f(x)         = x\nfunction gh(x, k = 1) = k\ny = 1\n"));
}

static void test_comments(void) {
  CHECK(gives("#a  \n\n\n  # b\nx=1# c\n", "#a\n\n# b\nx = 1  # c\n"));
  CHECK(gives("x = 1      # a\ny = 2      # b\n", "x = 1      # a\ny = 2      # b\n"));
  CHECK(gives("x = 1 # a\nlong = 2 # b\n\nz = 1 # c",
              "x = 1     # a\nlong = 2  # b\n\nz = 1  # c\n"));
  CHECK(gives("for x in y { # a\n# b\nz\n# c\n} # d\n# e",
              "for x in y {  # a\n  # b\n  z\n  # c\n}             # d\n# e\n"));
  CHECK(
      gives("x = [ # a; b\n1, # c\n# d\n]; # e", "x = [  # a; b\n  1,   # c\n  # d\n]      # e\n"));
}

static void test_errors(void) {
  CHECK(!format("x = = 1"));
  CHECK(!format("for x in y {"));
}

static char *contents(const char *path) {
  FILE *file = fopen(path, "rb");
  char *text = NULL;
  size_t room = 0;
  if (!file) return NULL;
  ssize_t length = getdelim(&text, &room, 0, file);
  fclose(file);
  return length < 0 ? NULL : text;
}

static void test_repository(void) {
  static const char *const directories[] = {"examples", "stdlib", "tests/*"};
  const char *root = getenv("srcdir") ? getenv("srcdir") : ".";
  int seen = 0;
  for (size_t i = 0; i < sizeof directories / sizeof *directories; i++) {
    char *pattern = mem_format("%s/%s/*.dmf", root, directories[i]);
    glob_t found;
    if (glob(pattern, 0, NULL, &found) != 0) found.gl_pathc = 0;
    for (size_t k = 0; k < found.gl_pathc; k++) {
      char *text = contents(found.gl_pathv[k]), *parsed = text ? tree(text) : NULL;
      if (parsed) {
        bool good = sound(text);
        CHECK(good);
        if (!good) fprintf(stderr, "in %s\n", found.gl_pathv[k]);
        seen++;
      }
      free(text);
      free(parsed);
    }
    if (found.gl_pathc) globfree(&found);
    free(pattern);
  }
  CHECK(seen > 50);
}

int main(void) {
  test_blanks();
  test_lines();
  test_alignment();
  test_comments();
  test_errors();
  test_repository();
  return check_done();
}
