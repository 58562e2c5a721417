/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "output/script.h"
#include "base/work.h"
#include "base/memory.h"
#include "output/frame.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
  PIXEL_CELLS = 1600,
  MAJOR_DECADES = 8,
  FAMILY_TABLE = 6,
  DIGITS = 15,
  TICK_DIGITS = 6,
  LEGEND_MARGIN = 8 /* letters that a legend may go on behind the axes */
};

/* Numbers */

static void put_number(FILE *out, double value) {
  if (isfinite(value))
    fprintf(out, " %.*g", DIGITS, value);
  else
    fputs(" NaN", out);
}

static void put_curve(FILE *out, const PlotCurve *curve) {
  for (size_t i = 0; i < curve->count && work_goes_on(i); i++) {
    put_number(out, curve->x[i]);
    put_number(out, curve->y[i]);
    if (curve->error) put_number(out, curve->error[i]);
    fputc('\n', out);
  }
}

/* What has no logarithm has no colour. */
static void put_heat(FILE *out, const PlotPanel *panel) {
  const Array *heat = panel->heat;
  for (size_t i = 0; i < heat->size && work_goes_on(i); i++) {
    put_number(out, panel->z_log && !(heat->data[i] > 0) ? NAN : heat->data[i]);
    if ((i + 1) % heat->shape[1] == 0) fputc('\n', out);
  }
}

void script_numbers(FILE *out, const Plot *plot) {
  const char *gap = "";
  for (int k = 0; k < plot->count; k++) {
    const PlotPanel *panel = &plot->panels[k];
    if (panel->heat) {
      fprintf(out, "%s# %s\n", gap, panel->title ? panel->title : "");
      put_heat(out, panel);
      gap = "\n\n";
    }
    for (int i = 0; i < panel->curve_count; i++) {
      const PlotCurve *curve = &panel->curves[i];
      fprintf(out, "%s# %s\n", gap, curve->label ? curve->label : "");
      put_curve(out, curve);
      gap = "\n\n";
    }
  }
}

/* Texts */

/* In single quotes gnuplot takes everything literally, but for the quote. */
static void put_quoted(FILE *out, const char *text, size_t length, const char *end) {
  fputc('\'', out);
  for (size_t i = 0; i < length; i++) {
    if (text[i] == '\'') fputc('\'', out);
    fputc((unsigned char)text[i] < 32 ? ' ' : text[i], out);
  }
  fprintf(out, "%s'", end);
}

/* How many letters a legend shows of a label. */
static size_t letters_of(const char *text) {
  size_t letters = 0;
  for (; *text && letters <= PLOT_LABEL; text++) letters += ((unsigned char)*text & 0xc0) != 0x80;
  return letters;
}

/* The bytes of the first PLOT_LABEL letters, or of all if there are fewer. */
static size_t one_line(const char *text) {
  size_t length = 0;
  for (int letters = 0; text[length]; length++) {
    bool begins = ((unsigned char)text[length] & 0xc0) != 0x80;
    if (begins && ++letters > PLOT_LABEL) break;
  }
  return length;
}

/* In a legend there is one line for each curve. */
static void put_entry(FILE *out, const char *text) {
  size_t length = one_line(text);
  put_quoted(out, text, length, text[length] ? "…" : "");
}

/* Lines that break at blanks, as far as there are any. */
static void put_lines(FILE *out, const char *text) {
  for (size_t length; text[length = one_line(text)]; text += length + (text[length] == ' ')) {
    size_t blank = length;
    while (blank && text[blank] != ' ') blank--;
    if (blank) length = blank;
    put_quoted(out, text, length, "");
    fputs(".\"\\n\".", out);
  }
  put_quoted(out, text, strlen(text), "");
}

/* K_{12} and e^{-t} are set as they are meant; what has no braces behind these signs is literal. */
static const char *mode_of(const char *text) {
  return strstr(text, "_{") || strstr(text, "^{") ? " enhanced" : " noenhanced";
}

/* What the panel before may have set is unset. */
static void put_label(FILE *out, const char *setting, const char *text) {
  fprintf(out, "set %s ", setting);
  put_lines(out, text ? text : "");
  fprintf(out, "%s\n", mode_of(text ? text : ""));
}

static void put_color(FILE *out, Color color) {
  fprintf(out, "'#%02x%02x%02x'", (unsigned)color.red, (unsigned)color.green, (unsigned)color.blue);
}

