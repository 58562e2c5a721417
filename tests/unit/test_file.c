/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/memory.h"
#include "base/work.h"
#include "file/apart.h"
#include "file/file.h"
#include "file/io.h"
#include "num/arrayops.h"

#include "check.h"

#include <dirent.h>
#include <fcntl.h>
#include <hdf5.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static char directory[256];

/* A path in the scratch directory, good until the fourth call after. */
static const char *at(const char *name) {
  static char paths[4][512];
  static int next;
  char *path = paths[next++ % 4];
  snprintf(path, sizeof paths[0], "%s/%s", directory, name);
  return path;
}

static const char *put(const char *name, const void *bytes, size_t length) {
  const char *path = at(name);
  FILE *file = fopen(path, "w");
  fwrite(bytes, 1, length, file);
  fclose(file);
  return path;
}

static char *get(const char *path) {
  char *text = calloc(1, 1 << 16);
  FILE *file = fopen(path, "r");
  if (file) {
    (void)!fread(text, 1, (1 << 16) - 1, file);
    fclose(file);
  }
  return text;
}

typedef Status Read(const char *path, Array **array, char **why);

/* True when the file is read as an array of this shape and these elements. */
static bool reads(Read *read, const char *path, int rank, const size_t *shape, const double *data) {
  Array *a = NULL;
  char *why = NULL;
  bool good = read(path, &a, &why) == STATUS_OK && a->rank == rank;
  for (int i = 0; good && i < rank; i++) good = a->shape[i] == shape[i];
  for (size_t i = 0; good && i < a->size; i++)
    good = a->data[i] == data[i] || (isnan(a->data[i]) && isnan(data[i]));
  if (why) printf("  %s\n", why);
  free(why);
  array_drop(a);
  return good;
}

#define SHAPE(...)                                                                                 \
  (int)(sizeof((size_t[]){__VA_ARGS__}) / sizeof(size_t)), (size_t[]) { __VA_ARGS__ }
#define DATA(...)                                                                                  \
  (double[]) { __VA_ARGS__ }

/* True when reading fails with this status and a reason that holds `part`. */
static bool refuses(Read *read, const char *path, Status expected, const char *part) {
  Array *a = NULL;
  char *why = NULL;
  Status status = read(path, &a, &why);
  bool good = status == expected && !a && why && strstr(why, part);
  if (!good) printf("  status %d: %s\n", status, why ? why : "(no reason)");
  free(why);
  array_drop(a);
  return good;
}

static const char *csv(const char *text) { return put("t.csv", text, strlen(text)); }

static char header[256]; /* of the table read last; "" if it had none */

static Status read_csv(const char *path, Array **array, char **why) {
  char *names;
  Status status = file_read_csv(path, array, &names, why);
  snprintf(header, sizeof header, "%s", names ? names : "");
  free(names);
  return status;
}

/* The table reads as 1, 2, with this line above it. */
static bool has_header(const char *text, const char *expected) {
  char *table = mem_format("%s\n1\t2\n", text);
  bool good = reads(read_csv, csv(table), SHAPE(1, 2), DATA(1, 2)) && !strcmp(header, expected);
  free(table);
  return good;
}

static void test_csv_headers(void) {
  CHECK(has_header("", ""));
  CHECK(has_header("# 1,2,3", ""));
  CHECK(has_header("a,b", "a,b"));
  CHECK(has_header(" x_1 _2 # names", "x_1 _2"));
  CHECK(has_header("\"mass, kg\";größe (cm)", "\"mass, kg\";größe (cm)"));
  CHECK(has_header(",b", ",b"));
  CHECK(has_header("e5,d2", "e5,d2"));
  CHECK(has_header("mass in kg\t(of) all", "mass in kg\t(of) all"));
  CHECK(reads(read_csv, csv("mass in kg\n1\n2\n"), SHAPE(2), DATA(1, 2)));
  CHECK(refuses(read_csv, csv("a\n1,2\n"), STATUS_FILE, "line 2 has 2 fields, the header has 1"));
  CHECK(refuses(read_csv, csv("a,b,c\n\n1,2\n"), STATUS_FILE, "line 3 has 2 fields"));
  static const char *const refused[] = {"NA,NA",   "x,n/a",   "null,x", "true,false",
                                        "1mm,2mm", "5%,6%",   "?,?",    "-,-",
                                        "$1,$2",   "1st,2nd", "−1,−2",  "2020-01-01,x",
                                        "½,½",     "a,1x1",   ",",      "\"1,000\",\"2,000\"",
                                        "0,5;1,5"};
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    char *table = mem_format("# data\n%s\n1,2\n", refused[i]);
    CHECK(refuses(read_csv, csv(table), STATUS_FILE, "line 2, column "));
    free(table);
  }
  CHECK(refuses(read_csv, csv("a,1x1\n1,2\n"), STATUS_FILE, "column 2: '1x1' is neither"));
  CHECK(refuses(read_csv, csv("a,b\n1,NA\n"), STATUS_FILE, "line 2, column 2: 'NA' is not"));
  CHECK(refuses(read_csv, csv("\"1,000.5\"\n"), STATUS_FILE, "'1,000.5' has a comma"));
  CHECK(refuses(read_csv, csv("1;2\n0;0,5\n"), STATUS_FILE, "line 2, column 2: '0,5' has a comma"));
}

static void test_csv_numbers(void) {
  CHECK(reads(read_csv, csv("1D0,-2.5d-1\n.5D+2,1.D0\n"), SHAPE(2, 2), DATA(1, -0.25, 50, 1)));
  CHECK(reads(read_csv, csv("inf,-INF\nInfinity,0\n"), SHAPE(2, 2),
              DATA(INFINITY, -INFINITY, INFINITY, 0)));
  CHECK(reads(read_csv, csv("nan\n-nan\nNaN\n"), SHAPE(3), DATA(NAN, NAN, NAN)));
  static const char *const refused[] = {"1D",   "D0",   "1D0D0",  "2D0.5", "infD0",
                                        "1DE0", "0x10", "-0X1p3", "nan(7)"};
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    char *table = mem_format("1\n%s\n", refused[i]);
    CHECK(refuses(read_csv, csv(table), STATUS_FILE, "line 2"));
    free(table);
  }
  CHECK(
      refuses(read_csv, csv("1\n1e999\n"), STATUS_FILE, "line 2, column 1: '1e999' is too large"));
  CHECK(refuses(read_csv, csv("-1D999\n"), STATUS_FILE, "'-1D999' is too large"));
}

