/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The public face of dmf: open a session, run text or files in it, read and set arrays, close it.
 * The command and the REPL see this header alone. Two sessions may live in one process; one session
 * is used by one thread at a time, except for dmf_interrupt, and not from its own call-backs.
 * Numbers in texts have a decimal point in every locale: these functions work in the locale "C",
 * and leave that of the process and of the thread as they were. HDF5 files are read and written by
 * a child of the process, and matrices whose factors take more than seconds are factorized by one;
 * OpenBLAS is loaded when it is first needed, and set, for the whole process, to one thread. */
#ifndef DMF_H
#define DMF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct Dmf Dmf;

/* A message. Its texts live as long as the call that hands it over. */
typedef struct DmfDiagnostic {
  const char *severity; /* "error", "warning", "remark", or "note": more on the message before */
  const char *message;
  const char *hint;         /* how to go on, or NULL */
  const char *file;         /* or NULL: it is about no place in a text, and the numbers are 0 */
  int line, column;         /* of its first character, both from 1 */
  int end_line, end_column; /* behind its last character */
  const char *text;         /* all of it as it would be printed, with the line and a caret */
} DmfDiagnostic;

typedef struct DmfValue DmfValue;

/* The processes of a command that mpirun started several times. */
typedef struct DmfCrew DmfCrew;

typedef struct DmfConfig {
  FILE *results;     /* what scripts print; NULL: stdout */
  FILE *diagnostics; /* messages; NULL: stderr */
  bool color;        /* colour in diagnostics */
  void (*diagnose)(void *sink,
                   const DmfDiagnostic *diagnostic); /* takes messages instead; or NULL */
  void *sink;                                        /* handed to the call-backs */
  /* Told while a solver works, from one thread at a time, that `done` of `total` steps of a stage
   * are behind it; a last time, without stage, when the work is over. NULL: nobody is told. */
  void (*progress)(void *sink, const char *stage, int done, int total);
  /* Takes what scripts print, instead of `results`; or NULL. */
  void (*print)(void *sink, const char *text, size_t length);
  /* In an interactive session, takes the value of an expression that stands alone, as it is
   * written, instead of printing it; who takes the value frees it. NULL: it is printed. */
  void (*show)(void *sink, const char *expression, const DmfValue *value);
  void (*wrote)(void *sink,
                const char *path); /* told of every file that a script has written; or NULL */
  /* Plots that name no file are drawn as plot_1.svg, plot_2.svg, ... in this directory; NULL: in
   * characters among the results. */
  const char *pictures;
  bool json;        /* one JSON line for each printed value */
  bool quiet;       /* `progress` is not called */
  bool interactive; /* a REPL: expressions alone on a line are shown */
  bool partial;     /* after dmf_interrupt, a run goes on with what its solver has so far, up to the
                     * next solver; it ends with DMF_INTERRUPTED */
  bool learns; /* a check leaves the names that it found, with what stands in for what only a run
                  would know: for completion in an editor */
  int threads; /* 0: DMF_THREADS, OMP_NUM_THREADS, or the processors available */
  const char *out;         /* directory for files that scripts write; NULL: as written */
  bool has_seed;           /* `seed` replaces the default seed of every solver call */
  unsigned long long seed; /* up to 2^53 */
  DmfCrew *crew;           /* shares the work of the session; NULL: one process */
  /* Told before `progress` what share of the work of the stage lies behind it, as a plan has it:
   * later steps may take longer than earlier ones. NULL: nobody is told. */
  void (*work)(void *sink, double share);
} DmfConfig;

/* The end of a piece of work, also the exit status of the command. */
enum {
  DMF_OK = 0,
  DMF_SCRIPT = 1,
  DMF_USAGE = 2,
  DMF_NUMERICS = 3,
  DMF_ASSERT = 4,
  DMF_FILE = 5,
  DMF_LIMIT = 6,
  DMF_INTERRUPTED = 130,
  DMF_INCOMPLETE = -1
};

const char *dmf_version(void);