/* Curves */

static bool is_line(const PlotCurve *curve) {
  return curve->style != PLOT_POINTS && curve->count > 1;
}

static size_t stride_of(const PlotCurve *curve) { return curve->stride ? curve->stride : 1; }

static void put_title(FILE *out, const PlotCurve *curve) {
  fputs(curve->label ? " title " : " notitle", out);
  if (curve->label) put_entry(out, curve->label);
}

static void put_line(FILE *out, const PlotCurve *curve, int i) {
  fprintf(out, "  $curve%d using 1:2 with lines linewidth 2 linecolor ", i);
  put_color(out, frame_color(curve));
  if (curve->style == PLOT_DASHED) fputs(" dashtype '-'", out);
  put_title(out, curve);
}

/* Where the lower end of a band or a bar is; on a logarithmic axis one that reaches zero is cut a
 * decade below. */
static const char *lower_end(const PlotPanel *panel) {
  return panel->y_log ? "($2-$3>0?$2-$3:$2/10)" : "($2-$3)";
}

/* An end of a band no further than the axis goes: gnuplot cuts what is between two curves wrongly.
 */
static void put_end(FILE *out, const char *end, Range y) {
  fprintf(out, ":(%s<%.*g?%.*g:%s>%.*g?%.*g:%s)", end, DIGITS, y.low, DIGITS, y.low, end, DIGITS,
          y.high, DIGITS, y.high, end);
}

static void put_band(FILE *out, const PlotPanel *panel, int i, Range y) {
  fprintf(out, "  $curve%d using 1", i);
  put_end(out, lower_end(panel), y);
  put_end(out, "($2+$3)", y);
  fputs(" with filledcurves fillcolor ", out);
  put_color(out, frame_color(&panel->curves[i]));
  fputs(" fillstyle transparent solid 0.2 noborder notitle, \\\n", out);
}

/* gnuplot's own error bars would leave a gap around each point. */
static void put_bars(FILE *out, const PlotPanel *panel, int i) {
  const PlotCurve *curve = &panel->curves[i];
  const char *low = lower_end(panel);
  fprintf(out,
          "  $curve%d every %zu using 1:%s:(0):($2+$3-%s) with vectors nohead linewidth 1.2 "
          "linecolor ",
          i, stride_of(curve), low, low);
  put_color(out, frame_color(curve));
  fputs(" notitle, \\\n", out);
}

static void put_points(FILE *out, const PlotCurve *curve, int i) {
  size_t stride = stride_of(curve), drawn = curve->count / stride;
  fprintf(out,
          "  $curve%d every %zu using 1:2 with points pointtype 7 pointsize %g*size linecolor ", i,
          stride,
          drawn > 100  ? 0.35
          : drawn > 40 ? 0.5
                       : 0.65);
  put_color(out, frame_color(curve));
  put_title(out, curve);
}

static void put_curve_data(FILE *out, const PlotPanel *panel) {
  for (int i = 0; i < panel->curve_count; i++) {
    fprintf(out, "$curve%d << EOD\n", i);
    put_curve(out, &panel->curves[i]);
    fputs("EOD\n", out);
  }
}

/* What a panel has room for between its margins: letters side by side, and lines. */
typedef struct Extent {
  double letters, lines;
} Extent;

/* A logarithmic axis, as long as so many letters where numbers stand side by side below it, or as
 * so many lines. */
typedef struct Decades {
  bool below, plain; /* plain: numbers without a power of ten */
  Range range;
  double length;
} Decades;

/* Whether the numbers of an axis are short without a power of ten: those from .001 to 1000, as the
 * axis goes on a little behind them. */
static bool is_short(Range range) {
  static const double most = 3.5;
  return log10(range.low) > -most && log10(range.high) < most;
}

/* A tick at a digit times a power of ten. */
static void put_decade_tick(FILE *out, const Decades *axis, int digit, int power) {
  if (axis->plain)
    fprintf(out, "'%g' ", digit * pow(10, power));
  else if (digit == 1)
    fprintf(out, "'10^{%d}' ", power);
  else
    fprintf(out, "'%d·10^{%d}' ", digit, power);
  fprintf(out, "%d%s%d", digit, "e", power);
}

