/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The points of a sweep, several at a time. Evaluators take turns: whoever evaluates holds the lock
 * of the session, and lets go of it while a solver works, which sees nothing that is shared. What a
 * point gives is kept when the sweep does not come to its end, so that the same sweep goes on from
 * there: in a directory that the script names, in an interactive session else in memory. */
#include "session/session.h"
#include "base/memory.h"
#include "base/plain.h"
#include "file/file.h"
#include "model/sweep.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct Job {
  Dmf *dmf;
  Eval *eval; /* of the call */
  const Sweep *sweep;
  char *directory;          /* or NULL */
  bool keep;                /* points have keys */
  uint64_t *keys;           /* by point */
  Array **values, **errors; /* by point; NULL: not yet, or exact */
  int next, done;
  int threads; /* that the solver of one point may use */
  int failed;  /* the first point that failed, or -1 */
  Diags diags; /* what it reported */
} Job;

/* What is kept */

static SweepRecord *kept(const Dmf *dmf, uint64_t key) {
  for (int i = 0; i < dmf->record_count; i++)
    if (dmf->records[i].key == key) return &dmf->records[i];
  return NULL;
}

static void keep_in_memory(Dmf *dmf, SweepRecord record) {
  size_t count = (size_t)dmf->record_count + 1;
  dmf->records = mem_grow(dmf->records, count * sizeof *dmf->records);
  dmf->records[dmf->record_count++] =
      (SweepRecord){record.key, array_keep(record.value), array_keep(record.error)};
}

/* Another record takes its place. */
static void forget(Dmf *dmf, SweepRecord *record) {
  array_drop(record->value);
  array_drop(record->error);
  *record = dmf->records[--dmf->record_count];
}

void sweep_forget(Dmf *dmf) {
  while (dmf->record_count) forget(dmf, &dmf->records[0]);
  free(dmf->records);
}

static char *file_of(const Job *job, int point) {
  return mem_format("%s/%016llx.h5", job->directory, (unsigned long long)job->keys[point]);
}

/* A file that cannot be read is no loss: its point is computed again. */
static void read_point(Job *job, int point) {
  char *path = file_of(job, point), *why = NULL;
  if (access(path, F_OK) == 0) {
    if (file_read_hdf5(path, "/value", &job->values[point], &why) != STATUS_OK) {
      diag_warning(job->eval->diags, job->sweep->resume->span, "the point is computed again", "%s",
                   why);
    } else {
      free(why);
      file_read_hdf5(path, "/stderr/value", &job->errors[point], &why);
    }
    free(why);
  }
  free(path);
}

/* Reports in `eval` when it cannot be written. */
static void write_point(const Job *job, Eval *eval, int point) {
  char *path = file_of(job, point), *place = sweep_place(job->sweep, point), *why = NULL;
  Result *result = result_new("point");
  result_add(result, "value", 0, "", "the expression of a sweep at one point",
             array_keep(job->values[point]), array_keep(job->errors[point]));
  result_note(result, "point", "%s", place);
  result_note(result, "version", "%s", dmf_version());
  Status status = file_write_result_hdf5(path, result, NULL, &why);
  if (status != STATUS_OK) eval_fail(eval, status, job->sweep->resume->span, NULL, "%s", why);
  result_drop(result);
  free(why);
  free(place);
  free(path);
}

static void look_up(Job *job) {
  char *salt = job->dmf->config.has_seed
                   ? mem_format("%s %llu", dmf_version(), job->dmf->config.seed)
                   : mem_string(dmf_version());
  bool reads = false;
  for (int i = 0; i < job->sweep->points && !reads && !*job->eval->stop; i++)
    job->keys[i] = sweep_digest(job->sweep, job->eval, i, salt, &reads);
  free(salt);
  job->keep = !reads;
  for (int i = 0; i < job->sweep->points && job->keep && !*job->eval->stop; i++) {
    const SweepRecord *record = kept(job->dmf, job->keys[i]);
    if (record) {
      job->values[i] = array_keep(record->value);
      job->errors[i] = array_keep(record->error);
    } else if (job->directory) {
      read_point(job, i);
    }
    job->done += job->values[i] != NULL;
  }
}

/* Evaluating */

static void show_progress(const Job *job) {
  if (!job->eval->worker && solver_shows_progress(job->dmf))
    solver_progress(job->dmf, "sweep", job->done, job->sweep->points);
}

