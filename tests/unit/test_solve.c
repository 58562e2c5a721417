/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The solvers against literal training, closed recursions, and themselves. */
#include "base/work.h"
#include "check.h"
#include "num/linalg.h"
#include "problem.h"
#include "machine/machine.h"

static ExprPool *pool;

/* The largest difference of two fields of one shape; infinite if the shapes differ. */
static double distance(const Array *a, const Array *b) {
  if (a->size != b->size) return INFINITY;
  double worst = 0;
  for (size_t i = 0; i < a->size; i++) worst = fmax(worst, fabs(a->data[i] - b->data[i]));
  return worst;
}

static bool same_bits(const Array *a, const Array *b) {
  return a->size == b->size && memcmp(a->data, b->data, a->size * sizeof *a->data) == 0;
}

/* ---- literal training ---- */

/* The network of theory.md section 1, The network, with all its weights: W[l] is [N_{l+1}, N_l],
 * for l = 0 [N_1, D], w [C, N_L]; h^1 = W^0 x / sqrt(D), h^{l+1} = W^l phi(h^l) / sqrt(N_l), f = w
 * . phi(h^L) / (gamma N_L). */
enum { MAX_DEPTH = 3, NARROW = 24, WIDEST = 3 * NARROW };

typedef struct Literal {
  const Problem *problem;
  size_t N, D, P, R, C, L;
  size_t width[MAX_DEPTH];               /* N_1 .. N_L */
  bool tied;                             /* W^2 is W^1 */
  double *x;                             /* [R, D] */
  double *weight[MAX_DEPTH], *readout;   /* W^0 .. W^{L-1}, w */
  double *h[MAX_DEPTH], *phi[MAX_DEPTH]; /* [R, N] of h^1 .. h^L */
  double *grad[MAX_DEPTH + 1];           /* df_{mu c} / dW^l, df_{mu c} / dw: [R, C, size] */
  double *velocity[MAX_DEPTH + 1];       /* [size]; of adam the mean of gradients */
  double *square[MAX_DEPTH + 1];         /* of their squares */
  /* what errors go back through, the weights or fixed ones, and what is then learned */
  double *back[MAX_DEPTH], *back_readout, *pull[MAX_DEPTH + 1];
  double *f; /* [R, C] */
} Literal;

static size_t fan_in(const Literal *n, size_t l) { return l ? n->width[l - 1] : n->D; }
static size_t last(const Literal *n) { return n->width[n->L - 1]; }

static size_t block_size(const Literal *n, size_t l) {
  return l == n->L ? n->C * last(n) : n->width[l] * fan_in(n, l);
}

static void literal_free(Literal *n) {
  if (n->back_readout != n->readout) free(n->back_readout);
  for (size_t l = 0; l <= n->L; l++) free(n->pull[l]);
  for (size_t l = 0; l < n->L; l++) {
    if (n->back[l] != n->weight[l]) free(n->back[l]);
    free(n->weight[l]);
    free(n->h[l]);
    free(n->phi[l]);
    free(n->grad[l]);
    free(n->velocity[l]);
    free(n->square[l]);
  }
  free(n->square[n->L]);
  free(n->grad[n->L]);
  free(n->velocity[n->L]);
  free(n->readout);
  free(n->f);
  free(n->x);
}

/* The initial weights of a network, as operator entries, or images of known vectors. */
static void initial(const Machine *m, int matrix, double *weights) {
  if (is_wide_matrix(m->p, &m->p->matrices[matrix])) {
    dense_initial(m, matrix, weights);
    return;
  }
  View table = boundary_table(m, matrix);
  for (size_t r = 0; r < table.rows; r++)
    memcpy(weights + r * table.cols, tape_data(m->tape, view_rows(table, r, 1)),
           table.cols * sizeof *weights);
}

/* Under backprop the weights themselves; else the fixed matrices F that the program adds. */
static void literal_feedback(Literal *n, const Machine *m) {
  const Program *program = m->p;
  bool backprop = program->problem->rule == RULE_BACKPROP;
  n->back_readout = n->readout;
  for (size_t l = 0; l <= n->L; l++) {
    n->pull[l] = mem_block(n->R * n->C * block_size(n, l));
    if (l < n->L) n->back[l] = n->weight[l];
  }
  for (int k = 0; k < program->matrix_count && !backprop; k++) {
    const Matrix *matrix = &program->matrices[k];
    if (matrix->name[0] != 'F') continue;
    size_t l = (size_t)atoi(matrix->name + 1);
    double *entries = mem_block(n->N * n->N);
    initial(m, k, entries);
    for (size_t i = 0; l < n->L && i < n->N * n->N; i++) entries[i] *= sqrt((double)n->N);
    *(l < n->L ? &n->back[l] : &n->back_readout) = entries;
  }
}

/* The same weights as member 0 of the ensemble: W^0 is the smallest matrix that has these images.
 */
static void literal_start(Literal *n, Program *program, uint64_t seed) {
  const Problem *problem = program->problem;
  *n = (Literal){.problem = problem,
                 .N = NARROW,
                 .D = SPHERE_DIM,
                 .P = (size_t)problem->points,
                 .R = (size_t)(problem->points + problem->tests),
                 .C = (size_t)problem->outputs,
                 .L = (size_t)program->layers};
  n->tied =
      program->matrices[program->phi_matrix[n->L - 1]].weights != program->phi_matrix[n->L - 1];
  for (size_t l = 0; l < n->L; l++) {
    const Matrix *matrix = &program->matrices[program->phi_matrix[l]];
    n->width[l] = (size_t)(program->spaces[matrix->to].ratio * NARROW);
  }
  n->x = sphere_points(n->R, n->D);
  for (size_t l = 0; l < n->L; l++) {
    n->weight[l] = mem_block(block_size(n, l));
    n->h[l] = mem_block(n->R * n->width[l]);
    n->phi[l] = mem_block(n->R * n->width[l]);
    n->grad[l] = mem_block(n->R * n->C * block_size(n, l));
    n->velocity[l] = mem_block(block_size(n, l));
    n->square[l] = mem_block(block_size(n, l));
  }
  n->square[n->L] = mem_block(block_size(n, n->L));
  n->velocity[n->L] = mem_block(block_size(n, n->L));
  n->grad[n->L] = mem_block(n->R * n->C * block_size(n, n->L));
  n->readout = mem_block(block_size(n, n->L));
  n->f = mem_block(n->R * n->C);
  Program *complete = program_complete(program, (Reading){.theory = false});
  MachineCode code = machine_compile(complete, false, NULL);
  MachinePlan plan = {.program = complete,
                      .code = &code,
                      .hidden = &dense,
                      .noise = {.kind = NOISE_PLAIN, .seed = seed},
                      .columns = n->N,
                      .sized = true};
  Machine m;
  machine_start(&plan, &m);
  CHECK(m.status == STATUS_OK);
  size_t first = n->width[0];
  double *images = mem_block(n->R * first), *columns = mem_block(first * n->R);
  initial(&m, program->phi_matrix[0], images);
  for (size_t i = 0; i < first; i++)
    for (size_t a = 0; a < n->R; a++)
      columns[i * n->R + a] = images[a * first + i] * sqrt((double)n->D);
  CHECK(mat_solve_least(n->R, n->D, n->x, n->D, first, columns, n->R, 1e-12, n->weight[0], n->D) ==
        0);
  for (size_t l = 1; l < n->L; l++) {
    initial(&m, program->matrices[program->phi_matrix[l]].weights, n->weight[l]);
    for (size_t i = 0; i < block_size(n, l); i++) n->weight[l][i] *= sqrt((double)fan_in(n, l));
  }
  initial(&m, program->phi_matrix[program->layers], n->readout);
  literal_feedback(n, &m);
  machine_free(&m);
  machine_code_free(complete, &code);
  program_drop(complete);
  free(images);
  free(columns);
}

