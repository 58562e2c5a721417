/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/signals.h"

#include <signal.h>
#include <unistd.h>

/* A signal handler has no argument, so what it works on cannot live anywhere else. */
static Dmf *volatile watched;
static volatile sig_atomic_t asked, late, patient, script;
static struct sigaction before, before_end, before_late;

static void on_interrupt(int signal_number) {
  if (!asked) {
    asked = signal_number;
    dmf_interrupt(watched);
    return;
  }
  if (patient && signal_number != SIGINT) return;
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

/* The processor time of the process is up; at the hard limit the system ends it. */
static void on_limit(int signal_number) {
  (void)signal_number;
  late = 1;
  dmf_interrupt(watched);
}

void signals_watch(Dmf *dmf) {
  struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};
  sigemptyset(&action.sa_mask);
  watched = dmf;
  asked = 0;
  sigaction(SIGINT, &action, &before);
  action.sa_handler = on_limit;
  sigaction(SIGXCPU, &action, &before_late);
}

void signals_watch_script(Dmf *dmf, bool crew) {
  struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};
  sigemptyset(&action.sa_mask);
  signals_watch(dmf);
  patient = crew;
  script = 1;
  sigaction(SIGTERM, &action, &before_end);
  if (crew) sigaction(SIGUSR1, &action, NULL);
}

int signals_status(int status) {
  enum { TERMINATED = 128 + SIGTERM };
  return status == DMF_INTERRUPTED && asked == SIGTERM ? TERMINATED : status;
}

void signals_release(void) {
  sigaction(SIGINT, &before, NULL);
  sigaction(SIGXCPU, &before_late, NULL);
  if (script) sigaction(SIGTERM, &before_end, NULL);
  script = 0;
}

bool signals_late(void) { return late; }

int signals_refuse(void) {
  fputs("dmf: the limit of processor time, RLIMIT_CPU, is reached\n", stderr);
  return DMF_LIMIT;
}

static void on_alarm(int signal_number) {
  (void)signal_number;
  if (watched) dmf_interrupt(watched);
}

void signals_limit(Dmf *dmf, unsigned seconds) {
  struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
  sigemptyset(&action.sa_mask);
  alarm(0);
  watched = dmf;
  sigaction(SIGALRM, &action, NULL);
  alarm(seconds);
}
