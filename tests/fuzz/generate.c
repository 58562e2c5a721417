/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Odd but well-formed programs. The bytes of an input choose among the rules of a small grammar
 * over the names that the language knows, so that a fuzzer finds its way through functions and not
 * through spellings. Statements run one after the other in an interactive session. */
#include "generate.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { STATEMENTS = 12 };

static const char preamble[] =
    "dataset d { inputs = [[1, 1, 1, -1], [1, -1, 1, 1]]; targets = [1, -1]; "
    "test_inputs = [[1, 1, 1, 1]]; test_targets = [1] }\n"
    "dataset dp { inputs = reshape(0..11, 2, 3, 2); targets = [1, -1] }\n"
    "model m { layers = input -> dense(tanh) -> readout; gamma = 2; width = 4 }\n"
    "model m2 { layers = input -> 2 * dense(relu) -> readout; width = 4 }\n"
    "training tr { dataset = d; optimizer = gd(eta = 0.1); steps = 2 }\n"
    "training tp { dataset = dp; optimizer = gd(eta = 0.1); steps = 2 }\n"
    "th = dmft(m, tr, samples = 64)\nne = simulate(m, tr, ensemble = 2)\n"
    "function f(x, k = 2) = x*k\nfunction g(x) = g(x)\nfunction fam(a, b = 1) of t, T = a*t/T + "
    "b\nactivation act(h, a = 1) = tanh(a*h)\n"
    "loss lo(f, y) = (f - y)^2\n"
    "a1 = [1, 2, 3]; a2 = [[1, 2], [3, 4]]; a3 = zeros(2, 2, 2); e = zeros(0); s = \"str\"; n = "
    "3\n";

static const char *const atoms[] = {"0",
                                    "1",
                                    "-1",
                                    "0.5",
                                    "3",
                                    "1e9",
                                    "-1e9",
                                    "1e300",
                                    "0/0",
                                    "1/0",
                                    "2^53",
                                    "\"\"",
                                    "\"abc\"",
                                    "\"a.csv\"",
                                    "\"/nope/x.h5\"",
                                    "a1",
                                    "a2",
                                    "a3",
                                    "e",
                                    "s",
                                    "n",
                                    "[0/0, 1]",
                                    "[[1, 1], [1, 1]]",
                                    "zeros(1, 1, 1, 1, 1, 1, 1, 1)",
                                    "d",
                                    "m",
                                    "m2",
                                    "tr",
                                    "th",
                                    "ne",
                                    "th.loss",
                                    "ne.Phi",
                                    "th.Phi[1]",
                                    "th.stderr.loss",
                                    "f",
                                    "g",
                                    "act",
                                    "lo",
                                    "tanh",
                                    "relu",
                                    "dmft",
                                    "sum",
                                    "gd(0.1)",
                                    "dense(tanh)",
                                    "input",
                                    "readout",
                                    "true",
                                    "0..3",
                                    "3..0",
                                    "m with { gamma = 1e-9 }",
                                    "tr with { steps = 1 }",
                                    "[m, m2]",
                                    "[1, \"a\"]",
                                    "a2'",
                                    "a1[0]",
                                    "a1[-1]",
                                    "a2[:, 0]",
                                    "a2[[0, 1]]",
                                    "a1 > 1",
                                    "nope",
                                    "mse",
                                    "\"full\"",
                                    "\"ntk\"",
                                    "equations(m, tr)",
                                    "(function(x) = 2 * x)",
                                    "(function(x, k = 1) = k * x + n)",
                                    "\"orthogonal\"",
                                    "gd(eta = function(t) = 0.1 / (t + 1))"};

static const char *const operators[] = {
    "+", "-", "*", "/", "^", "@", "==", "!=", "<", ">=", "and", "or", "..", "->"};

size_t pick(Choice *c, size_t count) {
  if (!c->left) return 0;
  c->left--;
  return *c->data++ % count;
}

#define ONE_OF(c, list) (list)[pick(c, sizeof(list) / sizeof *(list))]

void write_key(Choice *c) { fputs(name_of(c, 1 << DMF_KEY), c->out); }

