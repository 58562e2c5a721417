/* SPDX-License-Identifier: GPL-3.0-or-later */
/* HDF5. The library is used by a child of the process alone (apart.h): what is called by `work`
 * functions runs there. Identifiers below zero are failures, and every one that is not is closed.
 */
#include "base/memory.h"
#include "file/apart.h"
#include "file/file.h"
#include "file/io.h"
#include "file/libhdf5.h"
#include "num/arrayops.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "file/hdf5names.h" /* behind all that has to do with the names themselves */

/* The library prints its errors by default; whether memory was among them is all that is wanted. */

static herr_t note_cause(unsigned n, const H5E_error2_t *error, void *starved) {
  (void)n;
  if (error->maj_num == H5E_RESOURCE || error->min_num == H5E_NOSPACE ||
      error->min_num == H5E_CANTALLOC)
    *(bool *)starved = true;
  return 0;
}

static herr_t note_failure(hid_t stack, void *starved) {
  return H5Ewalk2(stack, H5E_WALK_UPWARD, note_cause, starved);
}

static void library_begin(bool *starved) {
  *starved = H5Eset_auto2(H5E_DEFAULT, note_failure, starved) < 0;
}

static void library_end(void) { H5Eset_auto2(H5E_DEFAULT, NULL, NULL); }

/* The seal: a line behind the end of the HDF5 file with the CRC-32 of all before it. The checksums
 * of the format leave out texts, and the library may crash over a damaged one. Files without a seal
 * were written by others, and pass. */
enum { SEAL_LENGTH = 14 };

static void seal_print(unsigned long crc, char seal[SEAL_LENGTH + 1]) {
  snprintf(seal, SEAL_LENGTH + 1, "\ndmf:%08lx\n", crc & 0xffffffff);
}

typedef enum Seal { SEAL_NONE, SEAL_BROKEN, SEAL_WHOLE } Seal;

static Seal seal_of(FILE *stream) {
  char seal[SEAL_LENGTH + 1] = "", expected[SEAL_LENGTH + 1];
  if (fseek(stream, -SEAL_LENGTH, SEEK_END) != 0) return SEAL_NONE;
  long length = ftell(stream);
  if (fread(seal, 1, SEAL_LENGTH, stream) != SEAL_LENGTH || strncmp(seal, "\ndmf:", 5) != 0)
    return SEAL_NONE;
  rewind(stream);
  unsigned char block[1 << 14];
  unsigned long crc = crc32(0, NULL, 0);
  while (length > 0) {
    size_t want = (size_t)length < sizeof block ? (size_t)length : sizeof block;
    size_t got = fread(block, 1, want, stream);
    if (!got) return SEAL_BROKEN;
    crc = crc32_z(crc, block, got);
    length -= (long)got;
  }
  seal_print(crc, expected);
  return strcmp(seal, expected) == 0 ? SEAL_WHOLE : SEAL_BROKEN;
}

/* Reading */

/* The type that a dataset is read as: its numbers, or those behind the names of an enumeration (of
 * which h5py makes its truth values). Negative for what holds no numbers. */
static hid_t numbers_of(hid_t dataset) {
  hid_t type = H5Dget_type(dataset);
  H5T_class_t class = type < 0 ? H5T_NO_CLASS : H5Tget_class(type);
  hid_t numbers = class == H5T_INTEGER || class == H5T_FLOAT ? H5Tcopy(H5T_NATIVE_DOUBLE)
                  : class == H5T_ENUM ? H5Tget_native_type(type, H5T_DIR_ASCEND)
                                      : H5I_INVALID_HID;
  if (type >= 0) H5Tclose(type);
  return numbers;
}

static Status shape_of(const char *path, hid_t dataset, int *rank, size_t *shape, char **why) {
  hsize_t lengths[H5S_MAX_RANK];
  hid_t space = H5Dget_space(dataset);
  H5S_class_t class = space < 0 ? H5S_NO_CLASS : H5Sget_simple_extent_type(space);
  *rank = class == H5S_SIMPLE ? H5Sget_simple_extent_dims(space, lengths, NULL) : 0;
  if (space >= 0) H5Sclose(space);
  if (class != H5S_SIMPLE && class != H5S_SCALAR)
    return file_fail(why, path, STATUS_FILE, "the dataset is empty");
  if (*rank > ARRAY_MAX_RANK)
    return file_fail(why, path, STATUS_FILE, "the dataset has %d axes (at most %d are possible)",
                     *rank, ARRAY_MAX_RANK);
  for (int i = 0; i < *rank; i++) shape[i] = mem_count((double)lengths[i]);
  return STATUS_OK;
}

