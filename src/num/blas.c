/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "num/blas.h"
#include "base/memory.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/single_threaded.h>
#include <unistd.h>

/* The largest buffer that builds of OpenBLAS have on processors of 64 bits, and of 32; the library
 * with what it needs itself; the stack of a thread; what others may take between a trial and what
 * follows. */
enum { NARROW = sizeof(void *) < 8 };
static const size_t BUFFER = (size_t)1 << (NARROW ? 24 : 27),
                    LIBRARY = (size_t)1 << (NARROW ? 25 : 26), STACK = (size_t)1 << 23,
                    SPARE = (size_t)1 << 24;

static Blas blas;
static atomic_bool loaded;

static const struct {
  const char *name;
  size_t at;
} symbols[] = {
#define BLAS(own, name) {#name, offsetof(Blas, own)},
#include "num/blas.def"
};

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t given = PTHREAD_COND_INITIALIZER;
static atomic_int idle, waiting; /* buffers that nobody uses, and who waits for one */
static int buffers;              /* in all */
static bool still;               /* nobody may begin */

/* Whether so many bytes of addresses can be had at this moment. */
static bool can_be_had(size_t bytes) {
  void *trial =
      mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return trial != MAP_FAILED && munmap(trial, bytes) == 0;
}

static bool find_symbols(void *library) {
  for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
    void *found = dlsym(library, symbols[i].name);
    if (!found) return false;
    memcpy((char *)&blas + symbols[i].at, &found, sizeof found);
  }
  return true;
}

/* Its own symbols come first: there are 16000 to find, and a host may have others of these names.
 * Sanitizers, which stand in front of the C library, do not allow that. */
static int how_to_open(void) {
  bool watched = dlsym(RTLD_DEFAULT, "__sanitizer_set_report_path");
  return RTLD_LAZY | RTLD_LOCAL | (watched ? 0 : RTLD_DEEPBIND);
}

/* Without threads where this process has none, whose variables then nobody else reads. */
static void *open_library(void) {
  static const char name[] = "OPENBLAS_NUM_THREADS";
  if (!__libc_single_threaded) return dlopen(LIBOPENBLAS, how_to_open());
  char *before = getenv(name) ? mem_string(getenv(name)) : NULL;
  setenv(name, "1", true);
  void *library = dlopen(LIBOPENBLAS, how_to_open());
  if (before)
    setenv(name, before, true);
  else
    unsetenv(name);
  free(before);
  return library;
}

/* A product that needs a buffer, so that there is one from now on; false without memory for it.
 * Kernels for AVX-512 take none for general matrices of up to 100^3 products. */
static bool make_buffer(void) {
  enum { N = 128 };
  double *a = mem_try(N * N, sizeof *a), *c = mem_try(N * N, sizeof *c);
  bool fine = a && c;
  if (fine) blas.dsyrk(CblasRowMajor, CblasLower, CblasNoTrans, N, N, 1, a, N, 0, c, N);
  free(a);
  free(c);
  idle = buffers = fine;
  return fine;
}

static Status refuse(size_t bytes, char **why) {
  char *refusal = mem_refusal((double)bytes);
  *why = mem_format("%s: OpenBLAS with its buffers", refusal);
  free(refusal);
  return STATUS_LIMIT;
}

static Status load(char **why) {
  long processors = __libc_single_threaded ? 1 : sysconf(_SC_NPROCESSORS_ONLN);
  size_t bytes = LIBRARY + SPARE + (size_t)processors * (BUFFER + STACK);
  if (!can_be_had(bytes)) return refuse(bytes, why);
  errno = 0;
  void *library = open_library();
  if (!library || !find_symbols(library)) {
    bool starved = errno == ENOMEM;
    *why = starved ? mem_refusal(0) : mem_format("no OpenBLAS library: %s", dlerror());
    return starved ? STATUS_LIMIT : STATUS_FILE;
  }
  blas.set_threads(1);
  /* of which version 0.3.29 takes another one while it is loaded */
  if (!can_be_had(BUFFER + SPARE)) return refuse(BUFFER + SPARE, why);
  loaded = make_buffer();
  if (!loaded) *why = mem_refusal(0);
  return loaded ? STATUS_OK : STATUS_LIMIT;
}

Status blas_ready(char **why) {
  if (loaded) return STATUS_OK;
  pthread_mutex_lock(&turn);
  Status status = loaded ? STATUS_OK : load(why);
  pthread_mutex_unlock(&turn);
  return status;
}

const Blas *blas_now(void) {
  char *why = NULL;
  Status status = blas_ready(&why);
  if (status == STATUS_OK) return &blas;
  fprintf(stderr, "dmf: %s\n", why);
  exit(status);
}

static bool take_idle(void) {
  int count = idle;
  while (count > 0)
    if (atomic_compare_exchange_weak(&idle, &count, count - 1)) return true;
  return false;
}

const Blas *blas_take(void) {
  const Blas *functions = blas_now();
  if (take_idle()) return functions;
  pthread_mutex_lock(&turn);
  waiting++;
  bool makes = false;
  while (still || (!take_idle() && !(makes = can_be_had(BUFFER + SPARE))))
    pthread_cond_wait(&given, &turn);
  buffers += makes;
  waiting--;
  pthread_mutex_unlock(&turn);
  return functions;
}

void blas_give(void) {
  idle++;
  if (!waiting) return;
  pthread_mutex_lock(&turn);
  pthread_cond_broadcast(&given);
  pthread_mutex_unlock(&turn);
}

void blas_still(void) {
  blas_now();
  pthread_mutex_lock(&turn);
  waiting++;
  while (still) pthread_cond_wait(&given, &turn);
  still = true;
  for (int held = 0; (held += atomic_exchange(&idle, 0)) < buffers;)
    pthread_cond_wait(&given, &turn);
  waiting--;
  pthread_mutex_unlock(&turn);
}

void blas_begin_alone(void) {
  still = false;
  waiting = 0;
  idle = buffers;
}

void blas_go_on(void) {
  pthread_mutex_lock(&turn);
  still = false;
  idle = buffers;
  pthread_cond_broadcast(&given);
  pthread_mutex_unlock(&turn);
}
