#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Whether the tests notice wrong arithmetic: `make mutate` changes one operator or one number at a time, at
# random places of ROOMS, builds, and runs the quick tests until one fails. A mutant that none of them kills is a missing test, or a change that
# means nothing (a bound of memory, a block size). Prints every mutant, and the share that was killed, of those
# whose object code is another one at all.
# A test is run for mutants of lines that it runs, which a build that counts them tells. Those that are
# fast and have killed go first, so that most mutants cost seconds.
#
# Environment: MUTANTS (how many, 100), SEED (which, 1), ROOMS (directories of src, "solve machine field num"),
# FILES (a pattern of their names), MOST (leaves out tests that the build that counts takes more seconds for),
# TREE (where to build, ./mutants)
set -u
srcdir=${srcdir:?run this through make mutate}
make=${MAKE:-make}
tree=${TREE:-$PWD/mutants}
mutants=${MUTANTS:-100}
seed=${SEED:-1}
most=${MOST:-600}
read -r -a rooms <<<"${ROOMS:-solve machine field num}"
# A test that takes 20 times as long as without a change, and two seconds more, never ends.
TIMEFORMAT='%U %S'

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
          if (number ~ /^[0-9]+\.[0-9]*$/) offer(RLENGTH, sprintf("%.6f", 2 * number + 0.5))
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
  mkdir -p "$tree/source" "$tree/build" "$tree/counts" "$tree/cost" || return
  (cd "$srcdir" && tar -cf - --exclude-tag-all=config.status --exclude=./.git .) |
    tar -xf - -C "$tree/source" || return
  (cd "$tree/counts" && { [ -e Makefile ] || ../source/configure -q CFLAGS='-O2 --coverage -fprofile-update=single'; } && $make -s) || return
  (cd "$tree/build" && { [ -e Makefile ] || ../source/configure -q CFLAGS=-O1; } && $make -s)
}

units=(array average bounds crew doubt file fluctuations interrupt linalg memory outside random scalar scatter
  session signatures solve syntax system tape underway)
declare -A cost kills named # named: of the file of its lines, the test

# run_test NAME SECONDS: of a unit test that name, else a script; ended after SECONDS of a processor
run_test() (
  case $1 in *.dmf) ;; *) $make -s "tests/unit/test_$1" >log 2>&1 || return ;; esac
  ulimit -t "$2"
  DMF=$PWD/dmf
  case $1 in
    *.dmf) bash ../source/tests/run.sh "$1" >log 2>&1 ;;
    *) "tests/unit/test_$1" >log 2>&1 ;;
  esac
)

