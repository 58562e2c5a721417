#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Runs the script tests tests/*/*.dmf, but for the long ones of tests/validate and what tests/faults.sh runs. A test says in
# comments what must come out:
#
#   # expect: LINE       the lines of standard output, in order and exact
#   # error: SUBSTRING   occurs on standard error; several, in this order
#   # status: N          the exit status, 0 unless said
#   # args: OPTIONS      options (or a command such as check) put before the file
#   # slow               left out when DMF_QUICK is set
#   # sampled            left out when SANITIZED is set: numbers against large samples or ensembles, whose code
#                        tests/theory/kinds.dmf runs in small; of the distribution archive, too
#
# A script that hangs is ended after an hour, which no machine needs.
#
# A mark may stand behind a statement. Without an error mark, standard error must stay empty when
# status 0 is expected. Scripts run in a scratch directory.
#
# Usage: tests/run.sh [FILE ...]     environment: DMF (the program), TESTS (a pattern of names)
set -u
here=$(cd "$(dirname "$0")" && pwd)
self=$here/$(basename "$0")
DMF=${DMF:-$here/../dmf}
export DMF

marks() { sed -n "s/^\(.*[^[:alnum:]]\)\{0,1\}# $1:\( \|\$\)//p" "$2"; }

# Checks one test: silent when it passes, else its name and what is wrong.
run_one() {
  local file=$1 scratch status wanted last args=() problems=''
  scratch=$(mktemp -d) || exit 1
  trap 'rm -rf "$scratch"' RETURN
  eval "args=($(marks args "$file"))"
  wanted=$(marks status "$file")
  marks expect "$file" >"$scratch/wanted"
  marks error "$file" >"$scratch/errors"
  mkdir "$scratch/cwd"
  (cd "$scratch/cwd" && HOME=$scratch timeout "${TIMEOUT:-3600}" "$DMF" \
    ${args[@]+"${args[@]}"} "$file" >../out 2>../err </dev/null)
  status=$?

  [ "$status" = "${wanted:-0}" ] || problems+="  status $status instead of ${wanted:-0}"$'\n'
  diff -u --label expected --label printed "$scratch/wanted" "$scratch/out" >"$scratch/diff" ||
    problems+=$(sed 's/^/  /' "$scratch/diff")$'\n'
  # quoted lines of the script have the marks themselves in them
  sed 's/^\( *[0-9]\{1,\} | .*\)# error: .*/\1/' "$scratch/err" >"$scratch/said"
  last=1
  while IFS= read -r text; do
    found=$(tail -n +"$last" "$scratch/said" | grep -nF -m1 -e "$text" | cut -d: -f1)
    if [ -z "$found" ]; then
      problems+="  not on standard error: $text"$'\n'
    else
      last=$((last + found - 1))
    fi
  done <"$scratch/errors"
  [ -s "$scratch/errors" ] || [ "${wanted:-0}" != 0 ] || [ ! -s "$scratch/err" ] ||
    problems+="  standard error is not empty"$'\n'

  [ -z "$problems" ] && return 0
  printf 'FAIL %s\n%s%s\n' "${file#"$here"/}" "$problems" "$(sed 's/^/  | /' "$scratch/err" | head -n 40)"
  return 1
}

if [ "${1:-}" = --one ]; then
  report=$(run_one "$2") || { printf '%s\n' "$report"; exit 1; }
  exit 0
fi

files=()
for file in "${@:-$here/*/*.dmf}"; do
  case $file in *'*'*) set -- $file ;; *) set -- "$(realpath "$file")" ;; esac
  for one; do
    case $one in "$here"/validate/* | "$here"/faults/*) continue ;; *"${TESTS:-}"*) ;; *) continue ;; esac
    if [ -n "${DMF_QUICK:-}" ] && grep -q '^# slow' "$one"; then continue; fi
    if [ -n "${SANITIZED:-}" ] && grep -q '^# sampled' "$one"; then continue; fi
    files+=("$one")
  done
done
[ ${#files[@]} -gt 0 ] || { echo "scripts: 0 passed, 0 failed"; exit 0; }

failures=$(mktemp)
trap 'rm -f "$failures"' EXIT
printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P 2 bash "$self" --one | tee "$failures"
failed=$(grep -c '^FAIL ' "$failures")
echo "scripts: $((${#files[@]} - failed)) passed, $failed failed"
[ "$failed" = 0 ]