/* The elements; those of an enumeration are read as they are and converted in their place. */
static bool read_numbers(hid_t dataset, hid_t type, Array *array) {
  if (H5Tget_size(type) > sizeof(double) ||
      H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, array->data) < 0)
    return false;
  if (H5Tget_class(type) != H5T_ENUM) return true;
  hid_t integer = H5Tget_super(type);
  bool good = integer >= 0 && H5Tconvert(integer, H5T_NATIVE_DOUBLE, array->size, array->data, NULL,
                                         H5P_DEFAULT) >= 0;
  if (integer >= 0) H5Tclose(integer);
  return good;
}

/* Data that this library cannot unpack are not damaged. */
static Status cannot_read(const char *path, const char *name, hid_t dataset, char **why) {
  hid_t layout = H5Dget_create_plist(dataset);
  int count = layout < 0 ? 0 : H5Pget_nfilters(layout);
  Status status = STATUS_OK;
  for (int i = 0; i < count && !status; i++) {
    char filter[64] = "";
    unsigned flags, packs;
    size_t values = 0;
    int id =
        H5Pget_filter2(layout, (unsigned)i, &flags, &values, NULL, sizeof filter, filter, &packs);
    if (id >= 0 && H5Zfilter_avail(id) == 0)
      status = file_fail(why, path, STATUS_FILE,
                         "'%s' is packed by a filter that is not installed: number %d%s%s", name,
                         id, *filter ? ", " : "", filter);
  }
  if (layout >= 0) H5Pclose(layout);
  return status ? status
                : file_fail(why, path, STATUS_FILE,
                            "'%s' cannot be read: the file is damaged or cut off", name);
}

static Status read_plain(const char *path, const char *name, hid_t dataset, hid_t type,
                         Array **array, char **why) {
  int rank;
  size_t shape[ARRAY_MAX_RANK];
  Status status = shape_of(path, dataset, &rank, shape, why);
  if (!status) status = file_new_array(path, rank, shape, array, why);
  if (status || !(*array)->size || read_numbers(dataset, type, *array)) return status;
  array_drop(*array);
  *array = NULL;
  return cannot_read(path, name, dataset, why);
}

static Status no_numbers(const char *path, const char *name, char **why) {
  return file_fail(why, path, STATUS_FILE, "'%s' does not hold numbers", name);
}

static Status read_dataset(const char *path, const char *name, hid_t dataset, Array **array,
                           char **why) {
  hid_t type = numbers_of(dataset);
  if (type < 0) return no_numbers(path, name, why);
  Status status = read_plain(path, name, dataset, type, array, why);
  H5Tclose(type);
  return status;
}

/* MATLAB, since its version 7.3, writes arrays with the first index running fastest, and of an
 * empty one the shape. It tells its arrays by an attribute with the name of their class. */

/* The attribute, a text of fixed length, in `text`; false if there is none. */
static bool matlab_class(hid_t dataset, char text[32]) {
  memset(text, 0, 32);
  if (H5Aexists(dataset, "MATLAB_class") <= 0) return false;
  hid_t attribute = H5Aopen(dataset, "MATLAB_class", H5P_DEFAULT);
  hid_t type = attribute < 0 ? H5I_INVALID_HID : H5Aget_type(attribute);
  bool good = type >= 0 && H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 &&
              H5Tget_size(type) < 32 && H5Aget_storage_size(attribute) < 32 &&
              H5Aread(attribute, type, text) >= 0;
  if (type >= 0) H5Tclose(type);
  if (attribute >= 0) H5Aclose(attribute);
  return good;
}

/* The empty array of this shape; NULL if it is not the shape of one. */
static Array *empty_of(const Array *shape) {
  size_t lengths[ARRAY_MAX_RANK];
  bool sound = shape->size <= ARRAY_MAX_RANK, empty = false;
  for (size_t i = 0; sound && i < shape->size; i++) {
    double length = shape->data[i];
    sound = length >= 0 && length < 0x1p32;
    lengths[i] = sound ? (size_t)length : 0;
    empty |= sound && lengths[i] == 0;
  }
  return sound && empty ? mem_insist(array_new((int)shape->size, lengths)) : NULL;
}

/* What MATLAB meant by the array, which is let go. */
static Status from_matlab(const char *path, const char *name, hid_t dataset, Array **array,
                          char **why) {
  const char *reason;
  bool empty = H5Aexists(dataset, "MATLAB_empty") > 0;
  Array *meant = empty ? empty_of(*array) : array_transpose(*array, &reason);
  array_drop(*array);
  *array = meant;
  if (meant) return STATUS_OK;
  return empty ? cannot_read(path, name, dataset, why) : file_starve(why, path, 0);
}

static Status read_foreign(const char *path, const char *name, hid_t dataset, Array **array,
                           char **why) {
  char class[32];
  bool matlab = matlab_class(dataset, class);
  if (matlab && strcmp(class, "char") == 0) return no_numbers(path, name, why);
  Status status = read_dataset(path, name, dataset, array, why);
  return status || !matlab ? status : from_matlab(path, name, dataset, array, why);
}

