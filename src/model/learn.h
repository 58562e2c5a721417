/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Datasets that grow with their dimension, and models that learn them: `dataset NAME { population
 * D, P = alpha ... }` has P = alpha D points in D dimensions. What is infinite then are the data,
 * and the neurons are as many as the model's width says. A neuron of the first layer is a vector on
 * D, what it makes of the points a vector on P, and all other weights are numbers: training is a
 * system, whose step is written here act by act. */
#ifndef DMF_MODEL_LEARN_H
#define DMF_MODEL_LEARN_H

#include "model/acts.h"

/* Whether a training learns a dataset that grows. */
bool learn_grows(const Value *training);
/* The system that the model is which is trained so; NULL after reporting, or where a check does not
 * know all of it. */
System *learn_build(Eval *eval, const Value *model, Span model_place, const Value *training,
                    Span training_place);
/* Whether the lines of a dataset that grows give all that learning needs; reports what they do not.
 */
bool learn_data_sound(Builder *b, void *unused);

#endif
