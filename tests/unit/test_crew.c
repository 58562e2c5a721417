/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Processes that share the work of a script, played by threads of this one, each with a session:
 * where they are interrupted after so many steps each, all have one partial result, the one that a
 * process by itself would have had. */
#include "base/crew.h"
#include "check.h"
#include "dmf.h"
#include "solve/run.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 4, NUMBERS = 3 };

struct DmfCrew {
  Crew crew;
};

static pthread_barrier_t meeting;
static void *brought;
static _Thread_local int own_rank;

static void share(int from, void *data, size_t bytes) {
  if (from == own_rank) brought = data;
  pthread_barrier_wait(&meeting);
  if (from != own_rank) memcpy(data, brought, bytes);
  pthread_barrier_wait(&meeting);
}

static void watch(volatile sig_atomic_t *stop) { (void)stop; }

static bool halts(void) { return true; }

/* One of them: it is interrupted after `at` of the steps that it takes itself, unless that is 0. */
typedef struct Rank {
  DmfCrew crew;
  Dmf *dmf;
  int at;
  const char *const *texts;
  int status;
  FILE *out, *err;
  char *results, *messages;
  size_t result_size, message_size;
  DmfArray numbers[NUMBERS];
} Rank;

static void count(void *sink, const char *stage, int done, int total) {
  Rank *rank = sink;
  (void)total;
  if (stage && rank->at && done >= rank->at * rank->crew.crew.size) dmf_interrupt(rank->dmf);
}

/* What is prepared, what is interrupted, and the numbers that are left. */
static void *live(void *context) {
  Rank *rank = context;
  own_rank = rank->crew.crew.rank;
  int at = rank->at;
  for (int i = 0; i < 2; i++) {
    rank->at = i ? at : 0;
    rank->status = dmf_run_text(rank->dmf, "<text>", rank->texts[i], strlen(rank->texts[i]));
  }
  rank->at = 0;
  for (int i = 0; i < NUMBERS && rank->status == DMF_OK; i++)
    CHECK(dmf_get(rank->dmf, rank->texts[2 + i], &rank->numbers[i]) == DMF_OK);
  return NULL;
}

static void begin(Rank *rank, int number, int size, int at, const char *const *texts) {
  *rank = (Rank){.crew = {{.rank = number,
                           .size = size,
                           .neighbours = size,
                           .share = share,
                           .watch = watch,
                           .halts = halts}},
                 .at = at,
                 .texts = texts};
  rank->out = open_memstream(&rank->results, &rank->result_size);
  rank->err = open_memstream(&rank->messages, &rank->message_size);
  rank->dmf = dmf_open(&(DmfConfig){.results = rank->out,
                                    .diagnostics = rank->err,
                                    .progress = count,
                                    .sink = rank,
                                    .threads = 1,
                                    .crew = size > 1 ? &rank->crew : NULL,
                                    .interactive = true});
}

static void end(Rank *rank) {
  for (int i = 0; i < NUMBERS; i++) dmf_array_free(&rank->numbers[i]);
  dmf_close(rank->dmf);
  fclose(rank->out);
  fclose(rank->err);
  free(rank->results);
  free(rank->messages);
}

static void play(Rank *ranks, int size, const int *at, const char *const *texts) {
  pthread_t thread[MOST];
  pthread_barrier_init(&meeting, NULL, (unsigned)size);
  for (int i = 0; i < size; i++) begin(&ranks[i], i, size, at[i], texts);
  for (int i = 0; i < size; i++) pthread_create(&thread[i], NULL, live, &ranks[i]);
  for (int i = 0; i < size; i++) pthread_join(thread[i], NULL);
  for (int i = 0; i < size; i++) fflush(ranks[i].err);
  pthread_barrier_destroy(&meeting);
}

static bool same(const DmfArray *a, const DmfArray *b) {
  return a->size == b->size && a->size > 0 &&
         memcmp(a->data, b->data, a->size * sizeof *a->data) == 0;
}

/* So many ranks are left with what `text` says, which is of `what`; and so is one process that is
 * interrupted after `alone` steps, unless that is 0. */
