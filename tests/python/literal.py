# SPDX-License-Identifier: GPL-3.0-or-later
"""An independent judge of networks and optimizers: networks with all their weights, trained one weight at a time as
dmf-language(7) writes it, and what dmf says of the same scripts.

Many networks are trained at once, on the first axis of every array. Gradients are those of a list of operations
read backward; they are held against divided differences. Nothing here knows fields, kernels, or limits.
"""
import math
import unittest

import numpy as np
from counted import main

import dmf


# ---- operations and their derivatives ----

class Node:
    """A value [networks, points, positions, neurons] and how a derivative by it goes on to what it was made of."""

    def __init__(self, value, *parents):
        self.value, self.parents, self.slope = value, parents, 0

    def __add__(self, other):
        return Node(self.value + other.value, (self, lambda g: g), (other, lambda g: g))

    def __mul__(self, number):
        return Node(self.value * number, (self, lambda g: g * number))


def ordered(end):
    """What `end` is made of, each node behind its parents."""
    order, seen = [], set()

    def visit(node):
        if id(node) not in seen:
            seen.add(id(node))
            for parent, _ in node.parents:
                visit(parent)
            order.append(node)

    visit(end)
    return order


def differentiate(end, seed):
    order = ordered(end)
    for node in order:
        node.slope = 0
    end.slope = seed
    for node in reversed(order):
        for parent, back in node.parents:
            parent.slope = parent.slope + back(node.slope)


def activation(name, x):
    value, slope = {"tanh": (np.tanh(x.value), 1 - np.tanh(x.value)**2),
                    "relu": (np.maximum(x.value, 0), (x.value > 0) * 1.0),
                    "linear": (x.value, 1.0)}[name]
    return Node(value, (x, lambda g: g * slope))


def rolled(x, by):
    return Node(np.roll(x.value, by, 2), *([(x, lambda g: np.roll(g, -by, 2))] if x.parents else []))


def position(x, p):
    def back(g):
        whole = np.zeros_like(x.value)
        whole[:, :, p:p + 1] = g
        return whole
    return Node(x.value[:, :, p:p + 1], (x, back))


def pooled(x):
    count = x.value.shape[2]
    return Node(x.value.mean(2, keepdims=True), (x, lambda g: np.repeat(g, count, 2) / count))


def normed(x, eps=1e-5):
    y = x.value - x.value.mean(-1, keepdims=True)
    size = np.sqrt((y**2).mean(-1, keepdims=True) + eps)
    z = y / size

    def back(g):
        g = g - g.mean(-1, keepdims=True)
        return (g - z * (g * z).mean(-1, keepdims=True)) / size
    return Node(z, (x, back))


def gram(a, b):
    """Averages over neurons at all pairs of positions."""
    n = a.value.shape[-1]
    return Node(np.einsum("epin,epjn->epij", a.value, b.value) / n,
                (a, lambda g: np.einsum("epij,epjn->epin", g, b.value) / n),
                (b, lambda g: np.einsum("epij,epin->epjn", g, a.value) / n))


def softmax(s, causal):
    shape = s.value.shape[-2:]
    seen = np.tril(np.ones(shape)) if causal else np.ones(shape)
    e = np.exp(s.value) * seen
    a = e / e.sum(-1, keepdims=True)
    return Node(a, (s, lambda g: a * (g - (g * a).sum(-1, keepdims=True))))


def blended(a, x):
    return Node(np.einsum("epij,epjn->epin", a.value, x.value),
                (a, lambda g: np.einsum("epin,epjn->epij", g, x.value)),
                (x, lambda g: np.einsum("epij,epin->epjn", a.value, g)))


# ---- networks ----

class Weights:
    """Entries of unit variance with `scale` in front; `fan` is what they read, `kind` where they stand."""

    def __init__(self, value, scale, fan, kind):
        self.value, self.scale, self.fan, self.kind, self.memory = value, scale, fan, kind, {}


