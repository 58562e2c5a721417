/* SPDX-License-Identifier: GPL-3.0-or-later */
/* HDF5. The library prints its errors by default; that is switched off for the length of each call
 * from outside. Identifiers below zero are failures, and every one that is not is closed. */
#include "base/memory.h"
#include "file/file.h"
#include "file/io.h"

#include <errno.h>
#include <hdf5.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The library's reporting, while it is off. */
typedef struct Silence {
  H5E_auto2_t report;
  void *context;
} Silence;

/* The library's own clean-up at exit is declined as well: all is closed by then, except what a
 * damaged file made it lose, over which it would stumble. */
static Silence silence_begin(void) {
  Silence silence = {0};
  H5dont_atexit();
  H5Eget_auto2(H5E_DEFAULT, &silence.report, &silence.context);
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
  return silence;
}

static void silence_end(Silence silence) {
  H5Eset_auto2(H5E_DEFAULT, silence.report, silence.context);
}

/* Reading */

static bool is_numeric(hid_t dataset) {
  hid_t type = H5Dget_type(dataset);
  if (type < 0) return false;
  H5T_class_t class = H5Tget_class(type);
  H5Tclose(type);
  return class == H5T_INTEGER || class == H5T_FLOAT;
}

static Status shape_of(const char *path, hid_t dataset, int *rank, size_t *shape, char **why) {
  hsize_t lengths[H5S_MAX_RANK];
  hid_t space = H5Dget_space(dataset);
  H5S_class_t class = space < 0 ? H5S_NO_CLASS : H5Sget_simple_extent_type(space);
  *rank = class == H5S_SIMPLE ? H5Sget_simple_extent_dims(space, lengths, NULL) : 0;
  if (space >= 0) H5Sclose(space);
  if (class != H5S_SIMPLE && class != H5S_SCALAR)
    return file_fail(why, path, STATUS_FILE, "the dataset is empty");
  if (*rank > ARRAY_MAX_RANK)
    return file_fail(why, path, STATUS_FILE, "the dataset has %d axes (at most %d are possible)",
                     *rank, ARRAY_MAX_RANK);
  for (int i = 0; i < *rank; i++) shape[i] = (size_t)lengths[i];
  return STATUS_OK;
}

static Status read_dataset(const char *path, const char *name, hid_t dataset, Array **array,
                           char **why) {
  int rank;
  size_t shape[ARRAY_MAX_RANK];
  if (!is_numeric(dataset))
    return file_fail(why, path, STATUS_FILE, "'%s' does not hold numbers", name);
  Status status = shape_of(path, dataset, &rank, shape, why);
  if (!status) status = file_new_array(path, rank, shape, array, why);
  if (status || !(*array)->size) return status;
  if (H5Dread(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, (*array)->data) >= 0)
    return STATUS_OK;
  array_drop(*array);
  *array = NULL;
  return file_fail(why, path, STATUS_FILE, "'%s' cannot be read: the file is damaged or cut off",
                   name);
}

/* Gathers the names of datasets for the message when one is missing. */
static herr_t collect(hid_t file, const char *name, const H5O_info_t *info, void *context) {
  (void)file;
  char **names = context;
  if (info->type != H5O_TYPE_DATASET) return 0;
  char *longer = mem_format("%s%s/%s", *names, **names ? ", " : "", name);
  free(*names);
  *names = longer;
  return strlen(longer) > 200;
}

static Status no_dataset(const char *path, const char *name, hid_t file, char **why) {
  char *names = mem_string("");
  H5Ovisit(file, H5_INDEX_NAME, H5_ITER_NATIVE, collect, &names);
  Status status = *names ? file_fail(why, path, STATUS_FILE,
                                     "there is no dataset '%s'; the file holds %s", name, names)
                         : file_fail(why, path, STATUS_FILE, "the file holds no datasets");
  free(names);
  return status;
}

