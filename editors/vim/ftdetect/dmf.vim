" SPDX-License-Identifier: GPL-3.0-or-later
autocmd BufNewFile,BufRead *.dmf setfiletype dmf
