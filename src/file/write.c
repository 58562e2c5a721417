/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The choice of a format by the extension of the path. */
#include "file/file.h"
#include "file/io.h"

#include <strings.h>

typedef enum Format { FORMAT_HDF5, FORMAT_NPY, FORMAT_CSV, FORMAT_JSON, FORMAT_UNKNOWN } Format;

static Format format_of(const char *path) {
  static const struct {
    const char *extension;
    Format format;
  } known[] = {{"h5", FORMAT_HDF5},
               {"hdf5", FORMAT_HDF5},
               {"npy", FORMAT_NPY},
               {"csv", FORMAT_CSV},
               {"json", FORMAT_JSON}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (strcasecmp(file_extension(path), known[i].extension) == 0) return known[i].format;
  return FORMAT_UNKNOWN;
}

static Status check(const char *path, const Array *array, bool is_long, char **why) {
  Format format = format_of(path);
  if (format == FORMAT_UNKNOWN)
    return file_fail(why, path, STATUS_FILE,
                     "the extension names no known format: use .h5, .hdf5, .npy, .csv or .json");
  if (format == FORMAT_NPY && !array)
    return file_fail(why, path, STATUS_FILE,
                     ".npy holds one array: save one field of the result, or use .h5");
  if (format == FORMAT_CSV && array && array->rank > 2 && !is_long)
    return file_fail(why, path, STATUS_FILE,
                     "an array of %d axes does not fit into .csv: use .h5 or .npy", array->rank);
  if (format == FORMAT_CSV && array && array->size == 0)
    return file_fail(why, path, STATUS_FILE,
                     "an array without numbers cannot be read from .csv "
                     "again: use .h5 or .npy");
  return STATUS_OK;
}

Status file_check_target(const char *path, const Array *array, char **why) {
  return check(path, array, false, why);
}

Status file_check_long(const char *path, const Array *array, char **why) {
  return check(path, array, true, why);
}

static bool has_places(const ResultField *field) {
  for (int i = 0; field->along && i < field->along->count; i++)
    if (field->along->list[i].at) return true;
  return false;
}

Status file_write_field(const char *path, const ResultField *field, const char *origin,
                        char **why) {
  Status status = check(path, field->value, has_places(field), why);
  if (status) return status;
  switch (format_of(path)) {
  case FORMAT_HDF5: return file_write_field_hdf5(path, field, why);
  case FORMAT_NPY: return file_write_array_npy(path, field->value, why);
  case FORMAT_CSV: return file_write_field_csv(path, field, has_places(field), origin, why);
  default: return file_write_field_json(path, field, why);
  }
}

Status file_write_array(const char *path, const char *name, const Array *array, char **why) {
  Status status = file_check_target(path, array, why);
  if (status) return status;
  switch (format_of(path)) {
  case FORMAT_HDF5: return file_write_array_hdf5(path, name, array, why);
  case FORMAT_NPY: return file_write_array_npy(path, array, why);
  case FORMAT_CSV: return file_write_array_csv(path, name, array, why);
  default: return file_write_array_json(path, name, array, why);
  }
}

Status file_write_result(const char *path, Result *result, const char *script, char **why) {
  Status status = file_check_target(path, NULL, why);
  if (status) return status;
  switch (format_of(path)) {
  case FORMAT_HDF5: return file_write_result_hdf5(path, result, script, why);
  case FORMAT_CSV: return file_write_result_csv(path, result, why);
  default: return file_write_result_json(path, result, script, why);
  }
}
