/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Influences of neurons on families of observables, read backward from recorded runs: N times a
 * covariance is the inner product of two influences. */
#ifndef DMF_SOLVE_INFLUENCES_H
#define DMF_SOLVE_INFLUENCES_H

#include "solve/observe.h"
#include "solve/recorded.h"

/* Numbers as sums over entries of tables: [count], number i has the seeds first[i] .. first[i+1] of
 * a run, which are read backward from its mark. */
typedef struct Sums {
  size_t *first;
  Seed *seeds[MOST_RECORDS];
  int mark[MOST_RECORDS];
  uint64_t key; /* tells them apart, of checkpoints */
} Sums;

/* Which numbers are asked for: those whose variances a field has, at all times; or sums. */
typedef struct Family {
  size_t count; /* over all times */
  FieldId id;   /* of the variances */
  int layer;
  bool triangle;    /* of a symmetric table, of which one triangle will do */
  const Sums *sums; /* or NULL */
} Family;

/* `whole`: with both triangles. */
Family family_of(const Recorded *s, FieldId id, int layer, bool whole);

/* What is made of the influences of a family in every run: their squares, and some are kept, every
 * stride-th, where covariances are wanted. */
typedef struct Spread {
  const Recorded *s;
  Family family;
  size_t side, stride;        /* how many are kept */
  bool own;                   /* for covariances with each other alone */
  double *var;                /* [run][count] */
  double *kept[MOST_RECORDS]; /* [side, size] */
  double *gram[MOST_RECORDS]; /* [side, side]: their inner products, with `own` where a run is read
                                 by one process, or NULL */
} Spread;

/* Reads a family, and keeps `side` of its influences, or with `own` what their covariances are made
 * of; to be freed in any case. Where there is a checkpoint, a run that was read is not read again.
 */
Status spread_read(Spread *q, Recorded *s, Family family, size_t side, bool own, char **why);
void spread_free(Spread *q);
/* Of the families and, with the sides of covariances, of these. */
double spread_bytes(const Spread *q, size_t other);
/* N Var of the family, [steps, ..], and its error. */
void spread_variances(const Spread *q, size_t steps, double *value, double *error, double *moves);
/* What a thread holds besides while it reads, of derivatives. */
double spread_reading_bytes(Recorded *s);
/* How many replicates move: 1 where the runs are not independent. */
int spread_runs(const Spread *q);
/* N Cov of what two families kept, value and error [x.side, y.side]; `moves` as of variances. False
 * if memory ran out. */
bool spread_covariances(const Spread *x, const Spread *y, double *value, double *error,
                        double *moves);

#endif
