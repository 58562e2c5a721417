#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The command from outside: options, where scripts come from, exit statuses, standard streams.
set -u
DMF=${DMF:-$(cd "$(dirname "$0")/.." && pwd)/dmf}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1
export HOME=$scratch XDG_STATE_HOME=$scratch/state
passed=0
failed=0

# expect STATUS TEXT COMMAND: the status, and a piece of what it prints on either stream
expect() {
  local wanted=$1 text=$2 output status
  shift 2
  # 126 is of the shell: the system did not start the program
  for _ in 1 2 3 4 5; do
    output=$("$@" 2>&1 </dev/null)
    status=$?
    [ $status = 126 ] || [[ $output == *': Text file busy'* ]] || break
  done
  if [ "$status" = "$wanted" ] && [[ $output == *"$text"* ]]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    printf 'FAIL %s\n  status %s (%s wanted), printed:\n%s\n' "$*" "$status" "$wanted" \
      "$(sed 's/^/  | /' <<<"$output")"
  fi
}
shell() { bash -c "$1" dmf "$DMF"; }

# No test waits for a time: what a test needs next shows in the output, the file "screen", or in a file.
# awaited PROCESS COMMAND...: until the command succeeds, or the process is gone or hangs (ten minutes)
awaited() {
  local process=$1
  shift
  for ((try = 0; try < 30000; try++)); do
    "$@" && return
    kill -0 "$process" 2>/dev/null || return
    sleep 0.02
  done
}
shown() { tail -c +$(($1 + 1)) screen | grep -qF -e "$2"; } # shown OFFSET TEXT
# interrupted EVENT COMMAND...: sends SIGINT, or $signal, once the event, a command, succeeds
interrupted() {
  local event=$1 process status
  shift
  : >screen
  "$@" >screen 2>&1 &
  process=$!
  awaited $process $event
  kill -${signal:-INT} $process
  wait $process
  status=$?
  cat screen
  return $status
}

echo 'print 1 + 1' >two.dmf
echo 'print 1 +* 1' >syntax.dmf
echo 'assert 1 > 2, "no"' >assert.dmf
echo 'print "the check"' >check
cat >problem.dmf <<'END'
dataset d { inputs = [[1, 0], [0, 1]]; targets = [1, -1] }
model net { layers = input -> dense(tanh) -> readout; gamma = 1; width = 64 }
training fit { dataset = d; optimizer = gd(eta = 0.1); steps = 2 }
print dmft(net, fit, samples = 64).t
END
cat >long.dmf <<'END'
dataset d { inputs = sphere(points = 20, dim = 30, seed = 1); targets = sphere(points = 1, dim = 20)[0] }
model net { layers = input -> 4 * dense(tanh) -> readout }
training fit { dataset = d; optimizer = gd(eta = 0.1); steps = 500 }
print "started"
print dmft(net, fit, samples = 4000).loss[500]
END
echo 'function f(n) = if n < 1 then 1 else f(n - 1) + f(n - 1); print "started"; print f(60)' >recurse.dmf
mkfifo pipe.dmf

# Where a script comes from
expect 0 2 "$DMF" two.dmf
expect 0 2 "$DMF" -e 'print 1 + 1'
expect 0 2 shell 'echo "print 1 + 1" | "$1"'
expect 0 2 shell 'echo "print 1 + 1" | "$1" -'
expect 0 "the check" "$DMF" ./check
expect 0 3 "$DMF" -e 'x = 1' -e 'print x + 2'
expect 0 '' "$DMF" /dev/null

# Options
expect 0 'Usage: dmf' "$DMF" --help
expect 0 'dmf 0.' "$DMF" --version
expect 2 "did you mean '--json'" "$DMF" --jsom two.dmf
expect 2 'unknown option' "$DMF" --vers
expect 2 'unknown option' "$DMF" -Z
expect 2 'takes no argument' "$DMF" --json=1 two.dmf
expect 0 '= 2' "$DMF" --partial two.dmf
# Processes of a launcher that this dmf cannot join would each do everything.
expect 2 'one of several processes (PMI_SIZE=3), but' \
  env PMI_SIZE=3 ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" "$DMF" two.dmf # leaks of MPI are not ours
expect 0 '= 2' env PMI_SIZE=1 "$DMF" two.dmf
expect 2 'one of several processes (SLURM_STEP_NUM_TASKS=2), but' \
  env SLURM_STEP_NUM_TASKS=2 ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" "$DMF" two.dmf
expect 0 '= 2' env PMI_SIZE=1 SLURM_STEP_NUM_TASKS=2 "$DMF" two.dmf
expect 130 interrupted interrupted 'shown 0 started' "$DMF" --partial recurse.dmf
expect 2 'needs an argument' "$DMF" two.dmf --set
expect 2 'whole number' "$DMF" --seed x two.dmf
expect 2 '--threads' "$DMF" --threads 0 two.dmf
expect 2 '--memory' "$DMF" --memory 4X two.dmf
expect 2 '--memory' "$DMF" --memory -1 two.dmf
expect 2 '--memory' "$DMF" --memory 0 two.dmf
expect 2 '--memory' "$DMF" --memory 0x10000000 two.dmf
expect 6 'free under --memory' "$DMF" --memory 100M -e 'print sum(zeros(2e7))'
expect 0 '= 0' "$DMF" --memory 100G -e 'print sum(zeros(2e7))'
expect 6 'out of memory: this takes' "$DMF" --memory 1k problem.dmf
expect 6 'are free under --memory' "$DMF" --set fit.steps=1e9 --memory 100M problem.dmf
cat >recorded.dmf <<'END'
dataset d { inputs = reshape(gaussian(3, 4, seed = 1), [3, 4, 1]); targets = [1, -1, 1] }
model net { layers = input -> embed -> block -> flatten -> readout }
training fit { dataset = d; optimizer = gd(eta = 0.1); steps = 4 }
theory = dmft(net, fit, samples = 64)
print fluctuations(theory).samples
END
expect 0 'out of memory' shell '"$1" --memory 1G recorded.dmf 2>&1 | grep -E "this takes [0-9]+ bytes \([0-3]\.[0-9]+ GB\)"'
expect 1 'is given twice' shell '{ printf "training t { optimizer = sign(eta = 0.1"; yes ", 1" | head -n 1200000; echo "); steps = 1 }"; } >many.dmf; "$1" many.dmf'
expect 5 'too large for a script' shell '"$1" </dev/zero'
expect 2 '--color' "$DMF" --color red two.dmf
expect 2 'one script at a time' "$DMF" two.dmf assert.dmf
expect 2 "did you mean 'check'" "$DMF" chekc two.dmf
expect 2 'which one' "$DMF" -e 'print 1' two.dmf
expect 2 'needs a file' "$DMF" check
expect 2 '--latex goes with' "$DMF" --latex two.dmf
expect 0 '"shape": []' "$DMF" two.dmf --json
expect 0 '"shape": []' "$DMF" --json two.dmf
expect 0 '"shape": [3]' "$DMF" problem.dmf --json
expect 0 '"shape": [6]' "$DMF" problem.dmf --json --set fit.steps=5 --seed 3 --threads 2 --quiet
expect 2 "did you mean 'gamma'" "$DMF" problem.dmf --set net.gama=2
expect 2 'fut' "$DMF" problem.dmf --set fut.steps=2
expect 1 '' "$DMF" problem.dmf --set net.gamma=-1
expect 0 "a.csv" shell '"$1" --out made/here -e "save [1, 2] to \"a.csv\"" && ls made/here'
mkdir -p old other
"$DMF" --out old -e 'save zeros(5) to "x.npy"; save [1, 2] to "old.npy"'
expect 0 'shape [2]' "$DMF" --out old -e 'save zeros(2) to "x.npy"; y = npy("x.npy"); print y + [1, 1]'
expect 0 'shape [2]' "$DMF" --out old -e 'print npy("old.npy")'
echo 'print csv("mine.csv")[1]' >other/script.dmf
echo '1,2' >mine.csv
printf 'a\n3\n4\n' >other/mine.csv
expect 0 '= 4' "$DMF" other/script.dmf
expect 0 'remark: other/mine.csv: the first line is taken for the names of the columns: a' \
  "$DMF" check other/script.dmf
expect 0 '"severity": "remark"' "$DMF" check --json other/script.dmf
expect 0 1 shell '"$1" other/script.dmf 2>&1 | grep -c remark:'
expect 1 $'\e[' "$DMF" --color always syntax.dmf
expect 0 'dmft: 1 of ' "$DMF" --threads 1 --progress lines problem.dmf
expect 0 none shell '"$1" problem.dmf 2>&1 >/dev/null | grep . || echo none'
expect 0 none shell '"$1" --progress lines --quiet problem.dmf 2>&1 >/dev/null | grep . || echo none'
expect 2 '--progress is' "$DMF" --progress bar problem.dmf
expect 0 none shell '"$1" --color auto syntax.dmf 2>&1 | grep -q $(printf "\\033") || echo none'

