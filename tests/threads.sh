#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What several threads do at once, for the thread sanitizer (./bootstrap tsan): sessions of their own,
# solvers, sweeps of solvers, fluctuations. It ends a program that races with a status of its own.
set -u
here=$(cd "$(dirname "$0")" && pwd)
DMF=${DMF:?run this through bootstrap tsan}
build=$(dirname "$DMF")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export TSAN_OPTIONS=ignore_noninstrumented_modules=1:exitcode=66
passed=0
failed=0

quiet() { # quiet COMMAND...: no race, and status 0
  if "$@" >"$scratch/log" 2>&1; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAIL $*: status $?"
    head -n 60 "$scratch/log"
  fi
}

cp "$here"/faults/*.{dmf,csv} "$scratch"
# more to do at once than what fails in turn needs
sed -i 's/samples = 50/samples = 4000/; s/ensemble = [23]/ensemble = 8/; s/gamma = \[1, 2\]/gamma = 1..5/' "$scratch/everything.dmf"
cd "$scratch" || exit 1
for program in session solve fluctuations; do quiet "$build/tests/unit/test_$program"; done
for threads in 2 4; do
  rm -rf points
  quiet "$DMF" --threads $threads everything.dmf
done
for script in "$here"/lang/sweep*.dmf "$here"/std/*.dmf; do quiet "$DMF" --threads 4 "$script"; done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
