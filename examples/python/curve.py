# SPDX-License-Identifier: GPL-3.0-or-later
# Theory and networks, and a picture of their losses: python3 curve.py [loss.png]
import sys

import dmf
import numpy
from matplotlib import pyplot

session = dmf.Session()
session["points"] = numpy.array([[1, 1, 1, -1], [1, -1, 1, 1]])
session.run("""
dataset pair { inputs = points; targets = [1, -1] }
model net { layers = input -> 2 * dense(tanh) -> readout; gamma = 2; width = 256 }
training descent { dataset = pair; optimizer = gd(0.1); steps = 20 }
theory = dmft(net, descent)
nets = simulate(net, descent)
""")
for name in "theory", "nets":
    loss = session[name].loss
    pyplot.errorbar(loss.axes[0].values, loss, loss.stderr, label=name, fmt="o" if name == "nets" else "-")
pyplot.xlabel("t")
pyplot.ylabel("loss")
pyplot.legend()
pyplot.savefig(sys.argv[1] if len(sys.argv) > 1 else "loss.png")
