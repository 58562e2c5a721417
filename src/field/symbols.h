/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the equations of a program are made of: which parts exist, and how they are written. */
#ifndef DMF_FIELD_SYMBOLS_H
#define DMF_FIELD_SYMBOLS_H

#include "field/notation.h"
#include "field/program.h"

/* What the structure of the program decides, under a closure. */
typedef struct Anatomy {
  Writer *w;
  const Program *p;
  const Problem *optimizer; /* whose numbers are those of the optimizer */
  Closure closure;
  bool frozen; /* kernels keep their initial values: fields carry no time */
  /* per variable */
  bool *carries; /* it depends on the point; else one vector serves all points */
  bool *drifts;  /* its matrices change it in time */
  int *same;     /* what it is a copy of, under whose name it is written; or itself */
  bool *moved;   /* [op, variable]: by the noise of that product in the same step */
  /* per matrix: the response of what it meets on that side to its own noise exists */
  bool *responds_x, *responds_y;
} Anatomy;

Anatomy anatomy_of(Writer *w, const Program *program, Closure closure);
void anatomy_free(Anatomy *a);
/* The same with the optimizer of a matrix in the place of the training's, whose symbols are then
 * those of its group. `own` holds that as long as it is used. */
Anatomy anatomy_for(const Anatomy *a, const Matrix *m, Program *own);
/* Writes for every optimizer; `names` are those of its matrices where there are several, or NULL.
 */
typedef void WriteGroup(const Anatomy *a, const char *names);
void write_groups(const Anatomy *a, WriteGroup *write);
/* Fields are written order by order in gamma. */
bool is_expanded(const Anatomy *a);

/* Where an index stands; `position` is written when there are several, `column` of tables of pairs
 * of positions, `output` when there are several outputs. NULL leaves out. */
typedef struct Place {
  const char *point, *output, *time, *position, *column;
} Place;
extern const Place here, there, still; /* (mu p p' c, t), (alpha q q' c', s), (mu p p' c) */

enum { WHOLE = -1 }; /* not a term of the expansion in gamma, but all of it */

/* Whether a variable is a number for each point, an average over neurons or what follows of such.
 */
bool is_number(const Program *p, int variable);
/* Whether nothing reads what an op makes, or means over a batch alone. */
bool is_idle(const Program *p, const Op *op);
/* Whether it is a number for each pair of positions of a point. */
bool is_pairs(const Program *p, int variable);
/* Whether the noise that arrives in a product moves a variable in the same step. */
bool is_moved(const Anatomy *a, const Op *product, int variable);
/* Whether it moves by polar factors, or by psi of what each of its entries has seen. */
bool is_polar(const Anatomy *a, const Matrix *m);
bool has_polar(const Anatomy *a);
bool is_by_entries(const Anatomy *a, const Matrix *m);
/* Whether its initial entries are those of an orthogonal matrix; or independent, of another law
 * than the normal one, and so few that a neuron knows it. */
bool is_orthogonal(const Matrix *m);
bool is_drawn(const Program *p, const Matrix *m);
/* Whether kernels stay, and f does not move by one tangent kernel, but by what each matrix does. */
bool moves_apart(const Anatomy *a);
/* Whether there is another use of the entries of a matrix. */
bool acts_again(const Program *p, int matrix);
/* Whether it is the unit vectors of the outputs. */
bool is_seed(const Program *p, int variable);
/* The learning rate of a matrix, or with NULL of all: its name, and whether it varies. */
const char *eta_of(const Anatomy *a, const Matrix *m);
bool eta_varies(const Anatomy *a, const Matrix *m);
/* Whether that is another one than of matrices between populations, and what is left of earlier
 * steps has another name: c' for c. */
const char *prime_of(const Anatomy *a, const Matrix *m);
/* Momentum or decay: what an earlier step did changes later; c(t,s) says how much of it is left. */
bool has_memory(const Anatomy *a);
bool decays(const Anatomy *a, const Matrix *m);
/* Its entries fluctuate in time, with the covariance C(t,s). */
bool is_heated(const Anatomy *a, const Matrix *m);
/* The kernel is 1 and is not written: a constant input, a single output. */
bool is_unit(const Anatomy *a, int variable);
/* Unit vectors of positions, whose kernel is a delta. */
bool is_code(const Anatomy *a, int variable);
const char *suffix_of(const char *name); /* "1" of "h1" */

