/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Every documented argument of the builtins, layers, optimizers and solvers: a call means the same
 * by position and by name in any order, its arguments reach what they are meant for, and each of
 * those with a default changes something. */
#include "dmf.h"
#include "check.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST = 12, TEXT = 2000 };

typedef struct Row {
  const char *name, *script; /* in which %s is the call */
  const char *arguments[MOST][2];
  const char *meaning; /* what the script prints, or a part of it */
} Row;

#define VALUE "print str(%s)"
#define POINTS "x = %s\nprint str(shape(x)), str(x)"
#define ASK(chain) "print ir(net with { layers = input -> " chain " -> readout }, fit)"
#define WEIGHTS "layer own() of x {\n W = %s\n return W @ x\n}\n"
#define SHIFT "layer own() of x {\n W = matrix()\n return W @ x + %s\n}\n"
#define IMAGE(chain)                                                                               \
  "m = net with { layers = input -> " chain                                                        \
  " -> pool() -> readout }\nv = fit with { dataset = i }\n"                                        \
  "print ir(m, v), str(dmft(m, v, closure = \"ntk\").f)"
#define WORDS(chain)                                                                               \
  "print ir(net with { layers = input -> " chain " -> readout }, fit with { dataset = i })"
#define OPTIMIZER                                                                                  \
  "v = fit with { optimizer = %s }\nprint ir(net, v), str(dmft(net, v, closure = \"ntk\").f)"
#define ENTRYWISE                                                                                  \
  "v = fit with { optimizer = %s }\nprint ir(net, v), str(simulate(net, v, ensemble = 1).f)"
#define MINIBATCHES                                                                                \
  {"batch", "1"}, {"seed", "4"}, { "fresh", "true" }
#define PICTURE "plot %s to \"picture.svg\""

#define SYSTEM(what)                                                                               \
  "system s {\n population a, b = 2\n x = normal(a, 3)\n state u = normal(b, 2)\n step {\n"        \
  " observe m = " what "\n u = u / 2\n }\n}\n"
#define ASK_SYSTEM(what) SYSTEM(what) "print str(dmft(s, steps = 2, samples = 64).m)"