static void literal_forward(Literal *n) {
  for (size_t a = 0; a < n->R; a++) {
    for (size_t l = 0; l < n->L; l++)
      for (size_t i = 0; i < n->width[l]; i++) {
        size_t k = fan_in(n, l);
        const double *below = l ? n->phi[l - 1] + a * k : n->x + a * n->D;
        double h = 0;
        for (size_t j = 0; j < k; j++) h += n->weight[l][i * k + j] * below[j] / sqrt((double)k);
        n->h[l][a * n->width[l] + i] = h;
        n->phi[l][a * n->width[l] + i] = tanh(h);
      }
    for (size_t c = 0; c < n->C; c++) {
      double sum = 0;
      for (size_t i = 0; i < last(n); i++)
        sum += n->readout[c * last(n) + i] * n->phi[n->L - 1][a * last(n) + i];
      n->f[a * n->C + c] = sum / (n->problem->gamma * (double)last(n));
    }
  }
}

/* Plain backpropagation of one output of one point, weight by weight, through these matrices. */
static void literal_backward(Literal *n, size_t a, size_t c, double *const *back,
                             const double *readout, double *const *grad) {
  double error[WIDEST], next[WIDEST], unit = n->problem->gamma * (double)last(n);
  size_t row = a * n->C + c;
  double *dw = grad[n->L] + row * block_size(n, n->L);
  for (size_t i = 0; i < last(n); i++) {
    dw[c * last(n) + i] = n->phi[n->L - 1][a * last(n) + i] / unit;
    error[i] = readout[c * last(n) + i] / unit;
  }
  for (size_t l = n->L; l-- > 0;) {
    size_t k = fan_in(n, l), N = n->width[l];
    const double *below = l ? n->phi[l - 1] + a * k : n->x + a * n->D;
    memset(next, 0, sizeof next);
    for (size_t i = 0; i < N; i++) {
      double t = n->phi[l][a * N + i], g = error[i] * (1 - t * t);
      for (size_t j = 0; j < k; j++) {
        grad[l][(row * N + i) * k + j] = g * below[j] / sqrt((double)k);
        if (l) next[j] += g * back[l][i * k + j] / sqrt((double)k);
      }
    }
    memcpy(error, next, sizeof error);
  }
}

/* Gradients of one matrix that acts twice add, and are those of its first use. */
static void literal_join(Literal *n, double *const *grad, size_t row) {
  size_t size = block_size(n, 1);
  if (!n->tied) return;
  axpy(size, 1, grad[2] + row * size, grad[1] + row * size);
  memset(grad[2] + row * size, 0, size * sizeof *grad[2]);
}

static void literal_gradient(Literal *n, size_t a, size_t c) {
  literal_backward(n, a, c, n->weight, n->readout, n->grad);
  literal_backward(n, a, c, n->back, n->back_readout, n->pull);
  literal_join(n, n->grad, a * n->C + c);
  literal_join(n, n->pull, a * n->C + c);
}

/* gamma^2 N sum over weights of df_a df_b, mean over outputs; what b pulls in the place of df_b
 * under another rule. */
static double literal_kernel(const Literal *n, size_t a, size_t b) {
  double sum = 0;
  for (size_t l = 0; l <= n->L; l++)
    for (size_t c = 0; c < n->C; c++) {
      size_t size = block_size(n, l);
      sum += dot(size, n->grad[l] + (a * n->C + c) * size, n->pull[l] + (b * n->C + c) * size);
    }
  return sum * n->problem->gamma * n->problem->gamma * (double)n->N / (double)n->C;
}

static bool is_by_entries(OptimizerKind kind) {
  return kind == OPT_ADAM || kind == OPT_ADAMW || kind == OPT_RMSPROP || kind == OPT_SIGNUM;
}

/* What Adam and its kin make of O = -gamma N sqrt(fan) d loss / d theta of weight i of block l. */
static double literal_psi(Literal *n, OptimizerKind kind, size_t l, size_t i, size_t t, double O) {
  const Problem *p = n->problem;
  double *m = &n->velocity[l][i], *v = &n->square[l][i];
  bool corrected = kind == OPT_ADAM || kind == OPT_ADAMW;
  *m = p->beta1 * *m + (1 - p->beta1) * O;
  *v = p->beta2 * *v + (1 - p->beta2) * O * O;
  if (kind == OPT_SIGNUM) return *m > 0 ? 1 : *m < 0 ? -1 : 0;
  double mean = corrected ? *m / (1 - pow(p->beta1, (double)t + 1)) : *m,
         square = corrected ? *v / (1 - pow(p->beta2, (double)t + 1)) : *v;
  return mean / (sqrt(square) + p->eps);
}

/* X <- a X + (b A + c A^2) X with A = X X^T, five times from |X| = 1, for X [rows, cols]. */
static void literal_newton(size_t rows, size_t cols, double *X) {
  double A[WIDEST * WIDEST], B[WIDEST * WIDEST], *next = mem_block(rows * cols),
                                                 norm = sqrt(dot(rows * cols, X, X));
  for (size_t i = 0; i < rows * cols; i++) X[i] /= norm;
  for (int step = 0; step < 5; step++) {
    for (size_t i = 0; i < rows * rows; i++)
      A[i] = dot(cols, X + i / rows * cols, X + i % rows * cols);
    for (size_t i = 0; i < rows * rows; i++)
      B[i] = -4.7750 * A[i] + 2.0315 * dot(rows, A + i / rows * rows, A + i % rows * rows);
    for (size_t i = 0; i < rows * cols; i++) {
      next[i] = 3.4445 * X[i];
      for (size_t k = 0; k < rows; k++) next[i] += B[i / cols * rows + k] * X[k * cols + i % cols];
    }
    memcpy(X, next, rows * cols * sizeof *X);
  }
  free(next);
}

