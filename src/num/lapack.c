/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "num/lapack.h"
#include "base/child.h"
#include "base/memory.h"
#include "base/work.h"
#include "num/blas.h"

#include <float.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* Large factorizations */

/* A call with what it is given, what it takes, in multiplications of a naive loop, and what it
 * makes: that comes back from the child. */
typedef struct Job Job;
struct Job {
  int (*work)(const Job *job);
  double products;
  struct {
    void *at;
    size_t bytes;
  } made[3];
  bool vectors;
  char triangle;
  size_t m, n, count;
  double *a, *x, *values, *u, *v, rcond;
  int *pivots;
};

/* What the process may still take is all that the child may: it begins at zero. */
static void bound_time(void) {
  struct rlimit limit;
  struct rusage used;
  if (getrlimit(RLIMIT_CPU, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY) return;
  getrusage(RUSAGE_SELF, &used);
  double taken = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec);
  child_bound(RLIMIT_CPU, fmax(1, (double)limit.rlim_cur - taken));
}

static void run_child(void *context, int to) {
  const Job *job = context;
  child_settle();
  blas_begin_alone();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  bound_time();
  int outcome = job->work(job);
  child_put(to, &outcome, sizeof outcome);
  for (size_t i = 0; i < sizeof job->made / sizeof *job->made; i++)
    child_put(to, job->made[i].at, job->made[i].bytes);
}

static int work_there(const Job *job, pid_t child, int from) {
  int outcome;
  bool whole = child_take(from, &outcome, sizeof outcome);
  for (size_t i = 0; i < sizeof job->made / sizeof *job->made && whole; i++)
    whole = child_take(from, job->made[i].at, job->made[i].bytes);
  int end = child_end(child, from, !whole);
  if (!whole && WIFSIGNALED(end) && WTERMSIG(end) == SIGXCPU) raise(SIGXCPU);
  return whole ? outcome : -1;
}

/* Whether it is worth a child, which writes to what it was given on pages of its own. */
static bool goes_apart(const Job *job) {
  double bytes = (double)job->m * (double)job->n * sizeof(double);
  for (size_t i = 0; i < sizeof job->made / sizeof *job->made; i++)
    bytes += (double)job->made[i].bytes;
  return job->products > work_patience() && child_possible() && mem_fits(bytes);
}

static int run(const Job *job) {
  int from;
  if (work_stopped()) return -1;
  if (!goes_apart(job)) return job->work(job);
  blas_still();
  pid_t child = child_begin(run_child, (void *)job, &from);
  blas_go_on();
  return child < 0 ? job->work(job) : work_there(job, child, from);
}

/* The calls */

static const int ask = -1;

static int at_least_one(size_t n) { return n ? (int)n : 1; }

/* What is row-major here is column-major there. */
static void transpose(size_t n, double *a) {
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j < i; j++) {
      double x = a[i * n + j];
      a[i * n + j] = a[j * n + i];
      a[j * n + i] = x;
    }
}

static int eigen(const Job *job) {
  const char *wanted = job->vectors ? "V" : "N", *triangle = &job->triangle;
  size_t n = job->n;
  int size = (int)n, lda = at_least_one(n), integers, info = -1;
  double length, *a = job->a, *values = job->values;
  const Blas *blas = blas_take();
  transpose(n, a);
  blas->dsyevd(wanted, triangle, &size, a, &lda, values, &length, &ask, &integers, &ask, &info, 1,
               1);
  int doubles = (int)length;
  double *work = mem_room((size_t)length);
  int *iwork = mem_try((size_t)integers, sizeof *iwork);
  info = -1;
  if (work && iwork)
    blas->dsyevd(wanted, triangle, &size, a, &lda, values, work, &doubles, iwork, &integers, &info,
                 1, 1);
  blas_give();
  free(work);
  free(iwork);
  if (job->vectors) transpose(n, a);
  return info;
}

static double cube(size_t n) { return (double)n * (double)n * (double)n; }

int lapack_eigen(bool vectors, char triangle, size_t n, double *a, double *values) {
  return run(&(Job){
      .work = eigen,
      .products = cube(n),
      .made = {{values, n * sizeof *values}, {a, vectors ? n * n * sizeof *a : 0}},
      .vectors = vectors,
      .triangle = triangle,
      .m = n,
      .n = n,
      .a = a,
      .values = values,
  });
}

static int factor(const Job *job) {
  int size = (int)job->n, lda = at_least_one(job->n), info;
  transpose(job->n, job->a);
  blas_take()->dgetrf(&size, &size, job->a, &lda, job->pivots, &info);
  blas_give();
  transpose(job->n, job->a);
  return info;
}

/* Products of matrices are faster than what diagonalizes by so much. */
enum { SWIFT = 8 };

int lapack_lu(size_t n, double *a, int *pivots) {
  return run(&(Job){
      .work = factor,
      .products = cube(n) / SWIFT,
      .made = {{a, n * n * sizeof *a}, {pivots, n * sizeof *pivots}},
      .m = n,
      .n = n,
      .a = a,
      .pivots = pivots,
  });
}

