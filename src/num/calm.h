/* SPDX-License-Identifier: GPL-3.0-or-later */
/* GSL ends the process when it lacks memory, unless its error handler, which the process shares, is
 * off. Between these two it is, for one thread at a time; then it is what it was. */
#ifndef DMF_NUM_CALM_H
#define DMF_NUM_CALM_H

void calm_begin(void);
void calm_end(void);

#endif
