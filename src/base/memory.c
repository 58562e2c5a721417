/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/memory.h"
#include "base/reserve.h"
#include "base/room.h"
#include "base/status.h"

#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* The one place where the program gives up: when a few kilobytes cannot be had, no message could
 * be composed either. */
static void give_up(void) {
  fputs("dmf: out of memory\n", stderr);
  exit(STATUS_LIMIT);
}

void mem_relieve(void) {
  if (!reserve_release()) give_up();
}

void *mem_new(size_t count, size_t size) {
  if (!count) count = 1;
  if (!size) size = 1;
  void *block = calloc(count, size);
  if (!block && count <= SIZE_MAX / size && (block = reserve_take(count * size)))
    return memset(block, 0, count * size);
  return block ? block : mem_insist(calloc(count, size));
}

void *mem_grow(void *block, size_t bytes) {
  if (!bytes) bytes = 1;
  void *grown = realloc(block, bytes);
  if (grown) return grown;
  size_t had = block ? malloc_usable_size(block) : 0;
  if (!(grown = reserve_take(bytes))) return mem_insist(realloc(block, bytes));
  if (had) memcpy(grown, block, had < bytes ? had : bytes);
  free(block);
  return grown;
}

void *mem_more(void *list, int count, size_t size) {
  bool full = (count & (count - 1)) == 0;
  return full ? mem_grow(list, (count ? 2 * (size_t)count : 1) * size) : list;
}

char *mem_string(const char *text) {
  size_t bytes = strlen(text) + 1;
  return memcpy(mem_new(bytes, 1), text, bytes);
}

char *mem_vformat(const char *format, va_list args) {
  va_list again;
  va_copy(again, args);
  int length = vsnprintf(NULL, 0, format, args);
  char *text = mem_new(length < 0 ? 1 : (size_t)length + 1, 1);
  if (length > 0) vsnprintf(text, (size_t)length + 1, format, again);
  va_end(again);
  return text;
}

char *mem_format(const char *format, ...) {
  va_list args;
  va_start(args, format);
  char *text = mem_vformat(format, args);
  va_end(args);
  return text;
}

void mem_append(char **text, const char *format, ...) {
  va_list args;
  va_start(args, format);
  char *more = mem_vformat(format, args), *whole = mem_format("%s%s", *text, more);
  va_end(args);
  free(more);
  free(*text);
  *text = whole;
}

/* The C library has such streams, too, but those lose their text when memory runs out at the end.
 */
typedef struct Growing {
  char **text;
  size_t *length, room;
  bool insists;
} Growing;

static ssize_t grow_text(void *cookie, const char *bytes, size_t size) {
  Growing *g = cookie;
  if (g->room - *g->length <= size) {
    size_t room = 2 * g->room + size + 1;
    char *grown = g->insists ? mem_grow(*g->text, room) : realloc(*g->text, room);
    if (!grown) return 0;
    *g->text = grown;
    g->room = room;
  }
  memcpy(*g->text + *g->length, bytes, size);
  (*g->text)[ *g->length += size] = 0;
  return (ssize_t)size;
}

static int end_text(void *cookie) {
  free(cookie);
  return 0;
}

static FILE *open_text(char **text, size_t *length, bool insists) {
  Growing *growing = mem_new(1, sizeof *growing);
  *growing = (Growing){text, length, 1, insists};
  *text = mem_new(1, 1);
  *length = 0;
  return mem_insist(
      fopencookie(growing, "w", (cookie_io_functions_t){.write = grow_text, .close = end_text}));
}

FILE *mem_stream(char **text, size_t *length) { return open_text(text, length, true); }

FILE *mem_stream_try(char **text, size_t *length) { return open_text(text, length, false); }

/* What lacked memory left its mark. */
bool mem_stream_whole(FILE *stream) {
  bool whole = !ferror(stream);
  return fclose(stream) == 0 && whole;
}

void mem_stream_end(FILE *stream) {
  if (!mem_stream_whole(stream)) give_up();
}

/* What passes through a large block again and again looks up fewer pages where they are large; the
 * system may have none, and then its own are as good as before. */
static void ask_for_large_pages(void *block, size_t bytes) {
#ifdef MADV_HUGEPAGE
  const uintptr_t page = 1 << 21, begin = (uintptr_t)block,
                  first = (begin + page - 1) / page * page, end = (begin + bytes) / page * page;
  if (bytes >= 2 * page && end > first) (void)madvise((void *)first, end - first, MADV_HUGEPAGE);
#else
  (void)block, (void)bytes;
#endif
}

