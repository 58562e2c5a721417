/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sessions: what stays from one entry to the next, and that two of them do not meet. */
#include "dmf.h"
#include "base/memory.h"
#include "file/file.h"
#include "check.h"

#include <pthread.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct Bench {
  Dmf *dmf;
  char *results, *messages;
  size_t result_size, message_size;
  FILE *out, *err;
} Bench;

/* The streams point into the bench: it must not move. */
static void begin(Bench *b, bool interactive) {
  *b = (Bench){0};
  b->out = open_memstream(&b->results, &b->result_size);
  b->err = open_memstream(&b->messages, &b->message_size);
  DmfConfig config = {
      .results = b->out, .diagnostics = b->err, .quiet = true, .interactive = interactive};
  b->dmf = dmf_open(&config);
}

static void finish(Bench *b) {
  dmf_close(b->dmf);
  fclose(b->out);
  fclose(b->err);
  free(b->results);
  free(b->messages);
}

static int run(Bench *b, const char *text) {
  return dmf_run_text(b->dmf, "<input>", text, strlen(text));
}

/* Whether `name` may stand at the end of the text. */
static bool offers(Bench *b, const char *text, const char *name) {
  const char *candidate;
  for (int i = 0; (candidate = dmf_complete(b->dmf, text, strlen(text), i)); i++)
    if (strcmp(candidate, name) == 0) return true;
  return false;
}

static void entries(void) {
  Bench b;
  begin(&b, true);
  CHECK(run(&b, "x = 2") == DMF_OK);
  CHECK(run(&b, "x = [1,") == DMF_INCOMPLETE);
  CHECK(run(&b, "x = y + 1") == DMF_SCRIPT);
  CHECK(run(&b, "x = 5; assert x < 1") == DMF_ASSERT);
  CHECK(run(&b, "x") == DMF_OK);
  CHECK(strcmp(b.results, "= 5\n") == 0);
  CHECK(strstr(b.messages, "unknown name 'y'") != NULL);
  CHECK(offers(&b, "", "x") && offers(&b, "", "dmft") && !offers(&b, "", "y"));
  finish(&b);
}

/* What the call-backs of a session were given. */
typedef struct Given {
  char text[256];
  char expression[32], path[64];
  double shown;
} Given;

static void take_text(void *sink, const char *text, size_t length) {
  Given *given = sink;
  size_t used = strlen(given->text);
  snprintf(given->text + used, sizeof given->text - used, "%.*s", (int)length, text);
}

static void take_value(void *sink, const char *expression, const DmfValue *value) {
  Given *given = sink;
  DmfValue own = *value;
  snprintf(given->expression, sizeof given->expression, "%s", expression);
  given->shown = own.numbers.data[0];
  dmf_value_free(&own);
}

static void take_path(void *sink, const char *path) {
  Given *given = sink;
  snprintf(given->path, sizeof given->path, "%s", path);
}

static void take_message(void *sink, const DmfDiagnostic *diagnostic) {
  take_text(sink, diagnostic->text, strlen(diagnostic->text));
}

static void call_backs(void) {
  Given given = {.shown = 0};
  Dmf *dmf = dmf_open(&(DmfConfig){.print = take_text,
                                   .show = take_value,
                                   .wrote = take_path,
                                   .diagnose = take_message,
                                   .sink = &given,
                                   .interactive = true});
  const char *text = "x = [2, 3]; print 1 + 1; 2 * x; plot x to \"call_backs.txt\"";
  CHECK(dmf_run_text(dmf, "<input>", text, strlen(text)) == DMF_OK);
  CHECK(strcmp(given.text, "1 + 1 = 2\n") == 0);
  CHECK(strcmp(given.expression, "2 * x") == 0 && given.shown == 4);
  CHECK(strcmp(given.path, "call_backs.txt") == 0 && remove(given.path) == 0);
  given.text[0] = 0;
  CHECK(dmf_run_text(dmf, "<input>", "y = 1 +* 2", 10) == DMF_SCRIPT);
  CHECK(strstr(given.text, "<input>:1:8: error: ") && strstr(given.text, "    1 | y = 1 +* 2\n"));
  dmf_close(dmf);
}

static void values(void) {
  static const char text[] = "dataset d { inputs = [[1, 1], [1, -1]]; targets = [1, -1] }\n"
                             "model m { layers = input -> 2 * dense(tanh) -> readout; width = 8 }\n"
                             "training t { dataset = d; optimizer = gd(eta = 0.1); steps = 3 }\n"
                             "nets = simulate(m, t, ensemble = 4)";
  Bench b;
  begin(&b, false);
  DmfValue nets, value;
  CHECK(run(&b, text) == DMF_OK);
  CHECK(dmf_value(b.dmf, "nets", NULL, &nets) == DMF_OK && nets.kind == DMF_RESULT);
  CHECK(run(&b, "nets = 1") == DMF_OK);
  CHECK(dmf_value(b.dmf, "it.loss", &nets, &value) == DMF_OK && value.kind == DMF_NUMBERS);
  CHECK(value.numbers.rank == 1 && value.numbers.size == 4 && value.error.size == 4);
  CHECK(strcmp(value.axes[0].name, "t") == 0 && value.axes[0].at.data[3] == 3);
  dmf_value_free(&value);
  CHECK(dmf_value(b.dmf, "it.Phi", &nets, &value) == DMF_OK && value.kind == DMF_LAYERS);
  CHECK(value.length == 2);
  dmf_value_free(&value);
  CHECK(dmf_value(b.dmf, "it.nobody", &nets, &value) == DMF_SCRIPT && !value.owner);
  CHECK(dmf_value(b.dmf, "[1, \"<a>\"]", NULL, &value) == DMF_OK && value.length == 2);
  char *html = dmf_value_html(b.dmf, &value), *plain = dmf_value_text(b.dmf, &value, 80);
  CHECK(strcmp(plain, "[1, \"<a>\"]") == 0);
  CHECK(strcmp(html, "<pre>[1, &quot;&lt;a&gt;&quot;]</pre>") == 0);
  free(html);
  free(plain);
  CHECK(dmf_value_draw(b.dmf, &value, "list", "list.txt") == DMF_SCRIPT);
  dmf_value_free(&value);
  CHECK(dmf_put_value(b.dmf, "again", &nets) == DMF_OK && dmf_put_text(b.dmf, "s", "a") == DMF_OK);
  CHECK(dmf_put_value(b.dmf, "1", &nets) == DMF_USAGE);
  CHECK(run(&b, "assert again.loss[0] == 0.5; assert s == \"a\"") == DMF_OK);
  int fields = 0;
  while (dmf_value_field(b.dmf, &nets, fields)) fields++;
  CHECK(fields > 10 && !dmf_value_field(b.dmf, &nets, fields + 100));
  dmf_value_free(&nets);
  finish(&b);
}

