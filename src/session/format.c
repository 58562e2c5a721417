/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Scripts in the standard layout. */
#include "session/session.h"
#include "base/plain.h"
#include "file/io.h"
#include "syntax/format.h"

#include <stdlib.h>
#include <string.h>

static Status write_text(FILE *stream, void *text, char **why) {
  (void)why;
  fputs(text, stream);
  return STATUS_OK;
}

static void rewrite(Dmf *dmf, const char *path, char *text) {
  char *why = NULL;
  Status status = file_replace_stream(path, write_text, text, &why);
  if (status != STATUS_OK) diag_error(&dmf->diags, status, (Span){0}, NULL, "%s", why);
  free(why);
}

static void deliver(Dmf *dmf, const char *path, const Source *source, char *text, DmfFormat what) {
  bool same = strlen(text) == source->length && memcmp(text, source->text, source->length) == 0;
  if (what == DMF_FORMAT_PRINT)
    fputs(text, dmf->results);
  else if (what == DMF_FORMAT_CHECK && !same)
    diag_error(&dmf->diags, STATUS_SCRIPT, (Span){0}, NULL, "%s is not in the standard layout",
               path);
  else if (what == DMF_FORMAT_REWRITE && !same)
    rewrite(dmf, path, text);
}

int dmf_format_file(Dmf *dmf, const char *path, DmfFormat what) {
  PLAIN_LOCALE;
  char *why = NULL, *text = NULL;
  Source *source = source_read(path, path, false, &why);
  if (source)
    text = script_format(source, &dmf->diags);
  else
    diag_error(&dmf->diags, STATUS_FILE, (Span){0}, NULL, "%s", why);
  if (text) deliver(dmf, path, source, text, what);
  int status = session_conclude(dmf);
  source_drop(source); /* the messages pointed into it */
  free(text);
  free(why);
  return status;
}

int dmf_format_text(Dmf *dmf, const char *name, const char *text, size_t length, char **formatted) {
  PLAIN_LOCALE;
  Source *source = source_new(name, text, length);
  *formatted = script_format(source, &dmf->diags);
  int status = session_conclude(dmf);
  source_drop(source);
  return status;
}
