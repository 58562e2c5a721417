# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions, in which scripts run."""
import contextvars
import ctypes
import os
import queue
import sys
import tempfile
import threading
import warnings
import weakref
from concurrent.futures import Future, wait

import numpy

from . import _library as c
from ._library import lib, take_text
from .errors import Error, Message, Warning, error_of
from .values import Array, Axis, Layers, Number, Object, Result

_inside = threading.local()  # whether this thread is in a call-back


def _run_tasks(tasks):
    for future, work in iter(tasks.get, None):
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)


class _Handle:
    """A value of a session, freed along with this object."""

    def __init__(self, session, value):
        self.session, self.value = session, value
        session._values[id(value)] = value
        weakref.finalize(self, session._drop, value)

    def _ask(self, function, *arguments):
        session = self.session
        return session._work(lambda: function(session._dmf, ctypes.byref(self.value), *arguments))

    def get(self, expression):
        return self.session._evaluate(expression, self.value)

    def fields(self):
        def collect(dmf, value):
            names = []
            while (name := lib.dmf_value_field(dmf, value, len(names))) is not None:
                names.append(name.decode())
            return names

        return self._ask(collect)

    def text(self, columns=80):
        return take_text(self._ask(lib.dmf_value_text, columns))

    def html(self):
        return take_text(self._ask(lib.dmf_value_html))

    def draw(self, name, path):
        self.session._try(lambda: lib.dmf_value_draw(self.session._dmf, ctypes.byref(self.value), name.encode(),
                                                     os.fsencode(path)))

    def picture(self, name):
        """The value as a picture in SVG; None where there is nothing to draw, or nothing to draw with."""
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "picture.svg")
            try:
                self.draw(name, path)
            except Error:
                return None
            with open(path, encoding="utf-8") as file:
                return file.read()


def _mask(key):
    """The arguments of dmf_run_text that make truth values of a variable."""
    text = key + b" = " + key + b" != 0"
    return b"", text, len(text)


def _text(data):
    return None if data is None else data.decode(errors="replace")


def _numbers(array):
    shape = tuple(array.shape[: array.rank])
    if not array.size:
        return numpy.zeros(shape)
    return numpy.ctypeslib.as_array(array.data, shape).copy()


def _array(value):
    """The numbers of a value, copied."""
    numbers = _numbers(value.numbers)
    stderr = _numbers(value.error) if value.error.data else None
    if value.truth:
        numbers = numbers != 0
    if not value.numbers.rank:
        return bool(numbers) if value.truth else Number(float(numbers), None if stderr is None else float(stderr))
    axes = tuple(Axis(_text(axis.name), _numbers(axis.at) if axis.at.data else None)
                 for axis in value.axes[: value.numbers.rank])
    return Array(numbers, stderr, axes)


