#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What the documents say can be done is done here:
#
#   *.md       the ```dmf blocks of a document, in order, are a script; the ```text blocks are what it
#              prints, numbers within five percent
#   dmf-language(7)   the literal blocks behind a line .\" run are typed in one session
#   dmf(1)     the lines that begin with $ are commands, on the first script of dmf-language(7)
set -u
srcdir=${srcdir:-$(cd "$(dirname "$0")/.." && pwd)}
DMF=${DMF:-$srcdir/dmf}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1
PATH=$(dirname "$DMF"):$PATH
passed=0
failed=0

verdict() { # verdict WHAT PROBLEMS
  if [ -z "$2" ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    printf 'FAIL %s\n%s\n' "$1" "$(sed 's/^/  | /' <<<"$2")"
  fi
}

# blocks KIND FILE: the contents of its fenced blocks of this kind
blocks() { awk -v fence="^\`\`\`$1\$" '/^```$/ {on = 0} on {print} $0 ~ fence {on = 1}' "$2"; }

# Lines that differ by more than the fifth percent of a number.
differences() { # differences WANTED GOT
  awk '
    function near(a, b) {
      if (a == b) return 1
      if (a !~ /^-?[0-9.]+(e[-+]?[0-9]+)?$/ || b !~ /^-?[0-9.]+(e[-+]?[0-9]+)?$/) return 0
      return (a - b) ^ 2 <= (0.05 * a) ^ 2 + 0.02 ^ 2 * (a > 1)
    }
    FNR == NR {wanted[FNR] = $0; last = FNR; next}
    {
      n = split(wanted[FNR], a, /[ ,]+/)
      same = n == split($0, b, /[ ,]+/)
      for (i = 1; i <= n; i++) same = same && near(a[i], b[i])
      if (!same) print "wanted: " wanted[FNR] "\ngot:    " $0
      seen = FNR
    }
    END {if (seen != last) print "printed " seen + 0 " lines instead of " last}' "$1" "$2"
}

for document in "$srcdir"/README.md "$srcdir"/doc/*.md; do
  blocks dmf "$document" >script.dmf
  [ -s script.dmf ] || continue
  blocks text "$document" >wanted
  verdict "$(basename "$document")" "$("$DMF" --quiet script.dmf 2>&1 >got || echo "ended with status $?")"
  verdict "what $(basename "$document") says is printed" "$(differences wanted got)"
done

page=$srcdir/man/dmf-language.7
awk '/^\.Ed/ {on = 0} on {print} /^\.Bd/ && marked {on = 1; marked = 0} /^\.\\" run$/ {marked = 1}' \
  "$page" | sed 's/\\e/\\/g; s/\\&//g' >session.dmf
verdict "the blocks of dmf-language(7)" \
  "$("$DMF" --quiet -i <session.dmf 2>&1 >/dev/null || echo "ended with status $?")"

awk '/^\.Ed/ {exit} on {print} /^\.Bd/ {on = 1}' "$page" >script.dmf
while read -r line; do
  case $line in *jq*) command -v jq >/dev/null || continue ;; esac
  verdict "$line" "$(bash -o pipefail -c "$line" 2>&1 >/dev/null || echo "ended with status $?")"
done < <(sed -n 's/\\(dq/"/g; s/^\.Dl \$ //p' "$srcdir/man/dmf.1")

echo "documents: $passed passed, $failed failed"
[ "$failed" = 0 ]