/* The operator W / sqrt(N_from) gains eta gamma times the polar factor of V = beta V + O. */
static void literal_muon(Literal *n, size_t l, size_t t) {
  const Problem *p = n->problem;
  size_t size = block_size(n, l);
  double *X = mem_block(size), root = sqrt((double)fan_in(n, l));
  memcpy(X, n->velocity[l], size * sizeof *X);
  literal_newton(n->width[l], fan_in(n, l), X);
  for (size_t i = 0; i < size; i++)
    n->weight[l][i] =
        (1 - p->eta[t] * p->decay) * n->weight[l][i] + p->eta[t] * p->gamma * root * X[i];
  free(X);
}

/* v <- beta v + d loss / d theta, theta <- (1 - eta lambda) theta - eta gamma^2 N v, or with
 * d loss / d theta + beta v in the place of v. */
static void literal_step(Literal *n, size_t t, const double *delta) {
  const Problem *p = n->problem;
  for (size_t l = 0; l <= n->L; l++) {
    bool muon = p->optimizer == OPT_MUON, hidden = l > 0 && l < n->L;
    OptimizerKind kind = muon ? p->other : p->optimizer;
    double eta = muon ? p->other_eta[t] : p->eta[t], beta = muon && !hidden ? 0 : p->beta,
           rate = eta * p->gamma * p->gamma * (double)n->N;
    size_t size = block_size(n, l);
    double *weight = l == n->L ? n->readout : n->weight[l], *v = n->velocity[l];
    for (size_t i = 0; i < size; i++) {
      double descent = 0;
      for (size_t k = 0; k < n->P * n->C; k++)
        descent += (p->batch ? p->batch[t * n->P + k / n->C] : 1.0 / (double)n->P) * delta[k] *
                   n->pull[l][k * size + i];
      if (muon && hidden) {
        v[i] = p->beta * v[i] + descent; /* of any scale */
        continue;
      }
      if (is_by_entries(kind)) {
        double root = l == n->L ? 1 : sqrt((double)fan_in(n, l)),
               psi = literal_psi(n, kind, l, i, t, p->gamma * (double)n->N * root * descent);
        weight[i] = (1 - eta * p->decay) * weight[i] + eta * p->gamma * psi / root;
        continue;
      }
      v[i] = beta * v[i] + descent;
      weight[i] = (1 - eta * p->decay) * weight[i] +
                  rate * (p->optimizer == OPT_NESTEROV ? descent + p->beta * v[i] : v[i]);
    }
    if (muon && hidden && !(n->tied && l == 2)) literal_muon(n, l, t);
  }
  if (n->tied) memcpy(n->weight[2], n->weight[1], block_size(n, 1) * sizeof(double));
}

/* Outputs, tangent kernel, and the two-time kernel of the last layer, against member 0; the network
 * is so narrow that what it learns is folded into its matrices every few steps. */
static void check_against_literal(Recipe recipe) {
  recipe.phi = PRIM_TANH;
  Program *program = recipe_program(pool, recipe);
  Result *nets = solve_or_die(solve_networks, program,
                              (SolveOptions){.seed = 4, .width = NARROW, .ensemble = 1});
  const Array *f = field_of(nets, "f", 0), *test = field_of(nets, "f_test", 0),
              *ntk = field_of(nets, "ntk", 0);
  Literal n;
  literal_start(&n, program, 4);
  size_t L = n.L, R = n.R, T = (size_t)recipe.steps, C = n.C, P = n.P;
  const Array *phi = field_of(nets, "Phi", (int)L);
  double start[R * C], delta[P * C], df = 0, dk = 0, dphi = 0,
                                     *past = mem_block((T + 1) * R * last(&n));
  for (size_t t = 0; t <= T; t++) {
    literal_forward(&n);
    for (size_t r = 0; r < R * C; r++) literal_gradient(&n, r / C, r % C);
    if (t == 0) memcpy(start, n.f, sizeof start);
    for (size_t r = 0; r < R * C; r++) {
      double value = n.f[r] - start[r];
      bool trained = r < P * C;
      df = fmax(df, fabs(value - (trained ? f->data[t * P * C + r]
                                          : test->data[t * (R - P) * C + r - P * C])));
      if (trained) delta[r] = program->problem->targets->data[r] - value;
    }
    for (size_t a = 0; a < P * P; a++)
      dk = fmax(dk, fabs(literal_kernel(&n, a / P, a % P) - ntk->data[t * P * P + a]));
    memcpy(past + t * R * last(&n), n.phi[L - 1], R * last(&n) * sizeof *past);
    for (size_t b = 0; b < (t + 1) * R * R; b++) {
      size_t a = b % R, sb = b / R;
      size_t N = last(&n);
      double kernel = dot(N, past + (t * R + a) * N, past + sb * N) / (double)N;
      dphi = fmax(dphi, fabs(kernel - phi->data[(t * R + a) * (T + 1) * R + sb]));
    }
    if (t < T) literal_step(&n, t, delta);
  }
  CHECK(df < 1e-12);
  CHECK(dk < 1e-12);
  CHECK(dphi < 1e-12);
  CHECK(fabs(f->data[T * P * C]) > 0.1);
  free(past);
  literal_free(&n);
  result_drop(nets);
  program_drop(program);
}