static void call(Choice *c, int depth) {
  fprintf(c->out, "%s(", name_of(c, 1 << DMF_FUNCTION));
  size_t count = pick(c, 5);
  for (size_t i = 0; i < count; i++) {
    if (i) fputs(", ", c->out);
    if (pick(c, 5) == 1) fprintf(c->out, "%s = ", name_of(c, 1 << DMF_KEY));
    write_expression(c, depth + 1);
  }
  fputc(')', c->out);
}

static void subscripts(Choice *c, int depth) {
  static const char *const parts[] = {"0", "-1", ":", "1:", ":-1", "e", "1e9", "a1 > 1", "[0, 0]"};
  write_expression(c, depth + 1);
  fputc('[', c->out);
  size_t count = 1 + pick(c, 3);
  for (size_t i = 0; i < count; i++) fprintf(c->out, "%s%s", i ? ", " : "", ONE_OF(c, parts));
  fputc(']', c->out);
}

static void between(Choice *c, int depth, const char *before, const char *middle,
                    const char *behind) {
  fputs(before, c->out);
  write_expression(c, depth + 1);
  fputs(middle, c->out);
  write_expression(c, depth + 1);
  fputs(behind, c->out);
}

void write_expression(Choice *c, int depth) {
  char middle[32];
  switch (depth < DEEPEST ? pick(c, 10) : 0) {
  case 1:
  case 2: call(c, depth); break;
  case 3:
    snprintf(middle, sizeof middle, " %s ", ONE_OF(c, operators));
    between(c, depth, "(", middle, ")");
    break;
  case 4: between(c, depth, "[", ", ", "]"); break;
  case 5: subscripts(c, depth); break;
  case 6:
    between(c, depth, "(if ", " then ", " else ");
    fprintf(c->out, "%s)", ONE_OF(c, atoms));
    break;
  case 7:
    fprintf(c->out, "(%s with { %s = ", ONE_OF(c, atoms), name_of(c, 1 << DMF_KEY));
    write_expression(c, depth + 1);
    fputs(" })", c->out);
    break;
  case 8:
    fprintf(c->out, "%s.%s", ONE_OF(c, atoms), name_of(c, 1 << DMF_FIELD | 1 << DMF_KEY));
    break;
  default: fputs(ONE_OF(c, atoms), c->out);
  }
}

/* What a line of a layer computes: each & is again such a thing. */
static void vector(Choice *c, int depth) {
  static const char *const simple[] = {
      "x",         "h",        "W @ x",         "0.5",  "k",    "depth",        "p",
      "a1",        "W",        "x[-1]",         "h[0]", "h[p]", "positions(x)", "1e9",
      "bias(0.5)", "codes(x)", "codes(h, 0.1)", "0",    "-1"};
  static const char *const forms[] = {"W @ (&)",
                                      "V @ (&)",
                                      "W' @ (&)",
                                      "activation(&)",
                                      "tanh(&)",
                                      "sqrt(&)",
                                      "(& + &)",
                                      "(& * &)",
                                      "(& - &)",
                                      "(& / &)",
                                      "mean(&)",
                                      "dot(&, &)",
                                      "gram(&, &)",
                                      "softmax(&)",
                                      "softmax(gram(&, &), true)",
                                      "(&) @ (&)",
                                      "pooled(&, \"mean\")",
                                      "flattened(&)",
                                      "(&)[&]",
                                      "(if & > 0 then & else &)",
                                      "layer_normed(&)",
                                      "attended(&, 2)",
                                      "exp(&)",
                                      "(&)^2",
                                      "%"};
  const char *form = depth < DEEPEST && pick(c, 3) ? ONE_OF(c, forms) : ONE_OF(c, simple);
  for (; *form; form++)
    if (*form == '&')
      vector(c, depth + 1);
    else if (*form == '%')
      write_expression(c, DEEPEST - 1);
    else
      fputc(*form, c->out);
}

