# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes out of a session: numpy arrays with errors and axes, results with fields."""
import base64
import difflib
from typing import NamedTuple, Optional

import numpy


class Axis(NamedTuple):
    """What an axis of an array runs over."""

    name: Optional[str]  #: "t", "net.gamma", ...; None where it is not known
    values: Optional[numpy.ndarray]


def _plain(number, error):
    """As dmf prints a number with its error."""
    if not error > 1e-14 * abs(number):
        return f"{float(number):.10g}"
    decimals = max(0, min(12, 1 - int(numpy.floor(numpy.log10(error)))))
    return f"{float(number):.{decimals}f} ± {float(error):.{decimals}f}"


class Number(float):
    """A number with its standard error, which is None where it has none."""

    stderr = None

    def __new__(cls, value, stderr=None):
        self = super().__new__(cls, value)
        self.stderr = None if stderr is None else float(stderr)
        return self

    def __repr__(self):
        return _plain(float(self), self.stderr or 0)

    __str__ = __repr__


class Array(numpy.ndarray):
    """An array of numbers. `stderr` has their standard errors, an array of the same shape, or None;
    `axes` an Axis for each axis of it. Parts of the array have their parts of both. What numpy
    computes of it has neither: ask the session for the expression, as in s["a - b"].stderr."""

    stderr = None
    axes = None

    def __new__(cls, numbers, stderr=None, axes=None):
        self = numpy.asarray(numbers).view(cls)
        self.stderr, self.axes = stderr, axes
        return self

    def __getitem__(self, key):
        part = super().__getitem__(key)
        stderr = None if self.stderr is None else self.stderr[key]
        if isinstance(part, Array):
            part.stderr = stderr
            part.axes = self._axes_of(key, part)
        elif isinstance(part, float):
            part = Number(part, stderr)
        return part

    def _axes_of(self, key, part):
        """Those of a part, where the key takes or leaves axis by axis."""
        keys = key if isinstance(key, tuple) else (key,)
        if self.axes is None or not all(isinstance(k, (int, slice, numpy.integer)) for k in keys):
            return None
        left = []
        for i, axis in enumerate(self.axes):
            k = keys[i] if i < len(keys) else slice(None)
            if isinstance(k, slice):
                left.append(Axis(axis.name, None if axis.values is None else axis.values[k]))
        return tuple(left)


class Object:
    """A value that Python has nothing for: a result, a model, a function. Its fields are attributes,
    as in theory.loss and theory.stderr.loss; str() has it as the prompt shows it."""

    def __init__(self, handle, what):
        self._handle = handle
        self._what = what

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self._handle.fields():
            near = difflib.get_close_matches(name, self._handle.fields(), 1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise AttributeError(f"{self._what} has no field '{name}'{hint}")
        return self._handle.get(f"it.{name}")

    def __dir__(self):
        return [*super().__dir__(), *self._handle.fields()]

    def __str__(self):
        return self._handle.text()

    def __repr__(self):
        return self._handle.text()


class Result(Object):
    """What a solver gave."""

    def draw(self, path):
        """Draws the losses into a file: .svg, .png or .pdf."""
        self._handle.draw("loss", path)

    def _repr_html_(self):
        picture = self._handle.picture("loss")
        return self._handle.html() + ("" if picture is None else image_tag(picture))


class Layers:
    """The layers of a field of a result, counted from 1 as dmf does: theory.Phi[1]."""

    def __init__(self, handle, length, what):
        self._handle, self._length, self._what = handle, length, what

    def __len__(self):
        return self._length

    def __getitem__(self, layer):
        if not 1 <= layer <= self._length:
            raise IndexError(f"no layer {layer}: layers are 1..{self._length}")
        return self._handle.get(f"it[{int(layer)}]")

    def __iter__(self):
        return (self[layer] for layer in range(1, self._length + 1))

    def __repr__(self):
        return self._handle.text()


def image_tag(svg):
    """A picture as a piece of HTML."""
    data = base64.b64encode(svg.encode()).decode()
    return f'<img src="data:image/svg+xml;base64,{data}">'
