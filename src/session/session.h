/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The inside of a session: what dmf.h hides. */
#ifndef DMF_SESSION_SESSION_H
#define DMF_SESSION_SESSION_H

#include "dmf.h"
#include "base/crew.h"
#include "base/work.h"
#include "field/observable.h"
#include "model/eval.h"
#include "solve/solve.h"

#include <pthread.h>
#include <stdint.h>
#include <sys/types.h>

/* An override given with dmf_set. */
typedef struct Setting {
  Script *target, *value; /* NAME.KEY, and what stands behind the equals sign */
  const char *name, *key; /* in `target` */
  bool used;              /* in the run under way */
} Setting;

/* A data file read before; it is read again when it has changed. */
typedef struct CachedFile {
  char *path, *inside, *format;
  long long modified, size;
  ino_t node;
  Array *array;
} CachedFile;

typedef struct FileNames {
  char **list;
  int count;
} FileNames;

/* An imported script. */
typedef struct Import {
  char *path; /* resolved */
  Script *script;
  int pass; /* the last pass that evaluated it */
  bool running;
} Import;

/* What a point of an unfinished sweep gave. */
typedef struct SweepRecord {
  uint64_t key;
  Value *value;
} SweepRecord;

/* A piece of what an interactive session has done. */
typedef struct Record {
  Script *script; /* kept by the session */
  char *file;     /* where it was loaded from; NULL: typed */
} Record;

/* What may stand at a place; the least rank comes first. */
typedef struct Candidate {
  char *text, *about; /* about may be NULL */
  int rank;
} Candidate;

struct Dmf {
  DmfConfig config;
  pthread_mutex_t lock; /* held by the thread that evaluates, except while it waits for a solver */
  pthread_cond_t idle;  /* a result is no longer busy */
  FILE *results, *diagnostics;
  char *out, *pictures;
  int picture_count;         /* plots that named no file */
  const char **value_fields; /* of dmf_value_field */
  DmfName *names;            /* of dmf_name */
  int name_count;
  volatile sig_atomic_t stop;
  char *partial;              /* what solvers left that were interrupted, for files; or NULL */
  volatile sig_atomic_t calm; /* never set: what evaluators heed once they have a partial result */
  ExprPool *pool;
  Diags diags;
  Scope *base; /* the language and its prelude */
  Scope *user;
  Host host;
  const Source *text; /* of the run under way, for what `save` records */
  int pass;           /* counts checks and runs */
  Result *loading;    /* the result whose recipe is read, or NULL */
  Status library;     /* of the standard library, at the start: what is wrong there goes on */
  char *lowered;      /* programs that solver calls printed, where these are asked for; else NULL */
  bool planning;      /* they print what they will take */
  struct {
    int calls;
    double times, flops, seconds; /* times: that the call at hand will be made */
  } planned;
  char *equations;  /* of the solver calls so far, where these are asked for; else NULL */
  bool latex;       /* in the notation of LaTeX */
  Script **scripts; /* all that were run: spans and functions point into them */
  int script_count;
  Setting *settings;
  int setting_count;
  CachedFile *files;
  int file_count;
  FileNames written;  /* the files that were saved */
  FileNames expected; /* those that the script under check has saved so far */
  bool expects_any;   /* among these is one whose name the check does not know */
  const Ast *checked; /* the script under check, or NULL */
  FieldSet unread;    /* fields that the script under way does not name */
  Import *imports;
  int import_count;
  SweepRecord *records;
  int record_count;
  Candidate *candidates; /* of dmf_complete */
  int candidate_count;
  Record *record; /* of an interactive session: the statements that went well */
  int record_length;
  DmfTopic *topics; /* of dmf_topic; their texts are in the arena */
  int topic_count;
  Arena *topic_arena;
};

/* Takes over a script: functions and messages may point into it as long as the session lives. */
void session_keep(Dmf *dmf, Script *script);
/* The same at the end of a piece of work: the status of the first error, or of a failure to print
 * the results. */