/* What its number takes along the axis, with a gap. */
static double tick_length(const Decades *axis, int digit, int power) {
  static const double gap = 1.5, line = 1.3, raised = 0.7;
  if (!axis->below) return line;
  if (axis->plain) return gap + snprintf(NULL, 0, "%g", digit * pow(10, power));
  return gap + (digit == 1 ? 2 : 4) + raised * snprintf(NULL, 0, "%d", power);
}

/* How many ticks have a number when these digits have; 0 where the numbers would touch. */
static int tick_count(const Decades *axis, const char *digits) {
  double span = log10(axis->range.high / axis->range.low), before = -INFINITY, half = 0;
  int count = 0;
  for (int power = (int)floor(log10(axis->range.low)); pow(10, power) <= axis->range.high; power++)
    for (const char *c = digits; *c; c++) {
      double value = (*c - '0') * pow(10, power), own = tick_length(axis, *c - '0', power) / 2;
      if (value < axis->range.low || value > axis->range.high) continue;
      double at = log10(value / axis->range.low) / span * axis->length;
      if (at - before < half + own) return 0;
      before = at, half = own;
      count++;
    }
  return count;
}

/* Within less than this many decades more digits have numbers than 1, 2 and 5. */
static const double NARROW = 1;

/* The digits that have a number: as many as there is room for where little is shown. */
static const char *numbered(const Decades *axis) {
  static const char *const sets[] = {"123456789", "12357", "125"};
  double span = log10(axis->range.high / axis->range.low), few = axis->below ? 2.2 : 2.6;
  for (int i = span < NARROW ? 0 : 2; i < 3 && span < few; i++)
    if (tick_count(axis, sets[i])) return sets[i];
  return "1";
}

/* Numbers as far apart as on an axis that is not logarithmic, for less than a few digits. */
static void put_even_ticks(FILE *out, const Decades *axis) {
  double step = frame_step(axis->range, axis->below ? 5 : 9);
  int digits = frame_digits(axis->range, TICK_DIGITS);
  const char *gap = "";
  for (double k = ceil(axis->range.low / step); k * step <= axis->range.high; k++, gap = ", ")
    fprintf(out, "%s'%.*g' %.*g", gap, digits, k * step, DIGITS, k * step);
}

/* Powers of ten; between them other digits where little is shown, and small ticks. */
static void put_decade_ticks(FILE *out, const Decades *axis, const char *digits) {
  int first = (int)floor(log10(axis->range.low)), last = (int)ceil(log10(axis->range.high));
  int every = (last - first + MAJOR_DECADES - 1) / MAJOR_DECADES;
  for (int power = first; power <= last; power++) {
    for (int digit = 1; digit < 10; digit++) {
      bool major = digit == 1 ? (power - first) % every == 0 : strchr(digits, '0' + digit) != NULL;
      if (power > first || digit > 1) fputs(", ", out);
      if (major)
        put_decade_tick(out, axis, digit, power);
      else
        fprintf(out, "'' %de%d 1", digit, power);
      if (every > 1) break;
    }
  }
}

static void put_decades(FILE *out, const char *name, Range range, Extent room) {
  enum { TOO_FEW = 3 };
  bool below = *name == 'x';
  Decades axis = {below, is_short(range), range, below ? room.letters : room.lines};
  const char *digits = numbered(&axis);
  fprintf(out, "set logscale %s\nset %stics (", name, name);
  if (log10(range.high / range.low) < NARROW && tick_count(&axis, digits) < TOO_FEW)
    put_even_ticks(out, &axis);
  else
    put_decade_ticks(out, &axis, digits);
  fputs(")\n", out);
}

/* The distance of ticks whose numbers, side by side below an axis, would touch; 0: they do not. */
static double wide_step(Range range) {
  enum { MANY = 10, FEW = 5, SHORT = 4 };
  double step = frame_step(range, MANY);
  int longest = 0;
  for (double k = ceil(range.low / step); k * step <= range.high; k++) {
    int length = snprintf(NULL, 0, "%.*g", TICK_DIGITS, k * step);
    if (length > longest) longest = length;
  }
  return longest > SHORT ? frame_step(range, FEW) : 0;
}

