# SPDX-License-Identifier: GPL-3.0-or-later
# Completion of the command dmf for bash. Options, commands and names are asked of dmf itself.
_dmf() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} dmf=${COMP_WORDS[0]}
  local commands command='' i
  commands=$("$dmf" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    [[ $'\n'$commands$'\n' != *$'\n'${COMP_WORDS[i]}$'\n'* ]] || { command=${COMP_WORDS[i]} && break; }
  done
  case $before in
    -o | --out) compopt -o filenames; COMPREPLY=($(compgen -d -- "$word")); return ;;
    --color) COMPREPLY=($(compgen -W 'auto always never' -- "$word")); return ;;
    --reference) COMPREPLY=($(compgen -W 'man words' -- "$word")); return ;;
    -e | --eval | -s | --set | --seed | -j | --threads) return ;;
  esac
  if [[ $word == -* ]]; then
    COMPREPLY=($(compgen -W "$("$dmf" --help | grep -o -e '--[a-z]\+')" -- "$word"))
  elif [[ $command == help ]]; then
    COMPREPLY=($(compgen -W "$("$dmf" --reference words | cut -d ' ' -f 2 | sort -u)" -- "$word"))
  elif [[ $command != lsp ]]; then
    compopt -o filenames
    COMPREPLY=($(compgen -d -- "$word") $(compgen -f -X '!*.dmf' -- "$word"))
    [[ $command ]] || COMPREPLY+=($(compgen -W "$commands" -- "$word"))
  fi
}
complete -F _dmf dmf
