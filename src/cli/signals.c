/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/signals.h"

#include <signal.h>
#include <unistd.h>

/* A signal handler has no argument, so what it works on cannot live anywhere else. */
static Dmf *volatile watched;
static volatile sig_atomic_t asked, late;
static struct sigaction before, before_late;

static void on_interrupt(int signal_number) {
  if (!asked) {
    asked = 1;
    dmf_interrupt(watched);
    return;
  }
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

void signals_release(void) {
  sigaction(SIGINT, &before, NULL);
  sigaction(SIGXCPU, &before_late, NULL);
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