class Session:
    """A session of dmf: scripts run in it, and names keep their values from one run to the next.

    s = dmf.Session()
    s["points"] = numpy.eye(3)
    s.run("dataset d { inputs = points; targets = [1, -1, 1] } ...")
    s["theory"].loss, s["theory.loss - nets.loss"].stderr

    threads: how many solvers use (0: all); seed: of solver calls that name none; out: the directory
    of files that scripts write; interactive: expressions alone on a line are shown, as at the prompt;
    partial: an interrupted run goes on with what its solver has so far.

    progress(stage, done, total) is told how far a solver is, and a last time with stage None;
    print(text) takes what scripts print, which else goes to sys.stdout. They, and wrote(path) and
    show(expression, value), are called while a script runs and may not use the session."""

    def __init__(self, *, threads=0, seed=None, out=None, interactive=False, partial=False, color=False, pictures=None,
                 progress=None, print=None, show=None, wrote=None):
        self._messages = []
        self._values = {}
        self._lock = threading.Lock()
        self._print = print
        config = c.Config(color=color, interactive=interactive, partial=partial, threads=threads, has_seed=seed is not None,
                          seed=seed or 0, quiet=progress is None,
                          out=None if out is None else os.fsencode(out),
                          pictures=None if pictures is None else os.fsencode(pictures))
        self._keep_callbacks(config, progress, show, wrote)
        self._dmf = lib.dmf_open(ctypes.byref(config))
        if not self._dmf:
            raise MemoryError("no memory for a session")
        self._tasks = queue.SimpleQueue()
        worker = threading.Thread(target=_run_tasks, args=(self._tasks,), name="dmf", daemon=True)
        worker.start()
        self._closer = weakref.finalize(self, _close, self._dmf, self._tasks, self._values, worker)

    def _keep_callbacks(self, config, progress, show, wrote):
        """The call-backs hold no reference to the session, or it would never go."""
        self_ = weakref.ref(self)

        def guarded(function):
            def call(_, *arguments):
                _inside.active = True
                try:
                    function(*arguments)
                except Exception as error:  # nothing that C could do with it
                    sys.stderr.write(f"dmf: a call-back failed: {error!r}\n")
                finally:
                    _inside.active = False

            return call

        def put(text, length):
            text = ctypes.string_at(text, length).decode(errors="replace")
            session = self_()
            (session and session._print or sys.stdout.write)(text)

        def diagnose(pointer):
            d = pointer.contents
            session = self_()
            if session:
                session._messages.append(
                    Message(_text(d.severity), _text(d.message), _text(d.hint), _text(d.file), d.line, d.column,
                            d.end_line, d.end_column, _text(d.text)))

        def take(expression, pointer):
            value = c.Value.from_buffer_copy(pointer.contents)
            session = self_()
            show(_text(expression), _Handle(session, value))

        config.print = c.Print(guarded(put))
        config.diagnose = c.Diagnose(guarded(diagnose))
        if progress:
            config.progress = c.Progress(guarded(lambda stage, done, total: progress(_text(stage), done, total)))
        if show:
            config.show = c.Show(guarded(take))
        if wrote:
            config.wrote = c.Wrote(guarded(lambda path: wrote(os.fsdecode(path))))
        self._callbacks = config  # keeps the functions

    def close(self):
        """Ends the session and frees what it holds. Values that Python has no copy of end with it."""
        self._dmf = None
        self._closer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- work, which one thread does, so that this one can be interrupted ----

    def _submit(self, work):
        if getattr(_inside, "active", False):
            raise RuntimeError("a call-back cannot use its session")
        if self._dmf is None:
            raise ValueError("the session is closed")
        future = Future()
        context = contextvars.copy_context()  # by which a notebook knows the cell that what is printed belongs to
        self._tasks.put((future, lambda: context.run(work)))
        return future

    def _work(self, work):
        future = self._submit(work)
        try:
            return future.result()
        except KeyboardInterrupt:
            while not future.done():
                self.interrupt()
                wait([future], timeout=0.05)
            raise

    def _try(self, work):
        """Work that ends with a status; warns of what was said, raises what went wrong."""

        def told():
            self._messages.clear()
            status = work()
            return status, list(self._messages)

        status, messages = self._work(told)
        failed = [m for m in messages if m.severity in ("error", "note")] if status != c.OK else []
        self._warn([m for m in messages if m not in failed])
        if status != c.OK:
            raise error_of(status, failed)

    def _warn(self, messages):
        for message in messages:
            warnings.warn(message.text.rstrip("\n"), Warning, stacklevel=5)

    def _drop(self, value):
        """Called by the collector, in any thread."""
        if self._dmf is not None:
            self._tasks.put((Future(), lambda: _free_value(self._values, value)))

    def interrupt(self):
        """Asks the running solver to stop at its next step; may be called from anywhere."""
        if self._dmf is not None:
            lib.dmf_interrupt(self._dmf)

    # ---- scripts ----

    def run(self, text, name="<python>"):
        """Checks a script as a whole and runs it."""
        data = text.encode()
        self._try(lambda: lib.dmf_run_text(self._dmf, name.encode(), data, len(data)))

    def run_file(self, path):
        """Runs a script from a file; its paths are relative to it."""
        self._try(lambda: lib.dmf_run_file(self._dmf, os.fsencode(path)))

    def check(self, text, name="<python>"):
        """Checks a script and solves nothing."""
        data = text.encode()
        self._try(lambda: lib.dmf_check_text(self._dmf, name.encode(), data, len(data)))

    def set(self, setting):
        """Overrides a key that scripts run afterwards declare: "net.gamma=2"."""
        self._try(lambda: lib.dmf_set(self._dmf, setting.encode()))

    def unfinished(self, text):
        """Whether a text ends inside a statement."""
        return self._work(lambda: lib.dmf_unfinished(self._dmf, text.encode()))

    # ---- values ----

    def _evaluate(self, expression, it=None):
        value = c.Value()
        reference = None if it is None else ctypes.byref(it)
        self._try(lambda: lib.dmf_value(self._dmf, expression.encode(), reference, ctypes.byref(value)))
        return self._python(value)

    def _python(self, value):
        """The value as Python has it; what it has nothing for keeps it."""
        if value.kind == c.NUMBERS or value.kind == c.TEXT:
            plain = _array(value) if value.kind == c.NUMBERS else _text(value.text)
            self._work(lambda: lib.dmf_value_free(ctypes.byref(value)))
            return plain
        handle, what = _Handle(self, value), _text(value.text)
        if value.kind == c.LIST:
            return [handle.get(f"it[{i}]") for i in range(value.length)]
        if value.kind == c.LAYERS:
            return Layers(handle, value.length, what)
        return (Result if value.kind == c.RESULT else Object)(handle, what)

    def __getitem__(self, expression):
        """The value of any expression of the language: s["theory"], s["mean(nets.f[-1])"]."""
        return self._evaluate(expression)

    def __setitem__(self, name, value):
        """Gives a variable numbers, a text, or a value of this session."""
        key = name.encode()
        if isinstance(value, str):
            return self._try(lambda: lib.dmf_put_text(self._dmf, key, value.encode()))
        if isinstance(value, Object):
            if value._handle.session is not self:
                raise ValueError("this value belongs to another session")
            return self._try(lambda: lib.dmf_put_value(self._dmf, key, ctypes.byref(value._handle.value)))
        if numpy.iscomplexobj(value):
            raise TypeError("dmf has no complex numbers")
        numbers = numpy.ascontiguousarray(numpy.asarray(value, dtype=float)).reshape(numpy.shape(value))
        shape = (ctypes.c_size_t * max(1, numbers.ndim))(*numbers.shape)
        data = numbers.ctypes.data_as(ctypes.POINTER(ctypes.c_double))
        self._try(lambda: lib.dmf_put(self._dmf, key, numbers.ndim, shape, data))
        if numpy.asarray(value).dtype == bool:  # a mask, and not places
            self._try(lambda: lib.dmf_run_text(self._dmf, *_mask(key)))

    def names(self):
        """The variables of the session."""
        lines = take_text(self._work(lambda: lib.dmf_who(self._dmf))).splitlines()
        return [line.split()[0] for line in lines]

    def __contains__(self, name):
        return name in self.names()

    def __iter__(self):
        return iter(self.names())

    # ---- for prompts and notebooks ----

    def complete(self, text, cursor=None):
        """Where the word begins that ends at the cursor, and what may take its place."""
        data = (text if cursor is None else text[:cursor]).encode()

        def collect():
            found = []
            while (name := lib.dmf_complete(self._dmf, data, len(data), len(found))) is not None:
                found.append(name.decode())
            return lib.dmf_word(self._dmf, data, len(data)), found

        begin, found = self._work(collect)
        return len(data[:begin].decode()), found

    def call(self, text, cursor=None):
        """How the call is written in which the cursor stands, and what it does, as text; None where it
        stands in none."""
        data = (text if cursor is None else text[:cursor]).encode()

        def describe():
            call = c.Call()
            if lib.dmf_call(self._dmf, data, len(data), ctypes.byref(call)):
                return f"{_text(call.usage)}\n    {_text(call.about)}\n"
            return None

        return self._work(describe)

    def help(self, name=None):
        """What is known about a name, as text; None when nothing is."""
        return take_text(self._work(lambda: lib.dmf_help(self._dmf, None if name is None else name.encode())))


def _free_value(values, value):
    if values.pop(id(value), None) is not None:
        lib.dmf_value_free(ctypes.byref(value))


def _close(dmf, tasks, values, worker):
    """What is queued before is done before. The collector may call this in any thread."""

    def close():
        for value in list(values.values()):
            _free_value(values, value)
        lib.dmf_close(dmf)

    future = Future()
    tasks.put((future, close))
    tasks.put(None)
    if threading.current_thread() is not worker:
        future.result()