static void stopped(int size, const int *at, int alone, const char *what, const char *text,
                    const char *const numbers[NUMBERS]) {
  static const char declared[] =
      "dataset d { inputs = [[1, 0], [0, 1]]; targets = [1, -1] }\n"
      "model net { layers = input -> 2 * dense(tanh) -> readout; width = 8 }\n"
      "model straight { layers = input -> 2 * dense(linear) -> readout }\n"
      "training fit { dataset = d; optimizer = gd(0.1); steps = 5 }\n"
      "system bent { population n; matrix J : n -> n; state x = normal(n)\n"
      "  step { observe m = dot(x, x); observe C = two_time(x); observe E = mean(exp(2 * x))\n"
      "    h = J @ tanh(x); observe R = response(x, to = h); x = h } }\n";
  const char *texts[2 + NUMBERS] = {declared, text};
  memcpy(texts + 2, numbers, NUMBERS * sizeof *numbers);
  Rank ranks[MOST], one;
  play(ranks, size, at, texts);
  if (alone) play(&one, 1, &alone, texts);
  for (int i = 0; i < size; i++) {
    CHECK(ranks[i].status == (what ? DMF_OK : DMF_INTERRUPTED));
    CHECK(!what || strstr(ranks[i].messages, what));
    if (what && !strstr(ranks[i].messages, what)) fprintf(stderr, "%s", ranks[i].messages);
    for (int k = 0; k < NUMBERS && what; k++) {
      CHECK(same(&ranks[i].numbers[k], &ranks[0].numbers[k]));
      CHECK(!alone || same(&ranks[i].numbers[k], &one.numbers[k]));
    }
  }
  for (int i = 0; i < size; i++) end(&ranks[i]);
  if (alone) end(&one);
}

/* 4 replicates and their companions, 6 steps each; of each rank the companions come first. */
static void theories(void) {
  static const char text[] = "x = dmft(net, fit, samples = 64)";
  static const char *const numbers[] = {"x.f", "x.stderr.ntk", "x.Phi[2]"};
  stopped(2, (int[]){16, 15}, 33, "of 2 of 5 steps", text, numbers);
  stopped(2, (int[]){20, 18}, 36, "of 2 of 4 replicates", text, numbers);
  stopped(2, (int[]){20, 0}, 36, "of 2 of 4 replicates", text, numbers);
  stopped(3, (int[]){16, 15, 6}, 33, "of 2 of 5 steps", text, numbers);
  stopped(4, (int[]){9, 11, 10, 8}, 0, "of 2 of 5 steps", text, numbers);
  stopped(4, (int[]){9, 11, 6, 6}, 33, "of 2 of 5 steps", text, numbers);
  stopped(2, (int[]){0, 3}, 0, NULL, text, numbers);
  stopped(2, (int[]){3, 0}, 3, "of 2 of 5 steps", "x = dmft(straight, fit)",
          (const char *[]){"x.f", "x.ntk", "x.Phi[2]"});
}

static void networks(void) {
  static const char *const numbers[] = {"x.f", "x.var_ntk", "x.stderr.Phi[1]"};
  stopped(2, (int[]){0, 9}, 18, "of 3 of 6 networks", "x = simulate(net, fit, ensemble = 6)",
          numbers);
  stopped(4, (int[]){0, 0, 2, 0}, 12, "of 2 of 6 networks", "x = simulate(net, fit, ensemble = 6)",
          numbers);
  stopped(2, (int[]){9, 0}, 12, "of 2 of 6 networks",
          "x = simulate(bent, steps = 6, size = 9, ensemble = 6)",
          (const char *[]){"x.C", "x.stderr.var_C", "x.m"});
}

static void systems(void) {
  static const char text[] = "x = dmft(bent, steps = 6, samples = 64)";
  static const char *const numbers[] = {"x.C", "x.stderr.m", "x.R"};
  stopped(2, (int[]){18, 18}, 36, "of 2 of 4 replicates", text, numbers);
  stopped(2, (int[]){17, 16}, 34, "of 4 of 6 steps", text, numbers);
  stopped(4, (int[]){9, 11, 10, 8}, 0, "of 3 of 6 steps", text, numbers);
}

/* What every process makes may fail in one that does not tell of it, as a run over a grid. */
static RunEnd make(void *sink, int i) {
  (void)sink;
  return (RunEnd){.status = own_rank == 1 && i == 0 ? STATUS_LIMIT : STATUS_OK};
}

static void *run_all(void *context) {
  Rank *rank = context;
  own_rank = rank->crew.crew.rank;
  SolveOptions options = {.threads = 1, .crew = &rank->crew.crew};
  rank->status = (int)run_each(&options, 2, make, NULL).status;
  return NULL;
}

static void failures(void) {
  Rank ranks[2];
  pthread_t thread[2];
  pthread_barrier_init(&meeting, NULL, 2);
  for (int i = 0; i < 2; i++) {
    ranks[i].crew.crew = (Crew){.rank = i, .size = 2, .share = share};
    pthread_create(&thread[i], NULL, run_all, &ranks[i]);
  }
  for (int i = 0; i < 2; i++) pthread_join(thread[i], NULL);
  pthread_barrier_destroy(&meeting);
  for (int i = 0; i < 2; i++) CHECK(ranks[i].status == STATUS_LIMIT);
}

int main(void) {
  failures();
  theories();
  networks();
  systems();
  return check_done();
}
