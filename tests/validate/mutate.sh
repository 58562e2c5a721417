#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Whether the tests notice wrong arithmetic: `make mutate` changes one operator or one number of the
# solvers at a time, at random places of src/solve, src/machine and src/field, builds, and runs the
# quick tests until one fails. A mutant that none of them kills is a missing test, or a change that
# means nothing (a bound of memory, a block size). Prints every mutant, and the share that was killed.
#
# Environment: MUTANTS (how many, 100), SEED (which, 1), FILES (a pattern of their names)
set -u
srcdir=${srcdir:?run this through make mutate}
make=${MAKE:-make}
tree=$PWD/mutants
mutants=${MUTANTS:-100}
seed=${SEED:-1}
longest=600 # seconds: a mutant that runs so long is taken for one that never ends

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
  (cd "$tree/build" && { [ -e Makefile ] || ../source/configure -q; } && $make -s)
}

# killed: by the compiler, or by the first test that fails; its name is printed
killed() {
  local unit script
  $make -s dmf >log 2>&1 || { echo compiler; return; }
  for unit in tape bounds solve average fluctuations; do
    $make -s "tests/unit/test_$unit" >log 2>&1 || { echo compiler; return; }
    timeout $longest "tests/unit/test_$unit" >log 2>&1 || { echo "test_$unit"; return; }
  done
  for script in "${scripts[@]}"; do
    TIMEOUT=$longest bash ../source/tests/run.sh "$script" >log 2>&1 || { echo "$script"; return; }
  done
  return 1
}

prepare || exit
cd "$tree/build" || exit
export DMF=$PWD/dmf srcdir=$tree/source
scripts=()
for script in "$srcdir"/tests/theory/*.dmf "$srcdir"/tests/std/*.dmf "$srcdir"/tests/lang/*.dmf; do
  grep -q '^# slow' "$script" || scripts+=("$script")
done
if first=$(killed); then
  echo "the tests fail without a change: $first"
  exit 1
fi

total=0
dead=0
mapfile -t chosen < <(cd ../source && places src/solve/*.c src/machine/*.c src/field/*.c | grep "${FILES:-.}" | choose)
for one in "${chosen[@]}"; do
  IFS=: read -r file line column length text <<<"$one"
  cp -p "../source/$file" original
  change "../source/$file" "$line" "$column" "$length" "$text"
  total=$((total + 1))
  if by=$(killed); then
    dead=$((dead + 1))
    echo "killed by ${by##*/}: $file:$line:$column"
  else
    echo "SURVIVES $file:$line:$column: $(sed -n "${line}p" "../source/$file" | sed 's/^ *//')"
  fi
  cp original "../source/$file"
done
echo "mutants: $dead of $total killed, a share of $(awk "BEGIN { printf \"%.2f\", $dead / ($total ? $total : 1) }")"
