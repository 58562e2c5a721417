/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Products against triple loops, factors and least squares against their defining properties,
 * running moments against two passes. */
#include "base/memory.h"
#include "check.h"
#include "num/blas.h"
#include "num/linalg.h"
#include "num/random.h"
#include "num/stats.h"
#include "num/thin.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static double *random_block(size_t count, uint64_t stream) {
  double *block = mem_block(count);
  random_normals(3, stream, 0, count, block);
  return block;
}

/* ---- products ---- */

enum { NEITHER, FIRST, SECOND };

/* One entry of alpha op(A) op(B) + beta C; `which` is the transposed factor. */
static double entry(int which, size_t i, size_t j, size_t k, double alpha, const double *a,
                    size_t lda, const double *b, size_t ldb, double beta, double c) {
  double sum = 0;
  for (size_t p = 0; p < k; p++)
    sum += (which == FIRST ? a[p * lda + i] : a[i * lda + p]) *
           (which == SECOND ? b[j * ldb + p] : b[p * ldb + j]);
  return alpha * sum + beta * c;
}

static void check_product(int which, size_t m, size_t n, size_t k) {
  size_t lda = (which == FIRST ? m : k) + 3, ldb = (which == SECOND ? k : n) + 2, ldc = n + 1;
  double *a = random_block((m + k) * lda, 1), *b = random_block((n + k) * ldb, 2),
         *c = random_block(m * ldc, 3);
  double *before = mem_block(m * ldc), worst = 0, alpha = -0.7, beta = 0.3;
  memcpy(before, c, m * ldc * sizeof *c);
  double flops = which == NEITHER ? mat_mul(m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
                 : which == FIRST ? mat_mul_at(m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
                                  : mat_mul_bt(m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  bool margin = true;
  for (size_t i = 0; i < m; i++) {
    for (size_t j = 0; j < n; j++)
      worst = fmax(worst, fabs(c[i * ldc + j] - entry(which, i, j, k, alpha, a, lda, b, ldb, beta,
                                                      before[i * ldc + j])));
    margin = margin && c[i * ldc + n] == before[i * ldc + n];
  }
  CHECK(worst < 1e-13 * (double)(k + 1));
  CHECK(margin);
  CHECK(flops == 2.0 * (double)m * (double)n * (double)k);
  free(a);
  free(b);
  free(c);
  free(before);
}

/* Sums of whole numbers are exact, in any order and in both precisions. */
#define CHECK_THIN(REAL, suffix)                                                                   \
  static void check_thin##suffix(int lanes, size_t m, size_t n, size_t k) {                        \
    size_t lda = k + 1, ldb = (n > k ? n : k) + 1, ldc = n + 1;                                    \
    REAL *a = mem_new(m * lda, sizeof *a), *b = mem_new((n + k) * ldb, sizeof *b),                 \
         *c = mem_new(m * ldc, sizeof *c), *bt = mem_new(m * ldc, sizeof *bt);                     \
    double *x = mem_block(m * lda), *y = mem_block((n + k) * ldb);                                 \
    for (size_t i = 0; i < m * lda; i++) a[i] = (REAL)(x[i] = (double)(i * 7 % 11) - 5);           \
    for (size_t i = 0; i < (n + k) * ldb; i++) b[i] = (REAL)(y[i] = (double)(i * 5 % 13) - 6);     \
    for (size_t i = 0; i < m * ldc; i++) c[i] = bt[i] = (REAL)(i % 3);                             \
    thin_mul##suffix(lanes, m, n, k, -2, a, lda, 1, b, ldb, 3, c, ldc);                            \
    thin_mul_bt##suffix(lanes, m, n, k, -2, a, lda, b, ldb, 3, bt, ldc);                           \
    bool same = true;                                                                              \
    for (size_t i = 0; i < m * ldc; i++) {                                                         \
      double before = (double)(i % 3);                                                             \
      size_t r = i / ldc, j = i % ldc;                                                             \
      double one = entry(NEITHER, r, j % n, k, -2, x, lda, y, ldb, 3, before),                     \
             two = entry(SECOND, r, j % n, k, -2, x, lda, y, ldb, 3, before);                      \
      same = same && c[i] == (j == n ? before : one) && bt[i] == (j == n ? before : two);          \
    }                                                                                              \
    CHECK(same);                                                                                   \
    free(a);                                                                                       \
    free(b);                                                                                       \
    free(c);                                                                                       \
    free(bt);                                                                                      \
    free(x);                                                                                       \
    free(y);                                                                                       \
  }

CHECK_THIN(double, )
CHECK_THIN(float, _single)

/* Every tile and every remainder, with the widest vectors that there are here and with narrower; of
 * deep products some. */
static void test_thin(void) {
  static const size_t depths[] = {1, 3, 8, 21, 300, 1030};
  for (int lanes = thin_lanes(4, 4, 4); lanes >= 4; lanes /= 2)
    for (size_t m = 1; m <= 17; m++)
      for (size_t d = 0; d < sizeof depths / sizeof *depths; d++)
        for (size_t n = 1; n <= 59; n += m % 3 + (depths[d] < 100 ? 1 : 11)) {
          check_thin(lanes, m, n, depths[d]);
          check_thin_single(lanes, m, n, depths[d]);
        }
  for (int lanes = thin_lanes(4, 4, 4); lanes >= 4; lanes /= 2)
    for (size_t m = 1; m <= 8; m += m == 1 ? 4 : 3) { /* a matrix from memory */
      check_thin(lanes, m, 1043, 1027);
      check_thin_single(lanes, m, 1043, 1027);
    }
  CHECK(thin_lanes(4, 4, 0) == 0 && thin_lanes(1000, 1000, 1000) == 0);
  double *a = random_block(9 * 50, 1), c[9 * 9];
  mat_mul_bt(9, 9, 50, 0.3, a, 50, a, 50, 0, c, 9);
  bool symmetric = true;
  for (size_t i = 0; i < 81; i++) symmetric = symmetric && c[i] == c[i % 9 * 9 + i / 9];
  CHECK(symmetric);
  free(a);
}

/* In single precision, where one side is short and where none is. */
static void test_single(void) {
  static const size_t sizes[][3] = {{4, 96, 48}, {96, 48, 5}, {70, 80, 90}, {1, 1, 0}};
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    size_t m = sizes[s][0], n = sizes[s][1], k = sizes[s][2], side = 100;
    float *a = mem_new(side * side, sizeof *a), *b = mem_new(side * side, sizeof *b),
          *c = mem_new(3 * m * n, sizeof *c);
    double *x = random_block(side * side, 5), *y = random_block(side * side, 6), worst = 0;
    for (size_t i = 0; i < side * side; i++) a[i] = (float)x[i], b[i] = (float)y[i];
    mat_mul_single(m, n, k, 2, a, side, b, side, 0, c, n);
    mat_mul_at_single(m, n, k, 2, a, side, b, side, 0, c + m * n, n);
    mat_mul_bt_single(m, n, k, 2, a, side, b, side, 0, c + 2 * m * n, n);
    for (int which = NEITHER; which <= SECOND; which++)
      for (size_t i = 0; i < m * n; i++)
        worst = fmax(worst, fabs(c[(size_t)which * m * n + i] -
                                 entry(which, i / n, i % n, k, 2, x, side, y, side, 0, 0)));
    CHECK(worst < 1e-6 * (double)(k + 1));
    free(a);
    free(b);
    free(c);
    free(x);
    free(y);
  }
  CHECK(mat_stride_single(1) == 16 && mat_stride_single(512) == 528);
}

/* A few rows, and more than are rounded at a time. */
static void test_mixed(void) {
  static const size_t sizes[][3] = {{3, 40, 70}, {300, 30, 2000}, {5, 2000, 9}, {2, 3, 0}};
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    size_t m = sizes[s][0], n = sizes[s][1], k = sizes[s][2], ld = (n > k ? n : k) + 3, ldc = n + 1;
    double *a = random_block(m * (k + 2), 1), *b = random_block((n + k) * ld, 2),
           *c = random_block(m * ldc, 3), *bt = mem_block(m * ldc), worst = 0;
    float *single = mem_new((n + k) * ld, sizeof *single);
    narrow((n + k) * ld, b, single);
    widen((n + k) * ld, single, b);
    double before = c[0], margin = c[n];
    double flops = mat_mul_mixed(m, n, k, -2, a, k + 2, single, ld, 1, c, ldc);
    mat_mul_bt_mixed(m, n, k, 3, a, k + 2, single, ld, 0, bt, ldc);
    worst = fabs(c[0] - entry(NEITHER, 0, 0, k, -2, a, k + 2, b, ld, 1, before));
    for (size_t i = 0; i < m; i++)
      for (size_t j = 0; j < n; j++)
        worst =
            fmax(worst, fabs(bt[i * ldc + j] - entry(SECOND, i, j, k, 3, a, k + 2, b, ld, 0, 0)));
    CHECK(worst < 1e-5 * sqrt((double)(k + 1)));
    CHECK(c[n] == margin && flops == 2.0 * (double)m * (double)n * (double)k);
    free(a);
    free(b);
    free(c);
    free(bt);
    free(single);
  }
}

