/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The points of a sweep, several at a time. Evaluators take turns: whoever evaluates holds the lock
 * of the session, and lets go of it while a solver works, which sees nothing that is shared. What a
 * point gives is kept when the sweep does not come to its end, so that the same sweep goes on from
 * there: in a directory that the script names, in an interactive session else in memory. */
#include "session/session.h"
#include "base/memory.h"
#include "base/plain.h"
#include "base/team.h"
#include "file/file.h"
#include "model/sweep.h"
#include "model/trail.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct Job {
  Dmf *dmf;
  Eval *eval; /* of the call */
  const Sweep *sweep;
  char *directory; /* or NULL */
  bool keep;       /* points have keys */
  uint64_t *keys;  /* by point */
  Value **values;  /* by point; NULL: not yet, or failed */
  int next, done;
  int threads;   /* that the solver of one point may use */
  bool lenient;  /* a point whose numerics fail is left out, */
  double filler; /* and this stands in its place */
  int missing;   /* how many are */
  int failed;    /* the first point that failed, or -1 */
  int left_out;  /* the first that was left out, or -1 */
  Diags diags;   /* what it reported */
  Crew *crew;    /* that shares the points, or NULL */
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
  dmf->records[dmf->record_count++] = (SweepRecord){record.key, value_keep(record.value)};
}

/* Another record takes its place. */
static void forget(Dmf *dmf, SweepRecord *record) {
  value_drop(record->value);
  *record = dmf->records[--dmf->record_count];
}

void sweep_forget(Dmf *dmf) {
  while (dmf->record_count) forget(dmf, &dmf->records[0]);
  free(dmf->records);
}

static char *file_of(const Job *job, int point) {
  return mem_format("%s/%016llx.h5", job->directory, (unsigned long long)job->keys[point]);
}

/* Numbers with their errors and what lies behind these, in a value of its own. */
static Value *lean(Eval *eval, Array *array, Array *error, Trail *trail) {
  Value *value = value_array(&eval->heap, array);
  value->error = error;
  value->trail = trail;
  return value_keep(value);
}

/* A file that cannot be read is no loss: its point is computed again. */
static void read_point(Job *job, int point) {
  char *path = file_of(job, point), *why = NULL;
  Result *result = NULL;
  if (access(path, F_OK) == 0) {
    const ResultField *field =
        file_read_result(path, &result, &why) == STATUS_OK ? result_find(result, "value", 0) : NULL;
    if (field) {
      job->values[point] =
          lean(job->eval, array_keep(field->value), array_keep(field->error), NULL);
      if (field->error)
        trail_begin(job->values[point], array_keep(field->error), scatter_keep(field->scatter));
    } else {
      diag_warning(job->eval->diags, job->sweep->resume->span, "the point is computed again", "%s",
                   why ? why : "the file holds no point of a sweep");
    }
    result_drop(result);
    free(why);
  }
  free(path);
}

/* Reports in `eval` when it cannot be written. */
static void write_point(const Job *job, Eval *eval, int point) {
  char *path = file_of(job, point), *place = sweep_place(job->sweep, point), *why = NULL;
  Result *result = result_new("point");
  const Value *value = job->values[point];
  ResultField *field = result_add(result, "value", 0, "", "the expression of a sweep at one point",
                                  value_as_array(value), array_keep(value->error));
  field->scatter = value->trail ? scatter_keep(value->trail->scatter) : NULL;
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
      job->values[i] = value_keep(record->value);
    } else if (job->directory) {
      read_point(job, i);
    }
    job->done += job->values[i] != NULL;
  }
}

/* Evaluating */

static void show_progress(const Job *job) {
  if (!job->eval->worker && solver_shows_progress(job->dmf))
    solver_progress(job->dmf, "sweep", job->done, job->sweep->points, 0);
}

/* Keeps what a point gave, without the results it comes from. */
static void take(Job *job, Eval *eval, int point, Value *value) {
  trail_settle(eval, value);
  trail_error(eval, value);
  if (eval->halted) return;
  Array *array = value_as_array(value);
  if (!array) {
    eval_starve(eval, job->sweep->span);
    return;
  }
  job->values[point] = lean(eval, array, array_keep(value->error), trail_keep(value->trail));
  if (job->directory) write_point(job, eval, point);
}

