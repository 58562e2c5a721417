#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Holds what no compiler holds: a room includes only itself and the rooms below it, the command sees
# dmf.h alone, every header compiles by itself, no file names a path of somebody's machine, scripts
# are in the standard layout, no function is longer than 40 lines, what comments and documents refer
# to is there, and the manual pages are clean and name every option.
set -u
srcdir=${srcdir:-$(cd "$(dirname "$0")/.." && pwd)}
cd "$srcdir" || exit 1
rooms=(base num scalar result file syntax model field machine solve output session)
passed=0
failed=0

verdict() { # verdict WHAT PROBLEMS
  if [ -z "$2" ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    printf 'FAIL %s\n%s\n' "$1" "$(sed 's/^/  /' <<<"$2")"
  fi
}

# The quoted includes below `directory` that do not match one of the allowed prefixes.
foreign() { # foreign DIRECTORY ALLOWED-REGEX
  grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' "$1" --include='*.[ch]' |
    grep -vE "include[[:space:]]*\"($2)"
}

allowed=''
for room in "${rooms[@]}"; do
  allowed+="${allowed:+|}$room/"
  extra=''
  case $room in
    syntax) extra='|parser\.h"|lexer\.h"' ;;
    session) extra='|dmf\.h"' ;;
  esac
  verdict "room $room includes a room above it" "$(foreign "src/$room" "$allowed$extra")"
done
verdict "the command includes more than dmf.h" "$(foreign src/cli 'dmf\.h"|cli/')"
verdict "dmf.h includes another header" "$(grep -n '#include "' src/dmf.h)"

private='(^|[^[:alnum:]_.])/(home|root)/'
verdict "a path of somebody's machine" "$(grep -rsnE "$private" bootstrap README.md HACKING.md \
  configure.ac Makefile.am src grammar stdlib examples editors tests man .ci | grep -v '^tests/layers.sh:')"

[ -z "${DMF:-}" ] || verdict "scripts that 'dmf fmt -i' would change" \
  "$("$DMF" fmt --check examples/*.dmf examples/gallery/*/*.dmf stdlib/*.dmf 2>&1)"

