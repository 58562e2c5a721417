/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/united.h"
#include "base/memory.h"
#include "base/team.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

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
  network.stop = u->stop;
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
    if (ran) *flops = tape_flops(m.tape);
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
                                 .seed = u->seed,
                                 .number = u->first + (uint64_t)group},
                       .columns = count,
                       .sized = true,
                       .tol = 1e-6};
}

double united_bytes(const United *u) {
  MachinePlan whole = part_of(u, 0, 0, u->width << u->levels);
  double numbers = 8.0 * (double)u->size;
  return u->threads * (united_run_bytes(u, &whole) + numbers) +
         numbers * u->groups * (u->levels + 1);
}

/* Of a group, the means [levels + 1, size] over the networks of each width. */
static Status run_group(const United *u, int group, double *means, int *failed_at) {
  double *one = mem_block(u->size + 1);
  Status status = one ? STATUS_OK : STATUS_LIMIT;
  for (int level = 0; level <= u->levels; level++, means += u->size) {
    size_t parts = (size_t)1 << (u->levels - level), count = u->width << level;
    for (size_t k = 0; k < parts && status == STATUS_OK; k++) {
      MachinePlan part = part_of(u, group, k * count, count);
      double flops;
      status = united_measure(u, &part, one, &flops, failed_at);
      for (size_t i = 0; i < u->size && status == STATUS_OK; i++)
        means[i] = (k ? means[i] : 0) + one[i] / (double)parts;
    }
  }
  free(one);
  return status;
}

/* Groups under way; the failure of the first that failed is told. */
typedef struct Groups {
  const United *u;
  double *means;
  Status *status; /* [groups] */
  int *failed_at;
  atomic_bool failed;
  atomic_int done;
} Groups;

static void make_group(void *context, size_t group) {
  Groups *g = context;
  const United *u = g->u;
  if (g->failed || !crew_has(u->crew, (int)group)) return;
  size_t all = u->size * (size_t)(u->levels + 1);
  g->status[group] = run_group(u, (int)group, g->means + group * all, &g->failed_at[group]);
  if (g->status[group] != STATUS_OK) g->failed = true;
  int more = crew_size(u->crew), now = atomic_fetch_add(&g->done, more) + more;
  if (u->progress && team_leads())
    u->progress(u->sink, u->stage, now < u->groups ? now : u->groups, u->groups, 0);
}

Status united_run(const United *u, double *means, int *failed_at) {
  size_t n = (size_t)u->groups, all = u->size * (size_t)(u->levels + 1);
  Groups g = {.u = u, .means = means};
  g.status = mem_new(n + 1, sizeof *g.status);
  g.failed_at = mem_new(n + 1, sizeof *g.failed_at);
  team_run(u->threads, n, make_group, &g);
  Status status = STATUS_OK;
  for (size_t k = 0; k < n && status == STATUS_OK; k++) {
    crew_share(u->crew, (int)k, &g.status[k], sizeof g.status[k]);
    crew_share(u->crew, (int)k, &g.failed_at[k], sizeof g.failed_at[k]);
    status = g.status[k];
    *failed_at = g.failed_at[k];
  }
  for (size_t k = 0; k < n && status == STATUS_OK; k++)
    crew_share(u->crew, (int)k, means + k * all, all * sizeof *means);
  free(g.status);
  free(g.failed_at);
  return status;
}