/* The largest sum of sizes in a column. */
static double norm_of(size_t n, const double *a) {
  double norm = 0;
  for (size_t j = 0; j < n; j++) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += fabs(a[i * n + j]);
    norm = fmax(norm, sum);
  }
  return norm;
}

static int solve(const Job *job) {
  size_t n = job->n, count = job->count;
  double *a = job->a, *x = job->x;
  int size = (int)n, lda = at_least_one(n), columns = (int)count, info = -1;
  int *pivots = mem_try(2 * n, sizeof *pivots);
  double *work = mem_room(4 * n), *b = mem_room(n * count), norm = norm_of(n, a), reciprocal = 0;
  const Blas *blas = blas_take();
  if (pivots && work && b) {
    transpose(n, a);
    blas->dgetrf(&size, &size, a, &lda, pivots, &info);
    if (info == 0)
      blas->dgecon("1", &size, a, &lda, &norm, &reciprocal, work, pivots + n, &info, 1);
    if (info == 0 && !(reciprocal >= DBL_EPSILON)) info = 1;
  }
  if (info == 0) {
    for (size_t i = 0; i < n * count; i++) b[i % count * n + i / count] = x[i];
    blas->dgetrs("N", &size, &columns, a, &lda, pivots, b, &lda, &info, 1);
    for (size_t i = 0; i < n * count; i++) x[i] = b[i % count * n + i / count];
  }
  blas_give();
  free(pivots);
  free(work);
  free(b);
  return info;
}

int lapack_solve(size_t n, double *a, size_t count, double *x) {
  return run(&(Job){
      .work = solve,
      .products = (cube(n) + (double)n * (double)n * (double)count) / SWIFT,
      .made = {{x, n * count * sizeof *x}},
      .m = n,
      .n = n,
      .count = count,
      .a = a,
      .x = x,
  });
}

/* Of the transpose, A^T = V^T S U^T. */
static int singular(const Job *job) {
  size_t m = job->m, n = job->n, smaller = m < n ? m : n;
  double *a = job->a, *values = job->values, *u = job->u, *v = job->v;
  const char *wanted = u ? "S" : "N";
  int rows = (int)n, cols = (int)m, lda = at_least_one(n), ldu = lda, ldv = at_least_one(smaller),
      info = -1;
  int *iwork = mem_try(8 * smaller, sizeof *iwork);
  double length = 0;
  if (!iwork) return -1;
  const Blas *blas = blas_take();
  blas->dgesdd(wanted, &rows, &cols, a, &lda, values, v, &ldu, u, &ldv, &length, &ask, iwork, &info,
               1);
  int doubles = (int)length;
  double *work = mem_room((size_t)length);
  info = -1;
  if (work)
    blas->dgesdd(wanted, &rows, &cols, a, &lda, values, v, &ldu, u, &ldv, work, &doubles, iwork,
                 &info, 1);
  blas_give();
  free(work);
  free(iwork);
  return info;
}

int lapack_svd(size_t m, size_t n, double *a, double *values, double *u, double *v) {
  size_t r = m < n ? m : n;
  return run(&(Job){
      .work = singular,
      .products = (double)m * (double)n * (double)r,
      .made = {{values, r * sizeof *values},
               {u, u ? m * r * sizeof *u : 0},
               {v, u ? r * n * sizeof *v : 0}},
      .m = m,
      .n = n,
      .a = a,
      .values = values,
      .u = u,
      .v = v,
  });
}

static int least(const Job *job) {
  size_t m = job->m, n = job->n, count = job->count, longest = m > n ? m : n;
  double *a = job->a, *b = job->x, rcond = job->rcond;
  int rows = (int)m, cols = (int)n, sides = (int)count, lda = at_least_one(m),
      ldb = at_least_one(longest), rank, info = -1;
  int *pivots = mem_try(n, sizeof *pivots);
  double length = 0;
  if (!pivots) return -1;
  const Blas *blas = blas_take();
  blas->dgelsy(&rows, &cols, &sides, a, &lda, b, &ldb, pivots, &rcond, &rank, &length, &ask, &info);
  int doubles = (int)length;
  double *work = mem_room((size_t)length);
  info = -1;
  if (work)
    blas->dgelsy(&rows, &cols, &sides, a, &lda, b, &ldb, pivots, &rcond, &rank, work, &doubles,
                 &info);
  blas_give();
  free(work);
  free(pivots);
  return info;
}

int lapack_least(size_t m, size_t n, double *a, size_t count, double *b, double rcond) {
  size_t longest = m > n ? m : n, shortest = m > n ? n : m;
  return run(&(Job){
      .work = least,
      .products = (double)m * (double)n * (double)shortest,
      .made = {{b, longest * count * sizeof *b}},
      .m = m,
      .n = n,
      .count = count,
      .a = a,
      .x = b,
      .rcond = rcond,
  });
}