static void test_networks(void) {
  check_against_literal(
      (Recipe){.depth = 2, .points = 3, .tests = 1, .steps = 30, .gamma = 1.5, .eta = 0.2});
  check_against_literal(
      (Recipe){.depth = 3, .points = 3, .tests = 1, .steps = 30, .gamma = 0.7, .eta = 0.1});
  static const double targets[] = {1, 0.5, -1, 0.3, 0.2, -0.8};
  check_against_literal((Recipe){.depth = 2,
                                 .points = 3,
                                 .tests = 2,
                                 .outputs = 2,
                                 .steps = 30,
                                 .gamma = 1.2,
                                 .eta = 0.2,
                                 .targets = targets});
  /* beta, lambda, minibatches: alone and together */
  double batch[30 * 3] = {0};
  for (size_t t = 0; t < 30; t++) batch[t * 3 + t % 3] = batch[t * 3 + (t / 2) % 3] = 0.5;
  for (size_t t = 0; t < 30; t++)
    if (t % 3 == (t / 2) % 3) batch[t * 3 + t % 3] = 1;
  Recipe base = {.depth = 3, .points = 3, .tests = 1, .steps = 30, .gamma = 1.2, .eta = 0.1};
  Recipe ball = base, ahead = base, decay = base, drawn = base;
  ball.optimizer = OPT_MOMENTUM, ball.beta = 0.7;
  ahead.optimizer = OPT_NESTEROV, ahead.beta = 0.9, ahead.eta = 0.03;
  decay.decay = 0.2;
  drawn.optimizer = OPT_SGD, drawn.batch = batch;
  ahead.decay = ball.decay = 0.1;
  ball.batch = batch;
  Recipe feedback = base;
  feedback.rule = RULE_FEEDBACK_ALIGNMENT, feedback.eta = 0.3;
  Recipe narrow = base, wide = ball, tied = ball, kept = ahead;
  narrow.ratio[0] = 0.5, narrow.ratio[1] = 2;
  wide.ratio[1] = 3, wide.ratio[2] = 0.5;
  tied.tied = kept.tied = true;
  Recipe recipes[] = {ball, ahead, decay, drawn, feedback, narrow, wide, tied, kept};
  for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++) check_against_literal(recipes[i]);
}

/* Optimizers that move every weight by its own history. */
static void test_entrywise_networks(void) {
  static const double targets[] = {1, 0.5, -1, 0.3, 0.2, -0.8};
  Recipe adam = {.depth = 2,
                 .points = 3,
                 .tests = 1,
                 .steps = 12,
                 .gamma = 1.3,
                 .eta = 0.05,
                 .optimizer = OPT_ADAM,
                 .beta1 = 0.9,
                 .beta2 = 0.99,
                 .eps = 1e-3};
  Recipe decay = adam, root = adam, sign = adam, mean = adam, widths = adam, tied = adam,
         many = adam;
  decay.decay = 0.3, decay.optimizer = OPT_ADAMW;
  root.optimizer = OPT_RMSPROP, root.beta1 = 0, root.eta = 0.02;
  sign.optimizer = mean.optimizer = OPT_SIGNUM, sign.beta1 = sign.beta2 = sign.eps = 0;
  widths.depth = 3, widths.ratio[0] = 0.5, widths.ratio[1] = 2, widths.eps = 0.1;
  tied.depth = 3, tied.tied = true;
  many.outputs = 2, many.targets = targets, many.decay = 0.1;
  Recipe muon = {.depth = 2,
                 .points = 3,
                 .tests = 1,
                 .steps = 6,
                 .gamma = 1.3,
                 .eta = 0.1,
                 .optimizer = OPT_MUON,
                 .beta = 0.8,
                 .other = OPT_GD,
                 .other_eta = 0.2};
  Recipe wide = muon, rough = muon, twice = muon;
  wide.depth = 3, wide.ratio[0] = 0.5, wide.ratio[1] = 2, wide.decay = 0.2;
  rough.other = OPT_ADAM, rough.other_eta = 0.05, rough.beta1 = 0.9, rough.beta2 = 0.9,
  rough.eps = 0.1;
  twice.depth = 3, twice.tied = true, twice.beta = 0;
  Recipe recipes[] = {adam, decay, root, sign, mean, widths, tied, many, muon, wide, rough, twice};
  for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++) check_against_literal(recipes[i]);
}

/* ---- deep linear networks: closed recursions ---- */

static Result *one_point(int depth, double gamma, double eta, double dt, int steps) {
  Program *program = recipe_program(pool, (Recipe){.depth = depth,
                                                   .points = 1,
                                                   .steps = steps,
                                                   .gamma = gamma,
                                                   .eta = eta,
                                                   .dt = dt,
                                                   .gram = (double[]){1}});
  Result *result = solve_or_die(solve_dmft, program, (SolveOptions){.samples = 2000});
  program_drop(program);
  return result;
}

/* Two layers, one point: f' = f + eta K Delta + (eta gamma)^2 f Delta^2,
 * K' = K + 4 eta gamma^2 f Delta + (eta gamma)^2 K Delta^2. */
static void test_two_layers(void) {
  static const double cases[][2] = {{0.05, 1}, {0.3, 1},   {0.9, 1},    {0.98, 1},
                                    {0.24, 4}, {0.05, 20}, {0.3, 0.01}, {1.1, 0.7}};
  enum { T = 40 };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    double eta = cases[i][0], gamma = cases[i][1], f = 0, K = 2, df = 0, dk = 0, errors = 0;
    Result *result = one_point(1, gamma, eta, 0, T);
    CHECK(result->exact);
    for (int t = 0; t <= T; t++) {
      df = fmax(df, fabs(field_of(result, "f", 0)->data[t] - f));
      dk = fmax(dk, fabs(field_of(result, "ntk", 0)->data[t] - K));
      errors += fabs(error_of(result, "f", 0)->data[t]) +
                fabs(error_of(result, "ntk", 0)->data[t]) +
                fabs(error_of(result, "loss", 0)->data[t]);
      double d = 1 - f, f_next = f + eta * K * d + eta * eta * gamma * gamma * f * d * d;
      K += 4 * eta * gamma * gamma * f * d + eta * eta * gamma * gamma * K * d * d;
      f = f_next;
    }
    CHECK(df < 1e-10);
    CHECK(dk < 1e-10 * fmax(1, gamma * gamma));
    CHECK(errors == 0);
    result_drop(result);
  }
}

/* How far A G is from B Phi at times before a's step. The responses themselves are not unique where
 * kernels are singular; these products, <phi r> / gamma and <g u> / gamma, are. */
static double asymmetry(const Array *A, const Array *G, const Array *B, const Array *Phi) {
  size_t n = A->shape[0];
  double worst = 0;
  for (size_t t = 0; t < n; t++)
    for (size_t b = 0; b < t; b++) {
      double difference = 0;
      for (size_t s = 0; s <= t; s++)
        difference +=
            A->data[t * n + s] * G->data[s * n + b] - B->data[t * n + s] * Phi->data[s * n + b];
      worst = fmax(worst, fabs(difference));
    }
  return worst;
}

