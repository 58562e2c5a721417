/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "field/rows.h"
#include "base/memory.h"

#include <stdlib.h>

/* A map without entries yet; they are put in order of p, and each p is closed. */
static RowMap row_map_new(int to, int from, int entries, char *about, char *back) {
  return (RowMap){to,
                  from,
                  mem_new((size_t)to + 1, sizeof(int)),
                  mem_new((size_t)entries + 1, sizeof(int)),
                  mem_new((size_t)entries + 1, sizeof(double)),
                  about,
                  back};
}

static void put_entry(RowMap *map, int p, int source, double weight) {
  int at = map->begin[p + 1];
  map->source[at] = source;
  map->weight[at] = weight;
  map->begin[p + 1]++;
}

static void begin_row(RowMap *map, int p) { map->begin[p + 1] = map->begin[p]; }

RowMap row_map_transposed(const RowMap *map) {
  RowMap back = row_map_new(map->from, map->to, map->begin[map->to], mem_string(map->back),
                            mem_string(map->about));
  for (int q = 0; q < map->from; q++) {
    begin_row(&back, q);
    for (int p = 0; p < map->to; p++)
      for (int k = map->begin[p]; k < map->begin[p + 1]; k++)
        if (map->source[k] == q) put_entry(&back, q, p, map->weight[k]);
  }
  return back;
}

void row_map_clear(RowMap *map) {
  free(map->begin);
  free(map->source);
  free(map->weight);
  free(map->about);
  free(map->back);
}

/* Where pixel `tap` of window p lies. */
static int pooled_pixel(Grid grid, int window, int stride, int tap, int p) {
  int across = grid_pooled(grid, window, stride).width, i = p / across, j = p % across;
  int di = grid.plane ? tap / window : 0, dj = tap % window;
  return (i * stride + di) * grid.width + j * stride + dj;
}

RowMap row_map_mean(Grid grid, int window, int stride) {
  int count = grid_size(grid_pooled(grid, window, stride)), taps = grid_taps(grid, window);
  RowMap map = row_map_new(count, grid_size(grid), count * taps, mem_string("averaged over p"),
                           mem_format("/ %d at every p", taps));
  for (int p = 0; p < count; p++) {
    begin_row(&map, p);
    for (int tap = 0; tap < taps; tap++)
      put_entry(&map, p, pooled_pixel(grid, window, stride, tap, p), 1.0 / taps);
  }
  return map;
}

RowMap row_map_pixel(Grid grid, int window, int stride, int tap) {
  int count = grid_size(grid_pooled(grid, window, stride));
  RowMap map = row_map_new(count, grid_size(grid), count, mem_format("pixel %d of window p", tap),
                           mem_format("put at pixel %d of window p", tap));
  for (int p = 0; p < count; p++) {
    begin_row(&map, p);
    put_entry(&map, p, pooled_pixel(grid, window, stride, tap, p), 1);
  }
  return map;
}

RowMap row_map_spread(int positions) {
  RowMap map =
      row_map_new(positions, 1, positions, mem_string("at every p"), mem_string("summed over p"));
  for (int p = 0; p < positions; p++) {
    begin_row(&map, p);
    put_entry(&map, p, 0, 1);
  }
  return map;
}

RowMap row_map_one(int positions, int q) {
  RowMap map =
      row_map_new(1, positions, 1, mem_format("at p = %d", q), mem_format("put at p = %d", q));
  begin_row(&map, 0);
  put_entry(&map, 0, q, 1);
  return map;
}

RowMap row_map_table(const Array *table) {
  int to = (int)table->shape[0], from = (int)table->shape[1], count = 0;
  for (size_t i = 0; i < table->size; i++) count += table->data[i] < 0 || table->data[i] > 0;
  RowMap map = row_map_new(to, from, count, mem_string("mixed to p by numbers"),
                           mem_string("mixed back by numbers"));
  for (int p = 0; p < to; p++) {
    begin_row(&map, p);
    for (int q = 0; q < from; q++) {
      double weight = table->data[(size_t)p * (size_t)from + (size_t)q];
      if (weight < 0 || weight > 0) put_entry(&map, p, q, weight);
    }
  }
  return map;
}

int grid_taps(Grid grid, int window) { return grid.plane ? window * window : window; }

static int wrapped(int i, int length, bool circular) {
  if (circular) return ((i % length) + length) % length;
  return i >= 0 && i < length ? i : -1;
}

int grid_seen(Grid grid, const LayerMatrix *m, int tap, int p) {
  Grid out = grid_strided(grid, m->stride);
  int first = -((m->window - 1) / 2), i = p / out.width, j = p % out.width;
  int di = grid.plane ? (first + tap / m->window) * m->dilation : 0,
      dj = (first + tap % m->window) * m->dilation;
  int y = wrapped(i * (grid.plane ? m->stride : 1) + di, grid.height, m->circular);
  int x = wrapped(j * m->stride + dj, grid.width, m->circular);
  return y < 0 || x < 0 ? -1 : y * grid.width + x;
}

/* "at 2 p + 1", or "at p + (-1, 0)". */
static char *tap_text(Grid grid, const LayerMatrix *m, int tap) {
  int first = -((m->window - 1) / 2), di = (first + tap / m->window) * m->dilation,
      dj = (first + tap % m->window) * m->dilation;
  char *at = m->stride > 1 ? mem_format("at %d p", m->stride) : mem_string("at p"), *text;
  if (grid.plane)
    text = di || dj ? mem_format("%s + (%d, %d)", at, di, dj) : mem_string(at);
  else
    text = dj ? mem_format("%s %c %d", at, dj < 0 ? '-' : '+', abs(dj)) : mem_string(at);
  free(at);
  return text;
}

RowMap row_map_seen(Grid grid, const LayerMatrix *m, int tap) {
  int count = grid_size(grid_strided(grid, m->stride));
  char *at = tap_text(grid, m, tap), *put = mem_format("put %s", at);
  RowMap map = row_map_new(count, grid_size(grid), count, at, put);
  for (int p = 0; p < count; p++) {
    int q = grid_seen(grid, m, tap, p);
    begin_row(&map, p);
    if (q >= 0) put_entry(&map, p, q, 1);
  }
  return map;
}
