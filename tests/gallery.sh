#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The gallery. Every script, of at most 25 lines, runs to its end, and holds by its assertions what was
# published; a line "# short: OPTIONS" of one that takes long says how a test runs it. With a directory as
# argument, the scripts are run in full, their pictures go there, and each line tells what it cost. What a
# script "# needs:" are files in a directory of DMF_DATA: where they are not, a test makes small ones of the
# same format, and with a directory the script is left out.
set -u
srcdir=${srcdir:-$(cd "$(dirname "$0")/.." && pwd)}
DMF=${DMF:-$srcdir/dmf}
pictures=${1:-}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0
failed=0
TIMEFORMAT='%U s cpu'

# bytes COUNT SEED: as good as random ones
bytes() {
  LC_ALL=C awk -v n="$1" -v x="$2" \
    'BEGIN { while (n--) { x = (x * 16807) % 2147483647; printf "%c", 1 + int(x / 256) % 254 } }'
}

# Sixty images of two classes, in the formats of MNIST and CIFAR-10.
make_images() {
  mkdir -p "$scratch/data/cifar-10-batches-bin"
  { printf '\0\0\10\3\0\0\0\074\0\0\0\034\0\0\0\034' && bytes 47040 1; } | gzip >"$scratch/data/train-images-idx3-ubyte.gz"
  { printf '\0\0\10\1\0\0\0\074' && for _ in {1..30}; do printf '\3\10'; done; } | gzip >"$scratch/data/train-labels-idx1-ubyte.gz"
  for image in {1..60}; do
    [ $((image % 2)) = 0 ] && printf '\0' || printf '\2'
    bytes 3072 "$image"
  done >"$scratch/data/cifar-10-batches-bin/data_batch_1.bin"
}

# lacks SCRIPT: whether a file that it needs is in no directory of DMF_DATA
lacks() {
  local file files directory found
  read -ra files <<<"$(sed -n 's/^# needs: //p' "$1")"
  for file in "${files[@]}"; do
    found=
    while IFS= read -r -d : directory; do [ -f "$directory/$file" ] && found=yes; done <<<"${DMF_DATA:-}:"
    [ -n "$found" ] || return 0
  done
  return 1
}
[ -n "$pictures" ] || make_images
export DMF_DATA=${DMF_DATA:-}${DMF_DATA:+:}$scratch/data

for script in "$srcdir"/examples/gallery/*/*.dmf; do
  name=${script#"$srcdir"/examples/gallery/}
  if lacks "$script"; then
    echo "$name: needs files that DMF_DATA does not have"
    continue
  fi
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
  [ "$(wc -l <"$script")" -le 25 ] || { echo "FAIL $name: more than 25 lines" && failed=$((failed + 1)); }
done
echo "gallery: $passed passed, $failed failed"
[ "$failed" = 0 ]