static const Row rows[] = {
    {"str", VALUE, {{"x", "pi"}, {"digits", "3"}}, "3.14"},
    {"normal", ASK_SYSTEM("mean(%s^2)"), {{"population", "a"}, {"rows", "2"}}, NULL},
    {"uniform", ASK_SYSTEM("mean(%s^2)"), {{"population", "a"}, {"rows", "2"}}, NULL},
    {"gram", ASK_SYSTEM("%s"), {{"x", "x"}, {"y", "x^2"}}, NULL},
    {"mix", ASK_SYSTEM("dot(%s, x[0])"), {{"table", "[1, 2, 3]"}, {"x", "x"}}, NULL},
    {"push", ASK_SYSTEM("dot(%s, x)"), {{"rows", "x"}, {"x", "x[0]"}}, NULL},
    {"shift", ASK_SYSTEM("dot(%s, x^2)"), {{"x", "x"}, {"k", "2"}}, NULL},
    {"two_time", ASK_SYSTEM("%s"), {{"x", "x"}, {"y", "x^2"}}, NULL},
    {"response", ASK_SYSTEM("%s"), {{"x", "u^2"}, {"to", "u"}}, NULL},
    {"dmft", SYSTEM("mean(u)") "print str(%s.m)", {{"model", "s"}, {"steps", "3"}}, NULL},
    {"simulate",
     SYSTEM("mean(u)") "print str(%s.m)",
     {{"model", "s"}, {"steps", "3"}, {"ensemble", "2"}, {"size", "20"}},
     NULL},
    {"until",
     "v = fit with { steps = %s }\nprint str(v.steps), str(v.until)",
     {{"condition", "change(loss) < 0.5"}, {"most", "7"}},
     "7"},
    {"mod", VALUE, {{"x", "7"}, {"y", "4"}}, "3"},
    {"min", VALUE, {{"x", "[3, 1]"}, {"y", "2"}}, "[2, 1]"},
    {"min", VALUE, {{"x", "[[3, 1], [2, 5]]"}, {"axis", "1"}}, "[1, 2]"},
    {"max", VALUE, {{"x", "[3, 1]"}, {"y", "2"}}, "[3, 2]"},
    {"max", VALUE, {{"x", "[[3, 1], [2, 5]]"}, {"axis", "1"}}, "[3, 5]"},
    {"sum", VALUE, {{"x", "[[3, 1], [2, 5]]"}, {"axis", "0"}}, "[5, 6]"},
    {"prod", VALUE, {{"x", "[[3, 1], [2, 5]]"}, {"axis", "0"}}, "[6, 5]"},
    {"mean", VALUE, {{"x", "[[3, 1], [2, 5]]"}, {"axis", "0"}}, "[2.5, 3]"},
    {"std", VALUE, {{"x", "[[3, 1], [2, 5]]"}, {"axis", "0"}}, "[0.5, 2]"},
    {"var", VALUE, {{"x", "[[3, 1], [2, 5]]"}, {"axis", "0"}}, "[0.25, 4]"},
    {"kurtosis", VALUE, {{"x", "[[3, 1], [2, 5]]"}, {"axis", "0"}}, "[-2, -2]"},
    {"any", VALUE, {{"x", "[[0, 1], [0, 5]]"}, {"axis", "0"}}, "[0, 1]"},
    {"all", VALUE, {{"x", "[[0, 1], [2, 5]]"}, {"axis", "0"}}, "[0, 1]"},
    {"argmin", VALUE, {{"x", "[[3, 1], [2, 5]]"}, {"axis", "0"}}, "[1, 0]"},
    {"argmax", VALUE, {{"x", "[[3, 1], [2, 5]]"}, {"axis", "0"}}, "[0, 1]"},
    {"min", VALUE, {{"x", "[3, nan]"}, {"finite", "true"}}, "3"},
    {"max", VALUE, {{"x", "[3, nan]"}, {"finite", "true"}}, "3"},
    {"sum", VALUE, {{"x", "[3, nan]"}, {"finite", "true"}}, "3"},
    {"prod", VALUE, {{"x", "[3, nan]"}, {"finite", "true"}}, "3"},
    {"mean", VALUE, {{"x", "[3, nan]"}, {"finite", "true"}}, "3"},
    {"std", VALUE, {{"x", "[3, nan]"}, {"finite", "true"}}, "0"},
    {"var", VALUE, {{"x", "[3, nan]"}, {"finite", "true"}}, "0"},
    {"kurtosis", VALUE, {{"x", "[0, 1, nan]"}, {"finite", "true"}}, "-2"},
    {"argmin", VALUE, {{"x", "[nan, 3]"}, {"finite", "true"}}, "1"},
    {"argmax", VALUE, {{"x", "[nan, 3]"}, {"finite", "true"}}, "1"},
    {"sort", VALUE, {{"x", "[[3, 1], [2, 5]]"}, {"axis", "0"}}, "[[2, 1]"},
    {"argsort", VALUE, {{"x", "[[3, 1], [2, 0]]"}, {"axis", "0"}}, "[[1, 1]"},
    {"cumsum", VALUE, {{"x", "[[3, 1], [2, 5]]"}, {"axis", "0"}}, "[[3, 1]"},
    {"diff", VALUE, {{"x", "[[3, 1], [2, 5]]"}, {"axis", "0"}}, "[[-1,  4]]"},
    {"quantile", VALUE, {{"x", "[1, 2, 3, 9]"}, {"q", "0.5"}}, "2.5"},
    {"outer", VALUE, {{"x", "[1, 2]"}, {"y", "[3, 4]"}}, "[[3, 4]"},
    {"gram", VALUE, {{"x", "[[1, 2], [3, 4]]"}, {"y", "[[2, 0]]"}}, "[[1]"},
    {"softmax", VALUE, {{"x", "[[0, 7], [0, 0]]"}, {"causal", "true"}}, "0.5, 0.5]"},
    {"dot", VALUE, {{"x", "[1, 2]"}, {"y", "[3, 4]"}}, "11"},
    {"solve", VALUE, {{"a", "[[2, 0], [0, 4]]"}, {"b", "[2, 4]"}}, "[1, 1]"},
    {"linspace", VALUE, {{"begin", "0"}, {"end", "4"}, {"count", "3"}}, "[0, 2, 4]"},
    {"logspace", VALUE, {{"begin", "0"}, {"end", "2"}, {"count", "3"}}, "[1, 10, 100]"},
    {"permutation", VALUE, {{"n", "9"}, {"seed", "3"}, {"stream", "\"own\""}}, NULL},
    {"one_hot", VALUE, {{"labels", "[0, 2]"}, {"classes", "3"}}, "[[1, 0, 0]"},
    {"standardize", VALUE, {{"x", "[[3], [1]]"}, {"like", "[[0], [4]]"}}, "[[ 0.5]"},
    {"sphere",
     POINTS,
     {{"points", "2"}, {"dim", "3"}, {"seed", "1"}, {"stream", "\"own\""}},
     "[2, 3]"},
    {"gaussian",
     POINTS,
     {{"points", "2"},
      {"dim", "3"},
      {"seed", "1"},
      {"stream", "\"own\""},
      {"covariance", "[[2, 1, 0], [1, 3, 0], [0, 0, 0]]"}},
     "[2, 3]"},
    {"hdf5", VALUE, {{"path", "\"numbers.h5\""}, {"dataset", "\"x\""}}, "[1, 2]"},
    {"matrix",
     WEIGHTS ASK("own()"),
     {{"sigma", "2"}, {"rate", "3"}, {"train", "true"}},
     "N(0, 4), trained at rate 3"},
    {"matrix",
     WEIGHTS ASK("own()"),
     {{"sigma", "2"}, {"rate", "3"}, {"train", "false"}},
     "N(0, 4), frozen"},
    {"matrix",
     WEIGHTS IMAGE("own()"),
     {{"sigma", "2"},
      {"rate", "3"},
      {"train", "true"},
      {"window", "4"},
      {"padding", "\"zero\""},
      {"stride", "2"},
      {"width", "3"}},
     NULL},
    {"matrix",
     WEIGHTS IMAGE("own()"),
     {{"window", "3"}, {"padding", "\"zero\""}, {"dilation", "2"}},
     NULL},
    {"bias",
     SHIFT ASK("own()"),
     {{"sigma", "2"}, {"rate", "3"}, {"train", "true"}},
     "N(0, 4), trained at rate 3"},
    {"bias",
     SHIFT ASK("own()"),
     {{"sigma", "2"}, {"rate", "3"}, {"train", "false"}},
     "N(0, 4), frozen"},
    {"matrix",
     WEIGHTS ASK("own()"),
     {{"sigma", "2"}, {"width", "3"}, {"parts", "4"}},
     "N(0, 1), trained at rate 0.25"},
    {"codes",
     "layer own() of x {\n W = matrix(window = 1)\n return W @ x + %s\n}\n" WORDS("own() -> last"),
     {{"x", "x"}, {"sigma", "2"}, {"rate", "3"}, {"train", "true"}},
     "N(0, 4), trained at rate 3"},
    {"codes",
     "layer own() of x {\n W = matrix(window = 1)\n return W @ x + %s\n}\n" WORDS("own() -> last"),
     {{"x", "x"}, {"sigma", "2"}, {"rate", "3"}, {"train", "false"}},
     "N(0, 4), frozen"},
    {"codes",
     "layer own() of x {\n W = matrix(window = 1)\n return W @ x + %s\n}\n" WORDS("own() -> last"),
     {{"x", "x"}, {"law", "\"sign\""}},
     "sign entries (0, 1)"},
    {"matrix", WEIGHTS ASK("own()"), {{"law", "\"uniform\""}}, "uniform entries (0, 1)"},
    {"bias", SHIFT ASK("own()"), {{"sigma", "2"}, {"law", "\"sign\""}}, "sign entries (0, 4)"},
    {"readout",
     "print ir(net with { layers = input -> dense(linear) -> %s }, fit)",
     {{"sigma_w", "2"}, {"law", "\"sign\""}},
     "sign entries (0, 4)"},
    {"dense",
     ASK("%s"),
     {{"activation", "tanh"}, {"sigma_b", "3"}, {"law", "\"sign\""}},
     "sign entries (0, 9)"},
    {"residual",
     ASK("dense(linear) -> %s"),
     {{"activation", "tanh"}, {"law", "\"orthogonal\""}},
     "orthogonal entries"},
    {"conv",
     WORDS("%s -> pool"),
     {{"activation", "tanh"}, {"law", "\"uniform\""}},
     "uniform entries"},
    {"recurrent", WORDS("%s"), {{"activation", "tanh"}, {"law", "\"orthogonal\""}}, "orthogonal"},
    {"embed", WORDS("%s -> last"), {{"law", "\"uniform\""}}, "uniform entries"},
    {"dropped",
     "layer own() of x {\n return %s\n}\n"
     "print ir(net with { layers = input -> dense(linear) -> own() -> readout }, fit)",
     {{"x", "x"}, {"share", "0.75"}},
     "then 4*step"},
    {"pooled",
     "layer own() of x {\n return %s\n}\n"
     "print ir(net with { layers = input -> conv(tanh) -> own() -> readout }, fit with { dataset = "
     "i })",
     {{"x", "x"}, {"kind", "\"max\""}},
     "max("},
    {"pooled",
     "layer own() of x {\n return %s\n}\n"
     "print ir(net with { layers = input -> conv(tanh) -> own() -> flatten -> readout }, fit with "
     "{ "
     "dataset = i })",
     {{"x", "x"}, {"kind", "\"mean\""}, {"window", "2"}, {"stride", "1"}},
     "averaged over p"},
    {"pool",
     "print ir(net with { layers = input -> conv(tanh) -> %s -> flatten -> readout }, fit with { "
     "dataset = i })",
     {{"kind", "\"max\""}, {"window", "2"}, {"stride", "1"}},
     "max("},
    {"readout",
     "print ir(net with { layers = input -> dense(linear) -> %s }, fit)",
     {{"sigma_w", "2"}, {"train", "true"}, {"rate", "3"}},
     "N(0, 4), trained at rate 3"},
    {"readout",
     "print ir(net with { layers = input -> dense(linear) -> %s }, fit)",
     {{"sigma_w", "2"}, {"train", "false"}, {"rate", "3"}},
     "N(0, 4), frozen"},
    {"readout",
     "dataset grown {\n population D, P = 2\n matrix inputs : D -> P\n targets = inputs @ "
     "normal(D)\n}\n"
     "v = net with { layers = input -> dense(erf) -> %s, width = 2 }\n"
     "print str(dmft(v, fit with { dataset = grown }, samples = 64).q)",
     {{"sigma_w", "2"}, {"train", "true"}, {"rate", "3"}, {"mean", "1"}},
     NULL},
    {"readout",
     "print ir(net with { layers = input -> dense(tanh) -> %s }, fit with { dataset = d with { "
     "targets = d.inputs } })",
     {{"sigma_w", "1"}, {"train", "true"}, {"rate", "1"}, {"mean", "0"}, {"tied", "true"}},
     "the transpose of"},
    {"dense",
     ASK("%s"),
     {{"activation", "tanh"},
      {"sigma_w", "2"},
      {"sigma_b", "3"},
      {"train", "true"},
      {"rate", "5"},
      {"width", "7"}},
     "b1     1 → n1, entries N(0, 9), trained at rate 5"},
    {"dense",
     ASK("%s"),
     {{"activation", "tanh"},
      {"sigma_w", "2"},
      {"sigma_b", "3"},
      {"train", "false"},
      {"rate", "5"}},
     "W0     data → n1, entries N(0, 4), frozen"},
    {"residual",
     ASK("dense(linear) -> %s"),
     {{"activation", "tanh"}, {"beta", "7"}, {"sigma_w", "2"}, {"train", "true"}, {"rate", "5"}},
     NULL},
    {"residual",
     ASK("dense(linear) -> %s"),
     {{"activation", "tanh"}, {"beta", "3"}, {"sigma_w", "2"}, {"train", "false"}, {"rate", "5"}},
     "N(0, 36), frozen"},
    {"conv",
     IMAGE("%s"),
     {{"activation", "tanh"},
      {"window", "4"},
      {"padding", "\"zero\""},
      {"stride", "2"},
      {"sigma_w", "2"},
      {"sigma_b", "3"},
      {"train", "true"},
      {"rate", "5"},
      {"width", "7"}},
     "N(0, 9), trained at rate 5"},
    {"conv", IMAGE("%s"), {{"activation", "tanh"}, {"dilation", "2"}}, NULL},
    {"conv", IMAGE("%s"), {{"activation", "tanh"}, {"train", "false"}, {"rate", "5"}}, "frozen"},
    {"grouped",
     IMAGE("%s"),
     {{"activation", "tanh"},
      {"groups", "4"},
      {"window", "4"},
      {"padding", "\"zero\""},
      {"stride", "2"},
      {"sigma_w", "2"},
      {"train", "true"},
      {"rate", "5"},
      {"width", "3"}},
     "trained at rate"},
    {"grouped", IMAGE("%s"), {{"activation", "tanh"}, {"dilation", "2"}}, NULL},
    {"grouped", IMAGE("%s"), {{"activation", "tanh"}, {"train", "false"}, {"rate", "5"}}, "frozen"},
    {"gated_linear",
     ASK("%s"),
     {{"layers", "2"}, {"sigma_w", "3"}, {"train", "true"}, {"rate", "5"}, {"width", "2"}},
     "N(0, 9), trained at rate 5"},
    {"gated_linear", ASK("%s"), {{"layers", "2"}, {"train", "false"}, {"rate", "5"}}, "frozen"},
    {"recurrent",
     WORDS("%s"),
     {{"activation", "tanh"},
      {"length", "3"},
      {"sigma_w", "2"},
      {"sigma_u", "4"},
      {"sigma_b", "3"},
      {"train", "true"},
      {"rate", "5"},
      {"width", "7"}},
     "N(0, 16), trained at rate 5"},
    {"recurrent",
     WORDS("%s"),
     {{"activation", "tanh"}, {"length", "3"}, {"train", "false"}, {"rate", "5"}},
     "N(0, 1), frozen"},
    {"embed",
     WORDS("%s -> last"),
     {{"sigma_w", "2"}, {"sigma_c", "3"}, {"train", "true"}, {"rate", "5"}, {"width", "7"}},
     "N(0, 9), trained at rate 5"},
    {"embed", WORDS("%s -> last"), {{"train", "false"}, {"rate", "5"}}, "frozen"},
    {"attention",
     WORDS("embed -> %s -> last"),
     {{"heads", "2"},
      {"scale", "3"},
      {"causal", "false"},
      {"normalized", "true"},
      {"sigma_w", "2"},
      {"sigma_o", "4"},
      {"train", "true"},
      {"rate", "6"}},
     "N(0, 8), trained at rate 3"},
    {"attention", WORDS("embed -> %s -> last"), {{"train", "false"}, {"rate", "6"}}, "frozen"},
    {"block",
     WORDS("embed -> %s -> dense(linear) -> 2 * block(tanh) -> last"),
     {{"activation", "relu"},
      {"heads", "2"},
      {"mlp", "4"},
      {"branch", "1"},
      {"scale", "3"},
      {"causal", "false"},
      {"normalized", "true"},
      {"sigma_w", "2"},
      {"sigma_o", "4"},
      {"train", "true"},
      {"rate", "6"}},
     "N(0, 8), trained at rate 3"},
    {"block",
     WORDS("embed -> %s -> last"),
     {{"activation", "tanh"}, {"train", "false"}, {"rate", "6"}},
     "frozen"},
    {"attended",
     "layer own() of x {\n return x + %s\n}\n" WORDS("embed -> own -> last"),
     {{"x", "x"},
      {"heads", "2"},
      {"scale", "3"},
      {"causal", "false"},
      {"normalized", "true"},
      {"sigma_w", "2"},
      {"sigma_o", "4"},
      {"train", "true"},
      {"rate", "6"}},
     "N(0, 8), trained at rate 3"},
    {"attended",
     "layer own() of x {\n return x + %s\n}\n" WORDS("embed -> own -> last"),
     {{"x", "x"}, {"train", "false"}},
     "frozen"},
    {"layer_normed",
     "layer own() of x {\n return %s\n}\n" ASK("dense(linear) -> own"),
     {{"x", "x"}, {"eps", "3"}},
     "sqrt(m2[:, 0] + 3)"},
    {"batch_norm", ASK("dense(linear) -> %s"), {{"eps", "3"}}, "+ 3)"},
    {"batch_mean",
     "layer own() of x {\n return x - %s\n}\n" ASK("dense(linear) -> own"),
     {{"x", "x"}},
     NULL},
    {"dropout", ASK("dense(linear) -> %s"), {{"share", "0.75"}}, "then 4*step"},
    {"layer_norm", ASK("dense(linear) -> %s"), {{"eps", "3"}}, "sqrt(m2[:, 0] + 3)"},
    {"rms_norm", ASK("dense(linear) -> %s"), {{"eps", "3"}}, "sqrt(m1 + 3)"},
    {"flow", OPTIMIZER, {{"eta", "0.25"}, {"dt", "0.5"}}, "η = 0.25"},
    {"momentum", OPTIMIZER, {{"eta", "0.25"}, {"beta", "0.5"}, MINIBATCHES}, "η = 0.25"},
    {"underdamped", OPTIMIZER, {{"eta", "0.25"}, {"beta", "0.5"}, MINIBATCHES}, "η = 0.25"},
    {"nesterov", OPTIMIZER, {{"eta", "0.25"}, {"beta", "0.5"}, MINIBATCHES}, "η = 0.25"},
    {"normalized", ENTRYWISE, {{"eta", "0.25"}, {"beta", "0.5"}, MINIBATCHES}, "η = 0.25"},
    {"adam",
     ENTRYWISE,
     {{"eta", "0.25"}, {"beta1", "0.5"}, {"beta2", "0.6"}, {"eps", "0.2"}, MINIBATCHES},
     "β1 = 0.5"},
    {"adamw",
     ENTRYWISE,
     {{"eta", "0.25"},
      {"beta1", "0.5"},
      {"beta2", "0.6"},
      {"eps", "0.2"},
      {"weight_decay", "0.3"},
      MINIBATCHES},
     "λ = 0.3"},
    {"rmsprop",
     ENTRYWISE,
     {{"eta", "0.25"}, {"beta", "0.6"}, {"eps", "0.2"}, MINIBATCHES},
     "β2 = 0.6"},
    {"signum", ENTRYWISE, {{"eta", "0.25"}, {"beta1", "0.5"}, MINIBATCHES}, "β1 = 0.5"},
    {"lion",
     ENTRYWISE,
     {{"eta", "0.25"}, {"beta1", "0.5"}, {"beta2", "0.6"}, {"weight_decay", "0.3"}, MINIBATCHES},
     "λ = 0.3"},
    {"groups",
     ENTRYWISE,
     {{"other", "gd(0.25)"},
      {"input", "gd(0.125)"},
      {"hidden", "adam(0.125)"},
      {"readout", "momentum(0.125, 0.5)"},
      {"bias", "lion(0.125)"}},
     "of η1: η = 0.125"},
    {"groups",
     ENTRYWISE,
     {{"other", "gd(0.25)"}, {"layers", "[gd(0.5), gd(0.5), gd(0.5)]"}},
     "of η1: η = 0.5"},
    {"muon",
     ENTRYWISE,
     {{"eta", "0.25"}, {"beta", "0.5"}, {"other", "adam(0.125)"}, {"exact", "true"}},
     "η' = 0.125"},
    {"muon",
     ENTRYWISE,
     {{"eta", "0.25"},
      {"beta", "0.5"},
      {"other", "gd(0.125)"},
      {"eps", "0.2"},
      {"nesterov", "true"},
      MINIBATCHES},
     "η' = 0.125"},
    {"sgd", OPTIMIZER, {{"eta", "0.25"}, {"batch", "1"}, {"seed", "4"}}, "η = 0.25"},
    {"sgd", OPTIMIZER, {{"eta", "0.25"}, {"schedule", "[[0], [1]]"}}, "η = 0.25"},
    {"online", OPTIMIZER, {{"eta", "0.25"}, {"batch", "1"}, {"seed", "4"}}, "η = 0.25"},
    {"histogram", VALUE, {{"x", "[1, 2, 3, 5]"}, {"bins", "2"}, {"low", "0"}, {"high", "8"}}, NULL},
    {"curve",
     PICTURE,
     {{"x", "[1, 2, 3]"},
      {"y", "[4, 6, 5]"},
      {"error", "[1, 1, 1]"},
      {"label", "\"own\""},
      {"style", "\"dashed\""},
      {"color", "3"}},
     NULL},
    {"interp", VALUE, {{"x", "1"}, {"xs", "[0, 2]"}, {"ys", "[4, 8]"}}, "6"},
    {"derivative", "print str((%s)(1))", {{"phi", "cubic"}, {"n", "2"}}, "6"},
    {"dmft",
     "r = %s\nprint r.model, r.samples, r.seed, r.closure, r.tol, str(r.f)",
     {{"model", "net"},
      {"training", "fit"},
      {"samples", "96"},
      {"seed", "3"},
      {"closure", "\"gradient_independence\""},
      {"tol", "0.125"},
      {"error", "0.001"},
      {"most", "200"}},
     "r.samples = 200, r.seed = 3, gradient_independence  r.tol = 0.125"},
    {"dmft",
     "r = %s\nprint str(1e7 * plain(r.f))",
     {{"model", "net with { layers = input -> 2 * dense(tanh) -> readout }"},
      {"training", "fit"},
      {"samples", "64"},
      {"precision", "\"single\""}},
     NULL},
    {"simulate",
     "r = %s\nprint r.model, r.ensemble, r.seed, str(r.f)",
     {{"model", "net"},
      {"training", "fit"},
      {"ensemble", "2"},
      {"seed", "3"},
      {"method", "\"conditioned\""}},
     "r.ensemble = 2, r.seed = 3"},
    {"simulate",
     "r = %s\nprint str(1e7 * plain(r.f))",
     {{"model", "net"}, {"training", "fit"}, {"ensemble", "2"}, {"precision", "\"single\""}},
     NULL},
    {"fluctuations",
     "r = %s\nprint r.samples, r.seed, str(r.var_f)",
     {{"theory", "dmft(net, fit, samples = 64)"}, {"samples", "1024"}, {"seed", "3"}},
     "r.samples = 1024, r.seed = 3"},
    {"fluctuations",
     "t = dmft(deep, fit)\nprint str(%s)",
     {{"theory", "t"}, {"samples", "1024"}, {"seed", "3"}, {"of", "t.loss[1]"}},
     NULL},
    {"covariance",
     "n = fluctuations(dmft(deep, fit))\nprint str(%s)",
     {{"noise", "n"}, {"a", "\"f\""}, {"b", "\"Phi[1]\""}},
     NULL},
    {"at",
     "t = dmft(deep, fit)\nn = fluctuations(t)\nr = %s\nprint r.width, str(r.f)",
     {{"theory", "t"}, {"noise", "n"}, {"width", "50"}},
     "r.width = 50"},
    {"preactivations",
     "r = simulate(net, fit, ensemble = 1)\nprint str(%s)",
     {{"result", "r"}, {"layer", "2"}, {"t", "0"}},
     NULL},
    {"propagate",
     "layer gate() of x {\n V = matrix()\n W = matrix()\n return (V @ x) * tanh(W @ x)\n}\n"
     "print str(%s)",
     {{"model", "net with { layers = input -> gate() -> readout }"},
      {"depth", "2"},
      {"inputs", "[[1, 0]]"},
      {"samples", "96"},
      {"seed", "3"}},
     NULL},
    {"compare",
     "r = simulate(net, fit, ensemble = 2)\ns = simulate(net, fit, ensemble = 3)\nc = %s\n"
     "print str(c.f)",
     {{"a", "r"}, {"b", "s"}},
     NULL},
    {"equations",
     "print %s",
     {{"model", "deep"}, {"training", "fit"}, {"format", "\"latex\""}, {"closure", "\"ntk\""}},
     "\\end{document}"},
    {"ir", "print %s", {{"model", "net"}, {"training", "fit"}}, "trained by fit"},
};
enum { ROWS = sizeof rows / sizeof *rows };