static void test_products(void) {
  static const size_t shapes[][3] = {{1, 1, 1}, {3, 5, 7},    {8, 1, 20},
                                     {1, 9, 4}, {33, 17, 65}, {5, 6, 0}};
  for (int which = NEITHER; which <= SECOND; which++)
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
      check_product(which, shapes[s][0], shapes[s][1], shapes[s][2]);
  CHECK(mat_mul(0, 3, 2, 1, NULL, 2, NULL, 3, 0, NULL, 3) == 0);
  double x[] = {1, 2, 3}, y[] = {4, 5, 6};
  CHECK(dot(3, x, y) == 32 && dot(0, x, y) == 0);
  axpy(3, 2, x, y);
  CHECK(y[0] == 6 && y[1] == 9 && y[2] == 12);
}

/* ---- mat_root ---- */

/* B B^T for B[n, rank]. */
static double *gram(size_t n, size_t rank) {
  double *b = random_block(n * rank, 4), *a = mem_block(n * n);
  mat_mul_bt(n, n, rank, 1, b, rank, b, rank, 0, a, n);
  free(b);
  return a;
}

static double root_error(size_t n, int rank, const double *a, const double *f) {
  double worst = 0;
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j < n; j++)
      worst = fmax(worst, fabs(dot((size_t)rank, f + i * n, f + j * n) - a[i * n + j]));
  return worst;
}

