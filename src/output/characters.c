/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "output/characters.h"
#include "base/memory.h"
#include "base/plain.h"
#include "base/work.h"
#include "output/frame.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A character cell holds two by four dots. */
enum { DOTS_ACROSS = 2, DOTS_DOWN = 4, MARGIN = 9, DIGITS = 4, MARK_DISTANCE = 12, SMALLEST = 3 };

static const char letters[] = "ox+*#%@&";

typedef struct Cell {
  unsigned char dots;
  char letter; /* in place of the dots */
  int ink;     /* the curve whose colour it has, from 1; 0: none */
} Cell;

typedef struct Canvas {
  const PlotPanel *panel;
  int margin, columns, rows;
  Range x, y;
  Cell *cells;
} Canvas;

static void set_color(const Sheet *sheet, const char *what, Color c) {
  if (!sheet->color) return;
  int code = 16 + 36 * ((c.red + 25) / 51) + 6 * ((c.green + 25) / 51) + (c.blue + 25) / 51;
  fprintf(sheet->out, "\033[%s;5;%dm", what, code);
}

static void set_ink(const Sheet *sheet, const PlotCurve *curve) {
  enum { BLACK = 7 }; /* which may be the colour of the terminal itself */
  if (curve->color != BLACK) set_color(sheet, "38", frame_color(curve));
}

static void reset_color(const Sheet *sheet) {
  if (sheet->color) fputs("\033[0m", sheet->out);
}

/* The letters that a text takes on the terminal. */
static int width_of(const char *text) {
  int width = 0;
  for (; *text; text++) width += ((unsigned char)*text & 0xc0) != 0x80;
  return width;
}

/* Dots */

/* Where a value lies along an axis, in dots; negative where it has no place. */
static double place(double value, Range range, bool logarithmic, int dots) {
  if (!isfinite(value) || (logarithmic && value <= 0)) return -1;
  double part = logarithmic ? (log(value) - log(range.low)) / (log(range.high) - log(range.low))
                            : (value - range.low) / (range.high - range.low);
  return part < -0.01 || part > 1.01 ? -1 : fmin(fmax(part, 0), 1) * (dots - 1);
}

static double across(const Canvas *c, double x) {
  return place(x, c->x, c->panel->x_log, DOTS_ACROSS * c->columns);
}

static double down(const Canvas *c, double y) {
  int dots = DOTS_DOWN * c->rows;
  double up = place(y, c->y, c->panel->y_log, dots);
  return up < 0 ? up : dots - 1 - up;
}

static Cell *cell_at(const Canvas *c, double x, double y) {
  return &c->cells[(int)(y + 0.5) / DOTS_DOWN * c->columns + (int)(x + 0.5) / DOTS_ACROSS];
}

static void dot(const Canvas *c, double x, double y, int ink) {
  static const unsigned char bits[DOTS_DOWN][DOTS_ACROSS] = {{1, 8}, {2, 16}, {4, 32}, {64, 128}};
  Cell *cell = cell_at(c, x, y);
  cell->dots |= bits[(int)(y + 0.5) % DOTS_DOWN][(int)(x + 0.5) % DOTS_ACROSS];
  cell->ink = ink;
}

static void draw_line(const Canvas *c, const PlotCurve *curve, int ink) {
  double x0 = -1, y0 = -1;
  for (size_t i = 0; i < curve->count && work_goes_on(i); i++) {
    double x = across(c, curve->x[i]), y = down(c, curve->y[i]);
    if (x >= 0 && y >= 0 && x0 >= 0 && y0 >= 0) {
      int steps = (int)ceil(fmax(fabs(x - x0), fabs(y - y0)));
      for (int k = 0; k <= steps; k++)
        if (curve->style != PLOT_DASHED || (int)(x0 + k * (x - x0) / (steps + 1)) % 6 < 4)
          dot(c, x0 + k * (x - x0) / (steps + !steps), y0 + k * (y - y0) / (steps + !steps), ink);
    }
    x0 = x;
    y0 = y;
  }
}

static void draw_points(const Canvas *c, const PlotCurve *curve, int ink, char letter) {
  for (size_t i = 0; i < curve->count; i += curve->stride ? curve->stride : 1) {
    double x = across(c, curve->x[i]), y = down(c, curve->y[i]);
    if (x < 0 || y < 0) continue;
    Cell *cell = cell_at(c, x, y);
    cell->letter = letter;
    cell->ink = ink;
  }
}

/* Letters along lines tell them apart where there is no colour. */
static void mark_line(const Canvas *c, int ink, char letter) {
  for (int x = (3 * ink) % MARK_DISTANCE; x < c->columns; x += MARK_DISTANCE)
    for (int y = 0; y < c->rows; y++) {
      Cell *cell = &c->cells[y * c->columns + x];
      if (cell->ink != ink || cell->letter) continue;
      cell->letter = letter;
      break;
    }
}