/* ---- signatures ---- */

typedef struct Signature {
  char text[TEXT];
  char *name[MOST];
  bool optional[MOST];
  int count;
  bool variadic;
} Signature;

/* The names point into the signature: it must not move. */
static void read_signature(const char *usage, Signature *s) {
  *s = (Signature){.count = 0};
  snprintf(s->text, sizeof s->text, "%s", strchr(usage, '(') + 1);
  *strrchr(s->text, ')') = 0;
  char *rest = s->text, *part;
  while ((part = strsep(&rest, ",")) && *part) {
    part += *part == ' ';
    char *equals = strstr(part, " = ");
    s->variadic |= strstr(part, "...") != NULL;
    s->optional[s->count] = equals != NULL;
    if (equals) *equals = 0;
    s->name[s->count++] = part;
  }
}

static int count_of(const Row *row) {
  int count = 0;
  while (count < MOST && row->arguments[count][0]) count++;
  return count;
}

/* Whether the arguments of the row are the first of the signature, in its order. */
static bool leads(const Row *row, const Signature *s) {
  for (int i = 0; i < count_of(row); i++)
    if (i >= s->count || strcmp(row->arguments[i][0], s->name[i]) != 0) return false;
  return true;
}

/* ---- calls ---- */

static const char prelude[] =
    "dataset d { inputs = [[1, 0], [1, 1]]; targets = [1, -1] }\n"
    "dataset i { inputs = reshape(gaussian(2, 8), 2, 4, 2); targets = [1, -1] }\n"
    "model net { layers = input -> 2 * dense(tanh) -> readout; width = 16 }\n"
    "model deep { layers = input -> 2 * dense(linear) -> readout }\n"
    "training fit { dataset = d; optimizer = gd(eta = 0.1); steps = 2 }\n";

