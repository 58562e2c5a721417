/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "num/calm.h"

#include <gsl/gsl_errno.h>
#include <pthread.h>

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static gsl_error_handler_t *before;

void calm_begin(void) {
  pthread_mutex_lock(&turn);
  before = gsl_set_error_handler_off();
}

void calm_end(void) {
  gsl_set_error_handler(before);
  pthread_mutex_unlock(&turn);
}
