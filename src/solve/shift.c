/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The mean of a finite network minus that of an infinite one, N (E f_N - f), to leading order.
 *
 * Of networks of width S as functionals F of their neurons (united.h), E F(S) = F + c/S + d/S^2.
 * Two, A and B, of width S, and the one of width 2S made of the neurons of both, differ by
 *
 *     F(A and B) - (F(A) + F(B)) / 2,   of mean -c / (2S) - 3d / (4S^2)
 *
 * in which what is linear in the neurons cancels: its scatter is of order 1/S like its mean, where
 * that of F itself is of order 1/sqrt(S). With u_k the mean over networks of 2^k blocks of S
 * neurons, a group of eight tells the shift twice,
 *
 *     wide = 8 S (u_2 - u_3) = c + (3/8) d/S,    narrow = 2 S (u_0 - u_1) = c + (3/2) d/S,
 *
 * of which a third of the difference is what wide ones are off by. */
#include "solve/shift.h"
#include "base/memory.h"
#include "num/linalg.h"
#include "num/stats.h"
#include "solve/observe.h"
#include "solve/wishart.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Whether it is a shift of something that the program has. */
static bool is_shift(const Program *p, FieldId id) {
  const FieldRow *row = field_row(id);
  return row->kind == KIND_SHIFT && program_observable(p, (int)row->of, 0) &&
         field_is_present(id, p);
}

/* Numbers of a shift, 0 of other fields. */
static size_t size_of(const Program *p, FieldId id) {
  return is_shift(p, id) ? field_size(id, sizes_of(p)) : 0;
}

/* Numbers in all shifts of a program. */
static size_t whole_size(const Program *p) {
  size_t n = 0;
  for (FieldId id = 0; id < FIELD_COUNT; id++) n += size_of(p, id);
  return n;
}

/* What is measured for that. */
static FieldSet measured(const Program *p) {
  FieldSet set = 0;
  for (FieldId id = 0; id < FIELD_COUNT; id++)
    if (is_shift(p, id)) set |= field_bit(field_row(id)->of);
  return set;
}

/* All shifted fields of a network, one after the other. */
static void read_fields(const void *context, const Trace *record, double *numbers) {
  const Program *p = context;
  for (FieldId id = 0; id < FIELD_COUNT; id++) {
    size_t n = size_of(p, id);
    if (n) memcpy(numbers, trace_find(record, field_row(id)->of, 0, false), n * sizeof *numbers);
    numbers += n;
  }
}

enum { LEVELS = 3, WIDTHS = LEVELS + 1 };

/* What the means u_k, times S, make of wide networks, and of narrow ones less wide ones. */
static const double wide_weight[WIDTHS] = {0, 0, 8, -8}, more_weight[WIDTHS] = {2, -2, -8, 8};

United shift_groups(United networks) {
  networks.levels = LEVELS;
  networks.values = measured(networks.program);
  networks.size = whole_size(networks.program);
  networks.read = read_fields;
  networks.context = networks.program;
  networks.stage = "mean shift";
  return networks;
}

/* What groups come to. */
typedef struct Sampled {
  double *mean, *error; /* [size] */
  double *moves;        /* what blocks of groups move the mean by, [blocks, size], or NULL */
  size_t blocks;
} Sampled;

/* The moments over groups of S sum_k (wide_weight_k - share more_weight_k) u_k, or where there is
 * no share [size] of what narrow networks have more. */
static bool gather(const United *u, const double *all, const double *share, Moments *moments) {
  size_t n = u->size;
  double *one = mem_block(n + 1), S = (double)u->width;
  bool fine =
      one && moments_start(moments, n, 2) && (!share || moments_divide(moments, (size_t)u->groups));
  for (int g = 0; g < u->groups && fine; g++) {
    memset(one, 0, n * sizeof *one);
    for (size_t k = 0; k < WIDTHS; k++, all += n)
      for (size_t i = 0; i < n; i++)
        one[i] +=
            S * (share ? wide_weight[k] - share[i] * more_weight[k] : more_weight[k]) * all[i];
    moments_add(moments, one);
  }
  free(one);
  return fine;
}