static void put_axis(FILE *out, char axis, Range range, bool logarithmic, Extent room) {
  int digits = frame_digits(range, TICK_DIGITS);
  double step = axis == 'x' && !logarithmic ? wide_step(range) : 0;
  if (logarithmic)
    put_decades(out, (char[]){axis, 0}, range, room);
  else if (step > 0)
    fprintf(out, "unset logscale x\nset xtics %.*g\n", DIGITS, step);
  else
    fprintf(out, "unset logscale %c\nset %ctics autofreq\n", axis, axis);
  if (digits > TICK_DIGITS)
    fprintf(out, "set format %c '%%.%dg'\n", axis, digits);
  else
    fprintf(out, "set format %c '%%h'\n", axis);
  fprintf(out, "set %crange [%.*g:%.*g]\n", axis, DIGITS, range.low, DIGITS, range.high);
}

/* Above the data while it is short, else beside them, unless it was asked for elsewhere. */
static const char *legend_place(const char *wanted, int entries) {
  if (wanted && (strchr(wanted, ' ') || strcmp(wanted, "none") == 0)) return wanted;
  bool above = wanted ? strcmp(wanted, "top") == 0 : entries <= FAMILY_TABLE;
  return above ? "outside top left horizontal" : "outside right top vertical";
}

/* How many entries may stand side by side: gnuplot forgets the margin, and would cut the last. */
static int legend_columns(const PlotPanel *panel, Extent room) {
  enum { SAMPLE = 9 }; /* letters that the sample of an entry and the gaps around it take */
  size_t longest = 0;
  for (int i = 0; i < panel->curve_count; i++) {
    const char *label = panel->curves[i].label;
    size_t length = label ? letters_of(label) : 0;
    if (length > longest) longest = length;
  }
  int most = (int)((room.letters + LEGEND_MARGIN) / (double)(longest + SAMPLE));
  return most > 1 ? most : 1;
}

/* The title heads it. */
static void put_legend(FILE *out, const PlotPanel *panel, Extent room) {
  int entries = 0;
  for (int i = 0; i < panel->curve_count; i++) entries += panel->curves[i].label != NULL;
  const char *place = legend_place(panel->legend, entries);
  bool inside = strncmp(place, "outside", 7) != 0;
  if (strcmp(place, "none") == 0) entries = 0;
  fprintf(out, "set key %s %s%s Left reverse noenhanced samplen 1.6 title ", entries ? "on" : "off",
          inside ? "inside vertical " : "", entries ? place : "");
  put_lines(out, entries && panel->title ? panel->title : "");
  fputs(" noenhanced left\n", out);
  if (entries && strstr(place, "horizontal"))
    fprintf(out, "set key maxcols %d\n", legend_columns(panel, room));
  else if (entries)
    fputs("set key maxcols auto\n", out);
  put_label(out, "title", entries ? NULL : panel->title);
}

/* Straight lines and a text, behind the curves; those of the panel before go. */
static void put_marks(FILE *out, const PlotPanel *panel) {
  static const char look[] = "nohead back linewidth 1 dashtype 2 linecolor '#888888'";
  fputs("unset arrow\nunset label\n", out);
  for (size_t i = 0; i < panel->v_count; i++)
    fprintf(out, "set arrow from first %.*g, graph 0 to first %.*g, graph 1 %s\n", DIGITS,
            panel->v_lines[i], DIGITS, panel->v_lines[i], look);
  for (size_t i = 0; i < panel->h_count; i++)
    fprintf(out, "set arrow from graph 0, first %.*g to graph 1, first %.*g %s\n", DIGITS,
            panel->h_lines[i], DIGITS, panel->h_lines[i], look);
  if (!panel->text) return;
  fputs("set label ", out);
  put_lines(out, panel->text);
  fprintf(out, " at graph 0.97, graph 0.94 right front%s\n", mode_of(panel->text));
}

static void put_curve_panel(FILE *out, const PlotPanel *panel, Extent room) {
  put_curve_data(out, panel);
  fputs("set border 3 linewidth 1 linecolor '#333333'\n"
        "set tics nomirror out scale 0.6,0.3 textcolor '#000000'\n"
        "set grid linetype 1 linewidth 0.5 linecolor '#e4e4e4'\n"
        "set size noratio\n",
        out);
  put_legend(out, panel, room);
  Range x = frame_x(panel), y = frame_y(panel);
  put_axis(out, 'x', panel->x_span.given ? x : frame_pad(x, panel->x_log, 0.015), panel->x_log,
           room);
  y = panel->y_span.given ? y : frame_pad(y, panel->y_log, 0.05);
  put_axis(out, 'y', y, panel->y_log, room);
  put_marks(out, panel);
  fputs("plot \\\n", out);
  for (int i = 0; i < panel->curve_count; i++) {
    if (!panel->curves[i].error) continue;
    if (is_line(&panel->curves[i]))
      put_band(out, panel, i, y);
    else
      put_bars(out, panel, i);
  }
  for (int i = 0; i < panel->curve_count; i++) {
    const PlotCurve *curve = &panel->curves[i];
    if (is_line(curve))
      put_line(out, curve, i);
    else
      put_points(out, curve, i);
    fputs(i + 1 < panel->curve_count ? ", \\\n" : "\n", out);
  }
}