static void completion(void) {
  Bench b;
  begin(&b, true);
  CHECK(run(&b, "dataset d { inputs = [[1]]; targets = [1] }; function g(p, q = 2) = p + q") ==
        DMF_OK);
  CHECK(run(&b, "model m { layers = input -> dense(linear) -> readout }") == DMF_OK);
  CHECK(run(&b, "training t { dataset = d; optimizer = gd(eta = 1); steps = 1 }") == DMF_OK);
  CHECK(run(&b, "r = dmft(m, t)") == DMF_OK);
  CHECK(offers(&b, "print sig", "sigmoid") && !offers(&b, "print sig", "sin"));
  CHECK(offers(&b, "pl", "plot") && offers(&b, "r.", "loss") &&
        offers(&b, "x = [r.stderr.lo", "loss"));
  CHECK(!offers(&b, "r.stderr.s", "seconds") && offers(&b, "r.s", "seconds"));
  CHECK(offers(&b, "m.", "gamma") && !offers(&b, "m.", "steps") && !offers(&b, "nobody.", "loss"));
  CHECK(offers(&b, "model n { ga", "gamma") && !offers(&b, "model n { st", "steps"));
  CHECK(offers(&b, "training u {\n  eta = 1 # a {\n  st", "steps"));
  CHECK(offers(&b, "model n { layers = in", "input") &&
        !offers(&b, "model n { layers = ", "width"));
  CHECK(offers(&b, "dmft(m with { wi", "width") && offers(&b, "dmft(m, t, sa", "samples = "));
  CHECK(offers(&b, "g(", "p = ") && offers(&b, "print (g(1, q", "q = ") &&
        !offers(&b, "g(p = q", "q = "));
  CHECK(offers(&b, "plot r.loss, legend = ", "\"top left\"") &&
        offers(&b, "plot r.loss, colors = \"vi", "viridis") &&
        offers(&b, "plot r.loss, logz = ", "true"));
  CHECK(offers(&b, "for i in ", "r") && !offers(&b, "for i in ", "print") &&
        offers(&b, "print r.loss t", "to") && !offers(&b, "print r.loss ", "r") &&
        offers(&b, "x = ", "not") && !offers(&b, "x = ", "and") &&
        offers(&b, "sweep(x, failed = ", "\"stop\""));
  CHECK(offers(&b, "plot r.loss, lo", "logy = ") && !offers(&b, "print r.loss, lo", "logy = "));
  CHECK(offers(&b, "import \"std/ob", "std/observables.dmf") && !offers(&b, "x = \"dm", "dmft"));
  CHECK(offers(&b, "\\gamma", "γ") && !offers(&b, "# dm", "dmft") &&
        offers(&b, "for i in 1..2 { pr", "print"));
  CHECK(run(&b, "γ1 = 3") == DMF_OK && offers(&b, "x = γ", "γ1") &&
        offers(&b, "x = gam", "gamma1") && offers(&b, "x = ", "γ1") &&
        !offers(&b, "x = ", "gamma1"));
  CHECK(run(&b, "system s { gain = 2; population cells; matrix J : cells -> cells\n state x = "
                "normal(cells)\n"
                "step { observe C = dot(x, x); x = tanh(gain * (J @ x)) } }") == DMF_OK);
  CHECK(offers(&b, "dmft(s with { ", "gain = ") &&
        offers(&b, "dmft(s with { gain = 3, ga", "gain = "));
  CHECK(!offers(&b, "dmft(s with { ", "gamma = ") && offers(&b, "s.", "gain"));
  CHECK(offers(&b, "system z {\n population cells\n state x = normal(ce", "cells"));
  CHECK(offers(&b, "system z {\n population cells\n matrix Jay : cells -> cells\n step { y = Ja",
               "Jay"));
  CHECK(offers(&b, "system z { population cells; step {\n obs", "observe"));
  CHECK(!offers(&b, "))}]((", "nothing") && offers(&b, "{{{{", "dmft"));
  char deep[400];
  memset(deep, '(', 300);
  for (size_t i = 300; i < 399; i++) deep[i] = i % 2 ? ',' : 'x';
  deep[399] = 0;
  CHECK(!offers(&b, deep, "nothing"));
  CHECK(offers(&b, "readout(tied = ", "true") && offers(&b, "muon(nesterov = ", "false") &&
        offers(&b, "adam(fresh = ", "true") && !offers(&b, "readout(mean = ", "true"));
  CHECK(dmf_unfinished(b.dmf, "for i in 1..2 {") && !dmf_unfinished(b.dmf, "x = ) {"));
  finish(&b);
}

/* What is recorded gives the same session again. */
/* Whether the first candidates at the end of a text are these. */
static bool begins_with(Bench *b, const char *text, const char *const *names) {
  for (int i = 0; names[i]; i++) {
    const char *candidate = dmf_complete(b->dmf, text, strlen(text), i);
    if (!candidate || strcmp(candidate, names[i]) != 0) return false;
  }
  return true;
}

static int how_many(Bench *b, const char *text) {
  int count = 0;
  while (dmf_complete(b->dmf, text, strlen(text), count)) count++;
  return count;
}