class Network:
    def __init__(self, body, inputs, targets, width, count, seed, gamma=1.0, loss="mse"):
        self.body, self.N, self.count, self.gamma, self.loss = body, width, count, gamma, loss
        self.random, self.weights = np.random.default_rng(seed), {}
        x = np.asarray(inputs, float)
        self.x = x[:, None] if x.ndim == 2 else x
        y = np.asarray(targets, float)
        self.y = y[:, None] if y.ndim == 1 else y
        self.start = 0
        self.start = self.forward().value

    def drawn(self, law, count, to, reads):
        """Entries of variance 1: of orthogonal matrices sqrt(N) times one, uniform among them."""
        z = self.random.standard_normal((count, to, reads))
        if law == "orthogonal":
            q, r = np.linalg.qr(z)
            return math.sqrt(to) * q * np.sign(np.einsum("eii->ei", r))[:, None, :]
        return {"normal": lambda: z, "sign": lambda: np.where(z < 0, -1.0, 1.0),
                "uniform": lambda: math.sqrt(3) * self.random.uniform(-1, 1, z.shape)}[law]()

    def matrix(self, name, x, ratio=1.0, kind=None, to=None, fan=None, law="normal"):
        """W x / sqrt(N_from), or / sqrt(D), or / (gamma N_L) for the readout."""
        reads = x.value.shape[-1]
        kind = kind or ("hidden" if x.parents else "input")
        if name not in self.weights:
            scale = 1 / (self.gamma * reads) if kind == "readout" else 1 / math.sqrt(fan or reads)
            self.weights[name] = Weights(
                self.drawn(law, self.count, to or max(1, round(ratio * self.N)), reads), scale,
                1 if kind == "readout" else fan or reads, kind)
        w = self.weights[name]
        leaf = self.leaf(w)
        back = lambda g: np.einsum("epai,epaj->eij", g, np.broadcast_to(x.value, g.shape[:3] + (reads,))) * w.scale
        return Node(np.einsum("eij,epaj->epai", w.value, np.broadcast_to(x.value, (self.count,) + x.value.shape[1:]))
                    * w.scale, (leaf, back),
                    *([(x, lambda g: np.einsum("eij,epai->epaj", w.value, g) * w.scale)] if x.parents else []))

    def transposed(self, name, x, scale):
        """W' x times a number, of a matrix that acted before."""
        w = self.weights[name]
        return Node(np.einsum("eic,epai->epac", w.value, x.value) * scale,
                    (self.leaf(w), lambda g: np.einsum("epac,epai->eic", g, x.value) * scale),
                    (x, lambda g: np.einsum("eic,epac->epai", w.value, g) * scale))

    def bias(self, name, h, sigma):
        n = h.value.shape[-1]
        if name not in self.weights:
            self.weights[name] = Weights(sigma * self.random.standard_normal((self.count, n)), 1, 1, "bias")
        leaf = self.leaf(self.weights[name])
        return Node(h.value + leaf.value[:, None, None], (h, lambda g: g), (leaf, lambda g: g.sum((1, 2))))

    def leaf(self, w):
        if id(w) not in self.leaves:
            self.leaves[id(w)] = Node(w.value)
        return self.leaves[id(w)]

    def forward(self):
        self.leaves, self.tied, self.law = {}, None, "normal"
        x = self.body(self, Node(self.x[None]))
        self.raw = (self.transposed(self.tied, x, 1 / (self.gamma * x.value.shape[-1])) if self.tied
                    else self.matrix("readout", x, kind="readout", to=self.y.shape[1], law=self.law))
        return Node(self.raw.value[:, :, 0] - self.start)

    def error(self, f, share):
        """The loss, and its derivative by the outputs [networks, P, C]."""
        if self.loss == "mse":
            return (share[:, None] * (f - self.y)**2 / 2).sum((1, 2)), share[:, None] * (f - self.y)
        e = np.exp(f - f.max(-1, keepdims=True))
        p = e / e.sum(-1, keepdims=True)
        return -(share[:, None] * self.y * np.log(p)).sum((1, 2)), share[:, None] * (p - self.y)

    def slopes(self, share):
        """d loss / d theta of all weights, by name."""
        f = self.forward().value
        differentiate(self.raw, self.error(f, share)[1][:, :, None])
        return {name: self.leaf(w).slope for name, w in self.weights.items()}

    def of_averages(self, average):
        """f of the network whose weights are these."""
        own = {name: w.value for name, w in self.weights.items()}
        for name, w in self.weights.items():
            w.value = average[name]
        f = self.forward().value
        for name, w in self.weights.items():
            w.value = own[name]
        return f

    def train(self, steps, rule, batch=None, ema=0.0):
        """f [networks, T + 1, P, C], the loss, and f of averaged weights; rule(weights, O, t, gamma) moves weights."""
        P = len(self.x)
        all_points, f, loss, means = np.full(P, 1 / P), [], [], []
        average = {name: w.value.copy() for name, w in self.weights.items()}
        for t in range(steps + 1):
            f.append(self.forward().value)
            loss.append(self.error(f[-1], all_points)[0])
            means.append(self.of_averages(average))
            if t < steps:
                slopes = self.slopes(all_points if batch is None else batch[t])
                for name, w in self.weights.items():
                    rule(w, -self.gamma * self.N * math.sqrt(w.fan) * slopes[name], t, self.gamma)
                    average[name] = ema * average[name] + (1 - ema) * w.value
        return np.stack(f, 1), np.stack(loss, 1), np.stack(means, 1)


