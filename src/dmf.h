/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The public face of dmf: open a session, run text or files in it, close it. The command and the
 * REPL see this header alone. Two sessions may live in one process; one session is used by one
 * thread at a time, except for dmf_interrupt. */
#ifndef DMF_H
#define DMF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct Dmf Dmf;

typedef struct DmfConfig {
  FILE *results;     /* what scripts print; NULL: stdout */
  FILE *diagnostics; /* messages; NULL: stderr */
  bool color;        /* colour in diagnostics */
  bool json;         /* one JSON line for each printed value */
  bool quiet;        /* no progress */
  bool interactive;  /* a REPL: expressions alone on a line are shown */
  int threads;       /* 0: DMF_THREADS, OMP_NUM_THREADS, or the processors available */
  const char *out;   /* directory for files that scripts write; NULL: as written */
  bool has_seed;     /* `seed` replaces the default seed of every solver call */
  unsigned long long seed;
} DmfConfig;

/* The end of a piece of work, also the exit status of the command. */
enum { DMF_OK = 0, DMF_SCRIPT = 1, DMF_USAGE = 2, DMF_NUMERICS = 3, DMF_ASSERT = 4, DMF_FILE = 5,
       DMF_LIMIT = 6, DMF_INTERRUPTED = 130, DMF_INCOMPLETE = -1 };

const char *dmf_version(void);

Dmf *dmf_open(const DmfConfig *config);
void dmf_close(Dmf *dmf);

/* Overrides a declared key: "net.gamma=2". Takes effect in the scripts run afterwards; a setting
 * that named nothing declared in them is a usage error of the run. */
int dmf_set(Dmf *dmf, const char *setting);

/* Runs a script. Everything is parsed and checked before anything is solved. */
int dmf_run_file(Dmf *dmf, const char *path);
/* Runs a text; `name` stands in messages. In an interactive session an unfinished text returns
 * DMF_INCOMPLETE and has no effect. */
int dmf_run_text(Dmf *dmf, const char *name, const char *text, size_t length);

/* Parses and checks without solving. */
int dmf_check_file(Dmf *dmf, const char *path);
/* Prints the lowered field program of every solver call in the script, without solving. */
int dmf_ir_file(Dmf *dmf, const char *path);
/* Prints the equations of every solver call in the script, without solving; `latex`: as one document
 * of LaTeX. */
int dmf_equations_file(Dmf *dmf, const char *path, bool latex);

/* Asks the running solver to stop at its next step; may be called from a signal handler. */
void dmf_interrupt(Dmf *dmf);

/* The i-th name that a user may type at this point (variables, functions, keys), or NULL past the
 * end; valid until the next call into the session. */
const char *dmf_name(Dmf *dmf, int i);

/* The candidate (of a list that ends with NULL) that was probably meant by `word`, or NULL. */
const char *dmf_suggest(const char *word, const char *const *candidates);

#ifdef __cplusplus
}
#endif

#endif