static void test_csv(void) {
  CHECK(reads(read_csv, csv("1,2\n3,4\n"), SHAPE(2, 2), DATA(1, 2, 3, 4)));
  CHECK(reads(read_csv, csv("a,b\r\n1,2\r\n3,4"), SHAPE(2, 2), DATA(1, 2, 3, 4)));
  CHECK(reads(read_csv, csv("# note\n\n 1 ; 2 # end\n3;4\n"), SHAPE(2, 2), DATA(1, 2, 3, 4)));
  CHECK(reads(read_csv, csv("1 \t 2\n3\t4\n"), SHAPE(2, 2), DATA(1, 2, 3, 4)));
  CHECK(reads(read_csv, csv("\xef\xbb\xbf\"x\",\"y\"\n\"1\",2e-1\n"), SHAPE(1, 2), DATA(1, 0.2)));
  CHECK(reads(read_csv, csv("t\n1\n2\n3\n"), SHAPE(3), DATA(1, 2, 3)));
  CHECK(refuses(read_csv, csv(""), STATUS_FILE, "holds no numbers"));
  CHECK(refuses(read_csv, csv("# only\n\n"), STATUS_FILE, "holds no numbers"));
  CHECK(refuses(read_csv, csv("a,b\n"), STATUS_FILE, "below its header"));
  CHECK(refuses(read_csv, csv("1,2\n3\n"), STATUS_FILE, "line 2 has 1 fields"));
  CHECK(refuses(read_csv, csv("1,2\n3,4,5\n"), STATUS_FILE, "line 2 has 3 fields"));
  CHECK(
      refuses(read_csv, csv("1,2\n\n3,x\n"), STATUS_FILE, "line 3, column 2: 'x' is not a number"));
  CHECK(refuses(read_csv, csv("a,b\nc,d\n1,2\n"), STATUS_FILE, "line 2, column 1: 'c'"));
  CHECK(refuses(read_csv, csv("1,x\n"), STATUS_FILE, "line 1, column 2: 'x'"));
  CHECK(refuses(read_csv, csv("1,\n"), STATUS_FILE, "line 1, column 2: ''"));
  CHECK(refuses(read_csv, csv("1,,2\n"), STATUS_FILE, "column 2: ''"));
  CHECK(refuses(read_csv, put("t.csv", "1\0002\n", 4), STATUS_FILE, "byte 1 is zero"));
  CHECK(refuses(read_csv, at("none.csv"), STATUS_FILE, "No such file"));
  CHECK(refuses(read_csv, directory, STATUS_FILE, "directory"));
  CHECK(refuses(read_csv, "/dev/zero", STATUS_FILE, "not a regular file"));
}

/* A version-1 file with this dictionary and these elements. */
static const char *npy(const char *dictionary, const void *data, size_t length) {
  unsigned char bytes[512] = "\x93NUMPY\1";
  size_t header = strlen(dictionary);
  bytes[8] = (unsigned char)header;
  memcpy(bytes + 10, dictionary, header);
  memcpy(bytes + 10 + header, data, length);
  return put("t.npy", bytes, 10 + header + length);
}

static void test_npy(void) {
  CHECK(reads(file_read_npy,
              npy("{'descr': '<i2', 'fortran_order': False, 'shape': (2,), }\n", "\1\0\377\377", 4),
              SHAPE(2), DATA(1, -1)));
  CHECK(reads(file_read_npy,
              npy("{'descr': '>u2', 'fortran_order': False, 'shape': (2, 1)}", "\1\0\377\377", 4),
              SHAPE(2, 1), DATA(256, 65535)));
  CHECK(reads(file_read_npy,
              npy("{'shape': (2, 2), 'fortran_order': True, 'descr': '|u1'}", "\1\2\3\4", 4),
              SHAPE(2, 2), DATA(1, 3, 2, 4)));
  CHECK(reads(file_read_npy,
              npy("{'descr': '>f4', 'fortran_order': False, 'shape': ()}", "\277\200\0\0", 4), 0,
              NULL, DATA(-1)));
  CHECK(reads(file_read_npy,
              npy("{'descr': '|b1', 'fortran_order': False, 'shape': (2,)}", "\0\1", 2), SHAPE(2),
              DATA(0, 1)));
  CHECK(reads(
      file_read_npy,
      npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}", "\0\0\0\0\0\0\360\277", 8),
      SHAPE(1), DATA(-1)));
  CHECK(reads(file_read_npy,
              npy("{'descr': '|i1', 'fortran_order': False, 'shape': (0, 3)}", "", 0), SHAPE(0, 3),
              NULL));
  CHECK(refuses(file_read_npy,
                npy("{'descr': '<i2', 'fortran_order': False, 'shape': (2,)}", "\1\0\1", 3),
                STATUS_FILE, "header promises"));
  CHECK(refuses(file_read_npy,
                npy("{'descr': '|i1', 'fortran_order': False, 'shape': (2,)}", "\1\0\1", 3),
                STATUS_FILE, "header promises"));
  CHECK(refuses(file_read_npy,
                npy("{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}", "", 0), STATUS_FILE,
                "'c8'"));
  CHECK(refuses(file_read_npy,
                npy("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,)}", "", 0),
                STATUS_FILE, "not single numbers"));
  CHECK(refuses(file_read_npy, npy("{'fortran_order': False, 'shape': (1,)}", "", 0), STATUS_FILE,
                "'descr'"));
  CHECK(refuses(file_read_npy, npy("{'descr': '|i1', 'shape': (1,)}", "", 0), STATUS_FILE,
                "'fortran_order'"));
  CHECK(refuses(file_read_npy, npy("{'descr': '|i1', 'fortran_order': False}", "", 0), STATUS_FILE,
                "'shape'"));
  CHECK(refuses(file_read_npy,
                npy("{'descr': '|i1', 'fortran_order': False, 'shape': (-1,)}", "", 0), STATUS_FILE,
                "shape in the header"));
  CHECK(refuses(file_read_npy, npy("{'descr': '|i1', 'fortran_order': False, 'shape': (1", "", 0),
                STATUS_FILE, "shape in the header"));
  CHECK(
      refuses(file_read_npy,
              npy("{'descr': '|i1', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}", "", 0),
              STATUS_FILE, "more than 8 axes"));
  CHECK(refuses(
      file_read_npy,
      npy("{'descr': '|i1', 'fortran_order': False, 'shape': (9999999999, 9999999999)}", "", 0),
      STATUS_FILE,
      sizeof(size_t) > 4 ? "the header promises 9999999998" : "the header promises 1844674"));
  CHECK(refuses(file_read_npy, put("t.npy", "\x93NUMPY\1\0\100\0{", 11), STATUS_FILE, "cut off"));
  CHECK(refuses(file_read_npy, put("t.npy", "\x93NUMPY\3\0\1\0", 10), STATUS_FILE, "cut off"));
  CHECK(refuses(file_read_npy, put("t.npy", "\x93NUMPY\7\0\1\0", 10), STATUS_FILE, "version 7"));
  CHECK(refuses(file_read_npy, put("t.npy", "hello, world", 12), STATUS_FILE, "not a .npy file"));
  CHECK(refuses(file_read_npy, put("t.npy", "", 0), STATUS_FILE, "not a .npy file"));
  CHECK(refuses(file_read_npy, put("t.npz", "PK\3\4\24\0\0\0\0\0", 10), STATUS_FILE,
                "an archive of arrays (.npz)"));
  CHECK(reads(file_read_npy,
              npy("{\"descr\": \"<i2\", \"fortran_order\": False, \"shape\": (2,)}", "\1\0\2\0", 4),
              SHAPE(2), DATA(1, 2)));
  static const unsigned char halves[] = {0, 0x3c, 1,    0x80, 0xff, 3, 0,
                                         4, 0xff, 0x7b, 0,    0xfc, 1, 0x7c};
  CHECK(reads(file_read_npy,
              npy("{'descr': '<f2', 'fortran_order': False, 'shape': (7,)}", halves, 14), SHAPE(7),
              DATA(1, -0x1p-24, 1023 * 0x1p-24, 0x1p-14, 65504, -INFINITY, NAN)));
  CHECK(reads(file_read_npy,
              npy("{'descr': '>f2', 'fortran_order': False, 'shape': (1,)}", "\300\1", 2), SHAPE(1),
              DATA(-2 - 0x1p-9)));
}

