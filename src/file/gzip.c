/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Files compressed with gzip, as data sets are published, are read as if they were not. */
#include "base/memory.h"
#include "base/work.h"
#include "file/io.h"

#include <stdlib.h>
#include <zlib.h>

enum { GZIP_WINDOW = 16 + MAX_WBITS, FIRST_ROOM = 1 << 16 };

bool file_is_gzip(FileBytes bytes) {
  return bytes.length >= 2 && bytes.data[0] == 0x1f && bytes.data[1] == 0x8b;
}

/* Room for more text behind what there is, and its terminating NUL. A small file may unpack to a
 * thousand times its size: a check counts what comes of it. */
static bool grow(FileBytes *text, size_t *room) {
  size_t wanted = *room ? 2 * *room : FIRST_ROOM;
  bool affordable = work_spend((double)(wanted - *room) / sizeof(double));
  bool fits = affordable && mem_fits((double)wanted);
  unsigned char *data = fits ? realloc(text->data, wanted + 1) : NULL;
  if (!data) return false;
  text->data = data;
  *room = wanted;
  return true;
}

/* So much at a time, with a look for an interrupt in between. */
enum { PIECE = 1 << 22 };
static uInt at_most(size_t n) { return n < PIECE ? (uInt)n : PIECE; }

/* Inflates one stream after the other, up to the end of the file; zlib's verdict. */
static int inflate_all(z_stream *z, FileBytes packed, size_t *taken, FileBytes *text) {
  size_t room = 0;
  int state = Z_OK;
  while (!work_stopped() && (state == Z_OK || (state == Z_STREAM_END && *taken < packed.length))) {
    if (state == Z_STREAM_END) inflateReset(z);
    if (text->length == room && !grow(text, &room)) return Z_MEM_ERROR;
    uInt in = at_most(packed.length - *taken), out = at_most(room - text->length);
    z->next_in = packed.data + *taken;
    z->avail_in = in;
    z->next_out = text->data + text->length;
    z->avail_out = out;
    state = inflate(z, Z_NO_FLUSH);
    *taken += in - z->avail_in;
    text->length += out - z->avail_out;
  }
  return state;
}

Status file_gunzip(const char *path, FileBytes *bytes, char **why) {
  FileBytes packed = *bytes, text = {0};
  size_t taken = 0;
  z_stream z = {0};
  int state =
      inflateInit2(&z, GZIP_WINDOW) == Z_OK ? inflate_all(&z, packed, &taken, &text) : Z_MEM_ERROR;
  inflateEnd(&z);
  free(packed.data);
  *bytes = text;
  if (text.data) text.data[text.length] = 0;
  if (state == Z_STREAM_END) return STATUS_OK;
  if (state == Z_BUF_ERROR)
    return file_fail(why, path, STATUS_FILE, "the gzip data are cut off at byte %zu", taken);
  if (state == Z_MEM_ERROR) return file_starve(why, path, 2 * (double)text.length);
  return file_fail(why, path, STATUS_FILE, "the gzip data are damaged at byte %zu", taken);
}
