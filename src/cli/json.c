/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/json.h"

#include <jansson.h>

void json_diagnostic(void *sink, const DmfDiagnostic *diagnostic) {
  (void)sink;
  json_t *object =
      json_pack("{s:s?, s:i, s:i, s:i, s:i, s:s, s:s, s:s?}", "file", diagnostic->file, "line",
                diagnostic->line, "column", diagnostic->column, "end_line", diagnostic->end_line,
                "end_column", diagnostic->end_column, "severity", diagnostic->severity, "message",
                diagnostic->message, "hint", diagnostic->hint);
  json_dumpf(object, stdout, 0);
  fputc('\n', stdout);
  json_decref(object);
}
