# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks of bench.c, one after the other, as tight as NumPy has them: two hidden layers of tanh, four
points, thirty steps; in double and in single precision. Processor seconds, the least of three."""
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
import time

import numpy as np

DIM, POINTS, STEPS, ETA = 20, 4, 30, 0.3


def train(width, members, real):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((POINTS, DIM))
    x = (x * np.sqrt(DIM / (x * x).sum(1, keepdims=True))).astype(real)
    y = np.array([1, -1, 1, -1], real)
    for _ in range(members):
        U = rng.standard_normal((DIM, width), real) / np.sqrt(DIM, dtype=real)
        W = rng.standard_normal((width, width), real)
        W /= np.sqrt(width, dtype=real)
        w = rng.standard_normal(width, real)
        start = None
        for t in range(STEPS + 1):
            p1 = np.tanh(x @ U)
            p2 = np.tanh(p1 @ W)
            f = p2 @ w / width
            start = f if start is None else start
            delta = y - (f - start)
            loss = (delta * delta).mean() / 2
            if t == STEPS:
                break
            c = ETA / POINTS * delta[:, None]
            g2 = c * w * (1 - p2 * p2)
            g1 = (g2 @ W.T) * (1 - p1 * p1)
            w = w + (c * p2).sum(0)
            W += (p1 / real(width)).T @ g2
            U += (x / real(DIM)).T @ g1
    return loss


def least(width, members, real):
    seconds = []
    for _ in range(3):
        start = time.process_time()
        train(width, members, real)
        seconds.append(time.process_time() - start)
    return min(seconds)


print("\nthe same networks in NumPy %s           double      single   (seconds)" % np.__version__)
for width, members in ((512, 400), (2048, 4)):
    name = "tanh N=%d L=2 P=4 T=30, %d nets" % (width, members)
    print("%-36s %10.3f %11.3f" % (name, least(width, members, np.float64), least(width, members, np.float32)))
