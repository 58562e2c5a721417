/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Faults, for LD_PRELOAD: one allocation that fails, or one write, fsync, rename, close and the
 * like that fails, is torn, or is the last thing that the process does. faults.sh says what must
 * hold then.
 *
 *   FAULT_KIND  memory or files: what is counted
 *   FAULT_AT    the number of the one that fails, from 1; 0: none
 *   FAULT_EVERY so many behind it the next fails, an eighth more behind that the next, and so
 *               on; 0: no other
 *   FAULT_ABOVE allocations of no more bytes than that do not count
 *   FAULT_ONLY  a library, by a part of its path: allocations count that it makes, or has other
 * libraries make; not those of Python, which it may call back FAULT_HOW   of files: fail (nothing
 * happens), tear (half of it, then the disk is full), kill (half of it, and the process is gone),
 * halve (every read and write takes half of what it is given, and every other one of a pipe is
 * interrupted before it takes anything) FAULT_WHO   self or child: whether the process itself is
 * counted, or those that it forks FAULT_LIST  a file that gets the number of every first one of a
 * kind: those of memory that are reached through the same functions are of one kind, those of files
 * all differ FAULT_TRACE if not empty, the functions on the way to what fails go to standard error
 *
 * Without FAULT_KIND nothing fails; the clock stands still all the same.
 * Programs that are started, such as gnuplot, are left alone. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <link.h>
#include <unwind.h>
#include <unistd.h>

static const char *given(const char *name) {
  const char *value = getenv(name);
  return value ? value : "";
}

/* What all processes share. */
typedef struct Ledger {
  long count;
  bool full; /* after a torn write nothing fits any more */
} Ledger;

static Ledger *ledger; /* NULL: not begun, or nothing is counted here */
static bool memory, children, halves;
static long fails_at, every, above;
static const char *how = "fail", *only;
static int list = -1;
static pid_t self;
static __thread bool inside; /* what the shim itself does does not count */

/* Kinds of allocations: a set of hashes of the functions on the way */

enum { KINDS = 1 << 16, DEPTH = 9, OWN = 3 };
static uint64_t *kinds;

static bool is_new_kind(void) {
  void *frames[DEPTH];
  int count = backtrace(frames, DEPTH);
  uint64_t hash = 1469598103934665603u;
  for (int i = OWN; i < count; i++) hash = (hash ^ (uint64_t)frames[i]) * 1099511628211u;
  for (uint64_t at = hash % KINDS;; at = (at + 1) % KINDS) {
    if (kinds[at] == hash) return false;
    if (kinds[at]) continue;
    kinds[at] = hash;
    return true;
  }
}

static void note(long number) {
  char text[32];
  int length = snprintf(text, sizeof text, "%ld\n", number);
  if (!memory || is_new_kind()) syscall(SYS_write, list, text, (size_t)length);
}

/* Ends the way where it meets the library that alone counts, or Python. */
static _Unwind_Reason_Code look(struct _Unwind_Context *frame, void *found) {
  struct dl_find_object object;
  if (_dl_find_object((void *)_Unwind_GetIP(frame), &object) != 0) return _URC_NO_REASON;
  const char *name = object.dlfo_link_map->l_name;
  if (strstr(name, only)) return *(bool *)found = true, _URC_END_OF_STACK;
  return *name && !strstr(name, "python") ? _URC_NO_REASON : _URC_END_OF_STACK;
}

static bool is_of_library(void) {
  bool found = false;
  _Unwind_Backtrace(look, &found);
  return found;
}

/* Whether this one is to fail. */
static bool strikes(bool of_memory) {
  if (!ledger || inside || memory != of_memory || children != (getpid() != self)) return false;
  inside = true;
  if (only && !is_of_library()) return inside = false;
  long number = __atomic_add_fetch(&ledger->count, 1, __ATOMIC_RELAXED);
  if (list >= 0) note(number);
  bool fails = number == fails_at;
  if (fails) {
    fails_at += every;
    every += every / 8; /* not for ever at one place of what is done again */
  }
  if (fails && *given("FAULT_TRACE")) {
    void *frames[64];
    backtrace_symbols_fd(frames, backtrace(frames, 64), STDERR_FILENO);
  }
  inside = false;
  return fails;
}

/* Memory. Under AddressSanitizer its allocator stands behind this one. */

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t),
    *__libc_memalign(size_t, size_t);
extern void *__interceptor_malloc(size_t) __attribute__((weak));
extern void *__interceptor_calloc(size_t, size_t) __attribute__((weak));
extern void *__interceptor_realloc(void *, size_t) __attribute__((weak));
extern int __interceptor_posix_memalign(void **, size_t, size_t) __attribute__((weak));

static bool starves(size_t size) {
  if ((double)size <= (double)above || !strikes(true)) return false;
  errno = ENOMEM;
  return true;
}

void *malloc(size_t size) {
  if (starves(size)) return NULL;
  return __interceptor_malloc ? __interceptor_malloc(size) : __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
  if (starves(count * size)) return NULL;
  return __interceptor_calloc ? __interceptor_calloc(count, size) : __libc_calloc(count, size);
}

void *realloc(void *block, size_t size) {
  if (starves(size)) return NULL;
  return __interceptor_realloc ? __interceptor_realloc(block, size) : __libc_realloc(block, size);
}

