#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Several processes that share the work of one script: the same bits as one, one that shows and writes, one
# message when something is wrong. Left out where dmf was built without MPI, unless MPI_TESTS=needed.
set -u
srcdir=${srcdir:-$(cd "$(dirname "$0")/.." && pwd)}
DMF=${DMF:-$srcdir/dmf}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1
passed=0
failed=0
if [ ! -e "$(dirname "$DMF")/dmf-mpi.so" ] || ! command -v mpirun >/dev/null; then
  [ "${MPI_TESTS:-}" != needed ] || failed=1
  echo "mpi: left out, for want of MPI"
  echo "mpi: 0 passed, $failed failed"
  exit $failed
fi

# What MPI keeps to the end is its own affair.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
# More processes than processors, in the words of Open MPI 4 and of 5, and on one machine.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_btl=^tcp
export OMPI_MCA_rmaps_base_oversubscribe=1 PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe

# ranks N ARGUMENTS...: dmf as N processes
ranks() {
  local count=$1
  shift
  mpirun -n "$count" "$DMF" "$@"
}

# apart WHERE COMMAND... -- WHERE COMMAND...: two processes, each in a place of its own
apart() {
  local rank=0
  rm -f rank0 rank1
  printf 'cd %q && exec' "$1" >rank0
  shift
  for word; do
    case $rank:$word in
    0:--) rank=next ;;
    next:*) printf 'cd %q && exec' "$word" >rank1 && rank=1 ;;
    *) printf ' %q' "$word" >>rank$rank ;;
    esac
  done
  mpirun -n 2 bash -c 'exec bash rank$OMPI_COMM_WORLD_RANK'
}

# expect WHAT COMMAND...: the command succeeds
expect() {
  local what=$1
  shift
  if "$@" >log 2>&1; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    printf 'FAIL %s\n%s\n' "$what" "$(sed 's/^/  | /' log)"
  fi
}

cat >problem.dmf <<'END'
dataset d { inputs = sphere(points = 3, dim = 20, seed = 1); targets = [1, -1, 1] }
model net { layers = input -> 2 * dense(tanh) -> readout; gamma = 1.5; width = 32 }
training fit { dataset = d; optimizer = gd(eta = 0.3); steps = 8 }
END
cat problem.dmf - >all.dmf <<'END'
import "std/systems.dmf"
chaos_theory = dmft(sompolinsky, steps = 6, samples = 200)
print chaos_theory.C, simulate(sompolinsky, steps = 6, size = 20, ensemble = 3).C
print fluctuations(chaos_theory, samples = 400).var_C, fluctuations(chaos_theory, samples = 400, of = chaos_theory.C[5] / chaos_theory.C[0])
system heavy { population n; x = normal(n); step { observe far = mean(exp(2 * x)) } }
print dmft(heavy, steps = 2, samples = 400).far, simulate(heavy, steps = 2, size = 9, ensemble = 5).var_far
theory = dmft(net, fit, samples = 600)
nets = simulate(net, fit, ensemble = 7)
print theory.loss, nets.loss, nets.var_f[8], theory.f[8], theory.rank
points = sweep(dmft(net, fit, samples = 100).loss[8], net.gamma = [0.5, 1, 2, 3, 4])
print points, stderr(points), stderr(mean(points))
print sweep(dmft(net, fit, samples = 100).loss[8], fit.eta = [0.5, 100, 2000, 0.2])
noise = fluctuations(theory)
print noise.var_f[8], noise.mean_shift_f[8], theory.A[1][5, 0, 3, 1]
print noise.cov_f[8, 0, 5], noise.var_Phi[1][8], stderr(noise.var_ntk[8]), noise.cov_loss[8]
save theory to "theory.h5"
print load("theory.h5").loss[8], preactivations(theory, 1, 8)[0]
save theory.f to "f.csv"
plot theory.loss to "loss.txt"
print csv("f.csv")[8], compare(theory, nets)
END
"$DMF" --threads 1 --out one all.dmf >one.txt 2>one.err
for count in 1 2 4; do
  ranks $count --threads 1 --out many all.dmf >many.txt 2>many.err
  expect "$count processes print what one does" diff one.txt many.txt
  expect "$count processes warn as one does" diff one.err many.err
  expect "$count processes write what one does" cmp one/f.csv many/f.csv
  expect "$count processes draw what one does" cmp one/loss.txt many/loss.txt
  rm -r many
