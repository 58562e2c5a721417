/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "result/scatter.h"
#include "base/memory.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

Scatter *scatter_new(void) {
  Scatter *scatter = mem_new(1, sizeof *scatter);
  scatter->references = 1;
  return scatter;
}

Scatter *scatter_keep(Scatter *scatter) {
  if (scatter) scatter->references++;
  return scatter;
}

void scatter_drop(Scatter *scatter) {
  if (!scatter || --scatter->references > 0) return;
  for (int k = 0; k < scatter->count; k++) array_drop(scatter->list[k].move);
  free(scatter->list);
  free(scatter);
}

void scatter_add(Scatter *scatter, uint64_t id, double weight, Array *move) {
  size_t count = (size_t)scatter->count + 1;
  scatter->list = mem_grow(scatter->list, count * sizeof *scatter->list);
  scatter->list[scatter->count++] = (Direction){id, weight, move};
}

const Direction *scatter_find(const Scatter *scatter, uint64_t id) {
  for (int k = 0; scatter && k < scatter->count; k++)
    if (scatter->list[k].id == id) return &scatter->list[k];
  return NULL;
}

/* FNV-1a, and a last mixing of the bits. */
static uint64_t join(uint64_t hash, const void *bytes, size_t length) {
  for (const unsigned char *at = bytes; length--; at++) hash = (hash ^ *at) * 0x100000001b3;
  return hash;
}

static uint64_t mixed(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

static const uint64_t START = 0xcbf29ce484222325;

uint64_t scatter_id(const char *kind, uint64_t seed, int count, int number) {
  uint64_t hash = join(START, kind, strlen(kind) + 1);
  hash = join(hash, &seed, sizeof seed);
  hash = join(hash, &count, sizeof count);
  return mixed(join(hash, &number, sizeof number));
}

Scatter *scatter_independent(const Array *value, const Array *error) {
  enum { DIRECTIONS = 16 };
  const Array *own = error ? error : value;
  uint64_t hash = join(START, own->data, own->size * sizeof *own->data);
  Scatter *scatter = scatter_new();
  for (int k = 0; k < (error ? DIRECTIONS : 1); k++) {
    Array *move = array_new(value->rank, value->shape);
    uint64_t id = mixed(hash + (uint64_t)k);
    for (size_t i = 0; move && i < move->size; i++)
      move->data[i] = !error ? NAN : mixed(id + i) & 1 ? error->data[i] : -error->data[i];
    if (!move) return scatter_drop(scatter), NULL;
    scatter_add(scatter, id, error ? 1.0 / DIRECTIONS : 1, move);
  }
  return scatter;
}

Array *scatter_stack(const Scatter *scatter) {
  const Array *first = scatter->count ? scatter->list[0].move : NULL;
  size_t shape[ARRAY_MAX_RANK] = {(size_t)scatter->count};
  if (!first || first->rank == ARRAY_MAX_RANK) return NULL;
  memcpy(shape + 1, first->shape, (size_t)first->rank * sizeof *shape);
  Array *moves = array_new(first->rank + 1, shape);
  for (int k = 0; moves && k < scatter->count; k++)
    memcpy(moves->data + (size_t)k * first->size, scatter->list[k].move->data,
           first->size * sizeof *moves->data);
  return moves;
}

char *scatter_text(const Scatter *scatter) {
  char *text = mem_string("");
  for (int k = 0; k < scatter->count; k++)
    mem_append(&text, "%s%016" PRIx64 " %.17g", k ? " " : "", scatter->list[k].id,
               scatter->list[k].weight);
  return text;
}

/* The next direction of a text, moved behind it; false when it is none. */
static bool read_direction(const char **text, uint64_t *id, double *weight) {
  char *end;
  *id = strtoull(*text, &end, 16);
  if (end == *text) return false;
  *text = end;
  *weight = strtod(*text, &end);
  bool good = end != *text && *weight > 0 && *weight <= 1;
  *text = end;
  return good;
}

Scatter *scatter_unstack(const Array *moves, const char *text, const Array *like) {
  if (moves->rank != like->rank + 1 ||
      memcmp(moves->shape + 1, like->shape, (size_t)like->rank * sizeof *like->shape) != 0)
    return NULL;
  Scatter *scatter = scatter_new();
  bool good = true;
  for (size_t k = 0; k < moves->shape[0] && good; k++) {
    uint64_t id;
    double weight;
    good = read_direction(&text, &id, &weight);
    if (!good) break;
    Array *move = mem_insist(array_new(like->rank, like->shape));
    memcpy(move->data, moves->data + k * like->size, like->size * sizeof *move->data);
    scatter_add(scatter, id, weight, move);
  }
  if (good && scatter->count) return scatter;
  scatter_drop(scatter);
  return NULL;
}

Array *scatter_scale(const Scatter *scatter, const Array *error, Array **rest) {
  Array *scale = array_new(error->rank, error->shape);
  *rest = NULL;
  for (size_t i = 0; scale && i < error->size; i++) {
    double squares = 0;
    for (int k = 0; k < scatter->count; k++)
      squares += scatter->list[k].weight * pow(scatter->list[k].move->data[i], 2);
    scale->data[i] = squares > 0 ? error->data[i] / sqrt(squares) : 1;
    if (squares > 0 || !(error->data[i] > 0)) continue;
    if (!*rest) *rest = array_new(error->rank, error->shape);
    if (!*rest) return array_drop(scale), NULL;
    (*rest)->data[i] = error->data[i] / sqrt(scatter->list[0].weight);
  }
  return scale;
}
