#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Every example, and the first scripts of README.md and dmf-language(7), must run to their ends; the
# assertions of the examples hold theory and networks against each other.
set -u
srcdir=${srcdir:-$(cd "$(dirname "$0")/.." && pwd)}
DMF=${DMF:-$srcdir/dmf}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0
failed=0

awk '/^\.Ed/ {exit} found {print} /^\.Bd/ {found = 1}' "$srcdir/man/dmf-language.7" >"$scratch/manual.dmf"
awk '/^```$/ {exit} found {print} /^```dmf/ {found = 1}' "$srcdir/README.md" >"$scratch/readme.dmf"
for script in "$srcdir"/examples/*.dmf "$scratch"/{manual,readme}.dmf; do
  if [ -s "$script" ] && "$DMF" --quiet --out "$scratch" "$script" >"$scratch/log" 2>&1; then
    passed=$((passed + 1))
  else
    status=$?
    failed=$((failed + 1))
    printf 'FAIL %s (status %s)\n%s\n' "$(basename "$script")" "$status" "$(sed 's/^/  | /' "$scratch/log")"
  fi
done
echo "examples: $passed passed, $failed failed"
[ "$failed" = 0 ]
