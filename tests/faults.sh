#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Faults in turn (faults/shim.c): an allocation that fails, in the command or in the children that call
# libhdf5; a write, fsync, rename, close and the like that fails, that is torn, or during which the process is
# killed; reads and writes that do half of what they are asked, which changes nothing. Whatever happens, a
# run ends as it does without the fault, or with the documented status and the reason; what it printed is
# a beginning of what it prints; every file holds what it held before, or what the run makes (of the history
# of the prompt, one entry may be cut off); and the next run, without a fault, makes all of them and leaves nothing else.
#
# A host of the library outlives all of this: host.c, and host.py in Python, do what failed again, in the same session.
#
# FAULTS=all, as make validate has it, takes every write and every kind of allocation; make check takes
# some of them. ONLY chooses by a pattern of NAME KIND WHO HOW, such as "script memory child", FROM leaves out
# what comes before that one of them, and JOBS is how many run at a time.
set -u
here=$(cd "$(dirname "$0")" && pwd)
self=$here/$(basename "$0")
DMF=${DMF:-$here/../dmf}
SHIM=${SHIM:?the shim that make check builds}
HOST=${HOST:-$(dirname "$SHIM")/host}
export DMF SHIM HOST
export DMF_PATH=${DMF_PATH:-$(dirname "$DMF")}
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0:exitcode=99
# Beside threads of OpenBLAS that are still awake, a process with that sanitizer does not fork: it would call libhdf5
# itself, which gives nothing back where its allocations fail.
export OPENBLAS_NUM_THREADS=1

# What is run, by name, in a directory that holds what lies in faults. 126 is of the shell: the system did not
# start the program, as where it lacks memory for a moment.
run() {
  local status tries=0
  while start "$@"; status=$?; [ $status = 126 ] && [ $((tries++)) -lt 5 ]; do :; done
  return $status
}
start() {
  local LD_PRELOAD=$SHIM
  export LD_PRELOAD
  case $1 in
  script) "$DMF" --threads 1 --seed "${2:-1}" everything.dmf ;;
  check) "$DMF" check --json everything.dmf ;;
  equations) "$DMF" equations small.dmf ;;
  errors) "$DMF" --threads 1 --seed "${2:-1}" errors.dmf ;;
  large) "$DMF" --threads 1 large.dmf ;;
  prompt) "$DMF" -i --threads 1 --seed "${2:-1}" <prompt.txt ;;
  kept) "$DMF" --threads 1 --seed "${2:-1}" kept.dmf ;;
  history)
    printf 'x = 3\nfor i in 1..2 {\ny = 12*i\n}\nx + 4\nquit\n' |
      LD_PRELOAD='' HOME=/nonexistent XDG_STATE_HOME=$PWD/state SHELL=/bin/sh TERM=xterm \
        script -qec "LD_PRELOAD=$SHIM exec $DMF" /dev/null >/dev/null
    ;;
  server) "$DMF" lsp <server.txt ;;
  format) "$DMF" fmt -i loose.dmf ;;
  host) "$HOST" ;;
  python)
    LD_PRELOAD= FAULT_ONLY=libdmf PYTHONPATH=$here/../python PYTHONDONTWRITEBYTECODE=1 DMF_LIBRARY=$(dirname "$DMF")/libdmf.so.0 \
      timeout -s KILL 600 env LD_PRELOAD="$SHIM" "$PYTHON" "$here/faults/host.py"
    ;;
  esac
}

# Whether a file of a directory is the one from before, or the one that is made
known() {
  local name=$1 side
  for side in old new; do
    cmp -s "$name" "$base/$side/$name" && return
  done
  return 1
}

