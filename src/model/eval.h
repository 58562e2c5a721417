/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The evaluator. One walk over the syntax tree serves twice: a *check* evaluates everything except
 * that solvers give placeholders of the right fields and shapes and nothing is shown or written, so
 * that the errors of a whole file are found before anything is solved; a *run* does it all and
 * stops at the first error. */
#ifndef DMF_MODEL_EVAL_H
#define DMF_MODEL_EVAL_H

#include "model/scope.h"
#include "model/value.h"
#include "num/arrayops.h"

#include <signal.h>

typedef struct Eval Eval;

/* A call of a builtin: one value for each parameter of its signature (defaults filled in), the rest
 * of a variadic one behind them. */
typedef struct Call {
  Eval *eval;
  const Builtin *row;
  const Signature *signature;
  Span span;
  Value **args;
  Span *places;      /* of the arguments; of the whole call where a default stands */
  const Ast **nodes; /* as written, or NULL */
  int count;
  const Ast *node; /* the whole call, for BUILTIN_FORM */
} Call;

enum {
  BUILTIN_SIZES = 1,       /* the numbers among its arguments set the shape of what it gives */
  BUILTIN_ELEMENTWISE = 2, /* a scalar function of one argument */
  BUILTIN_LAYER = 4,       /* may stand in a chain without its parentheses */
  BUILTIN_SHAPES = 8,      /* depends on the types and shapes of its arguments alone */
  BUILTIN_READS = 16,      /* reads a file */
  BUILTIN_FORM = 32,       /* evaluates its arguments itself: its Call has only the node */
  BUILTIN_OPTIMIZER = 64,  /* gives an optimizer */
  BUILTIN_SAYS = 128,      /* declares, and stands so in the recipes of results */
  BUILTIN_AVERAGES = 256,  /* in a layer an average over neurons, also in those of recipes */
  BUILTIN_DYNAMICS = 8192, /* means something in a system, and stands so in recipes */
  BUILTIN_SETTLED = 512,   /* what it gives has errors of its own, or none */
  BUILTIN_WHOLE = 1024,    /* reads results as a whole: any of their fields */
  BUILTIN_PLACES = 2048,   /* what it gives stands where its arguments stand, along all axes */
  BUILTIN_LEADS = 4096     /* one outcome for each matrix of a stack [..., n, n] */
};

/* A row of a table of builtins. The signature reads "a, b = 2, word = \"zero\", rest..."; a default
 * of `none` makes an argument optional. */
struct Builtin {
  const char *name, *signature, *about;
  Value *(*run)(Call *call);
  int flags;
  Prim prim; /* of those that are a primitive */
};

/* Something that print or plot shows. */
typedef struct Item {
  const Ast *node;  /* the expression */
  const char *name; /* its label, or its source text */
  bool labelled;
  Value *value;
} Item;

/* The ends of an axis. */
typedef struct PlotLimits {
  bool given;
  double low, high;
} PlotLimits;

/* true, false, or neither was given. */
typedef enum PlotSwitch { SWITCH_OPEN, SWITCH_OFF, SWITCH_ON } PlotSwitch;

/* A panel of a plot: its options, NULL where none was given, and what it shows. */
typedef struct PlotPart {
  const char *title, *x_label, *y_label, *by, *legend, *size, *colors, *text;
  PlotSwitch x_log, y_log, z_log;
  PlotLimits x_lim, y_lim, z_lim;
  const Value *v_lines, *h_lines; /* a number or a vector */
  Item *items;
  int count;
} PlotPart;

/* The names of the options, and the words of those that take some, ending with NULL. */
extern const char *const plot_options[];
extern const char *const plot_legends[], *const plot_colors[], *const plot_sizes[];
/* Whether an item NAME = value is an option of its panel, and not a curve of that name. */
bool plot_is_option(const Item *item);
/* Puts the option into its panel, or reports what is wrong with it. */
void plot_take_option(Eval *eval, const Item *item, PlotPart *part);