double *mem_room(size_t count) {
  if (count == 0) count = 1;
  if (count > SIZE_MAX / 2 / sizeof(double)) return NULL;
  void *block = NULL;
  if (posix_memalign(&block, 64, count * sizeof(double))) return NULL;
  ask_for_large_pages(block, count * sizeof(double));
  return block;
}

double *mem_block(size_t count) {
  double *block = mem_room(count);
  return block ? memset(block, 0, (count ? count : 1) * sizeof(double)) : NULL;
}

void *mem_try(size_t count, size_t size) { return calloc(count ? count : 1, size ? size : 1); }

size_t mem_count(double count) { return count < (double)SIZE_MAX ? (size_t)count : SIZE_MAX; }

static double limit;

void mem_set_limit(double bytes) { limit = bytes; }

Room mem_left(void) { return room_now(limit); }

double mem_available(void) { return mem_left().bytes; }

bool mem_fits(double bytes) {
  const double small = limit > 0 ? 1 << 12 : 1 << 24;
  return bytes <= small || bytes <= mem_available();
}

/* "123456789000 bytes (123 GB)", to be freed. */
static char *size_text(double bytes) {
  static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
  int unit = -1;
  double scaled = bytes;
  for (; scaled >= 1000 && unit < 5; unit++) scaled /= 1000;
  return unit < 0 ? mem_format("%.0f bytes", bytes)
                  : mem_format("%.15g bytes (%.3g %s)", bytes, scaled, units[unit]);
}

char *mem_refusal(double bytes) {
  Room room = mem_left();
  char *wanted = size_text(bytes), *left = size_text(room.bytes), *text;
  if (!(bytes > 0))
    text = mem_format("out of memory: %s are free %s", left, room.where);
  else if (bytes > room.bytes)
    text = mem_format("out of memory: this takes %s, but %s are free %s", wanted, left, room.where);
  else
    text = mem_format("out of memory: this takes %s, which the system does not give", wanted);
  free(wanted);
  free(left);
  return text;
}

char *mem_number(double value) {
  char *text = NULL;
  for (int digits = 15; digits <= 17; digits++) {
    free(text);
    text = mem_format("%.*g", digits, value);
    if (strtod(text, NULL) == value) break;
  }
  return text;
}

typedef struct Chunk {
  struct Chunk *next;
  size_t used, size;
  _Alignas(max_align_t) unsigned char bytes[];
} Chunk;

struct Arena {
  Chunk *chunk;
};

/* A session keeps an arena for each statement typed: those of one line are small. The largest, with
 * its head, the reserve has too. */
enum { FIRST_CHUNK = 512, LARGEST_CHUNK = 64 * 1024 - sizeof(Chunk) };

Arena *arena_new(void) { return mem_new(1, sizeof(Arena)); }

void arena_free(Arena *arena) {
  if (!arena) return;
  for (Chunk *chunk = arena->chunk, *next; chunk; chunk = next) {
    next = chunk->next;
    free(chunk);
  }
  free(arena);
}

void *arena_alloc(Arena *arena, size_t bytes) {
  const size_t unit = _Alignof(max_align_t);
  bytes = (bytes + unit - 1) / unit * unit;
  Chunk *chunk = arena->chunk;
  if (!chunk || chunk->size - chunk->used < bytes) {
    size_t size = !chunk                            ? FIRST_CHUNK
                  : chunk->size < LARGEST_CHUNK / 2 ? 2 * chunk->size
                                                    : LARGEST_CHUNK;
    if (size < bytes) size = bytes;
    chunk = mem_new(1, sizeof *chunk + size);
    chunk->size = size;
    chunk->next = arena->chunk;
    arena->chunk = chunk;
  }
  void *piece = chunk->bytes + chunk->used;
  chunk->used += bytes;
  return piece;
}

char *arena_copy(Arena *arena, const char *text, size_t length) {
  char *copy = arena_alloc(arena, length + 1);
  memcpy(copy, text, length);
  return copy;
}

char *arena_format(Arena *arena, const char *format, ...) {
  va_list args;
  va_start(args, format);
  char *text = mem_vformat(format, args);
  va_end(args);
  char *copy = arena_copy(arena, text, strlen(text));
  free(text);
  return copy;
}
