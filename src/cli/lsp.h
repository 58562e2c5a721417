/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A language server: messages of the Language Server Protocol on standard input and output, for one
 * editor, one at a time. Texts are checked as they change, as `dmf check` would; names are
 * explained where the pointer rests, completed, found, and given other names; and whole texts
 * brought into the standard layout. */
#ifndef DMF_CLI_LSP_H
#define DMF_CLI_LSP_H

/* Serves until the editor says exit or the input ends; the exit status of the command. */
int lsp_run(void);

#endif
