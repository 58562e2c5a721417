/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From the items of a `plot` statement to panels of curves and heat maps. */
#include "session/session.h"
#include "base/memory.h"
#include "model/axes.h"
#include "model/trail.h"
#include "output/figure.h"
#include "output/plot.h"
#include "output/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
  LARGE_FAMILY = 8,
  MANY_POINTS = 50,
  FEWER_POINTS = 40,
  WIDEST_TEXT = 100,
  HIGHEST_TEXT = 26
};

/* A picture under construction: panels, and what they point into. */
typedef struct Drawing {
  PlotPanel *panels;
  int count;
  void **kept;
  int kept_count;
  bool starved; /* there was no memory for some of it */
} Drawing;

static void *keep(Drawing *drawing, void *block) {
  size_t count = (size_t)drawing->kept_count + 1;
  drawing->kept = mem_grow(drawing->kept, count * sizeof *drawing->kept);
  return drawing->kept[drawing->kept_count++] = block;
}

/* Zeroed; NULL when there is no memory, and then nothing is drawn. */
static void *try(Drawing *drawing, size_t count, size_t size) {
  void *block = mem_try(count, size);
  drawing->starved |= !block;
  return keep(drawing, block);
}

static double *column(Drawing *drawing, size_t count) {
  return try(drawing, count, sizeof(double));
}

static void drawing_free(Drawing *drawing) {
  for (int i = 0; i < drawing->kept_count; i++) free(drawing->kept[i]);
  free(drawing->kept);
  free(drawing->panels);
}

static PlotPanel *add_panel(Drawing *drawing) {
  size_t count = (size_t)drawing->count + 1;
  drawing->panels = mem_grow(drawing->panels, count * sizeof *drawing->panels);
  drawing->panels[drawing->count] = (PlotPanel){0};
  return &drawing->panels[drawing->count++];
}

/* What is drawn over what */

/* The numbers that are drawn upward. */
static const Array *heights(const Value *value) {
  return value->kind == VALUE_CURVE ? value->curve.y : value->array;
}

static const Axis *axis_of(const Value *value, int i) {
  return value->axes && i < value->axes->count ? &value->axes->list[i] : NULL;
}

/* What an axis of an array runs over: times, or the numbers of a sweep; NULL for an index. */
static const Array *places_along(const Value *value, int i) {
  const Axis *axis = axis_of(value, i);
  const Array *at = axis && value->kind == VALUE_ARRAY ? axis->at : NULL;
  return at && at->rank == 1 && at->size == value->array->shape[i] ? at : NULL;
}

static bool is_time(const Value *value, int i) {
  const Axis *axis = axis_of(value, i);
  return axis && axis->name && (strcmp(axis->name, "t") == 0 || strcmp(axis->name, "s") == 0);
}

/* The times that an array from nowhere goes along with: those of the fields it is drawn with. */
static const Array *borrowed_times(const PlotPart *part, const Value *value) {
  const Axis *own = axis_of(value, 0);
  for (int i = 0; !(own && own->name) && i < part->count; i++) {
    const Array *t =
        is_time(part->items[i].value, 0) ? places_along(part->items[i].value, 0) : NULL;
    if (t && t->size == value->array->shape[0]) return t;
  }
  return NULL;
}

/* The axis of an array that is drawn across, the other being that of a family: the one that runs
 * over something, time before the numbers of a sweep. -1 where there is no such, or two alike: the
 * array is a map. */
static int abscissa(const PlotPart *part, const Value *value) {
  if (value->kind == VALUE_CURVE || value->array->rank == 1) return 0;
  int family = part->by ? axes_find(value, part->by) : -1;
  if (family >= 0) return 1 - family;
  const Array *down = places_along(value, 0), *across = places_along(value, 1);
  if (down && across)
    return is_time(value, 0) == is_time(value, 1) ? -1 : is_time(value, 0) ? 0 : 1;
  return down || borrowed_times(part, value) ? 0 : across ? 1 : -1;
}

static bool is_map(const PlotPart *part, const Value *value) { return abscissa(part, value) < 0; }

