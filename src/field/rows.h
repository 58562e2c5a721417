/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which rows of a point a layer combines: positions on a line or in a plane, the windows that move
 * over them, and the row maps of a program. */
#ifndef DMF_FIELD_ROWS_H
#define DMF_FIELD_ROWS_H

#include "field/program.h"

/* Pixels of a window with so many on a side. */
int grid_taps(Grid grid, int window);
/* Which position pixel `tap` of the window sees when it stands at position p of the result; -1 for
 * none. */
int grid_seen(Grid grid, const LayerMatrix *m, int tap, int p);

/* The rows that pixel `tap` of a window sees; no entries where it lies outside everywhere. */
RowMap row_map_seen(Grid grid, const LayerMatrix *m, int tap);
/* The mean over each of the windows that fit. */
RowMap row_map_mean(Grid grid, int window, int stride);
/* Pixel `tap` of each. */
RowMap row_map_pixel(Grid grid, int window, int stride, int tap);
/* The single row at every one of the positions. */
RowMap row_map_spread(int positions);
/* Position q alone. */
RowMap row_map_one(int positions, int q);
/* Rows combined as a table of numbers says. */
RowMap row_map_table(const Array *table);
RowMap row_map_transposed(const RowMap *map);
void row_map_clear(RowMap *map);

#endif
