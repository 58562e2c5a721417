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

static Status unknown(const char *path, char **why) {
  return file_fail(why, path, STATUS_FILE,
                   "the extension names no known format: use .h5, .hdf5, .npy, .csv or .json");
}

Status file_write_array(const char *path, const char *name, const Array *array, char **why) {
  switch (format_of(path)) {
  case FORMAT_HDF5: return file_write_array_hdf5(path, name, array, why);
  case FORMAT_NPY: return file_write_array_npy(path, array, why);
  case FORMAT_CSV: return file_write_array_csv(path, array, why);
  case FORMAT_JSON: return file_write_array_json(path, name, array, why);
  case FORMAT_UNKNOWN: break;
  }
  return unknown(path, why);
}

Status file_write_result(const char *path, Result *result, const char *script, char **why) {
  switch (format_of(path)) {
  case FORMAT_HDF5: return file_write_result_hdf5(path, result, script, why);
  case FORMAT_NPY:
    return file_fail(why, path, STATUS_FILE,
                     ".npy holds one array: save one field of the result, or use .h5");
  case FORMAT_CSV: return file_write_result_csv(path, result, why);
  case FORMAT_JSON: return file_write_result_json(path, result, script, why);
  case FORMAT_UNKNOWN: break;
  }
  return unknown(path, why);
}
