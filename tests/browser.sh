#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A report as a browser shows it: light, dark and on paper. Left out where there is no Chromium.
set -u
srcdir=${srcdir:-$(cd "$(dirname "$0")/.." && pwd)}
DMF=${DMF:-$srcdir/dmf}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1
passed=0
failed=0
browser=$(command -v chromium || command -v chromium-browser) && python=$(command -v "${PYTHON:-python3}") || {
  echo "browser: left out, for want of Chromium or Python"
  echo "browser: 0 passed, 0 failed"
  exit 0
}

# expect WHAT COMMAND...: the command succeeds
expect() {
  local what=$1
  shift
  if "$@" >log 2>&1; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    printf 'FAIL %s\n%s\n' "$what" "$(sed 's/^/  | /' log | tail -n 20)"
  fi
}
browse() { # browse OPTION...: the page, as the options say
  HOME=$scratch timeout 600 "$browser" --headless=new --no-sandbox --disable-gpu --hide-scrollbars --window-size=900,600 \
    --user-data-dir="$scratch/profile" "$@" "file://$scratch/report.html"
}
# ground FILE: the colour of the first pixel; before it there is nothing that a filter of rows could add
ground() {
  "$python" - "$1" <<'END'
import struct, sys, zlib
data, at, rows = open(sys.argv[1], 'rb').read(), 8, b''
while at < len(data):
    size, kind = struct.unpack('>I4s', data[at:at + 8])
    if kind == b'IDAT': rows += data[at + 8:at + 8 + size]
    at += size + 12
print('%02x%02x%02x' % tuple(zlib.decompress(rows)[1:4]))
END
}

cat >report.dmf <<'END'
dataset pair { gram = [[1, 0.3], [0.3, 1]]; targets = [1, -1] }
model net { layers = input -> dense(tanh) -> readout; gamma = 1.5; width = 32 }
training fit { dataset = pair; optimizer = gd(eta = 0.3); steps = 5 }
theory = dmft(net, fit, samples = 400)
nets = simulate(net, fit, ensemble = 8)
report theory, nets to "report.html"
END
expect "a report" "$DMF" report.dmf
expect "a light page" browse --screenshot="$scratch/light.png"
expect "its ground is white" test "$(ground light.png)" = ffffff
expect "a dark page" browse --blink-settings=preferredColorScheme=0 --screenshot="$scratch/dark.png"
expect "its ground is dark" test "$(ground dark.png)" = 16181c
expect "pages on paper" browse --blink-settings=preferredColorScheme=0 --print-to-pdf="$scratch/report.pdf"
expect "a document" grep -q '^%PDF' report.pdf
browse --dump-dom >page.html 2>/dev/null
expect "curves, equations and the script" test "$(grep -c -e '<svg' -e '<math' -e 'dataset pair' page.html)" -gt 3

echo "browser: $passed passed, $failed failed"
[ "$failed" = 0 ]