int session_conclude(Dmf *dmf);
/* An evaluator in the scope of the user, until session_end. */
Eval session_begin(Dmf *dmf);
void session_end(Dmf *dmf, Eval *eval);
/* What this thread computes from now on ends when that flag of the session is set (base/work.h);
 * returns the watch that it had. */
Watch session_watch(Dmf *dmf, const volatile sig_atomic_t *stop);
/* A file beside the script that names it; to be freed. */
char *session_beside(Span span, const char *path);

/* Whether results go to a terminal. */
bool session_on_terminal(const Dmf *dmf);

/* How many threads solvers use. */
int session_threads(const Dmf *dmf);

/* complete.c */
void candidates_free(Dmf *dmf);
/* record.c: adds what was run without error, from a file or not (NULL). */
void record(Dmf *dmf, Script *script, const char *file);
void record_free(Dmf *dmf);

/* import.c */
void import_run(Eval *eval, const Ast *node);
/* Evaluates std/prelude.dmf, when it is installed, in the scope of the evaluator. */
void import_prelude(Eval *eval);
void imports_free(Dmf *dmf);
/* A file that is installed with the language, such as std/prelude.dmf; to be freed, NULL if there
 * is none. */
char *import_installed(const char *name);
/* The first file of this name in the directories that a variable of the environment lists; NULL if
 * there is none. To be freed. */
char *import_listed(const char *variable, const char *name);

/* crew.c: the processes that share the work; NULL for one by itself. Whether this is the one that
 * shows and writes; and its status, which becomes that of all. */
Crew *session_crew(const Dmf *dmf);
/* A piece of work begins, which dmf_interrupt stops in all processes; and it is over. */
void session_heed(Dmf *dmf);
void session_rest(Dmf *dmf);
/* Keeps what a function left that was interrupted, which files of numbers say then. */
void session_note(Dmf *dmf, const char *function, const char *what);
/* Whether one of them wants to stop: then all know it. */
bool session_stops(Dmf *dmf);
bool session_leads(const Dmf *dmf);
Status session_agree(const Dmf *dmf, Status status, char **why);
/* What a call that all make came to: where it failed in one of them it did in all, and why. */
Status session_settle(Dmf *dmf, Status status, char **why);
/* The text of a file, which may have to be a regular one: what a script names is never a pipe,
 * which would keep a check waiting. NULL with *why to be freed. */
Source *source_read(const char *path, const char *name, bool regular, char **why);

/* solvers.c: dmft, simulate, preactivations, compare, ir, equations */
extern const Builtin solver_rows[];
/* Why a result of a solver has no field of this name; NULL for names that no solver knows. */
const char *solver_lacks(const Result *result, const char *name);

/* Completes a result for an evaluator, which waits when another one is at it. */
Status solver_complete(Eval *eval, Result *result, const char *name, char **why);
/* Plans what is computed when a field is asked for, once for each. */
void solver_foresee(Eval *eval, Span span, Result *result, const char *name);
/* Whether somebody wants to know how far a solver is. */
bool solver_shows_progress(const Dmf *dmf);
/* Tells the call-back of a session, which is the sink; and that the work is over. */
void solver_progress(void *sink, const char *stage, int done, int total, double work);
void solver_progress_end(const Dmf *dmf);

/* slopes.c: N times the variance of an expression of fields of a theory, which evaluated to `value`
 */
Value *slopes_call(Call *call, const Ast *node, Result *theory, const Value *value,
                   SolveOptions options);

/* sweep.c */
Value *sweep_call(Call *call);
/* Drops what is kept of unfinished sweeps, when the session ends. */
void sweep_forget(Dmf *dmf);

/* help.c: topics_collect reads the reference, of which topic_at gives the i-th topic or NULL. */
void topics_free(Dmf *dmf);
void topics_collect(Dmf *dmf);
const DmfTopic *topic_at(const Dmf *dmf, int i);
/* How a function of this name is called, and what it does; topics were collected. */
void help_call(Dmf *dmf, const char *name, const Value *value, DmfCall *call);
/* Computes the fields that are missing when there are few numbers to compute. */
Status session_complete_small(Eval *eval, Result *result, char **why);

