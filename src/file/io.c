/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "file/io.h"
#include "base/memory.h"
#include "base/work.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Names and damaged bytes may hold anything; the reason stays one printable line. */
Status file_fail(char **why, const char *path, Status status, const char *format, ...) {
  va_list args;
  va_start(args, format);
  char *message = mem_vformat(format, args);
  va_end(args);
  *why = mem_format("%s: %s", path, message);
  for (char *c = *why; *c; c++)
    if (iscntrl((unsigned char)*c)) *c = '?';
  free(message);
  return status;
}

Status file_starve(char **why, const char *path, double bytes) {
  char *refusal = mem_refusal(bytes);
  file_fail(why, path, STATUS_LIMIT, "%s", refusal);
  free(refusal);
  return STATUS_LIMIT;
}

Status file_stop(char **why) {
  free(*why);
  *why = mem_string("interrupted");
  return STATUS_INTERRUPTED;
}

/* What the system says; that it has no memory is a limit. */
static Status file_break(char **why, const char *path, int error) {
  return error == ENOMEM ? file_starve(why, path, 0)
                         : file_fail(why, path, STATUS_FILE, "%s", strerror(error));
}

static Status read_all(int fd, const char *path, FileBytes *bytes, char **why) {
  enum { PIECE = 1 << 24 };
  size_t got = 0;
  while (got < bytes->length && !work_stopped()) {
    size_t rest = bytes->length - got;
    ssize_t n = read(fd, bytes->data + got, rest < PIECE ? rest : PIECE);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return file_break(why, path, errno);
    if (n == 0)
      return file_fail(why, path, STATUS_FILE, "the file became shorter while it was read");
    got += (size_t)n;
  }
  return STATUS_OK;
}

static Status load(int fd, const char *path, FileBytes *bytes, char **why) {
  struct stat info;
  if (fstat(fd, &info) < 0) return file_break(why, path, errno);
  if (S_ISDIR(info.st_mode)) return file_fail(why, path, STATUS_FILE, "this is a directory");
  if (!S_ISREG(info.st_mode))
    return file_fail(why, path, STATUS_FILE, "this is not a regular file");
  bytes->length = (size_t)info.st_size;
  if ((double)bytes->length < mem_available()) bytes->data = malloc(bytes->length + 1);
  if (!bytes->data) return file_starve(why, path, (double)bytes->length);
  bytes->data[bytes->length] = 0;
  return read_all(fd, path, bytes, why);
}

Status file_read(const char *path, FileReader *read, void *context, Array **array, char **why) {
  FileBytes bytes = {0};
  *array = NULL;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return file_break(why, path, errno);
  Status status = load(fd, path, &bytes, why);
  close(fd);
  if (!status && file_is_gzip(bytes)) status = file_gunzip(path, &bytes, why);
  if (!status) status = read(path, bytes, context, array, why);
  free(bytes.data);
  if (work_stopped()) status = file_stop(why);
  if (!status) return status;
  array_drop(*array);
  *array = NULL;
  return status;
}

Status file_new_array(const char *path, int rank, const size_t *shape, Array **array, char **why) {
  double bytes = sizeof(double);
  for (int i = 0; i < rank; i++) bytes *= (double)shape[i];
  bool fits = mem_fits(bytes);
  *array = NULL;
  if (fits && !work_spend(bytes / sizeof(double)))
    return file_fail(why, path, STATUS_LIMIT, "the array is too large for a check");
  if (fits) *array = array_new(rank, shape);
  return *array ? STATUS_OK : file_starve(why, path, bytes);
}

Status file_new_array_at(const char *path, FileBytes bytes, size_t begin, size_t size, int rank,
                         const size_t *shape, Array **array, char **why) {
  double promised = (double)size; /* a damaged header may promise any number */
  for (int i = 0; i < rank; i++) promised *= (double)shape[i];
  promised += (double)begin;
  if ((double)bytes.length < promised)
    return file_fail(why, path, STATUS_FILE, "cut off at byte %zu: the header promises %.0f bytes",
                     bytes.length, promised);
  if ((double)bytes.length > promised)
    return file_fail(why, path, STATUS_FILE,
                     "byte %.0f should be the end, as the header promises, but %zu bytes follow",
                     promised, bytes.length - (size_t)promised);
  return file_new_array(path, rank, shape, array, why);
}

bool file_type_known(FileType type) {
  switch (type.kind) {
  case 'f': return type.size == 2 || type.size == 4 || type.size == 8;
  case 'i':
  case 'u': return type.size == 1 || type.size == 2 || type.size == 4 || type.size == 8;
  case 'b': return type.size == 1;
  default: return false;
  }
}

/* A sign, five bits of exponent and ten of fraction, as IEEE 754 has them. */
static double half(unsigned bits) {
  int exponent = bits >> 10 & 0x1f;
  double fraction = bits & 0x3ff, size;
  if (exponent == 0x1f)
    size = fraction > 0 ? NAN : INFINITY;
  else
    size = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
  return bits >> 15 ? -size : size;
}

static double floating(uint64_t bits, int size) {
  if (size == 2) return half((unsigned)bits);
  union {
    uint32_t bits;
    float value;
  } single = {.bits = (uint32_t)bits};
  union {
    uint64_t bits;
    double value;
  } wide = {.bits = bits};
  return size == 4 ? (double)single.value : wide.value;
}

