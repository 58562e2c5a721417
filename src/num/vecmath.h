/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Elementary functions of whole vectors, by SLEEF. The variants used return the same bits at every
 * vector width, so that a result does not depend on where a vector was cut. Accuracy: within 3.5
 * units in the last place. `out` may be `x`. */
#ifndef DMF_NUM_VECMATH_H
#define DMF_NUM_VECMATH_H

#include <stddef.h>

void vec_exp(size_t n, const double *x, double *out);
void vec_log(size_t n, const double *x, double *out);
void vec_log1p(size_t n, const double *x, double *out);
void vec_sin(size_t n, const double *x, double *out);
void vec_cos(size_t n, const double *x, double *out);
void vec_tan(size_t n, const double *x, double *out);
void vec_atan(size_t n, const double *x, double *out);
void vec_acos(size_t n, const double *x, double *out);
void vec_asin(size_t n, const double *x, double *out);
void vec_sinh(size_t n, const double *x, double *out);
void vec_cosh(size_t n, const double *x, double *out);
void vec_tanh(size_t n, const double *x, double *out);
void vec_erf(size_t n, const double *x, double *out);
void vec_pow(size_t n, const double *x, const double *y, double *out);
/* sin(pi x) and cos(pi x) */
void vec_sincospi(size_t n, const double *x, double *sine, double *cosine);

#endif