static bool is_line(const PlotCurve *curve) {
  return curve->style != PLOT_POINTS && curve->count > 1;
}

static char letter_of(int i) { return letters[(size_t)i % (sizeof letters - 1)]; }

/* A single curve needs no letter to be known. */
static bool lettered(const Sheet *sheet, const PlotPanel *panel, int i) {
  return !sheet->color && (panel->curve_count > 1 || !is_line(&panel->curves[i]));
}

static void draw_curves(const Sheet *sheet, const Canvas *c) {
  const PlotPanel *panel = c->panel;
  for (int i = 0; i < panel->curve_count; i++)
    if (is_line(&panel->curves[i])) draw_line(c, &panel->curves[i], i + 1);
  for (int i = 0; i < panel->curve_count; i++) {
    if (!is_line(&panel->curves[i]))
      draw_points(c, &panel->curves[i], i + 1, letter_of(i));
    else if (lettered(sheet, panel, i))
      mark_line(c, i + 1, letter_of(i));
  }
}

/* Around the dots */

/* A label stays on its line: what would move the cursor is a blank. */
static void put_text(const Sheet *sheet, const char *text) {
  for (; *text; text++) fputc(iscntrl((unsigned char)*text) ? ' ' : *text, sheet->out);
}

static void put_cell(const Sheet *sheet, const PlotPanel *panel, const Cell *cell) {
  if (!cell->ink) {
    fputc(' ', sheet->out);
    return;
  }
  set_ink(sheet, &panel->curves[cell->ink - 1]);
  if (cell->letter && sheet->color)
    fputs("•", sheet->out);
  else if (cell->letter)
    fputc(cell->letter, sheet->out);
  else
    fprintf(sheet->out, "\xe2%c%c", 0xa0 | cell->dots >> 6, 0x80 | (cell->dots & 0x3f));
  reset_color(sheet);
}

/* The i-th tick from 0; false when there is none. Logarithmic axes have the powers of ten, or their
 * ends where fewer than two lie between. */
static bool tick(Range range, bool logarithmic, int most, int i, double *value) {
  if (logarithmic) {
    double first = ceil(log10(range.low) - 1e-9), last = floor(log10(range.high) + 1e-9);
    if (last <= first) return *value = i ? range.high : range.low, i < 2;
    double every = ceil((last - first + 1) / most);
    *value = pow(10, first + i * every);
    return first + i * every <= last;
  }
  double step = frame_step(range, most), first = ceil(range.low / step - 1e-9);
  *value = (first + i) * step;
  return *value <= range.high + 1e-9 * step;
}

static void put_rows(const Sheet *sheet, const Canvas *c) {
  for (int row = 0; row < c->rows; row++) {
    double value;
    bool found = false;
    for (int i = 0; !found && tick(c->y, c->panel->y_log, c->rows / 2, i, &value); i++)
      found = (int)(down(c, value) + 0.5) / DOTS_DOWN == row;
    if (found)
      fprintf(sheet->out, "%*.*g ┤", c->margin - 2, frame_digits(c->y, DIGITS),
              plain_number(value));
    else
      fprintf(sheet->out, "%*s│", c->margin - 1, "");
    for (int k = 0; k < c->columns; k++) put_cell(sheet, c->panel, &c->cells[row * c->columns + k]);
    fputc('\n', sheet->out);
  }
}

/* The lower axis, and its numbers in the line below. */
static void put_lower_axis(const Sheet *sheet, const Canvas *c) {
  char *numbers = mem_new((size_t)(c->margin + c->columns) + 32, 1), text[32];
  bool *ticked = mem_new((size_t)c->columns, sizeof *ticked);
  double value;
  int end = 0;
  for (int i = 0; tick(c->x, c->panel->x_log, c->columns / 10, i, &value); i++) {
    int at = (int)(across(c, value) + 0.5) / DOTS_ACROSS;
    int length =
        snprintf(text, sizeof text, "%.*g", frame_digits(c->x, DIGITS), plain_number(value));
    int begin = c->margin + at - length / 2;
    if (at < 0 || begin <= end) continue;
    ticked[at] = true;
    memset(numbers + end, ' ', (size_t)(begin - end));
    memcpy(numbers + begin, text, (size_t)length);
    end = begin + length;
  }
  fprintf(sheet->out, "%*s└", c->margin - 1, "");
  for (int k = 0; k < c->columns; k++) fputs(ticked[k] ? "┬" : "─", sheet->out);
  fprintf(sheet->out, "\n%s  ", numbers);
  put_text(sheet, c->panel->x_label ? c->panel->x_label : "");
  fputc('\n', sheet->out);
  free(ticked);
  free(numbers);
}

