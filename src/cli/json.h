/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Messages for programs: one JSON object on a line for each. */
#ifndef DMF_CLI_JSON_H
#define DMF_CLI_JSON_H

#include "dmf.h"

/* Takes the messages of a session, as its `diagnose`, and writes them to standard output. */
void json_diagnostic(void *sink, const DmfDiagnostic *diagnostic);

#endif
