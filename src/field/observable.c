/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "field/observable.h"

#define PLAIN EXTENT_PLAIN
#define LAYERS EXTENT_LAYERS
#define GAPS EXTENT_GAPS
#define DMFT FROM_DMFT
#define NETS FROM_NETS
#define LAZY FROM_LAZY
#define NOISE FROM_NOISE
#define AT FROM_AT

static const FieldRow rows[FIELD_COUNT] = {
#define FIELD(id, name, axes, about, extent, solvers, presence, kind, of)                          \
  [FIELD_##id] = {name, axes, about, extent, solvers, PRESENT_##presence, KIND_##kind, FIELD_##of},
#include "field/fields.def"
#undef FIELD
};

FieldSet field_bit(FieldId id) { return id < FIELD_COUNT ? (FieldSet)1 << id : 0; }

const FieldRow *field_row(FieldId id) { return &rows[id]; }

FieldId field_that_is(FieldKind kind, FieldId of) {
  FieldId id = 0;
  while (id < FIELD_COUNT && (rows[id].kind != kind || rows[id].of != of)) id++;
  return id;
}

bool field_is_present(FieldId id, const Program *p) {
  FieldId of = rows[id].of;
  if (p->couples && (of == FIELD_NTK || of == FIELD_G || of == FIELD_A || of == FIELD_B))
    return false;
  /* fourth moments of entries shift the mean, too, which conditioning does not know */
  if (rows[id].kind == KIND_SHIFT && program_has_law(p, true)) return false;
  switch (rows[id].presence) {
  case PRESENT_TESTED: return p->problem->tests > 0;
  case PRESENT_JUDGED: return p->problem->test_targets != NULL;
  case PRESENT_ALIGNED: return program_aligns(p);
  case PRESENT_AVERAGED: return p->update.average > 0;
  case PRESENT_AVERAGED_TESTED: return p->update.average > 0 && p->problem->tests > 0;
  case PRESENT_AVERAGED_JUDGED: return p->update.average > 0 && p->problem->test_targets;
  case PRESENT_CLASSED: return program_classes(p, false);
  case PRESENT_EXAMINED: return program_classes(p, true);
  default: return true;
  }
}

bool field_jumps(FieldId id) {
  return rows[id].of == FIELD_ACCURACY || rows[id].of == FIELD_TEST_ACCURACY;
}

int field_first(FieldId id) { return rows[id].extent != EXTENT_PLAIN; }

int field_last(FieldId id, const Program *p) {
  if (rows[id].extent == EXTENT_PLAIN) return 0;
  return rows[id].extent == EXTENT_GAPS ? response_layers(p) : p->layers;
}
