/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pictures inside of a page: curves whose points tell their numbers when they are pointed at, and
 * maps that a slider takes through time. They need no program and nothing from elsewhere; colours
 * are those of the page (report.h). */
#ifndef DMF_OUTPUT_FIGURE_H
#define DMF_OUTPUT_FIGURE_H

#include "output/plot.h"

/* The curves of a panel; nothing where there is nothing to draw. */
void figure_curves(FILE *out, const PlotPanel *panel);

/* Maps [count, n, n], one for each of the times; the last of them is what paper shows. */
void figure_maps(FILE *out, const char *title, const Array *maps, const double *times);

#endif