/* What a place asks for comes first, and where it is known nothing else. */
static void asked(void) {
#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})
  Bench b;
  begin(&b, true);
  CHECK(run(&b, "dataset d { inputs = [[1]]; targets = [1] }; loss own(f, y) = (f - y)^4") ==
        DMF_OK);
  CHECK(run(&b, "model m { layers = input -> dense(tanh) -> readout; width = 8 }") == DMF_OK);
  CHECK(run(&b, "training t { dataset = d; optimizer = adam(0.1); steps = 1 }") == DMF_OK);
  CHECK(run(&b, "n = simulate(m, t, ensemble = 2)") == DMF_OK);
  CHECK(begins_with(&b, "dmft(", NAMES("m", "model = ", "training = ", "samples = ")));
  CHECK(strcmp(dmf_complete_about(b.dmf, 3), "2000: how many sample paths") == 0);
  CHECK(begins_with(&b, "dmft(m, ", NAMES("t", "training = ")) && how_many(&b, "dmft(m, ") < 12);
  CHECK(!offers(&b, "dmft(m, t, seed = 2, ", "seed = ") && offers(&b, "dmft(m, t, se", "seed = "));
  CHECK(begins_with(&b, "dmft(m, t, closure = ", NAMES("\"full\"", "\"ntk\"")));
  CHECK(begins_with(&b, "dmft(m, t, closure = \"g", NAMES("gradient_independence")));
  CHECK(how_many(&b, "training u { dataset = ") == 1 && offers(&b, "training u { dataset = ", "d"));
  CHECK(offers(&b, "training u { loss = ", "own") && !offers(&b, "training u { loss = ", "tanh"));
  CHECK(offers(&b, "training u { optimizer = ", "gd(") &&
        !offers(&b, "training u { optimizer = ", "t"));
  CHECK(begins_with(&b, "training u {\n rule = f", NAMES("feedback_alignment")));
  CHECK(offers(&b, "model k { layers = input -> d", "dense") &&
        !offers(&b, "model k { layers = input -> d", "dmft"));
  CHECK(offers(&b, "t with { e", "eta = ") && offers(&b, "t.", "beta1"));
  CHECK(how_many(&b, "fluctuations(") < 8 && !offers(&b, "fluctuations(", "n"));
  CHECK(offers(&b, "preactivations(", "n") && offers(&b, "x = ", "n") &&
        !offers(&b, "x = ", "sqrt"));
  FILE *file = fopen("asked.csv", "w");
  CHECK(file && fputs("1\n", file) >= 0 && fclose(file) == 0);
  CHECK(offers(&b, "x = csv(\"as", "asked.csv") && !offers(&b, "x = npy(\"as", "asked.csv"));
  remove("asked.csv");
  DmfCall call;
  const char *text = "y = dmft(m, t, seed = sqrt(";
  CHECK(dmf_call(b.dmf, text, strlen(text), &call) && strcmp(call.usage, "sqrt(x)") == 0);
  CHECK(dmf_call(b.dmf, text, strlen(text) - 5, &call) && call.parameter == 3);
  CHECK(strncmp(call.usage, "dmft(", 5) == 0);
  CHECK(!dmf_call(b.dmf, "y = (1 + ", 9, &call) && !dmf_call(b.dmf, "y = [", 5, &call));
  finish(&b);
}

/* Whatever has a name is explained: topics, keys and their words, and the arguments of calls. */
static void explained(void) {
  Bench b;
  begin(&b, true);
  int count = 0;
  while (dmf_topic(b.dmf, count)) count++;
  char **names = mem_new((size_t)count, sizeof *names),
       **usages = mem_new((size_t)count, sizeof *usages);
  for (int i = 0; i < count; i++) {
    names[i] = mem_string(dmf_topic(b.dmf, i)->name);
    usages[i] =
        mem_string(dmf_topic(b.dmf, i)->kind == DMF_FUNCTION ? dmf_topic(b.dmf, i)->usage : "()");
  }
  for (int i = 0; i < count; i++) {
    char *help = dmf_help(b.dmf, names[i]), *rest = strchr(usages[i], '(') + 1, *part;
    bool found = help || strncmp(names[i], "std/", 4) == 0;
    if (!found) fprintf(stderr, "nothing about '%s'\n", names[i]);
    CHECK(found);
    free(help);
    while ((part = strsep(&rest, ",)"))) {
      part += strspn(part, " ");
      part[strcspn(part, " =.")] = 0;
      if (!*part || strpbrk(part, "\"0123456789")) continue;
      help = dmf_help(b.dmf, part);
      if (!help) fprintf(stderr, "nothing about '%s' of %s\n", part, names[i]);
      CHECK(help != NULL);
      free(help);
    }
  }
  static const char *const more[] = {"eta", "hebb", "@", "..", "'", "full", "mup", "circular"};
  for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
    char *help = dmf_help(b.dmf, more[i]);
    CHECK(help != NULL);
    free(help);
  }
  for (int i = 0; i < count; i++) free(names[i]), free(usages[i]);
  free(names);
  free(usages);
  finish(&b);
}

/* Files in the formats of MNIST and CIFAR-10, which nothing here writes. */
static void write_images(void) {
  static const unsigned char idx[] = {0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 7, 8};
  static const unsigned char batch[3073];
  FILE *images = fopen("images-idx3-ubyte", "wb"), *cifar = fopen("data_batch_1.bin", "wb");
  CHECK(images && fwrite(idx, sizeof idx, 1, images) == 1 && fclose(images) == 0);
  CHECK(cifar && fwrite(batch, sizeof batch, 1, cifar) == 1 && fclose(cifar) == 0);
}

/* What the reference shows can be typed; functions, words and constants of the language have an
 * example. */
static void examples(void) {
  char directory[] = "/tmp/dmf-examples-XXXXXX", *home = getcwd(NULL, 0);
  char *std = mem_format("%s:%s", home, getenv("DMF_PATH"));
  CHECK(mkdtemp(directory) && chdir(directory) == 0);
  setenv("DMF_PATH", std, 1);
  Bench b;
  begin(&b, true);
  write_images();
  CHECK(run(&b, dmf_examples_begin()) == DMF_OK);
  const DmfTopic *topic;
  int count = 0;
  while (dmf_topic(b.dmf, count)) count++;
  for (int i = 1; i < count; i++) {
    topic = dmf_topic(b.dmf, i);
    bool own = topic->kind == DMF_FUNCTION || topic->kind == DMF_KEYWORD;
    bool must = own && strncmp(topic->group, "std/", 4) != 0;
    if (must && !topic->example) fprintf(stderr, "no example of '%s'\n", topic->name);
    CHECK(topic->example || !must);
    if (!topic->example) continue;
    int status = run(&b, topic->example);
    fflush(b.err);
    if (status) fprintf(stderr, "%s: %s\n%s\n", topic->name, topic->example, b.messages);
    CHECK(status == DMF_OK);
  }
  finish(&b);
  char *remove_all = mem_format("rm -rf %s", directory);
  CHECK(chdir(home) == 0 && system(remove_all) == 0);
  setenv("DMF_PATH", ".", 1);
  free(remove_all);
  free(std);
  free(home);
}

