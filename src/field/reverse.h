/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The backward pass of a program, derived from its forward pass. */
#ifndef DMF_FIELD_REVERSE_H
#define DMF_FIELD_REVERSE_H

#include "field/program.h"

/* Adds the derivatives of the output f by every variable, in units of 1/(gamma N), and notes what
 * each matrix meets on its target side. False after reporting: no gradient reaches a trained
 * matrix. */
bool reverse_program(Program *p, int f, Diags *diags);

#endif