/* Whether numbers lie more evenly on a logarithmic axis, over a factor of four or more. */
static bool is_geometric(const Array *at) {
  static const double least = 4;
  double low = INFINITY, high = 0, wide = 0, narrow = INFINITY, most = 0, fewest = INFINITY;
  for (size_t i = 0; i < at->size; i++) {
    low = fmin(low, at->data[i]);
    high = fmax(high, at->data[i]);
    if (!i || !(low > 0)) continue;
    double step = fabs(at->data[i] - at->data[i - 1]),
           ratio = fabs(log(at->data[i] / at->data[i - 1]));
    wide = fmax(wide, step), narrow = fmin(narrow, step);
    most = fmax(most, ratio), fewest = fmin(fewest, ratio);
  }
  return at->size > 2 && low > 0 && high >= least * low && most / fewest < wide / narrow;
}

/* Whether the axis across is logarithmic: as it is asked for, else where all that is drawn over it
 * are sweeps whose values are so. */
static bool across_is_log(const PlotPart *part) {
  if (part->x_log != SWITCH_OPEN) return part->x_log == SWITCH_ON;
  bool any = false;
  for (int i = 0; i < part->count; i++) {
    const Value *value = part->items[i].value;
    if (is_map(part, value)) continue;
    int across = abscissa(part, value);
    const Array *at = places_along(value, across);
    if (!at || is_time(value, across) || !is_geometric(at)) return false;
    any = true;
  }
  return any;
}

/* What an item stands over, NULL for the index. */
static const Array *places_for(const PlotPart *part, const Value *value) {
  if (value->kind == VALUE_CURVE) return value->curve.x;
  const Array *own = places_along(value, abscissa(part, value));
  return own ? own : borrowed_times(part, value);
}

/* Names, in the notation of the field */

/* "t", "μ", or "γ" of a sweep over net.gamma; NULL for an axis without name. */
static const char *axis_symbol(Drawing *drawing, const Axis *axis) {
  static const struct {
    const char *name, *symbol;
  } symbols[] = {{"mu", "μ"}, {"a", "μ"}, {"n", "μ"}, {"nu", "α"}, {"b", "α"}};
  if (!axis || !axis->name) return NULL;
  for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++)
    if (strcmp(symbols[i].name, axis->name) == 0) return symbols[i].symbol;
  const char *dot = strrchr(axis->name, '.');
  return keep(drawing, greek_text(dot ? dot + 1 : axis->name));
}

/* The field that a value is part of: "Φ²", "N Var f"; NULL when it is part of none. To be freed. */
static char *symbol_of(const Value *value) {
  static const struct {
    const char *name, *symbol;
  } symbols[] = {{"delta", "Δ"}, {"Phi", "Φ"}, {"ntk", "K"}};
  static const char *const powers[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
  const char *name = value->field, *front = "";
  if (!name) return NULL;
  if (strncmp(name, "var_", 4) == 0) front = "N Var ", name += 4;
  if (strncmp(name, "cov_", 4) == 0) front = "N Cov ", name += 4;
  for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++)
    if (strcmp(symbols[i].name, name) == 0) name = symbols[i].symbol;
  int layer = value->layer;
  bool letter = !name[1] || (*name & 0x80);
  char *text = layer && !letter ? mem_format("%s%s, layer %d", front, name, layer)
               : !layer || layer > 99
                   ? mem_format("%s%s", front, name)
                   : mem_format("%s%s%s%s", front, name, layer > 9 ? powers[layer / 10] : "",
                                powers[layer % 10]);
  for (char *c = text; *c; c++)
    if (*c == '_') *c = ' ';
  return text;
}

static const char *name_of(const Item *item) {
  bool own = item->value->kind == VALUE_CURVE && item->value->curve.label;
  return own ? item->value->curve.label : item->name;
}

/* The name as it is shown; NULL for one that is empty. */
static char *title_of(Drawing *drawing, const Item *item) {
  const char *name = name_of(item);
  if (!*name) return NULL;
  if (name != item->name) return keep(drawing, mem_string(name));
  const char *field = item->value->field && strcmp(item->value->field, "delta") == 0
                          ? strstr(name, ".delta")
                          : NULL;
  char *text = field ? mem_format("%.*s.Δ%s", (int)(field - name), name, field + strlen(".delta"))
                     : mem_string(name);
  char *title = greek_text(text);
  free(text);
  return keep(drawing, title);
}