# Commands
expect 0 '' "$DMF" check problem.dmf
cp syntax.dmf $'a\e[31m\nb.dmf'
expect 1 'a?[31m?b.dmf:1:' "$DMF" $'a\e[31m\nb.dmf'
rm $'a\e[31m\nb.dmf'
printf 'print "a\x9b31m\xc2\x9bz"\n' >bytes.dmf
expect 1 '| print "a?31m??z"' "$DMF" bytes.dmf
expect 1 'error' "$DMF" check syntax.dmf
expect 0 '' "$DMF" check assert.dmf
mkdir -p broken/std && echo 'x = 1 +* 2' >broken/std/prelude.dmf
expect 1 "prelude.dmf:1:8: error: expected a value, found '*'" env DMF_PATH=broken "$DMF" two.dmf
expect 0 'tanh' "$DMF" ir problem.dmf
# What ir prints is a script: the programs of models and systems give the numbers that they give.
cat >models.dmf <<'EOF'
import "std/systems.dmf"
x = gaussian(7, 4, seed = 1)
images = reshape(gaussian(6, 12, seed = 1), 6, 6, 2)
dataset d { inputs = x[0:5]; targets = [1, -1, 1, 1, -1]; test_inputs = x[5:7]; test_targets = [1, -1] }
dataset c { inputs = x[0:5]; targets = one_hot([0, 1, 2, 0, 1], 3) }
dataset i { inputs = images[0:4]; targets = [1, -1, 1, -1]; test_inputs = images[4:6] }
model dense_net { layers = input -> dense(linear, sigma_w = 0.8, sigma_b = 0.3) -> dense(linear, width = 2) -> readout; gamma = 1.5 }
model bent { layers = input -> dense(tanh, rate = 0.5) -> dense(tanh) -> readout; gamma = 1.5 }
model images_net { layers = input -> conv(linear) -> conv(linear, stride = 2, padding = "zero") -> pool() -> readout; gamma = 1 }
model seer { layers = input -> embed() -> attention(heads = 2) -> pool() -> readout; gamma = 1 }
training falls { dataset = d; optimizer = gd(eta = 0.2 * 0.9^(0..7)); steps = 8 }
training rolls { dataset = d; optimizer = nesterov(eta = 0.1, beta = 0.7); weight_decay = 0.2; steps = 8 }
training sorts { dataset = c; optimizer = gd(eta = 0.3); loss = cross_entropy; steps = 6 }
training draws { dataset = d; optimizer = sgd(eta = 0.3, batch = 2, seed = 3); steps = 8 }
training sees { dataset = i; optimizer = gd(eta = 0.3); steps = 4 }
training adapts { dataset = d; optimizer = adam(eta = 0.1); steps = 4 }
drive = [0.5, 1, -1, 2, 0.25, 1]
system driven {
  population cells
  state x = normal(cells)
  rows = normal(cells, 3)
  step {
    observe m = dot(rows[t / 2], x)
    x = tanh(x + drive[t] * (rows[0] + rows[1]))
  }
}
t0 = dmft(dense_net, falls)
t1 = dmft(dense_net, rolls)
t2 = dmft(bent, draws, samples = 16000)
t3 = dmft(images_net, sees)
t4 = dmft(seer, sees, samples = 4000)
t5 = dmft(committee, steps = 6, samples = 2000)
t6 = dmft(dense_net, sorts)
t7 = dmft(driven, steps = 6, samples = 2000)
EOF
"$DMF" ir models.dmf | sed 's/^system \([a-z_0-9]*\) {/system p_\1 {/' | cat models.dmf - >again.dmf
cat >>again.dmf <<'EOF'
r0 = dmft(p_dense_net, steps = 9)
r1 = dmft(p_dense_net_2, steps = 9)
r2 = dmft(p_bent, steps = 9, samples = 16000)
r3 = dmft(p_images_net, steps = 5)
r4 = dmft(p_seer, steps = 5)
r5 = dmft(p_committee, steps = 6, samples = 2000)
r6 = dmft(p_dense_net_3, steps = 7)
r7 = dmft(p_driven, steps = 6, samples = 2000)
assert max(abs(r0.f - t0.f)) < 1e-10 and max(abs(r0.ntk - t0.ntk)) < 1e-10 and max(abs(r0.f_test - t0.f_test)) < 1e-10
assert max(abs(r1.f - t1.f)) < 1e-10 and max(abs(r1.alignment2 - t1.alignment[2])) < 1e-10
z = abs(r2.f - t2.f)[1:] / sqrt(r2.stderr.f^2 + t2.stderr.f^2)[1:]
assert max(z) < 4.5 and sqrt(mean(z^2)) < 2 and max(r2.stderr.f) < 0.01
assert max(abs(r3.f - t3.f)) < 1e-10 and max(abs(r3.Phi1[4] - t3.Phi[1][4, :, 4, :])) < 1e-10
assert r4.exact == 1 and max(abs(r4.loss - t4.loss)) < 1e-3 and abs(r4.loss[4] - r4.loss[0]) > 0.1
assert max(abs(r5.train - t5.train)) < 1e-12 and max(abs(r6.f - t6.f)) < 1e-10
assert max(abs(r7.m - t7.m)) < 1e-12 and abs(t7.m[2]) > 0.1
print "the same"
EOF
expect 0 'the same' "$DMF" again.dmf
cat >systems.dmf <<'EOF'
import "std/systems.dmf"
r = dmft(sompolinsky, steps = 20, samples = 800)
s = simulate(sompolinsky, steps = 20, size = 50)
EOF
# Fluctuations are planned where they are called, and their fields where they are first asked for.
cat >noise.dmf <<'EOF'
import "std/systems.dmf"
dataset d { inputs = sphere(points = 2, dim = 12, seed = 1); targets = [1, -1] }
model net { layers = input -> 2 * dense(tanh) -> readout; width = 32 }
training descent { dataset = d; optimizer = gd(eta = 0.3); steps = 3 }
training signs { dataset = d; optimizer = signum(0.01); steps = 3 }
theory = dmft(net, descent, samples = 256)
noise = fluctuations(theory, samples = 1024)
chaotic = fluctuations(dmft(sompolinsky, steps = 8, samples = 800), samples = 800)
print noise.flops, chaotic.flops
EOF
cp noise.dmf planned.dmf
cat >>planned.dmf <<'EOF'
measured = fluctuations(dmft(net, signs, samples = 256), samples = 4096)
print noise.var_ntk[1], noise.var_ntk[2], at(theory, noise, 64).loss[1]
EOF
expect 0 'Gflop' shell '"$1" plan planned.dmf >plan.txt && cat plan.txt' "$DMF"
expect 0 '' shell 'for at in "7: fluctuations" "8: fluctuations" "10: fluctuations" "11: var_ntk" "11: mean_shift_f"; do
    [ "$(grep -c "^planned.dmf:$at .* MB .* Gflop .* s$" plan.txt)" = 1 ] || exit 1
  done
  [ "$(wc -l <plan.txt)" = 9 ]'
