/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Files that scripts read and write. */
#include "session/session.h"
#include "base/memory.h"
#include "file/file.h"
#include "model/trail.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Places */

static bool listed(const FileNames *names, const char *path) {
  for (int i = 0; i < names->count; i++)
    if (strcmp(names->list[i], path) == 0) return true;
  return false;
}

static void names_add(FileNames *names, const char *path) {
  names->list = mem_grow(names->list, ((size_t)names->count + 1) * sizeof *names->list);
  names->list[names->count++] = mem_string(path);
}

static void names_clear(FileNames *names) {
  for (int i = 0; i < names->count; i++) free(names->list[i]);
  free(names->list);
  *names = (FileNames){0};
}

void files_expect_none(Dmf *dmf) {
  names_clear(&dmf->expected);
  dmf->expects_any = false;
}

static const char *without_dot(const char *path) {
  while (path[0] == '.' && path[1] == '/') path += 2 + strspn(path + 2, "/");
  return path;
}

/* Where `save` puts a file of this name, and a file beside the script that names it; to be freed.
 */
static char *place_of_saved(const Dmf *dmf, const char *path) {
  path = without_dot(path);
  return dmf->out && *path != '/' ? mem_format("%s/%s", dmf->out, path) : mem_string(path);
}

static char *place_beside(Span span, const char *path) {
  return session_beside(span, without_dot(path));
}

/* Whether the code saves such a file; of names that are made by it that cannot be told. */
static bool saves(const Dmf *dmf, const Ast *node, const char *place) {
  if (!node) return false;
  if (node->kind == AST_SAVE) {
    const Ast *name = node->kid[1];
    char *target = name->kind == AST_STRING ? place_of_saved(dmf, name->name) : NULL;
    bool same = !target || strcmp(target, place) == 0;
    free(target);
    return same;
  }
  for (int i = 0; i < node->count; i++)
    if (saves(dmf, node->kid[i], place)) return true;
  return false;
}

/* Whether a check cannot know what the file will hold: the script has saved it before it comes to
 * this place, or may have, where the order is not known. */
static bool is_to_be_written(const Eval *eval, const char *place) {
  const Dmf *dmf = eval->host->self;
  if (!eval->dry) return false;
  return dmf->expects_any || listed(&dmf->expected, place) ||
         (eval->doubt && dmf->checked && saves(dmf, dmf->checked, place));
}

/* Data lie beside the script, but for those that this session writes, and those that an earlier one
 * wrote, or that are in a directory of DMF_DATA, and that are not there. */
static char *data_place(const Eval *eval, Span span, const char *path) {
  const Dmf *dmf = eval->host->self;
  char *saved = place_of_saved(dmf, path), *beside = place_beside(span, path);
  bool own = listed(&dmf->written, saved) || is_to_be_written(eval, saved) ||
             (access(beside, F_OK) != 0 && access(saved, F_OK) == 0);
  free(own ? beside : saved);
  if (own) return saved;
  char *kept = *path == '/' || access(beside, F_OK) == 0 ? NULL : import_listed("DMF_DATA", path);
  if (kept) free(beside);
  return kept ? kept : beside;
}

char *files_saved(const Eval *eval, Span span, const char *path, bool *unknown) {
  char *saved = place_of_saved(eval->host->self, path), *beside = place_beside(span, path);
  bool own = is_to_be_written(eval, saved) || access(saved, F_OK) == 0;
  char *place = own ? saved : beside;
  free(own ? beside : saved);
  *unknown = is_to_be_written(eval, place);
  return place;
}

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
  names_clear(&dmf->written);
  files_expect_none(dmf);
}

static long long nanoseconds(struct timespec t) { return t.tv_sec * 1000000000LL + t.tv_nsec; }

/* The array of the file, read anew when the file may have changed; NULL after reporting, or when
 * the file is too large for a check. */
static Array *read_cached(Eval *eval, Span span, const char *format, const char *path,
                          const char *inside) {
  Dmf *dmf = eval->host->self;
  CachedFile *file = cached(dmf, format, path, inside ? inside : "");
  struct stat about = {0};
  bool there = stat(path, &about) == 0;
  long long modified = nanoseconds(about.st_mtim);
  if (there && file->array && file->modified == modified &&
      file->size == (long long)about.st_size && file->node == about.st_ino)
    return array_keep(file->array);
  if (!eval_affords(eval, (double)about.st_size / sizeof(double))) return NULL;
  char *header = NULL, *why = NULL;
  array_drop(file->array);
  file->array = NULL;
  Status status = read_as(format, path, inside, &file->array, &header, &why);
  if (status != STATUS_OK) {
    file->array = NULL;
    eval_fail(eval, status, span, NULL, "%s", why);
  }
  if (header && !listed(&dmf->written, path))
    diag_remark(eval->diags, span, "a line that begins with # is passed over without this remark",
                "%s: the first line is taken for the names of the columns: %s", path, header);
  free(header);
  free(why);
  file->modified = modified;
  file->size = (long long)about.st_size;
  file->node = about.st_ino;
  return array_keep(file->array);
}