/* The first point that failed in this way keeps what it reported. */
static void fail(Job *job, int point, Diags *diags) {
  bool spared = job->lenient && diags->status == STATUS_NUMERICS;
  int *first = spared ? &job->left_out : &job->failed;
  job->missing += spared;
  if ((*first >= 0 && point >= *first) || (spared && job->failed >= 0)) return;
  *first = point;
  Diags other = job->diags;
  job->diags = *diags;
  *diags = other;
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
  Watch before = session_watch(job->dmf, eval.stop);
  Value *value = sweep_point(job->sweep, &eval, point);
  if (!eval.halted) take(job, &eval, point, value);
  if (!eval.halted) job->done++;
  if (eval.halted) fail(job, point, &diags);
  show_progress(job);
  eval_end(&eval);
  diags_clear(&diags);
  work_watch(before);
}

/* Points are handed out in order and none is left halfway, so that the first that fails is the same
 * with any number of threads. */
static void *work(void *context) {
  Job *job = context;
  while (job->failed < 0 && !*job->eval->stop && job->next < job->sweep->points) {
    int point = job->next++;
    bool own = !job->crew || point % job->crew->size == job->crew->rank;
    if (own && !job->values[point]) evaluate(job, point);
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
  int open = job->sweep->points - job->done, threads = job->eval->threads;
  int workers = open < threads ? open : threads, started = 0;
  if (workers < 1) return;
  job->threads = threads / workers;
  show_progress(job);
  pthread_t *others = mem_new((size_t)workers, sizeof *others);
  while (started < workers - 1 && team_begin(&others[started], work_in_turn, job) == 0) started++;
  if (job->crew) job->crew->alone = true;
  work(job);
  pthread_mutex_unlock(&job->dmf->lock);
  for (int i = 0; i < started; i++) pthread_join(others[i], NULL);
  pthread_mutex_lock(&job->dmf->lock);
  if (job->crew) job->crew->alone = false;
  free(others);
  if (!job->eval->worker && solver_shows_progress(job->dmf)) solver_progress_end(job->dmf);
}

/* What several processes have made */

/* What the process of this point has, NULL too; false where memory ran out in any. */
static bool share_array(const Crew *crew, int point, Array **array) {
  bool fine = true, there = *array != NULL;
  int rank = there ? (*array)->rank : 0;
  size_t shape[ARRAY_MAX_RANK] = {0};
  if (there) memcpy(shape, (*array)->shape, (size_t)rank * sizeof *shape);
  crew_share(crew, point, &there, sizeof there);
  crew_share(crew, point, &rank, sizeof rank);
  crew_share(crew, point, shape, sizeof shape);
  if (!crew_has(crew, point)) {
    *array = there ? array_new(rank, shape) : NULL;
    fine = !there || *array;
  }
  if (crew_any(crew, !fine)) return false;
  if (there) crew_share(crew, point, (*array)->data, (*array)->size * sizeof *(*array)->data);
  return true;
}

static bool share_scatter(const Crew *crew, int point, Scatter **scatter) {
  int count = *scatter ? (*scatter)->count : -1;
  bool foreign = !crew_has(crew, point), fine = true;
  crew_share(crew, point, &count, sizeof count);
  if (foreign) *scatter = count >= 0 ? scatter_new() : NULL;
  for (int k = 0; k < count && fine; k++) {
    Direction own = foreign ? (Direction){0} : (*scatter)->list[k];
    crew_share(crew, point, &own.id, sizeof own.id);
    crew_share(crew, point, &own.weight, sizeof own.weight);
    fine = share_array(crew, point, &own.move);
    if (foreign && fine) scatter_add(*scatter, own.id, own.weight, own.move);
  }
  return fine;
}

static bool share_value(Job *job, int point) {
  const Crew *crew = job->crew;
  const Value *own = job->values[point];
  Array *array = own ? value_as_array(own) : NULL, *error = own ? own->error : NULL;
  Scatter *scatter = own && own->trail ? own->trail->scatter : NULL;
  bool fine = share_array(crew, point, &array) && share_array(crew, point, &error) &&
              share_scatter(crew, point, &scatter);
  if (crew_has(crew, point)) {
    array_drop(array);
  } else if (array && fine) {
    job->values[point] = lean(job->eval, array, error, NULL);
    if (scatter) trail_begin(job->values[point], array_keep(error), scatter);
  }
  return fine;
}

/* The point that fails first, or is left out first, says why in the process that shows it. */
static void fail_here(Job *job, int point) {
  if (!crew_leads(job->crew) || crew_has(job->crew, point)) return;
  diags_clear(&job->diags);
  job->failed = job->left_out = -1;
  job->crew->alone = true;
  evaluate(job, point);
  job->crew->alone = false;
}

static int first_of_all(const Crew *crew, int own) {
  for (int i = 0; i < crew_size(crew); i++) {
    int theirs = own;
    crew_share(crew, i, &theirs, sizeof theirs);
    if (theirs >= 0 && (own < 0 || theirs < own)) own = theirs;
  }
  return own;
}

static bool share_points(Job *job) {
  bool fine = true;
  int failed = first_of_all(job->crew, job->failed),
      left_out = first_of_all(job->crew, job->left_out);
  for (int i = 0; i < job->sweep->points && fine; i++) fine = share_value(job, i);
  if (failed >= 0 || left_out >= 0) fail_here(job, failed >= 0 ? failed : left_out);
  job->failed = failed;
  job->left_out = left_out;
  job->done = job->missing = 0;
  for (int i = 0; i < job->sweep->points; i++) {
    job->done += job->values[i] != NULL;
    job->missing += !job->values[i] && failed < 0;
  }
  return fine;
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

/* One warning stands for all points that were left out. */
static void warn_of_missing(Job *job) {
  char *place = sweep_place(job->sweep, job->left_out);
  const char *reason = job->diags.count ? job->diags.items[0].message : "it failed";
  diag_warning(job->eval->diags, job->sweep->span, "failed = \"stop\" ends a sweep at the first",
               "%d of %d points failed and %s %g: at %s, %s", job->missing, job->sweep->points,
               job->missing == 1 ? "is" : "are", job->filler, place, reason);
  free(place);
}

static void report(Job *job) {
  Eval *eval = job->eval;
  bool nothing = job->missing == job->sweep->points;
  if (nothing) job->failed = job->left_out;
  if (job->failed >= 0) diags_join(eval->diags, &job->diags);
  eval->halted |= job->failed >= 0;
  if (*eval->stop) {
    eval_interrupted(eval, job->sweep->span);
  } else if (job->failed >= 0) {
    char *place = sweep_place(job->sweep, job->failed);
    diag_note(eval->diags, job->sweep->span, nothing ? "at %s, and at all other points" : "at %s",
              place);
    free(place);
  } else if (job->missing) {
    warn_of_missing(job);
  }
  if (eval->halted && job->keep)
    diag_note(eval->diags, job->sweep->span,
              "%d of %d points are done; the same sweep goes on from there", job->done,
              job->sweep->points);
}

/* Points that were left out, in the shape of the others. False without memory. */
static bool fill_missing(Job *job) {
  int sound = 0;
  while (!job->values[sound]) sound++;
  const Value *like = job->values[sound];
  for (int i = 0; i < job->sweep->points; i++) {
    if (job->values[i]) continue;
    const Array *own = like->kind == VALUE_ARRAY ? like->array : NULL;
    const char *why;
    Array *array = array_full(own ? own->rank : 0, own ? own->shape : NULL, job->filler, &why);
    if (!array) return false;
    job->values[i] = lean(job->eval, array, NULL, NULL);
  }
  return true;
}

static Value *no_memory(Eval *eval, const Sweep *sweep) { return eval_starve(eval, sweep->span); }

/* The array of all points; what was kept of them is of no use any more. */
static Value *finish(Job *job) {
  Eval *eval = job->eval;
  for (int i = 0; i < job->sweep->points && job->keep && !job->missing; i++) {
    SweepRecord *record = kept(job->dmf, job->keys[i]);
    if (record) forget(job->dmf, record);
  }
  if (!fill_missing(job)) return no_memory(eval, job->sweep);
  return sweep_gather(job->sweep, eval, job->values, preview(job->sweep, eval));
}

/* What an interruption leaves, where it alone stopped the points: those that are done. */
static bool leaves_some(const Job *job) {
  const Dmf *dmf = job->dmf;
  bool alone = job->failed < 0 || job->diags.status == STATUS_INTERRUPTED;
  bool some = alone && *job->eval->stop && dmf->config.partial && job->done > 0 &&
              job->done < job->sweep->points;
  crew_share(job->crew, 0, &some, sizeof some);
  return some && !job->eval->worker;
}

static Value *finish_some(Job *job) {
  Eval *eval = job->eval;
  char *what = mem_format("%d of %d points", job->done, job->sweep->points);
  diags_clear(&job->diags);
  diag_warning(eval->diags, job->sweep->span, NULL, "interrupted: %s are done, the others are nan",
               what);
  session_note(job->dmf, "sweep", what);
  free(what);
  session_watch(job->dmf, eval->stop = &job->dmf->calm);
  job->missing = job->sweep->points - job->done;
  job->filler = NAN;
  return finish(job);
}

static Value *conclude(Job *job) {
  if (leaves_some(job)) return finish_some(job);
  report(job);
  if (!job->eval->halted) return finish(job);
  bool in_memory = job->keep && !job->directory;
  for (int i = 0; i < job->sweep->points && in_memory; i++)
    if (job->values[i] && !kept(job->dmf, job->keys[i]))
      keep_in_memory(job->dmf, (SweepRecord){job->keys[i], job->values[i]});
  return value_new(&job->eval->heap, VALUE_BROKEN);
}

static Value *go_through(Job *job) {
  if (job->directory || job->dmf->config.interactive) look_up(job);
  if (!job->eval->halted) run(job);
  if (job->crew) session_stops(job->dmf);
  if (job->crew && !share_points(job)) return eval_starve(job->eval, job->sweep->span);
  return conclude(job);
}

static Value *solve(Dmf *dmf, Eval *eval, const Sweep *sweep, char *directory, bool lenient,
                    double filler) {
  size_t points = (size_t)sweep->points;
  Job job = {.dmf = dmf,
             .eval = eval,
             .sweep = sweep,
             .directory = directory,
             .crew = crew_size(session_crew(dmf)) > 1 ? session_crew(dmf) : NULL,
             .keys = mem_try(points, sizeof(uint64_t)),
             .values = mem_try(points, sizeof(Value *)),
             .lenient = lenient,
             .filler = filler,
             .failed = -1,
             .left_out = -1};
  bool fits = job.keys && job.values;
  Value *value = fits ? go_through(&job) : no_memory(eval, sweep);
  for (size_t i = 0; fits && i < points; i++) value_drop(job.values[i]);
  diags_clear(&job.diags);
  free(job.keys);
  free(job.values);
  return value;
}

/* Whether the expression has one shape at the ends of all axes. */
static bool check_ends(Eval *eval, const Sweep *sweep, const Value *first) {
  bool sound = true;
  for (int k = 0; k < sweep->axis_count && sound; k++) {
    int end = sweep_end(sweep, k);
    const Value *value = sweep_point(sweep, eval, end);
    sound = value->kind != VALUE_BROKEN &&
            (!value_is_numeric(value) || sweep_agrees(sweep, eval, first, value, end));
  }
  return sound;
}

/* Zeros of the right shape. */
static Value *zeros(Eval *eval, const Sweep *sweep, Value *like) {
  size_t points = (size_t)sweep->points;
  Value **values = mem_try(points, sizeof *values);
  for (size_t i = 0; values && i < points; i++) values[i] = like;
  Value *value = values ? sweep_gather(sweep, eval, values, like) : no_memory(eval, sweep);
  free(values);
  value->known = false;
  return value;
}

static Value *check(Eval *eval, const Sweep *sweep) {
  enum { MANY = 1000000 };
  Dmf *dmf = eval->host->self;
  double times = dmf->planned.times;
  dmf->planned.times *= sweep->points;
  Value *like = sweep_point(sweep, eval, 0);
  dmf->planned.times = times;
  if (!value_is_numeric(like)) return like;
  double size = like->kind == VALUE_ARRAY ? (double)like->array->size : 1;
  bool printing = dmf->lowered || dmf->planning;
  if (!printing && !check_ends(eval, sweep, like)) return value_new(&eval->heap, VALUE_BROKEN);
  if (size * sweep->points > MANY) return value_new(&eval->heap, VALUE_UNKNOWN);
  return zeros(eval, sweep, like);
}

/* What is to become of points that fail: a number in their place, or "stop". */
static bool failed_of(Eval *eval, const Ast *node, bool *lenient, double *filler) {
  *lenient = true;
  *filler = NAN;
  if (!node) return true;
  const Value *value = eval_expression(eval, node);
  if (value->kind == VALUE_NUMBER) return *filler = value->number, true;
  *lenient = false;
  if (value->kind == VALUE_STRING && strcmp(value->string, "stop") == 0) return true;
  if (value->kind != VALUE_BROKEN && value->kind != VALUE_UNKNOWN)
    eval_error(eval, node->span, NULL, "'failed' must be a number, such as nan, or \"stop\"");
  return false;
}

Value *sweep_call(Call *call) {
  Eval *eval = call->eval;
  int before = eval->diags->errors;
  bool lenient;
  double filler;
  Sweep *sweep = sweep_new(eval, call->node);
  char *directory = sweep && sweep->resume
                        ? files_directory(eval, eval_expression(eval, sweep->resume), "resume",
                                          sweep->resume->span)
                        : NULL;
  if (sweep) failed_of(eval, sweep->failed, &lenient, &filler);
  Value *value;
  if (eval->diags->errors > before)
    value = value_new(&eval->heap, VALUE_BROKEN);
  else if (!sweep)
    value = value_new(&eval->heap, VALUE_UNKNOWN);
  else
    value = eval->dry ? check(eval, sweep)
                      : solve(eval->host->self, eval, sweep, directory, lenient, filler);
  free(directory);
  sweep_free(sweep);
  return value;
}