static double integer(uint64_t bits, int size) {
  int unused = 64 - 8 * size;
  return (double)((int64_t)(bits << unused) >> unused);
}

double file_number(FileType type, const unsigned char *bytes) {
  uint64_t bits = 0;
  for (int i = 0; i < type.size; i++)
    bits = bits << 8 | bytes[type.big_endian ? i : type.size - 1 - i];
  switch (type.kind) {
  case 'f': return floating(bits, type.size);
  case 'i': return integer(bits, type.size);
  case 'b': return bits != 0;
  default: return (double)bits;
  }
}

/* The temporary files of a target are TARGET.HOST-PROCESS-NUMBER.tmp, so that those of a process
 * that was killed can be told from those of one that writes, here or on another machine. */
static char *stem_of(const char *target) {
  char host[64] = "localhost";
  gethostname(host, sizeof host - 1);
  return mem_format("%s.%s-", target, host);
}

/* Whether the rest of a name behind the stem is that of a process which is gone. */
static bool is_abandoned(const char *rest) {
  int end = 0;
  long process = 0;
  bool ours = sscanf(rest, "%ld-%*d.tmp%n", &process, &end) == 1 && end && !rest[end];
  return ours && process > 0 && kill((pid_t)process, 0) < 0 && errno == ESRCH;
}

/* Removes the temporary files that killed processes left of this target. */
static void clear_abandoned(const char *stem) {
  const char *slash = strrchr(stem, '/'), *begin = slash ? slash + 1 : stem;
  char *directory = slash ? mem_format("%.*s", (int)(slash - stem) + 1, stem) : mem_string("./");
  DIR *entries = opendir(directory);
  const struct dirent *entry;
  while (entries && (entry = readdir(entries))) {
    if (strncmp(entry->d_name, begin, strlen(begin)) != 0) continue;
    if (is_abandoned(entry->d_name + strlen(begin))) unlinkat(dirfd(entries), entry->d_name, 0);
  }
  if (entries) closedir(entries);
  free(directory);
}

/* Creates a new file beside the target with the access rights that the target has, or would get. */
static int create_beside(const char *target, char **temporary) {
  struct stat info;
  bool replaces = stat(target, &info) == 0;
  char *stem = stem_of(target);
  int fd = -1;
  clear_abandoned(stem);
  *temporary = NULL;
  for (int attempt = 0; attempt < 100 && fd < 0; attempt++) {
    free(*temporary);
    *temporary = mem_format("%s%ld-%d.tmp", stem, (long)getpid(), attempt);
    fd = open(*temporary, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0666);
    if (fd < 0 && errno != EEXIST) break;
  }
  if (fd >= 0 && replaces) (void)!fchmod(fd, info.st_mode & 0777);
  free(stem);
  return fd;
}

/* Brings the new name to disk; what the file system cannot do is not asked of it. */
static Status sync_directory(const char *path, const char *target, char **why) {
  const char *slash = strrchr(target, '/');
  char *directory = slash ? mem_format("%.*s", (int)(slash - target) + 1, target) : mem_string(".");
  int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool failed = fd >= 0 && fsync(fd) < 0 && errno != EINVAL && errno != EROFS;
  int error = errno;
  free(directory);
  if (fd >= 0) close(fd);
  return failed ? file_break(why, path, error) : STATUS_OK;
}

static Status finish(const char *path, const char *target, const char *temporary, int fd,
                     char **why) {
  if (fsync(fd) < 0 && errno != EINVAL) return file_break(why, path, errno);
  if (rename(temporary, target) < 0) return file_break(why, path, errno);
  return sync_directory(path, target, why);
}

Status file_replace(const char *path,
                    Status (*write)(const char *temporary, void *context, char **why),
                    void *context, char **why) {
  struct stat info;
  if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
    return file_fail(why, path, STATUS_FILE, "this is not a regular file");
  char real[PATH_MAX], *temporary;
  const char *target = realpath(path, real) ? real : path; /* through a link, not over it */
  int fd = create_beside(target, &temporary);
  if (fd < 0) {
    free(temporary);
    return file_break(why, path, errno);
  }
  Status status = write(temporary, context, why);
  if (!status) status = finish(path, target, temporary, fd, why);
  if (status) unlink(temporary);
  close(fd);
  free(temporary);
  return status;
}

Status file_fill_stream(const char *path, const char *temporary,
                        Status (*write)(FILE *stream, void *context, char **why), void *context,
                        char **why) {
  FILE *stream = fopen(temporary, "we");
  if (!stream) return file_break(why, path, errno);
  errno = 0;
  Status status = write(stream, context, why);
  bool failed = ferror(stream);
  failed = fclose(stream) != 0 || failed;
  if (status || !failed) return status;
  return file_break(why, path, errno ? errno : EIO);
}

typedef struct StreamWriter {
  const char *path;
  Status (*write)(FILE *stream, void *context, char **why);
  void *context;
} StreamWriter;

static Status write_stream(const char *temporary, void *context, char **why) {
  const StreamWriter *writer = context;
  return file_fill_stream(writer->path, temporary, writer->write, writer->context, why);
}

Status file_replace_stream(const char *path,
                           Status (*write)(FILE *stream, void *context, char **why), void *context,
                           char **why) {
  StreamWriter writer = {path, write, context};
  return file_replace(path, write_stream, &writer, why);
}

const char *file_extension(const char *path) {
  const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
  const char *dot = strrchr(base, '.');
  return dot ? dot + 1 : "";
}
