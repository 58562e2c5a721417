/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/trail.h"
#include "base/memory.h"
#include "base/work.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Operations behind one another before their error is computed at once, which bounds what is kept
 * and the depth of what goes through it. */
enum { DEEPEST = 64 };
/* A part that is small, or so many times smaller than the whole, is cut out at once: it does not
 * hold on to the whole. */
enum { SMALL_PART = 64, SMALLER_PART = 8 };

/* ---- trails ---- */

static Trail *trail_new(void) {
  Trail *trail = mem_new(1, sizeof *trail);
  trail->references = 1;
  return trail;
}

Trail *trail_keep(Trail *trail) {
  if (trail) trail->references++;
  return trail;
}

void trail_drop(Trail *trail) {
  if (!trail || --trail->references > 0) return;
  for (int i = 0; i < trail->count; i++) {
    trail_drop(trail->parts[i].trail);
    value_drop(trail->parts[i].value);
  }
  for (int i = 0; i < trail->subscript_count; i++) array_drop((Array *)trail->subscripts[i].list);
  array_drop(trail->value);
  array_drop(trail->error);
  array_drop(trail->scale);
  array_drop(trail->rest);
  scatter_drop(trail->scatter);
  free(trail->subscripts);
  free(trail->parts);
  free(trail);
}

void trail_begin(Value *value, Array *error, Scatter *scatter) {
  Trail *trail = trail_new();
  trail->value = value_as_array(value);
  trail->error = error;
  trail->scatter = scatter;
  trail->networks = trail_is_of_networks(value); /* of what is settled */
  trail_drop(value->trail);
  value->trail = trail;
}

bool trail_is_of_networks(const Value *value) { return value->trail && value->trail->networks; }

static TrailPart part_of(Value *arg) {
  return !arg         ? (TrailPart){NULL, NULL}
         : arg->trail ? (TrailPart){trail_keep(arg->trail), NULL}
                      : (TrailPart){NULL, value_keep(arg)};
}

/* Whether an operation that gave this value is to be remembered. */
static bool follows(const Eval *eval, const Value *value, int count, Value *const *args) {
  bool sampled = false;
  for (int i = 0; i < count; i++) {
    sampled |= args[i] && args[i]->trail;
    if (args[i] == value) return false;
  }
  return sampled && !eval->dry && value_is_numeric(value) && !value->trail;
}

static size_t size_of(const Value *value) {
  return value->kind == VALUE_ARRAY ? value->array->size : 1;
}

/* What trail_is_of_networks says of the value that these arguments gave. */
static bool are_networks(const Value *value, int count, Value *const *args) {
  size_t size = 0;
  for (int i = 0; i < count; i++) {
    if (!args[i] || !args[i]->trail) continue;
    if (!args[i]->trail->networks) return false;
    size += size_of(args[i]);
  }
  return size >= size_of(value);
}

static void remember(Eval *eval, Value *value, Trail *trail, int count, Value *const *args) {
  trail->networks = are_networks(value, count, args);
  trail->count = count;
  trail->parts = mem_new((size_t)count, sizeof *trail->parts);
  for (int i = 0; i < count; i++) {
    trail->parts[i] = part_of(args[i]);
    if (args[i] && args[i]->trail && args[i]->trail->depth >= trail->depth)
      trail->depth = args[i]->trail->depth + 1;
  }
  value->trail = trail;
  if (trail->depth > DEEPEST) trail_settle(eval, value);
}

Value *trail_note(Eval *eval, Value *value, Again *again, int op, int count, Value *const *args) {
  if (!follows(eval, value, count, args)) return value;
  Trail *trail = trail_new();
  trail->again = again;
  trail->op = op;
  remember(eval, value, trail, count, args);
  return value;
}

/* ---- parts of arrays ---- */

/* A mask and the ends of a slice stay as they were: how many numbers they choose must not depend
 * on chance. */
static Value *index_again(Eval *eval, const Trail *trail, Value **args) {
  Subscript list[ARRAY_MAX_RANK];
  for (int i = 0; i < trail->subscript_count; i++) {
    const Value *value = args[i + 1];
    list[i] = trail->subscripts[i];
    if (value && list[i].kind == SUBSCRIPT_AT && value->kind == VALUE_NUMBER)
      list[i].at = value->number;
    if (value && list[i].kind == SUBSCRIPT_LIST && value->kind == VALUE_ARRAY)
      list[i].list = value->array;
  }
  const char *why = NULL;
  Array *array = array_index(args[0]->array, trail->subscript_count, list, &why);
  return eval_array(eval, (Span){0}, array, why, true);
}

