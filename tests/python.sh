#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The Python package on the library of the build: what it does (tests/python/*.py), notebooks run
# without a browser, and the blocks of doc/python.md. It needs numpy, and for notebooks ipykernel and
# nbclient; PYTHON_TESTS=needed makes it a failure that they are not there.
set -u
srcdir=${srcdir:?run this through make check}
build=$(dirname "${DMF:?}")
passed=0
failed=0

count() { # count LINE: adds "N passed, M failed"
  passed=$((passed + $1))
  failed=$((failed + $2))
}
without() { # without REASON
  echo "python: left out: $*"
  [ "${PYTHON_TESTS:-}" != needed ] || failed=$((failed + 1))
}

run() { # run FILE...: a program that ends with "N passed, M failed"
  local line
  line=$(srcdir=$srcdir "$PYTHON" -W error::DeprecationWarning:__main__ "$@" 2>&1 | tee /dev/stderr | tail -n 1) 2>&3
  line=$(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' <<<"$line")
  count ${line:-0 1}
}
exec 3>&2

export PYTHONPATH=$srcdir/python PYTHONDONTWRITEBYTECODE=1 DMF_LIBRARY=$build/libdmf.so.0 DMF_PATH=$build
export PYDEVD_DISABLE_FILE_VALIDATION=1
case ${CFLAGS:-} in *-fsanitize*) PYTHON= ;; esac
if [ -z "${PYTHON:-}" ]; then
  case ${CFLAGS:-} in
    *-fsanitize*) echo "python: left out: Python does not load a library with sanitizers" ;;
    *) without "no Python with numpy was found by configure" ;;
  esac
else
  run "$srcdir/tests/python/session.py"
  run "$srcdir/tests/python/documents.py"
  OPENBLAS_NUM_THREADS=1 run "$srcdir/tests/python/literal.py"
  if "$PYTHON" -c 'import ipykernel, nbclient' 2>/dev/null; then
    run "$srcdir/tests/python/notebooks.py" "$build"
  else
    without "notebooks: there is no ipykernel or no nbclient for $PYTHON"
  fi
fi

echo "python: $passed passed, $failed failed"
[ "$failed" = 0 ]
