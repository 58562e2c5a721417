/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Polar factors, as Muon takes them of the momentum of a matrix. */
#ifndef DMF_MACHINE_POLAR_H
#define DMF_MACHINE_POLAR_H

#include "base/status.h"
#include "field/program.h"

/* V [rows, cols] becomes U f(s) V^T of its singular value decomposition. Exactly, f = s / hypot(s,
 * floor), 0 where s is below 1e-6 of the largest, which is rounding of what repeats; or by five
 * Newton-Schulz steps of |V| = 1 with the coefficients of K. Jordan (2024), where f is 0.7 to 1.2
 * and small s stay small. Its products are counted in *flops. STATUS_LIMIT if memory ran out,
 * STATUS_NUMERICS if LAPACK found no singular values, as of what is not finite. */
Status polar_factor(const Polar *polar, double floor, size_t rows, size_t cols, double *v,
                    double *flops);

#endif