# What is wrong with the files here; temporary ones are let be where the process ended at once
wrong_files() {
  local name
  while IFS= read -r name; do
    case $name in
    ./out | ./err) ;;
    ./prompt-saved.dmf) ;; # without the statements that failed
    ./state/*) torn_entry ;;
    *.tmp) [ "$1" = ended ] || echo "  $name is left" ;;
    *) known "$name" || echo "  $name is neither old nor new" ;;
    esac
  done < <(find . -type f)
  (cd "$base/old" && find . -type f) | while IFS= read -r name; do [ -e "$name" ] || echo "  $name is gone"; done
}

# What is wrong with the lines that the history of the prompt lacks or has besides: one may be cut off.
torn_entry() {
  awk 'FNR == NR { whole[$0]; next }
    !($0 in whole) {
      for (line in whole) if (index(line, $0) == 1) next_to = 1
      if (torn++ || !next_to) print "  history: " $0
    }' "$base/new/state/dmf/history" state/dmf/history
}

# Whether what was printed is the beginning of what is printed
begins() { cmp -s out "$base/out" || cmp -s -n "$(stat -c %s out)" out "$base/out"; }

judge() { # judge KIND STATUS
  if [ "$how" = halve ]; then
    [ "$2" = 0 ] || echo "  status $2"
    cmp -s out "$base/out" || echo "  it prints something else"
    diff -rq -x out -x err "$base/new" .
    return
  fi
  grep -qs 'AddressSanitizer: CHECK failed' err && return # it cannot live without memory itself
  # Who ends at once, for want of something small, gives nothing back.
  [ "$1:$2" = memory:99 ] && grep -qs '^dmf: out of memory$' err && grep -qs LeakSanitizer err && set -- memory 6
  case $name:$2 in
  host:0 | python:0) ;;
  host:* | python:*) echo "  a host ends with status $2" ;;
  esac
  case $1:$2 in
  memory:127) grep -qs 'cannot allocate memory for thread-local data' err || echo "  status 127" ;; # libc
  *:0) cmp -s out "$base/out" || echo "  status 0, but it prints something else" ;;
  memory:6) [ "$name" != large ] || grep -qs 'large.dmf:[0-9]*:[0-9]*: error: .*out of memory' err || echo '  no place'
    grep -qs 'out of memory' err out || echo '  status 6 without "out of memory"' ;;
  memory:[1235]) case $name in prompt | server) grep -qs 'out of memory' err out ;; *) false ;; esac ||
    echo "  status $2 for want of memory" ;;
  files:5) [ -s err ] || echo "  status 5 without a reason" ;;
  files:6) [ "$who:$how" = child:kill ] || echo "  status 6" ;; # as if the system had wanted its memory
  files:137) [ "$how" = kill ] || echo "  killed" ;;
  *) echo "  status $2" ;;
  esac
  case $name:$1:$2 in
  server:* | prompt:* | check:*) ;;
  *) begins || echo "  it prints something else" ;;
  esac
  if [ "$2" = 137 ] || [ "$1:$2" = memory:6 ]; then wrong_files ended; else wrong_files going; fi
}

restart() {
  local status
  run "$name" >out 2>err
  status=$?
  [ $status = 0 ] || { echo "  the next run ends with status $status"; sed 's/^/  | /' err; }
  cmp -s out "$base/out" || echo "  the next run prints something else"
  rm -f out err
  if [ "$name" = history ]; then
    # the first statement may be the last one of before
    cmp -s <(tail -n 6 state/dmf/history) <(tail -n 6 "$base/new/state/dmf/history") || echo "  the next run's history is not whole"
    torn_entry
    return
  fi
  diff -rq "$base/new" . | sed 's/^/  after the next run: /'
}

# A host does again what failed, and goes on; so more may fail. Of large blocks, which the reserve does not have,
# none can be had any more, and nothing ends the process that could be refused in its place.
again() {
  case "$name $who" in
  'host self' | 'python self') echo 2500 ;;
  large*) echo 1 ;;
  esac
}
above() { [ "$name" != large ] || echo 65536; }

# one BASE NAME KIND WHO HOW NUMBER: a run with this fault, and the next one
one() {
  local status problems work=$base/work.$BASHPID
  cp -r "$base/old" "$work" && cd "$work" || return
  FAULT_KIND=$kind FAULT_WHO=$who FAULT_HOW=$how FAULT_AT=$number FAULT_EVERY=$(again) FAULT_ABOVE=$(above) run "$name" >out 2>err
  status=$?
  problems=$(judge "$kind" $status)
  [ -z "$problems" ] || problems+=$'\n'$(head -n 20 err | sed 's/^/  | /')
  [[ $kind:$name =~ ^memory:(script|host|python) ]] && [ $((number % 7)) != 0 ] || problems+=$(restart)
  cd "$base" && rm -rf "$work"
  [ -z "$problems" ] || printf 'FAIL %s: %s %s %s %s\n%s\n' "$name" "$kind" "$who" "$how" "$number" "$problems"
}

if [ "${1:-}" = --one ]; then
  read -r base name kind who how number <<<"$2"
  one
  exit 0
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0
failed=0

# prepare NAME: the directories before and after the run, and what it prints
prepare() {
  base=$scratch/$1
  mkdir -p "$base/old" && cp "$here"/faults/*.{dmf,csv,txt} "$base/old"
  case $1 in script | prompt | kept | errors) (cd "$base/old" && run "$1" 7 >/dev/null 2>&1) ;; esac
  cp -r "$base/old" "$base/new"
  (cd "$base/new" && run "$1" >"$base/out" 2>"$base/err") && return
  echo "FAIL $1 without a fault"
  cat "$base/err"
  failed=$((failed + 1))
  return 1
}

# Where the prompt keeps a history: some containers cannot make a pseudo-terminal.
has_terminal() { [ "${READLINE:-yes}" = yes ] && SHELL=/bin/sh script -qec true /dev/null >/dev/null 2>&1; }

# sample COUNT: so many of the lines, evenly; of all of a host some hundred, which fail each by some more
sample() {
  local most=$1
  [ "${FAULTS:-few}" != all ] || [ "$most" = 1 ] || case $name in host | python) most=200 ;; *) most=1000000 ;; esac
  awk -v most="$most" '{ line[NR] = $0 }
    END { step = NR > most ? NR / most : 1; for (i = 1; i <= NR; i += step) print line[int(i)] }'
}

# try NAME KIND WHO HOW COUNT
try() {
  local name=$1 kind=$2 who=$3 how=$4 bad count
  [[ "$name $kind $who $how" =~ ${ONLY:-.} ]] || return
  cp -r "$base/old" "$base/count"
  (cd "$base/count" && FAULT_KIND=$kind FAULT_WHO=$who FAULT_ABOVE=$(above) FAULT_LIST=$base/list run "$name" >/dev/null 2>&1)
  rm -rf "$base/count"
  tail -n "+${FROM:-1}" "$base/list" | sample "$5" | sed "s|^|$base $name $kind $who $how |" >"$base/faults"
  tr '\n' '\0' <"$base/faults" | xargs -0 -r -n 1 -P "${JOBS:-2}" bash "$self" --one >"$base/failures"
  count=$(wc -l <"$base/faults")
  bad=$(grep -c '^FAIL ' "$base/failures")
  cat "$base/failures"
  [ "$count" -gt 0 ] || { echo "FAIL $name: nothing to fail, $kind $who"; bad=1 count=1; }
  [ "${FAULTS:-few}" = few ] || echo "faults: $name, $kind, $who, $how: $count"
  passed=$((passed + count - bad))
  failed=$((failed + bad))
}

if prepare script; then
  for how in fail tear kill; do
    try script files self $how 12
    try script files child $how 6
  done
  try script memory self fail 20
  try script memory child fail 15
  try script files self halve 1
fi
if prepare kept; then
  for how in fail tear kill; do try kept files self $how 6; done
  try kept files self halve 1
fi
if has_terminal && prepare history; then
  for how in fail tear kill; do try history files self $how 3; done
fi
if prepare check; then try check memory self fail 4; fi
if prepare prompt; then
  try prompt memory self fail 6
  try prompt files self fail 6
  try prompt files self halve 1
fi
if prepare server; then try server memory self fail 6; fi
if prepare equations; then try equations memory self fail 3; fi
if prepare errors; then FROM=${FROM:-1100} try errors memory self fail 40; fi # before these a theory is solved
if prepare large; then try large memory self fail 10; fi
if prepare format; then
  for how in fail tear kill; do try format files self $how 4; done
  try format memory self fail 3
fi
if prepare host; then
  try host memory self fail 6
  try host memory child fail 4
fi
case ${CFLAGS:-} in
*-fsanitize*) ;; # Python does not load a library with sanitizers
*) if [ -n "${PYTHON:-}" ] && prepare python; then try python memory self fail 6; fi ;;
esac
echo "faults: $passed passed, $failed failed"
[ "$failed" = 0 ]
