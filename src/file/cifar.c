/* SPDX-License-Identifier: GPL-3.0-or-later */
/* CIFAR-10 binary batches: records of one label byte and three 32 x 32 planes (red, green, blue).
 */
#include "base/work.h"
#include "file/file.h"
#include "file/io.h"

enum { SIDE = 32, PLANE = SIDE * SIDE, COLORS = 3, RECORD = 1 + COLORS * PLANE, CLASSES = 10 };

static Status check(const char *path, FileBytes bytes, char **why) {
  if (!bytes.length || bytes.length % RECORD)
    return file_fail(why, path, STATUS_FILE,
                     "%zu bytes are not a whole number of %d-byte CIFAR-10 records", bytes.length,
                     RECORD);
  for (size_t at = 0; at < bytes.length && work_goes_on(at / RECORD); at += RECORD)
    if (bytes.data[at] >= CLASSES)
      return file_fail(why, path, STATUS_FILE, "byte %zu: label %d is not below %d", at,
                       bytes.data[at], CLASSES);
  return STATUS_OK;
}

/* Planes become the last axis. */
static void read_image(const unsigned char *record, double *image) {
  for (int color = 0; color < COLORS; color++)
    for (int pixel = 0; pixel < PLANE; pixel++)
      image[pixel * COLORS + color] = record[1 + color * PLANE + pixel];
}

static Status read_images(const char *path, FileBytes bytes, void *context, Array **array,
                          char **why) {
  (void)context;
  size_t shape[4] = {bytes.length / RECORD, SIDE, SIDE, COLORS};
  Status status = check(path, bytes, why);
  if (!status) status = file_new_array(path, 4, shape, array, why);
  for (size_t i = 0; !status && i < shape[0] && !work_stopped(); i++)
    read_image(bytes.data + i * RECORD, (*array)->data + i * PLANE * COLORS);
  return status;
}

static Status read_labels(const char *path, FileBytes bytes, void *context, Array **array,
                          char **why) {
  (void)context;
  size_t count = bytes.length / RECORD;
  Status status = check(path, bytes, why);
  if (!status) status = file_new_array(path, 1, &count, array, why);
  for (size_t i = 0; !status && i < count && work_goes_on(i); i++)
    (*array)->data[i] = bytes.data[i * RECORD];
  return status;
}

Status file_read_cifar10(const char *path, Array **array, char **why) {
  return file_read(path, read_images, NULL, array, why);
}

Status file_read_cifar10_labels(const char *path, Array **array, char **why) {
  return file_read(path, read_labels, NULL, array, why);
}