/* What is drawn, whoever computed it: "loss" of theory.loss and nets.loss. */
static const char *quantity(const Item *item) {
  const char *name = name_of(item), *dot = strchr(name, '.');
  return dot && !item->labelled && item->value->kind != VALUE_CURVE ? dot + 1 : name;
}

/* Curves */

/* How many curves an item makes: one, or a family along the axis that is not drawn across. */
static size_t curves_of(const PlotPart *part, const Value *value) {
  const Array *y = heights(value);
  return y->rank == 2 ? y->shape[1 - abscissa(part, value)] : 1;
}

static const Axis *family_axis(const PlotPart *part, const Value *value) {
  return axis_of(value, 1 - abscissa(part, value));
}

static PlotStyle style_of(const Value *value) {
  bool networks = trail_is_of_networks(value) ||
                  (value->source && strcmp(value->source->kind, "simulate") == 0);
  switch (value->kind == VALUE_CURVE ? value->curve.style : CURVE_AUTO) {
  case CURVE_LINE: return PLOT_LINE;
  case CURVE_DASHED: return PLOT_DASHED;
  case CURVE_POINTS: return PLOT_POINTS;
  default: return networks ? PLOT_POINTS : PLOT_LINE;
  }
}

static bool same_quantity(const PlotPart *part, int i, int k) {
  return strcmp(quantity(&part->items[i]), quantity(&part->items[k])) == 0;
}

/* The item before item i whose colour it shares: the first of the same quantity in another style
 * that has no such companion yet, as the theory for its networks; or -1. */
static int companion_of(const PlotPart *part, int i) {
  PlotStyle style = style_of(part->items[i].value);
  for (int k = 0; k < i; k++) {
    bool suits = !is_map(part, part->items[k].value) && same_quantity(part, i, k) &&
                 style_of(part->items[k].value) != style && companion_of(part, k) < 0;
    for (int other = k + 1; suits && other < i; other++)
      suits = !same_quantity(part, other, k) || companion_of(part, other) != k;
    if (suits) return k;
  }
  return -1;
}

/* The colour of an item's first curve. */
static int color_of(const PlotPart *part, int i) {
  const Value *value = part->items[i].value;
  int color = 1, companion = companion_of(part, i);
  if (value->kind == VALUE_CURVE && value->curve.color) return value->curve.color;
  if (companion >= 0) return color_of(part, companion);
  for (int k = 0; k < i; k++)
    if (!is_map(part, part->items[k].value) && companion_of(part, k) < 0)
      color += (int)curves_of(part, part->items[k].value);
  return color;
}

/* Curve `which` of a family, as a column of its own. */
static double *strided(Drawing *drawing, const Array *array, int across, size_t which) {
  size_t count = array->shape[across], columns = array->rank == 2 ? array->shape[1] : 1;
  size_t first = across ? which * columns : which, step = across ? 1 : columns;
  double *data = column(drawing, count);
  for (size_t i = 0; data && i < count; i++) data[i] = array->data[first + i * step];
  return data;
}

/* Whether an item before item i is a family in the same colours. */
static bool repeats_family(const PlotPart *part, int i) {
  const Item *item = &part->items[i];
  size_t width = curves_of(part, item->value);
  const Array *at = places_along(item->value, 1 - abscissa(part, item->value));
  for (int k = 0; k < i; k++) {
    const Item *other = &part->items[k];
    if (is_map(part, other->value) || curves_of(part, other->value) != width) continue;
    bool graded = width > LARGE_FAMILY ||
                  (at && places_along(other->value, 1 - abscissa(part, other->value)));
    if (graded || strcmp(quantity(other), quantity(item)) == 0) return true;
  }
  return false;
}

/* A family that is alone, whose members need no other name than their place: the axis upward has
 * the rest. */