/* In place of what narrow networks have more, and of the noise in that: the share of it that is
 * taken off, and what may be wrong with that. As of normal numbers it is a third as far as it
 * stands out of the noise in all numbers of a field at a time; of what is taken off, half may come
 * from orders behind. */
static void judge(const Program *p, double *more, double *noise) {
  static const double OFF = 1. / 3, BEHIND = 0.5;
  size_t steps = sizes_of(p).steps;
  for (FieldId id = 0; id < FIELD_COUNT; id++)
    for (size_t t = 0, n = size_of(p, id) / steps; t < steps && n; t++, more += n, noise += n) {
      double squares = dot(n, more, more), own = fmax(0, squares - dot(n, noise, noise)),
             share = own > 0 ? own / squares : 0;
      for (size_t i = 0; i < n; i++) {
        noise[i] = OFF * hypot(BEHIND * share * more[i], noise[i] * sqrt(share * (1 - share)));
        more[i] = OFF * share;
      }
    }
}

static bool average(const United *u, const double *all, Sampled *out) {
  size_t n = u->size;
  double *more = mem_block(2 * n + 1), *noise = more ? more + n : NULL;
  Moments moments = {0}, orders = {0};
  bool fine = more && gather(u, all, NULL, &orders);
  if (fine) {
    moments_mean(&orders, more, noise);
    judge(u->program, more, noise);
    fine = gather(u, all, more, &moments);
  }
  if (fine) {
    moments_mean(&moments, out->mean, out->error);
    for (size_t i = 0; i < n; i++) out->error[i] = hypot(out->error[i], noise[i]);
    out->blocks = moments_blocks(&moments);
    out->moves = moments_moves(&moments, 0);
  }
  moments_free(&orders);
  moments_free(&moments);
  free(more);
  return out->moves != NULL;
}

/* The shifts of a linear program without sampling, where that is not too long; else from groups. */
static Status find(const United *groups, bool linear, Sampled *out) {
  bool done = false;
  int failed_at;
  Status status = linear ? wishart_shift(groups, out->mean, out->error, &done) : STATUS_OK;
  if (status != STATUS_OK || done) return status;
  const Crew *crew = groups->options->crew;
  if (crew_any(crew, !mem_fits(united_bytes(groups)))) return STATUS_LIMIT;
  double *all = mem_block((size_t)groups->groups * WIDTHS * groups->size + 1);
  status = crew_any(crew, !all) ? STATUS_LIMIT : united_run(groups, all, &failed_at);
  if (status == STATUS_OK && !average(groups, all, out)) status = STATUS_LIMIT;
  free(all);
  return status;
}

Status shift_solve(const United *groups, bool linear, Result *result) {
  const Program *p = groups->program;
  Sizes z = sizes_of(p);
  size_t n = groups->size, first = 0;
  Sampled s = {.mean = mem_block(n), .error = mem_block(n)};
  Status status = s.mean && s.error ? find(groups, linear, &s) : STATUS_LIMIT;
  for (FieldId id = 0; id < FIELD_COUNT && status == STATUS_OK; first += size_of(p, id++)) {
    if (!is_shift(p, id)) continue;
    bool fine = field_fill(result, id, 0, z, s.mean + first, s.error + first);
    if (fine && s.moves && field_has_moves(id, z))
      fine = field_blocks(result_find(result, field_row(id)->name, 0), "mean shift",
                          groups->options->seed, (int)s.blocks, s.moves + first, n);
    if (!fine) status = STATUS_LIMIT;
  }
  free(s.mean);
  free(s.error);
  free(s.moves);
  return status;
}

void shift_promise(const Program *p, Result *result) {
  for (FieldId id = 0; id < FIELD_COUNT; id++)
    if (is_shift(p, id)) field_promise(result, id, 0);
}