static Status read_file(const char *path, const char *name, Array **array, char **why) {
  if (access(path, R_OK) < 0) return file_fail(why, path, STATUS_FILE, "%s", strerror(errno));
  if (H5Fis_hdf5(path) <= 0) return file_fail(why, path, STATUS_FILE, "this is not an HDF5 file");
  hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
  if (file < 0) return file_fail(why, path, STATUS_FILE, "the HDF5 file is damaged or cut off");
  hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
  Status status = dataset < 0 ? no_dataset(path, name, file, why)
                              : read_dataset(path, name, dataset, array, why);
  if (dataset >= 0) H5Dclose(dataset);
  H5Fclose(file);
  return status;
}

Status file_read_hdf5(const char *path, const char *dataset, Array **array, char **why) {
  *array = NULL;
  Silence silence = silence_begin();
  Status status = read_file(path, dataset, array, why);
  silence_end(silence);
  return status;
}

/* Writing. The small writers return false when the library failed. */

static bool put_attribute(hid_t object, const char *name, hid_t type, const void *value) {
  hid_t space = H5Screate(H5S_SCALAR);
  hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  bool good = attribute >= 0 && H5Awrite(attribute, type, value) >= 0;
  if (attribute >= 0) H5Aclose(attribute);
  if (space >= 0) H5Sclose(space);
  return good;
}

static bool put_text(hid_t object, const char *name, const char *text) {
  hid_t type = H5Tcopy(H5T_C_S1);
  bool good = type >= 0 && H5Tset_size(type, H5T_VARIABLE) >= 0 &&
              H5Tset_cset(type, H5T_CSET_UTF8) >= 0 && put_attribute(object, name, type, &text);
  if (type >= 0) H5Tclose(type);
  return good;
}

/* Numbers that a double holds exactly are stored as such, everything else as text. */
static bool put_value(hid_t object, const char *name, const char *text) {
  char *end;
  double value = strtod(text, &end);
  if (end == text || *end || fabs(value) >= 0x1p53) return put_text(object, name, text);
  return put_attribute(object, name, H5T_NATIVE_DOUBLE, &value);
}

/* A dataset and the groups on its way; *dataset is to be closed when it is not negative. */
static bool put_dataset(hid_t file, const char *name, const Array *a, hid_t *dataset) {
  hsize_t shape[ARRAY_MAX_RANK];
  for (int i = 0; i < a->rank; i++) shape[i] = a->shape[i];
  hid_t links = H5Pcreate(H5P_LINK_CREATE), space = H5Screate_simple(a->rank, shape, NULL);
  H5Pset_create_intermediate_group(links, 1);
  *dataset = H5Dcreate2(file, name, H5T_NATIVE_DOUBLE, space, links, H5P_DEFAULT, H5P_DEFAULT);
  bool good = *dataset >= 0 &&
              H5Dwrite(*dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, a->data) >= 0;
  if (space >= 0) H5Sclose(space);
  H5Pclose(links);
  return good;
}

static bool put_described(hid_t file, const char *prefix, const ResultField *field,
                          const Array *a) {
  hid_t dataset;
  char *name = field->layer ? mem_format("%s/%s/%d", prefix, field->name, field->layer)
                            : mem_format("%s/%s", prefix, field->name);
  bool good = put_dataset(file, name, a, &dataset) && put_text(dataset, "axes", field->axes) &&
              put_text(dataset, "about", field->about);
  if (dataset >= 0) H5Dclose(dataset);
  free(name);
  return good;
}

static bool put_field(hid_t file, const ResultField *field) {
  if (field->value && !put_described(file, "", field, field->value)) return false;
  return !field->error || put_described(file, "/stderr", field, field->error);
}

typedef struct Content {
  const char *path, *name, *script;
  const Array *array;   /* one dataset, */
  const Result *result; /* or a result */
} Content;

