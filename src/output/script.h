/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef DMF_OUTPUT_SCRIPT_H
#define DMF_OUTPUT_SCRIPT_H

#include "output/plot.h"

/* The kinds of picture that gnuplot draws, and its script itself. */
typedef enum PictureKind {
  PICTURE_SVG,
  PICTURE_PDF,
  PICTURE_PNG,
  PICTURE_GP,
  PICTURE_TEX,
  PICTURE_KINDS
} PictureKind;

/* The gnuplot script that draws a plot to standard output, to be freed; NULL without memory. */
char *script_compose(const Plot *plot, PictureKind kind, size_t *length);
/* The numbers alone, a block for each curve, two empty lines apart. */
void script_numbers(FILE *out, const Plot *plot);

#endif
