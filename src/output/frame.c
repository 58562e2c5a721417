/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "output/frame.h"

#include <math.h>
#include <string.h>

/* Ranges */

static const Range nothing = {INFINITY, -INFINITY};

static void stretch(Range *range, double value, bool positive) {
  if (!isfinite(value) || (positive && value <= 0)) return;
  range->low = fmin(range->low, value);
  range->high = fmax(range->high, value);
}

Range frame_x(const PlotPanel *panel) {
  Range range = nothing;
  if (panel->x_span.given) return (Range){panel->x_span.low, panel->x_span.high};
  for (int k = 0; k < panel->curve_count; k++)
    for (size_t i = 0; i < panel->curves[k].count; i++)
      if (isfinite(panel->curves[k].y[i])) stretch(&range, panel->curves[k].x[i], panel->x_log);
  return range;
}

Range frame_y(const PlotPanel *panel) {
  Range range = nothing;
  if (panel->y_span.given) return (Range){panel->y_span.low, panel->y_span.high};
  for (int k = 0; k < panel->curve_count; k++) {
    const PlotCurve *curve = &panel->curves[k];
    for (size_t i = 0; i < curve->count; i++) {
      bool bar = curve->error && isfinite(curve->error[i]) && !panel->y_log;
      double error = bar ? curve->error[i] : 0;
      if (!isfinite(curve->x[i])) continue;
      stretch(&range, curve->y[i] - error, panel->y_log);
      stretch(&range, curve->y[i] + error, panel->y_log);
    }
  }
  return range;
}

static bool shares_colors(const PlotPanel *a, const PlotPanel *b) {
  return a == b || (b->heat && a->z_label && b->z_label && strcmp(a->z_label, b->z_label) == 0);
}

static bool is_diverging(const char *colors) { return colors && strcmp(colors, "diverging") == 0; }

Range frame_heat(const Plot *plot, const PlotPanel *panel) {
  Range range = nothing;
  if (panel->z_span.given) return (Range){panel->z_span.low, panel->z_span.high};
  for (int k = 0; k < plot->count; k++) {
    const PlotPanel *other = &plot->panels[k];
    for (size_t i = 0; shares_colors(panel, other) && i < other->heat->size; i++)
      stretch(&range, other->heat->data[i], panel->z_log);
  }
  if (panel->z_log) return frame_flat(range) ? frame_pad(range, true, 0) : range;
  bool signs = range.low < 0 && range.high > 0;
  if (panel->colors ? is_diverging(panel->colors) && range.low <= range.high : signs) {
    double most = fmax(-range.low, range.high);
    return (Range){-most, most};
  }
  return frame_flat(range) ? frame_pad(range, false, 0) : range;
}

const double FRAME_LARGEST = 1e250;

bool frame_drawable(Range range, bool logarithmic) {
  return fabs(range.low) <= FRAME_LARGEST && fabs(range.high) <= FRAME_LARGEST &&
         (!logarithmic || range.low >= 1 / FRAME_LARGEST);
}

/* Less than this part of the numbers themselves are their differences rounding. */
static const double ROUNDING = 1e-13;

bool frame_flat(Range range) {
  return range.low <= range.high &&
         range.high - range.low <= ROUNDING * fmax(fabs(range.low), fabs(range.high));
}

Range frame_pad(Range range, bool logarithmic, double fraction) {
  if (logarithmic) {
    double span = log(range.high) - log(range.low);
    double factor = frame_flat(range) ? 2 : exp(fraction * span);
    return (Range){range.low / factor, range.high * factor};
  }
  double room = fraction * (range.high - range.low);
  if (frame_flat(range)) room = range.low != 0 ? 0.1 * fabs(range.low) : 1;
  return (Range){range.low - room, range.high + room};
}

double frame_step(Range range, int most) {
  double least = (range.high - range.low) / (most > 1 ? most : 1);
  double power = pow(10, floor(log10(least)));
  return least <= power       ? power
         : least <= 2 * power ? 2 * power
         : least <= 5 * power ? 5 * power
                              : 10 * power;
}

