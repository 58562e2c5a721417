#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What is installed for editors and shells, as far as these are there to try it.
set -u
# The search for leaks, which other tests make, may wait for ever below a shell that completes.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
srcdir=${srcdir:-$(cd "$(dirname "$0")/.." && pwd)}
DMF=${DMF:-$srcdir/dmf}
build=$(dirname "$DMF")/editors
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1
passed=0
failed=0

# expect WHAT WANTED GOT
expect() {
  if [ "$2" = "$3" ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    printf 'FAIL %s\n  wanted: %s\n  got:    %s\n' "$1" "$2" "$3"
  fi
}

if command -v vim >/dev/null; then
  vim() {
    command vim -es -N -u NONE -i NONE --cmd "set runtimepath^=$srcdir/editors/vim,$build/vim" \
      --cmd 'filetype plugin indent on | syntax enable' "$@" </dev/null
  }
  cat >words.dmf <<'END'
training fit { loss = mse; eta = 0.1 } # comment
print theory.loss, dense("a\n"), 1..2, nmae
loss own(f, y) = f
END
  # place LINE COLUMN GROUP
  cat >groups.vim <<'END'
function Group(line, column)
  return synIDattr(synID(a:line, a:column, 1), 'name')
endfunction
call writefile([Group(1, 1), Group(1, 16), Group(1, 23), Group(1, 34), Group(1, 40),
  \ Group(2, 1), Group(2, 14), Group(2, 20), Group(2, 26), Group(2, 28), Group(2, 34), Group(2, 35),
  \ Group(2, 40), Group(3, 1)], 'groups')
END
  vim words.dmf -S groups.vim -c 'qa!'
  expect 'groups of vim' "$(printf 'dmf%s\n' Keyword Key Constant Number Comment Keyword Field \
    Function String Escape Number Operator; printf '\n'; echo dmfKeyword)" "$(cat groups)"
  for script in "$srcdir"/examples/{digits,spheres,closures}.dmf; do
    sed 's/^ *//' "$script" >flat.dmf
    vim flat.dmf -c 'normal! gg=G' -c 'wq!'
    expect "indentation of $(basename "$script") by vim" "$(cat "$script")" "$(cat flat.dmf)"
  done
fi

complete() { # complete WORD...: what bash offers for the last one
  bash -c '. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _dmf; echo ${COMPREPLY[*]}' \
    bash "$srcdir/editors/shell/dmf.bash" "$DMF" "$@" 2>/dev/null
}
touch net.dmf net.txt
expect 'options in bash' --version "$(complete --vers)"
expect 'commands in bash' 'check' "$(complete che)"
expect 'names in bash' 'gamma gaussian gaussian_density' "$(complete help ga | tr ' ' '\n' | grep -v gate | xargs)"
expect 'scripts in bash' 'net.dmf' "$(complete check ne)"
expect 'values in bash' 'never' "$(complete --color n)"
expect 'more values in bash' 'lines' "$(complete --progress l)"
printf 'model net {\n  width = 8\n}\n  training fit { steps = 1 }\n' >keys.dmf
expect 'names of settings in bash' 'net.gamma=' "$(complete keys.dmf --set net.ga)"
expect 'settings of the other kind in bash' 'fit.steps=' "$(complete keys.dmf --set fit.st)"
expect 'words of settings in bash' 'hebb' "$(complete keys.dmf --set fit.rule = he)"
expect 'all words of a setting in bash' 'mup ntk standard' "$(complete keys.dmf --set net.parameterization = | xargs)"
if command -v zsh >/dev/null; then
  expect 'zsh reads its completion' '' "$(zsh -n "$srcdir/editors/shell/_dmf" 2>&1)"
  # what zsh adds for the words behind `dmf`
  added() {
    zsh -fc 'compadd() { while [[ $1 == -* ]]; do [[ $1 == -S ]] && shift; shift; done; print -l -- $@ }
      _describe() {}; _files() {}; _directories() {}
      words=($@); CURRENT=$#; PREFIX=${words[-1]}; functions[_complete]=$(<'"$srcdir"'/editors/shell/_dmf)
      _complete' zsh "$DMF" "$@" 2>&1
  }
  expect 'settings in zsh' 'net.parameterization=ntk' "$(added keys.dmf --set '' | grep -x 'net.parameterization=ntk')"
  expect 'values in zsh' 'auto lines none' "$(added --progress '' | xargs)"
fi
for file in "$build/vscode/syntaxes/dmf.tmLanguage.json" "$srcdir"/editors/vscode/*.json; do
  ! command -v python3 >/dev/null ||
    expect "$file" '' "$(python3 -m json.tool "$file" 2>&1 >/dev/null)"
done

echo "editors: $passed passed, $failed failed"
[ "$failed" = 0 ]
