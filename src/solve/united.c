/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/united.h"
#include "base/memory.h"
#include "solve/checkpoint.h"
#include "solve/plan.h"
#include "solve/run.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

static bool take(void *sink, Machine *m, int t) {
  (void)t;
  if (!trace_take(sink, m)) m->status = STATUS_LIMIT;
  return m->status == STATUS_OK;
}

/* The network of a run as its noise has it. */
static MachinePlan network_of(const United *u, const MachinePlan *run) {
  MachinePlan network = *run;
  network.program = u->program;
  network.code = u->code;
  network.hidden = &sequential;
  network.gamma = u->gamma;
  network.independent = u->independent;
  network.steps = u->program->problem->steps;
  network.stop = u->options->stop;
  network.observe = take;
  return network;
}

double united_run_bytes(const United *u, const MachinePlan *run) {
  MachinePlan network = network_of(u, run);
  size_t steps = sizes_of(u->program).steps;
  return machine_bytes(&network, steps) + trace_bytes(u->program, steps, u->values, u->pairs);
}

Status united_measure(const United *u, const MachinePlan *run, double *numbers, double *flops,
                      int *failed_at) {
  Trace record;
  Status status = STATUS_LIMIT;
  const Program *p = u->program;
  *failed_at = 0;
  if (trace_new(&record, p, sizes_of(p).steps, u->values, u->pairs)) {
    bool *wanted = trace_wants(&record);
    MachinePlan network = network_of(u, run);
    network.wanted = wanted;
    network.sink = &record;
    Machine m;
    status = machine_run(&network, &m, failed_at);
    bool ran = status == STATUS_OK;
    if (ran) *flops = tape_flops(m.tape) + m.flops;
    if (ran) status = trace_finish(&record);
    if (ran) machine_free(&m);
    if (status == STATUS_OK) u->read(u->context, &record, numbers);
    free(wanted);
  }
  trace_free(&record);
  return status;
}

/* The network of the neurons first .. first+count-1 of a group. */
static MachinePlan part_of(const United *u, int group, size_t first, size_t count) {
  return (MachinePlan){.noise = {.kind = NOISE_PLAIN,
                                 .first = first,
                                 .seed = u->options->seed,
                                 .number = u->first + (uint64_t)group},
                       .columns = count,
                       .sized = true,
                       .tol = 1e-6};
}

static size_t group_size(const United *u) { return u->size * (size_t)(u->levels + 1); }

static double *group_of(const United *u, double *means, int group) {
  return means + (size_t)group * group_size(u);
}

double united_bytes(const United *u) {
  MachinePlan whole = part_of(u, 0, 0, u->width << u->levels);
  double numbers = 8.0 * (double)u->size;
  return u->options->threads * (united_run_bytes(u, &whole) + numbers) +
         numbers * u->groups * (u->levels + 1);
}

/* The means of all groups under way. */
typedef struct Groups {
  const United *u;
  double *means, *flops; /* flops: [groups] */
  atomic_bool failed;
  atomic_int done;
} Groups;

/* What a group is kept by. */
static uint64_t key_of(const United *u, int group) {
  const uint64_t parts[] = {u->asks,
                            u->first + (uint64_t)group,
                            u->width,
                            (uint64_t)u->levels,
                            u->values,
                            (uint64_t)u->pairs,
                            u->size,
                            sizes_of(u->program).steps,
                            (uint64_t)u->options->parts};
  Checkpoint *checkpoint = u->options->checkpoint;
  return checkpoint ? checkpoint_keys(checkpoint->key, parts, sizeof parts / sizeof *parts) : 0;
}

/* The means [levels + 1, size] over the networks of each width of a group; adds the operations. */
static RunEnd measure_group(const United *u, int group, double *means, double *flops) {
  RunEnd end = {.status = STATUS_OK};
  double *one = mem_block(u->size + 1);
  if (!one) end.status = STATUS_LIMIT;
  for (int level = 0; level <= u->levels; level++, means += u->size) {
    size_t parts = (size_t)1 << (u->levels - level), count = u->width << level;
    for (size_t k = 0; k < parts && end.status == STATUS_OK; k++) {
      MachinePlan part = part_of(u, group, k * count, count);
      double own = 0;
      end.status = united_measure(u, &part, one, &own, &end.failed_at);
      *flops += own;
      for (size_t i = 0; i < u->size && end.status == STATUS_OK; i++)
        means[i] = (k ? means[i] : 0) + one[i] / (double)parts;
    }
  }
  free(one);
  return end;
}

/* Once it was kept it is not made again. */
static RunEnd make_group(void *sink, int group) {
  Groups *g = sink;
  const United *u = g->u;
  Checkpoint *checkpoint = u->options->checkpoint;
  double *means = group_of(u, g->means, group);
  RunEnd end = {.status = STATUS_OK};
  if (g->failed || !crew_has(u->options->crew, group)) return end;
  if (!checkpoint_find(checkpoint, key_of(u, group), means, group_size(u))) {
    end = measure_group(u, group, means, &g->flops[group]);
    if (end.status == STATUS_OK)
      checkpoint_keep(checkpoint, key_of(u, group), means, group_size(u));
  }
  if (end.status != STATUS_OK) g->failed = true;
  run_tell(u->options, u->stage, ++g->done, u->groups, 0);
  return end;
}

Status united_run(const United *u, double *means, int *failed_at) {
  Groups g = {.u = u, .means = means, .flops = mem_new((size_t)u->groups, sizeof *g.flops)};
  RunEnd end = run_each(u->options, u->groups, make_group, &g);
  for (int k = 0; k < u->groups && end.status == STATUS_OK; k++) {
    crew_share(u->options->crew, k, group_of(u, means, k), group_size(u) * sizeof *means);
    crew_share(u->options->crew, k, &g.flops[k], sizeof *g.flops);
    if (u->flops) *u->flops += g.flops[k];
  }
  free(g.flops);
  *failed_at = end.failed_at;
  return end.status;
}

/* Of the networks of a width, in all groups. */
static void plan_level(const United *u, int level, Trace *record, SolvePlan *plan) {
  MachinePlan part = part_of(u, 0, 0, u->width << level), network = network_of(u, &part);
  RunCost cost;
  bool *wanted = trace_wants(record);
  double runs = u->groups * (double)(1 << (u->levels - level));
  network.wanted = wanted;
  if (plan_run(&network, &cost)) {
    plan->flops += runs * cost.flops;
    plan->seconds += runs * cost.seconds / u->options->threads;
  }
  free(wanted);
}

void united_plan(const United *u, SolvePlan *plan) {
  Trace record;
  plan->bytes = fmax(plan->bytes, united_bytes(u));
  bool fine = trace_new(&record, u->program, sizes_of(u->program).steps, u->values, u->pairs);
  for (int level = 0; level <= u->levels && fine; level++) plan_level(u, level, &record, plan);
  trace_free(&record);
}