int posix_memalign(void **block, size_t alignment, size_t size) {
  if (starves(size)) return ENOMEM;
  if (__interceptor_posix_memalign) return __interceptor_posix_memalign(block, alignment, size);
  *block = __libc_memalign(alignment, size);
  return *block ? 0 : ENOMEM;
}

/* Files */

static ssize_t put(int file, const void *bytes, size_t length) {
  return syscall(SYS_write, file, bytes, length);
}

static void die(void) {
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

/* What becomes of an operation: 0, or -1 when it does not take place. */
static int fate(void) {
  if (ledger && ledger->full && !memory && !inside) return errno = ENOSPC, -1;
  if (!strikes(false)) return 0;
  if (strcmp(how, "kill") == 0) die();
  ledger->full = strcmp(how, "tear") == 0;
  errno = ledger->full ? ENOSPC : EIO;
  return -1;
}

static bool is_file(int descriptor) {
  struct stat about;
  return fstat(descriptor, &about) == 0 && S_ISREG(about.st_mode) && about.st_nlink > 0;
}

/* With signals about, and where a pipe or a disk has little room: a part, or of a pipe nothing yet.
 */
static ssize_t some(long call, int file, void *bytes, size_t length) {
  static long turn;
  if (!is_file(file) && __atomic_fetch_add(&turn, 1, __ATOMIC_RELAXED) % 2)
    return errno = EINTR, -1;
  return syscall(call, file, bytes, (length + 1) / 2);
}

ssize_t read(int file, void *bytes, size_t length) {
  return halves ? some(SYS_read, file, bytes, length) : syscall(SYS_read, file, bytes, length);
}

static bool is_written(int descriptor) {
  int flags = fcntl(descriptor, F_GETFL);
  return flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
}

ssize_t write(int file, const void *bytes, size_t length) {
  if (halves) return some(SYS_write, file, (void *)bytes, length);
  if (!ledger || memory || !is_file(file)) return put(file, bytes, length);
  if (ledger->full) return errno = ENOSPC, -1;
  if (!strikes(false)) return put(file, bytes, length);
  if (strcmp(how, "fail") == 0) return errno = EIO, -1;
  ssize_t half = put(file, bytes, length / 2);
  if (strcmp(how, "kill") == 0) die();
  ledger->full = true;
  return half;
}

/* What was written is not on its way after all: the descriptor is free all the same. */
int close(int file) {
  bool fails = ledger && !memory && !ledger->full && is_file(file) && is_written(file) && fate();
  int reason = errno;
  int done = (int)syscall(SYS_close, file);
  return fails ? errno = reason, -1 : done;
}

int fsync(int file) { return fate() ? -1 : (int)syscall(SYS_fsync, file); }

int rename(const char *from, const char *to) {
  return fate() ? -1 : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int mkdir(const char *path, mode_t mode) {
  return fate() ? -1 : (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

int open(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return flags & O_CREAT && fate() ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

/* Streams write through functions of the C library that cannot be taken over; those that are opened
 * for writing become streams that write through `write`. */

static ssize_t put_cookie(void *cookie, const char *bytes, size_t length) {
  size_t done = 0;
  for (ssize_t n = 1; done < length && n > 0; done += n > 0 ? (size_t)n : 0)
    n = write((int)(intptr_t)cookie, bytes + done, length - done);
  return (ssize_t)done;
}

static int close_cookie(void *cookie) { return close((int)(intptr_t)cookie); }

FILE *fopen(const char *path, const char *mode) {
  static FILE *(*real)(const char *, const char *);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "fopen");
  if (!ledger || memory || *mode != 'w') return real(path, mode);
  int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) return NULL;
  return fopencookie((void *)(intptr_t)file, "w",
                     (cookie_io_functions_t){.write = put_cookie, .close = close_cookie});
}

/* Time stands still, so that files are the same whenever they are written. */

int clock_gettime(clockid_t clock, struct timespec *now) {
  (void)clock;
  *now = (struct timespec){.tv_sec = 1000000000};
  return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  (void)zone;
  *now = (struct timeval){.tv_sec = 1000000000};
  return 0;
}

time_t time(time_t *now) {
  if (now) *now = 1000000000;
  return 1000000000;
}

/* Begin */

__attribute__((constructor)) static void begin(void) {
  const char *kind = given("FAULT_KIND");
  unsetenv("LD_PRELOAD");
  if (!*kind) return;
  memory = strcmp(kind, "memory") == 0;
  children = strcmp(given("FAULT_WHO"), "child") == 0;
  fails_at = atol(given("FAULT_AT"));
  every = atol(given("FAULT_EVERY"));
  above = atol(given("FAULT_ABOVE"));
  if (*given("FAULT_HOW")) how = getenv("FAULT_HOW");
  if (*given("FAULT_ONLY")) only = getenv("FAULT_ONLY");
  halves = strcmp(how, "halve") == 0;
  if (halves) fails_at = 0;
  if (*given("FAULT_LIST")) {
    void *frames[DEPTH];
    backtrace(frames, DEPTH); /* the first one loads a library */
    list = (int)syscall(SYS_openat, AT_FDCWD, getenv("FAULT_LIST"),
                        O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  }
  self = getpid();
  void *shared = mmap(NULL, sizeof *ledger + KINDS * sizeof *kinds, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) abort();
  ledger = shared;
  kinds = (uint64_t *)(ledger + 1);
}