/* Bounds the memory of the process: requests beyond it end with DMF_LIMIT, as they do beyond what
 * the machine, getrlimit(2) and the control groups of the process leave. 0: no other bound than
 * those. */
void dmf_limit_memory(double bytes);
/* What is left under these bounds. */
double dmf_free_memory(void);

/* Joins the processes that mpirun started beside this one. All must then open one session and run
 * the same scripts in it: each evaluates everything, and solvers share the work; the one that leads
 * shows and writes. Once in a process, from the thread that runs scripts. NULL where there is no
 * other, and with *why, to be freed, where that fails. Call dmf_crew_leave when the session is
 * closed. */
DmfCrew *dmf_crew_join(char **why);
bool dmf_crew_leads(const DmfCrew *crew);
int dmf_crew_neighbours(const DmfCrew *crew); /* processes on this machine, with this one */
/* At the end, waits for the others, and gives the largest status of all and that of the process
 * that shows and writes; false where *status is not 0 and some do not come: they wait for this one,
 * and dmf_crew_end ends all with a status. */
bool dmf_crew_gather(DmfCrew *crew, int *status, int *leader);
void dmf_crew_end(DmfCrew *crew, int status);
void dmf_crew_leave(DmfCrew *crew);

/* NULL: there is no memory for a session. What lacks memory later ends with DMF_LIMIT, and the
 * session stays usable: a reserve of 1.5 MB, which is there as long as a session is open, serves
 * the way out. */
Dmf *dmf_open(const DmfConfig *config);
void dmf_close(Dmf *dmf);
/* The settings of a session: color, quiet, threads and seed may be changed between runs. */
DmfConfig *dmf_config(Dmf *dmf);

/* Overrides a declared key: "net.gamma=2". Takes effect in the scripts run afterwards; a setting
 * that named nothing declared in them is a usage error of the run. */
int dmf_set(Dmf *dmf, const char *setting);

/* Runs a script. Everything is parsed and checked before anything is solved. */
int dmf_run_file(Dmf *dmf, const char *path);
/* Runs a text; `name` stands in messages. In an interactive session an unfinished text returns
 * DMF_INCOMPLETE and has no effect. */
int dmf_run_text(Dmf *dmf, const char *name, const char *text, size_t length);

/* Whether the text ends inside a statement, so that more is to be read before it is run. */
bool dmf_unfinished(Dmf *dmf, const char *text);

/* Parses and checks without solving. */
int dmf_check_file(Dmf *dmf, const char *path);
int dmf_check_text(Dmf *dmf, const char *name, const char *text, size_t length);
/* Prints the lowered field program of every solver call in the script, without solving. */
int dmf_ir_file(Dmf *dmf, const char *path);
/* Prints what every solver call in the script will take, memory, operations and seconds, without
 * solving: it begins each, and stops after a part of a second. */
int dmf_plan_file(Dmf *dmf, const char *path);
/* Prints the equations of every solver call in the script, without solving; `latex`: as one
 * document of LaTeX. */
int dmf_equations_file(Dmf *dmf, const char *path, bool latex);

/* Brings a script into the standard layout, which changes white space alone: prints it, rewrites
 * the file if something changes, or only reports (DMF_SCRIPT) that something would. */
typedef enum DmfFormat { DMF_FORMAT_PRINT, DMF_FORMAT_REWRITE, DMF_FORMAT_CHECK } DmfFormat;
int dmf_format_file(Dmf *dmf, const char *path, DmfFormat what);
/* The same for a text; *formatted is to be freed, and NULL after a syntax error. */
int dmf_format_text(Dmf *dmf, const char *name, const char *text, size_t length, char **formatted);

/* Numbers of a session, row major. */
enum { DMF_MAX_RANK = 8 };
typedef struct DmfArray {
  int rank; /* 0: a number */
  size_t shape[DMF_MAX_RANK];
  size_t size; /* the product of the shape */
  const double *data;
  void *owner; /* for dmf_array_free */
} DmfArray;

/* The value of an expression of the language, such as "theory.loss", "theory.stderr.Phi[1]" or
 * "mean(nets.f[-1])". After DMF_OK the array is to be freed; it outlives its variable and the
 * session. Otherwise it is empty. */
