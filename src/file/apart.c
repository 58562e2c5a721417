/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "file/apart.h"
#include "base/child.h"
#include "base/memory.h"
#include "base/work.h"
#include "file/io.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Sending */

static void put_size(int to, size_t size) { child_put(to, &size, sizeof size); }

static void put_text(int to, const char *text) {
  put_size(to, text ? strlen(text) : SIZE_MAX);
  if (text) child_put(to, text, strlen(text));
}

void file_send_array(int to, const Array *array) {
  put_size(to, array ? (size_t)array->rank : SIZE_MAX);
  if (!array) return;
  child_put(to, array->shape, (size_t)array->rank * sizeof *array->shape);
  child_put(to, array->data, array->size * sizeof *array->data);
}

static void put_recipe(int to, const ResultRecipe *recipe) {
  put_text(to, recipe->text);
  put_size(to, (size_t)recipe->array_count);
  for (int i = 0; i < recipe->array_count; i++) {
    put_text(to, recipe->arrays[i].name);
    file_send_array(to, recipe->arrays[i].array);
  }
}

static void put_scatter(int to, const Scatter *scatter) {
  put_size(to, scatter ? (size_t)scatter->count : 0);
  for (int k = 0; scatter && k < scatter->count; k++) {
    child_put(to, &scatter->list[k].id, sizeof scatter->list[k].id);
    child_put(to, &scatter->list[k].weight, sizeof scatter->list[k].weight);
    file_send_array(to, scatter->list[k].move);
  }
}

static void put_axes(int to, const Axes *axes) {
  put_size(to, axes ? (size_t)axes->count : 0);
  for (int i = 0; axes && i < axes->count; i++) {
    put_text(to, axes->list[i].name);
    file_send_array(to, axes->list[i].at);
  }
}

void file_send_result(int to, const Result *result) {
  put_text(to, result->kind);
  put_size(to, result->exact);
  put_size(to, (size_t)result->attribute_count);
  for (int i = 0; i < result->attribute_count; i++) {
    put_text(to, result->attributes[i].name);
    put_text(to, result->attributes[i].value);
  }
  put_size(to, (size_t)result->field_count);
  for (int i = 0; i < result->field_count; i++) {
    const ResultField *field = &result->fields[i];
    put_text(to, field->name);
    put_size(to, (size_t)field->layer);
    put_text(to, field->axes);
    put_text(to, field->about);
    file_send_array(to, field->value);
    file_send_array(to, field->error);
    put_scatter(to, field->scatter);
    put_axes(to, field->along);
  }
  put_recipe(to, &result->recipe);
}

/* Taking */

static bool take_size(int from, size_t *size) { return child_take(from, size, sizeof *size); }

/* *text is NULL where NULL was sent, and where nothing comes. */
static bool take_text(int from, char **text) {
  size_t length;
  *text = NULL;
  if (!take_size(from, &length)) return false;
  if (length == SIZE_MAX) return true;
  if ((double)length > mem_available() || !(*text = malloc(length + 1))) return false;
  (*text)[length] = 0;
  if (child_take(from, *text, length)) return true;
  free(*text);
  *text = NULL;
  return false;
}

Status file_take_array(int from, const char *path, Array **array, char **why) {
  size_t rank, shape[ARRAY_MAX_RANK];
  *array = NULL;
  if (!take_size(from, &rank)) return STATUS_FILE;
  if (rank == SIZE_MAX) return STATUS_OK;
  if (rank > ARRAY_MAX_RANK || !child_take(from, shape, rank * sizeof *shape)) return STATUS_FILE;
  Status status = file_new_array(path, (int)rank, shape, array, why);
  if (status || child_take(from, (*array)->data, (*array)->size * sizeof *(*array)->data))
    return status;
  array_drop(*array);
  *array = NULL;
  return STATUS_FILE;
}

