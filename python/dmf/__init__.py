# SPDX-License-Identifier: GPL-3.0-or-later
"""dmf from Python: the mean-field theory of neural networks, and networks to hold it against.

    import dmf
    s = dmf.Session()
    s.run(open("pair.dmf").read())
    s["theory"].loss           # a numpy array, with .stderr and .axes

In a notebook, %load_ext dmf gives cells that begin with %%dmf; the Jupyter kernel "dmf" has notebooks of
dmf alone. The language is described in dmf-language(7), what a session can do in help(dmf.Session)."""
from ._library import lib as _lib
from .errors import (AssertionFailed, Error, FileError, Incomplete, Interrupted, LimitError, Message, NumericsError,
                     ScriptError, UsageError, Warning)
from .session import Session
from .values import Array, Axis, Layers, Number, Object, Result

__version__ = _lib.dmf_version().decode()


def limit_memory(size):
    """Bounds the memory of the process, in bytes; 0: no other bound than those of the machine."""
    _lib.dmf_limit_memory(float(size))


def load_ipython_extension(shell):
    """%load_ext dmf"""
    from .magic import load_ipython_extension as load

    load(shell)
