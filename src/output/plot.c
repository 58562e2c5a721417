/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "output/plot.h"
#include "base/memory.h"
#include "file/io.h"
#include "output/gnuplot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Okabe and Ito's colours, which stay distinct for colour-blind eyes; grey instead of yellow. */
static const char *const colors[] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                     "#E69F00", "#56B4E9", "#000000", "#888888"};

enum { COLORS = sizeof colors / sizeof *colors, IMAGE_CELLS = 40000 };

typedef struct Format {
  const char *extension, *terminal;
} Format;

static const Format formats[] = {
    {"svg", "svg size 720,480 dynamic font 'Helvetica,15' background '#ffffff'"},
    {"pdf", "pdfcairo size 12cm,8cm font 'Helvetica,9' rounded"},
    {"png",
     "pngcairo size 1440,960 font 'Helvetica,13' fontscale 2 linewidth 2 pointscale 2 rounded "
     "background '#ffffff'"}};

static const Format *format_of(const char *path) {
  for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
    if (strcasecmp(file_extension(path), formats[i].extension) == 0) return &formats[i];
  return NULL;
}

/* Ranges */

typedef struct Range {
  double low, high;
} Range;

static void stretch(Range *range, double value, bool positive) {
  if (!isfinite(value) || (positive && value <= 0)) return;
  range->low = fmin(range->low, value);
  range->high = fmax(range->high, value);
}

static const Range nothing = {INFINITY, -INFINITY};

static Range x_range(const Plot *plot) {
  Range range = nothing;
  for (int k = 0; k < plot->curve_count; k++)
    for (size_t i = 0; i < plot->curves[k].count; i++)
      if (isfinite(plot->curves[k].y[i])) stretch(&range, plot->curves[k].x[i], plot->x_log);
  return range;
}

/* Of the curves with their errors, or of the matrix. On a logarithmic axis the errors are left out:
 * a band that reaches zero would have no lower end. */
static Range value_range(const Plot *plot) {
  Range range = nothing;
  for (size_t i = 0; plot->heat && i < plot->heat->size; i++)
    stretch(&range, plot->heat->data[i], false);
  for (int k = 0; k < plot->curve_count; k++) {
    const PlotCurve *curve = &plot->curves[k];
    for (size_t i = 0; i < curve->count; i++) {
      double error =
          curve->error && isfinite(curve->error[i]) && !plot->y_log ? curve->error[i] : 0;
      if (!isfinite(curve->x[i])) continue;
      stretch(&range, curve->y[i] - error, plot->y_log);
      stretch(&range, curve->y[i] + error, plot->y_log);
    }
  }
  return range;
}

/* Room around the data: a fraction of their range, or of its logarithm. */
static Range pad(Range range, bool logarithmic, double fraction) {
  if (logarithmic) {
    double factor = range.high > range.low ? pow(range.high / range.low, fraction) : 2;
    return (Range){range.low / factor, range.high * factor};
  }
  double room = fraction * (range.high - range.low);
  if (room == 0) room = range.low ? 0.1 * fabs(range.low) : 1;
  return (Range){range.low - room, range.high + room};
}

/* The numbers */

static void put_number(FILE *out, double value) {
  if (isfinite(value))
    fprintf(out, " %.9g", value);
  else
    fputs(" NaN", out);
}

static void put_curve(FILE *out, const PlotCurve *curve) {
  for (size_t i = 0; i < curve->count; i++) {
    put_number(out, curve->x[i]);
    put_number(out, curve->y[i]);
    if (curve->error) put_number(out, curve->error[i]);
    fputc('\n', out);
  }
}

static void put_heat(FILE *out, const Array *heat) {
  for (size_t i = 0; i < heat->size; i++) {
    put_number(out, heat->data[i]);
    if ((i + 1) % heat->shape[1] == 0) fputc('\n', out);
  }
}

/* For drawing by hand when there is no gnuplot. */
static Status put_numbers(FILE *out, void *context, char **why) {
  (void)why;
  const Plot *plot = context;
  if (plot->heat) put_heat(out, plot->heat);
  for (int i = 0; i < plot->curve_count; i++) {
    const PlotCurve *curve = &plot->curves[i];
    fprintf(out, "%s# %s\n", i ? "\n\n" : "", curve->label ? curve->label : "");
    put_curve(out, curve);
  }
  return STATUS_OK;
}

/* The script */