# ---- optimizers: theta <- keep theta + eta gamma psi / sqrt(fan), O = -gamma N sqrt(fan) d loss / d theta ----

def moved(psi, eta, decay=0.0):
    def rule(w, O, t, gamma):
        step = psi(w, O, t)
        w.value *= 1 - eta * decay
        w.value += eta * gamma * step / math.sqrt(w.fan)
    return rule


def kept(w, name, beta, gain, O):
    w.memory[name] = beta * w.memory.get(name, 0) + gain * O
    return w.memory[name]


def gd(eta, **more):
    return moved(lambda w, O, t: O, eta, **more)


def momentum(eta, beta, ahead=False, **more):
    def psi(w, O, t):
        v = kept(w, "v", beta, 1, O)
        return O + beta * v if ahead else v
    return moved(psi, eta, **more)


def adam(eta, beta1=0.9, beta2=0.999, eps=1e-8, corrected=True, **more):
    def psi(w, O, t):
        m, v = kept(w, "m", beta1, 1 - beta1, O), kept(w, "v", beta2, 1 - beta2, O**2)
        c1, c2 = (1 - beta1**(t + 1), 1 - beta2**(t + 1)) if corrected else (1, 1)
        return m / c1 / (np.sqrt(v / c2) + eps)
    return moved(psi, eta, **more)


def underdamped(eta, beta, temperature, decay):
    noise = np.random.default_rng(5)

    def rule(w, O, t, gamma):
        force = eta * gamma * O / math.sqrt(w.fan) - eta * decay * w.value
        w.value += kept(w, "u", beta, 1, force + math.sqrt(2 * (1 - beta) * eta * temperature)
                        * noise.standard_normal(w.value.shape))
    return rule


def lion(eta, beta1=0.9, beta2=0.99, **more):
    def psi(w, O, t):
        mixed = beta1 * w.memory.get("m", 0) + (1 - beta1) * O
        kept(w, "m", beta2, 1 - beta2, O)
        return np.sign(mixed)
    return moved(psi, eta, **more)


def muon(eta, beta, other, eps=0.0, decay=0.0):
    def rule(w, O, t, gamma):
        if w.kind != "hidden":
            return other(w, O, t, gamma)
        V = kept(w, "v", beta, 1, O)
        U, s, Vt = np.linalg.svd(V, full_matrices=False)
        size = np.hypot(s, eps * math.sqrt(V.shape[1] * V.shape[2]))
        polar = np.einsum("eik,ek,ekj->eij", U, np.where(s > 1e-6 * s[:, :1], s / size, 0), Vt)
        w.value *= 1 - eta * decay
        w.value += eta * gamma * math.sqrt(w.fan) * polar
    return rule


