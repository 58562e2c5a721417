# SPDX-License-Identifier: GPL-3.0-or-later
# Completion of the command dmf for bash. Options, commands, names and keys are asked of dmf itself.

# NAME.KEY= of what the scripts on the line declare, and behind the sign the words that the key takes.
_dmf_settings() {
  local kind name keys script
  keys=$("$dmf" --reference keys)
  for script in "${COMP_WORDS[@]}"; do
    [[ $script == *.dmf && -r $script ]] || continue
    while read -r kind name; do
      awk -v kind="$kind" -v name="$name" '$1 == kind {
        print name "." $2 "="
        for (i = 3; i <= NF; i++) print name "." $2 "=" $i}' <<<"$keys"
    done < <(sed -nE 's/^[[:space:]]*(dataset|model|training)[[:space:]]+([[:alnum:]_]+).*/\1 \2/p' "$script")
  done
}

_dmf() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} dmf=${COMP_WORDS[0]}
  local commands command='' i at=$COMP_CWORD setting
  commands=$("$dmf" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    [[ $'\n'$commands$'\n' != *$'\n'${COMP_WORDS[i]}$'\n'* ]] || { command=${COMP_WORDS[i]} && break; }
  done
  # bash breaks words at an equals sign
  setting=$word
  [[ $word != = ]] || { word='' setting=$before= before=${COMP_WORDS[at - 2]}; }
  [[ $before != = ]] || { setting=${COMP_WORDS[at - 2]}=$word before=${COMP_WORDS[at - 3]}; }
  case $before in
    -s | --set)
      compopt -o nospace 2>/dev/null
      COMPREPLY=($(compgen -W "$(_dmf_settings)" -- "$setting"))
      [[ $setting != *=* ]] || COMPREPLY=("${COMPREPLY[@]#*=}")
      return ;;
    -o | --out) compopt -o filenames; COMPREPLY=($(compgen -d -- "$word")); return ;;
    --color) COMPREPLY=($(compgen -W 'auto always never' -- "$word")); return ;;
    --progress) COMPREPLY=($(compgen -W 'auto lines none' -- "$word")); return ;;
    --reference) COMPREPLY=($(compgen -W 'man words keys' -- "$word")); return ;;
    --memory) COMPREPLY=($(compgen -W '500M 1G 2G 4G 8G' -- "$word")); return ;;
    -j | --threads) COMPREPLY=($(compgen -W "$(seq "$(nproc)")" -- "$word")); return ;;
    -e | --eval | --seed) return ;;
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