/* What the evaluator asks of the session. */
typedef struct Host {
  void *self;
  void (*print)(Eval *eval, const Item *items, int count); /* in runs only */
  /* A check only looks whether they can succeed: the shapes, the name of the file. What is saved
   * may be VALUE_UNKNOWN or VALUE_BROKEN then, and where the name of its file is not certain,
   * `path` is a name like it or NULL. */
  void (*plot)(Eval *eval, const PlotPart *parts, int count, const char *path, Span span);
  void (*save)(Eval *eval, Value *value, const char *name, const char *path, bool certain,
               Span span);
  /* Writes a page about results. */
  void (*report)(Eval *eval, const Item *items, int count, const char *path, Span span);
  /* Shows the value of an expression that stands alone. */
  void (*show)(Eval *eval, const Ast *node, Value *value);
  void (*import)(Eval *eval, const Ast *node);
  /* The value that takes the place of NAME.KEY, or NULL: `--set`. */
  const Ast *(*override)(Eval *eval, const char *name, const char *key);
  /* Reads the file for csv, npy, ...; broken after reporting, and VALUE_UNKNOWN where a check comes
   * to a file that the script writes. */
  Value *(*read)(Eval *eval, Span span, const char *format, const char *path, const char *inside);
  /* Why a result lacks this field; NULL when no such result ever has it. */
  const char *(*lacks)(const Result *result, const char *name);
  /* result_complete, where other evaluators may want the same result */
  Status (*complete)(Eval *eval, Result *result, const char *name, char **why);
  /* What that will be, where a check comes to it. */
  void (*foresee)(Eval *eval, Span span, Result *result, const char *name);
} Host;

/* A result whose fields are other numbers for a while: an expression as a function of them. */
typedef struct Standin {
  const Result *result;
  int count;      /* of its fields */
  Array **values; /* [count]: in the place of a field; NULL: as it is */
  bool *read;     /* [count]: fields that were read */
} Standin;

/* A function whose body is being evaluated. */
typedef struct Frame Frame;
struct Frame {
  const Ast *function;
  const Frame *up;
};

struct Eval {
  Heap heap;
  ExprPool *pool;
  Diags *diags;
  const Host *host;
  Scope *globals; /* where names are assigned; over the builtins */
  Scope *local;   /* where the lines of a function assign names, or NULL */
  Scope *scope;   /* where names are looked up first */
  const volatile sig_atomic_t *stop;
  const struct Crew *crew; /* whose processes end at one place (crew_halts), or NULL */
  Span at;                 /* what was last begun: of what has no place of its own */
  bool dry;                /* a check, not a run */
  bool worker;             /* one of several evaluators that run at a time */
  int threads;             /* that a solver may use */
  bool interactive;
  bool halted;      /* a run met an error */
  bool aside;       /* a branch that is not taken is looked at for what it would give */
  bool blind;       /* an import failed: unknown names may be its own, and are not reported */
  unsigned draws;   /* marks of calls whose seed was left out (model/draws.h) */
  int depth, calls; /* of nested expressions, of nested calls */
  int doubt;        /* > 0 in code that a check cannot tell to be run, or how often */
  char **doubtful;  /* names assigned there */
  int doubtful_count, doubtful_capacity;
  const Frame *frames; /* the functions under way */
  Ast *const *entries; /* of the declaration under way, which do not see each other */
  int entry_count;
  struct Forward *forward; /* the layer whose body is evaluated, or NULL */
  Standin *standin;        /* or NULL */
  struct Builder *system;  /* the system whose body is evaluated, or NULL */
  const Ast **functions;   /* declared in this check: their bodies are still to be checked */
  int function_count;
};

enum { CALL_DEPTH = 200, EXPRESSION_DEPTH = 4000 };

/* What a check may compute (base/work.h), and how much of it an expression takes by itself: a
 * million expressions or some hundred megabytes, which is a second or less. */
enum { CHECK_WORK = 50000000, EXPRESSION_WORK = 50 };

/* Whether a check may spend so much; a run always may. */
bool eval_affords(const Eval *eval, double numbers);

/* Reports an error; a run halts. Returns a broken value. What a check leaves out because it would
 * be too much work is no error, and not known. */
