/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The fields of results: what can be observed of a program. */
#ifndef DMF_FIELD_OBSERVABLE_H
#define DMF_FIELD_OBSERVABLE_H

typedef enum FieldId {
#define FIELD(id, name, axes, about) FIELD_##id,
#include "field/fields.def"
#undef FIELD
  FIELD_COUNT
} FieldId;

#endif
