/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/plain.h"

locale_t plain_enter(void) { return uselocale(newlocale(LC_ALL_MASK, "C", NULL)); }

void plain_leave(const locale_t *outer) {
  locale_t plain = uselocale(*outer);
  if (plain != *outer) freelocale(plain);
}