static void test_idx(void) {
  CHECK(reads(file_read_idx, put("t", "\0\0\x08\2\0\0\0\2\0\0\0\1\5\377", 14), SHAPE(2, 1),
              DATA(5, 255)));
  CHECK(reads(file_read_idx, put("t", "\0\0\x09\1\0\0\0\1\377", 9), SHAPE(1), DATA(-1)));
  CHECK(reads(file_read_idx, put("t", "\0\0\x0B\1\0\0\0\1\1\0", 10), SHAPE(1), DATA(256)));
  CHECK(
      reads(file_read_idx, put("t", "\0\0\x0C\1\0\0\0\1\377\377\377\376", 12), SHAPE(1), DATA(-2)));
  CHECK(reads(file_read_idx, put("t", "\0\0\x0D\1\0\0\0\1\277\200\0\0", 12), SHAPE(1), DATA(-1)));
  CHECK(reads(file_read_idx, put("t", "\0\0\x0E\1\0\0\0\1\277\360\0\0\0\0\0\0", 16), SHAPE(1),
              DATA(-1)));
  CHECK(refuses(file_read_idx, put("t", "\0\0\x08\1\0\0\0\2\5", 9), STATUS_FILE,
                "cut off at byte 9: the header promises 10 bytes"));
  CHECK(refuses(file_read_idx, put("t", "\0\0\x08\1\0\0\0\1\5\5", 10), STATUS_FILE,
                "byte 9 should be the end, as the header promises, but 1 bytes follow"));
  CHECK(
      refuses(file_read_idx, put("t", "\0\0\x08\2\0\0\0\2", 8), STATUS_FILE, "cut off at byte 8"));
  CHECK(refuses(file_read_idx, put("t", "\0\0\x0A\1\0\0\0\1\5", 9), STATUS_FILE,
                "byte 2: 10 is not"));
  CHECK(refuses(file_read_idx, put("t", "\1\0\x08\1\0\0\0\1\5", 9), STATUS_FILE, "not an IDX"));
  CHECK(refuses(file_read_idx, put("t", "\0\0\x08\0", 4), STATUS_FILE, "byte 3: 0 axes"));
  CHECK(refuses(file_read_idx, put("t", "\0\0\x08\377", 4), STATUS_FILE, "byte 3: 255 axes"));
  CHECK(refuses(file_read_idx, put("t", "", 0), STATUS_FILE, "not an IDX"));
  CHECK(refuses(file_read_idx, put("t", "\0\0\x08\2\377\377\377\377\377\377\377\377", 12),
                STATUS_FILE, "cut off at byte 12: the header promises 18446744065119617024 bytes"));
}

/* A prefix of the file is never read; with one bit wrong it is read, or refused for a reason. */
static void test_damage(Read *read, const char *name, const unsigned char *bytes, size_t length) {
  unsigned char copy[8192];
  int prefixes = 0, strange = 0;
  for (size_t cut = 0; cut < length; cut++) {
    Array *a = NULL;
    char *why = NULL;
    prefixes += read(put(name, bytes, cut), &a, &why) == STATUS_OK;
    strange += !why;
    array_drop(a);
    free(why);
  }
  for (size_t bit = 0; bit < 8 * length; bit += 5) {
    Array *a = NULL;
    char *why = NULL;
    memcpy(copy, bytes, length);
    copy[bit / 8] ^= (unsigned char)(1 << bit % 8);
    Status status = read(put(name, copy, length), &a, &why);
    strange += status == STATUS_OK ? !a || why : !why || a || status != STATUS_FILE;
    array_drop(a);
    free(why);
  }
  CHECK(prefixes == 0);
  CHECK(strange == 0);
}

