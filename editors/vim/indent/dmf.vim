" SPDX-License-Identifier: GPL-3.0-or-later
" Vim indent file for scripts of dmf: two blanks behind an open bracket, and for a statement that goes on.
if exists('b:did_indent')
  finish
endif
let b:did_indent = 1

setlocal indentexpr=GetDmfIndent()
setlocal indentkeys=0},0),0],0#,!^F,o,O,e
let b:undo_indent = 'setlocal indentexpr< indentkeys<'

if exists('*GetDmfIndent')
  finish
endif

" A line without its strings, comment and trailing blanks.
function s:Code(number) abort
  let line = substitute(getline(a:number), '"\%(\\.\|[^"\\]\)*"', '""', 'g')
  return substitute(line, '\s*\%(#.*\)\?$', '', '')
endfunction

" Whether a statement goes on behind the line.
function s:GoesOn(number) abort
  return a:number > 0 && s:Code(a:number) =~# '\v%(->|[-+*/^@<>,]|\=\=|!\=|\.\.|<%(and|or|not|then|else)>)$'
endfunction

function GetDmfIndent() abort
  let last = prevnonblank(v:lnum - 1)
  if last == 0
    return 0
  endif
  let indent = indent(last)
  let before = prevnonblank(last - 1)
  if s:Code(last) =~# '[{([]$'
    let indent += shiftwidth()
  elseif s:GoesOn(last) && !s:GoesOn(before) && s:Code(before) !~# '[([]$'
    let indent += shiftwidth()
  elseif !s:GoesOn(last) && s:GoesOn(before) && indent(before) < indent
    let indent = indent(before)
  endif
  return getline(v:lnum) =~# '^\s*[])}]' ? indent - shiftwidth() : indent
endfunction
