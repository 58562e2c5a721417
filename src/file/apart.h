/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Work that is done by a child of the process. libhdf5 crashes or runs for ever over a damaged
 * file, ends its process when memory runs out, and is not made for several threads: it does all
 * that in a process that holds nothing else, with a bound on its time and memory, and the host of
 * the library never sees it. What the child makes comes back through a pipe. (Under
 * AddressSanitizer, a process with other threads at work does it itself.) */
#ifndef DMF_FILE_APART_H
#define DMF_FILE_APART_H

#include "base/status.h"
#include "num/array.h"
#include "result/result.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct Apart {
  const char *path; /* in messages */
  double bytes; /* the size of the file or of the data: the work may take as long as they need */
  bool sound;   /* the file is known to be whole: a child that dies has lacked memory */
  void *context;
  Status (*work)(void *context, char **why);              /* in the child */
  void (*send)(void *context, int to);                    /* there, after STATUS_OK; or NULL */
  Status (*receive)(void *context, int from, char **why); /* here, what was sent */
} Apart;

/* The status of the work. When the child dies, STATUS_FILE or, for want of memory, STATUS_LIMIT. */
Status file_apart(const Apart *apart, char **why);

/* What a child sends, and what is taken here; STATUS_FILE without a reason when the child has died
 * over it, STATUS_LIMIT when it does not fit into memory. A NULL is sent as such. */
void file_send_array(int to, const Array *array);
Status file_take_array(int from, const char *path, Array **array, char **why);
void file_send_result(int to, const Result *result);
Status file_take_result(int from, const char *path, Result **result, char **why);

#endif
