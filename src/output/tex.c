/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "output/tex.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

static const struct {
  const char *letter, *command;
} letters[] = {
    {"α", "$\\alpha$"},   {"β", "$\\beta$"},  {"γ", "$\\gamma$"},   {"δ", "$\\delta$"},
    {"ε", "$\\epsilon$"}, {"ζ", "$\\zeta$"},  {"η", "$\\eta$"},     {"θ", "$\\theta$"},
    {"ι", "$\\iota$"},    {"κ", "$\\kappa$"}, {"λ", "$\\lambda$"},  {"μ", "$\\mu$"},
    {"ν", "$\\nu$"},      {"ξ", "$\\xi$"},    {"π", "$\\pi$"},      {"ρ", "$\\rho$"},
    {"σ", "$\\sigma$"},   {"τ", "$\\tau$"},   {"υ", "$\\upsilon$"}, {"φ", "$\\phi$"},
    {"χ", "$\\chi$"},     {"ψ", "$\\psi$"},   {"ω", "$\\omega$"},   {"Γ", "$\\Gamma$"},
    {"Δ", "$\\Delta$"},   {"Θ", "$\\Theta$"}, {"Λ", "$\\Lambda$"},  {"Ξ", "$\\Xi$"},
    {"Π", "$\\Pi$"},      {"Σ", "$\\Sigma$"}, {"Φ", "$\\Phi$"},     {"Ψ", "$\\Psi$"},
    {"Ω", "$\\Omega$"},   {"⁰", "$^0$"},      {"¹", "$^1$"},        {"²", "$^2$"},
    {"³", "$^3$"},        {"⁴", "$^4$"},      {"⁵", "$^5$"},        {"⁶", "$^6$"},
    {"⁷", "$^7$"},        {"⁸", "$^8$"},      {"⁹", "$^9$"},        {"∞", "$\\infty$"},
    {"·", "$\\cdot$"},    {"±", "$\\pm$"},    {"√", "$\\surd$"},    {"…", "\\dots{}"},
};

/* The command of the letter that begins here, and its length in bytes; NULL for others. */
static const char *command_of(const char *text, size_t *length) {
  for (size_t i = 0; i < sizeof letters / sizeof *letters; i++) {
    *length = strlen(letters[i].letter);
    if (strncmp(text, letters[i].letter, *length) == 0) return letters[i].command;
  }
  return NULL;
}

/* _{...} and ^{...}, whose braces close; the bytes that it takes, or 0. */
static size_t script_length(const char *text) {
  const char *end = (*text == '_' || *text == '^') && text[1] == '{' ? strchr(text, '}') : NULL;
  return end ? (size_t)(end - text) + 1 : 0;
}

static void put_byte(char **out, char c) {
  if (strchr("#$%&_{}", c))
    mem_append(out, "\\%c", c);
  else if (c == '\\')
    mem_append(out, "\\textbackslash{}");
  else if (c == '^' || c == '~')
    mem_append(out, "\\%c{}", c);
  else
    mem_append(out, "%c", c);
}

char *tex_text(const char *text) {
  char *out = mem_string("");
  while (*text) {
    size_t length;
    const char *command = command_of(text, &length);
    size_t script = script_length(text);
    if (command) {
      mem_append(&out, "%s", command);
      text += length;
    } else if (script) {
      char *inner = mem_format("%.*s", (int)script - 3, text + 2), *inside = tex_text(inner);
      mem_append(&out, "$%c{\\textrm{%s}}$", *text, inside);
      free(inner);
      free(inside);
      text += script;
    } else {
      put_byte(&out, *text++);
    }
  }
  return out;
}