static const unsigned char idx_bytes[] = "\0\0\x0D\2\0\0\0\2\0\0\0\1\277\200\0\0\100\0\0\0";

static void test_damaged(void) {
  enum { IDX = sizeof idx_bytes - 1 };
  test_damage(file_read_idx, "t", idx_bytes, IDX);
  const char *path = npy("{'descr': '<i2', 'fortran_order': True, 'shape': (2, 1)}", "\1\0\2\0", 4);
  unsigned char bytes[8192];
  FILE *file = fopen(path, "rb");
  size_t length = fread(bytes, 1, sizeof bytes, file);
  fclose(file);
  test_damage(file_read_npy, "t.npy", bytes, length);
  unsigned char record[3073] = {3};
  CHECK(refuses(file_read_cifar10, put("t.bin", record, 3072), STATUS_FILE, "3072 bytes"));
  for (int cut = 1; cut < 3073; cut += 64)
    CHECK(
        refuses(file_read_cifar10_labels, put("t.bin", record, (size_t)cut), STATUS_FILE, "bytes"));
}

static void test_gzip(void) {
  enum { IDX = sizeof idx_bytes - 1 };
  unsigned char bytes[8192];
  for (int streams = 1; streams <= 2; streams++) { /* files are joined by joining their streams */
    gzFile gz = gzopen(at("t.gz"), streams == 1 ? "wb" : "ab");
    gzwrite(gz, streams == 1 ? idx_bytes : idx_bytes + IDX - 4, streams == 1 ? IDX - 4 : 4);
    gzclose(gz);
  }
  CHECK(reads(file_read_idx, at("t.gz"), SHAPE(2, 1), DATA(-1, 2)));
  FILE *file = fopen(at("t.gz"), "rb");
  size_t length = fread(bytes, 1, sizeof bytes, file);
  fclose(file);
  test_damage(file_read_idx, "t.gz", bytes, length);
  CHECK(refuses(file_read_idx, put("t.gz", bytes, length - 1), STATUS_FILE,
                "gzip data are cut off at byte"));
  bytes[length - 8] ^= 1;
  CHECK(refuses(file_read_idx, put("t.gz", bytes, length), STATUS_FILE,
                "gzip data are damaged at byte"));
  gzFile gz = gzopen(at("t.gz"), "wb");
  gzwrite(gz, "1,2\n3,4\n", 8);
  gzclose(gz);
  CHECK(reads(read_csv, at("t.gz"), SHAPE(2, 2), DATA(1, 2, 3, 4)));
}

static Array *counting(int rank, const size_t *shape);
static Status read_dataset(const char *path, Array **array, char **why);
static const char *dataset;

/* A check counts what a file unpacks to, not what it takes on the disk. */
static bool too_much(Read *read, const char *path, double numbers) {
  Array *array = NULL;
  char *why = NULL;
  Work before = work_allow((Work){numbers, false});
  bool refused = read(path, &array, &why) == STATUS_LIMIT && !array && work_refused();
  work_allow(before);
  array_drop(array);
  free(why);
  return refused;
}

static void test_bombs(void) {
  enum { ROWS = 1 << 16, MEMBERS = 64 };
  static char rows[2 * ROWS + 1];
  for (int i = 0; i < ROWS; i++) memcpy(rows + 2 * i, "0\n", 2);
  const char *path = at("bomb.csv.gz");
  for (int i = 0; i < MEMBERS; i++) {
    gzFile file = gzopen(path, "ab");
    CHECK(file && gzwrite(file, rows, 2 * ROWS) == 2 * ROWS && gzclose(file) == Z_OK);
  }
  const size_t count = (size_t)ROWS * MEMBERS, shape[] = {2, 3};
  CHECK(too_much(read_csv, path, 0.9 * (double)count));
  CHECK(too_much(read_csv, path, 1e5)); /* not even unpacked */
  Array *array = NULL;
  char *why = NULL;
  CHECK(read_csv(path, &array, &why) == STATUS_OK && array->size == count);
  array_drop(array);
  const Array *small = counting(2, shape);
  CHECK(file_write_array_hdf5(at("small.h5"), "x", small, &why) == STATUS_OK);
  dataset = "x";
  CHECK(too_much(read_dataset, at("small.h5"), 5) && !too_much(read_dataset, at("small.h5"), 12));
  array_drop((Array *)small);
}

static void test_cifar(void) {
  unsigned char record[2 * 3073] = {3};
  record[1] = 10, record[1 + 1024] = 20, record[1 + 2048] = 30; /* the first pixel */
  record[3073] = 9;
  record[2 * 3073 - 1] = 255;
  Array *a = NULL;
  char *why = NULL;
  CHECK(file_read_cifar10(put("t.bin", record, sizeof record), &a, &why) == STATUS_OK);
  CHECK(a->rank == 4 && a->shape[0] == 2 && a->shape[1] == 32 && a->shape[2] == 32 &&
        a->shape[3] == 3);
  CHECK(a->data[0] == 10 && a->data[1] == 20 && a->data[2] == 30 && a->data[a->size - 1] == 255);
  array_drop(a);
  CHECK(reads(file_read_cifar10_labels, at("t.bin"), SHAPE(2), DATA(3, 9)));
  CHECK(refuses(file_read_cifar10, put("t.bin", record, 3074), STATUS_FILE, "3074 bytes"));
  CHECK(refuses(file_read_cifar10, put("t.bin", record, 0), STATUS_FILE, "0 bytes"));
  record[3073] = 10;
  CHECK(refuses(file_read_cifar10, put("t.bin", record, sizeof record), STATUS_FILE,
                "byte 3073: label 10"));
}

static const char *dataset;

static Status read_dataset(const char *path, Array **array, char **why) {
  return file_read_hdf5(path, dataset, array, why);
}

static Array *sample(void) {
  Array *a = array_new(2, (size_t[]){2, 2});
  memcpy(a->data, DATA(0.1, -1.5, 1e300, 7), 4 * sizeof(double));
  return a;
}

