/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "output/plot.h"
#include "base/memory.h"
#include "base/work.h"
#include "file/io.h"
#include "output/characters.h"
#include "output/frame.h"
#include "output/gnuplot.h"
#include "output/script.h"
#include "output/tex.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { TEXT_COLUMNS = 100, TEXT_LINES = 32 };

static bool is_text(const char *path) { return strcasecmp(file_extension(path), "txt") == 0; }

/* PICTURE_KINDS when the extension names none. */
static PictureKind kind_of(const char *path) {
  static const char *const extensions[] = {"svg", "pdf", "png", "gp", "tex"};
  int kind = 0;
  while (kind < PICTURE_KINDS && strcasecmp(file_extension(path), extensions[kind]) != 0) kind++;
  return (PictureKind)kind;
}

Status plot_check_target(const char *path, char **why) {
  if (kind_of(path) != PICTURE_KINDS || is_text(path)) return STATUS_OK;
  return file_fail(why, path, STATUS_FILE,
                   "the extension names no known picture: use .svg, .pdf, .png, .tex, .gp or .txt");
}

static bool empty(Range range) { return range.low > range.high; }

static Status check_range(Range range, bool logarithmic, char **why) {
  if (empty(range))
    *why = mem_format("there is nothing to draw: no finite numbers%s",
                      logarithmic ? " above zero, as a logarithmic axis wants" : "");
  else if (!frame_drawable(range, logarithmic))
    *why = mem_format("numbers from %g to %g cannot be drawn: %s axis goes from %g to %g",
                      range.low, range.high, logarithmic ? "a logarithmic" : "an",
                      logarithmic ? 1 / FRAME_LARGEST : -FRAME_LARGEST, FRAME_LARGEST);
  else
    return STATUS_OK;
  return STATUS_SCRIPT;
}

static Status check(const Plot *plot, char **why) {
  Status status = STATUS_OK;
  for (int i = 0; i < plot->count && status == STATUS_OK; i++) {
    const PlotPanel *panel = &plot->panels[i];
    status = panel->heat ? check_range(frame_heat(plot, panel), panel->z_log, why)
                         : check_range(frame_x(panel), panel->x_log, why);
    if (status == STATUS_OK && !panel->heat)
      status = check_range(frame_y(panel), panel->y_log, why);
  }
  return status;
}

typedef struct Picture {
  char *bytes;
  size_t size;
} Picture;

/* A copy of the plot whose texts are LaTeX, and what it has to free. */
typedef struct Typeset {
  Plot plot;
  PlotPanel *panels;
  PlotCurve **curves; /* by panel */
  char **texts;
  int count;
} Typeset;

static const char *set(Typeset *set, const char *text) {
  if (!text) return NULL;
  set->texts = mem_grow(set->texts, ((size_t)set->count + 1) * sizeof *set->texts);
  return set->texts[set->count++] = tex_text(text);
}

static Typeset typeset(const Plot *plot) {
  size_t count = (size_t)plot->count;
  Typeset t = {.plot = *plot,
               .panels = mem_new(count, sizeof(PlotPanel)),
               .curves = mem_new(count, sizeof(PlotCurve *))};
  for (size_t i = 0; i < count; i++) {
    PlotPanel *panel = &t.panels[i];
    *panel = plot->panels[i];
    const char **texts[] = {&panel->title, &panel->x_label, &panel->y_label, &panel->text,
                            &panel->z_label};
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) *texts[k] = set(&t, *texts[k]);
    t.curves[i] = mem_new((size_t)panel->curve_count + 1, sizeof(PlotCurve));
    for (int k = 0; k < panel->curve_count; k++) {
      t.curves[i][k] = panel->curves[k];
      t.curves[i][k].label = set(&t, panel->curves[k].label);
    }
    panel->curves = t.curves[i];
  }
  t.plot.panels = t.panels;
  return t;
}

static void typeset_free(Typeset *t) {
  for (int i = 0; i < t->count; i++) free(t->texts[i]);
  for (int i = 0; i < t->plot.count; i++) free(t->curves[i]);
  free(t->texts);
  free(t->curves);
  free(t->panels);
}

static char *compose(const Plot *plot, PictureKind kind, size_t *length) {
  if (kind != PICTURE_TEX) return script_compose(plot, kind, length);
  Typeset t = typeset(plot);
  char *script = script_compose(&t.plot, kind, length);
  typeset_free(&t);
  return script;
}

/* The script of gnuplot is a picture by itself. */
static Status draw(const Plot *plot, PictureKind kind, Picture *picture, bool *missing,
                   char **why) {
  size_t length = 0;
  char *script = compose(plot, kind, &length);
  if (script && work_stopped()) {
    free(script);
    return file_stop(why);
  }
  if (script && kind == PICTURE_GP) {
    *picture = (Picture){script, length};
    return STATUS_OK;
  }
  if (!script) return *why = mem_refusal(0), STATUS_LIMIT;
  Status status = gnuplot_run(script, length, &picture->bytes, &picture->size, missing, why);
  free(script);
  if (status || picture->size) return status;
  free(picture->bytes);
  return *why = mem_string("gnuplot drew nothing"), STATUS_FILE;
}

static Status put_picture(FILE *stream, void *context, char **why) {
  (void)why;
  const Picture *picture = context;
  fwrite(picture->bytes, 1, picture->size, stream);
  return STATUS_OK;
}

static Status put_numbers(FILE *stream, void *context, char **why) {
  (void)why;
  script_numbers(stream, context);
  return STATUS_OK;
}

static Status put_text(FILE *stream, void *context, char **why) {
  return plot_draw(context, stream, TEXT_COLUMNS, TEXT_LINES, false, why);
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

Status plot_write(const Plot *plot, const char *path, char **why) {
  Picture picture = {0};
  bool missing = false;
  Status status = plot_check_target(path, why);
  if (!status) status = check(plot, why);
  if (status) return status;
  if (is_text(path)) return file_replace_stream(path, put_text, (void *)plot, why);
  status = draw(plot, kind_of(path), &picture, &missing, why);
  if (missing) leave_numbers(plot, path, why);
  if (status) return status;
  status = file_replace_stream(path, put_picture, &picture, why);
  free(picture.bytes);
  return status;
}

Status plot_draw(const Plot *plot, FILE *stream, int columns, int lines, bool color, char **why) {
  Status status = check(plot, why);
  if (status) return status;
  characters_draw(&(Sheet){stream, columns, lines, color}, plot);
  if (work_stopped()) return file_stop(why);
  return ferror(stream) ? (*why = mem_string("the output cannot be written"), STATUS_FILE)
                        : STATUS_OK;
}
