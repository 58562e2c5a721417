/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From values of the language to a problem. */
#ifndef DMF_MODEL_BUILD_H
#define DMF_MODEL_BUILD_H

#include "model/eval.h"

/* The problem of training this model so; NULL after reporting at the places of the arguments, or
 * without a report when a check does not know the sizes. Layers that are repeated without end are
 * repeated `depth` times, which the problem then says; with depth 0 they are refused. */
Problem *problem_build(Eval *eval, Value *model, Span model_place, Value *training,
                       Span training_place, int depth);

/* The untrained network of this model on the inputs of data_points, its last layer with weights
 * repeated until there are `depth` of those (0: as it is), trained at rate 0. NULL as above. */
Problem *problem_untrained(Eval *eval, Value *model, Span model_place, const Array *inputs,
                           int depth, Span depth_place);

#endif