static bool is_only_family(const PlotPart *part) {
  const Value *value = part->items[0].value;
  return part->count == 1 && !part->items[0].labelled && !is_map(part, value) &&
         curves_of(part, value) > 1 && places_along(value, 1 - abscissa(part, value));
}

/* The members of a family have their number, or the value of a sweep; of a large one the first and
 * the last are named, and one in the colours of another is named as a whole. */
static char *label_of(Drawing *drawing, const PlotPart *part, int i, size_t which) {
  const Item *item = &part->items[i];
  const Value *value = item->value;
  size_t width = curves_of(part, value);
  char *title = title_of(drawing, item);
  if (!title || width == 1) return title;
  if (repeats_family(part, i)) return which ? NULL : title;
  if (width > LARGE_FAMILY && which > 0 && which + 1 < width) return NULL;
  const char *symbol = axis_symbol(drawing, family_axis(part, value));
  const Array *at = places_along(value, 1 - abscissa(part, value));
  double place = at ? at->data[which] : (double)which;
  if (is_only_family(part) && symbol) return keep(drawing, mem_format("%s = %.10g", symbol, place));
  return keep(drawing,
              mem_format("%s, %s%s%.10g", title, symbol ? symbol : "", symbol ? " = " : "", place));
}

/* So many points in time that they would hide each other are thinned out. */
static size_t stride_of(const PlotPart *part, const Value *value, size_t count) {
  bool many = value->kind == VALUE_ARRAY && !across_is_log(part) && count > MANY_POINTS;
  return many ? (count + FEWER_POINTS - 1) / FEWER_POINTS : 1;
}

/* On a logarithmic axis they are thinned out evenly there, and what is not on it goes. */
static PlotCurve thinned(Drawing *drawing, PlotCurve curve) {
  double *x = column(drawing, curve.count), *y = column(drawing, curve.count);
  double *error = column(drawing, curve.count);
  if (drawing->starved) return curve;
  double first = INFINITY, last = 0, before = 0;
  for (size_t i = 0; i < curve.count; i++) {
    if (curve.x[i] > 0 && curve.x[i] < first) first = curve.x[i];
    if (curve.x[i] > last) last = curve.x[i];
  }
  size_t count = 0;
  for (size_t i = 0; i < curve.count; i++) {
    if (!(curve.x[i] > 0)) continue;
    if (count && fabs(log(curve.x[i] / before)) < log(last / first) / FEWER_POINTS) continue;
    before = curve.x[i];
    x[count] = curve.x[i];
    y[count] = curve.y[i];
    if (curve.error) error[count] = curve.error[i];
    count++;
  }
  curve.x = x;
  curve.y = y;
  if (curve.error) curve.error = error;
  curve.count = count;
  return curve;
}

/* Curves of a large family, and those of a sweep, are graded. */
static PlotCurve curve_of(Drawing *drawing, const PlotPart *part, int i, const double *x,
                          size_t which) {
  const Item *item = &part->items[i];
  const Value *value = item->value;
  const Array *y = heights(value);
  int across = abscissa(part, value);
  size_t width = curves_of(part, value);
  bool exact = value->source && value->source->exact;
  bool graded = width > LARGE_FAMILY || (width > 1 && places_along(value, 1 - across));
  bool x_log = across_is_log(part);
  PlotCurve curve = {.label = label_of(drawing, part, i, which),
                     .count = y->shape[across],
                     .x = x,
                     .y = strided(drawing, y, across, which),
                     .error = value->error && !exact ? strided(drawing, value->error, across, which)
                                                     : NULL,
                     .style = style_of(value),
                     .stride = stride_of(part, value, y->shape[across]),
                     .color = graded ? 0 : color_of(part, i) + (int)which,
                     .colors = part->colors,
                     .shade = graded ? (double)which / (double)(width - 1) : 0};
  while (x_log && curve.count && !(curve.x[0] > 0)) { /* its start is not on the axis */
    curve.x++, curve.y++, curve.count--;
    if (curve.error) curve.error++;
  }
  bool many = value->kind == VALUE_ARRAY && curve.count > MANY_POINTS;
  return x_log && many && curve.style == PLOT_POINTS ? thinned(drawing, curve) : curve;
}