/* recipe.c: how the result of a call is made again, of so many steps unless it was interrupted;
 * false without memory for that */
bool recipe_write(const Call *call, const Problem *problem, size_t steps, ResultRecipe *recipe);
/* The same of a system, of so many steps: its lines, or, where these use functions or arrays of the
 * script, or loops, the program that they are. */
void recipe_write_system(const Call *call, const Program *program, int steps, Result *result);
/* What of a script, to be read as the recipe of the result, recipe_write would not have written; or
 * NULL. */
const Ast *recipe_trespass(const Scope *base, const Script *script, const Result *result);

/* load.c: the function `load` */
Value *load(Call *call);

/* show.c */
void show_print(Eval *eval, const Item *items, int count);
void show_value(Eval *eval, const Ast *node, Value *value);
/* The number that remembers its standard error, as "0.01234 ± 0.00004"; to be freed. */
char *show_number(const Value *value);

/* The value as text without a final newline, on as many lines of so many columns as it takes; to be
 * freed. */
char *show_text(const Value *value, int columns);
/* Computes the errors that these show, of a value or of what is in a list. */
void show_errors(Eval *eval, Value *value);
/* values.c: hands a value that an expression has to the call-back of the session; false without
 * one. */
bool value_hand_over(Eval *eval, const Ast *node, Value *value);
/* The numbers of an array; takes over the reference. */
void array_give(Array *array, DmfArray *out);
/* The name in which Greek letters are spelled out, to be freed; NULL when it is none. */
char *name_spelled(Dmf *dmf, const char *name);

/* view.c: a curve or a matrix at the prompt, as a picture of characters. False where results do not
 * go to a terminal, or the value is better shown as text. */
bool view_value(Eval *eval, const Ast *node, Value *value);
/* A field of a result that has been computed, with its errors and times; else NULL. */
Value *view_field(Eval *eval, Result *result, const char *name, int layer);
/* Draws a value of a run into a file, over the end of its times. */
Status view_picture(Eval *eval, const char *name, Value *value, const char *path, char **why);

/* files.c */
Value *files_read(Eval *eval, Span span, const char *format, const char *path, const char *inside);
void files_save(Eval *eval, Value *value, const char *name, const char *path, bool certain,
                Span span);
/* The path of a file that was saved: where `save` puts it, else beside the script; to be freed.
 * `*unknown`: in a check, the script itself writes it. */
char *files_saved(const Eval *eval, Span span, const char *path, bool *unknown);
void files_expect_none(Dmf *dmf);
/* Where a file that a script writes goes, under the directory of --out, which is made; to be freed.
 * NULL after reporting. */
char *files_target(Eval *eval, const char *path, Span span);
/* The directory that an argument names, as files_target has it, which is made when it is not there;
 * to be freed. NULL after reporting. */
char *files_directory(Eval *eval, const Value *value, const char *argument, Span span);
void files_free(Dmf *dmf);

/* report.c */
void report_results(Eval *eval, const Item *items, int count, const char *path, Span span);

/* solvers.c: what a result of dmft was made by, as equations in LaTeX, to be freed; NULL where
 * there is nothing to say. And two results compared, which the check of `compare` would take; NULL
 * else. */
char *solver_equations(const Result *result);
Result *solver_compared(Eval *eval, Result *a, Result *b);

/* draw.c */
void draw_plot(Eval *eval, const PlotPart *parts, int count, const char *path, Span span);
/* The curves of a part as a figure of a page. */
void draw_figure(const PlotPart *part, FILE *out);
/* One panel into a file. */
Status draw_file(const PlotPart *part, const char *path, char **why);
/* Tells who wants to know it that a file was written. */
void files_tell(const Dmf *dmf, const char *path);
/* One panel in characters, of so many lines, as wide as the terminal of the results. */
Status draw_characters(const Dmf *dmf, const PlotPart *part, FILE *out, int lines, char **why);

#endif
