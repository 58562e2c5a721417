/* SPDX-License-Identifier: GPL-3.0-or-later */
/* libhdf5, loaded when a file is first read or written with it: it and the libraries that it needs
 * itself would take more time to load than all else of a short script. After this header, the
 * generated file/hdf5names.h makes the names of the library mean what was loaded. */
#ifndef DMF_FILE_LIBHDF5_H
#define DMF_FILE_LIBHDF5_H

#include "base/status.h"

#include <hdf5.h>

typedef struct LibHdf5 {
#define HDF5(name) __typeof__(name) *the_##name;
#include "file/libhdf5.def"
} LibHdf5;

/* Filled by the first successful libhdf5_load, and never changed again. */
extern LibHdf5 libhdf5;

/* Loads it; STATUS_FILE, where the file `path` needs it, if it is not installed any more. */
Status libhdf5_load(const char *path, char **why);

#endif