/* A text that must be there, and an array that belongs to it. */
static Status take_recipe_array(int from, const char *path, ResultRecipe *recipe, char **why) {
  char *name;
  Array *array;
  if (!take_text(from, &name) || !name) return STATUS_FILE;
  Status status = file_take_array(from, path, &array, why);
  if (!status) recipe_add(recipe, name, array);
  free(name);
  return status;
}

static Status take_recipe(int from, const char *path, ResultRecipe *recipe, char **why) {
  size_t count;
  if (!take_text(from, &recipe->text) || !take_size(from, &count)) return STATUS_FILE;
  Status status = STATUS_OK;
  for (size_t i = 0; i < count && !status; i++) status = take_recipe_array(from, path, recipe, why);
  return status;
}

static bool take_attribute(int from, Result *result) {
  char *name, *value = NULL;
  bool good = take_text(from, &name) && name && take_text(from, &value) && value;
  if (good) result_note(result, name, "%s", value);
  free(name);
  free(value);
  return good;
}

/* *scatter stays NULL where none was sent. */
static Status take_scatter(int from, const char *path, Scatter **scatter, char **why) {
  size_t count;
  *scatter = NULL;
  if (!take_size(from, &count)) return STATUS_FILE;
  if (count) *scatter = scatter_new();
  for (size_t k = 0; k < count; k++) {
    uint64_t id;
    double weight;
    Array *move = NULL;
    bool good = child_take(from, &id, sizeof id) && child_take(from, &weight, sizeof weight);
    Status status = good ? file_take_array(from, path, &move, why) : STATUS_FILE;
    if (status || !move) return status ? status : STATUS_FILE;
    scatter_add(*scatter, id, weight, move);
  }
  return STATUS_OK;
}

/* *axes stays NULL where none were sent. */
static Status take_axes(int from, const char *path, Axes **axes, char **why) {
  size_t count;
  *axes = NULL;
  if (!take_size(from, &count) || count > ARRAY_MAX_RANK) return STATUS_FILE;
  if (count) *axes = axes_new((int)count);
  Status status = STATUS_OK;
  for (size_t i = 0; i < count && !status; i++) {
    Axis *axis = &(*axes)->list[i];
    status =
        take_text(from, &axis->name) ? file_take_array(from, path, &axis->at, why) : STATUS_FILE;
  }
  return status;
}

static Status take_field(int from, const char *path, Result *result, char **why) {
  char *name, *axes = NULL, *about = NULL;
  size_t layer;
  Array *value = NULL, *error = NULL;
  Scatter *scatter = NULL;
  Axes *along = NULL;
  bool good = take_text(from, &name) && name && take_size(from, &layer) && layer <= INT32_MAX &&
              take_text(from, &axes) && axes && take_text(from, &about) && about;
  Status status = good ? file_take_array(from, path, &value, why) : STATUS_FILE;
  if (!status) status = file_take_array(from, path, &error, why);
  if (!status) status = take_scatter(from, path, &scatter, why);
  if (!status) status = take_axes(from, path, &along, why);
  if (!status) {
    ResultField *field = result_add(result, name, (int)layer, axes, about, value, error);
    field->scatter = scatter;
    field->along = along;
  } else {
    array_drop(value);
    array_drop(error);
    scatter_drop(scatter);
    axes_drop(along);
  }
  free(name);
  free(axes);
  free(about);
  return status;
}

static Status take_into(int from, const char *path, Result *result, char **why) {
  size_t exact, attributes, fields;
  Status status = STATUS_OK;
  if (!take_size(from, &exact) || !take_size(from, &attributes)) return STATUS_FILE;
  result->exact = exact != 0;
  for (size_t i = 0; i < attributes; i++)
    if (!take_attribute(from, result)) return STATUS_FILE;
  if (!take_size(from, &fields)) return STATUS_FILE;
  for (size_t i = 0; i < fields && !status; i++) status = take_field(from, path, result, why);
  return status ? status : take_recipe(from, path, &result->recipe, why);
}