Value *files_read(Eval *eval, Span span, const char *format, const char *path, const char *inside) {
  char *place = data_place(eval, span, path);
  Value *value;
  if (is_to_be_written(eval, place)) {
    value = value_new(&eval->heap, VALUE_UNKNOWN);
  } else {
    int before = eval->diags->errors;
    Array *array = read_cached(eval, span, format, place, inside);
    bool left_out = !array && eval->diags->errors == before;
    value = array ? value_array(&eval->heap, array)
                  : value_new(&eval->heap, left_out ? VALUE_UNKNOWN : VALUE_BROKEN);
  }
  free(place);
  return value;
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

/* What is there is used. */
char *files_directory(Eval *eval, const Value *value, const char *argument, Span span) {
  if (value->kind != VALUE_STRING) {
    if (value->kind != VALUE_BROKEN && value->kind != VALUE_UNKNOWN)
      eval_error(eval, span, NULL, "'%s' must be the name of a directory, not %s", argument,
                 value_describe(value));
    return NULL;
  }
  char *path = files_target(eval, value->string, span);
  struct stat about;
  if (path && !eval->dry) mkdir(path, 0777);
  int error = errno;
  bool there = path && stat(path, &about) == 0;
  if (!path || (eval->dry && !there) || (there && S_ISDIR(about.st_mode))) return path;
  eval_fail(eval, STATUS_FILE, span, NULL, there ? "%s is not a directory" : "%s: %s", path,
            strerror(error));
  free(path);
  return NULL;
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
  if (collected || has_directory(path)) return place_of_saved(dmf, path);
  eval_fail(eval, STATUS_FILE, span, NULL, "%s: there is no such directory", path);
  return NULL;
}

/* What the file will not say how to compute is computed now, unless nothing more is. */
static Status complete_for_file(Eval *eval, Result *result, char **why) {
  if (session_stops(eval->host->self)) return STATUS_OK;
  return result->recipe.text ? session_complete_small(eval, result, why)
                             : solver_complete(eval, result, NULL, why);
}

static bool has_places(const Value *value) {
  for (int i = 0; value->axes && i < value->axes->count; i++)
    if (value->axes->list[i].at) return true;
  return false;
}

/* "net.gamma,t", to be freed. */
static char *axes_text(const Axes *axes) {
  char *text = mem_string("");
  for (int i = 0; axes && i < axes->count; i++)
    mem_append(&text, "%s%s", i ? "," : "", axes->list[i].name ? axes->list[i].name : "");
  return text;
}

/* What made it: the version, the seed that was asked for, and the script; to be freed. */
static char *origin_text(const Dmf *dmf) {
  const DmfConfig *config = &dmf->config;
  char *text = mem_format("dmf %s", dmf_version());
  if (config->has_seed) mem_append(&text, " --seed %llu", config->seed);
  if (dmf->partial) mem_append(&text, "\n%s", dmf->partial);
  if (dmf->text) mem_append(&text, "\n%s", dmf->text->text);
  return text;
}

/* Numbers, with their errors and axes where they have such. */
static Status write_numbers(Eval *eval, Value *value, const char *name, const char *target,
                            char **why) {
  bool sampled = trail_error(eval, value) != NULL, leads = session_leads(eval->host->self);
  Array *array = value_as_array(value);
  if (!array || !leads) return array_drop(array), array ? STATUS_OK : STATUS_LIMIT;
  Status status;
  if (sampled || has_places(value)) {
    char *axes = axes_text(value->axes);
    ResultField field = {.name = (char *)name,
                         .axes = axes,
                         .about = "",
                         .value = array,
                         .error = value->error,
                         .scatter = value->trail ? value->trail->scatter : NULL,
                         .along = value->axes};
    char *origin = origin_text(eval->host->self);
    status = file_write_field(target, &field, origin, why);
    free(origin);
    free(axes);
  } else {
    status = file_write_array(target, name, array, why);
  }
  array_drop(array);
  return status;
}

static Status write_value(Eval *eval, Value *value, const char *name, const char *target,
                          char **why) {
  const Dmf *dmf = eval->host->self;
  if (value->kind == VALUE_RESULT) {
    Status status = complete_for_file(eval, value->result, why);
    const char *script = dmf->text ? dmf->text->text : NULL;
    if (status == STATUS_OK && session_leads(dmf))
      status = file_write_result(target, value->result, script, why);
    return session_agree(dmf, status, why);
  }
  Status status = write_numbers(eval, value, name, target, why);
  return session_agree(dmf, status, why);
}

void files_tell(const Dmf *dmf, const char *path) {
  if (dmf->config.wrote) dmf->config.wrote(dmf->config.sink, path);
}

/* The file is not what it was. */
static void note_written(Dmf *dmf, const char *path) {
  files_tell(dmf, path);
  if (!listed(&dmf->written, path)) names_add(&dmf->written, path);
  for (int i = 0; i < dmf->file_count; i++) {
    if (strcmp(dmf->files[i].path, path) != 0) continue;
    array_drop(dmf->files[i].array);
    dmf->files[i].array = NULL;
  }
}

void files_save(Eval *eval, Value *value, const char *name, const char *path, bool certain,
                Span span) {
  Dmf *dmf = eval->host->self;
  dmf->expects_any |= eval->dry && !certain;
  char *target = path ? files_target(eval, path, span) : NULL, *why = NULL;
  if (!target) return;
  Array *array = value_as_array(value);
  bool unknown = value->kind == VALUE_UNKNOWN || value->kind == VALUE_BROKEN;
  Status status = unknown             ? STATUS_OK
                  : has_places(value) ? file_check_long(target, array, &why)
                                      : file_check_target(target, array, &why);
  array_drop(array);
  if (!eval->dry && status == STATUS_OK) trail_settle(eval, value);
  if (eval->dry)
    names_add(&dmf->expected, target);
  else if (status == STATUS_OK && !eval->halted &&
           (status = write_value(eval, value, name, target, &why)) == STATUS_OK)
    note_written(dmf, target);
  if (status != STATUS_OK && why)
    eval_fail(eval, status, span, NULL, "%s", why);
  else if (status != STATUS_OK)
    eval_starve(eval, span);
  free(why);
  free(target);
}