static Status open_file(const char *path, hid_t *file, char **why) {
  bool ours = H5Fis_hdf5(path) > 0;
  *file = ours ? H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT) : H5I_INVALID_HID;
  if (*file >= 0) return STATUS_OK;
  return file_fail(why, path, STATUS_FILE,
                   ours ? "the HDF5 file is damaged or cut off" : "this is not an HDF5 file");
}

/* Gathers the names of datasets for the message when one is missing. */
static herr_t collect(hid_t file, const char *name, const H5O_info_t *info, void *context) {
  (void)file;
  char **names = context;
  if (info->type != H5O_TYPE_DATASET) return 0;
  char *longer = mem_format("%s%s/%s", *names, **names ? ", " : "", name);
  free(*names);
  *names = longer;
  return strlen(longer) > 200;
}

static Status no_dataset(const char *path, const char *name, hid_t file, char **why) {
  char *names = mem_string("");
  H5Ovisit(file, H5_INDEX_NAME, H5_ITER_NATIVE, collect, &names);
  Status status = *names ? file_fail(why, path, STATUS_FILE,
                                     "there is no dataset '%s'; the file holds %s", name, names)
                         : file_fail(why, path, STATUS_FILE, "the file holds no datasets");
  free(names);
  return status;
}

static Status read_file(const char *path, const char *name, Array **array, char **why) {
  hid_t file;
  Status status = open_file(path, &file, why);
  if (status) return status;
  hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
  status = dataset < 0 ? no_dataset(path, name, file, why)
                       : read_foreign(path, name, dataset, array, why);
  if (dataset >= 0) H5Dclose(dataset);
  H5Fclose(file);
  return status;
}

/* The library is loaded here, so that the next child has it too. */
static Status work_apart(const Apart *apart, char **why) {
  Status status = libhdf5_load(apart->path, why);
  return status ? status : file_apart(apart, why);
}

/* A file to be read, as an array or as a result. */
typedef struct Reading {
  const char *path, *dataset;
  bool sound;
  Array *array;
  Result *result;
} Reading;

/* What the library says about a file when it lacks memory is not to be believed, and where nobody
 * asked whether a call succeeded, neither are the numbers. */
static Status starve(Reading *r, Status status, char **why) {
  if (status != STATUS_FILE && status != STATUS_OK) return status;
  array_drop(r->array);
  result_drop(r->result);
  r->array = NULL;
  r->result = NULL;
  char *refusal = mem_refusal(0);
  free(*why);
  file_fail(why, r->path, STATUS_LIMIT, r->sound ? "%s" : "%s; or the file is damaged", refusal);
  free(refusal);
  return STATUS_LIMIT;
}

/* What can be known about a file without the library. */
static Status inspect(const char *path, Apart *apart, char **why) {
  struct stat about;
  FILE *stream = stat(path, &about) == 0 && S_ISREG(about.st_mode) ? fopen(path, "rbe") : NULL;
  if (!stream && errno == ENOMEM) return file_starve(why, path, 0);
  if (!stream && errno) return file_fail(why, path, STATUS_FILE, "%s", strerror(errno));
  if (!stream) return file_fail(why, path, STATUS_FILE, "this is not a regular file");
  Seal seal = seal_of(stream);
  fclose(stream);
  apart->bytes = (double)about.st_size;
  apart->sound = seal == SEAL_WHOLE;
  if (seal != SEAL_BROKEN) return STATUS_OK;
  return file_fail(why, path, STATUS_FILE, "the HDF5 file is damaged or cut off");
}

static Status read_apart(Reading *r, Apart apart, char **why) {
  errno = 0;
  Status status = inspect(r->path, &apart, why);
  if (status) return status;
  r->sound = apart.sound;
  apart.path = r->path;
  apart.context = r;
  return work_apart(&apart, why);
}

static Status work_array(void *context, char **why) {
  Reading *r = context;
  bool starved;
  library_begin(&starved);
  Status status = read_file(r->path, r->dataset, &r->array, why);
  library_end();
  return starved ? starve(r, status, why) : status;
}

static void send_array(void *context, int to) { file_send_array(to, ((Reading *)context)->array); }

static Status receive_array(void *context, int from, char **why) {
  Reading *r = context;
  return file_take_array(from, r->path, &r->array, why);
}

Status file_read_hdf5(const char *path, const char *dataset, Array **array, char **why) {
  Reading r = {.path = path, .dataset = dataset};
  Status status = read_apart(
      &r, (Apart){.work = work_array, .send = send_array, .receive = receive_array}, why);
  *array = r.array;
  return status;
}

/* Reading results */

/* The groups beside the fields, and what they hold. */
static const char errors_group[] = "stderr", scatter_group[] = "scatter", recipe_group[] = "recipe",
                  axes_group[] = "axes", array_kind[] = "array";
typedef enum Part { PART_VALUES, PART_ERRORS, PART_SCATTER, PART_RECIPE, PART_AXES } Part;

