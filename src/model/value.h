/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The values of the language. A value never changes once it is made; it is shared by reference
 * count. New values belong to a Heap, which lets go of them when the statement that made them ends;
 * who stores a value keeps it.
 *
 * `known` is false for what stands in, during a check, for a number that only a run would give: its
 * type and shape are right, its contents are not. VALUE_UNKNOWN has not even a type. VALUE_BROKEN
 * comes out of an error that was already reported; whatever is computed from it is broken too. */
#ifndef DMF_MODEL_VALUE_H
#define DMF_MODEL_VALUE_H

#include "model/problem.h"
#include "result/result.h"
#include "syntax/ast.h"

typedef enum ValueKind {
  VALUE_BROKEN,
  VALUE_UNKNOWN,
  VALUE_NONE,   /* an optional argument that was not given */
  VALUE_NUMBER, /* also truth, 0 or 1 */
  VALUE_ARRAY,  /* rank > 0 */
  VALUE_STRING,
  VALUE_LIST,     /* elements of different kinds or shapes */
  VALUE_SYMBOL,   /* a scalar expression: the argument of an activation, or made of it */
  VALUE_FUNCTION, /* declared with `function` */
  VALUE_BUILTIN,
  VALUE_ACTIVATION, /* a scalar function of one argument, some parameters bound */
  VALUE_LOSS,
  VALUE_LAYER,  /* declared with `layer` */
  VALUE_CHAIN,  /* layers */
  VALUE_LINK,   /* a layer of a chain */
  VALUE_MATRIX, /* in the body of a layer */
  VALUE_OPTIMIZER,
  VALUE_DECLARED, /* a dataset, model or training */
  VALUE_SYSTEM,
  VALUE_POPULATION, /* in the body of a system */
  VALUE_TERM,       /* there: what is no vector and no number */
  VALUE_CURVE,      /* y against x, for plot */
  VALUE_RESULT,
  VALUE_STDERR, /* the standard errors of a result, by field */
  VALUE_FAMILY  /* all layers of one field of a result */
} ValueKind;

typedef struct Value Value;
typedef struct Builtin Builtin;
typedef struct Trail Trail;

/* The parameters of a builtin. */
typedef struct Parameter {
  char *name;
  Value *fallback; /* NULL: required */
} Parameter;

typedef struct Signature {
  Parameter *list;
  int count;
  bool variadic; /* the last one takes all that follow */
} Signature;

/* Layers joined by ->. `input` alone is a chain without layers. */
typedef struct Chain {
  bool input; /* starts at `input` */
  Value **links;
  int count;
} Chain;

/* A layer with its arguments, as it stands in a chain. */
typedef struct Link {
  Value *maker; /* VALUE_LAYER or VALUE_BUILTIN */
  Value **args; /* by parameter; NULL where the default of a declared layer holds */
  Span *places; /* of the arguments */
  int count;
  Span span;
  char *text;  /* as it is written */
  int endless; /* it begins a group of so many that is repeated without end; or 0 */
} Link;

/* The call that made it: a builtin, and its arguments with their places. Variants make it again. */
typedef struct Optimizer {
  OptimizerKind kind;
  Value *builtin;
  Value **args;
  Span *places;
} Optimizer;

typedef enum DeclaredKind { DECLARED_DATASET, DECLARED_MODEL, DECLARED_TRAINING } DeclaredKind;

/* How a curve is drawn; AUTO: points for what was read from networks, else a line. */
typedef enum CurveStyle { CURVE_AUTO, CURVE_LINE, CURVE_DASHED, CURVE_POINTS } CurveStyle;

enum { DECLARED_MAX_KEYS = 12 };

/* A system: its declaration, and the values of its keys in their order there. */
typedef struct Dynamics {
  const Ast *node;
  Value **key;
  Span *place;
  bool *given; /* rather than computed as the declaration says */
  int count;
} Dynamics;

/* What may stand behind += of a matrix, or `observe`. */
typedef enum TermKind {
  TERM_OUTER,    /* sum over rows of of[0] of[1]^T */
  TERM_TWO_TIME, /* <x(t) y(s)> of of[0] and of[1] */
  TERM_RESPONSE, /* of of[0] to of[1] */
  TERM_EXPONENT  /* how fast neighbours part */
} TermKind;
typedef struct Term {
  TermKind kind;
  const Expr *of[2];
} Term;

