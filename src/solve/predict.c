/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What networks of a finite width do, from a theory and its fluctuations. */
#include "base/memory.h"
#include "machine/machine.h"
#include "solve/observe.h"
#include "solve/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Predict {
  const Result *theory, *noise;
  Result *out;
  Sizes z;
  double width;
} Predict;

/* A field at this width follows from others, entry by entry. */
typedef struct Part {
  const ResultField *field;
  double factor;       /* d (field at this width) / d (this one); */
  const double *slope; /* times these [n], or NULL */
} Part;

/* Keeps how the field moves along with those it was made of; independent of others where it is not
 * known how they move. */
static bool follow(const Predict *p, FieldId id, const Part *parts, int count) {
  ResultField *own = result_find(p->out, field_row(id)->name, 0);
  if (!field_has_moves(id, p->z)) return true;
  bool fine = true;
  own->scatter = scatter_new();
  for (int k = 0; k < count && fine; k++) {
    const ResultField *field = parts[k].field;
    if (!field->error) continue;
    Scatter *scatter = field->scatter ? scatter_keep(field->scatter)
                                      : scatter_independent(field->value, field->error);
    fine = scatter != NULL;
    for (int j = 0; fine && j < scatter->count; j++) {
      const Direction *from = &scatter->list[j];
      Array *move = array_new(own->value->rank, own->value->shape);
      fine = move != NULL;
      for (size_t i = 0; fine && i < move->size; i++)
        move->data[i] =
            parts[k].factor * (parts[k].slope ? parts[k].slope[i] : 1) * from->move->data[i];
      if (fine) scatter_add(own->scatter, from->id, from->weight, move);
    }
    scatter_drop(scatter);
  }
  return fine;
}

/* mean = theory + shift / N, of fields of one shape, with the errors of both. */
static bool shift_mean(const Predict *p, FieldId id, FieldId shift) {
  const ResultField *a = result_find(p->theory, field_row(id)->name, 0),
                    *b = result_find(p->noise, field_row(shift)->name, 0);
  if (!a || !b) return true;
  size_t n = field_size(id, p->z);
  double *value = mem_block(n), *error = mem_block(n);
  bool fine = value && error;
  for (size_t i = 0; fine && i < n; i++) {
    value[i] = a->value->data[i] + b->value->data[i] / p->width;
    error[i] = hypot(a->error ? a->error->data[i] : 0, b->error ? b->error->data[i] / p->width : 0);
  }
  fine = fine && field_add(p->out, id, 0, p->z, value, error) &&
         follow(p, id, (Part[]){{a, 1, NULL}, {b, 1 / p->width, NULL}}, 2);
  free(value);
  free(error);
  return fine;
}

/* The standard deviation over networks, sqrt(var / N). */
static bool spread(const Predict *p, FieldId id, FieldId variance) {
  const ResultField *a = result_find(p->noise, field_row(variance)->name, 0);
  if (!a) return true;
  size_t n = field_size(id, p->z);
  double *value = mem_block(n), *error = mem_block(n), *slope = mem_block(n);
  bool fine = value && error && slope;
  for (size_t i = 0; fine && i < n; i++) {
    double var = a->value->data[i] / p->width;
    value[i] = sqrt(fmax(0, var)); /* measured ones may come out below */
    slope[i] = var > 0 ? 1 / (2 * value[i]) : 0;
    if (a->error) error[i] = a->error->data[i] / p->width * slope[i];
  }
  fine = fine && field_add(p->out, id, 0, p->z, value, error) &&
         follow(p, id, &(Part){a, 1 / p->width, slope}, 1);
  free(slope);
  free(value);
  free(error);
  return fine;
}

/* The share of points with the right sign: the mean over points of the probability Phi(y f / sigma)
 * that networks give it, for outputs that are Gaussian over networks; errors as if all were off in
 * the same direction. */
static bool share(const Predict *p, FieldId id, const Array *targets) {
  bool test = id == FIELD_TEST_ACCURACY;
  const ResultField *mean = result_find(p->out, test ? "f_test" : "f", 0),
                    *std = result_find(p->out, test ? "std_f_test" : "std_f", 0);
  if (!mean || !std) return true;
  size_t steps = p->z.steps, n = mean->value->size / steps;
  double *value = mem_block(steps), *error = mem_block(steps);
  bool fine = value && error;
  for (size_t i = 0; fine && i < steps * n; i++) {
    double sign = targets->data[i % n] > 0 ? 1 : -1, f = sign * mean->value->data[i],
           sigma = std->value->data[i];
    double z = sigma > 0 ? f / sigma : f > 0 ? INFINITY : f < 0 ? -INFINITY : 0;
    value[i / n] += erfc(-z / M_SQRT2) / 2;
    if (sigma > 0)
      error[i / n] += exp(-z * z / 2) / sqrt(2 * M_PI) / sigma / (double)n *
                      (mean->error->data[i] + fabs(z) * std->error->data[i]);
  }
  for (size_t t = 0; fine && t < steps; t++) value[t] /= (double)n;
  fine = fine && field_add(p->out, id, 0, p->z, value, error);
  free(value);
  free(error);
  return fine;
}