int dmf_get(Dmf *dmf, const char *expression, DmfArray *array);
void dmf_array_free(DmfArray *array);
/* Gives a variable an array, which is copied; scripts run afterwards find it. DMF_USAGE when this
 * is no name. */
int dmf_put(Dmf *dmf, const char *name, int rank, const size_t *shape, const double *data);

/* What a value is, as far as it matters outside. */
typedef enum DmfValueKind {
  DMF_NUMBERS, /* a number or an array */
  DMF_TEXT,
  DMF_LIST,
  DMF_LAYERS, /* of a field of a result: it[1] is the first */
  DMF_RESULT, /* of a solver */
  DMF_OTHER   /* a declaration, a function, ... */
} DmfValueKind;

/* What an axis of an array runs over. */
typedef struct DmfAxis {
  const char *name; /* "t", "net.gamma", ...; NULL where it is not known */
  DmfArray at;      /* [n]; without data where that is not known */
} DmfAxis;

/* A value of a session. */
struct DmfValue {
  DmfValueKind kind;
  bool truth;                 /* of numbers: they are truth values */
  DmfArray numbers;           /* of DMF_NUMBERS; without data for other kinds */
  DmfArray error;             /* their standard errors; without data where they have none */
  DmfAxis axes[DMF_MAX_RANK]; /* of the numbers */
  int length;                 /* of a list, or how many layers */
  const char *text;           /* of DMF_TEXT; else what it is: "a dmft result" */
  void *owner;                /* for dmf_value_free */
};

/* The value of an expression, in which the name `it` stands for another value (NULL: for none), as
 * in "it.stderr.loss". After DMF_OK the value is to be freed, before the session is closed.
 * Otherwise it is empty. */
int dmf_value(Dmf *dmf, const char *expression, const DmfValue *it, DmfValue *value);
void dmf_value_free(DmfValue *value);
/* Gives a variable a value of this session, or a text. DMF_USAGE when this is no name. */
int dmf_put_value(Dmf *dmf, const char *name, const DmfValue *value);
int dmf_put_text(Dmf *dmf, const char *name, const char *text);
/* How `print` writes the value, in lines of so many columns; to be freed. */
char *dmf_value_text(Dmf *dmf, const DmfValue *value, int columns);
/* The value as a piece of HTML: a result as a card, others as text; to be freed. */
char *dmf_value_html(Dmf *dmf, const DmfValue *value);
/* The i-th name that may follow a dot behind the value, or NULL past the end; valid until the next
 * call with i = 0. */
const char *dmf_value_field(Dmf *dmf, const DmfValue *value, int i);
/* Draws the value into a file (.svg, .png, .pdf or .txt) under this name: curves and maps, of more
 * axes what they are at the end of time; of a result its losses. DMF_SCRIPT when there is nothing
 * to draw. */
int dmf_value_draw(Dmf *dmf, const DmfValue *value, const char *name, const char *path);

/* Asks the running solver to stop at its next step, in all processes of a crew; may be called from a
 * signal handler or a call-back. */
void dmf_interrupt(Dmf *dmf);

/* The i-th text that may take the place of the word that ends at `cursor`, or NULL past the end,
 * the likeliest first: fields after a dot, keys in a declaration, arguments ("samples = ") in a
 * call, options of a plot, behind an equals sign what the key or the argument takes, files that can
 * be read, library files in an import, γ for \gamma; else names and words, where nothing is typed
 * yet those of the session alone. Inside a string the word goes back to its quote. A cursor past
 * the end of the text stands at its end. Valid until the next call with i = 0. */
const char *dmf_complete(Dmf *dmf, const char *text, size_t cursor, int i);
/* What to show beside the i-th of them: its default, its meaning; or NULL. */
const char *dmf_complete_about(Dmf *dmf, int i);

/* The call whose arguments are typed at a place. */
typedef struct DmfCall {
  const char *usage; /* "gd(eta)" */
  const char *about;
  int parameter; /* the one at hand, from 0; -1: none of them */
} DmfCall;