int frame_digits(Range range, int fewest) {
  enum { MOST = 15 };
  double most = fmax(fabs(range.low), fabs(range.high));
  if (frame_flat(range)) return fewest;
  int digits = (int)ceil(log10(most / (range.high - range.low))) + 2;
  return digits < fewest ? fewest : digits > MOST ? MOST : digits;
}

/* Colours */

/* Okabe and Ito's colours, which stay distinct for colour-blind eyes; grey instead of yellow. */
static const Color curve_colors[] = {{0, 114, 178}, {213, 94, 0},   {0, 158, 115}, {204, 121, 167},
                                     {230, 159, 0}, {86, 180, 233}, {0, 0, 0},     {136, 136, 136}};

enum { COLORS = sizeof curve_colors / sizeof *curve_colors, STOPS = 9 };

/* Colours at evenly spaced places: one hue after the other at even steps of lightness, or white in
 * the middle. viridis and magma are those of N. J. Smith and S. van der Walt (2015, CC0); the
 * diverging one has the ends of C. Brewer's RdBu. */
typedef struct ColorMap {
  const char *name;
  Color stops[STOPS];
} ColorMap;
enum { VIRIDIS, MAGMA, GRAY, DIVERGING, MAPS };
static const ColorMap maps[MAPS] = {{"viridis",
                                     {{68, 1, 84},
                                      {71, 45, 123},
                                      {59, 82, 139},
                                      {44, 114, 142},
                                      {33, 145, 140},
                                      {40, 174, 128},
                                      {94, 201, 98},
                                      {173, 220, 48},
                                      {253, 231, 37}}},
                                    {"magma",
                                     {{0, 0, 4},
                                      {28, 16, 68},
                                      {79, 18, 123},
                                      {129, 37, 129},
                                      {181, 54, 122},
                                      {229, 80, 100},
                                      {251, 135, 97},
                                      {254, 194, 135},
                                      {252, 253, 191}}},
                                    {"gray",
                                     {{0, 0, 0},
                                      {32, 32, 32},
                                      {64, 64, 64},
                                      {96, 96, 96},
                                      {128, 128, 128},
                                      {159, 159, 159},
                                      {191, 191, 191},
                                      {223, 223, 223},
                                      {255, 255, 255}}},
                                    {"diverging",
                                     {{5, 48, 97},
                                      {36, 98, 146},
                                      {67, 147, 195},
                                      {157, 197, 221},
                                      {247, 247, 247},
                                      {231, 172, 162},
                                      {214, 96, 77},
                                      {159, 48, 54},
                                      {103, 0, 31}}}};

static const Color *stops_of(const char *colors, int otherwise) {
  for (int k = 0; colors && k < MAPS; k++)
    if (strcmp(colors, maps[k].name) == 0) return maps[k].stops;
  return maps[otherwise].stops;
}

static int between(int a, int b, double part) { return (int)lround(a + part * (b - a)); }

/* The colour at 0..1 along evenly spaced stops. */
static Color along(const Color *stops, double place) {
  place = fmin(fmax(place, 0), 1) * (STOPS - 1);
  int i = place < STOPS - 1 ? (int)place : STOPS - 2;
  Color a = stops[i], b = stops[i + 1];
  double part = place - i;
  return (Color){between(a.red, b.red, part), between(a.green, b.green, part),
                 between(a.blue, b.blue, part)};
}

Color frame_color(const PlotCurve *curve) {
  if (curve->color > 0) return curve_colors[(curve->color - 1) % COLORS];
  /* the brightest end of a sequence is hard to see on white */
  double reach = is_diverging(curve->colors) ? 1 : 0.85;
  return along(stops_of(curve->colors, VIRIDIS), reach * curve->shade);
}

double frame_heat_place(const PlotPanel *panel, double value, Range range) {
  double place = panel->z_log ? log(value / range.low) / log(range.high / range.low)
                              : (value - range.low) / (range.high - range.low);
  return fmin(fmax(place, 0), 1);
}

Color frame_heat_color(const PlotPanel *panel, double value, Range range) {
  bool signs = range.low < 0 && range.high > 0;
  return along(stops_of(panel->colors, signs ? DIVERGING : VIRIDIS),
               frame_heat_place(panel, value, range));
}