/* What the row prints with this call; a picture counts, too. NULL when it fails. To be freed. */
static char *printed(const Row *row, const char *call) {
  char *text = NULL, *results = NULL;
  size_t size;
  FILE *out = open_memstream(&results, &size), *null = fopen("/dev/null", "w");
  DmfConfig config = {.results = out, .diagnostics = null, .quiet = true, .interactive = true};
  Dmf *dmf = dmf_open(&config);
  unlink("picture.svg");
  if (asprintf(&text, "%s%.*s%s%s\n", prelude, (int)(strstr(row->script, "%s") - row->script),
               row->script, call, strstr(row->script, "%s") + 2) < 0)
    abort();
  int status = dmf_run_text(dmf, "<input>", text, strlen(text));
  dmf_close(dmf);
  FILE *picture = fopen("picture.svg", "r");
  for (int byte; picture && (byte = fgetc(picture)) != EOF;) fputc(byte, out);
  if (picture) fclose(picture);
  fclose(out);
  fclose(null);
  free(text);
  if (status == DMF_OK) return results;
  free(results);
  return NULL;
}

/* The call with its arguments by position, or by name from the last to the first, without the one
 * at `missing`. */
static void write_call(const Row *row, bool named, int missing, char call[TEXT]) {
  int count = count_of(row), used = snprintf(call, TEXT, "%s(", row->name);
  const char *comma = "";
  for (int k = 0; k < count; k++) {
    int i = named ? count - 1 - k : k;
    if (i == missing) continue;
    const char *const *argument = row->arguments[i];
    used += snprintf(call + used, TEXT - (size_t)used, "%s%s%s%s", comma, named ? argument[0] : "",
                     named ? " = " : "", argument[1]);
    comma = ", ";
  }
  snprintf(call + used, TEXT - (size_t)used, ")");
}