static void add_item(Drawing *drawing, const PlotPart *part, int i, PlotCurve *curves) {
  const Value *value = part->items[i].value;
  const Array *places = places_for(part, value);
  size_t count = heights(value)->shape[abscissa(part, value)];
  double *x = column(drawing, count);
  for (size_t k = 0; x && k < count; k++) x[k] = places ? places->data[k] : (double)k;
  for (size_t which = 0; which < curves_of(part, value); which++)
    curves[which] = curve_of(drawing, part, i, x, which);
}

/* The text that the items agree on, else NULL. */
static const char *common(const char *so_far, const char *next, bool first) {
  return first || (so_far && next && strcmp(so_far, next) == 0) ? next : NULL;
}

/* The numbers of an option that gives places. */
static const double *numbers_of(const Value *value, size_t *count) {
  *count = !value ? 0 : value->kind == VALUE_ARRAY ? value->array->size : 1;
  return !value ? NULL : value->kind == VALUE_ARRAY ? value->array->data : &value->number;
}

static PlotSpan span_of(const PlotLimits *limits) {
  return (PlotSpan){limits->given, limits->low, limits->high};
}

/* A panel of which nothing is known but its options. */
static PlotPanel options_of(const PlotPart *part) {
  PlotPanel panel = {.x_log = across_is_log(part),
                     .y_log = part->y_log == SWITCH_ON,
                     .legend = part->legend,
                     .text = part->text,
                     .x_span = span_of(&part->x_lim),
                     .y_span = span_of(&part->y_lim)};
  panel.v_lines = numbers_of(part->v_lines, &panel.v_count);
  panel.h_lines = numbers_of(part->h_lines, &panel.h_count);
  return panel;
}

static void add_curves(Drawing *drawing, const PlotPart *part) {
  PlotPanel panel = options_of(part);
  const char *symbol = NULL, *name = NULL, *axis = NULL;
  size_t count = 0;
  bool first = true;
  for (int i = 0; i < part->count; i++)
    if (!is_map(part, part->items[i].value)) count += curves_of(part, part->items[i].value);
  PlotCurve *curves = try(drawing, count, sizeof *curves);
  if (!curves) return;
  panel.curves = curves;
  for (int i = 0; i < part->count; i++) {
    const Value *value = part->items[i].value;
    if (is_map(part, value)) continue;
    add_item(drawing, part, i, curves + panel.curve_count);
    panel.curve_count += (int)curves_of(part, value);
    char *own = symbol_of(value);
    symbol = common(symbol, own ? keep(drawing, own) : NULL, first);
    bool named = part->items[i].labelled || value->field;
    name = common(name, named ? quantity(&part->items[i]) : NULL, first);
    const char *own_axis = axis_symbol(drawing, axis_of(value, abscissa(part, value)));
    bool borrowed = value->kind == VALUE_ARRAY && borrowed_times(part, value);
    axis = common(axis, borrowed ? "t" : own_axis, first);
    first = false;
  }
  panel.title = part->title;
  panel.x_label = part->x_label ? part->x_label : axis;
  panel.y_label = part->y_label ? part->y_label : symbol ? symbol : name;
  if (!panel.y_label && is_only_family(part)) panel.y_label = title_of(drawing, part->items);
  *add_panel(drawing) = panel;
}

/* Heat maps */

static void add_map(Drawing *drawing, const PlotPart *part, const Item *item) {
  const Value *value = item->value;
  bool alone = part->count == 1;
  char *symbol = symbol_of(value);
  const char *across = axis_symbol(drawing, axis_of(value, 1)),
             *down = axis_symbol(drawing, axis_of(value, 0));
  *add_panel(drawing) =
      (PlotPanel){.title = alone && part->title ? part->title : title_of(drawing, item),
                  .x_label = alone && part->x_label ? part->x_label : across,
                  .y_label = alone && part->y_label ? part->y_label : down,
                  .heat = value->array,
                  .colors = part->colors,
                  .z_span = span_of(&part->z_lim),
                  .z_log = part->z_log == SWITCH_ON,
                  .columns = places_along(value, 1),
                  .rows = places_along(value, 0),
                  .upward = places_along(value, 0) && !is_time(value, 0),
                  .text = part->text,
                  .z_label = symbol ? keep(drawing, symbol) : NULL};
}