# A test's name as that of a file
key() { local name=${1#../source/tests/}; echo "${name//\//-}"; }

# lines_of TEST: FILE:LINE of what it ran, beside a statement that it ran, or in a file of which it ran anything
# where no statement is near
lines_of() {
  local room ran=$tree/seen/$(key "$1")$tree/counts
  for room in "${rooms[@]}"; do
    ln -sf "$tree/counts/src/$room"/*.gcno "$ran/src/$room" 2>/dev/null || continue
    gcov -t -o "$ran/src/$room" "../source/src/$room"/*.c 2>/dev/null
  done | awk -F: '
    function tell(i, near, runs) {
      for (i = 1; i <= last; i++) {
        if (i in run) { near = 1; runs = run[i] }
        if (near ? runs : any) print file ":" i
        if (i in ends) near = 0
      }
      delete run
      delete ends
      any = last = 0
    }
    $2 + 0 == 0 { if ($3 == "Source") { tell(); file = $4; sub(".*/source/", "", file); sub("^../source/", "", file) }; next }
    { last = $2 + 0 }
    # a function that is compiled for several processors comes once for each
    $1 ~ /[0-9#=]/ { run[last] = run[last] || $1 ~ /[0-9]/; any += run[last] }
    $3 ~ /^}/ { ends[last] }
    END { tell() }' | grep -Fxf "$tree/places" >"$tree/seen/$(key "$1").lines"
}

# ordered FILE:LINE: tests that run it, by what they cost for each mutant that they may kill
ordered() {
  local file test
  for file in $(grep -lFx "$1" "$tree"/seen/*.lines); do
    test=${named[$file]:-}
    [ -z "$test" ] || echo "$((cost[$test] * 100 / (1 + 4 * kills[$test]))) $test"
  done | sort -n | cut -d ' ' -f 2
}

# judge FILE LINE: what becomes of the mutant, and by whom
judge() {
  local test object=${1%.c}.o
  fate=refused by='the compiler'
  $make -s dmf >log 2>&1 || return
  fate=equivalent by='the same object code'
  ! cmp -s "$object" object || return
  fate=unseen by='no test runs it'
  for test in $(ordered "$1:$2"); do
    fate=survives by='no test fails'
    run_test "$test" $((cost[$test] / 50 + 2)) || { fate=killed by=$test kills[$test]=$((kills[$test] + 1)); return; }
  done
}

# cost_of TEST: milliseconds, said on standard output; nothing when it takes more than allowed
cost_of() {
  local test=$1 fine=1
  case $test in *.dmf) ;; *) $make -s "tests/unit/test_$test" >&2 ;; esac
  { time GCOV_PREFIX=$tree/seen/$(key "$test") run_test "$test" "$most" || fine=; } 2>taken
  awk -v fine=$fine -v most="$most" 'END {
    if (fine) print int(1000 * ($1 + $2))
    exit !fine && $1 + $2 < most - 1 }' taken
}

# Tests pass without a change; what they cost and which lines they run is known. A tree that is used again, with
# another seed, has what was measured.
measure() {
  local test file
  for test in "${units[@]}" $(cd ../source && grep -L '^# slow' tests/lang/*.dmf tests/std/*.dmf tests/theory/*.dmf); do
    case $test in *.dmf) test=../source/$test ;; esac
    file=$tree/cost/$(key "$test")
    [ -e "$file" ] || cost_of "$test" >"$file" ||
      { rm "$file"; echo "the tests fail without a change: $test"; return 1; }
    [ -s "$file" ] && [ "$(cat "$file")" -le $((1000 * most)) ] || continue
    cost[$test]=$(cat "$file")
    kills[$test]=0
    named[$tree/seen/$(key "$test").lines]=$test
    lines_of "$test"
  done
  echo "${#cost[@]} tests that take $(($(IFS=+; echo "$((${cost[*]}))") / 1000)) s"
}

prepare || exit
cd "$tree/counts" || exit
export DMF srcdir=$tree/source
mapfile -t chosen < <(cd ../source && places $(printf 'src/%s/*.c ' "${rooms[@]}") | choose)
printf '%s\n' "${chosen[@]}" | cut -d : -f 1,2 >"$tree/places"
measure || exit
cd "$tree/build" || exit

file= # what is changed now
restore() {
  [ -n "$file" ] || return
  cp -p original "../source/$file"
  cp object "${file%.c}.o"
  file=
}
trap restore EXIT

declare -A count=([killed]=0 [refused]=0 [equivalent]=0 [unseen]=0 [survives]=0)
for one in "${chosen[@]}"; do
  IFS=: read -r file line column length text <<<"$one"
  cp -p "../source/$file" original && cp "${file%.c}.o" object || exit
  change "../source/$file" "$line" "$column" "$length" "$text"
  judge "$file" "$line"
  count[$fate]=$((count[$fate] + 1))
  echo "$fate (${by##*/}): $file:$line:$column:$text: $(sed -n "${line}p" "../source/$file" | sed 's/^ *//')"
  restore
done
lives=$((count[survives] + count[unseen]))
echo "mutants: ${count[killed]} killed, $lives not (${count[unseen]} where no test runs), ${count[equivalent]} the same" \
  "program, ${count[refused]} no program; a share of $(awk "BEGIN { n = ${count[killed]} + $lives; printf \"%.2f\", ${count[killed]} / (n ? n : 1) }")"