static char *outcome(const Row *row, bool named, int missing) {
  char call[TEXT];
  write_call(row, named, missing, call);
  return printed(row, call);
}

static void judge(const Row *row, bool good, const char *what) {
  CHECK(good);
  if (!good) fprintf(stderr, "  %s: %s\n", row->name, what);
}

/* Tries a row and marks which optional arguments have been seen to matter. */
static void try_row(const Row *row, const Signature *s, bool matters[MOST]) {
  char *named = outcome(row, true, -1), *placed = leads(row, s) ? outcome(row, false, -1) : NULL;
  judge(row, named != NULL, "the call by name fails");
  if (leads(row, s))
    judge(row, named && placed && !strcmp(named, placed), "by position it is another call");
  if (row->meaning && named) judge(row, strstr(named, row->meaning), row->meaning);
  for (int i = 0; i < count_of(row); i++)
    for (int k = 0; k < s->count; k++) {
      if (strcmp(s->name[k], row->arguments[i][0]) != 0 || matters[k]) continue;
      char *without = s->optional[k] ? outcome(row, true, i) : NULL;
      matters[k] = !s->optional[k] || !without || (named && strcmp(named, without) != 0);
      free(without);
    }
  free(named);
  free(placed);
}

static void try_function(const char *name, const char *usage) {
  Signature s;
  read_signature(usage, &s);
  bool matters[MOST] = {false};
  if (s.count < 2 || s.variadic) return;
  for (int r = 0; r < ROWS; r++)
    if (strcmp(rows[r].name, name) == 0) try_row(&rows[r], &s, matters);
  for (int k = 0; k < s.count; k++) {
    if (strcmp(s.name[k], "checkpoint") == 0) continue; /* changes no number: command.sh */
    CHECK(matters[k]);
    if (!matters[k]) fprintf(stderr, "  %s: '%s' is not tried, or of no effect\n", name, s.name[k]);
  }
}

/* What the library declares in the language itself cannot mix its arguments up, but layers hand
 * theirs on by position. */
static bool to_be_tried(const DmfTopic *topic) {
  bool library = strncmp(topic->group, "std/", 4) == 0;
  return topic->kind == DMF_FUNCTION && (!library || strcmp(topic->group, "std/layers.dmf") == 0);
}

int main(void) {
  char place[] = "/tmp/dmf-signatures-XXXXXX";
  setenv("DMF_GNUPLOT", "cat", 1);
  Dmf *dmf = dmf_open(&(DmfConfig){.quiet = true});
  const DmfTopic *topic;
  CHECK(mkdtemp(place) && chdir(place) == 0);
  static const char numbers[] = "x = [1, 2]; save x to \"numbers.h5\"";
  CHECK(dmf_run_text(dmf, "<input>", numbers, sizeof numbers - 1) == DMF_OK);
  for (int i = 0; (topic = dmf_topic(dmf, i)); i++)
    if (to_be_tried(topic)) try_function(topic->name, topic->usage);
  dmf_close(dmf);
  unlink("picture.svg");
  unlink("numbers.h5");
  rmdir(place);
  return check_done();
}