/* The name that begins at this word of a text, counted from 0; NULL where there is none. */
static const DmfName *named(Bench *b, const char *text, const char *word, int which) {
  const DmfName *name;
  size_t length = strlen(word);
  for (int i = 0; (name = dmf_name(b->dmf, text, strlen(text), i)); i++)
    if (name->end - name->begin == length && strncmp(text + name->begin, word, length) == 0 &&
        !which--)
      return name;
  return NULL;
}

static void scopes(void) {
  Bench b;
  begin(&b, false);
  const char *text =
      "x = 1; function f(x) { y = x; return y + z }\nz = [x for x in 1..2] + x; y = 2\n"
      "layer l(phi) of u { W = matrix(); return W @ phi(u) }; print f(x = x).loss +";
  size_t first = 0, parameter = (size_t)(strstr(text, "(x)") + 1 - text),
         bound = (size_t)(strstr(text, "for x") + 4 - text);
  CHECK(named(&b, text, "x", 0)->defines && named(&b, text, "x", 0)->outermost);
  CHECK(named(&b, text, "x", 1)->origin == parameter && !named(&b, text, "x", 1)->outermost);
  CHECK(named(&b, text, "x", 2)->origin == parameter && named(&b, text, "x", 3)->origin == bound);
  CHECK(named(&b, text, "x", 5)->origin == first && !named(&b, text, "x", 5)->defines);
  CHECK(named(&b, text, "z", 0)->origin == (size_t)(strstr(text, "z = ") - text));
  CHECK(named(&b, text, "y", 1)->origin == named(&b, text, "y", 0)->begin);
  CHECK(named(&b, text, "y", 2)->outermost && named(&b, text, "matrix", 0)->role == DMF_IS_KNOWN);
  CHECK(named(&b, text, "W", 1)->origin == named(&b, text, "W", 0)->begin);
  text = "system s { g = 1; population a, b; matrix J : a -> b; state v = normal(a)\n"
         "step { observe C = dot(v, v); v = g * v } }\nv = s";
  CHECK(named(&b, text, "s", 1)->origin == named(&b, text, "s", 0)->begin);
  CHECK(named(&b, text, "a", 1)->origin == named(&b, text, "a", 0)->begin);
  CHECK(named(&b, text, "g", 1)->origin == named(&b, text, "g", 0)->begin);
  CHECK(named(&b, text, "v", 1)->origin == named(&b, text, "v", 0)->begin);
  CHECK(named(&b, text, "v", 5)->outermost && named(&b, text, "C", 0)->role == DMF_IS_FIELD);
  finish(&b);
}

static void recording(void) {
  Bench a, b;
  char path[] = "/tmp/dmf-session-XXXXXX";
  int file = mkstemp(path);
  begin(&a, true);
  begin(&b, true);
  CHECK(file >= 0 && run(&a, "x = 2") == DMF_OK && run(&a, "x = nothing") == DMF_SCRIPT);
  CHECK(run(&a, "y = 3; x + y # the sum\nx") == DMF_OK);
  CHECK(dmf_save_session(a.dmf, path) == DMF_OK && dmf_run_file(b.dmf, path) == DMF_OK);
  fflush(b.out);
  CHECK(strcmp(b.results, "x + y = 5\nx = 2\n") == 0);
  char *who = dmf_who(b.dmf);
  CHECK(strstr(who, "x ") && strstr(who, "y ") && strstr(who, "a number"));
  CHECK(dmf_save_session(a.dmf, "/nowhere/at/all") == DMF_FILE);
  CHECK(dmf_put(a.dmf, "given", 0, NULL, (double[]){1}) == DMF_OK && run(&a, "given") == DMF_OK);
  CHECK(dmf_save_session(a.dmf, path) == DMF_SCRIPT);
  free(who);
  close(file);
  unlink(path);
  finish(&a);
  finish(&b);
}

/* Whatever can be typed has help, and whatever has help says something. */
static void help(void) {
  Bench b;
  begin(&b, true);
  static const char *const places[] = {"", "dataset d {", "model m {", "training t {"};
  for (size_t k = 0; k < sizeof places / sizeof *places; k++)
    for (int i = 0; dmf_complete(b.dmf, places[k], strlen(places[k]), i); i++) {
      const char *name = dmf_complete(b.dmf, places[k], strlen(places[k]), i);
      char *text = dmf_help(b.dmf, name);
      CHECK(text && strstr(text, "\n    "));
      if (!text || !strstr(text, "\n    ")) fprintf(stderr, "no help: %s\n", name);
      free(text);
    }
  const DmfTopic *topic;
  for (int i = 0; (topic = dmf_topic(b.dmf, i)); i++) {
    CHECK(*topic->about && *topic->usage && *topic->group);
    if (!*topic->about) fprintf(stderr, "no meaning: %s\n", topic->name);
  }
  CHECK(!dmf_help(b.dmf, "nothing_of_this_name") && !dmf_help(b.dmf, ""));
  finish(&b);
}

static void apart(void) {
  Bench a, b;
  begin(&a, false);
  begin(&b, false);
  CHECK(run(&a, "x = 1") == DMF_OK);
  CHECK(run(&b, "print x") == DMF_SCRIPT);
  CHECK(run(&a, "function f(y) = x + y") == DMF_OK);
  CHECK(run(&a, "print f(1)") == DMF_OK);
  CHECK(strcmp(a.results, "f(1) = 2\n") == 0);
  CHECK(dmf_set(a.dmf, "nonsense") == DMF_USAGE);
  CHECK(dmf_set(a.dmf, "net.gamma=+") == DMF_USAGE);
  CHECK(dmf_run_file(a.dmf, "/nowhere/at/all.dmf") == DMF_FILE);
  finish(&a);
  finish(&b);
}

static bool holds(Bench *b, const char *expression, int rank, size_t size, double first) {
  DmfArray array;
  if (dmf_get(b->dmf, expression, &array) != DMF_OK) return false;
  bool good = array.rank == rank && array.size == size && array.data[0] == first;
  dmf_array_free(&array);
  return good && !array.data;
}