static void evaluate(Job *job, int point) {
  Diags diags = {0};
  Eval eval = *job->eval;
  eval.heap = (Heap){0};
  eval.diags = &diags;
  eval.worker = true;
  eval.threads = job->threads;
  eval.functions = NULL;
  eval.function_count = 0;
  eval.doubtful = NULL;
  eval.doubtful_count = eval.doubtful_capacity = 0;
  Value *value = sweep_point(job->sweep, &eval, point);
  if (!eval.halted) {
    job->values[point] = value_as_array(value);
    job->errors[point] = array_keep(value->error);
    if (!job->values[point])
      eval_starve(&eval, job->sweep->span);
    else if (job->directory)
      write_point(job, &eval, point);
  }
  if (!eval.halted) {
    job->done++;
    show_progress(job);
  }
  if (eval.halted && (job->failed < 0 || point < job->failed)) {
    Diags other = job->diags;
    job->diags = diags;
    diags = other;
    job->failed = point;
  }
  eval_end(&eval);
  diags_clear(&diags);
}

/* Points are handed out in order and none is left halfway, so that the first that fails is the same
 * with any number of threads. */
static void *work(void *context) {
  Job *job = context;
  while (job->failed < 0 && !*job->eval->stop && job->next < job->sweep->points) {
    int point = job->next++;
    if (!job->values[point]) evaluate(job, point);
  }
  return NULL;
}

static void *work_in_turn(void *context) {
  PLAIN_LOCALE;
  Dmf *dmf = ((Job *)context)->dmf;
  pthread_mutex_lock(&dmf->lock);
  work(context);
  pthread_mutex_unlock(&dmf->lock);
  return NULL;
}

/* The thread that calls works along with the others. */
static void run(Job *job) {
  enum { STACK = 16 << 20 };
  int open = job->sweep->points - job->done, threads = job->eval->threads;
  int workers = open < threads ? open : threads, started = 0;
  if (workers < 1) return;
  job->threads = threads / workers;
  show_progress(job);
  pthread_t *others = mem_new((size_t)workers, sizeof *others);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, STACK);
  while (started < workers - 1 &&
         pthread_create(&others[started], &attributes, work_in_turn, job) == 0)
    started++;
  pthread_attr_destroy(&attributes);
  work(job);
  pthread_mutex_unlock(&job->dmf->lock);
  for (int i = 0; i < started; i++) pthread_join(others[i], NULL);
  pthread_mutex_lock(&job->dmf->lock);
  free(others);
  if (!job->eval->worker && solver_shows_progress(job->dmf)) solver_progress_end(job->dmf);
}

/* Ends */

/* The value of a point as a check sees it: its shape, and what it was read from. */
static Value *preview(const Sweep *sweep, Eval *eval) {
  Eval dry = *eval;
  Diags diags = {0};
  dry.dry = true;
  dry.diags = &diags;
  dry.functions = NULL;
  dry.function_count = 0;
  Value *value = sweep_point(sweep, &dry, 0);
  eval->heap = dry.heap;
  diags_clear(&diags);
  return value;
}

static void report(Job *job) {
  Eval *eval = job->eval;
  diags_join(eval->diags, &job->diags);
  eval->halted |= job->failed >= 0;
  if (*eval->stop) {
    eval_interrupted(eval, job->sweep->span);
  } else if (job->failed >= 0) {
    char *place = sweep_place(job->sweep, job->failed);
    diag_note(eval->diags, job->sweep->span, "at %s", place);
    free(place);
  }
  if (eval->halted && job->keep)
    diag_note(eval->diags, job->sweep->span,
              "%d of %d points are done; the same sweep goes on from there", job->done,
              job->sweep->points);
}

static Value *conclude(Job *job) {
  report(job);
  if (!job->eval->halted) {
    for (int i = 0; i < job->sweep->points && job->keep; i++) {
      SweepRecord *record = kept(job->dmf, job->keys[i]);
      if (record) forget(job->dmf, record);
    }
    return sweep_gather(job->sweep, job->eval, job->values, job->errors,
                        preview(job->sweep, job->eval));
  }
  bool in_memory = job->keep && !job->directory;
  for (int i = 0; i < job->sweep->points && in_memory; i++)
    if (job->values[i] && !kept(job->dmf, job->keys[i]))
      keep_in_memory(job->dmf, (SweepRecord){job->keys[i], job->values[i], job->errors[i]});
  return value_new(&job->eval->heap, VALUE_BROKEN);
}

