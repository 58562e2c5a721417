/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a solver gives back: named arrays with axes, their errors, and how they were made. The names
 * and shapes are those of the language ("f" [T+1, P], "Phi" by layer [T+1, P, T+1, P], ...). */
#ifndef DMF_RESULT_RESULT_H
#define DMF_RESULT_RESULT_H

#include "base/status.h"
#include "num/array.h"
#include "result/scatter.h"

#include <stdbool.h>

/* What an axis runs over; both NULL where that is not known. */
typedef struct Axis {
  char *name; /* "net.gamma", "t" */
  Array *at;  /* [n] */
} Axis;

/* The axes of an array, shared by reference count. */
typedef struct Axes {
  int references, count;
  Axis list[ARRAY_MAX_RANK];
} Axes;

/* Axes of which nothing is known yet. */
Axes *axes_new(int count);
void axes_drop(Axes *axes); /* NULL is allowed */

/* One observable. Layered observables ("Phi", "G", ...) have one entry per layer l = 1..L; plain
 * ones have layer 0. */
typedef struct ResultField {
  char *name;
  int layer;
  char *axes;       /* "t", "t,mu", "t,mu,t,mu", ... */
  char *about;      /* one line, with its scaling in N where it has one */
  Array *value;     /* NULL until computed: see result_complete */
  Array *error;     /* standard error, same shape; NULL where nothing was sampled */
  Scatter *scatter; /* how its numbers are off together; NULL where that is not kept */
  Axes *along;      /* the axes of an array that is no observable, with their places; else NULL */
} ResultField;

typedef struct ResultAttribute {
  char *name, *value; /* value as text: numbers with 17 digits */
} ResultAttribute;

/* How a result is made again: a script of the declarations that a solver's call rests on, and of
 * that call; larger arrays, the data among them, stand in it as names. */
typedef struct RecipeArray {
  char *name;
  Array *array;
} RecipeArray;

typedef struct ResultRecipe {
  char *text; /* NULL: none */
  RecipeArray *arrays;
  int array_count;
} ResultRecipe;

typedef struct Result Result;
struct Result {
  int references;
  char *kind; /* "dmft", "simulate", "compare" */
  ResultField *fields;
  int field_count;
  ResultAttribute *attributes; /* seed, samples, width, seconds, model, version, ... in order */
  int attribute_count;
  ResultRecipe recipe;
  bool exact; /* no sampling took place: errors are zero, or those of rounding */
  /* What takes long may be left out at first: `complete` computes the field `name` (all layers),
   * and perhaps others with it, or with NULL all fields whose value is NULL; and returns how that
   * went. NULL when nothing is missing. */
  Status (*complete)(Result *result, const char *name, char **why);
  bool busy; /* being completed, by an evaluator that does not hold the session */
  void *origin;
  void (*drop_origin)(void *origin);
};

Result *result_new(const char *kind);
Result *result_keep(Result *result);
void result_drop(Result *result); /* NULL is allowed */

/* Adds a field; copies the texts, and takes over the references to value and error (both may be
 * NULL). */
ResultField *result_add(Result *result, const char *name, int layer, const char *axes,
                        const char *about, Array *value, Array *error);
/* The field, or NULL. Its value may still be NULL: see result_complete. */
ResultField *result_find(const Result *result, const char *name, int layer);
/* Number of layers under this name: 0 for a plain field or a missing one. */
int result_layers(const Result *result, const char *name);

/* Whether a field of this name, or with NULL any field, has no value yet. */
bool result_lacks(const Result *result, const char *name);
/* Computes a field that was left out, or with NULL all of them. `*why` is set (to be freed) when
 * the status is not STATUS_OK. */
Status result_complete(Result *result, const char *name, char **why);

/* Sets an attribute, in the place of one of this name. */
void result_note(Result *result, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
const char *result_attribute(const Result *result, const char *name);           /* or NULL */
double result_number(const Result *result, const char *name, double otherwise); /* of its text */

/* Adds an array under a name that the text uses; takes over the reference. */
void recipe_add(ResultRecipe *recipe, const char *name, Array *array);
void recipe_clear(ResultRecipe *recipe);

#endif
