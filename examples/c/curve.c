/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A theory solved from C, on data of one's own; its loss is printed step by step.
 *
 *     cc curve.c $(pkg-config --cflags --libs dmf) -o curve && ./curve
 */
#include <dmf.h>
#include <string.h>

static const char script[] =
    "dataset pair { inputs = points; targets = [1, -1] }\n"
    "model net { layers = input -> 2 * dense(tanh) -> readout; gamma = 2 }\n"
    "training descent { dataset = pair; optimizer = gd(0.1); steps = 20 }\n"
    "theory = dmft(net, descent)\n";

static void progress(void *sink, const char *stage, int done, int total) {
  (void)sink;
  if (stage)
    fprintf(stderr, "\r%s: %d%%", stage, 100 * done / total);
  else
    fputc('\n', stderr);
}

static void message(void *sink, const DmfDiagnostic *d) {
  (void)sink;
  fprintf(stderr, "%s:%d:%d: %s: %s\n", d->file ? d->file : "dmf", d->line, d->column, d->severity,
          d->message);
}

int main(void) {
  const double points[] = {1, 1, 1, -1, 1, -1, 1, 1};
  const size_t shape[] = {2, 4};
  DmfArray loss, error;
  Dmf *dmf = dmf_open(&(DmfConfig){.progress = progress, .diagnose = message});
  int status = dmf_put(dmf, "points", 2, shape, points);
  if (!status) status = dmf_run_text(dmf, "curve", script, strlen(script));
  if (!status) status = dmf_get(dmf, "theory.loss", &loss);
  if (!status) status = dmf_get(dmf, "theory.stderr.loss", &error);
  for (size_t t = 0; !status && t < loss.size; t++)
    printf("%2zu  %.5f  %.5f\n", t, loss.data[t], error.data[t]);
  if (!status) {
    dmf_array_free(&loss);
    dmf_array_free(&error);
  }
  dmf_close(dmf);
  return status;
}