/* The curves of a part share a panel, each map has its own. */
static void add_part(Drawing *drawing, const PlotPart *part) {
  bool curves = false;
  for (int i = 0; i < part->count; i++) {
    bool map = is_map(part, part->items[i].value);
    if (map) add_map(drawing, part, &part->items[i]);
    if (!map && !curves) add_curves(drawing, part);
    curves |= !map;
  }
}

/* The statement */

/* Whether an item of two axes has the one that is to make a family; reports otherwise. */
static bool has_family(Eval *eval, const PlotPart *part, const Item *item) {
  const Value *value = item->value;
  if (!part->by || value->kind != VALUE_ARRAY || value->array->rank != 2) return true;
  if (axes_find(value, part->by) >= 0) return true;
  const char **names = axes_names(value);
  eval_unknown(eval, item->node->span, part->by, names, "the array has no axis '%s'", part->by);
  free(names);
  return false;
}

/* An option that was given and that nothing of the part takes, or NULL. */
static const char *idle_option(const PlotPart *part) {
  bool map = false, curve = false;
  for (int i = 0; i < part->count; i++)
    *(is_map(part, part->items[i].value) ? &map : &curve) = true;
  if (!map && part->z_lim.given) return curve ? "zlim" : NULL;
  if (!map && part->z_log) return curve ? "logz" : NULL;
  if (!map || curve) return NULL;
  if (part->x_lim.given || part->y_lim.given) return part->x_lim.given ? "xlim" : "ylim";
  if (part->x_log || part->y_log) return part->x_log ? "logx" : "logy";
  if (part->v_lines || part->h_lines) return part->v_lines ? "vline" : "hline";
  return part->legend ? "legend" : NULL;
}

/* A check passes over what it does not know. */
static bool known(const PlotPart *part) {
  for (int i = 0; i < part->count; i++)
    if (part->items[i].value->kind == VALUE_UNKNOWN) return false;
  return true;
}

static bool options_serve(Eval *eval, const PlotPart *part) {
  const char *idle = known(part) ? idle_option(part) : NULL;
  if (!idle) return true;
  bool map = strcmp(idle, "zlim") != 0 && strcmp(idle, "logz") != 0;
  const char *hint =
      strncmp(idle, "log", 3) == 0 && map
          ? "its colours are logarithmic with logz = true, and by = \"...\" draws curves"
          : NULL;
  eval_error(eval, part->items[0].node->span, hint, "'%s' is for %s, and this is %s", idle,
             map ? "curves" : "maps", map ? "a map" : "a curve");
  return false;
}

static bool drawable(Eval *eval, const PlotPart *part) {
  for (int i = 0; i < part->count; i++)
    if (!has_family(eval, part, &part->items[i])) return false;
  if (!options_serve(eval, part)) return false;
  for (int i = 0; i < part->count; i++) {
    const Value *value = part->items[i].value;
    bool empty = value->kind == VALUE_ARRAY && value->array->size == 0;
    if (value->kind != VALUE_ARRAY || (value->array->rank <= 2 && !empty)) continue;
    eval_error(eval, part->items[i].node->span, empty ? NULL : "choose a part of it: x[0], x[:, 0]",
               "cannot plot %s", value_describe(value));
    return false;
  }
  return true;
}

static void ask_errors(Eval *eval, const PlotPart *part) {
  for (int i = 0; i < part->count; i++)
    if (!is_map(part, part->items[i].value)) trail_error(eval, part->items[i].value);
}

static int letters_of(const char *text) {
  int count = 0;
  for (; *text; text++) count += ((unsigned char)*text & 0xc0) != 0x80;
  return count;
}