def groups(**rules):
    return lambda w, O, t, gamma: rules[w.kind](w, O, t, gamma)


# ---- architectures, as text of dmf and literally ----

def dense(net, x):
    h = net.bias("b1", net.matrix("W0", x, ratio=0.5), 0.4)
    x = activation("tanh", h)
    return activation("tanh", net.matrix("W1", x, ratio=2.0))


def windowed(net, name, x, pixels=3):
    """A neuron reads all pixels of the window: sum_k W_k x_{p+k} / sqrt(N pixels)."""
    fan, half, sum_of = x.value.shape[-1] * pixels, pixels // 2, None
    for k in range(-half, pixels - half):
        part = net.matrix(f"{name}.{k}", rolled(x, -k), fan=fan)
        sum_of = part if sum_of is None else sum_of + part
    return sum_of


def convolution(net, x):
    x = activation("tanh", windowed(net, "C0", x))
    return pooled(activation("tanh", windowed(net, "C1", x)))


def recurrent(net, x):
    u = net.matrix("U", x)
    h = position(u, 0)
    for p in range(1, u.value.shape[2]):
        h = net.matrix("W", activation("tanh", h)) + position(u, p)
    return activation("tanh", h)


def masked(net, x):
    """Scores less a distance, and none beyond two positions: known numbers in a layer."""
    x = activation("tanh", net.matrix("E", x))
    q, k, v = (net.matrix(letter, x) for letter in "QKV")
    s, far = gram(q, k), np.abs(np.arange(3)[:, None] - np.arange(3))
    s = Node(np.where(far > 1, -np.inf, s.value - 0.5 * far), (s, lambda g: g))
    return position(x + blended(softmax(s, True), v), 2)


def tied(net, x):
    """The readout has the columns of the embedding."""
    net.tied = "E"
    x = net.matrix("E", x)
    return position(normed(x + net.matrix("W", activation("tanh", net.matrix("U", x)))), 2)


def other_laws(net, x):
    """Few weights of a neuron are not normal, and an orthogonal matrix acts there and back."""
    net.law = "sign"
    x = activation("tanh", net.matrix("W0", x, law="uniform"))
    h = net.matrix("W", x, law="orthogonal")
    return net.transposed("W", activation("tanh", h + x), 1 / math.sqrt(net.N))


def attention(net, x):
    x = activation("tanh", net.matrix("E", x))
    out = x
    y = normed(x)
    for head in range(2):
        q, k, v = (net.matrix(f"{letter}{head}", y, ratio=0.5) for letter in "QKV")
        out = out + net.matrix(f"O{head}", blended(softmax(gram(q, k) * 2, True), v), fan=net.N)
    return pooled(out)


