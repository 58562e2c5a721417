/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What surrounds the work of every solver: the clock, the refusal of too large requests, and
 * results that can complete themselves by running again. */
#ifndef DMF_SOLVE_RUN_H
#define DMF_SOLVE_RUN_H

#include "machine/machine.h"
#include "machine/noise.h"
#include "num/stats.h"
#include "solve/solve.h"
#include "solve/checkpoint.h"
#include "solve/trace.h"

/* What a result was made from, and how to run it again up to a snapshot. */
typedef struct Origin Origin;
typedef Status Retake(const Origin *origin, Snapshot *snapshot, char **why);
typedef Status FlowSolver(Program *program, const SolveOptions *options, Result **result,
                          char **why);
struct Origin {
  Program *program;
  SolveOptions options;
  /* of a wide variable: runs times columns, or with `sized` the ratio of its population times as
   * many: paths of all replicates, or neurons of all members */
  size_t columns;
  int runs;
  bool sized;
  Retake *retake;   /* NULL: there are no samples */
  Checkpoint *kept; /* own, for what is asked of the result later, or NULL */
  /* of gradient flow (flow.h): what made it, whether a probe is all of it (the finer one is then
   * the result itself), its probes, or NULL, and what completes it */
  FlowSolver *solver;
  bool whole;
  Result *coarse, *fine;
  Status (*late)(Result *result, const char *name, char **why);
};

/* The replicates of solve_dmft, up to the step of a snapshot, which sees each: at most MOST_RUNS,
 * of so many paths. */
enum { MOST_RUNS = 8 };
Status solve_paths_to(Program *program, const SolveOptions *options, Snapshot *snapshot,
                      size_t *paths, int *replicates, char **why);

/* Gives a result without one its origin (a reference to the program is taken). */
void run_origin(Result *result, Program *program, const SolveOptions *options);
/* Why a result from a file without a recipe cannot be run again. */
extern const char run_no_origin[];
/* Why a theory has no A and B, as far as is known; NULL where it has. */
const char *run_lacks_responses(const Result *theory);
/* Says how the samples of its fields are had. */
void run_sampled(Result *result, size_t columns, int runs, bool sized, Retake *retake);
/* The kind of the matrices of networks. */
const MatrixKind *run_kind(const SolveOptions *options);
/* Fills a field of an ensemble of this width with the mean of its members, or (`variance`) with N
 * times their variance: with errors, and with how blocks of members move it, if these are several.
 * False if memory ran out. */
bool run_moments(const Moments *moments, const SolveOptions *options, bool variance,
                 ResultField *field, int rank, const size_t shape[]);
/* Adds to the errors of a theory of so many sample paths what single precision may do to all
 * replicates alike; outputs are averages over paths, divided by gamma. */
void run_round_paths(size_t n, const double *value, double gamma, double samples, double *error);
/* Why single precision does not do for a theory whose f is to have this error (0: any); or NULL. */
const char *run_refuse_single(const Program *program, double error);
/* Keeps runs of what is asked of a result later, too, where those of its call are (NULL: nowhere),
 * and where that is. */
void run_keep(Result *result, const Checkpoint *checkpoint);
Checkpoint *run_kept(const Result *result);
/* A key that follows from another and from what n numbers depend on. */
uint64_t slopes_key(uint64_t key, const Slopes *of, size_t n);
/* Slopes of the n numbers that are asked for as they may be: with respect to the last entry of each
 * field, of these sizes. To be freed. */
typedef size_t FieldSize(const void *of, NoiseField field);
Slopes *slopes_like(const NoiseAsked *asked, FieldSize *size, const void *of);
/* How one of several runs ended, at which step, and with how large a basis, where that is known. */
typedef struct RunEnd {
  Status status;
  int failed_at, rank;
} RunEnd;
/* Makes run number i, or does nothing where that is left to another process. */
typedef RunEnd RunMake(void *sink, int i);
/* Makes so many runs, which threads and processes share out: how the first that failed ended, or
 * STATUS_OK, the same in all processes. */
RunEnd run_each(const SolveOptions *options, int count, RunMake *make, void *sink);
/* Tells of progress: of `total` parts of a stage this process, and others like it, have made `done`
 * each. Only the thread that leads tells. */
void run_tell(const SolveOptions *options, const char *stage, int done, int total, double work);
/* Whether the user wants out. */
bool run_stopped(const SolveOptions *options);

/* Whether a basis takes up most of sample space: then noise is no longer made orthogonal to it, and
 * what follows from a small basis does not hold. */
bool run_is_full(double rank, double paths);
/* Says of runs that diverged, but networks may well get through, that their bases were full. */
void run_filled(char **why, int rank, size_t paths, int replicates);

/* STATUS_LIMIT, with the bytes in *why. */
Status run_refuse(char **why, double bytes);
/* The end of a solver of this status, STATUS_OK, or STATUS_INTERRUPTED where *why says what there
 * is: *result is what was made, unless it lacked memory, about these bytes. */
Status run_finish(Result *made, Status status, bool fine, double bytes, Result **result,
                  char **why);
/* STATUS_NUMERICS for `who` ("training", ...), which diverged at a step (see has_diverged); up to 0
 * means that it never was finite. Where the first steps are unstable, *why gives their bound. */
Status run_diverged(char **why, const char *who, int step, Program *program, int threads);
double run_clock(void);
/* Notes of fluctuations the width at which the standard deviation of f is half the root mean square
 * of the targets. */
void run_note_least_width(Result *noise, const Program *program);
/* An error from the scatter of n replicates has Student's distribution, (n-1)/(n-3) wider than its
 * standard error says; the factor makes deviations in units of the printed error have unit
 * variance. */
double run_student(int n);
/* Few replicates agree by chance now and then, and nearby times then agree too: the variance of an
 * entry of error[steps, entries] is averaged with the mean over all entries at its time, which
 * share its causes; relative to `value` if that is given. */
void run_moderate(size_t steps, size_t entries, const double *value, double *error);
/* Errors [n, n] of a symmetric array, which were found entry by entry, are made symmetric. */
void run_symmetrize(size_t n, double *error);

/* Over how many neighbours a step shifts what lives on a population. */
size_t run_reach(const Program *program, int space);
/* Neighbours in the sequence of points are not independent, and of pairs of points the projections
 * to two dimensions are no more even after a random shift: where a program sees neighbours, each
 * dimension has its points in an order of its own, which the source gets. To be freed; NULL: it
 * keeps them as they are, or has none for want of memory. */
uint32_t *run_own_order(const Program *program, NoiseSource *noise, size_t paths);

#endif
