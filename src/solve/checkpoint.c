/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/checkpoint.h"
#include "base/memory.h"
#include "file/io.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file that is read or written; when it is written, the seal of what has gone by. */
typedef struct Passage {
  FILE *stream;
  bool sound;
  uint64_t seal;
} Passage;

uint64_t checkpoint_key(uint64_t key, uint64_t number) {
  key = (key ^ number) * 0x100000001b3u; /* the prime of Fowler, Noll and Vo */
  return key ^ key >> 29;
}

uint64_t checkpoint_keys(uint64_t key, const uint64_t *numbers, size_t count) {
  for (size_t i = 0; i < count; i++) key = checkpoint_key(key, numbers[i]);
  return key;
}

uint64_t checkpoint_bits(double number) {
  uint64_t bits;
  memcpy(&bits, &number, sizeof bits);
  return bits;
}

static uint64_t seal_bytes(uint64_t seal, const void *data, size_t bytes) {
  const unsigned char *at = data;
  for (size_t i = 0; i < bytes; i++) seal = (seal ^ at[i]) * 0x100000001b3u;
  return seal;
}

static void read_piece(void *sink, void *data, size_t bytes) {
  Passage *in = sink;
  in->sound = in->sound && fread(data, 1, bytes, in->stream) == bytes;
}

static void write_piece(void *sink, void *data, size_t bytes) {
  Passage *out = sink;
  out->sound = out->sound && fwrite(data, 1, bytes, out->stream) == bytes;
  out->seal = seal_bytes(out->seal, data, bytes);
}

static char *path_of(const Checkpoint *checkpoint, uint64_t key) {
  return mem_format("%s/%016llx.run", checkpoint->directory, (unsigned long long)key);
}

/* A regular file, or NULL. */
static FILE *open_file(const char *path, size_t *bytes) {
  struct stat info;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  FILE *stream = fd >= 0 && fstat(fd, &info) == 0 && S_ISREG(info.st_mode) ? fdopen(fd, "r") : NULL;
  if (!stream && fd >= 0) close(fd);
  *bytes = stream ? (size_t)info.st_size : 0;
  return stream;
}

/* Whether a file of so many bytes ends with the seal of all before it; it is read from its start
 * then. */
static bool is_sealed(FILE *stream, size_t bytes, uint64_t seal) {
  unsigned char block[4096];
  uint64_t last;
  if (bytes < sizeof last) return false;
  for (size_t left = bytes - sizeof last, n; left; left -= n) {
    n = fread(block, 1, left < sizeof block ? left : sizeof block, stream);
    if (!n) return false;
    seal = seal_bytes(seal, block, n);
  }
  bool sealed = fread(&last, sizeof last, 1, stream) == 1 && last == seal;
  rewind(stream);
  return sealed;
}

bool checkpoint_read(const Checkpoint *checkpoint, uint64_t key, CheckpointPieces *show, void *of) {
  char *path = path_of(checkpoint, key);
  size_t bytes;
  Passage in = {open_file(path, &bytes), true, key};
  free(path);
  if (!in.stream) return false;
  in.sound = is_sealed(in.stream, bytes, key);
  if (in.sound) show(of, read_piece, &in);
  in.sound = in.sound && ftell(in.stream) == (long)(bytes - sizeof in.seal);
  fclose(in.stream);
  return in.sound;
}

void checkpoint_drop(const Checkpoint *checkpoint, uint64_t key) {
  char *path = path_of(checkpoint, key);
  unlink(path);
  free(path);
}

/* What is written. */
typedef struct Contents {
  uint64_t key;
  CheckpointPieces *show;
  void *of;
} Contents;

static Status put(FILE *stream, void *context, char **why) {
  const Contents *contents = context;
  Passage out = {stream, true, contents->key};
  (void)why; /* failures of the stream are found by who opened it */
  contents->show(contents->of, write_piece, &out);
  if (out.sound) fwrite(&out.seal, sizeof out.seal, 1, stream);
  return STATUS_OK;
}

void checkpoint_write(Checkpoint *checkpoint, uint64_t key, CheckpointPieces *show, void *of) {
  Contents contents = {key, show, of};
  char *path = path_of(checkpoint, key), *why = NULL, *none = NULL;
  Status status = file_replace_stream(path, put, &contents, &why);
  bool first = status != STATUS_OK && atomic_compare_exchange_strong(&checkpoint->why, &none, why);
  if (!first) free(why);
  free(path);
}

/* Numbers that are read or written. */
typedef struct Numbers {
  double *numbers;
  size_t count;
} Numbers;

static void show_numbers(void *of, Piece *piece, void *sink) {
  Numbers *own = of;
  piece(sink, own->numbers, own->count * sizeof *own->numbers);
}

bool checkpoint_find(const Checkpoint *checkpoint, uint64_t key, double *numbers, size_t count) {
  return checkpoint && checkpoint_read(checkpoint, key, show_numbers, &(Numbers){numbers, count});
}

void checkpoint_keep(Checkpoint *checkpoint, uint64_t key, const double *numbers, size_t count) {
  Numbers own = {(double *)numbers, count};
  if (checkpoint) checkpoint_write(checkpoint, key, show_numbers, &own);
}