/* A text, or a small number, beside a dataset of a foreign file. */
static void put_attribute(hid_t object, const char *name, const char *text, int number) {
  hid_t type = H5Tcopy(text ? H5T_C_S1 : H5T_NATIVE_INT), space = H5Screate(H5S_SCALAR);
  if (text) H5Tset_size(type, strlen(text));
  hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  H5Awrite(attribute, type, text ? (const void *)text : &number);
  H5Aclose(attribute);
  H5Sclose(space);
  H5Tclose(type);
}

/* Adds bytes of the type to the file; a matrix of MATLAB's where `class` is not NULL. */
static void put_foreign(hid_t file, const char *name, hid_t type, int rank, const hsize_t *shape,
                        const void *data, const char *class, bool empty) {
  hid_t space = H5Screate_simple(rank, shape, NULL);
  hid_t set = H5Dcreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
  if (class) put_attribute(set, "MATLAB_class", class, 0);
  if (empty) put_attribute(set, "MATLAB_empty", NULL, 1);
  H5Dclose(set);
  H5Sclose(space);
}

static size_t pass(unsigned flags, size_t count, const unsigned values[], size_t bytes,
                   size_t *size, void **data) {
  (void)flags, (void)count, (void)values, (void)size, (void)data;
  return bytes;
}

/* Packed by a filter that the reader does not know. */
static void put_packed(hid_t file, const char *name) {
  const H5Z_class2_t filter = {H5Z_CLASS_T_VERS, 300, 1, 1, "odd", NULL, NULL, pass};
  hsize_t size = 3;
  hid_t space = H5Screate_simple(1, &size, NULL), layout = H5Pcreate(H5P_DATASET_CREATE);
  H5Zregister(&filter);
  H5Pset_chunk(layout, 1, &size);
  H5Pset_filter(layout, 300, 0, 0, NULL);
  hid_t set = H5Dcreate2(file, name, H5T_NATIVE_DOUBLE, space, H5P_DEFAULT, layout, H5P_DEFAULT);
  H5Dwrite(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, DATA(1, 2, 3));
  H5Dclose(set);
  H5Pclose(layout);
  H5Sclose(space);
}

/* What h5py makes of truth values, and numbers under names of another type. */
static void put_names(hid_t file, const char *name, hid_t integer, const char *const names[2],
                      const void *values[2], const void *data) {
  hid_t type = H5Tenum_create(integer);
  for (int i = 0; i < 2; i++) H5Tenum_insert(type, names[i], values[i]);
  put_foreign(file, name, type, 1, (hsize_t[]){3}, data, NULL, false);
  H5Tclose(type);
}

static void make_foreign(const char *path) {
  hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  const signed char no = 0, yes = 1;
  const short low = -300, high = 1000;
  put_names(file, "truth", H5T_STD_I8LE, (const char *[]){"FALSE", "TRUE"},
            (const void *[]){&no, &yes}, (const signed char[]){1, 0, 1});
  put_names(file, "names", H5T_NATIVE_SHORT, (const char *[]){"LOW", "HIGH"},
            (const void *[]){&low, &high}, (const short[]){-300, 1000, -300});
  put_packed(file, "packed");
  put_foreign(file, "A", H5T_NATIVE_DOUBLE, 2, (hsize_t[]){3, 2}, DATA(1, 4, 2, 5, 3, 6), "double",
              false);
  put_foreign(file, "T", H5T_NATIVE_DOUBLE, 3, (hsize_t[]){3, 2, 1}, DATA(1, 4, 2, 5, 3, 6),
              "single", false);
  put_foreign(file, "E", H5T_NATIVE_INT, 1, (hsize_t[]){2}, (const int[]){0, 3}, "double", true);
  put_foreign(file, "bad", H5T_NATIVE_INT, 1, (hsize_t[]){2}, (const int[]){2, 3}, "double", true);
  put_foreign(file, "text", H5T_NATIVE_USHORT, 1, (hsize_t[]){1}, (const unsigned short[]){97},
              "char", false);
  H5Fclose(file);
  H5Zunregister(300);
}

static void test_foreign_hdf5(void) {
  make_foreign(at("f.h5"));
  dataset = "truth";
  CHECK(reads(read_dataset, at("f.h5"), SHAPE(3), DATA(1, 0, 1)));
  dataset = "names";
  CHECK(reads(read_dataset, at("f.h5"), SHAPE(3), DATA(-300, 1000, -300)));
  dataset = "packed";
  CHECK(refuses(read_dataset, at("f.h5"), STATUS_FILE,
                "'packed' is packed by a filter that is not installed: number 300, odd"));
  dataset = "A";
  CHECK(reads(read_dataset, at("f.h5"), SHAPE(2, 3), DATA(1, 2, 3, 4, 5, 6)));
  dataset = "T";
  CHECK(reads(read_dataset, at("f.h5"), SHAPE(1, 2, 3), DATA(1, 2, 3, 4, 5, 6)));
  dataset = "E";
  CHECK(reads(read_dataset, at("f.h5"), SHAPE(0, 3), NULL));
  dataset = "bad";
  CHECK(refuses(read_dataset, at("f.h5"), STATUS_FILE, "'bad' cannot be read"));
  dataset = "text";
  CHECK(refuses(read_dataset, at("f.h5"), STATUS_FILE, "'text' does not hold numbers"));
}

/* Writes with one function and reads with another. */
static void test_round_trips(void) {
  Array *a = sample();
  char *why = NULL;
  CHECK(file_write_array(at("r.npy"), "a", a, &why) == STATUS_OK);
  CHECK(reads(file_read_npy, at("r.npy"), SHAPE(2, 2), a->data));
  CHECK(file_write_array(at("r.csv"), "a", a, &why) == STATUS_OK);
  CHECK(reads(read_csv, at("r.csv"), SHAPE(2, 2), a->data));
  for (int again = 0; again < 2; again++)
    CHECK(file_write_array(at("r.h5"), "x/y", a, &why) == STATUS_OK);
  dataset = "/x_y";
  CHECK(reads(read_dataset, at("r.h5"), SHAPE(2, 2), a->data));
  dataset = "x";
  CHECK(refuses(read_dataset, at("r.h5"), STATUS_FILE, "no dataset 'x'; the file holds /x_y"));
  dataset = "/";
  CHECK(refuses(read_dataset, at("r.h5"), STATUS_FILE, "no dataset '/'"));
  CHECK(refuses(read_dataset, csv("1"), STATUS_FILE, "not an HDF5 file"));
  CHECK(refuses(read_dataset, directory, STATUS_FILE, "not a regular file"));
  CHECK(refuses(read_dataset, at("none.h5"), STATUS_FILE, "No such file"));
  struct stat info;
  stat(at("r.h5"), &info);
  CHECK(truncate(at("r.h5"), info.st_size / 2) == 0);
  CHECK(refuses(read_dataset, at("r.h5"), STATUS_FILE, "damaged or cut off"));
  array_drop(a);
}