/* Three hidden layers, one point, from an algebraic solution of the saddle point. */
static void test_three_layers(void) {
  enum { T = 40 };
  static const double f[T + 1] = {0.0,
                                  0.16,
                                  0.29837109638097914,
                                  0.4222726636442802,
                                  0.5335803042298607,
                                  0.6319103468503265,
                                  0.7163117288545074,
                                  0.7862943633214553,
                                  0.8422914075429114,
                                  0.8856342866724776,
                                  0.91823126801933,
                                  0.9421767012368976,
                                  0.9594465066437178,
                                  0.9717302757409157,
                                  0.9803790086507019,
                                  0.9864238687451055,
                                  0.9906268353947341,
                                  0.9935384467054775,
                                  0.9955503126819765,
                                  0.9969380019272669,
                                  0.9978939857746918,
                                  0.9985520063322456,
                                  0.9990046679045577,
                                  0.999315934370354,
                                  0.9995299129430946,
                                  0.9996769833102755,
                                  0.99977805347059,
                                  0.9998475049454086,
                                  0.9998952263268792,
                                  0.9999280151628662,
                                  0.9999505433502301,
                                  0.9999660214536621,
                                  0.999976655614487,
                                  0.999983961696965,
                                  0.9999889812272348,
                                  0.9999924298019022,
                                  0.9999947990735059,
                                  0.9999964268289024,
                                  0.9999975451404418,
                                  0.999998313449642,
                                  0.9999988412977415};
  static const struct {
    int t;
    double ntk, phi[3];
  } at[] = {{0, 4.0, {1.0, 1.0, 1.0}},
            {1, 4.0640256, {1.0016, 1.008, 1.0224}},
            {2, 4.328292457169854, {1.0135062487039999, 1.0461601170009585, 1.103856412859548}},
            {5, 5.625384955827, {1.0716733128191407, 1.229689992300383, 1.494866530124405}},
            {10, 7.2824464834705225, {1.1394858095807194, 1.450437796983764, 1.988469954392742}},
            {20, 7.810091597772425, {1.1596691346879993, 1.5178758495728772, 2.144812025848222}},
            {30, 7.824049707197669, {1.1601947079304837, 1.5196428712612684, 2.1489432364172254}},
            {40, 7.82437770971463, {1.160207053365038, 1.5196843843519192, 2.149040313243513}}};
  Result *result = one_point(3, 1, 0.04, 0, T);
  double df = 0, dk = 0, symmetry = 0, response = 0;
  for (int t = 0; t <= T; t++) df = fmax(df, fabs(field_of(result, "f", 0)->data[t] - f[t]));
  for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
    int t = at[i].t;
    dk = fmax(dk, fabs(field_of(result, "ntk", 0)->data[t] - at[i].ntk));
    for (int l = 1; l <= 3; l++)
      dk = fmax(dk, fabs(field_of(result, "Phi", l)->data[t * (T + 1) + t] - at[i].phi[l - 1]));
  }
  for (int l = 1; l <= 3; l++)
    symmetry = fmax(symmetry, distance(field_of(result, "G", l), field_of(result, "Phi", 4 - l)));
  for (int l = 1; l <= 2; l++)
    response =
        fmax(response, asymmetry(field_of(result, "A", l), field_of(result, "G", l + 1),
                                 field_of(result, "B", 3 - l), field_of(result, "Phi", 3 - l)));
  CHECK(df < 1e-9);
  CHECK(dk < 1e-9);
  CHECK(symmetry < 1e-9);
  CHECK(response < 1e-9);
  CHECK(result->exact);
  result_drop(result);
}

/* Gradient flow f' = K (1 - f) with K = 2 sqrt(1 + gamma^2 f^2), here by Runge-Kutta. */
static double flow_reference(double gamma, double time) {
  enum { STEPS = 2000 };
  double f = 0, h = time / STEPS;
  for (int i = 0; i < STEPS; i++) {
    double k[4], at = f;
    for (int s = 0; s < 4; s++) {
      k[s] = 2 * sqrt(1 + gamma * gamma * at * at) * (1 - at);
      at = f + (s < 2 ? h / 2 : h) * k[s];
    }
    f += h * (k[0] + 2 * k[1] + 2 * k[2] + k[3]) / 6;
  }
  return f;
}

/* In so many parts the error is of third order; and when the solver chooses them, what it states.
 */
static void test_flow(void) {
  double exact = flow_reference(2, 0.4), error[4];
  for (int i = 0; i < 4; i++) {
    Program *program = recipe_program(pool, (Recipe){.depth = 1,
                                                     .points = 1,
                                                     .steps = 4,
                                                     .gamma = 2,
                                                     .eta = 1,
                                                     .dt = 0.1,
                                                     .gram = (double[]){1}});
    Result *result = solve_or_die(solve_dmft, program, (SolveOptions){.parts = 1 << i});
    error[i] = field_of(result, "f", 0)->data[4] - exact;
    result_drop(result);
    program_drop(program);
  }
  for (int i = 1; i < 4; i++) CHECK(error[i - 1] / error[i] > 6 && error[i - 1] / error[i] < 10);
  Result *result = one_point(1, 2, 1, 0.1, 4);
  double stated = error_of(result, "f", 0)->data[4],
         made = fabs(field_of(result, "f", 0)->data[4] - exact);
  CHECK(stated < 1e-3);
  CHECK(made > 0.5 * stated && made < 2 * stated);
  result_drop(result);
}

/* ---- the same point twice ---- */

static Result *solve_recipe(Recipe recipe) {
  Program *program = recipe_program(pool, recipe);
  Result *result = solve_or_die(solve_dmft, program, (SolveOptions){.samples = 4000, .threads = 2});
  program_drop(program);
  return result;
}

/* Differences of the training predictions in units of their errors, beyond a rounding of 1e-9;
 * point a of `b` is point a mod P of `a`. */
static double deviation(Result *a, Result *b) {
  const Array *fa = field_of(a, "f", 0), *fb = field_of(b, "f", 0), *ea = error_of(a, "f", 0),
              *eb = error_of(b, "f", 0);
  size_t P = fa->shape[1], Q = fb->shape[1];
  double worst = 0;
  for (size_t i = 0; i < fb->size; i++) {
    size_t k = i / Q * P + i % Q % P;
    worst = fmax(worst, fabs(fa->data[k] - fb->data[i]) / (hypot(ea->data[k], eb->data[i]) + 1e-9));
  }
  return worst;
}

/* Copies of a point, tested or trained, change nothing: exactly where nothing is sampled, and else
 * up to the errors (the noise is drawn in other directions). Copies among themselves agree to
 * rounding. */