/* In single quotes gnuplot takes everything literally, but for the quote. */
static void put_quoted(FILE *out, const char *text) {
  fputc('\'', out);
  for (; *text; text++) {
    if (*text == '\'') fputc('\'', out);
    fputc((unsigned char)*text < 32 ? ' ' : *text, out);
  }
  fputc('\'', out);
}

static void put_label(FILE *out, const char *setting, const char *text) {
  if (!text) return;
  fprintf(out, "set %s ", setting);
  put_quoted(out, text);
  fputs(" noenhanced\n", out);
}

static void put_labels(FILE *out, const Plot *plot) {
  put_label(out, "title", plot->title);
  put_label(out, "xlabel", plot->x_label);
  put_label(out, "ylabel", plot->y_label);
}

static const char *color_of(const Plot *plot, int i) {
  int color = plot->curves[i].color;
  return colors[(color > 0 ? color - 1 : i) % COLORS];
}

static void put_title(FILE *out, const PlotCurve *curve) {
  if (!curve->label) {
    fputs(" notitle", out);
    return;
  }
  fputs(" title ", out);
  put_quoted(out, curve->label);
}

/* On a logarithmic axis a band that reaches zero is cut a decade below its line. */
static void put_band(FILE *out, const Plot *plot, int i) {
  const char *low = plot->y_log ? "($2-$3>0?$2-$3:$2/10)" : "($2-$3)";
  fprintf(out,
          "  $curve%d using 1:%s:($2+$3) with filledcurves fillcolor '%s' fillstyle transparent "
          "solid 0.2 "
          "noborder notitle, \\\n",
          i, low, color_of(plot, i));
}

static bool is_line(const PlotCurve *curve) {
  return curve->style != PLOT_POINTS && curve->count > 1;
}

static void put_mark(FILE *out, const Plot *plot, int i) {
  const PlotCurve *curve = &plot->curves[i];
  const char *color = color_of(plot, i);
  double size = curve->count > 100 ? 0.35 : curve->count > 40 ? 0.5 : 0.65;
  fprintf(out, "  $curve%d using ", i);
  if (is_line(curve))
    fprintf(out, "1:2 with lines linewidth 2 linecolor '%s'%s", color,
            curve->style == PLOT_DASHED ? " dashtype '-'" : "");
  else if (curve->error)
    fprintf(out, "1:2:3 with yerrorbars pointtype 7 pointsize %g linewidth 1 linecolor '%s'", size,
            color);
  else
    fprintf(out, "1:2 with points pointtype 7 pointsize %g linecolor '%s'", size, color);
  put_title(out, curve);
  fputs(i + 1 < plot->curve_count ? ", \\\n" : "\n", out);
}

static void put_curves(FILE *out, const Plot *plot) {
  for (int i = 0; i < plot->curve_count; i++) {
    fprintf(out, "$curve%d << EOD\n", i);
    put_curve(out, &plot->curves[i]);
    fputs("EOD\n", out);
  }
}

static void put_axis(FILE *out, char axis, Range range, bool logarithmic) {
  if (logarithmic) fprintf(out, "set logscale %c\nset format %c '%%h'\n", axis, axis);
  fprintf(out, "set %crange [%.9g:%.9g]\n", axis, range.low, range.high);
}

static void put_axes(FILE *out, const Plot *plot) {
  put_axis(out, 'x', pad(x_range(plot), plot->x_log, 0.015), plot->x_log);
  put_axis(out, 'y', pad(value_range(plot), plot->y_log, 0.05), plot->y_log);
}

/* Above the data while it is short, else beside them. */
static void put_legend(FILE *out, const Plot *plot) {
  int entries = 0;
  for (int i = 0; i < plot->curve_count; i++) entries += plot->curves[i].label != NULL;
  fprintf(out, "set key outside %s Left reverse noenhanced samplen 1.6\n",
          entries <= 6 ? "top left horizontal" : "right top vertical");
}

static void put_curve_script(FILE *out, const Plot *plot) {
  put_curves(out, plot);
  fputs("set border 3 linewidth 1 linecolor '#333333'\n"
        "set tics nomirror out scale 0.6 textcolor '#000000'\n"
        "set grid linetype 1 linewidth 0.5 linecolor '#e4e4e4'\n"
        "set bars 0\n",
        out);
  put_legend(out, plot);
  put_axes(out, plot);
  fputs("plot \\\n", out);
  for (int i = 0; i < plot->curve_count; i++)
    if (is_line(&plot->curves[i]) && plot->curves[i].error) put_band(out, plot, i);
  for (int i = 0; i < plot->curve_count; i++) put_mark(out, plot, i);
}

