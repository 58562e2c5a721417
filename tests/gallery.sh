#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The gallery. Every script runs to its end, and holds by its assertions what was published; a line
# "# short: OPTIONS" of a script that takes long says how a test runs it. With a directory as argument,
# the scripts are run in full, their pictures go there, and each line tells what it cost.
set -u
srcdir=${srcdir:-$(cd "$(dirname "$0")/.." && pwd)}
DMF=${DMF:-$srcdir/dmf}
pictures=${1:-}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0
failed=0
TIMEFORMAT='%U s cpu'

for script in "$srcdir"/examples/gallery/*/*.dmf; do
  name=${script#"$srcdir"/examples/gallery/}
  out=$scratch short=
  if [ -n "$pictures" ]; then
    out=$pictures/$(dirname "$name")
    mkdir -p "$out"
  else
    short=$(sed -n 's/^# short: //p' "$script")
  fi
  # shellcheck disable=SC2086 # options are words
  if { time "$DMF" --quiet --out "$out" $short "$script" >"$scratch/log" 2>"$scratch/errors"; } 2>"$scratch/time"; then
    passed=$((passed + 1))
    [ -z "$pictures" ] || echo "$name: $(cat "$scratch/time")"
  else
    failed=$((failed + 1))
    printf 'FAIL %s\n%s\n' "$name" "$(sed 's/^/  | /' "$scratch/log" "$scratch/errors")"
  fi
done
echo "gallery: $passed passed, $failed failed"
[ "$failed" = 0 ]
