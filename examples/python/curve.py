# SPDX-License-Identifier: GPL-3.0-or-later
# Theory and networks through libdmf, and a picture of their losses: python3 curve.py [loss.png]
import ctypes, sys, numpy
from matplotlib import pyplot

class Array(ctypes.Structure):
    _fields_ = [("rank", ctypes.c_int), ("shape", ctypes.c_size_t * 8), ("size", ctypes.c_size_t),
                ("data", ctypes.POINTER(ctypes.c_double)), ("owner", ctypes.c_void_p)]

dmf = ctypes.CDLL("libdmf.so.0")
dmf.dmf_open.restype = ctypes.c_void_p
session = ctypes.c_void_p(dmf.dmf_open(None))

def get(expression):
    array = Array()
    if dmf.dmf_get(session, expression.encode(), ctypes.byref(array)):
        sys.exit(1)  # the message is on standard error
    numbers = numpy.ctypeslib.as_array(array.data, tuple(array.shape[:array.rank])).copy()
    dmf.dmf_array_free(ctypes.byref(array))
    return numbers

script = b"""dataset pair { inputs = [[1, 1, 1, -1], [1, -1, 1, 1]]; targets = [1, -1] }
model net { layers = input -> 2 * dense(tanh) -> readout; gamma = 2; width = 256 }
training descent { dataset = pair; optimizer = gd(0.1); steps = 20 }
theory = dmft(net, descent); nets = simulate(net, descent)"""
if dmf.dmf_run_text(session, b"curve.py", script, ctypes.c_size_t(len(script))):
    sys.exit(1)
pyplot.plot(get("theory.t"), get("theory.loss"), label="theory")
pyplot.errorbar(get("nets.t"), get("nets.loss"), get("nets.stderr.loss"), fmt="o", label="networks")
pyplot.legend()
pyplot.savefig(sys.argv[1] if len(sys.argv) > 1 else "loss.png")