static void exchange(void) {
  Bench b;
  DmfArray array;
  begin(&b, false);
  double numbers[] = {1, 2, 3, 4, 5, 6};
  size_t shape[] = {3, 2};
  CHECK(dmf_put(b.dmf, "x", 2, shape, numbers) == DMF_OK);
  CHECK(dmf_put(b.dmf, "γ", 0, NULL, numbers + 3) == DMF_OK);
  numbers[0] = 7;
  CHECK(holds(&b, "x", 2, 6, 1) && holds(&b, "x[1]", 1, 2, 3) && holds(&b, "gamma + 1", 0, 1, 5));
  CHECK(run(&b, "y = x' @ x") == DMF_OK && holds(&b, "y", 2, 4, 35));
  CHECK(dmf_get(b.dmf, "y", &array) == DMF_OK);
  CHECK(run(&b, "y = 3") == DMF_OK && array.data[3] == 56);
  dmf_array_free(&array);
  CHECK(dmf_get(b.dmf, "nothing", &array) == DMF_SCRIPT && !array.data);
  CHECK(dmf_get(b.dmf, "tanh", &array) == DMF_SCRIPT);
  CHECK(dmf_get(b.dmf, "x[", &array) == DMF_SCRIPT);
  CHECK(dmf_get(b.dmf, "x[5]", &array) == DMF_SCRIPT);
  CHECK(dmf_get(b.dmf, "", &array) == DMF_SCRIPT);
  CHECK(strstr(b.messages, "neither a number nor an array") != NULL);
  CHECK(dmf_put(b.dmf, "if", 2, shape, numbers) == DMF_USAGE);
  CHECK(dmf_put(b.dmf, "x + 1", 2, shape, numbers) == DMF_USAGE);
  CHECK(dmf_put(b.dmf, "x", 9, shape, numbers) == DMF_USAGE);
  CHECK(dmf_put(b.dmf, "x", 2, (size_t[]){SIZE_MAX / 4, 1 << 20}, numbers) == DMF_LIMIT);
  CHECK(holds(&b, "x", 2, 6, 1));
  finish(&b);
}

/* Stops the solver half way, or when so much is done, from its own call-back. */
typedef struct Watch {
  Dmf *dmf;
  int calls, shifts, last, total, ends, at, beyond;
  double work;
  bool apart; /* it is interrupted, not after a number of steps, but */
  int wholes; /* as something is done for the so many-th time */
} Watch;

static void watch_work(void *sink, double share) {
  Watch *w = sink;
  w->beyond += !(share > 0 && share <= 1);
  w->work = share;
}

static void watch(void *sink, const char *stage, int done, int total) {
  Watch *w = sink;
  w->ends += !stage;
  if (!stage) return;
  w->calls += strcmp(stage, "dmft") == 0;
  w->shifts += strcmp(stage, "mean shift") == 0;
  w->beyond += done > total || done < 1;
  w->last = done;
  w->total = total;
  bool whole = done == total && strcmp(stage, "fluctuations") == 0;
  if (w->dmf && whole && w->wholes > 0 && --w->wholes == 0) dmf_interrupt(w->dmf);
  if (w->dmf && !w->apart && done >= (w->at ? w->at : total / 2)) dmf_interrupt(w->dmf);
}

/* A session of this configuration, on one thread, whose progress is watched. */
static void begin_watched(Bench *b, Watch *w, DmfConfig config) {
  begin(b, false);
  dmf_close(b->dmf);
  config.results = b->out;
  config.diagnostics = b->err;
  config.progress = watch;
  config.work = watch_work;
  config.sink = w;
  config.threads = 1;
  b->dmf = dmf_open(&config);
}

static void progress(void) {
  Bench b;
  Watch w = {0};
  begin_watched(&b, &w, (DmfConfig){0});
  const char *script = "dataset d { inputs = [[1, 0], [0, 1]]; targets = [1, -1] }\n"
                       "model net { layers = input -> dense(tanh) -> readout }\n"
                       "training fit { dataset = d; optimizer = gd(0.1); steps = 5 }\n"
                       "theory = dmft(net, fit, samples = 64)";
  CHECK(run(&b, script) == DMF_OK && w.calls > 5 && w.last == w.total && w.ends == 1);
  CHECK(holds(&b, "theory.loss", 1, 6, 0.5));
  w = (Watch){0}; /* several runs in one, and what is read backward */
  CHECK(run(&b, "lowest = dmft(net, fit, closure = \"perturbative\", samples = 64)") == DMF_OK);
  CHECK(w.calls > 5 && w.last == w.total && !w.beyond && w.ends == 1);
  CHECK(fabs(w.work - 1) < 1e-9);
  w = (Watch){0}; /* with runs that lean behind the others */
  CHECK(run(&b, "heavy = dmft(net with { layers = input -> dense(exp) -> readout }, fit, "
                "samples = 64)") == DMF_OK);
  CHECK(w.last == w.total && !w.beyond && fabs(w.work - 1) < 1e-9);
  w = (Watch){0};
  CHECK(run(&b, "noise = fluctuations(theory)") == DMF_OK);
  CHECK(w.last == w.total && w.total > 1 && !w.beyond && w.ends == 1);
  CHECK(fabs(w.work - 1) < 1e-9);
  CHECK(run(&b,
            "system cells { population all; matrix J : all -> all (symmetry = 1)\n"
            "state x = normal(all)\n"
            "step { observe C = two_time(x); observe R = response(x, x); observe m = dot(x, x)\n"
            "x = 0.5 * (J @ tanh(x)) } }\n"
            "free = dmft(cells, steps = 4, samples = 64)") == DMF_OK);
  w = (Watch){0}; /* of what is symmetric, or looks back, half is read */
  CHECK(run(&b, "scatter = fluctuations(free, samples = 256)") == DMF_OK);
  CHECK(w.last == w.total && w.total > 1 && !w.beyond && w.ends == 1);
  w = (Watch){.dmf = b.dmf};
  CHECK(run(&b, "theory = dmft(net, fit, samples = 64, seed = 1)") == DMF_INTERRUPTED);
  CHECK(w.last < w.total && w.ends == 1 && holds(&b, "theory.seed", 0, 1, 0));
  CHECK(run(&b, "nets = simulate(net with { width = 8 }, fit, ensemble = 4)") == DMF_INTERRUPTED);
  CHECK(run(&b, "print nets.seed") == DMF_SCRIPT);
  w = (Watch){0};
  dmf_config(b.dmf)->quiet = true;
  CHECK(run(&b, "theory = dmft(net, fit, samples = 64)") == DMF_OK && !w.calls && !w.ends);
  finish(&b);
}