done

# Odd numbers, and more processes than runs of fluctuations, or points of a sweep, which has one inside.
cat problem.dmf - >odd.dmf <<'END'
function most(eta) = max(sweep(dmft(net, fit with { eta = eta }, samples = 64).loss[8], net.gamma = [0.5, 1, 2]))
print sweep(most(fit.eta), fit.eta = [0.1, 0.2])
for phi in [tanh, relu, linear] {
  theory = dmft(net with { layers = input -> 2 * dense(phi) -> readout }, fit with { steps = 3 }, samples = 600)
  noise = fluctuations(theory, samples = 1024)
  print noise.var_f[3], noise.cov_loss, stderr(noise.var_Phi[2][3]), noise.rank
  print fluctuations(theory, samples = 1024, of = theory.loss[3] / theory.loss[0])
}
print noise.mean_shift_f[3], stderr(noise.mean_shift_loss)
save sweep(dmft(net, fit, samples = 64).f[8], net.gamma = [0.5, 1, 2]) to "odd.csv"
END
"$DMF" --threads 2 --out one odd.dmf >one.txt 2>one.err
for count in 3 11; do
  ranks $count --threads 1 --out many odd.dmf >many.txt 2>many.err
  expect "$count processes print what one does" diff one.txt many.txt
  expect "$count processes warn as one does" diff one.err many.err
  expect "$count processes write what one does" cmp one/odd.csv many/odd.csv
  rm -r many
done