/* What is written as a table can be read again, under any name. */
static void test_csv_again(void) {
  Array *a = array_new(1, (size_t[]){4}), *none = array_new(2, (size_t[]){0, 3});
  memcpy(a->data, DATA(-NAN, INFINITY, -INFINITY, 0x1.8p-1074), 4 * sizeof(double));
  static const char *const names[] = {"a", "NA", "null", "inf", "nan", "x[0] + 1", "_", "e5"};
  char *why = NULL;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    CHECK(file_write_array(at("r.csv"), names[i], a, &why) == STATUS_OK);
    CHECK(reads(read_csv, at("r.csv"), SHAPE(4), a->data));
  }
  char *text = get(at("r.csv"));
  CHECK(!strncmp(text, "e5\nnan\ninf\n-inf\n", 16));
  free(text);
  CHECK(file_write_array(at("r.csv"), "a", none, &why) == STATUS_FILE && strstr(why, ".npy"));
  free(why);
  array_drop(a);
  array_drop(none);
}

static bool prints(FILE *stream, char **text, const char *expected) {
  fflush(stream);
  size_t length = (size_t)ftell(stream);
  bool good = length == strlen(expected) && memcmp(*text, expected, length) == 0;
  if (!good) printf("  %s\n", *text);
  rewind(stream);
  return good;
}

static void test_json(void) {
  char *text = NULL;
  size_t length;
  FILE *stream = open_memstream(&text, &length);
  Array *a = sample(), *s = array_scalar(NAN), *none = array_new(2, (size_t[]){0, 3});
  CHECK(file_json_line(stream, "a\"b[0]", a) == STATUS_OK);
  CHECK(prints(stream, &text,
               "{\"name\": \"a\\\"b[0]\", \"shape\": [2, 2], \"data\": [0.10000000000000001, -1.5, "
               "1.0000000000000001e+300, 7]}\n"));
  file_json_line(stream, "s", s);
  CHECK(prints(stream, &text, "{\"name\": \"s\", \"shape\": [], \"data\": [null]}\n"));
  file_json_line(stream, "none", none);
  CHECK(prints(stream, &text, "{\"name\": \"none\", \"shape\": [0, 3], \"data\": []}\n"));
  file_json_text(stream, "γ", "a\nb");
  CHECK(prints(stream, &text, "{\"name\": \"γ\", \"shape\": [], \"data\": \"a\\nb\"}\n"));
  file_json_text(stream, "x", "\xff");
  CHECK(prints(stream, &text, "{\"name\": \"x\", \"shape\": [], \"data\": \"?\"}\n"));
  fclose(stream);
  free(text);
  FILE *full = fopen("/dev/full", "w");
  if (full) {
    setvbuf(full, NULL, _IONBF, 0);
    CHECK(file_json_line(full, "a", a) == STATUS_FILE);
    fclose(full);
  }
  array_drop(a);
  array_drop(s);
  array_drop(none);
}

static Array *counting(int rank, const size_t *shape) {
  Array *a = array_new(rank, shape);
  for (size_t i = 0; i < a->size; i++) a->data[i] = (double)i;
  return a;
}

/* Stands for the solver that computes two-time fields late. */
static Status complete(Result *result, const char *name, char **why) {
  (void)name, (void)why;
  ResultField *field = result_find(result, "Phi", 1);
  if (!field->value) field->value = counting(4, (size_t[]){3, 2, 3, 2});
  return STATUS_OK;
}

static Result *make_result(void) {
  Result *result = result_new("dmft");
  result->complete = complete;
  result_note(result, "samples", "%d", 2000);
  result_note(result, "model", "net");
  result_note(result, "seed", "18446744073709551615");
  result_add(result, "t", 0, "t", "steps", counting(1, (size_t[]){3}), NULL);
  result_add(result, "f", 0, "t,mu,c", "outputs", counting(2, (size_t[]){3, 2}),
             counting(2, (size_t[]){3, 2}));
  result_add(result, "loss", 0, "t", "loss", counting(1, (size_t[]){3}), NULL);
  result_add(result, "alignment", 1, "t", "alignment", counting(1, (size_t[]){3}), NULL);
  result_add(result, "ntk", 0, "t,mu,nu", "kernel", counting(3, (size_t[]){3, 2, 2}), NULL);
  result_add(result, "Phi", 1, "t,a,s,b", "kernel", NULL, NULL);
  return result;
}

static void test_results(void) {
  Result *result = make_result();
  char *why = NULL;
  CHECK(file_write_result(at("r.csv"), result, NULL, &why) == STATUS_OK);
  char *text = get(at("r.csv"));
  CHECK(strcmp(text,
               "t,f_0,stderr_f_0,f_1,stderr_f_1,loss,alignment_1\n0,0,0,1,1,0,0\n1,2,2,3,3,1,1\n"
               "2,4,4,5,5,2,2\n") == 0);
  free(text);
  size_t large = 200000;
  char *script = memset(mem_new(large + 1, 1), '#', large);
  CHECK(file_write_result(at("r.h5"), result, script, &why) == STATUS_OK);
  dataset = "Phi/1";
  CHECK(refuses(read_dataset, at("r.h5"), STATUS_FILE, "no dataset"));
  dataset = "/stderr/f";
  CHECK(reads(read_dataset, at("r.h5"), SHAPE(3, 2), DATA(0, 1, 2, 3, 4, 5)));
  dataset = "Phi/1";
  CHECK(result_complete(result, NULL, &why) == STATUS_OK);
  CHECK(file_write_result(at("r.h5"), result, script, &why) == STATUS_OK);
  CHECK(reads(read_dataset, at("r.h5"), SHAPE(3, 2, 3, 2),
              result_find(result, "Phi", 1)->value->data));
  free(script);
  CHECK(file_write_result(at("r.json"), result, "print 1\n", &why) == STATUS_OK);
  text = get(at("r.json"));
  CHECK(strstr(text, "\"kind\": \"dmft\"") && strstr(text, "\"script\": \"print 1\\n\""));
  free(text);
  result_drop(result);
}

