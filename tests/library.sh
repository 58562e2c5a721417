#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The library as others meet it: installed, found by pkg-config, linked shared and static, loaded
# from Python where that can draw; and gone after make uninstall.
set -u
srcdir=${srcdir:?run this through make check}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
prefix=$scratch/usr
passed=0
failed=0

# expect WHAT COMMAND...: the command succeeds
expect() {
  local what=$1
  shift
  if "$@" >"$scratch/log" 2>&1; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    printf 'FAIL %s\n%s\n' "$what" "$(sed 's/^/  | /' "$scratch/log")"
  fi
}
flags() { pkg-config --define-variable=prefix="$prefix" "$@" dmf; }
compile() { ${CC:-cc} ${CFLAGS:-} "$srcdir/examples/c/curve.c" $(flags --cflags) -o "$@"; }
curve() { # curve PROGRAM: a loss that falls, with its errors
  "$1" 2>"$scratch/stages" >"$1.out" && grep -q 'dmft: ' "$scratch/stages" &&
    awk 'NF == 3 {if (NR > 1 && $2 >= last) exit 1; last = $2} END {exit NR != 21}' "$1.out"
}
declared() { grep -o '\bdmf_[a-z_]*(' "$srcdir/src/dmf.h" | tr -d '(' | sort -u; }
held() { nm -g --defined-only "$prefix/lib/libdmf.a" | sed -n 's/^[0-9a-f]\+ . //p' | sort; }
shown() { nm -D --defined-only "$prefix/lib/libdmf.so" | sed -n 's/.* T \([^@]*\)@@DMF_0$/\1/p' | sort; }

expect "make install" ${MAKE:-make} -s --no-print-directory install prefix="$prefix"
export DMF_THREADS=1 # the first thread alone tells the progress
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig LD_LIBRARY_PATH=$prefix/lib DMF_PATH=$prefix/share/dmf
expect "the shared library" compile "$scratch/shared" $(flags --libs)
expect "a program with the shared library" curve "$scratch/shared"
static=$(flags --static --libs | sed 's/-ldmf\b/-l:libdmf.a/')
expect "the static library" compile "$scratch/static" $static
expect "a program with the static library" curve "$scratch/static"
expect "the same numbers from both" cmp "$scratch/shared.out" "$scratch/static.out"
expect "symbols of the shared library" diff <(declared) <(shown)
expect "symbols of the static library" diff <(declared) <(held)
expect "libhdf5 is loaded when it is needed" sh -c "! ldd '$prefix/lib/libdmf.so' | grep hdf5"
if command -v c++ >/dev/null; then
  expect "dmf.h in C++" c++ -fsyntax-only -x c++ -include dmf.h $(flags --cflags) /dev/null
fi
case ${CFLAGS:-} in *-fsanitize*) PYTHON= ;; esac
if [ -n "${PYTHON:-}" ]; then
  export PYTHONPATH PYTHONDONTWRITEBYTECODE=1
  PYTHONPATH=$(dirname "$(find "$prefix" -type d -path '*-packages/dmf')")
  python() { (unset LD_LIBRARY_PATH && "$PYTHON" "$@"); }
  expect "the Python package finds its library" python -c 'import dmf; assert dmf.Session()["1 + 1"] == 2'
  expect "the kernel of notebooks" "$PYTHON" -m json.tool "$prefix/share/jupyter/kernels/dmf/kernel.json"
  if "$PYTHON" -c 'import matplotlib' 2>/dev/null; then
    export MPLBACKEND=agg MPLCONFIGDIR=$scratch
    expect "Python" python "$srcdir/examples/python/curve.py" "$scratch/curve.png"
    expect "its picture" grep -q PNG "$scratch/curve.png"
  fi
fi
expect "make uninstall" ${MAKE:-make} -s --no-print-directory uninstall prefix="$prefix"
expect "nothing is left" test -z "$(find "$prefix" -type f -o -type l)"

echo "library: $passed passed, $failed failed"
[ "$failed" = 0 ]
