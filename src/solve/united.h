/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Networks, and those that are made of the neurons of several. A network of width S is a functional
 * F of S independent neurons (sequential.c). A group is 2^levels networks of width S, those of
 * width 2S made of the neurons of two of them, and so on to the one that has all: what is linear in
 * the neurons is the same at every width of a group, and differences show what comes with 1/S. */
#ifndef DMF_SOLVE_UNITED_H
#define DMF_SOLVE_UNITED_H

#include "solve/solve.h"
#include "solve/trace.h"

typedef struct United {
  const Program *program; /* completed */
  const MachineCode *code;
  const SolveOptions *options; /* of the solve that it is part of */
  double gamma;
  bool independent; /* the backward pass meets matrices of its own */
  size_t width;     /* S */
  int levels, groups;
  uint64_t first;  /* number of a group */
  FieldSet values; /* what is measured of networks (trace.h), and over pairs of times */
  int pairs;
  size_t size; /* numbers that `read` makes of a network */
  void (*read)(const void *context, const Trace *trace, double *numbers);
  const void *context;
  uint64_t asks;     /* tells apart what that reads, of checkpoints */
  const char *stage; /* for progress */
  double *flops;     /* what they come to is added here; or NULL */
} United;

/* means [groups, levels + 1, size]: the mean of the numbers over the networks of each width of a
 * group. Of a failure *failed_at is the step. */
Status united_run(const United *plan, double *means, int *failed_at);
double united_bytes(const United *plan); /* with the means */
/* Adds what they take to a plan. */
void united_plan(const United *united, SolvePlan *plan);

/* What is read of one network, and its operations; `run` says how it is made: noise, columns,
 * tolerance. Failures are those of machine_run. */
Status united_measure(const United *plan, const MachinePlan *run, double *numbers, double *flops,
                      int *failed_at);
/* An upper bound of what that holds. */
double united_run_bytes(const United *plan, const MachinePlan *run);

#endif