/* An expression that is long stands for itself; a label was written to be read. */
static void warn_of_labels(Eval *eval, const PlotPart *part) {
  for (int i = 0; i < part->count; i++) {
    const Item *item = &part->items[i];
    bool label = item->labelled || name_of(item) != item->name;
    if (!label || letters_of(name_of(item)) <= PLOT_LABEL) continue;
    diag_warning(eval->diags, item->node->span, "titles and the names of axes break into lines",
                 "the label is cut: a legend has room for %d letters", PLOT_LABEL);
  }
}

/* In characters, as wide as the terminal of the results, but no more than is easily read. */
static Status draw_text(const Dmf *dmf, const Plot *plot, FILE *out, int lines, char **why) {
  int columns = text_columns(dmf->results), most = text_lines(dmf->results) - 1;
  bool color = dmf->config.color && session_on_terminal(dmf);
  return plot_draw(plot, out, columns < WIDEST_TEXT ? columns : WIDEST_TEXT,
                   lines < most ? lines : most, color, why);
}

static Status starve(char **why) {
  *why = mem_refusal(0);
  return STATUS_LIMIT;
}

static Status write_picture(const Dmf *dmf, const Plot *plot, const char *target, char **why) {
  Status status = session_leads(dmf) ? plot_write(plot, target, why) : STATUS_OK;
  return session_agree(dmf, status, why);
}

static Status draw(const Dmf *dmf, const PlotPart *parts, int count, const char *target,
                   char **why) {
  Drawing drawing = {0};
  for (int i = 0; i < count; i++) add_part(&drawing, &parts[i]);
  Plot plot = {drawing.panels, drawing.count, parts->size};
  Status status = drawing.starved ? starve(why)
                  : target        ? write_picture(dmf, &plot, target, why)
                                  : draw_text(dmf, &plot, dmf->results, HIGHEST_TEXT, why);
  drawing_free(&drawing);
  return status;
}

void draw_figure(const PlotPart *part, FILE *out) {
  Drawing drawing = {0};
  add_part(&drawing, part);
  for (int i = 0; i < drawing.count && !drawing.starved; i++)
    if (!drawing.panels[i].heat) figure_curves(out, &drawing.panels[i]);
  drawing_free(&drawing);
}

Status draw_file(const PlotPart *part, const char *path, char **why) {
  Drawing drawing = {0};
  add_part(&drawing, part);
  Plot plot = {drawing.panels, drawing.count, part->size};
  Status status = drawing.starved ? starve(why) : plot_write(&plot, path, why);
  drawing_free(&drawing);
  return status;
}

Status draw_characters(const Dmf *dmf, const PlotPart *part, FILE *out, int lines, char **why) {
  Drawing drawing = {0};
  add_part(&drawing, part);
  Plot plot = {drawing.panels, drawing.count, part->size};
  Status status = drawing.starved ? starve(why) : draw_text(dmf, &plot, out, lines, why);
  drawing_free(&drawing);
  return status;
}

/* Where a plot goes that names no file: NULL to be drawn in characters. */
static char *next_picture(Eval *eval) {
  Dmf *dmf = eval->host->self;
  if (!dmf->pictures) return NULL;
  if (!eval->dry) dmf->picture_count++;
  return mem_format("%s/plot_%d.svg", dmf->pictures, dmf->picture_count);
}

void draw_plot(Eval *eval, const PlotPart *parts, int count, const char *path, Span span) {
  const Dmf *dmf = eval->host->self;
  for (int i = 0; i < count; i++)
    if (!drawable(eval, &parts[i])) return;
  for (int i = 0; i < count && !eval->dry; i++) ask_errors(eval, &parts[i]);
  if (eval->halted) return;
  char *target = path ? files_target(eval, path, span) : next_picture(eval), *why = NULL;
  if (path && !target) return;
  Status status = target ? plot_check_target(target, &why) : STATUS_OK;
  for (int i = 0; i < count && eval->dry && target; i++) warn_of_labels(eval, &parts[i]);
  if (status == STATUS_OK && !eval->dry) status = draw(dmf, parts, count, target, &why);
  if (status == STATUS_OK && !eval->dry && target) files_tell(dmf, target);
  if (status != STATUS_OK)
    eval_fail(eval, status, span, NULL, "%s", why ? why : "the plot could not be drawn");
  free(why);
  free(target);
}
