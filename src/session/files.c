/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Files that scripts read and write. */
#include "session/session.h"
#include "base/memory.h"
#include "file/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Reading */

/* *header is set to the first line of a table that has names, to be freed. */
static Status read_as(const char *format, const char *path, const char *inside, Array **array,
                      char **header, char **why) {
  static const struct {
    const char *format;
    Status (*read)(const char *, Array **, char **);
  } readers[] = {
      {"npy", file_read_npy},
      {"idx", file_read_idx},
      {"cifar10", file_read_cifar10},
      {"cifar10_labels", file_read_cifar10_labels},
  };
  for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
    if (strcmp(readers[i].format, format) == 0) return readers[i].read(path, array, why);
  return strcmp(format, "csv") == 0 ? file_read_csv(path, array, header, why)
                                    : file_read_hdf5(path, inside, array, why);
}

static CachedFile *cached(Dmf *dmf, const char *format, const char *path, const char *inside) {
  for (int i = 0; i < dmf->file_count; i++) {
    CachedFile *file = &dmf->files[i];
    if (strcmp(file->path, path) == 0 && strcmp(file->format, format) == 0 &&
        strcmp(file->inside, inside) == 0)
      return file;
  }
  size_t count = (size_t)dmf->file_count + 1;
  dmf->files = mem_grow(dmf->files, count * sizeof *dmf->files);
  CachedFile *file = &dmf->files[dmf->file_count++];
  *file = (CachedFile){
      .path = mem_string(path), .inside = mem_string(inside), .format = mem_string(format)};
  return file;
}

void files_free(Dmf *dmf) {
  for (int i = 0; i < dmf->file_count; i++) {
    free(dmf->files[i].path);
    free(dmf->files[i].inside);
    free(dmf->files[i].format);
    array_drop(dmf->files[i].array);
  }
  free(dmf->files);
  files_expect_none(dmf);
}

static long long nanoseconds(struct timespec t) { return t.tv_sec * 1000000000LL + t.tv_nsec; }

Array *files_read(Eval *eval, Span span, const char *format, const char *path, const char *inside) {
  char *beside = session_beside(span, path), *header = NULL, *why = NULL;
  CachedFile *file = cached(eval->host->self, format, beside, inside ? inside : "");
  struct stat about = {0};
  bool there = stat(beside, &about) == 0;
  long long modified = nanoseconds(about.st_mtim);
  bool current =
      there && file->array && file->modified == modified && file->size == (long long)about.st_size;
  if (!current) {
    array_drop(file->array);
    file->array = NULL;
    Status status = read_as(format, beside, inside, &file->array, &header, &why);
    if (status != STATUS_OK) {
      file->array = NULL;
      eval_fail(eval, status, span, NULL, "%s", why);
    }
    if (header)
      diag_remark(eval->diags, span, "a line that begins with # is passed over without this remark",
                  "%s: the first line is taken for the names of the columns: %s", beside, header);
    free(header);
    free(why);
    file->modified = modified;
    file->size = (long long)about.st_size;
  }
  free(beside);
  return array_keep(file->array);
}

/* Writing */

/* Makes a directory and those above it. */
static bool make_directory(const char *path) {
  char *copy = mem_string(path);
  for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
    *slash = 0;
    mkdir(copy, 0777);
    *slash = '/';
  }
  bool made = mkdir(copy, 0777) == 0 || errno == EEXIST;
  free(copy);
  return made;
}

/* Whether there is a directory that could hold the file. */
static bool has_directory(const char *path) {
  const char *slash = strrchr(path, '/');
  char *directory = slash ? mem_format("%.*s/", (int)(slash - path), path) : mem_string(".");
  struct stat about;
  bool there = stat(directory, &about) == 0 && S_ISDIR(about.st_mode);
  free(directory);
  return there;
}

char *files_target(Eval *eval, const char *path, Span span) {
  const Dmf *dmf = eval->host->self;
  bool collected = dmf->out && *path != '/';
  if (!*path) {
    eval_fail(eval, STATUS_FILE, span, NULL, "the name of the file is empty");
    return NULL;
  }
  if (collected && !eval->dry && !make_directory(dmf->out)) {
    eval_fail(eval, STATUS_FILE, span, NULL, "cannot make the directory '%s': %s", dmf->out,
              strerror(errno));
    return NULL;
  }
  if (collected) return mem_format("%s/%s", dmf->out, path);
  if (has_directory(path)) return mem_string(path);
  eval_fail(eval, STATUS_FILE, span, NULL, "%s: there is no such directory", path);
  return NULL;
}

char *files_saved(Eval *eval, Span span, const char *path) {
  const Dmf *dmf = eval->host->self;
  char *written = dmf->out && *path != '/' ? mem_format("%s/%s", dmf->out, path) : mem_string(path);
  if (files_expected(dmf, written) || access(written, F_OK) == 0) return written;
  free(written);
  return session_beside(span, path);
}

bool files_expected(const Dmf *dmf, const char *path) {
  for (int i = 0; i < dmf->expected_count; i++)
    if (strcmp(dmf->expected[i], path) == 0) return true;
  return false;
}

static void expect(Dmf *dmf, const char *path) {
  size_t count = (size_t)dmf->expected_count + 1;
  dmf->expected = mem_grow(dmf->expected, count * sizeof *dmf->expected);
  dmf->expected[dmf->expected_count++] = mem_string(path);
}

void files_expect_none(Dmf *dmf) {
  for (int i = 0; i < dmf->expected_count; i++) free(dmf->expected[i]);
  free(dmf->expected);
  dmf->expected = NULL;
  dmf->expected_count = 0;
}

/* What the file will not say how to compute is computed now. */
static Status complete_for_file(Eval *eval, Result *result, char **why) {
  return result->recipe.text ? session_complete_small(eval, result, why)
                             : solver_complete(eval, result, NULL, why);
}

static Status write_value(Eval *eval, const Value *value, const char *name, const char *target,
                          char **why) {
  if (value->kind == VALUE_RESULT) {
    const Dmf *dmf = eval->host->self;
    Status status = complete_for_file(eval, value->result, why);
    const char *script = dmf->text ? dmf->text->text : NULL;
    return status ? status : file_write_result(target, value->result, script, why);
  }
  Array *array = value_as_array(value);
  Status status = array ? file_write_array(target, name, array, why) : STATUS_LIMIT;
  array_drop(array);
  return status;
}

void files_save(Eval *eval, Value *value, const char *name, const char *path, Span span) {
  char *target = files_target(eval, path, span), *why = NULL;
  if (!target) return;
  Array *array = value_as_array(value);
  bool unknown = value->kind == VALUE_UNKNOWN;
  Status status = unknown ? STATUS_OK : file_check_target(target, array, &why);
  array_drop(array);
  if (status == STATUS_OK && eval->dry)
    expect(eval->host->self, target);
  else if (status == STATUS_OK)
    status = write_value(eval, value, name, target, &why);
  if (status != STATUS_OK)
    eval_fail(eval, status, span, NULL, "%s", why ? why : "not enough memory");
  free(why);
  free(target);
}