/* A result under way from a file. */
typedef struct Reader {
  const char *path;
  bool sound; /* its seal is whole */
  Result *result;
  Status status;
  char **why;
  Part part;
  Axes *axes;         /* of an array, one after the other */
  const char *family; /* of layered fields, whose group this is; or NULL */
} Reader;

/* The library lacks memory in places where it does not say so; what has its seal is not damaged. */
static herr_t damaged(Reader *r, const char *name) {
  r->status = r->sound ? file_starve(r->why, r->path, 0)
                       : file_fail(r->why, r->path, STATUS_FILE,
                                   "'%s' cannot be read: the file is damaged or cut off", name);
  return -1;
}

/* The text of an attribute, of fixed length, or of any as versions before 0.2 wrote it. */
static char *attribute_string(hid_t attribute, hid_t type) {
  char *text = NULL;
  if (H5Tis_variable_str(type) > 0) return H5Aread(attribute, type, &text) < 0 ? NULL : text;
  size_t size = H5Tget_size(type);
  if (!size || H5Aget_storage_size(attribute) != size) return NULL;
  text = mem_insist(malloc(size + 1)); /* without it the result would be another, or damaged */
  text[size] = 0;
  if (H5Aread(attribute, type, text) >= 0) return text;
  free(text);
  return NULL;
}

/* An attribute as text, to be freed: one string, or one number. NULL when it is neither. */
static char *attribute_text(hid_t object, const char *name) {
  hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
  hid_t type = attribute < 0 ? H5I_INVALID_HID : H5Aget_type(attribute);
  hid_t space = attribute < 0 ? H5I_INVALID_HID : H5Aget_space(attribute);
  char *text = NULL;
  if (type >= 0 && space >= 0 && H5Sget_simple_extent_npoints(space) == 1) {
    double number;
    H5T_class_t class = H5Tget_class(type);
    if (class == H5T_STRING)
      text = attribute_string(attribute, type);
    else if (class == H5T_FLOAT && H5Aread(attribute, H5T_NATIVE_DOUBLE, &number) >= 0)
      text = mem_number(number);
  }
  if (space >= 0) H5Sclose(space);
  if (type >= 0) H5Tclose(type);
  if (attribute >= 0) H5Aclose(attribute);
  return text;
}

static bool listed(const char *name, const char *const *names) {
  for (; *names; names++)
    if (strcmp(*names, name) == 0) return true;
  return false;
}

static herr_t take_attribute(hid_t file, const char *name, const H5A_info_t *info, void *context) {
  (void)info;
  Reader *r = context;
  char *text = attribute_text(file, name);
  if (!text) return damaged(r, name);
  bool apart = listed(name, (const char *const[]){"kind", "script", "axes", NULL});
  if (strcmp(name, "exact") == 0)
    r->result->exact = strtod(text, NULL) != 0;
  else if (strcmp(name, "recipe") == 0)
    r->result->recipe.text = mem_string(text);
  else if (!apart)
    result_note(r->result, name, "%s", text);
  free(text);
  return 0;
}

/* The layer that a link inside a family names, 0 when it names none. */
static int layer_of(const char *name) {
  char *end;
  long layer = strtol(name, &end, 10);
  return *end || layer < 1 || layer > 1000000 ? 0 : (int)layer;
}

/* What an axis of this name runs over. */
static void place_axis(Reader *r, const char *name, Array *at) {
  const Array *a = r->result->fields[0].value;
  for (int i = 0; i < r->axes->count; i++) {
    Axis *axis = &r->axes->list[i];
    bool suits = axis->name && strcmp(axis->name, name) == 0 && at->rank == 1;
    if (suits && !axis->at && at->size == a->shape[i]) axis->at = array_keep(at);
  }
}

/* Takes over the array. */
static herr_t take_array(Reader *r, hid_t dataset, const char *name, Array *array) {
  const char *field_name = r->family ? r->family : name;
  int layer = r->family ? layer_of(name) : 0;
  ResultField *field = result_find(r->result, field_name, layer);
  bool wanted = r->part == PART_ERRORS    ? field && !field->error
                : r->part == PART_SCATTER ? field && !field->scatter
                : r->part == PART_AXES    ? r->axes != NULL
                                          : !field;
  if ((r->family && !layer) || !wanted) {
    array_drop(array);
    return damaged(r, name);
  }
  if (r->part == PART_AXES) {
    place_axis(r, name, array);
    array_drop(array);
  } else if (r->part == PART_RECIPE) {
    recipe_add(&r->result->recipe, name, array);
  } else if (r->part == PART_ERRORS) {
    field->error = array;
  } else if (r->part == PART_SCATTER) {
    char *directions = attribute_text(dataset, "directions");
    field->scatter = directions ? scatter_unstack(array, directions, field->value) : NULL;
    array_drop(array);
    free(directions);
    if (!field->scatter) return damaged(r, name);
  } else {
    char *axes = attribute_text(dataset, "axes"), *about = attribute_text(dataset, "about");
    result_add(r->result, field_name, layer, axes ? axes : "", about ? about : "", array, NULL);
    free(axes);
    free(about);
  }
  return 0;
}