/* Of one output, where targets say classes. */
static bool shares(const Predict *p, const Program *program) {
  const Problem *q = program->problem;
  bool fine = true;
  if (p->z.outputs > 1) return true;
  if (field_is_present(FIELD_ACCURACY, program)) fine = share(p, FIELD_ACCURACY, q->targets);
  if (fine && field_is_present(FIELD_TEST_ACCURACY, program))
    fine = share(p, FIELD_TEST_ACCURACY, q->test_targets);
  return fine;
}

/* The loss of the mean output, and what the scatter of outputs adds to it. */
static bool split_loss(const Predict *p, Program *program) {
  Sizes z = p->z;
  const ResultField *f = result_find(p->out, "f", 0);
  const Array *loss = result_find(p->out, "loss", 0)->value,
              *loss_error = result_find(p->out, "loss", 0)->error;
  size_t batch = z.points * z.outputs, all = z.all * z.outputs;
  double *bias = mem_block(2 * z.steps), *rest = bias ? bias + z.steps : NULL,
         *delta = mem_block(batch), *outputs = mem_block(all), *errors = mem_block(z.steps);
  bool fine = bias && delta && outputs && errors;
  Program *complete = program_complete(program, (Reading){.lazy = true});
  MachineCode code = machine_compile(complete, false, NULL);
  Machine losses, slopes;
  int loss_of = program_observable(complete, FIELD_LOSS, 0)->variable;
  machine_function(&losses, complete, &code, complete->f, loss_of, 1);
  machine_function(&slopes, complete, &code, complete->f, complete->delta, 1);
  for (size_t t = 0; fine && t < z.steps; t++) {
    memcpy(outputs, f->value->data + t * batch, batch * sizeof *outputs);
    machine_call(&losses, complete->f, outputs, loss_of, &bias[t]);
    machine_call(&slopes, complete->f, outputs, complete->delta, delta);
    for (size_t k = 0; k < batch; k++)
      errors[t] += fabs(delta[k] * f->error->data[t * batch + k]) / (double)z.points;
    rest[t] = loss->data[t] - bias[t];
  }
  fine = fine && !machine_failed(&losses) && !machine_failed(&slopes) &&
         field_add(p->out, FIELD_LOSS_BIAS, 0, z, bias, errors) &&
         field_add(p->out, FIELD_LOSS_VARIANCE, 0, z, rest, loss_error->data);
  machine_free(&losses);
  machine_free(&slopes);
  machine_code_free(complete, &code);
  program_drop(complete);
  free(bias);
  free(delta);
  free(outputs);
  free(errors);
  return fine;
}

Status solve_predict(const Result *theory, Result *noise, double width, Result **result,
                     char **why) {
  const Origin *origin = noise->origin;
  *result = NULL;
  Status status = result_complete(noise, "mean_shift_f", why);
  for (FieldId id = 0; id < FIELD_COUNT && status == STATUS_OK; id++) {
    const FieldRow *row = field_row(id);
    const char *name = row->kind == KIND_SPREAD ? field_row(row->of)->name : NULL;
    if (name && result_find(noise, name, 0)) status = result_complete(noise, name, why);
  }
  if (status != STATUS_OK) return status;
  Predict p = {theory, noise, result_new("at"), sizes_of(origin->program), width};
  run_origin(p.out, origin->program, &origin->options);
  bool fine = observe_start(p.out, origin->program, p.z);
  for (FieldId id = 0; id < FIELD_COUNT && fine; id++) {
    const FieldRow *row = field_row(id);
    if (row->kind == KIND_SHIFT) fine = shift_mean(&p, row->of, id);
    if (row->kind == KIND_SPREAD) fine = spread(&p, id, row->of);
  }
  fine = fine && split_loss(&p, origin->program) && shares(&p, origin->program);
  result_note(p.out, "width", "%.17g", width);
  if (fine) return *result = p.out, STATUS_OK;
  result_drop(p.out);
  return run_refuse(why, 8.0 * (double)(p.z.steps * p.z.points * p.z.points));
}
