/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The shift of means at order 1/N. */
#ifndef DMF_SOLVE_SHIFT_H
#define DMF_SOLVE_SHIFT_H

#include "base/crew.h"
#include "result/result.h"
#include "solve/trace.h"

typedef struct ShiftPlan {
  const Program *program; /* completed */
  const MachineCode *code;
  double gamma;
  bool independent; /* the backward pass meets matrices of its own */
  bool linear;      /* a function of averages of noise alone (wishart.h) */
  size_t width;     /* of the halves, S: the result has an error of relative order 1/S */
  int pairs;
  uint64_t seed;
  const Crew *crew;
  int threads;
  const volatile sig_atomic_t *stop;
  void (*progress)(void *sink, const char *stage, int done, int total, double work);
  void *sink;
} ShiftPlan;

/* Declares the fields mean_shift_f, mean_shift_loss, mean_shift_ntk of a result, and fills them. */
void shift_promise(const Program *program, Result *result);
double shift_bytes(const ShiftPlan *plan); /* that it takes */
Status shift_solve(const ShiftPlan *plan, Result *result);

/* ---- for ways to find them ---- */

/* Numbers in all shifts of a program. */
size_t shift_size(const Program *program);
/* What shifts are of in one network, [shift_size], and its operations; `run` says how the network
 * is made: noise, columns, tolerance. Failures are those of machine_run. */
Status shift_measure(const ShiftPlan *plan, const MachinePlan *run, double *whole, double *flops,
                     int *failed_at);
/* An upper bound of what that holds. */
double shift_run_bytes(const ShiftPlan *plan, const MachinePlan *run);

#endif
