#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The whole suite, as `make check` runs it in the build directory, two parts at a time, then the scripts.
# Every part ends with a line "PART: N passed, M failed"; a part that dies without one counts as a failure.
# The last line is the sum.
set -u
srcdir=${srcdir:?run this through make check}

# part NAME: what it says, at its end, and what it counted as a line of the file COUNTS
part() {
  local name=$1 output status line
  output=$(mktemp)
  case $name in
    tests/*) "./$name" ;;
    scripts) bash "$srcdir/tests/run.sh" ;;
    *) bash "$srcdir/tests/$name.sh" ;;
  esac >"$output" 2>&1
  status=$?
  line=$(sed -n 's/^.*: \([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$output" | tail -n 1)
  set -- ${line:-0 0}
  if [ "$status" != 0 ] && [ "$2" = 0 ]; then
    echo "$name: ended with status $status" >>"$output"
    set -- "$1" 1
  fi
  flock "$COUNTS" sh -c 'cat "$1"; echo "$2 $3" >>"$COUNTS"' sh "$output" "$1" "$2"
  rm -f "$output"
}

if [ "${1:-}" = --part ]; then
  part "$2"
  exit
fi

COUNTS=$(mktemp)
export COUNTS srcdir
trap 'rm -f "$COUNTS"' EXIT

# What takes longest goes first, so that both ends come together.
parts="python faults command ${UNIT:-} layers limits mpi library editors"
[ -n "${DMF_QUICK:-}" ] || parts="examples gallery documents $parts packages browser"
for name in $parts; do
  case $name in *"${TESTS:-}"*) printf '%s\0' "$name" ;; esac # with a pattern, parts that it names
done | xargs -0 -r -n 1 -P 2 bash "$srcdir/tests/all.sh" --part
part scripts # they look at the pattern themselves

read -r passed failed < <(awk '{ passed += $1; failed += $2 } END { print passed + 0, failed + 0 }' "$COUNTS")
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
