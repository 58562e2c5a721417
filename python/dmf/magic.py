# SPDX-License-Identifier: GPL-3.0-or-later
"""%%dmf: cells of dmf in a notebook of Python, all in one session.

    %load_ext dmf
    %%dmf -i points -o theory
    dataset d { inputs = points; targets = [1, -1] }
    ...

-i hands Python's variables to the session, -o those of the session to Python; both take names with
commas between. The session itself is dmf.magic.session()."""
import argparse
import sys

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class
from IPython.display import display

from .display import Shown
from .errors import Error

_shown = None


def shown():
    global _shown
    if _shown is None:
        _shown = Shown(lambda text: sys.stdout.write(text), lambda data: display(data, raw=True))
    return _shown


def session():
    """The session of the cells."""
    return shown().session


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise UsageError(f"%%dmf: {message}")


def _names(text):
    return [name.strip() for name in text.split(",") if name.strip()]


@magics_class
class DmfMagics(Magics):
    @line_cell_magic
    def dmf(self, line, cell=None):
        """Runs a cell, or the rest of the line, as statements of dmf. %%dmf [-i NAMES] [-o NAMES]"""
        into, out = [], []
        if cell is not None:
            parser = _Parser(prog="%%dmf", add_help=False)
            parser.add_argument("-i", type=_names, default=[])
            parser.add_argument("-o", type=_names, default=[])
            arguments = parser.parse_args(line.split())
            into, out = arguments.i, arguments.o
        for name in into:
            if name not in self.shell.user_ns:
                raise UsageError(f"%%dmf: there is no variable '{name}'")
            session()[name] = self.shell.user_ns[name]
        try:
            text = line if cell is None else cell
            if not shown().help(text):
                shown().run(text, f"In[{self.shell.execution_count}]")
        except Error as error:  # it says where in the cell; the way through Python is of no interest
            lines = str(error).split("\n")
            error._render_traceback_ = lambda *_: lines
            raise
        self.shell.push({name: session()[name] for name in out})


def load_ipython_extension(shell):
    shell.register_magics(DmfMagics)