static herr_t take_link(hid_t group, const char *name, const H5L_info_t *info, void *context);

static herr_t take_family(Reader *r, hid_t group, const char *name) {
  if (r->family || r->part == PART_RECIPE) return damaged(r, name);
  r->family = name;
  herr_t state = H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, NULL, take_link, r);
  r->family = NULL;
  return state;
}

static herr_t take_object(Reader *r, hid_t object, const char *name) {
  Array *array = NULL;
  switch (H5Iget_type(object)) {
  case H5I_GROUP: return take_family(r, object, name);
  case H5I_DATASET:
    r->status = read_dataset(r->path, name, object, &array, r->why);
    return r->status ? -1 : take_array(r, object, name, array);
  default: return damaged(r, name);
  }
}

static herr_t take_link(hid_t group, const char *name, const H5L_info_t *info, void *context) {
  Reader *r = context;
  bool other = listed(
      name, (const char *const[]){errors_group, scatter_group, recipe_group, axes_group, NULL});
  if (other && r->part == PART_VALUES && !r->family) return 0;
  bool hard = info->type == H5L_TYPE_HARD;
  hid_t object = hard ? H5Oopen(group, name, H5P_DEFAULT) : H5I_INVALID_HID;
  if (object < 0) return damaged(r, name);
  herr_t state = take_object(r, object, name);
  H5Oclose(object);
  return state;
}

/* One of the groups; that it is not there may be right. */
static bool take_group(Reader *r, hid_t file, Part part, const char *name) {
  if (H5Lexists(file, name, H5P_DEFAULT) == 0) return true;
  hid_t group = H5Gopen2(file, name, H5P_DEFAULT);
  r->part = part;
  bool good = group >= 0 && H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, NULL, take_link, r) >= 0;
  if (group >= 0) H5Gclose(group);
  return good;
}

/* The names of the axes of an array that was saved by itself, and what they run over. */
static bool take_axes(Reader *r, hid_t file) {
  ResultField *field = r->result->field_count == 1 ? &r->result->fields[0] : NULL;
  if (!field || strcmp(r->result->kind, array_kind) != 0 || !*field->axes) return true;
  field->along = r->axes = axes_new(field->value->rank);
  const char *name = field->axes;
  for (int i = 0; i < r->axes->count; i++, name += *name == ',') {
    size_t length = strcspn(name, ",");
    if (length) r->axes->list[i].name = mem_format("%.*s", (int)length, name);
    name += length;
  }
  return take_group(r, file, PART_AXES, axes_group);
}

static bool take_result(Reader *r, hid_t file) {
  bool good = H5Aiterate2(file, H5_INDEX_CRT_ORDER, H5_ITER_INC, NULL, take_attribute, r) >= 0 &&
              H5Literate(file, H5_INDEX_CRT_ORDER, H5_ITER_INC, NULL, take_link, r) >= 0 &&
              take_group(r, file, PART_ERRORS, errors_group) &&
              take_group(r, file, PART_SCATTER, scatter_group) &&
              take_group(r, file, PART_RECIPE, recipe_group) && take_axes(r, file);
  for (int i = 0; good && i < r->result->field_count; i++) {
    const Array *a = r->result->fields[i].value, *e = r->result->fields[i].error;
    good = !e || array_same_shape(a, e);
  }
  return good;
}

static Status no_result(const char *path, hid_t file, char **why) {
  char *names = mem_string("");
  H5Ovisit(file, H5_INDEX_NAME, H5_ITER_NATIVE, collect, &names);
  Status status = file_fail(why, path, STATUS_FILE, "the file holds no result that was saved%s%s",
                            *names ? ", but " : "", names);
  free(names);
  return status;
}

static Status read_result(Reading *reading, char **why) {
  const char *path = reading->path;
  hid_t file;
  Status status = open_file(path, &file, why);
  if (status) return status;
  char *kind = attribute_text(file, "kind");
  if (!kind) {
    status = no_result(path, file, why);
  } else {
    Reader r = {.path = path, .sound = reading->sound, .result = result_new(kind), .why = why};
    bool good = take_result(&r, file);
    if (!good && !r.status) damaged(&r, "/");
    if (good)
      reading->result = r.result;
    else
      result_drop(r.result);
    status = r.status;
  }
  free(kind);
  H5Fclose(file);
  return status;
}

static Status work_result(void *context, char **why) {
  Reading *r = context;
  bool starved;
  library_begin(&starved);
  Status status = read_result(r, why);
  library_end();
  return starved ? starve(r, status, why) : status;
}

static void send_result(void *context, int to) {
  file_send_result(to, ((Reading *)context)->result);
}

