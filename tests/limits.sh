#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Limits of the process, from too little to enough: addresses, data, stack, open files, sizes of files,
# processes, processor time. Whatever they are, a run ends, as it does without them or with the status of
# what it lacks and the reason; it never hangs and is never ended by a signal.
set -u
here=$(cd "$(dirname "$0")" && pwd)
DMF=${DMF:-$here/../dmf}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0
failed=0
cd "$scratch" && cp "$here"/faults/*.{dmf,csv,txt} . && chmod -R a+rwX . || exit 1
printf 'while true { x = 1 }\n' >endless.dmf
printf 'while true { x = 1 }\nprint "again"\n' >typed.txt
printf "x = gaussian(4000, 4000)\nprint eigvec(x + x')[0, 0]\n" >operation.dmf
call='function f(n) = '$(printf -- '-(%.0s' {1..190})'if n < 1 then 0 else f(n - 1)'$(printf ')%.0s' {1..190})
printf '%s\nprint f(150)\n' "$call" >deep.dmf
cat >products.dmf <<'END'
print inv([[1, 2], [3, 5]]) @ [1, 2]
print sweep(solve([[n, 1], [1, 3]], [1, 1]), n = 1..8)
END

program() {
  case $1 in
  script) set -- --threads 2 everything.dmf ;;
  prompt) exec "$DMF" -i <prompt.txt ;;
  typed) exec "$DMF" -i <typed.txt ;;
  server) exec "$DMF" lsp <server.txt ;;
  *) set -- --threads 2 "$1".dmf ;;
  esac
  exec "$DMF" "$@"
}
export -f program
export DMF

# limit NAME STATUSES FLAG VALUE...: the program under each bound, in units of ulimit
limit() {
  local name=$1 allowed=$2 flag=$3 value status
  shift 3
  for value; do
    rm -rf points ./*.h5 ./*.json nets.csv kernel.npy loss.txt
    ${as:-} timeout -s KILL 600 bash -c 'ulimit "$1" "$2" && program "$3"' bash "$flag" "$value" "$name" >out 2>err
    status=$?
    case " $allowed " in
    *" $status "*) ;;
    *) status=wrong:$status ;;
    esac
    [ "$status" = 0 ] || [ -s err ] || status=silent:$status
    case $status in
    [0-9]*) passed=$((passed + 1)) ;;
    *)
      failed=$((failed + 1))
      printf 'FAIL %s under %s %s: %s\n%s\n' "$name" "$flag" "$value" "$status" "$(head -n 20 err | sed 's/^/  | /')"
      ;;
    esac
  done
}

# 127 comes from the loader of libraries, which says so itself.
case ${CFLAGS:-} in
*-fsanitize*) ;; # takes more than these for itself
*)
  for name in script prompt products; do
    limit $name '0 6 127' -v 8000 20000 60000 100000 150000 200000 220000 230000 235000 240000 250000 300000 400000
  done
  limit script '0 6 127' -d 200 2000 20000 130000 200000 400000
  limit server '0 6 127' -v 8000 20000
  for flag in -s -Ss; do limit deep '0 6' $flag 64 256 1024 2048 4096; done
  ;;
esac
limit script '0 5 6 127' -n 3 4 5 6 7 8 9 10
limit prompt '0 5 6 127' -n 4 5 6 7
limit script '5' -f 1 8
limit endless 6 -St 1
limit operation 6 -St 1
grep -q 'RLIMIT_CPU' err || { echo "FAIL an operation says nothing of the processor time"; failed=$((failed + 1)); }
limit typed 6 -St 1
grep -q 'RLIMIT_CPU' err && ! grep -q again out || { echo "FAIL a prompt goes on without processor time"; failed=$((failed + 1)); }
# What a plan says is what the process takes at most, beside some MB for its own affairs: a prompt, which waits
# behind each statement, tells how much it has had at the same time.
cat >sizes.dmf <<'END'
dataset d { inputs = sphere(points = 8, dim = 20, seed = 1); targets = sign(gaussian(8, 1, 2))[:, 0] }
model net { layers = input -> 2 * dense(tanh) -> readout; gamma = 1.5; width = 64 }
model wide { layers = input -> 3 * dense(tanh) -> readout; gamma = 1.5; width = 1000 }
training fit { dataset = d; optimizer = gd(eta = 0.1); steps = 8 }
training entrywise { dataset = d; optimizer = adam(eta = 0.01); steps = 2 }
theory = dmft(net, fit, samples = 64)
END
held() { awk -v what="$1:" '$1 == what { print 1024 * $2 }' "/proc/$COPROC_PID/status"; }
# type_in STATEMENTS: until they are done
type_in() {
  local line
  printf '%s\nprint "done"\n' "$1" >&"${COPROC[1]}"
  while read -r line <&"${COPROC[0]}"; do [ "$line" = done ] && return; done
}
planned() { # CALL: bytes
  (cat sizes.dmf; echo "r = $1") >planned.dmf
  "$DMF" plan --threads 1 planned.dmf | awk 'BEGIN { bytes["kB"] = 1e3; bytes["MB"] = 1e6; bytes["GB"] = 1e9 }
    $1 ~ /:7:$/ { print $3 * bytes[$4] }'
}
peak() { # CALL...
  local call bound before most status
  for call; do
    bound=$(($(planned "$call") + 4000000))
    coproc "$DMF" -i --threads 1 2>err
    type_in "$(cat sizes.dmf; echo 'small = simulate(net, fit, ensemble = 2)')"
    before=$(held VmRSS)
    type_in "r = $call"
    most=$(($(held VmHWM) - before))
    exec {COPROC[1]}>&-
    wait "$COPROC_PID"
    "$DMF" --threads 1 --memory $((before + bound)) planned.dmf 2>>err
    status=$?
    if [ $status = 0 ] && [ ! -s err ] && [ "$most" -gt 1000000 ] && [ "$most" -le "$bound" ]; then
      passed=$((passed + 1))
    else
      failed=$((failed + 1))
      printf 'FAIL %s takes %s bytes of %s, status %s\n%s\n' "$call" "$most" "$bound" $status "$(cat err)"
    fi
  done
}
case ${CFLAGS:-} in
*-fsanitize*) ;;
*)
  peak 'dmft(net, fit, samples = 8000)' 'simulate(wide, fit, ensemble = 2)' 'simulate(wide, entrywise, ensemble = 2)' \
    'simulate(wide, fit, ensemble = 2, precision = "single")' 'simulate(wide, fit, ensemble = 2, method = "conditioned")' \
    'fluctuations(theory, samples = 1024)'
  ;;
esac
# somebody who has no other processes, and may not read where the program lies
as="setpriv --reuid 54321 --regid 54321 --clear-groups"
mkdir own && cp "$DMF" own && cp -RL "$(dirname "$DMF")/std" own && chmod -R a+rX own || exit 1
DMF=$scratch/own/$(basename "$DMF")
if $as "$DMF" --version >/dev/null 2>&1; then limit script '0 5 6' -u 3 4 5 6 8; fi
echo "limits: $passed passed, $failed failed"
[ "$failed" = 0 ]