static bool put_result(hid_t file, const Content *content) {
  const Result *result = content->result;
  const double exact = result->exact;
  bool good = put_text(file, "kind", result->kind) &&
              put_attribute(file, "exact", H5T_NATIVE_DOUBLE, &exact) &&
              (!content->script || put_text(file, "script", content->script));
  for (int i = 0; good && i < result->attribute_count; i++)
    good = put_value(file, result->attributes[i].name, result->attributes[i].value);
  for (int i = 0; good && i < result->field_count; i++) good = put_field(file, &result->fields[i]);
  return good;
}

/* A name that can be one link of a path. */
static bool put_array(hid_t file, const Content *content) {
  hid_t dataset;
  char *name = mem_string(*content->name && strcmp(content->name, ".") ? content->name : "data");
  for (char *c = name; *c; c++)
    if (*c == '/') *c = '_';
  bool good = put_dataset(file, name, content->array, &dataset);
  if (dataset >= 0) H5Dclose(dataset);
  free(name);
  return good;
}

/* The library cannot live with a disk that fills up (it fails to close the file and crashes at
 * exit): it builds the file in memory, and the bytes are written here. */
static hid_t create_in_memory(void) {
  enum { GROWTH = 4 << 20 };
  hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  hid_t file = H5Pset_fapl_core(access, GROWTH, 0) < 0
                   ? H5I_INVALID_HID
                   : H5Fcreate("dmf", H5F_ACC_TRUNC, H5P_DEFAULT, access);
  H5Pclose(access);
  return file;
}

/* The bytes of the file, to be freed; NULL if the library or the memory fails. */
static void *image_of(hid_t file, size_t *size) {
  if (H5Fflush(file, H5F_SCOPE_LOCAL) < 0) return NULL;
  ssize_t length = H5Fget_file_image(file, NULL, 0);
  void *image = length > 0 ? malloc((size_t)length) : NULL;
  *size = (size_t)length;
  if (image && H5Fget_file_image(file, image, *size) == length) return image;
  free(image);
  return NULL;
}

static double bytes_of(const Content *content) {
  double count = content->array ? (double)content->array->size : 0;
  for (int i = 0; content->result && i < content->result->field_count; i++) {
    const ResultField *field = &content->result->fields[i];
    if (field->value) count += (double)field->value->size * (field->error ? 2 : 1);
  }
  return count * sizeof(double);
}

typedef struct Image {
  void *bytes;
  size_t size;
} Image;

static Status put_image(FILE *stream, void *context, char **why) {
  (void)why;
  const Image *image = context;
  fwrite(image->bytes, 1, image->size, stream);
  return STATUS_OK;
}

static Status build(const Content *content, Image *image, char **why) {
  double needed = 2 * bytes_of(content);
  if (needed > mem_available())
    return file_fail(why, content->path, STATUS_LIMIT,
                     "writing takes %.0f bytes of memory, but %.0f are free", needed,
                     mem_available());
  hid_t file = create_in_memory();
  if (file >= 0 && (content->result ? put_result(file, content) : put_array(file, content)))
    image->bytes = image_of(file, &image->size);
  if (file >= 0) H5Fclose(file);
  if (image->bytes) return STATUS_OK;
  return file_fail(why, content->path, STATUS_FILE, "the HDF5 library could not make the file");
}

static Status write_file(Content content, char **why) {
  Image image = {0};
  Silence silence = silence_begin();
  Status status = build(&content, &image, why);
  silence_end(silence);
  if (!status) status = file_replace_stream(content.path, put_image, &image, why);
  free(image.bytes);
  return status;
}

Status file_write_array_hdf5(const char *path, const char *name, const Array *array, char **why) {
  return write_file((Content){.path = path, .name = name, .array = array}, why);
}

Status file_write_result_hdf5(const char *path, Result *result, const char *script, char **why) {
  Status status = result_complete(result, why);
  return status ? status
                : write_file((Content){.path = path, .script = script, .result = result}, why);
}
