/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/underway.h"

#include <string.h>

/* The history of the trace comes last: where there is no memory for it nothing more is read. */
static void show_state(void *of, Piece *piece, void *sink) {
  Underway *u = of;
  size_t plan[3];
  memcpy(plan, u->plan, sizeof plan);
  piece(sink, plan, sizeof plan);
  if (memcmp(plan, u->plan, sizeof plan) != 0) return;
  u->touched = true;
  machine_pieces(u->machine, piece, sink);
  if (u->more) u->more(u->of, piece, sink);
  trace_pieces(u->trace, piece, sink);
}

static void count_piece(void *sink, void *data, size_t bytes) {
  (void)data;
  *(double *)sink += (double)bytes;
}

static double operations(const Machine *m) { return tape_flops(m->tape) + m->flops; }

/* Whether what was done since cost many times what keeping it does: a good part of a second for the
 * disk to turn around, and more where there is much to write. */
static bool is_due(Underway *u) {
  static const double LEAST = 4e9, OF_A_BYTE = 2000;
  double since = operations(u->machine) - u->kept, bytes = 0;
  if (since < LEAST) return false;
  show_state(u, count_piece, &bytes);
  return since >= OF_A_BYTE * bytes;
}

static void find(Underway *u) {
  Machine *m = u->machine;
  u->touched = false;
  bool found = checkpoint_read(u->checkpoint, u->key, show_state, u) && !machine_failed(m);
  u->broken = u->touched && !found;
  if (u->broken) m->status = STATUS_LIMIT;
  u->kept = u->broken ? 0 : operations(m);
}

void underway_pause(Underway *u, Machine *m) {
  u->machine = m;
  if (!u->checkpoint || !machine_shows(m)) return;
  if (m->t == 0) {
    find(u);
  } else if (is_due(u)) {
    checkpoint_write(u->checkpoint, u->key, show_state, u);
    u->kept = operations(m);
  }
}
