#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The whole suite, as `make check` runs it in the build directory. Every part ends with a line
# "PART: N passed, M failed"; a part that dies without one counts as a failure. The last line is the
# sum.
set -u
srcdir=${srcdir:?run this through make check}
passed=0
failed=0

# With a pattern, parts that it names; the scripts look at it themselves.
part() {
  local name=$1 output status line
  shift
  case $name in
    scripts | *"${TESTS:-}"*) ;;
    *) return ;;
  esac
  output=$(mktemp)
  "$@" 2>&1 | tee "$output"
  status=${PIPESTATUS[0]}
  line=$(sed -n 's/^.*: \([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$output" | tail -n 1)
  rm -f "$output"
  set -- ${line:-0 0}
  passed=$((passed + $1))
  failed=$((failed + $2))
  if [ "$status" != 0 ] && [ "$2" = 0 ]; then
    echo "$name: ended with status $status"
    failed=$((failed + 1))
  fi
}

for program in ${UNIT:-}; do part "$program" "./$program"; done
part layers bash "$srcdir/tests/layers.sh"
part library bash "$srcdir/tests/library.sh"
part python bash "$srcdir/tests/python.sh"
part command bash "$srcdir/tests/command.sh"
part faults bash "$srcdir/tests/faults.sh"
part limits bash "$srcdir/tests/limits.sh"
part mpi bash "$srcdir/tests/mpi.sh"
part editors bash "$srcdir/tests/editors.sh"
if [ -z "${DMF_QUICK:-}" ]; then
  part examples bash "$srcdir/tests/examples.sh"
  part gallery bash "$srcdir/tests/gallery.sh"
  part packages bash "$srcdir/tests/packages.sh"
  part browser bash "$srcdir/tests/browser.sh"
  part documents bash "$srcdir/tests/documents.sh"
fi
part scripts bash "$srcdir/tests/run.sh"

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