static Status receive_result(void *context, int from, char **why) {
  Reading *r = context;
  return file_take_result(from, r->path, &r->result, why);
}

Status file_read_result(const char *path, Result **result, char **why) {
  Reading r = {.path = path};
  Status status = read_apart(
      &r, (Apart){.work = work_result, .send = send_result, .receive = receive_result}, why);
  *result = r.result;
  return status;
}

/* Writing. The small writers return false when the library failed. */

static bool put_attribute(hid_t object, const char *name, hid_t type, const void *value) {
  hid_t space = H5Screate(H5S_SCALAR);
  hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  bool good = attribute >= 0 && H5Awrite(attribute, type, value) >= 0;
  if (attribute >= 0) H5Aclose(attribute);
  if (space >= 0) H5Sclose(space);
  return good;
}

/* With its terminating NUL, of fixed length: the library crashes over damaged tables of others. */
static bool put_text(hid_t object, const char *name, const char *text) {
  hid_t type = H5Tcopy(H5T_C_S1);
  bool good = type >= 0 && H5Tset_size(type, strlen(text) + 1) >= 0 &&
              H5Tset_cset(type, H5T_CSET_UTF8) >= 0 && put_attribute(object, name, type, text);
  if (type >= 0) H5Tclose(type);
  return good;
}

/* Numbers that a double holds exactly are stored as such, everything else as text. */
static bool put_value(hid_t object, const char *name, const char *text) {
  char *end;
  double value = strtod(text, &end);
  if (end == text || *end || fabs(value) >= 0x1p53) return put_text(object, name, text);
  return put_attribute(object, name, H5T_NATIVE_DOUBLE, &value);
}

/* Damaged numbers do not pass for results: they are checked when they are read. The library does
 * that for chunks alone. */
static void add_checksum(hid_t layout, const Array *a) {
  enum { CHUNK = 1 << 21 };
  hsize_t chunk[ARRAY_MAX_RANK];
  size_t size = a->size;
  for (int i = 0; i < a->rank; i++) {
    size /= a->shape[i];
    size_t most = size < CHUNK ? CHUNK / size : 1;
    chunk[i] = a->shape[i] < most ? a->shape[i] : most;
  }
  H5Pset_chunk(layout, a->rank, chunk);
  H5Pset_fletcher32(layout);
}

/* A dataset and the groups on its way; *dataset is to be closed when it is not negative. */
static bool put_dataset(hid_t file, const char *name, const Array *a, hid_t *dataset) {
  hsize_t shape[ARRAY_MAX_RANK];
  for (int i = 0; i < a->rank; i++) shape[i] = a->shape[i];
  hid_t links = H5Pcreate(H5P_LINK_CREATE), space = H5Screate_simple(a->rank, shape, NULL);
  hid_t layout = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_create_intermediate_group(links, 1);
  if (a->rank && a->size) add_checksum(layout, a);
  *dataset = H5Dcreate2(file, name, H5T_NATIVE_DOUBLE, space, links, layout, H5P_DEFAULT);
  bool good = *dataset >= 0 &&
              H5Dwrite(*dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, a->data) >= 0;
  if (space >= 0) H5Sclose(space);
  H5Pclose(layout);
  H5Pclose(links);
  return good;
}

/* The outputs, the last axis, are left out where there is one. To be freed. */
static char *present_axes(const char *axes, int rank) {
  char *text = mem_string(axes), *end = text;
  for (int i = 0; i < rank && *end; i++) end += strcspn(end, ",") + (i + 1 < rank);
  if ((size_t)(end - text) < strlen(axes)) *end = 0;
  return text;
}

static bool put_described(hid_t file, const char *prefix, const ResultField *field,
                          const Array *a) {
  hid_t dataset;
  char *name = field->layer ? mem_format("%s/%s/%d", prefix, field->name, field->layer)
                            : mem_format("%s/%s", prefix, field->name);
  char *axes = present_axes(field->axes, a->rank);
  bool good = put_dataset(file, name, a, &dataset) && put_text(dataset, "axes", axes) &&
              put_text(dataset, "about", field->about);
  free(axes);
  if (dataset >= 0) H5Dclose(dataset);
  free(name);
  return good;
}

/* How the numbers of a field are off together, when these are not many. */
static bool put_scatter(hid_t file, const ResultField *field) {
  enum { MANY = 1 << 12 };
  bool many = !field->value || field->value->size > MANY || field->value->rank == ARRAY_MAX_RANK;
  if (many || !field->scatter || !field->scatter->count) return true;
  Array *moves = scatter_stack(field->scatter);
  if (!moves) return false;
  hid_t dataset;
  char *name = field->layer ? mem_format("%s/%s/%d", scatter_group, field->name, field->layer)
                            : mem_format("%s/%s", scatter_group, field->name);
  char *directions = scatter_text(field->scatter);
  bool good =
      put_dataset(file, name, moves, &dataset) && put_text(dataset, "directions", directions);
  if (dataset >= 0) H5Dclose(dataset);
  array_drop(moves);
  free(directions);
  free(name);
  return good;
}

