/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Every operation on arrays, reader and picture looks for an interrupt as it works: no less often
 * than once in a block of numbers, and it ends soon after it was told to. No time is measured: the
 * watch counts how often it is asked, and answers from a certain time on. tests/layers.sh holds
 * that each function of arrayops.h that gives an array stands here. */
#include "base/work.h"
#include "file/file.h"
#include "num/arrayops.h"
#include "num/lapack.h"
#include "num/random.h"
#include "output/gnuplot.h"
#include "output/plot.h"

#include "check.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BLOCKS = 4, SIZE = BLOCKS * WORK_BLOCK, SIDE = 512, FEW = 40 };

static const char *why;
static long asked, yes_from;

static bool answer(void *context) {
  (void)context;
  return ++asked >= yes_from;
}

static void watch_from(long from, double patience) {
  asked = 0;
  yes_from = from;
  work_watch((Watch){answer, NULL, patience});
}

/* What operations work on. */
static Array *v, *ends, *square, *even, *column, *mask, *none, *few, *wide;

static Array *cube(size_t n) {
  Array *a = array_new(2, (size_t[]){n, n});
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j < n; j++)
      a->data[i * n + j] =
          cos((double)(i * j)) + cos((double)(i + j)) + (i == j ? 3 * (double)n : 0);
  return a;
}

static double twice(double x) { return 2 * x; }
static double sum_of(double x, double y) { return x + y; }
static Array *map(void) { return array_map(v, twice, &why); }
static Array *zip(void) { return array_zip(v, v, sum_of, &why); }
static Array *broadcast(void) { return array_zip(column, square, sum_of, &why); }
static Array *truth(void) { return array_truth(v, &why); }
static Array *choose(void) { return array_select(v, v, v, &why); }
static Array *index_slice(void) {
  return array_index(v, 1, &(Subscript){.kind = SUBSCRIPT_SLICE}, &why);
}
static Array *index_list(void) {
  return array_index(v, 1, &(Subscript){.kind = SUBSCRIPT_LIST, .list = v}, &why);
}
static Array *index_mask(void) {
  return array_index(v, 1, &(Subscript){.kind = SUBSCRIPT_MASK, .list = mask}, &why);
}
static Array *index_row(void) {
  return array_index(even, 1, &(Subscript){.kind = SUBSCRIPT_AT, .at = 1}, &why);
}
static Array *full(void) { return array_full(1, (size_t[]){SIZE}, 1, &why); }
static Array *eye(void) { return array_eye(FEW, &why); }
static Array *linspace(void) { return array_linspace(0, 1, SIZE, &why); }
static Array *logspace(void) { return array_logspace(0, 1, SIZE, &why); }
static Array *range(void) { return array_range(0, SIZE - 1, 1, &why); }
static Array *stack(void) { return array_stack(2, (const Array *[]){v, v}, &why); }
static Array *concat(void) { return array_concat(2, (const Array *[]){v, v}, &why); }
static Array *reshape(void) { return array_reshape(v, 2, (double[]){-1, 2}, &why); }
static Array *transpose(void) { return array_transpose(square, &why); }
static Array *diag(void) { return array_diag(few, &why); }
static Array *diag_of(void) { return array_diag(square, &why); }

#define REDUCED(id)                                                                                \
  static Array *all_##id(void) { return array_reduce(v, REDUCE_##id, &why); }                      \
  static Array *axis_##id(void) { return array_reduce_axis(even, REDUCE_##id, 1, &why); }          \
  static Array *lines_##id(void) { return array_reduce_axis(square, REDUCE_##id, 0, &why); }
#define REDUCTIONS(X)                                                                              \
  X(SUM)                                                                                           \
  X(MEAN) X(STD) X(VAR) X(KURTOSIS) X(MIN) X(MAX) X(PROD) X(ANY) X(ALL) X(ARGMIN) X(ARGMAX)
REDUCTIONS(REDUCED)

