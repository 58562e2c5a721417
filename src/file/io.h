/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the formats share: whole files into memory, numbers from bytes, and files that appear under
 * their name only when they are complete. */
#ifndef DMF_FILE_IO_H
#define DMF_FILE_IO_H

#include "base/status.h"
#include "num/array.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Sets `*why` to "path: message" and returns the status. */
Status file_fail(char **why, const char *path, Status status, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The same for want of memory: STATUS_LIMIT, with who bounds it. 0: not known how many bytes. */
Status file_starve(char **why, const char *path, double bytes);

/* What was left off because somebody wants out (base/work.h): STATUS_INTERRUPTED, in the place of
 * another reason. */
Status file_stop(char **why);

/* A file's bytes and a terminating NUL that does not count; free(data). */
typedef struct FileBytes {
  unsigned char *data;
  size_t length;
} FileBytes;

/* Whether the bytes begin a gzip stream; and what they unpack to, in their place. STATUS_FILE with
 * the byte where they are damaged or cut off. */
bool file_is_gzip(FileBytes bytes);
Status file_gunzip(const char *path, FileBytes *bytes, char **why);

/* Loads a file, unpacks it when it is compressed with gzip, and lets `read` make its array; *array
 * is NULL when any of it fails. */
typedef Status FileReader(const char *path, FileBytes bytes, void *context, Array **array,
                          char **why);
Status file_read(const char *path, FileReader *read, void *context, Array **array, char **why);
/* The reader of csv; `context` is a char **, NULL at first, that takes the header. */
FileReader file_csv_reader;
/* A new array, refused with STATUS_LIMIT when it is larger than the memory available, or than a
 * check affords (base/work.h). */
Status file_new_array(const char *path, int rank, const size_t *shape, Array **array, char **why);
/* The same for elements of `size` bytes that begin at a byte and fill the rest of the file;
 * STATUS_FILE when it has another length than that shape promises. */
Status file_new_array_at(const char *path, FileBytes bytes, size_t begin, size_t size, int rank,
                         const size_t *shape, Array **array, char **why);

/* An element type: kind 'f', 'i', 'u' or 'b' (as in NumPy), and its size in bytes. */
typedef struct FileType {
  char kind;
  int size;
  bool big_endian;
} FileType;

bool file_type_known(FileType type);
double file_number(FileType type, const unsigned char *bytes);

/* Lets `write` fill a temporary file beside `path`, then brings it to disk and renames it. When
 * anything fails, the temporary is removed and what was at `path` is still there. What a process
 * that was killed has left is removed the next time. */
Status file_replace(const char *path,
                    Status (*write)(const char *temporary, void *context, char **why),
                    void *context, char **why);
/* The same for text and bytes; failures of the stream itself are found here. */
Status file_replace_stream(const char *path,
                           Status (*write)(FILE *stream, void *context, char **why), void *context,
                           char **why);

/* For file_replace: lets `write` fill the temporary file as a stream. */
Status file_fill_stream(const char *path, const char *temporary,
                        Status (*write)(FILE *stream, void *context, char **why), void *context,
                        char **why);

/* The text after the last dot of the last part of the path, or "". */
const char *file_extension(const char *path);

#endif