static bool same_array(const Array *a, const Array *b) {
  if (!a || !b) return a == b;
  return array_same_shape(a, b) && memcmp(a->data, b->data, a->size * sizeof *a->data) == 0;
}

static bool same_result(const Result *a, const Result *b) {
  bool same = strcmp(a->kind, b->kind) == 0 && a->exact == b->exact &&
              a->field_count == b->field_count && a->attribute_count == b->attribute_count &&
              strcmp(a->recipe.text, b->recipe.text) == 0 &&
              a->recipe.array_count == b->recipe.array_count;
  for (int i = 0; same && i < a->field_count; i++) {
    const ResultField *x = &a->fields[i], *y = result_find(b, x->name, x->layer);
    same = y && strcmp(x->about, y->about) == 0 && same_array(x->value, y->value) &&
           same_array(x->error, y->error);
  }
  for (int i = 0; same && i < a->attribute_count; i++)
    same = strcmp(a->attributes[i].name, b->attributes[i].name) == 0 &&
           strcmp(a->attributes[i].value, b->attributes[i].value) == 0;
  for (int i = 0; same && i < a->recipe.array_count; i++)
    same = strcmp(a->recipe.arrays[i].name, b->recipe.arrays[i].name) == 0 &&
           same_array(a->recipe.arrays[i].array, b->recipe.arrays[i].array);
  return same;
}

/* Every file that is not what was written is refused. */
static void test_result_read(void) {
  Result *result = make_result(), *again = NULL;
  char *why = NULL;
  result->recipe.text = mem_string("result = f(inputs)\n");
  recipe_add(&result->recipe, "inputs", counting(2, (size_t[]){2, 5}));
  CHECK(result_complete(result, NULL, &why) == STATUS_OK);
  CHECK(file_write_result(at("r.h5"), result, "print 1\n", &why) == STATUS_OK);
  CHECK(file_read_result(at("r.h5"), &again, &why) == STATUS_OK && same_result(result, again));
  result_drop(again);
  FILE *stream = fopen(at("r.h5"), "rb");
  static char bytes[1 << 18];
  size_t length = fread(bytes, 1, sizeof bytes, stream);
  fclose(stream);
  CHECK(length < sizeof bytes);
  int accepted = 0, refused = 0;
  for (size_t i = 0; i < length - 14; i += length / 61) {
    char was = bytes[i];
    bytes[i] ^= (char)(1 << i % 8);
    for (int cut = 0; cut < 2; cut++) {
      const char *path = put("damaged.h5", bytes, cut ? i : length);
      Status status = file_read_result(path, &again, &why);
      accepted += status == STATUS_OK;
      refused += status == STATUS_FILE;
      free(why);
      why = NULL;
    }
    bytes[i] = was;
  }
  CHECK(accepted == 0 && refused >= 2 * 61);
  CHECK(file_write_array(at("a.h5"), "a", result->fields[0].value, &why) == STATUS_OK);
  CHECK(file_read_result(at("a.h5"), &again, &why) == STATUS_FILE && strstr(why, "/a"));
  free(why);
  result_drop(result);
}

/* True when writing failed, gave a reason holding `part`, and left nothing of its own. */
static bool fails(Status status, Status expected, char **why, const char *part) {
  bool good = status == expected && *why && strstr(*why, part);
  if (!good) printf("  status %d: %s\n", status, *why ? *why : "(no reason)");
  free(*why);
  *why = NULL;
  return good;
}

static int leftovers(void) {
  int count = 0;
  DIR *open = opendir(directory);
  for (struct dirent *entry; (entry = readdir(open));)
    count += strstr(entry->d_name, ".tmp") != NULL;
  closedir(open);
  return count;
}

static void test_refused_writes(void) {
  Array *a = sample(), *deep = array_new(3, (size_t[]){1, 1, 1});
  Result *result = make_result();
  char *why = NULL;
  CHECK(fails(file_write_array(at("x.txt"), "a", a, &why), STATUS_FILE, &why, ".h5, .hdf5, .npy"));
  CHECK(fails(file_write_array(at("x"), "a", a, &why), STATUS_FILE, &why, "extension"));
  CHECK(fails(file_write_array(at("x.csv"), "a", deep, &why), STATUS_FILE, &why, "3 axes"));
  CHECK(fails(file_write_array(at("no/x.csv"), "a", a, &why), STATUS_FILE, &why, "No such file"));
  CHECK(fails(file_write_array_npy("/dev/null", a, &why), STATUS_FILE, &why, "not a regular file"));
  CHECK(fails(file_write_result(at("x.npy"), result, NULL, &why), STATUS_FILE, &why,
              ".npy holds one array"));
  CHECK(leftovers() == 0);
  result_drop(result);
  array_drop(a);
  array_drop(deep);
}

/* A limit on the size of files stands for the full disk. */
static void test_full_disk(void) {
  static const char *const names[] = {"full.h5", "full.npy", "full.csv", "full.json"};
  Array *big = array_new(1, (size_t[]){100000}), *small = sample();
  struct rlimit before, tight;
  signal(SIGXFSZ, SIG_IGN);
  getrlimit(RLIMIT_FSIZE, &before);
  tight = (struct rlimit){20000, before.rlim_max};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char *why = NULL;
    CHECK(file_write_array(at(names[i]), "a", small, &why) == STATUS_OK);
    char *earlier = get(at(names[i]));
    setrlimit(RLIMIT_FSIZE, &tight);
    CHECK(fails(file_write_array(at(names[i]), "a", big, &why), STATUS_FILE, &why, names[i]));
    setrlimit(RLIMIT_FSIZE, &before);
    char *later = get(at(names[i]));
    CHECK(memcmp(earlier, later, 1 << 16) == 0);
    free(earlier);
    free(later);
  }
  CHECK(leftovers() == 0);
  array_drop(big);
  array_drop(small);
}