/* At the prompt an interrupted ensemble leaves the networks that are done. */
static void partial(void) {
  Bench b;
  Watch w = {0};
  begin_watched(&b, &w, (DmfConfig){.interactive = true});
  w.dmf = b.dmf;
  CHECK(run(&b, "dataset d { inputs = [[1, 0], [0, 1]]; targets = [1, -1] }\n"
                "model net { layers = input -> dense(tanh) -> readout; width = 8 }\n"
                "training fit { dataset = d; optimizer = gd(0.1); steps = 5 }") == DMF_OK);
  CHECK(run(&b, "nets = simulate(net, fit, ensemble = 6)") == DMF_OK);
  CHECK(strstr(b.messages, "warning: interrupted: the result is of 3 of 6 networks"));
  w.dmf = NULL;
  CHECK(run(&b, "same = simulate(net, fit, ensemble = 3)") == DMF_OK);
  CHECK(run(&b, "assert nets.ensemble == 3 and all(nets.f == same.f)") == DMF_OK);
  CHECK(run(&b, "assert all(nets.stderr.Phi[1] == same.stderr.Phi[1])") == DMF_OK);
  w.dmf = b.dmf;
  CHECK(run(&b, "both = simulate(net, fit, ensemble = 6); after = 1") == DMF_INTERRUPTED);
  CHECK(run(&b, "both.f") == DMF_OK && run(&b, "after") == DMF_SCRIPT);
  finish(&b);
}

static bool warned(Bench *b, Watch *w, int at, const char *text, const char *of) {
  w->dmf = b->dmf;
  w->at = at;
  bool fine = run(b, text) == DMF_OK && strstr(b->messages, of);
  w->dmf = NULL;
  return fine;
}

/* At the prompt an interrupted theory is one of fewer replicates, or of fewer steps: the result
 * knows its errors, completes itself, and comes back from a file. */
static void partial_theory(void) {
  Bench b;
  Watch w = {0};
  begin_watched(&b, &w, (DmfConfig){.interactive = true});
  CHECK(run(&b, "dataset d { inputs = [[1, 0], [0, 1]]; targets = [1, -1] }\n"
                "model net { layers = input -> 2 * dense(tanh) -> readout }\n"
                "model linear_net { layers = input -> 2 * dense(linear) -> readout }\n"
                "training fit { dataset = d; optimizer = gd(0.1); steps = 5 }\n"
                "function steady(t) = 0.1 + 0 * t\n"
                "training quick { dataset = d; optimizer = gd(steady); steps = 5 }\n"
                "whole = dmft(net, fit, samples = 64); exact = dmft(linear_net, fit)") == DMF_OK);
  /* 4 replicates and their companions, 6 times each; companions first */
  CHECK(warned(&b, &w, 36, "few = dmft(net, fit, samples = 64)", "of 2 of 4 replicates"));
  CHECK(run(&b, "assert few.incomplete == \"2 of 4 replicates\" and few.replicates == 2\n"
                "assert few.samples == 32 and few.steps == 5 and few.tol == whole.tol") == DMF_OK);
  CHECK(run(&b, "assert all(abs(few.f - whole.f) <= 4 * (few.stderr.f + whole.stderr.f))\n"
                "assert all(few.stderr.f[1:] > 0)\n"
                "for t in 0..5 { assert all(abs(few.Phi[2][t, :2, t, :2] - few.Phi[2][t, :2, t, "
                ":2]') < 1e-12) }") == DMF_OK);
  CHECK(warned(&b, &w, 33, "short = dmft(net, quick, samples = 64)", "of 2 of 5 steps"));
  CHECK(run(&b, "assert short.steps == 2 and short.replicates == 2 and short.t[-1] == 2\n"
                "assert all(short.f == few.f[:3])\n"
                "assert all(short.Phi[1] == few.Phi[1][:3, :, :3])") == DMF_OK);
  /* the first of several rounds */
  CHECK(warned(&b, &w, 60, "found = dmft(net, fit, samples = 64, error = 1e-9)", "of 64 samples"));
  CHECK(run(&b, "assert found.incomplete == \"64 samples\" and all(found.f == whole.f)") == DMF_OK);
  CHECK(warned(&b, &w, 3, "brief = dmft(linear_net, fit)", "of 2 of 5 steps"));
  CHECK(run(&b, "assert all(brief.f == exact.f[:3]) and brief.exact") == DMF_OK);
  char name[64], *text = NULL;
  snprintf(name, sizeof name, "test-session-%ld.h5", (long)getpid());
  for (int i = 0; i < 2; i++) {
    CHECK(asprintf(&text,
                   "save %s to \"%s\"\nagain = load(\"%s\")\n"
                   "assert all(again.G[2] == %s.G[2]) and all(again.B[1] == %s.B[1])",
                   i ? "few" : "short", name, name, i ? "few" : "short", i ? "few" : "short") > 0);
    CHECK(run(&b, text) == DMF_OK);
    free(text);
  }
  unlink(name);
  finish(&b);
}

/* A system that is interrupted is one of fewer replicates, or of fewer steps, which knows fields of
 * two times; or of fewer members. */