Status file_take_result(int from, const char *path, Result **result, char **why) {
  char *kind;
  *result = NULL;
  if (!take_text(from, &kind) || !kind) return STATUS_FILE;
  *result = result_new(kind);
  free(kind);
  Status status = take_into(from, path, *result, why);
  if (!status) return STATUS_OK;
  result_drop(*result);
  *result = NULL;
  return status;
}

/* The child */

/* Seconds of processor time. A megabyte may unpack to a thousand, which takes some seconds. */
static double seconds_for(const Apart *apart) { return 2 + ceil(apart->bytes / 2e5); }

/* What the process has of addresses now, and may have besides: what is free, and a lump for the
 * library itself. */
static void bound_memory(void) {
  const double own = 0x1p28;
  double pages = 0;
  FILE *sizes = fopen("/proc/self/statm", "re");
  if (!sizes) return;
  if (fscanf(sizes, "%lf", &pages) == 1)
    child_bound(RLIMIT_AS, pages * (double)sysconf(_SC_PAGE_SIZE) + mem_available() + own);
  fclose(sizes);
}

/* Whatever ends the child by exit() ran out of memory: mem_new, and libhdf5. */
static void leave(void) { child_quit(STATUS_LIMIT); }

static void settle(const Apart *apart) {
  child_settle();
  child_bound(RLIMIT_CPU, seconds_for(apart));
  bound_memory();
  if (atexit(leave)) leave();
}

static void run_child(void *context, int to) {
  const Apart *apart = context;
  char *why = NULL;
  settle(apart);
  Status status = apart->work(apart->context, &why);
  child_put(to, &status, sizeof status);
  put_size(to, work_refused());
  if (status)
    put_text(to, why);
  else if (apart->send)
    apart->send(apart->context, to);
}

/* The parent */

static Status receive(const Apart *apart, int from, char **why) {
  Status status;
  size_t refused;
  if (!child_take(from, &status, sizeof status) || !take_size(from, &refused)) return STATUS_FILE;
  if (refused) work_spend(INFINITY); /* what a check does not afford there, it does not here */
  if (!status) return apart->receive ? apart->receive(apart->context, from, why) : STATUS_OK;
  take_text(from, why);
  return *why ? status : STATUS_FILE;
}

static Status no_memory(const Apart *apart, char **why) { return file_starve(why, apart->path, 0); }

/* Why there was no answer. */
static Status died(const Apart *apart, int end, bool stopped, char **why) {
  int killer = WIFSIGNALED(end) ? WTERMSIG(end) : 0;
  if (stopped || killer == SIGINT || killer == SIGTERM) {
    *why = mem_string("interrupted");
    return STATUS_INTERRUPTED;
  }
  if (apart->sound || !killer || killer == SIGKILL) return no_memory(apart, why);
  if (killer == SIGXCPU)
    return file_fail(why, apart->path, STATUS_FILE,
                     "the HDF5 file is damaged: reading it does not end within %.0f s of "
                     "processor time",
                     seconds_for(apart));
  return file_fail(why, apart->path, STATUS_FILE,
                   "the HDF5 file is damaged: the HDF5 library crashes over it");
}

/* libhdf5 is made for one thread. */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

static Status work_here(const Apart *apart, char **why) {
  pthread_mutex_lock(&turn);
  Status status = apart->work(apart->context, why);
  pthread_mutex_unlock(&turn);
  return status;
}

static Status work_there(const Apart *apart, char **why) {
  int from;
  pid_t child = child_begin(run_child, (void *)apart, &from);
  if (child < 0)
    return file_fail(why, apart->path, STATUS_LIMIT, "no process for the HDF5 library: %s",
                     strerror(errno));
  Status status = receive(apart, from, why);
  bool stopped = status && !*why && work_stopped();
  int end = child_end(child, from, stopped);
  return status && !*why ? died(apart, end, stopped, why) : status;
}

Status file_apart(const Apart *apart, char **why) {
  *why = NULL;
  return child_possible() ? work_there(apart, why) : work_here(apart, why);
}
