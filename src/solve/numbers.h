/* SPDX-License-Identifier: GPL-3.0-or-later */
/* N times covariances of two fields, and variances of numbers that are functions of fields, from
 * runs that were recorded. */
#ifndef DMF_SOLVE_NUMBERS_H
#define DMF_SOLVE_NUMBERS_H

#include "solve/influences.h"
#include "solve/run.h"

/* What the variances of a field are called, which says what they are of. */
FieldId numbers_variances(NoiseField field);
/* The covariances [numbers_pairs] of two fields, with their errors. */
Status numbers_covary(Recorded *runs, const NoiseField pair[2], double *value, double *error,
                      char **why);
size_t numbers_pairs(const Recorded *runs, const NoiseField pair[2]);
/* The variances [n] of numbers with these slopes, with their errors. */
Status numbers_vary(Recorded *runs, const Slopes *of, size_t n, double *value, double *error,
                    char **why);
/* The variances [n] of numbers and their errors from those [2 n] of the same, and of what may be
 * wrong with them. */
void numbers_judge(size_t n, const double *both, double *value, double *error);
/* What is made of the influences of both. */
double numbers_pair_bytes(const Recorded *runs, const NoiseField pair[2]);
double numbers_bytes(const Recorded *runs, size_t n);

#endif