static void check_duplicates(Prim phi, double allowed) {
  static const double twice[] = {1, 0.3, 1, 0.3, 0.3, 1, 0.3, 1, 1, 0.3, 1, 0.3, 0.3, 1, 0.3, 1};
  static const double pair[] = {1, 0.3, 0.3, 1}, targets[] = {1, -0.5, 1, -0.5};
  Recipe recipe = {.phi = phi,
                   .depth = 2,
                   .points = 2,
                   .steps = 15,
                   .gamma = 1.5,
                   .eta = 0.2,
                   .gram = pair,
                   .targets = targets};
  Result *plain = solve_recipe(recipe);
  recipe.gram = twice;
  recipe.tests = 2;
  Result *tested = solve_recipe(recipe);
  recipe.points = 4;
  recipe.tests = 0;
  Result *doubled = solve_recipe(recipe);
  CHECK(distance(field_of(tested, "f", 0), field_of(tested, "f_test", 0)) < 1e-9);
  const Array *f = field_of(doubled, "f", 0);
  double copies = 0;
  for (size_t i = 0; i < f->size; i++)
    copies = fmax(copies, fabs(f->data[i] - f->data[i / 4 * 4 + i % 2]));
  CHECK(copies < 1e-9);
  CHECK(deviation(plain, tested) < allowed);
  CHECK(deviation(plain, doubled) < allowed);
  result_drop(plain);
  result_drop(tested);
  result_drop(doubled);
}

static void test_duplicates(void) {
  check_duplicates(PRIM_CONST, 1);
  check_duplicates(PRIM_TANH, 5);
}

/* ---- threads ---- */

static void check_threads(Solver *solver, SolveOptions options) {
  Program *program = recipe_program(pool, (Recipe){.phi = PRIM_TANH,
                                                   .depth = 2,
                                                   .points = 3,
                                                   .tests = 1,
                                                   .steps = 10,
                                                   .gamma = 1.3,
                                                   .eta = 0.3});
  Result *one = NULL;
  Array *fields = NULL;
  for (int threads = 1; threads <= 3; threads++) {
    options.threads = threads;
    Result *result = solve_or_die(solver, program, options);
    Array *same_fields = NULL;
    char *why = NULL;
    CHECK(result_complete(result, NULL, &why) == STATUS_OK);
    CHECK(solve_preactivations(result, 2, 7, &same_fields, &why) == STATUS_OK);
    CHECK(!fields || same_bits(fields, same_fields));
    array_drop(fields);
    fields = same_fields;
    for (int i = 0; one && i < one->field_count; i++) {
      const ResultField *a = &one->fields[i], *b = &result->fields[i];
      CHECK(same_bits(a->value, b->value) && (!a->error || same_bits(a->error, b->error)));
    }
    if (one)
      result_drop(result);
    else
      one = result;
  }
  array_drop(fields);
  result_drop(one);
  program_drop(program);
}

static void test_threads(void) {
  check_threads(solve_dmft, (SolveOptions){.samples = 500, .seed = 3});
  check_threads(solve_networks, (SolveOptions){.width = 60, .ensemble = 7, .seed = 3});
}

/* ---- fields completed on demand ---- */

/* The leading (t, a, s, b) block of the longer run against the whole of the shorter one. */
static double prefix_distance(const Array *shorter, const Array *longer) {
  size_t n = shorter->shape[0] * shorter->shape[1], m = longer->shape[0] * longer->shape[1];
  double worst = 0;
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j < n; j++)
      worst = fmax(worst, fabs(shorter->data[i * n + j] - longer->data[i * m + j]));
  return worst;
}

static double prefix_of(const Array *shorter, const Array *longer) {
  double worst = 0;
  for (size_t i = 0; i < shorter->size; i++)
    worst = fmax(worst, fabs(shorter->data[i] - longer->data[i]));
  return worst;
}

/* Nothing that happens later changes what came before: a short run is the beginning of a longer
 * one, which makes its two-time fields when asked. */
static void check_completion(Solver *solver, int shorter, int longer, SolveOptions options,
                             const char *const *names) {
  Recipe recipe = {.phi = PRIM_TANH, .depth = 2, .points = 3, .tests = 1, .gamma = 1.2, .eta = 0.2};
  recipe.steps = shorter;
  Program *brief = recipe_program(pool, recipe);
  recipe.steps = longer;
  Program *whole = recipe_program(pool, recipe);
  Result *eager = solve_or_die(solver, brief, options),
         *lazy = solve_or_die(solver, whole, options);
  CHECK(lazy->complete);
  CHECK(prefix_of(field_of(eager, "f", 0), field_of(lazy, "f", 0)) < 1e-11);
  CHECK(prefix_of(field_of(eager, "ntk", 0), field_of(lazy, "ntk", 0)) < 1e-11);
  for (; *names; names++)
    for (int l = 1; l <= result_layers(eager, *names); l++)
      CHECK(prefix_distance(field_of(eager, *names, l), field_of(lazy, *names, l)) < 1e-9);
  CHECK(!lazy->complete);
  result_drop(eager);
  result_drop(lazy);
  program_drop(brief);
  program_drop(whole);
}

/* What training for ever leads to is the same when it is asked for later, and is no more promised
 * at a rate that is not stable than made. */
static void check_late_limit(void) {
  static const char *const names[] = {"f_infinity", "f_test_infinity", "loss_infinity"};
  Recipe recipe = {.phi = PRIM_RELU, .depth = 2, .points = 12, .tests = 2, .steps = 2, .eta = 0.2};
  SolveOptions now = {.closure = CLOSURE_NTK},
               later = {.closure = CLOSURE_NTK, .unread = ALL_FIELDS};
  for (int stable = 1; stable >= 0; stable--) {
    recipe.eta = stable ? 0.2 : 20;
    Program *program = recipe_program(pool, recipe);
    Result *made = solve_or_die(solve_dmft, program, now),
           *late = solve_or_die(solve_dmft, program, later);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
      ResultField *promised = result_find(late, names[i], 0);
      CHECK(!promised == !stable && !result_find(made, names[i], 0) == !stable);
      CHECK(!stable || i > 0 || !promised->value);
      CHECK(!stable || prefix_of(field_of(made, names[i], 0), field_of(late, names[i], 0)) == 0);
    }
    result_drop(made);
    result_drop(late);
    program_drop(program);
  }
}