Value *eval_error(Eval *eval, Span span, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
Value *eval_fail(Eval *eval, Status status, Span span, const char *hint, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* The same for want of memory; who bounds it is said. What was left off because the user wants out
 * says that. */
Value *eval_starve(Eval *eval, Span span);
/* Of an array operation: the result as a value, or its error reported. Where the arguments were not
 * known, a failure that comes of their contents is none. */
Value *eval_array(Eval *eval, Span span, Array *array, const char *why, bool known);
/* A value for "no such name among these": reports `format` with a suggestion. */
Value *eval_unknown(Eval *eval, Span span, const char *name, const char *const *candidates,
                    const char *format, ...) __attribute__((format(printf, 5, 6)));

/* statements: eval.c */
void eval_block(Eval *eval, const Ast *block);
void eval_statement(Eval *eval, const Ast *node);
/* Whether the user wants out, and this is the place to end. */
bool eval_stops(const Eval *eval);
/* The same; reports it and halts, in a check too. */
bool eval_interrupted(Eval *eval, Span span);
/* Whether the parameters of a declaration have different names; reports otherwise. */
bool eval_distinct_parameters(Eval *eval, const Ast *node);
/* Finishes a check or a run and frees what the evaluator holds, but not its scopes. */
void eval_end(Eval *eval);
/* Gives a name its value in the global scope. */
void eval_assign(Eval *eval, const char *name, Value *value, Span span);
/* How many elements a loop over it takes, -1 when that is not known or was reported. */
long long eval_length(Eval *eval, const Value *value, Span span);
/* The i-th element of a list, or row of an array. */
Value *eval_element(Eval *eval, Span span, const Value *value, long long i);
/* Whether the value counts as true: 1, 0, or -1 when it cannot be told (an error was reported, or
 * the value is not known). */
int eval_truth(Eval *eval, Value *value, Span span);

/* expressions: expression.c */
Value *eval_expression(Eval *eval, const Ast *node);

/* operators.c */
Value *eval_operator(Eval *eval, const Ast *node, int op, Value *a, Value *b);
Value *eval_prim(Eval *eval, Span span, Prim prim, Value *a, Value *b);
Value *eval_choose(Eval *eval, Span span, Value *condition, Value *yes, Value *no);
/* What a condition of one sampled number chose, `taken`, where it was true or not: in directions of
 * its error in which it is not so it is `other`. */
Value *eval_decide(Eval *eval, Value *condition, Value *taken, Value *other, bool truth);

/* access.c */
Value *eval_index(Eval *eval, const Ast *node);
Value *eval_field(Eval *eval, const Ast *node);
/* What may follow a dot behind the value (`errors`: behind its `.stderr`), ending with NULL, to be
 * freed; NULL if nothing may. */
const char **value_fields(const Value *value, bool errors);
/* The part of an array that subscripts choose, which remembers where it comes from. */
Value *eval_part(Eval *eval, Span span, Value *base, int count, const Subscript *list, bool known);

/* call.c */
Value *eval_call(Eval *eval, const Ast *node);
/* Calls a function value with one positional argument. */
Value *eval_apply(Eval *eval, Span span, Value *function, Value *argument);
/* The value of an argument of the call that made an optimizer, such as eta; NULL when it has none
 * of this name. */
Value *optimizer_parameter(const Value *optimizer, const char *name);
/* The optimizer that the call makes with this argument replaced; broken after reporting. */
Value *optimizer_with(Eval *eval, const Value *optimizer, const char *name, Value *value,
                      Span span);
/* The function that stands without a name in an expression. The names around it that are not global
 * have the values that they have now. */
Value *eval_closure(Eval *eval, const Ast *node);
/* Evaluates the body of a function with these arguments (NULL: its default). */
Value *eval_body(Eval *eval, const Ast *function, Value **args, Span span);
/* Puts a table of builtins into a scope; it ends with a row without name, and empty names are
 * passed over. */
void eval_define(Eval *eval, Scope *scope, const Builtin *rows);
/* Calls a layer without arguments, defaults throughout: a bare `readout` in a chain; what is no
 * such layer stays as it is. */
Value *eval_call_bare(Eval *eval, const Ast *node, Value *callee);
/* Evaluates the arguments of a call by parameter, NULL where the default holds. False when
 * something is broken (reported) or not known at all; *values and *places are to be freed. */
bool eval_arguments(Eval *eval, const Ast *call, const Ast *function, int count, Value ***values,
                    Span **places);

/* symbolic.c */
/* The scalar function of one argument that a value stands for, or NULL after reporting. */
const Expr *eval_activation(Eval *eval, Span span, Value *value);
/* ell(f, y) of a loss declaration, or NULL after reporting. */
const Expr *eval_loss(Eval *eval, const Ast *node);
Value *eval_derivative(Call *call);
bool eval_is_activation(const Value *value);

#endif
