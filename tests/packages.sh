#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What make deb and make book make: packages that hold everything once and say what they need, and a page
# that needs nothing from elsewhere and whose links lead somewhere.
set -u
srcdir=${srcdir:?run this through make check}
build=$(dirname "${DMF:?}")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
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
make() { command "${MAKE:-make}" -s --no-print-directory -C "$build" "$@"; }
dmf() { env -u DMF_PATH "$scratch/root/usr/bin/dmf" -e 'import "std/losses.dmf"; print relu(2)'; }
python() {
  (cd / && DMF_LIBRARY=$scratch/root/usr/lib/libdmf.so.0 PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPATH=$scratch/root/usr/lib/python3/dist-packages "$PYTHON" -c 'import dmf; assert dmf.Session()["1 + 1"] == 2')
}
twice() { for deb; do dpkg-deb --fsys-tarfile "$deb" | tar -t | grep -v '/$'; done | sort | uniq -d; }
installs() { apt-get install --simulate "$@"; }

case ${CFLAGS:-} in *-fsanitize*) echo "packages: 0 passed, 0 failed"; exit ;; esac
if command -v dpkg-deb >/dev/null && command -v dpkg-shlibdeps >/dev/null; then
  expect "make deb" make deb deb_directory="$scratch/packages"
  set -- "$scratch"/packages/*.deb
  names=$(for deb; do dpkg-deb -f "$deb" Package; done | LC_ALL=C sort | xargs)
  expect "packages: $names" test "$names" = "dmf dmf-doc libdmf${PYTHON:+ python3-dmf}"
  expect "a file in two packages" test -z "$(twice "$@")"
  for deb; do dpkg-deb -x "$deb" "$scratch/root"; done
  expect "the command of the package" dmf
  expect "pkg-config" grep -qx 'prefix=/usr' "$scratch/root/usr/lib/pkgconfig/dmf.pc"
  [ -z "${PYTHON:-}" ] || expect "the Python package" python
  expect "what the packages need can be had" installs "$@"
else
  echo "packages: left out: dpkg-deb or dpkg-shlibdeps is not there"
fi
if command -v cmark-gfm >/dev/null && command -v mandoc >/dev/null; then
  expect "make book" make book book_directory="$scratch/book"
  [ -z "${PYTHON:-}" ] || expect "the page of the book" "$PYTHON" "$srcdir/tests/python/page.py" "$scratch/book/dmf.html"
else
  echo "packages: book left out: cmark-gfm or mandoc is not there"
fi

echo "packages: $passed passed, $failed failed"
[ "$failed" = 0 ]
