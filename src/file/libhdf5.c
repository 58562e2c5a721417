/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "file/libhdf5.h"
#include "file/io.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

LibHdf5 libhdf5;

/* The names behind those of the header, which may be macros. */
#define TEXT(name) #name
#define MEANT(name) TEXT(name)

static const struct {
  const char *name;
  size_t at;
} symbols[] = {
#define HDF5(name) {MEANT(name), offsetof(LibHdf5, the_##name)},
#include "file/libhdf5.def"
};

static bool find_symbols(void *library) {
  for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
    void *found = dlsym(library, symbols[i].name);
    if (!found) return false;
    memcpy((char *)&libhdf5 + symbols[i].at, &found, sizeof found);
  }
  return true;
}

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static bool loaded;

Status libhdf5_load(const char *path, char **why) {
  Status status = STATUS_OK;
  pthread_mutex_lock(&turn);
  if (!loaded) {
    errno = 0;
    void *library = dlopen(LIBHDF5, RTLD_NOW | RTLD_LOCAL);
    loaded = library && find_symbols(library);
    if (!loaded && errno == ENOMEM)
      status = file_starve(why, path, 0);
    else if (!loaded)
      status = file_fail(why, path, STATUS_FILE, "no HDF5 library: %s", dlerror());
  }
  pthread_mutex_unlock(&turn);
  return status;
}