if [ -n "${COMPILE:-}" ]; then
  for header in src/dmf.h src/*/*.h; do
    verdict "$header does not compile alone" \
      "$($COMPILE -Werror -fsyntax-only -x c -include "$header" /dev/null 2>&1)"
  done
fi
if [ -n "${MAKE:-}" ] && [ -z "${DMF_QUICK:-}" ] && command -v clang >/dev/null; then
  verdict "what clang warns of" "$("$MAKE" -s -C "$(dirname "$DMF")" check-clang 2>&1)"
fi
verdict "compiled for several processors, but not static" "$(grep -rnE '^(CLONES|UNFUSED) ' src | grep -v ' static ')"
# A function begins at the last line that stands at the margin before its brace does.
long=$(awk '/^[A-Za-z].*[(]/ { start = FNR; name = $0 }
            /^}/ { if (start && FNR - start >= 40) print FILENAME ":" start ": " name; start = 0 }' \
  $(find src -name '*.[ch]'))
verdict "functions of more than 40 lines" "$long"
# What a header declares, functions and data, and no other file names than the one that defines it.
lonely=$(awk '
  /^[A-Za-z_].*[ *][a-z][a-z_0-9]*[(]/ && !/^(typedef|static|else|return|#)/ {
    head = $0
    sub(/[(].*/, "", head)
    n = split(head, words, /[ *]+/)
    if (FILENAME ~ /^src\/.*\/.*[.]h$/ && words[n] ~ /^[a-z]/) declared[words[n]] = FILENAME
    else if ($0 !~ /;$/) defines[words[n], FILENAME] = 1
    if (FILENAME ~ /[.]h$/) sub(words[n] "[(]", "(")
  }
  /^extern [^(]*;/ && FILENAME ~ /^src\/.*\/.*[.]h$/ {
    sub(/;.*/, "")
    n = split($0, words, /,/)
    for (i = 1; i <= n; i++) {
      gsub(/ *[[].*/, "", words[i])
      sub(/.*[ *]/, "", words[i])
      declared[words[i]] = FILENAME
    }
    next
  }
  /^[A-Za-z_][^(]* =/ && !/^(static|return)/ && FILENAME ~ /[.]c$/ {
    head = $0
    gsub(/ *[[=].*/, "", head)
    sub(/.*[ *]/, "", head)
    defines[head, FILENAME] = 1
  }
  /^ ?[*]|^\/[*]/ { next }
  { n = split($0, words, /[^A-Za-z_0-9]+/)
    for (i = 1; i <= n; i++)
      if (words[i] in declared && !((words[i], FILENAME) in seen)) {
        seen[words[i], FILENAME] = 1
        users[words[i]]++
        last[words[i]] = FILENAME
      }
  }
  END {
    for (name in declared)
      if (users[name] == 0 || (users[name] == 1 && (name, last[name]) in defines))
        print declared[name] ": " name
  }' $(find src/* -mindepth 1 -name '*.h') $(find src grammar tests bench -name '*.[chyl]' -o -name '*.def'))
verdict "what headers declare and no other file names" "$(sort <<<"$lonely")"
unwatched=''
for name in $(sed -n 's/^Array \*\(array_[a-z_]*\)(.*/\1/p' src/num/arrayops.h); do
  grep -q "\b$name(" tests/unit/test_interrupt.c || unwatched+=" $name"
done
verdict "operations on arrays that test_interrupt.c does not try" "$unwatched"
options=''
for name in $(sed -n "s/^OPTION([^,]*, [^,]*, \"\([^\"]*\)\".*/\1/p" src/cli/options.def); do
  grep -q -e "Fl -$name\b" man/dmf.1 || options+=" $name"
done
lost=''
for file in examples/*.dmf stdlib/*.dmf; do
  grep -q "$file" Makefile.am || lost+=" $file"
done
version=$(sed -n 's/^AC_INIT(\[dmf\], \[\(.*\)\])$/\1/p' configure.ac)
grep -qxF "## $version" CHANGELOG.md && entry='' || entry="configure.ac says '$version'"
verdict "the newest version in CHANGELOG.md" "$entry"
verdict "scripts that are not installed" "$lost"
calls=''
for name in $(grep -o '\bdmf_[a-z_]*(' src/dmf.h | tr -d '(' | sort -u); do
  grep -q "Fn $name\b" man/dmf.3 || calls+=" $name"
done
verdict "functions of dmf.h that dmf(3) does not name" "$calls"
verdict "options that dmf(1) does not name" "$options"
# "theory.md section N, Title": the section has this number and a title that begins so. Comments break
# their lines.
comments=$(find src tests stdlib examples -name '*.[ch]' -o -name '*.def' -o -name '*.dmf')
lost=''
for file in $comments; do
  while IFS= read -r place; do
    number=$(grep -oE '[0-9]+' <<<"$place")
    title=${place#*, }
    [ -n "$number" ] && grep -qE "^## $number\. $title( |\$)" doc/theory.md || lost+="$file: $place"$'\n'
  done < <(sed 's/^ *[*#/] *//' "$file" | tr '\n' ' ' | tr -s ' ' |
    grep -oE 'theory\.md( section [0-9]+, [A-Z][a-z]+( [a-z]+)?)?')
done
verdict "references to sections that doc/theory.md has not" "${lost%$'\n'}"
pages=$(ls man; echo dmf-stdlib.7)
lost=''
for page in $(grep -hoE '\bdmf(-[a-z]+)?\([0-9]\)' $comments ./*.md doc/*.md | sort -u) \
  $(sed -n 's/^\.Xr \(dmf[^ ]*\) \([0-9]\).*/\1(\2)/p' man/*.[0-9] | sort -u); do
  grep -qxF "$(tr -d ')' <<<"$page" | tr '(' .)" <<<"$pages" || lost+=" $page"
done
verdict "manual pages that are not there" "$lost"
lost=$(for page in man/*.[0-9]; do
  sed -n 's/^\.Sx \(.*[A-Z]\).*/\1/p' "$page" | while IFS= read -r title; do
    grep -qE "^\.S[hs] $title\$" "$page" || echo "$page: $title"
  done
done)
verdict "sections that a manual page has not" "$lost"
rooms_named='\b(src|tests|doc|stdlib|editors|grammar|bench|examples)/[A-Za-z0-9_./-]+\.[a-z0-9]+'
lost=$(grep -hoE "$rooms_named" $comments ./*.md doc/*.md man/*.[0-9] | sort -u |
  while IFS= read -r file; do [ -e "$file" ] || echo "$file"; done)
verdict "files that comments or documents name and that are not there" "$lost"
if [ -n "${MANDOC:-}" ] && [ "$MANDOC" != : ]; then
  for page in man/*.[0-9] "$(dirname "${DMF:-./dmf}")"/man/dmf-stdlib.7; do
    verdict "$page" "$("$MANDOC" -T lint -W warning "$page" 2>&1)"
  done
fi

echo "layers: $passed passed, $failed failed"
[ "$failed" = 0 ]
