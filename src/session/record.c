/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a session has done so far: its variables, and the script that does it again. */
#include "session/session.h"
#include "base/memory.h"
#include "base/plain.h"
#include "file/io.h"

#include <stdlib.h>
#include <string.h>

char *dmf_who(Dmf *dmf) {
  PLAIN_LOCALE;
  char *text = NULL;
  size_t length;
  FILE *out = open_memstream(&text, &length);
  if (!out) return mem_string("");
  for (int i = 0; i < dmf->user->count; i++) {
    const Binding *binding = &dmf->user->items[i];
    fprintf(out, "%-16s  %s\n", binding->name, value_describe(binding->value));
  }
  fclose(out);
  return text;
}

/* What is only shown at the prompt is printed by a script. */
static void record_text(FILE *out, const Script *script) {
  const char *text = script->source->text;
  size_t at = 0;
  for (int i = 0; i < script->root->count; i++) {
    const Ast *node = script->root->kid[i];
    if (node->kind != AST_EXPRESSION) continue;
    fprintf(out, "%.*sprint ", (int)(node->span.begin - at), text + at);
    at = node->span.begin;
  }
  fputs(text + at, out);
  size_t length = script->source->length;
  if (length && text[length - 1] != '\n') fputc('\n', out);
}

void record(Dmf *dmf, const Script *script, const char *file) {
  char *text = NULL;
  size_t length;
  FILE *out = open_memstream(&text, &length);
  if (!out) return;
  fputs(dmf->record ? dmf->record : "", out);
  if (file)
    fprintf(out, "import \"%s\"\n", file);
  else
    record_text(out, script);
  fclose(out);
  free(dmf->record);
  dmf->record = text;
}

static Status write_record(FILE *stream, void *context, char **why) {
  (void)why;
  const Dmf *dmf = context;
  fprintf(stream, "# dmf %s", dmf_version());
  if (dmf->config.has_seed) fprintf(stream, " --seed %llu", dmf->config.seed);
  for (int i = 0; i < dmf->setting_count; i++) {
    const Setting *setting = &dmf->settings[i];
    fprintf(stream, " --set %s.%s='%s'", setting->name, setting->key, setting->value->source->text);
  }
  fprintf(stream, "\n%s", dmf->record ? dmf->record : "");
  return STATUS_OK;
}

int dmf_save_session(Dmf *dmf, const char *path) {
  PLAIN_LOCALE;
  char *why = NULL;
  Status status = file_replace_stream(path, write_record, dmf, &why);
  if (status != STATUS_OK) fprintf(dmf->diagnostics, "dmf: %s\n", why);
  free(why);
  return (int)status;
}
