# SPDX-License-Identifier: GPL-3.0-or-later
"""The Jupyter kernel: notebooks of dmf. Started as python3 -m dmf.kernel -f CONNECTION_FILE."""
import time

from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel

from . import __version__
from .display import Shown
from .errors import Error

SLOW, RENEWAL = 1.0, 0.5  # seconds before a solver tells how far it is, and between two times


class _Progress:
    """A line that is written over."""

    def __init__(self, write):
        self.write, self.begin, self.told, self.length = write, None, 0.0, 0

    def __call__(self, stage, done, total):
        now = time.monotonic()
        if stage is None:
            if self.length:
                self.write("\r" + " " * self.length + "\r")
            self.begin, self.length = None, 0
            return
        if self.begin is None:
            self.begin = now
        if now - self.begin < SLOW or now - self.told < RENEWAL:
            return
        line = f"{stage}: {done} of {total}"
        self.write("\r" + line.ljust(self.length))
        self.told, self.length = now, len(line)


def _word_at(code, cursor):
    begin = end = cursor
    while begin > 0 and (code[begin - 1].isalnum() or code[begin - 1] == "_"):
        begin -= 1
    while end < len(code) and (code[end].isalnum() or code[end] == "_"):
        end += 1
    return code[begin:end]


class DmfKernel(Kernel):
    implementation = "dmf"
    implementation_version = __version__
    banner = f"dmf {__version__}"
    language_info = {"name": "dmf", "version": __version__, "mimetype": "text/x-dmf", "file_extension": ".dmf"}

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self._silent = False
        self._shown = Shown(self._text, self._bundle, _Progress(self._complain), self._complain, color=True)

    def _stream(self, name, text):
        if not self._silent:
            self.send_response(self.iopub_socket, "stream", {"name": name, "text": text})

    def _complain(self, text):
        self._stream("stderr", text)

    def _text(self, text):
        self._stream("stdout", text)

    def _bundle(self, data):
        if not self._silent:
            self.send_response(self.iopub_socket, "display_data", {"data": data, "metadata": {}})

    def _failed(self, name, value, lines):
        reply = {"ename": name, "evalue": value, "traceback": lines}
        if not self._silent:
            self.send_response(self.iopub_socket, "error", reply)
        return {"status": "error", "execution_count": self.execution_count, **reply}

    def do_execute(self, code, silent, store_history=True, user_expressions=None, allow_stdin=False):
        self._silent = silent
        try:
            if code.strip() and not self._shown.help(code):
                self._shown.run(code, f"In[{self.execution_count}]")
        except KeyboardInterrupt:
            return self._failed("KeyboardInterrupt", "", ["interrupted"])
        except Error as error:
            return self._failed(type(error).__name__, error.message, str(error).split("\n"))
        return {"status": "ok", "execution_count": self.execution_count, "payload": [], "user_expressions": {}}

    def do_complete(self, code, cursor_pos):
        begin, found = self._shown.session.complete(code, cursor_pos)
        return {"status": "ok", "matches": found, "cursor_start": begin, "cursor_end": cursor_pos, "metadata": {}}

    def do_inspect(self, code, cursor_pos, detail_level=0, omit_sections=()):
        name = _word_at(code, cursor_pos)
        text = self._shown.session.help(name) if name else None
        if text is None:
            text = self._shown.session.call(code, cursor_pos)
        return {"status": "ok", "found": text is not None, "metadata": {},
                "data": {} if text is None else {"text/plain": text}}

    def do_is_complete(self, code):
        return {"status": "incomplete", "indent": "  "} if self._shown.session.unfinished(code) else {"status": "complete"}

    def do_shutdown(self, restart):
        self._shown.session.close()
        return {"status": "ok", "restart": restart}


if __name__ == "__main__":
    IPKernelApp.launch_instance(kernel_class=DmfKernel)