static void test_links(void) {
  Array *a = sample();
  char *why = NULL;
  CHECK(file_write_array(at("real.npy"), "a", a, &why) == STATUS_OK);
  CHECK(chmod(at("real.npy"), 0600) == 0 && symlink("real.npy", at("link.npy")) == 0);
  struct stat link, real;
  CHECK(file_write_array(at("link.npy"), "a", a, &why) == STATUS_OK);
  CHECK(lstat(at("link.npy"), &link) == 0 && S_ISLNK(link.st_mode));
  CHECK(stat(at("real.npy"), &real) == 0 && (real.st_mode & 0777) == 0600);
  array_drop(a);
}

static void clean_up(void) {
  DIR *open = opendir(directory);
  for (struct dirent *entry; (entry = readdir(open));)
    if (entry->d_name[0] != '.') unlink(at(entry->d_name));
  closedir(open);
  rmdir(directory);
}

/* Work for a child that fails in every way that there is. */

static Status crash(void *context, char **why) {
  (void)context, (void)why;
  raise(SIGSEGV);
  return STATUS_OK;
}

static Status run_for_ever(void *context, char **why) {
  (void)why;
  for (volatile unsigned *count = context; *count < 2; *count ^= 1) continue;
  return STATUS_OK;
}

static Status leave_early(void *context, char **why) {
  (void)context, (void)why;
  exit(255);
}

/* Far more at once than any machine has: sanitizers take seconds to fill all there is bit by bit. */
static Status take_all(void *context, char **why) {
  (void)context, (void)why;
  return mem_new(1 << 20, 1 << 20) ? STATUS_OK : STATUS_NUMERICS;
}

static Status stop(void *context, char **why) {
  (void)context, (void)why;
  raise(SIGINT);
  return STATUS_OK;
}

static Status refuse(void *context, char **why) {
  (void)context;
  return file_fail(why, "it", STATUS_NUMERICS, "refused");
}

/* What the host does at exit is not done by a child. */
static void mark(void) { close(open(at("left"), O_CREAT | O_WRONLY, 0600)); }

static bool ends(Status (*work)(void *context, char **why), bool sound, Status expected,
                 const char *part) {
  unsigned context = 0;
  char *why = NULL;
  Status status =
      file_apart(&(Apart){.path = "it", .sound = sound, .context = &context, .work = work}, &why);
  bool good = status == expected && why && strstr(why, part);
  if (!good) fprintf(stderr, "  %d: %s\n", status, why);
  free(why);
  return good;
}

static void test_apart(void) {
  atexit(mark);
  CHECK(ends(crash, false, STATUS_FILE, "it: the HDF5 file is damaged: the HDF5 library crashes"));
  CHECK(ends(crash, true, STATUS_LIMIT, "it: out of memory"));
  CHECK(ends(run_for_ever, false, STATUS_FILE, "does not end within 2 s of processor time"));
  CHECK(ends(leave_early, false, STATUS_LIMIT, "it: out of memory"));
  CHECK(ends(take_all, false, STATUS_LIMIT, "it: out of memory"));
  CHECK(ends(stop, false, STATUS_INTERRUPTED, "interrupted"));
  CHECK(ends(refuse, false, STATUS_NUMERICS, "it: refused"));
  CHECK(access(at("left"), F_OK) < 0);
  signal(SIGCHLD, SIG_IGN); /* of hosts that wait for no child */
  CHECK(ends(crash, false, STATUS_FILE, "damaged"));
  CHECK(ends(refuse, false, STATUS_NUMERICS, "refused"));
  signal(SIGCHLD, SIG_DFL);
}

/* Texts of variable length lie in tables of their own, over which the library stumbles. */
static void test_hostile_hdf5(void) {
  const unsigned ordered = H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED;
  hid_t create = H5Pcreate(H5P_FILE_CREATE);
  H5Pset_attr_creation_order(create, ordered);
  H5Pset_link_creation_order(create, ordered);
  hid_t file = H5Fcreate(at("v.h5"), H5F_ACC_TRUNC, create, H5P_DEFAULT);
  H5Pclose(create);
  hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
  H5Tset_size(type, H5T_VARIABLE);
  hid_t attribute = H5Acreate2(file, "kind", type, space, H5P_DEFAULT, H5P_DEFAULT);
  H5Awrite(attribute, type, &(const char *){"dmft"});
  H5Aclose(attribute);
  H5Sclose(space);
  H5Tclose(type);
  H5Fclose(file);
  Result *result = NULL;
  char *why = NULL;
  CHECK(file_read_result(at("v.h5"), &result, &why) == STATUS_OK);
  CHECK(result && strcmp(result->kind, "dmft") == 0);
  result_drop(result);
  static char bytes[1 << 14];
  FILE *stream = fopen(at("v.h5"), "rb");
  size_t length = fread(bytes, 1, sizeof bytes, stream);
  fclose(stream);
  const char *table = memmem(bytes, length, "GCOL", 4);
  CHECK(table && length < sizeof bytes);
  for (size_t i = 4; table && i < 40; i++) {
    char *byte = &bytes[(size_t)(table - bytes) + i], was = *byte;
    *byte ^= (char)0x81;
    Status status = file_read_result(put("v.h5", bytes, length), &result, &why);
    CHECK(status == STATUS_OK || ((status == STATUS_FILE || status == STATUS_LIMIT) && why));
    result_drop(result);
    free(why);
    why = NULL;
    *byte = was;
  }
}

int main(void) {
  const char *base = getenv("TMPDIR");
  snprintf(directory, sizeof directory, "%s/dmf-file-XXXXXX", base ? base : "/tmp");
  if (!mkdtemp(directory)) return perror(directory), 1;
  test_csv();
  test_csv_headers();
  test_csv_numbers();
  test_npy();
  test_idx();
  test_damaged();
  test_gzip();
  test_cifar();
  test_bombs();
  test_apart();
  test_foreign_hdf5();
  test_hostile_hdf5();
  test_round_trips();
  test_csv_again();
  test_json();
  test_results();
  test_result_read();
  test_refused_writes();
  test_full_disk();
  test_links();
  clean_up();
  return check_done();
}