static Scatter *part_of_scatter(const Scatter *scatter, int count, const Subscript *list) {
  const char *why;
  Scatter *part = scatter_new();
  for (int k = 0; k < scatter->count; k++) {
    const Direction *d = &scatter->list[k];
    Array *move = array_index(d->move, count, list, &why);
    if (!move) return scatter_drop(part), NULL;
    scatter_add(part, d->id, d->weight, move);
  }
  return part;
}

/* Whether a part is cut out of sampled numbers at once; else that is done later. */
static bool is_cut_out(const Value *value, const Trail *base) {
  size_t size = size_of(value);
  return !base->again && base->scatter &&
         (size <= SMALL_PART || size * SMALLER_PART <= base->value->size);
}

/* False without memory: done later after all, it would round otherwise. */
static bool cut_out(Value *value, const Trail *base, int count, const Subscript *list) {
  const char *why;
  Scatter *scatter = part_of_scatter(base->scatter, count, list);
  Array *error = base->error ? array_index(base->error, count, list, &why) : NULL;
  if (scatter && (error || !base->error)) {
    trail_begin(value, error, scatter);
    value->trail->networks = base->networks;
    return true;
  }
  scatter_drop(scatter);
  array_drop(error);
  return false;
}

Value *trail_note_part(Eval *eval, Value *value, Value *base, int count, const Subscript *list,
                       Value *const *values) {
  Value *args[1 + ARRAY_MAX_RANK] = {base};
  bool steady = true;
  for (int i = 0; i < count; i++) {
    Value *own = values ? values[i] : NULL;
    args[i + 1] = own && own->trail && list[i].kind != SUBSCRIPT_MASK ? own : NULL;
    steady &= !args[i + 1];
  }
  if (!follows(eval, value, count + 1, args)) return value;
  if (steady && is_cut_out(value, base->trail)) {
    if (cut_out(value, base->trail, count, list)) return value;
    return eval_starve(eval, eval->at);
  }
  Trail *trail = trail_new();
  trail->again = index_again;
  trail->subscripts = mem_new((size_t)count, sizeof *trail->subscripts);
  trail->subscript_count = count;
  for (int i = 0; i < count; i++) {
    trail->subscripts[i] = list[i];
    array_keep((Array *)list[i].list);
  }
  remember(eval, value, trail, count + 1, args);
  return value;
}

/* ---- doing it again ---- */

/* The operations behind a value in an order in which each follows its arguments. */
typedef struct Play {
  bool starved;
  Eval eval; /* which reports to nobody */
  Diags diags;
  Trail **nodes;
  int count, capacity;
  Value **base, **now; /* what they gave, and give */
  bool *moved;         /* whether that may be different */
  uint64_t *ids;       /* of all directions */
  double *weights;
  int direction_count;
  bool blind; /* in this direction are numbers of which nothing says how far they are off: nan */
} Play;

static void collect(Play *play, Trail *trail) {
  if (trail->mark) return;
  for (int i = 0; i < trail->count; i++)
    if (trail->parts[i].trail) collect(play, trail->parts[i].trail);
  if (play->count == play->capacity) {
    play->capacity = play->capacity ? 2 * play->capacity : 16;
    play->nodes = mem_grow(play->nodes, (size_t)play->capacity * sizeof(Trail *));
  }
  play->nodes[play->count++] = trail;
  trail->mark = play->count;
}

/* Makes what of sampled numbers was left until now; false without memory. */
static bool prepare_leaf(Trail *leaf) {
  if (!leaf->scatter) leaf->scatter = scatter_independent(leaf->value, leaf->error);
  if (leaf->scatter && leaf->error && !leaf->scale)
    leaf->scale = scatter_scale(leaf->scatter, leaf->error, &leaf->rest);
  return leaf->scatter && (leaf->scale || !leaf->error);
}

static int by_id(const void *x, const void *y) {
  uint64_t a = ((const Direction *)x)->id, b = ((const Direction *)y)->id;
  return (a > b) - (a < b);
}