expect 0 'the same' shell '"$1" noise.dmf | tr -d "," >counted.txt
  awk "NR == 1 { n[1] = \$3; n[2] = \$6 } NR > 1 && / fluctuations / { planned[++k] = \$5 * 1e9 }
    END { for (i = 1; i <= 2; i++) off += !(n[i] > 0 && (planned[i] / n[i] - 1)^2 < 0.01)
          print off ? \"off\" : \"the same\" }" counted.txt plan.txt' "$DMF"
# What else is asked of fluctuations is planned; of two-time fields more is read, the later it is. The steps are so few
# that trials come to the last, however slow the program is.
cat >asked.dmf <<'EOF'
system cells {
  population all
  matrix J : all -> all (symmetry = 0.5)
  state x = normal(all)
  step { observe C = two_time(x); observe D = two_time(x, tanh(x)); x = 0.9 * x + 0.2 * (J @ tanh(x)) }
}
theory = dmft(cells, steps = 12, samples = 256)
noise = fluctuations(theory, samples = 512)
both = covariance(noise, "C", "D")
one = fluctuations(theory, samples = 512, of = mean(theory.D[9:]) / theory.C[11, 11])
print noise.flops
EOF
expect 0 '' shell '"$1" plan asked.dmf >plan.txt
  for at in "8: fluctuations" "9: covariance" "10: fluctuations"; do
    [ "$(grep -c "^asked.dmf:$at .* MB .* Gflop .* s$" plan.txt)" = 1 ] || exit 1
  done' "$DMF"
expect 0 'the same' shell '"$1" asked.dmf | cat - plan.txt | awk "NR == 1 { n = \$3 }
    / fluctuations / && !planned { planned = \$5 * 1e9 }
    END { fine = n > 0 && (planned / n - 1)^2 < 0.02; print fine ? \"the same\" : \"off\" }"' "$DMF"
expect 0 'systems.dmf:2: dmft' "$DMF" plan systems.dmf
expect 0 'systems.dmf:3: simulate' "$DMF" plan systems.dmf
{ cat models.dmf; echo 'a = dmft(bent, adapts)'; } >adapts.dmf
expect 0 '# as a system it cannot be written: its matrices move entry by entry' "$DMF" ir adapts.dmf
expect 0 'Tangent kernel' "$DMF" equations problem.dmf
# To second order h^2 has the square of the first and twice the product with the second.
cat >square.dmf <<'EOF'
dataset d { gram = [[1]]; targets = [1] }
model net { layers = input -> dense(function(h) = h^2) -> readout }
training falls { dataset = d; optimizer = gd(eta = 0.1); steps = 2 }
print dmft(net, falls, closure = "perturbative").f
EOF
expect 0 '= 2*h¹⁽⁰⁾*h¹⁽²⁾ + h¹⁽¹⁾^2' "$DMF" equations square.dmf
expect 0 'γ = 3' "$DMF" equations problem.dmf --set net.gamma=3
expect 0 '' "$DMF" equations two.dmf
expect 1 'syntax.dmf:1:' "$DMF" equations syntax.dmf
cat >planned.dmf <<'EOF'
dataset d { inputs = sphere(points = 3, dim = 12, seed = 1); targets = [1, -1, 1] }
model net { layers = input -> 2 * dense(tanh) -> readout; width = 32 }
training descent { dataset = d; optimizer = gd(eta = 0.3); steps = 4 }
training stream { dataset = d; optimizer = flow(eta = 0.3, dt = 0.5); steps = 4 }
curves = sweep(dmft(net, descent, samples = 256).loss, net.gamma = [0.5, 1, 2])
nets = simulate(net, descent, ensemble = 4)
lazy = dmft(net, descent, closure = "ntk")
linear = dmft(net with { layers = input -> 3 * dense(linear) -> readout }, descent)
flows = [dmft(net, stream).loss, simulate(net, stream).loss]
print nets.loss
EOF
expect 0 'Gflop' shell '"$1" plan planned.dmf >plan.txt && cat plan.txt' "$DMF"
expect 0 '' shell 'grep -q "^planned.dmf:5: dmft .* MB .* Gflop .* s, 3 times$" plan.txt &&
  grep -q "^planned.dmf:6: simulate .* MB .* Gflop .* s$" plan.txt &&
  grep -q "^planned.dmf:7: dmft .* MB$" plan.txt && grep -q "^planned.dmf:8: dmft .* Gflop" plan.txt &&
  [ "$(grep -c "^planned.dmf:9: .* Gflop" plan.txt)" = 2 ] &&
  grep -q "^in all .* Gflop, .* s$" plan.txt && [ "$(wc -l <plan.txt)" = 7 ]'
sed 's/samples = 256/error = 0.001/; s/closure = "ntk"/&, error = 0.001/' planned.dmf >sought.dmf
expect 0 '' shell '"$1" plan sought.dmf >plan.txt && [ "$(grep -c "more until" plan.txt)" = 1 ] &&
  grep -q "^sought.dmf:5: dmft .* s, 3 times, more until the error is 0.001$" plan.txt' "$DMF"
expect 1 'syntax.dmf:1:' "$DMF" plan syntax.dmf
expect 0 '\end{document}' "$DMF" equations --latex problem.dmf
if command -v pdflatex >/dev/null; then
  cat >every.dmf <<'END'
activation bend(h) = if h > 1 then tanh(h)/2 + exp(-h^2) else erf(h)*sqrt(abs(h)) - log(1 + h^2)/1e7
dataset d_1 { inputs = sphere(points = 4, dim = 5); targets = [[1, 0], [0, 1], [1, 0], [0, 1]]; test_inputs = sphere(points = 2, dim = 5, seed = 1) }
model net_1 { layers = input -> dense(bend, sigma_b = 0.5, sigma_w = 2) -> dense(relu, rate = 2) -> dense(linear, train = false) -> readout }
activation even(h) = exp(-h^2) + erf(h)/sqrt(1 + h^2)
model smooth { layers = input -> dense(even, sigma_b = 0.5) -> dense(tanh, rate = 2) -> dense(linear, train = false) -> readout }
training descent { dataset = d_1; optimizer = gd(eta = [1, 2, 3]); steps = 3 }
training flow_1 { dataset = d_1; optimizer = flow(eta = 1, dt = 0.1); steps = 3 }
for rule in [descent, flow_1] {
  x = dmft(net_1, rule)
  x = dmft(net_1, rule, closure = "ntk")
  x = dmft(smooth, rule, closure = "perturbative")
  x = dmft(net_1, rule, closure = "gradient_independence")
}
END
  expect 0 'Output written' shell '"$1" equations --latex every.dmf >every.tex &&
    pdflatex -halt-on-error -interaction=nonstopmode every.tex'
fi

# For editors
printf 'x = 1\nx = nam\n' >name.dmf
expect 1 '"line": 2, "column": 5, "end_line": 2, "end_column": 8, "severity": "error"' \
  "$DMF" check --json name.dmf
expect 1 name.dmf shell '"$1" check --json name.dmf 2>&-'
expect 0 '' "$DMF" check --json two.dmf
frame() { printf 'Content-Length: %d\r\n\r\n%s' ${#1} "$1"; }
served() { # served MESSAGE...: what the language server answers, between initialize and exit
  (frame '{"id": 1, "method": "initialize", "params": {}}'
   for message; do frame "$message"; done
   frame '{"id": 2, "method": "shutdown"}'; frame '{"method": "exit"}') | "$DMF" lsp
}
opened='{"method": "textDocument/didOpen", "params": {"textDocument": {"uri": "file:///a", "text": "x=nam\nprint dense"}}}'
at='"textDocument": {"uri": "file:///a"}, "position": {"line": 1, "character": 8}'
expect 0 '"serverInfo":{"name":"dmf"' served
expect 0 '"start":{"line":0,"character":2},"end":{"line":0,"character":5}' served "$opened"
expect 0 'fully connected layer' served "$opened" '{"id": 3, "method": "textDocument/hover", "params": {'"$at"'}}'
expect 0 '"label":"dense"' served "$opened" '{"id": 3, "method": "textDocument/completion", "params": {'"$at"'}}'
place='"textDocument": {"uri": "file:///b"}, "position": {"line": 0, "character"'
begun='{"method": "textDocument/didOpen", "params": {"textDocument": {"uri": "file:///b", "text": "own_name=1; own_; model m { ga; a = dense("}}}'
shown='{"method": "textDocument/didOpen", "params": {"textDocument": {"uri": "file:///b", "text": "function own(x) = 2*x # twice\nown(1)"}}}'
expect 0 'own(x)  -- of this script\n    twice' served "$shown" '{"id": 3, "method": "textDocument/hover", "params": {'"$place"': 10}}}'
# names: where they are defined and used, other ones for them, what a text defines
named='{"method": "textDocument/didOpen", "params": {"textDocument": {"uri": "file:///c", "text": "function own(x, k = 2) = k * x\ny = own(1)\nprint y, [y for y in 1..3], own(y, k = 3), theory.los\ntheory = 1"}}}'
asks() { # asks METHOD LINE CHARACTER [MORE]: about the text above
  served "$named" '{"id": 3, "method": "textDocument/'"$1"'", "params": {"textDocument": {"uri": "file:///c"}, "position": {"line": '"$2"', "character": '"$3}${4:-}"'}}' |
    tr '\r' '\n' | grep '"id":3'
}
spot() { printf '{"start":{"line":%d,"character":%d},"end":{"line":%d,"character":%d}}' "$1" "$2" "$1" "$3"; }
expect 0 "[{\"uri\":\"file:///c\",\"range\":$(spot 0 9 12)}]" asks definition 2 29
expect 0 "[{\"uri\":\"file:///c\",\"range\":$(spot 1 0 1)}]" asks definition 2 6
expect 0 "[{\"uri\":\"file:///c\",\"range\":$(spot 2 16 17)}]" asks definition 2 10
expect 0 '"result":null' asks definition 2 52
expect 0 "$(spot 2 6 7)},{\"uri\":\"file:///c\",\"range\":$(spot 2 32 33)" asks references 1 0 ', "context": {"includeDeclaration": false}'
expect 0 "\"range\":$(spot 2 10 11),\"newText\":\"each\"" asks rename 2 16 ', "newName": "each"'
expect 0 'this cannot be a name' asks rename 2 16 ', "newName": "for"'
expect 0 'there is no name of this text' asks rename 0 2 ', "newName": "a"'
expect 0 '"name":"own","kind":12' asks documentSymbol 0 0
expect 0 '"data":[0,9,3,2,1,0,4,1,1,1,0,3,1,1,1,' asks semanticTokens/full 0 0
expect 0 '"activeParameter":1' asks signatureHelp 2 35
expect 0 '"label":"own(x, k = 2)"' asks signatureHelp 2 35
corrected='"context": {"diagnostics": [{"message": "unknown\ndid you mean '"'loss'"'?", "range": '$(spot 2 40 43)'}]}'
expect 0 '"newText":"loss"' asks codeAction 0 0 ", $corrected"
system='{"method": "textDocument/didOpen", "params": {"textDocument": {"uri": "file:///c", "text": "system s {\n  g = 2\n  population a, b = g\n  matrix J, K : a -> b (sigma = g)\n  state x = normal(a)\n  step {\n    y = J @ x\n    observe m = mean(y)\n    x = tanh(K'"'"' @ y)\n  }\n}\nm = dmft(s, steps = 2).m"}}}'
within() { served "$system" '{"id": 3, "method": "textDocument/'"$1"'", "params": {"textDocument": {"uri": "file:///c"}, "position": {"line": '"$2"', "character": '"$3"'}}}' | tr '\r' '\n' | grep '"id":3'; }
below() { within documentSymbol 0 0 | grep -o '"name":"[^"]*","kind":[0-9]*' | tr '\n' ' '; }
expect 0 '"name":"s","kind":5 "name":"g","kind":13 "name":"a","kind":10 "name":"b","kind":10 "name":"J","kind":18 "name":"K","kind":18 "name":"x","kind":13 "name":"y","kind":13 "name":"m","kind":7 "name":"m","kind":13 ' below
expect 0 '"value":"matrix J, K : a -> b (sigma = g)"' within hover 6 8
expect 0 '"value":"population a, b = g"' within hover 4 19
expect 0 '"value":"state x = normal(a)"' within hover 6 12
expect 0 '"value":"observe m = mean(y)"' within hover 7 12
expect 0 '"value":"g = 2"' within hover 2 20
expect 0 'hyperbolic tangent' within hover 8 9
learned='{"method": "textDocument/didOpen", "params": {"textDocument": {"uri": "file:///b", "text": "dataset d { inputs = [[1]]; targets = [1] }\nmodel m { layers = input -> dense(tanh) -> readout }\ntraining t { dataset = d; optimizer = gd(1); steps = 1 }\nr = dmft(m, t)\nprint r."}}}'
offered() { served "$learned" '{"id": 3, "method": "textDocument/completion", "params": {"textDocument": {"uri": "file:///b"}, "position": {"line": 4, "character": 8}}}'; }
expect 0 '"label":"loss"' offered
broken='{"method": "textDocument/didOpen", "params": {"textDocument": {"uri": "file://'$PWD'/b", "text": "x = = 2 # nothing\ndataset d { inputs = [[1]]; targets = [1] }\nmodel m { layers = input -> dense(tanh) -> readout }\ntraining t { dataset = d; optimizer = gd(1); steps = 1 }\nr = dmft(m, t)\nprint r.\ny = csv(\"\nprint not\nprint r.loss"}}}'
beside='"textDocument": {"uri": "file://'$PWD'/b"}, "position":'
echo 1 >beside.csv
expect 0 '[{"label":"t","kind"' served "$broken" '{"id": 3, "method": "textDocument/completion", "params": {'"$beside"' {"line": 5, "character": 8}}}'
expect 0 '"label":"beside.csv"' served "$broken" '{"id": 3, "method": "textDocument/completion", "params": {'"$beside"' {"line": 6, "character": 9}}}'
expect 0 '"result":[{"label":"not",' served "$broken" '{"id": 3, "method": "textDocument/completion", "params": {'"$beside"' {"line": 7, "character": 9}}}'
expect 0 '"value":"loss = mse  -- Keys of a training' served "$broken" '{"id": 3, "method": "textDocument/hover", "params": {'"$beside"' {"line": 8, "character": 10}}}'
unoffered() { ! offered | grep -q '"label":"\(var_f\|f_test\|steps_of\)"'; }
expect 0 '' unoffered
expect 0 '"label":"own_name"' served "$begun" '{"id": 3, "method": "textDocument/completion", "params": {'"$place"': 16}}}'
expect 0 '"label":"sigma_w = "' served "$begun" '{"id": 3, "method": "textDocument/completion", "params": {'"$place"': 42}}}'
expect 0 '"result":[{"label":"gamma"' served "$begun" '{"id": 3, "method": "textDocument/completion", "params": {'"$place"': 30}}}'
expect 0 '"newText":"x = nam\nprint dense\n"' served "$opened" '{"id": 3, "method": "textDocument/formatting", "params": {'"$at"'}}'
expect 0 -32601 served '{"id": 3, "method": "nothing/ofThisName"}'
# Every place gets an answer, also where the text has none; columns count UTF-16 units
answered() { served "$@" | grep -c '"id":"q'; }
for text in '' 'print 1' 'a.' 'print \"' '((((' '\ud83d\ude00 \ud83d = x\r\nprint nam' 'a\u0000b'; do
  questions=('{"method": "textDocument/didOpen", "params": {"textDocument": {"uri": "u", "text": "'"$text"'"}}}')
  for line in 0 1 5 -1 4294967296 0.5 '"0"'; do
    for character in 0 1 99 -1 9223372036854775807 null; do
      for method in hover completion; do
        questions+=('{"id": "q'${#questions[@]}'", "method": "textDocument/'$method'", "params":
          {"textDocument": {"uri": "u"}, "position": {"line": '"$line"', "character": '"$character"'}}}')
      done
    done
  done
  expect 0 84 answered "${questions[@]}"
done
wide='{"method": "textDocument/didOpen", "params": {"textDocument": {"uri": "u", "text": "s = \"\ud83d\ude00\"; print nam\r\nprint nix"}}}'
expect 0 '"start":{"line":0,"character":16},"end":{"line":0,"character":19}' served "$wide"
expect 0 '"start":{"line":1,"character":6},"end":{"line":1,"character":9}' served "$wide"
expect 0 '"id":3,"error":{"code":-32600' served '{"id": 2, "method": "shutdown"}' '{"id": 3, "method": "initialize"}'
expect 0 '"id":null,"error":{"code":-32700' served '{"id": 3'
expect 0 '"id":null,"error":{"code":-32600' served '[1]'
expect 0 '"id":null,"error":{"code":-32600' served '{"id": {}, "method": "shutdown"}'
expect 0 '"id":7,"result":null' shell '(printf "Content-Length: 300000000\r\n\r\n"; head -c 300000000 /dev/zero
  printf "Content-Length: 29\r\n\r\n"; echo "{\"id\": 7,\"method\":\"shutdown\"}") | "$1" lsp'
expect 2 '' shell 'printf "Content-Length: 17\r\n\r\n{\"method\":\"exit\"}" | "$1" lsp'

# What a killed process left of a file goes away with the next one of this name; what a process writes stays
true & gone=$!
wait $gone
left() { touch "left.npy.$(uname -n)-$gone-0.tmp" "left.npy.$(uname -n)-$$-0.tmp" "left.npy.elsewhere-$gone-0.tmp" "left.npy.x.tmp" &&
  "$DMF" -e 'save [1] to "left.npy"' && ls left.npy* | wc -l && ! ls | grep -F "$(uname -n)-$gone-0"; }
expect 0 4 left
rm left.npy*

# A label keeps to its line, and the settings of the user to other pictures
labelled() { "$DMF" -e "plot curve([1, 2], [3, 4], label = \"$1\"), title = \"$1\", xlabel = \"$1\" to \"label.txt\"" && cat label.txt; }
expect 0 "$(labelled 'a b')" labelled 'a\nb'
expect 0 "$(labelled 'a b')" labelled 'a\tb'
if command -v gnuplot >/dev/null; then
  echo 'set output "stolen"' >.gnuplot
  expect 0 '<svg' shell '"$1" -e "plot [1, 2] to \"own.svg\"" && cat own.svg && ! cat stolen'
  rm .gnuplot
  expect 0 '<svg' shell 'trap "" CHLD; "$1" -e "plot [1, 2] to \"alone.svg\"" && cat alone.svg' # who waits for no child
fi

# Layout
printf 'x=1 # one\n' >loose.dmf
printf 'x = 1  # one\n' >neat.dmf
expect 0 'x = 1  # one' "$DMF" fmt loose.dmf
expect 0 'x = 1  # one' shell '"$1" fmt - <loose.dmf'
expect 1 'loose.dmf is not' "$DMF" fmt --check neat.dmf loose.dmf
expect 0 '' shell 'chmod 640 loose.dmf && "$1" fmt -i loose.dmf neat.dmf && cmp loose.dmf neat.dmf'
expect 0 640 stat -c %a loose.dmf
expect 0 '' "$DMF" fmt --check neat.dmf loose.dmf
expect 1 'syntax.dmf:1:' "$DMF" fmt -i syntax.dmf
expect 0 '+* 1' cat syntax.dmf
expect 5 'missing.dmf' "$DMF" fmt missing.dmf
expect 2 '--check goes with' "$DMF" --check neat.dmf
expect 2 'does not go with' "$DMF" check -i neat.dmf

# Help
expect 0 'strength of feature learning' "$DMF" help gamma
expect 0 'strength of feature learning' "$DMF" help γ
expect 0 'import "std/observables.dmf"' "$DMF" help effective_rank
expect 0 'normal below h' "$DMF" help gelu
expect 0 'readout, dense, residual' "$DMF" help sigma_w
expect 0 'preactivations' "$DMF" help
expect 2 "did you mean 'gamma'" "$DMF" help gama
expect 2 '--reference' "$DMF" --reference book
expect 0 'function dmft' "$DMF" --reference words

# Options of pictures are in the script that draws them, which is a picture, too
echo 'plot [[0, 1], [2, 3]], colors = "magma", zlim = [0, 2], panel = "", [[0, 1], [1, 0]], colors = "diverging" to "colors.gp"' >colors.dmf
expect 0 "defined (0 '#000004'" shell '"$1" colors.dmf && cat colors.gp' "$DMF"
expect 0 'set cbrange [0:2]' cat colors.gp
expect 0 "defined (0 '#053061'" cat colors.gp
expect 0 'set cbrange [-1:1]' cat colors.gp
expect 0 'set yrange [0:2]' shell '"$1" -e "plot [1, 2], ylim = [0, 2] to \"options.gp\"" && cat options.gp'
# Data that are not beside the script are in a directory of DMF_DATA.
mkdir -p stock
echo 3 >stock/far.csv
expect 0 '= 3' env DMF_DATA=nowhere:stock "$DMF" -e 'print csv("far.csv")[0]'
echo 4 >far.csv
expect 0 '= 4' env DMF_DATA=nowhere:stock "$DMF" -e 'print csv("far.csv")[0]'
expect 5 'None.csv: No such file' env DMF_DATA=stock "$DMF" -e 'print csv("None.csv")'
# On a logarithmic axis points are as far apart as lines need them, and what is at 0 is not on it.
expect 0 '31 points' shell '"$1" -e "system s { population a; state x = normal(a); step { observe m = 2 + mean(x); x = normal(a) } }" \
  -e "plot simulate(s, steps = 400, size = 9, ensemble = 2).m, logx = true to \"options.gp\"" &&
  echo "$(sed -n "/^.curve0 <</,/^EOD/p" options.gp | grep -c "^ [1-9]") points"'
expect 0 '($2+$3)>3?3:($2+$3)' shell '"$1" -e "plot curve([1, 2], [1, 2], [5, 5]), ylim = [0, 3] to \"options.gp\"" && cat options.gp'
# a sweep whose values are so has a logarithmic axis, its only family no other name, its map any shape and colours
cat >swept.dmf <<'END'
w = 1
k = 1
grid   = sweep(w / k - 1, w = [1, 2, 8, 16], k = [1, 10, 100])
plot grid, by = "w" to "by.gp"
plot grid, by = "w", logx = false to "even.gp"
plot grid[:, 0:2], logz = true to "map.gp"
plot grid, zlim = [0, 1] to "map.txt"
END
expect 0 "title 'w = 2'" shell '"$1" swept.dmf && cat by.gp' "$DMF"
expect 0 "set ylabel 'grid'" cat by.gp
expect 0 'set logscale x' cat by.gp
expect 1 '' grep -q '^set logscale' even.gp
expect 0 'set logscale cb' cat map.gp
expect 0 $'\n NaN NaN\n' cat map.gp
expect 0 'set size noratio' cat map.gp
expect 0 '@@' cat map.txt
expect 0 'size = 0.5' cat map.gp
expect 0 'set xtics 0.005' shell '"$1" -e "plot curve([0.001, 0.02], [1, 2]) to \"options.gp\"" && cat options.gp'
expect 0 'from first 1.5, graph 0 to first 1.5, graph 1' shell '"$1" -e "plot [1, 2], vline = [0.5, 1.5] to \"options.gp\"" && cat options.gp'
# Numbers of ticks and entries of a legend have room
ticks() { "$DMF" -e "plot curve([$1], [1, 2]), logx = true to \"ticks.gp\"" >ticks.out 2>&1 && grep -A1 '^set logscale x' ticks.gp; }
expect 0 "'0.005' 5e-3, '' 6e-3 1, '0.007' 7e-3, '' 8e-3 1" ticks '0.0021, 0.0089'
expect 0 "'6' 6e0, '7' 7e0, '8' 8e0" ticks '4, 9'
expect 0 "'0.001' 1e-3, '' 2e-3 1" ticks '0.001, 1000'
expect 0 "'10^{-4}' 1e-4, '' 2e-4 1, '' 3e-4 1, '' 4e-4 1, '' 5e-4 1, '' 6e-4 1, '' 7e-4 1, '' 8e-4 1, '' 9e-4 1, '10^{-3}'" ticks '0.0001, 10'
expect 0 "xtics ('1.2' 1.2, '1.4' 1.4, '1.6' 1.6, '1.8' 1.8)" ticks '1.1, 1.9'
entries() { "$DMF" -e "plot $(for i in 1 2 3 4; do printf 'curve([%d], label = "%s"), ' $i "$1"; done) curve([5], label = \"$1\") to \"ticks.gp\"" >ticks.out 2>&1 && grep maxcols ticks.gp; }
expect 0 'set key maxcols 4' entries 'width 128'
expect 0 'set key maxcols 8' entries 'n'
expect 0 'set key maxcols 4' entries 'theory.loss'
expect 0 'set key on inside vertical bottom left' shell '"$1" -e "plot [1, 2], legend = \"bottom left\" to \"options.gp\"" && cat options.gp'
expect 0 'size 8.6cm,5.848cm' shell '"$1" -e "plot [1, 2], size = \"column\" to \"options.gp\"" && cat options.gp'
expect 0 "'K_{0}' enhanced" shell '"$1" -e "plot [1, 2], ylabel = \"K_{0}\" to \"options.gp\"" && cat options.gp'
expect 0 "'K_0' noenhanced" shell '"$1" -e "plot [1, 2], ylabel = \"K_0\" to \"options.gp\"" && cat options.gp'
expect 0 "'k = 3'" shell '"$1" -e "a = sweep(k + m, k = [1, 3], m = 1..4)" -e "plot a, by = \"k\" to \"options.gp\"" && cat options.gp'
expect 0 'set yrange [-0.5:1.5]' shell '"$1" -e "a = sweep(k + m, k = [1, 3], m = 1..4)" -e "plot a to \"options.gp\"" && cat options.gp'
expect 0 '3' shell '"$1" -e "plot [1, 2] to [\"o.gp\", \"o.txt\", \"p.gp\"]" && ls o.gp o.txt p.gp | wc -l'
if command -v gnuplot >/dev/null && gnuplot -e 'set terminal tikz' 2>/dev/null; then
  expect 0 '$\gamma$\_1' shell '"$1" -e "plot [1, 2], xlabel = \"γ_1\" to \"options.tex\"" && cat options.tex'
fi

# Whatever a result tells of its making, a script may name
for made in 'r = dmft(net, fit, samples = 64)' 'r = dmft(net, fit, closure = "ntk")' \
  'r = simulate(net, fit, ensemble = 2)' 'r = fluctuations(dmft(net, fit, samples = 64))' \
  't = dmft(net, fit, samples = 64); r = at(t, fluctuations(t), 50)'; do
  (head -n 3 problem.dmf; echo "$made; save r to \"made.json\"") >made.dmf
  "$DMF" made.dmf 2>/dev/null
  for name in $(sed -n 's/^ *"attributes": {//p' made.json | grep -o '"[a-z_]*":' | tr -d '":'); do
    echo "print r.$name"
  done >>made.dmf
  expect 0 'r.steps = 2' "$DMF" made.dmf
done
expect 0 full "$DMF" -e "$(head -n 3 problem.dmf)" -e 'if dmft(net, fit, samples = 64).closure == "full" { print "full" }'

# Pictures: gnuplot's place is taken by cat, so that the picture is the script that would be drawn
drawn() { DMF_GNUPLOT=${2:-cat} "$DMF" -e "$(cat curves.dmf)" -e "plot $1 to \"picture.svg\"" && cat picture.svg; }
cat >curves.dmf <<'END'
dataset d { inputs = sphere(points = 9, dim = 9); targets = 1..9; test_inputs = sphere(points = 1, dim = 9, seed = 1) }
model net { layers = input -> 2 * dense(tanh) -> readout; width = 16 }
training fit { dataset = d; optimizer = gd(eta = 0.01); steps = 8 }
theory = dmft(net, fit, samples = 64)
nets = simulate(net, fit, ensemble = 2)
END
expect 0 "set ylabel 'Δ'" drawn 'theory.delta, nets.delta'
expect 0 "title 'theory.Δ, μ = 8'" drawn 'theory.delta, nets.delta'
expect 0 "title 'nets.Δ'" drawn 'theory.delta, nets.delta'
expect 0 "title 'a, γ = 2'" drawn 'a = sweep(dmft(net, fit, samples = 64).loss, net.gamma = [1, 2])'
expect 0 "set title 'a title that is much longer than the legend of a'.\"\\n\".'picture has room for' noenhanced" drawn '[[1, 2], [3, 4]], title = "a title that is much longer than the legend of a picture has room for"'
expect 0 "title 'a label that is much longer than the legend of a…'" drawn 'curve([1, 2], [3, 4], label = "a label that is much longer than the legend of a picture has room for")'
expect 0 "set format y '%.8g'" drawn '[1000001, 1000002]'
expect 0 "set xlabel 'γ'" drawn 'sweep(dmft(net, fit, samples = 64).loss[8], net.gamma = [1, 2])'
expect 0 "set ylabel 'loss'" drawn 'theory.loss, nets.loss'
expect 0 "linecolor '#0072b2' title 'nets.loss'" drawn 'theory.loss, nets.loss, theory.loss'
expect 0 "linecolor '#d55e00' title 'theory.loss'" drawn 'theory.loss, nets.loss, theory.loss'
for points in '0.1 * nets.loss' 'nets.loss[[1, 2, 4]]' '[nets.loss[1], nets.loss[2]]' 'curve(0.1 * nets.loss, label = "")'; do
  expect 0 'with points' drawn "$points"
done
expect 0 'with lines' drawn 'nets.loss[0] + nets.loss[1] * (1..9)'
expect 0 'with lines' drawn 'nets.loss - theory.loss'
expect 0 'with points' drawn 'curve([1, 2, 4], style = "points")'
expect 0 $'EOD\n 2 ' drawn 'curve(theory.loss[2:5], label = "depth 2")'
expect 0 "set xlabel 't'" drawn 'curve(theory.loss, label = "depth 2")'
expect 0 'with filledcurves' drawn 'theory.loss, nets.loss'
expect 0 'with vectors nohead' drawn 'theory.loss, nets.loss'
expect 0 $'EOD\n 2 ' drawn 'theory.loss[2:5]'
expect 0 "title 'γ'" drawn 'gamma = theory.loss'
expect 0 'set multiplot layout 1,2' drawn 'theory.ntk[0], theory.ntk[8]'
expect 0 "set xlabel 'α'" drawn 'theory.ntk[0]'
expect 0 "set cblabel 'Φ²'" drawn 'theory.Phi[2][0, :, 8]'
expect 0 "set ylabel 't'" drawn 'theory.Phi[2][:, 0, :, 0]'
expect 0 'set multiplot layout 2,2' drawn 'theory.loss, logy = true, panel = "b", nets.loss, theory.ntk[0], theory.ntk[1]'
expect 0 'set logscale y' drawn 'theory.loss, logy = true, panel = "b", nets.loss'
expect 0 'unset logscale y' drawn 'theory.loss, logy = true, panel = "b", nets.loss'
expect 1 'the last panel is empty' drawn 'theory.loss, panel = "b"'
expect 5 'the numbers are in picture.dat' drawn 'theory.loss' ./no-such-gnuplot
expect 0 '# theory.loss' cat picture.dat
expect 0 '⣀⠔⠊' shell '"$1" -e "plot [1, 2, 3] to \"a.txt\"" && cat a.txt'
expect 0 '@@' shell '"$1" -e "plot [[1, 2], [3, 4]] to \"a.txt\"" && cat a.txt'

# Exit statuses
expect 1 'syntax.dmf:1:' "$DMF" syntax.dmf
expect 4 'assert.dmf:1:' "$DMF" assert.dmf
expect 5 'missing.dmf' "$DMF" missing.dmf
expect 5 'missing.dmf' "$DMF" check missing.dmf
expect 5 '' "$DMF" "$scratch"
expect 1 '<command line>:1:' "$DMF" -e 'print nothing_of_this_name'
expect 1 '<stdin>:1:' shell 'echo "print nothing_of_this_name" | "$1"'
expect 130 interrupted interrupted 'shown 0 started' "$DMF" recurse.dmf
expect 130 interrupted interrupted 'shown 0 started' "$DMF" -e 'print "started"' -e 'x = sweep(k, k = 0..4e7)'
expect 130 interrupted interrupted 'shown 0 started' "$DMF" -e 'print "started"' -e 'x = gaussian(4000, 4000)' -e "y = eigvec(x + x')"

# What a script names is a regular file, so that nothing waits for a pipe
expect 5 'not a regular file' "$DMF" -e 'import "pipe.dmf"'
expect 5 'not a regular file' "$DMF" check --json <(echo 'import "/dev/zero"')
expect 0 '' "$DMF" check <(echo 'x = 1')
expect 130 started interrupted 'shown 0 started' "$DMF" long.dmf
in_foreground() { set -m; "$@"; } # SIGINT is not ignored at the start, as it is in the background
signal=TERM expect 143 interrupted interrupted 'shown 0 started' "$DMF" long.dmf
expect 130 interrupted in_foreground interrupted 'shown 0 started' "$DMF" long.dmf

# What a check has no work left to read is not damaged
(head -n 3 problem.dmf; echo 'save dmft(net, fit, samples = 64) to "kept.h5"') | "$DMF"
cat >tired.dmf <<'END'
function f0(x) = x + x
function f1(x) = f0(f0(f0(f0(x)))) + f0(f0(f0(f0(x))))
function f2(x) = f1(f1(f1(f1(x)))) + f1(f1(f1(f1(x))))
function f3(x) = f2(f2(f2(f2(x)))) + f2(f2(f2(f2(x))))
function f4(x) = f3(f3(f3(f3(x)))) + f3(f3(f3(f3(x))))
print f4(f4(f4(f4(1))))
print load("kept.h5").loss
END
expect 0 silent shell '"$1" check tired.dmf && echo silent'

# Sweeps that go on where they were: only what is missing is computed
head -n 3 problem.dmf >sweep.dmf
cat >>sweep.dmf <<'END'
rates = [0.1, 0.2, 1e300]
print sweep(dmft(net, fit, samples = 64).loss[-1], fit.eta = rates, resume = "points", failed = "stop")
END
expect 3 'fit.eta = 1e+300' "$DMF" sweep.dmf
expect 0 2 shell 'ls points | wc -l'
touch -d 2000-01-01 points/*
echo 1 >rates.csv
sed -i 's/1e300/0.3/; s/^rates/# a comment\nrates/' sweep.dmf
expect 0 'shape [3]' "$DMF" sweep.dmf
expect 0 '1 of 3' shell 'echo $(find points -newermt 2001-01-01 -name "*.h5" | wc -l) of $(ls points | wc -l)'
expect 0 '6' shell '"$1" sweep.dmf --seed 3 >seeded; ls points | wc -l'
expect 0 same shell 'rm -r points; "$1" sweep.dmf --threads 1 >one; "$1" sweep.dmf >kept; "$1" sweep.dmf --out fresh --threads 4 >four; cmp one kept && cmp one four && echo same'
cat >point.dmf <<'END'
dataset d { inputs = [[1, 0], [0, 1]]; targets = [1, -1] }
activation bend(h, a = 1) = tanh(a * h)
loss power(f, y) = (f - y)^2
model net { layers = input -> dense(bend) -> readout; gamma = 1 }
training fit { dataset = d; loss = power; optimizer = gd(eta = 0.1); steps = 2 }
function last(result, k = 1) = k * result.loss[-1]
print sweep(last(dmft(net, fit, samples = 64)), net.gamma = [1], resume = "keys")
END
keys() { # keys COUNT EDIT...: how many different points the edited scripts make
  rm -rf keys
  for edit in "${@:2}"; do
    sed "$edit" point.dmf | "$DMF" >/dev/null 2>why || printf 'fails with %s: %s\n%s\n' $? "$edit" "$(<why)"
  done
  expect 0 "[$1]" shell 'echo "[$(ls keys | wc -l)]"'
}
keys 1 '' 's/^loss/# a comment\n&/' 's/ = / =   /' '$s/^print/other = 3; x =/'
keys 11 '' 's/tanh(a/tanh(2 * a/' 's/a = 1/a = 2/' 's/\^2/^4/' 's/readout/readout(sigma_w = 2)/' 's/0.1/0.2/' \
  's/-1\] }/-2] }/' 's/steps = 2/steps = 3/' 's/k = 1/k = 2/' 's/samples = 64/samples = 65/' 's/gamma = \[1/&.5/'
expect 0 'the point is computed again' shell 'for f in points/*; do truncate -s 900 $f; done; "$1" sweep.dmf'
expect 1 'must not read files' "$DMF" -e 'print sweep(x * csv("rates.csv"), x = [1], resume = "p")'
expect 5 'is not a directory' shell 'touch taken; sed s/points/taken/ sweep.dmf | "$1"'
head -n 3 long.dmf >slow.dmf
echo 'print sweep(dmft(net, fit).loss[-1], net.gamma = [1, 2], resume = "points")' >>slow.dmf
expect 130 'goes on from there' interrupted 'shown 0 sweep:' "$DMF" --progress lines slow.dmf

# Solves that go on where they were: runs that are done are not made again, and those whose files are damaged are
(head -n 3 problem.dmf; cat) >solves.dmf <<'END'
system circuit {
  population cells
  matrix J : cells -> cells
  state x = normal(cells)
  step { observe C = dot(x, x); observe E = mean(exp(2 * x)); x = tanh(1.2 * (J @ x)) }
}
theory = dmft(net, fit, samples = 300, checkpoint = "runs")
nets   = simulate(net with { width = 16 }, fit, ensemble = 4, checkpoint = "runs")
heavy  = dmft(circuit, steps = 3, samples = 300, checkpoint = "runs")
finite = simulate(circuit, steps = 3, size = 20, ensemble = 4, checkpoint = "runs")
for x in [theory.loss, nets.loss, nets.var_f, heavy.C, heavy.E, finite.C] { print x, stderr(x) }
END
expect 0 same shell 'sed "s/, checkpoint = \"runs\"//" solves.dmf | "$1" - >plain; "$1" solves.dmf >kept; cmp plain kept && echo same'
touch -d 2000-01-01 runs/*
expect 0 'same, 0 made' shell '"$1" solves.dmf >kept; cmp plain kept && echo same, $(find runs -newermt 2001-01-01 -name "*.run" | wc -l) made'
expect 0 'same, 6 made' shell 'set -- "$1" runs/*; truncate -s -8 "$2"; truncate -s 3 "$3"; : >"$4"; echo >>"$5"; rm "$6"; printf x | dd of="$7" bs=1 seek=20 conv=notrunc 2>/dev/null
  touch -d 2000-01-01 runs/*; "$1" solves.dmf --threads 3 >kept; cmp plain kept && echo same, $(find runs -newermt 2001-01-01 -name "*.run" | wc -l) made'
expect 0 same shell 'mkdir -p foreign; "$1" --seed 3 --out foreign solves.dmf >/dev/null; ls foreign/runs runs | sort | uniq -d | grep . || echo same'
expect 0 'are not kept: ' shell 'rm -r runs; (ulimit -f 0; "$1" solves.dmf) 2>&1 >/dev/null | cat'
expect 5 'is not a directory' shell 'sed s/runs/taken/ solves.dmf | "$1"'
expect 1 "'checkpoint' must be the name of a directory" shell 'sed "s/\"runs\"/7/" solves.dmf | "$1"'
# Fluctuations: runs that were read, groups of networks, those of a field that is read later
(head -n 3 problem.dmf; sed -n '/^system/,/^}/p' solves.dmf; cat) >noise.dmf <<'END'
deep   = net with { layers = input -> 2 * dense(tanh) -> readout }
theory = dmft(deep, fit, samples = 300)
noise  = fluctuations(theory, samples = 1024, checkpoint = "noise")
adam   = fluctuations(dmft(net, fit with { optimizer = adam(eta = 0.05) }, samples = 300), samples = 2048, checkpoint = "noise")
heavy  = fluctuations(dmft(circuit, steps = 3, samples = 300), samples = 400, checkpoint = "noise")
dataset one { inputs = [[1, 0]]; targets = [1] }
flat   = fluctuations(dmft(net, fit with { dataset = one }, samples = 300), checkpoint = "noise")
part   = fluctuations(theory, samples = 1024, of = theory.loss[2], checkpoint = "noise")
other  = fluctuations(theory, samples = 1024, of = theory.loss[1], checkpoint = "noise")
for x in [noise.var_f, noise.cov_f, noise.mean_shift_loss, flat.mean_shift_f, flat.mean_shift_ntk, adam.var_f, heavy.var_C, part, other] { print x, stderr(x) }
END
expect 0 same shell 'sed "s/, checkpoint = \"noise\"//" noise.dmf | "$1" - >plain; "$1" noise.dmf >kept; cmp plain kept && echo same'
touch -d 2000-01-01 noise/*
expect 0 'same, 0 made' shell '"$1" noise.dmf >kept; cmp plain kept && echo same, $(find noise -newermt 2001-01-01 -name "*.run" | wc -l) made'
expect 0 'same, 8 made' shell 'set -- "$1" noise/*; truncate -s -8 "$2"; rm "${@:8:7}"; touch -d 2000-01-01 noise/*
  "$1" noise.dmf --threads 3 >kept; cmp plain kept && echo same, $(find noise -newermt 2001-01-01 -name "*.run" | wc -l) made'
expect 0 same shell 'rm -r noise; "$1" --threads 1 noise.dmf >/dev/null & for ((try = 0; try < 3000; try++)); do
  ls noise/*.run >/dev/null 2>&1 && break; sleep 0.02; done; kill -KILL $! 2>/dev/null; wait $!; "$1" noise.dmf >kept; cmp plain kept && echo same'
expect 0 'are not kept: ' shell 'rm -r noise; (ulimit -f 0; "$1" noise.dmf) 2>&1 >/dev/null | cat'
head -n 3 long.dmf >killed.dmf
echo 'print simulate(net with { width = 64 }, fit, ensemble = 1000, checkpoint = "killed").loss[-1]' >>killed.dmf
# One that is killed in its midst goes on there, unless what is left of it is damaged, and then leaves nothing of that
cat >midst.dmf <<'END'
dataset d { inputs = sphere(points = 40, dim = 30, seed = 1); targets = gaussian(40, dim = 1, seed = 2) }
model net { layers = input -> 2 * dense(tanh) -> readout; width = 256 }
training fit { dataset = d; optimizer = momentum(eta = 0.1, beta = 0.9); steps = 350 }
nets = simulate(net, fit, ensemble = 2, checkpoint = "midst")
for x in [nets.loss, nets.var_f[-1]] { print x, stderr(x) }
END
kept() { ls midst/*.run >/dev/null 2>&1; }
killed() { # in the midst of its first run
  rm -rf midst
  "$DMF" --threads 1 midst.dmf >/dev/null 2>&1 &
  awaited $! kept
  kill -KILL $! && wait $! 2>/dev/null
  find midst -type f ! -name '*.run' -delete # what it was writing
}
expect 0 same shell 'sed "s/, checkpoint = \"midst\"//" midst.dmf | "$1" - >plain; "$1" --threads 2 midst.dmf >kept; ls midst | wc -l; cmp plain kept && echo same'
killed
expect 0 $'2\nsame' shell '"$1" midst.dmf >kept; ls midst | wc -l; cmp plain kept && echo same'
killed
expect 0 $'2\nsame' shell 'for file in midst/*; do printf x | dd of="$file" bs=1 seek=500 conv=notrunc 2>/dev/null; done
  "$1" --threads 2 midst.dmf >kept; ls midst | wc -l; cmp plain kept && echo same'
killed
expect 0 $'2\nsame' shell '"$1" midst.dmf >both & "$1" --threads 2 midst.dmf >kept; wait; cmp both kept; ls midst | wc -l; cmp plain kept && echo same'
expect 130 'goes on from the runs that are done' interrupted 'shown 0 simulate' "$DMF" --progress lines killed.dmf

# Standard streams
expect 5 'cannot write' shell '"$1" two.dmf >/dev/full'
expect 5 'File too large' shell 'ulimit -f 1; "$1" -e "save zeros(100, 100) to \"large.npy\""'
expect 5 'cannot write' shell '"$1" two.dmf >&-'
expect 5 'cannot write' shell '"$1" --help >&-'
expect 0 '' shell '"$1" -e "x = 1" >&-'
expect 0 2 shell '"$1" two.dmf <&-'
expect 0 2 shell '"$1" two.dmf 2>&-'
expect 0 1 shell '"$1" -e "for i in 1..100000 { print i }" | head -n 1'

# The REPL without a terminal
expect 0 7 shell 'printf "x = 3\nx + 4\n" | "$1" -i'
expect 0 14 shell 'printf "3 + 4\n_ * 2\n" | "$1" -i'
expect 0 '= 4' shell 'printf "for i in 1..2 {\n\n y = 2*i\n}\ny\n" | "$1" -i'
expect 1 'inside a statement' shell 'printf "for i in 1..2 {\n" | "$1" -i'
expect 1 3 shell 'printf "x = 3\nnothing_of_this_name\nx\nquit\n" | "$1" -i'
expect 0 3 shell 'printf "for i in 1..2 {\n\n\nx = 3\nx\n" | "$1" -i'
expect 0 5 shell 'echo "x + 3" | "$1" -i -e "x = 2"'
expect 0 'strength of feature learning' shell 'echo "?net.gamma" | "$1" -i'
expect 0 'twice as much' shell 'printf "function f(x) = 2*x # twice as much\nf?\n" | "$1" -i'
expect 0 '= 3' shell 'printf "help = 2\nhelp + 1 # 3?\nhelp nothing_of_this_name\n" | "$1" -i'

expect 2 "did you mean ':load'" shell 'echo ":laod x" | "$1" -i'
expect 0 'a number' shell 'printf ":load two.dmf\nx = 3\n:wh\n:reload\n" | "$1" -i'
expect 0 $'import "two.dmf"\nx = 3\nprint x' shell 'printf ":load two.dmf\nx = 3\nx\n:save s.dmf\n" | "$1" -i && cat s.dmf'
expect 0 $'1 + 1 = 2\nx = 3' "$DMF" s.dmf
cat >again.txt <<'END'
model net { layers = input -> dense(tanh) -> readout; gamma = 1 }
first = net.gamma
for i in 2..3 { model net { layers = input -> dense(tanh) -> readout; gamma = i }; net.gamma }
import "two.dmf"
import "std/observables.dmf"
10 * net.gamma + csv(path = "rates.csv")[0] + first
save 1 to "own.h5"
:set nobody.gamma=3
:save again.dmf
:save elsewhere/again.dmf
END
mkdir elsewhere
expect 0 'saved as elsewhere' shell '"$1" -i <again.txt'
expect 0 $'net.gamma = 2\nnet.gamma = 3\n1 + 1 = 2\n10 * net.gamma' "$DMF" again.dmf
expect 0 '= 32' "$DMF" again.dmf
expect 0 '= 32' shell 'cd elsewhere && "$1" again.dmf'
expect 0 'threads  2' shell 'printf ":set threads 2\n:set\n" | "$1" -i'
expect 0 '"shape": [6]' shell 'printf ":set fit.steps=5\n:load problem.dmf\n" | "$1" -i --json'
expect 2 'from 0 to 2^53' shell 'echo ":set seed 9007199254740993" | "$1" -i'
expect 2 'seed     5' shell 'printf ":set seed 5\n:set seed x\n:set\n" | "$1" -i'
expect 2 'on or off' shell 'echo ":set time perhaps" | "$1" -i'
expect 0 'of all processors' shell 'echo ":time print 1 + 1" | "$1" -i'
expect 5 'missing.dmf' shell 'echo ":load missing.dmf" | "$1" -i'
expect 2 'nothing has been loaded' shell 'echo ":reload" | "$1" -i'
expect 0 3 shell 'printf "dmf> x = 3\ndmf> x\n" | "$1" -i'

# A page about results: the verdict, and nothing from elsewhere
cat >page.dmf <<'END'
# a < b & "c"
dataset d { inputs = [[1, 1], [1, -1]]; targets = [1, -1] }
model m { layers = input -> 2 * dense(tanh, sigma_b = 0.5) -> readout; width = 64 }
training t { dataset = d; optimizer = gd(eta = 0.1); steps = 4 }
theory = dmft(m, t)
nets = simulate(m, t)
other = simulate(m with { gamma = 9 }, t)
report theory, nets, other to "page.html"
END
expect 0 '' "$DMF" page.dmf
expect 0 'theory and nets agree within their errors' cat page.html
expect 0 'theory and other differ</strong>: ' cat page.html
expect 0 '# a &lt; b &amp; &quot;c&quot;' cat page.html
expect 0 'class="band c1"' cat page.html
expect 0 '<title>theory.loss' cat page.html
expect 0 '<figure class="map">' cat page.html
expect 0 '<mfrac><mrow><mn>1</mn></mrow><mrow><msqrt><mi>N</mi></msqrt></mrow></mfrac>' cat page.html
loads() { ! grep -o 'https\{0,1\}:[^"]*\|@import[^;]*\|url([^)]*' page.html; }
expect 0 '' loads
tex_left() { ! sed -n '/<math/,/<\/math>/p' page.html | grep -n '[\\$]'; }
expect 0 '' tex_left
if [ -n "${PYTHON:-}" ]; then
  expect 0 '' "$PYTHON" "$srcdir/tests/python/page.py" page.html
fi

# The REPL on a terminal: it survives Ctrl-C, completes names, takes pasted prompts, and remembers
# statements as a whole. No shell may stay between: one that was interrupted too ends with 130.
# typed [TEXT SHOWN]... TEXT: types each text and waits for what is shown after it
typed() {
  local offset process status
  rm -f typing
  mkfifo typing
  : >screen
  SHELL=/bin/sh TERM=xterm script -qec "exec $DMF" /dev/null <typing >screen &
  process=$!
  exec 9>typing
  awaited $process shown 0 'dmf> '
  while [ $# -gt 1 ]; do
    offset=$(wc -c <screen)
    printf "$1" >&9
    awaited $process shown "$offset" "$2"
    shift 2
  done
  printf "$1" >&9
  exec 9>&-
  wait $process
  status=$?
  cat screen
  return $status
}
terminal=no # some containers cannot make a pseudo-terminal
! SHELL=/bin/sh script -qec true /dev/null >/dev/null 2>&1 || terminal=yes
if [ $terminal = yes ]; then
  expect 0 '= 4' typed 'x = 3\r' 'dmf> ' 'x + 1\r' 'dmf> ' '\004'
  expect 0 '= 24' typed 'for i in 1..2 {\r' '{' 'y = 12*i\r' i '}\r' 'dmf> ' 'y\r' 'dmf> ' 'quit\r'
  expect 0 '= 34' typed 'y = 30+4\r' 'dmf> ' 'nonsense(' 'nonsense(' '\003' 'dmf> ' 'y\r' 'dmf> ' '\004'
  expect 0 '= 45' typed 'y = 40+5\r' 'dmf> ' 'for i in 1..2 {\r' '{' '\003' 'dmf> ' 'y\r' 'dmf> ' '\004'
  expect 0 '= 56' typed "x = 50+6; import \"$scratch/long.dmf\"\\r" started '\003' 'dmf> ' 'x\r' 'dmf> ' '\004'
fi
if [ $terminal = yes ] && [ "${READLINE:-yes}" = yes ]; then
  # Up recalls, Tab completes, curves are drawn
  expect 0 'from 1 to 10' typed 'two = 1.' 1. '.1' .1 '0\r' 'dmf> ' '\033[A\r' 'dmf> ' 'tw\t\r' 'dmf> ' '\004'
  # Up goes on from one statement to the one before, also from what is typed so far
  expect 0 '= 27' typed 'n = 7\r' 'dmf> ' '3 * n\r' '= 21' 'n = 9\r' 'dmf> ' '4 + 0\r' '= 4' '\033[A\033[A\033[A\r' '= ' '\004'
  expect 0 '= 63' typed '60 + 3\r' '= 63' '5 + 5\r' '= 10' '6\033[A\r' '= ' '\004'
  # a name that is asked about ends its line, operators too
  expect 0 'the matrix product' typed 'help @\r' 'dmf> ' '\004'
  expect 0 'both included' typed 'help ..\r' 'dmf> ' '\004'
  expect 0 'the sum, elementwise' typed '?+\r' 'dmf> ' '\004'
  expect 0 'how many networks' typed 'x = simulate(\t\t' ensemble '\003' 'dmf> ' '\004'
  expect 0 $'for i in 1..2 {\ny = 12*i\n}\n#' cat "$XDG_STATE_HOME/dmf/history"
  expect 0 '= 12' typed '\033[200~dmf> x = 3\rdmf> for i in 1..2 {\r...> x = 2*x\r...> }\rdmf> x\033[201~\r' '= ' '\004'
  expect 0 '= 7' typed '\033[200~dmf> for i in 1..2 {\r...> x = 7\033[201~\r' x '}\r' 'dmf> ' 'x\r' '= ' '\004'
fi

echo "command: $passed passed, $failed failed"
[ "$failed" = 0 ]
