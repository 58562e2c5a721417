/* SPDX-License-Identifier: GPL-3.0-or-later */
/* import "file.dmf": beside the script, in DMF_PATH, beside the program or the library, where
 * it is installed. */
#include "session/session.h"
#include "base/memory.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Bytes. A longer text is data, which belongs into a file of numbers; its tree would not fit. */
enum { SOURCE_LIMIT = 1 << 26 };

/* The file, opened; NULL with *why. */
static FILE *open_source(const char *path, bool regular, char **why) {
  int descriptor = open(path, O_RDONLY | O_CLOEXEC | (regular ? O_NONBLOCK : 0));
  struct stat about = {0};
  const char *reason = NULL;
  if (descriptor < 0 || fstat(descriptor, &about) != 0)
    reason = strerror(errno);
  else if (S_ISDIR(about.st_mode))
    reason = strerror(EISDIR);
  else if (regular && !S_ISREG(about.st_mode))
    reason = "this is not a regular file";
  FILE *file = NULL;
  while (!reason && !(file = fdopen(descriptor, "rb")) && errno == ENOMEM) mem_relieve();
  if (file) return file;
  *why = mem_format("cannot read '%s': %s", path, reason ? reason : strerror(errno));
  if (descriptor >= 0) close(descriptor);
  return NULL;
}

Source *source_read(const char *path, const char *name, bool regular, char **why) {
  FILE *file = open_source(path, regular, why);
  if (!file) return NULL;
  char *text = NULL;
  size_t length = 0, room = 0, got;
  do {
    if (room - length < 1) text = mem_grow(text, room = room ? 2 * room : 1 << 16);
    length += got = fread(text + length, 1, room - length, file);
  } while (got && length <= SOURCE_LIMIT);
  Source *source = NULL;
  if (ferror(file))
    *why = mem_format("cannot read '%s': %s", path, strerror(errno));
  else if (length > SOURCE_LIMIT)
    *why = mem_format("'%s' is too large for a script", path);
  else
    source = source_new(name, text, length);
  fclose(file);
  free(text);
  return source;
}

char *session_beside(Span span, const char *path) {
  const char *name = span.source ? span.source->name : "";
  const char *slash = strrchr(name, '/');
  if (*path == '/' || !slash) return mem_string(path);
  return mem_format("%.*s/%s", (int)(slash - name), name, path);
}

/* Takes over `path`; returns it when there is such a file, else NULL. */
static char *existing(char *path) {
  if (access(path, F_OK) == 0) return path;
  free(path);
  return NULL;
}

static char *find_in_list(const char *list, const char *name) {
  char *copy = mem_string(list), *rest = copy, *part, *found = NULL;
  while (!found && (part = strsep(&rest, ":")))
    if (*part) found = existing(mem_format("%s/%s", part, name));
  free(copy);
  return found;
}

char *import_listed(const char *variable, const char *name) {
  const char *list = getenv(variable);
  return list ? find_in_list(list, name) : NULL;
}

/* The file of the program, or of the library where another program loaded it; false when that
 * cannot be told. */
static bool own_file(char path[PATH_MAX]) {
  static const char inside;
  Dl_info about;
  bool loaded = dladdr(&inside, &about) && about.dli_fname && strchr(about.dli_fname, '/');
  if (loaded && realpath(about.dli_fname, path)) return true;
  ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);
  path[length > 0 ? length : 0] = 0;
  return length > 0;
}

char *import_installed(const char *name) {
  char own[PATH_MAX], *found = import_listed("DMF_PATH", name);
  if (!found && own_file(own)) {
    *strrchr(own, '/') = 0;
    found = existing(mem_format("%s/%s", own, name));
    if (!found) found = existing(mem_format("%s/../share/dmf/%s", own, name));
    if (!found) found = existing(mem_format("%s/../lib/dmf/%s", own, name));
  }
  if (!found) found = existing(mem_format("%s/%s", PKGDATADIR, name));
  return found ? found : existing(mem_format("%s/%s", PKGLIBDIR, name));
}

