/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pictures: panels of curves and heat maps. Files of pixels and paths are drawn by gnuplot in a
 * process of its own (DMF_GNUPLOT names another program), characters here. */
#ifndef DMF_OUTPUT_PLOT_H
#define DMF_OUTPUT_PLOT_H

#include "base/status.h"
#include "num/array.h"

#include <stdio.h>

typedef enum PlotStyle { PLOT_LINE, PLOT_DASHED, PLOT_POINTS } PlotStyle;

/* One curve. With `error`, a line carries a translucent band and points carry bars of +-1 standard
 * error. Points that are not finite are left out. */
typedef struct PlotCurve {
  const char *label; /* NULL: not in the legend */
  size_t count;
  const double *x, *y;
  const double *error; /* or NULL */
  PlotStyle style;
  size_t stride; /* of points: one in so many is drawn; 0 is 1 */
  int color;     /* from 1, repeating after 8; theory and networks of one quantity share theirs */
  double shade;  /* where color is 0: 0..1 along a sequence of colours, for a large family */
  const char *colors; /* of that sequence, as of a panel */
} PlotCurve;

/* The ends of an axis, where they were asked for. */
typedef struct PlotSpan {
  bool given;
  double low, high;
} PlotSpan;

/* Curves, or one heat map when `heat` (a matrix, row 0 at the top) is set. Any text may be NULL. */
typedef struct PlotPanel {
  const char *title, *x_label, *y_label, *text; /* text: a line at the upper right */
  const char
      *legend; /* where it is: "top", "right", "top left", ..., "none"; NULL: above or beside */
  PlotSpan x_span, y_span;
  const double *v_lines, *h_lines; /* places of straight lines */
  size_t v_count, h_count;
  bool upward; /* of a heat map: row 0 at the bottom, and cells that fill the panel */
  const PlotCurve *curves;
  int curve_count;
  const Array *heat;
  PlotSpan z_span;    /* of its colours */
  bool z_log;         /* they are logarithmic; what is not above zero has none */
  const char *colors; /* of it: "viridis", "magma", "gray" or "diverging"; NULL: by its signs */
  const Array *rows, *columns; /* what they stand for; NULL: their index */
  const char *z_label;         /* heat maps of the same label share their colours */
  bool x_log, y_log;           /* of curves; needs at least one positive number on that axis */
} PlotPanel;

typedef struct Plot {
  const PlotPanel *panels; /* at least one */
  int count;
  const char *size; /* "column" or "page" of a paper; NULL or "screen": for a screen */
} Plot;

/* So many letters of a label fit into the legend of a picture that gnuplot draws; titles and the
 * names of axes break into lines instead. */
enum { PLOT_LABEL = 48 };

/* Whether the extension names a kind of picture; STATUS_FILE otherwise. */
Status plot_check_target(const char *path, char **why);
/* Draws to a file by extension: .svg .pdf .png .txt, or writes .gp, the script
 * that makes gnuplot draw it, with the numbers, and .tex, a picture in the commands of TikZ.
 * STATUS_SCRIPT when there are no numbers to draw, or too large ones; STATUS_FILE when the
 * extension is not one of these, the file cannot be written, or gnuplot is missing or fails; `*why`
 * (to be freed) gives the reason. Without gnuplot the numbers are left beside `path` with the
 * extension .dat. */
Status plot_write(const Plot *plot, const char *path, char **why);
/* Draws with characters of so many columns and lines for each panel. */
Status plot_draw(const Plot *plot, FILE *stream, int columns, int lines, bool color, char **why);

#endif