LAYERS = {
    dense: "dense(tanh, width = 0.5, sigma_b = 0.4) -> dense(tanh, width = 2)",
    convolution: 'conv(tanh, window = 3) -> conv(tanh, window = 3) -> pool("mean")',
    recurrent: "recurrent(tanh)",
    masked: "dense(tanh) -> masked -> last",
    attention: 'conv(tanh, window = 1) -> attend() -> pool("mean")',
    tied: "embed -> forward(tanh) -> layer_norm -> last",
    other_laws: 'dense(tanh, law = "uniform") -> there_and_back',
}
READOUTS = {tied: "(tied = true)", other_laws: '(law = "sign")'}
ATTEND = """layer masked() of x {
  Q = matrix(); K = matrix(); V = matrix()
  far = abs(reshape(0..2, 3, 1) - (0..2))
  return x + softmax(if far > 1 then -inf else dot(Q @ x, K @ x) - 0.5 * far, causal) @ (V @ x)
}
layer there_and_back() of x { W = matrix(law = "orthogonal"); return W' @ tanh(W @ x + x) }
layer forward(phi) of x { U = matrix(); W = matrix(); return x + W @ phi(U @ x) }
layer attend() of x { return x + attended(layer_normed(x), heads = 2, scale = 2) }
"""
FLAT = np.array([[0.9, -0.4, 1.1], [-0.3, 1.2, 0.5], [1.3, 0.6, -0.8]])
LINES = np.array([[[1, 0.3], [-1, 0.2], [0.3, 0.9]], [[0.5, 1], [1, -0.7], [0.1, -0.5]], [[-0.6, 0.4], [0.2, 1.1], [1.2, 0.3]]])
CASES = {
    "gd": ("gd(0.4)", gd(0.4)),
    "nesterov": ("nesterov(0.15, 0.6)", momentum(0.15, 0.6, ahead=True)),
    "decay": ("momentum(0.2, 0.5)", momentum(0.2, 0.5, decay=0.3), "; weight_decay = 0.3"),
    "hot": ("underdamped(0.2, 0.5)", underdamped(0.2, 0.5, 0.4, 0.3), "; weight_decay = 0.3; temperature = 0.4"),
    "adam": ("adam(0.06, 0.8, 0.95, 0.02)", adam(0.06, 0.8, 0.95, 0.02)),
    "rmsprop": ("rmsprop(0.02, 0.9, 0.05)", adam(0.02, 0, 0.9, 0.05, corrected=False)),
    "groups": ("groups(gd(0.3), input = adam(0.05, eps = 0.1), hidden = lion(0.02), readout = momentum(0.2, 0.5))",
               groups(input=adam(0.05, eps=0.1), hidden=lion(0.02), readout=momentum(0.2, 0.5), bias=gd(0.3))),
    "lion": ("lion(0.03, 0.7, 0.9)", lion(0.03, 0.7, 0.9)),
    "muon": ("muon(0.1, 0.6, other = gd(0.2), eps = 0.1)", muon(0.1, 0.6, gd(0.2), 0.1)),
}
STEPS, GAMMA, EMA = 5, 1.3, 0.6


def problem(body):
    return (FLAT if body in (dense, other_laws) else LINES), [[1, -0.5], [-0.8, 0.3], [0.3, 0.6]] if body is tied else [1, -0.8, 0.3]


def script(body, name):
    inputs, targets = problem(body)
    optimizer, more = CASES[name][0], "".join(CASES[name][2:])
    return ATTEND + f"""dataset points {{ inputs = {inputs.tolist()}; targets = {targets} }}
model net {{ layers = input -> {LAYERS[body]} -> readout{READOUTS.get(body, "")}; gamma = {GAMMA}; width = 8 }}
training fit {{ dataset = points; optimizer = {optimizer}; steps = {STEPS}; ema = {EMA}{more} }}
"""


def literally(body, rule, width, count, seed):
    inputs, targets = problem(body)
    f, loss, means = Network(body, inputs, targets, width, count, seed, GAMMA).train(STEPS, rule, ema=EMA)
    return (f, loss, means) if body is tied else (f[..., 0], loss, means[..., 0])


def mean_and_error(values):
    return values.mean(0), values.std(0, ddof=1) / math.sqrt(len(values))


def rms_z(a, a_error, b, b_error):
    return math.sqrt(np.mean((a - b)**2 / (a_error**2 + b_error**2 + 1e-30)))


