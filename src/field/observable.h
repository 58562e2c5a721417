/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The fields of results: what can be observed of a program, of ensembles of networks, and of their
 * fluctuations. Results, help, completion, files and all solvers read this one list. */
#ifndef DMF_FIELD_OBSERVABLE_H
#define DMF_FIELD_OBSERVABLE_H

#include "field/program.h"

#include <stdint.h>

typedef enum FieldId {
#define FIELD(id, name, axes, about, extent, solvers, presence, kind, of) FIELD_##id,
#include "field/fields.def"
#undef FIELD
  FIELD_COUNT
} FieldId;

/* Who fills a field: the theory, networks, the lazy limit, fluctuations, and theory with these at a
 * width. */
enum { FROM_DMFT = 1, FROM_NETS = 2, FROM_LAZY = 4, FROM_NOISE = 8, FROM_AT = 16 };

typedef enum FieldExtent { EXTENT_PLAIN, EXTENT_LAYERS, EXTENT_GAPS } FieldExtent;
/* Always; with test points, with targets for them, where targets differ, or where they say classes,
 * those of test points too. */
typedef enum FieldPresence {
  PRESENT_ALWAYS,
  PRESENT_TESTED,
  PRESENT_JUDGED,
  PRESENT_ALIGNED,
  PRESENT_AVERAGED, /* where weights are averaged; and with test points, or targets for them */
  PRESENT_AVERAGED_TESTED,
  PRESENT_AVERAGED_JUDGED,
  PRESENT_CLASSED,
  PRESENT_EXAMINED
} FieldPresence;
typedef enum FieldKind {
  KIND_VALUE,
  KIND_VARIANCE,
  KIND_COVARIANCE,
  KIND_SHIFT,
  KIND_SPREAD,
  KIND_OTHER
} FieldKind;

typedef struct FieldRow {
  const char *name, *axes, *about;
  FieldExtent extent;
  int solvers; /* FROM_... */
  FieldPresence presence;
  FieldKind kind;
  FieldId of;
} FieldRow;

/* A set of fields: a bit for each. */
typedef uint64_t FieldSet;
#define ALL_FIELDS (~(FieldSet)0)
_Static_assert(FIELD_COUNT <= 64, "a FieldSet has a bit for every field");
/* The set of one; of FIELD_COUNT, none. */
FieldSet field_bit(FieldId id);

const FieldRow *field_row(FieldId id);
/* The field that is this of another; FIELD_COUNT if there is none. */
FieldId field_that_is(FieldKind kind, FieldId of);
/* Whether results of a program have the field. */
bool field_is_present(FieldId id, const Program *program);
/* Whether the field, or what it is the variance of, is a share of points in classes, which jumps
 * where f crosses a threshold: it does not move as f does, and its scatter is of no power of the
 * width. */
bool field_jumps(FieldId id);
/* Its layers: first .. last, 0 .. 0 of a plain field; none where last < first. */
int field_first(FieldId id);
int field_last(FieldId id, const Program *program);

#endif