/* Responses cost more than kernels, and come when they are asked for; so does what nobody reads. */
static void check_partial_completion(void) {
  Program *program = recipe_program(
      pool,
      (Recipe){.phi = PRIM_TANH, .depth = 2, .points = 2, .steps = 6, .gamma = 1, .eta = 0.2});
  SolveOptions now = {.samples = 600, .seed = 3},
               later = {.samples = 600, .seed = 3, .unread = ALL_FIELDS};
  Result *parts = solve_or_die(solve_dmft, program, later),
         *whole = solve_or_die(solve_dmft, program, now);
  char *why = NULL;
  CHECK(!result_lacks(whole, "alignment") && result_lacks(parts, "alignment"));
  CHECK(result_complete(whole, NULL, &why) == STATUS_OK);
  CHECK(!result_lacks(whole, NULL));
  CHECK(result_complete(parts, "Phi", &why) == STATUS_OK);
  CHECK(result_lacks(parts, "alignment"));
  CHECK(result_complete(parts, "alignment", &why) == STATUS_OK);
  CHECK(!result_lacks(parts, "G") && result_lacks(parts, "A") && parts->complete);
  CHECK(result_complete(parts, "B", &why) == STATUS_OK);
  CHECK(!result_lacks(parts, NULL) && !parts->complete);
  for (int i = 0; i < whole->field_count; i++)
    CHECK(same_bits(whole->fields[i].value, parts->fields[i].value) &&
          (i == 0 || same_bits(whole->fields[i].error, parts->fields[i].error)));
  result_drop(whole);
  result_drop(parts);
  program_drop(program);
}

/* With one hidden layer K = G^1 Phi^0 + Phi^1 holds for every replicate and member, hence for
 * means. */
static void check_tangent_kernel(Solver *solver, SolveOptions options) {
  enum { P = 4, T = 140 };
  Program *program = recipe_program(
      pool,
      (Recipe){.phi = PRIM_TANH, .depth = 1, .points = P, .steps = T, .gamma = 1.2, .eta = 0.2});
  Result *result = solve_or_die(solver, program, options);
  CHECK(result->complete);
  const Array *ntk = field_of(result, "ntk", 0), *phi = field_of(result, "Phi", 1),
              *g = field_of(result, "G", 1);
  double worst = 0;
  for (int t = 0; t <= T; t++)
    for (int a = 0; a < P; a++)
      for (int b = 0; b < P; b++) {
        size_t i = (size_t)((t * P + a) * (T + 1) * P + t * P + b);
        double sum = g->data[i] * program->problem->gram->data[a * P + b] + phi->data[i];
        worst = fmax(worst, fabs(sum - ntk->data[(t * P + a) * P + b]));
      }
  CHECK(worst < 1e-12);
  result_drop(result);
  program_drop(program);
}

static void test_completion(void) {
  check_partial_completion();
  check_late_limit();
  SolveOptions theory = {.samples = 300, .seed = 2}, nets = {.width = 30, .ensemble = 4, .seed = 2};
  check_completion(solve_dmft, 70, 90, theory, (const char *[]){"Phi", "G", "A", "B", NULL});
  check_completion(solve_networks, 110, 140, nets, (const char *[]){"Phi", "G", NULL});
  check_tangent_kernel(solve_dmft, theory);
  check_tangent_kernel(solve_networks, nets);
}

/* ---- several outputs ---- */

/* Two outputs with the same targets are exchangeable; each trained alone gives other numbers, since
 * both train the same features. */
static void test_outputs(void) {
  enum { P = 2, T = 20 };
  static const double targets[] = {1, 1, -0.6, -0.6};
  Recipe recipe = {.phi = PRIM_TANH,
                   .depth = 2,
                   .points = P,
                   .outputs = 2,
                   .steps = T,
                   .gamma = 1.5,
                   .eta = 0.2,
                   .targets = targets};
  Result *both = solve_recipe(recipe);
  const Array *f = field_of(both, "f", 0), *error = error_of(both, "f", 0);
  double worst = 0;
  for (size_t i = P * 2; i < f->size; i += 2)
    worst =
        fmax(worst, fabs(f->data[i] - f->data[i + 1]) / hypot(error->data[i], error->data[i + 1]));
  CHECK(worst < 5);
  CHECK(f->rank == 3 && f->shape[2] == 2);
  CHECK(result_layers(both, "A") == 0);
  Program *program = recipe_program(pool, recipe);
  Result *nets = solve_or_die(solve_networks, program,
                              (SolveOptions){.width = 400, .ensemble = 24, .threads = 2});
  const Array *g = field_of(nets, "f", 0), *spread = error_of(nets, "f", 0);
  worst = 0;
  for (size_t i = P * 2; i < f->size; i++)
    worst = fmax(worst, fabs(f->data[i] - g->data[i]) - 4 * hypot(error->data[i], spread->data[i]));
  CHECK(worst < 4.0 / 400);
  result_drop(nets);
  result_drop(both);
  program_drop(program);
}

/* ---- a matrix that acts twice; layers of several widths ---- */

/* The rms difference of two fields beyond the first `skip` entries, in units of their errors. */
static double rms_z(Result *a, Result *b, const char *name, size_t skip) {
  const Array *x = field_of(a, name, 0), *y = field_of(b, name, 0), *ex = error_of(a, name, 0),
              *ey = error_of(b, name, 0);
  double sum = 0;
  for (size_t i = skip; i < x->size; i++)
    sum += pow((x->data[i] - y->data[i]) / hypot(ex->data[i], ey->data[i]), 2);
  return sqrt(sum / (double)(x->size - skip));
}

/* Theory and fluctuations against trained networks, and these against networks without matrices. */
static void check_law(Recipe recipe) {
  enum { N = 256, MEMBERS = 96 };
  Program *program = recipe_program(pool, recipe);
  SolveOptions nets = {.width = N, .ensemble = MEMBERS, .threads = 2, .seed = 5};
  Result *theory = solve_or_die(solve_dmft, program, (SolveOptions){.samples = 8000, .threads = 2}),
         *trained = solve_or_die(solve_networks, program, nets);
  nets.conditioned = true;
  nets.seed = 6;
  Result *drawn = solve_or_die(solve_networks, program, nets),
         *noise = fluctuations_or_die(theory, 2);
  size_t P = (size_t)recipe.points;
  CHECK(rms_z(theory, trained, "f", P) < 2.2);
  CHECK(rms_z(theory, trained, "ntk", 0) < 2.2);
  CHECK(rms_z(trained, drawn, "f", P) < 2.2);
  CHECK(rms_z(trained, drawn, "ntk", 0) < 2.2);
  CHECK(rms_z(noise, trained, "var_f", P) < 2.2);
  CHECK(rms_z(noise, trained, "var_ntk", 0) < 2.2);
  CHECK(fabs(field_of(theory, "f", 0)->data[(size_t)recipe.steps * P]) > 0.1);
  result_drop(noise);
  result_drop(drawn);
  result_drop(trained);
  result_drop(theory);
  program_drop(program);
}

