# SPDX-License-Identifier: GPL-3.0-or-later
"""What notebooks show of a session, in the order in which the script made it."""
import base64
import os
import re
import sys
import tempfile
import warnings

from .errors import Warning
from .session import Session
from .values import Array, Number, Result, image_tag

SHORTEST_CURVE, SMALLEST_MAP = 8, 9  # smaller arrays are shown as numbers
_asked = re.compile(r"\s*(?:\?|help\b)\s*(?P<name>[^\s=(]*)\s*$|\s*(?P<behind>[^\s=\"#?]+)\?\s*$")
_images = {".svg": "image/svg+xml", ".png": "image/png"}


def file_bundle(path):
    """A picture as a bundle of MIME types; None when it is no picture that notebooks show."""
    kind = _images.get(os.path.splitext(path)[1].lower())
    if not kind:
        return None
    with open(path, "rb") as file:
        data = file.read()
    shown = data.decode() if kind == "image/svg+xml" else base64.b64encode(data).decode()
    return {"text/plain": os.path.basename(path), kind: shown}


def _has_picture(value):
    if value.ndim == 1:
        return value.size >= SHORTEST_CURVE
    return value.ndim > 1 and value.size >= SMALLEST_MAP


def _caption(value):
    """[21] over t, from 0.5 to 0.053 ± 0.001"""
    names = [axis.name for axis in value.axes or () if axis.name]
    text = "[" + ", ".join(str(n) for n in value.shape) + "]" + (" over " + ", ".join(names) if names else "")
    if value.ndim == 1:
        text += f", from {value[0]!r} to {value[-1]!r}"
    return text


def value_bundle(session, expression, handle):
    """The value of an expression that stood alone, as the prompt shows it, with a picture where that
    draws one."""
    bundle = {"text/plain": handle.text()}
    value = handle.get("it")
    if isinstance(value, Result):
        bundle["text/html"] = value._repr_html_()
    elif isinstance(value, Number):
        bundle["text/plain"] = repr(value)
    elif isinstance(value, str):
        bundle["text/plain"] = f'"{value}"'
    elif isinstance(value, Array) and _has_picture(value):
        picture = handle.picture(expression)
        if picture is not None:
            bundle["text/html"] = f"<div>{_caption(value)}</div>{image_tag(picture)}"
    return bundle


class Shown:
    """A session for notebooks: runs scripts as the prompt does, and hands on what there is to show.

    text(text) takes what is printed, bundle(data) what is richer, a dictionary by MIME types."""

    def __init__(self, text, bundle, progress=None, complain=sys.stderr.write, color=False):
        self.text, self.bundle = text, bundle
        self._queue = []
        self._pictures = tempfile.TemporaryDirectory(prefix="dmf")
        self.session = Session(interactive=True, color=color, pictures=self._pictures.name, progress=progress,
                               print=self._print, show=self._show, wrote=self._wrote)
        self._complain = complain

    # Values can only be looked at when the script is over; what comes behind one waits with it.

    def _print(self, text):
        if self._queue:
            self._queue.append((self.text, text))
        else:
            self.text(text)

    def _show(self, expression, handle):
        self._queue.append((self._show_value, (expression, handle)))

    def _show_value(self, shown):
        self.bundle(value_bundle(self.session, *shown))

    def _wrote(self, path):
        bundle = file_bundle(path)
        if not bundle:
            return
        if self._queue:
            self._queue.append((self.bundle, bundle))
        else:
            self.bundle(bundle)

    def help(self, text):
        """Whether the text only asks about a name, which is answered then."""
        asks = _asked.match(text)
        if not asks:
            return False
        name = asks["behind"] or asks["name"]
        told = self.session.help(name or None)
        if told is None:
            self._complain(f"nothing is known about '{name}'; 'help' alone lists all names\n")
        else:
            self.text(told)
        return True

    def run(self, text, name):
        with warnings.catch_warnings():
            warnings.simplefilter("always", Warning)
            warnings.showwarning = lambda message, *_, **__: self._complain(f"{message}\n")
            try:
                self.session.run(text, name)
            finally:
                queue, self._queue = self._queue, []
                for show, what in queue:
                    show(what)