/* The innermost call around the cursor; false when there is none, or of nothing known. The texts
 * are valid until the next call of this function or of dmf_topic. */
bool dmf_call(Dmf *dmf, const char *text, size_t cursor, DmfCall *call);

/* Where that word begins: what the candidates of dmf_complete replace lies between it and the
 * cursor. */
size_t dmf_word(Dmf *dmf, const char *text, size_t cursor);

/* The variables of the session and what they are, a line each; to be freed. */
char *dmf_who(Dmf *dmf);
/* Writes a script of all that was run without error in an interactive session, and checks it:
 * DMF_SCRIPT when it does not run by itself. */
int dmf_save_session(Dmf *dmf, const char *path);

/* Something that scripts may name, and what it is. */
typedef enum DmfKind {
  DMF_KEYWORD,
  DMF_KEY,
  DMF_FUNCTION,
  DMF_FIELD,
  DMF_CONSTANT,
  DMF_LIBRARY, /* a file of the standard library */
  DMF_OPERATOR,
  DMF_ARGUMENT, /* of calls */
  DMF_VALUE     /* a word that an argument or a key takes */
} DmfKind;

typedef struct DmfTopic {
  DmfKind kind;
  const char *group; /* of its like: "Layers", "Keys of a model", "Fields of a result", ... */
  const char *name;
  const char *usage;   /* how it is written: "gd(eta)", "gamma = 1", "Phi[l]  [T+1, Q, T+1, Q]" */
  const char *about;   /* what it means */
  const char *import;  /* the file of the standard library that must be imported first, or NULL */
  const char *example; /* statements, behind those of dmf_examples_begin; or NULL */
} DmfTopic;

/* The i-th topic of the reference, group by group, or NULL past the end; valid until the next call
 * with i = 0. A name may have several. */
const DmfTopic *dmf_topic(Dmf *dmf, int i);
/* The statements that examples rest on. */
const char *dmf_examples_begin(void);
/* What is known about a name, with the functions of this session, as lines of text; a name that is
 * only an argument leads to the calls that take it, and ".loss" to fields and keys alone. Of NULL:
 * the list of all names. To be freed; NULL when the name is not known. */
char *dmf_help(Dmf *dmf, const char *name);
/* The page dmf-stdlib(7) in mdoc, to be freed. */
char *dmf_manual(Dmf *dmf);

/* What a name in a text stands for. */
typedef enum DmfRole {
  DMF_IS_VARIABLE,
  DMF_IS_PARAMETER,
  DMF_IS_FUNCTION,
  DMF_IS_ACTIVATION,
  DMF_IS_LOSS,
  DMF_IS_LAYER,
  DMF_IS_DATASET,
  DMF_IS_MODEL,
  DMF_IS_TRAINING,
  DMF_IS_KEY,      /* of a declaration */
  DMF_IS_ARGUMENT, /* the name of one, in a call */
  DMF_IS_FIELD,    /* behind a dot, or what a system observes */
  DMF_IS_KNOWN,    /* to the language, or to what is imported */
  DMF_IS_POPULATION,
  DMF_IS_MATRIX, /* of a system */
  DMF_IS_STATE
} DmfRole;

typedef struct DmfName {
  DmfRole role;
  size_t begin, end; /* bytes of the text */
  size_t origin;     /* where the name begins at its first definition in this text; SIZE_MAX: it has
                        none */
  bool defines;      /* it is given its meaning here, by the statement from `from` to `to` */
  bool outermost;    /* and that is no name of a function, a layer or a pair of brackets alone */
  size_t from, to;
} DmfName;

/* The i-th name of a text in the order in which they stand, or NULL past the end; what cannot be
 * parsed is left out. Valid until the next call with i = 0. */
const DmfName *dmf_name(Dmf *dmf, const char *text, size_t length, int i);

/* The candidate (of a list that ends with NULL) that was probably meant by `word`, or NULL. */
const char *dmf_suggest(const char *word, const char *const *candidates);

#ifdef __cplusplus
}
#endif

#endif