/* A layer of a chain, with an arrow behind it, or none. */
static void link(Choice *c) {
  static const char *const links[] = {"",
                                      "own(tanh) -> ",
                                      "own(relu, 2) -> ",
                                      "own(act) -> ",
                                      "conv(tanh, window = 2) -> ",
                                      "embed() -> ",
                                      "embed(sigma_c = 1) -> ",
                                      "recurrent(tanh) -> ",
                                      "last -> ",
                                      "pool(\"mean\") -> ",
                                      "flatten -> ",
                                      "layer_norm() -> ",
                                      "rms_norm() -> ",
                                      "attention(2) -> ",
                                      "block(relu) -> ",
                                      "residual(tanh) -> ",
                                      "dense(relu, width = 2) -> ",
                                      "activate(erf) -> ",
                                      "2 * own(tanh) -> ",
                                      "own(function(h) = tanh(2 * h)) -> ",
                                      "dense(tanh, law = \"uniform\") -> ",
                                      "dense(tanh, law = \"orthogonal\") -> ",
                                      "2 * residual(tanh, law = \"sign\") -> ",
                                      "inf * residual(tanh) -> "};
  if (pick(c, 3)) {
    fputs(ONE_OF(c, links), c->out);
    return;
  }
  write_call(c, "std/layers.dmf", 0);
  fputs(" -> ", c->out);
}

/* A statement in which other things stand in the places of signs: expressions of %, keys of $, what
 * layers compute of &, layers of a chain of ~, optimizers of !, keys of a training with values of
 * ?. */
static void fill(Choice *c, const char *form) {
  for (; *form; form++) switch (*form) {
    case '%': write_expression(c, 0); break;
    case '$': write_key(c); break;
    case '&': vector(c, 0); break;
    case '~': link(c); break;
    case '!': write_call(c, "Optimizers", 0); break;
    case '?': write_entry(c, "a training", 0); break;
    default: fputc(*form, c->out);
    }
}

static void statement(Choice *c) {
  static const char *const forms[] = {
      "print %",
      "x = %",
      "%",
      "print %, label = %",
      "plot % to \"p.txt\"",
      "plot %, title = \"a\\nb\", logy = true to \"p.txt\"",
      "save % to \"o.csv\"",
      "save % to \"o.npy\"",
      "save % to \"o.json\"",
      "assert %",
      "for q in [1, 2] { print q + % }",
      "if % { print % } else { x = % }",
      "function h(x) = %; print h(%)",
      "activation b(h) = %; print b(1), derivative(b, 2)(0.5)",
      "loss l2(f, y) = %",
      "model mm { layers = input -> dense(%) -> readout; $ = % }",
      "model mm { layers = input -> dense(act, $ = %) -> readout; $ = % }; print equations(mm, tr)",
      "training tt { dataset = d; optimizer = %; steps = 2 }; print dmft(m, tt, samples = 64).loss",
      "dataset dd { inputs = %; targets = %; $ = % }",
      "layer own(activation, k = 1) of x { W = matrix(); V = matrix(width = %); h = &; return & }",
      "layer own(activation, k = 1) of x { W = matrix($ = %); V = matrix(2); h = &; h = &; return "
      "& }",
      "layer own(activation, k = 1) of x { W = matrix(); V = matrix(parts = 2); h = W @ x; for p "
      "in 0..& { h = & }; return & }",
      "layer own(activation, k = 1) of x { W = matrix(window = 1); V = matrix(); h = W @ x; for p "
      "in [1, 2] { h = &; for q in 1..k { h = & } }; return & }",
      "model mm { layers = input -> ~~own(tanh) -> ~readout; width = 4 }; print simulate(mm, tp, "
      "ensemble = 2).loss",
      "model mm { layers = input -> ~~~~readout; width = 4; $ = % }; print simulate(mm, tp, "
      "ensemble = 2).loss, dmft(mm, tp, samples = 64).f",
      "model mm { layers = input -> ~~readout; width = 4 }; print ir(mm, tp), equations(mm, tp)",
      "training tt { dataset = d; optimizer = !; steps = 2 }; print simulate(m, tt, ensemble = "
      "2).loss",
      "training tt { dataset = d; optimizer = !; steps = 3; ?; ? }; print dmft(m2, tt, samples = "
      "64).loss",
      "training tt { dataset = dp; optimizer = !; steps = 2; ? }; model mm { layers = input -> "
      "~~readout; width = 4 }; print simulate(mm, tt, ensemble = 2).f[-1]",
      "layer own(activation, k = 1) of x { W = matrix(law = %); V = matrix(); h = W @ x; repeat k "
      "{ "
      "h = & }; repeat % { h = & }; return & }",
      "model mm { layers = input -> embed() -> ~~readout(tied = true); width = 4 }; print "
      "simulate(mm, tp, ensemble = 2).f, dmft(mm, tp, samples = 64).f, ir(mm, tp)",
      "print fluctuations(th, of = %)",
      "training tt { dataset = d; optimizer = !; steps = 2 }; t2 = dmft(m2, tt, samples = 64); "
      "print fluctuations(t2, samples = 256).var_f, fluctuations(t2, of = %)",
      "print simulate(m, tr, ensemble = 2, precision = \"single\", checkpoint = %).loss",
      "print dmft(m, tr, closure = %, checkpoint = \"kept\", samples = 64).loss",
      "print sweep(%, n = %)",
      "print sweep(dmft(m, tr, samples = 64).loss, m.$ = %)"};
  fill(c, ONE_OF(c, forms));
}

