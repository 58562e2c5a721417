/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/reserve.h"

#include <stdatomic.h>
#include <stdlib.h>

/* Composing a message and leaving a piece of work takes some hundred small blocks; a text that
 * grows, a list or an arena may want a large one. */
enum { SMALL = 512, LARGE = 16, SLOTS = SMALL + LARGE };
enum { SMALL_BYTES = 1 << 10, LARGE_BYTES = 1 << 16 };

/* Each slot is taken and filled by itself, so that no lock can be held where a process forks. */
static void *_Atomic slots[SLOTS];
static atomic_bool touched;
static atomic_int holders;

static size_t bytes_of(int slot) { return slot < SMALL ? SMALL_BYTES : LARGE_BYTES; }

/* Most will do: while memory is short only in passing, a single failure is no reason to stop. */
static bool fill(void) {
  int full = 0;
  for (int i = 0; i < SLOTS; i++) {
    void *none = NULL, *block = atomic_load(&slots[i]) ? NULL : malloc(bytes_of(i));
    if (block && !atomic_compare_exchange_strong(&slots[i], &none, block)) free(block);
    full += atomic_load(&slots[i]) != NULL;
  }
  return full >= SLOTS - SLOTS / 8;
}

static void empty(void) {
  for (int i = 0; i < SLOTS; i++) free(atomic_exchange(&slots[i], NULL));
}

bool reserve_hold(void) {
  atomic_fetch_add(&holders, 1);
  if (fill()) return true;
  reserve_drop();
  return false;
}

void reserve_drop(void) {
  if (atomic_fetch_sub(&holders, 1) == 1) empty();
}

void *reserve_take(size_t bytes) {
  int first = bytes <= SMALL_BYTES ? 0 : SMALL;
  void *block = NULL;
  if (bytes > LARGE_BYTES) return NULL;
  atomic_store(&touched, true);
  for (int i = first; i < SLOTS && !block; i++) block = atomic_exchange(&slots[i], NULL);
  if (!block) return NULL;
  void *shrunk = realloc(block, bytes); /* the rest serves others */
  return shrunk ? shrunk : block;
}

bool reserve_release(void) {
  void *block = NULL;
  atomic_store(&touched, true);
  for (int i = SLOTS - 1; i >= 0 && !block; i--) block = atomic_exchange(&slots[i], NULL);
  free(block);
  return block != NULL;
}

bool reserve_fill(void) {
  if (!atomic_load(&touched) || !atomic_load(&holders)) return true;
  atomic_store(&touched, false);
  bool filled = fill();
  if (!filled) atomic_store(&touched, true);
  return filled;
}
