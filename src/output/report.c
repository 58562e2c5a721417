/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "output/report.h"
#include "output/html.h"

/* Colours are those of the pictures that gnuplot draws, lighter on dark ground. */
static const char style[] =
    ":root { color-scheme: light dark; --ground: #ffffff; --ink: #1a1a1a; --faint: #d8d8d8;\n"
    "  --c1: #1f77b4; --c2: #d62728; --c3: #2ca02c; --c4: #9467bd; --c5: #ff7f0e; --c6: #17becf;\n"
    "  --c7: #8c564b; --c8: #7f7f7f; }\n"
    "@media (prefers-color-scheme: dark) { :root { --ground: #16181c; --ink: #e6e6e6;\n"
    "  --faint: #3a3d44; --c1: #6fb3e0; --c2: #ff7a7b; --c3: #6fd06f; --c4: #c3a3e3; --c5: "
    "#ffb066;\n"
    "  --c6: #6fe0ec; --c7: #c99a8f; --c8: #b0b0b0; } }\n"
    "@media print { :root { --ground: #ffffff; --ink: #000000; } input { display: none; }\n"
    "  figure, table { break-inside: avoid; } details > * { display: block; } }\n"
    "body { font: 16px/1.5 system-ui, sans-serif; max-width: 56em; margin: 0 auto; padding: 1em;\n"
    "  background: var(--ground); color: var(--ink); }\n"
    "h1 { font-size: 1.6em; } h2 { font-size: 1.25em; margin-top: 2em; } h3 { font-size: 1em; }\n"
    "pre { padding: 0.8em; overflow-x: auto; border: 1px solid var(--faint); font-size: 0.85em; }\n"
    "table { border-collapse: collapse; font-size: 0.9em; margin: 0.5em 0; }\n"
    "td, th { padding: 0.1em 0.7em; border-bottom: 1px solid var(--faint); vertical-align: top; }\n"
    "math[display=\"block\"] { margin: 0.5em 0; overflow-x: auto; }\n"
    ".figures { display: flex; flex-wrap: wrap; gap: 1em; } figure { margin: 0; flex: 1 1 24em; }\n"
    "figure.map { flex: 0 1 16em; } figcaption { font-size: 0.85em; } input { width: 100%; }\n"
    "svg { width: 100%; height: auto; } svg text { font-size: 13px; fill: var(--ink); }\n"
    ".grid { stroke: var(--faint); stroke-width: 1; }\n"
    ".c1 { color: var(--c1); } .c2 { color: var(--c2); } .c3 { color: var(--c3); }\n"
    ".c4 { color: var(--c4); } .c5 { color: var(--c5); } .c6 { color: var(--c6); }\n"
    ".c7 { color: var(--c7); } .c8 { color: var(--c8); }\n"
    ".line { fill: none; stroke: currentColor; stroke-width: 1.8; }\n"
    ".dashed { stroke-dasharray: 6 4; } .band { fill: currentColor; opacity: 0.25; stroke: none; "
    "}\n"
    ".bar { stroke: currentColor; stroke-width: 1.2; } .dot { fill: currentColor; }\n"
    ".hidden { fill: currentColor; opacity: 0; } .point:hover .hidden { opacity: 1; }\n"
    ".point:hover .dot { r: 5; } .key { margin-right: 1em; white-space: nowrap; }\n"
    ".good { color: var(--c3); } .bad { color: var(--c2); }\n";

/* A slider shows another of the maps: colours, and the numbers that are told. */
static const char script[] =
    "for (const figure of document.querySelectorAll('figure.map')) {\n"
    "  const data = JSON.parse(figure.querySelector('script').textContent);\n"
    "  const cells = figure.querySelectorAll('rect');\n"
    "  figure.querySelector('input').addEventListener('input', event => {\n"
    "    const first = event.target.value * cells.length;\n"
    "    cells.forEach((cell, i) => {\n"
    "      const title = cell.querySelector('title');\n"
    "      cell.setAttribute('fill', data.colors[first + i]);\n"
    "      title.textContent = title.textContent.replace(/:.*/, ': ' + data.values[first + i]);\n"
    "    });\n"
    "    figure.querySelector('output').textContent = data.times[event.target.value];\n"
    "  });\n"
    "}\n";

void report_begin(FILE *out, const char *title) {
  fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>", out);
  html_escape(out, title);
  fprintf(out,
          "</title>\n<meta name=\"viewport\" content=\"width=device-width\">\n<style>\n%s</style>\n"
          "</head>\n<body>\n<h1>",
          style);
  html_escape(out, title);
  fputs("</h1>\n", out);
}

void report_end(FILE *out) { fprintf(out, "<script>\n%s</script>\n</body>\n</html>\n", script); }
