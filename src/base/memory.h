/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Memory in three kinds: small objects that must exist (`mem_new`, which takes from a reserve what
 * cannot be had, and ends the process with status 6 where that is used up), arenas that are freed
 * whole (a parsed script), and blocks whose size the data set, numbers or others, which may be
 * refused (`mem_block`, `mem_try`). Small is what grows with the text of a script, as its tree, its
 * names and its messages do, and what is no larger than a row of a matrix at hand. */
#ifndef DMF_BASE_MEMORY_H
#define DMF_BASE_MEMORY_H

#include "base/room.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* `count` zeroed objects of `size` bytes each; never NULL. Free with free(). */
void *mem_new(size_t count, size_t size);
/* Grows a block got from mem_new; the new part is not zeroed; never NULL. */
void *mem_grow(void *block, size_t bytes);
/* Room for one more behind `count` elements of a list that only this function grows: twice as much
 * whenever they are a power of two. */
void *mem_more(void *list, int count, size_t size);
char *mem_string(const char *text);
char *mem_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
char *mem_vformat(const char *format, va_list args);
/* Appends to a text that lies on the heap. */
void mem_append(char **text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A stream into a text that grows, which is freed with free(), never NULL; and its end, after which
 * the text is there. */
FILE *mem_stream(char **text, size_t *length);
void mem_stream_end(FILE *stream);
/* The same for a text that data size, which may be refused: then not all of it is there. */
FILE *mem_stream_try(char **text, size_t *length);
bool mem_stream_whole(FILE *stream);
/* What a call allocates, which is never NULL either: it is called again while the reserve lasts. */
#define mem_insist(call)                                                                           \
  ({                                                                                               \
    void *had_;                                                                                    \
    while (!(had_ = (call))) mem_relieve();                                                        \
    had_;                                                                                          \
  })
/* Makes room for what could not be had, or ends the process when even the reserve (base/reserve.h)
 * is used up. */
void mem_relieve(void);

/* A numeric block of `count` doubles, zeroed, 64-byte aligned; NULL if it cannot be had. Free with
 * free(). */
double *mem_block(size_t count);
/* The same with numbers that mean nothing yet. */
double *mem_room(size_t count);
/* The same for `count` objects of `size` bytes, zeroed. */
void *mem_try(size_t count, size_t size);

/* Bytes that a request may take, and who says so (base/room.h); mem_available gives the bytes
 * alone. The limit, which is of the process, is one of several; 0: none. */
Room mem_left(void);
double mem_available(void);
/* Whether a request may be tried. To ask costs some time; small ones are not asked about. */
bool mem_fits(double bytes);
void mem_set_limit(double bytes);
/* Why a request for so many bytes fails, to be freed: "out of memory: this takes ..., but ... are
 * free under --memory". 0: it is not known how many were wanted. */
char *mem_refusal(double bytes);
/* The shortest decimal that reads back as this number, to be freed. */
char *mem_number(double value);

/* A whole number of things as a size; where a size cannot hold it, the largest, which is refused.
 */
size_t mem_count(double count);

/* A region that is filled piece by piece and freed at once. */
typedef struct Arena Arena;
Arena *arena_new(void);
void arena_free(Arena *arena);
/* `bytes` zeroed bytes, aligned for any object; never NULL. */
void *arena_alloc(Arena *arena, size_t bytes);
char *arena_copy(Arena *arena, const char *text, size_t length);
char *arena_format(Arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