/* The letters of a name, with its numbers and an order of an expansion above. */
void put_name(const Anatomy *a, const char *name, int order);
void put_variable(const Anatomy *a, int variable, Place place, int order);
/* The entry of this index of an input. */
void put_entry(const Anatomy *a, int variable, const char *entry, Place place);
/* The variable at some row and time that one index stands for. */
void put_indexed(const Anatomy *a, int variable, const char *index);
void put_kernel_name(const Anatomy *a, int variable, Place one, Place other, int order);
/* The kernel as it stands in formulas: of outputs it is a delta. */
void put_kernel(const Anatomy *a, int variable, Place one, Place other, int order);
/* The inner products of inputs as the initial entries of a matrix see them, where these have scales
 * of their own. */
void put_seen(const Anatomy *a, int matrix, Place one, Place other);
/* <one other>, or <one> where the variable of the other is -1. */
typedef struct Field {
  int variable;
  Place place;
  int order;
} Field;
void put_average(const Anatomy *a, Field one, Field other);
/* <d v(t) / d source(s)>, of the source that arrives in a product. */
void put_mean_slope(const Anatomy *a, int variable, int order, const Op *noise);
/* <v(t) w(s)>, by the name of the kernel where they are one. */
void put_overlap(const Anatomy *a, int v, int w, int order);
void put_matrix(const Anatomy *a, int matrix);
/* What belongs to a matrix, under this letter. */
void put_letter(const Anatomy *a, const char *letter, int matrix);
/* A or B: the response on the x or the y side of a matrix. */
void put_response(const Anatomy *a, int matrix, bool x_side, int order);
/* The Gaussian field that a matrix contributes to the result of an op. */
void put_source(const Anatomy *a, const Op *op, Place place);
void put_delta(const Anatomy *a, Place place, int order);
void put_output(const Anatomy *a, const char *symbol, Place place, int order);
/* A sum over what is not NULL or "": the condition on times, points, outputs. */
void put_sum(const Anatomy *a, const char *times, const char *point, const char *output);
/* "c" or "c'" when there are several outputs, else NULL. */
const char *output_index(const Anatomy *a, const char *output);
/* A number in front of something, when it is not 1. */
void put_factor(const Anatomy *a, double factor);
/* `share` times the covariance of an entry of the initial matrix, or of its random part at two
 * times, when it is not 1. */
void put_variance(const Anatomy *a, const Matrix *m, double share);
/* rate eta dt gamma / (P below) of a matrix or of all, without P where points have their own
 * weights; time NULL when steps are summed over, and what depends on them is left out. */
void put_rate(const Anatomy *a, const Matrix *m, double rate, bool gamma, const char *below,
              const char *time);
/* What put_rate left out: eta(s), or c(t,s). */
void put_summed_rate(const Anatomy *a, const Matrix *m, const char *time);
/* Sum over steps s < t, and rows unless NULL, of that, times gamma or not: what stands before a
 * step that is no gradient. */
void put_steps(const Anatomy *a, const Matrix *m, bool gamma, const char *rows);
/* The weight of a point in the mean loss, where it is not 1/P; and what scales all gradients before
 * it. */
void put_share(const Anatomy *a, Place place);
void put_weight(const Anatomy *a, Place place);
/* Delta in the gradient of a matrix, unless what flows backward has it in it. */
void put_force(const Anatomy *a, int matrix, Place place, int order);
/* OP_BLEND, with its arguments at these orders. */
void put_blend(const Anatomy *a, const Op *op, Place place, int first, int second);
/* What an op makes of its arguments, where it applies no matrix. */
void put_made(const Anatomy *a, const Op *op, Place place, int order);
/* An expression of the arguments of a map: its n fields at order `first`, then at the orders that
 * follow, n * orders in all. */
void put_map(const Anatomy *a, const Op *op, const Expr *expr, Place place, int first, int orders);

/* finite.c: the network of finite width, and Delta as a function of f */
void write_network(const Anatomy *a);
void row_of_delta(const Anatomy *a, Place place);
/* process.c */
void write_process(const Anatomy *a);

#endif