# What one number of processes has kept another finds: the files are the same, and those that are there stay.
cat problem.dmf - >kept.dmf <<'END'
import "std/systems.dmf"
print dmft(net, fit, samples = 600, checkpoint = "runs").f, simulate(net, fit, ensemble = 7, checkpoint = "runs").var_f
print dmft(sompolinsky, steps = 4, samples = 200, checkpoint = "runs").C
noise = fluctuations(dmft(net, fit, samples = 200), samples = 1024, checkpoint = "runs")
flat = net with { layers = input -> dense(tanh) -> readout }
print fluctuations(dmft(flat, fit with { steps = 2 }, samples = 200), samples = 4096, checkpoint = "runs").mean_shift_f
print noise.var_f, noise.cov_f, fluctuations(dmft(sompolinsky, steps = 3, samples = 200), samples = 400, checkpoint = "runs").var_C
END
"$DMF" --threads 1 --out one kept.dmf >one.txt
ranks 3 --threads 1 --out many kept.dmf >many.txt
expect "processes keep what one does" diff -r one/runs many/runs
find many/runs -name '*.run' | sort | sed -n '2~3p' | xargs rm
touch -d 2000-01-01 many/runs/*
ranks 2 --threads 1 --out many kept.dmf >>many.txt
cat one.txt one.txt >twice.txt
expect "processes go on from what others have kept" diff twice.txt many.txt
expect "and keep what was missing" diff -r one/runs many/runs
made=$(find many/runs -newermt 2001-01-01 -name '*.run' | wc -l)
expect "that alone is made" test "$made" -gt 0 -a "$made" -lt "$(($(ls one/runs | wc -l) / 2))"
rm -r one/runs many

(cat problem.dmf; echo 'print sweep(dmft(net, fit, samples = 100).loss[8], fit.eta = [0.5, 100, 2000], failed = "stop")') >worse.dmf
"$DMF" worse.dmf 2>one.txt
for count in 2 3; do
  ranks $count worse.dmf 2>&1 | grep -E '^worse.dmf|^[ 0-9]*\|' >many.txt
  expect "$count processes say where a sweep fails" diff one.txt many.txt
done
expect "an error is told once" test "$(ranks 3 -e 'print nmae' 2>&1 | grep -c 'unknown name')" = 1
status_of() { ranks 2 "$@" >/dev/null 2>&1; echo $?; }
expect "the status is that of the script" test "$(status_of -e 'assert 1 > 2') $(status_of -e 'print 1')" = '4 0'
expect "a file that cannot be written" test "$(status_of -e 'save [1] to "/proc/none.npy"')" = 5
expect "a script from a pipe reaches one process alone" test "$(status_of - </dev/null) $(status_of -i </dev/null)" = '2 2'

# Two machines, one of which lacks a file: nobody waits for ever, and it is told once.
mkdir here there
(cat problem.dmf; echo 'x = csv("x.csv"); print dmft(net, fit, samples = 64).loss[8] + x[0]') | tee here/s.dmf >there/s.dmf
echo 1 >here/x.csv
for pair in 'here there' 'there here'; do
  read -r first second <<<"$pair"
  apart "$first" "$DMF" s.dmf -- "$second" "$DMF" s.dmf >many.txt 2>&1
  expect "one process that fails ends all with its status" test $? = 5
  expect "one process that fails says why" test "$(grep -c 'x.csv: No such file' many.txt)" = 1
done

# Files that differ between machines are told of, once, before anything is solved.
echo 2 >there/x.csv
sed 's/dmft(net/dmft(net with { gamma = x[0] }/' here/s.dmf | tee here/t.dmf >there/t.dmf
mixed() { # OPTIONS -- COMMAND: the options of the first, and the second, which is elsewhere
  local first=()
  while [ "$1" != -- ]; do first+=("$1") && shift; done
  apart here "$DMF" "${first[@]}" -- there "${@:2}" >many.txt 2>&1
}
mixed t.dmf -- "$DMF" t.dmf
expect "processes that read different files do not mix" test "$? $(grep -c 'do not all make the same call' many.txt)" = '1 1'
mixed "$PWD/problem.dmf" -- "$DMF" --set net.width=64 "$PWD/problem.dmf"
expect "what is not solved may differ" test $? = 0
# Another directory, locale and path for libraries change nothing; too little memory for one is too little for all.
"$DMF" --threads 1 --out one odd.dmf >one.txt 2>one.err
mixed --threads 1 --out one "$PWD/odd.dmf" -- env LC_ALL=de_DE.UTF-8 DMF_PATH=/nonexistent "$DMF" --threads 2 --out one "$PWD/odd.dmf"
expect "a process in another place computes the same" diff one.txt many.txt
(cat problem.dmf; echo 'print dmft(net, fit, samples = 60000).f') >large.dmf
mixed --threads 1 "$PWD/large.dmf" -- "$DMF" --threads 1 --memory 3M "$PWD/large.dmf"
expect "memory that one lacks ends all" test "$? $(grep -c 'large.dmf:.* error: ' many.txt)" = '6 1'
rm -r one
# Fewer members, points and runs than processes
(cat problem.dmf; cat) >few.dmf <<'END'
print simulate(net, fit, ensemble = 1).f, simulate(net, fit, ensemble = 2).var_f
print sweep(dmft(net, fit, samples = 64).loss[8], net.gamma = [0.5, 1])
print dmft(net with { layers = input -> 2 * dense(linear) -> readout }, fit).f, dmft(net, fit, samples = 32).f
END
"$DMF" --threads 1 few.dmf >one.txt 2>one.err
ranks 4 --threads 1 few.dmf >many.txt 2>many.err
expect "more processes than parts print what one does" diff one.txt many.txt

# One that cannot keep its runs is told of once, by the first, and all have their numbers.
rm -r here there
mkdir -p here/runs there
ln -s /proc/self there/runs
"$DMF" --threads 1 --out one kept.dmf >one.txt
apart here "$DMF" "$PWD/kept.dmf" -- there "$DMF" "$PWD/kept.dmf" >many.txt 2>many.err
expect "a process that keeps nothing computes" diff one.txt many.txt
expect "and is told of once a call" test "$(grep -c 'are not kept: ' many.err)" = 7

# What a signal to one process stops it stops in all, at one place: they have what a smaller ensemble has, and the
# message, and the status, of one process. mpirun hands on SIGUSR1.
at_work() { # FILE: the processes that run it
  for process in /proc/[0-9]*; do
    [ "$(readlink "$process/exe")" = "$(readlink -f "$DMF")" ] && grep -qs "$PWD/$1" "$process/cmdline" &&
      echo "${process#/proc/}"
  done
}
rank_of() { tr '\0' '\n' <"/proc/$1/environ" | sed -n 's/^OMPI_COMM_WORLD_RANK=//p'; }
# stopped SIGNAL COUNT WHO FILE OPTIONS...: as `ranks`, until so many runs of it are kept; WHO is a rank, or mpirun
stopped() {
  local signal=$1 count=$2 who=$3 file=$4 mpi process
  shift 4
  rm -rf runs
  ranks "$count" --threads 1 "$@" "$PWD/$file" >many.txt 2>many.err &
  mpi=$!
  until [ "$(ls runs 2>/dev/null | grep -c 'run$')" -ge $((2 * count + 2)) ] || ! kill -0 $mpi; do sleep 0.01; done
  if [ "$who" = mpirun ]; then
    kill -"$signal" $mpi
  else
    for process in $(at_work "$file"); do
      [ "$(rank_of "$process")" != "$who" ] || kill -"$signal" "$process"
    done
  fi
  wait $mpi
}
cat problem.dmf - >part.dmf <<'END'
nets = simulate(net, fit, ensemble = 100000, checkpoint = "runs")
save nets to "part.h5"
print nets.incomplete
print simulate(net, fit).f
END
cat problem.dmf - >same.dmf <<'END'
part = load("part.h5")
same = simulate(net, fit, ensemble = part.ensemble)
assert all(part.f == same.f) and all(part.stderr.var_ntk == same.stderr.var_ntk) and part.ensemble > 3
END
while read -r signal count who status; do
  stopped "$signal" "$count" "$who" part.dmf --partial
  expect "SIG$signal to $who of $count gives status $status" test $? = "$status"
  expect "SIG$signal to $who of $count leaves a smaller ensemble" "$DMF" same.dmf
  expect "SIG$signal to $who of $count is told of" test "$(grep -c 'interrupted: the result is of' many.err)" = 1
  expect "and ends with the next solver" test "$(grep -c 'error: interrupted' many.err) $(wc -l <many.txt)" = '1 1'
done <<<'TERM 1 0 143
INT 2 1 130
TERM 4 2 143
USR1 2 mpirun 130'
stopped TERM 3 1 part.dmf
expect "without --partial nothing is left" test "$? $(grep -c 'error: interrupted' many.err) $(wc -l <many.txt)" = '143 1 0'
rm -rf runs

# A process that is killed ends the others.
(cat problem.dmf; echo 'print simulate(net, fit with { steps = 100000 }, ensemble = 1000).loss[8]') >long.dmf
ranks 2 "$PWD/long.dmf" >/dev/null 2>&1 &
mpi=$!
until [ "$(at_work long.dmf | wc -l)" = 2 ] || ! kill -0 $mpi; do :; done
kill -KILL "$(at_work long.dmf | tail -n 1)"
wait $mpi
expect "the end of one process is the end of all" test $? != 0

echo "mpi: $passed passed, $failed failed"
[ "$failed" = 0 ]