/* What the messages of a statement were. */
typedef struct Told {
  bool error, placed;
} Told;

static void listen(void *sink, const DmfDiagnostic *d) {
  Told *told = sink;
  if (strcmp(d->severity, "error") != 0) return;
  told->error = true;
  told->placed |= d->file && d->line > 0 && d->column > 0 && *d->message;
}

/* Interrupts what would take long, again and again until it ends. */
typedef struct Watch {
  pthread_mutex_t lock;
  pthread_cond_t over;
  bool done;
  Dmf *dmf;
} Watch;

static void *watch(void *context) {
  enum { SECONDS = 2, AGAIN = 100000000 };
  Watch *w = context;
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += SECONDS;
  pthread_mutex_lock(&w->lock);
  while (!w->done) {
    if (pthread_cond_timedwait(&w->over, &w->lock, &until) == 0) continue;
    dmf_interrupt(w->dmf);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += AGAIN;
    if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
  }
  pthread_mutex_unlock(&w->lock);
  return NULL;
}

static void run_statement(const Grammar *grammar, Choice *c, Told *told) {
  char *text = NULL;
  size_t length = 0;
  c->out = open_memstream(&text, &length);
  grammar->statement(c);
  fclose(c->out);
  *told = (Told){false, false};
  if (getenv("DMF_FUZZ_SHOW")) fprintf(stderr, "%s\n", text);
  int status = dmf_run_text(c->dmf, "program", text, length);
  bool good = status == DMF_INCOMPLETE || target_documented(status);
  if (!good || (status > DMF_OK && !told->placed) || (status == DMF_OK && told->error)) {
    fprintf(stderr, "status %d, %s: %s\n", status, told->placed ? "placed" : "no place", text);
    abort();
  }
  free(text);
}

void run_grammar(const Grammar *grammar, const uint8_t *data, size_t size) {
  Told told = {false, false};
  FILE *nowhere = fopen("/dev/null", "w");
  DmfConfig config = {.results = nowhere,
                      .diagnose = listen,
                      .sink = &told,
                      .quiet = true,
                      .interactive = true,
                      .threads = 1};
  Dmf *dmf = dmf_open(&config);
  if (dmf_run_text(dmf, "preamble", grammar->preamble, strlen(grammar->preamble)) != DMF_OK)
    abort();
  Watch w = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, dmf};
  pthread_t watcher;
  bool watched = pthread_create(&watcher, NULL, watch, &w) == 0;
  Choice c = {data, size, dmf, NULL};
  for (int i = 0; i < STATEMENTS && c.left; i++) {
    run_statement(grammar, &c, &told);
    if (grammar->behind) grammar->behind(dmf);
  }
  pthread_mutex_lock(&w.lock);
  w.done = true;
  pthread_cond_signal(&w.over);
  pthread_mutex_unlock(&w.lock);
  if (watched) pthread_join(watcher, NULL);
  dmf_close(dmf);
  fclose(nowhere);
}

void target_program(const uint8_t *data, size_t size) {
  run_grammar(&(Grammar){preamble, statement, NULL}, data, size);
}
