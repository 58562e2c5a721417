/* SPDX-License-Identifier: GPL-3.0-or-later */
/* IDX, the format of MNIST: two zero bytes, the element type, the number of axes, their lengths as
 * 32-bit numbers, and the elements, all big-endian. */
#include "base/work.h"
#include "file/file.h"
#include "file/io.h"

static bool type_of(unsigned char code, FileType *type) {
  switch (code) {
  case 0x08: *type = (FileType){'u', 1, true}; return true;
  case 0x09: *type = (FileType){'i', 1, true}; return true;
  case 0x0B: *type = (FileType){'i', 2, true}; return true;
  case 0x0C: *type = (FileType){'i', 4, true}; return true;
  case 0x0D: *type = (FileType){'f', 4, true}; return true;
  case 0x0E: *type = (FileType){'f', 8, true}; return true;
  default: return false;
  }
}

static Status read_idx(const char *path, FileBytes bytes, void *context, Array **array,
                       char **why) {
  (void)context;
  const unsigned char *b = bytes.data;
  FileType type;
  if (bytes.length < 4 || b[0] || b[1])
    return file_fail(why, path, STATUS_FILE,
                     "this is not an IDX file (its first bytes are not 0 0 TYPE RANK)");
  if (!type_of(b[2], &type))
    return file_fail(why, path, STATUS_FILE, "byte 2: %d is not an element type of IDX", b[2]);
  size_t rank = b[3], shape[ARRAY_MAX_RANK];
  if (rank < 1 || rank > ARRAY_MAX_RANK)
    return file_fail(why, path, STATUS_FILE, "byte 3: %zu axes (1 to %d are possible)", rank,
                     ARRAY_MAX_RANK);
  if (bytes.length < 4 + 4 * rank)
    return file_fail(why, path, STATUS_FILE, "the header is cut off at byte %zu", bytes.length);
  for (size_t i = 0; i < rank; i++)
    shape[i] = (size_t)file_number((FileType){'u', 4, true}, b + 4 + 4 * i);
  size_t start = 4 + 4 * rank;
  Status status =
      file_new_array_at(path, bytes, start, (size_t)type.size, (int)rank, shape, array, why);
  for (size_t i = 0; !status && i < (*array)->size && work_goes_on(i); i++)
    (*array)->data[i] = file_number(type, b + start + i * (size_t)type.size);
  return status;
}

Status file_read_idx(const char *path, Array **array, char **why) {
  return file_read(path, read_idx, NULL, array, why);
}