static void partial_system(void) {
  Bench b;
  Watch w = {0};
  begin_watched(&b, &w, (DmfConfig){.interactive = true});
  CHECK(run(&b, "system bent { population n; matrix J : n -> n; state x = normal(n)\n"
                "  step { observe m = dot(x, x); observe C = two_time(x); h = J @ tanh(x)\n"
                "    observe R = response(x, to = h); x = h } }\n"
                "system straight { population n; matrix J : n -> n; state x = normal(n)\n"
                "  step { observe m = dot(x, x); x = 0.5 * J @ x } }\n"
                "whole = dmft(bent, steps = 6, samples = 64)\n"
                "exact = dmft(straight, steps = 6)") == DMF_OK);
  /* 4 replicates and their companions, 6 times each; companions first */
  CHECK(warned(&b, &w, 36, "few = dmft(bent, steps = 6, samples = 64)", "of 2 of 4 replicates"));
  CHECK(run(&b, "assert few.incomplete == \"2 of 4 replicates\" and few.replicates == 2\n"
                "assert few.samples == 32 and all(few.stderr.C[1:, 1:] > 0)") == DMF_OK);
  CHECK(warned(&b, &w, 34, "short = dmft(bent, steps = 6, samples = 64)", "of 4 of 6 steps"));
  CHECK(run(&b, "assert short.steps == 4 and size(short.t) == 4 and short.replicates == 2\n"
                "assert all(short.m == few.m[:4]) and all(short.C == few.C[:4, :4])\n"
                "assert all(short.R == few.R[:4, :4])") == DMF_OK);
  CHECK(warned(&b, &w, 3, "brief = dmft(straight, steps = 6)", "of 3 of 6 steps"));
  CHECK(run(&b, "assert all(brief.m == exact.m[:3]) and brief.exact") == DMF_OK);
  CHECK(
      warned(&b, &w, 18, "nets = simulate(bent, steps = 6, size = 9, ensemble = 6)", "of 3 of 6"));
  CHECK(run(&b, "same = simulate(bent, steps = 6, size = 9, ensemble = 3)\n"
                "assert nets.ensemble == 3 and all(nets.C == same.C)\n"
                "assert all(nets.stderr.var_C == same.stderr.var_C)") == DMF_OK);
  CHECK(run(&b, "all_of = fluctuations(whole, samples = 256)") == DMF_OK);
  w.dmf = b.dmf;
  w.at = 0; /* after half of the numbers */
  CHECK(run(&b, "half = fluctuations(whole, samples = 256)") == DMF_OK);
  w.dmf = NULL;
  CHECK(strstr(b.messages, "interrupted: the result is of 4 of 8 replicates"));
  CHECK(run(&b, "assert half.incomplete == \"4 of 8 replicates\" and half.samples == 128\n"
                "z = abs(half.var_m - all_of.var_m) / (half.stderr.var_m + all_of.stderr.var_m)\n"
                "assert max(z) < 4 and max(half.stderr.var_m) > 0 and any(half.var_m != "
                "all_of.var_m)") == DMF_OK);
  char name[64], *text = NULL;
  snprintf(name, sizeof name, "test-session-%ld.h5", (long)getpid());
  CHECK(asprintf(&text,
                 "save short to \"%s\"\nagain = load(\"%s\")\n"
                 "assert all(fluctuations(again, samples = 64).var_m == fluctuations(short, "
                 "samples = 64).var_m)",
                 name, name) > 0);
  CHECK(run(&b, text) == DMF_OK);
  free(text);
  unlink(name);
  finish(&b);
}

/* A script that asks for it goes on with a partial result, up to the next solver. */
static void partial_script(void) {
  Bench b;
  Watch w = {.at = 36};
  begin_watched(&b, &w, (DmfConfig){.partial = true});
  w.dmf = b.dmf;
  const char *script = "dataset d { inputs = [[1, 0], [0, 1]]; targets = [1, -1] }\n"
                       "model net { layers = input -> dense(tanh) -> readout }\n"
                       "training fit { dataset = d; optimizer = gd(0.1); steps = 5 }\n"
                       "theory = dmft(net, fit, samples = 64)\n"
                       "print theory.incomplete, theory.loss[-1] < theory.loss[0]\n";
  CHECK(run(&b, script) == DMF_INTERRUPTED);
  fflush(b.out);
  CHECK(strstr(b.results, "2 of 4 replicates"));
  CHECK(strstr(b.messages, "the result is of 2 of 4 replicates"));
  char *longer = NULL;
  CHECK(asprintf(&longer, "%sprint \"before\"\nmore = dmft(net, fit)\nprint \"after\"", script) >
        0);
  CHECK(run(&b, longer) == DMF_INTERRUPTED);
  fflush(b.out);
  CHECK(strstr(b.results, "before") && !strstr(b.results, "after"));
  free(longer);
  w.at = 48; /* in the last step of all: the result is whole, and the script goes on no less */
  CHECK(run(&b, "theory = dmft(net, fit, samples = 64)\nprint \"whole\", theory.replicates\n"
                "more = dmft(net, fit)\nprint \"after\"") == DMF_INTERRUPTED);
  fflush(b.out);
  CHECK(strstr(b.results, "whole") && !strstr(b.results, "after"));
  CHECK(strstr(b.messages, "interrupted: this result is whole"));
  finish(&b);
}

static bool in_file(const char *name, const char *text) {
  char line[512];
  bool found = false;
  FILE *file = fopen(name, "r");
  while (file && fgets(line, sizeof line, file)) found |= strstr(line, text) != NULL;
  if (file) fclose(file);
  return found;
}

/* Of a sweep the points that are done are left, and of fluctuations the variances of f; files say
 * so. */
static void partial_others(void) {
  Bench b;
  Watch w = {0};
  char name[64], *text = NULL;
  begin_watched(&b, &w, (DmfConfig){.partial = true});
  CHECK(run(&b, "dataset d { inputs = [[1, 0], [0, 1]]; targets = [1, -1] }\n"
                "model net { layers = input -> dense(tanh) -> readout }\n"
                "training fit { dataset = d; optimizer = gd(0.1); steps = 5 }\n"
                "theory = dmft(net, fit, samples = 64)\n"
                "whole = sweep(dmft(net, fit, samples = 64).loss[-1], net.gamma = [1, 2])\n"
                "noise = fluctuations(theory, samples = 1024)") == DMF_OK);
  w.dmf = b.dmf;
  w.apart = true;
  w.wholes = 1;
  CHECK(run(&b, "some = fluctuations(theory, samples = 1024)\n"
                "print some.incomplete, all(some.var_f == noise.var_f)") == DMF_INTERRUPTED);
  w.apart = false;
  w.at = 2;
  snprintf(name, sizeof name, "test-session-%ld.csv", (long)getpid());
  CHECK(asprintf(
            &text,
            "x = sweep(dmft(net, fit, samples = 64).loss[-1], net.gamma = [1, 2, 3, 4])\n"
            "print all(x[:2] == whole), sum(x[2:] == x[2:])\nsave x to \"%s\"\ny = dmft(net, fit)",
            name) > 0);
  CHECK(run(&b, text) == DMF_INTERRUPTED);
  free(text);
  fflush(b.out);
  CHECK(strstr(b.results, "the variances of f") && strstr(b.results, "= 1"));
  CHECK(strstr(b.messages, "interrupted: the result is of the variances of f"));
  CHECK(strstr(b.messages, "interrupted: 2 of 4 points are done, the others are nan"));
  CHECK(in_file(name, "# interrupted: the result of sweep is of 2 of 4 points;"));
  unlink(name);
  finish(&b);
}