static Value *go_through(Job *job) {
  if (job->directory || job->dmf->config.interactive) look_up(job);
  if (!job->eval->halted) run(job);
  return conclude(job);
}

static Value *no_memory(Eval *eval, const Sweep *sweep) { return eval_starve(eval, sweep->span); }

static Value *solve(Dmf *dmf, Eval *eval, const Sweep *sweep, char *directory) {
  size_t points = (size_t)sweep->points;
  Job job = {.dmf = dmf,
             .eval = eval,
             .sweep = sweep,
             .directory = directory,
             .keys = mem_try(points, sizeof(uint64_t)),
             .values = mem_try(points, sizeof(Array *)),
             .errors = mem_try(points, sizeof(Array *)),
             .failed = -1};
  bool fits = job.keys && job.values && job.errors;
  Value *value = fits ? go_through(&job) : no_memory(eval, sweep);
  for (size_t i = 0; fits && i < points; i++) {
    array_drop(job.values[i]);
    array_drop(job.errors[i]);
  }
  diags_clear(&job.diags);
  free(job.keys);
  free(job.values);
  free(job.errors);
  return value;
}

/* Whether the expression has one shape at the ends of all axes. */
static bool check_ends(Eval *eval, const Sweep *sweep, const Array *first) {
  bool sound = true;
  for (int k = 0; k < sweep->axis_count && sound; k++) {
    Value *value = sweep_point(sweep, eval, sweep_end(sweep, k));
    Array *array = value_as_array(value);
    sound = value->kind != VALUE_BROKEN &&
            (!array || sweep_agrees(sweep, eval, first, array, sweep_end(sweep, k)));
    array_drop(array);
  }
  return sound;
}

/* Zeros of the right shape. */
static Value *zeros(Eval *eval, const Sweep *sweep, const Value *like, Array *first) {
  size_t points = (size_t)sweep->points;
  Array **values = mem_try(points, sizeof *values), **errors = mem_try(points, sizeof *errors);
  bool fits = values && errors;
  for (size_t i = 0; fits && i < points; i++) values[i] = first;
  Value *value = fits ? sweep_gather(sweep, eval, values, errors, like) : no_memory(eval, sweep);
  free(values);
  free(errors);
  value->known = false;
  return value;
}

static Value *check(Eval *eval, const Sweep *sweep) {
  enum { MANY = 1000000 };
  Value *like = sweep_point(sweep, eval, 0), *value = like;
  Array *first = value_as_array(like);
  bool printing = ((Dmf *)eval->host->self)->lowering;
  if (first && !printing && !check_ends(eval, sweep, first))
    value = value_new(&eval->heap, VALUE_BROKEN);
  else if (first && (double)first->size * sweep->points > MANY)
    value = value_new(&eval->heap, VALUE_UNKNOWN);
  else if (first)
    value = zeros(eval, sweep, like, first);
  array_drop(first);
  return value;
}

/* The directory that keeps the points, made when it is not there; NULL after reporting. */
static char *directory_of(Eval *eval, const Ast *node) {
  const Value *value = eval_expression(eval, node);
  if (value->kind != VALUE_STRING) {
    if (value->kind != VALUE_BROKEN && value->kind != VALUE_UNKNOWN)
      eval_error(eval, node->span, NULL, "'resume' must be the name of a directory, not %s",
                 value_describe(value));
    return NULL;
  }
  char *path = files_target(eval, value->string, node->span);
  struct stat about;
  if (path && !eval->dry) mkdir(path, 0777);
  int error = errno;
  bool there = path && stat(path, &about) == 0;
  if (!path || (eval->dry && !there) || (there && S_ISDIR(about.st_mode))) return path;
  eval_fail(eval, STATUS_FILE, node->span, NULL, there ? "%s is not a directory" : "%s: %s", path,
            strerror(error));
  free(path);
  return NULL;
}

Value *sweep_call(Call *call) {
  Eval *eval = call->eval;
  int before = eval->diags->errors;
  Sweep *sweep = sweep_new(eval, call->node);
  char *directory = sweep && sweep->resume ? directory_of(eval, sweep->resume) : NULL;
  Value *value;
  if (eval->diags->errors > before)
    value = value_new(&eval->heap, VALUE_BROKEN);
  else if (!sweep)
    value = value_new(&eval->heap, VALUE_UNKNOWN);
  else
    value = eval->dry ? check(eval, sweep) : solve(eval->host->self, eval, sweep, directory);
  free(directory);
  sweep_free(sweep);
  return value;
}