static bool put_field(hid_t file, const ResultField *field) {
  if (field->value && !put_described(file, "", field, field->value)) return false;
  if (field->error && !put_described(file, errors_group, field, field->error)) return false;
  return put_scatter(file, field);
}

static bool put_recipe(hid_t file, const ResultRecipe *recipe) {
  bool good = !recipe->text || put_text(file, "recipe", recipe->text);
  for (int i = 0; good && i < recipe->array_count; i++) {
    hid_t dataset;
    char *name = mem_format("%s/%s", recipe_group, recipe->arrays[i].name);
    good = put_dataset(file, name, recipe->arrays[i].array, &dataset);
    if (dataset >= 0) H5Dclose(dataset);
    free(name);
  }
  return good;
}

typedef struct Content {
  const char *path, *name, *script;
  const char *temporary;    /* what is filled */
  const Array *array;       /* one dataset, */
  const Result *result;     /* or a result, */
  const ResultField *field; /* or an array with its errors and axes */
} Content;

static const char axes_legend[] =
    "t, s: steps 0..T; mu, nu: training points; n, n': test points; a, b: training points, then "
    "test "
    "points; c: outputs. Layers count from 1; stderr holds the standard errors; scatter how all "
    "numbers are off together: by the moves along its first axis, those of replicates, with the "
    "weights behind their names in the attribute 'directions'.";

static bool put_result(hid_t file, const Content *content) {
  const Result *result = content->result;
  const double exact = result->exact;
  bool good = put_text(file, "kind", result->kind) && put_text(file, "axes", axes_legend) &&
              put_attribute(file, "exact", H5T_NATIVE_DOUBLE, &exact) &&
              (!content->script || put_text(file, "script", content->script));
  for (int i = 0; good && i < result->attribute_count; i++)
    good = put_value(file, result->attributes[i].name, result->attributes[i].value);
  for (int i = 0; good && i < result->field_count; i++) good = put_field(file, &result->fields[i]);
  return good && put_recipe(file, &result->recipe);
}

/* A name that can be one link of a path, to be freed. */
static char *link_name(const char *text) {
  char *name = mem_string(*text && strcmp(text, ".") ? text : "data");
  for (char *c = name; *c; c++)
    if (*c == '/') *c = '_';
  return name;
}

static bool put_array(hid_t file, const Content *content) {
  hid_t dataset;
  char *name = link_name(content->name);
  bool good = put_dataset(file, name, content->array, &dataset);
  if (dataset >= 0) H5Dclose(dataset);
  free(name);
  return good;
}

/* A dimension scale, unless there is one of this name; a reference to it. */
static bool put_scale(hid_t file, const Axis *axis, hobj_ref_t *reference) {
  hid_t dataset;
  char *name = mem_format("%s/%s", axes_group, axis->name);
  bool there =
           H5Lexists(file, axes_group, H5P_DEFAULT) > 0 && H5Lexists(file, name, H5P_DEFAULT) > 0,
       good = there;
  if (!there) {
    good = put_dataset(file, name, axis->at, &dataset) &&
           put_text(dataset, "CLASS", "DIMENSION_SCALE") && put_text(dataset, "NAME", axis->name);
    if (dataset >= 0) H5Dclose(dataset);
  }
  good = good && H5Rcreate(reference, file, name, H5R_OBJECT, -1) >= 0;
  free(name);
  return good;
}

/* The scales of a dataset, one for each axis that has places. */
static bool put_scales(hid_t file, const char *name, const Axes *axes) {
  hobj_ref_t references[ARRAY_MAX_RANK];
  hvl_t lists[ARRAY_MAX_RANK] = {{0}};
  hsize_t count = (hsize_t)axes->count;
  bool good = true;
  for (int i = 0; i < axes->count && good; i++) {
    if (!axes->list[i].name || !axes->list[i].at) continue;
    good = put_scale(file, &axes->list[i], &references[i]);
    lists[i] = (hvl_t){1, &references[i]};
  }
  hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT), type = H5Tvlen_create(H5T_STD_REF_OBJ),
        space = H5Screate_simple(1, &count, NULL);
  hid_t attribute = H5Acreate2(dataset, "DIMENSION_LIST", type, space, H5P_DEFAULT, H5P_DEFAULT);
  good = good && attribute >= 0 && H5Awrite(attribute, type, lists) >= 0;
  if (attribute >= 0) H5Aclose(attribute);
  if (space >= 0) H5Sclose(space);
  if (type >= 0) H5Tclose(type);
  if (dataset >= 0) H5Dclose(dataset);
  return good;
}