/* Heat maps */

static void put_palette(FILE *out, const PlotPanel *panel, Range range) {
  enum { STEPS = 8 };
  fputs("set palette defined (", out);
  for (int i = 0; i <= STEPS; i++) {
    double part = (double)i / STEPS, span = range.high - range.low;
    double value =
        panel->z_log ? range.low * pow(range.high / range.low, part) : range.low + span * part;
    fprintf(out, "%s%d ", i ? ", " : "", i);
    put_color(out, frame_heat_color(panel, value, range));
  }
  fprintf(out, ")\nset cbrange [%.*g:%.*g]\n", DIGITS, range.low, DIGITS, range.high);
}

/* Whether the cells of a map are squares. */
static bool is_shapely(const PlotPanel *panel) {
  size_t a = panel->heat->shape[0], b = panel->heat->shape[1];
  return !panel->upward && a <= 4 * b && b <= 4 * a;
}

/* At most nine ticks, and fewer along the short side of a map, where their numbers would meet. */
static int most_ticks(const PlotPanel *panel, int side) {
  enum { MOST = 9 };
  size_t count = panel->heat->shape[side], other = panel->heat->shape[1 - side];
  return count < other && is_shapely(panel) ? (int)(MOST * count / other) + 1 : MOST;
}

/* Ticks at rows or columns. */
static void put_places(FILE *out, const PlotPanel *panel, int side) {
  size_t count = panel->heat->shape[side];
  const Array *at = side ? panel->columns : panel->rows;
  char axis = side ? 'x' : 'y';
  double step = frame_step((Range){0, (double)count}, most_ticks(panel, side));
  fprintf(out, "set %ctics (", axis);
  for (size_t i = 0; i < count; i += step < 1 ? 1 : (size_t)step)
    fprintf(out, "%s'%.4g' %zu", i ? ", " : "", at ? at->data[i] : (double)i, i);
  fputs(")\n", out);
}

/* Of pixels an image has sharp cells; where paths are drawn, viewers blur it, and its cells are
 * drawn one by one while they are not too many. */
static void put_heat_panel(FILE *out, const Plot *plot, const PlotPanel *panel, PictureKind kind,
                           Extent room) {
  bool cells = kind != PICTURE_PNG && panel->heat->size <= PIXEL_CELLS;
  Range range = frame_heat(plot, panel);
  size_t rows = panel->heat->shape[0], columns = panel->heat->shape[1];
  fputs("$heat << EOD\n", out);
  put_heat(out, panel);
  fputs("EOD\n", out);
  fputs("unset logscale\n", out);
  put_palette(out, panel, range);
  if (panel->z_log)
    put_decades(out, "cb", range, room);
  else if (rows < columns && is_shapely(panel))
    fprintf(out, "set cbtics %.*g\n", DIGITS, frame_step(range, most_ticks(panel, 0)));
  else
    fputs("set cbtics autofreq\n", out);
  put_label(out, "title", panel->title);
  fputs("set key off title ''\n", out);
  put_label(out, "cblabel", panel->z_label);
  fprintf(out, "set xrange [-0.5:%zu.5]\n", columns - 1);
  fprintf(out, panel->upward ? "set yrange [-0.5:%zu.5]\n" : "set yrange [%zu.5:-0.5]\n", rows - 1);
  put_marks(out, panel);
  put_places(out, panel, 1);
  put_places(out, panel, 0);
  fprintf(out, "set size %s\n", is_shapely(panel) ? "ratio -1" : "noratio");
  fputs("unset grid\nset tics nomirror out scale 0.5 textcolor '#000000'\n"
        "set border 15 linewidth 1 linecolor '#333333'\n",
        out);
  fprintf(out, "plot $heat matrix with image %s notitle\n", cells ? "pixels" : "");
}

