#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Every example must run to its end; the assertions in them hold theory and networks against each other.
set -u
srcdir=${srcdir:-$(cd "$(dirname "$0")/.." && pwd)}
DMF=${DMF:-$srcdir/dmf}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0
failed=0

# The equations of every example can be written, or it is said why not.
for script in "$srcdir"/examples/*.dmf; do
  "$DMF" equations --latex "$script" >/dev/null 2>&1
  [ $? -le 1 ] && passed=$((passed + 1)) && continue
  failed=$((failed + 1))
  echo "FAIL equations of $(basename "$script")"
done
for script in "$srcdir"/examples/*.dmf; do
  if "$DMF" --quiet --out "$scratch" "$script" >"$scratch/log" 2>&1; then
    passed=$((passed + 1))
  else
    status=$?
    failed=$((failed + 1))
    printf 'FAIL %s (status %s)\n%s\n' "$(basename "$script")" "$status" "$(sed 's/^/  | /' "$scratch/log")"
  fi
done
echo "examples: $passed passed, $failed failed"
[ "$failed" = 0 ]