static void test_root(void) {
  static const size_t cases[][2] = {{1, 1}, {6, 6}, {6, 2}, {12, 1}, {20, 7}, {2050, 5}};
  for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
    size_t n = cases[k][0];
    double *a = gram(n, cases[k][1]), *f = mem_block(n * n);
    int rank = mat_root(n, a, f);
    CHECK(rank >= (int)cases[k][1] && rank <= (int)n);
    CHECK(rank > 0 && root_error(n, rank, a, f) < 1e-12);
    CHECK(n < 2000 || rank == (int)cases[k][1]); /* by pivots, which know no more directions */
    free(a);
    free(f);
  }
  double zero[4] = {0}, f[4], duplicate[] = {1, 1, 1, 1};
  CHECK(mat_root(2, zero, f) == 0);
  CHECK(mat_root(2, duplicate, f) == 1 && root_error(2, 1, duplicate, f) < 1e-15);
  CHECK(mat_root(2, (double[]){1, 2, 2, 1}, f) == -1);
  CHECK(mat_root(2, (double[]){-1, 0, 0, -1}, f) == -1);
  CHECK(mat_root(2, (double[]){1, NAN, NAN, 1}, f) == -1);
  CHECK(mat_root(2, (double[]){INFINITY, 0, 0, 1}, f) == -1);
  /* rounding may leave a semidefinite matrix slightly indefinite */
  CHECK(mat_root(2, (double[]){1, 1 + 1e-12, 1 + 1e-12, 1}, f) == 1);
}

/* ---- mat_solve_least ---- */

/* The solution x[k] of one right-hand side: residual and size. */
static void check_least(size_t m, size_t k, size_t rank) {
  size_t count = 3, lda = k + 2, ldb = m + 1, ldx = k + 4;
  double *left = random_block(m * rank, 5), *right = random_block(rank * k, 6),
         *a = mem_block(m * lda);
  double *truth = random_block(count * k, 7), *b = mem_block(count * ldb),
         *x = mem_block(count * ldx);
  mat_mul(m, k, rank, 1, left, rank, right, k, 0, a, lda);
  for (size_t c = 0; c < count; c++)
    for (size_t i = 0; i < m; i++) b[c * ldb + i] = dot(k, a + i * lda, truth + c * k);
  CHECK(mat_solve_least(m, k, a, lda, count, b, ldb, 1e-10, x, ldx) == 0);
  double residual = 0, aslant = 0;
  for (size_t c = 0; c < count; c++) {
    for (size_t i = 0; i < m; i++)
      residual = fmax(residual, fabs(dot(k, a + i * lda, x + c * ldx) - b[c * ldb + i]));
    /* the smallest solution x is orthogonal to the null space, where truth - x lies */
    double overlap = 0;
    for (size_t j = 0; j < k; j++) overlap += x[c * ldx + j] * (truth[c * k + j] - x[c * ldx + j]);
    aslant = fmax(aslant, fabs(overlap));
  }
  CHECK(residual < 1e-10);
  CHECK(aslant < 1e-9);
  free(left);
  free(right);
  free(a);
  free(truth);
  free(b);
  free(x);
}