/* The whole */

typedef struct Layout {
  int rows, columns;
} Layout;

static Layout layout_of(int panels) {
  int columns = panels <= 3 ? panels : panels == 4 ? 2 : panels <= 9 ? 3 : 4;
  return (Layout){(panels + columns - 1) / columns, columns};
}

/* Of a picture: for a screen in pixels of an SVG, 60 to a centimetre; on paper of the width of a
 * column or a page. One panel is wide; several are smaller, in letters of the same size. */
typedef struct Paper {
  double wide, high; /* cm */
  double letters;    /* points */
} Paper;

static Paper paper_of(const Plot *plot, Layout layout) {
  static const double column = 8.6, page = 17.8, flat = 0.68;
  bool single = layout.rows * layout.columns == 1;
  if (plot->size && strcmp(plot->size, "screen") != 0) {
    double wide = strcmp(plot->size, "column") == 0 ? column : page;
    return (Paper){wide,
                   wide / layout.columns * layout.rows * (wide > column && single ? 0.5 : flat), 8};
  }
  return (Paper){layout.columns * (single ? 720 : 480) / 60.0,
                 layout.rows * (single ? 480 : 380) / 60.0, 9};
}

/* Of a panel, in the letters of an SVG, which are the widest. */
static Extent room_of(Paper paper, Layout layout) {
  static const double letters = 7.4, lines = 2.67; /* of 9 points in a centimetre */
  enum { BESIDE = 15, ABOVE_AND_BELOW = 6 };
  double scale = 9 / paper.letters;
  return (Extent){letters * scale * paper.wide / layout.columns - BESIDE,
                  lines * scale * paper.high / layout.rows - ABOVE_AND_BELOW};
}

static void put_terminal(FILE *out, PictureKind kind, Paper paper) {
  const double pixels = 60, dense = 120; /* in a centimetre */
  double scale = paper.letters / 9;
  switch (kind) {
  case PICTURE_SVG:
    fprintf(out, "set terminal svg size %g,%g dynamic font 'Helvetica,%g' background '#ffffff'\n",
            paper.wide * pixels, paper.high * pixels, round(15 * scale));
    break;
  case PICTURE_PDF:
    fprintf(out, "set terminal pdfcairo size %gcm,%gcm font 'Helvetica,%g' rounded\n", paper.wide,
            paper.high, paper.letters);
    break;
  case PICTURE_GP:
    fprintf(out,
            "# set terminal pdfcairo size %gcm,%gcm font 'Helvetica,%g' rounded\n"
            "# set output 'picture.pdf'\n",
            paper.wide, paper.high, paper.letters);
    break;
  case PICTURE_TEX:
    fprintf(out, "set terminal tikz size %gcm,%gcm font '\\footnotesize'\n", paper.wide,
            paper.high);
    break;
  default:
    fprintf(out,
            "set terminal pngcairo size %g,%g font 'Helvetica,%g' linewidth 2 pointscale 2 rounded "
            "background '#ffffff'\n",
            round(paper.wide * dense), round(paper.high * dense), round(23 * scale));
  }
}

static void put_script(FILE *out, const Plot *plot, PictureKind kind) {
  Layout layout = layout_of(plot->count);
  fputs("set encoding utf8\nset format cb '%h'\n", out);
  Paper paper = paper_of(plot, layout);
  Extent room = room_of(paper, layout);
  put_terminal(out, kind, paper);
  /* what is one point to the others are two of pdfcairo */
  fprintf(out, "size = %g\n", kind == PICTURE_PDF || kind == PICTURE_GP ? 0.5 : 1.0);
  if (plot->count > 1) fprintf(out, "set multiplot layout %d,%d\n", layout.rows, layout.columns);
  for (int i = 0; i < plot->count; i++) {
    const PlotPanel *panel = &plot->panels[i];
    put_label(out, "xlabel", panel->x_label);
    put_label(out, "ylabel", panel->y_label);
    if (panel->heat)
      put_heat_panel(out, plot, panel, kind, room);
    else
      put_curve_panel(out, panel, room);
  }
}

char *script_compose(const Plot *plot, PictureKind kind, size_t *length) {
  char *script = NULL;
  FILE *out = mem_stream_try(&script, length);
  put_script(out, plot, kind);
  if (mem_stream_whole(out)) return script;
  free(script);
  return NULL;
}
