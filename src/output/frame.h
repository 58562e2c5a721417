/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the ways of drawing share: the ranges of a panel's axes, their ticks, and its colours. */
#ifndef DMF_OUTPUT_FRAME_H
#define DMF_OUTPUT_FRAME_H

#include "output/plot.h"

typedef struct Range {
  double low, high; /* low > high: nothing to draw */
} Range;

Range frame_x(const PlotPanel *panel);
/* Of the curves with their errors. On a logarithmic axis the errors are left out: a band that
 * reaches zero would have no lower end. */
Range frame_y(const PlotPanel *panel);
/* Of the colours of a panel's heat map, where they were not asked for: its entries and those of the
 * maps that share its colours, symmetric about zero when there are both signs, or white is zero. */
Range frame_heat(const Plot *plot, const PlotPanel *panel);
/* Whether the range can be drawn, with room around it: farther out than this, or on a logarithmic
 * axis nearer to zero than its inverse, sums and ratios overflow here and in gnuplot. */
extern const double FRAME_LARGEST;
bool frame_drawable(Range range, bool logarithmic);
/* Whether there is one number only, up to rounding. */
bool frame_flat(Range range);
/* Room around the data: a fraction of their range, or of its logarithm. */
Range frame_pad(Range range, bool logarithmic, double fraction);

/* So many digits, or more, tell ticks a tenth of the range apart. */
int frame_digits(Range range, int fewest);
/* The step between ticks, 1, 2 or 5 times a power of ten, for at most so many of them. */
double frame_step(Range range, int most);

/* Red, green and blue, 0..255. */
typedef struct Color {
  int red, green, blue;
} Color;

Color frame_color(const PlotCurve *curve);
/* Where an entry of the heat map of a panel lies along its colours, from 0 to 1. */
double frame_heat_place(const PlotPanel *panel, double value, Range range);
/* Of an entry of the heat map of a panel, in its colours; unless they were asked for, white at zero
 * where there are both signs, else brightening evenly. */
Color frame_heat_color(const PlotPanel *panel, double value, Range range);

#endif