/* An array with its errors, and its axes with their places. */
static bool put_numbers(hid_t file, const ResultField *given) {
  ResultField field = *given;
  field.name = link_name(given->name);
  char *errors = mem_format("%s/%s", errors_group, field.name);
  bool good = put_text(file, "kind", array_kind) && put_field(file, &field);
  if (good && field.along) good = put_scales(file, field.name, field.along);
  if (good && field.along && field.error) good = put_scales(file, errors, field.along);
  free(errors);
  free(field.name);
  return good;
}

static bool put_content(hid_t file, const Content *content) {
  return content->result  ? put_result(file, content)
         : content->field ? put_numbers(file, content->field)
                          : put_array(file, content);
}

/* The library cannot live with a disk that fills up (it fails to close the file and crashes at
 * exit): it builds the file in memory, and the bytes are written here. The tables of its newer
 * formats are protected by checksums; the file itself starts in the oldest, since in the image of a
 * newer one the first of these checksums is wrong. */
static hid_t create_in_memory(void) {
  enum { GROWTH = 4 << 20 };
  const unsigned ordered = H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED;
  hid_t access = H5Pcreate(H5P_FILE_ACCESS), create = H5Pcreate(H5P_FILE_CREATE);
  H5Pset_attr_creation_order(create, ordered);
  H5Pset_link_creation_order(create, ordered);
  hid_t file = H5Pset_fapl_core(access, GROWTH, 0) < 0
                   ? H5I_INVALID_HID
                   : H5Fcreate("dmf", H5F_ACC_TRUNC, create, access);
  if (file >= 0) H5Fset_libver_bounds(file, H5F_LIBVER_V18, H5F_LIBVER_LATEST);
  H5Pclose(create);
  H5Pclose(access);
  return file;
}

/* The bytes of the file, to be freed; NULL if the library or the memory fails. */
static void *image_of(hid_t file, size_t *size) {
  if (H5Fflush(file, H5F_SCOPE_LOCAL) < 0) return NULL;
  ssize_t length = H5Fget_file_image(file, NULL, 0);
  void *image = length > 0 ? malloc((size_t)length) : NULL;
  *size = (size_t)length;
  if (image && H5Fget_file_image(file, image, *size) == length) return image;
  free(image);
  return NULL;
}

static double count_of(const ResultField *field) {
  double moves = field->scatter ? field->scatter->count : 0;
  return field->value ? (double)field->value->size * ((field->error ? 2 : 1) + moves) : 0;
}

static double bytes_of(const Content *content) {
  double count = content->array ? (double)content->array->size : 0;
  if (content->field) count += count_of(content->field);
  for (int i = 0; content->result && i < content->result->field_count; i++)
    count += count_of(&content->result->fields[i]);
  return count * sizeof(double);
}

typedef struct Image {
  void *bytes;
  size_t size;
} Image;

static Status put_image(FILE *stream, void *context, char **why) {
  (void)why;
  const Image *image = context;
  char seal[SEAL_LENGTH + 1];
  seal_print(crc32_z(crc32(0, NULL, 0), image->bytes, image->size), seal);
  fwrite(image->bytes, 1, image->size, stream);
  fputs(seal, stream);
  return STATUS_OK;
}

/* Nothing but a lack of memory stands in the way of a file that is made there. Where a call failed
 * for it that nobody asked, checksums or the newer format are missing, and it is not that file. */
static Status build(const Content *content, Image *image, char **why) {
  bool starved;
  library_begin(&starved);
  hid_t file = create_in_memory();
  if (file >= 0 && put_content(file, content)) image->bytes = image_of(file, &image->size);
  if (file >= 0) H5Fclose(file);
  library_end();
  if (starved) {
    free(image->bytes);
    image->bytes = NULL;
  }
  return image->bytes ? STATUS_OK : file_starve(why, content->path, 2 * bytes_of(content));
}

static Status work_write(void *context, char **why) {
  const Content *content = context;
  Image image = {0};
  Status status = build(content, &image, why);
  if (!status) status = file_fill_stream(content->path, content->temporary, put_image, &image, why);
  free(image.bytes);
  return status;
}

static Status write_temporary(const char *temporary, void *context, char **why) {
  Content *content = context;
  double needed = 2 * bytes_of(content);
  if (!mem_fits(needed)) return file_starve(why, content->path, needed);
  content->temporary = temporary;
  return work_apart(&(Apart){.path = content->path,
                             .bytes = needed,
                             .sound = true,
                             .context = content,
                             .work = work_write},
                    why);
}

static Status write_file(Content content, char **why) {
  return file_replace(content.path, write_temporary, &content, why);
}

Status file_write_array_hdf5(const char *path, const char *name, const Array *array, char **why) {
  return write_file((Content){.path = path, .name = name, .array = array}, why);
}

Status file_write_field_hdf5(const char *path, const ResultField *field, char **why) {
  return write_file((Content){.path = path, .field = field}, why);
}

Status file_write_result_hdf5(const char *path, Result *result, const char *script, char **why) {
  return write_file((Content){.path = path, .script = script, .result = result}, why);
}
