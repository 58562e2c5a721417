#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Whether the tests notice wrong arithmetic: `make mutate` changes one operator or one number of the
# solvers at a time, at random places of src/solve, src/machine, src/field and src/num, builds, and runs the
# quick tests until one fails. A mutant that none of them kills is a missing test, or a change that
# means nothing (a bound of memory, a block size). Prints every mutant, and the share that was killed.
# Tests that are fast and that have killed go first, so that most mutants cost seconds.
#
# Environment: MUTANTS (how many, 100), SEED (which, 1), FILES (a pattern of their names), MOST (leaves out
# tests of more seconds)
set -u
srcdir=${srcdir:?run this through make mutate}
make=${MAKE:-make}
tree=$PWD/mutants
mutants=${MUTANTS:-100}
seed=${SEED:-1}
longest=600 # seconds of processors: a mutant that takes so long, or 20 times as long as without a change, never ends
TIMEFORMAT=%U

# places FILE...: what can be changed, one a line: FILE:LINE:COLUMN:LENGTH:REPLACEMENT
places() {
  awk '
    function offer(length_, text) { print FILENAME ":" FNR ":" at ":" length_ ":" text }
    BEGIN {
      other["+"] = "-"; other["-"] = "+"; other["*"] = "/"; other["/"] = "*"
    }
    FNR == 1 { comment = 0 }
    /^#/ { next }
    {
      for (at = 1; at <= length($0); at++) {
        rest = substr($0, at)
        if (comment) { if (rest ~ /^\*\//) { comment = 0; at++ }; continue }
        if (rest ~ /^\/\*/) { comment = 1; at++; continue }
        if (match(rest, /^"([^"\\]|\\.)*"/) || match(rest, /^\047([^\047\\]|\\.)*\047/)) {
          at += RLENGTH - 1
        } else if (match(rest, /^ [-+*\/]=? /)) {
          sign = substr(rest, 2, 1)
          offer(RLENGTH, " " other[sign] substr(rest, 3, RLENGTH - 2))
        } else if (match(rest, /^[A-Za-z_][A-Za-z_0-9]*/)) {
          at += RLENGTH - 1
        } else if (match(rest, /^[0-9][0-9a-fx.]*(e-?[0-9]+)?/)) {
          number = substr(rest, 1, RLENGTH)
          if (number ~ /^[0-9]+$/ && number > 0) offer(RLENGTH, number + 1)
          if (number ~ /^[0-9]+\.[0-9]*$/) offer(RLENGTH, 2 * number ".5")
          at += RLENGTH - 1
        }
      }
    }' "$@"
}

# A reproducible choice of lines.
choose() { awk -v seed="$seed" 'BEGIN { srand(seed) } { print rand() "\t" $0 }' | sort -k1,1g | head -n "$mutants" | cut -f 2-; }

change() { # change FILE LINE COLUMN LENGTH REPLACEMENT
  awk -v line="$2" -v column="$3" -v length_="$4" -v text="$5" '
    FNR == line { $0 = substr($0, 1, column - 1) text substr($0, column + length_) }
    { print }' "$1" >"$tree/changed" && cp "$tree/changed" "$1"
}

prepare() {
  mkdir -p "$tree/source" "$tree/build" || return
  (cd "$srcdir" && tar -cf - --exclude-tag-all=config.status --exclude=./.git .) |
    tar -xf - -C "$tree/source" || return
  (cd "$tree/build" && { [ -e Makefile ] || ../source/configure -q CFLAGS=-O1; } && $make -s)
}

units=(average bounds doubt fluctuations linalg outside random scatter solve system tape array)
declare -A cost kills

# run_test NAME: of a unit test that name, else a script
run_test() (
  case $1 in *.dmf) ;; *) $make -s "tests/unit/test_$1" >log 2>&1 || return ;; esac
  ulimit -t $((cost[$1] / 50 + 10))
  case $1 in
    *.dmf) bash ../source/tests/run.sh "$1" >log 2>&1 ;;
    *) "tests/unit/test_$1" >log 2>&1 ;;
  esac
)

# Tests by what they cost for each mutant that they may kill.
ordered() {
  local test
  for test in "${!cost[@]}"; do
    echo "$((cost[$test] * 100 / (1 + 4 * kills[$test]))) $test"
  done | sort -n | cut -d ' ' -f 2
}

# The first test that fails, or the compiler, in `by`
killed() {
  local test
  by=compiler
  $make -s dmf >log 2>&1 || return 0
  for test in $(ordered); do
    by=$test
    run_test "$test" || { kills[$test]=$((kills[$test] + 1)); return 0; }
  done
  return 1
}

# Tests pass without a change, and what they cost is known.
measure() {
  local test
  for test in "${units[@]}" $(cd "$srcdir" && grep -L '^# slow' tests/theory/*.dmf tests/std/*.dmf tests/lang/*.dmf); do
    case $test in *.dmf) test=../source/$test ;; *) $make -s "tests/unit/test_$test" ;; esac
    cost[$test]=$((1000 * longest))
    kills[$test]=0
    { time run_test "$test" || echo "$test" >failing; } 2>taken
    [ ! -e failing ] || { echo "the tests fail without a change: $test"; return 1; }
    cost[$test]=$(awk '{ print int(1000 * $1) }' taken)
    [ "${cost[$test]}" -le $((${MOST:-1000} * 1000)) ] || unset "cost[$test]"
  done
}

prepare || exit
cd "$tree/build" || exit
rm -f failing
export DMF=$PWD/dmf srcdir=$tree/source
measure || exit

total=0
dead=0
mapfile -t chosen < <(cd ../source && places src/{solve,machine,field,num}/*.c | grep "${FILES:-.}" | choose)
for one in "${chosen[@]}"; do
  IFS=: read -r file line column length text <<<"$one"
  cp -p "../source/$file" original
  change "../source/$file" "$line" "$column" "$length" "$text"
  total=$((total + 1))
  if killed; then
    dead=$((dead + 1))
    echo "killed by ${by##*/}: $file:$line:$column:$text"
  else
    echo "SURVIVES $file:$line:$column:$text: $(sed -n "${line}p" "../source/$file" | sed 's/^ *//')"
  fi
  cp original "../source/$file"
done
echo "mutants: $dead of $total killed, a share of $(awk "BEGIN { printf \"%.2f\", $dead / ($total ? $total : 1) }")"
