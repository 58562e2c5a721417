/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The locale of the library. Numbers in texts, read or written, have a decimal point whatever the
 * process says: every function of dmf.h that reads or writes text, and every thread that evaluates,
 * begins with PLAIN_LOCALE, and is in the locale "C" to its end. The locale of the process and of
 * other threads stays what it is. */
#ifndef DMF_BASE_PLAIN_H
#define DMF_BASE_PLAIN_H

#include <locale.h>
#include <math.h>

#define PLAIN_LOCALE                                                                               \
  __attribute__((cleanup(plain_leave), unused)) locale_t outer_locale = plain_enter()

/* The locale that the thread had; and back to it. */
locale_t plain_enter(void);
void plain_leave(const locale_t *outer);

/* A number to be written: without the sign of zero, which would only puzzle, and that of a nan,
 * which C leaves to chance. */
static inline double plain_number(double x) { return x == 0 ? 0 : isnan(x) ? (double)NAN : x; }

#endif
