/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "output/figure.h"
#include "base/plain.h"
#include "output/frame.h"
#include "output/html.h"

#include <math.h>
#include <string.h>

/* In units of the picture. */
enum {
  WIDTH = 640,
  HEIGHT = 340,
  LEFT = 64,
  RIGHT = 12,
  TOP = 14,
  BOTTOM = 44,
  TICKS = 7,
  MAP = 260
};

/* Where numbers are drawn. */
typedef struct View {
  Range x, y;
  bool x_log, y_log;
} View;

static double place(double value, Range range, bool logarithmic) {
  if (logarithmic) return log(value / range.low) / log(range.high / range.low);
  return (value - range.low) / (range.high - range.low);
}

static double across(const View *view, double x) {
  return LEFT + (WIDTH - LEFT - RIGHT) * place(x, view->x, view->x_log);
}

static double down(const View *view, double y) {
  return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * place(y, view->y, view->y_log);
}

static bool is_drawn(const View *view, double x, double y) {
  return isfinite(x) && isfinite(y) && (!view->x_log || x > 0) && (!view->y_log || y > 0);
}

static const char *class_of(const PlotCurve *curve) {
  static const char *const classes[] = {"c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8"};
  return curve->color ? classes[(curve->color - 1) % 8] : "shade";
}

/* The colour of one of a graded family, which no class has. */
static void put_shade(FILE *out, const PlotCurve *curve) {
  Color color = frame_color(curve);
  if (!curve->color)
    fprintf(out, " style=\"color:#%02x%02x%02x\"", color.red, color.green, color.blue);
}

static void put_tick(FILE *out, const View *view, bool vertical, double value) {
  if (vertical)
    fprintf(out,
            "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
            "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\" dy=\"0.32em\">%.6g</text>\n",
            LEFT, WIDTH - RIGHT, down(view, value), down(view, value), LEFT - 6, down(view, value),
            plain_number(value));
  else
    fprintf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.6g</text>\n",
            across(view, value), HEIGHT - BOTTOM + 16, plain_number(value));
}

static void put_ticks(FILE *out, const View *view, bool vertical) {
  Range range = vertical ? view->y : view->x;
  bool logarithmic = vertical ? view->y_log : view->x_log;
  if (logarithmic && floor(log10(range.high)) > ceil(log10(range.low))) { /* two of them or more */
    for (double e = ceil(log10(range.low)); e <= log10(range.high); e++)
      put_tick(out, view, vertical, pow(10, e));
    return;
  }
  double step = frame_step(range, TICKS);
  for (double k = ceil(range.low / step); k * step <= range.high; k++)
    put_tick(out, view, vertical, k * step);
}

static void put_names(FILE *out, const PlotPanel *panel) {
  if (panel->x_label) {
    fprintf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">", (LEFT + WIDTH - RIGHT) / 2,
            HEIGHT - 6);
    html_escape(out, panel->x_label);
    fputs("</text>\n", out);
  }
}

/* Runs of points that can be drawn, forward; of a band also backward along its lower side. */
static void put_points(FILE *out, const View *view, const PlotCurve *curve, double side,
                       bool back) {
  for (size_t i = 0; i < curve->count; i++) {
    size_t k = back ? curve->count - 1 - i : i;
    double y = curve->y[k] + (side != 0 ? side * curve->error[k] : 0);
    if (view->y_log && !(y > 0)) y = view->y.low;
    if (is_drawn(view, curve->x[k], curve->y[k]))
      fprintf(out, "%.1f,%.1f ", across(view, curve->x[k]), down(view, y));
  }
}

static void put_line(FILE *out, const View *view, const PlotCurve *curve) {
  if (curve->error) {
    fprintf(out, "<polygon class=\"band %s\"", class_of(curve));
    put_shade(out, curve);
    fputs(" points=\"", out);
    put_points(out, view, curve, 1, false);
    put_points(out, view, curve, -1, true);
    fputs("\"/>\n", out);
  }
  fprintf(out, "<polyline class=\"line %s%s\"", class_of(curve),
          curve->style == PLOT_DASHED ? " dashed" : "");
  put_shade(out, curve);
  fputs(" points=\"", out);
  put_points(out, view, curve, 0, false);
  fputs("\"/>\n", out);
}

static void put_bar(FILE *out, const View *view, const PlotCurve *curve, size_t i) {
  double low = curve->y[i] - curve->error[i], high = curve->y[i] + curve->error[i];
  if (view->y_log && !(low > 0)) low = view->y.low;
  fprintf(out, "<line class=\"bar\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>",
          across(view, curve->x[i]), across(view, curve->x[i]), down(view, low), down(view, high));
}

/* A point tells its numbers; on a line it is seen only when it is pointed at. */
static void put_point(FILE *out, const View *view, const PlotPanel *panel, const PlotCurve *curve,
                      size_t i) {
  bool shown = curve->style == PLOT_POINTS && i % (curve->stride ? curve->stride : 1) == 0;
  fputs("<g class=\"point\">", out);
  if (shown && curve->error) put_bar(out, view, curve, i);
  fprintf(out, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%d\"/><title>",
          shown ? "dot" : "hidden", across(view, curve->x[i]), down(view, curve->y[i]),
          shown ? 3 : 5);
  if (curve->label) html_escape(out, curve->label);
  fprintf(out, "\n%s = %.6g: %.6g", panel->x_label ? panel->x_label : "x", curve->x[i],
          plain_number(curve->y[i]));
  if (curve->error) fprintf(out, " ± %.2g", curve->error[i]);
  fputs("</title></g>\n", out);
}