static void put_title(const Sheet *sheet, const PlotPanel *panel) {
  if (!panel->title) return;
  fprintf(sheet->out, "%*s", MARGIN, "");
  put_text(sheet, panel->title);
  fputc('\n', sheet->out);
}

/* The curves and their names. Returns how many lines that took; prints them unless `sheet` is NULL.
 */
static int legend(const Sheet *sheet, const Canvas *c) {
  int lines = 0, used = 0, wide = c->columns;
  for (int i = 0; i < c->panel->curve_count; i++) {
    const PlotCurve *curve = &c->panel->curves[i];
    if (!curve->label) continue;
    int width = width_of(curve->label) + 6;
    if (!lines || used + width > wide) {
      if (sheet) fprintf(sheet->out, "%s%*s", lines ? "\n" : "", c->margin, "");
      lines++;
      used = 0;
    }
    used += width;
    if (!sheet) continue;
    set_ink(sheet, curve);
    if (lettered(sheet, c->panel, i))
      fprintf(sheet->out, "%c", letter_of(i));
    else
      fputs(is_line(curve) ? "──" : "•", sheet->out);
    reset_color(sheet);
    fputc(' ', sheet->out);
    put_text(sheet, curve->label);
    fputs("   ", sheet->out);
  }
  if (sheet && lines) fputc('\n', sheet->out);
  return lines;
}

static int at_least(int n, int least) { return n > least ? n : least; }

static void curves(const Sheet *sheet, const PlotPanel *panel) {
  Canvas c = {.panel = panel, .x = frame_x(panel), .y = frame_y(panel)};
  if (frame_flat(c.x)) c.x = frame_pad(c.x, panel->x_log, 0);
  if (frame_flat(c.y)) c.y = frame_pad(c.y, panel->y_log, 0);
  c.margin = MARGIN + frame_digits(c.y, DIGITS) - DIGITS;
  c.columns = at_least(sheet->columns - c.margin - 4, 8);
  c.rows = at_least(sheet->lines - 2 - (panel->title != NULL) - legend(NULL, &c), SMALLEST);
  c.cells = mem_new((size_t)(c.columns * c.rows), sizeof *c.cells);
  draw_curves(sheet, &c);
  put_title(sheet, panel);
  legend(sheet, &c);
  put_rows(sheet, &c);
  put_lower_axis(sheet, &c);
  free(c.cells);
}

/* Heat maps */

static void put_shade(const Sheet *sheet, const PlotPanel *panel, double value, Range range) {
  static const char ramp[] = " .:-=+*#%@";
  const double last = sizeof ramp - 2;
  if (!isfinite(value) || (panel->z_log && value <= 0)) {
    fputs("??", sheet->out);
  } else if (sheet->color) {
    set_color(sheet, "48", frame_heat_color(panel, value, range));
    fputs("  ", sheet->out);
    reset_color(sheet);
  } else {
    char c = ramp[(int)(last * frame_heat_place(panel, value, range) + 0.5)];
    fprintf(sheet->out, "%c%c", c, c);
  }
}

/* Of a large matrix evenly spaced entries are shown. */
static void heat(const Sheet *sheet, const Plot *plot, const PlotPanel *panel) {
  size_t m = panel->heat->shape[0], n = panel->heat->shape[1];
  size_t high = (size_t)at_least(sheet->lines - 1 - (panel->title != NULL), SMALLEST);
  size_t wide = (size_t)at_least(sheet->columns - MARGIN - 1, 8) / 2;
  Range range = frame_heat(plot, panel);
  if (high > m) high = m;
  if (wide > n) wide = n;
  put_title(sheet, panel);
  for (size_t i = 0; i < high; i++) {
    size_t row = (panel->upward ? high - 1 - i : i) * m / high;
    fprintf(sheet->out, "%*.4g ", MARGIN - 1, panel->rows ? panel->rows->data[row] : (double)row);
    for (size_t j = 0; j < wide; j++)
      put_shade(sheet, panel, panel->heat->data[row * n + j * n / wide], range);
    fputc('\n', sheet->out);
  }
  fprintf(sheet->out, "%*s", MARGIN, "");
  for (int i = 0; i <= 2; i++) {
    double value = i == 2 ? range.high : range.low + i * (range.high - range.low) / 2;
    if (fabs(value) < 1e-12 * (range.high - range.low)) value = 0;
    put_shade(sheet, panel, value, range);
    fprintf(sheet->out, " %.4g%s", value, i < 2 ? "   " : "\n");
  }
}

void characters_draw(const Sheet *sheet, const Plot *plot) {
  for (int i = 0; i < plot->count; i++) {
    if (i) fputc('\n', sheet->out);
    if (plot->panels[i].heat)
      heat(sheet, plot, &plot->panels[i]);
    else
      curves(sheet, &plot->panels[i]);
  }
}