static void test_uses(void) {
  Recipe base = {.phi = PRIM_TANH, .depth = 3, .points = 2, .steps = 8, .gamma = 1.2, .eta = 0.3};
  Recipe tied = base, wide = base;
  tied.tied = true;
  wide.ratio[0] = 2, wide.ratio[1] = 0.5, wide.ratio[2] = 3;
  check_law(tied);
  check_law(wide);
  tied.phi = wide.phi = PRIM_CONST; /* linear: bases of another kind */
  tied.eta = wide.eta = 0.1;
  check_law(tied);
  check_law(wide);
}

/* ---- failures ---- */

static void check_failure(Solver *solver, Recipe recipe, SolveOptions options, Status expected,
                          const char *word) {
  recipe.depth = recipe.depth ? recipe.depth : 2;
  recipe.points = 2;
  recipe.steps = 60;
  Program *program = recipe_program(pool, recipe);
  Result *result = NULL;
  char *why = NULL;
  options.threads = 2;
  Status status = solver(program, &options, &result, &why);
  CHECK(status == expected);
  CHECK(!result);
  CHECK(why && strstr(why, word));
  if (!why || !strstr(why, word)) fprintf(stderr, "  %s\n", why ? why : "no reason");
  free(why);
  result_drop(result);
  program_drop(program);
}

static void test_failures(void) {
  SolveOptions theory = {.samples = 400}, nets = {.width = 30, .ensemble = 3};
  check_failure(solve_dmft, (Recipe){.phi = PRIM_RELU, .eta = 1e3}, theory, STATUS_NUMERICS,
                "diverges at step ");
  check_failure(solve_dmft, (Recipe){.depth = 3, .eta = 20}, theory, STATUS_NUMERICS,
                "diverges at step ");
  check_failure(solve_networks, (Recipe){.phi = PRIM_RELU, .eta = 1e3}, nets, STATUS_NUMERICS,
                "network 0 diverges at step ");
  volatile sig_atomic_t stop = 1;
  theory.stop = nets.stop = &stop;
  check_failure(solve_dmft, (Recipe){.phi = PRIM_TANH, .eta = 0.1}, theory, STATUS_INTERRUPTED,
                "interrupted");
  check_failure(solve_dmft, (Recipe){.eta = 0.1}, theory, STATUS_INTERRUPTED, "interrupted");
  check_failure(solve_networks, (Recipe){.phi = PRIM_TANH, .eta = 0.1}, nets, STATUS_INTERRUPTED,
                "interrupted");
  check_failure(solve_dmft, (Recipe){.phi = PRIM_TANH, .eta = 0.1}, (SolveOptions){.samples = 8},
                STATUS_SCRIPT, "too few");
  mem_set_limit(1e5);
  check_failure(solve_dmft, (Recipe){.phi = PRIM_TANH, .eta = 0.1}, (SolveOptions){.samples = 4000},
                STATUS_LIMIT, "bytes");
  check_failure(solve_networks, (Recipe){.phi = PRIM_TANH, .eta = 0.1},
                (SolveOptions){.width = 3000, .ensemble = 2}, STATUS_LIMIT, "bytes");
  mem_set_limit(0);
}

/* A check knows the shapes of the patches that a convolution sees, and leaves out their products
 * when they are more work than it may do. */
static void test_allowance(void) {
  const Recipe recipe = {.depth = 1, .phi = PRIM_TANH, .points = 2, .steps = 1, .window = 3};
  const double products = 2 * 2, work = products + 2 * 3 + products * 3 / WORK_PRODUCTS;
  for (int enough = 0; enough < 2; enough++) {
    Work before = work_allow((Work){enough ? work : work - 1, false});
    Program *p = recipe_program(pool, recipe);
    CHECK(work_refused() == !enough);
    work_allow(before);
    const Space *inputs = p ? p->spaces : NULL;
    while (p && inputs < p->spaces + p->space_count && !inputs->data) inputs++;
    CHECK(p && inputs < p->spaces + p->space_count);
    CHECK(inputs && !inputs->gram == !enough && !inputs->vectors == !enough);
    program_drop(p);
  }
}

/* Which activations leave fields that grow as normal numbers do, whatever is learned. */
static void test_growth(void) {
  static const Prim tame[] = {PRIM_TANH, PRIM_ERF,      PRIM_RELU, PRIM_ABS,
                              PRIM_SIN,  PRIM_SOFTPLUS, PRIM_CONST},
                    wild[] = {PRIM_EXP, PRIM_SINH};
  for (size_t i = 0; i < sizeof tame / sizeof *tame + sizeof wild / sizeof *wild; i++) {
    bool grows = i >= sizeof tame / sizeof *tame;
    Prim phi = grows ? wild[i - sizeof tame / sizeof *tame] : tame[i];
    Program *p = recipe_program(pool, (Recipe){.phi = phi, .depth = 2, .points = 2, .steps = 3}),
            *complete = program_complete(p, (Reading){.theory = true});
    CHECK(program_grows(complete) == grows);
    program_drop(complete);
    program_drop(p);
  }
}

/* What a constant without memory would be part of has no value. */
static void test_starved_constants(void) {
  Program *p =
              recipe_program(pool, (Recipe){.phi = PRIM_TANH, .depth = 1, .points = 2, .steps = 1}),
          *complete = program_complete(p, (Reading){.theory = true});
  MachineCode code = machine_compile(complete, false, NULL);
  int given = program_observable(complete, FIELD_PHI, 1)->variable,
      wanted = program_observable(complete, FIELD_ALIGNMENT, 1)->variable;
  const double phi[] = {1, 0.5, 0.5, 1};
  double alignment = 0;
  for (int missing = 0; missing < 2; missing++) {
    Machine m;
    double **numbers = mem_new((size_t)complete->constant_count, sizeof *numbers);
    machine_function(&m, complete, &code, given, wanted, 1);
    for (int i = 0; i < complete->constant_count; i++) numbers[i] = complete->constants[i].numbers;
    for (int i = 0; i < complete->constant_count && missing; i++)
      complete->constants[i].numbers = NULL;
    machine_call(&m, given, phi, wanted, &alignment);
    CHECK(machine_failed(&m) == missing);
    for (int i = 0; i < complete->constant_count; i++) complete->constants[i].numbers = numbers[i];
    free(numbers);
    machine_free(&m);
  }
  machine_code_free(complete, &code);
  program_drop(complete);
  program_drop(p);
}

int main(void) {
  pool = expr_pool_new();
  test_networks();
  test_entrywise_networks();
  test_two_layers();
  test_three_layers();
  test_flow();
  test_duplicates();
  test_threads();
  test_completion();
  test_outputs();
  test_uses();
  test_failures();
  test_allowance();
  test_growth();
  test_starved_constants();
  expr_pool_free(pool);
  return check_done();
}