static char *find(Span span, const char *name) {
  char *found = existing(session_beside(span, name));
  if (found || *name == '/') return found;
  return import_installed(name);
}

static Import *import_of(Dmf *dmf, const char *path) {
  for (int i = 0; i < dmf->import_count; i++)
    if (strcmp(dmf->imports[i].path, path) == 0) return &dmf->imports[i];
  size_t count = (size_t)dmf->import_count + 1;
  dmf->imports = mem_grow(dmf->imports, count * sizeof *dmf->imports);
  Import *import = &dmf->imports[dmf->import_count++];
  *import = (Import){.path = mem_string(path)};
  return import;
}

void imports_free(Dmf *dmf) {
  for (int i = 0; i < dmf->import_count; i++) {
    free(dmf->imports[i].path);
    script_free(dmf->imports[i].script);
  }
  free(dmf->imports);
}

static void report_cycle(Eval *eval, Span span, const Dmf *dmf, const Import *again) {
  char *chain = mem_string("");
  for (const Import *import = again; import < dmf->imports + dmf->import_count; import++) {
    if (!import->running) continue;
    char *longer = mem_format("%s%s imports ", chain, import->path);
    free(chain);
    chain = longer;
  }
  eval_error(eval, span, NULL, "import cycle: %s%s", chain, again->path);
  free(chain);
}

/* Reads the script, anew when the file may have changed since the last time. */
static bool parse(Eval *eval, Span span, const char *path, Script **script) {
  char *why = NULL;
  Source *source = source_read(path, path, true, &why);
  if (!source) {
    eval_fail(eval, STATUS_FILE, span, NULL, "%s", why);
    free(why);
    return false;
  }
  source->library = true;
  ParseOutcome outcome = script_parse(source, false, script, eval->diags);
  source_drop(source);
  if (outcome == PARSE_OK) return true;
  if (eval->diags->count) diag_note(eval->diags, span, "imported here");
  eval->halted |= !eval->dry;
  session_keep(eval->host->self, *script);
  return false;
}

/* The run after a check evaluates the very text that was checked. */
static Script *script_of(Eval *eval, Span span, Import *import) {
  Dmf *dmf = eval->host->self;
  bool checked = import->script && !eval->dry && import->pass == dmf->pass - 1;
  if (checked) return import->script;
  Script *script = NULL;
  if (!parse(eval, span, import->path, &script)) return NULL;
  if (import->script) session_keep(dmf, import->script);
  return import->script = script;
}

static void import_path(Eval *eval, Span span, const char *path) {
  Dmf *dmf = eval->host->self;
  Import *import = import_of(dmf, path);
  int index = (int)(import - dmf->imports);
  if (import->running) {
    report_cycle(eval, span, dmf, import);
    return;
  }
  if (import->pass == dmf->pass) return;
  Script *script = script_of(eval, span, import);
  import->pass = dmf->pass;
  eval->blind |= !script;
  if (!script) return;
  import->running = true;
  eval_block(eval, script->root);
  dmf->imports[index].running = false;
}

void import_run(Eval *eval, const Ast *node) {
  char *path = find(node->span, node->name);
  if (!path) {
    eval->blind = true;
    eval_fail(eval, STATUS_FILE, node->span,
              "looked beside the script, in DMF_PATH and in the installed library",
              "cannot find '%s'", node->name);
    return;
  }
  import_path(eval, node->span, path);
  free(path);
}

void import_prelude(Eval *eval) {
  char *path = import_installed("std/prelude.dmf");
  if (path)
    import_path(eval, (Span){0}, path);
  else
    diag_warning(eval->diags, (Span){0}, "DMF_PATH can name the directory that holds 'std'",
                 "the standard library, with layers and activations, is not found");
  free(path);
}