static Array *finite_all(void) { return array_reduce_finite(v, REDUCE_MEAN, NULL, &why); }
static Array *finite_axis(void) {
  return array_reduce_finite(even, REDUCE_MEAN, &(double){1}, &why);
}
static Array *sort(void) { return array_sort(v, 0, &why); }
static Array *argsort(void) { return array_argsort(v, 0, &why); }
static Array *sort_columns(void) { return array_sort(square, 0, &why); }
static Array *cumsum(void) { return array_cumsum(v, 0, &why); }
static Array *diff(void) { return array_diff(v, 0, &why); }
static Array *interp(void) { return array_interp(v, ends, ends, &why); }
static Array *interp_long(void) { return array_interp(few, v, v, &why); }
static Array *softmax_line(void) { return array_softmax(v, false, &why); }
static Array *softmax_rows(void) { return array_softmax(square, true, &why); }
static Array *quantile(void) { return array_quantile(v, few, &why); }
static Array *histogram(void) { return array_histogram(v, 10, 0, SIZE, &why); }
static Array *bins(void) { return array_histogram(few, SIZE, 0, 1, &why); }
static Array *matmul(void) { return array_matmul(wide, wide, &why); }
static Array *dot(void) { return array_dot(v, v, &why); }
static Array *outer(void) { return array_outer(v, ends, &why); }
static Array *outer_wide(void) { return array_outer(ends, v, &why); }
static Array *trace(void) { return array_trace(none, &why); }
static Array *solve(void) { return array_solve(square, column, &why); }
static Array *inverse(void) { return array_inverse(square, &why); }
static Array *det(void) { return array_det(square, &why); }
static Array *eigenvalues(void) { return array_eigenvalues(square, &why); }
static Array *eigenvectors(void) { return array_eigenvectors(square, &why); }
static Array *svd(void) { return array_svd(square, &why); }
static Array *norm(void) { return array_norm(v, &why); }
static Array *permutation(void) {
  Array *a = array_range(1, SIZE, 1, &why);
  if (a) random_permutation(1, 2, a->size, a->data);
  return work_stopped() ? array_drop(a), array_full(0, NULL, 0, &why) : a;
}