static void put_legend(FILE *out, const PlotPanel *panel) {
  fputs("<figcaption>", out);
  for (int i = 0; i < panel->curve_count; i++) {
    const PlotCurve *curve = &panel->curves[i];
    if (!curve->label) continue;
    fprintf(out, "<span class=\"key %s\"", class_of(curve));
    put_shade(out, curve);
    fputs(curve->style == PLOT_POINTS ? ">● " : curve->style == PLOT_DASHED ? ">┄ " : ">— ", out);
    html_escape(out, curve->label);
    fputs("</span> ", out);
  }
  fputs("</figcaption>\n", out);
}

void figure_curves(FILE *out, const PlotPanel *panel) {
  View view = {frame_x(panel), frame_y(panel), panel->x_log, panel->y_log};
  if (!frame_drawable(view.x, view.x_log) || !frame_drawable(view.y, view.y_log)) return;
  view.x = frame_pad(view.x, view.x_log, 0.01);
  view.y = frame_pad(view.y, view.y_log, 0.04);
  fprintf(out, "<figure><svg viewBox=\"0 0 %d %d\" role=\"img\">\n", WIDTH, HEIGHT);
  if (panel->y_label) {
    fputs("<title>", out);
    html_escape(out, panel->y_label);
    fputs("</title>\n", out);
  }
  put_ticks(out, &view, true);
  put_ticks(out, &view, false);
  put_names(out, panel);
  for (int i = 0; i < panel->curve_count; i++) {
    const PlotCurve *curve = &panel->curves[i];
    if (curve->style != PLOT_POINTS) put_line(out, &view, curve);
    fprintf(out, "<g class=\"%s\"", class_of(curve));
    put_shade(out, curve);
    fputs(">\n", out);
    for (size_t k = 0; k < curve->count; k++)
      if (is_drawn(&view, curve->x[k], curve->y[k])) put_point(out, &view, panel, curve, k);
    fputs("</g>\n", out);
  }
  fputs("</svg>\n", out);
  put_legend(out, panel);
  fputs("</figure>\n", out);
}

/* Maps */

static void put_entries(FILE *out, const PlotPanel *panel, const double *map, size_t n,
                        Range range) {
  double cell = (double)MAP / (double)n;
  for (size_t i = 0; i < n * n; i++) {
    Color color = frame_heat_color(panel, map[i], range);
    fprintf(out,
            "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"#%02x%02x%02x\">"
            "<title>%zu, %zu: %.4g</title></rect>\n",
            cell * (double)(i % n), cell * (double)(i / n), cell, cell, color.red, color.green,
            color.blue, i / n, i % n, plain_number(map[i]));
  }
}

/* What the slider needs: numbers, and a colour for each. */
static void put_frames(FILE *out, const PlotPanel *panel, const double *times, Range range) {
  const Array *maps = panel->heat;
  size_t count = maps->shape[0], size = maps->shape[1] * maps->shape[2];
  fputs("<script type=\"application/json\">{\"times\":[", out);
  for (size_t t = 0; t < count; t++) fprintf(out, "%s%.6g", t ? "," : "", times[t]);
  fputs("],\"values\":[", out);
  for (size_t i = 0; i < count * size; i++)
    fprintf(out, "%s\"%.4g\"", i ? "," : "", plain_number(maps->data[i]));
  fputs("],\"colors\":[", out);
  for (size_t i = 0; i < count * size; i++) {
    Color color = frame_heat_color(panel, maps->data[i], range);
    fprintf(out, "%s\"#%02x%02x%02x\"", i ? "," : "", color.red, color.green, color.blue);
  }
  fputs("]}</script>\n", out);
}

void figure_maps(FILE *out, const char *title, const Array *maps, const double *times) {
  size_t count = maps->shape[0], n = maps->shape[1];
  PlotPanel panel = {.heat = maps};
  Range range = frame_heat(&(Plot){.panels = &panel, .count = 1}, &panel);
  if (!count || !n || !frame_drawable(range, false)) return;
  fprintf(out, "<figure class=\"map\"><svg viewBox=\"0 0 %d %d\" role=\"img\">\n", MAP, MAP);
  put_entries(out, &panel, maps->data + (count - 1) * n * n, n, range);
  fputs("</svg>\n<figcaption>", out);
  html_escape(out, title);
  fprintf(out,
          ", t = <output>%.6g</output>, colours from %.4g to %.4g <input type=\"range\" min=\"0\" "
          "max=\"%zu\" value=\"%zu\" aria-label=\"time\"></figcaption>\n",
          times[count - 1], plain_number(range.low), plain_number(range.high), count - 1,
          count - 1);
  put_frames(out, &panel, times, range);
  fputs("</figure>\n", out);
}
