/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The theory of a field program as mathematics: the network, its order parameters, the process of
 * one neuron of each population, the tangent kernel and the output, under a closure. All of it is
 * read off the program's spaces, matrices, variables and ops. */
#ifndef DMF_FIELD_EQUATIONS_H
#define DMF_FIELD_EQUATIONS_H

#include "field/program.h"

/* Why these equations, or those of the lazy limit, cannot be written; or NULL. */
const char *equations_refuse(const Program *program, bool lazy);
/* As text for a terminal, or as the body of a document of LaTeX; without a theory those of networks
 * alone; to be freed. */
char *equations_print(const Program *program, Closure closure, bool theory, bool latex);
/* The same of a system, whose closure is the full theory. */
char *equations_of_system(const Program *program, bool latex);
/* A complete document of LaTeX around such bodies; to be freed. */
char *equations_document(const char *bodies);

#endif