/* A declaration: the value of every key, in the order of its key table (model/declare.h). */
typedef struct Declared {
  DeclaredKind kind;
  char *name;
  Span span;                      /* of the name */
  Value *slot[DECLARED_MAX_KEYS]; /* NULL: not given and without default */
  Span place[DECLARED_MAX_KEYS];  /* of the value, or of the name where it is a default */
} Declared;

struct Value {
  int references;
  ValueKind kind;
  bool known;
  bool literal; /* what the body of a layer itself writes: a number, or a matrix with one before it
                 */
  bool truth;   /* of a number or array: it was made by a comparison or by logic, and is a mask */
  union {
    double number;
    Array *array;
    char *string;
    struct {
      Value **items;
      int count;
    } list;
    const Expr *symbol;
    const Ast *function; /* VALUE_FUNCTION, VALUE_LAYER */
    struct {
      const Builtin *row;
      Signature *signature; /* owned */
    } builtin;
    struct {
      char *name;
      const Ast *node; /* its declaration, or NULL: then expr is the function */
      const Expr *expr;
      Value **bound; /* by parameter after the first; NULL where the default holds */
    } activation;
    struct {
      char *name;
      const Expr *expr; /* of (f, y); NULL: the cross entropy of the softmax */
    } loss;
    Chain chain;
    Link link;
    struct {
      int index;     /* among those of its layer */
      double factor; /* in front of it */
      bool transposed;
    } matrix;
    Optimizer optimizer;
    Declared declared;
    Dynamics dynamics;
    int population;
    Term term;
    Result *result;
    struct {
      Array *x, *y; /* [n]; [n], or [n, k] for k curves */
      char *label;  /* or NULL; "" keeps it out of the legend */
      CurveStyle style;
      int color; /* 1..8, or 0 */
    } curve;
    struct {
      Result *result;
      char *name;
      bool errors; /* the standard errors of the field */
    } family;
  };
  /* Of a number or array that follows from sampled ones: how (model/trail.h), and its standard
   * errors, once somebody has asked for them. */
  Trail *trail;
  Array *error;
  /* Where an array, number or curve was read from, for printing and plotting. All of it is zero
   * once anything has been computed with the value. */
  Result *source;
  char *field; /* its name; NULL of what is no part of one field */
  int layer;
  Axes *axes; /* of fields, swept arrays and their parts, one for each axis; else NULL */
};

typedef struct Heap {
  Value **items;
  size_t count, capacity;
} Heap;

Value *value_keep(Value *value); /* NULL is allowed, here and in value_drop */
void value_drop(Value *value);
/* Lets go of everything made since the heap held `mark` values, except `result`, which stays in the
 * heap (and may be NULL). */
void heap_release(Heap *heap, size_t mark, Value *result);
void heap_free(Heap *heap);
/* A value lives as long as what is made now. */
void heap_keep(Heap *heap, Value *value);

/* A zeroed, known value of this kind, for its maker to fill in. */
Value *value_new(Heap *heap, ValueKind kind);
Value *value_number(Heap *heap, double number);
/* Takes over the array; one of rank 0 becomes a number. */
Value *value_array(Heap *heap, Array *array);
Value *value_string(Heap *heap, const char *text);
Value *value_result(Heap *heap, Result *result); /* takes over the reference */
/* Says that a number or array is a truth value; gives the value. */
Value *value_truth(Value *value);
/* The value itself when it is known already to be unknown, else a copy that is. */
Value *value_forget(Heap *heap, Value *value);

/* The number or array as an array, to be dropped; NULL for other kinds. */
Array *value_as_array(const Value *value);
bool value_is_numeric(const Value *value); /* NUMBER or ARRAY */
bool value_is_closure(const Value *value); /* a function without a name */
/* How messages call the value: "a number", "an array of shape [3, 2]", "a model"; the text lives
 * until the fourth next call on this thread. */
const char *value_describe(const Value *value);
/* Why a list is no array, as a hint; NULL for other values. */
const char *value_list_hint(const Value *value);
const char *declared_kind_name(DeclaredKind kind);

#endif
