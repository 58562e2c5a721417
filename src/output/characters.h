/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef DMF_OUTPUT_CHARACTERS_H
#define DMF_OUTPUT_CHARACTERS_H

#include "output/plot.h"

/* The paper of a picture made of characters. */
typedef struct Sheet {
  FILE *out;
  int columns, lines; /* of a panel; a heat map takes no more lines than it has rows */
  bool color;         /* with escape sequences for 256 colours */
} Sheet;

/* Curves are drawn with the dots of Braille, points with a letter for each curve or, in colour,
 * with bullets; heat maps are shaded, two characters for an entry. */
void characters_draw(const Sheet *sheet, const Plot *plot);

#endif