#define REDUCED_ROWS(id)                                                                           \
  {"reduce " #id, all_##id, BLOCKS}, {"reduce lines " #id, lines_##id, SIDE},                      \
      {"reduce axis " #id, axis_##id, BLOCKS},

/* How often an operation asks at least: once for each block of the numbers that it goes through, or
 * for a piece that takes its time by other means. */
static const struct {
  const char *name;
  Array *(*run)(void);
  long least;
} operations[] = {
    {"map", map, BLOCKS},
    {"zip", zip, BLOCKS},
    {"zip, broadcast", broadcast, BLOCKS},
    {"truth", truth, 2 * BLOCKS},
    {"select", choose, 2 * BLOCKS},
    {"index, slice", index_slice, 3 * BLOCKS},
    {"index, list", index_list, 3 * BLOCKS},
    {"index, mask", index_mask, 3 * BLOCKS},
    {"index, row", index_row, BLOCKS / 2},
    {"full", full, BLOCKS},
    {"eye", eye, 2},
    {"linspace", linspace, BLOCKS},
    {"logspace", logspace, 2 * BLOCKS},
    {"range", range, BLOCKS},
    {"stack", stack, 2 * BLOCKS},
    {"concat", concat, 2 * BLOCKS},
    {"reshape", reshape, BLOCKS},
    {"transpose", transpose, BLOCKS},
    {"diag of a vector", diag, 2},
    {"diag of a matrix", diag_of, 2},
    REDUCTIONS(REDUCED_ROWS) /* */
    {"finite", finite_all, 2 * BLOCKS},
    {"finite, axis", finite_axis, 2 * BLOCKS},
    {"sort", sort, 5 * BLOCKS},
    {"argsort", argsort, 5 * BLOCKS},
    {"sort of columns", sort_columns, 3 * SIDE},
    {"cumsum", cumsum, BLOCKS},
    {"diff", diff, BLOCKS},
    {"interp", interp, BLOCKS},
    {"interp, many points", interp_long, BLOCKS - 1},
    {"softmax of a line", softmax_line, 3 * (BLOCKS - 1)},
    {"softmax of rows", softmax_rows, SIDE},
    {"quantile", quantile, 6 * BLOCKS},
    {"histogram", histogram, BLOCKS},
    {"histogram, many bins", bins, BLOCKS},
    {"matmul", matmul, 9},
    {"dot", dot, 3},
    {"outer", outer, BLOCKS},
    {"outer, wide", outer_wide, 2 * BLOCKS},
    {"trace", trace, BLOCKS},
    {"solve", solve, 2 * BLOCKS},
    {"inverse", inverse, 2 * BLOCKS},
    {"det", det, 2 * BLOCKS},
    {"eigenvalues", eigenvalues, 3 * BLOCKS + SIDE},
    {"eigenvectors", eigenvectors, 3 * BLOCKS + SIDE},
    {"svd", svd, 2 * BLOCKS},
    {"norm", norm, BLOCKS},
    {"permutation", permutation, 2 * BLOCKS},
};

static bool same(const Array *a, const Array *b) {
  return array_same_shape(a, b) && memcmp(a->data, b->data, a->size * sizeof *a->data) == 0;
}

/* Told to end when it is asked for the n-th time, an operation fails, and asks no more than a few
 * times for what it leaves off: each of its loops once. */
static void stop_at(const char *name, Array *(*run)(void), long n, double patience) {
  enum { LOOPS = 20 };
  watch_from(n, patience);
  Array *out = run();
  bool good = !out && array_failure() == STATUS_INTERRUPTED && asked < n + LOOPS;
  if (!good) printf("%s, stopped at %ld: asked %ld\n", name, n, asked);
  CHECK(good);
  work_watch((Watch){0});
  array_drop(out);
}

static void test_operations(void) {
  for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
    const double patience = operations[i].run == matmul ? 1e5 : 1e12;
    work_watch((Watch){0});
    Array *plain = operations[i].run();
    watch_from(LONG_MAX, patience);
    Array *watched = operations[i].run();
    long times = asked;
    if (times < operations[i].least)
      printf("%s: asked %ld times, not %ld\n", operations[i].name, times, operations[i].least);
    CHECK(plain && watched && times >= operations[i].least && same(plain, watched));
    array_drop(plain);
    array_drop(watched);
    stop_at(operations[i].name, operations[i].run, 1, patience);
    stop_at(operations[i].name, operations[i].run, times / 2, patience);
    stop_at(operations[i].name, operations[i].run, times, patience);
  }
}

/* Stable, and nan last, across the blocks that are sorted by themselves. */
static void test_order(void) {
  Array *x = array_new(1, (size_t[]){SIZE + 3});
  for (size_t i = 0; i < x->size; i++) x->data[i] = i % 1001 ? (double)(i * 7919 % 97) : NAN;
  Array *sorted = array_sort(x, 0, &why), *order = array_argsort(x, 0, &why);
  bool good = sorted && order;
  for (size_t i = 0; good && i < x->size; i++) {
    size_t at = (size_t)order->data[i], before = i ? (size_t)order->data[i - 1] : 0;
    bool is_nan = isnan(x->data[at]),
         ties = i && (x->data[before] == x->data[at] || (is_nan && isnan(x->data[before])));
    good = is_nan ? isnan(sorted->data[i]) != 0 : sorted->data[i] == x->data[at];
    if (i) good &= ties ? before < at : is_nan || x->data[before] < x->data[at];
  }
  CHECK(good);
  array_drop(x);
  array_drop(sorted);
  array_drop(order);
}

static void test_tiles(void) {
  const size_t m = 70, k = 33, n = 90;
  Array *a = array_new(2, (size_t[]){m, k}), *b = array_new(2, (size_t[]){k, n});
  for (size_t i = 0; i < a->size; i++) a->data[i] = (double)(i % 13) - 6;
  for (size_t i = 0; i < b->size; i++) b->data[i] = (double)(i % 17) - 8;
  work_watch((Watch){0});
  Array *whole = array_matmul(a, b, &why);
  for (double patience = 1; patience < 1e6; patience *= 3) {
    watch_from(LONG_MAX, patience);
    Array *tiled = array_matmul(a, b, &why);
    CHECK(whole && tiled && same(whole, tiled)); /* whole numbers are exact in any order */
    array_drop(tiled);
  }
  work_watch((Watch){0});
  array_drop(whole);
  array_drop(a);
  array_drop(b);
}

static Array *on_few(Array *(*run)(void)) {
  Array *kept = square, *out;
  square = few;
  out = run();
  square = kept;
  return out;
}

/* Each factorization by a child: to the bit what the process gives itself, and no child is left
 * when it was told to end while it waited. */
static void test_children(void) {
  Array *small = cube(FEW), *side = array_new(1, (size_t[]){FEW}), *kept[] = {few, column};
  Array *(*const factors[])(void) = {solve, inverse, det, eigenvalues, eigenvectors, svd};
  for (size_t i = 0; i < FEW; i++) side->data[i] = (double)i;
  few = small;
  column = side;
  for (size_t i = 0; i < sizeof factors / sizeof *factors; i++) {
    watch_from(LONG_MAX, 1e12);
    Array *here = on_few(factors[i]);
    long times = asked;
    watch_from(LONG_MAX, 1);
    Array *there = on_few(factors[i]);
    CHECK(here && there && same(here, there) && asked > times);
    watch_from(times, 1);
    Array *stopped = on_few(factors[i]);
    CHECK(!stopped && array_failure() == STATUS_INTERRUPTED);
    work_watch((Watch){0});
    CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
    array_drop(here);
    array_drop(there);
    array_drop(stopped);
  }
  few = kept[0];
  column = kept[1];
  array_drop(small);
  array_drop(side);
}

/* The vectors of a singular value decomposition, and the nearest solution, which only solvers want.
 */
static void test_other_children(void) {
  enum { M = 5, N = 3 };
  double outcome[2][M * M + N * N + N + 3 * M];
  for (int apart = 0; apart < 2; apart++) {
    double a[M * N], b[M * N], *u = outcome[apart], *v_t = u + M * N, *s = v_t + N * N, *x = s + N;
    memset(outcome[apart], 0, sizeof outcome[apart]);
    for (size_t i = 0; i < M * N; i++) a[i] = b[i] = cos((double)(i * i));
    for (size_t i = 0; i < M; i++) x[i] = (double)i;
    watch_from(LONG_MAX, apart ? 1 : 1e12);
    CHECK(lapack_svd(M, N, a, s, u, v_t) == 0);
    CHECK(lapack_least(M, N, b, 1, x, 1e-9) == 0);
    work_watch((Watch){0});
  }
  CHECK(memcmp(outcome[0], outcome[1], sizeof outcome[0]) == 0 && outcome[0][0] != 0);
}

/* Readers */

static const char *const formats[] = {"npy", "csv", "idx", "cifar10", "labels", "hdf5", "gzip"};

static Status read_as(size_t format, const char *path, Array **array, char **reason) {
  char *header = NULL;
  Status status = STATUS_FILE;
  switch (format) {
  case 0: return file_read_npy(path, array, reason);
  case 2: return file_read_idx(path, array, reason);
  case 3: return file_read_cifar10(path, array, reason);
  case 4: return file_read_cifar10_labels(path, array, reason);
  case 5: return file_read_hdf5(path, "/x", array, reason);
  default: status = file_read_csv(path, array, &header, reason);
  }
  free(header);
  return status;
}

/* A file of each kind with the numbers of `v`; of bytes where the format has them. */
static void write_as(size_t format, const char *path) {
  char *reason = NULL, *command;
  FILE *out = format == 2 || format == 3 || format == 4 ? fopen(path, "w") : NULL;
  if (format == 2) fwrite("\0\0\x08\x01\0\x04\0\0", 1, 8, out); /* BLOCKS << 16 */
  for (size_t i = 0; out && i < (format == 2 ? (size_t)SIZE : 3073 * (size_t)BLOCKS * 100); i++)
    fputc(0, out);
  if (out) fclose(out);
  if (format == 0) CHECK(file_write_array_npy(path, v, &reason) == STATUS_OK);
  if (format == 1 || format == 6) CHECK(file_write_array_csv(path, "x", v, &reason) == STATUS_OK);
  if (format == 5) CHECK(file_write_array_hdf5(path, "x", v, &reason) == STATUS_OK);
  if (format == 6 && asprintf(&command, "gzip -f %s && mv %s.gz %s", path, path, path) > 0) {
    CHECK(system(command) == 0);
    free(command);
  }
}

static void test_readers(void) {
  char path[] = "test_interrupt.XXXXXX";
  int made = mkstemp(path);
  CHECK(made >= 0);
  close(made);
  for (size_t k = 0; k < sizeof formats / sizeof *formats; k++) {
    char *reason = NULL;
    Array *array = NULL;
    write_as(k, path);
    watch_from(LONG_MAX, 1e12);
    Status status = read_as(k, path, &array, &reason);
    long times = asked;
    if (status || times < BLOCKS) printf("%s: %s, asked %ld\n", formats[k], reason, times);
    CHECK(status == STATUS_OK && times >= BLOCKS);
    array_drop(array);
    free(reason);
    for (int half = 0; half <= 2; half++) {
      reason = NULL;
      /* how often it waits for a child is not known */
      watch_from(!half ? 1 : k == 5 ? 2 : times * half / 2, 1e12);
      status = read_as(k, path, &array, &reason);
      CHECK(status == STATUS_INTERRUPTED && !array && strcmp(reason, "interrupted") == 0);
      free(reason);
      work_watch((Watch){0});
    }
  }
  unlink(path);
}

/* What is saved looks, too, and leaves what was there. */
static void test_writers(void) {
  Status (*const writers[])(const char *, const char *, const Array *, char **) = {
      file_write_array_csv, file_write_array_json, file_write_array_hdf5};
  char path[] = "test_interrupt.XXXXXX", *reason = NULL;
  close(mkstemp(path));
  for (size_t i = 0; i < 4; i++) {
    watch_from(i == 2 ? 1 : 3, 1e12); /* how often it waits for a child is not known */
    Status status =
        i < 3 ? writers[i](path, "x", v, &reason) : file_write_array_npy(path, v, &reason);
    CHECK(status == STATUS_INTERRUPTED);
    work_watch((Watch){0});
    free(reason);
    reason = NULL;
    FILE *file = fopen(path, "r");
    CHECK(file && fgetc(file) == EOF);
    if (file) fclose(file);
  }
  unlink(path);
}

static Status draw_to(const char *path, const Plot *plot, long from) {
  char *reason = NULL;
  watch_from(from, 1e12);
  Status status = plot_write(plot, path, &reason);
  work_watch((Watch){0});
  CHECK(status == STATUS_OK || strcmp(reason, "interrupted") == 0);
  free(reason);
  return status;
}

/* A picture of many numbers, and one that another program draws for longer than anybody waits. */
static void test_pictures(void) {
  static const char *const paths[] = {"test_interrupt.gp", "test_interrupt.txt"};
  PlotCurve curve = {.count = SIZE, .x = v->data, .y = v->data};
  PlotPanel panels[] = {{.curves = &curve, .curve_count = 1}, {.heat = square}};
  for (size_t i = 0; i < 3; i++) {
    const char *path = paths[i % 2];
    Plot plot = {&panels[i / 2], 1, NULL};
    CHECK(draw_to(path, &plot, LONG_MAX) == STATUS_OK && asked >= BLOCKS);
    CHECK(unlink(path) == 0);
    CHECK(draw_to(path, &plot, 2) == STATUS_INTERRUPTED && access(path, F_OK) < 0);
  }
  char *output = NULL, *reason = NULL, slow[] = "exec sleep 100000";
  size_t size;
  bool missing;
  setenv("DMF_GNUPLOT", "sh", 1);
  watch_from(3, 1e12);
  Status status = gnuplot_run(slow, strlen(slow), &output, &size, &missing, &reason);
  work_watch((Watch){0});
  CHECK(status == STATUS_INTERRUPTED && !missing && !output && strcmp(reason, "interrupted") == 0);
  CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
  free(reason);
}

int main(void) {
  v = array_range(0, SIZE - 1, 1, &why);
  mask = array_full(1, (size_t[]){SIZE}, 1, &why);
  ends = array_range(0, 1, 1, &why);
  square = cube(SIDE);
  even = array_full(2, (size_t[]){2, SIZE / 2}, 1, &why);
  column = array_full(2, (size_t[]){SIDE, 1}, 1, &why);
  few = array_linspace(0, 1, FEW, &why);
  none = array_full(3, (size_t[]){SIZE, 1, 1}, 1, &why);
  wide = array_full(2, (size_t[]){100, 100}, 1, &why);
  test_operations();
  test_order();
  test_tiles();
  test_children();
  test_other_children();
  test_readers();
  test_writers();
  test_pictures();
  Array *all[] = {v, mask, ends, square, even, column, few, none, wide};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) array_drop(all[i]);
  return check_done();
}
