/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The state of a conditioned run (condition.h), which condition.c and frame.c share. */
#ifndef DMF_SOLVE_CARRIER_H
#define DMF_SOLVE_CARRIER_H

#include "solve/condition.h"

/* One side of a matrix between populations: directions met there, their images on the other side,
 * and the noise in these. */
typedef struct Side {
  View q, image, noise;
  int *known; /* [q.rows]: directions that the other side had before */
  /* in a frame: */
  View velocity; /* of images */
  View past;     /* all that was met [rows, S] ... */
  size_t met;    /* ... so far */
  size_t event;  /* where responses are measured: the first column of its images */
} Side;

typedef struct Carrier {
  Side x, y;
  View x_now, y_now; /* coordinates of what was met last */
  View learned;      /* M [x.q.rows, y.q.rows] as of the last update */
  View velocity;     /* of M or of the table */
  double share;      /* what weight decay has left of the initial matrix */
  View table;        /* of a thin matrix: the images of its vectors [vectors, S] */
  View gram;         /* of an input space, constant */
} Carrier;

typedef struct Run {
  const ConditionPlan *plan;
  const Program *p;
  Condition *out;
  Tape *tape;
  Sizes z;
  View *field; /* [variable], of this step */
  Carrier *carrier;
  View f, pace; /* of this move [C, R], and its velocity where the tangent kernel moves it */
  View delta;   /* of this move, [C, P] */
  View targets, shares; /* [C, P]; w_mu(t) [T, P] */
  View raw_start;       /* <w x>(0) / gamma ... */
  double *start;        /* ... and its value [R, C] */
  int t, stage;
  int made;       /* how often the fields were made before this move */
  bool exhausted; /* no more noise */
  bool *uniform;  /* [variable]: the same at all points */
} Run;

static inline size_t positions_of(const Program *p, const Matrix *m) {
  return (size_t)p->variables[m->y].positions;
}

/* The population of a space, as the tape numbers them. */
static inline int population(const Program *p, int space) {
  int n = 0;
  for (int i = 0; i < space; i++) n += is_wide(p, i);
  return n;
}

/* next += keep w + push v, for tables that may have grown since. */
View moved_on(Run *r, View next, View w, double keep, View v, double push);

/* What is the same at all points: what flows backward through linear maps. */
void frame_find_uniform(Run *r);
/* How much each side will have met in the end, and the columns for its events behind those of the
 * coordinates; returns how many the population has that has most. */
size_t frame_place_events(Run *r);
/* What a matrix of the frame knows before the first step; frame_place_events has been called. */
void frame_start(Run *r, int matrix);
/* A matrix of the frame meets x, which is that of a variable; out is its image, zero at first. */
void frame_apply(Run *r, const Matrix *m, bool forward, int variable, View out);
/* A step of its learning. */
void frame_learn(Run *r, const Matrix *m, Carrier *c, const Move *move, View force);
/* The frame of what a scout met. */
void frame_take(const Run *r, Frame *frame);

#endif