static void test_least(void) {
  check_least(5, 5, 5);
  check_least(9, 4, 4);
  check_least(4, 9, 4);
  check_least(8, 8, 3);
  check_least(6, 10, 2);
  /* no solution: the mean is the least-squares one */
  double x;
  CHECK(mat_solve_least(4, 1, (double[]){1, 1, 1, 1}, 1, 1, (double[]){1, 2, 3, 6}, 4, 1e-10, &x,
                        1) == 0);
  CHECK(fabs(x - 3) < 1e-14);
}

/* ---- moments ---- */

/* The relative error of the variance of n numbers with fourth cumulant k4 and variance s. */
static double expected_doubt(double n, double kurtosis) {
  double r = 2 / (kurtosis / n + 2 / (n - 1)), square = 2 / r;
  r = r < 4.5 ? 4.5 : r;
  return sqrt(square * r * (r + 4) / ((r - 2) * (r - 4)));
}

/* Of squares and fourth powers of deviations, means over n. */
static double expected_kurtosis(double n, double m2, double m4) {
  double k4 = n * n * ((n + 1) * m4 - 3 * (n - 1) * m2 * m2) / ((n - 1) * (n - 2) * (n - 3));
  return k4 / pow(m2 * n / (n - 1), 2);
}

static void check_moments(double centre, double spread, size_t n) {
  enum { SIZE = 3 };
  double *x = random_block(n * SIZE, 8), mean[SIZE], error[SIZE], variance[SIZE], doubt[SIZE];
  for (size_t i = 0; i < n * SIZE; i++) x[i] = centre + spread * x[i];
  Moments moments;
  CHECK(moments_start(&moments, SIZE, 4));
  for (size_t i = 0; i < n; i++) moments_add(&moments, x + i * SIZE);
  moments_mean(&moments, mean, error);
  moments_variance(&moments, 2, variance, doubt);
  moments_free(&moments);
  double kurtosis[SIZE], all = 0, count = (double)n;
  for (size_t k = 0; k < SIZE; k++) {
    double a = 0, m2 = 0, m4 = 0;
    for (size_t i = 0; i < n; i++) a += x[i * SIZE + k] / count;
    for (size_t i = 0; i < n; i++) {
      m2 += pow(x[i * SIZE + k] - a, 2) / count;
      m4 += pow(x[i * SIZE + k] - a, 4) / count;
    }
    all += (kurtosis[k] = expected_kurtosis(count, m2, m4)) / SIZE;
    CHECK(fabs(mean[k] - a) <= 1e-15 * (fabs(centre) + spread) * 10);
    CHECK(fabs(error[k] - sqrt(m2 / (count - 1))) < 1e-6 * error[k]);
    CHECK(fabs(variance[k] - 2 * m2 * count / (count - 1)) < 1e-6 * variance[k]);
  }
  for (size_t k = 0; k < SIZE; k++) {
    double own = fmax(0, kurtosis[k] + 32 / count * all);
    CHECK(fabs(doubt[k] - variance[k] * expected_doubt(count, own)) < 1e-5 * doubt[k]);
  }
  free(x);
}

/* Over many ensembles of few members, variances deviate by their stated errors: of normal numbers,
 * and, but for what so few cannot show, of their exponentials. */
