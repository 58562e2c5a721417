/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Text in UTF-8, character by character. */
#ifndef DMF_BASE_UTF8_H
#define DMF_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* The length in bytes of the UTF-8 character at `text`, of which `left` bytes remain, and its code;
 * 0 if it is malformed. */
int utf8_decode(const char *text, size_t left, uint32_t *code);
/* Its length where a terminal takes it as text; 0 of control characters and what is malformed. */
int utf8_shown(const char *text, size_t left);

#endif
