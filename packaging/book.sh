#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The manual as one book, of the same sources as the documents and pages it is made of: book.sh DIRECTORY,
# in the build directory, writes dmf.html there, with every picture in it; a browser prints it chapter by
# chapter, and Chromium, where it is installed, into dmf.pdf. Needs cmark-gfm and mandoc.
set -eu
srcdir=${srcdir:?run this through make book}
target=$1
for tool in cmark-gfm mandoc; do
  command -v $tool >/dev/null || { echo "make book needs $tool (Debian: cmark-gfm, mandoc)" >&2; exit 1; }
done
mkdir -p "$target"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Pictures become part of the page; links to other documents lead to their chapters.
inline() {
  awk -v directory="$srcdir/doc" '
    {
      while (match($0, /src="(doc\/)?[^":]+\.svg"/)) {
        name = substr($0, RSTART + 5, RLENGTH - 6)
        sub(/^doc\//, "", name)
        command = "base64 -w 0 <\"" directory "/" name "\""
        data = ""
        command | getline data
        close(command)
        $0 = substr($0, 1, RSTART - 1) "src=\"data:image/svg+xml;base64," data "\"" substr($0, RSTART + RLENGTH)
      }
      print
    }'
}
chapter() { # chapter NAME FILE: a document
  printf '<section class="chapter" id="%s">\n' "$1"
  cmark-gfm -e table "$2" | inline |
    sed -E 's/href="(doc\/)?(tutorial|theory|gallery|python|julia)\.md"/href="#\2"/g; s/href="HACKING.md"/href="#HACKING"/' |
    awk -v chapter="$1" '/^<h[1-3]>/ {sub(/^<h[1-3]/, "& id=\"" chapter "-" ++n "\"")} {print}'
  echo '</section>'
}
page() { # page NAME FILE: a page of the manual
  printf '<section class="chapter" id="page-%s">\n<h1 id="page-%s-1">%s</h1>\n' "$1" "$1" "$3"
  mandoc -T html -O 'fragment,man=@%N' "$2" | sed -E "
    s/<(\/?)h2/<\1h3/g; s/<(\/?)h1/<\1h2/g
    s/ id=\"/ id=\"$1./g; s/href=\"#/href=\"#$1./g; s/href=\"@(dmf(-language|-stdlib)?)\"/href=\"#page-\1\"/g; s/ href=\"@[^\"]*\"//g"
  echo '</section>'
}

{
  chapter introduction "$srcdir/README.md"
  for name in tutorial gallery theory python julia; do chapter $name "$srcdir/doc/$name.md"; done
  page dmf "$srcdir/man/dmf.1" 'dmf(1): the command'
  page dmf-language "$srcdir/man/dmf-language.7" 'dmf-language(7): the language'
  page dmf-stdlib man/dmf-stdlib.7 'dmf-stdlib(7): every name'
  page dmf-library "$srcdir/man/dmf.3" 'dmf(3): the library'
  chapter HACKING "$srcdir/HACKING.md"
} >"$scratch/body"

# The contents: a line for each chapter and those of its parts that have a name to go to.
contents() {
  sed -nE 's/^<h([12])( class="Sh")? id="([^"]*)">(.*)<\/h[12]>$/\1 \3 \4/p' "$scratch/body" |
    sed -E 's/<[^>]*>//g' | awk '
      BEGIN {print "<nav><ul>"}
      $1 == 1 && n++ {print "</ul></li>"}
      {id = $2; text = $0; sub(/^[^ ]* [^ ]* /, "", text)}
      $1 == 1 {print "<li><a href=\"#" id "\">" text "</a><ul>"}
      $1 == 2 {print "<li><a href=\"#" id "\">" text "</a></li>"}
      END {print "</ul></li></ul></nav>"}'
}

{
  cat <<END
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>dmf</title>
<meta name="viewport" content="width=device-width">
<style>
$(cat "$srcdir/packaging/book.css")
</style>
</head>
<body>
$(contents)
<main>
END
  cat "$scratch/body"
  printf '</main>\n</body>\n</html>\n'
} >"$target/dmf.html"

# A browser of a machine may be wrapped, or forbidden to start here: then there is no PDF.
browser=$(command -v chromium || command -v chromium-browser) || exit 0
HOME=$scratch timeout 600 "$browser" --headless=new --no-sandbox --disable-gpu --no-pdf-header-footer \
  --user-data-dir="$scratch/profile" --print-to-pdf="$scratch/dmf.pdf" "file://$(realpath "$target")/dmf.html" \
  >/dev/null 2>&1 && cp "$scratch/dmf.pdf" "$target/dmf.pdf" || echo "no dmf.pdf: $browser does not print" >&2
