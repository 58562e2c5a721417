#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Fuzzes every target for a while with libFuzzer, from its corpus on; `make fuzz` in a build that was
# configured with CC=clang --enable-fuzz. What fails is left in the directory fuzz-TARGET, with the
# inputs found on the way in fuzz-TARGET/corpus. SECONDS_EACH and TARGETS choose how long and what. The work is done in a
# scratch directory: for root it is done by nobody, who may not write here.
#
# AFL++ takes the same program: CC=afl-clang-fast, and then
#   DMF_FUZZ=csv afl-fuzz -i SOURCE/tests/fuzz/corpus/csv -o out -- tests/fuzz/fuzz
set -u
srcdir=${srcdir:?run this through make fuzz}
seconds=${SECONDS_EACH:-60}
passed=0
failed=0
${MAKE:-make} -s tests/fuzz/fuzz || { echo "configure with CC=clang --enable-fuzz first"; exit 1; }
export DMF_PATH=$PWD
tests/fuzz/replay --dictionary >fuzz-dictionary || exit 1
scratch=$(mktemp -d)
keep() { cp -R "$scratch"/fuzz-* .; }
trap 'keep; rm -rf "$scratch"' EXIT
for target in ${TARGETS:-$(tests/fuzz/replay --targets)}; do
  work=$scratch/fuzz-$target
  mkdir -p "$work/corpus" "fuzz-$target/corpus"
  cp -R "fuzz-$target/corpus" "$work"
  cp -R "$srcdir/tests/fuzz/corpus/$target" "$scratch/seeds-$target"
  chmod -R a+rwX "$scratch"
  case $target in program | system | editor) words= ;; *) words=-dict=fuzz-dictionary ;; esac # those choose by bytes
  if DMF_FUZZ=$target tests/fuzz/fuzz -max_total_time="$seconds" -timeout=60 -rss_limit_mb=4096 -close_fd_mask=1 \
    $words -artifact_prefix="$work/" "$work/corpus" "$scratch/seeds-$target" >"$work/log" 2>&1; then
    passed=$((passed + 1))
    echo "$target: $(grep -o 'Done [0-9]* runs' "$work/log" | tail -n 1)"
  else
    failed=$((failed + 1))
    echo "FAIL $target: see fuzz-$target/log"
  fi
  keep
done
echo "fuzz: $passed passed, $failed failed"
[ "$failed" = 0 ]
