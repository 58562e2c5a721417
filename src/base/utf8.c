/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/utf8.h"

#include <stdbool.h>

int utf8_decode(const char *text, size_t left, uint32_t *code) {
  static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const unsigned char *byte = (const unsigned char *)text;
  *code = byte[0];
  if (byte[0] < 0x80) return 1;
  int length = byte[0] >= 0xf0 ? 4 : byte[0] >= 0xe0 ? 3 : 2;
  if (byte[0] < 0xc2 || byte[0] > 0xf4 || (size_t)length > left) return 0;
  *code = byte[0] & (0x7fu >> length);
  for (int i = 1; i < length; i++) {
    if ((byte[i] & 0xc0) != 0x80) return 0;
    *code = *code << 6 | (byte[i] & 0x3f);
  }
  bool surrogate = *code >= 0xd800 && *code <= 0xdfff;
  return *code < smallest[length] || *code > 0x10ffff || surrogate ? 0 : length;
}

int utf8_shown(const char *text, size_t left) {
  uint32_t code;
  int length = utf8_decode(text, left, &code);
  bool control = code < 0x20 || (code >= 0x7f && code < 0xa0);
  return control ? 0 : length;
}