/* Values of both signs get a palette that is white at zero, others one that brightens evenly. */
static void put_palette(FILE *out, Range range) {
  bool both = range.low < 0 && range.high > 0;
  double most = fmax(-range.low, range.high);
  if (both) range = (Range){-most, most};
  if (range.low == range.high) range = pad(range, false, 0);
  fprintf(out, "set palette defined (%s)\nset cbrange [%.9g:%.9g]\n",
          both ? "0 '#053061', 1 '#4393c3', 2 '#f7f7f7', 3 '#d6604d', 4 '#67001f'"
               : "0 '#440154', 1 '#3b528b', 2 '#21918c', 3 '#5ec962', 4 '#fde725'",
          range.low, range.high);
}

/* Ticks at whole numbers, at most nine of them. */
static size_t tick_step(size_t count) { return count < 9 ? 1 : (count + 7) / 8; }

static void put_heat_script(FILE *out, const Plot *plot, Range range) {
  size_t rows = plot->heat->shape[0], columns = plot->heat->shape[1];
  size_t longer = rows > columns ? rows : columns, shorter = rows < columns ? rows : columns;
  fputs("$heat << EOD\n", out);
  put_heat(out, plot->heat);
  fputs("EOD\n", out);
  put_palette(out, range);
  fprintf(out, "set xrange [-0.5:%zu.5]\nset yrange [%zu.5:-0.5]\n", columns - 1, rows - 1);
  fprintf(out, "set xtics %zu\nset ytics %zu\n", tick_step(columns), tick_step(rows));
  if (longer <= 4 * shorter) fputs("set size ratio -1\n", out);
  fputs("set tics nomirror out scale 0.5\nset border linewidth 1 linecolor '#333333'\n", out);
  fprintf(out, "plot $heat matrix with image %s notitle\n",
          rows * columns <= IMAGE_CELLS ? "pixels" : "");
}

/* Characters */

static void put_curve_characters(FILE *out, const Plot *plot) {
  put_curves(out, plot);
  fputs("set tics nomirror\nset border 3\nset key outside top left horizontal Left reverse "
        "noenhanced\n",
        out);
  put_axes(out, plot);
  fputs("plot \\\n", out);
  for (int i = 0; i < plot->curve_count; i++) {
    fprintf(out, "  $curve%d using 1:2 with %s", i, is_line(&plot->curves[i]) ? "lines" : "points");
    put_title(out, &plot->curves[i]);
    fputs(i + 1 < plot->curve_count ? ", \\\n" : "\n", out);
  }
}

static char shade(double value, Range range) {
  static const char ramp[] = " .:-=+*#%@";
  const int last = (int)sizeof ramp - 2;
  if (!isfinite(value)) return '?';
  return ramp[range.high > range.low
                  ? (int)(last * (value - range.low) / (range.high - range.low) + 0.5)
                  : last];
}

/* Two characters make a cell about square; of a large matrix evenly spaced entries are shown. */
static void shade_heat(FILE *out, const Plot *plot, Range range, int columns, int rows) {
  size_t wide = (size_t)(columns > 20 ? columns - 4 : 16) / 2,
         high = (size_t)(rows > 10 ? rows - 4 : 6);
  size_t m = plot->heat->shape[0], n = plot->heat->shape[1];
  if (high > m) high = m;
  if (wide > n) wide = n;
  if (plot->title) fprintf(out, "%s\n", plot->title);
  for (size_t i = 0; i < high; i++) {
    fputs("  ", out);
    for (size_t j = 0; j < wide; j++) {
      char c = shade(plot->heat->data[i * m / high * n + j * n / wide], range);
      fprintf(out, "%c%c", c, c);
    }
    fputc('\n', out);
  }
  fprintf(out, "  [%zu, %zu]  ' ' %.6g ... '@' %.6g\n", m, n, range.low, range.high);
}

/* Putting it together */

static Status check(const Plot *plot, Range range, char **why) {
  if (plot->heat && plot->heat->rank != 2)
    return *why = mem_string("a heat map takes a matrix"), STATUS_SCRIPT;
  Range x = plot->heat ? range : x_range(plot);
  if (range.low <= range.high && x.low <= x.high) return STATUS_OK;
  *why = mem_format("there is nothing to draw: no finite numbers%s",
                    plot->x_log || plot->y_log ? " above zero, as a logarithmic axis wants" : "");
  return STATUS_SCRIPT;
}