/* The directions of all sampled numbers, each once. */
static bool list_directions(Play *play) {
  size_t room = 0, count = 0;
  for (int i = 0; i < play->count; i++)
    if (!play->nodes[i]->again) {
      if (!prepare_leaf(play->nodes[i])) return !(play->starved = true);
      room += (size_t)play->nodes[i]->scatter->count;
    }
  Direction *all = mem_new(room + 1, sizeof *all);
  for (int i = 0; i < play->count; i++)
    for (int k = 0; !play->nodes[i]->again && k < play->nodes[i]->scatter->count; k++)
      all[count++] = play->nodes[i]->scatter->list[k];
  qsort(all, count, sizeof *all, by_id);
  play->ids = mem_new(count + 1, sizeof *play->ids);
  play->weights = mem_new(count + 1, sizeof *play->weights);
  for (size_t k = 0; k < count; k++) {
    if (k && all[k].id == all[k - 1].id) continue;
    play->ids[play->direction_count] = all[k].id;
    play->weights[play->direction_count++] = all[k].weight;
  }
  free(all);
  return true;
}

/* Sampled numbers off by a direction, once in this `sense`; NULL where it does not concern them. */
static Value *off_by(Play *play, const Trail *leaf, uint64_t id, int sense) {
  const Direction *d = scatter_find(leaf->scatter, id);
  Array *array = d ? array_new(leaf->value->rank, leaf->value->shape) : NULL;
  play->starved |= d && !array;
  if (!array) return NULL;
  bool first = d == leaf->scatter->list && leaf->rest;
  for (size_t i = 0; i < array->size; i++) {
    double move = d->move->data[i] * (leaf->scale ? leaf->scale->data[i] : 1);
    array->data[i] = leaf->value->data[i] + sense * (first ? move + leaf->rest->data[i] : move);
  }
  return value_array(&play->eval.heap, array);
}

static bool has_nan(const Value *value) {
  const Array *array = value->kind == VALUE_ARRAY ? value->array : NULL;
  bool found = value->kind == VALUE_NUMBER && isnan(value->number);
  for (size_t i = 0; array && i < array->size && !found; i++) found = isnan(array->data[i]);
  return found;
}

/* Whether something is above nan has an answer, and what is unknown would be lost: what an
 * operation makes of it is unknown, place by place where the shape stays. */
static Value *hand_on(Play *play, Value *value, int count, Value *const *args) {
  if (!value_is_numeric(value) || has_nan(value)) return value;
  Array *out = value_as_array(value);
  for (int k = 0; k < count && out; k++) {
    if (!args[k] || !value_is_numeric(args[k]) || !has_nan(args[k])) continue;
    Array *in = value_as_array(args[k]);
    bool placed = in && array_same_shape(in, out);
    Array *next = in ? array_new(out->rank, out->shape) : NULL;
    play->starved |= !next;
    for (size_t i = 0; next && i < out->size; i++)
      next->data[i] = !placed || isnan(in->data[i]) ? NAN : out->data[i];
    array_drop(in);
    array_drop(out);
    out = next;
  }
  play->starved |= !out;
  return out ? value_array(&play->eval.heap, out) : value;
}

static Value *do_again(Play *play, const Trail *trail, Value *const *values) {
  Value **args = mem_new((size_t)trail->count, sizeof *args);
  for (int i = 0; i < trail->count; i++) {
    const TrailPart *part = &trail->parts[i];
    args[i] = part->trail ? values[part->trail->mark - 1] : part->value;
  }
  Value *value = trail->again(&play->eval, trail, args);
  if (play->blind && trail->again != index_again) value = hand_on(play, value, trail->count, args);
  free(args);
  return value;
}

/* An operation that had no memory when it was done again does not leave a number without its error.
 */
static void note_starved(Play *play) {
  play->starved |= play->diags.errors > 0 && play->diags.status == STATUS_LIMIT;
}

/* Whether there are numbers at the end; arguments that failed must not be looked at. */
static bool play_base(Play *play) {
  for (int i = 0; i < play->count; i++) {
    Trail *trail = play->nodes[i];
    play->base[i] = trail->again ? do_again(play, trail, play->base)
                                 : value_array(&play->eval.heap, array_keep(trail->value));
    if (!value_is_numeric(play->base[i])) return note_starved(play), false;
  }
  return true;
}

static bool depends(const Play *play, const Trail *trail) {
  for (int i = 0; i < trail->count; i++)
    if (trail->parts[i].trail && play->moved[trail->parts[i].trail->mark - 1]) return true;
  return false;
}

/* The value when all is off by a direction; NULL when that is none of its shape. */
static Array *play_off(Play *play, uint64_t id, int sense) {
  play->blind = false;
  for (int i = 0; i < play->count; i++) {
    Trail *trail = play->nodes[i];
    play->moved[i] = trail->again ? depends(play, trail) : scatter_find(trail->scatter, id) != NULL;
    play->blind |= play->moved[i] && !trail->again && !trail->error;
    play->now[i] = !play->moved[i] ? play->base[i]
                   : trail->again  ? do_again(play, trail, play->now)
                                   : off_by(play, trail, id, sense);
    if (!play->now[i] || !value_is_numeric(play->now[i])) return NULL;
  }
  Array *before = value_as_array(play->base[play->count - 1]),
        *now = value_as_array(play->now[play->count - 1]);
  bool same = before && now && array_same_shape(before, now);
  array_drop(before);
  if (same) return now;
  array_drop(now);
  return NULL;
}