class Gradients(unittest.TestCase):
    def test_divided_differences(self):
        share = np.array([0.2, 0.5, 0.3])
        for body in LAYERS:
            inputs, targets = problem(body)
            net = Network(body, inputs, np.eye(2)[[0, 1, 1]] if body is tied else np.eye(3), 4, 2, 7, GAMMA, loss="cross_entropy")
            slopes = {name: np.array(s) for name, s in net.slopes(share).items()}
            for name, w in net.weights.items():
                entry, loss = tuple(n // 2 for n in w.value.shape), []
                for step in (1e-5, -1e-5):
                    w.value[entry] += step
                    loss.append(net.error(net.forward().value, share)[0][entry[0]])
                    w.value[entry] -= step
                self.assertAlmostEqual((loss[0] - loss[1]) / 2e-5, slopes[name][entry], 8, name)


class Law(unittest.TestCase):
    """Networks of dmf have the law of these, as narrow as they are: means and variances of outputs and loss."""

    def agree(self, body, name, count=1500):
        rule = CASES[name][1]
        session = dmf.Session(threads=2)
        session.run(script(body, name) + f"nets = simulate(net, fit, ensemble = {count})")
        f, loss, means = literally(body, rule, 8, count, [len(name), len(LAYERS[body])])
        nets = session["nets"]
        mean, error = mean_and_error(f[:, 1:])
        z = rms_z(nets.f[1:], nets.f.stderr[1:], mean, error)
        self.assertLess(z, 1.8, (body.__name__, name, "f"))
        mean, error = mean_and_error(means[:, 1:])
        self.assertLess(rms_z(nets.f_ema[1:], nets.f_ema.stderr[1:], mean, error), 1.8, (body.__name__, name, "f_ema"))
        mean, error = mean_and_error(loss[:, 1:])
        self.assertLess(rms_z(nets.loss[1:], nets.loss.stderr[1:], mean, error), 2.2, (body.__name__, name, "loss"))
        square, error = mean_and_error(8 * (f[:, 1:] - f[:, 1:].mean(0))**2)
        self.assertLess(rms_z(nets.var_f[1:], nets.var_f.stderr[1:], square, error), 2.2, (body.__name__, name, "var_f"))
        return z

    def test_dense(self):
        for name in CASES:
            self.agree(dense, name)

    def test_convolution(self):
        for name in ("nesterov", "hot", "adam", "muon"):
            self.agree(convolution, name)

    def test_recurrent(self):
        for name in ("decay", "hot", "adam", "lion", "muon"):
            self.agree(recurrent, name)

    def test_attention(self):
        for name in ("gd", "groups", "rmsprop", "muon"):
            self.agree(attention, name)

    def test_masked(self):
        self.agree(masked, "nesterov", 2500)

    def test_tied(self):
        for name in ("gd", "hot", "adam", "groups", "muon"):
            self.agree(tied, name)

    def test_other_laws(self):
        for name in ("gd", "nesterov", "adam", "muon"):
            self.agree(other_laws, name)


class Limit(unittest.TestCase):
    """Means over these networks, extrapolated in 1/N, are what dmft says."""

    WIDTHS, COUNTS = (16, 32, 64), (1000, 500, 250)

    def agree(self, body, name):
        rule = CASES[name][1]
        session = dmf.Session(threads=2)
        session.run(script(body, name) + "theory = dmft(net, fit, error = 0.003)")
        means, errors = [], []
        for width, count in zip(self.WIDTHS, self.COUNTS):
            parts = [literally(body, rule, width, 250, [len(name), width, k])[0][:, 1:] for k in range(count // 250)]
            mean, error = mean_and_error(np.concatenate(parts))
            means.append(mean)
            errors.append(error)
        design = np.array([[1, 1 / N] for N in self.WIDTHS])
        limit, error = np.empty_like(means[0]), np.empty_like(means[0])
        for at in np.ndindex(limit.shape):
            weight = 1 / np.array([e[at] for e in errors])
            inverse = np.linalg.inv((design * weight[:, None]**2).T @ design)
            limit[at] = (inverse @ (design * weight[:, None]**2).T @ np.array([m[at] for m in means]))[0]
            error[at] = math.sqrt(inverse[0, 0])
        f = session["theory"].f
        self.assertLess(error.max(), 0.005)
        self.assertLess(rms_z(f[1:], f.stderr[1:], limit, error), 2.2, (body.__name__, name))

    def test_dense(self):
        self.agree(dense, "adam")
        self.agree(dense, "muon")

    def test_positions(self):
        self.agree(convolution, "gd")
        self.agree(recurrent, "lion")

    def test_tied(self):
        self.agree(tied, "rmsprop")
        self.agree(tied, "adam")

    def test_other_laws(self):
        self.agree(other_laws, "gd")
        self.agree(other_laws, "adam")


GROWING = """
dataset task {
  population D, P = 2, fresh = 2
  inputs = gaussian(points = P, dim = D)
  test_inputs = gaussian(points = fresh, dim = D)
  u = normal(D)
  targets = tanh(inputs @ u)
  test_targets = tanh(test_inputs @ u)
}
model net {
  layers = input -> dense(tanh) -> readout(mean = 1, sigma_w = 0, rate = 0.5)
  width = 3; gamma = 0.8
}
training fit { dataset = task; steps = 15; optimizer = %s; weight_decay = %g }
theory = dmft(net, fit, samples = 8000)
"""


class Growing(unittest.TestCase):
    """Three neurons that learn 2 D points in D dimensions."""

    SIZES, COUNT, STEPS = (100, 200), 60, 15

    def moved(self, name, state, gradients, t):
        """By how much each array moves, in units of the rate: `gradients` are those that gd follows."""
        if name == "gd":
            return [-g for g in gradients]
        if name == "nesterov":
            for k, g in enumerate(gradients):
                state["v", k] = 0.7 * state.get(("v", k), 0) + g
            return [-(g + 0.7 * state["v", k]) for k, g in enumerate(gradients)]
        moves = []
        for k, g in enumerate(gradients):
            o = -g / 0.8
            state["m", k] = 0.9 * state.get(("m", k), 0) + 0.1 * o
            state["v", k] = 0.999 * state.get(("v", k), 0) + 0.001 * o**2
            moves.append(0.8 * state["m", k] / (1 - 0.9**(t + 1)) / (np.sqrt(state["v", k] / (1 - 0.999**(t + 1))) + 0.01))
        return moves

    def losses(self, name, eta, decay, D, seed):
        draw, gamma, K, P = np.random.default_rng(seed), 0.8, 3, 2 * D
        X, Z, u = draw.normal(size=(P, D)), draw.normal(size=(P, D)), draw.normal(size=D)
        W, w = draw.normal(size=(K, D)), np.ones(K)
        def f(points):
            return np.tanh(points @ W.T / math.sqrt(D)) @ w / (gamma * K)
        y, z, y0, z0, state, out = np.tanh(X @ u / math.sqrt(D)), np.tanh(Z @ u / math.sqrt(D)), f(X), f(Z), {}, []
        for t in range(self.STEPS + 1):
            r = y - f(X) + y0
            out.append([np.mean(r**2) / 2, np.mean((z - f(Z) + z0)**2) / 2])
            phi = np.tanh(X @ W.T / math.sqrt(D))
            by_w = -phi.T @ r / (P * gamma * K)
            by_W = -((r[:, None] * (1 - phi**2) * w).T @ X) / (P * gamma * K * math.sqrt(D))
            first, last = self.moved(name, state, [gamma**2 * K * D * by_W, gamma**2 * K * by_w], t)
            W, w = (1 - eta * decay) * W + eta * first, (1 - eta * decay / 2) * w + eta / 2 * last
        return out

    def test_optimizers(self):
        for name, text, eta, decay in (("gd", "gd(eta = 0.5)", 0.5, 0.05), ("nesterov", "nesterov(eta = 0.2, beta = 0.7)", 0.2, 0),
                                       ("adam", "adam(eta = 0.1, eps = 0.01)", 0.1, 0)):
            session = dmf.Session(threads=2)
            session.run(GROWING % (text, decay))
            theory = session["theory"]
            (a, a_error), (b, b_error) = (mean_and_error(np.array([self.losses(name, eta, decay, D, [D, k]) for k in range(self.COUNT)]))
                                          for D in self.SIZES)
            limit, error = 2 * b - a, np.hypot(2 * b_error, a_error)
            self.assertLess(error.max(), 0.012, name)
            self.assertLess(rms_z(theory.loss, theory.loss.stderr, limit[:, 0], error[:, 0]), 2.2, (name, "loss"))
            self.assertLess(rms_z(theory.test_loss, theory.test_loss.stderr, limit[:, 1], error[:, 1]), 2.2, (name, "test_loss"))


if __name__ == "__main__":
    main()