static char *compose(const Plot *plot, const char *terminal, Range range, size_t *length) {
  char *script = NULL;
  FILE *out = open_memstream(&script, length);
  if (!out) return NULL;
  fprintf(out, "set encoding utf8\nset terminal %s\n", terminal);
  put_labels(out, plot);
  if (strncmp(terminal, "dumb", 4) == 0)
    put_curve_characters(out, plot);
  else if (plot->heat)
    put_heat_script(out, plot, range);
  else
    put_curve_script(out, plot);
  if (fclose(out) == 0) return script;
  free(script);
  return NULL;
}

typedef struct Picture {
  char *bytes;
  size_t size;
} Picture;

static Status draw(const Plot *plot, const char *terminal, Picture *picture, bool *missing,
                   char **why) {
  size_t length = 0;
  char *script = compose(plot, terminal, value_range(plot), &length);
  if (!script) return *why = mem_string("no memory for the picture"), STATUS_LIMIT;
  Status status = gnuplot_run(script, length, &picture->bytes, &picture->size, missing, why);
  free(script);
  if (status || picture->size) return status;
  free(picture->bytes);
  return *why = mem_string("gnuplot drew nothing"), STATUS_FILE;
}

/* The same picture in characters. */
static Status draw_text(const Plot *plot, int columns, int rows, Picture *picture, bool *missing,
                        char **why) {
  if (plot->heat) {
    FILE *out = open_memstream(&picture->bytes, &picture->size);
    if (!out) return *why = mem_string("no memory for the picture"), STATUS_LIMIT;
    shade_heat(out, plot, value_range(plot), columns, rows);
    fclose(out);
    return STATUS_OK;
  }
  char *terminal = mem_format("dumb noenhanced mono size %d,%d", columns, rows);
  Status status = draw(plot, terminal, picture, missing, why);
  free(terminal);
  if (!status && picture->bytes[0] == '\f')
    memmove(picture->bytes, picture->bytes + 1, picture->size--);
  return status;
}

static Status put_picture(FILE *stream, void *context, char **why) {
  (void)why;
  const Picture *picture = context;
  fwrite(picture->bytes, 1, picture->size, stream);
  return STATUS_OK;
}

/* Without gnuplot: keeps the numbers, and says so. */
static void leave_numbers(const Plot *plot, const char *path, char **why) {
  char *reason = *why, *ignored = NULL;
  size_t stem = strlen(path) - strlen(file_extension(path));
  char *data = mem_format("%.*sdat", (int)stem, path);
  if (file_replace_stream(data, put_numbers, (void *)plot, &ignored) == STATUS_OK) {
    *why = mem_format("%s; the numbers are in %s", reason, data);
    free(reason);
  }
  free(ignored);
  free(data);
}

enum { TEXT_COLUMNS = 100, TEXT_ROWS = 32 };

static bool is_text(const char *path) { return strcasecmp(file_extension(path), "txt") == 0; }

Status plot_check_target(const char *path, char **why) {
  if (format_of(path) || is_text(path)) return STATUS_OK;
  return file_fail(why, path, STATUS_FILE,
                   "the extension names no known picture: use .svg, .pdf, .png or .txt");
}

Status plot_write(const Plot *plot, const char *path, char **why) {
  Picture picture = {0};
  bool missing = false;
  Status status = plot_check_target(path, why);
  if (!status) status = check(plot, value_range(plot), why);
  if (status) return status;
  status = is_text(path) ? draw_text(plot, TEXT_COLUMNS, TEXT_ROWS, &picture, &missing, why)
                         : draw(plot, format_of(path)->terminal, &picture, &missing, why);
  if (missing) leave_numbers(plot, path, why);
  if (status) return status;
  status = file_replace_stream(path, put_picture, &picture, why);
  free(picture.bytes);
  return status;
}

Status plot_draw(const Plot *plot, FILE *stream, char **why) {
  Picture picture = {0};
  bool missing = false;
  struct winsize size = {0};
  if (ioctl(fileno(stream), TIOCGWINSZ, &size) < 0 || size.ws_col < 20 || size.ws_row < 8)
    size = (struct winsize){.ws_col = 80, .ws_row = 25};
  Status status = check(plot, value_range(plot), why);
  if (!status) status = draw_text(plot, size.ws_col, size.ws_row - 1, &picture, &missing, why);
  if (status) return status;
  fwrite(picture.bytes, 1, picture.size, stream);
  free(picture.bytes);
  return ferror(stream) ? (*why = mem_string("the output cannot be written"), STATUS_FILE)
                        : STATUS_OK;
}