static void check_coverage(size_t members, double sharpness, double lowest, double highest) {
  enum { SIZE = 4, TRIES = 1000 };
  double variance[SIZE], doubt[SIZE], squares = 0, within = 0, number[SIZE],
                                      e = exp(sharpness * sharpness),
                                      exact = sharpness > 0 ? (e - 1) * e : 1;
  for (uint64_t k = 0; k < TRIES; k++) {
    Moments moments;
    CHECK(moments_start(&moments, SIZE, 4));
    for (size_t j = 0; j < members; j++) {
      random_normals(5, k, j * SIZE, SIZE, number);
      for (int i = 0; i < SIZE && sharpness > 0; i++) number[i] = exp(sharpness * number[i]);
      moments_add(&moments, number);
    }
    moments_variance(&moments, 1, variance, doubt);
    moments_free(&moments);
    for (int i = 0; i < SIZE; i++) {
      double z = (variance[i] - exact) / doubt[i];
      squares += z * z / (SIZE * TRIES);
      within += (fabs(z) < 2 ? 1.0 : 0) / (SIZE * TRIES);
    }
  }
  CHECK(sqrt(squares) > lowest && sqrt(squares) < highest && within > 0.93);
}

static void test_coverage(void) {
  for (size_t members = 8; members <= 64; members *= 2) check_coverage(members, 0, 0.65, 1.15);
  for (size_t members = 8; members <= 64; members *= 2) check_coverage(members, 0.2, 0.65, 1.25);
}

static void test_moments(void) {
  check_moments(0, 1, 1000);
  check_moments(-3, 0.01, 50);
  check_moments(1, 1e-7, 200);
  check_moments(1e6, 1e-2, 200);
  check_moments(2, 1, 4);

  Moments moments;
  double value[2] = {5, 5}, error[2] = {9, 9}, constant[2] = {0.1, -7};
  CHECK(moments_start(&moments, 2, 4));
  moments_add(&moments, constant);
  moments_mean(&moments, value, error);
  CHECK(value[0] == 0.1 && value[1] == -7 && error[0] == 0);
  moments_variance(&moments, 1, value, error);
  CHECK(value[0] == 0 && error[0] == 0);
  for (int i = 0; i < 9; i++) moments_add(&moments, constant);
  moments_mean(&moments, value, error);
  CHECK(value[0] == 0.1 && error[0] == 0);
  moments_variance(&moments, 1, value, error);
  CHECK(value[1] == 0 && error[1] == 0);
  moments_free(&moments);

  /* of two there is no kurtosis, but an error */
  CHECK(moments_start(&moments, 2, 4));
  moments_add(&moments, (double[]){1, 2});
  moments_add(&moments, (double[]){3, 2});
  moments_variance(&moments, 1, value, error);
  CHECK(value[0] == 2 && fabs(error[0] - 2 * sqrt(variance_doubt(2, 0))) < 1e-14 && error[1] == 0);
  moments_free(&moments);
  /* -3, -1, 1, 3: sums of squares and of fourth powers 20 and 164, k4 / k2^2 = -1.2 */
  CHECK(fabs(excess_kurtosis(4, 20, 20, 20, 164) + 1.2) < 1e-12);

  /* fourth powers beyond all numbers are the heaviest tail, of one entry or of all */
  CHECK(moments_start(&moments, 2, 4));
  for (int i = 0; i < 400; i++)
    moments_add(&moments, (double[]){i % 2, i == 7 ? 1e100 : -1e90 * (i % 3)});
  moments_variance(&moments, 1, value, error);
  CHECK(error[1] > 0.7 * value[1]);
  moments_free(&moments);
}

/* Bytes of addresses that the process has. */
static double addresses(void) {
  double pages = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  CHECK(file && fscanf(file, "%lf", &pages) == 1);
  if (file) fclose(file);
  return pages * (double)sysconf(_SC_PAGE_SIZE);
}

/* What blas.c asks for before it loads OpenBLAS is what that takes, and little more; but for a
 * buffer, for which it asks again. */
static void test_blas(void) {
  const double buffer = sizeof(void *) < 8 ? 1 << 24 : 1 << 27,
               most = buffer + (sizeof(void *) < 8 ? 1 << 25 : 1 << 26) + (1 << 24);
  char *why = NULL;
  double before = addresses();
  CHECK(blas_ready(&why) == STATUS_OK && !why);
  double took = addresses() - before;
  CHECK(took <= most + buffer && took > most / 2);
  CHECK(blas_ready(&why) == STATUS_OK);
  blas_take();
  blas_give();
  CHECK(addresses() - before - took <= 1 << 20); /* the buffer that is there is used again */
}

int main(void) {
  test_blas();
  test_products();
  test_thin();
  test_single();
  test_mixed();
  test_root();
  test_least();
  test_moments();
  test_coverage();
  return check_done();
}