static Play play_begin(Eval *eval, Trail *trail) {
  Play play = {.eval = *eval};
  play.eval.heap = (Heap){0};
  play.eval.functions = NULL;
  play.eval.function_count = 0;
  play.eval.doubtful = NULL;
  play.eval.doubtful_count = play.eval.doubtful_capacity = 0;
  collect(&play, trail);
  play.base = mem_new((size_t)play.count, sizeof *play.base);
  play.now = mem_new((size_t)play.count, sizeof *play.now);
  play.moved = mem_new((size_t)play.count, sizeof *play.moved);
  return play;
}

static void play_end(Play *play) {
  for (int i = 0; i < play->count; i++) play->nodes[i]->mark = 0;
  eval_end(&play->eval);
  diags_clear(&play->diags);
  free(play->nodes);
  free(play->base);
  free(play->now);
  free(play->moved);
  free(play->ids);
  free(play->weights);
}

/* Adds what a direction does to the squares of the errors, and to `move` what of it changes sign.
 */
static void play_direction(Play *play, int k, const Array *value, Array *error, Array *move) {
  for (int sense = -1; sense <= 1; sense += 2) {
    size_t mark = play->eval.heap.count;
    Array *off = play_off(play, play->ids[k], sense);
    for (size_t i = 0; i < error->size; i++) {
      double change = off ? off->data[i] - value->data[i] : NAN;
      if (off && off->data[i] == value->data[i]) change = 0; /* infinite both times */
      error->data[i] += play->weights[k] * change * change / 2;
      if (move) move->data[i] += sense * change / 2;
    }
    array_drop(off);
    heap_release(&play->eval.heap, mark, NULL);
    note_starved(play);
    diags_clear(&play->diags);
    play->eval.halted = false;
  }
}

/* Goes through the directions; false without memory, or when the user wants out: what operations
 * left off then means nothing. */
static bool play_directions(Play *play, const Array *value, Array *error, Scatter *scatter) {
  for (int k = 0; k < play->direction_count; k++) {
    Array *move = scatter ? array_new(value->rank, value->shape) : NULL;
    if (scatter && !move) return !(play->starved = true);
    play_direction(play, k, value, error, move);
    if (move) scatter_add(scatter, play->ids[k], play->weights[k], move);
    if (play->starved || work_stopped()) return false;
  }
  return true;
}

/* The errors of the last operation; with `scatter` also its directions. NULL without memory, or
 * when the user wants out. */
static Array *play_all(Play *play, Scatter *scatter) {
  play->eval.diags = &play->diags;
  if (!list_directions(play) || !play_base(play)) return NULL;
  Array *value = value_as_array(play->base[play->count - 1]),
        *error = value ? array_new(value->rank, value->shape) : NULL;
  play->starved |= !error;
  if (error && !play_directions(play, value, error, scatter)) {
    array_drop(error);
    error = NULL;
  }
  for (size_t i = 0; error && i < error->size; i++) error->data[i] = sqrt(error->data[i]);
  array_drop(value);
  return error;
}

/* Ends the play. Who lacks errors for want of memory, or because the user wants out, shows nothing.
 */
static void play_over(Eval *eval, Play *play) {
  play_end(play);
  if (play->starved || work_stopped()) eval_starve(eval, eval->at);
}

const Array *trail_error(Eval *eval, Value *value) {
  if (value->error || !value->trail) return value->error;
  Trail *trail = value->trail;
  if (!trail->again && trail->error) return value->error = array_keep(trail->error);
  Play play = play_begin(eval, trail);
  value->error = play_all(&play, NULL);
  play_over(eval, &play);
  return value->error;
}

void trail_settle(Eval *eval, Value *value) {
  if (!value->trail || !value->trail->again) return;
  Scatter *scatter = scatter_new();
  Play play = play_begin(eval, value->trail);
  Array *error = play_all(&play, scatter);
  play_over(eval, &play);
  if (!error) {
    scatter_drop(scatter);
    return;
  }
  array_drop(value->error);
  value->error = array_keep(error);
  trail_begin(value, error, scatter);
}
