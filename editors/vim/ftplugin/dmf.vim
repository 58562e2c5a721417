" SPDX-License-Identifier: GPL-3.0-or-later
" Vim settings for scripts of dmf: :make finds errors, gq lays out, K explains the name under the cursor.
if exists('b:did_ftplugin')
  finish
endif
let b:did_ftplugin = 1

setlocal commentstring=#\ %s comments=:# formatoptions-=t
setlocal shiftwidth=2 softtabstop=2 expandtab
setlocal makeprg=dmf\ check\ %:S errorformat=%f:%l:%c:\ %trror:\ %m,%f:%l:%c:\ %tarning:\ %m,%f:%l:%c:\ %m,%-G%.%#
setlocal formatprg=dmf\ fmt\ -
setlocal keywordprg=dmf\ help
let b:undo_ftplugin = 'setlocal commentstring< comments< formatoptions< shiftwidth< softtabstop<'
      \ . ' expandtab< makeprg< errorformat< formatprg< keywordprg<'
