/* SPDX-License-Identifier: GPL-3.0-or-later */
/* NumPy's .npy: a magic string, a version, a Python dictionary as text, and the elements. */
#include "base/memory.h"
#include "base/work.h"
#include "file/file.h"
#include "file/io.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct Header {
  FileType type;
  bool fortran;
  int rank;
  size_t shape[ARRAY_MAX_RANK];
  size_t offset; /* of the elements */
} Header;

/* The text behind 'key': or "key": in the dictionary, or NULL. */
static const char *entry(const char *dictionary, const char *key) {
  const char *at = strstr(dictionary, key);
  while (at && (at == dictionary || !strchr("'\"", at[-1]) || at[strlen(key)] != at[-1]))
    at = strstr(at + 1, key);
  if (!at) return NULL;
  at += strlen(key) + 1;
  while (*at == ' ' || *at == ':') at++;
  return at;
}

static Status read_type(const char *path, const char *at, FileType *type, char **why) {
  if (!at) return file_fail(why, path, STATUS_FILE, "the header has no 'descr'");
  char order = 0;
  int size = 0;
  if (sscanf(at, "%*1['\"]%c%c%d", &order, &type->kind, &size) != 3 || !strchr("<>|=", order))
    return file_fail(why, path, STATUS_FILE, "the elements are not single numbers");
  type->size = size;
  type->big_endian = order == '>';
  if (!file_type_known(*type))
    return file_fail(why, path, STATUS_FILE,
                     "elements of type '%c%d' are not read (only f2 f4 f8 i1..i8 u1..u8 b1)",
                     type->kind, size);
  return STATUS_OK;
}

static Status read_shape(const char *path, const char *at, Header *h, char **why) {
  if (!at || *at++ != '(') return file_fail(why, path, STATUS_FILE, "the header has no 'shape'");
  for (h->rank = 0;; h->rank++) {
    at += strspn(at, " ,");
    if (*at == ')') return STATUS_OK;
    if (h->rank == ARRAY_MAX_RANK)
      return file_fail(why, path, STATUS_FILE, "more than %d axes", ARRAY_MAX_RANK);
    char *stop;
    errno = 0;
    unsigned long long n = strtoull(at, &stop, 10);
    if (!isdigit((unsigned char)*at) || errno)
      return file_fail(why, path, STATUS_FILE, "the shape in the header is damaged");
    h->shape[h->rank] = mem_count((double)n);
    at = stop + (*stop == 'L'); /* Python 2 wrote long integers so */
  }
}

static Status read_dictionary(const char *path, const char *text, Header *h, char **why) {
  Status status = read_type(path, entry(text, "descr"), &h->type, why);
  if (status) return status;
  const char *order = entry(text, "fortran_order");
  if (!order || (strncmp(order, "True", 4) && strncmp(order, "False", 5)))
    return file_fail(why, path, STATUS_FILE, "the header has no 'fortran_order'");
  h->fortran = *order == 'T';
  return read_shape(path, entry(text, "shape"), h, why);
}

static Status read_header(const char *path, FileBytes bytes, Header *h, char **why) {
  const unsigned char *b = bytes.data;
  if (bytes.length >= 4 && memcmp(b, "PK\3\4", 4) == 0)
    return file_fail(
        why, path, STATUS_FILE,
        "this is an archive of arrays (.npz): unzip it, and read the .npy files in it");
  if (bytes.length < 10 || memcmp(b, "\x93NUMPY", 6))
    return file_fail(why, path, STATUS_FILE, "this is not a .npy file");
  if (b[6] < 1 || b[6] > 3)
    return file_fail(why, path, STATUS_FILE, "version %d of the .npy format is not known", b[6]);
  size_t start = b[6] == 1 ? 10 : 12;
  if (bytes.length < start) return file_fail(why, path, STATUS_FILE, "the header is cut off");
  size_t length = (size_t)file_number((FileType){'u', b[6] == 1 ? 2 : 4, false}, b + 8);
  if (length > bytes.length - start)
    return file_fail(why, path, STATUS_FILE, "the header is cut off at byte %zu", bytes.length);
  h->offset = start + length;
  char *text = strndup((const char *)b + start, length);
  Status status =
      text ? read_dictionary(path, text, h, why) : file_starve(why, path, (double)length);
  free(text);
  return status;
}

/* Elements of a Fortran-order file come with the first index running fastest. */
static void read_elements(const Header *h, const unsigned char *from, Array *array) {
  size_t index[ARRAY_MAX_RANK] = {0};
  for (size_t k = 0; k < array->size && work_goes_on(k); k++, from += h->type.size) {
    size_t place = k;
    if (h->fortran) {
      place = 0;
      for (int axis = 0; axis < array->rank; axis++)
        place = place * array->shape[axis] + index[axis];
      for (int axis = 0; axis < array->rank; index[axis++] = 0)
        if (++index[axis] < array->shape[axis]) break;
    }
    array->data[place] = file_number(h->type, from);
  }
}

static Status read_npy(const char *path, FileBytes bytes, void *context, Array **array,
                       char **why) {
  (void)context;
  Header h = {0};
  Status status = read_header(path, bytes, &h, why);
  if (!status)
    status =
        file_new_array_at(path, bytes, h.offset, (size_t)h.type.size, h.rank, h.shape, array, why);
  if (!status) read_elements(&h, bytes.data + h.offset, *array);
  return status;
}

Status file_read_npy(const char *path, Array **array, char **why) {
  return file_read(path, read_npy, NULL, array, why);
}

static void put_dictionary(FILE *out, const Array *a) {
  const uint16_t probe = 1;
  char order = *(const unsigned char *)&probe ? '<' : '>';
  fprintf(out, "{'descr': '%cf8', 'fortran_order': False, 'shape': (", order);
  for (int i = 0; i < a->rank; i++) fprintf(out, "%zu, ", a->shape[i]);
  fputs("), }", out);
}

/* The elements begin at a multiple of 64 bytes: the dictionary is padded with blanks. */
static Status put_npy(FILE *stream, void *context, char **why) {
  const Array *a = context;
  char *text = NULL;
  size_t length = 0;
  FILE *memory = mem_stream(&text, &length);
  if (memory) put_dictionary(memory, a);
  bool whole = memory && !ferror(memory); /* closing may succeed where writing did not */
  if (!memory || fclose(memory) || !whole) return free(text), *why = mem_refusal(0), STATUS_LIMIT;
  size_t padded = (10 + length + 1 + 63) / 64 * 64 - 10;
  fprintf(stream, "\x93NUMPY%c%c%c%c%-*s\n", 1, 0, (int)(padded & 255), (int)(padded >> 8),
          (int)padded - 1, text);
  for (size_t i = 0; i < a->size && work_goes_on(i); i += WORK_BLOCK)
    fwrite(a->data + i, sizeof *a->data, a->size - i < WORK_BLOCK ? a->size - i : WORK_BLOCK,
           stream);
  free(text);
  return work_stopped() ? file_stop(why) : STATUS_OK;
}

Status file_write_array_npy(const char *path, const Array *array, char **why) {
  return file_replace_stream(path, put_npy, (void *)array, why);
}
