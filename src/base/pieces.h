/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How something made of several blocks of memory is copied out or in: who has it shows its pieces,
 * always in the same order, to one who reads or replaces their bytes. */
#ifndef DMF_BASE_PIECES_H
#define DMF_BASE_PIECES_H

#include <stddef.h>

typedef void Piece(void *sink, void *data, size_t bytes);

#endif