/* A comparison computes what both results have, and nothing else. */
static void comparing(void) {
  Bench b;
  Watch w = {0};
  begin_watched(&b, &w, (DmfConfig){0});
  CHECK(run(&b, "dataset d { inputs = [[1, 0], [0, 1]]; targets = [1, -1] }\n"
                "model net { layers = input -> dense(linear) -> readout; width = 8 }\n"
                "training fit { dataset = d; optimizer = gd(0.1); steps = 2 }\n"
                "noise = fluctuations(dmft(net, fit))\n"
                "c = compare(noise, simulate(net, fit, ensemble = 4))\n"
                "print c.var_ntk") == DMF_OK);
  CHECK(w.shifts == 0);
  CHECK(run(&b, "print noise.mean_shift_f") == DMF_OK && w.shifts > 0);
  finish(&b);
}

/* Sessions in threads of their own, which save and load at the same time. */

static void *save_and_load(void *context) {
  int *bad = context;
  char name[64], text[600];
  snprintf(name, sizeof name, "test-session-%ld-%p.h5", (long)getpid(), context);
  snprintf(text, sizeof text,
           "dataset d { inputs = [[1, 0], [0, 1]]; targets = [1, -1] }\n"
           "model net { layers = input -> dense(linear) -> readout; width = 8 }\n"
           "training fit { dataset = d; optimizer = gd(0.1); steps = 3 }\n"
           "theory = dmft(net, fit)\n"
           "for k in 1..3 {\n  save theory to \"%s\"\n"
           "  assert all(load(\"%s\").f == theory.f)\n"
           "  assert all(hdf5(\"%s\", \"f\") == theory.f)\n}\n",
           name, name, name);
  for (int i = 0; i < 3; i++) {
    Bench b;
    begin(&b, false);
    if (run(&b, text) != DMF_OK) ++*bad;
    if (*bad) fprintf(stderr, "  %s\n", b.messages);
    finish(&b);
  }
  unlink(name);
  return NULL;
}

static void together(void) {
  enum { THREADS = 4 };
  pthread_t threads[THREADS];
  int bad[THREADS] = {0};
  for (int i = 0; i < THREADS; i++)
    CHECK(pthread_create(&threads[i], NULL, save_and_load, &bad[i]) == 0);
  for (int i = 0; i < THREADS; i++) {
    pthread_join(threads[i], NULL);
    CHECK(bad[i] == 0);
  }
}

/* Recipes of strangers. */

static const char *confined_file(void) {
  static char name[64];
  snprintf(name, sizeof name, "test-session-%ld.h5", (long)getpid());
  return name;
}

/* What loading says about the file of the bench when its recipe is `front` and then the right one,
 * in which `was` is now `is`. */
static bool confines(Bench *b, const char *front, const char *was, const char *is,
                     const char *message) {
  Result *result = NULL;
  char *why = NULL;
  if (file_read_result(confined_file(), &result, &why)) return false;
  char *own = result->recipe.text, *place = strstr(own, was);
  result->recipe.text =
      mem_format("%s%.*s%s%s", front, (int)(place - own), own, is, place + strlen(was));
  free(own);
  const char *path = "test-session-hostile.h5";
  bool written = file_write_result_hdf5(path, result, NULL, &why) == STATUS_OK;
  result_drop(result);
  fflush(b->err);
  size_t before = strlen(b->messages);
  int status = run(b, "print load(\"test-session-hostile.h5\").loss[0]");
  fflush(b->err);
  unlink(path);
  bool good = written && (message ? status == DMF_FILE && strstr(b->messages + before, message)
                                  : status == DMF_OK);
  if (!good) fprintf(stderr, "  %s%s: %d %s\n", front, is, status, b->messages + before);
  return good;
}

static void confinement(void) {
  static const char more[] =
      "the recipe of the result is damaged: it holds more than declarations and one solver call";
  static const char *const fronts[] = {
      "x = 1\n",
      "print 1\n",
      "import \"std/losses.dmf\"\n",
      "x = load(\"test-session-hostile.h5\")\n",
      "for k in 0..1000000000 { x = k }\n",
      "function g(x) = x\n",
      "activation g(x) = x\n",
      "assert 1\n",
      "save 1 to \"x.csv\"\n",
      "result = dmft(model = net, training = fit)\n",
      "dataset e { inputs = csv(\"/etc/passwd\"); targets = [1] }\n",
      "dataset e { inputs = inv(gaussian(6000, 6000)); targets = [1] }\n",
      "dataset e { inputs = inputs @ inputs; targets = [1] }\n",
      "dataset e { inputs = 0..1000000000; targets = [1] }\n",
      "dataset e { inputs = [[1]]; targets = targets[0] }\n",
      "layer e() of x { v = inputs @ inputs\nreturn x }\n",
      "layer e() of x { v = hdf5(\"a.h5\", \"a\")\nreturn x }\n",
      "layer e(a = csv(\"/etc/passwd\")) of x { return x }\n",
      "loss e(f, y) = sum(zeros(100000, 100000))\n",
  };
  Bench b;
  char text[600];
  begin(&b, false);
  snprintf(text, sizeof text,
           "dataset d { inputs = sphere(points = 3, dim = 30); targets = [1, -1, 1] }\n"
           "model net { layers = input -> 2 * dense(linear) -> readout; width = 8 }\n"
           "training fit { dataset = d; optimizer = gd(0.1); steps = 3 }\n"
           "save dmft(net, fit) to \"%s\"\n",
           confined_file());
  CHECK(run(&b, text) == DMF_OK);
  CHECK(confines(&b, "", "result", "again", NULL));
  for (size_t i = 0; i < sizeof fronts / sizeof *fronts; i++)
    CHECK(confines(&b, fronts[i], "", "", more));
  CHECK(confines(&b, "", "result = dmft(", "result = simulate(", more));
  CHECK(confines(&b, "", "result = dmft(", "print dmft(", more));
  CHECK(confines(&b, "", "samples = 2000", "samples = mean([2000])", more));
  CHECK(confines(&b, "", "steps = 3", "steps = 4", "the fields are not those of this call"));
  unlink(confined_file());
  finish(&b);
}

int main(void) {
  setenv("DMF_PATH", ".", 0); /* run in the build directory */
  entries();
  call_backs();
  values();
  completion();
  asked();
  explained();
  examples();
  scopes();
  recording();
  help();
  apart();
  together();
  confinement();
  exchange();
  progress();
  partial();
  partial_theory();
  partial_system();
  partial_script();
  partial_others();
  comparing();
  return check_done();
}
